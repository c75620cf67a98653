//! InfoNCE: softmax cross-entropy over one positive and its negatives.
//!
//! ```text
//! L = (1/B) Σ_b [ logsumexp_j(s_bj/τ − ln Q_j) − (s_b,t(b)/τ − ln Q_t(b)) ]
//! ```
//!
//! with s the similarity of user b and candidate j, τ the temperature, t(b) the positive, and Q_j the probability with which
//! the sampler brings item j among the candidates (the log-Q correction; absent by default). With p_b the softmax of the
//! logits, κ_bj = (p_bj − 1\[j = t(b)\])/(B·τ).
//!
//! *Shapes*: s_b: `[C]`. *Dimensionless.* *Source*: van den Oord et al. 2018; the correction: Yi et al. 2019; κ derived here.

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, Steepness, cross_entropy, share};
use crate::number::Real;
use crate::sampler::Candidates;

/// InfoNCE with a temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoNce {
    /// τ > 0.
    pub temperature: f64,
    /// Whether ln Q is subtracted from the logits.
    #[serde(default, skip_serializing_if = "super::is_default")]
    pub log_q: bool,
}

impl ObjectiveFunction for InfoNce {
    fn name(&self) -> &'static str {
        "info-nce"
    }
    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_positive("temperature", self.temperature)
    }
    fn wants_log_q(&self) -> bool {
        self.log_q
    }
    fn steepness(&self) -> Option<Steepness> {
        Some(softmax_steepness(self.temperature))
    }
    fn info_nce(&self) -> Option<&InfoNce> {
        Some(self)
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        softmax_loss(similarities, self.temperature, self.log_q, Similarities::candidates)
    }
}

/// Σ|p_j − 1\[j = t\]| ≤ 2 and Σ|dp_j| = Σ p_j|dx_j − Σp·dx| ≤ 2·max|dx| with x = s/τ. An item slot meets each of the B pairs
/// once, and no more than a share 1/B of each.
pub(super) fn softmax_steepness(temperature: f64) -> Steepness {
    Steepness { slope: 2.0 / temperature, curvature: 2.0 / (temperature * temperature) }
}

/// The mean over pairs of the softmax cross-entropy of their candidates.
pub(super) fn softmax_loss<F: Real>(
    similarities: &mut Similarities<F>,
    temperature: f64,
    log_q: bool,
    candidates: fn(&Similarities<F>, usize) -> Candidates,
) -> F {
    let temperature = F::from_f64(temperature);
    let share = share::<F>(similarities.pairs());
    let mut loss = F::zero();
    for pair in 0..similarities.pairs() {
        let candidates = candidates(similarities, pair);
        let mut logits = similarities.of(pair, &candidates);
        for logit in &mut logits {
            *logit = logit.clone() / temperature.clone();
        }
        if log_q {
            for (logit, slot) in logits.iter_mut().zip(candidates.slots()) {
                *logit = logit.clone() - F::from_f64(similarities.batch().log_q[slot]);
            }
        }
        let (entropy, mut residuals) = cross_entropy(&logits, &candidates);
        loss = loss + entropy * share.clone();
        for residual in &mut residuals {
            *residual = residual.clone() * share.clone() / temperature.clone();
        }
        similarities.pull(pair, &candidates, &residuals);
    }
    loss
}
