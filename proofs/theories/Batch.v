(** * Batch: losses of several embeddings at once.

    The embeddings of a batch are the columns of a matrix Q.  A loss ℓ(Q) has the gradient
    G (Frobenius inner product); column j of G is the gradient of ℓ with respect to the
    j-th embedding, the others held fixed ([batch_column_grad]).  If ℓ does not change when
    a column is multiplied by a positive number, as for every loss that is a function of
    cosines, then each column of G is orthogonal to its embedding
    ([batch_gradient_tangent]).  Foundation for the claims about encoders.  No axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Frobenius.
Variable R : realFieldType.

Lemma frob_tr d m (A B : 'M[R]_(d, m)) : frob A B = \tr (A^T *m B).
Proof.
rewrite /frob /mxtrace exchange_big; apply: eq_bigr => j _; rewrite mxE.
by apply: eq_bigr => i _; rewrite mxE.
Qed.

Lemma frob_cols d m (A B : 'M[R]_(d, m)) : frob A B = \sum_j ⟨col j A, col j B⟩.
Proof.
rewrite /frob exchange_big; apply: eq_bigr => j _.
by apply: eq_bigr => i _; rewrite !mxE.
Qed.

Lemma frob_mulmxr d m k (G : 'M[R]_(d, k)) (X : 'M[R]_(m, k)) (V : 'M[R]_(d, m)) :
  frob (G *m X^T) V = frob G (V *m X).
Proof. by rewrite !frob_tr trmx_mul trmxK -mulmxA mxtrace_mulC mulmxA. Qed.

Lemma frob_mulmxl d m k (A : 'M[R]_(d, m)) (G : 'M[R]_(d, k)) (V : 'M[R]_(m, k)) :
  frob (A^T *m G) V = frob G (A *m V).
Proof. by rewrite !frob_tr trmx_mul trmxK mulmxA. Qed.

Lemma col_mulmx d m k (A : 'M[R]_(d, m)) (B : 'M[R]_(m, k)) j :
  col j (A *m B) = A *m col j B.
Proof. by apply/colP => i; rewrite !mxE; apply: eq_bigr => l _; rewrite !mxE. Qed.

(** G Xᵀ is the sum of the outer products of the columns. *)
Lemma mulmx_trmx_cols d m k (G : 'M[R]_(d, k)) (X : 'M[R]_(m, k)) :
  G *m X^T = \sum_j col j G *m (col j X)^T.
Proof.
apply/matrixP => a b; rewrite mxE summxE; apply: eq_bigr => j _.
by rewrite !mxE big_ord1 !mxE.
Qed.

Lemma mulmx_trmx_act d m k (G : 'M[R]_(d, k)) (X : 'M[R]_(m, k)) (x : 'cV[R]_m) :
  G *m X^T *m x = \sum_j ⟨col j X, x⟩ *: col j G.
Proof.
by rewrite mulmx_trmx_cols mulmx_suml; apply: eq_bigr => j _; rewrite outer_mul.
Qed.

(** The gradient of W ↦ ℓ(W X), and of W ↦ ℓ(A W). *)
Lemma is_gradM_mulr d m k (l : 'M[R]_(d, k) -> R) (W : 'M[R]_(d, m)) (X : 'M[R]_(m, k)) G :
  is_gradM l (W *m X) G -> is_gradM (fun W => l (W *m X)) W (G *m X^T).
Proof.
move=> D V e /(D (V *m X))[del d0 H]; exists del => // h h0 /(H _ h0).
by rewrite frob_mulmxr mulmxDl -scalemxAl.
Qed.

Lemma is_gradM_mull d m k (l : 'M[R]_(d, k) -> R) (A : 'M[R]_(d, m)) (W : 'M[R]_(m, k)) G :
  is_gradM l (A *m W) G -> is_gradM (fun W => l (A *m W)) W (A^T *m G).
Proof.
move=> D V e /(D (A *m V))[del d0 H]; exists del => // h h0 /(H _ h0).
by rewrite frob_mulmxl mulmxDr -scalemxAr.
Qed.

End Frobenius.

Section Columns.
Variables (R : realFieldType) (d k : nat).
Implicit Types (Q G : 'M[R]_(d, k)) (l : 'M[R]_(d, k) -> R) (v : 'cV[R]_d).

(** [Q] with column [j] replaced by [v]. *)
Definition set_col Q (j : 'I_k) v : 'M[R]_(d, k) := Q + (v - col j Q) *m delta_mx 0 j.

Lemma set_colE Q j v a i : set_col Q j v a i = if i == j then v a 0 else Q a i.
Proof.
rewrite /set_col !mxE big_ord1 !mxE eqxx /= eq_sym.
by case: eqP => [->|_]; rewrite ?mulr1 ?mulr0 ?addr0 // addrC subrK.
Qed.

Lemma set_col_eq Q j v : col j (set_col Q j v) = v.
Proof. by apply/colP => a; rewrite mxE set_colE eqxx. Qed.

Lemma set_col_neq Q j v i : i != j -> col i (set_col Q j v) = col i Q.
Proof. by move=> /negPf ij; apply/colP => a; rewrite [LHS]mxE [RHS]mxE set_colE ij. Qed.

(** Column j of the batch gradient is the gradient in the j-th embedding alone. *)
Lemma batch_column_grad l Q G j :
  is_gradM l Q G -> is_grad (fun v => l (set_col Q j v)) (col j Q) (col j G).
Proof.
move=> D v e /(D (v *m delta_mx 0 j))[del d0 H]; exists del => // h h0 /(H _ h0).
have -> : frob G (v *m delta_mx 0 j) = ⟨col j G, v⟩.
  rewrite frob_cols (bigD1 j) //= big1 ?addr0 => [|i /negPf ij].
    congr dot; apply/colP => a; by rewrite !mxE big_ord1 !mxE !eqxx mulr1.
  rewrite (_ : col i (v *m _) = 0) ?dot0r //; apply/colP => a.
  by rewrite !mxE big_ord1 !mxE ij andbF mulr0.
have -> : set_col Q j (col j Q + h *: v) = Q + h *: (v *m delta_mx 0 j).
  by rewrite /set_col [col j Q + _]addrC addrK scalemxAl.
by rewrite /set_col subrr mul0mx addr0.
Qed.

(** The loss does not see the length of any embedding of the batch. *)
Definition columns_scale_free l Q : Prop :=
  forall j, ray_const (fun v => l (set_col Q j v)) (col j Q).

Lemma batch_gradient_tangent l Q G :
  columns_scale_free l Q -> is_gradM l Q G -> forall j, ⟨col j Q, col j G⟩ = 0.
Proof. by move=> lH D j; apply: (euler_grad_orth (lH j)); apply: batch_column_grad. Qed.

End Columns.

(** A loss that sees each column through its cosines only is scale-free in the columns. *)
Lemma cosine_columns_scale_free (R : rcfType) d k (l : 'M[R]_(d, k) -> R) :
  (forall Q Q' : 'M[R]_(d, k),
     (forall j p, cosine (col j Q) p = cosine (col j Q') p) -> l Q = l Q') ->
  forall Q, columns_scale_free l Q.
Proof.
move=> lc Q j c c0 /=; apply: lc => i p.
have [->|ij] := eqVneq i j; first by rewrite !set_col_eq cosine_scale.
by rewrite !set_col_neq.
Qed.

(** The batch whose j-th column is [g j]. *)
Definition columns (R : realFieldType) d k (g : 'I_k -> 'cV[R]_d) : 'M[R]_(d, k) :=
  \matrix_(a, j) g j a 0.

Lemma col_columns (R : realFieldType) d k (g : 'I_k -> 'cV[R]_d) j : col j (columns g) = g j.
Proof. by apply/colP => a; rewrite !mxE. Qed.

(** A sum of losses of the single embeddings has the gradients of these as columns. *)
Lemma separable_batch_grad (R : realFieldType) d k (f : 'I_k -> 'cV[R]_d -> R)
    (Q : 'M[R]_(d, k)) (g : 'I_k -> 'cV[R]_d) :
  (forall j, is_grad (f j) (col j Q) (g j)) ->
  is_gradM (fun Q => \sum_j f j (col j Q)) Q (columns g).
Proof.
move=> D V; rewrite frob_cols; apply: is_deriv_sum => j; rewrite col_columns.
move=> e /(D j (col j V))[del d0 H]; exists del => // h h0 /(H _ h0).
rewrite (_ : col j (Q + h *: V) = col j Q + h *: col j V) //.
by apply/colP => a; rewrite !mxE.
Qed.
