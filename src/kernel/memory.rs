//! What a kernel takes of the machine's memory, said before it is taken.

use std::fmt;

use super::Error;

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
        self.tables + self.state + self.workspace
    }

    /// Refuses what cannot fit into what the system has left; nothing is refused where it does not say.
    ///
    /// # Errors
    /// [`Error::Memory`], with both numbers.
    pub fn check(self) -> Result<(), Error> {
        match available() {
            Some(available) if self.total() > available => Err(Error::Memory { needed: self, available }),
            _ => Ok(()),
        }
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

/// Bytes that can still be had without swapping; None where the system does not say.
pub(super) fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
