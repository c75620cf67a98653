//! `perpend presets`

use clap::Args;
use rayon::prelude::*;

use super::{print, print_json};
use crate::error::{Error, Result};
use crate::presets::{ALL, find};
use crate::report::{Format, terminal};
use crate::verdict::ExitCode;

#[derive(Args)]
pub(super) struct Arguments {
    /// Names of designs; all where none is named.
    presets: Vec<String>,
    /// Seed of what is drawn.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print the scenario of one design as TOML instead of training it.
    #[arg(long)]
    scenario: bool,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    let chosen = match arguments.presets.as_slice() {
        [] => ALL.iter().collect(),
        names => names.iter().map(|name| find(name)).collect::<Result<Vec<_>>>()?,
    };
    if arguments.scenario {
        let [preset] = chosen[..] else {
            return Err(Error::usage("--scenario", "one design", chosen.len()));
        };
        print(&preset.scenario(arguments.seed).to_toml())?;
        return Ok(ExitCode::Success);
    }
    let measured = chosen.par_iter().map(|preset| preset.measure(arguments.seed)).collect::<Result<Vec<_>>>()?;
    match format {
        Format::Human => print(&terminal::presets(&chosen, &measured))?,
        Format::Json => print_json(&serde_json::to_value(&measured).map_err(Error::internal)?)?,
        Format::Junit => return Err(Error::usage("--format", "human or json for presets", "junit")),
    }
    Ok(ExitCode::Success)
}
