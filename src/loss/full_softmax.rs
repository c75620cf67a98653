//! Full softmax: cross-entropy of the positive among all items.
//!
//! ```text
//! L = (1/B) Σ_b [ logsumexp_i(s(u_b, q_i)/τ) − s(u_b, q_t(b))/τ ],    i over all items
//! ```
//!
//! The candidates of a pair are its own positive and all items, in which the positive's second appearance is masked: the same
//! sum, with the positive's gradient arriving in the pair's own slot.
//!
//! *Shapes*: s_b: `[N + 1]`. *Dimensionless.* *Source*: multinomial logistic regression, for recommenders Covington et al. 2016.

use serde::{Deserialize, Serialize};

use super::info_nce::{softmax_loss, softmax_steepness};
use super::{ObjectiveFunction, Problem, Similarities, Steepness};
use crate::number::Real;

/// Full softmax with a temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FullSoftmax {
    /// τ > 0.
    pub temperature: f64,
}

impl ObjectiveFunction for FullSoftmax {
    fn name(&self) -> &'static str {
        "full-softmax"
    }
    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_positive("temperature", self.temperature)
    }
    fn wants_all_items(&self) -> bool {
        true
    }
    fn steepness(&self) -> Option<Steepness> {
        Some(softmax_steepness(self.temperature))
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        softmax_loss(similarities, self.temperature, false, Similarities::candidates_without_duplicates)
    }
}
