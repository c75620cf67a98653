//! Plain stochastic gradient descent: q ← q − η_t·g.

use serde::{Deserialize, Serialize};

use super::{Decay, Method, Rule, Schedule, dense};
use crate::condition::Condition;
use crate::geometry::add_scaled;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Stochastic gradient descent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {
    /// η_t.
    pub lr: Schedule,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Whether decay reaches rows that were not looked up.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl Method for Sgd {
    fn rule<F: Real>(&self, _rows: usize, _width: usize, _number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Descent)
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("sgd".into());
        declared.momentum = Some(0.0);
        declared.nesterov = Some(false);
    }
    fn status(&self, _condition: Condition) -> Status {
        Status::Met("plain SGD multiplies the gradient by −η".into())
    }
}

struct Descent;

impl<F: Real> Rule<F> for Descent {
    fn apply(&mut self, _row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        add_scaled(parameters, -rate.clone(), gradient);
    }
}
