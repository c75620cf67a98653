//! Gradient accumulation: rows move only in every k-th step, by −η times the sum of the last k gradients.

use super::{gradient_at, judge};
use crate::diagnosis::balance::Balance;
use crate::diagnosis::{About, Case, Cause, Estimate, Found, Rule};
use crate::geometry::{add_scaled, dot, norm_f64};

pub(super) struct Accumulation;

/// The longest accumulation that is looked for.
const LONGEST: usize = 64;

const ABOUT: About = About {
    name: "gradient-accumulation",
    meaning: "gradients of several batches, all taken at the same embeddings, are applied at once: a scalar step all the same",
    advice: None,
    accuses: false,
};

impl Cause for Accumulation {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let moved: std::collections::BTreeSet<usize> =
            case.moved.visits().filter(|visit| visit.moved()).map(|visit| visit.time + 1).collect();
        // Rows move in steps k − 1, 2k − 1, …: the first of them tells k.
        let every = moved.first().copied().filter(|&every| every > 1 && every <= LONGEST)?;
        if moved.len() < 2 || moved.iter().any(|time| time % every != 0) {
            return None;
        }
        let mut pairs = Vec::new();
        for history in case.moved.moving() {
            for visit in history.visits.iter().filter(|visit| (visit.time + 1) % every == 0) {
                let mut sum = vec![0.0; case.moved.dim];
                for time in visit.time + 1 - every..=visit.time {
                    if let Some(gradient) = gradient_at(history, time) {
                        add_scaled(&mut sum, 1.0, gradient);
                    }
                }
                pairs.push((visit, sum));
            }
        }
        let energy: f64 = pairs.iter().map(|(_, sum)| dot(sum, sum)).sum();
        let rate = -pairs.iter().map(|(visit, sum)| dot(&visit.step, sum)).sum::<f64>() / energy;
        let mut balance = Balance::default();
        for (visit, sum) in &pairs {
            let predicted: Vec<f64> = sum.iter().map(|g| -rate * g).collect();
            judge(case, &mut balance, visit, &predicted, norm_f64(&predicted), case.moved.dim);
        }
        (rate > 0.0 && balance.mostly()).then(|| {
            let k = every as f64;
            Found::estimated(
                format!("Gradients are accumulated over {every} steps"),
                k,
                (k, k),
                format!(
                    "nothing moved but in {} steps, each {every} apart, by the sum of the gradients since",
                    moved.len()
                ),
            )
            .under(Rule {
                optimizer: "sgd",
                lr: Some(Estimate { value: rate, half_width: 8.0 * case.precision.unit_roundoff() * rate }),
                weight_decay: Some(0.0),
                momentum: Some(0.0),
                rows: None,
            })
        })
    }
}
