(** * temperature-bound: temperature and batch size bound the spherical gradient.

    A loss (1/B) ℓ(cos(q,u_1)/τ, ..., cos(q,u_k)/τ) with ∇ℓ = r at the logits has
        ‖q‖ ∇_q = (1/(Bτ)) P_q Σ_v r_v û_v,
    so the temperature multiplies the gradient by 1/τ and the mean by 1/B at fixed
    residuals r, and ‖ ‖q‖∇_q ‖ ≤ (1/(Bτ)) Σ_v |r_v|.  For a softmax over in-batch items the
    residuals of the row i are -(1 - p_u) for its own user and p_v for the others, hence
        s ≤ (1/(Bτ)) [(1 - p_u) + Σ_{v≠u} p_v],
    and every growth term η²s² carries the factor 1/(τB)².
    Source: derived here.
    Proof: chain rule, triangle inequality, ‖P_q x‖ ≤ ‖x‖ and ‖û_v‖ = 1. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise GradientOrthogonality.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Temperature.
Variables (R : rcfType) (n k : nat).
Implicit Types (q : 'cV[R]_n) (u : 'I_k -> 'cV[R]_n) (r : 'cV[R]_k) (tau B : R).

Definition logits tau u q : 'cV[R]_k := \col_v (cosine q (u v) / tau).

(** The loss with temperature tau, averaged over a batch of B. *)
Definition tempered (l : 'cV[R]_k -> R) tau B u q : R := B^-1 * l (logits tau u q).

(** Σ_v r_v û_v, the pull of the users on the row. *)
Definition pull u r : 'cV[R]_n := \sum_v r v 0 *: normalise (u v).

Lemma jacobian_logits tau u q : q != 0 -> (forall v, u v != 0) ->
  is_jacobian (logits tau u) q
    (\matrix_(v, j) (tau^-1 *: cos_grad q (u v) (norm q) (norm (u v))) j 0).
Proof.
move=> q0 u0; apply: jacobian_rows => v.
apply: fgrad_ext (fgradZ tau^-1 (cosine_fgrad q0 (u0 v))) => x.
by rewrite mxE mulrC.
Qed.

Lemma norm_scale_cos_grad q p : q != 0 ->
  norm q *: cos_grad q p (norm q) (norm p) = tangent_proj q *m normalise p.
Proof.
move=> q0; rewrite /cos_grad scalerA divff ?norm_eq0 // scale1r.
rewrite tangent_proj_mul /normalise dotZl dotZr scalerA; congr (_ - _ *: _).
by rewrite invfM; congr (_ / _); rewrite [LHS]mulrC -mulrA.
Qed.

(** The spherical gradient, exactly. *)
Theorem tempered_spherical_gradient (l : 'cV[R]_k -> R) tau B u q r g :
  q != 0 -> (forall v, u v != 0) ->
  is_fgrad l (logits tau u q) r -> is_grad (tempered l tau B u) q g ->
  norm q *: g = (B * tau)^-1 *: (tangent_proj q *m pull u r).
Proof.
move=> q0 u0 Dl D.
have := fgradZ B^-1 (fgrad_chain (jacobian_logits tau q0 u0) Dl).
set J := \matrix_(_, _) _ => D'.
rewrite (is_grad_uniq D (fgrad_grad D')) scalerA mulrC -scalerA invfM -!scalerA.
congr (_ *: _).
have -> : J^T *m r = \sum_v (tau^-1 * r v 0) *: cos_grad q (u v) (norm q) (norm (u v)).
  apply/colP => i; rewrite summxE [LHS]mxE; apply: eq_bigr => v _.
  by rewrite [J^T _ _]mxE [J _ _]mxE [fun_of_matrix (tau^-1 *: _) _ _]mxE [RHS]mxE mulrAC.
rewrite /pull mulmx_sumr !scaler_sumr; apply: eq_bigr => v _.
by rewrite scalerA mulrC -scalerA norm_scale_cos_grad // -scalerA scalemxAr.
Qed.

(** At fixed residuals the spherical gradient is (1/(Bτ)) times that for τ = B = 1. *)
Theorem temperature_scaling (l l1 : 'cV[R]_k -> R) tau B u q r g g1 :
  q != 0 -> (forall v, u v != 0) ->
  is_fgrad l (logits tau u q) r -> is_grad (tempered l tau B u) q g ->
  is_fgrad l1 (logits 1 u q) r -> is_grad (tempered l1 1 1 u) q g1 ->
  g = (B * tau)^-1 *: g1 /\ ‖g‖² = ‖g1‖² / (B * tau) ^+ 2.
Proof.
move=> q0 u0 Dl D Dl1 D1.
have E := tempered_spherical_gradient q0 u0 Dl D.
have E1 := tempered_spherical_gradient q0 u0 Dl1 D1.
rewrite mulr1 invr1 scale1r in E1.
have nq : norm q != 0 by rewrite norm_eq0.
have {}E : g = (B * tau)^-1 *: g1.
  by apply: (scalerI nq); rewrite E -E1 !scalerA mulrC.
by split=> //; rewrite E nrm2Z exprVn mulrC.
Qed.

(** The bound. *)
Theorem temperature_bound (l : 'cV[R]_k -> R) tau B u q r g :
  0 < tau -> 0 < B -> q != 0 -> (forall v, u v != 0) ->
  is_fgrad l (logits tau u q) r -> is_grad (tempered l tau B u) q g ->
  norm (norm q *: g) <= (B * tau)^-1 * (\sum_v `|r v 0|).
Proof.
move=> t0 B0 q0 u0 Dl D; rewrite (tempered_spherical_gradient q0 u0 Dl D).
have k0 : 0 <= (B * tau)^-1 by rewrite invr_ge0 ltW // mulr_gt0.
rewrite normZ ger0_norm // ler_wpmul2l //.
apply: le_trans (tangent_proj_norm_le _ _) _.
apply: le_trans (norm_sum _ _ _) _; apply: ler_sum => v _.
by rewrite normZ normalise_norm // mulr1.
Qed.

(** Softmax residuals of one in-batch row: -(1 - p_u) for its own user, p_v for others. *)
Definition softmax_residuals (p : 'I_k -> R) (own : 'I_k) : 'cV[R]_k :=
  \col_v (if v == own then - (1 - p v) else p v).

Theorem in_batch_temperature_bound (l : 'cV[R]_k -> R) tau B u q g (p : 'I_k -> R) own :
  0 < tau -> 0 < B -> q != 0 -> (forall v, u v != 0) -> (forall v, 0 <= p v <= 1) ->
  is_fgrad l (logits tau u q) (softmax_residuals p own) ->
  is_grad (tempered l tau B u) q g ->
  norm (norm q *: g) <= (B * tau)^-1 * ((1 - p own) + \sum_(v | v != own) p v).
Proof.
move=> t0 B0 q0 u0 p01 Dl D; apply: le_trans (temperature_bound t0 B0 q0 u0 Dl D) _.
have k0 : 0 <= (B * tau)^-1 by rewrite invr_ge0 ltW // mulr_gt0.
rewrite ler_wpmul2l // (bigD1 own) //= mxE eqxx normrN ger0_norm; last first.
  by rewrite subr_ge0; case/andP: (p01 own).
rewrite ler_add2l; apply: ler_sum => v /negPf vo; rewrite mxE vo ger0_norm //.
by case/andP: (p01 v).
Qed.

(** With all probabilities at most 1 the bound is at most k/(Bτ); with B users, 1/τ. *)
Theorem crude_temperature_bound (l : 'cV[R]_k -> R) tau u q g (p : 'I_k -> R) own :
  0 < tau -> (0 < k)%N -> q != 0 -> (forall v, u v != 0) -> (forall v, 0 <= p v <= 1) ->
  is_fgrad l (logits tau u q) (softmax_residuals p own) ->
  is_grad (tempered l tau k%:R u) q g -> norm (norm q *: g) <= tau^-1.
Proof.
move=> t0 k0 q0 u0 p01 Dl D; have kR : 0 < k%:R :> R by rewrite ltr0n.
apply: le_trans (in_batch_temperature_bound t0 kR q0 u0 p01 Dl D) _.
rewrite invfM mulrAC ger_pmull ?invr_gt0 // mulrC ler_pdivr_mulr // mul1r.
have -> : k%:R = 1 + \sum_(v | v != own) 1 :> R.
  have -> : k%:R = \sum_(v < k) 1 :> R by rewrite sumr_const card_ord.
  by rewrite (bigD1 own).
apply: ler_add; first by rewrite ler_subl_addr ler_addl; case/andP: (p01 own).
by apply: ler_sum => v _; case/andP: (p01 v).
Qed.

End Temperature.

(** The hypotheses hold together: one user e1, the row (3,4), tau = 1/10, B = 2, the linear
    loss r x with residual r = -(1 - p), p = 1/2. *)
Example temperature_instance (R : rcfType) :
  let q : 'cV[R]_2 := vec2 3%:R 4%:R in
  let u : 'I_1 -> 'cV[R]_2 := fun _ => vec2 1 0 in
  let p : 'I_1 -> R := fun _ => 1 / 2%:R in
  let r := softmax_residuals p ord0 in
  let l (x : 'cV[R]_1) := ⟨r, x⟩ in
  [/\ q != 0, forall v, u v != 0, forall v, 0 <= p v <= 1,
      is_fgrad l (logits (1 / 10%:R) u q) r
    & exists g, is_grad (tempered l (1 / 10%:R) 2%:R u) q g].
Proof.
move=> q u p r l.
have q0 : q != 0.
  by rewrite -nrm2_gt0 /q dot_vec2 -!natrM -natrD ltr0n.
have u0 v : u v != 0.
  by rewrite -nrm2_gt0 /u dot_vec2 mulr0 addr0 mulr1 ltr01.
have Dl : is_fgrad l (logits (1 / 10%:R) u q) r by apply: fgrad_dot.
split=> //.
  move=> v; rewrite /p divr_ge0 ?ler0n ?ler01 //=.
  by rewrite ler_pdivr_mulr ?ltr0n // mul1r (ler_nat R 1 2).
eexists; apply: fgrad_grad.
exact: fgradZ (fgrad_chain (jacobian_logits (1 / 10%:R) q0 u0) Dl).
Qed.
