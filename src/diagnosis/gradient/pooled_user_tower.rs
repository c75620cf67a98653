//! The other tower pools these rows (a history, a session): u = mean of item rows. Row r then has a gradient of its own,
//! tangent to it, and its share of ∂L/∂u, tangent to u. A pooled length is divided out as a whole, so Σ_r ⟨q_r,g_r⟩ = 0 in every
//! step; rows outside every pool stay clean, and rows that nobody looked up have gradients.

use crate::diagnosis::leaks::rows;
use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct PooledUserTower;

const ABOUT: About = About {
    name: "pooled-user-tower",
    meaning: "rows are shared between the towers: gradients of pooled users reach item rows, so private parameters do not hold",
    advice: Some(&advice::PRIVATE_ROWS),
    accuses: false,
};

impl Cause for PooledUserTower {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let (leaks, (leaking, clean)) = (case.leaks, case.leaks.split());
        let (unasked, parallel) = leaks.unasked;
        let foreign = unasked - parallel;
        let outside = clean.len() * 100 > leaking.len() + clean.len() && rows(&clean) > 1;
        let columns = case.tower.dim() == 1 || leaks.columns.fails();
        (leaks.joint.holds() && leaks.translation.fails() && columns && (foreign > 0 || outside)).then(|| {
            Found::new(
                "Item rows are shared with a user tower that pools them: gradients of users arrive at item embeddings",
                format!(
                    "{foreign} gradients arrived at rows nobody looked up; {} gradients are orthogonal to their rows, {} are not, \
                     and together they cancel: Σ_r ⟨q_r,g_r⟩ vanishes in all {} steps judged",
                    clean.len(),
                    leaking.len(),
                    leaks.joint.judged
                ),
            )
        })
    }
}
