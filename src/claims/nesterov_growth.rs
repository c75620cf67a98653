//! # Nesterov growth
//!
//! With p_t = β·p_{t−1} + g_t, q_{t+1} = q_t − η_t·(g_t + β·p_t) and every g_t ⟂ q_t (zero where the row was not looked up), the
//! step points outward at least so much, and the norm never shrinks, if the rates do not explode:
//!
//! ```text
//! η_{t+1} ≤ η_t·(1 + β)²/β    ⇒    ⟨q_t, Δq_t⟩ ≥ η_t·η_{t−1}·β²·(1 + β)/2·‖p_{t−1}‖² ≥ 0
//! ```
//!
//! The ratio is at least 4, and it is sharp: beyond it a tridiagonal form loses its sign. A warm-up from 0 breaks it: the
//! buffer fills while nothing moves, and an opposite gradient then looks ahead too far. The heavy ball is immune
//! (`heavy-ball-identity`), and so is plain SGD (β = 0). Lazy momentum counts the row's touches, and the ratio is that between touches.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoDecay, NoCoordinateScaling,
//! FreshGradient, NoEpsilon; the ratio of rates (rows are not judged any more after a step that exceeds it).
//! *Shapes*: q, g, p: `[d]`.
//! *Allowed residual*: ‖q‖·(the storage error) + η·(the gradient's allowance + β·(the error of ⟨q,p⟩)) + rounding of the sums.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam; stale gradients; an
//! active epsilon; a warm-up from 0 judged as if the ratio held. *Controls that must not*: a constant rate, rates that grow
//! fourfold in every step, lazy rows, a deep user tower trained by Adam.
//! *Proof*: proofs/theories/NesterovGrowth.v.
//! *Source*: derived here.

use super::heavy_ball_identity::Ball;
use super::specimen::{self, Specimen};
use super::update_orthogonality::{read_as, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, observe_claim};
use crate::condition::Condition;
use crate::facts::{Context, Facts, Follow, Measure, Measured, Momentum, RecordFacts, Replay, Watched};
use crate::geometry::norm_f64;
use crate::optimizer::{Optimizer, Schedule, nesterov::Nesterov};
use crate::rounding::Precision;
use crate::sampler::Batch;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Scenario};
use crate::trajectory::{Rows, Settings};
use crate::verdict::Observation;

/// ⟨q, Δq⟩ ≥ 0 under Nesterov momentum.
pub struct NesterovGrowth;

const DERIVATION: &str = "‖q‖·(storage error) + η·(the gradient's allowance + β·E) + η·γ_4·‖q‖·(‖g‖ + β‖p‖), E the error of ⟨q,p⟩: \
    E ← β·(E + ‖p‖·(storage error)) + the gradient's allowance + ‖q‖·(error of the buffer); and the f64 rounding of the check";

const NOTHING: &str = "nothing to judge: neither Nesterov momentum nor plain SGD on a table, no gradients, or rates that grow \
    too fast";

/// (1 + β)²/β: by how much the rate may grow from one of the row's steps to the next.
fn largest_ratio(beta: f64) -> f64 {
    (1.0 + beta) * (1.0 + beta) / beta
}

/// Whether the rates of a run with Nesterov momentum grow so fast that a step may point inward. Between the touches of a row
/// all steps of a lazy run count.
pub(super) fn may_point_inward(context: &Context) -> bool {
    let Some(Optimizer::Nesterov(rule)) = context.replays.first().map(|replay| &replay.optimizer) else {
        return false;
    };
    let Some(rates) = &context.rates else { return false };
    let dense = rule.rows == Rows::Dense && context.replays.len() == 1;
    let mut least = f64::INFINITY;
    (0..context.largest_gradient.len()).any(|step| {
        let (rate, before) = (rates.at(step), least);
        least = if dense { rate } else { before.min(rate) };
        rate > before * largest_ratio(rule.momentum)
    })
}

/// One row's buffer, and what came before.
struct LookAhead {
    ball: Ball,
    /// Whether a step that exceeds the ratio ends the judging.
    heeds_ratio: bool,
    /// η_{t−1} and ‖p_{t−1}‖.
    last: Option<(f64, f64)>,
    lost: bool,
}

impl LookAhead {
    /// The row's step without judging it: one that the sparse form leaves out.
    fn coast(&mut self, rate: f64, facts: &RecordFacts<'_>, context: &Context) {
        self.heed(rate);
        let size = self.ball.turn(None, 0.0, facts.norm, context);
        self.ball.advance(rate, size, context.storage_error(facts));
        self.last = Some((rate, size));
    }

    fn heed(&mut self, rate: f64) {
        let exceeds = |(last, size): (f64, f64)| size > 0.0 && rate > last * largest_ratio(self.ball.momentum.beta);
        self.lost |= self.heeds_ratio && self.last.is_some_and(exceeds);
    }
}

impl Follow for LookAhead {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let complete = context.consecutive || self.ball.momentum.beta == 0.0;
        let rates = context.rates.as_ref().filter(|_| context.is_table && complete)?;
        let rate = rates.at(facts.record.step);
        let gradient = facts.record.grad?;
        let norm = norm_f64(gradient);
        if self.ball.momentum.lazy && norm == 0.0 && facts.record.lookups.is_none_or(|lookups| lookups == 0) {
            return None;
        }
        if self.last.is_some() && !self.ball.momentum.lazy {
            for step in self.ball.expected..facts.record.step {
                self.coast(rates.at(step), facts, context);
            }
        }
        self.ball.expected = facts.record.step + 1;
        self.heed(rate);
        let before = self.last;
        let allowance = if norm > 0.0 {
            context.gradient_allowance(facts).0
        } else {
            0.0
        };
        let size = self.ball.turn(Some(gradient), allowance, facts.norm, context);
        let storage = context.storage_error(facts);
        let beta = self.ball.momentum.beta;
        let least = before.map_or(0.0, |(last, size)| rate * last * beta * beta * (1.0 + beta) / 2.0 * size * size);
        let movement = rate * (norm + beta * size);
        let rounding = context.arithmetic.storage.gamma(4 + facts.multiplicity());
        // The bound is made of our own buffer and of the rates and β as far as they are known.
        let known = 4.0 * rates.relative_error()
            + 4.0 * context.replays.first()?.relative_error / (1.0 - beta).max(f64::EPSILON)
            + Precision::F64.gamma(2 * context.dim + 16);
        let allowed = facts.norm * storage
            + rate * (allowance + beta * self.ball.radial_error())
            + facts.norm * (movement * rounding + rate * beta * self.ball.buffer_error())
            + known * least
            + context.own_check(facts.norm * facts.step_norm);
        self.ball.advance(rate, size, storage + movement * rounding);
        self.last = Some((rate, size));
        let judged = !self.lost && (movement > 0.0 || facts.moved());
        judged.then(|| Measured::new(least - facts.radial_step, allowed, facts.norm * facts.step_norm))
    }
}

fn watched(context: &Context, heeds_ratio: bool) -> Vec<Watched> {
    let momentum = match context.replays.as_slice() {
        // Where dense or lazy is not declared, nothing says what the buffer is.
        [Replay { optimizer: Optimizer::Nesterov(rule), .. }] => {
            Momentum { beta: rule.momentum, weight: 1.0, lazy: rule.rows == Rows::Lazy }
        }
        [Replay { optimizer: Optimizer::Sgd(_), .. }, ..] => Momentum { beta: 0.0, weight: 1.0, lazy: true },
        _ => return Vec::new(),
    };
    let start = move |context: &Context| {
        let ball = Ball::new(momentum, context.dim, false);
        Box::new(LookAhead { ball, heeds_ratio, last: None, lost: false }) as Box<dyn Follow>
    };
    vec![Watched { id: ABOUT.id.into(), measure: Measure::Run(Box::new(start)) }]
}

/// Nesterov momentum 0.9 in place of plain SGD, with its decay; other rules stay.
fn nesterov(mut scenario: Scenario) -> Scenario {
    if let Optimizer::Sgd(sgd) = scenario.item.optimizer {
        let lr = match sgd.lr {
            Schedule::Constant(_) => 0.5.into(),
            schedule => schedule,
        };
        scenario.item.optimizer = Optimizer::Nesterov(Nesterov { lr, momentum: 0.9, decay: sgd.decay, rows: sgd.rows });
    }
    scenario
}

fn declared(settings: &mut Settings) {
    let rule = Nesterov { lr: 0.5.into(), momentum: 0.9, decay: None, rows: Rows::Dense };
    read_as(settings, &Optimizer::Nesterov(rule));
}

/// Item 0 at (3,4): its buffer fills with the pull to (1,0) at η = 0, then 0.6 times the opposite arrives at η = 1 (the item
/// as a negative of one whose cosine is larger by τ·ln(1/0.6)), then nothing.
fn warm_up_from_zero(seed: u64) -> Scenario {
    let mut scenario = specimen::plain(seed);
    scenario.dim = 2;
    scenario.steps = 3;
    scenario.item.rows = 3;
    scenario.user.rows = 1;
    let rule = Nesterov { lr: Schedule::List(vec![0.0, 1.0]), momentum: 0.9, decay: None, rows: Rows::Dense };
    scenario.item.optimizer = Optimizer::Nesterov(rule);
    let explicit = |rows: &[f64]| Initial::Explicit { tables: vec![rows.to_vec()], constants: Vec::new() };
    scenario.item.initial = explicit(&[3.0, 4.0, 5.0, 3.0, -4.0, 3.0]);
    scenario.user.initial = explicit(&[1.0, 0.0]);
    let batch = |positive, negative| Batch {
        users: vec![0],
        positives: vec![positive],
        negatives: vec![vec![negative]],
        ..Batch::default()
    };
    scenario.batches = Some(vec![batch(0, 1), batch(1, 0), batch(1, 2)]);
    scenario
}

/// The claim without the condition on the rates: false.
struct AnyRates;

impl Claim for AnyRates {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        watched(context, false)
    }
    fn twins(&self) -> Vec<Specimen> {
        Vec::new()
    }
    fn controls(&self) -> Vec<Specimen> {
        Vec::new()
    }
}

const ABOUT: About = About {
    id: "nesterov-growth",
    kind: Kind::Run,
    standing: Standing::Theorem,
    statement: "under Nesterov momentum with η_{t+1} ≤ η_t(1+β)²/β no step points inward, so the norm never shrinks",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("nesterov_growth.rs"),
};

impl Claim for NesterovGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Nesterov, ..Family::default() }
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        watched(context, true)
    }
    fn observe(&self, facts: &Facts, _context: &Context) -> Observation {
        facts.tally(ABOUT.id).observe(DERIVATION, NOTHING)
    }
    fn twins(&self) -> Vec<Specimen> {
        let twins = twins_of_the_conditions();
        let mut twins: Vec<_> = twins.into_iter().map(|twin| twin.adapted(nesterov).with_header(declared)).collect();
        twins.push(Specimen::named("a warm-up from 0 judged as if the ratio held", warm_up_from_zero).judged_by(
            |materialised, trainer| observe_claim(&AnyRates, &trainer.train(materialised)?, Some(materialised)),
        ));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        fn fourfold(mut scenario: Scenario) -> Scenario {
            *scenario.item.optimizer.schedule_mut() = Schedule::List((0..6).map(|n| 4.0_f64.powi(n - 6)).collect());
            nesterov(scenario)
        }
        fn lazy(mut scenario: Scenario) -> Scenario {
            *scenario.item.optimizer.rows_mut() = Rows::Lazy;
            nesterov(scenario)
        }
        vec![
            Specimen::named("a constant rate", specimen::plain).adapted(nesterov),
            Specimen::named("rates that grow fourfold", specimen::plain).adapted(fourfold),
            Specimen::named("lazy rows", specimen::plain).adapted(lazy),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower).adapted(nesterov),
        ]
    }
}

theorem!(nesterov_growth, NesterovGrowth, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod witness {
    use std::collections::BTreeMap;

    use super::*;
    use crate::geometry::{dot, norm_squared};
    use crate::trajectory::{Array, Element, Trajectory};

    /// β = 1/2, q = (3,4): the buffer (4,−3) fills at η = 0, −(4,−3)/3 arrives at η = 1, then nothing. Without decimals lost:
    /// ⟨q, Δq⟩ = −25/96, ‖q‖² from 425/16 to 15025/576.
    #[test]
    fn nesterov_growth_fails_after_a_warm_up_from_zero() {
        let rule = Nesterov { lr: 1.0.into(), momentum: 0.5, decay: None, rows: Rows::Dense };
        let mut stepper = Optimizer::Nesterov(rule).start(1, 2, &|x: f64| x);
        let mut q = [3.0, 4.0];
        for (time, (rate, gradient)) in [(0.0, [4.0, -3.0]), (1.0, [-4.0 / 3.0, 1.0])].into_iter().enumerate() {
            stepper.move_row(0, time as u64, &rate, &mut q, &gradient);
        }
        let before = q;
        stepper.move_row(0, 2, &1.0, &mut q, &[0.0, 0.0]);
        let step = [q[0] - before[0], q[1] - before[1]];
        // Three steps of four operations and an inner product, on the scale of ‖q‖².
        let allowed = Precision::F64.gamma(3 * 4 + 2 + 2) * 425.0 / 16.0;
        let close = |found: f64, expected: f64| assert!((found - expected).abs() <= allowed, "{found} {expected}");
        close(norm_squared(&before), 425.0 / 16.0);
        close(dot(&before, &step), -25.0 / 96.0);
        close(norm_squared(&q), 15025.0 / 576.0);
    }

    #[test]
    fn nesterov_growth_keeps_norm_growth_from_judging_such_a_run() {
        use crate::claims::norm_growth::NormGrowth;
        use crate::reference::Reference;
        use crate::verdict::Observed;
        let observed = |scenario: Scenario| {
            let materialised = scenario.materialise().unwrap();
            NormGrowth.examine(&materialised, &Reference).unwrap().observed
        };
        assert_eq!(observed(warm_up_from_zero(0)), Observed::Inconclusive);
        assert_eq!(observed(nesterov(specimen::plain(0))), Observed::Holds);
    }

    /// Every other step of a run.
    fn with_gaps(run: &Trajectory) -> Trajectory {
        let tower = run.towers()[0];
        let (rows, dim) = (tower.rows(), tower.dim());
        let kept: Vec<usize> = (0..tower.steps()).step_by(2).collect();
        let gather = |name: &str, shift: usize, width: usize| -> Vec<f64> {
            let array = run.array(name).unwrap();
            kept.iter()
                .flat_map(|step| (0..width).map(move |k| array.value((step + shift) * width + k)))
                .collect()
        };
        let table =
            |name: &str, shift: usize| Array::from_f64(&[kept.len(), rows, dim], &gather(name, shift, rows * dim));
        let numbers: Vec<i64> = kept.iter().map(|&step| step as i64).collect();
        let slots = run.array("item/ids").unwrap().shape()[1];
        let arrays = BTreeMap::from([
            ("item/q".to_owned(), table("item/q", 0)),
            ("item/q_next".to_owned(), table("item/q", 1)),
            ("item/grad".to_owned(), table("item/grad", 0)),
            ("item/lr".to_owned(), Array::from_f64(&[kept.len()], &gather("item/lr", 0, 1))),
            (
                "item/ids".to_owned(),
                Array::encode(Element::I64, &[kept.len(), slots], &gather("item/ids", 0, slots)),
            ),
            ("step".to_owned(), Array::from_i64(&[kept.len()], &numbers)),
        ]);
        Trajectory::new(run.settings().clone(), arrays).unwrap()
    }

    #[test]
    fn nesterov_growth_says_nothing_of_a_buffer_that_was_not_recorded() {
        use crate::claims::observe_run;
        use crate::reference::Reference;
        use crate::trainer::Trainer;
        use crate::verdict::Observed;
        let observed = |scenario: Scenario| {
            let run = Reference.train(&scenario.materialise().unwrap()).unwrap();
            observe_run(ABOUT.id, &with_gaps(&run), None).unwrap().observed
        };
        assert_eq!(observed(nesterov(specimen::plain(0))), Observed::Inconclusive);
        // Without momentum there is none.
        assert_eq!(observed(specimen::plain(0)), Observed::Holds);
    }

    /// An impulse at η = 1/10, β = 9/10, then a step without the row: ⟨q, Δq⟩ = 1539/3906250.
    #[test]
    fn nesterov_growth_coasts_outward() {
        let (rate, beta) = (0.1, 0.9);
        let rule = Nesterov { lr: rate.into(), momentum: beta, decay: None, rows: Rows::Dense };
        let mut stepper = Optimizer::Nesterov(rule).start(1, 2, &|x: f64| x);
        let mut q = [3.0, 4.0];
        stepper.move_row(0, 0, &rate, &mut q, &[-16.0 / 125.0, 12.0 / 125.0]);
        let before = q;
        stepper.move_row(0, 1, &rate, &mut q, &[0.0, 0.0]);
        let step = [q[0] - before[0], q[1] - before[1]];
        // Three roundings of numbers up to 5 in every coordinate.
        approx::assert_abs_diff_eq!(dot(&before, &step), 1539.0 / 3906250.0, epsilon = 75.0 * f64::EPSILON);
    }
}
