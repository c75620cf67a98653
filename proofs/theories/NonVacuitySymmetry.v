(** * NonVacuitySymmetry: the hypotheses of the symmetry theorems hold together

    Instances over Coq's real numbers (a real closed field) for DilationEquivariance.v,
    RotationEquivariance.v and PermutationEquivariance.v: the gradient field of - cos(q, e2)
    for dilations; for the others the field that returns the table itself, a 3-4-5 rotation,
    a sign flip and a swap. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine Optimizers Relabel NonVacuous.
From Perpend Require Import DilationEquivariance RotationEquivariance PermutationEquivariance.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Local Notation RC := [rcfType of R].

Section Dilation.
Let two : RC := 2%:R.
Let two_gt0 : 0 < two. Proof. by rewrite ltr0n. Qed.
Let hom w : homogeneous_along two (@pull RC) w := pull_homogeneous w two_gt0.
Let eta0 (t : nat) : RC := 1.
Let q0 : 'cV[RC]_2 := vec2 1 0.

Example DilationEquivariance_rowwise_adagrad_run_dilates_nonvacuous :
  nonvacuous rowwise_adagrad_run_dilates.
Proof. by move=> H; apply: (H RC 2%N 1%N two two_gt0 _ q0 eta0 0 (hom _) 0%N). Qed.
Example DilationEquivariance_adagrad_run_dilates_nonvacuous : nonvacuous adagrad_run_dilates.
Proof. by move=> H; apply: (H RC 2%N 1%N two two_gt0 _ q0 eta0 0 (hom _) 0%N). Qed.
Example DilationEquivariance_adam_run_dilates_nonvacuous : nonvacuous adam_run_dilates.
Proof.
by move=> H; apply: (H RC 2%N 1%N two two_gt0 _ q0 0 0 eta0 eta0 eta0 (hom _) 0%N).
Qed.
Example DilationEquivariance_rowwise_adam_run_dilates_nonvacuous :
  nonvacuous rowwise_adam_run_dilates.
Proof. by move=> H; apply: (H RC 2%N 1%N two two_gt0 _ q0 0 0 eta0 eta0 (hom _) 0%N). Qed.
Example DilationEquivariance_clip_norm_run_dilates_nonvacuous : nonvacuous clip_norm_run_dilates.
Proof.
by move=> H; apply: (H RC 2%N 1%N two two_gt0 _ q0 true eta0 eta0 eta0 eta0 eta0 eta0 (hom _) 0%N).
Qed.
Example DilationEquivariance_cosine_field_homogeneous_nonvacuous :
  nonvacuous cosine_field_homogeneous.
Proof.
by move=> H; apply: (H RC 2%N 1%N (fun _ _ => q0) (fun _ _ _ => 1) two (fun=> q0) two_gt0).
Qed.
Example DilationEquivariance_cosine_sgd_run_dilates_nonvacuous : nonvacuous cosine_sgd_run_dilates.
Proof.
by move=> H; apply: (H RC 2%N 1%N (fun _ _ => q0) (fun _ _ _ => 1) two eta0 q0 two_gt0 0%N).
Qed.
Example DilationEquivariance_inactive_clamp_dilates_nonvacuous : nonvacuous inactive_clamp_dilates.
Proof.
move=> H; apply: (H RC 2%N 1%N 0 (fun _ q => q) (fun _ _ => q0) (fun _ _ _ => 1) two eta0 q0
  two_gt0 _ _ 0%N) => t; first exact: norm_ge0.
by apply: mulr_ge0 (norm_ge0 _); apply: ltW.
Qed.
End Dilation.

Section Rotation.
Let G (t : nat) (q : 'cV[RC]_2) : 'cV[RC]_2 := q.
Let turnRC : 'M[RC]_2 := turn RC.
Let turned : orthogonal_map turnRC. Proof. exact: turn_orthogonal. Qed.
Let rot w : rotates_along turnRC G G w. Proof. by []. Qed.
Let eta0 (t : nat) : RC := 1.
Let q0 : 'cV[RC]_2 := vec2 1 0.

Example RotationEquivariance_sgd_run_rotates_nonvacuous : nonvacuous sgd_run_rotates.
Proof. by move=> H; apply: (H RC 2%N 1%N turnRC G G q0 eta0 (rot _) 0%N). Qed.
Example RotationEquivariance_sgd_decay_run_rotates_nonvacuous : nonvacuous sgd_decay_run_rotates.
Proof. by move=> H; apply: (H RC 2%N 1%N turnRC G G q0 eta0 eta0 (rot _) 0%N). Qed.
Example RotationEquivariance_momentum_run_rotates_nonvacuous : nonvacuous momentum_run_rotates.
Proof.
by move=> H; apply: (H RC 2%N 1%N turnRC G G q0 true eta0 eta0 eta0 eta0 eta0 0 (rot _) 0%N).
Qed.
Example RotationEquivariance_rowwise_adagrad_run_rotates_nonvacuous :
  nonvacuous rowwise_adagrad_run_rotates.
Proof. by move=> H; apply: (H RC 2%N 1%N turnRC turned G G q0 0 eta0 0 (rot _) 0%N). Qed.
Example RotationEquivariance_rowwise_adam_run_rotates_nonvacuous :
  nonvacuous rowwise_adam_run_rotates.
Proof. by move=> H; apply: (H RC 2%N 1%N turnRC turned G G q0 0 0 0 eta0 eta0 (rot _) 0%N). Qed.
Example RotationEquivariance_clip_norm_run_rotates_nonvacuous : nonvacuous clip_norm_run_rotates.
Proof.
move=> H; apply: (H RC 2%N 1%N turnRC turned G G q0 true eta0 eta0 eta0 eta0 eta0 eta0 (rot _) 0%N).
Qed.
Example RotationEquivariance_cosine_gradient_rotates_nonvacuous :
  nonvacuous cosine_gradient_rotates.
Proof. by move=> H; apply: (H RC 2%N turnRC turned q0 q0 1 1). Qed.
Example RotationEquivariance_equivariant_rules_stay_in_span_nonvacuous :
  nonvacuous equivariant_rules_stay_in_span.
Proof. by move=> H; apply: (H RC 2%N 1%N (fun q => q) _ q0) => O _ q. Qed.
Example RotationEquivariance_decay_rotates_yet_radial_nonvacuous :
  nonvacuous decay_rotates_yet_radial.
Proof. by move=> H; apply: (H RC 2%N eta0 eta0 0%N q0 (vec2 0 1)); rewrite vec2E mulr0 mul0r addr0. Qed.
Example RotationEquivariance_adam_first_step_nonvacuous : nonvacuous adam_first_step.
Proof. by move=> H; apply: (H RC 0 0 eta0 q0 q0); rewrite eq_sym oner_neq0. Qed.
Example RotationEquivariance_adam_does_not_rotate_nonvacuous : nonvacuous adam_does_not_rotate.
Proof. by move=> H; apply: (H RC 0 0); rewrite eq_sym oner_neq0. Qed.

Let minus (i : 'I_2) : RC := -1.
Let minus_sign : sign_vector minus. Proof. by right. Qed.
Let flipped w : @flips_along RC 2 1 minus 1%g G G w. Proof. by []. Qed.

Example RotationEquivariance_sign_run_flips_nonvacuous : nonvacuous sign_run_flips.
Proof. by move=> H; apply: (H RC 2%N 1%N minus 1%g minus_sign G G q0 eta0 (flipped _) 0%N). Qed.
Example RotationEquivariance_lion_run_flips_nonvacuous : nonvacuous lion_run_flips.
Proof.
by move=> H; apply: (H RC 2%N 1%N minus 1%g minus_sign G G q0 eta0 eta0 eta0 eta0 (flipped _) 0%N).
Qed.
Example RotationEquivariance_adagrad_run_flips_nonvacuous : nonvacuous adagrad_run_flips.
Proof. by move=> H; apply: (H RC 2%N 1%N minus 1%g minus_sign G G q0 0 eta0 (flipped _) 0%N). Qed.
Example RotationEquivariance_adam_run_flips_nonvacuous : nonvacuous adam_run_flips.
Proof.
by move=> H; apply: (H RC 2%N 1%N minus 1%g minus_sign G G q0 0 0 0 eta0 eta0 eta0 (flipped _) 0%N).
Qed.
Example RotationEquivariance_clip_value_run_flips_nonvacuous : nonvacuous clip_value_run_flips.
Proof.
move=> H; apply: (H RC 2%N 1%N minus 1%g minus_sign G G q0 eta0 eta0 _ (flipped _) 0%N).
by move=> t; apply: ler01.
Qed.
End Rotation.

Section Permutation.
Let G (t : nat) (q : 'M[RC]_(1, 2)) : 'M[RC]_(1, 2) := q.
Let swap : 'S_2 := tperm 0 1.
Let renamed w : renames_along swap G G w. Proof. by []. Qed.
Let eta0 (t : nat) : RC := 1.
Let q0 : 'M[RC]_(1, 2) := \row_j j%:R.

Example PermutationEquivariance_momentum_run_renames_nonvacuous : nonvacuous momentum_run_renames.
Proof.
by move=> H; apply: (H RC 1%N 2%N swap G G q0 true eta0 eta0 eta0 eta0 eta0 (renamed _) 0%N).
Qed.
Example PermutationEquivariance_sgd_run_renames_nonvacuous : nonvacuous sgd_run_renames.
Proof. by move=> H; apply: (H RC 1%N 2%N swap G G q0 eta0 (renamed _) 0%N). Qed.
Example PermutationEquivariance_sign_run_renames_nonvacuous : nonvacuous sign_run_renames.
Proof. by move=> H; apply: (H RC 1%N 2%N swap G G q0 eta0 (renamed _) 0%N). Qed.
Example PermutationEquivariance_lion_run_renames_nonvacuous : nonvacuous lion_run_renames.
Proof. by move=> H; apply: (H RC 1%N 2%N swap G G q0 eta0 eta0 eta0 eta0 (renamed _) 0%N). Qed.
Example PermutationEquivariance_adagrad_run_renames_nonvacuous : nonvacuous adagrad_run_renames.
Proof. by move=> H; apply: (H RC 1%N 2%N swap G G q0 0 eta0 (renamed _) 0%N). Qed.
Example PermutationEquivariance_rowwise_adagrad_run_renames_nonvacuous :
  nonvacuous rowwise_adagrad_run_renames.
Proof. by move=> H; apply: (H RC 1%N 2%N swap G G q0 0 eta0 (renamed _) 0%N). Qed.
Example PermutationEquivariance_adam_run_renames_nonvacuous : nonvacuous adam_run_renames.
Proof.
by move=> H; apply: (H RC 1%N 2%N swap G G q0 0 0 0 eta0 eta0 eta0 (renamed _) 0%N).
Qed.
Example PermutationEquivariance_rowwise_adam_run_renames_nonvacuous :
  nonvacuous rowwise_adam_run_renames.
Proof. by move=> H; apply: (H RC 1%N 2%N swap G G q0 0 0 0 eta0 eta0 (renamed _) 0%N). Qed.
Example PermutationEquivariance_clip_norm_run_renames_nonvacuous : nonvacuous clip_norm_run_renames.
Proof.
by move=> H; apply: (H RC 1%N 2%N swap G G q0 true eta0 eta0 eta0 eta0 eta0 eta0 (renamed _) 0%N).
Qed.
Example PermutationEquivariance_summation_order_free_nonvacuous : nonvacuous summation_order_free.
Proof. by move=> H; apply: (H [zmodType of RC] (Leaf 0) (Leaf 0)). Qed.
Example PermutationEquivariance_batch_order_free_nonvacuous : nonvacuous batch_order_free.
Proof.
by move=> H; apply: (H RC 1%N 2%N bool_eqType unit (sgd eta0) (fun _ q => q)
  (fun=> [:: true; false]) (fun=> [:: false; true]) tt q0 _ 0%N).
Qed.
End Permutation.
