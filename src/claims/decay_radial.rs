//! # Decay radial
//!
//! Under plain SGD with weight decay λ the step has a radial part, and it is the decay alone:
//!
//! ```text
//! q' = (1 − ηλ)·q − η·g,    ⟨q, Δq⟩ = −ηλ·‖q‖²,    ‖q'‖² = (1 − ηλ)²‖q‖² + η²‖g‖²
//! ```
//!
//! Coupled and decoupled decay are the same here. The angle does not vanish with the rate: cos∠(q, Δq) =
//! −λ‖q‖/√(‖g‖² + λ²‖q‖²). In place of monotone growth stands an interval test: with s = ‖q‖‖g‖ the norm grows where
//! ‖q‖⁴ < ηs²/(λ(2 − ηλ)), shrinks above, and stays there (`decay-equilibrium`). Rows that were not looked up shrink by
//! 1 − ηλ in a dense run and stay in a lazy one. With λ = 0 it is orthogonality and Pythagoras.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoMomentum, NoCoordinateScaling,
//! FreshGradient, NoEpsilon; η and λ declared or measured.
//! *Shapes*: q, g: `[d]`. *Judged*: both identities on every row that the decay visits.
//! *Allowed residual*: with e a bound on the error of the stored q' (storage, the decay's own four roundings, what is unknown
//! of η and λ): ‖q‖·e + η·(the gradient's allowance) for the radial part, 2‖q'‖·e + e² + 2η(1−ηλ)·(the gradient's allowance)
//! for the norm.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; momentum; Adam; stale gradients; an active
//! epsilon; another decay than declared; a lazy decay declared dense. *Controls that must not*: dense and lazy, coupled and
//! decoupled decay, a warm-up schedule, a deep user tower trained by Adam.
//! *Proof*: proofs/theories/DecayRadial.v.
//! *Source*: van Laarhoven 2017 for the norm; the radial part derived here.

use super::specimen::{self, Specimen};
use super::update_orthogonality::{read_as, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing, UNKNOWN_RATE};
use crate::condition::Condition;
use crate::facts::{Context, Facts, Measure, Measured, RecordFacts, Watched};
use crate::optimizer::decay::Form;
use crate::optimizer::{Decay, Optimizer, sgd::Sgd};
use crate::rounding::Precision;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::{Rows, Settings};
use crate::verdict::Observation;

/// ⟨q, Δq⟩ = −ηλ‖q‖².
pub struct DecayRadial;

const DERIVATION: &str = "‖q‖·e + η·(the gradient's allowance) for ⟨q,Δq⟩, 2‖q'‖·e + e² + 2η|1−ηλ|·(the gradient's allowance) for \
    ‖q'‖², with e = the storage error + γ_4·((1+ηλ)‖q‖ + η‖g‖) for the decay's products and sums + what is unknown of η and λ; and \
    the f64 rounding of the check";

/// λ of plain SGD, where the step visits the row of a record; 0 without decay.
fn decay_of(facts: &RecordFacts<'_>, context: &Context) -> Option<f64> {
    let Optimizer::Sgd(Sgd { decay, rows, .. }) = &context.replays.first()?.optimizer else {
        return None;
    };
    // Where dense or lazy is not declared, both are readings, and nothing is known of the other rows.
    let everywhere = *rows == Rows::Dense && context.replays.len() == 1 && decay.is_some();
    let visited = everywhere || facts.gradient_norm? > 0.0;
    visited.then_some(decay.as_ref().map_or(0.0, |decay| decay.rate))
}

/// The worse of the two identities.
fn measure(facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
    let rate = context.sgd_rate(facts.record.step)?;
    let lambda = decay_of(facts, context)?;
    let uncertainty = context.replays.first()?.relative_error + context.rates.as_ref()?.relative_error();
    let (shrink, pull) = (rate * lambda, rate * facts.gradient_norm?);
    let (gradient, amplification) = match facts.gradient_norm {
        Some(0.0) => (0.0, 1.0),
        _ => context.gradient_allowance(facts),
    };
    let length = facts.norm;
    let error = context.storage_error(facts)
        + context.arithmetic.storage.gamma(4) * ((1.0 + shrink) * length + pull)
        + uncertainty * (shrink * length + pull);

    let decayed = shrink * length * length;
    let own = context.own_check(length * facts.step_norm + decayed);
    // Without decay it is the whole step that must not point along the embedding.
    let signal = if lambda == 0.0 {
        length * facts.step_norm
    } else {
        decayed
    };
    let radial = Measured {
        amplification,
        ..Measured::new((facts.radial_step + decayed).abs(), length * error + rate * gradient + own, signal)
    };
    let expected = pull * pull - (2.0 - shrink) * decayed;
    // Two squared norms and a handful of products.
    let own = context.own_check(facts.step_norm * (length + facts.next_norm))
        + Precision::F64.gamma(2 * context.dim + 8) * (pull * pull + (2.0 + shrink) * decayed);
    let allowed = (2.0 * facts.next_norm + error) * error + 2.0 * rate * (1.0 - shrink).abs() * gradient + own;
    let norm = Measured { amplification, ..Measured::new((facts.growth - expected).abs(), allowed, 2.0 * signal) };
    let worse = norm.residual * radial.allowed > radial.residual * norm.allowed;
    Some(if worse { norm } else { radial })
}

/// SGD with weight decay 0.1.
fn decayed(form: Form, rows: Rows) -> Optimizer {
    Optimizer::Sgd(Sgd { lr: 1.0.into(), decay: Some(Decay { rate: 0.1, form }), rows })
}

/// Plain SGD becomes SGD with decay; other rules stay.
fn with_decay(mut scenario: Scenario) -> Scenario {
    if let Optimizer::Sgd(sgd) = &mut scenario.item.optimizer {
        sgd.decay = Some(Decay { rate: 0.1, form: Form::Coupled });
    }
    scenario
}

fn declared(settings: &mut Settings) {
    read_as(settings, &decayed(Form::Coupled, Rows::Dense));
}

const ABOUT: About = About {
    id: "decay-radial",
    kind: Kind::Step,
    standing: Standing::Theorem,
    statement: "under SGD with weight decay ⟨q, Δq⟩ = −ηλ‖q‖² and ‖q'‖² = (1−ηλ)²‖q‖² + η²‖g‖²",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoMomentum,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "van Laarhoven 2017 for the norm; the radial part derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("decay_radial.rs"),
};

impl Claim for DecayRadial {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::DecayedSgd, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        vec![Watched { id: ABOUT.id.into(), measure: Measure::Step(measure) }]
    }
    fn observe(&self, facts: &Facts, context: &Context) -> Observation {
        if context.sgd_rate(0).is_none() {
            return Observation::inconclusive(DERIVATION, UNKNOWN_RATE);
        }
        facts
            .tally(ABOUT.id)
            .observe(DERIVATION, "nothing to judge: neither declared nor measured to be plain SGD, or no gradients")
    }
    fn twins(&self) -> Vec<Specimen> {
        fn twice_the_decay(scenario: Scenario) -> Scenario {
            let mut scenario = with_decay(scenario);
            *scenario.item.optimizer.decay_mut() = Some(Decay { rate: 0.2, form: Form::Coupled });
            scenario
        }
        fn lazy(scenario: Scenario) -> Scenario {
            let mut scenario = with_decay(scenario);
            *scenario.item.optimizer.rows_mut() = Rows::Lazy;
            scenario
        }
        let mut twins = twins_of_the_conditions();
        twins.retain(|twin| twin.drops != Some(Condition::NoDecay));
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        let mut twins: Vec<_> = twins.into_iter().map(|twin| twin.adapted(with_decay).with_header(declared)).collect();
        let plain = |name| Specimen::named(name, specimen::plain).with_header(declared);
        twins.push(plain("no decay where 0.1 is declared"));
        twins.push(plain("decay 0.2 where 0.1 is declared").adapted(twice_the_decay));
        twins.push(plain("lazy decay declared dense").adapted(lazy));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("dense coupled decay", specimen::weight_decay),
            Specimen::named("lazy coupled decay", |seed| {
                specimen::with_optimizer(seed, decayed(Form::Coupled, Rows::Lazy))
            }),
            Specimen::named("dense decoupled decay", |seed| {
                specimen::with_optimizer(seed, decayed(Form::Decoupled, Rows::Dense))
            }),
            Specimen::named("a warm-up schedule", specimen::warm_up).adapted(with_decay),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower).adapted(with_decay),
        ]
    }
}

theorem!(decay_radial, DecayRadial, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod resolution {
    use super::*;
    use crate::reference::Reference;
    use crate::verdict::Observed;

    #[test]
    fn a_decay_below_rounding_is_neither_confirmed_nor_refuted() {
        let observed = |rate: f64| {
            let decay = Some(Decay { rate, form: Form::Coupled });
            let sgd = Optimizer::Sgd(Sgd { lr: 0.25.into(), decay, rows: Rows::Dense });
            let scenario = specimen::with_optimizer(0, sgd);
            DecayRadial.examine(&scenario.materialise().unwrap(), &Reference).unwrap().observed
        };
        assert_eq!(observed(0.1), Observed::Holds);
        assert_eq!(observed(Precision::F64.unit_roundoff().powi(2)), Observed::Inconclusive);
    }
}
