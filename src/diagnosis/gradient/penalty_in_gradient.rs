//! The recorded gradient contains a penalty (λ/2)‖q‖² or a decay: g = tangent + λq, so ⟨q,g⟩ = λ‖q‖² with the same λ for
//! every record (or L·λ for L lookups).

use crate::diagnosis::balance::Balance;
use crate::diagnosis::leaks::{Leak, rows};
use crate::diagnosis::{About, Case, Cause, Found, advice, median};

pub(super) struct PenaltyInGradient;

/// Records that must agree on λ: in a small run, symmetry may do so for a few.
const MANY: u64 = 16;

const ABOUT: About = About {
    name: "penalty-in-gradient",
    meaning: "a penalty on squared norms, or a weight decay, is a part of the recorded gradients and pulls every norm towards zero",
    advice: Some(&advice::DECAY),
    accuses: false,
};

impl Cause for PenaltyInGradient {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let (leaking, _) = case.leaks.split();
        let one = |_: &Leak| 1.0;
        let lookups = |leak: &Leak| f64::from(leak.lookups.unwrap_or(1).max(1));
        let weights: [&dyn Fn(&Leak) -> f64; 2] = [&one, &lookups];
        weights.into_iter().find_map(|weight| {
            let rate = |leak: &Leak| leak.radial / (weight(leak) * leak.norm * leak.norm);
            let lambda = median(leaking.iter().map(|leak| rate(leak)))?;
            let mut balance = Balance::default();
            for leak in &case.leaks.records {
                let expected = weight(leak) * lambda * leak.norm * leak.norm;
                // The median is as sharp as its own record.
                balance.add((leak.radial - expected).abs(), 2.0 * leak.allowed, leak.norm * leak.gradient, 1);
            }
            let spread = leaking.iter().map(|leak| leak.allowed / (weight(leak) * leak.norm * leak.norm));
            let half = median(spread)?;
            (balance.holds() && balance.judged >= MANY && rows(&leaking) > 2 && case.tower.dim() > 1).then(|| {
                Found::estimated(
                    format!("The recorded gradients contain a pull of {lambda:.4}·q towards zero (an L2 penalty or weight decay)"),
                    lambda,
                    (lambda - half, lambda + half),
                    format!("⟨q,g⟩/‖q‖² is the same in all {} records judged, of {} rows", balance.judged, rows(&leaking)),
                )
            })
        })
    }
}
