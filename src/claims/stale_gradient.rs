//! # Stale gradient
//!
//! A gradient that was taken k steps ago is orthogonal to the embedding of then, not to that of now:
//!
//! ```text
//! q_{t+1} = q_t − η_t·g,  g = ∇L(q_{t−k}):    ⟨q_t, Δq_t⟩ = −η_t·⟨q_t − q_{t−k}, g⟩,    |⟨q_t, Δq_t⟩| ≤ η_t·‖g‖·‖q_t − q_{t−k}‖
//! ```
//!
//! The leak is of second order in the rate and of either sign: with k = 1 it is η_t·η_{t−1}·⟨g_{t−1}, g_t⟩ of the gradients
//! applied. Prefetching and asynchronous workers do this.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, ScalarStep without adaptivity,
//! NoEpsilon. The delay is what the claim is about: runs with k = 1, 2, 3 of the reference core, so that another trainer is
//! answered with "unsupported".
//! *Shapes*: q, g: `[d]`. *Judged*: the equation and the bound on every row that a late gradient moves.
//! *Allowed residual*: 3u·‖q‖·max(‖q‖,‖q'‖) + η·(γ_{3d+10} + γ_{16+L})·‖a‖, ‖a‖ of the step that the gradient was taken in.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; momentum; weight decay; Adam; an active
//! epsilon; late gradients judged as fresh; the equation with the wrong sign. *Controls that must not*: a schedule, a deep
//! user tower trained by Adam, lazy rows.
//! *Proof*: proofs/theories/StaleGradient.v.
//! *Source*: derived here.

use std::collections::{HashMap, VecDeque};

use super::specimen::{self, Specimen};
use super::update_orthogonality::twins_of_the_conditions;
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::facts::{Measured, Tally};
use crate::geometry::{dot, norm_f64};
use crate::reference::{Reference, Session};
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::{Rows, Side};
use crate::verdict::{Observation, Place};

/// ⟨q_t, Δq_t⟩ = −η_t⟨q_t − q_{t−k}, g⟩.
pub struct StaleGradient;

const DERIVATION: &str = "3u·‖q‖·max(‖q‖,‖q'‖) for the stored row + η·(γ_{3d+10} + γ_{16+L})·‖a‖ for the gradient, ‖a‖ and its L \
    lookups from the step that it was taken in, + γ_{d+3} of the products that are compared";

/// How the drift ⟨q_t − q_{t−k}, g⟩ enters the judged equation: −1 as it should.
fn judge(materialised: &Materialised, trainer: &dyn Trainer, sign: f64) -> Result<Observation> {
    if !trainer.name().starts_with(&Reference.name()) {
        return Err(Error::unsupported("gradients that are applied some steps late"));
    }
    let mut tally = Tally::default();
    for delay in 1..=3.min(materialised.batches.len() - 1) {
        run(materialised, delay, sign, &mut tally)?;
    }
    Ok(tally.observe(DERIVATION, "no late gradient moved a row"))
}

/// Trains with every gradient `delay` steps late; the first steps only wait.
fn run(materialised: &Materialised, delay: usize, sign: f64, tally: &mut Tally) -> Result<()> {
    let scenario = &materialised.scenario;
    let (dim, unit) = (scenario.dim, Precision::F64.unit_roundoff());
    let gamma = |operations| Precision::F64.gamma(operations);
    let mut session = Session::<f64>::new(materialised);
    let mut waiting = VecDeque::new();
    for (step, batch) in materialised.batches.iter().enumerate() {
        let rows = |session: &Session<f64>| -> Vec<Vec<f64>> {
            (0..scenario.item.rows).map(|row| session.embedding(Side::Item, row)).collect()
        };
        let now = rows(&session);
        waiting.push_back((session.evaluate(batch), now.clone()));
        if waiting.len() <= delay {
            continue;
        }
        let (outcome, then) = waiting.pop_front().expect("more are waiting than the delay");
        let rate = scenario.item.optimizer.schedule().at(session.time());
        session.apply(&outcome);
        let next = rows(&session);
        if next.iter().flatten().any(|x| !x.is_finite()) {
            return Err(Error::not_finite(format!("step {step}"), "an embedding"));
        }
        // ‖a‖ and the number of lookups of every row.
        let mut scales: HashMap<usize, (f64, usize)> = HashMap::new();
        for (slot, &row) in outcome.item.slots.iter().enumerate() {
            let (scale, lookups) = scales.entry(row).or_default();
            *scale += outcome.item.slot_scales[slot];
            *lookups += 1;
        }
        for (row, gradient) in &outcome.item.rows {
            let (q, old, next) = (&now[*row], &then[*row], &next[*row]);
            let (scale, lookups) = scales[row];
            let difference = |a: &[f64], b: &[f64]| -> Vec<f64> { a.iter().zip(b).map(|(a, b)| a - b).collect() };
            let (moved, drift) = (difference(next, q), difference(q, old));
            let (length, size, way) = (norm_f64(q), norm_f64(gradient), norm_f64(&drift));
            let leak = rate * size * way;
            let stored = 3.0 * unit * length.max(norm_f64(next));
            let underflow = (8 * dim) as f64 * Precision::F64.underflow() * (1.0 + length);
            let allowed = length * stored
                + rate * (gamma(3 * dim + 10) + gamma(16 + lookups)) * scale
                + gamma(dim + 3) * (length * norm_f64(&moved) + leak)
                + underflow;
            let radial = dot(q, &moved);
            let equation = (radial - sign * rate * dot(&drift, gradient)).abs();
            // What the equation says may be large only as the bound has it.
            let residual = equation.max(radial.abs() - leak);
            tally.judge(Place { step: step as u64, row: *row as u64 }, &Measured::new(residual, allowed, leak));
        }
    }
    Ok(())
}

const ABOUT: About = About {
    id: "stale-gradient",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "a gradient k steps late leaks −η⟨q_t − q_{t−k}, g⟩ into ⟨q, Δq⟩, of either sign",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::NoEpsilon,
    ],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("stale_gradient.rs"),
};

impl Claim for StaleGradient {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, -1.0)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        twins.retain(|twin| twin.drops != Some(Condition::FreshGradient));
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        twins.push(
            Specimen::named("late gradients judged as fresh", specimen::plain)
                .judged_by(|materialised, trainer| judge(materialised, trainer, 0.0)),
        );
        twins.push(
            Specimen::named("the wrong sign", specimen::plain)
                .judged_by(|materialised, trainer| judge(materialised, trainer, 1.0)),
        );
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        fn lazy(mut scenario: Scenario) -> Scenario {
            *scenario.item.optimizer.rows_mut() = Rows::Lazy;
            scenario
        }
        vec![
            Specimen::named("a warm-up schedule", specimen::warm_up),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
            Specimen::named("lazy rows", specimen::plain).adapted(lazy),
        ]
    }
}

theorem!(stale_gradient, StaleGradient, "holds, 168 judged; norms 1.668013155 1.186564277 1.354420513");
