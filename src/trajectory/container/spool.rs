//! Arrays that are made while reading: written to a nameless temporary file piece by piece, then mapped like any other.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::Arc;

use super::Found;
use crate::error::{Error, Result};
use crate::trajectory::array::{Array, Element};

/// Enough to gather the numbers of some fifty steps; whole arrays pass by it. There is one for each array.
const BUFFER: usize = 1 << 9;

/// A file in the folder for temporary files (`TMPDIR`). It has no name, so it vanishes with the process however that ends.
pub(super) struct Spool {
    file: BufWriter<File>,
}

impl Spool {
    pub fn new(place: &str) -> Result<Spool> {
        let file = tempfile::tempfile().map_err(|error| failed(place, &error))?;
        Ok(Spool { file: BufWriter::with_capacity(BUFFER, file) })
    }

    /// The array of everything that was written.
    pub fn array(self, place: &str, element: Element, shape: &[u64]) -> Result<Found> {
        let array = || -> std::io::Result<std::result::Result<Array, String>> {
            let file = self.file.into_inner().map_err(|error| error.into_error())?;
            // SAFETY: nobody else can reach a file without a name.
            let map = Arc::new(unsafe { memmap2::Mmap::map(&file) }?);
            let whole = 0..map.len();
            Ok(Array::mapped(element, shape, &map, whole))
        };
        let array = array().map_err(|error| failed(place, &error))?;
        array.map(Found::Array).map_err(|expected| Error::input(place, expected, "another number"))
    }
}

/// An error while a temporary file is made, named after what it is made for.
pub(super) fn failed(place: &str, error: &std::io::Error) -> Error {
    Error::io(place.as_ref(), "unpack to a temporary file", error)
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}
