//! Weight normalisation (Salimans and Kingma 2016): q_i = s_i·v_i/‖v_i‖ with
//!
//! ```text
//! JJᵀ = (s²/‖v‖²)·(I − q̂q̂ᵀ) + [s trained]·q̂q̂ᵀ
//! ```
//!
//! q is an eigenvector, so a gradient g ⟂ q gives ∂L/∂s = 0 and Δq ∥ g to first order. Exactly, ‖q‖ = |s| never changes:
//! the radial part of a step is ⟨q, Δq⟩ = −‖Δq‖²/2, whatever the rate. Norms cannot grow.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constant, Constants, Encoder, Form, Gradient, Place};
use crate::geometry::{Table, add_scaled, dot, normalise, through_normalisation};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = s_i·v_i/‖v_i‖. Shapes: s: scalar, v: `[d]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WeightNorm {
    /// Whether the length s is trained; otherwise it is a constant of the row.
    pub trained: bool,
}

impl Architecture for WeightNorm {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        let length = self.trained.then(|| Block::private("length", rows, 1));
        [Block::private("direction", rows, dim)].into_iter().chain(length).collect()
    }
    fn constants(&self, _size: super::Size) -> Vec<Constant> {
        if self.trained {
            Vec::new()
        } else {
            vec![Constant::new("length", 1, Form::Offset)]
        }
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet(
            "JJᵀ = (s²/‖v‖²)(I − q̂q̂ᵀ) + [s trained]·q̂q̂ᵀ: orthogonal to first order; ‖q‖ = |s| stays, so ⟨q,Δq⟩ = −‖Δq‖²/2".into(),
        )
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one direction and one length a row".into())
    }
    fn name(&self) -> &'static str {
        "weight-norm"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Normalised { trained: self.trained, first: place.own, constants })
    }
}

struct Normalised<F> {
    trained: bool,
    first: usize,
    constants: Constants<F>,
}

impl<F: Real> Normalised<F> {
    fn length<'a>(&'a self, tables: &'a [Table<F>], row: usize) -> &'a F {
        if self.trained {
            &tables[self.first + 1].row(row)[0]
        } else {
            &self.constants.row(row)[0]
        }
    }
}

impl<F: Real> Encoder<F> for Normalised<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let (direction, _) = normalise(tables[self.first].row(row));
        direction.into_iter().map(|v| self.length(tables, row).clone() * v).collect()
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let (direction, norm) = normalise(tables[self.first].row(row));
        let tangent = through_normalisation(upstream, &direction, &norm);
        add_scaled(gradients[self.first].accumulate(row), self.length(tables, row).clone(), &tangent);
        if self.trained {
            add_scaled(gradients[self.first + 1].accumulate(row), dot(&direction, upstream), &[F::one()]);
        }
    }
}
