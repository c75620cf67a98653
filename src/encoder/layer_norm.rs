//! A private row under layer normalisation (Ba, Kiros and Hinton 2016):
//!
//! ```text
//! x̂ = (E_i − mean)/√(var + ε),    q_i = γ ∘ x̂ + β    or    q_i = x̂
//! ```
//!
//! Without γ and β, ‖q‖² = d·var/(var + ε): √d for ε = 0 whatever is trained, so norms cannot grow; at var ≪ ε it is nearly
//! linear in E and they can. JJᵀ has the constant vector, and for ε = 0 also q, in its kernel. With γ and β, which all rows
//! share, every row moves when one is looked up.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constants, Encoder, Gradient, Place};
use crate::error::Result;
use crate::geometry::{Table, add_scaled, dot, norm_squared};
use crate::number::Real;
use crate::verdict::Status;

/// q_i = γ ∘ (E_i − mean)/√(var + ε) + β. Shapes: E, γ, β: `[d]`; mean and variance over the d coordinates of E_i.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LayerNorm {
    /// Whether there are γ and β (both trained, shared by all rows).
    pub affine: bool,
    /// ε, added to the variance.
    pub epsilon: f64,
}

impl Architecture for LayerNorm {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        let mut blocks = vec![Block::private("table", rows, dim)];
        if self.affine {
            blocks.extend(["gain", "bias"].map(|name| Block::shared(name, 1, dim)));
        }
        blocks
    }
    fn validate(&self, at: &str) -> Result<()> {
        super::at_least_zero(format!("{at}.epsilon"), self.epsilon)
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Unmet("a layer norm: JJᵀ has the constant vector in its kernel and is no multiple of I".into())
    }
    fn private_parameters(&self) -> Status {
        if self.affine {
            Status::Unmet("gain and bias of the layer norm are shared by all rows".into())
        } else {
            Status::Met("one table row a row".into())
        }
    }
    fn name(&self) -> &'static str {
        "layer-norm"
    }
    fn build<F: Real>(&self, place: Place, _constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Normalised { affine: self.affine, epsilon: F::from_f64(self.epsilon), first: place.own })
    }
}

struct Normalised<F> {
    affine: bool,
    epsilon: F,
    first: usize,
}

fn mean<F: Real>(x: &[F]) -> F {
    let sum = x.iter().cloned().reduce(|sum, x| sum + x).unwrap_or_else(F::zero);
    sum / F::ratio(x.len() as i64, 1)
}

/// x − mean(x).
fn centred<F: Real>(x: &[F]) -> Vec<F> {
    let mean = mean(x);
    x.iter().map(|x| x.clone() - mean.clone()).collect()
}

impl<F: Real> Normalised<F> {
    /// x̂ and √(var + ε).
    fn standardised(&self, x: &[F]) -> (Vec<F>, F) {
        let centred = centred(x);
        let variance = norm_squared(&centred) / F::ratio(x.len() as i64, 1);
        let deviation = (variance + self.epsilon.clone()).sqrt();
        (centred.into_iter().map(|x| x / deviation.clone()).collect(), deviation)
    }
}

impl<F: Real> Encoder<F> for Normalised<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let (standard, _) = self.standardised(tables[self.first].row(row));
        if !self.affine {
            return standard;
        }
        let affine = tables[self.first + 1].row(0).iter().zip(tables[self.first + 2].row(0));
        standard.into_iter().zip(affine).map(|(x, (gain, bias))| gain.clone() * x + bias.clone()).collect()
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let (standard, deviation) = self.standardised(tables[self.first].row(row));
        let mut g = upstream.to_vec();
        if self.affine {
            let gain = gradients[self.first + 1].accumulate(0);
            for ((place, g), x) in gain.iter_mut().zip(&g).zip(&standard) {
                *place = place.clone() + g.clone() * x.clone();
            }
            add_scaled(gradients[self.first + 2].accumulate(0), F::one(), upstream);
            for (g, gain) in g.iter_mut().zip(tables[self.first + 1].row(0)) {
                *g = g.clone() * gain.clone();
            }
        }
        // (g − mean(g) − x̂·⟨g, x̂⟩/d)/√(var + ε): what is constant or along x̂ has no effect, but for ε.
        let along = dot(&g, &standard) / F::ratio(g.len() as i64, 1);
        let mut below = centred(&g);
        add_scaled(&mut below, -along, &standard);
        add_scaled(gradients[self.first].accumulate(row), F::one() / deviation, &below);
    }
}
