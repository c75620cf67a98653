(** * epsilon-leak: what an epsilon in the cosine does to ⟨q, ∇L⟩.

    Four ways in which an epsilon > 0 enters, with z the vector or c the number that the
    rest of the loss sees, and a = ∂L/∂z:
    (a) z = q / max(‖q‖, ε): where ‖q‖ ≥ ε, every gradient is still orthogonal to q;
        where ‖q‖ < ε, z = q/ε and ⟨q,g⟩ = ⟨z,a⟩;
    (b) c = ⟨u,q⟩ / (‖u‖‖q‖ + ε): ⟨q,∇c⟩ = c ε / (‖u‖‖q‖ + ε);
    (c) z = q / √(‖q‖² + ε): ⟨q,g⟩ = ε/(‖q‖² + ε) ⟨z,a⟩;
    (d) c = ⟨u,q⟩ / max(‖u‖‖q‖, ε): where ‖u‖‖q‖ > ε orthogonal, where ‖u‖‖q‖ < ε
        ⟨q,∇c⟩ = c, so that a short user vector makes the gradient of a long item radial.
    A floor ε on the squared norm is form (a) with the floor √ε.
    For a pulled pair (the loss falls as c rises) the extra radial step in (b) has the sign
    of c: outward for c > 0, inward for c < 0.
    Each gradient is derived from the function.  Source: derived here.
    Proof: (b), (c) by the Jacobian of q ↦ q/s(q) (Normalise.v); (a), (d) because near q the
    function coincides with a cosine or with a linear function. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Functions that agree near a point *)
Section Near.
Variables (R : rcfType) (n : nat).
Implicit Types (q v g : 'cV[R]_n).

(** [f] and [h] agree near [q]. *)
Definition agree_near (T : Type) (f h : 'cV[R]_n -> T) q : Prop :=
  exists2 d, 0 < d & forall v, ‖v‖² < d -> f (q + v) = h (q + v).

Lemma agree_near_at (T : Type) (f h : 'cV[R]_n -> T) q : agree_near f h q -> f q = h q.
Proof. by case=> d d0 H; rewrite -[q]addr0 H // dot0l. Qed.

Lemma fgrad_near (f h : 'cV[R]_n -> R) q g : agree_near f h q -> is_fgrad h q g -> is_fgrad f q g.
Proof.
move=> N; have [d d0 H] := N; apply: small_le d0 _ => v /H ->.
by rewrite (agree_near_at N).
Qed.

(** The norm is continuous: where ‖q‖ < b it stays below b near q, where ‖q‖ > b above. *)
Lemma norm_near q b : norm q != b ->
  exists2 d, 0 < d & forall v, ‖v‖² < d -> (norm (q + v) < b) = (norm q < b)
     /\ (b < norm (q + v)) = (b < norm q).
Proof.
move=> qb; have r0 : 0 < `|norm q - b| by rewrite normr_gt0 subr_eq0.
exists (`|norm q - b| ^+ 2); first exact: exprn_gt0.
move=> v; rewrite -norm_sqr => vs.
have {}vs : norm v < `|norm q - b|.
  by have := sqr_lt_norm r0 vs; rewrite ger0_norm ?norm_ge0.
have up : norm (q + v) <= norm q + norm v := norm_triangle q v.
have lo : norm q <= norm (q + v) + norm v.
  have := norm_triangle (q + v) (- v); by rewrite normN addrK.
have [h|h|e] := ltgtP (norm q) b; last by rewrite e eqxx in qb.
  have lt : norm (q + v) < b.
    apply: le_lt_trans up _; rewrite -ltr_subr_addl; apply: lt_le_trans vs _.
    by rewrite ltr0_norm ?subr_lt0 // opprB.
  by rewrite lt (lt_gtF lt).
have lt : b < norm (q + v).
  rewrite -(ltr_add2r (norm v)); apply: lt_le_trans lo.
  by rewrite -ltr_subr_addl; apply: lt_le_trans vs _; rewrite gtr0_norm ?subr_gt0.
by rewrite lt (lt_gtF lt).
Qed.

End Near.

(** ** (a) the norm is floored: q / max(‖q‖, ε) *)
Section NormFloor.
Variables (R : rcfType) (n : nat).
Implicit Types (q a g : 'cV[R]_n) (eps : R).

Definition floor_normalise eps q : 'cV[R]_n := (Num.max (norm q) eps)^-1 *: q.

(** On and above the floor every gradient is orthogonal. *)
Theorem floored_norm_orthogonal (l : 'cV[R]_n -> R) eps q g :
  0 < eps -> eps <= norm q -> is_grad (fun x => l (floor_normalise eps x)) q g ->
  ⟨q, g⟩ = 0.
Proof.
move=> e0 qe D; rewrite dotC.
(* moving outward along the ray the function is constant *)
apply/eqP/negPn/negP => ne; have n0 : 0 < `|⟨g, q⟩| by rewrite normr_gt0.
have [d d0 H] := D q _ n0; pose h := d / 2%:R.
have h0 : 0 < h by rewrite divr_gt0 ?ltr0n.
have hd : `|h| < d by rewrite gtr0_norm // ltr_pdivr_mulr ?ltr0n // ltr_pmulr // (ltr_nat R 1 2).
have := H h (lt0r_neq0 h0) hd.
have c0 : 0 < 1 + h by rewrite addr_gt0 ?ltr01.
have -> : floor_normalise eps (q + h *: q) = floor_normalise eps q.
  have -> : q + h *: q = (1 + h) *: q by rewrite scalerDl scale1r.
  rewrite /floor_normalise normZ gtr0_norm // (max_idPl qe) (max_idPl _); last first.
    apply: le_trans qe _; rewrite mulrDl mul1r ler_addl; apply: mulr_ge0 (norm_ge0 _).
    exact: ltW.
  by rewrite scalerA invfM mulrAC mulVf ?mul1r // gt_eqF.
by rewrite subrr mul0r sub0r normrN ltxx.
Qed.

(** Below the floor the map is linear, and the radial part is that of the loss itself. *)
Theorem floored_norm_leak (l : 'cV[R]_n -> R) eps q a :
  norm q < eps -> is_fgrad l (floor_normalise eps q) a ->
  is_fgrad (fun x => l (floor_normalise eps x)) q (eps^-1 *: a)
  /\ ⟨q, eps^-1 *: a⟩ = ⟨floor_normalise eps q, a⟩.
Proof.
move=> qe D; have e0 : 0 < eps := le_lt_trans (norm_ge0 q) qe.
have zE : floor_normalise eps q = eps^-1 *: q.
  by rewrite /floor_normalise (max_idPr _) // ltW.
split; last by rewrite zE dotZl dotZr.
have [d d0 H] := norm_near (negbT (lt_eqF qe)).
apply: (@fgrad_near _ _ _ (fun x => l ((eps^-1 *: 1%:M) *m x))).
  exists d => // v /H[lt _]; rewrite qe in lt; congr l.
  by rewrite /floor_normalise (max_idPr _) ?(ltW lt) // -scalemxAl mul1mx.
have A1 x : (eps^-1 *: 1%:M) *m x = eps^-1 *: x :> 'cV[R]_n by rewrite -scalemxAl mul1mx.
have DJ := jacobian_linear (eps^-1 *: 1%:M : 'M[R]_n) q.
have -> : eps^-1 *: a = (eps^-1 *: 1%:M : 'M[R]_n)^T *m a.
  by rewrite linearZ /= trmx1 -scalemxAl mul1mx.
by apply: fgrad_chain DJ _; rewrite A1 -zE.
Qed.

(** A floor on the squared norm is a floor on the norm, at the square root. *)
Theorem squared_norm_floor eps q : 0 <= eps ->
  (Num.sqrt (Num.max ‖q‖² eps))^-1 *: q = floor_normalise (Num.sqrt eps) q.
Proof.
move=> e0; rewrite /floor_normalise /norm; congr (_^-1 *: q).
have [h|h] := leP ‖q‖² eps; first by rewrite (max_idPr _) // ler_wsqrtr.
by rewrite (max_idPl _) // ler_wsqrtr // ltW.
Qed.

End NormFloor.

(** ** (b) an epsilon added to the product of the norms *)
Section AddedToProduct.
Variables (R : rcfType) (n : nat).
Implicit Types (q u : 'cV[R]_n) (eps : R).

Definition cosine_added eps q u : R := ⟨u, q⟩ / (norm u * norm q + eps).

Theorem added_epsilon_leak eps q u (D := norm u * norm q + eps) :
  0 < eps -> q != 0 ->
  exists g, is_fgrad (fun x => cosine_added eps x u) q g
    /\ ⟨q, g⟩ = cosine_added eps q u * eps / D.
Proof.
move=> e0 q0; have D0 : 0 < D by rewrite ltr_paddl // mulr_ge0 ?norm_ge0.
have nq : 0 < norm q by rewrite norm_gt0.
have Ds : is_fgrad (fun x => norm u * norm x + eps) q (norm u *: normalise q).
  have := fgradD (fgradZ (norm u) (fgrad_norm q0)) (fgrad_cst eps q).
  by rewrite addr0.
have := fgrad_chain (jacobian_divide D0 Ds) (fgrad_dot u _).
set g := _ *m u => G; exists g; split.
  by apply: fgrad_ext G => x; rewrite dotZr mulrC.
rewrite /g divide_jac_trmx_mul !dotZr dotBr !dotZr /normalise ?dotZr.
rewrite -norm_sqr /cosine_added [⟨q, u⟩]dotC.
rewrite /D in D0 *; move: ⟨u, q⟩ (norm q) (norm u) nq D0 => c nq nu nq0 D0.
by field; rewrite !gt_eqF.
Qed.

(** The extra radial step of a pulled pair (loss -c, SGD at rate eta) has the sign of c. *)
Theorem added_epsilon_sign eps eta q u :
  0 < eps -> 0 < eta -> q != 0 ->
  exists g, is_fgrad (fun x => - cosine_added eps x u) q g
    /\ Num.sg ⟨q, - eta *: g⟩ = Num.sg ⟨u, q⟩.
Proof.
move=> e0 eta0 q0; have [g [G qg]] := added_epsilon_leak u e0 q0.
exists (- g); split.
  have := fgradZ (-1) G; rewrite scaleN1r; apply: fgrad_ext => x; exact: mulN1r.
have D0 : 0 < norm u * norm q + eps by rewrite ltr_paddl // mulr_ge0 ?norm_ge0.
rewrite scalerN scaleNr opprK dotZr qg /cosine_added.
set D := norm u * norm q + eps in D0 *; set c := ⟨u, q⟩.
have -> : eta * (c / D * eps / D) = c * (eta * eps / D ^+ 2).
  by field; rewrite gt_eqF.
by rewrite sgrM [X in _ * X]gtr0_sg ?mulr1 // divr_gt0 ?exprn_gt0 // mulr_gt0.
Qed.

End AddedToProduct.

(** ** (c) an epsilon under the square root *)
Section UnderRoot.
Variables (R : rcfType) (n : nat).
Implicit Types (q a : 'cV[R]_n) (eps : R).

Definition root_norm eps q : R := Num.sqrt (‖q‖² + eps).
Definition root_normalise eps q : 'cV[R]_n := (root_norm eps q)^-1 *: q.

Lemma root_norm_sqr eps q : 0 < eps -> root_norm eps q ^+ 2 = ‖q‖² + eps.
Proof. by move=> e0; rewrite sqr_sqrtr // addr_ge0 ?nrm2_ge0 // ltW. Qed.

Lemma root_norm_gt0 eps q : 0 < eps -> 0 < root_norm eps q.
Proof. by move=> e0; rewrite sqrtr_gt0 ltr_paddl ?nrm2_ge0. Qed.

Lemma fgrad_root_norm eps q : 0 < eps ->
  is_fgrad (root_norm eps) q ((root_norm eps q)^-1 *: q).
Proof.
move=> e0; have q0 := root_norm_gt0 q e0; set N := root_norm eps q in q0 *.
have C0 : 0 <= (4%:R * N ^+ 2)^-1 by rewrite invr_ge0 mulr_ge0 ?ler0n ?sqr_ge0.
apply: small_le ltr01 _ (@small_quad _ n _ C0) => v _ /=.
have M0 := root_norm_gt0 (q + v) e0; set M := root_norm eps (q + v) in M0 *.
have ME : M ^+ 2 = N ^+ 2 + 2%:R * ⟨q, v⟩ + ‖v‖².
  by rewrite !root_norm_sqr // nrm2D mulr_natl addrAC; congr (_ + _); rewrite addrAC.
have E : M - N - ⟨N^-1 *: q, v⟩ = (‖v‖² - (M - N) ^+ 2) / (2%:R * N).
  rewrite dotZl; have -> : ‖v‖² = M ^+ 2 - N ^+ 2 - 2%:R * ⟨q, v⟩ by rewrite ME; ring.
  by field; rewrite gt_eqF.
have lo : (M - N) ^+ 2 <= ‖v‖².
  have cs : (‖q‖² + ⟨q, v⟩ + eps) <= M * N.
    have [h|h] := ltP (‖q‖² + ⟨q, v⟩ + eps) 0.
      by apply: ltW (lt_le_trans h _); apply: ltW; apply: mulr_gt0.
    rewrite -(@ler_pexpn2r _ 2) ?nnegrE ?(ltW (mulr_gt0 M0 q0)) //.
    rewrite exprMn ME !root_norm_sqr //.
    have := cauchy_schwarz q v; set A := ‖q‖²; set B := ⟨q, v⟩; set C := ‖v‖² => csv.
    rewrite -subr_ge0.
    have -> : (A + eps + 2%:R * B + C) * (A + eps) - (A + B + eps) ^+ 2
            = (A * C - B ^+ 2) + eps * C by ring.
    by rewrite addr_ge0 ?subr_ge0 // mulr_ge0 ?nrm2_ge0 // ltW.
  rewrite -subr_ge0; have -> : ‖v‖² - (M - N) ^+ 2
     = (M * N - (‖q‖² + ⟨q, v⟩ + eps)) *+ 2.
    have -> : ‖q‖² = N ^+ 2 - eps by rewrite root_norm_sqr // addrK.
    have -> : ‖v‖² = M ^+ 2 - N ^+ 2 - 2%:R * ⟨q, v⟩ by rewrite ME; ring.
    by rewrite mulr2n; ring.
  by rewrite mulrn_wge0 // subr_ge0.
rewrite E expr_div_n.
have -> : (2%:R * N) ^+ 2 = 4%:R * N ^+ 2 by ring.
rewrite mulrC; apply: ler_wpmul2l => //.
rewrite ler_pexpn2r ?nnegrE ?nrm2_ge0 ?subr_ge0 //.
by rewrite ler_subl_addr ler_addl sqr_ge0.
Qed.

Theorem root_epsilon_leak (l : 'cV[R]_n -> R) eps q a :
  0 < eps -> is_fgrad l (root_normalise eps q) a ->
  exists g, is_fgrad (fun x => l (root_normalise eps x)) q g
    /\ ⟨q, g⟩ = eps / (‖q‖² + eps) * ⟨root_normalise eps q, a⟩.
Proof.
move=> e0 Dl; have N0 := root_norm_gt0 q e0.
have := fgrad_chain (jacobian_divide N0 (fgrad_root_norm q e0)) Dl.
set g := _ *m a => G; exists g; split; first exact: G.
rewrite /g divide_jac_trmx_mul !dotZr dotBr !dotZr /root_normalise dotZl.
rewrite -(root_norm_sqr q e0).
have qE : ‖q‖² = root_norm eps q ^+ 2 - eps by rewrite root_norm_sqr // addrK.
rewrite qE; move: (root_norm eps q) ⟨q, a⟩ N0 => N c N0.
by field; rewrite gt_eqF.
Qed.

End UnderRoot.

(** ** (d) the product of the norms is floored *)
Section ProductFloor.
Variables (R : rcfType) (n : nat).
Implicit Types (q u g : 'cV[R]_n) (eps : R).

Definition cosine_floored eps q u : R := ⟨u, q⟩ / Num.max (norm u * norm q) eps.

(** Below the floor: linear in q, whatever the length of q. *)
Theorem floored_product_leak eps q u : u != 0 -> norm u * norm q < eps ->
  is_fgrad (fun x => cosine_floored eps x u) q (eps^-1 *: u)
  /\ ⟨q, eps^-1 *: u⟩ = cosine_floored eps q u.
Proof.
rewrite -norm_gt0 => u0 lt; split; last first.
  by rewrite /cosine_floored (max_idPr (ltW lt)) dotZr dotC mulrC.
have lt' : norm q < eps / norm u by rewrite ltr_pdivl_mulr // mulrC.
have [d d0 H] := norm_near (negbT (lt_eqF lt')).
apply: fgrad_near (fgrad_dot (eps^-1 *: u) q); exists d => // v /H[h _].
have {}h : norm u * norm (q + v) < eps by rewrite mulrC -ltr_pdivl_mulr // h.
by rewrite /cosine_floored (max_idPr (ltW h)) dotZl mulrC.
Qed.

(** Above the floor: the cosine itself. *)
Theorem floored_product_orthogonal eps q u g : 0 < eps -> eps < norm u * norm q ->
  is_grad (fun x => cosine_floored eps x u) q g -> ⟨q, g⟩ = 0.
Proof.
move=> e0 gt D; have p0 : 0 < norm u * norm q := lt_trans e0 gt.
have u0 : 0 < norm u.
  rewrite lt_def norm_ge0 andbT; apply/eqP => uz; by rewrite uz mul0r ltxx in p0.
have q0 : 0 < norm q.
  rewrite lt_def norm_ge0 andbT; apply/eqP => qz; by rewrite qz mulr0 ltxx in p0.
have gt' : eps / norm u < norm q by rewrite ltr_pdivr_mulr // mulrC.
have [d d0 H] := norm_near (negbT (gt_eqF gt')).
have Dc : is_fgrad (fun x => cosine_floored eps x u) q (cos_grad q u (norm q) (norm u)).
  have q1 : q != 0 by rewrite -norm_gt0.
  have u1 : u != 0 by rewrite -norm_gt0.
  apply: fgrad_near (cosine_fgrad q1 u1); exists d => // v /H[_ h].
  have {}h : eps < norm u * norm (q + v) by rewrite mulrC -ltr_pdivr_mulr // h.
  by rewrite /cosine_floored (max_idPl (ltW h)) /cosine dotC [_ * norm u]mulrC.
rewrite (is_grad_uniq D (fgrad_grad Dc)); apply: cos_grad_tangential.
- by rewrite gt_eqF. - by rewrite gt_eqF. - exact: norm_sqr.
Qed.

End ProductFloor.

(** ** The four leaks in numbers, each with its gradient derived from the loss *)
Section Witnesses.
Variable R : rcfType.
Let e1 : 'cV[R]_2 := vec2 1 0.

(** (a) q = (3,4)/50, eps = 1, loss -⟨e1,z⟩: -3/50. *)
Theorem floored_norm_witness :
  let q : 'cV[R]_2 := vec2 (3%:R / 50%:R) (4%:R / 50%:R) in
  exists g, is_fgrad (fun x => ⟨- e1, floor_normalise 1 x⟩) q g
    /\ ⟨q, g⟩ = - (3%:R / 50%:R).
Proof.
move=> q; have nq : norm q = 1 / 10%:R.
  by apply: normE; [rewrite divr_ge0 ?ler0n ?ler01 | rewrite dot_vec2; field].
have lt1 : norm q < 1 by rewrite nq ltr_pdivr_mulr ?ltr0n // mul1r (ltr_nat R 1 10).
have [D E] := floored_norm_leak lt1 (fgrad_dot (- e1) (floor_normalise 1 q)).
exists (1^-1 *: - e1); split=> //.
by rewrite invr1 scale1r /q /e1 !vec2E; ring.
Qed.

(** (b) q = (3,4), u = e1, eps = 5: 3/20. *)
Theorem added_epsilon_witness :
  let q : 'cV[R]_2 := vec2 3%:R 4%:R in
  exists g, is_fgrad (fun x => cosine_added 5%:R x e1) q g /\ ⟨q, g⟩ = 3%:R / 20%:R.
Proof.
move=> q; have nq : norm q = 5%:R by apply: normE; rewrite ?ler0n // dot_vec2; ring.
have nu : norm e1 = 1 by apply: normE; rewrite ?ler01 // dot_vec2; ring.
have q0 : q != 0 by rewrite -norm_gt0 nq ltr0n.
have e5 : 0 < 5%:R :> R by rewrite ltr0n.
have [g [D E]] := added_epsilon_leak e1 e5 q0; exists g; split=> //.
by rewrite E /cosine_added nq nu /q /e1 dot_vec2; field.
Qed.

(** (c) q = (3,4), eps = 119 (so that the root is 12), loss -⟨e1,z⟩: -119/576. *)
Theorem root_epsilon_witness :
  let q : 'cV[R]_2 := vec2 3%:R 4%:R in
  exists g, is_fgrad (fun x => ⟨- e1, root_normalise 119%:R x⟩) q g
    /\ ⟨q, g⟩ = - (119%:R / 576%:R).
Proof.
move=> q; have e0 : 0 < 119%:R :> R by rewrite ltr0n.
have [g [D E]] := root_epsilon_leak e0 (fgrad_dot (- e1) (root_normalise 119%:R q)).
exists g; split=> //; rewrite E.
have nq : root_norm 119%:R q = 12%:R.
  rewrite /root_norm dot_vec2.
  have -> : 3%:R * 3%:R + 4%:R * 4%:R + 119%:R = 12%:R ^+ 2 :> R by ring.
  by rewrite sqrtr_sqr ger0_norm ?ler0n.
by rewrite /root_normalise nq /q /e1 !vec2E; field.
Qed.

(** (d) a short user vector, u = (1/100, 0), eps = 1, against the long item q = (3,4):
    the gradient of the score has the radial part 3/100. *)
Theorem floored_product_witness :
  let q : 'cV[R]_2 := vec2 3%:R 4%:R in let u : 'cV[R]_2 := vec2 (1 / 100%:R) 0 in
  exists g, is_fgrad (fun x => cosine_floored 1 x u) q g /\ ⟨q, g⟩ = 3%:R / 100%:R.
Proof.
move=> q u; have nq : norm q = 5%:R by apply: normE; rewrite ?ler0n // dot_vec2; ring.
have nu : norm u = 1 / 100%:R.
  by apply: normE; [rewrite divr_ge0 ?ler0n ?ler01 | rewrite dot_vec2; field].
have u0 : u != 0 by rewrite -norm_gt0 nu divr_gt0 ?ltr0n ?ltr01.
have lt1 : norm u * norm q < 1.
  by rewrite nq nu mulrAC mul1r ltr_pdivr_mulr ?ltr0n // mul1r (ltr_nat R 5 100).
have [D E] := floored_product_leak u0 lt1; exists (1^-1 *: u); split=> //.
by rewrite invr1 scale1r /q /u dot_vec2; field.
Qed.

(** The floor leaves the gradient alone where it is not reached: q = (3,4), eps = 1. *)
Example floored_norm_instance :
  1 <= norm (vec2 3%:R 4%:R : 'cV[R]_2).
Proof.
have -> : norm (vec2 3%:R 4%:R : 'cV[R]_2) = 5%:R by apply: normE; rewrite ?ler0n // dot_vec2; ring.
by rewrite (ler_nat R 1 5).
Qed.

(** Above the product floor a gradient exists, so the hypotheses hold together. *)
Example floored_product_instance :
  let q : 'cV[R]_2 := vec2 3%:R 4%:R in
  (1 : R) < norm e1 * norm q /\ ⟨q, cos_grad q e1 5%:R 1⟩ = 0.
Proof.
move=> q; have nq : norm q = 5%:R by apply: normE; rewrite ?ler0n // dot_vec2; ring.
have nu : norm e1 = 1 by apply: normE; rewrite ?ler01 // dot_vec2; ring.
rewrite nq nu mul1r (ltr_nat R 1 5); split=> //.
by rewrite cos_grad_vec2 dot_vec2; field.
Qed.

End Witnesses.
