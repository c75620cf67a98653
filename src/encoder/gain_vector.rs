//! A private scalar gain times a private vector: q_i = a_i·w_i, so JJᵀ = a²I + wwᵀ. That is no multiple of I, and yet
//! harmless: q ∥ w is its eigenvector. For a gradient g ⟂ q
//!
//! ```text
//! ∂L/∂a = ⟨w, g⟩ = 0,    ∂L/∂w = a·g,    Δq = −η·a²·g    exactly, to all orders in η
//! ```
//!
//! under SGD. A rule that divides by the gradient's size turns the rounding of ∂L/∂a = 0 into a step along q.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constants, Encoder, Gradient, Place};
use crate::geometry::{Table, add_scaled, dot};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = a_i·w_i. Shapes: a: scalar, w: `[d]`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GainVector {}

impl Architecture for GainVector {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::private("gain", rows, 1), Block::private("vector", rows, dim)]
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet(
            "JJᵀ = a²I + wwᵀ is no multiple of I; q is its eigenvector, so that a step of SGD is orthogonal exactly"
                .into(),
        )
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one gain and one vector a row".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        Some(1)
    }
    fn name(&self) -> &'static str {
        "gain-vector"
    }
    fn build<F: Real>(&self, place: Place, _constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Product { first: place.own })
    }
}

struct Product {
    first: usize,
}

impl<F: Real> Encoder<F> for Product {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let gain = &tables[self.first].row(row)[0];
        tables[self.first + 1].row(row).iter().map(|w| gain.clone() * w.clone()).collect()
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let (gain, vector) = (tables[self.first].row(row)[0].clone(), tables[self.first + 1].row(row));
        add_scaled(gradients[self.first].accumulate(row), dot(vector, upstream), &[F::one()]);
        add_scaled(gradients[self.first + 1].accumulate(row), gain, upstream);
    }
}
