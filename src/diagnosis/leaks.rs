//! What the gradients of a run look like where they are not orthogonal to their rows: one pass, bounded memory.
//!
//! ```text
//! per step   Σ_r q_rk g_rk (each column k)    Σ_r ⟨q_r,g_r⟩    Σ_r g_r    Σ_r ‖q_r‖ g_r
//! per record ⟨q,g⟩, what rounding allows of it, ‖q‖, ‖g‖
//! ```

use super::balance::Balance;
use crate::error::Result;
use crate::facts::{Context, RecordFacts};
use crate::geometry::{dot, norm_f64};
use crate::trajectory::Tower;

/// Steps whose sums are kept.
const STEPS: usize = 512;
/// Records that are kept.
const RECORDS: usize = 20_000;

/// One record's leak.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leak {
    /// The row.
    pub row: usize,
    /// Lookups, where recorded.
    pub lookups: Option<u32>,
    /// ‖q‖.
    pub norm: f64,
    /// ‖g‖.
    pub gradient: f64,
    /// ⟨q,g⟩.
    pub radial: f64,
    /// What rounding allows of it.
    pub allowed: f64,
    /// How many times `allowed` cancellation may still explain.
    pub amplification: f64,
}

impl Leak {
    /// Whether the gradient is plainly not orthogonal.
    pub fn leaks(&self) -> bool {
        self.radial.abs() > self.allowed * self.amplification
    }
    /// Whether the gradient is orthogonal, and could be seen not to be.
    pub fn is_clean(&self) -> bool {
        self.radial.abs() <= self.allowed && self.norm * self.gradient > 2.0 * self.allowed
    }
}

/// The leaks of a tower.
#[derive(Debug, Clone, Default)]
pub(super) struct Leaks {
    /// A sample of the records with a gradient.
    pub records: Vec<Leak>,
    /// Σ_r q_rk g_rk = 0 for every column: columns are normalised.
    pub columns: Balance,
    /// Σ_r ⟨q_r,g_r⟩ = 0: all rows together are normalised, or enter another length that is.
    pub joint: Balance,
    /// Σ_r g_r = 0: the loss does not change when the same vector is added to every row.
    pub translation: Balance,
    /// Σ_r ‖q_r‖ g_r = 0: the same for the directions, lengths held constant.
    pub directions: Balance,
    /// Records with a gradient that nobody looked up, and how many of their gradients are parallel to their rows.
    pub unasked: (u64, u64),
    /// Steps that were looked at.
    pub steps: usize,
}

/// Sums over one step.
struct Sums {
    step: usize,
    rows: usize,
    columns: Vec<f64>,
    column_squares: Vec<f64>,
    column_sizes: Vec<f64>,
    joint: f64,
    joint_squares: f64,
    norms: f64,
    translation: Vec<f64>,
    translation_squares: f64,
    directions: Vec<f64>,
    directions_squares: f64,
}

impl Sums {
    fn new(step: usize, dim: usize) -> Self {
        let zeros = || vec![0.0; dim];
        Sums {
            step,
            rows: 0,
            columns: zeros(),
            column_squares: zeros(),
            column_sizes: zeros(),
            joint: 0.0,
            joint_squares: 0.0,
            norms: 0.0,
            translation: zeros(),
            translation_squares: 0.0,
            directions: zeros(),
            directions_squares: 0.0,
        }
    }

    fn add(&mut self, q: &[f64], g: &[f64], norm: f64, radial: f64) {
        self.rows += 1;
        self.norms += norm;
        self.joint += radial;
        self.joint_squares += radial * radial;
        for (k, (q, g)) in q.iter().zip(g).enumerate() {
            self.columns[k] += q * g;
            self.column_squares[k] += (q * g) * (q * g);
            self.column_sizes[k] += q.abs();
            self.translation[k] += g;
            self.translation_squares += g * g;
            self.directions[k] += norm * g;
            self.directions_squares += (norm * g) * (norm * g);
        }
    }
}

impl Leaks {
    /// One pass over a tower.
    ///
    /// # Errors
    /// What [`Tower::for_each`] finds unreadable.
    pub fn of(tower: &Tower<'_>, context: &Context) -> Result<Leaks> {
        let dim = tower.dim();
        let stride = tower.steps().div_ceil(STEPS);
        let mut sums: Vec<Sums> = (0..tower.steps()).step_by(stride).map(|step| Sums::new(step, dim)).collect();
        let mut leaks = Leaks { steps: sums.len(), ..Leaks::default() };
        // Every `every`-th record is kept, a power of two that doubles when the sample is full.
        let (mut every, mut seen) = (1_usize, 0_usize);
        tower.for_each(0..tower.rows(), &mut |record| {
            if record.step % stride != 0 {
                return Ok(());
            }
            let Some(gradient) = record.grad.filter(|gradient| gradient.iter().any(|&g| g != 0.0)) else {
                return Ok(());
            };
            let (norm, radial, size) = (norm_f64(record.q), dot(record.q, gradient), norm_f64(gradient));
            sums[record.step / stride].add(record.q, gradient, norm, radial);
            if record.lookups == Some(0) {
                leaks.unasked.0 += 1;
                let parallel = radial.abs() >= norm * size * (1.0 - context.arithmetic.gradient.gamma(2 * dim + 10));
                leaks.unasked.1 += u64::from(parallel);
            }
            if seen % every == 0 {
                let facts = RecordFacts {
                    record,
                    norm,
                    next_norm: norm,
                    step_norm: 0.0,
                    radial_step: 0.0,
                    growth: 0.0,
                    gradient_norm: Some(size),
                    radial_gradient: radial,
                };
                let (allowed, amplification) = context.gradient_allowance(&facts);
                let (row, lookups) = (record.row, record.lookups);
                leaks.records.push(Leak { row, lookups, norm, gradient: size, radial, allowed, amplification });
                if leaks.records.len() > RECORDS {
                    let mut place = 0;
                    leaks.records.retain(|_| {
                        place += 1;
                        place % 2 == 1
                    });
                    every *= 2;
                }
            }
            seen += 1;
            Ok(())
        })?;
        for sums in &sums {
            leaks.balance(sums, context);
        }
        Ok(leaks)
    }

    /// What rounding allows of each sum: every entry of a gradient is known to within γ·max_row‖g‖, with the roundings of a
    /// normalisation over the rows in place of the coordinates where there are more of them.
    fn balance(&mut self, sums: &Sums, context: &Context) {
        let largest = context.largest_gradient.get(sums.step).copied().unwrap_or(0.0);
        let longest = context.dim.max(sums.rows);
        let error = largest
            * (context.arithmetic.accumulation.gamma(3 * longest + 10)
                + context.arithmetic.gradient.gamma(super::ELEMENTWISE + sums.rows));
        for k in 0..context.dim {
            let signal = sums.column_squares[k].sqrt();
            let allowed = error * sums.column_sizes[k] + context.own_check(sums.column_sizes[k] * largest);
            self.columns.add(sums.columns[k].abs(), allowed, signal, 1);
        }
        let own = context.own_check(sums.norms * largest);
        self.joint.add(sums.joint.abs(), error * sums.norms + own, sums.joint_squares.sqrt(), 1);
        let (rows, dim) = (sums.rows as f64, context.dim);
        let allowed = rows * error + context.own_check(rows * largest);
        self.translation.add(norm_f64(&sums.translation), allowed, sums.translation_squares.sqrt(), dim);
        self.directions
            .add(norm_f64(&sums.directions), error * sums.norms + own, sums.directions_squares.sqrt(), dim);
    }

    /// The records that decide: (leaking, clean).
    pub fn split(&self) -> (Vec<&Leak>, Vec<&Leak>) {
        (
            self.records.iter().filter(|leak| leak.leaks()).collect(),
            self.records.iter().filter(|leak| leak.is_clean()).collect(),
        )
    }
}

/// How many different rows are among the records.
pub(super) fn rows(leaks: &[&Leak]) -> usize {
    leaks.iter().map(|leak| leak.row).collect::<std::collections::BTreeSet<_>>().len()
}
