//! signSGD: q ← q − η·sign(g), coordinate by coordinate, sign(0) = 0. Source: Bernstein et al. 2018.

use serde::{Deserialize, Serialize};

use super::{Decay, Direction, Method, Rule, Schedule, Step, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// signSGD.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignSgd {
    /// η_t.
    pub lr: Schedule,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Whether decay reaches rows that were not looked up.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl Method for SignSgd {
    fn rule<F: Real>(&self, _rows: usize, _width: usize, _number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Step(Signs))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("signsgd".into());
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoCoordinateScaling => {
                Status::Unmet("signSGD keeps the sign of every coordinate alone".into())
            }
            _ => Status::Met("signSGD has no memory".into()),
        }
    }
}

struct Signs;

impl<F: Real> Direction<F> for Signs {
    fn direction(&mut self, _row: usize, _time: u64, gradient: &[F]) -> Vec<F> {
        gradient.iter().map(|g| g.clone().sign()).collect()
    }
}
