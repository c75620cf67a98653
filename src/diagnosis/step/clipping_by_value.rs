//! Clipping by value: Δ_k = −η·clamp(g_k, ±c), every coordinate by itself. Coordinates below c share one rate, the others one
//! size ηc.

use super::judge;
use crate::diagnosis::balance::Balance;
use crate::diagnosis::histories::Visit;
use crate::diagnosis::{About, Case, Cause, Estimate, Found, Rule, advice, median};
use crate::geometry::norm_f64;

pub(super) struct ClippingByValue;

const ABOUT: About = About {
    name: "clipping-by-value",
    meaning: "every coordinate is cut off by itself: the step has another direction than the gradient, with a radial part of either sign",
    advice: Some(&advice::SCALAR_CLIP),
    accuses: false,
};

/// Cut-off coordinates without which one largest coordinate looks like a limit.
const CUT_OFF: usize = 8;

impl Cause for ClippingByValue {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let visits: Vec<&Visit> = case
            .moved
            .moving()
            .flat_map(|history| &history.visits)
            .filter(|visit| visit.has_gradient())
            .collect();
        let size = |visit: &&Visit| visit.step.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
        let top = visits.iter().map(size).fold(0.0, f64::max);
        // Below half of the largest step nothing is cut off; there the rate is one number.
        let free = |visit: &&Visit| -> Vec<(f64, f64)> {
            let pairs = visit.step.iter().zip(&visit.gradient).map(|(step, g)| (*step, *g));
            pairs
                .filter(|(step, g)| step.abs() < 0.5 * top && step.abs() > 4.0 * visit.noise && *g != 0.0)
                .collect()
        };
        let free: Vec<(f64, f64)> = visits.iter().flat_map(free).collect();
        let rough = median(free.iter().map(|(step, g)| -step / g)).filter(|rate| *rate > 0.0)?;
        let near: Vec<&(f64, f64)> =
            free.iter().filter(|(step, g)| (step + rough * g).abs() < 0.1 * rough * g.abs()).collect();
        let energy: f64 = near.iter().map(|(_, g)| g * g).sum();
        let rate = -near.iter().map(|(step, g)| step * g).sum::<f64>() / energy;
        let limit = top / rate;
        let mut balance = Balance::default();
        let (mut cut, mut rows) = (0, std::collections::BTreeSet::new());
        for visit in &visits {
            let predicted: Vec<f64> = visit.gradient.iter().map(|g| -rate * g.clamp(-limit, limit)).collect();
            let beyond: Vec<f64> = visit.gradient.iter().map(|g| rate * (g.abs() - limit).max(0.0)).collect();
            let over = beyond.iter().filter(|&&over| over > 8.0 * visit.noise).count();
            if over > 0 {
                cut += over;
                rows.insert(visit.row);
            }
            judge(case, &mut balance, visit, &predicted, norm_f64(&predicted), case.moved.dim);
        }
        let noise = median(visits.iter().map(|visit| visit.noise))?;
        let half = 4.0 * noise / top;
        (balance.mostly() && cut >= CUT_OFF && rows.len() > 1 && near.len() >= CUT_OFF).then(|| {
            Found::estimated(
                format!("Every coordinate of the gradient is clipped by value, at about {limit:.4}"),
                limit,
                (limit * (1.0 - half), limit * (1.0 + half)),
                format!(
                    "{cut} coordinates in {} rows moved by exactly {top:.4e}, {} smaller ones by {rate:.6} times their gradient; {} of \
                     {} records are explained",
                    rows.len(),
                    near.len(),
                    balance.judged - balance.broken,
                    balance.judged
                ),
            )
            .under(Rule {
                optimizer: "sgd",
                lr: Some(Estimate { value: rate, half_width: rate * half }),
                weight_decay: Some(0.0),
                momentum: Some(0.0),
                rows: None,
            })
        })
    }
}
