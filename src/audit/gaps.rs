//! What an audit says of the same run as parts of its recording are missing. Of each gap only the judgements that it changes
//! are written down: a guard that is lost, or one too many, shows there and nowhere in a complete recording.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use rayon::prelude::*;

use super::{Audit, audit};
use crate::claims::specimen;
use crate::encoder::{EncoderKind, history_mean::HistoryMean};
use crate::optimizer::constraint::Constraint;
use crate::optimizer::nesterov::Nesterov;
use crate::optimizer::update::Storage;
use crate::optimizer::{Optimizer, Schedule};
use crate::reference::Reference;
use crate::rounding::Precision;
use crate::scenario::Scenario;
use crate::trainer::Trainer;
use crate::trajectory::{Array, Element, Rows, Settings, Side, Trajectory};
use crate::verdict::ExitCode;

type Arrays = BTreeMap<String, Array>;

fn lazy(mut scenario: Scenario) -> Scenario {
    // Few lookups: most rows rest in most steps.
    scenario.sampler.batch = 3;
    *scenario.item.optimizer.rows_mut() = Rows::Lazy;
    scenario
}

fn pooled(mut scenario: Scenario) -> Scenario {
    scenario.user.encoder = EncoderKind::HistoryMean(HistoryMean { length: 3, own_rows: None });
    scenario
}

fn runs() -> Vec<(&'static str, Scenario)> {
    let single = Scenario { precision: Precision::F32, ..specimen::plain(1) };
    let mut stored = specimen::plain(1);
    stored.item.update.storage = Some(Storage { format: Precision::Bf16, rounding: Default::default() });
    let nesterov = |lr: Schedule| {
        specimen::with_optimizer(1, Optimizer::Nesterov(Nesterov { lr, momentum: 0.9, decay: None, rows: Rows::Dense }))
    };
    // From step to step a step may not point inward, from touch to touch it may.
    let growing = || nesterov(Schedule::Exponential { start: 1e-4, factor: 3.0 });
    let mut renormalised = specimen::plain(1);
    renormalised.item.update.constraint = Some(Constraint::Renormalise);
    let mut pausing = specimen::momentum(1);
    *pausing.item.optimizer.schedule_mut() = Schedule::List([[0.5; 3], [0.0; 3]].concat().repeat(2));
    vec![
        ("SGD", specimen::plain(1)),
        ("SGD, lazy", lazy(specimen::plain(1))),
        ("SGD in f32", single),
        ("SGD, stored in bf16", stored),
        ("SGD on inner products", specimen::dot_product(1)),
        ("SGD, norms clamped at 2", specimen::active_epsilon(1)),
        ("SGD, pooled by the users", pooled(specimen::plain(1))),
        ("SGD on a shared linear map", specimen::shared_linear(1)),
        ("SGD on two-layer networks", specimen::two_layer(1)),
        ("SGD, renormalised", renormalised),
        ("SGD that warms up", specimen::warm_up(1)),
        ("SGD with weight decay", specimen::weight_decay(1)),
        ("heavy ball", specimen::momentum(1)),
        ("heavy ball, lazy", lazy(specimen::momentum(1))),
        ("heavy ball with pauses", pausing),
        ("Nesterov", nesterov(0.5.into())),
        ("Nesterov at growing rates", growing()),
        ("Nesterov at growing rates, lazy", lazy(growing())),
        ("Adam", specimen::adam(1)),
        ("AdaGrad", specimen::adagrad(1)),
        ("row-wise AdaGrad", specimen::rowwise_adagrad(1)),
    ]
}

fn undeclared(settings: &mut Settings, arrays: &mut Arrays) {
    *settings = Settings::default();
    arrays.retain(|name, _| !name.ends_with("lr"));
}

fn undeclared_optimizer(settings: &mut Settings, _: &mut Arrays) {
    for side in [Side::Item, Side::User] {
        settings.set_tower(side, &Settings { encoder: settings.for_tower(Some(side)).encoder, ..Settings::default() });
    }
}

fn without_gradients(_: &mut Settings, arrays: &mut Arrays) {
    arrays.retain(|name, _| !name.contains("grad"));
}

fn without_lookups(_: &mut Settings, arrays: &mut Arrays) {
    arrays.retain(|name, _| !name.ends_with("ids"));
}

fn without_pairs(_: &mut Settings, arrays: &mut Arrays) {
    arrays.retain(|name, _| !["users", "positives", "negatives"].contains(&name.as_str()));
}

/// Entries of the leading axis.
fn entries(array: &Array, of: impl Iterator<Item = usize>) -> Array {
    let width: usize = array.shape()[1..].iter().product();
    let of: Vec<usize> = of.collect();
    let shape = [&[of.len()], &array.shape()[1..]].concat();
    if matches!(array.element(), Element::F64 | Element::F32 | Element::F16 | Element::Bf16) {
        let mut values = vec![0.0; of.len() * width];
        for (own, &entry) in values.chunks_exact_mut(width).zip(&of) {
            array.read(entry * width, own);
        }
        Array::encode(array.element(), &shape, &values)
    } else {
        let values = of.iter().flat_map(|entry| (0..width).map(move |k| array.integer(entry * width + k)));
        Array::from_i64(&shape, &values.collect::<Vec<_>>())
    }
}

/// Embeddings before and after each of these steps.
fn recorded_at(arrays: &mut Arrays, steps: usize, of: impl Fn(usize) -> bool) {
    let kept: Vec<usize> = (0..steps).filter(|&step| of(step)).collect();
    let states = arrays.iter().filter(|(_, array)| array.shape()[0] == steps + 1);
    let next: Arrays = states
        .map(|(name, array)| (format!("{name}_next"), entries(array, kept.iter().map(|step| step + 1))))
        .collect();
    arrays.values_mut().for_each(|array| *array = entries(array, kept.iter().copied()));
    arrays.extend(next);
    let numbers: Vec<i64> = kept.iter().map(|&step| step as i64).collect();
    arrays.insert("step".into(), Array::from_i64(&[numbers.len()], &numbers));
}

const STEPS: usize = 12;

/// The items in the sparse form: what had a gradient or moved.
fn sparse(_: &mut Settings, arrays: &mut Arrays) {
    let (states, gradients) = (arrays.remove("item/q").unwrap(), arrays.remove("item/grad").unwrap());
    let [steps, rows, dim] = [0, 1, 2].map(|axis| gradients.shape()[axis]);
    let row_of = |array: &Array, step: usize, row: usize| {
        let mut values = vec![0.0; dim];
        array.read((step * rows + row) * dim, &mut values);
        values
    };
    let (mut places, mut numbers) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new(), Vec::new()]);
    for (step, row) in (0..steps).flat_map(|step| (0..rows).map(move |row| (step, row))) {
        let all = [row_of(&states, step, row), row_of(&states, step + 1, row), row_of(&gradients, step, row)];
        if all[0] != all[1] || all[2].iter().any(|&g| g != 0.0) {
            places.iter_mut().zip([step, row]).for_each(|(places, place)| places.push(place as i64));
            numbers.iter_mut().zip(all).for_each(|(numbers, values)| numbers.extend(values));
        }
    }
    let records = places[0].len();
    for (name, places) in ["row_step", "row_id"].into_iter().zip(&places) {
        arrays.insert(format!("item/{name}"), Array::from_i64(&[records], places));
    }
    for (name, numbers) in ["row_q", "row_q_next", "row_grad"].into_iter().zip(&numbers) {
        arrays.insert(format!("item/{name}"), Array::encode(states.element(), &[records, dim], numbers));
    }
}

fn every_other_step(_: &mut Settings, arrays: &mut Arrays) {
    recorded_at(arrays, STEPS, |step| step % 2 == 0);
}

fn the_second_half(_: &mut Settings, arrays: &mut Arrays) {
    recorded_at(arrays, STEPS, |step| step >= STEPS / 2);
}

type Gap = fn(&mut Settings, &mut Arrays);

const GAPS: [(&str, &[Gap]); 10] = [
    ("nothing declared", &[undeclared]),
    ("no optimizer declared", &[undeclared_optimizer]),
    ("no gradients", &[without_gradients]),
    ("no lookups", &[without_lookups]),
    ("no lookups and nothing declared", &[without_lookups, undeclared]),
    ("no pairs", &[without_pairs]),
    ("every other step", &[every_other_step]),
    ("every other step, no lookups", &[every_other_step, without_lookups]),
    ("the second half", &[the_second_half]),
    ("only what had a gradient or moved", &[sparse]),
];

/// What is said of the items, claim by claim, and of the run. A correct run is accused of nothing, whatever is missing.
fn said(audit: &Audit) -> BTreeMap<String, String> {
    assert_ne!(audit.exit_code(), ExitCode::Violated, "{}", audit.sentence);
    let items = audit.claims.iter().filter(|judged| judged.tower != Some(Side::User));
    let judged = items.map(|judged| {
        let observation = &judged.observation;
        let text = format!("{}, {} judged {}", judged.verdict, observation.judged, observation.note);
        (judged.id.to_string(), text.trim_end().to_string())
    });
    let beyond = [
        ("sentence", audit.sentence.clone()),
        ("notes", audit.notes.join("; ")),
        ("contradictions", format!("{:?}", audit.diagnosis.contradictions)),
    ];
    judged.chain(beyond.map(|(name, text)| (name.to_string(), text))).collect()
}

fn changes(name: &str, scenario: &Scenario) -> String {
    let run = Reference.train(&scenario.materialise().unwrap()).unwrap();
    assert_eq!(scenario.steps, STEPS);
    let complete = said(&audit(&run).unwrap());
    let mut text = format!("{name}\n");
    for (claim, said) in &complete {
        writeln!(text, "  {claim}: {said}").unwrap();
    }
    for (gap, parts) in GAPS {
        let (mut settings, mut arrays) = (run.settings().clone(), run.arrays().clone());
        parts.iter().for_each(|part| part(&mut settings, &mut arrays));
        let now = said(&audit(&Trajectory::new(settings, arrays).unwrap()).unwrap());
        writeln!(text, "  — {gap}").unwrap();
        for claim in complete.keys().chain(now.keys()).collect::<BTreeSet<_>>() {
            let (was, is) = (complete.get(claim), now.get(claim));
            if was != is {
                writeln!(text, "    {claim}: {}", is.map_or("not judged", String::as_str)).unwrap();
            }
        }
    }
    text
}

#[test]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), ignore = "written down for glibc")]
fn what_is_missing_changes_what_was_written_down_and_nothing_else() {
    let all: Vec<String> = runs().par_iter().map(|(name, scenario)| changes(name, scenario)).collect();
    insta::assert_snapshot!(all.concat());
}
