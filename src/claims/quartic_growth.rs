//! # Quartic growth
//!
//! With plain SGD the fourth power of the norm grows by what the gradients add up to. Let s_t = ‖q_t‖·‖g_t‖ (the gradient
//! on the sphere, free of the norm), A_T = 2·Σ η_t²s_t², a = 2·max η_t²s_t². Then, for every T and any schedule,
//!
//! ```text
//! ‖q_0‖⁴ + A_T  ≤  ‖q_T‖⁴  ≤  ‖q_0‖⁴ + A_T + min( A_T·a/(4‖q_0‖⁴),  (a/4)(1 + a/‖q_0‖⁴)·ln(1 + A_T/‖q_0‖⁴) )
//! ```
//!
//! because ‖q'‖² = R + η²s²/R with R = ‖q‖². So the norm grows like n^{1/4} in the number of touches.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, ScalarStep without adaptivity,
//! FreshGradient, NoEpsilon.
//! *Shapes*: q, g: `[d]`.
//! *Allowed residual*: Σ_t of 2·max(‖q_t‖²,‖q_{t+1}‖²)·(what rounding can change in ‖q_{t+1}‖² against the exact step).
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; momentum; weight decay; Adam; stale
//! gradients; an active epsilon. *Controls that must not*: a schedule, a deep user tower trained by Adam.
//! *Looseness*: the first upper bound is 833 times, the second 14 times too large at η²s²/‖q_0‖⁴ = 10⁴; the smaller counts.
//! *Proof*: proofs/theories/QuarticGrowth.v.
//! *Source*: one-step form van Laarhoven 2017; two-sided explicit form derived here.

use super::specimen::{self, Specimen};
use super::update_orthogonality::{declare_as_table_sgd, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, UNKNOWN_RATE};
use crate::condition::Condition;
use crate::facts::{Context, Facts, Follow, Measure, Measured, RecordFacts, RowSummary, Watched};
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::verdict::Observation;

/// ‖q_T‖⁴ between its two bounds.
pub struct QuarticGrowth;

/// How the allowance is derived.
const DERIVATION: &str = "Σ_t 2·max(‖q_t‖²,‖q_{t+1}‖²)·δ_t, δ_t what rounding can change in ‖q_{t+1}‖² against the exact step: \
    2‖q'‖·‖e‖ + ‖e‖² of the storage error e, 2η times the gradient's allowance, and the f64 rounding of the check; the excess of \
    the upper bound times the same relative to ‖q_0‖⁴";

/// The excess of ‖q_T‖⁴ over its upper bound, or of the lower bound over it; negative where both hold.
pub(super) fn excess(row: &RowSummary) -> f64 {
    let (lower, upper) = bounds(row);
    (lower - row.last).max(row.last - upper)
}

/// The lower and the smaller upper bound on ‖q_T‖⁴.
pub(super) fn bounds(row: &RowSummary) -> (f64, f64) {
    let (start, sum, largest) = (row.initial, row.displacement, row.largest);
    let first = sum * (largest / (4.0 * start));
    let second = largest / 4.0 * (1.0 + largest / start) * (sum / start).ln_1p();
    (start + sum, start + sum + first.min(second))
}

/// What rounding can have changed in the comparison: the slack of ‖q_T‖⁴ itself, and that of the earlier norms, which
/// divide the excess of the upper bound.
pub(super) fn slack(row: &RowSummary) -> f64 {
    let (lower, upper) = bounds(row);
    row.slack + (upper - lower) * (row.slack / row.initial)
}

struct History(RowSummary, bool);

impl Follow for History {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        self.0.see(facts, context, !self.1);
        self.1 = true;
        context.sgd_rate(facts.record.step).filter(|_| context.consecutive)?;
        // Without a recorded gradient nothing says by how much the row should have grown.
        let gradient = facts.gradient_norm?;
        if !facts.moved() && gradient == 0.0 {
            return None;
        }
        Some(Measured::new(excess(&self.0), slack(&self.0), self.0.displacement))
    }
}

const ABOUT: About = About {
    id: "quartic-growth",
    kind: Kind::Run,
    standing: Standing::Theorem,
    statement: "‖q_T‖⁴ is ‖q_0‖⁴ + 2·Σ η_t²s_t² up to an explicit excess, s_t = ‖q_t‖‖g_t‖",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "one-step form van Laarhoven 2017; two-sided explicit form derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("quartic_growth.rs"),
};

impl Claim for QuarticGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        let measure = Measure::Run(Box::new(|_| Box::new(History(RowSummary::default(), false))));
        vec![Watched { id: ABOUT.id.into(), measure }]
    }
    fn observe(&self, facts: &Facts, context: &Context) -> Observation {
        if context.sgd_rate(0).is_none() {
            return Observation::inconclusive(DERIVATION, UNKNOWN_RATE);
        }
        let nothing = "nothing to judge: no gradients, or not every step was recorded";
        facts.tally(ABOUT.id).observe(DERIVATION, nothing)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        declare_as_table_sgd(&mut twins);
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("a warm-up schedule", specimen::warm_up),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
        ]
    }
}

theorem!(quartic_growth, QuarticGrowth, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod sides {
    use super::*;

    /// With ‖q_0‖⁴ = 1 and one step of A = a = 2: the lower bound is 3, the upper ones 4 and 3 + (3/2)·ln 3.
    #[test]
    fn quartic_growth_is_judged_from_both_sides() {
        let row =
            |last: f64| RowSummary { initial: 1.0, displacement: 2.0, largest: 2.0, last, ..RowSummary::default() };
        assert_eq!(bounds(&row(3.5)), (3.0, 4.0));
        assert_eq!((excess(&row(3.5)), excess(&row(2.5)), excess(&row(4.5))), (-0.5, 0.5, 0.5));
        // Many small steps: the logarithm is the smaller one.
        let many = RowSummary { initial: 1.0, displacement: 100.0, largest: 1.0, ..RowSummary::default() };
        assert_eq!(bounds(&many).1, 101.0 + 0.5 * 101.0_f64.ln());
    }
}
