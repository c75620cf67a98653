//! # Epsilon leak
//!
//! Software guards the division of a cosine by an ε > 0 and computes s = ⟨u,q⟩/D_ε(‖u‖,‖q‖). Then the gradient of a loss of
//! such similarities has a radial part, by a closed form:
//!
//! ```text
//! ⟨q_j, ∇L⟩ = Σ_b (∂L/∂s_bj)·λ_bj·s_bj,    λ = 1 − ‖q‖·∂_{‖q‖} ln D_ε
//!
//! max(‖q‖,ε):      λ = 1 if ‖q‖ < ε, else 0          ‖q‖ + ε:         λ = ε/(‖q‖+ε)
//! √max(‖q‖²,ε):    λ = 1 if ‖q‖² < ε, else 0         √(‖q‖²+ε):       λ = ε/(‖q‖²+ε)
//! max(‖u‖‖q‖,ε):   λ = 1 if ‖u‖‖q‖ < ε, else 0       ‖u‖‖q‖ + ε:      λ = ε/(‖u‖‖q‖+ε)
//! ```
//!
//! A pulled pair (∂L/∂s < 0) is stepped outward where s > 0 and inward where s < 0. A clamp on the product of norms makes
//! the gradient of a long item radial where its user is short.
//!
//! *Hypotheses*: CosineLoss (with or without an epsilon), FreshGradient.
//! *Shapes*: q, u: `[d]`; the sum runs over all similarities of all slots that the row fills.
//! *Allowed residual*: twice the rounding that ⟨q,∇L⟩ can carry, from the loss evaluated on numbers that carry a bound on
//! their own rounding (Higham 2002, §3.3), once for the trainer and once for another order of its sums, and the rounding of
//! the closed form on such numbers.
//! *Twins that must break it*: inner products; stale gradients; each convention judged by another one's λ. *Controls that must
//! not*: every convention, no epsilon, other losses, a two-layer encoder, lost duplicates.
//! *Proof*: proofs/theories/EpsilonLeak.v.
//! *Source*: derived here.

use super::similarity_rows::{Row, similarity_rows};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::norm;
use crate::loss::{EpsilonOn, Objective, alignment_uniformity::AlignmentUniformity, bsl::Bsl, triplet::Triplet};
use crate::number::{Real, Running};
use crate::reference::Fault;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::verdict::Observation;

/// ⟨q, ∇L⟩ = Σ κ·λ·s.
pub struct EpsilonLeak;

const DERIVATION: &str =
    "2·(rounding of ⟨q,g⟩ on numbers that carry its bound) + (rounding of Σ κ·λ·s, in the same way)";

type Rounded = Running<53>;

/// A row's radial gradient against the closed form of a convention.
fn measure(row: &Row, epsilon_on: EpsilonOn, epsilon: f64) -> Measured {
    let number = |(value, error): (f64, f64)| Rounded::uncertain(value, error);
    let own = norm(&row.embedding.iter().map(|&x| Rounded::from_f64(x)).collect::<Vec<_>>());
    let (mut expected, mut signal) = (Rounded::from_f64(0.0), 0.0);
    for compared in &row.compared {
        let leak = epsilon_on.leak(&own, &number(compared.partner), &Rounded::from_f64(epsilon));
        let whole = number(compared.coefficient) * number(compared.similarity);
        // As large as it is where the similarity is an inner product.
        signal += whole.value().abs();
        expected = expected + whole * leak;
    }
    let mut radial = Rounded::from_f64(0.0);
    for ((&q, &g), &error) in row.embedding.iter().zip(&row.gradient).zip(&row.gradient_error) {
        radial = radial + Rounded::from_f64(q) * Rounded::uncertain(g, error);
    }
    let residual = (radial.value() - expected.value()).abs();
    Measured::new(residual, 2.0 * radial.error() + expected.error(), signal)
}

/// The observation by the closed form of a convention.
fn judge(materialised: &Materialised, trainer: &dyn Trainer, epsilon_on: EpsilonOn) -> Result<Observation> {
    let epsilon = materialised.scenario.loss.epsilon;
    let mut tally = Tally::default();
    for row in similarity_rows(materialised, trainer)? {
        if row.slots > 0 || row.gradient.iter().any(|&g| g != 0.0) {
            tally.judge(row.place, &measure(&row, epsilon_on, epsilon));
        }
    }
    Ok(tally.observe(DERIVATION, "no row was looked up"))
}

fn clamped_norm(seed: u64) -> Scenario {
    specimen::with_epsilon(seed, EpsilonOn::Norm)
}
fn clamped_squared_norm(seed: u64) -> Scenario {
    specimen::with_epsilon(seed, EpsilonOn::Norm2)
}
fn clamped_product(seed: u64) -> Scenario {
    specimen::with_epsilon(seed, EpsilonOn::Product)
}
fn added_to_norm(seed: u64) -> Scenario {
    specimen::with_epsilon(seed, EpsilonOn::Add)
}
fn added_to_product(seed: u64) -> Scenario {
    specimen::with_epsilon(seed, EpsilonOn::AddProduct)
}
fn added_to_squared_norm(seed: u64) -> Scenario {
    specimen::with_epsilon(seed, EpsilonOn::AddNorm2)
}

/// Another objective on cosines whose norms have ε = 2 added.
fn with_objective(seed: u64, objective: Objective) -> Scenario {
    let mut scenario = added_to_norm(seed);
    scenario.loss.objective = objective;
    scenario
}

const ABOUT: About = About {
    id: "epsilon-leak",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "an epsilon in the cosine makes the gradient radial by ⟨q,∇L⟩ = Σ (∂L/∂s)·λ·s, λ = 1 − ‖q‖·∂ ln D_ε/∂‖q‖",
    conditions: &[Condition::CosineLoss, Condition::FreshGradient],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("epsilon_leak.rs"),
};

impl Claim for EpsilonLeak {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        let losses = Losses::Guarded;
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, materialised.scenario.loss.epsilon_on)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::FreshGradient, "gradients one step late", added_to_norm)
                .with_fault(Fault::StaleGradient),
            Specimen::named("a clamped norm, judged as an added epsilon", clamped_norm)
                .judged_by(|materialised, trainer| judge(materialised, trainer, EpsilonOn::Add)),
            Specimen::named("a clamped squared norm, judged as a clamped norm", clamped_squared_norm)
                .judged_by(|materialised, trainer| judge(materialised, trainer, EpsilonOn::Norm)),
            Specimen::named("a clamped product, judged as a clamped norm", clamped_product)
                .judged_by(|materialised, trainer| judge(materialised, trainer, EpsilonOn::Norm)),
            Specimen::named("ε added to the norm, judged as added to the product", added_to_norm)
                .judged_by(|materialised, trainer| judge(materialised, trainer, EpsilonOn::AddProduct)),
            Specimen::named("ε added to the product, judged as added to the norm", added_to_product)
                .judged_by(|materialised, trainer| judge(materialised, trainer, EpsilonOn::Add)),
            Specimen::named("ε added to the squared norm, judged as added to the norm", added_to_squared_norm)
                .judged_by(|materialised, trainer| judge(materialised, trainer, EpsilonOn::Add)),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("no epsilon", specimen::plain),
            Specimen::named("a clamped norm", clamped_norm),
            Specimen::named("a clamped squared norm", clamped_squared_norm),
            Specimen::named("a clamped product of norms", clamped_product),
            Specimen::named("ε added to the norm", added_to_norm),
            Specimen::named("ε added to the product of norms", added_to_product),
            Specimen::named("ε added to the squared norm", added_to_squared_norm),
            Specimen::named("the triplet margin loss", |seed| {
                with_objective(seed, Objective::Triplet(Triplet { margin: 0.5 }))
            }),
            Specimen::named("alignment and uniformity", |seed| {
                with_objective(seed, Objective::AlignmentUniformity(AlignmentUniformity { weight: 1.0, t: 2.0 }))
            }),
            Specimen::named("the bilateral softmax loss", |seed| {
                with_objective(seed, Objective::Bsl(Bsl { positive_temperature: 0.25, temperature: 0.5 }))
            }),
            Specimen::named("a two-layer encoder", |seed| {
                let plain = added_to_norm(seed);
                Scenario { loss: plain.loss, ..specimen::two_layer(seed) }
            }),
            Specimen::named("lost duplicate gradients", added_to_norm).with_fault(Fault::LastWriteWins),
        ]
    }
}

theorem!(epsilon_leak, EpsilonLeak, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");
