//! A clamp max(‖q‖, ε) is active: below ε the normalisation is a division by a constant and gradients leak, from ε on they
//! are orthogonal. What decides is that a threshold of ‖q‖ separates the two: no gradient leaks above it, most do below.

use crate::diagnosis::balance::unlikely;
use crate::diagnosis::leaks::{Leak, rows};
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
        let (leaking, clean) = case.leaks.split();
        let low = leaking.iter().map(|leak| leak.norm).fold(0.0, f64::max);
        let above: Vec<&Leak> = clean.iter().copied().filter(|leak| leak.norm > low).collect();
        let high = above.iter().map(|leak| leak.norm).fold(f64::INFINITY, f64::min);
        let share = leaking.len() as f64 / (leaking.len() + clean.len()) as f64;
        let below = clean.iter().filter(|leak| leak.norm <= low).count();
        // If lengths did not matter, every row above would have leaked with the same probability as all others.
        let separated = !leaking.is_empty() && leaking.len() > below && unlikely(1.0 - share, rows(&above));
        separated.then(|| {
            Found::estimated(
                format!("An epsilon of about {:.2} replaces the norm of short embeddings", (low * high).sqrt()),
                (low * high).sqrt(),
                (low, high),
                format!(
                    "all {} gradients of {} rows longer than {high:.4} are orthogonal, {} of {} of shorter rows leak, the longest at \
                     ‖q‖ = {low:.4}",
                    above.len(),
                    rows(&above),
                    leaking.len(),
                    leaking.len() + below
                ),
            )
        })
    }
}
