//! Inner products in place of cosines. Losses of differences of similarities (softmax, BPR, triplet) do not change when the
//! same vector is added to every candidate of a user, so Σ_r g_r = 0 in every step: g_r = Σ_u c_ur u with Σ_r c_ur = 0.

use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct DotProduct;

const ABOUT: About = About {
    name: "dot-product",
    meaning: "the loss sees lengths: gradients have a radial part of either sign, and no claim on cosine losses applies",
    advice: Some(&advice::COSINE),
    accuses: false,
};

impl Cause for DotProduct {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let sums = &case.leaks.translation;
        let others = case.leaks.joint.fails() && case.leaks.directions.fails();
        (sums.holds() && others).then(|| {
            let (leaking, _) = case.leaks.split();
            Found::new(
                "The similarity is an inner product (dot product), not a cosine",
                format!(
                    "gradients of a step add up to zero in all {} steps judged, as they do for differences of inner products, and {} \
                     of them are not orthogonal to their rows (a norm floor above every norm would look the same)",
                    sums.judged,
                    leaking.len()
                ),
            )
        })
    }
}
