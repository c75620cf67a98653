(** * Necessity: drop one condition and the update is no longer orthogonal

    For a private row under SGD and a cosine loss, ⟨q, Δq⟩ = 0. Each theorem here drops one
    condition and keeps the others, and evaluates ⟨q, Δq⟩ exactly. Every gradient is derived: the
    theorem exhibits the gradient of the loss -cos(q, user) with respect to the parameters that
    are trained, by the definition of the derivative and the chain rule, and then steps.
    - Here: CosineLoss dropped (the dot-product loss); IsotropicJacobian dropped (two trained
      layers, a nonlinear encoder, a frozen projection).
    - NecessitySharing.v: PrivateParameters dropped (a row shared by two items, graph
      propagation, a user pooled from item rows).
    - NecessityOptimizers.v: ScalarStep dropped (heavy ball, Nesterov, weight decay, the sign
      step of Adam and AdaGrad, clipping by coordinate, a mean-gradient step); FreshGradient
      dropped.
    The numbers come from witnesses.json, which the Rust tests read too. "Necessary" means that
    the theorem becomes false without the condition, not that every violation breaks it:
    NecessityControls.v has the benign ones. Derived here. No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Frechet Cosine Normalise WitnessNumbers.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** The loss of a pulled pair: minus the cosine to the user. *)
Definition cos_loss (R : rcfType) (n : nat) (user q : 'cV[R]_n) : R := - cosine q user.

Lemma cos_loss_grad (R : rcfType) n (user q g : 'cV[R]_n) (nq nu : R) :
  0 < nq -> 0 < nu -> ‖q‖² = nq ^+ 2 -> ‖user‖² = nu ^+ 2 ->
  g = - cos_grad q user nq nu -> is_grad (cos_loss user) q g.
Proof. by move=> nq0 nu0 qE uE ->; apply: is_gradN; apply: cosine_gradientE. Qed.

(** Small matrices. *)
Section Mat2.
Variable R : realFieldType.
Implicit Types (a b c d x y : R).

Lemma outer_vec2 a b c d : vec2 a b *m (vec2 c d)^T = mat2 (a * c) (a * d) (b * c) (b * d).
Proof. by apply/matrixP => i j; rewrite !mxE big_ord1 !mxE; do 2!case: ifP. Qed.
Lemma add_mat2 a b c d a' b' c' d' :
  mat2 a b c d + mat2 a' b' c' d' = mat2 (a + a') (b + b') (c + c') (d + d').
Proof. by apply/matrixP => i j; rewrite !mxE; do 2!case: ifP. Qed.
Lemma opp_mat2 a b c d : - mat2 a b c d = mat2 (- a) (- b) (- c) (- d).
Proof. by apply/matrixP => i j; rewrite !mxE; do 2!case: ifP. Qed.
Lemma scale_mat2 x a b c d : x *: mat2 a b c d = mat2 (x * a) (x * b) (x * c) (x * d).
Proof. by apply/matrixP => i j; rewrite !mxE; do 2!case: ifP. Qed.
Lemma vec2_eta (v : 'cV[R]_2) : v = vec2 (v 0 0) (v 1 0).
Proof.
apply/colP => i; rewrite !mxE; case: eqP => [-> //|].
case: i => [[|[|i]] hi] // ne; first by case: ne; apply/val_inj.
by rewrite (_ : Ordinal hi = 1) //; apply/val_inj.
Qed.
End Mat2.
Definition smallE := (outer_vec2, add_mat2, opp_mat2, scale_mat2, vec2E, cos_grad_vec2).

(** Numerals are positive, hence not zero. *)
Ltac positive := rewrite ?gt_eqF ?(addr_gt0, mulr_gt0, invr_gt0, exprn_gt0, ltr0n, ltr01) //.
Ltac number := by field; positive.
Ltac numbers := repeat match goal with |- vec2 _ _ = vec2 _ _ => congr vec2 end; number.
(** The gradient of -cos at explicit numbers: four checks of numbers. *)
Ltac cos_gradient nq nu :=
  apply: (@cos_loss_grad _ _ _ _ _ nq nu); [by positive | by positive
    | rewrite ?smallE; number | rewrite ?smallE; number | rewrite !smallE; numbers].

Section Witnesses.
Variable R : rcfType.
Implicit Types (eta : R).

(** Nothing dropped: the step is orthogonal and the norm grows. *)
Theorem private_row (q := private_row_q R) : exists g,
  [/\ is_grad (cos_loss (private_row_user R)) q g, g = private_row_gradient R
    & forall eta (q' := q - eta *: g),
      ⟨q, q' - q⟩ = private_row_radial R eta /\ ‖q'‖² = private_row_norm2 R eta].
Proof.
exists (private_row_gradient R); rewrite /q; private_row_numbers; split=> //.
  by cos_gradient (5%:R : R) (1 : R).
by move=> eta; rewrite !smallE; split; number.
Qed.

(** ** CosineLoss dropped *)

(** The dot-product loss -⟨user, q⟩ and, for a negative, +⟨user, q⟩. *)
Theorem dot_product_loss (q := dot_product_loss_q R) (user := dot_product_loss_user R) :
  exists g, [/\ is_grad (fun x => - ⟨user, x⟩) q g, is_grad (fun x => ⟨user, x⟩) q (- g),
    g = dot_product_loss_gradient R
  & forall eta, ⟨q, (q - eta *: g) - q⟩ = dot_product_loss_radial R eta /\
                ⟨q, (q - eta *: (- g)) - q⟩ = dot_product_loss_radial_negative R eta].
Proof.
exists (- user); rewrite opprK /user /q; split.
- exact/is_gradN/is_grad_dot.
- exact: is_grad_dot.
- by dot_product_loss_numbers; rewrite !smallE; numbers.
by move=> eta; dot_product_loss_numbers; rewrite !smallE; split; number.
Qed.

(** ** IsotropicJacobian dropped *)

(** Two layers q = V h, both trained: the parameters' gradients are derived through the encoder. *)
Theorem two_layer (V := two_layer_V R) (h := two_layer_h R) (q := two_layer_q R) :
  V *m h = q /\
  (exists GV Gh, [/\ is_gradM (fun X => cos_loss (two_layer_user R) (X *m h)) V GV,
      is_grad (fun x => cos_loss (two_layer_user R) (V *m x)) h Gh
    & forall eta (q' := (V - eta *: GV) *m (h - eta *: Gh)),
        ⟨q, q' - q⟩ = two_layer_radial R eta /\ ‖q'‖² = two_layer_norm2 R eta]) /\
  (exists GV Gh, [/\ is_gradM (fun X => cos_loss (two_layer_second_user R) (X *m h)) V GV,
      is_grad (fun x => cos_loss (two_layer_second_user R) (V *m x)) h Gh
    & forall eta (q' := (V - eta *: GV) *m (h - eta *: Gh)),
        ⟨q, q' - q⟩ = two_layer_radial_second R eta /\ ‖q'‖² = two_layer_norm2_second R eta]).
Proof.
have qE : V *m h = q by rewrite /V /h /q; two_layer_numbers; rewrite !smallE; numbers.
split=> //; split.
- have dg : is_grad (cos_loss (two_layer_user R)) (V *m h) (private_row_gradient R).
    by rewrite qE /q; two_layer_numbers; private_row_numbers; cos_gradient (5%:R : R) (1 : R).
  exists (private_row_gradient R *m h^T), (V^T *m private_row_gradient R); split.
  + exact: is_gradM_outer0 dg.
  + exact: is_grad_linear dg.
  move=> eta; rewrite /V /h /q; two_layer_numbers; private_row_numbers.
  by rewrite !smallE; split; number.
have dg : is_grad (cos_loss (two_layer_second_user R)) (V *m h) (private_row_second_user_gradient R).
  by rewrite qE /q; two_layer_numbers; private_row_second_user_numbers; cos_gradient (5%:R : R) (1 : R).
exists (private_row_second_user_gradient R *m h^T), (V^T *m private_row_second_user_gradient R); split.
+ exact: is_gradM_outer0 dg.
+ exact: is_grad_linear dg.
move=> eta; rewrite /V /h /q; two_layer_numbers; private_row_second_user_numbers.
by rewrite !smallE; split; number.
Qed.

(** A frozen projection q = V h, only h trained: linear, private, plain SGD, and not orthogonal. *)
Theorem frozen_projection (V := frozen_projection_V R) (h := frozen_projection_h R)
    (q := frozen_projection_q R) :
  V *m h = q /\
  (exists2 Gh, is_grad (fun x => cos_loss (frozen_projection_user R) (V *m x)) h Gh
    & forall eta (q' := V *m (h - eta *: Gh)),
        ⟨q, q' - q⟩ = frozen_projection_radial R eta /\ ‖q'‖² = frozen_projection_norm2 R eta) /\
  (exists2 Gh, is_grad (fun x => cos_loss (frozen_projection_second_user R) (V *m x)) h Gh
    & forall eta (q' := V *m (h - eta *: Gh)),
        ⟨q, q' - q⟩ = frozen_projection_radial_second R eta /\
        ‖q'‖² = frozen_projection_norm2_second R eta).
Proof.
have qE : V *m h = q by rewrite /V /h /q; frozen_projection_numbers; rewrite !smallE; numbers.
split=> //; split.
- exists (V^T *m private_row_gradient R).
    apply: is_grad_linear; rewrite qE /q; frozen_projection_numbers; private_row_numbers.
    by cos_gradient (5%:R : R) (1 : R).
  move=> eta; rewrite /V /h /q; frozen_projection_numbers; private_row_numbers.
  by rewrite !smallE; split; number.
exists (V^T *m private_row_second_user_gradient R).
  apply: is_grad_linear; rewrite qE /q; frozen_projection_numbers; private_row_second_user_numbers.
  by cos_gradient (5%:R : R) (1 : R).
move=> eta; rewrite /V /h /q; frozen_projection_numbers; private_row_second_user_numbers.
by rewrite !smallE; split; number.
Qed.

(** At every small rate the norm shrinks for the first user, although the gradient is orthogonal. *)
Corollary frozen_projection_shrinks (V := frozen_projection_V R) (h := frozen_projection_h R) :
  exists2 Gh, is_grad (fun x => cos_loss (frozen_projection_user R) (V *m x)) h Gh
    & forall eta, 0 < eta <= 14%:R -> ‖V *m (h - eta *: Gh)‖² < ‖V *m h‖².
Proof.
have [qE [[Gh dG H] _]] := frozen_projection; exists Gh => // eta /andP[e0 e14].
rewrite (H eta).2 {2}/V {2}/h qE; frozen_projection_numbers; rewrite !smallE.
rewrite -subr_gt0.
have -> : 3%:R * 3%:R + 4%:R * 4%:R - (25%:R + - (288%:R / 125%:R) * eta +
   512%:R / (3%:R * 1000%:R + 125%:R) * eta ^+ 2) =
   eta * (512%:R * (225%:R / 16%:R - eta) / 3125%:R) :> R by number.
apply: mulr_gt0 => //; apply: divr_gt0; rewrite ?ltr0n // mulr_gt0 ?ltr0n // subr_gt0.
apply: le_lt_trans e14 _; rewrite ltr_pdivl_mulr ?ltr0n // -natrM ltr_nat //.
Qed.

(** A nonlinear encoder q(theta) = (3 theta_1^2, theta_2^2): the Jacobian is derived, then the chain rule. *)
Definition squares (x : 'cV[R]_2) : 'cV[R]_2 := vec2 (3%:R * x 0 0 ^+ 2) (x 1 0 ^+ 2).

Lemma squares_jacobian (x : 'cV[R]_2) :
  is_jacobian squares x (mat2 (6%:R * x 0 0) 0 0 (2%:R * x 1 0)).
Proof.
apply: small_le ltr01 _ (@small_quad _ 2 9%:R (ler0n _ _)) => v _.
rewrite (vec2_eta v); set a := v 0 0; set b := v 1 0.
rewrite /squares !mxE /= !smallE; set X := x 0 0; set Y := x 1 0.
rewrite -subr_ge0; set z := (X in 0 <= X).
have -> : z = 18%:R * (a * b) ^+ 2 + 8%:R * (b ^+ 2) ^+ 2 by rewrite /z; ring.
by rewrite addr_ge0 // mulr_ge0 ?ler0n ?sqr_ge0.
Qed.

Theorem squares_encoder (th := squares_encoder_theta R) (q := squares_encoder_q R) :
  [/\ squares th = q, is_jacobian squares th (squares_encoder_jacobian R)
    & exists2 G, is_grad (fun x => cos_loss (squares_encoder_user R) (squares x)) th G
      & (forall eta (q' := squares (th - eta *: G)), ⟨q, q' - q⟩ = squares_encoder_radial R eta) /\
        ⟨q, squares (th - squares_encoder_eta R *: G) - q⟩ = squares_encoder_radial_at_eta R].
Proof.
have qE : squares th = q.
  by rewrite /squares /th /q; squares_encoder_numbers; rewrite !mxE /=; numbers.
have J : is_jacobian squares th (squares_encoder_jacobian R).
  have := squares_jacobian th; rewrite /th; squares_encoder_numbers; rewrite !mxE /=.
  have -> : 6%:R * 1 = 6%:R :> R by ring.
  by have -> : 2%:R * 2%:R = 4%:R :> R by ring.
split=> //; exists ((squares_encoder_jacobian R)^T *m private_row_gradient R).
  apply: fgrad_grad; apply: fgrad_chain J _; rewrite qE.
  suff -> : private_row_gradient R = - cos_grad q (squares_encoder_user R) (norm q) (norm (squares_encoder_user R)).
    have q0 : q != 0 by rewrite -nrm2_gt0 /q; squares_encoder_numbers; rewrite smallE; positive.
    have u0 : squares_encoder_user R != 0.
      by rewrite -nrm2_gt0; squares_encoder_numbers; rewrite smallE mulr1 mulr0 addr0 ltr01.
    have D := fgradZ (-1) (cosine_fgrad q0 u0); rewrite scaleN1r in D.
    by apply: fgrad_ext D => x; rewrite mulN1r.
  have -> : norm q = 5%:R by apply: normE; rewrite ?ler0n // /q; squares_encoder_numbers; rewrite smallE; ring.
  have -> : norm (squares_encoder_user R) = 1.
    by apply: normE; rewrite ?ler01 //; squares_encoder_numbers; rewrite smallE; ring.
  by rewrite /q; squares_encoder_numbers; private_row_numbers; rewrite !smallE; numbers.
split=> [eta|]; rewrite /squares /th /q; squares_encoder_numbers; private_row_numbers;
  rewrite !smallE !mxE /= ?smallE; number.
Qed.

End Witnesses.
