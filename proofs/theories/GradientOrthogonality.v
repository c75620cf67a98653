(** * gradient-orthogonality: the gradient of a cosine loss is orthogonal to the embedding.

    _Euler form._  If a loss is constant along the ray through q, in particular if it is any
    function of cosines of q, then ⟨q, ∇L(q)⟩ = 0; only the existence of the gradient is
    assumed.  _Closed form._  If L(q) = ℓ(q/‖q‖) with ℓ differentiable at q/‖q‖ and
    a = ∇ℓ(q/‖q‖), then ∇L(q) = P_q a/‖q‖ with P_q = I - q̂ q̂ᵀ.
    _Cases._
    - a function of the cosines to k vectors: ∇L = Σ_j w_j ∇cos(·,p_j);
    - additive terms that do not see q, any outer function (temperature, reduction);
    - a positively homogeneous map h of degree k between the parameter row e and the vector
      that enters the cosine: ⟨e,∇_e L⟩ = k ⟨z, ∂L/∂z⟩ for every loss, = 0 for a cosine loss;
    - a row that fills several slots of a batch: every slot gradient is tangent, so is every
      linear combination, and the row stays where these put it;
    - two towers that look up distinct rows of one table: both gradients are tangent;
      a user vector pooled from item rows: not tangent ([pooled_user_counterexample]);
    - asymmetric towers: the user tower may be any function of any parameters.
    Source: Wang et al. 2017 (NormFace); Arora, Li, Lyu 2018; Draganov et al. 2025; the
    cases are derived here.
    Proof: along the ray the loss is constant, so its derivative there vanishes (Cosine.v);
    the closed form is the chain rule through q ↦ q/‖q‖ (Normalise.v). *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Euler form *)
Section Euler.
Variables (R : realFieldType) (n : nat).
Implicit Types (f : 'cV[R]_n -> R) (q g : 'cV[R]_n).

(** A loss that is constant along the ray through q has a gradient orthogonal to q. *)
Theorem gradient_orthogonal f q g : ray_const f q -> is_grad f q g -> ⟨q, g⟩ = 0.
Proof. exact: euler_grad_orth. Qed.

(** Even less is needed: the radial derivative exists and is zero. *)
Theorem radial_derivative_zero f q : ray_const f q -> is_deriv f q q 0.
Proof. exact: radial_deriv. Qed.

End Euler.

(** ** Cosine losses *)
Section CosineLoss.
Variables (R : rcfType) (n : nat).
Implicit Types (q p a : 'cV[R]_n).

(** Any function of the cosines to fixed vectors [p j]. *)
Theorem cosine_loss_gradient_orthogonal k (L : 'cV[R]_k -> R) (p : 'I_k -> 'cV[R]_n) q g :
  q != 0 -> is_grad (fun q => L (\col_j cosine q (p j))) q g -> ⟨q, g⟩ = 0.
Proof. by move=> q0; apply: gradient_orthogonal; apply: cos_loss_homog0. Qed.

(** Without naming the vectors: whatever sees q only through its cosines. *)
Theorem cosine_invariant_gradient_orthogonal (f : 'cV[R]_n -> R) q g :
  q != 0 -> (forall x y, (forall p, cosine x p = cosine y p) -> f x = f y) ->
  is_grad f q g -> ⟨q, g⟩ = 0.
Proof. by move=> q0 fc; apply: gradient_orthogonal; apply: cos_invariant_homog0. Qed.

(** The closed form, for an arbitrary upstream gradient a. *)
Theorem gradient_closed_form (l : 'cV[R]_n -> R) q a :
  q != 0 -> is_fgrad l (normalise q) a ->
  is_fgrad (fun x => l (normalise x)) q ((norm q)^-1 *: (tangent_proj q *m a)).
Proof.
move=> q0 D; have := fgrad_chain (jacobian_normalise q0) D.
by rewrite linearZ /= tangent_proj_sym -scalemxAl.
Qed.

(** Every scale-invariant loss has this form: f(q) = f(q/‖q‖). *)
Theorem gradient_closed_form_scale_invariant (f : 'cV[R]_n -> R) q a :
  homog0 f -> q != 0 -> is_fgrad f (normalise q) a ->
  is_grad f q ((norm q)^-1 *: (tangent_proj q *m a)).
Proof.
move=> fH q0 /(gradient_closed_form q0)/fgrad_grad; apply: is_grad_ext => x.
have [->|x0] := eqVneq x 0; first by rewrite /normalise scaler0.
have z0 : normalise x != 0 by rewrite -norm_gt0 normalise_norm // ltr01.
by rewrite -(fH _ z0 (norm x)) ?norm_gt0 // -normaliseE.
Qed.

(** The closed form is tangent, whatever a is. *)
Theorem closed_form_orthogonal q a :
  ⟨q, (norm q)^-1 *: (tangent_proj q *m a)⟩ = 0.
Proof. by rewrite dotZr tangent_proj_orth mulr0. Qed.

Lemma closed_form_as_matrix q a :
  (norm q)^-1 *: (tangent_proj q *m a) =
  (norm q)^-1 *: (a - ⟨normalise q, a⟩ *: normalise q).
Proof. by rewrite tangent_proj_mul. Qed.

(** A differentiable function of cosines: the gradient is the weighted sum of the
    gradients of the cosines, the weights being the partial derivatives of L. *)
Theorem cosine_loss_gradient k (L : 'cV[R]_k -> R) (p : 'I_k -> 'cV[R]_n) q w :
  q != 0 -> (forall j, p j != 0) -> is_fgrad L (\col_j cosine q (p j)) w ->
  is_fgrad (fun x => L (\col_j cosine x (p j))) q
    (\sum_j w j 0 *: cos_grad q (p j) (norm q) (norm (p j))).
Proof.
move=> q0 p0 D; pose g j := cos_grad q (p j) (norm q) (norm (p j)).
have DJ : is_jacobian (fun x => \col_j cosine x (p j)) q (\matrix_(i, j) g i j 0).
  apply: jacobian_rows => j.
  by apply: fgrad_ext (cosine_fgrad q0 (p0 j)) => x; rewrite mxE.
suff -> : \sum_j w j 0 *: g j = (\matrix_(i, j) g i j 0)^T *m w by apply: fgrad_chain DJ D.
apply/colP => i; rewrite summxE !mxE; apply: eq_bigr => j _.
by rewrite !mxE mulrC.
Qed.

(** Terms that do not depend on q (an additive item bias) and an outer function of the
    loss change nothing: the composition is still constant along rays. *)
Theorem outer_function_gradient_orthogonal (f : 'cV[R]_n -> R) (phi : R -> R) (b : R) q g :
  ray_const f q -> is_grad (fun x => phi (f x + b)) q g -> ⟨q, g⟩ = 0.
Proof. by move=> fq; apply: gradient_orthogonal => c c0 /=; rewrite fq. Qed.

End CosineLoss.

(** ** Positively homogeneous maps in front of the cosine *)
Section Homogeneous.
Variables (R : realFieldType) (n m : nat).

(** h(ce) = c^k h(e) along the ray through e. *)
Definition ray_homog k (h : 'cV[R]_n -> 'cV[R]_m) e :=
  forall c, 0 < c -> h (c *: e) = c ^+ k *: h e.

Theorem homogeneous_gradient_orthogonal k (h : 'cV[R]_n -> 'cV[R]_m) (f : 'cV[R]_m -> R) e g :
  ray_homog k h e -> ray_const f (h e) -> is_grad (fun x => f (h x)) e g -> ⟨e, g⟩ = 0.
Proof.
move=> hH fH; apply: gradient_orthogonal => c c0.
by rewrite hH // fH // exprn_gt0.
Qed.

(** (1+t)^k - 1 = t P(t) with P continuous at 0 and P(0) = k. *)
Lemma binomial_slope k : exists P : R -> R,
  [/\ cont0 P, P 0 = k%:R & forall t, (1 + t) ^+ k - 1 = t * P t].
Proof.
elim: k => [|k [P [cP P0 PE]]].
  by exists (fun _ => 0); split=> [||t]; [exact: cont0_cst | | rewrite expr0 subrr mulr0].
exists (fun t => P t * (1 + t) + 1); split => [||t].
- apply: cont0D (@cont0_cst _ _); apply: cont0M cP _.
  exact: cont0D (@cont0_cst _ _) (@cont0_id _).
- by rewrite P0 addr0 mulr1 -addn1 natrD.
- rewrite exprS; have -> : (1 + t) ^+ k = t * P t + 1 by rewrite -PE subrK.
  ring.
Qed.

(** Euler's identity for the Jacobian: J e = k h(e). *)
Theorem euler_jacobian k (h : 'cV[R]_n -> 'cV[R]_m) e J :
  ray_homog k h e -> is_jacobian h e J -> J *m e = k%:R *: h e.
Proof.
move=> hH D; apply: dot_ext => u; rewrite dotZl ![⟨_, u⟩]dotC.
have D1 := fgrad_grad (fgrad_chain D (fgrad_dot u (h e))) e.
rewrite -dot_mulmxr in D1; apply: is_deriv_uniq D1 _.
have [P [cP P0 PE]] := binomial_slope k.
have := @is_deriv_cara _ _ (fun x => ⟨u, h x⟩) e e (fun t => P t * ⟨u, h e⟩).
rewrite P0; apply; first by apply: cont0M cP (@cont0_cst _ _).
exists 1; first exact: ltr01.
move=> t t1; have t_gt : 0 < 1 + t.
  by move: t1; rewrite ltr_norml => /andP[lo _]; rewrite -(ltr_add2l (-1)) addr0 addKr.
have -> : e + t *: e = (1 + t) *: e by rewrite scalerDl scale1r.
by rewrite hH // dotZr mulrA -PE mulrBl mul1r.
Qed.

(** For every loss, cosine or not: ⟨e, ∇_e L⟩ = k ⟨z, ∂L/∂z⟩ with z = h(e). *)
Theorem homogeneous_gradient_radial k (h : 'cV[R]_n -> 'cV[R]_m) (f : 'cV[R]_m -> R) e J a :
  ray_homog k h e -> is_jacobian h e J -> is_fgrad f (h e) a ->
  is_fgrad (fun x => f (h x)) e (J^T *m a) /\ ⟨e, J^T *m a⟩ = k%:R * ⟨h e, a⟩.
Proof.
move=> hH DJ Df; split; first exact: fgrad_chain DJ Df.
by rewrite -dot_mulmx (euler_jacobian hH DJ) dotZl.
Qed.

End Homogeneous.

(** ** Duplicates: one row in several slots of a batch *)
Section Duplicates.
Variables (R : realFieldType) (n k : nat).
Implicit Types (q : 'cV[R]_n) (w : 'I_k -> R) (g : 'I_k -> 'cV[R]_n).

(** [F] with slot [j] filled by [x] and every other slot by [q]. *)
Definition slot (F : ('I_k -> 'cV[R]_n) -> R) q (j : 'I_k) (x : 'cV[R]_n) : R :=
  F (fun i => if i == j then x else q).

(** Every slot gradient of a loss that is scale-invariant in that slot is tangent,
    and so is every linear combination: coalesced sum, mean, logQ weights, ... *)
Theorem slot_gradients_orthogonal (F : ('I_k -> 'cV[R]_n) -> R) q g w :
  (forall j, ray_const (slot F q j) q) -> (forall j, is_grad (slot F q j) q (g j)) ->
  (forall j, ⟨q, g j⟩ = 0) /\ ⟨q, \sum_j w j *: g j⟩ = 0.
Proof.
move=> FH D; have qg j : ⟨q, g j⟩ = 0 by apply: gradient_orthogonal (FH j) (D j).
by split=> //; rewrite dot_sumr big1 // => j _; rewrite dotZr qg mulr0.
Qed.

(** Gradients evaluated at q and applied one after the other, with a scalar each:
    the total step is tangent and adds its squared length. *)
Theorem sequential_application_orthogonal q g (s : seq ('I_k * R)) :
  (forall j, ⟨q, g j⟩ = 0) ->
  let q' := foldl (fun x js => x - js.2 *: g js.1) q s in
  ⟨q, q' - q⟩ = 0 /\ ‖q'‖² = ‖q‖² + ‖q' - q‖².
Proof.
move=> qg q'; have H (x : 'cV[R]_n) : ⟨q, foldl (fun x js => x - js.2 *: g js.1) x s⟩ = ⟨q, x⟩.
  elim: s x {q'} => //= js s IH x; by rewrite IH dotBr dotZr qg mulr0 subr0.
have o : ⟨q, q' - q⟩ = 0 by rewrite dotBr /q' H subrr.
by split=> //; have := pythagoras o; rewrite [q + _]addrC subrK.
Qed.

End Duplicates.

(** ** Tables shared between the towers, and asymmetric towers *)
Section Towers.
Variables (R : rcfType) (n : nat).
Implicit Types (q e p : 'cV[R]_n).

(** Siamese lookup: user and item rows come from one table but are distinct rows; the
    loss is any function of their cosine, and both gradients are tangent. *)
Theorem siamese_gradients_orthogonal (L : R -> R) e1 e2 g1 g2 :
  is_grad (fun x => L (cosine x e2)) e1 g1 -> is_grad (fun y => L (cosine e1 y)) e2 g2 ->
  ⟨e1, g1⟩ = 0 /\ ⟨e2, g2⟩ = 0.
Proof.
move=> D1 D2; split.
  by apply: gradient_orthogonal D1 => c c0; rewrite cosine_scale.
by apply: gradient_orthogonal D2 => c c0; rewrite ![cosine e1 _]cosineC cosine_scale.
Qed.

(** The user tower is any function of any parameters (deep, random, stale, trained by
    another optimizer); the item gradient is tangent all the same. *)
Theorem asymmetric_towers (P : Type) k (user : P -> 'I_k -> 'cV[R]_n)
    (L : P -> 'cV[R]_k -> R) (theta : P) q g :
  q != 0 -> is_grad (fun x => L theta (\col_j cosine x (user theta j))) q g -> ⟨q, g⟩ = 0.
Proof. exact: cosine_loss_gradient_orthogonal. Qed.

End Towers.

(** A user vector pooled from item rows, u = (e_a + e_b)/2 with e_a = (3,4), e_b = (5,-4),
    and target (4,3): the gradient of -cos(u, target) in the row e_a has the radial
    part -3/10, so a step of SGD at rate eta moves e_a outward by 3 eta/10. *)
Definition pooled_loss (R : rcfType) (ea : 'cV[R]_2) : R :=
  - cosine (2%:R^-1 *: (ea + vec2 5%:R (- 4%:R))) (vec2 4%:R 3%:R).

Theorem pooled_user_counterexample (R : rcfType) :
  exists g : 'cV[R]_2, is_grad (@pooled_loss R) (vec2 3%:R 4%:R) g
    /\ ⟨vec2 3%:R 4%:R, g⟩ = - (3%:R / 10%:R).
Proof.
pose u : 'cV[R]_2 := vec2 4%:R 0; pose p : 'cV[R]_2 := vec2 4%:R 3%:R.
have D : is_grad (fun x => - cosine x p) u (- cos_grad u p 4%:R 5%:R).
  apply: is_gradN; apply: cosine_gradientE; rewrite ?ltr0n // /u /p dot_vec2; ring.
pose A : 'M[R]_2 := 2%:R^-1 *: 1%:M; pose b : 'cV[R]_2 := 2%:R^-1 *: vec2 5%:R (- 4%:R).
have uE : A *m vec2 3%:R 4%:R + b = u.
  rewrite /A /b /u -scalemxAl mul1mx -scalerDr !vec2E.
  by congr vec2; field.
have := @is_grad_affine _ _ _ A b (fun x => - cosine x p) (vec2 3%:R 4%:R) (- cos_grad u p 4%:R 5%:R).
rewrite uE => /(_ D) D'; exists (A^T *m - cos_grad u p 4%:R 5%:R); split.
  move=> v; apply: is_deriv_ext (D' v) => x; rewrite /pooled_loss; congr (- cosine _ _).
  by rewrite /A /b -scalemxAl mul1mx scalerDr.
rewrite -dot_mulmx /A -scalemxAl mul1mx cos_grad_vec2 !vec2E.
by field.
Qed.

(** ** The hypotheses hold together *)

(** A cosine loss with several vectors and a non-linear outer function has a gradient at
    every q <> 0, and it need not vanish: q = (3,4), loss -cos(q, e1), gradient (-16,12)/125. *)
Example gradient_exists (R : rcfType) :
  let q : 'cV[R]_2 := vec2 3%:R 4%:R in
  let f (x : 'cV[R]_2) := - cosine x (vec2 1 0) in
  let g : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R) in
  [/\ ray_const f q, is_grad f q g, ⟨q, g⟩ = 0 & g != 0].
Proof.
move=> q f g.
have D : is_grad f q g.
  have -> : g = - cos_grad q (vec2 1 0) 5%:R 1.
    by rewrite /g cos_grad_vec2 opp_vec2; congr vec2; field.
  apply: is_gradN; apply: cosine_gradientE; rewrite ?ltr0n ?ltr01 // /q dot_vec2; ring.
have fH : ray_const f q by move=> c c0; rewrite /f cosine_scale.
split=> //; first exact: gradient_orthogonal fH D.
rewrite -nrm2_gt0 /g dot_vec2; have -> : - (16%:R / 125%:R) * - (16%:R / 125%:R)
  + 12%:R / 125%:R * (12%:R / 125%:R) = 16%:R / 625%:R :> R by field.
by rewrite divr_gt0 ?ltr0n.
Qed.
