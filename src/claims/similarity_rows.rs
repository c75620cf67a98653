//! What a trainer's gradients are, beside the similarities and their derivatives that the loss itself gives at the recorded
//! embeddings: for claims about the loss.

use crate::error::Result;
use crate::geometry::{Table, norm};
use crate::loss::Slot;
use crate::number::{Field, Real, Running};
use crate::rounding::Precision;
use crate::scenario::Materialised;
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::Place;

/// One similarity of a row with a partner.
pub(super) struct Compared {
    /// κ = ∂L/∂s: the value and a bound on its error in the trainer's arithmetic.
    pub coefficient: (f64, f64),
    /// s.
    pub similarity: (f64, f64),
    /// The partner's norm.
    pub partner: (f64, f64),
}

/// One item row in one step.
pub(super) struct Row {
    /// Step and row.
    pub place: Place,
    /// The embedding: `[d]`.
    pub embedding: Vec<f64>,
    /// The gradient that the trainer recorded: `[d]`.
    pub gradient: Vec<f64>,
    /// What rounding can change in each of its coordinates: `[d]`.
    pub gradient_error: Vec<f64>,
    /// Slots of the batch that the row fills.
    pub slots: usize,
    /// All similarities of these slots.
    pub compared: Vec<Compared>,
}

/// The item rows of a scenario in all steps, as a trainer trains it.
///
/// The errors are those of the loss evaluated on numbers that carry a bound on their rounding
/// ([`Running`]), in the scenario's precision, at the recorded embeddings.
///
/// # Errors
/// The trainer's, and a trajectory without both towers' embeddings.
pub(super) fn similarity_rows(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Vec<Row>> {
    match materialised.scenario.precision {
        Precision::F32 => rows::<24>(materialised, trainer),
        _ => rows::<53>(materialised, trainer),
    }
}

fn rows<const BITS: i32>(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Vec<Row>> {
    let trajectory = trainer.train(materialised)?;
    let towers = trajectory.towers();
    let tower = |side: Side| {
        towers.iter().find(|tower| tower.side() == Some(side)).copied().ok_or_else(|| {
            crate::Error::input(trajectory.origin(), "the embeddings of both towers", format!("no {side} tower"))
        })
    };
    let (item, user) = (tower(Side::Item)?, tower(Side::User)?);
    let mut gradients = std::collections::HashMap::new();
    item.for_each(0..item.rows(), &mut |record| {
        if let Some(gradient) = record.grad {
            gradients.insert((record.step, record.row), gradient.to_vec());
        }
        Ok(())
    })?;
    let pair = |x: &Running<BITS>| (x.value(), x.error());
    let mut found = Vec::new();
    for (step, batch) in materialised.batches.iter().enumerate() {
        let at = |side: Side, slots: &[usize]| -> Result<Table<Running<BITS>>> {
            let tower = if side == Side::Item { &item } else { &user };
            let mut values = vec![0.0; slots.len() * tower.dim()];
            for (&row, out) in slots.iter().zip(values.chunks_exact_mut(tower.dim())) {
                if !tower.embedding(step, row, out) {
                    let place = format!("{}: {side} row {row}", trajectory.origin());
                    return Err(crate::Error::input(
                        place,
                        "an embedding in every step",
                        format!("none in step {step}"),
                    ));
                }
            }
            Ok(Table::from_values(tower.dim(), values.into_iter().map(Running::from_f64).collect()))
        };
        let slots = batch.item_slots();
        let (users, items) = (at(Side::User, &batch.users)?, at(Side::Item, &slots)?);
        let loss = &materialised.scenario.loss;
        let evaluation = loss.evaluate(&users, &items, batch);
        let derivatives = loss.derivatives(&users, &items, batch);
        let length = |slot: Slot| match slot {
            Slot::User(user) => norm(users.row(user)),
            Slot::Item(item) => norm(items.row(item)),
        };
        for row in 0..item.rows() {
            let Some(gradient) = gradients.get(&(step, row)) else {
                continue;
            };
            let mut embedding = vec![0.0; item.dim()];
            item.embedding(step, row, &mut embedding);
            let own: Vec<usize> = (0..slots.len()).filter(|&slot| slots[slot] == row).collect();
            let mut sum = vec![Running::<BITS>::zero(); item.dim()];
            for &slot in &own {
                crate::geometry::add_scaled(&mut sum, Running::one(), evaluation.items.row(slot));
            }
            let is_own = |slot: Slot| matches!(slot, Slot::Item(item) if slots[item] == row);
            let mut compared = Vec::new();
            for derivative in &derivatives {
                // Both sides may be slots of this row; each moves with its own copy.
                for (mine, partner) in [(derivative.one, derivative.other), (derivative.other, derivative.one)] {
                    if is_own(mine) {
                        compared.push(Compared {
                            coefficient: pair(&derivative.coefficient),
                            similarity: pair(&derivative.similarity),
                            partner: pair(&length(partner)),
                        });
                    }
                }
            }
            found.push(Row {
                place: Place { step: step as u64, row: row as u64 },
                embedding,
                gradient: gradient.clone(),
                gradient_error: sum.iter().map(|g| g.error()).collect(),
                slots: own.len(),
                compared,
            });
        }
    }
    Ok(found)
}
