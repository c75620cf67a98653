//! The witnesses' numbers are one file that the proofs and these tests read: every fraction is recomputed here in exact
//! arithmetic, from the cosine's gradient as the library computes it, and must be the one that the theorem states.

use std::collections::BTreeSet;
use std::io::Write;

use perpend::claims::{ALL, proofs};
use perpend::geometry::{add_scaled, dot, through_normalisation};
use perpend::number::{Field, Rational};
use serde_json::Value;

const WITNESSES: &str = include_str!("../../proofs/witnesses.json");
const NOTES: &str = include_str!("../../proofs/notes.tsv");

fn fraction(value: &Value) -> Rational {
    value.as_str().unwrap().parse().unwrap()
}

fn vector(value: &Value) -> Vec<Rational> {
    value.as_array().unwrap().iter().map(fraction).collect()
}

fn matrix(value: &Value) -> Vec<Vec<Rational>> {
    value.as_array().unwrap().iter().map(vector).collect()
}

fn scaled(factor: &Rational, v: &[Rational]) -> Vec<Rational> {
    v.iter().map(|x| factor.clone() * x.clone()).collect()
}

fn sum(u: &[Rational], v: &[Rational]) -> Vec<Rational> {
    u.iter().zip(v).map(|(a, b)| a.clone() + b.clone()).collect()
}

fn times(matrix: &[Vec<Rational>], v: &[Rational]) -> Vec<Rational> {
    matrix.iter().map(|row| dot(row, v)).collect()
}

fn transposed(matrix: &[Vec<Rational>]) -> Vec<Vec<Rational>> {
    (0..matrix[0].len()).map(|k| matrix.iter().map(|row| row[k].clone()).collect()).collect()
}

/// The gradient of −cos(q, u) at q, whose norms are given so that they need no root.
fn gradient(q: &[Rational], norm: &Rational, u: &[Rational], user_norm: &Rational) -> Vec<Rational> {
    assert_eq!(dot(q, q), norm.clone() * norm.clone(), "the stated norm is not the norm");
    assert_eq!(dot(u, u), user_norm.clone() * user_norm.clone(), "the stated norm is not the norm");
    let one = Rational::one();
    let direction = scaled(&(one.clone() / norm.clone()), q);
    let upstream = scaled(&(-one / user_norm.clone()), u);
    through_normalisation(&upstream, &direction, norm)
}

/// One witness with its numbers at hand.
struct Witness<'a> {
    id: &'a str,
    given: &'a Value,
    expected: &'a Value,
}

impl Witness<'_> {
    fn given(&self, name: &str) -> Vec<Rational> {
        vector(&self.given[name])
    }

    fn number(&self, name: &str) -> Rational {
        fraction(&self.given[name])
    }

    /// The gradient at `q` for the first or the second user.
    fn gradient(&self, user: &str) -> Vec<Rational> {
        gradient(&self.given("q"), &self.number("norm"), &self.given(user), &self.number(&format!("{user}_norm")))
    }

    fn is(&self, name: &str, found: &[Rational]) {
        assert_eq!(vector(&self.expected[name]), found, "{}: {name}", self.id);
    }

    /// The polynomial in η that is stated must agree with the step at several η, as many as determine it.
    fn polynomial(&self, name: &str, value: impl Fn(&Rational) -> Rational) {
        let coefficients = vector(&self.expected[name]["eta"]);
        for k in 0..=coefficients.len() as i64 {
            let eta = Rational::ratio(2 * k + 1, 7);
            let stated = coefficients.iter().rev().fold(Rational::zero(), |v, c| v * eta.clone() + c.clone());
            assert_eq!(stated, value(&eta), "{}: {name} at η = {eta}", self.id);
        }
    }

    /// ⟨q, Δq⟩ and, where stated, ‖q'‖² of a step.
    fn step(&self, suffix: &str, q: &[Rational], step: impl Fn(&Rational) -> Vec<Rational>) {
        self.polynomial(&format!("radial{suffix}"), |eta| dot(q, &step(eta)));
        let norm = format!("norm2{suffix}");
        if !self.expected[norm.as_str()].is_null() {
            self.polynomial(&norm, |eta| {
                let next = sum(q, &step(eta));
                dot(&next, &next)
            });
        }
    }
}

/// Recomputes a witness; false where this file has no recipe for it.
fn recompute(w: &Witness<'_>) -> bool {
    let minus = |eta: &Rational, v: &[Rational]| scaled(&-eta.clone(), v);
    match w.id {
        "private-row" | "private-row-second-user" | "control-first-momentum-step" => {
            let g = w.gradient("user");
            if !w.expected["gradient"].is_null() {
                w.is("gradient", &g);
            }
            w.step("", &w.given("q"), |eta| minus(eta, &g));
        }
        "dot-product-loss" => {
            let g = scaled(&-Rational::one(), &w.given("user"));
            w.is("gradient", &g);
            w.step("", &w.given("q"), |eta| minus(eta, &g));
            w.step("_negative", &w.given("q"), |eta| scaled(eta, &g));
        }
        "two-layer" | "frozen-projection" | "control-scaled-rotation" => {
            let (v, h, q) = (matrix(&w.given["V"]), w.given("h"), w.given("q"));
            assert_eq!(times(&v, &h), q, "{}: q = V h", w.id);
            let users = [("user", ""), ("second_user", "_second")];
            for (user, suffix) in users.into_iter().filter(|(user, _)| !w.given[*user].is_null()) {
                let g = w.gradient(user);
                let back = times(&transposed(&v), &g);
                w.step(suffix, &q, |eta| {
                    // h moves by −η Vᵀg, and in the two-layer net V by −η g hᵀ; the product keeps its η² term.
                    let moved_h = sum(&h, &minus(eta, &back));
                    let mut next = times(&v, &moved_h);
                    if w.id == "two-layer" {
                        add_scaled(&mut next, -(eta.clone() * dot(&h, &moved_h)), &g);
                    }
                    sum(&next, &scaled(&-Rational::one(), &q))
                });
            }
        }
        "shared-row" => {
            let (a, b) = (w.given("q_a"), w.given("q_b"));
            let at = |q: &[Rational], norm: &str, user: &str| {
                gradient(q, &w.number(norm), &w.given(user), &w.number(&format!("{user}_norm")))
            };
            let (g_a, g_b) = (at(&a, "norm_a", "user"), at(&b, "norm_b", "user"));
            let g_b_second = at(&b, "norm_b", "second_user");
            w.is("gradient_b", &g_b);
            w.is("gradient_b_second", &g_b_second);
            // q_a = e_a moves with both gradients; q_b = e_a + e_b with both and once more with its own.
            w.step("_a", &a, |eta| minus(eta, &sum(&g_a, &g_b)));
            w.step("_b", &b, |eta| minus(eta, &sum(&sum(&g_a, &g_b), &g_b)));
            w.step("_a_only_b", &a, |eta| minus(eta, &g_b));
            w.step("_a_second", &a, |eta| minus(eta, &sum(&g_a, &g_b_second)));
        }
        "graph-propagation" => {
            let adjacency = matrix(&w.given["A"]);
            let (e, q) = ([w.given("e_a"), w.given("e_b")], [w.given("q_a"), w.given("q_b")]);
            let norms = [w.number("norm_a"), w.number("norm_b")];
            let g: Vec<_> =
                (0..2).map(|i| gradient(&q[i], &norms[i], &w.given("user"), &w.number("user_norm"))).collect();
            let mix = |weights: &[Rational], rows: &[Vec<Rational>]| {
                sum(&scaled(&weights[0], &rows[0]), &scaled(&weights[1], &rows[1]))
            };
            for (i, suffix) in ["_a", "_b"].into_iter().enumerate() {
                assert_eq!(mix(&adjacency[i], &e), q[i], "Q = A E");
                let back: Vec<_> = (0..2).map(|k| mix(&transposed(&adjacency)[k], &g)).collect();
                w.step(suffix, &q[i], |eta| minus(eta, &mix(&adjacency[i], &back)));
            }
        }
        "pooled-user" => {
            let (a, b, user) = (w.given("e_a"), w.given("e_b"), w.given("user"));
            let half = Rational::ratio(1, 2);
            assert_eq!(scaled(&half, &sum(&a, &b)), user, "the user is the mean of the rows");
            // −cos is symmetric: its gradient in the user is that of the user's own direction.
            let g = gradient(&user, &w.number("user_norm"), &w.given("target"), &w.number("target_norm"));
            w.is("gradient_user", &g);
            w.is("gradient_e_a", &scaled(&half, &g));
            w.step("", &a, |eta| minus(eta, &scaled(&half, &g)));
        }
        "weight-decay" => {
            let (g, q) = (w.gradient("user"), w.given("q"));
            let decayed = sum(&g, &scaled(&w.number("lambda"), &q));
            w.step("", &q, |eta| minus(eta, &decayed));
        }
        "heavy-ball-coasting" | "nesterov-coasting" => {
            let (g, beta) = (w.gradient("user"), w.number("beta"));
            let one = Rational::one();
            // Step 0: p = g, the row moves by −ηg, or by −η(1+β)g looking ahead. Step 1: no gradient, p = βg.
            let nesterov = w.id == "nesterov-coasting";
            let first = if nesterov { one.clone() + beta.clone() } else { one };
            let second = if nesterov {
                beta.clone() * beta.clone()
            } else {
                beta.clone()
            };
            let radial = |eta: &Rational| {
                let q1 = sum(&w.given("q"), &minus(&(eta.clone() * first.clone()), &g));
                dot(&q1, &minus(&(eta.clone() * second.clone()), &g))
            };
            w.polynomial("radial", radial);
            assert_eq!(fraction(&w.expected["radial_at_eta"]), radial(&w.number("eta")));
        }
        "heavy-ball-sampled" => {
            let (g, beta, eta) = (w.gradient("user"), w.number("beta"), w.number("eta"));
            let q1 = sum(&w.given("q"), &minus(&eta, &g));
            w.is("q1", &q1);
            let g1 = gradient(&q1, &fraction(&w.expected["norm1"]), &w.given("user"), &w.number("user_norm"));
            w.is("gradient1", &g1);
            let p1 = sum(&scaled(&beta, &g), &g1);
            assert_eq!(fraction(&w.expected["radial"]), dot(&q1, &minus(&eta, &p1)));
        }
        "sign-step" => {
            for (user, suffix) in [("user", ""), ("second_user", "_second")] {
                let g = w.gradient(user);
                let sign = |x: &Rational| {
                    if *x < Rational::zero() {
                        -Rational::one()
                    } else {
                        Rational::one()
                    }
                };
                let signs: Vec<_> = g.iter().map(sign).collect();
                w.is(&format!("sign{suffix}"), &signs);
                w.step(suffix, &w.given("q"), |eta| minus(eta, &signs));
            }
        }
        "coordinate-clip" => {
            let bound = w.number("bound");
            let clip = |x: Rational| {
                let x = if x > bound { bound.clone() } else { x };
                if x < -bound.clone() { -bound.clone() } else { x }
            };
            let clipped: Vec<_> = w.gradient("user").into_iter().map(clip).collect();
            w.is("clipped", &clipped);
            w.step("", &w.given("q"), |eta| minus(eta, &clipped));
        }
        "control-duplicates" => {
            let g = sum(&w.gradient("user"), &w.gradient("second_user"));
            w.is("gradient", &g);
            w.step("", &w.given("q"), |eta| minus(eta, &g));
        }
        "gradient-scaling" => {
            w.is("gradient", &w.gradient("user"));
            let scale = w.number("scale");
            let (q, norm) = (scaled(&scale, &w.given("q")), scale * w.number("norm"));
            w.is("gradient_scaled", &gradient(&q, &norm, &w.given("user"), &w.number("user_norm")));
        }
        "stale-gradient" => {
            // The step that was due moves the row; then a gradient of the old place is applied.
            let g = w.gradient("user");
            for (user, suffix) in [("user", ""), ("second_user", "_second")] {
                let late = w.gradient(user);
                w.polynomial(&format!("radial{suffix}"), |eta| {
                    let q1 = sum(&w.given("q"), &minus(eta, &g));
                    dot(&q1, &minus(eta, &late))
                });
            }
        }
        "mean-gradient-step" => {
            let g = w.gradient("user");
            let mean = (g[0].clone() + g[1].clone()) / Rational::ratio(2, 1);
            assert_eq!(fraction(&w.expected["mean"]), mean);
            let sign = if mean < Rational::zero() {
                -Rational::one()
            } else {
                Rational::one()
            };
            w.step("", &w.given("q"), |eta| minus(eta, &[sign.clone(), sign.clone()]));
        }
        "control-siamese" => {
            let (item, user) = (w.given("item"), w.given("user"));
            w.is("gradient_item", &gradient(&item, &w.number("item_norm"), &user, &w.number("user_norm")));
            w.is("gradient_user", &gradient(&user, &w.number("user_norm"), &item, &w.number("item_norm")));
        }
        "serving-inversion" => {
            for item in ["i", "j"] {
                let product = dot(&w.given("user"), &w.given(&format!("q_{item}")));
                assert_eq!(fraction(&w.expected[format!("dot_{item}")]), product);
                assert_eq!(
                    fraction(&w.expected[format!("cosine_{item}")]),
                    product / w.number(&format!("norm_{item}"))
                );
            }
        }
        "clamped-normalise" => {
            let g = scaled(&(-Rational::one() / w.number("eps")), &w.given("user"));
            w.is("gradient", &g);
            assert_eq!(fraction(&w.expected["radial"]), dot(&w.given("q"), &g));
        }
        "added-epsilon" => {
            // c = ⟨u,q⟩/D, D = ‖u‖‖q‖ + ε: ∇c = u/D − ⟨u,q⟩·(‖u‖/‖q‖)·q/D².
            let (q, u, product) = (w.given("q"), w.given("user"), dot(&w.given("user"), &w.given("q")));
            let denominator = w.number("user_norm") * w.number("norm") + w.number("eps");
            let cosine = product / denominator.clone();
            assert_eq!(fraction(&w.expected["cosine"]), cosine);
            let back = -(cosine * w.number("user_norm") / w.number("norm") / denominator.clone());
            let g = sum(&scaled(&(Rational::one() / denominator), &u), &scaled(&back, &q));
            w.is("gradient", &g);
            assert_eq!(fraction(&w.expected["radial"]), dot(&q, &g));
        }
        _ => return false,
    }
    true
}

#[test]
fn the_witnesses_of_the_proofs_evaluate_to_their_stated_fractions() {
    let document: Value = serde_json::from_str(WITNESSES).unwrap();
    let mut recomputed = BTreeSet::new();
    for witness in document["witnesses"].as_array().unwrap() {
        let id = witness["id"].as_str().unwrap();
        let w = Witness { id, given: &witness["given"], expected: &witness["expected"] };
        if recompute(&w) {
            recomputed.insert(id);
        }
        let theorem = witness["theorem"].as_str().unwrap();
        assert!(proofs::all().iter().any(|proof| proof.theorem == theorem), "{id}: {theorem} is not listed");
    }
    assert!(recomputed.len() >= 24, "only {recomputed:?} are recomputed");
}

#[test]
fn a_wrong_fraction_is_noticed() {
    let document: Value = serde_json::from_str(WITNESSES).unwrap();
    let witness = &document["witnesses"][0];
    let mut expected = witness["expected"].clone();
    expected["gradient"][0] = "-16/126".into();
    let wrong = Witness { id: witness["id"].as_str().unwrap(), given: &witness["given"], expected: &expected };
    assert!(std::panic::catch_unwind(|| recompute(&wrong)).is_err());
}

/// Claims in code and claims in the table of proofs are the same, except those that the notes call proved ahead of the code.
#[test]
fn claims_in_code_are_the_claims_with_a_proof_entry() {
    let code: BTreeSet<&str> = ALL.iter().map(|claim| claim.id()).collect();
    let table: BTreeSet<&str> = proofs::all().iter().map(|proof| proof.claim).collect();
    let notes: Vec<Vec<&str>> =
        NOTES.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect()).collect();
    let ahead: BTreeSet<&str> = notes.iter().filter(|note| note[1] == "ahead").map(|note| note[0]).collect();
    assert!(code.is_disjoint(&ahead), "in code, yet called ahead of it: {:?}", code.intersection(&ahead));
    assert_eq!(code.union(&ahead).copied().collect::<BTreeSet<_>>(), table);
    for proof in proofs::all().iter().filter(|proof| !proof.is_proved()) {
        let reasoned = notes.iter().any(|note| note[0] == proof.claim && note[1] == proof.class && !note[2].is_empty());
        assert!(reasoned, "{} is {} without a reason", proof.claim, proof.class);
    }
}

#[test]
fn at_least_thirty_six_claims_and_eighty_theorems_are_proved() {
    let proved: Vec<_> = proofs::all().into_iter().filter(|proof| proof.is_proved()).collect();
    let claims: BTreeSet<&str> = proved.iter().map(|proof| proof.claim).collect();
    assert!(claims.len() >= 36 && proved.len() >= 80, "{} claims, {} theorems", claims.len(), proved.len());
    if std::process::Command::new("coqc").arg("--version").output().is_err() {
        // Written past the test runner's capture, since the test passes.
        let note = "the proofs themselves were not checked: coqc is not installed (proofs/install.sh, proofs/check.sh)";
        let _ = writeln!(std::io::stderr(), "{note}");
    }
}
