//! Runs that can be continued: all that the next step starts from, in one safetensors file.
//!
//! The pairs of every step follow from the data and the seed, so that they need not be saved. A checkpoint belongs to one run:
//! it names the scenario, the data and the core with its threads, and continues nothing else. Only the number of steps may
//! differ, so that a finished run can be made longer.

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::{Core, Followed};
use crate::error::{Error, Result};
use crate::interactions::Dataset;
use crate::scenario::Scenario;
use crate::trainer::Stepwise;
use crate::trajectory::{Array, Element, read_arrays, write_arrays};

/// What a checkpoint says that it is.
const SCHEMA: &str = "perpend-checkpoint/v1";

/// What makes a run the same run.
pub(super) struct Identity {
    named: [(&'static str, String); 4],
    steps: u64,
}

impl Identity {
    pub(super) fn of(dataset: &Dataset, scenario: &Scenario, core: Core) -> Self {
        let mut pairs = Sha256::new();
        for pair in &dataset.train {
            pairs.update(pair.user.to_le_bytes());
            pairs.update(pair.item.to_le_bytes());
        }
        let data: String = pairs.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        let named = [
            ("schema", SCHEMA.to_owned()),
            ("scenario", Scenario { steps: 1, ..scenario.clone() }.to_json()),
            ("data", format!("sha256 of the train pairs {data}")),
            ("core", core.to_string()),
        ];
        Identity { named, steps: scenario.steps as u64 }
    }
}

/// The arrays of what is followed of a tower.
fn followed(tower: &mut Followed) -> [(String, &mut Vec<f64>); 3] {
    let Followed { side, start, energy, displacement } = tower;
    [("start", start), ("energy", energy), ("displacement", displacement)]
        .map(|(name, values)| (format!("{side}/{name}"), values))
}

/// Writes a checkpoint, which replaces the one before as a whole.
///
/// # Errors
/// Where the file cannot be written, or the model cannot be saved.
pub(super) fn save(
    path: &Path,
    identity: &Identity,
    model: &mut impl Stepwise,
    towers: &mut [Followed],
    losses: &[(usize, f64)],
) -> Result<()> {
    let mut metadata: BTreeMap<String, String> =
        identity.named.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    metadata.insert("steps".into(), model.time().to_string());
    let mut arrays = model.save()?;
    for tower in towers {
        for (name, values) in followed(tower) {
            arrays.insert(name, Array::from_f64(&[values.len()], values));
        }
    }
    let (steps, sums): (Vec<f64>, Vec<f64>) = losses.iter().map(|&(steps, sum)| (steps as f64, sum)).unzip();
    arrays.insert("loss/steps".into(), Array::from_f64(&[steps.len()], &steps));
    arrays.insert("loss/sum".into(), Array::from_f64(&[sums.len()], &sums));
    write_arrays(path, true, &metadata, &arrays)
}

/// Continues a run: sets the model and what is followed, and returns the steps and the sum of the losses of each epoch.
///
/// # Errors
/// Where the file cannot be read, is no checkpoint or that of another run, or is beyond the steps to make.
pub(super) fn restore(
    path: &Path,
    identity: &Identity,
    model: &mut impl Stepwise,
    towers: &mut [Followed],
) -> Result<Vec<(usize, f64)>> {
    let (metadata, arrays) = read_arrays(path)?;
    let place = |what: &str| format!("{}: {what}", path.display());
    for (name, expected) in &identity.named {
        let found = metadata.get(*name).map_or("nothing", String::as_str);
        if found != expected {
            // A scenario may hold whole tables.
            let (expected, found) = match *name {
                "scenario" => ("the scenario", "another"),
                _ => (expected.as_str(), found),
            };
            return Err(Error::input(place(name), format!("{expected}, as this run has it"), found));
        }
    }
    let text = metadata.get("steps").map_or("nothing", String::as_str);
    let steps: u64 = text.parse().map_err(|_| Error::input(place("steps"), "a number of steps", text))?;
    if steps >= identity.steps {
        return Err(Error::input(place("steps"), format!("fewer than {}, the steps to make", identity.steps), steps));
    }
    let read = |name: &str, count: Option<usize>| -> Result<Vec<f64>> {
        let expected = count.map_or("F64 [epochs]".into(), |count| format!("F64 [{count}]"));
        let array = arrays.get(name).ok_or_else(|| Error::input(place(name), &expected, "no such array"))?;
        let found = array.shape();
        if array.element() != Element::F64 || found.len() != 1 || count.is_some_and(|count| found[0] != count) {
            return Err(Error::input(place(name), expected, format!("{} {found:?}", array.element())));
        }
        let mut values = vec![0.0; found[0]];
        array.read(0, &mut values);
        Ok(values)
    };
    for tower in towers {
        for (name, values) in followed(tower) {
            *values = read(&name, Some(values.len()))?;
        }
    }
    let epochs = read("loss/steps", None)?;
    let sums = read("loss/sum", Some(epochs.len()))?;
    model.restore(&path.display().to_string(), &arrays, steps)?;
    // Counts of steps are far below 2⁵³.
    Ok(epochs.into_iter().zip(sums).map(|(steps, sum)| (steps as usize, sum)).collect())
}
