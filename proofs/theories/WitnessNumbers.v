(** * WitnessNumbers: the exact numbers of the necessity witnesses

    Written by witnesses.py from witnesses.json, which the Rust tests read too; never edited by hand.
    [<id>_<entry> R] is the entry of the witness <id>, over any real field R; a polynomial in the
    learning rate takes the rate as a further argument. [<id>_numbers] unfolds the entries of a witness. *)
From mathcomp Require Import all_ssreflect all_algebra.
From Perpend Require Import Vec.
Import GRing.Theory.
Local Open Scope ring_scope.

Definition vec4 (R : realFieldType) (a b c d : R) : 'cV[R]_4 :=
  \col_(i < 4) nth 0 [:: a; b; c; d] i.
Arguments vec4 {R} a b c d.

(** private-row: Nothing dropped: a private row under SGD, L = -cos(q, user). The step is orthogonal and the norm grows. *)
Definition private_row_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition private_row_norm (R : realFieldType) : R := 5%:R.
Definition private_row_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition private_row_user_norm (R : realFieldType) : R := 1.
Definition private_row_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
Definition private_row_radial (R : realFieldType) (eta : R) : R := 0.
Definition private_row_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (16%:R / 625%:R) * eta ^+ 2.
Ltac private_row_numbers := rewrite /private_row_q /private_row_norm /private_row_user /private_row_user_norm /private_row_gradient /private_row_radial /private_row_norm2.

(** private-row-second-user: Nothing dropped, the other user direction. *)
Definition private_row_second_user_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition private_row_second_user_norm (R : realFieldType) : R := 5%:R.
Definition private_row_second_user_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition private_row_second_user_user_norm (R : realFieldType) : R := 1.
Definition private_row_second_user_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (12%:R / 125%:R) (- (9%:R / 125%:R)).
Definition private_row_second_user_radial (R : realFieldType) (eta : R) : R := 0.
Definition private_row_second_user_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (9%:R / 625%:R) * eta ^+ 2.
Ltac private_row_second_user_numbers := rewrite /private_row_second_user_q /private_row_second_user_norm /private_row_second_user_user /private_row_second_user_user_norm /private_row_second_user_gradient /private_row_second_user_radial /private_row_second_user_norm2.

(** dot-product-loss: L = -<user, q> in place of the cosine: the gradient is -user. As a negative (L = +<user, q>) the sign turns. *)
Definition dot_product_loss_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition dot_product_loss_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition dot_product_loss_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (- 1) 0.
Definition dot_product_loss_radial (R : realFieldType) (eta : R) : R := 3%:R * eta.
Definition dot_product_loss_radial_negative (R : realFieldType) (eta : R) : R := (- 3%:R) * eta.
Ltac dot_product_loss_numbers := rewrite /dot_product_loss_q /dot_product_loss_user /dot_product_loss_gradient /dot_product_loss_radial /dot_product_loss_radial_negative.

(** two-layer: q = V h with V and h both trained, private to the item: JJ^T = |h|^2 I + V V^T is not a multiple of the identity. Exact in eta; the sign depends on the user. *)
Definition two_layer_V (R : realFieldType) : 'M[R]_2 := mat2 1 0 0 2%:R.
Definition two_layer_h (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 2%:R.
Definition two_layer_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition two_layer_norm (R : realFieldType) : R := 5%:R.
Definition two_layer_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition two_layer_user_norm (R : realFieldType) : R := 1.
Definition two_layer_second_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition two_layer_second_user_norm (R : realFieldType) : R := 1.
Definition two_layer_radial (R : realFieldType) (eta : R) : R := (- (144%:R / 125%:R)) * eta.
Definition two_layer_radial_second (R : realFieldType) (eta : R) : R := (108%:R / 125%:R) * eta.
Definition two_layer_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (- (288%:R / 125%:R)) * eta + ((91%:R * 1000%:R + 792%:R) / (15%:R * 1000%:R + 625%:R)) * eta ^+ 2.
Definition two_layer_norm2_second (R : realFieldType) (eta : R) : R := 25%:R + (216%:R / 125%:R) * eta + ((51%:R * 1000%:R + 633%:R) / (15%:R * 1000%:R + 625%:R)) * eta ^+ 2.
Definition two_layer_condition_number (R : realFieldType) : R := (17%:R / 14%:R).
Definition two_layer_angle_bound (R : realFieldType) : R := (3%:R / 31%:R).
Ltac two_layer_numbers := rewrite /two_layer_V /two_layer_h /two_layer_q /two_layer_norm /two_layer_user /two_layer_user_norm /two_layer_second_user /two_layer_second_user_norm /two_layer_radial /two_layer_radial_second /two_layer_norm2 /two_layer_norm2_second /two_layer_condition_number /two_layer_angle_bound.

(** squares-encoder: A nonlinear encoder q(theta) = (3 theta_1^2, theta_2^2): the radial part has a first-order term. *)
Definition squares_encoder_theta (R : realFieldType) : 'cV[R]_2 := vec2 1 2%:R.
Definition squares_encoder_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition squares_encoder_norm (R : realFieldType) : R := 5%:R.
Definition squares_encoder_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition squares_encoder_user_norm (R : realFieldType) : R := 1.
Definition squares_encoder_eta (R : realFieldType) : R := (1 / 10%:R).
Definition squares_encoder_jacobian (R : realFieldType) : 'M[R]_2 := mat2 6%:R 0 0 4%:R.
Definition squares_encoder_radial (R : realFieldType) (eta : R) : R := (192%:R / 25%:R) * eta + ((18%:R * 1000%:R + 432%:R) / (3%:R * 1000%:R + 125%:R)) * eta ^+ 2.
Definition squares_encoder_radial_at_eta (R : realFieldType) : R := ((64%:R * 1000%:R + 608%:R) / (78%:R * 1000%:R + 125%:R)).
Ltac squares_encoder_numbers := rewrite /squares_encoder_theta /squares_encoder_q /squares_encoder_norm /squares_encoder_user /squares_encoder_user_norm /squares_encoder_eta /squares_encoder_jacobian /squares_encoder_radial /squares_encoder_radial_at_eta.

(** frozen-projection: q = V h with V frozen: linear in the parameters, private, plain SGD, and still JJ^T = V V^T is not a multiple of the identity. The norm shrinks (first user) or grows (second user). *)
Definition frozen_projection_V (R : realFieldType) : 'M[R]_2 := mat2 1 0 0 2%:R.
Definition frozen_projection_h (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 2%:R.
Definition frozen_projection_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition frozen_projection_norm (R : realFieldType) : R := 5%:R.
Definition frozen_projection_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition frozen_projection_user_norm (R : realFieldType) : R := 1.
Definition frozen_projection_second_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition frozen_projection_second_user_norm (R : realFieldType) : R := 1.
Definition frozen_projection_radial (R : realFieldType) (eta : R) : R := (- (144%:R / 125%:R)) * eta.
Definition frozen_projection_radial_second (R : realFieldType) (eta : R) : R := (108%:R / 125%:R) * eta.
Definition frozen_projection_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (- (288%:R / 125%:R)) * eta + (512%:R / (3%:R * 1000%:R + 125%:R)) * eta ^+ 2.
Definition frozen_projection_norm2_second (R : realFieldType) (eta : R) : R := 25%:R + (216%:R / 125%:R) * eta + (288%:R / (3%:R * 1000%:R + 125%:R)) * eta ^+ 2.
Definition frozen_projection_condition_number (R : realFieldType) : R := 4%:R.
Definition frozen_projection_angle_bound (R : realFieldType) : R := (3%:R / 5%:R).
Definition frozen_projection_cosine_squared (R : realFieldType) : R := (81%:R / 250%:R).
Ltac frozen_projection_numbers := rewrite /frozen_projection_V /frozen_projection_h /frozen_projection_q /frozen_projection_norm /frozen_projection_user /frozen_projection_user_norm /frozen_projection_second_user /frozen_projection_second_user_norm /frozen_projection_radial /frozen_projection_radial_second /frozen_projection_norm2 /frozen_projection_norm2_second /frozen_projection_condition_number /frozen_projection_angle_bound /frozen_projection_cosine_squared.

(** shared-row: q_a = e_a and q_b = e_a + e_b share the row e_a. Both items paired with the same user, or only b looked up (then a moves all the same), or b paired with the other user. *)
Definition shared_row_e_a (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition shared_row_e_b (R : realFieldType) : 'cV[R]_2 := vec2 1 (- 1).
Definition shared_row_q_a (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition shared_row_q_b (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition shared_row_norm_a (R : realFieldType) : R := 5%:R.
Definition shared_row_norm_b (R : realFieldType) : R := 5%:R.
Definition shared_row_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition shared_row_user_norm (R : realFieldType) : R := 1.
Definition shared_row_second_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition shared_row_second_user_norm (R : realFieldType) : R := 1.
Definition shared_row_gradient_b (R : realFieldType) : 'cV[R]_2 := vec2 (- (9%:R / 125%:R)) (12%:R / 125%:R).
Definition shared_row_gradient_b_second (R : realFieldType) : 'cV[R]_2 := vec2 (12%:R / 125%:R) (- (16%:R / 125%:R)).
Definition shared_row_radial_a (R : realFieldType) (eta : R) : R := (- (21%:R / 125%:R)) * eta.
Definition shared_row_radial_b (R : realFieldType) (eta : R) : R := (28%:R / 125%:R) * eta.
Definition shared_row_radial_a_only_b (R : realFieldType) (eta : R) : R := (- (21%:R / 125%:R)) * eta.
Definition shared_row_radial_a_second (R : realFieldType) (eta : R) : R := (28%:R / 125%:R) * eta.
Ltac shared_row_numbers := rewrite /shared_row_e_a /shared_row_e_b /shared_row_q_a /shared_row_q_b /shared_row_norm_a /shared_row_norm_b /shared_row_user /shared_row_user_norm /shared_row_second_user /shared_row_second_user_norm /shared_row_gradient_b /shared_row_gradient_b_second /shared_row_radial_a /shared_row_radial_b /shared_row_radial_a_only_b /shared_row_radial_a_second.

(** graph-propagation: LightGCN-style propagation Q = A E: linear, but A A^T couples the items. *)
Definition graph_propagation_A (R : realFieldType) : 'M[R]_2 := mat2 1 (1 / 2%:R) (1 / 2%:R) 1.
Definition graph_propagation_e_a (R : realFieldType) : 'cV[R]_2 := vec2 (4%:R / 3%:R) (10%:R / 3%:R).
Definition graph_propagation_e_b (R : realFieldType) : 'cV[R]_2 := vec2 (10%:R / 3%:R) (4%:R / 3%:R).
Definition graph_propagation_q_a (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition graph_propagation_q_b (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition graph_propagation_norm_a (R : realFieldType) : R := 5%:R.
Definition graph_propagation_norm_b (R : realFieldType) : R := 5%:R.
Definition graph_propagation_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition graph_propagation_user_norm (R : realFieldType) : R := 1.
Definition graph_propagation_radial_a (R : realFieldType) (eta : R) : R := (- (21%:R / 125%:R)) * eta.
Definition graph_propagation_radial_b (R : realFieldType) (eta : R) : R := (28%:R / 125%:R) * eta.
Ltac graph_propagation_numbers := rewrite /graph_propagation_A /graph_propagation_e_a /graph_propagation_e_b /graph_propagation_q_a /graph_propagation_q_b /graph_propagation_norm_a /graph_propagation_norm_b /graph_propagation_user /graph_propagation_user_norm /graph_propagation_radial_a /graph_propagation_radial_b.

(** pooled-user: The user tower is the mean of item rows e_a, e_b; the target is a third item. The gradient is orthogonal to the user, not to e_a. *)
Definition pooled_user_e_a (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition pooled_user_e_b (R : realFieldType) : 'cV[R]_2 := vec2 5%:R (- 4%:R).
Definition pooled_user_user (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 0.
Definition pooled_user_user_norm (R : realFieldType) : R := 4%:R.
Definition pooled_user_target (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition pooled_user_target_norm (R : realFieldType) : R := 5%:R.
Definition pooled_user_gradient_user (R : realFieldType) : 'cV[R]_2 := vec2 0 (- (3%:R / 20%:R)).
Definition pooled_user_gradient_e_a (R : realFieldType) : 'cV[R]_2 := vec2 0 (- (3%:R / 40%:R)).
Definition pooled_user_radial (R : realFieldType) (eta : R) : R := (3%:R / 10%:R) * eta.
Ltac pooled_user_numbers := rewrite /pooled_user_e_a /pooled_user_e_b /pooled_user_user /pooled_user_user_norm /pooled_user_target /pooled_user_target_norm /pooled_user_gradient_user /pooled_user_gradient_e_a /pooled_user_radial.

(** heavy-ball-coasting: Dense heavy ball: looked up at step 0, not at step 1, where it coasts outward. *)
Definition heavy_ball_coasting_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition heavy_ball_coasting_norm (R : realFieldType) : R := 5%:R.
Definition heavy_ball_coasting_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition heavy_ball_coasting_user_norm (R : realFieldType) : R := 1.
Definition heavy_ball_coasting_beta (R : realFieldType) : R := (9%:R / 10%:R).
Definition heavy_ball_coasting_eta (R : realFieldType) : R := (1 / 10%:R).
Definition heavy_ball_coasting_radial (R : realFieldType) (eta : R) : R := (72%:R / (3%:R * 1000%:R + 125%:R)) * eta ^+ 2.
Definition heavy_ball_coasting_radial_at_eta (R : realFieldType) : R := (18%:R / (78%:R * 1000%:R + 125%:R)).
Ltac heavy_ball_coasting_numbers := rewrite /heavy_ball_coasting_q /heavy_ball_coasting_norm /heavy_ball_coasting_user /heavy_ball_coasting_user_norm /heavy_ball_coasting_beta /heavy_ball_coasting_eta /heavy_ball_coasting_radial /heavy_ball_coasting_radial_at_eta.

(** heavy-ball-sampled: Heavy ball, looked up at both steps: the second step has the radial part beta eta^2 |p_0|^2. *)
Definition heavy_ball_sampled_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition heavy_ball_sampled_norm (R : realFieldType) : R := 5%:R.
Definition heavy_ball_sampled_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition heavy_ball_sampled_user_norm (R : realFieldType) : R := 1.
Definition heavy_ball_sampled_beta (R : realFieldType) : R := (9%:R / 10%:R).
Definition heavy_ball_sampled_eta (R : realFieldType) : R := 75%:R.
Definition heavy_ball_sampled_q1 (R : realFieldType) : 'cV[R]_2 := vec2 (63%:R / 5%:R) (- (16%:R / 5%:R)).
Definition heavy_ball_sampled_norm1 (R : realFieldType) : R := 13%:R.
Definition heavy_ball_sampled_gradient1 (R : realFieldType) : 'cV[R]_2 := vec2 (- (256%:R / (54%:R * 1000%:R + 925%:R))) (- ((1 * 1000%:R + 8%:R) / (54%:R * 1000%:R + 925%:R))).
Definition heavy_ball_sampled_radial (R : realFieldType) : R := (648%:R / 5%:R).
Ltac heavy_ball_sampled_numbers := rewrite /heavy_ball_sampled_q /heavy_ball_sampled_norm /heavy_ball_sampled_user /heavy_ball_sampled_user_norm /heavy_ball_sampled_beta /heavy_ball_sampled_eta /heavy_ball_sampled_q1 /heavy_ball_sampled_norm1 /heavy_ball_sampled_gradient1 /heavy_ball_sampled_radial.

(** weight-decay: Weight decay lambda, coupled or decoupled (the same for SGD): the radial part is -eta lambda |q|^2. *)
Definition weight_decay_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition weight_decay_norm (R : realFieldType) : R := 5%:R.
Definition weight_decay_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition weight_decay_user_norm (R : realFieldType) : R := 1.
Definition weight_decay_lambda (R : realFieldType) : R := (1 / 10%:R).
Definition weight_decay_radial (R : realFieldType) (eta : R) : R := (- (5%:R / 2%:R)) * eta.
Definition weight_decay_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (- 5%:R) * eta + (689%:R / (2%:R * 1000%:R + 500%:R)) * eta ^+ 2.
Ltac weight_decay_numbers := rewrite /weight_decay_q /weight_decay_norm /weight_decay_user /weight_decay_user_norm /weight_decay_lambda /weight_decay_radial /weight_decay_norm2.

(** sign-step: First step of Adam, AdaGrad, RMSprop (epsilon 0), of Lion and of signSGD, and row-wise AdaGrad applied to the rows of a linear tower's weight with a scalar feature: the sign of the gradient. *)
Definition sign_step_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition sign_step_norm (R : realFieldType) : R := 5%:R.
Definition sign_step_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition sign_step_user_norm (R : realFieldType) : R := 1.
Definition sign_step_second_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition sign_step_second_user_norm (R : realFieldType) : R := 1.
Definition sign_step_sign (R : realFieldType) : 'cV[R]_2 := vec2 (- 1) 1.
Definition sign_step_sign_second (R : realFieldType) : 'cV[R]_2 := vec2 1 (- 1).
Definition sign_step_radial (R : realFieldType) (eta : R) : R := (- 1) * eta.
Definition sign_step_radial_second (R : realFieldType) (eta : R) : R := 1 * eta.
Ltac sign_step_numbers := rewrite /sign_step_q /sign_step_norm /sign_step_user /sign_step_user_norm /sign_step_second_user /sign_step_second_user_norm /sign_step_sign /sign_step_sign_second /sign_step_radial /sign_step_radial_second.

(** coordinate-clip: Clipping each coordinate of the gradient at 12/125. *)
Definition coordinate_clip_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition coordinate_clip_norm (R : realFieldType) : R := 5%:R.
Definition coordinate_clip_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition coordinate_clip_user_norm (R : realFieldType) : R := 1.
Definition coordinate_clip_bound (R : realFieldType) : R := (12%:R / 125%:R).
Definition coordinate_clip_clipped (R : realFieldType) : 'cV[R]_2 := vec2 (- (12%:R / 125%:R)) (12%:R / 125%:R).
Definition coordinate_clip_radial (R : realFieldType) (eta : R) : R := (- (12%:R / 125%:R)) * eta.
Ltac coordinate_clip_numbers := rewrite /coordinate_clip_q /coordinate_clip_norm /coordinate_clip_user /coordinate_clip_user_norm /coordinate_clip_bound /coordinate_clip_clipped /coordinate_clip_radial.

(** mean-gradient-step: A row-wise AdaGrad whose square and mean were swapped, first step: every coordinate moves by -eta mean(g)/|mean(g)|. *)
Definition mean_gradient_step_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition mean_gradient_step_norm (R : realFieldType) : R := 5%:R.
Definition mean_gradient_step_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition mean_gradient_step_user_norm (R : realFieldType) : R := 1.
Definition mean_gradient_step_mean (R : realFieldType) : R := (- (2%:R / 125%:R)).
Definition mean_gradient_step_radial (R : realFieldType) (eta : R) : R := 7%:R * eta.
Ltac mean_gradient_step_numbers := rewrite /mean_gradient_step_q /mean_gradient_step_norm /mean_gradient_step_user /mean_gradient_step_user_norm /mean_gradient_step_mean /mean_gradient_step_radial.

(** nesterov-coasting: Nesterov momentum (step g + beta p): looked up at step 0, not at step 1. *)
Definition nesterov_coasting_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition nesterov_coasting_norm (R : realFieldType) : R := 5%:R.
Definition nesterov_coasting_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition nesterov_coasting_user_norm (R : realFieldType) : R := 1.
Definition nesterov_coasting_beta (R : realFieldType) : R := (9%:R / 10%:R).
Definition nesterov_coasting_eta (R : realFieldType) : R := (1 / 10%:R).
Definition nesterov_coasting_radial (R : realFieldType) (eta : R) : R := ((3%:R * 1000%:R + 78%:R) / (78%:R * 1000%:R + 125%:R)) * eta ^+ 2.
Definition nesterov_coasting_radial_at_eta (R : realFieldType) : R := ((1 * 1000%:R + 539%:R) / ((3%:R * 1000%:R + 906%:R) * 1000%:R + 250%:R)).
Ltac nesterov_coasting_numbers := rewrite /nesterov_coasting_q /nesterov_coasting_norm /nesterov_coasting_user /nesterov_coasting_user_norm /nesterov_coasting_beta /nesterov_coasting_eta /nesterov_coasting_radial /nesterov_coasting_radial_at_eta.

(** nesterov-warm-up: Nesterov with a learning rate that warms up from 0: the buffer fills at rate 0 with the gradient of (125/4) cos, the next gradient is that of -(125/12) cos, then the row is not looked up. The norm shrinks. *)
Definition nesterov_warm_up_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition nesterov_warm_up_norm (R : realFieldType) : R := 5%:R.
Definition nesterov_warm_up_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition nesterov_warm_up_user_norm (R : realFieldType) : R := 1.
Definition nesterov_warm_up_beta (R : realFieldType) : R := (1 / 2%:R).
Definition nesterov_warm_up_weight0 (R : realFieldType) : R := (- (125%:R / 4%:R)).
Definition nesterov_warm_up_weight1 (R : realFieldType) : R := (125%:R / 12%:R).
Definition nesterov_warm_up_rate0 (R : realFieldType) : R := 0.
Definition nesterov_warm_up_rate1 (R : realFieldType) : R := 1.
Definition nesterov_warm_up_rate2 (R : realFieldType) : R := 1.
Definition nesterov_warm_up_gradient0 (R : realFieldType) : 'cV[R]_2 := vec2 4%:R (- 3%:R).
Definition nesterov_warm_up_gradient1 (R : realFieldType) : 'cV[R]_2 := vec2 (- (4%:R / 3%:R)) 1.
Definition nesterov_warm_up_q2 (R : realFieldType) : 'cV[R]_2 := vec2 4%:R (13%:R / 4%:R).
Definition nesterov_warm_up_q3 (R : realFieldType) : 'cV[R]_2 := vec2 (23%:R / 6%:R) (27%:R / 8%:R).
Definition nesterov_warm_up_radial (R : realFieldType) : R := (- (25%:R / 96%:R)).
Definition nesterov_warm_up_norm2_before (R : realFieldType) : R := (425%:R / 16%:R).
Definition nesterov_warm_up_norm2_after (R : realFieldType) : R := ((15%:R * 1000%:R + 25%:R) / 576%:R).
Ltac nesterov_warm_up_numbers := rewrite /nesterov_warm_up_q /nesterov_warm_up_norm /nesterov_warm_up_user /nesterov_warm_up_user_norm /nesterov_warm_up_beta /nesterov_warm_up_weight0 /nesterov_warm_up_weight1 /nesterov_warm_up_rate0 /nesterov_warm_up_rate1 /nesterov_warm_up_rate2 /nesterov_warm_up_gradient0 /nesterov_warm_up_gradient1 /nesterov_warm_up_q2 /nesterov_warm_up_q3 /nesterov_warm_up_radial /nesterov_warm_up_norm2_before /nesterov_warm_up_norm2_after.

(** clamped-normalise: q / max(|q|, eps) with |q| < eps: the normalised vector is linear in q and the gradient of -<user, z> is radial. *)
Definition clamped_normalise_q (R : realFieldType) : 'cV[R]_2 := vec2 (3%:R / 50%:R) (2%:R / 25%:R).
Definition clamped_normalise_norm (R : realFieldType) : R := (1 / 10%:R).
Definition clamped_normalise_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition clamped_normalise_eps (R : realFieldType) : R := 1.
Definition clamped_normalise_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (- 1) 0.
Definition clamped_normalise_radial (R : realFieldType) : R := (- (3%:R / 50%:R)).
Ltac clamped_normalise_numbers := rewrite /clamped_normalise_q /clamped_normalise_norm /clamped_normalise_user /clamped_normalise_eps /clamped_normalise_gradient /clamped_normalise_radial.

(** added-epsilon: <user, q> / (|user||q| + eps): the gradient of this cosine has the radial part c eps/(|user||q| + eps). *)
Definition added_epsilon_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition added_epsilon_norm (R : realFieldType) : R := 5%:R.
Definition added_epsilon_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition added_epsilon_user_norm (R : realFieldType) : R := 1.
Definition added_epsilon_eps (R : realFieldType) : R := 5%:R.
Definition added_epsilon_cosine (R : realFieldType) : R := (3%:R / 10%:R).
Definition added_epsilon_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (41%:R / 500%:R) (- (3%:R / 125%:R)).
Definition added_epsilon_radial (R : realFieldType) : R := (3%:R / 20%:R).
Ltac added_epsilon_numbers := rewrite /added_epsilon_q /added_epsilon_norm /added_epsilon_user /added_epsilon_user_norm /added_epsilon_eps /added_epsilon_cosine /added_epsilon_gradient /added_epsilon_radial.

(** epsilon-under-root: q / sqrt(|q|^2 + eps): the radial part is eps/(|q|^2 + eps) <z, dL/dz>. *)
Definition epsilon_under_root_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition epsilon_under_root_root (R : realFieldType) : R := 12%:R.
Definition epsilon_under_root_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition epsilon_under_root_eps (R : realFieldType) : R := 119%:R.
Definition epsilon_under_root_z (R : realFieldType) : 'cV[R]_2 := vec2 (1 / 4%:R) (1 / 3%:R).
Definition epsilon_under_root_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (- (5%:R / 64%:R)) (1 / 144%:R).
Definition epsilon_under_root_radial (R : realFieldType) : R := (- (119%:R / 576%:R)).
Ltac epsilon_under_root_numbers := rewrite /epsilon_under_root_q /epsilon_under_root_root /epsilon_under_root_user /epsilon_under_root_eps /epsilon_under_root_z /epsilon_under_root_gradient /epsilon_under_root_radial.

(** clamped-product: <user, q> / max(|user||q|, eps) with a tiny user: |user||q| = 1/2 < eps = 1 although |q| = 5 is large, and the gradient is the user itself. *)
Definition clamped_product_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition clamped_product_norm (R : realFieldType) : R := 5%:R.
Definition clamped_product_user (R : realFieldType) : 'cV[R]_2 := vec2 (1 / 10%:R) 0.
Definition clamped_product_user_norm (R : realFieldType) : R := (1 / 10%:R).
Definition clamped_product_eps (R : realFieldType) : R := 1.
Definition clamped_product_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (1 / 10%:R) 0.
Definition clamped_product_radial (R : realFieldType) : R := (3%:R / 10%:R).
Ltac clamped_product_numbers := rewrite /clamped_product_q /clamped_product_norm /clamped_product_user /clamped_product_user_norm /clamped_product_eps /clamped_product_gradient /clamped_product_radial.

(** serving-inversion: cos ranks i over j, the dot product ranks j over i; the user's norm plays no part. *)
Definition serving_inversion_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition serving_inversion_q_i (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition serving_inversion_q_j (R : realFieldType) : 'cV[R]_2 := vec2 6%:R 8%:R.
Definition serving_inversion_norm_i (R : realFieldType) : R := 5%:R.
Definition serving_inversion_norm_j (R : realFieldType) : R := 10%:R.
Definition serving_inversion_cosine_i (R : realFieldType) : R := (4%:R / 5%:R).
Definition serving_inversion_cosine_j (R : realFieldType) : R := (3%:R / 5%:R).
Definition serving_inversion_dot_i (R : realFieldType) : R := 4%:R.
Definition serving_inversion_dot_j (R : realFieldType) : R := 6%:R.
Ltac serving_inversion_numbers := rewrite /serving_inversion_user /serving_inversion_q_i /serving_inversion_q_j /serving_inversion_norm_i /serving_inversion_norm_j /serving_inversion_cosine_i /serving_inversion_cosine_j /serving_inversion_dot_i /serving_inversion_dot_j.

(** control-gain: Benign: q = a w with a private gain a and a private vector w. The gain's gradient is zero and the step is -eta a^2 g. *)
Definition control_gain_gain (R : realFieldType) : R := 2%:R.
Definition control_gain_w (R : realFieldType) : 'cV[R]_2 := vec2 (3%:R / 2%:R) 2%:R.
Definition control_gain_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_gain_norm (R : realFieldType) : R := 5%:R.
Definition control_gain_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition control_gain_user_norm (R : realFieldType) : R := 1.
Definition control_gain_gain_gradient (R : realFieldType) : R := 0.
Definition control_gain_radial (R : realFieldType) (eta : R) : R := 0.
Ltac control_gain_numbers := rewrite /control_gain_gain /control_gain_w /control_gain_q /control_gain_norm /control_gain_user /control_gain_user_norm /control_gain_gain_gradient /control_gain_radial.

(** control-scaled-rotation: Benign: a frozen scaled rotation after the table, JJ^T = 4 I. *)
Definition control_scaled_rotation_V (R : realFieldType) : 'M[R]_2 := mat2 0 (- 2%:R) 2%:R 0.
Definition control_scaled_rotation_h (R : realFieldType) : 'cV[R]_2 := vec2 2%:R (- (3%:R / 2%:R)).
Definition control_scaled_rotation_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_scaled_rotation_norm (R : realFieldType) : R := 5%:R.
Definition control_scaled_rotation_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition control_scaled_rotation_user_norm (R : realFieldType) : R := 1.
Definition control_scaled_rotation_radial (R : realFieldType) (eta : R) : R := 0.
Definition control_scaled_rotation_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (256%:R / 625%:R) * eta ^+ 2.
Ltac control_scaled_rotation_numbers := rewrite /control_scaled_rotation_V /control_scaled_rotation_h /control_scaled_rotation_q /control_scaled_rotation_norm /control_scaled_rotation_user /control_scaled_rotation_user_norm /control_scaled_rotation_radial /control_scaled_rotation_norm2.

(** control-orthogonal-features: Benign: a shared linear tower whose two features are orthogonal, x_a = (1, 1), x_b = (1, -1). *)
Definition control_orthogonal_features_x_a (R : realFieldType) : 'cV[R]_2 := vec2 1 1.
Definition control_orthogonal_features_x_b (R : realFieldType) : 'cV[R]_2 := vec2 1 (- 1).
Definition control_orthogonal_features_W (R : realFieldType) : 'M[R]_2 := mat2 (7%:R / 2%:R) (- (1 / 2%:R)) (7%:R / 2%:R) (1 / 2%:R).
Definition control_orthogonal_features_q_a (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_orthogonal_features_q_b (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition control_orthogonal_features_norm_a (R : realFieldType) : R := 5%:R.
Definition control_orthogonal_features_norm_b (R : realFieldType) : R := 5%:R.
Definition control_orthogonal_features_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition control_orthogonal_features_user_norm (R : realFieldType) : R := 1.
Definition control_orthogonal_features_radial_a (R : realFieldType) (eta : R) : R := 0.
Definition control_orthogonal_features_radial_b (R : realFieldType) (eta : R) : R := 0.
Ltac control_orthogonal_features_numbers := rewrite /control_orthogonal_features_x_a /control_orthogonal_features_x_b /control_orthogonal_features_W /control_orthogonal_features_q_a /control_orthogonal_features_q_b /control_orthogonal_features_norm_a /control_orthogonal_features_norm_b /control_orthogonal_features_user /control_orthogonal_features_user_norm /control_orthogonal_features_radial_a /control_orthogonal_features_radial_b.

(** control-equal-magnitudes: Benign: all coordinates of the gradient have the same size, so the sign step is a scalar step. *)
Definition control_equal_magnitudes_q (R : realFieldType) : 'cV[R]_4 := vec4 1 1 1 1.
Definition control_equal_magnitudes_norm (R : realFieldType) : R := 2%:R.
Definition control_equal_magnitudes_user (R : realFieldType) : 'cV[R]_4 := vec4 1 (- 1) 1 (- 1).
Definition control_equal_magnitudes_user_norm (R : realFieldType) : R := 2%:R.
Definition control_equal_magnitudes_gradient (R : realFieldType) : 'cV[R]_4 := vec4 (- (1 / 4%:R)) (1 / 4%:R) (- (1 / 4%:R)) (1 / 4%:R).
Definition control_equal_magnitudes_radial (R : realFieldType) (eta : R) : R := 0.
Ltac control_equal_magnitudes_numbers := rewrite /control_equal_magnitudes_q /control_equal_magnitudes_norm /control_equal_magnitudes_user /control_equal_magnitudes_user_norm /control_equal_magnitudes_gradient /control_equal_magnitudes_radial.

(** control-first-momentum-step: Benign: the first heavy-ball step is a plain SGD step. *)
Definition control_first_momentum_step_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_first_momentum_step_norm (R : realFieldType) : R := 5%:R.
Definition control_first_momentum_step_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition control_first_momentum_step_user_norm (R : realFieldType) : R := 1.
Definition control_first_momentum_step_beta (R : realFieldType) : R := (9%:R / 10%:R).
Definition control_first_momentum_step_radial (R : realFieldType) (eta : R) : R := 0.
Definition control_first_momentum_step_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (16%:R / 625%:R) * eta ^+ 2.
Ltac control_first_momentum_step_numbers := rewrite /control_first_momentum_step_q /control_first_momentum_step_norm /control_first_momentum_step_user /control_first_momentum_step_user_norm /control_first_momentum_step_beta /control_first_momentum_step_radial /control_first_momentum_step_norm2.

(** control-duplicates: Benign: the item fills two slots of a batch, with two users; the gradients are summed. *)
Definition control_duplicates_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_duplicates_norm (R : realFieldType) : R := 5%:R.
Definition control_duplicates_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition control_duplicates_user_norm (R : realFieldType) : R := 1.
Definition control_duplicates_second_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition control_duplicates_second_user_norm (R : realFieldType) : R := 1.
Definition control_duplicates_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (- (4%:R / 125%:R)) (3%:R / 125%:R).
Definition control_duplicates_radial (R : realFieldType) (eta : R) : R := 0.
Definition control_duplicates_norm2 (R : realFieldType) (eta : R) : R := 25%:R + (1 / 625%:R) * eta ^+ 2.
Ltac control_duplicates_numbers := rewrite /control_duplicates_q /control_duplicates_norm /control_duplicates_user /control_duplicates_user_norm /control_duplicates_second_user /control_duplicates_second_user_norm /control_duplicates_gradient /control_duplicates_radial /control_duplicates_norm2.

(** control-siamese: Benign: user and item are distinct rows of one table; each row's gradient is orthogonal to its own row. *)
Definition control_siamese_item (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_siamese_user (R : realFieldType) : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition control_siamese_item_norm (R : realFieldType) : R := 5%:R.
Definition control_siamese_user_norm (R : realFieldType) : R := 5%:R.
Definition control_siamese_gradient_item (R : realFieldType) : 'cV[R]_2 := vec2 (- (28%:R / 625%:R)) (21%:R / 625%:R).
Definition control_siamese_gradient_user (R : realFieldType) : 'cV[R]_2 := vec2 (21%:R / 625%:R) (- (28%:R / 625%:R)).
Definition control_siamese_radial_item (R : realFieldType) (eta : R) : R := 0.
Definition control_siamese_radial_user (R : realFieldType) (eta : R) : R := 0.
Ltac control_siamese_numbers := rewrite /control_siamese_item /control_siamese_user /control_siamese_item_norm /control_siamese_user_norm /control_siamese_gradient_item /control_siamese_gradient_user /control_siamese_radial_item /control_siamese_radial_user.

(** control-frozen-bias: Benign: q = W x + b with a frozen offset b (affine suffices). The parameter-level identity <W, dL/dW> = 0 fails: it is -<b, g>. *)
Definition control_frozen_bias_W (R : realFieldType) : 'cV[R]_2 := vec2 2%:R 2%:R.
Definition control_frozen_bias_x (R : realFieldType) : R := 1.
Definition control_frozen_bias_b (R : realFieldType) : 'cV[R]_2 := vec2 1 2%:R.
Definition control_frozen_bias_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition control_frozen_bias_norm (R : realFieldType) : R := 5%:R.
Definition control_frozen_bias_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition control_frozen_bias_user_norm (R : realFieldType) : R := 1.
Definition control_frozen_bias_radial (R : realFieldType) (eta : R) : R := 0.
Definition control_frozen_bias_parameter_inner_product (R : realFieldType) : R := (- (8%:R / 125%:R)).
Ltac control_frozen_bias_numbers := rewrite /control_frozen_bias_W /control_frozen_bias_x /control_frozen_bias_b /control_frozen_bias_q /control_frozen_bias_norm /control_frozen_bias_user /control_frozen_bias_user_norm /control_frozen_bias_radial /control_frozen_bias_parameter_inner_product.

(** gradient-scaling: The gradient at (7/3) q is 3/7 of the gradient at q. *)
Definition gradient_scaling_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition gradient_scaling_norm (R : realFieldType) : R := 5%:R.
Definition gradient_scaling_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition gradient_scaling_user_norm (R : realFieldType) : R := 1.
Definition gradient_scaling_scale (R : realFieldType) : R := (7%:R / 3%:R).
Definition gradient_scaling_gradient (R : realFieldType) : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
Definition gradient_scaling_gradient_scaled (R : realFieldType) : 'cV[R]_2 := vec2 (- (48%:R / 875%:R)) (36%:R / 875%:R).
Ltac gradient_scaling_numbers := rewrite /gradient_scaling_q /gradient_scaling_norm /gradient_scaling_user /gradient_scaling_user_norm /gradient_scaling_scale /gradient_scaling_gradient /gradient_scaling_gradient_scaled.

(** stale-gradient: A gradient computed at q_0 is applied at q_1 = q_0 - eta g_0: the radial part has either sign, by the user of the stale gradient. *)
Definition stale_gradient_q (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition stale_gradient_norm (R : realFieldType) : R := 5%:R.
Definition stale_gradient_user (R : realFieldType) : 'cV[R]_2 := vec2 1 0.
Definition stale_gradient_user_norm (R : realFieldType) : R := 1.
Definition stale_gradient_second_user (R : realFieldType) : 'cV[R]_2 := vec2 0 1.
Definition stale_gradient_second_user_norm (R : realFieldType) : R := 1.
Definition stale_gradient_radial (R : realFieldType) (eta : R) : R := (16%:R / 625%:R) * eta ^+ 2.
Definition stale_gradient_radial_second (R : realFieldType) (eta : R) : R := (- (12%:R / 625%:R)) * eta ^+ 2.
Ltac stale_gradient_numbers := rewrite /stale_gradient_q /stale_gradient_norm /stale_gradient_user /stale_gradient_user_norm /stale_gradient_second_user /stale_gradient_second_user_norm /stale_gradient_radial /stale_gradient_radial_second.
