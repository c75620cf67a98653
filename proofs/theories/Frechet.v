(** * Frechet: total derivatives, without square roots.

    [is_fgrad f q g]: g is the total (Fréchet) gradient of f at q, that is
    f(q+v) - f(q) - ⟨g,v⟩ = o(‖v‖).  It is written with squares,
        (f(q+v) - f(q) - ⟨g,v⟩)² ≤ eps ‖v‖²   for all ‖v‖² < delta,
    which says the same because eps is arbitrary, and needs no square root.
    [is_jacobian F q J] says the same of a vector-valued map.
    Every total gradient is a gradient in the sense of Deriv.v ([fgrad_grad]);
    total derivatives obey the chain rule ([fgrad_chain], [jacobian_comp]).
    Standard calculus, proved here for every dimension without axioms. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** The squared remainder [r] is o(‖v‖²) as v tends to 0. *)
Definition small (R : realFieldType) n (r : 'cV[R]_n -> R) : Prop :=
  forall eps, 0 < eps -> exists2 delta, 0 < delta &
    forall v, ‖v‖² < delta -> r v <= eps * ‖v‖².

Definition is_fgrad (R : realFieldType) n (f : 'cV[R]_n -> R) (q g : 'cV[R]_n) : Prop :=
  small (fun v => (f (q + v) - f q - ⟨g, v⟩) ^+ 2).

Definition is_jacobian (R : realFieldType) n m (F : 'cV[R]_n -> 'cV[R]_m) (q : 'cV[R]_n)
    (J : 'M[R]_(m, n)) : Prop :=
  small (fun v => ‖F (q + v) - F q - J *m v‖²).

Section Small.
Variables (R : realFieldType) (n : nat).
Implicit Types (r s : 'cV[R]_n -> R).

Lemma small0 : small (fun _ : 'cV[R]_n => 0).
Proof. by move=> e e0; exists 1 => // v _; rewrite mulr_ge0 ?nrm2_ge0 // ltW. Qed.

Lemma smallD r s : small r -> small s -> small (fun v => r v + s v).
Proof.
move=> sr ss e e0; have e2 : 0 < e / 2%:R by rewrite divr_gt0 ?ltr0n.
have [d d0 H] := sr _ e2; have [d' d'0 H'] := ss _ e2.
exists (Num.min d d') => [|v]; first by rewrite lt_minr d0.
rewrite lt_minr => /andP[/H A /H' B].
by rewrite [e]splitr mulrDl ler_add.
Qed.

Lemma smallZ c r : 0 <= c -> small r -> small (fun v => c * r v).
Proof.
move=> c0 sr e e0; have c1 : 0 < c + 1 by rewrite ltr_paddl.
have [d d0 H] := sr _ (divr_gt0 e0 c1); exists d => // v /H A.
have h : c * r v <= c * (e / (c + 1) * ‖v‖²) by rewrite ler_wpmul2l.
apply: le_trans h _; rewrite mulrA; apply: ler_wpmul2r (nrm2_ge0 _) _ _ _.
by rewrite mulrCA ger_pmulr // ler_pdivr_mulr // mul1r ler_addl ler01.
Qed.

(** Domination near 0. *)
Lemma small_le r s d : 0 < d -> (forall v, ‖v‖² < d -> r v <= s v) -> small s -> small r.
Proof.
move=> d0 rs ss e e0; have [d' d'0 H] := ss _ e0.
exists (Num.min d d') => [|v]; first by rewrite lt_minr d0.
by rewrite lt_minr => /andP[/rs A /H B]; apply: le_trans A B.
Qed.

(** A remainder that is quadratic in ‖v‖² is small. *)
Lemma small_quad C : 0 <= C -> small (fun v : 'cV[R]_n => C * ‖v‖² ^+ 2).
Proof.
move=> C0 e e0; have C1 : 0 < C + 1 by rewrite ltr_paddl.
exists (e / (C + 1)); first exact: divr_gt0.
move=> v /ltW; rewrite ler_pdivl_mulr // => h.
rewrite expr2 mulrA; apply: ler_wpmul2r (nrm2_ge0 _) _ _ _.
apply: le_trans h; rewrite mulrC ler_wpmul2l ?nrm2_ge0 //.
by rewrite ler_addl ler01.
Qed.

(** Substitution of a map whose length is at most a multiple of ‖v‖ near 0. *)
Lemma small_comp m (r : 'cV[R]_m -> R) (w : 'cV[R]_n -> 'cV[R]_m) (C d : R) :
  0 < C -> 0 < d -> (forall v, ‖v‖² < d -> ‖w v‖² <= C * ‖v‖²) ->
  small r -> small (fun v => r (w v)).
Proof.
move=> C0 d0 wC sr e e0; have [d' d'0 H] := sr _ (divr_gt0 e0 C0).
exists (Num.min d (d' / C)) => [|v]; first by rewrite lt_minr d0 divr_gt0.
rewrite lt_minr => /andP[/wC A B].
have B' : ‖w v‖² < d' by apply: le_lt_trans A _; rewrite mulrC -ltr_pdivl_mulr.
apply: le_trans (H _ B') _.
apply: (le_trans (y := e / C * (C * ‖v‖²))).
  by apply: ler_wpmul2l A; apply: ltW (divr_gt0 e0 C0).
by rewrite mulrA divfK // gt_eqF.
Qed.

End Small.

Section Rules.
Variable R : realFieldType.

(** A number whose square is below e², e > 0, is below e in absolute value. *)
Lemma sqr_lt_norm (x e : R) : 0 < e -> x ^+ 2 < e ^+ 2 -> `|x| < e.
Proof.
move=> e0 xe; rewrite -(@ltr_pexpn2r _ 2) ?nnegrE ?normr_ge0 ?(ltW e0) //.
by rewrite -normrX ger0_norm ?sqr_ge0.
Qed.

Lemma sqrD_le (x y : R) : (x + y) ^+ 2 <= x ^+ 2 *+ 2 + y ^+ 2 *+ 2.
Proof.
rewrite -subr_ge0.
have -> : x ^+ 2 *+ 2 + y ^+ 2 *+ 2 - (x + y) ^+ 2 = (x - y) ^+ 2.
  by rewrite !mulr2n; ring.
exact: sqr_ge0.
Qed.

Lemma fgrad_grad n (f : 'cV[R]_n -> R) q g : is_fgrad f q g -> is_grad f q g.
Proof.
move=> D v e e0.
have s_gt0 : 0 < ‖v‖² + 1 by apply: ltr_paddl (nrm2_ge0 _) ltr01.
have [d d0 H] := D _ (divr_gt0 (exprn_gt0 2 e0) s_gt0).
pose r := Num.min 1 (d / (‖v‖² + 1)).
have r0 : 0 < r by rewrite lt_minr ltr01 divr_gt0.
exists r => // h h0; rewrite lt_minr => /andP[h1]; rewrite ltr_pdivl_mulr // => hd.
have h2 : 0 < h ^+ 2 by rewrite lt_def sqrf_eq0 h0 sqr_ge0.
have small_v : ‖h *: v‖² < d.
  rewrite nrm2Z; apply: le_lt_trans hd.
  rewrite -[h ^+ 2]ger0_norm ?sqr_ge0 // normrX expr2 -mulrA.
  apply: ler_wpmul2l; first exact: normr_ge0.
  apply: (le_trans (y := 1 * ‖v‖²)).
    by apply: ler_wpmul2r (ltW h1); apply: nrm2_ge0.
  by rewrite mul1r ler_addl ler01.
have := H _ small_v; rewrite dotZr nrm2Z => {small_v}H.
apply: sqr_lt_norm => //.
have -> : (f (q + h *: v) - f q) / h - ⟨g, v⟩
        = (f (q + h *: v) - f q - h * ⟨g, v⟩) / h by field.
rewrite expr_div_n ltr_pdivr_mulr //; apply: le_lt_trans H _.
have -> : e ^+ 2 / (‖v‖² + 1) * (h ^+ 2 * ‖v‖²) = (e ^+ 2 * h ^+ 2) * (‖v‖² / (‖v‖² + 1)).
  by ring.
rewrite -[X in _ < X]mulr1 ltr_pmul2l; last by apply: mulr_gt0 => //; apply: exprn_gt0.
by rewrite ltr_pdivr_mulr // mul1r ltr_addl ltr01.
Qed.

Lemma fgrad_uniq n (f : 'cV[R]_n -> R) q g1 g2 :
  is_fgrad f q g1 -> is_fgrad f q g2 -> g1 = g2.
Proof. by move=> /fgrad_grad h1 /fgrad_grad h2; apply: is_grad_uniq h1 h2. Qed.

(** Affine maps are their own derivative. *)
Lemma jacobian_affine n m (A : 'M[R]_(m, n)) (b : 'cV[R]_m) q :
  is_jacobian (fun x => A *m x + b) q A.
Proof.
apply: small_le ltr01 _ (@small0 _ _) => v _.
rewrite mulmxDr; move: (A *m q) (A *m v) => x y.
have -> : x + y + b - (x + b) - y = 0 by apply/colP => i; rewrite !mxE; ring.
by rewrite dot0l.
Qed.

Lemma jacobian_linear n m (A : 'M[R]_(m, n)) q : is_jacobian (fun x => A *m x) q A.
Proof.
apply: small_le ltr01 _ (@small0 _ _) => v _.
by rewrite mulmxDr [A *m q + _]addrC addrK subrr dot0l.
Qed.

Lemma jacobian_ext n m (F G : 'cV[R]_n -> 'cV[R]_m) q J :
  F =1 G -> is_jacobian F q J -> is_jacobian G q J.
Proof. by move=> FG; apply: small_le ltr01 _ => v _; rewrite !FG. Qed.

Lemma fgrad_ext n (f h : 'cV[R]_n -> R) q g :
  f =1 h -> is_fgrad f q g -> is_fgrad h q g.
Proof. by move=> fh; apply: small_le ltr01 _ => v _; rewrite !fh. Qed.

(** Near q, a differentiable map moves by at most a multiple of ‖v‖. *)
Lemma jacobian_bounded n m (F : 'cV[R]_n -> 'cV[R]_m) q J : is_jacobian F q J ->
  exists C d : R, [/\ 0 < C, 0 < d &
    forall v, ‖v‖² < d -> ‖F (q + v) - F q‖² <= C * ‖v‖²].
Proof.
move=> D; have [d d0 H] := D _ ltr01.
exists (2%:R + frob J J *+ 2), d; split => //.
  by rewrite ltr_paddr ?ltr0n // mulrn_wge0 ?frob_ge0.
move=> v /H; rewrite mul1r => A.
have -> : F (q + v) - F q = (F (q + v) - F q - J *m v) + J *m v by rewrite subrK.
apply: le_trans (nrm2D_le _ _) _; rewrite mulrDl.
apply: ler_add; first by rewrite -[_ *+ 2]mulr_natl ler_wpmul2l ?ler0n.
rewrite -[_ *+ 2]mulr_natl -[frob _ _ *+ 2]mulr_natl -mulrA.
by apply: ler_wpmul2l; rewrite ?ler0n // nrm2_mulmx_le.
Qed.

(** Chain rule for a scalar function of a differentiable map. *)
Lemma fgrad_chain n m (F : 'cV[R]_n -> 'cV[R]_m) (f : 'cV[R]_m -> R) q J g :
  is_jacobian F q J -> is_fgrad f (F q) g -> is_fgrad (fun x => f (F x)) q (J^T *m g).
Proof.
move=> DF Df; have [C [d [C0 d0 FC]]] := jacobian_bounded DF.
have A : small (fun v => (f (F q + (F (q + v) - F q)) - f (F q)
                          - ⟨g, F (q + v) - F q⟩) ^+ 2).
  exact: (small_comp (w := fun v => F (q + v) - F q) C0 d0 FC Df).
have B := smallZ (nrm2_ge0 g) DF.
have AB := smallZ (ler0n _ 2) (smallD A B).
apply: small_le d0 _ AB => v _ /=.
rewrite [F q + _]addrC subrK -dot_mulmxr.
set x := f _; set y := f _; set w := _ - F q.
have -> : x - y - ⟨g, J *m v⟩ = (x - y - ⟨g, w⟩) + ⟨g, w - J *m v⟩.
  by rewrite (dotBr g w) addrA subrK.
apply: le_trans (sqrD_le _ _) _; rewrite mulr_natl -mulrnDl ler_pmuln2r //.
by rewrite ler_add2l cauchy_schwarz.
Qed.

Lemma jacobian_comp n m k (F : 'cV[R]_n -> 'cV[R]_m) (G : 'cV[R]_m -> 'cV[R]_k) q J K :
  is_jacobian F q J -> is_jacobian G (F q) K ->
  is_jacobian (fun x => G (F x)) q (K *m J).
Proof.
move=> DF DG; have [C [d [C0 d0 FC]]] := jacobian_bounded DF.
have A : small (fun v => ‖G (F q + (F (q + v) - F q)) - G (F q)
                          - K *m (F (q + v) - F q)‖²).
  exact: (small_comp (w := fun v => F (q + v) - F q) C0 d0 FC DG).
have B := smallZ (frob_ge0 K) DF.
have AB := smallZ (ler0n _ 2) (smallD A B).
apply: small_le d0 _ AB => v _ /=.
rewrite [F q + _]addrC subrK -mulmxA.
set x := G _; set y := G _; set w := _ - F q.
have -> : x - y - K *m (J *m v) = (x - y - K *m w) + K *m (w - J *m v).
  by rewrite (mulmxBr K w) addrA subrK.
apply: le_trans (nrm2D_le _ _) _; rewrite mulr_natl -mulrnDl ler_pmuln2r //.
by rewrite ler_add2l nrm2_mulmx_le.
Qed.

Lemma fgrad_dot n (p q : 'cV[R]_n) : is_fgrad (fun x => ⟨p, x⟩) q p.
Proof.
apply: small_le ltr01 _ (@small0 _ _) => v _.
by rewrite dotDr addrAC addrK subrr expr0n.
Qed.

Lemma fgrad_cst n (c : R) (q : 'cV[R]_n) : is_fgrad (fun _ => c) q 0.
Proof.
apply: small_le ltr01 _ (@small0 _ _) => v _.
by rewrite dot0l subrr subr0 expr0n.
Qed.

Lemma fgradD n (f1 f2 : 'cV[R]_n -> R) q g1 g2 : is_fgrad f1 q g1 -> is_fgrad f2 q g2 ->
  is_fgrad (fun x => f1 x + f2 x) q (g1 + g2).
Proof.
move=> D1 D2; apply: small_le ltr01 _ (smallZ (ler0n _ 2) (smallD D1 D2)) => v _.
rewrite dotDl; set a := f1 _; set b := f1 _; set c := f2 _; set d := f2 _.
have -> : a + c - (b + d) - (⟨g1, v⟩ + ⟨g2, v⟩) = (a - b - ⟨g1, v⟩) + (c - d - ⟨g2, v⟩).
  by ring.
by apply: le_trans (sqrD_le _ _) _; rewrite mulr_natl mulrnDl.
Qed.

Lemma fgradZ n (f : 'cV[R]_n -> R) q g c : is_fgrad f q g ->
  is_fgrad (fun x => c * f x) q (c *: g).
Proof.
move=> D; apply: small_le ltr01 _ (smallZ (sqr_ge0 c) D) => v _.
by rewrite dotZl -!mulrBr exprMn.
Qed.

(** Gradients of the coordinates make the Jacobian. *)
Lemma jacobian_rows n m (F : 'cV[R]_n -> 'cV[R]_m) q (g : 'I_m -> 'cV[R]_n) :
  (forall i, is_fgrad (fun x => F x i 0) q (g i)) ->
  is_jacobian F q (\matrix_(i, j) g i j 0).
Proof.
move=> D.
have S (s : seq 'I_m) :
    small (fun v => \sum_(i <- s) (F (q + v) i 0 - F q i 0 - ⟨g i, v⟩) ^+ 2).
  elim: s => [|i s IH].
    by apply: small_le ltr01 _ (@small0 _ _) => v _; rewrite big_nil.
  by apply: small_le ltr01 _ (smallD (D i) IH) => v _; rewrite big_cons.
apply: small_le ltr01 _ (S (index_enum _)) => v _.
rewrite le_eqVlt; apply/orP; left; apply/eqP; apply: eq_bigr => i _.
rewrite !mxE -expr2; congr ((_ - _) ^+ 2).
by apply: eq_bigr => j _; rewrite mxE.
Qed.

(** A differentiable map in one direction: the curve h ↦ F(q + h v). *)
Lemma jacobian_grad n (f : 'cV[R]_n -> R) q g v :
  is_fgrad f q g -> is_deriv f q v ⟨g, v⟩.
Proof. by move/fgrad_grad; apply. Qed.

End Rules.
