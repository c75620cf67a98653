//! A trainer as a program of its own, by the harness protocol: a template for putting yours through the theorem suite.
//!
//! ```text
//! cargo build --example trainer
//! perpend check --trainer target/debug/examples/trainer
//! perpend check declared-step --trainer 'target/debug/examples/trainer --fault'
//! ```
//!
//! In Rust a `Trainer` is all there is to write. In another language read a line of JSON from standard input, answer with one
//! on standard output, flush it, and say everything else on standard error: the documentation of `perpend::harness` has the
//! messages, and `python/perpend_harness` is the same in Python.

use std::io::{stdin, stdout};

use perpend::harness::serve;
use perpend::reference::{Fault, Faulty, Reference};
use perpend::scenario::{Capabilities, Materialised};
use perpend::trainer::Trainer;
use perpend::trajectory::Trajectory;

/// Put your own training in place of the reference's.
struct Mine {
    fault: bool,
}

impl Trainer for Mine {
    fn name(&self) -> String {
        "examples/trainer 1.0".into()
    }

    /// Initial tables, constants and batches in, a trajectory out.
    fn train(&self, materialised: &Materialised) -> perpend::Result<Trajectory> {
        if materialised.scenario.item.update.clip.is_some() {
            return Err(perpend::Error::unsupported("clipping"));
        }
        match self.fault {
            true => Faulty(Fault::LastWriteWins).train(materialised),
            false => Reference.train(materialised),
        }
    }

    /// What it says that it can do, random scenarios are made of.
    fn capabilities(&self) -> Capabilities {
        let names = |names: &[&str]| Some(names.iter().map(ToString::to_string).collect());
        Capabilities {
            losses: names(&["info-nce", "bpr"]),
            encoders: names(&["table", "affine", "shared-linear"]),
            optimizers: names(&["sgd", "heavy-ball", "adam"]),
            precisions: names(&["float64"]),
        }
    }
}

fn main() -> perpend::Result<()> {
    let fault = std::env::args().any(|argument| argument == "--fault");
    serve(&Mine { fault }, stdin().lock(), stdout())
}
