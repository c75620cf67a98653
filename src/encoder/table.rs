//! A private table row: q_i = E_i, J = I.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Chain, Constants, Encoder, Gradient, Place};
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = E_i. Shapes: E: `[rows, d]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableEncoder {}

impl Architecture for TableEncoder {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::private("table", rows, dim)]
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("the embedding is the parameter row: J = I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one table row a row".into())
    }
    fn chain(&self) -> Option<Chain> {
        Some(Chain::Private { features: 0, bias: true })
    }
    fn name(&self) -> &'static str {
        "id"
    }
    fn build<F: Real>(&self, place: Place, _constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Lookup { table: place.own })
    }
}

struct Lookup {
    table: usize,
}

impl<F: Real> Encoder<F> for Lookup {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        tables[self.table].row(row).to_vec()
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        add_scaled(gradients[self.table].accumulate(row), F::one(), upstream);
    }
}
