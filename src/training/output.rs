//! Where a training run goes: a folder of four files, each of which appears completely or not at all.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Training;
use crate::error::{Error, Result};
use crate::files;
use crate::geometry::Table;
use crate::rounding::Precision;
use crate::trajectory::{Array, Element, Side, Similarity, read_arrays, write_arrays};

const TRAJECTORY: &str = "trajectory.safetensors";
const MODEL: &str = "model.safetensors";
const SCENARIO: &str = "scenario.toml";
const METRICS: &str = "metrics.json";

/// What `model.safetensors` says that it is.
const MODEL_SCHEMA: &str = "perpend-model/v1";

/// The folder to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Made if it does not exist. Its parent must exist.
    pub folder: PathBuf,
    /// Whether a folder with something in it may be used; files of the same names are then replaced, others stay.
    pub force: bool,
}

/// An output folder in use. Dropped without [`Folder::keep`], what was made is removed again: the files of this run, if
/// they replaced none, and the folder.
#[derive(Debug)]
pub(super) struct Folder {
    output: Output,
    made: bool,
    was_empty: bool,
    kept: bool,
}

impl Folder {
    pub(super) fn claim(output: &Output) -> Result<Self> {
        let path = &output.folder;
        let failed = |doing: &str, error: &std::io::Error| Error::io(path, doing, error);
        let made = match std::fs::create_dir(path) {
            Ok(()) => true,
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed("make the folder", &error)),
        };
        let was_empty = made || {
            let mut entries = std::fs::read_dir(path).map_err(|error| failed("read the folder", &error))?;
            entries.next().is_none()
        };
        if !was_empty && !output.force {
            return Err(Error::exists(path));
        }
        Ok(Folder { output: output.clone(), made, was_empty, kept: false })
    }

    pub(super) fn trajectory(&self) -> PathBuf {
        self.output.folder.join(TRAJECTORY)
    }

    pub(super) fn force(&self) -> bool {
        self.output.force
    }

    /// Writes everything but the trajectory, which its recorder finishes.
    pub(super) fn write(&self, training: &Training) -> Result<()> {
        let folder = &self.output.folder;
        training.model.save(&folder.join(MODEL), self.force())?;
        let scenario = format!(
            "# What was trained. The pairs of the batches came from interactions, in shuffled epochs; sampler.exponent was not\n\
             # used. Train it again with the same data and `perpend train --scenario`.\n{}",
            training.scenario.to_toml()
        );
        self.write_text(SCENARIO, &scenario)?;
        let metrics = serde_json::to_value(training)
            .map_err(|error| Error::internal(format!("metrics do not become JSON: {error}")))?;
        self.write_text(METRICS, &format!("{metrics:#}\n"))
    }

    fn write_text(&self, name: &str, text: &str) -> Result<()> {
        files::write_text(&self.output.folder.join(name), self.force(), text)
    }

    pub(super) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if self.was_empty {
            for name in [TRAJECTORY, MODEL, SCENARIO, METRICS] {
                let _ = std::fs::remove_file(self.output.folder.join(name));
            }
        }
        if self.made {
            let _ = std::fs::remove_dir(&self.output.folder);
        }
    }
}

/// Trained embeddings of both towers with the names of users and items: `model.safetensors`.
///
/// The file holds the arrays `item/table` and `user/table`, `[rows, d]`, in the precision of training, and in its header
/// `schema`, `similarity` (what the loss was a function of), and the names as the JSON lists `item/names` and `user/names`.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    /// What the loss was a function of.
    pub similarity: Similarity,
    /// The precision that it was trained in.
    pub precision: Precision,
    /// The items' names; the index is the row.
    pub item_names: Vec<String>,
    /// The users' names; the index is the row.
    pub user_names: Vec<String>,
    /// Item embeddings: `[items, d]`.
    pub items: Table<f64>,
    /// User embeddings: `[users, d]`.
    pub users: Table<f64>,
}

impl Model {
    /// Writes a file, which appears completely or not at all.
    ///
    /// # Errors
    /// Where the file cannot be written, or exists and `force` is not set.
    pub fn save(&self, path: &Path, force: bool) -> Result<()> {
        let element = match self.precision {
            Precision::F32 => Element::F32,
            _ => Element::F64,
        };
        let mut metadata = BTreeMap::from([
            ("schema".to_owned(), MODEL_SCHEMA.to_owned()),
            ("similarity".to_owned(), self.similarity.to_string()),
        ]);
        let mut arrays = BTreeMap::new();
        for (side, table, names) in
            [(Side::Item, &self.items, &self.item_names), (Side::User, &self.users, &self.user_names)]
        {
            metadata.insert(format!("{side}/names"), serde_json::Value::from(names.as_slice()).to_string());
            let array = Array::encode(element, &[table.rows(), table.width()], table.values());
            arrays.insert(format!("{side}/table"), array);
        }
        write_arrays(path, force, &metadata, &arrays)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Where it cannot be read, is no such model, or tables and names do not fit each other.
    pub fn open(path: &Path) -> Result<Self> {
        let (metadata, arrays) = read_arrays(path)?;
        let place = |what: &str| format!("{}: {what}", path.display());
        let text = |key: &str| metadata.get(key).map(String::as_str).unwrap_or("");
        if text("schema") != MODEL_SCHEMA {
            return Err(Error::input(place("schema"), MODEL_SCHEMA, format!("{:?}", text("schema"))));
        }
        let similarity = Similarity::parse(text("similarity"))
            .ok_or_else(|| Error::input(place("similarity"), "cosine or dot", format!("{:?}", text("similarity"))))?;
        let tower = |side: Side| -> Result<(Table<f64>, Vec<String>, Precision)> {
            let (key, name) = (format!("{side}/names"), format!("{side}/table"));
            let names: Vec<String> = serde_json::from_str(text(&key))
                .map_err(|error| Error::input(place(&key), "a JSON list of names", error))?;
            let array =
                arrays.get(&name).ok_or_else(|| Error::input(place(&name), "an array [rows, d]", "no such array"))?;
            let precision = array.element().precision();
            let (&[rows, width], Some(precision)) = (array.shape(), precision) else {
                let found = format!("{} {:?}", array.element(), array.shape());
                return Err(Error::input(place(&name), "floating-point numbers [rows, d]", found));
            };
            if rows != names.len() || width == 0 {
                let expected = format!("shape [{}, d], one row a name", names.len());
                return Err(Error::input(place(&name), expected, format!("{:?}", array.shape())));
            }
            let mut values = vec![0.0; rows * width];
            array.read(0, &mut values);
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                let found = format!("{} at row {}, column {}", values[at], at / width, at % width);
                return Err(Error::not_finite(place(&name), found));
            }
            Ok((Table::from_values(width, values), names, precision))
        };
        let ((items, item_names, precision), (users, user_names, _)) = (tower(Side::Item)?, tower(Side::User)?);
        if items.width() != users.width() {
            let expected = format!("{} columns, as item/table has", items.width());
            return Err(Error::input(place("user/table"), expected, users.width()));
        }
        Ok(Model { similarity, precision, item_names, user_names, items, users })
    }
}
