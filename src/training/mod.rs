//! Training a two-tower model on interactions, step by step in either core, and what came of it: how norms grew with popularity,
//! and what that does to recommendations under cosine and under dot-product serving.
//!
//! [`TrainOptions`] make a [`Scenario`] of a [`Dataset`]; [`train`] runs it over shuffled epochs of the train pairs, streams
//! watched rows to a trajectory file and returns a [`Training`].
//!
//! | file in the output folder | |
//! |---|---|
//! | `trajectory.safetensors` | the watched rows' histories ([`Recorder`]); `perpend audit` judges it |
//! | `model.safetensors` | both towers' embeddings with the names of users and items ([`Model`]) |
//! | `scenario.toml` | what was trained; the batches come from the data |
//! | `metrics.json` | the numbers of [`Training`], schema [`METRICS_SCHEMA`] |
//!
//! ```
//! use perpend::interactions::{GenerateOptions, generate};
//! use perpend::training::{Length, TrainOptions, train};
//!
//! let dataset = generate(&GenerateOptions { users: 40, items: 30, interactions: 600, ..GenerateOptions::default() })?;
//! let options = TrainOptions { length: Length::Epochs(3), dim: 8, batch: 32, ..TrainOptions::preset("cosine")? };
//! let training = train(&dataset, &options, None, &mut |_| {})?;
//! assert_eq!(training.epochs.len(), 3);
//! assert!(training.item.popularity.is_some_and(|spearman| spearman.estimate > 0.5));
//! # Ok::<(), perpend::Error>(())
//! ```

mod batches;
mod checkpoint;
mod evaluation;
mod norms;
mod options;
mod output;
#[cfg(test)]
mod tests;

use std::time::Instant;

use serde::Serialize;

pub use evaluation::{Evaluation, EvaluationOptions, Serving, evaluate};
pub use norms::{NormStatistics, Quantiles};
pub use options::{Checkpoints, Core, Length, OptimizerName, PRESETS, RecordOptions, TrainOptions};
pub use output::{Model, Output};

use crate::error::{Error, Result};
use crate::files;
use crate::geometry::{Table, norm_f64};
use crate::interactions::{Dataset, Summary};
use crate::kernel;
use crate::reference::recorder::Recorder;
use crate::reference::{Session, Steps};
use crate::rounding::Precision;
use crate::scenario::Scenario;
use crate::trainer::Stepwise;
use crate::trajectory::Side;

/// What `metrics.json` says that it is.
pub const METRICS_SCHEMA: &str = "perpend-metrics/v1";

/// How far training has come, after each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Steps made.
    pub step: usize,
    /// Steps to make.
    pub steps: usize,
    /// The epoch of the step, from 0.
    pub epoch: usize,
    /// The loss of the step.
    pub loss: f64,
}

/// An epoch in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Epoch {
    /// Steps made in it.
    pub steps: usize,
    /// Mean loss of its steps, each before the parameters moved.
    pub loss: f64,
}

/// Which rows were recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Recorded {
    /// Item rows.
    pub items: usize,
    /// User rows.
    pub users: usize,
    /// Every k-th step.
    pub every: u64,
}

/// What came of training. Serialised it is `metrics.json`, without the model and without the time that it took: the same
/// data, scenario and options give the same text.
#[derive(Debug, Clone, Serialize)]
pub struct Training {
    /// [`METRICS_SCHEMA`].
    pub schema: &'static str,
    /// The data.
    pub data: Summary,
    /// What was trained.
    pub scenario: Scenario,
    /// Steps made.
    pub steps: usize,
    /// Train pairs that each epoch leaves out, since they do not fill a batch. Every epoch is shuffled anew, so these are
    /// others each time.
    pub dropped: usize,
    /// The loss, epoch by epoch.
    pub epochs: Vec<Epoch>,
    /// Norms of the item tower.
    pub item: NormStatistics,
    /// Norms of the user tower.
    pub user: NormStatistics,
    /// Relevance and popularity of recommendations on the test part.
    pub evaluation: Evaluation,
    /// What the trajectory holds, where one was written.
    pub recorded: Option<Recorded>,
    /// The trained embeddings with their names.
    #[serde(skip)]
    pub model: Model,
    /// Steps that were made before the run was continued from a checkpoint.
    #[serde(skip)]
    pub resumed: usize,
    /// Seconds spent in training steps since then, recording included.
    #[serde(skip)]
    pub seconds: f64,
}

/// Trains on a dataset, as the options say.
///
/// `output` is where files go; without it nothing is written. `progress` is called after each step.
///
/// # Errors
/// A usage error for options that make no sense or an output folder with something in it; an input error for a dataset
/// without train interactions; where the loss or an embedding stops being finite; where the disk is full. In all cases
/// no file is left behind.
pub fn train(
    dataset: &Dataset,
    options: &TrainOptions,
    output: Option<&Output>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Training> {
    train_scenario(dataset, &options.scenario(dataset)?, options, output, progress)
}

/// Trains a given scenario on a dataset. Its towers must have as many rows as the dataset has users and items; its batch
/// size, kind of negatives and number of steps hold, its own way to draw pairs does not. Of the options only those are used that
/// do not say what is trained: [`TrainOptions::core`], [`TrainOptions::checkpoints`], [`TrainOptions::resume`],
/// [`TrainOptions::record`] and [`TrainOptions::evaluation`].
///
/// A run that is continued from a checkpoint ends with the same bits as one that was never interrupted; its trajectory begins
/// where it was continued, so that laws about whole histories are undecided on it.
///
/// # Errors
/// As [`train`], and where the scenario does not fit the dataset or brings batches of its own; where the kernel does not train
/// it, or there is not the memory for it; where a checkpoint is of another run.
pub fn train_scenario(
    dataset: &Dataset,
    scenario: &Scenario,
    options: &TrainOptions,
    output: Option<&Output>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Training> {
    scenario.validate()?;
    check(dataset, scenario)?;
    check_core(scenario, options, output.is_some_and(|output| output.force))?;
    let output = output.map(output::Folder::claim).transpose()?;
    // Noticed before the first step, not at the first checkpoint. The file may lie in the folder that was just made.
    if let Some(checkpoints) = &options.checkpoints {
        let folder = files::folder(&checkpoints.file);
        if !folder.is_dir() {
            return Err(Error::usage("checkpoint", "a file in a folder that exists", folder.display()));
        }
    }
    // Batches come from the data: one drawn step is enough to have the initial tables, which do not depend on it.
    let mut values = Scenario { steps: 1, ..scenario.clone() }.materialise()?;
    values.batches.clear();
    let run = Run { dataset, scenario, options, output: output.as_ref() };
    let training = match (options.core, scenario.precision) {
        (Core::Reference, Precision::F32) => run.train(Steps::new(&mut Session::<f32>::new(&values)), progress)?,
        (Core::Reference, _) => run.train(Steps::new(&mut Session::<f64>::new(&values)), progress)?,
        (Core::Kernel { threads }, Precision::F32) => {
            let session = kernel::Session::<f32>::new(&values, threads)?;
            drop(values);
            run.train(session, progress)?
        }
        (Core::Kernel { threads }, _) => {
            let session = kernel::Session::<f64>::new(&values, threads)?;
            drop(values);
            run.train(session, progress)?
        }
    };
    if let Some(output) = output {
        output.keep();
    }
    Ok(training)
}

fn check(dataset: &Dataset, scenario: &Scenario) -> Result<()> {
    if dataset.train.is_empty() {
        return Err(Error::input("interactions", "at least one train interaction", "none"));
    }
    for (place, rows, found) in [
        ("item.rows", dataset.item_count(), scenario.item.rows),
        ("user.rows", dataset.user_count(), scenario.user.rows),
    ] {
        if rows != found {
            return Err(Error::input(place, format!("{rows}, as in the dataset"), found));
        }
    }
    if scenario.batches.is_some() {
        return Err(Error::input("batches", "none, as they come from the dataset", "explicit batches"));
    }
    let pairs = dataset.train.len();
    if scenario.sampler.batch > pairs {
        let expected = format!("at most {pairs}, the train interactions");
        return Err(Error::input("sampler.batch", expected, scenario.sampler.batch));
    }
    Ok(())
}

/// What the core can do, and whether there is the memory for it.
fn check_core(scenario: &Scenario, options: &TrainOptions, force: bool) -> Result<()> {
    let continued = options.checkpoints.is_some() || options.resume.is_some();
    match options.core {
        Core::Reference if continued => {
            return Err(Error::usage("checkpoints", "the kernel, whose runs can be continued", options.core));
        }
        Core::Reference => {}
        Core::Kernel { threads } => {
            let check = kernel::memory_of(scenario, threads)?.check();
            check.map_err(|error| Error::input("memory", "a run that fits into this machine", error))?;
        }
    }
    if let Some(checkpoints) = &options.checkpoints {
        if checkpoints.every == 0 {
            return Err(Error::usage("checkpoint interval", "at least 1 step", 0));
        }
        let own = options.resume.as_ref() == Some(&checkpoints.file);
        files::refuse_existing(&checkpoints.file, force || own)?;
    }
    Ok(())
}

/// What is followed of one tower through training.
struct Followed {
    side: Side,
    /// ‖q_0‖ of each row.
    start: Vec<f64>,
    /// Σ s_t² of each row, s = ‖q‖‖g‖.
    energy: Vec<f64>,
    /// A_T = 2·Σ η_t²s_t² of each row.
    displacement: Vec<f64>,
}

fn embeddings(model: &impl Stepwise, side: Side, rows: usize) -> Table<f64> {
    let all: Vec<f64> = (0..rows).flat_map(|row| model.embedding(side, row)).collect();
    Table::from_values(all.len() / rows, all)
}

fn norms(table: &Table<f64>) -> Vec<f64> {
    (0..table.rows()).map(|row| norm_f64(table.row(row))).collect()
}

/// What is trained, and where it goes.
struct Run<'a> {
    dataset: &'a Dataset,
    scenario: &'a Scenario,
    options: &'a TrainOptions,
    output: Option<&'a output::Folder>,
}

impl Run<'_> {
    fn train(&self, mut model: impl Stepwise, progress: &mut dyn FnMut(Progress)) -> Result<Training> {
        let Run { dataset, scenario, options, output } = *self;
        let mut towers = Side::ALL.map(|side| {
            let rows = scenario.tower(side).rows;
            let start = norms(&embeddings(&model, side, rows));
            Followed { side, start, energy: vec![0.0; rows], displacement: vec![0.0; rows] }
        });
        let mut losses: Vec<(usize, f64)> = Vec::new();
        let identity = checkpoint::Identity::of(dataset, scenario, options.core);
        if let Some(file) = &options.resume {
            losses = checkpoint::restore(file, &identity, &mut model, &mut towers)?;
        }
        let first = model.time() as usize;
        let watch = options.record.watch(dataset, scenario);
        let implementation = match options.core {
            Core::Reference => "reference",
            Core::Kernel { .. } => "kernel",
        };
        let mut recorder = match output {
            Some(folder) => {
                let (path, force) = (folder.trajectory(), folder.force());
                Some(Recorder::start(&path, force, scenario, &watch, implementation, first as u64)?)
            }
            None => None,
        };

        let started = Instant::now();
        let mut batches = batches::Batches::new(dataset, scenario);
        // The pairs of every step follow from the data and the seed.
        (0..first).for_each(|_| drop(batches.next_batch()));
        for step in first..scenario.steps {
            let (epoch, batch) = batches.next_batch();
            let loss = model.evaluate(&batch)?;
            if !loss.is_finite() {
                return Err(Error::not_finite(
                    "loss",
                    format!("{loss} at step {step}; a lower learning rate may help"),
                ));
            }
            let mut recording = None;
            if let Some(recorder) = &mut recorder
                && recorder.before(&model, loss)?
            {
                recording = Some(recorder);
            }
            for Followed { side, energy, displacement, .. } in &mut towers {
                let rate = scenario.tower(*side).optimizer.schedule().at(step as u64);
                model.each_gradient(*side, &mut |row, embedding, gradient| {
                    let square = |vector: &[f64]| vector.iter().map(|x| x * x).sum::<f64>();
                    let spherical = square(embedding) * square(gradient);
                    energy[row] += spherical;
                    displacement[row] += 2.0 * rate * rate * spherical;
                    if let Some(recorder) = &mut recording {
                        recorder.gradient(*side, row, gradient);
                    }
                });
            }
            model.apply();
            if let Some(recorder) = recording {
                recorder.after(&model)?;
            }
            losses.resize(epoch + 1, (0, 0.0));
            losses[epoch].0 += 1;
            losses[epoch].1 += loss;
            let done = step + 1;
            if let Some(checkpoints) = &options.checkpoints
                && done.is_multiple_of(checkpoints.every)
                && done < scenario.steps
            {
                checkpoint::save(&checkpoints.file, &identity, &mut model, &mut towers, &losses)?;
            }
            progress(Progress { step: done, steps: scenario.steps, epoch, loss });
        }
        let seconds = started.elapsed().as_secs_f64();

        let [items, users] = Side::ALL.map(|side| embeddings(&model, side, scenario.tower(side).rows));
        for (side, table) in [(Side::Item, &items), (Side::User, &users)] {
            if let Some(place) = table.values().iter().position(|value| !value.is_finite()) {
                let (row, value) = (place / table.width(), table.values()[place]);
                return Err(Error::not_finite(format!("{side} embeddings"), format!("{value} in row {row}")));
            }
        }
        let mut user_popularity = vec![0; dataset.user_count()];
        dataset.train.iter().for_each(|pair| user_popularity[pair.user as usize] += 1);
        let statistics = |tower: &Followed, table: &Table<f64>, popularity: &[u64]| {
            NormStatistics::of(
                popularity,
                &tower.start,
                &norms(table),
                &tower.energy,
                &tower.displacement,
                scenario.seed,
            )
        };
        let item = statistics(&towers[0], &items, &dataset.popularity());
        let user = statistics(&towers[1], &users, &user_popularity);
        let trained = Model {
            similarity: scenario.loss.similarity(),
            precision: scenario.precision,
            item_names: dataset.items.clone(),
            user_names: dataset.users.clone(),
            items,
            users,
        };
        let training = Training {
            schema: METRICS_SCHEMA,
            data: dataset.summary(),
            scenario: scenario.clone(),
            steps: scenario.steps,
            resumed: first,
            dropped: dataset.train.len() % scenario.sampler.batch,
            epochs: losses.iter().map(|&(steps, sum)| Epoch { steps, loss: sum / steps as f64 }).collect(),
            item,
            user,
            evaluation: evaluate(dataset, &trained, &options.evaluation),
            recorded: recorder.is_some().then_some(Recorded {
                items: watch.items.len(),
                users: watch.users.len(),
                every: watch.every,
            }),
            model: trained,
            seconds,
        };
        if let Some((recorder, folder)) = recorder.zip(output) {
            // The large file first: where it does not fit, the model that it would not belong to is not written either.
            recorder.finish()?;
            folder.write(&training)?;
        }
        Ok(training)
    }
}
