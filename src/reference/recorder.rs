//! Streams chosen rows of a long run to a trajectory file.
//!
//! [`Reference`](super::Reference) keeps every row of every step in memory. A [`Recorder`] follows a [`Session`] instead and
//! writes what happened to a few watched rows, in the sparse form: for every watched row that was looked up or that moved,
//! the embedding before and after the step and the gradient between them. A row without a record in a step stayed where it
//! was and had no gradient, so with every step recorded the histories of the watched rows are complete, and the claims
//! about whole runs can be judged. With every k-th step alone the claims about single steps can.

use std::collections::HashMap;
use std::path::Path;

use super::{Session, StepOutcome, Steps};
use crate::error::{Error, Result};
use crate::number::Real;
use crate::optimizer::Schedule;
use crate::rounding::Precision;
use crate::sampler::Batch;
use crate::scenario::Scenario;
use crate::trainer::Stepwise;
use crate::trajectory::{Element, Side, Writer};

/// Which rows to record, and in which steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Watch {
    /// The item rows. Their order does not matter; a tower without watched rows is left out of the file.
    pub items: Vec<usize>,
    /// The user rows.
    pub users: Vec<usize>,
    /// Steps 0, k, 2k, … are recorded; 1 = all of them, which makes the histories complete.
    pub every: u64,
}

impl Watch {
    /// Every row of a scenario in every step.
    pub fn all(scenario: &Scenario) -> Self {
        Watch { items: (0..scenario.item.rows).collect(), users: (0..scenario.user.rows).collect(), every: 1 }
    }
}

/// Streams watched rows to a trajectory file, with memory in proportion to the watched rows, whatever the length of the run.
///
/// The arrays: `loss`, and `step` where not every step is recorded; for each tower with watched rows `ids` (all slots, −1
/// where a batch is short), `lr`, `row_ids`, `row_step`, `row_id`, `row_q`, `row_q_next` and `row_grad`. Embeddings and
/// gradients have the scenario's precision. Nothing appears under the path before [`Recorder::finish`], and dropped without
/// it nothing is left behind.
///
/// ```
/// use perpend::reference::{Session, recorder::{Recorder, Watch}};
/// use perpend::{scenario::Scenario, trajectory::Trajectory};
///
/// let tower = |rows: usize| {
///     format!("rows = {rows}\nencoder = {{ kind = \"table\" }}\noptimizer = {{ kind = \"sgd\", lr = 0.1 }}\n\
///         initial = {{ kind = \"normal\", std = 0.5 }}\n")
/// };
/// let scenario = Scenario::from_toml(&format!(
///     "dim = 4\nsteps = 3\nloss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2 }}\n\
///      sampler = {{ batch = 4, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n[item]\n{}[user]\n{}",
///     tower(5), tower(3),
/// ))?;
/// let values = scenario.materialise()?;
/// let folder = tempfile::tempdir().unwrap();
/// let path = folder.path().join("run.safetensors");
/// let mut session = Session::<f64>::new(&values);
/// let mut recorder = Recorder::create(&path, false, &scenario, &Watch { items: vec![0, 2], users: vec![1], every: 1 })?;
/// for batch in &values.batches {
///     recorder.step(&mut session, batch)?;
/// }
/// recorder.finish()?;
/// let trajectory = Trajectory::open(&path)?;
/// assert_eq!(trajectory.towers()[0].rows(), 2);
/// # Ok::<(), perpend::Error>(())
/// ```
#[derive(Debug)]
pub struct Recorder {
    writer: Writer,
    element: Element,
    dim: usize,
    every: u64,
    /// The first step of this recording, which is recorded whatever its number.
    first: u64,
    /// Whether the steps have numbers: not all of them are recorded.
    numbered: bool,
    /// Steps recorded so far: the index of the next.
    recorded: i64,
    towers: Vec<Watched>,
}

/// The watched rows of one tower.
#[derive(Debug)]
struct Watched {
    side: Side,
    schedule: Schedule,
    /// B: lookups in a full batch.
    slots: usize,
    /// Ascending.
    rows: Vec<usize>,
    /// The embeddings before the step: `[rows, d]`.
    before: Vec<f64>,
    /// The gradients of the step, of rows that have one: `[d]`.
    gradients: HashMap<usize, Vec<f64>>,
}

impl Watched {
    fn name(&self, array: &str) -> String {
        format!("{}/{array}", self.side)
    }
}

/// Lookups in a full batch of each tower: items, users.
fn slots(scenario: &Scenario) -> (usize, usize) {
    match &scenario.batches {
        Some(batches) => {
            let longest = |of: &dyn Fn(&Batch) -> usize| batches.iter().map(of).max().unwrap_or(0);
            (longest(&|batch| batch.item_slots().len()), longest(&|batch| batch.users.len()))
        }
        None => {
            let pairs = scenario.sampler.batch;
            (scenario.sampler.negatives.slots(pairs, scenario.item.rows), pairs)
        }
    }
}

impl Recorder {
    /// Starts a file that describes a run of this scenario in its header.
    ///
    /// # Errors
    /// A usage error for a row that does not exist, an interval of 0 or nothing to watch; where the file exists and `force`
    /// is not set; where its folder does not exist or cannot be written to.
    pub fn create(path: &Path, force: bool, scenario: &Scenario, watch: &Watch) -> Result<Self> {
        Self::start(path, force, scenario, watch, "reference", 0)
    }

    /// As [`Recorder::create`], for a run of `implementation` that goes on after `steps` steps.
    ///
    /// # Errors
    /// As [`Recorder::create`].
    pub(crate) fn start(
        path: &Path,
        force: bool,
        scenario: &Scenario,
        watch: &Watch,
        implementation: &str,
        steps: u64,
    ) -> Result<Self> {
        if watch.every == 0 {
            return Err(Error::usage("record every", "at least 1 step", 0));
        }
        let (item_slots, user_slots) = slots(scenario);
        let mut towers = Vec::new();
        for (side, rows, slots) in [(Side::Item, &watch.items, item_slots), (Side::User, &watch.users, user_slots)] {
            let mut rows = rows.clone();
            rows.sort_unstable();
            rows.dedup();
            let tower = scenario.tower(side);
            if let Some(row) = rows.iter().find(|&&row| row >= tower.rows) {
                return Err(Error::usage(format!("watched {side} rows"), format!("rows below {}", tower.rows), row));
            }
            if !rows.is_empty() {
                towers.push(Watched {
                    side,
                    schedule: tower.optimizer.schedule().clone(),
                    slots,
                    before: Vec::with_capacity(rows.len() * scenario.dim),
                    gradients: HashMap::new(),
                    rows,
                });
            }
        }
        if towers.is_empty() {
            return Err(Error::usage("watched rows", "at least one", "none"));
        }
        let mut recorder = Recorder {
            writer: Writer::create(path, force, scenario.header(implementation))?,
            element: match scenario.precision {
                Precision::F32 => Element::F32,
                _ => Element::F64,
            },
            dim: scenario.dim,
            every: watch.every,
            // A recording that begins at step 1 would pass for one of a whole run whose steps are counted from 1.
            first: if steps == 1 { 2 } else { steps },
            numbered: watch.every > 1 || steps > 0,
            recorded: 0,
            towers,
        };
        recorder.declare_arrays()?;
        Ok(recorder)
    }

    /// Every array of the sparse form exists even where no watched row is ever touched.
    fn declare_arrays(&mut self) -> Result<()> {
        let Recorder { writer, element, dim, towers, .. } = self;
        for tower in towers {
            let rows: Vec<i64> = tower.rows.iter().map(|&row| row as i64).collect();
            writer.append_integers(&tower.name("row_ids"), Element::I64, &[], &rows)?;
            for name in ["row_step", "row_id"] {
                writer.append_integers(&tower.name(name), Element::I32, &[], &[])?;
            }
            for name in ["row_q", "row_q_next", "row_grad"] {
                writer.append(&tower.name(name), *element, &[*dim], &[])?;
            }
        }
        Ok(())
    }

    /// Makes one training step and records it, if it is one of those to record.
    ///
    /// # Errors
    /// Where the batch is longer than the scenario's batches, or the disk is full.
    pub fn step<F: Real>(&mut self, session: &mut Session<F>, batch: &Batch) -> Result<StepOutcome<F>> {
        let mut steps = Steps::new(session);
        let loss = steps.evaluate(batch)?;
        let recorded = self.before(&steps, loss)?;
        if recorded {
            for side in Side::ALL {
                steps.each_gradient(side, &mut |row, _, gradient| self.gradient(side, row, gradient));
            }
        }
        steps.apply();
        if recorded {
            self.after(&steps)?;
        }
        steps.into_outcome().ok_or_else(|| Error::internal("a step without an outcome"))
    }

    /// Notes what is known before the parameters move; tells whether the step is to be recorded.
    pub(crate) fn before(&mut self, model: &impl Stepwise, loss: f64) -> Result<bool> {
        let time = model.time();
        if time < self.first || (!time.is_multiple_of(self.every) && time != self.first) {
            return Ok(false);
        }
        if self.numbered {
            self.writer.append_integers("step", Element::I64, &[], &[time as i64])?;
        }
        self.writer.append("loss", self.element, &[], &[loss])?;
        for tower in &mut self.towers {
            let own = model.slots(tower.side);
            if own.len() > tower.slots {
                let place = format!("step {time}: {} batch", tower.side);
                return Err(Error::input(place, format!("at most {} lookups", tower.slots), own.len()));
            }
            let padding = std::iter::repeat_n(-1, tower.slots - own.len());
            let ids: Vec<i64> = own.iter().map(|&row| row as i64).chain(padding).collect();
            self.writer.append_integers(&tower.name("ids"), Element::I32, &[tower.slots], &ids)?;
            self.writer.append(&tower.name("lr"), Element::F64, &[], &[tower.schedule.at(time)])?;
            tower.before.clear();
            for &row in &tower.rows {
                tower.before.extend(model.embedding(tower.side, row));
            }
            tower.gradients.clear();
        }
        Ok(true)
    }

    /// Notes the gradient of a row in the step that is being recorded, if the row is watched.
    pub(crate) fn gradient(&mut self, side: Side, row: usize, gradient: &[f64]) {
        let tower = self.towers.iter_mut().find(|tower| tower.side == side);
        if let Some(tower) = tower.filter(|tower| tower.rows.binary_search(&row).is_ok()) {
            tower.gradients.insert(row, gradient.to_vec());
        }
    }

    /// Records the watched rows that the step looked up or moved.
    pub(crate) fn after(&mut self, model: &impl Stepwise) -> Result<()> {
        let Recorder { writer, element, dim, recorded, towers, .. } = self;
        let zero = vec![0.0; *dim];
        for tower in towers {
            let (mut ids, mut q, mut next, mut grad) = (vec![], vec![], vec![], vec![]);
            for (&row, before) in tower.rows.iter().zip(tower.before.chunks_exact(*dim)) {
                let after = model.embedding(tower.side, row);
                let gradient = tower.gradients.get(&row);
                // Momentum, decay and shared parameters move rows that nobody looked up.
                if gradient.is_none() && after == before {
                    continue;
                }
                ids.push(row as i64);
                q.extend_from_slice(before);
                next.extend(after);
                grad.extend_from_slice(gradient.unwrap_or(&zero));
            }
            let steps = vec![*recorded; ids.len()];
            writer.append_integers(&tower.name("row_step"), Element::I32, &[], &steps)?;
            writer.append_integers(&tower.name("row_id"), Element::I32, &[], &ids)?;
            for (name, values) in [("row_q", &q), ("row_q_next", &next), ("row_grad", &grad)] {
                writer.append(&tower.name(name), *element, &[*dim], values)?;
            }
        }
        *recorded += 1;
        Ok(())
    }

    /// Puts the file together, checks it and gives it its name.
    ///
    /// # Errors
    /// As [`Writer::finish`]: where no step was recorded, the disk is full, or the file has appeared meanwhile.
    pub fn finish(self) -> Result<()> {
        if self.recorded == 0 {
            return Err(Error::usage("recording", "at least one step", "none"));
        }
        self.writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::optimizer::{Decay, Optimizer, adam::Adam, decay::Form, heavy_ball::HeavyBall, sgd::Sgd};
    use crate::reference::Reference;
    use crate::scenario::Materialised;
    use crate::trainer::Trainer;
    use crate::trajectory::{Rows, Trajectory};

    fn sgd() -> Optimizer {
        Optimizer::Sgd(Sgd { lr: 0.3.into(), decay: None, rows: Rows::Dense })
    }

    /// Twelve items under Zipf popularity in batches of three: most are untouched in a step.
    fn scenario(optimizer: Optimizer, precision: Precision) -> Scenario {
        let tower = "encoder = { kind = \"table\" }\noptimizer = { kind = \"sgd\", lr = 0.3 }\n\
                     initial = { kind = \"normal\", std = 0.5 }\n";
        let mut scenario = Scenario::from_toml(&format!(
            "dim = 3\nsteps = 9\nseed = 5\nloss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2 }}\n\
             sampler = {{ batch = 3, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
             [item]\nrows = 12\n{tower}[user]\nrows = 5\n{tower}"
        ))
        .unwrap();
        scenario.precision = precision;
        scenario.item.optimizer = optimizer;
        scenario
    }

    fn record(values: &Materialised, watch: &Watch) -> Trajectory {
        fn run<F: Real>(values: &Materialised, recorder: &mut Recorder) {
            let mut session = Session::<F>::new(values);
            for batch in &values.batches {
                recorder.step(&mut session, batch).unwrap();
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.safetensors");
        let mut recorder = Recorder::create(&path, false, &values.scenario, watch).unwrap();
        match values.scenario.precision {
            Precision::F32 => run::<f32>(values, &mut recorder),
            _ => run::<f64>(values, &mut recorder),
        }
        recorder.finish().unwrap();
        // The map outlives the name of the file.
        Trajectory::open(&path).unwrap()
    }

    type Step = (Option<u32>, Vec<f64>, Vec<f64>, Vec<f64>);

    /// Every record by step number and row of the table.
    fn records(trajectory: &Trajectory, tower: usize) -> BTreeMap<(i64, i64), Step> {
        let tower = trajectory.towers()[tower];
        let mut found = BTreeMap::new();
        tower
            .for_each(0..tower.rows(), &mut |record| {
                let step = (record.lookups, record.q.to_vec(), record.q_next.to_vec(), record.grad.unwrap().to_vec());
                found.insert((tower.step_number(record.step), tower.row_number(record.row)), step);
                Ok(())
            })
            .unwrap();
        found
    }

    fn optimizers() -> Vec<Optimizer> {
        let momentum =
            |rows| Optimizer::HeavyBall(HeavyBall { lr: 0.1.into(), momentum: 0.9, dampening: 0.0, decay: None, rows });
        let decay = Some(Decay { rate: 0.1, form: Form::Decoupled });
        vec![
            sgd(),
            Optimizer::Sgd(Sgd { lr: 0.3.into(), decay, rows: Rows::Dense }),
            momentum(Rows::Dense),
            momentum(Rows::Lazy),
            Optimizer::Adam(Adam::with_rate(0.05)),
        ]
    }

    /// Record by record what the reference keeps in memory: nothing that was touched or moved is missing, nothing else is there.
    #[test]
    fn a_recording_is_the_dense_trajectory_without_rows_that_rest() {
        for precision in [Precision::F64, Precision::F32] {
            for optimizer in optimizers() {
                let values = scenario(optimizer.clone(), precision).materialise().unwrap();
                let mut watch = Watch::all(&values.scenario);
                watch.items.retain(|row| row % 5 != 1);
                let (sparse, dense) = (record(&values, &watch), Reference.train(&values).unwrap());
                for (tower, watched) in [(0, &watch.items), (1, &watch.users)] {
                    let expected: BTreeMap<_, _> = records(&dense, tower)
                        .into_iter()
                        .filter(|((_, row), _)| watched.contains(&(*row as usize)))
                        .filter(|(_, (lookups, q, next, _))| *lookups > Some(0) || q != next)
                        .collect();
                    assert_eq!(records(&sparse, tower), expected, "{optimizer:?}");
                    assert_eq!(sparse.towers()[tower].rows(), watched.len());
                    assert_eq!(sparse.towers()[tower].settings(), dense.towers()[tower].settings());
                    assert!((0..9).all(|t| sparse.towers()[tower].slots(t).unwrap().len() == 3));
                }
                for name in ["loss", "item/lr", "user/lr"] {
                    assert_eq!(sparse.array(name), dense.array(name));
                }
            }
        }
    }

    #[test]
    fn rows_that_coast_or_decay_untouched_are_recorded() {
        let untouched = |optimizer: &Optimizer| {
            let values = scenario(optimizer.clone(), Precision::F64).materialise().unwrap();
            let all = records(&record(&values, &Watch::all(&values.scenario)), 0);
            all.values().filter(|(lookups, ..)| *lookups == Some(0)).count()
        };
        let found: Vec<bool> = optimizers().iter().map(|optimizer| untouched(optimizer) > 0).collect();
        assert_eq!(found, [false, true, true, false, true]);
    }

    #[test]
    fn every_fourth_step_is_the_dense_trajectory_at_those_steps() {
        for optimizer in optimizers() {
            let values = scenario(optimizer, Precision::F64).materialise().unwrap();
            let every = |every| record(&values, &Watch { every, ..Watch::all(&values.scenario) });
            let (some, all) = (every(4), every(1));
            let tower = some.towers()[0];
            assert_eq!((0..tower.steps()).map(|t| tower.step_number(t)).collect::<Vec<_>>(), [0, 4, 8]);
            assert!(!tower.consecutive() && all.towers()[0].consecutive());
            for tower in [0, 1] {
                let mut expected = records(&all, tower);
                expected.retain(|(step, _), _| step % 4 == 0);
                assert_eq!(records(&some, tower), expected);
            }
        }
    }

    #[test]
    fn short_batches_are_padded_and_long_ones_refused() {
        let mut scenario = scenario(sgd(), Precision::F64);
        let batch = |users: &[usize]| Batch { users: users.to_vec(), positives: users.to_vec(), ..Batch::default() };
        scenario.batches = Some(vec![batch(&[0, 1, 2]), batch(&[4])]);
        scenario.steps = 2;
        let values = scenario.materialise().unwrap();
        let found = record(&values, &Watch::all(&scenario));
        assert_eq!(found.towers()[0].slots(1).unwrap(), [Some(4), None, None]);
        assert_eq!(found.array("user/ids").unwrap().integer(5), -1);

        let folder = tempfile::tempdir().unwrap();
        let mut recorder =
            Recorder::create(&folder.path().join("run"), false, &scenario, &Watch::all(&scenario)).unwrap();
        let mut session = Session::<f64>::new(&values);
        let error = recorder.step(&mut session, &batch(&[0, 1, 2, 3])).unwrap_err().to_string();
        assert_eq!(error, "step 0: item batch: expected at most 3 lookups, found 4");
        drop(recorder);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn rows_that_are_never_touched_leave_an_empty_history() {
        let mut scenario = scenario(sgd(), Precision::F64);
        scenario.batches = Some(vec![Batch { users: vec![0, 1], positives: vec![0, 1], ..Batch::default() }; 9]);
        let values = scenario.materialise().unwrap();
        let found = record(&values, &Watch { items: vec![11, 7], users: vec![], every: 1 });
        assert_eq!((found.towers().len(), found.towers()[0].rows(), records(&found, 0).len()), (1, 2, 0));
    }

    #[test]
    fn what_cannot_be_recorded_is_refused() {
        let scenario = scenario(sgd(), Precision::F64);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.safetensors");
        let create = |watch: &Watch| Recorder::create(&path, false, &scenario, watch);
        let all = Watch::all(&scenario);
        assert!(create(&Watch { items: vec![12], ..all.clone() }).unwrap_err().is_usage());
        assert!(create(&Watch { every: 0, ..all.clone() }).unwrap_err().is_usage());
        assert!(create(&Watch { items: vec![], users: vec![], every: 1 }).unwrap_err().is_usage());
        assert!(create(&all).unwrap().finish().unwrap_err().is_usage());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        std::fs::write(&path, "mine").unwrap();
        assert!(create(&all).unwrap_err().is_usage());
    }
}
