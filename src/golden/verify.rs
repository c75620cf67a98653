//! Judges a trainer, or a recording, by a fixture.
//!
//! A trainer gets each step of a fixture as a scenario that starts from the golden state (or, where an optimizer remembers, the
//! whole run), and every number that it records is compared with the golden one: in units in the last place, and against the
//! bound that any right implementation keeps. Then it gets the scenario once more with other parameters, whose values nobody has
//! stored: who echoes a fixture fails there. Where a number is outside, the first place in the order of computation is reported,
//! and which known mistakes would give just these numbers.

use std::collections::BTreeMap;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::Fault;
use super::fixture::{Expected, Fixture, Judged, Recording, exact, read_steps};
use super::observe::{Bound, Bounds, Stage, Step, bounds, map};
use crate::error::{Error, Result};
use crate::rounding::Precision;
use crate::scenario::Materialised;
use crate::trainer::Trainer;
use crate::trajectory::{Array, Side, Trajectory};
use crate::verdict::ExitCode;

/// A number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The step of the fixture, from 0.
    pub step: usize,
    /// What it is.
    pub stage: Stage,
    /// The tower, where it belongs to one.
    pub side: Option<Side>,
    /// The row of that tensor.
    pub row: usize,
    /// The column.
    pub column: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Place { step, stage, side, row, column } = self;
        match side {
            Some(side) => write!(f, "step {step}, {side} {stage}, row {row}, column {column}"),
            None => write!(f, "step {step}, {stage}, entry {row}"),
        }
    }
}

/// How one tensor of one step compares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Compared {
    /// The worst place: where the difference is largest against what is allowed.
    pub place: Place,
    /// What the trainer gave there.
    pub observed: f64,
    /// The golden value.
    pub expected: f64,
    /// What the difference may be.
    pub allowed: f64,
    /// |observed − expected| in units in the last place of the expected number.
    pub ulps: f64,
    /// |observed − expected|/allowed; above 1 the tensor is outside.
    pub ratio: f64,
    /// Numbers compared.
    pub judged: usize,
    /// Numbers whose bound is as large as the largest number of the tensor: they say nothing.
    pub unjudged: usize,
}

/// The first place that left its bound.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct First {
    /// Where.
    pub place: Place,
    /// The numbers there.
    pub compared: Compared,
    /// The classes of failure that give every number of this vector.
    pub classes: Vec<Fault>,
    /// Whether it was found with parameters that are not the fixture's.
    pub perturbed: bool,
}

/// What came of a comparison.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// Every tensor that was recorded, in the order of computation.
    pub tensors: Vec<Compared>,
    /// Tensors that were not.
    pub missing: usize,
    /// The first that is outside.
    pub first: Option<First>,
}

impl Judgement {
    /// Numbers compared.
    pub fn judged(&self) -> usize {
        self.tensors.iter().map(|tensor| tensor.judged).sum()
    }
    /// The tensor that is nearest its bound.
    pub fn worst(&self) -> Option<&Compared> {
        self.tensors.iter().max_by(|a, b| a.ratio.total_cmp(&b.ratio))
    }
}

/// The distance between neighbouring numbers of a format around x, in the format's normal range.
fn ulp(x: f64, precision: Precision) -> f64 {
    let u = precision.unit_roundoff();
    match x.abs() {
        0.0 => precision.underflow(),
        size => 2.0 * u * 2.0_f64.powi(size.log2().floor().max(-1021.0) as i32),
    }
}

/// One vector to judge by: the template of its tensors with what is expected and allowed.
struct Vector<'a> {
    values: &'a Materialised,
    bounds: Bounds,
    expected: Vec<Step<f64>>,
    /// How many bounds the difference may be: two where the expected values are themselves computed in f64.
    share: f64,
    /// The step of the fixture that its first step is.
    offset: usize,
    perturbed: bool,
    precision: Precision,
}

/// Compares one tensor; None where nothing was recorded.
fn compare(
    tensor: &super::Tensor<Bound>,
    expected: &[f64],
    observed: &[f64],
    step: usize,
    vector: &Vector<'_>,
) -> Option<Compared> {
    let largest = expected.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let mut worst: Option<Compared> = None;
    let (mut judged, mut unjudged) = (0, 0);
    for (index, ((bound, &expected), &observed)) in tensor.values.iter().zip(expected).zip(observed).enumerate() {
        // The golden value is itself rounded to a double.
        let rounding = Precision::F64.unit_roundoff() * expected.abs();
        let allowed = vector.share * bound.error + if bound.error > 0.0 { rounding } else { 0.0 };
        if !(allowed.is_finite() && (allowed < largest || largest == 0.0)) {
            unjudged += 1;
            continue;
        }
        judged += 1;
        let difference = (observed - expected).abs();
        let ratio = match difference {
            0.0 => 0.0,
            difference if difference.is_finite() => difference / allowed,
            _ => f64::INFINITY,
        };
        if worst.as_ref().is_none_or(|worst| ratio > worst.ratio) {
            let place = Place {
                step,
                stage: tensor.stage,
                side: tensor.side,
                row: index / tensor.width,
                column: index % tensor.width,
            };
            // Beside an exact 0 the unit of the largest number is what counts.
            let unit = if expected == 0.0 { largest } else { expected };
            let ulps = difference / ulp(unit, vector.precision);
            worst = Some(Compared { place, observed, expected, allowed, ulps, ratio, judged: 0, unjudged: 0 });
        }
    }
    worst.map(|worst| Compared { judged, unjudged, ..worst })
}

/// Every tensor of a recording against a vector.
fn compare_all(recording: &Recording, vector: &Vector<'_>) -> (Vec<Compared>, usize) {
    let (mut tensors, mut missing) = (Vec::new(), 0);
    for (index, ((step, expected), found)) in
        vector.bounds.steps.iter().zip(&vector.expected).zip(&recording.steps).enumerate()
    {
        for ((tensor, expected), found) in step.iter().zip(expected).zip(found) {
            match found {
                None => missing += 1,
                Some(found) => tensors.extend(compare(tensor, &expected.values, found, vector.offset + index, vector)),
            }
        }
    }
    (tensors, missing)
}

/// The mistakes that give every number of a recording. One that changes nothing here explains nothing.
fn classes(recording: &Recording, vector: &Vector<'_>) -> Vec<Fault> {
    let is_outside = |tensors: &[Compared]| tensors.iter().any(|tensor| tensor.ratio > 1.0);
    let gives = |fault: &Fault| {
        let wrong = bounds(vector.values, Some(*fault), vector.precision);
        let expected = map(&wrong.steps, |bound| bound.value);
        let mistaken = Vector { bounds: wrong, expected, share: 2.0, ..*vector };
        let (tensors, _) = compare_all(recording, &mistaken);
        !tensors.is_empty() && !is_outside(&tensors)
    };
    Fault::PROGRAMS.into_iter().filter(gives).collect()
}

/// Judges a recording by a vector; `stored` are the fixture's own values.
fn judge(recording: &Recording, vector: &Vector<'_>, stored: Option<&[Step<f64>]>) -> Judgement {
    let (tensors, missing) = compare_all(recording, vector);
    let first = tensors.iter().find(|tensor| tensor.ratio > 1.0).map(|compared| {
        let echo = stored.is_some_and(|stored| is_echo(recording, stored));
        let classes = match echo {
            true => vec![Fault::Echo],
            false => classes(recording, vector),
        };
        First { place: compared.place, compared: compared.clone(), classes, perturbed: vector.perturbed }
    });
    Judgement { tensors, missing, first }
}

/// Whether every recorded number is the stored one.
fn is_echo(recording: &Recording, stored: &[Step<f64>]) -> bool {
    let steps = recording.steps.iter().zip(stored);
    let mut pairs = steps.flat_map(|(found, stored)| found.iter().zip(stored));
    pairs.all(|(found, stored)| found.as_ref().is_none_or(|found| *found == stored.values))
}

/// Judges arrays, named as in a trajectory, that are a run of a fixture's scenario.
///
/// # Errors
/// Arrays of other shapes than the scenario's.
pub(super) fn judge_arrays(
    fixture: &Fixture,
    place: &str,
    arrays: &BTreeMap<String, Array>,
    precision: Precision,
) -> Result<Judgement> {
    let vector = run_vector(fixture, precision);
    let recording = read_steps(place, arrays, &vector.bounds.steps)?;
    Ok(judge(&recording, &vector, None))
}

/// A recorded run of a fixture's scenario: judged as one run from the initial values, in the coarser arithmetic of the two.
///
/// # Errors
/// Arrays of other shapes than the scenario's.
pub fn judge_recording(fixture: &Fixture, trajectory: &Trajectory) -> Result<Judgement> {
    let recorded = trajectory.towers().iter().map(crate::trajectory::Tower::precision).min();
    let declared = trajectory.settings().param_dtype;
    let precision = [recorded, declared, Some(fixture.values.scenario.precision)].into_iter().flatten().min();
    match precision {
        Some(precision @ (Precision::F32 | Precision::F64)) => {
            judge_arrays(fixture, trajectory.origin(), trajectory.arrays(), precision)
        }
        other => {
            let found = other.map_or_else(|| "none".into(), |precision| precision.to_string());
            Err(Error::input(trajectory.origin(), "a recording in float32 or float64", found))
        }
    }
}

fn run_vector(fixture: &Fixture, precision: Precision) -> Vector<'_> {
    let bounds = bounds(&fixture.values, None, precision);
    let expected = fixture.steps.clone();
    Vector { values: &fixture.values, bounds, expected, share: 1.0, offset: 0, perturbed: false, precision }
}

/// How a trainer did with one fixture.
#[derive(Debug)]
pub struct Outcome {
    /// `claim/case`.
    pub id: String,
    /// Step by step or as one run.
    pub judged: Judged,
    /// What came of it.
    pub result: Verified,
}

/// What came of one fixture.
#[derive(Debug)]
pub enum Verified {
    /// Every vector within its bounds.
    Passed(Vec<Judgement>),
    /// One is not.
    Failed(Vec<Judgement>),
    /// The trainer does not implement the scenario.
    Skipped(String),
    /// The trainer, or what it left, cannot be judged.
    Broken(Error),
    /// A recording that has to be refused was refused, for its reason.
    Refused(Fault),
    /// It was not.
    NotRefused(String),
}

impl Outcome {
    /// The exit code that follows; None where nothing was executed.
    pub fn exit_code(&self) -> Option<ExitCode> {
        match &self.result {
            Verified::Passed(_) => Some(ExitCode::Success),
            Verified::Failed(_) | Verified::NotRefused(_) => Some(ExitCode::Violated),
            Verified::Broken(error) => Some(error.exit_code()),
            Verified::Skipped(_) | Verified::Refused(_) => None,
        }
    }

    /// The judgements of the vectors that were executed.
    pub fn judgements(&self) -> &[Judgement] {
        match &self.result {
            Verified::Passed(judgements) | Verified::Failed(judgements) => judgements,
            _ => &[],
        }
    }

    /// The first place that left its bound.
    pub fn first(&self) -> Option<&First> {
        self.judgements().iter().find_map(|judgement| judgement.first.as_ref())
    }
}

/// Lets a trainer do a fixture.
pub fn verify(fixture: &Fixture, trainer: &dyn Trainer, seed: u64) -> Outcome {
    let result = match fixture.document.expected {
        Expected::Failure => refuse(fixture),
        Expected::Values => execute(fixture, trainer, seed),
    };
    let result = result.unwrap_or_else(|error| match error.is_unsupported() {
        true => Verified::Skipped(error.to_string()),
        false => Verified::Broken(error),
    });
    Outcome { id: fixture.document.id(), judged: fixture.document.judged, result }
}

/// A recording that has to be refused: it is judged by the true values, which follow from its scenario.
fn refuse(fixture: &Fixture) -> Result<Verified> {
    let failure = fixture
        .document
        .failure
        .as_ref()
        .ok_or_else(|| Error::input(fixture.document.id(), "a class of failure", "none"))?;
    let vector =
        Vector { expected: exact(&fixture.values).0, ..run_vector(fixture, fixture.values.scenario.precision) };
    let recording = Recording::complete(&fixture.steps);
    let judgement = judge(&recording, &vector, None);
    Ok(match judgement.first {
        None => Verified::NotRefused("a wrong recording is within its bounds".into()),
        Some(first) if (first.place.step, first.place.stage) != (failure.step, failure.stage) => Verified::NotRefused(
            format!("expected step {}, {} as the first place, found {}", failure.step, failure.stage, first.place),
        ),
        Some(first) if !first.classes.contains(&failure.class) => {
            let found: Vec<_> = first.classes.iter().map(|class| class.class()).collect();
            Verified::NotRefused(format!("expected the class {}, found {found:?}", failure.class.class()))
        }
        Some(_) => Verified::Refused(failure.class),
    })
}

fn train(trainer: &dyn Trainer, vector: &Vector<'_>, id: &str) -> Result<Recording> {
    let trajectory = trainer.train(vector.values)?;
    read_steps(&format!("{id}: the trajectory of {}", trainer.name()), trajectory.arrays(), &vector.bounds.steps)
}

fn execute(fixture: &Fixture, trainer: &dyn Trainer, seed: u64) -> Result<Verified> {
    let precision = fixture.values.scenario.precision;
    let id = fixture.document.id();
    let mut judgements = Vec::new();
    match fixture.document.judged {
        Judged::Run => {
            let vector = run_vector(fixture, precision);
            judgements.push(judge(&train(trainer, &vector, &id)?, &vector, None));
        }
        Judged::Steps => {
            for step in 0..fixture.steps.len() {
                let values = fixture.one_step(step);
                let bounds = bounds(&values, None, precision);
                let expected = vec![fixture.steps[step].clone()];
                let vector =
                    Vector { values: &values, bounds, expected, share: 1.0, offset: step, perturbed: false, precision };
                judgements.push(judge(&train(trainer, &vector, &id)?, &vector, None));
            }
        }
    }
    let values = perturbed(&fixture.values, seed);
    let bounds = bounds(&values, None, precision);
    // Where rounding may have chosen a branch the bound says nothing of the other: then the stored vectors alone count.
    if !bounds.uncertain {
        let expected = exact(&values).0;
        let vector = Vector { values: &values, bounds, expected, share: 1.0, offset: 0, perturbed: true, precision };
        judgements.push(judge(&train(trainer, &vector, &id)?, &vector, Some(&fixture.steps)));
    }
    if judgements.iter().map(Judgement::judged).sum::<usize>() == 0 {
        return Err(Error::input(id, "recorded numbers to judge", "none"));
    }
    let failed = judgements.iter().any(|judgement| judgement.first.is_some());
    Ok(if failed {
        Verified::Failed(judgements)
    } else {
        Verified::Passed(judgements)
    })
}

/// The same scenario with every parameter changed by up to a sixteenth of itself.
fn perturbed(values: &Materialised, seed: u64) -> Materialised {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut values = values.clone();
    let precision = values.scenario.precision;
    for table in values.item.tables.iter_mut().chain(&mut values.user.tables) {
        for x in table.values_mut() {
            *x = precision.round(*x * (1.0 + (2.0 * random.random::<f64>() - 1.0) / 16.0));
        }
    }
    values.scenario = values.explicit();
    values
}

/// How far a free run of the whole scenario is from the golden one after its last step, in units in the last place of the largest
/// embedding: for information, since no honest tolerance is known for it. None where the fixture is judged as one run anyway.
///
/// # Errors
/// As the trainer's.
pub fn drift(fixture: &Fixture, trainer: &dyn Trainer) -> Result<Option<f64>> {
    if fixture.document.judged == Judged::Run || fixture.steps.len() < 2 {
        return Ok(None);
    }
    let precision = fixture.values.scenario.precision;
    let trajectory = trainer.train(&fixture.values)?;
    let recording = read_steps(&fixture.document.id(), trajectory.arrays(), &fixture.steps)?;
    let (Some(last), Some(golden)) = (recording.steps.last(), fixture.steps.last()) else {
        return Ok(None);
    };
    let mut drift = 0.0_f64;
    for (found, golden) in last.iter().zip(golden).filter(|(_, golden)| golden.stage == Stage::EmbeddingAfter) {
        let largest = golden.values.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        for (found, golden) in found.iter().flatten().zip(&golden.values) {
            drift = drift.max((found - golden).abs() / ulp(largest, precision));
        }
    }
    Ok(Some(drift))
}
