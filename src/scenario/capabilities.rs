//! What a trainer can train, by the names that scenarios have for kinds.

use serde::{Deserialize, Deserializer, Serialize};

use super::Scenario;
use crate::error::{Error, Result};
use crate::trajectory::Side;

/// The kinds that a trainer implements, named as in a scenario (`info-nce`, `table`, `heavy-ball`, `float64`). Where it says
/// nothing of a part, that may be anything.
///
/// ```
/// use perpend::scenario::{Capabilities, Scenario};
/// let scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/momentum.toml"))?;
/// assert!(Capabilities::default().admit(&scenario).is_ok());
/// let capabilities = Capabilities { optimizers: Some(vec!["sgd".into()]), ..Capabilities::default() };
/// assert!(capabilities.admit(&scenario).is_err_and(|error| error.is_unsupported()));
/// # Ok::<(), perpend::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Losses.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "names")]
    pub losses: Option<Vec<String>>,
    /// Encoders of either tower.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "names")]
    pub encoders: Option<Vec<String>>,
    /// Optimizers of either tower.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "names")]
    pub optimizers: Option<Vec<String>>,
    /// Number types of training.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "names")]
    pub precisions: Option<Vec<String>>,
}

/// A list without repetitions, as the schema of the harness protocol demands.
fn names<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Vec<String>>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    match names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
        Some((_, name)) => Err(serde::de::Error::custom(format!("{name:?} is listed twice"))),
        None => Ok(Some(names)),
    }
}

impl Capabilities {
    /// Whether a list has the kind of a part; a list that was not given has every kind.
    pub(crate) fn has<T: Serialize>(names: &Option<Vec<String>>, part: &T) -> bool {
        let Some(names) = names else { return true };
        let part = serde_json::to_value(part).unwrap_or_default();
        let kind = part.get("kind").unwrap_or(&part).as_str();
        kind.is_some_and(|kind| names.iter().any(|name| name == kind))
    }

    /// Turns down scenarios of which some part is not listed.
    ///
    /// # Errors
    /// [`Error::is_unsupported`], with the part.
    pub fn admit(&self, scenario: &Scenario) -> Result<()> {
        let turned_down =
            |part: String| Err(Error::unsupported(format!("{part} is not among the trainer's capabilities")));
        if !Self::has(&self.precisions, &scenario.precision) {
            return turned_down(format!("precision {}", scenario.precision));
        }
        if !Self::has(&self.losses, &scenario.loss) {
            return turned_down(format!("loss {}", scenario.loss.header_name()));
        }
        for side in Side::ALL {
            let tower = scenario.tower(side);
            if !Self::has(&self.encoders, &tower.encoder) {
                return turned_down(format!("{side} encoder {:?}", tower.encoder));
            }
            if !Self::has(&self.optimizers, &tower.optimizer) {
                return turned_down(format!("{side} optimizer {:?}", tower.optimizer));
            }
        }
        Ok(())
    }
}
