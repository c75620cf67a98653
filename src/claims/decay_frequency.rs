//! # Decay frequency
//!
//! Whether balance norms tell how often a row is looked up depends on whom the decay reaches. For SGD with weight decay λ and
//! gradients of constant spherical size s, a = (1−ηλ)², a row looked up every m steps tends to
//!
//! ```text
//! dense (every row decays):          before a look-up ‖q‖⁴ = η²s²·a^{m−1}/(1 − a^m),    after it ‖q‖⁴ = η²s²/(a^{m−1}(1 − a^m))
//! lazy (rows decay when looked up):  ‖q‖⁴ = η²s²/(1 − a) = ηs²/(λ(2 − ηλ)),    whatever m is
//! ```
//!
//! For mηλ ≪ 1 both dense values are near ηs²f/(2λ) with f = 1/m: ‖q‖ ∝ f^{1/4}, for good. Lazy decay forgets frequency; it needs
//! about 1/(ηλ) touches for it. With random instead of periodic look-ups the dense law is no identity: the mean fourth power
//! exceeds it (twice at f = 4ηλ) and E‖q‖² diverges for f ≲ 2ηλ.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoMomentum, NoCoordinateScaling,
//! FreshGradient, NoEpsilon; periodic look-ups, constant s (both by construction: every gradient has a direction of its own).
//! *Shapes*: one number a period. *Judged*: with x = ‖q‖⁴/(the law), max(x, 1/x) − 1 shrinks in every period at least by the
//! factor max(a^{2m}, (1−a^m)²), before and after look-ups, for periods 1, 2 and 3.
//! *Allowed residual*: γ_{m(10d+160)}·(x' + κx), the roundings of one period.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; momentum; Adam; stale gradients; an active
//! epsilon; the lazy law on dense decay and the dense law on lazy decay; look-ups after 1 and 3 steps in turn under the law
//! of period 2. *Controls that must not*: dense and lazy, coupled and decoupled decay.
//! *Proof*: proofs/theories/DecayFrequency.v.
//! *Source*: derived here.

use super::fresh_directions::{CONTRACTION_DERIVATION, contraction, courses, scenario};
use super::specimen::{self, Specimen};
use super::update_orthogonality::twins_of_the_conditions;
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::Tally;
use crate::optimizer::decay::Form;
use crate::optimizer::{Decay, Optimizer, sgd::Sgd};
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Rows;
use crate::verdict::{Observation, Place};

/// Dense decay keeps the frequency in the norm, lazy decay forgets it.
pub struct DecayFrequency;

/// Steps of the run: four touches of the rarest row.
const STEPS: usize = 10;

/// Row k is looked up every (k+1)-th step.
fn periodic() -> Vec<Vec<usize>> {
    (1..=3).map(|period| (0..STEPS).step_by(period).collect()).collect()
}

/// Judges a run by the law of the given rows: row k as if it were looked up every (k+1)-th step.
fn judge(
    materialised: &Materialised,
    trainer: &dyn Trainer,
    law_of: Rows,
    touches: &[Vec<usize>],
) -> Result<Observation> {
    let nothing = |note: &str| Ok(Observation::inconclusive(CONTRACTION_DERIVATION, note));
    let base = &materialised.scenario;
    let mut optimizer = base.item.optimizer.clone();
    let rate = optimizer.schedule().at(0);
    *optimizer.schedule_mut() = rate.into();
    let shrink = rate * optimizer.decay().map_or(0.0, |decay| decay.rate);
    if !(shrink > 0.0 && shrink < 1.0) {
        return nothing("no balance: the rate or the decay is 0, or a step turns the row around");
    }
    let scenario = scenario(materialised, optimizer, touches, STEPS, 1);
    let courses = courses(&trainer.train(&scenario.materialise()?)?, touches.len())?;
    let mut tally = Tally::default();
    for (row, (course, touches)) in courses.iter().zip(touches).enumerate() {
        let period = match law_of {
            Rows::Dense => row + 1,
            Rows::Lazy => 1,
        };
        let kept = (1.0 - shrink) * (1.0 - shrink);
        let between = kept.powi(period as i32 - 1);
        // 1 − a^m = (1 − a)·Σ a^k without cancellation.
        let lost = shrink * (2.0 - shrink) * (0..period).map(|k| kept.powi(k as i32)).sum::<f64>();
        let pull = rate * rate * course.spherical;
        for pair in touches.windows(2) {
            let laws = [(0, pull * between / lost), (1, pull / (between * lost))];
            for (after, law) in laws {
                let (old, new) = (course.squares[pair[0] + after], course.squares[pair[1] + after]);
                let measured = contraction(old, new, law, kept * between, row + 1, scenario.dim, scenario.precision);
                tally.judge(Place { step: pair[1] as u64, row: row as u64 }, &measured);
            }
        }
    }
    Ok(tally.observe(CONTRACTION_DERIVATION, "no row had a gradient"))
}

fn rows_of(materialised: &Materialised) -> Rows {
    materialised.scenario.item.optimizer.rows()
}

/// The item optimizer with weight decay 0.1; the embeddings stay below the clamp of the epsilon twin.
fn with_decay(mut scenario: Scenario) -> Scenario {
    *scenario.item.optimizer.decay_mut() = Some(Decay { rate: 0.1, form: Form::Coupled });
    scenario
}

fn decayed(seed: u64, form: Form, rows: Rows) -> Scenario {
    let sgd = Sgd { lr: 1.0.into(), decay: Some(Decay { rate: 0.1, form }), rows };
    specimen::with_optimizer(seed, Optimizer::Sgd(sgd))
}

fn dense(seed: u64) -> Scenario {
    decayed(seed, Form::Coupled, Rows::Dense)
}

fn lazy(seed: u64) -> Scenario {
    decayed(seed, Form::Coupled, Rows::Lazy)
}

const ABOUT: About = About {
    id: "decay-frequency",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "dense decay keeps look-up frequency in the balance norm (‖q‖⁴ = η²s²a^{m−1}/(1−a^m)), lazy decay forgets it",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoMomentum,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "derived here",
    derivation: CONTRACTION_DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("decay_frequency.rs"),
};

impl Claim for DecayFrequency {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::DecayedSgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, rows_of(materialised), &periodic())
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        twins.retain(|twin| twin.drops != Some(Condition::NoDecay));
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        let mut twins: Vec<_> = twins.into_iter().map(|twin| twin.adapted(with_decay)).collect();
        twins.push(
            Specimen::named("the lazy law on dense decay", dense)
                .judged_by(|materialised, trainer| judge(materialised, trainer, Rows::Lazy, &periodic())),
        );
        twins.push(
            Specimen::named("the dense law on lazy decay", lazy)
                .judged_by(|materialised, trainer| judge(materialised, trainer, Rows::Dense, &periodic())),
        );
        twins.push(Specimen::named("look-ups after 1 and 3 steps in turn, judged as period 2", dense).judged_by(
            |materialised, trainer| {
                let every_step: Vec<usize> = (0..STEPS).collect();
                judge(materialised, trainer, Rows::Dense, &[every_step, vec![0, 1, 4, 5, 8, 9]])
            },
        ));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("dense coupled decay", dense),
            Specimen::named("lazy coupled decay", lazy),
            Specimen::named("dense decoupled decay", |seed| decayed(seed, Form::Decoupled, Rows::Dense)),
        ]
    }
}

theorem!(decay_frequency, DecayFrequency, "holds, 32 judged; norms 0.576522335 1.149923616 0.659043665");
