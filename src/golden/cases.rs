//! Which fixtures there are: `cases.toml`, read once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Fault;
use crate::error::{Error, Result};
use crate::scenario::{Materialised, Scenario};

/// What a step is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "u8", into = "u8")]
pub enum Level {
    /// One step, one pair.
    Pair,
    /// One step, a batch.
    Batch,
    /// A run of several steps.
    Run,
}

impl From<u8> for Level {
    fn from(level: u8) -> Self {
        match level {
            0 => Level::Pair,
            1 => Level::Batch,
            _ => Level::Run,
        }
    }
}

impl From<Level> for u8 {
    fn from(level: Level) -> u8 {
        level as u8
    }
}

/// What a flag stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// Why the vector exists.
    pub why: String,
    /// What failing it means.
    pub failing: String,
}

/// One case.
#[derive(Debug, Clone)]
pub struct Case {
    /// The claim that it belongs to.
    pub claim: String,
    /// Its name.
    pub name: String,
    /// Its level.
    pub level: Level,
    /// Its flags, with their notes.
    pub notes: BTreeMap<String, Note>,
    /// Its scenario, with everything drawn.
    pub values: Materialised,
}

impl Case {
    /// `claim/name`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.claim, self.name)
    }
}

/// A recording that has to be refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failing {
    /// The case that it pretends to be, `claim/name`.
    pub of: String,
    /// The class of failure.
    pub class: Fault,
}

/// All cases, and all recordings that have to be refused.
#[derive(Debug, Clone)]
pub struct Cases {
    /// The cases.
    pub cases: Vec<Case>,
    /// The recordings.
    pub failing: Vec<Failing>,
    /// The note of recordings that have to be refused.
    pub must_fail: (String, Note),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    base: toml::Table,
    flags: BTreeMap<String, (String, String)>,
    case: Vec<Entry>,
    failing: Vec<FailingEntry>,
}

#[derive(Deserialize)]
struct Entry {
    claim: String,
    name: String,
    #[serde(default = "batch")]
    level: u8,
    flags: Vec<String>,
    #[serde(flatten)]
    scenario: toml::Table,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FailingEntry {
    case: String,
    classes: Vec<Fault>,
}

fn batch() -> u8 {
    1
}

/// Puts what a case says itself over what all say. A table with a `kind` is one choice and is replaced as a whole.
fn merge(base: &mut toml::Table, own: &toml::Table) {
    for (key, value) in own {
        match (base.get_mut(key), value) {
            (Some(toml::Value::Table(under)), toml::Value::Table(over)) if !over.contains_key("kind") => {
                merge(under, over)
            }
            _ => drop(base.insert(key.clone(), value.clone())),
        }
    }
}

impl Cases {
    /// The list of this crate.
    ///
    /// # Errors
    /// An internal error where the list is not what it should be.
    pub fn all() -> Result<Self> {
        Self::read(include_str!("cases.toml"))
    }

    fn read(text: &str) -> Result<Self> {
        let list: List = toml::from_str(text).map_err(Error::internal)?;
        let note = |flag: &str| {
            let (why, failing) =
                list.flags.get(flag).cloned().ok_or_else(|| Error::internal(format!("flag {flag}")))?;
            Ok((flag.to_owned(), Note { why, failing }))
        };
        let case = |entry: &Entry| {
            let mut table = list.base.clone();
            // Every case draws its own values, whatever other cases there are.
            let digest = Sha256::digest(format!("{}/{}", entry.claim, entry.name));
            let seed = u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]]);
            table.insert("seed".into(), toml::Value::Integer(seed.into()));
            merge(&mut table, &entry.scenario);
            let scenario = Scenario::from_toml(&table.to_string())
                .map_err(|error| Error::internal(format!("{}/{}: {error}", entry.claim, entry.name)))?;
            let mut values =
                scenario.materialise().map_err(|error| Error::internal(format!("{}: {error}", entry.name)))?;
            // Values, never seeds.
            values.scenario.seed = 0;
            values.scenario = values.explicit();
            Ok(Case {
                claim: entry.claim.clone(),
                name: entry.name.clone(),
                level: entry.level.into(),
                notes: entry.flags.iter().map(|flag| note(flag)).collect::<Result<_>>()?,
                values,
            })
        };
        Ok(Cases {
            cases: list.case.iter().map(case).collect::<Result<_>>()?,
            failing: list
                .failing
                .iter()
                .flat_map(|entry| entry.classes.iter().map(|&class| Failing { of: entry.case.clone(), class }))
                .collect(),
            must_fail: note("must-fail")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::find;

    #[test]
    fn every_case_belongs_to_a_claim_and_names_are_unique() {
        let all = Cases::all().unwrap();
        assert!(all.cases.len() >= 60, "{}", all.cases.len());
        let mut ids: Vec<String> = all.cases.iter().map(Case::id).collect();
        for case in &all.cases {
            find(&case.claim).unwrap();
            assert!(!case.notes.is_empty(), "{}", case.id());
            let steps = case.values.batches.len();
            match case.level {
                Level::Pair => assert_eq!((steps, case.values.batches[0].users.len()), (1, 1), "{}", case.id()),
                Level::Batch => assert_eq!(steps, 1, "{}", case.id()),
                Level::Run => assert!(steps > 1, "{}", case.id()),
            }
        }
        assert!(all.failing.iter().all(|failing| ids.contains(&failing.of)));
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), all.cases.len());
    }

    #[test]
    fn every_class_of_failure_that_is_a_program_has_a_recording() {
        let all = Cases::all().unwrap();
        for class in Fault::PROGRAMS {
            assert!(all.failing.iter().any(|failing| failing.class == class), "{}", class.class());
        }
    }
}
