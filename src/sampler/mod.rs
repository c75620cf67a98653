//! Samplers: which pairs make a batch, and which items are their negatives.

pub mod in_batch;
pub mod uniform;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The pairs of one step, as explicit rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// User row of each pair: `[B]`.
    pub users: Vec<usize>,
    /// Positive item row of each pair: `[B]`.
    pub positives: Vec<usize>,
    /// Negative item rows of each pair: `[B][M]`; empty where the other positives of the batch are the negatives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negatives: Vec<Vec<usize>>,
}

impl Batch {
    /// Takes one pair out.
    pub(crate) fn remove(&mut self, pair: usize) {
        self.users.remove(pair);
        self.positives.remove(pair);
        if !self.negatives.is_empty() {
            self.negatives.remove(pair);
        }
    }

    /// The item row of every item slot: the positives, then the negatives pair after pair.
    pub fn item_slots(&self) -> Vec<usize> {
        self.positives.iter().copied().chain(self.negatives.iter().flatten().copied()).collect()
    }
}

/// How negatives are chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Negatives {
    /// The other positives of the batch.
    InBatch(in_batch::InBatch),
    /// Items drawn uniformly, for each pair its own.
    Uniform(uniform::Uniform),
}

impl Negatives {
    /// Chooses the negatives of each pair.
    pub(crate) fn draw(&self, pairs: usize, items: usize, random: &mut ChaCha8Rng) -> Vec<Vec<usize>> {
        match self {
            Negatives::InBatch(_) => Vec::new(),
            Negatives::Uniform(uniform) => uniform.draw(pairs, items, random),
        }
    }
}

/// How batches are drawn where they are not given: users uniformly, positives by Zipf popularity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampler {
    /// Pairs in a batch, B.
    pub batch: usize,
    /// Popularity of item i ∝ (i+1)^−exponent.
    pub exponent: f64,
    /// The negatives.
    pub negatives: Negatives,
}

impl Sampler {
    /// Draws the batches of a run.
    pub(crate) fn draw(&self, steps: usize, users: usize, items: usize, random: &mut ChaCha8Rng) -> Vec<Batch> {
        let mut cumulative = Vec::with_capacity(items);
        let mut total = 0.0;
        for item in 0..items {
            total += ((item + 1) as f64).powf(-self.exponent);
            cumulative.push(total);
        }
        let positive = |random: &mut ChaCha8Rng| {
            let mark = random.random::<f64>() * total;
            cumulative.partition_point(|&sum| sum <= mark).min(items - 1)
        };
        (0..steps)
            .map(|_| Batch {
                users: (0..self.batch).map(|_| random.random_range(0..users)).collect(),
                positives: (0..self.batch).map(|_| positive(random)).collect(),
                negatives: self.negatives.draw(self.batch, items, random),
            })
            .collect()
    }
}
