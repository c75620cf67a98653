//! `perpend` alone: check every claim quickly, train on built-in interactions, audit that run, say what it means.

use super::train::{scratch, summary, train};
use super::{colour, print, print_json, progress};
use crate::audit::{self, Audit};
use crate::claims::ALL;
use crate::claims::check::Options;
use crate::error::{Error, Result};
use crate::interactions::{GenerateOptions, generate};
use crate::reference::Reference;
use crate::report::{Format, Suite, json, terminal};
use crate::training::{Output, TrainOptions, Training};
use crate::trajectory::{Side, Trajectory};
use crate::verdict::{ExitCode, Verdict};

/// Random scenarios a claim: enough to notice a broken claim, quick enough to wait for.
const CASES: u64 = 500;

pub(super) fn run(format: Format) -> Result<ExitCode> {
    if format == Format::Junit {
        return Err(Error::usage("--format", "human or json without a command", "junit"));
    }
    let options = Options { cases: CASES, ..Options::default() };
    let bar = progress(CASES * ALL.len() as u64, "checking {msg:26} {bar:30} {pos}/{len}");
    let suite = Suite::run(ALL, &Reference, &options, &|id, cases| {
        bar.set_message(id);
        bar.inc(cases);
    })?;
    bar.finish_and_clear();

    let dataset = generate(&GenerateOptions::default())?;
    let options = TrainOptions::preset("cosine")?;
    let folder = scratch()?;
    let output = Output { folder: folder.path().join("run"), force: false };
    let training = train(&dataset, &options.scenario(&dataset)?, &options, Some(&output))?;
    let mut audit = audit::audit(&Trajectory::open(&output.folder.join("trajectory.safetensors"))?)?;
    audit.file = "the run on built-in interactions".into();

    let code = ExitCode::worst([suite.exit_code(), audit.exit_code()]);
    match format {
        Format::Json => print_json(&serde_json::json!({
            "schema": json::SCHEMA,
            "check": json::suite(&suite),
            "training": training,
            "audit": json::audit_body(&audit),
            "answer": answer(&training, &audit),
            "exit_code": code as u8,
        }))?,
        _ => print(&format!(
            "1. The theory, on random models\n\n{}\n2. Training on built-in interactions\n\n{}\n3. The audit of that run\n\n{}\n4. What it means\n\n{}\n",
            terminal::suite(&suite, colour()),
            summary(&training),
            terminal::audit_text(&audit, colour()),
            answer(&training, &audit),
        ))?,
    }
    Ok(code)
}

/// Does the norm follow popularity here, which conditions hold, what to do about it.
fn answer(training: &Training, audit: &Audit) -> String {
    let item = &training.item;
    let follows = match item.popularity {
        Some(interval) if interval.low > 0.0 => format!(
            "Yes: here the norm of an item follows its popularity (Spearman {}); the most popular tenth is {:.2} times as long as the \
             less popular half.",
            terminal::interval(item.popularity),
            item.head_over_tail
        ),
        Some(_) => format!(
            "No: here the norm does not visibly follow popularity (Spearman {}).",
            terminal::interval(item.popularity)
        ),
        None => "It cannot be told whether the norm follows popularity here: all norms or all popularities are equal."
            .into(),
    };
    let confirmed: Vec<&str> = audit
        .claims
        .iter()
        .filter(|judged| judged.tower == Some(Side::Item) && judged.verdict == Verdict::Confirmed)
        .map(|judged| judged.id)
        .collect();
    let conditions = match audit.claim("update-orthogonality", Some(Side::Item)).map(|judged| judged.verdict) {
        Some(Verdict::Confirmed) => {
            "All conditions hold on the item side: a cosine loss, private rows with an isotropic Jacobian, one scalar a row in the \
             optimizer. So every step is orthogonal to the item, no step can shrink it, and what grows it is how often it is trained."
        }
        _ => "Not all conditions hold on the item side; the audit above names the one that does not.",
    };
    let popularity = |serving: &crate::training::Serving| serving.average_popularity.unwrap_or(0.0);
    let exposure = popularity(&training.evaluation.dot) / popularity(&training.evaluation.cosine);
    format!(
        "{follows}\n{conditions}\nConfirmed: {}.\nServed by inner products, what is recommended is {exposure:.2} times as popular as served by \
         cosines. To keep the norm out of the ranking, normalise items when the index is built (ranking is then independent of all norms); \
         to keep it from growing, renormalise after each step or use row-wise AdaGrad (growth is then only logarithmic).",
        if confirmed.is_empty() {
            "nothing".into()
        } else {
            confirmed.join(", ")
        },
    )
}
