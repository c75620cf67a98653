//! The pass: rows in blocks, blocks on threads, steps in order within a block.

use std::ops::Range;

use rayon::prelude::*;

use super::products::{Products, SAFE, Wide, add_products, chunks, difference, sum, widen};
use super::{Context, Facts, Measured, RecordFacts, RowSummary, Tally};
use crate::error::Result;
use crate::geometry::norm_f64;
use crate::lanes::Lanes;
use crate::rounding::Precision;
use crate::simd::{self, Task};
use crate::trajectory::{Record, Tower};

/// Bytes of row state that one thread keeps at a time.
const STATE_BYTES: usize = 24 << 20;

/// A claim's way of measuring records.
pub enum Measure {
    /// A pure function of one record.
    Step(fn(&RecordFacts<'_>, &Context) -> Option<Measured>),
    /// A function of a row's whole history: the closure starts a follower for every row.
    Run(Start),
}

/// Starts a follower for one row.
pub type Start = Box<dyn Fn(&Context) -> Box<dyn Follow> + Sync>;

/// One claim's view of one row, record after record.
pub trait Follow: Send {
    /// Sees the next record of the row.
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured>;
}

/// A measure under the name of its tally.
pub struct Watched {
    /// The tally's name.
    pub id: String,
    /// How to measure.
    pub measure: Measure,
}

/// Gathers the facts of all rows of a tower in one pass.
///
/// # Errors
/// What [`Tower::for_each`] finds unreadable.
pub fn gather(tower: &Tower<'_>, context: &Context, watched: &[Watched]) -> Result<Facts> {
    // Per row and run claim: a handful of vectors of d numbers.
    let row_bytes = (watched.len() + 1) * (tower.dim() * 4 * size_of::<f64>() + 256);
    let block = (STATE_BYTES / row_bytes).max(1);
    let blocks: Vec<Range<usize>> =
        (0..tower.rows()).step_by(block).map(|start| start..(start + block).min(tower.rows())).collect();
    let mut parts = if blocks.len() <= 1 {
        blocks
            .into_iter()
            .map(|rows| gather_rows(tower, context, watched, rows))
            .collect::<Result<Vec<_>>>()?
    } else {
        blocks
            .into_par_iter()
            .map(|rows| gather_rows(tower, context, watched, rows))
            .collect::<Result<Vec<_>>>()?
    }
    .into_iter();
    let mut facts = parts.next().unwrap_or_default();
    parts.for_each(|part| facts.merge(&part));
    Ok(facts)
}

/// Gathers the facts of some rows; [`Facts::merge`] puts them together with those of other rows.
///
/// # Errors
/// As [`gather`].
pub fn gather_rows(tower: &Tower<'_>, context: &Context, watched: &[Watched], rows: Range<usize>) -> Result<Facts> {
    let mut facts = Facts::default();
    let mut tallies: Vec<Tally> = watched.iter().map(|_| Tally::default()).collect();
    let mut followers: Vec<Vec<Option<Box<dyn Follow>>>> =
        watched.iter().map(|_| rows.clone().map(|_| None).collect()).collect();
    let mut broken: Vec<Vec<bool>> = watched.iter().map(|_| vec![false; rows.len()]).collect();
    let mut summaries = vec![RowSummary::default(); rows.len()];
    let mut seen = vec![false; rows.len()];
    tower.for_each(rows.clone(), &mut |record| {
        let local = record.row - rows.start;
        let record_facts = inner_products(record);
        facts.records += 1;
        facts.moved += u64::from(record_facts.moved());
        facts.moved_untouched += u64::from(record_facts.moved() && record.lookups == Some(0));
        summaries[local].see(&record_facts, context, !seen[local]);
        seen[local] = true;
        for (claim, watch) in watched.iter().enumerate() {
            let measured = match &watch.measure {
                Measure::Step(measure) => measure(&record_facts, context),
                Measure::Run(start) => {
                    followers[claim][local].get_or_insert_with(|| start(context)).see(&record_facts, context)
                }
            };
            if let Some(measured) = measured {
                let first = !broken[claim][local];
                broken[claim][local] |= tallies[claim].add(&record_facts, &measured, first);
            }
        }
        Ok(())
    })?;
    facts.tallies = watched.iter().map(|watch| watch.id.clone()).zip(tallies).collect();
    facts.rows = rows
        .zip(summaries)
        .zip(seen)
        .filter(|(_, seen)| *seen)
        .map(|((row, s), _)| (row as u64, s))
        .collect();
    Ok(facts)
}

fn inner_products<'a>(record: &'a Record<'a>) -> RecordFacts<'a> {
    let products = simd::run(InnerProducts(record));
    let zeros = |row: &[f64]| row.iter().all(|x| *x == 0.0);
    let length = |square: f64, is_zero: &dyn Fn() -> bool, row: &dyn Fn() -> Vec<f64>| match SAFE.contains(&square) {
        true => square.sqrt(),
        // Most rows rest in most steps.
        false if is_zero() => 0.0,
        // Squares may have left the range of numbers.
        false => norm_f64(&row()),
    };
    let step = || record.q_next.iter().zip(record.q).map(|(next, q)| next - q).collect();
    RecordFacts {
        record,
        norm: length(products.before, &|| zeros(record.q), &|| record.q.to_vec()),
        next_norm: length(products.after, &|| zeros(record.q_next), &|| record.q_next.to_vec()),
        step_norm: length(products.step, &|| record.q == record.q_next, &step),
        radial_step: products.radial_step,
        growth: products.growth,
        gradient_norm: record
            .grad
            .map(|gradient| length(products.gradient, &|| zeros(gradient), &|| gradient.to_vec())),
        radial_gradient: products.radial_gradient,
    }
}

/// The inner products of a record, in double precision: no term passes more roundings than in a plain loop.
struct InnerProducts<'a>(&'a Record<'a>);

struct Sums {
    before: f64,
    after: f64,
    step: f64,
    radial_step: f64,
    growth: f64,
    gradient: f64,
    radial_gradient: f64,
}

impl Task for InnerProducts<'_> {
    type Output = Sums;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> Sums {
        let Products { before, after, step, radial } = Products::of(self.0.q, self.0.q_next, &mut [Wide::ZERO; 3]);
        let mut growth = Lanes::ZERO;
        let [mut wide_q, mut wide_next, mut wide_step, mut wide_sum] = [Wide::ZERO; 4];
        for (q, next) in chunks(self.0.q, self.0.q_next) {
            let (q, next) = (widen(q, &mut wide_q), widen(next, &mut wide_next));
            add_products(&mut growth, difference(q, next, &mut wide_step), sum(q, next, &mut wide_sum));
        }
        let (mut gradient, mut radial_gradient) = (Lanes::ZERO, Lanes::ZERO);
        if let Some(row) = self.0.grad {
            for (q, g) in chunks(self.0.q, row) {
                let (q, g) = (widen(q, &mut wide_q), widen(g, &mut wide_next));
                add_products(&mut gradient, g, g);
                add_products(&mut radial_gradient, q, g);
            }
        }
        Sums {
            before,
            after,
            step,
            radial_step: radial,
            growth: growth.total(),
            gradient: gradient.total(),
            radial_gradient: radial_gradient.total(),
        }
    }
}

impl RowSummary {
    /// Takes in the next record of the row.
    pub fn see(&mut self, facts: &RecordFacts<'_>, context: &Context, first: bool) {
        if first {
            self.initial = facts.norm.powi(4);
        }
        self.last = facts.next_norm.powi(4);
        self.lookups += u64::from(facts.record.lookups.unwrap_or(0));
        self.moved |= facts.moved();
        let Some(gradient) = facts.gradient_norm.filter(|&norm| norm > 0.0) else {
            return;
        };
        self.touches += 1;
        let spherical = facts.norm * gradient;
        self.spherical_energy += spherical * spherical;
        let Some(rate) = context.sgd_rate(facts.record.step) else {
            return;
        };
        let term = 2.0 * (rate * spherical).powi(2);
        self.displacement += term;
        self.largest = self.largest.max(term);
        let radial = rate * context.gradient_allowance(facts).0;
        let error = context.norm_squared_error(facts, rate * gradient, radial);
        // ‖q‖² may be off by `error`, ‖q‖⁴ = (‖q‖²)² by 2‖q‖²·error + error², and our own sums add their rounding.
        let largest = facts.norm.max(facts.next_norm).powi(2);
        // A fourth power of a norm carries γ_{2d+8}, a term 2(ηs)² γ_{2d+9}, the quotient of its square by a fourth power
        // γ_{6d+30}, and their sum a little more.
        let own = Precision::F64.gamma(6 * context.dim + 36) * (term + largest * largest);
        self.slack += 2.0 * largest * error + error * error + own;
    }
}
