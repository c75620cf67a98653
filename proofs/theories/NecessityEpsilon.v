(** * Necessity, epsilon and serving: the remaining witnesses at the shared numbers

    The four ways an epsilon enters the cosine, evaluated at the numbers of witnesses.json that the
    Rust tests read too, with the gradients derived in EpsilonLeak.v; and the ranking inversion of
    serving-inversion. Derived here. No axiom is used. *)
From mathcomp Require Import all_ssreflect all_algebra.
From mathcomp.algebra_tactics Require Import ring.
From Perpend Require Import Vec Deriv Frechet Cosine Normalise EpsilonLeak WitnessNumbers Necessity.
Set Implicit Arguments.
Unset Strict Implicit.
Unset Printing Implicit Defensive.
Import Order.TTheory GRing.Theory Num.Theory.
Local Open Scope ring_scope.

Section Witnesses.
Variable R : rcfType.

(** q / max(‖q‖, eps) below the floor. *)
Theorem clamped_normalise (q := clamped_normalise_q R) (user := clamped_normalise_user R)
    (eps := clamped_normalise_eps R) :
  norm q = clamped_normalise_norm R /\
  exists g, [/\ is_fgrad (fun x => - ⟨user, floor_normalise eps x⟩) q g,
    g = clamped_normalise_gradient R & ⟨q, g⟩ = clamped_normalise_radial R].
Proof.
have nq : norm q = clamped_normalise_norm R.
  apply: normE; rewrite /q; clamped_normalise_numbers; last by rewrite smallE; number.
  by rewrite divr_ge0 ?ler0n ?ler01.
split=> //; have lt : norm q < eps.
  rewrite nq /eps; clamped_normalise_numbers.
  by rewrite ltr_pdivr_mulr ?ltr0n // mul1r (ltr_nat R 1 10).
have [D _] := floored_norm_leak lt (fgrad_dot (- user) (floor_normalise eps q)).
exists (eps^-1 *: - user); split.
- by apply: fgrad_ext D => x; rewrite dotNl.
- by rewrite /eps /user; clamped_normalise_numbers; rewrite !smallE; numbers.
by rewrite /eps /user /q; clamped_normalise_numbers; rewrite !smallE; number.
Qed.

(** ⟨user, q⟩ / (‖user‖‖q‖ + eps). *)
Theorem added_epsilon (q := added_epsilon_q R) (user := added_epsilon_user R) (eps := added_epsilon_eps R) :
  cosine_added eps q user = added_epsilon_cosine R /\
  exists2 g, is_fgrad (fun x => cosine_added eps x user) q g & ⟨q, g⟩ = added_epsilon_radial R.
Proof.
have nq : norm q = 5%:R by apply: normE; rewrite ?ler0n // /q; added_epsilon_numbers; rewrite smallE; ring.
have nu : norm user = 1 by apply: normE; rewrite ?ler01 // /user; added_epsilon_numbers; rewrite smallE; ring.
have e0 : 0 < eps by rewrite /eps; added_epsilon_numbers; rewrite ltr0n.
have q0 : q != 0 by rewrite -norm_gt0 nq ltr0n.
have cE : cosine_added eps q user = added_epsilon_cosine R.
  by rewrite /cosine_added nq nu /eps /q /user; added_epsilon_numbers; rewrite smallE; number.
split=> //; have [g [D E]] := added_epsilon_leak user e0 q0; exists g => //.
by rewrite E cE nq nu /eps; added_epsilon_numbers; number.
Qed.

(** q / sqrt(‖q‖² + eps). *)
Theorem epsilon_under_root (q := epsilon_under_root_q R) (user := epsilon_under_root_user R)
    (eps := epsilon_under_root_eps R) :
  root_normalise eps q = epsilon_under_root_z R /\
  exists2 g, is_fgrad (fun x => - ⟨user, root_normalise eps x⟩) q g & ⟨q, g⟩ = epsilon_under_root_radial R.
Proof.
have e0 : 0 < eps by rewrite /eps; epsilon_under_root_numbers; rewrite ltr0n.
have nE : root_norm eps q = 12%:R.
  rewrite /root_norm /eps /q; epsilon_under_root_numbers; rewrite smallE.
  have -> : 3%:R * 3%:R + 4%:R * 4%:R + 119%:R = 12%:R ^+ 2 :> R by ring.
  by rewrite sqrtr_sqr ger0_norm ?ler0n.
have zE : root_normalise eps q = epsilon_under_root_z R.
  by rewrite /root_normalise nE /q; epsilon_under_root_numbers; rewrite !smallE; numbers.
split=> //; have [g [D E]] := root_epsilon_leak e0 (fgrad_dot (- user) (root_normalise eps q)).
exists g; first by apply: fgrad_ext D => x; rewrite dotNl.
by rewrite E zE /eps /q /user; epsilon_under_root_numbers; rewrite !smallE; number.
Qed.

(** ⟨user, q⟩ / max(‖user‖‖q‖, eps): a tiny user makes the gradient of a long item radial. *)
Theorem clamped_product (q := clamped_product_q R) (user := clamped_product_user R) (eps := clamped_product_eps R) :
  exists g, [/\ is_fgrad (fun x => cosine_floored eps x user) q g, g = clamped_product_gradient R
    & ⟨q, g⟩ = clamped_product_radial R].
Proof.
have nq : norm q = 5%:R by apply: normE; rewrite ?ler0n // /q; clamped_product_numbers; rewrite smallE; ring.
have nu : norm user = 1 / 10%:R.
  apply: normE; rewrite /user; clamped_product_numbers; last by rewrite smallE; number.
  by rewrite divr_ge0 ?ler0n ?ler01.
have u0 : user != 0 by rewrite -norm_gt0 nu divr_gt0 ?ltr0n ?ltr01.
have lt : norm user * norm q < eps.
  rewrite nq nu /eps; clamped_product_numbers; rewrite mulrAC mul1r.
  by rewrite ltr_pdivr_mulr ?ltr0n // mul1r (ltr_nat R 5 10).
have [D _] := floored_product_leak u0 lt; exists (eps^-1 *: user); split=> //.
- by rewrite /eps /user; clamped_product_numbers; rewrite !smallE; numbers.
by rewrite /eps /user /q; clamped_product_numbers; rewrite !smallE; number.
Qed.

(** The cosine ranks i over j, the dot product j over i. *)
Theorem serving_inversion_numbers (user := serving_inversion_user R) (q_i := serving_inversion_q_i R)
    (q_j := serving_inversion_q_j R) :
  [/\ cosine user q_i = serving_inversion_cosine_i R, cosine user q_j = serving_inversion_cosine_j R,
      ⟨user, q_i⟩ = serving_inversion_dot_i R, ⟨user, q_j⟩ = serving_inversion_dot_j R
    & (cosine user q_j < cosine user q_i) && (⟨user, q_i⟩ < ⟨user, q_j⟩)].
Proof.
have nu : norm user = 1 by apply: normE; rewrite ?ler01 // /user; serving_inversion_numbers; rewrite smallE; ring.
have ni : norm q_i = 5%:R by apply: normE; rewrite ?ler0n // /q_i; serving_inversion_numbers; rewrite smallE; ring.
have nj : norm q_j = 10%:R by apply: normE; rewrite ?ler0n // /q_j; serving_inversion_numbers; rewrite smallE; ring.
have ci : cosine user q_i = serving_inversion_cosine_i R.
  by rewrite /cosine nu ni /user /q_i; serving_inversion_numbers; rewrite smallE; number.
have cj : cosine user q_j = serving_inversion_cosine_j R.
  by rewrite /cosine nu nj /user /q_j; serving_inversion_numbers; rewrite smallE; number.
have di : ⟨user, q_i⟩ = serving_inversion_dot_i R.
  by rewrite /user /q_i; serving_inversion_numbers; rewrite smallE; ring.
have dj : ⟨user, q_j⟩ = serving_inversion_dot_j R.
  by rewrite /user /q_j; serving_inversion_numbers; rewrite smallE; ring.
split=> //; rewrite ci cj di dj; serving_inversion_numbers.
by rewrite ltr_pmul2r ?invr_gt0 ?ltr0n // !ltr_nat.
Qed.

End Witnesses.
