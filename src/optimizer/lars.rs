//! LARS with a trust ratio of its own for every row: p ← β·p + η·r·g, q ← q − p, r = c·‖q‖/(‖g‖ + ε), r = 1 where q or g is
//! zero. Coupled decay is part of g when its norm is taken (optax; the paper adds the two norms). A scalar step if β = 0.
//! Source: You, Gitman & Ginsburg 2017, whose ratio is one a layer; one a row as embedding libraries do it.

use serde::{Deserialize, Serialize};

use super::heavy_ball::momentum_status;
use super::{Decay, Memory, Method, Rule, Schedule, State, dense};
use crate::condition::Condition;
use crate::geometry::{add_scaled, norm};
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// LARS, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lars {
    /// η_t.
    pub lr: Schedule,
    /// β in [0, 1).
    #[serde(default)]
    pub momentum: f64,
    /// c: the trust coefficient.
    #[serde(default = "trust")]
    pub trust: f64,
    /// ε.
    #[serde(default)]
    pub epsilon: f64,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

pub(super) fn trust() -> f64 {
    0.001
}

/// c·‖q‖/(‖step‖ + ε); 1 where either norm is zero.
pub(super) fn trust_ratio<F: Real>(trust: &F, parameters: &[F], step: &[F], epsilon: &F) -> F {
    let (length, size) = (norm(parameters), norm(step));
    if length == F::zero() || size == F::zero() {
        F::one()
    } else {
        trust.clone() * length / (size + epsilon.clone())
    }
}

impl Method for Lars {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Trusting {
            momentum: number(self.momentum),
            trust: number(self.trust),
            epsilon: number(self.epsilon),
            buffer: State::zeros(rows, width),
        })
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("lars".into());
        declared.momentum = Some(self.momentum);
        declared.nesterov = Some(false);
        declared.eps = Some(self.epsilon);
        declared.other.insert("trust_coefficient".into(), format!("{:?}", self.trust));
    }
    fn status(&self, condition: Condition) -> Status {
        momentum_status(self.momentum, condition)
    }
}

struct Trusting<F> {
    momentum: F,
    trust: F,
    epsilon: F,
    buffer: State<F>,
}

impl<F: Real> Rule<F> for Trusting<F> {
    fn apply(&mut self, row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let local = rate.clone() * trust_ratio(&self.trust, parameters, gradient, &self.epsilon);
        let buffer = self.buffer.row(row);
        for (p, g) in buffer.iter_mut().zip(gradient) {
            *p = self.momentum.clone() * p.clone() + local.clone() * g.clone();
        }
        add_scaled(parameters, -F::one(), buffer);
    }
    fn memory(&mut self, see: Memory<F>) {
        see("momentum", &mut self.buffer.values);
    }
}
