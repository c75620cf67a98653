//! Nesterov momentum in the form of the common frameworks: p ← β·p + g, q ← q − η_t·(g + β·p).
//! Source: Nesterov 1983; Sutskever et al. 2013 for the form.

use serde::{Deserialize, Serialize};

use super::heavy_ball::momentum_status;
use super::{Decay, Memory, Method, Rule, Schedule, State, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Nesterov momentum, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nesterov {
    /// η_t.
    pub lr: Schedule,
    /// β in [0, 1).
    pub momentum: f64,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl Method for Nesterov {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(LookAhead { momentum: number(self.momentum), buffer: State::zeros(rows, width) })
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("sgd".into());
        declared.momentum = Some(self.momentum);
        declared.nesterov = Some(true);
    }
    fn status(&self, condition: Condition) -> Status {
        momentum_status(self.momentum, condition)
    }
}

struct LookAhead<F> {
    momentum: F,
    buffer: State<F>,
}

impl<F: Real> Rule<F> for LookAhead<F> {
    fn apply(&mut self, row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        for ((q, p), g) in parameters.iter_mut().zip(self.buffer.row(row)).zip(gradient) {
            *p = self.momentum.clone() * p.clone() + g.clone();
            let ahead = g.clone() + self.momentum.clone() * p.clone();
            *q = q.clone() - rate.clone() * ahead;
        }
    }
    fn memory(&mut self, see: Memory<F>) {
        see("momentum", &mut self.buffer.values);
    }
}
