//! What the numbers say ([`Observation`]), whether a claim's hypotheses hold ([`Hypotheses`]), what follows
//! ([`Verdict`]), and the process exit codes ([`ExitCode`]). Enums throughout: a verdict is never a boolean.

use std::fmt;

use serde::Serialize;

use crate::condition::Condition;

/// What the numbers of a run say about a claim, regardless of its hypotheses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Observed {
    /// Every judged residual is within its allowance.
    Holds,
    /// At least one residual exceeds its allowance.
    Breaks,
    /// Nothing could be judged, or rounding is as large as what would have to be seen.
    Inconclusive,
}

/// A place in a trajectory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Zero-based step.
    pub step: u64,
    /// Row of the tower's table.
    pub row: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}, row {}", self.step, self.row)
    }
}

/// Quantiles of |cos| of an angle, read off a fixed-bin histogram (each is the upper edge of its bin).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// How many angles were binned.
    pub count: u64,
    /// 1st percentile.
    pub p01: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Largest.
    pub max: f64,
    /// How many of the angles point outward (positive cosine).
    pub outward: u64,
}

/// The distribution of |cos∠(q, v)| where v is a gradient or a step, beside the level that rounding alone reaches.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Angles {
    /// Rows looked up in the step.
    pub touched: Option<Quantiles>,
    /// Rows that moved without having been looked up.
    pub untouched: Option<Quantiles>,
    /// Median over the judged rows of the |cos| that rounding alone can produce.
    pub rounding_floor: Option<f64>,
}

/// What the numbers say about one claim on one tower.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Observation {
    /// Holds, breaks or inconclusive.
    pub observed: Observed,
    /// The residual at the worst place, on the scale of `allowed`.
    pub residual: Option<f64>,
    /// What was allowed at that place.
    pub allowed: Option<f64>,
    /// How `allowed` was derived.
    pub derivation: String,
    /// Energy-weighted leak: √(Σ⟨q̂,v⟩² / Σ‖v‖²) over the judged vectors v; dimensionless, between 0 and 1.
    pub leak: Option<f64>,
    /// Distribution of the angle between the embedding and the judged vector.
    pub angles: Option<Angles>,
    /// The worst place.
    pub place: Option<Place>,
    /// How many (step, row) pairs, rows or pairs of rows were judged.
    pub judged: u64,
    /// Smallest non-zero gradient norm among what was judged, so that a vacuous pass is visible.
    pub smallest_gradient: Option<f64>,
    /// One sentence: why it is inconclusive, or what is remarkable.
    pub note: String,
}

impl Observation {
    /// An observation that could not be made, with the reason.
    pub fn inconclusive(derivation: impl Into<String>, note: impl Into<String>) -> Self {
        Observation {
            observed: Observed::Inconclusive,
            residual: None,
            allowed: None,
            derivation: derivation.into(),
            leak: None,
            angles: None,
            place: None,
            judged: 0,
            smallest_gradient: None,
            note: note.into(),
        }
    }

    /// How many times the allowed residual was reached (0 where nothing was judged).
    pub fn margin(&self) -> f64 {
        match (self.residual, self.allowed) {
            (Some(residual), Some(allowed)) if allowed > 0.0 => residual / allowed,
            (Some(residual), Some(_)) if residual > 0.0 => f64::INFINITY,
            _ => 0.0,
        }
    }
}

/// Whether one condition holds for a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "status", content = "why")]
pub enum Status {
    /// It holds.
    Met(String),
    /// It does not hold, and why.
    Unmet(String),
    /// Nothing says whether it holds.
    Unknown(String),
}

/// Whether a claim's conditions hold, from the declared settings or from the diagnosis.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "status", content = "conditions")]
pub enum Hypotheses {
    /// All are met.
    Met,
    /// At least one is not met (which, and why).
    Unmet(Vec<(Condition, String)>),
    /// None is known to fail, but at least one is unknown (which, and why).
    Unknown(Vec<(Condition, String)>),
}

impl Hypotheses {
    /// Collects the status of several conditions; one unmet condition decides, then one unknown.
    pub fn collect(statuses: impl IntoIterator<Item = (Condition, Status)>) -> Self {
        let (mut unmet, mut unknown) = (Vec::new(), Vec::new());
        for (condition, status) in statuses {
            match status {
                Status::Met(_) => {}
                Status::Unmet(why) => unmet.push((condition, why)),
                Status::Unknown(why) => unknown.push((condition, why)),
            }
        }
        if !unmet.is_empty() {
            Hypotheses::Unmet(unmet)
        } else if !unknown.is_empty() {
            Hypotheses::Unknown(unknown)
        } else {
            Hypotheses::Met
        }
    }
}

/// The judgement on a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The hypotheses are met and the claim holds.
    Confirmed,
    /// The hypotheses are met and the claim breaks.
    Violated,
    /// A hypothesis is unmet, so the claim says nothing here; the observation stands beside it.
    Outside,
    /// A hypothesis is unknown, or the observation is inconclusive.
    Undecided,
}

impl Verdict {
    /// Judges an observation under its hypotheses.
    ///
    /// ```
    /// use perpend::verdict::{Hypotheses, Observed, Verdict};
    /// assert_eq!(Verdict::judge(Observed::Holds, &Hypotheses::Met), Verdict::Confirmed);
    /// assert_eq!(Verdict::judge(Observed::Breaks, &Hypotheses::Met), Verdict::Violated);
    /// assert_eq!(Verdict::judge(Observed::Holds, &Hypotheses::Unknown(vec![])), Verdict::Undecided);
    /// assert_eq!(Verdict::judge(Observed::Breaks, &Hypotheses::Unmet(vec![])), Verdict::Outside);
    /// ```
    pub fn judge(observed: Observed, hypotheses: &Hypotheses) -> Self {
        match (hypotheses, observed) {
            (Hypotheses::Unmet(_), _) => Verdict::Outside,
            (_, Observed::Inconclusive) | (Hypotheses::Unknown(_), _) => Verdict::Undecided,
            (Hypotheses::Met, Observed::Holds) => Verdict::Confirmed,
            (Hypotheses::Met, Observed::Breaks) => Verdict::Violated,
        }
    }
}

macro_rules! lowercase_display {
    ($($type:ty),*) => {$(
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!("{self:?}").to_lowercase())
            }
        }
    )*};
}
lowercase_display!(Observed, Verdict);

/// The process exit codes. For several runs the most serious one counts: 70 > 2 > 5 > 1 > 4 > 3 > 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ExitCode {
    /// Nothing violated, and something confirmed or outside its hypotheses.
    Success = 0,
    /// A claim is violated (with `--require`, also not confirmed), a fixture mismatched, or declared settings contradicted.
    Violated = 1,
    /// A bad flag, an unknown claim, an output that exists.
    Usage = 2,
    /// Undecided only.
    Undecided = 3,
    /// Nothing was checked.
    NothingChecked = 4,
    /// Unreadable or inconsistent input, a missing file included.
    Unreadable = 5,
    /// A state that the program should never reach.
    Internal = 70,
}

impl ExitCode {
    /// From the most serious to success.
    pub const PRECEDENCE: [ExitCode; 7] = [
        ExitCode::Internal,
        ExitCode::Usage,
        ExitCode::Unreadable,
        ExitCode::Violated,
        ExitCode::NothingChecked,
        ExitCode::Undecided,
        ExitCode::Success,
    ];

    /// The most serious of several codes; [`ExitCode::NothingChecked`] for none.
    ///
    /// ```
    /// use perpend::verdict::ExitCode;
    /// assert_eq!(ExitCode::worst([ExitCode::Success, ExitCode::Undecided]), ExitCode::Undecided);
    /// assert_eq!(ExitCode::worst([ExitCode::Violated, ExitCode::Unreadable]), ExitCode::Unreadable);
    /// assert_eq!(ExitCode::worst([]), ExitCode::NothingChecked);
    /// ```
    pub fn worst(codes: impl IntoIterator<Item = ExitCode>) -> ExitCode {
        let rank = |code: &ExitCode| Self::PRECEDENCE.iter().position(|other| other == code);
        codes.into_iter().min_by_key(rank).unwrap_or(ExitCode::NothingChecked)
    }

    /// The code that follows from the verdicts on one run.
    pub fn from_verdicts(verdicts: impl IntoIterator<Item = Verdict>) -> ExitCode {
        let (mut settled, mut undecided) = (false, false);
        for verdict in verdicts {
            match verdict {
                Verdict::Violated => return ExitCode::Violated,
                Verdict::Confirmed | Verdict::Outside => settled = true,
                Verdict::Undecided => undecided = true,
            }
        }
        match (settled, undecided) {
            (true, _) => ExitCode::Success,
            (false, true) => ExitCode::Undecided,
            (false, false) => ExitCode::NothingChecked,
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        std::process::ExitCode::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_unmet_condition_outweighs_unknown_ones() {
        let hypotheses = Hypotheses::collect([
            (Condition::CosineLoss, Status::Unknown("not declared".into())),
            (Condition::ScalarStep, Status::Unmet("momentum 0.9".into())),
        ]);
        assert_eq!(hypotheses, Hypotheses::Unmet(vec![(Condition::ScalarStep, "momentum 0.9".into())]));
    }

    #[test]
    fn an_inconclusive_observation_is_never_confirmed() {
        assert_eq!(Verdict::judge(Observed::Inconclusive, &Hypotheses::Met), Verdict::Undecided);
    }

    #[test]
    fn exit_codes_follow_the_documented_numbers() {
        let codes = [0, 1, 2, 3, 4, 5, 70];
        for code in ExitCode::PRECEDENCE {
            assert!(codes.contains(&(code as u8)));
        }
        assert_eq!(ExitCode::from_verdicts([Verdict::Outside, Verdict::Undecided]), ExitCode::Success);
        assert_eq!(ExitCode::from_verdicts([Verdict::Undecided]), ExitCode::Undecided);
        assert_eq!(ExitCode::from_verdicts([Verdict::Confirmed, Verdict::Violated]), ExitCode::Violated);
        assert_eq!(ExitCode::from_verdicts([]), ExitCode::NothingChecked);
    }

    #[test]
    fn a_margin_over_a_zero_allowance_is_infinite() {
        let mut observation = Observation::inconclusive("", "");
        assert_eq!(observation.margin(), 0.0);
        observation.residual = Some(1.0);
        observation.allowed = Some(0.0);
        assert_eq!(observation.margin(), f64::INFINITY);
    }
}
