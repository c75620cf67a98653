(** * dilation-equivariance: growing the table and slowing the clock

    A gradient field of cosine losses is homogeneous of degree -1: G(c q) = G(q)/c.  For
    such a field and c > 0, training from c q_0 gives exactly c times the run from q_0, at
    every step, if the settings are rescaled:
      SGD, heavy-ball, Nesterov, any schedules     eta -> c² eta
      weight decay, coupled or decoupled (SGD)     lambda -> lambda / c², with the above
      row-wise and element-wise AdaGrad, eps = 0   eta -> c eta
      Adam, row-wise Adam, sign, Lion, eps = 0     eta -> c eta
      AdamW (decoupled decay)                      eta -> c eta, lambda -> lambda / c
      Adam with coupled decay                      eta -> c eta, lambda -> lambda / c²
      clipping by norm or by coordinate            threshold -> threshold / c
    with accumulators and buffers that start at zero.  Whole tables, any number of steps.
    So a run depends on the initial scale and the rate only through eta/‖q_0‖² (or
    eta/‖q_0‖ for the normalised rules).  An epsilon that acts breaks this (witness); one
    that never acts does not, since the field need be homogeneous only along the run.
    Source: for SGD as in Li and Arora 2019; the other rules derived here.
    Proof: one step by algebra, whole runs by induction ([weights_intertwine]). *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine SgdRun Optimizers NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** Homogeneous fields *)

(** The field is homogeneous of degree -1 at the tables of a run. *)
Definition homogeneous_along (R : realFieldType) (d N : nat) (c : R)
    (G : nat -> 'M[R]_(d, N) -> 'M[R]_(d, N)) (w : nat -> 'M[R]_(d, N)) : Prop :=
  forall t, G t (c *: w t) = c^-1 *: G t (w t).

(** Gradients of scale-invariant losses form such a field: if the loss of every step does not
    change when the whole table is stretched, its gradient at c w is 1/c of that at w. *)
Theorem scale_invariant_losses_are_homogeneous (R : realFieldType) (d N : nat) (c : R)
    (L : nat -> 'M[R]_(d, N) -> R) G (w : nat -> 'M[R]_(d, N)) :
  0 < c -> (forall t, homog0 (L t)) -> (forall t, is_gradM (L t) (w t) (G t (w t))) ->
  (forall t, is_gradM (L t) (c *: w t) (G t (c *: w t))) -> homogeneous_along c G w.
Proof.
move=> c0 Lh dG dGc t; apply: is_gradM_uniq (dGc t) _ => V.
by rewrite frobZl; apply: deriv_scale (Lh t) c0 (dG t V).
Qed.

Section Linear.
Variables (R : realFieldType) (d N : nat) (c : R).
Hypothesis c_gt0 : 0 < c.
Local Notation table := 'M[R]_(d, N).
Implicit Types (q g p : table) (eta beta damp lam mu tau : nat -> R).

Let c_neq0 : c != 0. Proof. by rewrite gt_eqF. Qed.

Definition times (k : R) (s : nat -> R) : nat -> R := fun t => k * s t.

Lemma momentum_dilates nest eta beta damp lam mu :
  intertwines (fun p p' => p' = c^-1 *: p) ( *:%R c) ( *:%R c^-1)
    (momentum nest eta beta damp lam mu : rule R d N table)
    (momentum nest (times (c ^+ 2) eta) beta damp (times (c ^- 2) lam) (times (c ^- 2) mu)).
Proof.
move=> t p p' q g ->; rewrite /momentum /times /=.
set e := eta t; set b := beta t; set k := 1 - damp t; set l := lam t; set m := mu t.
have g1 : c^-1 *: g + (c ^- 2 * l) *: (c *: q) = c^-1 *: (g + l *: q).
  rewrite scalerDr !scalerA; congr (_ + _ *: _); field; exact: c_neq0.
have p1 : b *: (c^-1 *: p) + k *: (c^-1 *: g + (c ^- 2 * l) *: (c *: q))
          = c^-1 *: (b *: p + k *: (g + l *: q)).
  by rewrite g1 [RHS]scalerDr !scalerA; congr (_ *: _ + _ *: _); apply: mulrC.
split=> //; rewrite p1 g1 scalerBr !scalerA.
have -> : (1 - c ^+ 2 * e * (c ^- 2 * m)) * c = c * (1 - e * m) by field; exact: c_neq0.
congr (_ - _); case: nest.
  rewrite [b * c^-1]mulrC -[(c^-1 * b) *: _]scalerA -scalerDr scalerA; congr (_ *: _).
  by field; exact: c_neq0.
by rewrite scalerA; congr (_ *: _); field; exact: c_neq0.
Qed.

Lemma sgd_dilates eta :
  intertwines (fun _ _ => True) ( *:%R c) ( *:%R c^-1) (sgd eta : rule R d N unit)
    (sgd (times (c ^+ 2) eta)).
Proof.
move=> t s s' q g _; split=> //; rewrite /sgd /times /= scalerBr !scalerA.
by congr (_ - _ *: _); field; exact: c_neq0.
Qed.

Lemma sgd_coupled_dilates eta lam :
  intertwines (fun _ _ => True) ( *:%R c) ( *:%R c^-1) (sgd_coupled eta lam : rule R d N unit)
    (sgd_coupled (times (c ^+ 2) eta) (times (c ^- 2) lam)).
Proof.
move=> t s s' q g _; split=> //; rewrite /sgd_coupled /times /=.
have -> : c^-1 *: g + (c ^- 2 * lam t) *: (c *: q) = c^-1 *: (g + lam t *: q).
  by rewrite scalerDr !scalerA; congr (_ + _ *: _); field; exact: c_neq0.
rewrite scalerBr !scalerA; congr (_ - _ *: _); field; exact: c_neq0.
Qed.

Lemma sgd_decoupled_dilates eta lam :
  intertwines (fun _ _ => True) ( *:%R c) ( *:%R c^-1) (sgd_decoupled eta lam : rule R d N unit)
    (sgd_decoupled (times (c ^+ 2) eta) (times (c ^- 2) lam)).
Proof.
move=> t s s' q g _; split=> //; rewrite /sgd_decoupled /times /= scalerBr !scalerA.
by congr (_ *: _ - _ *: _); field; exact: c_neq0.
Qed.

Lemma signs_scale (k : R) g : 0 < k -> signs (k *: g) = signs g.
Proof. by move=> k0; apply/matrixP => i j; rewrite !mxE sgrM gtr0_sg // mul1r. Qed.

Lemma sign_dilates eta :
  intertwines (fun _ _ => True) ( *:%R c) ( *:%R c^-1) (sign_rule eta : rule R d N unit)
    (sign_rule (times c eta)).
Proof.
move=> t s s' q g _; split=> //; rewrite /sign_rule /times /=.
by rewrite signs_scale ?invr_gt0 // scalerBr scalerA.
Qed.

Lemma lion_dilates eta b1 b2 mu :
  intertwines (fun m m' => m' = c^-1 *: m) ( *:%R c) ( *:%R c^-1)
    (lion eta b1 b2 mu : rule R d N table) (lion (times c eta) b1 b2 (times c^-1 mu)).
Proof.
have lin (b : R) (m g : table) :
    b *: (c^-1 *: m) + (1 - b) *: (c^-1 *: g) = c^-1 *: (b *: m + (1 - b) *: g).
  by rewrite [RHS]scalerDr !scalerA; congr (_ *: _ + _ *: _); apply: mulrC.
move=> t m m' q g ->; rewrite /lion /times /= !lin signs_scale ?invr_gt0 //; split=> //.
rewrite scalerBr !scalerA; congr (_ *: _ - _).
by field; exact: c_neq0.
Qed.

Lemma clip_value_dilates tau t g :
  clip_value (times c^-1 tau) t (c^-1 *: g) = c^-1 *: clip_value tau t g.
Proof.
apply/matrixP => i j; rewrite !mxE /times.
have ci : 0 <= c^-1 by rewrite invr_ge0 ltW.
by rewrite -mulrN -minr_pmulr // -maxr_pmulr.
Qed.

(** ** Whole runs *)
Variables (G : nat -> table -> table) (q0 : table).

Theorem sgd_run_dilates eta :
  homogeneous_along c G (weights (sgd eta) G tt q0) ->
  forall t, weights (sgd (times (c ^+ 2) eta)) G tt (c *: q0) t
            = c *: weights (sgd eta) G tt q0 t.
Proof. exact: weights_intertwine (@sgd_dilates eta) _. Qed.

Theorem coupled_decay_run_dilates eta lam :
  homogeneous_along c G (weights (sgd_coupled eta lam) G tt q0) ->
  forall t, weights (sgd_coupled (times (c ^+ 2) eta) (times (c ^- 2) lam)) G tt (c *: q0) t
            = c *: weights (sgd_coupled eta lam) G tt q0 t.
Proof. exact: weights_intertwine (@sgd_coupled_dilates eta lam) _. Qed.

Theorem decoupled_decay_run_dilates eta lam :
  homogeneous_along c G (weights (sgd_decoupled eta lam) G tt q0) ->
  forall t, weights (sgd_decoupled (times (c ^+ 2) eta) (times (c ^- 2) lam)) G tt (c *: q0) t
            = c *: weights (sgd_decoupled eta lam) G tt q0 t.
Proof. exact: weights_intertwine (@sgd_decoupled_dilates eta lam) _. Qed.

(** Heavy-ball and Nesterov at once, with dampening and both kinds of decay; the initial
    buffer [p0] scales like a gradient (zero stays zero). *)
Theorem momentum_run_dilates nest eta beta damp lam mu (p0 : table) :
  homogeneous_along c G (weights (momentum nest eta beta damp lam mu) G p0 q0) ->
  forall t, weights (momentum nest (times (c ^+ 2) eta) beta damp (times (c ^- 2) lam)
                                   (times (c ^- 2) mu)) G (c^-1 *: p0) (c *: q0) t
            = c *: weights (momentum nest eta beta damp lam mu) G p0 q0 t.
Proof. exact: weights_intertwine (@momentum_dilates nest eta beta damp lam mu) erefl. Qed.

Lemma times_never : times (c ^- 2) (@never R) =1 @never R.
Proof. by move=> t; apply: mulr0. Qed.

Lemma momentum_no_decay nest eta beta (p : table) t (w : table) g :
  momentum nest eta beta (@never R) (times (c ^- 2) (@never R)) (times (c ^- 2) (@never R)) t p w g
  = momentum nest eta beta (@never R) (@never R) (@never R) t p w g.
Proof. by rewrite /momentum !times_never. Qed.

Lemma weights_ext S (f f' : rule R d N S) s0 w t :
  (forall t s q g, f t s q g = f' t s q g) -> weights f G s0 w t = weights f' G s0 w t.
Proof.
move=> ff'; rewrite /weights; congr (_.2); elim: t => //= t ->; exact: ff'.
Qed.

Theorem heavy_ball_run_dilates eta beta :
  homogeneous_along c G (weights (heavy_ball eta beta) G 0 q0) ->
  forall t, weights (heavy_ball (times (c ^+ 2) eta) beta) G 0 (c *: q0) t
            = c *: weights (heavy_ball eta beta) G 0 q0 t.
Proof.
move=> /momentum_run_dilates run t; rewrite -(run t) scaler0.
by apply: weights_ext => *; rewrite /heavy_ball -momentum_no_decay.
Qed.

Theorem nesterov_run_dilates eta beta :
  homogeneous_along c G (weights (nesterov eta beta) G 0 q0) ->
  forall t, weights (nesterov (times (c ^+ 2) eta) beta) G 0 (c *: q0) t
            = c *: weights (nesterov eta beta) G 0 q0 t.
Proof.
move=> /momentum_run_dilates run t; rewrite -(run t) scaler0.
by apply: weights_ext => *; rewrite /nesterov -momentum_no_decay.
Qed.

Theorem sign_run_dilates eta :
  homogeneous_along c G (weights (sign_rule eta) G tt q0) ->
  forall t, weights (sign_rule (times c eta)) G tt (c *: q0) t
            = c *: weights (sign_rule eta) G tt q0 t.
Proof. exact: weights_intertwine (@sign_dilates eta) _. Qed.

Theorem lion_run_dilates eta b1 b2 mu (m0 : table) :
  homogeneous_along c G (weights (lion eta b1 b2 mu) G m0 q0) ->
  forall t, weights (lion (times c eta) b1 b2 (times c^-1 mu)) G (c^-1 *: m0) (c *: q0) t
            = c *: weights (lion eta b1 b2 mu) G m0 q0 t.
Proof. exact: weights_intertwine (@lion_dilates eta b1 b2 mu) erefl. Qed.

(** Clipping by coordinate in front of any rule that dilates; here in front of SGD. *)
Theorem clip_value_run_dilates eta tau :
  homogeneous_along c G (weights (after (clip_value tau) (sgd eta)) G tt q0) ->
  forall t, weights (after (clip_value (times c^-1 tau)) (sgd (times (c ^+ 2) eta))) G tt (c *: q0) t
            = c *: weights (after (clip_value tau) (sgd eta)) G tt q0 t.
Proof.
apply: weights_intertwine (intertwines_after _ (@sgd_dilates eta)) _ => // t g.
exact: clip_value_dilates.
Qed.

End Linear.

(** ** Adaptive rules, epsilon zero *)
Section AdaptiveRules.
Variables (R : rcfType) (d N : nat) (c : R).
Hypothesis c_gt0 : 0 < c.
Local Notation table := 'M[R]_(d, N).
Implicit Types (q g m v : table) (eta lam mu tau : nat -> R).

Let c_neq0 : c != 0. Proof. by rewrite gt_eqF. Qed.

Lemma col_nrm2_scale (k : R) g : col_nrm2 (k *: g) = k ^+ 2 *: col_nrm2 g.
Proof.
apply/rowP => j; rewrite !mxE mulr_sumr; apply: eq_bigr => i _.
by rewrite mxE exprMn.
Qed.

Lemma squares_scale (k : R) g : squares (k *: g) = k ^+ 2 *: squares g.
Proof. by apply/matrixP => i j; rewrite !mxE exprMn. Qed.

Lemma sqrt_scale (k x : R) : 0 < k -> Num.sqrt (k ^+ 2 * x) = k * Num.sqrt x.
Proof. by move=> k0; rewrite sqrtrM ?sqr_ge0 // sqrtr_sqr gtr0_norm. Qed.

Lemma ratio_scale (k x y : R) : 0 < k -> (k * x) / (k * y + 0) = x / (y + 0).
Proof.
by move=> k0; rewrite !addr0 -mulf_div divff ?mul1r // gt_eqF.
Qed.

Lemma per_column_scale (k : R) m (v : 'rV[R]_N) : 0 < k ->
  per_column (k *: m) (k ^+ 2 *: v) 0 = per_column m v 0.
Proof. by move=> k0; apply/matrixP => i j; rewrite !mxE sqrt_scale // ratio_scale. Qed.

Lemma per_entry_scale (k : R) m v : 0 < k ->
  per_entry (k *: m) (k ^+ 2 *: v) 0 = per_entry m v 0.
Proof. by move=> k0; apply/matrixP => i j; rewrite !mxE sqrt_scale // ratio_scale. Qed.

Lemma scaleC (E : lmodType R) (a b : R) (x : E) : a *: (b *: x) = b *: (a *: x).
Proof. by rewrite !scalerA mulrC. Qed.

Let ci_gt0 : 0 < c^-1. Proof. by rewrite invr_gt0. Qed.

Lemma rowwise_adagrad_dilates eta :
  intertwines (fun a a' => a' = c^-1 ^+ 2 *: a) ( *:%R c) ( *:%R c^-1)
    (rowwise_adagrad 0 eta : rule R d N 'rV[R]_N) (rowwise_adagrad 0 (times c eta)).
Proof.
move=> t a a' q g ->; rewrite /rowwise_adagrad /times /= col_nrm2_scale.
have -> : c^-1 ^+ 2 *: a + d%:R^-1 *: (c^-1 ^+ 2 *: col_nrm2 g)
          = c^-1 ^+ 2 *: (a + d%:R^-1 *: col_nrm2 g) by rewrite scalerDr scaleC.
by split=> //; rewrite per_column_scale // scalerBr scalerA.
Qed.

Lemma adagrad_dilates eta :
  intertwines (fun a a' => a' = c^-1 ^+ 2 *: a) ( *:%R c) ( *:%R c^-1)
    (adagrad 0 eta : rule R d N table) (adagrad 0 (times c eta)).
Proof.
move=> t a a' q g ->; rewrite /adagrad /times /= squares_scale -scalerDr.
by split=> //; rewrite per_entry_scale // scalerBr scalerA.
Qed.

Lemma adam_dilates b1 b2 eta lam mu :
  intertwines (fun s s' => s'.1 = c^-1 *: s.1 /\ s'.2 = c^-1 ^+ 2 *: s.2) ( *:%R c) ( *:%R c^-1)
    (adam 0 b1 b2 eta lam mu : rule R d N (table * table))
    (adam 0 b1 b2 (times c eta) (times (c ^- 2) lam) (times c^-1 mu)).
Proof.
move=> t [m v] [m' v'] q g /= [-> ->]; rewrite /times.
have -> : c^-1 *: g + (c ^- 2 * lam t) *: (c *: q) = c^-1 *: (g + lam t *: q).
  by rewrite scalerDr !scalerA; congr (_ + _ *: _); field; exact: c_neq0.
rewrite squares_scale ![b1 *: _]scaleC ![b2 *: _]scaleC ![(1 - b1) *: _]scaleC.
rewrite ![(1 - b2) *: _]scaleC -!scalerDr; split=> //.
rewrite ![(1 - b1 ^+ t.+1)^-1 *: _]scaleC ![(1 - b2 ^+ t.+1)^-1 *: _]scaleC.
rewrite per_entry_scale // scalerBr !scalerA; congr (_ *: _ - _ *: _).
by field; exact: c_neq0.
Qed.

Lemma rowwise_adam_dilates b1 b2 eta mu :
  intertwines (fun s s' => s'.1 = c^-1 *: s.1 /\ s'.2 = c^-1 ^+ 2 *: s.2) ( *:%R c) ( *:%R c^-1)
    (rowwise_adam 0 b1 b2 eta mu : rule R d N (table * 'rV[R]_N))
    (rowwise_adam 0 b1 b2 (times c eta) (times c^-1 mu)).
Proof.
move=> t [m v] [m' v'] q g /= [-> ->]; rewrite /times col_nrm2_scale.
rewrite ![d%:R^-1 *: _]scaleC ![b1 *: _]scaleC ![b2 *: _]scaleC ![(1 - b1) *: _]scaleC.
rewrite ![(1 - b2) *: _]scaleC -!scalerDr; split=> //.
rewrite ![(1 - b1 ^+ t.+1)^-1 *: _]scaleC ![(1 - b2 ^+ t.+1)^-1 *: _]scaleC.
rewrite per_column_scale // scalerBr !scalerA; congr (_ *: _ - _ *: _).
by field; exact: c_neq0.
Qed.

Lemma frob_norm_scale (k : R) g : 0 < k -> frob_norm (k *: g) = k * frob_norm g.
Proof. by move=> k0; rewrite /frob_norm frobZl frobZr mulrA -expr2 sqrt_scale. Qed.

Lemma clip_norm_dilates tau t g :
  clip_norm (times c^-1 tau) t (c^-1 *: g) = c^-1 *: clip_norm tau t g.
Proof.
rewrite /clip_norm /times frob_norm_scale // ler_pmul2l //; case: ifP => // _.
by rewrite !scalerA -mulf_div divff ?gt_eqF // mul1r mulrC.
Qed.

(** ** Whole runs *)
Variables (G : nat -> table -> table) (q0 : table).

(** The initial accumulators scale like squared gradients: zero stays zero, anything else
    has to be rescaled. *)
Theorem rowwise_adagrad_run_dilates eta (a0 : 'rV[R]_N) :
  homogeneous_along c G (weights (rowwise_adagrad 0 eta) G a0 q0) ->
  forall t, weights (rowwise_adagrad 0 (times c eta)) G (c^-1 ^+ 2 *: a0) (c *: q0) t
            = c *: weights (rowwise_adagrad 0 eta) G a0 q0 t.
Proof. exact: weights_intertwine (@rowwise_adagrad_dilates eta) erefl. Qed.

Theorem adagrad_run_dilates eta (a0 : table) :
  homogeneous_along c G (weights (adagrad 0 eta) G a0 q0) ->
  forall t, weights (adagrad 0 (times c eta)) G (c^-1 ^+ 2 *: a0) (c *: q0) t
            = c *: weights (adagrad 0 eta) G a0 q0 t.
Proof. exact: weights_intertwine (@adagrad_dilates eta) erefl. Qed.

(** Adam and AdamW at once: coupled decay [lam], decoupled decay [mu]; zero moments. *)
Theorem adam_run_dilates b1 b2 eta lam mu :
  homogeneous_along c G (weights (adam 0 b1 b2 eta lam mu) G (0, 0) q0) ->
  forall t, weights (adam 0 b1 b2 (times c eta) (times (c ^- 2) lam) (times c^-1 mu)) G
                    (0, 0) (c *: q0) t
            = c *: weights (adam 0 b1 b2 eta lam mu) G (0, 0) q0 t.
Proof.
by apply: weights_intertwine (@adam_dilates b1 b2 eta lam mu) _; rewrite /= !scaler0.
Qed.

Theorem rowwise_adam_run_dilates b1 b2 eta mu :
  homogeneous_along c G (weights (rowwise_adam 0 b1 b2 eta mu) G (0, 0) q0) ->
  forall t, weights (rowwise_adam 0 b1 b2 (times c eta) (times c^-1 mu)) G (0, 0) (c *: q0) t
            = c *: weights (rowwise_adam 0 b1 b2 eta mu) G (0, 0) q0 t.
Proof.
by apply: weights_intertwine (@rowwise_adam_dilates b1 b2 eta mu) _; rewrite /= !scaler0.
Qed.

(** Clipping by norm, threshold -> threshold / c, in front of momentum SGD. *)
Theorem clip_norm_run_dilates nest eta beta damp lam mu tau :
  homogeneous_along c G
    (weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G 0 q0) ->
  forall t, weights (after (clip_norm (times c^-1 tau))
                       (momentum nest (times (c ^+ 2) eta) beta damp (times (c ^- 2) lam)
                                      (times (c ^- 2) mu))) G 0 (c *: q0) t
            = c *: weights (after (clip_norm tau) (momentum nest eta beta damp lam mu)) G 0 q0 t.
Proof.
apply: weights_intertwine (intertwines_after _ (momentum_dilates c_gt0 nest eta beta damp lam mu)) _.
  exact: clip_norm_dilates.
by rewrite scaler0.
Qed.

End AdaptiveRules.

(** ** Cosine losses give such a field *)
Section CosineField.
Variables (R : rcfType) (d k : nat).

(** The gradient of a loss that is a function of the cosines between the row and k vectors
    (users of the batch): a combination of cosine gradients, with coefficients that depend on
    the cosines alone. *)
Definition cosine_field (p : nat -> 'I_k -> 'cV[R]_d) (coef : nat -> 'I_k -> 'cV[R]_k -> R)
    (t : nat) (q : 'cV[R]_d) : 'cV[R]_d :=
  \sum_j coef t j (\col_l cosine q (p t l)) *: cos_grad q (p t j) (norm q) (norm (p t j)).

Lemma cos_grad_scale (q p : 'cV[R]_d) c : 0 < c ->
  cos_grad (c *: q) p (norm (c *: q)) (norm p) = c^-1 *: cos_grad q p (norm q) (norm p).
Proof.
move=> c0; rewrite /cos_grad normZ gtr0_norm // dotZl [RHS]scalerA invfM.
congr (_ *: (_ - _)); rewrite scalerA; congr (_ *: _).
have [->|q0] := eqVneq (norm q) 0; first by rewrite !(mulr0, mul0r, invr0).
have [->|p0] := eqVneq (norm p) 0; first by rewrite !(mulr0, mul0r, invr0).
by field; rewrite q0 p0 gt_eqF.
Qed.

Theorem cosine_field_homogeneous p coef c w : 0 < c ->
  homogeneous_along c (cosine_field p coef) w.
Proof.
move=> c0 t; rewrite /cosine_field scaler_sumr; apply: eq_bigr => j _.
rewrite cos_grad_scale // scalerA [RHS]scalerA; congr (_ *: _).
rewrite mulrC; congr (_ * coef t j _).
by apply/colP => l; rewrite !mxE cosine_scale.
Qed.

(** So every run above dilates on cosine losses with no further hypothesis; for SGD: *)
Corollary cosine_sgd_run_dilates p coef c eta (q0 : 'cV[R]_d) : 0 < c ->
  forall t, weights (sgd (times (c ^+ 2) eta)) (cosine_field p coef) tt (c *: q0) t
            = c *: weights (sgd eta) (cosine_field p coef) tt q0 t.
Proof.
move=> c0; apply: (@sgd_run_dilates _ d 1%N c c0 (cosine_field p coef) q0 eta).
exact: cosine_field_homogeneous.
Qed.

(** A clamp of the norm at eps, as in q / max(‖q‖, eps): above eps the field is that of the
    cosine, below it is something else, [other].  As long as neither run goes below eps the
    clamp is inactive and the run dilates: an epsilon that never acts breaks nothing. *)
Definition clamped_field (eps : R) (other : nat -> 'cV[R]_d -> 'cV[R]_d) p coef t q :=
  if eps <= norm q then cosine_field p coef t q else other t q.

Theorem inactive_clamp_dilates eps other p coef c eta (q0 : 'cV[R]_d) : 0 < c ->
  (forall t, eps <= norm (weights (sgd eta) (clamped_field eps other p coef) tt q0 t)) ->
  (forall t, eps <= c * norm (weights (sgd eta) (clamped_field eps other p coef) tt q0 t)) ->
  forall t, weights (sgd (times (c ^+ 2) eta)) (clamped_field eps other p coef) tt (c *: q0) t
            = c *: weights (sgd eta) (clamped_field eps other p coef) tt q0 t.
Proof.
move=> c0 above above'; set G := clamped_field eps other p coef.
apply: (@sgd_run_dilates _ d 1%N c c0 G q0 eta) => t.
have e1 := above t; have e2 := above' t; rewrite -/G in e1 e2.
rewrite /G /clamped_field normZ gtr0_norm // e1 e2.
exact: (@cosine_field_homogeneous p coef c (weights (sgd eta) G tt q0) c0 t).
Qed.

End CosineField.

(** ** An epsilon that acts breaks it *)
Section Epsilon.
Variable R : rcfType.

(** The field of the loss - cos(q, e2). *)
Definition pull (t : nat) (q : 'cV[R]_2) : 'cV[R]_2 := - cos_grad q (vec2 0 1) (norm q) 1.

Lemma pull_gradient t (q : 'cV[R]_2) : q != 0 ->
  is_grad (fun x => - cosine x (vec2 0 1)) q (pull t q).
Proof.
move=> q0; apply: is_gradN.
have n1 : norm (vec2 0 1 : 'cV[R]_2) = 1 by apply: normE; rewrite ?ler01 // vec2E; ring.
have e0 : vec2 0 1 != 0 :> 'cV[R]_2 by rewrite -norm_gt0 n1 ltr01.
by have := cosine_gradient q0 e0; rewrite n1.
Qed.

Lemma pull_homogeneous c w : 0 < c -> homogeneous_along c pull w.
Proof.
move=> c0 t; rewrite /pull scalerN; congr (- _).
have n1 : norm (vec2 0 1 : 'cV[R]_2) = 1 by apply: normE; rewrite ?ler01 // vec2E; ring.
by have := cos_grad_scale (w t) (vec2 0 1) c0; rewrite n1.
Qed.

(** Element-wise AdaGrad with epsilon 1 and rate 1 from q = (3,4), against the run from
    (6,8) with rate 2: the first coordinates are 2 (3 - 12/137) and 6 - 12/131. *)
Theorem acting_epsilon_breaks_dilation :
  let q0 : 'cV[R]_2 := vec2 3%:R 4%:R in let one (_ : nat) : R := 1 in
  homogeneous_along 2%:R pull (weights (adagrad 1 one) pull 0 q0) /\
  weights (adagrad 1 (times 2%:R one)) pull 0 (2%:R *: q0) 1%N
  != 2%:R *: weights (adagrad 1 one) pull 0 q0 1%N.
Proof.
move=> q0 one; split; first by apply: pull_homogeneous; rewrite ltr0n.
have nq : norm q0 = 5%:R by apply: normE; rewrite ?ler0n // /q0 vec2E; ring.
have g1 : pull 0 q0 = vec2 (12%:R / 125%:R) (- (9%:R / 125%:R)).
  by rewrite /pull nq /q0 cos_grad_vec2 vec2E; congr vec2; field.
have g2 : pull 0 (2%:R *: q0) = vec2 (6%:R / 125%:R) (- (9%:R / 250%:R)).
  rewrite (_ : pull 0 (2%:R *: q0) = 2%:R^-1 *: pull 0 q0); last first.
    by apply: (@pull_homogeneous _ (fun=> q0)); rewrite ltr0n.
  by rewrite g1 vec2E; congr vec2; field.
apply/negP => /eqP /colP /(_ 0).
rewrite /weights /= g1 g2 !mxE /= !add0r !sqrtr_sqr !gtr0_norm ?divr_gt0 ?ltr0n //.
rewrite /times /one => e.
have : 12%:R / 131%:R = 24%:R / 137%:R :> R.
  transitivity (6%:R - (2%:R * 3%:R - 2%:R * 1 * (6%:R / 125%:R / (6%:R / 125%:R + 1))) : R).
    by field.
  by rewrite e; field.
move/eqP; rewrite -subr_eq0 (_ : _ - _ = - (1500%:R / (131%:R * 137%:R))).
  by rewrite oppr_eq0 mulf_eq0 invr_eq0 mulf_eq0 !pnatr_eq0.
by field.
Qed.

End Epsilon.

(** ** The hypotheses hold together *)
Section NonVacuity.
Let Q := rat_realFieldType.
Let two : Q := 2%:R.
Let two_gt0 : 0 < two. Proof. by []. Qed.
Let G (t : nat) : 'cV[Q]_2 -> 'cV[Q]_2 := @spin_grad Q.
Let homogeneous w : homogeneous_along two G w.
Proof.
move=> t; rewrite /G /spin_grad nrm2Z invfM.
have -> : quarter (two *: w t) = two *: quarter (w t).
  by apply/colP => i; rewrite !mxE; case: ifP; rewrite // mulrN.
rewrite !scalerA; congr (_ *: _); rewrite mulrAC; congr (_ * _).
Qed.
Let one (t : nat) : Q := 1.
Let q0 : 'cV[Q]_2 := vec2 1 0.

Example scale_invariant_losses_are_homogeneous_nonvacuous :
  nonvacuous scale_invariant_losses_are_homogeneous.
Proof.
move=> H; apply: (H Q 1%N 1%N two (fun _ _ => 0) (fun _ _ => 0) (fun _ => 0) two_gt0) => // [t|t] V;
  by rewrite frob0l; apply: is_deriv_cst.
Qed.

Example sgd_run_dilates_nonvacuous : nonvacuous sgd_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one (homogeneous _) 0%N). Qed.

Example coupled_decay_run_dilates_nonvacuous : nonvacuous coupled_decay_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one one (homogeneous _) 0%N). Qed.

Example decoupled_decay_run_dilates_nonvacuous : nonvacuous decoupled_decay_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one one (homogeneous _) 0%N). Qed.

Example momentum_run_dilates_nonvacuous : nonvacuous momentum_run_dilates.
Proof.
by move=> H; apply: (H _ _ _ _ two_gt0 G q0 true one one one one one q0 (homogeneous _) 0%N).
Qed.

Example heavy_ball_run_dilates_nonvacuous : nonvacuous heavy_ball_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one one (homogeneous _) 0%N). Qed.

Example nesterov_run_dilates_nonvacuous : nonvacuous nesterov_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one one (homogeneous _) 0%N). Qed.

Example sign_run_dilates_nonvacuous : nonvacuous sign_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one (homogeneous _) 0%N). Qed.

Example lion_run_dilates_nonvacuous : nonvacuous lion_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one one one one q0 (homogeneous _) 0%N). Qed.

Example clip_value_run_dilates_nonvacuous : nonvacuous clip_value_run_dilates.
Proof. by move=> H; apply: (H _ _ _ _ two_gt0 G q0 one one (homogeneous _) 0%N). Qed.

End NonVacuity.
