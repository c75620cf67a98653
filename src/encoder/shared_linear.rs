//! One linear map of fixed features for all rows: q_i = W x_i. A step on W moves q_i by −η Σ_j ⟨x_i,x_j⟩ g_j: the other
//! rows' gradients, which are not orthogonal to q_i, reach it.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::{Architecture, Block, Chain, Constant, Constants, Encoder, Gradient, Place, Size};
use crate::geometry::{Table, add_scaled, dot};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = W x_i. Shapes: x: `[features]`, W: `[d, features]` (one table row an output coordinate).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharedLinear {
    /// Length of x.
    pub features: usize,
}

impl Architecture for SharedLinear {
    fn blocks(&self, _rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::shared("weight", dim, self.features)]
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        vec![Constant::features(self.features)]
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("linear in shared weights: JJᵀ = ‖x‖²·I for the row's own gradient".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("one weight matrix is shared by all rows".into())
    }
    fn chain(&self) -> Option<Chain> {
        Some(Chain::Shared { layers: 1, bias: false, activation: Activation::default() })
    }
    fn name(&self) -> &'static str {
        "shared-linear"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Map { dim: place.dim, first: place.own, constants: constants.rows })
    }
}

struct Map<F> {
    dim: usize,
    first: usize,
    constants: Table<F>,
}

impl<F: Real> Encoder<F> for Map<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        (0..self.dim).map(|k| dot(tables[self.first].row(k), self.constants.row(row))).collect()
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        for (k, g) in upstream.iter().enumerate() {
            add_scaled(gradients[self.first].accumulate(k), g.clone(), self.constants.row(row));
        }
    }
}
