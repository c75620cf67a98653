//! Reports of what came of golden fixtures.

use serde_json::{Value, json};

use super::json::SCHEMA;
use crate::golden::DERIVATION;
use crate::golden::fixture::Judged;
use crate::golden::verify::{First, Judgement, Outcome, Verified};
use crate::verdict::ExitCode;

/// What came of a verification.
pub struct Verification {
    /// Who was verified.
    pub trainer: String,
    /// One outcome a fixture.
    pub outcomes: Vec<Outcome>,
    /// Drift of a free run of each, where one was made, in units in the last place.
    pub drifts: Vec<Option<f64>>,
}

impl Verification {
    /// The exit code: nothing executed is nothing checked.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::worst(self.outcomes.iter().filter_map(Outcome::exit_code))
    }

    /// How many came out as `which` says.
    fn count(&self, which: impl Fn(&Verified) -> bool) -> usize {
        self.outcomes.iter().filter(|outcome| which(&outcome.result)).count()
    }

    /// For people.
    pub fn human(&self) -> String {
        let mut text = String::new();
        for (outcome, drift) in self.outcomes.iter().zip(&self.drifts) {
            let line = match &outcome.result {
                Verified::Passed(judgements) => format!("pass     {:52} {}", outcome.id, summary(judgements, *drift)),
                Verified::Failed(_) => format!("FAIL     {}", outcome.id),
                Verified::Skipped(why) => format!("skipped  {:52} {why}", outcome.id),
                Verified::Broken(error) => format!("ERROR    {}: {error}", outcome.id),
                Verified::Refused(class) => format!("refused  {:52} {}", outcome.id, class.describe()),
                Verified::NotRefused(why) => format!("FAIL     {} was not refused: {why}", outcome.id),
            };
            text += line.trim_end();
            text += "\n";
            if let Some(first) = outcome.first() {
                text += &block(first);
                text += &format!("  replay     perpend golden verify {} --trainer '{}'\n", outcome.id, self.trainer);
            }
        }
        let passed = self.count(|result| matches!(result, Verified::Passed(_)));
        let failed = self.count(|result| matches!(result, Verified::Failed(_) | Verified::NotRefused(_)));
        let skipped = self.count(|result| matches!(result, Verified::Skipped(_)));
        let broken = self.count(|result| matches!(result, Verified::Broken(_)));
        let refused = self.count(|result| matches!(result, Verified::Refused(_)));
        let numbers: usize = self.outcomes.iter().flat_map(Outcome::judgements).map(Judgement::judged).sum();
        text += &format!(
            "\ntrainer {}: {passed} passed, {failed} failed, {skipped} skipped, {broken} errors; {numbers} numbers judged; \
             {refused} wrong recordings refused\nallowed: {DERIVATION}\n",
            self.trainer
        );
        if self.exit_code() == ExitCode::NothingChecked {
            text += "nothing was executed\n";
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let cases: Vec<Value> = self
            .outcomes
            .iter()
            .zip(&self.drifts)
            .map(|(outcome, drift)| {
                let (status, why) = match &outcome.result {
                    Verified::Passed(_) => ("passed", None),
                    Verified::Failed(_) => ("failed", None),
                    Verified::Skipped(why) => ("skipped", Some(why.clone())),
                    Verified::Broken(error) => ("error", Some(error.to_string())),
                    Verified::Refused(class) => ("refused", Some(class.class().to_owned())),
                    Verified::NotRefused(why) => ("failed", Some(why.clone())),
                };
                json!({
                    "case": outcome.id,
                    "status": status,
                    "why": why,
                    "judged_as": outcome.judged,
                    "first": outcome.first(),
                    "vectors": outcome.judgements(),
                    "free_run_drift_ulps": drift,
                })
            })
            .collect();
        json!({
            "schema": SCHEMA,
            "trainer": self.trainer,
            "cases": cases,
            "derivation": DERIVATION,
            "exit_code": self.exit_code() as u8,
        })
    }
}

/// The worst tensor of some vectors in a line.
fn summary(judgements: &[Judgement], drift: Option<f64>) -> String {
    let worst = judgements.iter().filter_map(Judgement::worst).max_by(|a, b| a.ratio.total_cmp(&b.ratio));
    let ulps = judgements
        .iter()
        .flat_map(|judgement| &judgement.tensors)
        .map(|tensor| tensor.ulps)
        .fold(0.0, f64::max);
    let mut text = match worst {
        Some(worst) => format!("{:.4} of the bound, {ulps:.1} ulp", worst.ratio),
        None => "nothing recorded".into(),
    };
    if let Some(drift) = drift {
        text += &format!("; free run drifts {drift:.1} ulp");
    }
    text
}

/// The first place that left its bound.
fn block(first: &First) -> String {
    let compared = &first.compared;
    let classes: Vec<String> =
        first.classes.iter().map(|class| format!("{}: {}", class.class(), class.describe())).collect();
    let because = match classes.is_empty() {
        true => "no mistake that is known here gives these numbers".into(),
        false => classes.join("; or "),
    };
    let vector = if first.perturbed {
        " (with parameters that are not the fixture's)"
    } else {
        ""
    };
    format!(
        "  first      {}{vector}\n  observed   {:e}    expected {:e}    off by {:.3e} = {:.1} ulp, allowed {:.1e}\n  because    {because}\n",
        first.place,
        compared.observed,
        compared.expected,
        (compared.observed - compared.expected).abs(),
        compared.ulps,
        compared.allowed,
    )
}

/// A recording judged by a fixture, for people.
pub fn recording(file: &str, case: &str, judgement: &Judgement) -> String {
    match &judgement.first {
        None => format!(
            "pass     {file} is {case}: {}; {} numbers judged, {} arrays not recorded\n",
            summary(std::slice::from_ref(judgement), None),
            judgement.judged(),
            judgement.missing
        ),
        Some(first) => format!("FAIL     {file} is not {case}\n{}", block(first)),
    }
}

/// The same for programs.
pub fn recording_json(file: &str, case: &str, judgement: &Judgement) -> Value {
    json!({
        "file": file,
        "case": case,
        "judged_as": Judged::Run,
        "status": if judgement.first.is_some() { "failed" } else { "passed" },
        "first": judgement.first,
        "tensors": judgement.tensors,
        "arrays_not_recorded": judgement.missing,
        "derivation": DERIVATION,
    })
}
