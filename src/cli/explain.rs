//! `perpend explain CLAIM`

use super::{print, print_json};
use crate::claims::{Claim, find};
use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::report::{Format, json, terminal};
use crate::verdict::{ExitCode, Observed};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The claim's slug.
    claim: String,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    let claim = find(&arguments.claim)?;
    match format {
        Format::Human => print(&format!("{}{}", terminal::explain(claim), example(claim)?))?,
        Format::Json => print_json(&json::one_claim(claim))?,
        Format::Junit => return Err(Error::usage("--format", "human or json for a claim", "junit")),
    }
    Ok(ExitCode::Success)
}

/// What a failure looks like: the first twin that breaks, as it would be reported.
fn example(claim: &'static dyn Claim) -> Result<String> {
    for twin in claim.twins() {
        for seed in 0..crate::claims::check::SPECIMEN_SEEDS {
            let materialised = twin.materialise(seed)?;
            let observation = match twin.examine(claim, &materialised, &Reference) {
                // As in a check: a seed whose embeddings have no direction or leave the finite numbers shows nothing.
                Err(error) if error.is_not_finite() => continue,
                observation => observation?,
            };
            if observation.observed == Observed::Breaks {
                let block = terminal::block(claim.id(), Some(&observation), &observation.note, &materialised.scenario);
                return Ok(format!("\nan example failure, {}:\nFAIL {}\n{block}", twin.name, claim.id()));
            }
        }
    }
    Ok(String::new())
}
