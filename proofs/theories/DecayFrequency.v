(** * Dense and lazy decay decide whether frequency stays in the norm

    With a = (1-ηλ)², b = η²s² and R = ‖q‖² a look-up maps R to aR + b/R.
    - Lazy decay (only looked-up rows shrink): the norm depends on the number of look-ups
      alone, and the balance point R² = b/(1-a) is free of the frequency.
    - Dense decay (all rows shrink at every step), the row looked up every m steps: over a
      period the squared norm before the look-up obeys R -> a^m R + a^{m-1} b/R, with balance
          before the look-up   ‖q‖⁴ = η²s² a^{m-1}/(1-a^m),
          after the look-up    ‖q‖⁴ = η²s²/(a^{m-1}(1-a^m)),
      relaxation multiplier 2a^m - 1, and with f = 1/m and the lazy balance ‖q∞‖⁴ = b/(1-a)
          before <= f ‖q∞‖⁴ <= after,     after = before/a^{2(m-1)}:
      the norm follows f^{1/4} up to the decay within one period.  Before the look-up rarer
      rows are always smaller; after it the order reverses where a^m + a^{m'} < 1 (a rare row
      is kicked far by 1/‖q‖).
    The closed forms are for periodic sampling.

    Source: derived here.
    Proof: induction over a period, geometric sums; any ordered field, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun DecayRadial DecayEquilibrium.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Lazy: the norm counts look-ups. *)
Section Lazy.
Variables (R : realFieldType) (n : nat) (eta lam s2 : R) (touched : nat -> bool).
Variables (q g : nat -> 'cV[R]_n).
Hypothesis run : forall t,
  q t.+1 = if touched t then decoupled_step eta lam (q t) (g t) else q t.
Hypothesis nonzero : forall t, q t != 0.
Hypothesis tang : forall t, touched t -> ⟨q t, g t⟩ = 0.
Hypothesis constant : forall t, touched t -> spherical2 (q t) (g t) = s2.

Let a := (1 - eta * lam) ^+ 2.
Let b := eta ^+ 2 * s2.

Theorem lazy_norm_counts_touches t :
  ‖q t‖² = iter (\sum_(k < t) touched k) (decay_map a b) ‖q 0%N‖².
Proof.
elim: t => [|t IH]; first by rewrite big_ord0.
rewrite big_ord_recr /= run; case: ifP => [tt|_]; last by rewrite addn0.
by rewrite addn1 /= -IH (decay_step_map _ _ (nonzero t) (tang tt) (constant tt)).
Qed.

(** Hence two look-up patterns with the same count give the same norm, and the balance point
    does not know the frequency. *)
Theorem lazy_balance_frequency_free r t :
  decay_map a b r = r -> ‖q 0%N‖² = r -> ‖q t‖² = r.
Proof.
move=> fx q0; rewrite lazy_norm_counts_touches q0.
by elim: (\sum_(k < t) _)%N => //= m ->.
Qed.

End Lazy.

(** ** Dense: all rows shrink, the row is looked up every m steps. *)
Section Dense.
Variables (R : realFieldType) (n : nat) (eta lam s2 : R) (m' : nat).
Let m := m'.+1.
Variables (q g : nat -> 'cV[R]_n).
Hypothesis run : forall t, q t.+1 = decoupled_step eta lam (q t) (g t).
Hypothesis nonzero : forall t, q t != 0.
Hypothesis sampled : forall k, ⟨q (k * m)%N, g (k * m)%N⟩ = 0 /\
  spherical2 (q (k * m)%N) (g (k * m)%N) = s2.
Hypothesis unsampled : forall k j, (j < m')%N -> g (k * m + j.+1)%N = 0.

Let a := (1 - eta * lam) ^+ 2.
Let b := eta ^+ 2 * s2.

Lemma dense_rest k j : (j <= m')%N ->
  ‖q (k * m + j.+1)%N‖² = a ^+ j * decay_map a b ‖q (k * m)%N‖².
Proof.
elim: j => [|j IH] jm; last first.
  rewrite addnS run unsampled // /decoupled_step scaler0 subr0 nrm2Z -/a IH ?exprS ?mulrA //.
  exact: ltnW.
have [qg s] := sampled k.
by rewrite addn1 run mul1r (decay_step_map _ _ (nonzero _) qg s).
Qed.

(** One period: before one look-up to before the next. *)
Theorem dense_period k :
  ‖q (k.+1 * m)%N‖² = decay_map (a ^+ m) (a ^+ m' * b) ‖q (k * m)%N‖².
Proof.
have -> : (k.+1 * m = k * m + m'.+1)%N by rewrite mulSn addnC.
rewrite dense_rest // /decay_map mulrDr mulrA -exprSr; congr (_ + _).
by rewrite mulrA.
Qed.

(** And from after one look-up to after the next (where a is not zero). *)
Theorem dense_period_after k : a != 0 ->
  ‖q (k.+1 * m).+1‖² = decay_map (a ^+ m) (b / a ^+ m') ‖q (k * m).+1‖².
Proof.
move=> a0; have [qg s] := sampled k.+1.
rewrite run (decay_step_map _ _ (nonzero _) qg s) -/a -/b.
have -> : ‖q (k.+1 * m)%N‖² = a ^+ m' * ‖q (k * m).+1‖².
  have -> : (k.+1 * m = k * m + m'.+1)%N by rewrite mulSn addnC.
  by rewrite dense_rest // -addn1 (dense_rest k (leq0n m')) mul1r.
set r := ‖_‖²; rewrite /decay_map mulrA -exprS; congr (_ + _).
by rewrite invfM mulrA.
Qed.

End Dense.

(** ** The balance norms of dense decay. *)
Section Closed.
Variables (R : realFieldType) (a b : R) (m' : nat).
Hypothesis a01 : 0 < a < 1.
Hypothesis b0 : 0 < b.
Let m := m'.+1.

(** ‖q‖⁴ before and after the look-up. *)
Definition pre_touch : R := b * a ^+ m' / (1 - a ^+ m).
Definition post_touch : R := b / (a ^+ m' * (1 - a ^+ m)).

Lemma power_in k : 0 < a ^+ k.+1 < 1.
Proof. by have /andP[a0 a1] := a01; rewrite exprn_gt0 //= exprn_ilt1 // ltW. Qed.

Theorem pre_touch_balance r : 0 < r ->
  (decay_map (a ^+ m) (a ^+ m' * b) r == r) = (r ^+ 2 == pre_touch).
Proof. by move=> r0; rewrite (fixed_point _ (power_in m')) // /pre_touch [b * _]mulrC. Qed.

Theorem post_touch_balance r : 0 < r ->
  (decay_map (a ^+ m) (b / a ^+ m') r == r) = (r ^+ 2 == post_touch).
Proof.
by move=> r0; rewrite (fixed_point _ (power_in m')) // /post_touch invfM mulrA.
Qed.

Theorem post_from_pre : post_touch = pre_touch / a ^+ (2 * m').
Proof.
have /andP[a0 a1] := a01; have /andP[_ am] := power_in m'.
rewrite /post_touch /pre_touch mulnC exprM; field.
by rewrite expf_neq0 ?gt_eqF // subr_gt0.
Qed.

(** The relaxation multiplier of one period. *)
Theorem dense_relaxation rs : 0 < rs -> rs ^+ 2 = pre_touch ->
  is_deriv (decay_map (a ^+ m) (a ^+ m' * b) : R^o -> R) rs 1 (2%:R * a ^+ m - 1).
Proof.
move=> rs0 e; apply: (derivative_at_fixed_point (power_in m')) => //.
by rewrite e /pre_touch [b * _]mulrC.
Qed.

Lemma power_gap : m%:R * (1 - a) * a ^+ m' <= 1 - a ^+ m <= m%:R * (1 - a).
Proof.
have /andP[a0 a1] := a01; have d0 : 0 <= 1 - a by rewrite subr_ge0 ltW.
have e : 1 - a ^+ m = (1 - a) * \sum_(k < m) a ^+ k.
  by rewrite geometric_sum ?lt_eqF // mulrC divfK // gt_eqF // subr_gt0.
have c (x : R) : \sum_(k < m) x = m%:R * x by rewrite sumr_const card_ord mulr_natl.
rewrite e [m%:R * _]mulrC -mulrA -c -[m%:R]mulr1 -c; apply/andP; split; apply: ler_wpmul2l => //.
  by apply: ler_sum => k _; apply: ler_wiexpn2l; rewrite ?ltW // -ltnS.
by apply: ler_sum => k _; rewrite exprn_ile1 // ltW.
Qed.

(** The frequency law: f = 1/m, between the two balance norms. *)
Theorem frequency_law : pre_touch <= m%:R^-1 * (b / (1 - a)) <= post_touch.
Proof.
have /andP[a0 a1] := a01; have /andP[lo up] := power_gap.
have /andP[_ am] := power_in m'; have d1 : 0 < 1 - a by rewrite subr_gt0.
have dm : 0 < 1 - a ^+ m by rewrite subr_gt0.
have m0 : 0 < m%:R :> R by rewrite ltr0n.
have am0 : 0 < a ^+ m' by rewrite exprn_gt0.
have -> : m%:R^-1 * (b / (1 - a)) = b / (m%:R * (1 - a)) by field; rewrite !gt_eqF.
apply/andP; split.
  rewrite /pre_touch ler_pdivr_mulr // mulrAC ler_pdivl_mulr ?mulr_gt0 // -mulrA.
  apply: ler_wpmul2l; first exact: ltW.
  by rewrite mulrC.
rewrite /post_touch; apply: ler_wpmul2l; first exact: ltW.
rewrite lef_pinv ?posrE ?mulr_gt0 //.
apply: le_trans up; rewrite ler_pimull ?(ltW dm) //.
by apply: exprn_ile1; apply: ltW.
Qed.

End Closed.

(** Before the look-up: rarer is smaller. *)
Theorem pre_touch_order (R : realFieldType) (a b : R) k m : 0 < a < 1 -> 0 < b ->
  (k < m)%N -> pre_touch a b m < pre_touch a b k.
Proof.
move=> a01 b0 km; have /andP[a0 a1] := a01.
have p j : 0 < 1 - a ^+ j.+1 by have /andP[_ h] := power_in a01 j; rewrite subr_gt0.
rewrite /pre_touch -!mulrA ltr_pmul2l //.
apply: (@lt_trans _ _ (a ^+ k / (1 - a ^+ m.+1))).
  by rewrite ltr_pmul2r ?invr_gt0 // ltr_iexpn2l.
rewrite ltr_pmul2l ?exprn_gt0 // ltf_pinv ?posrE // ltr_add2l ltr_opp2.
by rewrite ltr_iexpn2l.
Qed.

(** After the look-up: rarer (m+1 > k+1) is smaller exactly while a^{k+1} + a^{m+1} > 1. *)
Theorem post_touch_order (R : realFieldType) (a b : R) k m : 0 < a < 1 -> 0 < b ->
  (k < m)%N ->
  (post_touch a b m < post_touch a b k) = (1 < a ^+ k.+1 + a ^+ m.+1).
Proof.
move=> a01 b0 km; have /andP[a0 a1] := a01.
have p j : 0 < 1 - a ^+ j.+1 by have /andP[_ h] := power_in a01 j; rewrite subr_gt0.
have e j : post_touch a b j = b * a / (a ^+ j.+1 * (1 - a ^+ j.+1)).
  by rewrite /post_touch exprS; field; rewrite !gt_eqF ?exprn_gt0 // -exprS.
have ba : 0 < b * a by rewrite mulr_gt0.
have xp j : 0 < a ^+ j.+1 by rewrite exprn_gt0.
rewrite !e ltr_pmul2l // ltf_pinv ?posrE ?mulr_gt0 // -subr_gt0.
have lt : 0 < a ^+ k.+1 - a ^+ m.+1 by rewrite subr_gt0 ltr_iexpn2l.
have -> : a ^+ m.+1 * (1 - a ^+ m.+1) - a ^+ k.+1 * (1 - a ^+ k.+1)
    = (a ^+ k.+1 - a ^+ m.+1) * (a ^+ k.+1 + a ^+ m.+1 - 1) by ring.
by rewrite pmulr_rgt0 // subr_gt0.
Qed.

(** ** The hypotheses can hold.  Full decay (ηλ = 1) on the quarter-turn gradient: the row
    turns by 90 degrees at constant norm 1. *)
Section Examples.
Variable R : realFieldType.

Fixpoint turning (t : nat) : 'cV[R]_2 :=
  if t is t'.+1 then decoupled_step 1 1 (turning t') (spin_grad (turning t')) else vec2 1 0.

Lemma spin_grad_neq0 (x : 'cV[R]_2) : x != 0 -> spin_grad x != 0.
Proof.
move=> x0; rewrite /spin_grad scaler_eq0 invr_eq0 nrm2_eq0 (negbTE x0) /=.
by rewrite -nrm2_eq0 quarter_nrm2 nrm2_eq0.
Qed.

Lemma unit_neq0 : vec2 1 0 != 0 :> 'cV[R]_2.
Proof. by rewrite -nrm2_gt0 vec2E !(mulr1, mulr0, addr0) ltr01. Qed.

Lemma turning_neq0 t : turning t != 0.
Proof.
elim: t => [|t IH]; first exact: unit_neq0.
by rewrite /= /decoupled_step mulr1 subrr scale0r sub0r scale1r oppr_eq0 spin_grad_neq0.
Qed.

Lemma turning_run t :
  turning t.+1 = if predT t then decoupled_step 1 1 (turning t) (spin_grad (turning t))
                 else turning t.
Proof. by []. Qed.

Lemma turning_tang t : predT t -> ⟨turning t, spin_grad (turning t)⟩ = 0.
Proof. by move=> _; apply: spin_grad_orth. Qed.

Lemma turning_const t : predT t -> spherical2 (turning t) (spin_grad (turning t)) = 1.
Proof. by move=> _; apply: spin_grad_spherical; apply: turning_neq0. Qed.

Lemma turning_fixed : decay_map ((1 - 1 * 1) ^+ 2) (1 ^+ 2 * 1) 1 = 1 :> R.
Proof. by rewrite /decay_map !mulr1 subrr expr0n add0r expr1n divr1. Qed.

Lemma turning_start : ‖turning 0%N‖² = 1.
Proof. by rewrite vec2E !(mulr1, mulr0, addr0). Qed.

(** Looked up at the even steps (m = 2), all rows without decay: λ = 0. *)
Fixpoint alternating (t : nat) : 'cV[R]_2 :=
  if t is t'.+1 then
    decoupled_step 1 0 (alternating t')
      (if odd t' then 0 else spin_grad (alternating t'))
  else vec2 1 0.
Definition alternating_g t : 'cV[R]_2 := if odd t then 0 else spin_grad (alternating t).

Lemma alternating_run t : alternating t.+1 = decoupled_step 1 0 (alternating t) (alternating_g t).
Proof. by []. Qed.

Lemma alternating_neq0 t : alternating t != 0.
Proof.
elim: t => [|t IH]; first exact: unit_neq0.
have o : ⟨alternating t, alternating_g t⟩ = 0.
  by rewrite /alternating_g; case: ifP; rewrite ?dot0r // spin_grad_orth.
rewrite alternating_run /decoupled_step mulr0 subr0 !scale1r -nrm2_gt0 nrm2B o mul0rn subr0.
by rewrite ltr_paddr ?nrm2_ge0 // nrm2_gt0.
Qed.

Lemma alternating_sampled k :
  ⟨alternating (k * 2)%N, alternating_g (k * 2)%N⟩ = 0 /\
  spherical2 (alternating (k * 2)%N) (alternating_g (k * 2)%N) = 1.
Proof.
rewrite /alternating_g muln2 odd_double; split; first exact: spin_grad_orth.
exact: spin_grad_spherical (alternating_neq0 _).
Qed.

Lemma alternating_unsampled k j : (j < 1)%N -> alternating_g (k * 2 + j.+1)%N = 0.
Proof. by case: j => // _; rewrite /alternating_g muln2 addn1 /= odd_double. Qed.

Lemma no_decay_neq0 : (1 - 1 * 0) ^+ 2 != 0 :> R.
Proof. by rewrite mulr0 subr0 expr1n oner_neq0. Qed.

End Examples.

Local Notation Q := [realFieldType of rat].
Local Notation half := (2%:R^-1 : Q).
Local Notation nz := (@turning_neq0 Q).
Local Notation anz := (@alternating_neq0 Q).
Local Notation as2 := (@alternating_sampled Q).
Local Notation au := (@alternating_unsampled Q).

Example lazy_norm_counts_touches_nonvacuous : nonvacuous lazy_norm_counts_touches.
Proof.
move=> H; exact: (H Q 2%N 1 1 1 predT (@turning Q) (fun t => spin_grad (turning Q t))
  (@turning_run Q) nz (@turning_tang Q) (@turning_const Q) 3%N).
Qed.

Example lazy_balance_frequency_free_nonvacuous : nonvacuous lazy_balance_frequency_free.
Proof.
move=> H; exact: (H Q 2%N 1 1 1 predT (@turning Q) (fun t => spin_grad (turning Q t))
  (@turning_run Q) nz (@turning_tang Q) (@turning_const Q) 1 3%N (turning_fixed Q)
  (turning_start Q)).
Qed.

Example dense_period_nonvacuous : nonvacuous dense_period.
Proof. by move=> H; exact: (H Q 2%N 1 0 1 1%N _ _ (@alternating_run Q) anz as2 au 3%N). Qed.

Example dense_period_after_nonvacuous : nonvacuous dense_period_after.
Proof.
move=> H.
by exact: (H Q 2%N 1 0 1 1%N _ _ (@alternating_run Q) anz as2 au 3%N (no_decay_neq0 Q)).
Qed.

Example pre_touch_balance_nonvacuous : nonvacuous pre_touch_balance.
Proof. by move=> H; apply: (H _ half half 2%N half_in 1 one_pos). Qed.

Example post_touch_balance_nonvacuous : nonvacuous post_touch_balance.
Proof. by move=> H; apply: (H _ half half 2%N half_in 1 one_pos). Qed.

Example post_from_pre_nonvacuous : nonvacuous post_from_pre.
Proof. by move=> H; apply: (H _ half half 2%N half_in). Qed.

(** With m = 1 the balance norm is rational: R = 1. *)
Example dense_relaxation_nonvacuous : nonvacuous dense_relaxation.
Proof. by move=> H; apply: (H _ half half 0%N half_in 1 one_pos). Qed.

Example frequency_law_nonvacuous : nonvacuous frequency_law.
Proof. by move=> H; apply: (H _ half half 2%N half_in half_pos). Qed.

Example pre_touch_order_nonvacuous : nonvacuous pre_touch_order.
Proof. by move=> H; apply: (H _ half half 0%N 1%N half_in half_pos). Qed.

Example post_touch_order_nonvacuous : nonvacuous post_touch_order.
Proof. by move=> H; apply: (H _ half half 0%N 1%N half_in half_pos). Qed.
