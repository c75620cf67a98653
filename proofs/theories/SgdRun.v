(** * SgdRun: training runs of one embedding row, and the gradients of cosine losses.

    - [sgd_run eta q g]: q_{t+1} = q_t - eta_t g_t, with any schedule eta_t
      (a step in which the row is not looked up has g_t = 0);
    - [tangential q g]: every g_t is orthogonal to q_t;
    - [cosine_run L q g]: every g_t is the gradient at q_t <> 0 of a scale-invariant loss
      L_t; such a run is tangential (Euler);
    - [spherical2 q g] = ‖q‖²‖g‖², the squared norm s² of the gradient taken on the unit
      sphere: the gradient of L at q/‖q‖ is ‖q‖ g, so s² depends on the direction only.
    - [descend]: the run produced by a rule that maps rows to gradients; [spin]: a run with
      s² = 1 at every step, used to show that hypotheses can hold together.
    No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Runs.
Variables (R : realFieldType) (n : nat).
Implicit Types (eta : nat -> R) (q g : nat -> 'cV[R]_n).

Definition sgd_run eta q g : Prop := forall t, q t.+1 = q t - eta t *: g t.

Definition tangential q g : Prop := forall t, ⟨q t, g t⟩ = 0.

Definition cosine_run (L : nat -> 'cV[R]_n -> R) q g : Prop :=
  forall t, [/\ q t != 0, homog0 (L t) & is_grad (L t) (q t) (g t)].

Lemma cosine_run_tangential L q g : cosine_run L q g -> tangential q g.
Proof. by move=> run t; have [q0 h0 dg] := run t; apply: euler_grad_orth (h0 _ q0) dg. Qed.

Definition spherical2 (x y : 'cV[R]_n) : R := ‖x‖² * ‖y‖².

Lemma spherical2_ge0 x y : 0 <= spherical2 x y.
Proof. by rewrite mulr_ge0 ?nrm2_ge0. Qed.

Lemma spherical2E (x y : 'cV[R]_n) : x != 0 -> ‖y‖² = spherical2 x y / ‖x‖².
Proof. by move=> x0; rewrite /spherical2 mulrAC divff ?mul1r // nrm2_eq0. Qed.

End Runs.

(** What [spherical2] means: the squared norm of the gradient at the unit vector. *)
Lemma spherical2_unit (R : rcfType) n (L : 'cV[R]_n -> R) (q g : 'cV[R]_n) :
  q != 0 -> homog0 L -> is_grad L q g ->
  is_grad L ((norm q)^-1 *: q) (norm q *: g) /\ ‖norm q *: g‖² = spherical2 q g.
Proof.
move=> q0 h0 dg; have nq : 0 < norm q by rewrite norm_gt0.
split; last by rewrite nrm2Z norm_sqr.
by rewrite -[norm q in X in is_grad _ _ X]invrK; apply: grad_scale; rewrite // invr_gt0.
Qed.

(** The run of a rule: [G t x] is the gradient that step t sees at the row x. *)
Section Descend.
Variables (R : realFieldType) (n : nat) (eta : nat -> R) (G : nat -> 'cV[R]_n -> 'cV[R]_n).

Fixpoint descend (q0 : 'cV[R]_n) (t : nat) : 'cV[R]_n :=
  if t is t'.+1 then descend q0 t' - eta t' *: G t' (descend q0 t') else q0.

Lemma descend_run q0 : sgd_run eta (descend q0) (fun t => G t (descend q0 t)).
Proof. by []. Qed.

End Descend.

(** A quarter turn, and the run whose gradient is the quarter turn over the squared norm:
    the gradient of -cos(q, -quarter q), a user at a right angle to the item. *)
Definition quarter (R : realFieldType) (q : 'cV[R]_2) : 'cV[R]_2 := vec2 (- q 1 0) (q 0 0).

Section Spin.
Variable R : realFieldType.
Implicit Types (q : 'cV[R]_2) (eta : nat -> R).

Lemma dot2E (u v : 'cV[R]_2) : ⟨u, v⟩ = u 0 0 * v 0 0 + u 1 0 * v 1 0.
Proof.
rewrite /dot !big_ord_recl big_ord0 addr0.
by rewrite (_ : lift _ _ = 1) //; apply/val_inj.
Qed.

Lemma quarter_orth q : ⟨q, quarter q⟩ = 0.
Proof. by rewrite dot2E !mxE /=; ring. Qed.

Lemma quarter_nrm2 q : ‖quarter q‖² = ‖q‖².
Proof. by rewrite !dot2E !mxE /=; ring. Qed.

Definition spin_grad q : 'cV[R]_2 := (‖q‖²)^-1 *: quarter q.

Lemma spin_grad_orth q : ⟨q, spin_grad q⟩ = 0.
Proof. by rewrite dotZr quarter_orth mulr0. Qed.

Lemma spin_grad_spherical q : q != 0 -> spherical2 q (spin_grad q) = 1.
Proof.
move=> q0; rewrite /spherical2 nrm2Z quarter_nrm2.
by field; rewrite nrm2_eq0.
Qed.

Definition spin eta : nat -> 'cV[R]_2 := descend eta (fun=> @spin_grad) (vec2 1 0).
Definition spin_g eta t : 'cV[R]_2 := spin_grad (spin eta t).

Lemma spin_run eta : sgd_run eta (spin eta) (spin_g eta).
Proof. by []. Qed.

Lemma spin_tangential eta : tangential (spin eta) (spin_g eta).
Proof. by move=> t; apply: spin_grad_orth. Qed.

Lemma spin_start eta : ‖spin eta 0%N‖² = 1.
Proof. by rewrite vec2E; ring. Qed.

Lemma spin_neq0 eta t : spin eta t != 0.
Proof.
rewrite -nrm2_gt0; elim: t => [|t IH]; first by rewrite spin_start ltr01.
apply: lt_le_trans IH _; rewrite [spin eta t.+1]spin_run nrm2B dotZr spin_tangential.
by rewrite mulr0 mul0rn subr0 ler_addl nrm2_ge0.
Qed.

Lemma spin_spherical eta t : spherical2 (spin eta t) (spin_g eta t) = 1.
Proof. by rewrite spin_grad_spherical ?spin_neq0. Qed.

End Spin.

(** The quarter-turn gradient is the gradient of a cosine loss. *)
Lemma spin_grad_cosine (R : rcfType) (q : 'cV[R]_2) : q != 0 ->
  is_grad (fun x => - cosine x (- quarter q)) q (spin_grad q).
Proof.
move=> q0; have nq : 0 < norm q by rewrite norm_gt0.
have e : norm (- quarter q) = norm q by rewrite /norm dotNl dotNr opprK quarter_nrm2.
have p0 : - quarter q != 0 by rewrite -norm_gt0 e.
have := is_gradN (cosine_gradient q0 p0); rewrite e /cos_grad dotNr quarter_orth oppr0.
rewrite !mul0r scale0r subr0 !scalerN opprK scalerA => dg.
by rewrite /spin_grad -norm_sqr expr2 invfM.
Qed.

Lemma spin_cosine_run (R : rcfType) (eta : nat -> R) :
  cosine_run (fun t x => - cosine x (- quarter (spin eta t))) (spin eta) (spin_g eta).
Proof.
move=> t; split; first exact: spin_neq0; last by apply: spin_grad_cosine; apply: spin_neq0.
by move=> x _ c c0; rewrite cosine_scale.
Qed.

(** The gradients used by witnesses: L = -cos(q, u) at q = (3,4), for u = e_1 and e_2. *)
Definition row34 (R : realFieldType) : 'cV[R]_2 := vec2 3%:R 4%:R.
Definition pull_e1 (R : realFieldType) : 'cV[R]_2 := vec2 (- (16%:R / 125%:R)) (12%:R / 125%:R).
Definition pull_e2 (R : realFieldType) : 'cV[R]_2 := vec2 (12%:R / 125%:R) (- (9%:R / 125%:R)).

Lemma pull_e1_gradient (R : rcfType) :
  is_grad (fun x => - cosine x (vec2 1 0)) (row34 R) (pull_e1 R).
Proof.
have -> : pull_e1 R = - cos_grad (row34 R) (vec2 1 0) 5%:R 1.
  by rewrite cos_grad_vec2 opp_vec2; congr vec2; field; rewrite ?pnatr_eq0.
apply: is_gradN; apply: cosine_gradientE; rewrite ?ltr0n ?ltr01 // vec2E; ring.
Qed.

Lemma pull_e2_gradient (R : rcfType) :
  is_grad (fun x => - cosine x (vec2 0 1)) (row34 R) (pull_e2 R).
Proof.
have -> : pull_e2 R = - cos_grad (row34 R) (vec2 0 1) 5%:R 1.
  by rewrite cos_grad_vec2 opp_vec2; congr vec2; field; rewrite ?pnatr_eq0.
apply: is_gradN; apply: cosine_gradientE; rewrite ?ltr0n ?ltr01 // vec2E; ring.
Qed.

Lemma row34_nrm2 (R : realFieldType) : ‖row34 R‖² = 25%:R.
Proof. by rewrite vec2E; ring. Qed.

Lemma row34_neq0 (R : realFieldType) : row34 R != 0.
Proof. by rewrite -nrm2_gt0 row34_nrm2 ltr0n. Qed.

Lemma pull_e1_orth (R : realFieldType) : ⟨row34 R, pull_e1 R⟩ = 0.
Proof. by rewrite vec2E; field; rewrite ?pnatr_eq0. Qed.

Lemma pull_e2_orth (R : realFieldType) : ⟨row34 R, pull_e2 R⟩ = 0.
Proof. by rewrite vec2E; field; rewrite ?pnatr_eq0. Qed.
