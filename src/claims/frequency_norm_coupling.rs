//! # Frequency–norm coupling
//!
//! The norm follows what a row's gradients add up to, hence how often it is trained. With the bounds of `quartic-growth`,
//! lower_i ≤ ‖q_i‖⁴ ≤ upper_i,
//!
//! ```text
//! lower_i > upper_j   ⇒   ‖q_i‖ > ‖q_j‖
//! ```
//!
//! and for equal starts and s² between s_min² and s_max² this orders every two rows whose numbers of touches differ by
//! more than s_max²/s_min². The law couples the norm to Σs², *not* to the count: a row that is already aligned is touched
//! and never grows. So only the pairs that the bounds order are judged; how many these are is reported, with Spearman's
//! correlation of the norm with the touches and with Σs² beside it.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian, PrivateParameters, ScalarStep, FreshGradient, NoEpsilon.
//! *Shapes*: one number a row. *Judged*: pairs of rows.
//! *Allowed residual*: what rounding can have changed in the two fourth powers.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam; stale gradients; an
//! active epsilon. *Controls that must not*: a schedule, a deep user tower trained by Adam.
//! *Proof*: proofs/theories/FrequencyNormCoupling.v.
//! *Source*: derived here.

use super::quartic_growth::{bounds, slack};
use super::specimen::{self, Specimen};
use super::update_orthogonality::{declare_as_table_sgd, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, UNKNOWN_RATE};
use crate::condition::Condition;
use crate::facts::{Context, Facts, RowSummary};
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::statistics::spearman;
use crate::verdict::{Observation, Observed, Place};

/// Rows that the bounds order are ordered so.
pub struct FrequencyNormCoupling;

const DERIVATION: &str =
    "the two rows' slacks: what rounding can have changed in ‖q_i‖⁴ and ‖q_j‖⁴ (see quartic-growth)";

/// A row with its bounds, slack taken off and added.
struct Bounded {
    row: u64,
    lower: f64,
    upper: f64,
    slack: f64,
    summary: RowSummary,
}

impl FrequencyNormCoupling {
    fn judge(rows: &[Bounded]) -> Observation {
        let mut by_upper: Vec<&Bounded> = rows.iter().collect();
        by_upper.sort_by(|a, b| a.upper.total_cmp(&b.upper));
        let mut by_lower: Vec<&Bounded> = rows.iter().collect();
        by_lower.sort_by(|a, b| a.lower.total_cmp(&b.lower));
        // For growing lower bounds the rows below them only become more; of those the longest is the one to beat.
        let (mut below, mut pairs, mut broken) = (0, 0_u64, 0_u64);
        let mut longest: Option<&Bounded> = None;
        let mut worst: Option<(f64, f64, u64)> = None;
        for row in by_lower {
            while below < by_upper.len() && by_upper[below].upper < row.lower {
                let candidate = by_upper[below];
                let reach = |row: &Bounded| row.summary.last - row.slack;
                if longest.is_none_or(|longest| reach(candidate) > reach(longest)) {
                    longest = Some(candidate);
                }
                below += 1;
            }
            pairs += below as u64;
            if let Some(other) = longest {
                let residual = other.summary.last - row.summary.last;
                let allowed = other.slack + row.slack;
                broken += u64::from(residual > allowed);
                if worst.is_none_or(|(r, a, _)| residual / allowed > r / a) {
                    worst = Some((residual, allowed, row.row));
                }
            }
        }
        let mut observation = Observation::inconclusive(DERIVATION, "no two rows are far enough apart to be ordered");
        if let Some((residual, allowed, row)) = worst {
            observation.residual = Some(residual);
            observation.allowed = Some(allowed);
            observation.place = Some(Place { step: 0, row });
            observation.judged = pairs;
            observation.observed = if broken > 0 { Observed::Breaks } else { Observed::Holds };
            let all = rows.len() as u64 * (rows.len() as u64 - 1) / 2;
            observation.note = format!("{pairs} of {all} pairs of rows are ordered by the bounds");
        }
        let norms: Vec<f64> = rows.iter().map(|row| row.summary.last).collect();
        for (what, of) in [
            ("touches", (|row: &RowSummary| row.touches as f64) as fn(&RowSummary) -> f64),
            ("Σs²", |row: &RowSummary| row.spherical_energy),
        ] {
            let values: Vec<f64> = rows.iter().map(|row| of(&row.summary)).collect();
            if let Some(correlation) = spearman(&values, &norms) {
                observation.note += &format!("; Spearman({what}, ‖q‖) = {correlation:.3}");
            }
        }
        observation
    }
}

const ABOUT: About = About {
    id: "frequency-norm-coupling",
    kind: Kind::Run,
    standing: Standing::Theorem,
    statement: "rows whose gradients add up to more end longer: lower_i > upper_j ⇒ ‖q_i‖ > ‖q_j‖",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("frequency_norm_coupling.rs"),
};

impl Claim for FrequencyNormCoupling {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn observe(&self, facts: &Facts, context: &Context) -> Observation {
        if context.sgd_rate(0).is_none() {
            return Observation::inconclusive(DERIVATION, UNKNOWN_RATE);
        }
        if !context.consecutive {
            return Observation::inconclusive(DERIVATION, "not every step was recorded");
        }
        if facts.rows.values().all(|row| row.touches == 0) {
            return Observation::inconclusive(DERIVATION, "no row had a gradient");
        }
        let rows: Vec<Bounded> = facts
            .rows
            .iter()
            .map(|(&row, summary)| {
                let (lower, upper) = bounds(summary);
                let slack = slack(summary);
                Bounded { row, lower: lower - slack, upper: upper + slack, slack, summary: *summary }
            })
            .collect();
        Self::judge(&rows)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        declare_as_table_sgd(&mut twins);
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("a warm-up schedule", specimen::warm_up),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
        ]
    }
}

theorem!(
    frequency_norm_coupling,
    FrequencyNormCoupling,
    "holds, 45 judged; norms 1.668013155 1.186564277 1.354420513"
);
