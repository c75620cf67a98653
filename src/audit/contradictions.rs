//! Where a run contradicts its header: what was measured against what is declared.

use crate::diagnosis::{Diagnosis, sgd_family::Fit};
use crate::trajectory::{DeclaredOptimizer, Settings, Side, Similarity, Tower};

/// What the header says of similarity and format otherwise than the run.
pub(super) fn compare(diagnosis: &mut Diagnosis, tower: &Tower<'_>, settings: &Settings) {
    let prefix = tower.side().map_or(String::new(), |side| format!("{side}: "));
    if settings.similarity == Some(Similarity::Cosine) && diagnosis.finding("dot-product").is_some() {
        let contradiction = "cosine is declared, but the gradients are those of inner products";
        diagnosis.contradictions.push(format!("{prefix}{contradiction}"));
    }
}

/// What the header says otherwise than the run.
pub(super) fn rule(diagnosis: &mut Diagnosis, tower: Option<Side>, declared: &DeclaredOptimizer, fitted: &Fit) {
    let prefix = tower.map_or(String::new(), |side| format!("{side}: "));
    let mut numbers = vec![
        ("momentum", Some(declared.momentum.unwrap_or(0.0)), fitted.momentum),
        ("weight decay", Some(declared.weight_decay.unwrap_or(0.0)), fitted.weight_decay),
    ];
    if fitted.schedule.is_none() {
        numbers.push(("learning rate", declared.lr, fitted.lr));
    }
    for (what, declared, estimate) in numbers {
        let Some(declared) = declared else { continue };
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
