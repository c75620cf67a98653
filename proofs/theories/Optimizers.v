(** * Optimizers: update rules as functions on whole tables, and their runs

    Foundation for the symmetry claims.  A table is a matrix with one embedding of dimension
    d in each of its N columns (so N = 1 is a single embedding).  A rule takes the step
    number, its own state, the table and the gradient, and returns the new state and table;
    [weights f G s0 q0 t] is the table after t steps from (s0, q0), where [G t q] is the
    gradient that step t sees at the table q (batches may differ from step to step).
    [intertwines] says that a rule f' in transformed coordinates does what f does in the
    original ones; [weights_intertwine] lifts this from one step to whole runs.
    The rules: SGD and momentum (heavy-ball or Nesterov, dampening, coupled and decoupled
    weight decay, any schedules), row-wise AdaGrad, element-wise AdaGrad, Adam (coupled and
    decoupled decay, bias correction), row-wise Adam, sign, Lion; and clipping by norm and by
    coordinate in front of any of them.  No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Rules, runs, and rules that do the same in other coordinates *)
Section Runs.
Variables (R : realFieldType) (d N : nat).
Local Notation table := 'M[R]_(d, N).

Definition rule (S : Type) := nat -> S -> table -> table -> S * table.

Fixpoint train S (f : rule S) (G : nat -> table -> table) (s0 : S) (q0 : table) t : S * table :=
  if t is t'.+1 then let m := train f G s0 q0 t' in f t' m.1 m.2 (G t' m.2) else (s0, q0).

Definition weights S (f : rule S) G (s0 : S) q0 t : table := (train f G s0 q0 t).2.

(** [f'] acts on tables [Tq q] with gradients [Tg g] as [f] acts on [q] with [g]. *)
Definition intertwines S S' (same : S -> S' -> Prop) (Tq Tg : table -> table)
    (f : rule S) (f' : rule S') : Prop :=
  forall t s s' q g, same s s' ->
    same (f t s q g).1 (f' t s' (Tq q) (Tg g)).1 /\
    (f' t s' (Tq q) (Tg g)).2 = Tq (f t s q g).2.

Lemma weights_intertwine S S' (same : S -> S' -> Prop) Tq Tg (f : rule S) (f' : rule S')
    G G' s0 s0' q0 :
  intertwines same Tq Tg f f' -> same s0 s0' ->
  (forall t, G' t (Tq (weights f G s0 q0 t)) = Tg (G t (weights f G s0 q0 t))) ->
  forall t, weights f' G' s0' (Tq q0) t = Tq (weights f G s0 q0 t).
Proof.
move=> ff' s00 GG' t.
suff [] : same (train f G s0 q0 t).1 (train f' G' s0' (Tq q0) t).1 /\
  (train f' G' s0' (Tq q0) t).2 = Tq (train f G s0 q0 t).2 by [].
elim: t => [|t [IHs IHq]] //=.
by rewrite IHq (GG' t); apply: ff'.
Qed.

(** ** Plain and momentum rules *)

(** q' = q - eta_t g *)
Definition sgd (eta : nat -> R) : rule unit := fun t _ q g => (tt, q - eta t *: g).

(** Coupled decay adds lambda q to the gradient; decoupled decay shrinks the row. *)
Definition sgd_coupled (eta lam : nat -> R) : rule unit :=
  fun t _ q g => (tt, q - eta t *: (g + lam t *: q)).
Definition sgd_decoupled (eta lam : nat -> R) : rule unit :=
  fun t _ q g => (tt, (1 - eta t * lam t) *: q - eta t *: g).

(** Momentum with dampening, coupled decay [lam] and decoupled decay [mu]; the step is the
    buffer (heavy-ball) or the gradient plus beta times the buffer (Nesterov). *)
Definition momentum (nesterov : bool) (eta beta damp lam mu : nat -> R) : rule table :=
  fun t p q g =>
    let g1 := g + lam t *: q in
    let p1 := beta t *: p + (1 - damp t) *: g1 in
    let step := if nesterov then g1 + beta t *: p1 else p1 in
    (p1, (1 - eta t * mu t) *: q - eta t *: step).

Definition never : nat -> R := fun _ => 0.
Definition heavy_ball (eta beta : nat -> R) := momentum false eta beta never never never.
Definition nesterov (eta beta : nat -> R) := momentum true eta beta never never never.

(** Any treatment of the gradient in front of a rule. *)
Definition after (clip : nat -> table -> table) S (f : rule S) : rule S :=
  fun t s q g => f t s q (clip t g).

Lemma intertwines_after S S' (same : S -> S' -> Prop) Tq Tg (f : rule S) (f' : rule S')
    (clip clip' : nat -> table -> table) :
  (forall t g, clip' t (Tg g) = Tg (clip t g)) -> intertwines same Tq Tg f f' ->
  intertwines same Tq Tg (after clip f) (after clip' f').
Proof. by move=> cc ff' t s s' q g ss; rewrite /after cc; apply: ff'. Qed.

(** Clipping each coordinate to [-tau, tau]. *)
Definition clip_value (tau : nat -> R) (t : nat) (g : table) : table :=
  \matrix_(i, j) Num.max (- tau t) (Num.min (tau t) (g i j)).

(** Each coordinate moves by the learning rate, against the sign of the gradient. *)
Definition signs (g : table) : table := \matrix_(i, j) Num.sg (g i j).
Definition sign_rule (eta : nat -> R) : rule unit :=
  fun t _ q g => (tt, q - eta t *: signs g).

(** Lion: the sign of an interpolation, with decoupled decay. *)
Definition lion (eta b1 b2 mu : nat -> R) : rule table :=
  fun t m q g =>
    (b2 t *: m + (1 - b2 t) *: g,
     (1 - eta t * mu t) *: q - eta t *: signs (b1 t *: m + (1 - b1 t) *: g)).

(** The squared length of each column. *)
Definition col_nrm2 (g : table) : 'rV[R]_N := \row_j \sum_i (g i j ^+ 2).

End Runs.

(** ** Adaptive rules (a square root is needed) *)
Section Adaptive.
Variables (R : rcfType) (d N : nat).
Local Notation table := 'M[R]_(d, N).

(** One accumulator for each embedding: the mean square of its gradients. *)
Definition per_column (m : table) (v : 'rV[R]_N) (eps : R) : table :=
  \matrix_(i, j) (m i j / (Num.sqrt (v 0 j) + eps)).
Definition per_entry (m v : table) (eps : R) : table :=
  \matrix_(i, j) (m i j / (Num.sqrt (v i j) + eps)).
Definition squares (g : table) : table := \matrix_(i, j) (g i j ^+ 2).

Definition rowwise_adagrad (eps : R) (eta : nat -> R) : rule R d N 'rV[R]_N :=
  fun t a q g =>
    let a1 := a + d%:R^-1 *: col_nrm2 g in (a1, q - eta t *: per_column g a1 eps).

Definition adagrad (eps : R) (eta : nat -> R) : rule R d N table :=
  fun t a q g => let a1 := a + squares g in (a1, q - eta t *: per_entry g a1 eps).

(** Adam with bias correction; coupled decay [lam] (Adam with L2) and decoupled decay [mu]
    (AdamW). *)
Definition adam (eps b1 b2 : R) (eta lam mu : nat -> R) : rule R d N (table * table) :=
  fun t s q g =>
    let g1 := g + lam t *: q in
    let m1 := b1 *: s.1 + (1 - b1) *: g1 in
    let v1 := b2 *: s.2 + (1 - b2) *: squares g1 in
    let m1' := (1 - b1 ^+ t.+1)^-1 *: m1 in
    let v1' := (1 - b2 ^+ t.+1)^-1 *: v1 in
    ((m1, v1), (1 - eta t * mu t) *: q - eta t *: per_entry m1' v1' eps).

(** Adam whose second moment is one number for each embedding. *)
Definition rowwise_adam (eps b1 b2 : R) (eta mu : nat -> R) : rule R d N (table * 'rV[R]_N) :=
  fun t s q g =>
    let m1 := b1 *: s.1 + (1 - b1) *: g in
    let v1 := b2 *: s.2 + (1 - b2) *: (d%:R^-1 *: col_nrm2 g) in
    let m1' := (1 - b1 ^+ t.+1)^-1 *: m1 in
    let v1' := (1 - b2 ^+ t.+1)^-1 *: v1 in
    ((m1, v1), (1 - eta t * mu t) *: q - eta t *: per_column m1' v1' eps).

(** Clipping the whole gradient to Frobenius norm at most tau. *)
Definition frob_norm (g : table) : R := Num.sqrt (frob g g).
Definition clip_norm (tau : nat -> R) (t : nat) (g : table) : table :=
  if frob_norm g <= tau t then g else (tau t / frob_norm g) *: g.

End Adaptive.
