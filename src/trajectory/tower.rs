//! One embedding table of a trajectory, walked record by record.

use std::ops::Range;

use super::array::Array;
use super::sparse::{Records, RowNumbers};
use super::{Settings, Side};
use crate::error::{Error, Result};
use crate::rounding::Precision;

/// Values decoded at a time, for each of q, q' and the gradient.
const BLOCK: usize = 1 << 14;

/// An array with its full name, for messages.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub name: String,
    pub array: Array,
}

#[derive(Debug, Clone)]
pub(crate) enum Form {
    /// q: [T, N, d] with q_next: [T, N, d], or q: [T+1, N, d].
    Dense {
        q: Named,
        next: Option<Named>,
        grad: Option<Named>,
    },
    /// q, q_next, grad: [K, d].
    Sparse {
        records: Records,
        q: Named,
        next: Named,
        grad: Option<Named>,
    },
}

/// A tower whose arrays have been checked against each other.
#[derive(Debug, Clone)]
pub(crate) struct TowerData {
    pub side: Option<Side>,
    pub settings: Settings,
    pub steps: usize,
    pub dim: usize,
    pub precision: Precision,
    pub numbers: RowNumbers,
    pub form: Form,
    pub ids: Option<Array>,
    pub users: Option<Array>,
    pub positives: Option<Array>,
    pub negatives: Option<Array>,
    pub grad_out: Option<Named>,
    pub loss: Option<Array>,
    pub lr: Option<Array>,
    pub step: Option<Array>,
    pub consecutive: bool,
    pub parameters: Option<Box<TowerData>>,
}

/// One row in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Record<'a> {
    /// Index of the step, from 0; [`Tower::step_number`] gives its number.
    pub step: usize,
    /// Local row, from 0; [`Tower::row_number`] gives its id.
    pub row: usize,
    /// How often the row was looked up in this step; `None` where lookups are not recorded.
    pub lookups: Option<u32>,
    /// The embedding before the step: `[d]`.
    pub q: &'a [f64],
    /// The embedding after the step: `[d]`.
    pub q_next: &'a [f64],
    /// dL/dq summed over the step's lookups: `[d]`; `None` where gradients are not recorded.
    pub grad: Option<&'a [f64]>,
}

/// A view of one embedding table over all recorded steps.
#[derive(Clone, Copy, Debug)]
pub struct Tower<'a> {
    origin: &'a str,
    data: &'a TowerData,
}

impl<'a> Tower<'a> {
    pub(crate) fn new(origin: &'a str, data: &'a TowerData) -> Self {
        Tower { origin, data }
    }

    pub(crate) fn form(&self) -> &'a Form {
        &self.data.form
    }

    /// The states of a tower of which every row is recorded: q, and q_next where it is an array of its own.
    pub(crate) fn states(&self) -> Option<(&'a Array, Option<&'a Array>)> {
        match &self.data.form {
            Form::Dense { q, next, .. } => Some((&q.array, next.as_ref().map(|next| &next.array))),
            Form::Sparse { .. } => None,
        }
    }

    pub(crate) fn numbers(&self) -> &'a RowNumbers {
        &self.data.numbers
    }

    /// Which tower it is; `None` where the arrays have no prefix.
    pub fn side(&self) -> Option<Side> {
        self.data.side
    }

    /// The settings that hold for this tower: its own declarations over the common ones.
    pub fn settings(&self) -> Settings {
        self.data.settings.clone()
    }

    /// T, the number of recorded steps.
    pub fn steps(&self) -> usize {
        self.data.steps
    }

    /// N, the number of recorded rows.
    pub fn rows(&self) -> usize {
        self.data.numbers.len()
    }

    /// d, the embedding dimension.
    pub fn dim(&self) -> usize {
        self.data.dim
    }

    /// The format that embeddings are stored in. The run may have used a narrower one: see [`Settings::param_dtype`].
    pub fn precision(&self) -> Precision {
        self.data.precision
    }

    /// Whether gradients are recorded.
    pub fn has_gradient(&self) -> bool {
        match &self.data.form {
            Form::Dense { grad, .. } | Form::Sparse { grad, .. } => grad.is_some(),
        }
    }

    /// Whether lookups are recorded.
    pub fn has_lookups(&self) -> bool {
        self.data.ids.is_some()
    }

    /// Whether only rows that were touched or moved are recorded.
    pub fn is_sparse(&self) -> bool {
        matches!(self.data.form, Form::Sparse { .. })
    }

    /// The number of a step in the run: `step` where it is recorded, else the index.
    ///
    /// # Panics
    /// When `t` is not below [`Tower::steps`] (only where `step` is recorded).
    pub fn step_number(&self, t: usize) -> i64 {
        self.data.step.as_ref().map_or(t as i64, |step| step.integer(t))
    }

    /// The id of a row in the whole table.
    ///
    /// # Panics
    /// When `r` is not below [`Tower::rows`] (only where ids are not 0, 1, 2, …).
    pub fn row_number(&self, r: usize) -> i64 {
        self.data.numbers.number(r)
    }

    /// The local row of an id of the whole table; `None` where that row is not recorded.
    pub fn local_row(&self, id: i64) -> Option<usize> {
        self.data.numbers.local(id)
    }

    /// Whether every step of the run was recorded: no `step` array, or step numbers that increase by one.
    pub fn consecutive(&self) -> bool {
        self.data.consecutive
    }

    /// Whether every step was recorded from the first one on (which programs number 0 or 1): only then is it known what an
    /// optimizer remembers.
    pub fn is_complete(&self) -> bool {
        self.consecutive() && (self.steps() == 0 || matches!(self.step_number(0), 0 | 1))
    }

    /// The recorded learning rate of a step (`lr`); a declared one is in the settings.
    pub fn learning_rate(&self, t: usize) -> Option<f64> {
        self.entry(&self.data.lr, t)
    }

    /// The recorded loss of a step.
    pub fn loss(&self, t: usize) -> Option<f64> {
        self.entry(&self.data.loss, t)
    }

    fn entry(&self, array: &Option<Array>, t: usize) -> Option<f64> {
        array.as_ref().filter(|_| t < self.data.steps).map(|array| array.value(t))
    }

    /// The entries of one step of an integer array.
    fn integers(&self, array: &'a Option<Array>, t: usize) -> Option<impl Iterator<Item = i64> + 'a> {
        let array = array.as_ref().filter(|_| t < self.data.steps)?;
        let width = array.len() / self.data.steps;
        Some((t * width..(t + 1) * width).map(|index| array.integer(index)))
    }

    /// What each of the B slots of a step looked up: a local row, or `None` for padding and rows that are not recorded.
    /// `None` altogether where lookups are not recorded.
    pub fn slots(&self, t: usize) -> Option<Vec<Option<usize>>> {
        Some(self.slot_rows(t)?.collect())
    }

    /// The id in every slot of a step, `None` for padding.
    fn looked_up_ids(&self, t: usize) -> Option<impl Iterator<Item = Option<i64>> + 'a> {
        let padding = self.data.settings.padding_id;
        let real = move |id: i64| (id >= 0 && Some(id) != padding).then_some(id);
        Some(self.integers(&self.data.ids, t)?.map(real))
    }

    fn slot_rows(&self, t: usize) -> Option<impl Iterator<Item = Option<usize>> + 'a> {
        let numbers = &self.data.numbers;
        Some(self.looked_up_ids(t)?.map(|id| id.and_then(|id| numbers.local(id))))
    }

    /// Visits the rows that were looked up in a step, each once, in increasing order.
    pub(crate) fn for_each_looked_up(&self, t: usize, mut visit: impl FnMut(usize)) {
        let numbers = &self.data.numbers;
        if self.rows() == 0 || !self.has_lookups() {
            return;
        }
        let mut lookups = Lookups::new(true);
        lookups.load(self, t, &(0..self.rows()));
        loop {
            lookups.window.iter().filter_map(|(rank, _)| numbers.row_of_rank(*rank)).for_each(&mut visit);
            if lookups.through >= lookups.last {
                return;
            }
            lookups.fill(self, lookups.through + 1);
        }
    }

    /// The rows looked up in a step, as local rows and as often as they were looked up; without padding and without rows
    /// that are not recorded. `None` where lookups are not recorded.
    pub fn lookups(&self, t: usize) -> Option<Vec<i64>> {
        Some(self.slot_rows(t)?.flatten().map(|row| row as i64).collect())
    }

    /// The users of a step, as recorded (padding included, so that pairs stay aligned): `[B]`.
    pub fn users(&self, t: usize) -> Option<Vec<i64>> {
        Some(self.integers(&self.data.users, t)?.collect())
    }

    /// The positive items of a step, as recorded: `[B]`.
    pub fn positives(&self, t: usize) -> Option<Vec<i64>> {
        Some(self.integers(&self.data.positives, t)?.collect())
    }

    /// The negative items of a step, as recorded, flat, with their number M for each pair: `[B·M]`, M.
    pub fn negatives(&self, t: usize) -> Option<(Vec<i64>, usize)> {
        let width = self.data.negatives.as_ref()?.shape()[2];
        Some((self.integers(&self.data.negatives, t)?.collect(), width))
    }

    /// The gradient that arrived through one slot of a step (`grad_out`), before duplicates are summed: `[d]`. `false`
    /// where it is not recorded.
    ///
    /// # Errors
    /// Where it is not finite.
    ///
    /// # Panics
    /// When `out` does not have [`Tower::dim`] elements.
    pub fn lookup_gradient(&self, t: usize, slot: usize, out: &mut [f64]) -> Result<bool> {
        assert_eq!(out.len(), self.data.dim, "the length of the buffer is not the embedding dimension");
        let Some(grad_out) = self.data.grad_out.as_ref() else {
            return Ok(false);
        };
        let width = grad_out.array.shape()[1];
        if t >= self.data.steps || slot >= width {
            return Ok(false);
        }
        grad_out.array.read((t * width + slot) * self.data.dim, out);
        match out.iter().position(|value| !value.is_finite()) {
            None => Ok(true),
            Some(column) => {
                let found = format!("{} at step {t}, position {slot}, column {column}", out[column]);
                Err(Error::not_finite(self.place(&grad_out.name), found))
            }
        }
    }

    /// The embedding of a row before step `t`, or for `t` = [`Tower::steps`] the final one: `[d]`. `false` where it is not recorded.
    ///
    /// Dense: one read. Sparse: a row that is not recorded in a step stayed where it was, so the nearest record tells,
    /// provided that every step is recorded; this searches through the steps. Whether values are finite is not checked.
    ///
    /// # Panics
    /// When `out` does not have [`Tower::dim`] elements.
    pub fn embedding(&self, t: usize, row: usize, out: &mut [f64]) -> bool {
        assert_eq!(out.len(), self.data.dim, "the length of the buffer is not the embedding dimension");
        let (steps, rows, dim) = (self.steps(), self.rows(), self.dim());
        if t > steps || row >= rows {
            return false;
        }
        match &self.data.form {
            Form::Dense { q, next, .. } => {
                match next {
                    Some(next) if t == steps => next.array.read(((t - 1) * rows + row) * dim, out),
                    _ => q.array.read((t * rows + row) * dim, out),
                }
                true
            }
            Form::Sparse { records, q, next, .. } => {
                let find = |step: usize| records.find(step, row, &self.data.numbers);
                if let Some(record) = find(t) {
                    q.array.read(record * dim, out);
                    return true;
                }
                let reach = if self.consecutive() { steps } else { 1 };
                if let Some(record) =
                    (0..t).rev().take(reach).filter(|_| self.consecutive() || t == steps).find_map(find)
                {
                    next.array.read(record * dim, out);
                    return true;
                }
                if let Some(record) = (t..steps).filter(|_| self.consecutive()).find_map(find) {
                    q.array.read(record * dim, out);
                    return true;
                }
                false
            }
        }
    }

    /// The encoder's parameters (`table`) as a tower of their own: its rows are the rows of the table, trailing axes are
    /// flattened into one. Which of its rows were looked up is not known.
    pub fn parameters(&self) -> Option<Tower<'a>> {
        let data = self.data.parameters.as_deref()?;
        Some(Tower { origin: self.origin, data })
    }

    pub(crate) fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.origin)
    }

    /// Visits all recorded (step, row) of a range of rows, in the order of steps, then rows.
    ///
    /// Dense: every row of the range in every step. Sparse: the recorded ones. The slices of a [`Record`] are valid
    /// during the visit. Memory: a few buffers, whatever the length of the run and of the range.
    ///
    /// # Errors
    /// The first number that is not finite, with its place; and whatever `visit` returns.
    pub fn for_each(&self, rows: Range<usize>, visit: &mut dyn FnMut(&Record<'_>) -> Result<()>) -> Result<()> {
        let rows = rows.start..rows.end.min(self.rows());
        if rows.is_empty() {
            return Ok(());
        }
        match &self.data.form {
            Form::Dense { q, next, grad } => self.for_each_dense(rows, q, next.as_ref(), grad.as_ref(), visit),
            Form::Sparse { records, q, next, grad } => {
                self.for_each_sparse(rows, records, [Some(q), Some(next), grad.as_ref()], visit)
            }
        }
    }

    fn for_each_dense(
        &self,
        rows: Range<usize>,
        q: &Named,
        next: Option<&Named>,
        grad: Option<&Named>,
        visit: &mut dyn FnMut(&Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let (dim, all) = (self.dim(), self.rows());
        let block = (BLOCK / dim).clamp(1, rows.len());
        let mut buffers = [
            vec![0.0; block * dim],
            vec![0.0; block * dim],
            vec![0.0; if grad.is_some() { block * dim } else { 0 }],
        ];
        let mut lookups = Lookups::new(self.has_lookups());
        for step in 0..self.steps() {
            lookups.load(self, step, &rows);
            // Without q_next, the embedding after a step is that before the next one.
            let after = match next {
                Some(next) => (next, step),
                None => (q, step + 1),
            };
            for first in rows.clone().step_by(block) {
                let count = block.min(rows.end - first);
                let sources = [Some((q, step)), Some(after), grad.map(|grad| (grad, step))];
                for (buffer, source) in buffers.iter_mut().zip(sources) {
                    let Some((named, entry)) = source else { continue };
                    let buffer = &mut buffer[..count * dim];
                    named.array.read((entry * all + first) * dim, buffer);
                    self.finite(&named.name, buffer, |index| (entry, first + index / dim, index % dim))?;
                }
                let [before, after, gradient] = &buffers;
                for row in first..first + count {
                    let range = (row - first) * dim..(row - first + 1) * dim;
                    visit(&Record {
                        step,
                        row,
                        lookups: lookups.count(self, row),
                        q: &before[range.clone()],
                        q_next: &after[range.clone()],
                        grad: grad.map(|_| &gradient[range]),
                    })?;
                }
            }
        }
        Ok(())
    }

    fn for_each_sparse(
        &self,
        rows: Range<usize>,
        records: &Records,
        arrays: [Option<&Named>; 3],
        visit: &mut dyn FnMut(&Record<'_>) -> Result<()>,
    ) -> Result<()> {
        let dim = self.dim();
        let mut buffers = [vec![0.0; dim], vec![0.0; dim], vec![0.0; dim]];
        let mut lookups = Lookups::new(self.has_lookups());
        let mut loaded = None;
        records.for_each(&rows, &self.data.numbers, |record, step, row| {
            if loaded != Some(step) {
                lookups.load(self, step, &rows);
                loaded = Some(step);
            }
            for (buffer, named) in buffers.iter_mut().zip(arrays) {
                let Some(named) = named else { continue };
                named.array.read(record * dim, buffer);
                let number = usize::try_from(self.row_number(row)).unwrap_or(row);
                self.finite(&named.name, buffer, |column| (step, number, column))?;
            }
            let [q, q_next, grad] = &buffers;
            visit(&Record {
                step,
                row,
                lookups: lookups.count(self, row),
                q,
                q_next,
                grad: arrays[2].map(|_| grad.as_slice()),
            })
        })
    }

    /// Refuses NaN and infinities; `place` gives step, row and column of an index.
    fn finite(&self, name: &str, values: &[f64], place: impl Fn(usize) -> (usize, usize, usize)) -> Result<()> {
        // Without an early exit this is one vector instruction for several values.
        let finite = values.iter().fold(true, |finite, value| finite & value.is_finite());
        if finite {
            return Ok(());
        }
        let index = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
        let (step, row, column) = place(index);
        let found = format!("{} at step {step}, row {row}, column {column}", values[index]);
        Err(Error::not_finite(self.place(name), found))
    }
}

/// Distinct rows of one step whose lookups are counted at a time; in between there may be twice as many. Where a step has many
/// lookups it is that share of them, so that they are gone through no more than about so many times.
const WINDOW: usize = 1 << 14;
const PASSES: usize = 1 << 6;

/// How often each row of a range was looked up in one step, asked for in increasing order of rows.
struct Lookups {
    known: bool,
    step: usize,
    /// Ranks of the rows that were looked up (see [`RowNumbers::rank`]: for them, most ids need no search), in increasing
    /// order, and how often.
    window: Vec<(i64, u32)>,
    at: usize,
    /// The largest rank that the window tells of, and that of the last row of the range.
    through: i64,
    last: i64,
}

impl Lookups {
    fn new(known: bool) -> Self {
        Lookups { known, step: 0, window: Vec::new(), at: 0, through: 0, last: 0 }
    }

    fn load(&mut self, tower: &Tower<'_>, step: usize, rows: &Range<usize>) {
        let numbers = &tower.data.numbers;
        self.step = step;
        self.last = numbers.rank_of_row(rows.end - 1);
        self.fill(tower, numbers.rank_of_row(rows.start));
    }

    /// Counts the lookups of the ranks from `from` on.
    fn fill(&mut self, tower: &Tower<'_>, from: i64) {
        let numbers = &tower.data.numbers;
        self.window.clear();
        self.at = 0;
        self.through = self.last;
        let lookups = tower.data.ids.as_ref().map_or(0, |ids| ids.len() / tower.steps());
        let window = WINDOW.max(lookups / PASSES);
        let ids = tower.looked_up_ids(self.step);
        for rank in ids.into_iter().flatten().flatten().filter_map(|id| numbers.rank(id)) {
            if rank < from || rank > self.through {
                continue;
            }
            self.window.push((rank, 1));
            if self.window.len() == 2 * window {
                self.count_equal();
                if let Some((rank, _)) = self.window.get(window - 1) {
                    self.through = *rank;
                    self.window.truncate(window);
                }
            }
        }
        self.count_equal();
    }

    fn count_equal(&mut self) {
        self.window.sort_unstable_by_key(|(rank, _)| *rank);
        self.window.dedup_by(|next, kept| {
            let equal = next.0 == kept.0;
            kept.1 += if equal { next.1 } else { 0 };
            equal
        });
    }

    fn count(&mut self, tower: &Tower<'_>, row: usize) -> Option<u32> {
        if !self.known {
            return None;
        }
        let rank = tower.data.numbers.rank_of_row(row);
        if rank > self.through {
            self.fill(tower, rank);
        }
        while self.window.get(self.at).is_some_and(|(looked_up, _)| *looked_up < rank) {
            self.at += 1;
        }
        let found = self.window.get(self.at).filter(|(looked_up, _)| *looked_up == rank);
        Some(found.map_or(0, |(_, count)| *count))
    }
}
