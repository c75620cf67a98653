(** * masked-labels, continued: the gradient in the logit is the residual

    For p = sigmoid(z) = 1/(1 + exp(-z)) the binary cross entropy
    - (y ln p + (1-y) ln (1-p)) has the derivative p - y in the logit z, for every label y in
    the reals (masked labels included), which is what MaskedLabels.v calls the residual; and p
    is strictly between 0 and 1, as its theorem on conflicts requires.  So on a majority
    positive the primary head pulls a shared logit up and the auxiliary head pushes it down.
    Over Coq's real numbers.  Source: classical; proof derived here. *)
From Coq Require Import Reals Lra.
From Coquelicot Require Import Coquelicot.
From Perpend Require Import NormalisedEntropy.
Local Open Scope R_scope.

Definition sigmoid (z : R) : R := / (1 + exp (- z)).

Lemma one_plus_exp_pos z : 0 < 1 + exp (- z).
Proof. assert (h := exp_pos (- z)); lra. Qed.

Theorem sigmoid_in_unit z : 0 < sigmoid z < 1.
Proof.
unfold sigmoid; assert (h := exp_pos (- z)); split; [apply Rinv_0_lt_compat; lra|].
rewrite <- Rinv_1; apply Rinv_lt_contravar; lra.
Qed.

(** The derivative of the cross entropy in the logit. *)
Theorem logit_gradient y z : is_derive (fun t => bce y (sigmoid t)) z (sigmoid z - y).
Proof.
assert (e0 := exp_pos (- z)); assert (s := sigmoid_in_unit z).
unfold bce, sigmoid in *; auto_derive.
  repeat split; lra.
field; repeat split; try lra.
Qed.

(** On a majority positive (primary label 1, auxiliary label 0) the two residuals of a shared
    logit have opposite signs. *)
Theorem majority_positive_conflict z : sigmoid z - 1 < 0 < sigmoid z - 0.
Proof. assert (s := sigmoid_in_unit z); lra. Qed.
