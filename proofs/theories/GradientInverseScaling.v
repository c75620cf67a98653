(** * gradient-inverse-scaling: ∇L(cq) = ∇L(q)/c for c > 0.

    For a loss that is positively homogeneous of degree 0 (every cosine loss), scaling the
    embedding by c > 0 divides the gradient by c.  Hence ‖∇L(q)‖ = s/‖q‖ where the
    spherical gradient ‖q‖ ∇L(q), of length s, depends on the direction of q only,
    s = ‖P_q a‖ ≤ ‖a‖, and s² = 1 - c² for the loss -c, c = cos(q,p).
    Source: Wang et al. 2017; Arora, Li, Lyu 2018.
    Proof: L(cq + hv) = L(q + (h/c)v), so the difference quotient at cq in the direction v
    is 1/c times the one at q with the increment h/c (Cosine.v). *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise GradientOrthogonality.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Theorem gradient_inverse_scaling (R : realFieldType) n (f : 'cV[R]_n -> R) q g c :
  homog0 f -> 0 < c -> is_grad f q g -> is_grad f (c *: q) (c^-1 *: g).
Proof. exact: grad_scale. Qed.

(** The same for every directional derivative, with no gradient assumed, and for
    parameters in any vector space. *)
Theorem derivative_inverse_scaling (R : realFieldType) (E : lmodType R) (f : E -> R) q v l c :
  homog0 f -> 0 < c -> is_deriv f q v l -> is_deriv f (c *: q) v (c^-1 * l).
Proof. exact: deriv_scale. Qed.

Section Norms.
Variables (R : rcfType) (n : nat).
Implicit Types (f : 'cV[R]_n -> R) (q g a p : 'cV[R]_n).

(** The length of the gradient is inversely proportional to the length of the row. *)
Theorem gradient_norm_inverse_scaling f q g g' c :
  homog0 f -> 0 < c -> is_grad f q g -> is_grad f (c *: q) g' -> norm g' = norm g / c.
Proof.
move=> fH c0 D D'; rewrite (is_grad_uniq D' (grad_scale fH c0 D)) normZ.
by rewrite normfV gtr0_norm // mulrC.
Qed.

(** The spherical gradient ‖q‖ g is the same at q and at cq: it depends on the direction. *)
Theorem spherical_gradient_scale_free f q g g' c :
  homog0 f -> 0 < c -> is_grad f q g -> is_grad f (c *: q) g' ->
  norm (c *: q) *: g' = norm q *: g.
Proof.
move=> fH c0 D D'; rewrite (is_grad_uniq D' (grad_scale fH c0 D)) normZ gtr0_norm //.
by rewrite scalerA mulrAC divff ?mul1r // gt_eqF.
Qed.

(** ‖g‖ = s/‖q‖, where s is the length of the gradient at the unit vector q/‖q‖. *)
Theorem gradient_norm_at_unit_vector f q g s :
  homog0 f -> q != 0 -> is_grad f (normalise q) s -> is_grad f q g ->
  norm g = norm s / norm q.
Proof.
move=> fH q0 Ds D; have q1 : 0 < norm q by rewrite norm_gt0.
apply: (gradient_norm_inverse_scaling fH q1 Ds); by rewrite -normaliseE.
Qed.

(** In terms of the upstream gradient: ‖q‖ g = P_q a, so ‖g‖ = ‖P_q a‖/‖q‖ ≤ ‖a‖/‖q‖. *)
Theorem gradient_norm_closed_form (l : 'cV[R]_n -> R) q a g :
  q != 0 -> is_fgrad l (normalise q) a -> is_grad (fun x => l (normalise x)) q g ->
  norm g = norm (tangent_proj q *m a) / norm q /\ norm g <= norm a / norm q.
Proof.
move=> q0 D Dg; have q1 : 0 < norm q by rewrite norm_gt0.
have E : norm g = norm (tangent_proj q *m a) / norm q.
  rewrite (is_grad_uniq Dg (fgrad_grad (gradient_closed_form q0 D))) normZ.
  by rewrite normfV gtr0_norm // mulrC.
by split=> //; rewrite E ler_pdivr_mulr // divfK ?gt_eqF // tangent_proj_norm_le.
Qed.

(** For the loss -cos(q,p): ‖q‖²‖g‖² = 1 - cos(q,p)². *)
Theorem cosine_spherical_gradient_length q p g :
  q != 0 -> p != 0 -> is_grad (fun x => - cosine x p) q g ->
  ‖norm q *: g‖² = 1 - cosine q p ^+ 2.
Proof.
move=> q0 p0 D; have nq : norm q != 0 by rewrite norm_eq0.
rewrite (is_grad_uniq D (is_gradN (cosine_gradient q0 p0))).
rewrite scalerN nrm2N /cos_grad scalerA divff // scale1r.
have -> : (norm p)^-1 *: p - (⟨q, p⟩ / (norm q * norm p) / norm q) *: q
        = tangent_proj q *m normalise p.
  rewrite tangent_proj_mul /normalise dotZl dotZr scalerA; congr (_ - _ *: _).
  by rewrite invfM; congr (_ / _); rewrite [LHS]mulrC -mulrA.
by rewrite tangent_proj_nrm2 // normalise_nrm2 // -cosine_normalise.
Qed.

End Norms.

(** The hypotheses hold together: -cos(·, e1) at q = (3,4) and c = 7/3; the gradient at
    (7, 28/3) is 3/7 of the gradient at (3,4). *)
Example scaling_instance (R : rcfType) :
  let f (x : 'cV[R]_2) := - cosine x (vec2 1 0) in
  let g : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R) in
  [/\ homog0 f, is_grad f (vec2 3%:R 4%:R) g
    & is_grad f (vec2 7%:R (28%:R / 3%:R))
        (vec2 (- (48%:R / 875%:R)) (36%:R / 875%:R))].
Proof.
move=> f g; have [_ D _ _] := gradient_exists R; rewrite -/f -/g in D.
have fH : homog0 f by move=> q _ c c0; rewrite /f cosine_scale.
split=> //; have c0 : 0 < 7%:R / 3%:R :> R by rewrite divr_gt0 ?ltr0n.
have := gradient_inverse_scaling fH c0 D; rewrite /g !vec2E.
have -> : 7%:R / 3%:R * 3%:R = 7%:R :> R by field.
have -> : 7%:R / 3%:R * 4%:R = 28%:R / 3%:R :> R by field.
have -> : (7%:R / 3%:R)^-1 * - (16%:R / 125%:R) = - (48%:R / 875%:R) :> R by field.
by have -> : (7%:R / 3%:R)^-1 * (12%:R / 125%:R) = 36%:R / 875%:R :> R by field.
Qed.
