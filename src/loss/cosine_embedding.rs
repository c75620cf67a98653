//! Cosine-embedding loss: 1 − s for positives and max(0, s − m) for negatives, all weighted equally.
//!
//! ```text
//! L = (1/n) Σ_b [ 1 − s_b⁺ + Σ_j max(0, s_bj − m) ],    n = number of terms of the whole batch
//! ```
//!
//! over the candidates j of pair b but the positive. At the kink the derivative is 0. With ε = 10⁻¹² on `add-norm2` it is
//! what `torch.nn.CosineEmbeddingLoss` computes (whose derivative at the kink is 1).
//!
//! *Shapes*: s_b: `[C]`. *Dimensionless.* *Source*: documentation of PyTorch.

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, hinge, share};
use crate::number::Real;

/// The cosine-embedding loss.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CosineEmbedding {
    /// m.
    #[serde(default)]
    pub margin: f64,
}

impl ObjectiveFunction for CosineEmbedding {
    fn name(&self) -> &'static str {
        "cosine-embedding"
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_finite("margin", self.margin)
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let margin = F::from_f64(self.margin);
        let terms = |pair| 1 + similarities.candidates(pair).negatives().count();
        let share = share::<F>((0..similarities.pairs()).map(terms).sum());
        let mut loss = F::zero();
        for pair in 0..similarities.pairs() {
            let candidates = similarities.candidates(pair);
            let values = similarities.of(pair, &candidates);
            let target = candidates.target();
            let mut coefficients = vec![F::zero(); values.len()];
            loss = loss + (F::one() - values[target].clone()) * share.clone();
            coefficients[target] = -share.clone();
            for place in candidates.negatives() {
                if let Some(value) = hinge(values[place].clone() - margin.clone()) {
                    loss = loss + value * share.clone();
                    coefficients[place] = share.clone();
                }
            }
            similarities.pull(pair, &candidates, &coefficients);
        }
        loss
    }
}
