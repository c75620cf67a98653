//! The command line: one file a subcommand. Results go to stdout, progress to stderr, the exit code says what was found.

mod audit;
mod check;
mod claims;
mod explain;
mod golden;
mod main_job;
mod necessity;
mod presets;
mod train;

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::claims::{ALL, Claim, find};
use crate::error::{Error, Result};
use crate::harness::{self, Foreign};
use crate::kernel::KernelTrainer;
use crate::reference::Reference;
use crate::report::Format;
use crate::report::terminal::Colour;
use crate::trainer::Trainer;
use crate::verdict::ExitCode;

/// Proves, checks and audits what cosine-trained two-tower recommenders do to embedding norms.
///
/// Without a command: check every claim quickly, train on built-in interactions, audit that run, and say what it means.
#[derive(Parser)]
#[command(name = "perpend", version, max_term_width = 100, after_help = EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    output: Output,
}

const EXIT_CODES: &str = "Exit codes: 0 nothing violated, something confirmed or outside its hypotheses; 1 violated; 2 usage; \
    3 undecided only; 4 nothing checked; 5 unreadable input; 70 internal.";

#[derive(clap::Args, Clone, Copy)]
struct Output {
    /// How the result is written.
    #[arg(long, global = true, value_enum, default_value = "human")]
    format: FormatName,
    /// Short for --format json.
    #[arg(long, global = true)]
    json: bool,
}

/// Who trains.
#[derive(clap::Args)]
struct TrainerArguments {
    /// Who trains: reference, kernel, or a command that speaks the harness protocol.
    #[arg(long, default_value = "reference", value_name = "COMMAND")]
    trainer: String,
    /// How long such a command may take for an answer.
    #[arg(long, default_value_t = harness::Options::default().timeout.as_secs_f64(), value_name = "SECONDS")]
    timeout: f64,
}

impl TrainerArguments {
    fn start(&self) -> Result<Box<dyn Trainer>> {
        let timeout = seconds("--timeout", self.timeout)?;
        match self.trainer.as_str() {
            "reference" => Ok(Box::new(Reference)),
            "kernel" => Ok(Box::new(KernelTrainer::default())),
            command => Ok(Box::new(Foreign::start(command, &harness::Options { timeout })?)),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum FormatName {
    Human,
    Json,
    Junit,
}

impl Output {
    fn format(self) -> Format {
        match (self.json, self.format) {
            (true, _) | (_, FormatName::Json) => Format::Json,
            (_, FormatName::Human) => Format::Human,
            (_, FormatName::Junit) => Format::Junit,
        }
    }
}

#[derive(Subcommand)]
enum Command {
    /// List every claim: statement, conditions, proof, twins.
    Claims,
    /// Check claims over random scenarios, with twins that must break and controls that must not.
    Check(check::Arguments),
    /// Tell all about one claim.
    Explain(explain::Arguments),
    /// Show what each condition of each claim is for: twins that break, benign violations that do not.
    Necessity(necessity::Arguments),
    /// Train the designs that people use on drawn interactions: conditions, angles, growth, coupling.
    Presets(presets::Arguments),
    /// Train a two-tower model and record the run.
    Train(Box<train::Arguments>),
    /// Judge recorded runs.
    Audit(audit::Arguments),
    /// Golden fixtures: generate them, verify a trainer by them.
    Golden(golden::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let format = arguments.output.format();
    let done = match arguments.command {
        None => main_job::run(format),
        Some(Command::Claims) => claims::run(format),
        Some(Command::Check(arguments)) => check::run(&arguments, format),
        Some(Command::Explain(arguments)) => explain::run(&arguments, format),
        Some(Command::Necessity(arguments)) => necessity::run(&arguments, format),
        Some(Command::Presets(arguments)) => presets::run(&arguments, format),
        Some(Command::Train(arguments)) => train::run(&arguments, format),
        Some(Command::Audit(arguments)) => audit::run(&arguments, format),
        Some(Command::Golden(arguments)) => golden::run(&arguments, format),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        error.exit_code()
    })
}

/// The claims of these slugs; all where none is named.
fn chosen(ids: &[String]) -> Result<Vec<&'static dyn Claim>> {
    if ids.is_empty() {
        return Ok(ALL.to_vec());
    }
    ids.iter().map(|id| find(id)).collect()
}

/// A flag's duration.
fn seconds(flag: &'static str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| Error::usage(flag, "a number of seconds of at least 0", seconds))
}

/// Writes a result to stdout; a reader that went away is no error.
fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{newline}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::io(Path::new("stdout"), "write to it", &error))
        }
        _ => Ok(()),
    }
}

fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&serde_json::to_string_pretty(value).map_err(Error::internal)?)
}

fn colour() -> Colour {
    Colour::detect(std::io::stdout().is_terminal())
}

/// A progress bar on stderr; nothing where stderr is no terminal.
fn progress(length: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
