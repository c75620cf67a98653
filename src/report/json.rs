//! JSON, schema `perpend-report/v1`.

use serde_json::{Value, json};

use super::{Run, Suite, counts};
use crate::audit::{Audit, Judged};
use crate::claims::check::SpecimenReport;
use crate::claims::{Claim, proofs};
use crate::condition::Condition;
use crate::facts::SHARES;
use crate::necessity::{Matrix, search::Found};
use crate::verdict::{Hypotheses, Observation};

/// The schema that every document names first.
pub const SCHEMA: &str = "perpend-report/v1";

/// Every claim.
pub fn claims(claims: &[&dyn Claim]) -> Value {
    json!({ "schema": SCHEMA, "claims": claims.iter().map(|claim| one_claim(*claim)).collect::<Vec<_>>() })
}

/// One claim.
pub fn one_claim(claim: &dyn Claim) -> Value {
    let specimens = |specimens: Vec<crate::claims::specimen::Specimen>| -> Vec<Value> {
        specimens.iter().map(|specimen| json!({ "name": specimen.name, "drops": specimen.drops })).collect()
    };
    let theorems: Vec<Value> = proofs::of(claim.id())
        .into_iter()
        .map(|proof| json!({ "theorem": proof.theorem, "class": proof.class, "file": proof.file() }))
        .collect();
    json!({
        "id": claim.id(),
        "statement": claim.about().statement,
        "kind": claim.kind(),
        "standing": claim.about().standing,
        "sampling": claim.about().sampling,
        "conditions": claim.conditions(),
        "source": claim.about().source,
        "proof": { "standing": proofs::standing(claim.id()), "theorems": theorems },
        "derivation": claim.about().derivation,
        "twins": specimens(claim.twins()),
        "controls": specimens(claim.controls()),
        "audited": claim.kind().is_audited(),
    })
}

/// A suite of checks.
pub fn suite(suite: &Suite) -> Value {
    let as_expected = |reports: &[SpecimenReport]| reports.iter().filter(|report| report.as_expected).count();
    let claims: Vec<Value> = suite
        .reports
        .iter()
        .map(|report| {
            let failure = report.failure.as_ref().map(|failure| {
                json!({
                    "reason": failure.reason,
                    "observation": failure.observation.as_ref().map(observation),
                    "scenario": failure.scenario,
                    "case": failure.case,
                })
            });
            json!({
                "id": report.id,
                "cases": report.cases,
                "twins": as_expected(&report.twins),
                "controls": as_expected(&report.controls),
                "worst": report.worst.is_finite().then_some(report.worst),
                "status": report.status,
                "inconclusive": report.inconclusive,
                "rejected": report.rejected,
                "unsupported": report.unsupported,
                "seconds": report.seconds,
                "twin_reports": report.twins,
                "control_reports": report.controls,
                "failure": failure,
            })
        })
        .collect();
    json!({
        "schema": SCHEMA,
        "claims": claims,
        "trainer": suite.trainer,
        "seed": suite.seed,
        "exit_code": suite.exit_code() as u8,
    })
}

/// One audited run, or several.
pub fn runs(runs: &[Run], exit_code: crate::verdict::ExitCode) -> Value {
    let one = |run: &Run| match &run.result {
        Ok(audit) => audit_body(audit),
        Err(error) => json!({ "file": run.file, "error": error.to_string(), "exit_code": error.exit_code() as u8 }),
    };
    match runs {
        [run] => {
            let mut document = json!({ "schema": SCHEMA });
            if let (Value::Object(document), Value::Object(body)) = (&mut document, one(run)) {
                document.extend(body);
            }
            document["exit_code"] = json!(exit_code as u8);
            document
        }
        several => json!({
            "schema": SCHEMA,
            "runs": several.iter().map(one).collect::<Vec<_>>(),
            "exit_code": exit_code as u8,
        }),
    }
}

/// The body of one audit.
pub fn audit_body(audit: &Audit) -> Value {
    let mut summary = json!({ "sentence": audit.sentence });
    for (verdict, count) in counts(audit) {
        summary[verdict.to_string()] = json!(count);
    }
    json!({
        "file": audit.file,
        "summary": summary,
        "claims": audit.claims.iter().map(judged).collect::<Vec<_>>(),
        "diagnosis": audit.diagnosis,
        "coupling": audit.coupling,
        "motion": { "shares": SHARES, "towers": audit.motion },
        "notes": audit.notes,
        "exit_code": audit.exit_code() as u8,
    })
}

fn judged(judged: &Judged) -> Value {
    let mut entry = json!({ "id": judged.id, "tower": judged.tower });
    if let (Value::Object(entry), Value::Object(body)) = (&mut entry, observation(&judged.observation)) {
        entry.extend(body);
    }
    entry["hypotheses"] = hypotheses(&judged.hypotheses);
    entry["verdict"] = json!(judged.verdict);
    entry
}

fn observation(observation: &Observation) -> Value {
    json!({
        "observation": observation.observed,
        "residual": observation.residual,
        "allowed": observation.allowed,
        "derivation": observation.derivation,
        "leak": observation.leak,
        "angles": observation.angles,
        "where": observation.place,
        "judged": observation.judged,
        "smallest_gradient": observation.smallest_gradient,
        "note": observation.note,
    })
}

fn hypotheses(hypotheses: &Hypotheses) -> Value {
    let list = |conditions: &[(crate::condition::Condition, String)]| -> Vec<Value> {
        conditions.iter().map(|(condition, why)| json!({ "condition": condition, "why": why })).collect()
    };
    match hypotheses {
        Hypotheses::Met => json!({ "status": "met", "conditions": [] }),
        Hypotheses::Unmet(conditions) => json!({ "status": "unmet", "conditions": list(conditions) }),
        Hypotheses::Unknown(conditions) => json!({ "status": "unknown", "conditions": list(conditions) }),
    }
}

/// Conditions × claims.
pub fn matrix(matrix: &Matrix) -> Value {
    json!({ "schema": SCHEMA, "claims": matrix.rows })
}

/// What a search found for each claim and condition.
pub fn witnesses(found: &[(&'static str, Condition, Option<Found>)]) -> Value {
    let one = |(claim, condition, witness): &(&'static str, Condition, Option<Found>)| {
        let (margin, drawn) = (witness.as_ref().map(|found| found.margin), witness.as_ref().map(|found| found.drawn));
        let case = witness.as_ref().map(|found| &found.case);
        json!({ "claim": claim, "condition": condition, "margin": margin, "drawn": drawn, "case": case })
    };
    json!({ "schema": SCHEMA, "witnesses": found.iter().map(one).collect::<Vec<_>>() })
}
