//! A clamp max(‖q‖, ε) is active: below ε the normalisation is a division by a constant and gradients leak, from ε on they
//! are orthogonal. What decides is that a threshold of ‖q‖ separates the two: no gradient leaks above it, most do below.

use std::collections::BTreeSet;

use crate::diagnosis::balance::CERTAIN;
use crate::diagnosis::leaks::{Leak, rows as rows_of};
use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct EpsilonFloor;

const ABOUT: About = About {
    name: "epsilon-floor",
    meaning: "embeddings shorter than the floor are divided by it instead of by their norm: for them the similarity is an inner product",
    advice: Some(&advice::SMALLER_EPSILON),
    accuses: true,
};

impl Cause for EpsilonFloor {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let cosine = |leak: &Leak| leak.radial.abs() / (leak.norm * leak.gradient);
        let telling = case.leaks.records.iter().filter(|leak| leak.norm * leak.gradient > 2.0 * leak.allowed);
        let mut telling: Vec<&Leak> = telling.collect();
        telling.sort_by(|a, b| b.norm.total_cmp(&a.norm));
        // If lengths did not matter, rows above a threshold would have cosines below δ as often as those below it have: p. The
        // threshold at which that is least likely is the floor, if it is unlikely for every threshold that might have been.
        let mut sorted: Vec<f64> = Vec::new();
        let mut all: Vec<f64> = telling.iter().map(|leak| cosine(leak)).collect();
        all.sort_by(f64::total_cmp);
        let (mut worst, mut rows, mut best) = (0.0_f64, BTreeSet::new(), (0.0, 0));
        for (place, leak) in telling.iter().enumerate() {
            if leak.leaks() {
                break;
            }
            worst = worst.max(cosine(leak));
            sorted.push(cosine(leak));
            rows.insert(leak.row);
            let above = place + 1;
            let below = telling.len() - above;
            if below < above.min(8) {
                break;
            }
            let small = all.partition_point(|cosine| *cosine <= worst) - sorted.len();
            let share = (small as f64 + 1.0) / (below as f64 + 1.0);
            let surprise = -(rows.len() as f64) * share.ln() - (telling.len() as f64).ln();
            if surprise > best.0 {
                best = (surprise, above);
            }
        }
        let (surprise, above) = best;
        let (above, below) = telling.split_at(above);
        let leaking = below.iter().filter(|leak| leak.leaks()).count();
        if surprise < CERTAIN || 2 * leaking < below.len() {
            return None;
        }
        let high = above.last()?.norm;
        let low = below.iter().filter(|leak| leak.leaks()).map(|leak| leak.norm).fold(0.0, f64::max);
        let rows = rows_of(above);
        Some(Found::estimated(
            format!("An epsilon of about {:.2} replaces the norm of short embeddings", (low * high).sqrt()),
            (low * high).sqrt(),
            (low, high),
            format!(
                "all {} gradients of {rows} rows longer than {high:.4} are orthogonal, {leaking} of {} of shorter rows leak, the \
                 longest at ‖q‖ = {low:.4}",
                above.len(),
                below.len()
            ),
        ))
    }
}
