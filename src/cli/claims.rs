//! `perpend claims`

use super::{print, print_json};
use crate::claims::ALL;
use crate::error::{Error, Result};
use crate::report::{Format, json, terminal};
use crate::verdict::ExitCode;

pub(super) fn run(format: Format) -> Result<ExitCode> {
    match format {
        Format::Human => print(&terminal::claims(ALL))?,
        Format::Json => print_json(&json::claims(ALL))?,
        Format::Junit => return Err(Error::usage("--format", "human or json for a list of claims", "junit")),
    }
    Ok(ExitCode::Success)
}
