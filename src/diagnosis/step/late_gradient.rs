//! Gradients arrive k steps late: Δ_t = −η g_{t−k} for one k ≥ 1, whatever arrived in step t itself.

use super::{gradient_at, judge};
use crate::diagnosis::balance::Balance;
use crate::diagnosis::{About, Case, Cause, Estimate, Found, Rule, advice};
use crate::geometry::{dot, norm_f64};

pub(super) struct LateGradient;

/// How late a gradient may be.
const LATEST: usize = 8;

const ABOUT: About = About {
    name: "late-gradient",
    meaning: "a row moves along the gradient of an earlier embedding: steps are not orthogonal, and of either sign",
    advice: Some(&advice::FRESH),
    accuses: false,
};

impl Cause for LateGradient {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        (1..=LATEST.min(case.moved.steps.saturating_sub(1))).find_map(|lag| {
            let late = |visit_time: usize| visit_time.checked_sub(lag);
            let zeros = vec![0.0; case.moved.dim];
            let pairs: Vec<_> = case
                .moved
                .moving()
                .flat_map(|history| {
                    let zeros = &zeros;
                    history.visits.iter().map(move |visit| {
                        let gradient = late(visit.time).and_then(|time| gradient_at(history, time));
                        (visit, gradient.unwrap_or(zeros))
                    })
                })
                .collect();
            let energy: f64 = pairs.iter().map(|(_, g)| dot(g, g)).sum();
            let rate = -pairs.iter().map(|(visit, g)| dot(&visit.step, g)).sum::<f64>() / energy;
            if rate.is_nan() || rate <= 0.0 {
                return None;
            }
            let mut balance = Balance::default();
            for (visit, gradient) in &pairs {
                let predicted: Vec<f64> = gradient.iter().map(|g| -rate * g).collect();
                let signal = norm_f64(&predicted).max(norm_f64(&visit.step));
                judge(case, &mut balance, visit, &predicted, signal, case.moved.dim);
            }
            balance.mostly().then(|| {
                let half = case.precision.unit_roundoff() * 8.0 * rate;
                Found::estimated(
                    format!("Gradients are applied {lag} step(s) late"),
                    lag as f64,
                    (lag as f64, lag as f64),
                    format!(
                        "{} of {} records moved by the gradient of {lag} step(s) before",
                        balance.judged - balance.broken,
                        balance.judged
                    ),
                )
                .under(Rule {
                    optimizer: "sgd",
                    lr: Some(Estimate { value: rate, half_width: half }),
                    weight_decay: Some(0.0),
                    momentum: Some(0.0),
                    rows: None,
                })
            })
        })
    }
}
