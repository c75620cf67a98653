//! Reports: for programs (JSON, JUnit) and for people (terminal), all from the same values.

pub mod golden;
pub mod json;
pub mod junit;
pub mod terminal;

use crate::audit::Audit;
use crate::claims::check;
use crate::error::{Error, Result};
use crate::trainer::Trainer;
use crate::verdict::{ExitCode, Verdict};

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people, on a terminal.
    #[default]
    Human,
    /// For programs.
    Json,
    /// For continuous-integration servers.
    Junit,
}

/// The checks of a theorem suite.
pub struct Suite {
    /// The trainer that was checked.
    pub trainer: String,
    /// The seed of the random scenarios.
    pub seed: u64,
    /// One report a claim.
    pub reports: Vec<check::Report>,
}

impl Suite {
    /// Checks several claims with one trainer, up to the first at which the trainer itself fails; `progress` learns of every judged case and of every claim that begins.
    ///
    /// # Errors
    /// As [`check::check`].
    pub fn run(
        claims: &[&dyn crate::claims::Claim],
        trainer: &dyn Trainer,
        options: &check::Options,
        progress: &(dyn Fn(&'static str, u64) + Sync),
    ) -> Result<Suite> {
        let mut suite = Suite { trainer: trainer.name(), seed: options.seed, reports: Vec::new() };
        for claim in claims {
            suite.reports.push(check::check(*claim, trainer, options, &|cases| progress(claim.id(), cases))?);
            if suite.error().is_some() {
                break;
            }
        }
        Ok(suite)
    }

    /// The failure at which the trainer itself failed, which ended the suite, and the claim that was being checked.
    pub fn error(&self) -> Option<(&'static str, &check::Failure)> {
        let last = self.reports.last()?;
        Some((last.id, last.failure.as_ref().filter(|failure| failure.error.is_some())?))
    }

    /// The exit code: a failed claim is a violation, a trainer that fails has a code of its own, and skipped claims alone are
    /// nothing checked.
    pub fn exit_code(&self) -> ExitCode {
        if let Some(error) = self.error().and_then(|(_, failure)| failure.error.as_ref()) {
            return error.exit_code();
        }
        let of = |status: check::Status| self.reports.iter().filter(|report| report.status == status).count();
        match (of(check::Status::Failed), of(check::Status::Passed)) {
            (0, 0) => ExitCode::NothingChecked,
            (0, _) => ExitCode::Success,
            _ => ExitCode::Violated,
        }
    }
}

/// One audited file: the audit, or why it could not be read.
pub struct Run {
    /// The file as it was named.
    pub file: String,
    /// What came of it.
    pub result: Result<Audit, Error>,
}

impl Run {
    /// The exit code of this run; `required` claims that are not confirmed count as violated.
    ///
    /// # Errors
    /// A required claim that does not exist.
    pub fn exit_code(&self, required: &[String]) -> Result<ExitCode> {
        let audit = match &self.result {
            Err(error) => return Ok(error.exit_code()),
            Ok(audit) => audit,
        };
        let mut code = audit.exit_code();
        for id in required {
            if !audit.confirms(id)? {
                code = ExitCode::worst([code, ExitCode::Violated]);
            }
        }
        Ok(code)
    }
}

/// How many judgements came out how: confirmed, violated, outside, undecided.
pub(crate) fn counts(audit: &Audit) -> [(Verdict, usize); 4] {
    [Verdict::Confirmed, Verdict::Violated, Verdict::Outside, Verdict::Undecided]
        .map(|verdict| (verdict, audit.claims.iter().filter(|judged| judged.verdict == verdict).count()))
}
