//! # Displacement number
//!
//! By how much a row can have grown is one number without a unit: what its gradients add up to against where it started,
//!
//! ```text
//! 𝒟 = 2·Σ η_t²s_t² / ‖q_0‖⁴,   s_t = ‖q_t‖·‖g_t‖        (‖q_T‖/‖q_0‖)⁴ ≥ 1 + 𝒟
//! ```
//!
//! For constant η and s over n touches 𝒟 ≥ 1 from η* = ‖q_0‖²/(s·√(2n)) on: below that rate (or above that initial norm) norms
//! hardly move, and neither does their order. Not the rate, not the initial norm: only η/‖q_0‖² counts
//! (`dilation-equivariance`). Rows that start normally distributed differ in ‖q_0‖⁴ by √(8/d) of it, so popularity shows in the
//! norms once 𝒟 differs by that much from row to row; which pairs are then ordered is `frequency-norm-coupling`.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, ScalarStep without adaptivity,
//! FreshGradient, NoEpsilon.
//! *Shapes*: one number a row. *Dimensionless.*
//! *Allowed residual*: the slack of `quartic-growth` over ‖q_0‖⁴, + 4γ_{d+4} in f64·(1+𝒟) for the fourth powers and
//! their quotient.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam; stale gradients; an active
//! epsilon; the false variant: twice the number. *Controls that must not*: a schedule, a deep user tower trained by Adam, an
//! initial norm that hides all growth.
//! *Proof*: proofs/theories/DisplacementNumber.v.
//! *Source*: that the rate must beat the initial norm: the abstract of "Theoretical Grounds for Popularity Bias in Two-Tower
//! Models Trained with Cosine-Based Loss"; the number derived here.

use super::quartic_growth::slack;
use super::specimen::{self, Specimen};
use super::update_orthogonality::{declare_as_table_sgd, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, UNKNOWN_RATE, runs};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Context, Facts, Measured, RowSummary, Tally};
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::verdict::{Observation, Place};

/// (‖q_T‖/‖q_0‖)⁴ ≥ 1 + 𝒟.
pub struct DisplacementNumber;

const DERIVATION: &str = "(what rounding can have changed in ‖q_T‖⁴, see quartic-growth)/‖q_0‖⁴ + 4γ_{d+4} in f64·(1+𝒟) for the fourth powers and their quotient";

/// Judges every row's growth against 1 + 𝒟, `times` over.
fn judge(rows: &std::collections::BTreeMap<u64, RowSummary>, dim: usize, times: f64) -> Observation {
    let mut tally = Tally::default();
    let mut numbers = Vec::new();
    for (&row, summary) in rows.iter().filter(|(_, summary)| summary.touches > 0 && summary.initial > 0.0) {
        let number = times * summary.displacement / summary.initial;
        let residual = 1.0 + number - summary.last / summary.initial;
        let own = 4.0 * Precision::F64.gamma(dim + 4) * (1.0 + number);
        let allowed = slack(summary) / summary.initial + own;
        tally.judge(Place { step: 0, row }, &Measured::new(residual, allowed, number));
        numbers.push(number);
    }
    let mut observation = tally.observe(DERIVATION, "no row had a gradient");
    numbers.sort_by(f64::total_cmp);
    if let Some(median) = numbers.get(numbers.len() / 2) {
        let spread = (8.0 / dim as f64).sqrt();
        let note = format!(
            "median displacement number {median:.2e}; norms tell popularity where it differs by {spread:.2} or more"
        );
        let separator = if observation.note.is_empty() { "" } else { "; " };
        observation.note += &format!("{separator}{note}");
    }
    observation
}

/// False: twice the number.
fn twice(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    let rows = runs::row_summaries(&trainer.train(materialised)?, materialised)?;
    Ok(judge(&rows, materialised.scenario.dim, 2.0))
}

/// Starts a thousand times as long: no growth to see, and none missing.
fn far_out(seed: u64) -> Scenario {
    let mut scenario = specimen::plain(seed);
    scenario.item.initial = Initial::Normal { std: 500.0 };
    scenario
}

const ABOUT: About = About {
    id: "displacement-number",
    kind: Kind::Run,
    standing: Standing::Theorem,
    statement: "a row grows at least by the fourth root of 1 + 𝒟, 𝒟 = 2·Σ η_t²s_t²/‖q_0‖⁴",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "that the rate must beat the initial norm: the abstract of \"Theoretical Grounds for Popularity Bias in Two-Tower \
        Models Trained with Cosine-Based Loss\"; the number derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("displacement_number.rs"),
};

impl Claim for DisplacementNumber {
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
        judge(&facts.rows, context.dim, 1.0)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        declare_as_table_sgd(&mut twins);
        twins.push(Specimen::named("variant: twice the number", specimen::plain).judged_by(twice));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("a warm-up schedule", specimen::warm_up),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
            Specimen::named("an initial norm a thousand times as large", far_out),
        ]
    }
}

theorem!(
    displacement_number,
    DisplacementNumber,
    "holds, 10 judged; norms 1.668013155 1.186564277 1.354420513"
);

#[cfg(test)]
mod rows {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn rows_that_never_had_a_gradient_or_a_length_are_not_judged() {
        let judged = |touches: u64, initial: f64| {
            let row = RowSummary { touches, initial, last: initial, ..RowSummary::default() };
            judge(&BTreeMap::from([(0, row)]), 4, 1.0).judged
        };
        assert_eq!([judged(0, 1.0), judged(1, 0.0), judged(1, 1.0)], [0, 0, 1]);
    }
}
