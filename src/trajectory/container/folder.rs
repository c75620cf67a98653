//! Folders: one safetensors file for each step, as the Python recorder leaves them, or one `.npy` file for each array.
//!
//! A folder of steps, version 1: `header.json` is `{"perpend": "1", "metadata": {…}, "row_ids": {"item": […]}}`;
//! `step-000000.safetensors`, `step-000001.safetensors`, … hold the arrays of one step each, without the step axis. A
//! recording that is still going on, or that ended with a crash, is such a folder, and is read as far as it goes.
//!
//! A folder of arrays: `q.npy`, `ids.npy`, … or `item/q.npy`, `user/q.npy`, … with their step axis, and `metadata.json`, an
//! object of header metadata, if there are any. These are mapped as they are.

use std::path::Path;

use super::npy::Header;
use super::steps::{self, Head, Source, Step};
use super::{Contents, json, map, safetensors};
use crate::error::{Error, Result};
use crate::trajectory::Side;

const HEADER: &str = "header.json";
const METADATA: &str = "metadata.json";

/// Half a million numbers of recorded rows.
const LONGEST_HEADER: usize = 1 << 22;

pub(super) fn read(folder: &Path) -> Result<Contents> {
    let place = folder.display().to_string();
    let steps = count(folder, |name| name.starts_with("step-") && name.ends_with(".safetensors"))?;
    if steps > 0 || folder.join(HEADER).exists() {
        return read_steps(folder, &place, steps);
    }
    let contents = read_arrays(folder, &place)?;
    if contents.arrays.is_empty() && contents.foreign.is_empty() {
        let expected =
            "a folder of steps (header.json, step-000000.safetensors, …) or of arrays (q.npy, item/q.npy, …)";
        return Err(Error::input(place, expected, "a directory without them"));
    }
    Ok(contents)
}

fn names(folder: &Path) -> Result<impl Iterator<Item = Result<String>>> {
    let failed = |error: std::io::Error| Error::io(folder, "read", &error);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    Ok(entries.filter_map(move |entry| match entry {
        // A name that is not Unicode is none of ours.
        Ok(entry) => entry.file_name().into_string().ok().map(Ok),
        Err(error) => Some(Err(failed(error))),
    }))
}

fn count(folder: &Path, wanted: impl Fn(&str) -> bool) -> Result<usize> {
    names(folder)?.try_fold(0, |count, name| Ok(count + usize::from(wanted(&name?))))
}

/// Reads a file of text, given where it stands.
fn text_of<T>(path: &Path, read: impl FnOnce(&str, &str) -> Result<T>) -> Result<T> {
    let map = map(path)?;
    if map.len() > LONGEST_HEADER {
        let found = format!("{} bytes", map.len());
        return Err(Error::input(path.display(), format!("at most {LONGEST_HEADER} bytes"), found));
    }
    let text = std::str::from_utf8(&map).map_err(|_| Error::input(path.display(), "text in UTF-8", "other bytes"))?;
    read(&path.display().to_string(), text)
}

fn read_steps(folder: &Path, place: &str, steps: usize) -> Result<Contents> {
    let head = text_of(&folder.join(HEADER), Head::read)?;
    steps::join(place, head, &|visit| {
        (0..steps).try_for_each(|index| {
            let path = folder.join(format!("step-{index:06}.safetensors"));
            let place = path.display().to_string();
            if !path.exists() {
                return Err(Error::input(place, format!("{steps} steps without gaps"), "no such file"));
            }
            let Contents { arrays, foreign, .. } = safetensors::read(&place, &map(&path)?)?;
            let arrays = arrays.into_iter().map(|(name, array)| (name, Source::Array(array))).collect();
            visit(Step { place, arrays, foreign })
        })
    })
}

fn read_arrays(folder: &Path, place: &str) -> Result<Contents> {
    let mut contents = Contents::default();
    let prefixes = [""].into_iter().chain(Side::ALL.map(Side::prefix));
    for prefix in prefixes {
        let inner = folder.join(prefix);
        if !inner.is_dir() {
            continue;
        }
        for name in names(&inner)? {
            let name = name?;
            let Some(stem) = name.strip_suffix(".npy") else {
                continue;
            };
            let path = inner.join(&name);
            let at = path.display().to_string();
            let map = map(&path)?;
            let header = Header::read(&at, &map)?;
            let data = header.data..map.len();
            contents.insert(place, &format!("{prefix}{stem}"), header.array(&at, &map, data)?)?;
        }
    }
    let metadata = folder.join(METADATA);
    if metadata.exists() {
        contents.metadata = text_of(&metadata, |at, text| json::metadata(at, text, false))?;
    }
    Ok(contents)
}
