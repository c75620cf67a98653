//! One linear map of low rank for all rows, both factors trained: q_i = U·V·x_i, so JJᵀ = ‖Vx‖²·I + ‖x‖²·UUᵀ.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constant, Constants, Encoder, Gradient, Place, Size, layer};
use crate::error::Result;
use crate::geometry::Table;
use crate::number::Real;
use crate::verdict::Status;

/// q_i = U·V·x_i. Shapes: x: `[features]`, V: `[rank, features]`, U: `[d, rank]` (one table row an output unit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bottleneck {
    /// Length of x.
    pub features: usize,
    /// Length of V·x.
    pub rank: usize,
}

impl Architecture for Bottleneck {
    fn blocks(&self, _rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::shared("inner", self.rank, self.features), Block::shared("outer", dim, self.rank)]
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        vec![Constant::features(self.features)]
    }
    fn validate(&self, at: &str) -> Result<()> {
        super::at_least_one(format!("{at}.rank"), self.rank)
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet("a product of two trained maps: JJᵀ = ‖Vx‖²I + ‖x‖²UUᵀ is no multiple of I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("both maps are shared by all rows".into())
    }
    fn name(&self) -> &'static str {
        "bottleneck"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Maps { first: place.own, features: constants.rows })
    }
}

struct Maps<F> {
    first: usize,
    features: Table<F>,
}

impl<F: Real> Encoder<F> for Maps<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        layer::forward(&tables[self.first + 1], &layer::forward(&tables[self.first], self.features.row(row)))
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let (inner, outer) = (&tables[self.first], &tables[self.first + 1]);
        let narrow = layer::forward(inner, self.features.row(row));
        let below = layer::backward(outer, &mut gradients[self.first + 1], &narrow, upstream);
        layer::backward(inner, &mut gradients[self.first], self.features.row(row), &below);
    }
}
