//! From one step at a time to arrays over all steps: what a folder of per-step files and JSON Lines have in common.
//!
//! The arrays of a step are named as in a trajectory and have no step axis. They are stacked, except that
//! - lists whose length may differ (`ids`, `users`, `positives`, `negatives`, `grad_out`) are filled up, with −1 or 0;
//! - records of the sparse form follow each other, and `row_step` is the index of their step;
//! - `step` is left out where it is 0, 1, 2, …
//!
//! The steps are visited twice, to learn the shapes and to write the data; memory holds one step at a time.

use std::collections::BTreeMap;
use std::io::Write;

use serde_json::value::RawValue;

use super::json::Filling;
use super::spool::{self, Spool};
use super::{Contents, Found, json};
use crate::error::{Error, Result};
use crate::trajectory::Side;
use crate::trajectory::array::{Array, Element};

/// Lists whose length differs from step to step, and what fills them up to the longest.
const PADDED: [(&str, f64); 5] =
    [("ids", -1.0), ("users", -1.0), ("positives", -1.0), ("negatives", -1.0), ("grad_out", 0.0)];

/// Records of the sparse form: as many in a step as rows moved or were looked up.
const RECORDS: [&str; 4] = ["row_id", "row_q", "row_q_next", "row_grad"];

/// How much larger filling up may make an array: a few steps with long lists among many with short ones would otherwise
/// make a large array of little data.
const LARGEST_FILLING: u64 = 64;
/// So much is always allowed.
const SMALL: u64 = 1 << 20;

/// What stands before the steps: `{"perpend": "1", "metadata": {…}, "row_ids": {…}, "dtypes": {…}}`, all but the first optional.
#[derive(Default)]
pub(super) struct Head {
    pub metadata: BTreeMap<String, String>,
    /// `item/row_ids` and `user/row_ids`.
    pub row_ids: Vec<(String, Found)>,
    /// The element types of arrays that are written as text, by name.
    pub elements: BTreeMap<String, Element>,
}

impl Head {
    pub fn read(place: &str, text: &str) -> Result<Head> {
        let json::Entries(entries) = json::parse(place, "a header {\"perpend\": \"1\", \"metadata\": {…}}", text)?;
        let mut head = Head::default();
        let mut version = None;
        for (key, value) in entries {
            let at = format!("{place}: {key}");
            let value = value.get();
            match key.as_str() {
                "perpend" => version = Some(super::beginning(value.trim_matches('"'))),
                "metadata" => head.metadata = json::metadata(&at, value, false)?,
                "row_ids" => {
                    let json::Entries(towers) = json::parse(&at, "an object of lists", value)?;
                    for (tower, list) in towers {
                        let name = if tower.is_empty() {
                            "row_ids".to_owned()
                        } else {
                            format!("{tower}/row_ids")
                        };
                        head.row_ids.push((name, json::array(&at, Element::I64, list)?));
                    }
                }
                "dtypes" => {
                    for (name, element) in json::metadata(&at, value, false)? {
                        let found = Element::parse(&element);
                        let expected = "F64, F32, F16, BF16, I64 or I32";
                        let found = found.ok_or_else(|| Error::input(format!("{at}: {name}"), expected, &element))?;
                        head.elements.insert(name, found);
                    }
                }
                _ => return Err(Error::input(at, "perpend, metadata, row_ids or dtypes", "another key")),
            }
        }
        match version {
            Some(version) => drop(head.metadata.entry("perpend".to_owned()).or_insert(version)),
            None => return Err(Error::input(place, "a header {\"perpend\": \"1\", …}", super::beginning(text))),
        }
        Ok(head)
    }
}

/// One step: where it stands, and its arrays.
#[derive(Default)]
pub(super) struct Step<'a> {
    pub place: String,
    pub arrays: BTreeMap<String, Source<'a>>,
    pub foreign: BTreeMap<String, String>,
}

/// The array of one step.
pub(super) enum Source<'a> {
    Array(Array),
    /// A number or nested lists of numbers, to be read as the element type.
    Text(Element, &'a RawValue),
}

impl Source<'_> {
    fn element(&self) -> Element {
        match self {
            Source::Array(array) => array.element(),
            Source::Text(element, _) => *element,
        }
    }

    /// Writes the bytes, with every axis filled up to that of `filling`, and returns the shape without what was filled up.
    fn write(&self, place: &str, filling: Option<Filling<'_>>, out: &mut dyn Write) -> Result<Vec<usize>> {
        let array = match self {
            Source::Array(array) => array,
            Source::Text(element, text) => return json::numbers(place, *element, text, filling, out),
        };
        let (bytes, shape) = (array.as_bytes(), array.shape());
        let written = match filling {
            Some(Filling { widest, value }) => filled(bytes, shape, widest, value, out),
            None => out.write_all(bytes),
        };
        written.map_err(|error| spool::failed(place, &error))?;
        Ok(shape.to_vec())
    }

    /// The shape; for a single number also that number, as an integer.
    fn examine(&self, place: &str) -> Result<(Vec<usize>, Option<i64>)> {
        let mut first = First(Vec::new());
        let shape = match self {
            Source::Array(array) => array.shape().to_vec(),
            Source::Text(element, text) => json::numbers(place, *element, text, None, &mut first)?,
        };
        let number = shape.is_empty().then(|| match self {
            Source::Array(array) => array.integer(0),
            Source::Text(element, _) => Array::owned(*element, &[], first.0).integer(0),
        });
        Ok((shape, number))
    }
}

/// Keeps the first number that is written, forgets the rest.
struct First(Vec<u8>);

impl Write for First {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.is_empty() {
            self.0.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// What is done with each step.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Step<'_>) -> Result<()>;

/// An array over all steps, as far as it is known.
struct Column {
    element: Element,
    /// Without the step axis; the longest, where lengths differ.
    shape: Vec<usize>,
    steps: usize,
    /// Elements in all steps.
    elements: u64,
    /// Whether the array is one number in each step, the index of the step.
    counts: bool,
}

impl Column {
    fn new(element: Element, shape: &[usize]) -> Column {
        Column { element, shape: shape.to_vec(), steps: 0, elements: 0, counts: true }
    }

    /// Adds the array of one more step. `false` where it does not fit the others.
    fn add(&mut self, base: &str, element: Element, found: &[usize], number: Option<i64>) -> bool {
        let records = RECORDS.contains(&base);
        let varies = records || fill(base).is_some();
        // Written as text, an empty list does not tell its further axes.
        let empty = varies && found == [0];
        if varies && self.elements == 0 && found.len() > self.shape.len() {
            self.shape = found.to_vec();
        }
        let same_rank = found.len() == self.shape.len();
        let fits = match varies {
            _ if empty => true,
            true => same_rank && (!records || found.get(1..) == self.shape.get(1..)),
            false => found == self.shape,
        };
        if !fits || element != self.element {
            return false;
        }
        if !empty {
            self.shape.iter_mut().zip(found).for_each(|(widest, length)| *widest = (*widest).max(*length));
        }
        self.counts &= number == Some(self.steps as i64);
        self.elements += found.iter().product::<usize>() as u64;
        self.steps += 1;
        true
    }

    /// The shape over all steps.
    fn whole(&self, base: &str) -> Vec<u64> {
        let axes = self.shape.iter().map(|axis| *axis as u64);
        if RECORDS.contains(&base) {
            let width: u64 = axes.clone().skip(1).product();
            std::iter::once(self.elements / width.max(1)).chain(axes.skip(1)).collect()
        } else {
            std::iter::once(self.steps as u64).chain(axes).collect()
        }
    }
}

fn base(name: &str) -> &str {
    Side::split(name).1
}

fn fill(base: &str) -> Option<f64> {
    PADDED.into_iter().find(|(name, _)| *name == base).map(|(_, value)| value)
}

/// Joins the steps that `each` visits in order, twice.
pub(super) fn join(place: &str, head: Head, each: &dyn Fn(Visit<'_>) -> Result<()>) -> Result<Contents> {
    let mut contents = Contents { metadata: head.metadata, ..Contents::default() };
    let columns = columns(place, &mut contents, each)?;
    let mut spools: BTreeMap<&str, Spool> = BTreeMap::new();
    let mut row_steps: BTreeMap<String, (u64, Spool)> = BTreeMap::new();
    for (name, column) in &columns {
        if name == "step" && column.counts {
            continue;
        }
        let at = format!("{place}: {name}");
        let size = column.element.bytes_of(&column.whole(base(name)));
        let recorded = column.elements * column.element.size() as u64;
        if size.is_none_or(|size| size > recorded.saturating_mul(LARGEST_FILLING).max(SMALL)) {
            let expected = format!("lists that are not filled up to more than {LARGEST_FILLING} times their data");
            return Err(Error::input(
                at,
                expected,
                format!("lists of up to {:?} in {} steps", column.shape, column.steps),
            ));
        }
        if let Some(prefix) = name.strip_suffix("row_id").filter(|_| base(name) == "row_id") {
            row_steps.insert(format!("{prefix}row_step"), (0, Spool::new(&at)?));
        }
        spools.insert(name, Spool::new(&at)?);
    }
    let mut index = 0_u64;
    each(&mut |step| {
        for (name, spool) in &mut spools {
            let (column, found) = (&columns[*name], step.arrays.get(*name));
            let at = format!("{}: {name}", step.place);
            // Whatever was there in the first visit is gone only if somebody changes the files meanwhile.
            let changed = || Error::input(&at, "the array that was there before", "another one");
            let source = found.filter(|source| source.element() == column.element).ok_or_else(changed)?;
            let mut value = Vec::new();
            column.element.encode(fill(base(name)).as_slice(), &mut value);
            let filling = fill(base(name)).map(|_| Filling { widest: &column.shape, value: &value });
            let shape = source.write(&at, filling, spool)?;
            if let Some((count, spool)) =
                name.strip_suffix("id").and_then(|stem| row_steps.get_mut(&format!("{stem}step")))
            {
                let records: usize = shape.iter().product();
                *count += records as u64;
                let written = (0..records).try_for_each(|_| spool.write_all(&index.to_le_bytes()));
                written.map_err(|error| spool::failed(&at, &error))?;
            }
        }
        index += 1;
        Ok(())
    })?;
    for (name, spool) in spools {
        let column = &columns[name];
        contents.insert(
            place,
            name,
            spool.array(&format!("{place}: {name}"), column.element, &column.whole(base(name)))?,
        )?;
    }
    for (name, (count, spool)) in row_steps {
        contents.insert(place, &name, spool.array(&format!("{place}: {name}"), Element::I64, &[count])?)?;
    }
    for (name, rows) in head.row_ids {
        contents.insert(place, &name, rows)?;
    }
    Ok(contents)
}

/// The first visit: which arrays there are, of which shape, and that all steps have them.
fn columns(
    place: &str,
    contents: &mut Contents,
    each: &dyn Fn(Visit<'_>) -> Result<()>,
) -> Result<BTreeMap<String, Column>> {
    let mut columns: BTreeMap<String, Column> = BTreeMap::new();
    let mut index = 0;
    each(&mut |step| {
        for (name, source) in &step.arrays {
            let at = format!("{}: {name}", step.place);
            if index > 0 && !columns.contains_key(name) {
                return Err(Error::input(at, "no such array, as in the first step", "one"));
            }
            let (shape, number) = source.examine(&at)?;
            let column = columns.entry(name.clone()).or_insert_with(|| Column::new(source.element(), &shape));
            if !column.add(base(name), source.element(), &shape, number) {
                let expected = format!("{} of shape {:?}, as in the steps before", column.element, column.shape);
                let found = format!("{} of shape {shape:?}", source.element());
                return Err(Error::input(at, expected, found));
            }
        }
        index += 1;
        if let Some((name, _)) = columns.iter().find(|(_, column)| column.steps != index) {
            let at = format!("{}: {name}", step.place);
            return Err(Error::input(at, "an array, as in the first step", "none"));
        }
        for (name, element) in step.foreign {
            if !contents.foreign.contains_key(&name) {
                contents.insert(place, &name, Found::Foreign(element))?;
            }
        }
        Ok(())
    })?;
    match index {
        0 => Err(Error::input(place, "at least one step", "none")),
        _ => Ok(columns),
    }
}

/// Writes `bytes`, an array of the given shape, with every axis filled up to that of `widest`.
fn filled(bytes: &[u8], shape: &[usize], widest: &[usize], filling: &[u8], out: &mut dyn Write) -> std::io::Result<()> {
    if shape == widest {
        return out.write_all(bytes);
    }
    let (Some((length, inner)), Some((wide, inner_wide))) = (shape.split_first(), widest.split_first()) else {
        return Ok(());
    };
    let stride = inner.iter().product::<usize>() * filling.len();
    for entry in 0..*length {
        filled(&bytes[entry * stride..(entry + 1) * stride], inner, inner_wide, filling, out)?;
    }
    let missing = wide.saturating_sub(*length) * inner_wide.iter().product::<usize>();
    (0..missing).try_for_each(|_| out.write_all(filling))
}
