//! Rows that never move although gradients arrive at them, while the measured rule moves the others and would have moved these by
//! more than rounding hides.

use crate::diagnosis::{About, Case, Cause, Found};
use crate::geometry::norm_f64;

pub(super) struct FrozenRows;

const ABOUT: About = About {
    name: "frozen-rows",
    meaning: "gradients of these rows are dropped: their norms stay, whatever their popularity",
    advice: None,
    accuses: false,
};

impl Cause for FrozenRows {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        // Without memory the step follows from the gradient at hand; a momentum only adds to it.
        let fit = case.fit?;
        let rates = fit.rates();
        let (mut rows, mut records, mut first) = (Vec::new(), 0, None);
        for history in case.moved.rows.iter().filter(|history| history.still()) {
            let shown = history.visits.iter().filter(|visit| {
                let step = rates.at(visit.time) * norm_f64(&visit.gradient);
                // A step below half a unit in the last place of every coordinate is rounded away.
                step > 16.0 * visit.noise
            });
            let shown: Vec<usize> = shown.map(|visit| visit.time).collect();
            if let Some(&time) = shown.first() {
                first = first.or(Some((time, history.row)));
                rows.push(history.row);
                records += shown.len();
            }
        }
        let (step, row) = first?;
        let sampled = case.moved.rows.len();
        let number = |row: usize| case.tower.row_number(row);
        let some: Vec<String> = rows.iter().take(8).map(|row| number(*row).to_string()).collect();
        Some(Found::estimated(
            format!("{} rows are frozen: gradients arrive and nothing moves", rows.len()),
            rows.len() as f64,
            (rows.len() as f64, rows.len() as f64),
            format!(
                "{records} gradients of {} of the {sampled} rows looked at moved nothing, first at step {step}, row {}, where the rule of \
                 the others (rate {:.6}) moves a row visibly; rows {}{}",
                rows.len(),
                number(row),
                fit.lr.value,
                some.join(", "),
                if rows.len() > some.len() { ", …" } else { "" }
            ),
        ))
    }
}
