(** * Heavy-ball identity

    With p_t = β p_{t-1} + g_t (p_{-1} = 0), q_{t+1} = q_t - η_t p_t and every g_t ⟂ q_t
    (g_t = 0 where the row was not looked up):
        ⟨q_t, p_t⟩   = - Σ_{k<t} β^{t-k} η_k ‖p_k‖²
        ‖q_{t+1}‖²   = ‖q_t‖² + η_t²‖p_t‖² + 2 η_t Σ_{k<t} β^{t-k} η_k ‖p_k‖²
    for any schedule η_t and any sampling.  With η_t, β >= 0 the step points outward and the
    norm never shrinks, although the step is not orthogonal.  The general form has a
    time-varying β_t (a product replaces the power) and a weight c_t on the gradient, which
    covers dampening, the moving-average form, the buffer that contains the learning rate,
    and lazy momentum (only looked-up rows and their buffers change; powers count touches).
    Coasting: after a single impulse g the row ends at q_0 - η g/(1-β).
    Size of the radial part: ⟨q,Δq⟩ <= K β/(1-β) ‖Δq‖² when no earlier step was longer than
    √K times the present one, so cos(q,Δq) <= K θ β/(1-β) with θ = ‖Δq‖/‖q‖.

    Source: Heo et al. 2021 (constant η); any schedule, sampling, lazy form and the bound on
    the radial part: derived here.
    Proof: ⟨q_t,p_t⟩ = β_t(⟨q_{t-1},p_{t-1}⟩ - η_{t-1}‖p_{t-1}‖²), then induction; any
    ordered field, any dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** Momentum in general: p_0 = c_0 g_0, p_t = β_t p_{t-1} + c_t g_t, q_{t+1} = q_t - η_t p_t. *)
Definition momentum_run (R : realFieldType) n (beta c eta : nat -> R)
    (q p g : nat -> 'cV[R]_n) : Prop :=
  [/\ p 0%N = c 0%N *: g 0%N,
      forall t, p t.+1 = beta t.+1 *: p t + c t.+1 *: g t.+1
    & forall t, q t.+1 = q t - eta t *: p t].

(** Heavy ball: constant β, weight 1. *)
Definition heavy_ball (R : realFieldType) n (beta : R) (eta : nat -> R)
    (q p g : nat -> 'cV[R]_n) : Prop :=
  [/\ p 0%N = g 0%N,
      forall t, p t.+1 = beta *: p t + g t.+1
    & forall t, q t.+1 = q t - eta t *: p t].

(** β_{k+1} ⋯ β_t *)
Definition beta_product (R : realFieldType) (beta : nat -> R) (k t : nat) : R :=
  \prod_(k <= j < t) beta j.+1.

Section General.
Variables (R : realFieldType) (n : nat) (beta c eta : nat -> R) (q p g : nat -> 'cV[R]_n).
Hypothesis run : momentum_run beta c eta q p g.
Hypothesis tang : tangential q g.

Let W t := \sum_(k < t) beta_product beta k t * (eta k * ‖p k‖²).

Lemma W_S t : W t.+1 = beta t.+1 * (W t + eta t * ‖p t‖²).
Proof.
rewrite /W big_ord_recr /=; have -> : beta_product beta t t.+1 = beta t.+1.
  by rewrite /beta_product big_nat1.
rewrite mulrDr; congr (_ + _); rewrite mulr_sumr; apply: eq_bigr => k _.
rewrite /beta_product big_nat_recr /=; last exact: ltnW.
by rewrite -mulrA mulrCA.
Qed.

(** How far the buffer points along the row itself. *)
Theorem general_radial_part t :
  ⟨q t, p t⟩ = - \sum_(k < t) beta_product beta k t * (eta k * ‖p k‖²).
Proof.
case: run => p0 pS qS; rewrite -/(W t); elim: t => [|t IH].
  by rewrite /W big_ord0 oppr0 p0 dotZr tang mulr0.
by rewrite W_S pS dotDr !dotZr tang mulr0 addr0 qS dotBl dotZl IH; ring.
Qed.

Theorem general_norm_identity t :
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * ‖p t‖²
    + 2%:R * eta t * (\sum_(k < t) beta_product beta k t * (eta k * ‖p k‖²)).
Proof.
case: run => _ _ qS; rewrite qS nrm2B nrm2Z dotZr general_radial_part -/(W t).
by rewrite mulr2n; ring.
Qed.

Theorem general_norm_never_shrinks : (forall t, 0 <= eta t) -> (forall t, 0 <= beta t) ->
  forall s t, (s <= t)%N -> ‖q s‖² <= ‖q t‖².
Proof.
move=> e0 b0; apply: (nondecreasing (f := fun t => ‖q t‖²)) => t /=.
rewrite general_norm_identity -addrA ler_addl addr_ge0 //.
  by rewrite mulr_ge0 ?sqr_ge0 ?nrm2_ge0.
rewrite mulr_ge0 ?mulr_ge0 ?ler0n //; apply: sumr_ge0 => k _.
by rewrite mulr_ge0 ?prodr_ge0 // mulr_ge0 ?nrm2_ge0.
Qed.

End General.

(** ** Heavy ball. *)
Lemma heavy_ball_momentum (R : realFieldType) n beta eta (q p g : nat -> 'cV[R]_n) :
  heavy_ball beta eta q p g -> momentum_run (fun=> beta) (fun=> 1) eta q p g.
Proof. by case=> p0 pS qS; split=> // [|t]; rewrite scale1r. Qed.

Lemma beta_product_const (R : realFieldType) (beta : R) k t :
  beta_product (fun=> beta) k t = beta ^+ (t - k).
Proof. by rewrite /beta_product prodr_const_nat. Qed.

Section HeavyBall.
Variables (R : realFieldType) (n : nat) (beta : R) (eta : nat -> R) (q p g : nat -> 'cV[R]_n).
Hypothesis run : heavy_ball beta eta q p g.
Hypothesis tang : tangential q g.

Theorem radial_part t : ⟨q t, p t⟩ = - \sum_(k < t) beta ^+ (t - k) * (eta k * ‖p k‖²).
Proof.
rewrite (general_radial_part (heavy_ball_momentum run) tang); congr (- _).
by apply: eq_bigr => k _; rewrite beta_product_const.
Qed.

(** The exact norm identity. *)
Theorem norm_identity t :
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * ‖p t‖²
    + 2%:R * eta t * (\sum_(k < t) beta ^+ (t - k) * (eta k * ‖p k‖²)).
Proof.
rewrite (general_norm_identity (heavy_ball_momentum run) tang); congr (_ + _ * _).
by apply: eq_bigr => k _; rewrite beta_product_const.
Qed.

Hypothesis eta0 : forall t, 0 <= eta t.
Hypothesis beta0 : 0 <= beta.

(** Outward: the step never has an inward radial part. *)
Theorem step_points_outward t : 0 <= ⟨q t, q t.+1 - q t⟩.
Proof.
case: run => _ _ qS; rewrite qS addrAC subrr add0r dotNr dotZr radial_part mulrN opprK.
rewrite mulr_ge0 //; apply: sumr_ge0 => k _.
by rewrite mulr_ge0 ?exprn_ge0 // mulr_ge0 ?nrm2_ge0.
Qed.

Theorem norm_never_shrinks s t : (s <= t)%N -> ‖q s‖² <= ‖q t‖².
Proof.
exact: (general_norm_never_shrinks (heavy_ball_momentum run) tang eta0 (fun=> beta0)).
Qed.

(** Momentum never grows the norm by less than the orthogonal part of its steps. *)
Theorem path_length_bound T :
  ‖q 0%N‖² + \sum_(t < T) ‖q t.+1 - q t‖² <= ‖q T‖².
Proof.
apply: (telescope_le (f := fun t => ‖q t‖²) (a := fun t => ‖q t.+1 - q t‖²)) => t /=.
have -> : ‖q t.+1‖² = ‖q t + (q t.+1 - q t)‖² by rewrite addrC subrK.
rewrite (nrm2D (q t)) -addrA ler_add2l ler_addr.
exact: mulrn_wge0 (step_points_outward t).
Qed.

End HeavyBall.

(** From the losses: every gradient is that of a scale-invariant loss. *)
Corollary cosine_norm_identity (R : realFieldType) n beta eta (q p g : nat -> 'cV[R]_n) L t :
  heavy_ball beta eta q p g -> cosine_run L q g ->
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * ‖p t‖²
    + 2%:R * eta t * (\sum_(k < t) beta ^+ (t - k) * (eta k * ‖p k‖²)).
Proof. by move=> run /cosine_run_tangential tang; apply: (norm_identity run tang). Qed.

(** ** Other ways to write momentum. *)
Section Forms.
Variables (R : realFieldType) (n : nat) (q g : nat -> 'cV[R]_n).
Hypothesis tang : tangential q g.

(** The moving-average form m_t = β m_{t-1} + (1-β) g_t, and dampening τ: weight 1-τ. *)
Theorem dampened_norm_identity beta damp eta (p : nat -> 'cV[R]_n) t :
  p 0%N = (1 - damp) *: g 0%N ->
  (forall k, p k.+1 = beta *: p k + (1 - damp) *: g k.+1) ->
  (forall k, q k.+1 = q k - eta k *: p k) ->
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * ‖p t‖²
    + 2%:R * eta t * (\sum_(k < t) beta ^+ (t - k) * (eta k * ‖p k‖²)).
Proof.
move=> p0 pS qS.
have run : momentum_run (fun=> beta) (fun=> 1 - damp) eta q p g by split.
rewrite (general_norm_identity run tang); congr (_ + _ * _).
by apply: eq_bigr => k _; rewrite beta_product_const.
Qed.

(** The buffer that contains the learning rate: v_t = μ v_{t-1} - η_t g_t, q_{t+1} = q_t + v_t. *)
Theorem buffered_rate_norm_identity mu eta (v : nat -> 'cV[R]_n) t :
  v 0%N = - (eta 0%N *: g 0%N) ->
  (forall k, v k.+1 = mu *: v k - eta k.+1 *: g k.+1) ->
  (forall k, q k.+1 = q k + v k) ->
  ‖q t.+1‖² = ‖q t‖² + ‖v t‖² + 2%:R * (\sum_(k < t) mu ^+ (t - k) * ‖v k‖²).
Proof.
move=> v0 vS qS.
have run : momentum_run (fun=> mu) eta (fun=> 1) q (fun k => - v k) g.
  by split=> [|k|k]; rewrite ?v0 ?vS ?qS ?opprK // ?opprB ?scalerN ?scale1r ?opprK // addrC.
rewrite (general_norm_identity run tang) expr1n mulr1 mul1r dotNl dotNr opprK.
congr (_ + _ * _); apply: eq_bigr => k _.
by rewrite beta_product_const mul1r dotNl dotNr opprK.
Qed.

End Forms.

(** ** Lazy momentum: a row and its buffer change only when the row is looked up. *)
Definition lazy_heavy_ball (R : realFieldType) n (touched : nat -> bool) (beta : R)
    (eta : nat -> R) (q p g : nat -> 'cV[R]_n) : Prop :=
  [/\ p 0%N = (if touched 0%N then g 0%N else 0),
      forall t, p t.+1 = (if touched t.+1 then beta *: p t + g t.+1 else p t)
    & forall t, q t.+1 = (if touched t then q t - eta t *: p t else q t)].

(** Number of touches after step k, up to and including step t. *)
Definition touches (touched : nat -> bool) (k t : nat) : nat :=
  \sum_(k <= j < t) touched j.+1.

Section Lazy.
Variables (R : realFieldType) (n : nat) (touched : nat -> bool) (beta : R) (eta : nat -> R).
Variables (q p g : nat -> 'cV[R]_n).
Hypothesis run : lazy_heavy_ball touched beta eta q p g.
Hypothesis tang : forall t, touched t -> ⟨q t, g t⟩ = 0.

Lemma lazy_momentum :
  momentum_run (fun t => if touched t then beta else 1) (fun=> 1)
    (fun t => if touched t then eta t else 0) q p
    (fun t => if touched t then g t else 0).
Proof.
case: run => p0 pS qS; split=> [|t|t].
- by rewrite p0 scale1r.
- by rewrite pS scale1r; case: ifP; rewrite ?scale1r ?addr0.
- by rewrite qS; case: ifP; rewrite ?scale0r ?subr0.
Qed.

Lemma lazy_product k t :
  beta_product (fun t => if touched t then beta else 1) k t = beta ^+ touches touched k t.
Proof.
rewrite /beta_product /touches (big_morph _ (exprD beta) (expr0 beta)).
by apply: eq_bigr => j _; case: ifP; rewrite ?expr1 ?expr0.
Qed.

(** The same identity, with t counted over the touches of the row. *)
Theorem lazy_norm_identity t : touched t ->
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * ‖p t‖²
    + 2%:R * eta t
      * (\sum_(k < t | touched k) beta ^+ touches touched k t * (eta k * ‖p k‖²)).
Proof.
move=> tt; have tang' : tangential q (fun t => if touched t then g t else 0).
  by move=> s; case: ifP => [/tang|]; rewrite ?dot0r.
rewrite (general_norm_identity lazy_momentum tang') tt; congr (_ + _ * _).
rewrite [RHS]big_mkcond; apply: eq_bigr => k _; rewrite lazy_product.
by case: ifP; rewrite ?mul0r ?mulr0.
Qed.

Theorem lazy_untouched_frozen t : ~~ touched t -> q t.+1 = q t.
Proof. by case: run => _ _ qS; rewrite qS => /negbTE ->. Qed.

End Lazy.

(** ** Coasting: a single impulse, then no gradient. *)
Section Coasting.
Variables (R : realFieldType) (n : nat) (beta eta : R) (q p g : nat -> 'cV[R]_n).
Hypothesis run : heavy_ball beta (fun=> eta) q p g.
Hypothesis impulse : forall t, g t.+1 = 0.
Hypothesis beta1 : beta != 1.

Lemma coasting_buffer t : p t = beta ^+ t *: g 0%N.
Proof.
case: run => p0 pS _; elim: t => [|t IH]; first by rewrite p0 scale1r.
by rewrite pS impulse addr0 IH scalerA exprS.
Qed.

Theorem coasting_position t :
  q t = q 0%N - (eta * ((1 - beta ^+ t) / (1 - beta))) *: g 0%N.
Proof.
case: run => _ _ qS; rewrite -geometric_sum //.
elim: t => [|t IH]; first by rewrite big_ord0 mulr0 scale0r subr0.
by rewrite qS IH coasting_buffer scalerA big_ord_recr /= mulrDr scalerDl opprD addrA.
Qed.

Theorem coasting_norm t : ⟨q 0%N, g 0%N⟩ = 0 ->
  ‖q t‖² = ‖q 0%N‖² + (eta * ((1 - beta ^+ t) / (1 - beta))) ^+ 2 * ‖g 0%N‖².
Proof.
move=> qg; rewrite coasting_position -scaleNr pythagoras ?nrm2Z ?sqrrN //.
by rewrite dotZr qg mulr0.
Qed.

End Coasting.

(** In the end the row has moved by -η g/(1-β): the displacement of SGD with η/(1-β). *)
Theorem coasting_limit (R : archiFieldType) n (beta eta : R) (q p g : nat -> 'cV[R]_n) :
  heavy_ball beta (fun=> eta) q p g -> (forall t, g t.+1 = 0) -> 0 <= beta < 1 ->
  forall eps, 0 < eps -> exists N, forall t, (N <= t)%N ->
    ‖q t - (q 0%N - (eta / (1 - beta)) *: g 0%N)‖² < eps.
Proof.
move=> run imp /andP[b0 b1] eps eps0; have b1' : 0 < 1 - beta by rewrite subr_gt0.
pose K := (eta / (1 - beta)) ^+ 2 * ‖g 0%N‖² + 1.
have K0 : 0 < K by rewrite /K ltr_paddl ?ltr01 // mulr_ge0 ?sqr_ge0 ?nrm2_ge0.
have b2 : 0 <= beta ^+ 2 < 1 by rewrite sqr_ge0 expr_lt1.
have [N H] := powers_vanish b2 (divr_gt0 eps0 K0); exists N => t /H lt.
rewrite (coasting_position run imp) ?lt_eqF //.
have -> : q 0%N - (eta * ((1 - beta ^+ t) / (1 - beta))) *: g 0%N
    - (q 0%N - (eta / (1 - beta)) *: g 0%N) = (beta ^+ t * (eta / (1 - beta))) *: g 0%N.
  rewrite opprB addrC addrA subrK addrC -scaleNr -scalerDl; congr (_ *: _).
  by field; rewrite gt_eqF.
rewrite nrm2Z exprMn -exprM mulnC exprM -mulrA.
rewrite ltr_pdivl_mulr // in lt; apply: le_lt_trans lt.
by rewrite ler_wpmul2l ?exprn_ge0 ?sqr_ge0 // /K ler_addl ler01.
Qed.

(** ** Size of the radial part. *)
Section Deviation.
Variables (R : realFieldType) (n : nat) (beta eta : R) (q p g : nat -> 'cV[R]_n).
Hypothesis run : heavy_ball beta (fun=> eta) q p g.
Hypothesis tang : tangential q g.

(** With a constant rate the radial part is a weighted sum of the squared earlier steps. *)
Theorem radial_part_of_steps t :
  ⟨q t, q t.+1 - q t⟩ = \sum_(k < t) beta ^+ (t - k) * ‖q k.+1 - q k‖².
Proof.
case: (run) => _ _ qS; rewrite qS addrAC subrr add0r dotNr dotZr (radial_part run tang).
rewrite mulrN opprK mulr_sumr; apply: eq_bigr => k _.
by rewrite qS addrAC subrr add0r dotNl dotNr opprK nrm2Z; ring.
Qed.

Theorem radial_part_bound t K : 0 <= K -> 0 <= beta < 1 ->
  (forall k, (k < t)%N -> ‖q k.+1 - q k‖² <= K * ‖q t.+1 - q t‖²) ->
  ⟨q t, q t.+1 - q t⟩ <= K * (beta / (1 - beta)) * ‖q t.+1 - q t‖².
Proof.
move=> K0 b01 bd; have /andP[b0 b1] := b01; rewrite radial_part_of_steps.
apply: le_trans (_ : \sum_(k < t) beta ^+ (t - k) * (K * ‖q t.+1 - q t‖²) <= _).
  by apply: ler_sum => k _; rewrite ler_wpmul2l ?exprn_ge0 // bd.
rewrite -mulr_suml mulrC mulrAC ler_wpmul2r ?nrm2_ge0 // ler_wpmul2l //.
exact: weights_le.
Qed.

End Deviation.

(** ** The step is not orthogonal: L = -cos(q, e_1) at (3,4), then a step in which the row
    is not looked up, moves the row outward by β η² ‖g‖² (16/625 of β η²). *)
Theorem unsampled_step_witness (R : rcfType) (beta eta : R) :
  exists q p g : nat -> 'cV[R]_2,
  [/\ heavy_ball beta (fun=> eta) q p g, tangential q g,
      q 0%N = row34 R /\ is_grad (fun x => - cosine x (vec2 1 0)) (q 0%N) (g 0%N),
      g 1%N = 0
    & ⟨q 1%N, q 2%N - q 1%N⟩ = beta * eta ^+ 2 * (16%:R / 625%:R)].
Proof.
pose g (t : nat) : 'cV[R]_2 := if t is 0%N then pull_e1 R else 0.
pose p t := beta ^+ t *: pull_e1 R.
pose q := descend (fun=> eta) (fun t _ => p t) (row34 R).
exists q, p, g; have run : heavy_ball beta (fun=> eta) q p g.
  by split=> [|t|t] //; rewrite /p /g /= ?scale1r // addr0 exprS scalerA.
have tang : tangential q g by case=> [|t]; rewrite ?dot0r // pull_e1_orth.
split=> //; first by split=> //; apply: pull_e1_gradient.
rewrite (radial_part_of_steps run tang) !big_ord_recl big_ord0 addr0 expr1 /q /=.
rewrite /p expr0 scale1r addrAC subrr add0r dotNl dotNr opprK nrm2Z vec2E.
by field; rewrite ?pnatr_eq0.
Qed.

(** ** The hypotheses can hold: momentum on the quarter-turn gradient, and a coasting row. *)
Section Instances.
Variables (R : realFieldType) (n : nat) (beta c eta : nat -> R).
Variables (G : 'cV[R]_n -> 'cV[R]_n) (q0 : 'cV[R]_n).

(** Row and buffer of the momentum run on the gradient rule G. *)
Fixpoint momentum_state (t : nat) : 'cV[R]_n * 'cV[R]_n :=
  if t is t'.+1 then
    let q' := (momentum_state t').1 - eta t' *: (momentum_state t').2 in
    (q', beta t *: (momentum_state t').2 + c t *: G q')
  else (q0, c 0%N *: G q0).

Lemma momentum_state_run :
  momentum_run beta c eta (fun t => (momentum_state t).1) (fun t => (momentum_state t).2)
    (fun t => G (momentum_state t).1).
Proof. by []. Qed.

End Instances.

Section Examples.
Variable R : realFieldType.
Local Notation half := (2%:R^-1 : R).
Local Notation even := (fun t : nat => ~~ odd t).

Fact one_ge0 (t : nat) : 0 <= 1 :> R. Proof. exact: ler01. Qed.
Fact half_ge0 : 0 <= half. Proof. by rewrite invr_ge0 ler0n. Qed.
Fact half_01 : 0 <= half < 1.
Proof. by rewrite half_ge0 invf_lt1 ?ltr0n // (ltr_nat _ 1 2). Qed.
Fact half_neq1 : half != 1.
Proof. by have /andP[_ /lt_eqF ->] := half_01. Qed.

Definition ex_state := momentum_state (fun=> half) (fun=> 1) (fun=> 1)
  (@spin_grad R) (vec2 1 0).
Definition ex_q t : 'cV[R]_2 := (ex_state t).1.
Definition ex_p t : 'cV[R]_2 := (ex_state t).2.
Definition ex_g t : 'cV[R]_2 := spin_grad (ex_q t).

Lemma example_run : heavy_ball half (fun=> 1) ex_q ex_p ex_g.
Proof.
split=> [|t|t] //; first by rewrite /ex_p /= scale1r.
by rewrite {1}/ex_p /= scale1r.
Qed.

Lemma example_tangential : tangential ex_q ex_g.
Proof. by move=> t; apply: spin_grad_orth. Qed.

Definition example_momentum := heavy_ball_momentum example_run.

(** Looked up at the even steps only. *)
Definition lazy_state := momentum_state (fun t => if even t then half else 1)
  (fun t => if even t then 1 else 0) (fun t => if even t then 1 else 0)
  (@spin_grad R) (vec2 1 0).
Definition lazy_q t : 'cV[R]_2 := (lazy_state t).1.
Definition lazy_p t : 'cV[R]_2 := (lazy_state t).2.
Definition lazy_g t : 'cV[R]_2 := spin_grad (lazy_q t).

Lemma lazy_example : lazy_heavy_ball even half (fun=> 1) lazy_q lazy_p lazy_g.
Proof.
split=> [|t|t]; first by rewrite /lazy_p /= scale1r.
  rewrite {1}/lazy_p /lazy_g /lazy_q /= -/(lazy_p t) negbK.
  by case: (odd t); rewrite /= scale1r // scale0r addr0.
rewrite {1}/lazy_q /= -/(lazy_q t) -/(lazy_p t).
by case: (odd t); rewrite /= ?scale0r ?subr0.
Qed.

Lemma lazy_tangential t : even t -> ⟨lazy_q t, lazy_g t⟩ = 0.
Proof. by move=> _; apply: spin_grad_orth. Qed.

(** A single impulse. *)
Definition impulse (t : nat) : 'cV[R]_2 := if t is 0%N then pull_e1 R else 0.
Definition coast_p (t : nat) : 'cV[R]_2 := half ^+ t *: pull_e1 R.
Definition coast_q : nat -> 'cV[R]_2 := descend (fun=> 1) (fun t _ => coast_p t) (row34 R).

Lemma coast_example : heavy_ball half (fun=> 1) coast_q coast_p impulse.
Proof.
split=> [|t|t] //; first by rewrite /coast_p expr0 scale1r.
by rewrite /coast_p /= addr0 exprS scalerA.
Qed.

Lemma coast_tangential : tangential coast_q impulse.
Proof. by case=> [|t]; rewrite ?dot0r //; apply: pull_e1_orth. Qed.

Lemma coast_steps k : (k < 1)%N ->
  ‖coast_q k.+1 - coast_q k‖² <= 4%:R * ‖coast_q 2%N - coast_q 1%N‖².
Proof.
have step j : coast_q j.+1 - coast_q j = - coast_p j.
  by rewrite /coast_q /= scale1r addrAC subrr add0r.
case: k => // _; rewrite !step !dotNl !dotNr !opprK /coast_p !nrm2Z expr1 expr0.
suff -> : 4%:R * (half ^+ 2 * ‖pull_e1 R‖²) = 1 ^+ 2 * ‖pull_e1 R‖² by [].
by field.
Qed.

Lemma dampened_example :
  ex_p 0%N = (1 - 0 : R) *: ex_g 0%N /\
  forall k, ex_p k.+1 = half *: ex_p k + (1 - 0 : R) *: ex_g k.+1.
Proof. by case: example_run => p0 pS _; split=> [|k]; rewrite subr0 scale1r. Qed.

Lemma buffered_example :
  [/\ - ex_p 0%N = - ((1 : R) *: ex_g 0%N),
      forall k, - ex_p k.+1 = half *: (- ex_p k) - (1 : R) *: ex_g k.+1
    & forall k, ex_q k.+1 = ex_q k + - ex_p k].
Proof.
case: example_run => p0 pS qS; split=> [|k|k]; rewrite ?p0 ?pS ?qS ?scale1r //.
by rewrite opprD scalerN.
Qed.

End Examples.

Local Notation Q := [realFieldType of rat].
Local Notation run1 := (example_momentum Q).
Local Notation tang1 := (@example_tangential Q).
Local Notation run := (example_run Q).
Local Notation e0 := (@one_ge0 Q).
Local Notation b0 := (half_ge0 Q).

Example general_radial_part_nonvacuous : nonvacuous general_radial_part.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ run1 tang1 3%N). Qed.

Example general_norm_identity_nonvacuous : nonvacuous general_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ run1 tang1 3%N). Qed.

Example general_norm_never_shrinks_nonvacuous : nonvacuous general_norm_never_shrinks.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ run1 tang1 e0 (fun=> b0) 1 3)%N. Qed.

Example radial_part_nonvacuous : nonvacuous radial_part.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 3%N). Qed.

Example norm_identity_nonvacuous : nonvacuous norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 3%N). Qed.

Example step_points_outward_nonvacuous : nonvacuous step_points_outward.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 e0 b0 3%N). Qed.

Example norm_never_shrinks_nonvacuous : nonvacuous norm_never_shrinks.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 e0 b0 1%N 3%N). Qed.

Example path_length_bound_nonvacuous : nonvacuous path_length_bound.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 e0 b0 3%N). Qed.

Example dampened_norm_identity_nonvacuous : nonvacuous dampened_norm_identity.
Proof.
move=> H; have [p0 pS] := dampened_example Q; have [_ _ qS] := run.
exact: (H _ _ _ _ tang1 _ _ _ _ 3%N p0 pS qS).
Qed.

Example buffered_rate_norm_identity_nonvacuous : nonvacuous buffered_rate_norm_identity.
Proof.
move=> H; have [v0 vS qS] := buffered_example Q.
exact: (H _ _ _ _ tang1 _ (fun=> 1) (fun k => - ex_p Q k) 3%N v0 vS qS).
Qed.

Example lazy_norm_identity_nonvacuous : nonvacuous lazy_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ (lazy_example Q) (@lazy_tangential Q) 2%N). Qed.

Example lazy_untouched_frozen_nonvacuous : nonvacuous lazy_untouched_frozen.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ (lazy_example Q) 3%N). Qed.

Example coasting_position_nonvacuous : nonvacuous coasting_position.
Proof.
by move=> H; apply: (H _ _ _ _ _ _ _ (coast_example Q) (fun=> erefl) (half_neq1 Q) 3%N).
Qed.

Example coasting_norm_nonvacuous : nonvacuous coasting_norm.
Proof.
move=> H; apply: (H _ _ _ _ _ _ _ (coast_example Q) (fun=> erefl) (half_neq1 Q) 3%N).
exact: pull_e1_orth.
Qed.

Example coasting_limit_nonvacuous : nonvacuous coasting_limit.
Proof.
move=> H; apply: (H [archiFieldType of rat] _ _ _ _ _ _ (coast_example Q) (fun=> erefl)
  (half_01 Q) 1 ltr01).
Qed.

Example radial_part_of_steps_nonvacuous : nonvacuous radial_part_of_steps.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 3%N). Qed.

Example radial_part_bound_nonvacuous : nonvacuous radial_part_bound.
Proof.
move=> H; apply: (H _ _ _ _ _ _ _ (coast_example Q) (@coast_tangential Q) 1%N 4%:R
  (ler0n _ _) (half_01 Q) (@coast_steps Q)).
Qed.
