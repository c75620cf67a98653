//! The gradient belongs to another embedding of the row: ⟨q_{t−k}, g_t⟩ = 0 for one k > 0 (a late gradient), or
//! ⟨q_{t+1}, g_t⟩ = 0 (the snapshot was taken too early), while ⟨q_t, g_t⟩ ≠ 0.

use crate::diagnosis::balance::Balance;
use crate::diagnosis::{About, Case, Cause, Found, advice};
use crate::geometry::{dot, norm_f64};

pub(super) struct StaleGradient;

/// How late a gradient may be.
const LATEST: usize = 4;

const ABOUT: About = About {
    name: "stale-gradient",
    meaning: "gradients are applied to other embeddings than they were taken at: steps are not orthogonal, and of either sign",
    advice: Some(&advice::FRESH),
    accuses: true,
};

impl Cause for StaleGradient {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        // In one dimension a product vanishes only with a factor.
        if !case.tower.consecutive() || case.tower.dim() < 2 {
            return None;
        }
        let mut late = [Balance::default(); LATEST + 1];
        for history in &case.embeddings.rows {
            for (place, visit) in history.visits.iter().enumerate().filter(|(_, visit)| visit.has_gradient()) {
                let (radial, allowed) = (dot(&visit.q, &visit.gradient), case.gradient_allowance(visit));
                let next = visit.next();
                // The last entry is the embedding after the step. What the identity is tested by is the leak that it must remove.
                for lag in 1..=LATEST + 1 {
                    let other = match (lag <= LATEST, place.checked_sub(lag)) {
                        (true, Some(before)) if history.visits[before].time + lag == visit.time => {
                            &history.visits[before].q
                        }
                        // Before the first step there is nothing, and the first gradients may be fresh.
                        (true, _) => continue,
                        (false, _) => &next,
                    };
                    let longer = norm_f64(other) / norm_f64(&visit.q).max(f64::MIN_POSITIVE);
                    let allowed = allowed * longer.max(1.0);
                    late[lag - 1].add(dot(other, &visit.gradient).abs(), allowed, radial.abs(), 1);
                }
            }
        }
        let mut holding = late.iter().enumerate().filter(|(_, balance)| balance.holds());
        let (place, balance) = holding.next().filter(|_| holding.next().is_none())?;
        let (headline, which) = match place {
            LATEST => {
                ("The recorded embeddings are one step behind their gradients".to_string(), "after the step".into())
            }
            lag => (
                format!("Gradients are stale: they were taken {} step(s) before they are applied", lag + 1),
                format!("{} step(s) earlier", lag + 1),
            ),
        };
        let evidence = format!(
            "all {} gradients judged are orthogonal to the embedding {which}, and not to the one beside them",
            balance.judged
        );
        Some(match place {
            LATEST => Found::new(headline, evidence),
            lag => Found::estimated(headline, (lag + 1) as f64, ((lag + 1) as f64, (lag + 1) as f64), evidence),
        })
    }
}
