//! JUnit XML: a test case for every claim, so that continuous-integration servers list them by name.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Run, Suite};
use crate::claims::check::Status;
use crate::error::{Error, Result};
use crate::verdict::Verdict;

fn failure(kind: NonSuccessKind, message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::non_success(kind);
    status.set_message(message);
    status
}

fn skipped(message: &str) -> TestCaseStatus {
    let mut status = TestCaseStatus::skipped();
    status.set_message(message);
    status
}

fn text(report: &Report) -> Result<String> {
    report.to_string().map_err(Error::internal)
}

/// A suite of checks: failed claims are failures, skipped ones skipped.
///
/// # Errors
/// Only if the report cannot be written as XML.
pub fn suite(suite: &Suite) -> Result<String> {
    let mut cases = TestSuite::new("perpend check");
    for report in &suite.reports {
        let status = match report.status {
            Status::Passed => TestCaseStatus::success(),
            Status::Skipped => skipped("the trainer implements none of its scenarios"),
            Status::Failed => failure(NonSuccessKind::Failure, &super::terminal::failure_text(report, &suite.trainer)),
        };
        let mut case = TestCase::new(report.id, status);
        case.set_time(std::time::Duration::from_secs_f64(report.seconds));
        cases.add_test_case(case);
    }
    let mut report = Report::new("perpend");
    report.add_test_suite(cases);
    text(&report)
}

/// Audited runs: one suite a file; violated claims are failures, undecided ones skipped, unreadable files errors.
///
/// # Errors
/// Only if the report cannot be written as XML.
pub fn runs(runs: &[Run]) -> Result<String> {
    let mut report = Report::new("perpend");
    for run in runs {
        let mut cases = TestSuite::new(run.file.as_str());
        match &run.result {
            Err(error) => {
                cases.add_test_case(TestCase::new("read", failure(NonSuccessKind::Error, &error.to_string())));
            }
            Ok(audit) => {
                for judged in &audit.claims {
                    let status = match judged.verdict {
                        Verdict::Confirmed | Verdict::Outside => TestCaseStatus::success(),
                        Verdict::Undecided => skipped(&judged.observation.note),
                        Verdict::Violated => failure(NonSuccessKind::Failure, &judged.observation.note),
                    };
                    let name = judged.tower.map_or(judged.id.to_string(), |side| format!("{side}/{}", judged.id));
                    cases.add_test_case(TestCase::new(name, status));
                }
                for contradiction in &audit.diagnosis.contradictions {
                    cases.add_test_case(TestCase::new("header", failure(NonSuccessKind::Failure, contradiction)));
                }
            }
        }
        report.add_test_suite(cases);
    }
    text(&report)
}
