(** * Necessity, controls: a condition looks dropped and the update stays orthogonal

    The benign cases beside the witnesses, with derived gradients and exact numbers, so that a
    check cannot pass for noticing that a condition was dropped: a private gain times a private
    vector, a frozen scaled rotation, a shared tower with orthogonal features, a sign step whose
    coordinates have one size, the first momentum step, duplicates in a batch, a table shared by
    two towers with distinct rows, a frozen offset; and the gradient at a rescaled row.
    Numbers from witnesses.json. Derived here. No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine WitnessNumbers Necessity NecessitySharing NecessityOptimizers.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Controls.
Variable R : rcfType.
Implicit Types (eta : R).

(** Nothing dropped, the other user. *)
Theorem private_row_second_user (q := private_row_second_user_q R) : exists g,
  [/\ is_grad (cos_loss (private_row_second_user_user R)) q g, g = private_row_second_user_gradient R
    & forall eta (q' := q - eta *: g),
      ⟨q, q' - q⟩ = private_row_second_user_radial R eta /\ ‖q'‖² = private_row_second_user_norm2 R eta].
Proof.
exists (private_row_second_user_gradient R); split=> //; first exact: baseline_gradient_second.
by move=> eta; rewrite /q; private_row_second_user_numbers; rewrite !smallE; split; number.
Qed.

(** A private gain a times a private vector w: the gain's derivative is zero. *)
Theorem control_gain (a := control_gain_gain R) (w := control_gain_w R) (q := control_gain_q R)
    (l := cos_loss (control_gain_user R)) :
  a *: w = q /\ exists da Gw,
  [/\ is_deriv (fun x : R^o => l (x *: w)) a 1 da, da = control_gain_gain_gradient R,
      is_grad (fun x => l (a *: x)) w Gw
    & forall eta (q' := (a - eta * da) *: (w - eta *: Gw)), ⟨q, q' - q⟩ = control_gain_radial R eta].
Proof.
have qE : a *: w = q by rewrite /a /w /q; control_gain_numbers; rewrite !smallE; numbers.
have D : is_grad l (a *: w) (private_row_gradient R).
  by rewrite qE /q /l; control_gain_numbers; private_row_numbers; cos_gradient (5%:R : R) (1 : R).
split=> //; exists ⟨private_row_gradient R, w⟩, (a *: private_row_gradient R); split.
- move=> e /(D w)[d d0 H]; exists d => // h h0 /(H _ h0).
  have -> : a + h *: (1 : R^o) = a + h by rewrite /GRing.scale /= mulr1.
  by rewrite (scalerDl w a h).
- by rewrite /w; control_gain_numbers; private_row_numbers; rewrite !smallE; number.
- have := @is_grad_scaled_shift R 2 l a w 0 (private_row_gradient R).
  rewrite addr0 => /(_ D) D' v; apply: is_deriv_ext (D' v) => x.
  by rewrite addr0.
move=> eta; rewrite /a /w /q; control_gain_numbers; private_row_numbers.
by rewrite !smallE; number.
Qed.

(** A frozen scaled rotation after the table. *)
Theorem control_scaled_rotation (V := control_scaled_rotation_V R) (h := control_scaled_rotation_h R)
    (q := control_scaled_rotation_q R) :
  V *m h = q /\ exists2 G, is_grad (fun x => cos_loss (control_scaled_rotation_user R) (V *m x)) h G
  & forall eta (q' := V *m (h - eta *: G)),
      ⟨q, q' - q⟩ = control_scaled_rotation_radial R eta /\ ‖q'‖² = control_scaled_rotation_norm2 R eta.
Proof.
have qE : V *m h = q by rewrite /V /h /q; control_scaled_rotation_numbers; rewrite !smallE; numbers.
split=> //; exists (V^T *m private_row_gradient R).
  apply: is_grad_linear; rewrite qE /q; control_scaled_rotation_numbers; private_row_numbers.
  by cos_gradient (5%:R : R) (1 : R).
move=> eta; rewrite /V /h /q; control_scaled_rotation_numbers; private_row_numbers.
by rewrite !smallE; split; number.
Qed.

Lemma is_gradMD d m (f1 f2 : 'M[R]_(d, m) -> R) W G1 G2 :
  is_gradM f1 W G1 -> is_gradM f2 W G2 -> is_gradM (fun X => f1 X + f2 X) W (G1 + G2).
Proof. by move=> D1 D2 V; rewrite frobDl; apply: is_derivD. Qed.

(** A shared linear tower whose two features are orthogonal. *)
Theorem control_orthogonal_features (W := control_orthogonal_features_W R)
    (x_a := control_orthogonal_features_x_a R) (x_b := control_orthogonal_features_x_b R)
    (q_a := control_orthogonal_features_q_a R) (q_b := control_orthogonal_features_q_b R)
    (l := cos_loss (control_orthogonal_features_user R)) :
  [/\ W *m x_a = q_a, W *m x_b = q_b
  & exists2 G, is_gradM (fun X => l (X *m x_a) + l (X *m x_b)) W G
    & forall eta (W' := W - eta *: G),
        ⟨q_a, W' *m x_a - q_a⟩ = control_orthogonal_features_radial_a R eta /\
        ⟨q_b, W' *m x_b - q_b⟩ = control_orthogonal_features_radial_b R eta].
Proof.
have Ea : W *m x_a = q_a by rewrite /W /x_a /q_a; control_orthogonal_features_numbers; rewrite !smallE; numbers.
have Eb : W *m x_b = q_b by rewrite /W /x_b /q_b; control_orthogonal_features_numbers; rewrite !smallE; numbers.
have Da : is_grad l (W *m x_a) (private_row_gradient R).
  by rewrite Ea /q_a; control_orthogonal_features_numbers; private_row_numbers; cos_gradient (5%:R : R) (1 : R).
have Db : is_grad l (W *m x_b) (shared_row_gradient_b R).
  by rewrite Eb /q_b; control_orthogonal_features_numbers; shared_row_numbers; cos_gradient (5%:R : R) (1 : R).
split=> //; exists (private_row_gradient R *m x_a^T + shared_row_gradient_b R *m x_b^T).
  by apply: is_gradMD; apply: is_gradM_outer0.
move=> eta; rewrite /W /x_a /x_b /q_a /q_b; control_orthogonal_features_numbers; private_row_numbers; shared_row_numbers.
by rewrite !smallE; split; number.
Qed.

(** All coordinates of the gradient have one size: the sign step is a scalar step. *)
Lemma dot_vec4 (a b c d a' b' c' d' : R) :
  ⟨vec4 a b c d, vec4 a' b' c' d'⟩ = a * a' + b * b' + c * c' + d * d'.
Proof. by rewrite /dot !big_ord_recl big_ord0 !mxE /= addr0 !addrA. Qed.

Theorem control_equal_magnitudes (q := control_equal_magnitudes_q R) :
  exists2 g, is_grad (cos_loss (control_equal_magnitudes_user R)) q g
  & g = control_equal_magnitudes_gradient R /\
    forall eta, ⟨q, (q - eta *: \col_i Num.sg (g i 0)) - q⟩ = control_equal_magnitudes_radial R eta.
Proof.
have s4 : Num.sg (1 / 4%:R) = 1 :> R by rewrite gtr0_sg // divr_gt0 ?ltr0n ?ltr01.
exists (control_equal_magnitudes_gradient R).
  apply: (@cos_loss_grad R 4 _ _ _ 2%:R 2%:R); rewrite ?ltr0n // /q; control_equal_magnitudes_numbers.
  - by rewrite dot_vec4; ring.
  - by rewrite dot_vec4; ring.
  - rewrite /cos_grad dot_vec4; apply/colP => i; rewrite !mxE.
    by case: i => [[|[|[|[|]]]]] //= _; number.
split=> // eta; have -> : \col_i Num.sg (control_equal_magnitudes_gradient R i 0) = vec4 (-1) 1 (-1) 1.
  control_equal_magnitudes_numbers; apply/colP => i; rewrite !mxE.
  by case: i => [[|[|[|[|]]]]] //= _; rewrite ?sgrN s4.
rewrite addrAC subrr add0r dotNr dotZr /q; control_equal_magnitudes_numbers; rewrite dot_vec4.
by ring.
Qed.

(** The first heavy-ball step (an empty buffer) is a plain SGD step. *)
Theorem control_first_momentum_step (q := control_first_momentum_step_q R)
    (beta := control_first_momentum_step_beta R) :
  exists2 g, is_grad (cos_loss (control_first_momentum_step_user R)) q g
  & forall eta (p := beta *: 0 + g) (q' := q - eta *: p),
      ⟨q, q' - q⟩ = control_first_momentum_step_radial R eta /\ ‖q'‖² = control_first_momentum_step_norm2 R eta.
Proof.
exists (private_row_gradient R); first exact: baseline_gradient.
move=> eta; rewrite scaler0 add0r /q; control_first_momentum_step_numbers; private_row_numbers.
by rewrite !smallE; split; number.
Qed.

(** The item fills two slots of a batch, with two users: the loss is a sum, so is the gradient. *)
Theorem control_duplicates (q := control_duplicates_q R) :
  exists2 g, is_grad (fun x => cos_loss (control_duplicates_user R) x + cos_loss (control_duplicates_second_user R) x) q g
  & g = control_duplicates_gradient R /\ forall eta (q' := q - eta *: g),
      ⟨q, q' - q⟩ = control_duplicates_radial R eta /\ ‖q'‖² = control_duplicates_norm2 R eta.
Proof.
exists (control_duplicates_gradient R).
  have -> : control_duplicates_gradient R = private_row_gradient R + private_row_second_user_gradient R.
    control_duplicates_numbers; private_row_numbers; private_row_second_user_numbers.
    by rewrite !smallE; numbers.
  by apply: is_gradD; [apply: baseline_gradient | apply: baseline_gradient_second].
split=> // eta; rewrite /q; control_duplicates_numbers.
by rewrite !smallE; split; number.
Qed.

(** Two towers, one table, distinct rows: each row's gradient is orthogonal to its own row. *)
Theorem control_siamese (item := control_siamese_item R) (user := control_siamese_user R) :
  exists gi gu, [/\ is_grad (fun x => - cosine x user) item gi, is_grad (fun y => - cosine item y) user gu,
    gi = control_siamese_gradient_item R, gu = control_siamese_gradient_user R
  & forall eta, ⟨item, (item - eta *: gi) - item⟩ = control_siamese_radial_item R eta /\
                ⟨user, (user - eta *: gu) - user⟩ = control_siamese_radial_user R eta].
Proof.
exists (control_siamese_gradient_item R), (control_siamese_gradient_user R); split=> //.
- by rewrite /item /user; control_siamese_numbers; cos_gradient (5%:R : R) (5%:R : R).
- have D : is_grad (cos_loss item) user (control_siamese_gradient_user R).
    by rewrite /item /user; control_siamese_numbers; cos_gradient (5%:R : R) (5%:R : R).
  by apply: is_grad_ext D => y; rewrite /cos_loss cosineC.
move=> eta; rewrite /item /user; control_siamese_numbers.
by rewrite !smallE; split; number.
Qed.

(** A frozen offset b: q = W x + b with the scalar feature x. The step is orthogonal to q, the
    parameters' gradient is not orthogonal to the parameters. *)
Theorem control_frozen_bias (W := control_frozen_bias_W R) (x := control_frozen_bias_x R)
    (b := control_frozen_bias_b R) (q := control_frozen_bias_q R) :
  x *: W + b = q /\
  exists2 G, is_grad (fun w => cos_loss (control_frozen_bias_user R) (x *: w + b)) W G
  & (forall eta, ⟨q, (x *: (W - eta *: G) + b) - q⟩ = control_frozen_bias_radial R eta) /\
    ⟨W, G⟩ = control_frozen_bias_parameter_inner_product R /\ ⟨W, G⟩ = - ⟨b, G⟩ .
Proof.
have qE : x *: W + b = q by rewrite /W /x /b /q; control_frozen_bias_numbers; rewrite !smallE; numbers.
split=> //; exists (x *: private_row_gradient R).
  apply: is_grad_scaled_shift; rewrite qE /q; control_frozen_bias_numbers; private_row_numbers.
  by cos_gradient (5%:R : R) (1 : R).
rewrite /W /x /b /q; control_frozen_bias_numbers; private_row_numbers.
by split=> [eta|]; [|split]; rewrite !smallE; number.
Qed.

(** At a row c times as long the gradient is 1/c of it. *)
Theorem gradient_scaling (q := gradient_scaling_q R) (c := gradient_scaling_scale R) :
  exists g h, [/\ is_grad (cos_loss (gradient_scaling_user R)) q g,
    is_grad (cos_loss (gradient_scaling_user R)) (c *: q) h,
    g = gradient_scaling_gradient R, h = gradient_scaling_gradient_scaled R & h = c^-1 *: g].
Proof.
exists (gradient_scaling_gradient R), (gradient_scaling_gradient_scaled R); split=> //.
- by rewrite /q; gradient_scaling_numbers; cos_gradient (5%:R : R) (1 : R).
- rewrite /q /c; gradient_scaling_numbers; rewrite scale_vec2.
  by cos_gradient (35%:R / 3%:R : R) (1 : R).
by rewrite /c; gradient_scaling_numbers; rewrite !smallE; numbers.
Qed.

End Controls.
