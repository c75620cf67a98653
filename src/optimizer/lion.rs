//! Lion: q ← q − η·sign(β₁m + (1−β₁)g), then m ← β₂m + (1−β₂)g. Its decay is decoupled. Source: Chen et al. 2023.

use serde::{Deserialize, Serialize};

use super::{Decay, Direction, Memory, Method, Rule, Schedule, State, Step, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Lion, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lion {
    /// η_t.
    pub lr: Schedule,
    /// β₁ of the step and β₂ of the memory.
    #[serde(default = "betas")]
    pub betas: (f64, f64),
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

pub(super) fn betas() -> (f64, f64) {
    (0.9, 0.99)
}

impl Method for Lion {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Step(SignOfMemory {
            beta1: number(self.betas.0),
            beta2: number(self.betas.1),
            memory: State::zeros(rows, width),
        }))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("lion".into());
        declared.betas = Some(self.betas);
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::ScalarStep | Condition::NoCoordinateScaling => {
                Status::Unmet("Lion keeps the sign of every coordinate alone".into())
            }
            Condition::NoMomentum if self.betas.0 != 0.0 => {
                Status::Unmet(format!("Lion remembers gradients (β₁ = {})", self.betas.0))
            }
            _ => Status::Met("not concerned".into()),
        }
    }
}

struct SignOfMemory<F> {
    beta1: F,
    beta2: F,
    memory: State<F>,
}

impl<F: Real> Direction<F> for SignOfMemory<F> {
    fn direction(&mut self, row: usize, _time: u64, gradient: &[F]) -> Vec<F> {
        let mix = |beta: &F, m: &F, g: &F| beta.clone() * m.clone() + (F::one() - beta.clone()) * g.clone();
        let coordinate = |(m, g): (&mut F, &F)| {
            let direction = mix(&self.beta1, m, g).sign();
            *m = mix(&self.beta2, m, g);
            direction
        };
        self.memory.row(row).iter_mut().zip(gradient).map(coordinate).collect()
    }
    fn memory(&mut self, see: Memory<F>) {
        see("first-moment", &mut self.memory.values);
    }
}
