(** * onebp-negatives-free: the user's update sees no negative

    In OneBP the items are trained against sampled negatives, and each user then follows
    the updated row of its positive item: u <- beta u + (1 - beta) v.  No negative occurs
    in that rule:
    - the new user table is a function of the old users and of the updated rows of the
      positives only: two steps that differ in their negatives, and in whatever these did
      to rows that are no positive of the batch, give the same users;
    - hence, if the update of the positive rows does not depend on the negatives (losses
      that are a sum of a positive and a negative part, with no row in both roles), neither
      does the user table, for a whole run as long as this holds;
    - in contrast, where users are trained by gradients, a negative enters the user's step;
    - the independence concerns the aggregation itself: a loss that compares the scores of
      the positive and the negative gives the positive row a step that depends on the
      negative, and the user follows that row.  A rational witness shows it, so "free of
      negatives" must not be read as "unaffected by the choice of negatives".
    Source: the rule is Chen and Wang 2024 (arXiv 2403.18227); the statements are derived
    here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv OnebpAggregation NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Step.
Variables (R : realFieldType) (d : nat) (user item : eqType) (beta : R).
Implicit Types (U : user -> 'cV[R]_d) (V : item -> 'cV[R]_d).

(** A batch: pairs of user and positive item, and for each pair its negatives. *)
Definition batch := seq (user * item * seq item).
Implicit Type b : batch.
Definition pairs b : seq (user * item) := [seq p.1 | p <- b].
Definition positives b : seq item := [seq p.1.2 | p <- b].
Definition negatives b : seq item := flatten [seq p.2 | p <- b].

(** Any way of training the items: it may use users, items and negatives. *)
Definition item_step := (user -> 'cV[R]_d) -> (item -> 'cV[R]_d) -> batch -> item -> 'cV[R]_d.

(** One step of OneBP: items first, then the users follow the updated rows. *)
Definition onebp_step (train : item_step) (m : (user -> 'cV[R]_d) * (item -> 'cV[R]_d)) b :=
  let V' := train m.1 m.2 b in (users_last beta m.1 V' (pairs b), V').

Lemma items_of_positives w b i : i \in items_of w (pairs b) -> i \in positives b.
Proof.
rewrite /items_of /pairs => /mapP[[y j]]; rewrite mem_filter /= => /andP[_ /mapP[p pb e] ->].
by apply/mapP; exists p; rewrite // -e.
Qed.

(** The users after the step depend on the updated rows of the positives only. *)
Theorem users_depend_on_positives_only U V1 V2 b1 b2 :
  pairs b1 = pairs b2 -> (forall i, i \in positives b1 -> V1 i = V2 i) ->
  users_last beta U V1 (pairs b1) =1 users_last beta U V2 (pairs b2).
Proof.
move=> e V12 w; rewrite !users_last_row -e; congr (last _ _).
by apply/eq_in_map => i /items_of_positives /V12 ->.
Qed.

(** The item update treats the positive rows without looking at the negatives. *)
Definition positives_ignore_negatives (train : item_step) := forall U V b1 b2,
  pairs b1 = pairs b2 -> forall i, i \in positives b1 -> train U V b1 i = train U V b2 i.

(** One step: other negatives, the same users. *)
Theorem user_update_negatives_free train m b1 b2 :
  positives_ignore_negatives train -> pairs b1 = pairs b2 ->
  (onebp_step train m b1).1 =1 (onebp_step train m b2).1.
Proof.
by move=> ign e; apply: users_depend_on_positives_only => // i ib; apply: ign.
Qed.

(** The rule itself takes no negative: given the updated item table, a user's new row is
    the same whatever the negatives of the batch were. *)
Theorem aggregation_has_no_negatives U V' (b : seq (user * item)) (neg1 neg2 : seq (seq item)) :
  size neg1 = size b -> size neg2 = size b ->
  users_last beta U V' (pairs (zip b neg1)) =1 users_last beta U V' (pairs (zip b neg2)).
Proof. by move=> s1 s2 w; rewrite /pairs -/(unzip1 _) -/(unzip1 _) !unzip1_zip ?s1 ?s2. Qed.

End Step.

(** ** Contrast: gradient training of the user does see the negative *)
Section Contrast.
Variables (R : realFieldType) (d : nat).
Implicit Types (u p n : 'cV[R]_d).

(** The squared hinge of the margin, inside its active region: (1 - <u,p> + <u,n>)² / 2. *)
Definition margin u p n : R := 1 - ⟨u, p⟩ + ⟨u, n⟩.
Definition margin_loss u p n : R := margin u p n ^+ 2 / 2%:R.

Lemma square_deriv (E : lmodType R) (f : E -> R) q v (a : R) :
  (forall h, f (q + h *: v) = f q + h * a) ->
  is_deriv (fun x => f x ^+ 2 / 2%:R) q v (f q * a).
Proof.
move=> fE e e0.
have c1 : 0 < a ^+ 2 / 2%:R + 1 by apply: ltr_paddl; rewrite ?ltr01 // divr_ge0 ?sqr_ge0 ?ler0n.
exists (e / (a ^+ 2 / 2%:R + 1)) => [|h h0 hd]; first exact: divr_gt0.
rewrite fE; have -> : ((f q + h * a) ^+ 2 / 2%:R - f q ^+ 2 / 2%:R) / h - f q * a
  = h * (a ^+ 2 / 2%:R) by field; rewrite ?h0 ?pnatr_eq0.
rewrite normrM (ger0_norm (_ : 0 <= a ^+ 2 / 2%:R)) ?divr_ge0 ?sqr_ge0 ?ler0n //.
rewrite ltr_pdivl_mulr // in hd; apply: (le_lt_trans _ hd).
by rewrite ler_wpmul2l ?normr_ge0 // ler_addl ler01.
Qed.

(** The three gradients: of the positive row, of the negative row, of the user. *)
Lemma margin_grad_positive u p n :
  is_grad (fun x => margin_loss u x n) p (- margin u p n *: u).
Proof.
move=> v; rewrite dotZl -mulrN1 -mulrA; have := @square_deriv _ (fun x => margin u x n) p v (- ⟨u, v⟩).
rewrite mulN1r; apply=> h; rewrite /margin dotDr dotZr.
by set x := ⟨u, p⟩; set y := ⟨u, v⟩; set z := ⟨u, n⟩; ring.
Qed.

Lemma margin_grad_user u p n :
  is_grad (fun x => margin_loss x p n) u (margin u p n *: (n - p)).
Proof.
move=> v; rewrite dotZl dotBl; have := @square_deriv _ (fun x => margin x p n) u v (⟨n, v⟩ - ⟨p, v⟩).
apply=> h; rewrite /margin !dotDl !dotZl ![⟨v, _⟩]dotC.
by set x := ⟨u, p⟩; set y := ⟨n, v⟩; set z := ⟨u, n⟩; set t := ⟨p, v⟩; ring.
Qed.

(** A user trained by gradients moves along the negative row with a coefficient that is not
    zero; one that follows by aggregation has no such term. *)
Theorem gradient_user_sees_negative u p n eta :
  u - eta *: (margin u p n *: (n - p))
  = (u + (eta * margin u p n) *: p) - (eta * margin u p n) *: n.
Proof. by rewrite scalerA scalerBr opprB addrA. Qed.

End Contrast.

(** ** The independence is that of the aggregation, not of the trained positive row *)
Section Witness.
Variable R : realFieldType.

(** One user u = (1,0), positive p = (0,0), learning rate 1, beta = 1/2, loss (1 - <u,p> +
    <u,n>)²/2, gradient derived above.  With the negative n = (0,1) the positive row moves
    to (1,0) and the user stays at (1,0); with n = (1,0) the positive row moves to (2,0) and
    the user to (3/2,0). *)
Theorem negatives_act_through_the_positive :
  let u : 'cV[R]_2 := vec2 1 0 in let p : 'cV[R]_2 := 0 in
  let n1 : 'cV[R]_2 := vec2 0 1 in let n2 : 'cV[R]_2 := vec2 1 0 in
  exists g1 g2 : 'cV[R]_2,
  [/\ is_grad (fun x => margin_loss u x n1) p g1, is_grad (fun x => margin_loss u x n2) p g2,
      aggregate 2%:R^-1 u (p - g1) = vec2 1 0
    & aggregate 2%:R^-1 u (p - g2) = vec2 (3%:R / 2%:R) 0].
Proof.
move=> u p n1 n2; exists (- margin u p n1 *: u), (- margin u p n2 *: u).
split; try exact: margin_grad_positive.
  have -> : p - - margin u p n1 *: u = vec2 1 0.
    by rewrite /margin /p /u /n1 !dot0r !vec2E add0r; congr vec2; ring.
  by rewrite /aggregate /u !vec2E; congr vec2; field; rewrite ?pnatr_eq0.
have -> : p - - margin u p n2 *: u = vec2 2%:R 0.
  by rewrite /margin /p /u /n2 !dot0r !vec2E add0r; congr vec2; ring.
by rewrite /aggregate /u !vec2E; congr vec2; field; rewrite ?pnatr_eq0.
Qed.

(** The hypothesis of [user_update_negatives_free] can be met by an update that does move
    items: each positive moves by a fixed vector, each pure negative by its opposite. *)
Example separable_update_ignores_negatives (t : 'cV[R]_2) :
  @positives_ignore_negatives R 2 bool_eqType bool_eqType
    (fun _ V b i => if i \in positives b then V i + t
                    else if i \in negatives b then V i - t else V i).
Proof.
move=> U V b1 b2 e i ib; have pos b : positives b = [seq p.2 | p <- pairs b].
  by rewrite /positives /pairs -map_comp.
by rewrite ib; move: ib; rewrite !pos e => ->.
Qed.

End Witness.

(** ** The hypotheses hold together *)
Section NonVacuity.
Let Q := rat_realFieldType.

Example users_depend_on_positives_only_nonvacuous : nonvacuous users_depend_on_positives_only.
Proof.
move=> H; apply: (H Q 2%N bool_eqType bool_eqType 0 (fun _ => 0) (fun _ => 0)
  (fun i => if i then 0 else vec2 1 1) [:: (true, true, [:: false])] [:: (true, true, [::])]) => //.
by move=> i; rewrite inE => /eqP ->.
Qed.

Example user_update_negatives_free_nonvacuous : nonvacuous user_update_negatives_free.
Proof.
move=> H; apply: (H Q 2%N bool_eqType bool_eqType 0 _ (fun _ => 0, fun _ => 0)
  [:: (true, true, [:: false])] [:: (true, true, [::])] (separable_update_ignores_negatives (vec2 1 1))).
by [].
Qed.

Example aggregation_has_no_negatives_nonvacuous : nonvacuous aggregation_has_no_negatives.
Proof.
move=> H; apply: (H Q 2%N bool_eqType bool_eqType 0 (fun _ => 0) (fun _ => 0)
  [:: (true, true)] [:: [:: false]] [:: [::]]) => //.
Qed.

End NonVacuity.
