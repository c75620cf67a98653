//! Batches from interactions: shuffled epochs of the train pairs.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::interactions::Dataset;
use crate::loss::ObjectiveFunction;
use crate::sampler::{Batch, Negatives};
use crate::scenario::Scenario;

/// An endless stream of batches. Every epoch shuffles all train pairs and cuts them into batches of B; the pairs that do
/// not fill the last one are dropped, so that the mean over a batch always has B terms.
pub(super) struct Batches<'a> {
    dataset: &'a Dataset,
    negatives: &'a Negatives,
    /// Each item's share of the train pairs, where the loss asks for it.
    popularity: Option<Vec<f64>>,
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
        let popularity = scenario.loss.objective.wants_log_q().then(|| {
            let mut counts = vec![0.0; dataset.item_count()];
            dataset.train.iter().for_each(|pair| counts[pair.item as usize] += 1.0);
            counts.iter().map(|count| count / dataset.train.len() as f64).collect()
        });
        Batches {
            dataset,
            negatives: &scenario.sampler.negatives,
            popularity,
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
        let pairs = Batch {
            users: pairs.iter().map(|place| pair(place).user as usize).collect(),
            positives: pairs.iter().map(|place| pair(place).item as usize).collect(),
            ..Batch::default()
        };
        let batch = self.negatives.draw(pairs, self.items, &mut self.random);
        let batch = match &self.popularity {
            Some(popularity) => self.negatives.with_log_q(batch, popularity),
            None => batch,
        };
        (self.epochs - 1, batch)
    }
}
