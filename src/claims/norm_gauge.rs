//! # Norm gauge
//!
//! A cosine loss does not see the norms: for any positive numbers c_i
//!
//! ```text
//! L(c_1·q_1, …, c_N·q_N) = L(q_1, …, q_N),    cos(u, c_i·q_i) = cos(u, q_i),    ⟨u, c_i·q_i⟩ = c_i·⟨u, q_i⟩
//! ```
//!
//! so neither the loss nor a ranking by cosine can tell the norms apart, every profile of norms occurs at an optimum, and a
//! ranking by inner products can be made anything among the items of positive score. Popularity in ‖q_i‖ comes from how
//! training moves, never from what it aims at.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon.
//! *Shapes*: q, u: `[d]`. *Judged*: the loss of the first batch, the cosine of every item with every user, and for every two
//! items of positive score whether the smaller one, lengthened, overtakes; the factors are powers of two, different from row to
//! row.
//! *Allowed residual*: none: multiplications by powers of two are exact.
//! *Twins that must break it*: inner products; an active epsilon; the false variants: a negative factor, inner products keep
//! their order too. *Controls that must not*: a clamp that is never active, Adam, momentum, a deep user tower.
//! *Proof*: proofs/theories/NormGauge.v.
//! *Source*: derived here; for the freedom of scales in learned embeddings see Steck et al. 2024.

use super::runs::{Path, has_gradients, item_tables, tower, with_fixed_users};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::facts::{Measured, Tally};
use crate::geometry::{cosine_f64, dot};
use crate::scenario::Materialised;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place};

/// L(c·q) = L(q).
pub struct NormGauge;

const DERIVATION: &str = "0: multiplications by powers of two are exact (bitwise)";

/// The factor of a row.
fn factor(row: usize) -> f64 {
    [2.0, 0.125, 16.0, 1.0, 0.5][row % 5]
}

/// Loss, items and users before the first step.
struct Start {
    has_gradients: bool,
    loss: f64,
    items: Path,
    users: Path,
}

fn start(materialised: &Materialised, sign: f64, scaled: bool, trainer: &dyn Trainer) -> Result<Start> {
    // Users that are made of item rows would feel the factors.
    let mut scenario = with_fixed_users(materialised);
    let dim = scenario.dim;
    scenario.steps = 1;
    scenario.batches = Some(materialised.batches[..1].to_vec());
    if scaled {
        for (row, q) in item_tables(&mut scenario)[0].chunks_exact_mut(dim).enumerate() {
            q.iter_mut().for_each(|x| *x *= sign * factor(row));
        }
    }
    let trajectory = trainer.train(&scenario.materialise()?)?;
    let missing = || Error::input("the trainer's trajectory", "the loss of every step", "none");
    let loss = tower(&trajectory, Side::Item)?.loss(0).ok_or_else(missing)?;
    Ok(Start {
        has_gradients: has_gradients(&trajectory)?,
        loss,
        items: Path::read(&trajectory, Side::Item)?,
        users: Path::read(&trajectory, Side::User)?,
    })
}

/// How a user scores an item.
type Score = fn(&[f64], &[f64]) -> f64;

fn cosine(u: &[f64], q: &[f64]) -> f64 {
    cosine_f64(u, q).unwrap_or(0.0)
}

fn examine_by(materialised: &Materialised, trainer: &dyn Trainer, sign: f64, kept: Score) -> Result<Observation> {
    let plain = start(materialised, sign, false, trainer)?;
    let other = start(materialised, sign, true, trainer)?;
    if !plain.has_gradients {
        return Ok(Observation::inconclusive(DERIVATION, "no row had a gradient"));
    }
    let mut tally = Tally::default();
    let place = |row: usize| Place { step: 0, row: row as u64 };
    tally.judge(place(0), &Measured::new((plain.loss - other.loss).abs(), 0.0, plain.loss.abs()));
    for user in 0..plain.users.rows {
        let u = plain.users.at(0, user);
        for i in 0..plain.items.rows {
            let (before, after) = (kept(u, plain.items.at(0, i)), kept(u, other.items.at(0, i)));
            tally.judge(place(i), &Measured::new((before - after).abs(), 0.0, before.abs()));
            for j in 0..plain.items.rows {
                let (q_i, q_j) = (plain.items.at(0, i), plain.items.at(0, j));
                let (more, less) = (dot(u, q_i), dot(u, q_j));
                if more > less && less > 0.0 {
                    let enough = (more / less).log2().floor().exp2() * 2.0;
                    let longer: Vec<f64> = q_j.iter().map(|x| x * enough).collect();
                    tally.judge(place(j), &Measured::new(more - dot(u, &longer), 0.0, more));
                }
            }
        }
    }
    Ok(tally.observe(DERIVATION, "no item was recorded"))
}

/// False: the factors may be negative.
fn negative_factors(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, -1.0, cosine)
}

/// False: inner products do not see the norms.
fn dot_kept(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, 1.0, dot)
}

const ABOUT: About = About {
    id: "norm-gauge",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "positive factors on the rows change neither a cosine loss nor a ranking by cosine: L(c·q) = L(q)",
    conditions: &[Condition::CosineLoss, Condition::NoEpsilon],
    source: "derived here; for the freedom of scales in learned embeddings see Steck et al. 2024",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("norm_gauge.rs"),
};

impl Claim for NormGauge {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Any, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, 1.0, cosine)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::named("variant: negative factors", specimen::plain).judged_by(negative_factors),
            Specimen::named("variant: inner products keep their order", specimen::plain).judged_by(dot_kept),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::benign(Condition::NoEpsilon, "a clamp that is never active", specimen::inactive_epsilon),
            Specimen::benign(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum),
            Specimen::benign(Condition::NoCoordinateScaling, "Adam", specimen::adam),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
        ]
    }
}

theorem!(norm_gauge, NormGauge, "holds, 107 judged; norms 1.668013155 1.186564277 1.354420513");
