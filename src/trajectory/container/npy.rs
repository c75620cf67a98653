//! The `.npy` format: magic bytes, a version, the length of a header, the header as a Python dictionary, the data.
//!
//! The header names the element type (`descr`), whether the first axis runs fastest (`fortran_order`) and the shape. NumPy
//! has no bfloat16: it saves arrays of `ml_dtypes.bfloat16` as untyped 16-bit elements (`V2`), and no other 16-bit type of
//! ml_dtypes exists, so these are read as bfloat16.

use std::sync::Arc;

use memmap2::Mmap;

use super::{Found, MOST_AXES, beginning};
use crate::error::{Error, Result};
use crate::trajectory::array::{Array, Element};

pub(super) const MAGIC: &[u8] = b"\x93NUMPY";

/// Beyond this NumPy itself refuses a header unless told otherwise.
const LONGEST_HEADER: usize = 10_000;

/// As many bytes as hold any header.
pub(super) const LONGEST_PREFIX: usize = LONGEST_HEADER + 12;

/// What a header says.
#[derive(Debug, PartialEq)]
pub(super) struct Header {
    /// The element type as NumPy writes it, such as `<f4`.
    pub descr: String,
    pub shape: Vec<u64>,
    /// Where the data begin.
    pub data: usize,
}

impl Header {
    /// Reads the header that `bytes` begin with.
    pub fn read(place: &str, bytes: &[u8]) -> Result<Header> {
        let truncated = || Error::input(place, "a NumPy array (.npy)", "less than a header");
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(Error::input(place, "a NumPy array (.npy)", "content of another kind"));
        };
        let (length, start) = match rest {
            [1, 0, a, b, ..] => (u64::from(u16::from_le_bytes([*a, *b])), 10),
            [2 | 3, 0, a, b, c, d, ..] => (u64::from(u32::from_le_bytes([*a, *b, *c, *d])), 12),
            [major, minor, ..] if !(1..=3).contains(major) || *minor != 0 => {
                return Err(Error::input(place, "a .npy file of version 1, 2 or 3", format!("{major}.{minor}")));
            }
            _ => return Err(truncated()),
        };
        if length > LONGEST_HEADER as u64 {
            let expected = format!("a header of at most {LONGEST_HEADER} bytes");
            return Err(Error::input(place, expected, format!("{length} bytes")));
        }
        let data = start + length as usize;
        let text = bytes.get(start..data).ok_or_else(truncated)?;
        let text = std::str::from_utf8(text).map_err(|_| Error::input(place, "a header in UTF-8", "other bytes"))?;
        let expected = "a header {'descr': …, 'fortran_order': …, 'shape': …}";
        let found = || Error::input(place, expected, beginning(text.trim_end()));
        let mut literal = Literal(text);
        let (descr, fortran, shape) = literal.dictionary().ok_or_else(found)?;
        // With one axis (or none) both orders are the same.
        if fortran && shape.len() > 1 {
            let expected = "C order (numpy.ascontiguousarray)";
            return Err(Error::input(place, expected, "Fortran order, as NumPy saves a transposed array"));
        }
        Ok(Header { descr: descr.to_owned(), shape, data })
    }

    /// The element type, `None` where the format has no such.
    pub fn element(&self) -> Option<Element> {
        match self.descr.as_str() {
            "<f8" => Some(Element::F64),
            "<f4" => Some(Element::F32),
            "<f2" => Some(Element::F16),
            "|V2" | "<V2" => Some(Element::Bf16),
            "<i8" => Some(Element::I64),
            "<i4" => Some(Element::I32),
            _ => None,
        }
    }

    /// The array whose data are the range of the map from its header to `end`; of an unknown element type, its name.
    pub fn array(self, place: &str, map: &Arc<Mmap>, data: std::ops::Range<usize>) -> Result<Found> {
        let found = data.len();
        match self.element() {
            None => Ok(Found::Foreign(self.descr)),
            Some(element) => Array::mapped(element, &self.shape, map, data)
                .map(Found::Array)
                .map_err(|expected| Error::input(place, expected, format!("{found} bytes"))),
        }
    }

    /// The text of a string array of one element (`U` or `S`), as `numpy.savez(…, metadata="…")` writes it.
    pub fn text(&self, place: &str, data: &[u8]) -> Result<String> {
        let wrong = |found: String| Err(Error::input(place, "one string", found));
        if self.shape.iter().any(|axis| *axis != 1) {
            return wrong(format!("an array of shape {:?}", self.shape));
        }
        let text = match self.descr.as_bytes() {
            [b'<', b'U', ..] => {
                let points = data.as_chunks::<4>().0.iter().map(|code| char::from_u32(u32::from_le_bytes(*code)));
                points.collect::<Option<String>>()
            }
            [_, b'S', ..] => std::str::from_utf8(data).ok().map(str::to_owned),
            _ => return wrong(format!("elements of type {}", self.descr)),
        };
        match text {
            // NumPy fills strings up with zeros.
            Some(text) => Ok(text.trim_end_matches('\0').to_owned()),
            None => wrong("text that is not Unicode".to_owned()),
        }
    }
}

/// The part of Python's literals that a header consists of.
struct Literal<'a>(&'a str);

impl<'a> Literal<'a> {
    /// Skips white space and the token; `None` where something else comes.
    fn token(&mut self, token: &str) -> Option<()> {
        self.0 = self.0.trim_start().strip_prefix(token)?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a str> {
        let quote = if self.token("'").is_some() {
            '\''
        } else {
            self.token("\"")?;
            '"'
        };
        let (text, rest) = self.0.split_once(quote)?;
        self.0 = rest;
        // Nothing in a header needs an escape.
        (!text.contains('\\')).then_some(text)
    }

    fn boolean(&mut self) -> Option<bool> {
        match self.token("True") {
            Some(()) => Some(true),
            None => self.token("False").map(|()| false),
        }
    }

    fn shape(&mut self) -> Option<Vec<u64>> {
        self.token("(")?;
        let mut shape = Vec::new();
        while self.token(")").is_none() {
            self.0 = self.0.trim_start();
            let digits = self.0.bytes().take_while(u8::is_ascii_digit).count();
            let axis = self.0[..digits].parse().ok().filter(|_| shape.len() < MOST_AXES)?;
            shape.push(axis);
            self.0 = &self.0[digits..];
            // Python 2 wrote long integers with a suffix.
            let _ = self.token("L");
            if self.token(",").is_none() {
                self.token(")")?;
                break;
            }
        }
        Some(shape)
    }

    /// All three entries, each once, and nothing else. A structured type is a list, which is none of the format's.
    fn dictionary(&mut self) -> Option<(&'a str, bool, Vec<u64>)> {
        let (mut descr, mut fortran, mut shape) = (None, None, None);
        self.token("{")?;
        while self.token("}").is_none() {
            let key = self.string()?;
            self.token(":")?;
            let first = match key {
                "descr" => descr.replace(self.string()?).is_none(),
                "fortran_order" => fortran.replace(self.boolean()?).is_none(),
                "shape" => shape.replace(self.shape()?).is_none(),
                _ => false,
            };
            if !first {
                return None;
            }
            if self.token(",").is_none() {
                self.token("}")?;
                break;
            }
        }
        Some((descr?, fortran?, shape?)).filter(|_| self.0.trim().is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Option<(&str, bool, Vec<u64>)> {
        Literal(text).dictionary()
    }

    #[test]
    fn headers_of_every_numpy_are_read() {
        let written = "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 50, 16), }    \n";
        assert_eq!(parse(written), Some(("<f8", false, vec![4, 50, 16])));
        assert_eq!(parse("{'shape':(3,),'descr':\"|V2\",'fortran_order':True}"), Some(("|V2", true, vec![3])));
        assert_eq!(parse("{'descr': '<i8', 'fortran_order': False, 'shape': (), }"), Some(("<i8", false, vec![])));
        assert_eq!(parse("{'descr': '<i8', 'fortran_order': False, 'shape': (2L, 3L), }").unwrap().2, [2, 3]);
    }

    #[test]
    fn anything_else_is_refused() {
        let whole = "{'descr': '<f8', 'fortran_order': False, 'shape': (4, 5), }";
        assert!(parse(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end]), None, "{}", &whole[..end]);
        }
        for (from, to) in [
            ("'<f8'", "[('a', '<f8')]"),
            ("'<f8'", r"'<f8\''"),
            ("False", "0"),
            ("(4, 5)", "(4 5)"),
            ("(4, 5)", "(-4, 5)"),
            ("(4, 5)", "(,)"),
            ("(4, 5)", "[4, 5]"),
            ("(4, 5)", "(99999999999999999999,)"),
            ("'shape'", "'order'"),
            ("'shape'", "'descr'"),
            ("}", "} + 1"),
        ] {
            assert_eq!(parse(&whole.replace(from, to)), None, "{to}");
        }
        let axes = format!("({})", "1,".repeat(MOST_AXES + 1));
        assert_eq!(parse(&whole.replace("(4, 5)", &axes)), None);
    }
}
