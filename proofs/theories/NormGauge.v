(** * norm-gauge: the norms of the rows are invisible to a cosine-trained model.

    Rescaling any subset of the item rows by positive numbers changes neither a loss that
    sees the rows through cosines only, nor the order of the items by cosine for any user;
    it does change the order by dot product.  In particular every positive norm profile is
    attained by some minimiser of the loss, so a relation between popularity and ‖q_i‖ is
    produced by the dynamics of training, never by the optimum.
    Source: derived here; for the reverse direction compare Steck et al. 2024.
    Proof: cos(cq, p) = cos(q, p) for c > 0, and ⟨cq, u⟩ = c⟨q, u⟩. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine Frechet Normalise.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Gauge.
Variables (R : rcfType) (n N : nat).
Implicit Types (Q : 'I_N -> 'cV[R]_n) (u p : 'cV[R]_n) (c : 'I_N -> R).

(** [F] sees each row of the table through its cosines only. *)
Definition cosine_only (T : Type) (F : ('I_N -> 'cV[R]_n) -> T) : Prop :=
  forall Q Q', (forall i p, cosine (Q i) p = cosine (Q' i) p) -> F Q = F Q'.

(** Every row multiplied by its own number (1 for the rows left alone). *)
Definition rescale c Q : 'I_N -> 'cV[R]_n := fun i => c i *: Q i.

(** The training loss does not change. *)
Theorem loss_invariant (F : ('I_N -> 'cV[R]_n) -> R) c Q :
  cosine_only F -> (forall i, 0 < c i) -> F (rescale c Q) = F Q.
Proof. by move=> FC c0; apply: FC => i p; apply: cosine_scale. Qed.

(** Neither does the order of the items by cosine, for any user. *)
Theorem cosine_ranking_invariant c Q u i j : (forall i, 0 < c i) ->
  (cosine (rescale c Q i) u < cosine (rescale c Q j) u) = (cosine (Q i) u < cosine (Q j) u).
Proof. by move=> c0; rewrite !cosine_scale. Qed.

(** The rank of an item (how many items stand above it), hence every ranking metric,
    is the same; a list is sorted by cosine after rescaling iff it was before. *)
Definition cosine_rank Q u (i : 'I_N) : nat :=
  #|[pred j | cosine (Q i) u < cosine (Q j) u]|.

Theorem cosine_rank_invariant c Q u i : (forall i, 0 < c i) ->
  cosine_rank (rescale c Q) u i = cosine_rank Q u i.
Proof. by move=> c0; apply: eq_card => j; rewrite !inE !cosine_scale. Qed.

Theorem cosine_sorted_invariant c Q u (items : seq 'I_N) : (forall i, 0 < c i) ->
  sorted (fun i j => cosine (rescale c Q j) u <= cosine (rescale c Q i) u) items =
  sorted (fun i j => cosine (Q j) u <= cosine (Q i) u) items.
Proof. by move=> c0; apply: eq_sorted => i j; rewrite !cosine_scale. Qed.

(** Rescaling turns a minimiser into a minimiser ... *)
Theorem minimiser_rescaled (F : ('I_N -> 'cV[R]_n) -> R) c Q :
  cosine_only F -> (forall i, 0 < c i) ->
  (forall Q', F Q <= F Q') -> forall Q', F (rescale c Q) <= F Q'.
Proof. by move=> FC c0 Qmin Q'; rewrite loss_invariant. Qed.

(** ... so every positive norm profile occurs at the optimum. *)
Theorem any_norm_profile_is_optimal (F : ('I_N -> 'cV[R]_n) -> R) (nu : 'I_N -> R) Q :
  cosine_only F -> (forall i, 0 < nu i) -> (forall i, Q i != 0) ->
  (forall Q', F Q <= F Q') ->
  exists Q1, (forall i, norm (Q1 i) = nu i) /\ forall Q', F Q1 <= F Q'.
Proof.
move=> FC nu0 Q0 Qmin; have n0 i : 0 < norm (Q i) by rewrite norm_gt0.
have c0 i : 0 < nu i / norm (Q i) by rewrite divr_gt0.
exists (rescale (fun i => nu i / norm (Q i)) Q); split; last exact: minimiser_rescaled.
by move=> i; rewrite /rescale normZ gtr0_norm // divfK // gt_eqF.
Qed.

(** The order by dot product does change: between two items with positive scores,
    rescaling one row produces either order, while loss and cosine order stay. *)
Theorem dot_ranking_changes Q u i j : i != j -> 0 < ⟨Q i, u⟩ -> 0 < ⟨Q j, u⟩ ->
  exists c, [/\ forall k, 0 < c k, forall k, k != j -> c k = 1
              & ⟨rescale c Q i, u⟩ < ⟨rescale c Q j, u⟩].
Proof.
move=> ij qi qj; pose c k := if k == j then 2%:R * ⟨Q i, u⟩ / ⟨Q j, u⟩ else 1.
exists c; rewrite /c; split=> [k|k /negPf -> //|].
  by case: ifP => _; rewrite ?ltr01 // divr_gt0 // mulr_gt0 ?ltr0n.
rewrite /rescale (negPf ij) eqxx scale1r dotZl divfK ?gt_eqF //.
by rewrite mulrDl mul1r ltr_addl.
Qed.

(** The user's norm changes no order at all. *)
Theorem user_norm_irrelevant Q u (a : R) i j : 0 < a ->
  (⟨Q i, a *: u⟩ < ⟨Q j, a *: u⟩) = (⟨Q i, u⟩ < ⟨Q j, u⟩).
Proof. by move=> a0; rewrite !dotZr ltr_pmul2l. Qed.

(** The losses meant: any function of all cosines with given vectors and of the cosines
    between rows. *)
Example cosine_only_losses k (p : 'I_k -> 'cV[R]_n)
    (L : ('I_N -> 'I_k -> R) -> ('I_N -> 'I_N -> R) -> R) :
  (forall x x' y y', (forall i j, x i j = x' i j) -> (forall i j, y i j = y' i j) ->
     L x y = L x' y') ->
  cosine_only (fun Q => L (fun i j => cosine (Q i) (p j)) (fun i j => cosine (Q i) (Q j))).
Proof.
move=> Lext Q Q' QQ; apply: Lext => i j; rewrite ?QQ //.
by rewrite [LHS]cosineC [RHS]cosineC QQ.
Qed.

End Gauge.

(** Two items, one user: cosines 4/5 > 3/5, and doubling the second row turns the order by
    dot product over: 4 > 3 but 4 < 6. *)
Example dot_ranking_instance (R : rcfType) :
  let u : 'cV[R]_2 := vec2 1 0 in
  let qi : 'cV[R]_2 := vec2 4%:R 3%:R in let qj : 'cV[R]_2 := vec2 3%:R 4%:R in
  [/\ ⟨qj, u⟩ < ⟨qi, u⟩, ⟨qi, u⟩ < ⟨2%:R *: qj, u⟩
    & cosine (2%:R *: qj) u < cosine qi u].
Proof.
move=> u qi qj; have nu : norm u = 1.
  by apply: normE; rewrite ?ler01 // /u dot_vec2; ring.
have ni : norm qi = 5%:R by apply: normE; rewrite ?ler0n // /qi dot_vec2; ring.
have nj : norm qj = 5%:R by apply: normE; rewrite ?ler0n // /qj dot_vec2; ring.
rewrite cosine_scale ?ltr0n // /cosine nu ni nj /qi /qj /u !vec2E !mulr0 !addr0 !mulr1.
split; rewrite ?ltr_nat -?natrM ?ltr_nat //.
by rewrite ltr_pmul2r ?invr_gt0 ?ltr0n // ltr_nat.
Qed.

(** A loss with a minimiser, for the theorems about minimisers: minus the cosine of one
    row with a unit vector; the vector itself is a minimiser. *)
Example minimiser_exists (R : rcfType) :
  let p : 'cV[R]_2 := vec2 1 0 in
  let F (Q : 'I_1 -> 'cV[R]_2) := - cosine (Q ord0) p in
  cosine_only F /\ forall Q', F (fun _ => p) <= F Q'.
Proof.
move=> p F; split=> [Q Q' QQ|Q']; first by rewrite /F QQ.
have p1 : norm p = 1 by apply: normE; rewrite ?ler01 // /p dot_vec2; ring.
have pp : ‖p‖² = 1 by rewrite -norm_sqr p1 expr1n.
have pp1 : cosine p p = 1 by rewrite /cosine pp p1 mulr1 divr1.
rewrite ler_opp2 pp1 /cosine p1 mulr1.
have [->|q0] := eqVneq (Q' ord0) 0; first by rewrite dot0l mul0r ler01.
rewrite ler_pdivr_mulr ?norm_gt0 // mul1r.
by apply: le_trans (dot_le_norm _ _) _; rewrite p1 mulr1.
Qed.
