//! # Scalar second moment growth
//!
//! Adam with one second moment a row scales a moving average by one positive number a step:
//!
//! ```text
//! m_t = β·m_{t−1} + (1−β)·g_t,    q_{t+1} = q_t − a_t·m_t,    a_t = η_t/((1−β^{t+1})·(√v̂_t + ε)) > 0
//! ‖q_{t+1}‖² = ‖q_t‖² + a_t²‖m_t‖² + 2·a_t·Σ_{k<t} β^{t−k}·a_k·‖m_k‖²
//! ```
//!
//! so the heavy-ball identity holds with a_t in place of the rate: no step is orthogonal, and none shrinks the norm. Adam with
//! a second moment for each coordinate obeys nothing of the kind.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoDecay, NoCoordinateScaling, FreshGradient, NoEpsilon.
//! *Shapes*: q, g, m: `[d]`; v: one number a row.
//! *Allowed residual*: that of `heavy-ball-identity`, and 4δ times the right-hand side for the relative error
//! δ = 2γ_{d+3t+8}·(1 + 1/(1−β₁) + 1/(1−β₂)) of a_t: a sum of t+1 mean squares of d terms, its root, two quotients, and two
//! bias corrections 1 − β^t, whose subtraction magnifies by at most 1/(1−β); twice, as trainer and check both round.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam declared row-wise; stale
//! gradients; an active epsilon; lazy rows declared dense. *Controls that must not*: lazy rows, a warm-up, a large ε, a deep user tower.
//! *Proof*: proofs/theories/ScalarSecondMomentGrowth.v.
//! *Source*: derived here, from the lemma of Heo et al. 2021 on heavy-ball momentum.

use super::heavy_ball_identity::{Ball, is_left_out};
use super::specimen::{self, Specimen, declare_table, redeclare};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::facts::{Context, Follow, Measure, Measured, Momentum, RecordFacts, Watched};
use crate::optimizer::{Decay, Optimizer, Schedule, decay::Form, rowwise_adam::RowwiseAdam};
use crate::reference::Fault;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::{Rows, Settings};

/// The norm under Adam with a row-wise second moment.
pub struct ScalarSecondMomentGrowth;

const DERIVATION: &str = "the allowance of heavy-ball-identity + 4δ·(right-hand side), δ = 2γ_{d+3t+8}·(1 + 1/(1−β₁) + 1/(1−β₂)) for \
    the scalar a_t: t+1 mean squares of d terms, a root, two quotients, two bias corrections";

/// One row: its second moment, and the heavy ball that its first moment is.
struct Moments {
    rule: RowwiseAdam,
    second: f64,
    ball: Ball,
}

impl Follow for Moments {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let rates = context.rates.as_ref()?;
        let gradient = facts.record.grad?;
        if !context.consecutive || (self.rule.rows == Rows::Lazy && is_left_out(facts)) {
            return None;
        }
        let (beta1, beta2) = self.rule.betas;
        let step = facts.record.step;
        let correction = |beta: f64| 1.0 - beta.powi(step as i32 + 1);
        let mean = facts.gradient_norm.unwrap_or(0.0).powi(2) / context.dim as f64;
        self.second = beta2 * self.second + (1.0 - beta2) * mean;
        let denominator = (self.second / correction(beta2)).sqrt() + self.rule.epsilon;
        let rate = if denominator == 0.0 {
            0.0
        } else {
            rates.at(step) / correction(beta1) / denominator
        };
        let operations = context.arithmetic.storage.gamma(context.dim + 3 * (step + 1) + 8);
        let error = 2.0 * operations * (1.0 + 1.0 / (1.0 - beta1) + 1.0 / (1.0 - beta2));
        self.ball.judge(facts, context, gradient, rate, error)
    }
}

const ABOUT: About = About {
    id: "scalar-second-moment-growth",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "under Adam with one second moment a row ‖q_{t+1}‖² = ‖q_t‖² + a_t²‖m_t‖² + 2a_t·Σ_{k<t} β^{t−k}a_k‖m_k‖²",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "derived here, from the lemma of Heo et al. 2021 on heavy-ball momentum",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("scalar_second_moment_growth.rs"),
};

fn rule(lr: impl Into<Schedule>, rows: Rows) -> RowwiseAdam {
    RowwiseAdam { lr: lr.into(), betas: (0.875, 0.96875), epsilon: 1e-8, decay: None, rows }
}

/// The same scenario under row-wise Adam.
fn rowwise(mut scenario: Scenario) -> Scenario {
    scenario.item.optimizer = Optimizer::RowwiseAdam(rule(0.1, Rows::Dense));
    scenario
}

fn dense(seed: u64) -> Scenario {
    rowwise(specimen::plain(seed))
}

fn with_rule(seed: u64, rule: RowwiseAdam) -> Scenario {
    specimen::with_optimizer(seed, Optimizer::RowwiseAdam(rule))
}

fn lazy(seed: u64) -> Scenario {
    with_rule(seed, rule(0.1, Rows::Lazy))
}

fn decayed(seed: u64) -> Scenario {
    let decay = Some(Decay { rate: 0.1, form: Form::Coupled });
    with_rule(seed, RowwiseAdam { decay, ..rule(0.1, Rows::Dense) })
}

impl Claim for ScalarSecondMomentGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::RowwiseAdam, ..Family::default() }
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        let Some(Optimizer::RowwiseAdam(rule)) = context.replays.first().map(|replay| replay.optimizer.clone()) else {
            return Vec::new();
        };
        let start = move |context: &Context| {
            let (beta, lazy) = (rule.betas.0, rule.rows == Rows::Lazy);
            let ball = Ball::new(Momentum { beta, weight: 1.0 - beta, lazy }, context.dim, true);
            Box::new(Moments { rule: rule.clone(), second: 0.0, ball }) as Box<dyn Follow>
        };
        vec![Watched { id: ABOUT.id.into(), measure: Measure::Run(Box::new(start)) }]
    }
    fn twins(&self) -> Vec<Specimen> {
        fn declare_rowwise(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.name = Some("rowwise-adam".into()));
        }
        fn declare_dense(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.sparse = Some(Rows::Dense));
        }
        let dropping = Specimen::dropping;
        vec![
            dropping(Condition::CosineLoss, "inner products", |seed| rowwise(specimen::dot_product(seed))),
            dropping(Condition::IsotropicJacobian, "a private two-layer encoder", |seed| {
                rowwise(specimen::two_layer(seed))
            })
            .with_header(declare_table),
            dropping(Condition::PrivateParameters, "a shared linear encoder", |seed| {
                rowwise(specimen::shared_linear(seed))
            })
            .with_header(declare_table),
            dropping(Condition::NoDecay, "weight decay 0.1", decayed),
            dropping(Condition::NoCoordinateScaling, "Adam declared row-wise", specimen::adam)
                .with_header(declare_rowwise),
            dropping(Condition::FreshGradient, "gradients one step late", dense).with_fault(Fault::StaleGradient),
            dropping(Condition::NoEpsilon, "norms clamped at 2", |seed| rowwise(specimen::active_epsilon(seed))),
            Specimen::named("lazy rows declared dense", lazy).with_header(declare_dense),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("dense rows", dense),
            Specimen::named("lazy rows", lazy),
            Specimen::named("a warm-up schedule", |seed| {
                with_rule(seed, rule(Schedule::Warmup { from: 0.0, to: 0.2, steps: 6 }, Rows::Dense))
            }),
            Specimen::named("an ε as large as the moments", |seed| {
                with_rule(seed, RowwiseAdam { epsilon: 0.25, ..rule(0.5, Rows::Dense) })
            }),
            Specimen::named("a deep user tower trained by Adam", |seed| rowwise(specimen::deep_user_tower(seed))),
        ]
    }
}

theorem!(
    scalar_second_moment_growth,
    ScalarSecondMomentGrowth,
    "holds, 112 judged; norms 1.854450884 1.197880099 1.570879137"
);
