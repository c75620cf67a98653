//! AdamP: Adam with the radial part taken out of the step: q ← q − η·(r − n⟨n, r⟩), r = m̂/(√v̂ + ε), n = q/(‖q‖ + ε); see
//! [`projection`](super::projection) for when. Decoupled decay is q ← (1 − ηλ·ratio)q. Source: Heo et al. 2021.

use serde::{Deserialize, Serialize};

use super::adam::{Moments, adaptive_status, betas, epsilon};
use super::projection::{Projected, Projection};
use super::{Decay, Method, Rule, Schedule, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// AdamP, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adamp {
    /// η_t.
    pub lr: Schedule,
    /// β₁ and β₂.
    #[serde(default = "betas")]
    pub betas: (f64, f64),
    /// ε of the denominator and of the norms.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// When the step is projected.
    #[serde(default)]
    pub projection: Projection,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl Method for Adamp {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        let base = Moments::new(self.betas, self.epsilon, rows, width, number);
        let decay = Decay::numbers(self.decay.as_ref(), number);
        Box::new(Projected::new(base, &self.projection, number(self.epsilon), decay, number))
    }
    fn decays_itself(&self) -> bool {
        true
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("adamp".into());
        declared.betas = Some(self.betas);
        declared.nesterov = Some(false);
        declared.eps = Some(self.epsilon);
        self.projection.declare(&mut declared.other);
    }
    fn status(&self, condition: Condition) -> Status {
        adaptive_status("AdamP", self.betas.0, condition)
    }
}
