//! Clipping by the norm of the whole gradient: plain SGD whose rate in step t is η·min(1, c/‖G_t‖). Steps below the highest rate
//! have η_t‖G_t‖ = ηc in common although ‖G_t‖ varies, and those at the highest rate have ‖G_t‖ ≤ c. The norm is that of this
//! table; where other parameters are clipped together with it, the products differ and only the varying rate is told.

use crate::diagnosis::{About, Case, Cause, Estimate, Found, Rule, advice, median};

pub(super) struct ClippingByNorm;

const ABOUT: About = About {
    name: "clipping-by-norm",
    meaning: "one factor for the whole gradient of a step: a scalar step, so orthogonality survives, at a lower rate",
    advice: Some(&advice::PROJECT),
    accuses: false,
};

impl Cause for ClippingByNorm {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let own = ("this table", case.moved_survey.total_gradient.as_slice());
        [own, ("all towers together", case.together)]
            .into_iter()
            .find_map(|(of, totals)| clipped(case, of, totals))
    }
}

fn clipped(case: &Case<'_>, of: &str, totals: &[f64]) -> Option<Found> {
    let fit = case.fit?;
    let rates = fit.schedule.as_ref()?;
    // A rate is the median of its rows' rates, known as well as the coarsest of them.
    let relative = 4.0 * (fit.lr.half_width / fit.lr.value).max(case.precision.unit_roundoff());
    let known: Vec<(f64, f64)> = rates
        .iter()
        .zip(totals)
        .map(|(&rate, &total)| (rate, total))
        .filter(|(rate, _)| *rate > 0.0)
        .collect();
    let product = |steps: &[(f64, f64)]| -> Option<f64> {
        let product = median(steps.iter().map(|(rate, total)| rate * total))?;
        let same = steps.iter().all(|(rate, total)| (rate * total - product).abs() <= relative * product);
        let low = steps.iter().map(|(_, total)| *total).fold(f64::INFINITY, f64::min);
        let high = steps.iter().map(|(_, total)| *total).fold(0.0, f64::max);
        // Products of rates and norms that agree by chance: three of them, of norms that plainly differ.
        (same && steps.len() >= 3 && high > low * (1.0 + 16.0 * relative) && relative < 0.1).then_some(product)
    };
    if let Some(product) = product(&known) {
        let evidence = format!(
            "the rate times the norm ‖G‖ of {of} is {product:.4e} in all {} steps, whatever ‖G‖: a limit below every ‖G‖, or a \
             normalised gradient",
            known.len()
        );
        return Some(Found::new(
            "The gradient of every step is scaled to one norm (clipped by its norm in every step)",
            evidence,
        ));
    }
    let highest = known.iter().map(|(rate, _)| *rate).fold(0.0, f64::max);
    let (free, cut): (Vec<_>, Vec<_>) =
        known.iter().copied().partition(|(rate, _)| *rate >= highest * (1.0 - relative));
    let product = product(&cut)?;
    let limit = product / highest;
    let below = free.iter().all(|(_, total)| *total <= limit * (1.0 + relative));
    (below && free.len() >= 2).then(|| {
        let half = 2.0 * relative;
        Found::estimated(
            format!("The gradient of a step is clipped by its norm, at about {limit:.4}"),
            limit,
            (limit * (1.0 - half), limit * (1.0 + half)),
            format!(
                "in {} steps the rate times the norm ‖G‖ of {of} is {product:.4e}; the other {} steps have smaller gradients and the \
                 rate {highest:.6}",
                cut.len(),
                free.len()
            ),
        )
        .under(Rule {
            optimizer: "sgd",
            lr: Some(Estimate { value: highest, half_width: relative * highest }),
            weight_decay: Some(0.0),
            momentum: Some(0.0),
            rows: None,
        })
    })
}
