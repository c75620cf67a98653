//! The audit: what a recorded run obeys, which optimizer really ran, and what follows.
//!
//! One survey for scales, one robust fit of the SGD family, one pass for all claims; then each claim's observation is
//! judged under its hypotheses. `outside` excuses a break only while `declared-step` does not break: one unmet condition
//! must not hide a different bug.

mod contradictions;
#[cfg(test)]
mod gaps;
mod hypotheses;

use rayon::prelude::*;
use serde::Serialize;

use crate::claims::{self, ALL, declared_step};
pub use crate::diagnosis::{Advice, Diagnosis, Finding};
use crate::diagnosis::{Samples, advice, diagnose, sgd_family::Fit};
use crate::error::{Error, Result};
use crate::facts::{Context, Momentum, Motion, Replay, StepMotion, Survey, describe, motion, motion_in, survey};
use crate::optimizer::{Optimizer, Update};
use crate::rounding::Precision;
use crate::statistics::{Interval, spearman_interval};
use crate::trajectory::{self, Side, Tower, Trajectory};
use crate::verdict::{ExitCode, Hypotheses, Observation, Observed, Verdict};
use hypotheses::Evidence;

/// Resamples behind an interval of a rank correlation.
const RESAMPLES: usize = 500;

/// One claim judged on one tower.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The claim.
    pub id: &'static str,
    /// The tower; None where a file has only one.
    pub tower: Option<Side>,
    /// What the numbers say.
    pub observation: Observation,
    /// Whether the hypotheses hold.
    pub hypotheses: Hypotheses,
    /// What follows.
    pub verdict: Verdict,
}

/// How the norms of a tower's rows follow their training, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Coupling {
    /// The tower.
    pub tower: Option<Side>,
    /// Rows with at least one gradient.
    pub rows: usize,
    /// Spearman's correlation of the number of touches with the final norm, with a 95 % bootstrap interval.
    pub touches: Option<Interval>,
    /// The same of Σs².
    pub spherical_energy: Option<Interval>,
    /// Median growth ‖q_T‖/‖q_0‖ over the rows with a gradient.
    pub median_growth: f64,
}

/// How the rows of a tower move: of what [`motion`](fn@crate::facts::motion) finds, at most 16 steps, evenly spread.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TowerMotion {
    /// The tower.
    pub tower: Option<Side>,
    /// Number and motion of each of these steps.
    pub steps: Vec<MotionAt>,
}

/// How the rows of a tower moved in a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MotionAt {
    /// The step's number in the run.
    pub step: i64,
    /// Quantiles over the rows, at the shares [`SHARES`](crate::facts::SHARES).
    #[serde(flatten)]
    pub motion: StepMotion,
}

/// Steps of which an audit reports the motion.
const SHOWN: usize = 16;

impl TowerMotion {
    fn of(tower: &Tower<'_>) -> Result<Self> {
        let chosen = spread(tower.steps(), SHOWN);
        let parts = match tower.is_sparse() {
            // Records are in one list.
            true => vec![motion(tower)?],
            false => chosen.par_iter().map(|&step| motion_in(tower, step..step + 1)).collect::<Result<Vec<_>>>()?,
        };
        let mut all = Motion::default();
        parts.iter().for_each(|part| all.merge(part));
        let at = |step: usize| {
            let motion = all.steps.get(&(step as u64))?.clone();
            Some(MotionAt { step: tower.step_number(step), motion })
        };
        Ok(TowerMotion { tower: tower.side(), steps: chosen.into_iter().filter_map(at).collect() })
    }
}

/// At most `most` of so many steps, evenly spread, the first and the last among them.
fn spread(steps: usize, most: usize) -> Vec<usize> {
    match steps <= most {
        true => (0..steps).collect(),
        false => (0..most).map(|k| k * (steps - 1) / (most - 1)).collect(),
    }
}

/// The audit of one run.
#[derive(Debug, Clone)]
pub struct Audit {
    /// The file, or `trajectory`.
    pub file: String,
    /// Every step and run claim, tower by tower, item first.
    pub claims: Vec<Judged>,
    /// What was measured.
    pub diagnosis: Diagnosis,
    /// Coupling of norm and training, tower by tower.
    pub coupling: Vec<Coupling>,
    /// How rows moved, tower by tower.
    pub motion: Vec<TowerMotion>,
    /// What was read but not understood.
    pub notes: Vec<String>,
    /// The cause or the result in plain words.
    pub sentence: String,
}

impl Audit {
    /// The judgement on one claim.
    pub fn claim(&self, id: &str, tower: Option<Side>) -> Option<&Judged> {
        self.claims.iter().find(|judged| judged.id == id && judged.tower == tower)
    }

    /// The exit code: declared settings that the run contradicts count as violated.
    pub fn exit_code(&self) -> ExitCode {
        if !self.diagnosis.contradictions.is_empty() {
            return ExitCode::Violated;
        }
        ExitCode::from_verdicts(self.claims.iter().map(|judged| judged.verdict))
    }

    /// Whether a claim is confirmed on every tower it was judged on; a bad slug is a usage error.
    ///
    /// # Errors
    /// An unknown slug, or a claim that no run is judged by.
    pub fn confirms(&self, id: &str) -> Result<bool> {
        let claim = claims::find(id)?;
        if !claim.kind().is_audited() {
            return Err(Error::usage("--require", "a step or run claim", id));
        }
        Ok(self
            .claims
            .iter()
            .filter(|judged| judged.id == id)
            .all(|judged| judged.verdict == Verdict::Confirmed))
    }
}

/// Audits a run.
///
/// # Errors
/// Input that cannot be read as stated: numbers that are not finite.
pub fn audit(trajectory: &Trajectory) -> Result<Audit> {
    let mut audit = Audit {
        file: trajectory.origin().to_string(),
        claims: Vec::new(),
        diagnosis: Diagnosis::default(),
        coupling: Vec::new(),
        motion: Vec::new(),
        notes: trajectory.notes().to_vec(),
        sentence: String::new(),
    };
    let towers = trajectory.towers();
    let mut known = Vec::new();
    for tower in &towers {
        let scales = survey(tower)?;
        let storage = storage(&tower.settings(), &scales, tower);
        known.push((Samples::of(tower, &scales, storage)?, scales));
    }
    // Clipping may be by the norm of everything that is trained.
    let mut together = vec![0.0_f64; towers[0].steps()];
    for (samples, scales) in &known {
        for (sum, own) in together.iter_mut().zip(samples.totals(scales)) {
            *sum = sum.hypot(*own);
        }
    }
    for (place, (tower, (samples, scales))) in towers.iter().zip(&known).enumerate() {
        let other = known.iter().enumerate().find(|(other, _)| *other != place);
        let other_smallest = other.and_then(|(_, (_, scales))| scales.smallest_norm);
        let one = audit_tower(trajectory, tower, samples, scales, other_smallest, &together)?;
        audit.claims.extend(one.claims);
        audit.coupling.extend(one.coupling);
        if place == 0 {
            audit.diagnosis = one.diagnosis;
        } else {
            audit.diagnosis.findings.extend(one.diagnosis.findings);
            audit.diagnosis.contradictions.extend(one.diagnosis.contradictions);
            audit.diagnosis.advice.extend(one.diagnosis.advice);
        }
    }
    // Both towers share one similarity: where one tower tells what it is, the other's leak is explained.
    if ["dot-product", "detached-norm"].iter().any(|name| audit.diagnosis.finding(name).is_some()) {
        audit.diagnosis.findings.retain(|finding| finding.name != "gradient-leak");
    }
    audit.motion = towers.iter().map(TowerMotion::of).collect::<Result<_>>()?;
    audit.sentence = sentence(&audit);
    Ok(audit)
}

/// The format that embeddings are stored in. Values of a narrow format may be stored in a wide one; a declaration is never trusted
/// to be finer than the file.
fn storage(settings: &trajectory::Settings, scales: &Survey, tower: &Tower<'_>) -> Precision {
    settings.param_dtype.unwrap_or(scales.stored).min(tower.precision())
}

struct OneTower {
    claims: Vec<Judged>,
    diagnosis: Diagnosis,
    coupling: Option<Coupling>,
}

fn audit_tower(
    trajectory: &Trajectory,
    tower: &Tower<'_>,
    samples: &Samples,
    scales: &Survey,
    other_smallest: Option<f64>,
    together: &[f64],
) -> Result<OneTower> {
    let settings = tower.settings();
    let mut context = Context::declared(trajectory, tower, scales);
    let precision = context.arithmetic.storage;
    let parameters = tower.parameters();
    let fitted = samples.fit(tower);
    if let Some(fitted) = &fitted {
        complete(&mut context, &settings.optimizer.clone().unwrap_or_default(), fitted);
    }
    let audited: Vec<_> = ALL.iter().copied().filter(|claim| claim.kind().is_audited()).collect();
    let facts = claims::gather_for(&audited, tower, &context)?;
    let observations: Vec<Observation> = audited.iter().map(|claim| claim.observe(&facts, &context)).collect();
    let observed = |id: &str| {
        let place = audited.iter().position(|claim| claim.id() == id);
        place.map_or(Observed::Inconclusive, |place| observations[place].observed)
    };
    let evidence = Evidence {
        settings: &settings,
        survey: scales,
        other_smallest,
        precision,
        fit: fitted.as_ref(),
        gradient: observed("gradient-orthogonality"),
        step: observed("declared-step"),
        on_embeddings: parameters.is_none(),
    };
    let step_breaks = evidence.step == Observed::Breaks;
    let judged = audited.iter().zip(observations.clone()).map(|(claim, mut observation)| {
        let mut hypotheses = evidence.hypotheses(claim.id(), claim.conditions());
        if claim.concerns_parameters() && context.replays.is_empty() {
            hypotheses = Hypotheses::Unknown(Vec::new());
        }
        let mut verdict = Verdict::judge(observation.observed, &hypotheses);
        if verdict == Verdict::Outside && observation.observed == Observed::Breaks && step_breaks {
            verdict = Verdict::Undecided;
            observation.note += "; an unmet condition would explain it, but declared-step breaks too";
        }
        Judged { id: claim.id(), tower: tower.side(), observation, hypotheses, verdict }
    });
    let claims: Vec<Judged> = judged.collect();

    let mut diagnosis = diagnose(tower, samples, scales, together, &context, fitted.as_ref(), evidence.gradient)?;
    for finding in trajectory::survey(tower)? {
        diagnosis.findings.push(Finding {
            name: format!("{:?}", finding.kind),
            tower: tower.side(),
            estimate: None,
            interval: None,
            evidence: finding.evidence,
            meaning: "a remark on the recording".into(),
            headline: String::new(),
            accuses: false,
        });
    }
    if let Some((replay, tally)) = declared_step::best(&facts, &context)
        && tally.broken > 0
    {
        // A rule that squares gradients may square them one by one: only where steps are linear in them is one lost.
        let linear = matches!(replay.optimizer, Optimizer::Sgd(_) | Optimizer::HeavyBall(_) | Optimizer::Nesterov(_));
        if let Some(place) = declared_step::lost_duplicates(&tally).filter(|_| linear) {
            diagnosis.findings.push(Finding {
                name: "lost-duplicates".into(),
                tower: tower.side(),
                estimate: Some(tally.first_by_lookups.several as f64),
                interval: None,
                evidence: format!(
                    "{place}: several gradients arrived for one row and not all were applied; {} rows depart from the replay ({}), each first in such a step",
                    tally.first_by_lookups.several, replay.name
                ),
                meaning: "gradients of ids that occur several times in a batch are lost; no claim on orthogonality or growth can see it".into(),
                headline: "Duplicate gradients are lost".into(),
                accuses: true,
            });
            diagnosis.advise("lost-duplicates", tower.side(), Some(&advice::SUM_DUPLICATES));
        }
        if let (Some(declared), Some(fitted)) = (&settings.optimizer, &fitted) {
            contradictions::rule(&mut diagnosis, tower.side(), declared, fitted, &context);
        }
    }
    contradictions::compare(&mut diagnosis, tower, &settings);
    Ok(OneTower { claims, diagnosis, coupling: coupling(tower.side(), &facts) })
}

/// Where the header declares nothing that can be replayed, the fit takes its place; a declared rule without a rate takes the
/// fitted one.
fn complete(context: &mut Context, declared: &trajectory::DeclaredOptimizer, fitted: &Fit) {
    let readings = Optimizer::readings(declared);
    // A declared rule that rows alone cannot repeat is not replaced by another one that comes near it; in a narrow format a rule that
    // leaves a few records unexplained may be another one too.
    let unrepeatable = readings.is_empty() && declared.name.is_some();
    const FEW: usize = 8;
    let uncertain = fitted.informative < FEW || fitted.explained < 1.0 && context.arithmetic.storage < Precision::F32;
    if unrepeatable || (readings.is_empty() && uncertain) {
        return;
    }
    if readings.is_empty() {
        let replay = fitted.replay();
        context.momentum = Momentum::of(&replay.optimizer);
        context.replays = vec![replay];
        context.rates = Some(fitted.rates());
    } else if context.rates.is_none() {
        let rates = fitted.rates();
        context.replays = readings
            .iter()
            .map(|optimizer| Replay {
                name: describe(optimizer, &rates),
                optimizer: optimizer.clone(),
                update: Update::declared(declared).unwrap_or_default(),
                rates: rates.clone(),
                relative_error: context.arithmetic.storage.unit_roundoff(),
                gradients: None,
            })
            .collect();
        context.rates = Some(rates);
    }
}

fn coupling(tower: Option<Side>, facts: &crate::facts::Facts) -> Option<Coupling> {
    let rows: Vec<_> = facts.rows.values().filter(|row| row.touches > 0 && row.initial > 0.0).collect();
    let of = |f: &dyn Fn(&crate::facts::RowSummary) -> f64| rows.iter().map(|row| f(row)).collect::<Vec<f64>>();
    let norms = of(&|row| row.last);
    let mut growth = of(&|row| (row.last / row.initial).powf(0.25));
    growth.sort_by(f64::total_cmp);
    Some(Coupling {
        tower,
        rows: rows.len(),
        touches: spearman_interval(&of(&|row| row.touches as f64), &norms, RESAMPLES, 0),
        spherical_energy: spearman_interval(&of(&|row| row.spherical_energy), &norms, RESAMPLES, 0),
        median_growth: *growth.get(growth.len() / 2)?,
    })
}

/// What makes the measured update more than plain SGD.
fn what_ran(diagnosis: &Diagnosis) -> Option<String> {
    let number = |value: Option<f64>| value.filter(|value| *value != 0.0);
    let mut parts = Vec::new();
    if let Some(momentum) = number(diagnosis.momentum) {
        let kind = if diagnosis.nesterov == Some(true) {
            "Nesterov momentum"
        } else {
            "momentum"
        };
        parts.push(format!("{kind} ≈ {momentum:.3}"));
    }
    if let Some(decay) = number(diagnosis.weight_decay) {
        parts.push(format!("weight decay ≈ {decay:.3}"));
    }
    let rows = diagnosis.sparse.map_or(String::new(), |rows| format!(" with {rows} updates"));
    (!parts.is_empty()).then(|| format!("The run shows {}{rows}", parts.join(" and ")))
}

/// The cause, or the result, in plain words.
fn sentence(audit: &Audit) -> String {
    if let Some(finding) = audit.diagnosis.findings.iter().find(|finding| finding.accuses) {
        return format!("{}: {}.", finding.headline, finding.evidence);
    }
    let of = |verdict: Verdict| audit.claims.iter().filter(move |judged| judged.verdict == verdict);
    let explains = |finding: &&Finding| !finding.headline.is_empty() && finding.name != "gradient-leak";
    let broken = of(Verdict::Outside).any(|judged| judged.observation.observed == Observed::Breaks)
        || of(Verdict::Violated).next().is_some()
        || !audit.diagnosis.contradictions.is_empty();
    let found = audit.diagnosis.findings.iter().filter(explains);
    // Where nothing is broken, what is stored is no news; where something is, it may be the cause.
    let mut found = found.filter(|finding| broken || finding.name != "storage-precision");
    if let Some(finding) = found.next() {
        let rest = match (audit.diagnosis.contradictions.first(), of(Verdict::Violated).next()) {
            (Some(contradiction), _) => format!(" The header says otherwise: {contradiction}."),
            (None, Some(violated)) => format!(" {} is violated under what the header declares.", violated.id),
            (None, None) => " Nothing is violated.".into(),
        };
        return format!("{}: {}.{rest}", finding.headline, finding.evidence);
    }
    if let Some(contradiction) = audit.diagnosis.contradictions.first() {
        return format!("The run is not what its header says: {contradiction}.");
    }
    if let Some(violated) = of(Verdict::Violated).next() {
        let place = violated.observation.place.map_or(String::new(), |place| format!(" at {place}"));
        return format!("{} is violated{place}: {}.", violated.id, violated.observation.note);
    }
    if let Some(broken) = of(Verdict::Outside).find(|judged| judged.observation.observed == Observed::Breaks)
        && let Some(ran) = what_ran(&audit.diagnosis)
    {
        let growth = audit.claim("norm-growth", broken.tower).map(|judged| judged.observation.observed);
        let norms = match growth {
            Some(Observed::Holds) => "; no step shrinks a norm all the same",
            Some(Observed::Breaks) => ", and norms shrink",
            _ => "",
        };
        return format!("{ran}: {} breaks as it must{norms}. Nothing is violated.", broken.id);
    }
    let reason = of(Verdict::Outside).find_map(|judged| match &judged.hypotheses {
        Hypotheses::Unmet(unmet) if judged.observation.observed == Observed::Breaks => unmet
            .first()
            .map(|(condition, why)| format!("{} breaks, as {condition} is unmet: {why}", judged.id)),
        _ => None,
    });
    match reason {
        Some(reason) => format!("Nothing is violated; {reason}."),
        None => match (of(Verdict::Confirmed).count(), of(Verdict::Undecided).count()) {
            (0, 0) => "Nothing could be judged.".into(),
            (0, _) => "Nothing is violated, and nothing could be decided.".into(),
            (confirmed, 0) => format!("All {confirmed} judgements within their hypotheses are confirmed."),
            (confirmed, undecided) => format!("Nothing is violated: {confirmed} confirmed, {undecided} undecided."),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 3, 6, 9]);
        assert_eq!(spread(10, 10), (0..10).collect::<Vec<_>>());
        assert!(spread(0, SHOWN).is_empty());
        assert_eq!((spread(1000, SHOWN).len(), spread(1000, SHOWN)[SHOWN - 1]), (SHOWN, 999));
    }

    #[test]
    fn the_motion_of_both_towers_is_told_at_steps_of_the_run() {
        use crate::trajectory::{Array, Settings};
        let row = |k: usize| [1.0 + k as f64, 0.0, 0.0, 2.0 * (1.0 + k as f64)];
        let states: Vec<f64> = (0..3).flat_map(row).collect();
        let q = || Array::from_f64(&[3, 2, 2], &states);
        let numbers = Array::from_i64(&[2], &[10, 11]);
        let arrays = [("item/q", q()), ("user/q", q()), ("step", numbers)];
        let arrays = arrays.into_iter().map(|(name, array)| (name.to_owned(), array)).collect();
        let audit = audit(&Trajectory::new(Settings::default(), arrays).unwrap()).unwrap();
        let found = crate::report::json::audit_body(&audit)["motion"].clone();
        assert_eq!(found["shares"].as_array().unwrap().len(), 7);
        for (tower, side) in ["item", "user"].into_iter().enumerate() {
            let found = &found["towers"][tower];
            assert_eq!((&found["tower"], &found["steps"][1]["step"]), (&side.into(), &11.into()));
            // Both rows grow along themselves: by 2, then by 3/2.
            let median = |name: &str, step: usize| found["steps"][step][name][3].as_f64().unwrap();
            assert_eq!((median("growth", 0), median("growth", 1), median("cosine", 1)), (2.0, 1.5, 1.0));
        }
        let text = crate::report::terminal::audit_text(&audit, crate::report::terminal::Colour::Off);
        assert!(text.contains("motion     item: step 10: 2 of 2 rows moved, cos∠(q, Δq) 1.000e0"), "{text}");
    }
}
