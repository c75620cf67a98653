(** * NonVacuityEncoder: the hypotheses of the theorems about encoders hold together

    Instances over Coq's real numbers (a real closed field) for UpdateKernel.v,
    UpdateOrthogonality.v, EigenvectorCriterion.v, RadialAngleBound.v, EnsembleGrowth.v,
    HomogeneousLayers.v and MetricOrthogonality.v: the embedding (3,4), the user e1, the
    loss cos(·, e1), one item in the batch; the preconditioner diag(1,4). *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise Batch GradientOrthogonality.
From Perpend Require Import UpdateKernel UpdateOrthogonality EigenvectorCriterion.
From Perpend Require Import RadialAngleBound EnsembleGrowth HomogeneousLayers.
From Perpend Require Import MetricOrthogonality NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Local Notation RC := [rcfType of R].

Section Encoders.
Let q : 'cV[RC]_2 := vec2 3%:R 4%:R.
Let e : 'cV[RC]_2 := vec2 1 0.
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
Let qg : ⟨q, g⟩ = 0 := gradient_orthogonal fq D.

(** A batch of one item. *)
Let l (Q : 'M[RC]_(2, 1)) : RC := \sum_j f (col j Q).
Let lH Q : columns_scale_free l Q.
Proof. by apply: cosine_columns_scale_free => Q1 Q2 QQ; apply: eq_bigr => j _; apply: QQ. Qed.
Let G : 'M[RC]_(2, 1) := columns (fun _ => g).
Let DL Q : (forall j, col j Q = q) -> is_gradM l Q G.
Proof.
by move=> Qq; apply: (@separable_batch_grad _ _ _ (fun _ => f)) => j; rewrite Qq.
Qed.
Let colq (j : 'I_1) : col j q = q.
Proof. by apply/colP => i; rewrite mxE (ord1 j). Qed.
Let X : 'M[RC]_1 := 1%:M.
Let DX : is_gradM l (q *m X) G.
Proof. by apply: DL => j; rewrite mulmx1 colq. Qed.
Let DW := shared_parameter_gradient DX.
Let A : 'M[RC]_2 := 1%:M.
Let As (_ : 'I_1) : 'M[RC]_2 := A.
Let bs (_ : 'I_1) : 'cV[RC]_2 := 0.
Let DE : is_gradM l (embed As bs q) G.
Proof. by apply: DL => j; rewrite col_columns mul1mx addr0. Qed.
(** One item q = W x + b with x = 1, and q = W x. *)
Let x : 'cV[RC]_1 := const_mx 1.
Let qx : q *m x = q.
Proof. by apply/colP => i; rewrite !mxE big_ord1 !mxE mulr1. Qed.
Let Db : is_grad f (q *m x + 0) g. Proof. by rewrite addr0 qx. Qed.
Let Dx : is_grad f (q *m x) g. Proof. by rewrite qx. Qed.
Let fb : ray_const f (q *m x + 0). Proof. by rewrite addr0 qx. Qed.
Let P := affine_parameter_gradients Db.

Example UpdateKernel_param_gradient_nonvacuous : nonvacuous (@param_gradient).
Proof. by move=> H; apply: (H RC 2%N 2%N 1%N As bs l q G DE). Qed.

Example UpdateKernel_kernel_update_from_loss_nonvacuous :
  nonvacuous (@kernel_update_from_loss).
Proof. by move=> H; apply: (H RC 2%N 2%N 1%N As bs l q _ G 1 ord0 DE (param_gradient DE)). Qed.

Example UpdateKernel_affine_parameter_gradients_nonvacuous :
  nonvacuous (@affine_parameter_gradients).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g Db). Qed.

Example UpdateKernel_affine_update_nonvacuous : nonvacuous (@affine_update).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g _ _ 1 1 Db P.1 P.2). Qed.

Example UpdateKernel_affine_update_trained_bias_nonvacuous :
  nonvacuous (@affine_update_trained_bias).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g _ _ 1 Db P.1 P.2). Qed.

Example UpdateKernel_affine_update_frozen_bias_nonvacuous :
  nonvacuous (@affine_update_frozen_bias).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g _ 1 Db P.1). Qed.

Example UpdateKernel_linear_update_nonvacuous : nonvacuous (@linear_update).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x g _ 1 Dx (is_gradM_outer0 Dx)). Qed.

Example UpdateKernel_affine_update_orthogonal_nonvacuous :
  nonvacuous (@affine_update_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g _ _ 1 1 fb Db P.1 P.2). Qed.

Example UpdateKernel_frozen_offset_weight_gradient_nonvacuous :
  nonvacuous (@frozen_offset_weight_gradient).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g _ fb Db P.1). Qed.

Example UpdateKernel_shared_parameter_gradient_nonvacuous :
  nonvacuous (@shared_parameter_gradient).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G DX). Qed.

Example UpdateKernel_shared_update_nonvacuous : nonvacuous (@shared_update).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 ord0 DX DW). Qed.

Example UpdateKernel_shared_leak_nonvacuous : nonvacuous (@shared_leak).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 ord0 (lH _) DX DW). Qed.

Example UpdateKernel_shared_update_orthogonal_nonvacuous :
  nonvacuous (@shared_update_orthogonal).
Proof.
move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 ord0 (lH _) DX DW) => j.
by rewrite (ord1 j).
Qed.

Example UpdateKernel_shared_leak_bound_nonvacuous : nonvacuous (@shared_leak_bound).
Proof.
move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 1 ord0 ler01 (lH _) DX DW) => j.
by rewrite (ord1 j).
Qed.

Let one_hash (_ _ : 'I_1) : 'I_1 := ord0.
Let one_hashE : hash_input RC one_hash = X.
Proof. by apply/matrixP => i j; rewrite !mxE big_ord1 (ord1 i) (ord1 j). Qed.

Example UpdateKernel_single_hash_update_orthogonal_nonvacuous :
  nonvacuous (@single_hash_update_orthogonal).
Proof.
move=> H; have := H RC 2%N 1%N 1%N l one_hash q G (G *m X^T) 1 ord0.
by rewrite one_hashE; apply; [apply: lH | apply: DX | apply: DW].
Qed.

Let Ax : A *m q = q. Proof. exact: mul1mx. Qed.
Let DA : is_grad f (A *m (q *m x)) g. Proof. by rewrite qx Ax. Qed.
Let fA : ray_const f (A *m (q *m x)). Proof. by rewrite qx Ax. Qed.
Let T := two_layer_parameter_gradients DA.

Example UpdateKernel_two_layer_parameter_gradients_nonvacuous :
  nonvacuous (@two_layer_parameter_gradients).
Proof. by move=> H; apply: (H RC 2%N 2%N 1%N f A q x g DA). Qed.

Example UpdateKernel_two_layer_update_nonvacuous : nonvacuous (@two_layer_update).
Proof. by move=> H; apply: (H RC 2%N 2%N 1%N f A q x g _ _ 1 DA T.1 T.2). Qed.

Example UpdateKernel_two_layer_update_tangent_nonvacuous :
  nonvacuous (@two_layer_update_tangent).
Proof. by move=> H; apply: (H RC 2%N 2%N 1%N f A q x g _ _ 1 fA DA T.1 T.2). Qed.

Let DAq : is_grad f (A *m q) g. Proof. by rewrite Ax. Qed.
Let fAq : ray_const f (A *m q). Proof. by rewrite Ax. Qed.

Example UpdateKernel_matrix_vector_update_nonvacuous : nonvacuous (@matrix_vector_update).
Proof.
by move=> H; apply: (H RC 2%N 2%N f A q g _ _ 1 fAq DAq (is_gradM_outer0 DAq) (is_grad_linear DAq)).
Qed.

Example UpdateKernel_graph_update_nonvacuous : nonvacuous (@graph_update).
Proof.
have XT : X^T = X by rewrite /X trmx1.
have DT : is_gradM l (q *m X^T) G by rewrite XT; apply: DX.
by move=> H; apply: (H RC 2%N 1%N l q X G _ 1 ord0 (lH _) DT (shared_parameter_gradient DT)).
Qed.

Example UpdateOrthogonality_update_orthogonal_nonvacuous : nonvacuous (@update_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g _ _ 1 1 fb Db P.1 P.2). Qed.

Example UpdateOrthogonality_update_orthogonal_chain_rule_nonvacuous :
  nonvacuous (@update_orthogonal_chain_rule).
Proof. by move=> H; apply: (H RC 2%N 1%N f q x 0 g 1 1 fb Db). Qed.

Let users (_ : 'I_1) := e.
Let users0 j : users j != 0 := e0.
Let first (c : 'cV[RC]_1) : RC := ⟨const_mx 1, c⟩.
Let Fc := fgrad_grad (cosine_loss_gradient (L := first) (p := users) q0 users0 (fgrad_dot _ _)).
Let loss (y : 'cV[RC]_2) := first (\col_j cosine y (users j)).
Let gc := \sum_j (const_mx 1 : 'cV[RC]_1) j 0
  *: cos_grad q (users j) (norm q) (norm (users j)).
Let Dc : is_grad loss (q *m x + 0) gc. Proof. by rewrite addr0 qx; apply: Fc. Qed.
Let Pc := affine_parameter_gradients Dc.

Example UpdateOrthogonality_cosine_update_orthogonal_nonvacuous :
  nonvacuous (@cosine_update_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N first users q x 0 gc _ _ 1 1 Dc Pc.1 Pc.2). Qed.

Let run := run_instance (fun _ => 1 : RC).

Example UpdateOrthogonality_run_step_nonvacuous : nonvacuous (@run_step).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N). Qed.
Example UpdateOrthogonality_run_orthogonal_nonvacuous : nonvacuous (@run_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N). Qed.
Example UpdateOrthogonality_run_norm_step_nonvacuous : nonvacuous (@run_norm_step).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N). Qed.
Example UpdateOrthogonality_run_norm_nonvacuous : nonvacuous (@run_norm).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N). Qed.
Example UpdateOrthogonality_run_norm_path_nonvacuous : nonvacuous (@run_norm_path).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N). Qed.
Example UpdateOrthogonality_run_norm_monotone_nonvacuous : nonvacuous (@run_norm_monotone).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N 1%N). Qed.
Example UpdateOrthogonality_run_norm_strict_nonvacuous : nonvacuous (@run_norm_strict).
Proof. by move=> H; apply: (H RC 2%N 1%N _ _ _ _ _ _ _ _ _ run 0%N). Qed.

Let h (y : 'cV[RC]_2) := A *m y.
Let DJ : is_jacobian h q A := jacobian_linear A q.
Let hq0 : h q != 0. Proof. by rewrite /h Ax q0. Qed.

Example EigenvectorCriterion_eigenvector_criterion_nonvacuous :
  nonvacuous (@eigenvector_criterion).
Proof. by move=> H; apply: (H RC 2%N A q (trmx1 _ _) q0). Qed.

Example EigenvectorCriterion_eigenvector_criterion_general_nonvacuous :
  nonvacuous (@eigenvector_criterion_general).
Proof. by move=> H; apply: (H RC 2%N A q q0). Qed.

Example EigenvectorCriterion_encoder_parameter_gradient_nonvacuous :
  nonvacuous (@encoder_parameter_gradient).
Proof. by move=> H; apply: (H RC 2%N 2%N h (dot e) q A e DJ); apply: fgrad_dot. Qed.

Example EigenvectorCriterion_first_order_step_nonvacuous : nonvacuous (@first_order_step).
Proof. by move=> H; apply: (H RC 2%N 2%N h q A g e DJ). Qed.

Example EigenvectorCriterion_first_order_radial_step_nonvacuous :
  nonvacuous (@first_order_radial_step).
Proof. by move=> H; apply: (H RC 2%N 2%N h q A g DJ). Qed.

Example EigenvectorCriterion_first_order_criterion_nonvacuous :
  nonvacuous (@first_order_criterion).
Proof. by move=> H; apply: (H RC 2%N 2%N h q A hq0 DJ). Qed.

Let two_neq0 : 2%:R != 0 :> RC. Proof. by rewrite pnatr_eq0. Qed.

Example EigenvectorCriterion_gain_vector_update_nonvacuous : nonvacuous (@gain_vector_update).
Proof.
have [g' [ga [gw [fr Dg _ Da Dw]]]] := gain_instance RC.
by move=> H; apply: (H RC 2%N _ _ 2%:R g' ga gw 1 fr two_neq0 Dg Da Dw).
Qed.

Example EigenvectorCriterion_gain_vector_orthogonal_nonvacuous :
  nonvacuous (@gain_vector_orthogonal).
Proof.
have [g' [ga [gw [fr Dg _ Da Dw]]]] := gain_instance RC.
by move=> H; apply: (H RC 2%N _ _ 2%:R g' ga gw 1 fr two_neq0 Dg Da Dw).
Qed.

Example EigenvectorCriterion_linear_encoder_criterion_nonvacuous :
  nonvacuous (@linear_encoder_criterion).
Proof. by move=> H; apply: (H RC 2%N 2%N A 1 (oner_neq0 _)). Qed.

(** The preconditioner diag(1,4). *)
Let K : 'M[RC]_2 := diag_mx (\row_i (if i == 0 then 1 else 4%:R)).
Let KB : K^T = K /\ form_bounds K 1 4%:R.
Proof. by have [] := preconditioned_instance RC. Qed.
Let one_le_four : 1 <= 4%:R :> RC. Proof. by rewrite (ler_nat RC 1 4). Qed.
Let g0 : g != 0.
Proof.
apply/eqP => gz; have := cos_grad_vec2 3%:R 4%:R 1 0 5%:R (1 : RC).
have -> : cos_grad (vec2 3%:R 4%:R : 'cV[RC]_2) (vec2 1 0) 5%:R 1 = 0.
  by rewrite -[RHS]gz /g nq ne.
move/(congr1 (fun v : 'cV[RC]_2 => ⟨e, v⟩)); rewrite dot0r /e dot_vec2 => /esym/eqP.
have -> : 1 * ((1 / 1 - (3%:R * 1 + 4%:R * 0) / (5%:R * 1) / 5%:R * 3%:R) / 5%:R)
  + 0 * ((0 / 1 - (3%:R * 1 + 4%:R * 0) / (5%:R * 1) / 5%:R * 4%:R) / 5%:R)
  = 16%:R / 125%:R :> RC by field.
by rewrite mulf_eq0 invr_eq0 !pnatr_eq0.
Qed.

Example RadialAngleBound_kantorovich_nonvacuous : nonvacuous (@kantorovich).
Proof. by move=> H; apply: (H RC 2%N K 1 4%:R g KB.1 ltr01 one_le_four KB.2). Qed.

Example RadialAngleBound_radial_angle_bound_nonvacuous : nonvacuous (@radial_angle_bound).
Proof. by move=> H; apply: (H RC 2%N K 1 4%:R q g KB.1 ltr01 one_le_four KB.2 qg). Qed.

Example RadialAngleBound_diagonal_form_bounds_nonvacuous : nonvacuous (@diagonal_form_bounds).
Proof.
move=> H; apply: (H RC 2%N (\row_i (if i == 0 then 1 else 4%:R)) 1 4%:R) => i; rewrite mxE.
by case: ifP => _; rewrite lexx ?andbT one_le_four.
Qed.

Example RadialAngleBound_radial_angle_bound_attained_nonvacuous :
  nonvacuous (@radial_angle_bound_attained).
Proof. by move=> H; apply: (H RC 1 4%:R ltr01 one_le_four). Qed.

Example RadialAngleBound_cosine_bound_nonvacuous : nonvacuous (@cosine_bound).
Proof. by move=> H; apply: (H RC 2%N K 1 4%:R q g KB.1 ltr01 one_le_four KB.2 q0 g0 qg). Qed.

Example RadialAngleBound_step_cosine_bound_nonvacuous : nonvacuous (@step_cosine_bound).
Proof.
by move=> H; apply: (H RC 2%N K 1 4%:R q g 1 ltr01 KB.1 ltr01 one_le_four KB.2 q0 g0 qg).
Qed.

Example RadialAngleBound_cosine_bound_attained_nonvacuous :
  nonvacuous (@cosine_bound_attained).
Proof. by move=> H; apply: (H RC 1 4%:R ltr01 one_le_four). Qed.

Example EnsembleGrowth_parameter_euler_sum_nonvacuous : nonvacuous (@parameter_euler_sum).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ DX DW). Qed.

Example EnsembleGrowth_ensemble_orthogonal_nonvacuous : nonvacuous (@ensemble_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ (lH _) DX DW). Qed.

Example EnsembleGrowth_ensemble_growth_nonvacuous : nonvacuous (@ensemble_growth).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 (lH _) DX DW). Qed.

(** A run at rate 0 in which the gradient is there at every step. *)
Example EnsembleGrowth_ensemble_run_nonvacuous : nonvacuous (@ensemble_run).
Proof.
move=> H; apply: (H RC 2%N 1%N 1%N (fun _ => q) (fun _ => G *m X^T) (fun _ => X) (fun _ => l)
  (fun _ => G) (fun _ => 0) 1%N (fun _ => lH _) (fun _ => DX) (fun _ => DW)) => _.
by rewrite scale0r subr0.
Qed.

Let KX : X^T *m X \in unitmx. Proof. by rewrite trmx1 mulmx1 unitmx1. Qed.

Example EnsembleGrowth_gram_orthogonal_nonvacuous : nonvacuous (@gram_orthogonal).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 (lH _) DX DW KX). Qed.

Example EnsembleGrowth_gram_growth_nonvacuous : nonvacuous (@gram_growth).
Proof. by move=> H; apply: (H RC 2%N 1%N 1%N l q X G _ 1 (lH _) DX DW KX). Qed.

Example EnsembleGrowth_graph_table_growth_nonvacuous : nonvacuous (@graph_table_growth).
Proof.
have XT : X^T = X by rewrite /X trmx1.
have DT : is_gradM l (q *m X^T) G by rewrite XT; apply: DX.
by move=> H; apply: (H RC 2%N 1%N l q X G _ 1 (lH _) DT (shared_parameter_gradient DT)).
Qed.

Let l_ray Q : ray_const l Q.
Proof.
move=> c c0; apply: eq_bigr => j _; rewrite /f -(cosine_scale (col j Q) e c0).
by congr cosine; apply/colP => i; rewrite !mxE.
Qed.

Example EnsembleGrowth_homogeneous_parameters_orthogonal_nonvacuous :
  nonvacuous (@homogeneous_parameters_orthogonal).
Proof.
move=> H; apply: (H RC 2%N 1%N [lmodType RC of 'M[RC]_(2, 1)] 1%N (fun t => t) l q G).
- by move=> c _; rewrite expr1.
- exact: l_ray.
- by apply: DL; apply: colq.
Qed.

(** A tower of width 2 whose layers are the identity. *)
Let n (_ : nat) : nat := 2.
Let W (_ : nat) : 'M[RC]_2 := 1%:M.
Let phi (_ : nat) (t : RC) : RC := t.
Let Y : 'M[RC]_(2, 1) := columns (fun _ => q).
Let S (_ : nat) : 'M[RC]_(2, 1) := const_mx 1.
Let phiH k : pos_homogeneous (phi k). Proof. by []. Qed.
Let mapE (Z : 'M[RC]_(2, 1)) : map_mx (fun t => t) Z = Z.
Proof. by apply/matrixP => i j; rewrite mxE. Qed.
Let actE k : @activation RC n 1 W phi Y k = Y.
Proof. by elim: k => //= k ->; rewrite mapE mul1mx. Qed.
Let slopes k : hadamard (S k) (W k *m @activation RC n 1 W phi Y k)
  = @activation RC n 1 W phi Y k.+1.
Proof.
by rewrite !actE mul1mx; apply/matrixP => i j; rewrite !mxE mul1r.
Qed.
Let Dact k : is_gradM l (@activation RC n 1 W phi Y k) G.
Proof. by rewrite actE; apply: DL => j; rewrite col_columns. Qed.
Let outE (V : 'M[RC]_2) : @output_of_layer RC n 1 W phi Y 0 0 V = V *m Y.
Proof. by rewrite /output_of_layer /= mapE. Qed.
Let Dout : is_gradM (fun V => l (@output_of_layer RC n 1 W phi Y 0 0 V)) (W 0%N) (G *m Y^T).
Proof.
have D1 : is_gradM l (W 0%N *m Y) G by rewrite mul1mx; apply: (Dact 0%N).
move=> V; apply: is_deriv_ext (is_gradM_mulr D1 V) => U; by rewrite outE.
Qed.

Example HomogeneousLayers_output_homogeneous_nonvacuous : nonvacuous (@output_homogeneous).
Proof. by move=> H; apply: (H RC n 1%N W phi Y phiH 0%N 0%N 1 (W 0%N) ltr01). Qed.

Example HomogeneousLayers_layer_gradient_orthogonal_nonvacuous :
  nonvacuous (@layer_gradient_orthogonal).
Proof. by move=> H; apply: (H RC n 1%N W phi Y phiH 0%N 0%N l (G *m Y^T) (l_ray _) Dout). Qed.

Example HomogeneousLayers_layer_norm_growth_nonvacuous : nonvacuous (@layer_norm_growth).
Proof. by move=> H; apply: (H RC n 1%N W phi Y phiH 0%N 0%N l (G *m Y^T) 1 (l_ray _) Dout). Qed.

Example HomogeneousLayers_pairing_conserved_nonvacuous : nonvacuous (@pairing_conserved).
Proof. by move=> H; apply: (H RC n 1%N W phi Y S slopes 0%N 1%N G). Qed.

Example HomogeneousLayers_layer_sum_nonvacuous : nonvacuous (@layer_sum).
Proof. by move=> H; apply: (H RC n 1%N W phi Y S slopes 0%N 1%N G). Qed.

Example HomogeneousLayers_backprop_orthogonal_nonvacuous : nonvacuous (@backprop_orthogonal).
Proof.
by move=> H; apply: (H RC n 1%N W phi Y S slopes 0%N 1%N l G (lH _) (Dact _)).
Qed.

Example HomogeneousLayers_backprop_norm_growth_nonvacuous : nonvacuous (@backprop_norm_growth).
Proof.
by move=> H; apply: (H RC n 1%N W phi Y S slopes 0%N 1%N l G 1 (lH _) (Dact _)).
Qed.

Example HomogeneousLayers_pattern_output_at_parameters_nonvacuous :
  nonvacuous (@pattern_output_at_parameters).
Proof. by move=> H; apply: (H RC n 1%N W phi Y S slopes 0%N 1%N). Qed.

Example HomogeneousLayers_backprop_is_gradient_nonvacuous : nonvacuous (@backprop_is_gradient).
Proof. by move=> H; apply: (H RC n 1%N W phi Y S slopes 0%N 1%N l G (Dact _)). Qed.

Example HomogeneousLayers_relu_gradient_is_backprop_nonvacuous :
  nonvacuous (@relu_gradient_is_backprop).
Proof.
have nk := no_kink_tower (0 : RC).
move=> H; apply: (H RC n 1%N W Y 0 0 0%N 0%N l G) => [j _ i c|]; first exact: nk.
apply: DL => j; apply/colP => i; rewrite mxE /= mul1mx !mxE /leaky_relu.
by case: (i == 0); rewrite ltNge ler0n.
Qed.

Let Ku : K \in unitmx := form_bounds_unit ltr01 KB.2.
Let gt (t : nat) : 'cV[RC]_2 := if t is 0 then vec2 1 (-1) else 0.
Let qt (t : nat) : 'cV[RC]_2 :=
  if t is 0 then vec2 1 1 else vec2 1 1 - 1 *: (K *m vec2 1 (-1)).
Let qgt t : ⟨qt t, gt t⟩ = 0.
Proof. by have [_ _ H _] := preconditioned_instance RC; apply: (H t). Qed.
Let qstep t : qt t.+1 = qt t - 1 *: (K *m gt t).
Proof. by have [_ _ _ H] := preconditioned_instance RC; apply: (H t). Qed.

Example MetricOrthogonality_metric_orthogonal_nonvacuous : nonvacuous (@metric_orthogonal).
Proof. by move=> H; apply: (H RC 2%N K q g 1 Ku qg). Qed.

Example MetricOrthogonality_metric_pythagoras_nonvacuous : nonvacuous (@metric_pythagoras).
Proof. by move=> H; apply: (H RC 2%N K q g 1 KB.1 Ku qg). Qed.

Example MetricOrthogonality_preconditioned_run_nonvacuous : nonvacuous (@preconditioned_run).
Proof.
by move=> H; apply: (H RC 2%N K 1 4%:R qt gt (fun _ => 1) KB.1 ltr01 KB.2 qgt qstep 1%N).
Qed.

Example MetricOrthogonality_preconditioned_growth_nonvacuous :
  nonvacuous (@preconditioned_growth).
Proof.
by move=> H;
  apply: (H RC 2%N K 1 4%:R qt gt (fun _ => 1) KB.1 ltr01 one_le_four KB.2 qgt qstep 1%N).
Qed.

Example MetricOrthogonality_preconditioned_never_below_nonvacuous :
  nonvacuous (@preconditioned_never_below).
Proof.
by move=> H;
  apply: (H RC 2%N K 1 4%:R qt gt (fun _ => 1) KB.1 ltr01 one_le_four KB.2 qgt qstep 1%N).
Qed.

Example MetricOrthogonality_frozen_projection_raw_row_nonvacuous :
  nonvacuous (@frozen_projection_raw_row).
Proof. by move=> H; apply: (H RC 2%N 2%N A f q _ 1 fAq (is_grad_linear DAq)). Qed.

Example MetricOrthogonality_frozen_projection_run_nonvacuous :
  nonvacuous (@frozen_projection_run).
Proof.
move=> H; apply: (H RC 2%N 2%N A (fun _ => q) (fun _ => A^T *m g) (fun _ => f) (fun _ => 0) 1 1%N
  (fun _ => fAq) (fun _ => is_grad_linear DAq)) => [t|v].
  by rewrite scale0r subr0.
by rewrite mul1mx mul1r lexx.
Qed.

Example MetricOrthogonality_frozen_projection_coupling_nonvacuous :
  nonvacuous (@frozen_projection_coupling).
Proof.
move=> H; apply: (H RC 2%N 2%N A 1 1 q q ltr01 _ ler01) => v.
by rewrite mul1mx mul1r lexx.
Qed.

(** AdaGrad with eps = 1 and eta = 1. *)
Let ht (t : nat) (i : 'I_2) : RC := Num.sqrt (\sum_(s < t.+1) gt s i 0 ^+ 2) + 1.
Let at_ (t : nat) : 'cV[RC]_2 :=
  if t is 0 then vec2 1 1 else vec2 (1 / 2%:R) (3%:R / 2%:R).
Let agt t : ⟨at_ t, gt t⟩ = 0. Proof. by have [H _] := adagrad_instance RC; apply: (H t). Qed.
Let astep t i : at_ t.+1 i 0 = at_ t i 0 - 1 * (gt t i 0 / ht t i).
Proof. by have [_ H] := adagrad_instance RC; apply: (H t i). Qed.
Let ht0 t i : 0 < ht t i. Proof. by rewrite ltr_paddl // sqrtr_ge0. Qed.
Let ht_grows t i : ht t i <= ht t.+1 i.
Proof.
rewrite /ht ler_add2r ler_wsqrtr // [X in _ <= X]big_ord_recr /= ler_addl; exact: sqr_ge0.
Qed.

Example MetricOrthogonality_energy_step_nonvacuous : nonvacuous (@energy_step).
Proof. by move=> H; apply: (H RC 2%N at_ gt ht (fun _ => 1) ht0 agt astep 0%N). Qed.

Example MetricOrthogonality_energy_monotone_nonvacuous : nonvacuous (@energy_monotone).
Proof. by move=> H; apply: (H RC 2%N at_ gt ht (fun _ => 1) ht0 ht_grows agt astep 0%N). Qed.

Example MetricOrthogonality_adagrad_energy_monotone_nonvacuous :
  nonvacuous (@adagrad_energy_monotone).
Proof. by move=> H; apply: (H RC 2%N at_ gt (fun _ => 1) 1 ltr01 agt astep 0%N). Qed.

End Encoders.
