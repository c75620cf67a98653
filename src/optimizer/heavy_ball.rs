//! Heavy-ball momentum: p ← β·p + (1−δ)·g (p ← g at the first step), q ← q − η_t·p. Source: Polyak 1964.

use serde::{Deserialize, Serialize};

use super::{Decay, Memory, Method, Rule, Schedule, State, dense};
use crate::condition::Condition;
use crate::geometry::add_scaled;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// Heavy-ball momentum, dense (every row coasts) or lazy (only rows looked up move).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeavyBall {
    /// η_t.
    pub lr: Schedule,
    /// β in [0, 1).
    pub momentum: f64,
    /// δ: later gradients enter the buffer with weight 1−δ.
    #[serde(default)]
    pub dampening: f64,
    /// Weight decay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decay: Option<Decay>,
    /// Dense or lazy.
    #[serde(default = "dense")]
    pub rows: Rows,
}

impl HeavyBall {
    /// Momentum as a moving average, p ← β·p + (1−β)·g: heavy ball with dampening β. The average starts at the first
    /// gradient (p = g). One that starts at zero is (1−β) times the undampened buffer: heavy ball with the rate (1−β)·η.
    ///
    /// ```
    /// use perpend::optimizer::heavy_ball::HeavyBall;
    /// assert_eq!(HeavyBall::averaging(0.1, 0.9).dampening, 0.9);
    /// ```
    pub fn averaging(lr: impl Into<Schedule>, momentum: f64) -> Self {
        HeavyBall { lr: lr.into(), momentum, dampening: momentum, decay: None, rows: Rows::Dense }
    }

    /// Without momentum there is no buffer to dampen: the convention of the common frameworks.
    pub fn effective_dampening(&self) -> f64 {
        if self.momentum == 0.0 { 0.0 } else { self.dampening }
    }
}

/// A setting to six decimals: a measured one carries more digits than it means.
pub(super) fn shown(setting: f64) -> f64 {
    (setting * 1e6).round() / 1e6
}

pub(super) fn momentum_status(momentum: f64, condition: Condition) -> Status {
    match condition {
        Condition::ScalarStep | Condition::NoMomentum if momentum != 0.0 => {
            Status::Unmet(format!("momentum {}", shown(momentum)))
        }
        _ => Status::Met("momentum keeps one direction for all coordinates".into()),
    }
}

impl Method for HeavyBall {
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(Ball {
            momentum: number(self.momentum),
            weight: F::one() - number(self.effective_dampening()),
            buffer: State::zeros(rows, width),
            started: vec![false; rows],
        })
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("sgd".into());
        declared.momentum = Some(self.momentum);
        declared.dampening = Some(self.dampening);
        declared.nesterov = Some(false);
    }
    fn status(&self, condition: Condition) -> Status {
        momentum_status(self.momentum, condition)
    }
}

struct Ball<F> {
    momentum: F,
    weight: F,
    buffer: State<F>,
    started: Vec<bool>,
}

impl<F: Real> Rule<F> for Ball<F> {
    fn apply(&mut self, row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let buffer = self.buffer.row(row);
        // The first gradient enters whole, whatever the dampening: the convention of the common frameworks.
        let weight = if self.started[row] {
            self.weight.clone()
        } else {
            F::one()
        };
        self.started[row] = true;
        for (p, g) in buffer.iter_mut().zip(gradient) {
            *p = self.momentum.clone() * p.clone() + weight.clone() * g.clone();
        }
        add_scaled(parameters, -rate.clone(), buffer);
    }
    fn memory(&mut self, see: Memory<F>) {
        see("momentum", &mut self.buffer.values);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_shown_to_six_decimals() {
        assert_eq!([0.1234567, 0.9, 1234.5].map(shown), [0.123457, 0.9, 1234.5]);
    }
}
