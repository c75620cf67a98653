//! Why steps are what they are where no member of the SGD family explains them, from the simplest rule to the richest: the first
//! that explains nearly all records to within rounding is named, so that each excludes those before it.
//!
//! | cause | Δ = q' − q |
//! |---|---|
//! | [`clipping_by_norm`] | −η_t g, η_t = η·min(1, c/‖G_t‖) |
//! | [`clipping_by_value`] | −η clamp(g, ±c) |
//! | [`constrained_norm`] | q' = s(q − ηg), with ‖q'‖ = ‖q‖, = r, or ≤ M |
//! | [`late_gradient`] | −η g_{t−k} |
//! | [`accumulation`] | −η Σ_{j<k} g_{t−j} in every k-th step, else 0 |
//! | [`adaptive`] | −η D(g_0 … g_t), D the direction of an adaptive rule with measured settings |
//! | [`row_scaling`] | −s g with some s > 0 a row and step |
//! | [`coordinate_scaling`] | −S g with some diagonal S > 0 |

mod accumulation;
mod adaptive;
mod clipping_by_norm;
mod clipping_by_value;
mod constrained_norm;
mod coordinate_scaling;
mod late_gradient;
mod row_scaling;

use super::histories::{History, Visit};
use super::{Case, Cause, Conclusion, balance::Balance};
use crate::geometry::norm_f64;

/// What explains steps that no member of the SGD family explains, from the simplest to the richest.
pub(super) const CAUSES: [&dyn Cause; 8] = [
    &clipping_by_value::ClippingByValue,
    &constrained_norm::Renormalisation,
    &constrained_norm::MaxNorm,
    &late_gradient::LateGradient,
    &accumulation::Accumulation,
    &adaptive::Adaptive,
    &row_scaling::RowScaling,
    &coordinate_scaling::CoordinateScaling,
];

/// The simplest cause that explains the steps.
pub(super) fn decide(case: &Case<'_>) -> Vec<Conclusion> {
    if case.fit.is_some() {
        return case.ask(&clipping_by_norm::ClippingByNorm).into_iter().collect();
    }
    if !case.tower.is_complete() || case.moved.moving().next().is_none() {
        return Vec::new();
    }
    CAUSES.iter().find_map(|cause| case.ask(*cause)).into_iter().collect()
}

/// What rounding can leave between a step and its prediction: the stored row is rounded twice, and every operation of the rule
/// (at most 32 for the richest) may be off by a unit roundoff of the step.
fn allowance(case: &Case<'_>, visit: &Visit, predicted: f64) -> f64 {
    const OPERATIONS: f64 = 32.0;
    let unit = case.precision.unit_roundoff();
    let underflow = 4.0 * case.precision.underflow() * (case.moved.dim as f64).sqrt();
    4.0 * visit.noise + OPERATIONS * unit * predicted + underflow
}

/// Judges a prediction of one step, `signal` being how far it is from that of a simpler rule.
fn judge(case: &Case<'_>, balance: &mut Balance, visit: &Visit, predicted: &[f64], signal: f64, dimensions: usize) {
    let difference: Vec<f64> = visit.step.iter().zip(predicted).map(|(step, predicted)| step - predicted).collect();
    let allowed = allowance(case, visit, norm_f64(predicted).max(norm_f64(&visit.step)));
    balance.add(norm_f64(&difference), allowed, signal, dimensions);
}

/// The gradient of a row in a step; None where the row is not recorded there.
fn gradient_at(history: &History, time: usize) -> Option<&[f64]> {
    let place = history.visits.binary_search_by_key(&time, |visit| visit.time).ok()?;
    Some(&history.visits[place].gradient)
}
