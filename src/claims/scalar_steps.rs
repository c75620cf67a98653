//! # Scalar steps
//!
//! Learning-rate schedules, clipping by a global norm, loss scaling, gradient accumulation at fixed parameters, mean or sum
//! reduction, trust ratios and row-wise accumulators all multiply a row's gradient by one scalar:
//!
//! ```text
//! Δq = −c·g    with one c ≥ 0 a row and step
//! ```
//!
//! Whatever c is, the step has no part across the gradient, and it is orthogonal to the embedding if the gradient is. Two rates
//! within one row (parameter groups, coordinate-wise accumulators, clipping by value) do not have this form, nor has a step
//! that lost one of several gradients of the row, although such a step is orthogonal.
//!
//! *Hypotheses*: IsotropicJacobian, PrivateParameters, ScalarStep. Nothing of the loss is needed.
//! *Shapes*: q, g: `[d]`. *Judged*: the part of Δq across g, on every row that moved, and the sign of c.
//! *Allowed residual*: the storage error of the row + ‖Δq‖/‖g‖·((1 + multiplicity)·u·‖g‖ + what adding the L > 1 gradients
//! in another order can change, the gradient's allowance over ‖q‖). Rules with an accumulator may apply several gradients
//! one by one with different scalars: such rows are not judged.
//! *Twins that must break it*: a two-layer encoder; a shared map; momentum; weight decay; Adam; lost duplicate gradients.
//! *Controls that must not*: inner products; an active epsilon; a warm-up schedule; row-wise AdaGrad; lazy rows.
//! *Proof*: proofs/theories/ScalarSteps.v.
//! *Source*: derived here.

use super::specimen::{self, Specimen};
use super::update_orthogonality::{controls_of_the_conditions, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::facts::{Context, Measure, Measured, RecordFacts, Watched};
use crate::geometry::{add_scaled, dot, norm_f64};
use crate::optimizer::Optimizer;
use crate::reference::Fault;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::Rows;

/// Δq = −c·g.
pub struct ScalarSteps;

const DERIVATION: &str = "the storage error of the row + (‖Δq‖/‖g‖)·((1+L)·u·‖g‖ + for L > 1 lookups the gradient's allowance over \
    ‖q‖, which bounds what another order of adding them changes) + γ_{d+2} in f64·‖Δq‖ for the check itself";

fn measure(facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
    if !facts.moved() {
        return None;
    }
    let gradient = facts.record.grad?;
    let size = facts.gradient_norm?;
    let several = facts.record.lookups.is_none_or(|lookups| lookups > 1);
    let accumulates = !context.replays.iter().all(|replay| matches!(replay.optimizer, Optimizer::Sgd(_)));
    if several && (accumulates || context.replays.is_empty()) {
        return None;
    }
    let mut across: Vec<f64> = facts.record.q_next.iter().zip(facts.record.q).map(|(next, q)| next - q).collect();
    let mut allowed = context.storage_error(facts) + context.own_check(facts.step_norm);
    let mut amplification = 1.0;
    if size > 0.0 {
        // In units of ‖g‖, so that no square of a tiny gradient underflows.
        let direction: Vec<f64> = gradient.iter().map(|g| g / size).collect();
        // A step along the gradient stays as it is: that would be ascent.
        let along = dot(&across, &direction).min(0.0);
        add_scaled(&mut across, -along, &direction);
        let unit = context.arithmetic.gradient.unit_roundoff();
        let mut error = (1 + facts.multiplicity()) as f64 * unit * size;
        if several {
            let (radial, amplified) = context.gradient_allowance(facts);
            error += radial / facts.norm;
            amplification = amplified;
        }
        allowed += facts.step_norm * (error / size);
    }
    Some(Measured { amplification, ..Measured::new(norm_f64(&across), allowed, facts.step_norm) })
}

const ABOUT: About = About {
    id: "scalar-steps",
    kind: Kind::Step,
    standing: Standing::Theorem,
    statement: "schedules, global clipping, scaling and accumulation multiply a row's gradient by one scalar: Δq = −c·g",
    conditions: &[Condition::IsotropicJacobian, Condition::PrivateParameters, Condition::ScalarStep],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("scalar_steps.rs"),
};

impl Claim for ScalarSteps {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Isotropic, optimizers: Optimizers::Scalar, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        vec![Watched { id: ABOUT.id.into(), measure: Measure::Step(measure) }]
    }
    fn twins(&self) -> Vec<Specimen> {
        let unneeded = [Condition::CosineLoss, Condition::FreshGradient, Condition::NoEpsilon].map(Some);
        let mut twins = twins_of_the_conditions();
        twins.retain(|twin| !unneeded.contains(&twin.drops));
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        twins.push(Specimen::named("lost duplicate gradients", specimen::plain).with_fault(Fault::LastWriteWins));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        fn lazy(mut scenario: Scenario) -> Scenario {
            *scenario.item.optimizer.rows_mut() = Rows::Lazy;
            scenario
        }
        let mut controls = controls_of_the_conditions();
        controls.push(Specimen::named("inner products", specimen::dot_product));
        controls.push(Specimen::named("norms clamped at 2", specimen::active_epsilon));
        controls.push(Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad));
        controls.push(Specimen::named("lazy rows", specimen::plain).adapted(lazy));
        controls
    }
}

theorem!(scalar_steps, ScalarSteps, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");
