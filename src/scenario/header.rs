//! What the header of a recording says about the scenario that was trained.

use super::Scenario;
use crate::encoder::Architecture;
use crate::trajectory::{Settings, Side};

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
