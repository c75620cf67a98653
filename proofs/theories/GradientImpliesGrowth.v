(** * gradient-implies-growth: a refuted implication, and what restores it

    What one would expect (NormFace, Wang et al. 2017; Draganov et al. 2025, "holds across
    architectures"): the gradient of a cosine loss is orthogonal to the embedding, therefore
    gradient descent makes the embedding's norm grow, for any encoder.

    It is false.  The gradient with respect to the *embedding* is orthogonal to it; the *step*
    of the embedding is - eta K g with K = J Jᵀ, and K need not keep the orthogonal complement.
    [gradient_implies_growth] states the implication, [small_rate_growth] its weakest form (only
    for all small enough rates).  Both are refuted, with gradients derived from cosine losses:
    - a frozen projection q = diag(1,2) e:             radial part - 144 eta/125;
    - a two-layer encoder q = V h, both trained:       radial part - 144 eta/125;
    - a shared row q_b = e_a + e_b:                    q_a shrinks although only b was sampled;
    - weight decay:                                    radial part - eta lambda ‖q‖²;
    - sign descent, and Adam's and AdaGrad's first step:   radial part - eta.
    In each case the gradient is orthogonal and the norm shrinks for every rate in an interval
    (0, eta_0).  The hypotheses that restore the implication: the embedding is an affine
    function of private parameters with J Jᵀ = kappa I, and the step is the gradient times one
    scalar; then ‖q'‖² = ‖q‖² + (eta kappa)² ‖g‖², for every rate.
    Source: the counterexamples and the restoring theorem are derived here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Optimizers RotationEquivariance NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** The implication *)
Section Statement.
Variable R : rcfType.

(** A gradient step on the parameters theta of an encoder, with h the gradient of the loss of
    the embedding, as a function of theta. *)
Definition gradient_implies_growth : Prop :=
  forall (p d : nat) (enc : 'cV[R]_p -> 'cV[R]_d) (loss : 'cV[R]_d -> R)
         (theta h : 'cV[R]_p) (g : 'cV[R]_d) (eta : R),
    homog0 loss -> enc theta != 0 ->
    is_grad loss (enc theta) g -> ⟨enc theta, g⟩ = 0 ->
    is_grad (fun x => loss (enc x)) theta h ->
    0 < eta -> ‖enc theta‖² <= ‖enc (theta - eta *: h)‖².

(** The weakest form: for every encoder and loss there is some rate below which no step
    shrinks the norm. *)
Definition small_rate_growth : Prop :=
  forall (p d : nat) (enc : 'cV[R]_p -> 'cV[R]_d) (loss : 'cV[R]_d -> R)
         (theta h : 'cV[R]_p) (g : 'cV[R]_d),
    homog0 loss -> enc theta != 0 ->
    is_grad loss (enc theta) g -> ⟨enc theta, g⟩ = 0 ->
    is_grad (fun x => loss (enc x)) theta h ->
    exists2 eta0, 0 < eta0 &
      forall eta, 0 < eta -> eta < eta0 -> ‖enc theta‖² <= ‖enc (theta - eta *: h)‖².

Lemma implication_gives_small_rates : gradient_implies_growth -> small_rate_growth.
Proof.
move=> imp p d enc loss theta h g h0 q0 dg qg dh; exists 1 => [|eta e0 _]; first exact: ltr01.
exact: imp h0 q0 dg qg dh e0.
Qed.

End Statement.

(** ** Common data: q = (3,4), pulled towards e1 or e2 by the loss - cos *)
Section Data.
Variable R : rcfType.

Definition q34 : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition e1 : 'cV[R]_2 := vec2 1 0.
Definition e2 : 'cV[R]_2 := vec2 0 1.

(** The loss of a pair, as a function of the item's embedding. *)
Definition pair_loss (u q : 'cV[R]_2) : R := - cosine q u.

Lemma pair_loss_homog0 u : homog0 (pair_loss u).
Proof. by move=> q _ c c0; rewrite /pair_loss cosine_scale. Qed.

Definition g1 : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
Definition g2 : 'cV[R]_2 := vec2 (12%:R / 125%:R) (- (9%:R / 125%:R)).

Lemma q34_nrm2 : ‖q34‖² = 25%:R.
Proof. by rewrite /q34 vec2E; ring. Qed.

Lemma q34_neq0 : q34 != 0.
Proof. by rewrite -nrm2_gt0 q34_nrm2 ltr0n. Qed.

Lemma pair_grad_e1 : is_grad (pair_loss e1) q34 g1.
Proof.
have n5 : 0 < 5%:R :> R by rewrite ltr0n.
have q5 : ‖q34‖² = 5%:R ^+ 2 by rewrite q34_nrm2; ring.
have u1 : ‖e1‖² = 1 ^+ 2 by rewrite /e1 vec2E; ring.
have e : - cos_grad q34 e1 5%:R 1 = g1.
  by rewrite /q34 /e1 /g1 cos_grad_vec2 vec2E; congr vec2; field.
by rewrite -e; apply: is_gradN (cosine_gradientE n5 ltr01 q5 u1).
Qed.

Lemma pair_grad_e2 : is_grad (pair_loss e2) q34 g2.
Proof.
have n5 : 0 < 5%:R :> R by rewrite ltr0n.
have q5 : ‖q34‖² = 5%:R ^+ 2 by rewrite q34_nrm2; ring.
have u1 : ‖e2‖² = 1 ^+ 2 by rewrite /e2 vec2E; ring.
have e : - cos_grad q34 e2 5%:R 1 = g2.
  by rewrite /q34 /e2 /g2 cos_grad_vec2 vec2E; congr vec2; field.
by rewrite -e; apply: is_gradN (cosine_gradientE n5 ltr01 q5 u1).
Qed.

(** Both are orthogonal to q, by Euler and not by computation. *)
Lemma g1_orth : ⟨q34, g1⟩ = 0.
Proof. exact: euler_grad_orth (@pair_loss_homog0 e1 _ q34_neq0) pair_grad_e1. Qed.
Lemma g2_orth : ⟨q34, g2⟩ = 0.
Proof. exact: euler_grad_orth (@pair_loss_homog0 e2 _ q34_neq0) pair_grad_e2. Qed.

(** A step whose squared norm is ‖q‖² - 2 eta a + eta² b shrinks for all eta < 2 a / b. *)
Lemma parabola_shrinks (x a b eta : R) : 0 < b -> 0 < eta -> eta < 2%:R * a / b ->
  x - 2%:R * eta * a + eta ^+ 2 * b < x.
Proof.
move=> b0 pos; rewrite ltr_pdivl_mulr // => small; rewrite -subr_lt0.
have -> : x - 2%:R * eta * a + eta ^+ 2 * b - x = eta * (eta * b - 2%:R * a) by ring.
by rewrite pmulr_rlt0 // subr_lt0.
Qed.

(** For steps q + eta v: the interval of rates in which the norm shrinks. *)
Lemma inward_step_shrinks (q v : 'cV[R]_2) (eta : R) : 0 < ‖v‖² -> 0 < eta ->
  eta < 2%:R * - ⟨q, v⟩ / ‖v‖² -> ‖q + eta *: v‖² < ‖q‖².
Proof.
move=> v0 pos small; have := parabola_shrinks ‖q‖² v0 pos small.
rewrite nrm2D nrm2Z dotZr mulr2n; set x := ‖q‖²; set y := ⟨q, v⟩; set z := ‖v‖².
by have -> : x - 2%:R * eta * - y + eta ^+ 2 * z = x + (eta * y + eta * y) + eta ^+ 2 * z by ring.
Qed.

(** The same with the numbers of a step in the plane. *)
Lemma inward_vec2_shrinks (v1 v2 a b eta : R) : a = - (3%:R * v1 + 4%:R * v2) ->
  b = v1 ^+ 2 + v2 ^+ 2 -> 0 < b -> 0 < eta -> eta < 2%:R * a / b ->
  ‖q34 + eta *: vec2 v1 v2‖² < ‖q34‖².
Proof.
move=> aE bE b0 pos small; have vb : ‖vec2 v1 v2‖² = b by rewrite vec2E bE !expr2.
by apply: inward_step_shrinks; rewrite ?vb // /q34 vec2E -aE.
Qed.

End Data.

(** ** Counterexample 1: a frozen projection *)
Section FrozenProjection.
Variable R : rcfType.

Definition stretch : 'M[R]_2 := mat2 1 0 0 2%:R.
Definition encode (e : 'cV[R]_2) : 'cV[R]_2 := stretch *m e.
Definition raw : 'cV[R]_2 := vec2 3%:R 2%:R.

(** The gradient of the loss in the raw row, derived. *)
Definition raw_grad : 'cV[R]_2 := stretch^T *m g1 R.

Lemma encode_raw : encode raw = q34 R.
Proof. by rewrite /encode /stretch /raw vec2E; congr vec2; ring. Qed.

Lemma raw_gradient : is_grad (fun e => pair_loss (e1 R) (encode e)) raw raw_grad.
Proof. by apply: is_grad_linear; rewrite -/(encode raw) encode_raw; apply: pair_grad_e1. Qed.

(** Radial part - 144 eta/125 for every rate; shrinks for every rate below
    2 (144/125) / (512/3125) = 225/16. *)
Theorem frozen_projection_shrinks :
  [/\ encode raw = q34 R, is_grad (pair_loss (e1 R)) (encode raw) (g1 R),
      ⟨encode raw, g1 R⟩ = 0, is_grad (fun e => pair_loss (e1 R) (encode e)) raw raw_grad
    & forall eta,
        ⟨encode raw, encode (raw - eta *: raw_grad) - encode raw⟩ = - (144%:R / 125%:R) * eta /\
        (0 < eta -> eta < 2%:R * (144%:R / 125%:R) / (512%:R / 3125%:R) ->
         ‖encode (raw - eta *: raw_grad)‖² < ‖encode raw‖²)].
Proof.
rewrite encode_raw; split; [by [] | exact: pair_grad_e1 | exact: g1_orth
  | exact: raw_gradient | move=> eta].
have stepE : encode (raw - eta *: raw_grad)
             = q34 R + eta *: vec2 (16%:R / 125%:R) (- (48%:R / 125%:R)).
  by rewrite /encode /raw_grad /stretch /raw /g1 /q34 !vec2E; congr vec2; field.
rewrite stepE addrAC subrr add0r; split; first by rewrite dotZr /q34 vec2E; field.
apply: inward_vec2_shrinks; [by field | by field |].
by rewrite divr_gt0 ?ltr0n.
Qed.

End FrozenProjection.

(** Hence even the weakest form of the implication is false. *)
Theorem small_rate_growth_is_false (R : rcfType) : ~ small_rate_growth R.
Proof.
move=> imp; have [qE dg qg dh shrink] := frozen_projection_shrinks R.
have q0 : encode (raw R) != 0 by rewrite qE q34_neq0.
have [eta0 eta00 grow] := imp _ _ _ _ _ _ _ (@pair_loss_homog0 R (e1 R)) q0 dg qg dh.
set bound := _ / (512%:R / 3125%:R) in shrink.
pose m := Num.min eta0 bound; pose eta := m / 2%:R.
have bound0 : 0 < bound.
  apply: divr_gt0; last by apply: divr_gt0; rewrite ltr0n.
  by apply: mulr_gt0; [rewrite ltr0n | apply: divr_gt0; rewrite ltr0n].
have m0 : 0 < m by rewrite lt_minr eta00 bound0.
have e0 : 0 < eta by rewrite divr_gt0 ?ltr0n.
have em : eta < m by rewrite ltr_pdivr_mulr ?ltr0n // mulr_natr mulr2n ltr_addl.
have e1 : eta < eta0 by apply: lt_le_trans em _; rewrite le_minl lexx.
have e2 : eta < bound by apply: lt_le_trans em _; rewrite le_minl lexx orbT.
have [_ /(_ e0 e2)] := shrink eta; apply/negP; rewrite -leNgt; exact: grow.
Qed.

(** The implication of the literature is refuted. *)
Theorem gradient_implies_growth_is_false (R : rcfType) : ~ gradient_implies_growth R.
Proof. by move=> /implication_gives_small_rates; apply: small_rate_growth_is_false. Qed.

(** ** Counterexample 2: a two-layer encoder q = V h, both layers trained *)
Section DeepEncoder.
Variable R : rcfType.

Definition top : 'M[R]_2 := mat2 1 0 0 2%:R.
Definition hidden : 'cV[R]_2 := vec2 3%:R 2%:R.

(** Both gradients derived, of V with h fixed and of h with V fixed. *)
Theorem deep_encoder_shrinks :
  let GV := g1 R *m hidden^T in let gh := top^T *m g1 R in
  [/\ top *m hidden = q34 R, ⟨q34 R, g1 R⟩ = 0,
      is_gradM (fun V => pair_loss (e1 R) (V *m hidden)) top GV,
      is_grad (fun h => pair_loss (e1 R) (top *m h)) hidden gh
    & forall eta, let q' := (top - eta *: GV) *m (hidden - eta *: gh) in
        ⟨q34 R, q' - q34 R⟩ = - (144%:R / 125%:R) * eta /\
        (0 < eta -> eta < 2%:R * (144%:R / 125%:R) / ((224%:R / 125%:R) ^+ 2 + (204%:R / 125%:R) ^+ 2)
         -> ‖q'‖² < ‖q34 R‖²)].
Proof.
move=> GV gh; have qE : top *m hidden = q34 R.
  by rewrite /top /hidden /q34 vec2E; congr vec2; ring.
split; [exact: qE | exact: g1_orth | | | move=> eta q'].
- by apply: is_gradM_outer0; rewrite qE; apply: pair_grad_e1.
- by apply: is_grad_linear; rewrite qE; apply: pair_grad_e1.
have q'E : q' = q34 R + eta *: vec2 (224%:R / 125%:R) (- (204%:R / 125%:R)).
  rewrite /q' mulmxBl mulmxBr qE -scalemxAl outer_mul /gh /top /hidden /g1 /q34 !vec2E.
  by congr vec2; field.
rewrite q'E addrAC subrr add0r; split; first by rewrite dotZr /q34 vec2E; field.
apply: inward_vec2_shrinks; [by field | by rewrite sqrrN |].
by rewrite addr_gt0 // exprn_gt0 // divr_gt0 ?ltr0n.
Qed.

End DeepEncoder.

(** ** Counterexample 3: a shared row, q_a = e_a and q_b = e_a + e_b, both pulled to e1 *)
Section SharedRow.
Variable R : rcfType.

Definition row_b : 'cV[R]_2 := vec2 1 (-1).
Definition q43 : 'cV[R]_2 := vec2 4%:R 3%:R.
Definition g43 : 'cV[R]_2 := vec2 (- (9%:R / 125%:R)) (12%:R / 125%:R).

Lemma pair_grad_q43 : is_grad (pair_loss (e1 R)) q43 g43.
Proof.
have n5 : 0 < 5%:R :> R by rewrite ltr0n.
have q5 : ‖q43‖² = 5%:R ^+ 2 by rewrite /q43 vec2E; ring.
have u1 : ‖e1 R‖² = 1 ^+ 2 by rewrite /e1 vec2E; ring.
have e : - cos_grad q43 (e1 R) 5%:R 1 = g43.
  by rewrite /q43 /e1 /g43 cos_grad_vec2 vec2E; congr vec2; field.
by rewrite -e; apply: is_gradN (cosine_gradientE n5 ltr01 q5 u1).
Qed.

(** Each gradient is orthogonal to its own embedding, the shared row gets their sum, and the
    embedding of a shrinks. *)
Theorem shared_row_shrinks :
  [/\ q34 R + row_b = q43, ⟨q34 R, g1 R⟩ = 0, ⟨q43, g43⟩ = 0,
      is_grad (fun ea => pair_loss (e1 R) ea + pair_loss (e1 R) (ea + row_b)) (q34 R) (g1 R + g43)
    & forall eta, let qa' := q34 R - eta *: (g1 R + g43) in
        ⟨q34 R, qa' - q34 R⟩ = - (21%:R / 125%:R) * eta /\
        (0 < eta -> eta < 2%:R * (21%:R / 125%:R) / ((25%:R / 125%:R) ^+ 2 + (24%:R / 125%:R) ^+ 2)
         -> ‖qa'‖² < ‖q34 R‖²)].
Proof.
have qb : q34 R + row_b = q43 by rewrite /q34 /row_b /q43 vec2E; congr vec2; ring.
have dg := pair_grad_q43; split=> //.
- exact: g1_orth.
- by rewrite /q43 /g43 vec2E; field.
- apply: (@is_gradD R 2%N (pair_loss (e1 R)) (fun ea => pair_loss (e1 R) (ea + row_b))).
    exact: pair_grad_e1.
  have := @is_grad_affine R 2%N 2%N 1%:M row_b (pair_loss (e1 R)) (q34 R) g43.
  rewrite mul1mx qb trmx1 mul1mx => /(_ dg) h v.
  by apply: is_deriv_ext (h v) => y; rewrite mul1mx.
move=> eta qa'; have -> : qa' = q34 R + eta *: vec2 (25%:R / 125%:R) (- (24%:R / 125%:R)).
  by rewrite /qa' /q34 /g1 /g43 !vec2E; congr vec2; field.
rewrite addrAC subrr add0r; split; first by rewrite dotZr /q34 vec2E; field.
apply: inward_vec2_shrinks; [by field | by rewrite sqrrN |].
by rewrite addr_gt0 // exprn_gt0 // divr_gt0 ?ltr0n.
Qed.

End SharedRow.

(** ** Counterexamples 4 and 5: the rule, not the encoder *)
Section Rules.
Variable R : rcfType.

(** Weight decay, any lambda > 0, the embedding being its own parameter. *)
Theorem weight_decay_shrinks (eta lam : R) :
  let q' := (sgd_coupled (fun=> eta) (fun=> lam) 0%N tt (q34 R) (g1 R)).2 in
  [/\ is_grad (pair_loss (e1 R)) (q34 R) (g1 R), ⟨q34 R, g1 R⟩ = 0,
      ⟨q34 R, q' - q34 R⟩ = - (eta * lam) * ‖q34 R‖²
    & 0 < lam -> 0 < eta -> eta < 2%:R * (25%:R * lam) / (25%:R * lam ^+ 2 + 16%:R / 625%:R) ->
      ‖q'‖² < ‖q34 R‖²].
Proof.
move=> q'; have -> : q' = q34 R + eta *: vec2 (16%:R / 125%:R - lam * 3%:R) (- (12%:R / 125%:R) - lam * 4%:R).
  by rewrite /q' /sgd_coupled /= /q34 /g1 !vec2E; congr vec2; field.
split; [exact: pair_grad_e1 | exact: g1_orth | |].
  by rewrite addrAC subrr add0r dotZr /q34 !vec2E; field.
move=> l0; apply: inward_vec2_shrinks; [by field | by field |].
apply: addr_gt0; last by apply: divr_gt0; rewrite ltr0n.
by apply: mulr_gt0; [rewrite ltr0n | apply: exprn_gt0].
Qed.

(** Sign descent: (3,4) -> (3 + eta, 4 - eta). *)
Theorem sign_descent_shrinks (eta : R) :
  let q' := (sign_rule (fun=> eta) 0%N tt (q34 R) (g1 R)).2 in
  [/\ is_grad (pair_loss (e1 R)) (q34 R) (g1 R), ⟨q34 R, g1 R⟩ = 0,
      ⟨q34 R, q' - q34 R⟩ = - eta & 0 < eta -> eta < 1 -> ‖q'‖² < ‖q34 R‖²].
Proof.
move=> q'; have -> : q' = q34 R + eta *: vec2 1 (-1).
  rewrite /q' /sign_rule /= (_ : g1 R = grad0 R) // signs_grad0 /q34 !vec2E.
  by congr vec2; ring.
split; [exact: pair_grad_e1 | exact: g1_orth | |].
  by rewrite addrAC subrr add0r dotZr /q34 !vec2E; ring.
move=> e0 e1; apply: (@inward_vec2_shrinks R 1 (-1) 1 2%:R) => //; [by ring | by ring | | ].
  by rewrite ltr0n.
by rewrite mulr1 divff // pnatr_eq0.
Qed.

(** The first steps of Adam and of element-wise AdaGrad, epsilon zero, are that step. *)
Theorem adam_first_step_shrinks (b1 b2 eta : R) : b1 != 1 -> b2 != 1 -> 0 < eta -> eta < 1 ->
  ‖(adam 0 b1 b2 (fun=> eta) (@never R) (@never R) 0%N (0, 0) (q34 R) (g1 R)).2‖² < ‖q34 R‖².
Proof.
move=> b11 b21 e0 e1; rewrite adam_first_step //.
by have [_ _ _] := sign_descent_shrinks eta; apply.
Qed.

Theorem adagrad_first_step_shrinks (eta : R) : 0 < eta -> eta < 1 ->
  ‖(adagrad 0 (fun=> eta) 0%N 0 (q34 R) (g1 R)).2‖² < ‖q34 R‖².
Proof.
move=> e0 e1; rewrite adagrad_first_step.
by have [_ _ _] := sign_descent_shrinks eta; apply.
Qed.

End Rules.

(** ** What restores the implication *)
Section Restored.
Variables (R : realFieldType) (p d : nat).
Implicit Types (A : 'M[R]_(d, p)) (b g : 'cV[R]_d) (theta h : 'cV[R]_p) (s kappa : R).

(** An affine encoder of private parameters with isotropic Jacobian, and a step that is the
    gradient times one scalar (any schedule, clipping by norm, row-wise AdaGrad): the step of
    the embedding is orthogonal to it and the norm grows by exactly (s kappa)² ‖g‖². *)
Theorem restored_implication A b kappa (loss : 'cV[R]_d -> R) theta h g s
    (enc := fun x => A *m x + b) :
  A *m A^T = kappa%:M ->
  homog0 loss -> enc theta != 0 -> is_grad loss (enc theta) g ->
  is_grad (fun x => loss (enc x)) theta h ->
  ⟨enc theta, enc (theta - s *: h) - enc theta⟩ = 0 /\
  ‖enc (theta - s *: h)‖² = ‖enc theta‖² + (s * kappa) ^+ 2 * ‖g‖².
Proof.
move=> iso L0 q0 dg dh; have qg := euler_grad_orth (L0 _ q0) dg.
have hE : h = A^T *m g by apply: is_grad_uniq dh _; apply: is_grad_affine dg.
have stepE : enc (theta - s *: h) = enc theta - (s * kappa) *: g.
  rewrite /enc mulmxBr -scalemxAr hE mulmxA iso mul_scalar_mx scalerA.
  by rewrite addrAC.
rewrite stepE; split; first by rewrite addrAC subrr add0r dotNr dotZr qg mulr0 oppr0.
by rewrite -scaleNr pythagoras ?nrm2Z ?sqrrN // dotZr qg mulr0.
Qed.

(** Whole runs: with a new loss and scalar at every step, the norm never shrinks. *)
Theorem restored_run A b kappa (loss : nat -> 'cV[R]_d -> R) (theta h : nat -> 'cV[R]_p)
    (g : nat -> 'cV[R]_d) (s : nat -> R) (enc := fun x => A *m x + b) :
  A *m A^T = kappa%:M -> (forall t, homog0 (loss t)) -> enc (theta 0%N) != 0 ->
  (forall t, is_grad (loss t) (enc (theta t)) (g t)) ->
  (forall t, is_grad (fun x => loss t (enc x)) (theta t) (h t)) ->
  (forall t, theta t.+1 = theta t - s t *: h t) ->
  forall T, ‖enc (theta T)‖² = ‖enc (theta 0%N)‖² + \sum_(t < T) ((s t * kappa) ^+ 2 * ‖g t‖²).
Proof.
move=> iso L0 q0 dg dh run T.
suff [] : enc (theta T) != 0 /\
  ‖enc (theta T)‖² = ‖enc (theta 0%N)‖² + \sum_(t < T) ((s t * kappa) ^+ 2 * ‖g t‖²) by [].
elim: T => [|T [IHq IH]]; first by rewrite big_ord0 addr0.
have [_ grow] := restored_implication (s T) iso (L0 T) IHq (dg T) (dh T).
have e : ‖enc (theta T.+1)‖² = ‖enc (theta T)‖² + (s T * kappa) ^+ 2 * ‖g T‖² by rewrite run.
split; last by rewrite e IH big_ord_recr /= addrA.
by rewrite -nrm2_gt0 e ltr_paddr ?nrm2_gt0 // mulr_ge0 ?sqr_ge0 ?nrm2_ge0.
Qed.

End Restored.
