(** * Weight decay: the radial part and the interval test

    SGD with coupled L2 (gradient g + λq) and with decoupled decay are the same step
        q' = (1 - ηλ) q - η g,
    whose radial part is ⟨q, Δq⟩ = -ηλ‖q‖² when g ⟂ q, independent of the gradient: the
    angle is -λ‖q‖/√(‖g‖²+λ²‖q‖²), which does not vanish with η.  With s² = ‖q‖²‖g‖² and
    R = ‖q‖² the step is exactly
        R' = (1-ηλ)² R + η²s²/R,
    and the norm moves towards the balance point R*² = η²s²/(1-(1-ηλ)²) from either side:
    R' > R iff R < R*, R' = R iff R = R*.  "Never shrinks" becomes this one-step test.

    Source: van Laarhoven 2017, Wan et al. 2021 (balance point); formulas re-derived here.
    Proof: bilinearity and field arithmetic; any ordered field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** Coupled: the decay is added to the gradient.  Decoupled: the row is shrunk as well. *)
Definition coupled_step (R : realFieldType) n (eta lam : R) (q g : 'cV[R]_n) : 'cV[R]_n :=
  q - eta *: (g + lam *: q).
Definition decoupled_step (R : realFieldType) n (eta lam : R) (q g : 'cV[R]_n) : 'cV[R]_n :=
  (1 - eta * lam) *: q - eta *: g.

Section Radial.
Variables (R : realFieldType) (n : nat).
Implicit Types (q g : 'cV[R]_n) (eta lam : R).

Theorem coupled_is_decoupled eta lam q g : coupled_step eta lam q g = decoupled_step eta lam q g.
Proof.
by rewrite /coupled_step /decoupled_step scalerDr opprD scalerBl scale1r scalerA addrAC addrA.
Qed.

Theorem decay_radial_part eta lam q g : ⟨q, g⟩ = 0 ->
  ⟨q, decoupled_step eta lam q g - q⟩ = - (eta * lam) * ‖q‖².
Proof. by move=> qg; rewrite !(dotBr, dotZr) qg; ring. Qed.

(** The cosine of the angle between row and step, squared: free of η. *)
Theorem decay_angle eta lam q g : ⟨q, g⟩ = 0 -> eta != 0 -> q != 0 ->
  ‖g‖² + lam ^+ 2 * ‖q‖² != 0 ->
  ⟨q, decoupled_step eta lam q g - q⟩ ^+ 2
    / (‖q‖² * ‖decoupled_step eta lam q g - q‖²)
  = lam ^+ 2 * ‖q‖² / (‖g‖² + lam ^+ 2 * ‖q‖²).
Proof.
move=> qg eta0 q0 den; have qn : ‖q‖² != 0 by rewrite nrm2_eq0.
have -> : ‖decoupled_step eta lam q g - q‖² = eta ^+ 2 * (‖g‖² + lam ^+ 2 * ‖q‖²).
  have -> : decoupled_step eta lam q g - q = - ((eta * lam) *: q + eta *: g).
    have e (x y : 'cV[R]_n) : q - x - y - q = - (x + y).
      by rewrite -[q - x - y]addrA [q + _]addrC addrK opprD.
    by rewrite /decoupled_step scalerBl scale1r e.
  by rewrite nrm2N nrm2D !nrm2Z dotZl dotZr qg mulr2n; ring.
by rewrite decay_radial_part //; field; rewrite den eta0 qn.
Qed.

(** The exact one-step map of the squared norm. *)
Theorem decay_step_identity eta lam q g : q != 0 -> ⟨q, g⟩ = 0 ->
  ‖decoupled_step eta lam q g‖²
  = (1 - eta * lam) ^+ 2 * ‖q‖² + eta ^+ 2 * spherical2 q g / ‖q‖².
Proof.
move=> q0 qg; rewrite nrm2B !nrm2Z dotZl dotZr qg !mulr0 mul0rn subr0; congr (_ + _).
by rewrite /spherical2; field; rewrite nrm2_eq0.
Qed.

End Radial.

(** The balance: for the map R -> aR + b/R with a < 1, the norm grows exactly below the
    balance point R*² = b/(1-a), and shrinks exactly above. *)
Section Balance.
Variables (R : realFieldType) (a b r : R).
Hypothesis a1 : a < 1.
Hypothesis r0 : 0 < r.

Lemma balance_excess : a * r + b / r - r = ((1 - a) / r) * (b / (1 - a) - r ^+ 2).
Proof. by field; rewrite !gt_eqF // subr_gt0. Qed.

Let pos : 0 < (1 - a) / r.
Proof. by rewrite divr_gt0 // subr_gt0. Qed.

Theorem grows_below_balance : (r < a * r + b / r) = (r ^+ 2 < b / (1 - a)).
Proof. by rewrite -(subr_gt0 r) balance_excess pmulr_rgt0 // subr_gt0. Qed.

Theorem shrinks_above_balance : (a * r + b / r < r) = (b / (1 - a) < r ^+ 2).
Proof. by rewrite -(subr_lt0 r) balance_excess pmulr_rlt0 // subr_lt0. Qed.

End Balance.

(** The interval test for the training step itself. *)
Theorem decay_interval_test (R : realFieldType) n (eta lam : R) (q g : 'cV[R]_n) :
  q != 0 -> ⟨q, g⟩ = 0 -> 0 < eta * lam < 2%:R ->
  let balance := eta ^+ 2 * spherical2 q g / (1 - (1 - eta * lam) ^+ 2) in
  (‖q‖² < ‖decoupled_step eta lam q g‖²) = (‖q‖² ^+ 2 < balance) /\
  (‖decoupled_step eta lam q g‖² < ‖q‖²) = (balance < ‖q‖² ^+ 2).
Proof.
move=> q0 qg /andP[x0 x2] /=; rewrite decay_step_identity //.
have qn : 0 < ‖q‖² by rewrite nrm2_gt0.
have a1 : (1 - eta * lam) ^+ 2 < 1.
  have -> : (1 - eta * lam) ^+ 2 = 1 - eta * lam * (2%:R - eta * lam) by ring.
  by rewrite ltr_subl_addr ltr_addl mulr_gt0 // subr_gt0.
by split; [apply: grows_below_balance | apply: shrinks_above_balance].
Qed.

(** Decay alone, with the gradient of -cos(q, e_1) at (3,4): the radial part is -25 ηλ. *)
Theorem decay_witness (R : rcfType) (eta lam : R) :
  is_grad (fun x => - cosine x (vec2 1 0)) (row34 R) (pull_e1 R) /\
  ⟨row34 R, decoupled_step eta lam (row34 R) (pull_e1 R) - row34 R⟩ = - (25%:R * eta * lam).
Proof.
split; first exact: pull_e1_gradient.
by rewrite decay_radial_part ?pull_e1_orth // row34_nrm2; ring.
Qed.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].

Example decay_radial_part_nonvacuous : nonvacuous decay_radial_part.
Proof. by move=> H; apply: (H _ _ 1 1 _ _ (pull_e1_orth Q)). Qed.

Example decay_angle_nonvacuous : nonvacuous decay_angle.
Proof.
move=> H; apply: (H _ _ 1 1 _ _ (pull_e1_orth Q) _ (row34_neq0 _)) => //.
by rewrite row34_nrm2 gt_eqF // ltr_paddl // nrm2_ge0.
Qed.

Example decay_step_identity_nonvacuous : nonvacuous decay_step_identity.
Proof. by move=> H; apply: (H _ _ 1 1 _ _ (row34_neq0 _) (pull_e1_orth Q)). Qed.

Example grows_below_balance_nonvacuous : nonvacuous grows_below_balance.
Proof. by move=> H; apply: (H Q 0 1 1). Qed.

Example shrinks_above_balance_nonvacuous : nonvacuous shrinks_above_balance.
Proof. by move=> H; apply: (H Q 0 1 1). Qed.

Example decay_interval_test_nonvacuous : nonvacuous decay_interval_test.
Proof. by move=> H; apply: (H _ _ 1 1 _ _ (row34_neq0 _) (pull_e1_orth Q)). Qed.
