//! `perpend necessity [CLAIM…]`

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{chosen, colour, print, print_json, progress, seconds};
use crate::error::{Error, Result};
use crate::files;
use crate::necessity::search::{self, Found, Options};
use crate::necessity::{Matrix, necessary};
use crate::reference::Reference;
use crate::report::{Format, json, terminal};
use crate::verdict::ExitCode;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Claims to show; all if none is named.
    claims: Vec<String>,
    /// Look for a smallest scenario that breaks each claim without each of its conditions, instead of the prepared ones.
    #[arg(long)]
    search: bool,
    /// With --search: at most this long for one claim and condition.
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    time: f64,
    /// With --search: seed of the scenarios drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// With --search: write each witness as a file into this folder.
    #[arg(long, value_name = "FOLDER")]
    write: Option<PathBuf>,
    /// With --write: replace files that exist.
    #[arg(long)]
    force: bool,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    if format == Format::Junit {
        return Err(Error::usage("--format", "human or json for necessity", "junit"));
    }
    let claims = chosen(&arguments.claims)?;
    if arguments.search {
        return hunt(arguments, format);
    }
    let matrix = Matrix::measure(&claims, &Reference)?;
    match format {
        Format::Json => print_json(&json::matrix(&matrix))?,
        _ => print(&terminal::matrix(&matrix, colour()))?,
    }
    let shown = matrix.rows.iter().all(crate::necessity::Row::is_shown);
    Ok(if shown { ExitCode::Success } else { ExitCode::Violated })
}

fn hunt(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    let options = Options { seed: arguments.seed, time: seconds("--time", arguments.time)? };
    let claims = chosen(&arguments.claims)?;
    let pairs: Vec<_> = claims
        .iter()
        .flat_map(|claim| necessary(*claim).into_iter().map(move |condition| (*claim, condition)))
        .collect();
    let bar = progress(pairs.len() as u64, "{msg:50} {bar:30} {pos}/{len} {eta}");
    let hunted = pairs.par_iter().map(|(claim, condition)| {
        let witness = search::search(*claim, *condition, &options)?;
        // Kept as soon as it is found: an interrupted search loses nothing.
        if let (Some(folder), Some(witness)) = (&arguments.write, &witness) {
            keep(folder, witness, arguments.force)?;
        }
        bar.set_message(format!("{} without {condition}", claim.id()));
        bar.inc(1);
        Ok((claim.id(), *condition, witness))
    });
    let found = hunted.collect::<Result<Vec<_>>>()?;
    bar.finish_and_clear();
    match format {
        Format::Json => print_json(&json::witnesses(&found))?,
        _ => print(&terminal::witnesses(&found))?,
    }
    let missing = found.iter().any(|(_, _, witness)| witness.is_none());
    Ok(match (found.is_empty(), missing) {
        (true, _) => ExitCode::NothingChecked,
        (_, true) => ExitCode::Undecided,
        (_, false) => ExitCode::Success,
    })
}

/// Writes a witness.
fn keep(folder: &Path, found: &Found, force: bool) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "create it", &error))?;
    files::write_text(&folder.join(found.case.file_name()), force, &found.case.to_json())
}
