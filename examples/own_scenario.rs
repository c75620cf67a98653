//! An implementer makes a recording to hold their own training code against: a scenario is described as text, trained by
//! the reference core, and saved with every embedding, gradient and batch of every step.
//!
//! ```text
//! cargo run --release --example own_scenario [SCENARIO.toml [OUT.safetensors]]
//! ```
//!
//! `fixtures/trajectories/sgd.safetensors` was made in this way from `fixtures/scenarios/sgd.toml`.

use std::path::PathBuf;

use perpend::condition::Condition;
use perpend::reference::Reference;
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;
use perpend::trajectory::{Side, Trajectory};
use perpend::verdict::Status;

const SCENARIO: &str = r#"
dim = 4
steps = 10
seed = 7
precision = "float32"
loss = { kind = "info-nce", similarity = "cosine", temperature = 0.2 }
sampler = { batch = 8, exponent = 1.0, negatives = { kind = "uniform", count = 3 } }

[item]
rows = 12
encoder = { kind = "affine", features = 3, bias = "frozen" }
optimizer = { kind = "heavy-ball", lr = { from = 0.0, to = 0.1, steps = 5 }, momentum = 0.9, rows = "lazy" }
initial = { kind = "normal", std = 0.3 }

[user]
rows = 6
encoder = { kind = "mlp", features = 4, hidden = [8], bias = true }
optimizer = { kind = "adam", lr = 0.01 }
initial = { kind = "normal", std = 0.3 }
"#;

fn main() -> perpend::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let scenario = match arguments.next() {
        Some(path) => Scenario::open(&path)?,
        None => Scenario::from_toml(SCENARIO)?,
    };
    // What the theory may say about the item tower follows from the description alone.
    for condition in Condition::ALL {
        let (word, why) = match scenario.status(Side::Item, condition) {
            Status::Met(why) => ("met", why),
            Status::Unmet(why) => ("unmet", why),
            Status::Unknown(why) => ("unknown", why),
        };
        println!("{condition:20} {word:6} {why}");
    }

    // Everything random is drawn here, once; the trainer sees explicit tables and batches.
    let trajectory = Reference.train(&scenario.materialise()?)?;
    let temporary = tempfile::tempdir().expect("a temporary folder can be made");
    let path = arguments.next().unwrap_or_else(|| temporary.path().join("own.safetensors"));
    trajectory.save(&path, false)?;

    println!();
    for (name, array) in Trajectory::open(&path)?.arrays() {
        println!("{name:18} {:?} {:?}", array.shape(), array.element());
    }
    Ok(())
}
