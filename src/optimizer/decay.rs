//! Weight decay. Coupled: λq is added to the gradient before the rule sees it. Decoupled: q ← (1 − ηλ)q before the rule.

use serde::{Deserialize, Serialize};

use crate::number::Real;

/// Where the decay enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// g ← g + λq (L2 regularisation).
    Coupled,
    /// q ← (1 − ηλ)q, outside the rule (as in AdamW).
    Decoupled,
}

/// Weight decay λ. Whether it reaches rows that were not looked up is the optimizer's `rows` setting.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Decay {
    /// λ ≥ 0.
    pub rate: f64,
    /// Where it enters.
    pub form: Form,
}

impl Form {
    /// Applies the decay λ to a row and returns the gradient that the rule is to see.
    pub(super) fn apply<F: Real>(self, lambda: &F, rate: &F, parameters: &mut [F], gradient: &[F]) -> Vec<F> {
        match self {
            Form::Coupled => gradient
                .iter()
                .zip(parameters.iter())
                .map(|(g, q)| g.clone() + lambda.clone() * q.clone())
                .collect(),
            Form::Decoupled => {
                let kept = F::one() - rate.clone() * lambda.clone();
                for q in parameters {
                    *q = q.clone() * kept.clone();
                }
                gradient.to_vec()
            }
        }
    }
}
