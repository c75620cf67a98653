//! `perpend golden generate|verify`

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{TrainerArguments, print, print_json, progress};
use crate::error::{Error, Result};
use crate::golden::fixture::{self, Fixture, Folder};
use crate::golden::verify;
use crate::report::{Format, golden as report};
use crate::trajectory::Trajectory;
use crate::verdict::ExitCode;

/// Where fixtures are.
pub(super) const FOLDER: &str = "fixtures/v1";

#[derive(clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(clap::Subcommand)]
enum Action {
    /// Compute every fixture with 256 bits and write it.
    Generate(Generate),
    /// Judge a trainer by the fixtures, one step from the golden state.
    Verify(Verify),
}

#[derive(clap::Args)]
struct Generate {
    /// The folder to write to.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    out: PathBuf,
    /// Replace files that exist.
    #[arg(long)]
    force: bool,
    /// Write nothing: compare with the files that are there, bit for bit.
    #[arg(long, conflicts_with = "force")]
    check: bool,
}

#[derive(clap::Args)]
struct Verify {
    /// Fixtures, as `claim/case`, or all of a claim; all if none is named.
    cases: Vec<String>,
    #[command(flatten)]
    trainer: TrainerArguments,
    /// The folder of the fixtures.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    dir: PathBuf,
    /// Seed of the parameters that are changed so that stored values do not help.
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    if format == Format::Junit {
        return Err(Error::usage("--format", "human or json for golden", "junit"));
    }
    match &arguments.action {
        Action::Generate(arguments) => generate(arguments, format),
        Action::Verify(arguments) => verify(arguments, format),
    }
}

fn generate(arguments: &Generate, format: Format) -> Result<ExitCode> {
    let generated = fixture::generate()?;
    let differences = match arguments.check {
        true => fixture::differences(&arguments.out, &generated),
        false => {
            fixture::write(&arguments.out, &generated, arguments.force)?;
            Vec::new()
        }
    };
    let bytes: usize = generated.values().map(Vec::len).sum();
    let code = if differences.is_empty() {
        ExitCode::Success
    } else {
        ExitCode::Violated
    };
    let out = arguments.out.display();
    match format {
        Format::Json => print_json(&serde_json::json!({
            "schema": crate::report::json::SCHEMA, "folder": arguments.out, "files": generated.len(), "bytes": bytes,
            "differences": differences, "exit_code": code as u8,
        }))?,
        _ => {
            let done = if arguments.check { "compared with" } else { "written to" };
            let lines: String = differences.iter().map(|line| format!("FAIL  {line}\n")).collect();
            print(&format!("{lines}{} files, {bytes} bytes, {done} {out}\n", generated.len()))?;
        }
    }
    Ok(code)
}

/// The fixtures of a folder that are asked for by name or by claim.
fn chosen(folder: &Folder, asked: &[String]) -> Result<Vec<String>> {
    let ids = folder.ids();
    let mut chosen = Vec::new();
    for name in asked {
        let found: Vec<String> =
            ids.iter().filter(|id| *id == name || id.split('/').next() == Some(name)).cloned().collect();
        if found.is_empty() {
            return Err(Error::usage("case", "a fixture or a claim that has some", name));
        }
        chosen.extend(found);
    }
    Ok(if asked.is_empty() { ids } else { chosen })
}

fn verify(arguments: &Verify, format: Format) -> Result<ExitCode> {
    let trainer = arguments.trainer.start()?;
    let folder = Folder::open(&arguments.dir)?;
    let ids = chosen(&folder, &arguments.cases)?;
    let bar = progress(ids.len() as u64, "{msg:52} {bar:30} {pos}/{len} {eta}");
    let one = |id: &String| {
        let fixture = folder.read(id)?;
        let outcome = verify::verify(&fixture, trainer.as_ref(), arguments.seed);
        let passed = matches!(outcome.result, verify::Verified::Passed(_));
        let drift = if passed {
            verify::drift(&fixture, trainer.as_ref())?
        } else {
            None
        };
        bar.set_message(id.clone());
        bar.inc(1);
        Ok((outcome, drift))
    };
    let (outcomes, drifts) = ids.par_iter().map(one).collect::<Result<Vec<_>>>()?.into_iter().unzip();
    bar.finish_and_clear();
    let verification = report::Verification { trainer: trainer.name(), outcomes, drifts };
    match format {
        Format::Json => print_json(&verification.json())?,
        _ => print(&verification.human())?,
    }
    Ok(verification.exit_code())
}

/// A fixture by its name among those of this repository, or by the path of its document.
fn open(case: &str) -> Result<Fixture> {
    match case.strip_suffix(".json") {
        None => Folder::open(Path::new(FOLDER))?.read(case),
        Some(_) => {
            let path = Path::new(case);
            let (Some(claim), Some(stem)) = (path.parent(), path.file_stem()) else {
                return Err(Error::usage("--golden", "DIR/claim/case.json", case));
            };
            let name = claim.file_name().unwrap_or_default().to_string_lossy();
            Folder::open(claim.parent().unwrap_or(Path::new(".")))?.read(&format!("{name}/{}", stem.to_string_lossy()))
        }
    }
}

/// `perpend audit RUN… --golden CASE`: each run against the case.
pub(super) fn audit(runs: &[PathBuf], case: &str, format: Format) -> Result<ExitCode> {
    if format == Format::Junit {
        return Err(Error::usage("--format", "human or json with --golden", "junit"));
    }
    let fixture = open(case)?;
    if fixture.document.failure.is_some() {
        return Err(Error::usage("--golden", "a case with right values", case));
    }
    let (mut codes, mut text, mut entries) = (Vec::new(), String::new(), Vec::new());
    for path in runs {
        let file = path.display().to_string();
        match Trajectory::open(path).and_then(|trajectory| verify::judge_recording(&fixture, &trajectory)) {
            Ok(judgement) => {
                codes.push(match (&judgement.first, judgement.judged()) {
                    (Some(_), _) => ExitCode::Violated,
                    (None, 0) => ExitCode::NothingChecked,
                    (None, _) => ExitCode::Success,
                });
                text += &report::recording(&file, &fixture.document.id(), &judgement);
                entries.push(report::recording_json(&file, &fixture.document.id(), &judgement));
            }
            Err(error) => {
                codes.push(error.exit_code());
                eprintln!("error: {error}");
                entries.push(serde_json::json!({ "file": file, "error": error.to_string() }));
            }
        }
    }
    let code = ExitCode::worst(codes);
    match format {
        Format::Json => print_json(&serde_json::json!({
            "schema": crate::report::json::SCHEMA, "runs": entries, "exit_code": code as u8,
        }))?,
        _ => print(&text)?,
    }
    Ok(code)
}
