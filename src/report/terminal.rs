//! Text for people. A status word comes before any colour; colours only where they are wanted.

use std::collections::BTreeSet;
use std::fmt::Write;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};

use super::{Run, Suite};
use crate::audit::{Audit, Coupling, MotionAt, TowerMotion};
use crate::claims::check::{self, Status};
use crate::claims::{Claim, Sampling, find, proofs};
use crate::condition::Condition;
use crate::facts::{MotionQuantiles, StepMotion};
use crate::necessity::{Matrix, search::Found};
use crate::presets::{Measured, Preset};
use crate::statistics::Interval;
use crate::verdict::{Hypotheses, Observation, Verdict};

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Colour {
    /// Escape sequences around status words.
    On,
    /// Plain text.
    Off,
}

impl Colour {
    /// On for a terminal, unless NO_COLOR is set.
    pub fn detect(terminal: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        if terminal && !refused { Colour::On } else { Colour::Off }
    }

    fn paint(self, code: u8, text: &str) -> String {
        match self {
            Colour::On => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            Colour::Off => text.to_string(),
        }
    }

    fn verdict(self, verdict: Verdict) -> String {
        let code = match verdict {
            Verdict::Confirmed => 32,
            Verdict::Violated => 31,
            Verdict::Outside => 36,
            Verdict::Undecided => 33,
        };
        self.paint(code, &verdict.to_string())
    }
}

/// Columns without lines, folded to the width of the terminal where there is one.
fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.to_vec());
    table
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {}\n", line.trim_end())).collect()
}

fn number(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.1e}"))
}

/// How a claim is checked.
fn checked(claim: &dyn Claim) -> String {
    let cases = match claim.about().sampling {
        Sampling::EveryCase => "every random case".to_string(),
        Sampling::Statistical { cases, failure_probability, .. } => {
            format!("{cases} samples, fails by chance ≤ {failure_probability:.0e}")
        }
    };
    if claim.kind().is_audited() {
        cases + ", recorded runs"
    } else {
        cases
    }
}

/// Every claim, a line each.
pub fn claims(claims: &[&dyn Claim]) -> String {
    let mut table =
        table(&["claim", "standing", "kind", "statement", "conditions", "checked", "proof", "twins", "controls"]);
    for claim in claims {
        let conditions: Vec<String> = claim.conditions().iter().map(ToString::to_string).collect();
        table.add_row(vec![
            claim.id().to_string(),
            claim.about().standing.to_string(),
            claim.kind().to_string(),
            claim.about().statement.to_string(),
            if conditions.is_empty() {
                "–".into()
            } else {
                conditions.join(" ")
            },
            checked(*claim),
            proofs::standing(claim.id()),
            claim.twins().len().to_string(),
            claim.controls().len().to_string(),
        ]);
    }
    format!("{}\nperpend explain CLAIM tells more of one.\n", indented(&table.to_string()))
}

/// Designs: what they are, which conditions their item towers meet, what their steps did.
pub fn presets(presets: &[&Preset], measured: &[Measured]) -> String {
    let names = crate::presets::CONDITIONS.map(|condition| condition.to_string());
    let mut header = vec!["design", "similarity", "loss", "item encoder", "optimizer"];
    header.extend(names.iter().map(String::as_str));
    header.extend(["orthogonal", "leak", "|cos| 1 % / 50 % / 99 %", "growth", "coupling"]);
    let mut table = table(&header);
    for one in measured {
        let mut row = vec![
            one.name.to_string(),
            one.similarity.to_string(),
            one.loss.to_string(),
            one.encoder.to_string(),
            one.optimizer.clone(),
        ];
        row.extend(one.conditions.iter().map(|status| match status {
            crate::verdict::Status::Met(_) => "yes".to_string(),
            crate::verdict::Status::Unmet(_) => "no".to_string(),
            crate::verdict::Status::Unknown(_) => "?".to_string(),
        }));
        let angles = one.angles.as_ref().and_then(|angles| angles.touched.as_ref());
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".into());
        row.extend([
            one.orthogonal.to_string(),
            or_dash(one.leak.map(|leak| format!("{leak:.1e}"))),
            or_dash(angles.map(|at| format!("{:.2} / {:.2} / {:.2}", at.p01, at.p50, at.p99))),
            format!("{:.2}", one.growth),
            or_dash(one.coupling.map(|coupling| format!("{coupling:.2}"))),
        ]);
        table.add_row(row);
    }
    let mut text = indented(&table.to_string());
    text.push('\n');
    for preset in presets {
        let _ = writeln!(text, "  {}: {} ({})", preset.name, preset.about, preset.source);
    }
    text
}

/// A suite of checks.
pub fn suite(suite: &Suite, colour: Colour) -> String {
    let mut text = String::new();
    let mut rows = table(&["", "claim", "cases", "twins", "controls", "worst/allowed", "seconds"]);
    let share = |reports: &[check::SpecimenReport]| {
        format!("{}/{}", reports.iter().filter(|report| report.as_expected).count(), reports.len())
    };
    for report in &suite.reports {
        let (word, code) = match report.status {
            Status::Passed => ("pass", 32),
            Status::Failed => ("FAIL", 31),
            Status::Skipped => ("skip", 33),
        };
        rows.add_row(vec![
            colour.paint(code, word),
            report.id.to_string(),
            report.cases.to_string(),
            share(&report.twins),
            share(&report.controls),
            format!("{:.3}", report.worst),
            format!("{:.1}", report.seconds),
        ]);
    }
    let _ = writeln!(text, "{}", indented(&rows.to_string()));
    let total = |of: fn(&check::Report) -> u64| suite.reports.iter().map(of).sum::<u64>();
    let _ = writeln!(
        text,
        "  {} cases judged, {} twins broke, {} controls held; {} scenarios could show nothing, {} were turned down, {} unsupported.",
        total(|report| report.cases),
        total(|report| report.twins.iter().filter(|twin| twin.as_expected).count() as u64),
        total(|report| report.controls.iter().filter(|control| control.as_expected).count() as u64),
        total(|report| report.inconclusive),
        total(|report| report.rejected),
        total(|report| report.unsupported),
    );
    let error = suite.error().map(|(id, _)| id);
    for report in suite.reports.iter().filter(|report| report.status == Status::Failed && Some(report.id) != error) {
        let _ = write!(text, "\n{}", failure_text(report, &suite.trainer));
    }
    text
}

/// What the trainer itself did wrong, if it ended the suite, and how to see it again.
pub fn trainer_error(suite: &Suite) -> Option<String> {
    let (id, failure) = suite.error()?;
    let mut text = format!("error: {}\n  claim      {id}\n", failure.reason);
    if let Some(case) = &failure.case {
        let (trainer, case) = (quoted(&suite.trainer), quoted(&case.to_string_lossy()));
        let _ = writeln!(text, "  replay     perpend check {id} --trainer {trainer} --case {case}");
    }
    Some(text)
}

/// What went wrong with a claim, in the order in which one would look: claim, numbers, reason, place, smallest case.
pub fn failure_text(report: &check::Report, trainer: &str) -> String {
    let trainer = quoted(trainer);
    let mut text = format!("FAIL {}        trainer {trainer}", report.id);
    if let Some(failure) = &report.failure {
        let case = failure.case.as_ref().map(|path| quoted(&path.to_string_lossy()));
        text += &case.as_ref().map_or("\n".into(), |case| format!("        case {case}\n"));
        text += &block(report.id, failure.observation.as_ref(), &failure.reason, &failure.scenario);
        if let Some(case) = case {
            let _ = writeln!(text, "  replay     perpend check {} --trainer {trainer} --case {case}", report.id);
        }
    } else {
        text.push('\n');
    }
    for twin in report.twins.iter().filter(|twin| !twin.as_expected) {
        let _ = writeln!(
            text,
            "  twin       {:?} must break by {} times its allowance, and reaches {:.3} ({} of {} seeds break)",
            twin.name,
            check::TWIN_MARGIN,
            twin.margin,
            twin.broke,
            twin.seeds
        );
    }
    for control in report.controls.iter().filter(|control| !control.as_expected) {
        let _ = writeln!(
            text,
            "  control    {:?} must hold, and breaks in {} of {} seeds (worst {:.3} times the allowance)",
            control.name, control.broke, control.seeds, control.margin
        );
    }
    if report.failure.is_none() && report.cases == 0 {
        text += "  reason     no scenario could be judged\n";
    }
    text
}

/// A word of a command line, in quotes where a shell would split it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_string()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// The block that describes one broken case.
pub fn block(
    id: &str,
    observation: Option<&Observation>,
    reason: &str,
    scenario: &crate::scenario::Scenario,
) -> String {
    let mut text = String::new();
    if let Ok(claim) = find(id) {
        let conditions: Vec<String> = claim.conditions().iter().map(ToString::to_string).collect();
        let when = if conditions.is_empty() {
            String::new()
        } else {
            format!(" when {}", conditions.join(", "))
        };
        let _ = writeln!(text, "  claim      {}{when}", claim.about().statement);
    }
    if let Some(observation) = observation {
        let _ = writeln!(
            text,
            "  observed   {}        allowed {} = {}",
            number(observation.residual),
            number(observation.allowed),
            observation.derivation
        );
    }
    if !reason.is_empty() {
        let _ = writeln!(text, "  because    {reason}");
    }
    if let Some(observation) = observation {
        let place = observation.place.map_or("–".into(), |place| place.to_string());
        let _ = writeln!(
            text,
            "  where      {place}; smallest ‖g‖ = {}; {} judged",
            number(observation.smallest_gradient),
            observation.judged
        );
    }
    let _ = writeln!(
        text,
        "  smallest   d = {}, {} items, {} users, {} steps, {}",
        scenario.dim, scenario.item.rows, scenario.user.rows, scenario.steps, scenario.precision
    );
    text
}

/// Audited runs; what could not be read is an error and not part of the report.
pub fn runs(runs: &[Run], colour: Colour) -> String {
    let mut text = String::new();
    for audit in runs.iter().filter_map(|run| run.result.as_ref().ok()) {
        if !text.is_empty() {
            text.push('\n');
        }
        text += &audit_text(audit, colour);
    }
    text
}

/// One audit: a sentence, then the table.
pub fn audit_text(audit: &Audit, colour: Colour) -> String {
    let mut text = format!("{}\n\n{}\n", audit.sentence, audit.file);
    let mut rows = table(&["", "tower", "claim", "numbers", "residual", "allowed", "judged", ""]);
    for judged in &audit.claims {
        let observation = &judged.observation;
        let why = match &judged.hypotheses {
            Hypotheses::Met => observation.note.clone(),
            Hypotheses::Unmet(conditions) => first("unmet", conditions),
            Hypotheses::Unknown(conditions) => first("unknown", conditions),
        };
        rows.add_row(vec![
            colour.verdict(judged.verdict),
            judged.tower.map_or("–".into(), |side| side.to_string()),
            judged.id.to_string(),
            observation.observed.to_string(),
            number(observation.residual),
            number(observation.allowed),
            observation.judged.to_string(),
            why,
        ]);
    }
    let _ = writeln!(text, "{}", indented(&rows.to_string()));
    for contradiction in &audit.diagnosis.contradictions {
        let _ = writeln!(text, "  {} {contradiction}", colour.paint(31, "contradiction"));
    }
    for finding in &audit.diagnosis.findings {
        let tower = finding.tower.map_or(String::new(), |side| format!("{side} "));
        let estimate = finding.estimate.map_or(String::new(), |estimate| format!(" {estimate:.6}"));
        let interval = finding.interval.map_or(String::new(), |(low, high)| format!(" ± {:.1e}", (high - low) / 2.0));
        let _ = writeln!(text, "  found      {tower}{}{estimate}{interval}: {}", finding.name, finding.evidence);
    }
    for advice in &audit.diagnosis.advice {
        let tower = advice.tower.map_or(String::new(), |side| format!("{side} "));
        let _ = writeln!(
            text,
            "  advice     {tower}{}: {}; gives {}; does not give {} ({})",
            advice.cause, advice.mitigation, advice.guarantees, advice.does_not, advice.claim
        );
    }
    for coupling in &audit.coupling {
        let _ = writeln!(text, "  coupling   {}", coupling_text(coupling));
    }
    for motion in &audit.motion {
        for line in motion_text(motion) {
            let _ = writeln!(text, "  motion     {line}");
        }
    }
    for note in &audit.notes {
        let _ = writeln!(text, "  note       {note}");
    }
    text
}

fn first(status: &str, conditions: &[(crate::condition::Condition, String)]) -> String {
    match conditions.first() {
        None => format!("{status}: no rule is declared or determined"),
        Some((condition, why)) => format!("{status} {condition}: {why}"),
    }
}

/// An interval, in words.
pub fn interval(interval: Option<Interval>) -> String {
    interval.map_or("cannot be told".into(), |interval| {
        format!("{:.3} (95 % {:.3} to {:.3})", interval.estimate, interval.low, interval.high)
    })
}

/// The medians, and the range from 1 % to 99 %, in the first and the last step.
fn motion_text(motion: &TowerMotion) -> Vec<String> {
    let tower = motion.tower.map_or(String::new(), |side| format!("{side}: "));
    let range = |quantiles: Option<MotionQuantiles>| {
        quantiles
            .map_or("none".into(), |[low, _, _, median, _, _, high]| format!("{median:.3e} ({low:.3e} to {high:.3e})"))
    };
    let shown: Vec<&MotionAt> = match motion.steps.as_slice() {
        [first, .., last] => vec![first, last],
        steps => steps.iter().collect(),
    };
    let line = |at: &&MotionAt| {
        let StepMotion { moved, rows, cosine, growth } = &at.motion;
        let step = at.step;
        format!(
            "{tower}step {step}: {moved} of {rows} rows moved, cos∠(q, Δq) {}; ‖q'‖/‖q‖ − 1 {}",
            range(*cosine),
            // Exact near 1, and what digits are left for.
            range(growth.map(|quantiles| quantiles.map(|factor| factor - 1.0)))
        )
    };
    shown.iter().map(line).collect()
}

fn coupling_text(coupling: &Coupling) -> String {
    let tower = coupling.tower.map_or(String::new(), |side| format!("{side}: "));
    format!(
        "{tower}{} rows; Spearman(touches, ‖q‖) {}; Spearman(Σs², ‖q‖) {}; median growth {:.3}×",
        coupling.rows,
        interval(coupling.touches),
        interval(coupling.spherical_energy),
        coupling.median_growth
    )
}

/// All that is known of a claim.
pub fn explain(claim: &dyn Claim) -> String {
    let mut text = format!("{}\n\n", claim.documentation());
    let _ = writeln!(
        text,
        "id          {}\nkind        {}\nstatement   {}",
        claim.id(),
        claim.kind(),
        claim.about().statement
    );
    for condition in claim.conditions() {
        let _ = writeln!(text, "condition   {condition}: {}", condition.describe());
    }
    let _ = writeln!(text, "checked     {}", checked(claim));
    if let Sampling::Statistical { how, .. } = claim.about().sampling {
        let _ = writeln!(text, "            {how}");
    }
    let _ = writeln!(text, "allowed     {}", claim.about().derivation);
    let _ = writeln!(text, "proof       {}", proofs::standing(claim.id()));
    for proof in proofs::of(claim.id()) {
        let file = proof.file().unwrap_or_else(|| "–".into());
        let _ = writeln!(text, "            {} [{}] {file}", proof.theorem, proof.class);
    }
    for twin in claim.twins() {
        let drops = twin.drops.map_or(String::new(), |condition| format!(" (drops {condition})"));
        let _ = writeln!(text, "twin        {}{drops}", twin.name);
    }
    for control in claim.controls() {
        let _ = writeln!(text, "control     {}", control.name);
    }
    text
}

/// Conditions × claims: for every condition that a claim lists, by how many times its allowance the claim breaks without it.
pub fn matrix(matrix: &Matrix, colour: Colour) -> String {
    let mut text = String::new();
    let mut shown = table(&["claim", "without", "twin", "broke", "margin", ""]);
    let mut add = |claim: &str, condition: &str, report: &check::SpecimenReport, twin: bool| {
        let word = match (report.as_expected, twin) {
            (true, true) => colour.paint(32, "breaks"),
            (true, false) => colour.paint(36, "benign"),
            (false, true) => colour.paint(31, "MUST BREAK"),
            (false, false) => colour.paint(31, "MUST HOLD"),
        };
        let margin = format!("{:.1e}", report.margin);
        let broke = format!("{}/{}", report.broke, report.seeds);
        shown.add_row(vec![claim.into(), condition.into(), report.name.to_string(), broke, margin, word]);
    };
    let mut pairs = 0;
    for row in &matrix.rows {
        for cell in &row.cells {
            pairs += 1;
            let condition = cell.condition.to_string();
            cell.twins.iter().for_each(|report| add(row.claim, &condition, report, true));
            cell.benign.iter().for_each(|report| add(row.claim, &condition, report, false));
        }
        row.variants.iter().for_each(|report| add(row.claim, "–", report, true));
        row.controls.iter().for_each(|report| add(row.claim, "–", report, false));
    }
    let all: BTreeSet<Condition> = matrix.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.condition).collect();
    let names: Vec<String> = all.iter().map(ToString::to_string).collect();
    let mut grid = table(&[&["claim"], &names.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat());
    for row in &matrix.rows {
        let cell = |condition: &Condition| match row.cells.iter().find(|cell| cell.condition == *condition) {
            None => String::new(),
            Some(cell) if !cell.is_shown() => colour.paint(31, "MISSING"),
            Some(cell) => cell.margin().map_or("benign".into(), |margin| format!("{margin:.0e}")),
        };
        grid.add_row([row.claim.to_string()].into_iter().chain(all.iter().map(cell)));
    }
    text += &indented(&grid.to_string());
    text.push('\n');
    text += &indented(&shown.to_string());
    let good = matrix.rows.iter().flat_map(|row| &row.cells).filter(|cell| cell.is_shown()).count();
    let _ = writeln!(
        text,
        "\n{good} of {pairs} pairs of claim and condition are shown. A twin must break by {} times what is allowed, a benign \
         violation must hold.",
        check::TWIN_MARGIN
    );
    text
}

/// What a search found for each claim and condition.
pub fn witnesses(found: &[(&'static str, Condition, Option<Found>)]) -> String {
    let mut rows = table(&["claim", "without", "margin", "d", "items", "users", "steps", "drawn"]);
    for (claim, condition, witness) in found {
        let mut row = vec![claim.to_string(), condition.to_string()];
        match witness {
            None => row.push("not found in time".into()),
            Some(found) => {
                let scenario = &found.case.scenario;
                row.push(format!("{:.1e}", found.margin));
                let sizes = [scenario.dim, scenario.item.rows, scenario.user.rows, scenario.steps];
                row.extend(sizes.map(|size| size.to_string()));
                row.push(found.drawn.to_string());
            }
        }
        rows.add_row(row);
    }
    indented(&rows.to_string())
}
