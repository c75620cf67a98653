(** * Bridge: the derivatives of this project are those of the libraries

    [is_deriv] (Deriv.v) is a plain epsilon-delta definition over any ordered field. Here it is
    compared with two independent libraries:
    - MathComp-Analysis: over any real type, [is_deriv f q v l] holds if and only if f is
      derivable at q in the direction v there, with derivative l;
    - Coq's standard library: for f from Coq's real numbers to themselves, [is_deriv] in the
      direction 1 is [derivable_pt_lim].
    And the theorems specialise: Coq's real numbers are an instance, so a gradient of a
    scale-invariant loss on real vectors is orthogonal to the embedding. Derived here. *)
From Coq Require Import Reals.
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.classical Require Import boolp classical_sets.
From mathcomp.analysis Require Import reals topology normedtype derive Rstruct.
From Perpend Require Import Vec Deriv Cosine NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Set Warnings "-deprecated-syntactic-definition".
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.
Local Open Scope classical_set_scope.

Section Analysis.
Variables (R : realType) (E : normedModType R).
Implicit Types (f : E -> R) (q v : E) (l : R).

Lemma is_deriv_cvg f q v l : is_deriv f q v l <->
  (fun h : R => h^-1 *: (((f : E -> R^o) \o shift q) (h *: v) - (f : E -> R^o) q)) @ (0 : R^o)^' --> (l : R^o).
Proof.
split=> [D | fl eps eps0].
- apply/cvg_distP => eps eps0; have [d d0 H] := D _ eps0.
  rewrite near_map near_withinE; apply/nbhs_ballP; exists d => //= h.
  rewrite -ball_normE /= sub0r normrN => hd h0.
  by have := H h h0 hd; rewrite distrC [h *: v + q]addrC mulrC.
move/cvg_distP: fl => /(_ _ eps0).
rewrite near_map near_withinE => /nbhs_ballP[d /= d0 H]; exists d => // h h0 hd.
have := H h; rewrite -ball_normE /= sub0r normrN => /(_ hd h0).
by rewrite distrC [h *: v + q]addrC mulrC.
Qed.

(** The two definitions of a directional derivative agree. *)
Theorem is_deriv_iff_analysis f q v l :
  is_deriv f q v l <-> derivable (f : E -> R^o) q v /\ 'D_v (f : E -> R^o) q = l.
Proof.
split=> [/is_deriv_cvg fl | [/cvg_ex[k fk] <-]].
  by split; [apply/cvg_ex; exists l | apply: cvg_lim fl].
have -> : 'D_v (f : E -> R^o) q = k by apply: cvg_lim fk.
exact/is_deriv_cvg.
Qed.

End Analysis.

(** Coq's own derivative of a function of one real variable. *)
Theorem is_deriv_iff_standard_library (f : R -> R) (x l : R) :
  is_deriv (f : R^o -> R) x (1 : R^o) l <-> derivable_pt_lim f x l.
Proof.
have E h : h != 0 -> Rminus (Rdiv (Rminus (f (Rplus x h)) (f x)) h) l = (f (x + h) - f x) / h - l.
  by move=> h0; rewrite RdivE.
have one h : h *: (1 : R^o) = h by rewrite /GRing.scale /= mulr1.
split=> [D eps /RltP eps0 | D eps eps0].
  have [d /RltP d0 H] := D _ eps0; exists (mkposreal d d0) => h /eqP h0 /RltP hd.
  have h0' : h != 0 := h0.
  have := H h h0' hd; rewrite one -E // => /RltP; exact.
have [d H] := D eps (elimT (RltP _ _) eps0).
exists (pos d); first by apply/RltP; case: d {H}.
move=> h h0 /RltP hd; have h0' : h <> 0 by apply/eqP.
by have := H h h0' hd; rewrite one => /RltP; rewrite E.
Qed.

(** The gradient of a scale-invariant loss, for vectors of Coq's real numbers. *)
Corollary real_gradient_orthogonal (n : nat) (f : 'cV[R]_n -> R) (q g : 'cV[R]_n) :
  ray_const f q -> is_grad f q g -> ⟨q, g⟩ = 0.
Proof. exact: euler_grad_orth. Qed.

(** The hypotheses can hold: the cosine to itself, at (3,4). *)
Example real_gradient_orthogonal_nonvacuous : nonvacuous real_gradient_orthogonal.
Proof.
have n0 : vec2 3%:R 4%:R != 0 :> 'cV[R]_2.
  by rewrite -nrm2_gt0 dot_vec2 addr_gt0 // mulr_gt0 // ltr0n.
move=> H; apply: (H 2%N (fun x => cosine x (vec2 3%:R 4%:R)) (vec2 3%:R 4%:R) _ _ (cosine_gradient n0 n0)).
by move=> c c0; apply: cosine_scale.
Qed.
