(** * masked-labels: the auxiliary labels of a cohort, and their partial conflict

    For a row with label y (0 or 1) and a set of rows called a cohort, the masked label is
    y 1[row in cohort].  With cohorts head and tail:
    - a cohort and its complement split the label: y_head + y_rest = y, and disjoint cohorts
      that cover all rows split it likewise;
    - a positive outside both cohorts (a majority positive) has the labels (1, 0, 0): the
      primary head is told 1 and both auxiliary heads are told 0;
    - the binary cross entropy is affine in the label, so the auxiliary loss of head is the
      primary loss on the rows of the cohort and the loss of an all-negative row elsewhere;
      the losses of a cohort and of its complement add up to the primary loss plus that of
      an all-negative data set;
    - conflict is partial and precisely located: for predictions strictly between 0 and 1 the
      residuals p - y of the primary and p_head - y_head of the auxiliary head have opposite
      signs on the positives outside the cohort, and equal signs on all other rows.
    [pos] and [neg] stand for the two values - ln p and - ln (1 - p); nothing else about the
    logarithm is used, so everything holds over any ordered field.
    Source: the labels as described for C2AL (arXiv 2510.02215); derived here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Labels.
Variables (R : realFieldType) (row : finType).
Implicit Types (head tail : {set row}) (y : row -> bool) (r : row).

(** The masked label: positive inside the cohort only. *)
Definition masked y (cohort : {set row}) r : bool := y r && (r \in cohort).

(** A label as a number. *)
Definition value (b : bool) : R := b%:R.

(** As numbers, masking multiplies by the indicator of the cohort. *)
Theorem masked_is_product y cohort r :
  value (masked y cohort r) = value (y r) * value (r \in cohort).
Proof. by rewrite /value /masked; case: (y r); rewrite /= ?mul1r ?mul0r. Qed.

Theorem cohort_and_rest_split_label y cohort r :
  value (masked y cohort r) + value (masked y (~: cohort) r) = value (y r).
Proof.
rewrite /value /masked in_setC; case: (y r) => /=; last by rewrite addr0.
by case: (r \in cohort); rewrite /= ?addr0 ?add0r.
Qed.

(** Cohorts that partition the rows partition the label. *)
Theorem partition_splits_label y (C : {set {set row}}) r :
  partition C setT -> \sum_(cohort in C) value (masked y cohort r) = value (y r).
Proof.
case/and3P=> /eqP cov tri _; have rC : r \in cover C by rewrite cov inE.
rewrite (bigD1 (pblock C r)) ?pblock_mem //= big1 => [|B /andP[BC Bne]].
  by rewrite addr0 /masked mem_pblock rC andbT.
rewrite /masked /value; case: (boolP (r \in B)) => [rB|_]; last by rewrite andbF.
by move: Bne; rewrite (def_pblock tri BC rB) eqxx.
Qed.

(** Disjoint cohorts never mark a row twice. *)
Theorem disjoint_cohorts_bound y head tail r : [disjoint head & tail] ->
  value (masked y head r) + value (masked y tail r) <= value (y r).
Proof.
move=> dis; rewrite /value /masked; case: (y r) => /=; last by rewrite addr0.
case: (boolP (r \in head)) => [rh|_]; last by case: (_ \in _); rewrite add0r ?ler01.
by rewrite (disjointFr dis rh) addr0.
Qed.

(** The label triple of a row: primary, head, tail. *)
Definition triple y head tail r : bool * bool * bool :=
  (y r, masked y head r, masked y tail r).

Theorem majority_positive_triple y head tail r :
  triple y head tail r = (true, false, false) <-> y r /\ r \notin head :|: tail.
Proof.
rewrite /triple /masked in_setU; case: (y r); case: (_ \in _); case: (_ \in _);
  by split=> // [[]].
Qed.

(** A negative row is negative for every head: (0,0,0). *)
Theorem negative_triple y head tail r : y r = false -> triple y head tail r = (false, false, false).
Proof. by rewrite /triple /masked => ->. Qed.

(** ** Binary cross entropy *)

(** [pos] = - ln p is what a positive costs, [neg] = - ln (1 - p) what a negative costs. *)
Definition bce (label pos neg : R) : R := label * pos + (1 - label) * neg.

(** Cross entropy is affine in the label: masking moves a row's positive cost to its
    negative cost. *)
Theorem masked_bce_row y cohort r pos neg :
  bce (value (masked y cohort r)) pos neg =
  if r \in cohort then bce (value (y r)) pos neg else neg.
Proof.
rewrite /masked; case: (r \in cohort); first by rewrite andbT.
by rewrite andbF /bce /value mul0r add0r subr0 mul1r.
Qed.

Variables (pos neg : row -> R).

(** The total loss against a labelling. *)
Definition total (label : row -> R) : R := \sum_r bce (label r) (pos r) (neg r).

(** The auxiliary loss: the primary loss inside the cohort, all-negative outside. *)
Theorem masked_bce_decomposition y cohort :
  total (fun r => value (masked y cohort r)) =
  (\sum_(r in cohort) bce (value (y r)) (pos r) (neg r)) + \sum_(r in ~: cohort) neg r.
Proof.
rewrite /total (bigID (mem cohort)) /=; congr (_ + _).
  by apply: eq_bigr => r rc; rewrite masked_bce_row rc.
apply: eq_big => [r|r /negPf rc]; first by rewrite in_setC.
by rewrite masked_bce_row rc.
Qed.

(** The losses of a cohort and of its complement, with the same predictions. *)
Theorem cohort_and_rest_losses y cohort :
  total (fun r => value (masked y cohort r)) + total (fun r => value (masked y (~: cohort) r))
  = total (fun r => value (y r)) + total (fun _ => 0).
Proof.
rewrite /total -!big_split /=; apply: eq_bigr => r _.
rewrite -(cohort_and_rest_split_label y cohort r) /bce.
set a := value _; set b := value _; set p := pos r; set q := neg r; ring.
Qed.

(** ** Where the heads pull apart *)

(** The gradient of the cross entropy in the logit is the residual p - y; the primary and
    the auxiliary residual have opposite signs exactly on the positives outside the cohort. *)
Theorem conflict_iff y cohort r (p p' : R) : 0 < p < 1 -> 0 < p' < 1 ->
  ((p - value (y r)) * (p' - value (masked y cohort r)) < 0) =
  y r && (r \notin cohort).
Proof.
move=> /andP[p0 p1] /andP[q0 q1]; rewrite /masked /value.
case: (y r); case: (_ \in _); rewrite /= ?subr0.
- by apply/negbTE; rewrite -leNgt -mulrNN mulr_ge0 // oppr_ge0 subr_le0 ltW.
- by rewrite pmulr_llt0 // subr_lt0.
- by apply/negbTE; rewrite -leNgt mulr_ge0 // ltW.
- by apply/negbTE; rewrite -leNgt mulr_ge0 // ltW.
Qed.

End Labels.

(** ** The hypotheses hold together *)
Section NonVacuity.
Let Q := rat_realFieldType.

Example partition_splits_label_nonvacuous : nonvacuous partition_splits_label.
Proof.
move=> H; apply: (H Q bool_finType (fun=> true) [set [set: bool]] true).
rewrite /partition /cover big_set1 eqxx /= inE; apply/andP; split.
  apply/trivIsetP => A B; rewrite !inE => /eqP -> /eqP ->; by rewrite eqxx.
by rewrite eq_sym -cards_eq0 cardsT card_bool.
Qed.

Example disjoint_cohorts_bound_nonvacuous : nonvacuous disjoint_cohorts_bound.
Proof.
move=> H; apply: (H Q bool_finType (fun=> true) [set true] [set false] true).
by rewrite disjoints1 inE.
Qed.

Example negative_triple_nonvacuous : nonvacuous negative_triple.
Proof. by move=> H; apply: (H bool_finType (fun=> false) set0 set0 true). Qed.

Example conflict_iff_nonvacuous : nonvacuous conflict_iff.
Proof. by move=> H; apply: (H Q bool_finType (fun=> true) set0 true 2%:R^-1 2%:R^-1). Qed.

End NonVacuity.
