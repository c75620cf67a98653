//! # Heavy-ball identity
//!
//! With p_t = β·p_{t−1} + g_t, q_{t+1} = q_t − η_t·p_t and every g_t ⟂ q_t (zero where the row was not looked up):
//!
//! ```text
//! ‖q_{t+1}‖² = ‖q_t‖² + η_t²‖p_t‖² + 2·η_t·Σ_{k<t} β^{t−k}·η_k·‖p_k‖²
//! ```
//!
//! so the norm never shrinks, for any schedule and any sampling, although the step is not orthogonal. With β = 0 it is
//! Pythagoras. Lazy momentum obeys it with t counting the row's touches.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoDecay, NoCoordinateScaling, FreshGradient, NoEpsilon.
//! *Shapes*: q, g, p: `[d]`.
//! *Allowed residual*: what rounding can change in ‖q_{t+1}‖² against the exact step along p_t, where ⟨q_t, p_t⟩ carries
//! the gradients' allowances and the storage errors of the earlier steps, discounted by β.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam; stale gradients; an
//! active epsilon; lazy momentum declared dense. *Controls that must not*: a warm-up schedule, β = 0, lazy momentum declared so.
//! *Proof*: proofs/theories/HeavyBallIdentity.v.
//! *Source*: Heo et al. 2021 (AdamP), constant η; any schedule and sampling: derived here.

use super::specimen::{self, Specimen, redeclare};
use super::update_orthogonality::{controls_of_the_conditions, declare_as_table_sgd, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, UNKNOWN_RATE};
use crate::condition::Condition;
use crate::facts::{Context, Facts, Follow, Measure, Measured, Momentum, Rates, RecordFacts, Watched};
use crate::geometry::{add_scaled, norm_f64};
use crate::optimizer::{Optimizer, Schedule, heavy_ball::HeavyBall};
use crate::rounding::Precision;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::{DeclaredOptimizer, Rows, Settings};
use crate::verdict::Observation;

/// The norm under heavy-ball momentum.
pub struct HeavyBallIdentity;

const DERIVATION: &str = "what rounding can change in ‖q_{t+1}‖² against the exact step along p_t: 2‖q'‖·‖e‖ + ‖e‖² of the \
    storage error e, 2η·(error of ⟨q_t,p_t⟩), which is Σ β^{t−k}·(the gradients' allowances + the earlier storage errors · ‖p_k‖), \
    and the f64 rounding of the check";

/// One row's momentum buffer and the identity's right-hand side.
pub(super) struct Ball {
    pub momentum: Momentum,
    buffer: Vec<f64>,
    started: bool,
    /// Σ_{k<t} β^{t−k} η_k ‖p_k‖², before the discount of this step.
    memory: f64,
    /// What is uncertain in ⟨q_t, p_t⟩.
    radial_error: f64,
    /// What is uncertain in ‖p_t‖, relative to exact arithmetic.
    buffer_error: f64,
    /// Norms of the step before: of the buffer, and of the storage error.
    last: (f64, f64),
    /// The step that comes next, if every one is recorded.
    pub expected: usize,
}

impl Ball {
    /// An empty buffer of `dim` numbers. If it is `started`, the first gradient enters it with the weight of all others.
    pub fn new(momentum: Momentum, dim: usize, started: bool) -> Self {
        Ball {
            momentum,
            buffer: vec![0.0; dim],
            started,
            memory: 0.0,
            radial_error: 0.0,
            buffer_error: 0.0,
            last: (0.0, 0.0),
            expected: 0,
        }
    }

    /// What is uncertain in ⟨q_t, p_t⟩.
    pub fn radial_error(&self) -> f64 {
        self.radial_error
    }

    /// What is uncertain in p_t.
    pub fn buffer_error(&self) -> f64 {
        self.buffer_error
    }

    /// The buffer's step: p ← β·p + w·g, and what is uncertain in it and in ⟨q, p⟩. `allowance` is the gradient's.
    pub fn turn(&mut self, gradient: Option<&[f64]>, allowance: f64, length: f64, context: &Context) -> f64 {
        let unit = context.arithmetic.storage.unit_roundoff();
        let weight = if self.started { self.momentum.weight } else { 1.0 };
        self.started = true;
        for p in &mut self.buffer {
            *p *= self.momentum.beta;
        }
        let mut norm = 0.0;
        if let Some(gradient) = gradient {
            add_scaled(&mut self.buffer, weight, gradient);
            norm = norm_f64(gradient);
        }
        let size = norm_f64(&self.buffer);
        self.memory *= self.momentum.beta;
        self.buffer_error = self.momentum.beta * self.buffer_error + 2.0 * unit * (size + norm);
        let own = Precision::F64.gamma(context.dim + 4);
        let inherited = self.radial_error + self.last.0 * self.last.1;
        self.radial_error =
            self.momentum.beta * inherited + weight * allowance + length * self.buffer_error + own * length * size;
        size
    }

    /// After a step of this rate: the next step's sum gains the term of this one.
    pub fn advance(&mut self, rate: f64, size: f64, storage_error: f64) {
        self.last = (size, storage_error);
        self.memory += rate * size * size;
    }

    /// Judges a record whose step is −rate·p. `relative_error` is that of the rate beyond what the context says of rates.
    pub(super) fn judge(
        &mut self,
        facts: &RecordFacts<'_>,
        context: &Context,
        gradient: &[f64],
        rate: f64,
        relative_error: f64,
    ) -> Option<Measured> {
        let storage = context.storage_error(facts);
        let allowance = if facts.gradient_norm.unwrap_or(0.0) > 0.0 {
            context.gradient_allowance(facts).0
        } else {
            0.0
        };
        let size = self.turn(Some(gradient), allowance, facts.norm, context);
        let movement = rate * size;
        let expected = movement * movement + 2.0 * rate * self.memory;
        let own = Precision::F64.gamma(context.dim + 4);
        // Every term of the right-hand side has two rates in it.
        let allowed = context.norm_squared_error(facts, movement + rate * self.buffer_error, rate * self.radial_error)
            + 2.0 * movement * rate * self.buffer_error
            + 4.0 * (own + relative_error) * expected;
        let signal = facts.step_norm * (facts.norm + facts.next_norm);
        let measured = Measured::new((facts.growth - expected).abs(), allowed, signal);
        let known = relative_error + context.rates.as_ref().map_or(0.0, Rates::relative_error);
        self.advance(rate, size, storage + movement * known);
        (size > 0.0 || facts.moved()).then_some(measured)
    }
}

/// Whether a lazy rule leaves a row out of a step: nobody looked it up.
pub(super) fn is_left_out(facts: &RecordFacts<'_>) -> bool {
    facts.gradient_norm.unwrap_or(0.0) == 0.0 && facts.record.lookups.is_none_or(|lookups| lookups == 0)
}

impl Follow for Ball {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let rates = context.rates.as_ref()?;
        let rate = context.sgd_rate(facts.record.step)?;
        let gradient = facts.record.grad?;
        if self.momentum.beta != 0.0 && !context.consecutive {
            return None;
        }
        if self.momentum.lazy && is_left_out(facts) {
            return None;
        }
        if self.started && !self.momentum.lazy {
            // In the sparse form a row that is not recorded had no gradient and did not move visibly, but coasted.
            let storage = context.storage_error(facts);
            for step in self.expected..facts.record.step {
                let size = self.turn(None, 0.0, facts.norm, context);
                self.advance(rates.at(step), size, storage);
            }
        }
        self.expected = facts.record.step + 1;
        self.judge(facts, context, gradient, rate, 0.0)
    }
}

fn ball(lr: Schedule, momentum: f64, rows: Rows) -> Optimizer {
    Optimizer::HeavyBall(HeavyBall { lr, momentum, dampening: 0.0, decay: None, rows })
}

fn lazy_momentum(seed: u64) -> Scenario {
    specimen::with_optimizer(seed, ball(0.5.into(), 0.9, Rows::Lazy))
}

fn momentum_with_warm_up(seed: u64) -> Scenario {
    specimen::with_optimizer(seed, ball(Schedule::Warmup { from: 0.0, to: 0.5, steps: 6 }, 0.9, Rows::Dense))
}

fn declared_dense(settings: &mut Settings) {
    redeclare(settings, |optimizer: &mut DeclaredOptimizer| optimizer.sparse = Some(Rows::Dense));
}

const ABOUT: About = About {
    id: "heavy-ball-identity",
    kind: Kind::Run,
    standing: Standing::Theorem,
    statement: "under heavy-ball momentum ‖q_{t+1}‖² = ‖q_t‖² + η_t²‖p_t‖² + 2η_t·Σ_{k<t} β^{t−k}η_k‖p_k‖²",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "Heo et al. 2021 (AdamP), constant rate; any schedule and sampling: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("heavy_ball_identity.rs"),
};

impl Claim for HeavyBallIdentity {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::HeavyBall, ..Family::default() }
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        let Some(momentum) = context.momentum else {
            return Vec::new();
        };
        let start = move |context: &Context| Box::new(Ball::new(momentum, context.dim, false)) as Box<dyn Follow>;
        vec![Watched { id: ABOUT.id.into(), measure: Measure::Run(Box::new(start)) }]
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
        twins.push(Specimen::named("lazy momentum declared dense", lazy_momentum).with_header(declared_dense));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        let mut controls = controls_of_the_conditions();
        controls.retain(|control| control.name != "an affine encoder with a frozen bias");
        controls.push(Specimen::named("momentum with warm-up", momentum_with_warm_up));
        controls.push(Specimen::named("lazy momentum", lazy_momentum));
        controls
    }
}

theorem!(
    heavy_ball_identity,
    HeavyBallIdentity,
    "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513"
);
