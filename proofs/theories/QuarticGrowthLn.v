(** * Quartic growth, with the natural logarithm

    The second upper bound of QuarticGrowth.v, and the minimum of both upper bounds, for the
    real numbers: with a_t = 2η_t²s_t² <= a_max and A_T = Σ a_t,
        ‖q_T‖⁴ <= ‖q_0‖⁴ + A_T + (a_max/4)(1 + a_max/‖q_0‖⁴) ln(1 + A_T/‖q_0‖⁴),
    and, from the losses, ‖q_0‖⁴ + A_T <= ‖q_T‖⁴ <= the minimum of both uppers.

    Source: derived here.
    Proof: QuarticGrowth.upper_bound with LogReal.ln_log_like; axioms of Coq's reals and of
    MathComp-Analysis. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth LogReal.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Run.
Variables (n : nat) (eta : nat -> R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run eta q g.
Hypothesis tang : tangential q g.
Hypothesis start : q 0%N != 0.
Variable amax : R.
Hypothesis bounded : forall t, growth_term eta q g t <= amax.

Theorem upper_bound_2_ln T :
  ‖q T‖² ^+ 2 <= ‖q 0%N‖² ^+ 2 + (\sum_(t < T) growth_term eta q g t)
    + amax / 4%:R * (1 + amax / ‖q 0%N‖² ^+ 2)
      * ln (1 + (\sum_(t < T) growth_term eta q g t) / ‖q 0%N‖² ^+ 2)%R.
Proof. exact: (upper_bound_2 run tang start bounded T ln_log_like). Qed.

Theorem upper_bound_min_ln T :
  ‖q T‖² ^+ 2 <= ‖q 0%N‖² ^+ 2 + (\sum_(t < T) growth_term eta q g t)
    + Num.min
        ((\sum_(t < T) growth_term eta q g t) * (amax / (4%:R * ‖q 0%N‖² ^+ 2)))
        (amax / 4%:R * (1 + amax / ‖q 0%N‖² ^+ 2)
          * ln (1 + (\sum_(t < T) growth_term eta q g t) / ‖q 0%N‖² ^+ 2)%R).
Proof. exact: (upper_bound run tang start bounded T ln_log_like). Qed.

End Run.

(** ** The hypotheses can hold: the run [spin] over the reals. *)
Local Notation RF := [realFieldType of R].
Local Notation one := (fun=> 1 : RF).

Local Notation run1 := (spin_run one).
Local Notation tang1 := (spin_tangential one).
Local Notation start1 := (spin_neq0 one 0).
Local Notation bound1 := (@spin_bounded [realFieldType of R]).

Example upper_bound_2_ln_nonvacuous : nonvacuous upper_bound_2_ln.
Proof. by move=> H; apply: (H _ _ _ _ run1 tang1 start1 _ bound1 3%N). Qed.

Example upper_bound_min_ln_nonvacuous : nonvacuous upper_bound_min_ln.
Proof. by move=> H; apply: (H _ _ _ _ run1 tang1 start1 _ bound1 3%N). Qed.

(** The two theorems of QuarticGrowth.v about any function like a logarithm. *)
Example QuarticGrowth_upper_bound_2_nonvacuous : nonvacuous upper_bound_2.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 _ bound1 ln 3%N ln_log_like). Qed.

Example QuarticGrowth_upper_bound_nonvacuous : nonvacuous upper_bound.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 _ bound1 ln 3%N ln_log_like). Qed.
