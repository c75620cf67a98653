(** * update-orthogonality: the four conditions, one step and a whole run.

    Let every step satisfy: (1) the loss is constant along the ray through the row;
    (2) the embedding is an affine function q = W x + b of parameters of its own, x fixed;
    (3) nothing else reaches these parameters; (4) a plain gradient step, with rates that
    may change from step to step (schedules, one scalar per row).  Then
        ⟨q_t, q_{t+1} - q_t⟩ = 0,  ‖q_{t+1}‖² = ‖q_t‖² + c_t² ‖g_t‖²,
    with c_t = η_t ‖x‖² + η^b_t, hence over a run of T steps
        ‖q_T‖² = ‖q_0‖² + Σ_t c_t² ‖g_t‖²,
    the norm never shrinks, and it grows strictly exactly when a non-zero step is taken.
    The losses may differ from step to step in any way (other users, other negatives, a
    user tower trained at the same time).
    Source: the sufficient conditions are those of the literature on cosine-trained
    two-tower models; the exact statement and proof are derived here.
    Proof: gradient-orthogonality and the affine case of update-kernel; induction. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise Batch.
From Perpend Require Import GradientOrthogonality UpdateKernel.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** ** One step *)
Section OneStep.
Variables (R : realFieldType) (d m : nat).
Implicit Types (f : 'cV[R]_d -> R) (W GW : 'M[R]_(d, m)) (x : 'cV[R]_m) (b g Gb : 'cV[R]_d).

Theorem update_orthogonal f W x b g GW Gb eta eta_b
    (q := W *m x + b) (q' := (W - eta *: GW) *m x + (b - eta_b *: Gb)) :
  ray_const f q -> is_grad f q g ->
  is_gradM (fun V => f (V *m x + b)) W GW -> is_grad (fun c => f (W *m x + c)) b Gb ->
  ⟨q, q' - q⟩ = 0.
Proof. by move=> fq D DW Db; case: (affine_update_orthogonal eta eta_b fq D DW Db). Qed.

(** Nothing is assumed of the loss but scale invariance and a gradient: the parameter
    gradients are those the chain rule gives. *)
Theorem update_orthogonal_chain_rule f W x b g eta eta_b
    (q := W *m x + b) (q' := (W - eta *: (g *m x^T)) *m x + (b - eta_b *: g)) :
  ray_const f q -> is_grad f q g -> ⟨q, q' - q⟩ = 0.
Proof.
move=> fq D; have [DW Db] := affine_parameter_gradients D.
exact: update_orthogonal fq D DW Db.
Qed.

End OneStep.

(** The four conditions by name: any function of cosines, a private affine encoder, one
    plain gradient step (with a rate of its own for the bias, 0 where it is frozen). *)
Corollary cosine_update_orthogonal (R : rcfType) d m k (L : 'cV[R]_k -> R)
    (p : 'I_k -> 'cV[R]_d) (W : 'M[R]_(d, m)) (x : 'cV[R]_m) (b g : 'cV[R]_d)
    (GW : 'M[R]_(d, m)) (Gb : 'cV[R]_d) (eta eta_b : R)
    (loss := fun y : 'cV[R]_d => L (\col_j cosine y (p j)))
    (q := W *m x + b) (q' := (W - eta *: GW) *m x + (b - eta_b *: Gb)) :
  is_grad loss q g ->
  is_gradM (fun V => loss (V *m x + b)) W GW -> is_grad (fun c => loss (W *m x + c)) b Gb ->
  [/\ ⟨q, q' - q⟩ = 0, ‖q'‖² = ‖q‖² + (eta * ‖x‖² + eta_b) ^+ 2 * ‖g‖² & norm q <= norm q'].
Proof.
move=> D DW Db.
have fq : ray_const loss q.
  by move=> c c0; congr L; apply/colP => j; rewrite !mxE cosine_scale.
have [o E] := affine_update_orthogonal eta eta_b fq D DW Db.
split=> //; rewrite /norm; apply: ler_wsqrtr; rewrite E ler_addl.
by rewrite mulr_ge0 ?sqr_ge0 ?nrm2_ge0.
Qed.

(** ** A run of T steps *)
Section Run.
Variables (R : realFieldType) (d m : nat) (x : 'cV[R]_m).
Variables (W : nat -> 'M[R]_(d, m)) (b : nat -> 'cV[R]_d).
Variables (eta eta_b : nat -> R).
Variables (f : nat -> 'cV[R]_d -> R) (g : nat -> 'cV[R]_d).
Variables (GW : nat -> 'M[R]_(d, m)) (Gb : nat -> 'cV[R]_d).

Definition embedding t : 'cV[R]_d := W t *m x + b t.

(** The four conditions along the run.  A step in which the row is not looked up is a step
    with a constant loss; a frozen or absent bias is [eta_b t = 0]. *)
Record four_conditions : Prop := FourConditions {
  scale_invariant_loss : forall t, ray_const (f t) (embedding t);
  loss_gradient : forall t, is_grad (f t) (embedding t) (g t);
  weight_gradient : forall t, is_gradM (fun V => f t (V *m x + b t)) (W t) (GW t);
  bias_gradient : forall t, is_grad (fun c => f t (W t *m x + c)) (b t) (Gb t);
  weight_step : forall t, W t.+1 = W t - eta t *: GW t;
  bias_step : forall t, b t.+1 = b t - eta_b t *: Gb t }.

Hypothesis H : four_conditions.
Let q := embedding.
Let c t := eta t * ‖x‖² + eta_b t.

Theorem run_step t : q t.+1 - q t = - c t *: g t.
Proof.
rewrite /q /embedding weight_step // bias_step //.
exact: (affine_update (eta t) (eta_b t) (loss_gradient H t) (weight_gradient H t)
         (bias_gradient H t)).
Qed.

Theorem run_orthogonal t : ⟨q t, q t.+1 - q t⟩ = 0.
Proof.
rewrite run_step dotZr (gradient_orthogonal (scale_invariant_loss H t) (loss_gradient H t)).
by rewrite mulr0.
Qed.

Theorem run_norm_step t : ‖q t.+1‖² = ‖q t‖² + c t ^+ 2 * ‖g t‖².
Proof.
have := pythagoras (run_orthogonal t); rewrite [q t + _]addrC subrK => ->.
by rewrite run_step nrm2Z sqrrN.
Qed.

Theorem run_norm T : ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) c t ^+ 2 * ‖g t‖².
Proof.
elim: T => [|T IH]; first by rewrite big_ord0 addr0.
by rewrite run_norm_step IH big_ord_recr /= addrA.
Qed.

(** The squared norm counts the squared path length. *)
Theorem run_norm_path T : ‖q T‖² = ‖q 0%N‖² + \sum_(t < T) ‖q t.+1 - q t‖².
Proof.
rewrite run_norm; congr (_ + _); apply: eq_bigr => t _.
by rewrite run_step nrm2Z sqrrN.
Qed.

Theorem run_norm_monotone s t : (s <= t)%N -> ‖q s‖² <= ‖q t‖².
Proof.
move=> /subnK <-; elim: (t - s)%N => [|n IH]; first by rewrite add0n.
apply: le_trans IH _; rewrite addSn run_norm_step ler_addl.
by rewrite mulr_ge0 ?sqr_ge0 ?nrm2_ge0.
Qed.

Theorem run_norm_strict t : (‖q t‖² < ‖q t.+1‖²) = (q t.+1 != q t).
Proof.
have -> : ‖q t.+1‖² = ‖q t‖² + ‖q t.+1 - q t‖².
  by have := pythagoras (run_orthogonal t); rewrite [q t + _]addrC subrK.
by rewrite ltr_addl nrm2_gt0 subr_eq0.
Qed.

End Run.

(** ** A run that exists: the hypotheses of the whole-run theorems hold together.
    The item is looked up in the plane with the loss -cos(·, e1) from q_0 = (3,4) at any
    rates; x = 1, no bias.  The gradients are those of the closed form. *)
Section Instance.
Variable R : rcfType.
Variable eta : nat -> R.
Let e1 : 'cV[R]_2 := vec2 1 0.

Definition item_loss (x : 'cV[R]_2) : R := - cosine x e1.
Definition item_gradient (x : 'cV[R]_2) : 'cV[R]_2 := - cos_grad x e1 (norm x) (norm e1).
Definition unit_input : 'cV[R]_1 := const_mx 1.

Fixpoint item_run t : 'cV[R]_2 :=
  if t is s.+1 then item_run s - eta s *: item_gradient (item_run s)
  else vec2 3%:R 4%:R.

Lemma unit_input_act d (v : 'cV[R]_d) : (v *m unit_input^T) *m unit_input = v.
Proof.
rewrite outer_mul (_ : ‖unit_input‖² = 1) ?scale1r //.
by rewrite /dot big_ord1 !mxE mulr1.
Qed.

Lemma e1_neq0 : e1 != 0.
Proof. by rewrite -nrm2_gt0 dot_vec2 mulr0 addr0 mulr1 ltr01. Qed.

Lemma item_run_neq0 t : 25%:R <= ‖item_run t‖².
Proof.
elim: t => [|t IH] /=; first by rewrite dot_vec2 -!natrM -natrD ler_nat.
have q0 : item_run t != 0 by rewrite -nrm2_gt0; apply: lt_le_trans IH; rewrite ltr0n.
have o : ⟨item_run t, - (eta t *: item_gradient (item_run t))⟩ = 0.
  by rewrite dotNr dotZr /item_gradient dotNr cos_grad_orth ?e1_neq0 // !(mulr0, oppr0).
by rewrite (pythagoras o); apply: le_trans IH _; rewrite ler_addl nrm2_ge0.
Qed.

Example run_instance :
  four_conditions unit_input (fun t => item_run t *m unit_input^T) (fun _ => 0) eta
    (fun _ => 0) (fun _ => item_loss) (fun t => item_gradient (item_run t))
    (fun t => item_gradient (item_run t) *m unit_input^T)
    (fun t => item_gradient (item_run t)).
Proof.
have qE t : embedding unit_input (fun t => item_run t *m unit_input^T) (fun _ => 0) t
  = item_run t by rewrite /embedding addr0 unit_input_act.
have q0 t : item_run t != 0.
  by rewrite -nrm2_gt0; apply: lt_le_trans (item_run_neq0 t); rewrite ltr0n.
have D t : is_grad item_loss (embedding unit_input (fun t => item_run t *m unit_input^T)
    (fun _ => 0) t) (item_gradient (item_run t)).
  by rewrite qE; apply: is_gradN; apply: cosine_gradient (q0 t) e1_neq0.
split=> // t.
- by move=> c c0; rewrite /item_loss cosine_scale.
- by case: (affine_parameter_gradients (D t)).
- by case: (affine_parameter_gradients (D t)).
- by rewrite /= scalemxAl mulmxBl.
- by rewrite scale0r subr0.
Qed.

End Instance.
