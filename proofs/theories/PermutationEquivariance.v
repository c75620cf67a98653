(** * permutation-equivariance: names and order do not matter

    - Renaming the items (permuting the columns of the table, with gradients renamed
      alike) renames the whole run, for SGD, momentum with any settings, row-wise and
      element-wise AdaGrad, Adam, row-wise Adam, sign, Lion, and clipping by norm.
    - The gradient of a batch is a sum over its examples.  In exact arithmetic the sum does
      not depend on the order of the examples nor on how it is bracketed: any two binary
      summation trees over the same examples, in any order, give the same number; so the whole
      run is the same for every order of every batch and every reduction tree.
    In floating point the sums differ by rounding; that bound is no part of this file.
    Source: derived here. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Optimizers Relabel NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Renaming items *)
Section Rename.
Variables (R : rcfType) (d N : nat) (sigma : 'S_N).
Local Notation table := 'M[R]_(d, N).
Implicit Types (eta beta damp lam mu tau : nat -> R).

(** Column j of the renamed table is column sigma j. *)
Definition rename (q : table) : table := col_perm sigma q.

Definition renames_along (G G' : nat -> table -> table) (w : nat -> table) : Prop :=
  forall t, G' t (rename (w t)) = rename (G t (w t)).

Let ones : 'I_d -> R := fun _ => 1.
Let ones_sign : sign_vector ones. Proof. by left. Qed.
Let relabelE (q : table) : relabel ones 1%g sigma q = rename q.
Proof. by apply/matrixP => i j; rewrite !mxE mul1r perm1. Qed.

Variables (G G' : nat -> table -> table) (q0 : table).

(** From a rule that commutes with relabelling to whole renamed runs. *)
Let renamed S (same : S -> S -> Prop) (f : rule R d N S) (s0 s0' : S) :
  intertwines same (relabel ones 1%g sigma) (relabel ones 1%g sigma) f f -> same s0 s0' ->
  renames_along G G' (weights f G s0 q0) ->
  forall t, weights f G' s0' (rename q0) t = rename (weights f G s0 q0 t).
Proof.
move=> ff s00 GG' t; rewrite -!relabelE; apply: (weights_intertwine ff s00) => k.
by rewrite !relabelE GG'.
Qed.

Theorem momentum_run_renames nest eta beta damp lam mu :
  renames_along G G' (weights (momentum nest eta beta damp lam mu) G 0 q0) ->
  forall t, weights (momentum nest eta beta damp lam mu) G' 0 (rename q0) t
            = rename (weights (momentum nest eta beta damp lam mu) G 0 q0 t).
Proof. by apply: renamed (momentum_relabels _ _ _ _ _ _) _; rewrite relabel0. Qed.

Theorem sgd_run_renames eta :
  renames_along G G' (weights (sgd eta) G tt q0) ->
  forall t, weights (sgd eta) G' tt (rename q0) t = rename (weights (sgd eta) G tt q0 t).
Proof. exact: renamed (sgd_relabels _ _ _ _) _. Qed.

Theorem sign_run_renames eta :
  renames_along G G' (weights (sign_rule eta) G tt q0) ->
  forall t, weights (sign_rule eta) G' tt (rename q0) t
            = rename (weights (sign_rule eta) G tt q0 t).
Proof. exact: renamed (sign_relabels _ _ ones_sign _) _. Qed.

Theorem lion_run_renames eta b1 b2 mu :
  renames_along G G' (weights (lion eta b1 b2 mu) G 0 q0) ->
  forall t, weights (lion eta b1 b2 mu) G' 0 (rename q0) t
            = rename (weights (lion eta b1 b2 mu) G 0 q0 t).
Proof. by apply: renamed (lion_relabels ones_sign _ _ _ _) _; rewrite relabel0. Qed.

Theorem adagrad_run_renames eps eta :
  renames_along G G' (weights (adagrad eps eta) G 0 q0) ->
  forall t, weights (adagrad eps eta) G' 0 (rename q0) t
            = rename (weights (adagrad eps eta) G 0 q0 t).
Proof.
by apply: renamed (adagrad_relabels ones_sign _ _) _; apply/matrixP => i j; rewrite !mxE.
Qed.

Theorem rowwise_adagrad_run_renames eps eta :
  renames_along G G' (weights (rowwise_adagrad eps eta) G 0 q0) ->
  forall t, weights (rowwise_adagrad eps eta) G' 0 (rename q0) t
            = rename (weights (rowwise_adagrad eps eta) G 0 q0 t).
Proof.
have step := @rowwise_adagrad_relabels R d N ones 1%g sigma ones_sign eps eta.
by apply: (renamed step); apply/rowP => j; rewrite !mxE.
Qed.

Theorem adam_run_renames eps b1 b2 eta lam mu :
  renames_along G G' (weights (adam eps b1 b2 eta lam mu) G (0, 0) q0) ->
  forall t, weights (adam eps b1 b2 eta lam mu) G' (0, 0) (rename q0) t
            = rename (weights (adam eps b1 b2 eta lam mu) G (0, 0) q0 t).
Proof.
apply: renamed (adam_relabels ones_sign _ _ _ _ _ _) _.
by split; apply/matrixP => i j; rewrite !mxE ?mulr0.
Qed.

Theorem rowwise_adam_run_renames eps b1 b2 eta mu :
  renames_along G G' (weights (rowwise_adam eps b1 b2 eta mu) G (0, 0) q0) ->
  forall t, weights (rowwise_adam eps b1 b2 eta mu) G' (0, 0) (rename q0) t
            = rename (weights (rowwise_adam eps b1 b2 eta mu) G (0, 0) q0 t).
Proof.
have step := @rowwise_adam_relabels R d N ones 1%g sigma ones_sign eps b1 b2 eta mu.
apply: (renamed step).
by split; apply/matrixP => i j; rewrite !mxE ?mulr0.
Qed.

(** Clipping the whole gradient by its norm, in front of momentum. *)
Theorem clip_norm_run_renames nest eta beta damp lam mu tau :
  renames_along G G' (weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G 0 q0) ->
  forall t, weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G' 0 (rename q0) t
            = rename (weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G 0 q0 t).
Proof.
have clipped t g := @clip_norm_relabel R d N ones 1%g sigma ones_sign tau t g.
have step := intertwines_after clipped (@momentum_relabels R d N ones 1%g sigma nest eta beta damp lam mu).
by apply: renamed step _; rewrite relabel0.
Qed.

End Rename.

(** ** Order and bracketing of the batch *)
Section Batch.
Variables (V : zmodType).

(** A way of bracketing a sum: a binary tree with the terms at its leaves. *)
Inductive tree := Leaf of V | Node of tree & tree.

Fixpoint tree_sum (a : tree) : V :=
  match a with Leaf v => v | Node l r => tree_sum l + tree_sum r end.
Fixpoint leaves (a : tree) : seq V :=
  match a with Leaf v => [:: v] | Node l r => leaves l ++ leaves r end.

Theorem tree_sum_is_sum (a : tree) : tree_sum a = \sum_(v <- leaves a) v.
Proof.
elim: a => [v|l IHl r IHr] /=; first by rewrite big_seq1.
by rewrite big_cat IHl IHr.
Qed.

(** Any two trees over the same terms, in whatever order, give the same sum. *)
Theorem summation_order_free (a b : tree) : perm_eq (leaves a) (leaves b) ->
  tree_sum a = tree_sum b.
Proof. by move=> ab; rewrite !tree_sum_is_sum; apply: perm_big. Qed.

End Batch.

Section BatchRuns.
Variables (R : realFieldType) (d N : nat) (example : eqType) (S : Type).
Local Notation table := 'M[R]_(d, N).

(** The gradient of a batch: the sum of what its examples contribute, each from its place. *)
Definition batch_gradient (contribution : example -> table -> table) (b : seq example)
    (q : table) : table := \sum_(x <- b) contribution x q.

(** Reordering the examples of every batch leaves the whole run unchanged, for any rule. *)
Theorem batch_order_free (f : rule R d N S) contribution (b b' : nat -> seq example) s0 q0 :
  (forall t, perm_eq (b t) (b' t)) ->
  forall t, weights f (fun k => batch_gradient contribution (b k)) s0 q0 t
            = weights f (fun k => batch_gradient contribution (b' k)) s0 q0 t.
Proof.
move=> bb' t; rewrite /weights; congr (_.2); elim: t => //= t ->.
by congr (f _ _ _ _); apply: perm_big.
Qed.

(** Splitting a batch into parts and adding the partial gradients (accumulation, data
    parallelism) changes nothing either. *)
Theorem batch_splitting_free contribution (parts : seq (seq example)) (q : table) :
  batch_gradient contribution (flatten parts) q
  = \sum_(part <- parts) batch_gradient contribution part q.
Proof. exact: big_flatten. Qed.

End BatchRuns.

(** Two bracketings of 1 + 2 + 3, the second in another order. *)
Example two_trees :
  tree_sum (Node (Node (Leaf 1%:R) (Leaf 2%:R)) (Leaf 3%:R)) =
  tree_sum (Node (Leaf 3%:R) (Node (Leaf 2%:R) (Leaf 1%:R))) :> rat.
Proof. by apply: summation_order_free; rewrite /= (perm_catC [:: _; _] [:: _]) perm_cons. Qed.
