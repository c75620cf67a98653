(** * Scalar second moment

    Adam with one second-moment scalar per row (row-wise v):
        m_t = β m_{t-1} + (1-β) g_t,   q_{t+1} = q_t - α_t m_t,
    where α_t > 0 is any scalar (learning rate, bias corrections, 1/(√v_t+ε), chosen from
    the whole history).  It is heavy ball with the schedule α_t and the weight 1-β, so with
    g_t ⟂ q_t the steps point outward and the norm never shrinks, though the steps are not
    orthogonal.  With one scalar per coordinate this fails (see diagonal-scaling).

    Source: derived here, from the heavy-ball identity.
    Proof: the dampened form of the heavy-ball identity; any ordered field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun HeavyBallIdentity NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** The first moment is a moving average; one scalar per step and row scales it. *)
Definition scalar_adam (R : realFieldType) n (beta : R) (alpha : nat -> R)
    (q m g : nat -> 'cV[R]_n) : Prop :=
  [/\ m 0%N = (1 - beta) *: g 0%N,
      forall t, m t.+1 = beta *: m t + (1 - beta) *: g t.+1
    & forall t, q t.+1 = q t - alpha t *: m t].

Section Growth.
Variables (R : realFieldType) (n : nat) (beta : R) (alpha : nat -> R).
Variables (q m g : nat -> 'cV[R]_n).
Hypothesis run : scalar_adam beta alpha q m g.
Hypothesis tang : tangential q g.

Lemma scalar_adam_momentum : momentum_run (fun=> beta) (fun=> 1 - beta) alpha q m g.
Proof. by case: run. Qed.

Theorem scalar_adam_norm_identity t :
  ‖q t.+1‖² = ‖q t‖² + alpha t ^+ 2 * ‖m t‖²
    + 2%:R * alpha t * (\sum_(k < t) beta ^+ (t - k) * (alpha k * ‖m k‖²)).
Proof. by case: run => m0 mS qS; exact: (dampened_norm_identity tang t m0 mS qS). Qed.

Hypothesis alpha0 : forall t, 0 <= alpha t.
Hypothesis beta0 : 0 <= beta.

Theorem scalar_adam_points_outward t : 0 <= ⟨q t, q t.+1 - q t⟩.
Proof.
case: run => _ _ qS; rewrite qS addrAC subrr add0r dotNr dotZr.
rewrite (general_radial_part scalar_adam_momentum tang) mulrN opprK mulr_ge0 //.
by apply: sumr_ge0 => k _; rewrite mulr_ge0 ?prodr_ge0 // mulr_ge0 ?nrm2_ge0.
Qed.

Theorem scalar_adam_norm_never_shrinks s t : (s <= t)%N -> ‖q s‖² <= ‖q t‖².
Proof.
exact: (general_norm_never_shrinks scalar_adam_momentum tang alpha0 (fun=> beta0)).
Qed.

End Growth.

(** Not orthogonal: with β = 1/2 a step after a look-up of (3,4) for e_1, in which the row
    is not looked up, has the radial part α² ‖g‖²/8 = 2 α²/625 > 0. *)
Theorem scalar_adam_not_orthogonal (R : rcfType) (alpha : R) : alpha != 0 ->
  exists q m g : nat -> 'cV[R]_2,
  [/\ scalar_adam 2%:R^-1 (fun=> alpha) q m g, tangential q g,
      is_grad (fun x => - cosine x (vec2 1 0)) (q 0%N) (g 0%N)
    & ⟨q 1%N, q 2%N - q 1%N⟩ = alpha ^+ 2 * (2%:R / 625%:R)].
Proof.
move=> a0; pose h := 2%:R^-1 : R.
pose g (t : nat) : 'cV[R]_2 := if t is 0%N then pull_e1 R else 0.
pose m t := (h ^+ t * (1 - h)) *: pull_e1 R.
pose q := descend (fun=> alpha) (fun t _ => m t) (row34 R).
have run : scalar_adam h (fun=> alpha) q m g.
  split=> [|t|t] //; first by rewrite /m expr0 mul1r.
  by rewrite /m /= scaler0 addr0 exprS scalerA mulrA.
have tang : tangential q g by case=> [|t]; rewrite ?dot0r // pull_e1_orth.
exists q, m, g; split=> //; first exact: pull_e1_gradient.
have e : q 2%N - q 1%N = - (alpha *: m 1%N) by rewrite /q /= addrAC subrr add0r.
rewrite e /q /= /m dotNr dotBl !dotZl !dotZr pull_e1_orth !mulr0 sub0r.
by rewrite /h vec2E; field.
Qed.

(** ** The hypotheses can hold. *)
Section Examples.
Variable R : realFieldType.
Local Notation half := (2%:R^-1 : R).

Definition adam_state := momentum_state (fun=> half) (fun=> 1 - half) (fun=> 1)
  (@spin_grad R) (vec2 1 0).
Definition adam_q t : 'cV[R]_2 := (adam_state t).1.
Definition adam_m t : 'cV[R]_2 := (adam_state t).2.
Definition adam_g t : 'cV[R]_2 := spin_grad (adam_q t).

Lemma adam_example : scalar_adam half (fun=> 1) adam_q adam_m adam_g.
Proof. by []. Qed.

Lemma adam_tangential : tangential adam_q adam_g.
Proof. by move=> t; apply: spin_grad_orth. Qed.

End Examples.

Local Notation Q := [realFieldType of rat].
Local Notation run := (adam_example Q).
Local Notation tang1 := (@adam_tangential Q).

Example scalar_adam_norm_identity_nonvacuous : nonvacuous scalar_adam_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 3%N). Qed.

Example scalar_adam_points_outward_nonvacuous : nonvacuous scalar_adam_points_outward.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 (@one_ge0 Q) (half_ge0 Q) 3%N). Qed.

Example scalar_adam_norm_never_shrinks_nonvacuous : nonvacuous scalar_adam_norm_never_shrinks.
Proof.
by move=> H; apply: (H _ _ _ _ _ _ _ run tang1 (@one_ge0 Q) (half_ge0 Q) 1%N 3%N).
Qed.
