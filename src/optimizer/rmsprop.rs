//! RMSprop: v ← α·v + (1−α)·g², q ← q − η·g/(√v + ε), coordinate by coordinate. No first moment, no bias correction, not centred.
//! Dense: v fades also where no gradient arrives. Lazy: it waits. Source: Tieleman & Hinton 2012; ε as in PyTorch.

use serde::{Deserialize, Serialize};

use super::adam::epsilon;
use super::{Decay, Direction, Memory, Method, Rule, Schedule, State, Step, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// RMSprop, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rmsprop {
    /// η_t.
    pub lr: Schedule,
    /// α in [0, 1): what a step keeps of the mean square.
    #[serde(default = "alpha")]
    pub alpha: f64,
    /// ε.
    #[serde(default = "epsilon")]
    pub epsilon: f64,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

pub(super) fn alpha() -> f64 {
    0.99
}

impl Method for Rmsprop {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Step(MeanSquares {
            alpha: number(self.alpha),
            epsilon: number(self.epsilon),
            mean: State::zeros(rows, width),
        }))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("rmsprop".into());
        declared.eps = Some(self.epsilon);
        declared.other.insert("alpha".into(), format!("{:?}", self.alpha));
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoCoordinateScaling => {
                Status::Unmet("RMSprop scales coordinate by coordinate".into())
            }
            _ => Status::Met("RMSprop keeps no first moment".into()),
        }
    }
}

struct MeanSquares<F> {
    alpha: F,
    epsilon: F,
    mean: State<F>,
}

impl<F: Real> Direction<F> for MeanSquares<F> {
    fn direction(&mut self, row: usize, _time: u64, gradient: &[F]) -> Vec<F> {
        let (alpha, epsilon) = (&self.alpha, &self.epsilon);
        let coordinate = |(v, g): (&mut F, &F)| {
            *v = alpha.clone() * v.clone() + (F::one() - alpha.clone()) * (g.clone() * g.clone());
            let denominator = v.clone().sqrt() + epsilon.clone();
            // 0/0 where neither a gradient nor an epsilon ever arrived: the coordinate stays.
            if denominator == F::zero() {
                F::zero()
            } else {
                g.clone() / denominator
            }
        };
        self.mean.row(row).iter_mut().zip(gradient).map(coordinate).collect()
    }
    fn memory(&mut self, see: Memory<F>) {
        see("second-moment", &mut self.mean.values);
    }
}
