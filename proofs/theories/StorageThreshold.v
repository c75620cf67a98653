(** * When the stored norm must grow

    A row is stored with relative rounding per coordinate: the stored x' of x satisfies
    |x'_i - x_i| <= u |x_i| (u the unit roundoff of the storage format; underflow excluded).
    Then ‖x'‖² >= (1-u)²‖x‖², so a step d with computed gradient error e, ⟨q,d⟩ >= -e
    (e = ηγ‖a‖ in the norm of the loss gradient a), makes the stored norm grow for certain when
        ‖q‖² < (1-u)² (‖q‖² + ‖d‖² - 2e).
    For e = 0 this is the threshold (1-u)²θ² > 2u - u² on the relative step θ = ‖d‖/‖q‖, and
    it is sharp: at or below it some admissible rounding does not grow.  θ² >= 2u(1+2u)
    suffices for u <= 1/8, that is θ about √(2u).  Unbiased stochastic rounding instead adds
    its variance to the expected squared norm.

    Source: derived here.
    Proof: coordinatewise bounds and Pythagoras; any ordered field, any dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** [x'] is an admissible rounding of [x] at unit roundoff [u]. *)
Definition rounds_to (R : realFieldType) n (u : R) (x x' : 'cV[R]_n) : Prop :=
  forall i, `|x' i 0 - x i 0| <= u * `|x i 0|.

Section Storage.
Variables (R : realFieldType) (n : nat) (u : R).
Hypothesis u01 : 0 <= u <= 1.
Implicit Types (q d x : 'cV[R]_n).

Theorem stored_norm_bounds x x' : rounds_to u x x' ->
  (1 - u) ^+ 2 * ‖x‖² <= ‖x'‖² <= (1 + u) ^+ 2 * ‖x‖².
Proof.
move=> rx; have /andP[u0 u1] := u01; rewrite /dot !mulr_sumr.
apply/andP; split; apply: ler_sum => i _; have := rx i; set a := x i 0; set b := x' i 0 => h.
  have le : (1 - u) * `|a| <= `|b|.
    have t : `|a| <= `|b| + `|b - a|.
      have {1}-> : a = b - (b - a) by ring.
      exact: ler_norm_sub.
    by rewrite mulrBl mul1r ler_subl_addr; apply: le_trans t _; rewrite ler_add2l.
  have := ler_pmul (mulr_ge0 _ (normr_ge0 a)) (mulr_ge0 _ (normr_ge0 a)) le le.
  rewrite subr_ge0 => /(_ u1 u1); rewrite -!expr2 exprMn !real_normK ?num_real //.
have le : `|b| <= (1 + u) * `|a|.
  have t : `|b| <= `|a| + `|b - a|.
    have {1}-> : b = a + (b - a) by ring.
    exact: ler_norm_add.
  by rewrite mulrDl mul1r; apply: le_trans t _; rewrite ler_add2l.
have := ler_pmul (normr_ge0 b) (normr_ge0 b) le le.
by rewrite -!expr2 exprMn !real_normK ?num_real.
Qed.

(** With the error of the computed gradient. *)
Theorem guaranteed_growth q d e x' : - e <= ⟨q, d⟩ ->
  ‖q‖² < (1 - u) ^+ 2 * (‖q‖² + ‖d‖² - 2%:R * e) ->
  rounds_to u (q + d) x' -> ‖q‖² < ‖x'‖².
Proof.
move=> qd big /stored_norm_bounds /andP[lo _]; apply: lt_le_trans big (le_trans _ lo).
apply: ler_wpmul2l; first exact: sqr_ge0.
rewrite nrm2D mulr2n -subr_ge0.
have -> : ‖q‖² + (⟨q, d⟩ + ⟨q, d⟩) + ‖d‖² - (‖q‖² + ‖d‖² - 2%:R * e) = 2%:R * (⟨q, d⟩ + e).
  by ring.
by rewrite mulr_ge0 ?ler0n // -ler_subl_addr sub0r.
Qed.

(** An orthogonal step grows in storage, whatever the rounding does, exactly above the
    threshold. *)
Theorem sharp_threshold q d : ⟨q, d⟩ = 0 ->
  (forall x', rounds_to u (q + d) x' -> ‖q‖² < ‖x'‖²) <->
  ‖q‖² < (1 - u) ^+ 2 * (‖q‖² + ‖d‖²).
Proof.
move=> qd; have /andP[u0 u1] := u01; split=> [all|big x'].
  have r : rounds_to u (q + d) ((1 - u) *: (q + d)).
    move=> i; rewrite [in X in `|X - _|]mxE; set y := (q + d) i 0.
    have -> : (1 - u) * y - y = - (u * y) by ring.
    by rewrite normrN normrM ger0_norm.
  by have := all _ r; rewrite nrm2Z pythagoras.
by apply: (guaranteed_growth (d := d) (e := 0)); rewrite ?qd ?oppr0 ?mulr0 ?subr0.
Qed.

(** In terms of the relative step θ² = ‖d‖²/‖q‖²: 2u(1+2u) is enough. *)
Theorem sufficient_relative_step q d x' : 0 < u -> 8%:R * u <= 1 -> q != 0 -> ⟨q, d⟩ = 0 ->
  2%:R * u * (1 + 2%:R * u) <= ‖d‖² / ‖q‖² ->
  rounds_to u (q + d) x' -> ‖q‖² < ‖x'‖².
Proof.
move=> u0 u8 q0 qd big r; have qn : 0 < ‖q‖² by rewrite nrm2_gt0.
apply: (proj2 (sharp_threshold qd)) => //.
have -> : ‖d‖² = (‖d‖² / ‖q‖²) * ‖q‖² by rewrite divfK // gt_eqF.
set th := ‖d‖² / ‖q‖² in big *.
have -> : ‖q‖² + th * ‖q‖² = (1 + th) * ‖q‖² by ring.
rewrite mulrA ltr_pmull //.
have /andP[_ u1] := u01.
apply: lt_le_trans (_ : (1 - u) ^+ 2 * (1 + 2%:R * u * (1 + 2%:R * u)) <= _); last first.
  by apply: ler_wpmul2l; rewrite ?sqr_ge0 // ler_add2l.
rewrite -subr_gt0.
have -> : (1 - u) ^+ 2 * (1 + 2%:R * u * (1 + 2%:R * u)) - 1
    = u ^+ 2 * (1 - 6%:R * u + 4%:R * u ^+ 2) by ring.
apply: mulr_gt0; first by rewrite exprn_gt0.
apply: ltr_paddr; first by apply: mulr_ge0; rewrite ?ler0n ?sqr_ge0.
rewrite subr_gt0; apply: lt_le_trans u8.
by rewrite ltr_pmul2r // ltr_nat.
Qed.

End Storage.

(** Unbiased stochastic rounding over a finite probability space with weights w: the expected
    squared norm grows by the total variance. *)
Theorem unbiased_rounding_inflates (R : realFieldType) n k (w : 'I_k -> R)
    (X : 'I_k -> 'cV[R]_n) (x : 'cV[R]_n) :
  \sum_j w j = 1 -> \sum_j w j *: X j = x ->
  \sum_j w j * ‖X j‖² = ‖x‖² + \sum_j w j * ‖X j - x‖².
Proof.
move=> w1 mean.
have -> : \sum_j w j * ‖X j - x‖²
    = \sum_j w j * ‖X j‖² - 2%:R * ⟨\sum_j w j *: X j, x⟩ + (\sum_j w j) * ‖x‖².
  rewrite dot_suml mulr_sumr mulr_suml -sumrB -big_split /=; apply: eq_bigr => j _.
  by rewrite nrm2B dotZl mulr2n; ring.
by rewrite mean w1; set S := \sum_j _; ring.
Qed.

(** ** The hypotheses can hold: u = 1/8, q = (3,4), d = (-4,3). *)
Section Examples.
Variable R : realFieldType.
Local Notation e8 := (8%:R^-1 : R).

Lemma eighth_in : 0 <= e8 <= 1.
Proof. by rewrite invr_ge0 ler0n /= invf_le1 ?ltr0n // (ler_nat _ 1 8). Qed.

Lemma eighth_pos : 0 < e8. Proof. by rewrite invr_gt0 ltr0n. Qed.

Lemma eighth_small : 8%:R * e8 <= 1. Proof. by rewrite divff // pnatr_eq0. Qed.

Lemma exact_rounding (x : 'cV[R]_2) : rounds_to e8 x x.
Proof. by move=> i; rewrite subrr normr0 mulr_ge0 // ltW ?eighth_pos. Qed.

Lemma turn_orth : ⟨row34 R, vec2 (- 4%:R) 3%:R⟩ = 0.
Proof. by rewrite vec2E; ring. Qed.

Lemma turn_big : 2%:R * e8 * (1 + 2%:R * e8) <= ‖vec2 (- 4%:R : R) 3%:R‖² / ‖row34 R‖².
Proof.
have -> : ‖vec2 (- 4%:R : R) 3%:R‖² = ‖row34 R‖² by rewrite !vec2E; ring.
rewrite divff ?nrm2_eq0 ?row34_neq0 // -subr_ge0.
have -> : 1 - 2%:R * e8 * (1 + 2%:R * e8) = 11%:R / 16%:R by field.
by rewrite divr_ge0 ?ler0n.
Qed.

Lemma turn_enough : ‖row34 R‖² < (1 - e8) ^+ 2 * (‖row34 R‖² + ‖vec2 (- 4%:R : R) 3%:R‖² - 2%:R * 0).
Proof.
have -> : ‖vec2 (- 4%:R : R) 3%:R‖² = ‖row34 R‖² by rewrite !vec2E; ring.
rewrite row34_nrm2 -subr_gt0.
have -> : (1 - e8) ^+ 2 * (25%:R + 25%:R - 2%:R * 0) - 25%:R = 425%:R / 32%:R :> R by field.
by rewrite divr_gt0 ?ltr0n.
Qed.

Lemma no_error : - 0 <= ⟨row34 R, vec2 (- 4%:R) 3%:R⟩.
Proof. by rewrite turn_orth oppr0. Qed.

Lemma two_point_mean (x : 'cV[R]_2) :
  \sum_(j < 2) 2%:R^-1 *: (if j == 0 then 2%:R *: x else 0) = x.
Proof.
rewrite !big_ord_recl big_ord0 /= scaler0 !addr0 scalerA mulVf ?scale1r // pnatr_eq0 //.
Qed.

Lemma two_point_weights : \sum_(j < 2) (2%:R^-1 : R) = 1.
Proof. by rewrite !big_ord_recl big_ord0 addr0 -[2%:R^-1]mul1r -splitr. Qed.
End Examples.

Local Notation Q := [realFieldType of rat].

Example stored_norm_bounds_nonvacuous : nonvacuous stored_norm_bounds.
Proof. by move=> H; apply: (H _ _ _ (eighth_in Q) _ _ (exact_rounding (row34 Q))). Qed.

Example guaranteed_growth_nonvacuous : nonvacuous guaranteed_growth.
Proof.
by move=> H; apply: (H _ _ _ (eighth_in Q) _ _ 0 _ (no_error Q) (turn_enough Q)
  (exact_rounding _)).
Qed.

Example sharp_threshold_nonvacuous : nonvacuous sharp_threshold.
Proof. by move=> H; apply: (H _ _ _ (eighth_in Q) _ _ (turn_orth Q)). Qed.

Example sufficient_relative_step_nonvacuous : nonvacuous sufficient_relative_step.
Proof.
by move=> H; apply: (H _ _ _ (eighth_in Q) _ _ _ (eighth_pos Q) (eighth_small Q)
  (row34_neq0 Q) (turn_orth Q) (turn_big Q) (exact_rounding _)).
Qed.

Example unbiased_rounding_inflates_nonvacuous : nonvacuous unbiased_rounding_inflates.
Proof. by move=> H; apply: (H _ _ _ _ _ _ (two_point_weights Q) (two_point_mean (row34 Q))). Qed.
