(** * Row-wise AdaGrad grows logarithmically

    One accumulator per row: G_t = G_init + Σ_{k<=t} ‖g_k‖²/d, step η/(√G_t+ε).  The scalar is
    one per row, so with g_t ⟂ q_t the step is orthogonal and
        ‖q_T‖² = ‖q_0‖² + Σ_{t<T} η²‖g_t‖²/(√G_t+ε)².
    With zero initial accumulator and ε = 0 the first look-up adds exactly η²d whatever the
    gradient, and with Γ_T = Σ_{t<T} ‖g_t‖²
        ‖q_0‖² + η²d <= ‖q_T‖² <= ‖q_0‖² + η²d (1 + ln(Γ_T/‖g_0‖²))      (T >= 1, g_0 <> 0);
    with a positive initial accumulator and any ε >= 0
        ‖q_T‖² <= ‖q_0‖² + η²d ln(G_T/G_init).
    Growth is logarithmic in the gradients, instead of the square root of plain SGD.
    The bounds hold for every function like a logarithm (QuarticGrowth.log_like);
    RowwiseAdagradLogGrowthLn.v states them for the natural logarithm.

    Source: derived here.
    Proof: sum of the orthogonal steps; (Γ_t - Γ_{t-1})/Γ_t <= ln(Γ_t/Γ_{t-1}).  Real closed
    field (square root), any dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth.
From Perpend Require Import NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** Mean square of the coordinates, accumulated. *)
Definition accumulator (R : realFieldType) d (G_init : R) (g : nat -> 'cV[R]_d) (t : nat) : R :=
  G_init + \sum_(k < t) ‖g k‖² / d%:R.

Definition rowwise_adagrad (R : rcfType) d (G_init eps eta : R) (q g : nat -> 'cV[R]_d) : Prop :=
  sgd_run (fun t => eta / (Num.sqrt (accumulator G_init g t.+1) + eps)) q g.

(** Sums of increments over their running total. *)
Section RunningTotal.
Variables (R : realFieldType) (ln : R -> R) (h H : nat -> R).
Hypothesis lnl : log_like ln.
Hypothesis H0 : 0 < H 0%N.
Hypothesis h0 : forall t, 0 <= h t.
Hypothesis HS : forall t, H t.+1 = H t + h t.

Lemma total_gt0 t : 0 < H t.
Proof. by elim: t => [|t IH] //; rewrite HS ltr_paddr. Qed.

Lemma running_total T : \sum_(t < T) h t / H t.+1 <= ln (H T / H 0%N).
Proof.
have [lnM lnI] := lnl.
have ln1 : ln 1 = 0.
  by have := lnM 1 1 ltr01 ltr01; rewrite mulr1 => e; rewrite -[RHS](subrr (ln 1)) {2}e addrK.
elim: T => [|T IH]; first by rewrite big_ord0 divff ?gt_eqF // ln1.
have p0 := total_gt0 T; have p1 := total_gt0 T.+1.
have -> : H T.+1 / H 0%N = (H T / H 0%N) * (H T.+1 / H T) by field; rewrite !gt_eqF.
rewrite lnM ?divr_gt0 // big_ord_recr /= ler_add //.
apply: le_trans (lnI _ (divr_gt0 p1 p0)); rewrite le_eqVlt; apply/orP; left; apply/eqP.
rewrite invf_div HS; field; by rewrite -HS gt_eqF.
Qed.

End RunningTotal.

Section Adagrad.
Variables (R : rcfType) (d : nat) (eta : R) (q g : nat -> 'cV[R]_d).
Hypothesis tang : tangential q g.

Theorem adagrad_step_orthogonal G_init eps t :
  rowwise_adagrad G_init eps eta q g -> ⟨q t, q t.+1 - q t⟩ = 0.
Proof. by move=> run; apply: (sgd_orthogonal_steps run). Qed.

Theorem adagrad_norm_identity G_init eps T :
  rowwise_adagrad G_init eps eta q g ->
  ‖q T‖² = ‖q 0%N‖² + \sum_(t < T)
    (eta / (Num.sqrt (accumulator G_init g t.+1) + eps)) ^+ 2 * ‖g t‖².
Proof. by move=> run; apply: (sgd_norm_identity run). Qed.

(** Zero initial accumulator, no epsilon: d η² times a sum of ratios. *)
Section Pure.
Hypothesis run : rowwise_adagrad 0 0 eta q g.
Hypothesis d0 : (0 < d)%N.

Let Gam t := \sum_(k < t) ‖g k‖².

Lemma Gam_ge0 t : 0 <= Gam t.
Proof. by apply: sumr_ge0 => k _; apply: nrm2_ge0. Qed.

Theorem pure_norm_identity T :
  ‖q T‖² = ‖q 0%N‖² + eta ^+ 2 * d%:R * (\sum_(t < T) ‖g t‖² / (\sum_(k < t.+1) ‖g k‖²)).
Proof.
have dn : d%:R != 0 :> R by rewrite pnatr_eq0 -lt0n.
rewrite (adagrad_norm_identity T run); congr (_ + _); rewrite mulr_sumr.
apply: eq_bigr => t _; rewrite addr0 expr_div_n sqr_sqrtr; last first.
  by rewrite /accumulator add0r sumr_ge0 // => k _; rewrite divr_ge0 ?nrm2_ge0 ?ler0n.
rewrite /accumulator add0r -mulr_suml -/(Gam t.+1).
have [/eqP z|nz] := boolP (Gam t.+1 == 0); last by field; rewrite nz dn.
suff -> : ‖g t‖² = 0 by rewrite mulr0 mul0r mulr0.
apply/eqP; rewrite eq_le nrm2_ge0 andbT -z /Gam big_ord_recr /= ler_addr.
exact: Gam_ge0.
Qed.

(** The first look-up adds exactly η²d. *)
Theorem first_touch_jump : g 0%N != 0 -> ‖q 1%N‖² = ‖q 0%N‖² + eta ^+ 2 * d%:R.
Proof.
by move=> g0; rewrite pure_norm_identity !big_ord1 divff ?mulr1 // nrm2_eq0.
Qed.

Theorem log_growth_lower T : g 0%N != 0 ->
  ‖q 0%N‖² + eta ^+ 2 * d%:R <= ‖q T.+1‖².
Proof.
move=> g0; rewrite -first_touch_jump //.
exact: (norm_never_shrinks (sgd_orthogonal_steps run tang)).
Qed.

Theorem log_growth_upper ln T : log_like ln -> g 0%N != 0 ->
  ‖q T.+1‖² <= ‖q 0%N‖² + eta ^+ 2 * d%:R
    * (1 + ln ((\sum_(t < T.+1) ‖g t‖²) / ‖g 0%N‖²)).
Proof.
move=> lnl g0; rewrite pure_norm_identity ler_add2l.
apply: ler_wpmul2l; first by rewrite mulr_ge0 ?sqr_ge0 ?ler0n.
rewrite big_ord_recl big_ord1 divff ?nrm2_eq0 // ler_add2l.
have G1 : \sum_(k < 1) ‖g k‖² = ‖g 0%N‖² by rewrite big_ord1.
have := @running_total R ln (fun t => ‖g t.+1‖²) (fun t => \sum_(k < t.+1) ‖g k‖²) lnl.
rewrite G1 nrm2_gt0 => H; apply: H => // t; first exact: nrm2_ge0.
by rewrite [in LHS]big_ord_recr.
Qed.

End Pure.

(** The general form: positive initial accumulator, any epsilon >= 0. *)
Theorem log_growth_general ln G_init eps T : log_like ln -> (0 < d)%N ->
  rowwise_adagrad G_init eps eta q g -> 0 < G_init -> 0 <= eps ->
  ‖q T‖² <= ‖q 0%N‖² + eta ^+ 2 * d%:R * ln (accumulator G_init g T / G_init).
Proof.
move=> lnl d0 run Gi e0; have dn : 0 < d%:R :> R by rewrite ltr0n.
rewrite (adagrad_norm_identity T run) ler_add2l.
have H0 : accumulator G_init g 0%N = G_init by rewrite /accumulator big_ord0 addr0.
have HS t : accumulator G_init g t.+1 = accumulator G_init g t + ‖g t‖² / d%:R.
  by rewrite /accumulator big_ord_recr /= addrA.
have h0 t : 0 <= ‖g t‖² / d%:R by rewrite divr_ge0 ?nrm2_ge0 ?ler0n.
have := @running_total R ln (fun t => ‖g t‖² / d%:R) (accumulator G_init g) lnl.
rewrite H0 => /(_ Gi h0 HS T) le1.
have pos t : 0 < accumulator G_init g t.
  by apply: (total_gt0 (h := fun t => ‖g t‖² / d%:R)); rewrite ?H0.
apply: le_trans (ler_wpmul2l _ le1); last by rewrite mulr_ge0 ?sqr_ge0 ?ler0n.
rewrite mulr_sumr; apply: ler_sum => t _.
have A0 := pos t.+1; set A := accumulator _ _ _ in A0 *.
have s0 : 0 < Num.sqrt A by rewrite sqrtr_gt0.
have -> : eta ^+ 2 * d%:R * (‖g t‖² / d%:R / A) = eta ^+ 2 * (A^-1 * ‖g t‖²).
  by field; rewrite !gt_eqF.
rewrite expr_div_n -mulrA ler_wpmul2l ?sqr_ge0 // ler_wpmul2r ?nrm2_ge0 //.
have se : 0 < (Num.sqrt A + eps) ^+ 2 by rewrite exprn_gt0 // ltr_paddr.
rewrite lef_pinv ?posrE // -{1}(sqr_sqrtr (ltW A0)).
by rewrite ler_expn2r ?nnegrE ?addr_ge0 ?(ltW s0) // ler_addl.
Qed.

End Adagrad.
