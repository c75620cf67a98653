//! Runs in which every gradient has a direction of its own, for the laws of balance.
//!
//! User t is the t-th unit vector, and every item starts along one more: until step t no embedding has a part along user t.
//! So all cosines of step t are 0, the gradient of a touched item is s·û_t/‖q‖ with the same s in every step, and it is
//! orthogonal to all earlier gradients: the hypotheses "constant s" and "uncorrelated gradients" hold exactly.

use crate::encoder::{EncoderKind, table::TableEncoder};
use crate::error::{Error, Result};
use crate::facts::Measured;
use crate::geometry::{norm_f64, norm_squared};
use crate::loss::Loss;
use crate::optimizer::{Optimizer, sgd::Sgd};
use crate::rounding::Precision;
use crate::sampler::Batch;
use crate::scenario::{Initial, Materialised, Scenario, Tower};
use crate::trajectory::{Rows, Side, Trajectory};

/// The temperature of every run: s = 1/(2Bτ) for B tracked items.
const TEMPERATURE: f64 = 0.5;

/// The scenario in which tracked item k is looked up in the steps `touches[k]`, out of `steps`, and each direction serves
/// `hold` steps (1 unless gradients shall be correlated).
///
/// Precision, similarity, epsilon, item encoder and a table's initial lengths are those of `materialised`. Beside each tracked item there is one that takes its
/// place in the other steps, so that all batches are equally long, and one negative.
pub(super) fn scenario(
    materialised: &Materialised,
    optimizer: Optimizer,
    touches: &[Vec<usize>],
    steps: usize,
    hold: usize,
) -> Scenario {
    let base = &materialised.scenario;
    let tracked = touches.len();
    let dim = steps + 1;
    let unit = |place: usize, length: f64| (0..dim).map(move |k| if k == place { length } else { 0.0 });
    let initial = match &base.item.encoder {
        EncoderKind::Table(_) => {
            let table = &materialised.item.tables[0];
            let rows = (0..3 * tracked).flat_map(|row| unit(0, norm_f64(table.row(row % table.rows()))));
            Initial::Explicit { tables: vec![rows.collect()], constants: Vec::new() }
        }
        _ => Initial::Normal { std: 0.5 },
    };
    let batch = |step: usize| Batch {
        users: vec![step / hold; tracked],
        positives: (0..tracked).map(|k| if touches[k].contains(&step) { k } else { tracked + k }).collect(),
        negatives: (0..tracked).map(|k| vec![2 * tracked + k]).collect(),
        ..Batch::default()
    };
    let frozen = Optimizer::Sgd(Sgd { lr: 0.0.into(), decay: None, rows: Rows::Dense });
    Scenario {
        dim,
        steps,
        item: Tower { rows: 3 * tracked, optimizer, initial, ..base.item.clone() },
        user: Tower {
            rows: steps,
            encoder: EncoderKind::Table(TableEncoder {}),
            optimizer: frozen,
            initial: Initial::Explicit {
                tables: vec![(1..=steps).flat_map(|place| unit(place, 1.0)).collect()],
                constants: Vec::new(),
            },
            ..base.user.clone()
        },
        batches: Some((0..steps).map(batch).collect()),
        // InfoNCE of one negative at cosines of 0: the slope is the same in every step.
        loss: Loss { objective: Loss::info_nce(base.loss.similarity, TEMPERATURE).objective, ..base.loss.clone() },
        ..base.clone()
    }
}

/// What a tracked item did.
pub(super) struct Course {
    /// ‖q_t‖² for t = 0..=T.
    pub squares: Vec<f64>,
    /// s² = ‖q‖²‖g‖² of the first touch.
    pub spherical: f64,
}

/// The courses of the first `tracked` items.
pub(super) fn courses(trajectory: &Trajectory, tracked: usize) -> Result<Vec<Course>> {
    let towers = trajectory.towers();
    let tower = towers
        .iter()
        .find(|tower| tower.side() != Some(Side::User))
        .ok_or_else(|| Error::input(trajectory.origin(), "an item tower", "only a user tower"))?;
    let mut courses: Vec<_> = (0..tracked).map(|_| Course { squares: Vec::new(), spherical: 0.0 }).collect();
    tower.for_each(0..tracked, &mut |record| {
        let course = &mut courses[record.row];
        if course.squares.is_empty() {
            course.squares.push(norm_squared(record.q));
        }
        course.squares.push(norm_squared(record.q_next));
        if let (0.0, Some(gradient)) = (course.spherical, record.grad) {
            course.spherical = norm_squared(record.q) * norm_squared(gradient);
        }
        Ok(())
    })?;
    Ok(courses)
}

/// How the allowance of [`contraction`] is derived.
pub(super) const CONTRACTION_DERIVATION: &str = "γ_{m(10d+160)}·(x' + κx) for a period of m steps: every ratio x = ‖q‖⁴/(the law) \
    carries the gradient's norm (γ_{d+14}), the decay's products (γ_6), two squared norms (γ_{d+2}) and the law's powers";

/// Judges one period of R' = aR + b/R, R = ‖q‖², against its fixed point R*² = `law` = b/(1−a): the deviation
/// max(R²/R*², R*²/R²) − 1 shrinks at least by κ = max(a², (1−a)²) (`global_contraction` in proofs/theories/DecayEquilibrium.v).
/// `kept` is a, `steps` the length of the period.
pub(super) fn contraction(
    before: f64,
    after: f64,
    law: f64,
    kept: f64,
    steps: usize,
    dim: usize,
    format: Precision,
) -> Measured {
    let deviation = |square: f64| (square * (square / law)).max(law / square / square) - 1.0;
    let rate = (kept * kept).max((1.0 - kept) * (1.0 - kept));
    let (old, new) = (deviation(before), deviation(after));
    let allowed = format.gamma(steps * (10 * dim + 160)) * (new + 1.0 + rate * (old + 1.0));
    // Around any other point than the fixed one the deviation would stay.
    Measured::new(new - rate * old, allowed, 1.0 - rate)
}
