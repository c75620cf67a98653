//! The mean of table rows in a history, as user towers of the YouTube and SASRec kind begin: q_i = mean of E_j, j in the
//! history of i. The table is the tower's own, or that of the other tower's embeddings. In the second case row E_j receives
//! (1/|H|)·∂L/∂u on top of its own gradient, which is tangent to u and not to E_j: the *other* tower's rows are then
//! neither private nor seen by the loss through their directions alone.

use serde::{Deserialize, Serialize};

use super::constants::indices;
use super::{Architecture, Block, Constant, Constants, Encoder, Form, Gradient, Place, Size};
use crate::error::Result;
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = (1/|H_i|)·Σ_{j∈H_i} E_j. Shapes: E: `[rows of the other tower, d]`, H: `[length]`, padded with −1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HistoryMean {
    /// Places in a history.
    pub length: usize,
    /// Rows of the tower's own table; without it, the history names rows of the other tower's table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_rows: Option<usize>,
}

impl Architecture for HistoryMean {
    fn blocks(&self, _rows: usize, dim: usize) -> Vec<Block> {
        self.own_rows.map(|rows| Block::shared("history", rows, dim)).into_iter().collect()
    }
    fn constants(&self, size: Size) -> Vec<Constant> {
        let below = self.own_rows.unwrap_or(size.other_rows);
        vec![Constant::new("history", self.length, Form::Index { below, padding: true })]
    }
    fn reads_other(&self) -> bool {
        self.own_rows.is_none()
    }
    fn validate(&self, at: &str) -> Result<()> {
        super::at_least_one(format!("{at}.length"), self.length)?;
        super::at_least_one(format!("{at}.own_rows"), self.own_rows.unwrap_or(1))
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("a mean of table rows: JJᵀ = Σ_j (times j occurs/|H|)²·I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("rows with items in common share their table rows".into())
    }
    fn name(&self) -> &'static str {
        "history-mean"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        let histories = (0..constants.rows.rows()).map(|row| indices(constants.row(row))).collect();
        let table = if self.reads_other() { place.other } else { place.own };
        Box::new(Mean { table, dim: place.dim, histories })
    }
}

struct Mean {
    table: usize,
    dim: usize,
    histories: Vec<Vec<usize>>,
}

impl<F: Real> Encoder<F> for Mean {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let history = &self.histories[row];
        let mut sum = vec![F::zero(); self.dim];
        for &j in history {
            add_scaled(&mut sum, F::one(), tables[self.table].row(j));
        }
        let count = F::ratio(history.len() as i64, 1);
        sum.into_iter().map(|x| x / count.clone()).collect()
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let history = &self.histories[row];
        let share = F::ratio(1, history.len() as i64);
        for &j in history {
            add_scaled(gradients[self.table].accumulate(j), share.clone(), upstream);
        }
    }
}
