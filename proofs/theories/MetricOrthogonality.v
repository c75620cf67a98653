(** * metric-orthogonality: a linear step is orthogonal in the metric of the kernel.

    If Δq = - η K g with K symmetric positive definite and ⟨q,g⟩ = 0, then in the inner
    product ⟨u,v⟩_{K⁻¹} = ⟨u, K⁻¹ v⟩ the step is orthogonal to q and
        ‖q'‖²_{K⁻¹} = ‖q‖²_{K⁻¹} + η² ⟨g, K g⟩,
    so what is relaxed bends the geometry but does not stop the growth.  Corollaries:
    (a) a frozen projection q = V e, e trained: ‖e‖ never shrinks, and ‖q‖ follows it
        between the extreme singular values of V;
    (b) element-wise AdaGrad: Φ_t = Σ_i q_i² (√G_i + ε) never falls, for any rates, while
        ‖q‖ may; most of its growth can be that of the accumulator;
    (c) a fixed preconditioner with m I ≤ K ≤ M I: ‖q_T‖² ≥ (m/M) ‖q_0‖² at all times, and
        growth without bound in the metric forces growth without bound of ‖q‖.
    Source: derived here.
    Proof: ⟨q, K⁻¹(-ηKg)⟩ = -η⟨q,g⟩ = 0, then Pythagoras in the metric;
    (1/M)‖v‖² ≤ ‖v‖²_{K⁻¹} ≤ (1/m)‖v‖² by the inequality (K-m)(M-K) ≥ 0. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise RadialAngleBound.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Metric.
Variables (R : realFieldType) (n : nat).
Implicit Types (K : 'M[R]_n) (q g u v : 'cV[R]_n) (m M eta : R).

Definition metric_dot K u v : R := ⟨u, invmx K *m v⟩.

Lemma invmx_sym K : K^T = K -> (invmx K)^T = invmx K.
Proof. by move=> Ks; rewrite trmx_inv Ks. Qed.

(** A kernel bounded below by m I, m > 0, is invertible. *)
Lemma form_bounds_unit K m M : 0 < m -> form_bounds K m M -> K \in unitmx.
Proof.
move=> m0 B; rewrite -unitmx_tr -row_free_unit -kermx_eq0; apply/eqP.
apply/row_matrixP => i; rewrite row0; have : (row i (kermx K^T) <= kermx K^T)%MS by exact: row_sub.
move/sub_kermxP; set u := row i _ => uK.
have Ku : K *m u^T = 0 by rewrite -[K]trmxK -trmx_mul uK trmx0.
have := B u^T; rewrite Ku dot0r => /andP[h _].
have : ‖u^T‖² <= 0 by rewrite -(pmulr_rle0 _ m0).
rewrite le_eqVlt ltNge nrm2_ge0 orbF nrm2_eq0 => /eqP u0.
by rewrite -[u]trmxK u0 trmx0.
Qed.

Lemma metric_dotC K u v : K^T = K -> metric_dot K u v = metric_dot K v u.
Proof. by move=> Ks; rewrite /metric_dot dot_mulmxr invmx_sym // dotC. Qed.

(** One step. *)
Theorem metric_orthogonal K q g eta : K \in unitmx -> ⟨q, g⟩ = 0 ->
  metric_dot K q (- eta *: (K *m g)) = 0.
Proof.
by move=> Ku qg; rewrite /metric_dot -scalemxAr mulKmx // dotZr qg mulr0.
Qed.

Theorem metric_pythagoras K q g eta (q' := q - eta *: (K *m g)) :
  K^T = K -> K \in unitmx -> ⟨q, g⟩ = 0 ->
  metric_dot K q' q' = metric_dot K q q + eta ^+ 2 * ⟨g, K *m g⟩.
Proof.
move=> Ks Ku qg; have o : ⟨q, invmx K *m (- (eta *: (K *m g)))⟩ = 0.
  by have := metric_orthogonal eta Ku qg; rewrite /metric_dot scaleNr.
have o2 : ⟨- (eta *: (K *m g)), invmx K *m q⟩ = 0.
  by rewrite -/(metric_dot K _ _) metric_dotC.
rewrite /metric_dot /q' mulmxDr dotDl !dotDr o o2 addr0 add0r; congr (_ + _).
rewrite mulmxN -scalemxAr mulKmx // dotNl dotNr opprK dotZl dotZr mulrA -expr2.
by rewrite [⟨K *m g, g⟩]dotC.
Qed.

(** The inverse kernel lies between 1/M and 1/m. *)
Lemma inverse_form_bounds K m M v : K^T = K -> 0 < m -> m <= M -> form_bounds K m M ->
  m * metric_dot K v v <= ‖v‖² <= M * metric_dot K v v.
Proof.
move=> Ks m0 mM B; have Ku := form_bounds_unit m0 B.
have M0 : 0 < M := lt_le_trans m0 mM.
pose w := invmx K *m v; have vE : v = K *m w by rewrite mulKVmx.
have -> : metric_dot K v v = ⟨w, K *m w⟩ by rewrite /metric_dot -/w -vE dotC.
rewrite vE; have h := between_bounds w Ks mM B; have /andP[lo hi] := B w.
set a := ⟨w, K *m w⟩ in h lo hi *; set b := ‖K *m w‖² in h *; set c := ‖w‖² in h lo hi.
apply/andP; split; last first.
  have : m * a <= m * (M * c) by rewrite ler_pmul2l.
  move=> h2; have := ler_add h h2; rewrite -subr_ge0 => h3; rewrite -subr_ge0.
  by apply: le_trans h3 _; rewrite le_eqVlt; apply/orP; left; apply/eqP; ring.
have cs := cauchy_schwarz w (K *m w); rewrite -/a -/b -/c in cs.
have c0 : 0 <= c := nrm2_ge0 _; have b0 : 0 <= b := nrm2_ge0 _.
have a0 : 0 <= a by apply: le_trans lo; rewrite mulr_ge0 // ltW.
have [az|az] := eqVneq a 0; first by rewrite az mulr0.
have a1 : 0 < a by rewrite lt_def az.
rewrite -(ler_pmul2l a1); apply: (le_trans (y := m * (c * b))).
  by rewrite mulrCA ler_pmul2l // -expr2.
by rewrite mulrA; apply: ler_wpmul2r.
Qed.

End Metric.

(** ** (c) a run with a fixed preconditioner *)
Section Preconditioned.
Variables (R : realFieldType) (n : nat) (K : 'M[R]_n) (m M : R).
Variables (q g : nat -> 'cV[R]_n) (eta : nat -> R).
Hypotheses (Ks : K^T = K) (m0 : 0 < m) (mM : m <= M) (B : form_bounds K m M).
Hypothesis qg : forall t, ⟨q t, g t⟩ = 0.
Hypothesis step : forall t, q t.+1 = q t - eta t *: (K *m g t).

Theorem preconditioned_run T :
  metric_dot K (q T) (q T)
  = metric_dot K (q 0%N) (q 0%N) + \sum_(t < T) eta t ^+ 2 * ⟨g t, K *m g t⟩.
Proof.
have Ku := form_bounds_unit m0 B.
elim: T => [|T IH]; first by rewrite big_ord0 addr0.
by rewrite step metric_pythagoras // IH big_ord_recr /= addrA.
Qed.

(** ‖q_T‖² ≥ m (‖q_0‖²_{K⁻¹} + Σ η_t² ⟨g_t, K g_t⟩): metric growth forces growth of ‖q‖. *)
Theorem preconditioned_growth T :
  m * (metric_dot K (q 0%N) (q 0%N) + \sum_(t < T) eta t ^+ 2 * ⟨g t, K *m g t⟩) <= ‖q T‖².
Proof.
by rewrite -preconditioned_run; case/andP: (inverse_form_bounds (q T) Ks m0 mM B).
Qed.

(** Never below 1/κ of the start: m ‖q_0‖² ≤ M ‖q_T‖². *)
Theorem preconditioned_never_below T : m * ‖q 0%N‖² <= M * ‖q T‖².
Proof.
have M0 : 0 < M := lt_le_trans m0 mM.
have /andP[_ h] := inverse_form_bounds (q 0%N) Ks m0 mM B.
apply: (le_trans (y := m * (M * metric_dot K (q 0%N) (q 0%N)))).
  by rewrite ler_pmul2l.
rewrite mulrCA ler_pmul2l //; apply: le_trans (preconditioned_growth T).
rewrite ler_pmul2l // ler_addl sumr_ge0 // => t _.
rewrite mulr_ge0 ?sqr_ge0 //; have /andP[lo _] := B (g t); apply: le_trans lo.
by rewrite mulr_ge0 ?nrm2_ge0 // ltW.
Qed.

End Preconditioned.

(** ** (a) a frozen projection: q = V e, only e trained *)
Section FrozenProjection.
Variables (R : realFieldType) (d p : nat) (V : 'M[R]_(d, p)).
Implicit Types (e : 'cV[R]_p) (f : 'cV[R]_d -> R).

Theorem frozen_projection_raw_row f e ge eta :
  ray_const f (V *m e) -> is_grad (fun x => f (V *m x)) e ge ->
  ⟨e, ge⟩ = 0 /\ ‖e - eta *: ge‖² = ‖e‖² + eta ^+ 2 * ‖ge‖².
Proof.
move=> fq D; have eg : ⟨e, ge⟩ = 0.
  by apply: euler_grad_orth D => c c0; rewrite -scalemxAr fq.
split=> //; rewrite -scaleNr pythagoras ?nrm2Z ?sqrrN //.
by rewrite dotZr eg mulr0.
Qed.

(** A run: ‖e_T‖² = ‖e_0‖² + Σ η_t² ‖∇_e L_t‖², and ‖q_T‖² ≥ m ‖e_T‖² where m bounds VᵀV
    from below (the square of the least singular value). *)
Theorem frozen_projection_run (e ge : nat -> 'cV[R]_p) (f : nat -> 'cV[R]_d -> R)
    (eta : nat -> R) (m : R) T :
  (forall t, ray_const (f t) (V *m e t)) ->
  (forall t, is_grad (fun x => f t (V *m x)) (e t) (ge t)) ->
  (forall t, e t.+1 = e t - eta t *: ge t) ->
  (forall v, m * ‖v‖² <= ‖V *m v‖²) ->
  ‖e T‖² = ‖e 0%N‖² + \sum_(t < T) eta t ^+ 2 * ‖ge t‖² /\
  m * (‖e 0%N‖² + \sum_(t < T) eta t ^+ 2 * ‖ge t‖²) <= ‖V *m e T‖².
Proof.
move=> fq D step mV.
have E : ‖e T‖² = ‖e 0%N‖² + \sum_(t < T) eta t ^+ 2 * ‖ge t‖².
  elim: T => [|T IH]; first by rewrite big_ord0 addr0.
  have [_ h] := frozen_projection_raw_row (eta T) (fq T) (D T).
  by rewrite step h IH big_ord_recr /= addrA.
by split=> //; rewrite -E.
Qed.

(** [m] and [M] are the squares of the extreme singular values of V. *)
Theorem frozen_projection_coupling (m M : R) (e1 e2 : 'cV[R]_p) :
  0 < m -> (forall e, m * ‖e‖² <= ‖V *m e‖² <= M * ‖e‖²) -> 0 <= M ->
  m * (‖e1‖² * ‖V *m e2‖²) <= M * (‖e2‖² * ‖V *m e1‖²).
Proof.
move=> m0 B M0; have /andP[lo _] := B e1; have /andP[_ hi] := B e2.
apply: (le_trans (y := ‖V *m e1‖² * ‖V *m e2‖²)).
  by rewrite mulrA ler_wpmul2r // nrm2_ge0.
by rewrite mulrC mulrA ler_wpmul2r // nrm2_ge0.
Qed.

End FrozenProjection.

(** ** (b) element-wise AdaGrad *)
Section ElementWise.
Variables (R : realFieldType) (n : nat).
Variables (q g : nat -> 'cV[R]_n) (h : nat -> 'I_n -> R) (eta : nat -> R).
Hypothesis h0 : forall t i, 0 < h t i.
Hypothesis h_grows : forall t i, h t i <= h t.+1 i.
Hypothesis qg : forall t, ⟨q t, g t⟩ = 0.
Hypothesis step : forall t i, q t.+1 i 0 = q t i 0 - eta t * (g t i 0 / h t i).

(** The energy in the metric of the current scaling. *)
Definition energy t : R := \sum_i h t i * q t i 0 ^+ 2.

Theorem energy_step t :
  \sum_i h t i * q t.+1 i 0 ^+ 2 = energy t + eta t ^+ 2 * (\sum_i g t i 0 ^+ 2 / h t i).
Proof.
have -> : \sum_i h t i * q t.+1 i 0 ^+ 2
  = energy t - 2%:R * eta t * (\sum_i q t i 0 * g t i 0)
    + eta t ^+ 2 * (\sum_i g t i 0 ^+ 2 / h t i).
  rewrite !mulr_sumr /energy -sumrB -big_split; apply: eq_bigr => i _ /=.
  by rewrite step; field; rewrite gt_eqF.
by rewrite [\sum_i q t i 0 * g t i 0]qg mulr0 subr0.
Qed.

Theorem energy_monotone t : energy t <= energy t.+1.
Proof.
apply: (le_trans (y := \sum_i h t i * q t.+1 i 0 ^+ 2)); last first.
  by apply: ler_sum => i _; rewrite ler_wpmul2r ?sqr_ge0.
rewrite energy_step ler_addl mulr_ge0 ?sqr_ge0 ?sumr_ge0 // => i _.
by rewrite divr_ge0 ?sqr_ge0 // ltW.
Qed.

End ElementWise.

(** AdaGrad itself: h_t(i) = √(Σ_{s≤t} g_s(i)²) + ε. *)
Theorem adagrad_energy_monotone (R : rcfType) n (q g : nat -> 'cV[R]_n) (eta : nat -> R)
    (eps : R) (h := fun t i => Num.sqrt (\sum_(s < t.+1) g s i 0 ^+ 2) + eps) :
  0 < eps -> (forall t, ⟨q t, g t⟩ = 0) ->
  (forall t i, q t.+1 i 0 = q t i 0 - eta t * (g t i 0 / h t i)) ->
  forall t, energy q h t <= energy q h t.+1.
Proof.
move=> e0 qg step; apply: (energy_monotone _ _ qg step) => t i.
  by rewrite ltr_paddl // sqrtr_ge0.
rewrite /h ler_add2r ler_wsqrtr // [X in _ <= X]big_ord_recr /= ler_addl; exact: sqr_ge0.
Qed.

(** The hypotheses of the run hold together: K = diag(1,4), a step from (1,1) along the
    tangent gradient (1,-1), then rest. *)
Example preconditioned_instance (R : realFieldType) :
  let K : 'M[R]_2 := diag_mx (\row_i (if i == 0 then 1 else 4%:R)) in
  let g t : 'cV[R]_2 := if t is 0 then vec2 1 (-1) else 0 in
  let q t : 'cV[R]_2 := if t is 0 then vec2 1 1 else vec2 1 1 - 1 *: (K *m vec2 1 (-1)) in
  [/\ K^T = K, form_bounds K 1 4%:R, forall t, ⟨q t, g t⟩ = 0
    & forall t, q t.+1 = q t - 1 *: (K *m g t)].
Proof.
move=> K g q; have [Ks B] : K^T = K /\ form_bounds K 1 4%:R.
  apply: diagonal_form_bounds => i; rewrite mxE.
  by case: ifP => _; rewrite lexx ?andbT (ler_nat R 1 4).
split=> // [[|t]|[|t]] //=.
- by rewrite dot_vec2; ring.
- by rewrite dot0r.
- by rewrite mulmx0 scaler0 subr0.
Qed.

(** So do those of AdaGrad: eps = 1, eta = 1, the same start and gradient, then rest. *)
Example adagrad_instance (R : rcfType) :
  let g t : 'cV[R]_2 := if t is 0 then vec2 1 (-1) else 0 in
  let q t : 'cV[R]_2 := if t is 0 then vec2 1 1 else vec2 (1 / 2%:R) (3%:R / 2%:R) in
  (forall t, ⟨q t, g t⟩ = 0) /\
  forall t i, q t.+1 i 0
    = q t i 0 - 1 * (g t i 0 / (Num.sqrt (\sum_(s < t.+1) g s i 0 ^+ 2) + 1)).
Proof.
move=> g q; split=> [[|t]|[|t] i] /=; first by rewrite dot_vec2; ring.
- by rewrite dot0r.
- rewrite big_ord_recl big_ord0 addr0 !mxE.
  by case: ifP => _; rewrite ?sqrrN expr1n sqrtr1; field.
- by rewrite [fun_of_matrix 0 _ _]mxE mul0r mulr0 subr0.
Qed.
