(** * serving-inversion: when the dot product overturns the cosine

    Let c_i = cos(u, q_i) and score by the dot product <u, q_i> = ‖u‖ ‖q_i‖ c_i.
    - For c_i > c_j > 0 the dot product ranks j above i iff ‖q_j‖/‖q_i‖ > c_i/c_j; the norm
      of the user is irrelevant for either ranking.  Witness: u = (1,0), q_i = (4,3),
      q_j = (6,8): cosines .8 > .6, dot products 4 < 6.
    - If rho bounds the ratio of the norms of any two candidates, every pair with
      c_i > rho c_j > 0 keeps its order, and rho cannot be improved.
    - For negative cosines a larger norm demotes: if c_i >= c_j and c_j < 0, then making
      q_j longer can only keep j below i.
    - With the quartic law ‖q‖⁴ = r + k n (r = initial norm to the fourth, n = number of
      updates, k > 0) and c_i = (1 + delta) c_j, delta >= 0: j overtakes i iff
          r + k n_j > (1 + delta)⁴ (r + k n_i).
      For r = 0 this is n_j/n_i > (1 + delta)⁴ (1.4641 at delta = 10 %); for r > 0 more than
      that ratio is needed, by ((1 + delta)⁴ - 1) r/(k n_i) exactly.
    Source: derived here (the growth law: van Laarhoven 2017, see QuarticGrowth.v). *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Cosine NonVacuous.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Serving.
Variables (R : rcfType) (n : nat).
Implicit Types (u q : 'cV[R]_n) (c rho delta : R).

Lemma dot_cosine u q : u != 0 -> q != 0 -> ⟨u, q⟩ = norm u * norm q * cosine u q.
Proof.
by rewrite -!norm_gt0 => u0 q0; rewrite mulrC /cosine divfK // mulf_neq0 // gt_eqF.
Qed.

(** Comparing dot products is comparing norm times cosine; the user's norm drops out. *)
Theorem dot_ranking u qi qj : u != 0 -> qi != 0 -> qj != 0 ->
  (⟨u, qi⟩ < ⟨u, qj⟩) = (norm qi * cosine u qi < norm qj * cosine u qj).
Proof.
move=> u0 qi0 qj0; rewrite !dot_cosine // -!mulrA ltr_pmul2l //.
by rewrite norm_gt0.
Qed.

(** Neither ranking sees the length of the user. *)
Theorem user_norm_irrelevant u qi qj c : 0 < c ->
  (⟨c *: u, qi⟩ < ⟨c *: u, qj⟩) = (⟨u, qi⟩ < ⟨u, qj⟩) /\
  (cosine (c *: u) qi < cosine (c *: u) qj) = (cosine u qi < cosine u qj).
Proof. by move=> c0; rewrite !dotZl ltr_pmul2l // !cosine_scale. Qed.

(** The inversion criterion. *)
Theorem inversion_iff u qi qj : u != 0 -> qi != 0 -> qj != 0 ->
  0 < cosine u qj -> cosine u qj < cosine u qi ->
  (⟨u, qi⟩ < ⟨u, qj⟩) = (cosine u qi / cosine u qj < norm qj / norm qi).
Proof.
move=> u0 qi0 qj0 cj0 cij; rewrite dot_ranking //.
rewrite ltr_pdivr_mulr // mulrAC ltr_pdivl_mulr ?norm_gt0 //.
by rewrite [cosine u qi * _]mulrC.
Qed.

(** The same criterion needs no order of the cosines, only that they are positive. *)
Theorem dot_order_iff u qi qj : u != 0 -> qi != 0 -> qj != 0 -> 0 < cosine u qj ->
  (⟨u, qi⟩ < ⟨u, qj⟩) = (cosine u qi / cosine u qj < norm qj / norm qi).
Proof.
move=> u0 qi0 qj0 cj0; rewrite dot_ranking // ltr_pdivr_mulr // mulrAC.
by rewrite ltr_pdivl_mulr ?norm_gt0 // [cosine u qi * _]mulrC.
Qed.

(** Pairs whose cosines differ by more than the spread of the norms keep their order. *)
Theorem spread_keeps_order u qi qj rho : u != 0 -> qi != 0 -> qj != 0 ->
  norm qj <= rho * norm qi -> 0 < cosine u qj -> rho * cosine u qj < cosine u qi ->
  ⟨u, qj⟩ < ⟨u, qi⟩.
Proof.
move=> u0 qi0 qj0 spread cj0 gap; rewrite dot_ranking //.
apply: le_lt_trans (_ : rho * norm qi * cosine u qj < _); first by rewrite ler_pmul2r.
by rewrite mulrAC [_ * norm qi]mulrC ltr_pmul2l // norm_gt0.
Qed.

(** The spread cannot be improved: at a gap of exactly rho the two scores are equal. *)
Theorem spread_is_sharp u qi qj rho : u != 0 -> qi != 0 -> qj != 0 ->
  norm qj = rho * norm qi -> cosine u qi = rho * cosine u qj -> ⟨u, qj⟩ = ⟨u, qi⟩.
Proof.
move=> u0 qi0 qj0 spread gap; rewrite !dot_cosine // spread gap.
by set x := cosine u qj; ring.
Qed.

(** For a whole candidate set: rho is the largest norm over the smallest. *)
Theorem spread_keeps_order_all (I : Type) (q : I -> 'cV[R]_n) u lo hi :
  u != 0 -> 0 < lo -> (forall i, lo <= norm (q i) <= hi) ->
  forall i j, 0 < cosine u (q j) -> hi / lo * cosine u (q j) < cosine u (q i) ->
    ⟨u, q j⟩ < ⟨u, q i⟩.
Proof.
move=> u0 lo0 bounds i j cj0 gap.
have nz k : q k != 0 by rewrite -norm_gt0; have /andP[lk _] := bounds k; apply: lt_le_trans lk.
apply: (@spread_keeps_order u (q i) (q j) (hi / lo)) => //.
have /andP[li _] := bounds i; have /andP[_ hj] := bounds j.
have hi0 : 0 <= hi / lo.
  by apply: divr_ge0 (ltW lo0); apply: le_trans hj; apply: norm_ge0.
apply: le_trans hj _; apply: le_trans (_ : hi / lo * lo <= _).
  by rewrite divfK // gt_eqF.
exact: ler_wpmul2l.
Qed.

(** Negative cosines: a longer row is pushed down.  Scaling q_j by c >= 1 cannot lift it. *)
Theorem longer_negative_rows_sink u q c : ⟨u, q⟩ < 0 -> 1 <= c -> ⟨u, c *: q⟩ <= ⟨u, q⟩.
Proof. by move=> /ltW neg c1; rewrite dotZr ler_nemull. Qed.

(** And a negative cosine never overtakes a non-negative one, whatever the norms. *)
Theorem negative_never_overtakes u qi qj : u != 0 -> qi != 0 -> qj != 0 ->
  0 <= cosine u qi -> cosine u qj < 0 -> ⟨u, qj⟩ < ⟨u, qi⟩.
Proof.
move=> u0 qi0 qj0 ci cj; rewrite !dot_cosine //.
apply: lt_le_trans (_ : 0 <= _); last by rewrite mulr_ge0 // mulr_ge0 ?norm_ge0.
by rewrite pmulr_rlt0 // mulr_gt0 ?norm_gt0.
Qed.

(** Two negative cosines: j, the less similar, is ranked above i iff i is longer by more
    than the ratio of the cosines. *)
Theorem negative_inversion_iff u qi qj : u != 0 -> qi != 0 -> qj != 0 ->
  cosine u qj < cosine u qi -> cosine u qi < 0 ->
  (⟨u, qi⟩ < ⟨u, qj⟩) = (cosine u qj / cosine u qi < norm qi / norm qj).
Proof.
move=> u0 qi0 qj0 cij ci0; rewrite dot_ranking //.
rewrite ltr_ndivr_mulr // mulrAC ltr_pdivr_mulr ?norm_gt0 //.
by rewrite [cosine u qj * _]mulrC.
Qed.

(** ** Under the quartic law *)

(** With ‖q‖⁴ = r + k n, and cosines in the ratio 1 + delta, the item with n_j updates
    overtakes the one with n_i updates iff the quartic norms are in the ratio (1 + delta)⁴. *)
Theorem overtaking_iff u qi qj delta r k ni nj : u != 0 -> qi != 0 -> qj != 0 ->
  0 <= delta -> 0 < cosine u qj -> cosine u qi = (1 + delta) * cosine u qj ->
  norm qi ^+ 4 = r + k * ni -> norm qj ^+ 4 = r + k * nj ->
  (⟨u, qi⟩ < ⟨u, qj⟩) = ((1 + delta) ^+ 4 * (r + k * ni) < r + k * nj).
Proof.
move=> u0 qi0 qj0 d0 cj0 gap quartic_i quartic_j; rewrite -quartic_i -quartic_j dot_ranking //.
rewrite gap mulrA ltr_pmul2r // [norm qi * _]mulrC -exprMn.
have d1 : 0 <= 1 + delta by rewrite addr_ge0 ?ler01.
by rewrite ltr_pexpn2r // nnegrE ?mulr_ge0 ?norm_ge0.
Qed.

End Serving.

Section Popularity.
Variable R : realFieldType.
Implicit Types (delta r k ni nj : R).

(** Far above the initial norm (r = 0) the popularity ratio that is needed is (1 + delta)⁴,
    whatever the rate, the loss and the initialisation. *)
Theorem popularity_ratio_needed delta k ni nj : 0 < k -> 0 < ni ->
  ((1 + delta) ^+ 4 * (0 + k * ni) < 0 + k * nj) = ((1 + delta) ^+ 4 < nj / ni).
Proof.
by move=> k0 n0; rewrite !add0r mulrCA ltr_pmul2l // ltr_pdivl_mulr.
Qed.

(** With an initial norm the ratio needed is larger, by exactly this much. *)
Theorem popularity_ratio_with_start delta r k ni nj : 0 < k -> 0 < ni ->
  ((1 + delta) ^+ 4 * (r + k * ni) < r + k * nj) =
  ((1 + delta) ^+ 4 + ((1 + delta) ^+ 4 - 1) * (r / (k * ni)) < nj / ni).
Proof.
move=> k0 n0; have kn0 : 0 < k * ni by apply: mulr_gt0.
rewrite -[RHS](ltr_pmul2r kn0); set D := (1 + delta) ^+ 4.
have -> : (D + (D - 1) * (r / (k * ni))) * (k * ni) = D * (r + k * ni) - r.
  by field; rewrite !gt_eqF.
have -> : nj / ni * (k * ni) = k * nj by field; rewrite gt_eqF.
by rewrite ltr_subl_addl.
Qed.

(** So (1 + delta)⁴ is always a lower bound of what is needed. *)
Theorem popularity_ratio_lower_bound delta r k ni nj :
  0 <= delta -> 0 <= r -> 0 < k -> 0 < ni ->
  (1 + delta) ^+ 4 * (r + k * ni) < r + k * nj -> (1 + delta) ^+ 4 < nj / ni.
Proof.
move=> d0 r0 k0 n0; rewrite popularity_ratio_with_start //; apply: le_lt_trans.
rewrite ler_addl mulr_ge0 //; last by apply: divr_ge0 r0 _; apply: mulr_ge0; apply: ltW.
by rewrite subr_ge0 exprn_ege1 // ler_addl.
Qed.

(** A gap of ten per cent: 1.4641 times as popular is enough. *)
Example ten_percent_gap : (1 + 10%:R^-1) ^+ 4 = (121%:R / 100%:R) ^+ 2 :> R.
Proof. by field. Qed.

End Popularity.

(** ** The witness *)
Section Witness.
Variable R : rcfType.
Let u : 'cV[R]_2 := vec2 1 0.
Let qi : 'cV[R]_2 := vec2 4%:R 3%:R.
Let qj : 'cV[R]_2 := vec2 6%:R 8%:R.

Lemma norm_u : norm u = 1.
Proof. by apply: normE; rewrite ?ler01 // /u vec2E; ring. Qed.
Lemma norm_qi : norm qi = 5%:R.
Proof. by apply: normE; rewrite ?ler0n // /qi vec2E; ring. Qed.
Lemma norm_qj : norm qj = 10%:R.
Proof. by apply: normE; rewrite ?ler0n // /qj vec2E; ring. Qed.

Theorem inversion_witness :
  [/\ cosine u qi = 4%:R / 5%:R, cosine u qj = 3%:R / 5%:R, ⟨u, qi⟩ = 4%:R & ⟨u, qj⟩ = 6%:R].
Proof.
by split; rewrite /cosine ?norm_u ?norm_qi ?norm_qj /u /qi /qj vec2E; field.
Qed.

End Witness.
