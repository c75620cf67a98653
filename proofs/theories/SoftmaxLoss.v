(** * temperature-bound, for the softmax itself: InfoNCE over in-batch items

    Over the real numbers, with the exponential and the logarithm. One item row i occurs in
    the logits x_v = cos(q,u_v)/τ of every user v of the batch, next to items that are held
    fixed, Z_v = Σ_{j≠i} exp(logit of j). Its share of the batch loss is
        ℓ(x) = Σ_v ln(Z_v + exp x_v) - x_own,
    and ∇ℓ has the components p_v for the other users and -(1 - p_own) for its own, with
    the softmax probabilities p_v = exp x_v / (Z_v + exp x_v). So the loss (1/B) ℓ has a
    gradient, orthogonal to q, with
        ‖q‖ ‖∇‖ ≤ (1/(Bτ)) [(1 - p_own) + Σ_{v≠own} p_v].
    The same residuals arise for the row of the user, where one softmax runs over all its
    items. Derived here: chain rule with the derivatives of exp and ln of Coq's standard
    library, then temperature-bound. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From mathcomp.analysis Require Import reals Rstruct.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise GradientOrthogonality.
From Perpend Require Import TemperatureBound Bridge NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.
(* + * / on Coq's real numbers are read as those of the ring structure *)
Bind Scope ring_scope with R.
Arguments ln : clear scopes.
Arguments exp : clear scopes.

Section ScalarComposition.
Variables (F : realFieldType) (n : nat).

(** A differentiable function of one variable after a differentiable function. *)
Lemma fgrad_scalar_comp (phi : F -> F) (f : 'cV[F]_n -> F) q g l :
  is_deriv (phi : F^o -> F) (f q) (1 : F^o) l -> is_fgrad f q g ->
  is_fgrad (fun x => phi (f x)) q (l *: g).
Proof.
move=> D Df.
have D1 : is_fgrad (fun x : 'cV[F]_1 => phi (x 0 0)) (const_mx (f q)) (const_mx l).
  move=> e e0; pose e' := Num.min 1 e.
  have e'0 : 0 < e' by rewrite lt_minr ltr01.
  have e'e : e' ^+ 2 <= e.
    rewrite expr2 -[X in _ <= X]mul1r; apply: ler_pmul; rewrite ?(ltW e'0) //.
      by rewrite le_minl lexx.
    by rewrite le_minl lexx orbT.
  have [d d0 H] := D _ e'0; exists (d ^+ 2) => [|v]; first exact: exprn_gt0.
  rewrite /dot !big_ord1 !mxE; set h := v 0 0 => hd.
  have [->|h0] := eqVneq h 0.
    by rewrite addr0 subrr mulr0 subr0 expr0n /= mul0r mulr0.
  have {}hd : `|h| < d by apply: sqr_lt_norm d0 _; rewrite expr2.
  have := H h h0 hd; rewrite /GRing.scale /= mulr1.
  set y := phi _; set y0 := phi (f q) => lt.
  have -> : y - y0 - l * h = h * ((y - y0) / h - l) by field.
  rewrite exprMn mulrC -expr2; apply: ler_wpmul2r; first exact: sqr_ge0.
  apply: le_trans e'e; rewrite -[X in (X <= _)]ger0_norm ?sqr_ge0 // normrX.
  by rewrite ler_pexpn2r ?nnegrE ?normr_ge0 ?(ltW e'0) ?(ltW lt).
have DF : is_jacobian (fun x => const_mx (f x) : 'cV[F]_1) q (\matrix_(i < 1, j < n) g j 0).
  by apply: (jacobian_rows (g := fun _ => g)) => i; apply: fgrad_ext Df => x; rewrite mxE.
have -> : l *: g = (\matrix_(i < 1, j < n) g j 0)^T *m (const_mx l : 'cV[F]_1).
  by apply/colP => j; rewrite !mxE big_ord1 !mxE mulrC.
by apply: fgrad_ext (fgrad_chain DF D1) => x; rewrite mxE.
Qed.

Lemma fgrad_sum k (f : 'I_k -> 'cV[F]_n -> F) q (g : 'I_k -> 'cV[F]_n) :
  (forall i, is_fgrad (f i) q (g i)) -> is_fgrad (fun x => \sum_i f i x) q (\sum_i g i).
Proof.
move=> D; elim: (index_enum _) => [|i s IH].
  rewrite big_nil; apply: fgrad_ext (fgrad_cst 0 q) => x; by rewrite big_nil.
rewrite big_cons; apply: fgrad_ext (fgradD (D i) IH) => x; by rewrite big_cons.
Qed.

Lemma fgrad_coordinate (i : 'I_n) (q : 'cV[F]_n) : is_fgrad (fun x => x i 0) q (delta_mx i 0).
Proof.
apply: fgrad_ext (fgrad_dot (delta_mx i 0) q) => x.
rewrite /dot (bigD1 i) //= big1 => [|j /negPf ji]; rewrite !mxE ?eqxx ?ji ?mul0r //.
by rewrite mul1r addr0.
Qed.

End ScalarComposition.

Section Softmax.
Variables (k : nat) (own : 'I_k).
Implicit Types (x : 'cV[R]_k) (Z : 'I_k -> R).

Lemma exp_gt0 y : 0 < exp y.
Proof. by apply/RltP; apply: exp_pos. Qed.

Lemma fgrad_exp (i : 'I_k) x : is_fgrad (fun y => exp (y i 0)) x (exp (x i 0) *: delta_mx i 0).
Proof.
apply: (fgrad_scalar_comp (phi := exp)); last exact: fgrad_coordinate.
by apply/is_deriv_iff_standard_library; apply: derivable_pt_lim_exp.
Qed.

Lemma fgrad_ln (f : 'cV[R]_k -> R) x g : 0 < f x -> is_fgrad f x g ->
  is_fgrad (fun y => ln (f y)) x ((f x)^-1 *: g).
Proof.
move=> f0 D; apply: (fgrad_scalar_comp (phi := ln)) D.
apply/is_deriv_iff_standard_library; rewrite -RinvE ?gt_eqF //.
by apply: derivable_pt_lim_ln; apply/RltP.
Qed.

(** The share of one item row in the batch loss; the other items are in Z. *)
Definition item_loss Z x : R := \sum_v ln (Z v + exp (x v 0)) - x own 0.
Definition item_probability Z x (v : 'I_k) : R := exp (x v 0) / (Z v + exp (x v 0)).

(** The loss of one user row: one softmax over all items. *)
Definition user_loss x : R := ln (\sum_v exp (x v 0)) - x own 0.
Definition user_probability x (v : 'I_k) : R := exp (x v 0) / (\sum_j exp (x j 0)).

Lemma residualsE (p : 'I_k -> R) :
  \sum_v p v *: delta_mx v 0 + (-1) *: delta_mx own 0 = softmax_residuals p own.
Proof.
apply/colP => i; rewrite [LHS]mxE summxE (bigD1 i) //= big1 => [|j /negPf ji].
  rewrite !mxE eqxx andbT addr0 mulr1; case: eqP => _.
    by rewrite mulr1 opprB addrC.
  by rewrite mulr0 addr0.
by rewrite !mxE eq_sym ji mulr0.
Qed.

Theorem item_loss_residuals Z x : (forall v, 0 <= Z v) ->
  is_fgrad (item_loss Z) x (softmax_residuals (item_probability Z x) own).
Proof.
move=> Z0; rewrite -residualsE.
have D v : is_fgrad (fun y => ln (Z v + exp (y v 0))) x (item_probability Z x v *: delta_mx v 0).
  have pos : 0 < Z v + exp (x v 0) by rewrite ltr_paddl ?exp_gt0.
  have E := fgradD (fgrad_cst (Z v) x) (fgrad_exp v x).
  have -> : item_probability Z x v *: delta_mx v 0
    = (Z v + exp (x v 0))^-1 *: (0 + exp (x v 0) *: delta_mx v 0) :> 'cV[R]_k.
    by rewrite add0r scalerA /item_probability mulrC.
  exact: (fgrad_ln (f := fun y => Z v + exp (y v 0)) pos E).
have S := fgradD (fgrad_sum D) (fgradZ (-1) (fgrad_coordinate own x)).
by apply: fgrad_ext S => y; rewrite mulN1r.
Qed.

Theorem user_loss_residuals x :
  is_fgrad user_loss x (softmax_residuals (user_probability x) own).
Proof.
rewrite -residualsE.
have pos : 0 < \sum_v exp (x v 0).
  rewrite (bigD1 own) //=; apply: ltr_paddr (exp_gt0 _); apply: sumr_ge0 => v _.
  exact: ltW (exp_gt0 _).
have := fgrad_ln pos (fgrad_sum (fun v => fgrad_exp v x)).
rewrite scaler_sumr => L.
have S := fgradD L (fgradZ (-1) (fgrad_coordinate own x)).
have -> : \sum_v user_probability x v *: delta_mx v 0
  = \sum_v (\sum_j exp (x j 0))^-1 *: (exp (x v 0) *: delta_mx v 0) :> 'cV[R]_k.
  by apply: eq_bigr => v _; rewrite scalerA mulrC.
by apply: fgrad_ext S => y; rewrite mulN1r.
Qed.

Lemma item_probability01 Z x v : 0 <= Z v -> 0 <= item_probability Z x v <= 1.
Proof.
move=> Z0; have pos : 0 < Z v + exp (x v 0) by rewrite ltr_paddl ?exp_gt0.
rewrite /item_probability divr_ge0 ?(ltW pos) ?(ltW (exp_gt0 _)) //=.
by rewrite ler_pdivr_mulr // mul1r ler_addr.
Qed.

(** InfoNCE for the row of an item: the gradient exists, is orthogonal to the row, and the
    spherical gradient obeys the bound with the actual softmax probabilities. *)
Theorem infonce_item_gradient n (Z : 'I_k -> R) (u : 'I_k -> 'cV[R]_n) (q : 'cV[R]_n)
    (tau B : R) (p := item_probability Z (logits tau u q)) :
  0 < tau -> 0 < B -> q != 0 -> (forall v, u v != 0) -> (forall v, 0 <= Z v) ->
  exists g, [/\ is_fgrad (tempered (item_loss Z) tau B u) q g, ⟨q, g⟩ = 0
    & norm (norm q *: g) <= (B * tau)^-1 * ((1 - p own) + \sum_(v | v != own) p v)].
Proof.
move=> t0 B0 q0 u0 Z0; have Dl := item_loss_residuals (logits tau u q) Z0.
have D := fgradZ B^-1 (fgrad_chain (jacobian_logits tau q0 u0) Dl).
eexists; split; first exact: D.
  apply: gradient_orthogonal (fgrad_grad D) => c c0; congr (_ * item_loss _ _).
  by apply/colP => v; rewrite !mxE cosine_scale.
apply: (in_batch_temperature_bound t0 B0 q0 u0 _ Dl (fgrad_grad D)) => v.
exact: item_probability01.
Qed.

End Softmax.

Example item_loss_residuals_nonvacuous : nonvacuous (@item_loss_residuals).
Proof. by move=> H; apply: (H 1%N ord0 (fun _ => 1) 0) => _; apply: ler01. Qed.

Example infonce_item_gradient_nonvacuous : nonvacuous (@infonce_item_gradient).
Proof.
have n0 : vec2 1 0 != 0 :> 'cV[R]_2.
  by rewrite -nrm2_gt0 dot_vec2 mulr0 addr0 mulr1 ltr01.
by move=> H; apply: (H 1%N ord0 2%N (fun _ => 1) (fun _ => vec2 1 0) (vec2 1 0) 1 1) => // *;
  rewrite ?ltr01 ?ler01.
Qed.
