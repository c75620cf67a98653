//! LAMB with a trust ratio of its own for every row: r = m̂/(√v̂ + ε) + λq, q ← q − η·(‖q‖/‖r‖)·r, ratio 1 where q or r is zero.
//! Decoupled decay is the λq inside r; coupled decay is added to the gradient as everywhere. Source: You et al. 2020, whose ratio
//! is one a layer; one a row as embedding libraries do it.

use serde::{Deserialize, Serialize};

use super::adam::{Moments, adaptive_status, betas};
use super::decay::{Form, coupled};
use super::lars::trust_ratio;
use super::{Decay, Direction, Memory, Method, Rule, Schedule, dense};
use crate::condition::Condition;
use crate::geometry::add_scaled;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// LAMB, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lamb {
    /// η_t.
    pub lr: Schedule,
    /// β₁ and β₂.
    #[serde(default = "betas")]
    pub betas: (f64, f64),
    /// ε, after the bias correction.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

pub(super) fn epsilon() -> f64 {
    1e-6
}

impl Method for Lamb {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Trusting {
            moments: Moments::new(self.betas, self.epsilon, rows, width, number),
            decay: Decay::numbers(self.decay.as_ref(), number),
        })
    }
    fn decays_itself(&self) -> bool {
        true
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("lamb".into());
        declared.betas = Some(self.betas);
        declared.eps = Some(self.epsilon);
    }
    fn status(&self, condition: Condition) -> Status {
        adaptive_status("LAMB", self.betas.0, condition)
    }
}

struct Trusting<F> {
    moments: Moments<F>,
    decay: Option<(F, Form)>,
}

impl<F: Real> Rule<F> for Trusting<F> {
    fn apply(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let gradient = coupled(self.decay.as_ref(), parameters, gradient);
        let mut step = self.moments.direction(row, time, &gradient);
        if let Some((lambda, Form::Decoupled)) = &self.decay {
            add_scaled(&mut step, lambda.clone(), parameters);
        }
        let ratio = trust_ratio(&F::one(), parameters, &step, &F::zero());
        add_scaled(parameters, -(rate.clone() * ratio), &step);
    }
    fn memory(&mut self, see: Memory<F>) {
        self.moments.memory(see);
    }
}
