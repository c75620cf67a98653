(** * Stale gradients and averaging

    A gradient taken k steps ago is orthogonal to the row of that time, not to today's:
        ⟨q_t, g⟩ = ⟨q_t - q_{t-k}, g⟩,
    hence |⟨q_t, g⟩|² <= ‖q_t - q_{t-k}‖²‖g‖² (as small as the row's recent displacement),
    and its sign is free: delayed gradients of cosine losses move the row inward or outward
    (two witnesses).  Averaging copies of a row (local SGD, moving averages) moves inward:
        ‖Σ w_i q_i‖² = Σ w_i ‖q_i‖² - ½ Σ_i Σ_j w_i w_j ‖q_i - q_j‖²  for weights of sum 1,
    so ‖mean‖² <= mean of the ‖·‖², and ‖mean‖ <= mean of the norms.

    Source: derived here (the inequalities are convexity of the norm).
    Proof: bilinearity; any ordered field (norms need a square root), no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SumLemmas SgdRun NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Stale.
Variables (R : realFieldType) (n : nat).
Implicit Types (q old g : 'cV[R]_n).

Theorem stale_radial_part q old g : ⟨old, g⟩ = 0 -> ⟨q, g⟩ = ⟨q - old, g⟩.
Proof. by move=> og; rewrite dotBl og subr0. Qed.

Theorem stale_radial_bound q old g : ⟨old, g⟩ = 0 ->
  ⟨q, g⟩ ^+ 2 <= ‖q - old‖² * ‖g‖².
Proof. by move=> og; rewrite (stale_radial_part q og) cauchy_schwarz. Qed.

(** Along a run with a delay of k steps. *)
Theorem delayed_run_radial_part (eta : nat -> R) (q g : nat -> 'cV[R]_n) k t :
  (forall s, q s.+1 = q s - eta s *: g s) -> (k <= t)%N ->
  ⟨q (t - k)%N, g t⟩ = 0 ->
  ⟨q t, q t.+1 - q t⟩ = eta t * \sum_(t - k <= s < t) eta s * ⟨g s, g t⟩.
Proof.
move=> qS kt old; rewrite qS addrAC subrr add0r dotNr dotZr -mulrN; congr (_ * _).
rewrite (stale_radial_part _ old).
have -> : q t - q (t - k)%N = - \sum_(t - k <= s < t) eta s *: g s.
  elim: {old} k kt => [|k IH] kt; first by rewrite subn0 subrr big_geq ?oppr0.
  have tk : (t - k = (t - k.+1).+1)%N by rewrite subnSK.
  rewrite big_ltn; last by rewrite -tk leq_subr.
  have := IH (ltnW kt); rewrite tk qS => e.
  by rewrite opprD -e opprB addrCA addKr.
rewrite dotNl opprK dotC dot_sumr; apply: eq_bigr => s _.
by rewrite dotZr dotC.
Qed.

(** Averaging. *)
Theorem averaging_identity k (w : 'I_k -> R) (q : 'I_k -> 'cV[R]_n) :
  \sum_i w i = 1 ->
  ‖\sum_i w i *: q i‖² = (\sum_i w i * ‖q i‖²)
    - 2%:R^-1 * (\sum_i \sum_j w i * (w j * ‖q i - q j‖²)).
Proof.
move=> w1; set A := \sum_i w i * ‖q i‖².
have -> : \sum_i \sum_j w i * (w j * ‖q i - q j‖²)
  = 2%:R * A - 2%:R * ‖\sum_i w i *: q i‖².
  have -> : \sum_i \sum_j w i * (w j * ‖q i - q j‖²)
    = \sum_i \sum_j (w i * ‖q i‖² * w j + w i * (w j * ‖q j‖²)
                     - 2%:R * (w i * (w j * ⟨q i, q j⟩))).
    by apply: eq_bigr => i _; apply: eq_bigr => j _; rewrite nrm2B mulr2n; ring.
  rewrite (eq_bigr (fun i => w i * ‖q i‖² + w i * A
      - 2%:R * ⟨w i *: q i, \sum_j w j *: q j⟩)); last first.
    move=> i _; rewrite big_split /= big_split /= -mulr_sumr w1 mulr1 -mulr_sumr.
    congr (_ + _); rewrite sumrN -mulr_sumr; congr (- (_ * _)).
    by rewrite dotZl dot_sumr mulr_sumr; apply: eq_bigr => j _; rewrite dotZr.
  rewrite big_split /= big_split /= -mulr_suml w1 mul1r sumrN -mulr_sumr -/A.
  rewrite [in RHS]dot_suml; congr (_ - _ * _); by rewrite mulr_natl mulr2n.
by field.
Qed.

Theorem averaging_moves_inward k (w : 'I_k -> R) (q : 'I_k -> 'cV[R]_n) :
  (forall i, 0 <= w i) -> \sum_i w i = 1 ->
  ‖\sum_i w i *: q i‖² <= \sum_i w i * ‖q i‖².
Proof.
move=> w0 w1; rewrite averaging_identity // ler_subl_addr ler_addl.
rewrite mulr_ge0 ?invr_ge0 ?ler0n //; apply: sumr_ge0 => i _; apply: sumr_ge0 => j _.
by rewrite !mulr_ge0 ?nrm2_ge0.
Qed.

End Stale.

Section Norms.
Variables (R : rcfType) (n : nat).

Lemma norm_triangle (u v : 'cV[R]_n) : norm (u + v) <= norm u + norm v.
Proof.
rewrite -(ler_pexpn2r (n := 2)) ?nnegrE ?addr_ge0 ?norm_ge0 //.
rewrite norm_sqr nrm2D sqrrD !norm_sqr ler_add2r ler_add2l ler_muln2r /=.
rewrite (le_trans (ler_norm _)) // -(ler_pexpn2r (n := 2)) ?nnegrE ?mulr_ge0 ?norm_ge0 //.
by rewrite real_normK ?num_real // exprMn !norm_sqr cauchy_schwarz.
Qed.

Theorem norm_of_mean k (w : 'I_k -> R) (q : 'I_k -> 'cV[R]_n) :
  (forall i, 0 <= w i) -> norm (\sum_i w i *: q i) <= \sum_i w i * norm (q i).
Proof.
move=> w0; apply: (big_ind2 (fun u a => norm u <= a)) => [|u a v b ua vb|i _].
- by rewrite /norm dot0l sqrtr0.
- by apply: le_trans (norm_triangle u v) _; rewrite ler_add.
- by rewrite normZ ger0_norm.
Qed.

End Norms.

(** Both signs occur, with gradients of -cos: a row that has meanwhile moved by ±e_1. *)
Theorem stale_sign_witness (R : rcfType) :
  exists old g in_ out : 'cV[R]_2,
  [/\ is_grad (fun x => - cosine x (vec2 1 0)) old g, ⟨old, g⟩ = 0,
      ⟨in_, (in_ - g) - in_⟩ = - (16%:R / 125%:R)
    & ⟨out, (out - g) - out⟩ = 16%:R / 125%:R].
Proof.
exists (row34 R), (pull_e1 R), (row34 R - vec2 1 0), (row34 R + vec2 1 0).
split; [exact: pull_e1_gradient | exact: pull_e1_orth | |].
  rewrite addrAC subrr add0r dotNr dotBl pull_e1_orth sub0r opprK vec2E.
  by field.
rewrite addrAC subrr add0r dotNr dotDl pull_e1_orth add0r vec2E.
by field.
Qed.

(** ** The hypotheses can hold. *)
Local Notation Q := [realFieldType of rat].
Local Notation one := (fun=> 1 : Q).

Example stale_radial_part_nonvacuous : nonvacuous stale_radial_part.
Proof. by move=> H; apply: (H _ _ (vec2 1 1) _ _ (pull_e1_orth Q)). Qed.

Example stale_radial_bound_nonvacuous : nonvacuous stale_radial_bound.
Proof. by move=> H; apply: (H _ _ (vec2 1 1) _ _ (pull_e1_orth Q)). Qed.

(** A delayed run: the gradient of step 1 is a quarter turn of the row of step 0. *)
Example delayed_run_radial_part_nonvacuous : nonvacuous delayed_run_radial_part.
Proof.
move=> H; pose g (t : nat) : 'cV[Q]_2 := quarter (row34 Q).
apply: (H _ _ one (descend one (fun t _ => g t) (row34 Q)) g 1%N 1%N) => //.
exact: quarter_orth.
Qed.

Lemma halves : \sum_(i < 2) (2%:R^-1 : Q) = 1.
Proof. by rewrite !big_ord_recl big_ord0. Qed.

Example averaging_identity_nonvacuous : nonvacuous averaging_identity.
Proof. by move=> H; apply: (H _ _ _ _ (fun i : 'I_2 => i%:R *: row34 Q) halves). Qed.

Example averaging_moves_inward_nonvacuous : nonvacuous averaging_moves_inward.
Proof.
by move=> H; apply: (H _ _ _ (fun=> 2%:R^-1) (fun i : 'I_2 => i%:R *: row34 Q) _ halves).
Qed.
