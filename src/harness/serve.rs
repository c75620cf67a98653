//! The trainer's side of the protocol.

use std::io::{BufRead, Write};
use std::path::Path;

use super::protocol::{Answer, Introduction, Message, True, VERSION};
use super::tables;
use crate::error::{Error, Result};
use crate::trainer::Trainer;
use crate::trajectory::read_arrays;

/// Answers messages of the harness protocol line by line, until `stop` or the end of the input: makes a program of a
/// [`Trainer`]. `examples/trainer.rs` is such a program.
///
/// ```
/// use perpend::{harness::serve, reference::Reference};
/// let (input, mut output) = (br#"{"cmd":"start","version":1}"#, Vec::new());
/// serve(&Reference, &input[..], &mut output)?;
/// assert!(output.starts_with(br#"{"implementation":"reference","version":1"#));
/// # Ok::<(), perpend::Error>(())
/// ```
///
/// # Errors
/// Input that cannot be read and output that cannot be written. What goes wrong in training is an answer.
pub fn serve(trainer: &dyn Trainer, input: impl BufRead, mut output: impl Write) -> Result<()> {
    let failed =
        |doing: &'static str| move |error: std::io::Error| Error::io(Path::new("harness protocol"), doing, &error);
    for line in input.lines() {
        let line = line.map_err(failed("read a message"))?;
        let reply = match serde_json::from_str(&line) {
            Ok(Message::Stop {}) => break,
            Ok(Message::Start { version: VERSION }) => serde_json::to_string(&Introduction {
                implementation: trainer.name(),
                version: VERSION,
                capabilities: trainer.capabilities(),
            }),
            Ok(Message::Start { version }) => {
                serde_json::to_string(&Answer::Error(format!("start: version: expected {VERSION}, found {version}")))
            }
            Ok(Message::Train { scenario, tables, out }) => {
                serde_json::to_string(&answer(trainer, scenario, &tables, &out))
            }
            Err(error) => {
                serde_json::to_string(&Answer::Error(format!("expected a message, found {line:?} ({error})")))
            }
        };
        let reply = reply.map_err(Error::internal)?;
        writeln!(output, "{reply}").and_then(|()| output.flush()).map_err(failed("write an answer"))?;
    }
    Ok(())
}

fn answer(trainer: &dyn Trainer, scenario: serde_json::Value, values: &Path, out: &Path) -> Answer {
    let train = || {
        let (_, arrays) = read_arrays(values)?;
        let materialised = tables::scenario(scenario, &arrays)?.materialise()?;
        trainer.train(&materialised)?.save(out, false)
    };
    match train() {
        Ok(()) => Answer::Ok(True),
        Err(error) if error.is_unsupported() => Answer::Unsupported(error.to_string()),
        Err(error) => Answer::Error(error.to_string()),
    }
}
