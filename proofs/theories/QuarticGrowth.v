(** * Quartic growth

    For SGD on cosine losses, q_{t+1} = q_t - η_t g_t with g_t ⟂ q_t, let R_t = ‖q_t‖² and
    s_t² = ‖q_t‖²‖g_t‖² (the squared gradient norm on the unit sphere).  One step is exactly
        R' = R + η²s²/R,      R'² = R² + 2η²s² + η⁴s⁴/R²,
    so with a_t = 2η_t²s_t², A_T = Σ_{t<T} a_t and a_t <= a_max the fourth power of the norm obeys
        lower    ‖q_T‖⁴ >= ‖q_0‖⁴ + A_T,
        upper 1  ‖q_T‖⁴ <= ‖q_0‖⁴ + A_T (1 + a_max/(4‖q_0‖⁴)),
        upper 2  ‖q_T‖⁴ <= ‖q_0‖⁴ + A_T + (a_max/4)(1 + a_max/‖q_0‖⁴) ln(1 + A_T/‖q_0‖⁴)
    for any schedule η_t and any horizon T, hence the minimum of both uppers.
    Upper 2 is proved here for every function that behaves like a logarithm in the two ways
    that are used (ln(xy) = ln x + ln y and 1 - 1/x <= ln x); QuarticGrowthLn.v puts the
    logarithm of the real numbers in its place.

    Source: van Laarhoven 2017, Arora et al. 2018 (growth of scale-invariant weights); the
    explicit two-sided form: derived here.
    Proof: the step identity, induction, and x/(1+x) <= ln(1+x).  Any ordered field, any
    dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** What is used of the logarithm. *)
Definition log_like (R : realFieldType) (ln : R -> R) : Prop :=
  (forall x y, 0 < x -> 0 < y -> ln (x * y) = ln x + ln y) /\
  (forall x, 0 < x -> 1 - x^-1 <= ln x).

(** ** The scalar recursion r' = r + c/r. *)
Section Recursion.
Variables (R : realFieldType) (r c : nat -> R).
Hypothesis r0 : 0 < r 0%N.
Hypothesis c0 : forall t, 0 <= c t.
Hypothesis rS : forall t, r t.+1 = r t + c t / r t.

Lemma recursion_ge t : r 0%N <= r t.
Proof.
elim: t => [|t IH] //; rewrite rS (le_trans IH) // ler_addl.
by apply: divr_ge0 (c0 t) _; apply: le_trans (ltW r0) IH.
Qed.

Lemma recursion_gt0 t : 0 < r t.
Proof. exact: lt_le_trans r0 (recursion_ge t). Qed.

Lemma recursion_step t : r t.+1 ^+ 2 = r t ^+ 2 + 2%:R * c t + c t ^+ 2 / r t ^+ 2.
Proof. by rewrite rS; field; rewrite gt_eqF ?recursion_gt0. Qed.

Lemma recursion_exact T :
  r T ^+ 2 = r 0%N ^+ 2 + (\sum_(t < T) 2%:R * c t) + \sum_(t < T) (c t ^+ 2 / r t ^+ 2).
Proof.
elim: T => [|T IH]; first by rewrite !big_ord0 !addr0.
rewrite !big_ord_recr /= recursion_step; set z := _ / r T ^+ 2; rewrite IH.
by set S1 := \sum_(t < T) 2%:R * _; set S2 := \sum_(t < T) _; ring.
Qed.

Lemma recursion_lower T : r 0%N ^+ 2 + (\sum_(t < T) 2%:R * c t) <= r T ^+ 2.
Proof.
by rewrite (recursion_exact T) ler_addl; apply: sumr_ge0 => t _; rewrite divr_ge0 ?sqr_ge0.
Qed.

Variable amax : R.
Hypothesis cmax : forall t, 2%:R * c t <= amax.

Lemma square_term t x : 0 < x ->
  c t ^+ 2 / x <= amax / 4%:R * ((2%:R * c t) / x).
Proof.
move=> x0; rewrite mulrA ler_pmul2r ?invr_gt0 //.
have -> : c t ^+ 2 = (2%:R * c t) / 4%:R * (2%:R * c t) by field.
apply: ler_wpmul2r; first by rewrite mulr_ge0 ?ler0n.
by rewrite ler_wpmul2r ?invr_ge0 ?ler0n.
Qed.

Lemma recursion_upper1 T :
  r T ^+ 2 <= r 0%N ^+ 2 + (\sum_(t < T) 2%:R * c t) * (1 + amax / (4%:R * r 0%N ^+ 2)).
Proof.
rewrite (recursion_exact T) -addrA ler_add2l mulrDr mulr1 ler_add2l.
have r2 : 0 < r 0%N ^+ 2 by rewrite exprn_gt0.
rewrite mulr_suml; apply: ler_sum => t _.
have le2 : r 0%N ^+ 2 <= r t ^+ 2.
  by rewrite ler_expn2r ?nnegrE ?(ltW (recursion_gt0 _)) // recursion_ge.
apply: le_trans (_ : c t ^+ 2 / r 0%N ^+ 2 <= _).
  by rewrite ler_wpmul2l ?sqr_ge0 // lef_pinv ?posrE ?exprn_gt0 ?recursion_gt0.
apply: le_trans (square_term t r2) _; rewrite le_eqVlt; apply/orP; left; apply/eqP.
by field; rewrite gt_eqF.
Qed.

Lemma recursion_upper2 ln T : log_like ln ->
  r T ^+ 2 <= r 0%N ^+ 2 + (\sum_(t < T) 2%:R * c t)
    + amax / 4%:R * (1 + amax / r 0%N ^+ 2)
      * ln (1 + (\sum_(t < T) 2%:R * c t) / r 0%N ^+ 2).
Proof.
case=> lnM lnI; rewrite (recursion_exact T) ler_add2l.
pose A m := \sum_(t < m) 2%:R * c t.
have r2 : 0 < r 0%N ^+ 2 by rewrite exprn_gt0.
have A0 m : 0 <= A m by apply: sumr_ge0 => t _; rewrite mulr_ge0 ?ler0n.
have am0 : 0 <= amax by apply: le_trans (cmax 0%N); rewrite mulr_ge0 ?ler0n.
pose x m := 1 + A m / r 0%N ^+ 2.
have x1 m : 1 <= x m by rewrite /x ler_addl divr_ge0 // ltW.
have x0 m : 0 < x m by apply: lt_le_trans (x1 m); rewrite ltr01.
have ln1 : ln 1 = 0.
  by have := lnM 1 1 ltr01 ltr01; rewrite mulr1 => e; rewrite -[RHS](subrr (ln 1)) {2}e addrK.
rewrite -/(A T) -/(x T).
elim: T => [|T IH]; first by rewrite big_ord0 /x /A big_ord0 mul0r addr0 ln1 mulr0.
rewrite big_ord_recr /=; set y := x T.+1 / x T.
have y1 : 1 <= y.
  rewrite /y ler_pdivl_mulr // mul1r /x ler_add2l ler_wpmul2r ?invr_ge0 ?(ltW r2) //.
  by rewrite /A big_ord_recr /= ler_addl mulr_ge0 ?ler0n.
have y0 : 0 < y by apply: lt_le_trans y1; rewrite ltr01.
have -> : ln (x T.+1) = ln (x T) + ln y.
  by rewrite -lnM // /y mulrC divfK // gt_eqF.
set k := amax / 4%:R * (1 + _); rewrite [k * _]mulrDr ler_add // /k.
have den : 0 < r 0%N ^+ 2 + A T by rewrite ltr_paddr.
have ye : y = 1 + (2%:R * c T) / (r 0%N ^+ 2 + A T).
  have xe m : x m = (r 0%N ^+ 2 + A m) / r 0%N ^+ 2 by rewrite /x; field; rewrite gt_eqF.
  rewrite /y !xe {1}/A big_ord_recr /= -/(A T); field.
  by rewrite !gt_eqF.
apply: le_trans (_ : amax / 4%:R * ((2%:R * c T) / (r 0%N ^+ 2 + A T)) <= _).
  apply: le_trans (_ : c T ^+ 2 / (r 0%N ^+ 2 + A T) <= _); last exact: square_term.
  rewrite ler_wpmul2l ?sqr_ge0 // lef_pinv ?posrE ?exprn_gt0 ?recursion_gt0 //.
  exact: recursion_lower.
rewrite -[X in _ <= X]mulrA; apply: ler_wpmul2l; first by rewrite divr_ge0 ?ler0n.
have -> : 2%:R * c T / (r 0%N ^+ 2 + A T) = y - 1 by rewrite ye; ring.
have lny : 0 <= ln y.
  by apply: le_trans (lnI _ y0); rewrite subr_ge0 invf_le1.
apply: le_trans (_ : y * ln y <= _).
  have -> : y - 1 = y * (1 - y^-1) by field; rewrite gt_eqF.
  by apply: ler_wpmul2l (lnI _ y0); apply: ltW.
apply: ler_wpmul2r => //; rewrite ye ler_add2l.
apply: le_trans (_ : amax / (r 0%N ^+ 2 + A T) <= _).
  by rewrite ler_wpmul2r // invr_ge0 ltW.
by rewrite ler_wpmul2l // lef_pinv ?posrE // ler_addl.
Qed.


End Recursion.

(** ** Training runs. *)
Section Run.
Variables (R : realFieldType) (n : nat) (eta : nat -> R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run eta q g.
Hypothesis tang : tangential q g.
Hypothesis start : q 0%N != 0.

(** a_t = 2 η_t² s_t², twice what the step adds to R². *)
Definition growth_term t : R := 2%:R * (eta t ^+ 2 * spherical2 (q t) (g t)).

Lemma row_gt0 t : 0 < ‖q t‖².
Proof.
have orth := sgd_orthogonal_steps run tang.
by apply: lt_le_trans (norm_never_shrinks orth (leq0n t)); rewrite nrm2_gt0.
Qed.

Lemma term_ge0 t : 0 <= eta t ^+ 2 * spherical2 (q t) (g t).
Proof. by rewrite mulr_ge0 ?sqr_ge0 ?spherical2_ge0. Qed.

(** One step in R = ‖q‖². *)
Theorem step_identity t :
  ‖q t.+1‖² = ‖q t‖² + eta t ^+ 2 * spherical2 (q t) (g t) / ‖q t‖².
Proof.
rewrite run nrm2B nrm2Z dotZr tang mulr0 mul0rn subr0; congr (_ + _).
by rewrite /spherical2; field; rewrite gt_eqF ?row_gt0.
Qed.

(** One step in ‖q‖⁴, exactly. *)
Theorem quartic_step_identity t :
  ‖q t.+1‖² ^+ 2 = ‖q t‖² ^+ 2 + growth_term t
    + (eta t ^+ 2 * spherical2 (q t) (g t)) ^+ 2 / ‖q t‖² ^+ 2.
Proof. by rewrite step_identity /growth_term; field; rewrite gt_eqF ?row_gt0. Qed.

(** T steps, exactly. *)
Theorem quartic_run_identity T :
  ‖q T‖² ^+ 2 = ‖q 0%N‖² ^+ 2 + (\sum_(t < T) growth_term t)
    + \sum_(t < T) ((eta t ^+ 2 * spherical2 (q t) (g t)) ^+ 2 / ‖q t‖² ^+ 2).
Proof. exact: (recursion_exact (row_gt0 0) term_ge0 step_identity). Qed.

Theorem lower_bound T : ‖q 0%N‖² ^+ 2 + (\sum_(t < T) growth_term t) <= ‖q T‖² ^+ 2.
Proof. exact: (recursion_lower (row_gt0 0) term_ge0 step_identity). Qed.

Variable amax : R.
Hypothesis bounded : forall t, growth_term t <= amax.

Theorem upper_bound_1 T :
  ‖q T‖² ^+ 2 <= ‖q 0%N‖² ^+ 2
    + (\sum_(t < T) growth_term t) * (1 + amax / (4%:R * ‖q 0%N‖² ^+ 2)).
Proof. exact: (recursion_upper1 (row_gt0 0) term_ge0 step_identity bounded). Qed.

Theorem upper_bound_2 ln T : log_like ln ->
  ‖q T‖² ^+ 2 <= ‖q 0%N‖² ^+ 2 + (\sum_(t < T) growth_term t)
    + amax / 4%:R * (1 + amax / ‖q 0%N‖² ^+ 2)
      * ln (1 + (\sum_(t < T) growth_term t) / ‖q 0%N‖² ^+ 2).
Proof. exact: (recursion_upper2 (row_gt0 0) term_ge0 step_identity bounded). Qed.

(** The minimum of both. *)
Corollary upper_bound ln T : log_like ln ->
  ‖q T‖² ^+ 2 <= ‖q 0%N‖² ^+ 2 + (\sum_(t < T) growth_term t)
    + Num.min ((\sum_(t < T) growth_term t) * (amax / (4%:R * ‖q 0%N‖² ^+ 2)))
        (amax / 4%:R * (1 + amax / ‖q 0%N‖² ^+ 2)
          * ln (1 + (\sum_(t < T) growth_term t) / ‖q 0%N‖² ^+ 2)).
Proof.
move=> lnl; rewrite addr_minr le_minr upper_bound_2 // andbT.
by apply: le_trans (upper_bound_1 T) _; rewrite mulrDr mulr1 addrA.
Qed.

End Run.

(** From the losses to both bounds: T steps of SGD on any scale-invariant losses, with
    a_t = 2 η_t² ‖g̃_t‖², g̃_t the gradient at the unit vector. *)
Theorem cosine_training_growth (R : rcfType) n (eta : nat -> R) (q g : nat -> 'cV[R]_n)
    (L : nat -> 'cV[R]_n -> R) amax T :
  sgd_run eta q g -> cosine_run L q g ->
  (forall t, 2%:R * (eta t ^+ 2 * ‖norm (q t) *: g t‖²) <= amax) ->
  let A := \sum_(t < T) 2%:R * (eta t ^+ 2 * ‖norm (q t) *: g t‖²) in
  (forall t, is_grad (L t) ((norm (q t))^-1 *: q t) (norm (q t) *: g t)) /\
  norm (q 0%N) ^+ 4 + A <= norm (q T) ^+ 4
    <= norm (q 0%N) ^+ 4 + A * (1 + amax / (4%:R * norm (q 0%N) ^+ 4)).
Proof.
move=> run cos bd A; have tang := cosine_run_tangential cos.
have sph t : ‖norm (q t) *: g t‖² = spherical2 (q t) (g t).
  by have [q0 h0 dg] := cos t; have [] := spherical2_unit q0 h0 dg.
have st : q 0%N != 0 by have [] := cos 0%N.
have n4 t : norm (q t) ^+ 4 = ‖q t‖² ^+ 2 by rewrite -norm_sqr -exprM.
have AE : A = \sum_(t < T) growth_term eta q g t.
  by apply: eq_bigr => t _; rewrite sph.
split=> [t|]; first by have [q0 h0 dg] := cos t; have [] := spherical2_unit q0 h0 dg.
rewrite !n4 AE lower_bound //=; apply: upper_bound_1 => // t.
by rewrite /growth_term -sph.
Qed.

(** ** The hypotheses can hold: the run [spin], with s² = 1, rate 1 and a_max = 2; and a
    function that is like a logarithm in every ordered field is not needed: see
    QuarticGrowthLn.v for the natural one. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).

Lemma spin_bounded (R : realFieldType) t :
  growth_term (fun=> 1 : R) (spin (fun=> 1)) (spin_g (fun=> 1)) t <= 2%:R.
Proof. by rewrite /growth_term spin_spherical expr1n !mulr1. Qed.

Local Notation run1 := (spin_run one).
Local Notation tang1 := (spin_tangential one).
Local Notation start1 := (spin_neq0 one 0).

Example step_identity_nonvacuous : nonvacuous step_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 3%N). Qed.

Example quartic_step_identity_nonvacuous : nonvacuous quartic_step_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 3%N). Qed.

Example quartic_run_identity_nonvacuous : nonvacuous quartic_run_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 3%N). Qed.

Example lower_bound_nonvacuous : nonvacuous lower_bound.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 3%N). Qed.

Example upper_bound_1_nonvacuous : nonvacuous upper_bound_1.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 _ (@spin_bounded Q) 3%N). Qed.
