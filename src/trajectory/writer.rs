//! Streaming a trajectory to disk, step by step, with memory that does not grow with the run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{BufWriter, Seek, Write};
use std::path::{Path, PathBuf};

use super::array::Element;
use super::container::{self, Entry};
use super::{Settings, Trajectory};
use crate::error::{Error, Result};
use crate::files;

/// Encoded at a time.
const CHUNK: usize = 1 << 13;

/// Streams a trajectory of any length to a file.
///
/// Every array grows along its leading axis in a spool file of its own beside the target; the spools have no name, so
/// they vanish with the process however it ends. [`Writer::finish`] puts the file together (for a moment the data is
/// on disk twice), checks it as [`Trajectory::open`] would, and gives it its name. Dropped without `finish`, nothing is left behind.
///
/// ```
/// use perpend::trajectory::{Element, Settings, Trajectory, Writer};
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("run.safetensors");
/// let mut writer = Writer::create(&path, false, Settings::default())?;
/// for step in 0..3 {
///     writer.append_integers("ids", Element::I32, &[2], &[0, 1])?;
///     writer.append("q", Element::F32, &[2, 1], &[1.0, f64::from(step)])?;
///     writer.append("q_next", Element::F32, &[2, 1], &[1.0, f64::from(step + 1)])?;
/// }
/// writer.finish()?;
/// assert_eq!(Trajectory::open(&path)?.towers()[0].steps(), 3);
/// # Ok::<(), perpend::Error>(())
/// ```
pub struct Writer {
    path: PathBuf,
    force: bool,
    settings: Settings,
    spools: BTreeMap<String, Spool>,
    buffer: Vec<u8>,
}

struct Spool {
    element: Element,
    row_shape: Vec<usize>,
    entries: usize,
    file: BufWriter<File>,
}

impl Writer {
    /// Starts a file. Nothing appears under `path` before [`Writer::finish`].
    ///
    /// # Errors
    /// Where the file exists and `force` is not set, or its folder does not exist.
    pub fn create(path: &Path, force: bool, settings: Settings) -> Result<Writer> {
        files::refuse_existing(path, force)?;
        let folder = files::folder(path);
        if !folder.is_dir() {
            return Err(Error::input(path.display(), "an existing folder", folder.display()));
        }
        Ok(Writer { path: path.to_owned(), force, settings, spools: BTreeMap::new(), buffer: Vec::new() })
    }

    /// Appends `values.len() / product(row_shape)` entries along the leading axis of a floating-point array, each value
    /// rounded once to `element`.
    ///
    /// # Errors
    /// Where `element` or `row_shape` differ from those of the first call, the values are not whole entries, or the disk is full.
    pub fn append(&mut self, name: &str, element: Element, row_shape: &[usize], values: &[f64]) -> Result<()> {
        if element.is_integer() {
            return Err(Error::input(self.place(name), "F64, F32, F16 or BF16", element));
        }
        self.grow(name, element, row_shape, values.len(), |buffer, range| element.encode(&values[range], buffer))
    }

    /// Appends entries to an integer array.
    ///
    /// # Errors
    /// As [`Writer::append`], and where a value does not fit the element type.
    pub fn append_integers(&mut self, name: &str, element: Element, row_shape: &[usize], values: &[i64]) -> Result<()> {
        match element {
            Element::I64 => {}
            Element::I32 => {
                if let Some(value) = values.iter().find(|value| i32::try_from(**value).is_err()) {
                    return Err(Error::input(self.place(name), "integers that fit I32", value));
                }
            }
            _ => return Err(Error::input(self.place(name), "I64 or I32", element)),
        }
        self.grow(name, element, row_shape, values.len(), |buffer, range| {
            for value in &values[range] {
                match element {
                    Element::I32 => buffer.extend_from_slice(&(*value as i32).to_le_bytes()),
                    _ => buffer.extend_from_slice(&value.to_le_bytes()),
                }
            }
        })
    }

    fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.path.display())
    }

    fn grow(
        &mut self,
        name: &str,
        element: Element,
        row_shape: &[usize],
        count: usize,
        encode: impl Fn(&mut Vec<u8>, std::ops::Range<usize>),
    ) -> Result<()> {
        let place = self.place(name);
        let size: usize = row_shape.iter().product();
        if size == 0 || !count.is_multiple_of(size) {
            return Err(Error::input(
                place,
                format!("whole entries of shape {row_shape:?}"),
                format!("{count} values"),
            ));
        }
        let failed = |error: std::io::Error| Error::io(&self.path, "write", &error);
        if !self.spools.contains_key(name) {
            let file = tempfile::tempfile_in(files::folder(&self.path)).map_err(failed)?;
            let file = BufWriter::with_capacity(1 << 16, file);
            self.spools
                .insert(name.to_owned(), Spool { element, row_shape: row_shape.to_vec(), entries: 0, file });
        }
        let spool = self.spools.get_mut(name).ok_or_else(|| Error::internal("a spool file was lost"))?;
        if spool.element != element || spool.row_shape != row_shape {
            let expected = format!("entries of {} {:?}, as before", spool.element, spool.row_shape);
            return Err(Error::input(place, expected, format!("{element} {row_shape:?}")));
        }
        for start in (0..count).step_by(CHUNK) {
            self.buffer.clear();
            encode(&mut self.buffer, start..count.min(start + CHUNK));
            spool.file.write_all(&self.buffer).map_err(failed)?;
        }
        spool.entries += count / size;
        Ok(())
    }

    /// Puts the file together, checks it and gives it its name.
    ///
    /// # Errors
    /// Where what was appended is not a trajectory, the disk is full, or the file exists and `force` is not set.
    /// In all cases nothing is left behind, and a file that existed stays as it was.
    pub fn finish(self) -> Result<()> {
        let Writer { path, force, settings, mut spools, .. } = self;
        let mut files = BTreeMap::new();
        let mut entries = Vec::new();
        for (name, spool) in &mut spools {
            let failed = |error: std::io::Error| Error::io(&path, "write", &error);
            spool.file.flush().and_then(|()| spool.file.get_mut().rewind()).map_err(failed)?;
            files.insert(name.as_str(), spool.file.get_ref());
            let shape = std::iter::once(spool.entries).chain(spool.row_shape.iter().copied()).collect();
            entries.push(Entry { name, element: spool.element, shape });
        }
        container::sort_entries(&mut entries);
        let write = |out: &mut BufWriter<&File>| {
            out.write_all(&container::header(&settings.to_metadata(), &entries))?;
            // Copied from file to file, where the system can do that by itself.
            out.flush()?;
            for entry in &entries {
                std::io::copy(&mut &*files[entry.name], out.get_mut())?;
            }
            Ok(())
        };
        let origin = path.display().to_string();
        crate::files::write_atomically(&path, force, write, |temporary| {
            Trajectory::from_contents(origin, container::read(temporary)?).map(drop)
        })
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("path", &self.path)
            .field("arrays", &self.spools.keys())
            .finish_non_exhaustive()
    }
}
