//! JSON without a tree in memory: objects as pairs of a name and a text that is not parsed yet, nested lists of numbers written
//! out number by number.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::spool::{self, Spool};
use super::{Found, LONGEST_METADATA, LONGEST_NAME, MOST_ARRAYS, MOST_AXES, beginning};
use crate::error::{Error, Result};
use crate::trajectory::array::Element;

/// The pairs of an object in their order, at most one more than there may be arrays; a key may come twice.
#[derive(Debug, Default)]
pub(super) struct Entries<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Entries<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Entries<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Entries<'de>, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, value)) = map.next_entry::<&'de RawValue, _>()? {
                    // Metadata is not an array.
                    if entries.len() > MOST_ARRAYS {
                        return Err(A::Error::custom(format!("more than {MOST_ARRAYS} arrays")));
                    }
                    if name.get().len() > LONGEST_NAME {
                        return Err(A::Error::custom(format!("a name of more than {LONGEST_NAME} bytes")));
                    }
                    entries.push((serde_json::from_str(name.get()).map_err(A::Error::custom)?, value));
                }
                Ok(Entries(entries))
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}

/// Parses a JSON text of a given type; `expected` says what it should have been.
pub(super) fn parse<'a, T: Deserialize<'a>>(place: &str, expected: &str, text: &'a str) -> Result<T> {
    serde_json::from_str(text).map_err(|error| Error::input(place, expected, said(&error)))
}

/// An error, which may quote a whole file.
fn said(error: &serde_json::Error) -> String {
    beginning(&format!("a JSON error: {error}"))
}

/// Header metadata: an object of strings. Where people write it by hand (`strict` unset), another value stands for its JSON text.
pub(super) fn metadata(place: &str, text: &str, strict: bool) -> Result<BTreeMap<String, String>> {
    if text.len() > LONGEST_METADATA {
        let expected = format!("metadata of at most {LONGEST_METADATA} bytes");
        return Err(Error::input(place, expected, format!("{} bytes", text.len())));
    }
    let expected = if strict {
        "an object of strings"
    } else {
        "a JSON object"
    };
    let refused = || Error::input(place, expected, beginning(text));
    let Entries(pairs) = serde_json::from_str(text).map_err(|_| refused())?;
    let pair = |(key, value): (String, &RawValue)| match value.get() {
        quoted if quoted.starts_with('"') => Some((key, serde_json::from_str(quoted).ok()?)),
        other => (!strict).then(|| (key, other.to_owned())),
    };
    pairs.into_iter().map(pair).collect::<Option<_>>().ok_or_else(refused)
}

/// How long every list is made, and the bytes that make it so long.
pub(super) struct Filling<'a> {
    pub widest: &'a [usize],
    pub value: &'a [u8],
}

/// Reads a number or nested lists of numbers, and writes each of them to `out` as soon as it is read. Returns the shape, which is
/// that of the text, filled up or not.
///
/// # Errors
/// Where lists of one depth have different lengths, or an entry is not a number of the element type; where `out` cannot be written.
pub(super) fn numbers(
    place: &str,
    element: Element,
    text: &RawValue,
    filling: Option<Filling<'_>>,
    out: &mut dyn Write,
) -> Result<Vec<usize>> {
    let mut nested = Nested { element, rank: None, shape: Vec::new(), filling, out, encoded: Vec::new(), failed: None };
    let mut deserializer = serde_json::Deserializer::from_str(text.get());
    let read = At { nested: &mut nested, depth: 0 }.deserialize(&mut deserializer);
    if let Some(error) = nested.failed {
        return Err(spool::failed(place, &error));
    }
    let refused = |found: String| Error::input(place, "a number or nested lists of numbers", found);
    read.map_err(|error| refused(said(&error)))?;
    if nested.rank.is_some_and(|rank| rank != nested.shape.len()) {
        return Err(refused(UNEVEN.to_owned()));
    }
    Ok(nested.shape.into_iter().map(|length| length.unwrap_or(0)).collect())
}

/// The same as an array, in a temporary file.
///
/// # Errors
/// As [`numbers`].
pub(super) fn array(place: &str, element: Element, text: &RawValue) -> Result<Found> {
    let mut spool = Spool::new(place)?;
    let shape = numbers(place, element, text, None, &mut spool)?;
    let shape: Vec<u64> = shape.into_iter().map(|axis| axis as u64).collect();
    spool.array(place, element, &shape)
}

const UNEVEN: &str = "lists of one depth have different lengths";

/// What is known of an array while its text is read.
struct Nested<'a> {
    element: Element,
    rank: Option<usize>,
    /// The length of each axis, once a list of that depth has ended.
    shape: Vec<Option<usize>>,
    filling: Option<Filling<'a>>,
    out: &'a mut dyn Write,
    encoded: Vec<u8>,
    /// Why `out` could not be written.
    failed: Option<std::io::Error>,
}

impl Nested<'_> {
    fn write<E: serde::de::Error>(&mut self, count: usize, bytes: Option<&[u8]>) -> std::result::Result<(), E> {
        let bytes = bytes.unwrap_or(&self.encoded);
        (0..count).try_for_each(|_| self.out.write_all(bytes)).map_err(|error| {
            self.failed = Some(error);
            E::custom("cannot write")
        })
    }

    /// Fills a list of `count` entries up.
    fn fill<E: serde::de::Error>(&mut self, depth: usize, count: usize) -> std::result::Result<(), E> {
        let Some(Filling { widest, value }) = self.filling else {
            return Ok(());
        };
        let Some((length, inner)) = widest.get(depth..).and_then(|axes| axes.split_first()) else {
            return Ok(());
        };
        self.write(length.saturating_sub(count) * inner.iter().product::<usize>(), Some(value))
    }
}

struct At<'a, 'b> {
    nested: &'a mut Nested<'b>,
    depth: usize,
}

impl At<'_, '_> {
    fn number<E: serde::de::Error>(self, real: f64, whole: Option<i64>) -> std::result::Result<(), E> {
        let nested = self.nested;
        if *nested.rank.get_or_insert(self.depth) != self.depth {
            return Err(E::custom(UNEVEN));
        }
        nested.encoded.clear();
        match nested.element {
            Element::I64 => {
                let whole = whole.ok_or_else(|| E::custom(format!("expected a 64-bit integer, found {real}")))?;
                nested.encoded.extend_from_slice(&whole.to_le_bytes());
            }
            Element::I32 => {
                let whole = whole.and_then(|whole| i32::try_from(whole).ok());
                let whole = whole.ok_or_else(|| E::custom(format!("expected a 32-bit integer, found {real}")))?;
                nested.encoded.extend_from_slice(&whole.to_le_bytes());
            }
            float => float.encode(&[real], &mut nested.encoded),
        }
        nested.write(1, None)
    }
}

impl<'de> DeserializeSeed<'de> for At<'_, '_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> std::result::Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for At<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number or a list of numbers")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> std::result::Result<(), E> {
        self.number(value, None)
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> std::result::Result<(), E> {
        self.number(value as f64, Some(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> std::result::Result<(), E> {
        self.number(value as f64, i64::try_from(value).ok())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> std::result::Result<(), A::Error> {
        let At { nested, depth } = self;
        if depth >= MOST_AXES {
            return Err(A::Error::custom(format!("more than {MOST_AXES} nested lists")));
        }
        if nested.shape.len() == depth {
            nested.shape.push(None);
        }
        let mut count = 0;
        while list.next_element_seed(At { nested, depth: depth + 1 })?.is_some() {
            count += 1;
        }
        nested.fill(depth, count)?;
        match *nested.shape[depth].get_or_insert(count) == count {
            true => Ok(()),
            false => Err(A::Error::custom(UNEVEN)),
        }
    }
}
