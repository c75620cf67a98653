(** * Relabel: renaming items and coordinates, and flipping signs of coordinates

    [relabel s pi sigma q] has in place (i,j) the entry s_i q_(pi i, sigma j): the coordinates
    are permuted by pi and multiplied by signs s_i, the items are permuted by sigma.  Every
    rule of Optimizers.v commutes with it, with any epsilon and any settings; the symmetry
    claims specialise this to coordinates (rotation-equivariance) and to items
    (permutation-equivariance).  No axiom is used. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Optimizers.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** A sign is a number that squares to one. *)
Definition sign_vector (R : realFieldType) (d : nat) (s : 'I_d -> R) : Prop :=
  forall i, s i = 1 \/ s i = -1.

Section Relabel.
Variables (R : realFieldType) (d N : nat) (s : 'I_d -> R) (pi : 'S_d) (sigma : 'S_N).
Hypothesis signs_s : sign_vector s.
Local Notation table := 'M[R]_(d, N).
Implicit Types (q g m v p : table) (eta beta damp lam mu tau : nat -> R).

Definition relabel q : table := \matrix_(i, j) (s i * q (pi i) (sigma j)).
Definition relabel_abs q : table := \matrix_(i, j) q (pi i) (sigma j).
Definition relabel_items (v : 'rV[R]_N) : 'rV[R]_N := \row_j v 0 (sigma j).

Lemma relabelD q g : relabel (q + g) = relabel q + relabel g.
Proof. by apply/matrixP => i j; rewrite !mxE mulrDr. Qed.
Lemma relabelZ a q : relabel (a *: q) = a *: relabel q.
Proof. by apply/matrixP => i j; rewrite !mxE mulrCA. Qed.
Lemma relabelB q g : relabel (q - g) = relabel q - relabel g.
Proof. by apply/matrixP => i j; rewrite !mxE mulrBr. Qed.
Lemma relabel0 : relabel 0 = 0.
Proof. by apply/matrixP => i j; rewrite !mxE mulr0. Qed.
Lemma relabel_absD q g : relabel_abs (q + g) = relabel_abs q + relabel_abs g.
Proof. by apply/matrixP => i j; rewrite !mxE. Qed.
Lemma relabel_absZ a q : relabel_abs (a *: q) = a *: relabel_abs q.
Proof. by apply/matrixP => i j; rewrite !mxE. Qed.
Lemma relabel_itemsD (v w : 'rV[R]_N) : relabel_items (v + w) = relabel_items v + relabel_items w.
Proof. by apply/rowP => j; rewrite !mxE. Qed.
Lemma relabel_itemsZ a (v : 'rV[R]_N) : relabel_items (a *: v) = a *: relabel_items v.
Proof. by apply/rowP => j; rewrite !mxE. Qed.

Lemma sign_sqr i : s i ^+ 2 = 1.
Proof. by case: (signs_s i) => ->; rewrite ?sqrrN expr1n. Qed.

Lemma signs_relabel g : signs (relabel g) = relabel (signs g).
Proof.
apply/matrixP => i j; rewrite !mxE.
by case: (signs_s i) => ->; rewrite ?mulN1r ?mul1r // sgrN.
Qed.

Lemma clip_value_relabel tau t g : 0 <= tau t ->
  clip_value tau t (relabel g) = relabel (clip_value tau t g).
Proof.
move=> t0; have tt : - tau t <= tau t by rewrite ge0_cp.
apply/matrixP => i j; rewrite !mxE; set x := g _ _.
case: (signs_s i) => ->; rewrite ?mul1r // !mulN1r oppr_max opprK oppr_min.
by rewrite max_minr (max_r tt).
Qed.

Lemma col_nrm2_relabel g : col_nrm2 (relabel g) = relabel_items (col_nrm2 g).
Proof.
apply/rowP => j; rewrite !mxE [RHS](reindex_inj (@perm_inj _ pi)) /=.
by apply: eq_bigr => i _; rewrite mxE exprMn sign_sqr mul1r.
Qed.

Lemma sgd_relabels eta :
  intertwines (fun _ _ => True) relabel relabel (sgd eta : rule R d N unit) (sgd eta).
Proof. by move=> t a a' q g _; split=> //; rewrite /sgd /= relabelB relabelZ. Qed.

Lemma momentum_relabels nest eta beta damp lam mu :
  intertwines (fun p p' => p' = relabel p) relabel relabel
    (momentum nest eta beta damp lam mu : rule R d N table)
    (momentum nest eta beta damp lam mu).
Proof.
move=> t p p' q g ->; rewrite /momentum /= -!relabelZ -!relabelD -!relabelZ -!relabelD.
by split=> //; case: nest; rewrite -?relabelZ -?relabelD -?relabelZ -relabelB.
Qed.

Lemma sign_relabels eta :
  intertwines (fun _ _ => True) relabel relabel (sign_rule eta : rule R d N unit) (sign_rule eta).
Proof.
by move=> t a a' q g _; split=> //; rewrite /sign_rule /= signs_relabel relabelB relabelZ.
Qed.

Lemma lion_relabels eta b1 b2 mu :
  intertwines (fun m m' => m' = relabel m) relabel relabel
    (lion eta b1 b2 mu : rule R d N table) (lion eta b1 b2 mu).
Proof.
move=> t m m' q g ->; rewrite /lion /= -!relabelZ -!relabelD; split=> //.
by rewrite signs_relabel -relabelZ -relabelB.
Qed.

Lemma frob_relabel g : frob (relabel g) (relabel g) = frob g g.
Proof.
have frobE (h : table) : frob h h = \sum_j col_nrm2 h 0 j.
  rewrite /frob exchange_big; apply: eq_bigr => j _; rewrite mxE.
  by apply: eq_bigr => i _; rewrite expr2.
rewrite !frobE col_nrm2_relabel [RHS](reindex_inj (@perm_inj _ sigma)) /=.
by apply: eq_bigr => j _; rewrite mxE.
Qed.

End Relabel.

Section RelabelAdaptive.
Variables (R : rcfType) (d N : nat) (s : 'I_d -> R) (pi : 'S_d) (sigma : 'S_N).
Hypothesis signs_s : sign_vector s.
Local Notation table := 'M[R]_(d, N).
Implicit Types (q g m v : table) (eta lam mu tau : nat -> R).
Local Notation relabel := (relabel s pi sigma).
Local Notation relabel_abs := (relabel_abs pi sigma).
Local Notation relabel_items := (relabel_items sigma).

Lemma squares_relabel g : squares (relabel g) = relabel_abs (squares g).
Proof. by apply/matrixP => i j; rewrite !mxE exprMn sign_sqr // mul1r. Qed.

Lemma per_entry_relabel m v eps :
  per_entry (relabel m) (relabel_abs v) eps = relabel (per_entry m v eps).
Proof. by apply/matrixP => i j; rewrite !mxE mulrA. Qed.

Lemma per_column_relabel m (v : 'rV[R]_N) eps :
  per_column (relabel m) (relabel_items v) eps = relabel (per_column m v eps).
Proof. by apply/matrixP => i j; rewrite !mxE mulrA. Qed.

Lemma rowwise_adagrad_relabels eps eta :
  intertwines (fun a a' => a' = relabel_items a) relabel relabel
    (rowwise_adagrad eps eta : rule R d N 'rV[R]_N) (rowwise_adagrad eps eta).
Proof.
move=> t a a' q g ->; rewrite /rowwise_adagrad /= col_nrm2_relabel //.
rewrite -relabel_itemsZ -relabel_itemsD; split=> //.
by rewrite per_column_relabel -relabelZ -relabelB.
Qed.

Lemma adagrad_relabels eps eta :
  intertwines (fun a a' => a' = relabel_abs a) relabel relabel
    (adagrad eps eta : rule R d N table) (adagrad eps eta).
Proof.
move=> t a a' q g ->; rewrite /adagrad /= squares_relabel -relabel_absD; split=> //.
by rewrite per_entry_relabel -relabelZ -relabelB.
Qed.

Lemma adam_relabels eps b1 b2 eta lam mu :
  intertwines (fun a a' => a'.1 = relabel a.1 /\ a'.2 = relabel_abs a.2) relabel relabel
    (adam eps b1 b2 eta lam mu : rule R d N (table * table)) (adam eps b1 b2 eta lam mu).
Proof.
move=> t [m v] [m' v'] q g /= [-> ->].
rewrite -!relabelZ -relabelD squares_relabel -!relabelZ -relabelD -!relabel_absZ -relabel_absD.
by split=> //; rewrite -!relabelZ -!relabel_absZ per_entry_relabel -relabelZ -relabelB.
Qed.

Lemma rowwise_adam_relabels eps b1 b2 eta mu :
  intertwines (fun a a' => a'.1 = relabel a.1 /\ a'.2 = relabel_items a.2) relabel relabel
    (rowwise_adam eps b1 b2 eta mu : rule R d N (table * 'rV[R]_N))
    (rowwise_adam eps b1 b2 eta mu).
Proof.
move=> t [m v] [m' v'] q g /= [-> ->]; rewrite col_nrm2_relabel //.
rewrite -!relabelZ -relabelD -!relabel_itemsZ -relabel_itemsD.
by split=> //; rewrite -!relabelZ -!relabel_itemsZ per_column_relabel -relabelZ -relabelB.
Qed.

Lemma clip_norm_relabel tau t g : clip_norm tau t (relabel g) = relabel (clip_norm tau t g).
Proof.
by rewrite /clip_norm /frob_norm frob_relabel //; case: ifP => // _; rewrite relabelZ.
Qed.

End RelabelAdaptive.
