(** * Rounding of an SGD step: orthogonality and norm growth of the stored row

    The step is computed as q'_i = fl(q_i - fl(eta g_i)), each operation with relative error at
    most u. Whatever g is,
      |<q, q'-q> + eta <q,g>| <= u/(1-u) |q| |q'| + u eta |q| |g|,
      | |q'|^2 - |q|^2 - eta^2 |g|^2 | <= 2 eta |<q,g>| + 2u(1+2u) (|q| + eta |g|)(|q| + (2+u) eta |g|).
    With the computed gradient of a cosine loss, |<q,g>| <= gamma_(2d+10) |a| (FloatDotGradient).
    Measuring adds: gamma_(d+3) (|q'|^2 + |q|^2 + eta^2 |g|^2) when the three squared norms are
    computed and subtracted; only gamma_(d+2) |q'-q| |q'+q| when the difference of the squared
    norms is computed as <q'-q, q'+q>, which is why the code prefers that form.
    Source: derived here. *)
From Coq Require Import Reals Lra Lia Psatz.
From Flocq Require Import Core.
From Perpend Require Import FloatDot FloatDotGradient NonVacuous.
Open Scope R_scope.

Section Step.
Variables (rnd : R -> R) (u : R).
Hypothesis ok : rounding rnd u 0.
Hypothesis u_lt1 : u < 1.
Variables (d : nat) (eta : R) (q g : nat -> R).
Hypothesis eta_ge0 : 0 <= eta.

Definition step_fl (i : nat) : R := rnd (q i - rnd (eta * g i)).

Let u0 : 0 <= u := unit_ge0 _ _ _ ok.
Let y := / (1 - u).
Let Q := norm d q.
Let G := eta * norm d g.

Lemma rnd_rel x : Rabs (rnd x - x) <= u * Rabs x.
Proof. pose proof (rnd_mul _ _ _ ok x). lra. Qed.

(** Nearest is near the result as well as near the argument. *)
Lemma rnd_rel_result x : Rabs (rnd x - x) <= u / (1 - u) * Rabs (rnd x).
Proof.
  pose proof (rnd_rel x) as H. apply (Rmult_le_reg_r (1 - u)); [lra|].
  replace (u / (1 - u) * Rabs (rnd x) * (1 - u)) with (u * Rabs (rnd x)) by (field; lra).
  pose proof (Rabs_triang (x - rnd x) (rnd x)) as T. replace (x - rnd x + rnd x) with x in T by ring.
  rewrite Rabs_minus_sym in T. nra.
Qed.

Lemma product_error i : Rabs (rnd (eta * g i) - eta * g i) <= u * eta * Rabs (g i).
Proof.
  eapply Rle_trans; [apply rnd_rel|]. rewrite Rabs_mult, (Rabs_pos_eq eta) by assumption. lra.
Qed.

(** The stored step is the SGD step up to the storage rounding of q' and of eta g. *)
Theorem update_orthogonality_tolerance :
  Rabs (dot_exact d q (fun i => step_fl i - q i) + eta * dot_exact d q g)
  <= u / (1 - u) * (norm d q * norm d step_fl) + u * eta * (norm d q * norm d g).
Proof.
  unfold dot_exact. rewrite <- sum_scale, <- sum_plus.
  rewrite (sum_ext d _ (fun i => q i * (step_fl i - (q i - rnd (eta * g i))) + q i * (eta * g i - rnd (eta * g i)))) by (intros; ring).
  rewrite sum_plus. eapply Rle_trans; [apply Rabs_triang|].
  assert (v0 : 0 <= u / (1 - u)).
  { apply Rmult_le_pos; [lra|]. apply Rlt_le, Rinv_0_lt_compat. lra. }
  apply Rplus_le_compat; (eapply Rle_trans; [apply sum_abs|]).
  - eapply Rle_trans; [apply (sum_le d _ (fun i => u / (1 - u) * Rabs (q i * step_fl i)))|].
    + intros i. rewrite !Rabs_mult. pose proof (rnd_rel_result (q i - rnd (eta * g i))) as H.
      fold (step_fl i) in H. pose proof (Rabs_pos (q i)).
      apply Rle_trans with (Rabs (q i) * (u / (1 - u) * Rabs (step_fl i))); [apply Rmult_le_compat_l; assumption|]. lra.
    + rewrite sum_scale. apply Rmult_le_compat_l; [exact v0|]. apply cauchy_schwarz.
  - eapply Rle_trans; [apply (sum_le d _ (fun i => u * eta * Rabs (q i * g i)))|].
    + intros i. rewrite !Rabs_mult, (Rabs_minus_sym (eta * g i)). pose proof (product_error i) as H.
      pose proof (Rabs_pos (q i)).
      apply Rle_trans with (Rabs (q i) * (u * eta * Rabs (g i))); [apply Rmult_le_compat_l; assumption|]. lra.
    + rewrite sum_scale. apply Rmult_le_compat_l; [apply Rmult_le_pos; assumption|]. apply cauchy_schwarz.
Qed.

(** The stored row as the exact step plus a perturbation. *)
Lemma step_perturbation :
  norm d (fun i => step_fl i - (q i - eta * g i)) <= u * (Q + (2 + u) * G).
Proof.
  assert (Q0 : 0 <= Q) by apply norm_ge0.
  assert (G0 : 0 <= G) by (apply Rmult_le_pos; [assumption|apply norm_ge0]).
  eapply Rle_trans; [apply (norm_le d _ (fun i => u * (Rabs (q i) + ((2 + u) * eta) * Rabs (g i))))|].
  - intros i. set (b := Rabs (q i) + (2 + u) * eta * Rabs (g i)).
    assert (b0 : 0 <= b).
    { unfold b. pose proof (Rabs_pos (q i)). pose proof (Rabs_pos (g i)).
      assert (0 <= (2 + u) * eta * Rabs (g i)) by (repeat apply Rmult_le_pos; lra). lra. }
    rewrite (Rabs_pos_eq (u * b)) by (apply Rmult_le_pos; lra).
    replace (step_fl i - (q i - eta * g i))
      with ((step_fl i - (q i - rnd (eta * g i))) + - (rnd (eta * g i) - eta * g i)) by ring.
    eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_Ropp.
    pose proof (rnd_rel (q i - rnd (eta * g i))) as H1. fold (step_fl i) in H1.
    pose proof (product_error i) as H2.
    assert (H3 : Rabs (q i - rnd (eta * g i)) <= Rabs (q i) + (1 + u) * (eta * Rabs (g i))).
    { replace (q i - rnd (eta * g i)) with (q i + (- (eta * g i) + - (rnd (eta * g i) - eta * g i))) by ring.
      eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat_l.
      eapply Rle_trans; [apply Rabs_triang|]. rewrite !Rabs_Ropp, Rabs_mult, (Rabs_pos_eq eta) by assumption. lra. }
    unfold b. nra.
  - rewrite norm_scale, (Rabs_pos_eq u) by assumption. apply Rmult_le_compat_l; [exact u0|].
    eapply Rle_trans; [apply norm_triangle|].
    rewrite (norm_scale d ((2 + u) * eta) (fun i => Rabs (g i))), Rabs_pos_eq by (apply Rmult_le_pos; lra).
    assert (E : forall f, norm d (fun i => Rabs (f i)) = norm d f).
    { intros f. unfold norm. f_equal. apply sum_ext. intros i. rewrite <- Rabs_mult. apply Rabs_pos_eq. nra. }
    rewrite !E. unfold Q, G. lra.
Qed.

(** One step's growth, in exact arithmetic on the stored rows. *)
Theorem norm_growth_tolerance :
  Rabs (dot_exact d step_fl step_fl - dot_exact d q q - eta * eta * dot_exact d g g)
  <= 2 * eta * Rabs (dot_exact d q g)
     + 2 * u * (1 + 2 * u) * ((norm d q + eta * norm d g) * (norm d q + (2 + u) * (eta * norm d g))).
Proof.
  fold Q. fold G. assert (Q0 : 0 <= Q) by apply norm_ge0.
  assert (G0 : 0 <= G) by (apply Rmult_le_pos; [assumption|apply norm_ge0]).
  set (m i := q i - eta * g i). set (e i := step_fl i - m i).
  assert (En : norm d e <= u * (Q + (2 + u) * G)) by apply step_perturbation.
  assert (Mn : norm d m <= Q + G).
  { unfold m. eapply Rle_trans; [apply (norm_le d _ (fun i => q i + (- eta) * g i))|].
    - intros i. apply Req_le. f_equal. ring.
    - eapply Rle_trans; [apply norm_triangle|]. rewrite norm_scale, Rabs_Ropp, Rabs_pos_eq by assumption.
      unfold Q, G. lra. }
  assert (E : dot_exact d step_fl step_fl - dot_exact d q q - eta * eta * dot_exact d g g
     = - (2 * eta) * dot_exact d q g + (2 * sum d (fun i => m i * e i) + sum d (fun i => e i * e i))).
  { unfold dot_exact.
    rewrite (sum_ext d (fun i => step_fl i * step_fl i)
      (fun i => ((q i * q i + (eta * eta) * (g i * g i)) + (- (2 * eta)) * (q i * g i)) + (2 * (m i * e i) + e i * e i)))
      by (intros; unfold e, m; ring).
    rewrite !sum_plus, !sum_scale. ring. }
  rewrite E. eapply Rle_trans; [apply Rabs_triang|]. apply Rplus_le_compat.
  - rewrite Rabs_mult, Rabs_Ropp, Rabs_pos_eq by lra. lra.
  - eapply Rle_trans; [apply Rabs_triang|].
    rewrite Rabs_mult, (Rabs_pos_eq 2) by lra. rewrite (Rabs_pos_eq (sum d (fun i => e i * e i))) by apply sum_sq_ge0.
    rewrite <- norm_sq.
    pose proof (norm_ge0 d e) as e0. pose proof (norm_ge0 d m) as m0.
    assert (H1 : Rabs (sum d (fun i => m i * e i)) <= norm d m * norm d e).
    { eapply Rle_trans; [apply sum_abs|apply cauchy_schwarz]. }
    set (M := Q + G) in *. set (M2 := Q + (2 + u) * G) in *.
    assert (M0 : 0 <= M) by (unfold M; lra).
    assert (uG : 0 <= u * G) by (apply Rmult_le_pos; assumption).
    assert (M20 : 0 <= M2) by (unfold M2; nra).
    assert (Hm : M2 <= (2 + u) * M) by (unfold M2, M; nra).
    assert (H2 : norm d m * norm d e <= M * (u * M2)) by (apply Rmult_le_compat; assumption).
    assert (H3 : norm d e * norm d e <= (u * M2) * (u * M2)) by (apply Rmult_le_compat; assumption).
    assert (H4 : (u * M2) * (u * M2) <= (u * u) * (M2 * ((2 + u) * M))).
    { replace ((u * M2) * (u * M2)) with ((u * u) * (M2 * M2)) by ring.
      apply Rmult_le_compat_l; [nra|]. apply Rmult_le_compat_l; assumption. }
    assert (MM : 0 <= M * M2) by (apply Rmult_le_pos; assumption).
    assert (H5 : (u * u) * (M2 * ((2 + u) * M)) <= (u * u) * (4 * (M * M2))).
    { apply Rmult_le_compat_l; [nra|]. nra. }
    nra.
Qed.

(** ** Measuring it in floating point *)

(** Three computed squared norms, subtracted. *)
Theorem norm_growth_measured (q' : nat -> R) : INR (d + 3) * u < 1 ->
  Rabs (rnd (rnd (dot_fl rnd d q' q' - dot_fl rnd d q q) - rnd (rnd (eta * eta) * dot_fl rnd d g g))
        - (dot_exact d q' q' - dot_exact d q q - eta * eta * dot_exact d g g))
  <= gamma u (d + 3) * (dot_exact d q' q' + dot_exact d q q + eta * eta * dot_exact d g g).
Proof.
  intros H.
  assert (Sq : forall w, exists th, near u d th /\ dot_fl rnd d w w = dot_exact d w w * th).
  { intros w. destruct (dot_fl_factors rnd u ok u_lt1 d w w) as (th & Ht & E).
    destruct (Req_dec (dot_exact d w w) 0) as [Z|Z].
    - exists 1. split; [apply near_one; assumption|]. rewrite Z, Rmult_0_l, E.
      assert (W : forall i, 0 <= w i * w i) by (intros i; apply Rle_0_sqr).
      assert (Up : sum d (fun i => w i * w i * th i) <= y ^ d * sum d (fun i => w i * w i)).
      { rewrite <- sum_scale. apply sum_le. intros i. destruct (Ht i) as [_ B]. fold y in B. pose proof (W i). nra. }
      assert (Lo : 0 <= sum d (fun i => w i * w i * th i)).
      { apply sum_ge0. intros i. apply Rmult_le_pos; [apply W|]. pose proof (near_pos u u_lt1 _ _ (Ht i)). lra. }
      unfold dot_exact in Z. rewrite Z, Rmult_0_r in Up. lra.
    - exists (sum d (fun i => w i * w i * th i) / dot_exact d w w). split.
      + unfold dot_exact in *. apply near_sum; try assumption; [intros i; apply Rle_0_sqr|].
        pose proof (sum_sq_ge0 d w). lra.
      + rewrite E. field. exact Z. }
  destruct (Sq q') as (t1 & N1 & E1). destruct (Sq q) as (t2 & N2 & E2). destruct (Sq g) as (t3 & N3 & E3).
  set (A' := dot_exact d q' q') in *. set (A := dot_exact d q q) in *. set (B := dot_exact d g g) in *.
  assert (A'0 : 0 <= A') by apply sum_sq_ge0. assert (A0 : 0 <= A) by apply sum_sq_ge0.
  assert (B0 : 0 <= B) by apply sum_sq_ge0.
  pose proof (fun x => factor_near rnd u ok u_lt1 x) as Fn.
  rewrite E1, E2, E3.
  set (f1 := factor rnd (A' * t1 - A * t2)). set (fe := factor rnd (eta * eta)).
  set (f3 := factor rnd (rnd (eta * eta) * (B * t3))).
  set (f2 := factor rnd (rnd (A' * t1 - A * t2) - rnd (rnd (eta * eta) * (B * t3)))).
  assert (Er : rnd (rnd (A' * t1 - A * t2) - rnd (rnd (eta * eta) * (B * t3)))
     = A' * (t1 * (f1 * f2)) - A * (t2 * (f1 * f2)) - eta * eta * B * (t3 * (fe * (f3 * f2)))).
  { rewrite (rnd_factor rnd u ok). fold f2. rewrite (rnd_factor rnd u ok (A' * t1 - A * t2)). fold f1.
    rewrite (rnd_factor rnd u ok (rnd (eta * eta) * (B * t3))). fold f3.
    rewrite (rnd_factor rnd u ok (eta * eta)). fold fe. ring. }
  rewrite Er.
  assert (K : forall x, near u (d + 3) x -> Rabs (x - 1) <= gamma u (d + 3)).
  { intros x Hx. eapply Rle_trans; [apply (near_error u u0 u_lt1 _ _ Hx)|]. apply yk_gamma; assumption. }
  assert (N12 : near u (1 + 1) (f1 * f2)) by (apply near_mul; try assumption; apply Fn).
  assert (K1 : Rabs (t1 * (f1 * f2) - 1) <= gamma u (d + 3)).
  { apply K, (near_mono u u0 u_lt1 (d + (1 + 1))); [lia|]. apply near_mul; assumption. }
  assert (K2 : Rabs (t2 * (f1 * f2) - 1) <= gamma u (d + 3)).
  { apply K, (near_mono u u0 u_lt1 (d + (1 + 1))); [lia|]. apply near_mul; assumption. }
  assert (K3 : Rabs (t3 * (fe * (f3 * f2)) - 1) <= gamma u (d + 3)).
  { apply K. replace (d + 3)%nat with (d + (1 + (1 + 1)))%nat by lia.
    repeat (apply near_mul; try assumption); apply Fn. }
  replace (A' * (t1 * (f1 * f2)) - A * (t2 * (f1 * f2)) - eta * eta * B * (t3 * (fe * (f3 * f2))) - (A' - A - eta * eta * B))
    with (A' * (t1 * (f1 * f2) - 1) + (- (A * (t2 * (f1 * f2) - 1)) + - (eta * eta * B * (t3 * (fe * (f3 * f2)) - 1)))) by ring.
  eapply Rle_trans; [apply Rabs_triang|].
  eapply Rle_trans; [apply Rplus_le_compat_l, Rabs_triang|].
  assert (eB : 0 <= eta * eta * B) by (repeat apply Rmult_le_pos; assumption).
  rewrite !Rabs_Ropp, (Rabs_mult A'), (Rabs_mult A), (Rabs_mult (eta * eta * B)), (Rabs_pos_eq A'), (Rabs_pos_eq A), (Rabs_pos_eq (eta * eta * B)) by assumption.
  assert (A' * Rabs (t1 * (f1 * f2) - 1) <= A' * gamma u (d + 3)) by (apply Rmult_le_compat_l; assumption).
  assert (A * Rabs (t2 * (f1 * f2) - 1) <= A * gamma u (d + 3)) by (apply Rmult_le_compat_l; assumption).
  assert (eta * eta * B * Rabs (t3 * (fe * (f3 * f2)) - 1) <= eta * eta * B * gamma u (d + 3)) by (apply Rmult_le_compat_l; assumption).
  lra.
Qed.

(** The difference of the squared norms as one inner product, <q'-q, q'+q>. *)
Theorem difference_of_squares_measured (q' : nat -> R) : INR (d + 2) * u < 1 ->
  Rabs (dot_fl rnd d (fun i => rnd (q' i - q i)) (fun i => rnd (q' i + q i))
        - (dot_exact d q' q' - dot_exact d q q))
  <= gamma u (d + 2) * (norm d (fun i => q' i - q i) * norm d (fun i => q' i + q i)).
Proof.
  intros H. destruct (dot_fl_factors rnd u ok u_lt1 d (fun i => rnd (q' i - q i)) (fun i => rnd (q' i + q i))) as (th & Ht & E).
  rewrite E. unfold dot_exact.
  replace (sum d (fun i => q' i * q' i) - sum d (fun i => q i * q i))
    with (sum d (fun i => q' i * q' i) + (-1) * sum d (fun i => q i * q i)) by ring.
  rewrite <- sum_scale, <- sum_plus.
  set (L := sum d (fun i => rnd (q' i - q i) * rnd (q' i + q i) * th i)).
  replace (L - sum d (fun i => q' i * q' i + -1 * (q i * q i)))
    with (L + (-1) * sum d (fun i => q' i * q' i + -1 * (q i * q i))) by ring.
  unfold L. rewrite <- sum_scale, <- sum_plus.
  set (f1 i := factor rnd (q' i - q i)). set (f2 i := factor rnd (q' i + q i)).
  rewrite (sum_ext d _ (fun i => (q' i - q i) * (q' i + q i) * (th i * (f1 i * f2 i) - 1))).
  2: { intros i. rewrite (rnd_factor rnd u ok (q' i - q i)), (rnd_factor rnd u ok (q' i + q i)). unfold f1, f2. ring. }
  eapply Rle_trans; [apply sum_abs|].
  eapply Rle_trans; [apply (sum_le d _ (fun i => gamma u (d + 2) * Rabs ((q' i - q i) * (q' i + q i))))|].
  - intros i. rewrite (Rabs_mult ((q' i - q i) * (q' i + q i))), Rmult_comm.
    apply Rmult_le_compat_r; [apply Rabs_pos|].
    assert (Nf : near u (d + (1 + 1)) (th i * (f1 i * f2 i))).
    { apply near_mul; try assumption; [apply Ht|].
      apply near_mul; try assumption; apply factor_near; assumption. }
    eapply Rle_trans; [apply (near_error u u0 u_lt1 _ _ Nf)|]. apply yk_gamma; assumption.
  - rewrite sum_scale. apply Rmult_le_compat_l; [apply gamma_ge0; assumption|].
    apply (cauchy_schwarz d (fun i => q' i - q i) (fun i => q' i + q i)).
Qed.

End Step.

(** ** One step of a cosine loss from end to end: gradient, step, growth *)
Section Whole_step.
Variables (rnd : R -> R) (u : R).
Hypothesis ok : rounding rnd u 0.
Hypothesis u_lt1 : u < 1.
Variables (d : nat) (eta : R) (a q : nat -> R).
Hypothesis eta_ge0 : 0 <= eta.
Hypothesis q_pos : 0 < norm d q.
Hypothesis small : INR (2 * d + 10) * u < 1.
Hypothesis dimension : INR (2 * d + 10) * INR (d + 2) * u <= 6.

Let g := gradient_fl rnd d a q.
Let q' := step_fl rnd eta q g.

Corollary cosine_step_orthogonality :
  Rabs (dot_exact d q (fun i => q' i - q i))
  <= u / (1 - u) * (norm d q * norm d q') + u * eta * (norm d q * norm d g)
     + eta * gamma u (2 * d + 10) * norm d a.
Proof.
  pose proof (update_orthogonality_tolerance rnd u ok u_lt1 d eta q g eta_ge0) as H. fold q' in H.
  pose proof (computed_gradient_orthogonal rnd u ok u_lt1 d a q q_pos small dimension) as K. fold g in K.
  set (x := dot_exact d q (fun i => q' i - q i)) in *. set (z := dot_exact d q g) in *.
  replace x with ((x + eta * z) + - (eta * z)) by ring.
  eapply Rle_trans; [apply Rabs_triang|]. rewrite Rabs_Ropp, (Rabs_mult eta), (Rabs_pos_eq eta) by assumption.
  assert (eta * Rabs z <= eta * (gamma u (2 * d + 10) * norm d a)) by (apply Rmult_le_compat_l; assumption). lra.
Qed.

Corollary cosine_step_growth :
  Rabs (dot_exact d q' q' - dot_exact d q q - eta * eta * dot_exact d g g)
  <= 2 * eta * gamma u (2 * d + 10) * norm d a
     + 2 * u * (1 + 2 * u) * ((norm d q + eta * norm d g) * (norm d q + (2 + u) * (eta * norm d g))).
Proof.
  pose proof (norm_growth_tolerance rnd u ok u_lt1 d eta q g eta_ge0) as H. fold q' in H.
  pose proof (computed_gradient_orthogonal rnd u ok u_lt1 d a q q_pos small dimension) as K. fold g in K.
  assert (2 * eta * Rabs (dot_exact d q g) <= 2 * eta * (gamma u (2 * d + 10) * norm d a))
    by (apply Rmult_le_compat_l; [lra|assumption]). lra.
Qed.

End Whole_step.

(** ** The hypotheses can hold: binary64 without exponent limits, d = 1, q = a = g = 1, eta = 1. *)
Example update_orthogonality_tolerance_nonvacuous : nonvacuous update_orthogonality_tolerance.
Proof. intros H. apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat 1 (fun _ => 1) (fun _ => 1)). lra. Qed.

Example norm_growth_tolerance_nonvacuous : nonvacuous norm_growth_tolerance.
Proof. intros H. apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat 1 (fun _ => 1) (fun _ => 1)). lra. Qed.

Example norm_growth_measured_nonvacuous : nonvacuous norm_growth_measured.
Proof.
  intros H. apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat 1 (fun _ => 1) (fun _ => 1) Rle_0_1 (fun _ => 1)).
  pose proof u64_small. simpl INR. lra.
Qed.

Example difference_of_squares_measured_nonvacuous : nonvacuous difference_of_squares_measured.
Proof.
  intros H. apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat (fun _ => 1) (fun _ => 1)).
  pose proof u64_small. simpl INR. lra.
Qed.

Example cosine_step_orthogonality_nonvacuous : nonvacuous cosine_step_orthogonality.
Proof.
  intros H. pose proof u64_small. pose proof one_norm.
  apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat 1 (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.

Example cosine_step_growth_nonvacuous : nonvacuous cosine_step_growth.
Proof.
  intros H. pose proof u64_small. pose proof one_norm.
  apply (H _ _ binary64_unbounded_rounding u64_lt1 1%nat 1 (fun _ => 1) (fun _ => 1)); try assumption; simpl INR; lra.
Qed.
