(** * Vec: inner products of column vectors over a real field.

    Everything here holds for every [realFieldType] (the rationals, the reals,
    the real algebraic numbers, ...) and every dimension [n], and uses no axiom. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Definition dot (R : realFieldType) (n : nat) (u v : 'cV[R]_n) : R :=
  \sum_i u i 0 * v i 0.

Reserved Notation "⟨ u , v ⟩" (at level 0, u at level 99, v at level 99,
  format "⟨ u ,  v ⟩").
Reserved Notation "‖ u ‖²" (at level 0, u at level 99, format "‖ u ‖²").
Notation "⟨ u , v ⟩" := (dot u v) : ring_scope.
Notation "‖ u ‖²" := (dot u u) : ring_scope.

Section Dot.
Variables (R : realFieldType) (n : nat).
Implicit Types (u v w : 'cV[R]_n) (a b : R).

Lemma dotC u v : ⟨u, v⟩ = ⟨v, u⟩.
Proof. by apply: eq_bigr => i _; rewrite mulrC. Qed.

Lemma dotDl u v w : ⟨u + v, w⟩ = ⟨u, w⟩ + ⟨v, w⟩.
Proof. by rewrite -big_split; apply: eq_bigr => i _; rewrite mxE mulrDl. Qed.

Lemma dotZl a u v : ⟨a *: u, v⟩ = a * ⟨u, v⟩.
Proof. by rewrite mulr_sumr; apply: eq_bigr => i _; rewrite mxE mulrA. Qed.

Lemma dotDr u v w : ⟨u, v + w⟩ = ⟨u, v⟩ + ⟨u, w⟩.
Proof. by rewrite dotC dotDl ![⟨_, u⟩]dotC. Qed.

Lemma dotZr a u v : ⟨u, a *: v⟩ = a * ⟨u, v⟩.
Proof. by rewrite dotC dotZl dotC. Qed.

Lemma dotNl u v : ⟨- u, v⟩ = - ⟨u, v⟩.
Proof. by rewrite -scaleN1r dotZl mulN1r. Qed.

Lemma dotNr u v : ⟨u, - v⟩ = - ⟨u, v⟩.
Proof. by rewrite dotC dotNl dotC. Qed.

Lemma dotBl u v w : ⟨u - v, w⟩ = ⟨u, w⟩ - ⟨v, w⟩.
Proof. by rewrite dotDl dotNl. Qed.

Lemma dotBr u v w : ⟨u, v - w⟩ = ⟨u, v⟩ - ⟨u, w⟩.
Proof. by rewrite dotDr dotNr. Qed.

Lemma dot0l v : ⟨0, v⟩ = 0.
Proof. by rewrite -(scale0r 0) dotZl mul0r. Qed.

Lemma dot0r v : ⟨v, 0⟩ = 0.
Proof. by rewrite dotC dot0l. Qed.

Lemma dot_sumr (I : Type) (r : seq I) (P : pred I) u (F : I -> 'cV[R]_n) :
  ⟨u, \sum_(i <- r | P i) F i⟩ = \sum_(i <- r | P i) ⟨u, F i⟩.
Proof. by apply: (big_morph (dot u)) => [v w|]; rewrite ?dotDr ?dot0r. Qed.

Lemma nrm2_ge0 u : 0 <= ‖u‖².
Proof. by apply: sumr_ge0 => i _; rewrite -expr2 sqr_ge0. Qed.

Lemma nrm2_eq0 u : (‖u‖² == 0) = (u == 0).
Proof.
apply/idP/eqP => [|->]; last by rewrite dot0l.
rewrite psumr_eq0 => [/allP u0|i _]; last by rewrite -expr2 sqr_ge0.
apply/colP => i; rewrite mxE; apply/eqP.
by have := u0 i (mem_index_enum _); rewrite /= -expr2 sqrf_eq0.
Qed.

Lemma nrm2_gt0 u : (0 < ‖u‖²) = (u != 0).
Proof. by rewrite lt_def nrm2_ge0 andbT nrm2_eq0. Qed.

Lemma nrm2D u v : ‖u + v‖² = ‖u‖² + ⟨u, v⟩ *+ 2 + ‖v‖².
Proof. rewrite dotDl !dotDr (dotC v u) mulr2n; ring. Qed.

Lemma nrm2Z a u : ‖a *: u‖² = a ^+ 2 * ‖u‖².
Proof. by rewrite dotZl dotZr mulrA -expr2. Qed.

Lemma nrm2B u v : ‖u - v‖² = ‖u‖² - ⟨u, v⟩ *+ 2 + ‖v‖².
Proof. by rewrite nrm2D dotNr mulNrn dotNl dotNr opprK. Qed.

(** Pythagoras: an orthogonal step adds its squared length. *)
Lemma pythagoras u v : ⟨u, v⟩ = 0 -> ‖u + v‖² = ‖u‖² + ‖v‖².
Proof. by move=> uv; rewrite nrm2D uv mul0rn addr0. Qed.

End Dot.

(** Outer product acting on a vector: (g xᵀ) y = ⟨x,y⟩ g. *)
Lemma outer_mul (R : realFieldType) (d m : nat) (g : 'cV[R]_d) (x y : 'cV[R]_m) :
  (g *m x^T) *m y = ⟨x, y⟩ *: g.
Proof.
rewrite -mulmxA; apply/colP => i; rewrite !mxE big_ord1 mulrC; congr (_ * _).
by rewrite mxE; apply: eq_bigr => k _; rewrite mxE.
Qed.

(** The transpose is the adjoint. *)
Lemma dot_mulmx (R : realFieldType) (d m : nat) (A : 'M[R]_(d, m)) (u : 'cV[R]_m)
    (v : 'cV[R]_d) : ⟨A *m u, v⟩ = ⟨u, A^T *m v⟩.
Proof.
rewrite /dot (eq_bigr (fun i => \sum_j A i j * u j 0 * v i 0)) => [|i _].
  rewrite exchange_big; apply: eq_bigr => j _; rewrite mxE mulr_sumr.
  by apply: eq_bigr => i _; rewrite mxE mulrCA mulrA.
by rewrite mxE mulr_suml.
Qed.

(** Frobenius inner product of two matrices. *)
Definition frob (R : realFieldType) (d m : nat) (A B : 'M[R]_(d, m)) : R :=
  \sum_i \sum_j A i j * B i j.

Lemma frob_outer (R : realFieldType) (d m : nat) (g : 'cV[R]_d) (x : 'cV[R]_m)
    (V : 'M[R]_(d, m)) : frob (g *m x^T) V = ⟨g, V *m x⟩.
Proof.
apply: eq_bigr => i _; rewrite mxE mulr_sumr; apply: eq_bigr => j _.
rewrite !mxE big_ord1 !mxE -mulrA; congr (_ * _); exact: mulrC.
Qed.

(** Explicit small vectors and matrices, for the witnesses. *)
Definition vec2 (R : realFieldType) (a b : R) : 'cV[R]_2 :=
  \col_(i < 2) (if i == 0 then a else b).
Definition mat2 (R : realFieldType) (a b c d : R) : 'M[R]_2 :=
  \matrix_(i < 2, j < 2)
    (if i == 0 then (if j == 0 then a else b) else (if j == 0 then c else d)).

Section Two.
Variable R : realFieldType.
Implicit Types (a b c d x y : R).

Lemma dot_vec2 a b c d : ⟨vec2 a b, vec2 c d⟩ = a * c + b * d.
Proof. by rewrite /dot !big_ord_recl big_ord0 !mxE /= addr0. Qed.

Lemma add_vec2 a b c d : vec2 a b + vec2 c d = vec2 (a + c) (b + d).
Proof. by apply/colP => i; rewrite !mxE; case: ifP. Qed.

Lemma opp_vec2 a b : - vec2 a b = vec2 (- a) (- b).
Proof. by apply/colP => i; rewrite !mxE; case: ifP. Qed.

Lemma scale_vec2 x a b : x *: vec2 a b = vec2 (x * a) (x * b).
Proof. by apply/colP => i; rewrite !mxE; case: ifP. Qed.

Lemma mul_mat2_vec2 a b c d x y :
  mat2 a b c d *m vec2 x y = vec2 (a * x + b * y) (c * x + d * y).
Proof.
by apply/colP => i; rewrite !mxE !big_ord_recl big_ord0 !mxE /= addr0; case: ifP.
Qed.

Lemma trmx_mat2 a b c d : (mat2 a b c d)^T = mat2 a c b d.
Proof. by apply/matrixP => i j; rewrite !mxE; do 2!case: ifP. Qed.

End Two.

Definition vec2E := (mul_mat2_vec2, scale_vec2, opp_vec2, add_vec2, dot_vec2, trmx_mat2).

(** Further algebra of inner products. *)
Section DotMore.
Variables (R : realFieldType) (n : nat).
Implicit Types (u v w : 'cV[R]_n) (a b : R).

Lemma dot_suml (I : Type) (r : seq I) (P : pred I) u (F : I -> 'cV[R]_n) :
  ⟨\sum_(i <- r | P i) F i, u⟩ = \sum_(i <- r | P i) ⟨F i, u⟩.
Proof. by rewrite dotC dot_sumr; apply: eq_bigr => i _; rewrite dotC. Qed.

Lemma nrm2N u : ‖- u‖² = ‖u‖².
Proof. by rewrite dotNl dotNr opprK. Qed.

(** Cauchy–Schwarz, squared: no square root is needed. *)
Lemma cauchy_schwarz u v : ⟨u, v⟩ ^+ 2 <= ‖u‖² * ‖v‖².
Proof.
have [->|v0] := eqVneq v 0; first by rewrite !dot0r expr0n mulr0.
have v_gt0 : 0 < ‖v‖² by rewrite nrm2_gt0.
have := nrm2_ge0 (‖v‖² *: u - ⟨u, v⟩ *: v).
rewrite nrm2B !nrm2Z dotZl dotZr mulr2n.
set A := ‖v‖² in v_gt0 *; set B := ⟨u, v⟩; set C := ‖u‖².
have -> : A ^+ 2 * C - (A * (B * B) + A * (B * B)) + B ^+ 2 * A = A * (C * A - B ^+ 2).
  by ring.
by rewrite pmulr_rge0 // subr_ge0.
Qed.

(** ‖u + v‖² ≤ 2‖u‖² + 2‖v‖². *)
Lemma nrm2D_le u v : ‖u + v‖² <= ‖u‖² *+ 2 + ‖v‖² *+ 2.
Proof.
have := nrm2_ge0 (u - v); rewrite nrm2B nrm2D => h.
rewrite -subr_ge0; apply: le_trans h _; rewrite le_eqVlt; apply/orP; left.
apply/eqP; rewrite !mulr2n; ring.
Qed.

(** A matrix is determined by its action on vectors. *)
Lemma dot_ext u v : (forall w, ⟨u, w⟩ = ⟨v, w⟩) -> u = v.
Proof.
move=> h; apply/eqP; rewrite -subr_eq0 -nrm2_eq0 dotBl subr_eq0; apply/eqP; exact: h.
Qed.

End DotMore.

Lemma dot_mulmxr (R : realFieldType) (d m : nat) (A : 'M[R]_(d, m)) (u : 'cV[R]_m)
    (v : 'cV[R]_d) : ⟨v, A *m u⟩ = ⟨A^T *m v, u⟩.
Proof. by rewrite dotC dot_mulmx dotC. Qed.

(** Algebra of the Frobenius inner product. *)
Section Frob.
Variables (R : realFieldType) (d m : nat).
Implicit Types (A B C : 'M[R]_(d, m)) (a : R).

Lemma frobC A B : frob A B = frob B A.
Proof. by apply: eq_bigr => i _; apply: eq_bigr => j _; rewrite mulrC. Qed.

Lemma frobDl A B C : frob (A + B) C = frob A C + frob B C.
Proof.
rewrite -big_split; apply: eq_bigr => i _; rewrite -big_split.
by apply: eq_bigr => j _; rewrite mxE mulrDl.
Qed.

Lemma frobZl a A B : frob (a *: A) B = a * frob A B.
Proof.
rewrite mulr_sumr; apply: eq_bigr => i _; rewrite mulr_sumr.
by apply: eq_bigr => j _; rewrite mxE mulrA.
Qed.

Lemma frobDr A B C : frob A (B + C) = frob A B + frob A C.
Proof. by rewrite frobC frobDl ![frob _ A]frobC. Qed.

Lemma frobZr a A B : frob A (a *: B) = a * frob A B.
Proof. by rewrite frobC frobZl frobC. Qed.

Lemma frobNl A B : frob (- A) B = - frob A B.
Proof. by rewrite -scaleN1r frobZl mulN1r. Qed.

Lemma frobNr A B : frob A (- B) = - frob A B.
Proof. by rewrite frobC frobNl frobC. Qed.

Lemma frob0l A : frob 0 A = 0.
Proof. by rewrite -(scale0r 0) frobZl mul0r. Qed.

Lemma frob0r A : frob A 0 = 0.
Proof. by rewrite frobC frob0l. Qed.

Lemma frob_ge0 A : 0 <= frob A A.
Proof. by do 2!(apply: sumr_ge0 => ? _); rewrite -expr2 sqr_ge0. Qed.

Lemma frob_eq0 A : (frob A A == 0) = (A == 0).
Proof.
apply/idP/eqP => [|->]; last by rewrite frob0l.
rewrite psumr_eq0 => [/allP A0|i _]; last first.
  by apply: sumr_ge0 => j _; rewrite -expr2 sqr_ge0.
apply/matrixP => i j; rewrite mxE; apply/eqP.
have := A0 i (mem_index_enum _); rewrite /= psumr_eq0 => [/allP Ai|k _].
  by have := Ai j (mem_index_enum _); rewrite /= -expr2 sqrf_eq0.
by rewrite -expr2 sqr_ge0.
Qed.

Lemma frobD_sq A B : frob (A + B) (A + B) = frob A A + frob A B *+ 2 + frob B B.
Proof. rewrite frobDl !frobDr (frobC B A) mulr2n; ring. Qed.

(** Pythagoras for matrices. *)
Lemma frob_pythagoras A B : frob A B = 0 -> frob (A + B) (A + B) = frob A A + frob B B.
Proof. by move=> AB; rewrite frobD_sq AB mul0rn addr0. Qed.

Lemma frob_sumr (I : Type) (r : seq I) (P : pred I) A (F : I -> 'M[R]_(d, m)) :
  frob A (\sum_(i <- r | P i) F i) = \sum_(i <- r | P i) frob A (F i).
Proof. by apply: (big_morph (frob A)) => [B C|]; rewrite ?frobDr ?frob0r. Qed.

Lemma frob_suml (I : Type) (r : seq I) (P : pred I) A (F : I -> 'M[R]_(d, m)) :
  frob (\sum_(i <- r | P i) F i) A = \sum_(i <- r | P i) frob (F i) A.
Proof. by rewrite frobC frob_sumr; apply: eq_bigr => i _; rewrite frobC. Qed.

(** The Frobenius norm bounds the action: ‖A u‖² ≤ ‖A‖_F² ‖u‖². *)
Lemma nrm2_mulmx_le A (u : 'cV[R]_m) : ‖A *m u‖² <= frob A A * ‖u‖².
Proof.
rewrite {1}/dot /frob mulr_suml; apply: ler_sum => i _.
have -> : (A *m u) i 0 * (A *m u) i 0 = ⟨(row i A)^T, u⟩ ^+ 2.
  rewrite expr2; congr (_ * _); rewrite mxE; apply: eq_bigr => j _; by rewrite !mxE.
apply: le_trans (cauchy_schwarz _ _) _; rewrite ler_wpmul2r ?nrm2_ge0 //.
by rewrite le_eqVlt; apply/orP; left; apply/eqP; apply: eq_bigr => j _; rewrite !mxE.
Qed.

End Frob.
