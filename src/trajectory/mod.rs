//! What happened in a training run, step by step: the trajectory, its file format, and how to walk it.
//!
//! A [`Trajectory`] holds named arrays with a leading step axis and the declared [`Settings`]. It is the same whether it
//! was made in memory ([`Trajectory::new`]), recorded by a program ([`Trajectory::open`]) or streamed by a trainer
//! ([`Writer`]), and is checked in the same way. A [`Tower`] is one embedding table of it, walked record by record.
//!
//! # The file, version 1
//! safetensors; T steps, N rows, embedding dimension d, batch size B, M negatives, K sparse records. Floating-point arrays are F64, F32, F16
//! or BF16, integers I64 or I32. Names may be prefixed `item/` and `user/`; then `users`, `positives`, `negatives`,
//! `loss`, `lr` and `step` may stay without prefix and belong to both towers.
//!
//! | name | shape | |
//! |---|---|---|
//! | `ids` | \[T, B\] | rows looked up in the step; −1 (and `padding_id`) = padding |
//! | `users`, `positives`, `negatives` | \[T, B\], \[T, B\], \[T, B, M\] | who was paired with what |
//! | `q` | \[T+1, N, d\], or \[T, N, d\] with `q_next` | the embedding before each step |
//! | `grad` | \[T, N, d\] | dL/dq, summed over duplicates |
//! | `grad_out` | \[T, B, d\] | dL/dq of every lookup |
//! | `table`, `table_next`, `table_grad` | \[T, P, …\] (or `table` \[T+1, P, …\]) | the encoder's parameters |
//! | `loss`, `lr` | \[T\] | |
//! | `step` | \[T\] | step numbers, increasing; with gaps only in the pair form |
//! | `row_ids` | \[N\] | which rows of a larger table the N rows are; then `ids` are ids of that table |
//! | `row_step`, `row_id` | \[K\] | sparse form: the step *index* (below T) and the table row of every record, in any order |
//! | `row_q`, `row_q_next`, `row_grad` | \[K, d\] | sparse form: rows that are not recorded in a step neither moved nor had a gradient |
//!
//! In the sparse form the rows of the tower are those that `row_ids` lists or, without it, all that occur in `row_id` or
//! `ids`, in increasing order; [`Tower::row_number`] gives the id. Where no array has a step axis, T is the largest
//! `row_step` plus one.
//!
//! Other arrays are kept and not interpreted.
//!
//! # Other forms
//! The same arrays and metadata, told by content, not by name. All checks and claims see the same arrays.
//!
//! | form | |
//! |---|---|
//! | npz | `numpy.savez` or `savez_compressed` of arrays of these names; the header metadata as a JSON object in the string array `metadata` |
//! | folder of arrays | `q.npy` or `item/q.npy`, …, with the metadata in `metadata.json`; a single `.npy` is no trajectory |
//! | folder of steps | `header.json` and `step-000000.safetensors`, …: the arrays of one step each, without step axis, as the Python recorder leaves them, finished or not |
//! | JSON Lines | a header line `{"perpend": "1", "metadata": {…}}`, then one line of arrays for each step; at most 1 MiB |
//!
//! NumPy's element types are `<f8 <f4 <f2 <i8 <i4`, in C order, and `V2` for bfloat16, as which NumPy saves arrays of
//! `ml_dtypes.bfloat16`. In the forms of steps, lists whose length varies are filled up (ids with −1, `grad_out` with 0), records of the
//! sparse form follow each other, and embeddings are in the pair form.
//!
//! # Limits
//! Opening and walking a file takes at most twice its size and 6 MiB of memory; what has to be unpacked or joined goes to temporary
//! files. To that end a file has at most 4096 arrays with names of at most 256 bytes, and a row of more than 65,536 columns is read
//! only where at least 16 bytes are recorded for each of them. Rows that have ids of their own are fewer than 2³².
//!
//! ```
//! use std::collections::BTreeMap;
//! use perpend::trajectory::{Array, Settings, Trajectory};
//! // One row of dimension 2, two steps: q has one entry more than there are steps.
//! let arrays = BTreeMap::from([
//!     ("q".to_owned(), Array::from_f64(&[3, 1, 2], &[1.0, 0.0, 1.0, 0.5, 1.0, 1.0])),
//!     ("ids".to_owned(), Array::from_i64(&[2, 1], &[0, -1])),
//! ]);
//! let trajectory = Trajectory::new(Settings::default(), arrays)?;
//! let tower = &trajectory.towers()[0];
//! let mut seen = Vec::new();
//! tower.for_each(0..tower.rows(), &mut |record| {
//!     seen.push((record.step, record.row, record.lookups, record.q_next[1] - record.q[1]));
//!     Ok(())
//! })?;
//! assert_eq!(seen, [(0, 0, Some(1), 0.5), (1, 0, Some(0), 0.5)]);
//! # Ok::<(), perpend::Error>(())
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;

pub mod array;
mod container;
pub mod integrity;
pub mod settings;
mod sparse;
pub mod tower;
pub mod writer;

#[cfg(test)]
mod tests;

pub use array::{Array, Element};
pub(crate) use container::write_to;
pub use container::{read_arrays, write_arrays};
pub use integrity::{IntegrityFinding, IntegrityKind, survey};
pub use settings::{DeclaredOptimizer, EpsOn, Rows, Settings, Similarity};
pub use tower::{Record, Tower};
pub use writer::Writer;

/// One of the two towers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The item tower.
    Item,
    /// The user tower.
    User,
}

impl Side {
    /// Both, item first.
    pub const ALL: [Side; 2] = [Side::Item, Side::User];

    /// `item` or `user`.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Item => "item",
            Side::User => "user",
        }
    }

    /// The tower beside it.
    pub const fn other(self) -> Side {
        match self {
            Side::Item => Side::User,
            Side::User => Side::Item,
        }
    }

    /// The prefix of this tower's arrays and settings.
    pub(crate) const fn prefix(self) -> &'static str {
        match self {
            Side::Item => "item/",
            Side::User => "user/",
        }
    }

    /// Splits a name such as `item/q` into the side and the rest.
    pub(crate) fn split(name: &str) -> (Option<Side>, &str) {
        for side in Side::ALL {
            if let Some(rest) = name.strip_prefix(side.prefix()) {
                return (Some(side), rest);
            }
        }
        (None, name)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A recorded training run: declared settings and named arrays. Cloning shares the arrays.
#[derive(Debug, Clone)]
pub struct Trajectory {
    settings: Settings,
    notes: Vec<String>,
    origin: String,
    arrays: BTreeMap<String, Array>,
    towers: Arc<Vec<tower::TowerData>>,
}

impl Trajectory {
    /// A trajectory from arrays in memory, checked exactly like a file.
    ///
    /// # Errors
    /// Where the arrays do not fit the format (see the module): which one, what was expected and what was found.
    /// Whether embeddings and gradients are finite is checked while they are walked.
    pub fn new(settings: Settings, arrays: BTreeMap<String, Array>) -> Result<Trajectory> {
        let contents = container::Contents { metadata: settings.to_metadata(), arrays, foreign: BTreeMap::new() };
        Trajectory::from_contents("trajectory".to_owned(), contents)
    }

    /// Opens a file or folder of any of the forms (see the module). The arrays stay on disk and are mapped into memory, so
    /// it must not be changed while in use. Compressed arrays and joined steps are written to temporary files (in the
    /// system's folder for them, or `TMPDIR`), which have no name and vanish with the process.
    ///
    /// # Errors
    /// Where it cannot be read, is truncated or of another kind, or does not fit the format.
    pub fn open(path: &Path) -> Result<Trajectory> {
        Trajectory::from_contents(path.display().to_string(), container::read(path)?)
    }

    fn from_contents(origin: String, contents: container::Contents) -> Result<Trajectory> {
        integrity::check_version(&origin, &contents.metadata)?;
        let (settings, mut notes) = Settings::from_metadata(&contents.metadata);
        let (towers, found) = integrity::resolve(&origin, &settings, &contents.arrays, &contents.foreign)?;
        notes.extend(found);
        Ok(Trajectory { settings, notes, origin, arrays: contents.arrays, towers: Arc::new(towers) })
    }

    /// What the run declares about itself. [`Tower::settings`] has what holds for one tower.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The same run under another header.
    ///
    /// # Errors
    /// As [`Trajectory::new`]: arrays that do not fit what the new header says of them.
    pub fn with_settings(&self, settings: Settings) -> Result<Trajectory> {
        Trajectory::new(settings, self.arrays.clone())
    }

    /// The arrays by name.
    pub fn arrays(&self) -> &BTreeMap<String, Array> {
        &self.arrays
    }

    /// What was read but not understood: unreadable settings, unknown keys and arrays.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The path of the file, or `trajectory` for one made in memory.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// An array by its full name.
    pub fn array(&self, name: &str) -> Option<&Array> {
        self.arrays.get(name)
    }

    /// The towers: one without a side, or those with arrays prefixed `item/` and `user/`, item first.
    pub fn towers(&self) -> Vec<Tower<'_>> {
        self.towers.iter().map(|data| Tower::new(&self.origin, data)).collect()
    }

    /// Writes a safetensors file: first under another name in the same folder, then renamed, so that it exists either
    /// completely or not at all. Arrays of element types that [`Element`] does not have are left out.
    ///
    /// # Errors
    /// Where the file cannot be written, or exists and `force` is not set.
    pub fn save(&self, path: &Path, force: bool) -> Result<()> {
        write_arrays(path, force, &self.settings.to_metadata(), &self.arrays)
    }
}
