(** * onebp-aggregation: users follow by moving aggregation, without any gradient

    OneBP (Chen and Wang 2024) trains the items by gradients and lets each user follow:
        u <- beta u + (1 - beta) v,      v the already updated row of the positive item.
    With 0 <= beta <= 1:
    - the squared norm falls short of the weighted mean of the squared norms by exactly
      beta (1 - beta) ‖u - v‖²; hence a user never leaves a ball that contains its start
      and the items it followed (one step, and whole runs);
    - unrolled, u_t = beta^t u_0 + (1 - beta) sum_(k < t) beta^(t-k-1) v_k, with weights
      that sum to one: a user is a convex combination of its past, the start fades like
      beta^t, and no gradient of a user occurs;
    - a user that is in no pair of the batch keeps its row bit by bit;
    - a user that is in several pairs of a batch: the published code reads the old row for
      each pair and lets the last write win; that is not the sequential average, and it
      forgets the earlier pairs of the batch altogether.
    Source: the rule is Chen and Wang 2024 (arXiv 2403.18227); the statements are derived
    here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** One moving aggregation. *)
Definition aggregate (R : realFieldType) (n : nat) (beta : R) (u v : 'cV[R]_n) :=
  beta *: u + (1 - beta) *: v.

(** ** One user, one step and whole runs *)
Section OneUser.
Variables (R : realFieldType) (n : nat) (beta : R).
Implicit Types (u v : 'cV[R]_n).

(** Exact defect of convexity of the squared norm. *)
Theorem aggregate_norm_identity u v :
  ‖aggregate beta u v‖² = beta * ‖u‖² + (1 - beta) * ‖v‖² - beta * (1 - beta) * ‖u - v‖².
Proof. rewrite nrm2B /aggregate nrm2D !nrm2Z dotZl dotZr !mulr2n; ring. Qed.

(** The distance to the followed row shrinks by exactly beta. *)
Theorem aggregate_contracts u v : aggregate beta u v - v = beta *: (u - v).
Proof.
by rewrite /aggregate; apply/colP => i; rewrite !mxE; set x := u i 0; set y := v i 0; ring.
Qed.

(** A run u_(t+1) = beta u_t + (1 - beta) v_t. *)
Definition follows (us vs : nat -> 'cV[R]_n) : Prop :=
  forall t, us t.+1 = aggregate beta (us t) (vs t).

(** The unrolled form: only the start and the followed rows occur. *)
Theorem unrolled us vs t : follows us vs ->
  us t = beta ^+ t *: us 0%N + (1 - beta) *: (\sum_(k < t) beta ^+ (t - k.+1) *: vs k).
Proof.
move=> uS; elim: t => [|t IH]; first by rewrite big_ord0 scaler0 addr0 scale1r.
rewrite uS /aggregate IH big_ord_recr /= subnn expr0 scale1r scalerDr scalerDr.
rewrite scalerA -exprS -addrA scalerA [beta * _]mulrC -scalerA scaler_sumr.
congr (_ + (_ *: _ + _)); apply: eq_bigr => k _.
by rewrite scalerA -exprS -subSn.
Qed.

(** The weights are those of a convex combination. *)
Theorem unrolled_weights_sum t :
  beta ^+ t + (1 - beta) * (\sum_(k < t) beta ^+ (t - k.+1)) = 1.
Proof.
elim: t => [|t IH]; first by rewrite big_ord0 mulr0 addr0.
rewrite big_ord_recr /= subnn expr0 (eq_bigr (fun k : 'I_t => beta * beta ^+ (t - k.+1))).
  rewrite -mulr_sumr exprS; move: IH; set S := \sum_(_ < t) _ => IH.
  have -> : beta * beta ^+ t + (1 - beta) * (beta * S + 1)
            = beta * (beta ^+ t + (1 - beta) * S) + (1 - beta) by ring.
  by rewrite IH; ring.
by move=> k _; rewrite -exprS -subSn.
Qed.

(** Two users that follow the same items from different starts approach each other:
    the difference of the starts is what fades like beta^t. *)
Theorem start_fades us us' vs t : follows us vs -> follows us' vs ->
  us t - us' t = beta ^+ t *: (us 0%N - us' 0%N).
Proof.
move=> uS u'S; rewrite (unrolled t uS) (unrolled t u'S) scalerBr opprD addrACA subrr.
by rewrite addr0.
Qed.

Hypothesis beta01 : 0 <= beta <= 1.

Theorem aggregate_norm_convex u v :
  ‖aggregate beta u v‖² <= beta * ‖u‖² + (1 - beta) * ‖v‖².
Proof.
have /andP[b0 b1] := beta01; rewrite aggregate_norm_identity ler_subl_addr ler_addl.
by apply: mulr_ge0 (nrm2_ge0 _); rewrite mulr_ge0 ?subr_ge0.
Qed.

(** A ball that contains both rows contains the result. *)
Theorem aggregate_ball u v B : ‖u‖² <= B -> ‖v‖² <= B -> ‖aggregate beta u v‖² <= B.
Proof.
have /andP[b0 b1] := beta01 => uB vB; apply: le_trans (aggregate_norm_convex u v) _.
have -> : B = beta * B + (1 - beta) * B by ring.
by rewrite ler_add // ler_wpmul2l ?subr_ge0.
Qed.

(** The same for a ball around any centre. *)
Corollary aggregate_ball_around c u v B :
  ‖u - c‖² <= B -> ‖v - c‖² <= B -> ‖aggregate beta u v - c‖² <= B.
Proof.
move=> uB vB; suff -> : aggregate beta u v - c = aggregate beta (u - c) (v - c).
  exact: aggregate_ball.
rewrite /aggregate; apply/colP => i; rewrite !mxE.
by set x := u i 0; set y := v i 0; set z := c i 0; ring.
Qed.

Corollary aggregate_norm_max u v : ‖aggregate beta u v‖² <= Num.max ‖u‖² ‖v‖².
Proof. by apply: aggregate_ball; rewrite le_maxr lexx ?orbT. Qed.

(** A whole run stays in the ball. *)
Theorem run_ball us vs t B : follows us vs ->
  ‖us 0%N‖² <= B -> (forall k, (k < t)%N -> ‖vs k‖² <= B) -> ‖us t‖² <= B.
Proof.
move=> uS u0; elim: t => [|t IH] vB //; rewrite uS; apply: aggregate_ball (vB _ _) => //.
by apply: IH => k kt; apply: vB; apply: ltnW.
Qed.

End OneUser.

(** ** A batch: tables of users and items *)
Section Batch.
Variables (R : realFieldType) (d : nat) (user item : eqType) (beta : R).
Implicit Types (U : user -> 'cV[R]_d) (V : item -> 'cV[R]_d) (b : seq (user * item)).

(** Put one row into a table. *)
Definition put U (w : user) (r : 'cV[R]_d) : user -> 'cV[R]_d :=
  fun y => if y == w then r else U y.

(** The published step: each pair reads the old table [U], the writes come one after the
    other into [acc].  [V] is the item table after the items' own step. *)
Fixpoint follow_last U V (acc : user -> 'cV[R]_d) b :=
  if b is (w, i) :: b' then follow_last U V (put acc w (aggregate beta (U w) (V i))) b'
  else acc.
Definition users_last U V b := follow_last U V U b.

(** The sequential average: each pair reads what the pairs before it wrote. *)
Fixpoint users_sequential U V b :=
  if b is (w, i) :: b' then users_sequential (put U w (aggregate beta (U w) (V i))) V b'
  else U.

(** The items that a user is paired with in the batch, in order. *)
Definition items_of (w : user) b : seq item := [seq p.2 | p <- b & p.1 == w].

Lemma follow_lastE U V acc b w :
  follow_last U V acc b w =
  last (acc w) [seq aggregate beta (U w) (V i) | i <- items_of w b].
Proof.
elim: b acc => [|[y i] b IH] acc //=; rewrite IH /items_of /= [y == w]eq_sym /put.
by case: eqP => [->|_].
Qed.

(** Last write wins: the user's new row is one aggregation of the *old* row with the last
    item of the batch; earlier pairs leave no trace. *)
Theorem users_last_row U V b w :
  users_last U V b w = last (U w) [seq aggregate beta (U w) (V i) | i <- items_of w b].
Proof. exact: follow_lastE. Qed.

(** Sequential: the aggregations follow each other. *)
Theorem users_sequential_row U V b w :
  users_sequential U V b w = foldl (fun u i => aggregate beta u (V i)) (U w) (items_of w b).
Proof.
elim: b U => [|[y i] b IH] U //=; rewrite IH /items_of /= [y == w]eq_sym /put.
by case: eqP => [->|_].
Qed.

Lemma items_of_nil w b : w \notin [seq p.1 | p <- b] -> items_of w b = [::].
Proof.
rewrite /items_of; elim: b => [|[y i] b IH] //=; rewrite inE negb_or => /andP[xy /IH].
by rewrite eq_sym (negPf xy).
Qed.

(** A user that nobody looked up stays where it is, under both conventions. *)
Theorem untouched_users_stay U V b w : w \notin [seq p.1 | p <- b] ->
  users_last U V b w = U w /\ users_sequential U V b w = U w.
Proof. by move=> /items_of_nil e; rewrite users_last_row users_sequential_row e. Qed.

(** With no user twice in the batch, the two conventions agree. *)
Theorem conventions_agree U V b w : uniq [seq p.1 | p <- b] ->
  users_last U V b w = users_sequential U V b w.
Proof.
rewrite users_last_row users_sequential_row.
elim: b => [|[y i] b IH] //= /andP[yb /IH {}IH].
have cons : items_of w ((y, i) :: b) = if y == w then i :: items_of w b else items_of w b.
  by rewrite /items_of /=; case: eqP.
by rewrite cons; case: eqP yb => [->|_] // /items_of_nil ->.
Qed.

(** A batch keeps every user in a ball that contains the users and the updated items. *)
Theorem batch_ball U V b B : 0 <= beta <= 1 ->
  (forall w, ‖U w‖² <= B) -> (forall i, ‖V i‖² <= B) ->
  forall w, ‖users_last U V b w‖² <= B /\ ‖users_sequential U V b w‖² <= B.
Proof.
move=> b01 UB VB w; rewrite users_last_row users_sequential_row; split.
  suff H s a : ‖a‖² <= B -> ‖last a [seq aggregate beta (U w) (V i) | i <- s]‖² <= B.
    exact: H.
  by elim: s a => [|i s IH] a aB //=; apply: IH; apply: aggregate_ball.
elim: (items_of w b) {UB}(U w) (UB w) => [|i s IH] u uB //=.
by apply: IH; apply: aggregate_ball.
Qed.

End Batch.

(** ** The two conventions for a repeated user differ *)
Section Witness.
Variable R : realFieldType.

(** One user at the origin, beta = 1/2, followed items e1 then e2 in one batch: the last
    write gives (0, 1/2), the sequential average (1/4, 1/2). *)
Theorem repeated_user_conventions_differ :
  let U (_ : unit) : 'cV[R]_2 := 0 in
  let V (i : bool) : 'cV[R]_2 := if i then vec2 1 0 else vec2 0 1 in
  let b := [:: (tt, true); (tt, false)] in
  users_last 2%:R^-1 U V b tt = vec2 0 2%:R^-1 /\
  users_sequential 2%:R^-1 U V b tt = vec2 4%:R^-1 2%:R^-1.
Proof.
rewrite /users_last /= /put /= /aggregate; split; apply/colP => i; rewrite !mxE /=.
  by case: ifP => _; field; rewrite ?pnatr_eq0.
by case: ifP => _; field; rewrite ?pnatr_eq0.
Qed.

Let half : R := 2%:R^-1.

(** The hypotheses of [run_ball] hold together, and the conclusion is strict: a user that
    starts at norm 2 and follows the origin with beta = 1/2 halves its norm each step. *)
Example run_ball_instance :
  exists us vs : nat -> 'cV[R]_2,
  [/\ 0 <= half <= 1, follows half us vs, ‖us 0%N‖² <= 4%:R,
      (forall k, (k < 3)%N -> ‖vs k‖² <= 4%:R) & ‖us 1%N‖² = 1].
Proof.
exists (fun t => half ^+ t *: vec2 2%:R 0), (fun _ => 0); split.
- by rewrite invr_ge0 ler0n invf_le1 ?ltr0n // ler1n.
- by move=> t; rewrite /aggregate scaler0 addr0 scalerA -exprS.
- by rewrite expr0 scale1r vec2E mulr0 addr0 -natrM.
- by move=> k _; rewrite dot0l ler0n.
- by rewrite expr1 !vec2E /half; field; rewrite ?pnatr_eq0.
Qed.

(** beta inside [0, 1] is needed: with beta = 2 a step leaves the ball. *)
Example beta_outside_leaves_ball :
  let u : 'cV[R]_2 := vec2 1 0 in let v : 'cV[R]_2 := vec2 0 1 in
  [/\ ‖u‖² <= 1, ‖v‖² <= 1 & ‖aggregate 2%:R u v‖² = 5%:R].
Proof.
by move=> u v; rewrite /u /v /aggregate !vec2E; split; rewrite ?(mulr0, mulr1, addr0, add0r) //; ring.
Qed.

End Witness.

(** ** The hypotheses hold together *)
Section NonVacuity.
Let Q := rat_realFieldType.
Let b01 : 0 <= (0 : Q) <= 1. Proof. by []. Qed.
Let z : 'cV[Q]_1 := 0.
Let z0 : ‖z‖² <= (0 : Q). Proof. by rewrite dot0l. Qed.
Let run0 : follows (0 : Q) (fun _ => z) (fun _ => z).
Proof. by move=> t; rewrite /aggregate !scaler0 addr0. Qed.

Example unrolled_nonvacuous : nonvacuous unrolled.
Proof. by move=> H; apply: (H _ _ _ _ _ 0%N run0). Qed.

Example start_fades_nonvacuous : nonvacuous start_fades.
Proof. by move=> H; apply: (H _ _ _ _ _ _ 0%N run0 run0). Qed.

Example aggregate_norm_convex_nonvacuous : nonvacuous aggregate_norm_convex.
Proof. by move=> H; apply: (H _ 1%N _ b01 z z). Qed.

Example aggregate_ball_nonvacuous : nonvacuous aggregate_ball.
Proof. by move=> H; apply: (H _ _ _ b01 z z 0 z0 z0). Qed.

Example aggregate_ball_around_nonvacuous : nonvacuous aggregate_ball_around.
Proof. by move=> H; apply: (H _ _ _ b01 z z z 0); rewrite subrr z0. Qed.

Example aggregate_norm_max_nonvacuous : nonvacuous aggregate_norm_max.
Proof. by move=> H; apply: (H _ 1%N _ b01 z z). Qed.

Example run_ball_nonvacuous : nonvacuous run_ball.
Proof. by move=> H; apply: (H _ _ _ b01 _ _ 0%N 0 run0 z0). Qed.

Example untouched_users_stay_nonvacuous : nonvacuous untouched_users_stay.
Proof.
move=> H; apply: (H Q 1%N bool_eqType bool_eqType 0 (fun _ => 0) (fun _ => 0) [:: (true, true)] false).
by [].
Qed.

Example conventions_agree_nonvacuous : nonvacuous conventions_agree.
Proof.
move=> H; apply: (H Q 1%N bool_eqType bool_eqType 0 (fun _ => 0) (fun _ => 0)
  [:: (true, true); (false, true)] true).
by [].
Qed.

Example batch_ball_nonvacuous : nonvacuous batch_ball.
Proof.
by move=> H; apply: (H Q 1%N bool_eqType bool_eqType 0 (fun _ => z) (fun _ => z) [::] 0 b01) true.
Qed.

End NonVacuity.
