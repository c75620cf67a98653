//! A private affine map of fixed features: q_i = W_i x_i + b_i, so JJᵀ = (‖x_i‖² + [b trained])·I.

use serde::{Deserialize, Serialize};

use super::{
    Architecture, Block, Chain, Constant, Constants, Encoder, Form, Gradient, Place, Size, add_outer, matrix_vector,
};
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// What becomes of the bias b.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bias {
    /// Trained with the weight.
    Trained,
    /// A constant.
    Frozen,
    /// Absent (zero).
    Absent,
}

/// q_i = W_i x_i + b_i. Shapes: x: `[features]`, W: `[d, features]`, b: `[d]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Affine {
    /// Length of x.
    pub features: usize,
    /// The bias.
    pub bias: Bias,
}

impl Architecture for Affine {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        let mut blocks = vec![Block::private("weight", rows, dim.saturating_mul(self.features))];
        if self.bias == Bias::Trained {
            blocks.push(Block::private("bias", rows, dim));
        }
        blocks
    }
    fn constants(&self, size: Size) -> Vec<Constant> {
        let bias = (self.bias == Bias::Frozen).then(|| Constant::new("bias", size.dim, Form::Offset));
        [Constant::features(self.features)].into_iter().chain(bias).collect()
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("a private affine map: JJᵀ = (‖x‖² + [bias trained])·I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one affine map a row".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        Some(self.features + 1)
    }
    fn chain(&self) -> Option<Chain> {
        Some(Chain::Private { features: self.features, bias: self.bias == Bias::Trained })
    }
    fn name(&self) -> &'static str {
        "affine"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Map { spec: self.clone(), dim: place.dim, first: place.own, constants: constants.rows })
    }
}

struct Map<F> {
    spec: Affine,
    dim: usize,
    first: usize,
    constants: Table<F>,
}

impl<F: Real> Encoder<F> for Map<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let (x, frozen) = self.constants.row(row).split_at(self.spec.features);
        let mut q = matrix_vector(tables[self.first].row(row), x);
        match self.spec.bias {
            Bias::Trained => add_scaled(&mut q, F::one(), tables[self.first + 1].row(row)),
            Bias::Frozen => add_scaled(&mut q, F::one(), frozen),
            Bias::Absent => {}
        }
        assert_eq!(q.len(), self.dim);
        q
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let x = &self.constants.row(row)[..self.spec.features];
        add_outer(gradients[self.first].accumulate(row), upstream, x);
        if self.spec.bias == Bias::Trained {
            add_scaled(gradients[self.first + 1].accumulate(row), F::one(), upstream);
        }
    }
}
