//! # Permutation equivariance
//!
//! Items and users have no order, and neither have the pairs of a batch:
//!
//! ```text
//! q_t  →  q_t with its rows renamed    where tables, features and batches are renamed
//! q_t  →  q_t                          where the pairs of every batch come in another order
//! ```
//!
//! Both add the same terms in another order, so the runs agree up to summation error: another order of the pairs where a
//! trainer adds slot by slot, renaming where it adds row by row (the gradient of a shared map, the table-wide test of SGDP and
//! AdamP). A trainer that writes duplicates one over the other depends on their order: this is what finds it without its
//! gradients.
//!
//! *Hypotheses*: none. Any loss, encoder and optimizer; rows are renamed where no constant names them (a history, a hash, a graph).
//! *Shapes*: q: `[d]`. *Judged*: every item embedding in every step, on losses without kinks, where rounding decides nothing.
//! *Allowed residual*: the two runs' own rounding, carried along through each.
//! *Twins that must break it*: a trainer that applies the last of several gradients; the false variants: tables renamed and
//! batches not, the order of the steps. *Controls that must not*: inner products, Adam, a shared map, a two-layer encoder, a deep
//! user tower.
//! *Proof*: proofs/theories/PermutationEquivariance.v.
//! *Source*: derived here.

use super::runs::{Path, compare, rounding_bounds};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::encoder::{Architecture, EncoderKind, Form};
use crate::error::Result;
use crate::facts::Tally;
use crate::reference::Fault;
use crate::sampler::Batch;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::Observation;

/// Names and order mean nothing.
pub struct PermutationEquivariance;

const DERIVATION: &str = "the running error bounds of both runs: the same terms are added in another order";

/// The other end of the table: row i is called n−1−i.
fn renamed(row: usize, rows: usize) -> usize {
    rows - 1 - row
}

/// The rows of a table, `width` numbers each, last first.
fn reversed(values: &[f64], width: usize) -> Vec<f64> {
    values.chunks_exact(width.max(1)).rev().flatten().copied().collect()
}

/// Whether the constants of a tower name rows, so that renaming would have to reach into them.
fn names_rows(scenario: &Scenario) -> bool {
    Side::ALL.into_iter().any(|side| {
        let encoder = &scenario.tower(side).encoder;
        let constants = encoder.constants(scenario.size(side));
        matches!(encoder, EncoderKind::Graph(_))
            || encoder.shared_constants(scenario.dim) > 0
            || constants.iter().any(|constant| matches!(constant.form, Form::Index { .. }))
    })
}

/// Both towers' private tables and constants with their rows renamed; what the rows share stays.
fn rename_tables(scenario: &mut Scenario) {
    for side in [Side::Item, Side::User] {
        let size = scenario.size(side);
        let tower = scenario.tower_mut(side);
        let blocks = tower.encoder.blocks(tower.rows, size.dim);
        let width = tower.encoder.constants(size).iter().map(|constant| constant.count).sum();
        if let Initial::Explicit { tables, constants } = &mut tower.initial {
            for (table, block) in tables.iter_mut().zip(blocks).filter(|(_, block)| block.private) {
                *table = reversed(table, block.width);
            }
            *constants = reversed(constants, width);
        }
    }
}

fn rename_batch(batch: &Batch, users: usize, items: usize) -> Batch {
    let renamed_items = |rows: &Vec<usize>| rows.iter().map(|&row| renamed(row, items)).collect();
    Batch {
        users: batch.users.iter().map(|&row| renamed(row, users)).collect(),
        positives: renamed_items(&batch.positives),
        negatives: batch.negatives.iter().map(renamed_items).collect(),
        shared: renamed_items(&batch.shared),
        // Of slots, not of rows.
        ..batch.clone()
    }
}

fn last_pair_first(batch: &Batch) -> Batch {
    let mut reversed = batch.clone();
    reversed.users.reverse();
    reversed.positives.reverse();
    reversed.negatives.reverse();
    if !batch.log_q.is_empty() {
        let (pairs, own) = (batch.users.len(), batch.negatives.first().map_or(0, Vec::len));
        let (positives, rest) = batch.log_q.split_at(pairs);
        let (negatives, shared) = rest.split_at(pairs * own);
        let negatives = negatives.chunks_exact(own.max(1)).rev().flatten();
        reversed.log_q = positives.iter().rev().chain(negatives).chain(shared).copied().collect();
    }
    reversed
}

fn item_path(scenario: &Scenario, trainer: &dyn Trainer) -> Result<Path> {
    Path::read(&trainer.train(&scenario.materialise()?)?, Side::Item)
}

fn examine_by(
    materialised: &Materialised,
    trainer: &dyn Trainer,
    rename: impl Fn(&Batch, usize, usize) -> Batch,
    reorder: impl Fn(&[Batch]) -> Vec<Batch>,
) -> Result<Observation> {
    let scenario = materialised.explicit();
    if Side::ALL.into_iter().any(|side| scenario.tower(side).update.storage.is_some()) {
        return Ok(Observation::inconclusive(DERIVATION, "a narrow format magnifies what rounding changes"));
    }
    let (users, items) = (scenario.user.rows, scenario.item.rows);
    let run = Path::read(&trainer.train(materialised)?, Side::Item)?;
    let bounds = rounding_bounds(materialised);
    let mut tally = Tally::default();

    if !names_rows(&scenario) {
        let mut other = scenario.clone();
        rename_tables(&mut other);
        other.batches = Some(materialised.batches.iter().map(|batch| rename(batch, users, items)).collect());
        let others = rounding_bounds(&other.materialise()?);
        let allowed = |step, row, target| bounds.at(step, row) + others.at(step, target);
        let other = item_path(&other, trainer)?;
        compare(&mut tally, &run, &other, |row, q| (renamed(row, items), q.to_vec()), allowed);
    }

    let mut other = scenario;
    other.batches = Some(reorder(&materialised.batches));
    let others = rounding_bounds(&other.materialise()?);
    let other = item_path(&other, trainer)?;
    compare(
        &mut tally,
        &run,
        &other,
        |row, q| (row, q.to_vec()),
        |step, row, _| bounds.at(step, row) + others.at(step, row),
    );
    Ok(tally.observe(DERIVATION, "no row moved"))
}

fn pairs_reversed(batches: &[Batch]) -> Vec<Batch> {
    batches.iter().map(last_pair_first).collect()
}

/// False: the batches still say the old names.
fn batches_not_renamed(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, |batch, _, _| batch.clone(), pairs_reversed)
}

/// False: the order of the steps means nothing either.
fn steps_reversed(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, rename_batch, |batches| batches.iter().rev().cloned().collect())
}

const ABOUT: About = About {
    id: "permutation-equivariance",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "renaming rows renames the run, and the order of the pairs in a batch changes it by rounding alone",
    conditions: &[],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("permutation_equivariance.rs"),
};

impl Claim for PermutationEquivariance {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::InfoNce }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, rename_batch, pairs_reversed)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("of several gradients of a row the last is applied", specimen::plain)
                .with_fault(Fault::LastWriteWins),
            Specimen::named("variant: the batches are not renamed", specimen::plain).judged_by(batches_not_renamed),
            Specimen::named("variant: the order of the steps", specimen::plain).judged_by(steps_reversed),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("inner products in place of cosines", specimen::dot_product),
            Specimen::named("Adam", specimen::adam),
            Specimen::named("weight decay 0.1", specimen::weight_decay),
            Specimen::named("a shared linear encoder", specimen::shared_linear),
            Specimen::named("a private two-layer encoder", specimen::two_layer),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
            Specimen::named("SGDP that tests the table as one vector", specimen::sgdp_of_tables),
            Specimen::named("AdamP that tests the table as one vector", specimen::adamp_of_tables),
        ]
    }
}

theorem!(
    permutation_equivariance,
    PermutationEquivariance,
    "holds, 214 judged; norms 1.668013155 1.186564277 1.354420513"
);
