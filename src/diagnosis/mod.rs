//! What really ran, and why: the causes behind a recorded run, from its arrays alone.
//!
//! | room | causes |
//! |---|---|
//! | [`sgd_family`] | rate, schedule, momentum, Nesterov, decay, dense or lazy: a robust least-squares fit |
//! | `gradient` | why gradients are not orthogonal to their rows: dot product, epsilon, axis, detached norm, shared rows, … |
//! | `step` | why steps are none of the SGD family: clipping, constraints on norms, coordinate-wise and row-wise scaling, … |
//! | `table` | how embeddings hang on parameters, which rows are frozen, what is stored |
//!
//! A cause is one object (`Cause`) with a statistic that is zero up to rounding if the cause is at work, and that chance or another
//! cause would not make zero. Causes of one room exclude each other: where the statistics of two hold, or of none, the finding
//! says that the data do not tell. Nothing is read from the header, so that findings do not depend on it; what it declares
//! otherwise is a contradiction.

pub(crate) mod advice;
mod balance;
mod gradient;
mod histories;
mod leaks;
pub mod sgd_family;
mod step;
mod table;

use serde::Serialize;

use crate::error::Result;
use crate::facts::{Context, RecordFacts, Survey};
use crate::geometry::norm_f64;
use crate::rounding::Precision;
use crate::trajectory::{Record, Rows, Side, Similarity, Tower};
use crate::verdict::Observed;
pub use advice::Advice;
use histories::{Histories, Visit};
use leaks::Leaks;
use sgd_family::{Estimate, Fit};

/// Elementwise roundings on the way of a gradient through a normalisation and back, as in the allowance of a gradient.
const ELEMENTWISE: usize = 16;

/// Something that the run shows, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// A short name.
    pub name: String,
    /// The tower.
    pub tower: Option<Side>,
    /// The estimate, where it is a number.
    pub estimate: Option<f64>,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// What it rests on: which records, rows and steps, how many.
    pub evidence: String,
    /// What it means.
    pub meaning: String,
    /// The finding in plain words.
    #[serde(skip)]
    pub headline: String,
    /// Whether it is a mistake in any design, so that the first sentence of a report must be about it.
    #[serde(skip)]
    pub accuses: bool,
}

/// What was measured from the run, never copied from its header.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Diagnosis {
    /// The rule that explains the steps, where one does.
    pub optimizer: Option<String>,
    /// η, its median where it varies; None where it cannot be told.
    pub lr: Option<f64>,
    /// β; 0 where absent.
    pub momentum: Option<f64>,
    /// Whether the momentum looks ahead.
    pub nesterov: Option<bool>,
    /// λ; 0 where absent.
    pub weight_decay: Option<f64>,
    /// `dense` or `lazy`.
    pub sparse: Option<Rows>,
    /// `cosine` or `dot`, where the gradients say so.
    pub similarity: Option<Similarity>,
    /// What was found, with evidence.
    pub findings: Vec<Finding>,
    /// Where the run contradicts its header.
    pub contradictions: Vec<String>,
    /// What can be done about what was found.
    pub advice: Vec<Advice>,
}

impl Diagnosis {
    /// A finding by its name.
    pub fn finding(&self, name: &str) -> Option<&Finding> {
        self.findings.iter().find(|finding| finding.name == name)
    }
}

/// What a cause is, whatever the run.
pub(crate) struct About {
    /// Its name.
    pub name: &'static str,
    /// What it means.
    pub meaning: &'static str,
    /// What can be done about it.
    pub advice: Option<&'static advice::Mitigation>,
    /// Whether it is a mistake in any design.
    pub accuses: bool,
}

/// What a cause found.
#[derive(Clone, Default)]
struct Found {
    headline: String,
    estimate: Option<f64>,
    interval: Option<(f64, f64)>,
    evidence: String,
    rule: Option<Rule>,
    /// What it is, where the cause is one of several.
    about: Option<&'static About>,
}

impl Found {
    fn new(headline: impl Into<String>, evidence: impl Into<String>) -> Found {
        Found { headline: headline.into(), evidence: evidence.into(), ..Found::default() }
    }
    fn estimated(
        headline: impl Into<String>,
        estimate: f64,
        interval: (f64, f64),
        evidence: impl Into<String>,
    ) -> Found {
        Found { estimate: Some(estimate), interval: Some(interval), ..Found::new(headline, evidence) }
    }
    fn under(self, rule: Rule) -> Found {
        Found { rule: Some(rule), ..self }
    }
}

/// The numbers of an update rule.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Rule {
    optimizer: &'static str,
    lr: Option<Estimate>,
    weight_decay: Option<f64>,
    /// β; None where the rule has none to speak of.
    momentum: Option<f64>,
    rows: Option<Rows>,
}

/// A cause with what it found.
struct Conclusion {
    about: &'static About,
    found: Found,
}

impl Conclusion {
    fn finding(&self, tower: Option<Side>) -> Finding {
        Finding {
            name: self.about.name.into(),
            tower,
            estimate: self.found.estimate,
            interval: self.found.interval,
            evidence: self.found.evidence.clone(),
            meaning: self.about.meaning.into(),
            headline: self.found.headline.clone(),
            accuses: self.about.accuses,
        }
    }
}

/// A cause: what it is, and whether the data show it.
trait Cause: Sync {
    /// What it is.
    fn about(&self) -> &'static About;
    /// What the data show of it; None where they do not show it.
    fn examine(&self, case: &Case<'_>) -> Option<Found>;
}

/// All evidence on one tower.
struct Case<'a> {
    /// The embeddings.
    tower: &'a Tower<'a>,
    /// The parameters behind them, where recorded.
    parameters: Option<&'a Tower<'a>>,
    context: &'a Context,
    survey: &'a Survey,
    /// What `gradient-orthogonality` observed.
    gradient: Observed,
    /// Rows of the embeddings.
    embeddings: &'a Histories,
    /// Rows that the optimizer moves: the parameters where recorded, else the embeddings.
    moved: &'a Histories,
    /// Survey of those.
    moved_survey: &'a Survey,
    /// ‖G‖ of every step over everything that is trained.
    together: &'a [f64],
    fit: Option<&'a Fit>,
    on_parameters: bool,
    precision: Precision,
    leaks: &'a Leaks,
}

impl Case<'_> {
    fn ask(&self, cause: &dyn Cause) -> Option<Conclusion> {
        let found = cause.examine(self)?;
        Some(Conclusion { about: found.about.unwrap_or(cause.about()), found })
    }

    /// What rounding allows of ⟨q,g⟩ at a record of the embeddings.
    fn gradient_allowance(&self, visit: &Visit) -> f64 {
        let next = visit.next();
        let record = Record {
            step: visit.time,
            row: visit.row,
            lookups: visit.lookups,
            q: &visit.q,
            q_next: &next,
            grad: Some(&visit.gradient),
        };
        let facts = RecordFacts {
            record: &record,
            norm: norm_f64(&visit.q),
            next_norm: norm_f64(&next),
            step_norm: norm_f64(&visit.step),
            radial_step: 0.0,
            growth: 0.0,
            gradient_norm: Some(norm_f64(&visit.gradient)),
            radial_gradient: 0.0,
        };
        self.context.gradient_allowance(&facts).0
    }
}

/// The middle of some numbers.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// The samples that a diagnosis of one tower works on.
pub(crate) struct Samples {
    embeddings: Histories,
    parameters: Option<(Histories, Survey)>,
    precision: Precision,
}

impl Samples {
    /// Samples a tower and the parameters behind it.
    ///
    /// # Errors
    /// What [`Tower::for_each`] finds unreadable.
    pub fn of(tower: &Tower<'_>, scales: &Survey, precision: Precision) -> Result<Samples> {
        let parameters = match tower.parameters() {
            None => None,
            Some(parameters) => {
                let scales = crate::facts::survey(&parameters)?;
                Some((Histories::of(&parameters, &scales, precision)?, scales))
            }
        };
        Ok(Samples { embeddings: Histories::of(tower, scales, precision)?, parameters, precision })
    }

    fn moved(&self) -> &Histories {
        self.parameters.as_ref().map_or(&self.embeddings, |(parameters, _)| parameters)
    }

    /// ‖G‖ of every step, over the rows that the optimizer moves.
    pub fn totals<'a>(&'a self, scales: &'a Survey) -> &'a [f64] {
        &self.parameters.as_ref().map_or(scales, |(_, scales)| scales).total_gradient
    }

    /// The member of the SGD family that explains the steps, where one does.
    pub fn fit(&self, tower: &Tower<'_>) -> Option<Fit> {
        tower.is_complete().then(|| sgd_family::fit(self.moved(), self.precision)).flatten()
    }
}

/// Diagnoses one tower.
///
/// # Errors
/// What [`Tower::for_each`] finds unreadable.
pub(crate) fn diagnose(
    tower: &Tower<'_>,
    samples: &Samples,
    scales: &Survey,
    together: &[f64],
    context: &Context,
    fit: Option<&Fit>,
    gradient: Observed,
) -> Result<Diagnosis> {
    let leaks = match gradient {
        Observed::Breaks => Leaks::of(tower, context)?,
        _ => Leaks::default(),
    };
    let parameters = tower.parameters();
    let case = Case {
        tower,
        parameters: parameters.as_ref(),
        context,
        survey: scales,
        gradient,
        embeddings: &samples.embeddings,
        moved: samples.moved(),
        moved_survey: samples.parameters.as_ref().map_or(scales, |(_, scales)| scales),
        together,
        fit,
        on_parameters: parameters.is_some(),
        precision: samples.precision,
        leaks: &leaks,
    };
    let mut conclusions = gradient::decide(&case);
    let names = |conclusions: &[Conclusion], name: &str| conclusions.iter().any(|one| one.about.name == name);
    let mut diagnosis = Diagnosis {
        similarity: match gradient {
            Observed::Holds => Some(Similarity::Cosine),
            _ => names(&conclusions, "dot-product").then_some(Similarity::Dot),
        },
        ..Diagnosis::default()
    };
    let averaged = names(&conclusions, "parameter-averaging");
    if let Some(fit) = fit {
        describe_fit(&mut diagnosis, tower.side(), fit, averaged);
    }
    conclusions.extend(step::decide(&case));
    conclusions.extend(table::decide(&case));
    for conclusion in &conclusions {
        diagnosis.findings.push(conclusion.finding(tower.side()));
        if let Some(rule) = &conclusion.found.rule {
            diagnosis.optimizer = Some(rule.optimizer.into());
            diagnosis.lr = rule.lr.map(|lr| lr.value);
            diagnosis.momentum = rule.momentum;
            diagnosis.weight_decay = rule.weight_decay;
            diagnosis.sparse = rule.rows;
            diagnosis.nesterov = rule.momentum.map(|_| false);
            if let Some(lr) = rule.lr {
                let evidence = conclusion.found.evidence.clone();
                diagnosis.findings.push(number("learning-rate", tower.side(), lr, evidence));
            }
        }
        diagnosis.advise(conclusion.about.name, tower.side(), conclusion.about.advice);
    }
    Ok(diagnosis)
}

impl Diagnosis {
    /// Adds advice for a finding.
    pub(crate) fn advise(&mut self, cause: &str, tower: Option<Side>, mitigation: Option<&'static advice::Mitigation>) {
        if let Some(mitigation) = mitigation {
            self.advice.push(mitigation.against(cause, tower));
        }
    }
}

fn number(name: &str, tower: Option<Side>, estimate: Estimate, evidence: String) -> Finding {
    let meaning = match name {
        "learning-rate" => "the rate at which the recorded gradients were applied",
        "momentum" => "steps remember earlier gradients: they are not orthogonal, and norms grow all the same",
        "weight-decay" => "every step pulls norms towards zero, by the rate times this",
        _ => "",
    };
    Finding {
        name: name.into(),
        tower,
        estimate: Some(estimate.value),
        interval: Some((estimate.value - estimate.half_width, estimate.value + estimate.half_width)),
        evidence,
        meaning: meaning.into(),
        headline: String::new(),
        accuses: false,
    }
}

fn describe_fit(diagnosis: &mut Diagnosis, tower: Option<Side>, fit: &Fit, averaged: bool) {
    diagnosis.optimizer = Some("sgd".into());
    diagnosis.nesterov = Some(fit.nesterov);
    diagnosis.weight_decay = Some(fit.weight_decay.value);
    diagnosis.sparse = fit.rows;
    let evidence = format!("{:.1} % of {} records on rows looked up at most once", 100.0 * fit.explained, fit.records);
    let (mut lr, mut momentum) = (fit.lr, fit.momentum);
    if averaged {
        // The average hides the rate: its steps are (1 − α) times smaller.
        let share = 1.0 - fit.momentum.value;
        lr = Estimate {
            value: lr.value / share,
            half_width: lr.half_width / share + lr.value * momentum.half_width / (share * share),
        };
        momentum = Estimate::default();
        diagnosis.sparse = None;
    }
    diagnosis.lr = Some(lr.value);
    diagnosis.momentum = Some(momentum.value);
    let numbers = [("learning-rate", lr), ("momentum", momentum), ("weight-decay", fit.weight_decay)];
    for (name, estimate) in numbers.into_iter().filter(|(_, estimate)| estimate.value != 0.0) {
        let evidence = match name == "learning-rate" && fit.schedule.is_some() {
            true => format!("it varies from step to step; {evidence}"),
            false => evidence.clone(),
        };
        diagnosis.findings.push(number(name, tower, estimate, evidence));
    }
    diagnosis.advise("momentum", tower, (momentum.value != 0.0).then_some(&advice::PROJECT));
    diagnosis.advise("weight-decay", tower, (fit.weight_decay.value != 0.0).then_some(&advice::DECAY));
}
