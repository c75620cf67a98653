(** * Scalar steps keep the update orthogonal

    Whatever multiplies the gradient of a row by one scalar keeps an orthogonal gradient an
    orthogonal step: a learning-rate schedule, loss scaling, clipping by norm, gradient
    accumulation and mean or sum over duplicates (all taken at the same row), a trust ratio.
    The scalar may depend on the whole history.  Hence for a whole run
        q_{t+1} = q_t - s_t g_t,  ⟨q_t, g_t⟩ = 0   gives   ⟨q_t, Δq_t⟩ = 0  and
        ‖q_T‖² = ‖q_0‖² + Σ s_t²‖g_t‖².
    One scalar per *row* is what matters: two rates inside one row break it (witness).

    Source: derived here (each rule separately is folklore).
    Proof: bilinearity; any ordered field (clipping needs a square root), no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Scalar.
Variables (R : realFieldType) (n : nat).
Implicit Types (q g : 'cV[R]_n) (s : R).

Theorem scalar_step_orthogonal q g s : ⟨q, g⟩ = 0 -> ⟨q, (q - s *: g) - q⟩ = 0.
Proof. by move=> qg; rewrite addrAC subrr add0r dotNr dotZr qg mulr0 oppr0. Qed.

Theorem scalar_step_growth q g s : ⟨q, g⟩ = 0 -> ‖q - s *: g‖² = ‖q‖² + s ^+ 2 * ‖g‖².
Proof. by move=> qg; rewrite -scaleNr pythagoras ?nrm2Z ?sqrrN // dotZr qg mulr0. Qed.

(** Duplicates, accumulation, mean and sum reductions, accidental-hit masks: any linear
    combination of gradients taken at the same row. *)
Theorem accumulated_step_orthogonal k (w : 'I_k -> R) (g : 'I_k -> 'cV[R]_n) q s :
  (forall j, ⟨q, g j⟩ = 0) ->
  ⟨q, (q - s *: (\sum_j w j *: g j)) - q⟩ = 0.
Proof.
move=> qg; apply: scalar_step_orthogonal; rewrite dot_sumr big1 // => j _.
by rewrite dotZr qg mulr0.
Qed.

(** A table in which row i has its own scalar, depending on anything: row-wise rules. *)
Theorem rowwise_step_orthogonal N (e g : 'I_N -> 'cV[R]_n) (s : 'I_N -> R) i :
  ⟨e i, g i⟩ = 0 ->
  ⟨e i, (e i - s i *: g i) - e i⟩ = 0 /\
  ‖e i - s i *: g i‖² = ‖e i‖² + s i ^+ 2 * ‖g i‖².
Proof. by move=> eg; split; [apply: scalar_step_orthogonal | apply: scalar_step_growth]. Qed.

(** A whole run, with one scalar per step. *)
Theorem scalar_run (s : nat -> R) (q g : nat -> 'cV[R]_n) T :
  sgd_run s q g -> tangential q g ->
  (forall t, ⟨q t, q t.+1 - q t⟩ = 0) /\
  ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) s t ^+ 2 * ‖g t‖².
Proof.
by move=> run tang; split; [apply: sgd_orthogonal_steps run tang | apply: sgd_norm_identity].
Qed.

End Scalar.

Section Clip.
Variables (R : rcfType) (n : nat).
Implicit Types (q g : 'cV[R]_n) (tau : R).

(** Clipping by norm: g if ‖g‖ <= tau, else (tau/‖g‖) g. *)
Definition clip tau g : 'cV[R]_n := if norm g <= tau then g else (tau / norm g) *: g.

Theorem clipped_step_orthogonal q g tau s : ⟨q, g⟩ = 0 -> ⟨q, (q - s *: clip tau g) - q⟩ = 0.
Proof.
move=> qg; apply: scalar_step_orthogonal; rewrite /clip; case: ifP => // _.
by rewrite dotZr qg mulr0.
Qed.

Theorem clip_bound g tau : 0 <= tau -> norm (clip tau g) <= tau.
Proof.
move=> tau0; rewrite /clip; case: ifP => // /negbT; rewrite -ltNge => lt.
have g0 : 0 < norm g by apply: le_lt_trans lt.
by rewrite normZ ger0_norm ?divfK ?gt_eqF // divr_ge0 // ltW.
Qed.

(** A trust ratio (‖q‖/‖g‖) is one scalar per row too, and makes the relative step eta. *)
Theorem trust_ratio_step q g eta : ⟨q, g⟩ = 0 -> g != 0 ->
  ⟨q, (q - (eta * (norm q / norm g)) *: g) - q⟩ = 0 /\
  ‖q - (eta * (norm q / norm g)) *: g‖² = (1 + eta ^+ 2) * ‖q‖².
Proof.
move=> qg g0; split; first exact: scalar_step_orthogonal.
by rewrite scalar_step_growth // -!norm_sqr; field; rewrite norm_eq0.
Qed.

End Clip.

(** Two rates inside one row are not a scalar: for the gradient of -cos(q, e_1) at (3,4)
    the step with rates (2,1) has an inward radial part. *)
Theorem two_rates_witness (R : rcfType) :
  exists q g : 'cV[R]_2,
  [/\ is_grad (fun x => - cosine x (vec2 1 0)) q g, ⟨q, g⟩ = 0
    & ⟨q, (q - diag_mx (\row_i (if i == 0 then 2%:R else 1)) *m g) - q⟩ = 48%:R / 125%:R].
Proof.
exists (row34 R), (pull_e1 R); split; [exact: pull_e1_gradient | exact: pull_e1_orth |].
have -> : diag_mx (\row_i (if i == 0 then 2%:R else 1)) *m pull_e1 R
          = vec2 (- (32%:R / 125%:R)) (12%:R / 125%:R).
  by rewrite mul_diag_mx; apply/colP => i; rewrite !mxE; case: ifP => _; field; rewrite ?pnatr_eq0.
by rewrite addrAC subrr add0r opp_vec2 vec2E; field; rewrite ?pnatr_eq0.
Qed.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).

Example scalar_step_orthogonal_nonvacuous : nonvacuous scalar_step_orthogonal.
Proof. by move=> H; apply: (H _ _ _ _ 1 orthogonal_example). Qed.

Example scalar_step_growth_nonvacuous : nonvacuous scalar_step_growth.
Proof. by move=> H; apply: (H _ _ _ _ 1 orthogonal_example). Qed.

Example accumulated_step_orthogonal_nonvacuous : nonvacuous accumulated_step_orthogonal.
Proof. by move=> H; apply: (H _ _ 3%N (fun=> 1) _ _ 1 (fun=> orthogonal_example)). Qed.

Example rowwise_step_orthogonal_nonvacuous : nonvacuous rowwise_step_orthogonal.
Proof.
by move=> H; apply: (H _ _ 3%N (fun=> _) (fun=> _) (fun=> 1) 0 orthogonal_example).
Qed.

Example scalar_run_nonvacuous : nonvacuous scalar_run.
Proof. by move=> H; apply: (H _ _ _ _ _ 5%N (spin_run one) (spin_tangential one)). Qed.
