//! `perpend presets`

use clap::Args;
use rayon::prelude::*;

use super::{print, print_json};
use crate::error::{Error, Result};
use crate::presets::{ALL, find, grid};
use crate::report::{Format, json, terminal};
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
    /// Measure every similarity × loss × encoder × optimizer of a short list instead of the designs.
    #[arg(long, conflicts_with_all = ["presets", "scenario"])]
    grid: bool,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    if format == Format::Junit {
        return Err(Error::usage("--format", "human or json for presets", "junit"));
    }
    if arguments.grid {
        let cells = grid::measure(arguments.seed)?;
        let lost = cells.iter().filter(|(_, measured)| measured.is_none()).count();
        let measured: Vec<_> = cells.into_iter().filter_map(|(_, measured)| measured).collect();
        match format {
            Format::Json => {
                print_json(&serde_json::json!({ "schema": json::SCHEMA, "cells": measured, "not_finite": lost }))?
            }
            _ => print(&format!("{}\n  {lost} cells left the finite numbers.\n", terminal::presets(&[], &measured)))?,
        }
        return Ok(ExitCode::Success);
    }
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
        Format::Json => print_json(&serde_json::json!({ "schema": json::SCHEMA, "presets": measured }))?,
        _ => print(&terminal::presets(&chosen, &measured))?,
    }
    Ok(ExitCode::Success)
}
