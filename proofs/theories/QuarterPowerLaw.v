(** * The quarter-power law

    SGD on cosine losses with a constant rate η and s_min² <= s_t² <= s_max² grows like the
    fourth root of the number of look-ups, from both sides and for every n:
        2η²s_min² n <= ‖q_n‖⁴ - ‖q_0‖⁴ <= 2η²s_max² n (1 + η²s_max²/(2‖q_0‖⁴)).
    With constant s the constant is exact in the limit (an Archimedean field):
        ‖q_n‖⁴/n -> 2η²s²,
    and the squared effective angular rate (ηs/‖q_n‖²)² times 2n tends to 1: the angle per
    step anneals like (2n)^{-1/2}, whatever the rate.

    Source: van Laarhoven 2017, Wan et al. 2021 (scaling); two-sided form and limit with its
    constant: derived here.
    Proof: the two-sided quartic bound; in the limit the correction Σ (η²s²)²/‖q_t‖⁴ has terms
    that tend to 0, so its mean does.  No axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Bounds.
Variables (R : realFieldType) (n : nat) (eta : R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run (fun=> eta) q g.
Hypothesis tang : tangential q g.
Hypothesis start : q 0%N != 0.
Variables smin2 smax2 : R.
Hypothesis bounded : forall t, smin2 <= spherical2 (q t) (g t) <= smax2.

Theorem two_sided_growth T :
  ‖q 0%N‖² ^+ 2 + 2%:R * eta ^+ 2 * smin2 * T%:R <= ‖q T‖² ^+ 2
    <= ‖q 0%N‖² ^+ 2 + 2%:R * eta ^+ 2 * smax2 * T%:R
       * (1 + eta ^+ 2 * smax2 / (2%:R * ‖q 0%N‖² ^+ 2)).
Proof.
have e2 : 0 <= eta ^+ 2 by apply: sqr_ge0.
have r0 : 0 < ‖q 0%N‖² by rewrite nrm2_gt0.
have cst (c : R) : \sum_(t < T) c = c * T%:R by rewrite sumr_const card_ord mulr_natr.
have bd t : growth_term (fun=> eta) q g t <= 2%:R * eta ^+ 2 * smax2.
  rewrite /growth_term -mulrA ler_wpmul2l ?ler0n // ler_wpmul2l //.
  by have /andP[] := bounded t.
apply/andP; split.
  apply: le_trans (lower_bound run tang start T); rewrite ler_add2l -cst.
  apply: ler_sum => t _; rewrite /growth_term -mulrA ler_wpmul2l ?ler0n // ler_wpmul2l //.
  by have /andP[] := bounded t.
apply: le_trans (upper_bound_1 run tang start bd T) _; rewrite ler_add2l.
have -> : 1 + 2%:R * eta ^+ 2 * smax2 / (4%:R * ‖q 0%N‖² ^+ 2)
    = 1 + eta ^+ 2 * smax2 / (2%:R * ‖q 0%N‖² ^+ 2).
  by field; rewrite gt_eqF.
have s0 : 0 <= smax2.
  by have /andP[_ h] := bounded 0%N; apply: le_trans (spherical2_ge0 _ _) h.
have K0 : 0 <= 1 + eta ^+ 2 * smax2 / (2%:R * ‖q 0%N‖² ^+ 2).
  apply: addr_ge0; first exact: ler01.
  by apply: divr_ge0; rewrite mulr_ge0 ?ler0n ?sqr_ge0.
by apply: ler_wpmul2r => //; rewrite -cst; apply: ler_sum.
Qed.

End Bounds.

(** Fourth roots: the norm itself, for n >= 1. *)
Section Roots.
Variables (R : rcfType) (n : nat) (eta : R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run (fun=> eta) q g.
Hypothesis tang : tangential q g.
Hypothesis start : q 0%N != 0.
Variables smin2 smax2 : R.
Hypothesis bounded : forall t, smin2 <= spherical2 (q t) (g t) <= smax2.

Definition root4 (x : R) : R := Num.sqrt (Num.sqrt x).

Lemma root4M x y : 0 <= x -> root4 (x * y) = root4 x * root4 y.
Proof. by move=> x0; rewrite /root4 sqrtrM // sqrtrM ?sqrtr_ge0. Qed.

Lemma root4_norm (x : 'cV[R]_n) : root4 (‖x‖² ^+ 2) = norm x.
Proof. by rewrite /root4 sqrtr_sqr ger0_norm ?nrm2_ge0. Qed.

Lemma root4_le x y : x <= y -> root4 x <= root4 y.
Proof. by move=> xy; rewrite /root4 !ler_wsqrtr. Qed.

Theorem quarter_power_bounds T : (0 < T)%N -> 0 <= smin2 ->
  root4 (2%:R * eta ^+ 2 * smin2) * root4 T%:R <= norm (q T)
    <= root4 (‖q 0%N‖² ^+ 2 + 2%:R * eta ^+ 2 * smax2
              * (1 + eta ^+ 2 * smax2 / (2%:R * ‖q 0%N‖² ^+ 2))) * root4 T%:R.
Proof.
move=> T0 s0; have /andP[lo up] := two_sided_growth run tang start bounded T.
have s1 : 0 <= smax2.
  by have /andP[h1 h2] := bounded 0%N; apply: le_trans s0 (le_trans h1 h2).
have e2 : 0 <= eta ^+ 2 by apply: sqr_ge0.
have K0 : 0 <= 1 + eta ^+ 2 * smax2 / (2%:R * ‖q 0%N‖² ^+ 2).
  apply: addr_ge0; first exact: ler01.
  by apply: divr_ge0; rewrite mulr_ge0 ?ler0n ?sqr_ge0.
have t2 : 0 <= 2%:R * eta ^+ 2 := mulr_ge0 (ler0n _ 2) e2.
have p1 := mulr_ge0 t2 s0.
have p2 := mulr_ge0 t2 s1.
have p3 := addr_ge0 (sqr_ge0 ‖q 0%N‖²) (mulr_ge0 p2 K0).
rewrite -root4_norm -!root4M //.
apply/andP; split; apply: root4_le; first by apply: le_trans lo; rewrite ler_addr sqr_ge0.
apply: le_trans up _; set X := ‖q 0%N‖² ^+ 2 in p3 *; set K := 1 + _.
have -> : (X + 2%:R * eta ^+ 2 * smax2 * K) * T%:R
    = X * T%:R + 2%:R * eta ^+ 2 * smax2 * T%:R * K by ring.
rewrite ler_add2r ler_pemulr ?sqr_ge0 // (ler_nat _ 1); exact: T0.
Qed.

End Roots.

(** ** The limit, with constant s. *)
Section Limit.
Variables (R : archiFieldType) (n : nat) (eta s2 : R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run (fun=> eta) q g.
Hypothesis tang : tangential q g.
Hypothesis start : q 0%N != 0.
Hypothesis constant : forall t, spherical2 (q t) (g t) = s2.

Let c := eta ^+ 2 * s2.
Let X t := ‖q t‖² ^+ 2.

Lemma c_ge0 : 0 <= c.
Proof. by rewrite mulr_ge0 ?sqr_ge0 // -(constant 0) spherical2_ge0. Qed.

Lemma X_gt0 t : 0 < X t.
Proof. by rewrite exprn_gt0 // (row_gt0 run tang start). Qed.

Lemma X_step t : X t.+1 = X t + (2%:R * c + c ^+ 2 / X t).
Proof.
rewrite /X (quartic_step_identity run tang start) /growth_term constant -/c.
by rewrite addrA.
Qed.

Lemma X_lower t : X 0%N + 2%:R * c * t%:R <= X t.
Proof.
have := lower_bound run tang start t; rewrite -/(X t) -/(X 0%N).
rewrite (eq_bigr (fun=> 2%:R * c)) => [|k _]; last by rewrite /growth_term constant.
by rewrite sumr_const card_ord mulr_natr.
Qed.

(** The excess over the leading term, per step, is eventually below any eps. *)
Lemma excess eps : 0 < eps ->
  exists K, forall t, X t <= 2%:R * c * t%:R + K + eps * t%:R.
Proof.
move=> e0; have := archi_boundP (_ : 0 <= c / eps); rewrite divr_ge0 ?c_ge0 ?ltW //.
set M := Num.bound _ => /(_ isT) Mb.
exists (\sum_(t < M) X t + X M) => t; elim: t => [|t IH].
  rewrite !mulr0 add0r addr0.
  case: (M) => [|m]; first by rewrite ler_addr sumr_ge0 // => k _; apply: ltW (X_gt0 _).
  rewrite big_ord_recl -addrA ler_addl addr_ge0 ?(ltW (X_gt0 _)) //.
  by apply: sumr_ge0 => k _; apply: ltW (X_gt0 _).
have c0 := c_ge0.
have slack Y : Y <= 2%:R * c * t.+1%:R + Y + eps * t.+1%:R.
  rewrite addrAC ler_addr; apply: addr_ge0; apply: mulr_ge0; rewrite ?ler0n ?(ltW e0) //.
  by apply: mulr_ge0; rewrite ?ler0n.
have [tM|Mt] := ltnP t.+1 M.
  apply: le_trans (_ : \sum_(k < M) X k + X M <= _).
    rewrite (bigD1 (Ordinal tM)) //= -addrA ler_addl addr_ge0 ?(ltW (X_gt0 _)) //.
    by apply: sumr_ge0 => k _; apply: ltW (X_gt0 _).
  exact: slack.
have [tM|tM] := eqVneq t.+1 M.
  apply: le_trans (_ : \sum_(k < M) X k + X M <= _).
    by rewrite tM ler_addr sumr_ge0 // => k _; apply: ltW (X_gt0 _).
  exact: slack.
have Mt' : (M <= t)%N by rewrite -ltnS ltn_neqAle eq_sym tM.
have small : c ^+ 2 / X t <= eps.
  rewrite ler_pdivr_mulr ?X_gt0 //; apply: le_trans (_ : eps * (c * t%:R) <= _).
    rewrite expr2 [eps * _]mulrCA ler_wpmul2l // mulrC -ler_pdivr_mulr //.
    by apply: le_trans (ltW Mb) _; rewrite ler_nat.
  apply: ler_wpmul2l; first exact: ltW.
  have ct : 0 <= c * t%:R by rewrite mulr_ge0 ?ler0n.
  apply: le_trans (X_lower t); apply: ler_paddl; first exact: ltW (X_gt0 _).
  by rewrite -mulrA mulr_natl mulr2n ler_addl.
rewrite X_step -[t.+1]addn1 natrD.
apply: le_trans (ler_add IH (ler_add (lexx _) small)) _.
by rewrite le_eqVlt; apply/orP; left; apply/eqP; ring.
Qed.

Lemma mean_excess eps : 0 < eps ->
  exists N, forall t, (N < t)%N -> 0 <= X t - 2%:R * c * t%:R < eps * t%:R.
Proof.
move=> e0; have e2 : 0 < eps / 2%:R by rewrite divr_gt0 ?ltr0n.
have [K HK] := excess e2; have K0 : 0 <= K.
  by have := HK 0%N; rewrite !mulr0 add0r addr0; apply: le_trans; apply: ltW (X_gt0 _).
have := archi_boundP (_ : 0 <= K / (eps / 2%:R)); rewrite divr_ge0 ?(ltW e2) //.
set N := Num.bound _ => /(_ isT) NK; exists N => t Nt; apply/andP; split.
  rewrite subr_ge0; apply: le_trans (X_lower t).
  by rewrite ler_addr ltW // X_gt0.
rewrite ltr_subl_addl; apply: le_lt_trans (HK t) _; rewrite -addrA ltr_add2l.
have -> : eps * t%:R = eps / 2%:R * t%:R + eps / 2%:R * t%:R by field.
rewrite ltr_add2r mulrC -ltr_pdivr_mulr //; apply: lt_trans NK _.
by rewrite ltr_nat.
Qed.

(** ‖q_n‖⁴/n -> 2η²s². *)
Theorem quartic_rate_limit eps : 0 < eps ->
  exists N, forall t, (N < t)%N ->
    `|‖q t‖² ^+ 2 / t%:R - 2%:R * eta ^+ 2 * s2| < eps.
Proof.
move=> /mean_excess[N H]; exists N => t Nt; have /andP[lo up] := H t Nt.
have t0 : 0 < t%:R :> R by rewrite ltr0n; apply: leq_ltn_trans Nt.
have -> : ‖q t‖² ^+ 2 / t%:R - 2%:R * eta ^+ 2 * s2 = (X t - 2%:R * c * t%:R) / t%:R.
  by rewrite /c -/(X t); field; rewrite gt_eqF.
by rewrite ger0_norm ?ltr_pdivr_mulr // divr_ge0 // ltW.
Qed.

(** The angle per step: (ηs/‖q_n‖²)² 2n -> 1, for any η > 0 and s > 0. *)
Theorem angular_rate_limit eps : 0 < eps -> 0 < eta ^+ 2 * s2 ->
  exists N, forall t, (N < t)%N ->
    `|eta ^+ 2 * s2 / ‖q t‖² ^+ 2 * (2%:R * t%:R) - 1| < eps.
Proof.
move=> e0 c0; have e1 : 0 < eps * (2%:R * c).
  by apply: mulr_gt0 => //; apply: mulr_gt0 => //; rewrite ltr0n.
have [N H] := mean_excess e1; exists N => t Nt; have /andP[lo up] := H t Nt.
have t0 : 0 < t%:R :> R by rewrite ltr0n; apply: leq_ltn_trans Nt.
have X0 := X_gt0 t.
have -> : eta ^+ 2 * s2 / ‖q t‖² ^+ 2 * (2%:R * t%:R) - 1
    = - ((X t - 2%:R * c * t%:R) / X t).
  rewrite -/(X t) -/c; move: (X t) X0 => x x0; field; exact: lt0r_neq0.
rewrite normrN ger0_norm; last by rewrite divr_ge0 // ltW.
rewrite ltr_pdivr_mulr //; apply: lt_le_trans up _; rewrite -mulrA ler_wpmul2l ?(ltW e0) //.
by apply: le_trans (X_lower t); rewrite ler_addr ltW // X_gt0.
Qed.

End Limit.

(** ** The hypotheses can hold: the run [spin], with s² = 1 and rate 1. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).
Local Notation run1 := (spin_run one).
Local Notation tang1 := (spin_tangential one).
Local Notation start1 := (spin_neq0 one 0).

Lemma spin_between (R : realFieldType) t :
  1 <= spherical2 (spin (fun=> 1 : R) t) (spin_g (fun=> 1) t) <= 1.
Proof. by rewrite spin_spherical lexx. Qed.

Lemma spin_constant (R : realFieldType) t :
  spherical2 (spin (fun=> 1 : R) t) (spin_g (fun=> 1) t) = 1.
Proof. exact: spin_spherical. Qed.

Example two_sided_growth_nonvacuous : nonvacuous two_sided_growth.
Proof. by move=> H; apply: (H _ _ _ _ _ run1 tang1 start1 _ _ (@spin_between Q) 3%N). Qed.

Example quartic_rate_limit_nonvacuous : nonvacuous quartic_rate_limit.
Proof.
move=> H.
exact: (H [archiFieldType of rat] _ _ _ _ _ run1 tang1 start1 (@spin_constant Q) 1 ltr01).
Qed.

Example angular_rate_limit_nonvacuous : nonvacuous angular_rate_limit.
Proof.
move=> H.
apply: (H [archiFieldType of rat] _ _ _ _ _ run1 tang1 start1 (@spin_constant Q) 1 ltr01).
by rewrite expr1n mulr1 ltr01.
Qed.
