(** * auxiliary-gradient: the heads meet in the interaction layer

    The interaction layer of cohort-contrastive auxiliary learning is G = X Xᵀ Y with the
    field embeddings X (m fields, d numbers each) and the attention output Y (m rows, k
    columns).  A primary loss P and auxiliary losses A_1, ..., A_r all read G, and
        L(Y) = P(X Xᵀ Y) + sum_j lambda_j A_j(X Xᵀ Y).
    If D, D_1, ..., D_r are their gradients in G, then
        dL/dY = X Xᵀ (D + sum_j lambda_j D_j).
    With all lambda_j = 0 this is the gradient of the primary alone, and an auxiliary head
    can only change the attention through directions in the range of X.
    X itself enters G twice; where the losses have a total (Fréchet) derivative S in G,
        dL/dX = (S Yᵀ + Y Sᵀ) X.
    Gradients are those of the epsilon-delta definition with the Frobenius inner product.
    Source: the layer as described for C2AL (arXiv 2510.02215); derived here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** The Frobenius adjoint of a product. *)
Lemma frob_mul_left (R : realFieldType) (a b c : nat) (D : 'M[R]_(a, c)) (A : 'M[R]_(a, b))
    (V : 'M[R]_(b, c)) : frob D (A *m V) = frob (A^T *m D) V.
Proof.
rewrite /frob (eq_bigr (fun i => \sum_j \sum_l D i j * (A i l * V l j))) => [|i _]; last first.
  by apply: eq_bigr => j _; rewrite mxE mulr_sumr.
under [RHS]eq_bigr => l _ do under eq_bigr => j _ do rewrite mxE mulr_suml.
rewrite exchange_big [RHS]exchange_big /=; apply: eq_bigr => j _.
rewrite exchange_big /=; apply: eq_bigr => l _; apply: eq_bigr => i _.
by rewrite mxE mulrCA mulrA.
Qed.

Section Auxiliary.
Variables (R : realFieldType) (m d k r : nat).
Implicit Types (X : 'M[R]_(m, d)) (Y D : 'M[R]_(m, k)).
Implicit Types (P : 'M[R]_(m, k) -> R) (A : 'I_r -> 'M[R]_(m, k) -> R).

(** The interaction layer. *)
Definition interaction X Y : 'M[R]_(m, k) := X *m X^T *m Y.

(** The loss of all heads together, as a function of what the layer returns. *)
Definition combined P A (lam : 'I_r -> R) (G : 'M[R]_(m, k)) : R :=
  P G + \sum_j lam j * A j G.

Lemma combined_grad P A lam G D (Da : 'I_r -> 'M[R]_(m, k)) :
  is_gradM P G D -> (forall j, is_gradM (A j) G (Da j)) ->
  is_gradM (combined P A lam) G (D + \sum_j lam j *: Da j).
Proof.
move=> dP dA V; rewrite frobDl frob_suml (eq_bigr (fun j => lam j * frob (Da j) V)) => [|j _].
  by apply: is_derivD (dP V) (is_deriv_sum _) => j; apply: is_derivZ (dA j V).
exact: frobZl.
Qed.

(** The gradient in the attention output, for one loss. *)
Theorem attention_gradient P X Y D :
  is_gradM P (interaction X Y) D ->
  is_gradM (fun Z => P (interaction X Z)) Y (X *m X^T *m D).
Proof.
move=> dP V e e0; have [del del0 H] := dP (X *m X^T *m V) e e0.
exists del => // h h0 hd; have := H h h0 hd.
by rewrite frob_mul_left trmx_mul trmxK /interaction mulmxDr -scalemxAr.
Qed.

(** The gradient of all heads together. *)
Theorem auxiliary_gradient P A lam X Y D Da :
  is_gradM P (interaction X Y) D -> (forall j, is_gradM (A j) (interaction X Y) (Da j)) ->
  is_gradM (fun Z => combined P A lam (interaction X Z)) Y
           (X *m X^T *m (D + \sum_j lam j *: Da j)).
Proof. by move=> dP dA; apply: attention_gradient; apply: combined_grad. Qed.

(** With zero weights the auxiliary heads leave no trace. *)
Theorem zero_weight_is_baseline P A X Y D Da :
  is_gradM P (interaction X Y) D -> (forall j, is_gradM (A j) (interaction X Y) (Da j)) ->
  is_gradM (fun Z => combined P A (fun _ => 0) (interaction X Z)) Y (X *m X^T *m D).
Proof.
move=> dP dA; have := auxiliary_gradient (fun _ => 0) dP dA.
by rewrite big1 ?addr0 // => j _; rewrite scale0r.
Qed.

(** What the heads add to the gradient, column by column, is a combination of the columns
    of X: attention outside the range of X is never touched. *)
Theorem auxiliary_part_in_range X (D : 'M[R]_(m, k)) : exists C : 'M[R]_(d, k), X *m X^T *m D = X *m C.
Proof. by exists (X^T *m D); rewrite mulmxA. Qed.

End Auxiliary.

(** One auxiliary head, as the identity is usually written. *)
Theorem one_auxiliary_gradient (R : realFieldType) (m d k : nat) (X : 'M[R]_(m, d))
    (Y D Da : 'M[R]_(m, k)) (P A : 'M[R]_(m, k) -> R) (lam : R) :
  is_gradM P (interaction X Y) D -> is_gradM A (interaction X Y) Da ->
  is_gradM (fun Z => P (interaction X Z) + lam * A (interaction X Z)) Y
           (X *m X^T *m (D + lam *: Da)).
Proof.
move=> dP dA; apply: (@attention_gradient R m d k (fun G => P G + lam * A G)) => V.
by rewrite frobDl frobZl; apply: is_derivD (dP V) (is_derivZ _ (dA V)).
Qed.


(** ** The embeddings: X enters the layer twice *)

(** Total (Fréchet) gradient of a function of a matrix, with squares so that no root is needed. *)
Definition is_fgradM (R : realFieldType) (a b : nat) (P : 'M[R]_(a, b) -> R) (G D : 'M[R]_(a, b)) :=
  forall eps, 0 < eps -> exists2 delta, 0 < delta & forall V, frob V V < delta ->
    (P (G + V) - P G - frob D V) ^+ 2 <= eps * frob V V.

Lemma frob_trmx (R : realFieldType) (a b : nat) (A C : 'M[R]_(a, b)) : frob A C = frob A^T C^T.
Proof.
by rewrite /frob exchange_big; apply: eq_bigr => i _; apply: eq_bigr => j _; rewrite !mxE.
Qed.

Lemma frob_mul_right (R : realFieldType) (a b c : nat) (D : 'M[R]_(a, c)) (V : 'M[R]_(a, b))
    (B : 'M[R]_(b, c)) : frob D (V *m B) = frob (D *m B^T) V.
Proof. by rewrite frob_trmx trmx_mul frob_mul_left [RHS]frob_trmx trmx_mul trmxK. Qed.

Lemma frobD_le (R : realFieldType) (a b : nat) (A B : 'M[R]_(a, b)) :
  frob (A + B) (A + B) <= frob A A *+ 2 + frob B B *+ 2.
Proof.
have := frob_ge0 (A - B); rewrite !frobD_sq frobNr !frobNl frobNr opprK => h.
rewrite -subr_ge0; apply: le_trans h _; rewrite le_eqVlt; apply/orP; left; apply/eqP.
rewrite !mulr2n; set x := frob A A; set y := frob A B; set z := frob B B; ring.
Qed.

(** A total gradient gives the derivative along a quadratic curve G + h A + h² B. *)
Lemma fgradM_curve (R : realFieldType) (a b : nat) (P : 'M[R]_(a, b) -> R) G D A B :
  is_fgradM P G D ->
  forall eps, 0 < eps -> exists2 delta, 0 < delta & forall h, h != 0 -> `|h| < delta ->
    `|(P (G + (h *: A + (h ^+ 2) *: B)) - P G) / h - frob D A| < eps.
Proof.
move=> dP eps e0; have e2 : 0 < eps / 2%:R by rewrite divr_gt0 ?ltr0n.
pose M := frob A A *+ 2 + frob B B *+ 2 + 1.
have M0 : 0 < M by apply: ltr_paddl ltr01; rewrite addr_ge0 ?mulrn_wge0 ?frob_ge0.
pose k := (eps / 2%:R) ^+ 2 / (2%:R * M).
have k0 : 0 < k by rewrite divr_gt0 ?exprn_gt0 // mulr_gt0 ?ltr0n.
have [d d0 H] := dP k k0.
pose c := `|frob D B| + 1; have c0 : 0 < c by apply: ltr_paddl (normr_ge0 _) ltr01.
pose r := Num.min 1 (Num.min (d / M) (eps / 2%:R / c)).
have r0 : 0 < r by rewrite !lt_minr ltr01 (divr_gt0 d0 M0) (divr_gt0 e2 c0).
exists r => // h h0; rewrite !lt_minr => /and3P[h1 hd hc].
have hh : 0 < h ^+ 2 by rewrite lt_def sqrf_eq0 h0 sqr_ge0.
have hsq : h ^+ 2 <= `|h|.
  rewrite -[h ^+ 2]ger0_norm ?sqr_ge0 // normrX expr2 -[X in _ <= X]mulr1.
  by apply: ler_wpmul2l; rewrite ?normr_ge0 // ltW.
set W := h *: A + h ^+ 2 *: B.
have WM : frob W W <= h ^+ 2 * M.
  have -> : W = h *: (A + h *: B) by rewrite scalerDr scalerA -expr2.
  rewrite frobZl frobZr mulrA -expr2; apply: ler_wpmul2l; first exact: ltW.
  apply: le_trans (frobD_le _ _) _; rewrite frobZl frobZr mulrA -expr2 /M -addrA ler_add2l.
  rewrite ler_paddr ?ler01 // ler_muln2r /=; rewrite -[X in _ <= X]mul1r.
  by apply: ler_wpmul2r; rewrite ?frob_ge0 // (le_trans hsq) // ltW.
have Wd : frob W W < d.
  apply: le_lt_trans WM _; rewrite -ltr_pdivl_mulr //; exact: le_lt_trans hsq hd.
have {}H := H W Wd; set rem := P (G + W) - P G - frob D W in H.
have -> : (P (G + W) - P G) / h - frob D A = rem / h + h * frob D B.
  rewrite /rem /W frobDr !frobZr; move: (P _) (P G) (frob D A) (frob D B) => x y z t.
  by field.
apply: le_lt_trans (ler_norm_add _ _) _; rewrite [eps]splitr; apply: ltr_add.
  apply: sqr_lt_norm => //; rewrite expr_div_n ltr_pdivr_mulr //.
  apply: le_lt_trans H _; apply: le_lt_trans (_ : k * (h ^+ 2 * M) < _).
    by apply: ler_wpmul2l; rewrite // ltW.
  have -> : k * (h ^+ 2 * M) = (eps / 2%:R) ^+ 2 * h ^+ 2 / 2%:R.
    by rewrite /k; field; rewrite gt_eqF.
  rewrite ltr_pdivr_mulr ?ltr0n // ltr_pmulr ?(ltr_nat R 1 2) //.
  by apply: mulr_gt0 hh; apply: exprn_gt0.
rewrite normrM; move: hc; rewrite ltr_pdivl_mulr //; apply: le_lt_trans.
by apply: ler_wpmul2l; rewrite ?normr_ge0 // ler_addl ler01.
Qed.

(** The gradient in the field embeddings, for one loss or for all heads together. *)
Theorem embedding_gradient (R : realFieldType) (m d k : nat) (X : 'M[R]_(m, d))
    (Y S : 'M[R]_(m, k)) (P : 'M[R]_(m, k) -> R) :
  is_fgradM P (interaction X Y) S ->
  is_gradM (fun Z => P (interaction Z Y)) X ((S *m Y^T + Y *m S^T) *m X).
Proof.
move=> dP V eps e0.
pose A := V *m (X^T *m Y) + X *m (V^T *m Y); pose B := V *m V^T *m Y.
have [delta delta0 H] := fgradM_curve A B dP e0; exists delta => // h h0 hd.
have := H h h0 hd.
have -> : interaction X Y + (h *: A + h ^+ 2 *: B) = interaction (X + h *: V) Y.
  have tr : (X + h *: V)^T = X^T + h *: V^T by apply/matrixP => i j; rewrite !mxE.
  have sq : (X + h *: V) *m (X + h *: V)^T
            = X *m X^T + h *: (V *m X^T + X *m V^T) + h ^+ 2 *: (V *m V^T).
    rewrite tr mulmxDl !mulmxDr -!scalemxAl -!scalemxAr scalerA -expr2 scalerDr.
    by rewrite -!addrA; congr (_ + _); rewrite addrCA.
  rewrite /interaction sq !mulmxDl -!scalemxAl mulmxDl -addrA; congr (_ + (_ *: _ + _)).
  by rewrite /A !mulmxA.
suff -> : frob S A = frob ((S *m Y^T + Y *m S^T) *m X) V by [].
have left : frob S (V *m (X^T *m Y)) = frob (S *m Y^T *m X) V.
  by rewrite frob_mul_right trmx_mul trmxK mulmxA.
have right : frob S (X *m (V^T *m Y)) = frob (Y *m S^T *m X) V.
  rewrite frob_mul_left frob_mul_right frob_trmx !trmx_mul !trmxK.
  by rewrite !mulmxA.
by rewrite /A frobDr left right mulmxDl [RHS]frobDl.
Qed.

(** ** The hypotheses hold together, and the auxiliary part is really there *)
Section NonVacuity.

(** The linear loss <C, .> has gradient C everywhere. *)
Lemma is_gradM_frob (R : realFieldType) (a b : nat) (C G : 'M[R]_(a, b)) :
  is_gradM (frob C) G C.
Proof.
move=> V e e0; exists 1 => // h h0 _.
by rewrite frobDr frobZr addrAC subrr add0r mulrAC divff // mul1r subrr normr0.
Qed.

(** Two fields of dimension 1, X = (1, 2)ᵀ, primary loss <e1, .>, auxiliary loss -<e1, .>:
    X Xᵀ e1 = (1, 2)ᵀ, so the heads cancel exactly at weight 1. *)
Example opposite_heads_cancel (R : realFieldType) (Y : 'cV[R]_2) :
  let X : 'cV[R]_2 := vec2 1 2%:R in let e1 : 'cV[R]_2 := vec2 1 0 in
  X *m X^T *m e1 = X /\
  is_gradM (fun Z => frob e1 (interaction X Z) + 1 * frob (- e1) (interaction X Z)) Y 0.
Proof.
move=> X e1; split.
  by rewrite outer_mul /X /e1 !vec2E; congr vec2; ring.
have := @one_auxiliary_gradient R 2%N 1%N 1%N X Y e1 (- e1) _ _ 1 (is_gradM_frob _ _) (is_gradM_frob _ _).
by rewrite scale1r subrr mulmx0.
Qed.

Let Q := rat_realFieldType.
Let one : 'M[Q]_1 := 1%:M.
Let dQ (G : 'M[Q]_1) : is_gradM (frob one) G one. Proof. exact: is_gradM_frob. Qed.

Example attention_gradient_nonvacuous : nonvacuous attention_gradient.
Proof. by move=> H; apply: (H _ _ _ _ _ one one one (dQ _)). Qed.

Example auxiliary_gradient_nonvacuous : nonvacuous auxiliary_gradient.
Proof.
by move=> H; apply: (H Q 1%N 1%N 1%N 1%N _ (fun=> frob one) (fun=> 1) one one one (fun=> one) (dQ _)) => j.
Qed.

Example zero_weight_is_baseline_nonvacuous : nonvacuous zero_weight_is_baseline.
Proof.
by move=> H; apply: (H Q 1%N 1%N 1%N 1%N _ (fun=> frob one) one one one (fun=> one) (dQ _)) => j.
Qed.

Example one_auxiliary_gradient_nonvacuous : nonvacuous one_auxiliary_gradient.
Proof. by move=> H; apply: (H _ _ _ _ one one one one _ _ 1 (dQ _) (dQ _)). Qed.

Example embedding_gradient_nonvacuous : nonvacuous embedding_gradient.
Proof.
move=> H; apply: (H Q 1%N 1%N 1%N one one one (frob one)) => e e0; exists 1 => // V _.
by rewrite frobDr addrAC addrK subrr expr0n mulr_ge0 ?frob_ge0 // ltW.
Qed.

End NonVacuity.
