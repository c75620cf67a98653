//! The containers: named typed arrays and string metadata from a file or folder of any of the formats, one file a format.
//!
//! | form | told by | |
//! |---|---|---|
//! | [`safetensors`] | a header length and `{` | mapped into memory as it is |
//! | [`npz`] | `PK` | stored arrays are mapped, deflated ones are unpacked to nameless temporary files and mapped |
//! | [`lines`] | `{` | JSON Lines, for tiny cases |
//! | [`folder`] | a folder | per-step files, joined in nameless temporary files; or `.npy` files |
//!
//! What a reader takes from memory is at most about twice the size of what it reads, plus a constant that follows from the
//! limits below: nothing is allocated because a header says so. Data that have to be unpacked or joined go to disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;

use super::array::Array;
use crate::error::{Error, Result};

mod folder;
mod json;
mod lines;
mod npy;
mod npz;
mod safetensors;
mod spool;
mod steps;

#[cfg(test)]
mod tests;

pub use safetensors::write_arrays;
pub(crate) use safetensors::{Entry, header, sort_entries, write_to};

/// A trajectory has some forty arrays. The header of an empty one takes less space in a file than its entry in memory,
/// so their number is limited.
const MOST_ARRAYS: usize = 4096;

/// NumPy's own limit is 64; no array of the format has more than a handful.
const MOST_AXES: usize = 32;

/// Names are copied into several places.
const LONGEST_NAME: usize = 256;

/// Metadata are read into several places (common settings, those of each tower, JSON inside of them).
const LONGEST_METADATA: usize = 1 << 16;

/// What a file holds. `foreign` names arrays whose element type is none of [`Element`](super::Element), with that type.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub metadata: BTreeMap<String, String>,
    pub arrays: BTreeMap<String, Array>,
    pub foreign: BTreeMap<String, String>,
}

/// What an array turned out to be: one of the element types, or the name of another one.
enum Found {
    Array(Array),
    Foreign(String),
}

impl Contents {
    /// Adds an array under a name that must be new. `place` is the file.
    fn insert(&mut self, place: &str, name: &str, found: Found) -> Result<()> {
        if self.arrays.len() + self.foreign.len() >= MOST_ARRAYS {
            return Err(Error::input(place, format!("at most {MOST_ARRAYS} arrays"), "more"));
        }
        if name.len() > LONGEST_NAME {
            let expected = format!("names of at most {LONGEST_NAME} bytes");
            return Err(Error::input(place, expected, beginning(name)));
        }
        if self.arrays.contains_key(name) || self.foreign.contains_key(name) {
            return Err(Error::input(format!("{place}: {name}"), "one array of this name", "two"));
        }
        match found {
            Found::Array(array) => drop(self.arrays.insert(name.to_owned(), array)),
            Found::Foreign(element) => drop(self.foreign.insert(name.to_owned(), element)),
        }
        Ok(())
    }
}

/// Reads metadata and arrays of a file or folder of any kind that [`Trajectory::open`](super::Trajectory::open) reads.
///
/// # Errors
/// Where it cannot be read, is truncated or of another kind, or holds an element type other than
/// [`Element`](super::Element)'s.
pub fn read_arrays(path: &Path) -> Result<(BTreeMap<String, String>, BTreeMap<String, Array>)> {
    let contents = read(path)?;
    if let Some((name, found)) = contents.foreign.first_key_value() {
        return Err(Error::input(format!("{}: {name}", path.display()), "F64, F32, F16, BF16, I64 or I32", found));
    }
    Ok((contents.metadata, contents.arrays))
}

/// Reads a file or folder of whatever kind its content says.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    if path.is_dir() {
        return folder::read(path);
    }
    let map = map(path)?;
    let place = path.display().to_string();
    if safetensors::is_likely(&map) {
        safetensors::read(&place, &map)
    } else if map.starts_with(b"PK") {
        npz::read(&place, &map)
    } else if map.trim_ascii_start().starts_with(b"{") {
        lines::read(&place, &map)
    } else {
        Err(Error::input(place, "a safetensors, npz or JSON Lines file", foreign_kind(&map)))
    }
}

/// Maps a whole file into memory.
fn map(path: &Path) -> Result<Arc<Mmap>> {
    let file = File::open(path).map_err(|error| Error::io(path, "open", &error))?;
    // SAFETY: the map is read-only. A file that another process truncates meanwhile would end this one with a signal;
    // no reader of mapped files can prevent that, and `Trajectory::open` documents it.
    let map = unsafe { Mmap::map(&file) }.map_err(|error| Error::io(path, "map", &error))?;
    Ok(Arc::new(map))
}

/// Names a file of another kind by its first bytes.
fn foreign_kind(bytes: &[u8]) -> &'static str {
    let kinds: [(&[u8], &str); 6] = [
        (
            b"\x93NUMPY",
            "a single NumPy array (a trajectory has several: an npz file, or a folder with q.npy, ids.npy, …)",
        ),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x1f\x8b", "a gzip file"),
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow file"),
        (b"\x80", "a Python pickle (a saved dictionary or an old PyTorch checkpoint)"),
    ];
    match kinds.into_iter().find(|(magic, _)| bytes.starts_with(magic)) {
        Some((_, kind)) => kind,
        None if bytes.is_empty() => "an empty file",
        None if bytes.len() < 8 => "less than a header",
        None => "content of another kind",
    }
}

/// The beginning of a text, for messages.
fn beginning(text: &str) -> String {
    const SHOWN: usize = 120;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
