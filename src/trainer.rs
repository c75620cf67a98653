//! The trainer's side of the pipeline: explicit values in, a trajectory out.

use crate::error::Result;
use crate::scenario::Materialised;
use crate::trajectory::Trajectory;

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
}
