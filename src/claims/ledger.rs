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

/// Nine digits: a small term of a bound shows in the last of them, and none of them is rounding.
fn digits(x: f64) -> String {
    format!("{x:.8e}")
}

/// The geometric mean, in which small numbers weigh as much as large ones.
fn mean(judged: &[Measured], what: fn(&Measured) -> f64) -> String {
    let logarithms: f64 = judged.iter().map(|judged| what(judged).ln()).sum();
    digits((logarithms / judged.len() as f64).exp())
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

/// What a claim says of one scenario, and what it judges on the way.
fn line(materialised: &Materialised, examine: impl FnOnce() -> Result<Observation>) -> String {
    if !has_directions(materialised) {
        return "no directions".into();
    }
    let (observation, mut judged) = written::while_running(examine);
    let mut text = match observation {
        Ok(observation) => observed(&observation),
        Err(error) if error.is_unsupported() || Error::is_not_finite(&error) => return "not trained".into(),
        Err(error) => panic!("{error}"),
    };
    // Elsewhere what is measured is itself rounding.
    judged.retain(|judged| judged.signal > judged.allowed);
    let (exact, bounded): (Vec<_>, Vec<_>) = judged.iter().partition(|judged| judged.allowed == 0.0);
    for (what, judged) in [("without allowance", &exact), ("resolved", &bounded)] {
        if !judged.is_empty() {
            let signal = mean(judged, |judged| judged.signal);
            write!(text, "; {} {what}, mean signal {signal}", judged.len()).unwrap();
        }
    }
    if !bounded.is_empty() {
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
        let line = line(&materialised, || specimen.examine(claim, &materialised, &Reference));
        writeln!(text, "  {kind} {}: {line}", specimen.name).unwrap();
    };
    put("plain", &Specimen::named("SGD", plain));
    claim.twins().iter().for_each(|twin| put("twin", twin));
    claim.controls().iter().for_each(|control| put("control", control));
    let random = scenarios(claim.family());
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[0; 32]));
    for number in 0..SCENARIOS {
        let materialised = random.new_tree(&mut runner).unwrap().current().materialise().unwrap();
        let line = line(&materialised, || claim.examine(&materialised, &Reference));
        writeln!(text, "  random {number}: {line}").unwrap();
    }
    text
}

/// The worst place of what holds depends on how the mathematical library rounds.
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
