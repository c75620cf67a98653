(** * Tangent projection

    Projecting an update d on the tangent space of the row,
        P_q d = d - (⟨q,d⟩/‖q‖²) q      (AdamP, SGDP; one row at a time),
    makes the step orthogonal and the growth exactly ‖P_q d‖², whatever d is (momentum,
    Adam, decay); it is the identity on tangent updates and idempotent, and it makes the
    growth at most that of any step d.  An epsilon in the denominator leaves the radial part
    ⟨q,d⟩ ε/(‖q‖²+ε).  Growth remains: the projection does not stop inflation.

    Source: Heo et al. 2021 (AdamP); growth identities and epsilon form: derived here.
    Proof: bilinearity; any ordered field, any dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NormGrowth NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition tangent_part (R : realFieldType) n (q d : 'cV[R]_n) : 'cV[R]_n :=
  d - (⟨q, d⟩ / ‖q‖²) *: q.

(** The same with an epsilon added to the squared norm. *)
Definition tangent_part_eps (R : realFieldType) n (eps : R) (q d : 'cV[R]_n) : 'cV[R]_n :=
  d - (⟨q, d⟩ / (‖q‖² + eps)) *: q.

Section Projection.
Variables (R : realFieldType) (n : nat).
Implicit Types (q d : 'cV[R]_n).

(** Also at q = 0, where every update is orthogonal. *)
Theorem projected_step_orthogonal q d : ⟨q, tangent_part q d⟩ = 0.
Proof.
have [->|q0] := eqVneq q 0; first by rewrite dot0l.
by rewrite dotBr dotZr divfK ?subrr // nrm2_eq0.
Qed.

Theorem projected_step_growth q d : ‖q + tangent_part q d‖² = ‖q‖² + ‖tangent_part q d‖².
Proof. exact: step_identity (projected_step_orthogonal q d). Qed.

Theorem tangent_update_kept q d : ⟨q, d⟩ = 0 -> tangent_part q d = d.
Proof. by move=> qd; rewrite /tangent_part qd mul0r scale0r subr0. Qed.

Theorem projection_idempotent q d : tangent_part q (tangent_part q d) = tangent_part q d.
Proof. exact: tangent_update_kept (projected_step_orthogonal q d). Qed.

(** What is cut off: the radial part, no more. *)
Theorem projection_length q d : q != 0 ->
  ‖tangent_part q d‖² = ‖d‖² - ⟨q, d⟩ ^+ 2 / ‖q‖².
Proof.
move=> q0; rewrite /tangent_part nrm2B nrm2Z dotZr (dotC d q).
by rewrite mulr2n; field; rewrite nrm2_eq0.
Qed.

(** An outward update (as in heavy-ball momentum) grows the norm by more than its
    projection does. *)
Theorem projection_removes_radial_growth q d : 0 <= ⟨q, d⟩ ->
  ‖q + tangent_part q d‖² <= ‖q + d‖².
Proof.
have [->|q0 qd] := eqVneq q 0.
  by rewrite /tangent_part !add0r scaler0 subr0.
rewrite projected_step_growth projection_length // nrm2D -addrA ler_add2l.
rewrite [X in _ <= X]addrC ler_add2l; apply: le_trans (_ : 0 <= _); last exact: mulrn_wge0.
by rewrite oppr_le0 divr_ge0 ?sqr_ge0 ?nrm2_ge0.
Qed.

(** A run whose every update is projected: orthogonal, and an odometer. *)
Theorem projected_run_growth (q d : nat -> 'cV[R]_n) T :
  (forall t, q t.+1 = q t + tangent_part (q t) (d t)) ->
  ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) ‖tangent_part (q t) (d t)‖².
Proof.
move=> qS; rewrite (@path_identity _ _ q) => [|t]; last first.
  by rewrite qS addrAC subrr add0r projected_step_orthogonal.
by congr (_ + _); apply: eq_bigr => t _; rewrite qS addrAC subrr add0r.
Qed.

(** The epsilon of the public implementations leaks, in proportion to the radial part. *)
Theorem projection_epsilon_leak q d eps : ‖q‖² + eps != 0 ->
  ⟨q, tangent_part_eps eps q d⟩ = ⟨q, d⟩ * (eps / (‖q‖² + eps)).
Proof. by move=> qe; rewrite dotBr dotZr; field. Qed.

End Projection.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].
Local Notation q0 := (vec2 3%:R 4%:R : 'cV[Q]_2).

Remark q0_neq0 : q0 != 0.
Proof. by rewrite -nrm2_gt0 vec2E. Qed.

Example tangent_update_kept_nonvacuous : nonvacuous tangent_update_kept.
Proof. by move=> H; apply: H orthogonal_example. Qed.

Example projection_length_nonvacuous : nonvacuous projection_length.
Proof. by move=> H; apply: (H _ _ q0 q0 q0_neq0). Qed.

Example projection_removes_radial_growth_nonvacuous :
  nonvacuous projection_removes_radial_growth.
Proof. by move=> H; apply: (H Q 2%N q0 q0); rewrite nrm2_ge0. Qed.

(** Every update (1,1), projected. *)
Example projected_run_growth_nonvacuous : nonvacuous projected_run_growth.
Proof.
move=> H; pose d : nat -> 'cV[Q]_2 := fun=> vec2 1 1.
pose q := descend (fun=> -1 : Q) (fun t x => tangent_part x (d t)) q0.
by apply: (H _ _ q d 3%N) => t; rewrite /q /= scaleN1r opprK.
Qed.

Example projection_epsilon_leak_nonvacuous : nonvacuous projection_epsilon_leak.
Proof. by move=> H; apply: (H Q 2%N q0 q0 1); rewrite vec2E. Qed.
