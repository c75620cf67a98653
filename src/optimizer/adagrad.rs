//! Element-wise AdaGrad: G ← G + g², q ← q − η·g/(√G + ε), every coordinate with its own G. Source: Duchi et al. 2011.

use serde::{Deserialize, Serialize};

use super::{Decay, Memory, Method, Rule, Schedule, State, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Element-wise AdaGrad.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adagrad {
    /// η_t.
    pub lr: Schedule,
    /// ε.
    #[serde(default)]
    pub epsilon: f64,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Whether decay reaches rows that were not looked up.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl Method for Adagrad {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Elements { epsilon: number(self.epsilon), sums: State::zeros(rows, width) })
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("adagrad".into());
        declared.eps = Some(self.epsilon);
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoCoordinateScaling => {
                Status::Unmet("AdaGrad scales coordinate by coordinate".into())
            }
            _ => Status::Met("AdaGrad keeps no first moment".into()),
        }
    }
}

struct Elements<F> {
    epsilon: F,
    sums: State<F>,
}

impl<F: Real> Rule<F> for Elements<F> {
    fn apply(&mut self, row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        for ((q, sum), g) in parameters.iter_mut().zip(self.sums.row(row)).zip(gradient) {
            *sum = sum.clone() + g.clone() * g.clone();
            let denominator = sum.clone().sqrt() + self.epsilon.clone();
            // 0/0 where neither a gradient nor an epsilon ever arrived: the coordinate stays.
            if denominator != F::zero() {
                *q = q.clone() - rate.clone() * g.clone() / denominator;
            }
        }
    }
    fn memory(&mut self, see: Memory<F>) {
        see("sum", &mut self.sums.values);
    }
}
