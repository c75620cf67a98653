//! Row-wise scaling by an unknown rule: every step is −s·g with some s > 0 for its row and step, and s differs between rows.

use super::allowance;
use crate::diagnosis::balance::Balance;
use crate::diagnosis::{About, Case, Cause, Found, Rule};
use crate::geometry::{add_scaled, dot, norm_f64};

pub(super) struct RowScaling;

const ABOUT: About = About {
    name: "row-wise-scaling",
    meaning: "one number a row multiplies the gradient: a scalar step, so orthogonality survives; which rule makes the number cannot be told",
    advice: None,
    accuses: false,
};

impl Cause for RowScaling {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let mut balance = Balance::default();
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        // A rate that varies from step to step is a schedule; rows must differ within a step.
        let mut steps = std::collections::BTreeMap::<usize, (f64, f64)>::new();
        for visit in case.moved.moving().flat_map(|history| &history.visits) {
            if !visit.has_gradient() {
                if visit.moved() {
                    return None;
                }
                continue;
            }
            let scale = -dot(&visit.step, &visit.gradient) / dot(&visit.gradient, &visit.gradient);
            let mut rest = visit.step.clone();
            add_scaled(&mut rest, scale, &visit.gradient);
            let size = norm_f64(&visit.step);
            let allowed = allowance(case, visit, size);
            let residual = if scale < 0.0 { size } else { norm_f64(&rest) };
            balance.add(residual, allowed, size, case.moved.dim - 1);
            if size > 16.0 * allowed {
                (low, high) = (low.min(scale), high.max(scale));
                let step = steps.entry(visit.time).or_insert((scale, scale));
                *step = (step.0.min(scale), step.1.max(scale));
            }
        }
        (case.moved.dim > 1 && balance.mostly() && steps.values().any(|(low, high)| *high > 1.01 * low)).then(|| {
            Found::estimated(
                "Gradients are scaled row by row, by one number for each row and step",
                (low * high).sqrt(),
                (low, high),
                format!(
                    "{} of {} steps are antiparallel to their gradients, by factors from {low:.3e} to {high:.3e}",
                    balance.judged - balance.broken,
                    balance.judged
                ),
            )
            .under(Rule { optimizer: "row-wise", ..Rule::default() })
        })
    }
}
