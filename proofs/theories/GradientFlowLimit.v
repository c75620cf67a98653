(** * Inflation is a discretisation effect

    SGD on cosine losses with constant rate η over N steps, in training time ηN, has
        2η s_min² (ηN) <= ‖q_N‖⁴ - ‖q_0‖⁴ <= 2η s_max² (ηN) (1 + η²s_max²/(2‖q_0‖⁴)):
    at fixed training time the growth is of first order in η.  Hence for every start, every
    bound on s and every time T the growth tends to 0 with η, uniformly in the losses, the
    dimension and the number of steps (epsilon-delta).  In the limit, the gradient flow
    dq/dt = -g with g ⟂ q, the derivative of ‖q‖² is 0.

    Source: Arora et al. 2018, van Laarhoven 2017 (flow keeps the norm); uniform discrete
    statement: derived here.
    Proof: the two-sided quartic bound; product rule.  Any ordered field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth.
From Perpend Require Import QuarterPowerLaw NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Theorem fixed_time_growth (R : realFieldType) n (eta smin2 smax2 : R) (q g : nat -> 'cV[R]_n) N :
  sgd_run (fun=> eta) q g -> tangential q g -> q 0%N != 0 ->
  (forall t, smin2 <= spherical2 (q t) (g t) <= smax2) ->
  2%:R * eta * smin2 * (eta * N%:R) <= ‖q N‖² ^+ 2 - ‖q 0%N‖² ^+ 2
    <= 2%:R * eta * smax2 * (eta * N%:R) * (1 + eta ^+ 2 * smax2 / (2%:R * ‖q 0%N‖² ^+ 2)).
Proof.
move=> run tang start bd; have /andP[lo up] := two_sided_growth run tang start bd N.
have e (s : R) : 2%:R * eta * s * (eta * N%:R) = 2%:R * eta ^+ 2 * s * N%:R by ring.
by rewrite !e ler_subr_addl ler_subl_addl lo up.
Qed.

(** The growth at training time at most T is below eps for every small enough rate. *)
Theorem inflation_vanishes (R : realFieldType) (r0 S T eps : R) :
  0 < r0 -> 0 <= S -> 0 <= T -> 0 < eps ->
  exists2 eta0, 0 < eta0 & forall n (eta : R) (q g : nat -> 'cV[R]_n) N,
    0 < eta < eta0 -> sgd_run (fun=> eta) q g -> tangential q g -> ‖q 0%N‖² = r0 ->
    (forall t, spherical2 (q t) (g t) <= S) -> eta * N%:R <= T ->
    0 <= ‖q N‖² ^+ 2 - ‖q 0%N‖² ^+ 2 < eps.
Proof.
move=> r00 S0 T0 e0.
pose C := 2%:R * S * T * (1 + S / (2%:R * r0 ^+ 2)).
have two : 0 <= 2%:R :> R by rewrite ler0n.
have r2 : 0 <= 2%:R * r0 ^+ 2 by rewrite mulr_ge0 ?sqr_ge0.
have K0 : 0 <= 1 + S / (2%:R * r0 ^+ 2) by rewrite addr_ge0 ?ler01 // divr_ge0.
have C0 : 0 <= C.
  by apply: mulr_ge0 => //; apply: mulr_ge0 => //; apply: mulr_ge0.
have C1 : 0 < C + 1 by rewrite ltr_paddl ?ltr01.
exists (Num.min 1 (eps / (C + 1))); first by rewrite lt_minr ltr01 divr_gt0.
move=> n eta q g N; rewrite lt_minr => /andP[eta0 /andP[eta1 etae]] run tang q0 bd tT.
have start : q 0%N != 0 by rewrite -nrm2_gt0 q0.
have bd' t : 0 <= spherical2 (q t) (g t) <= S by rewrite spherical2_ge0 bd.
have /andP[lo up] := fixed_time_growth N run tang start bd'.
rewrite mulr0 mul0r in lo; rewrite lo /=; apply: le_lt_trans up _.
have tN : 0 <= eta * N%:R by rewrite mulr_ge0 ?ler0n ?(ltW eta0).
have e2 : eta ^+ 2 <= 1 by rewrite exprn_ile1 ?(ltW eta0) ?(ltW eta1).
apply: le_lt_trans (_ : eta * C < eps).
  have -> : eta * C = 2%:R * eta * S * T * (1 + S / (2%:R * r0 ^+ 2)) by rewrite /C; ring.
  have es : 0 <= 2%:R * eta * S.
    by apply: mulr_ge0 => //; apply: mulr_ge0 => //; apply: ltW.
  rewrite q0; apply: ler_pmul.
  - exact: mulr_ge0.
  - rewrite addr_ge0 ?ler01 // divr_ge0 // mulr_ge0 ?sqr_ge0 //.
  - exact: ler_wpmul2l.
  rewrite ler_add2l; apply: ler_wpmul2r; first by rewrite invr_ge0.
  by rewrite ler_pimull.
rewrite ltr_pdivl_mulr // in etae; apply: le_lt_trans etae.
by apply: ler_wpmul2l; rewrite ?(ltW eta0) // ler_addl ler01.
Qed.

(** ** The flow itself. *)
Section Flow.
Variable R : realFieldType.

Lemma is_deriv_sq (f : R^o -> R) (t v : R^o) (l : R) :
  is_deriv f t v l -> is_deriv (fun s => f s * f s) t v (2%:R * f t * l).
Proof.
move=> D e e0; set y := f t.
have k1 : 0 < `|l| + 1 by rewrite ltr_paddl ?ltr01.
have k2 : 0 < 2%:R * `|y| + 1 by rewrite ltr_paddl ?ltr01 // mulr_ge0 ?ler0n.
pose a := Num.min 1 (e / 2%:R / (2%:R * `|y| + 1)).
have a0 : 0 < a by rewrite /a lt_minr ltr01 !divr_gt0 ?ltr0n.
have [d d0 H] := D a a0.
pose b := e / 2%:R / (`|l| + 1) ^+ 2.
have b0 : 0 < b by rewrite !divr_gt0 ?ltr0n ?exprn_gt0.
exists (Num.min d b); first by rewrite lt_minr d0.
move=> h h0; rewrite lt_minr => /andP[/(H h h0) hd hb].
set q := (f (t + h *: v) - f t) / h in hd.
have fE : f (t + h *: v) = y + h * q by rewrite /q /y; field.
rewrite fE -/y.
have -> : ((y + h * q) * (y + h * q) - y * y) / h - 2%:R * y * l
    = 2%:R * y * (q - l) + h * q ^+ 2 by field.
have qa : `|q - l| <= a := ltW hd.
have ql : `|q| <= `|l| + 1.
  have -> : q = l + (q - l) by ring.
  apply: le_trans (ler_norm_add _ _) _; rewrite ler_add2l; apply: le_trans qa _.
  by rewrite /a le_minl lexx.
apply: le_lt_trans (ler_norm_add _ _) _; rewrite [e]splitr; apply: ler_lt_add.
  rewrite !normrM ger0_norm ?ler0n //.
  apply: le_trans (_ : (2%:R * `|y| + 1) * a <= _).
    apply: ler_pmul => //; first by rewrite mulr_ge0 ?ler0n.
    by rewrite ler_addl ler01.
  rewrite mulrC -ler_pdivl_mulr // /a le_minl lexx orbT //.
rewrite normrM normrX; apply: le_lt_trans (_ : `|h| * (`|l| + 1) ^+ 2 < _).
  apply: ler_wpmul2l => //; rewrite ler_expn2r ?nnegrE ?normr_ge0 //; exact: ltW.
by rewrite -ltr_pdivl_mulr ?exprn_gt0.
Qed.

(** Along dq/dt = -g with g ⟂ q the squared norm has derivative 0. *)
Theorem flow_keeps_norm n (q : R^o -> 'cV[R]_n) (t : R^o) (g : 'cV[R]_n) :
  (forall i, is_deriv (fun s => q s i 0) t (1 : R^o) (- g i 0)) -> ⟨q t, g⟩ = 0 ->
  is_deriv (fun s => ‖q s‖²) t (1 : R^o) 0.
Proof.
move=> D qg.
have -> : 0 = \sum_i 2%:R * q t i 0 * - g i 0 :> R.
  rewrite (eq_bigr (fun i => - 2%:R * (q t i 0 * g i 0))) => [|i _]; last by ring.
  by rewrite -mulr_sumr -/(dot (q t) g) qg mulr0.
exact: (is_deriv_sum (fun i => is_deriv_sq (D i))).
Qed.

End Flow.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).

Example fixed_time_growth_nonvacuous : nonvacuous fixed_time_growth.
Proof.
by move=> H; apply: (H _ _ _ _ _ _ _ 3%N (spin_run one) (spin_tangential one)
  (spin_neq0 one 0) (@spin_between Q)).
Qed.

Example inflation_vanishes_nonvacuous : nonvacuous inflation_vanishes.
Proof. by move=> H; apply: (H Q 1 1 1 1). Qed.

Lemma still_point (R : realFieldType) i :
  is_deriv (fun _ : R^o => (vec2 1 0 : 'cV[R]_2) i 0) (0 : R^o) (1 : R^o) (- (0 : 'cV[R]_2) i 0).
Proof. by rewrite [X in is_deriv _ _ _ (- X)]mxE oppr0; apply: is_deriv_cst. Qed.

Example flow_keeps_norm_nonvacuous : nonvacuous flow_keeps_norm.
Proof.
move=> H; apply: (H Q 2%N (fun=> vec2 1 0) 0 0 (@still_point Q)).
by rewrite dot0r.
Qed.
