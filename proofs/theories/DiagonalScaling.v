(** * One scale per coordinate

    Adam, AdaGrad and RMSprop (first step, ε = 0), signSGD and Lion move each coordinate by
    η sign(g_i); clipping per coordinate is another diagonal rule.  With a gradient of a
    cosine loss at (3,4) the step has the radial part -η or +η, of the size of the step
    itself, whatever η.  How bad it can be: a diagonal rule with factors in [m, M] obeys
        |cos(q, Dg)| <= (κ-1)/(κ+1),  κ = M/m,   for g ⟂ q
    (in squares, without roots: ⟨q,Dg⟩² (M+m)² <= (M-m)² ‖q‖²‖Dg‖²).
    Benign: gradients whose coordinates have equal magnitude (the rule is then a scalar), and
    d = 1 (every tangential gradient is zero).

    Source: Kantorovich (the constant); witnesses and the elementary proof: derived here.
    Proof: |D_i - μ| <= k D_i for μ = 2mM/(M+m), k = (M-m)/(M+m), then Cauchy-Schwarz on
    ⟨q, Dg - μg⟩.  Any ordered field (cosines need a square root), no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** A diagonal rule: coordinate i of the gradient times D_i. *)
Definition scaled (R : realFieldType) n (D g : 'cV[R]_n) : 'cV[R]_n := \col_i (D i 0 * g i 0).

Section Bound.
Variables (R : realFieldType) (n : nat) (q g D : 'cV[R]_n) (m M : R).
Hypothesis m0 : 0 < m.
Hypothesis between : forall i, m <= D i 0 <= M.
Hypothesis qg : ⟨q, g⟩ = 0.

Theorem condition_number_bound :
  ⟨q, scaled D g⟩ ^+ 2 * (M + m) ^+ 2 <= (M - m) ^+ 2 * (‖q‖² * ‖scaled D g‖²).
Proof.
pose w := (M + m) *: scaled D g - (2%:R * m * M) *: g.
have qw : ⟨q, w⟩ = (M + m) * ⟨q, scaled D g⟩.
  by rewrite dotBr !dotZr qg mulr0 subr0.
have ww : ‖w‖² <= (M - m) ^+ 2 * ‖scaled D g‖².
  rewrite /dot mulr_sumr; apply: ler_sum => i _; rewrite !mxE.
  have /andP[lo up] := between i; set d := D i 0 in lo up *; set x := g i 0.
  have -> : (M + m) * (d * x) - 2%:R * m * M * x = ((M + m) * d - 2%:R * m * M) * x by ring.
  rewrite -!expr2 !exprMn [(M - m) ^+ 2 * _]mulrA; apply: ler_wpmul2r; first exact: sqr_ge0.
  rewrite -subr_ge0.
  have -> : (M - m) ^+ 2 * d ^+ 2 - ((M + m) * d - 2%:R * m * M) ^+ 2
      = 4%:R * (m * M) * ((d - m) * (M - d)) by ring.
  have M0 : 0 < M by apply: lt_le_trans m0 (le_trans lo up).
  apply: mulr_ge0; apply: mulr_ge0; rewrite ?ler0n ?subr_ge0 //.
  by apply: mulr_ge0; apply: ltW.
have -> : ⟨q, scaled D g⟩ ^+ 2 * (M + m) ^+ 2 = ⟨q, w⟩ ^+ 2 by rewrite qw; ring.
apply: le_trans (cauchy_schwarz q w) _; rewrite [X in _ <= X]mulrCA.
exact: ler_wpmul2l (nrm2_ge0 q) _ _ ww.
Qed.

End Bound.

(** The same for the cosine itself. *)
Theorem cosine_bound (R : rcfType) n (q g D : 'cV[R]_n) (m M : R) :
  0 < m -> (forall i, m <= D i 0 <= M) -> m <= M -> ⟨q, g⟩ = 0 -> q != 0 -> scaled D g != 0 ->
  `|cosine q (scaled D g)| <= (M - m) / (M + m).
Proof.
move=> m0 bt mM qg q0 s0; have M0 : 0 < M by apply: lt_le_trans mM.
have pos : 0 < M + m by rewrite addr_gt0.
have nq : 0 < norm q by rewrite norm_gt0.
have ns : 0 < norm (scaled D g) by rewrite norm_gt0.
have kk : 0 <= (M - m) / (M + m) by rewrite divr_ge0 ?subr_ge0 // ltW.
rewrite -(ler_pexpn2r (n := 2)) ?nnegrE ?normr_ge0 // real_normK ?num_real //.
rewrite /cosine !expr_div_n exprMn !norm_sqr.
rewrite ler_pdivr_mulr ?mulr_gt0 ?nrm2_gt0 // mulrAC ler_pdivl_mulr ?exprn_gt0 //.
exact: condition_number_bound.
Qed.

(** ** First steps of the adaptive rules are the sign. *)
Definition sgn_vec (R : realFieldType) n (g : 'cV[R]_n) : 'cV[R]_n := \col_i Num.sg (g i 0).

(** Adam's first step with bias corrections and ε = 0: m̂ = g, v̂ = g². *)
Definition adam_first (R : rcfType) n (beta1 beta2 eta : R) (q g : 'cV[R]_n) : 'cV[R]_n :=
  q - eta *: \col_i (((1 - beta1) * g i 0 / (1 - beta1))
                     / Num.sqrt ((1 - beta2) * g i 0 ^+ 2 / (1 - beta2))).

(** AdaGrad's first step with a zero accumulator and ε = 0. *)
Definition adagrad_first (R : rcfType) n (eta : R) (q g : 'cV[R]_n) : 'cV[R]_n :=
  q - eta *: \col_i (g i 0 / Num.sqrt (g i 0 ^+ 2)).

Lemma ratio_sign (R : rcfType) (x : R) : x / Num.sqrt (x ^+ 2) = Num.sg x.
Proof.
rewrite sqrtr_sqr; have [->|x0] := eqVneq x 0; first by rewrite mul0r sgr0.
by rewrite {1}[x]numEsg mulfK // normr_eq0.
Qed.

Theorem adam_first_is_sign (R : rcfType) n (beta1 beta2 eta : R) (q g : 'cV[R]_n) :
  beta1 != 1 -> beta2 != 1 -> adam_first beta1 beta2 eta q g = q - eta *: sgn_vec g.
Proof.
move=> b1 b2; congr (_ - _ *: _); apply/colP => i; rewrite !mxE.
have c1 : 1 - beta1 != 0 by rewrite subr_eq0 eq_sym.
have c2 : 1 - beta2 != 0 by rewrite subr_eq0 eq_sym.
by rewrite ![(1 - _) * _]mulrC !mulfK // ratio_sign.
Qed.

Theorem adagrad_first_is_sign (R : rcfType) n (eta : R) (q g : 'cV[R]_n) :
  adagrad_first eta q g = q - eta *: sgn_vec g.
Proof. by congr (_ - _ *: _); apply/colP => i; rewrite !mxE ratio_sign. Qed.

(** ** Witnesses, with gradients of -cos(q, e_1) and -cos(q, e_2) at (3,4). *)
Section Witness.
Variable R : rcfType.

Lemma sgn_pull_e1 : sgn_vec (pull_e1 R) = vec2 (-1) 1.
Proof.
by apply/colP => i; rewrite !mxE; case: ifP => _; rewrite ?sgrN gtr0_sg // divr_gt0 ?ltr0n.
Qed.

Lemma sgn_pull_e2 : sgn_vec (pull_e2 R) = vec2 1 (-1).
Proof.
by apply/colP => i; rewrite !mxE; case: ifP => _; rewrite ?sgrN gtr0_sg // divr_gt0 ?ltr0n.
Qed.

Theorem sign_step_witness (eta : R) :
  [/\ is_grad (fun x => - cosine x (vec2 1 0)) (row34 R) (pull_e1 R),
      is_grad (fun x => - cosine x (vec2 0 1)) (row34 R) (pull_e2 R),
      ⟨row34 R, (row34 R - eta *: sgn_vec (pull_e1 R)) - row34 R⟩ = - eta
    & ⟨row34 R, (row34 R - eta *: sgn_vec (pull_e2 R)) - row34 R⟩ = eta].
Proof.
split; [exact: pull_e1_gradient | exact: pull_e2_gradient | |];
  by rewrite addrAC subrr add0r ?sgn_pull_e1 ?sgn_pull_e2 !vec2E; ring.
Qed.

(** Clipping each coordinate at 12/125 (Lion and sign have no other form of it). *)
Definition clip_coord (tau : R) (g : 'cV[R]_2) : 'cV[R]_2 :=
  \col_i Num.max (- tau) (Num.min tau (g i 0)).

Theorem clip_witness (eta : R) :
  ⟨row34 R, (row34 R - eta *: clip_coord (12%:R / 125%:R) (pull_e1 R)) - row34 R⟩
  = - (12%:R / 125%:R) * eta.
Proof.
have t0 : 0 < 12%:R / 125%:R :> R by rewrite divr_gt0 ?ltr0n.
have lt : - (16%:R / 125%:R) < - (12%:R / 125%:R) :> R.
  by rewrite ltr_opp2 ltr_pmul2r ?invr_gt0 ?ltr0n // ltr_nat.
have neg (x : R) : 0 < x -> - x <= 12%:R / 125%:R.
  by move=> x0; apply: le_trans (ltW t0); rewrite oppr_le0 ltW.
have n16 : - (16%:R / 125%:R) <= 12%:R / 125%:R :> R by rewrite neg ?divr_gt0 ?ltr0n.
have n12 := neg _ t0.
have -> : clip_coord (12%:R / 125%:R) (pull_e1 R) = vec2 (- (12%:R / 125%:R)) (12%:R / 125%:R).
  apply/colP => i; rewrite !mxE; case: ifP => _.
    by rewrite min_r ?max_l //; apply: ltW.
  by rewrite min_l // max_r.
by rewrite addrAC subrr add0r !vec2E; field.
Qed.

End Witness.

(** ** Benign cases. *)
Theorem equal_magnitudes_benign (R : realFieldType) n (q g : 'cV[R]_n) (eta x : R) :
  (forall i, `|g i 0| = x) -> ⟨q, g⟩ = 0 ->
  ⟨q, (q - eta *: sgn_vec g) - q⟩ = 0.
Proof.
move=> eqx qg; rewrite addrAC subrr add0r dotNr dotZr.
have [x0|x0] := eqVneq x 0.
  have -> : sgn_vec g = 0.
    apply/colP => i; rewrite !mxE; apply/eqP; rewrite sgr_eq0 -normr_eq0 eqx.
    by rewrite x0.
  by rewrite dot0r mulr0 oppr0.
have e : g = x *: sgn_vec g by apply/colP => i; rewrite !mxE mulrC -(eqx i) -numEsg.
have /eqP : x * ⟨q, sgn_vec g⟩ = 0 by rewrite -dotZr -e.
by rewrite mulf_eq0 (negbTE x0) /= => /eqP ->; rewrite mulr0 oppr0.
Qed.

Theorem dimension_one_benign (R : realFieldType) (q g : 'cV[R]_1) :
  q != 0 -> ⟨q, g⟩ = 0 -> g = 0 /\ sgn_vec g = 0.
Proof.
move=> q0; rewrite /dot big_ord1 => /eqP; rewrite mulf_eq0 => /orP[/eqP z|/eqP z].
  by case/eqP: q0; apply/colP => i; rewrite ord1 z mxE.
have g0 : g = 0 by apply/colP => i; rewrite ord1 z mxE.
by split=> //; apply/colP => i; rewrite g0 !mxE sgr0.
Qed.

(** ** The hypotheses can hold: factors in [1, 2], gradients ±1. *)
Local Notation Q := [realFieldType of rat].

Section Examples.
Variable R : realFieldType.
Definition ex_D : 'cV[R]_2 := vec2 1 2%:R.

Lemma ex_between i : 1 <= ex_D i 0 <= 2%:R.
Proof. by rewrite !mxE; case: ifP => _; rewrite lexx ?andbT /= (ler_nat _ 1 2). Qed.

Lemma unit_gradient i : `|(vec2 1 (-1) : 'cV[R]_2) i 0| = 1.
Proof. by rewrite !mxE; case: ifP => _; rewrite ?normrN1 ?normr1. Qed.

Lemma diagonal_row : ⟨vec2 1 1 : 'cV[R]_2, vec2 1 (-1)⟩ = 0.
Proof. by rewrite vec2E; ring. Qed.

Lemma one_neq0 : (const_mx 1 : 'cV[R]_1) != 0.
Proof. by apply/eqP => /colP/(_ 0); rewrite !mxE; apply/eqP/oner_neq0. Qed.
End Examples.

Example condition_number_bound_nonvacuous : nonvacuous condition_number_bound.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ ltr01 (@ex_between Q) (pull_e1_orth Q)). Qed.

Example equal_magnitudes_benign_nonvacuous : nonvacuous equal_magnitudes_benign.
Proof. by move=> H; apply: (H _ _ _ _ 1 _ (@unit_gradient Q) (diagonal_row Q)). Qed.

Example dimension_one_benign_nonvacuous : nonvacuous dimension_one_benign.
Proof. by move=> H; apply: (H _ _ 0 (one_neq0 Q)); rewrite dot0r. Qed.
