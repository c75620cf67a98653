//! The witnesses' numbers are one file that the proofs and these tests read: every fraction is recomputed here in exact
//! arithmetic, from the cosine's gradient as the library computes it, and must be the one that the theorem states.

use std::collections::BTreeSet;
use std::io::Write;

use perpend::claims::{ALL, proofs};
use perpend::geometry::{add_scaled, dot, through_normalisation};
use perpend::loss::EpsilonOn;
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
        "epsilon-under-root" => {
            // z = q/ℓ with ℓ² = ‖q‖² + ε, a = −user: g = (a − ⟨a,z⟩z)/ℓ.
            let (q, root, eps) = (w.given("q"), w.number("root"), w.number("eps"));
            assert_eq!(dot(&q, &q) + eps.clone(), root.clone() * root.clone());
            let z = scaled(&(Rational::one() / root.clone()), &q);
            w.is("z", &z);
            let upstream = scaled(&-Rational::one(), &w.given("user"));
            let g = through_normalisation(&upstream, &z, &root);
            w.is("gradient", &g);
            assert_eq!(fraction(&w.expected["radial"]), dot(&q, &g));
            // By the closed form: λ·⟨z, a⟩.
            let (norm, user_norm) = (Rational::ratio(5, 1), Rational::one());
            let leak = EpsilonOn::AddNorm2.leak(&norm, &user_norm, &eps);
            assert_eq!(fraction(&w.expected["radial"]), leak * dot(&z, &upstream));
        }
        "clamped-product" => {
            let (q, u, eps) = (w.given("q"), w.given("user"), w.number("eps"));
            let (norm, user_norm) = (w.number("norm"), w.number("user_norm"));
            assert!(norm.clone() * user_norm.clone() < eps && norm > eps, "the product is clamped and the norm is not");
            let g = scaled(&(Rational::one() / eps.clone()), &u);
            w.is("gradient", &g);
            let similarity = dot(&u, &q) / eps.clone();
            let leak = EpsilonOn::Product.leak(&norm, &user_norm, &eps);
            assert_eq!(fraction(&w.expected["radial"]), dot(&q, &g));
            assert_eq!(fraction(&w.expected["radial"]), leak * similarity);
        }
        "squares-encoder" => {
            // q = (3θ₁², θ₂²): J = diag(6θ₁, 2θ₂), and q' is computed from θ' = θ − ηJᵀg.
            let (theta, q) = (w.given("theta"), w.given("q"));
            let slopes = [Rational::ratio(6, 1) * theta[0].clone(), Rational::ratio(2, 1) * theta[1].clone()];
            let g = w.gradient("user");
            let encode = |theta: &[Rational]| {
                let square = |x: &Rational| x.clone() * x.clone();
                vec![Rational::ratio(3, 1) * square(&theta[0]), square(&theta[1])]
            };
            assert_eq!(encode(&theta), q, "q = q(θ)");
            let zero = Rational::zero;
            assert_eq!(
                matrix(&w.expected["jacobian"]),
                [vec![slopes[0].clone(), zero()], vec![zero(), slopes[1].clone()]]
            );
            let back: Vec<_> = g.iter().zip(&slopes).map(|(g, slope)| g.clone() * slope.clone()).collect();
            let step = |eta: &Rational| {
                let next = encode(&sum(&theta, &minus(eta, &back)));
                sum(&next, &scaled(&-Rational::one(), &q))
            };
            w.step("", &q, step);
            assert_eq!(fraction(&w.expected["radial_at_eta"]), dot(&q, &step(&w.number("eta"))));
        }
        "nesterov-warm-up" => {
            let (q, beta) = (w.given("q"), w.number("beta"));
            let plain = w.gradient("user");
            let gradients = [scaled(&w.number("weight0"), &plain), scaled(&w.number("weight1"), &plain)];
            w.is("gradient0", &gradients[0]);
            w.is("gradient1", &gradients[1]);
            // p ← βp + g, q ← q − η(g + βp). The first rate is 0, so the second gradient is taken at the same q.
            assert_eq!(w.number("rate0"), Rational::zero());
            let p1 = sum(&scaled(&beta, &gradients[0]), &gradients[1]);
            let q2 = sum(&q, &minus(&w.number("rate1"), &sum(&gradients[1], &scaled(&beta, &p1))));
            w.is("q2", &q2);
            // Not looked up: g = 0 and p = βp.
            let last = minus(&w.number("rate2"), &scaled(&(beta.clone() * beta), &p1));
            let q3 = sum(&q2, &last);
            w.is("q3", &q3);
            assert_eq!(fraction(&w.expected["radial"]), dot(&q2, &last));
            assert_eq!(fraction(&w.expected["norm2_before"]), dot(&q2, &q2));
            assert_eq!(fraction(&w.expected["norm2_after"]), dot(&q3, &q3));
            assert!(dot(&q3, &q3) < dot(&q2, &q2), "the norm shrinks");
        }
        "control-gain" => {
            let (gain, vector, q) = (w.number("gain"), w.given("w"), w.given("q"));
            assert_eq!(scaled(&gain, &vector), q, "q = a w");
            let g = w.gradient("user");
            let slope = dot(&vector, &g);
            assert_eq!(fraction(&w.expected["gain_gradient"]), slope);
            w.step("", &q, |eta| {
                let moved_gain = gain.clone() - eta.clone() * slope.clone();
                let moved = sum(&vector, &minus(&(eta.clone() * gain.clone()), &g));
                sum(&scaled(&moved_gain, &moved), &scaled(&-Rational::one(), &q))
            });
        }
        "control-orthogonal-features" => {
            let weights = matrix(&w.given["W"]);
            let features = [w.given("x_a"), w.given("x_b")];
            let q = [w.given("q_a"), w.given("q_b")];
            let norms = [w.number("norm_a"), w.number("norm_b")];
            let g: Vec<_> =
                (0..2).map(|i| gradient(&q[i], &norms[i], &w.given("user"), &w.number("user_norm"))).collect();
            for (i, suffix) in ["_a", "_b"].into_iter().enumerate() {
                assert_eq!(times(&weights, &features[i]), q[i], "q = W x");
                // ΔW = −η Σ_j g_j x_jᵀ.
                w.step(suffix, &q[i], |eta| {
                    let mut step = vec![Rational::zero(); 2];
                    for j in 0..2 {
                        add_scaled(&mut step, -(eta.clone() * dot(&features[j], &features[i])), &g[j]);
                    }
                    step
                });
            }
        }
        "control-equal-magnitudes" => {
            let g = w.gradient("user");
            w.is("gradient", &g);
            let one = Rational::one;
            let signs: Vec<_> = g.iter().map(|x| if *x < Rational::zero() { -one() } else { one() }).collect();
            w.step("", &w.given("q"), |eta| minus(eta, &signs));
        }
        "control-frozen-bias" => {
            let (weights, x, bias, q) = (w.given("W"), w.number("x"), w.given("b"), w.given("q"));
            assert_eq!(sum(&scaled(&x, &weights), &bias), q, "q = W x + b");
            let g = w.gradient("user");
            // ∇_W L = g·x.
            let back = scaled(&x, &g);
            assert_eq!(fraction(&w.expected["parameter_inner_product"]), dot(&weights, &back));
            assert_eq!(dot(&weights, &back), -dot(&bias, &g));
            w.step("", &q, |eta| minus(&(eta.clone() * x.clone()), &back));
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
    let all = document["witnesses"].as_array().unwrap().len();
    assert_eq!(recomputed.len(), all, "only {recomputed:?} are recomputed");
}

/// The table of necessity witnesses of the theory, row by row: the witness that has the numbers, what is stated of it, and
/// the coefficients of 1, η, η², … (or a number where everything is given).
const TABLE: &[(&str, &str, &str, &[&str])] = &[
    ("W1, as a positive", "dot-product-loss", "radial", &["0", "3"]),
    ("W1, as a negative", "dot-product-loss", "radial_negative", &["0", "-3"]),
    ("W2, first user", "two-layer", "radial", &["0", "-144/125"]),
    ("W2, second user", "two-layer", "radial_second", &["0", "108/125"]),
    ("W2s", "squares-encoder", "radial_at_eta", &["64608/78125"]),
    ("W2h", "frozen-projection", "radial", &["0", "-144/125"]),
    ("W3, row a", "shared-row", "radial_a", &["0", "-21/125"]),
    ("W3, row b by the other row's gradient", "shared-row", "radial_b", &["0", "28/125"]),
    ("W3, only b looked up", "shared-row", "radial_a_only_b", &["0", "-21/125"]),
    ("W3''", "shared-row", "radial_a_second", &["0", "28/125"]),
    ("W3g", "graph-propagation", "radial_a", &["0", "-21/125"]),
    ("W3t", "pooled-user", "radial", &["0", "3/10"]),
    ("W4a, β = 9/10", "heavy-ball-coasting", "radial", &["0", "0", "72/3125"]),
    ("W4a, η = 1/10", "heavy-ball-coasting", "radial_at_eta", &["18/78125"]),
    ("W4a2", "heavy-ball-sampled", "radial", &["648/5"]),
    ("W4b, λ = 1/10", "weight-decay", "radial", &["0", "-5/2"]),
    ("W4c and W4g, first user", "sign-step", "radial", &["0", "-1"]),
    ("W4c and W4g, second user", "sign-step", "radial_second", &["0", "1"]),
    ("W4d", "coordinate-clip", "radial", &["0", "-12/125"]),
    ("W4f", "mean-gradient-step", "radial", &["0", "7"]),
    ("W4h, η = 1/10", "nesterov-coasting", "radial_at_eta", &["1539/3906250"]),
    ("W4i", "nesterov-warm-up", "radial", &["-25/96"]),
    ("E-eps, clamped norm", "clamped-normalise", "radial", &["-3/50"]),
    ("E-eps, added to the product", "added-epsilon", "radial", &["3/20"]),
    ("E-eps, under the root", "epsilon-under-root", "radial", &["-119/576"]),
];

#[test]
fn every_row_of_the_necessity_table_is_a_witness_with_the_stated_fraction() {
    let document: Value = serde_json::from_str(WITNESSES).unwrap();
    for (row, id, key, stated) in TABLE {
        let witness = document["witnesses"].as_array().unwrap().iter().find(|witness| witness["id"] == *id);
        let expected = &witness.unwrap_or_else(|| panic!("{row}: no witness {id}"))["expected"][*key];
        let mut found = match &expected["eta"] {
            Value::Null => vec![fraction(expected)],
            coefficients => vector(coefficients),
        };
        while found.len() > stated.len() && *found.last().unwrap() == Rational::zero() {
            found.pop();
        }
        let stated: Vec<Rational> = stated.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(found, stated, "{row}");
    }
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
