//! # Gradient-flow limit
//!
//! The flow dq/dt = −∇L keeps every norm: growth is what the step size adds. At a fixed training time, each step cut into k of
//! η/k,
//!
//! ```text
//! 0 ≤ ‖q_T‖⁴ − ‖q_0‖⁴ ≤ C/k,    C = 2·Σ_t η_t²S²·(1 + η_t²S²/(2‖q_0‖⁴)),   S = max ‖q‖·‖g‖ over the runs
//! ```
//!
//! so the growth of the norms vanishes with the rate, to first order, however long one trains in time η·n.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, ScalarStep without adaptivity,
//! FreshGradient, NoEpsilon.
//! *Shapes*: one number a row. *Judged*: every item row at k = 1 and k = 8, users held fixed.
//! *Allowed residual*: what rounding can have changed in ‖q_T‖⁴ (`quartic-growth`), + 4γ_{d+3} in f64 of the larger
//! fourth power for computing the two.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam; stale gradients; an active
//! epsilon; the false variant: growth vanishes with k². *Controls that must not*: a schedule, a deep user tower.
//! *Proof*: proofs/theories/GradientFlowLimit.v.
//! *Source*: that normalised weights keep their norm under gradient flow: Arora, Li & Lyu 2019; the explicit rate derived here.

use super::quartic_growth::slack;
use super::specimen::{self, Specimen};
use super::update_orthogonality::{declare_as_table_sgd, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, runs};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::norm_f64;
use crate::optimizer::Schedule;
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::{Side, Trajectory};
use crate::verdict::{Observation, Place};

/// ‖q_T‖⁴ − ‖q_0‖⁴ vanishes with the rate at fixed training time.
pub struct GradientFlowLimit;

const DERIVATION: &str = "what rounding can have changed in ‖q_T‖⁴, step by step (see quartic-growth) + 4γ_{d+3} in f64·max(‖q_0‖⁴,‖q_T‖⁴) for \
    the two fourth powers";

/// Into how many steps each step is cut.
const CUTS: [usize; 2] = [1, 8];

/// The same training time in k times as many steps, each batch k times in a row.
fn cut(scenario: &Scenario, k: usize) -> Scenario {
    let mut cut = scenario.clone();
    let each = |step: usize| std::iter::repeat_n(step, k);
    let schedule = scenario.item.optimizer.schedule();
    let rates = (0..scenario.steps).flat_map(each).map(|step| schedule.at(step as u64) / k as f64).collect();
    *cut.item.optimizer.schedule_mut() = Schedule::List(rates);
    cut.steps = scenario.steps * k;
    if let Some(batches) = &mut cut.batches {
        *batches = (0..scenario.steps).flat_map(each).map(|step| batches[step].clone()).collect();
    }
    cut
}

/// Raises every row's largest (‖q‖·‖g‖)² to that of a run.
fn raise(largest: &mut [f64], trajectory: &Trajectory) -> Result<()> {
    let tower = runs::tower(trajectory, Side::Item)?;
    tower.for_each(0..tower.rows(), &mut |record| {
        let spherical = norm_f64(record.q) * record.grad.map_or(0.0, norm_f64);
        largest[record.row] = largest[record.row].max(spherical * spherical);
        Ok(())
    })
}

fn examine_by(materialised: &Materialised, trainer: &dyn Trainer, vanishing: fn(f64) -> f64) -> Result<Observation> {
    let scenario = runs::with_fixed_users(materialised);
    let cuts = CUTS
        .into_iter()
        .map(|k| {
            let model = cut(&scenario, k).materialise()?;
            Ok((trainer.train(&model)?, model))
        })
        .collect::<Result<Vec<_>>>()?;
    let mut largest = vec![0.0; scenario.item.rows];
    for (trajectory, _) in &cuts {
        raise(&mut largest, trajectory)?;
    }
    let rates: Vec<f64> = (0..scenario.steps as u64).map(|t| scenario.item.optimizer.schedule().at(t)).collect();
    let mut tally = Tally::default();
    for (k, (trajectory, model)) in CUTS.into_iter().zip(&cuts) {
        for (row, summary) in runs::row_summaries(trajectory, model)? {
            let spherical = largest[row as usize];
            if spherical == 0.0 {
                continue;
            }
            let bound: f64 = rates
                .iter()
                .map(|rate| rate * rate * spherical)
                .map(|c| 2.0 * c * (1.0 + c / (2.0 * summary.initial)))
                .sum();
            let bound = bound / vanishing(k as f64);
            let growth = summary.last - summary.initial;
            let own = 4.0 * Precision::F64.gamma(scenario.dim + 3) * summary.initial.max(summary.last);
            let place = Place { step: trajectory.towers()[0].steps() as u64, row };
            tally.judge(place, &Measured::new((-growth).max(growth - bound), slack(&summary) + own, bound));
        }
    }
    Ok(tally.observe(DERIVATION, "no row had a gradient"))
}

/// False: growth vanishes with the square of the rate.
fn quadratic(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, |k| k * k)
}

const ABOUT: About = About {
    id: "gradient-flow-limit",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "at fixed training time the growth of the norm vanishes with the rate: gradient flow keeps every norm",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "that normalised weights keep their norm under gradient flow: Arora, Li & Lyu 2019; the explicit rate derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("gradient_flow_limit.rs"),
};

impl Claim for GradientFlowLimit {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, |k| k)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        declare_as_table_sgd(&mut twins);
        twins.push(Specimen::named("variant: growth vanishes with the square", specimen::plain).judged_by(quadratic));
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
    gradient_flow_limit,
    GradientFlowLimit,
    "holds, 20 judged; norms 1.668013155 1.186564277 1.354420513"
);

#[cfg(test)]
mod numbers {
    /// R' = R + η²s²/R with s = 1, R_0 = 1 and η·n = 10: R² tends to 1 like 1 + 20η.
    #[test]
    fn inflation_is_a_discretisation_effect() {
        let grown = |steps: u32| {
            let eta = 10.0 / f64::from(steps);
            (0..steps).fold(1.0, |r: f64, _| r + eta * eta / r).powi(2)
        };
        for steps in [10, 100, 1000, 10_000] {
            let eta = 10.0 / f64::from(steps);
            let excess = grown(steps) - (1.0 + 20.0 * eta);
            let bound = eta * eta / 2.0 * (1.0 + 2.0 * eta * eta) * (20.0 * eta).ln_1p();
            assert!(excess > 0.0 && excess < bound, "η = {eta}: {excess} of {bound}");
        }
    }
}
