(** * NonVacuityLoss: the hypotheses of the theorems about losses hold together

    Instances over Coq's real numbers (a real closed field) for Cosine.v,
    GradientOrthogonality.v, GradientInverseScaling.v, NormGauge.v, EpsilonLeak.v and
    TemperatureBound.v: the embedding (3,4), the user e1, the loss cos(·, e1). *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise GradientOrthogonality.
From Perpend Require Import GradientInverseScaling NormGauge EpsilonLeak TemperatureBound.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Local Notation RC := [rcfType of R].

Section Losses.
Let q : 'cV[RC]_2 := vec2 3%:R 4%:R.
Let e : 'cV[RC]_2 := vec2 1 0.
Let two : RC := 2%:R.
Let two_gt0 : 0 < two. Proof. by rewrite ltr0n. Qed.
Let nq : norm q = 5%:R. Proof. by apply: normE; rewrite ?ler0n // dot_vec2; ring. Qed.
Let ne : norm e = 1. Proof. by apply: normE; rewrite ?ler01 // dot_vec2; ring. Qed.
Let q0 : q != 0. Proof. by rewrite -norm_gt0 nq ltr0n. Qed.
Let e0 : e != 0. Proof. by rewrite -norm_gt0 ne ltr01. Qed.
Let f (x : 'cV[RC]_2) : RC := cosine x e.
Let g := cos_grad q e (norm q) (norm e).
Let fH : homog0 f. Proof. by move=> x _ c c0; apply: cosine_scale. Qed.
Let fq : ray_const f q := fH q0.
Let F : is_fgrad f q g := cosine_fgrad q0 e0.
Let D : is_grad f q g := fgrad_grad F.
Let z0 : normalise q != 0. Proof. by rewrite -norm_gt0 normalise_norm // ltr01. Qed.
Let Fz : is_fgrad f (normalise q) (cos_grad (normalise q) e (norm (normalise q)) (norm e))
  := cosine_fgrad z0 e0.
Let w : 'cV[RC]_1 := const_mx 1.
Let p (_ : 'I_1) := e.
Let p0 j : p j != 0 := e0.
Let L (c : 'cV[RC]_1) : RC := ⟨w, c⟩.
Let FL := cosine_loss_gradient (p := p) q0 p0 (fgrad_dot w (\col_j cosine q (p j))).
Let A : 'M[RC]_2 := 1%:M.
Let h (x : 'cV[RC]_2) := A *m x.
Let hH : ray_homog 1 h q. Proof. by move=> c _; rewrite /h expr1 scalemxAr. Qed.
Let hq : h q = q. Proof. by rewrite /h mul1mx. Qed.

Example Cosine_cosine_gradient_nonvacuous : nonvacuous (@cosine_gradient).
Proof. by move=> H; apply: (H RC 2%N q e). Qed.

Example GradientOrthogonality_gradient_orthogonal_nonvacuous :
  nonvacuous (@gradient_orthogonal).
Proof. by move=> H; apply: (H RC 2%N f q g). Qed.

Example GradientOrthogonality_radial_derivative_zero_nonvacuous :
  nonvacuous (@radial_derivative_zero).
Proof. by move=> H; apply: (H RC 2%N f q). Qed.

Example GradientOrthogonality_cosine_loss_gradient_orthogonal_nonvacuous :
  nonvacuous (@cosine_loss_gradient_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N L p q _ q0); apply: fgrad_grad FL. Qed.

Example GradientOrthogonality_cosine_invariant_gradient_orthogonal_nonvacuous :
  nonvacuous (@cosine_invariant_gradient_orthogonal).
Proof. by move=> H; apply: (H RC 2%N f q g q0 _ D) => x y; apply. Qed.

Example GradientOrthogonality_gradient_closed_form_nonvacuous :
  nonvacuous (@gradient_closed_form).
Proof. by move=> H; apply: (H RC 2%N (dot e) q e q0); apply: fgrad_dot. Qed.

Example GradientOrthogonality_gradient_closed_form_scale_invariant_nonvacuous :
  nonvacuous (@gradient_closed_form_scale_invariant).
Proof. by move=> H; apply: (H RC 2%N f q _ fH q0 Fz). Qed.

Example GradientOrthogonality_cosine_loss_gradient_nonvacuous :
  nonvacuous (@cosine_loss_gradient).
Proof. by move=> H; apply: (H RC 2%N 1%N L p q w q0 p0); apply: fgrad_dot. Qed.

Example GradientOrthogonality_outer_function_gradient_orthogonal_nonvacuous :
  nonvacuous (@outer_function_gradient_orthogonal).
Proof.
move=> H; apply: (H RC 2%N f (fun t => t) 0 q g fq).
by move=> v; apply: is_deriv_ext (D v) => x; rewrite addr0.
Qed.

Example GradientOrthogonality_homogeneous_gradient_orthogonal_nonvacuous :
  nonvacuous (@homogeneous_gradient_orthogonal).
Proof.
move=> H; apply: (H RC 2%N 2%N 1%N h f q g hH); first by rewrite hq.
by move=> v; apply: is_deriv_ext (D v) => x; rewrite /h mul1mx.
Qed.

Example GradientOrthogonality_euler_jacobian_nonvacuous : nonvacuous (@euler_jacobian).
Proof. by move=> H; apply: (H RC 2%N 2%N 1%N h q A hH); apply: jacobian_linear. Qed.

Example GradientOrthogonality_homogeneous_gradient_radial_nonvacuous :
  nonvacuous (@homogeneous_gradient_radial).
Proof.
move=> H; apply: (H RC 2%N 2%N 1%N h (dot e) q A e hH); first exact: jacobian_linear.
exact: fgrad_dot.
Qed.

Example GradientOrthogonality_slot_gradients_orthogonal_nonvacuous :
  nonvacuous (@slot_gradients_orthogonal).
Proof.
have sE (x : 'cV[RC]_2) j : slot (fun s : 'I_1 -> 'cV[RC]_2 => f (s j)) q j x = f x.
  by rewrite /slot eqxx.
move=> H; apply: (H RC 2%N 1%N (fun s => f (s ord0)) q (fun _ => g) (fun _ => 1)) => j;
  rewrite (ord1 j).
- by move=> c c0; rewrite !sE fq.
- by move=> v; apply: is_deriv_ext (D v) => x; rewrite sE.
Qed.

Example GradientOrthogonality_sequential_application_orthogonal_nonvacuous :
  nonvacuous (@sequential_application_orthogonal).
Proof.
move=> H; apply: (H RC 2%N 1%N q (fun _ => g) [:: (ord0, 1); (ord0, two)]) => _.
exact: gradient_orthogonal fq D.
Qed.

Example GradientOrthogonality_siamese_gradients_orthogonal_nonvacuous :
  nonvacuous (@siamese_gradients_orthogonal).
Proof.
move=> H; apply: (H RC 2%N (fun t => t) q e g (cos_grad e q (norm e) (norm q)) D).
by move=> v; apply: is_deriv_ext (cosine_gradient e0 q0 v) => x; rewrite cosineC.
Qed.

Example GradientOrthogonality_asymmetric_towers_nonvacuous : nonvacuous (@asymmetric_towers).
Proof.
by move=> H; apply: (H RC 2%N unit 1%N (fun _ => p) (fun _ => L) tt q _ q0); apply: fgrad_grad FL.
Qed.

Let D2 : is_grad f (two *: q) (two^-1 *: g) := grad_scale fH two_gt0 D.

Example GradientInverseScaling_gradient_inverse_scaling_nonvacuous :
  nonvacuous (@gradient_inverse_scaling).
Proof. by move=> H; apply: (H RC 2%N f q g two fH two_gt0 D). Qed.

Example GradientInverseScaling_derivative_inverse_scaling_nonvacuous :
  nonvacuous (@derivative_inverse_scaling).
Proof. by move=> H; apply: (H RC [lmodType RC of 'cV[RC]_2] f q e _ two fH two_gt0 (D e)). Qed.

Example GradientInverseScaling_gradient_norm_inverse_scaling_nonvacuous :
  nonvacuous (@gradient_norm_inverse_scaling).
Proof. by move=> H; apply: (H RC 2%N f q g _ two fH two_gt0 D D2). Qed.

Example GradientInverseScaling_spherical_gradient_scale_free_nonvacuous :
  nonvacuous (@spherical_gradient_scale_free).
Proof. by move=> H; apply: (H RC 2%N f q g _ two fH two_gt0 D D2). Qed.

Example GradientInverseScaling_gradient_norm_at_unit_vector_nonvacuous :
  nonvacuous (@gradient_norm_at_unit_vector).
Proof. by move=> H; apply: (H RC 2%N f q g _ fH q0 (fgrad_grad Fz) D). Qed.

Example GradientInverseScaling_gradient_norm_closed_form_nonvacuous :
  nonvacuous (@gradient_norm_closed_form).
Proof.
move=> H; apply: (H RC 2%N (dot e) q e _ q0); first exact: fgrad_dot.
exact: fgrad_grad (gradient_closed_form q0 (fgrad_dot e (normalise q))).
Qed.

Example GradientInverseScaling_cosine_spherical_gradient_length_nonvacuous :
  nonvacuous (@cosine_spherical_gradient_length).
Proof. by move=> H; apply: (H RC 2%N q e _ q0 e0); apply: is_gradN D. Qed.

Let c1 (_ : 'I_1) : RC := two.
Let c1_gt0 i : 0 < c1 i := two_gt0.
Let G (Q : 'I_1 -> 'cV[RC]_2) : RC := - cosine (Q ord0) (vec2 1 0).
Let Gc : cosine_only G := (minimiser_exists RC).1.
Let Gmin : forall Q', G (fun _ => vec2 1 0) <= G Q' := (minimiser_exists RC).2.

Example NormGauge_loss_invariant_nonvacuous : nonvacuous (@loss_invariant).
Proof. by move=> H; apply: (H RC 2%N 1%N G c1 (fun _ => q) Gc c1_gt0). Qed.

Example NormGauge_cosine_ranking_invariant_nonvacuous : nonvacuous (@cosine_ranking_invariant).
Proof. by move=> H; apply: (H RC 2%N 1%N c1 (fun _ => q) e ord0 ord0 c1_gt0). Qed.

Example NormGauge_cosine_rank_invariant_nonvacuous : nonvacuous (@cosine_rank_invariant).
Proof. by move=> H; apply: (H RC 2%N 1%N c1 (fun _ => q) e ord0 c1_gt0). Qed.

Example NormGauge_cosine_sorted_invariant_nonvacuous : nonvacuous (@cosine_sorted_invariant).
Proof. by move=> H; apply: (H RC 2%N 1%N c1 (fun _ => q) e [:: ord0] c1_gt0). Qed.

Example NormGauge_minimiser_rescaled_nonvacuous : nonvacuous (@minimiser_rescaled).
Proof. by move=> H; apply: (H RC 2%N 1%N G c1 _ Gc c1_gt0 Gmin (fun _ => q)). Qed.

Example NormGauge_any_norm_profile_is_optimal_nonvacuous :
  nonvacuous (@any_norm_profile_is_optimal).
Proof. by move=> H; apply: (H RC 2%N 1%N G c1 _ Gc c1_gt0 (fun _ => e0) Gmin). Qed.

Example NormGauge_dot_ranking_changes_nonvacuous : nonvacuous (@dot_ranking_changes).
Proof.
have ee : 0 < ‖e‖² by rewrite nrm2_gt0 e0.
by move=> H; apply: (H RC 2%N 2%N (fun _ => e) e 0 1 isT ee ee).
Qed.

Example NormGauge_user_norm_irrelevant_nonvacuous : nonvacuous (@user_norm_irrelevant).
Proof. by move=> H; apply: (H RC 2%N 1%N (fun _ => q) e two ord0 ord0 two_gt0). Qed.

Let one_lt_nq : 1 < norm q. Proof. by rewrite nq (ltr_nat RC 1 5). Qed.
Let nq_lt_six : norm q < 6%:R. Proof. by rewrite nq ltr_nat. Qed.

(** The floor 1 is not reached near (3,4): the function is the cosine there. *)
Let floor_far : exists2 d, 0 < d & forall v, ‖v‖² < d -> 1 < norm (q + v).
Proof.
have [d d0 N] := norm_near (negbT (gt_eqF one_lt_nq)); exists d => // v /N[_ ->].
exact: one_lt_nq.
Qed.

Example EpsilonLeak_floored_norm_orthogonal_nonvacuous : nonvacuous (@floored_norm_orthogonal).
Proof.
have [d d0 N] := floor_far.
move=> H; apply: (H RC 2%N (dot e) 1 q _ ltr01 (ltW one_lt_nq)).
apply: fgrad_grad; apply: (fgrad_near (h := fun x => dot e (normalise x))); last first.
  exact: gradient_closed_form q0 (fgrad_dot e (normalise q)).
exists d => // v /N lt; rewrite /floor_normalise (max_idPl _) //; exact: ltW.
Qed.

Example EpsilonLeak_floored_norm_leak_nonvacuous : nonvacuous (@floored_norm_leak).
Proof. by move=> H; apply: (H RC 2%N (dot e) 6%:R q e nq_lt_six); apply: fgrad_dot. Qed.

Example EpsilonLeak_squared_norm_floor_nonvacuous : nonvacuous (@squared_norm_floor).
Proof. by move=> H; apply: (H RC 2%N 1 q ler01). Qed.

Example EpsilonLeak_added_epsilon_leak_nonvacuous : nonvacuous (@added_epsilon_leak).
Proof. by move=> H; apply: (H RC 2%N 1 q e ltr01 q0). Qed.

Example EpsilonLeak_added_epsilon_sign_nonvacuous : nonvacuous (@added_epsilon_sign).
Proof. by move=> H; apply: (H RC 2%N 1 1 q e ltr01 ltr01 q0). Qed.

Example EpsilonLeak_root_epsilon_leak_nonvacuous : nonvacuous (@root_epsilon_leak).
Proof. by move=> H; apply: (H RC 2%N (dot e) 1 q e ltr01); apply: fgrad_dot. Qed.

Example EpsilonLeak_floored_product_leak_nonvacuous : nonvacuous (@floored_product_leak).
Proof. by move=> H; apply: (H RC 2%N 6%:R q e e0); rewrite ne mul1r nq_lt_six. Qed.

Example EpsilonLeak_floored_product_orthogonal_nonvacuous :
  nonvacuous (@floored_product_orthogonal).
Proof.
have [d d0 N] := floor_far.
move=> H; apply: (H RC 2%N 1 q e g ltr01); first by rewrite ne mul1r one_lt_nq.
apply: fgrad_grad; apply: fgrad_near F; exists d => // v /N lt.
rewrite /cosine_floored /f /cosine ne mul1r mulr1 (max_idPl (ltW lt)).
by rewrite dotC.
Qed.

Let prob (_ : 'I_1) : RC := 0.
Let prob01 v : 0 <= prob v <= 1. Proof. by rewrite lexx ler01. Qed.
Let r := softmax_residuals prob ord0.
Let T := fgradZ 1%:R^-1 (fgrad_chain (jacobian_logits 1 (u := p) q0 p0) (fgrad_dot r _)).
Let DT := fgrad_grad T.
Let one_gt0 : 0 < 1%:R :> RC. Proof. by rewrite ltr0n. Qed.

Example TemperatureBound_tempered_spherical_gradient_nonvacuous :
  nonvacuous (@tempered_spherical_gradient).
Proof.
by move=> H; apply: (H RC 2%N 1%N (dot r) 1 1%:R p q r _ q0 p0 _ DT); apply: fgrad_dot.
Qed.

Example TemperatureBound_temperature_scaling_nonvacuous : nonvacuous (@temperature_scaling).
Proof.
by move=> H; apply: (H RC 2%N 1%N (dot r) (dot r) 1 1%:R p q r _ _ q0 p0 _ DT _ DT);
  apply: fgrad_dot.
Qed.

Example TemperatureBound_temperature_bound_nonvacuous : nonvacuous (@temperature_bound).
Proof.
by move=> H; apply: (H RC 2%N 1%N (dot r) 1 1%:R p q r _ ltr01 one_gt0 q0 p0 _ DT);
  apply: fgrad_dot.
Qed.

Example TemperatureBound_in_batch_temperature_bound_nonvacuous :
  nonvacuous (@in_batch_temperature_bound).
Proof.
by move=> H; apply: (H RC 2%N 1%N (dot r) 1 1%:R p q _ prob ord0 ltr01 one_gt0 q0 p0 prob01 _ DT);
  apply: fgrad_dot.
Qed.

Example TemperatureBound_crude_temperature_bound_nonvacuous :
  nonvacuous (@crude_temperature_bound).
Proof.
by move=> H; apply: (H RC 2%N 1%N (dot r) 1 p q _ prob ord0 ltr01 isT q0 p0 prob01 _ DT);
  apply: fgrad_dot.
Qed.

End Losses.
