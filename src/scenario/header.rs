//! What a recording says about the scenario that was trained, whoever trained it: its header, and the pairs of every step.

use std::collections::BTreeMap;

use super::{Materialised, Scenario};
use crate::encoder::Architecture;
use crate::trajectory::{Array, Settings, Side};

impl Scenario {
    /// The header settings of a recording of this scenario by `implementation`.
    pub(crate) fn header(&self, implementation: &str) -> Settings {
        let loss = &self.loss;
        let mut settings = Settings {
            similarity: Some(loss.similarity),
            eps: Some(loss.epsilon),
            eps_on: loss.epsilon_on.declared().filter(|_| loss.epsilon > 0.0),
            temperature: loss.temperature(),
            loss: Some(match self.mixes_negatives() {
                true => loss.header_name() + ", in-batch and other negatives",
                false => loss.header_name(),
            }),
            param_dtype: Some(self.precision),
            compute_dtype: Some(self.precision),
            grad_stage: Some("raw".into()),
            framework: Some(concat!("perpend ", env!("CARGO_PKG_VERSION")).into()),
            implementation: Some(implementation.into()),
            ..Settings::default()
        };
        for side in [Side::Item, Side::User] {
            let tower = self.tower(side);
            let own = Settings {
                // Where nothing is the tower's own, no optimizer moves it.
                optimizer: (!tower.encoder.blocks(tower.rows, self.dim).is_empty()).then(|| tower.declare(self.dim)),
                param_dtype: tower.update.storage.as_ref().map(|storage| storage.format),
                encoder: Some(String::from(if self.is_pooled(side) {
                    "pooled"
                } else {
                    tower.encoder.name()
                })),
                ..Settings::default()
            };
            settings.set_tower(side, &own);
        }
        settings
    }
}

impl Materialised {
    /// The arrays `users` and `positives` `[T, B]`, and `negatives` `[T, B, M]` where there are any. None where batches are of
    /// unequal sizes, which have no rectangular form.
    pub(crate) fn recorded_pairs(&self) -> Option<BTreeMap<String, Array>> {
        let (steps, first) = (self.batches.len(), self.batches.first()?);
        let (pairs, slots) = (first.users.len(), first.item_slots().len());
        if self.batches.iter().any(|batch| (batch.users.len(), batch.item_slots().len()) != (pairs, slots)) {
            return None;
        }
        let (mut users, mut positives, mut negatives) = (Vec::new(), Vec::new(), Vec::new());
        for batch in &self.batches {
            users.extend(batch.users.iter().map(|&row| row as i64));
            positives.extend(batch.positives.iter().map(|&row| row as i64));
            for pair in 0..pairs {
                let own = batch.negatives.get(pair).into_iter().flatten();
                negatives.extend(own.chain(&batch.shared).map(|&row| row as i64));
            }
        }
        let matrix = |values: &[i64]| Array::from_i64(&[steps, pairs], values);
        let mut arrays =
            BTreeMap::from([("users".to_owned(), matrix(&users)), ("positives".to_owned(), matrix(&positives))]);
        if !negatives.is_empty() {
            let own = negatives.len() / (steps * pairs);
            arrays.insert("negatives".to_owned(), Array::from_i64(&[steps, pairs, own], &negatives));
        }
        Some(arrays)
    }
}
