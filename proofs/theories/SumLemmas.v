(** * SumLemmas: finite sums used by the growth and update-rule claims.

    Telescoping, the geometric sum, and the recursion of exponentially weighted sums,
    over any ring or field; no axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Sums.
Variable R : realFieldType.
Implicit Types (f a : nat -> R) (b x y : R).

Lemma telescope f a T : (forall t, f t.+1 = f t + a t) -> f T = f 0%N + \sum_(t < T) a t.
Proof.
move=> fS; elim: T => [|T IH]; first by rewrite big_ord0 addr0.
by rewrite fS IH big_ord_recr addrA.
Qed.

Lemma telescope_le f a T :
  (forall t, f t + a t <= f t.+1) -> f 0%N + \sum_(t < T) a t <= f T.
Proof.
move=> fS; elim: T => [|T IH]; first by rewrite big_ord0 addr0.
by rewrite big_ord_recr addrA; apply: le_trans (fS T); rewrite ler_add2r.
Qed.

Lemma telescope_ge f a T :
  (forall t, f t.+1 <= f t + a t) -> f T <= f 0%N + \sum_(t < T) a t.
Proof.
move=> fS; elim: T => [|T IH]; first by rewrite big_ord0 addr0.
by rewrite big_ord_recr addrA; apply: le_trans (fS T) _; rewrite ler_add2r.
Qed.

Lemma nondecreasing f : (forall t, f t <= f t.+1) -> forall s t, (s <= t)%N -> f s <= f t.
Proof. by move=> fS s t /(homo_leq (@lexx _ R) (fun _ _ _ => @le_trans _ R _ _ _) fS). Qed.

Lemma geometric_sum b T : b != 1 -> \sum_(k < T) b ^+ k = (1 - b ^+ T) / (1 - b).
Proof.
move=> b1; have b1' : 1 - b != 0 by rewrite subr_eq0 eq_sym.
elim: T => [|T IH]; first by rewrite big_ord0 expr0 subrr mul0r.
by rewrite big_ord_recr /= IH exprS; field.
Qed.

(** Exponentially weighted sums: one more step multiplies the old sum by [b]. *)
Lemma weighted_sumS b f t :
  \sum_(k < t.+1) b ^+ (t.+1 - k) * f k = b * ((\sum_(k < t) b ^+ (t - k) * f k) + f t).
Proof.
rewrite big_ord_recr /= subSnn expr1 mulrDr [b * \sum_(k < t) _]mulr_sumr.
by congr (_ + _); apply: eq_bigr => k _; rewrite subSn ?exprS ?mulrA // ltnW.
Qed.

Lemma weights_le b t : 0 <= b < 1 -> \sum_(k < t) b ^+ (t - k) <= b / (1 - b).
Proof.
move=> /andP[b0 b1]; have b1' : 0 < 1 - b by rewrite subr_gt0.
elim: t => [|t IH]; first by rewrite big_ord0 divr_ge0 // ltW.
have -> : \sum_(k < t.+1) b ^+ (t.+1 - k) = b * ((\sum_(k < t) b ^+ (t - k)) + 1).
  have := weighted_sumS b (fun=> 1) t.
  rewrite (eq_bigr (fun k : 'I_t.+1 => b ^+ (t.+1 - k))) => [|k _]; last exact: mulr1.
  by rewrite (eq_bigr (fun k : 'I_t => b ^+ (t - k))) => [//|k _]; exact: mulr1.
have -> : b / (1 - b) = b * (b / (1 - b) + 1) by field; rewrite gt_eqF.
by rewrite ler_wpmul2l // ler_add2r.
Qed.

End Sums.

Section Powers.
Variable R : realFieldType.

(** Bernoulli: powers of a number above 1 grow at least linearly. *)
Lemma bernoulli (h : R) n : 0 <= h -> 1 + n%:R * h <= (1 + h) ^+ n.
Proof.
move=> h0; elim: n => [|n IH]; first by rewrite mul0r addr0 expr0.
rewrite exprS; apply: le_trans (ler_wpmul2l _ IH); last by rewrite addr_ge0 ?ler01.
have -> : (1 + h) * (1 + n%:R * h) = 1 + n.+1%:R * h + n%:R * h ^+ 2.
  by rewrite [n.+1%:R]mulrS; ring.
by rewrite ler_addl mulr_ge0 ?ler0n ?sqr_ge0.
Qed.

End Powers.

(** In an Archimedean field powers of a number below 1 tend to 0. *)
Lemma powers_vanish (R : archiFieldType) (b eps : R) : 0 <= b < 1 -> 0 < eps ->
  exists N, forall n, (N <= n)%N -> b ^+ n < eps.
Proof.
move=> /andP[b0 b1] e0; move: b0; rewrite le_eqVlt => /orP[/eqP<-|b0].
  by exists 1%N => n n1; rewrite expr0n eqn0Ngt n1.
pose h := b^-1 - 1; have h0 : 0 < h by rewrite subr_gt0 invf_gt1.
have hE : b^-1 = 1 + h by rewrite /h; ring.
pose N := Num.bound (eps^-1 / h); exists N => n nN.
have ei0 : 0 < eps^-1 / h by rewrite divr_gt0 // invr_gt0.
have lt : eps^-1 < n%:R * h.
  rewrite -ltr_pdivr_mulr //; apply: lt_le_trans (_ : N%:R <= _); last by rewrite ler_nat.
  by have := archi_boundP (ltW ei0).
have : eps^-1 < (b ^+ n)^-1.
  rewrite -exprVn hE; apply: lt_le_trans lt _; apply: le_trans (bernoulli n (ltW h0)).
  by rewrite ler_addr ler01.
by rewrite ltf_pinv ?posrE ?exprn_gt0.
Qed.
