//! From the slots of a batch to the rows of a table: the contributions of each row's slots are added up, in the order of
//! the slots, before the row moves once. No two threads touch the same row, and the sum does not depend on their number.

use std::ops::Range;

use super::element::Element;
use super::rows::{Similarity, leave};
use super::rule::{Mover, Optimizer, State};
use super::simd::{self, Task};
use super::team::{self, Team};
use super::{Blocking, Plant};

/// The slots of a batch, sorted by row and then by slot, and divided among threads by row.
#[derive(Default)]
pub(super) struct Plan {
    /// row·2³² + slot.
    keys: Vec<u64>,
    /// For each thread its rows of the table and its keys.
    shares: Vec<(Range<usize>, Range<usize>)>,
}

/// Number of buckets that rows are divided into before they are sorted: enough that a bucket fits into the first cache,
/// few enough that the ends of all of them do.
const BUCKETS: usize = 1024;

impl Plan {
    /// Sorts the slots: by range of rows into buckets, then each bucket by itself.
    pub(super) fn make(&mut self, team: &Team, ids: &[u32], rows: usize) {
        let width = rows.div_ceil(BUCKETS).next_power_of_two().trailing_zeros();
        let bucket = |id: u32| (id >> width) as usize;
        let buckets = bucket(rows as u32 - 1) + 1;
        let mut ends = vec![0usize; buckets];
        ids.iter().for_each(|&id| ends[bucket(id)] += 1);
        for k in 1..buckets {
            ends[k] += ends[k - 1];
        }
        self.keys.resize(ids.len(), 0);
        self.shares.clear();
        let (mut first_bucket, mut first_key, mut jobs) = (0, 0, Vec::new());
        for thread in 1..=team.threads() {
            let fair = ids.len() * thread / team.threads();
            let last = if thread == team.threads() {
                buckets
            } else {
                (ends.partition_point(|&end| end < fair) + 1).clamp(first_bucket, buckets)
            };
            let end_key = if last == 0 { 0 } else { ends[last - 1] };
            let share = (first_bucket << width).min(rows)..(last << width).min(rows);
            self.shares.push((share, first_key..end_key));
            jobs.push((first_bucket..last, first_key));
            (first_bucket, first_key) = (last, end_key);
        }
        let lengths = self.shares.iter().map(|(_, keys)| keys.len());
        let mut jobs: Vec<_> = jobs.into_iter().zip(team::split(&mut self.keys, lengths)).collect();
        team.each(&mut jobs, |((own, first_key), keys)| {
            let start = |k: usize| if k == 0 { 0 } else { ends[k - 1] } - *first_key;
            let mut next: Vec<usize> = own.clone().map(start).collect();
            for (slot, &id) in ids.iter().enumerate() {
                if own.contains(&bucket(id)) {
                    let place = &mut next[bucket(id) - own.start];
                    keys[*place] = u64::from(id) << 32 | slot as u64;
                    *place += 1;
                }
            }
            own.clone().for_each(|k| keys[start(k)..ends[k] - *first_key].sort_unstable());
        });
    }

    /// The rows in ascending order, each with its keys.
    fn runs(keys: &[u64]) -> Runs<'_> {
        Runs { keys }
    }
}

struct Runs<'a> {
    keys: &'a [u64],
}

impl<'a> Iterator for Runs<'a> {
    type Item = (usize, &'a [u64]);
    #[inline(always)]
    fn next(&mut self) -> Option<Self::Item> {
        let row = self.keys.first()? >> 32;
        let mut length = 1;
        while length < self.keys.len() && self.keys[length] >> 32 == row {
            length += 1;
        }
        let (run, rest) = self.keys.split_at(length);
        self.keys = rest;
        Some((row as usize, run))
    }
}

/// Where the contribution of a slot to ∂L/∂q̂ comes from.
#[derive(Clone, Copy)]
pub(super) enum Source<'a, E> {
    /// It is a row of a table `[slots, d]`.
    Rows(&'a [E]),
    /// It is a row of the sum of several tables `[slots, d]`.
    Sum(&'a [&'a [E]]),
    /// It is coefficient·û of the pair: `[B]` positives, then `[B, M]` negatives.
    Own {
        users: &'a [E],
        positives: &'a [E],
        negatives: &'a [E],
    },
    /// Positives as in `Own`, the other slots as in `Sum`.
    Mixed {
        users: &'a [E],
        positives: &'a [E],
        others: &'a [&'a [E]],
    },
}

impl<E: Element> Source<'_, E> {
    /// target += contribution.
    #[inline(always)]
    pub(super) fn add<const FMA: bool>(&self, slot: usize, target: &mut [E]) {
        match *self {
            Source::Rows(table) => add_row::<E, FMA>(target, E::ONE, table, slot),
            Source::Sum(tables) => {
                for table in tables {
                    add_row::<E, FMA>(target, E::ONE, table, slot);
                }
            }
            Source::Own { users, positives, negatives } => {
                if let Some(negative) = slot.checked_sub(positives.len()) {
                    // The quotient of two numbers below 2³²: a division of half the width is several times faster.
                    let own = (negatives.len() / positives.len()) as u32;
                    add_row::<E, FMA>(target, negatives[negative], users, (negative as u32 / own) as usize);
                } else {
                    add_row::<E, FMA>(target, positives[slot], users, slot);
                }
            }
            Source::Mixed { users, positives, others } => {
                if let Some(other) = slot.checked_sub(positives.len()) {
                    for table in others {
                        add_row::<E, FMA>(target, E::ONE, table, other);
                    }
                } else {
                    add_row::<E, FMA>(target, positives[slot], users, slot);
                }
            }
        }
    }
}

/// target += scale·table\[row\].
#[inline(always)]
fn add_row<E: Element, const FMA: bool>(target: &mut [E], scale: E, table: &[E], row: usize) {
    let dim = target.len();
    simd::add_scaled::<E, FMA>(target, scale, &table[row * dim..(row + 1) * dim]);
}

/// What it takes to move the rows of one table.
pub(super) struct Scatter<'a, E> {
    pub dim: usize,
    pub similarity: Similarity,
    pub plan: &'a Plan,
    pub source: Source<'a, E>,
    pub blocking: Blocking,
}

impl<E: Element> Scatter<'_, E> {
    /// The gradient of a row `[d]`, from its slots.
    #[inline(always)]
    fn gradient<const FMA: bool>(&self, q: &[E], run: &[u64], gradient: &mut [E]) {
        gradient.fill(E::ZERO);
        for key in run {
            self.source.add::<FMA>((key & u64::from(u32::MAX)) as usize, gradient);
        }
        leave::<E, FMA>(self.similarity, q, gradient);
    }

    /// Calls `see` with every row that has a slot, ascending, and its gradient.
    pub(super) fn each_row(&self, table: &[E], see: &mut dyn FnMut(usize, &[E])) {
        let mut gradient = vec![E::ZERO; self.dim];
        for (row, run) in Plan::runs(&self.plan.keys) {
            let q = &table[row * self.dim..(row + 1) * self.dim];
            simd::run(OneRow { scatter: self, q, run, gradient: &mut gradient });
            see(row, &gradient);
        }
    }

    /// Moves the rows of a table: those with a slot, or all of them where the optimizer says so.
    pub(super) fn apply(
        &self,
        team: &Team,
        table: &mut [E],
        state: &mut State<E>,
        optimizer: &Optimizer,
        time: u64,
        rate: f64,
    ) {
        let rows: Vec<usize> = self.plan.shares.iter().map(|(rows, _)| rows.len()).collect();
        let tables = team::split(table, rows.iter().map(|n| n * self.dim));
        let firsts = team::split(&mut state.first, rows.iter().map(|n| n * state.first_width));
        let seconds = team::split(&mut state.second, rows.iter().map(|n| n * state.second_width));
        let mut jobs: Vec<_> = self.plan.shares.iter().zip(tables).zip(firsts.into_iter().zip(seconds)).collect();
        let mover = Mover::new(optimizer, time, rate);
        team.each(&mut jobs, |(((rows, keys), table), (first, second))| {
            simd::run(Apply {
                scatter: self,
                mover: &mover,
                every_row: optimizer.visits_every_row(),
                start: rows.start,
                keys: &self.plan.keys[keys.clone()],
                table,
                first,
                second,
            });
        });
    }
}

struct OneRow<'a, 'b, E> {
    scatter: &'a Scatter<'b, E>,
    q: &'a [E],
    run: &'a [u64],
    gradient: &'a mut [E],
}

impl<E: Element> Task for OneRow<'_, '_, E> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        self.scatter.gradient::<FMA>(self.q, self.run, self.gradient);
    }
}

/// One thread's rows.
struct Apply<'a, 'b, E> {
    scatter: &'a Scatter<'b, E>,
    mover: &'a Mover<E>,
    every_row: bool,
    /// The first row of this thread; table and state begin there.
    start: usize,
    keys: &'a [u64],
    table: &'a mut [E],
    first: &'a mut [E],
    second: &'a mut [E],
}

impl<E: Element> Task for Apply<'_, '_, E> {
    type Output = ();
    // Loops and no closures: only what is inlined for certain is compiled for the chosen instructions.
    #[inline(always)]
    fn run<const FMA: bool>(mut self) {
        let dim = self.scatter.dim;
        let rows = self.table.len() / dim;
        let mut gradient = vec![E::ZERO; dim];
        let mut next = 0;
        for (row, run) in Plan::runs(self.keys) {
            let mut row = row - self.start;
            if self.every_row {
                while next < row {
                    self.visit::<FMA>(next, &[], &mut gradient);
                    next += 1;
                }
                next = row + 1;
            }
            if self.scatter.blocking.plants(Plant::WrongRow) {
                row = row.saturating_sub(1);
            }
            self.visit::<FMA>(row, run, &mut gradient);
        }
        while self.every_row && next < rows {
            self.visit::<FMA>(next, &[], &mut gradient);
            next += 1;
        }
    }
}

impl<E: Element> Apply<'_, '_, E> {
    /// Moves one row, counted from `start`.
    #[inline(always)]
    fn visit<const FMA: bool>(&mut self, row: usize, run: &[u64], gradient: &mut [E]) {
        let dim = self.scatter.dim;
        let rows = self.table.len() / dim;
        let (first, second) = (self.first.len() / rows, self.second.len() / rows);
        let q = &mut self.table[row * dim..(row + 1) * dim];
        if run.is_empty() {
            gradient.fill(E::ZERO);
        } else {
            self.scatter.gradient::<FMA>(q, run, gradient);
        }
        let first = &mut self.first[row * first..(row + 1) * first];
        let second = &mut self.second[row * second..(row + 1) * second];
        self.mover.apply::<FMA>(q, gradient, first, second);
    }
}
