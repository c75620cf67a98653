//! SGDP: momentum p ← β·p + (1−δ)g, its radial part taken out of the step: q ← q − η·(p − n⟨n, p⟩), n = q/(‖q‖ + ε); see
//! [`projection`](super::projection) for when. Decoupled decay is q ← (1 − ηλ·ratio/(1−β))q, as in the package. Source: Heo et al. 2021.

use serde::{Deserialize, Serialize};

use super::adam::epsilon;
use super::heavy_ball::shown;
use super::projection::{Projected, Projection};
use super::{Decay, Direction, Memory, Method, Rule, Schedule, State, decay::Form, dense};
use crate::condition::Condition;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// SGDP, dense or lazy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgdp {
    /// η_t.
    pub lr: Schedule,
    /// β in [0, 1).
    #[serde(default)]
    pub momentum: f64,
    /// Gradients enter the buffer with weight 1 − dampening, the first one too.
    #[serde(default)]
    pub dampening: f64,
    /// ε of the norms.
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

impl Method for Sgdp {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        let momentum = number(self.momentum);
        // A decoupled decay is divided by 1 − β: the package's way to decay as much as a coupled one would.
        let decay = Decay::numbers(self.decay.as_ref(), number).map(|(lambda, form)| match form {
            Form::Coupled => (lambda, form),
            Form::Decoupled => (lambda / (F::one() - momentum.clone()), form),
        });
        let base = Buffer { momentum, weight: F::one() - number(self.dampening), buffer: State::zeros(rows, width) };
        Box::new(Projected::new(base, &self.projection, number(self.epsilon), decay, number))
    }
    fn decays_itself(&self) -> bool {
        true
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("sgdp".into());
        declared.momentum = Some(self.momentum);
        declared.dampening = Some(self.dampening);
        declared.nesterov = Some(false);
        declared.eps = Some(self.epsilon);
        self.projection.declare(&mut declared.other);
    }
    fn status(&self, condition: Condition) -> Status {
        match condition {
            Condition::NoMomentum if self.momentum != 0.0 => {
                Status::Unmet(format!("momentum {}", shown(self.momentum)))
            }
            // Of parameters that are not the embedding themselves another direction than the embedding's is taken out.
            Condition::ScalarStep | Condition::NoCoordinateScaling => {
                Status::Unmet("the projection takes one direction out of the step".into())
            }
            _ => Status::Met("the projection keeps no memory".into()),
        }
    }
}

struct Buffer<F> {
    momentum: F,
    weight: F,
    buffer: State<F>,
}

impl<F: Real> Direction<F> for Buffer<F> {
    fn direction(&mut self, row: usize, _time: u64, gradient: &[F]) -> Vec<F> {
        let buffer = self.buffer.row(row);
        for (p, g) in buffer.iter_mut().zip(gradient) {
            *p = self.momentum.clone() * p.clone() + self.weight.clone() * g.clone();
        }
        buffer.to_vec()
    }
    fn memory(&mut self, see: Memory<F>) {
        see("momentum", &mut self.buffer.values);
    }
}
