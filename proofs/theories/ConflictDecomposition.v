(** * conflict-decomposition: what an auxiliary gradient does to the primary task

    Let g be the gradient of the primary loss and a the gradient of an auxiliary loss with
    respect to the same parameters, g <> 0.  Then a = a_par + a_perp with
        a_par = (<g,a> / ‖g‖²) g,      <g, a_perp> = 0,      ‖a‖² = ‖a_par‖² + ‖a_perp‖²,
    and the decomposition is the only one into a multiple of g and a vector orthogonal to g.
    The part that interferes with the primary loss to first order is a_par alone, and its
    sign is the sign of <g,a>.  For the sum s = g + lambda a with lambda >= 0:
    - <g, s> = ‖g‖² + lambda <g,a>, so s still descends the primary loss iff this is
      positive: always when <g,a> >= 0, and iff lambda < ‖g‖² / (- <g,a>) in a conflict;
    - "descends" is meant literally: for small positive steps along - s the loss is smaller;
    - adding the orthogonal part only, instead of a, never changes the first-order descent.
    Parameters here are column vectors of any dimension; a matrix of parameters is one such
    vector.  Source: orthogonal projection, classical; the use for auxiliary gradients as in
    Yu et al. 2020 (projecting conflicting gradients); the statements are derived here. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Decomposition.
Variables (R : realFieldType) (n : nat).
Implicit Types (g a b : 'cV[R]_n) (lam eta : R).

(** The part of [a] along [g] (zero when [g] is zero), and the rest. *)
Definition parallel g a : 'cV[R]_n := (⟨g, a⟩ / ‖g‖²) *: g.
Definition orthogonal g a : 'cV[R]_n := a - parallel g a.

Theorem decomposition g a : a = parallel g a + orthogonal g a.
Proof. by rewrite addrC subrK. Qed.

Theorem orthogonal_part_orth g a : ⟨g, orthogonal g a⟩ = 0.
Proof.
rewrite dotBr dotZr; have [->|g0] := eqVneq g 0; first by rewrite !dot0l mulr0 subrr.
by rewrite divfK ?subrr // nrm2_eq0.
Qed.

Theorem conflict_pythagoras g a : ‖a‖² = ‖parallel g a‖² + ‖orthogonal g a‖².
Proof.
rewrite -pythagoras -?decomposition // /parallel dotZl.
by rewrite -/(parallel g a) orthogonal_part_orth mulr0.
Qed.

(** The share of the auxiliary energy that lies along the primary gradient is cos². *)
Theorem parallel_energy g a : g != 0 -> ‖parallel g a‖² = ⟨g, a⟩ ^+ 2 / ‖g‖².
Proof. by rewrite -nrm2_eq0 => g0; rewrite nrm2Z; field. Qed.

(** No other decomposition. *)
Theorem decomposition_unique g a k b : g != 0 -> a = k *: g + b -> ⟨g, b⟩ = 0 ->
  k *: g = parallel g a /\ b = orthogonal g a.
Proof.
move=> g0 aE gb; have kE : ⟨g, a⟩ / ‖g‖² = k.
  by rewrite aE dotDr gb addr0 dotZr mulfK // nrm2_eq0.
by rewrite /orthogonal /parallel kE; split=> //; rewrite aE addrC addKr.
Qed.

(** The orthogonal part does not touch the primary loss to first order; the parallel part
    carries all of the interference, with the sign of <g,a>. *)
Theorem interference_is_parallel g a :
  ⟨g, a⟩ = ⟨g, parallel g a⟩ /\ ⟨g, orthogonal g a⟩ = 0.
Proof.
split; last exact: orthogonal_part_orth.
by rewrite {1}(decomposition g a) dotDr orthogonal_part_orth addr0.
Qed.

Theorem interference_sign g a : g != 0 ->
  exists2 k, parallel g a = k *: g & Num.sg k = Num.sg ⟨g, a⟩.
Proof.
rewrite -nrm2_gt0 => g0; exists (⟨g, a⟩ / ‖g‖²) => //.
by rewrite sgrM sgrV (gtr0_sg g0) mulr1.
Qed.

(** First-order descent of the primary loss along the sum. *)
Theorem sum_descent g a lam : ⟨g, g + lam *: a⟩ = ‖g‖² + lam * ⟨g, a⟩.
Proof. by rewrite dotDr dotZr. Qed.

(** Without conflict the sum always descends. *)
Theorem agreement_descends g a lam : g != 0 -> 0 <= lam -> 0 <= ⟨g, a⟩ ->
  0 < ⟨g, g + lam *: a⟩.
Proof.
rewrite -nrm2_gt0 => g0 l0 ga; rewrite sum_descent.
by apply: ltr_paddr g0; apply: mulr_ge0.
Qed.

(** In a conflict it descends exactly below the critical weight. *)
Theorem conflict_descends_iff g a lam : ⟨g, a⟩ < 0 ->
  (0 < ⟨g, g + lam *: a⟩) = (lam < ‖g‖² / - ⟨g, a⟩).
Proof.
by move=> ga; rewrite sum_descent ltr_pdivl_mulr ?oppr_gt0 // mulrN -[RHS]subr_gt0 opprK.
Qed.

(** Dropping the parallel part of a conflicting gradient restores descent for any weight. *)
Theorem projected_auxiliary_descends g a lam : g != 0 ->
  ⟨g, g + lam *: orthogonal g a⟩ = ‖g‖² /\ 0 < ⟨g, g + lam *: orthogonal g a⟩.
Proof. by move=> g0; rewrite sum_descent orthogonal_part_orth mulr0 addr0 nrm2_gt0. Qed.

End Decomposition.

(** ** From the sign of the slope to actual descent *)
Section Descent.
Variables (R : realFieldType) (n : nat).
Implicit Types (L : 'cV[R]_n -> R) (q g a s : 'cV[R]_n) (lam : R).

Lemma negative_slope_descends (E : lmodType R) (L : E -> R) (q v : E) l :
  is_deriv L q v l -> l < 0 ->
  exists2 delta, 0 < delta & forall h, 0 < h -> h < delta -> L (q + h *: v) < L q.
Proof.
move=> dL l0; have [| del del0 H] := dL (- l); first by rewrite oppr_gt0.
exists del => // h h0 hd; have := H h; rewrite gt_eqF // gtr0_norm // => /(_ isT hd).
rewrite ltr_norml opprK => /andP[_]; rewrite ltr_subl_addr addNr.
by rewrite pmulr_llt0 ?invr_gt0 // subr_lt0.
Qed.

(** A combined step decreases the primary loss for all small positive rates as soon as the
    combined gradient has a positive inner product with the primary one. *)
Theorem combined_step_descends L q g a lam :
  is_grad L q g -> 0 < ⟨g, g + lam *: a⟩ ->
  exists2 delta, 0 < delta &
    forall eta, 0 < eta -> eta < delta -> L (q - eta *: (g + lam *: a)) < L q.
Proof.
move=> dL pos; have [|del del0 H] := negative_slope_descends (dL (- (g + lam *: a))).
  by rewrite dotNr oppr_lt0.
by exists del => // eta e0 ed; rewrite -scalerN; apply: H.
Qed.

(** And increases it for all small positive rates when the inner product is negative: the
    auxiliary task then wins over the primary one. *)
Theorem combined_step_ascends L q g a lam :
  is_grad L q g -> ⟨g, g + lam *: a⟩ < 0 ->
  exists2 delta, 0 < delta &
    forall eta, 0 < eta -> eta < delta -> L q < L (q - eta *: (g + lam *: a)).
Proof.
move=> dL neg; have dN : is_grad (fun x => - L x) q (- g) by apply: is_gradN.
have [|del del0 H] := negative_slope_descends (dN (- (g + lam *: a))).
  by rewrite dotNr dotNl opprK.
exists del => // eta e0 ed; rewrite -scalerN -ltr_opp2; exact: H.
Qed.

End Descent.

(** ** A partial conflict in the plane *)
Section Witness.
Variable R : realFieldType.

(** g = (1,0), a = (-1,2): cos² = 1/5, the parallel part is -g, the critical weight 1. *)
Example partial_conflict :
  let g : 'cV[R]_2 := vec2 1 0 in let a : 'cV[R]_2 := vec2 (-1) 2%:R in
  [/\ parallel g a = - g, orthogonal g a = vec2 0 2%:R, ⟨g, g + 1 *: a⟩ = 0
    & 0 < ⟨g, g + 2%:R^-1 *: a⟩].
Proof.
move=> g a; have e : parallel g a = - g.
  by rewrite /parallel /g /a !vec2E; congr vec2; field; rewrite ?oner_eq0.
split=> //.
- by rewrite /orthogonal e opprK /g /a vec2E; congr vec2; ring.
- by rewrite /g /a !vec2E; ring.
- rewrite sum_descent /g /a !vec2E; have -> : (1 * 1 + 0 * 0 + 2%:R^-1 * (1 * -1 + 0 * 2%:R)
    = 2%:R^-1 :> R) by field; rewrite ?pnatr_eq0.
  by rewrite invr_gt0 ltr0n.
Qed.

End Witness.

(** ** The hypotheses hold together *)
Section NonVacuity.
Let Q := rat_realFieldType.
Let gQ : 'cV[Q]_2 := vec2 1 0.
Let aQ : 'cV[Q]_2 := vec2 (-1) 2%:R.
Let gQ_neq0 : gQ != 0. Proof. by rewrite -nrm2_gt0 /gQ vec2E. Qed.
Let conflictQ : ⟨gQ, aQ⟩ < 0. Proof. by rewrite /gQ /aQ vec2E. Qed.

Example parallel_energy_nonvacuous : nonvacuous parallel_energy.
Proof. by move=> H; apply: (H _ _ gQ aQ gQ_neq0). Qed.

Example decomposition_unique_nonvacuous : nonvacuous decomposition_unique.
Proof.
by move=> H; apply: (H _ _ gQ (1 *: gQ + 0) 1 0 gQ_neq0 erefl); rewrite dot0r.
Qed.

Example interference_sign_nonvacuous : nonvacuous interference_sign.
Proof. by move=> H; apply: (H _ _ gQ aQ gQ_neq0). Qed.

Example agreement_descends_nonvacuous : nonvacuous agreement_descends.
Proof. by move=> H; apply: (H _ _ gQ gQ 1 gQ_neq0 isT (nrm2_ge0 gQ)). Qed.

Example conflict_descends_iff_nonvacuous : nonvacuous conflict_descends_iff.
Proof. by move=> H; apply: (H _ _ gQ aQ 1 conflictQ). Qed.

Example projected_auxiliary_descends_nonvacuous : nonvacuous projected_auxiliary_descends.
Proof. by move=> H; apply: (H _ _ gQ aQ 1 gQ_neq0). Qed.

Example combined_step_descends_nonvacuous : nonvacuous combined_step_descends.
Proof.
move=> H; apply: (H _ _ (fun x => ⟨gQ, x⟩) 0 gQ 0 0 (is_grad_dot _ _)).
by rewrite scaler0 addr0 nrm2_gt0.
Qed.

Example combined_step_ascends_nonvacuous : nonvacuous combined_step_ascends.
Proof.
move=> H; apply: (H _ _ (fun x => ⟨gQ, x⟩) 0 gQ aQ 2%:R (is_grad_dot _ _)).
by rewrite sum_descent /gQ /aQ !vec2E.
Qed.

End NonVacuity.
