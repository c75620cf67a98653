//! What every claim measures on its own specimens, written down: allowances, signals and how many records are judged.
//!
//! A bound that is a little too wide breaks no theorem, and a record left out unjustly breaks none either. Here a change of
//! either shows, number by number, and has to be meant.

use std::fmt::Write;
use std::sync::{Arc, Mutex};

use super::check::{TWIN_MARGIN, has_directions};
use super::specimen::{Specimen, plain};
use super::{ALL, About, Claim, observe_claim};
use crate::error::{Error, Result};
use crate::facts::{Context, Follow, Measure, Measured, RecordFacts, Watched};
use crate::reference::Reference;
use crate::scenario::Materialised;
use crate::verdict::Observation;

/// Sums over the records that a claim measured, judged or not.
#[derive(Default)]
struct Sums {
    records: u64,
    allowed: f64,
    signal: f64,
    amplification: f64,
}

/// A claim that keeps count of what it measures.
struct Counted {
    claim: &'static dyn Claim,
    sums: Arc<Mutex<Sums>>,
}

impl Claim for Counted {
    fn about(&self) -> &'static About {
        self.claim.about()
    }
    fn concerns_parameters(&self) -> bool {
        self.claim.concerns_parameters()
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        let counted = |watched: Watched| {
            let sums = self.sums.clone();
            let start = move |context: &Context| -> Box<dyn Follow> {
                let row = match &watched.measure {
                    Measure::Step(measure) => Box::new(EachRecord(*measure)),
                    Measure::Run(start) => start(context),
                };
                Box::new(CountedRow { row, sums: sums.clone() })
            };
            Watched { id: watched.id, measure: Measure::Run(Box::new(start)) }
        };
        self.claim.watch(context).into_iter().map(counted).collect()
    }
    fn twins(&self) -> Vec<Specimen> {
        self.claim.twins()
    }
    fn controls(&self) -> Vec<Specimen> {
        self.claim.controls()
    }
}

struct EachRecord(fn(&RecordFacts<'_>, &Context) -> Option<Measured>);

impl Follow for EachRecord {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        self.0(facts, context)
    }
}

struct CountedRow {
    row: Box<dyn Follow>,
    sums: Arc<Mutex<Sums>>,
}

impl Follow for CountedRow {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let measured = self.row.see(facts, context);
        if let Some(measured) = measured {
            let mut sums = self.sums.lock().unwrap();
            sums.records += 1;
            sums.allowed += measured.allowed;
            sums.signal += measured.signal;
            sums.amplification += measured.amplification;
        }
        measured
    }
}

/// Six digits: a small term of a bound shows in the last of them, and none of them is rounding.
fn digits(x: f64) -> String {
    format!("{x:.5e}")
}

fn observed(observation: &Observation) -> String {
    let mut text = format!("{}, {} judged", observation.observed, observation.judged);
    if let (Some(residual), Some(allowed)) = (observation.residual, observation.allowed) {
        // What holds is held by rounding, which is no number to write down.
        if residual > TWIN_MARGIN * allowed {
            write!(text, ", {} off", digits(residual)).unwrap();
        }
        write!(text, ", {} allowed", digits(allowed)).unwrap();
    }
    if let Some(gradient) = observation.smallest_gradient {
        write!(text, ", gradients from {}", digits(gradient)).unwrap();
    }
    text
}

/// What the claim says of one specimen, and what it measured of each record on the way.
fn line(claim: &'static dyn Claim, specimen: &Specimen, materialised: &Materialised) -> Result<String> {
    let mut text = observed(&specimen.examine(claim, materialised, &Reference)?);
    let counted = Counted { claim, sums: Arc::default() };
    let trainer = specimen.trainer(&Reference);
    observe_claim(&counted, &trainer.train(materialised)?, Some(materialised))?;
    let Sums { records, allowed, signal, amplification } = &*counted.sums.lock().unwrap();
    if *records > 0 {
        let [allowed, signal, amplification] = [*allowed, *signal, *amplification].map(digits);
        write!(
            text,
            "; {records} measured: Σ allowed {allowed}, Σ signal {signal}, Σ amplification {amplification}"
        )
        .unwrap();
    }
    Ok(text)
}

fn ledger(claim: &'static dyn Claim) -> String {
    let mut text = format!("{}: {:?}\n", claim.id(), claim.family());
    let of = |kind: &str, specimen: &Specimen| {
        let materialised = specimen.materialise(1).unwrap();
        let what = match line(claim, specimen, &materialised) {
            _ if !has_directions(&materialised) => "no directions".into(),
            Ok(line) => line,
            Err(error) if error.is_unsupported() || Error::is_not_finite(&error) => "not trained".into(),
            Err(error) => panic!("{}: {}: {error}", claim.id(), specimen.name),
        };
        format!("  {kind} {}: {what}\n", specimen.name)
    };
    text += &of("plain", &Specimen::named("SGD", plain));
    claim.twins().iter().for_each(|twin| text += &of("twin", twin));
    claim.controls().iter().for_each(|control| text += &of("control", control));
    text
}

/// The worst place of what holds depends on how the mathematical library rounds.
#[test]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), ignore = "written down for glibc")]
fn every_measurement_is_as_it_was_written_down() {
    use rayon::prelude::*;
    let all: Vec<String> = ALL.par_iter().map(|claim| ledger(*claim)).collect();
    insta::assert_snapshot!(all.concat());
}
