//! The norm is held constant in the derivative: z = q/stop_gradient(‖q‖), so g = a/‖q‖ without the projection. Losses of
//! differences of similarities have Σ_r a_r = 0 over the directions, hence Σ_r ‖q_r‖ g_r = 0, while Σ_r g_r ≠ 0.

use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct DetachedNorm;

const ABOUT: About = About {
    name: "detached-norm",
    meaning: "the forward pass is a cosine, the gradient is that of an inner product: the norm was detached, so steps have a radial part",
    advice: Some(&advice::ATTACH),
    accuses: true,
};

impl Cause for DetachedNorm {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let sums = &case.leaks.directions;
        let others = case.leaks.joint.fails() && case.leaks.translation.fails();
        (sums.holds() && others).then(|| {
            let (leaking, _) = case.leaks.split();
            Found::new(
                "The norm is detached: embeddings are divided by their norms, but the gradient does not know it",
                format!(
                    "‖q‖·gradient adds up to zero in all {} steps judged, as it does for cosines whose norms are held constant, and {} \
                     gradients are not orthogonal to their rows",
                    sums.judged,
                    leaking.len()
                ),
            )
        })
    }
}
