//! The theorem suite: a claim against random scenarios, its twins and its controls.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use rayon::prelude::*;
use serde::Serialize;

use super::Claim;
use super::specimen::Specimen;
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::geometry::norm_f64;
use crate::reference::{Reference, Session};
use crate::scenario::random::{Parts, scenarios_of};
use crate::scenario::simpler::simpler;
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Observed, Status as ConditionStatus};

/// A twin must exceed its allowance this many times.
pub const TWIN_MARGIN: f64 = 100.0;
/// Seeds that a twin and a control are tried with.
pub const SPECIMEN_SEEDS: u64 = 16;
/// How long a failing case is shrunk where nothing else is asked for.
const SHRINKING: Duration = Duration::from_secs(60);

/// Of this many scenarios at least one should be implemented by the trainer; beyond that, those that it turns down are no
/// longer replaced by others.
const TURNED_DOWN_AT_MOST: u64 = 5;
/// How many may be turned down before the first is judged, however few are asked for.
const PATIENCE: u64 = 20;

/// How the reason begins where too few scenarios could be judged.
const GAVE_UP: &str = "the generator gave up";

/// What to check, and how long.
#[derive(Debug, Clone)]
pub struct Options {
    /// Random scenarios to judge.
    pub cases: u64,
    /// Seed of the random scenarios.
    pub seed: u64,
    /// Stop drawing scenarios after this long.
    pub time: Option<Duration>,
    /// How long a failing case is shrunk; not at all if zero.
    pub shrinking: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { cases: 256, seed: 0, time: None, shrinking: SHRINKING }
    }
}

/// Random scenarios that the test of each claim judges: `PERPEND_CASES`, or 500.
#[cfg(test)]
pub(super) fn cases_of_tests() -> u64 {
    std::env::var("PERPEND_CASES").map_or(500, |text| text.parse().expect("PERPEND_CASES is a number of scenarios"))
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// All cases held, all twins broke, all controls held.
    Passed,
    /// Something did not.
    Failed,
    /// The trainer implements none of it.
    Skipped,
}

/// A twin's or a control's result.
#[derive(Debug, Clone, Serialize)]
pub struct SpecimenReport {
    /// Its name.
    pub name: &'static str,
    /// The condition that it drops.
    pub drops: Option<String>,
    /// Seeds tried.
    pub seeds: u64,
    /// Seeds in which the claim broke.
    pub broke: u64,
    /// The largest residual in units of the allowance.
    #[serde(serialize_with = "finite_or_text")]
    pub margin: f64,
    /// Whether it did what it must.
    pub as_expected: bool,
}

/// JSON has no infinity: an infinite margin (a residual where none is allowed) is written as text.
fn finite_or_text<S: serde::Serializer>(value: &f64, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    if value.is_finite() {
        serializer.serialize_f64(*value)
    } else {
        serializer.serialize_str(&value.to_string())
    }
}

/// A case that did not hold.
#[derive(Debug, Clone, Serialize)]
pub struct Failure {
    /// The smallest scenario found.
    pub scenario: Scenario,
    /// What was observed on it; None where the trainer itself failed.
    pub observation: Option<Observation>,
    /// What went wrong.
    pub reason: String,
    /// The trainer's error, where that is what went wrong.
    #[serde(skip)]
    pub error: Option<Error>,
    /// The file that the scenario was written to, if it was.
    pub case: Option<std::path::PathBuf>,
}

impl Failure {
    fn because(scenario: Scenario, reason: impl Into<String>) -> Self {
        Failure { scenario, observation: None, reason: reason.into(), error: None, case: None }
    }

    fn of(scenario: Scenario, error: Error) -> Self {
        Failure { error: Some(error.clone()), ..Self::because(scenario, error.to_string()) }
    }

    /// Whether nothing broke, but too few scenarios could show anything.
    pub fn gave_up(&self) -> bool {
        self.observation.is_none() && self.reason.starts_with(GAVE_UP)
    }
}

/// The result of checking one claim.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// The claim.
    pub id: &'static str,
    /// Random scenarios judged.
    pub cases: u64,
    /// Scenarios in which nothing could be told (no row had a gradient, or rounding hid it); they do not count as cases.
    pub inconclusive: u64,
    /// Scenarios that the generator's own demands turned down; they do not count as cases.
    pub rejected: u64,
    /// Scenarios that the trainer does not implement; they do not count as cases.
    pub unsupported: u64,
    /// Twins.
    pub twins: Vec<SpecimenReport>,
    /// Controls.
    pub controls: Vec<SpecimenReport>,
    /// The largest residual of a case, in units of its allowance.
    #[serde(serialize_with = "finite_or_text")]
    pub worst: f64,
    /// How it ended.
    pub status: Status,
    /// The smallest failing case, if one failed.
    pub failure: Option<Failure>,
    /// Seconds it took.
    pub seconds: f64,
}

/// What one scenario said.
enum Outcome {
    Judged(Box<Observation>),
    Rejected,
    Unsupported,
    Failed(Error),
}

/// An embedding of length 0 has no direction: no claim speaks of it.
pub(crate) fn has_directions(materialised: &Materialised) -> bool {
    let session = Session::<f64>::new(materialised);
    let all = |side: Side| {
        (0..materialised.scenario.tower(side).rows).all(|row| norm_f64(&session.embedding(side, row)) > 0.0)
    };
    all(Side::Item) && all(Side::User)
}

fn examine(claim: &dyn Claim, scenario: &Scenario, trainer: &dyn Trainer) -> Outcome {
    let materialised = match scenario.materialise() {
        Ok(materialised) => materialised,
        Err(error) => {
            return Outcome::Failed(Error::internal(format!("the generator made an invalid scenario: {error}")));
        }
    };
    if !has_directions(&materialised) {
        return Outcome::Rejected;
    }
    match claim.examine(&materialised, trainer) {
        Ok(observation) => Outcome::Judged(Box::new(observation)),
        Err(error) if error.is_unsupported() => Outcome::Unsupported,
        // An embedding that training drives to zero length, or a user tower that diverges, leaves numbers that no file
        // may hold: the scenario is outside the theory, and the generators' share of these is asserted to be small.
        Err(error) if error.is_not_finite() => Outcome::Rejected,
        Err(error) => Outcome::Failed(error),
    }
}

/// What a scenario shows to be wrong, if it does.
fn failure_on(claim: &dyn Claim, scenario: &Scenario, trainer: &dyn Trainer) -> Option<Failure> {
    match examine(claim, scenario, trainer) {
        Outcome::Judged(observation) if observation.observed == Observed::Breaks => {
            let reason = observation.note.clone();
            Some(Failure { observation: Some(*observation), ..Failure::because(scenario.clone(), reason) })
        }
        Outcome::Failed(error) => Some(Failure::of(scenario.clone(), error)),
        _ => None,
    }
}

/// Makes a failing scenario simpler, one change at a time, as long as the same goes wrong: the claim breaks, or the trainer
/// answers with an error. Conditions of the claim that were met stay met.
fn smallest(claim: &dyn Claim, mut found: Failure, trainer: &dyn Trainer, time: Duration) -> Failure {
    let start = Instant::now();
    let unmet = |scenario: &Scenario| {
        let unmet = |condition: &&Condition| matches!(claim.status(scenario, **condition), ConditionStatus::Unmet(_));
        claim.conditions().iter().filter(unmet).count()
    };
    loop {
        let same = |failure: &Failure| {
            failure.error.is_some() == found.error.is_some() && !failure.error.as_ref().is_some_and(Error::is_trainer)
        };
        let next = simpler(&found.scenario)
            .take_while(|_| start.elapsed() < time)
            .filter(|scenario| unmet(scenario) <= unmet(&found.scenario))
            .find_map(|scenario| failure_on(claim, &scenario, trainer).filter(same));
        match next {
            Some(next) => found = next,
            None => return found,
        }
    }
}

/// Checks one claim with a trainer: random scenarios of what it implements, and twins and controls.
///
/// Twins and controls are trained by the reference, whoever the trainer is: they show that this check can fail and does not
/// cry wolf, and a trainer that does not implement them changes nothing about that.
///
/// # Errors
/// Only what is wrong with the suite itself; a trainer that fails, or a claim that breaks, is in the report.
pub fn check(
    claim: &dyn Claim,
    trainer: &dyn Trainer,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Report> {
    let start = Instant::now();
    let mut report = check_on(claim, trainer, options, progress, &|| Parts::from(claim.family()));
    if report.status == Status::Skipped || report.failure.as_ref().is_some_and(|failure| failure.error.is_some()) {
        return Ok(report);
    }
    report.twins = specimens(claim, &claim.twins(), &Reference, true)?;
    report.controls = specimens(claim, &claim.controls(), &Reference, false)?;
    if !report.twins.iter().chain(&report.controls).all(|specimen| specimen.as_expected) {
        report.status = Status::Failed;
    }
    report.seconds = start.elapsed().as_secs_f64();
    Ok(report)
}

/// Checks one claim with a trainer on random scenarios of these parts as far as it implements them, without twins and controls.
pub fn check_on(
    claim: &dyn Claim,
    trainer: &dyn Trainer,
    options: &Options,
    progress: &(dyn Fn(u64) + Sync),
    parts: &(dyn Fn() -> Parts + Sync),
) -> Report {
    let start = Instant::now();
    let [cases, inconclusive, rejected, unsupported] = [const { AtomicU64::new(0) }; 4];
    let worst = Mutex::new(0.0_f64);
    let failure: Mutex<Option<Failure>> = Mutex::new(None);
    let capabilities = trainer.capabilities();
    let parts = || parts().within(&capabilities);
    let implemented = parts().is_some();
    let stop = AtomicBool::new(false);
    let wanted = claim.about().sampling.wanted(options.cases);
    let out_of_time = || options.time.is_some_and(|time| start.elapsed() > time);

    // Independent streams of scenarios, a fixed number of them, so that the cases do not depend on the machine.
    const STREAMS: u64 = 8;
    let run = |stream: u64| {
        let share = wanted / STREAMS + u64::from(stream < wanted % STREAMS);
        let Some(parts) = parts().filter(|_| share > 0) else {
            return;
        };
        let mut seed = [0; 32];
        seed[..8].copy_from_slice(&options.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&stream.to_le_bytes());
        let config = Config {
            cases: share as u32,
            failure_persistence: None,
            max_global_rejects: 1000 + PATIENCE as u32 + (4 + TURNED_DOWN_AT_MOST as u32) * share as u32,
            // A trainer may implement only what is rarely drawn.
            max_local_rejects: u32::MAX,
            // The smallest case is looked for below, change by change; a new draw at every change of sizes takes too long.
            max_shrink_iters: 0,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
        let [judged, turned_down] = [const { AtomicU64::new(0) }; 2];
        let result = runner.run(&scenarios_of(parts), |scenario| {
            if stop.load(Ordering::Relaxed) || out_of_time() {
                return Ok(());
            }
            match examine(claim, &scenario, trainer) {
                Outcome::Rejected => {
                    rejected.fetch_add(1, Ordering::Relaxed);
                    Err(TestCaseError::reject("an embedding without a direction"))
                }
                Outcome::Unsupported => {
                    unsupported.fetch_add(1, Ordering::Relaxed);
                    let turned_down = turned_down.fetch_add(1, Ordering::Relaxed);
                    // Another scenario takes its place, unless nearly all are turned down.
                    if turned_down < share.max(PATIENCE) + (TURNED_DOWN_AT_MOST - 1) * judged.load(Ordering::Relaxed) {
                        Err(TestCaseError::reject("not implemented by the trainer"))
                    } else {
                        Ok(())
                    }
                }
                Outcome::Failed(error) if error.is_trainer() => {
                    // It is gone, and no smaller scenario can be asked of it.
                    stop.store(true, Ordering::Relaxed);
                    let found = Failure::of(scenario, error);
                    failure.lock().expect("no thread panics while it holds the lock").get_or_insert(found);
                    Ok(())
                }
                Outcome::Failed(error) => {
                    stop.store(true, Ordering::Relaxed);
                    Err(TestCaseError::fail(error.to_string()))
                }
                Outcome::Judged(observation) => {
                    if observation.observed == Observed::Inconclusive {
                        inconclusive.fetch_add(1, Ordering::Relaxed);
                        return Err(TestCaseError::reject("nothing to judge"));
                    }
                    judged.fetch_add(1, Ordering::Relaxed);
                    cases.fetch_add(1, Ordering::Relaxed);
                    progress(1);
                    let mut worst = worst.lock().expect("no thread panics while it holds the lock");
                    *worst = worst.max(observation.margin());
                    if observation.observed == Observed::Breaks {
                        stop.store(true, Ordering::Relaxed);
                        return Err(TestCaseError::fail("breaks"));
                    }
                    Ok(())
                }
            }
        });
        let found = match result {
            Ok(()) => return,
            Err(TestError::Fail(_, scenario)) => match failure_on(claim, &scenario, trainer) {
                Some(found) => smallest(claim, found, trainer, options.shrinking),
                None => Failure::because(scenario, "a case failed once and not again"),
            },
            Err(TestError::Abort(reason)) => {
                Failure::because(super::specimen::plain(0), format!("{GAVE_UP}: {reason}"))
            }
        };
        stop.store(true, Ordering::Relaxed);
        failure.lock().expect("no thread panics while it holds the lock").get_or_insert(found);
    };
    if trainer.is_parallel() {
        (0..STREAMS).into_par_iter().for_each(run);
    } else {
        (0..STREAMS).for_each(run);
    }

    let failure = failure.into_inner().expect("no thread panics while it holds the lock");
    let (cases, unsupported) = (cases.into_inner(), unsupported.into_inner());
    let status = if failure.is_some() {
        Status::Failed
    } else if cases == 0 && (unsupported > 0 || !implemented) {
        Status::Skipped
    } else if cases == 0 && options.cases > 0 {
        // A suite that judged nothing has not passed.
        Status::Failed
    } else {
        Status::Passed
    };
    Report {
        id: claim.id(),
        cases,
        inconclusive: inconclusive.into_inner(),
        rejected: rejected.into_inner(),
        unsupported,
        twins: Vec::new(),
        controls: Vec::new(),
        worst: worst.into_inner().expect("no thread panics while it holds the lock"),
        status,
        failure,
        seconds: start.elapsed().as_secs_f64(),
    }
}

/// Judges one explicit scenario.
///
/// # Errors
/// The trainer's, and the scenario's.
pub fn check_case(claim: &dyn Claim, scenario: &Scenario, trainer: &dyn Trainer) -> Result<Observation> {
    claim.examine(&scenario.materialise()?, trainer)
}

/// The results of several specimens.
fn specimens(
    claim: &dyn Claim,
    specimens: &[Specimen],
    trainer: &dyn Trainer,
    must_break: bool,
) -> Result<Vec<SpecimenReport>> {
    specimens.iter().map(|specimen| specimen_report(claim, specimen, trainer, must_break)).collect()
}

/// The result of one specimen. A twin must break in some seed by its margin; a control must hold in every seed, and be judged
/// in one at least.
///
/// # Errors
/// The trainer's, unless the scenario is unsupported or leaves the finite numbers.
pub fn specimen_report(
    claim: &dyn Claim,
    specimen: &Specimen,
    trainer: &dyn Trainer,
    must_break: bool,
) -> Result<SpecimenReport> {
    let (mut broke, mut held, mut margin) = (0, 0, 0.0_f64);
    for seed in 0..SPECIMEN_SEEDS {
        let materialised = specimen.materialise(seed)?;
        if !has_directions(&materialised) {
            continue;
        }
        match specimen.examine(claim, &materialised, trainer) {
            Ok(observation) => {
                margin = margin.max(observation.margin());
                broke += u64::from(observation.observed == Observed::Breaks);
                held += u64::from(observation.observed == Observed::Holds);
            }
            Err(error) if error.is_unsupported() || error.is_not_finite() => {}
            Err(error) => return Err(error),
        }
    }
    let skipped = broke + held == 0 && !must_break;
    let as_expected = if must_break {
        broke > 0 && margin >= TWIN_MARGIN
    } else {
        broke == 0 && !skipped
    };
    Ok(SpecimenReport {
        name: specimen.name,
        drops: specimen.drops.map(|condition| condition.to_string()),
        seeds: SPECIMEN_SEEDS,
        broke,
        margin,
        as_expected,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::norm_growth::NormGrowth;

    #[test]
    fn a_suite_that_judged_nothing_has_failed_unless_nothing_was_asked_for() {
        let status = |options: &Options| {
            check_on(&NormGrowth, &Reference, options, &|_| (), &|| Parts::from(NormGrowth.family())).status
        };
        assert_eq!(status(&Options { time: Some(Duration::ZERO), ..Options::default() }), Status::Failed);
        assert_eq!(status(&Options { cases: 0, ..Options::default() }), Status::Passed);
        assert_eq!(status(&Options { cases: 2, ..Options::default() }), Status::Passed);
    }

    struct Refusing;

    impl Trainer for Refusing {
        fn name(&self) -> String {
            "refusing".into()
        }
        fn train(&self, _: &Materialised) -> Result<crate::trajectory::Trajectory> {
            Err(Error::internal("not today"))
        }
    }

    /// Whether the claim breaks or the trainer fails, what is left cannot be made simpler without that going away.
    #[test]
    fn a_failing_case_is_as_small_as_it_can_be_and_fails_in_the_same_way() {
        use crate::claims::update_orthogonality::UpdateOrthogonality;
        use crate::reference::{Fault, Faulty};
        let trainers: [&dyn Trainer; 2] = [&Faulty(Fault::StaleGradient), &Refusing];
        for trainer in trainers {
            let options = Options { cases: 20, ..Options::default() };
            let parts = || Parts::from(UpdateOrthogonality.family());
            let failure =
                check_on(&UpdateOrthogonality, trainer, &options, &|_| (), &parts).failure.expect("a failure");
            let Scenario { dim, steps, item, .. } = &failure.scenario;
            if failure.error.is_some() {
                assert_eq!((trainer.name().as_str(), *dim, *steps, item.rows), ("refusing", 1, 1, 1));
            } else {
                // A late gradient needs a second step, and a direction to be wrong in.
                assert!(failure.observation.is_some());
                assert_eq!((*dim, *steps), (2, 2), "{}", failure.reason);
            }
            let kept = |scenario: &Scenario| {
                failure_on(&UpdateOrthogonality, scenario, trainer)
                    .is_some_and(|simpler| simpler.error.is_some() == failure.error.is_some())
            };
            assert!(!simpler(&failure.scenario).any(|scenario| kept(&scenario)));
        }
    }

    /// Implements one scenario in so many.
    struct Picky {
        every: u64,
        asked: AtomicU64,
    }

    impl Trainer for Picky {
        fn name(&self) -> String {
            "picky".into()
        }
        fn is_parallel(&self) -> bool {
            false
        }
        fn train(&self, materialised: &Materialised) -> Result<crate::trajectory::Trajectory> {
            if self.asked.fetch_add(1, Ordering::Relaxed).is_multiple_of(self.every) {
                Reference.train(materialised)
            } else {
                Err(Error::unsupported("most scenarios"))
            }
        }
    }

    #[test]
    fn scenarios_that_are_turned_down_are_replaced_unless_nearly_all_are() {
        let report = |every: u64| {
            let options = Options { cases: 80, shrinking: Duration::ZERO, ..Options::default() };
            let picky = Picky { every, asked: AtomicU64::new(0) };
            check_on(&NormGrowth, &picky, &options, &|_| (), &|| Parts::from(NormGrowth.family()))
        };
        let (half, few) = (report(2), report(100));
        assert_eq!((half.status, half.cases), (Status::Passed, 80), "{half:?}");
        assert!(half.unsupported.abs_diff(80 + half.inconclusive) <= 1, "{half:?}");
        // Each of the 8 streams of 10 is as patient as with 20, and with 4 more for each that it judged; then what is turned
        // down is counted in place of a case.
        assert_eq!(few.status, Status::Passed);
        assert!(few.cases > 0 && few.cases < 40, "{few:?}");
        let judged = few.cases;
        assert_eq!(few.unsupported, 8 * PATIENCE + (TURNED_DOWN_AT_MOST - 1) * judged + 80 - judged, "{few:?}");
    }

    #[test]
    fn a_trainer_that_answers_with_an_error_is_told_with_it() {
        let options = Options { cases: 2, shrinking: Duration::ZERO, ..Options::default() };
        let report = check_on(&NormGrowth, &Refusing, &options, &|_| (), &|| Parts::from(NormGrowth.family()));
        let failure = report.failure.expect("a failure");
        assert!(failure.reason.contains("not today") && failure.error.is_some(), "{failure:?}");
        assert_eq!(report.status, Status::Failed);
    }
}
