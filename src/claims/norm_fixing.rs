//! # Norm fixing
//!
//! Ways to take the norm out of training, and what each guarantees, whatever the loss, the optimizer and the sampling:
//!
//! ```text
//! renormalise after each step, Riemannian SGD:  ‖q_t‖ = ‖q_0‖
//! max-norm after each step:                     ‖q_t‖ ≤ M
//! weight norm, q = s·v/‖v‖ with s fixed:        ‖q_t‖ = |s|
//! layer norm without gain and bias:             ‖q_t‖ = √d·√(var/(var+ε)) ≤ √d
//! ```
//!
//! Between rows of equal norm a step is a chord: ⟨q,Δq⟩ = −‖Δq‖²/2, inward, which is no violation of anything. The norm that is
//! compared with is a stored one, so that rounding does not add up over steps. Layer norm's ε undoes it: where the variance is
//! small against ε the row is nearly linear in its parameters, and its norm grows like any other.
//!
//! *Hypotheses*: none, but that no step ends in the origin (orthogonal steps cannot).
//! *Shapes*: q, v: `[d]`. *Judged*: the norm of every row after every step, of the random scenario under each of these in turn.
//! *Allowed residual*: γ_{d+8}·‖q‖: a norm is a sum of d squares, halved by the root (d/2 + 1); the stored norm is another; a
//! quotient and a product a coordinate; γ_{d+2} in f64 for the check. Underflow: d times the smallest number.
//! *Twins that must break it*: nothing done; a length that is trained; gain and bias; an ε of layer norm against √d.
//! *Controls that must not*: momentum, Adam, weight decay, inner products, stale gradients, lost duplicates.
//! *Proof*: proofs/theories/NormFixing.v.
//! *Source*: Salimans & Kingma 2016 (weight norm), Ba et al. 2016 (layer norm); rounding and the rest: derived here.

use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::encoder::{EncoderKind, layer_norm::LayerNorm, weight_norm::WeightNorm};
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::norm_f64;
use crate::optimizer::constraint::Constraint;
use crate::optimizer::{Optimizer, riemannian_sgd::RiemannianSgd};
use crate::reference::Fault;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place};

/// ‖q‖ stays, or stays below.
pub struct NormFixing;

const DERIVATION: &str = "γ_{d+8}·‖q‖ (d squares and a root, for the row and for the stored norm, a quotient, a product) + γ_{d+2} in \
    f64 for the check + d times the smallest number";

/// What the norms of a tower's rows must be.
#[derive(Clone)]
enum Norms {
    /// One for each row.
    Stay(Vec<f64>),
    /// At most this.
    AtMost(f64),
}

/// Trains a scenario and adds the norms of all item rows after every step to the tally.
fn judge(scenario: &Scenario, norms: &Norms, trainer: &dyn Trainer, tally: &mut Tally) -> Result<()> {
    let trajectory = trainer.train(&scenario.materialise()?)?;
    let precision = scenario.precision;
    let rounding = precision.gamma(scenario.dim + 8) + crate::rounding::Precision::F64.gamma(scenario.dim + 2);
    let mut moved = vec![false; scenario.item.rows];
    for tower in trajectory.towers().iter().filter(|tower| tower.side() != Some(Side::User)) {
        tower.for_each(0..tower.rows(), &mut |record| {
            moved[record.row] |= record.q != record.q_next;
            // A row that never moved has the norm that it started with, whatever is done.
            if !moved[record.row] {
                return Ok(());
            }
            let norm = norm_f64(record.q_next);
            // Where a step ends in the origin no direction is left to give a length to.
            if norm == 0.0 {
                return Ok(());
            }
            let (expected, residual) = match norms {
                Norms::Stay(norms) => (norms[record.row], (norm - norms[record.row]).abs()),
                Norms::AtMost(limit) => (*limit, norm - limit),
            };
            let underflow = scenario.dim as f64 * precision.underflow();
            let measured = Measured::new(residual, rounding * expected + underflow, norm);
            tally.judge(Place { step: record.step as u64, row: record.row as u64 }, &measured);
            Ok(())
        })?;
    }
    Ok(())
}

fn observe(scenario: &Scenario, norms: &Norms, trainer: &dyn Trainer) -> Result<Observation> {
    let mut tally = Tally::default();
    judge(scenario, norms, trainer, &mut tally)?;
    Ok(tally.observe(DERIVATION, "no row moved"))
}

/// The initial rows of an item tower that is a table.
fn rows(materialised: &Materialised) -> impl Iterator<Item = &[f64]> {
    let table = &materialised.item.tables[0];
    (0..table.rows()).map(|row| table.row(row))
}

fn initial_norms(materialised: &Materialised) -> Vec<f64> {
    rows(materialised).map(norm_f64).collect()
}

/// The scenario under each of the ways to fix its norms. A layer norm needs rows that are not constant.
fn fixed(materialised: &Materialised) -> Vec<(Scenario, Norms)> {
    let explicit = || {
        let mut scenario = materialised.explicit();
        scenario.item.encoder = EncoderKind::Table(Default::default());
        (scenario.item.update.constraint, scenario.item.update.storage) = (None, None);
        scenario
    };
    let norms = initial_norms(materialised);
    let mut ways = Vec::new();
    let longest = norms.iter().copied().fold(0.0, f64::max);
    for (constraint, expected) in [
        (Constraint::Renormalise, Norms::Stay(norms.clone())),
        (Constraint::MaxNorm(longest), Norms::AtMost(longest)),
    ] {
        let mut scenario = explicit();
        scenario.item.update.constraint = Some(constraint);
        ways.push((scenario, expected));
    }
    let mut sphere = explicit();
    let (lr, rows_of) = (sphere.item.optimizer.schedule().clone(), sphere.item.optimizer.rows());
    sphere.item.optimizer = Optimizer::RiemannianSgd(RiemannianSgd { lr, decay: None, rows: rows_of });
    ways.push((sphere, Norms::Stay(norms.clone())));
    let mut weights = explicit();
    weights.item.encoder = EncoderKind::WeightNorm(WeightNorm { trained: false });
    if let Initial::Explicit { constants, .. } = &mut weights.item.initial {
        *constants = norms.clone();
    }
    ways.push((weights, Norms::Stay(norms.clone())));
    let constant = |row: &[f64]| row.iter().all(|x| *x == row[0]);
    if !rows(materialised).any(constant) {
        let mut layers = explicit();
        layers.item.encoder = EncoderKind::LayerNorm(LayerNorm { affine: false, epsilon: 0.0 });
        let root = (layers.dim as f64).sqrt();
        ways.push((layers, Norms::Stay(vec![root; norms.len()])));
    }
    ways
}

const ABOUT: About = About {
    id: "norm-fixing",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "renormalising, a retraction, weight norm and layer norm keep norms; a clamp bounds them",
    conditions: &[],
    source: "Salimans & Kingma 2016 (weight norm), Ba et al. 2016 (layer norm); rounding and the rest: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("norm_fixing.rs"),
};

/// Inner products, whose gradients have a radial part, with this encoder.
fn radial(seed: u64, encoder: EncoderKind) -> Scenario {
    let mut scenario = specimen::dot_product(seed);
    scenario.item.encoder = encoder;
    scenario
}

/// The norms of the embeddings that a scenario starts with must stay.
fn as_if_fixed(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    let session = crate::reference::Session::<f64>::new(materialised);
    let norm = |row| norm_f64(&session.embedding(Side::Item, row));
    let norms = (0..materialised.scenario.item.rows).map(norm).collect();
    observe(&materialised.scenario, &Norms::Stay(norms), trainer)
}

fn as_if_clamped(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    let longest = initial_norms(materialised).into_iter().fold(0.0, f64::max);
    observe(&materialised.scenario, &Norms::AtMost(longest), trainer)
}

fn as_if_without_epsilon(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    let root = (materialised.scenario.dim as f64).sqrt();
    let norms = Norms::Stay(vec![root; materialised.scenario.item.rows]);
    observe(&materialised.scenario, &norms, trainer)
}

impl Claim for NormFixing {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Any, losses: Losses::Any }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        let mut tally = Tally::default();
        for (scenario, norms) in fixed(materialised) {
            judge(&scenario, &norms, trainer, &mut tally)?;
        }
        Ok(tally.observe(DERIVATION, "no row moved"))
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("nothing done to the norms", specimen::plain).judged_by(as_if_fixed),
            Specimen::named("nothing done to long rows", specimen::plain).judged_by(as_if_clamped),
            Specimen::named("weight norm with a trained length", |seed| {
                radial(seed, EncoderKind::WeightNorm(WeightNorm { trained: true }))
            })
            .judged_by(as_if_fixed),
            Specimen::named("layer norm with gain and bias", |seed| {
                radial(seed, EncoderKind::LayerNorm(LayerNorm { affine: true, epsilon: 0.0 }))
            })
            .judged_by(as_if_fixed),
            Specimen::named("layer norm with an ε of 1, held against √d", |seed| {
                radial(seed, EncoderKind::LayerNorm(LayerNorm { affine: false, epsilon: 1.0 }))
            })
            .judged_by(as_if_without_epsilon),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("plain SGD", specimen::plain),
            Specimen::named("heavy-ball momentum", specimen::momentum),
            Specimen::named("Adam", specimen::adam),
            Specimen::named("weight decay", specimen::weight_decay),
            Specimen::named("inner products", specimen::dot_product),
            Specimen::named("gradients one step late", specimen::plain).with_fault(Fault::StaleGradient),
            Specimen::named("lost duplicate gradients", specimen::plain).with_fault(Fault::LastWriteWins),
        ]
    }
}

theorem!(norm_fixing, NormFixing, "");
