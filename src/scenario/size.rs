//! What a scenario takes in memory. Sizes are plain numbers in a file, so products of them are computed where they cannot overflow.

use super::Scenario;
use crate::encoder::Architecture;
use crate::error::Result;
use crate::memory::afford;
use crate::sampler::{Batch, Negatives};
use crate::trajectory::Side;

const NUMBER: u128 = size_of::<f64>() as u128;

/// A product that stays as large as it can be.
fn product(factors: &[u128]) -> u128 {
    factors.iter().fold(1, |product: u128, factor| product.saturating_mul(*factor))
}

impl Scenario {
    /// Numbers in the parameter tables of a tower.
    fn parameters(&self, side: Side) -> u128 {
        let blocks = self.tower(side).encoder.blocks(self.tower(side).rows, self.dim);
        blocks
            .iter()
            .map(|block| product(&[block.rows as u128, block.width as u128]))
            .fold(0, u128::saturating_add)
    }

    /// Numbers in the constants of a tower.
    pub(super) fn constants(&self, side: Side) -> u128 {
        let tower = self.tower(side);
        let width = tower.encoder.constants(self.size(side)).iter().map(|form| form.count as u128).sum();
        product(&[tower.rows as u128, width]).saturating_add(tower.encoder.shared_constants(self.dim) as u128)
    }

    /// The largest number of pairs, and of item slots, in a step.
    fn batch(&self) -> (u128, u128) {
        let sizes = |batch: &Batch| {
            let own: usize = batch.negatives.iter().map(Vec::len).sum();
            (batch.users.len() as u128, (batch.positives.len() + own + batch.shared.len()) as u128)
        };
        let larger = |a: (u128, u128), b: (u128, u128)| (a.0.max(b.0), a.1.max(b.1));
        if let Some(batches) = &self.batches {
            return batches.iter().map(sizes).fold((0, 0), larger);
        }
        let pairs = self.sampler.batch as u128;
        let negatives = match &self.sampler.negatives {
            Negatives::InBatch(_) => 0,
            Negatives::Uniform(uniform) => product(&[pairs, uniform.count as u128]),
            Negatives::Mixed(mixed) => mixed.count as u128,
            Negatives::Full(_) => self.item.rows as u128,
        };
        (pairs, pairs.saturating_add(negatives))
    }

    /// Refuses values that do not fit into memory: tables and constants of each tower, and the batches that are drawn.
    ///
    /// # Errors
    /// Where they do not.
    pub(crate) fn check_values(&self) -> Result<()> {
        let mut total: u128 = 0;
        let mut add = |place: String, what: &str, bytes: u128| {
            total = total.saturating_add(bytes);
            afford(place, what, total)
        };
        for side in Side::ALL {
            let numbers = self.parameters(side).saturating_add(self.constants(side));
            let rows = self.tower(side).rows;
            add(format!("{side}: {rows} rows"), "tables", product(&[numbers, NUMBER]))?;
        }
        if self.batches.is_none() {
            let (pairs, slots) = self.batch();
            // Users and item slots, ln Q of the slots, and the lists that they are in.
            let step = product(&[pairs.saturating_add(slots).saturating_add(slots), NUMBER])
                .saturating_add(product(&[pairs, size_of::<Vec<usize>>() as u128]))
                .saturating_add(size_of::<Batch>() as u128);
            // How popular each item is, and as a running sum.
            let popularity = product(&[2, self.item.rows as u128, NUMBER]);
            let bytes = product(&[self.steps as u128, step]).saturating_add(popularity);
            add(format!("sampler: {} steps", self.steps), "batches", bytes)?;
        }
        Ok(())
    }

    /// Refuses a run whose recording does not fit into memory, at so many bytes a number: embeddings and gradients of every
    /// step, parameters before and after, and the gradient of every lookup.
    ///
    /// # Errors
    /// Where it does not.
    pub(crate) fn check_recording(&self, bytes: usize) -> Result<()> {
        let (pairs, slots) = self.batch();
        let mut step: u128 = 0;
        for (side, slots) in [(Side::Item, slots), (Side::User, pairs)] {
            let rows = product(&[2, self.tower(side).rows as u128]).saturating_add(slots);
            let parameters = product(&[3, self.parameters(side)]);
            step = step.saturating_add(product(&[rows, self.dim as u128])).saturating_add(parameters);
        }
        let bytes = product(&[self.steps as u128, step, bytes as u128]);
        afford(format!("scenario: {} steps", self.steps), "a recording", bytes)
    }

    /// Refuses a run of which every intermediate is kept where these do not fit into memory: beside the recording, the
    /// similarities and their coefficients.
    ///
    /// # Errors
    /// Where they do not.
    pub(crate) fn check_intermediates(&self, bytes: usize) -> Result<()> {
        self.check_recording(bytes)?;
        let (pairs, slots) = self.batch();
        let bytes = product(&[self.steps as u128, 2, pairs, slots, bytes as u128]);
        afford(format!("scenario: {} steps", self.steps), "similarities", bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &str = include_str!("../../fixtures/scenarios/tiny.toml");

    #[test]
    fn scenarios_that_do_not_fit_are_refused_before_anything_is_drawn() {
        let base = Scenario::from_toml(TINY).unwrap();
        base.materialise().unwrap();
        let much = 1_usize << 40;
        let refused = |place: &str, change: &dyn Fn(&mut Scenario)| {
            let mut scenario = base.clone();
            change(&mut scenario);
            let error = scenario.materialise().unwrap_err();
            assert!(error.is_input() && error.to_string().starts_with(place), "{error}\nis not at\n{place}");
        };
        for size in [much, usize::MAX >> 1, usize::MAX] {
            refused(&format!("item: {size} rows: expected tables of at most "), &|scenario| scenario.item.rows = size);
            refused(&format!("user: {size} rows: expected tables of at most "), &|scenario| scenario.user.rows = size);
            refused("item: ", &|scenario| scenario.dim = size);
            refused(&format!("sampler: {size} steps: expected batches"), &|scenario| scenario.steps = size);
            refused("sampler: ", &|scenario| scenario.sampler.batch = size);
        }
    }

    #[test]
    fn every_encoder_of_any_size_is_measured_without_overflow() {
        let mut base = Scenario::from_toml(TINY).unwrap();
        base.user.encoder = serde_json::from_str(r#"{"kind": "table"}"#).unwrap();
        let size = usize::MAX >> 1;
        for encoder in [
            r#"{"kind": "affine", "features": SIZE, "bias": "trained"}"#,
            r#"{"kind": "two-layer", "features": SIZE, "hidden": SIZE}"#,
            r#"{"kind": "projection", "inner": SIZE}"#,
            r#"{"kind": "hash", "buckets": SIZE, "hashes": SIZE, "weights": "trained"}"#,
            r#"{"kind": "shared-linear", "features": SIZE}"#,
            r#"{"kind": "bottleneck", "features": SIZE, "rank": SIZE}"#,
            r#"{"kind": "adapter", "features": SIZE, "rank": SIZE, "base": "map", "outer_trained": false}"#,
            r#"{"kind": "mlp", "features": SIZE, "hidden": [SIZE], "bias": true}"#,
            r#"{"kind": "residual", "features": SIZE, "hidden": SIZE, "depth": 2, "activation": "relu", "bias": true}"#,
            r#"{"kind": "residual", "features": 1, "hidden": 1, "depth": SIZE, "activation": "relu", "bias": true}"#,
            r#"{"kind": "history-mean", "length": SIZE, "own_rows": SIZE}"#,
        ] {
            let text = encoder.replace("SIZE", &size.to_string());
            base.item.encoder = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let error = base.materialise().unwrap_err();
            assert!(error.is_input() && error.to_string().starts_with("item"), "{text}: {error}");
        }
    }
}
