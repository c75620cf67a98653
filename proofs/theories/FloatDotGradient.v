(** * Rounding of the gradient of a cosine loss: how orthogonal it can be

    The gradient is computed as the code computes it, normalise then project, every
    operation rounded (relative error at most u, no underflow, sums from left to right):
      n = sqrt(<q,q>),  v_i = q_i / n,  c = <a,v>,  g_i = (a_i - c v_i) / n,
    where a is the gradient that reaches the normalised embedding. Then, with
    gamma_k = k u / (1 - k u) and under (3d+10)(d+2) u <= 6 (d up to 5789 in binary32),
      |<q,g>|           <= gamma_(2d+10) |a|    (exact inner product with the computed gradient),
      |fl <q,g>|        <= gamma_(3d+10) |a|    (inner product computed in the same precision).
    Without the condition on d the second constant is gamma_(4d+9). The scale is
    |a|, never |q||g|: when a is parallel to q the gradient is all cancellation.
    If the gradient is then stored with a roundoff v, at most v |q||g| is added.

    Proof: each rounding multiplies by a factor between 1-u and 1/(1-u); products,
    quotients and weighted means of such factors are again near 1, with exponents that
    add. The norm's common factor leaves the projection exact but for d+4 factors, the cosine
    brings d+1, the last inner product d+2. Source: derived here; the constant is the
    tolerance of gradient-orthogonality in the code. *)
From Coq Require Import Reals Lra Lia Psatz.
From Flocq Require Import Core Relative.
From Perpend Require Import FloatDot NonVacuous.
Open Scope R_scope.

(** ** Sums and norms of functions on the first d indices *)

Definition norm (d : nat) (a : nat -> R) : R := sqrt (sum d (fun i => a i * a i)).

Lemma sum_ext d f g : (forall i, f i = g i) -> sum d f = sum d g.
Proof. intros H; induction d as [|d IH]; simpl; [reflexivity|]. rewrite IH, H. reflexivity. Qed.

Lemma sum_plus d f g : sum d (fun i => f i + g i) = sum d f + sum d g.
Proof. induction d as [|d IH]; simpl; [lra|]. rewrite IH. lra. Qed.

Lemma sum_scale d c f : sum d (fun i => c * f i) = c * sum d f.
Proof. induction d as [|d IH]; simpl; [lra|]. rewrite IH. lra. Qed.

Lemma sum_le d f g : (forall i, f i <= g i) -> sum d f <= sum d g.
Proof. intros H; induction d as [|d IH]; simpl; [lra|]. pose proof (H d). lra. Qed.

Lemma sum_ge0 d f : (forall i, 0 <= f i) -> 0 <= sum d f.
Proof. intros H; induction d as [|d IH]; simpl; [lra|]. pose proof (H d). lra. Qed.

Lemma sum_abs d f : Rabs (sum d f) <= sum d (fun i => Rabs (f i)).
Proof.
  induction d as [|d IH]; simpl; [rewrite Rabs_R0; lra|].
  eapply Rle_trans; [apply Rabs_triang|]. lra.
Qed.

Lemma sum_sq_ge0 d a : 0 <= sum d (fun i => a i * a i).
Proof. apply sum_ge0; intros i; nra. Qed.

Lemma norm_ge0 d a : 0 <= norm d a.
Proof. apply sqrt_pos. Qed.

Lemma norm_sq d a : norm d a * norm d a = sum d (fun i => a i * a i).
Proof. apply sqrt_sqrt, sum_sq_ge0. Qed.

Lemma cauchy_schwarz_sq d a b :
  sum d (fun i => a i * b i) * sum d (fun i => a i * b i)
  <= sum d (fun i => a i * a i) * sum d (fun i => b i * b i).
Proof.
  induction d as [|d IH]; simpl; [lra|].
  set (S := sum d (fun i => a i * b i)) in *.
  pose proof (sum_sq_ge0 d a) as A0. pose proof (sum_sq_ge0 d b) as B0.
  set (A := sum d (fun i => a i * a i)) in *. set (B := sum d (fun i => b i * b i)) in *.
  set (x := a d). set (y := b d).
  assert (H : 2 * S * (x * y) <= A * (y * y) + B * (x * x)).
  { apply Rsqr_incr_0_var; [|nra]. unfold Rsqr.
    assert (0 <= (x * x) * (y * y)) by (apply Rmult_le_pos; nra).
    assert (S * S * ((x * x) * (y * y)) <= A * B * ((x * x) * (y * y)))
      by (apply Rmult_le_compat_r; assumption).
    pose proof (Rle_0_sqr (A * (y * y) - B * (x * x))) as Q. unfold Rsqr in Q. nra. }
  nra.
Qed.

Lemma cauchy_schwarz d a b : sum d (fun i => Rabs (a i * b i)) <= norm d a * norm d b.
Proof.
  pose proof (cauchy_schwarz_sq d (fun i => Rabs (a i)) (fun i => Rabs (b i))) as H.
  rewrite (sum_ext d (fun i => Rabs (a i * b i)) (fun i => Rabs (a i) * Rabs (b i))) by (intros; apply Rabs_mult).
  apply Rsqr_incr_0_var; [|apply Rmult_le_pos; apply norm_ge0]. unfold Rsqr.
  eapply Rle_trans; [exact H|].
  replace (norm d a * norm d b * (norm d a * norm d b)) with ((norm d a * norm d a) * (norm d b * norm d b)) by ring.
  rewrite !norm_sq. apply Req_le. f_equal; apply sum_ext; intros i; rewrite <- Rabs_mult; apply Rabs_pos_eq; nra.
Qed.

Lemma norm_triangle d a b : norm d (fun i => a i + b i) <= norm d a + norm d b.
Proof.
  pose proof (norm_ge0 d a). pose proof (norm_ge0 d b).
  apply Rsqr_incr_0_var; [|lra]. unfold Rsqr. rewrite norm_sq.
  rewrite (sum_ext d _ (fun i => (a i * a i + b i * b i) + 2 * (a i * b i))) by (intros; ring).
  rewrite !sum_plus, sum_scale, <- !norm_sq.
  pose proof (cauchy_schwarz d a b) as H1.
  pose proof (sum_abs d (fun i => a i * b i)) as H2. pose proof (Rle_abs (sum d (fun i => a i * b i))). nra.
Qed.

(** Componentwise domination. *)
Lemma norm_le d a b : (forall i, Rabs (a i) <= Rabs (b i)) -> norm d a <= norm d b.
Proof.
  intros H. apply sqrt_le_1_alt, sum_le. intros i. pose proof (H i) as Hi.
  pose proof (Rabs_pos (a i)).
  rewrite <- (Rabs_pos_eq (a i * a i)), <- (Rabs_pos_eq (b i * b i)) by nra.
  rewrite !Rabs_mult. nra.
Qed.

Lemma norm_scale d c a : norm d (fun i => c * a i) = Rabs c * norm d a.
Proof.
  pose proof (norm_ge0 d a). pose proof (Rabs_pos c).
  unfold norm at 1.
  rewrite (sum_ext d _ (fun i => (c * c) * (a i * a i))) by (intros; ring).
  rewrite sum_scale, <- norm_sq.
  replace (c * c * (norm d a * norm d a)) with ((Rabs c * norm d a) * (Rabs c * norm d a)).
  2: { assert (E : Rabs c * Rabs c = c * c) by (rewrite <- Rabs_mult; apply Rabs_pos_eq; nra). rewrite <- E. ring. }
  apply sqrt_square, Rmult_le_pos; assumption.
Qed.

(** ** Counting roundings *)
Section Count.
Variable u : R.
Hypothesis u_ge0 : 0 <= u.
Hypothesis u_lt1 : u < 1.

(** x is a product of at most k factors between 1-u and 1/(1-u). *)
Definition near (k : nat) (x : R) : Prop := (1 - u) ^ k <= x <= (/ (1 - u)) ^ k.

Let l := 1 - u.
Let y := / (1 - u).

Lemma ly : l * y = 1. Proof. unfold l, y. field. lra. Qed.
Lemma l_pos : 0 < l. Proof. unfold l. lra. Qed.
Lemma y_ge1 : 1 <= y.
Proof. unfold y. rewrite <- Rinv_1 at 1. apply Rinv_le_contravar; lra. Qed.
Lemma lk_pos k : 0 < l ^ k. Proof. apply pow_lt, l_pos. Qed.
Lemma yk_ge1 k : 1 <= y ^ k. Proof. apply pow_R1_Rle, y_ge1. Qed.
Lemma lyk k : l ^ k * y ^ k = 1. Proof. rewrite <- Rpow_mult_distr, ly. apply pow1. Qed.

Lemma near_pos k x : near k x -> 0 < x.
Proof. intros [H _]. pose proof (lk_pos k). unfold l in *. lra. Qed.

Lemma near_one k : near k 1.
Proof.
  split; [|apply yk_ge1]. pose proof (pow_incr (1 - u) 1 k) as H. rewrite pow1 in H. apply H. lra.
Qed.

Lemma near_mono j k x : (j <= k)%nat -> near j x -> near k x.
Proof.
  intros jk [H1 H2]. split.
  - eapply Rle_trans; [|exact H1]. replace k with (j + (k - j))%nat by lia.
    rewrite pow_add. pose proof (lk_pos j) as P. unfold l in P.
    pose proof (pow_incr (1 - u) 1 (k - j)) as H. rewrite pow1 in H. assert (0 <= 1 - u <= 1) by lra. specialize (H H0). nra.
  - eapply Rle_trans; [exact H2|]. apply Rle_pow; [apply y_ge1|exact jk].
Qed.

Lemma near_mul j k x z : near j x -> near k z -> near (j + k) (x * z).
Proof.
  intros [H1 H2] [H3 H4]. pose proof (lk_pos j). pose proof (lk_pos k). unfold l in *.
  split; rewrite pow_add; apply Rmult_le_compat; lra.
Qed.

Lemma near_inv k x : near k x -> near k (/ x).
Proof.
  intros H. pose proof (near_pos k x H). destruct H as [H1 H2]. pose proof (lk_pos k) as P.
  unfold l in P. split.
  - replace ((1 - u) ^ k) with (/ ((/ (1 - u)) ^ k)).
    + apply Rinv_le_contravar; lra.
    + rewrite pow_inv. apply Rinv_inv.
  - rewrite pow_inv. apply Rinv_le_contravar; lra.
Qed.

Lemma near_error k x : near k x -> Rabs (x - 1) <= y ^ k - 1.
Proof.
  intros [H1 H2]. pose proof (lyk k) as E. pose proof (yk_ge1 k) as Y. pose proof (lk_pos k) as L.
  fold l in H1. fold y in H2. apply Rabs_le. split; [|lra].
  assert (2 <= l ^ k + y ^ k).
  { assert (0 <= (y ^ k - 1) * (y ^ k - 1)) by apply Rle_0_sqr.
    assert (l ^ k * ((y ^ k - 1) * (y ^ k - 1)) = y ^ k - 2 + l ^ k).
    { replace (l ^ k * ((y ^ k - 1) * (y ^ k - 1))) with ((l ^ k * y ^ k) * y ^ k - 2 * (l ^ k * y ^ k) + l ^ k) by ring.
      rewrite E. ring. }
    assert (0 <= l ^ k * ((y ^ k - 1) * (y ^ k - 1))) by (apply Rmult_le_pos; lra). lra. }
  lra.
Qed.

(** A weighted mean of factors. *)
Lemma near_sum d k w th : (forall i, 0 <= w i) -> (forall i, near k (th i)) -> 0 < sum d w ->
  near k (sum d (fun i => w i * th i) / sum d w).
Proof.
  intros w0 H s0. unfold near. split; apply (Rmult_le_reg_r (sum d w)); try assumption; unfold Rdiv;
    rewrite Rmult_assoc, Rinv_l, Rmult_1_r by lra; rewrite <- sum_scale; apply sum_le;
    intros i; destruct (H i) as [H1 H2]; pose proof (w0 i); nra.
Qed.

Lemma lk_bernoulli k : 1 - INR k * u <= l ^ k.
Proof.
  induction k as [|k IH]; [simpl; lra|]. rewrite S_INR. cbn [pow]. unfold l in *.
  pose proof (pos_INR k). assert (0 <= INR k * u) by (apply Rmult_le_pos; lra).
  assert (0 <= INR k * u * u) by (apply Rmult_le_pos; lra). nra.
Qed.

(** 1/(1-u)^k - 1 <= gamma_k. *)
Lemma yk_gamma k : INR k * u < 1 -> y ^ k - 1 <= gamma u k.
Proof.
  intros H. unfold gamma. pose proof (lk_bernoulli k) as B. pose proof (lyk k) as E. pose proof (yk_ge1 k).
  apply (Rmult_le_reg_r (1 - INR k * u)); [lra|]. unfold Rdiv.
  rewrite Rmult_assoc, Rinv_l by lra. nra.
Qed.

(** Half as many roundings: (1 - k u / 2)^2 <= (1-u)^k for k >= 2. *)
Lemma lk_half k : INR (S (S k)) * u <= 1 ->
  (1 - INR (S (S k)) / 2 * u) * (1 - INR (S (S k)) / 2 * u) <= l ^ S (S k).
Proof.
  intros H. revert H.
  enough (P : forall k, (INR (S (S k)) * u <= 1 ->
     (1 - INR (S (S k)) / 2 * u) * (1 - INR (S (S k)) / 2 * u) <= l ^ S (S k))
   /\ (INR (S (S (S k))) * u <= 1 ->
     (1 - INR (S (S (S k))) / 2 * u) * (1 - INR (S (S (S k))) / 2 * u) <= l ^ S (S (S k)))) by apply P.
  clear k. induction k as [|k [IH1 IH2]].
  - split; intros H; simpl in *; unfold l; [nra|].
    assert (u <= 1 / 3) by lra. assert (0 <= u * u) by nra. assert (0 <= u * u * (3 / 4 - u)) by nra. nra.
  - split; [exact IH2|]. intros H.
    assert (H' : INR (S (S k)) * u <= 1) by (rewrite (S_INR (S (S (S k)))), (S_INR (S (S k))) in H; nra).
    specialize (IH1 H'). rewrite (S_INR (S (S (S k)))), (S_INR (S (S k))) in *.
    change (l ^ S (S (S (S k)))) with (l * (l * l ^ S (S k))).
    set (m := INR (S (S k))) in *. assert (0 <= m) by apply pos_INR.
    set (z := 1 - m / 2 * u) in *.
    assert (z0 : 0 <= z) by (unfold z; nra).
    assert (E : 1 - (m + 1 + 1) / 2 * u = z - u) by (unfold z; field).
    rewrite E. unfold l in *.
    assert (0 <= m * u) by (apply Rmult_le_pos; lra).
    assert (z <= 1) by (unfold z; lra).
    assert (0 <= z - u) by (unfold z; lra).
    assert (z - u <= (1 - u) * z) by nra.
    assert ((z - u) * (z - u) <= ((1 - u) * z) * ((1 - u) * z)) by (apply Rmult_le_compat; assumption).
    assert (0 <= (1 - u) * (1 - u)) by nra.
    assert ((1 - u) * (1 - u) * (z * z) <= (1 - u) * (1 - u) * (1 - u) ^ S (S k)) by (apply Rmult_le_compat_l; assumption).
    nra.
Qed.

End Count.

(** ** The computation *)
Section Gradient.
Variables (rnd : R -> R) (u : R).
Hypothesis ok : rounding rnd u 0.
Hypothesis u_lt1 : u < 1.

Definition norm_fl (d : nat) (q : nat -> R) : R := rnd (sqrt (dot_fl rnd d q q)).
Definition unit_fl (d : nat) (q : nat -> R) (i : nat) : R := rnd (q i / norm_fl d q).
Definition cosine_fl (d : nat) (a q : nat -> R) : R := dot_fl rnd d a (unit_fl d q).
Definition gradient_fl (d : nat) (a q : nat -> R) (i : nat) : R :=
  rnd (rnd (a i - rnd (cosine_fl d a q * unit_fl d q i)) / norm_fl d q).

Let u0 : 0 <= u := unit_ge0 _ _ _ ok.
Let y := / (1 - u).

(** The factor by which a result is off. *)
Definition factor (x : R) : R := if Req_EM_T x 0 then 1 else rnd x / x.

Lemma rnd_factor x : rnd x = x * factor x.
Proof.
  unfold factor. destruct (Req_EM_T x 0) as [->|H]; [|field; exact H].
  pose proof (rnd_mul _ _ _ ok 0) as B. rewrite Rabs_R0 in B.
  rewrite Rmult_0_l. destruct (Req_dec (rnd 0) 0) as [E|E]; [exact E|].
  pose proof (Rabs_pos_lt _ E). rewrite Rminus_0_r in B. lra.
Qed.

Lemma factor_near x : near u 1 (factor x).
Proof.
  unfold factor. destruct (Req_EM_T x 0) as [->|H]; [apply near_one; assumption|].
  pose proof (rnd_mul _ _ _ ok x) as B. rewrite Rplus_0_r in B.
  assert (Hf : Rabs (rnd x / x - 1) <= u).
  { apply (Rmult_le_reg_r (Rabs x)); [apply Rabs_pos_lt, H|]. rewrite <- Rabs_mult.
    replace ((rnd x / x - 1) * x) with (rnd x - x) by (field; exact H). exact B. }
  apply Rabs_le_inv in Hf. unfold near. rewrite !pow_1. split; [lra|].
  assert (1 + u <= / (1 - u)).
  { apply (Rmult_le_reg_r (1 - u)); [lra|]. rewrite Rinv_l by lra. nra. }
  lra.
Qed.

(** A computed inner product is the exact one with each term off by at most d roundings. *)
Lemma dot_fl_factors d a b :
  exists th, (forall i, near u d (th i)) /\ dot_fl rnd d a b = sum d (fun i => a i * b i * th i).
Proof.
  induction d as [|d [th [H E]]].
  - exists (fun _ => 1). split; [intros; apply near_one; assumption|reflexivity].
  - destruct d as [|d].
    + exists (fun _ => factor (a O * b O)). split; [intros; apply factor_near|].
      simpl. rewrite !Rplus_0_l. rewrite (rnd_idem _ _ _ ok). apply rnd_factor.
    + set (s := dot_fl rnd (S d) a b) in *. set (p := a (S d) * b (S d)).
      set (f := factor (s + rnd p)).
      exists (fun i => (if Nat.eqb i (S d) then factor p else th i) * f). split.
      * intros i. replace (S (S d)) with (S d + 1)%nat by lia. apply near_mul; try assumption; [|apply factor_near].
        destruct (Nat.eqb i (S d)); [|apply H].
        apply (near_mono u u0 u_lt1 1); [lia|apply factor_near].
      * change (dot_fl rnd (S (S d)) a b) with (rnd (s + rnd p)).
        rewrite rnd_factor. fold f. rewrite (rnd_factor p), E.
        assert (Es : forall n, (n <= S d)%nat ->
           sum n (fun i => a i * b i * ((if Nat.eqb i (S d) then factor p else th i) * f))
           = f * sum n (fun i => a i * b i * th i)).
        { induction n as [|n IHn]; intros Hn; cbn [sum]; [ring|]. rewrite IHn by lia.
          replace (Nat.eqb n (S d)) with false by (symmetry; apply Nat.eqb_neq; lia). ring. }
        match goal with |- _ = sum _ ?F => change (sum (S (S d)) F) with (sum (S d) F + F (S d)) end.
        cbv beta. rewrite (Es (S d) (le_n _)), Nat.eqb_refl. fold p. ring.
Qed.

Variables (d : nat) (a q : nat -> R).
Hypothesis q_pos : 0 < norm d q.
Let N := norm d q.
Let A := norm d a.
Let p i := q i / N.

Lemma unit_sum : sum d (fun i => p i * p i) = 1.
Proof.
  unfold p. rewrite (sum_ext d _ (fun i => / (N * N) * (q i * q i))).
  2: { intros i. field. unfold N. lra. }
  rewrite sum_scale, <- norm_sq. fold N. field. unfold N; lra.
Qed.

Lemma unit_norm : norm d p = 1.
Proof. unfold norm. rewrite unit_sum. apply sqrt_1. Qed.

(** The norm is off by a factor rho with rho^2 within d + 2 roundings of 1. *)
Lemma norm_fl_factor : exists rho, 0 < rho /\ near u (d + 2) (rho * rho) /\ norm_fl d q = N * rho.
Proof.
  destruct (dot_fl_factors d q q) as (th & H & E).
  assert (S0 : 0 < sum d (fun i => q i * q i)) by (rewrite <- norm_sq; apply Rmult_lt_0_compat; exact q_pos).
  set (s := sum d (fun i => q i * q i * th i) / sum d (fun i => q i * q i)).
  assert (Hs : near u d s) by (apply near_sum; try assumption; intros i; nra).
  pose proof (near_pos u u_lt1 _ _ Hs) as s0.
  assert (E2 : dot_fl rnd d q q = (N * N) * s).
  { rewrite E. unfold s, N. rewrite norm_sq. field. lra. }
  set (f := factor (sqrt (dot_fl rnd d q q))).
  pose proof (factor_near (sqrt (dot_fl rnd d q q))) as Hf. fold f in Hf.
  pose proof (near_pos u u_lt1 _ _ Hf) as f0.
  exists (sqrt s * f). split; [apply Rmult_lt_0_compat; [apply sqrt_lt_R0; exact s0|exact f0]|]. split.
  - replace (sqrt s * f * (sqrt s * f)) with (s * (f * f)).
    + replace (d + 2)%nat with (d + (1 + 1))%nat by lia. repeat apply near_mul; assumption.
    + transitivity (sqrt s * sqrt s * (f * f)); [rewrite sqrt_sqrt by lra|]; ring.
  - unfold norm_fl. rewrite rnd_factor. fold f. rewrite E2, sqrt_mult by nra.
    rewrite sqrt_square by (unfold N; lra). ring.
Qed.

Lemma inner_le x : (forall i, Rabs (x i) <= 1) -> Rabs (sum d (fun i => a i * p i * x i)) <= A.
Proof.
  intros H. eapply Rle_trans; [apply sum_abs|].
  eapply Rle_trans; [|rewrite <- (Rmult_1_r A), <- unit_norm; apply cauchy_schwarz].
  apply sum_le. intros i. rewrite (Rabs_mult (a i * p i)).
  pose proof (Rabs_pos (a i * p i)). pose proof (H i). nra.
Qed.

(** The projected vector after all roundings but the last ones: a_i - t_i. *)
Lemma projection_bound c eps (t om : nat -> R) (v : R) m (psi : nat -> R) :
  c = sum d (fun i => a i * p i) -> Rabs eps <= (y ^ (d + 1) - 1) * A ->
  near u (d + 2) v -> (forall i, near u 2 (om i)) ->
  (forall i, t i = (c + eps) * p i * om i * v) ->
  (forall i, near u m (psi i)) ->
  Rabs (sum d (fun i => p i * (a i - t i) * psi i)) <= (y ^ (2 * d + 5 + m) - 1) * A.
Proof.
  intros Hc He Hv Ho Ht Hp.
  assert (A0 : 0 <= A) by apply norm_ge0.
  assert (cA : Rabs c <= A).
  { rewrite Hc. rewrite (sum_ext d _ (fun i => a i * p i * 1)) by (intros; ring).
    apply inner_le. intros; rewrite Rabs_R1; lra. }
  set (Y := y ^ (2 * d + 5)).
  assert (YE : Y = y ^ (d + 4) * y ^ (d + 1)) by (unfold Y; rewrite <- pow_add; f_equal; lia).
  assert (Y1 : 1 <= y ^ (d + 1)) by (apply (yk_ge1 u u0 u_lt1)).
  assert (Y4 : 1 <= y ^ (d + 4)) by (apply (yk_ge1 u u0 u_lt1)).
  assert (Ym : 1 <= y ^ m) by (apply (yk_ge1 u u0 u_lt1)).
  assert (Key : forall tau, near u (d + 4) tau -> Rabs (c - (c + eps) * tau) <= (Y - 1) * A).
  { intros tau Htau. pose proof (near_error u u0 u_lt1 _ _ Htau) as T1. fold y in T1.
    pose proof (near_pos u u_lt1 _ _ Htau) as T0. destruct Htau as [_ T2]. fold y in T2.
    replace (c - (c + eps) * tau) with (- (c * (tau - 1)) + - (eps * tau)) by ring.
    eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_Ropp, !Rabs_mult, (Rabs_pos_eq tau) by lra.
    assert (Rabs c * Rabs (tau - 1) <= A * (y ^ (d + 4) - 1))
      by (apply Rmult_le_compat; try apply Rabs_pos; assumption).
    assert (Rabs eps * tau <= (y ^ (d + 1) - 1) * A * y ^ (d + 4))
      by (apply Rmult_le_compat; try apply Rabs_pos; lra).
    rewrite YE. nra. }
  (* the exact inner product *)
  assert (First : Rabs (sum d (fun i => p i * (a i - t i))) <= (Y - 1) * A).
  { rewrite (sum_ext d _ (fun i => a i * p i + (- ((c + eps) * v)) * (p i * p i * om i)))
      by (intros i; rewrite Ht; ring).
    rewrite sum_plus, sum_scale, <- Hc.
    assert (Hw : near u 2 (sum d (fun i => p i * p i * om i) / sum d (fun i => p i * p i))).
    { apply near_sum; try assumption; [intros i; nra|]. rewrite unit_sum. lra. }
    rewrite unit_sum in Hw. unfold Rdiv in Hw. rewrite Rinv_1, Rmult_1_r in Hw.
    set (w := sum d (fun i => p i * p i * om i)) in *.
    replace (c + - ((c + eps) * v) * w) with (c - (c + eps) * (v * w)) by ring.
    apply Key. replace (d + 4)%nat with (d + 2 + 2)%nat by lia. apply near_mul; assumption. }
  (* the length of the rounded projection *)
  assert (Len : norm d (fun i => a i - t i) <= Y * A).
  { eapply Rle_trans; [apply (norm_le d _ (fun i => (a i - c * p i) + (c - (c + eps) * (v * om i)) * p i))|].
    { intros i. rewrite Ht. apply Req_le. f_equal. ring. }
    eapply Rle_trans; [apply norm_triangle|].
    assert (P1 : norm d (fun i => a i - c * p i) <= A).
    { apply sqrt_le_1_alt.
      rewrite (sum_ext d _ (fun i => (a i * a i + (c * c) * (p i * p i)) + (- 2 * c) * (a i * p i))) by (intros; ring).
      rewrite !sum_plus, !sum_scale, unit_sum, <- Hc. nra. }
    assert (P2 : norm d (fun i => (c - (c + eps) * (v * om i)) * p i) <= (Y - 1) * A).
    { eapply Rle_trans; [apply (norm_le d _ (fun i => ((Y - 1) * A) * p i))|].
      - intros i. rewrite !Rabs_mult. apply Rmult_le_compat_r; [apply Rabs_pos|].
        eapply Rle_trans; [apply Key|].
        + replace (d + 4)%nat with (d + 2 + 2)%nat by lia. apply near_mul; try assumption. apply Ho.
        + rewrite <- Rabs_mult. apply Rle_abs.
      - rewrite norm_scale, unit_norm, Rmult_1_r, Rabs_pos_eq; [lra|].
        apply Rmult_le_pos; [|exact A0]. rewrite YE. nra. }
    lra. }
  (* together *)
  rewrite (sum_ext d _ (fun i => p i * (a i - t i) + p i * (a i - t i) * (psi i - 1))) by (intros; ring).
  rewrite sum_plus. eapply Rle_trans; [apply Rabs_triang|].
  assert (Second : Rabs (sum d (fun i => p i * (a i - t i) * (psi i - 1))) <= (y ^ m - 1) * (Y * A)).
  { eapply Rle_trans; [apply sum_abs|].
    eapply Rle_trans; [apply (sum_le d _ (fun i => (y ^ m - 1) * Rabs (p i * (a i - t i))))|].
    - intros i. rewrite (Rabs_mult (p i * (a i - t i))), Rmult_comm.
      apply Rmult_le_compat_r; [apply Rabs_pos|]. apply near_error; try assumption. apply Hp.
    - rewrite sum_scale. apply Rmult_le_compat_l; [lra|].
      eapply Rle_trans; [apply cauchy_schwarz|]. rewrite unit_norm, Rmult_1_l. exact Len. }
  replace (y ^ (2 * d + 5 + m)) with (Y * y ^ m) by (unfold Y; rewrite <- pow_add; reflexivity).
  lra.
Qed.

(** Any later inner product whose terms carry m more roundings. *)
Lemma radial_bound m (th : nat -> R) : (forall i, near u m (th i)) ->
  exists rho, 0 < rho /\ near u (d + 2) (rho * rho) /\
  Rabs (sum d (fun i => q i * gradient_fl d a q i * th i))
    <= (y ^ (2 * d + 5 + (m + 2)) - 1) * A * / rho.
Proof.
  intros Hth. destruct norm_fl_factor as (rho & r0 & Hr & En). exists rho. split; [exact r0|]. split; [exact Hr|].
  assert (N0 : N <> 0) by (unfold N; lra). assert (A0 : 0 <= A) by apply norm_ge0.
  (* the normalised embedding *)
  set (de i := factor (q i / norm_fl d q)).
  assert (Eu : forall i, unit_fl d q i = p i * de i * / rho).
  { intros i. unfold unit_fl. rewrite rnd_factor. fold (de i). rewrite En. unfold p. field. split; (exact N0 || lra). }
  (* the cosine *)
  destruct (dot_fl_factors d a (unit_fl d q)) as (ph & Hph & Ec). fold (cosine_fl d a q) in Ec.
  set (c := sum d (fun i => a i * p i)).
  set (eps := sum d (fun i => a i * p i * (de i * ph i - 1))).
  assert (Ec' : cosine_fl d a q = (c + eps) * / rho).
  { rewrite Ec. unfold c, eps. rewrite <- sum_plus, Rmult_comm, <- sum_scale.
    apply sum_ext. intros i. rewrite Eu. ring. }
  assert (He : Rabs eps <= (y ^ (d + 1) - 1) * A).
  { unfold eps. eapply Rle_trans; [apply sum_abs|].
    eapply Rle_trans; [apply (sum_le d _ (fun i => (y ^ (d + 1) - 1) * Rabs (a i * p i)))|].
    - intros i. rewrite (Rabs_mult (a i * p i)), Rmult_comm.
      apply Rmult_le_compat_r; [apply Rabs_pos|]. apply near_error; try assumption.
      rewrite Nat.add_comm. apply near_mul; try assumption; [apply factor_near|apply Hph].
    - rewrite sum_scale. apply Rmult_le_compat_l.
      + pose proof (yk_ge1 u u0 u_lt1 (d + 1)). fold y in H. lra.
      + eapply Rle_trans; [apply cauchy_schwarz|]. rewrite unit_norm, Rmult_1_r. fold A. lra. }
  (* the projection *)
  set (om i := de i * factor (cosine_fl d a q * unit_fl d q i)).
  set (t i := rnd (cosine_fl d a q * unit_fl d q i)).
  assert (Et : forall i, t i = (c + eps) * p i * om i * / (rho * rho)).
  { intros i. unfold t. rewrite rnd_factor. unfold om. rewrite Ec', Eu. field. lra. }
  set (f1 i := factor (a i - t i)). set (f2 i := factor (rnd (a i - t i) / norm_fl d q)).
  assert (Eg : forall i, gradient_fl d a q i = (a i - t i) * (f1 i * f2 i) * / (N * rho)).
  { intros i. unfold gradient_fl. fold (t i). rewrite rnd_factor. fold (f2 i). rewrite (rnd_factor (a i - t i)).
    fold (f1 i). rewrite En. field. split; (exact N0 || lra). }
  rewrite (sum_ext d _ (fun i => / rho * (p i * (a i - t i) * (th i * (f1 i * f2 i))))).
  2: { intros i. rewrite Eg. unfold p. field. split; (exact N0 || lra). }
  rewrite sum_scale, Rabs_mult, (Rabs_pos_eq (/ rho)) by (apply Rlt_le, Rinv_0_lt_compat; exact r0).
  rewrite Rmult_comm. apply Rmult_le_compat_r; [apply Rlt_le, Rinv_0_lt_compat; exact r0|].
  apply (projection_bound c eps t om (/ (rho * rho))); try assumption; try reflexivity.
  - apply near_inv; assumption.
  - intros i. change 2%nat with (1 + 1)%nat. apply near_mul; try assumption; apply factor_near.
  - intros i. replace (m + 2)%nat with (m + (1 + 1))%nat by lia.
    apply near_mul; try assumption; [apply Hth|]. apply near_mul; try assumption; apply factor_near.
Qed.

(** From the counted roundings to gamma, with the square root's half of them. *)
Lemma half_gamma k rho : 0 < rho -> near u (d + 2) (rho * rho) ->
  INR (k + 3) * u < 1 -> INR (k + 3) * INR (d + 2) * u <= 6 -> (d + 2 <= k)%nat ->
  (y ^ k - 1) * / rho <= gamma u (k + 3).
Proof.
  intros r0 Hr H1 H2 Hk.
  assert (Hk' : INR k * u < 1) by (rewrite plus_INR in H1; simpl in H1; nra).
  set (m := INR (d + 2)) in *. set (K := INR k) in *.
  assert (E3 : INR (k + 3) = K + 3) by (rewrite plus_INR; simpl; unfold K; lra).
  rewrite E3 in *.
  assert (mK : m <= K) by (apply le_INR; exact Hk).
  assert (m0 : 0 <= m) by apply pos_INR.
  assert (mu : m * u < 1) by nra.
  assert (Hh : (1 - m / 2 * u) * (1 - m / 2 * u) <= (1 - u) ^ (d + 2)).
  { unfold m. replace (d + 2)%nat with (S (S d)) by lia. apply lk_half; try assumption.
    replace (S (S d)) with (d + 2)%nat by lia. fold m. lra. }
  assert (z0 : 0 < 1 - m / 2 * u) by nra.
  assert (Hz : 1 - m / 2 * u <= rho).
  { apply Rsqr_incr_0_var; [|lra]. unfold Rsqr. destruct Hr as [Hr _]. lra. }
  assert (Hinv : / rho <= / (1 - m / 2 * u)) by (apply Rinv_le_contravar; assumption).
  assert (P : y ^ k - 1 <= K * u / (1 - K * u)).
  { apply (yk_gamma u u0 u_lt1). exact Hk'. }
  assert (P0 : 0 <= y ^ k - 1) by (pose proof (yk_ge1 u u0 u_lt1 k); fold y in H; lra).
  assert (r1 : 0 <= / rho) by (apply Rlt_le, Rinv_0_lt_compat; exact r0).
  unfold gamma. rewrite E3.
  eapply Rle_trans; [apply Rmult_le_compat; [exact P0|exact r1|exact P|exact Hinv]|].
  apply (Rmult_le_reg_r ((1 - K * u) * (1 - m / 2 * u))); [apply Rmult_lt_0_compat; lra|].
  replace (K * u / (1 - K * u) * / (1 - m / 2 * u) * ((1 - K * u) * (1 - m / 2 * u))) with (K * u) by (field; lra).
  apply (Rmult_le_reg_r (1 - (K + 3) * u)); [lra|].
  replace ((K + 3) * u / (1 - (K + 3) * u) * ((1 - K * u) * (1 - m / 2 * u)) * (1 - (K + 3) * u))
    with ((K + 3) * u * ((1 - K * u) * (1 - m / 2 * u))) by (field; lra).
  assert (K0 : 0 <= K) by apply pos_INR.
  assert (Q : 0 <= 3 - (K + 3) * (m / 2) * u + (K + 3) * K * (m / 2) * (u * u)).
  { assert (0 <= (K + 3) * K * (m / 2) * (u * u)) by (repeat apply Rmult_le_pos; lra). lra. }
  assert (0 <= u * (3 - (K + 3) * (m / 2) * u + (K + 3) * K * (m / 2) * (u * u))) by (apply Rmult_le_pos; assumption).
  nra.
Qed.

Lemma full_gamma k rho : 0 < rho -> near u (d + 2) (rho * rho) -> INR (k + (d + 2)) * u < 1 ->
  (y ^ k - 1) * / rho <= gamma u (k + (d + 2)).
Proof.
  intros r0 Hr H. eapply Rle_trans; [|apply yk_gamma; assumption]. fold y.
  assert (Y1 : 1 <= y ^ (d + 2)) by (apply (yk_ge1 u u0 u_lt1)).
  assert (Yk : 1 <= y ^ k) by (apply (yk_ge1 u u0 u_lt1)).
  assert (Hi : / rho <= y ^ (d + 2)).
  { apply Rsqr_incr_0_var; [|lra]. unfold Rsqr.
    pose proof (near_inv u u_lt1 _ _ Hr) as [_ H2]. fold y in H2. rewrite Rinv_mult in H2. nra. }
  rewrite pow_add. assert (0 <= / rho) by (apply Rlt_le, Rinv_0_lt_compat; exact r0). nra.
Qed.

(** The exact inner product of the embedding with the computed gradient. *)
Theorem computed_gradient_orthogonal :
  INR (2 * d + 10) * u < 1 -> INR (2 * d + 10) * INR (d + 2) * u <= 6 ->
  Rabs (dot_exact d q (gradient_fl d a q)) <= gamma u (2 * d + 10) * norm d a.
Proof.
  intros H1 H2. destruct (radial_bound 0 (fun _ => 1)) as (rho & r0 & Hr & B).
  { intros; apply near_one; assumption. }
  unfold dot_exact. rewrite (sum_ext d _ (fun i => q i * gradient_fl d a q i * 1)) by (intros; ring).
  eapply Rle_trans; [exact B|]. fold A.
  replace ((y ^ (2 * d + 5 + (0 + 2)) - 1) * A * / rho) with ((y ^ (2 * d + 7) - 1) * / rho * A).
  2: { replace (2 * d + 5 + (0 + 2))%nat with (2 * d + 7)%nat by lia. ring. }
  apply Rmult_le_compat_r; [apply norm_ge0|]. replace (2 * d + 10)%nat with (2 * d + 7 + 3)%nat in * by lia.
  apply half_gamma; try assumption. lia.
Qed.

(** The inner product computed from left to right in the same precision: the tolerance of the claim. *)
Theorem gradient_orthogonality_tolerance :
  INR (3 * d + 10) * u < 1 -> INR (3 * d + 10) * INR (d + 2) * u <= 6 ->
  Rabs (dot_fl rnd d q (gradient_fl d a q)) <= gamma u (3 * d + 10) * norm d a.
Proof.
  intros H1 H2. destruct (dot_fl_factors d q (gradient_fl d a q)) as (th & Hth & E).
  destruct (radial_bound d th Hth) as (rho & r0 & Hr & B). rewrite E.
  eapply Rle_trans; [exact B|]. fold A.
  replace ((y ^ (2 * d + 5 + (d + 2)) - 1) * A * / rho) with ((y ^ (3 * d + 7) - 1) * / rho * A).
  2: { replace (2 * d + 5 + (d + 2))%nat with (3 * d + 7)%nat by lia. ring. }
  apply Rmult_le_compat_r; [apply norm_ge0|]. replace (3 * d + 10)%nat with (3 * d + 7 + 3)%nat in * by lia.
  apply half_gamma; try assumption. lia.
Qed.

(** Without a condition that ties d to u: gamma_(4d+9). *)
Theorem gradient_orthogonality_tolerance_any_dimension : INR (4 * d + 9) * u < 1 ->
  Rabs (dot_fl rnd d q (gradient_fl d a q)) <= gamma u (4 * d + 9) * norm d a.
Proof.
  intros H1. destruct (dot_fl_factors d q (gradient_fl d a q)) as (th & Hth & E).
  destruct (radial_bound d th Hth) as (rho & r0 & Hr & B). rewrite E.
  eapply Rle_trans; [exact B|]. fold A.
  replace ((y ^ (2 * d + 5 + (d + 2)) - 1) * A * / rho) with ((y ^ (3 * d + 7) - 1) * / rho * A).
  2: { replace (2 * d + 5 + (d + 2))%nat with (3 * d + 7)%nat by lia. ring. }
  apply Rmult_le_compat_r; [apply norm_ge0|].
  replace (4 * d + 9)%nat with (3 * d + 7 + (d + 2))%nat in * by lia.
  apply full_gamma; assumption.
Qed.

End Gradient.

(** A gradient that is stored with another roundoff v (bfloat16 tables under binary32 arithmetic). *)
Theorem stored_gradient_residual d q g s v : 0 <= v -> (forall i, Rabs (s i - g i) <= v * Rabs (g i)) ->
  Rabs (dot_exact d q s) <= Rabs (dot_exact d q g) + v * (norm d q * norm d g).
Proof.
  intros v0 H. unfold dot_exact.
  rewrite (sum_ext d _ (fun i => q i * g i + q i * (s i - g i))) by (intros; ring).
  rewrite sum_plus. eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat_l.
  eapply Rle_trans; [apply sum_abs|].
  eapply Rle_trans; [apply (sum_le d _ (fun i => v * Rabs (q i * g i)))|].
  - intros i. rewrite !Rabs_mult. pose proof (H i). pose proof (Rabs_pos (q i)). nra.
  - rewrite sum_scale. apply Rmult_le_compat_l; [exact v0|]. apply cauchy_schwarz.
Qed.

(** ** The formats without their exponent limits (no underflow, no overflow) *)
Section Unbounded.
Variable prec : Z.
Hypothesis prec_pos : (0 < prec)%Z.

Lemma unbounded_rounding :
  rounding (round radix2 (FLX_exp prec) ZnearestE) (/ 2 * bpow radix2 (- prec + 1)) 0.
Proof.
  assert (PF : Prec_gt_0 prec) by exact prec_pos.
  assert (B : forall x, Rabs (round radix2 (FLX_exp prec) ZnearestE x - x) <= / 2 * bpow radix2 (- prec + 1) * Rabs x)
    by (intros x; apply relative_error_N_FLX; exact PF).
  split; try lra.
  - apply Rmult_le_pos; [lra|apply bpow_ge_0].
  - intros x. apply round_generic; [apply valid_rnd_N|].
    apply generic_format_round; [apply FLX_exp_valid; exact PF|apply valid_rnd_N].
  - intros x. rewrite Rplus_0_r. apply B.
  - intros x z _ _. apply B.
Qed.
End Unbounded.

Definition binary64_unbounded : R -> R := round radix2 (FLX_exp 53) ZnearestE.
Definition binary32_unbounded : R -> R := round radix2 (FLX_exp 24) ZnearestE.

Lemma binary64_unbounded_rounding : rounding binary64_unbounded u64 0.
Proof. unfold u64. rewrite <- (half_bpow (-53)). apply (unbounded_rounding 53). reflexivity. Qed.

Lemma binary32_unbounded_rounding : rounding binary32_unbounded u32 0.
Proof. unfold u32. rewrite <- (half_bpow (-24)). apply (unbounded_rounding 24). reflexivity. Qed.

Lemma u64_lt1 : u64 < 1.
Proof. unfold u64. change 1 with (bpow radix2 0). apply bpow_lt. reflexivity. Qed.

Lemma u32_lt1 : u32 < 1.
Proof. unfold u32. change 1 with (bpow radix2 0). apply bpow_lt. reflexivity. Qed.

Corollary binary64_gradient_orthogonality d a q : 0 < norm d q ->
  INR (3 * d + 10) * u64 < 1 -> INR (3 * d + 10) * INR (d + 2) * u64 <= 6 ->
  Rabs (dot_fl binary64_unbounded d q (gradient_fl binary64_unbounded d a q)) <= gamma u64 (3 * d + 10) * norm d a.
Proof. apply gradient_orthogonality_tolerance; [apply binary64_unbounded_rounding|apply u64_lt1]. Qed.

Corollary binary32_gradient_orthogonality d a q : 0 < norm d q ->
  INR (3 * d + 10) * u32 < 1 -> INR (3 * d + 10) * INR (d + 2) * u32 <= 6 ->
  Rabs (dot_fl binary32_unbounded d q (gradient_fl binary32_unbounded d a q)) <= gamma u32 (3 * d + 10) * norm d a.
Proof. apply gradient_orthogonality_tolerance; [apply binary32_unbounded_rounding|apply u32_lt1]. Qed.

(** ** The hypotheses can hold: d = 1, q = a = 1. *)
Lemma one_norm : 0 < norm 1 (fun _ => 1).
Proof. unfold norm. simpl. rewrite Rplus_0_l, Rmult_1_r, sqrt_1. lra. Qed.

Example computed_gradient_orthogonal_nonvacuous : nonvacuous computed_gradient_orthogonal.
Proof.
  intros H. pose proof u64_small. pose proof one_norm.
  apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.

Example gradient_orthogonality_tolerance_nonvacuous : nonvacuous gradient_orthogonality_tolerance.
Proof.
  intros H. pose proof u64_small. pose proof one_norm.
  apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.

Example gradient_orthogonality_tolerance_any_dimension_nonvacuous :
  nonvacuous gradient_orthogonality_tolerance_any_dimension.
Proof.
  intros H. pose proof u64_small. pose proof one_norm.
  apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.

Example stored_gradient_residual_nonvacuous : nonvacuous stored_gradient_residual.
Proof.
  intros H. apply (H 1%nat (fun _ => 1) (fun _ => 1) (fun _ => 1) 0); [lra|].
  intros i. rewrite Rminus_diag_eq, Rabs_R0 by reflexivity. lra.
Qed.

Example binary64_gradient_orthogonality_nonvacuous : nonvacuous binary64_gradient_orthogonality.
Proof.
  intros H. pose proof u64_small. pose proof one_norm.
  apply (H 1%nat (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.

Example binary32_gradient_orthogonality_nonvacuous : nonvacuous binary32_gradient_orthogonality.
Proof.
  intros H. pose proof u32_small. pose proof one_norm.
  apply (H 1%nat (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.

(** At the dimension of a real table the condition on d holds with room: d = 4096 in binary32. *)
Example binary32_dimension_4096 : INR (3 * 4096 + 10) * INR (4096 + 2) * u32 <= 6.
Proof.
  rewrite !INR_IZR_INZ, Nat2Z.inj_add, Nat2Z.inj_mul, Nat2Z.inj_add. unfold u32. simpl. lra.
Qed.
