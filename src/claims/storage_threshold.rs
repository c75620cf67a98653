//! # Storage threshold
//!
//! A stored row is rounded, and rounding may take away what a step added. For a step orthogonal to q of relative length
//! θ = ‖Δq‖/‖q‖, stored with unit roundoff u,
//!
//! ```text
//! (1−u)²(1+θ²)·‖q‖² ≤ ‖fl(q + Δq)‖² ≤ (1+u)²(1+θ²)·‖q‖²
//! growth is sure    ⇔    (1−u)²(1+θ²) > 1,    that is θ > √(2u) up to a factor 1+u
//! ```
//!
//! 1.5e-8 in float64, 3.5e-4 in float32, 3.1e-2 in float16, 8.9e-2 in bfloat16. Below that growth of a stored norm is a matter of
//! luck, far below it of a fair coin, so that coarse tables freeze norms or let them wander.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon, ExactStorage (θ above the threshold).
//! *Shapes*: q, g: `[d]`. *Judged*: for every format, every row that the first batch looks up, its embedding rounded to the
//! format: the step along its gradient at θ = 1.01, 2 and 8 times the threshold, against both sides.
//! *Allowed residual*: 2ηγ_{3d+26+L}·‖a‖ for the radial part that the gradient's own rounding leaves (L lookups), + (γ_{d+8} in
//! f64)·θ(2+θ)·‖q‖² for the step's and the check's, + 2√d·(underflow of the format)·‖q‖.
//! *Twins that must break it*: a step at half the threshold; inner products; an active epsilon. *Controls that must not*: a clamp
//! that is never active, a deep user tower.
//! *Proof*: proofs/theories/StorageThreshold.v.
//! *Source*: derived here.

use super::runs::{item_tables, tower};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::{dot, norm_f64};
use crate::reference::Session;
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place};

/// (1−u)²(1+θ²) > 1 ⇒ ‖fl(q + Δq)‖ > ‖q‖.
pub struct StorageThreshold;

const DERIVATION: &str = "2ηγ_{3d+26+L}·‖a‖ for the gradient's own radial part (L lookups) + γ_{d+8} in f64·θ(2+θ)·‖q‖² for the step and \
    the check + 2√d·(underflow of the format)·‖q‖";

/// The smallest relative length θ of an orthogonal step whose growth a format cannot round away: (1−u)²(1+θ²) = 1.
pub fn threshold(precision: Precision) -> f64 {
    let u = precision.unit_roundoff();
    (u * (2.0 - u)).sqrt() / (1.0 - u)
}

/// The scenario with its item rows brought to lengths near 1, which a cosine does not see and every format can hold, and
/// rounded to a format.
fn stored(scenario: &Scenario, precision: Precision) -> Scenario {
    let mut stored = scenario.clone();
    let dim = stored.dim;
    stored.precision = Precision::F64;
    for q in item_tables(&mut stored)[0].chunks_exact_mut(dim) {
        let scale = norm_f64(q).log2().floor().exp2();
        q.iter_mut().for_each(|x| *x = precision.round(*x / scale));
    }
    stored
}

/// Judges the growth of stored rows under steps of these multiples of the threshold; `sure` is how many times its square the
/// guaranteed growth is taken to be at.
fn examine_by(materialised: &Materialised, trainer: &dyn Trainer, multiples: &[f64], sure: f64) -> Result<Observation> {
    let mut scenario = materialised.explicit();
    scenario.steps = 1;
    scenario.batches = Some(materialised.batches[..1].to_vec());
    let dim = scenario.dim;
    let mut tally = Tally::default();
    for (index, precision) in Precision::ALL.into_iter().enumerate() {
        let values = stored(&scenario, precision).materialise()?;
        let outcome = Session::<f64>::new(&values).evaluate(&values.batches[0]).item;
        let trajectory = trainer.train(&values)?;
        let tower = tower(&trajectory, Side::Item)?;
        tower.for_each(0..tower.rows(), &mut |record| {
            let Some(gradient) = record.grad.filter(|gradient| norm_f64(gradient) > 0.0) else {
                return Ok(());
            };
            let slots = || outcome.slots.iter().zip(&outcome.slot_scales).filter(|(row, _)| **row == record.row);
            let upstream: f64 = slots().map(|(_, scale)| scale).sum();
            let (norm, size) = (norm_f64(record.q), norm_f64(gradient));
            let u = precision.unit_roundoff();
            for multiple in multiples {
                let relative = multiple * threshold(precision);
                let rate = relative * norm / size;
                let next: Vec<f64> =
                    record.q.iter().zip(gradient).map(|(x, g)| precision.round(x - rate * g)).collect();
                let difference: Vec<f64> = next.iter().zip(record.q).map(|(y, x)| y - x).collect();
                let sum: Vec<f64> = next.iter().zip(record.q).map(|(y, x)| y + x).collect();
                let growth = dot(&difference, &sum) / (norm * norm);
                // (1∓u)²(1+θ²) − 1 without cancellation. The sum in f64 and the format round one after the other.
                let u = if precision == Precision::F64 {
                    u
                } else {
                    u + Precision::F64.gamma(1) * (1.0 + u)
                };
                let square = sure * relative * relative;
                let lower = square * (1.0 - u) * (1.0 - u) - u * (2.0 - u);
                let upper = square * (1.0 + u) * (1.0 + u) + u * (2.0 + u);
                let radial = 2.0 * rate * Precision::F64.gamma(3 * dim + 26 + slots().count()) * upstream;
                let own = Precision::F64.gamma(dim + 8) * relative * (2.0 + relative);
                let underflow = 2.0 * (dim as f64).sqrt() * precision.underflow() / norm;
                let place = Place { step: index as u64, row: record.row as u64 };
                let residual = (lower - growth).max(growth - upper);
                tally.judge(place, &Measured::new(residual, radial / (norm * norm) + own + underflow, lower.abs()));
            }
            Ok(())
        })?;
    }
    Ok(tally.observe(DERIVATION, "no row had a gradient"))
}

/// False: growth is sure from half the threshold on, as far as the threshold itself guarantees it at its double.
fn half(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, &[0.5], 4.04)
}

const ABOUT: About = About {
    id: "storage-threshold",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "an orthogonal step longer than √(2u) of the row makes the stored norm grow; a shorter one may not",
    conditions: &[Condition::CosineLoss, Condition::NoEpsilon, Condition::ExactStorage],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("storage_threshold.rs"),
};

impl Claim for StorageThreshold {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, &[1.01, 2.0, 8.0], 1.0)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::ExactStorage, "a step of half the threshold", specimen::plain)
                .judged_by(half),
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::benign(Condition::NoEpsilon, "a clamp that is never active", specimen::inactive_epsilon),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
        ]
    }
}

theorem!(storage_threshold, StorageThreshold, "holds, 72 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod numbers {
    use super::*;

    #[test]
    fn the_thresholds_are_the_square_roots_of_two_roundoffs() {
        for (precision, expected) in Precision::ALL.into_iter().zip(["8.9e-2", "3.1e-2", "3.5e-4", "1.5e-8"]) {
            assert_eq!(format!("{:.1e}", threshold(precision)), expected, "{precision}");
            // √(2u)·√(1 − u/2)/(1 − u), within u of √(2u); four roundings of its own.
            let ratio = threshold(precision) / (2.0 * precision.unit_roundoff()).sqrt();
            let allowed = precision.unit_roundoff() + Precision::F64.gamma(4);
            assert!((ratio - 1.0).abs() <= allowed, "{precision}: {ratio}");
        }
    }

    /// Far below the threshold the stored norm shrinks or stays about as often as it grows; far above it never does.
    #[test]
    fn far_below_the_threshold_growth_is_a_fair_coin() {
        use rand::{RngExt, SeedableRng};
        let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(1);
        let precision = Precision::F32;
        let mut grown = |multiple: f64| {
            let one = |random: &mut rand_chacha::ChaCha8Rng| {
                let mut normal = || random.random::<f64>() - 0.5;
                let q: Vec<f64> = (0..64).map(|_| precision.round(normal())).collect();
                let v: Vec<f64> = (0..64).map(|_| normal()).collect();
                let radial = dot(&q, &v) / dot(&q, &q);
                let tangent: Vec<f64> = v.iter().zip(&q).map(|(v, x)| v - radial * x).collect();
                let scale = multiple * threshold(precision) * norm_f64(&q) / norm_f64(&tangent);
                let next: Vec<f64> = q.iter().zip(&tangent).map(|(x, t)| precision.round(x + scale * t)).collect();
                dot(&next, &next) > dot(&q, &q)
            };
            (0..1000).filter(|_| one(&mut random)).count()
        };
        assert_eq!(grown(1.01), 1000);
        // A fair coin: 500 ± 16; ten standard deviations.
        let (far_below, below) = (grown(0.01), grown(0.1));
        assert!((340..660).contains(&far_below), "{far_below}");
        assert!(below < 1000, "{below}");
    }
}
