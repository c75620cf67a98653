(** * Frequency and norm

    Rows that start equally long and train with the same constant rate (n counts look-ups):
    - with constant s the order of the norms is exactly the order of the look-up counts;
    - with s_min² <= s² <= s_max² a row with n_1 look-ups ends longer than one with n_2 as soon
      as its lower bound exceeds the other's upper bound, in particular when
          n_1 s_min² > n_2 s_max² (1 + η²s_max²/(2‖q_0‖⁴)).
    The law couples the norm to Σ s², not to the count.  An item that is already aligned with
    its only user is looked up any number of times and never grows, while an item looked up
    once for an orthogonal user does (gradients of -cos).  And with one fixed user the norm
    saturates: for 0 <= η <= ‖q_0‖² and x_0 = ⟨q_0,u⟩ > 0, ‖u‖ = 1,
        ‖q_t‖² <= ‖q_0‖² + η (‖q_0‖² - x_0²)/(x_0 ‖q_0‖)   for every t.
    Persistent growth needs different users.

    Source: derived here.
    Proof: the two-sided quartic bound and monotonicity of R + c/R along a run; saturation by
    the potential ‖q_t‖² + K w_t, w_t the distance to the user's line.  Any ordered field,
    real closed where norms occur; no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth.
From Perpend Require Import QuarterPowerLaw DisplacementNumber NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Pair.
Variables (R : realFieldType) (n : nat) (eta : R).
Variables (q1 g1 q2 g2 : nat -> 'cV[R]_n) (n1 n2 : nat).
Hypothesis run1 : sgd_run (fun=> eta) q1 g1.
Hypothesis run2 : sgd_run (fun=> eta) q2 g2.
Hypothesis tang1 : tangential q1 g1.
Hypothesis tang2 : tangential q2 g2.
Hypothesis start1 : q1 0%N != 0.
Hypothesis same_start : ‖q1 0%N‖² = ‖q2 0%N‖².

Lemma start2 : q2 0%N != 0.
Proof. by rewrite -nrm2_eq0 -same_start nrm2_eq0. Qed.

(** Bounded s: the more frequent row wins once the counts are far enough apart. *)
Theorem frequent_row_longer smin2 smax2 :
  (forall t, smin2 <= spherical2 (q1 t) (g1 t) <= smax2) ->
  (forall t, smin2 <= spherical2 (q2 t) (g2 t) <= smax2) ->
  eta != 0 ->
  n2%:R * smax2 * (1 + eta ^+ 2 * smax2 / (2%:R * ‖q1 0%N‖² ^+ 2)) < n1%:R * smin2 ->
  ‖q2 n2‖² < ‖q1 n1‖².
Proof.
move=> bd1 bd2 e0 lt.
have /andP[lo _] := two_sided_growth run1 tang1 start1 bd1 n1.
have /andP[_ up] := two_sided_growth run2 tang2 start2 bd2 n2.
have e2 : 0 < 2%:R * eta ^+ 2 by rewrite mulr_gt0 ?ltr0n // lt_def sqrf_eq0 e0 sqr_ge0.
rewrite -(ltr_pexpn2r (n := 2)) ?nnegrE ?nrm2_ge0 //.
apply: le_lt_trans up (lt_le_trans _ lo); rewrite -same_start ltr_add2l.
set K := 1 + _ in lt *.
have -> : 2%:R * eta ^+ 2 * smax2 * n2%:R * K = 2%:R * eta ^+ 2 * (n2%:R * smax2 * K) by ring.
by rewrite -[X in _ < X]mulrA ltr_pmul2l // [smin2 * _]mulrC.
Qed.

(** Constant s: the norms are in exactly the order of the counts. *)
Theorem count_order_is_norm_order s2 :
  (forall t, spherical2 (q1 t) (g1 t) = s2) -> (forall t, spherical2 (q2 t) (g2 t) = s2) ->
  0 < eta ^+ 2 * s2 -> (‖q2 n2‖² < ‖q1 n1‖²) = (n2 < n1)%N.
Proof.
move=> c1 c2 pos.
have same t : ‖q2 t‖² = ‖q1 t‖².
  elim: t => [|t IH]; first by rewrite same_start.
  rewrite (step_identity run2 tang2 start2) (step_identity run1 tang1 start1).
  by rewrite c1 c2 IH.
have inc t : ‖q1 t‖² < ‖q1 t.+1‖².
  rewrite (step_identity run1 tang1 start1) c1 ltr_addl divr_gt0 //.
  exact: (row_gt0 run1 tang1 start1).
have mono s t : (s < t)%N -> ‖q1 s‖² < ‖q1 t‖².
  elim: t => // t IH; rewrite ltnS leq_eqVlt => /orP[/eqP->//|/IH lt].
  exact: lt_trans lt (inc t).
rewrite same; case: (ltngtP n2 n1) => [/mono //|/mono/ltW|->]; last exact: ltxx.
by rewrite leNgt => /negbTE.
Qed.

End Pair.

(** ** Counts are not enough: an aligned item never grows. *)
Theorem aligned_item_counterexample (R : rcfType) (eta : R) (many : nat) : eta != 0 ->
  (0 < many)%N ->
  exists (q1 g1 q2 g2 : nat -> 'cV[R]_2) (L1 L2 : nat -> 'cV[R]_2 -> R),
  [/\ sgd_run (fun=> eta) q1 g1 /\ cosine_run L1 q1 g1,
      sgd_run (fun=> eta) q2 g2 /\ cosine_run L2 q2 g2,
      (forall t x, L1 t x = - cosine x (vec2 1 0)) /\ q1 0%N = q2 0%N,
      forall t, ‖q1 t‖² = ‖q1 0%N‖²
    & ‖q1 many.+1‖² < ‖q2 1%N‖²].
Proof.
move=> e0 m0; pose e1 : 'cV[R]_2 := vec2 1 0.
have e1n : ‖e1‖² = 1 by rewrite vec2E; ring.
have e1z : e1 != 0 by rewrite -nrm2_gt0 e1n ltr01.
have still : is_grad (fun x => - cosine x e1) e1 0.
  have -> : 0 = - cos_grad e1 e1 1 1.
    by rewrite /cos_grad e1n !mulr1 !divr1 invr1 !scale1r subrr oppr0.
  by apply: is_gradN; apply: cosine_gradientE; rewrite ?ltr01 // e1n expr1n.
have longer : ‖e1‖² < ‖spin (fun=> eta) 1%N‖².
  rewrite (step_identity (spin_run _) (spin_tangential _) (spin_neq0 _ 0)) spin_spherical.
  by rewrite ?e1n ?spin_start mulr1 divr1 ltr_addl lt_def sqrf_eq0 e0 sqr_ge0.
exists (fun=> e1), (fun=> 0), (spin (fun=> eta)), (spin_g (fun=> eta)).
exists (fun _ x => - cosine x e1), (fun t x => - cosine x (- quarter (spin (fun=> eta) t))).
split=> //.
- split=> [t|t]; first by rewrite scaler0 subr0.
  by split=> // x _ c c0; rewrite cosine_scale.
- by split; [apply: spin_run | apply: spin_cosine_run].
Qed.

(** ** One fixed user: the norm saturates. *)
Section Saturation.
Variables (R : rcfType) (n : nat) (eta : R) (u : 'cV[R]_n) (q : nat -> 'cV[R]_n).
Hypothesis unit_user : norm u = 1.
Hypothesis run :
  sgd_run (fun=> eta) q (fun t => - cos_grad (q t) u (norm (q t)) (norm u)).
Hypothesis eta0 : 0 <= eta.
Hypothesis small : eta <= ‖q 0%N‖².
Hypothesis start : 0 < ⟨q 0%N, u⟩.

Let x t := ⟨q t, u⟩.
Let w t := norm (q t - x t *: u).
Let k t := 1 - eta * x t / (norm (q t) * ‖q t‖²).

Lemma user_nrm2 : ‖u‖² = 1.
Proof. by rewrite -norm_sqr unit_user expr1n. Qed.

Lemma saturating_step t : 0 < norm (q t) -> q t.+1 = k t *: q t + (eta / norm (q t)) *: u.
Proof.
move=> N0; rewrite run unit_user /cos_grad scalerN opprK invr1 scale1r scalerA scalerBr scalerA.
have -> : eta / norm (q t) * (⟨q t, u⟩ / (norm (q t) * 1) / norm (q t)) = 1 - k t.
  by rewrite /k /x -norm_sqr; field; rewrite gt_eqF.
have f (a b c : 'cV[R]_n) : a + (b - (a - c)) = c + b.
  by rewrite opprB [b + _]addrC addrA [a + _]addrC subrK.
by rewrite scalerBl scale1r f.
Qed.

Lemma x_step t : 0 < norm (q t) -> x t.+1 = k t * x t + eta / norm (q t).
Proof. by move=> N0; rewrite /x saturating_step // dotDl !dotZl user_nrm2 mulr1. Qed.

Lemma w_sqr t : w t ^+ 2 = ‖q t‖² - x t ^+ 2.
Proof. by rewrite /w norm_sqr nrm2B nrm2Z dotZr user_nrm2 -/(x t) mulr2n; ring. Qed.

Lemma w_step t : 0 < norm (q t) -> 0 <= k t -> w t.+1 = k t * w t.
Proof.
move=> N0 k0; rewrite /w x_step // saturating_step //.
have f (a c : R) (v : 'cV[R]_n) : a *: v + c *: u - (a * x t + c) *: u = a *: (v - x t *: u).
  by rewrite scalerDl opprD addrACA subrr addr0 scalerBr scalerA.
by rewrite f normZ ger0_norm.
Qed.

Lemma R_step t : 0 < norm (q t) -> ‖q t.+1‖² = ‖q t‖² + eta ^+ 2 * w t ^+ 2 / ‖q t‖² ^+ 2.
Proof.
move=> N0; rewrite saturating_step // nrm2D !nrm2Z dotZl dotZr user_nrm2 -/(x t) mulr2n.
rewrite w_sqr /k -norm_sqr; field; by rewrite gt_eqF.
Qed.

Lemma potential t :
  let K := eta * w 0%N / (x 0%N * norm (q 0%N)) in
  [/\ x 0%N <= x t, ‖q 0%N‖² <= ‖q t‖², w t <= w 0%N
    & ‖q t‖² + K * w t <= ‖q 0%N‖² + K * w 0%N].
Proof.
have q0 : q 0%N != 0.
  by apply/eqP => z; move: start; rewrite z dot0l ltxx.
have R0 : 0 < ‖q 0%N‖² by rewrite nrm2_gt0.
have N00 : 0 < norm (q 0%N) by rewrite norm_gt0.
move=> K; elim: t => [|t [xt Rt wt pt]] //.
have Rt0 : 0 < ‖q t‖² := lt_le_trans R0 Rt.
have N0 : 0 < norm (q t) by rewrite norm_gt0 -nrm2_gt0.
have x0 : 0 < x t := lt_le_trans start xt.
have xN : x t <= norm (q t).
  rewrite -(ler_pexpn2r (n := 2)) ?nnegrE ?(ltW x0) ?(ltW N0) // norm_sqr.
  by rewrite -subr_ge0 -w_sqr sqr_ge0.
have NN : norm (q 0%N) <= norm (q t).
  by rewrite -(ler_pexpn2r (n := 2)) ?nnegrE ?(ltW N00) ?(ltW N0) // !norm_sqr.
have w0 : 0 <= w t by apply: norm_ge0.
have k1 : 1 - k t = eta * x t / (norm (q t) * ‖q t‖²) by rewrite /k; ring.
have k0 : 0 <= k t.
  rewrite /k subr_ge0 ler_pdivr_mulr ?mulr_gt0 // mul1r mulrC.
  by apply: ler_pmul => //; rewrite ?(ltW x0) // (le_trans small).
have kle : k t <= 1.
  by rewrite -subr_ge0 k1 divr_ge0 ?mulr_ge0 ?(ltW x0) ?(ltW N0) ?(ltW Rt0).
have Rs := R_step N0; have ws := w_step N0 k0.
have wle : w t.+1 <= w t by rewrite ws ler_pimull.
have decrease : eta ^+ 2 * w t ^+ 2 / ‖q t‖² ^+ 2 <= K * (w t - w t.+1).
  have -> : w t - w t.+1 = (1 - k t) * w t by rewrite ws; ring.
  rewrite k1 /K.
  have -> : eta ^+ 2 * w t ^+ 2 / ‖q t‖² ^+ 2
      = (eta * w t / (x t * norm (q t))) * (eta * x t / (norm (q t) * ‖q t‖²) * w t).
    by rewrite -norm_sqr; field; rewrite !gt_eqF.
  apply: ler_wpmul2r.
    apply: mulr_ge0 => //; apply: divr_ge0; first by rewrite mulr_ge0 ?(ltW x0).
    by rewrite mulr_ge0 ?(ltW N0) ?(ltW Rt0).
  apply: ler_pmul.
  - by rewrite mulr_ge0.
  - by rewrite invr_ge0 mulr_ge0 ?(ltW x0) ?(ltW N0).
  - exact: ler_wpmul2l.
  rewrite lef_pinv ?posrE ?mulr_gt0 //.
  by apply: ler_pmul; rewrite ?(ltW start) ?(ltW N00).
split.
- apply: le_trans xt _; rewrite x_step // -subr_ge0.
  have -> : k t * x t + eta / norm (q t) - x t = eta / norm (q t) * (w t ^+ 2 / ‖q t‖²).
    by rewrite w_sqr /k -norm_sqr; field; rewrite gt_eqF.
  by apply: mulr_ge0; apply: divr_ge0; rewrite ?sqr_ge0 ?(ltW N0) ?(ltW Rt0).
- apply: le_trans Rt _; rewrite Rs ler_addl.
  by apply: divr_ge0; rewrite ?sqr_ge0 // mulr_ge0 ?sqr_ge0.
- exact: le_trans wle wt.
apply: le_trans pt; rewrite Rs -addrA ler_add2l.
by rewrite -ler_subr_addr -mulrBr.
Qed.

Theorem norm_saturates t :
  ‖q t‖² <= ‖q 0%N‖² + eta * (‖q 0%N‖² - ⟨q 0%N, u⟩ ^+ 2) / (⟨q 0%N, u⟩ * norm (q 0%N)).
Proof.
have [_ _ _ pt] := potential t.
have K0 : 0 <= eta * w 0%N / (x 0%N * norm (q 0%N)).
  by rewrite divr_ge0 // mulr_ge0 ?norm_ge0 // ltW.
apply: le_trans (_ : ‖q t‖² + eta * w 0%N / (x 0%N * norm (q 0%N)) * w t <= _).
  by rewrite ler_addl mulr_ge0 ?norm_ge0.
apply: le_trans pt _; rewrite ler_add2l -/(x 0%N) -w_sqr.
by rewrite mulrAC expr2 mulrA.
Qed.

End Saturation.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).
Local Notation r1 := (spin_run one).
Local Notation t1 := (spin_tangential one).
Local Notation s1 := (spin_neq0 one 0).

Lemma counts_far_apart (R : realFieldType) :
  1%:R * 1 * (1 + 1 ^+ 2 * 1 / (2%:R * ‖spin (fun=> 1 : R) 0%N‖² ^+ 2)) < 2%:R * 1 :> R.
Proof.
rewrite spin_start !expr1n !mulr1 mul1r -subr_gt0.
have -> : 2%:R - (1 + 1 / 2%:R) = 2%:R^-1 :> R by field.
by rewrite invr_gt0 ltr0n.
Qed.

Example frequent_row_longer_nonvacuous : nonvacuous frequent_row_longer.
Proof.
move=> H; exact: (H _ _ _ _ _ _ _ 2%N 1%N r1 r1 t1 t1 s1 erefl _ _ (@spin_between Q)
  (@spin_between Q) (oner_neq0 _) (counts_far_apart Q)).
Qed.

Example count_order_is_norm_order_nonvacuous : nonvacuous count_order_is_norm_order.
Proof.
move=> H; apply: (H _ _ _ _ _ _ _ 2%N 1%N r1 r1 t1 t1 s1 erefl _ (@spin_constant Q)
  (@spin_constant Q)).
by rewrite expr1n mulr1 ltr01.
Qed.
