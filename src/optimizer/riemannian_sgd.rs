//! Riemannian SGD on the sphere of each row's initial norm r₀: the gradient's tangent part h = g − q⟨q,g⟩/‖q‖², a step, and the
//! retraction back to the stored norm: q ← r₀·(q − η·h)/‖q − η·h‖. Source: Absil, Mahony & Sepulchre 2008; Bonnabel 2013.

use serde::{Deserialize, Serialize};

use super::{Decay, Method, Rule, Schedule, dense};
use crate::condition::Condition;
use crate::geometry::{add_scaled, dot, norm_squared};
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Riemannian SGD. The retraction is a [`Constraint`](super::constraint::Constraint) on the stepper.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RiemannianSgd {
    /// η_t.
    pub lr: Schedule,
    /// Weight decay, which the retraction undoes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Whether decay reaches rows that were not looked up.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl Method for RiemannianSgd {
    fn rule<F: Real>(&self, _rows: usize, _width: usize, _number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(TangentStep)
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("riemannian-sgd".into());
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoDecay => {
                Status::Unmet("the retraction shrinks the row to its stored norm".into())
            }
            _ => Status::Met("one step on the sphere".into()),
        }
    }
}

struct TangentStep;

impl<F: Real> Rule<F> for TangentStep {
    fn apply(&mut self, _row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let squared = norm_squared(parameters);
        let mut tangent = gradient.to_vec();
        if squared != F::zero() {
            add_scaled(&mut tangent, -(dot(parameters, gradient) / squared), parameters);
        }
        add_scaled(parameters, -rate.clone(), &tangent);
    }
}
