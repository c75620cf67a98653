//! What happens around an optimizer's rule, in this order:
//!
//! ```text
//! gradient ─ delay ─ accumulate ─ clip ─▶ decay, rule ─▶ constraint on the row ─▶ storage
//! ```
//!
//! Delay: the gradient of k steps ago arrives; in the first k steps none does. Accumulate: gradients add up, and only every k-th
//! step hands their sum on; the optimizer counts the steps that it makes. Clip by norm: one factor min(1, c/‖g‖) for the whole
//! gradient of the tower, so a scalar a row; by value: every coordinate by itself. Storage: after the step the visited rows are
//! rounded to a narrow format, to nearest or stochastically (each neighbour with the probability that makes the mean right); the
//! optimizer's own state stays wide.

use std::borrow::Cow;
use std::collections::VecDeque;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::Memory;
use super::constraint::Constraint;
use crate::condition::Condition;
use crate::encoder::Gradient;
use crate::geometry::{Table, add_scaled, norm_squared};
use crate::number::Real;
use crate::rounding::Precision;
use crate::trajectory::DeclaredOptimizer;
use crate::verdict::Status;

/// What happens around the rule of a tower's optimizer; nothing by default.
///
/// ```
/// use perpend::optimizer::update::{Clip, Update};
/// let update: Update = toml::from_str("clip = { norm = 1.0 }\naccumulate = 2")?;
/// assert_eq!((update.clip, update.accumulate, update.delay), (Some(Clip::Norm(1.0)), 2, 0));
/// # Ok::<(), toml::de::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Update {
    /// Clipping of the gradient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip: Option<Clip>,
    /// Gradients that are summed for one step of the optimizer.
    #[serde(skip_serializing_if = "is_one")]
    pub accumulate: u64,
    /// Steps that a gradient is late.
    #[serde(skip_serializing_if = "is_zero")]
    pub delay: u64,
    /// What is done to the norm of a row after each step that visits it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub constraint: Option<Constraint>,
    /// The format that parameters are kept in, if it is narrower than the scenario's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<Storage>,
}

fn is_one(count: &u64) -> bool {
    *count == 1
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Default for Update {
    fn default() -> Self {
        Update { clip: None, accumulate: 1, delay: 0, constraint: None, storage: None }
    }
}

/// Clipping of a gradient.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Clip {
    /// The norm of the tower's whole gradient is at most this.
    Norm(f64),
    /// The magnitude of every coordinate is at most this.
    Value(f64),
}

/// How parameters are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Storage {
    /// The format: bf16 or f16.
    pub format: Precision,
    /// How they are rounded to it.
    #[serde(default)]
    pub rounding: Rounding,
}

/// How a number between two neighbours of a format is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// To the nearer one, ties to even.
    #[default]
    Nearest,
    /// Up with the probability (x − below)/(above − below): the mean is x.
    Stochastic,
}

/// Keys of a declaration which say that something happens around the rule that a replay of single rows cannot repeat, with the
/// values that mean "nothing". Beside our own names those of the common frameworks.
const PREVENTING: [(&str, &[&str]); 20] = [
    ("clip_norm", &["0", "0.0", "false"]),
    ("max_grad_norm", &["0", "0.0", "false"]),
    ("global_clipnorm", &["0", "0.0", "false"]),
    ("clipnorm", &["0", "0.0", "false"]),
    ("clipvalue", &["0", "0.0", "false"]),
    ("grad_clip", &["0", "0.0", "false"]),
    ("gradient_clip", &["0", "0.0", "false"]),
    ("gradient_clip_val", &["0", "0.0", "false"]),
    ("gradient_clipping", &["0", "0.0", "false"]),
    ("accumulate", &["0", "1"]),
    ("gradient_accumulation_steps", &["0", "1"]),
    ("delay", &["0"]),
    ("staleness", &["0"]),
    ("rounding", &["nearest"]),
    ("stochastic_rounding", &["false"]),
    ("maximize", &["false"]),
    ("centered", &["false"]),
    ("use_ema", &["false"]),
    ("lr_decay", &["0", "0.0"]),
    ("initial_accumulator_value", &["0", "0.0"]),
];

/// A declared value as text, without the quotes of a string.
pub(super) fn declared_text<'a>(declared: &'a DeclaredOptimizer, key: &str) -> Option<&'a str> {
    declared.other.get(key).map(|text| text.trim().trim_matches('"'))
}

impl Update {
    /// Becomes the same at `scale` times the parameters, where gradients are `scale` times smaller.
    pub(crate) fn rescale(&mut self, scale: f64) {
        if let Some(Clip::Norm(limit) | Clip::Value(limit)) = &mut self.clip {
            *limit /= scale;
        }
        if let Some(Constraint::MaxNorm(limit)) = &mut self.constraint {
            *limit *= scale;
        }
    }

    /// Whether nothing happens around the rule.
    pub fn is_default(&self) -> bool {
        *self == Update::default()
    }

    /// Adds what happens to a declaration, under keys that the format leaves free.
    pub fn declare(&self, declared: &mut DeclaredOptimizer) {
        let mut put = |key: &str, value: String| drop(declared.other.insert(key.into(), value));
        match self.clip {
            Some(Clip::Norm(limit)) => put("clip_norm", format!("{limit:?}")),
            Some(Clip::Value(limit)) => put("clip_value", format!("{limit:?}")),
            None => {}
        }
        if self.accumulate > 1 {
            put("accumulate", self.accumulate.to_string());
        }
        if self.delay > 0 {
            put("delay", self.delay.to_string());
        }
        match self.constraint {
            Some(Constraint::Renormalise) => put("renormalise", "true".into()),
            Some(Constraint::MaxNorm(limit)) => put("max_norm", format!("{limit:?}")),
            None => {}
        }
        if let Some(Storage { rounding: Rounding::Stochastic, .. }) = &self.storage {
            put("rounding", "\"stochastic\"".into());
        }
    }

    /// What a declaration says of it, as far as a replay of single rows can repeat it; None where it cannot.
    pub fn declared(declared: &DeclaredOptimizer) -> Option<Update> {
        let stated = |key: &str| declared_text(declared, key);
        let prevented = |(key, harmless): &(&str, &[&str])| stated(key).is_some_and(|text| !harmless.contains(&text));
        if PREVENTING.iter().any(prevented) {
            return None;
        }
        let limit = |key: &str| stated(key).map(|text| text.parse::<f64>().ok().filter(|limit| *limit > 0.0).ok_or(()));
        let clip = limit("clip_value").transpose().ok()?.map(Clip::Value);
        let constraint = match (limit("max_norm").transpose().ok()?, stated("renormalise")) {
            (None, None | Some("false")) => None,
            (None, Some("true")) => Some(Constraint::Renormalise),
            (Some(limit), None | Some("false")) => Some(Constraint::MaxNorm(limit)),
            _ => return None,
        };
        Some(Update { clip, constraint, ..Update::default() })
    }

    /// What it says of a condition that the optimizer's own rule meets; None where nothing.
    pub fn unmet(&self, condition: Condition) -> Option<Status> {
        let unmet = |why: String| Some(Status::Unmet(why));
        match (condition, &self.clip, &self.constraint, &self.storage) {
            (Condition::ScalarStep | Condition::NoCoordinateScaling, Some(Clip::Value(limit)), ..) => {
                unmet(format!("every coordinate of the gradient is clipped at {limit}"))
            }
            (Condition::ScalarStep | Condition::NoDecay, _, Some(Constraint::Renormalise), _) => {
                unmet("rows are brought back to their initial norm".into())
            }
            (Condition::ScalarStep | Condition::NoDecay, _, Some(Constraint::MaxNorm(limit)), _) => {
                unmet(format!("rows longer than {limit} are shortened"))
            }
            (Condition::FreshGradient, ..) if self.delay > 0 => {
                unmet(format!("gradients are {} steps late", self.delay))
            }
            (Condition::ExactStorage, .., Some(storage)) => {
                unmet(format!("parameters are rounded to {} after every step", storage.format))
            }
            _ => None,
        }
    }

    /// What cannot be trained: the field, what is expected, what was found.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str, String)> {
        let positive = |limit: f64| limit.is_finite() && limit > 0.0;
        match (&self.clip, &self.constraint, &self.storage) {
            (Some(Clip::Norm(limit) | Clip::Value(limit)), ..) if !positive(*limit) => {
                Some(("clip", "a positive number", limit.to_string()))
            }
            (_, Some(Constraint::MaxNorm(limit)), _) if !positive(*limit) => {
                Some(("constraint.max-norm", "a positive number", limit.to_string()))
            }
            (.., Some(storage)) if !matches!(storage.format, Precision::Bf16 | Precision::F16) => {
                Some(("storage.format", "bf16 or f16", storage.format.to_string()))
            }
            _ if self.accumulate == 0 => Some(("accumulate", "at least 1", "0".into())),
            _ => None,
        }
    }
}

/// An [`Update`] at work on one tower.
pub struct Stages<F> {
    update: Update,
    seed: u64,
    /// Gradients on their way, oldest first.
    late: VecDeque<Vec<Gradient<F>>>,
    /// The sum so far, and of how many.
    sum: Vec<Gradient<F>>,
    summed: u64,
    /// Steps that the optimizer made.
    made: u64,
}

impl<F: Real> Stages<F> {
    /// `seed` is that of stochastic rounding, together with the table, the row and the step.
    pub fn new(update: Update, seed: u64) -> Self {
        Stages { update, seed, late: VecDeque::new(), sum: Vec::new(), summed: 0, made: 0 }
    }

    /// Takes in the gradients of the tower's tables and gives what the optimizer is to see, with the number of the step that
    /// it makes; None in a step without one.
    pub fn pass<'g>(&mut self, fresh: &'g [Gradient<F>]) -> Option<(u64, Cow<'g, [Gradient<F>]>)> {
        let mut gradients = Cow::Borrowed(fresh);
        if self.update.delay > 0 {
            self.late.push_back(fresh.to_vec());
            if self.late.len() as u64 <= self.update.delay {
                return None;
            }
            gradients = Cow::Owned(self.late.pop_front()?);
        }
        if self.update.accumulate > 1 {
            if self.summed == 0 {
                self.sum = gradients.into_owned();
            } else {
                for (sum, gradient) in self.sum.iter_mut().zip(gradients.iter()) {
                    for &row in gradient.touched() {
                        add_scaled(sum.accumulate(row), F::one(), gradient.row(row));
                    }
                }
            }
            self.summed += 1;
            if self.summed < self.update.accumulate {
                return None;
            }
            self.summed = 0;
            gradients = Cow::Owned(std::mem::take(&mut self.sum));
        }
        if let Some(Clip::Norm(limit)) = self.update.clip {
            clip_norm(gradients.to_mut(), &F::from_f64(limit));
        }
        self.made += 1;
        Some((self.made - 1, gradients))
    }

    /// Shows the gradients that are late or not yet used.
    pub fn memory(&mut self, see: Memory<F>) {
        for gradient in self.late.iter_mut().flatten() {
            see("late-gradient", gradient.values_mut());
        }
        for gradient in &mut self.sum {
            see("summed-gradient", gradient.values_mut());
        }
    }

    /// Rounds rows of a table to the storage format. Only the value is stored: what a number type carries beside it is lost.
    pub fn store(&self, table_index: usize, time: u64, rows: impl Iterator<Item = usize>, table: &mut Table<F>) {
        let Some(Storage { format, rounding }) = &self.update.storage else {
            return;
        };
        for row in rows {
            let mut random = match rounding {
                Rounding::Nearest => None,
                Rounding::Stochastic => Some(self.stream(table_index, row, time)),
            };
            for q in table.row_mut(row) {
                let x = q.to_f64();
                let stored = match &mut random {
                    None => format.nearest(x),
                    Some(random) => format.stochastic(x, random.random::<f64>()),
                };
                *q = F::from_f64(stored);
            }
        }
    }

    /// One stream of random numbers a table, row and step, whatever else is rounded.
    fn stream(&self, table: usize, row: usize, time: u64) -> ChaCha8Rng {
        let mut seed = [0; 32];
        for (place, word) in seed.chunks_exact_mut(8).zip([self.seed, table as u64, row as u64, time]) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed)
    }
}

/// Multiplies all by min(1, limit/‖all‖).
fn clip_norm<F: Real>(gradients: &mut [Gradient<F>], limit: &F) {
    let mut squared = F::zero();
    for gradient in gradients.iter() {
        for &row in gradient.touched() {
            squared = squared + norm_squared(gradient.row(row));
        }
    }
    if squared == F::zero() {
        return;
    }
    // Not a branch: numbers that carry a bound then carry it across the threshold.
    let factor = (limit.clone() / squared.sqrt()).min(F::one());
    for gradient in gradients {
        for row in gradient.touched().to_vec() {
            gradient.accumulate(row).iter_mut().for_each(|g| *g = g.clone() * factor.clone());
        }
    }
}
