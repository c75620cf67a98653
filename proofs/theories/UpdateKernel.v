(** * update-kernel: one SGD step moves the embeddings through a kernel.

    If the embeddings of a batch are q_i = A_i θ + b_i and θ takes one SGD step on a loss
    of the batch with gradients g_j, then, exactly in η,
        Δq_i = - η Σ_j K_ij g_j,   K_ij = A_i A_jᵀ.
    Cases, each with its parameter gradients derived from the loss:
    - private affine q = W x + b: Δq = - η (‖x‖² + [b trained]) g, hence ⟨q,Δq⟩ = 0;
      K = J Jᵀ = ‖x‖² I;
    - shared linear q_i = W x_i: K_ij = ⟨x_i,x_j⟩ I, and
      ⟨q_i,Δq_i⟩ = - η Σ_{j≠i} ⟨x_i,x_j⟩ ⟨q_i,g_j⟩, bounded through the coherence of the x_j;
    - hashed rows: a single hash keeps every step orthogonal (whoever collides has the same
      embedding), a sum of two hashed rows does not;
    - two trained layers q = W₂ W₁ x: Δq = - η (‖h‖² I + ‖x‖² W₂W₂ᵀ) g with h = W₁x;
    - propagation over a graph Q = A E: K_ij = (A Aᵀ)_ij I.
    Source: derived here.
    Proof: chain rule for the affine map, (g xᵀ) y = ⟨x,y⟩ g, and for the shared case
    ⟨q_i,g_i⟩ = 0. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise Batch.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** The general kernel *)
Section Kernel.
Variables (R : realFieldType) (d p k : nat).
Variables (A : 'I_k -> 'M[R]_(d, p)) (b : 'I_k -> 'cV[R]_d).
Implicit Types (theta : 'cV[R]_p) (l : 'M[R]_(d, k) -> R) (G : 'M[R]_(d, k)).

(** The embeddings of the batch, all of them functions of one parameter vector. *)
Definition embed theta : 'M[R]_(d, k) := columns (fun j => A j *m theta + b j).

Definition kernel i j : 'M[R]_d := A i *m (A j)^T.

Definition param_grad G : 'cV[R]_p := \sum_j (A j)^T *m col j G.

Theorem param_gradient l theta G :
  is_gradM l (embed theta) G -> is_grad (fun t => l (embed t)) theta (param_grad G).
Proof.
move=> D v; pose V := columns (fun j => A j *m v).
have -> : ⟨param_grad G, v⟩ = frob G V.
  rewrite frob_cols dot_suml; apply: eq_bigr => j _.
  by rewrite col_columns dot_mulmxr.
move=> e /(D V)[del d0 H]; exists del => // h h0 /(H _ h0).
rewrite (_ : embed (theta + h *: v) = embed theta + h *: V) //.
apply/matrixP => a j; rewrite [LHS]mxE mulmxDr -scalemxAr.
by rewrite [RHS]mxE [fun_of_matrix (h *: V) _ _]mxE ![fun_of_matrix (columns _) _ _]mxE
  !mxE addrAC.
Qed.

Theorem kernel_update theta G eta i :
  col i (embed (theta - eta *: param_grad G)) - col i (embed theta)
  = - eta *: (\sum_j kernel i j *m col j G).
Proof.
rewrite !col_columns mulmxBr -scalemxAr mulmx_sumr.
set S := \sum_j _; have -> : S = \sum_j kernel i j *m col j G.
  by apply: eq_bigr => j _; rewrite /kernel mulmxA.
by rewrite scaleNr opprD addrACA subrr addr0 addrAC subrr add0r.
Qed.

(** Derived from the loss, the step and its radial part. *)
Theorem kernel_update_from_loss l theta grad G eta i :
  is_gradM l (embed theta) G -> is_grad (fun t => l (embed t)) theta grad ->
  let q t := col i (embed t) in
  q (theta - eta *: grad) - q theta = - eta *: (\sum_j kernel i j *m col j G) /\
  ⟨q theta, q (theta - eta *: grad) - q theta⟩
    = - eta * (\sum_j ⟨q theta, kernel i j *m col j G⟩).
Proof.
move=> D Dt q; rewrite (is_grad_uniq Dt (param_gradient D)).
have E := kernel_update theta G eta i; split=> //.
by rewrite /q E dotZr dot_sumr.
Qed.

End Kernel.

(** ** Private affine encoder: q = W x + b *)
Section Affine.
Variables (R : realFieldType) (d m : nat).
Implicit Types (W : 'M[R]_(d, m)) (x : 'cV[R]_m) (b g : 'cV[R]_d) (f : 'cV[R]_d -> R).

Theorem affine_parameter_gradients f W x b g : is_grad f (W *m x + b) g ->
  is_gradM (fun V => f (V *m x + b)) W (g *m x^T) /\ is_grad (fun c => f (W *m x + c)) b g.
Proof.
move=> D; split; first exact: is_gradM_outer.
move=> v e /(D v)[del d0 H]; exists del => // h h0 /(H _ h0); by rewrite addrA.
Qed.

(** The update, all orders in eta: [eta_b] is the rate of the bias, 0 where it is frozen
    or absent, eta where it is trained like W, anything where it has a rate of its own. *)
Theorem affine_update f W x b g GW Gb eta eta_b :
  is_grad f (W *m x + b) g ->
  is_gradM (fun V => f (V *m x + b)) W GW -> is_grad (fun c => f (W *m x + c)) b Gb ->
  ((W - eta *: GW) *m x + (b - eta_b *: Gb)) - (W *m x + b)
  = - (eta * ‖x‖² + eta_b) *: g.
Proof.
move=> D DW Db; have [DW' Db'] := affine_parameter_gradients D.
rewrite (is_gradM_uniq DW DW') (is_grad_uniq Db Db').
rewrite mulmxBl -scalemxAl outer_mul scalerA.
move: (W *m x) => y; apply/colP => i; rewrite !mxE.
have key (s t u : R) : s - eta * ‖x‖² * u + (t - eta_b * u) - (s + t)
  = - (eta * ‖x‖² + eta_b) * u by ring.
exact: key.
Qed.

Corollary affine_update_trained_bias f W x b g GW Gb eta :
  is_grad f (W *m x + b) g ->
  is_gradM (fun V => f (V *m x + b)) W GW -> is_grad (fun c => f (W *m x + c)) b Gb ->
  ((W - eta *: GW) *m x + (b - eta *: Gb)) - (W *m x + b) = - (eta * (‖x‖² + 1)) *: g.
Proof.
by move=> D DW Db; rewrite (affine_update eta eta D DW Db); congr (- _ *: _); ring.
Qed.

Corollary affine_update_frozen_bias f W x b g GW eta :
  is_grad f (W *m x + b) g -> is_gradM (fun V => f (V *m x + b)) W GW ->
  ((W - eta *: GW) *m x + b) - (W *m x + b) = - (eta * ‖x‖²) *: g.
Proof.
move=> D DW; have [_ Db] := affine_parameter_gradients D.
by have := affine_update eta 0 D DW Db; rewrite scale0r subr0 addr0.
Qed.

Corollary linear_update f W x g GW eta :
  is_grad f (W *m x) g -> is_gradM (fun V => f (V *m x)) W GW ->
  (W - eta *: GW) *m x - W *m x = - (eta * ‖x‖²) *: g.
Proof.
move=> D DW; rewrite (is_gradM_uniq DW (is_gradM_outer0 D)).
by rewrite mulmxBl -scalemxAl outer_mul scalerA addrAC subrr add0r scaleNr.
Qed.

(** Hence the step of a scale-invariant loss is orthogonal to the embedding. *)
Theorem affine_update_orthogonal f W x b g GW Gb eta eta_b
    (q := W *m x + b) (q' := (W - eta *: GW) *m x + (b - eta_b *: Gb)) :
  ray_const f q -> is_grad f q g ->
  is_gradM (fun V => f (V *m x + b)) W GW -> is_grad (fun c => f (W *m x + c)) b Gb ->
  ⟨q, q' - q⟩ = 0 /\ ‖q'‖² = ‖q‖² + (eta * ‖x‖² + eta_b) ^+ 2 * ‖g‖².
Proof.
move=> fq D DW Db; have qg := euler_grad_orth fq D.
have E : q' - q = - (eta * ‖x‖² + eta_b) *: g := affine_update eta eta_b D DW Db.
have o : ⟨q, q' - q⟩ = 0 by rewrite E dotZr qg mulr0.
split=> //; have := pythagoras o; rewrite [q + _]addrC subrK => ->.
by rewrite E nrm2Z sqrrN.
Qed.

(** With a frozen offset the identity for the weights fails by exactly the offset:
    ⟨W, ∇_W L⟩ = - ⟨b, g⟩. *)
Theorem frozen_offset_weight_gradient f W x b g GW :
  ray_const f (W *m x + b) -> is_grad f (W *m x + b) g ->
  is_gradM (fun V => f (V *m x + b)) W GW -> frob GW W = - ⟨b, g⟩.
Proof.
move=> fq D DW; have [DW' _] := affine_parameter_gradients D.
rewrite (is_gradM_uniq DW DW') frob_outer.
have /eqP := euler_grad_orth fq D; rewrite dotDl dotC addr_eq0 => /eqP ->.
by [].
Qed.

(** ** J Jᵀ = ‖x‖² I *)

(** The derivative of W ↦ W x, with W flattened row by row into a vector. *)
Definition linear_jac x : 'M[R]_(d, d * m) :=
  \matrix_(i, l) (let: (a, c) := enum_val (cast_ord (esym (mxvec_cast d m)) l) in
                  (i == a)%:R * x c 0).

Lemma linear_jacE x i a c : linear_jac x i (mxvec_index a c) = (i == a)%:R * x c 0.
Proof. by rewrite mxE /mxvec_index cast_ordK enum_rankK. Qed.

Lemma sum_mxvec_index (F : 'I_(d * m) -> R) :
  \sum_l F l = \sum_a \sum_c F (mxvec_index a c).
Proof.
rewrite pair_bigA (reindex _ (curry_mxvec_bij d m)).
by apply: eq_bigr => -[a c] _.
Qed.

Theorem linear_jac_acts x W : linear_jac x *m (mxvec W)^T = W *m x.
Proof.
apply/colP => i; rewrite [LHS]mxE [RHS]mxE sum_mxvec_index (bigD1 i) //=.
rewrite [X in _ + X]big1 ?addr0 => [|a ai].
  by apply: eq_bigr => c _; rewrite linear_jacE mxE mxvecE eqxx mul1r mulrC.
apply: big1 => c _; by rewrite linear_jacE eq_sym (negPf ai) !mul0r.
Qed.

Theorem jacobian_gram x : linear_jac x *m (linear_jac x)^T = ‖x‖² *: 1%:M.
Proof.
apply/matrixP => i j; rewrite [LHS]mxE [RHS]mxE [fun_of_matrix 1%:M _ _]mxE.
rewrite sum_mxvec_index (bigD1 i) //= [X in _ + X]big1 ?addr0 => [|a ai].
  rewrite /dot mulr_suml; apply: eq_bigr => c _.
  rewrite [fun_of_matrix (_^T) _ _]mxE !linear_jacE eqxx mul1r eq_sym.
  by rewrite mulrCA mulrC -mulrA [x c 0 * _]mulrC -!mulrA.
apply: big1 => c _; by rewrite linear_jacE eq_sym (negPf ai) !mul0r.
Qed.

End Affine.

(** ** Shared linear encoder: q_i = W x_i, the columns of W X *)
Section Shared.
Variables (R : realFieldType) (d m k : nat).
Implicit Types (W GW : 'M[R]_(d, m)) (X : 'M[R]_(m, k)) (G : 'M[R]_(d, k)).
Implicit Types (l : 'M[R]_(d, k) -> R).

Theorem shared_parameter_gradient l W X G :
  is_gradM l (W *m X) G -> is_gradM (fun V => l (V *m X)) W (G *m X^T).
Proof. exact: is_gradM_mulr. Qed.

(** The kernel is the Gram matrix of the inputs. *)
Theorem shared_update l W X G GW eta i :
  is_gradM l (W *m X) G -> is_gradM (fun V => l (V *m X)) W GW ->
  col i ((W - eta *: GW) *m X) - col i (W *m X)
  = - eta *: (\sum_j ⟨col i X, col j X⟩ *: col j G).
Proof.
move=> D DW; rewrite (is_gradM_uniq DW (shared_parameter_gradient D)).
rewrite !col_mulmx mulmxBl -scalemxAl mulmx_trmx_act addrAC subrr add0r scaleNr.
by congr (- (_ *: _)); apply: eq_bigr => j _; rewrite dotC.
Qed.

(** The exact leak: only the cross terms remain. *)
Theorem shared_leak l W X G GW eta i (q := fun V j => col j (V *m X)) :
  columns_scale_free l (W *m X) -> is_gradM l (W *m X) G ->
  is_gradM (fun V => l (V *m X)) W GW ->
  ⟨q W i, q (W - eta *: GW) i - q W i⟩
  = - eta * (\sum_(j | j != i) ⟨col i X, col j X⟩ * ⟨q W i, col j G⟩).
Proof.
move=> lH D DW; rewrite /q (shared_update eta i D DW) dotZr dot_sumr (bigD1 i) //=.
rewrite dotZr (batch_gradient_tangent lH D i) mulr0 add0r.
by congr (_ * _); apply: eq_bigr => j _; rewrite dotZr.
Qed.

(** No leak where overlapping inputs have parallel embeddings: inputs orthogonal to x_i,
    or the very same embedding up to a number (a full collision). *)
Theorem shared_update_orthogonal l W X G GW eta i (q := fun V j => col j (V *m X)) :
  columns_scale_free l (W *m X) -> is_gradM l (W *m X) G ->
  is_gradM (fun V => l (V *m X)) W GW ->
  (forall j, j != i -> ⟨col i X, col j X⟩ = 0 \/ exists c, q W i = c *: q W j) ->
  ⟨q W i, q (W - eta *: GW) i - q W i⟩ = 0.
Proof.
move=> lH D DW o; rewrite /q (shared_leak eta i lH D DW) big1 ?mulr0 // => j /o[->|[c E]].
  by rewrite mul0r.
by rewrite -/(q W i) E /q dotZl (batch_gradient_tangent lH D j) !mulr0.
Qed.

End Shared.

(** The bound on the radial step through the coherence mu of the inputs. *)
Theorem shared_leak_bound (R : rcfType) d m k (l : 'M[R]_(d, k) -> R) (W : 'M[R]_(d, m))
    (X : 'M[R]_(m, k)) G GW eta mu i (q := fun V j => col j (V *m X)) :
  0 <= eta -> columns_scale_free l (W *m X) -> is_gradM l (W *m X) G ->
  is_gradM (fun V => l (V *m X)) W GW ->
  (forall j, j != i -> `|⟨col i X, col j X⟩| <= mu * (norm (col i X) * norm (col j X))) ->
  `|⟨normalise (q W i), q (W - eta *: GW) i - q W i⟩|
  <= eta * mu * norm (col i X)
     * (\sum_(j | j != i) norm (col j X) * `|⟨normalise (q W i), col j G⟩|).
Proof.
move=> eta0 lH D DW coh.
have E : ⟨normalise (q W i), q (W - eta *: GW) i - q W i⟩
  = - eta * (\sum_(j | j != i) ⟨col i X, col j X⟩ * ⟨normalise (q W i), col j G⟩).
  rewrite /normalise dotZl (shared_leak eta i lH D DW) mulrCA; congr (_ * _).
  by rewrite mulr_sumr; apply: eq_bigr => j _; rewrite dotZl mulrCA.
rewrite {}E normrM normrN (ger0_norm eta0) -!mulrA ler_wpmul2l //.
apply: le_trans (ler_norm_sum _ _ _) _.
rewrite mulrA mulr_sumr; apply: ler_sum => j /coh h.
by rewrite normrM mulrA ler_wpmul2r // -mulrA.
Qed.

(** ** Hashed rows.  The table is W, its rows are the columns of W. *)
Section Hashed.
Variables (R : realFieldType) (d N k : nat).
Implicit Types (W GW : 'M[R]_(d, N)) (G : 'M[R]_(d, k)) (l : 'M[R]_(d, k) -> R).

(** The input of an item that is looked up through the hashes [H s]: a count vector. *)
Definition hash_input S (H : 'I_S -> 'I_k -> 'I_N) : 'M[R]_(N, k) :=
  \matrix_(r, i) (\sum_s (H s i == r)%:R).

(** The kernel of two items counts the collisions of their hashes. *)
Theorem hash_kernel S (H : 'I_S -> 'I_k -> 'I_N) i j :
  ⟨col i (hash_input H), col j (hash_input H)⟩ = \sum_s \sum_t (H s i == H t j)%:R.
Proof.
transitivity (\sum_r \sum_s \sum_t ((H s i == r)%:R * (H t j == r)%:R : R)).
  by apply: eq_bigr => r _; rewrite !mxE mulr_suml; apply: eq_bigr => s _; rewrite mulr_sumr.
rewrite exchange_big; apply: eq_bigr => s _; rewrite exchange_big; apply: eq_bigr => t _.
rewrite (bigD1 (H s i)) //= big1 ?addr0 => [|r /negPf r_n].
  by rewrite eqxx mul1r eq_sym.
by rewrite eq_sym r_n mul0r.
Qed.

(** A single hash: whoever shares the row has the same embedding, so every step is
    orthogonal, whatever collides. *)
Theorem single_hash_update_orthogonal l (H : 'I_1 -> 'I_k -> 'I_N) W G GW eta i
    (X := hash_input H) (q := fun V j => col j (V *m X)) :
  columns_scale_free l (W *m X) -> is_gradM l (W *m X) G ->
  is_gradM (fun V => l (V *m X)) W GW ->
  ⟨q W i, q (W - eta *: GW) i - q W i⟩ = 0.
Proof.
move=> lH D DW; apply: shared_update_orthogonal lH D DW _ => j _.
rewrite hash_kernel !big_ord1; case: eqP => [e|_]; last by left.
right; exists 1; rewrite scale1r /q !col_mulmx; congr (_ *m _).
by apply/colP => r; rewrite !mxE !big_ord1 e.
Qed.

End Hashed.

(** ** Two trained layers: q = W2 W1 x *)
Section TwoLayers.
Variables (R : realFieldType) (d h m : nat).
Implicit Types (x : 'cV[R]_m) (g : 'cV[R]_d).
Implicit Types (f : 'cV[R]_d -> R).

Theorem two_layer_parameter_gradients f (W2 : 'M[R]_(d, h)) (W1 : 'M[R]_(h, m)) x g : is_grad f (W2 *m (W1 *m x)) g ->
  is_gradM (fun V => f (V *m (W1 *m x))) W2 (g *m (W1 *m x)^T) /\
  is_gradM (fun V => f (W2 *m (V *m x))) W1 ((W2^T *m g) *m x^T).
Proof.
move=> D; split; first exact: is_gradM_outer0.
exact: (is_gradM_outer0 (f := fun y => f (W2 *m y)) (is_grad_linear D)).
Qed.

(** Exactly, with the term of second order, which is a multiple of ⟨q,g⟩. *)
Theorem two_layer_update f (W2 : 'M[R]_(d, h)) (W1 : 'M[R]_(h, m)) x g G2 G1 eta (z := W1 *m x) (q := W2 *m z) :
  is_grad f q g -> is_gradM (fun V => f (V *m (W1 *m x))) W2 G2 ->
  is_gradM (fun V => f (W2 *m (V *m x))) W1 G1 ->
  (W2 - eta *: G2) *m ((W1 - eta *: G1) *m x) - q
  = - eta *: (‖z‖² *: g + ‖x‖² *: (W2 *m (W2^T *m g))) + (eta ^+ 2 * ‖x‖² * ⟨q, g⟩) *: g.
Proof.
move=> D D2 D1; have [D2' D1'] := two_layer_parameter_gradients D.
rewrite (is_gradM_uniq D2 D2') (is_gradM_uniq D1 D1') -/z.
have -> : (W1 - eta *: (W2^T *m g *m x^T)) *m x = z - (eta * ‖x‖²) *: (W2^T *m g).
  by rewrite mulmxBl -scalemxAl outer_mul scalerA.
have -> : (W2 - eta *: (g *m z^T)) *m (z - (eta * ‖x‖²) *: (W2^T *m g))
  = q - (eta * ‖x‖²) *: (W2 *m (W2^T *m g)) - (eta * ‖z‖²) *: g
    + (eta * (eta * ‖x‖²) * ⟨z, W2^T *m g⟩) *: g.
  rewrite mulmxBl -scalemxAl outer_mul mulmxBr -scalemxAr -/q dotBr dotZr !scalerA.
  by rewrite mulrBr scalerBl opprB addrA [eta * (_ * _)]mulrA addrAC.
rewrite -dot_mulmx -/q; move: (W2 *m (W2^T *m g)) => y.
apply/colP => i; rewrite !mxE.
have key (s t u a b c e : R) :
  s - e * b * t - e * a * u + e * (e * b) * c * u - s
  = - e * (a * u + b * t) + e ^+ 2 * b * c * u by ring.
exact: key.
Qed.

(** A scale-invariant loss: the kernel ‖h‖² I + ‖x‖² W2 W2ᵀ, exactly, and the radial part. *)
Theorem two_layer_update_tangent f (W2 : 'M[R]_(d, h)) (W1 : 'M[R]_(h, m)) x g G2 G1 eta (z := W1 *m x) (q := W2 *m z)
    (q' := (W2 - eta *: G2) *m ((W1 - eta *: G1) *m x)) :
  ray_const f q -> is_grad f q g -> is_gradM (fun V => f (V *m (W1 *m x))) W2 G2 ->
  is_gradM (fun V => f (W2 *m (V *m x))) W1 G1 ->
  q' - q = - eta *: ((‖z‖² *: 1%:M + ‖x‖² *: (W2 *m W2^T)) *m g) /\
  ⟨q, q' - q⟩ = - (eta * ‖x‖²) * ⟨W2^T *m q, W2^T *m g⟩.
Proof.
move=> fq D D2 D1; have qg := euler_grad_orth fq D.
have E := two_layer_update eta D D2 D1.
rewrite -/z -/q qg mulr0 scale0r addr0 in E; rewrite /q' E; split.
  by rewrite mulmxDl -!scalemxAl mul1mx mulmxA.
by rewrite dotZr dotDr !dotZr qg mulr0 add0r dot_mulmxr !mulNr mulrA.
Qed.

(** Private matrix and private hidden vector, q = V h, both trained. *)
Theorem matrix_vector_update f (V : 'M[R]_(d, h)) (z : 'cV[R]_h) g GV Gz eta (q := V *m z)
    (q' := (V - eta *: GV) *m (z - eta *: Gz)) :
  ray_const f q -> is_grad f q g -> is_gradM (fun U => f (U *m z)) V GV ->
  is_grad (fun y => f (V *m y)) z Gz ->
  q' - q = - eta *: ((‖z‖² *: 1%:M + V *m V^T) *m g) /\
  ⟨q, q' - q⟩ = - eta * ⟨V^T *m q, V^T *m g⟩.
Proof.
move=> fq D DV Dz; have qg := euler_grad_orth fq D.
have E : q' - q = - eta *: ((‖z‖² *: 1%:M + V *m V^T) *m g).
  rewrite /q' (is_gradM_uniq DV (is_gradM_outer0 D)) (is_grad_uniq Dz (is_grad_linear D)).
  rewrite mulmxBl -scalemxAl outer_mul mulmxBr -scalemxAr -/q dotBr dotZr -dot_mulmx -/q qg.
  rewrite mulr0 subr0 mulmxDl -scalemxAl mul1mx !scalerA -mulmxA.
  move: (V *m (V^T *m g)) => y; apply/colP => i; rewrite !mxE.
  have key (s t u a : R) : s - eta * t - eta * a * u - s = - eta * (a * u + t) by ring.
  exact: key.
split=> //; rewrite E dotZr; congr (_ * _).
by rewrite mulmxDl dotDr -scalemxAl mul1mx dotZr qg mulr0 add0r -mulmxA dot_mulmxr.
Qed.

End TwoLayers.

(** ** Propagation over a fixed graph: q_i = Σ_j A_ij e_j, the columns of E Aᵀ *)
Theorem graph_update (R : realFieldType) d k (l : 'M[R]_(d, k) -> R) (E : 'M[R]_(d, k))
    (A : 'M[R]_k) G GE eta i (q := fun E j => col j (E *m A^T)) :
  columns_scale_free l (E *m A^T) -> is_gradM l (E *m A^T) G ->
  is_gradM (fun E => l (E *m A^T)) E GE ->
  q (E - eta *: GE) i - q E i = - eta *: (\sum_j (A *m A^T) i j *: col j G) /\
  ⟨q E i, q (E - eta *: GE) i - q E i⟩
    = - eta * (\sum_(j | j != i) (A *m A^T) i j * ⟨q E i, col j G⟩).
Proof.
move=> lH D DE; have K j : ⟨col i A^T, col j A^T⟩ = (A *m A^T) i j.
  by rewrite mxE; apply: eq_bigr => c _; rewrite !mxE.
split.
  by rewrite /q (shared_update eta i D DE); congr (_ *: _); apply: eq_bigr => j _; rewrite K.
by rewrite /q (shared_leak eta i lH D DE); congr (_ * _); apply: eq_bigr => j _; rewrite K.
Qed.

(** ** Counterexamples, with gradients derived from the loss -cos *)
Section Witnesses.
Variable R : rcfType.
Let e1 : 'cV[R]_2 := vec2 1 0.
Let e2 : 'cV[R]_2 := vec2 0 1.

Lemma neg_cosine_gradient (a b c d nq np x y : R) :
  0 < nq -> 0 < np -> a * a + b * b = nq ^+ 2 -> c * c + d * d = np ^+ 2 ->
  x = - ((c / np - (a * c + b * d) / (nq * np) / nq * a) / nq) ->
  y = - ((d / np - (a * c + b * d) / (nq * np) / nq * b) / nq) ->
  is_grad (fun z => - cosine z (vec2 c d)) (vec2 a b) (vec2 x y).
Proof.
move=> nq0 np0 qE pE -> ->; rewrite -opp_vec2 -cos_grad_vec2; apply: is_gradN.
by apply: cosine_gradientE; rewrite ?dot_vec2.
Qed.

(** q = V h with V = diag(1,2), h = (3,2), both trained: the norm of q = (3,4) falls for the
    user e1 and grows for the user e2, to first order in eta. *)
Theorem two_layer_witness :
  let V : 'M[R]_2 := mat2 1 0 0 2%:R in let h : 'cV[R]_2 := vec2 3%:R 2%:R in
  let q := V *m h in
  let leak (u : 'cV[R]_2) (c : R) :=
    let f x := - cosine x u in
    exists GV Gh, [/\ is_gradM (fun U => f (U *m h)) V GV, is_grad (fun y => f (V *m y)) h Gh
      & forall eta, ⟨q, (V - eta *: GV) *m (h - eta *: Gh) - q⟩ = c * eta] in
  [/\ q = vec2 3%:R 4%:R, leak e1 (- (144%:R / 125%:R)) & leak e2 (108%:R / 125%:R)].
Proof.
move=> V h q leak; have qE : q = vec2 3%:R 4%:R.
  by rewrite /q /V /h !vec2E; congr vec2; ring.
have main u g c : is_grad (fun x => - cosine x u) (vec2 3%:R 4%:R) g ->
    - ⟨V^T *m vec2 3%:R 4%:R, V^T *m g⟩ = c -> leak u c.
  move=> D cE; rewrite -qE in D.
  exists (g *m h^T), (V^T *m g); have DV := is_gradM_outer0 D; have Dh := is_grad_linear D.
  split=> // eta; have fq : ray_const (fun x => - cosine x u) q.
    by move=> t t0; rewrite cosine_scale.
  have [_ ->] := matrix_vector_update eta fq D DV Dh.
  by rewrite -/q qE -cE mulNr mulrC mulNr.
split=> //.
  apply: (main e1 (vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R))).
    apply: (@neg_cosine_gradient _ _ _ _ 5%:R 1); rewrite ?ltr0n ?ltr01 //; by field.
  by rewrite /V !vec2E; field.
apply: (main e2 (vec2 (12%:R / 125%:R) (- (9%:R / 125%:R)))).
  apply: (@neg_cosine_gradient _ _ _ _ 5%:R 1); rewrite ?ltr0n ?ltr01 //; by field.
by rewrite /V !vec2E; field.
Qed.

Definition two (T : Type) (a b : T) (i : 'I_2) : T := if i == 0 then a else b.

(** Two items (3,4) and (4,3), both paired with the user e1, loss the sum of -cos. *)
Definition pair_loss (Q : 'M[R]_2) : R := \sum_j - cosine (col j Q) e1.

Lemma pair_loss_scale_free Q : columns_scale_free pair_loss Q.
Proof.
apply: cosine_columns_scale_free => Q1 Q2 QQ; apply: eq_bigr => j _; by rewrite QQ.
Qed.

Lemma pair_leak m (W : 'M[R]_(2, m)) (X : 'M[R]_(m, 2)) kappa
    (q := fun (V : 'M[R]_(2, m)) j => col j (V *m X)) :
  (forall j, q W j = two (vec2 3%:R 4%:R) (vec2 4%:R 3%:R) j) -> ⟨col 0 X, col 1 X⟩ = kappa ->
  exists GW, is_gradM (fun V => pair_loss (V *m X)) W GW /\ forall eta,
    ⟨q W 0, q (W - eta *: GW) 0 - q W 0⟩ = - (21%:R / 125%:R) * kappa * eta /\
    ⟨q W 1, q (W - eta *: GW) 1 - q W 1⟩ = 28%:R / 125%:R * kappa * eta.
Proof.
move=> qE kE; pose g := two (vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R) : 'cV[R]_2)
                            (vec2 (- (9%:R / 125%:R)) (12%:R / 125%:R)).
have D : is_gradM pair_loss (W *m X) (columns g).
  apply: (@separable_batch_grad _ _ _ (fun _ x => - cosine x e1)) => j.
  have -> : col j (W *m X) = two (vec2 3%:R 4%:R) (vec2 4%:R 3%:R) j by exact: qE.
  rewrite /g /two; case: ifP => _.
    apply: (@neg_cosine_gradient _ _ _ _ 5%:R 1); rewrite ?ltr0n ?ltr01 //; by field.
  apply: (@neg_cosine_gradient _ _ _ _ 5%:R 1); rewrite ?ltr0n ?ltr01 //; by field.
have DW := shared_parameter_gradient D.
exists (columns g *m X^T); split=> // eta; rewrite /q.
rewrite (shared_leak eta 0 (pair_loss_scale_free _) D DW).
rewrite (shared_leak eta 1 (pair_loss_scale_free _) D DW) -!/(q W _) !qE.
split.
  rewrite (bigD1 1) //= big1 ?addr0 => [|[[|[|//]] hj]] //.
  by rewrite col_columns kE /g /two /= dot_vec2; field.
rewrite (bigD1 0) //= big1 ?addr0 => [|[[|[|//]] hj]] //.
by rewrite col_columns dotC kE /g /two /= dot_vec2; field.
Qed.

(** The leaks of the two items when [kappa] is the inner product of their inputs. *)
Definition pair_leaks m (W : 'M[R]_(2, m)) (X : 'M[R]_(m, 2)) (kappa : R) : Prop :=
  (forall j, col j (W *m X) = two (vec2 3%:R 4%:R) (vec2 4%:R 3%:R) j) /\
  exists GW, is_gradM (fun V => pair_loss (V *m X)) W GW /\ forall eta,
    let W' := W - eta *: GW in
    ⟨col 0 (W *m X), col 0 (W' *m X) - col 0 (W *m X)⟩ = - (21%:R / 125%:R) * kappa * eta /\
    ⟨col 1 (W *m X), col 1 (W' *m X) - col 1 (W *m X)⟩ = 28%:R / 125%:R * kappa * eta.

(** Shared parameters: q_a = e_a and q_b = e_a + e_b. *)
Theorem sharing_witness :
  pair_leaks (mat2 3%:R 1 4%:R (-1)) (mat2 1 1 0 1 : 'M[R]_2) 1.
Proof.
have qE j : col j (mat2 3%:R 1 4%:R (-1) *m (mat2 1 1 0 1 : 'M[R]_2))
    = two (vec2 3%:R 4%:R) (vec2 4%:R 3%:R) j.
  apply/colP => i; case: j => [[|[|//]] hj]; rewrite !mxE !big_ord_recl big_ord0 !mxE /two /=;
  rewrite ?mulr0 ?mulr1 ?addr0 ?add0r; case: ifP => _ //; ring.
split=> //; apply: pair_leak => //.
by rewrite /dot !big_ord_recl big_ord0 !mxE /=; ring.
Qed.

(** The sum of two hashed rows out of three, (1,0), (3,3), (2,4), the first in common. *)
Definition hash_two (s i : 'I_2) : 'I_3 :=
  if s == 0 then @Ordinal 3 0 isT
  else if i == 0 then @Ordinal 3 2 isT else @Ordinal 3 1 isT.
Definition hash_rows (r : 'I_3) : 'cV[R]_2 :=
  if val r == 0%N then vec2 1 0 else if val r == 1%N then vec2 3%:R 3%:R
  else vec2 2%:R 4%:R.

Theorem hash_sum_witness : pair_leaks (columns hash_rows) (hash_input R hash_two) 1.
Proof.
have qE j : col j (columns hash_rows *m hash_input R hash_two)
    = two (vec2 3%:R 4%:R) (vec2 4%:R 3%:R) j.
  have XE : col j (hash_input R hash_two)
      = delta_mx (hash_two 0 j) 0 + delta_mx (hash_two 1 j) 0.
    apply/colP => r; rewrite !mxE !big_ord_recl big_ord0 addr0 /= !andbT.
    by congr (_%:R + _%:R); rewrite eq_sym.
  rewrite col_mulmx XE mulmxDr -!colE !col_columns.
  case: j {XE} => [[|[|//]] hj]; rewrite /hash_two /hash_rows /two /= add_vec2;
    congr vec2; ring.
split=> //; apply: pair_leak => //.
by rewrite hash_kernel !big_ord_recl !big_ord0 /hash_two /= !addr0.
Qed.

(** Propagation over a graph with A = ((1,1/2),(1/2,1)). *)
Theorem graph_witness :
  let A : 'M[R]_2 := mat2 1 (1 / 2%:R) (1 / 2%:R) 1 in
  let E : 'M[R]_2 := mat2 (4%:R / 3%:R) (10%:R / 3%:R) (10%:R / 3%:R) (4%:R / 3%:R) in
  pair_leaks E A^T 1.
Proof.
move=> A E; have AT : A^T = A by rewrite /A trmx_mat2.
rewrite AT.
have qE j : col j (E *m A) = two (vec2 3%:R 4%:R) (vec2 4%:R 3%:R) j.
  rewrite /A /E.
  apply/colP => i; case: j => [[|[|//]] hj]; rewrite !mxE !big_ord_recl big_ord0 !mxE /two /=;
  rewrite ?addr0; case: ifP => _; by field.
split=> //; apply: pair_leak => //.
by rewrite /A /dot !big_ord_recl big_ord0 !mxE /=; field.
Qed.

End Witnesses.

(** The hypotheses of the affine case hold together, with a gradient that is not zero:
    W = I, x = (3,4), b = 0, loss -cos(·, e1). *)
Example affine_instance (R : rcfType) :
  let f (x : 'cV[R]_2) := - cosine x (vec2 1 0) in
  let W : 'M[R]_2 := 1%:M in let x : 'cV[R]_2 := vec2 3%:R 4%:R in
  exists g GW Gb, [/\ ray_const f (W *m x + 0), is_grad f (W *m x + 0) g, g != 0,
    is_gradM (fun V => f (V *m x + 0)) W GW & is_grad (fun c => f (W *m x + c)) 0 Gb].
Proof.
move=> f W x; pose g : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
have qE : W *m x + 0 = vec2 3%:R 4%:R by rewrite /W mul1mx addr0.
have D : is_grad f (W *m x + 0) g.
  rewrite qE; apply: (@neg_cosine_gradient _ _ _ _ _ 5%:R 1);
    rewrite ?ltr0n ?ltr01 //; by field.
have [DW Db] := affine_parameter_gradients D.
exists g, (g *m x^T), g; split=> //; first by move=> c c0; rewrite /f cosine_scale.
rewrite -nrm2_gt0 /g dot_vec2; have -> : - (16%:R / 125%:R) * - (16%:R / 125%:R)
  + 12%:R / 125%:R * (12%:R / 125%:R) = 16%:R / 625%:R :> R by field.
by rewrite divr_gt0 ?ltr0n.
Qed.
