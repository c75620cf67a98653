//! # Dilation equivariance
//!
//! A cosine loss does not see the length of a row, so a run from c·q_0 is the run from q_0, stretched, once the settings are
//! given the units that they have:
//!
//! ```text
//! q_t  →  c·q_t   with   η  →  c²·η   (SGD, heavy ball, Nesterov)      λ  →  λ/c²   (coupled decay)
//!                        η  →  c·η    (Adam, AdaGrad, row-wise)        λ  →  λ·η/η' (decoupled: η·λ stays)
//!                                                                      ε  →  ε/c    (it is added to a gradient's size)
//! ```
//!
//! Learning rate and initial norm are one number, then: what counts is η/‖q_0‖² (`displacement-number`). For powers of two
//! every operation commutes with the stretching, so the two runs agree to the last bit, and a hidden normalisation, an
//! epsilon or a term that is not homogeneous breaks the agreement. The user tower's run does not
//! change; users that are made of item rows are held fixed.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon; parameters that the embedding is of degree one in (a table, an affine map, a map
//! shared by all rows).
//! *Shapes*: q: `[d]`. *Judged*: every embedding of both towers in every step, at c = 2, ¼ and 1024.
//! *Allowed residual*: none.
//! *Twins that must break it*: inner products; an active epsilon; a two-layer encoder (of degree two); the false variants:
//! η → c·η for SGD, a decay that is not rescaled, an ε of Adam that is not rescaled. *Controls that must not*: a clamp that
//! is never active, momentum, Adam, row-wise AdaGrad, weight decay, stale gradients, a frozen bias (it stretches too), a
//! shared map.
//! *Proof*: proofs/theories/DilationEquivariance.v.
//! *Source*: Li & Arora 2019 for scale-invariant networks under SGD; the bitwise test and the other rules: derived here.

use super::runs::{Path, compare, item_tables, with_fixed_users};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::{Architecture, Form};
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::optimizer::{Optimizer, adagrad, adam, amsgrad, decay, lamb, lars, rmsprop, rowwise_adagrad, rowwise_adam};
use crate::reference::Fault;
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario, Tower};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place};

/// q_t(c·q_0) = c·q_t(q_0).
pub struct DilationEquivariance;

const DERIVATION: &str = "0: every operation commutes with a multiplication by a power of two (bitwise)";

/// The optimizer of the stretched run. Gradients are 1/c of what they were: a rule that is linear in them needs c² times the
/// rate, one that divides by their size c times.
pub(super) fn dilated(optimizer: &Optimizer, c: f64) -> Optimizer {
    let mut dilated = optimizer.clone();
    let lamb = matches!(optimizer, Optimizer::Lamb(_));
    let rate = match &mut dilated {
        Optimizer::Sgd(_) | Optimizer::HeavyBall(_) | Optimizer::Nesterov(_) => c * c,
        Optimizer::RiemannianSgd(_) | Optimizer::Sgdp(_) => c * c,
        Optimizer::SignSgd(_) | Optimizer::Lion(_) | Optimizer::Adamp(_) => c,
        Optimizer::Adam(adam::Adam { epsilon, .. })
        | Optimizer::Adagrad(adagrad::Adagrad { epsilon, .. })
        | Optimizer::RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad { epsilon, .. })
        | Optimizer::Rmsprop(rmsprop::Rmsprop { epsilon, .. })
        | Optimizer::Amsgrad(amsgrad::Amsgrad { epsilon, .. })
        | Optimizer::RowwiseAdam(rowwise_adam::RowwiseAdam { epsilon, .. }) => {
            *epsilon /= c;
            c
        }
        // The trust ratio brings the length of the row along.
        Optimizer::Lars(lars::Lars { epsilon, .. }) | Optimizer::Lamb(lamb::Lamb { epsilon, .. }) => {
            *epsilon /= c;
            1.0
        }
        Optimizer::Own(_) => unreachable!("what a stretched start does to it, only itself could say: it is not judged"),
    };
    dilated.schedule_mut().scale(rate);
    if let Some(decay) = dilated.decay_mut() {
        decay.rate /= match decay.form {
            decay::Form::Coupled => c * c,
            // LAMB's is a term of a direction that has no scale.
            decay::Form::Decoupled if lamb => c,
            decay::Form::Decoupled => rate,
        };
    }
    dilated
}

/// Why no settings make a stretched run of this tower, if none do.
fn without_image(tower: &Tower) -> Option<&'static str> {
    match &tower.optimizer {
        Optimizer::Own(_) => Some("the image of an optimizer of one's own is not known"),
        // One epsilon is added to norms of rows and of gradients, which stretch in opposite ways.
        Optimizer::Sgdp(sgdp) if sgdp.epsilon != 0.0 => Some("the projection has an epsilon"),
        Optimizer::Adamp(adamp) if adamp.epsilon != 0.0 => Some("the projection has an epsilon"),
        _ if tower.update.storage.as_ref().is_some_and(|storage| storage.format == Precision::F16) => {
            Some("the range of float16 is too narrow to stretch in")
        }
        _ => None,
    }
}

/// The scenario with its item parameters c times as long and its item optimizer changed accordingly.
fn stretched(scenario: &Scenario, c: f64, optimizer: Optimizer) -> Scenario {
    let mut stretched = scenario.clone();
    item_tables(&mut stretched).iter_mut().flatten().for_each(|x| *x *= c);
    let (size, tower) = (scenario.size(Side::Item), &mut stretched.item);
    let forms = tower.encoder.constants(size);
    let shared = tower.encoder.shared_constants(size.dim);
    if let Initial::Explicit { constants, .. } = &mut tower.initial {
        // A frozen bias is a part of the embedding; features are not.
        let offset =
            forms.iter().flat_map(|constant| std::iter::repeat_n(constant.form == Form::Offset, constant.count));
        let offsets = constants[shared..].iter_mut().zip(offset.cycle()).filter(|(_, offset)| *offset);
        offsets.for_each(|(x, _)| *x *= c);
    }
    tower.optimizer = optimizer;
    tower.update.rescale(c);
    stretched
}

fn examine_by(
    materialised: &Materialised,
    trainer: &dyn Trainer,
    dilated: fn(&Optimizer, f64) -> Optimizer,
) -> Result<Observation> {
    // Users that are made of item rows would stretch in part.
    if let Some(why) = without_image(&materialised.scenario.item) {
        return Ok(Observation::inconclusive(DERIVATION, why));
    }
    let scenario = match materialised.scenario.user.encoder.reads_other() {
        true => with_fixed_users(materialised),
        false => materialised.explicit(),
    };
    let trajectory = trainer.train(&scenario.materialise()?)?;
    let items = Path::read(&trajectory, Side::Item)?;
    let users = Path::read(&trajectory, Side::User)?;
    let mut tally = Tally::default();
    for c in [2.0, 0.25, 1024.0] {
        let other = stretched(&scenario, c, dilated(&scenario.item.optimizer, c)).materialise()?;
        let paths = trainer
            .train(&other)
            .and_then(|trajectory| Ok((Path::read(&trajectory, Side::Item)?, Path::read(&trajectory, Side::User)?)));
        match paths {
            Ok((other_items, other_users)) => {
                let scaled = |row: usize, q: &[f64]| (row, q.iter().map(|x| c * x).collect());
                compare(&mut tally, &items, &other_items, scaled, |_, _, _| 0.0);
                compare(&mut tally, &users, &other_users, |row, u| (row, u.to_vec()), |_, _, _| 0.0);
            }
            // One run is finite and its image is not.
            Err(error) if error.is_not_finite() => {
                tally.judge(Place { step: 0, row: 0 }, &Measured::new(f64::INFINITY, 0.0, 1.0));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(tally.observe(DERIVATION, "no row moved"))
}

/// False: the rate times c where it must be times c².
fn rate_times_c(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, |optimizer, c| {
        let mut dilated = optimizer.clone();
        dilated.schedule_mut().scale(c);
        dilated
    })
}

/// False: the decay as it was.
fn decay_kept(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, |optimizer, c| {
        let mut dilated = dilated(optimizer, c);
        *dilated.decay_mut() = optimizer.decay().cloned();
        dilated
    })
}

/// False: the rates rescaled, Adam's ε as it was.
fn epsilon_kept(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, |optimizer, c| {
        let mut dilated = optimizer.clone();
        dilated.schedule_mut().scale(c);
        dilated
    })
}

const ABOUT: About = About {
    id: "dilation-equivariance",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "stretching the start stretches the run: q_t(c·q_0) = c·q_t(q_0), settings rescaled by their units",
    conditions: &[Condition::CosineLoss, Condition::NoEpsilon],
    source: "Li & Arora 2019 for scale-invariant networks under SGD; the bitwise test and the other rules: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("dilation_equivariance.rs"),
};

impl Claim for DilationEquivariance {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Any, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, dilated)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::named("a private two-layer encoder: of degree two in its parameters", specimen::two_layer),
            Specimen::named("variant: SGD's rate times c", specimen::plain).judged_by(rate_times_c),
            Specimen::named("variant: the decay as it was", specimen::weight_decay).judged_by(decay_kept),
            Specimen::named("variant: Adam's epsilon as it was", specimen::adam).judged_by(epsilon_kept),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::benign(Condition::NoEpsilon, "a clamp that is never active", specimen::inactive_epsilon),
            Specimen::benign(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum),
            Specimen::benign(Condition::NoCoordinateScaling, "Adam", specimen::adam),
            Specimen::benign(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::benign(Condition::PrivateParameters, "a shared linear encoder", specimen::shared_linear),
            Specimen::benign(Condition::FreshGradient, "gradients one step late", specimen::plain)
                .with_fault(Fault::StaleGradient),
            Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad),
            Specimen::named("an affine encoder with a frozen bias", specimen::frozen_bias),
        ]
    }
}

theorem!(
    dilation_equivariance,
    DilationEquivariance,
    "holds, 480 judged; norms 1.668013155 1.186564277 1.354420513"
);
