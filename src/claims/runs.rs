//! What claims about several runs share: a run's embeddings as one block, the comparison of two runs, the rounding that a
//! run carries along, and scenarios in which the item tower is alone with its optimizer.

use std::collections::BTreeMap;

use crate::encoder::{EncoderKind, table::TableEncoder};
use crate::error::{Error, Result};
use crate::facts::{Measured, RowSummary, Tally, gather};
use crate::geometry::norm_f64;
use crate::number::Running;
use crate::optimizer::{Optimizer, Update, sgd::Sgd};
use crate::reference::Session;
use crate::rounding::Precision;
use crate::scenario::{Initial, Materialised, Scenario, Tower};
use crate::trajectory::{self, Rows, Side, Trajectory};
use crate::verdict::Place;

/// The embeddings of one tower over a run, before every step and after the last: `[T+1, N, d]`.
pub(super) struct Path {
    pub steps: usize,
    pub rows: usize,
    dim: usize,
    values: Vec<f64>,
}

/// The tower of a side; a run with a single tower is read as an item tower.
pub(super) fn tower(trajectory: &Trajectory, side: Side) -> Result<trajectory::Tower<'_>> {
    let of_side = |tower: &trajectory::Tower<'_>| tower.side().unwrap_or(Side::Item) == side;
    let missing = || Error::input(trajectory.origin(), format!("the {side} tower"), "a run without it");
    trajectory.towers().into_iter().find(of_side).ok_or_else(missing)
}

impl Path {
    /// Reads the embeddings of a run.
    ///
    /// # Errors
    /// An embedding that is missing or not finite.
    pub fn read(trajectory: &Trajectory, side: Side) -> Result<Self> {
        let tower = tower(trajectory, side)?;
        let (steps, rows, dim) = (tower.steps(), tower.rows(), tower.dim());
        let mut values = vec![0.0; (steps + 1) * rows * dim];
        for (index, q) in values.chunks_exact_mut(dim).enumerate() {
            let place = format!("{side} embedding {} before step {}", index % rows, index / rows);
            if !tower.embedding(index / rows, index % rows, q) {
                return Err(Error::input(place, "a complete recording", "nothing"));
            }
            if let Some(x) = q.iter().find(|x| !x.is_finite()) {
                return Err(Error::not_finite(place, x));
            }
        }
        Ok(Path { steps, rows, dim, values })
    }

    /// The embedding of a row before a step: `[d]`.
    pub fn at(&self, step: usize, row: usize) -> &[f64] {
        &self.values[(step * self.rows + row) * self.dim..][..self.dim]
    }
}

/// Judges a run against the image of another, over every row that has moved by then: the distance of q'_t from the image of
/// q_t. The signal is the image's own way from its start.
///
/// `image` takes a row and its embedding to the other run's row and what it must be there; `allowed` takes the step and the
/// two rows.
pub(super) fn compare(
    tally: &mut Tally,
    run: &Path,
    other: &Path,
    image: impl Fn(usize, &[f64]) -> (usize, Vec<f64>),
    allowed: impl Fn(usize, usize, usize) -> f64,
) {
    let distance = |u: &[f64], v: &[f64]| norm_f64(&u.iter().zip(v).map(|(a, b)| a - b).collect::<Vec<_>>());
    for row in 0..run.rows {
        let (target, start) = image(row, run.at(0, row));
        for step in 1..=run.steps {
            let (_, expected) = image(row, run.at(step, row));
            let (residual, signal) = (distance(&expected, other.at(step, target)), distance(&expected, &start));
            if residual != 0.0 || signal != 0.0 {
                let place = Place { step: step as u64 - 1, row: row as u64 };
                tally.judge(place, &Measured::new(residual, allowed(step, row, target), signal));
            }
        }
    }
}

/// What the reference's rounding can have changed in the item embeddings of a run: a bound on ‖fl(q_t) − q_t‖ for every step
/// and row, `[T+1, N]`. The run is made once more on numbers that carry their bound; it is infinite from where a divisor may
/// be zero or rounding may have chosen a branch: a kink, a threshold, a sign of nothing.
pub(super) fn rounding_bounds(materialised: &Materialised) -> RoundingBounds {
    match materialised.scenario.precision {
        Precision::F32 => carried::<24>(materialised),
        _ => carried::<53>(materialised),
    }
}

/// See [`rounding_bounds`].
pub(super) struct RoundingBounds {
    rows: usize,
    values: Vec<f64>,
}

impl RoundingBounds {
    /// The bound before a step.
    pub fn at(&self, step: usize, row: usize) -> f64 {
        self.values[step * self.rows + row]
    }
}

fn carried<const BITS: i32>(materialised: &Materialised) -> RoundingBounds {
    let mut session = Session::<Running<BITS>>::new(materialised);
    let rows = materialised.scenario.item.rows;
    let mut values = Vec::with_capacity((materialised.batches.len() + 1) * rows);
    let mut chosen = false;
    let mut note = |session: &Session<Running<BITS>>, chosen: bool| {
        values.extend((0..rows).map(|row| {
            let q = session.embedding(Side::Item, row);
            match chosen {
                true => f64::INFINITY,
                false => norm_f64(&q.iter().map(|x| x.error()).collect::<Vec<_>>()),
            }
        }));
    };
    note(&session, chosen);
    for batch in &materialised.batches {
        chosen |= Running::<BITS>::watch(|| session.step(batch)).1;
        note(&session, chosen);
    }
    RoundingBounds { rows, values }
}

/// A table with these rows that no step moves.
pub(super) fn fixed_table(dim: usize, values: Vec<f64>) -> Tower {
    Tower {
        rows: values.len() / dim,
        encoder: EncoderKind::Table(TableEncoder {}),
        optimizer: Optimizer::Sgd(Sgd { lr: 0.0.into(), decay: None, rows: Rows::Lazy }),
        update: Update::default(),
        initial: Initial::Explicit { tables: vec![values], constants: Vec::new() },
    }
}

/// The scenario with every value written out and the user vectors held where they start, so that nothing but the item tower
/// moves.
pub(super) fn with_fixed_users(materialised: &Materialised) -> Scenario {
    let mut scenario = materialised.explicit();
    let session = Session::<f64>::new(materialised);
    let users = (0..scenario.user.rows).flat_map(|row| session.embedding(Side::User, row)).collect();
    scenario.user = fixed_table(scenario.dim, users);
    scenario
}

/// The values of a scenario's item tables, row after row; the scenario must be explicit.
pub(super) fn item_tables(scenario: &mut Scenario) -> &mut Vec<Vec<f64>> {
    match &mut scenario.item.initial {
        Initial::Explicit { tables, .. } => tables,
        Initial::Normal { .. } => unreachable!("every value was written out"),
    }
}

/// What the laws of growth see of every item row of a run of the scenario.
pub(super) fn row_summaries(trajectory: &Trajectory, materialised: &Materialised) -> Result<BTreeMap<u64, RowSummary>> {
    let tower = tower(trajectory, Side::Item)?;
    let context = super::context(trajectory, &tower, Some(materialised))?;
    Ok(gather(&tower, &context, &[])?.rows)
}

/// Whether any item had a gradient in any step.
pub(super) fn has_gradients(trajectory: &Trajectory) -> Result<bool> {
    let tower = tower(trajectory, Side::Item)?;
    let mut found = false;
    tower.for_each(0..tower.rows(), &mut |record| {
        found |= record.grad.is_some_and(|gradient| gradient.iter().any(|&g| g != 0.0));
        Ok(())
    })?;
    Ok(found)
}
