//! Mixed negatives: the other positives of the batch, and items drawn uniformly that all pairs share. The candidates follow
//! B/(B+M) popularity + M/(B+M) uniform (Yang et al. 2020), so an item's touches grow with its popularity and never reach zero.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// In-batch negatives and items drawn uniformly with replacement, the same for all pairs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// Shared negatives a batch, M.
    pub count: usize,
}

impl Mixed {
    pub(super) fn draw(&self, items: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
        (0..self.count).map(|_| random.random_range(0..items)).collect()
    }
}
