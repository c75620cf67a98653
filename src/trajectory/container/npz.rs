//! npz: a zip archive of `.npy` files, as `numpy.savez` and `numpy.savez_compressed` write it.
//!
//! The names are those of the format (`numpy.savez(path, **{"item/q": q, …})`). The array `metadata`, if there is one, is a
//! string: a JSON object of the header metadata.
//!
//! A stored array stays in the archive and is mapped. A deflated one is unpacked to a temporary file, of exactly the size
//! that both the directory of the archive and the array's own header state. Deflate shrinks no data to less than 1/1032,
//! and entries may not share bytes, so no archive unpacks to more than about a thousand times its size.

use std::io::Read;
use std::sync::Arc;

use flate2::bufread::DeflateDecoder;
use memmap2::Mmap;
use rawzip::{CompressionMethod, ZipArchive, ZipFileHeaderRecord, ZipSliceEntry};

use super::npy::{self, Header};
use super::spool::{self, Spool};
use super::{Contents, Found, LONGEST_METADATA, MOST_ARRAYS, beginning, json};
use crate::error::{Error, Result};

/// The entry that holds the header metadata.
const METADATA: &str = "metadata";

pub(super) fn read(place: &str, map: &Arc<Mmap>) -> Result<Contents> {
    let broken = |error: rawzip::Error| Error::input(place, "an npz file", format!("a broken zip archive: {error}"));
    let archive = ZipArchive::from_slice(&map[..]).map_err(broken)?;
    // Before anything is unpacked: how many entries there are, and that none shares bytes with another.
    let mut taken: Vec<(u64, u64)> = Vec::new();
    let mut entries = archive.entries();
    while let Some(record) = entries.next_entry().map_err(broken)? {
        if taken.len() > MOST_ARRAYS {
            return Err(Error::input(place, format!("at most {MOST_ARRAYS} arrays"), "more"));
        }
        taken.push(archive.get_entry(record.wayfinder()).map_err(broken)?.compressed_data_range());
    }
    taken.sort_unstable();
    if taken.windows(2).any(|pair| pair[1].0 < pair[0].1) {
        return Err(Error::input(place, "entries beside each other", "entries that overlap"));
    }

    let mut contents = Contents::default();
    let mut metadata = None;
    let mut entries = archive.entries();
    while let Some(record) = entries.next_entry().map_err(broken)? {
        if record.is_dir() {
            continue;
        }
        let name = array_name(place, &record)?;
        let entry = archive.get_entry(record.wayfinder()).map_err(broken)?;
        let packed = Packed { place: &format!("{place}: {name}"), record: &record, entry: &entry };
        if name != METADATA {
            contents.insert(place, name, packed.array(map)?)?;
        } else if metadata.replace(packed.metadata()?).is_some() {
            return Err(Error::input(packed.place, "one array of this name", "two"));
        }
    }
    contents.metadata = metadata.unwrap_or_default();
    Ok(contents)
}

/// `item/q` of `item/q.npy`.
fn array_name<'a>(place: &str, record: &ZipFileHeaderRecord<'a>) -> Result<&'a str> {
    let path = record.file_path().as_bytes();
    let name = std::str::from_utf8(path).ok().and_then(|path| path.strip_suffix(".npy"));
    name.ok_or_else(|| {
        let kind = if path.ends_with(b"data.pkl") {
            ", as in a PyTorch checkpoint"
        } else {
            ""
        };
        let found = format!("{}{kind}", beginning(&path.escape_ascii().to_string()));
        Error::input(place, "an npz file: a zip archive of NAME.npy", found)
    })
}

/// One entry of the archive.
struct Packed<'a> {
    place: &'a str,
    record: &'a ZipFileHeaderRecord<'a>,
    entry: &'a ZipSliceEntry<'a>,
}

impl<'a> Packed<'a> {
    /// The unpacked bytes; at their end length and checksum are compared with the directory's.
    fn reader(&self) -> Result<impl Read + use<'a>> {
        let data = self.entry.data();
        let reader: Box<dyn Read> = match self.record.compression_method() {
            CompressionMethod::STORE => Box::new(data),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(data)),
            other => {
                let found = other.name().unwrap_or("another compression");
                return Err(Error::input(self.place, "an entry that is stored or deflated", found));
            }
        };
        Ok(self.entry.verifying_reader(reader))
    }

    fn broken(&self, error: &std::io::Error) -> Error {
        Error::input(self.place, "an entry of a zip archive", format!("broken data: {error}"))
    }

    fn array(&self, map: &Arc<Mmap>) -> Result<Found> {
        let mut reader = self.reader()?;
        if self.record.compression_method() == CompressionMethod::STORE {
            let header = Header::read(self.place, self.entry.data())?;
            std::io::copy(&mut reader, &mut std::io::sink()).map_err(|error| self.broken(&error))?;
            let (start, end) = self.entry.compressed_data_range();
            let data = start as usize + header.data..end as usize;
            return header.array(self.place, map, data);
        }
        let mut prefix = Vec::new();
        let longest = npy::LONGEST_PREFIX as u64;
        reader.by_ref().take(longest).read_to_end(&mut prefix).map_err(|error| self.broken(&error))?;
        let header = Header::read(self.place, &prefix)?;
        let Some(element) = header.element() else {
            return Ok(Found::Foreign(header.descr));
        };
        let size = self.record.uncompressed_size_hint();
        let stated = element.bytes_of(&header.shape);
        let Some(stated) = stated.filter(|stated| size.checked_sub(*stated) == Some(header.data as u64)) else {
            let expected = format!("as many bytes as {element} {:?} has", header.shape);
            let found = format!("{} bytes", size.saturating_sub(header.data as u64));
            return Err(Error::input(self.place, expected, found));
        };
        // One byte further on the end is seen, and with it the checksum.
        let data = &prefix[header.data..];
        let mut rest = reader.take(stated.saturating_sub(data.len() as u64) + 1);
        let mut spool = Spool::new(self.place)?;
        std::io::copy(&mut &*data, &mut spool).map_err(|error| spool::failed(self.place, &error))?;
        std::io::copy(&mut rest, &mut spool).map_err(|error| self.broken(&error))?;
        spool.array(self.place, element, &header.shape)
    }

    fn metadata(&self) -> Result<std::collections::BTreeMap<String, String>> {
        // NumPy's strings have four bytes for each character.
        let longest = npy::LONGEST_PREFIX + 4 * LONGEST_METADATA;
        let size = self.record.uncompressed_size_hint();
        if size > longest as u64 {
            let expected = format!("metadata of at most {LONGEST_METADATA} characters");
            return Err(Error::input(self.place, expected, format!("{size} bytes")));
        }
        let mut bytes = Vec::new();
        self.reader()?.take(size + 1).read_to_end(&mut bytes).map_err(|error| self.broken(&error))?;
        let header = Header::read(self.place, &bytes)?;
        json::metadata(self.place, &header.text(self.place, &bytes[header.data..])?, false)
    }
}
