//! Uniform negatives: each pair draws its own items with replacement. Every item gains touches that have nothing to do
//! with its popularity, which dilutes the coupling between popularity and norm.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// Items drawn uniformly with replacement, for each pair its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uniform {
    /// Negatives a pair.
    pub count: usize,
}

impl Uniform {
    pub(super) fn draw(&self, pairs: usize, items: usize, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        (0..pairs).map(|_| (0..self.count).map(|_| random.random_range(0..items)).collect()).collect()
    }
}
