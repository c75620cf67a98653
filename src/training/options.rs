//! What to train on a dataset: presets and what can be changed about them.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use super::EvaluationOptions;
use crate::encoder::{EncoderKind, table::TableEncoder};
use crate::error::{Error, Result};
use crate::interactions::Dataset;
use crate::loss::{Loss, Objective, full_softmax::FullSoftmax};
use crate::optimizer::decay::Form;
use crate::optimizer::{
    Decay, Optimizer, adagrad::Adagrad, adam::Adam, heavy_ball::HeavyBall, nesterov::Nesterov,
    rowwise_adagrad::RowwiseAdagrad, sgd::Sgd,
};
use crate::reference::recorder::Watch;
use crate::rounding::Precision;
use crate::sampler::{Negatives, Sampler, full::Full, in_batch::InBatch, uniform::Uniform};
use crate::scenario::{Initial, Scenario, Tower};
use crate::trajectory::{Rows, Similarity};

/// The presets and what they are.
pub const PRESETS: &[(&str, &str)] = &[
    ("cosine", "table towers, InfoNCE on cosines with in-batch negatives, plain SGD"),
    ("dot", "table towers, InfoNCE on inner products with in-batch negatives, plain SGD"),
];

/// How long to train.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// Passes through the train pairs.
    Epochs(usize),
    /// Steps.
    Steps(usize),
}

/// The optimizers of the presets, by the names they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptimizerName {
    /// Plain SGD.
    Sgd,
    /// Heavy-ball momentum.
    Momentum,
    /// Nesterov momentum.
    Nesterov,
    /// Adam.
    Adam,
    /// Element-wise AdaGrad.
    Adagrad,
    /// Row-wise AdaGrad.
    RowwiseAdagrad,
}

impl OptimizerName {
    /// Every name.
    pub const ALL: [OptimizerName; 6] = [
        OptimizerName::Sgd,
        OptimizerName::Momentum,
        OptimizerName::Nesterov,
        OptimizerName::Adam,
        OptimizerName::Adagrad,
        OptimizerName::RowwiseAdagrad,
    ];

    /// The name by which it is asked for.
    pub fn name(self) -> &'static str {
        match self {
            OptimizerName::Sgd => "sgd",
            OptimizerName::Momentum => "momentum",
            OptimizerName::Nesterov => "nesterov",
            OptimizerName::Adam => "adam",
            OptimizerName::Adagrad => "adagrad",
            OptimizerName::RowwiseAdagrad => "rowwise-adagrad",
        }
    }
}

impl fmt::Display for OptimizerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for OptimizerName {
    type Err = Error;

    /// # Errors
    /// A usage error that lists the names, for any other name.
    fn from_str(name: &str) -> Result<Self> {
        OptimizerName::ALL.into_iter().find(|optimizer| optimizer.name() == name).ok_or_else(|| {
            let names = OptimizerName::ALL.map(OptimizerName::name).join(", ");
            Error::usage("optimizer", format!("one of {names}"), format!("{name:?}"))
        })
    }
}

/// What is recorded in the trajectory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordOptions {
    /// Rows to watch in each tower, spread evenly over the ranks of popularity, the most and the least popular among them.
    /// None: 256, and fewer where the optimizer moves every row in every step and the file would grow beyond 256 MiB.
    pub rows: Option<usize>,
    /// Steps 0, k, 2k, … are recorded; 1 = all of them.
    pub every: u64,
}

impl Default for RecordOptions {
    /// Up to 256 rows a tower, every step.
    fn default() -> Self {
        RecordOptions { rows: None, every: 1 }
    }
}

/// Which of the numeric cores trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Core {
    /// [`crate::reference`]: everything that a scenario can say, one loop after another.
    #[default]
    Reference,
    /// [`crate::kernel`]: table towers and softmax losses, fast.
    Kernel {
        /// Number of threads; the same number gives the same bits.
        threads: usize,
    },
}

impl fmt::Display for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Core::Reference => f.write_str("reference"),
            Core::Kernel { threads } => write!(f, "kernel, {threads} threads"),
        }
    }
}

/// When a run is saved, so that it can be continued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoints {
    /// The file, which each checkpoint replaces as a whole.
    pub file: PathBuf,
    /// Steps between checkpoints.
    pub every: usize,
}

/// What to train, and what to measure and record of it.
///
/// ```
/// use perpend::training::{OptimizerName, TrainOptions};
/// let options = TrainOptions { optimizer: OptimizerName::Adam, ..TrainOptions::preset("cosine")? };
/// assert_eq!(options.learning_rate(256), 0.01);
/// # Ok::<(), perpend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TrainOptions {
    /// What the loss is a function of.
    pub similarity: Similarity,
    /// Embedding dimension d.
    pub dim: usize,
    /// Pairs in a batch; where there are fewer train pairs, all of them are one batch.
    pub batch: usize,
    /// How long to train.
    pub length: Length,
    /// Learning rate η of both towers. None: [`TrainOptions::learning_rate`].
    pub lr: Option<f64>,
    /// Temperature τ. None: 0.1 on cosines, 1 on inner products.
    pub temperature: Option<f64>,
    /// The optimizer of both towers.
    pub optimizer: OptimizerName,
    /// β of momentum and Nesterov.
    pub momentum: f64,
    /// Weight decay λ.
    pub weight_decay: f64,
    /// Where the decay enters.
    pub decay_form: Form,
    /// Whether rows that were not looked up are visited by momentum, decay and Adam.
    pub rows: Rows,
    /// float64 or float32.
    pub precision: Precision,
    /// Standard deviation of every initial coordinate. None: such that ‖q_0‖ is about ½ for all dimensions, 1/(2√d).
    pub std: Option<f64>,
    /// The seed of initial tables, batches and bootstrap.
    pub seed: u64,
    /// None: the other positives of the batch are the negatives. Some(M): each pair draws M items uniformly.
    pub negatives: Option<usize>,
    /// The softmax is over all items, in place of negatives.
    pub full_softmax: bool,
    /// Which core trains.
    pub core: Core,
    /// When the run is saved on the way; never if None. Of the kernel only.
    pub checkpoints: Option<Checkpoints>,
    /// A checkpoint of the same run to continue from.
    pub resume: Option<PathBuf>,
    /// What is recorded.
    pub record: RecordOptions,
    /// What is evaluated.
    pub evaluation: EvaluationOptions,
}

/// The file that [`RecordOptions::rows`] = None keeps to, where every watched row moves in every step.
const FILE_BYTES: usize = 256 << 20;
const WATCHED: usize = 256;

impl TrainOptions {
    /// A preset by its name: see [`PRESETS`].
    ///
    /// # Errors
    /// A usage error that lists the names, for any other name.
    pub fn preset(name: &str) -> Result<Self> {
        let cosine = TrainOptions {
            similarity: Similarity::Cosine,
            dim: 32,
            batch: 256,
            length: Length::Epochs(10),
            lr: None,
            temperature: None,
            optimizer: OptimizerName::Sgd,
            momentum: 0.9,
            weight_decay: 0.0,
            decay_form: Form::Coupled,
            rows: Rows::Dense,
            precision: Precision::F32,
            std: None,
            seed: 0,
            negatives: None,
            full_softmax: false,
            core: Core::Reference,
            checkpoints: None,
            resume: None,
            record: RecordOptions::default(),
            evaluation: EvaluationOptions::default(),
        };
        match name {
            "cosine" => Ok(cosine),
            "dot" => Ok(TrainOptions { similarity: Similarity::Dot, ..cosine }),
            _ => {
                let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                Err(Error::usage("method", format!("one of {}", names.join(", ")), format!("{name:?}")))
            }
        }
    }

    /// The learning rate for batches of B pairs. Where none is asked for: for SGD proportional to B, since the loss is a mean
    /// over the batch and a pair's own gradient is 1/B of it; for momentum (1−β) times that, since the buffer sums 1/(1−β)
    /// gradients; for the others a constant, since they are free of the gradient's scale.
    pub fn learning_rate(&self, batch: usize) -> f64 {
        let a_pair = match self.similarity {
            Similarity::Cosine => 0.02,
            // Without 1/τ and 1/‖q‖ the gradients of inner products start out an order smaller.
            Similarity::Dot => 0.1,
        };
        let sgd = a_pair * batch as f64;
        self.lr.unwrap_or(match self.optimizer {
            OptimizerName::Sgd => sgd,
            OptimizerName::Momentum | OptimizerName::Nesterov => sgd * (1.0 - self.momentum),
            OptimizerName::Adam => 0.01,
            OptimizerName::Adagrad => 0.05,
            OptimizerName::RowwiseAdagrad => 0.05,
        })
    }

    /// The scenario for a dataset.
    ///
    /// # Errors
    /// A usage error for a setting that makes no sense, an input error for a dataset without train interactions.
    pub fn scenario(&self, dataset: &Dataset) -> Result<Scenario> {
        self.check()?;
        let pairs = dataset.train.len();
        if pairs == 0 {
            return Err(Error::input("interactions", "at least one train interaction", "none"));
        }
        let batch = self.batch.min(pairs);
        let optimizer = self.optimizer(self.learning_rate(batch));
        let std = self.std.unwrap_or(0.5 / (self.dim as f64).sqrt());
        let tower = |rows: usize| Tower {
            rows,
            encoder: EncoderKind::Table(TableEncoder {}),
            optimizer: optimizer.clone(),
            update: Default::default(),
            initial: Initial::Normal { std },
        };
        let temperature = self.temperature.unwrap_or(match self.similarity {
            Similarity::Cosine => 0.1,
            Similarity::Dot => 1.0,
        });
        Ok(Scenario {
            dim: self.dim,
            steps: match self.length {
                Length::Epochs(epochs) => epochs * (pairs / batch),
                Length::Steps(steps) => steps,
            },
            seed: self.seed,
            precision: self.precision,
            loss: match self.full_softmax {
                true => Loss::new(self.similarity, Objective::FullSoftmax(FullSoftmax { temperature })),
                false => Loss::info_nce(self.similarity, temperature),
            },
            sampler: Sampler {
                batch,
                exponent: 1.0,
                negatives: match self.negatives {
                    None if self.full_softmax => Negatives::Full(Full {}),
                    None => Negatives::InBatch(InBatch {}),
                    Some(count) => Negatives::Uniform(Uniform { count }),
                },
            },
            item: tower(dataset.item_count()),
            user: tower(dataset.user_count()),
            batches: None,
        })
    }

    fn check(&self) -> Result<()> {
        let at_least_one = |what: &str, count: usize| match count {
            0 => Err(Error::usage(what, "at least 1", 0)),
            _ => Ok(()),
        };
        at_least_one("dim", self.dim)?;
        at_least_one("batch", self.batch)?;
        match self.length {
            Length::Epochs(count) => at_least_one("epochs", count)?,
            Length::Steps(count) => at_least_one("steps", count)?,
        }
        at_least_one("negatives", self.negatives.unwrap_or(1))?;
        if self.full_softmax && self.negatives.is_some() {
            return Err(Error::usage(
                "negatives",
                "none, as the softmax is over all items",
                self.negatives.unwrap_or(0),
            ));
        }
        at_least_one("cutoff", self.evaluation.cutoff)?;
        at_least_one("watched rows", self.record.rows.unwrap_or(1))?;
        if self.record.every == 0 {
            return Err(Error::usage("record every", "at least 1 step", 0));
        }
        let number = |what: &str, expected: &str, value: f64, fine: bool| match fine && value.is_finite() {
            true => Ok(()),
            false => Err(Error::usage(what, expected, value)),
        };
        let (lr, temperature) = (self.lr.unwrap_or(1.0), self.temperature.unwrap_or(1.0));
        let std = self.std.unwrap_or(1.0);
        number("learning rate", "a number of at least 0", lr, lr >= 0.0)?;
        number("temperature", "a positive number", temperature, temperature > 0.0)?;
        number("momentum", "a number from 0 to below 1", self.momentum, (0.0..1.0).contains(&self.momentum))?;
        number("weight decay", "a number of at least 0", self.weight_decay, self.weight_decay >= 0.0)?;
        number("initial standard deviation", "a positive number", std, std > 0.0)?;
        match self.precision {
            Precision::F32 | Precision::F64 => Ok(()),
            other => Err(Error::usage("precision", "float64 or float32", other)),
        }
    }

    fn optimizer(&self, rate: f64) -> Optimizer {
        let (lr, momentum, rows) = (rate.into(), self.momentum, self.rows);
        let decay = (self.weight_decay != 0.0).then_some(Decay { rate: self.weight_decay, form: self.decay_form });
        match self.optimizer {
            OptimizerName::Sgd => Optimizer::Sgd(Sgd { lr, decay, rows }),
            OptimizerName::Momentum => Optimizer::HeavyBall(HeavyBall { lr, momentum, dampening: 0.0, decay, rows }),
            OptimizerName::Nesterov => Optimizer::Nesterov(Nesterov { lr, momentum, decay, rows }),
            OptimizerName::Adam => Optimizer::Adam(Adam { decay, rows, ..Adam::with_rate(rate) }),
            OptimizerName::Adagrad => Optimizer::Adagrad(Adagrad { lr, epsilon: 1e-10, decay, rows }),
            OptimizerName::RowwiseAdagrad => {
                Optimizer::RowwiseAdagrad(RowwiseAdagrad { lr, epsilon: 1e-10, decay, rows })
            }
        }
    }
}

impl RecordOptions {
    /// The rows to watch: every so many ranks of train popularity, ties by id.
    pub fn watch(&self, dataset: &Dataset, scenario: &Scenario) -> Watch {
        let rows = self.rows.unwrap_or_else(|| {
            let moves_all = [&scenario.item, &scenario.user]
                .iter()
                .any(|tower| tower.optimizer.start::<f64>(1, 1, &|number| number).visits(false));
            if moves_all {
                let size = if scenario.precision == Precision::F32 { 4 } else { 8 };
                let recorded = scenario.steps.div_ceil(self.every as usize);
                (FILE_BYTES / (2 * recorded * (3 * scenario.dim * size + 8))).clamp(16, WATCHED)
            } else {
                WATCHED
            }
        });
        let mut users = vec![0; dataset.user_count()];
        dataset.train.iter().for_each(|pair| users[pair.user as usize] += 1);
        Watch { items: spread(&dataset.popularity(), rows), users: spread(&users, rows), every: self.every }
    }
}

/// `count` rows at evenly spaced ranks, the first and the last among them.
fn spread(popularity: &[u64], count: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..popularity.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(popularity[row]));
    let count = count.min(order.len());
    let last = order.len().saturating_sub(1);
    let mut rows: Vec<usize> = (0..count).map(|k| order[k * last / count.saturating_sub(1).max(1)]).collect();
    rows.sort_unstable();
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::interactions::{GenerateOptions, generate};

    #[test]
    fn watched_rows_are_spread_over_the_ranks_of_popularity() {
        assert_eq!(spread(&[5, 9, 1, 7, 3], 3), [0, 1, 2]);
        assert_eq!(spread(&[5, 9, 1, 7, 3], 1), [1]);
        assert_eq!(spread(&[5, 9, 1], 10), [0, 1, 2]);
        assert_eq!(spread(&[4; 1000], 256).len(), 256);
    }

    #[test]
    fn names_are_read_back_and_others_refused_with_the_list() {
        for optimizer in OptimizerName::ALL {
            assert_eq!(optimizer.name().parse::<OptimizerName>().unwrap(), optimizer);
        }
        let error = "lion".parse::<OptimizerName>().unwrap_err();
        assert!(error.is_usage());
        assert_eq!(
            error.to_string(),
            "optimizer: expected one of sgd, momentum, nesterov, adam, adagrad, rowwise-adagrad, found \"lion\""
        );
        for (name, _) in PRESETS {
            TrainOptions::preset(name).unwrap();
        }
        assert!(TrainOptions::preset("als").unwrap_err().is_usage());
    }

    #[test]
    fn settings_that_make_no_sense_are_refused() {
        let data = generate(&GenerateOptions::default()).unwrap();
        let fine = TrainOptions::preset("cosine").unwrap();
        fine.scenario(&data).unwrap().validate().unwrap();
        let record = |rows, every| RecordOptions { rows, every };
        for options in [
            TrainOptions { dim: 0, ..fine.clone() },
            TrainOptions { batch: 0, ..fine.clone() },
            TrainOptions { length: Length::Epochs(0), ..fine.clone() },
            TrainOptions { length: Length::Steps(0), ..fine.clone() },
            TrainOptions { lr: Some(-1.0), ..fine.clone() },
            TrainOptions { lr: Some(f64::INFINITY), ..fine.clone() },
            TrainOptions { temperature: Some(0.0), ..fine.clone() },
            TrainOptions { temperature: Some(f64::NAN), ..fine.clone() },
            TrainOptions { momentum: 1.0, ..fine.clone() },
            TrainOptions { weight_decay: -0.1, ..fine.clone() },
            TrainOptions { std: Some(0.0), ..fine.clone() },
            TrainOptions { precision: Precision::Bf16, ..fine.clone() },
            TrainOptions { negatives: Some(0), ..fine.clone() },
            TrainOptions { negatives: Some(2), full_softmax: true, ..fine.clone() },
            TrainOptions { record: record(Some(0), 1), ..fine.clone() },
            TrainOptions { record: record(None, 0), ..fine.clone() },
        ] {
            assert!(options.scenario(&data).unwrap_err().is_usage(), "{options:?}");
        }
    }

    #[test]
    fn a_small_dataset_is_one_batch_and_an_empty_one_is_refused() {
        let mut data =
            generate(&GenerateOptions { users: 5, items: 9, interactions: 20, ..GenerateOptions::default() }).unwrap();
        let options = TrainOptions::preset("cosine").unwrap();
        assert_eq!(options.scenario(&data).unwrap().sampler.batch, data.train.len());
        data.train.clear();
        let error = options.scenario(&data).unwrap_err();
        assert_eq!(error.to_string(), "interactions: expected at least one train interaction, found none");
    }

    #[test]
    fn fewer_rows_are_watched_where_all_of_them_move() {
        let data = generate(&GenerateOptions { items: 400, ..GenerateOptions::default() }).unwrap();
        let watched = |optimizer, steps| {
            let options =
                TrainOptions { optimizer, length: Length::Steps(steps), ..TrainOptions::preset("cosine").unwrap() };
            options.record.watch(&data, &options.scenario(&data).unwrap()).items.len()
        };
        assert_eq!((watched(OptimizerName::Sgd, 10_000), watched(OptimizerName::Adam, 100)), (256, 256));
        let rows = watched(OptimizerName::Adam, 10_000);
        // 10,000 steps of two towers' rows of 3·32 floats and two ids.
        assert!(rows >= 16 && rows * 2 * 10_000 * 392 <= 256 << 20, "{rows}");
    }
}
