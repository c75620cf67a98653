//! Contrastive margin loss: positives are pulled, negatives pushed while they are above a margin.
//!
//! ```text
//! L = (1/B) Σ_b [ 1 − s_b⁺ + w·mean_j max(0, s_bj − m) ]
//! ```
//!
//! over the candidates j of pair b but the positive; without any the second term is 0. At the kink the derivative is 0.
//!
//! *Shapes*: s_b: `[C]`. *Dimensionless.* *Source*: Mao et al. 2021 (SimpleX, cosine contrastive loss).

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, hinge, share};
use crate::number::Real;

/// The contrastive margin loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contrastive {
    /// m.
    pub margin: f64,
    /// w ≥ 0, the weight of the negatives.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

impl ObjectiveFunction for Contrastive {
    fn name(&self) -> &'static str {
        "contrastive"
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_finite("margin", self.margin).or(Problem::unless_at_least_zero("weight", self.weight))
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let (margin, weight) = (F::from_f64(self.margin), F::from_f64(self.weight));
        let share_of_pair = share::<F>(similarities.pairs());
        let mut loss = F::zero();
        for pair in 0..similarities.pairs() {
            let candidates = similarities.candidates(pair);
            let values = similarities.of(pair, &candidates);
            let target = candidates.target();
            let mut coefficients = vec![F::zero(); values.len()];
            loss = loss + (F::one() - values[target].clone()) * share_of_pair.clone();
            coefficients[target] = -share_of_pair.clone();
            let negatives: Vec<usize> = candidates.negatives().collect();
            if !negatives.is_empty() {
                let share = weight.clone() * share_of_pair.clone() * share::<F>(negatives.len());
                for place in negatives {
                    if let Some(value) = hinge(values[place].clone() - margin.clone()) {
                        loss = loss + value * share.clone();
                        coefficients[place] = share.clone();
                    }
                }
            }
            similarities.pull(pair, &candidates, &coefficients);
        }
        loss
    }
}
