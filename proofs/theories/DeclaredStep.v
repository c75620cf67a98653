(** * Declared step

    A trained run is judged by replaying the declared update rule on the recorded gradients.
    - Replay determines the run: a rule with a state (momentum buffer, accumulator, ...)
      leaves one possible next row, so two runs that replay without residual from the same
      start are equal, and a residual at some step means another update was made.
    - Nothing weaker does.  If a row is looked up twice in a step and the implementation
      applies only part of the gradients (last one wins), the recorded sum of gradients is
      orthogonal to the row, the step is orthogonal, the norm grows by the squared step, and
      the heavy-ball identity holds in the observed buffer; yet the replay residual is
      η times the lost gradients.  A witness with two gradients of -cos makes it non-zero.

    Source: derived here.
    Proof: bilinearity, induction over the run; any ordered field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth HeavyBallIdentity.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Replay determines the run. *)
Section Replay.
Variables (R : realFieldType) (n : nat) (S : Type).

(** An update rule: from the step number, the state, the row and the gradient to the next
    state and row. *)
Variable rule : nat -> S -> 'cV[R]_n -> 'cV[R]_n -> S * 'cV[R]_n.
Implicit Types (q g : nat -> 'cV[R]_n).

(** The state that the rule has before step t, when it is fed the recorded rows and
    gradients. *)
Fixpoint replayed_state (s0 : S) q g (t : nat) : S :=
  if t is t'.+1 then (rule t' (replayed_state s0 q g t') (q t') (g t')).1 else s0.

Definition replay_residual (s0 : S) q g (t : nat) : 'cV[R]_n :=
  q t.+1 - (rule t (replayed_state s0 q g t) (q t) (g t)).2.

(** No residual at step t means the recorded step is the declared one, and conversely. *)
Theorem residual_detects_other_step s0 q g t :
  (replay_residual s0 q g t == 0)
  = (q t.+1 == (rule t (replayed_state s0 q g t) (q t) (g t)).2).
Proof. exact: subr_eq0. Qed.

Theorem replay_determines_run s0 q q' g :
  q 0%N = q' 0%N -> (forall t, replay_residual s0 q g t = 0) ->
  (forall t, replay_residual s0 q' g t = 0) -> forall t, q t = q' t.
Proof.
move=> q0 rq rq' t.
suff: q t = q' t /\ replayed_state s0 q g t = replayed_state s0 q' g t by case.
elim: t => [|t [IHq IHs]] //=; rewrite IHq IHs; split=> //.
move/eqP: (rq t) (rq' t); rewrite residual_detects_other_step => /eqP -> /eqP.
by rewrite residual_detects_other_step => /eqP ->; rewrite IHq IHs.
Qed.

End Replay.

(** ** What lost gradients leave intact. *)
Section Lost.
Variables (R : realFieldType) (n k : nat) (q : 'cV[R]_n) (g : 'I_k -> 'cV[R]_n).
Variables (eta : R) (kept : pred 'I_k).

(** Every contribution is orthogonal to the row; the step applies the kept ones only. *)
Hypothesis tang : forall j, ⟨q, g j⟩ = 0.
Let recorded := \sum_j g j.
Let q' := q - eta *: (\sum_(j | kept j) g j).

Theorem lost_gradients_pass_geometry :
  [/\ ⟨q, recorded⟩ = 0, ⟨q, q' - q⟩ = 0 & ‖q'‖² = ‖q‖² + ‖q' - q‖²].
Proof.
have o P : ⟨q, \sum_(j | P j) g j⟩ = 0 by rewrite dot_sumr big1.
have e : q' - q = - (eta *: \sum_(j | kept j) g j).
  by rewrite /q' addrAC subrr add0r.
have oq : ⟨q, q' - q⟩ = 0 by rewrite e dotNr dotZr o mulr0 oppr0.
split; [exact: (o xpredT) | exact: oq |].
by have := step_identity oq; rewrite (addrC q) subrK.
Qed.

Theorem lost_gradients_residual :
  q' - (q - eta *: recorded) = eta *: (\sum_(j | ~~ kept j) g j).
Proof.
rewrite /q' /recorded (bigID kept predT) /= scalerDr opprB addrC addrA subrK.
by rewrite addrAC subrr add0r.
Qed.

End Lost.

(** A whole momentum run that loses gradients: the buffer holds only the surviving part h_t
    of the recorded gradient g_t.  The buffer can be read off the rows, the heavy-ball
    identity holds in it, and every replay residual is η_t times the buffer of the lost
    part. *)
Section LostMomentum.
Variables (R : realFieldType) (n : nat) (beta : R) (eta : nat -> R).
Variables (q p g h : nat -> 'cV[R]_n).
Hypothesis run : heavy_ball beta eta q p h.
Hypothesis kept_tang : tangential q h.

Theorem lost_gradients_pass_heavy_ball t :
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * ‖p t‖²
    + 2%:R * eta t * (\sum_(j < t) beta ^+ (t - j) * (eta j * ‖p j‖²)).
Proof. exact: (norm_identity run kept_tang). Qed.

(** The rule that was declared: heavy ball on the recorded gradients. *)
Definition heavy_ball_rule (t : nat) (s x y : 'cV[R]_n) : 'cV[R]_n * 'cV[R]_n :=
  (beta *: s + y, x - eta t *: (beta *: s + y)).

Theorem lost_gradients_momentum_residual t :
  replay_residual heavy_ball_rule 0 q g t
  = eta t *: (\sum_(j < t.+1) beta ^+ (t - j) *: (g j - h j)).
Proof.
have stS m : replayed_state heavy_ball_rule 0 q g m.+1
    = beta *: replayed_state heavy_ball_rule 0 q g m + g m by [].
have st m : replayed_state heavy_ball_rule 0 q g m.+1 = \sum_(j < m.+1) beta ^+ (m - j) *: g j.
  elim: m => [|m IH]; first by rewrite big_ord1 stS scaler0 add0r scale1r.
  rewrite stS IH [RHS]big_ord_recr /= subnn scale1r; congr (_ + _).
  by rewrite scaler_sumr; apply: eq_bigr => j _; rewrite scalerA -exprS subSn // -ltnS.
have pt m : p m = \sum_(j < m.+1) beta ^+ (m - j) *: h j.
  case: run => p0 pS _; elim: m => [|m IH]; first by rewrite big_ord1 scale1r.
  rewrite pS IH [RHS]big_ord_recr /= subnn scale1r; congr (_ + _).
  by rewrite scaler_sumr; apply: eq_bigr => j _; rewrite scalerA -exprS subSn // -ltnS.
have rl : (heavy_ball_rule t (replayed_state heavy_ball_rule 0 q g t) (q t) (g t)).2
    = q t - eta t *: replayed_state heavy_ball_rule 0 q g t.+1 by [].
case: run => _ _ qS; rewrite /replay_residual rl st qS pt opprB addrC addrA subrK.
rewrite -scalerBr -sumrB; congr (_ *: _); apply: eq_bigr => j _.
by rewrite scalerBr.
Qed.

End LostMomentum.

(** ** Witness.  The row (3,4) is looked up twice in one step, for the users e_1 and e_2; the
    implementation keeps the second gradient only.  All geometric claims pass, and the
    replay of SGD on the recorded gradient shows the lost one. *)
Theorem lost_duplicate_witness (R : rcfType) (eta : R) : eta != 0 ->
  exists q q' g1 g2 : 'cV[R]_2,
  [/\ is_grad (fun x => - cosine x (vec2 1 0)) q g1 /\
      is_grad (fun x => - cosine x (vec2 0 1)) q g2,
      ⟨q, g1 + g2⟩ = 0 /\ ⟨q, q' - q⟩ = 0,
      ‖q'‖² = ‖q‖² + ‖q' - q‖² /\ ‖q‖² < ‖q'‖²
    & q' - (q - eta *: (g1 + g2)) = eta *: g1 /\ q' - (q - eta *: (g1 + g2)) != 0].
Proof.
move=> e0; exists (row34 R), (row34 R - eta *: pull_e2 R), (pull_e1 R), (pull_e2 R).
have e : row34 R - eta *: pull_e2 R - row34 R = - (eta *: pull_e2 R).
  by rewrite addrAC subrr add0r.
have oq : ⟨row34 R, row34 R - eta *: pull_e2 R - row34 R⟩ = 0.
  by rewrite e dotNr dotZr pull_e2_orth mulr0 oppr0.
have gr : ‖row34 R - eta *: pull_e2 R‖²
    = ‖row34 R‖² + ‖row34 R - eta *: pull_e2 R - row34 R‖².
  by have := step_identity oq; rewrite (addrC (row34 R)) subrK.
have res : row34 R - eta *: pull_e2 R - (row34 R - eta *: (pull_e1 R + pull_e2 R))
    = eta *: pull_e1 R.
  by rewrite opprB addrC addrA subrK scalerDr addrK.
have pos (a b : R) : a != 0 -> b != 0 -> vec2 a b != 0.
  by move=> a0 b0; rewrite -nrm2_gt0 vec2E -!expr2 addr_gt0 // lt_def sqr_ge0 sqrf_eq0 ?a0 ?b0.
have n125 m : (0 < m)%N -> m%:R / 125%:R != 0 :> R.
  by move=> m0; rewrite mulf_neq0 ?invr_eq0 ?pnatr_eq0 // -lt0n.
split; first by split; [apply: pull_e1_gradient | apply: pull_e2_gradient].
- by split=> //; rewrite dotDr pull_e1_orth pull_e2_orth addr0.
- split=> //; rewrite gr ltr_addl nrm2_gt0 e oppr_eq0 scaler_eq0 (negbTE e0) /=.
  by apply: pos; rewrite ?oppr_eq0 n125.
- split=> //; rewrite res scaler_eq0 (negbTE e0) /=.
  by apply: pos; rewrite ?oppr_eq0 n125.
Qed.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).

Example replay_determines_run_nonvacuous : nonvacuous replay_determines_run.
Proof.
move=> H; pose rule (t : nat) (s : unit) (x y : 'cV[Q]_2) := (s, x - 1 *: y).
have r t : replay_residual rule tt (spin one) (spin_g one) t = 0 by exact: subrr.
exact: (H _ _ _ rule tt _ _ _ erefl r r 3%N).
Qed.

Example lost_gradients_pass_geometry_nonvacuous : nonvacuous lost_gradients_pass_geometry.
Proof.
by move=> H; apply: (H _ _ 2%N _ (fun=> pull_e1 Q) 1 (pred1 0) (fun=> pull_e1_orth Q)).
Qed.

Example lost_gradients_pass_heavy_ball_nonvacuous : nonvacuous lost_gradients_pass_heavy_ball.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ (example_run Q) (@example_tangential Q) 3%N). Qed.

Example lost_gradients_momentum_residual_nonvacuous :
  nonvacuous lost_gradients_momentum_residual.
Proof. by move=> H; apply: (H _ _ _ _ _ _ (spin_g one) _ (example_run Q) 3%N). Qed.
