//! Inverted dropout with a recorded mask: q_i = m_i ∘ E_i, m either 0 or 1/(1−p), so JJᵀ = diag(m²). It is no multiple of
//! I, and yet harmless: q lies in the coordinates that are kept, on which JJᵀ = I/(1−p)², so that Δq = −η·g/(1−p)² there
//! and 0 elsewhere, exactly orthogonal under SGD. The mask is a constant of the row: the same in every step.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constant, Constants, Encoder, Form, Gradient, Place, Size};
use crate::error::{Error, Result};
use crate::geometry::Table;
use crate::number::Real;
use crate::verdict::Status;

/// q_i = m_i ∘ E_i. Shapes: E, m: `[d]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropout {
    /// p: the probability that a coordinate is dropped.
    pub rate: f64,
}

impl Dropout {
    /// 1/(1−p).
    pub fn kept(&self) -> f64 {
        1.0 / (1.0 - self.rate)
    }
}

impl Architecture for Dropout {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::private("table", rows, dim)]
    }
    fn constants(&self, size: Size) -> Vec<Constant> {
        vec![Constant::new("mask", size.dim, Form::Mask { kept: self.kept() })]
    }
    fn validate(&self, at: &str) -> Result<()> {
        if (0.0..1.0).contains(&self.rate) {
            Ok(())
        } else {
            Err(Error::input(format!("{at}.rate"), "a number of at least 0 and below 1", self.rate))
        }
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet(
            "JJᵀ = diag(m²) is no multiple of I where the mask drops; q is its eigenvector, so that a step of SGD is \
             orthogonal exactly"
                .into(),
        )
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one table row a row".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        Some(1)
    }
    fn name(&self) -> &'static str {
        "dropout"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Masked { first: place.own, mask: constants.rows })
    }
}

struct Masked<F> {
    first: usize,
    mask: Table<F>,
}

impl<F: Real> Encoder<F> for Masked<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let values = tables[self.first].row(row).iter().zip(self.mask.row(row));
        values.map(|(x, m)| m.clone() * x.clone()).collect()
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let gradient = gradients[self.first].accumulate(row).iter_mut();
        for ((place, g), m) in gradient.zip(upstream).zip(self.mask.row(row)) {
            *place = place.clone() + m.clone() * g.clone();
        }
    }
}
