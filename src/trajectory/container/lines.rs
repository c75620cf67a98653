//! JSON Lines, for cases small enough to be written by hand: a header, then one line for each step.
//!
//! ```text
//! {"perpend": "1", "metadata": {"similarity": "cosine", "temperature": 0.5}}
//! {"q": [[1, 0]], "q_next": [[1, 0.5]], "grad": [[0, -1]], "ids": [0], "lr": 0.5}
//! ```
//!
//! Header and steps are those of a folder of steps ([`folder`](super::folder)), the arrays as nested lists. Numbers are
//! read as f64 (ids as I64) and rounded once to the element type that `dtypes` of the header gives the array, if it does.

use std::sync::Arc;

use memmap2::Mmap;

use super::steps::{self, Head, Source, Step};
use super::{Contents, json};
use crate::error::{Error, Result};
use crate::trajectory::Side;
use crate::trajectory::array::Element;
use crate::trajectory::integrity::INTEGERS;

/// Two characters of text make an array element of eight bytes: what is longer belongs into a binary form.
pub(super) const LONGEST: usize = 1 << 20;

pub(super) fn read(place: &str, map: &Arc<Mmap>) -> Result<Contents> {
    if map.len() > LONGEST {
        let expected =
            format!("JSON Lines of at most {LONGEST} bytes (larger runs: safetensors, npz or a folder of steps)");
        return Err(Error::input(place, expected, format!("{} bytes", map.len())));
    }
    let text = std::str::from_utf8(map).map_err(|_| Error::input(place, "JSON Lines in UTF-8", "other bytes"))?;
    let numbered = || (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    let mut lines = numbered();
    let head = match lines.next() {
        Some((number, line)) => Head::read(&format!("{place}: line {number}"), line)?,
        None => return Err(Error::input(place, "a header line", "none")),
    };
    let elements = head.elements.clone();
    let element = |name: &str| {
        let usual = if INTEGERS.contains(&Side::split(name).1) {
            Element::I64
        } else {
            Element::F64
        };
        elements.get(name).copied().unwrap_or(usual)
    };
    steps::join(place, head, &|visit| {
        numbered().skip(1).try_for_each(|(number, line)| {
            let place = format!("{place}: line {number}");
            let json::Entries(entries) = json::parse(&place, "a step {\"q\": [[…]], …}", line)?;
            let mut step = Step { place, ..Step::default() };
            for (name, text) in entries {
                let source = Source::Text(element(&name), text);
                if step.arrays.insert(name.clone(), source).is_some() {
                    return Err(Error::input(format!("{}: {name}", step.place), "one array of this name", "two"));
                }
            }
            visit(step)
        })
    })
}
