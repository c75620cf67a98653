//! Samplers: which pairs make a batch, and which items are their negatives.
//!
//! | file | candidates of a pair | Q, the distribution of an item among them |
//! |---|---|---|
//! | [`in_batch`] | all positives of the batch | popularity |
//! | [`uniform`] | its positive, and items of its own | uniform |
//! | [`mixed`] | all positives of the batch, and items that all pairs share | their mixture |
//! | [`full`] | its positive, and all items | every item for certain |

pub mod full;
pub mod in_batch;
pub mod mixed;
pub mod uniform;

use std::ops::Range;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// The pairs of one step, as explicit rows.
///
/// The candidates of a pair are all positives of the batch or its own alone, then its own negatives, then the shared ones:
///
/// ```
/// use perpend::sampler::Batch;
/// let batch = Batch { users: vec![0, 1], positives: vec![7, 8], shared: vec![3], ..Batch::default() };
/// assert_eq!(batch.item_slots(), [7, 8, 3]);
/// assert_eq!(batch.candidates(1).slots().collect::<Vec<_>>(), [0, 1, 2]);
/// let batch = Batch { in_batch: Some(false), ..batch };
/// assert_eq!(batch.candidates(1).slots().collect::<Vec<_>>(), [1, 2]);
/// ```
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    /// User row of each pair: `[B]`.
    pub users: Vec<usize>,
    /// Positive item row of each pair: `[B]`.
    pub positives: Vec<usize>,
    /// Own negative item rows of each pair: `[B][M]`, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub negatives: Vec<Vec<usize>>,
    /// Item rows that are candidates of every pair.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<usize>,
    /// Whether the other positives of the batch are candidates too; where it is not said, they are if the pairs have no
    /// negatives of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_batch: Option<bool>,
    /// ln Q of the item in every item slot, where the loss corrects for sampling: `[C]`, or empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log_q: Vec<f64>,
}

impl Batch {
    /// Takes one pair out.
    pub(crate) fn remove(&mut self, pair: usize) {
        let (pairs, own) = (self.positives.len(), self.negatives.first().map_or(0, Vec::len));
        if !self.log_q.is_empty() {
            self.log_q.drain(pairs + pair * own..pairs + (pair + 1) * own);
            self.log_q.remove(pair);
        }
        self.users.remove(pair);
        self.positives.remove(pair);
        if !self.negatives.is_empty() {
            self.negatives.remove(pair);
        }
    }

    /// The item row of every item slot: the positives, then the negatives pair after pair, then the shared candidates.
    pub fn item_slots(&self) -> Vec<usize> {
        let negatives = self.negatives.iter().flatten();
        self.positives.iter().chain(negatives).chain(&self.shared).copied().collect()
    }

    /// Whether the other positives of the batch are candidates.
    pub fn has_in_batch_negatives(&self) -> bool {
        self.in_batch.unwrap_or(self.negatives.is_empty())
    }

    /// The candidates of a pair. All pairs have equally many negatives of their own.
    pub fn candidates(&self, pair: usize) -> Candidates {
        let (pairs, own) = (self.positives.len(), self.negatives.first().map_or(0, Vec::len));
        let positives = if self.has_in_batch_negatives() {
            0..pairs
        } else {
            pair..pair + 1
        };
        let (first, shared) = (pairs + pair * own, pairs + self.negatives.len() * own);
        Candidates {
            target: pair - positives.start,
            ranges: [positives, first..first + own, shared..shared + self.shared.len()],
            masked: Vec::new(),
        }
    }
}

/// The candidates of one pair: item slots, among them the positive. A *place* counts candidates from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidates {
    pub(crate) ranges: [Range<usize>; 3],
    target: usize,
    masked: Vec<usize>,
}

impl Candidates {
    /// How many there are, masked ones included.
    pub fn count(&self) -> usize {
        self.ranges.iter().map(ExactSizeIterator::len).sum()
    }

    /// The item slot at every place.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        self.ranges.clone().into_iter().flatten()
    }

    /// The place of the positive.
    pub fn target(&self) -> usize {
        self.target
    }

    /// The places that do not count.
    pub fn masked(&self) -> &[usize] {
        &self.masked
    }

    /// The places that count and are not the positive's.
    pub fn negatives(&self) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(|place| *place != self.target && self.masked.binary_search(place).is_err())
    }

    /// Masks the candidates that are the positive's item once more (accidental hits); `items` is the row of every slot.
    pub fn without_duplicates(mut self, items: &[usize]) -> Self {
        let rows: Vec<usize> = self.slots().map(|slot| items[slot]).collect();
        let again = |&place: &usize| place != self.target && rows[place] == rows[self.target];
        self.masked = (0..rows.len()).filter(again).collect();
        self
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
    /// The other positives of the batch, and items drawn uniformly that all pairs share.
    Mixed(mixed::Mixed),
    /// All items.
    Full(full::Full),
}

impl Negatives {
    /// Adds negatives to a batch that has its pairs.
    pub(crate) fn draw(&self, mut batch: Batch, items: usize, random: &mut ChaCha8Rng) -> Batch {
        match self {
            Negatives::InBatch(_) => {}
            Negatives::Uniform(uniform) => batch.negatives = uniform.draw(batch.positives.len(), items, random),
            Negatives::Mixed(mixed) => batch.shared = mixed.draw(items, random),
            Negatives::Full(_) => {
                batch.shared = (0..items).collect();
                batch.in_batch = Some(false);
            }
        }
        batch
    }

    /// Item slots of a batch of `pairs` pairs.
    pub(crate) fn slots(&self, pairs: usize, items: usize) -> usize {
        pairs
            + match self {
                Negatives::InBatch(_) => 0,
                Negatives::Uniform(uniform) => pairs * uniform.count,
                Negatives::Mixed(mixed) => mixed.count,
                Negatives::Full(_) => items,
            }
    }

    /// Writes ln Q of every item slot into a batch. `popularity` is the probability of each item as a positive.
    pub(crate) fn with_log_q(&self, mut batch: Batch, popularity: &[f64]) -> Batch {
        let (pairs, uniform) = (batch.positives.len() as f64, 1.0 / popularity.len() as f64);
        let q = |item: usize| match self {
            Negatives::InBatch(_) => popularity[item],
            Negatives::Uniform(_) => uniform,
            Negatives::Mixed(mixed) => {
                let count = mixed.count as f64;
                (pairs * popularity[item] + count * uniform) / (pairs + count)
            }
            Negatives::Full(_) => 1.0,
        };
        batch.log_q = batch.item_slots().into_iter().map(|item| q(item).ln()).collect();
        batch
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
    /// Draws the batches of a run, with ln Q where the loss asks for it.
    pub(crate) fn draw(
        &self,
        steps: usize,
        users: usize,
        items: usize,
        log_q: bool,
        random: &mut ChaCha8Rng,
    ) -> Vec<Batch> {
        let mut cumulative = Vec::with_capacity(items);
        let mut total = 0.0;
        let weight = |item: usize| ((item + 1) as f64).powf(-self.exponent);
        for item in 0..items {
            total += weight(item);
            cumulative.push(total);
        }
        let popularity: Vec<f64> = (0..items).map(|item| weight(item) / total).collect();
        let positive = |random: &mut ChaCha8Rng| {
            let mark = random.random::<f64>() * total;
            cumulative.partition_point(|&sum| sum <= mark).min(items - 1)
        };
        (0..steps)
            .map(|_| {
                let pairs = Batch {
                    users: (0..self.batch).map(|_| random.random_range(0..users)).collect(),
                    positives: (0..self.batch).map(|_| positive(random)).collect(),
                    ..Batch::default()
                };
                let batch = self.negatives.draw(pairs, items, random);
                if log_q {
                    self.negatives.with_log_q(batch, &popularity)
                } else {
                    batch
                }
            })
            .collect()
    }
}
