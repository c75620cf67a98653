(** * Displacement number

    D = A_T/‖q_0‖⁴ with A_T = Σ 2η_t²s_t² is the control parameter of norm growth:
        ‖q_T‖⁴ >= (1 + D) ‖q_0‖⁴,   ‖q_T‖ >= (1 + D)^{1/4} ‖q_0‖,
    and ‖q_T‖⁴ <= (1 + D (1 + a_max/(4‖q_0‖⁴))) ‖q_0‖⁴.  For constant rate and s,
    D >= 1 exactly when 2η²s²n >= ‖q_0‖⁴: the rate must beat the initialisation.
    Pairwise order: if A(1) >= ‖q_{2,0}‖⁴ - ‖q_{1,0}‖⁴ + (upper growth bound of row 2), then
    row 1 ends at least as long as row 2, whatever happens within the runs.

    Source: derived here.
    Proof: the two-sided quartic bound; any ordered field (fourth roots: real closed), no
    axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth.
From Perpend Require Import QuarterPowerLaw NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition displacement (R : realFieldType) n (eta : nat -> R) (q g : nat -> 'cV[R]_n) T : R :=
  (\sum_(t < T) growth_term eta q g t) / ‖q 0%N‖² ^+ 2.

Section Growth.
Variables (R : realFieldType) (n : nat) (eta : nat -> R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run eta q g.
Hypothesis tang : tangential q g.
Hypothesis start : q 0%N != 0.

Lemma start4 : 0 < ‖q 0%N‖² ^+ 2.
Proof. by rewrite exprn_gt0 // nrm2_gt0. Qed.

Theorem growth_factor T :
  (1 + displacement eta q g T) * ‖q 0%N‖² ^+ 2 <= ‖q T‖² ^+ 2.
Proof.
rewrite mulrDl mul1r divfK; first exact: lower_bound.
by rewrite gt_eqF // start4.
Qed.

Theorem growth_factor_upper amax T : (forall t, growth_term eta q g t <= amax) ->
  ‖q T‖² ^+ 2 <= (1 + displacement eta q g T * (1 + amax / (4%:R * ‖q 0%N‖² ^+ 2)))
                 * ‖q 0%N‖² ^+ 2.
Proof.
move=> bd; apply: le_trans (upper_bound_1 run tang start bd T) _.
rewrite mulrDl mul1r ler_add2l mulrAC divfK // gt_eqF //; exact: start4.
Qed.

(** Constant rate and s: when the displacement number reaches 1. *)
Theorem displacement_threshold (e s2 : R) T : (forall t, eta t = e) ->
  (forall t, spherical2 (q t) (g t) = s2) ->
  (1 <= displacement eta q g T) = (‖q 0%N‖² ^+ 2 <= 2%:R * e ^+ 2 * s2 * T%:R).
Proof.
move=> ee ss; rewrite /displacement ler_pdivl_mulr ?start4 // mul1r.
rewrite (eq_bigr (fun=> 2%:R * e ^+ 2 * s2)) => [|t _]; last first.
  by rewrite /growth_term ee ss mulrA.
by rewrite sumr_const card_ord mulr_natr.
Qed.

End Growth.

(** The norm itself. *)
Theorem norm_growth_factor (R : rcfType) n (eta : nat -> R) (q g : nat -> 'cV[R]_n) T :
  sgd_run eta q g -> tangential q g -> q 0%N != 0 ->
  root4 (1 + displacement eta q g T) * norm (q 0%N) <= norm (q T).
Proof.
move=> run tang start; rewrite -!root4_norm -root4M; first exact/root4_le/growth_factor.
rewrite addr_ge0 ?ler01 // divr_ge0 ?sqr_ge0 //; apply: sumr_ge0 => t _.
by apply: mulr_ge0; rewrite ?ler0n // mulr_ge0 ?sqr_ge0 ?spherical2_ge0.
Qed.

(** ** Pairwise order. *)
Section Pair.
Variables (R : realFieldType) (n : nat).
Variables (eta1 eta2 : nat -> R) (q1 g1 q2 g2 : nat -> 'cV[R]_n) (T1 T2 : nat) (amax : R).
Hypothesis run1 : sgd_run eta1 q1 g1.
Hypothesis run2 : sgd_run eta2 q2 g2.
Hypothesis tang1 : tangential q1 g1.
Hypothesis tang2 : tangential q2 g2.
Hypothesis start1 : q1 0%N != 0.
Hypothesis start2 : q2 0%N != 0.
Hypothesis bounded2 : forall t, growth_term eta2 q2 g2 t <= amax.

(** Any upper bound U on the fourth power of row 2 will do; upper bound 1 is one. *)
Theorem pairwise_order_by U : ‖q2 T2‖² ^+ 2 <= U ->
  U <= ‖q1 0%N‖² ^+ 2 + \sum_(t < T1) growth_term eta1 q1 g1 t ->
  ‖q2 T2‖² <= ‖q1 T1‖².
Proof.
move=> up lo; have le4 := le_trans up (le_trans lo (lower_bound run1 tang1 start1 T1)).
by rewrite -(ler_pexpn2r (n := 2)) ?nnegrE ?nrm2_ge0.
Qed.

Theorem pairwise_order :
  ‖q2 0%N‖² ^+ 2 - ‖q1 0%N‖² ^+ 2
    + (\sum_(t < T2) growth_term eta2 q2 g2 t) * (1 + amax / (4%:R * ‖q2 0%N‖² ^+ 2))
  <= \sum_(t < T1) growth_term eta1 q1 g1 t ->
  ‖q2 T2‖² <= ‖q1 T1‖².
Proof.
move=> le; apply: (pairwise_order_by (upper_bound_1 run2 tang2 start2 bounded2 T2)).
by rewrite -ler_subl_addl addrAC.
Qed.

End Pair.

(** ** The hypotheses can hold: the run [spin] against itself, started later. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).
Local Notation r1 := (spin_run one).
Local Notation t1 := (spin_tangential one).
Local Notation s1 := (spin_neq0 one 0).

Lemma spin_term (R : realFieldType) t :
  growth_term (fun=> 1 : R) (spin (fun=> 1)) (spin_g (fun=> 1)) t = 2%:R.
Proof. by rewrite /growth_term spin_spherical expr1n !mulr1. Qed.

Lemma spin_pair (R : realFieldType) (e := fun=> 1 : R) :
  ‖spin e 0%N‖² ^+ 2 - ‖spin e 0%N‖² ^+ 2
    + (\sum_(t < 1) growth_term e (spin e) (spin_g e) t)
      * (1 + 2%:R / (4%:R * ‖spin e 0%N‖² ^+ 2))
  <= \sum_(t < 2) growth_term e (spin e) (spin_g e) t.
Proof.
rewrite subrr add0r spin_start expr1n mulr1 (eq_bigr (fun=> 2%:R)) => [|t _]; last exact: spin_term.
rewrite [X in _ <= X](eq_bigr (fun=> 2%:R)) => [|t _]; last exact: spin_term.
rewrite !sumr_const !card_ord mulr1n.
have -> : 2%:R * (1 + 2%:R / 4%:R) = 3%:R :> R by field.
by rewrite -[2%:R *+ 2]mulr_natr -natrM (ler_nat _ 3 4).
Qed.

Example growth_factor_nonvacuous : nonvacuous growth_factor.
Proof. by move=> H; apply: (H _ _ _ _ _ r1 t1 s1 3%N). Qed.

Example growth_factor_upper_nonvacuous : nonvacuous growth_factor_upper.
Proof. by move=> H; apply: (H _ _ _ _ _ r1 t1 s1 _ 3%N (@spin_bounded Q)). Qed.

Example displacement_threshold_nonvacuous : nonvacuous displacement_threshold.
Proof.
by move=> H; apply: (H _ _ _ _ _ s1 1 1 3%N (fun=> erefl) (@spin_constant Q)).
Qed.

Example pairwise_order_nonvacuous : nonvacuous pairwise_order.
Proof.
move=> H; exact: (H _ _ _ _ _ _ _ _ 2%N 1%N _ r1 r1 t1 t1 s1 s1 (@spin_bounded Q)
  (spin_pair Q)).
Qed.

Example pairwise_order_by_nonvacuous : nonvacuous pairwise_order_by.
Proof.
move=> H; apply: (H _ _ _ _ _ (spin one) 0%N 0%N r1 t1 s1 _ (lexx _)).
by rewrite big_ord0 addr0.
Qed.
