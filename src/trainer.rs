//! The trainer's side of the pipeline: explicit values in, a trajectory out.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::sampler::Batch;
use crate::scenario::{Capabilities, Materialised};
use crate::trajectory::{Array, Side, Trajectory};

/// Something that trains a scenario and records what happened.
///
/// A trainer receives explicit tables and batches, never a seed. `Unsupported` ([`crate::Error::unsupported`]) is an
/// answer: the scenario then counts as skipped, never as passed.
pub trait Trainer: Send + Sync {
    /// How reports name it.
    fn name(&self) -> String;

    /// Trains the scenario and records every step of every row.
    ///
    /// # Errors
    /// [`crate::Error::is_unsupported`] where the scenario asks for something that the trainer does not implement;
    /// otherwise whatever went wrong.
    fn train(&self, materialised: &Materialised) -> Result<Trajectory>;

    /// What it implements; random scenarios are drawn from that. Everything, where it does not say.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Whether several threads may train at a time and gain by it.
    fn is_parallel(&self) -> bool {
        true
    }
}

impl<T: Trainer + ?Sized> Trainer for &T {
    fn name(&self) -> String {
        (**self).name()
    }
    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        (**self).train(materialised)
    }
    fn capabilities(&self) -> Capabilities {
        (**self).capabilities()
    }
    fn is_parallel(&self) -> bool {
        (**self).is_parallel()
    }
}

/// What is told of a row: its number, its embedding `[d]`, and its gradient `[d]`.
pub(crate) type SeeGradient<'a> = dyn FnMut(usize, &[f64], &[f64]) + 'a;

/// A model in training, step by step: what long runs drive, and recorders watch.
pub(crate) trait Stepwise {
    /// How many steps were made.
    fn time(&self) -> u64;

    /// The loss of a batch at the current parameters; its gradients are kept for [`Stepwise::apply`].
    ///
    /// # Errors
    /// As [`Trainer::train`].
    fn evaluate(&mut self, batch: &Batch) -> Result<f64>;

    /// Moves the parameters by the gradients of the batch that was evaluated last.
    fn apply(&mut self);

    /// The row of every slot of the batch that was evaluated last.
    fn slots(&self, side: Side) -> Vec<usize>;

    /// Every row that the batch evaluated last has a gradient for, with its embedding `[d]` and the gradient `[d]`.
    fn each_gradient(&self, side: Side, see: &mut SeeGradient<'_>);

    /// The embedding of a row: `[d]`.
    fn embedding(&self, side: Side, row: usize) -> Vec<f64>;

    /// All that the next step starts from besides its batch and the number of steps made.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where training cannot be continued from a file.
    fn save(&mut self) -> Result<BTreeMap<String, Array>> {
        Err(Error::unsupported("checkpoints of this trainer"))
    }

    /// Continues from what [`Stepwise::save`] gave after `steps` steps.
    ///
    /// # Errors
    /// As [`Stepwise::save`], and for arrays that are missing or of another shape; `place` is where they come from.
    fn restore(&mut self, place: &str, arrays: &BTreeMap<String, Array>, steps: u64) -> Result<()> {
        let _ = (place, arrays, steps);
        Err(Error::unsupported("checkpoints of this trainer"))
    }
}
