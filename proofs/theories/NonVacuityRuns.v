(** * Non-vacuity of the growth and update-rule theorems that need a square root

    The instances live over Coq's real numbers (an instance of a real closed field): runs on
    the cosine itself, clipping, fourth roots. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth ScalarSteps.
From Perpend Require Import HeavyBallIdentity ScalarSecondMomentGrowth StaleGradient.
From Perpend Require Import LazyVersusDense DeclaredStep QuarticGrowth QuarterPowerLaw.
From Perpend Require Import DiagonalScaling DisplacementNumber FrequencyNormCoupling.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Local Notation RC := [rcfType of R].
Local Notation one := (fun=> 1 : RC).
Local Notation r1 := (spin_run one).
Local Notation t1 := (spin_tangential one).
Local Notation s1 := (spin_neq0 one 0).
Local Notation c1 := (spin_cosine_run one).

Section Facts.
Variable F : rcfType.

Lemma ex_neq0 t : ex_q F t != 0.
Proof.
rewrite -nrm2_gt0; apply: lt_le_trans (HeavyBallIdentity.norm_never_shrinks (example_run F)
  (@example_tangential F) (@one_ge0 F) (half_ge0 F) (leq0n t)).
by rewrite /ex_q /= nrm2_gt0 -nrm2_gt0 vec2E mulr1 mulr0 addr0 ltr01.
Qed.

Lemma ex_cosine : cosine_run (fun t x => - cosine x (- quarter (ex_q F t))) (ex_q F) (ex_g F).
Proof.
move=> t; split; first exact: ex_neq0.
  by move=> x _ c c0; rewrite cosine_scale.
by apply: spin_grad_cosine; apply: ex_neq0.
Qed.

Lemma pull_neq0 : pull_e1 F != 0.
Proof.
by rewrite -nrm2_gt0 vec2E mulrNN addr_gt0 // mulr_gt0 // divr_gt0 // ltr0n.
Qed.

Lemma spin_cosine_bounded t :
  2%:R * ((1 : F) ^+ 2 * ‖norm (spin (fun=> 1) t) *: spin_g (fun=> 1) t‖²) <= 2%:R.
Proof.
by rewrite nrm2Z norm_sqr -/(spherical2 _ _) spin_spherical expr1n !mulr1.
Qed.

Lemma scaled_neq0 : scaled (ex_D F) (pull_e1 F) != 0.
Proof.
apply/eqP => /colP/(_ 0); rewrite !mxE /= mul1r => /eqP.
by rewrite oppr_eq0 mulf_eq0 invr_eq0 !pnatr_eq0.
Qed.

(** SGD towards one fixed user, from a row at a right angle plus the user. *)
Definition user : 'cV[F]_2 := vec2 1 0.
Definition fixed_user_run : nat -> 'cV[F]_2 :=
  descend (fun=> 1) (fun _ x => - cos_grad x user (norm x) (norm user)) (vec2 1 1).

Lemma user_unit : norm user = 1.
Proof. by apply: normE; rewrite ?ler01 // vec2E; ring. Qed.

Lemma fixed_user_start : 0 < ⟨fixed_user_run 0%N, user⟩.
Proof. by rewrite /= vec2E mulr1 mulr0 addr0 ltr01. Qed.

Lemma fixed_user_small : 1 <= ‖fixed_user_run 0%N‖².
Proof. by rewrite /= vec2E mulr1 ler_addl ler01. Qed.

End Facts.

Example NormGrowth_cosine_sgd_norm_identity_nonvacuous : nonvacuous cosine_sgd_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ r1 _ 3%N c1). Qed.

Example ScalarSteps_clipped_step_orthogonal_nonvacuous : nonvacuous clipped_step_orthogonal.
Proof. by move=> H; apply: (H RC _ _ _ 1 1 (pull_e1_orth _)). Qed.

Example ScalarSteps_clip_bound_nonvacuous : nonvacuous clip_bound.
Proof. by move=> H; apply: (H RC 2%N (row34 _) 1 ler01). Qed.

Example ScalarSteps_trust_ratio_step_nonvacuous : nonvacuous trust_ratio_step.
Proof. by move=> H; apply: (H RC _ _ _ 1 (pull_e1_orth _) (pull_neq0 _)). Qed.

Example HeavyBallIdentity_cosine_norm_identity_nonvacuous : nonvacuous cosine_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ 3%N (example_run RC) (@ex_cosine RC)). Qed.

Example ScalarSecondMomentGrowth_scalar_adam_not_orthogonal_nonvacuous :
  nonvacuous scalar_adam_not_orthogonal.
Proof. by move=> H; apply: (H RC 1 (oner_neq0 _)). Qed.

Example StaleGradient_norm_of_mean_nonvacuous : nonvacuous norm_of_mean.
Proof. by move=> H; apply: (H RC 2%N 2%N (fun=> 1) (fun=> row34 _) (fun=> ler01)). Qed.

Example LazyVersusDense_lazy_and_dense_differ_nonvacuous : nonvacuous lazy_and_dense_differ.
Proof. by move=> H; apply: (H RC 1 1 (oner_neq0 _) (oner_neq0 _)). Qed.

Example DeclaredStep_lost_duplicate_witness_nonvacuous : nonvacuous lost_duplicate_witness.
Proof. by move=> H; apply: (H RC 1 (oner_neq0 _)). Qed.

Example QuarticGrowth_cosine_training_growth_nonvacuous : nonvacuous cosine_training_growth.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ 3%N r1 c1 (@spin_cosine_bounded RC)). Qed.

Example QuarterPowerLaw_quarter_power_bounds_nonvacuous : nonvacuous quarter_power_bounds.
Proof.
by move=> H; apply: (H _ _ _ _ _ r1 t1 s1 _ _ (@spin_between _) 3%N isT ler01).
Qed.

Example DiagonalScaling_cosine_bound_nonvacuous : nonvacuous cosine_bound.
Proof.
move=> H; apply: (H RC _ _ _ _ _ _ ltr01 (@ex_between _) _ (pull_e1_orth _) (row34_neq0 _)
  (scaled_neq0 _)).
by rewrite (ler_nat _ 1 2).
Qed.

Example DiagonalScaling_adam_first_is_sign_nonvacuous : nonvacuous adam_first_is_sign.
Proof.
by move=> H; apply: (H RC 2%N 0 0 1 (row34 _) (row34 _)); rewrite eq_sym oner_neq0.
Qed.

Example DisplacementNumber_norm_growth_factor_nonvacuous : nonvacuous norm_growth_factor.
Proof. by move=> H; apply: (H RC _ _ _ _ 3%N r1 t1 s1). Qed.

Example FrequencyNormCoupling_aligned_item_counterexample_nonvacuous :
  nonvacuous aligned_item_counterexample.
Proof. by move=> H; apply: (H RC 1 5%N (oner_neq0 _) isT). Qed.

Example FrequencyNormCoupling_norm_saturates_nonvacuous : nonvacuous norm_saturates.
Proof.
move=> H; exact: (H RC 2%N 1 (user _) (@fixed_user_run _) (user_unit _) (fun=> erefl) ler01
  (fixed_user_small _) (fixed_user_start _) 3%N).
Qed.
