//! Coordinate-wise scaling by an unknown rule: where a row has its first gradient, every coordinate moves against its own gradient
//! (Δ_k g_k ≤ 0 for all k), but the step is not antiparallel to the gradient.

use super::allowance;
use crate::diagnosis::{About, Case, Cause, Found, Rule, advice};
use crate::geometry::{add_scaled, dot, norm_f64};

pub(super) struct CoordinateScaling;

const ABOUT: About = About {
    name: "coordinate-wise-scaling",
    meaning: "every coordinate has a rate of its own: steps are not orthogonal, with a radial part of either sign; which rule sets the \
              rates cannot be told",
    advice: Some(&advice::ROWWISE),
    accuses: false,
};

/// Coordinates that must agree: by chance, that has a probability of 2⁻³².
const COORDINATES: usize = 32;

impl Cause for CoordinateScaling {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let (mut agree, mut against, mut turned, mut rows) = (0, 0, 0, 0);
        for history in case.moved.moving() {
            let Some(visit) = history.visits.iter().find(|visit| visit.has_gradient()) else {
                continue;
            };
            if !visit.moved() {
                continue;
            }
            rows += 1;
            for (step, g) in visit.step.iter().zip(&visit.gradient) {
                if step.abs() > 4.0 * visit.noise && *g != 0.0 {
                    if step * g < 0.0 { agree += 1 } else { against += 1 }
                }
            }
            let scale = dot(&visit.step, &visit.gradient) / dot(&visit.gradient, &visit.gradient);
            let mut rest = visit.step.clone();
            add_scaled(&mut rest, -scale, &visit.gradient);
            turned += usize::from(norm_f64(&rest) > 16.0 * allowance(case, visit, norm_f64(&visit.step)));
        }
        (against == 0 && agree >= COORDINATES && 2 * turned > rows).then(|| {
            Found::new(
                "Gradients are scaled coordinate by coordinate",
                format!(
                    "at the first gradient of {rows} rows, all {agree} coordinates move against their own gradient, but {turned} steps are \
                     not antiparallel to it"
                ),
            )
            .under(Rule { optimizer: "coordinate-wise", ..Rule::default() })
        })
    }
}
