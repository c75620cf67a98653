(** * LogReal: the natural logarithm has the two properties that the growth bounds use.

    ln(xy) = ln x + ln y and 1 - 1/x <= ln x for positive reals, for Coq's own real numbers
    (with MathComp-Analysis providing their field structure). *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import QuarticGrowth.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Lemma ln_log_like : log_like (ln : R -> R).
Proof.
split=> [x y /RltP x0 /RltP y0|x x0]; first exact: ln_mult.
have /RltP x0' := x0; have /RltP xi : 0 < x^-1 by rewrite invr_gt0.
have h : (1 + ln (x^-1) <= x^-1)%R.
  by apply/RleP; rewrite -[X in Rle _ X](exp_ln _ xi); apply: exp_ineq1_le.
have e : ln (x^-1) = - ln x by rewrite -RinvE ?gt_eqF // ln_Rinv.
by move: h; rewrite e => h; rewrite ler_subl_addr addrC -ler_subl_addr.
Qed.
