(** * Lazy versus dense

    A dense momentum rule moves every row at every step; a lazy one moves only the rows that
    were looked up.  After its last look-up, with buffer p and m steps without gradient,
      dense:  q moves by -(Σ_{j=1..m} η_{t+j} β^j) p, a geometric sum, and never comes back;
      lazy:   q and its buffer stay exactly where they are.
    So the two rules differ on every row with a non-zero buffer (and η, β > 0), and a witness
    with the gradient of a cosine shows it.  The same holds of Adam's first moment with any
    positive factors per coordinate: the dense rule moves each coordinate with m_i <> 0.

    Source: derived here (that LazyAdam and Adam differ is known to their authors).
    Proof: induction on the number of steps; any ordered field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun HeavyBallIdentity NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Dense.
Variables (R : realFieldType) (n : nat) (beta : R) (eta : nat -> R) (q p g : nat -> 'cV[R]_n).
Hypothesis run : heavy_ball beta eta q p g.

(** The row is looked up at step t for the last time. *)
Variable t : nat.
Hypothesis untouched : forall j, g (t + j.+1)%N = 0.

Lemma dense_buffer m : p (t + m)%N = beta ^+ m *: p t.
Proof.
case: run => _ pS _; elim: m => [|m IH]; first by rewrite addn0 scale1r.
by rewrite addnS pS -addnS untouched addr0 IH scalerA exprS.
Qed.

Theorem dense_coasting m :
  q (t.+1 + m)%N = q t.+1 - (\sum_(j < m) eta (t + j.+1)%N * beta ^+ j.+1) *: p t.
Proof.
case: run => _ _ qS; elim: m => [|m IH]; first by rewrite addn0 big_ord0 scale0r subr0.
rewrite addnS qS IH big_ord_recr /= scalerDl opprD addrA addSnnS dense_buffer.
by rewrite scalerA.
Qed.

(** With a constant rate: a geometric sum, at most η β/(1-β) in all. *)
Theorem dense_coasting_geometric e m : (forall k, eta k = e) -> beta != 1 ->
  q (t.+1 + m)%N = q t.+1 - (e * beta * ((1 - beta ^+ m) / (1 - beta))) *: p t.
Proof.
move=> ee b1; rewrite dense_coasting -geometric_sum // mulr_sumr.
by congr (_ - _ *: _); apply: eq_bigr => j _; rewrite ee exprS mulrA.
Qed.

(** The dense row moves in every step after the look-up. *)
Theorem dense_row_moves m : beta != 0 -> eta (t.+1 + m)%N != 0 -> p t != 0 ->
  q (t.+1 + m).+1 != q (t.+1 + m)%N.
Proof.
move=> b0 e0 p0; case: run => _ _ qS; rewrite qS addSnnS dense_buffer -subr_eq0.
rewrite addrAC subrr add0r oppr_eq0 !scaler_eq0 expf_eq0 (negbTE b0) andbF.
by rewrite -addSnnS (negbTE e0) (negbTE p0).
Qed.

End Dense.

Section Lazy.
Variables (R : realFieldType) (n : nat) (touched : nat -> bool) (beta : R) (eta : nat -> R).
Variables (q p g : nat -> 'cV[R]_n).
Hypothesis run : lazy_heavy_ball touched beta eta q p g.
Variable t : nat.
Hypothesis untouched : forall j, ~~ touched (t + j.+1)%N.

Theorem lazy_row_frozen m : q (t.+1 + m)%N = q t.+1 /\ p (t + m)%N = p t.
Proof.
case: run => _ pS qS; elim: m => [|m [IHq IHp]]; first by rewrite !addn0.
rewrite !addnS qS pS -addnS (negbTE (untouched m)) addSnnS (negbTE (untouched m)).
by rewrite -addSnnS IHq IHp.
Qed.

End Lazy.

(** Where every row is looked up at every step the two rules are one. *)
Theorem always_touched_same (R : realFieldType) n beta eta (q p g : nat -> 'cV[R]_n) :
  lazy_heavy_ball xpredT beta eta q p g <-> heavy_ball beta eta q p g.
Proof. by []. Qed.

(** Witness: same start, same gradients of a cosine loss, same look-ups, different rows. *)
Theorem lazy_and_dense_differ (R : rcfType) (beta eta : R) : beta != 0 -> eta != 0 ->
  exists q p q' p' g : nat -> 'cV[R]_2,
  [/\ heavy_ball beta (fun=> eta) q p g,
      lazy_heavy_ball (pred1 0%N) beta (fun=> eta) q' p' g,
      q 0%N = q' 0%N,
      is_grad (fun x => - cosine x (vec2 1 0)) (q 0%N) (g 0%N) /\ (forall t, g t.+1 = 0)
    & q 2%N != q' 2%N].
Proof.
move=> b0 e0.
pose g (t : nat) : 'cV[R]_2 := if t is 0%N then pull_e1 R else 0.
pose p t := beta ^+ t *: pull_e1 R.
pose q := descend (fun=> eta) (fun t _ => p t) (row34 R).
pose q' (t : nat) := if t is 0%N then row34 R else row34 R - eta *: pull_e1 R.
exists q, p, q', (fun=> pull_e1 R), g; split=> //.
- split=> [|t|t] //; first by rewrite /p expr0 scale1r.
  by rewrite /p /= addr0 exprS scalerA.
- by split=> // -[|t].
- by split=> //; apply: pull_e1_gradient.
have -> : q 2%N = q' 2%N - eta *: (beta *: pull_e1 R).
  by rewrite /q /q' /= /p expr0 expr1 scale1r.
rewrite -subr_eq0 addrAC subrr add0r oppr_eq0.
rewrite !scaler_eq0 (negbTE e0) (negbTE b0) /= -nrm2_eq0 vec2E.
by rewrite gt_eqF // addr_gt0 // ?mulNr ?mulrN ?opprK mulr_gt0 // divr_gt0 ?ltr0n.
Qed.

(** Element-wise rules with momentum (dense Adam): whatever the positive factors d_i, an
    unsampled row moves in each coordinate whose first moment is not zero. *)
Theorem dense_elementwise_moves (R : realFieldType) n (q m d : 'cV[R]_n) beta i :
  0 < beta -> 0 < d i 0 -> m i 0 != 0 ->
  (q - (\col_k (d k 0 * (beta * m k 0)))) i 0 != q i 0.
Proof.
move=> b0 d0 m0; rewrite !mxE -subr_eq0 addrAC subrr add0r oppr_eq0.
by rewrite mulf_neq0 ?mulf_neq0 // gt_eqF.
Qed.

(** ** The hypotheses can hold: the impulse of HeavyBallIdentity, with t = 0. *)
Local Notation Q := [realFieldType of rat].
Local Notation run := (coast_example Q).

Fact half_neq0 (R : realFieldType) : 2%:R^-1 != 0 :> R.
Proof. by rewrite invr_eq0 pnatr_eq0. Qed.

Fact coast_neq0 (R : realFieldType) : coast_p R 0%N != 0.
Proof.
rewrite /coast_p expr0 scale1r -nrm2_gt0 vec2E mulrNN.
by rewrite addr_gt0 // mulr_gt0 // divr_gt0 // ltr0n.
Qed.

Example dense_coasting_nonvacuous : nonvacuous dense_coasting.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ run 0%N (fun=> erefl) 3%N). Qed.

Example dense_coasting_geometric_nonvacuous : nonvacuous dense_coasting_geometric.
Proof.
move=> H.
by apply: (H _ _ _ _ _ _ _ run 0%N (fun=> erefl) 1 3%N (fun=> erefl) (half_neq1 Q)).
Qed.

Example dense_row_moves_nonvacuous : nonvacuous dense_row_moves.
Proof.
move=> H; apply: (H _ _ _ _ _ _ _ run 0%N (fun=> erefl) 3%N (half_neq0 Q) (oner_neq0 _)).
exact: coast_neq0.
Qed.

Section LazyExample.
Variable R : realFieldType.
Definition once_q (t : nat) : 'cV[R]_2 :=
  if t is 0%N then row34 R else row34 R - 1 *: pull_e1 R.
Lemma once_run : lazy_heavy_ball (pred1 0%N) 2%:R^-1 (fun=> 1) once_q (fun=> pull_e1 R)
  (fun=> pull_e1 R).
Proof. by split=> // -[|t]. Qed.
End LazyExample.

Example lazy_row_frozen_nonvacuous : nonvacuous lazy_row_frozen.
Proof. by move=> H; apply: (H _ _ _ _ _ _ _ _ (once_run Q) 0%N _ 3%N). Qed.

Example dense_elementwise_moves_nonvacuous : nonvacuous dense_elementwise_moves.
Proof. by move=> H; apply: (H Q 1%N 0 (\col_k 1) (\col_k 1) 1 0); rewrite ?mxE. Qed.
