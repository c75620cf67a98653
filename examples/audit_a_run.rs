//! An engineer audits recorded runs. Two runs are made and saved here, as any framework could have recorded them: in one,
//! momentum was on although the header says nothing of an optimizer; in the other, of several gradients for one row only
//! the last was applied.
//!
//! ```text
//! cargo run --release --example audit_a_run [FOLDER]
//! ```
//!
//! Without a folder the recordings go to a temporary one. `perpend audit FOLDER/*.safetensors` gives the same answers.

use std::path::PathBuf;

use perpend::audit::audit;
use perpend::reference::{Fault, Faulty, Reference};
use perpend::report::terminal::{Colour, audit_text};
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;
use perpend::trajectory::{Settings, Trajectory};

fn main() -> perpend::Result<()> {
    let temporary;
    let folder = match std::env::args_os().nth(1) {
        Some(folder) => PathBuf::from(folder),
        None => {
            temporary = tempfile::tempdir().expect("a temporary folder can be made");
            temporary.path().to_path_buf()
        }
    };

    let momentum = Scenario::from_toml(include_str!("../fixtures/scenarios/momentum.toml"))?;
    let recorded = Reference.train(&momentum.materialise()?)?;
    // Without a header the audit has only the numbers to go by: it finds the optimizer itself.
    recorded.with_settings(Settings::default())?.save(&folder.join("momentum.safetensors"), true)?;

    let plain = Scenario::from_toml(include_str!("../fixtures/scenarios/sgd.toml"))?;
    let recorded = Faulty(Fault::LastWriteWins).train(&plain.materialise()?)?;
    recorded.save(&folder.join("lost-duplicates.safetensors"), true)?;

    for name in ["momentum.safetensors", "lost-duplicates.safetensors"] {
        let mut audit = audit(&Trajectory::open(&folder.join(name))?)?;
        audit.file = name.into();
        println!("{}", audit_text(&audit, Colour::detect(false)));
        println!("exit code {}\n", audit.exit_code() as u8);
    }
    Ok(())
}
