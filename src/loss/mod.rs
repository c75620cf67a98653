//! Losses on pairs of embeddings, with their gradients in closed form.
//!
//! A loss sees *slots*: one user slot a pair and one item slot a looked-up item. Rows that fill several slots receive the
//! sum of their slots' gradients; that sum is the trainer's business, not the loss's.

pub mod info_nce;

use serde::{Deserialize, Serialize};

use crate::geometry::Table;
use crate::number::Real;
use crate::sampler::Batch;
use crate::trajectory::Similarity;

/// Which loss a scenario uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Loss {
    /// Softmax cross-entropy over a positive and its negatives.
    InfoNce(info_nce::InfoNce),
}

impl Loss {
    /// The similarity that the loss is a function of.
    pub fn similarity(&self) -> Similarity {
        match self {
            Loss::InfoNce(loss) => loss.similarity,
        }
    }

    /// Evaluates the loss and its gradients on a batch.
    ///
    /// *Shapes*: `users`: `[B, d]`, one row a user slot; `items`: `[C, d]`, one row an item slot
    /// ([`Batch::item_slots`]).
    pub fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F> {
        match self {
            Loss::InfoNce(loss) => loss.evaluate(users, items, batch),
        }
    }
}

/// A loss value and the gradients with respect to every slot's embedding.
#[derive(Debug, Clone)]
pub struct Evaluation<F> {
    /// The loss, a mean over the batch.
    pub loss: F,
    /// ∂L/∂u: `[B, d]`.
    pub users: Table<F>,
    /// ∂L/∂q: `[C, d]`.
    pub items: Table<F>,
    /// For every user slot, a bound on ‖a‖, the norm of the gradient with respect to the vector that enters the inner
    /// product: the scale of the terms that cancel in the tangent projection. `[B]`.
    pub user_scale: Vec<F>,
    /// The same for every item slot: `[C]`.
    pub item_scale: Vec<F>,
}
