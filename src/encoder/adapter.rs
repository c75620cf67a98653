//! A frozen base with a low-rank correction (LoRA: Hu and others 2021), shared by all rows:
//!
//! ```text
//! q_i = e_i + B·A·x_i    or    q_i = W·x_i + B·A·x_i,    JJᵀ = ‖x‖²·BBᵀ + [B trained]·‖Ax‖²·I
//! ```
//!
//! With B frozen it is linear in what is trained, yet moves embeddings in the rank-r image of B only.

use serde::{Deserialize, Serialize};

use super::{
    Architecture, Block, Constant, Constants, Encoder, Form, Gradient, Place, Size, layer, matrix_vector,
    transposed_vector,
};
use crate::error::Result;
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// What the correction is added to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Base {
    /// e_i: a constant of the row, `[d]`.
    Row,
    /// W·x_i, W constant and the same for all rows: `[d, features]`.
    Map,
}

/// Base + B·A·x_i. Shapes: x: `[features]`, A: `[rank, features]`, B: `[d, rank]` (one table row an output unit).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Length of x.
    pub features: usize,
    /// Length of A·x.
    pub rank: usize,
    /// What is corrected.
    pub base: Base,
    /// Whether B is trained; otherwise it is constant.
    pub outer_trained: bool,
}

impl Architecture for Adapter {
    fn blocks(&self, _rows: usize, dim: usize) -> Vec<Block> {
        let outer = self.outer_trained.then(|| Block::shared("outer", dim, self.rank));
        [Block::shared("inner", self.rank, self.features)].into_iter().chain(outer).collect()
    }
    fn constants(&self, size: Size) -> Vec<Constant> {
        let base = (self.base == Base::Row).then(|| Constant::new("base", size.dim, Form::Offset));
        [Constant::features(self.features)].into_iter().chain(base).collect()
    }
    /// W, then B, where they are constant.
    fn shared_constants(&self, dim: usize) -> usize {
        let map = if self.base == Base::Map { self.features } else { 0 };
        let outer = if self.outer_trained { 0 } else { self.rank };
        dim.saturating_mul(map.saturating_add(outer))
    }
    fn validate(&self, at: &str) -> Result<()> {
        super::at_least_one(format!("{at}.features"), self.features)?;
        super::at_least_one(format!("{at}.rank"), self.rank)
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet("a low-rank correction: JJᵀ = ‖x‖²BBᵀ + [B trained]·‖Ax‖²I is no multiple of I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("the correction is shared by all rows".into())
    }
    fn name(&self) -> &'static str {
        "adapter"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        let Constants { shared, rows } = constants;
        let map = if self.base == Base::Map {
            place.dim * self.features
        } else {
            0
        };
        let (map, outer) = shared.split_at(map);
        let (map, outer) = (map.to_vec(), outer.to_vec());
        Box::new(Corrected { spec: self.clone(), first: place.own, map, outer, constants: rows })
    }
}

struct Corrected<F> {
    spec: Adapter,
    first: usize,
    /// W, where it is the base.
    map: Vec<F>,
    /// B, where it is frozen.
    outer: Vec<F>,
    constants: Table<F>,
}

impl<F: Real> Corrected<F> {
    fn outer<'a>(&'a self, tables: &'a [Table<F>]) -> &'a [F] {
        if self.spec.outer_trained {
            tables[self.first + 1].values()
        } else {
            &self.outer
        }
    }
}

impl<F: Real> Encoder<F> for Corrected<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let (x, base) = self.constants.row(row).split_at(self.spec.features);
        let mut q = match self.spec.base {
            Base::Row => base.to_vec(),
            Base::Map => matrix_vector(&self.map, x),
        };
        let narrow = layer::forward(&tables[self.first], x);
        add_scaled(&mut q, F::one(), &matrix_vector(self.outer(tables), &narrow));
        q
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let x = &self.constants.row(row)[..self.spec.features];
        let inner = &tables[self.first];
        if self.spec.outer_trained {
            layer::backward(
                &tables[self.first + 1],
                &mut gradients[self.first + 1],
                &layer::forward(inner, x),
                upstream,
            );
        }
        let below = transposed_vector(self.outer(tables), self.spec.rank, upstream);
        layer::backward(inner, &mut gradients[self.first], x, &below);
    }
}
