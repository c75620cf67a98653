//! `perpend train`

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use clap::ValueEnum;

use super::{colour, print, print_json, progress};
use crate::audit;
use crate::error::{Error, Result};
use crate::interactions::{self, Dataset, Format as DataFormat, GenerateOptions, LoadOptions, Split};
use crate::kernel;
use crate::optimizer::decay::Form;
use crate::report::{Format, json, terminal};
use crate::rounding::Precision;
use crate::scenario::Scenario;
use crate::training::{self, Checkpoints, Core, Length, OptimizerName, Output, RecordOptions, TrainOptions, Training};
use crate::trajectory::{Rows, Trajectory};
use crate::verdict::ExitCode;

#[derive(clap::Args)]
pub(super) struct Arguments {
    /// A file or folder of interactions, or `builtin` for generated ones.
    #[arg(long, default_value = "builtin")]
    data: PathBuf,
    /// A test file; without one a folder's own test part, or a split made here.
    #[arg(long, value_name = "FILE")]
    test: Option<PathBuf>,
    /// How a split is made here: time, user or random.
    #[arg(long)]
    split: Option<Split>,
    /// Share of the interactions that a split gives to the test part.
    #[arg(long, default_value_t = 0.2)]
    test_fraction: f64,
    /// Format of the data, if it is not to be detected: u.data, dat, inter, csv, tsv or user-lists.
    #[arg(long)]
    data_format: Option<DataFormat>,
    /// Keep only interactions of at least this rating.
    #[arg(long)]
    min_rating: Option<f32>,
    /// What is trained: cosine or dot.
    #[arg(long, default_value = "cosine", conflicts_with = "scenario")]
    method: String,
    /// A scenario file that says what is trained (its towers must have as many rows as the data).
    #[arg(long, value_name = "FILE")]
    scenario: Option<PathBuf>,
    /// Folder for trajectory, model, scenario and metrics.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace what is in the folder.
    #[arg(long)]
    force: bool,
    /// sgd, momentum, nesterov, adam, adagrad or rowwise-adagrad.
    #[arg(long, default_value = "sgd", conflicts_with = "scenario")]
    optimizer: OptimizerName,
    /// Passes through the train pairs.
    #[arg(long, conflicts_with_all = ["steps", "scenario"])]
    epochs: Option<usize>,
    /// Steps, in place of epochs.
    #[arg(long, conflicts_with = "scenario")]
    steps: Option<usize>,
    /// Embedding dimension.
    #[arg(long, conflicts_with = "scenario")]
    dim: Option<usize>,
    /// Pairs in a batch.
    #[arg(long, conflicts_with = "scenario")]
    batch: Option<usize>,
    /// Learning rate.
    #[arg(long, conflicts_with = "scenario")]
    lr: Option<f64>,
    /// Temperature of the softmax.
    #[arg(long, conflicts_with = "scenario")]
    temperature: Option<f64>,
    /// Momentum of momentum and nesterov.
    #[arg(long, conflicts_with = "scenario")]
    momentum: Option<f64>,
    /// Weight decay.
    #[arg(long, conflicts_with = "scenario")]
    weight_decay: Option<f64>,
    /// Decouple the weight decay from the gradient.
    #[arg(long, conflicts_with = "scenario")]
    decoupled: bool,
    /// Visit only rows that were looked up (momentum, decay and Adam).
    #[arg(long, conflicts_with = "scenario")]
    lazy: bool,
    /// Standard deviation of the initial coordinates.
    #[arg(long, conflicts_with = "scenario")]
    std: Option<f64>,
    /// float32 or float64.
    #[arg(long, conflicts_with = "scenario")]
    precision: Option<String>,
    /// Items drawn uniformly as negatives of each pair, in place of the other positives of the batch.
    #[arg(long, value_name = "M", conflicts_with = "scenario")]
    negatives: Option<usize>,
    /// The softmax is over all items, in place of negatives.
    #[arg(long, conflicts_with_all = ["negatives", "scenario"])]
    full_softmax: bool,
    /// Who trains: reference, or kernel (fast; table and MLP towers, softmax losses).
    #[arg(long, value_enum, default_value = "reference")]
    trainer: CoreName,
    /// Threads of the kernel; the same number gives the same bits. All processors if it is not said.
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Save the run to this file on the way (kernel only), so that --resume can continue it.
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,
    /// Steps between checkpoints.
    #[arg(long, value_name = "STEPS", default_value_t = 1000, requires = "checkpoint")]
    checkpoint_every: usize,
    /// Continue the run that this checkpoint is of: the same options and data, and more steps than it has made.
    #[arg(long, value_name = "FILE")]
    resume: Option<PathBuf>,
    /// Seed of everything that is drawn.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Rows of each tower to record, spread over popularity.
    #[arg(long, value_name = "N")]
    record_rows: Option<usize>,
    /// Record every k-th step only; laws about whole histories are then undecided.
    #[arg(long, value_name = "K", default_value_t = 1)]
    record_every: u64,
}

#[derive(Clone, Copy, ValueEnum)]
enum CoreName {
    Reference,
    Kernel,
}

impl Arguments {
    fn core(&self) -> Result<Core> {
        let all = || std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        match (self.trainer, self.threads) {
            (CoreName::Reference, Some(threads)) => {
                Err(Error::usage("--threads", "--trainer kernel, which has threads", format!("{threads}, reference")))
            }
            (CoreName::Reference, None) => Ok(Core::Reference),
            (CoreName::Kernel, threads) => Ok(Core::Kernel { threads: threads.unwrap_or_else(all).get() }),
        }
    }

    fn options(&self) -> Result<TrainOptions> {
        let mut options = TrainOptions::preset(&self.method)?;
        let set = |place: &mut usize, value: Option<usize>| *place = value.unwrap_or(*place);
        set(&mut options.dim, self.dim);
        set(&mut options.batch, self.batch);
        options.length = match (self.epochs, self.steps) {
            (Some(epochs), _) => Length::Epochs(epochs),
            (None, Some(steps)) => Length::Steps(steps),
            (None, None) => options.length,
        };
        options.optimizer = self.optimizer;
        options.lr = self.lr;
        options.temperature = self.temperature;
        options.momentum = self.momentum.unwrap_or(options.momentum);
        options.weight_decay = self.weight_decay.unwrap_or(options.weight_decay);
        if self.decoupled {
            options.decay_form = Form::Decoupled;
        }
        if self.lazy {
            options.rows = Rows::Lazy;
        }
        options.std = self.std;
        if let Some(name) = &self.precision {
            options.precision = match Precision::parse(name) {
                Some(precision @ (Precision::F32 | Precision::F64)) => precision,
                _ => return Err(Error::usage("--precision", "float32 or float64", name)),
            };
        }
        options.negatives = self.negatives;
        options.full_softmax = self.full_softmax;
        options.core = self.core()?;
        options.checkpoints = self.checkpoint.clone().map(|file| Checkpoints { file, every: self.checkpoint_every });
        options.resume = self.resume.clone();
        options.seed = self.seed;
        options.record = RecordOptions { rows: self.record_rows, every: self.record_every };
        Ok(options)
    }

    fn dataset(&self) -> Result<Dataset> {
        if self.data.as_os_str() == "builtin" {
            return interactions::generate(&GenerateOptions { seed: self.seed, ..GenerateOptions::default() });
        }
        interactions::load(
            &self.data,
            &LoadOptions {
                format: self.data_format,
                test: self.test.clone(),
                split: self.split,
                test_fraction: self.test_fraction,
                min_rating: self.min_rating,
                seed: self.seed,
            },
        )
    }
}

pub(super) fn run(arguments: &Arguments, format: Format) -> Result<ExitCode> {
    if format == Format::Junit {
        return Err(Error::usage("--format", "human or json for training", "junit"));
    }
    let options = arguments.options()?;
    let dataset = arguments.dataset()?;
    let scenario = match &arguments.scenario {
        Some(path) => Scenario::open(path)?,
        None => options.scenario(&dataset)?,
    };
    if let Core::Kernel { threads } = options.core {
        eprintln!("memory to be taken: {}", kernel::memory_of(&scenario, threads)?);
    }
    let output = Output { folder: arguments.out.clone(), force: arguments.force };
    let training = train(&dataset, &scenario, &options, Some(&output))?;
    let recording = arguments.out.join("trajectory.safetensors");
    let audit = audit::audit(&Trajectory::open(&recording)?)?;
    match format {
        Format::Json => print_json(&serde_json::json!({
            "schema": json::SCHEMA,
            "training": training,
            "audit": json::audit_body(&audit),
        }))?,
        _ => {
            let follow = format!(
                "\nWritten to {}. perpend audit {} judges it again.",
                arguments.out.display(),
                recording.display()
            );
            print(&format!("{}\n{}{follow}", summary(&training), terminal::audit_text(&audit, colour())))?;
        }
    }
    Ok(audit.exit_code())
}

/// Trains with a progress bar.
pub(super) fn train(
    dataset: &Dataset,
    scenario: &Scenario,
    options: &TrainOptions,
    output: Option<&Output>,
) -> Result<Training> {
    let bar = progress(0, "training {bar:30} {pos}/{len} steps, {msg} {per_sec} {eta} left");
    let mut first = true;
    let training = training::train_scenario(dataset, scenario, options, output, &mut |progress| {
        bar.set_length(progress.steps as u64);
        if std::mem::take(&mut first) {
            // Steps before a checkpoint took none of the time of this run.
            bar.set_position(progress.step as u64);
            bar.reset_eta();
        }
        bar.set_position(progress.step as u64);
        bar.set_message(format!("epoch {}, loss {:.4},", progress.epoch + 1, progress.loss));
    })?;
    bar.finish_and_clear();
    Ok(training)
}

/// The folder for results that nobody asked to keep.
pub(super) fn scratch() -> Result<tempfile::TempDir> {
    tempfile::tempdir().map_err(|error| Error::io(Path::new("temporary folder"), "create it", &error))
}

fn share(value: Option<f64>) -> String {
    value.map_or("–".into(), |value| format!("{value:.4}"))
}

/// Training in plain numbers.
pub(super) fn summary(training: &Training) -> String {
    let (data, item, evaluation) = (&training.data, &training.item, &training.evaluation);
    let losses: Vec<String> = [training.epochs.first(), training.epochs.last()]
        .into_iter()
        .flatten()
        .map(|epoch| format!("{:.4}", epoch.loss))
        .collect();
    let mut text = format!(
        "{} users, {} items, {} train and {} test interactions; {} users and {} items without a test interaction\n\
         {} steps in {:.1} s, loss {}\n\
         item norms: median {:.3} → {:.3}, most popular tenth over less popular half {:.3}; median displacement number {:.2}\n\
         Spearman(popularity, ‖q‖) = {}; Spearman(Σs², ‖q‖) = {}\n",
        data.users,
        data.items,
        data.train,
        data.test,
        data.users_without_test,
        data.items_without_test,
        training.steps - training.resumed,
        training.seconds,
        losses.join(" → "),
        item.start.median,
        item.end.median,
        item.head_over_tail,
        item.median_displacement,
        terminal::interval(item.popularity),
        terminal::interval(item.energy),
    );
    for (name, serving) in [("cosine", &evaluation.cosine), ("dot", &evaluation.dot)] {
        text += &format!(
            "served by {name:6}: recall@{k} {}, NDCG@{k} {}, mean popularity of what is recommended {}\n",
            share(serving.recall),
            share(serving.ndcg),
            serving.average_popularity.map_or("–".into(), |value| format!("{value:.1}")),
            k = evaluation.cutoff,
        );
    }
    text += &format!(
        "({} of {} users looked at, {} of them without a test item and left out of the means)\n",
        evaluation.sampled, evaluation.users, evaluation.without_test
    );
    text
}
