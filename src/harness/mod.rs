//! Trainers that are other programs, in any language: version 1 of the harness protocol.
//!
//! One child process is kept running. Messages are JSON objects, one a line on its standard input, answers one a line on its
//! standard output, flushed ([`SCHEMA`] describes each); numbers travel as safetensors files. `→` to the trainer, `←` from it:
//!
//! ```text
//! → {"cmd":"start","version":1}
//! ← {"implementation":"mine 1.0","version":1,"losses":["info-nce"],"encoders":["table"],"optimizers":["sgd"],"precisions":["float64"]}
//! → {"cmd":"train","scenario":{"dim":3,"steps":2,…},"tables":"in.safetensors","out":"out.safetensors"}
//! ← {"ok":true}   or {"unsupported":"why"}   or {"error":"what"}
//! → {"cmd":"stop"}
//! ```
//!
//! `scenario` is a [`Scenario`](crate::scenario::Scenario) without its values, which are in `tables`:
//!
//! | array | shape | |
//! |---|---|---|
//! | `item/BLOCK` | \[rows, width\] | each parameter block of [`Architecture::blocks`](crate::encoder::Architecture::blocks), by its name |
//! | `item/constants` | \[rows, width\] | the constants of every row, where there are some |
//! | `item/shared` | \[count\] | constants that all rows share, where there are some |
//! | `users`, `positives` | \[T, B\] | −1 = padding |
//! | `negatives` | \[T, B, M\] | only where pairs have their own |
//! | `shared` | \[T, S\] | only where some items are candidates of every pair |
//! | `in_batch` | \[T\] | 1 where the other positives of the batch are candidates, 0 where not; absent where they are exactly if the pairs have no negatives of their own |
//! | `log_q` | \[T, C\] | only where the loss corrects for sampling; by item slot: positives, negatives pair after pair, shared |
//!
//! The same for `user/`. Numbers are F64, whatever the precision of training; rows are I64.
//!
//! The trainer leaves a [trajectory](crate::trajectory) in `out`: for each tower `q` \[T+1, N, d\] and `grad` \[T, N, d\], and
//! where the encoder is no table `table`, `table_grad` and `table_next` \[T, …\] (all blocks side by side, row by row where rows
//! are private, in a single row where several are shared); `grad_out`, `ids` and `loss` as far as it has them.
//!
//! # What can go wrong
//! `unsupported` is an answer: the scenario is skipped, and where all are, nothing was checked. `error` is an answer too, and the
//! smallest scenario that leads to it is looked for. A reply that breaks the schema, no reply within [`Options::timeout`], the
//! end of the process, a file that is missing or does not fit what was asked: then nothing that the process says can be
//! relied on. It is killed, and every further scenario ends in the same error ([`crate::Error::is_trainer`]).

mod fit;
mod process;
mod protocol;
mod serve;
mod tables;

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use protocol::{SCHEMA, VERSION};
pub use serve::serve;

use crate::error::{Error, Result};
use crate::scenario::{Capabilities, Materialised};
use crate::trainer::Trainer;
use crate::trajectory::{Trajectory, read_arrays, write_to};
use process::Process;
use protocol::{Answer, Introduction, Message};

/// How a foreign trainer is treated.
#[derive(Debug, Clone)]
pub struct Options {
    /// How long each of its answers may take, the first one included, before which it may have to load a framework.
    pub timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { timeout: Duration::from_secs(120) }
    }
}

/// A trainer that is another program.
///
/// ```no_run
/// use perpend::{claims::check, claims::find, harness::{Foreign, Options}};
/// use std::time::Duration;
///
/// let options = Options { timeout: Duration::from_secs(30), ..Options::default() };
/// let trainer = Foreign::start("python -m perpend_harness numpy", &options)?;
/// let report = check::check(find("update-orthogonality")?, &trainer, &check::Options::default(), &|_| {})?;
/// assert_eq!(report.status, check::Status::Passed);
/// # Ok::<(), perpend::Error>(())
/// ```
///
/// The process is told to stop when this is dropped, and killed if it does not.
pub struct Foreign {
    command: String,
    implementation: String,
    capabilities: Capabilities,
    conversation: Mutex<Conversation>,
}

/// What is said to the child, one question at a time.
struct Conversation {
    command: String,
    timeout: Duration,
    /// Why nothing is said any more, if so.
    process: Result<Process>,
    folder: tempfile::TempDir,
    /// Requests so far. Every one has files of its own: what an earlier one left is no answer.
    requests: u64,
}

impl Foreign {
    /// Starts a command, split into words as a shell does it, and asks what it can train.
    ///
    /// # Errors
    /// A command that cannot be started is wrong usage; everything that it does wrong then is [`Error::is_trainer`].
    pub fn start(command: &str, options: &Options) -> Result<Self> {
        let words = shlex::split(command).filter(|words| !words.is_empty());
        let words =
            words.ok_or_else(|| Error::usage("trainer", "a command, its quotes closed", format!("{command:?}")))?;
        let process = Process::start(&words[0], &words[1..]).map_err(|error| {
            Error::usage("trainer", "a command that can be started", format!("{:?} ({error})", words[0]))
        })?;
        let folder = tempfile::Builder::new().prefix("perpend-").tempdir();
        let folder = folder.map_err(|error| Error::io(&std::env::temp_dir(), "make a folder in it", &error))?;
        let mut conversation = Conversation {
            command: command.into(),
            timeout: options.timeout,
            process: Ok(process),
            folder,
            requests: 0,
        };
        let Introduction { implementation, capabilities, .. } = conversation.introduce()?;
        Ok(Foreign { command: command.into(), implementation, capabilities, conversation: Mutex::new(conversation) })
    }

    /// What the program says it is.
    pub fn implementation(&self) -> &str {
        &self.implementation
    }
}

impl Trainer for Foreign {
    fn name(&self) -> String {
        self.command.clone()
    }

    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        self.capabilities.admit(&materialised.scenario)?;
        self.conversation.lock().unwrap_or_else(PoisonError::into_inner).train(materialised)
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    /// There is one process, and what it is asked shall not depend on the threads here.
    fn is_parallel(&self) -> bool {
        false
    }
}

impl Conversation {
    fn who(&self) -> String {
        format!("trainer '{}'", self.command)
    }

    /// Ends it for good.
    fn broken(&mut self, message: &str, what: String) -> Error {
        let words = self.process.as_ref().map(Process::last_words).unwrap_or_default();
        let words: String = words.iter().map(|line| format!("\n  stderr     {line}")).collect();
        let error = Error::trainer(self.who(), format!("answer to {message}: {what}{words}"));
        // The process is killed here.
        self.process = Err(error.clone());
        error
    }

    /// Sends a message and reads the answer; `name` is how errors call the message.
    fn ask<A: serde::de::DeserializeOwned>(&mut self, name: &str, message: &Message, expected: &str) -> Result<A> {
        let text = serde_json::to_string(message).map_err(Error::internal)?;
        let timeout = self.timeout;
        let process = self.process.as_mut().map_err(|error| error.clone())?;
        let line = process.ask(&text, timeout);
        line.and_then(|line| serde_json::from_str(&line).map_err(|error| format!("{line:.200} ({error})")))
            .map_err(|found| self.broken(name, format!("expected {expected}, found {found}")))
    }

    fn introduce(&mut self) -> Result<Introduction> {
        let expected = "one line of JSON with implementation, version and what can be trained";
        let introduction: Introduction = self.ask("start", &Message::Start { version: VERSION }, expected)?;
        match introduction.version {
            VERSION => Ok(introduction),
            other => Err(self.broken("start", format!("expected version {VERSION}, found {other}"))),
        }
    }

    fn train(&mut self, asked: &Materialised) -> Result<Trajectory> {
        self.requests += 1;
        let file = |kind: &str| self.folder.path().join(format!("{kind}-{}.safetensors", self.requests));
        let (tables, out, kept) = (file("in"), file("out"), file("kept"));
        let message = Message::Train { scenario: tables::settings(asked)?, tables: tables.clone(), out: out.clone() };
        let written = std::fs::File::create_new(&tables)
            .and_then(|file| write_to(&mut std::io::BufWriter::new(file), &Default::default(), &tables::arrays(asked)));
        written.map_err(|error| Error::io(&tables, "write", &error))?;

        let expected = r#"{"ok":true}, {"unsupported":"why"} or {"error":"what"} on one line"#;
        let answer = self.ask("train", &message, expected);
        let trajectory = match answer {
            Ok(Answer::Ok(_)) => taken(&out, &kept)
                .and_then(|(metadata, arrays)| fit::fitted(asked, &metadata, arrays))
                .map_err(|error| match error.is_not_finite() {
                    // Of the reference's own run: no trainer can help that.
                    true => error,
                    false => self.broken("train", unnamed(&error, &kept)),
                }),
            Ok(Answer::Unsupported(why)) => Err(Error::unsupported(why)),
            Ok(Answer::Error(what)) => Err(Error::input(
                format!("{}: answer to train", self.who()),
                "a trajectory",
                format!("the error {what:?}"),
            )),
            Err(error) => Err(error),
        };
        for path in [tables, out, kept] {
            // A file that is not there needs no removal, and the folder goes in the end.
            std::fs::remove_file(path).ok();
        }
        trajectory
    }
}

/// Arrays and header of the file that a trainer says it has written, from a copy of our own: a trainer that writes on after its
/// answer changes nothing, and cannot pull the file from under the memory map.
fn taken(out: &Path, kept: &Path) -> Result<(Metadata, Arrays)> {
    let expected = "a safetensors file at the path of out";
    match out.symlink_metadata() {
        Ok(status) if status.is_file() => {}
        Ok(_) => return Err(Error::input("out", expected, "something else than a file")),
        Err(error) => return Err(Error::input("out", expected, format!("none ({error})"))),
    }
    std::fs::copy(out, kept).map_err(|error| Error::io(out, "read", &error))?;
    read_arrays(kept)
}

type Metadata = std::collections::BTreeMap<String, String>;
type Arrays = std::collections::BTreeMap<String, crate::trajectory::Array>;

/// An error without the name of our copy.
fn unnamed(error: &Error, kept: &Path) -> String {
    error.to_string().replace(&kept.display().to_string(), "out")
}
