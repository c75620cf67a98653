//! What every claim judges on its own specimens and on random scenarios of its family, written down: allowances, signals and
//! how many records are judged.
//!
//! A bound that is a little too wide breaks no theorem, and a record left out unjustly breaks none either. Here a change of
//! either shows, number by number, and has to be meant.

use std::fmt::Write;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rayon::prelude::*;

use super::check::{TWIN_MARGIN, has_directions};
use super::specimen::{Specimen, plain};
use super::{ALL, Claim};
use crate::error::{Error, Result};
use crate::facts::{Measured, written};
use crate::reference::Reference;
use crate::scenario::Materialised;
use crate::scenario::random::scenarios;
use crate::verdict::{Observation, Observed};

/// How many scenarios of its family each claim judges.
const SCENARIOS: usize = 10;

/// By how much of itself an allowance may change where parameters change by some units in the last place: far more than what they
/// do to the size of anything, far less than from one coordinate to another.
const STEADY: f64 = 1e-9;

/// Seven digits: a small term of a bound shows in the last of them, and none of them is rounding.
fn digits(x: f64) -> String {
    format!("{x:.6e}")
}

/// The geometric mean, in which small numbers weigh as much as large ones.
fn mean(judged: &[Measured], what: fn(&Measured) -> f64) -> String {
    let logarithms: f64 = judged.iter().map(|judged| what(judged).ln()).sum();
    digits((logarithms / judged.len() as f64).exp())
}

/// The same scenario from parameters some units in the last place away.
fn nearby(materialised: &Materialised) -> Materialised {
    let mut nearby = materialised.clone();
    let tables = nearby.item.tables.iter_mut().chain(&mut nearby.user.tables);
    for (k, x) in tables.flat_map(|table| table.values_mut()).enumerate() {
        *x *= 1.0 + (k % 3) as f64 * f64::EPSILON;
    }
    nearby
}

fn observed(observation: &Observation) -> String {
    let mut text = format!("{}, {} judged", observation.observed, observation.judged);
    if observation.observed == Observed::Inconclusive {
        write!(text, ": {}", observation.note).unwrap();
    }
    // What holds is held by rounding, and so is the place where it holds worst.
    if let (Some(residual), Some(allowed)) = (observation.residual, observation.allowed)
        && residual > TWIN_MARGIN * allowed
    {
        write!(text, ", {} off, {} allowed", digits(residual), digits(allowed)).unwrap();
    }
    text
}

/// What was judged and could show something: elsewhere what is measured is itself rounding. Those without an allowance, then
/// those with one.
fn resolved(mut judged: Vec<Measured>) -> [Vec<Measured>; 2] {
    judged.retain(|judged| judged.signal > judged.allowed);
    let (exact, bounded) = judged.into_iter().partition(|judged| judged.allowed == 0.0);
    [exact, bounded]
}

/// What a claim says of one scenario, and what it judges on the way.
fn line(materialised: &Materialised, examine: impl Fn(&Materialised) -> Result<Observation>) -> String {
    if !has_directions(materialised) {
        return "no directions".into();
    }
    let (observation, judged) = written::while_running(|| examine(materialised));
    let mut text = match observation {
        Ok(observation) => observed(&observation),
        Err(error) if error.is_unsupported() || Error::is_not_finite(&error) => return "not trained".into(),
        Err(error) => panic!("{error}"),
    };
    let [exact, bounded] = resolved(judged);
    for (what, judged) in [("without allowance", &exact), ("resolved", &bounded)] {
        if !judged.is_empty() {
            let signal = mean(judged, |judged| judged.signal);
            write!(text, "; {} {what}, mean signal {signal}", judged.len()).unwrap();
        }
    }
    // Of several coordinates the one counts that rounding hits most: there the allowance is chosen by rounding.
    let (_, again) = written::while_running(|| examine(&nearby(materialised)));
    let [_, again] = resolved(again);
    let same =
        |(judged, again): (&Measured, &Measured)| (judged.allowed - again.allowed).abs() <= STEADY * judged.allowed;
    if !bounded.is_empty() && bounded.len() == again.len() && bounded.iter().zip(&again).all(same) {
        let [allowed, amplification] = [|judged: &Measured| judged.allowed, |judged: &Measured| judged.amplification]
            .map(|what| mean(&bounded, what));
        write!(text, ", allowed {allowed}, amplification {amplification}").unwrap();
    }
    text
}

fn ledger(claim: &'static dyn Claim) -> String {
    let mut text = format!("{}: {:?}\n", claim.id(), claim.family());
    let mut put = |kind: &str, specimen: &Specimen| {
        let materialised = specimen.materialise(1).unwrap();
        let line = line(&materialised, |materialised| specimen.examine(claim, materialised, &Reference));
        writeln!(text, "  {kind} {}: {line}", specimen.name).unwrap();
    };
    put("plain", &Specimen::named("SGD", plain));
    claim.twins().iter().for_each(|twin| put("twin", twin));
    claim.controls().iter().for_each(|control| put("control", control));
    let random = scenarios(claim.family());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[0; 32]));
    for number in 0..SCENARIOS {
        let materialised = random.new_tree(&mut runner).unwrap().current().materialise().unwrap();
        let line = line(&materialised, |materialised| claim.examine(materialised, &Reference));
        writeln!(text, "  random {number}: {line}").unwrap();
    }
    text
}

/// How many records rounding hides may depend on how the mathematical library rounds.
#[test]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), ignore = "written down for glibc")]
fn every_measurement_is_as_it_was_written_down() {
    // What a claim judges is written down by the thread that judges it: all its work stays on one.
    let alone = |claim: &&'static dyn Claim| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
        pool.install(|| ledger(*claim))
    };
    let all: Vec<String> = ALL.par_iter().map(alone).collect();
    insta::assert_snapshot!(all.concat());
}
