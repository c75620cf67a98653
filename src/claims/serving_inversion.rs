//! # Serving inversion
//!
//! A model trained on cosines and served by inner products ranks by cosine *times norm*:
//!
//! ```text
//! ⟨u, q⟩ = ‖u‖·‖q‖·cos(u, q),    so for positive cosines    ⟨u, q_j⟩ > ⟨u, q_i⟩  ⇔  ‖q_j‖/‖q_i‖ > cos_i/cos_j
//! ```
//!
//! The user's norm drops out. With ρ = max‖q‖/min‖q‖ over the candidates, every pair with cos_i > ρ·cos_j > 0 keeps its order,
//! and none is sure to below that. A negative cosine never overtakes a positive one, and length demotes it. Under the
//! quarter-power law ‖q‖⁴ = k·n an item overtakes a cosine gap of cos_i/cos_j = 1+δ from (1+δ)⁴ times the popularity on: ten per
//! cent of cosine are worth 1.46 times the popularity.
//!
//! *Hypotheses*: none: it is geometry, of any trained embeddings.
//! *Shapes*: u, q: `[d]`. *Judged*: all pairs of items for all users at the end of training: the gap of the inner products against
//! ‖q_j‖cos_j − ‖q_i‖cos_i; the order where the spread decides it; the order just below and just above (1+δ)⁴.
//! *Allowed residual*: γ_{2d+9}·(‖q_i‖ + ‖q_j‖): an inner product of either vector (d + 2 operations), a cosine (d + 5 more).
//! *Twins that must break it*: the false variants: the order of the cosines is that of the inner products (shown on u = (1,0),
//! q_i = (4,3), q_j = (6,8)); half the spread is enough; (1+δ)³ is enough. *Controls that must not*: inner products in training,
//! Adam, decay.
//! *Proof*: proofs/theories/ServingInversion.v.
//! *Source*: derived here.

use super::runs::{Path, fixed_table};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing, runs};
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::{cosine_f64, dot, norm_f64};
use crate::rounding::Precision;
use crate::sampler::Batch;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place};

/// ⟨u, q⟩ ranks by ‖q‖·cos(u, q).
pub struct ServingInversion;

const DERIVATION: &str =
    "γ_{2d+9} in f64·(‖q_i‖ + ‖q_j‖): the inner product and the cosine of either item with a user of length 1";

/// What an item weighs in serving; what the spread is; which power of a cosine gap popularity must exceed.
struct Law {
    weight: fn(f64) -> f64,
    spread: f64,
    exponent: i32,
}

const LAW: Law = Law { weight: |norm| norm, spread: 1.0, exponent: 4 };

/// An item as a user sees it.
struct Seen<'a> {
    q: &'a [f64],
    norm: f64,
    cosine: f64,
}

/// ⟨û, v⟩ of q stretched to a length.
fn served(direction: &[f64], item: &Seen<'_>, length: f64) -> f64 {
    let q: Vec<f64> = item.q.iter().map(|x| x * (length / item.norm)).collect();
    dot(direction, &q)
}

fn examine_by(materialised: &Materialised, trainer: &dyn Trainer, law: &Law) -> Result<Observation> {
    let trajectory = trainer.train(materialised)?;
    if !runs::has_gradients(&trajectory)? {
        return Ok(Observation::inconclusive(DERIVATION, "nothing was trained: no item had a gradient"));
    }
    let (items, users) = (Path::read(&trajectory, Side::Item)?, Path::read(&trajectory, Side::User)?);
    let rounding = Precision::F64.gamma(2 * materialised.scenario.dim + 9);
    let norms: Vec<f64> = (0..items.rows).map(|row| norm_f64(items.at(items.steps, row))).collect();
    let largest = norms.iter().copied().fold(0.0, f64::max);
    let smallest = norms.iter().copied().fold(f64::INFINITY, f64::min);
    let spread = largest / smallest;
    let mut tally = Tally::default();
    for user in 0..users.rows {
        let u = users.at(users.steps, user);
        let length = norm_f64(u);
        let direction: Vec<f64> = u.iter().map(|x| x / length).collect();
        let seen: Vec<Option<Seen<'_>>> = norms
            .iter()
            .enumerate()
            .map(|(row, &norm)| {
                let q = items.at(items.steps, row);
                cosine_f64(u, q).map(|cosine| Seen { q, norm, cosine })
            })
            .collect();
        for (i, first) in seen.iter().enumerate() {
            for (j, second) in seen.iter().enumerate() {
                let (Some(first), Some(second)) = (first, second) else {
                    continue;
                };
                if i == j {
                    continue;
                }
                let place = Place { step: user as u64, row: i as u64 };
                let mut judge = |residual: f64, scale: f64, signal: f64| {
                    tally.judge(place, &Measured::new(residual, rounding * scale, signal));
                };
                let scale = first.norm + second.norm;
                let gap = dot(&direction, first.q) - dot(&direction, second.q);
                // Serving ranks by weight times cosine.
                let predicted = (law.weight)(first.norm) * first.cosine - (law.weight)(second.norm) * second.cosine;
                judge((gap - predicted).abs(), scale, gap.abs());
                // A negative cosine never overtakes, and length demotes it.
                if first.cosine >= 0.0 && second.cosine < 0.0 {
                    judge(-gap, scale, scale * (first.cosine - second.cosine));
                }
                if second.cosine <= 0.0 {
                    continue;
                }
                // Beyond the spread the order is that of the cosines: shown where it is tight, the less similar item as long and
                // the more similar one as short as any.
                let ratio = first.cosine / second.cosine;
                if ratio > spread * law.spread && spread.is_finite() {
                    let (short, long) = (served(&direction, first, smallest), served(&direction, second, largest));
                    judge(long - short, largest + smallest, smallest * first.cosine);
                }
                // Popularity n_j/n_i just below and just above the needed ratio, with ‖q‖⁴ = n and n_i = 1.
                if ratio > 1.0 {
                    let needed = ratio.powi(law.exponent);
                    for (popularity, overtakes) in [(needed / 1.25, -1.0), (needed * 1.25, 1.0)] {
                        let other = popularity.sqrt().sqrt();
                        let gap = served(&direction, first, 1.0) - served(&direction, second, other);
                        judge(gap * overtakes, 1.0 + other, first.cosine);
                    }
                }
            }
        }
    }
    Ok(tally.observe(DERIVATION, "fewer than two items"))
}

/// False: the norms play no part.
fn cosines_alone(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, &Law { weight: |_| 1.0, ..LAW })
}

/// False: half the spread is enough.
fn half_the_spread(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, &Law { spread: 0.5, ..LAW })
}

/// False: the cube of the gap is enough.
fn cube(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, &Law { exponent: 3, ..LAW })
}

/// u = (1,0), q_i = (4,3), q_j = (6,8): cosines 0.8 > 0.6, inner products 4 < 6. Nothing moves.
fn inverted(seed: u64) -> Scenario {
    let mut scenario = specimen::plain(seed);
    scenario.dim = 2;
    scenario.steps = 1;
    scenario.item = fixed_table(2, vec![4.0, 3.0, 6.0, 8.0]);
    scenario.user = fixed_table(2, vec![1.0, 0.0]);
    scenario.batches = Some(vec![Batch { users: vec![0, 0], positives: vec![0, 1], ..Batch::default() }]);
    scenario
}

const ABOUT: About = About {
    id: "serving-inversion",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "inner products rank by ‖q‖·cos: j overtakes i iff ‖q_j‖/‖q_i‖ > cos_i/cos_j, from (1+δ)⁴ times the popularity on",
    conditions: &[],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("serving_inversion.rs"),
};

impl Claim for ServingInversion {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, &LAW)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("variant: the order of the cosines, (4,3) against (6,8)", inverted)
                .judged_by(cosines_alone),
            Specimen::named("variant: half the spread is enough", specimen::plain).judged_by(half_the_spread),
            Specimen::named("variant: the cube of the gap is enough", specimen::plain).judged_by(cube),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("cosines 0.8 > 0.6, inner products 4 < 6", inverted),
            Specimen::named("inner products in training", specimen::dot_product),
            Specimen::named("Adam", specimen::adam),
            Specimen::named("weight decay 0.1", specimen::weight_decay),
        ]
    }
}

theorem!(serving_inversion, ServingInversion, "holds, 629 judged; norms 1.668013155 1.186564277 1.354420513");
