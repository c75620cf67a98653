(** * radial-angle-bound: how far a partly violated condition can tilt the step.

    Let K be symmetric with m I ≤ K ≤ M I, 0 < m, that is m‖v‖² ≤ ⟨v,Kv⟩ ≤ M‖v‖², and
    κ = M/m.  For g ⟂ q,
        |cos(q, K g)| ≤ (M - m)/(M + m) = (κ - 1)/(κ + 1),
    and the bound is attained for every m and M.  It is exact for the step -ηKg of linear
    encoders and diagonal preconditioners, first order for deep encoders.  For Adam-like
    preconditioners κ is so large that the bound says little.
    Source: the inequality for ⟨g,Kg⟩ is Kantorovich's (Wielandt's form of it); the
    application is derived here.
    Proof: ‖Av‖² ≤ (M-m)⟨v,Av⟩ for A = K - mI by Cauchy–Schwarz for the form ⟨·,A·⟩, which is
    ‖Kg‖² - (m+M)⟨g,Kg⟩ + mM‖g‖² ≤ 0; with (a+b)² ≥ 4ab this is Kantorovich's inequality
    4mM‖g‖²‖Kg‖² ≤ (m+M)²⟨g,Kg⟩².  As g ⟂ q, ⟨q,Kg⟩ = ⟨q,Kg - cg⟩ for every c; take the c
    that makes Kg - cg orthogonal to g, and apply Cauchy–Schwarz. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Bound.
Variables (R : realFieldType) (n : nat).
Implicit Types (q g v x y : 'cV[R]_n) (K A : 'M[R]_n) (a b c m M : R).

(** A quadratic that is nowhere negative has no positive discriminant. *)
Lemma discriminant a b c : (forall t, 0 <= a + 2%:R * t * b + t ^+ 2 * c) ->
  0 <= c -> b ^+ 2 <= a * c.
Proof.
move=> h; rewrite le_eqVlt => /orP[/eqP c0|c0].
  have [->|b0] := eqVneq b 0; first by rewrite -c0 mulr0 expr0n.
  have := h (- (a + 1) / (2%:R * b)); rewrite -c0 mulr0 addr0.
  have -> : a + 2%:R * (- (a + 1) / (2%:R * b)) * b = -1 by field.
  by rewrite oppr_ge0 lt_geF ?ltr01.
have := h (- b / c).
have -> : a + 2%:R * (- b / c) * b + (- b / c) ^+ 2 * c = (a * c - b ^+ 2) / c.
  by field; rewrite gt_eqF.
by rewrite pmulr_lge0 ?invr_gt0 // subr_ge0.
Qed.

Definition pos_semidef A := forall v, 0 <= ⟨v, A *m v⟩.

(** Cauchy–Schwarz for the form of a symmetric positive semidefinite matrix. *)
Lemma form_cauchy_schwarz A x y : A^T = A -> pos_semidef A ->
  ⟨x, A *m y⟩ ^+ 2 <= ⟨x, A *m x⟩ * ⟨y, A *m y⟩.
Proof.
move=> As Ap; apply: discriminant (Ap y) => t.
have := Ap (x + t *: y); rewrite mulmxDr -scalemxAr dotDl !dotDr !dotZl !dotZr.
have -> : ⟨y, A *m x⟩ = ⟨x, A *m y⟩ by rewrite dotC dot_mulmx As.
set u := ⟨x, A *m x⟩; set v := ⟨x, A *m y⟩; set w := ⟨y, A *m y⟩.
suff -> : u + t * v + (t * v + t * (t * w)) = u + 2%:R * t * v + t ^+ 2 * w by [].
ring.
Qed.

(** The hypothesis on the kernel: m I ≤ K ≤ M I. *)
Definition form_bounds K m M := forall v, m * ‖v‖² <= ⟨v, K *m v⟩ <= M * ‖v‖².

(** (K - m)(M - K) is positive semidefinite, with no spectral theorem. *)
Lemma between_bounds K m M v : K^T = K -> m <= M -> form_bounds K m M ->
  ‖K *m v‖² + m * M * ‖v‖² <= (m + M) * ⟨v, K *m v⟩.
Proof.
move=> Ks mM B; pose A := K - m *: 1%:M.
have Av x : A *m x = K *m x - m *: x by rewrite mulmxBl -scalemxAl mul1mx.
have As : A^T = A by rewrite /A linearB /= linearZ /= trmx1 Ks.
have Ae x : ⟨x, A *m x⟩ = ⟨x, K *m x⟩ - m * ‖x‖² by rewrite Av dotBr dotZr.
have Ap : pos_semidef A by move=> x; rewrite Ae subr_ge0; case/andP: (B x).
have Au x : ⟨x, A *m x⟩ <= (M - m) * ‖x‖².
  by rewrite Ae mulrBl ler_add2r; case/andP: (B x).
have key : ‖A *m v‖² <= (M - m) * ⟨v, A *m v⟩.
  have [e|ne] := eqVneq (A *m v) 0.
    by rewrite {1}e dot0l mulr_ge0 ?subr_ge0.
  have p0 : 0 < ‖A *m v‖² by rewrite nrm2_gt0.
  rewrite -(ler_pmul2l p0) -expr2.
  apply: le_trans (form_cauchy_schwarz (A *m v) v As Ap) _.
  rewrite mulrA; apply: ler_wpmul2r (Ap v) _ _ _.
  by rewrite mulrC; apply: Au.
move: key; rewrite Ae Av nrm2B nrm2Z dotZr [⟨K *m v, v⟩]dotC mulr2n.
set u := ‖K *m v‖²; set w := ⟨v, K *m v⟩; set z := ‖v‖² => key.
rewrite -subr_ge0; rewrite -subr_ge0 in key.
suff -> : (m + M) * w - (u + m * M * z)
  = (M - m) * (w - m * z) - (u - (m * w + m * w) + m ^+ 2 * z) by [].
ring.
Qed.

(** Kantorovich's inequality. *)
Theorem kantorovich K m M g : K^T = K -> 0 < m -> m <= M -> form_bounds K m M ->
  4%:R * (m * M) * (‖g‖² * ‖K *m g‖²) <= ((m + M) * ⟨g, K *m g⟩) ^+ 2.
Proof.
move=> Ks m0 mM B; have h := between_bounds g Ks mM B.
have M0 : 0 < M := lt_le_trans m0 mM.
have s0 : 0 <= ‖K *m g‖² + m * M * ‖g‖².
  by rewrite addr_ge0 ?mulr_ge0 ?nrm2_ge0 // ltW.
apply: (le_trans (y := (‖K *m g‖² + m * M * ‖g‖²) ^+ 2)); last first.
  by rewrite ler_pexpn2r ?nnegrE //; apply: le_trans s0 h.
set u := ‖K *m g‖²; set z := ‖g‖²; rewrite -subr_ge0.
have -> : (u + m * M * z) ^+ 2 - 4%:R * (m * M) * (z * u) = (u - m * M * z) ^+ 2 by ring.
exact: sqr_ge0.
Qed.

(** The bound, in squares: no root is needed. *)
Theorem radial_angle_bound K m M q g : K^T = K -> 0 < m -> m <= M -> form_bounds K m M ->
  ⟨q, g⟩ = 0 ->
  ((M + m) * ⟨q, K *m g⟩) ^+ 2 <= (M - m) ^+ 2 * (‖q‖² * ‖K *m g‖²).
Proof.
move=> Ks m0 mM B qg.
have [->|g0] := eqVneq g 0; first by rewrite mulmx0 !dot0r !mulr0 expr0n.
have z0 : 0 < ‖g‖² by rewrite nrm2_gt0.
have kant := kantorovich g Ks m0 mM B.
set w := ⟨g, K *m g⟩ in kant *; set u := ‖K *m g‖² in kant *; set z := ‖g‖² in z0 kant *.
pose y := K *m g - (w / z) *: g.
have qy : ⟨q, K *m g⟩ = ⟨q, y⟩ by rewrite dotBr dotZr qg mulr0 subr0.
have yn : z * ‖y‖² = z * u - w ^+ 2.
  rewrite nrm2B nrm2Z dotZr [⟨K *m g, g⟩]dotC -/u -/z -/w mulr2n.
  by field; rewrite gt_eqF.
have cs := cauchy_schwarz q y; rewrite -qy in cs.
have s0 : 0 <= (M + m) ^+ 2 by apply: sqr_ge0.
rewrite -(ler_pmul2l z0) exprMn.
apply: (le_trans (y := (M + m) ^+ 2 * (‖q‖² * (z * ‖y‖²)))).
  by rewrite mulrCA ler_wpmul2l // [X in _ <= X]mulrCA ler_wpmul2l // ltW.
rewrite yn -subr_ge0.
have -> : z * ((M - m) ^+ 2 * (‖q‖² * u)) - (M + m) ^+ 2 * (‖q‖² * (z * u - w ^+ 2))
  = ‖q‖² * (((m + M) * w) ^+ 2 - 4%:R * (m * M) * (z * u)) by ring.
by rewrite mulr_ge0 ?nrm2_ge0 // subr_ge0.
Qed.

(** A diagonal preconditioner: the bounds are those of its entries. *)
Theorem diagonal_form_bounds (D : 'rV[R]_n) m M : (forall i, m <= D 0 i <= M) ->
  (diag_mx D)^T = diag_mx D /\ form_bounds (diag_mx D) m M.
Proof.
move=> DB; split=> [|v]; first exact: tr_diag_mx.
have -> : ⟨v, diag_mx D *m v⟩ = \sum_i D 0 i * (v i 0) ^+ 2.
  by apply: eq_bigr => i _; rewrite mul_diag_mx mxE mulrCA -expr2.
rewrite /dot !mulr_sumr; apply/andP; split; apply: ler_sum => i _; rewrite -expr2;
  by apply: ler_wpmul2r (sqr_ge0 _) _ _ _; case/andP: (DB i).
Qed.

End Bound.

(** The bound is attained: K = diag(a², b²), g = (b,a), q = (a,-b). *)
Theorem radial_angle_bound_attained (R : realFieldType) (a b : R) :
  0 < a -> a <= b ->
  exists (K : 'M[R]_2) (q g : 'cV[R]_2),
    [/\ K^T = K, form_bounds K (a ^+ 2) (b ^+ 2), ⟨q, g⟩ = 0, (q != 0) && (g != 0)
      & ((b ^+ 2 + a ^+ 2) * ⟨q, K *m g⟩) ^+ 2
        = (b ^+ 2 - a ^+ 2) ^+ 2 * (‖q‖² * ‖K *m g‖²)].
Proof.
move=> a0 ab; have b0 : 0 < b := lt_le_trans a0 ab.
exists (mat2 (a ^+ 2) 0 0 (b ^+ 2)), (vec2 a (- b)), (vec2 b a); split.
- by rewrite trmx_mat2.
- move=> v; have -> : v = vec2 (v 0 0) (v 1 0).
    apply/colP => -[[|[|//]] hi]; rewrite !mxE /=; congr (v _ _); exact: val_inj.
  move: (v 0 0) (v 1 0) => x y; rewrite !vec2E !mul0r addr0 add0r.
  have ab2 : 0 <= b ^+ 2 - a ^+ 2 by rewrite subr_ge0 ler_pexpn2r ?nnegrE ?(ltW a0) ?(ltW b0).
  apply/andP; split; rewrite -subr_ge0.
    have -> : x * (a ^+ 2 * x) + y * (b ^+ 2 * y) - a ^+ 2 * (x * x + y * y)
      = (b ^+ 2 - a ^+ 2) * y ^+ 2 by ring.
    by rewrite mulr_ge0 ?sqr_ge0.
  have -> : b ^+ 2 * (x * x + y * y) - (x * (a ^+ 2 * x) + y * (b ^+ 2 * y))
    = (b ^+ 2 - a ^+ 2) * x ^+ 2 by ring.
  by rewrite mulr_ge0 ?sqr_ge0.
- by rewrite dot_vec2; ring.
- by rewrite -!nrm2_gt0 !dot_vec2 mulrNN !addr_gt0 ?mulr_gt0.
- by rewrite !vec2E; ring.
Qed.

(** ** As an angle *)
Section Angle.
Variables (R : rcfType) (n : nat).
Implicit Types (q g : 'cV[R]_n) (K : 'M[R]_n) (m M : R).

Theorem cosine_bound K m M q g : K^T = K -> 0 < m -> m <= M -> form_bounds K m M ->
  q != 0 -> g != 0 -> ⟨q, g⟩ = 0 -> `|cosine q (K *m g)| <= (M / m - 1) / (M / m + 1).
Proof.
move=> Ks m0 mM B q0 g0 qg; have M0 : 0 < M := lt_le_trans m0 mM.
have Mm : 0 < M + m by rewrite addr_gt0.
have kE : (M / m - 1) / (M / m + 1) = (M - m) / (M + m).
  by field; rewrite !gt_eqF.
have Kg0 : K *m g != 0.
  apply: contraTneq (B g) => ->; rewrite dot0r pmulr_rle0 //.
  by rewrite leNgt nrm2_gt0 g0.
have nq : 0 < norm q by rewrite norm_gt0.
have nK : 0 < norm (K *m g) by rewrite norm_gt0.
rewrite kE /cosine normrM normfV (gtr0_norm (mulr_gt0 nq nK)).
rewrite ler_pdivr_mulr ?mulr_gt0 // mulrAC ler_pdivl_mulr //.
rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?mulr_ge0 ?norm_ge0 ?normr_ge0 ?subr_ge0 ?(ltW Mm) //.
rewrite !exprMn !norm_sqr -normrX ger0_norm ?sqr_ge0 // mulrC -exprMn.
exact: radial_angle_bound.
Qed.

(** The angle of the SGD step -ηKg itself. *)
Corollary step_cosine_bound K m M q g eta : 0 < eta ->
  K^T = K -> 0 < m -> m <= M -> form_bounds K m M ->
  q != 0 -> g != 0 -> ⟨q, g⟩ = 0 ->
  `|cosine q (- eta *: (K *m g))| <= (M / m - 1) / (M / m + 1).
Proof.
move=> eta0 Ks m0 mM B q0 g0 qg; rewrite scaleNr -scalerN cosineC cosine_scale // cosineC.
by rewrite -mulmxN cosine_bound // ?oppr_eq0 // dotNr qg oppr0.
Qed.

(** Attained for every m and M. *)
Theorem cosine_bound_attained m M : 0 < m -> m <= M ->
  exists (K : 'M[R]_2) (q g : 'cV[R]_2),
    [/\ K^T = K, form_bounds K m M, ⟨q, g⟩ = 0, (q != 0) && (g != 0)
      & ((M + m) * ⟨q, K *m g⟩) ^+ 2 = (M - m) ^+ 2 * (‖q‖² * ‖K *m g‖²)].
Proof.
move=> m0 mM; have M0 : 0 < M := lt_le_trans m0 mM.
have a0 : 0 < Num.sqrt m by rewrite sqrtr_gt0.
have ab : Num.sqrt m <= Num.sqrt M by apply: ler_wsqrtr.
have := radial_angle_bound_attained a0 ab.
by rewrite !sqr_sqrtr ?(ltW m0) ?(ltW M0).
Qed.

End Angle.

(** κ = 9: K = diag(1,9), g = (3,1), q = (1,-3); the cosine is -4/5 = -(9-1)/(9+1). *)
Example kappa_nine (R : rcfType) :
  cosine (vec2 1 (- 3%:R) : 'cV[R]_2) (mat2 1 0 0 9%:R *m vec2 3%:R 1) = - (4%:R / 5%:R).
Proof.
have -> : mat2 1 0 0 9%:R *m vec2 3%:R 1 = 3%:R *: vec2 1 3%:R :> 'cV[R]_2.
  by rewrite !vec2E; congr vec2; ring.
rewrite cosineC cosine_scale ?ltr0n // /cosine dot_vec2.
have -> : norm (vec2 1 (- 3%:R) : 'cV[R]_2) = norm (vec2 1 3%:R : 'cV[R]_2).
  by rewrite /norm !dot_vec2 mulrNN.
have -> : norm (vec2 1 3%:R : 'cV[R]_2) * norm (vec2 1 3%:R : 'cV[R]_2) = 10%:R.
  by rewrite -expr2 norm_sqr dot_vec2; ring.
by field.
Qed.
