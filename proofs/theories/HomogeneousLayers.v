(** * homogeneous-layers: parameter gradients are orthogonal layer by layer.

    A tower of any number of layers z ↦ φ_l(W_l z), l = 0, 1, ..., without biases, each φ_l
    acting on components with φ_l(c x) = c φ_l(x) for c > 0 (ReLU, leaky ReLU, identity; the
    layers may differ), applied to a whole batch, with any widths, under a loss that does
    not see the scale of the outputs.  Then for EVERY layer
        ⟨W_l, ∇_{W_l} L⟩_F = Σ_items ⟨q, g⟩ = 0,
    so that an SGD step gives ‖W_l'‖_F² = ‖W_l‖_F² + η² ‖∇_{W_l} L‖_F² exactly, layer by
    layer, although the steps of the embeddings are not orthogonal to them.
    Three forms are proved.
    - From the derivative: wherever the gradient in W_l exists, it is orthogonal to W_l.
    - From back-propagation with any slopes S_l that satisfy S_l ∘ z = φ_l(z) (at a kink of
      ReLU any number will do, since z = 0 there): ⟨W_l, grad_l⟩ = Σ_items ⟨q, g⟩ for every
      loss, which is 0 for a scale-invariant one.
    - For towers of (leaky) ReLUs, away from the kinks, back-propagation is the gradient.
    Biases, affine normalisation and activations such as GELU or tanh break it.
    Source: derived here for two-tower models; for one scale-invariant weight Arora, Li, Lyu
    2018.
    Proof: the output is homogeneous of degree 1 in each W_l, so Euler applies; for
    back-propagation the pairing ⟨δ_l, a_l⟩ of the error with the activation is the same
    number at every layer. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise Batch.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Hadamard.
Variables (R : realFieldType) (a b : nat).
Implicit Types (A B S : 'M[R]_(a, b)).

(** The product entry by entry. *)
Definition hadamard A B : 'M[R]_(a, b) := \matrix_(i, j) (A i j * B i j).

Lemma frob_hadamard S A B : frob (hadamard S A) B = frob A (hadamard S B).
Proof.
apply: eq_bigr => i _; apply: eq_bigr => j _; rewrite !mxE.
by rewrite [S i j * A i j]mulrC -mulrA.
Qed.

End Hadamard.

(** φ(c x) = c φ(x) for c > 0. *)
Definition pos_homogeneous (R : realFieldType) (phi : R -> R) : Prop :=
  forall c x, 0 < c -> phi (c * x) = c * phi x.

Section Tower.
Variables (R : realFieldType) (n : nat -> nat) (B : nat).
Variables (W : forall l, 'M[R]_(n l.+1, n l)) (phi : nat -> R -> R).
Variable X : 'M[R]_(n 0%N, B).

(** The activations of the batch; [activation l] is what layer l receives, and
    [activation L] is the output of a tower of L layers. *)
Fixpoint activation l : 'M[R]_(n l, B) :=
  if l is l'.+1 then map_mx (phi l') (W l' *m activation l') else X.

(** [k] further layers applied to [Z], which stands at level [l]. *)
Fixpoint forward l k (Z : 'M[R]_(n l, B)) : 'M[R]_(n (k + l)%N, B) :=
  if k is k'.+1 then map_mx (phi (k' + l)%N) (W (k' + l)%N *m forward k' Z) else Z.

(** The output of the tower of k + l + 1 layers as a function of the matrix of layer l. *)
Definition output_of_layer l k (V : 'M[R]_(n l.+1, n l)) : 'M[R]_(n (k + l.+1)%N, B) :=
  forward k (map_mx (phi l) (V *m activation l)).

Lemma forward_activation l k : forward k (activation l) = activation (k + l).
Proof. by elim: k => //= k ->. Qed.

Lemma output_of_layerE l k : output_of_layer k (W l) = activation (k + l.+1).
Proof. by rewrite -forward_activation. Qed.

Hypothesis phiH : forall l, pos_homogeneous (phi l).

Lemma map_phi_scale l a b c (Z : 'M[R]_(a, b)) : 0 < c ->
  map_mx (phi l) (c *: Z) = c *: map_mx (phi l) Z.
Proof. by move=> c0; apply/matrixP => i j; rewrite !mxE phiH. Qed.

Lemma forward_scale l k c (Z : 'M[R]_(n l, B)) : 0 < c ->
  forward k (c *: Z) = c *: forward k Z.
Proof.
move=> c0; elim: k => //= k ->.
by rewrite -scalemxAr map_phi_scale.
Qed.

(** The output is homogeneous of degree 1 in the matrix of each layer. *)
Theorem output_homogeneous l k c (V : 'M[R]_(n l.+1, n l)) : 0 < c ->
  output_of_layer k (c *: V) = c *: output_of_layer k V.
Proof. by move=> c0; rewrite /output_of_layer -scalemxAl map_phi_scale // forward_scale. Qed.

(** The gradient of every layer is orthogonal to its matrix. *)
Theorem layer_gradient_orthogonal l k (L : 'M[R]_(n (k + l.+1)%N, B) -> R) G :
  ray_const L (activation (k + l.+1)) ->
  is_gradM (fun V => L (output_of_layer k V)) (W l) G -> frob (W l) G = 0.
Proof.
move=> LH D; rewrite frobC; apply: (euler_deriv _ (D (W l))) => c c0.
by rewrite output_homogeneous // output_of_layerE LH.
Qed.

(** One SGD step of the layer. *)
Theorem layer_norm_growth l k (L : 'M[R]_(n (k + l.+1)%N, B) -> R) G eta :
  ray_const L (activation (k + l.+1)) ->
  is_gradM (fun V => L (output_of_layer k V)) (W l) G ->
  frob (W l - eta *: G) (W l - eta *: G) = frob (W l) (W l) + eta ^+ 2 * frob G G.
Proof.
move=> LH D; have o := layer_gradient_orthogonal LH D.
rewrite -scaleNr frob_pythagoras; last by rewrite frobZr o mulr0.
by rewrite frobZl frobZr mulrA mulrNN -expr2.
Qed.

(** ** Back-propagation *)

(** Slopes of the activation functions at the inputs that occur. *)
Variable S : forall l, 'M[R]_(n l.+1, B).
Hypothesis slope : forall l, hadamard (S l) (W l *m activation l) = activation l.+1.

(** The error at level l, from the error G at the output, k levels up. *)
Fixpoint backward l k : 'M[R]_(n (k + l)%N, B) -> 'M[R]_(n l, B) :=
  if k is k'.+1 then
    fun G => backward (k := k') ((W (k' + l)%N)^T *m hadamard (S (k' + l)%N) G)
  else fun G => G.

Definition backprop_gradient l k (G : 'M[R]_(n (k + l.+1)%N, B)) : 'M[R]_(n l.+1, n l) :=
  hadamard (S l) (backward G) *m (activation l)^T.

(** Error paired with activation: the same at every level. *)
Theorem pairing_conserved l k (G : 'M[R]_(n (k + l)%N, B)) :
  frob (backward G) (activation l) = frob G (activation (k + l)).
Proof.
elim: k G => //= k IH G; rewrite IH frob_mulmxl frob_hadamard.
by rewrite slope.
Qed.

(** For every loss and every layer: ⟨W_l, grad_l⟩ is the sum of ⟨q, g⟩ over the items. *)
Theorem layer_sum l k (G : 'M[R]_(n (k + l.+1)%N, B)) :
  frob (W l) (backprop_gradient G) = \sum_j ⟨col j (activation (k + l.+1)), col j G⟩.
Proof.
rewrite frobC /backprop_gradient frob_mulmxr frob_hadamard slope pairing_conserved.
by rewrite frob_cols; apply: eq_bigr => j _; rewrite dotC.
Qed.

(** With the gradient of a scale-invariant loss at the output, every layer is orthogonal. *)
Theorem backprop_orthogonal l k (L : 'M[R]_(n (k + l.+1)%N, B) -> R) G :
  columns_scale_free L (activation (k + l.+1)) ->
  is_gradM L (activation (k + l.+1)) G -> frob (W l) (backprop_gradient G) = 0.
Proof.
move=> LH D; rewrite layer_sum big1 // => j _; exact: batch_gradient_tangent.
Qed.

Theorem backprop_norm_growth l k (L : 'M[R]_(n (k + l.+1)%N, B) -> R) G eta :
  columns_scale_free L (activation (k + l.+1)) ->
  is_gradM L (activation (k + l.+1)) G ->
  let D := backprop_gradient G in
  frob (W l - eta *: D) (W l - eta *: D) = frob (W l) (W l) + eta ^+ 2 * frob D D.
Proof.
move=> LH DL D; have o := backprop_orthogonal LH DL.
rewrite -scaleNr frob_pythagoras; last by rewrite frobZr o mulr0.
by rewrite frobZl frobZr mulrA mulrNN -expr2.
Qed.

(** On the fixed pattern of these slopes the tower is linear in each matrix, and
    back-propagation computes its gradient. *)
Fixpoint pattern_forward l k (Z : 'M[R]_(n l, B)) : 'M[R]_(n (k + l)%N, B) :=
  if k is k'.+1 then hadamard (S (k' + l)%N) (W (k' + l)%N *m pattern_forward k' Z) else Z.

Definition pattern_output l k (V : 'M[R]_(n l.+1, n l)) : 'M[R]_(n (k + l.+1)%N, B) :=
  pattern_forward k (hadamard (S l) (V *m activation l)).

Lemma hadamard_lin a b (A Z H : 'M[R]_(a, b)) h :
  hadamard A (Z + h *: H) = hadamard A Z + h *: hadamard A H.
Proof. by apply/matrixP => i j; rewrite !mxE mulrDr mulrCA. Qed.

Lemma pattern_forward_lin l k (Z H : 'M[R]_(n l, B)) h :
  pattern_forward k (Z + h *: H) = pattern_forward k Z + h *: pattern_forward k H.
Proof. by elim: k => //= k ->; rewrite mulmxDr -scalemxAr hadamard_lin. Qed.

Lemma pattern_forward_activation l k : pattern_forward k (activation l) = activation (k + l).
Proof. by elim: k => //= k ->; rewrite slope. Qed.

(** At the actual parameters the pattern gives the actual output. *)
Theorem pattern_output_at_parameters l k :
  pattern_output k (W l) = activation (k + l.+1).
Proof. by rewrite /pattern_output slope pattern_forward_activation. Qed.

Lemma backward_adjoint l k (G : 'M[R]_(n (k + l)%N, B)) (Z : 'M[R]_(n l, B)) :
  frob (backward G) Z = frob G (pattern_forward k Z).
Proof. by elim: k G => //= k IH G; rewrite IH frob_mulmxl frob_hadamard. Qed.

Theorem backprop_is_gradient l k (L : 'M[R]_(n (k + l.+1)%N, B) -> R) G :
  is_gradM L (activation (k + l.+1)) G ->
  is_gradM (fun V => L (pattern_output k V)) (W l) (backprop_gradient G).
Proof.
move=> D V; set H := pattern_output k V.
have -> : frob (backprop_gradient G) V = frob G H.
  by rewrite /backprop_gradient frob_mulmxr frob_hadamard backward_adjoint.
have E h : pattern_output k (W l + h *: V) = activation (k + l.+1) + h *: H.
  rewrite /H /pattern_output mulmxDl -scalemxAl hadamard_lin pattern_forward_lin slope.
  by rewrite pattern_forward_activation.
move=> e /(D H)[d d0 DH]; exists d => // h h0 /(DH _ h0).
by rewrite E pattern_output_at_parameters.
Qed.

End Tower.

(** ReLU and leaky ReLU (slope a for x < 0), and the identity (a = 1). *)
Definition leaky_relu (R : realFieldType) (a x : R) : R := if x < 0 then a * x else x.

Theorem leaky_relu_homogeneous (R : realFieldType) (a : R) : pos_homogeneous (leaky_relu a).
Proof.
move=> c x c0; rewrite /leaky_relu pmulr_rlt0 //.
by case: ifP => _ //; rewrite mulrCA.
Qed.

(** Its slope, with any value s at the kink. *)
Definition leaky_slope (R : realFieldType) (a s x : R) : R :=
  if x < 0 then a else if x == 0 then s else 1.

Theorem leaky_slope_consistent (R : realFieldType) (a s x : R) :
  leaky_slope a s x * x = leaky_relu a x.
Proof.
rewrite /leaky_slope /leaky_relu; case: ifP => // _.
by case: eqP => [->|_]; rewrite ?mulr0 ?mul1r.
Qed.

(** Every tower of leaky ReLUs, of any depth and widths, satisfies the hypotheses on
    activations and slopes. *)
Example leaky_tower (R : realFieldType) (n : nat -> nat) (B : nat)
    (W : forall l, 'M[R]_(n l.+1, n l)) (X : 'M[R]_(n 0%N, B)) (a s : R) :
  let phi := fun _ : nat => leaky_relu a in
  let S l := map_mx (leaky_slope a s) (W l *m activation W phi X l) in
  (forall l, pos_homogeneous (phi l)) /\
  forall l, hadamard (S l) (W l *m activation W phi X l) = activation W phi X l.+1.
Proof.
move=> phi S; split=> [l|l]; first exact: leaky_relu_homogeneous.
rewrite /S /=; move: (W l *m _) => Z; apply/matrixP => i j; rewrite !mxE.
exact: leaky_slope_consistent.
Qed.

(** A tower of any depth with a loss whose gradient exists: identity layers of width 2,
    one item (3,4), the loss -cos(·, e1); every layer has a gradient. *)
Example layer_gradient_exists (R : rcfType) (l k : nat) :
  let n := fun _ : nat => 2%N in
  let W := fun _ : nat => 1%:M : 'M[R]_2 in
  let phi := fun (_ : nat) (x : R) => x in
  let X := columns (fun _ : 'I_1 => vec2 3%:R 4%:R : 'cV[R]_2) in
  let L := fun Q : 'M[R]_(2, 1) => \sum_j - cosine (col j Q) (vec2 1 0) in
  [/\ forall l, pos_homogeneous (phi l),
      ray_const L (@activation R n 1 W phi X (k + l.+1)),
      columns_scale_free L (@activation R n 1 W phi X (k + l.+1))
    & exists G, is_gradM (fun V => L (@output_of_layer R n 1 W phi X l k V)) (W l) G].
Proof.
move=> n W phi X L; have actE j : @activation R n 1 W phi X j = X.
  elim: j => //= j ->; rewrite mul1mx; apply/matrixP => a b; by rewrite !mxE.
have phiH j : pos_homogeneous (phi j) by [].
have q0 : vec2 3%:R 4%:R != 0 :> 'cV[R]_2 by rewrite -nrm2_gt0 dot_vec2 -!natrM -natrD ltr0n.
have p0 : vec2 1 0 != 0 :> 'cV[R]_2 by rewrite -nrm2_gt0 dot_vec2 mulr0 addr0 mulr1 ltr01.
split=> //.
- move=> c c0; apply: eq_bigr => j _; congr (- _).
  rewrite (_ : col j (c *: _) = c *: col j (activation W phi X (k + l.+1))) ?cosine_scale //.
  by apply/colP => i; rewrite !mxE.
- apply: cosine_columns_scale_free => Q Q' QQ; apply: eq_bigr => j _; by rewrite QQ.
- have D : is_gradM L X (columns (fun _ : 'I_1 =>
      - cos_grad (vec2 3%:R 4%:R) (vec2 1 0) (norm (vec2 3%:R 4%:R)) (norm (vec2 1 0 : 'cV[R]_2)))).
    apply: (@separable_batch_grad _ _ _ (fun _ x => - cosine x (vec2 1 0))) => j.
    rewrite col_columns; apply: is_gradN; exact: cosine_gradient.
  have fwdE V : @output_of_layer R n 1 W phi X l k V = V *m X.
    rewrite /output_of_layer actE; have -> : map_mx (phi l) (V *m X) = V *m X.
      by apply/matrixP => i j; rewrite !mxE.
    elim: k => //= k' ->; rewrite mul1mx; apply/matrixP => i j; by rewrite !mxE.
  eexists; move=> V; apply: (@is_deriv_ext _ _ (fun V => L (V *m X))) => [U|].
    by rewrite fwdE.
  apply: is_gradM_mulr; rewrite mul1mx; exact: D.
Qed.

(** ** For ReLU towers back-propagation is the gradient, away from the kinks *)
Section Relu.
Variable R : realFieldType.

Lemma finite_delta (I : finType) (P : I -> R -> Prop) :
  (forall i, exists2 d, 0 < d & forall h : R, `|h| < d -> P i h) ->
  exists2 d, 0 < d & forall i (h : R), `|h| < d -> P i h.
Proof.
move=> H; suff [d d0 D] : exists2 d, 0 < d & forall i, i \in enum I ->
    forall h : R, `|h| < d -> P i h.
  by exists d => // i h; apply: D; rewrite mem_enum.
elim: (enum I) => [|i s [d d0 IH]]; first by exists 1; rewrite ?ltr01.
have [d' d'0 H'] := H i; exists (Num.min d d') => [|j]; first by rewrite lt_minr d0.
rewrite inE => /orP[/eqP ->|js] h; rewrite lt_minr => /andP[h1 h2]; first exact: H'.
exact: IH h1.
Qed.

(** A number that is not 0 keeps its sign under a small change. *)
Lemma leaky_relu_near (a s x y : R) : x != 0 -> exists2 d, 0 < d & forall h : R, `|h| < d ->
  leaky_relu a (x + h * y) = leaky_slope a s x * (x + h * y).
Proof.
move=> x0; have y1 : 0 < `|y| + 1 by rewrite ltr_paddl ?normr_ge0 ?ltr01.
exists (`|x| / (`|y| + 1)) => [|h]; first by rewrite divr_gt0 // normr_gt0.
rewrite ltr_pdivl_mulr // => hy.
have lt : `|h * y| < `|x|.
  by rewrite normrM; apply: le_lt_trans hy; rewrite ler_wpmul2l // ler_addl ler01.
rewrite /leaky_relu /leaky_slope (negPf x0).
have [xn|xp|e] := ltgtP x 0; last by rewrite e eqxx in x0.
  rewrite (ltr0_norm xn) in lt; have neg : x + h * y < 0.
    by rewrite addrC -ltr_subr_addr sub0r; apply: le_lt_trans lt; apply: ler_norm.
  by case: ifP => // /negbT; rewrite -leNgt leNgt neg.
rewrite (gtr0_norm xp) in lt; have pos : 0 <= x + h * y.
  rewrite -ler_subl_addl sub0r; apply: ltW.
  by move: lt; rewrite ltr_norml => /andP[].
by case: ifP => [|_]; [rewrite ltNge pos | rewrite mul1r].
Qed.

Lemma map_leaky_relu_near (a s : R) p q (Z H : 'M[R]_(p, q)) :
  (forall i j, Z i j != 0) -> exists2 d, 0 < d & forall h : R, `|h| < d ->
    map_mx (leaky_relu a) (Z + h *: H)
    = hadamard (map_mx (leaky_slope a s) Z) (Z + h *: H).
Proof.
move=> Z0; pose P (ij : 'I_p * 'I_q) h := leaky_relu a (Z ij.1 ij.2 + h * H ij.1 ij.2)
  = leaky_slope a s (Z ij.1 ij.2) * (Z ij.1 ij.2 + h * H ij.1 ij.2).
have [|d d0 D] := @finite_delta _ P; first by move=> ij; apply: leaky_relu_near.
exists d => // h /D hd; apply/matrixP => i j; rewrite !mxE; exact: (hd (i, j)).
Qed.

Variables (n : nat -> nat) (B : nat) (W : forall l, 'M[R]_(n l.+1, n l)).
Variables (X : 'M[R]_(n 0%N, B)) (a s : R).
Let phi := fun _ : nat => leaky_relu a.
Let act := activation W phi X.
Let S l := map_mx (leaky_slope a s) (W l *m act l).

(** Where no component is at a kink, the gradient of the tower in the matrix of any layer
    is the one that back-propagation computes. *)
Theorem relu_gradient_is_backprop l k (L : 'M[R]_(n (k + l.+1)%N, B) -> R) G :
  (forall j, (l <= j)%N -> forall i c, (W j *m act j) i c != 0) ->
  is_gradM L (act (k + l.+1)) G ->
  is_gradM (fun V => L (output_of_layer W phi X k V)) (W l) (backprop_gradient W phi X S G).
Proof.
move=> nk D V.
have slope j : hadamard (S j) (W j *m act j) = act j.+1.
  rewrite /S /act /=; move: (W j *m _) => Z; apply/matrixP => i c; rewrite !mxE.
  exact: leaky_slope_consistent.
have near : exists2 d, 0 < d & forall h : R, `|h| < d ->
    output_of_layer W phi X k (W l + h *: V) = pattern_output W phi X S k (W l + h *: V).
  clear D G L; rewrite /output_of_layer /pattern_output.
  have [d0 d0_gt0 H0] : exists2 d, 0 < d & forall h : R, `|h| < d ->
      map_mx (phi l) ((W l + h *: V) *m act l) = hadamard (S l) ((W l + h *: V) *m act l).
    have [d d0 H] := map_leaky_relu_near a s (V *m act l) (nk l (leqnn l)).
    by exists d => // h /H; rewrite mulmxDl -scalemxAl.
  elim: k => [|k [d d_gt0 IH]]; first by exists d0.
  pose PV := pattern_forward W S k (hadamard (S l) (V *m act l)).
  have PE h : pattern_forward W S k (hadamard (S l) ((W l + h *: V) *m act l))
      = act (k + l.+1) + h *: PV.
    rewrite mulmxDl -scalemxAl hadamard_lin pattern_forward_lin slope.
    by rewrite (pattern_forward_activation slope).
  have le : (l <= k + l.+1)%N by rewrite addnS leqW // leq_addl.
  have [d' d'0 H'] := map_leaky_relu_near a s (W (k + l.+1)%N *m PV) (nk _ le).
  exists (Num.min d d') => [|h]; first by rewrite lt_minr d_gt0.
  rewrite lt_minr => /andP[/IH E /H' E'] /=.
  by rewrite E PE mulmxDr -scalemxAr; exact: E'.
have [d d0 N] := near.
move=> e /(backprop_is_gradient slope D V)[d' d'0 H].
exists (Num.min d d') => [|h h0]; first by rewrite lt_minr d0.
rewrite lt_minr => /andP[/N E /(H _ h0)].
by rewrite E output_of_layerE (pattern_output_at_parameters slope).
Qed.

End Relu.

(** Parameters away from the kinks: identity matrices of width 2 and the item (3,4). *)
Example no_kink_tower (R : realFieldType) (a : R) :
  let n := fun _ : nat => 2%N in
  let W := fun _ : nat => 1%:M : 'M[R]_2 in
  let X := columns (fun _ : 'I_1 => vec2 3%:R 4%:R : 'cV[R]_2) in
  forall l i c, (W l *m @activation R n 1 W (fun _ => leaky_relu a) X l) i c != 0.
Proof.
move=> n W X; have XE i c : X i c = if i == 0 then 3%:R else 4%:R by rewrite !mxE.
have actE j : @activation R n 1 W (fun _ => leaky_relu a) X j = X.
  elim: j => //= j ->; rewrite mul1mx; apply/matrixP => i c; rewrite mxE XE /leaky_relu.
  by case: (i == 0); rewrite ltNge ler0n.
move=> l i c; rewrite actE mul1mx XE.
by case: ifP => _; rewrite pnatr_eq0.
Qed.
