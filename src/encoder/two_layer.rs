//! A private two-layer network of fixed features: q_i = V_i·h_i, h_i = relu(W_i x_i). With every unit active
//! Δq = −η(‖h‖²·I + ‖x‖²·VVᵀ)g to first order, so that JJᵀ is not a multiple of I and the embedding moves radially.

use serde::{Deserialize, Serialize};

use super::activation::Activation::Relu;
use super::{
    Architecture, Block, Constant, Constants, Encoder, Gradient, Place, Size, add_outer, matrix_vector,
    transposed_vector,
};
use crate::geometry::Table;
use crate::number::Real;
use crate::verdict::Status;

/// q_i = V_i·relu(W_i x_i). Shapes: x: `[features]`, W: `[hidden, features]`, V: `[d, hidden]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwoLayer {
    /// Length of x.
    pub features: usize,
    /// Hidden units.
    pub hidden: usize,
}

impl Architecture for TwoLayer {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![
            Block::private("inner", rows, self.hidden.saturating_mul(self.features)),
            Block::private("outer", rows, dim.saturating_mul(self.hidden)),
        ]
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        vec![Constant::features(self.features)]
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet("a two-layer network: JJᵀ = ‖h‖²I + ‖x‖²VDVᵀ is no multiple of I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one network a row".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        Some(self.features + self.hidden)
    }
    fn name(&self) -> &'static str {
        "two-layer"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Network { hidden: self.hidden, first: place.own, constants: constants.rows })
    }
}

struct Network<F> {
    hidden: usize,
    first: usize,
    constants: Table<F>,
}

impl<F: Real> Encoder<F> for Network<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let pre = matrix_vector(tables[self.first].row(row), self.constants.row(row));
        matrix_vector(tables[self.first + 1].row(row), &Relu.apply(&pre))
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let x = self.constants.row(row);
        let pre = matrix_vector(tables[self.first].row(row), x);
        add_outer(gradients[self.first + 1].accumulate(row), upstream, &Relu.apply(&pre));
        let inner = transposed_vector(tables[self.first + 1].row(row), self.hidden, upstream);
        add_outer(gradients[self.first].accumulate(row), &Relu.backward(&pre, inner), x);
    }
}
