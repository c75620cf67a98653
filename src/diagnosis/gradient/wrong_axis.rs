//! Columns are normalised instead of rows, as `normalize(x, dim=0)` does: z_rk = q_rk/‖q_·k‖ over the rows of a batch. The
//! loss does not change when a column is stretched, so Σ_r q_rk g_rk = 0 for every column and step, while ⟨q_r,g_r⟩ ≠ 0.

use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct WrongAxis;

const ABOUT: About = About {
    name: "wrong-normalisation-axis",
    meaning: "the lengths of columns over the batch are divided out, those of embeddings are not: the similarity is no cosine",
    advice: Some(&advice::NORMALISE_ROWS),
    accuses: true,
};

impl Cause for WrongAxis {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let columns = &case.leaks.columns;
        // With one column, columns and the whole table are the same.
        // Where all rows are equal, sums over columns vanish with those of gradients.
        let others = case.leaks.translation.fails() && case.leaks.directions.fails();
        (case.tower.dim() > 1 && columns.holds() && others).then(|| {
            Found::new(
                "The wrong axis is normalised: columns over the batch (dim=0) instead of rows (each embedding)",
                format!(
                    "Σ_r q_rk·g_rk vanishes in all {} columns of {} steps, while ⟨q_r,g_r⟩ does not",
                    columns.judged, case.leaks.steps
                ),
            )
        })
    }
}
