//! AMSGrad: Adam with the largest v so far in the denominator: q ← q − η·m̂/(√(V/(1−β₂^t)) + ε), V ← max(V, v), coordinate by
//! coordinate. The maximum is of the uncorrected v, as in PyTorch. Source: Reddi, Kale & Kumar 2018, with Adam's bias correction.

use serde::{Deserialize, Serialize};

use super::adam::{Moments, adaptive_status, betas, epsilon};
use super::{Decay, Method, Rule, Schedule, Step, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// AMSGrad, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amsgrad {
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

impl Method for Amsgrad {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        let moments = Moments::new(self.betas, self.epsilon, rows, width, number);
        Box::new(Step(moments.with_largest(rows, width)))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("adam".into());
        declared.betas = Some(self.betas);
        declared.eps = Some(self.epsilon);
        declared.other.insert("amsgrad".into(), "true".into());
    }
    fn status(&self, condition: Condition) -> Status {
        adaptive_status("AMSGrad", self.betas.0, condition)
    }
}
