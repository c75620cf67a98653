//! The trainer's side of the pipeline: explicit values in, a trajectory out.

use crate::error::Result;
use crate::scenario::{Capabilities, Materialised};
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
