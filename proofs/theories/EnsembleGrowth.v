(** * ensemble-growth: under sharing the ensemble grows although single items need not.

    (a) For embeddings Q = W X with a shared W (also Q = E Aᵀ of graph propagation, and any
        map of the parameters that is positively homogeneous), a scale-invariant loss has
        ⟨W, ∇_W L⟩_F = Σ_j ⟨q_j, g_j⟩ = 0, so an SGD step gives exactly
        ‖W'‖_F² = ‖W‖_F² + η² ‖∇_W L‖_F², and a run of T steps adds up the squares.
    (b) With the Gram matrix K = XᵀX of the inputs invertible, ΔQ = - η G K and
        tr(Q K⁻¹ ΔQᵀ) = 0, hence tr(Q' K⁻¹ Q'ᵀ) = tr(Q K⁻¹ Qᵀ) + η² tr(G K Gᵀ).
    Single norms may fall at the same time ([item_shrinks_while_ensemble_grows]).
    Source: derived here; (a) is the argument known for scale-invariant weights.
    Proof: Euler in the parameters; the trace of G K K⁻¹ Qᵀ is Σ_j ⟨q_j,g_j⟩. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise Batch UpdateKernel.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Ensemble.
Variables (R : realFieldType) (d m k : nat).
Implicit Types (W GW : 'M[R]_(d, m)) (X : 'M[R]_(m, k)) (G : 'M[R]_(d, k)).
Implicit Types (l : 'M[R]_(d, k) -> R) (eta : R).

(** (a) the sum over the items *)
Theorem parameter_euler_sum l W X G GW :
  is_gradM l (W *m X) G -> is_gradM (fun V => l (V *m X)) W GW ->
  frob W GW = \sum_j ⟨col j (W *m X), col j G⟩.
Proof.
move=> D DW; rewrite (is_gradM_uniq DW (shared_parameter_gradient D)) frobC.
rewrite frob_mulmxr frob_cols; apply: eq_bigr => j _; exact: dotC.
Qed.

Theorem ensemble_orthogonal l W X G GW :
  columns_scale_free l (W *m X) -> is_gradM l (W *m X) G ->
  is_gradM (fun V => l (V *m X)) W GW -> frob W GW = 0.
Proof.
move=> lH D DW; rewrite (parameter_euler_sum D DW) big1 // => j _.
exact: batch_gradient_tangent.
Qed.

Theorem ensemble_growth l W X G GW eta :
  columns_scale_free l (W *m X) -> is_gradM l (W *m X) G ->
  is_gradM (fun V => l (V *m X)) W GW ->
  frob (W - eta *: GW) (W - eta *: GW) = frob W W + eta ^+ 2 * frob GW GW.
Proof.
move=> lH D DW; have o := ensemble_orthogonal lH D DW.
rewrite -scaleNr frob_pythagoras; last by rewrite frobZr o mulr0.
by rewrite frobZl frobZr mulrA mulrNN -expr2.
Qed.

(** A run of T steps; losses, inputs and rates may change from step to step. *)
Theorem ensemble_run (W GW : nat -> 'M[R]_(d, m)) (X : nat -> 'M[R]_(m, k))
    (l : nat -> 'M[R]_(d, k) -> R) (G : nat -> 'M[R]_(d, k)) (eta : nat -> R) T :
  (forall t, columns_scale_free (l t) (W t *m X t)) ->
  (forall t, is_gradM (l t) (W t *m X t) (G t)) ->
  (forall t, is_gradM (fun V => l t (V *m X t)) (W t) (GW t)) ->
  (forall t, W t.+1 = W t - eta t *: GW t) ->
  frob (W T) (W T) = frob (W 0%N) (W 0%N) + \sum_(t < T) eta t ^+ 2 * frob (GW t) (GW t).
Proof.
move=> lH D DW step; elim: T => [|T IH]; first by rewrite big_ord0 addr0.
rewrite step (ensemble_growth (eta T) (lH T) (D T) (DW T)) IH big_ord_recr /=.
by rewrite addrA.
Qed.

Lemma tr_sym_swap (A B : 'M[R]_(d, k)) (S : 'M[R]_k) : S^T = S ->
  \tr (A *m S *m B^T) = \tr (B *m S *m A^T).
Proof. by move=> Ss; rewrite -[LHS]mxtrace_tr !trmx_mul trmxK Ss mulmxA. Qed.

(** (b) the metric of the inputs *)
Theorem gram_orthogonal l W X G GW eta (Q := W *m X) (Q' := (W - eta *: GW) *m X)
    (K := X^T *m X) :
  columns_scale_free l Q -> is_gradM l Q G -> is_gradM (fun V => l (V *m X)) W GW ->
  K \in unitmx ->
  Q' - Q = - eta *: (G *m K) /\ \tr (Q *m invmx K *m (Q' - Q)^T) = 0.
Proof.
move=> lH D DW Ku; have Ks : K^T = K by rewrite trmx_mul trmxK.
have E : Q' - Q = - eta *: (G *m K).
  rewrite /Q' /Q (is_gradM_uniq DW (shared_parameter_gradient D)) mulmxBl.
  by rewrite addrAC subrr add0r -scalemxAl -mulmxA scaleNr.
split=> //; rewrite E linearZ /= trmx_mul Ks -scalemxAr mxtraceZ mulmxA mulmxKV //.
rewrite mxtrace_mulC -frob_tr frobC frob_cols big1 ?mulr0 // => j _.
exact: batch_gradient_tangent.
Qed.

Theorem gram_growth l W X G GW eta (Q := W *m X) (Q' := (W - eta *: GW) *m X)
    (K := X^T *m X) :
  columns_scale_free l Q -> is_gradM l Q G -> is_gradM (fun V => l (V *m X)) W GW ->
  K \in unitmx ->
  \tr (Q' *m invmx K *m Q'^T) = \tr (Q *m invmx K *m Q^T) + eta ^+ 2 * \tr (G *m K *m G^T).
Proof.
move=> lH D DW Ku; have [E o] := gram_orthogonal eta lH D DW Ku.
have Ks : K^T = K by rewrite trmx_mul trmxK.
have Kis : (invmx K)^T = invmx K by rewrite trmx_inv Ks.
have QE : Q' = Q + (Q' - Q) by rewrite addrC subrK.
rewrite -/Q' -/Q -/K in E o; move: (Q' - Q) E o QE => Dq E o ->.
rewrite linearD /= mulmxDl mulmxDl !mulmxDr !mxtraceD o addr0; congr (_ + _).
have -> : \tr (Dq *m invmx K *m Q^T) = 0.
  by rewrite (tr_sym_swap Dq Q Kis).
rewrite add0r E linearZ /= -!scalemxAl -scalemxAr !mxtraceZ mulrA mulrNN -expr2.
by rewrite trmx_mul Ks mulmxK // mulmxA.
Qed.

End Ensemble.

(** Propagation over a fixed graph, q_i = Σ_j A_ij e_j: the table E as a whole grows. *)
Corollary graph_table_growth (R : realFieldType) d k (l : 'M[R]_(d, k) -> R)
    (E : 'M[R]_(d, k)) (A : 'M[R]_k) G GE eta :
  columns_scale_free l (E *m A^T) -> is_gradM l (E *m A^T) G ->
  is_gradM (fun E => l (E *m A^T)) E GE ->
  frob E GE = 0 /\
  frob (E - eta *: GE) (E - eta *: GE) = frob E E + eta ^+ 2 * frob GE GE.
Proof.
move=> lH D DE; split; first exact: ensemble_orthogonal lH D DE.
exact: ensemble_growth lH D DE.
Qed.

(** Any encoder that is positively homogeneous in its parameters, shared or not: Euler
    applies to the parameters of the whole model. *)
Theorem homogeneous_parameters_orthogonal (R : realFieldType) a b (E : lmodType R) n
    (enc : 'M[R]_(a, b) -> E) (f : E -> R) (theta G : 'M[R]_(a, b)) :
  (forall c, 0 < c -> enc (c *: theta) = c ^+ n *: enc theta) ->
  ray_const f (enc theta) -> is_gradM (fun t => f (enc t)) theta G ->
  frob theta G = 0.
Proof.
move=> eH fH D; rewrite frobC; apply: (euler_deriv _ (D theta)) => c c0.
by rewrite eH // fH // exprn_gt0.
Qed.

(** Two items share parameters, q_a = e_a = (3,4), q_b = e_a + e_b = (4,3), both paired with
    the user e1: for every rate 0 < eta ≤ 4 the norm of q_a falls, while ‖W‖_F grows. *)
Theorem item_shrinks_while_ensemble_grows (R : rcfType) :
  let W : 'M[R]_2 := mat2 3%:R 1 4%:R (-1) in let X : 'M[R]_2 := mat2 1 1 0 1 in
  exists GW, is_gradM (fun V => pair_loss (V *m X)) W GW /\
    forall eta, 0 < eta -> eta <= 4%:R ->
      let W' := W - eta *: GW in
      ‖col 0 (W' *m X)‖² < ‖col 0 (W *m X)‖² /\ frob W W < frob W' W'.
Proof.
move=> W X; have [qE [GW [DW leak]]] := sharing_witness R.
rewrite -/W -/X in qE DW leak; exists GW; split=> // eta e0 e4 W'.
have q0 : col 0 (W *m X) = vec2 3%:R 4%:R by rewrite qE.
pose g := two (vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R) : 'cV[R]_2)
              (vec2 (- (9%:R / 125%:R)) (12%:R / 125%:R)).
have D : is_gradM (@pair_loss R) (W *m X) (columns g).
  apply: (@separable_batch_grad _ _ _ (fun _ x => - cosine x (vec2 1 0))) => j.
  rewrite qE /g /two; case: ifP => _;
    apply: (@neg_cosine_gradient _ _ _ _ _ 5%:R 1); rewrite ?ltr0n ?ltr01 //; by field.
have GWE := is_gradM_uniq DW (shared_parameter_gradient D).
have [r0 _] := leak eta.
have St := shared_update eta 0 D DW; rewrite -/W' in St.
have S2 : col 0 (W' *m X) - col 0 (W *m X)
    = vec2 (eta * (1 / 5%:R)) (- (eta * (24%:R / 125%:R))).
  rewrite St !big_ord_recl big_ord0 addr0 !col_columns /g /two /=.
  have -> : ⟨col 0 X, col 0 X⟩ = 1 by rewrite /dot !big_ord_recl big_ord0 !mxE /=; ring.
  have -> : ⟨col 0 X, col (lift ord0 ord0) X⟩ = 1.
    by rewrite /dot !big_ord_recl big_ord0 !mxE /=; ring.
  by rewrite !vec2E; congr vec2; field.
split.
  have -> : ‖col 0 (W' *m X)‖²
    = ‖col 0 (W *m X)‖² + ⟨col 0 (W *m X), col 0 (W' *m X) - col 0 (W *m X)⟩ *+ 2
      + ‖col 0 (W' *m X) - col 0 (W *m X)‖² by rewrite -nrm2D [_ + (_ - _)]addrC subrK.
  rewrite S2 q0 !dot_vec2 mulr2n -addrA gtr_addl.
  have -> : 3%:R * (eta * (1 / 5%:R)) + 4%:R * - (eta * (24%:R / 125%:R))
    + (3%:R * (eta * (1 / 5%:R)) + 4%:R * - (eta * (24%:R / 125%:R)))
    + (eta * (1 / 5%:R) * (eta * (1 / 5%:R))
       + - (eta * (24%:R / 125%:R)) * - (eta * (24%:R / 125%:R)))
    = eta / (125%:R * 125%:R) * (1201%:R * eta - 42%:R * 125%:R) by field.
  rewrite pmulr_rlt0; last by rewrite divr_gt0 // mulr_gt0 ?ltr0n.
  rewrite subr_lt0; apply: (le_lt_trans (y := 1201%:R * 4%:R)).
    by rewrite ler_pmul2l ?ltr0n.
  by rewrite -!natrM ltr_nat.
rewrite /W' (ensemble_growth eta (pair_loss_scale_free _) D DW) ltr_addl.
rewrite mulr_gt0 ?exprn_gt0 // lt_def frob_ge0 andbT frob_eq0 GWE.
apply/eqP => /(congr1 (fun A : 'M[R]_2 => A 0 0)); rewrite !mxE !big_ord_recl big_ord0 !mxE.
rewrite /g /two /= ?mxE /= ; rewrite addr0 => h.
have : (1 / 5%:R : R) = 0.
  have -> : (1 / 5%:R : R) = - (- (16%:R / 125%:R) * 1 + - (9%:R / 125%:R) * 1) by field.
  by rewrite h oppr0.
by apply/eqP; rewrite mul1r invr_eq0 pnatr_eq0.
Qed.
