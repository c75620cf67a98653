//! Batches from interactions: shuffled epochs of the train pairs.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::interactions::Dataset;
use crate::sampler::{Batch, Negatives};
use crate::scenario::Scenario;

/// An endless stream of batches. Every epoch shuffles all train pairs and cuts them into batches of B; the pairs that do
/// not fill the last one are dropped, so that the mean over a batch always has B terms.
pub(super) struct Batches<'a> {
    dataset: &'a Dataset,
    negatives: &'a Negatives,
    items: usize,
    size: usize,
    order: Vec<u32>,
    next: usize,
    epochs: usize,
    random: ChaCha8Rng,
}

impl<'a> Batches<'a> {
    pub(super) fn new(dataset: &'a Dataset, scenario: &'a Scenario) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(scenario.seed);
        // The stream that a scenario draws its own batches from; streams 1 and 2 are the initial tables.
        random.set_stream(3);
        Batches {
            dataset,
            negatives: &scenario.sampler.negatives,
            items: dataset.item_count(),
            size: scenario.sampler.batch,
            order: (0..dataset.train.len() as u32).collect(),
            next: dataset.train.len(),
            epochs: 0,
            random,
        }
    }

    /// The epoch, from 0, and its next batch.
    pub(super) fn next_batch(&mut self) -> (usize, Batch) {
        if self.next + self.size > self.order.len() {
            self.order.shuffle(&mut self.random);
            self.next = 0;
            self.epochs += 1;
        }
        let pairs = &self.order[self.next..self.next + self.size];
        self.next += self.size;
        let pair = |&place: &u32| &self.dataset.train[place as usize];
        let batch = Batch {
            users: pairs.iter().map(|place| pair(place).user as usize).collect(),
            positives: pairs.iter().map(|place| pair(place).item as usize).collect(),
            negatives: self.negatives.draw(self.size, self.items, &mut self.random),
        };
        (self.epochs - 1, batch)
    }
}
