//! Row-wise AdaGrad: G ← G + mean(g²), q ← q − η·g/(√G + ε), one G a row: a scalar step, so orthogonality survives and
//! the norm grows only logarithmically. Source: the "exact row-wise" variant of embedding libraries; growth law derived here.

use serde::{Deserialize, Serialize};

use super::{Decay, Memory, Method, Rule, Schedule, dense};
use crate::condition::Condition;
use crate::geometry::{add_scaled, norm_squared};
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// AdaGrad with one accumulator a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowwiseAdagrad {
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

impl Method for RowwiseAdagrad {
    fn rule<F: Real>(&self, rows: usize, _width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Accumulators { epsilon: number(self.epsilon), sums: vec![F::zero(); rows] })
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("rowwise-adagrad".into());
        declared.eps = Some(self.epsilon);
    }
    fn status(&self, _condition: Condition) -> Status {
        Status::Met("row-wise AdaGrad multiplies the gradient by one scalar a row".into())
    }
}

struct Accumulators<F> {
    epsilon: F,
    sums: Vec<F>,
}

impl<F: Real> Rule<F> for Accumulators<F> {
    fn apply(&mut self, row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let mean = norm_squared(gradient) / F::ratio(gradient.len() as i64, 1);
        self.sums[row] = self.sums[row].clone() + mean;
        let denominator = self.sums[row].clone().sqrt() + self.epsilon.clone();
        // 0/0 where neither a gradient nor an epsilon ever arrived: the row stays.
        if denominator != F::zero() {
            add_scaled(parameters, -(rate.clone() / denominator), gradient);
        }
    }
    fn memory(&mut self, see: Memory<F>) {
        see("sum", &mut self.sums);
    }
}
