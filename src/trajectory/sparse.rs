//! The sparse form: which rows the records belong to, and the order in which to visit them.

use std::cmp::Ordering;
use std::ops::Range;

use super::array::Array;

/// Local rows are counted in 32 bits.
pub(crate) const MOST_ROWS: usize = u32::MAX as usize;

/// Which row of the table each local row is. Local rows count from 0.
#[derive(Debug, Clone)]
pub(crate) enum RowNumbers {
    /// Local rows are the table's rows.
    Identity(usize),
    /// Increasing ids.
    Ascending(Ascending),
    /// Ids in the order of the file, and the local rows in the order of their ids.
    Permuted { ids: Ids, order: Vec<u32> },
}

/// Ids from 0, in no more memory than they take in the file.
#[derive(Debug, Clone)]
pub(crate) enum Ids {
    /// As the file has them.
    Stored(Array),
    /// Increasing: those below 2³², then the others.
    Collected { low: Vec<u32>, high: Vec<i64> },
}

impl Ids {
    pub fn len(&self) -> usize {
        match self {
            Ids::Stored(array) => array.len(),
            Ids::Collected { low, high } => low.len() + high.len(),
        }
    }

    fn get(&self, row: usize) -> i64 {
        match self {
            Ids::Stored(array) => array.integer(row),
            Ids::Collected { low, high } => low.get(row).map_or_else(|| high[row - low.len()], |id| i64::from(*id)),
        }
    }

    fn iter(&self) -> impl Iterator<Item = i64> {
        (0..self.len()).map(|row| self.get(row))
    }
}

/// Increasing ids, found by a first guess from the leading bits: for evenly spread ids a search touches two places
/// instead of log₂ of their number.
#[derive(Debug, Clone)]
pub(crate) struct Ascending {
    ids: Ids,
    /// Ids whose distance from the first, shifted by this, is k stand from `buckets[k]` to `buckets[k + 1]`.
    shift: u32,
    buckets: Vec<u32>,
}

impl Ascending {
    fn new(ids: Ids) -> Ascending {
        let first = if ids.len() == 0 { 0 } else { ids.get(0) };
        let span = ids.len().checked_sub(1).map_or(0, |last| ids.get(last).abs_diff(first));
        // At most one bucket for every sixteen ids: a sixteenth of what ids of four bytes take in a file.
        let wanted = (ids.len() as u64 / 16).max(1);
        let shift = (u64::BITS - (span / wanted).leading_zeros()).min(63);
        let count = (span >> shift) as usize + 1;
        let mut buckets = Vec::with_capacity(count + 1);
        for (row, id) in ids.iter().enumerate() {
            let bucket = (id.abs_diff(first) >> shift) as usize;
            while buckets.len() <= bucket {
                buckets.push(row as u32);
            }
        }
        buckets.resize(count + 1, ids.len() as u32);
        Ascending { ids, shift, buckets }
    }

    fn local(&self, id: i64) -> Option<usize> {
        if self.ids.len() == 0 {
            return None;
        }
        let distance = id.checked_sub(self.ids.get(0)).and_then(|distance| u64::try_from(distance).ok())?;
        let bucket = (distance >> self.shift) as usize;
        let mut low = *self.buckets.get(bucket)? as usize;
        let mut high = *self.buckets.get(bucket + 1)? as usize;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.ids.get(middle).cmp(&id) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(middle),
                Ordering::Greater => high = middle,
            }
        }
        None
    }
}

impl RowNumbers {
    /// Ids in local order, at most [`MOST_ROWS`]. `Err` holds two local rows with the same id.
    pub fn new(ids: Ids) -> Result<RowNumbers, (usize, usize)> {
        if ids.iter().enumerate().all(|(row, id)| id == row as i64) {
            return Ok(RowNumbers::Identity(ids.len()));
        }
        if ids.iter().is_sorted_by(|a, b| a < b) {
            return Ok(RowNumbers::Ascending(Ascending::new(ids)));
        }
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        // Of equal ids the first row first.
        order.sort_unstable_by_key(|row| (ids.get(*row as usize), *row));
        for pair in order.windows(2) {
            let [a, b] = [pair[0] as usize, pair[1] as usize];
            if ids.get(a) == ids.get(b) {
                return Err((a, b));
            }
        }
        Ok(RowNumbers::Permuted { ids, order })
    }

    pub fn len(&self) -> usize {
        match self {
            RowNumbers::Identity(rows) => *rows,
            RowNumbers::Ascending(Ascending { ids, .. }) | RowNumbers::Permuted { ids, .. } => ids.len(),
        }
    }

    /// The id of a local row.
    pub fn number(&self, row: usize) -> i64 {
        match self {
            RowNumbers::Identity(_) => row as i64,
            RowNumbers::Ascending(Ascending { ids, .. }) | RowNumbers::Permuted { ids, .. } => ids.get(row),
        }
    }

    /// The local row of an id.
    pub fn local(&self, id: i64) -> Option<usize> {
        match self {
            RowNumbers::Identity(rows) => usize::try_from(id).ok().filter(|row| row < rows),
            RowNumbers::Ascending(ascending) => ascending.local(id),
            RowNumbers::Permuted { ids, order } => {
                let found = order.binary_search_by_key(&id, |row| ids.get(*row as usize)).ok()?;
                Some(order[found] as usize)
            }
        }
    }

    /// A number for an id that grows with its local row: the id itself where ids increase. `None` for ids of no row, as
    /// far as that is known without a search.
    pub fn rank(&self, id: i64) -> Option<i64> {
        match self {
            RowNumbers::Permuted { .. } => self.local(id).map(|row| row as i64),
            _ => Some(id),
        }
    }

    /// The local row of a rank.
    pub fn row_of_rank(&self, rank: i64) -> Option<usize> {
        match self {
            RowNumbers::Ascending(ascending) => ascending.local(rank),
            _ => usize::try_from(rank).ok().filter(|row| *row < self.len()),
        }
    }

    /// The rank of a local row, which may be one past the last.
    pub fn rank_of_row(&self, row: usize) -> i64 {
        match self {
            RowNumbers::Ascending(Ascending { ids, .. }) if row < ids.len() => ids.get(row),
            RowNumbers::Ascending(_) => i64::MAX,
            _ => row as i64,
        }
    }
}

/// The distinct ids of a stream, from 0 on. Memory is in proportion to their number, and never more than all ids of the stream take
/// in 4 bytes, those from 2³² on in 8.
pub(crate) fn distinct(ids: impl Iterator<Item = i64> + Clone) -> Ids {
    let low = sorted(ids.clone().filter_map(|id| u32::try_from(id).ok()));
    let high = sorted(ids.filter(|id| u32::try_from(*id).is_err()));
    Ids::Collected { low, high }
}

/// The distinct values of a stream, sorted.
fn sorted<T: Copy + Ord>(values: impl Iterator<Item = T> + Clone) -> Vec<T> {
    let mut found = Vec::new();
    let tidy = |found: &mut Vec<T>| {
        found.sort_unstable();
        found.dedup();
    };
    let count = values.clone().count();
    for (at, value) in values.enumerate() {
        if found.len() == found.capacity() {
            tidy(&mut found);
            // As many again, or as many as are still to come.
            found.reserve_exact(found.len().max(1 << 16).min(count - at));
        }
        found.push(value);
    }
    tidy(&mut found);
    found.shrink_to_fit();
    found
}

/// The order of the records by step, then local row: nothing where the file has that order, else 4 (8) bytes a record.
#[derive(Debug, Clone)]
enum Order {
    Sorted,
    Narrow(Vec<u32>),
    Wide(Vec<u64>),
}

/// The records of the sparse form in the order of their visit.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    step: Array,
    id: Array,
    len: usize,
    order: Order,
}

impl Records {
    /// Orders the records. Every id must be known to `rows`; `Err` holds two records of one step and row.
    pub fn new(step: Array, id: Array, rows: &RowNumbers) -> Result<Records, (usize, usize)> {
        let len = step.len();
        let mut records = Records { step, id, len, order: Order::Sorted };
        let sorted = (1..len).all(|at| records.key(at - 1, rows) < records.key(at, rows));
        if !sorted {
            records.order = match u32::try_from(len) {
                Ok(count) => {
                    let mut order: Vec<u32> = (0..count).collect();
                    order.sort_unstable_by_key(|record| records.key_of(*record as usize, rows));
                    Order::Narrow(order)
                }
                Err(_) => {
                    let mut order: Vec<u64> = (0..len as u64).collect();
                    order.sort_unstable_by_key(|record| records.key_of(*record as usize, rows));
                    Order::Wide(order)
                }
            };
            for at in 1..len {
                if records.key(at - 1, rows) == records.key(at, rows) {
                    let (a, b) = (records.record(at - 1), records.record(at));
                    return Err((a.min(b), a.max(b)));
                }
            }
        }
        Ok(records)
    }

    pub fn len(&self) -> usize {
        self.len
    }

    fn key_of(&self, record: usize, rows: &RowNumbers) -> (i64, i64) {
        (self.step.integer(record), rows.rank(self.id.integer(record)).unwrap_or(i64::MAX))
    }

    fn key(&self, at: usize, rows: &RowNumbers) -> (i64, i64) {
        self.key_of(self.record(at), rows)
    }

    /// The key that a record of this step and local row would have; `row` may be one past the last.
    fn target(step: usize, row: usize, rows: &RowNumbers) -> (i64, i64) {
        (step as i64, rows.rank_of_row(row))
    }

    /// The place in the arrays of the record visited at `at`.
    fn record(&self, at: usize) -> usize {
        match &self.order {
            Order::Sorted => at,
            Order::Narrow(order) => order[at] as usize,
            Order::Wide(order) => order[at] as usize,
        }
    }

    /// The record of a step and a local row.
    pub fn find(&self, step: usize, row: usize, rows: &RowNumbers) -> Option<usize> {
        let target = Records::target(step, row, rows);
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.key(middle, rows).cmp(&target) {
                Ordering::Less => low = middle + 1,
                Ordering::Equal => return Some(self.record(middle)),
                Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// The first visit from `from` on that is not before `target`: steps that double, then bisection between the last two.
    fn seek(&self, from: usize, target: (i64, i64), rows: &RowNumbers) -> usize {
        let (mut low, mut stride) = (from, 1);
        while low < self.len && self.key(low, rows) < target {
            let next = (low + stride).min(self.len);
            if next < self.len && self.key(next, rows) < target {
                low = next;
                stride *= 2;
                continue;
            }
            let (mut below, mut above) = (low, next);
            while above - below > 1 {
                let middle = below + (above - below) / 2;
                if self.key(middle, rows) < target {
                    below = middle
                } else {
                    above = middle
                }
            }
            return above;
        }
        low
    }

    /// Whether there is a record of a step and a local row, asked for in increasing order from `at` = 0 on.
    pub fn has(&self, at: &mut usize, step: usize, row: usize, rows: &RowNumbers) -> bool {
        let target = Records::target(step, row, rows);
        *at = self.seek(*at, target, rows);
        *at < self.len && self.key(*at, rows) == target
    }

    /// Visits (record, step, local row) for all rows of the range, by step, then row.
    pub fn for_each<E>(
        &self,
        range: &Range<usize>,
        rows: &RowNumbers,
        mut visit: impl FnMut(usize, usize, usize) -> Result<(), E>,
    ) -> Result<(), E> {
        let whole = range.start == 0 && range.end >= rows.len();
        let mut at = 0;
        while at < self.len {
            let record = self.record(at);
            let step = self.step.integer(record) as usize;
            let Some(row) = rows.local(self.id.integer(record)) else {
                at += 1;
                continue;
            };
            if whole || range.contains(&row) {
                visit(record, step, row)?;
                at += 1;
            } else if row < range.start {
                at = self.seek(at, Records::target(step, range.start, rows), rows);
            } else {
                at = self.seek(at, Records::target(step + 1, range.start, rows), rows);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(ids: &[i64]) -> Ids {
        Ids::Stored(Array::from_i64(&[ids.len()], ids))
    }

    #[test]
    fn row_numbers_are_found_in_every_order() {
        let far = vec![0, 1, 2, 1 << 40, i64::MAX - 1, i64::MAX];
        let near: Vec<i64> = (10..500).map(|id| 3 * id).collect();
        for ids in [vec![0, 1, 2], vec![3, 5, 9], vec![9, 3, 5], vec![], vec![5], far, near] {
            let mut forms = vec![stored(&ids)];
            if ids.is_sorted() {
                forms.push(distinct(ids.iter().copied()));
            }
            for form in forms {
                let rows = RowNumbers::new(form).unwrap();
                assert_eq!(rows.len(), ids.len());
                for (row, id) in ids.iter().enumerate() {
                    assert_eq!((rows.number(row), rows.local(*id)), (*id, Some(row)));
                    assert_eq!(rows.rank(*id), Some(rows.rank_of_row(row)));
                    assert_eq!(rows.row_of_rank(rows.rank_of_row(row)), Some(row));
                }
                for absent in [7, -1, i64::MIN, i64::MAX - 2] {
                    assert_eq!(rows.local(absent), None);
                }
            }
        }
        assert_eq!(RowNumbers::new(stored(&[4, 1, 4])).unwrap_err(), (0, 2));
        assert_eq!(RowNumbers::new(stored(&[4, 4])).unwrap_err(), (0, 1));
    }

    #[test]
    fn distinct_ids_are_sorted_and_few() {
        let of = |ids: &[i64]| distinct(ids.iter().copied()).iter().collect::<Vec<_>>();
        assert_eq!(distinct((0..1_000_000).map(|i| (i * 7919) % 5)).iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert_eq!(of(&[]), [0_i64; 0]);
        let edge = i64::from(u32::MAX);
        assert_eq!(of(&[i64::MAX, edge + 1, 3, edge, edge + 1, 0]), [0, 3, edge, edge + 1, i64::MAX]);
        let Ids::Collected { low, high } = distinct((0..300_000).rev().chain(0..200_000)) else {
            unreachable!()
        };
        assert!(low.iter().copied().eq(0..300_000) && high.is_empty(), "{} values", low.len());
        assert!(low.capacity() < 2 * low.len());
    }

    proptest! {
        #[test]
        fn records_come_by_step_then_row(
            keys in proptest::collection::btree_set((0..6_i64, 0..12_i64), 0..40),
            shuffle in any::<u64>(),
            order in 0..3,
            ends in (0..14_usize, 0..14_usize),
        ) {
            let mut keys: Vec<_> = keys.into_iter().collect();
            if order > 0 {
                keys.sort_by_key(|key| (key.0 * 31 + key.1).wrapping_mul(shuffle as i64 | 1));
            }
            let mut ids: Vec<i64> = distinct(keys.iter().map(|key| key.1)).iter().collect();
            if order > 1 {
                ids.reverse();
            }
            let rows = RowNumbers::new(stored(&ids)).unwrap();
            let columns = |pick: fn(&(i64, i64)) -> i64| {
                Array::from_i64(&[keys.len()], &keys.iter().map(pick).collect::<Vec<_>>())
            };
            let records = Records::new(columns(|key| key.0), columns(|key| key.1), &rows).unwrap();
            let range = ends.0..ends.1;
            let mut seen = Vec::new();
            records.for_each::<()>(&range, &rows, |record, step, row| {
                assert_eq!(keys[record], (step as i64, rows.number(row)));
                assert_eq!(records.find(step, row, &rows), Some(record));
                seen.push((step, row));
                Ok(())
            }).unwrap();
            let local = |key: &(i64, i64)| (key.0 as usize, rows.local(key.1).unwrap());
            let mut expected: Vec<_> = keys.iter().map(local).filter(|key| range.contains(&key.1)).collect();
            expected.sort();
            prop_assert_eq!(seen, expected);
            let mut at = 0;
            for (step, row) in (0..6).flat_map(|step| (0..rows.len()).map(move |row| (step, row))) {
                prop_assert_eq!(records.has(&mut at, step, row, &rows), records.find(step, row, &rows).is_some());
            }
            prop_assert_eq!(records.find(9, 0, &rows), None);
        }
    }
}
