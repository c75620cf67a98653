//! A bounded sample of rows with their whole histories: what the causes in an update rule are fitted on.

use crate::error::Result;
use crate::facts::Survey;
use crate::geometry::norm_f64;
use crate::rounding::Precision;
use crate::trajectory::Tower;

/// Records that are kept, spread over the rows that ever had a gradient.
const RECORDS: usize = 6000;
/// Numbers that are kept: 64 MB.
const NUMBERS: usize = 1 << 23;
/// Records of one row that are kept, from the first on.
const OF_ONE_ROW: usize = 1000;

/// One record of a row.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    /// The step.
    pub time: usize,
    /// The row.
    pub row: usize,
    /// q before the step.
    pub q: Vec<f64>,
    /// q' − q.
    pub step: Vec<f64>,
    /// The gradient.
    pub gradient: Vec<f64>,
    /// How often the row was looked up, where recorded.
    pub lookups: Option<u32>,
    /// u·max(‖q‖,‖q'‖): what the rounding of the stored row can do to the step.
    pub noise: f64,
}

impl Visit {
    /// Whether the row was looked up or has a gradient.
    pub fn touched(&self) -> bool {
        self.lookups.is_some_and(|lookups| lookups > 0) || self.has_gradient()
    }
    /// Whether the gradient is not zero.
    pub fn has_gradient(&self) -> bool {
        self.gradient.iter().any(|&g| g != 0.0)
    }
    /// Whether several lookups may have been applied one by one.
    pub fn several(&self) -> bool {
        self.lookups.is_some_and(|lookups| lookups > 1)
    }
    /// Whether the row moved.
    pub fn moved(&self) -> bool {
        self.step.iter().any(|&x| x != 0.0)
    }
    /// q'.
    pub fn next(&self) -> Vec<f64> {
        self.q.iter().zip(&self.step).map(|(q, step)| q + step).collect()
    }
}

/// The records of one row, in the order of steps.
#[derive(Debug, Clone)]
pub(super) struct History {
    /// The row.
    pub row: usize,
    /// Its records.
    pub visits: Vec<Visit>,
}

impl History {
    /// Whether it never moved, gradients or not.
    pub fn still(&self) -> bool {
        !self.visits.iter().any(Visit::moved)
    }
}

/// Rows with their histories.
#[derive(Debug, Clone, Default)]
pub(super) struct Histories {
    /// The rows.
    pub rows: Vec<History>,
    /// d.
    pub dim: usize,
    /// T.
    pub steps: usize,
}

impl Histories {
    /// Samples the rows that had a gradient.
    ///
    /// # Errors
    /// What [`Tower::for_each`] finds unreadable.
    pub fn of(tower: &Tower<'_>, survey: &Survey, precision: Precision) -> Result<Histories> {
        let mut histories = Histories { rows: Vec::new(), dim: tower.dim(), steps: tower.steps() };
        if !tower.has_gradient() {
            return Ok(histories);
        }
        let unit = precision.unit_roundoff();
        let most = RECORDS.min(NUMBERS / (3 * tower.dim()));
        let mut kept = 0;
        // Rows that never had a gradient show nothing of the rule; the others have steps enough without one.
        for row in spread(survey.active.len()).map(|place| survey.active[place]) {
            if kept >= most {
                break;
            }
            let mut visits = Vec::new();
            tower.for_each(row..row + 1, &mut |record| {
                if visits.len() >= OF_ONE_ROW {
                    return Ok(());
                }
                let Some(gradient) = record.grad else { return Ok(()) };
                visits.push(Visit {
                    time: record.step,
                    row: record.row,
                    q: record.q.to_vec(),
                    step: record.q_next.iter().zip(record.q).map(|(next, q)| next - q).collect(),
                    gradient: gradient.to_vec(),
                    lookups: record.lookups,
                    noise: unit * norm_f64(record.q).max(norm_f64(record.q_next)),
                });
                Ok(())
            })?;
            kept += visits.len();
            histories.rows.push(History { row, visits });
        }
        Ok(histories)
    }

    /// All records, row by row.
    pub fn visits(&self) -> impl Iterator<Item = &Visit> {
        self.rows.iter().flat_map(|history| &history.visits)
    }

    /// The rows that moved at all. Rows that never move although a gradient arrives obey no rule that could be fitted.
    pub fn moving(&self) -> impl Iterator<Item = &History> {
        self.rows.iter().filter(|history| !history.still())
    }
}

/// All places, so that every beginning of the list is spread over the table: steps of the golden ratio, the nearest stride that
/// meets every row.
fn spread(rows: usize) -> impl Iterator<Item = usize> {
    let gcd = |mut a: usize, mut b: usize| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    let golden = (rows as f64 * 0.618_033_988_749_895) as usize;
    let stride = (golden.max(1)..).find(|&stride| gcd(stride, rows) == 1).unwrap_or(1);
    (0..rows).map(move |k| k * stride % rows)
}
