(** * eigenvector-criterion: when the first-order radial step vanishes.

    Let the encoder have the Jacobian J at θ and let K = J Jᵀ.  An SGD step moves the
    embedding by -η K g + o(η), so the first-order radial part is -η ⟨q, K g⟩.
    - It vanishes for every tangent gradient g exactly when q is an eigenvector of K:
      (∀ g ⟂ q, ⟨q, K g⟩ = 0) ⇔ K q = λ q for some λ.
    - It vanishes for all q ≠ 0 and all g ⟂ q exactly when K = κ I.
    Benign encoders with K q ∥ q that are not linear: a trained gain times a trained vector,
    q = a w, where ∂L/∂a = 0 and Δq = -η a² g exactly, to all orders.
    Hidden fifth condition: for a linear encoder q = A θ parameter-linearity alone is not
    enough, A Aᵀ = c I is needed; witness q = V h, V = diag(1,2) frozen.
    Source: derived here.
    Proof: ⟨q,Kg⟩ = ⟨Kq,g⟩, and a vector orthogonal to everything that is orthogonal to q is
    a multiple of q; if every vector is an eigenvector, the eigenvalues of e_i, e_j and
    e_i + e_j agree. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise Batch UpdateKernel.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Criterion.
Variables (R : realFieldType) (n : nat).
Implicit Types (q g v : 'cV[R]_n) (K : 'M[R]_n).

(** What is orthogonal to everything orthogonal to q is a multiple of q. *)
Lemma in_span q v : q != 0 -> (forall g, ⟨q, g⟩ = 0 -> ⟨v, g⟩ = 0) ->
  v = (⟨q, v⟩ / ‖q‖²) *: q.
Proof.
move=> q0 h; have n0 : ‖q‖² != 0 by rewrite nrm2_eq0.
set c := ⟨q, v⟩ / ‖q‖²; pose w := v - c *: q.
have qw : ⟨q, w⟩ = 0 by rewrite dotBr dotZr /c divfK // subrr.
have vw := h _ qw; have : ‖w‖² = 0 by rewrite {1}/w dotBl vw dotZl qw mulr0 subrr.
by move/eqP; rewrite nrm2_eq0 subr_eq0 => /eqP.
Qed.

(** For a symmetric kernel, at one point. *)
Theorem eigenvector_criterion K q : K^T = K -> q != 0 ->
  (forall g, ⟨q, g⟩ = 0 -> ⟨q, K *m g⟩ = 0) <-> (exists lambda, K *m q = lambda *: q).
Proof.
move=> Ks q0; split=> [h|[lam E] g qg]; last first.
  by rewrite dot_mulmxr Ks E dotZl qg mulr0.
exists (⟨q, K *m q⟩ / ‖q‖²); apply: in_span => // g /h.
by rewrite dot_mulmxr Ks.
Qed.

(** Without symmetry the transpose takes the place of K. *)
Theorem eigenvector_criterion_general K q : q != 0 ->
  (forall g, ⟨q, g⟩ = 0 -> ⟨q, K *m g⟩ = 0) <-> (exists lambda, K^T *m q = lambda *: q).
Proof.
move=> q0; split=> [h|[lam E] g qg]; last by rewrite dot_mulmxr E dotZl qg mulr0.
exists (⟨q, K^T *m q⟩ / ‖q‖²); apply: in_span => // g /h.
by rewrite dot_mulmxr.
Qed.

(** At every point: only multiples of the identity. *)
Theorem all_points_iff_scalar K :
  (forall q g, ⟨q, g⟩ = 0 -> ⟨q, K *m g⟩ = 0) <-> (exists kappa, K = kappa *: 1%:M).
Proof.
split=> [h|[kap ->] q g qg]; last by rewrite -scalemxAl mul1mx dotZr qg mulr0.
pose e (i : 'I_n) : 'cV[R]_n := delta_mx i 0.
have dote i v : ⟨e i, v⟩ = v i 0.
  rewrite /dot (bigD1 i) //= big1 => [|j /negPf ji]; rewrite !mxE ?eqxx ?ji ?mul0r //.
  by rewrite mul1r addr0.
have Ke i j : K i j = ⟨e i, K *m e j⟩ by rewrite dote -colE mxE.
have off i j : i != j -> K i j = 0.
  move=> ij; rewrite Ke; apply: h; rewrite dote mxE (negPf ij) //.
have diag i j : K i i = K j j.
  have [->//|ij] := eqVneq i j.
  have o : ⟨e i + e j, e i - e j⟩ = 0.
    rewrite dotDl !dote !mxE !eqxx (negPf ij) [j == i]eq_sym (negPf ij) /=.
    by rewrite subr0 sub0r subrr.
  have := h _ _ o; rewrite mulmxBr dotDl !dotBr -!Ke (off _ _ ij).
  rewrite (off j i); last by rewrite eq_sym.
  by rewrite subr0 sub0r => /eqP; rewrite subr_eq0 => /eqP.
case: (posnP n) => [n0|n_gt0].
  exists 0; apply/matrixP => i; by move: (ltn_ord i); rewrite {2}n0.
exists (K (Ordinal n_gt0) (Ordinal n_gt0)); apply/matrixP => i j; rewrite !mxE.
have [->|ij] := eqVneq i j; first by rewrite mulr1; apply: diag.
by rewrite mulr0 off.
Qed.

End Criterion.

(** ** The first-order step of a differentiable encoder *)
Section FirstOrder.
Variables (R : realFieldType) (p n : nat).
Implicit Types (enc : 'cV[R]_p -> 'cV[R]_n) (theta : 'cV[R]_p) (J : 'M[R]_(n, p)).

Theorem encoder_parameter_gradient enc (f : 'cV[R]_n -> R) theta J g :
  is_jacobian enc theta J -> is_fgrad f (enc theta) g ->
  is_fgrad (fun t => f (enc t)) theta (J^T *m g).
Proof. exact: fgrad_chain. Qed.

(** The step is -η K g + o(η): in every direction u, ⟨u, enc(θ - η Jᵀg)⟩ has the derivative
    -⟨u, K g⟩ in η at 0. *)
Theorem first_order_step enc theta J g u :
  is_jacobian enc theta J ->
  is_deriv (fun t => ⟨u, enc t⟩) theta (- (J^T *m g)) (- ⟨u, (J *m J^T) *m g⟩).
Proof.
move=> D; have := fgrad_grad (fgrad_chain D (fgrad_dot u (enc theta))) (- (J^T *m g)).
by rewrite dotNr -dot_mulmxr mulmxA.
Qed.

(** In particular the radial part, along q itself. *)
Theorem first_order_radial_step enc theta J g (q := enc theta) (K := J *m J^T) :
  is_jacobian enc theta J ->
  is_deriv (fun t => ⟨q, enc t⟩) theta (- (J^T *m g)) (- ⟨q, K *m g⟩).
Proof. exact: first_order_step. Qed.

(** The kernel is symmetric, so the criterion applies to it: the first-order radial step
    vanishes for every tangent gradient exactly when q is an eigenvector of J Jᵀ. *)
Theorem first_order_criterion enc theta J (q := enc theta) (K := J *m J^T) :
  q != 0 -> is_jacobian enc theta J ->
  (forall g, ⟨q, g⟩ = 0 ->
     is_deriv (fun t => ⟨q, enc t⟩) theta (- (J^T *m g)) 0)
  <-> (exists lambda, K *m q = lambda *: q).
Proof.
move=> q0 D; have Ks : K^T = K by rewrite trmx_mul trmxK.
rewrite -(eigenvector_criterion Ks q0); split=> h g qg.
  have := is_deriv_uniq (h g qg) (first_order_radial_step g D).
  by move/eqP; rewrite eq_sym oppr_eq0 => /eqP.
by have := first_order_radial_step g D; rewrite -/q -/K h // oppr0.
Qed.

End FirstOrder.

(** ** Gain times vector: q = a w, both trained *)
Section Gain.
Variables (R : realFieldType) (n : nat).
Implicit Types (f : 'cV[R]_n -> R) (w g : 'cV[R]_n).

(** The gain as a vector of one component, so that its gradient has a meaning. *)
Definition gain_times w (a : 'cV[R]_1) : 'cV[R]_n := w *m a.

Lemma gain_timesE w (a : R) : w *m (const_mx a : 'cV[R]_1) = a *: w.
Proof. by apply/colP => i; rewrite !mxE big_ord1 !mxE mulrC. Qed.

Theorem gain_vector_update f w (a : R) g ga gw eta (q := a *: w) :
  ray_const f q -> a != 0 -> is_grad f q g ->
  is_grad (fun t => f (gain_times w t)) (const_mx a) ga ->
  is_grad (fun x => f (a *: x)) w gw ->
  ga = 0 /\
  (const_mx a - eta *: ga) 0 0 *: (w - eta *: gw) - q = - (eta * a ^+ 2) *: g.
Proof.
move=> fq a0 D Da Dw; have qg := euler_grad_orth fq D.
have wg : ⟨w, g⟩ = 0.
  by apply/eqP; have /eqP := qg; rewrite dotZl mulf_eq0 (negPf a0).
have Dq : is_grad f (w *m (const_mx a : 'cV[R]_1)) g by rewrite gain_timesE.
have ga0 : ga = 0.
  rewrite (is_grad_uniq Da (is_grad_linear Dq)).
  apply/colP => i; rewrite !mxE -[RHS]wg; apply: eq_bigr => k _.
  by rewrite mxE (ord1 i).
split=> //; have A x : (a *: 1%:M) *m x = a *: x :> 'cV[R]_n by rewrite -scalemxAl mul1mx.
have D' : is_grad f ((a *: 1%:M) *m w) g by rewrite A.
have gwE : gw = a *: g.
  have Dw' := is_grad_linear D'; rewrite linearZ /= trmx1 A in Dw'.
  apply: is_grad_uniq Dw _; move=> v; apply: is_deriv_ext (Dw' v) => x; by rewrite A.
rewrite ga0 scaler0 subr0 mxE gwE scalerBr !scalerA addrAC subrr add0r scaleNr.
by congr (- (_ *: _)); ring.
Qed.

Corollary gain_vector_orthogonal f w (a : R) g ga gw eta (q := a *: w)
    (q' := (const_mx a - eta *: ga) 0 0 *: (w - eta *: gw)) :
  ray_const f q -> a != 0 -> is_grad f q g ->
  is_grad (fun t => f (gain_times w t)) (const_mx a) ga ->
  is_grad (fun x => f (a *: x)) w gw -> ⟨q, q' - q⟩ = 0.
Proof.
move=> fq a0 D Da Dw; rewrite /q'.
have [_ ->] := gain_vector_update eta fq a0 D Da Dw.
by rewrite dotZr (euler_grad_orth fq D) mulr0.
Qed.

End Gain.

(** ** The hidden condition: linear is not enough *)

(** For q = A θ the step is -η A Aᵀ g exactly; it is orthogonal at every point and for
    every tangent gradient iff A Aᵀ is a multiple of the identity (a tight frame). *)
Theorem linear_encoder_criterion (R : realFieldType) d p (A : 'M[R]_(d, p)) (eta : R) :
  eta != 0 ->
  (forall (q : 'cV[R]_d) g, ⟨q, g⟩ = 0 -> ⟨q, - eta *: (A *m A^T *m g)⟩ = 0)
  <-> (exists c, A *m A^T = c *: 1%:M).
Proof.
move=> eta0; rewrite -all_points_iff_scalar; split=> h q g /h.
  by rewrite dotZr => /eqP; rewrite mulf_eq0 oppr_eq0 (negPf eta0) => /eqP.
by rewrite dotZr => ->; rewrite mulr0.
Qed.

(** Witness: q = V h with V = diag(1,2) frozen, h = (3,2), loss -cos(·, e1). *)
Theorem frozen_projection_witness (R : rcfType) :
  let V : 'M[R]_2 := mat2 1 0 0 2%:R in let h : 'cV[R]_2 := vec2 3%:R 2%:R in
  let f (x : 'cV[R]_2) := - cosine x (vec2 1 0) in
  exists gh, is_grad (fun y => f (V *m y)) h gh /\ forall eta,
    ⟨V *m h, V *m (h - eta *: gh) - V *m h⟩ = - (144%:R / 125%:R) * eta.
Proof.
move=> V h f; have qE : V *m h = vec2 3%:R 4%:R by rewrite vec2E; congr vec2; ring.
pose g : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
have D : is_grad f (V *m h) g.
  rewrite qE; apply: (@neg_cosine_gradient _ _ _ _ _ 5%:R 1);
    rewrite ?ltr0n ?ltr01 //; by field.
exists (V^T *m g); split=> [|eta]; first exact: is_grad_linear D.
rewrite mulmxBr addrAC subrr add0r qE -scalemxAr dotNr dotZr.
by rewrite /V /g !vec2E; field.
Qed.

(** The benign non-linear case is not vacuous: a = 2, w = (3,4), a gradient that is not 0. *)
Example gain_instance (R : rcfType) :
  let f (x : 'cV[R]_2) := - cosine x (vec2 1 0) in
  let w : 'cV[R]_2 := vec2 3%:R 4%:R in
  exists g ga gw, [/\ ray_const f (2%:R *: w), is_grad f (2%:R *: w) g, g != 0,
    is_grad (fun t => f (gain_times w t)) (const_mx 2%:R) ga
    & is_grad (fun x => f (2%:R *: x)) w gw].
Proof.
move=> f w; pose g : 'cV[R]_2 := vec2 (- (8%:R / 125%:R)) (6%:R / 125%:R).
have D : is_grad f (2%:R *: w) g.
  rewrite scale_vec2; apply: (@neg_cosine_gradient _ _ _ _ _ 10%:R 1);
    rewrite ?ltr0n ?ltr01 //; by field.
have A x : (2%:R *: 1%:M) *m x = 2%:R *: x :> 'cV[R]_2 by rewrite -scalemxAl mul1mx.
have D1 : is_grad f (w *m (const_mx 2%:R : 'cV[R]_1)) g by rewrite gain_timesE.
have D2 : is_grad f ((2%:R *: 1%:M) *m w) g by rewrite A.
exists g, (w^T *m g), ((2%:R *: 1%:M)^T *m g); split=> //.
- by move=> c c0; rewrite /f cosine_scale.
- rewrite -nrm2_gt0 /g dot_vec2; have -> : - (8%:R / 125%:R) * - (8%:R / 125%:R)
    + 6%:R / 125%:R * (6%:R / 125%:R) = 4%:R / 625%:R :> R by field.
  by rewrite divr_gt0 ?ltr0n.
- exact: is_grad_linear D1.
- have D3 := is_grad_linear D2; move=> v; apply: is_deriv_ext (D3 v) => x; by rewrite A.
Qed.
