//! `perpend audit RUN…`

use std::path::PathBuf;

use super::{colour, print, print_json};
use crate::audit;
use crate::claims::find;
use crate::error::{Error, Result};
use crate::report::{Format, Run, json, junit, terminal};
use crate::trajectory::Trajectory;
use crate::verdict::ExitCode;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Trajectories: safetensors, npz or JSON Lines files, folders of steps or of .npy files.
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// A claim that must be confirmed on every tower; may be repeated.
    #[arg(long, value_name = "CLAIM")]
    require: Vec<String>,
    /// Judge the runs by this golden fixture instead: claim/case, or the path of its document.
    #[arg(long, value_name = "CASE", conflicts_with = "require")]
    golden: Option<String>,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    if let Some(case) = &arguments.golden {
        return super::golden::audit(&arguments.runs, case, format);
    }
    for id in &arguments.require {
        if !find(id)?.kind().is_audited() {
            return Err(Error::usage("--require", "a step or run claim", id));
        }
    }
    let runs: Vec<Run> = arguments
        .runs
        .iter()
        .map(|path| {
            let result = Trajectory::open(path).and_then(|trajectory| audit::audit(&trajectory));
            Run { file: path.display().to_string(), result }
        })
        .collect();
    let codes = runs.iter().map(|run| run.exit_code(&arguments.require)).collect::<Result<Vec<_>>>()?;
    let code = ExitCode::worst(codes);
    match format {
        Format::Human => {
            print(&terminal::runs(&runs, colour()))?;
            for run in &runs {
                if let Err(error) = &run.result {
                    eprintln!("error: {error}");
                }
                for id in &arguments.require {
                    if run.result.as_ref().is_ok_and(|audit| !audit.confirms(id).unwrap_or(false)) {
                        eprintln!("error: {}: expected {id} confirmed, found otherwise", run.file);
                    }
                }
            }
        }
        Format::Json => print_json(&json::runs(&runs, code))?,
        Format::Junit => print(&junit::runs(&runs)?)?,
    }
    Ok(code)
}
