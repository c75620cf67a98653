//! Bayesian personalised ranking: a positive shall be above each of its negatives.
//!
//! ```text
//! L = (1/B) Σ_b mean_j −ln σ((s_b⁺ − s_bj)/τ),    κ_bj = σ((s_bj − s_b⁺)/τ)/(B·M·τ),   κ_b⁺ = −Σ_j κ_bj
//! ```
//!
//! over the M candidates j of pair b but the positive; 0 where there are none.
//!
//! *Shapes*: s_b: `[C]`. *Dimensionless.* *Source*: Rendle et al. 2009, with a temperature for cosines.

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, Steepness, pairwise};
use crate::number::Real;

/// Bayesian personalised ranking with a temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bpr {
    /// τ > 0.
    pub temperature: f64,
}

/// ln(1 + eˣ) and its derivative σ(x), without overflow.
fn softplus<F: Real>(x: F) -> (F, F) {
    if x > F::zero() {
        let small = (-x.clone()).exp();
        (x + (F::one() + small.clone()).ln(), F::one() / (F::one() + small))
    } else {
        let small = x.exp();
        ((F::one() + small.clone()).ln(), small.clone() / (F::one() + small))
    }
}

impl ObjectiveFunction for Bpr {
    fn name(&self) -> &'static str {
        "bpr"
    }
    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_positive("temperature", self.temperature)
    }
    /// Σ|κ| ≤ 2/τ with the positive's share, and σ' ≤ 1/4 on differences of two similarities.
    fn steepness(&self) -> Option<Steepness> {
        let slope = 1.0 / self.temperature;
        Some(Steepness { slope: 2.0 * slope, curvature: slope * slope })
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let temperature = F::from_f64(self.temperature);
        pairwise(similarities, |difference| {
            let (value, slope) = softplus(difference / temperature.clone());
            (value, slope / temperature.clone())
        })
    }
}
