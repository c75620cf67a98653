//! What cannot be read as stated (an error, with place, expectation and finding), and what is readable but strange (an
//! observation with evidence).
//!
//! The first kind is found when a trajectory is made or opened. The second is for the reader to weigh: [`survey`] only says
//! what it sees.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::array::Array;
use super::sparse::{Ids, MOST_ROWS, Records, RowNumbers, distinct};
use super::tower::{Form, Named, Record, Tower, TowerData};
use super::{Settings, Side};
use crate::error::{Error, Result};
use crate::rounding::Precision;

/// Arrays that belong to one tower.
const OWN: [&str; 14] = [
    "ids",
    "q",
    "q_next",
    "grad",
    "grad_out",
    "table",
    "table_next",
    "table_grad",
    "row_ids",
    "row_step",
    "row_id",
    "row_q",
    "row_q_next",
    "row_grad",
];
/// Arrays that both towers may share, without prefix.
const SHARED: [&str; 6] = ["users", "positives", "negatives", "loss", "lr", "step"];
const SPARSE: [&str; 5] = ["row_step", "row_id", "row_q", "row_q_next", "row_grad"];
pub(super) const INTEGERS: [&str; 8] =
    ["ids", "users", "positives", "negatives", "step", "row_ids", "row_step", "row_id"];

/// More columns than any embedding has. Wider rows, such as all parameters of a network in a line, have to be recorded at a length
/// that pays for what walking them takes.
const WIDEST: usize = 1 << 16;

/// Whoever walks a tower holds a row of q, of q' and of the gradient, and what the row was after its last record, as f64.
const BYTES_A_COLUMN: usize = 4 * size_of::<f64>();

/// So many steps in which no record was made are believed without an array that has an entry for each step.
const STEPS_BEYOND_RECORDS: usize = 1 << 16;

fn is_known(base: &str) -> bool {
    OWN.contains(&base) || SHARED.contains(&base)
}

/// The version of the format, where it is stated.
pub(crate) fn check_version(origin: &str, metadata: &BTreeMap<String, String>) -> Result<()> {
    match metadata.get("perpend").map(|version| version.trim()) {
        None | Some("1" | "" | "None" | "null") => Ok(()),
        Some(other) => Err(Error::input(format!("{origin}: perpend"), "format version \"1\"", format!("{other:?}"))),
    }
}

/// Checks all arrays against each other and sorts them into towers. Also returns notes on arrays that are not interpreted.
pub(crate) fn resolve(
    origin: &str,
    settings: &Settings,
    arrays: &BTreeMap<String, Array>,
    foreign: &BTreeMap<String, String>,
) -> Result<(Vec<TowerData>, Vec<String>)> {
    for (name, element) in foreign {
        let base = Side::split(name).1;
        if is_known(base) {
            return Err(Error::input(format!("{origin}: {name}"), elements(base), element));
        }
    }
    for (name, array) in arrays {
        let base = Side::split(name).1;
        if is_known(base) && array.element().is_integer() != INTEGERS.contains(&base) {
            return Err(Error::input(format!("{origin}: {name}"), elements(base), array.element()));
        }
    }
    let known: Vec<(Option<Side>, &str)> =
        arrays.keys().map(|name| Side::split(name)).filter(|(_, base)| is_known(base)).collect();
    let sides: Vec<Side> =
        Side::ALL.into_iter().filter(|side| known.iter().any(|(owner, _)| *owner == Some(*side))).collect();
    let mixed = known.iter().find(|(owner, base)| !sides.is_empty() && owner.is_none() && OWN.contains(base));
    if let Some((_, base)) = mixed {
        let expected = format!("item/{base} or user/{base}, as other arrays have a prefix");
        return Err(Error::input(format!("{origin}: {base}"), expected, "no prefix"));
    }
    let owners = if sides.is_empty() {
        vec![None]
    } else {
        sides.into_iter().map(Some).collect()
    };

    let pair_padding = Side::ALL.map(|side| settings.for_tower(Some(side)).padding_id);
    let builder = |side: &Option<Side>| Builder {
        origin,
        arrays,
        side: *side,
        settings: settings.for_tower(*side),
        pair_padding,
    };
    let builders: Vec<Builder<'_>> = owners.iter().map(builder).collect();
    // Both towers have the same steps. A sparse tower without any array over steps cannot say how many.
    let mut steps: Option<(String, usize)> = None;
    for builder in &builders {
        if let Some((name, found)) = builder.stated_steps()? {
            match &steps {
                Some((first, expected)) if *expected != found => {
                    let expected = format!("{expected} steps, as {first} has");
                    return Err(Error::input(builder.place(&name), expected, format!("{found} steps")));
                }
                Some(_) => {}
                None => steps = Some((name, found)),
            }
        }
    }
    let steps = match steps {
        Some((_, steps)) => steps,
        None => {
            let mut last = None;
            for builder in &builders {
                last = last.max(builder.last_step()?);
            }
            last.map_or(0, |last| last + 1)
        }
    };
    if steps == 0 {
        return Err(Error::input(origin, "at least one step", "none"));
    }
    let towers = builders.iter().map(|builder| builder.build(steps)).collect::<Result<Vec<_>>>()?;

    let other: Vec<&str> = arrays
        .keys()
        .chain(foreign.keys())
        .map(String::as_str)
        .filter(|name| !is_known(Side::split(name).1))
        .collect();
    let notes = match other.is_empty() {
        true => Vec::new(),
        false => vec![format!("arrays that are not interpreted: {}", other.join(", "))],
    };
    Ok((towers, notes))
}

fn elements(base: &str) -> &'static str {
    if INTEGERS.contains(&base) {
        "I64 or I32"
    } else {
        "F64, F32, F16 or BF16"
    }
}

fn shape_text(shape: &[usize]) -> String {
    format!("shape {shape:?}")
}

/// Collects and checks the arrays of one tower.
struct Builder<'a> {
    origin: &'a str,
    arrays: &'a BTreeMap<String, Array>,
    side: Option<Side>,
    settings: Settings,
    /// What the two towers declare as padding.
    pair_padding: [Option<i64>; 2],
}

impl Builder<'_> {
    fn full(&self, base: &str) -> String {
        format!("{}{base}", self.side.map(Side::prefix).unwrap_or_default())
    }

    fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.origin)
    }

    /// The tower's own array, or the one that both towers share.
    fn get(&self, base: &str) -> Option<Named> {
        let own = self.full(base);
        let name = match self.arrays.contains_key(&own) {
            false if SHARED.contains(&base) => base.to_owned(),
            _ => own,
        };
        self.arrays.get(&name).map(|array| Named { name, array: array.clone() })
    }

    fn require(&self, base: &str, expected: &str) -> Result<Named> {
        self.get(base).ok_or_else(|| Error::input(self.place(&self.full(base)), expected, "no such array"))
    }

    fn wrong(&self, named: &Named, expected: impl fmt::Display) -> Error {
        Error::input(self.place(&named.name), expected, shape_text(named.array.shape()))
    }

    fn is_sparse(&self) -> bool {
        SPARSE.iter().any(|base| self.arrays.contains_key(&self.full(base)))
    }

    /// The pair form has as many entries as steps, the other one entry more.
    fn state_steps(&self, base: &str, next: &str) -> Option<(Named, usize)> {
        let state = self.get(base)?;
        let entries = state.array.shape().first().copied().unwrap_or(0);
        let steps = if self.get(next).is_some() {
            entries
        } else {
            entries.saturating_sub(1)
        };
        Some((state, steps))
    }

    /// The number of steps, where an array states it, with the name of that array.
    fn stated_steps(&self) -> Result<Option<(String, usize)>> {
        if self.is_sparse() {
            if let Some(q) = self.get("q") {
                return Err(Error::input(self.place(&q.name), "either q or the sparse form row_q", "both"));
            }
            let over_steps = ["ids", "step", "loss", "lr", "users", "positives", "negatives", "grad_out"];
            // An array without elements takes no space, so its shape could claim any number of steps.
            let found = over_steps.iter().find_map(|base| self.get(base).filter(|named| !named.array.is_empty()));
            let first_axis = |named: Named| {
                let steps = named.array.shape().first().copied().unwrap_or(0);
                (named, steps)
            };
            let found = found.map(first_axis).or_else(|| self.state_steps("table", "table_next"));
            return Ok(found.map(|(named, steps)| (named.name, steps)));
        }
        let expected = "shape [T+1, N, d], or [T, N, d] beside q_next";
        self.require("q", expected)?;
        let Some((q, steps)) = self.state_steps("q", "q_next") else {
            return Ok(None);
        };
        let &[entries, rows, dim] = q.array.shape() else {
            return Err(self.wrong(&q, expected));
        };
        if rows == 0 || dim == 0 {
            return Err(self.wrong(&q, "at least one row and one column"));
        }
        if steps == 0 {
            let found = if self.get("q_next").is_some() {
                "no step"
            } else {
                "no pair of states, and no q_next"
            };
            let found = format!("{} with {found}", shape_text(q.array.shape()));
            return Err(Error::input(self.place(&q.name), "at least one step", found));
        }
        // The usual mistake, said as such: [T, N, d] without its other half.
        if self.get("q_next").is_none() {
            let same = ["grad", "ids", "loss"]
                .iter()
                .find_map(|base| self.get(base).filter(|named| named.array.shape().first() == Some(&entries)));
            if let Some(same) = same {
                let expected = format!("shape [{}, {rows}, {dim}], or {} beside it", entries + 1, self.full("q_next"));
                let found = format!("{} alone, with {} of {entries} steps", shape_text(q.array.shape()), same.name);
                return Err(Error::input(self.place(&q.name), expected, found));
            }
        }
        Ok(Some((q.name, steps)))
    }

    /// The largest step index of the sparse form. Where nothing else states the number of steps, it is limited by the number
    /// of records, or a single record could claim any.
    fn last_step(&self) -> Result<Option<usize>> {
        let Some(step) = self.get("row_step") else {
            return Ok(None);
        };
        let limit = STEPS_BEYOND_RECORDS + step.array.len();
        let mut last = None;
        for record in 0..step.array.len() {
            let found = step.array.integer(record);
            match usize::try_from(found).ok().filter(|step| *step < limit) {
                Some(step) => last = last.max(Some(step)),
                None => {
                    let expected = format!("step indices from 0 to {}", limit - 1);
                    return Err(Error::input(self.place(&step.name), expected, format!("{found} at record {record}")));
                }
            }
        }
        Ok(last)
    }

    fn expect_shape(&self, named: &Named, shape: &[usize], why: impl fmt::Display) -> Result<()> {
        match named.array.shape() == shape {
            true => Ok(()),
            false => Err(self.wrong(named, format!("{} ({why})", shape_text(shape)))),
        }
    }

    fn expect_element(&self, named: &Named, like: &Named) -> Result<()> {
        match named.array.element() == like.array.element() {
            true => Ok(()),
            false => {
                let expected = format!("{}, as {} has", like.array.element(), like.name);
                Err(Error::input(self.place(&named.name), expected, named.array.element()))
            }
        }
    }

    /// A row is decoded as a whole: what that takes may be twice what is recorded, or that of [`WIDEST`] columns.
    fn check_width(&self, named: &Named, dim: usize, arrays: [Option<&Named>; 3]) -> Result<()> {
        let recorded: usize = arrays.into_iter().flatten().map(|named| named.array.as_bytes().len()).sum();
        let needed = dim.saturating_mul(BYTES_A_COLUMN) / 2;
        if dim <= WIDEST || needed <= recorded {
            return Ok(());
        }
        let expected =
            format!("at most {WIDEST} columns in a row, or for {dim} columns at least {needed} bytes of records");
        let found = format!("{} with {recorded} bytes of records", shape_text(named.array.shape()));
        Err(Error::input(self.place(&named.name), expected, found))
    }

    /// An array over steps with the given number of further axes.
    fn over_steps(&self, base: &str, steps: usize, axes: &[&str]) -> Result<Option<Named>> {
        let Some(named) = self.get(base) else { return Ok(None) };
        let shape = named.array.shape();
        if shape.first() != Some(&steps) || shape.len() != axes.len() + 1 {
            let expected = axes.iter().fold(format!("shape [{steps}"), |text, axis| format!("{text}, {axis}"));
            return Err(self.wrong(&named, format!("{expected}] ({steps} steps)")));
        }
        Ok(Some(named))
    }

    /// A finite number for each step.
    fn series(&self, base: &str, steps: usize) -> Result<Option<Array>> {
        let Some(named) = self.over_steps(base, steps, &[])? else {
            return Ok(None);
        };
        for t in 0..steps {
            let value = named.array.value(t);
            if !value.is_finite() {
                return Err(Error::not_finite(self.place(&named.name), format!("{value} at step {t}")));
            }
        }
        Ok(Some(named.array))
    }

    /// Ids are −1, padding, or rows: from 0, and below `rows` where that is known.
    fn check_ids(&self, named: &Named, rows: Option<usize>, padding: &[Option<i64>]) -> Result<()> {
        let shape = named.array.shape();
        let width = named.array.len() / shape[0].max(1);
        let allowed = match rows {
            Some(rows) => 0..i64::try_from(rows).unwrap_or(i64::MAX),
            None => 0..i64::MAX,
        };
        for index in 0..named.array.len() {
            let id = named.array.integer(index);
            if allowed.contains(&id) || id == -1 || padding.contains(&Some(id)) {
                continue;
            }
            let mut expected = match rows {
                Some(rows) => format!("ids from 0 to {}, or -1", rows - 1),
                None => "ids from 0, or -1".to_owned(),
            };
            if let Some(padding) = padding.iter().flatten().find(|padding| **padding != -1) {
                expected += &format!(" or {padding}");
            }
            let found = format!("{id} at step {}, position {}", index / width, index % width);
            return Err(Error::input(self.place(&named.name), format!("{expected} for padding"), found));
        }
        Ok(())
    }

    /// Step numbers increase; where some are missing, the embedding after a step is not that before the next one.
    fn step_numbers(&self, steps: usize) -> Result<(Option<Array>, bool)> {
        let Some(named) = self.over_steps("step", steps, &[])? else {
            return Ok((None, true));
        };
        let mut consecutive = true;
        let mut before = None;
        for t in 0..steps {
            let number = named.array.integer(t);
            if number < 0 || before.is_some_and(|before| number <= before) {
                let found = match before {
                    Some(before) => format!("{number} after {before} at step {t}"),
                    None => format!("{number} at step {t}"),
                };
                return Err(Error::input(self.place(&named.name), "step numbers from 0 that increase", found));
            }
            consecutive &= before.is_none_or(|before| number == before + 1);
            before = Some(number);
        }
        if !consecutive {
            for (state, next) in [("q", "q_next"), ("table", "table_next")] {
                if let (Some(state), None) = (self.get(state), self.get(next)) {
                    let expected = format!("{} beside {}, since {} has gaps", self.full(next), state.name, named.name);
                    return Err(Error::input(self.place(&self.full(next)), expected, "no such array"));
                }
            }
        }
        Ok((Some(named.array), consecutive))
    }

    /// Local rows are counted in 32 bits wherever they have ids of their own.
    fn countable(&self, name: &str, rows: usize) -> Result<()> {
        match rows <= MOST_ROWS {
            true => Ok(()),
            false => Err(Error::input(self.place(name), format!("at most {MOST_ROWS} rows"), rows)),
        }
    }

    /// Which rows the recorded ones are; as many as `expected`, where that is known.
    fn row_ids(&self, expected: Option<usize>) -> Result<Option<(Named, RowNumbers)>> {
        let Some(named) = self.get("row_ids") else {
            return Ok(None);
        };
        let &[rows] = named.array.shape() else {
            return Err(self.wrong(&named, "shape [N]"));
        };
        if let Some(expected) = expected.filter(|expected| *expected != rows) {
            return Err(self.wrong(&named, format!("shape [{expected}] (the rows of {})", self.full("q"))));
        }
        self.countable(&named.name, rows)?;
        if let Some(row) = (0..rows).find(|row| named.array.integer(*row) < 0) {
            let found = format!("{} at row {row}", named.array.integer(row));
            return Err(Error::input(self.place(&named.name), "ids from 0", found));
        }
        match RowNumbers::new(Ids::Stored(named.array.clone())) {
            Ok(numbers) => Ok(Some((named, numbers))),
            Err((a, b)) => {
                let found = format!("{} at rows {a} and {b}", named.array.integer(a));
                Err(Error::input(self.place(&named.name), "different ids", found))
            }
        }
    }

    fn build(&self, steps: usize) -> Result<TowerData> {
        let (step, consecutive) = self.step_numbers(steps)?;
        let loss = self.series("loss", steps)?;
        let lr = self.series("lr", steps)?;
        let ids = self.over_steps("ids", steps, &["B"])?;
        let (form, numbers, dim, precision) = match self.is_sparse() {
            true => self.sparse(steps, ids.as_ref())?,
            false => self.dense(steps)?,
        };
        // Which ids exist is known only where all rows of the table are recorded.
        let whole = matches!(form, Form::Dense { .. }) && self.get("row_ids").is_none();
        let rows = whole.then_some(numbers.len());
        if let Some(ids) = &ids {
            self.check_ids(ids, rows, &[self.settings.padding_id])?;
        }
        // Pairs concern both towers, so the padding of either may stand in them.
        let pair_padding = [self.settings.padding_id, self.pair_padding[0], self.pair_padding[1]];
        let pairs = |base: &str, axes: &[&str], side: Side| -> Result<Option<Named>> {
            let Some(named) = self.over_steps(base, steps, axes)? else {
                return Ok(None);
            };
            let rows = rows.filter(|_| self.side == Some(side));
            self.check_ids(&named, rows, &pair_padding)?;
            Ok(Some(named))
        };
        let users = pairs("users", &["B"], Side::User)?;
        let positives = pairs("positives", &["B"], Side::Item)?;
        let negatives = pairs("negatives", &["B", "M"], Side::Item)?;
        let present: Vec<&Named> = [&users, &positives, &negatives].into_iter().flatten().collect();
        for pair in present.windows(2) {
            let batch = pair[0].array.shape()[1];
            if pair[1].array.shape()[1] != batch {
                let expected = format!("{batch} pairs in each step, as {} has", pair[0].name);
                return Err(self.wrong(pair[1], expected));
            }
        }
        let grad_out = self.over_steps("grad_out", steps, &["B", "d"])?;
        if let Some(grad_out) = &grad_out {
            let batch = ids.as_ref().map_or(grad_out.array.shape()[1], |ids| ids.array.shape()[1]);
            self.expect_shape(grad_out, &[steps, batch, dim], "one gradient for each of ids")?;
        }
        let array = |named: Option<Named>| named.map(|named| named.array);
        let mut tower = TowerData {
            side: self.side,
            settings: self.settings.clone(),
            steps,
            dim,
            precision,
            numbers,
            form,
            ids: array(ids),
            users: array(users),
            positives: array(positives),
            negatives: array(negatives),
            grad_out,
            loss,
            lr,
            step,
            consecutive,
            parameters: None,
        };
        tower.parameters = self.parameters(&tower)?.map(Box::new);
        Ok(tower)
    }

    fn dense(&self, steps: usize) -> Result<(Form, RowNumbers, usize, Precision)> {
        let q = self.require("q", "shape [T+1, N, d], or [T, N, d] beside q_next")?;
        let &[_, rows, dim] = q.array.shape() else {
            return Err(self.wrong(&q, "shape [T+1, N, d]"));
        };
        let next = self.get("q_next");
        if let Some(next) = &next {
            self.expect_shape(next, &[steps, rows, dim], "as q")?;
            self.expect_element(next, &q)?;
        }
        let grad = self.get("grad");
        if let Some(grad) = &grad {
            self.expect_shape(grad, &[steps, rows, dim], "one gradient for each row and step of q")?;
        }
        self.check_width(&q, dim, [Some(&q), next.as_ref(), grad.as_ref()])?;
        let numbers = self.row_ids(Some(rows))?.map_or(RowNumbers::Identity(rows), |(_, numbers)| numbers);
        let precision = q.array.element().precision().unwrap_or(Precision::F64);
        Ok((Form::Dense { q, next, grad }, numbers, dim, precision))
    }

    fn sparse(&self, steps: usize, ids: Option<&Named>) -> Result<(Form, RowNumbers, usize, Precision)> {
        for base in ["grad", "q_next"] {
            if let Some(named) = self.get(base) {
                let expected = format!("row_{base}, as this is the sparse form");
                return Err(Error::input(self.place(&named.name), expected, base));
            }
        }
        let vectors = "shape [K, d], one entry for each record of the sparse form";
        let scalars = "shape [K], one entry for each record of the sparse form";
        let q = self.require("row_q", vectors)?;
        let next = self.require("row_q_next", vectors)?;
        let grad = self.get("row_grad");
        let step = self.require("row_step", scalars)?;
        let id = self.require("row_id", scalars)?;
        let &[count, dim] = q.array.shape() else {
            return Err(self.wrong(&q, vectors));
        };
        if dim == 0 {
            return Err(self.wrong(&q, "at least one column"));
        }
        let why = format!("as {}", q.name);
        self.expect_shape(&next, &[count, dim], &why)?;
        self.expect_element(&next, &q)?;
        if let Some(grad) = &grad {
            self.expect_shape(grad, &[count, dim], &why)?;
        }
        self.check_width(&q, dim, [Some(&q), Some(&next), grad.as_ref()])?;
        self.expect_shape(&step, &[count], &why)?;
        self.expect_shape(&id, &[count], &why)?;
        for record in 0..count {
            let found = step.array.integer(record);
            if usize::try_from(found).ok().is_none_or(|found| found >= steps) {
                let expected = format!("step indices from 0 to {}", steps - 1);
                return Err(Error::input(self.place(&step.name), expected, format!("{found} at record {record}")));
            }
            let found = id.array.integer(record);
            if found < 0 {
                return Err(Error::input(self.place(&id.name), "ids from 0", format!("{found} at record {record}")));
            }
        }
        let numbers = match self.row_ids(None)? {
            Some((named, numbers)) => {
                for record in 0..count {
                    let found = id.array.integer(record);
                    if numbers.local(found).is_none() {
                        let expected = format!("ids that {} lists", named.name);
                        let found = format!("{found} at record {record}");
                        return Err(Error::input(self.place(&id.name), expected, found));
                    }
                }
                numbers
            }
            None => {
                let looked_up =
                    ids.into_iter().flat_map(|ids| (0..ids.array.len()).map(|index| ids.array.integer(index)));
                let looked_up = looked_up.filter(|id| *id >= 0 && Some(*id) != self.settings.padding_id);
                let all = distinct((0..count).map(|record| id.array.integer(record)).chain(looked_up));
                self.countable(&id.name, all.len())?;
                RowNumbers::new(all).map_err(|_| Error::internal("distinct ids repeat"))?
            }
        };
        let records = Records::new(step.array.clone(), id.array.clone(), &numbers).map_err(|(a, b)| {
            let found = format!("records {a} and {b} at step {}, row {}", step.array.integer(a), id.array.integer(a));
            Error::input(self.place(&id.name), "one record for each step and row", found)
        })?;
        let precision = q.array.element().precision().unwrap_or(Precision::F64);
        Ok((Form::Sparse { records, q, next, grad }, numbers, dim, precision))
    }

    fn parameters(&self, tower: &TowerData) -> Result<Option<TowerData>> {
        let steps = tower.steps;
        let expected = "shape [T+1, P, ...], or [T, P, ...] beside table_next";
        if self.get("table_next").is_some() || self.get("table_grad").is_some() {
            self.require("table", expected)?;
        }
        let Some((table, found)) = self.state_steps("table", "table_next") else {
            return Ok(None);
        };
        let shape = table.array.shape();
        if shape.len() < 2 || shape[1..].contains(&0) {
            return Err(self.wrong(&table, expected));
        }
        let next = self.get("table_next");
        let with_steps =
            |steps: usize| -> Vec<usize> { std::iter::once(steps).chain(shape[1..].iter().copied()).collect() };
        if found != steps {
            let entries = if next.is_some() { steps } else { steps + 1 };
            return Err(self.wrong(&table, format!("{} ({steps} steps)", shape_text(&with_steps(entries)))));
        }
        if let Some(next) = &next {
            self.expect_shape(next, &with_steps(steps), "as table")?;
            self.expect_element(next, &table)?;
        }
        let grad = self.get("table_grad");
        if let Some(grad) = &grad {
            self.expect_shape(grad, &with_steps(steps), "one gradient for each row and step of table")?;
        }
        self.check_width(&table, shape[2..].iter().product(), [Some(&table), next.as_ref(), grad.as_ref()])?;
        Ok(Some(TowerData {
            dim: shape[2..].iter().product(),
            precision: table.array.element().precision().unwrap_or(Precision::F64),
            numbers: RowNumbers::Identity(shape[1]),
            form: Form::Dense { q: table, next, grad },
            ids: None,
            users: None,
            positives: None,
            negatives: None,
            grad_out: None,
            parameters: None,
            ..tower.clone()
        }))
    }
}

/// What is readable but strange.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum IntegrityKind {
    /// The embedding before a step is not the one after the step before.
    RewrittenBetweenSteps,
    /// All snapshots show the same values although gradients arrived.
    AliasedSnapshots,
    /// A row has a gradient in a step that did not look it up.
    GradientWithoutLookup,
    /// A row was looked up and its gradient is exactly zero.
    LookupWithoutGradient,
}

/// One observation on the recording itself, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct IntegrityFinding {
    /// What was seen.
    pub kind: IntegrityKind,
    /// The numbers, in one sentence.
    pub evidence: String,
    /// Index of the first step concerned, where there is one.
    pub step: Option<usize>,
    /// The row concerned in that step (local).
    pub row: Option<usize>,
    /// How many (step, row) pairs are concerned.
    pub count: u64,
}

/// The first place of something, how often it occurred, and its largest size with its place.
#[derive(Default)]
struct Tally {
    count: u64,
    first: Option<(usize, usize)>,
    largest: f64,
    worst: (usize, usize),
}

impl Tally {
    fn add(&mut self, step: usize, row: usize, size: f64) {
        self.count += 1;
        self.first = Some(self.first.map_or((step, row), |first| first.min((step, row))));
        if size > self.largest {
            (self.largest, self.worst) = (size, (step, row));
        }
    }

    fn finding(&self, kind: IntegrityKind, evidence: impl FnOnce(&Tally) -> String) -> Option<IntegrityFinding> {
        let (step, row) = self.first?;
        let evidence = evidence(self);
        Some(IntegrityFinding { kind, evidence, step: Some(step), row: Some(row), count: self.count })
    }
}

/// Rows of a sparse tower looked at in one pass of the survey, at 4 bytes each; as many as there are records, if these are more.
const SURVEYED: usize = 1 << 17;

/// Looks through the recording of a tower for what would mislead a reader: rows rewritten between steps, snapshots that
/// alias, gradients on rows nobody looked up, lookups without gradient.
///
/// Nothing is judged: an optimizer that renormalises after the step rewrites rows on purpose, a graph encoder has gradients
/// on rows that were not looked up, a hinge loss has none on rows that were. Where the arrays that an observation needs are not recorded, it is not made.
///
/// # Errors
/// Where a number is not finite.
///
/// ```
/// use std::collections::BTreeMap;
/// use perpend::trajectory::{Array, IntegrityKind, Settings, Trajectory, survey};
/// let arrays = BTreeMap::from([
///     ("q".to_owned(), Array::from_f64(&[2, 1, 1], &[1.0, 3.0])),
///     ("q_next".to_owned(), Array::from_f64(&[2, 1, 1], &[2.0, 4.0])),
/// ]);
/// let trajectory = Trajectory::new(Settings::default(), arrays)?;
/// let findings = survey(&trajectory.towers()[0])?;
/// assert_eq!(findings[0].kind, IntegrityKind::RewrittenBetweenSteps);
/// assert_eq!(findings[0].evidence,
///     "q differs from the q_next recorded before it once, first at step 1, row 0; largest change 1.0e0 at step 1, row 0");
/// # Ok::<(), perpend::Error>(())
/// ```
pub fn survey(tower: &Tower<'_>) -> Result<Vec<IntegrityFinding>> {
    let mut rewritten = Tally::default();
    let mut unasked = Tally::default();
    let mut silent = Tally::default();
    let mut still = Stillness::default();
    let block = match tower.form() {
        Form::Dense { .. } => tower.rows().max(1),
        Form::Sparse { records, .. } => records.len().max(SURVEYED),
    };
    let declared = tower.settings().optimizer.and_then(|optimizer| optimizer.lr);
    let mut buffer = vec![0.0; tower.dim()];
    let mut start = 0;
    while start < tower.rows() {
        let rows = start..tower.rows().min(start + block);
        let mut history = History::new(tower, &rows);
        tower.for_each(rows.clone(), &mut |record| {
            let moved = record.q.iter().zip(record.q_next).any(|(q, next)| q != next);
            let norm = record.grad.map(norm);
            still.add(declared, tower, record, moved, norm);
            match (record.lookups, norm) {
                (Some(0), Some(norm)) if norm > 0.0 => unasked.add(record.step, record.row, norm),
                (Some(1..), Some(0.0)) => silent.add(record.step, record.row, 0.0),
                _ => {}
            }
            if let Some((step, change)) = history.change(tower, record, &mut buffer) {
                rewritten.add(step, record.row, change);
            }
            Ok(())
        })?;
        start = rows.end;
    }
    silent_in_sparse(tower, &mut silent);

    let step = |t: usize| tower.step_number(t);
    let row = |r: usize| tower.row_number(r);
    let mut findings = Vec::new();
    findings.extend(rewritten.finding(IntegrityKind::RewrittenBetweenSteps, |tally| {
        let (t, r) = tally.first.unwrap_or_default();
        let (worst_t, worst_r) = tally.worst;
        format!(
            "q differs from the q_next recorded before it {}, first at step {}, row {}; largest change {:.1e} at step {}, row {}",
            times(tally.count), step(t), row(r), tally.largest, step(worst_t), row(worst_r)
        )
    }));
    let between = !findings.is_empty();
    findings.extend(still.finding(between));
    findings.extend(unasked.finding(IntegrityKind::GradientWithoutLookup, |tally| {
        let (t, r) = tally.first.unwrap_or_default();
        let (worst_t, worst_r) = tally.worst;
        format!(
            "a row has a gradient in a step that did not look it up {}, first at step {}, row {}; largest norm {:.1e} at step {}, row {}",
            times(tally.count), step(t), row(r), tally.largest, step(worst_t), row(worst_r)
        )
    }));
    findings.extend(silent.finding(IntegrityKind::LookupWithoutGradient, |tally| {
        let (t, r) = tally.first.unwrap_or_default();
        let count = times(tally.count);
        format!(
            "a row was looked up with a gradient of exactly zero {count}, first at step {}, row {}",
            step(t),
            row(r)
        )
    }));
    Ok(findings)
}

/// Zero exactly where every component is, also where squares underflow.
fn norm(vector: &[f64]) -> f64 {
    let largest = vector.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    if largest == 0.0 {
        0.0
    } else {
        largest * vector.iter().map(|value| (value / largest).powi(2)).sum::<f64>().sqrt()
    }
}

fn times(count: u64) -> String {
    if count == 1 {
        "once".to_owned()
    } else {
        format!("{count} times")
    }
}

/// Whether anything moved, and whether anything should have.
#[derive(Default)]
struct Stillness {
    moved: bool,
    gradients: Tally,
}

impl Stillness {
    fn add(&mut self, declared: Option<f64>, tower: &Tower<'_>, record: &Record<'_>, moved: bool, norm: Option<f64>) {
        self.moved |= moved;
        // At a learning rate of zero nothing is expected to move.
        let rate = tower.learning_rate(record.step).or(declared);
        if let Some(norm) = norm.filter(|norm| *norm > 0.0 && rate != Some(0.0)) {
            self.gradients.add(record.step, record.row, norm);
        }
    }

    fn finding(&self, between: bool) -> Option<IntegrityFinding> {
        if self.moved {
            return None;
        }
        self.gradients.finding(IntegrityKind::AliasedSnapshots, |tally| {
            let gradients = if tally.count == 1 { "1 gradient is" } else { &format!("{} gradients are", tally.count) };
            let states = if between {
                "q_next equals q in every step, although q changes between steps"
            } else {
                "every q equals q_next and every other q of its row"
            };
            format!("{states}, and {gradients} not zero (largest norm {:.1e}): the snapshots share memory, or no step was applied", tally.largest)
        })
    }
}

/// What a row was after its last record.
enum History<'a> {
    /// The next step's q is at hand (pair form), or q and q_next are the same array.
    Dense(Option<(&'a Named, usize)>),
    /// The last recorded step of every row of the range; `u32::MAX` = none.
    Sparse {
        records: &'a Records,
        next: &'a Named,
        last: Vec<u32>,
        start: usize,
    },
}

impl<'a> History<'a> {
    fn new(tower: &Tower<'a>, rows: &std::ops::Range<usize>) -> Self {
        match tower.form() {
            Form::Dense { q, next, .. } => History::Dense(next.as_ref().map(|_| (q, tower.rows()))),
            Form::Sparse { records, next, .. } => {
                History::Sparse { records, next, last: vec![u32::MAX; rows.len()], start: rows.start }
            }
        }
    }

    /// The step before which the row is not what it was after its last record, and the largest change of a column.
    fn change(&mut self, tower: &Tower<'_>, record: &Record<'_>, buffer: &mut [f64]) -> Option<(usize, f64)> {
        let complete = |from: usize, to: usize| tower.step_number(to) - tower.step_number(from) == (to - from) as i64;
        let (step, other) = match self {
            History::Dense(state) => {
                let (q, rows) = (*state)?;
                let step = record.step + 1;
                if step >= tower.steps() || !complete(record.step, step) {
                    return None;
                }
                q.array.read((step * rows + record.row) * tower.dim(), buffer);
                (step, record.q_next)
            }
            History::Sparse { records, next, last, start } => {
                let last = std::mem::replace(&mut last[record.row - *start], record.step as u32);
                if last == u32::MAX || !complete(last as usize, record.step) {
                    return None;
                }
                let before = records.find(last as usize, record.row, tower.numbers())?;
                next.array.read(before * tower.dim(), buffer);
                (record.step, record.q)
            }
        };
        let change = buffer.iter().zip(other).fold(0.0_f64, |change, (a, b)| change.max((a - b).abs()));
        (change > 0.0).then_some((step, change))
    }
}

/// In the sparse form a row that is looked up and not recorded had no gradient.
fn silent_in_sparse(tower: &Tower<'_>, silent: &mut Tally) {
    let Form::Sparse { records, grad: Some(_), .. } = tower.form() else {
        return;
    };
    let mut at = 0;
    for step in 0..tower.steps() {
        tower.for_each_looked_up(step, |row| {
            if !records.has(&mut at, step, row, tower.numbers()) {
                silent.add(step, row, 0.0);
            }
        });
    }
}
