(** * Rounding of a dot product: any order of summation, underflow included

    A dot product of length n is computed as n rounded products that are added
    pairwise in some order, each addition rounded. Whatever the order, a binary tree
    with the products at its leaves describes it. If each product suffers at most a
    relative error u and an absolute (underflow) error e, and each addition at most a
    relative error u, then the computed value differs from the exact one by at most
      ((1+u)^(h+1) - 1) * sum |a_i b_i|  +  n e (1+u)^h,
    where h is the depth of the tree (how many additions the deepest product passes
    through); and (1+u)^k - 1 <= gamma_k = k u / (1 - k u).

    - left to right (s = 0; s := s + a_i b_i): gamma_n, because the first addition 0 + p is exact;
    - right to left: gamma_n;
    - pairwise (halving): gamma_(k+1) for n = 2^k products.

    For IEEE formats (radix 2, round to nearest even, subnormals, no overflow):
    binary64 has u = 2^-53 and e = 2^-1075; binary32 has u = 2^-24 and e = 2^-150. Additions of
    floating-point numbers never underflow with loss, so e enters with the products only.
    Source: Higham 2002, chapters 2-4 (relative errors); Flocq for the formats.
    The tree form with underflow is derived here. *)
From Coq Require Import Reals List Permutation Lra Lia Psatz Arith.
From Flocq Require Import Core Relative Plus_error.
From Perpend Require Import NonVacuous.
Import ListNotations.
Open Scope R_scope.

(** gamma_k = k u / (1 - k u). *)
Definition gamma (u : R) (k : nat) : R := INR k * u / (1 - INR k * u).

Lemma pow1_ge1 u k : 0 <= u -> 1 <= (1 + u) ^ k.
Proof. intros; apply pow_R1_Rle; lra. Qed.

(** (1+u)^k - 1 <= gamma_k. *)
Lemma pow_gamma u k : 0 <= u -> INR k * u < 1 -> (1 + u) ^ k - 1 <= gamma u k.
Proof.
  intros u0 H. unfold gamma.
  assert (B : forall j, INR j * u < 1 -> (1 + u) ^ j * (1 - INR j * u) <= 1).
  { induction j as [|j IH]; [simpl; lra|]. intros Hj.
    rewrite S_INR in *. assert (Hj' : INR j * u < 1) by nra.
    specialize (IH Hj'). cbn [pow].
    assert (P : 0 <= (1 + u) ^ j) by (apply pow_le; lra).
    assert (0 <= INR j) by apply pos_INR.
    assert ((1 + u) * (1 - (INR j + 1) * u) <= 1 - INR j * u) by nra.
    nra. }
  specialize (B k H).
  apply (Rmult_le_reg_r (1 - INR k * u)); [lra|].
  unfold Rdiv. rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

Lemma gamma_ge0 u k : 0 <= u -> INR k * u < 1 -> 0 <= gamma u k.
Proof.
  intros u0 H. pose proof (pow_gamma u k u0 H). pose proof (pow1_ge1 u k u0). lra.
Qed.

(** Exact sums over the first d indices. *)
Fixpoint sum (d : nat) (f : nat -> R) : R :=
  match d with O => 0 | S k => sum k f + f k end.

Definition dot_exact (d : nat) (a b : nat -> R) : R := sum d (fun i => a i * b i).
Definition dot_abs (d : nat) (a b : nat -> R) : R := sum d (fun i => Rabs (a i * b i)).

(** An order of summation: products at the leaves, additions at the nodes. *)
Inductive order : Type := Leaf (i : nat) | Node (l r : order).

Fixpoint leaves (t : order) : list nat :=
  match t with Leaf i => [i] | Node l r => leaves l ++ leaves r end.

Fixpoint depth (t : order) : nat :=
  match t with Leaf _ => O | Node l r => S (Nat.max (depth l) (depth r)) end.

(** What a program computes that rounds every product and every sum with [rnd]. *)
Fixpoint eval_fl (rnd : R -> R) (a b : nat -> R) (t : order) : R :=
  match t with
  | Leaf i => rnd (a i * b i)
  | Node l r => rnd (eval_fl rnd a b l + eval_fl rnd a b r)
  end.

(** The loop of the code: s = 0; for i < d: s := rnd (s + rnd (a_i b_i)). *)
Fixpoint dot_fl (rnd : R -> R) (d : nat) (a b : nat -> R) : R :=
  match d with O => 0 | S k => rnd (dot_fl rnd k a b + rnd (a k * b k)) end.

(** The loop run from the last index down. *)
Fixpoint dot_fl_right (rnd : R -> R) (d lo : nat) (a b : nat -> R) : R :=
  match d with O => 0 | S k => rnd (rnd (a lo * b lo) + dot_fl_right rnd k (S lo) a b) end.

(** Pairwise summation of 2^k products from index lo. *)
Fixpoint pairwise (k lo : nat) : order :=
  match k with O => Leaf lo | S j => Node (pairwise j lo) (pairwise j (lo + 2 ^ j)) end.

(** A rounding function as the analysis needs it: products suffer a relative error u and an
    absolute error e, sums of representable numbers a relative error u; results are representable. *)
Record rounding (rnd : R -> R) (u e : R) : Prop := Rounding {
  unit_ge0 : 0 <= u;
  under_ge0 : 0 <= e;
  rnd_idem : forall x, rnd (rnd x) = rnd x;
  rnd_mul : forall x, Rabs (rnd x - x) <= u * Rabs x + e;
  rnd_add : forall x y, rnd x = x -> rnd y = y ->
    Rabs (rnd (x + y) - (x + y)) <= u * Rabs (x + y)
}.

Section Any_order.
Variables (rnd : R -> R) (u e : R).
Hypothesis ok : rounding rnd u e.
Variables (a b : nat -> R).

Definition sum_list (f : nat -> R) (l : list nat) : R := fold_right (fun i s => f i + s) 0 l.

Lemma sum_list_app f l m : sum_list f (l ++ m) = sum_list f l + sum_list f m.
Proof. induction l as [|i l IH]; simpl; [|rewrite IH]; lra. Qed.

Lemma sum_list_perm f l m : Permutation l m -> sum_list f l = sum_list f m.
Proof. induction 1; simpl; lra. Qed.

Lemma sum_list_seq f d : sum_list f (seq 0 d) = sum d f.
Proof.
  induction d as [|d IH]; [reflexivity|].
  rewrite seq_S, sum_list_app, IH. simpl. lra.
Qed.

Lemma sum_list_abs f l : Rabs (sum_list f l) <= sum_list (fun i => Rabs (f i)) l.
Proof.
  induction l as [|i l IH]; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.

Lemma eval_fl_representable t : rnd (eval_fl rnd a b t) = eval_fl rnd a b t.
Proof. destruct t; simpl; apply (rnd_idem _ _ _ ok). Qed.

(** The bound, for the leaves as they stand in the tree. *)
Lemma tree_error t :
  Rabs (eval_fl rnd a b t - sum_list (fun i => a i * b i) (leaves t))
  <= ((1 + u) ^ S (depth t) - 1) * sum_list (fun i => Rabs (a i * b i)) (leaves t)
     + INR (length (leaves t)) * e * (1 + u) ^ depth t.
Proof.
  pose proof (unit_ge0 _ _ _ ok) as u0. pose proof (under_ge0 _ _ _ ok) as e0.
  induction t as [i|l IHl r IHr].
  - simpl. pose proof (rnd_mul _ _ _ ok (a i * b i)) as H.
    rewrite !Rplus_0_r. eapply Rle_trans; [apply H|]. lra.
  - cbn [eval_fl leaves depth]. rewrite !sum_list_app, app_length, plus_INR.
    set (p := eval_fl rnd a b l) in *. set (q := eval_fl rnd a b r) in *.
    set (x := sum_list (fun i => a i * b i) (leaves l)) in *.
    set (y := sum_list (fun i => a i * b i) (leaves r)) in *.
    pose proof (sum_list_abs (fun i => a i * b i) (leaves l)) as Hx. fold x in Hx.
    pose proof (sum_list_abs (fun i => a i * b i) (leaves r)) as Hy. fold y in Hy.
    set (X := sum_list (fun i => Rabs (a i * b i)) (leaves l)) in *.
    set (Y := sum_list (fun i => Rabs (a i * b i)) (leaves r)) in *.
    set (n := INR (length (leaves l))) in *. set (m := INR (length (leaves r))) in *.
    assert (n0 : 0 <= n) by apply pos_INR. assert (m0 : 0 <= m) by apply pos_INR.
    assert (X0 : 0 <= X) by (eapply Rle_trans; [apply Rabs_pos|exact Hx]).
    assert (Y0 : 0 <= Y) by (eapply Rle_trans; [apply Rabs_pos|exact Hy]).
    set (h := Nat.max (depth l) (depth r)).
    assert (Kl : (1 + u) ^ depth l <= (1 + u) ^ h)
      by (apply Rle_pow; [lra|unfold h; lia]).
    assert (Kr : (1 + u) ^ depth r <= (1 + u) ^ h)
      by (apply Rle_pow; [lra|unfold h; lia]).
    set (k := (1 + u) ^ h) in *.
    assert (k1 : 1 <= k) by (apply pow1_ge1; exact u0).
    cbn [pow] in IHl, IHr |- *. fold k.
    assert (El : Rabs (p - x) <= ((1 + u) * k - 1) * X + n * e * k).
    { eapply Rle_trans; [exact IHl|]. apply Rplus_le_compat.
      - apply Rmult_le_compat_r; [exact X0|]. nra.
      - apply Rmult_le_compat_l; [apply Rmult_le_pos; assumption|exact Kl]. }
    assert (Er : Rabs (q - y) <= ((1 + u) * k - 1) * Y + m * e * k).
    { eapply Rle_trans; [exact IHr|]. apply Rplus_le_compat.
      - apply Rmult_le_compat_r; [exact Y0|]. nra.
      - apply Rmult_le_compat_l; [apply Rmult_le_pos; assumption|exact Kr]. }
    pose proof (rnd_add _ _ _ ok p q (eval_fl_representable l) (eval_fl_representable r)) as Hs.
    set (E := ((1 + u) * k - 1) * (X + Y) + (n + m) * e * k).
    assert (Epq : Rabs (p + q - (x + y)) <= E).
    { replace (p + q - (x + y)) with ((p - x) + (q - y)) by ring.
      eapply Rle_trans; [apply Rabs_triang|]. unfold E. lra. }
    assert (Hpq : Rabs (p + q) <= E + (X + Y)).
    { replace (p + q) with ((p + q - (x + y)) + (x + y)) by ring.
      eapply Rle_trans; [apply Rabs_triang|].
      pose proof (Rabs_triang x y). lra. }
    replace (rnd (p + q) - (x + y)) with ((rnd (p + q) - (p + q)) + (p + q - (x + y))) by ring.
    eapply Rle_trans; [apply Rabs_triang|].
    assert (u * Rabs (p + q) <= u * (E + (X + Y))) by (apply Rmult_le_compat_l; assumption).
    assert (Hfin : u * (E + (X + Y)) + E = ((1 + u) * ((1 + u) * k) - 1) * (X + Y) + (n + m) * e * ((1 + u) * k))
      by (unfold E; ring).
    lra.
Qed.

(** The theorem: a tree whose leaves are the indices 0..d-1 in any arrangement. *)
Theorem any_order_dot_error d t : Permutation (leaves t) (seq 0 d) ->
  Rabs (eval_fl rnd a b t - dot_exact d a b)
  <= ((1 + u) ^ S (depth t) - 1) * dot_abs d a b + INR d * e * (1 + u) ^ depth t.
Proof.
  intros P. unfold dot_exact, dot_abs. rewrite <- !sum_list_seq.
  rewrite <- !(sum_list_perm _ _ _ P).
  replace (INR d) with (INR (length (leaves t))).
  2: { rewrite (Permutation_length P), seq_length. reflexivity. }
  apply tree_error.
Qed.

(** The same with gamma. *)
Theorem any_order_dot_error_gamma d t : Permutation (leaves t) (seq 0 d) ->
  INR (S (depth t)) * u < 1 ->
  Rabs (eval_fl rnd a b t - dot_exact d a b)
  <= gamma u (S (depth t)) * dot_abs d a b + INR d * e * (1 + gamma u (depth t)).
Proof.
  intros P H. pose proof (unit_ge0 _ _ _ ok) as u0. pose proof (under_ge0 _ _ _ ok) as e0.
  eapply Rle_trans; [apply any_order_dot_error, P|]. apply Rplus_le_compat.
  - apply Rmult_le_compat_r; [|apply pow_gamma; assumption].
    unfold dot_abs. clear. induction d as [|d IH]; simpl; [lra|].
    pose proof (Rabs_pos (a d * b d)). lra.
  - apply Rmult_le_compat_l; [apply Rmult_le_pos; [apply pos_INR|exact e0]|].
    assert (INR (depth t) * u < 1) by (rewrite S_INR in H; nra).
    pose proof (pow_gamma u (depth t) u0 H0). lra.
Qed.

(** Left to right: the loop is the left comb, because 0 + p is exact. *)
Fixpoint left_comb (d : nat) : order :=
  match d with O => Leaf 0 | S k => Node (left_comb k) (Leaf (S k)) end.

Lemma left_comb_leaves d : leaves (left_comb d) = seq 0 (S d).
Proof.
  induction d as [|d IH]; [reflexivity|].
  cbn [left_comb leaves]. rewrite IH, (seq_S (S d)). reflexivity.
Qed.

Lemma left_comb_depth d : depth (left_comb d) = d.
Proof. induction d as [|d IH]; simpl; [reflexivity|]. rewrite IH. lia. Qed.

Lemma dot_fl_comb d : dot_fl rnd (S d) a b = eval_fl rnd a b (left_comb d).
Proof.
  induction d as [|d IH].
  - simpl. rewrite Rplus_0_l. apply (rnd_idem _ _ _ ok).
  - cbn [left_comb eval_fl]. rewrite <- IH. reflexivity.
Qed.

Theorem left_to_right_dot_error d :
  Rabs (dot_fl rnd d a b - dot_exact d a b)
  <= ((1 + u) ^ d - 1) * dot_abs d a b + INR d * e * (1 + u) ^ (d - 1).
Proof.
  destruct d as [|d].
  - simpl. unfold dot_exact. simpl. rewrite Rminus_0_r, Rabs_R0. lra.
  - rewrite dot_fl_comb. replace (S d - 1)%nat with d by lia.
    pose proof (any_order_dot_error (S d) (left_comb d)) as H.
    rewrite left_comb_depth in H. apply H. rewrite left_comb_leaves. reflexivity.
Qed.

Theorem left_to_right_dot_error_gamma d : INR d * u < 1 ->
  Rabs (dot_fl rnd d a b - dot_exact d a b)
  <= gamma u d * dot_abs d a b + INR d * e * (1 + gamma u d).
Proof.
  intros H. pose proof (unit_ge0 _ _ _ ok) as u0. pose proof (under_ge0 _ _ _ ok) as e0.
  eapply Rle_trans; [apply left_to_right_dot_error|]. apply Rplus_le_compat.
  - apply Rmult_le_compat_r; [|apply pow_gamma; assumption].
    unfold dot_abs. clear. induction d as [|d IH]; simpl; [lra|].
    pose proof (Rabs_pos (a d * b d)). lra.
  - apply Rmult_le_compat_l; [apply Rmult_le_pos; [apply pos_INR|exact e0]|].
    pose proof (pow_gamma u d u0 H).
    assert ((1 + u) ^ (d - 1) <= (1 + u) ^ d) by (apply Rle_pow; [lra|lia]). lra.
Qed.

(** From the last index down. *)
Fixpoint right_comb (d lo : nat) : order :=
  match d with O => Leaf lo | S k => Node (Leaf lo) (right_comb k (S lo)) end.

Lemma right_comb_leaves d lo : leaves (right_comb d lo) = seq lo (S d).
Proof.
  revert lo; induction d as [|d IH]; intros lo; [reflexivity|].
  cbn [right_comb leaves]. rewrite IH. reflexivity.
Qed.

Lemma right_comb_depth d lo : depth (right_comb d lo) = d.
Proof. revert lo; induction d as [|d IH]; intros lo; simpl; [reflexivity|]. rewrite IH. lia. Qed.

Lemma dot_fl_right_comb d lo : dot_fl_right rnd (S d) lo a b = eval_fl rnd a b (right_comb d lo).
Proof.
  revert lo; induction d as [|d IH]; intros lo.
  - simpl. rewrite Rplus_0_r. apply (rnd_idem _ _ _ ok).
  - cbn [right_comb eval_fl]. rewrite <- IH. reflexivity.
Qed.

Theorem right_to_left_dot_error d :
  Rabs (dot_fl_right rnd d 0 a b - dot_exact d a b)
  <= ((1 + u) ^ d - 1) * dot_abs d a b + INR d * e * (1 + u) ^ (d - 1).
Proof.
  destruct d as [|d].
  - simpl. unfold dot_exact. simpl. rewrite Rminus_0_r, Rabs_R0. lra.
  - rewrite dot_fl_right_comb. replace (S d - 1)%nat with d by lia.
    pose proof (any_order_dot_error (S d) (right_comb d 0)) as H.
    rewrite right_comb_depth in H. apply H. rewrite right_comb_leaves. reflexivity.
Qed.

(** Pairwise: 2^k products, depth k. *)
Lemma pairwise_depth k lo : depth (pairwise k lo) = k.
Proof.
  revert lo; induction k as [|k IH]; intros lo; simpl; [reflexivity|].
  rewrite !IH, Nat.max_id. reflexivity.
Qed.

Lemma pairwise_leaves k lo : leaves (pairwise k lo) = seq lo (2 ^ k).
Proof.
  revert lo; induction k as [|k IH]; intros lo; [reflexivity|].
  cbn [pairwise leaves]. rewrite !IH, <- seq_app. f_equal. simpl. lia.
Qed.

Theorem pairwise_dot_error k : INR (S k) * u < 1 ->
  Rabs (eval_fl rnd a b (pairwise k 0) - dot_exact (2 ^ k) a b)
  <= gamma u (S k) * dot_abs (2 ^ k) a b + INR (2 ^ k) * e * (1 + gamma u k).
Proof.
  intros H. pose proof (any_order_dot_error_gamma (2 ^ k) (pairwise k 0)) as T.
  rewrite pairwise_depth in T. apply T; [|exact H]. rewrite pairwise_leaves. reflexivity.
Qed.

End Any_order.

(** ** IEEE formats: radix 2, precision prec, smallest positive number 2^emin. *)
Section Ieee.
Variables (emin prec : Z).
Hypothesis prec_pos : (0 < prec)%Z.

Definition round_ieee : R -> R := round radix2 (FLT_exp emin prec) ZnearestE.

Lemma round_ieee_rounding :
  rounding round_ieee (/ 2 * bpow radix2 (- prec + 1)) (/ 2 * bpow radix2 emin).
Proof.
  assert (PF : Prec_gt_0 prec) by exact prec_pos.
  split.
  - apply Rmult_le_pos; [lra|apply bpow_ge_0].
  - apply Rmult_le_pos; [lra|apply bpow_ge_0].
  - intros x. apply round_generic; [apply valid_rnd_N|].
    apply generic_format_round; [apply FLT_exp_valid; exact PF|apply valid_rnd_N].
  - intros x.
    destruct (error_N_FLT radix2 emin prec prec_pos (fun n => negb (Z.even n)) x) as (eps & eta & H1 & H2 & _ & H3).
    unfold round_ieee. rewrite H3.
    replace (x * (1 + eps) + eta - x) with (x * eps + eta) by ring.
    eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_mult, Rmult_comm.
    apply Rplus_le_compat; [|exact H2].
    apply Rmult_le_compat_r; [apply Rabs_pos|exact H1].
  - intros x y Hx Hy.
    assert (Fx : generic_format radix2 (FLT_exp emin prec) x).
    { rewrite <- Hx. apply generic_format_round; [apply FLT_exp_valid; exact PF|apply valid_rnd_N]. }
    assert (Fy : generic_format radix2 (FLT_exp emin prec) y).
    { rewrite <- Hy. apply generic_format_round; [apply FLT_exp_valid; exact PF|apply valid_rnd_N]. }
    destruct (FLT_plus_error_N_ex radix2 emin prec (fun n => negb (Z.even n)) x y Fx Fy) as (eps & H1 & H2).
    unfold round_ieee. rewrite H2.
    replace ((x + y) * (1 + eps) - (x + y)) with (eps * (x + y)) by ring.
    rewrite Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|].
    eapply Rle_trans; [exact H1|].
    change (u_ro radix2 prec) with (/ 2 * bpow radix2 (- prec + 1)).
    set (w := / 2 * bpow radix2 (- prec + 1)).
    assert (0 <= w) by (apply Rmult_le_pos; [lra|apply bpow_ge_0]).
    apply (Rmult_le_reg_r (1 + w)); [lra|]. unfold Rdiv.
    rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

End Ieee.

Definition binary64 : R -> R := round_ieee (-1074) 53.
Definition binary32 : R -> R := round_ieee (-149) 24.
Definition u64 : R := bpow radix2 (-53).
Definition u32 : R := bpow radix2 (-24).
Definition e64 : R := bpow radix2 (-1075).
Definition e32 : R := bpow radix2 (-150).

Lemma half_bpow k : / 2 * bpow radix2 (k + 1) = bpow radix2 k.
Proof. rewrite bpow_plus. change (bpow radix2 1) with 2. field. Qed.

Theorem binary64_rounding : rounding binary64 u64 e64.
Proof.
  unfold u64, e64. rewrite <- (half_bpow (-53)), <- (half_bpow (-1075)).
  apply (round_ieee_rounding (-1074) 53). reflexivity.
Qed.

Theorem binary32_rounding : rounding binary32 u32 e32.
Proof.
  unfold u32, e32. rewrite <- (half_bpow (-24)), <- (half_bpow (-150)).
  apply (round_ieee_rounding (-149) 24). reflexivity.
Qed.

Corollary binary64_left_to_right d a b : INR d * u64 < 1 ->
  Rabs (dot_fl binary64 d a b - dot_exact d a b)
  <= gamma u64 d * dot_abs d a b + INR d * e64 * (1 + gamma u64 d).
Proof. apply left_to_right_dot_error_gamma, binary64_rounding. Qed.

Corollary binary32_left_to_right d a b : INR d * u32 < 1 ->
  Rabs (dot_fl binary32 d a b - dot_exact d a b)
  <= gamma u32 d * dot_abs d a b + INR d * e32 * (1 + gamma u32 d).
Proof. apply left_to_right_dot_error_gamma, binary32_rounding. Qed.

(** ** The hypotheses can hold: binary64, one product. *)
Lemma u64_small : u64 <= / 1024.
Proof. unfold u64. change (/ 1024) with (bpow radix2 (-10)). apply bpow_le. discriminate. Qed.

Lemma u32_small : u32 <= / 1024.
Proof. unfold u32. change (/ 1024) with (bpow radix2 (-10)). apply bpow_le. discriminate. Qed.

Example any_order_dot_error_nonvacuous : nonvacuous any_order_dot_error.
Proof. intros H. apply (H _ _ _ binary64_rounding (fun _ => 1) (fun _ => 1) 1%nat (Leaf 0)), Permutation_refl. Qed.

Example any_order_dot_error_gamma_nonvacuous : nonvacuous any_order_dot_error_gamma.
Proof.
  intros H. apply (H _ _ _ binary64_rounding (fun _ => 1) (fun _ => 1) 1%nat (Leaf 0)); [apply Permutation_refl|].
  pose proof u64_small. simpl INR. lra.
Qed.

Example left_to_right_dot_error_nonvacuous : nonvacuous left_to_right_dot_error.
Proof. intros H. apply (H _ _ _ binary64_rounding (fun _ => 1) (fun _ => 1) 1%nat). Qed.

Example left_to_right_dot_error_gamma_nonvacuous : nonvacuous left_to_right_dot_error_gamma.
Proof.
  intros H. apply (H _ _ _ binary64_rounding (fun _ => 1) (fun _ => 1) 1%nat). pose proof u64_small. simpl INR. lra.
Qed.

Example right_to_left_dot_error_nonvacuous : nonvacuous right_to_left_dot_error.
Proof. intros H. apply (H _ _ _ binary64_rounding (fun _ => 1) (fun _ => 1) 1%nat). Qed.

Example pairwise_dot_error_nonvacuous : nonvacuous pairwise_dot_error.
Proof.
  intros H. apply (H _ _ _ binary64_rounding (fun _ => 1) (fun _ => 1) 1%nat). pose proof u64_small. simpl INR. lra.
Qed.

Example binary64_left_to_right_nonvacuous : nonvacuous binary64_left_to_right.
Proof. intros H. apply (H 1%nat (fun _ => 1) (fun _ => 1)). pose proof u64_small. simpl INR. lra. Qed.

Example binary32_left_to_right_nonvacuous : nonvacuous binary32_left_to_right.
Proof. intros H. apply (H 1%nat (fun _ => 1) (fun _ => 1)). pose proof u32_small. simpl INR. lra. Qed.
