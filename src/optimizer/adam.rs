//! Adam: m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², q ← q − η·m̂/(√v̂ + ε), m̂ = m/(1−β₁^t), v̂ = v/(1−β₂^t).
//! Source: Kingma & Ba 2015. Dense: untouched rows keep moving while m fades. Lazy: only rows looked up move; the bias
//! correction still counts the steps of the run, as in PyTorch's SparseAdam and TensorFlow's LazyAdam: once it has faded, a row's
//! first step is η·(1−β₁)/√(1−β₂)·sign(g), 3.2 η with the usual settings.

use serde::{Deserialize, Serialize};

use super::decay::Form;
use super::{Decay, Direction, Memory, Method, Rule, Schedule, State, Step, dense};
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

/// Adam, dense or lazy; with decoupled decay it is AdamW ([`Adam::adamw`]).
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

pub(super) fn betas() -> (f64, f64) {
    (0.9, 0.999)
}

pub(super) fn epsilon() -> f64 {
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

    /// AdamW: Adam with decoupled decay, q ← (1 − ηλ)q before the step. Source: Loshchilov & Hutter 2019.
    pub fn adamw(lr: impl Into<Schedule>, decay: f64) -> Self {
        Adam { decay: Some(Decay { rate: decay, form: Form::Decoupled }), ..Adam::with_rate(lr) }
    }
}

impl Method for Adam {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Step(
            Moments::new(self.betas, self.epsilon, rows, width, number).with_epsilon_at(self.epsilon_place),
        ))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        let decoupled = self.decay.as_ref().is_some_and(|decay| decay.form == Form::Decoupled);
        declared.name = Some(if decoupled { "adamw" } else { "adam" }.into());
        declared.betas = Some(self.betas);
        declared.eps = Some(self.epsilon);
    }
    fn status(&self, condition: Condition) -> Status {
        adaptive_status("Adam", self.betas.0, condition)
    }
}

/// The status of a rule with Adam's two moments, both kept coordinate by coordinate.
pub(super) fn adaptive_status(name: &str, beta1: f64, condition: Condition) -> Status {
    match condition {
        Condition::ScalarStep | Condition::NoCoordinateScaling => {
            Status::Unmet(format!("{name} scales coordinate by coordinate"))
        }
        Condition::NoMomentum if beta1 != 0.0 => Status::Unmet(format!("{name} remembers gradients (β₁ = {beta1})")),
        _ => Status::Met("not concerned".into()),
    }
}

/// Adam's moments of every coordinate of a table.
pub(super) struct Moments<F> {
    beta1: F,
    beta2: F,
    epsilon: F,
    place: EpsilonPlace,
    first: State<F>,
    second: State<F>,
    /// The largest v so far, where the rule divides by that.
    largest: Option<State<F>>,
}

impl<F: Real> Moments<F> {
    /// Zero moments for `rows` × `width` parameters, ε after the bias correction.
    pub fn new(betas: (f64, f64), epsilon: f64, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Self {
        Moments {
            beta1: number(betas.0),
            beta2: number(betas.1),
            epsilon: number(epsilon),
            place: EpsilonPlace::Corrected,
            first: State::zeros(rows, width),
            second: State::zeros(rows, width),
            largest: None,
        }
    }

    fn with_epsilon_at(self, place: EpsilonPlace) -> Self {
        Moments { place, ..self }
    }

    /// Divides by the largest v so far.
    pub fn with_largest(self, rows: usize, width: usize) -> Self {
        Moments { largest: Some(State::zeros(rows, width)), ..self }
    }
}

impl<F: Real> Direction<F> for Moments<F> {
    /// m̂/(√v̂ + ε).
    fn direction(&mut self, row: usize, time: u64, gradient: &[F]) -> Vec<F> {
        let (beta1, beta2, epsilon) = (&self.beta1, &self.beta2, &self.epsilon);
        let (correction1, correction2) = (bias_correction(beta1, time), bias_correction(beta2, time).sqrt());
        let mut largest = self.largest.as_mut().map(|state| state.row(row).iter_mut());
        let moments = self.first.row(row).iter_mut().zip(self.second.row(row));
        let coordinate = |((m, v), g): ((&mut F, &mut F), &F)| {
            *m = beta1.clone() * m.clone() + (F::one() - beta1.clone()) * g.clone();
            *v = beta2.clone() * v.clone() + (F::one() - beta2.clone()) * (g.clone() * g.clone());
            let second = match largest.as_mut().and_then(Iterator::next) {
                None => v.clone(),
                Some(largest) => {
                    *largest = largest.clone().max(v.clone());
                    largest.clone()
                }
            };
            let root = second.sqrt();
            let (numerator, denominator) = match self.place {
                EpsilonPlace::Corrected => {
                    (m.clone() / correction1.clone(), root / correction2.clone() + epsilon.clone())
                }
                EpsilonPlace::Uncorrected => {
                    (m.clone() * correction2.clone() / correction1.clone(), root + epsilon.clone())
                }
            };
            // 0/0 where neither a gradient nor an epsilon ever arrived: the coordinate stays.
            if denominator == F::zero() {
                F::zero()
            } else {
                numerator / denominator
            }
        };
        moments.zip(gradient).map(coordinate).collect()
    }
    fn memory(&mut self, see: Memory<F>) {
        see("first-moment", &mut self.first.values);
        see("second-moment", &mut self.second.values);
        if let Some(largest) = &mut self.largest {
            see("largest-second-moment", &mut largest.values);
        }
    }
}

/// 1 − β^(time+1).
pub(super) fn bias_correction<F: Real>(beta: &F, time: u64) -> F {
    F::one() - power(beta.clone(), time + 1)
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
