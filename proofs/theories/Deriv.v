(** * Deriv: directional derivatives, by the textbook epsilon-delta definition.

    Stated for functions on any vector space [E] over a [realFieldType], so the
    same definition serves embeddings (column vectors) and parameters (matrices).
    No axiom is used; Bridge.v relates it to MathComp-Analysis' ['D_v f q]. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

(** [l] is the derivative of [f] at [q] in direction [v]. *)
Definition is_deriv (R : realFieldType) (E : lmodType R) (f : E -> R) (q v : E)
    (l : R) : Prop :=
  forall eps, 0 < eps -> exists2 delta, 0 < delta &
    forall h, h != 0 -> `|h| < delta -> `|(f (q + h *: v) - f q) / h - l| < eps.

(** [g] is the gradient of [f] at [q]: it represents every directional derivative. *)
Definition is_grad (R : realFieldType) (n : nat) (f : 'cV[R]_n -> R) (q g : 'cV[R]_n) :=
  forall v, is_deriv f q v ⟨g, v⟩.

(** Same for a function of a weight matrix, with the Frobenius inner product. *)
Definition is_gradM (R : realFieldType) (d m : nat) (f : 'M[R]_(d, m) -> R)
    (W G : 'M[R]_(d, m)) :=
  forall V, is_deriv f W V (frob G V).

Section Deriv.
Variables (R : realFieldType) (E : lmodType R).
Implicit Types (f : E -> R) (q v : E).

Lemma is_deriv_uniq f q v l1 l2 : is_deriv f q v l1 -> is_deriv f q v l2 -> l1 = l2.
Proof.
move=> d1 d2; apply/eqP; apply/negPn/negP => ne.
have e0 : 0 < `|l1 - l2| / 2%:R by rewrite divr_gt0 ?ltr0n // normr_gt0 subr_eq0.
have [r1 r1_gt0 H1] := d1 _ e0; have [r2 r2_gt0 H2] := d2 _ e0.
pose h := Num.min r1 r2 / 2%:R.
have m_gt0 : 0 < Num.min r1 r2 by rewrite lt_minr r1_gt0.
have h_gt0 : 0 < h by rewrite divr_gt0 ?ltr0n.
have h_lt : `|h| < Num.min r1 r2.
  by rewrite gtr0_norm // ltr_pdivr_mulr ?ltr0n // ltr_pmulr // (ltr_nat R 1 2).
have hn0 : h != 0 by rewrite gt_eqF.
move: h_lt; rewrite lt_minr => /andP[/(H1 _ hn0) A1 /(H2 _ hn0) A2].
set k := (f _ - f q) / h in A1 A2.
have : `|l1 - l2| < `|l1 - l2|; last by rewrite ltxx.
have -> : l1 - l2 = (k - l2) - (k - l1) by ring.
apply: le_lt_trans (ler_norm_sub _ _) _.
have -> : k - l2 - (k - l1) = l1 - l2 by ring.
by rewrite [X in _ < X]splitr ltr_add.
Qed.

End Deriv.

Lemma is_grad_uniq (R : realFieldType) n (f : 'cV[R]_n -> R) q g1 g2 :
  is_grad f q g1 -> is_grad f q g2 -> g1 = g2.
Proof.
move=> d1 d2; apply/eqP; rewrite -subr_eq0 -nrm2_eq0 dotBl subr_eq0; apply/eqP.
exact: is_deriv_uniq (d1 _) (d2 _).
Qed.

Lemma is_gradM_uniq (R : realFieldType) d m (f : 'M[R]_(d, m) -> R) W G1 G2 :
  is_gradM f W G1 -> is_gradM f W G2 -> G1 = G2.
Proof.
move=> d1 d2; apply/eqP; rewrite -subr_eq0 -frob_eq0 frobDl frobNl subr_eq0; apply/eqP.
exact: is_deriv_uniq (d1 _) (d2 _).
Qed.

(** ** Rules of calculation. *)
Section DerivRules.
Variables (R : realFieldType) (E : lmodType R).
Implicit Types (f : E -> R) (q v : E) (c l : R).

Lemma is_deriv_ext f1 f2 q v l : f1 =1 f2 -> is_deriv f1 q v l -> is_deriv f2 q v l.
Proof.
move=> e d eps /d[del del0 H]; exists del => // h h0 /(H _ h0).
by rewrite !e.
Qed.

Lemma is_deriv_cst c q v : is_deriv (fun _ => c) q v 0.
Proof. by move=> e e0; exists 1 => // h _ _; rewrite subrr mul0r subr0 normr0. Qed.

Lemma is_derivD f1 f2 q v l1 l2 : is_deriv f1 q v l1 -> is_deriv f2 q v l2 ->
  is_deriv (fun x => f1 x + f2 x) q v (l1 + l2).
Proof.
move=> D1 D2 e e0; have e2 : 0 < e / 2%:R by rewrite divr_gt0 ?ltr0n.
have [d1 d1_gt0 H1] := D1 _ e2; have [d2 d2_gt0 H2] := D2 _ e2.
exists (Num.min d1 d2) => [|h h0]; first by rewrite lt_minr d1_gt0.
rewrite lt_minr => /andP[/(H1 _ h0) A /(H2 _ h0) B].
set x := f1 _ in A *; set y := f1 q in A *; set x' := f2 _ in B *; set y' := f2 q in B *.
have -> : (x + x' - (y + y')) / h - (l1 + l2) = ((x - y) / h - l1) + ((x' - y') / h - l2).
  by ring.
by apply: le_lt_trans (ler_norm_add _ _) _; rewrite [e]splitr ltr_add.
Qed.

Lemma is_derivZ f q v l c : is_deriv f q v l -> is_deriv (fun x => c * f x) q v (c * l).
Proof.
move=> D e e0; have c1 : 0 < `|c| + 1 by rewrite ltr_paddl ?normr_ge0.
have [d d0 H] := D _ (divr_gt0 e0 c1); exists d => // h h0 /(H _ h0) A.
have -> : (c * f (q + h *: v) - c * f q) / h - c * l
  = c * ((f (q + h *: v) - f q) / h - l) by ring.
rewrite normrM; rewrite ltr_pdivl_mulr // mulrC in A; apply: le_lt_trans A.
by rewrite ler_wpmul2r ?normr_ge0 // ler_addl.
Qed.

Lemma is_derivN f q v l : is_deriv f q v l -> is_deriv (fun x => - f x) q v (- l).
Proof.
move=> /(is_derivZ (-1)); rewrite mulN1r; apply: is_deriv_ext => x; exact: mulN1r.
Qed.

Lemma is_deriv_sum k (f : 'I_k -> E -> R) q v (l : 'I_k -> R) :
  (forall i, is_deriv (f i) q v (l i)) ->
  is_deriv (fun x => \sum_i f i x) q v (\sum_i l i).
Proof.
move=> D.
suff S (s : seq 'I_k) : is_deriv (fun x => \sum_(i <- s) f i x) q v (\sum_(i <- s) l i).
  exact: S.
elim: s => [|a s IH].
  rewrite big_nil; apply: is_deriv_ext (is_deriv_cst 0 q v) => x; by rewrite big_nil.
rewrite big_cons; apply: is_deriv_ext (is_derivD (D a) IH) => x; by rewrite big_cons.
Qed.

End DerivRules.

Section GradRules.
Variables (R : realFieldType) (n : nat).
Implicit Types (f : 'cV[R]_n -> R) (q g : 'cV[R]_n) (c : R).

Lemma is_grad_ext f1 f2 q g : f1 =1 f2 -> is_grad f1 q g -> is_grad f2 q g.
Proof. by move=> e D v; apply: is_deriv_ext e (D v). Qed.

Lemma is_gradD f1 f2 q g1 g2 : is_grad f1 q g1 -> is_grad f2 q g2 ->
  is_grad (fun x => f1 x + f2 x) q (g1 + g2).
Proof. by move=> D1 D2 v; rewrite dotDl; apply: is_derivD. Qed.

Lemma is_gradZ f q g c : is_grad f q g -> is_grad (fun x => c * f x) q (c *: g).
Proof. by move=> D v; rewrite dotZl; apply: is_derivZ. Qed.

Lemma is_gradN f q g : is_grad f q g -> is_grad (fun x => - f x) q (- g).
Proof. by move=> D v; rewrite dotNl; apply: is_derivN. Qed.

Lemma is_grad_sum k (f : 'I_k -> 'cV[R]_n -> R) q (g : 'I_k -> 'cV[R]_n) :
  (forall i, is_grad (f i) q (g i)) -> is_grad (fun x => \sum_i f i x) q (\sum_i g i).
Proof. by move=> D v; rewrite dot_suml; apply: is_deriv_sum => i; apply: D. Qed.

(** The linear function ⟨p, ·⟩ has gradient p everywhere. *)
Lemma is_grad_dot (p q : 'cV[R]_n) : is_grad (fun x => ⟨p, x⟩) q p.
Proof.
move=> v e e0; exists 1 => // h h0 _.
by rewrite dotDr dotZr addrAC subrr add0r mulrAC divff // mul1r subrr normr0.
Qed.

(** The gradient of f(A x + b) in x is Aᵀ times the gradient of f. *)
Lemma is_grad_affine m (A : 'M[R]_(n, m)) (b : 'cV[R]_n) f (x : 'cV[R]_m) g :
  is_grad f (A *m x + b) g -> is_grad (fun y => f (A *m y + b)) x (A^T *m g).
Proof.
move=> D v e /(D (A *m v))[d d0 H]; exists d => // h h0 /(H _ h0).
by rewrite -dot_mulmxr mulmxDr -scalemxAr addrAC.
Qed.

Lemma is_grad_linear m (A : 'M[R]_(n, m)) f (x : 'cV[R]_m) g :
  is_grad f (A *m x) g -> is_grad (fun y => f (A *m y)) x (A^T *m g).
Proof.
move=> D; have := @is_grad_affine _ A 0 f x g; rewrite addr0 => /(_ D).
by move=> D' v; apply: is_deriv_ext (D' v) => y; rewrite addr0.
Qed.

(** The gradient of f(W x + b) in the matrix W is the outer product g xᵀ. *)
Lemma is_gradM_outer m f (W : 'M[R]_(n, m)) (x : 'cV[R]_m) (b : 'cV[R]_n) g :
  is_grad f (W *m x + b) g -> is_gradM (fun V => f (V *m x + b)) W (g *m x^T).
Proof.
move=> D V e e0; rewrite frob_outer; have [d d0 H] := D (V *m x) e e0.
by exists d => // h h0 /(H _ h0); rewrite mulmxDl -scalemxAl addrAC.
Qed.

Lemma is_gradM_outer0 m f (W : 'M[R]_(n, m)) (x : 'cV[R]_m) g :
  is_grad f (W *m x) g -> is_gradM (fun V => f (V *m x)) W (g *m x^T).
Proof.
move=> D V e e0; rewrite frob_outer; have [d d0 H] := D (V *m x) e e0.
by exists d => // h h0 /(H _ h0); rewrite mulmxDl -scalemxAl.
Qed.

End GradRules.
