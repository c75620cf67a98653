//! # Ensemble growth
//!
//! Where all embeddings are made of one shared linear table, q_j = W x_j, single norms may shrink, but the ensemble cannot:
//!
//! ```text
//! ⟨W, ∇W⟩ = Σ_j ⟨q_j, g_j⟩ = 0,    so    ‖W'‖² = ‖W‖² + η²·‖∇W‖²
//! tr(Q·K⁻¹·ΔQᵀ) = −η·Σ_j ⟨q_j, g_j⟩ = 0    where the Gram matrix K_ij = ⟨x_i, x_j⟩ of the features is invertible
//! ```
//!
//! The second says the same of the embeddings, in the metric of K⁻¹: tr(QK⁻¹Qᵀ) grows by tr(ΔQ·K⁻¹·ΔQᵀ). Features are
//! fixed inputs of a shared map, hash counts with weights, shares of a history, or rows of a propagation matrix; a table
//! is the case x_j = e_j.
//!
//! *Hypotheses*: CosineLoss, NoMomentum, NoDecay, NoCoordinateScaling, FreshGradient, NoEpsilon; parameters may be shared.
//! *Shapes*: W: `[d, m]`, Q, ΔQ: `[d, n]`, K: `[n, n]`.
//! *Allowed residual*: running error analysis: twice the bounds of the step and of the loss's gradient at the recorded
//! parameters, and of the check; the Gram metric is solved on numbers that carry their error, so that an ill-conditioned K
//! says nothing.
//! *Twins that must break it*: inner products; momentum; weight decay; Adam; stale gradients; an active epsilon; the same of
//! one embedding in place of all. *Controls that must not*: a shared map, hashes, a history mean, a graph, a schedule.
//! *Proof*: proofs/theories/EnsembleGrowth.v.
//! *Source*: Euler's identity; for two-tower models derived here.

use super::specimen::{self, Specimen};
use super::steps::{Bounded, GradientErrors, PYTHAGORAS, Step, StepErrors, Steps, exact, product, solve, within};
use super::{About, Claim, Kind, Sampling, Standing, update_kernel};
use crate::condition::Condition;
use crate::encoder::EncoderKind;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::number::Real;
use crate::reference::Fault;
use crate::scenario::Materialised;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trainer::Trainer;
use crate::verdict::{Observation, Place};

/// ‖W'‖² = ‖W‖² + η²‖∇W‖².
pub struct EnsembleGrowth;

const LINEAR: &[&str] = &["id", "shared-linear", "hash", "hash-sum", "history-mean", "graph"];

/// The features of every row; None where the table is not shared linearly.
fn features(step: &Step<'_>) -> Option<Vec<Vec<f64>>> {
    let rows = step.q.rows();
    match step.kind() {
        EncoderKind::Table(_) => {
            Some((0..rows).map(|i| (0..rows).map(|j| f64::from(u8::from(i == j))).collect()).collect())
        }
        _ => (0..rows).map(|row| step.features(row)).collect(),
    }
}

/// tr(Q·K⁻¹·ΔQᵀ) over some rows; None where K cannot be solved.
fn in_the_gram_metric(
    step: &Step<'_>,
    features: &[Vec<f64>],
    moved: &StepErrors,
    gradient: &GradientErrors,
) -> Option<Measured> {
    let rows = features.len();
    let features: Vec<_> = features.iter().map(|x| exact(x)).collect();
    let gram = || (0..rows).map(|i| (0..rows).map(|j| product(&features[i], &features[j])).collect()).collect();
    let mut residual = Bounded::from_f64(0.0);
    let (mut leak, mut signal) = (0.0, 0.0);
    for k in 0..step.q.width() {
        let q: Vec<_> = (0..rows).map(|row| Bounded::from_f64(step.q.row(row)[k])).collect();
        let step = (0..rows).map(|row| {
            within(&step.next.row(row)[k..=k], &moved.moved.row(row)[k..=k])[0] - Bounded::from_f64(step.q.row(row)[k])
        });
        let solved = solve(gram(), step.collect());
        residual = residual + product(&q, &solved);
        signal += q.iter().zip(&solved).map(|(q, y)| (q.value() * y.value()).abs()).sum::<f64>();
        leak += (0..rows).map(|row| q[row].value().abs() * gradient.embeddings.row(row)[k]).sum::<f64>();
    }
    let allowed = residual.error() + step.rate * leak + step.underflow();
    (residual.value().is_finite() && allowed < signal).then(|| Measured::new(residual.value().abs(), allowed, signal))
}

/// Judges the ensemble, or `one` embedding as if it were the whole.
fn judge(materialised: &Materialised, trainer: &dyn Trainer, one: bool) -> Result<Observation> {
    let steps = Steps::train(materialised, trainer)?;
    let mut tally = Tally::default();
    for step in steps.iter() {
        let Some(features) = features(&step) else { continue };
        let (moved, gradient) = (step.step_errors(), step.gradient_errors());
        let place = Place { step: step.number as u64, row: 0 };
        if one {
            let first: Vec<_> = features[..1].to_vec();
            if let Some(measured) = in_the_gram_metric(&step, &first, &moved, &gradient) {
                tally.judge(place, &measured);
            }
            continue;
        }
        if let Some(measured) = step.pythagoras(0, &moved, &gradient) {
            tally.judge(place, &measured);
        }
        if let Some(measured) = in_the_gram_metric(&step, &features, &moved, &gradient) {
            tally.judge(place, &measured);
        }
    }
    Ok(
        tally
            .observe(PYTHAGORAS, "nothing to judge: nothing moved, or the embeddings are not made of one linear table"),
    )
}

fn of_one_embedding(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, true)
}

/// The conditions under which parameter gradients are orthogonal to homogeneous parameters and steps follow them, with the
/// twins that drop them.
pub(super) const CONDITIONS: &[Condition] = &[
    Condition::CosineLoss,
    Condition::NoMomentum,
    Condition::NoDecay,
    Condition::NoCoordinateScaling,
    Condition::FreshGradient,
    Condition::NoEpsilon,
];

pub(super) fn twins_of_the_conditions() -> Vec<Specimen> {
    vec![
        Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
        Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum),
        Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
        Specimen::dropping(Condition::NoCoordinateScaling, "Adam", specimen::adam),
        Specimen::dropping(Condition::FreshGradient, "gradients one step late", specimen::plain)
            .with_fault(Fault::StaleGradient),
        Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
    ]
}

const ABOUT: About = About {
    id: "ensemble-growth",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "a table that all embeddings share linearly grows as a whole: ‖W'‖² = ‖W‖² + η²‖∇W‖²",
    conditions: CONDITIONS,
    source: "Euler's identity; for two-tower models derived here",
    derivation: PYTHAGORAS,
    sampling: Sampling::EveryCase,
    text: include_str!("ensemble_growth.rs"),
};

impl Claim for EnsembleGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Only(LINEAR), optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, false)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        twins.push(
            Specimen::named("one embedding of a shared map in place of all", specimen::shared_linear)
                .judged_by(of_one_embedding),
        );
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::benign(Condition::PrivateParameters, "a shared linear map", specimen::shared_linear),
            Specimen::benign(Condition::PrivateParameters, "a sum of hashes", update_kernel::hash_sum),
            Specimen::benign(Condition::PrivateParameters, "a history mean", update_kernel::history_mean),
            Specimen::benign(Condition::PrivateParameters, "a graph", update_kernel::graph),
            Specimen::named("a warm-up schedule", specimen::warm_up),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
        ]
    }
}

theorem!(ensemble_growth, EnsembleGrowth, "holds, 24 judged; norms 1.668013155 1.186564277 1.354420513");
