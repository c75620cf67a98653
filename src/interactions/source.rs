//! From a path to text: which files a folder holds, unpacking, lines and places.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::read::MultiGzDecoder;

use super::Format;
use crate::error::{Error, Result};

/// How much of a file is looked at to detect its format.
const HEAD: u64 = 64 * 1024;

/// The files that a path stands for.
#[derive(Debug, PartialEq)]
pub(super) struct Source {
    pub(super) main: PathBuf,
    /// The test part that lies beside a train part.
    pub(super) test: Option<PathBuf>,
}

impl Source {
    /// A file stands for itself. A folder stands for its `train.*` and `test.*`, or else for its only file of
    /// interactions.
    pub(super) fn locate(path: &Path) -> Result<Source> {
        if !path.is_dir() {
            return Ok(Source { main: path.to_owned(), test: None });
        }
        let names = file_names(path)?;
        let part = |part: &str| {
            only(path, part, &names, |name| {
                name.split_once('.').is_some_and(|(stem, end)| stem == part && matches!(end, "txt" | "csv" | "tsv"))
            })
        };
        let whole = |name: &str| {
            name.ends_with(".inter")
                || matches!(name, "u.data" | "ratings.dat" | "ratings.csv" | "ratings.tsv" | "ratings.txt")
        };
        if let Some(main) = part("train")? {
            return Ok(Source { main, test: part("test")? });
        }
        let main = only(path, "interactions", &names, whole)?.ok_or_else(|| {
            Error::input(
                path.display(),
                "a folder with train and test (.txt, .csv or .tsv), *.inter, u.data or ratings (.dat, .csv, .tsv or \
                 .txt), each plain or .gz",
                "none of them",
            )
        })?;
        Ok(Source { main, test: None })
    }
}

/// The names of a folder's files, sorted, so that the choice does not depend on the file system.
fn file_names(folder: &Path) -> Result<Vec<String>> {
    let read = |error: io::Error| Error::io(folder, "list", &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.path().is_file() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort();
    Ok(names)
}

/// The only file whose name without `.gz` is wanted, if there is one; of a file and its packed copy, the plain one.
fn only(folder: &Path, what: &str, names: &[String], wanted: impl Fn(&str) -> bool) -> Result<Option<PathBuf>> {
    let mut found: Vec<&str> = names.iter().map(String::as_str).filter(|name| wanted(plain_name(name))).collect();
    // Sorted names put `x` right before `x.gz`, or apart by names that are then no duplicates of either.
    found.dedup_by(|next, previous| plain_name(next) == *previous);
    match found[..] {
        [] => Ok(None),
        [name] => Ok(Some(folder.join(name))),
        _ => Err(Error::input(folder.display(), format!("one file of {what}"), found.join(", "))),
    }
}

fn plain_name(name: &str) -> &str {
    name.strip_suffix(".gz").unwrap_or(name)
}

/// A line of a file, for messages.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) path: &'a Path,
    pub(super) line: u64,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.path.display(), self.line)
    }
}

impl Place<'_> {
    /// The bytes as text.
    pub(super) fn utf8(self, bytes: &[u8]) -> Result<&str> {
        std::str::from_utf8(bytes)
            .map_err(|error| Error::input(self, "UTF-8 text", format!("the byte 0x{:02x}", bytes[error.valid_up_to()])))
    }
}

/// An opened file, unpacked if its first two bytes are those of gzip.
pub(super) struct Text {
    pub(super) path: PathBuf,
    gzip: bool,
    head: Vec<u8>,
    rest: Box<dyn Read>,
}

impl Text {
    pub(super) fn open(path: &Path) -> Result<Text> {
        let file = File::open(path).map_err(|error| Error::io(path, "open", &error))?;
        Text::new(path, file)
    }

    pub(super) fn new(path: &Path, bytes: impl Read + 'static) -> Result<Text> {
        let mut bytes = BufReader::new(bytes);
        let mut magic = Vec::new();
        bytes.by_ref().take(2).read_to_end(&mut magic).map_err(|error| Error::io(path, "read", &error))?;
        let gzip = magic == [0x1f, 0x8b];
        let bytes = Cursor::new(magic).chain(bytes);
        let rest: Box<dyn Read> = if gzip {
            Box::new(MultiGzDecoder::new(bytes))
        } else {
            Box::new(bytes)
        };
        let mut text = Text { path: path.to_owned(), gzip, head: Vec::new(), rest };
        let head = text.rest.by_ref().take(HEAD).read_to_end(&mut text.head);
        head.map_err(|error| read_error(path, gzip, &error))?;
        if text.head.starts_with(b"\xef\xbb\xbf") {
            text.head.drain(..3);
        }
        Ok(text)
    }

    /// The format that the name or the first line shows.
    pub(super) fn detect(&self) -> Result<Format> {
        let mut lines = self.head.split(|&byte| byte == b'\n').zip(1..);
        let Some((line, number)) = lines.find(|(line, _)| !line.trim_ascii().is_empty()) else {
            let found = if self.head.is_empty() {
                "an empty file"
            } else {
                "only blank lines"
            };
            return Err(Error::input(self.path.display(), "interactions", found));
        };
        let name = self.path.file_name().and_then(|name| name.to_str()).map_or("", plain_name);
        // Lossy, because a head may end inside a character; reading the line reports bytes that are no text.
        let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line));
        Format::detect(name, &line).ok_or_else(|| {
            let names = Format::ALL.map(Format::name).join(", ");
            Error::input(
                Place { path: &self.path, line: number },
                format!("a line of one of the formats {names}"),
                quoted(&line),
            )
        })
    }

    /// Calls `each` with every line that is not blank, without its end.
    pub(super) fn lines(self, mut each: impl FnMut(Place<'_>, &str) -> Result<()>) -> Result<()> {
        let Text { path, gzip, head, rest } = self;
        let mut bytes = BufReader::new(Cursor::new(head).chain(rest));
        let mut buffer = Vec::new();
        for line in 1.. {
            buffer.clear();
            if bytes.read_until(b'\n', &mut buffer).map_err(|error| read_error(&path, gzip, &error))? == 0 {
                break;
            }
            let place = Place { path: &path, line };
            let text = place.utf8(&buffer)?;
            if !text.trim().is_empty() {
                each(place, text.trim_end_matches(['\n', '\r']))?;
            }
        }
        Ok(())
    }

    /// Calls `each` with the trimmed fields of every line that is not blank.
    ///
    /// Lines are cut here, since a csv reader counts lines wrongly after blank ones; the csv crate does the quoted
    /// ones.
    pub(super) fn records(
        self,
        separator: &str,
        quoting: bool,
        mut each: impl FnMut(Place<'_>, &[&str]) -> Result<()>,
    ) -> Result<()> {
        self.lines(|place, line| {
            if quoting && line.contains('"') {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line.as_bytes());
                let record = reader
                    .records()
                    .next()
                    .transpose()
                    .map_err(|error| Error::input(place, "quoted fields separated by commas", error))?;
                each(place, &record.unwrap_or_default().iter().map(str::trim).collect::<Vec<_>>())
            } else {
                each(place, &line.split(separator).map(str::trim).collect::<Vec<_>>())
            }
        })
    }
}

/// A failed read: a damaged or truncated gzip stream where the file is one, otherwise the system's word.
fn read_error(path: &Path, gzip: bool, error: &io::Error) -> Error {
    if gzip {
        Error::input(path.display(), "a complete gzip stream", error)
    } else {
        Error::io(path, "read", error)
    }
}

/// Text from a file as it goes into a message: quoted, and cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}
