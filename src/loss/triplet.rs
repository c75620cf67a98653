//! Triplet margin loss: a positive shall be above each of its negatives by a margin.
//!
//! ```text
//! L = (1/B) Σ_b mean_j max(0, m − s_b⁺ + s_bj)
//! ```
//!
//! over the candidates j of pair b but the positive; 0 where there are none. At the kink the derivative is 0.
//!
//! *Shapes*: s_b: `[C]`. *Dimensionless.* *Source*: Schroff et al. 2015 (FaceNet), on similarities.

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, hinge, pairwise};
use crate::number::Real;

/// The triplet margin loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Triplet {
    /// m ≥ 0.
    pub margin: f64,
}

impl ObjectiveFunction for Triplet {
    fn name(&self) -> &'static str {
        "triplet"
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_at_least_zero("margin", self.margin)
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let margin = F::from_f64(self.margin);
        pairwise(similarities, |difference| match hinge(margin.clone() + difference) {
            Some(value) => (value, F::one()),
            None => (F::zero(), F::zero()),
        })
    }
}
