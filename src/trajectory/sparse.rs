//! The sparse form: which rows the records belong to, and the order in which to visit them.

use std::cmp::Ordering;
use std::ops::Range;

use super::array::Array;

/// Which row of the table each local row is. Local rows count from 0.
#[derive(Debug, Clone)]
pub(crate) enum RowNumbers {
    /// Local rows are the table's rows.
    Identity(usize),
    /// Increasing ids.
    Ascending(Ascending),
    /// Ids in the order of the file, and the local rows in the order of their ids.
    Permuted { ids: Vec<i64>, order: Vec<u32> },
}

/// Increasing ids, found by a first guess from the leading bits: for evenly spread ids a search touches two places
/// instead of log₂ of their number.
#[derive(Debug, Clone)]
pub(crate) struct Ascending {
    ids: Vec<i64>,
    /// Ids whose distance from the first, shifted by this, is k stand from `buckets[k]` to `buckets[k + 1]`.
    shift: u32,
    buckets: Vec<u32>,
}

impl Ascending {
    fn new(ids: Vec<i64>) -> Ascending {
        let span = match ids.as_slice() {
            [first, .., last] => last.abs_diff(*first),
            _ => 0,
        };
        // At most one bucket for every sixteen ids: ids of four bytes in a file then take no more than about twice that here.
        let wanted = (ids.len() as u64 / 16).max(1);
        let shift = (u64::BITS - (span / wanted).leading_zeros()).min(63);
        let count = (span >> shift) as usize + 1;
        let mut buckets = Vec::with_capacity(count + 1);
        for (row, id) in ids.iter().enumerate() {
            let bucket = (id.abs_diff(ids[0]) >> shift) as usize;
            while buckets.len() <= bucket {
                buckets.push(row as u32);
            }
        }
        buckets.resize(count + 1, ids.len() as u32);
        Ascending { ids, shift, buckets }
    }

    fn local(&self, id: i64) -> Option<usize> {
        let distance = id.checked_sub(*self.ids.first()?).and_then(|distance| u64::try_from(distance).ok())?;
        let bucket = (distance >> self.shift) as usize;
        let start = *self.buckets.get(bucket)? as usize;
        let end = *self.buckets.get(bucket + 1)? as usize;
        self.ids[start..end].binary_search(&id).ok().map(|found| start + found)
    }
}

impl RowNumbers {
    /// Ids in local order. `Err` holds two local rows with the same id.
    pub fn new(ids: Vec<i64>) -> Result<RowNumbers, (usize, usize)> {
        if ids.iter().enumerate().all(|(row, id)| *id == row as i64) {
            return Ok(RowNumbers::Identity(ids.len()));
        }
        if ids.is_sorted_by(|a, b| a < b) {
            return Ok(RowNumbers::Ascending(Ascending::new(ids)));
        }
        let mut order: Vec<u32> = (0..ids.len() as u32).collect();
        order.sort_by_key(|row| ids[*row as usize]);
        for pair in order.windows(2) {
            if ids[pair[0] as usize] == ids[pair[1] as usize] {
                return Err((pair[0] as usize, pair[1] as usize));
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
            RowNumbers::Ascending(Ascending { ids, .. }) | RowNumbers::Permuted { ids, .. } => ids[row],
        }
    }

    /// The local row of an id.
    pub fn local(&self, id: i64) -> Option<usize> {
        match self {
            RowNumbers::Identity(rows) => usize::try_from(id).ok().filter(|row| row < rows),
            RowNumbers::Ascending(ascending) => ascending.local(id),
            RowNumbers::Permuted { ids, order } => {
                let found = order.binary_search_by_key(&id, |row| ids[*row as usize]).ok()?;
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

    /// The rank of a local row, which may be one past the last.
    pub fn rank_of_row(&self, row: usize) -> i64 {
        match self {
            RowNumbers::Ascending(ascending) => ascending.ids.get(row).copied().unwrap_or(i64::MAX),
            _ => row as i64,
        }
    }
}

/// The distinct values of a stream, sorted. Memory is in proportion to their number, and never more than all values take.
pub(crate) fn distinct(mut values: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut found = Vec::new();
    let tidy = |found: &mut Vec<i64>| {
        found.sort_unstable();
        found.dedup();
    };
    while let Some(value) = values.next() {
        if found.len() == found.capacity() {
            tidy(&mut found);
            // As many again, or as many as are still to come.
            let rest = values.size_hint().1.unwrap_or(usize::MAX).saturating_add(1);
            found.reserve_exact(found.len().max(1 << 16).min(rest));
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

    #[test]
    fn row_numbers_are_found_in_every_order() {
        let far = vec![0, 1, 2, 1 << 40, i64::MAX - 1, i64::MAX];
        let near: Vec<i64> = (10..500).map(|id| 3 * id).collect();
        for ids in [vec![0, 1, 2], vec![3, 5, 9], vec![9, 3, 5], vec![], vec![5], far, near] {
            let rows = RowNumbers::new(ids.clone()).unwrap();
            assert_eq!(rows.len(), ids.len());
            for (row, id) in ids.iter().enumerate() {
                assert_eq!((rows.number(row), rows.local(*id)), (*id, Some(row)));
            }
            for absent in [7, -1, i64::MIN, i64::MAX - 2] {
                assert_eq!(rows.local(absent), None);
            }
        }
        assert_eq!(RowNumbers::new(vec![4, 1, 4]).unwrap_err(), (0, 2));
        assert_eq!(RowNumbers::new(vec![4, 4]).unwrap_err(), (0, 1));
    }

    #[test]
    fn distinct_values_are_sorted_and_few() {
        assert_eq!(distinct((0..1_000_000).map(|i| (i * 7919) % 5)), [0, 1, 2, 3, 4]);
        assert_eq!(distinct(std::iter::empty()), [0_i64; 0]);
        let many = distinct((0..300_000).rev().chain(0..200_000));
        assert!(many.iter().copied().eq(0..300_000), "{} values", many.len());
        assert!(many.capacity() < 2 * many.len());
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
            let mut ids = distinct(keys.iter().map(|key| key.1));
            if order > 1 {
                ids.reverse();
            }
            let rows = RowNumbers::new(ids).unwrap();
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
            prop_assert_eq!(records.find(9, 0, &rows), None);
        }
    }
}
