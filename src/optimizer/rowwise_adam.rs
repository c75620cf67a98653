//! Adam with a row-wise second moment: m ← β₁m + (1−β₁)g in every coordinate, v ← β₂v + (1−β₂)·mean(g²) once a row,
//! q ← q − η·m̂/(√v̂ + ε). The step is a scalar times a memory of gradients, so the norm never shrinks where every gradient is
//! tangent; the step itself is not orthogonal. Source: "partial row-wise Adam" of embedding libraries; growth derived here.

use serde::{Deserialize, Serialize};

use super::adam::{betas, bias_correction, epsilon};
use super::{Decay, Direction, Memory, Method, Rule, Schedule, State, Step, dense};
use crate::condition::Condition;
use crate::geometry::norm_squared;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Adam with one second moment a row, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowwiseAdam {
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

impl Method for RowwiseAdam {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Step(RowMoments {
            beta1: number(self.betas.0),
            beta2: number(self.betas.1),
            epsilon: number(self.epsilon),
            first: State::zeros(rows, width),
            second: vec![F::zero(); rows],
        }))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("partial-rowwise-adam".into());
        declared.betas = Some(self.betas);
        declared.eps = Some(self.epsilon);
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoMomentum if self.betas.0 != 0.0 => {
                Status::Unmet(format!("row-wise Adam remembers gradients (β₁ = {})", self.betas.0))
            }
            _ => Status::Met("row-wise Adam scales all coordinates of a row alike".into()),
        }
    }
}

struct RowMoments<F> {
    beta1: F,
    beta2: F,
    epsilon: F,
    first: State<F>,
    second: Vec<F>,
}

impl<F: Real> Direction<F> for RowMoments<F> {
    fn direction(&mut self, row: usize, time: u64, gradient: &[F]) -> Vec<F> {
        let (beta1, beta2) = (&self.beta1, &self.beta2);
        let mean = norm_squared(gradient) / F::ratio(gradient.len() as i64, 1);
        let v = beta2.clone() * self.second[row].clone() + (F::one() - beta2.clone()) * mean;
        self.second[row] = v.clone();
        let denominator = (v / bias_correction(beta2, time)).sqrt() + self.epsilon.clone();
        let correction = bias_correction(beta1, time);
        let coordinate = |(m, g): (&mut F, &F)| {
            *m = beta1.clone() * m.clone() + (F::one() - beta1.clone()) * g.clone();
            // 0/0 where neither a gradient nor an epsilon ever arrived: the row stays.
            if denominator == F::zero() {
                F::zero()
            } else {
                m.clone() / correction.clone() / denominator.clone()
            }
        };
        self.first.row(row).iter_mut().zip(gradient).map(coordinate).collect()
    }
    fn memory(&mut self, see: Memory<F>) {
        see("first-moment", &mut self.first.values);
        see("second-moment", &mut self.second);
    }
}
