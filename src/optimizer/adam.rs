//! Adam: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², q ← q − η·m̂/(√v̂ + ε), m̂ = m/(1−β₁^t), v̂ = v/(1−β₂^t).
//! Source: Kingma & Ba 2015. Dense: untouched rows keep moving while m fades. Lazy: only rows looked up move; the bias
//! correction still counts the steps of the run.

use serde::{Deserialize, Serialize};

use super::{Decay, Method, Rule, Schedule, State, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Where ε stands: added to √v̂ after the bias correction, or to √v before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EpsilonPlace {
    /// √v̂ + ε (the paper's algorithm, PyTorch, optax).
    #[default]
    Corrected,
    /// √v + ε, with η·√(1−β₂^t)/(1−β₁^t) as rate (TensorFlow, Keras).
    Uncorrected,
}

/// Adam, dense or lazy; with decoupled decay it is AdamW.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adam {
    /// η_t.
    pub lr: Schedule,
    /// β₁ and β₂.
    #[serde(default = "betas")]
    pub betas: (f64, f64),
    /// ε.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Where ε stands.
    #[serde(default)]
    pub epsilon_place: EpsilonPlace,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

fn betas() -> (f64, f64) {
    (0.9, 0.999)
}

fn epsilon() -> f64 {
    1e-8
}

impl Adam {
    /// Adam with the paper's settings and this learning rate.
    pub fn with_rate(lr: impl Into<Schedule>) -> Self {
        Adam {
            lr: lr.into(),
            betas: betas(),
            epsilon: epsilon(),
            epsilon_place: EpsilonPlace::default(),
            decay: None,
            rows: Rows::Dense,
        }
    }
}

impl Method for Adam {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Moments {
            beta1: number(self.betas.0),
            beta2: number(self.betas.1),
            epsilon: number(self.epsilon),
            place: self.epsilon_place,
            first: State::<F>::zeros(rows, width),
            second: State::<F>::zeros(rows, width),
        })
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("adam".into());
        declared.betas = Some(self.betas);
        declared.eps = Some(self.epsilon);
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoCoordinateScaling => {
                Status::Unmet("Adam scales coordinate by coordinate".into())
            }
            Condition::NoMomentum => Status::Unmet(format!("Adam remembers gradients (β₁ = {})", self.betas.0)),
            _ => Status::Met("not concerned".into()),
        }
    }
}

struct Moments<F> {
    beta1: F,
    beta2: F,
    epsilon: F,
    place: EpsilonPlace,
    first: State<F>,
    second: State<F>,
}

impl<F: Real> Rule<F> for Moments<F> {
    fn apply(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let (beta1, beta2, epsilon) = (self.beta1.clone(), self.beta2.clone(), self.epsilon.clone());
        let correction = |beta: &F| F::one() - power(beta.clone(), time + 1);
        let (correction1, correction2) = (correction(&beta1), correction(&beta2).sqrt());
        let moments = self.first.row(row).iter_mut().zip(self.second.row(row));
        for ((q, (m, v)), g) in parameters.iter_mut().zip(moments).zip(gradient) {
            *m = beta1.clone() * m.clone() + (F::one() - beta1.clone()) * g.clone();
            *v = beta2.clone() * v.clone() + (F::one() - beta2.clone()) * (g.clone() * g.clone());
            let root = v.clone().sqrt();
            let (numerator, denominator) = match self.place {
                EpsilonPlace::Corrected => {
                    (m.clone() / correction1.clone(), root / correction2.clone() + epsilon.clone())
                }
                EpsilonPlace::Uncorrected => {
                    (m.clone() * correction2.clone() / correction1.clone(), root + epsilon.clone())
                }
            };
            // 0/0 where neither a gradient nor an epsilon ever arrived: the coordinate stays.
            if denominator != F::zero() {
                *q = q.clone() - rate.clone() * (numerator / denominator);
            }
        }
    }
}

/// baseⁿ by squaring.
fn power<F: Real>(mut base: F, mut exponent: u64) -> F {
    let mut result = F::one();
    while exponent > 0 {
        if exponent & 1 == 1 {
            result = result * base.clone();
        }
        base = base.clone() * base;
        exponent >>= 1;
    }
    result
}
