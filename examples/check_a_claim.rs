//! A researcher checks a theorem: on random models, on one model of their own, and with a trainer that is wrong.
//!
//! ```text
//! cargo run --release --example check_a_claim
//! ```

use perpend::claims::check::{Options, check, check_case};
use perpend::claims::find;
use perpend::reference::{Fault, Faulty, Reference};
use perpend::report::terminal;
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;

fn main() -> perpend::Result<()> {
    let claim = find("update-orthogonality")?;
    println!("{}: {}\n", claim.id(), claim.about().statement);

    // 1. Random scenarios that meet the claim's conditions, the twins that drop one condition each, and the controls.
    let options = Options { cases: 2000, ..Options::default() };
    let report = check(claim, &Reference, &options, &|_| {})?;
    println!("{:?}: {} cases, worst residual {:.3} of what is allowed", report.status, report.cases, report.worst);
    for twin in &report.twins {
        println!("  breaks, as it must: {:38} {:.0e} times what is allowed", twin.name, twin.margin);
    }
    for control in &report.controls {
        println!("  holds, as it must:  {:38} {:.2} of what is allowed", control.name, control.margin);
    }

    // 2. One explicit scenario.
    let scenario = Scenario::from_toml(include_str!("../fixtures/scenarios/momentum.toml"))?;
    let observation = check_case(claim, &scenario, &Reference)?;
    println!("\nmomentum.toml: {}", observation.observed);
    println!("{}", terminal::block(claim.id(), Some(&observation), &observation.note, &scenario));

    // 3. A trainer that applies only the last of several gradients for one row. Its steps are orthogonal, so the claim above
    //    would not notice; replaying the declared optimizer does, and the failure is shrunk to the few numbers that it takes.
    let lossy = Faulty(Fault::LastWriteWins);
    let report = check(find("declared-step")?, &lossy, &options, &|_| {})?;
    println!("{}", terminal::failure_text(&report, &lossy.name()));
    if let Some(failure) = &report.failure {
        println!("{}", failure.scenario.to_toml());
    }
    Ok(())
}
