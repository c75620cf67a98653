//! # Decay equilibrium
//!
//! Weight decay pulls in, orthogonal gradients push out. With gradients of constant spherical size s = ‖q‖‖g‖ they balance at
//!
//! ```text
//! SGD:                          ‖q*‖⁴ = ηs²/(λ(2 − ηλ))
//! heavy ball, coupled decay:    ‖q*‖⁴ = ηs²/(λ(1 − β)(2 − ηλ/(1 + β)))
//! ```
//!
//! For SGD the balance attracts every norm: with a = (1−ηλ)² and x = ‖q‖⁴/‖q*‖⁴ the deviation max(x, 1/x) − 1 shrinks in every
//! step at least by the factor max(a², (1−a)²). A step in balance turns the row by arccos(1 − ηλ) ≈ √(2ηλ). For the heavy ball
//! the three moments ‖q‖², ⟨q,p⟩, ‖p‖² obey a recursion that stands still there and only there. That needs gradients that are
//! *uncorrelated* from step to step: with persistent ones ‖q*‖⁴ is larger, up to (1+β)/(1−β) times.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoCoordinateScaling, FreshGradient,
//! NoEpsilon; constant s and uncorrelated gradients (by construction: every gradient has a direction of its own).
//! *Shapes*: one number a step. *Judged*: the contraction (SGD); ‖q_t‖² against the recursion of the moments; that one step of
//! the recursion leaves the balance where it is.
//! *Allowed residual*: running error bounds of the recursion, which takes in the roundings of the vectors in every step.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; Adam; stale gradients; an active epsilon;
//! momentum with each direction twice; decoupled decay under momentum; the law without 1 − β, and without the 1 + β.
//! *Controls that must not*: momentum 0.9, momentum 0, lazy rows, decoupled decay under plain SGD.
//! *Proof*: proofs/theories/DecayEquilibrium.v.
//! *Source*: van Laarhoven 2017; Wan et al. 2021 (spherical motion dynamics); the recursion derived here.

use super::fresh_directions::{contraction, courses, scenario};
use super::specimen::{self, Specimen};
use super::update_orthogonality::twins_of_the_conditions;
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::number::{Field, Real, Running};
use crate::optimizer::decay::Form;
use crate::optimizer::{Decay, Optimizer, heavy_ball::HeavyBall, sgd::Sgd};
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Rows;
use crate::verdict::{Observation, Place};

/// ‖q*‖⁴ = ηs²/(λ(1−β)(2 − ηλ/(1+β))).
pub struct DecayEquilibrium;

const DERIVATION: &str = "‖q_t‖²: running error of the recursion of ‖q‖², ⟨q,p⟩, ‖p‖², into which every step puts the roundings of \
    q' = q − ηp (γ_3) and p' = βp + g + λq (γ_5; γ_{d+14} of g) and the measured s² its γ_{4d+40}; the balance: running error of one \
    step of the recursion; the contraction: γ_{10d+160}·(x' + κx)";

/// Steps of a run.
const STEPS: usize = 10;

type Number = Running<53>;

/// η, λ, β and s².
struct Setting {
    rate: Number,
    lambda: Number,
    beta: Number,
    spherical: Number,
}

/// ‖q‖², ⟨q,p⟩ and ‖p‖², p the buffer that moves q.
#[derive(Clone, Copy)]
struct Moments {
    length: Number,
    radial: Number,
    buffer: Number,
}

impl Setting {
    /// After p ← g + λq, from ‖q‖² and the radial and squared size of the buffer that β leaves.
    fn pull(&self, length: Number, radial: Number, buffer: Number) -> Moments {
        let (lambda, two) = (self.lambda, Number::from_f64(2.0));
        Moments {
            length,
            radial: radial + lambda * length,
            buffer: buffer + self.spherical / length + lambda * lambda * length + two * lambda * radial,
        }
    }

    /// One step: q ← q − ηp, p ← βp + g + λq with ‖g‖² = s²/‖q‖², g orthogonal to q and to p.
    fn step(&self, now: Moments) -> Moments {
        let (rate, two) = (self.rate, Number::from_f64(2.0));
        let length = now.length - two * rate * now.radial + rate * rate * now.buffer;
        let left = now.radial - rate * now.buffer;
        self.pull(length, self.beta * left, self.beta * self.beta * now.buffer)
    }

    /// What the roundings of the vectors add to the moments after a step.
    fn disturb(&self, before: Moments, after: Moments, dim: usize, format: Precision) -> Moments {
        let size = |square: Number| (square.value().max(0.0) + square.error()).sqrt();
        let (q, p) = (size(after.length), size(after.buffer));
        let (rate, beta) = (self.rate.value(), self.beta.value());
        let moved = format.gamma(3) * (size(before.length) + rate * size(before.buffer) + q);
        let gradient = size(self.spherical / after.length);
        let turned = format.gamma(5) * (beta * size(before.buffer) + self.lambda.value() * q + p)
            + format.gamma(dim + 14) * gradient
            + beta * moved;
        let wider = |number: Number, by: f64| Number::uncertain(number.value(), number.error() + by);
        Moments {
            length: wider(after.length, (2.0 * q + moved) * moved),
            radial: wider(after.radial, q * turned + (p + turned) * moved),
            buffer: wider(after.buffer, (2.0 * p + turned) * turned),
        }
    }
}

/// ‖q*‖⁴ of a setting.
type Law = fn(&Setting) -> Number;

fn law(setting: &Setting) -> Number {
    let Setting { rate, lambda, beta, spherical } = *setting;
    let (one, two) = (Number::one(), Number::from_f64(2.0));
    rate * spherical / (lambda * (one - beta) * (two - rate * lambda / (one + beta)))
}

fn judge(materialised: &Materialised, trainer: &dyn Trainer, law: Law, hold: usize) -> Result<Observation> {
    let mut optimizer = materialised.scenario.item.optimizer.clone();
    let rate = optimizer.schedule().at(0);
    *optimizer.schedule_mut() = rate.into();
    let beta = match &mut optimizer {
        Optimizer::HeavyBall(ball) => {
            ball.dampening = 0.0;
            ball.momentum
        }
        _ => 0.0,
    };
    let lambda = optimizer.decay().map_or(0.0, |decay| decay.rate);
    let shrink = rate * lambda;
    if !(shrink > 0.0 && shrink < 1.0) {
        return Ok(Observation::inconclusive(
            DERIVATION,
            "no balance: the rate or the decay is 0, or a step turns the row around",
        ));
    }
    let scenario = scenario(materialised, optimizer, &[(0..STEPS).collect()], STEPS, hold);
    let (dim, format) = (scenario.dim, scenario.precision);
    let course = &courses(&trainer.train(&scenario.materialise()?)?, 1)?[0];
    if course.spherical == 0.0 {
        return Ok(Observation::inconclusive(DERIVATION, "no row had a gradient"));
    }
    let setting = Setting {
        rate: Number::from_f64(rate),
        lambda: Number::from_f64(lambda),
        beta: Number::from_f64(beta),
        spherical: Number::uncertain(course.spherical, format.gamma(4 * dim + 40) * course.spherical),
    };
    let mut tally = Tally::default();
    let mut put = |step: usize, measured: Measured| tally.judge(Place { step: step as u64, row: 0 }, &measured);

    let start = course.squares[0];
    let own = |square: f64| Precision::F64.gamma(dim + 2) * square;
    let mut moments = setting.pull(Number::uncertain(start, own(start)), Number::zero(), Number::zero());
    for (step, &square) in course.squares.iter().enumerate().skip(1) {
        let before = moments;
        moments = setting.disturb(before, setting.step(before), dim, format);
        let residual = (moments.length.value() - square).abs();
        // Without the decay, or without the gradient, ‖q‖² would be off by so much.
        let signal = (2.0 * shrink * before.length.value()).min(rate * rate * course.spherical / before.length.value());
        put(step, Measured::new(residual, moments.length.error() + own(square), signal));
    }

    let fourth = law(&setting);
    let length = Real::sqrt(fourth);
    let radial = setting.lambda * length / (Number::one() + setting.beta);
    let balance = Moments { length, radial, buffer: Number::from_f64(2.0) * radial / setting.rate };
    let after = setting.step(balance);
    for (stays, was) in [(after.length, balance.length), (after.radial, balance.radial), (after.buffer, balance.buffer)]
    {
        let residual = (stays.value() - was.value()).abs();
        put(STEPS, Measured::new(residual, stays.error() + was.error(), shrink * was.value()));
    }

    if beta == 0.0 {
        let kept = (1.0 - shrink) * (1.0 - shrink);
        for (step, pair) in course.squares.windows(2).enumerate() {
            put(step, contraction(pair[0], pair[1], fourth.value(), kept, 1, dim, format));
        }
    }
    Ok(tally.observe(DERIVATION, "nothing to judge"))
}

fn ball(seed: u64, momentum: f64, form: Form) -> Scenario {
    let decay = Some(Decay { rate: 0.1, form });
    let ball = HeavyBall { lr: 0.5.into(), momentum, dampening: 0.0, decay, rows: Rows::Dense };
    specimen::with_optimizer(seed, Optimizer::HeavyBall(ball))
}

fn momentum(seed: u64) -> Scenario {
    ball(seed, 0.9, Form::Coupled)
}

fn with_decay(mut scenario: Scenario) -> Scenario {
    *scenario.item.optimizer.decay_mut() = Some(Decay { rate: 0.1, form: Form::Coupled });
    scenario
}

const ABOUT: About = About {
    id: "decay-equilibrium",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "under weight decay the norm balances at ‖q*‖⁴ = ηs²/(λ(1−β)(2 − ηλ/(1+β))), uncorrelated gradients of size s",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "van Laarhoven 2017; Wan et al. 2021 (spherical motion dynamics); the recursion derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("decay_equilibrium.rs"),
};

impl Claim for DecayEquilibrium {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::DecayedHeavyBall, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, law, 1)
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        twins.retain(|twin| twin.drops != Some(Condition::NoDecay));
        let mut twins: Vec<_> = twins.into_iter().map(|twin| twin.adapted(with_decay)).collect();
        twins.push(
            Specimen::named("momentum 0.9 with each direction twice", momentum)
                .judged_by(|materialised, trainer| judge(materialised, trainer, law, 2)),
        );
        twins.push(Specimen::named("decoupled decay under momentum 0.9", |seed| ball(seed, 0.9, Form::Decoupled)));
        twins.push(Specimen::named("the law without 1 − β", momentum).judged_by(|materialised, trainer| {
            judge(materialised, trainer, |setting| law(setting) * (Number::one() - setting.beta), 1)
        }));
        twins.push(Specimen::named("the law without the 1 + β", momentum).judged_by(|materialised, trainer| {
            let law: Law = |&Setting { rate, lambda, beta, spherical }| {
                rate * spherical / (lambda * (Number::one() - beta) * (Number::from_f64(2.0) - rate * lambda))
            };
            judge(materialised, trainer, law, 1)
        }));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        fn sgd(seed: u64, form: Form, rows: Rows) -> Scenario {
            let sgd = Sgd { lr: 1.0.into(), decay: Some(Decay { rate: 0.1, form }), rows };
            specimen::with_optimizer(seed, Optimizer::Sgd(sgd))
        }
        vec![
            Specimen::named("momentum 0.9", momentum),
            Specimen::named("momentum 0", |seed| ball(seed, 0.0, Form::Coupled)),
            Specimen::named("lazy rows", |seed| sgd(seed, Form::Coupled, Rows::Lazy)),
            Specimen::named("decoupled decay under plain SGD", |seed| sgd(seed, Form::Decoupled, Rows::Dense)),
        ]
    }
}

theorem!(decay_equilibrium, DecayEquilibrium, "holds, 13 judged; norms 0.971452717 1.074630775 1.177601390");

#[cfg(test)]
mod roundings {
    use super::*;
    use crate::claims::Claim;
    use crate::reference::Reference;
    use crate::verdict::Observed;

    #[test]
    fn a_decay_below_rounding_has_no_balance_that_could_be_seen() {
        let observed = |rate: f64| {
            let mut scenario = momentum(0);
            *scenario.item.optimizer.decay_mut() = Some(Decay { rate, form: Form::Coupled });
            DecayEquilibrium.examine(&scenario.materialise().unwrap(), &Reference).unwrap().observed
        };
        assert_eq!(observed(0.1), Observed::Holds);
        assert_eq!(observed(Precision::F64.unit_roundoff().powi(2)), Observed::Inconclusive);
    }

    #[test]
    fn a_row_rounded_by_e_changes_its_product_with_the_buffer_by_as_much_as_the_buffer_is_long() {
        let number = Number::from_f64;
        let setting =
            Setting { rate: number(1.0), lambda: Number::zero(), beta: Number::zero(), spherical: Number::zero() };
        let before = Moments { length: number(1.0), radial: Number::zero(), buffer: Number::zero() };
        // The row is short and its buffer long, so that no other rounding counts.
        let after = Moments { length: number(2.0_f64.powi(-80)), radial: Number::zero(), buffer: number(1.0) };
        let disturbed = setting.disturb(before, after, 8, Precision::F64);
        let moved = Precision::F64.gamma(3);
        assert!(disturbed.radial.error() >= moved && disturbed.radial.error() < 2.0 * moved);
    }

    #[test]
    fn a_row_of_length_x_that_is_off_by_e_has_a_square_of_up_to_x_plus_e_squared() {
        let number = Number::from_f64;
        let setting =
            Setting { rate: Number::zero(), lambda: Number::zero(), beta: Number::zero(), spherical: Number::zero() };
        let row = Moments { length: number(1.0), radial: Number::zero(), buffer: number(1.0) };
        // Few digits, so that the square of the error shows.
        let format = Precision::Bf16;
        let disturbed = setting.disturb(row, row, 8, format);
        let largest = |off: f64| (1.0 + off).powi(2);
        let own = Precision::F64.gamma(8);
        assert!((1.0 + disturbed.length.error() - largest(2.0 * format.gamma(3))).abs() < own);
        assert!((1.0 + disturbed.buffer.error() - largest(format.gamma(5))).abs() < own);
    }
}
