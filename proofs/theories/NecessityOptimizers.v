(** * Necessity, optimizers: a step that is not one scalar times the gradient

    A private row, a cosine loss; only ScalarStep is dropped (or FreshGradient, at the end).
    Each gradient is derived from the loss, at the row where it is taken, and ⟨q, Δq⟩ evaluated:
    heavy ball and Nesterov have an outward radial part of second order in the rate, also where
    the row is looked up again; Nesterov with a rate that warms up from 0 steps inward; weight
    decay is inward of first order; sign steps (the first step of Adam, AdaGrad, RMSprop, Lion),
    clipping by coordinate and a step by the mean gradient have either sign at first order.
    Numbers from witnesses.json. Derived here. No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine WitnessNumbers Necessity.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Witnesses.
Variable R : rcfType.
Implicit Types (eta : R).


(** The gradient of the baseline pair, q = (3,4) and user (1,0), derived once for all steps. *)
Lemma baseline_gradient : is_grad (cos_loss (private_row_user R)) (private_row_q R) (private_row_gradient R).
Proof. by private_row_numbers; cos_gradient (5%:R : R) (1 : R). Qed.

Lemma baseline_gradient_second :
  is_grad (cos_loss (private_row_second_user_user R)) (private_row_second_user_q R) (private_row_second_user_gradient R).
Proof. by private_row_second_user_numbers; cos_gradient (5%:R : R) (1 : R). Qed.

(** ** Momentum *)

(** Heavy ball, looked up at step 0 and not at step 1 (its gradient is 0 there). *)
Theorem heavy_ball_coasting (q0 := heavy_ball_coasting_q R) (beta := heavy_ball_coasting_beta R) :
  exists2 g, is_grad (cos_loss (heavy_ball_coasting_user R)) q0 g
  & (forall eta (p0 := g) (q1 := q0 - eta *: p0) (p1 := beta *: p0 + 0) (q2 := q1 - eta *: p1),
      ⟨q1, q2 - q1⟩ = heavy_ball_coasting_radial R eta) /\
    heavy_ball_coasting_radial R (heavy_ball_coasting_eta R) = heavy_ball_coasting_radial_at_eta R.
Proof.
exists (private_row_gradient R); first exact: baseline_gradient.
split=> [eta p0 q1 p1 q2|]; last by heavy_ball_coasting_numbers; number.
rewrite /q2 /p1 /q1 /p0 /q0 /beta; heavy_ball_coasting_numbers; private_row_numbers.
by rewrite addr0 !smallE; number.
Qed.

(** Heavy ball, looked up at both steps: the second gradient is taken at the row after the first. *)
Theorem heavy_ball_sampled (q0 := heavy_ball_sampled_q R) (beta := heavy_ball_sampled_beta R)
    (eta := heavy_ball_sampled_eta R) (l := cos_loss (heavy_ball_sampled_user R)) :
  exists g0 g1, let q1 := q0 - eta *: g0 in
  [/\ is_grad l q0 g0, q1 = heavy_ball_sampled_q1 R, is_grad l q1 g1, g1 = heavy_ball_sampled_gradient1 R
    & ⟨q1, (q1 - eta *: (beta *: g0 + g1)) - q1⟩ = heavy_ball_sampled_radial R].
Proof.
exists (private_row_gradient R), (heavy_ball_sampled_gradient1 R) => q1.
have qE : q1 = heavy_ball_sampled_q1 R.
  by rewrite /q1 /q0 /eta; heavy_ball_sampled_numbers; private_row_numbers; rewrite !smallE; numbers.
split=> //; first exact: baseline_gradient.
  by rewrite qE /l; heavy_ball_sampled_numbers; cos_gradient (13%:R : R) (1 : R).
rewrite qE /eta /beta; heavy_ball_sampled_numbers; private_row_numbers.
by rewrite !smallE; number.
Qed.

(** Nesterov momentum (step g + beta p), looked up at step 0 and not at step 1. *)
Theorem nesterov_coasting (q0 := nesterov_coasting_q R) (beta := nesterov_coasting_beta R) :
  exists2 g, is_grad (cos_loss (nesterov_coasting_user R)) q0 g
  & (forall eta (p0 := g) (q1 := q0 - eta *: (g + beta *: p0)) (p1 := beta *: p0 + 0)
        (q2 := q1 - eta *: (0 + beta *: p1)),
      ⟨q1, q2 - q1⟩ = nesterov_coasting_radial R eta) /\
    nesterov_coasting_radial R (nesterov_coasting_eta R) = nesterov_coasting_radial_at_eta R.
Proof.
exists (private_row_gradient R); first exact: baseline_gradient.
split=> [eta p0 q1 p1 q2|]; last by nesterov_coasting_numbers; number.
rewrite /q2 /p1 /q1 /p0 /q0 /beta; nesterov_coasting_numbers; private_row_numbers.
by rewrite addr0 add0r !smallE; number.
Qed.

(** Nesterov with a rate that warms up from 0: an inward step, and the norm shrinks. *)
Theorem nesterov_warm_up (q0 := nesterov_warm_up_q R) (beta := nesterov_warm_up_beta R)
    (l := cos_loss (nesterov_warm_up_user R))
    (w0 := nesterov_warm_up_weight0 R) (w1 := nesterov_warm_up_weight1 R) :
  exists g0 g1, let p0 := g0 in
    let q1 := q0 - nesterov_warm_up_rate0 R *: (g0 + beta *: p0) in let p1 := beta *: p0 + g1 in
    let q2 := q1 - nesterov_warm_up_rate1 R *: (g1 + beta *: p1) in let p2 := beta *: p1 + 0 in
    let q3 := q2 - nesterov_warm_up_rate2 R *: (0 + beta *: p2) in
  [/\ is_grad (fun x => w0 * l x) q0 g0, is_grad (fun x => w1 * l x) q1 g1,
      ⟨q2, q3 - q2⟩ = nesterov_warm_up_radial R, ‖q2‖² = nesterov_warm_up_norm2_before R
    & ‖q3‖² = nesterov_warm_up_norm2_after R].
Proof.
exists (nesterov_warm_up_gradient0 R), (nesterov_warm_up_gradient1 R) => p0 q1 p1 q2 p2 q3.
have q1E : q1 = q0 by rewrite /q1; nesterov_warm_up_numbers; rewrite scale0r subr0.
have dg : is_grad l q0 (private_row_gradient R) by exact: baseline_gradient.
have g0E : nesterov_warm_up_gradient0 R = w0 *: private_row_gradient R.
  by rewrite /w0; nesterov_warm_up_numbers; private_row_numbers; rewrite !smallE; numbers.
have g1E : nesterov_warm_up_gradient1 R = w1 *: private_row_gradient R.
  by rewrite /w1; nesterov_warm_up_numbers; private_row_numbers; rewrite !smallE; numbers.
split.
- by rewrite g0E; apply: is_gradZ.
- by rewrite q1E g1E; apply: is_gradZ.
all: rewrite /q3 /p2 /q2 /p1 /q1 /p0 /q0 /beta; nesterov_warm_up_numbers.
all: by rewrite ?addr0 ?add0r !smallE; number.
Qed.

(** ** Weight decay, coupled (in the gradient) or decoupled (a shrink): the same for SGD *)
Theorem weight_decay (q := weight_decay_q R) (lambda := weight_decay_lambda R) :
  exists2 g, is_grad (cos_loss (weight_decay_user R)) q g
  & forall eta (q' := q - eta *: (g + lambda *: q)),
    [/\ q' = (1 - eta * lambda) *: q - eta *: g, ⟨q, q' - q⟩ = weight_decay_radial R eta
      & ‖q'‖² = weight_decay_norm2 R eta].
Proof.
exists (private_row_gradient R); first exact: baseline_gradient.
move=> eta q'; rewrite /q' /q /lambda; weight_decay_numbers; private_row_numbers.
by rewrite !smallE; split; [numbers | number | number].
Qed.

(** ** Coordinates scaled one by one *)

(** The first step of AdaGrad, RMSprop and Adam with epsilon 0: each coordinate over the square
    root of its own square. *)
Definition first_adaptive (g : 'cV[R]_2) : 'cV[R]_2 := \col_i (g i 0 / Num.sqrt (g i 0 ^+ 2)).
(** signSGD, and the first step of Lion. *)
Definition sign (g : 'cV[R]_2) : 'cV[R]_2 := \col_i Num.sg (g i 0).

Lemma first_adaptive_sign (g : 'cV[R]_2) : (forall i, g i 0 != 0) -> first_adaptive g = sign g.
Proof.
move=> g0; apply/colP => i; rewrite !mxE sqrtr_sqr; apply: (mulIf (_ : `|g i 0| != 0)).
  by rewrite normr_eq0.
by rewrite divfK ?normr_eq0 // -numEsg.
Qed.

Lemma sign_vec2 (a b : R) : sign (vec2 a b) = vec2 (Num.sg a) (Num.sg b).
Proof. by apply/colP => i; rewrite !mxE; case: ifP. Qed.

Theorem sign_step (q := sign_step_q R) :
  (exists2 g, is_grad (cos_loss (sign_step_user R)) q g
   & [/\ first_adaptive g = sign g, sign g = sign_step_sign R
       & forall eta, ⟨q, (q - eta *: sign g) - q⟩ = sign_step_radial R eta]) /\
  (exists2 g, is_grad (cos_loss (sign_step_second_user R)) q g
   & [/\ first_adaptive g = sign g, sign g = sign_step_sign_second R
       & forall eta, ⟨q, (q - eta *: sign g) - q⟩ = sign_step_radial_second R eta]).
Proof.
have pos a b : 0 < a%:R / b%:R :> R -> Num.sg (a%:R / b%:R) = 1 :> R by apply: gtr0_sg.
split.
- have sE : sign (private_row_gradient R) = sign_step_sign R.
    by private_row_numbers; sign_step_numbers; rewrite sign_vec2 sgrN !pos ?divr_gt0 ?ltr0n.
  exists (private_row_gradient R); first exact: baseline_gradient.
  split=> // [|eta].
    apply: first_adaptive_sign => i; rewrite mxE; case: ifP => _;
      by rewrite ?oppr_eq0 mulf_neq0 ?invr_eq0 ?pnatr_eq0.
  by rewrite sE /q; sign_step_numbers; rewrite !smallE; number.
have sE : sign (private_row_second_user_gradient R) = sign_step_sign_second R.
  by private_row_second_user_numbers; sign_step_numbers; rewrite sign_vec2 sgrN !pos ?divr_gt0 ?ltr0n.
exists (private_row_second_user_gradient R); first exact: baseline_gradient_second.
split=> // [|eta].
  apply: first_adaptive_sign => i; rewrite mxE; case: ifP => _;
    by rewrite ?oppr_eq0 mulf_neq0 ?invr_eq0 ?pnatr_eq0.
by rewrite sE /q; sign_step_numbers; rewrite !smallE; number.
Qed.

(** Clipping each coordinate to [-c, c]. *)
Definition clip_coordinates (c : R) (g : 'cV[R]_2) : 'cV[R]_2 :=
  \col_i Num.max (- c) (Num.min c (g i 0)).

Theorem coordinate_clip (q := coordinate_clip_q R) (c := coordinate_clip_bound R) :
  exists2 g, is_grad (cos_loss (coordinate_clip_user R)) q g
  & clip_coordinates c g = coordinate_clip_clipped R /\
    forall eta, ⟨q, (q - eta *: clip_coordinates c g) - q⟩ = coordinate_clip_radial R eta.
Proof.
have cE : clip_coordinates c (private_row_gradient R) = coordinate_clip_clipped R.
  have -> : clip_coordinates c (private_row_gradient R) =
      vec2 (Num.max (- c) (Num.min c (- (16%:R / 125%:R)))) (Num.max (- c) (Num.min c (12%:R / 125%:R))).
    by private_row_numbers; apply/colP => i; rewrite !mxE; case: ifP.
  have d0 : 0 <= 125%:R^-1 :> R by rewrite invr_ge0 ler0n.
  rewrite /c; coordinate_clip_numbers; congr vec2.
  - rewrite min_r; last by apply: (@le_trans _ _ 0); rewrite ?oppr_le0 mulr_ge0 ?ler0n.
    by rewrite max_l // ler_opp2 ler_wpmul2r ?ler_nat.
  rewrite min_l // max_r //; apply: (@le_trans _ _ 0); rewrite ?oppr_le0 mulr_ge0 ?ler0n //.
exists (private_row_gradient R); first exact: baseline_gradient.
by split=> // eta; rewrite cE /q; coordinate_clip_numbers; rewrite !smallE; number.
Qed.

(** A row-wise AdaGrad that takes the mean before the square: all coordinates move alike. *)
Definition mean (g : 'cV[R]_2) : R := (g 0 0 + g 1 0) / 2%:R.

Theorem mean_gradient_step (q := mean_gradient_step_q R) :
  exists2 g, is_grad (cos_loss (mean_gradient_step_user R)) q g
  & mean g = mean_gradient_step_mean R /\
    forall eta, ⟨q, (q - eta *: const_mx (mean g / Num.sqrt (mean g ^+ 2))) - q⟩ = mean_gradient_step_radial R eta.
Proof.
have mE : mean (private_row_gradient R) = mean_gradient_step_mean R.
  by rewrite /mean; private_row_numbers; mean_gradient_step_numbers; rewrite !mxE /=; number.
exists (private_row_gradient R); first exact: baseline_gradient.
split=> // eta; rewrite mE; set s := _ / _.
have -> : s = -1.
  rewrite /s; mean_gradient_step_numbers; rewrite sqrtr_sqr normrN gtr0_norm ?divr_gt0 ?ltr0n //.
  by number.
have -> : const_mx (-1) = vec2 (-1) (-1) :> 'cV[R]_2 by apply/colP => i; rewrite !mxE; case: ifP.
by rewrite /q; mean_gradient_step_numbers; rewrite !smallE; number.
Qed.

(** ** FreshGradient dropped: a gradient of q_0 applied at q_1 *)
Theorem stale_gradient (q0 := stale_gradient_q R) :
  exists g h, [/\ is_grad (cos_loss (stale_gradient_user R)) q0 g,
    is_grad (cos_loss (stale_gradient_second_user R)) q0 h
  & forall eta (q1 := q0 - eta *: g),
    ⟨q1, (q1 - eta *: g) - q1⟩ = stale_gradient_radial R eta /\
    ⟨q1, (q1 - eta *: h) - q1⟩ = stale_gradient_radial_second R eta].
Proof.
exists (private_row_gradient R), (private_row_second_user_gradient R); split.
- exact: baseline_gradient.
- exact: baseline_gradient_second.
move=> eta q1; rewrite /q1 /q0; stale_gradient_numbers; private_row_numbers; private_row_second_user_numbers.
by rewrite !smallE; split; number.
Qed.
End Witnesses.
