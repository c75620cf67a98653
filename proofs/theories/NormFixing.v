(** * norm-fixing: four ways to take the norm away from training, and what each guarantees

    - Renormalise after each step to a stored radius r0 > 0: whatever the optimizer did, as
      long as its step does not land on the origin, every later row has norm exactly r0, so
      dot-product and cosine ranking agree.  The step read back from the stored rows is then
      not orthogonal: <q, q' - q> = - ‖q' - q‖² / 2, a chord, which is no violation.
    - Weight normalisation q = s v / ‖v‖ with s frozen: ‖q‖ = |s| forever.  The loss does not
      see ‖v‖, so the gradient in v is tangential and the growth moves to the unseen ‖v‖.
    - Clamp to a largest norm M: ‖q‖ <= M always, unchanged below M, exactly M above; a clamp
      only bounds norms, it does not make them equal.
    - Layer normalisation without gain and bias, with its epsilon on the variance:
      ‖q‖² = d var / (var + eps).  For eps = 0 and a row that is not constant this is d; with
      eps > 0 it is strictly less, and small rows are not lifted to norm sqrt d: at
      var = eps / 9 the norm is sqrt (d / 10).
    Source: Riemannian retraction, weight normalisation (Salimans and Kingma 2016), layer
    normalisation (Ba et al. 2016); the statements are derived here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Renormalisation to a stored radius *)
Section Renormalise.
Variables (R : rcfType) (n : nat).
Implicit Types (q p u : 'cV[R]_n) (r : R).

Definition renormalise r p : 'cV[R]_n := (r / norm p) *: p.

Theorem renormalise_norm r p : 0 <= r -> p != 0 -> norm (renormalise r p) = r.
Proof.
rewrite -norm_gt0 => r0 p0; rewrite normZ ger0_norm ?divr_ge0 ?norm_ge0 //.
by rewrite divfK // gt_eqF.
Qed.

(** Nothing is done to a row that already has the radius. *)
Theorem renormalise_fixed r p : p != 0 -> norm p = r -> renormalise r p = p.
Proof. by rewrite -norm_gt0 => p0 <-; rewrite /renormalise divff ?scale1r // gt_eqF. Qed.

(** A run: any optimizer proposes p_t, the stored row is its renormalisation. *)
Theorem renormalised_run (q p : nat -> 'cV[R]_n) r :
  0 <= r -> norm (q 0%N) = r ->
  (forall t, p t != 0) -> (forall t, q t.+1 = renormalise r (p t)) ->
  forall t, norm (q t) = r.
Proof. by move=> r0 q0 p0 qS [|t] //; rewrite qS renormalise_norm. Qed.

(** A step orthogonal to the row never lands on the origin: with cosine losses and scalar
    steps the run above never stops. *)
Theorem orthogonal_step_avoids_origin q s : q != 0 -> ⟨q, s⟩ = 0 -> q + s != 0.
Proof.
rewrite -!nrm2_gt0 => q0 qs; rewrite pythagoras //.
by apply: ltr_paddr q0; apply: nrm2_ge0.
Qed.

(** Between rows of equal norm the step leans inward by half its squared length: a chord. *)
Theorem chord_identity q q' : norm q = norm q' -> ⟨q, q' - q⟩ = - (‖q' - q‖² / 2%:R).
Proof.
move=> /esym nn; have e : ‖q'‖² = ‖q‖² by rewrite -!norm_sqr nn.
by rewrite nrm2B dotBr e dotC mulr2n; set x := ⟨q', q⟩; field; rewrite ?pnatr_eq0.
Qed.

(** At equal norms the dot product ranks as the cosine does. *)
Theorem equal_norms_rank_alike u q q' r : u != 0 -> 0 < r -> norm q = r -> norm q' = r ->
  (⟨u, q⟩ < ⟨u, q'⟩) = (cosine u q < cosine u q').
Proof.
rewrite -norm_gt0 => u0 r0 qr qr'; rewrite /cosine qr qr'.
by rewrite ltr_pmul2r // invr_gt0 mulr_gt0.
Qed.

End Renormalise.

(** ** Weight normalisation *)
Section WeightNorm.
Variables (R : rcfType) (n : nat).
Implicit Types (v : 'cV[R]_n) (s : R).

Definition weight_norm s v : 'cV[R]_n := (s / norm v) *: v.

Theorem weight_norm_norm s v : v != 0 -> norm (weight_norm s v) = `|s|.
Proof.
rewrite -norm_gt0 => v0; rewrite normZ normrM normfV (gtr0_norm v0).
by rewrite divfK // gt_eqF.
Qed.

(** The embedding does not see the length of v ... *)
Lemma weight_norm_scale s v c : 0 < c -> weight_norm s (c *: v) = weight_norm s v.
Proof.
move=> c0; have [->|v0] := eqVneq v 0; first by rewrite scaler0.
have nv : norm v != 0 by rewrite norm_eq0.
by rewrite /weight_norm normZ gtr0_norm // scalerA; congr (_ *: _); field; rewrite nv gt_eqF.
Qed.

(** ... so the gradient in v is tangential, for any loss whatever, cosine or not, and one
    step of gradient descent lengthens v while the embedding keeps its norm. *)
Theorem weight_norm_growth_is_unseen (L : 'cV[R]_n -> R) s v g eta :
  v != 0 -> is_grad (fun w => L (weight_norm s w)) v g ->
  [/\ ⟨v, g⟩ = 0, ‖v - eta *: g‖² = ‖v‖² + eta ^+ 2 * ‖g‖²
    & norm (weight_norm s (v - eta *: g)) = `|s|].
Proof.
move=> v0 dg; have vg : ⟨v, g⟩ = 0.
  by apply: euler_grad_orth dg => c c0; rewrite weight_norm_scale.
have e : ‖v - eta *: g‖² = ‖v‖² + eta ^+ 2 * ‖g‖².
  by rewrite -scaleNr pythagoras ?nrm2Z ?sqrrN // dotZr vg mulr0.
split=> //; apply: weight_norm_norm; rewrite -nrm2_gt0 e ltr_paddr ?nrm2_gt0 //.
by rewrite mulr_ge0 ?sqr_ge0 ?nrm2_ge0.
Qed.

End WeightNorm.

(** ** Clamping the norm *)
Section Clamp.
Variables (R : rcfType) (n : nat).
Implicit Types (p : 'cV[R]_n) (M : R).

Definition clamp M p : 'cV[R]_n := if norm p <= M then p else renormalise M p.

Theorem clamp_bound M p : 0 <= M -> norm (clamp M p) <= M.
Proof.
rewrite /clamp => M0; case: ifP => // /negbT; rewrite -ltNge => lt.
by rewrite renormalise_norm // -norm_gt0; apply: le_lt_trans lt.
Qed.

(** Exactly: the norm becomes the smaller of the two. *)
Theorem clamp_norm M p : 0 <= M -> norm (clamp M p) = Num.min (norm p) M.
Proof.
rewrite /clamp => M0; case: (leP (norm p) M) => // lt.
by rewrite renormalise_norm // -norm_gt0; apply: le_lt_trans lt.
Qed.

Theorem clamp_inactive M p : norm p <= M -> clamp M p = p.
Proof. by rewrite /clamp => ->. Qed.

(** The direction is kept. *)
Theorem clamp_direction M p : 0 < M -> exists2 c, 0 < c & clamp M p = c *: p.
Proof.
move=> M0; rewrite /clamp; case: ifP => [_|/negbT]; first by exists 1; rewrite ?ltr01 ?scale1r.
rewrite -ltNge => lt; exists (M / norm p) => //.
by rewrite divr_gt0 //; apply: lt_trans lt.
Qed.

(** A run: any optimizer proposes p_t, the clamp is applied to it. *)
Theorem clamped_run (q p : nat -> 'cV[R]_n) M :
  0 <= M -> norm (q 0%N) <= M -> (forall t, q t.+1 = clamp M (p t)) ->
  forall t, norm (q t) <= M.
Proof. by move=> M0 q0 qS [|t] //; rewrite qS; apply: clamp_bound. Qed.

End Clamp.

(** ** Layer normalisation without gain and bias *)
Section LayerNorm.
Variables (R : realFieldType) (d : nat).
Implicit Types (x : 'cV[R]_d.+1) (eps : R).

(** The mean, the centred row and the (population) variance. *)
Definition mean x : R := (\sum_i x i 0) / d.+1%:R.
Definition centred x : 'cV[R]_d.+1 := x - const_mx (mean x).
Definition variance x : R := ‖centred x‖² / d.+1%:R.

Lemma variance_ge0 x : 0 <= variance x.
Proof. by rewrite divr_ge0 ?nrm2_ge0 ?ler0n. Qed.

(** The variance vanishes for constant rows only. *)
Theorem variance_eq0 x : (variance x == 0) = (x == const_mx (mean x)).
Proof.
by rewrite mulf_eq0 invr_eq0 pnatr_eq0 orbF nrm2_eq0 subr_eq0.
Qed.

End LayerNorm.

Section LayerNormSqrt.
Variables (R : rcfType) (d : nat).
Implicit Types (x : 'cV[R]_d.+1) (eps : R).

Definition layer_norm eps x : 'cV[R]_d.+1 := (Num.sqrt (variance x + eps))^-1 *: centred x.

(** The exact squared norm, epsilon included. *)
Theorem layer_norm_norm eps x : 0 <= eps ->
  ‖layer_norm eps x‖² = d.+1%:R * (variance x / (variance x + eps)).
Proof.
move=> e0; rewrite nrm2Z exprVn sqr_sqrtr ?addr_ge0 ?variance_ge0 //.
rewrite {2}/variance; set v := (variance x + eps)^-1; set c := ‖centred x‖².
by field; rewrite gt_eqF // ltr_paddr ?ler0n ?ltr01.
Qed.

(** Without epsilon every row that is not constant gets squared norm d. *)
Theorem layer_norm_fixes_norm x : x != const_mx (mean x) -> ‖layer_norm 0 x‖² = d.+1%:R.
Proof.
by rewrite -variance_eq0 => v0; rewrite layer_norm_norm // addr0 divff // mulr1.
Qed.

(** With epsilon the squared norm is strictly below d. *)
Theorem layer_norm_epsilon_below eps x : 0 < eps -> ‖layer_norm eps x‖² < d.+1%:R.
Proof.
move=> e0; rewrite layer_norm_norm ?(ltW e0) // gtr_pmulr ?ltr0n //.
rewrite ltr_pdivr_mulr; last by apply: ltr_paddl e0; apply: variance_ge0.
by rewrite mul1r ltr_addl.
Qed.

(** The shortfall, exactly: relative loss eps / (var + eps) of the squared norm. *)
Theorem layer_norm_shortfall eps x : 0 < eps ->
  d.+1%:R - ‖layer_norm eps x‖² = d.+1%:R * (eps / (variance x + eps)).
Proof.
move=> e0; rewrite layer_norm_norm ?(ltW e0) //; field.
by rewrite gt_eqF // ltr_paddl ?variance_ge0.
Qed.

(** Where the variance is a ninth of epsilon, a tenth of d is left. *)
Theorem layer_norm_small_rows eps x : 0 < eps -> variance x = eps / 9%:R ->
  ‖layer_norm eps x‖² = d.+1%:R / 10%:R.
Proof.
move=> e0 v; rewrite layer_norm_norm ?(ltW e0) // v.
have -> : eps / 9%:R + eps = eps * (10%:R / 9%:R) by field.
by field; rewrite gt_eqF.
Qed.

(** A run: whatever the layers below do, the output of layer normalisation keeps the norm. *)
Theorem layer_norm_run (x : nat -> 'cV[R]_d.+1) :
  (forall t, x t != const_mx (mean (x t))) -> forall t, ‖layer_norm 0 (x t)‖² = d.+1%:R.
Proof. by move=> xc t; apply: layer_norm_fixes_norm. Qed.

End LayerNormSqrt.
