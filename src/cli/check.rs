//! `perpend check [CLAIM…]`

use std::path::{Path, PathBuf};

use super::{TrainerArguments, chosen, colour, print, print_json, progress, seconds};
use crate::claims::check::{self, Options};
use crate::claims::{Claim, find};
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::files;
use crate::necessity::Case;
use crate::report::{Format, Suite, json, junit, terminal};
use crate::scenario::Scenario;
use crate::trainer::Trainer;
use crate::verdict::{ExitCode, Hypotheses, Observation, Verdict};

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// Claims to check; all if none is named.
    claims: Vec<String>,
    /// Random scenarios a claim.
    #[arg(long, default_value_t = 1000)]
    cases: u64,
    /// Seed of the random scenarios.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Draw no further scenarios of a claim after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    time: Option<f64>,
    #[command(flatten)]
    trainer: TrainerArguments,
    /// Judge this scenario (TOML or JSON) instead of random ones.
    #[arg(long, value_name = "FILE")]
    case: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    let claims = chosen(&arguments.claims)?;
    let trainer = &*arguments.trainer.start()?;
    if let Some(path) = &arguments.case {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read it", &error))?;
        return if Case::is_case(&text) {
            let case = Case::open(path)?;
            if arguments.claims.iter().any(|id| *id != case.claim) {
                return Err(Error::usage(
                    "claim",
                    format!("{}, the claim of this case", case.claim),
                    arguments.claims.join(" "),
                ));
            }
            judge_case(&[find(&case.claim)?], &case.scenario, |_| case.examine(trainer), path, trainer, format)
        } else {
            let scenario = Scenario::open(path)?;
            let examine = |claim: &dyn Claim| check::check_case(claim, &scenario, trainer);
            judge_case(&claims, &scenario, examine, path, trainer, format)
        };
    }
    let time = arguments.time.map(|time| seconds("--time", time)).transpose()?;
    let options = Options { cases: arguments.cases, seed: arguments.seed, time, ..Options::default() };
    let bar = progress(options.cases * claims.len() as u64, "{msg:26} {bar:30} {pos}/{len} {eta}");
    let mut suite = Suite::run(&claims, trainer, &options, &|id, cases| {
        bar.set_message(id);
        bar.inc(cases);
    })?;
    bar.finish_and_clear();
    save_failures(&mut suite)?;
    match format {
        Format::Human => print(&terminal::suite(&suite, colour()))?,
        Format::Json => print_json(&json::suite(&suite))?,
        Format::Junit => print(&junit::suite(&suite)?)?,
    }
    if let Some(text) = terminal::trainer_error(&suite) {
        eprint!("{text}");
    }
    Ok(suite.exit_code())
}

/// Writes the smallest failing scenarios, so that they can be replayed.
fn save_failures(suite: &mut Suite) -> Result<()> {
    let folder = Path::new("perpend-failures");
    let seed = suite.seed;
    for report in &mut suite.reports {
        let Some(failure) = &mut report.failure else { continue };
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "create it", &error))?;
        let path = folder.join(format!("{}-seed{seed}.json", report.id));
        // The newest failure of a claim and seed is the one to look at.
        files::write_text(&path, true, &failure.scenario.to_json())?;
        failure.case = Some(path);
    }
    Ok(())
}

/// Judges one scenario by each claim.
fn judge_case(
    claims: &[&dyn Claim],
    scenario: &Scenario,
    examine: impl Fn(&dyn Claim) -> Result<Observation>,
    path: &Path,
    trainer: &dyn Trainer,
    format: Format,
) -> Result<ExitCode> {
    let mut text = String::new();
    let mut entries = Vec::new();
    let mut verdicts = Vec::new();
    for claim in claims {
        let observation = examine(*claim)?;
        let status = |&condition: &Condition| (condition, claim.status(scenario, condition));
        let hypotheses = Hypotheses::collect(claim.conditions().iter().map(status));
        let verdict = Verdict::judge(observation.observed, &hypotheses);
        verdicts.push(verdict);
        let word = match verdict {
            Verdict::Violated => "FAIL",
            Verdict::Confirmed => "pass",
            Verdict::Outside => "outside",
            Verdict::Undecided => "undecided",
        };
        text += &format!("{word} {}        trainer {}        case {}\n", claim.id(), trainer.name(), path.display());
        if let Hypotheses::Unmet(conditions) = &hypotheses {
            for (condition, why) in conditions {
                text += &format!("  unmet      {condition}: {why}\n");
            }
        }
        text += &terminal::block(claim.id(), Some(&observation), &observation.note, scenario);
        entries.push(serde_json::json!({
            "id": claim.id(), "verdict": verdict, "observation": observation.observed, "residual": observation.residual,
            "allowed": observation.allowed, "where": observation.place, "judged": observation.judged,
        }));
    }
    let code = ExitCode::from_verdicts(verdicts);
    match format {
        Format::Human => print(&text)?,
        Format::Json => {
            print_json(&serde_json::json!({ "schema": json::SCHEMA, "claims": entries, "exit_code": code as u8 }))?
        }
        Format::Junit => return Err(Error::usage("--format", "human or json for a single case", "junit")),
    }
    Ok(code)
}
