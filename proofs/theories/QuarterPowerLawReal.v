(** * The quarter-power law for the norm itself, over the real numbers

    With constant rate η and constant s, ηs <> 0,
        ‖q_n‖ / n^{1/4} -> (2η²s²)^{1/4}.

    Source: derived here.
    Proof: the limit of ‖q_n‖⁴/n of QuarterPowerLaw.v and continuity of the square root,
    twice; the real numbers are needed because the limit wants an Archimedean field and the
    root a real closed one. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun QuarticGrowth QuarterPowerLaw.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Lemma sqrt_close (F : rcfType) (y l e : F) : 0 < l -> 0 <= y ->
  `|y - l| < e * Num.sqrt l -> `|Num.sqrt y - Num.sqrt l| < e.
Proof.
move=> l0 y0 lt; have sl : 0 < Num.sqrt l by rewrite sqrtr_gt0.
rewrite -(ltr_pmul2r sl); apply: le_lt_trans lt.
have -> : y - l = (Num.sqrt y - Num.sqrt l) * (Num.sqrt y + Num.sqrt l).
  by rewrite -subr_sqr !sqr_sqrtr // ltW.
rewrite normrM; apply: ler_wpmul2l; first exact: normr_ge0.
by rewrite ger0_norm ?ler_addr ?addr_ge0 ?sqrtr_ge0.
Qed.

Lemma root4_close (F : rcfType) (y l e : F) : 0 < l -> 0 <= y ->
  `|y - l| < e * root4 l * Num.sqrt l -> `|root4 y - root4 l| < e.
Proof.
move=> l0 y0 /(sqrt_close l0 y0) lt.
by apply: sqrt_close; rewrite ?sqrtr_gt0 ?sqrtr_ge0.
Qed.

Local Notation RC := [rcfType of R].

Theorem quarter_power_limit n (eta s2 : RC) (q g : nat -> 'cV[RC]_n) eps :
  sgd_run (fun=> eta) q g -> tangential q g -> q 0%N != 0 ->
  (forall t, spherical2 (q t) (g t) = s2) -> 0 < 2%:R * eta ^+ 2 * s2 -> 0 < eps ->
  exists N, forall t, (N < t)%N ->
    `|norm (q t) / root4 t%:R - root4 (2%:R * eta ^+ 2 * s2)| < eps.
Proof.
move=> run tang start cst l0 e0; set l := 2%:R * eta ^+ 2 * s2 in l0 *.
have r0 : 0 < root4 l by rewrite /root4 !sqrtr_gt0.
have e1 : 0 < eps * root4 l * Num.sqrt l.
  by apply: mulr_gt0; [apply: mulr_gt0 | rewrite sqrtr_gt0].
have [N H] := @quartic_rate_limit [archiFieldType of R] n eta s2 q g run tang start cst _ e1.
exists N => t Nt; have t0 : 0 < t%:R :> RC by rewrite ltr0n; apply: leq_ltn_trans Nt.
have X0 : 0 <= ‖q t‖² ^+ 2 / t%:R by rewrite divr_ge0 ?sqr_ge0 // ltW.
have -> : norm (q t) / root4 t%:R = root4 (‖q t‖² ^+ 2 / t%:R).
  rewrite -root4_norm -{1}[‖q t‖² ^+ 2](divfK (_ : t%:R != 0)) ?gt_eqF // root4M // mulfK //.
  by rewrite gt_eqF // /root4 !sqrtr_gt0.
exact: root4_close (H t Nt).
Qed.

(** ** The hypotheses can hold: the run [spin]. *)
Local Notation one := (fun=> 1 : RC).

Lemma spin_rate_pos (F : rcfType) : 0 < 2%:R * 1 ^+ 2 * 1 :> F.
Proof. by rewrite expr1n !mulr1 ltr0n. Qed.

Example quarter_power_limit_nonvacuous : nonvacuous quarter_power_limit.
Proof.
move=> H; exact: (H _ _ _ _ _ 1 (spin_run one) (spin_tangential one) (spin_neq0 one 0)
  (@spin_constant _) (spin_rate_pos _) ltr01).
Qed.
