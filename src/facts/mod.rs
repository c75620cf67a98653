//! Facts: what one pass over a trajectory gathers for all claims together.
//!
//! For every recorded (step, row) the inner products are computed once ([`RecordFacts`]); every claim turns them into a
//! residual and an allowance ([`Measured`]), and what is kept ([`Tally`], [`RowSummary`]) merges exactly and in any order:
//! counts, maxima with their place, fixed-bin histograms, exact sums. A file audited in pieces, split by rows, gives the
//! same facts bit for bit.

mod context;
mod exact;
mod gather;
mod histogram;
mod motion;
mod products;
mod survey;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use context::{
    Context, EXPLAINED, Encoding, GRADIENT_DERIVATION, GROWTH_DERIVATION, MEASURED, Momentum, Rates, Replay,
    UPDATE_DERIVATION,
};
pub use exact::ExactSum;
pub use gather::{Follow, Measure, Start, Watched, gather, gather_rows};
pub use histogram::Histogram;
pub use motion::{Motion, MotionQuantiles, SHARES, StepMotion, motion, motion_in};
pub(crate) use survey::upstream;
pub use survey::{FACTOR_ERROR, Survey, describe, survey};

use crate::trajectory::Record;
use crate::verdict::{Angles, Observation, Observed, Place};

/// The inner products of one (step, row), with Δq = q' − q.
#[derive(Debug, Clone, Copy)]
pub struct RecordFacts<'a> {
    /// The record itself.
    pub record: &'a Record<'a>,
    /// ‖q‖.
    pub norm: f64,
    /// ‖q'‖.
    pub next_norm: f64,
    /// ‖Δq‖.
    pub step_norm: f64,
    /// ⟨q, Δq⟩.
    pub radial_step: f64,
    /// ‖q'‖² − ‖q‖² = ⟨Δq, q + q'⟩, computed from the difference.
    pub growth: f64,
    /// ‖g‖, None where no gradient is recorded.
    pub gradient_norm: Option<f64>,
    /// ⟨q, g⟩.
    pub radial_gradient: f64,
}

impl RecordFacts<'_> {
    /// Whether the row moved.
    pub fn moved(&self) -> bool {
        self.record.q != self.record.q_next
    }
    /// How many lookups of the row the step had; one where that was not recorded.
    pub fn multiplicity(&self) -> usize {
        self.record.lookups.map_or(1, |lookups| lookups.max(1) as usize)
    }
    /// The place in the trajectory.
    pub fn place(&self) -> Place {
        Place { step: self.record.step as u64, row: self.record.row as u64 }
    }
}

/// What a claim says about one record.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    /// The residual, in the units of `allowed`.
    pub residual: f64,
    /// What rounding can explain.
    pub allowed: f64,
    /// The size that the residual would have if the claim were plainly false: where it is below `allowed`, the record
    /// cannot show anything.
    pub signal: f64,
    /// How many times `allowed` may still be cancellation noise (1 where the scale of the cancelling terms is known).
    pub amplification: f64,
    /// The cosine between the embedding and the judged vector, and that vector's squared norm, where there is one.
    pub angle: Option<(f64, f64)>,
}

impl Measured {
    /// A residual against an allowance.
    pub fn new(residual: f64, allowed: f64, signal: f64) -> Self {
        Measured { residual, allowed, signal, amplification: 1.0, angle: None }
    }
}

/// The record with the largest residual relative to its allowance.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// The residual.
    pub residual: f64,
    /// Its allowance.
    pub allowed: f64,
    /// Step of the record.
    pub step: u64,
    /// Row of the record.
    pub row: u64,
}

impl Worst {
    /// The residual in units of its allowance.
    pub fn margin(&self) -> f64 {
        match self.allowed > 0.0 {
            true => self.residual / self.allowed,
            false if self.residual > 0.0 => f64::INFINITY,
            false => 0.0,
        }
    }
    /// The larger margin; of equal ones the earlier place, so that the order of merging does not matter.
    fn worse(self, other: Self) -> Self {
        let key = |worst: &Worst| (worst.step, worst.row);
        match self.margin().total_cmp(&other.margin()) {
            std::cmp::Ordering::Greater => self,
            std::cmp::Ordering::Less => other,
            std::cmp::Ordering::Equal if key(&self) <= key(&other) => self,
            std::cmp::Ordering::Equal => other,
        }
    }
}

/// What is kept of one claim's measurements.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tally {
    /// Records judged.
    pub judged: u64,
    /// Of these, records where a plain violation would exceed the allowance.
    pub resolvable: u64,
    /// Records beyond their allowance, cancellation noise included.
    pub broken: u64,
    /// Records beyond their allowance that cancellation noise could explain.
    pub explicable: u64,
    /// The worst record.
    pub worst: Option<Worst>,
    /// The earliest broken record.
    pub first: Option<(u64, u64)>,
    /// Rows whose first broken record had exactly one lookup, several, or none.
    pub first_by_lookups: FirstBreaks,
    radial_energy: ExactSum,
    energy: ExactSum,
    touched: Histogram,
    untouched: Histogram,
    floor: Histogram,
    smallest_gradient: Option<f64>,
}

/// Rows by how often they were looked up in the step where they first broke.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FirstBreaks {
    /// Not looked up.
    pub none: u64,
    /// Once.
    pub once: u64,
    /// More than once.
    pub several: u64,
    /// Unknown.
    pub unknown: u64,
    /// The earliest (step, row) with several lookups.
    pub several_at: Option<(u64, u64)>,
}

fn least<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b < a { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// What a thread judges while something runs on it.
#[cfg(test)]
pub(crate) mod written {
    use std::cell::RefCell;

    use super::Measured;

    thread_local! {
        static WRITTEN: RefCell<Option<Vec<Measured>>> = const { RefCell::new(None) };
    }

    pub fn while_running<T>(run: impl FnOnce() -> T) -> (T, Vec<Measured>) {
        WRITTEN.set(Some(Vec::new()));
        let result = run();
        (result, WRITTEN.take().unwrap_or_default())
    }

    pub(super) fn down(measured: &Measured) {
        WRITTEN.with_borrow_mut(|written| written.iter_mut().for_each(|written| written.push(*measured)));
    }
}

impl Tally {
    /// Judges one residual at a place, such as one that no record of a run stands behind.
    pub fn judge(&mut self, place: Place, measured: &Measured) -> bool {
        #[cfg(test)]
        written::down(measured);
        // Where the bound itself left the finite numbers nothing can be told.
        if !measured.allowed.is_finite() {
            return false;
        }
        self.judged += 1;
        self.resolvable += u64::from(measured.signal > measured.allowed);
        // Written so that a residual that is not a number breaks.
        let within = measured.residual <= measured.allowed;
        let explicable = !within && measured.residual <= measured.allowed * measured.amplification;
        self.explicable += u64::from(explicable);
        let broken = !within && !explicable;
        if broken {
            self.broken += 1;
            self.first = least(self.first, Some((place.step, place.row)));
        }
        let residual = if measured.residual.is_nan() {
            f64::INFINITY
        } else {
            measured.residual
        };
        let here = Worst { residual, allowed: measured.allowed, step: place.step, row: place.row };
        self.worst = Some(self.worst.map_or(here, |worst| worst.worse(here)));
        broken
    }

    /// Adds one measurement of a record. `first_of_row` says that the row had not broken before.
    pub fn add(&mut self, facts: &RecordFacts<'_>, measured: &Measured, first_of_row: bool) -> bool {
        let place = facts.place();
        let broken = self.judge(place, measured);
        if broken && first_of_row {
            self.first_by_lookups.add(facts.record.lookups, (place.step, place.row));
        }
        if let Some((cosine, energy)) = measured.angle {
            self.radial_energy.add(cosine * cosine * energy);
            self.energy.add(energy);
            if facts.record.lookups == Some(0) {
                &mut self.untouched
            } else {
                &mut self.touched
            }
            .add(cosine);
            if measured.signal > 0.0 {
                self.floor.add((measured.allowed / measured.signal).min(1.0));
            }
        }
        if let Some(norm) = facts.gradient_norm.filter(|&norm| norm > 0.0) {
            self.smallest_gradient = least(self.smallest_gradient, Some(norm));
        }
        broken
    }

    /// Adds the tally of other rows.
    pub fn merge(&mut self, other: &Self) {
        self.judged += other.judged;
        self.resolvable += other.resolvable;
        self.broken += other.broken;
        self.explicable += other.explicable;
        self.worst = match (self.worst, other.worst) {
            (Some(a), Some(b)) => Some(a.worse(b)),
            (a, b) => a.or(b),
        };
        self.first = least(self.first, other.first);
        self.first_by_lookups.merge(&other.first_by_lookups);
        self.radial_energy.merge(&other.radial_energy);
        self.energy.merge(&other.energy);
        self.touched.merge(&other.touched);
        self.untouched.merge(&other.untouched);
        self.floor.merge(&other.floor);
        self.smallest_gradient = least(self.smallest_gradient, other.smallest_gradient);
    }

    /// √(Σ⟨q̂,v⟩²/Σ‖v‖²) over the judged vectors.
    pub fn leak(&self) -> Option<f64> {
        let energy = self.energy.value();
        (energy > 0.0).then(|| (self.radial_energy.value() / energy).sqrt().min(1.0))
    }

    /// The observation that follows: broken beats inconclusive, and nothing resolvable judged is inconclusive.
    pub fn observe(&self, derivation: &str, nothing: &str) -> Observation {
        let (observed, note) = if self.broken > 0 {
            (Observed::Breaks, format!("{} of {} judged exceed what rounding allows", self.broken, self.judged))
        } else if self.judged == 0 {
            (Observed::Inconclusive, nothing.to_string())
        } else if self.explicable > 0 {
            let note = format!("{} residuals are beyond plain rounding but within cancellation noise", self.explicable);
            (Observed::Inconclusive, note)
        } else if self.resolvable == 0 {
            (Observed::Inconclusive, "rounding is as large as what would have to be seen".to_string())
        } else {
            (Observed::Holds, String::new())
        };
        Observation {
            observed,
            residual: self.worst.map(|worst| worst.residual),
            allowed: self.worst.map(|worst| worst.allowed),
            derivation: derivation.to_string(),
            leak: self.leak(),
            angles: (self.energy.value() > 0.0).then(|| Angles {
                touched: self.touched.quantiles(),
                untouched: self.untouched.quantiles(),
                rounding_floor: self.floor.quantile(0.5),
            }),
            place: self.worst.map(|worst| Place { step: worst.step, row: worst.row }),
            judged: self.judged,
            smallest_gradient: self.smallest_gradient,
            note,
        }
    }
}

impl FirstBreaks {
    fn add(&mut self, lookups: Option<u32>, place: (u64, u64)) {
        match lookups {
            None => self.unknown += 1,
            Some(0) => self.none += 1,
            Some(1) => self.once += 1,
            Some(_) => {
                self.several += 1;
                self.several_at = least(self.several_at, Some(place));
            }
        }
    }
    fn merge(&mut self, other: &Self) {
        self.none += other.none;
        self.once += other.once;
        self.several += other.several;
        self.unknown += other.unknown;
        self.several_at = least(self.several_at, other.several_at);
    }
}

/// A row's whole history, as the laws of growth see it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct RowSummary {
    /// Lookups in all steps.
    pub lookups: u64,
    /// Steps with a non-zero gradient.
    pub touches: u64,
    /// Whether the row ever moved.
    pub moved: bool,
    /// ‖q‖⁴ before the first step.
    pub initial: f64,
    /// ‖q‖⁴ after the last step.
    pub last: f64,
    /// A_T = 2·Σ η_t²s_t², s = ‖q‖‖g‖ (0 where the rate is unknown).
    pub displacement: f64,
    /// The largest of its terms.
    pub largest: f64,
    /// Σ s_t².
    pub spherical_energy: f64,
    /// What rounding can have changed in ‖q‖⁴.
    pub slack: f64,
}

/// Everything that one pass keeps of a tower.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// Records seen.
    pub records: u64,
    /// Records that moved.
    pub moved: u64,
    /// Moved records of rows that were not looked up.
    pub moved_untouched: u64,
    /// Each watched claim's tally, by its id.
    pub tallies: BTreeMap<String, Tally>,
    /// Each row's summary.
    pub rows: BTreeMap<u64, RowSummary>,
}

impl Facts {
    /// Adds the facts of other rows of the same tower.
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.moved += other.moved;
        self.moved_untouched += other.moved_untouched;
        for (id, tally) in &other.tallies {
            self.tallies.entry(id.clone()).or_default().merge(tally);
        }
        self.rows.extend(&other.rows);
    }

    /// A claim's tally (empty if it was not watched).
    pub fn tally(&self, id: &str) -> Tally {
        self.tallies.get(id).cloned().unwrap_or_default()
    }
}
