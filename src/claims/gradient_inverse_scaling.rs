//! # Gradient inverse scaling
//!
//! A cosine loss is of degree 0 in each row, so its gradient is of degree −1:
//!
//! ```text
//! ∇L(c·q) = ∇L(q)/c    for c > 0
//! ```
//!
//! Long rows receive small gradients and turn slowly: the norm is a step size of its own.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon.
//! *Shapes*: q, g: `[d]`. *Judged*: the gradients of all rows that the first batch looks up, at 2^−7, 2 and 2^10 times and
//! at 3 times their embeddings.
//! *Allowed residual*: none for powers of two: every operation commutes with the scaling, so the gradients agree to the
//! last bit. For c = 3 the scaled row is rounded: (L/(c‖q‖))·(4K'(u + γ_{2d+6}) + K·γ_{B+C+3d+20}), B pairs, C candidates
//! a pair, L lookups, K and K' the loss's slope and curvature (2/τ and 2/τ² for a softmax): the perturbation of the cosines
//! (first term) and of the sums (second). Losses whose derivative jumps are judged at powers of two alone.
//! *Twins that must break it*: inner products; an active epsilon. *Controls that must not*: momentum, Adam, decay.
//! *Proof*: proofs/theories/GradientInverseScaling.v.
//! *Source*: Li & Arora 2019, lemma on scale-invariant functions.

use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::norm_f64;
use crate::loss::{ObjectiveFunction, Steepness};
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place};

/// ∇L(cq) = ∇L(q)/c.
pub struct GradientInverseScaling;

const DERIVATION: &str = "0 for powers of two (bitwise); for c = 3: (L/(c‖q‖))·(4K'(u + γ_{2d+6}) + K·γ_{B+C+3d+20}), K and K' the \
    loss's slope and curvature: 2/τ and 2/τ² for a softmax";

/// The first gradient of an item row.
struct First {
    row: usize,
    norm: f64,
    lookups: u32,
    gradient: Vec<f64>,
}

/// The first gradient of every item row that the first batch looks up, from embeddings scaled by `scale`.
fn first_gradients(scenario: &Scenario, scale: f64, trainer: &dyn Trainer) -> Result<Vec<First>> {
    let mut scaled = scenario.clone();
    if let Initial::Explicit { tables, .. } = &mut scaled.item.initial {
        tables.iter_mut().flatten().for_each(|x| *x *= scale);
    }
    let trajectory = trainer.train(&scaled.materialise()?)?;
    let mut gradients = Vec::new();
    for tower in trajectory.towers().iter().filter(|tower| tower.side() != Some(Side::User)) {
        tower.for_each(0..tower.rows(), &mut |record| {
            if let (0, Some(lookups @ 1..), Some(gradient)) = (record.step, record.lookups, record.grad) {
                gradients.push(First {
                    row: record.row,
                    norm: norm_f64(record.q),
                    lookups,
                    gradient: gradient.to_vec(),
                });
            }
            Ok(())
        })?;
    }
    Ok(gradients)
}

const ABOUT: About = About {
    id: "gradient-inverse-scaling",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "the gradient of a cosine loss scales inversely with the embedding: ∇L(cq) = ∇L(q)/c",
    conditions: &[Condition::CosineLoss, Condition::NoEpsilon],
    source: "Li & Arora 2019, lemma on scale-invariant functions",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("gradient_inverse_scaling.rs"),
};

impl Claim for GradientInverseScaling {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Any, ..Family::default() }
    }

    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        // One step, from explicit tables.
        let mut scenario = materialised.explicit();
        scenario.steps = 1;
        scenario.batches = Some(materialised.batches[..1].to_vec());
        let precision = scenario.precision;
        let batch = &materialised.batches[0];
        let (pairs, candidates, dim) = (batch.users.len(), batch.candidates(0).count(), scenario.dim);
        let perturbed = 4.0 * (precision.unit_roundoff() + precision.gamma(2 * dim + 6));
        let summed = precision.gamma(pairs + candidates + 3 * dim + 20);
        let steepness = scenario.loss.objective.steepness();

        let mut tally = Tally::default();
        let plain = first_gradients(&scenario, 1.0, trainer)?;
        for scale in [2.0_f64.powi(-7), 2.0, 1024.0, 3.0] {
            let scaled = first_gradients(&scenario, scale, trainer)?;
            for (First { row, norm, lookups, gradient }, First { gradient: other, .. }) in plain.iter().zip(&scaled) {
                let size = norm_f64(gradient);
                if size == 0.0 {
                    continue;
                }
                let difference: Vec<f64> = gradient.iter().zip(other).map(|(g, h)| g / scale - h).collect();
                let exact = scale.log2().fract() == 0.0;
                let allowed = match steepness {
                    _ if exact => 0.0,
                    // Where a derivative may jump, or is not known, rounding may change it by anything.
                    None => continue,
                    Some(Steepness { slope, curvature }) => {
                        f64::from(*lookups) / (scale * norm) * (curvature * perturbed + slope * summed)
                    }
                };
                // Unscaled, the gradient would be off by its own size.
                let signal = size * (1.0 / scale - 1.0).abs();
                let place = Place { step: 0, row: *row as u64 };
                tally.judge(place, &Measured::new(norm_f64(&difference), allowed, signal));
            }
        }
        Ok(tally.observe(DERIVATION, "no row had a gradient"))
    }

    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("heavy-ball momentum", specimen::momentum),
            Specimen::named("Adam", specimen::adam),
            Specimen::named("weight decay", specimen::weight_decay),
        ]
    }
}

theorem!(
    gradient_inverse_scaling,
    GradientInverseScaling,
    "holds, 24 judged; norms 1.668013155 1.186564277 1.354420513"
);
