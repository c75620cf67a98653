//! Scenarios: what is trained, as a plain value. *Encode, sample, loss, update* for each tower, plus initial values, steps
//! and seed. A scenario is read and written as TOML or JSON, says which [`Condition`]s it meets, and is *materialised*
//! once into explicit tables and batches: a trainer receives values, never a seed.

mod capabilities;
mod header;
#[cfg(test)]
mod ledger;
pub mod random;
pub(crate) mod simpler;
mod size;

pub use capabilities::Capabilities;

use std::path::Path;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::encoder::{Architecture, Block, Constants, Encoder, EncoderKind, Place, Size};
use crate::error::{Error, Result};
use crate::geometry::Table;
use crate::loss::{Loss, ObjectiveFunction};
use crate::number::Real;
use crate::optimizer::{Optimizer, Update};
use crate::rounding::Precision;
use crate::sampler::{Batch, Negatives, Sampler};
use crate::trajectory::{DeclaredOptimizer, Rows, Side, Similarity};
use crate::verdict::Status;

/// What is trained.
///
/// ```
/// use perpend::scenario::Scenario;
/// let scenario = Scenario::from_toml(r#"
///     dim = 4
///     steps = 3
///     seed = 7
///     loss = { kind = "info-nce", similarity = "cosine", temperature = 0.2 }
///     sampler = { batch = 4, exponent = 1.0, negatives = { kind = "in-batch" } }
///     [item]
///     rows = 5
///     encoder = { kind = "table" }
///     optimizer = { kind = "sgd", lr = 0.1 }
///     initial = { kind = "normal", std = 0.5 }
///     [user]
///     rows = 3
///     encoder = { kind = "table" }
///     optimizer = { kind = "sgd", lr = 0.1 }
///     initial = { kind = "normal", std = 0.5 }
/// "#)?;
/// assert_eq!(Scenario::from_toml(&scenario.to_toml())?, scenario);
/// # Ok::<(), perpend::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Embedding dimension d of both towers.
    pub dim: usize,
    /// Number of steps T.
    pub steps: usize,
    /// Seed of everything that is drawn when the scenario is materialised.
    #[serde(default)]
    pub seed: u64,
    /// The number type of training: float64 or float32.
    #[serde(default = "float64")]
    pub precision: Precision,
    /// The loss.
    pub loss: Loss,
    /// How batches are drawn.
    pub sampler: Sampler,
    /// The item tower.
    pub item: Tower,
    /// The user tower.
    pub user: Tower,
    /// Explicit batches, one a step, instead of drawn ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<Vec<Batch>>,
}

fn float64() -> Precision {
    Precision::F64
}

/// One tower.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tower {
    /// Number of users or items.
    pub rows: usize,
    /// How embeddings are made.
    pub encoder: EncoderKind,
    /// How parameters move.
    pub optimizer: Optimizer,
    /// What happens around that: clipping, accumulation, delay, constraints on the norm, narrow storage.
    #[serde(default, skip_serializing_if = "Update::is_default")]
    pub update: Update,
    /// Where parameters start.
    pub initial: Initial,
}

impl Tower {
    /// The optimizer with all that happens around it, as a trajectory header declares them, for embeddings of `dim` numbers.
    pub fn declare(&self, dim: usize) -> DeclaredOptimizer {
        let mut declared = self.optimizer.declare();
        self.update.declare(&mut declared);
        // A recording joins the tables of an encoder, side by side or, where rows share some, all in a line. What a rule did to
        // single rows, whose norms or visits decided, is then no longer to be seen.
        let blocks = self.encoder.blocks(self.rows, dim);
        let row_wise = self.optimizer.is_row_wise() || self.update.constraint.is_some();
        let in_a_line = !blocks.iter().all(|block| block.private);
        let visits = self.optimizer.rows() == Rows::Lazy && self.optimizer.moves_without_gradient();
        if blocks.len() > 1 && (row_wise || (in_a_line && visits)) {
            declared.other.insert("joined_tables".into(), blocks.len().to_string());
        }
        declared
    }
}

/// Initial values of a tower's parameters and of the constants of its encoder (features, frozen bias).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Initial {
    /// Parameters from N(0, std²); constants from N(0, 1).
    Normal {
        /// Standard deviation of the parameters.
        std: f64,
    },
    /// Given one by one.
    Explicit {
        /// The values of each parameter block, row after row.
        tables: Vec<Vec<f64>>,
        /// The encoder's constants: first those that all rows share, then row after row.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        constants: Vec<f64>,
    },
}

/// A scenario with everything drawn: explicit parameters, constants and batches.
#[derive(Debug, Clone)]
pub struct Materialised {
    /// Where it came from.
    pub scenario: Scenario,
    /// The item tower's values.
    pub item: TowerValues,
    /// The user tower's values.
    pub user: TowerValues,
    /// One batch a step.
    pub batches: Vec<Batch>,
}

/// The explicit values of a tower.
#[derive(Debug, Clone)]
pub struct TowerValues {
    /// What the tables are.
    pub blocks: Vec<Block>,
    /// One table a block.
    pub tables: Vec<Table<f64>>,
    /// The constants of the encoder.
    pub constants: Constants<f64>,
}

impl TowerValues {
    /// These values as explicit initial values.
    pub fn initial(&self) -> Initial {
        Initial::Explicit {
            tables: self.tables.iter().map(|table| table.values().to_vec()).collect(),
            constants: [&self.constants.shared, self.constants.rows.values()].concat(),
        }
    }
}

impl Materialised {
    /// The scenario with every value written out: it materialises to the same values whatever its seed. Symmetries and
    /// shrinking change such values.
    pub fn explicit(&self) -> Scenario {
        let mut scenario = self.scenario.clone();
        scenario.batches = Some(self.batches.clone());
        for side in [Side::Item, Side::User] {
            scenario.tower_mut(side).initial = self.tower(side).initial();
        }
        scenario
    }

    /// The values of one tower.
    pub fn tower(&self, side: Side) -> &TowerValues {
        match side {
            Side::Item => &self.item,
            Side::User => &self.user,
        }
    }

    /// Where the encoder of one tower finds its parameters among the model's tables: the item tower's, then the user
    /// tower's.
    pub fn place(&self, side: Side) -> Place {
        let (items, users) = (0, self.item.blocks.len());
        let (own, other) = match side {
            Side::Item => (items, users),
            Side::User => (users, items),
        };
        Place { dim: self.scenario.dim, own, other }
    }

    /// The encoder of one tower, on numbers of one type, over the model's tables.
    pub fn encoder<F: Real>(&self, side: Side) -> Box<dyn Encoder<F>> {
        let constants = self.tower(side).constants.map(|&x| F::from_f64(x));
        self.scenario.tower(side).encoder.build(self.place(side), constants)
    }
}

impl Scenario {
    /// Reads TOML.
    ///
    /// # Errors
    /// Unknown keys, missing keys and values of the wrong type, and everything that [`Scenario::validate`] refuses.
    pub fn from_toml(text: &str) -> Result<Self> {
        let scenario: Scenario = toml::from_str(text)
            .map_err(|error| Error::input("scenario", "a scenario in TOML", error.to_string().trim_end()))?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// As [`Scenario::from_toml`].
    pub fn from_json(text: &str) -> Result<Self> {
        let scenario: Scenario =
            serde_json::from_str(text).map_err(|error| Error::input("scenario", "a scenario in JSON", error))?;
        scenario.validate()?;
        Ok(scenario)
    }

    /// Reads a file, JSON if it is named so, TOML otherwise.
    ///
    /// # Errors
    /// As [`Scenario::from_toml`], and a file that cannot be read.
    pub fn open(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read it", &error))?;
        if path.extension().is_some_and(|extension| extension == "json") {
            Self::from_json(&text)
        } else {
            Self::from_toml(&text)
        }
    }

    /// Writes TOML.
    pub fn to_toml(&self) -> String {
        toml::to_string(&self.to_tree()).expect("a scenario is a table of plain values")
    }

    /// What every text prints. Serde compiles the fields of all parts anew for each format; so they are for one alone.
    fn to_tree(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("a scenario is a tree of plain values")
    }

    /// Writes JSON.
    pub fn to_json(&self) -> String {
        format!("{:#}", self.to_tree())
    }

    /// One tower.
    pub fn tower(&self, side: Side) -> &Tower {
        match side {
            Side::Item => &self.item,
            Side::User => &self.user,
        }
    }

    /// One tower, to change.
    pub fn tower_mut(&mut self, side: Side) -> &mut Tower {
        match side {
            Side::Item => &mut self.item,
            Side::User => &mut self.user,
        }
    }

    /// How large a tower is, and the one beside it.
    pub fn size(&self, side: Side) -> Size {
        Size { dim: self.dim, rows: self.tower(side).rows, other_rows: self.tower(side.other()).rows }
    }

    /// Whether the other tower pools the very rows that this tower looks its embeddings up in.
    pub fn is_pooled(&self, side: Side) -> bool {
        let other = &self.tower(side.other()).encoder;
        matches!(self.tower(side).encoder, EncoderKind::Table(_)) && other.reads_other()
    }

    /// Checks everything that cannot be trained: sizes of zero, a temperature that is not positive, negative rates,
    /// explicit values of the wrong shape, rows out of range.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<()> {
        let wrong = |place: &str, expected: &str, found: String| Err(Error::input(place, expected, found));
        for (place, size) in [
            ("dim", self.dim),
            ("steps", self.steps),
            ("item.rows", self.item.rows),
            ("user.rows", self.user.rows),
        ] {
            if size == 0 {
                return wrong(place, "at least 1", "0".into());
            }
        }
        if let Some(problem) = self.loss.problem() {
            return wrong(&format!("loss.{}", problem.key), problem.expected, problem.found.to_string());
        }
        if !matches!(self.precision, Precision::F64 | Precision::F32) {
            return wrong("precision", "float64 or float32", self.precision.to_string());
        }
        if !(self.sampler.exponent.is_finite() && self.sampler.exponent >= 0.0) {
            return wrong("sampler.exponent", "a number of at least 0", self.sampler.exponent.to_string());
        }
        if self.batches.is_none() && self.sampler.batch == 0 {
            return wrong("sampler.batch", "at least 1", "0".into());
        }
        for side in [Side::Item, Side::User] {
            self.validate_tower(side)?;
        }
        let all_items = self.loss.objective.wants_all_items();
        let Some(batches) = &self.batches else {
            return match all_items && !matches!(self.sampler.negatives, Negatives::Full(_)) {
                true => wrong("sampler.negatives.kind", "full, as the loss is over all items", "another".into()),
                false => Ok(()),
            };
        };
        if batches.len() != self.steps {
            return wrong("batches", &format!("one for each of the {} steps", self.steps), batches.len().to_string());
        }
        for (step, batch) in batches.iter().enumerate() {
            let place = format!("batches[{step}]");
            if batch.users.is_empty() || batch.users.len() != batch.positives.len() {
                let found = format!("{} users and {} positives", batch.users.len(), batch.positives.len());
                return wrong(&place, "as many positives as users, at least one", found);
            }
            let lengths: Vec<usize> = batch.negatives.iter().map(Vec::len).collect();
            if !lengths.is_empty() && (lengths.len() != batch.users.len() || lengths.iter().any(|&n| n != lengths[0])) {
                return wrong(&place, "equally many negatives for each user", format!("{lengths:?}"));
            }
            if let Some(user) = batch.users.iter().find(|&&user| user >= self.user.rows) {
                return wrong(&format!("{place}.users"), &format!("a row below {}", self.user.rows), user.to_string());
            }
            if let Some(item) = batch.item_slots().into_iter().find(|&item| item >= self.item.rows) {
                return wrong(&place, &format!("item rows below {}", self.item.rows), item.to_string());
            }
            let (slots, found) = (batch.item_slots().len(), batch.log_q.len());
            if found != slots && (found > 0 || self.loss.objective.wants_log_q()) {
                return wrong(
                    &format!("{place}.log_q"),
                    &format!("{slots}, one for each item slot"),
                    found.to_string(),
                );
            }
            if let Some(log_q) = batch.log_q.iter().find(|log_q| !log_q.is_finite()) {
                return wrong(&format!("{place}.log_q"), "finite numbers", log_q.to_string());
            }
            if all_items && (batch.has_in_batch_negatives() || !batch.shared.iter().copied().eq(0..self.item.rows)) {
                let expected = "every item in order, and in_batch = false, as the loss is over all items";
                return wrong(&format!("{place}.shared"), expected, format!("{:?}", batch.shared));
            }
        }
        Ok(())
    }

    fn validate_tower(&self, side: Side) -> Result<()> {
        let tower = self.tower(side);
        let at = |what: &str| format!("{side}.{what}");
        if let Some(found) = tower.optimizer.schedule().problem() {
            return Err(Error::input(at("optimizer.lr"), "learning rates of at least 0", found));
        }
        if let Some(decay) = tower.optimizer.decay()
            && !(decay.rate.is_finite() && decay.rate >= 0.0)
        {
            return Err(Error::input(at("optimizer.decay.rate"), "a number of at least 0", decay.rate));
        }
        let momentum = tower.optimizer.declare().momentum.unwrap_or(0.0);
        if !(0.0..=1.0).contains(&momentum) {
            return Err(Error::input(at("optimizer.momentum"), "a number between 0 and 1", momentum));
        }
        let declared = tower.optimizer.declare();
        if let Some((beta1, beta2)) = declared.betas
            && !((0.0..1.0).contains(&beta1) && (0.0..1.0).contains(&beta2))
        {
            let found = format!("{beta1} and {beta2}");
            return Err(Error::input(at("optimizer.betas"), "numbers of at least 0 and below 1", found));
        }
        for (name, value) in [("epsilon", declared.eps), ("dampening", declared.dampening)] {
            if let Some(value) = value.filter(|value| !(value.is_finite() && *value >= 0.0)) {
                return Err(Error::input(at("optimizer").to_string() + "." + name, "a number of at least 0", value));
            }
        }
        // The remaining settings of a rule are all sizes or shares.
        let settings = declared.other.iter().filter_map(|(key, text)| Some((key, text.parse::<f64>().ok()?)));
        for (key, value) in settings {
            let share = key == "alpha";
            if !(value.is_finite() && value >= 0.0 && (!share || value < 1.0)) {
                let expected = if share {
                    "a number of at least 0 and below 1"
                } else {
                    "a number of at least 0"
                };
                return Err(Error::input(at("optimizer").to_string() + "." + key, expected, value));
            }
        }
        if matches!(tower.optimizer, Optimizer::Sgdp(_)) && momentum >= 1.0 {
            return Err(Error::input(at("optimizer.momentum"), "a number of at least 0 and below 1", momentum));
        }
        if let Some((what, expected, found)) = tower.update.problem() {
            return Err(Error::input(at("update").to_string() + "." + what, expected, found));
        }
        tower.encoder.validate(&at("encoder"))?;
        if tower.encoder.reads_other() && !self.tower(side.other()).encoder.has_rows() {
            let found = self.tower(side.other()).encoder.name();
            let other = side.other();
            return Err(Error::input(
                format!("{other}.encoder"),
                format!("a table or graph, whose rows the {side} tower reads"),
                found,
            ));
        }
        let blocks = tower.encoder.blocks(tower.rows, self.dim);
        if let Some(block) = blocks.iter().find(|block| block.width == 0 || block.rows == 0) {
            return Err(Error::input(
                at("encoder"),
                "layers and features of at least 1",
                format!("an empty block {}", block.name),
            ));
        }
        match &tower.initial {
            Initial::Normal { std } if !(std.is_finite() && *std >= 0.0) => {
                Err(Error::input(at("initial.std"), "a number of at least 0", std))
            }
            Initial::Normal { .. } => Ok(()),
            Initial::Explicit { tables, constants } => {
                let expected: Vec<u128> = blocks.iter().map(|block| block.rows as u128 * block.width as u128).collect();
                let found: Vec<u128> = tables.iter().map(|table| table.len() as u128).collect();
                if expected != found {
                    return Err(Error::input(
                        at("initial.tables"),
                        format!("blocks of {expected:?} numbers"),
                        format!("{found:?}"),
                    ));
                }
                let forms = tower.encoder.constants(self.size(side));
                let shared = tower.encoder.shared_constants(self.dim);
                let expected = self.constants(side);
                if constants.len() as u128 != expected {
                    return Err(Error::input(at("initial.constants"), format!("{expected} numbers"), constants.len()));
                }
                if let Some(x) = tables.iter().flatten().chain(constants).find(|x| !x.is_finite()) {
                    return Err(Error::input(at("initial"), "finite numbers", x));
                }
                let width: usize = forms.iter().map(|form| form.count).sum();
                for (row, mut values) in constants[shared..].chunks_exact(width.max(1)).enumerate() {
                    for form in &forms {
                        let (own, others) = values.split_at(form.count);
                        form.validate(&at(&format!("initial.constants: row {row}")), own)?;
                        values = others;
                    }
                }
                Ok(())
            }
        }
    }

    /// Whether pairs have the other positives of the batch and further negatives as candidates: then recorded positives and
    /// negatives alone do not tell who was compared with whom.
    pub(crate) fn mixes_negatives(&self) -> bool {
        let mixes =
            |batch: &Batch| batch.has_in_batch_negatives() && !(batch.negatives.is_empty() && batch.shared.is_empty());
        match &self.batches {
            Some(batches) => batches.iter().any(mixes),
            None => matches!(self.sampler.negatives, Negatives::Mixed(_)),
        }
    }

    /// Whether the tower meets a condition, by construction.
    pub fn status(&self, side: Side, condition: Condition) -> Status {
        let tower = self.tower(side);
        if let Some(unmet) = tower.update.unmet(condition) {
            return unmet;
        }
        match condition {
            Condition::CosineLoss if self.is_pooled(side) => {
                Status::Unmet("the other tower pools these rows, and there their lengths count".into())
            }
            Condition::PrivateParameters if self.is_pooled(side) => {
                Status::Unmet("the other tower pools these rows: its gradients reach them".into())
            }
            Condition::CosineLoss => match self.loss.similarity() {
                Similarity::Cosine => Status::Met("the loss is a function of cosines".into()),
                Similarity::Dot => Status::Unmet("the loss is a function of inner products".into()),
            },
            Condition::IsotropicJacobian => tower.encoder.isotropic_jacobian(),
            Condition::PrivateParameters => tower.encoder.private_parameters(),
            Condition::ScalarStep | Condition::NoMomentum | Condition::NoDecay | Condition::NoCoordinateScaling => {
                tower.optimizer.status(condition)
            }
            Condition::FreshGradient => Status::Met("every gradient is applied in the step it was taken in".into()),
            Condition::NoEpsilon => self.loss.no_epsilon(),
            Condition::ExactStorage => Status::Met(format!("stored in {}", self.precision)),
            Condition::Own(_) => Status::Unknown("only its claim knows".into()),
        }
    }

    /// Draws everything once. The same scenario always gives the same values.
    ///
    /// # Errors
    /// As [`Scenario::validate`], and values that do not fit into the memory that is available.
    pub fn materialise(&self) -> Result<Materialised> {
        self.validate()?;
        self.check_values()?;
        // One stream a purpose: changing the number of steps does not change the initial tables.
        let stream = |purpose: u64| {
            let mut random = ChaCha8Rng::seed_from_u64(self.seed);
            random.set_stream(purpose);
            random
        };
        let values = |side: Side, purpose: u64| {
            let tower = self.tower(side);
            let blocks = tower.encoder.blocks(tower.rows, self.dim);
            let forms = tower.encoder.constants(self.size(side));
            let shared = tower.encoder.shared_constants(self.dim);
            let (tables, mut constants) = match &tower.initial {
                Initial::Explicit { tables, constants } => (tables.clone(), constants.clone()),
                Initial::Normal { std } => {
                    let mut random = stream(purpose);
                    let mut normal = |count: usize, std: f64| -> Vec<f64> {
                        (0..count).map(|_| std * Distribution::<f64>::sample(&StandardNormal, &mut random)).collect()
                    };
                    let tables = blocks.iter().map(|block| normal(block.rows * block.width, *std)).collect();
                    let mut constants = normal(shared, 1.0);
                    let rows = (0..tower.rows).flat_map(|_| &forms);
                    rows.for_each(|form| constants.extend(form.draw(&mut random)));
                    (tables, constants)
                }
            };
            // In single precision the explicit values are the rounded ones, and in narrow storage the parameters once more.
            let rounded = |values: Vec<f64>| match self.precision {
                Precision::F32 => values.into_iter().map(|x| f64::from(x as f32)).collect(),
                _ => values,
            };
            let stored = |values: Vec<f64>| match &tower.update.storage {
                Some(storage) => values.into_iter().map(|x| storage.format.nearest(x)).collect(),
                None => values,
            };
            let tables: Vec<Vec<f64>> = tables;
            let rows = rounded(constants.split_off(shared));
            TowerValues {
                tables: tables
                    .into_iter()
                    .zip(&blocks)
                    .map(|(values, block)| Table::from_values(block.width, stored(rounded(values))))
                    .collect(),
                blocks,
                constants: Constants {
                    shared: rounded(constants),
                    rows: Table::from_values(forms.iter().map(|form| form.count).sum(), rows),
                },
            }
        };
        let batches = match &self.batches {
            Some(batches) => batches.clone(),
            None => {
                let log_q = self.loss.objective.wants_log_q();
                self.sampler.draw(self.steps, self.user.rows, self.item.rows, log_q, &mut stream(3))
            }
        };
        Ok(Materialised { scenario: self.clone(), item: values(Side::Item, 1), user: values(Side::User, 2), batches })
    }
}
