(** * Row-wise AdaGrad, with the natural logarithm

    The two logarithmic upper bounds of RowwiseAdagradLogGrowth.v for the real numbers.

    Source: derived here.
    Proof: RowwiseAdagradLogGrowth with LogReal.ln_log_like; axioms of Coq's reals and of
    MathComp-Analysis. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth QuarticGrowth LogReal.
From Perpend Require Import RowwiseAdagradLogGrowth NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Local Notation RC := [rcfType of R].

Theorem log_growth_two_sided_ln d (eta : RC) (q g : nat -> 'cV[RC]_d) T :
  tangential q g -> rowwise_adagrad 0 0 eta q g -> (0 < d)%N -> g 0%N != 0 ->
  ‖q 0%N‖² + eta ^+ 2 * d%:R <= ‖q T.+1‖²
    <= ‖q 0%N‖² + eta ^+ 2 * d%:R
       * (1 + ln ((\sum_(t < T.+1) ‖g t‖²) / ‖g 0%N‖²)%R).
Proof.
move=> tang run d0 g0; apply/andP; split; first exact: log_growth_lower.
exact: (log_growth_upper tang run d0 T ln_log_like g0).
Qed.

Theorem log_growth_general_ln d (eta G_init eps : RC) (q g : nat -> 'cV[RC]_d) T :
  tangential q g -> rowwise_adagrad G_init eps eta q g -> (0 < d)%N ->
  0 < G_init -> 0 <= eps ->
  ‖q T‖² <= ‖q 0%N‖² + eta ^+ 2 * d%:R * ln (accumulator G_init g T / G_init)%R.
Proof. by move=> tang run d0; apply: (log_growth_general tang T ln_log_like d0 run). Qed.

(** ** The hypotheses can hold: row-wise AdaGrad on the quarter-turn gradient. *)
Section Examples.
Variables (F : rcfType) (G_init : F).

(** Row and accumulator. *)
Fixpoint ada_state (t : nat) : 'cV[F]_2 * F :=
  if t is t'.+1 then
    let: (x, G) := ada_state t' in
    let G' := G + ‖spin_grad x‖² / 2%:R in
    (x - (1 / (Num.sqrt G' + 0)) *: spin_grad x, G')
  else (vec2 1 0, G_init).
Definition ada_q t : 'cV[F]_2 := (ada_state t).1.
Definition ada_g t : 'cV[F]_2 := spin_grad (ada_q t).

Lemma ada_accumulator t : (ada_state t).2 = accumulator G_init ada_g t.
Proof.
elim: t => [|t IH]; first by rewrite /accumulator big_ord0 addr0.
rewrite /accumulator big_ord_recr /= addrA -/(accumulator G_init ada_g t) -IH.
by rewrite /ada_g /ada_q; case: (ada_state t).
Qed.

Lemma ada_run : rowwise_adagrad G_init 0 1 ada_q ada_g.
Proof.
move=> t; rewrite -ada_accumulator /ada_g /ada_q /=.
by case: (ada_state t).
Qed.

Lemma ada_tangential : tangential ada_q ada_g.
Proof. by move=> t; apply: spin_grad_orth. Qed.

Lemma ada_first : ada_g 0%N != 0.
Proof.
rewrite /ada_g /ada_q /spin_grad /= vec2E.
have -> : quarter (vec2 1 0) = vec2 0 1 :> 'cV[F]_2 by rewrite /quarter !mxE oppr0.
rewrite mulr0 addr0 mulr1 invr1 scale1r -nrm2_gt0 vec2E.
by rewrite mulr0 add0r mulr1 ltr01.
Qed.

End Examples.

Local Notation zero := (0 : RC).
Local Notation tang0 := (@ada_tangential [rcfType of R] 0).
Local Notation run0 := (@ada_run [rcfType of R] 0).
Local Notation first0 := (@ada_first [rcfType of R] 0).
Local Notation tang1 := (@ada_tangential [rcfType of R] 1).
Local Notation run1 := (@ada_run [rcfType of R] 1).
Local Notation first1 := (@ada_first [rcfType of R] 1).

Example log_growth_two_sided_ln_nonvacuous : nonvacuous log_growth_two_sided_ln.
Proof. by move=> H; apply: (H _ _ _ _ 3%N tang0 run0 isT first0). Qed.

Example log_growth_general_ln_nonvacuous : nonvacuous log_growth_general_ln.
Proof. by move=> H; apply: (H _ _ _ _ _ _ 3%N tang1 run1 isT ltr01 (lexx _)). Qed.

(** The theorems of RowwiseAdagradLogGrowth.v share these instances. *)
Example RowwiseAdagradLogGrowth_adagrad_step_orthogonal_nonvacuous :
  nonvacuous adagrad_step_orthogonal.
Proof. by move=> H; apply: (H _ _ _ _ _ tang1 _ _ 3%N run1). Qed.

Example RowwiseAdagradLogGrowth_adagrad_norm_identity_nonvacuous :
  nonvacuous adagrad_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ tang1 _ _ 3%N run1). Qed.

Example RowwiseAdagradLogGrowth_pure_norm_identity_nonvacuous : nonvacuous pure_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ tang0 run0 isT 3%N). Qed.

Example RowwiseAdagradLogGrowth_first_touch_jump_nonvacuous : nonvacuous first_touch_jump.
Proof. by move=> H; apply: (H _ _ _ _ _ tang0 run0 isT first0). Qed.

Example RowwiseAdagradLogGrowth_log_growth_lower_nonvacuous : nonvacuous log_growth_lower.
Proof. by move=> H; apply: (H _ _ _ _ _ tang0 run0 isT 3%N first0). Qed.

Example RowwiseAdagradLogGrowth_log_growth_upper_nonvacuous : nonvacuous log_growth_upper.
Proof. by move=> H; apply: (H _ _ _ _ _ tang0 run0 isT ln 3%N ln_log_like first0). Qed.

Example RowwiseAdagradLogGrowth_log_growth_general_nonvacuous : nonvacuous log_growth_general.
Proof.
by move=> H; apply: (H _ _ _ _ _ tang1 ln _ _ 3%N ln_log_like isT run1 ltr01 (lexx _)).
Qed.
