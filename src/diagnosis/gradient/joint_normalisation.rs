//! All rows of a batch are divided by one common length: the loss does not change when all rows are stretched together, so
//! Σ_r ⟨q_r,g_r⟩ = 0 in every step, but for no row by itself.

use crate::diagnosis::leaks::rows;
use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct JointNormalisation;

const ABOUT: About = About {
    name: "joint-normalisation",
    meaning: "one length for the whole batch is divided out; the lengths of single embeddings still enter the similarity",
    advice: Some(&advice::NORMALISE_ROWS),
    accuses: true,
};

impl Cause for JointNormalisation {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let (leaks, (leaking, clean)) = (case.leaks, case.leaks.split());
        let (unasked, parallel) = leaks.unasked;
        // Rows that enter the common length only have a gradient along themselves; a pool gives them another direction.
        let only_length = unasked == parallel;
        // A pool does not hold every row in every step: with hardly a clean row there is none. The leaks of a pool are ⟨q_r,h⟩ with
        // one h for all of its rows, and of no more rows than dimensions any leaks are.
        let everywhere = clean.len() * 100 <= leaking.len() && rows(&leaking) > case.tower.dim();
        let columns = case.tower.dim() == 1 || leaks.columns.fails();
        (leaks.joint.holds() && leaks.translation.fails() && columns && only_length && everywhere).then(|| {
            Found::new(
                "All embeddings of a batch are normalised jointly, by one common length",
                format!(
                    "Σ_r ⟨q_r,g_r⟩ vanishes in all {} steps judged, while {} of {} single gradients leak",
                    leaks.joint.judged,
                    leaking.len(),
                    leaking.len() + clean.len()
                ),
            )
        })
    }
}
