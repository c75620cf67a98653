//! A private row behind one constant matrix: q_i = V·e_i, so JJᵀ = VVᵀ. Linear in private parameters, and yet steps are
//! not orthogonal: ⟨q, Δq⟩ = −η⟨q, VVᵀg⟩. What grows is ‖e‖ (and q's length in the metric of (VVᵀ)⁻¹), so norms still
//! follow popularity within the condition number of V.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constants, Encoder, Gradient, Place, matrix_vector, transposed_vector};
use crate::error::Result;
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = V·e_i. Shapes: e: `[inner]`, V: `[d, inner]`, constant and the same for all rows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Projection {
    /// Length of e.
    pub inner: usize,
}

impl Architecture for Projection {
    fn blocks(&self, rows: usize, _dim: usize) -> Vec<Block> {
        vec![Block::private("table", rows, self.inner)]
    }
    fn shared_constants(&self, dim: usize) -> usize {
        dim.saturating_mul(self.inner)
    }
    fn validate(&self, at: &str) -> Result<()> {
        super::at_least_one(format!("{at}.inner"), self.inner)
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet("a frozen projection: JJᵀ = VVᵀ is no multiple of I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one table row a row; the projection is constant".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        Some(self.inner)
    }
    fn name(&self) -> &'static str {
        "projection"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Frozen { inner: self.inner, first: place.own, projection: constants.shared })
    }
}

struct Frozen<F> {
    inner: usize,
    first: usize,
    projection: Vec<F>,
}

impl<F: Real> Encoder<F> for Frozen<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        matrix_vector(&self.projection, tables[self.first].row(row))
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let below = transposed_vector(&self.projection, self.inner, upstream);
        add_scaled(gradients[self.first].accumulate(row), F::one(), &below);
    }
}
