(** * Nesterov momentum

    p_t = β p_{t-1} + g_t, d_t = g_t + β p_t, q_{t+1} = q_t - η_t d_t (the form of the public
    libraries), every g_t ⟂ q_t, g_t = 0 where the row was not looked up.  The product ⟨d,p⟩
    can be negative, yet when the rate never grows by more than the factor (1+β)²/β,
        β η_{t+1} <= (1+β)² η_t,
    the steps point outward and the norm never shrinks:
        ⟨q_{t+1}, p_{t+1}⟩ <= - β η_t (1+β)/2 ‖p_t‖².
    This factor makes a tridiagonal quadratic form in the buffers positive semidefinite for
    runs of every length, which is how it is found; it is above 4 for every β <= 1.  With a
    constant rate
        ⟨q_t, p_t⟩ <= - η (1+β)/2 Σ_{k<t} β^{t-k} ‖p_k‖².
    A warm-up that starts from rate 0 breaks it: with a buffer filled at rate 0 the norm
    decreases (exact witness on a cosine loss).  Heavy ball has no such condition.

    Source: derived here.
    Proof: with V_t = η_t⟨d_t,p_t⟩ - ⟨q_t,p_t⟩, induction shows V_t >= η_t (1+β)/2 ‖p_t‖²; one
    step is the inequality A‖p‖² - B⟨p,p'⟩ + C‖p'‖² >= 0 for B² <= 4AC.  Any ordered field,
    any dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun HeavyBallIdentity NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition nesterov_run (R : realFieldType) n (beta : R) (eta : nat -> R)
    (q p g : nat -> 'cV[R]_n) : Prop :=
  [/\ p 0%N = g 0%N,
      forall t, p t.+1 = beta *: p t + g t.+1
    & forall t, q t.+1 = q t - eta t *: (g t + beta *: p t)].

(** A positive semidefinite binary form, in vectors. *)
Lemma binary_form_ge0 (R : realFieldType) n (u v : 'cV[R]_n) (A B C : R) :
  0 <= A -> 0 <= C -> B ^+ 2 <= 4%:R * (A * C) ->
  0 <= A * ‖u‖² - B * ⟨u, v⟩ + C * ‖v‖².
Proof.
move=> A0 C0 disc; move: A0; rewrite le_eqVlt => /orP[/eqP A0|A0].
  have B0 : B = 0.
    apply/eqP; rewrite -sqrf_eq0; apply/eqP/le_anti.
    by rewrite sqr_ge0 andbT; apply: le_trans disc _; rewrite -A0 mul0r mulr0.
  by rewrite -A0 B0 !mul0r subr0 add0r mulr_ge0 ?nrm2_ge0.
have four : 0 < 4%:R * A by rewrite mulr_gt0 ?ltr0n.
rewrite -(pmulr_rge0 _ four).
have -> : 4%:R * A * (A * ‖u‖² - B * ⟨u, v⟩ + C * ‖v‖²)
    = ‖(2%:R * A) *: u - B *: v‖² + (4%:R * (A * C) - B ^+ 2) * ‖v‖².
  by rewrite nrm2B !nrm2Z dotZl dotZr mulr2n; ring.
by rewrite addr_ge0 ?nrm2_ge0 // mulr_ge0 ?nrm2_ge0 // subr_ge0.
Qed.

Section Nesterov.
Variables (R : realFieldType) (n : nat) (beta : R) (eta : nat -> R) (q p g : nat -> 'cV[R]_n).
Hypothesis run : nesterov_run beta eta q p g.
Hypothesis tang : tangential q g.

Let V t := eta t * ⟨g t + beta *: p t, p t⟩ - ⟨q t, p t⟩.

Lemma radial_recursion t : ⟨q t.+1, p t.+1⟩ = - (beta * V t).
Proof.
case: run => _ pS qS; rewrite pS dotDr tang addr0 dotZr qS dotBl dotZl.
by rewrite /V; ring.
Qed.

Lemma V_0 : V 0%N = eta 0%N * ((1 + beta) * ‖p 0%N‖²).
Proof.
case: run => p0 _ _; rewrite /V [in ⟨q _, _⟩]p0 tang subr0 -p0.
by rewrite dotDl dotZl; ring.
Qed.

Lemma V_S t :
  V t.+1 = eta t.+1 * ((1 + beta) * ‖p t.+1‖² - beta * ⟨p t, p t.+1⟩) + beta * V t.
Proof.
rewrite {1}/V radial_recursion opprK; congr (_ * _ + _).
case: run => _ pS _; have -> : g t.+1 = p t.+1 - beta *: p t by rewrite pS addrC addKr.
by rewrite dotDl dotBl !dotZl; ring.
Qed.

(** The step in terms of the radial part of the buffer. *)
Theorem nesterov_step_radial t : ⟨q t, q t.+1 - q t⟩ = - (eta t * beta * ⟨q t, p t⟩).
Proof.
case: run => _ _ qS; rewrite qS addrAC subrr add0r dotNr dotZr dotDr tang add0r dotZr.
by rewrite mulrA.
Qed.

Hypothesis beta0 : 0 <= beta.
Hypothesis eta0 : forall t, 0 <= eta t.

Section Schedule.
(** The rate does not grow too fast. *)
Hypothesis slow : forall t, beta * eta t.+1 <= (1 + beta) ^+ 2 * eta t.

Lemma V_bound t : eta t * ((1 + beta) / 2%:R) * ‖p t‖² <= V t.
Proof.
have b1 : 0 <= 1 + beta by rewrite addr_ge0 ?ler01.
elim: t => [|t IH].
  have -> : V 0%N = eta 0%N * ((1 + beta) / 2%:R) * ‖p 0%N‖²
      + eta 0%N * ((1 + beta) / 2%:R) * ‖p 0%N‖² by rewrite V_0; field.
  by rewrite ler_addl mulr_ge0 ?nrm2_ge0 // mulr_ge0 // divr_ge0 ?ler0n.
rewrite V_S; have := ler_wpmul2l beta0 IH; set a := beta * (_ * _) => le1.
apply: le_trans (ler_add (lexx _) le1).
have := @binary_form_ge0 R n (p t) (p t.+1) (beta * (eta t * ((1 + beta) / 2%:R)))
  (eta t.+1 * beta) (eta t.+1 * ((1 + beta) / 2%:R)).
have h1 : 0 <= beta * (eta t * ((1 + beta) / 2%:R)).
  by apply: mulr_ge0 => //; apply: mulr_ge0 => //; apply: divr_ge0; rewrite ?ler0n.
have h2 : 0 <= eta t.+1 * ((1 + beta) / 2%:R).
  by apply: mulr_ge0 => //; apply: divr_ge0; rewrite ?ler0n.
have h3 : (eta t.+1 * beta) ^+ 2 <= 4%:R * (beta * (eta t * ((1 + beta) / 2%:R))
    * (eta t.+1 * ((1 + beta) / 2%:R))).
  have -> : 4%:R * (beta * (eta t * ((1 + beta) / 2%:R)) * (eta t.+1 * ((1 + beta) / 2%:R)))
      = (eta t.+1 * beta) * ((1 + beta) ^+ 2 * eta t) by field.
  rewrite expr2; apply: ler_wpmul2l; first exact: mulr_ge0.
  by rewrite [X in X <= _]mulrC.
move=> /(_ h1 h2 h3) form; rewrite -subr_ge0; apply: le_trans form _.
by rewrite le_eqVlt; apply/orP; left; apply/eqP; rewrite /a; field.
Qed.

Theorem nesterov_buffer_points_inward t :
  ⟨q t.+1, p t.+1⟩ <= - (beta * (eta t * ((1 + beta) / 2%:R) * ‖p t‖²)).
Proof. by rewrite radial_recursion ler_opp2 ler_wpmul2l ?V_bound. Qed.

Theorem nesterov_points_outward t : 0 <= ⟨q t, q t.+1 - q t⟩.
Proof.
rewrite nesterov_step_radial -mulrN mulr_ge0 ?mulr_ge0 // oppr_ge0.
case: t => [|t]; first by case: run => -> _ _; rewrite tang.
apply: le_trans (nesterov_buffer_points_inward t) _; rewrite oppr_le0.
have b1 : 0 <= 1 + beta by rewrite addr_ge0 ?ler01.
apply: mulr_ge0 => //; apply: mulr_ge0; last exact: nrm2_ge0.
by apply: mulr_ge0 => //; apply: divr_ge0; rewrite ?ler0n.
Qed.

Theorem nesterov_norm_never_shrinks s t : (s <= t)%N -> ‖q s‖² <= ‖q t‖².
Proof.
apply: (nondecreasing (f := fun k => ‖q k‖²)) => k /=.
have -> : ‖q k.+1‖² = ‖q k + (q k.+1 - q k)‖² by rewrite addrC subrK.
rewrite nrm2D -addrA ler_addl addr_ge0 ?nrm2_ge0 //.
exact: mulrn_wge0 (nesterov_points_outward k).
Qed.

End Schedule.

(** A constant rate: the buffer points inward by a whole weighted sum. *)
Theorem nesterov_constant_rate e t : (forall k, eta k = e) ->
  ⟨q t, p t⟩ <= - (e * ((1 + beta) / 2%:R) * (\sum_(k < t) beta ^+ (t - k) * ‖p k‖²)).
Proof.
move=> ee; have e0 : 0 <= e by rewrite -(ee 0%N).
pose W m := \sum_(k < m) beta ^+ (m - k) * ‖p k‖².
have WS m : W m.+1 = beta * (W m + ‖p m‖²) by exact: (weighted_sumS beta (fun k => ‖p k‖²)).
suff VB m : e * ((1 + beta) / 2%:R) * (W m + ‖p m‖²) + e / 2%:R * ‖p m‖² <= V m.
  case: t => [|t]; first by case: run => -> _ _; rewrite tang big_ord0 mulr0 oppr0.
  rewrite radial_recursion ler_opp2 -/(W t.+1) WS mulrCA; apply: ler_wpmul2l => //.
  apply: le_trans (VB t); rewrite ler_addl.
  by rewrite mulr_ge0 ?nrm2_ge0 // divr_ge0 ?ler0n.
elim: m => [|m IH].
  rewrite V_0 ee /W big_ord0 add0r; set x := ‖p 0%N‖².
  have -> : e * ((1 + beta) * x)
      = e * ((1 + beta) / 2%:R) * x + e / 2%:R * x + e * beta / 2%:R * x by field.
  by rewrite ler_addl mulr_ge0 ?nrm2_ge0 // divr_ge0 ?ler0n // mulr_ge0.
rewrite V_S ee WS; have := ler_wpmul2l beta0 IH => le1.
apply: le_trans (ler_add (lexx _) le1); rewrite -subr_ge0.
have young : 0 <= e * beta / 2%:R * ‖p m - p m.+1‖².
  by rewrite mulr_ge0 ?nrm2_ge0 // divr_ge0 ?ler0n // mulr_ge0.
apply: le_trans young _; rewrite nrm2B mulr2n le_eqVlt; apply/orP; left; apply/eqP.
by field.
Qed.

End Nesterov.

(** ** Warm-up from rate 0 makes the norm shrink: β = 1/2, q_0 = (3,4), rates 0, 1, 1, 0, ...,
    gradients of 25 cos(q,(4,-3)), -25/3 cos(q,(4,-3)) and then none. *)
Section Warmup.
Variable R : rcfType.
Let u : 'cV[R]_2 := vec2 4%:R (- 3%:R).
Definition warm_rate (t : nat) : R := ((t == 1%N) || (t == 2%N))%:R.
Definition warm_weight (t : nat) : R :=
  if t is 0%N then 25%:R else if t is 1%N then - (25%:R / 3%:R) else 0.
Definition warm_g (t : nat) : 'cV[R]_2 := (warm_weight t / 25%:R) *: u.
Fixpoint warm_p (t : nat) : 'cV[R]_2 :=
  if t is t'.+1 then 2%:R^-1 *: warm_p t' + warm_g t else warm_g 0.
Definition warm_q := descend warm_rate (fun t _ => warm_g t + 2%:R^-1 *: warm_p t) (row34 R).

Lemma warm_run : nesterov_run 2%:R^-1 warm_rate warm_q warm_p warm_g.
Proof. by []. Qed.

Lemma warm_q_S t :
  warm_q t.+1 = warm_q t - warm_rate t *: (warm_g t + 2%:R^-1 *: warm_p t).
Proof. reflexivity. Qed.

Lemma warm_q1 : warm_q 1%N = row34 R.
Proof. by rewrite /warm_q /= /warm_rate /= scale0r subr0. Qed.

Lemma warm_q2 : warm_q 2%N = vec2 4%:R (13%:R / 4%:R).
Proof.
have -> : warm_q 2%N = warm_q 1%N - 1 *: (warm_g 1 + 2%:R^-1 *: warm_p 1) by [].
rewrite warm_q1 /warm_p /warm_g /u /row34 !vec2E; congr vec2; rewrite /warm_weight; by field.
Qed.

Lemma warm_q3 : warm_q 3%N = vec2 (23%:R / 6%:R) (27%:R / 8%:R).
Proof.
have -> : warm_q 3%N = warm_q 2%N - 1 *: (warm_g 2 + 2%:R^-1 *: warm_p 2) by [].
rewrite warm_q2 /warm_p /warm_g /u !vec2E; congr vec2; rewrite /warm_weight; by field.
Qed.

Lemma warm_q_later t : warm_q t.+3 = warm_q 3%N.
Proof.
elim: t => [|t IH]; first reflexivity.
by rewrite warm_q_S IH /warm_rate /= scale0r subr0.
Qed.

Lemma warm_q_neq0 t : warm_q t != 0.
Proof.
have pos (a b : R) : 0 < a -> vec2 a b != 0.
  by move=> a0; rewrite -nrm2_gt0 vec2E -!expr2 ltr_paddr ?sqr_ge0 ?exprn_gt0.
case: t => [|[|[|t]]]; rewrite ?warm_q1 ?warm_q2 ?warm_q_later ?warm_q3 ?row34_neq0 //.
- by rewrite pos ?ltr0n.
- by rewrite pos ?divr_gt0 ?ltr0n.
Qed.

Lemma warm_gradient t :
  is_grad (fun x => warm_weight t * cosine x u) (warm_q t) (warm_g t).
Proof.
have u25 : is_grad (fun x => cosine x u) (row34 R) (25%:R^-1 *: u).
  have := @cosine_gradientE R 2 (row34 R) u 5%:R 5%:R (ltr0n _ 5) (ltr0n _ 5).
  have -> : cos_grad (row34 R) u 5%:R 5%:R = 25%:R^-1 *: u.
    rewrite /cos_grad; have -> : ⟨row34 R, u⟩ = 0 by rewrite vec2E; ring.
    by rewrite !mul0r scale0r subr0 scalerA; congr (_ *: _); field.
  by apply; rewrite vec2E; ring.
case: t => [|[|t]]; rewrite /warm_g.
- by rewrite -scalerA; apply: is_gradZ u25.
- by rewrite -scalerA warm_q1; apply: is_gradZ u25.
rewrite /warm_weight mul0r scale0r => v; rewrite dot0l.
by apply: is_deriv_ext (is_deriv_cst 0 _ _) => x; rewrite mul0r.
Qed.

Lemma warm_cosine_run : cosine_run (fun t x => warm_weight t * cosine x u) warm_q warm_g.
Proof.
move=> t; split; [exact: warm_q_neq0 | | exact: warm_gradient].
by move=> x _ c c0; rewrite cosine_scale.
Qed.

End Warmup.

Theorem warmup_counterexample (R : rcfType) :
  exists (eta : nat -> R) (q p g : nat -> 'cV[R]_2) (L : nat -> 'cV[R]_2 -> R),
  [/\ nesterov_run 2%:R^-1 eta q p g, cosine_run L q g,
      forall t, 0 <= eta t,
      ⟨q 2%N, q 3%N - q 2%N⟩ = - (25%:R / 96%:R)
    & [/\ ‖q 2%N‖² = 425%:R / 16%:R, ‖q 3%N‖² = 25%:R * 601%:R / 576%:R & ‖q 3%N‖² < ‖q 2%N‖²]].
Proof.
exists (@warm_rate R), (@warm_q R), (@warm_p R), (@warm_g R).
exists (fun t x => warm_weight R t * cosine x (vec2 4%:R (- 3%:R))).
have n2 : ‖warm_q R 2%N‖² = 425%:R / 16%:R by rewrite warm_q2 vec2E; field.
have n3 : ‖warm_q R 3%N‖² = 25%:R * 601%:R / 576%:R by rewrite warm_q3 vec2E; field.
split; [exact: warm_run | exact: warm_cosine_run | by move=> t; apply: ler0n | |].
  by rewrite warm_q3 warm_q2 !vec2E; field.
split=> //; rewrite n2 n3 -subr_gt0.
have -> : 425%:R / 16%:R - 25%:R * 601%:R / 576%:R = 275%:R / 576%:R :> R by field.
by rewrite divr_gt0 ?ltr0n.
Qed.

(** ** The hypotheses can hold: Nesterov on the quarter-turn gradient. *)
Section Examples.
Variable R : realFieldType.
Local Notation half := (2%:R^-1 : R).

(** Row and the buffer before the step. *)
Fixpoint nag_state (t : nat) : 'cV[R]_2 * 'cV[R]_2 :=
  if t is t'.+1 then
    let x := (nag_state t').1 in let b := (nag_state t').2 in
    let pt := half *: b + spin_grad x in
    (x - 1 *: (spin_grad x + half *: pt), pt)
  else (vec2 1 0, 0).
Definition nag_q t : 'cV[R]_2 := (nag_state t).1.
Definition nag_g t : 'cV[R]_2 := spin_grad (nag_q t).
Definition nag_p t : 'cV[R]_2 := (nag_state t.+1).2.

Lemma nag_run : nesterov_run half (fun=> 1) nag_q nag_p nag_g.
Proof. by split=> //; rewrite /nag_p /= scaler0 add0r. Qed.

Lemma nag_tangential : tangential nag_q nag_g.
Proof. by move=> t; apply: spin_grad_orth. Qed.

Lemma nag_slow (t : nat) : half * 1 <= (1 + half) ^+ 2 * 1.
Proof.
rewrite !mulr1 expr2 mulrDl mul1r -subr_ge0.
have -> : 1 + half + half * (1 + half) - half = 1 + half * (1 + half) by ring.
by rewrite addr_ge0 ?ler01 // mulr_ge0 ?addr_ge0 ?ler01 ?half_ge0.
Qed.

End Examples.

Local Notation Q := [realFieldType of rat].
Local Notation run1 := (nag_run Q).
Local Notation tang1 := (@nag_tangential Q).
Local Notation b0 := (half_ge0 Q).
Local Notation e0 := (@one_ge0 Q).
Local Notation slow1 := (@nag_slow Q).

Example nesterov_step_radial_nonvacuous : nonvacuous nesterov_step_radial.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run1 tang1 3%N). Qed.

Example nesterov_buffer_points_inward_nonvacuous : nonvacuous nesterov_buffer_points_inward.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run1 tang1 b0 e0 slow1 3%N). Qed.

Example nesterov_points_outward_nonvacuous : nonvacuous nesterov_points_outward.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run1 tang1 b0 e0 slow1 3%N). Qed.

Example nesterov_norm_never_shrinks_nonvacuous : nonvacuous nesterov_norm_never_shrinks.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run1 tang1 b0 e0 slow1 1%N 3%N). Qed.

Example nesterov_constant_rate_nonvacuous : nonvacuous nesterov_constant_rate.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run1 tang1 b0 e0 1 3%N). Qed.
