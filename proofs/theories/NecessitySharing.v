(** * Necessity, sharing: another row's gradient reaches this row

    The encoder is linear, the loss a cosine loss, the optimizer plain SGD; only
    PrivateParameters is dropped. Three ways, each with the parameters' gradients derived from
    the loss and ⟨q, Δq⟩ evaluated exactly:
    - a row shared by two items, q_a = e_a and q_b = e_a + e_b: both move radially, item a even
      when only item b is looked up, and with the sign reversed for another user;
    - graph propagation Q = A E (LightGCN): A Aᵀ couples the items;
    - a user tower that averages item rows: the gradient is orthogonal to the user, not to the row.
    Numbers from witnesses.json. Derived here. No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine WitnessNumbers Necessity.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Witnesses.
Variable R : rcfType.
Implicit Types (eta : R).

(** ** PrivateParameters dropped *)

Lemma is_grad_scaled_shift n (f : 'cV[R]_n -> R) c (x b g : 'cV[R]_n) :
  is_grad f (c *: x + b) g -> is_grad (fun y => f (c *: y + b)) x (c *: g).
Proof.
move=> D; have := @is_grad_affine R n n c%:M b f x g; rewrite mul_scalar_mx => /(_ D).
rewrite tr_scalar_mx mul_scalar_mx => D' v; apply: is_deriv_ext (D' v) => y.
by rewrite mul_scalar_mx.
Qed.

(** A row shared by two items: q_a = e_a, q_b = e_a + e_b. *)
Theorem shared_row (e_a := shared_row_e_a R) (e_b := shared_row_e_b R)
    (q_a := shared_row_q_a R) (q_b := shared_row_q_b R)
    (l := cos_loss (shared_row_user R)) (l2 := cos_loss (shared_row_second_user R)) :
  [/\ q_a = e_a /\ q_b = e_a + e_b,
    (* both items, one user *)
    exists Ga Gb, [/\ is_grad (fun x => l x + l (x + e_b)) e_a Ga,
        is_grad (fun x => l e_a + l (e_a + x)) e_b Gb
      & forall eta (e_a' := e_a - eta *: Ga) (e_b' := e_b - eta *: Gb),
          ⟨q_a, e_a' - q_a⟩ = shared_row_radial_a R eta /\
          ⟨q_b, (e_a' + e_b') - q_b⟩ = shared_row_radial_b R eta],
    (* only item b is looked up, and item a moves *)
    exists2 Ga, is_grad (fun x => l (x + e_b)) e_a Ga
      & forall eta, ⟨q_a, (e_a - eta *: Ga) - q_a⟩ = shared_row_radial_a_only_b R eta
    & (* item b is paired with the other user *)
    exists2 Ga, is_grad (fun x => l x + l2 (x + e_b)) e_a Ga
      & forall eta, ⟨q_a, (e_a - eta *: Ga) - q_a⟩ = shared_row_radial_a_second R eta].
Proof.
have Da : is_grad l e_a (private_row_gradient R).
  by rewrite /e_a; shared_row_numbers; private_row_numbers; cos_gradient (5%:R : R) (1 : R).
have Eb : e_a + e_b = q_b by rewrite /e_a /e_b /q_b; shared_row_numbers; rewrite smallE; numbers.
have Db : is_grad l (e_a + e_b) (shared_row_gradient_b R).
  by rewrite Eb /q_b; shared_row_numbers; cos_gradient (5%:R : R) (1 : R).
have Db2 : is_grad l2 (e_a + e_b) (shared_row_gradient_b_second R).
  by rewrite Eb /q_b; shared_row_numbers; cos_gradient (5%:R : R) (1 : R).
have shift f g : is_grad f (e_a + e_b) g -> is_grad (fun x => f (x + e_b)) e_a g.
  move=> D; have := @is_grad_scaled_shift 2 f 1 e_a e_b g; rewrite !scale1r => /(_ D) D' v.
  by apply: is_deriv_ext (D' v) => y; rewrite scale1r.
split.
- by split=> //; rewrite /q_a /e_a; shared_row_numbers.
- exists (private_row_gradient R + shared_row_gradient_b R), (shared_row_gradient_b R); split.
  + exact: is_gradD Da (shift _ _ Db).
  + have := @is_grad_scaled_shift 2 l 1 e_b e_a (shared_row_gradient_b R).
    rewrite !scale1r [e_b + e_a]addrC => /(_ Db) D v.
    have D0 := is_derivD (is_deriv_cst (l e_a) e_b v) (D v).
    rewrite add0r in D0; apply: is_deriv_ext D0 => y.
    by rewrite scale1r [y + e_a]addrC.
  + move=> eta; rewrite /e_a /e_b /q_a /q_b; shared_row_numbers; private_row_numbers.
    by rewrite !smallE; split; number.
- exists (shared_row_gradient_b R); first exact: shift.
  by move=> eta; rewrite /e_a /q_a; shared_row_numbers; rewrite !smallE; number.
exists (private_row_gradient R + shared_row_gradient_b_second R).
  exact: is_gradD Da (shift _ _ Db2).
by move=> eta; rewrite /e_a /q_a; shared_row_numbers; private_row_numbers; rewrite !smallE; number.
Qed.

(** Graph propagation q_a = A_00 e_a + A_01 e_b, q_b = A_10 e_a + A_11 e_b. *)
Theorem graph_propagation (A := graph_propagation_A R) (e_a := graph_propagation_e_a R)
    (e_b := graph_propagation_e_b R) (q_a := graph_propagation_q_a R) (q_b := graph_propagation_q_b R)
    (l := cos_loss (graph_propagation_user R))
    (mix := fun i x y => A i 0 *: x + A i 1 *: y : 'cV[R]_2) :
  [/\ mix 0 e_a e_b = q_a, mix 1 e_a e_b = q_b
  & exists Ga Gb, [/\ is_grad (fun x => l (mix 0 x e_b) + l (mix 1 x e_b)) e_a Ga,
      is_grad (fun y => l (mix 0 e_a y) + l (mix 1 e_a y)) e_b Gb
    & forall eta (e_a' := e_a - eta *: Ga) (e_b' := e_b - eta *: Gb),
        ⟨q_a, mix 0 e_a' e_b' - q_a⟩ = graph_propagation_radial_a R eta /\
        ⟨q_b, mix 1 e_a' e_b' - q_b⟩ = graph_propagation_radial_b R eta]].
Proof.
have Ea : mix 0 e_a e_b = q_a.
  by rewrite /mix /A /e_a /e_b /q_a; graph_propagation_numbers; rewrite !mxE /= !smallE; numbers.
have Eb : mix 1 e_a e_b = q_b.
  by rewrite /mix /A /e_a /e_b /q_b; graph_propagation_numbers; rewrite !mxE /= !smallE; numbers.
have Da : is_grad l (mix 0 e_a e_b) (private_row_gradient R).
  by rewrite Ea /q_a; graph_propagation_numbers; private_row_numbers; cos_gradient (5%:R : R) (1 : R).
have Db : is_grad l (mix 1 e_a e_b) (shared_row_gradient_b R).
  by rewrite Eb /q_b; graph_propagation_numbers; shared_row_numbers; cos_gradient (5%:R : R) (1 : R).
split=> //.
exists (A 0 0 *: private_row_gradient R + A 1 0 *: shared_row_gradient_b R),
       (A 0 1 *: private_row_gradient R + A 1 1 *: shared_row_gradient_b R); split.
- by apply: is_gradD; apply: is_grad_scaled_shift.
- have swap i g : is_grad l (mix i e_a e_b) g -> is_grad (fun y => l (mix i e_a y)) e_b (A i 1 *: g).
    move=> D; have := @is_grad_scaled_shift 2 l (A i 1) e_b (A i 0 *: e_a) g.
    rewrite addrC => /(_ D) D' v; apply: is_deriv_ext (D' v) => y.
    by rewrite /mix addrC.
  by apply: is_gradD; apply: swap.
move=> eta; rewrite /mix /A /e_a /e_b /q_a /q_b; graph_propagation_numbers; private_row_numbers.
by shared_row_numbers; rewrite !mxE /= !smallE; split; number.
Qed.

(** A user tower that averages item rows, u = (e_a + e_b)/2, with a third item as the target. *)
Theorem pooled_user (e_a := pooled_user_e_a R) (e_b := pooled_user_e_b R) (target := pooled_user_target R) :
  pooled_user_user R = 2%:R^-1 *: (e_a + e_b) /\
  exists2 g, is_grad (fun x => cos_loss target (2%:R^-1 *: (x + e_b))) e_a g
  & g = pooled_user_gradient_e_a R /\
    forall eta, ⟨e_a, (e_a - eta *: g) - e_a⟩ = pooled_user_radial R eta.
Proof.
have uE : 2%:R^-1 *: e_a + 2%:R^-1 *: e_b = pooled_user_user R.
  by rewrite /e_a /e_b; pooled_user_numbers; rewrite !smallE; numbers.
split; first by rewrite scalerDr uE.
exists (2%:R^-1 *: pooled_user_gradient_user R).
  have D : is_grad (cos_loss target) (2%:R^-1 *: e_a + 2%:R^-1 *: e_b) (pooled_user_gradient_user R).
    rewrite uE /target; pooled_user_numbers; cos_gradient (4%:R : R) (5%:R : R).
  by move=> v; apply: is_deriv_ext (is_grad_scaled_shift D v) => y; rewrite scalerDr.
split; first by pooled_user_numbers; rewrite !smallE; numbers.
by move=> eta; rewrite /e_a; pooled_user_numbers; rewrite !smallE; number.
Qed.
End Witnesses.
