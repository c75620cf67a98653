//! The reference core: plain loops in a fixed order, generic over the number type. Clear before fast.
//!
//! [`Session`] trains step by step; [`Reference`] is the [`Trainer`] that records a whole scenario in memory;
//! [`recorder::Recorder`] streams chosen rows of a long run to a file.

pub mod recorder;
mod session;

use std::collections::BTreeMap;

pub(crate) use session::Steps;
pub use session::{PARAMETERS, Session, StepOutcome, TowerOutcome};

use crate::error::Result;
use crate::geometry::Table;
use crate::number::Real;
use crate::rounding::Precision;
use crate::scenario::Materialised;
use crate::trainer::Trainer;
use crate::trajectory::{Array, Side, Trajectory};

/// The reference trainer: `f64` or `f32`, as the scenario says.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reference;

impl Trainer for Reference {
    fn name(&self) -> String {
        "reference".into()
    }

    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        train(materialised, None)
    }
}

/// A mistake that training code makes, planted to show that a claim notices it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Of several gradients of one row in a batch only the last is applied; the recorded gradient is their sum.
    LastWriteWins,
    /// Every step applies the gradient of the step before.
    StaleGradient,
}

/// The reference trainer with a planted fault.
#[derive(Debug, Clone, Copy)]
pub struct Faulty(pub Fault);

impl Trainer for Faulty {
    fn name(&self) -> String {
        format!("reference with {:?}", self.0)
    }

    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        train(materialised, Some(self.0))
    }
}

fn train(materialised: &Materialised, fault: Option<Fault>) -> Result<Trajectory> {
    match materialised.scenario.precision {
        Precision::F32 => record::<f32>(materialised, fault),
        _ => record::<f64>(materialised, fault),
    }
}

/// The rows' gradients as a fault leaves them.
fn last_slot_only<F: Real>(tower: &TowerOutcome<F>) -> TowerOutcome<F> {
    let mut rows = tower.rows.clone();
    for (row, gradient) in &mut rows {
        if let Some(slot) = tower.slots.iter().rposition(|slot| slot == row) {
            *gradient = tower.slot_gradients.row(slot).to_vec();
        }
    }
    TowerOutcome { rows, ..tower.clone() }
}

/// One tower's arrays, growing step by step.
#[derive(Default)]
struct Recorded {
    q: Vec<f64>,
    gradient: Vec<f64>,
    slot_gradient: Vec<f64>,
    ids: Vec<i64>,
    rates: Vec<f64>,
    parameters: Vec<f64>,
    parameters_next: Vec<f64>,
    parameter_gradient: Vec<f64>,
}

fn to_f64<F: Real>(values: &[F]) -> impl Iterator<Item = f64> + '_ {
    values.iter().map(F::to_f64)
}

impl Recorded {
    fn embeddings<F: Real>(&mut self, session: &Session<F>, side: Side, rows: usize) {
        for row in 0..rows {
            self.q.extend(to_f64(&session.embedding(side, row)));
        }
    }
}

/// The tables of one side joined into one block `[rows, width]`: row by row where all are private to their row, the
/// table itself where there is one, else everything in a single row. The number of rows, and the values.
pub(crate) fn joined<F: Clone>(tables: &[&Table<F>], private: bool) -> (usize, Vec<F>) {
    let rows = if private || tables.len() == 1 {
        tables[0].rows()
    } else {
        1
    };
    let mut values = Vec::new();
    if rows == 1 {
        tables.iter().for_each(|table| values.extend_from_slice(table.values()));
    } else {
        for row in 0..rows {
            tables.iter().for_each(|table| values.extend_from_slice(table.row(row)));
        }
    }
    (rows, values)
}

fn record<F: Real>(materialised: &Materialised, fault: Option<Fault>) -> Result<Trajectory> {
    let scenario = &materialised.scenario;
    // Gathered as f64, then encoded.
    scenario.check_recording(2 * size_of::<f64>())?;
    let mut session = Session::<F>::new(materialised);
    let sides = [Side::Item, Side::User];
    let mut recorded = [Recorded::default(), Recorded::default()];
    let mut shapes = [(0, 0); 2];
    let mut stale: Option<StepOutcome<F>> = None;
    let mut losses = vec![];
    for batch in &materialised.batches {
        for (side, recorded) in sides.into_iter().zip(&mut recorded) {
            recorded.embeddings(&session, side, scenario.tower(side).rows);
            if session.has_own_parameters(side) {
                let (_, values) = joined(&session.tables(side), session.is_private(side));
                recorded.parameters.extend(to_f64(&values));
            }
            recorded.rates.push(scenario.tower(side).optimizer.schedule().at(session.time()));
        }
        let mut outcome = session.evaluate(batch);
        match fault {
            None => session.apply(&outcome),
            Some(Fault::LastWriteWins) => {
                let (item, user) = (last_slot_only(&outcome.item), last_slot_only(&outcome.user));
                session.apply(&StepOutcome { loss: outcome.loss.clone(), item, user });
            }
            Some(Fault::StaleGradient) => {
                let fresh = outcome.clone();
                outcome = stale.replace(fresh).unwrap_or(outcome);
                session.apply(&outcome);
            }
        }
        losses.push(outcome.loss.to_f64());
        for ((side, recorded), shape) in sides.into_iter().zip(&mut recorded).zip(&mut shapes) {
            let tower = outcome.tower(side);
            let mut dense = vec![0.0; scenario.tower(side).rows * scenario.dim];
            for (row, gradient) in &session.embedding_gradients(side, &outcome) {
                for (place, g) in dense[row * scenario.dim..].iter_mut().zip(gradient) {
                    *place = g.to_f64();
                }
            }
            recorded.gradient.extend(dense);
            recorded.slot_gradient.extend(to_f64(tower.slot_gradients.values()));
            recorded.ids.extend(tower.slots.iter().map(|&row| row as i64));
            if session.has_own_parameters(side) {
                let (rows, values) = joined(&session.tables(side), session.is_private(side));
                *shape = (rows, values.len() / rows);
                recorded.parameters_next.extend(to_f64(&values));
                let gradients = session.gradients(side);
                let (_, values) = joined(&gradients.iter().collect::<Vec<_>>(), session.is_private(side));
                recorded.parameter_gradient.extend(to_f64(&values));
            }
        }
    }

    let steps = materialised.batches.len();
    let float = |shape: &[usize], values: &[f64]| match scenario.precision {
        Precision::F32 => Array::from_f32(shape, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        _ => Array::from_f64(shape, values),
    };
    let mut arrays = BTreeMap::new();
    arrays.insert("loss".to_string(), float(&[steps], &losses));
    let pairs = materialised.recorded_pairs();
    let even = pairs.is_some();
    arrays.extend(pairs.into_iter().flatten());
    for ((side, mut recorded), (rows, width)) in sides.into_iter().zip(recorded).zip(shapes) {
        let (n, d) = (scenario.tower(side).rows, scenario.dim);
        recorded.embeddings(&session, side, n);
        let mut insert = |name: &str, array: Array| arrays.insert(format!("{side}/{name}"), array);
        insert("q", float(&[steps + 1, n, d], &recorded.q));
        insert("grad", float(&[steps, n, d], &recorded.gradient));
        insert("lr", Array::from_f64(&[steps], &recorded.rates));
        if even {
            let slots = recorded.ids.len() / steps;
            insert("ids", Array::from_i64(&[steps, slots], &recorded.ids));
            insert("grad_out", float(&[steps, slots, d], &recorded.slot_gradient));
        }
        if rows > 0 {
            insert("table", float(&[steps, rows, width], &recorded.parameters));
            insert("table_next", float(&[steps, rows, width], &recorded.parameters_next));
            insert("table_grad", float(&[steps, rows, width], &recorded.parameter_gradient));
        }
    }
    Trajectory::new(scenario.header("reference"), arrays)
}
