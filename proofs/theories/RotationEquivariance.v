(** * rotation-equivariance: which rules do not know the coordinates

    Let O be orthogonal (Oᵀ O = I) and let the gradients rotate with the table (they do when
    items and users are rotated together: cosines do not change).
    - SGD and momentum with any schedules and either kind of decay, row-wise AdaGrad and
      row-wise Adam with any epsilon, and clipping by norm commute with O, for whole runs;
    - conversely, a rule that commutes with every orthogonal map moves within the span of the
      row and the gradients seen so far: if a function F of k vectors satisfies
      F(O v_1, ..., O v_k) = O F(v_1, ..., v_k) for every orthogonal O, then F(v_1, ..., v_k)
      is a linear combination of v_1, ..., v_k.  The row itself is one of these vectors, so
      rotation equivariance does *not* make steps orthogonal to the row: SGD with weight
      decay commutes with rotations and has radial part - eta lambda ‖q‖²;
    - sign descent, and hence the first step of element-wise AdaGrad and Adam, and clipping by
      coordinate, do not commute with rotations (exact witnesses), but they do commute with
      sign flips and permutations of the coordinates, for whole runs.
    Source: derived here.  Proof of the converse: reflect in the span; the reflection fixes
    all v_i, so it fixes F(v), which therefore lies in the span. *)
From mathcomp Require Import all_ssreflect all_fingroup all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Optimizers Relabel NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition orthogonal_map (R : realFieldType) (d : nat) (O : 'M[R]_d) : Prop := O^T *m O = 1%:M.

(** The gradients of run 2 at the rotated tables are the rotated gradients of run 1. *)
Definition rotates_along (R : realFieldType) (d N : nat) (O : 'M[R]_d)
    (G G' : nat -> 'M[R]_(d, N) -> 'M[R]_(d, N)) (w : nat -> 'M[R]_(d, N)) : Prop :=
  forall t, G' t (O *m w t) = O *m G t (w t).

(** ** Rules that are linear in row and gradient commute with every linear map *)
Section Linear.
Variables (R : realFieldType) (d N : nat) (O : 'M[R]_d).
Local Notation table := 'M[R]_(d, N).
Implicit Types (q g p : table) (eta beta damp lam mu : nat -> R).

Lemma momentum_commutes nest eta beta damp lam mu :
  intertwines (fun p p' => p' = O *m p) (mulmx O) (mulmx O)
    (momentum nest eta beta damp lam mu : rule R d N table)
    (momentum nest eta beta damp lam mu).
Proof.
move=> t p p' q g ->; rewrite /momentum /= !scalemxAr -!mulmxDr !scalemxAr -!mulmxDr.
by split=> //; case: nest; rewrite ?scalemxAr -?mulmxDr ?scalemxAr -mulmxBr.
Qed.

Lemma sgd_decoupled_commutes eta lam :
  intertwines (fun _ _ => True) (mulmx O) (mulmx O) (sgd_decoupled eta lam : rule R d N unit)
    (sgd_decoupled eta lam).
Proof.
by move=> t s s' q g _; split=> //; rewrite /sgd_decoupled /= !scalemxAr -mulmxBr.
Qed.

Lemma sgd_commutes eta :
  intertwines (fun _ _ => True) (mulmx O) (mulmx O) (sgd eta : rule R d N unit) (sgd eta).
Proof. by move=> t s s' q g _; split=> //; rewrite /sgd /= !scalemxAr -mulmxBr. Qed.

Variables (G G' : nat -> table -> table) (q0 : table).

Theorem sgd_run_rotates eta :
  rotates_along O G G' (weights (sgd eta) G tt q0) ->
  forall t, weights (sgd eta) G' tt (O *m q0) t = O *m weights (sgd eta) G tt q0 t.
Proof. exact: weights_intertwine (@sgd_commutes eta) _. Qed.

(** SGD with weight decay rotates just as well; its step is nevertheless not orthogonal. *)
Theorem sgd_decay_run_rotates eta lam :
  rotates_along O G G' (weights (sgd_decoupled eta lam) G tt q0) ->
  forall t, weights (sgd_decoupled eta lam) G' tt (O *m q0) t
            = O *m weights (sgd_decoupled eta lam) G tt q0 t.
Proof. exact: weights_intertwine (@sgd_decoupled_commutes eta lam) _. Qed.

(** Heavy-ball and Nesterov, with dampening and both kinds of decay. *)
Theorem momentum_run_rotates nest eta beta damp lam mu (p0 : table) :
  rotates_along O G G' (weights (momentum nest eta beta damp lam mu) G p0 q0) ->
  forall t, weights (momentum nest eta beta damp lam mu) G' (O *m p0) (O *m q0) t
            = O *m weights (momentum nest eta beta damp lam mu) G p0 q0 t.
Proof. exact: weights_intertwine (@momentum_commutes nest eta beta damp lam mu) erefl. Qed.

End Linear.

(** ** Row-wise rules commute with orthogonal maps *)
Section Rowwise.
Variables (R : rcfType) (d N : nat) (O : 'M[R]_d).
Hypothesis orth : orthogonal_map O.
Local Notation table := 'M[R]_(d, N).
Implicit Types (q g m : table) (eta mu tau : nat -> R) (v : 'rV[R]_N).

Lemma col_nrm2_rotate g : col_nrm2 (O *m g) = col_nrm2 g.
Proof.
apply/rowP => j; rewrite !mxE.
have nE (h : table) : \sum_i h i j ^+ 2 = ‖col j h‖².
  by apply: eq_bigr => i _; rewrite !mxE expr2.
by rewrite !nE !colE -mulmxA dot_mulmx [O^T *m _]mulmxA orth mul1mx.
Qed.

Lemma per_column_mulmx m v eps :
  per_column m v eps = m *m diag_mx (\row_j (Num.sqrt (v 0 j) + eps)^-1).
Proof. by apply/matrixP => i j; rewrite mul_mx_diag !mxE. Qed.

Lemma per_column_rotate m v eps : per_column (O *m m) v eps = O *m per_column m v eps.
Proof. by rewrite !per_column_mulmx mulmxA. Qed.

Lemma rowwise_adagrad_commutes eps eta :
  intertwines eq (mulmx O) (mulmx O) (rowwise_adagrad eps eta : rule R d N 'rV[R]_N)
    (rowwise_adagrad eps eta).
Proof.
move=> t a _ q g <-; rewrite /rowwise_adagrad /= col_nrm2_rotate; split=> //.
by rewrite per_column_rotate scalemxAr -mulmxBr.
Qed.

Lemma rowwise_adam_commutes eps b1 b2 eta mu :
  intertwines (fun s s' => s'.1 = O *m s.1 /\ s'.2 = s.2) (mulmx O) (mulmx O)
    (rowwise_adam eps b1 b2 eta mu : rule R d N (table * 'rV[R]_N))
    (rowwise_adam eps b1 b2 eta mu).
Proof.
move=> t [m v] [m' v'] q g /= [-> ->]; rewrite col_nrm2_rotate.
rewrite !scalemxAr -!mulmxDr; split=> //.
by rewrite scalemxAr per_column_rotate scalemxAr -mulmxBr.
Qed.

Lemma frob_rotate g : frob (O *m g) (O *m g) = frob g g.
Proof.
have frobE (h : table) : frob h h = \sum_j col_nrm2 h 0 j.
  rewrite /frob exchange_big; apply: eq_bigr => j _; rewrite mxE.
  by apply: eq_bigr => i _; rewrite expr2.
by rewrite !frobE col_nrm2_rotate.
Qed.

Lemma clip_norm_rotate tau t g : clip_norm tau t (O *m g) = O *m clip_norm tau t g.
Proof. by rewrite /clip_norm /frob_norm frob_rotate; case: ifP => // _; rewrite scalemxAr. Qed.

Variables (G G' : nat -> table -> table) (q0 : table).

Theorem rowwise_adagrad_run_rotates eps eta (a0 : 'rV[R]_N) :
  rotates_along O G G' (weights (rowwise_adagrad eps eta) G a0 q0) ->
  forall t, weights (rowwise_adagrad eps eta) G' a0 (O *m q0) t
            = O *m weights (rowwise_adagrad eps eta) G a0 q0 t.
Proof. exact: weights_intertwine (@rowwise_adagrad_commutes eps eta) erefl. Qed.

Theorem rowwise_adam_run_rotates eps b1 b2 eta mu :
  rotates_along O G G' (weights (rowwise_adam eps b1 b2 eta mu) G (0, 0) q0) ->
  forall t, weights (rowwise_adam eps b1 b2 eta mu) G' (0, 0) (O *m q0) t
            = O *m weights (rowwise_adam eps b1 b2 eta mu) G (0, 0) q0 t.
Proof.
by apply: weights_intertwine (@rowwise_adam_commutes eps b1 b2 eta mu) _; rewrite /= mulmx0.
Qed.

(** Clipping by norm in front of momentum SGD. *)
Theorem clip_norm_run_rotates nest eta beta damp lam mu tau :
  rotates_along O G G'
    (weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G 0 q0) ->
  forall t, weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G' 0 (O *m q0) t
            = O *m weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G 0 q0 t.
Proof.
have step := intertwines_after (clip_norm_rotate tau)
  (@momentum_commutes R d N O nest eta beta damp lam mu).
by apply: (weights_intertwine step); rewrite mulmx0.
Qed.

(** Cosine losses rotate: rotating the row and the other side together rotates the gradient. *)
Theorem cosine_gradient_rotates (q p : 'cV[R]_d) nq np :
  cosine (O *m q) (O *m p) = cosine q p /\
  cos_grad (O *m q) (O *m p) nq np = O *m cos_grad q p nq np.
Proof.
have dotO (x y : 'cV[R]_d) : ⟨O *m x, O *m y⟩ = ⟨x, y⟩.
  by rewrite dot_mulmx [O^T *m _]mulmxA orth mul1mx.
split; first by rewrite /cosine /norm !dotO.
by rewrite /cos_grad dotO !scalemxAr -mulmxBr scalemxAr.
Qed.

End Rowwise.

(** ** The converse: equivariant rules move in the span of what they have seen *)
Section Span.
Variables (R : realFieldType) (d k : nat).
Implicit Types (H : 'M[R]_(d, k)) (F : 'M[R]_(d, k) -> 'cV[R]_d).

(** [F] is a rule that sees the k columns of [H] (say, the row and all gradients so far). *)
Definition rotation_equivariant F : Prop :=
  forall O : 'M[R]_d, orthogonal_map O -> forall H, F (O *m H) = O *m F H.

(** The Gram matrix of linearly independent rows is invertible. *)
Lemma gram_unit r (B : 'M[R]_(r, d)) : row_free B -> B *m B^T \in unitmx.
Proof.
move=> free; rewrite -row_free_unit -kermx_eq0; apply/rowV0P => x /sub_kermxP xK.
have : ‖(x *m B)^T‖² = 0.
  have -> : ‖(x *m B)^T‖² = (x *m B *m (x *m B)^T) 0 0.
    by rewrite mxE; apply: eq_bigr => i _; rewrite !mxE.
  by rewrite trmx_mul mulmxA -[x *m B *m B^T]mulmxA xK mul0mx mxE.
move/eqP; rewrite nrm2_eq0 => /eqP /(congr1 trmx); rewrite trmxK trmx0 => xB.
by apply: (row_free_inj free); rewrite xB mul0mx.
Qed.

(** The orthogonal projection on the span of the rows of B, as a map of columns. *)
Definition project r (B : 'M[R]_(r, d)) : 'M[R]_d := B^T *m invmx (B *m B^T) *m B.

Lemma project_sym r (B : 'M[R]_(r, d)) : (project B)^T = project B.
Proof. by rewrite /project !trmx_mul trmxK trmx_inv trmx_mul trmxK mulmxA. Qed.

Lemma project_base r (B : 'M[R]_(r, d)) : row_free B -> B *m project B = B.
Proof. by move=> free; rewrite /project !mulmxA mulmxV ?mul1mx // gram_unit. Qed.

Lemma project_idem r (B : 'M[R]_(r, d)) : row_free B -> project B *m project B = project B.
Proof. by move=> free; rewrite {1}/project -mulmxA project_base. Qed.

(** The orthogonal projection on the span of the columns of H. *)
Definition projection H : 'M[R]_d := project (row_base H^T).

Lemma projection_sym H : (projection H)^T = projection H.
Proof. exact: project_sym. Qed.

Lemma projection_idem H : projection H *m projection H = projection H.
Proof. by apply: project_idem; apply: row_base_free. Qed.

Lemma projection_cols H : projection H *m H = H.
Proof.
rewrite -[RHS]trmxK -[LHS]trmxK trmx_mul projection_sym; congr (_^T).
have /submxP[C ->] : (H^T <= row_base H^T)%MS by rewrite eq_row_base.
by rewrite -mulmxA project_base // row_base_free.
Qed.

Lemma projection_range H (x : 'cV[R]_d) : exists a : 'cV[R]_k, projection H *m x = H *m a.
Proof.
rewrite /projection; set B := row_base H^T.
have /submxP[C BC] : (B <= H^T)%MS by rewrite eq_row_base.
exists (C^T *m (invmx (B *m B^T) *m B *m x)).
have HC : H *m C^T = B^T by rewrite BC trmx_mul trmxK.
by rewrite mulmxA HC /project !mulmxA.
Qed.

(** The reflection in the span of the columns of H: orthogonal, and it fixes H. *)
Definition reflection H : 'M[R]_d := projection H + projection H - 1%:M.

Lemma reflection_orthogonal H : orthogonal_map (reflection H).
Proof.
have tr : (reflection H)^T = reflection H.
  apply/matrixP => i j; have := congr1 (fun A : 'M_d => A i j) (projection_sym H).
  by rewrite !mxE eq_sym => ->.
rewrite /orthogonal_map tr /reflection; set P := projection H.
have PP : P *m P = P := projection_idem H.
rewrite mulmxBl mul1mx mulmxBr mulmx1 mulmxDl mulmxDr PP.
by rewrite addrK opprB addrC subrK.
Qed.

Lemma reflection_fixes H : reflection H *m H = H.
Proof. by rewrite mulmxBl mulmxDl mul1mx !projection_cols addrK. Qed.

(** The step is a combination of the columns it has seen. *)
Theorem equivariant_rules_stay_in_span F : rotation_equivariant F ->
  forall H, exists a : 'cV[R]_k, F H = H *m a.
Proof.
move=> eqF H; have fixed : reflection H *m F H = F H.
  by rewrite -(eqF _ (reflection_orthogonal H)) reflection_fixes.
have [a Pa] := projection_range H (F H); exists a; rewrite -Pa.
have two : (2%:R : R) != 0 by rewrite pnatr_eq0.
apply: (scalerI two); move: fixed; rewrite /reflection mulmxBl mulmxDl mul1mx.
by move/eqP; rewrite subr_eq !scaler_nat !mulr2n => /eqP.
Qed.

End Span.

(** ** Rotation equivariance does not make the step orthogonal *)

(** SGD with decay on a tangential gradient: it commutes with every linear map
    ([sgd_decay_run_rotates]), its step is q times - eta lambda plus g times - eta, and the
    radial part is - eta lambda ‖q‖². *)
Theorem decay_rotates_yet_radial (R : realFieldType) (d : nat) (eta lam : nat -> R) t
    (q g : 'cV[R]_d) (q' := (sgd_decoupled eta lam t tt q g).2) :
  ⟨q, g⟩ = 0 ->
  q' - q = - (eta t * lam t) *: q - eta t *: g /\ ⟨q, q' - q⟩ = - (eta t * lam t) * ‖q‖².
Proof.
move=> qg; have e : q' - q = - (eta t * lam t) *: q - eta t *: g.
  by rewrite /q' /sgd_decoupled /= scalerBl scale1r scaleNr addrAC [q - _ - q]addrAC subrr add0r.
by split=> //; rewrite e dotBr !dotZr qg mulr0 subr0.
Qed.

(** ** Element-wise rules do not commute with rotations: exact witnesses *)
Section Witnesses.
Variable R : rcfType.

(** A 3-4-5 rotation, a row, and a user on the first axis. *)
Definition turn : 'M[R]_2 :=
  mat2 (3%:R / 5%:R) (- (4%:R / 5%:R)) (4%:R / 5%:R) (3%:R / 5%:R).
Definition row0 : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition user0 : 'cV[R]_2 := vec2 1 0.

(** The gradient field of - cos(., u). *)
Definition pull_to (u : 'cV[R]_2) (t : nat) (q : 'cV[R]_2) : 'cV[R]_2 :=
  - cos_grad q u (norm q) (norm u).

Lemma pull_to_gradient u t q : u != 0 -> q != 0 ->
  is_grad (fun x => - cosine x u) q (pull_to u t q).
Proof. by move=> u0 q0; apply: is_gradN; apply: cosine_gradient. Qed.

Lemma turn_orthogonal : orthogonal_map turn.
Proof.
rewrite /orthogonal_map /turn trmx_mat2; apply/matrixP => i j.
rewrite !mxE !big_ord_recl big_ord0 !mxE /= addr0.
by case: i => [[|[|i]] hi] //; case: j => [[|[|j]] hj] //=; field.
Qed.

Lemma norm_orthogonal (O : 'M[R]_2) (x : 'cV[R]_2) : orthogonal_map O -> norm (O *m x) = norm x.
Proof. by move=> orth; rewrite /norm dot_mulmx [O^T *m _]mulmxA orth mul1mx. Qed.

Lemma pull_to_rotates (O : 'M[R]_2) u w : orthogonal_map O ->
  rotates_along O (pull_to u) (pull_to (O *m u)) w.
Proof.
move=> orth t; rewrite /pull_to !norm_orthogonal //.
by have [_ ->] := cosine_gradient_rotates orth (w t) u (norm (w t)) (norm u); rewrite mulmxN.
Qed.

Lemma norm_row0 : norm row0 = 5%:R.
Proof. by apply: normE; rewrite ?ler0n // /row0 vec2E; ring. Qed.
Lemma norm_user0 : norm user0 = 1.
Proof. by apply: normE; rewrite ?ler01 // /user0 vec2E; ring. Qed.

Definition grad0 : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
Definition turned_grad0 : 'cV[R]_2 := vec2 (- (96%:R / 625%:R)) (- (28%:R / 625%:R)).

Lemma pull_to_row0 t : pull_to user0 t row0 = grad0.
Proof.
rewrite /pull_to norm_row0 norm_user0 /row0 /user0 cos_grad_vec2 vec2E.
by congr vec2; field.
Qed.

Lemma pull_to_turned t : pull_to (turn *m user0) t (turn *m row0) = turned_grad0.
Proof.
rewrite (@pull_to_rotates turn user0 (fun=> row0) turn_orthogonal t) pull_to_row0.
by rewrite /turn /grad0 vec2E; congr vec2; field.
Qed.

Let one (t : nat) : R := 1.

Lemma sg_frac (a b : nat) : (0 < a)%N -> (0 < b)%N ->
  Num.sg (a%:R / b%:R : R) = 1 /\ Num.sg (- (a%:R / b%:R) : R) = -1.
Proof.
move=> a0 b0; have p : 0 < a%:R / b%:R :> R by rewrite divr_gt0 ?ltr0n.
by rewrite sgrN gtr0_sg.
Qed.

Lemma signs_vec2 (a b : R) : signs (vec2 a b) = vec2 (Num.sg a) (Num.sg b).
Proof. by apply/colP => i; rewrite !mxE; case: ifP. Qed.

Lemma signs_grad0 : signs grad0 = vec2 (-1) 1.
Proof.
rewrite /grad0 signs_vec2; have [_ ->] := @sg_frac 16 125 isT isT.
by have [-> _] := @sg_frac 12 125 isT isT.
Qed.

Lemma signs_turned : signs turned_grad0 = vec2 (-1) (-1).
Proof.
rewrite /turned_grad0 signs_vec2; have [_ ->] := @sg_frac 96 625 isT isT.
by have [_ ->] := @sg_frac 28 625 isT isT.
Qed.

Lemma weights1 S (f : rule R 2 1 S) G s0 q : weights f G s0 q 1%N = (f 0%N s0 q (G 0%N q)).2.
Proof. by []. Qed.

(** Any two first steps - signs g from the row and from the turned row disagree. *)
Lemma sign_steps_disagree :
  turn *m row0 - 1 *: signs turned_grad0 != turn *m (row0 - 1 *: signs grad0).
Proof.
rewrite signs_grad0 signs_turned mulmxBr -subr_eq0 !scale1r; apply/negP => /eqP.
rewrite /turn /row0 !vec2E => /colP /(_ 1); rewrite !mxE /=.
move/eqP; rewrite (_ : _ + _ = 4%:R / 5%:R); last by field.
by rewrite mulf_eq0 invr_eq0 !pnatr_eq0.
Qed.

(** Sign descent on a cosine loss: the gradients rotate, the first step does not. *)
Theorem sign_descent_does_not_rotate :
  let G := pull_to user0 in let G' := pull_to (turn *m user0) in
  [/\ orthogonal_map turn, rotates_along turn G G' (weights (sign_rule one) G tt row0)
    & weights (sign_rule one) G' tt (turn *m row0) 1%N
      != turn *m weights (sign_rule one) G tt row0 1%N].
Proof.
move=> G G'; split; [exact: turn_orthogonal | exact: pull_to_rotates turn_orthogonal |].
rewrite /weights /= /G /G' pull_to_row0 pull_to_turned; exact: sign_steps_disagree.
Qed.

(** From empty accumulators and epsilon zero, the first step of element-wise AdaGrad and of
    Adam is sign descent. *)
Lemma ratio_sg (x : R) : x / Num.sqrt (x ^+ 2) = Num.sg x.
Proof.
rewrite sqrtr_sqr; have [->|x0] := eqVneq x 0; first by rewrite mul0r sgr0.
by rewrite {1}[x]numEsg mulfK // normr_eq0.
Qed.

Theorem adagrad_first_step (eta : nat -> R) (q g : 'cV[R]_2) :
  (adagrad 0 eta 0%N 0 q g).2 = q - eta 0%N *: signs g.
Proof.
rewrite /adagrad /= add0r; congr (_ - _ *: _); apply/matrixP => i j.
by rewrite !mxE addr0 ratio_sg.
Qed.

Theorem adam_first_step (b1 b2 : R) (eta : nat -> R) (q g : 'cV[R]_2) : b1 != 1 -> b2 != 1 ->
  (adam 0 b1 b2 eta (@never R) (@never R) 0%N (0, 0) q g).2 = q - eta 0%N *: signs g.
Proof.
move=> b11 b21; have c1 : 1 - b1 != 0 by rewrite subr_eq0 eq_sym.
have c2 : 1 - b2 != 0 by rewrite subr_eq0 eq_sym.
rewrite /adam /never /= mulr0 subr0 scale1r !scaler0 !scale0r !add0r addr0 !expr1 !scalerA.
rewrite !mulVf // !scale1r; congr (_ - _ *: _); apply/matrixP => i j.
by rewrite !mxE addr0 ratio_sg.
Qed.

Theorem adagrad_does_not_rotate :
  weights (adagrad 0 one) (pull_to (turn *m user0)) 0 (turn *m row0) 1%N
  != turn *m weights (adagrad 0 one) (pull_to user0) 0 row0 1%N.
Proof.
rewrite !weights1 pull_to_row0 pull_to_turned !(adagrad_first_step one).
exact: sign_steps_disagree.
Qed.

Theorem adam_does_not_rotate (b1 b2 : R) : b1 != 1 -> b2 != 1 ->
  weights (adam 0 b1 b2 one (@never R) (@never R)) (pull_to (turn *m user0)) (0, 0)
          (turn *m row0) 1%N
  != turn *m weights (adam 0 b1 b2 one (@never R) (@never R)) (pull_to user0) (0, 0) row0 1%N.
Proof.
move=> b11 b21; rewrite [X in X != _](_ : _ = turn *m row0 - 1 *: signs turned_grad0).
  rewrite [X in _ != _ *m X](_ : _ = row0 - 1 *: signs grad0); first exact: sign_steps_disagree.
  by rewrite weights1 pull_to_row0; apply: adam_first_step.
by rewrite weights1 pull_to_turned; apply: adam_first_step.
Qed.

(** Clipping by coordinate at 12/125. *)
Theorem clip_value_does_not_rotate :
  clip_value (fun=> 12%:R / 125%:R) 0 (turn *m grad0)
  != turn *m clip_value (fun=> 12%:R / 125%:R) 0 grad0.
Proof.
set tau : nat -> R := fun=> 12%:R / 125%:R; apply/negP => /eqP /colP /(_ 1).
have pos (a b : nat) : 0 <= a%:R / b%:R :> R by rewrite divr_ge0 ?ler0n.
have -> : clip_value tau 0 grad0 = vec2 (- (12%:R / 125%:R)) (12%:R / 125%:R).
  apply/colP => i; rewrite !mxE; case: ifP => _.
    rewrite min_r; last by apply: le_trans (pos 12%N 125%N); rewrite oppr_le0.
    by rewrite max_l // ler_opp2 ler_pmul2r ?invr_gt0 ?ltr0n // ler_nat.
  rewrite min_l ?lexx // max_r //; apply: le_trans (pos 12%N 125%N).
  by rewrite /tau oppr_le0.
have -> : turn *m grad0 = turned_grad0 by rewrite /turn /grad0 vec2E; congr vec2; field.
rewrite /turn vec2E !mxE /= min_r; last by apply: le_trans (pos 12%N 125%N); rewrite oppr_le0.
rewrite max_r; last first.
  rewrite ler_opp2 (_ : 28%:R / 625%:R = (28%:R / 5%:R) / 125%:R); last by field.
  rewrite /tau ler_pmul2r ?invr_gt0 ?ltr0n // ler_pdivr_mulr ?ltr0n // -natrM.
  by rewrite ler_nat.
move=> e; suff : (16%:R / 625%:R : R) == 0 by rewrite mulf_eq0 invr_eq0 !pnatr_eq0.
apply/eqP; transitivity (- (12%:R / 625%:R) - (- (28%:R / 625%:R)) : R); first by field.
by rewrite e; field.
Qed.

End Witnesses.

(** ** They do commute with sign flips and permutations of the coordinates *)
Section Coordinates.
Variables (R : rcfType) (d N : nat) (s : 'I_d -> R) (pi : 'S_d).
Hypothesis signs_s : sign_vector s.
Local Notation table := 'M[R]_(d, N).
Implicit Types (eta mu lam tau : nat -> R).

(** Coordinate i becomes s_i times coordinate pi i, in every row. *)
Definition flip : table -> table := relabel s pi 1%g.

(** The gradients of run 2 at the flipped tables are the flipped gradients. *)
Definition flips_along (G G' : nat -> table -> table) (w : nat -> table) : Prop :=
  forall t, G' t (flip (w t)) = flip (G t (w t)).

Variables (G G' : nat -> table -> table) (q0 : table).

Theorem sign_run_flips eta :
  flips_along G G' (weights (sign_rule eta) G tt q0) ->
  forall t, weights (sign_rule eta) G' tt (flip q0) t = flip (weights (sign_rule eta) G tt q0 t).
Proof. by apply: weights_intertwine (sign_relabels pi 1%g signs_s eta) _. Qed.

Theorem lion_run_flips eta b1 b2 mu :
  flips_along G G' (weights (lion eta b1 b2 mu) G 0 q0) ->
  forall t, weights (lion eta b1 b2 mu) G' 0 (flip q0) t
            = flip (weights (lion eta b1 b2 mu) G 0 q0 t).
Proof.
have step := lion_relabels (N := N) (pi := pi) (sigma := 1%g) signs_s eta b1 b2 mu.
by apply: (@weights_intertwine _ _ _ _ _ _ _ _ _ _ G G' 0 0 q0 step); rewrite relabel0.
Qed.

Theorem adagrad_run_flips eps eta :
  flips_along G G' (weights (adagrad eps eta) G 0 q0) ->
  forall t, weights (adagrad eps eta) G' 0 (flip q0) t
            = flip (weights (adagrad eps eta) G 0 q0 t).
Proof.
have step := adagrad_relabels (N := N) (pi := pi) (sigma := 1%g) signs_s eps eta.
apply: (@weights_intertwine _ _ _ _ _ _ _ _ _ _ G G' 0 0 q0 step).
by apply/matrixP => i j; rewrite !mxE.
Qed.

Theorem adam_run_flips eps b1 b2 eta lam mu :
  flips_along G G' (weights (adam eps b1 b2 eta lam mu) G (0, 0) q0) ->
  forall t, weights (adam eps b1 b2 eta lam mu) G' (0, 0) (flip q0) t
            = flip (weights (adam eps b1 b2 eta lam mu) G (0, 0) q0 t).
Proof.
have step := adam_relabels (N := N) (pi := pi) (sigma := 1%g) signs_s eps b1 b2 eta lam mu.
apply: (@weights_intertwine _ _ _ _ _ _ _ _ _ _ G G' (0, 0) (0, 0) q0 step).
by rewrite /= relabel0; split=> //; apply/matrixP => i j; rewrite !mxE.
Qed.

Theorem clip_value_run_flips eta tau : (forall t, 0 <= tau t) ->
  flips_along G G' (weights (after (clip_value tau) (sgd eta)) G tt q0) ->
  forall t, weights (after (clip_value tau) (sgd eta)) G' tt (flip q0) t
            = flip (weights (after (clip_value tau) (sgd eta)) G tt q0 t).
Proof.
move=> tau0; have clipped t g : clip_value tau t (flip g) = flip (clip_value tau t g).
  exact: clip_value_relabel.
exact: (weights_intertwine (intertwines_after clipped (sgd_relabels s pi 1%g eta))).
Qed.

End Coordinates.
