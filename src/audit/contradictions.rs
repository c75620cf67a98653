//! Where a run contradicts its header: what was measured against what is declared.

use crate::diagnosis::{Diagnosis, Finding, advice, sgd_family::Fit};
use crate::facts::{Context, FACTOR_ERROR};
use crate::rounding::Precision;
use crate::trajectory::{DeclaredOptimizer, Settings, Side, Similarity, Tower};

/// What the header says of similarity and format otherwise than the run.
pub(super) fn compare(diagnosis: &mut Diagnosis, tower: &Tower<'_>, settings: &Settings) {
    let prefix = tower.side().map_or(String::new(), |side| format!("{side}: "));
    // A declared epsilon may be the floor that makes inner products of cosines.
    let floor = settings.eps.is_some_and(|eps| eps > 0.0);
    if settings.similarity == Some(Similarity::Cosine) && !floor && diagnosis.finding("dot-product").is_some() {
        let contradiction =
            "cosine is declared, but the gradients are those of inner products (or of a norm floor above every norm)";
        diagnosis.contradictions.push(format!("{prefix}{contradiction}"));
    }
}

/// What the header says otherwise than the run.
pub(super) fn rule(
    diagnosis: &mut Diagnosis,
    tower: Option<Side>,
    declared: &DeclaredOptimizer,
    fitted: &Fit,
    context: &Context,
) {
    let prefix = tower.map_or(String::new(), |side| format!("{side}: "));
    let mut numbers = vec![
        ("momentum", Some(declared.momentum.unwrap_or(0.0)), fitted.momentum),
        ("weight decay", Some(declared.weight_decay.unwrap_or(0.0)), fitted.weight_decay),
    ];
    if let Some(scale) = loss_scale(declared, fitted, context) {
        let recomputed = match context.gradient_factor {
            Some(factor) => format!("; the recorded gradients are {factor:.4} times those of the declared loss"),
            None => String::new(),
        };
        diagnosis.lr = diagnosis.lr.map(|lr| lr * scale);
        diagnosis.findings.push(Finding {
            name: "loss-scaling".into(),
            tower,
            estimate: Some(scale),
            interval: Some((scale, scale)),
            evidence: format!(
                "the recorded gradients were applied at a rate of {:.6e} ± {:.1e}, which is the declared rate over 2^{}{recomputed}",
                fitted.lr.value,
                fitted.lr.half_width,
                scale.log2()
            ),
            meaning: "gradients were recorded before they were divided by the scale of the loss; training is not affected".into(),
            headline: format!("The recorded gradients are those of a loss scaled by {scale}"),
            accuses: false,
        });
        diagnosis.advise("loss-scaling", tower, Some(&advice::UNSCALE));
    } else if fitted.schedule.is_none() {
        numbers.push(("learning rate", declared.lr, fitted.lr));
    }
    for (what, declared, estimate) in numbers {
        let Some(declared) = declared else { continue };
        // A simpler rule explains what it explains to within rounding; how much of the declared term that hides is not known.
        if estimate.value == 0.0 && (fitted.explained < 1.0 || context.arithmetic.storage < Precision::F32) {
            continue;
        }
        if (declared - estimate.value).abs() > estimate.half_width {
            diagnosis.contradictions.push(format!(
                "{prefix}{what} {declared} is declared, but the run shows {:.6} ± {:.1e}",
                estimate.value, estimate.half_width
            ));
        }
    }
    if let Some(nesterov) = declared.nesterov.filter(|&nesterov| nesterov != fitted.nesterov) {
        let negation = if nesterov { "does not look ahead" } else { "looks ahead" };
        diagnosis
            .contradictions
            .push(format!("{prefix}nesterov {nesterov} is declared, but the momentum {negation}"));
    }
    if let (Some(declared), Some(found)) = (declared.sparse, fitted.rows)
        && declared != found
    {
        diagnosis
            .contradictions
            .push(format!("{prefix}{declared} updates are declared, but the run shows {found} ones"));
    }
}

/// The scale of the loss: a power of two, of at least 8 since smaller ones are as likely a changed rate, by which the declared rate
/// exceeds the measured one; where the declared loss can be recomputed, its gradients must say the same.
fn loss_scale(declared: &DeclaredOptimizer, fitted: &Fit, context: &Context) -> Option<f64> {
    let rate = declared.lr.filter(|rate| *rate > 0.0 && fitted.schedule.is_none() && fitted.lr.value > 0.0)?;
    let scale = (rate / fitted.lr.value).log2().round().exp2();
    let close = (rate / scale - fitted.lr.value).abs() <= fitted.lr.half_width;
    let agrees = context.gradient_factor.is_none_or(|factor| (factor / scale - 1.0).abs() <= FACTOR_ERROR);
    (close && agrees && scale >= 8.0).then_some(scale)
}
