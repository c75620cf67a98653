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

impl Decay {
    /// λ as a number, with its form; None where nothing decays.
    pub(super) fn numbers<F: Real>(decay: Option<&Decay>, number: &dyn Fn(f64) -> F) -> Option<(F, Form)> {
        decay.filter(|decay| decay.rate != 0.0).map(|decay| (number(decay.rate), decay.form))
    }
}

/// g + λq where the decay is coupled, else g.
pub(super) fn coupled<F: Real>(decay: Option<&(F, Form)>, parameters: &[F], gradient: &[F]) -> Vec<F> {
    let mut gradient = gradient.to_vec();
    if let Some((lambda, Form::Coupled)) = decay {
        for (g, q) in gradient.iter_mut().zip(parameters) {
            *g = g.clone() + lambda.clone() * q.clone();
        }
    }
    gradient
}

impl Form {
    /// Applies the decay λ to a row and returns the gradient that the rule is to see.
    pub(super) fn apply<F: Real>(self, lambda: &F, rate: &F, parameters: &mut [F], gradient: &[F]) -> Vec<F> {
        match self {
            Form::Coupled => coupled(Some(&(lambda.clone(), self)), parameters, gradient),
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
