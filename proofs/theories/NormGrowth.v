(** * Norm growth

    A step orthogonal to the row adds its squared length (Pythagoras):
        ⟨q, d⟩ = 0  ->  ‖q + d‖² = ‖q‖² + ‖d‖²,
    so over T steps
        ‖q_T‖² = ‖q_0‖² + Σ_{t<T} ‖q_{t+1} - q_t‖²,
    the norm is an odometer of the squared path length: it never shrinks, and a step makes
    it grow exactly when the step is not zero.  For SGD on cosine losses (any schedule,
    steps without a look-up included) the sum is Σ η_t²‖g_t‖².

    Source: Wang et al. 2017 (one step, figure 4); the sum over a run: derived here.
    Proof: bilinearity and induction; any ordered field, any dimension, no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Step.
Variables (R : realFieldType) (n : nat).
Implicit Types (q d : 'cV[R]_n).

Theorem step_identity q d : ⟨q, d⟩ = 0 -> ‖q + d‖² = ‖q‖² + ‖d‖².
Proof. exact: pythagoras. Qed.

(** Strict growth exactly when the row moves. *)
Theorem strict_growth_iff_moved q d : ⟨q, d⟩ = 0 -> (‖q‖² < ‖q + d‖²) = (d != 0).
Proof. by move=> qd; rewrite step_identity // ltr_addl nrm2_gt0. Qed.

(** The growth as an inner product of difference and sum: what floating-point code should
    compute, since it does not subtract two large numbers. *)
Theorem growth_as_inner_product q q' : ‖q'‖² - ‖q‖² = ⟨q' - q, q' + q⟩.
Proof. rewrite dotBl !dotDr (dotC q q'); ring. Qed.

End Step.

Section Run.
Variables (R : realFieldType) (n : nat) (q : nat -> 'cV[R]_n).
Hypothesis orthogonal_steps : forall t, ⟨q t, q t.+1 - q t⟩ = 0.

(** The odometer. *)
Theorem path_identity T : ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) ‖q t.+1 - q t‖².
Proof.
apply: (telescope (f := fun t => ‖q t‖²) (a := fun t => ‖q t.+1 - q t‖²)) => t /=.
by have := step_identity (orthogonal_steps t); rewrite addrC subrK.
Qed.

Theorem norm_never_shrinks s t : (s <= t)%N -> ‖q s‖² <= ‖q t‖².
Proof.
apply: (nondecreasing (f := fun t => ‖q t‖²))  => k /=.
have := step_identity (orthogonal_steps k); rewrite addrC subrK => ->.
by rewrite ler_addl nrm2_ge0.
Qed.

(** A run of T steps ends longer than it started exactly when some step moved the row. *)
Theorem run_grows_iff_moved T :
  (‖q 0%N‖² < ‖q T‖²) = [exists t : 'I_T, q t.+1 != q t].
Proof.
rewrite (path_identity T) ltr_addl lt_def sumr_ge0 ?andbT => [|t _]; last exact: nrm2_ge0.
rewrite psumr_eq0 => [|t _]; last exact: nrm2_ge0.
rewrite -has_predC; apply/hasP/existsP => [[t _ /=]|[t mv]].
  by rewrite nrm2_eq0 subr_eq0 => mv; exists t.
by exists t; rewrite ?mem_index_enum //= nrm2_eq0 subr_eq0.
Qed.

End Run.

(** The run of T steps of SGD on scale-invariant losses, from the loss to the norm. *)
Section Sgd.
Variables (R : realFieldType) (n : nat) (eta : nat -> R) (q g : nat -> 'cV[R]_n).
Hypothesis run : sgd_run eta q g.

Lemma sgd_orthogonal_steps : tangential q g -> forall t, ⟨q t, q t.+1 - q t⟩ = 0.
Proof. by move=> tang t; rewrite run addrAC subrr add0r dotNr dotZr tang mulr0 oppr0. Qed.

Theorem sgd_norm_identity T : tangential q g ->
  ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) eta t ^+ 2 * ‖g t‖².
Proof.
move=> tang; rewrite (path_identity (sgd_orthogonal_steps tang)); congr (_ + _).
apply: eq_bigr => t _; rewrite run addrAC subrr add0r dotNl dotNr opprK.
exact: nrm2Z.
Qed.

Corollary cosine_sgd_norm_identity L T : cosine_run L q g ->
  ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) eta t ^+ 2 * ‖g t‖².
Proof. by move=> /cosine_run_tangential; apply: sgd_norm_identity. Qed.

End Sgd.

(** ** The hypotheses can hold: a step (3,4) + (-4,3), and the run [spin]. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).

Remark orthogonal_example : ⟨vec2 3%:R 4%:R : 'cV[Q]_2, vec2 (- 4%:R) 3%:R⟩ = 0.
Proof. by rewrite vec2E; ring. Qed.

Remark spin_orthogonal t : ⟨spin one t, spin one t.+1 - spin one t⟩ = 0.
Proof. exact: sgd_orthogonal_steps (spin_run one) (spin_tangential one) t. Qed.

Example step_identity_nonvacuous : nonvacuous step_identity.
Proof. by move=> H; apply: H orthogonal_example. Qed.

Example strict_growth_iff_moved_nonvacuous : nonvacuous strict_growth_iff_moved.
Proof. by move=> H; apply: H orthogonal_example. Qed.

Example path_identity_nonvacuous : nonvacuous path_identity.
Proof. by move=> H; apply: (H _ _ _ spin_orthogonal 5%N). Qed.

Example norm_never_shrinks_nonvacuous : nonvacuous norm_never_shrinks.
Proof. by move=> H; apply: (H _ _ _ spin_orthogonal 2%N 5%N). Qed.

Example run_grows_iff_moved_nonvacuous : nonvacuous run_grows_iff_moved.
Proof. by move=> H; apply: (H _ _ _ spin_orthogonal 5%N). Qed.

Example sgd_norm_identity_nonvacuous : nonvacuous sgd_norm_identity.
Proof. by move=> H; apply: (H _ _ _ _ _ (spin_run one) 5%N (spin_tangential one)). Qed.

