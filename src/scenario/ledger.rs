//! What the parts of random scenarios say of themselves and what training makes of them, written down. Whatever no claim and no
//! error message happens to need shows here when it changes, and has to be meant.

use std::collections::BTreeMap;
use std::fmt::Write;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::random::{Encoders, Family, Losses, Optimizers, Parts, scenarios_of};
use super::{Scenario, Tower};
use crate::condition::Condition;
use crate::encoder::{Architecture, Gradient, Size};
use crate::error::Error;
use crate::geometry::Table;
use crate::loss::ObjectiveFunction;
use crate::optimizer::Optimizer;
use crate::reference::Reference;
use crate::trainer::Trainer;
use crate::trajectory::{Array, Element, Settings, Side};
use crate::verdict::Status;

const SCENARIOS: usize = 48;

/// Σ|x| and Σ k·|x_k|: no two entries can be exchanged.
fn sums(array: &Array) -> [f64; 2] {
    let mut values = vec![0.0; array.len()];
    array.read(0, &mut values);
    let sum = |weight: fn(usize) -> f64| values.iter().enumerate().map(|(k, x)| weight(k) * x.abs()).sum();
    [sum(|_| 1.0), sum(|k| k as f64)]
}

fn tower(text: &mut String, scenario: &Scenario, side: Side) {
    let Tower { rows, encoder, optimizer, update, .. } = scenario.tower(side);
    let size = Size { dim: scenario.dim, rows: *rows, other_rows: scenario.tower(side.other()).rows };
    writeln!(text, "  {} {encoder:?}", side.name()).unwrap();
    let constants: Vec<_> = encoder.constants(size).iter().map(|constant| format!("{constant:?}")).collect();
    let blocks: Vec<_> = encoder.blocks(*rows, scenario.dim).iter().map(|block| format!("{block:?}")).collect();
    writeln!(text, "    {}: {} | {}", encoder.name(), blocks.join(", "), constants.join(", ")).unwrap();
    let (shared, roundings) = (encoder.shared_constants(scenario.dim), encoder.roundings(scenario.dim));
    let (reads, chain) = (encoder.reads_other(), encoder.chain().is_some());
    writeln!(text, "    {shared} shared, roundings {roundings:?}, reads other {reads}, chain {chain}").unwrap();
    writeln!(text, "    {optimizer:?}, {update:?}").unwrap();
    rule(text, optimizer);
    if let Some(still) = without_memory(optimizer) {
        text.push_str("    without memory:\n");
        rule(text, &still);
    }
    // The plainest reason is the same for all.
    let statuses = Condition::ALL.map(|condition| (condition, scenario.status(side, condition)));
    for (condition, status) in statuses.iter().filter(|(_, status)| !matches!(status, Status::Met(_))) {
        writeln!(text, "    {condition}: {status:?}").unwrap();
    }
}

fn rule(text: &mut String, optimizer: &Optimizer) {
    let (memory, row_wise) = (optimizer.has_memory(), optimizer.is_row_wise());
    let (hidden, moves) = (optimizer.has_hidden_visits(), optimizer.moves_without_gradient());
    writeln!(
        text,
        "    memory {memory}, row-wise {row_wise}, hidden visits {hidden}, moves without gradient {moves}"
    )
    .unwrap();
    let met = Condition::ALL
        .into_iter()
        .filter(|condition| matches!(optimizer.status(*condition), Status::Met(_)));
    writeln!(text, "    {}", met.map(|condition| condition.to_string()).collect::<Vec<_>>().join(" ")).unwrap();
    writeln!(text, "    {:?}", declared(optimizer)).unwrap();
    writeln!(text, "    {}", remembered(optimizer)).unwrap();
}

/// The same rule with β = 0, β₁ = 0 and no dampening, if it has any of these.
fn without_memory(optimizer: &Optimizer) -> Option<Optimizer> {
    let mut settings = serde_json::to_value(optimizer).unwrap();
    for name in ["momentum", "dampening", "betas"] {
        match settings.get_mut(name) {
            Some(serde_json::Value::Array(betas)) => betas[0] = 0.0.into(),
            Some(setting) => *setting = 0.0.into(),
            None => {}
        }
    }
    let still: Optimizer = serde_json::from_value(settings).unwrap();
    (still != *optimizer).then_some(still)
}

/// What of it is declared.
fn declared(optimizer: &Optimizer) -> BTreeMap<String, String> {
    Settings { optimizer: Some(optimizer.declare()), ..Settings::default() }.to_metadata()
}

/// Two rows of two numbers after three steps in which the second row has one gradient, and what is remembered of them.
fn remembered(optimizer: &Optimizer) -> String {
    let mut stepper = optimizer.start::<f64>(2, 2, &|x| x);
    let mut table = Table::from_values(2, vec![1.0, -0.5, 0.25, 2.0]);
    let mut gradient = Gradient::zeros(2, 2);
    for time in 0..3 {
        gradient.clear();
        for row in 0..(2 - time.min(1)) {
            gradient.accumulate(row).copy_from_slice(&[0.5 + time as f64, -0.125 * (row + 1) as f64]);
        }
        stepper.step(time as u64, &optimizer.schedule().at(time as u64), &mut table, &gradient);
    }
    let numbers = |numbers: &[f64]| numbers.iter().map(|x| format!("{x:.6e}")).collect::<Vec<_>>().join(" ");
    let mut text = numbers(table.values());
    stepper.memory(&mut |name, memory| text += &format!("; {name} {}", numbers(memory)));
    text
}

fn entry(scenario: &Scenario) -> String {
    let loss = &scenario.loss;
    let objective = &loss.objective;
    let mut text = format!("{loss:?}\n  {}, {:?}", loss.header_name(), loss.no_epsilon());
    let (log_q, all_items) = (objective.wants_log_q(), objective.wants_all_items());
    writeln!(text, ", {:?}, log Q {log_q}, all items {all_items}", objective.steepness()).unwrap();
    Side::ALL.into_iter().for_each(|side| tower(&mut text, scenario, side));
    let run = match Reference.train(&scenario.materialise().unwrap()) {
        Ok(run) => run,
        Err(error) if Error::is_not_finite(&error) => return text + "  leaves the finite numbers\n",
        Err(error) => panic!("{error}"),
    };
    let numbers = run
        .arrays()
        .iter()
        .filter(|(_, array)| array.element() == Element::F64 || array.element() == Element::F32);
    for (name, array) in numbers.filter(|(name, _)| !name.ends_with("lr")) {
        let [sum, weighted] = sums(array);
        write!(text, "  {name} {sum:.6e} {weighted:.6e}").unwrap();
    }
    text + "\n"
}

#[test]
#[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), ignore = "written down for glibc")]
fn every_part_says_and_does_what_was_written_down() {
    let any = Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any };
    let scenarios = scenarios_of(Parts { pooled: true, ..Parts::from(any) });
    let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[0; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let text: String = (0..SCENARIOS).map(|_| entry(&scenarios.new_tree(&mut runner).unwrap().current())).collect();
    insta::assert_snapshot!(text);
}
