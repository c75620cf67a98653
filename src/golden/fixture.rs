//! The files of a fixture: `<claim>/<case>.json` says what is trained and why, `<claim>/<case>.safetensors` holds every number, and
//! is itself a trajectory file. `SHA256SUMS` lists the digests of all, so that a changed bit is noticed before anything is judged.
//!
//! | array | shape | |
//! |---|---|---|
//! | `item/q`, `user/q` | \[T+1, N, d\] | embeddings of the golden state before each step, and after the last |
//! | `item/table`, `item/table_next` | \[T, P, …\] | parameters before and after, where they are not the embeddings |
//! | `item/grad_out`, `item/grad`, `item/table_grad` | | gradients of every lookup, of every row, of the parameters |
//! | `similarity`, `coefficient` | \[T, K\] | every similarity that the loss reads, and ∂L/∂s |
//! | `compared` | \[T, K, 2\] | its two slots: pair b's user is b, item slot j is B + j; −1 = padding |
//! | `loss` | \[T\] | |
//! | `item/memory/<block>/<name>` | \[T, …\] | what the optimizer remembers before each step |
//! | `item/ids`, `users`, `positives`, `negatives` | | who was looked up, as in every trajectory |
//!
//! Batches of unequal sizes are filled up: ids with −1, numbers with 0.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cases::{Case, Cases, Failing, Level, Note};
use super::observe::{BOUNDED, Bound, Observed, Stage, Step, bounds, map, observe};
use super::{DERIVATION, Fault};
use crate::error::{Error, Result};
use crate::files;
use crate::geometry::Table;
use crate::number::{Big, Field, Real};
use crate::optimizer::Schedule;
use crate::reference::Session;
use crate::rounding::Precision;
use crate::scenario::{Materialised, Scenario};
use crate::trajectory::{Array, Side, read_arrays, write_to};

/// The schema that every document names.
pub const SCHEMA: &str = "perpend-golden/v1";
/// The list of digests.
pub const SUMS: &str = "SHA256SUMS";

/// What a program that passes has to do with a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    /// Give these values.
    Values,
    /// Refuse them: a verification that accepts them is wrong.
    Failure,
}

/// How a recording that has to be refused fails.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The case that it pretends to be, `claim/name`.
    pub of: String,
    /// The class of failure.
    pub class: Fault,
    /// What the program does.
    pub mistake: String,
    /// The first step that leaves its bound.
    pub step: usize,
    /// The first stage of that step that does.
    pub stage: Stage,
}

/// Who made a fixture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The program.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What the values were computed in.
    pub arithmetic: String,
}

/// How a trainer is judged by a fixture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judged {
    /// Each step by itself, from the golden state.
    Steps,
    /// All steps in one run from the initial values, since no scenario can say what an optimizer remembers.
    Run,
}

/// The document of a fixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// [`SCHEMA`].
    pub schema: String,
    /// 1.
    pub schema_version: u32,
    /// Who made it.
    pub source: Source,
    /// The claim that it belongs to.
    pub claim: String,
    /// Its name.
    pub case: String,
    /// 0: one step, one pair; 1: one step, a batch; 2: a run.
    pub level: Level,
    /// Whether the values are right.
    pub expected: Expected,
    /// How they are wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// What the vector is about.
    pub flags: Vec<String>,
    /// For each flag why the vector exists and what failing it means.
    pub notes: BTreeMap<String, Note>,
    /// Step by step or as one run.
    pub judged: Judged,
    /// How what is allowed was derived.
    pub derivation: String,
    /// The file of the values, beside this one.
    pub values: String,
    /// What is trained, with all values.
    pub scenario: Scenario,
}

impl Document {
    /// `claim/case`.
    pub fn id(&self) -> String {
        format!("{}/{}", self.claim, self.case)
    }
}

/// A fixture that was read.
#[derive(Debug, Clone)]
pub struct Fixture {
    /// Its document.
    pub document: Document,
    /// The scenario, ready to train.
    pub values: Materialised,
    /// The golden values of every step.
    pub steps: Vec<Step<f64>>,
}

/// Rounds the state after a step to the format that it is kept in.
fn round_state(precision: Precision) -> impl FnMut(&mut Session<Big>) {
    move |session| {
        session.state(|_, _, _, numbers| {
            for x in numbers {
                *x = Big::from_f64(rounded(x, precision));
            }
        });
    }
}

/// The nearest number of a format. To single precision directly: by way of a double some ties would be rounded twice.
fn rounded(x: &Big, precision: Precision) -> f64 {
    match precision {
        Precision::F32 => f64::from(x.to_f32()),
        _ => x.to_f64(),
    }
}

fn source() -> Source {
    Source {
        name: env!("CARGO_PKG_NAME").into(),
        version: env!("CARGO_PKG_VERSION").into(),
        arithmetic: format!("{} significant bits, rounded once to the nearest double", Big::BITS),
    }
}

fn judged(scenario: &Scenario) -> Judged {
    let remembers = |side| {
        let tower = scenario.tower(side);
        let update = &tower.update;
        tower.optimizer.has_memory() || update.constraint.is_some() || update.delay > 0 || update.accumulate > 1
    };
    if Side::ALL.into_iter().any(remembers) {
        Judged::Run
    } else {
        Judged::Steps
    }
}

/// The files of all fixtures by their path, and the list of their digests.
///
/// # Errors
/// An internal error where the list of cases is not what it should be.
pub fn generate() -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let all = Cases::all()?;
    let cases = all.cases.par_iter().map(golden).collect::<Result<Vec<_>>>()?;
    let failing = all.failing.par_iter().map(|failing| must_fail(failing, &all)).collect::<Result<Vec<_>>>()?;
    let mut written = BTreeMap::new();
    for (document, arrays) in cases.into_iter().chain(failing) {
        let folder = PathBuf::from(&document.claim);
        let text = format!("{:#}\n", serde_json::to_value(&document).map_err(Error::internal)?);
        written.insert(folder.join(format!("{}.json", document.case)), text.into_bytes());
        let metadata = document.scenario.header("reference").to_metadata();
        let mut bytes = Vec::new();
        write_to(&mut bytes, &metadata, &arrays).map_err(Error::internal)?;
        written.insert(folder.join(&document.values), bytes);
    }
    let sums = written
        .iter()
        .map(|(path, bytes)| format!("{}  {}\n", digest(bytes), slashed(path)))
        .collect::<String>();
    written.insert(SUMS.into(), sums.into_bytes());
    Ok(written)
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn slashed(path: &Path) -> String {
    path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/")
}

type File = (Document, BTreeMap<String, Array>);

/// A run in the arithmetic of the fixtures: its golden values.
pub(super) fn exact(values: &Materialised) -> (Vec<Step<f64>>, Observed<Big>) {
    let observed = observe::<Big>(values, None, round_state(values.scenario.precision));
    (without_noise(&observed.steps, &bounds(values, None, Precision::F64).steps), observed)
}

fn golden(case: &Case) -> Result<File> {
    let (steps, observed) = exact(&case.values);
    let document = Document {
        schema: SCHEMA.into(),
        schema_version: 1,
        source: source(),
        claim: case.claim.clone(),
        case: case.name.clone(),
        level: case.level,
        expected: Expected::Values,
        failure: None,
        flags: case.notes.keys().cloned().collect(),
        notes: case.notes.clone(),
        judged: judged(&case.values.scenario),
        derivation: DERIVATION.into(),
        values: format!("{}.safetensors", case.name),
        scenario: case.values.scenario.clone(),
    };
    Ok((document, arrays(&case.values, &steps, &observed)))
}

/// Rounded to the nearest double. What is no larger than the error of its own computation is an exact 0: the terms cancel.
fn without_noise(steps: &[Step<Big>], bounds: &[Step<Bound>]) -> Vec<Step<f64>> {
    // Bounds are proportional to the unit roundoff.
    let share = 0.5_f64.powi(Big::BITS as i32) / Precision::F64.unit_roundoff();
    let mut rounded = map(steps, Field::to_f64);
    for (x, bound) in rounded
        .iter_mut()
        .flatten()
        .zip(bounds.iter().flatten())
        .flat_map(|(tensor, bounds)| tensor.values.iter_mut().zip(&bounds.values))
    {
        if bound.error.is_finite() && x.abs() <= share * bound.error {
            *x = 0.0;
        }
    }
    rounded
}

fn must_fail(failing: &Failing, all: &Cases) -> Result<File> {
    let case = all.cases.iter().find(|case| case.id() == failing.of).ok_or_else(|| Error::internal(&failing.of))?;
    let (mut document, golden) = golden(case)?;
    let observed = observe::<f64>(&case.values, Some(failing.class), |_| {});
    let arrays = arrays(&case.values, &observed.steps, &observed);
    let bounds = bounds(&case.values, None, case.values.scenario.precision);
    let fixture = Fixture {
        steps: read_steps("golden", &golden, &bounds.steps)?.into_complete("golden")?,
        document: document.clone(),
        values: case.values.clone(),
    };
    let judgement = super::verify::judge_arrays(&fixture, "recording", &arrays, case.values.scenario.precision)?;
    let first = judgement
        .first
        .filter(|first| first.classes.contains(&failing.class))
        .ok_or_else(|| Error::internal(format!("{} does not show {}", failing.of, failing.class.class())))?;
    document.expected = Expected::Failure;
    document.failure = Some(Failure {
        of: failing.of.clone(),
        class: failing.class,
        mistake: failing.class.describe().into(),
        step: first.place.step,
        stage: first.place.stage,
    });
    document.notes.insert(all.must_fail.0.clone(), all.must_fail.1.clone());
    document.flags = document.notes.keys().cloned().collect();
    document.case = format!("{}.fails-{}", case.name, failing.class.class());
    document.values = format!("{}.safetensors", document.case);
    document.judged = Judged::Run;
    Ok((document, arrays))
}

/// An array with a leading step axis; shorter steps are filled up.
fn padded<T: Clone>(steps: &[Vec<T>], filling: T) -> (usize, Vec<T>) {
    let width = steps.iter().map(Vec::len).max().unwrap_or(0);
    let fill = |step: &Vec<T>| {
        let mut step = step.clone();
        step.resize(width, filling.clone());
        step
    };
    (width, steps.iter().flat_map(fill).collect())
}

/// [T, length], or [T, rows, width].
fn shape(steps: usize, length: usize, row: Option<usize>) -> Vec<usize> {
    match row {
        None => vec![steps, length],
        Some(width) => vec![steps, length / width, width],
    }
}

fn floats(steps: &[Vec<f64>], row: Option<usize>) -> Array {
    let (length, values) = padded(steps, 0.0);
    Array::from_f64(&shape(steps.len(), length, row), &values)
}

fn integers(steps: &[Vec<i64>], row: Option<usize>) -> Array {
    let (length, values) = padded(steps, -1);
    Array::from_i64(&shape(steps.len(), length, row), &values)
}

fn ids(rows: &[usize]) -> Vec<i64> {
    rows.iter().map(|&row| row as i64).collect()
}

/// Everything that was observed, as the arrays of a file.
fn arrays<F>(values: &Materialised, steps: &[Step<f64>], observed: &Observed<F>) -> BTreeMap<String, Array> {
    let mut arrays = BTreeMap::new();
    let of = |stage, side| {
        let find = |step: &Step<f64>| {
            let tensor = step.iter().find(|tensor| (tensor.stage, tensor.side) == (stage, side));
            tensor.map(|tensor| (tensor.values.clone(), tensor.width))
        };
        steps.iter().map(find).collect::<Option<Vec<_>>>()
    };
    for tensor in &steps[0] {
        let Some(mut found) = of(tensor.stage, tensor.side) else {
            continue;
        };
        match tensor.stage {
            // One more entry than there are steps.
            Stage::EmbeddingAfter => continue,
            Stage::Embedding => found.extend(of(Stage::EmbeddingAfter, tensor.side).and_then(|mut after| after.pop())),
            _ => {}
        }
        let width = found[0].1;
        let numbers: Vec<Vec<f64>> = found.into_iter().map(|(numbers, _)| numbers).collect();
        let array = match tensor.stage {
            Stage::Loss => Array::from_f64(&[numbers.len()], &numbers.concat()),
            Stage::Similarity | Stage::Coefficient => floats(&numbers, None),
            _ => floats(&numbers, Some(width)),
        };
        arrays.insert(tensor.name(), array);
    }
    let compared: Vec<Vec<i64>> = observed.compared.iter().map(|slots| ids(slots.as_flattened())).collect();
    arrays.insert("compared".into(), integers(&compared, Some(2)));
    for key in observed.memories[0].keys() {
        let memory: Option<Vec<Vec<f64>>> = observed.memories.iter().map(|memory| memory.get(key).cloned()).collect();
        if let Some(memory) = memory.filter(|memory| memory.iter().all(|step| step.len() == memory[0].len())) {
            let (side, table, name) = key;
            let block = &values.tower(*side).blocks[*table].name;
            arrays.insert(format!("{side}/memory/{block}/{name}"), floats(&memory, None));
        }
    }
    let batches = &values.batches;
    let lookups = |rows: &dyn Fn(&crate::sampler::Batch) -> Vec<usize>| -> Vec<Vec<i64>> {
        batches.iter().map(|batch| ids(&rows(batch))).collect()
    };
    arrays.insert("users".into(), integers(&lookups(&|batch| batch.users.clone()), None));
    arrays.insert("positives".into(), integers(&lookups(&|batch| batch.positives.clone()), None));
    arrays.insert("user/ids".into(), integers(&lookups(&|batch| batch.users.clone()), None));
    arrays.insert("item/ids".into(), integers(&lookups(&|batch| batch.item_slots()), None));
    let own = batches[0].negatives.first().map_or(0, Vec::len);
    if own > 0 && batches.iter().all(|batch| batch.negatives.first().is_some_and(|row| row.len() == own)) {
        arrays.insert("negatives".into(), integers(&lookups(&|batch| batch.negatives.concat()), Some(own)));
    }
    arrays
}

/// What was found of the tensors of a run: in the order of the template, None for what was not recorded.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub steps: Vec<Vec<Option<Vec<f64>>>>,
    template: Vec<Step<()>>,
}

impl Recording {
    /// A run of which everything is known.
    pub fn complete(steps: &[Step<f64>]) -> Self {
        let all = |step: &Step<f64>| step.iter().map(|tensor| Some(tensor.values.clone())).collect();
        Recording { steps: steps.iter().map(all).collect(), template: map(steps, |_| ()) }
    }

    /// The whole run, every tensor of it.
    pub fn into_complete(self, place: &str) -> Result<Vec<Step<f64>>> {
        let mut steps = self.template.iter().map(|_| Step::new()).collect::<Vec<_>>();
        for ((step, found), template) in steps.iter_mut().zip(self.steps).zip(&self.template) {
            for (values, tensor) in found.into_iter().zip(template) {
                let values = values.ok_or_else(|| {
                    Error::input(format!("{place}: {}", tensor.name()), "an array of this name", "none")
                })?;
                let (stage, side, width) = (tensor.stage, tensor.side, tensor.width);
                step.push(super::Tensor { stage, side, width, values });
            }
        }
        Ok(steps)
    }
}

/// Reads the tensors of a run, whose form the template tells, from arrays named as in a trajectory.
///
/// # Errors
/// An array of another shape.
pub(super) fn read_steps<F>(place: &str, arrays: &BTreeMap<String, Array>, template: &[Step<F>]) -> Result<Recording> {
    let count = template.len();
    let find = |name: &str, entries: usize, index: usize, length: usize| -> Result<Option<Vec<f64>>> {
        let Some(array) = arrays.get(name) else { return Ok(None) };
        let first = array.shape().first().copied().unwrap_or(0);
        let stride = array.len().checked_div(first).unwrap_or(0);
        if first != entries || stride < length {
            let expected = format!("{entries} steps of at least {length} numbers");
            return Err(Error::input(format!("{place}: {name}"), expected, format!("shape {:?}", array.shape())));
        }
        let mut values = vec![0.0; length];
        array.read(index * stride, &mut values);
        Ok(Some(values))
    };
    let mut steps = Vec::new();
    for (index, step) in template.iter().enumerate() {
        let mut found = Vec::new();
        for tensor in step {
            let (name, length) = (tensor.name(), tensor.values.len());
            let pair = tensor.side.map(|side| format!("{side}/q_next")).filter(|name| arrays.contains_key(name));
            found.push(match (tensor.stage, &pair) {
                (Stage::EmbeddingAfter, Some(next)) => find(next, count, index, length)?,
                (Stage::EmbeddingAfter, None) => find(&name, count + 1, index + 1, length)?,
                (Stage::Embedding, None) => find(&name, count + 1, index, length)?,
                _ => find(&name, count, index, length)?,
            });
        }
        steps.push(found);
    }
    Ok(Recording { steps, template: map(template, |_| ()) })
}

/// Writes files below a folder.
///
/// # Errors
/// A usage error where one exists and `force` is not set; where a file cannot be written.
pub fn write(folder: &Path, generated: &BTreeMap<PathBuf, Vec<u8>>, force: bool) -> Result<()> {
    for path in generated.keys() {
        files::refuse_existing(&folder.join(path), force)?;
    }
    for (path, bytes) in generated {
        let path = folder.join(path);
        let parent = files::folder(&path);
        std::fs::create_dir_all(parent).map_err(|error| Error::io(parent, "create it", &error))?;
        files::write_bytes(&path, force, bytes)?;
    }
    Ok(())
}

/// How the files below a folder differ from what is generated, one sentence each.
pub fn differences(folder: &Path, generated: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<String> {
    let mut found = Vec::new();
    for (path, expected) in generated {
        let at = slashed(path);
        match std::fs::read(folder.join(path)) {
            Err(error) => found.push(format!("{at}: {error}")),
            Ok(bytes) if bytes == *expected => {}
            Ok(bytes) => {
                let same = bytes.iter().zip(expected).take_while(|(a, b)| a == b).count();
                found.push(format!("{at}: differs from byte {same} on"));
            }
        }
    }
    found
}

/// The fixtures of a folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    sums: BTreeMap<String, String>,
}

impl Folder {
    /// Reads the list of digests of a folder.
    ///
    /// # Errors
    /// Where there is none, or it is no such list.
    pub fn open(path: &Path) -> Result<Self> {
        let list = path.join(SUMS);
        let text = std::fs::read_to_string(&list).map_err(|error| Error::io(&list, "read it", &error))?;
        // Nothing outside of the folder is read, whatever the list says.
        let inside = |name: &str| Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        let line = |line: &str| {
            let (digest, name) = line.split_once("  ").filter(|(_, name)| inside(name))?;
            Some((name.to_owned(), digest.to_owned()))
        };
        let sums = text
            .lines()
            .map(|text| line(text).ok_or_else(|| Error::input(list.display(), "a digest, two spaces and a path", text)))
            .collect::<Result<_>>()?;
        Ok(Folder { path: path.into(), sums })
    }

    /// The name of every fixture, `claim/case`.
    pub fn ids(&self) -> Vec<String> {
        self.sums.keys().filter_map(|name| name.strip_suffix(".json")).map(str::to_owned).collect()
    }

    /// Reads a file that has the listed digest.
    fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        let Some(expected) = self.sums.get(name) else {
            return Err(Error::input(path.display(), format!("a file that {SUMS} lists"), "another name"));
        };
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, "read it", &error))?;
        let found = digest(&bytes);
        if found != *expected {
            return Err(Error::input(path.display(), format!("the SHA-256 digest {expected} of {SUMS}"), found));
        }
        Ok(bytes)
    }

    /// Reads a fixture.
    ///
    /// # Errors
    /// A usage error where there is no such fixture; a file that is not as it was generated.
    pub fn read(&self, id: &str) -> Result<Fixture> {
        if !self.sums.contains_key(&format!("{id}.json")) {
            return Err(Error::usage("case", format!("one of {}", self.path.display()), id));
        }
        let at = self.path.join(format!("{id}.json"));
        let refused =
            |found: &dyn std::fmt::Display| Error::input(at.display(), format!("a document of {SCHEMA}"), found);
        let text = String::from_utf8(self.bytes(&format!("{id}.json"))?).map_err(|error| refused(&error))?;
        let document: Document = serde_json::from_str(&text).map_err(|error| refused(&error))?;
        if (document.schema.as_str(), document.schema_version) != (SCHEMA, 1) {
            return Err(Error::input(at.display(), SCHEMA, format!("{} {}", document.schema, document.schema_version)));
        }
        let values = document.scenario.materialise()?;
        document.scenario.check_intermediates(BOUNDED)?;
        let name = format!("{}/{}", document.claim, document.values);
        // Read for its digest; the arrays are then mapped.
        self.bytes(&name)?;
        let path = self.path.join(&name);
        let (_, arrays) = read_arrays(&path)?;
        let place = path.display().to_string();
        let template = bounds(&values, None, values.scenario.precision).steps;
        let steps = read_steps(&place, &arrays, &template)?.into_complete(&place)?;
        let fixture = Fixture { document, values, steps };
        fixture.agrees_with_its_scenario(&place)?;
        Ok(fixture)
    }
}

impl Fixture {
    /// The values of the scenario are those that the first step starts from.
    fn agrees_with_its_scenario(&self, place: &str) -> Result<()> {
        for (stage, found) in
            self.steps[0].iter().filter_map(|tensor| Some((tensor.stage, (tensor.side?, &tensor.values))))
        {
            let (side, found) = found;
            let is_state = stage == Stage::Parameters
                || stage == Stage::Embedding
                    && matches!(self.values.scenario.tower(side).encoder, crate::encoder::EncoderKind::Table(_));
            if !is_state {
                continue;
            }
            let tables: Vec<&Table<f64>> = self.values.tower(side).tables.iter().collect();
            let private = self.values.tower(side).blocks.iter().all(|block| block.private);
            if crate::reference::joined(&tables, private).1 != *found {
                return Err(Error::input(place, format!("the {side} tables of the scenario"), "others"));
            }
        }
        Ok(())
    }

    /// One step from the golden state, as a scenario of its own.
    pub fn one_step(&self, step: usize) -> Materialised {
        let mut values = self.values.clone();
        values.batches = vec![self.values.batches[step].clone()];
        values.scenario.steps = 1;
        for side in Side::ALL {
            let stage = match self.steps[step].iter().any(|t| (t.stage, t.side) == (Stage::Parameters, Some(side))) {
                true => Stage::Parameters,
                false => Stage::Embedding,
            };
            let state = self.steps[step].iter().find(|t| (t.stage, t.side) == (stage, Some(side)));
            let tower = match side {
                Side::Item => &mut values.item,
                Side::User => &mut values.user,
            };
            if let Some(state) = state {
                let private = tower.blocks.iter().all(|block| block.private);
                separate(&mut tower.tables, &state.values, private);
            }
            let schedule = values.scenario.tower_mut(side).optimizer.schedule_mut();
            *schedule = Schedule::Constant(schedule.at(step as u64));
        }
        values.scenario = values.explicit();
        values
    }
}

/// The inverse of [`crate::reference::joined`].
fn separate(tables: &mut [Table<f64>], joined: &[f64], private: bool) {
    let rows = match (private || tables.len() == 1, tables.first()) {
        (true, Some(table)) => table.rows(),
        _ => 1,
    };
    let mut numbers = joined.iter();
    for row in 0..rows {
        for table in tables.iter_mut() {
            let share = table.values().len() / rows;
            let place = &mut table.values_mut()[row * share..(row + 1) * share];
            place.iter_mut().zip(numbers.by_ref()).for_each(|(place, x)| *place = *x);
        }
    }
}
