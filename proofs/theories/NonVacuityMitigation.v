(** * NonVacuityMitigation: the hypotheses of the mitigation and serving theorems hold together

    Instances over Coq's real numbers (a real closed field) for NormFixing.v,
    ServingInversion.v and GradientImpliesGrowth.v: the rows (3,4), (4,3), (6,8) and their
    exact norms, the user (1,0), and their negatives. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine Optimizers NonVacuous.
From Perpend Require Import NormFixing ServingInversion RotationEquivariance GradientImpliesGrowth.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Local Notation RC := [rcfType of R].

Lemma cosine_scale_right (F : rcfType) n (u q : 'cV[F]_n) c : 0 < c ->
  cosine u (c *: q) = cosine u q.
Proof. by move=> c0; rewrite ![cosine u _]cosineC cosine_scale. Qed.

Section Data.
Let u : 'cV[RC]_2 := vec2 1 0.
Let qi : 'cV[RC]_2 := vec2 4%:R 3%:R.
Let qj : 'cV[RC]_2 := vec2 6%:R 8%:R.
Let nu : norm u = 1. Proof. exact: norm_u. Qed.
Let ni : norm qi = 5%:R. Proof. exact: norm_qi. Qed.
Let nj : norm qj = 10%:R. Proof. exact: norm_qj. Qed.
Let u0 : u != 0. Proof. by rewrite -norm_gt0 nu ltr01. Qed.
Let qi0 : qi != 0. Proof. by rewrite -norm_gt0 ni ltr0n. Qed.
Let qj0 : qj != 0. Proof. by rewrite -norm_gt0 nj ltr0n. Qed.
Let ci : cosine u qi = 4%:R / 5%:R. Proof. by have [] := inversion_witness [rcfType of R]. Qed.
Let cj : cosine u qj = 3%:R / 5%:R. Proof. by have [] := inversion_witness [rcfType of R]. Qed.
Let ci_gt0 : 0 < cosine u qi. Proof. by rewrite ci divr_gt0 ?ltr0n. Qed.
Let cj_gt0 : 0 < cosine u qj. Proof. by rewrite cj divr_gt0 ?ltr0n. Qed.
Let cji : cosine u qj < cosine u qi.
Proof. by rewrite ci cj ltr_pmul2r ?invr_gt0 ?ltr0n // ltr_nat. Qed.
Let cosN (q : 'cV[RC]_2) : cosine u (- q) = - cosine u q.
Proof. by rewrite /cosine dotNr mulNr /norm nrm2N. Qed.
Let neg0 (q : 'cV[RC]_2) : q != 0 -> - q != 0. Proof. by rewrite oppr_eq0. Qed.
Let five_ge0 : 0 <= 5%:R :> RC. Proof. exact: ler0n. Qed.
Let qk : 'cV[RC]_2 := (4%:R / 3%:R * 2%:R^-1) *: qj.

(** NormFixing *)
Example NormFixing_renormalise_norm_nonvacuous : nonvacuous renormalise_norm.
Proof. by move=> H; apply: (H _ _ 5%:R qi five_ge0 qi0). Qed.
Example NormFixing_renormalise_fixed_nonvacuous : nonvacuous renormalise_fixed.
Proof. by move=> H; apply: (H _ _ 5%:R qi qi0 ni). Qed.
Example NormFixing_renormalised_run_nonvacuous : nonvacuous renormalised_run.
Proof.
move=> H; apply: (H _ _ (fun=> qi) (fun=> qi) 5%:R five_ge0 ni (fun=> qi0) _ 0%N) => t.
by rewrite renormalise_fixed.
Qed.
Example NormFixing_orthogonal_step_avoids_origin_nonvacuous :
  nonvacuous orthogonal_step_avoids_origin.
Proof.
by move=> H; apply: (H _ _ u (vec2 0 1) u0); rewrite /u vec2E mulr0 mul0r addr0.
Qed.
Example NormFixing_chord_identity_nonvacuous : nonvacuous chord_identity.
Proof. by move=> H; apply: (H _ _ qi qi erefl). Qed.
Example NormFixing_equal_norms_rank_alike_nonvacuous : nonvacuous equal_norms_rank_alike.
Proof. by move=> H; apply: (H _ _ u qi qi 5%:R u0 _ ni ni); rewrite ltr0n. Qed.
Example NormFixing_weight_norm_norm_nonvacuous : nonvacuous weight_norm_norm.
Proof. by move=> H; apply: (H _ _ 5%:R qi qi0). Qed.
Example NormFixing_weight_norm_growth_is_unseen_nonvacuous :
  nonvacuous weight_norm_growth_is_unseen.
Proof.
move=> H; apply: (H RC 2%N (fun=> 0) 1 qi 0 1 qi0) => v; rewrite dot0l; exact: is_deriv_cst.
Qed.
Example NormFixing_clamp_bound_nonvacuous : nonvacuous clamp_bound.
Proof. by move=> H; apply: (H _ _ 5%:R qi five_ge0). Qed.
Example NormFixing_clamp_norm_nonvacuous : nonvacuous clamp_norm.
Proof. by move=> H; apply: (H _ _ 5%:R qi five_ge0). Qed.
Example NormFixing_clamp_inactive_nonvacuous : nonvacuous clamp_inactive.
Proof. by move=> H; apply: (H _ _ 5%:R qi); rewrite ni. Qed.
Example NormFixing_clamp_direction_nonvacuous : nonvacuous clamp_direction.
Proof. by move=> H; apply: (H _ _ 1 qi ltr01). Qed.
Example NormFixing_clamped_run_nonvacuous : nonvacuous clamped_run.
Proof.
move=> H; apply: (H _ _ (fun=> qi) (fun=> qi) 5%:R five_ge0 _ _ 0%N); first by rewrite ni.
by move=> t; rewrite clamp_inactive // ni.
Qed.

(** A row that is not constant. *)
Let not_constant : u != const_mx (mean u).
Proof.
apply/negP => /eqP e; have /colP/(_ 0) := e; have /colP/(_ 1) := e; rewrite !mxE /= => <-.
by move/eqP; rewrite oner_eq0.
Qed.
Let one_gt0 : 0 < 1 :> RC. Proof. exact: ltr01. Qed.

Example NormFixing_layer_norm_norm_nonvacuous : nonvacuous layer_norm_norm.
Proof. by move=> H; apply: (H _ _ 1 u ler01). Qed.
Example NormFixing_layer_norm_fixes_norm_nonvacuous : nonvacuous layer_norm_fixes_norm.
Proof. by move=> H; apply: (H _ _ u not_constant). Qed.
Example NormFixing_layer_norm_epsilon_below_nonvacuous : nonvacuous layer_norm_epsilon_below.
Proof. by move=> H; apply: (H _ _ 1 u one_gt0). Qed.
Example NormFixing_layer_norm_shortfall_nonvacuous : nonvacuous layer_norm_shortfall.
Proof. by move=> H; apply: (H _ _ 1 u one_gt0). Qed.
Example NormFixing_layer_norm_small_rows_nonvacuous : nonvacuous layer_norm_small_rows.
Proof.
have v0 : 0 < variance u by rewrite lt_def variance_ge0 variance_eq0 not_constant.
move=> H; apply: (H _ _ (variance u * 9%:R) u); first by rewrite mulr_gt0 // ltr0n.
by rewrite mulfK // pnatr_eq0.
Qed.
Example NormFixing_layer_norm_run_nonvacuous : nonvacuous layer_norm_run.
Proof. by move=> H; apply: (H _ _ (fun=> u) (fun=> not_constant) 0%N). Qed.

(** ServingInversion *)
Example ServingInversion_dot_ranking_nonvacuous : nonvacuous dot_ranking.
Proof. by move=> H; apply: (H _ _ u qi qj u0 qi0 qj0). Qed.
Example ServingInversion_user_norm_irrelevant_nonvacuous : nonvacuous user_norm_irrelevant.
Proof. by move=> H; apply: (H _ _ u qi qj 1 one_gt0). Qed.
Example ServingInversion_inversion_iff_nonvacuous : nonvacuous inversion_iff.
Proof. by move=> H; apply: (H _ _ u qi qj u0 qi0 qj0 cj_gt0 cji). Qed.
Example ServingInversion_dot_order_iff_nonvacuous : nonvacuous dot_order_iff.
Proof. by move=> H; apply: (H _ _ u qi qj u0 qi0 qj0 cj_gt0). Qed.

(** (6,8) shrunk to norm 20/3: its cosine .6 and the norm ratio 4/3 meet .8 exactly. *)
Let qkE : norm qk = 4%:R / 3%:R * norm qi.
Proof.
rewrite normZ nj ni gtr0_norm; last by rewrite mulr_gt0 ?invr_gt0 ?divr_gt0 ?ltr0n.
by field.
Qed.
Let qk0 : qk != 0.
Proof. by rewrite -norm_gt0 qkE ni mulr_gt0 ?divr_gt0 ?ltr0n. Qed.
Let ck : cosine u qk = 3%:R / 5%:R.
Proof.
by rewrite cosine_scale_right // mulr_gt0 ?invr_gt0 ?divr_gt0 ?ltr0n.
Qed.

Example ServingInversion_spread_is_sharp_nonvacuous : nonvacuous spread_is_sharp.
Proof.
by move=> H; apply: (H _ _ u qi qk (4%:R / 3%:R) u0 qi0 qk0 qkE); rewrite ci ck; field.
Qed.
Example ServingInversion_spread_keeps_order_nonvacuous : nonvacuous spread_keeps_order.
Proof.
move=> H; apply: (H _ _ u qi (5%:R^-1 *: qj) 1 u0 qi0).
- by rewrite scaler_eq0 negb_or qj0 invr_eq0 pnatr_eq0.
- rewrite normZ nj ni mul1r ger0_norm ?invr_ge0 ?ler0n // mulrC.
  by rewrite ler_pdivr_mulr ?ltr0n // -natrM ler_nat.
- by rewrite cosine_scale_right // invr_gt0 ltr0n.
- by rewrite mul1r cosine_scale_right // invr_gt0 ltr0n.
Qed.
Example ServingInversion_spread_keeps_order_all_nonvacuous : nonvacuous spread_keeps_order_all.
Proof.
move=> H; apply: (H RC 2%N bool (fun b => if b then qi else 2%:R^-1 *: qj) u 5%:R 5%:R
  u0 _ _ true false); first by rewrite ltr0n.
- case; first by rewrite ni lexx.
  rewrite normZ nj ger0_norm ?invr_ge0 ?ler0n // (_ : 2%:R^-1 * 10%:R = 5%:R) ?lexx //.
  by field.
- by rewrite cosine_scale_right // invr_gt0 ltr0n.
- rewrite divff ?pnatr_eq0 // mul1r.
  by rewrite cosine_scale_right // invr_gt0 ltr0n.
Qed.
Example ServingInversion_longer_negative_rows_sink_nonvacuous :
  nonvacuous longer_negative_rows_sink.
Proof.
move=> H; apply: (H _ _ u (- u) 1 _ (lexx _)).
by rewrite dotNr oppr_lt0 nrm2_gt0.
Qed.
Example ServingInversion_negative_never_overtakes_nonvacuous : nonvacuous negative_never_overtakes.
Proof.
move=> H; apply: (H _ _ u qi (- qj) u0 qi0 (neg0 qj0) (ltW ci_gt0)).
by rewrite cosN oppr_lt0.
Qed.
Example ServingInversion_negative_inversion_iff_nonvacuous : nonvacuous negative_inversion_iff.
Proof.
move=> H; apply: (H _ _ u (- qj) (- qi) u0 (neg0 qj0) (neg0 qi0)).
  by rewrite !cosN ltr_opp2.
by rewrite cosN oppr_lt0.
Qed.
Example ServingInversion_overtaking_iff_nonvacuous : nonvacuous overtaking_iff.
Proof.
move=> H; apply: (H _ _ u qi qj (3%:R^-1) 0 1 (norm qi ^+ 4) (norm qj ^+ 4) u0 qi0 qj0).
- by rewrite invr_ge0 ler0n.
- exact: cj_gt0.
- by rewrite ci cj; field.
- by rewrite add0r mul1r.
- by rewrite add0r mul1r.
Qed.
Example ServingInversion_popularity_ratio_needed_nonvacuous : nonvacuous popularity_ratio_needed.
Proof. by move=> H; apply: (H RC 0 1 1 1 one_gt0 one_gt0). Qed.
Example ServingInversion_popularity_ratio_with_start_nonvacuous :
  nonvacuous popularity_ratio_with_start.
Proof. by move=> H; apply: (H RC 0 1 1 1 1 one_gt0 one_gt0). Qed.
Example ServingInversion_popularity_ratio_lower_bound_nonvacuous :
  nonvacuous popularity_ratio_lower_bound.
Proof.
move=> H; apply: (H RC 0 1 1 1 2%:R (lexx _) ler01 one_gt0 one_gt0).
by rewrite addr0 expr1n !mul1r ltr_add2l (ltr_nat _ 1 2).
Qed.

(** GradientImpliesGrowth *)
Let zero_ne1 : (0 : RC) != 1. Proof. by rewrite eq_sym oner_neq0. Qed.
Let half_gt0 : 0 < 2%:R^-1 :> RC. Proof. by rewrite invr_gt0 ltr0n. Qed.
Let half_lt1 : 2%:R^-1 < 1 :> RC. Proof. by rewrite invf_lt1 ?ltr0n // (ltr_nat _ 1 2). Qed.

Example GradientImpliesGrowth_adam_first_step_shrinks_nonvacuous :
  nonvacuous adam_first_step_shrinks.
Proof. by move=> H; apply: (H RC 0 0 2%:R^-1 zero_ne1 zero_ne1 half_gt0 half_lt1). Qed.
Example GradientImpliesGrowth_adagrad_first_step_shrinks_nonvacuous :
  nonvacuous adagrad_first_step_shrinks.
Proof. by move=> H; apply: (H RC 2%:R^-1 half_gt0 half_lt1). Qed.

(** The embedding as its own parameter, with a real cosine loss for the step. *)
Example GradientImpliesGrowth_restored_implication_nonvacuous : nonvacuous restored_implication.
Proof.
have own (x : 'cV[RC]_2) : 1%:M *m x + 0 = x by rewrite mul1mx addr0.
move=> H; apply: (H RC 2%N 2%N 1%:M 0 1 (pair_loss (e1 RC)) (q34 RC) (g1 RC) (g1 RC) 1).
- by rewrite mul1mx trmx1.
- exact: pair_loss_homog0.
- by rewrite own q34_neq0.
- by rewrite own; apply: pair_grad_e1.
- move=> v; have := @pair_grad_e1 RC v.
  by apply: is_deriv_ext => x; rewrite own.
Qed.
Example GradientImpliesGrowth_restored_run_nonvacuous : nonvacuous restored_run.
Proof.
have own (x : 'cV[RC]_2) : 1%:M *m x + 0 = x by rewrite mul1mx addr0.
move=> H; apply: (H RC 2%N 2%N 1%:M 0 1 (fun=> pair_loss (e1 RC)) (fun=> q34 RC) (fun=> g1 RC)
  (fun=> g1 RC) (fun=> 0) _ _ _ _ _ _ 0%N).
- by rewrite mul1mx trmx1.
- by move=> t; apply: pair_loss_homog0.
- by rewrite own q34_neq0.
- by move=> t; rewrite own; apply: pair_grad_e1.
- move=> t v /=; have := @pair_grad_e1 RC v.
  by apply: is_deriv_ext => x; rewrite own.
- by move=> t; rewrite scale0r subr0.
Qed.

End Data.
