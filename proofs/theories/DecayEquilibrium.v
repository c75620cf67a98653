(** * Equilibrium under weight decay

    SGD with decay on a cosine loss with constant s maps R = ‖q‖² to
        f(R) = a R + b/R,   a = (1-ηλ)²,  b = η²s².
    For 0 < a < 1 and b > 0:
    - the only positive fixed point satisfies R∞² = b/(1-a), that is ‖q∞‖⁴ = ηs²/(λ(2-ηλ));
    - f'(R∞) = 2a-1, of size below 1: the linear rate is 2(1-ηλ)²-1;
    - f(R) - R∞ = (a - b/(R R∞)) (R - R∞) exactly;
    - global stability: from every start R > 0 the deviation
          V = max(R²/R∞², R∞²/R²) - 1
      shrinks by the factor max(a², (1-a)²) < 1 in every step, so ‖q‖ -> ‖q∞‖ geometrically;
    - at equilibrium the squared tangent of the step's angle, ‖ηg‖²/((1-ηλ)²‖q‖²), is (1-a)/a,
      close to 2ηλ and free of s.
    Heavy ball with coupled L2, when successive gradients are uncorrelated in the sense
    ⟨v,g⟩ = 0 (v the buffer) has the stationary norm
        ‖q∞‖⁴ = ηL/(λ(1-β)(2 - ηλ/(1+β))),  L = s².

    Source: van Laarhoven 2017, Wan et al. 2021 (fixed points); global rate: derived here.
    Proof: with X = R²/R∞² the map is X' = (1+a(X-1))²/X; field arithmetic.  Any ordered
    field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun DecayRadial NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition decay_map (R : realFieldType) (a b r : R) : R := a * r + b / r.

(** What the training step does to R. *)
Theorem decay_step_map (R : realFieldType) n (eta lam s2 : R) (q g : 'cV[R]_n) :
  q != 0 -> ⟨q, g⟩ = 0 -> spherical2 q g = s2 ->
  ‖decoupled_step eta lam q g‖² = decay_map ((1 - eta * lam) ^+ 2) (eta ^+ 2 * s2) ‖q‖².
Proof. by move=> q0 qg s; rewrite decay_step_identity // s. Qed.

Section Map.
Variables (R : realFieldType) (a b : R).
Hypothesis a01 : 0 < a < 1.
Hypothesis b0 : 0 < b.

Let a0 : 0 < a. Proof. by case/andP: a01. Qed.
Let a1 : 0 < 1 - a. Proof. by case/andP: a01 => _; rewrite subr_gt0. Qed.

(** The fixed point, in squares (no square root is needed). *)
Theorem fixed_point r : 0 < r -> (decay_map a b r == r) = (r ^+ 2 == b / (1 - a)).
Proof.
move=> r0; rewrite /decay_map -subr_eq0 balance_excess //; last by rewrite -subr_gt0.
rewrite mulf_eq0 [(1 - a) / r == 0]gt_eqF ?divr_gt0 //= subr_eq0 eq_sym.
by [].
Qed.

Variable rs : R.
Hypothesis rs0 : 0 < rs.
Hypothesis rsE : rs ^+ 2 = b / (1 - a).

Lemma bE : b = (1 - a) * rs ^+ 2.
Proof. by rewrite rsE mulrC divfK // gt_eqF. Qed.

Theorem fixed_point_unique r : 0 < r -> decay_map a b r = r -> r = rs.
Proof.
move=> r0 /eqP; rewrite fixed_point // -rsE => /eqP e.
by apply/eqP; rewrite -(@eqr_expn2 _ 2) ?e // ltW.
Qed.

(** The error after one step, exactly. *)
Theorem error_step r : 0 < r ->
  decay_map a b r - rs = (a - b / (r * rs)) * (r - rs).
Proof. by move=> r0; rewrite /decay_map bE; field; rewrite !gt_eqF. Qed.

(** The derivative at the fixed point is 2a-1. *)
Theorem derivative_at_fixed_point :
  is_deriv (decay_map a b : R^o -> R) rs 1 (2%:R * a - 1).
Proof.
pose phi h : R := a - b / ((rs + h) * rs).
have -> : 2%:R * a - 1 = phi 0 by rewrite /phi addr0 bE; field; rewrite gt_eqF.
apply: is_deriv_cara; last first.
  exists rs => // h; rewrite ltr_norml => /andP[lo _].
  have pos : 0 < rs + h by rewrite addrC -ltr_subl_addr sub0r.
  have -> : (rs : R^o) + h *: (1 : R^o) = rs + h by rewrite /GRing.scale /= mulr1.
  have fx : decay_map a b rs = rs by apply/eqP; rewrite fixed_point // rsE.
  have e : decay_map a b (rs + h) - rs = h * phi h.
    rewrite error_step // /phi; set k := a - _; have -> : rs + h - rs = h by ring.
    exact: mulrC.
  by rewrite fx; exact: e.
apply: cont0D (@cont0_cst _ _) _.
have c1 : cont0 (fun h : R => ((rs + h) * rs)^-1).
  apply: cont0V; last by rewrite addr0 mulf_neq0 // gt_eqF.
  by apply: cont0M (@cont0_cst _ _); apply: cont0D (@cont0_cst _ _) (@cont0_id _).
have := cont0M (@cont0_cst _ (- b)) c1.
by move=> c e /c[d d0 H]; exists d => // h /H; rewrite !mulNr.
Qed.

Theorem linear_rate_below_one : `|2%:R * a - 1| < 1.
Proof.
have e1 : 2%:R * a - 1 - -1 = 2%:R * a by ring.
have e2 : 1 - (2%:R * a - 1) = 2%:R * (1 - a) by ring.
by rewrite ltr_norml -subr_gt0 e1 -(subr_gt0 _ 1) e2 !mulr_gt0 ?ltr0n.
Qed.

(** ** Global stability. *)
Definition deviation r : R := Num.max (r ^+ 2 / rs ^+ 2) (rs ^+ 2 / r ^+ 2) - 1.

Definition global_rate : R := Num.max (a ^+ 2) ((1 - a) ^+ 2).

Lemma global_rate_below_one : 0 <= global_rate < 1.
Proof.
have h1 : a ^+ 2 < 1 by rewrite expr_lt1 ?ltW //; case/andP: a01.
have h2 : (1 - a) ^+ 2 < 1 by rewrite expr_lt1 ?ltW // ltr_subl_addr ltr_addl.
by rewrite /global_rate le_maxr sqr_ge0 lt_maxl h1 h2.
Qed.

(** One side: a deviation z >= 0 of the larger ratio. *)
Lemma ratio_step (c z : R) : 0 < c < 1 -> 0 <= z ->
  (1 + c * z) ^+ 2 / (1 + z) - 1 <= c ^+ 2 * z /\
  (1 + z) / (1 + c * z) ^+ 2 - 1 <= (1 - c) ^+ 2 * z.
Proof.
move=> /andP[c0 c1] z0; have z1 : 0 < 1 + z by rewrite ltr_paddr ?ltr01.
have cz : 0 <= c * z by rewrite mulr_ge0 // ltW.
have w1 : 0 < (1 + c * z) ^+ 2 by rewrite exprn_gt0 // ltr_paddr ?ltr01.
split; rewrite ler_subl_addr ler_pdivr_mulr // -subr_ge0.
  have -> : (c ^+ 2 * z + 1) * (1 + z) - (1 + c * z) ^+ 2 = (1 - c) ^+ 2 * z by ring.
  by rewrite mulr_ge0 ?sqr_ge0.
have -> : ((1 - c) ^+ 2 * z + 1) * (1 + c * z) ^+ 2 - (1 + z)
  = c ^+ 2 * z + 2%:R * (1 - c) ^+ 2 * c * z ^+ 2 + c ^+ 2 * z ^+ 2
    + (1 - c) ^+ 2 * c ^+ 2 * z ^+ 3 by ring.
have c0' := ltW c0; have z2 := exprn_ge0 2 z0; have z3 := exprn_ge0 3 z0.
have s1 := sqr_ge0 (1 - c); have s2 := sqr_ge0 c.
apply: addr_ge0; last by apply: mulr_ge0 => //; apply: mulr_ge0.
apply: addr_ge0; last exact: mulr_ge0.
apply: addr_ge0; first exact: mulr_ge0.
by apply: mulr_ge0 => //; apply: mulr_ge0 => //; apply: mulr_ge0 => //; apply: ler0n.
Qed.

Theorem global_contraction r : 0 < r ->
  deviation (decay_map a b r) <= global_rate * deviation r.
Proof.
move=> r0; set r' := decay_map a b r.
have rs2 : 0 < rs ^+ 2 by rewrite exprn_gt0.
have r2 : 0 < r ^+ 2 by rewrite exprn_gt0.
have r'0 : 0 < r' by apply: addr_gt0; [apply: mulr_gt0 | apply: divr_gt0].
have [ga gb] : a ^+ 2 <= global_rate /\ (1 - a) ^+ 2 <= global_rate.
  by split; rewrite /global_rate le_maxr lexx ?orbT.
have key (c z : R) : 0 < c < 1 -> 0 <= z -> c ^+ 2 <= global_rate ->
    (1 - c) ^+ 2 <= global_rate ->
    Num.max ((1 + c * z) ^+ 2 / (1 + z)) ((1 + z) / (1 + c * z) ^+ 2) - 1 <= global_rate * z.
  move=> c01 z0 g1 g2; have [h1 h2] := ratio_step c01 z0.
  rewrite ler_subl_addr le_maxl -!ler_subl_addr.
  by rewrite (le_trans h1) ?(le_trans h2) // ler_wpmul2r.
have b01 : 0 < 1 - a < 1 by rewrite a1 /= -subr_gt0 opprB addrC subrK a0.
have n1 : rs != 0 by rewrite gt_eqF.
have n2 : r != 0 by rewrite gt_eqF.
have n3 : r' != 0 by rewrite gt_eqF.
have [le|lt] := lerP rs r.
  pose z := r ^+ 2 / rs ^+ 2 - 1.
  have z0 : 0 <= z.
    by rewrite subr_ge0 ler_pdivl_mulr // mul1r ler_expn2r ?nnegrE // ltW.
  have dz : deviation r = z.
    rewrite /deviation /z; congr (_ - 1); apply/max_idPl.
    apply: le_trans (_ : 1 <= _); last by rewrite -subr_ge0.
    by rewrite ler_pdivr_mulr // mul1r ler_expn2r ?nnegrE // ltW.
  rewrite dz; apply: le_trans (key a z a01 z0 ga gb).
  have z1 : 1 + z = r ^+ 2 / rs ^+ 2 by rewrite /z; ring.
  have e : r' ^+ 2 / rs ^+ 2 = (1 + a * z) ^+ 2 / (1 + z).
    by rewrite z1 /r' /decay_map bE /z; field; rewrite n1 n2.
  by rewrite -e -[(1 + z) / _]invf_div -e invf_div.
pose z := rs ^+ 2 / r ^+ 2 - 1.
have z0 : 0 <= z.
  by rewrite subr_ge0 ler_pdivl_mulr // mul1r ler_expn2r ?nnegrE // ltW.
have dz : deviation r = z.
  rewrite /deviation /z; congr (_ - 1); apply/max_idPr.
  apply: le_trans (_ : 1 <= _); last by rewrite -subr_ge0.
  rewrite ler_pdivr_mulr // mul1r ler_expn2r ?nnegrE //; exact: ltW.
have ga' : (1 - (1 - a)) ^+ 2 <= global_rate by rewrite opprB addrC subrK.
rewrite dz; apply: le_trans (key (1 - a) z b01 z0 gb ga').
have z1 : 1 + z = rs ^+ 2 / r ^+ 2 by rewrite /z; ring.
have e : r' ^+ 2 / rs ^+ 2 = (1 + (1 - a) * z) ^+ 2 / (1 + z).
  by rewrite z1 /r' /decay_map bE /z; field; rewrite n1 n2.
by rewrite -e -[(1 + z) / _]invf_div -e invf_div.
Qed.

End Map.

(** Geometric convergence of the whole run, from any start. *)
Theorem global_convergence (R : realFieldType) (a b rs : R) (r : nat -> R) t :
  0 < a < 1 -> 0 < b -> 0 < rs -> rs ^+ 2 = b / (1 - a) -> 0 < r 0%N ->
  (forall k, r k.+1 = decay_map a b (r k)) ->
  deviation rs (r t) <= global_rate a ^+ t * deviation rs (r 0%N).
Proof.
move=> a01 b0 rs0 rsE r0 rS; have /andP[a0 _] := a01.
have pos k : 0 < r k.
  elim: k => [|k IH] //; rewrite rS.
  by apply: addr_gt0; [apply: mulr_gt0 | apply: divr_gt0].
have /andP[g0 _] := global_rate_below_one a01.
elim: t => [|t IH]; first by rewrite expr0 mul1r.
rewrite rS exprS -mulrA.
by apply: le_trans (global_contraction a01 b0 rs0 rsE (pos t)) (ler_wpmul2l g0 IH).
Qed.

(** The balance point in the terms of training: ‖q∞‖⁴ = ηs²/(λ(2-ηλ)). *)
Theorem equilibrium_norm (R : realFieldType) (eta lam s2 r : R) :
  0 < eta -> 0 < lam -> eta * lam < 2%:R -> 0 < r ->
  (decay_map ((1 - eta * lam) ^+ 2) (eta ^+ 2 * s2) r == r)
  = (r ^+ 2 == eta * s2 / (lam * (2%:R - eta * lam))).
Proof.
move=> e0 l0 el r0; have d0 : 0 < 2%:R - eta * lam by rewrite subr_gt0.
have el0 : 0 < eta * lam by apply: mulr_gt0.
have a1E : 1 - (1 - eta * lam) ^+ 2 = eta * lam * (2%:R - eta * lam) by ring.
have a1 : (1 - eta * lam) ^+ 2 < 1 by rewrite -subr_gt0 a1E mulr_gt0.
rewrite /decay_map -subr_eq0 balance_excess // mulf_eq0.
rewrite [(1 - (1 - eta * lam) ^+ 2) / r == 0]gt_eqF ?divr_gt0 ?subr_gt0 //= subr_eq0 eq_sym.
congr (_ == _); rewrite a1E; field.
by rewrite !gt_eqF.
Qed.

(** The angle at equilibrium: tan² = ‖ηg‖²/((1-ηλ)²‖q‖²) = (1-a)/a, whatever s is. *)
Theorem equilibrium_angle (R : realFieldType) (a b r : R) : 0 < a < 1 -> 0 < r ->
  decay_map a b r = r -> (b / r) / (a * r) = (1 - a) / a.
Proof.
move=> /andP[a0 a1] r0 fx; have -> : b / r = (1 - a) * r.
  have h : a * r + b / r = r := fx.
  by apply: (addrI (a * r)); rewrite h; ring.
by field; rewrite !gt_eqF.
Qed.

(** Heavy ball with coupled L2: the stationary norm, for gradients orthogonal to the row and
    to the buffer. *)
Theorem heavy_ball_equilibrium (R : realFieldType) n (eta lam beta L : R) (q v g : 'cV[R]_n)
    (v' := beta *: v - eta *: (g + lam *: q)) (q' := q + v') :
  ⟨q, g⟩ = 0 -> ⟨v, g⟩ = 0 -> ‖g‖² = L / ‖q‖² -> q != 0 ->
  ‖q'‖² = ‖q‖² -> ⟨q', v'⟩ = ⟨q, v⟩ -> ‖v'‖² = ‖v‖² ->
  eta != 0 -> lam != 0 -> beta != 1 -> 1 + beta != 0 ->
  2%:R - eta * lam / (1 + beta) != 0 ->
  ‖q‖² ^+ 2 = eta * L / (lam * (1 - beta) * (2%:R - eta * lam / (1 + beta))).
Proof.
move=> qg vg gL q0 sR sC sV e0 l0 b1 b2 d0.
set r := ‖q‖² in gL sR *; set C := ⟨q, v⟩ in sC *; set V := ‖v‖² in sV.
have r0 : r != 0 by rewrite nrm2_eq0.
have V1 : ‖v'‖² = beta ^+ 2 * V + (eta * lam) ^+ 2 * r - 2%:R * beta * (eta * lam) * C
    + eta ^+ 2 * (L / r).
  rewrite /v' nrm2B !nrm2Z nrm2D !(dotZl, dotZr, dotDr) (dotC g q) qg vg (dotC v q).
  by rewrite -/r -/V -/C gL !mulr2n; ring.
have qv : ⟨q, v'⟩ = beta * C - eta * lam * r.
  by rewrite /v' dotBr !dotZr dotDr dotZr qg -/C -/r; ring.
have R1 : ‖q'‖² = r + 2%:R * ⟨q, v'⟩ + ‖v'‖² by rewrite /q' nrm2D mulr2n -/r; ring.
have C1 : ⟨q', v'⟩ = ⟨q, v'⟩ + ‖v'‖² by rewrite /q' dotDl.
rewrite C1 qv sV in sC; rewrite R1 qv sV in sR; rewrite sV in V1.
have CE : C = V / 2%:R.
  have h : 2%:R * (beta * C - eta * lam * r) + V = 0.
    by apply: (addrI r); rewrite addr0 -[RHS]sR; ring.
  rewrite -{1}sC; have -> : V = - (2%:R * (beta * C - eta * lam * r)).
    by apply/eqP; rewrite -subr_eq0 opprK addrC h.
  by field.
have VE : V = 2%:R * (eta * lam) * r / (1 + beta).
  have h : V * (1 + beta) = 2%:R * (eta * lam) * r.
    apply: (addrI (- (2%:R * (eta * lam) * r))); rewrite addNr.
    have h : 2%:R * (beta * C - eta * lam * r) + V = 0.
      by apply: (addrI r); rewrite addr0 -[RHS]sR; ring.
    by rewrite -h CE; field.
  by rewrite -h mulfK.
have fin : r * (V - (beta ^+ 2 * V + (eta * lam) ^+ 2 * r - 2%:R * beta * (eta * lam) * C))
    = eta ^+ 2 * L by rewrite {1}V1; field.
have -> : L = r * (V - (beta ^+ 2 * V + (eta * lam) ^+ 2 * r
    - 2%:R * beta * (eta * lam) * C)) / eta ^+ 2 by rewrite fin; field.
rewrite CE VE; have b1' : 1 - beta != 0 by rewrite subr_eq0 eq_sym.
have d1 : 2%:R * (1 + beta) - eta * lam != 0.
  have -> : 2%:R * (1 + beta) - eta * lam = (2%:R - eta * lam / (1 + beta)) * (1 + beta).
    by field.
  by rewrite mulf_neq0.
by field; rewrite ?b1' ?b2 ?e0 ?l0 ?d1 ?r0.
Qed.

(** ** The hypotheses can hold: a = 1/2, b = 1/2, R∞ = 1. *)
Local Notation Q := [realFieldType of rat].
Local Notation half := (2%:R^-1 : Q).

Fact half_in : 0 < half < 1. Proof. by []. Qed.
Fact half_pos : 0 < half. Proof. by []. Qed.
Fact rs_half : (1 : Q) ^+ 2 = half / (1 - half). Proof. by []. Qed.
Fact half_fixed : decay_map half half 1 = 1. Proof. by []. Qed.
Fact one_pos : 0 < (1 : Q). Proof. by []. Qed.

Example decay_step_map_nonvacuous : nonvacuous decay_step_map.
Proof. by move=> H; apply: (H _ _ 1 1 _ _ _ (row34_neq0 _) (pull_e1_orth Q) erefl). Qed.

Example fixed_point_nonvacuous : nonvacuous fixed_point.
Proof. by move=> H; apply: (H _ _ half half_in 1 one_pos). Qed.

Example fixed_point_unique_nonvacuous : nonvacuous fixed_point_unique.
Proof.
by move=> H; apply: (H _ _ _ half_in 1 one_pos rs_half 1 one_pos half_fixed).
Qed.

Example error_step_nonvacuous : nonvacuous error_step.
Proof. by move=> H; apply: (H _ _ _ half_in 1 one_pos rs_half 1 one_pos). Qed.

Example derivative_at_fixed_point_nonvacuous : nonvacuous derivative_at_fixed_point.
Proof. by move=> H; apply: (H _ _ _ half_in 1 one_pos rs_half). Qed.

Example linear_rate_below_one_nonvacuous : nonvacuous linear_rate_below_one.
Proof. by move=> H; apply: (H _ _ half_in). Qed.

Example global_contraction_nonvacuous : nonvacuous global_contraction.
Proof. by move=> H; apply: (H _ _ _ half_in half_pos 1 one_pos rs_half 1 one_pos). Qed.

Example global_convergence_nonvacuous : nonvacuous global_convergence.
Proof.
move=> H; apply: (H _ _ _ 1 (fun=> 1) 3%N half_in half_pos one_pos rs_half one_pos) => _.
by rewrite half_fixed.
Qed.

Example equilibrium_norm_nonvacuous : nonvacuous equilibrium_norm.
Proof. by move=> H; apply: (H Q 1 1 1 1). Qed.

Example equilibrium_angle_nonvacuous : nonvacuous equilibrium_angle.
Proof. by move=> H; apply: (H _ _ _ _ half_in one_pos half_fixed). Qed.

(** Heavy ball with η = λ = 1, β = 0: q = e_1, v = e_1 + e_2, g = e_3 is stationary. *)
Section Stationary.
Variable R : realFieldType.
Definition vec3 (x y z : R) : 'cV[R]_3 := \col_i nth 0 [:: x; y; z] i.

Lemma dot_vec3 x y z x' y' z' :
  ⟨vec3 x y z, vec3 x' y' z'⟩ = x * x' + y * y' + z * z'.
Proof. by rewrite /dot !big_ord_recl big_ord0 !mxE /= addr0 addrA. Qed.

Lemma vec3_next : 0 *: vec3 1 1 0 - 1 *: (vec3 0 0 1 + 1 *: vec3 1 0 0) = vec3 (-1) 0 (-1).
Proof. by apply/colP => -[[|[|[|//]]] lt]; rewrite !mxE /=; ring. Qed.

Lemma vec3_row : vec3 1 0 0 + vec3 (-1) 0 (-1) = vec3 0 0 (-1).
Proof. by apply/colP => -[[|[|[|//]]] lt]; rewrite !mxE /=; ring. Qed.

Lemma stationary_example :
  (forall (eta lam beta L : R) (q v g : 'cV[R]_3)
    (v' := beta *: v - eta *: (g + lam *: q)) (q' := q + v'),
  ⟨q, g⟩ = 0 -> ⟨v, g⟩ = 0 -> ‖g‖² = L / ‖q‖² -> q != 0 ->
  ‖q'‖² = ‖q‖² -> ⟨q', v'⟩ = ⟨q, v⟩ -> ‖v'‖² = ‖v‖² ->
  eta != 0 -> lam != 0 -> beta != 1 -> 1 + beta != 0 ->
  2%:R - eta * lam / (1 + beta) != 0 -> False) -> False.
Proof.
move=> H; apply: (H 1 1 0 1 (vec3 1 0 0) (vec3 1 1 0) (vec3 0 0 1)).
- by rewrite dot_vec3; ring.
- by rewrite dot_vec3; ring.
- by rewrite !dot_vec3 !(mulr0, mulr1, addr0, add0r) divr1.
- by rewrite -nrm2_gt0 dot_vec3 !(mulr0, mulr1, addr0) ltr01.
- by rewrite vec3_next vec3_row !dot_vec3; ring.
- by rewrite vec3_next vec3_row !dot_vec3; ring.
- by rewrite vec3_next !dot_vec3; ring.
- exact: oner_neq0.
- exact: oner_neq0.
- by rewrite eq_sym oner_neq0.
- by rewrite addr0 oner_neq0.
- rewrite addr0 mulr1 divr1 (_ : 2%:R - 1 = 1) ?oner_neq0 //; ring.
Qed.
End Stationary.

Example heavy_ball_equilibrium_nonvacuous : nonvacuous heavy_ball_equilibrium.
Proof. by move=> H; apply: (@stationary_example Q); apply: H. Qed.
