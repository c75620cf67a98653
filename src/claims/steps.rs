//! Steps of the item tower as a trainer recorded them, with its parameters and with what rounding can have done: what laws
//! about encoders are judged on.

use crate::encoder::graph::Graph;
use crate::encoder::hash::{Hash, Weights};
use crate::encoder::history_mean::HistoryMean;
use crate::encoder::{Architecture, Encoder, EncoderKind, Gradient};
use crate::error::Result;
use crate::facts::Measured;
use crate::geometry::Table;
use crate::number::{Real, Running};
use crate::reference::Session;
use crate::rounding::Precision;
use crate::sampler::Batch;
use crate::scenario::{Materialised, TowerValues};
use crate::trainer::Trainer;
use crate::trajectory::{Side, Trajectory};

/// Numbers of our own arithmetic, with a bound on their error.
pub(super) type Bounded = Running<53>;

/// A recorded run of a scenario.
pub(super) struct Steps<'a> {
    model: &'a Materialised,
    trajectory: Trajectory,
}

/// One step of the item tower. Shapes: n items, d numbers each.
pub(super) struct Step<'a> {
    model: &'a Materialised,
    batch: &'a Batch,
    /// Zero-based.
    pub number: usize,
    /// η.
    pub rate: f64,
    /// q before the step: `[n, d]`.
    pub q: Table<f64>,
    /// q after it.
    pub next: Table<f64>,
    /// ∂L/∂q as recorded.
    pub gradient: Table<f64>,
    /// The parameters before the step, one table a block.
    pub tables: Vec<Table<f64>>,
    /// After it.
    pub tables_next: Vec<Table<f64>>,
    /// Their gradients as recorded.
    pub table_gradients: Vec<Table<f64>>,
    /// The other tower's parameters before the step.
    others: Vec<Table<f64>>,
}

/// What rounding can have put into a step by SGD along recorded gradients.
pub(super) struct StepErrors {
    /// Into q and q' together: `[n, d]`.
    pub moved: Table<f64>,
    /// Into the parameters after the step.
    pub tables: Vec<Table<f64>>,
}

/// What rounding can have put into recorded gradients.
pub(super) struct GradientErrors {
    /// Into ∂L/∂q: `[n, d]`.
    pub embeddings: Table<f64>,
    /// Into the parameters' gradients.
    pub tables: Vec<Table<f64>>,
}

/// Both sides round: a trainer may add in another order, within the same bound.
const BOTH: f64 = 2.0;

impl<'a> Steps<'a> {
    /// Trains a scenario.
    ///
    /// # Errors
    /// The trainer's.
    pub fn train(model: &'a Materialised, trainer: &dyn Trainer) -> Result<Self> {
        Ok(Steps { model, trajectory: trainer.train(model)? })
    }

    /// Every step that the record tells all of. Where the user tower reads the items' table, its gradients move them too, and
    /// the laws of the item tower alone say nothing.
    pub fn iter(&self) -> impl Iterator<Item = Step<'_>> {
        let alone = !self.model.scenario.user.encoder.reads_other();
        (0..self.model.batches.len()).filter(move |_| alone).filter_map(|number| self.step(number))
    }

    fn step(&self, number: usize) -> Option<Step<'_>> {
        let tower = &self.model.scenario.item;
        let embeddings = |name, entry| self.table(Side::Item, name, entry, tower.rows, self.model.scenario.dim);
        let mut rate = [tower.optimizer.schedule().at(number as u64)];
        if let Some(rates) = self.trajectory.array("item/lr") {
            rates.read(number, &mut rate);
        }
        Some(Step {
            model: self.model,
            batch: &self.model.batches[number],
            number,
            rate: rate[0],
            q: embeddings("q", number)?,
            next: embeddings("q", number + 1)?,
            gradient: embeddings("grad", number)?,
            tables: self.parameters(Side::Item, "table", number)?,
            tables_next: self.parameters(Side::Item, "table_next", number)?,
            table_gradients: self.parameters(Side::Item, "table_grad", number)?,
            others: self.parameters(Side::User, "table", number)?,
        })
    }

    fn table(&self, side: Side, name: &str, entry: usize, rows: usize, width: usize) -> Option<Table<f64>> {
        let array = self.trajectory.array(&format!("{side}/{name}"))?;
        let mut values = vec![0.0; rows * width];
        let fits = array.shape().len() == 3 && array.shape()[1..].iter().product::<usize>() == values.len();
        if !fits || array.shape()[0] <= entry {
            return None;
        }
        array.read(entry * values.len(), &mut values);
        Some(Table::from_values(width, values))
    }

    /// The blocks of a recorded parameter array; of a table that is looked up, the embeddings are the parameters.
    fn parameters(&self, side: Side, name: &str, step: usize) -> Option<Vec<Table<f64>>> {
        let TowerValues { blocks, .. } = self.model.tower(side);
        let rows = self.model.scenario.tower(side).rows;
        if blocks.is_empty() {
            return Some(Vec::new());
        }
        if self.trajectory.array(&format!("{side}/table")).is_none() {
            let lookup = blocks.len() == 1 && (blocks[0].rows, blocks[0].width) == (rows, self.model.scenario.dim);
            let (name, entry) = match name {
                "table" => ("q", step),
                "table_next" => ("q", step + 1),
                _ => ("grad", step),
            };
            return self.table(side, name, entry, rows, self.model.scenario.dim).filter(|_| lookup).map(|q| vec![q]);
        }
        let numbers = blocks.iter().map(|block| block.rows * block.width).sum::<usize>();
        let mut rest = self.table(side, name, step, 1, numbers)?.values().to_vec();
        // Private rows stand side by side; else one table after the other.
        let private = blocks.iter().all(|block| block.private);
        if !private {
            let tables = blocks.iter().map(|block| {
                let own = rest.drain(..block.rows * block.width).collect();
                Table::from_values(block.width, own)
            });
            return Some(tables.collect());
        }
        let width = numbers / rows;
        let mut from = 0;
        let tables = blocks.iter().map(|block| {
            let own = rest.chunks_exact(width).flat_map(|row| row[from..from + block.width].to_vec()).collect();
            from += block.width;
            Table::from_values(block.width, own)
        });
        Some(tables.collect())
    }
}

impl Step<'_> {
    /// The encoder of the item tower on numbers of one type, over [`Step::tables`] followed by the other tower's.
    pub fn encoder<F: Real>(&self) -> Box<dyn Encoder<F>> {
        self.model.encoder(Side::Item)
    }

    /// All tables of the model before the step, the item tower's first.
    pub fn model_tables<F: Real>(&self) -> Vec<Table<F>> {
        self.tables.iter().chain(&self.others).map(|table| table.map(|&x| F::from_f64(x))).collect()
    }

    /// Replays the step by SGD: back through the encoder, along the gradients, and through the encoder again.
    pub fn step_errors(&self) -> StepErrors {
        match self.model.scenario.precision {
            Precision::F32 => self.step_errors_of::<24>(),
            _ => self.step_errors_of::<53>(),
        }
    }

    fn step_errors_of<const BITS: i32>(&self) -> StepErrors {
        let encoder = self.encoder::<Running<BITS>>();
        let mut tables: Vec<Table<Running<BITS>>> = self.model_tables();
        let mut gradients: Vec<_> = tables.iter().map(|table| Gradient::zeros(table.rows(), table.width())).collect();
        let rows = self.q.rows();
        let encode = |tables: &[Table<Running<BITS>>]| -> Vec<f64> {
            (0..rows).flat_map(|row| encoder.encode(tables, row)).map(Running::error).collect()
        };
        let before = encode(&tables);
        for row in 0..rows {
            let gradient: Vec<_> = self.gradient.row(row).iter().map(|&g| Running::from_f64(g)).collect();
            if self.gradient.row(row).iter().any(|&g| g != 0.0) {
                encoder.backward(&tables, row, &gradient, &mut gradients);
            }
        }
        let rate = Running::from_f64(self.rate);
        for (table, gradient) in tables.iter_mut().zip(&gradients).take(self.tables.len()) {
            for row in 0..table.rows() {
                let moved = table.row_mut(row).iter_mut().zip(gradient.row(row));
                moved.for_each(|(x, g)| *x = *x - rate * *g);
            }
        }
        let moved = before.iter().zip(encode(&tables)).map(|(before, after)| BOTH * (before + after)).collect();
        let own = &tables[..self.tables.len()];
        StepErrors {
            moved: Table::from_values(self.q.width(), moved),
            tables: own.iter().map(|table| table.map(|x| BOTH * x.error())).collect(),
        }
    }

    /// Evaluates the loss at the recorded parameters.
    pub fn gradient_errors(&self) -> GradientErrors {
        match self.model.scenario.precision {
            Precision::F32 => self.gradient_errors_of::<24>(),
            _ => self.gradient_errors_of::<53>(),
        }
    }

    fn gradient_errors_of<const BITS: i32>(&self) -> GradientErrors {
        let mut model = self.model.clone();
        model.item.tables.clone_from(&self.tables);
        model.user.tables.clone_from(&self.others);
        let mut session = Session::<Running<BITS>>::new(&model);
        let outcome = session.evaluate(self.batch);
        session.apply(&outcome);
        let mut embeddings = self.gradient.map(|_| 0.0);
        for (row, gradient) in &outcome.item.rows {
            for (place, g) in embeddings.row_mut(*row).iter_mut().zip(gradient) {
                *place = BOTH * g.error();
            }
        }
        let tables = session.gradients(Side::Item);
        GradientErrors { embeddings, tables: tables.iter().map(|table| table.map(|g| BOTH * g.error())).collect() }
    }
}

impl Step<'_> {
    /// The scenario's values of the item tower: constants and what the tables are.
    pub fn values(&self) -> &TowerValues {
        &self.model.item
    }

    /// How the item tower makes embeddings.
    pub fn kind(&self) -> &EncoderKind {
        &self.model.scenario.item.encoder
    }

    /// What underflow can have done to a number.
    pub fn underflow(&self) -> f64 {
        4.0 * self.model.scenario.precision.underflow()
    }

    /// φ_i, where q_i = Σ_b φ_ib·E_b is a sum of rows of one shared table; None for any other encoder.
    pub fn features(&self, row: usize) -> Option<Vec<f64>> {
        let constants = self.values().constants.row(row);
        let count = |rows: usize, indices: &[f64], weight: &dyn Fn(usize) -> f64| {
            let mut features = vec![0.0; rows];
            for (k, &index) in indices.iter().enumerate().filter(|(_, index)| **index >= 0.0) {
                features[index as usize] += weight(k);
            }
            features
        };
        match self.kind() {
            EncoderKind::SharedLinear(_) | EncoderKind::Graph(Graph { bipartite: false }) => Some(constants.to_vec()),
            EncoderKind::Hash(Hash { weights: Weights::Absent, buckets, .. }) => {
                Some(count(*buckets, constants, &|_| 1.0))
            }
            EncoderKind::Hash(Hash { weights: Weights::Fixed, buckets, hashes }) => {
                let (indices, weights) = constants.split_at(*hashes);
                Some(count(*buckets, indices, &|k| weights[k]))
            }
            EncoderKind::HistoryMean(HistoryMean { own_rows: Some(rows), .. }) => {
                let length = constants.iter().filter(|index| **index >= 0.0).count() as f64;
                Some(count(*rows, constants, &|_| 1.0).into_iter().map(|n| n / length).collect())
            }
            _ => None,
        }
    }

    /// ‖W'‖² − ‖W‖² − η²‖∇W‖² of one block of parameters: 0 where its gradient is orthogonal to it and the step is −η∇W. None
    /// where nothing happened, or nothing is known of the gradient (terms cancel in an embedding to what may be 0).
    pub fn pythagoras(&self, block: usize, step: &StepErrors, gradient: &GradientErrors) -> Option<Measured> {
        let (before, slope) = (self.tables[block].values(), self.table_gradients[block].values());
        let after = within(self.tables_next[block].values(), step.tables[block].values());
        let zero = Bounded::from_f64(0.0);
        let mut residual = zero;
        let (mut leak, mut size) = (0.0, 0.0);
        let rate = Bounded::from_f64(self.rate);
        let errors = gradient.tables[block].values();
        for (((&w, w_next), &g), error) in before.iter().zip(after).zip(slope).zip(errors) {
            let (w, step) = (Bounded::from_f64(w), rate * Bounded::from_f64(g));
            residual = residual + (w_next - w) * (w_next + w) - step * step;
            leak += 2.0 * self.rate * w.value().abs() * error;
            size += 2.0 * (w.value() * step.value()).abs();
        }
        let allowed = residual.error() + leak + self.underflow();
        let happened = size > 0.0 || self.tables[block] != self.tables_next[block];
        (happened && allowed.is_finite()).then(|| Measured::new(residual.value().abs(), allowed, size))
    }
}

/// How the allowance of [`Step::pythagoras`] is derived.
pub(super) const PYTHAGORAS: &str = "running error analysis: twice the rounding bound of W − η∇W, of the loss's gradient at the \
    recorded parameters (2η·Σ|W|·error) and that of the check itself; every operation adds u·|result|";

/// Σ x_k·y_k of numbers that carry their errors.
pub(super) fn product(x: &[Bounded], y: &[Bounded]) -> Bounded {
    crate::geometry::dot(x, y)
}

/// Numbers that are known exactly.
pub(super) fn exact(values: &[f64]) -> Vec<Bounded> {
    values.iter().map(|&x| Bounded::from_f64(x)).collect()
}

/// Numbers that are known to within their errors.
pub(super) fn within(values: &[f64], errors: &[f64]) -> Vec<Bounded> {
    values.iter().zip(errors).map(|(&x, &error)| Bounded::uncertain(x, error)).collect()
}

/// A·y = b for a symmetric positive definite matrix `[d, d]`, by Gaussian elimination, which needs no pivots there. An
/// ill-conditioned matrix leaves nothing known of y.
pub(super) fn solve(mut a: Vec<Vec<Bounded>>, mut b: Vec<Bounded>) -> Vec<Bounded> {
    let d = b.len();
    for k in 0..d {
        for i in k + 1..d {
            let factor = a[i][k] / a[k][k];
            let (above, below) = a.split_at_mut(i);
            below[0].iter_mut().zip(&above[k]).for_each(|(x, y)| *x = *x - factor * *y);
            b[i] = b[i] - factor * b[k];
        }
    }
    for k in (0..d).rev() {
        let known = product(&a[k][k + 1..], &b[k + 1..]);
        b[k] = (b[k] - known) / a[k][k];
    }
    b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systems_are_solved_within_their_bound_and_singular_ones_not_at_all() {
        let matrix = |rows: [[f64; 2]; 2]| rows.map(|row| exact(&row)).to_vec();
        let y = solve(matrix([[2.0, 1.0], [1.0, 3.0]]), exact(&[4.0, 7.0]));
        assert_eq!(y.iter().map(|y| y.value()).collect::<Vec<_>>(), [1.0, 2.0]);
        // Seven operations, none of them on numbers above 7, and the substitution doubles an error at most.
        let bound = 2.0 * 7.0 * Precision::F64.gamma(7);
        assert!(y.iter().all(|y| y.error() <= bound));
        let y = solve(matrix([[1.0, 1.0], [1.0, 1.0]]), exact(&[1.0, 1.0]));
        assert!(y.iter().all(|y| y.error().is_nan() || y.error() >= 1.0));
    }
}
