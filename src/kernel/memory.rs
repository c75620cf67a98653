//! What a kernel takes of the machine's memory, said before it is taken.

use std::fmt;

use super::Error;
use crate::memory;

/// Bytes that a kernel needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Memory {
    /// Both tables.
    pub tables: u64,
    /// The state of the optimizers.
    pub state: u64,
    /// What a step works with.
    pub workspace: u64,
}

impl Memory {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.tables.saturating_add(self.state).saturating_add(self.workspace)
    }

    /// Refuses what cannot fit into what the machine, or the control group of the process, has left.
    ///
    /// # Errors
    /// [`Error::Memory`], with both numbers.
    pub fn check(self) -> Result<(), Error> {
        if u128::from(self.total()) <= memory::SMALL {
            return Ok(());
        }
        let available = memory::available();
        if self.total() > available {
            return Err(Error::Memory { needed: self, available });
        }
        Ok(())
    }
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mega = |bytes: u64| bytes as f64 / 1e6;
        write!(
            f,
            "{:.1} MB: tables {:.1}, optimizer state {:.1}, workspace {:.1}",
            mega(self.total()),
            mega(self.tables),
            mega(self.state),
            mega(self.workspace)
        )
    }
}
