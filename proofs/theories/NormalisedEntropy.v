(** * normalised-entropy: cross entropy measured against the base rate

    For rows with labels y in [0,1] and predictions p, normalised entropy is
        NE = mean BCE / H(base rate),     BCE(y,p) = - (y ln p + (1-y) ln (1-p)),
    H(b) = - (b ln b + (1-b) ln (1-b)).  For a base rate b strictly between 0 and 1:
    - the constant predictor p = b has NE exactly 1, and no other constant predictor reaches
      1 (Gibbs' inequality, with its case of equality);
    - NE >= 0 for predictions strictly between 0 and 1, and NE < 1 iff the predictions beat
      the base rate in mean cross entropy;
    - NE depends neither on the order of the rows nor on how often the whole data set is
      repeated nor on the base of the logarithm;
    - the numerator of the whole is the mean of the numerators of the cohorts, weighted by
      their numbers of rows; the NE of cohorts do not average to the NE of the whole, because
      each cohort is measured against its own base rate.
    Over Coq's real numbers, for the logarithm.  Source: normalised entropy as in He et al.
    2014; Gibbs' inequality classical; proofs derived here from ln x <= x - 1. *)
From Coq Require Import Reals Lra Psatz List Permutation.
From Perpend Require Import NonVacuous.
Import ListNotations.
Local Open Scope R_scope.

(** A row: label and prediction. *)
Definition data := list (R * R).

Definition bce (y p : R) : R := - (y * ln p + (1 - y) * ln (1 - p)).
Definition entropy (b : R) : R := bce b b.

Fixpoint sum (f : R * R -> R) (s : data) : R :=
  match s with [] => 0 | r :: s' => f r + sum f s' end.

Definition rows (s : data) : R := INR (length s).
Definition mean (f : R * R -> R) (s : data) : R := sum f s / rows s.
Definition base_rate (s : data) : R := mean fst s.
Definition mean_bce (s : data) : R := mean (fun r => bce (fst r) (snd r)) s.

(** Normalised entropy. *)
Definition ne (s : data) : R := mean_bce s / entropy (base_rate s).

(** The same labels with a constant prediction. *)
Definition predict (p : R) (s : data) : data := map (fun r => (fst r, p)) s.

(** Labels and predictions in range, and at least one of each kind of mass. *)
Definition valid (s : data) : Prop :=
  Forall (fun r => 0 <= fst r <= 1 /\ 0 < snd r < 1) s.

(** ** The logarithm *)

Lemma ln_le_sub1 x : 0 < x -> ln x <= x - 1.
Proof.
intros x0; destruct (Req_dec x 1) as [->|ne]; [rewrite ln_1; lra|].
rewrite <- (ln_exp (x - 1)); left; apply ln_increasing; [lra|].
replace x with (1 + (x - 1)) at 1 by ring; apply exp_ineq1; lra.
Qed.

Lemma ln_lt_sub1 x : 0 < x -> x <> 1 -> ln x < x - 1.
Proof.
intros x0 ne; rewrite <- (ln_exp (x - 1)); apply ln_increasing; [lra|].
replace x with (1 + (x - 1)) at 1 by ring; apply exp_ineq1; lra.
Qed.

Lemma ln_neg p : 0 < p < 1 -> ln p < 0.
Proof. intros [p0 p1]; rewrite <- ln_1; apply ln_increasing; lra. Qed.

Lemma ln_quotient x y : 0 < x -> 0 < y -> ln (x / y) = ln x - ln y.
Proof.
intros x0 y0; unfold Rdiv; rewrite ln_mult, ln_Rinv; try lra.
apply Rinv_0_lt_compat; lra.
Qed.

(** ** Gibbs' inequality *)

(** b ln(p/b) <= p - b, strictly unless p = b. *)
Lemma gibbs_half b p : 0 < b -> 0 < p -> b * ln p - b * ln b <= p - b.
Proof.
intros b0 p0; assert (pb : 0 < p / b) by (apply Rdiv_lt_0_compat; lra).
assert (h := ln_le_sub1 (p / b) pb).
rewrite ln_quotient in h by lra.
apply Rmult_le_compat_l with (r := b) in h; [|lra].
replace (b * (p / b - 1)) with (p - b) in h by (field; lra); lra.
Qed.

Lemma gibbs_half_strict b p : 0 < b -> 0 < p -> p <> b -> b * ln p - b * ln b < p - b.
Proof.
intros b0 p0 pb; assert (q0 : 0 < p / b) by (apply Rdiv_lt_0_compat; lra).
assert (q1 : p / b <> 1).
  intros e; apply pb; replace p with (p / b * b) by (field; lra); rewrite e; ring.
assert (h := ln_lt_sub1 (p / b) q0 q1).
rewrite ln_quotient in h by lra.
apply Rmult_lt_compat_l with (r := b) in h; [|lra].
replace (b * (p / b - 1)) with (p - b) in h by (field; lra); lra.
Qed.

(** No prediction costs less, in the mean over a label of rate b, than b itself. *)
Theorem gibbs b p : 0 < b < 1 -> 0 < p < 1 -> entropy b <= bce b p.
Proof.
intros hb hp; unfold entropy, bce.
assert (h1 := gibbs_half b p ltac:(lra) ltac:(lra)).
assert (h2 := gibbs_half (1 - b) (1 - p) ltac:(lra) ltac:(lra)); lra.
Qed.

Theorem gibbs_equality b p : 0 < b < 1 -> 0 < p < 1 -> bce b p = entropy b -> p = b.
Proof.
intros hb hp e; destruct (Req_dec p b) as [|pb]; [assumption|exfalso]; revert e.
unfold entropy, bce.
assert (h1 := gibbs_half_strict b p ltac:(lra) ltac:(lra) pb).
assert (h2 := gibbs_half (1 - b) (1 - p) ltac:(lra) ltac:(lra)); lra.
Qed.

Theorem entropy_positive b : 0 < b < 1 -> 0 < entropy b.
Proof.
intros hb; unfold entropy, bce.
assert (h1 := ln_neg b hb); assert (h2 := ln_neg (1 - b) ltac:(lra)); nra.
Qed.

(** The entropy is largest at one half, where it is ln 2. *)
Theorem entropy_at_most_ln2 b : 0 < b < 1 -> entropy b <= ln 2.
Proof.
intros hb; assert (h := gibbs b (/ 2) hb ltac:(lra)).
replace (bce b (/ 2)) with (ln 2) in h; [exact h|].
unfold bce; replace (1 - / 2) with (/ 2) by lra; rewrite ln_Rinv by lra; ring.
Qed.

(** ** Sums over rows *)

Lemma sum_ext f g s : (forall r, f r = g r) -> sum f s = sum g s.
Proof. intros e; induction s as [|r s IH]; simpl; [reflexivity|rewrite e, IH; reflexivity]. Qed.

Lemma sum_app f s t : sum f (s ++ t) = sum f s + sum f t.
Proof. induction s as [|r s IH]; simpl; [ring|rewrite IH; ring]. Qed.

Lemma sum_perm f s t : Permutation s t -> sum f s = sum f t.
Proof. induction 1; simpl; try lra. Qed.

Lemma rows_app s t : rows (s ++ t) = rows s + rows t.
Proof. unfold rows; rewrite app_length; apply plus_INR. Qed.

Lemma rows_pos s : s <> [] -> 0 < rows s.
Proof. intros ne; apply lt_0_INR; destruct s; [congruence|simpl; auto with arith]. Qed.

Lemma base_rate_rows s : 0 < base_rate s -> 0 < rows s.
Proof.
intros b0; apply rows_pos; intros ->; revert b0; unfold base_rate, mean; simpl; lra.
Qed.

Lemma mean_bce_predict p s : 0 < rows s -> mean_bce (predict p s) = bce (base_rate s) p.
Proof.
intros n0; unfold mean_bce, mean, base_rate, mean.
assert (e : sum (fun r => bce (fst r) (snd r)) (predict p s) =
            - (sum fst s * ln p + (rows s - sum fst s) * ln (1 - p))).
  clear n0; induction s as [|r s IH]; simpl; [unfold rows; simpl; ring|].
  rewrite IH; unfold rows; cbn [length]; rewrite S_INR; unfold bce; simpl; ring.
rewrite e; unfold rows at 2, predict; rewrite map_length; fold (rows s).
unfold bce; field; lra.
Qed.

Lemma base_rate_predict p s : base_rate (predict p s) = base_rate s.
Proof.
unfold base_rate, mean, rows, predict; rewrite map_length; f_equal.
induction s as [|r s IH]; simpl; [reflexivity|rewrite IH; reflexivity].
Qed.

(** ** Normalised entropy *)

Lemma ne_predict p s : 0 < base_rate s -> ne (predict p s) = bce (base_rate s) p / entropy (base_rate s).
Proof.
intros b0; unfold ne; rewrite base_rate_predict, mean_bce_predict; auto using base_rate_rows.
Qed.

(** Predicting the base rate gives exactly 1. *)
Theorem base_rate_predictor_has_ne_one s :
  0 < base_rate s < 1 -> ne (predict (base_rate s) s) = 1.
Proof.
intros hb; rewrite ne_predict by lra; apply Rinv_r; apply Rgt_not_eq.
exact (entropy_positive _ hb).
Qed.

(** Every other constant predictor is worse. *)
Theorem constant_predictor_ne s p : 0 < base_rate s < 1 -> 0 < p < 1 ->
  1 <= ne (predict p s) /\ (ne (predict p s) = 1 -> p = base_rate s).
Proof.
intros hb hp; rewrite ne_predict by lra; assert (e0 := entropy_positive _ hb).
assert (g := gibbs _ _ hb hp); split.
  apply Rmult_le_reg_r with (entropy (base_rate s)); [assumption|].
  unfold Rdiv; rewrite Rmult_assoc, Rinv_l by lra; lra.
intros e; apply gibbs_equality; try assumption.
apply Rmult_eq_reg_r with (/ entropy (base_rate s)).
  rewrite Rinv_r by lra; exact e.
apply Rinv_neq_0_compat; lra.
Qed.

Lemma sum_nonneg f s : Forall (fun r => 0 <= f r) s -> 0 <= sum f s.
Proof. induction 1; simpl; lra. Qed.

(** Normalised entropy is not negative. *)
Theorem ne_nonnegative s : valid s -> 0 < base_rate s < 1 -> 0 <= ne s.
Proof.
intros v hb; unfold ne; apply Rmult_le_pos; [|left; apply Rinv_0_lt_compat, entropy_positive, hb].
unfold mean_bce, mean; apply Rmult_le_pos; [|left; apply Rinv_0_lt_compat, base_rate_rows; lra].
apply sum_nonneg; revert v; apply Forall_impl; intros [y p] [hy hp]; simpl in *; unfold bce.
assert (h1 := ln_neg p hp); assert (h2 := ln_neg (1 - p) ltac:(lra)); nra.
Qed.

(** Below 1 means: better than the base rate. *)
Theorem ne_below_one_iff s : 0 < base_rate s < 1 ->
  ne s < 1 <-> mean_bce s < mean_bce (predict (base_rate s) s).
Proof.
intros hb; rewrite mean_bce_predict by (apply base_rate_rows; lra).
fold (entropy (base_rate s)); unfold ne; assert (e0 := entropy_positive _ hb); split; intros h.
  apply Rmult_lt_compat_r with (r := entropy (base_rate s)) in h; [|assumption].
  unfold Rdiv in h; rewrite Rmult_assoc, Rinv_l in h by lra; lra.
apply Rmult_lt_reg_r with (entropy (base_rate s)); [assumption|].
unfold Rdiv; rewrite Rmult_assoc, Rinv_l by lra; lra.
Qed.

(** ** Invariance *)

Theorem ne_order_free s t : Permutation s t -> ne s = ne t.
Proof.
intros h; unfold ne, mean_bce, base_rate, mean, rows.
rewrite !(sum_perm _ _ _ h), (Permutation_length h); reflexivity.
Qed.

(** The data set repeated k times. *)
Fixpoint repeat_data (k : nat) (s : data) : data :=
  match k with O => [] | S k' => s ++ repeat_data k' s end.

Lemma mean_repeat f k s : (0 < k)%nat -> mean f (repeat_data k s) = mean f s.
Proof.
intros k0; assert (e : sum f (repeat_data k s) = INR k * sum f s).
  clear k0; induction k as [|k IH]; cbn [repeat_data]; [simpl; ring|].
  rewrite sum_app, IH, S_INR; ring.
assert (n : rows (repeat_data k s) = INR k * rows s).
  clear k0 e; induction k as [|k IH]; cbn [repeat_data]; [unfold rows; simpl; ring|].
  rewrite rows_app, IH, S_INR; ring.
assert (k1 := lt_0_INR k k0); unfold mean; rewrite e, n.
unfold Rdiv; destruct s as [|r s].
  unfold rows; simpl; ring.
assert (0 < rows (r :: s)) by (apply rows_pos; discriminate); field; lra.
Qed.

Theorem ne_repetition_free k s : (0 < k)%nat -> ne (repeat_data k s) = ne s.
Proof. intros k0; unfold ne, mean_bce, base_rate; rewrite !mean_repeat by assumption; reflexivity. Qed.

(** The base of the logarithm cancels: with log = ln / ln c both cross entropies change by
    the same factor. *)
Definition bce_base (c y p : R) : R := - (y * (ln p / ln c) + (1 - y) * (ln (1 - p) / ln c)).
Definition ne_base (c : R) (s : data) : R :=
  mean (fun r => bce_base c (fst r) (snd r)) s / bce_base c (base_rate s) (base_rate s).

Theorem ne_logarithm_base_free c s : 0 < c -> c <> 1 -> 0 < base_rate s < 1 -> ne_base c s = ne s.
Proof.
intros c0 c1 hb; assert (l0 : ln c <> 0).
  intros e; apply c1; apply ln_inv; [assumption|lra|rewrite ln_1; assumption].
assert (n0 : 0 < rows s) by (apply base_rate_rows; lra).
assert (e0 := entropy_positive _ hb).
unfold ne_base, ne, mean_bce, mean.
assert (es : sum (fun r => bce_base c (fst r) (snd r)) s
             = sum (fun r => bce (fst r) (snd r)) s / ln c).
  clear -l0; induction s as [|r s IH]; simpl; [field; assumption|].
  rewrite IH; unfold bce_base, bce; field; assumption.
assert (eb : forall b, bce_base c b b = entropy b / ln c).
  intros b; unfold bce_base, entropy, bce; field; assumption.
rewrite es, eb; field; repeat split; try assumption; lra.
Qed.

(** ** Cohorts: the mean cross entropy of the whole is the weighted mean of the parts *)
Theorem cohort_decomposition s t : s <> [] -> t <> [] ->
  ne (s ++ t) = (rows s / rows (s ++ t) * mean_bce s + rows t / rows (s ++ t) * mean_bce t)
                / entropy (base_rate (s ++ t)).
Proof.
intros s0 t0; unfold ne; f_equal; unfold mean_bce, mean; rewrite sum_app, rows_app.
assert (0 < rows s) by (apply rows_pos; assumption).
assert (0 < rows t) by (apply rows_pos; assumption); field; lra.
Qed.

Lemma mix_positive w a b : 0 <= w <= 1 -> 0 < a -> 0 < b -> 0 < w * a + (1 - w) * b.
Proof.
intros hw ha hb; assert (h1 := Rmult_le_pos w a ltac:(lra) ltac:(lra)).
assert (h2 := Rmult_le_pos (1 - w) b ltac:(lra) ltac:(lra)).
destruct (Rle_lt_dec w (/ 2)) as [h|h].
  assert (h3 := Rmult_lt_0_compat (1 - w) b ltac:(lra) hb); lra.
assert (h3 := Rmult_lt_0_compat w a ltac:(lra) ha); lra.
Qed.

Lemma mix_in_unit w a b : 0 <= w <= 1 -> 0 < a < 1 -> 0 < b < 1 -> 0 < w * a + (1 - w) * b < 1.
Proof.
intros hw ha hb; split; [apply mix_positive; lra|].
assert (h := mix_positive w (1 - a) (1 - b) hw ltac:(lra) ltac:(lra)); lra.
Qed.

(** Entropy is concave: Gibbs' inequality twice. *)
Theorem entropy_concave w a b : 0 <= w <= 1 -> 0 < a < 1 -> 0 < b < 1 ->
  w * entropy a + (1 - w) * entropy b <= entropy (w * a + (1 - w) * b).
Proof.
intros hw ha hb; assert (hm := mix_in_unit w a b hw ha hb).
assert (h1 := gibbs a _ ha hm); assert (h2 := gibbs b _ hb hm).
set (m := w * a + (1 - w) * b) in *.
replace (entropy m) with (w * bce a m + (1 - w) * bce b m); [nra|].
unfold entropy, bce, m; ring.
Qed.

(** Knowing only each cohort's base rate is never worse than knowing the global one, although
    this predictor has NE = 1 on each cohort. *)
Theorem cohort_base_rates_ne s t : 0 < base_rate s < 1 -> 0 < base_rate t < 1 ->
  ne (predict (base_rate s) s) = 1 /\ ne (predict (base_rate t) t) = 1 /\
  ne (predict (base_rate s) s ++ predict (base_rate t) t) <= 1.
Proof.
intros hs ht; split; [apply base_rate_predictor_has_ne_one, hs|].
split; [apply base_rate_predictor_has_ne_one, ht|].
assert (s0 : 0 < rows s) by (apply base_rate_rows; lra).
assert (t0 : 0 < rows t) by (apply base_rate_rows; lra).
set (a := base_rate s) in *; set (b := base_rate t) in *.
assert (rp : forall q r, rows (predict q r) = rows r).
  intros q r; unfold rows, predict; rewrite map_length; reflexivity.
assert (np : forall q r, 0 < rows r -> predict q r <> []).
  intros q r r0 e; rewrite <- (rp q), e in r0; unfold rows in r0; simpl in r0; lra.
rewrite cohort_decomposition by (apply np; assumption).
rewrite rows_app, !rp, !mean_bce_predict by assumption; fold a b (entropy a) (entropy b).
set (w := rows s / (rows s + rows t)).
assert (w1 : rows t / (rows s + rows t) = 1 - w) by (unfold w; field; lra).
assert (hw : 0 <= w <= 1).
  split; [unfold w; apply Rmult_le_pos; [lra|left; apply Rinv_0_lt_compat; lra]|].
  assert (0 <= 1 - w); [|lra].
  rewrite <- w1; apply Rmult_le_pos; [lra|left; apply Rinv_0_lt_compat; lra].
assert (m : base_rate (predict a s ++ predict b t) = w * a + (1 - w) * b).
  unfold base_rate, mean; rewrite sum_app, rows_app, !rp.
  replace (sum fst (predict a s)) with (rows s * a).
    replace (sum fst (predict b t)) with (rows t * b); [unfold w; field; lra|].
    unfold b at 1; rewrite <- (base_rate_predict b t); unfold base_rate, mean; rewrite rp; field; lra.
  unfold a at 1; rewrite <- (base_rate_predict a s); unfold base_rate, mean; rewrite rp; field; lra.
rewrite m, w1; assert (c := entropy_concave w a b hw hs ht).
assert (hm := mix_in_unit w a b hw hs ht).
assert (e0 := entropy_positive _ hm).
apply Rmult_le_reg_r with (entropy (w * a + (1 - w) * b)); [assumption|].
unfold Rdiv; rewrite Rmult_assoc, Rinv_l by lra; lra.
Qed.

(** ** The hypotheses hold together *)
Section NonVacuity.
Let half : 0 < / 2 < 1. Proof. lra. Qed.

(** One positive and one negative row, both predicted at 1/2. *)
Let pair : data := [(1, / 2); (0, / 2)].
Lemma pair_base_rate : base_rate pair = / 2.
Proof. unfold base_rate, mean, rows, pair; simpl; lra. Qed.
Let pair_half : 0 < base_rate pair < 1. Proof. rewrite pair_base_rate; lra. Qed.
Let pair_valid : valid pair. Proof. repeat constructor; simpl; lra. Qed.

(** The statement about NE is informative: predicting 3/4 and 1/4 on that pair, NE is below 1. *)
Example good_predictions_below_one : ne [(1, 3 / 4); (0, / 4)] < 1.
Proof.
assert (b : base_rate [(1, 3 / 4); (0, / 4)] = / 2).
  unfold base_rate, mean, rows; simpl; lra.
apply ne_below_one_iff; rewrite b; [lra|].
rewrite mean_bce_predict by (unfold rows; simpl; lra); rewrite b.
unfold mean_bce, mean, rows, bce; simpl.
replace (1 - / 4) with (3 / 4) by lra; replace (1 - / 2) with (/ 2) by lra.
assert (ln (/ 2) < ln (3 / 4)) by (apply ln_increasing; lra); lra.
Qed.

Example gibbs_nonvacuous : nonvacuous gibbs.
Proof. intros H; exact (H _ _ half half). Qed.
Example gibbs_equality_nonvacuous : nonvacuous gibbs_equality.
Proof. intros H; exact (H _ _ half half eq_refl). Qed.
Example entropy_positive_nonvacuous : nonvacuous entropy_positive.
Proof. intros H; exact (H _ half). Qed.
Example entropy_at_most_ln2_nonvacuous : nonvacuous entropy_at_most_ln2.
Proof. intros H; exact (H _ half). Qed.
Example base_rate_predictor_has_ne_one_nonvacuous : nonvacuous base_rate_predictor_has_ne_one.
Proof. intros H; exact (H _ pair_half). Qed.
Example constant_predictor_ne_nonvacuous : nonvacuous constant_predictor_ne.
Proof. intros H; exact (H _ _ pair_half half). Qed.
Example ne_nonnegative_nonvacuous : nonvacuous ne_nonnegative.
Proof. intros H; exact (H _ pair_valid pair_half). Qed.
Example ne_below_one_iff_nonvacuous : nonvacuous ne_below_one_iff.
Proof. intros H; exact (H _ pair_half). Qed.
Example ne_order_free_nonvacuous : nonvacuous ne_order_free.
Proof. intros H; exact (H _ _ (Permutation_refl pair)). Qed.
Example ne_repetition_free_nonvacuous : nonvacuous ne_repetition_free.
Proof. intros H; exact (H _ pair Nat.lt_0_1). Qed.
Example ne_logarithm_base_free_nonvacuous : nonvacuous ne_logarithm_base_free.
Proof. intros H; apply (H 2 pair); try lra; exact pair_half. Qed.
Example cohort_decomposition_nonvacuous : nonvacuous cohort_decomposition.
Proof. intros H; apply (H pair pair); discriminate. Qed.
Example entropy_concave_nonvacuous : nonvacuous entropy_concave.
Proof. intros H; apply (H (/ 2) (/ 2) (/ 2)); lra. Qed.
Example cohort_base_rates_ne_nonvacuous : nonvacuous cohort_base_rates_ne.
Proof. intros H; exact (H _ _ pair_half pair_half). Qed.

End NonVacuity.
