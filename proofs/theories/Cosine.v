(** * Cosine: scale-invariant functions, the norm, the cosine and its gradient.

    Foundation for every claim about cosine-based losses.
    - [ray_const f q]: f is constant along the open ray through q;
      [homog0 f]: f is positively homogeneous of degree 0 away from the origin.
    - Euler: a derivative of such an f in the direction of q is zero, and
      grad f (c q) = (1/c) grad f (q) for c > 0.
    - [norm], [cosine] (a square root is needed, hence a real closed field), and
          grad_q cos(q,p) = (p/‖p‖ - cos(q,p) q/‖q‖) / ‖q‖,
      derived from the epsilon-delta definition of the derivative.
    Proof of the gradient: the difference quotient of the cosine is written as a function
    of h that is continuous at 0 (Carathéodory's criterion), using
    ‖q+hv‖ - ‖q‖ = (‖q+hv‖² - ‖q‖²) / (‖q+hv‖ + ‖q‖).  No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** [f] is constant along the open ray through [q]. *)
Definition ray_const (R : realFieldType) (E : lmodType R) (f : E -> R) (q : E) :=
  forall c, 0 < c -> f (c *: q) = f q.

(** [f] is positively homogeneous of degree 0 away from the origin. *)
Definition homog0 (R : realFieldType) (E : lmodType R) (f : E -> R) :=
  forall q, q != 0 -> ray_const f q.

Section Euler.
Variables (R : realFieldType) (E : lmodType R).
Implicit Types (f : E -> R) (q v : E).

(** The radial derivative exists and is zero; nothing else is assumed of [f]. *)
Lemma radial_deriv f q : ray_const f q -> is_deriv f q q 0.
Proof.
move=> fq eps eps_gt0; exists 1 => // h _ h_lt1.
have -> : q + h *: q = (1 + h) *: q by rewrite scalerDl scale1r.
rewrite fq ?subrr ?mul0r ?subrr ?normr0 //.
by move: h_lt1; rewrite ltr_norml => /andP[h_gt _]; rewrite -(ltr_add2l (-1)) addr0 addKr.
Qed.

Lemma euler_deriv f q l : ray_const f q -> is_deriv f q q l -> l = 0.
Proof. by move=> /radial_deriv d0 dl; apply: is_deriv_uniq dl d0. Qed.

(** Scaling the point by c divides every directional derivative by c. *)
Lemma deriv_scale f q v l c :
  homog0 f -> 0 < c -> is_deriv f q v l -> is_deriv f (c *: q) v (c^-1 * l).
Proof.
move=> fH c_gt0 d eps eps_gt0.
have c0 : c != 0 by rewrite gt_eqF.
have hom x : f (c *: x) = f x.
  by have [->|x0] := eqVneq x 0; [rewrite scaler0 | apply: fH].
have [del del_gt0 H] := d (c * eps) (mulr_gt0 c_gt0 eps_gt0).
exists (c * del) => [|h h0 h_lt]; first exact: mulr_gt0.
have hc0 : h / c != 0 by rewrite mulf_neq0 ?invr_eq0.
have := H _ hc0; rewrite normrM normfV (gtr0_norm c_gt0) ltr_pdivr_mulr // mulrC.
move=> /(_ h_lt).
have -> : c *: q + h *: v = c *: (q + (h / c) *: v).
  by rewrite scalerDr scalerA mulrCA divff // mulr1.
rewrite !hom => lt; rewrite -(ltr_pmul2l c_gt0) -{1}(gtr0_norm c_gt0) -normrM.
congr (`|_| < _): lt; field.
by rewrite h0 c0.
Qed.

End Euler.

Section EulerGrad.
Variables (R : realFieldType) (n : nat).
Implicit Types (f : 'cV[R]_n -> R) (q g : 'cV[R]_n).

(** The gradient is orthogonal to the embedding. *)
Lemma euler_grad_orth f q g : ray_const f q -> is_grad f q g -> ⟨q, g⟩ = 0.
Proof. by move=> fq dg; rewrite dotC; apply: euler_deriv fq (dg q). Qed.

(** grad f (c q) = (1/c) grad f (q). *)
Lemma grad_scale f q g c :
  homog0 f -> 0 < c -> is_grad f q g -> is_grad f (c *: q) (c^-1 *: g).
Proof. by move=> fH c_gt0 dg v; rewrite dotZl; apply: deriv_scale. Qed.

End EulerGrad.

(** ** The norm and the cosine.  A square root is needed, hence a real closed field. *)
Section Cosine.
Variables (R : rcfType) (n : nat).
Implicit Types (q p : 'cV[R]_n).

Definition norm q : R := Num.sqrt ‖q‖².

Lemma norm_ge0 q : 0 <= norm q. Proof. exact: sqrtr_ge0. Qed.
Lemma norm_sqr q : norm q ^+ 2 = ‖q‖². Proof. by rewrite sqr_sqrtr ?nrm2_ge0. Qed.
Lemma norm_gt0 q : (0 < norm q) = (q != 0). Proof. by rewrite sqrtr_gt0 nrm2_gt0. Qed.
Lemma norm_eq0 q : (norm q == 0) = (q == 0).
Proof. by rewrite -sqrf_eq0 norm_sqr nrm2_eq0. Qed.

(** A rational norm is recognised by its square: ‖(3,4)‖ = 5. *)
Lemma normE q a : 0 <= a -> ‖q‖² = a ^+ 2 -> norm q = a.
Proof. by move=> a0 qa; rewrite /norm qa sqrtr_sqr ger0_norm. Qed.

Lemma normZ c q : norm (c *: q) = `|c| * norm q.
Proof. by rewrite /norm nrm2Z sqrtrM ?sqr_ge0 // sqrtr_sqr. Qed.

Definition cosine q p : R := ⟨q, p⟩ / (norm q * norm p).

Lemma cosineC q p : cosine q p = cosine p q.
Proof. by rewrite /cosine dotC [norm q * _]mulrC. Qed.

Lemma cosine_scale q p c : 0 < c -> cosine (c *: q) p = cosine q p.
Proof.
move=> c_gt0; have c0 : c != 0 by rewrite gt_eqF.
rewrite /cosine normZ dotZl gtr0_norm //.
by rewrite -[X in _ / X]mulrA -mulf_div divff // mul1r.
Qed.

(** Any function of the cosines to fixed vectors [p j] is homogeneous of degree 0. *)
Lemma cos_loss_homog0 k (L : 'cV[R]_k -> R) (p : 'I_k -> 'cV[R]_n) :
  homog0 (fun q => L (\col_j cosine q (p j))).
Proof.
move=> q _ c c_gt0 /=; congr L; apply/colP => j; rewrite !mxE.
exact: cosine_scale.
Qed.

(** The same without naming the [p j]: whatever only sees cosines is homogeneous. *)
Lemma cos_invariant_homog0 (f : 'cV[R]_n -> R) :
  (forall q q', (forall p, cosine q p = cosine q' p) -> f q = f q') -> homog0 f.
Proof. by move=> fcos q _ c c_gt0; apply: fcos => p; apply: cosine_scale. Qed.

End Cosine.

(** Closed form, with the norms [nq], [np] given (so that witnesses can stay rational). *)
Definition cos_grad (R : realFieldType) (n : nat) (q p : 'cV[R]_n) (nq np : R) :=
  nq^-1 *: (np^-1 *: p - (⟨q, p⟩ / (nq * np) / nq) *: q).

Lemma cos_grad_tangential (R : realFieldType) n (q p : 'cV[R]_n) (nq np : R) :
  nq != 0 -> np != 0 -> nq ^+ 2 = ‖q‖² -> ⟨q, cos_grad q p nq np⟩ = 0.
Proof.
move=> nq0 np0 nqE; rewrite /cos_grad dotZr dotBr !dotZr -nqE; field.
by rewrite nq0 np0.
Qed.

(** ** Continuity at 0 of functions of one variable, and Carathéodory's criterion. *)
Section Cont0.
Variable R : realFieldType.
Implicit Types (phi psi : R -> R).

Definition cont0 phi := forall eps, 0 < eps ->
  exists2 del, 0 < del & forall h, `|h| < del -> `|phi h - phi 0| < eps.

Lemma cont0_cst c : cont0 (fun _ => c).
Proof. by move=> e e0; exists 1 => // h _; rewrite subrr normr0. Qed.

Lemma cont0_id : cont0 (fun h => h).
Proof. by move=> e e0; exists e => // h; rewrite subr0. Qed.

Lemma cont0_near2 phi psi e1 e2 : cont0 phi -> cont0 psi -> 0 < e1 -> 0 < e2 ->
  exists2 del, 0 < del & forall h, `|h| < del ->
    `|phi h - phi 0| < e1 /\ `|psi h - psi 0| < e2.
Proof.
move=> c1 c2 /c1[d1 d1_gt0 H1] /c2[d2 d2_gt0 H2].
exists (Num.min d1 d2) => [|h]; first by rewrite lt_minr d1_gt0.
by rewrite lt_minr => /andP[/H1 ? /H2 ?].
Qed.

Lemma cont0D phi psi : cont0 phi -> cont0 psi -> cont0 (fun h => phi h + psi h).
Proof.
move=> c1 c2 e e0; have e2 : 0 < e / 2%:R by rewrite divr_gt0 ?ltr0n.
have [d d0 H] := cont0_near2 c1 c2 e2 e2; exists d => // h /H[A B].
have -> : phi h + psi h - (phi 0 + psi 0) = (phi h - phi 0) + (psi h - psi 0) by ring.
by apply: le_lt_trans (ler_norm_add _ _) _; rewrite [e]splitr ltr_add.
Qed.

Lemma cont0M phi psi : cont0 phi -> cont0 psi -> cont0 (fun h => phi h * psi h).
Proof.
move=> c1 c2 e e0.
pose M := 1 + `|phi 0| + `|psi 0|.
have M1 : 1 <= M by rewrite /M -addrA ler_addl addr_ge0.
have M0 : 0 < M by apply: lt_le_trans M1; rewrite ltr01.
pose k := Num.min 1 (e / (M *+ 2)).
have k0 : 0 < k by rewrite lt_minr ltr01 divr_gt0 // pmulrn_lgt0.
have k1 : k <= 1 by rewrite le_minl lexx.
have ke : k * (M *+ 2) <= e.
  by rewrite -ler_pdivl_mulr ?pmulrn_lgt0 // le_minl lexx orbT.
have [d d0 H] := cont0_near2 c1 c2 k0 k0; exists d => // h /H[A B].
have -> : phi h * psi h - phi 0 * psi 0 =
  (phi h - phi 0) * (psi h - psi 0) + (phi h - phi 0) * psi 0
  + phi 0 * (psi h - psi 0) by ring.
apply: le_lt_trans (ler_norm_add _ _) _.
apply: le_lt_trans (ler_add (ler_norm_add _ _) (lexx _)) _.
rewrite !normrM; apply: lt_le_trans ke.
have t1 : `|phi h - phi 0| * `|psi h - psi 0| <= k * 1.
  by apply: ler_pmul => //; [apply: ltW | apply: le_trans (ltW B) k1].
have t2 : `|phi h - phi 0| * `|psi 0| <= k * `|psi 0|.
  by apply: ler_wpmul2r => //; apply: ltW.
have t3 : `|phi 0| * `|psi h - psi 0| <= k * `|phi 0|.
  by rewrite mulrC; apply: ler_wpmul2r => //; apply: ltW.
apply: le_lt_trans (ler_add (ler_add t1 t2) t3) _.
have -> : k * 1 + k * `|psi 0| + k * `|phi 0| = k * M by rewrite /M; ring.
by rewrite ltr_pmul2l // mulr2n ltr_addl.
Qed.

Lemma cont0V phi : cont0 phi -> phi 0 != 0 -> cont0 (fun h => (phi h)^-1).
Proof.
move=> c p0 e e0; have a0 : 0 < `|phi 0| by rewrite normr_gt0.
have a2 : 0 < `|phi 0| / 2%:R by rewrite divr_gt0 ?ltr0n.
have k0 : 0 < e * (`|phi 0| * (`|phi 0| / 2%:R)) by apply: mulr_gt0 e0 _; apply: mulr_gt0 a0 a2.
have [d d0 H] := cont0_near2 c c a2 k0; exists d => // h /H[A B].
have big : `|phi 0| / 2%:R < `|phi h|.
  have T : `|phi 0| <= `|phi h| + `|phi h - phi 0|.
    have {1}-> : phi 0 = phi h - (phi h - phi 0) by ring.
    exact: ler_norm_sub.
  rewrite -(ltr_add2r (`|phi 0| / 2%:R)) -splitr.
  by apply: le_lt_trans T _; rewrite ltr_add2l.
have ph0 : phi h != 0 by rewrite -normr_gt0; apply: lt_trans big.
have -> : (phi h)^-1 - (phi 0)^-1 = - (phi h - phi 0) / (phi 0 * phi h).
  by field; rewrite p0 ph0.
rewrite normrM normfV normrN normrM ltr_pdivr_mulr; last by rewrite mulr_gt0 // normr_gt0.
apply: lt_trans B _; rewrite ltr_pmul2l // ltr_pmul2l //.
Qed.

End Cont0.

Lemma is_deriv_cara (R : realFieldType) (E : lmodType R) (f : E -> R) q v (phi : R -> R) :
  cont0 phi ->
  (exists2 r, 0 < r & forall h, `|h| < r -> f (q + h *: v) - f q = h * phi h) ->
  is_deriv f q v (phi 0).
Proof.
move=> c [r r0 fE] e /c[d d0 H]; exists (Num.min r d); first by rewrite lt_minr r0.
move=> h h0; rewrite lt_minr => /andP[/fE -> /H].
by rewrite mulrAC divff // mul1r.
Qed.

(** ** The gradient of the cosine. *)
Section CosGrad.
Variables (R : rcfType) (n : nat).
Implicit Types (q p v : 'cV[R]_n).

Lemma cont0_norm q v : q != 0 -> cont0 (fun h => norm (q + h *: v)).
Proof.
rewrite -norm_gt0 => q0 e e0.
have c : cont0 (fun h => ‖q + h *: v‖²).
  move=> e' e'0.
  have c' : cont0 (fun h => ‖q‖² + (h * (2%:R * ⟨q, v⟩) + h * (h * ‖v‖²))).
    apply: cont0D (@cont0_cst _ _) _; apply: cont0D.
      exact: cont0M (@cont0_id _) (@cont0_cst _ _).
    exact: cont0M (@cont0_id _) (cont0M (@cont0_id _) (@cont0_cst _ _)).
  have [d d0 H] := c' _ e'0; exists d => // h /H.
  rewrite !(nrm2D, nrm2Z, dotZr) !mulr2n.
  set a := _ - _; set b := _ - _; suff -> : a = b by [].
  by rewrite /a /b; ring.
have [d d0 H] := c _ (mulr_gt0 e0 q0); exists d => // h /H.
rewrite scale0r addr0 -!norm_sqr subr_sqr normrM => lt.
rewrite -(ltr_pmul2r q0); apply: le_lt_trans lt.
apply: ler_wpmul2l => //; rewrite ger0_norm ?addr_ge0 ?norm_ge0 //.
by rewrite ler_addr norm_ge0.
Qed.

Theorem cosine_gradient q p : q != 0 -> p != 0 ->
  is_grad (fun q => cosine q p) q (cos_grad q p (norm q) (norm p)).
Proof.
move=> q0 p0 v.
have nq : 0 < norm q by rewrite norm_gt0.
have np : 0 < norm p by rewrite norm_gt0.
pose N h := norm (q + h *: v).
have N0 : N 0 = norm q by rewrite /N scale0r addr0.
pose A := ⟨q, v⟩; pose B := ‖v‖²; pose C := ⟨q, p⟩; pose D := ⟨v, p⟩.
pose phi h := (D * (N h)^-1
  + - C * ((2%:R * A + h * B) * (N h * (norm q * (N h + norm q)))^-1)) * (norm p)^-1.
have cN : cont0 N by apply: cont0_norm.
have cc c : cont0 (fun _ : R => c) by apply: cont0_cst.
have cphi : cont0 phi.
  apply: cont0M (cc _); apply: cont0D.
    by apply: cont0M (cc _) (cont0V cN _); rewrite N0 gt_eqF.
  apply: cont0M (cc _) _; apply: cont0M.
    exact: cont0D (cc _) (cont0M (@cont0_id _) (cc _)).
  apply: cont0V; first exact: cont0M cN (cont0M (cc _) (cont0D cN (cc _))).
  by rewrite N0 gt_eqF // !mulr_gt0 ?addr_gt0.
suff -> : ⟨cos_grad q p (norm q) (norm p), v⟩ = phi 0.
  apply: is_deriv_cara cphi _.
  have [r r0 H] := cN _ nq; exists r => // h /H; rewrite N0 => close.
  have Nh : 0 < N h.
    by move: close; rewrite ltr_norml => /andP[]; rewrite ltr_subr_addl subrr.
  have NE : h * (2%:R * A + h * B) = N h ^+ 2 - norm q ^+ 2.
    by rewrite !norm_sqr !(nrm2D, nrm2Z, dotZr) mulr2n /A /B; ring.
  have -> : h * phi h = (h * D * (N h)^-1
      - C * ((h * (2%:R * A + h * B)) * (N h * (norm q * (N h + norm q)))^-1))
      * (norm p)^-1 by rewrite /phi; ring.
  rewrite NE /cosine -/(N h).
  rewrite dotDl dotZl -/C -/D; field.
  by rewrite !gt_eqF ?addr_gt0.
rewrite /cos_grad /phi N0 dotZl dotBl !dotZl mul0r addr0 [⟨p, v⟩]dotC -/A -/C -/D.
field; rewrite !gt_eqF ?addr_gt0 //.
Qed.

(** The cosine gradient is orthogonal to q: the Euler identity, by direct computation. *)
Lemma cos_grad_orth q p : q != 0 -> p != 0 ->
  ⟨q, cos_grad q p (norm q) (norm p)⟩ = 0.
Proof.
by move=> q0 p0; apply: cos_grad_tangential; rewrite ?norm_sqr // gt_eqF // norm_gt0.
Qed.

End CosGrad.

(** With rational norms, for the witnesses: the closed form with the norms written in. *)
Lemma cosine_gradientE (R : rcfType) n (q p : 'cV[R]_n) (nq np : R) :
  0 < nq -> 0 < np -> ‖q‖² = nq ^+ 2 -> ‖p‖² = np ^+ 2 ->
  is_grad (fun q => cosine q p) q (cos_grad q p nq np).
Proof.
move=> nq0 np0 qE pE.
have q0 : q != 0 by rewrite -nrm2_gt0 qE exprn_gt0.
have p0 : p != 0 by rewrite -nrm2_gt0 pE exprn_gt0.
have := cosine_gradient q0 p0.
by rewrite (normE (ltW nq0) qE) (normE (ltW np0) pE).
Qed.

(** Explicit witnesses in the plane (for pulled pairs, loss -cos). *)
Lemma cos_grad_vec2 (R : realFieldType) (a b c d nq np : R) :
  cos_grad (vec2 a b) (vec2 c d) nq np =
  vec2 ((c / np - (a * c + b * d) / (nq * np) / nq * a) / nq)
       ((d / np - (a * c + b * d) / (nq * np) / nq * b) / nq).
Proof.
rewrite /cos_grad dot_vec2 !scale_vec2 opp_vec2 add_vec2 scale_vec2.
by congr vec2; rewrite mulrC; congr (_ * _); congr (_ - _); rewrite mulrC.
Qed.
