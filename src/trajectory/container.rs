//! The container: named arrays and string metadata in one safetensors file, read by memory map and written atomically.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::array::{Array, Element};
use crate::error::{Error, Result};

/// What a file holds. `foreign` names arrays whose element type is none of [`Element`], with that type.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub metadata: BTreeMap<String, String>,
    pub arrays: BTreeMap<String, Array>,
    pub foreign: BTreeMap<String, String>,
}

/// The safetensors format allows no longer header.
const LONGEST_HEADER: u64 = 100_000_000;

/// Reads metadata and arrays of any safetensors file, by memory map.
///
/// # Errors
/// Where the file cannot be read, is truncated or of another kind, or holds an element type other than [`Element`]'s.
pub fn read_arrays(path: &Path) -> Result<(BTreeMap<String, String>, BTreeMap<String, Array>)> {
    let contents = read(path)?;
    if let Some((name, found)) = contents.foreign.first_key_value() {
        return Err(Error::input(format!("{}: {name}", path.display()), "F64, F32, F16, BF16, I64 or I32", found));
    }
    Ok((contents.metadata, contents.arrays))
}

/// Reads a file of whatever kind its content says.
pub(crate) fn read(path: &Path) -> Result<Contents> {
    let file = File::open(path).map_err(|error| Error::io(path, "open", &error))?;
    let status = file.metadata().map_err(|error| Error::io(path, "read", &error))?;
    let expected = "a safetensors file";
    if status.is_dir() {
        return Err(Error::input(path.display(), expected, "a directory"));
    }
    if status.len() == 0 {
        return Err(Error::input(path.display(), expected, "an empty file"));
    }
    // SAFETY: the map is read-only. A file that another process truncates meanwhile would end this one with a signal;
    // no reader of mapped files can prevent that, and `Trajectory::open` documents it.
    let map = unsafe { memmap2::Mmap::map(&file) }.map_err(|error| Error::io(path, "map", &error))?;
    if looks_like_safetensors(&map) {
        safetensors(path, Arc::new(map))
    } else {
        Err(Error::input(path.display(), expected, foreign_kind(&map)))
    }
}

/// A plausible header length, and a header that starts like JSON as far as the file goes.
fn looks_like_safetensors(bytes: &[u8]) -> bool {
    match bytes.first_chunk::<8>() {
        Some(length) => u64::from_le_bytes(*length) <= LONGEST_HEADER && matches!(bytes.get(8), None | Some(b'{')),
        None => false,
    }
}

/// Names a file of another kind by its first bytes.
fn foreign_kind(bytes: &[u8]) -> &'static str {
    let kinds: [(&[u8], &str); 7] = [
        (b"PK\x03\x04", "a zip archive (npz or a PyTorch checkpoint)"),
        (b"\x93NUMPY", "a NumPy array"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x1f\x8b", "a gzip file"),
        (b"PAR1", "a Parquet file"),
        (b"ARROW1", "an Arrow file"),
        (b"{\"", "JSON text"),
    ];
    let kind = kinds.into_iter().find(|(magic, _)| bytes.starts_with(magic)).map(|(_, kind)| kind);
    kind.unwrap_or(if bytes.len() < 8 {
        "less than a header"
    } else {
        "content of another kind"
    })
}

/// Where a JSON object lists a key twice, which one counts would be a guess.
struct Entries(Vec<(String, Value)>);

impl<'de> serde::Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

fn safetensors(path: &Path, map: Arc<memmap2::Mmap>) -> Result<Contents> {
    let whole = map.len() as u64;
    let place = path.display();
    let expected = "a safetensors file";
    let length = map.first_chunk::<8>().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let data = 8 + length;
    let Some(header) = map.get(8..data as usize) else {
        let found = format!("a truncated file: a header of {length} bytes in a file of {whole} bytes");
        return Err(Error::input(place, expected, found));
    };
    let header = std::str::from_utf8(header).map_err(|_| Error::input(&place, "a header in UTF-8", "other bytes"))?;
    let Entries(entries) = serde_json::from_str(header)
        .map_err(|error| Error::input(&place, "a header that is a JSON object", format!("a JSON error: {error}")))?;

    let mut contents = Contents::default();
    let mut ranges = Vec::with_capacity(entries.len());
    for (name, value) in entries {
        if name == "__metadata__" {
            let strings = value.as_object().and_then(|object| {
                let pair = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
                object.iter().map(pair).collect::<Option<BTreeMap<_, _>>>()
            });
            contents.metadata = strings
                .ok_or_else(|| Error::input(format!("{place}: __metadata__"), "an object of strings", &value))?;
            continue;
        }
        let at = format!("{place}: {name}");
        let list = |key: &str| -> Option<Vec<u64>> { value.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
        let element = value.get("dtype").and_then(Value::as_str);
        let (Some(element), Some(shape), Some(offsets)) = (element, list("shape"), list("data_offsets")) else {
            return Err(Error::input(at, "an entry {dtype, shape, data_offsets}", &value));
        };
        let &[start, end] = offsets.as_slice() else {
            return Err(Error::input(at, "data_offsets [start, end]", &value));
        };
        if start > end {
            return Err(Error::input(at, "data_offsets [start, end]", format!("[{start}, {end}]")));
        }
        if end > whole - data {
            let found = format!("a truncated file: bytes {start} to {end} of {} bytes of data", whole - data);
            return Err(Error::input(at, expected, found));
        }
        ranges.push((start, end, name.clone()));
        let Some(element) = Element::parse(element) else {
            contents.foreign.insert(name, element.to_owned());
            continue;
        };
        let bytes = shape.iter().try_fold(element.size() as u64, |bytes, axis| bytes.checked_mul(*axis));
        if bytes != Some(end - start) {
            let expected = format!("as many bytes as {element} {shape:?} has");
            return Err(Error::input(at, expected, format!("{} bytes", end - start)));
        }
        let shape: Vec<usize> = shape.iter().map(|axis| *axis as usize).collect();
        let range = (data + start) as usize..(data + end) as usize;
        if contents.arrays.insert(name, Array::mapped(element, &shape, map.clone(), range)).is_some() {
            return Err(Error::input(at, "one array of this name", "two"));
        }
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

/// What the header says about one array.
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
