//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// η as a function of the step.
///
/// ```
/// use perpend::optimizer::Schedule;
/// let warm_up = Schedule::Warmup { from: 0.0, to: 0.1, steps: 10 };
/// assert_eq!((warm_up.at(0), warm_up.at(5), warm_up.at(50)), (0.0, 0.05, 0.1));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub enum Schedule {
    /// The same η in every step.
    Constant(f64),
    /// η_t given one by one; the last value stays.
    List(Vec<f64>),
    /// From `from` to `to` in equal increments over `steps` steps, then `to`.
    Warmup {
        /// η at step 0.
        from: f64,
        /// η from step `steps` on.
        to: f64,
        /// Length of the warm-up.
        steps: u64,
    },
    /// η_t = start·factor^t.
    Exponential {
        /// η at step 0.
        start: f64,
        /// Ratio of successive rates.
        factor: f64,
    },
}

impl Schedule {
    /// η at a step.
    pub fn at(&self, time: u64) -> f64 {
        match self {
            Schedule::Constant(rate) => *rate,
            Schedule::List(rates) => rates.get(time as usize).or(rates.last()).copied().unwrap_or(0.0),
            Schedule::Warmup { to, steps, .. } if time >= *steps => *to,
            Schedule::Warmup { from, to, steps } => from + (to - from) * (time as f64 / *steps as f64),
            Schedule::Exponential { start, factor } => start * factor.powf(time as f64),
        }
    }

    /// Multiplies every rate.
    pub fn scale(&mut self, factor: f64) {
        match self {
            Schedule::Constant(rate) => *rate *= factor,
            Schedule::List(rates) => rates.iter_mut().for_each(|rate| *rate *= factor),
            Schedule::Warmup { from, to, .. } => {
                *from *= factor;
                *to *= factor;
            }
            Schedule::Exponential { start, .. } => *start *= factor,
        }
    }

    /// The rates that a scenario may hold: finite and not negative.
    pub(crate) fn problem(&self) -> Option<String> {
        let fine = |rate: f64| rate.is_finite() && rate >= 0.0;
        let bad = match self {
            Schedule::Constant(rate) => (!fine(*rate)).then_some(*rate),
            Schedule::List(rates) if rates.is_empty() => return Some("an empty list".into()),
            Schedule::List(rates) => rates.iter().copied().find(|&rate| !fine(rate)),
            Schedule::Warmup { from, to, .. } => [*from, *to].into_iter().find(|&rate| !fine(rate)),
            Schedule::Exponential { start, factor } => [*start, *factor].into_iter().find(|&rate| !fine(rate)),
        };
        bad.map(|rate| rate.to_string())
    }
}

impl From<f64> for Schedule {
    fn from(rate: f64) -> Self {
        Schedule::Constant(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_finite_and_not_negative_and_there_is_one() {
        let problem = |schedule: Schedule| schedule.problem();
        assert_eq!(problem(Schedule::List(vec![])).as_deref(), Some("an empty list"));
        assert_eq!(problem(Schedule::List(vec![0.5, -1.0])).as_deref(), Some("-1"));
        assert_eq!(problem(Schedule::Constant(f64::NAN)).as_deref(), Some("NaN"));
        assert_eq!(problem(Schedule::Warmup { from: 0.0, to: f64::INFINITY, steps: 2 }).as_deref(), Some("inf"));
        assert_eq!(problem(Schedule::Exponential { start: 1.0, factor: -0.5 }).as_deref(), Some("-0.5"));
        assert_eq!(problem(Schedule::List(vec![0.0, 0.5])), None);
    }
}
