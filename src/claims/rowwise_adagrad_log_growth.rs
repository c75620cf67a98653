//! # Row-wise AdaGrad: logarithmic growth
//!
//! With one accumulator G a row, zero at the start, G_t = Σ_{k≤t} ‖g_k‖²/d = Γ_t/d, and orthogonal gradients,
//!
//! ```text
//! ‖q_T‖² = ‖q_0‖² + Σ_t η_t²‖g_t‖²/(√(Γ_t/d) + ε)²
//! ‖q_0‖² + η²d ≤ ‖q_T‖² ≤ ‖q_0‖² + η²d·(1 + ln(Γ_T/Γ_1))        (constant η; the lower bound for ε = 0)
//! ```
//!
//! The first touch adds η²d whatever the gradient is; after it the norm grows with the logarithm of the accumulator, where SGD's
//! grows with a power: natural damping of the coupling of norm and frequency. Schedules enter the bounds by the first rate
//! below and the largest above.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoMomentum, NoDecay,
//! NoCoordinateScaling, FreshGradient, NoEpsilon (of the cosine); zero initial accumulator and gradients of duplicates added
//! first. Recorded runs do not say these last two, so none is audited by this claim.
//! *Shapes*: q, g: `[d]`. *Judged*: the identity and both bounds after every step of every row.
//! *Allowed residual*: Σ_t of what rounding can change in ‖q_{t+1}‖² against an exact step along g_t of the length
//! η_t‖g_t‖/(√(Γ_t/d) + ε), whose own relative error is γ_{d+t+8}.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; momentum; weight decay; AdaGrad coordinate by
//! coordinate; stale gradients; an active epsilon; plain SGD; a sum in place of the mean in the accumulator.
//! *Controls that must not*: an ε of 1/8, a warm-up schedule, a deep user tower trained by Adam.
//! *Proof*: proofs/theories/RowwiseAdagradLogGrowth.v, proofs/theories/RowwiseAdagradLogGrowthLn.v.
//! *Source*: derived here; the rule is the "exact row-wise" AdaGrad of embedding libraries.

use super::specimen::{self, Specimen};
use super::update_orthogonality::{read_as, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, observe_claim};
use crate::condition::Condition;
use crate::facts::{Context, Facts, Follow, Measure, Measured, RecordFacts, Watched};
use crate::optimizer::{Optimizer, Schedule, adagrad::Adagrad, rowwise_adagrad::RowwiseAdagrad};
use crate::rounding::Precision;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::{Rows, Settings};
use crate::verdict::Observation;

/// ‖q‖² grows with ln Γ.
pub struct RowwiseAdagradLogGrowth;

const DERIVATION: &str = "Σ_t of what rounding can change in ‖q_{t+1}‖² against an exact step along g_t: 2‖q'‖·e + e² with e the storage \
    error + γ_{d+t+8}·(the step's length), 2·(length/‖g‖)·(the gradient's allowance), and the f64 rounding of the check";

/// One row's accumulator and the sum that the identity has.
struct Accumulated {
    epsilon: f64,
    /// What the squares are divided by: d for their mean.
    divisor: f64,
    /// ‖q_0‖².
    start: f64,
    /// Γ_t and Γ_1.
    gamma: f64,
    first_gamma: f64,
    /// η of the first touch, and the largest.
    first_rate: f64,
    largest_rate: f64,
    /// Σ (step length)².
    sum: f64,
    slack: f64,
    touches: usize,
}

impl Follow for Accumulated {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let rates = context.rates.as_ref().filter(|_| context.is_table && context.consecutive)?;
        let rate = rates.at(facts.record.step);
        let size = facts.gradient_norm?;
        let dim = context.dim as f64;
        if self.touches == 0 {
            self.start = facts.norm * facts.norm;
        }
        let mut length = 0.0;
        if size > 0.0 {
            self.touches += 1;
            self.gamma += size * size;
            if self.touches == 1 {
                (self.first_gamma, self.first_rate) = (self.gamma, rate);
            }
            self.largest_rate = self.largest_rate.max(rate);
            length = rate * (size / ((self.gamma / self.divisor).sqrt() + self.epsilon));
            self.sum += length * length;
        }
        let storage = context.storage_error(facts);
        let error = storage + length * context.arithmetic.storage.gamma(context.dim + self.touches + 8);
        let radial = if size > 0.0 {
            length / size * context.gradient_allowance(facts).0
        } else {
            0.0
        };
        let square = facts.next_norm * facts.next_norm;
        let own = Precision::F64.gamma(2 * context.dim + 8 + self.touches) * (square + self.start + self.sum);
        self.slack += (2.0 * facts.next_norm.max(facts.norm) + error) * error + 2.0 * radial;
        if self.touches == 0 {
            // Nothing has arrived, so the row is where it was.
            return facts.moved().then(|| Measured::new(facts.step_norm, storage, facts.step_norm));
        }
        let grown = square - self.start;
        let identity = (grown - self.sum).abs();
        let largest = self.largest_rate * self.largest_rate * dim;
        let excess = grown - largest * (1.0 + (self.gamma / self.first_gamma).ln());
        let lack = if self.epsilon == 0.0 {
            self.first_rate * self.first_rate * dim - grown
        } else {
            f64::MIN
        };
        let residual = identity.max(excess).max(lack);
        Some(Measured::new(residual, self.slack + own, self.sum))
    }
}

fn watched(context: &Context, divisor: fn(f64) -> f64) -> Vec<Watched> {
    let Some(Optimizer::RowwiseAdagrad(rule)) = context.replays.first().map(|replay| &replay.optimizer) else {
        return Vec::new();
    };
    let epsilon = rule.epsilon;
    let start = move |context: &Context| {
        Box::new(Accumulated {
            epsilon,
            divisor: divisor(context.dim as f64),
            start: 0.0,
            gamma: 0.0,
            first_gamma: 0.0,
            first_rate: 0.0,
            largest_rate: 0.0,
            sum: 0.0,
            slack: 0.0,
            touches: 0,
        }) as Box<dyn Follow>
    };
    vec![Watched { id: ABOUT.id.into(), measure: Measure::Run(Box::new(start)) }]
}

/// The claim with the sum of the squares in the accumulator: false.
struct SumOfSquares;

impl Claim for SumOfSquares {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        watched(context, |_| 1.0)
    }
    fn twins(&self) -> Vec<Specimen> {
        Vec::new()
    }
    fn controls(&self) -> Vec<Specimen> {
        Vec::new()
    }
}

fn rule(lr: impl Into<Schedule>, epsilon: f64) -> RowwiseAdagrad {
    RowwiseAdagrad { lr: lr.into(), epsilon, decay: None, rows: Rows::Dense }
}

/// Row-wise AdaGrad in place of plain SGD, with its decay; other rules stay.
fn rowwise(mut scenario: Scenario) -> Scenario {
    if let Optimizer::Sgd(sgd) = scenario.item.optimizer {
        let lr = match sgd.lr {
            Schedule::Constant(_) => 0.1.into(),
            schedule => schedule,
        };
        scenario.item.optimizer = Optimizer::RowwiseAdagrad(RowwiseAdagrad { decay: sgd.decay, ..rule(lr, 0.0) });
    }
    scenario
}

fn declared(settings: &mut Settings) {
    read_as(settings, &Optimizer::RowwiseAdagrad(rule(0.1, 0.0)));
}

const ABOUT: About = About {
    id: "rowwise-adagrad-log-growth",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "under row-wise AdaGrad ‖q_0‖² + η²d ≤ ‖q_T‖² ≤ ‖q_0‖² + η²d(1 + ln(Γ_T/Γ_1)), Γ_t = Σ‖g‖²",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoMomentum,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("rowwise_adagrad_log_growth.rs"),
};

impl Claim for RowwiseAdagradLogGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::RowwiseAdagrad, ..Family::default() }
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        watched(context, |dim| dim)
    }
    fn observe(&self, facts: &Facts, _context: &Context) -> Observation {
        facts
            .tally(ABOUT.id)
            .observe(DERIVATION, "nothing to judge: no row-wise AdaGrad on a table, or no gradients")
    }
    fn twins(&self) -> Vec<Specimen> {
        fn coordinate_wise(seed: u64) -> Scenario {
            let rule = Adagrad { lr: 0.1.into(), epsilon: 0.0, decay: None, rows: Rows::Dense };
            specimen::with_optimizer(seed, Optimizer::Adagrad(rule))
        }
        let mut twins = twins_of_the_conditions();
        twins.retain(|twin| twin.drops != Some(Condition::NoCoordinateScaling));
        let scaled = Condition::NoCoordinateScaling;
        twins.push(Specimen::dropping(scaled, "AdaGrad coordinate by coordinate", coordinate_wise));
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        let mut twins: Vec<_> = twins.into_iter().map(|twin| twin.adapted(rowwise).with_header(declared)).collect();
        twins.push(Specimen::named("plain SGD", specimen::plain).with_header(declared));
        twins.push(Specimen::named("a sum in place of the mean", specimen::plain).adapted(rowwise).judged_by(
            |materialised, trainer| observe_claim(&SumOfSquares, &trainer.train(materialised)?, Some(materialised)),
        ));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        fn with_epsilon(seed: u64) -> Scenario {
            specimen::with_optimizer(seed, Optimizer::RowwiseAdagrad(rule(0.1, 0.125)))
        }
        vec![
            Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad),
            Specimen::named("an ε of 1/8", with_epsilon),
            Specimen::named("a warm-up schedule", specimen::warm_up).adapted(rowwise),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower).adapted(rowwise),
        ]
    }
}

theorem!(
    rowwise_adagrad_log_growth,
    RowwiseAdagradLogGrowth,
    "holds, 112 judged; norms 1.642409999 1.047747297 1.306625068"
);
