//! Why gradients are not orthogonal to their rows. Each cause has an identity of its own, exact up to rounding; a cause is
//! named only where its identity holds and no other's does.
//!
//! | cause | identity |
//! |---|---|
//! | [`wrong_axis`] | Σ_r q_rk g_rk = 0 for every column k |
//! | [`joint_normalisation`] | Σ_r ⟨q_r,g_r⟩ = 0, and no row is clean |
//! | [`pooled_user_tower`] | Σ_r ⟨q_r,g_r⟩ = 0, rows outside every pool are clean, or rows nobody looked up have gradients |
//! | [`epsilon_floor`] | ⟨q,g⟩ = 0 exactly where ‖q‖ is above a threshold |
//! | [`penalty_in_gradient`] | ⟨q,g⟩ = λ‖q‖² for one λ |
//! | [`stale_gradient`] | ⟨q_{t−k},g_t⟩ = 0 for an earlier (or the next) embedding |
//! | [`parameter_averaging`] | ⟨θ,g⟩ = 0 for the θ whose moving average q is |
//! | [`dot_product`] | Σ_r g_r = 0 (losses of differences of similarities) |
//! | [`detached_norm`] | Σ_r ‖q_r‖ g_r = 0 (the same losses) |

mod detached_norm;
mod dot_product;
mod epsilon_floor;
mod joint_normalisation;
mod parameter_averaging;
mod penalty_in_gradient;
mod pooled_user_tower;
mod stale_gradient;
mod wrong_axis;

use super::{Case, Cause, Conclusion, Found};
use crate::verdict::Observed;

/// Every cause.
pub(super) const CAUSES: [&dyn Cause; 9] = [
    &wrong_axis::WrongAxis,
    &joint_normalisation::JointNormalisation,
    &pooled_user_tower::PooledUserTower,
    &epsilon_floor::EpsilonFloor,
    &penalty_in_gradient::PenaltyInGradient,
    &stale_gradient::StaleGradient,
    &parameter_averaging::ParameterAveraging,
    &dot_product::DotProduct,
    &detached_norm::DetachedNorm,
];

/// The cause whose identity alone holds; where none does, or several do, what that leaves open.
pub(super) fn decide(case: &Case<'_>) -> Vec<Conclusion> {
    if case.gradient != Observed::Breaks {
        return Vec::new();
    }
    let mut found: Vec<Conclusion> = CAUSES.iter().filter_map(|cause| case.ask(*cause)).collect();
    if found.len() == 1 {
        return found;
    }
    let (leaking, clean) = case.leaks.split();
    let evidence = match found.as_slice() {
        [] => format!(
            "{} gradients are not orthogonal to their rows, {} are; no cause that is known by an identity explains it",
            leaking.len(),
            clean.len()
        ),
        several => {
            let named = |one: &Conclusion| format!("{} ({})", one.about.name, one.found.evidence);
            let named: Vec<String> = several.iter().map(named).collect();
            format!("the data do not tell between {}", named.join(" and "))
        }
    };
    found.clear();
    found.push(Conclusion {
        about: &UNEXPLAINED,
        found: Found::new(
            "Gradients are not orthogonal to their embeddings; what makes them so cannot be told",
            evidence,
        ),
    });
    found
}

const UNEXPLAINED: super::About = super::About {
    name: "gradient-leak",
    meaning: "lengths of embeddings matter to the loss, or the gradients belong to other embeddings than those recorded",
    advice: None,
    accuses: false,
};
