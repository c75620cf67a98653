//! A case: one explicit scenario, the claim that it is about, and what must be observed on it.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::claims::specimen::Specimen;
use crate::claims::{Claim, find};
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::scenario::Scenario;
use crate::trainer::Trainer;
use crate::verdict::Observation;

/// The schema that a case file names.
const SCHEMA: &str = "perpend-case/v1";

/// A scenario that shows something about a claim, as a file of explicit values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// `perpend-case/v1`.
    schema: String,
    /// The claim.
    pub claim: String,
    /// The condition that the scenario lacks; the claim must break.
    pub condition: Condition,
    /// The twin of the claim whose planted fault, header or variant applies, where the scenario alone does not lack it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub twin: Option<String>,
    /// The scenario.
    pub scenario: Scenario,
}

impl Case {
    /// A case of a claim without a condition.
    pub fn new(claim: &dyn Claim, condition: Condition, twin: Option<&Specimen>, scenario: Scenario) -> Self {
        let twin = twin.map(|twin| twin.name.to_string());
        Case { schema: SCHEMA.into(), claim: claim.id().into(), condition, twin, scenario }
    }

    /// The name of its file: claim and condition.
    pub fn file_name(&self) -> String {
        let mut name = format!("{}.", self.claim);
        for letter in self.condition.to_string().chars() {
            if letter.is_uppercase() && !name.ends_with('.') {
                name.push('-');
            }
            name.extend(letter.to_lowercase());
        }
        name + ".json"
    }

    /// Reads a case file.
    ///
    /// # Errors
    /// A file that cannot be read, that is no case, or whose scenario is invalid.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read it", &error))?;
        let case: Case =
            serde_json::from_str(&text).map_err(|error| Error::input(path.display(), "a case in JSON", error))?;
        if case.schema != SCHEMA {
            return Err(Error::input(path.display(), SCHEMA, case.schema));
        }
        case.scenario.validate()?;
        Ok(case)
    }

    /// Whether a file's text names the schema of a case: a scenario is another kind of file.
    pub fn is_case(text: &str) -> bool {
        serde_json::from_str::<serde_json::Value>(text).is_ok_and(|value| value["schema"] == SCHEMA)
    }

    /// Writes it as JSON.
    pub fn to_json(&self) -> String {
        format!("{:#}\n", serde_json::to_value(self).expect("a case is a tree of plain values"))
    }

    /// Observes its claim on its scenario.
    ///
    /// # Errors
    /// A claim or a twin that does not exist, and the trainer's.
    pub fn examine(&self, trainer: &dyn Trainer) -> Result<Observation> {
        let claim = find(&self.claim)?;
        let materialised = self.scenario.materialise()?;
        let Some(name) = &self.twin else {
            return claim.examine(&materialised, trainer);
        };
        let twin = claim.twins().into_iter().find(|twin| twin.name == name);
        let twin = twin.ok_or_else(|| Error::input("twin", format!("the name of a twin of {}", self.claim), name))?;
        twin.examine(claim, &materialised, trainer)
    }
}
