//! The recorded embeddings are a moving average q ← αq + (1−α)θ of the trained parameters θ. Their steps then obey the
//! recursion of a momentum with β = α and rate η(1−α), but the gradients are orthogonal to
//! θ_t = q_t + α/(1−α)·Δ_{t−1}, which the average lags behind, and not to q_t.

use crate::diagnosis::balance::Balance;
use crate::diagnosis::{About, Case, Cause, Found, advice};
use crate::geometry::{add_scaled, dot, norm_f64};
use crate::trajectory::Rows;

pub(super) struct ParameterAveraging;

const ABOUT: About = About {
    name: "parameter-averaging",
    meaning: "what is recorded is a moving average of the trained parameters: it is shorter than they are, and its steps are not theirs",
    advice: Some(&advice::AVERAGING),
    accuses: false,
};

impl Cause for ParameterAveraging {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let fit = case.fit.filter(|fit| !fit.nesterov && fit.weight_decay.value == 0.0)?;
        let (alpha, half) = (fit.momentum.value, fit.momentum.half_width);
        if case.on_parameters || !(alpha > 0.0 && alpha < 1.0) || fit.rows != Some(Rows::Dense) {
            return None;
        }
        let mut balance = Balance::default();
        for history in &case.embeddings.rows {
            for pair in history.visits.windows(2) {
                let [before, visit] = pair else { continue };
                if before.time + 1 != visit.time || !visit.has_gradient() {
                    continue;
                }
                let mut theta = visit.q.clone();
                add_scaled(&mut theta, alpha / (1.0 - alpha), &before.step);
                let radial = dot(&visit.q, &visit.gradient);
                // Rounding of the average and the uncertainty of α, both magnified by 1/(1−α).
                let blur = 4.0 * before.noise / (1.0 - alpha) + norm_f64(&before.step) * half / (1.0 - alpha).powi(2);
                let allowed = case.gradient_allowance(visit) + norm_f64(&visit.gradient) * blur;
                balance.add(dot(&theta, &visit.gradient).abs(), allowed, radial.abs(), 1);
            }
        }
        balance.holds().then(|| {
            Found::estimated(
                format!("The recorded embeddings are a moving average of the parameters (decay ≈ {alpha:.3}), not the parameters"),
                alpha,
                (alpha - half, alpha + half),
                format!(
                    "all {} gradients judged are orthogonal to q + α/(1−α)·Δ_before, the parameters behind such an average, and not to q",
                    balance.judged
                ),
            )
        })
    }
}
