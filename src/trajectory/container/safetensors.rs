//! safetensors: eight bytes with the length of a JSON header, the header, the arrays one after the other.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use memmap2::Mmap;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::json::{self, Entries};
use super::{Contents, Found, MOST_AXES, beginning, foreign_kind};
use crate::error::{Error, Result};
use crate::trajectory::array::{Array, Element};

/// The format allows no longer header.
const LONGEST_HEADER: u64 = 100_000_000;

/// Names, numbers and brackets of what a header says about one array: for an array of [`MOST_AXES`] axes some 800 bytes.
const LONGEST_ENTRY: usize = 1 << 12;

/// A plausible header length, and a header that starts like JSON as far as the file goes.
pub(super) fn is_likely(bytes: &[u8]) -> bool {
    match bytes.first_chunk::<8>() {
        Some(length) => u64::from_le_bytes(*length) <= LONGEST_HEADER && matches!(bytes.get(8), None | Some(b'{')),
        None => false,
    }
}

/// What the header says about one array.
#[derive(Deserialize)]
struct Stated<'a> {
    #[serde(borrow)]
    dtype: std::borrow::Cow<'a, str>,
    shape: Vec<u64>,
    data_offsets: Vec<u64>,
}

/// Arrays as ranges of the map.
pub(super) fn read(place: &str, map: &Arc<Mmap>) -> Result<Contents> {
    let whole = map.len() as u64;
    let expected = "a safetensors file";
    if !is_likely(map) {
        return Err(Error::input(place, expected, foreign_kind(map)));
    }
    let length = map.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let data = 8 + length;
    let Some(header) = map.get(8..data as usize) else {
        let found = format!("a truncated file: a header of {length} bytes in a file of {whole} bytes");
        return Err(Error::input(place, expected, found));
    };
    let header = std::str::from_utf8(header).map_err(|_| Error::input(place, "a header in UTF-8", "other bytes"))?;
    let Entries(entries) = json::parse(place, "a header that is a JSON object", header)?;

    let mut contents = Contents::default();
    let mut ranges = Vec::with_capacity(entries.len());
    for (name, text) in &entries {
        let at = format!("{place}: {name}");
        let text = text.get();
        if name == "__metadata__" {
            contents.metadata = json::metadata(&at, text, true)?;
            continue;
        }
        let stated = Some(text).filter(|text| text.len() <= LONGEST_ENTRY).and_then(|text| {
            let stated: Stated<'_> = serde_json::from_str(text).ok()?;
            (stated.shape.len() <= MOST_AXES).then_some(stated)
        });
        let Some(Stated { dtype, shape, data_offsets }) = stated else {
            return Err(Error::input(at, "an entry {dtype, shape, data_offsets}", beginning(text)));
        };
        let &[start, end] = data_offsets.as_slice() else {
            return Err(Error::input(at, "data_offsets [start, end]", beginning(text)));
        };
        if start > end {
            return Err(Error::input(at, "data_offsets [start, end]", format!("[{start}, {end}]")));
        }
        if end > whole - data {
            let found = format!("a truncated file: bytes {start} to {end} of {} bytes of data", whole - data);
            return Err(Error::input(at, expected, found));
        }
        ranges.push((start, end, name));
        let Some(element) = Element::parse(&dtype) else {
            contents.insert(place, name, Found::Foreign(dtype.into_owned()))?;
            continue;
        };
        let range = (data + start) as usize..(data + end) as usize;
        let array = Array::mapped(element, &shape, map, range)
            .map_err(|expected| Error::input(at, expected, format!("{} bytes", end - start)))?;
        contents.insert(place, name, Found::Array(array))?;
    }
    // Arrays fill the file without holes and overlaps, else the offsets are not what they seem.
    ranges.sort();
    let mut filled = 0;
    for (start, end, name) in ranges {
        if start != filled {
            let expected = format!("data from byte {filled} on, where the array before it ends");
            return Err(Error::input(format!("{place}: {name}"), expected, format!("data from byte {start} on")));
        }
        filled = end;
    }
    if filled != whole - data {
        let expected = format!("{filled} bytes of data, as the header lists");
        return Err(Error::input(place, expected, format!("{} bytes", whole - data)));
    }
    Ok(contents)
}

pub(crate) struct Entry<'a> {
    pub name: &'a str,
    pub element: Element,
    pub shape: Vec<usize>,
}

/// The order of the data: wide elements first, so that every array is aligned to its element.
pub(crate) fn sort_entries(entries: &mut [Entry<'_>]) {
    entries.sort_by(|a, b| b.element.size().cmp(&a.element.size()).then_with(|| a.name.cmp(b.name)));
}

/// Length and header, padded to 8 bytes, of data that follows in the given order.
pub(crate) fn header(metadata: &BTreeMap<String, String>, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut object = Map::new();
    let strings = metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect();
    object.insert("__metadata__".to_owned(), Value::Object(strings));
    let mut offset = 0;
    for entry in entries {
        let end = offset + entry.shape.iter().product::<usize>() * entry.element.size();
        let mut fields = Map::new();
        fields.insert("dtype".to_owned(), Value::from(entry.element.name()));
        fields.insert("shape".to_owned(), Value::from(entry.shape.clone()));
        fields.insert("data_offsets".to_owned(), Value::from(vec![offset, end]));
        object.insert(entry.name.to_owned(), Value::Object(fields));
        offset = end;
    }
    let mut text = Value::Object(object).to_string().into_bytes();
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut text);
    bytes
}

/// Writes metadata and arrays as a safetensors file, which appears completely or not at all.
///
/// # Errors
/// Where the file cannot be written, or exists and `force` is not set.
pub fn write_arrays(
    path: &Path,
    force: bool,
    metadata: &BTreeMap<String, String>,
    arrays: &BTreeMap<String, Array>,
) -> Result<()> {
    let write = |out: &mut BufWriter<&File>| write_to(out, metadata, arrays);
    crate::files::write_atomically(path, force, write, |_| Ok(()))
}

/// Writes metadata and arrays in the form of a safetensors file.
pub(crate) fn write_to(
    out: &mut impl Write,
    metadata: &BTreeMap<String, String>,
    arrays: &BTreeMap<String, Array>,
) -> std::io::Result<()> {
    let mut entries: Vec<Entry<'_>> = arrays
        .iter()
        .map(|(name, array)| Entry { name, element: array.element(), shape: array.shape().to_vec() })
        .collect();
    sort_entries(&mut entries);
    out.write_all(&header(metadata, &entries))?;
    entries.iter().try_for_each(|entry| out.write_all(arrays[entry.name].as_bytes()))
}
