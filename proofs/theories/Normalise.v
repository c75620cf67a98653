(** * Normalise: the derivative of q ↦ q / s(q), and of normalisation q ↦ q/‖q‖.

    For a scalar field s with s(q) > 0 and total gradient σ at q, the map q ↦ q / s(q) has
    the Jacobian (1/s)(I - q σᵀ / s) ([jacobian_divide]).  With s = ‖·‖, σ = q̂ this is
    P_q / ‖q‖, where P_q = I - q̂ q̂ᵀ is the projection on the tangent space
    ([jacobian_normalise]).  Other choices of s give every way in which an epsilon enters
    a cosine (EpsilonLeak.v).
    Proof of the first: with δ = s(q+v) - s(q) and r = δ - ⟨σ,v⟩ the remainder is
    - δ/(s² s(q+v)) (s v - δ q) - (r/s²) q, quadratic in v but for the o(‖v‖) term r.
    Proof for the norm: the remainder of ‖·‖ is (‖v‖² - (‖q+v‖ - ‖q‖)²) / (2‖q‖),
    between 0 and ‖v‖²/(2‖q‖).  No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Divide.
Variables (R : realFieldType) (n : nat).
Implicit Types (q v g : 'cV[R]_n) (s : 'cV[R]_n -> R).

Lemma fgrad_bounded s q g : is_fgrad s q g ->
  exists C d : R, [/\ 0 < C, 0 < d &
    forall v, ‖v‖² < d -> (s (q + v) - s q) ^+ 2 <= C * ‖v‖²].
Proof.
move=> D; have [d d0 H] := D _ ltr01.
exists (2%:R + ‖g‖² *+ 2), d; split => //.
  by rewrite ltr_paddr ?ltr0n // mulrn_wge0 ?nrm2_ge0.
move=> v /H; rewrite mul1r => A.
have -> : s (q + v) - s q = (s (q + v) - s q - ⟨g, v⟩) + ⟨g, v⟩ by rewrite subrK.
apply: le_trans (sqrD_le _ _) _; rewrite mulrDl.
apply: ler_add; first by rewrite -[_ *+ 2]mulr_natl ler_wpmul2l ?ler0n.
by rewrite mulrnAl ler_pmuln2r // cauchy_schwarz.
Qed.

(** The Jacobian of q ↦ q / s(q). *)
Definition divide_jac (q g : 'cV[R]_n) (a : R) : 'M[R]_n :=
  a^-1 *: (1%:M - a^-1 *: (q *m g^T)).

Lemma divide_jac_mul q g a v :
  divide_jac q g a *m v = a^-1 *: (v - (a^-1 * ⟨g, v⟩) *: q).
Proof.
by rewrite /divide_jac -scalemxAl mulmxBl mul1mx -scalemxAl outer_mul scalerA.
Qed.

Lemma divide_jac_trmx_mul q g a u :
  (divide_jac q g a)^T *m u = a^-1 *: (u - (a^-1 * ⟨q, u⟩) *: g).
Proof.
rewrite /divide_jac linearZ /= linearB /= trmx1 linearZ /= trmx_mul trmxK.
by rewrite -scalemxAl mulmxBl mul1mx -scalemxAl outer_mul scalerA.
Qed.

Lemma jacobian_divide s q g : 0 < s q -> is_fgrad s q g ->
  is_jacobian (fun x => (s x)^-1 *: x) q (divide_jac q g (s q)).
Proof.
move=> s0 D; have [C [d [C0 d0 H]]] := fgrad_bounded D.
set a := s q in s0 *; set N := ‖q‖².
have N0 : 0 <= N := nrm2_ge0 q.
have a2 : 0 < (a / 2%:R) ^+ 2 by rewrite exprn_gt0 // divr_gt0 ?ltr0n.
pose d' := Num.min d ((a / 2%:R) ^+ 2 / C).
have d'0 : 0 < d' by rewrite lt_minr d0 divr_gt0.
pose C1 := 4%:R * C / a ^+ 6 * (a ^+ 2 *+ 2 + C * N *+ 2).
have C10 : 0 <= C1.
  apply: mulr_ge0; first by rewrite divr_ge0 ?exprn_ge0 ?ltW // mulr_gt0 ?ltr0n.
  by rewrite addr_ge0 ?mulrn_wge0 ?sqr_ge0 // mulr_ge0 // ltW.
have C20 : 0 <= N / a ^+ 4 by rewrite divr_ge0 // exprn_ge0 // ltW.
have S := smallZ (ler0n _ 2) (smallD (@small_quad _ n _ C10) (smallZ C20 D)).
apply: small_le d'0 _ S => v; rewrite lt_minr => /andP[/H A B] /=.
set a' := s (q + v) in A *; set t := ‖v‖² in A B *; pose de := a' - a; pose r := de - ⟨g, v⟩.
have de_small : `|de| < a / 2%:R.
  apply: sqr_lt_norm; first by rewrite divr_gt0 ?ltr0n.
  by apply: le_lt_trans A _; rewrite mulrC -ltr_pdivl_mulr.
have a'_big : a / 2%:R < a'.
  move: de_small; rewrite ltr_norml => /andP[lo _].
  by rewrite -(ltr_add2r (- a)); apply: le_lt_trans lo; rewrite {2}[a]splitr opprD addrA subrr add0r.
have a'0 : 0 < a' by apply: lt_trans a'_big; rewrite divr_gt0 ?ltr0n.
have E : (a'^-1 *: (q + v) - a^-1 *: q) - divide_jac q g a *m v
       = (- (de / (a ^+ 2 * a'))) *: (a *: v - de *: q) + (- (r / a ^+ 2)) *: q.
  rewrite divide_jac_mul; apply/colP => i; rewrite !mxE.
  have key (x y b : R) : a'^-1 * (x + y) - a^-1 * x - a^-1 * (y - a^-1 * b * x)
      = - ((a' - a) / (a ^+ 2 * a')) * (a * y - (a' - a) * x)
        + - ((a' - a - b) / a ^+ 2) * x.
    by field; rewrite !gt_eqF.
  exact: key.
rewrite E; apply: le_trans (nrm2D_le _ _) _.
rewrite mulr_natl -mulrnDl ler_pmuln2r //; apply: ler_add.
  rewrite nrm2Z sqrrN.
  apply: (le_trans (y := (C * t) / (a ^+ 4 * (a / 2%:R) ^+ 2) * ((a ^+ 2 *+ 2 + C * N *+ 2) * t))).
    apply: ler_pmul; rewrite ?sqr_ge0 ?nrm2_ge0 //.
      rewrite expr_div_n exprMn -exprM.
      apply: ler_pmul; [exact: sqr_ge0| | exact: A |].
        by rewrite invr_ge0 mulr_ge0 // ?sqr_ge0 // exprn_ge0 // ltW.
      rewrite lef_pinv ?posrE ?mulr_gt0 ?exprn_gt0 ?invr_gt0 ?ltr0n //.
      apply: ler_wpmul2l; first by rewrite exprn_ge0 // ltW.
      by rewrite ler_pexpn2r ?nnegrE ?ltW // divr_gt0 ?ltr0n.
    apply: le_trans (nrm2D_le _ _) _.
    rewrite nrm2N !nrm2Z -/t -/N mulrDl; apply: ler_add; first by rewrite mulrnAl.
    rewrite mulrnAl ler_pmuln2r // [C * N * t]mulrAC.
    exact: (ler_wpmul2r N0 A).
  rewrite le_eqVlt; apply/orP; left; apply/eqP; rewrite /C1; field.
  by rewrite gt_eqF.
rewrite nrm2Z sqrrN -/N -/a.
have key (x y b : R) : b != 0 -> (x / b ^+ 2) ^+ 2 * y = y / b ^+ 4 * x ^+ 2.
  by move=> b0; field; rewrite b0.
by rewrite key // gt_eqF.
Qed.

End Divide.

(** ** The norm, normalisation and the tangent projection. *)
Section Normalise.
Variables (R : rcfType) (n : nat).
Implicit Types (p q u v a : 'cV[R]_n).

Lemma dot_le_norm u v : ⟨u, v⟩ <= norm u * norm v.
Proof.
have [h|h] := ltP ⟨u, v⟩ 0; first by apply: ltW (lt_le_trans h _); rewrite mulr_ge0 ?norm_ge0.
rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?mulr_ge0 ?norm_ge0 //.
by rewrite exprMn !norm_sqr cauchy_schwarz.
Qed.

Lemma normN u : norm (- u) = norm u.
Proof. by rewrite /norm nrm2N. Qed.

Lemma abs_dot_le_norm u v : `|⟨u, v⟩| <= norm u * norm v.
Proof.
rewrite ler_norml dot_le_norm andbT ler_oppl -dotNl -[norm u]normN.
exact: dot_le_norm.
Qed.

Lemma norm_triangle u v : norm (u + v) <= norm u + norm v.
Proof.
rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?addr_ge0 ?norm_ge0 //.
rewrite norm_sqr nrm2D sqrrD !norm_sqr ler_add2r ler_add2l ler_pmuln2r //.
exact: dot_le_norm.
Qed.

Lemma norm0 : norm (0 : 'cV[R]_n) = 0.
Proof. by rewrite /norm dot0l sqrtr0. Qed.

Lemma norm_sum (I : Type) (r : seq I) (P : pred I) (F : I -> 'cV[R]_n) :
  norm (\sum_(i <- r | P i) F i) <= \sum_(i <- r | P i) norm (F i).
Proof.
elim/big_rec2: _ => [|i y x _ IH]; first by rewrite norm0.
by apply: le_trans (norm_triangle _ _) _; rewrite ler_add2l.
Qed.

(** The gradient of the norm is the unit vector. *)
Lemma fgrad_norm q : q != 0 -> is_fgrad (@norm R n) q ((norm q)^-1 *: q).
Proof.
rewrite -norm_gt0 => q0; set N := norm q in q0 *.
have C0 : 0 <= (4%:R * N ^+ 2)^-1 by rewrite invr_ge0 mulr_ge0 ?ler0n ?sqr_ge0.
apply: small_le ltr01 _ (@small_quad _ n _ C0) => v _ /=.
set M := norm (q + v).
have E : M - N - ⟨N^-1 *: q, v⟩ = (‖v‖² - (M - N) ^+ 2) / (2%:R * N).
  have ME : M ^+ 2 = N ^+ 2 + 2%:R * ⟨q, v⟩ + ‖v‖² by rewrite !norm_sqr nrm2D mulr_natl.
  rewrite dotZl; have -> : ‖v‖² = M ^+ 2 - N ^+ 2 - 2%:R * ⟨q, v⟩ by rewrite ME; ring.
  by field; rewrite gt_eqF.
have lo : (M - N) ^+ 2 <= ‖v‖².
  have -> : ‖v‖² = ‖(q + v) - q‖² by rewrite [q + v]addrC addrK.
  rewrite nrm2B sqrrB !norm_sqr ler_add2r ler_add2l ler_opp2 ler_pmuln2r //.
  exact: dot_le_norm.
rewrite E expr_div_n.
have -> : (2%:R * N) ^+ 2 = 4%:R * N ^+ 2 by ring.
rewrite mulrC; apply: ler_wpmul2l => //.
rewrite ler_pexpn2r ?nnegrE ?nrm2_ge0 ?subr_ge0 //.
by rewrite ler_subl_addr ler_addl sqr_ge0.
Qed.

Definition normalise q : 'cV[R]_n := (norm q)^-1 *: q.

Lemma normalise_norm q : q != 0 -> norm (normalise q) = 1.
Proof.
rewrite -norm_gt0 => q0; rewrite /normalise normZ normfV gtr0_norm //.
by rewrite mulVf // gt_eqF.
Qed.

Lemma normalise_nrm2 q : q != 0 -> ‖normalise q‖² = 1.
Proof. by move=> /normalise_norm h; rewrite -norm_sqr h expr1n. Qed.

Lemma normaliseE q : q = norm q *: normalise q.
Proof.
have [->|q0] := eqVneq q 0; first by rewrite norm0 scale0r.
by rewrite /normalise scalerA divff ?scale1r // norm_eq0.
Qed.

Lemma normalise_scale c q : 0 < c -> normalise (c *: q) = normalise q.
Proof.
move=> c0; rewrite /normalise normZ gtr0_norm // scalerA invfM mulrAC.
by rewrite mulVf ?mul1r // gt_eqF.
Qed.

Lemma cosine_normalise q p : cosine q p = ⟨normalise q, normalise p⟩.
Proof. by rewrite /cosine /normalise dotZl dotZr invfM [LHS]mulrC -mulrA. Qed.

(** P_q = I - q̂ q̂ᵀ, the projection on the space orthogonal to q. *)
Definition tangent_proj q : 'M[R]_n := 1%:M - normalise q *m (normalise q)^T.

Lemma tangent_proj_mul q a : tangent_proj q *m a = a - ⟨normalise q, a⟩ *: normalise q.
Proof. by rewrite /tangent_proj mulmxBl mul1mx outer_mul. Qed.

Lemma tangent_proj_orth q a : ⟨q, tangent_proj q *m a⟩ = 0.
Proof.
have [->|q0] := eqVneq q 0; first by rewrite dot0l.
rewrite tangent_proj_mul {1}[q]normaliseE dotZl dotBr dotZr normalise_nrm2 //.
by rewrite mulr1 subrr mulr0.
Qed.

Lemma tangent_proj_idem q a : ⟨q, a⟩ = 0 -> tangent_proj q *m a = a.
Proof. by move=> qa; rewrite tangent_proj_mul /normalise dotZl qa mulr0 scale0r subr0. Qed.

Lemma tangent_proj_nrm2 q a : q != 0 ->
  ‖tangent_proj q *m a‖² = ‖a‖² - ⟨normalise q, a⟩ ^+ 2.
Proof.
move=> q0; rewrite tangent_proj_mul nrm2B nrm2Z dotZr normalise_nrm2 // (dotC a).
by rewrite mulr2n; ring.
Qed.

Lemma tangent_proj_norm_le q a : norm (tangent_proj q *m a) <= norm a.
Proof.
have [->|q0] := eqVneq q 0.
  by rewrite tangent_proj_mul /normalise scaler0 dot0l scale0r subr0.
rewrite /norm tangent_proj_nrm2 //; apply: ler_wsqrtr.
by rewrite ler_subl_addr ler_addl sqr_ge0.
Qed.

Lemma jacobian_normalise q : q != 0 ->
  is_jacobian normalise q ((norm q)^-1 *: tangent_proj q).
Proof.
move=> q0; have q1 : 0 < norm q by rewrite norm_gt0.
suff -> : (norm q)^-1 *: tangent_proj q = divide_jac q (normalise q) (norm q).
  exact: jacobian_divide q1 (fgrad_norm q0).
by rewrite /divide_jac /tangent_proj {1}/normalise scalemxAl.
Qed.

Lemma tangent_proj_sym q : (tangent_proj q)^T = tangent_proj q.
Proof. by rewrite /tangent_proj linearB /= trmx1 trmx_mul trmxK. Qed.

(** The cosine is totally differentiable, with the gradient of Cosine.v. *)
Lemma cosine_fgrad q p : q != 0 -> p != 0 ->
  is_fgrad (fun q => cosine q p) q (cos_grad q p (norm q) (norm p)).
Proof.
move=> q0 p0.
have D := fgrad_chain (jacobian_normalise q0) (fgrad_dot (normalise p) (normalise q)).
suff -> : cos_grad q p (norm q) (norm p)
        = ((norm q)^-1 *: tangent_proj q)^T *m normalise p.
  by apply: fgrad_ext D => x /=; rewrite cosine_normalise dotC.
have -> : ((norm q)^-1 *: tangent_proj q)^T = (norm q)^-1 *: tangent_proj q.
  by rewrite linearZ /= tangent_proj_sym.
rewrite -scalemxAl tangent_proj_mul /cos_grad /normalise.
rewrite dotZl dotZr scalerA.
suff -> : ⟨q, p⟩ / (norm q * norm p) / norm q = (norm q)^-1 * ((norm p)^-1 * ⟨q, p⟩) / norm q by [].
by rewrite invfM; congr (_ / _); rewrite [LHS]mulrC -mulrA.
Qed.

End Normalise.
