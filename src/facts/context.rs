//! What is known about a run before its records are judged: arithmetic, scales, rates, and the allowances that follow.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use super::{Measured, RecordFacts};
use crate::optimizer::{Optimizer, Update};
use crate::rounding::{Arithmetic, Precision};

/// Share of the records that a measured rule must explain. The rest may be duplicates within one lookup, or clamped rows.
pub const EXPLAINED: f64 = 0.95;

/// How many times rounding a measured rule may miss by: its coefficients come from rounded steps themselves.
pub const MEASURED: f64 = 4.0;

/// The learning rate as far as it is known.
#[derive(Debug, Clone, PartialEq)]
pub enum Rates {
    /// The same in every step, known to within this relative error.
    Constant {
        /// η.
        value: f64,
        /// Relative error.
        relative_error: f64,
    },
    /// One by one, each known to within this relative error.
    PerStep {
        /// η_t.
        values: Vec<f64>,
        /// Relative error.
        relative_error: f64,
    },
}

impl Rates {
    /// η_t.
    pub fn at(&self, step: usize) -> f64 {
        match self {
            Rates::Constant { value, .. } => *value,
            Rates::PerStep { values, .. } => values.get(step).copied().unwrap_or(0.0),
        }
    }
    /// The relative error of every η_t.
    pub fn relative_error(&self) -> f64 {
        match self {
            Rates::Constant { relative_error, .. } | Rates::PerStep { relative_error, .. } => *relative_error,
        }
    }
}

/// Momentum as far as it is known; β = 0 is plain SGD.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Momentum {
    /// β.
    pub beta: f64,
    /// The weight of a gradient that enters a started buffer (1 − dampening).
    pub weight: f64,
    /// Only rows with a gradient move, and time counts their touches.
    pub lazy: bool,
}

/// An optimizer to replay on the recorded gradients.
#[derive(Debug, Clone, PartialEq)]
pub struct Replay {
    /// How reports name it.
    pub name: String,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// What happens to a row around it.
    pub update: Update,
    /// Its rates.
    pub rates: Rates,
    /// Relative error of its other settings.
    pub relative_error: f64,
    /// For a measured rule the norms of the gradients that it was measured on: what it says of others is not known.
    pub gradients: Option<RangeInclusive<f64>>,
}

/// What is known about one tower of a run.
#[derive(Debug, Clone)]
pub struct Context {
    /// Embedding dimension d.
    pub dim: usize,
    /// Storage and accumulation formats.
    pub arithmetic: Arithmetic,
    /// max_row ‖g‖ of every step.
    pub largest_gradient: Vec<f64>,
    /// The learning rate, where known.
    pub rates: Option<Rates>,
    /// Momentum, where the update is of the heavy-ball family.
    pub momentum: Option<Momentum>,
    /// ‖a‖ of every (step, row) where it could be recomputed from the loss.
    pub upstream: HashMap<(u64, u64), f64>,
    /// How far ‖a‖ of a lookup in a batch of one pair can reach where it could not be recomputed: 4/τ, with τ = 1 where none is
    /// declared. A softmax or a hinge has Σ|∂ℓ/∂cos| ≤ 2/τ, the square of a difference of cosines at most 4.
    pub upstream_limit: f64,
    /// Pairs in the batch of every step, the lookups where they are not recorded; 0 where neither is.
    pub pairs: Vec<f64>,
    /// By how much the recorded gradients exceed those of the declared loss, where it could be recomputed and all do alike.
    pub gradient_factor: Option<f64>,
    /// How embeddings are computed from parameters, where that is known and they are not the parameters.
    pub encoding: Option<Encoding>,
    /// The optimizers that `declared-step` replays.
    pub replays: Vec<Replay>,
    /// Whether every step from the first one on was recorded, so that a row's history is complete.
    pub consecutive: bool,
    /// Whether the other tower pools these rows: then steps visit more of them than were looked up.
    pub is_pooled: bool,
    /// Whether the embeddings are the parameters, so that the optimizer's rate is the rate of the embedding (κ = 1).
    pub is_table: bool,
}

/// The rounding of an encoder: q is a sum of `operations` terms whose magnitudes add up to ‖ |W||x| + |b| ‖.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding {
    /// Roundings on the way of one term.
    pub operations: usize,
    /// The magnitude of every (step, row), the larger of before and after the step.
    pub magnitudes: HashMap<(u64, u64), f64>,
}

/// Elementwise roundings on the way of a gradient through a normalisation and back, as automatic differentiation does it:
/// square, root, division, product with the upstream gradient (4), the radial part's product, two divisions, product,
/// difference and the final division (6), the same for the stored copy of the direction (2), and the sum's four factors.
const ELEMENTWISE: usize = 16;

/// How the allowance of a gradient's radial part is derived.
pub const GRADIENT_DERIVATION: &str = "(γ_{3d+10} in accumulation + γ_{16+L} in storage)·‖a‖: three inner products and ten \
    operations to normalise, project and check (Higham 2002, Lemma 3.1), 16 elementwise roundings, L lookups added up; ‖a‖ is the \
    sum of the upstream gradients' norms where the loss can be recomputed, else ‖q‖·max_row‖g‖, and what is within the same of \
    (L/B)·4/τ, B pairs in the batch, may be noise and decides nothing";

/// How the allowance of a step's radial part is derived.
pub const UPDATE_DERIVATION: &str = "(L+2)·u·‖q‖·max(‖q‖,‖q'‖) for the rounding of the stored row (L lookups applied one by \
    one, the product and the sum) (+ 2γ_{m+L+2}·‖|W||x|+|b|‖ where q = Wx+b is computed), + ‖Δq‖/‖g‖·(the gradient's allowance), \
    + γ_{d+2} in f64 for the check itself";

/// How the allowance of a shrink is derived.
pub const GROWTH_DERIVATION: &str = "twice the allowance of ⟨q,Δq⟩ + γ_{d+2} in f64·‖Δq‖(‖q‖+‖q'‖) for the check itself; \
    only a shrink beyond it counts";

impl Context {
    /// η_t of an update of the SGD family; None where the rate of an embedding is not the rate of the step.
    pub fn sgd_rate(&self, step: usize) -> Option<f64> {
        self.momentum.filter(|_| self.is_table)?;
        self.rates.as_ref().map(|rates| rates.at(step))
    }

    /// The scale ‖a‖ of the terms that cancel in the gradient, and how many times cancellation noise may exceed the
    /// allowance on it (1 where ‖a‖ is known).
    fn gradient_scale(&self, facts: &RecordFacts<'_>) -> (f64, f64) {
        let place = facts.place();
        if let Some(&scale) = self.upstream.get(&(place.step, place.row)) {
            return (scale, 1.0);
        }
        let largest = self.largest_gradient.get(facts.record.step).copied().unwrap_or(0.0);
        let scale = facts.norm * largest;
        // Where all gradients of a step are small beside ‖a‖, nothing but rounding may be left of them: terms that cancel within a
        // slot (a row parallel to its a) or between slots.
        // In a mean over pairs each lookup has its share of the limit.
        let pairs = self.pairs.get(facts.record.step).copied().unwrap_or(0.0);
        let share = if pairs > 0.0 {
            (facts.multiplicity() as f64 / pairs).min(1.0)
        } else {
            1.0
        };
        let amplification = if scale > 0.0 {
            (self.upstream_limit * share / scale).max(1.0)
        } else {
            1.0
        };
        (scale, amplification)
    }

    /// What rounding allows of |⟨q, g⟩| ([`GRADIENT_DERIVATION`]), and the amplification that goes with it.
    pub fn gradient_allowance(&self, facts: &RecordFacts<'_>) -> (f64, f64) {
        let (scale, amplification) = self.gradient_scale(facts);
        let accumulated = self.arithmetic.accumulation.gamma(3 * self.dim + 10);
        let stored = self.arithmetic.gradient.gamma(ELEMENTWISE + facts.multiplicity());
        ((accumulated + stored) * scale + self.underflow(facts), amplification)
    }

    /// What underflow can add: every coordinate of q times the smallest number.
    fn underflow(&self, facts: &RecordFacts<'_>) -> f64 {
        (4 * self.dim) as f64 * self.arithmetic.storage.underflow() * (1.0 + facts.norm)
    }

    /// What rounding can have changed in the stored row: a bound on ‖fl(q') − q'‖.
    pub fn storage_error(&self, facts: &RecordFacts<'_>) -> f64 {
        let roundings = (facts.multiplicity() + 2) as f64;
        let underflow = self.dim as f64 * self.arithmetic.storage.underflow();
        let place = facts.place();
        let encoding = self.encoding.as_ref().map_or(0.0, |encoding| {
            let magnitude = encoding.magnitudes.get(&(place.step, place.row)).copied().unwrap_or(0.0);
            2.0 * self.arithmetic.storage.gamma(encoding.operations + facts.multiplicity() + 2) * magnitude
        });
        roundings * self.arithmetic.storage.unit_roundoff() * facts.norm.max(facts.next_norm) + encoding + underflow
    }

    /// What rounding allows of |⟨q, Δq⟩| ([`UPDATE_DERIVATION`]).
    pub fn update_allowance(&self, facts: &RecordFacts<'_>) -> f64 {
        // A scalar step is c·g with c = ‖Δq‖/‖g‖, whatever made the scalar, and carries c times the gradient's error.
        let gradient = match facts.gradient_norm.filter(|&norm| norm > 0.0) {
            Some(norm) => facts.step_norm / norm * self.gradient_allowance(facts).0,
            None => {
                let operations = self.arithmetic.accumulation.gamma(3 * self.dim + 10);
                (operations + self.arithmetic.gradient.gamma(ELEMENTWISE)) * facts.norm * facts.step_norm
            }
        };
        self.storage_error(facts) * facts.norm + gradient + self.own_check(facts.norm * facts.step_norm)
    }

    /// What rounding allows of a shrink of ‖q‖² ([`GROWTH_DERIVATION`]).
    pub fn growth_allowance(&self, facts: &RecordFacts<'_>) -> f64 {
        2.0 * self.update_allowance(facts) + self.own_check(facts.step_norm * (facts.norm + facts.next_norm))
    }

    /// The rounding of our own inner product of vectors whose norms multiply to `scale`, in f64.
    pub fn own_check(&self, scale: f64) -> f64 {
        Precision::F64.gamma(self.dim + 2) * scale
    }

    /// A bound on the error of ‖q'‖² against an exact step by `movement` = η‖p‖ along a direction whose product with q
    /// is known to within `radial`: 2⟨q', e⟩ + ‖e‖² of the storage error e, 2η times `radial`, and the check itself.
    pub fn norm_squared_error(&self, facts: &RecordFacts<'_>, movement: f64, radial: f64) -> f64 {
        let rate_error = self.rates.as_ref().map_or(0.0, Rates::relative_error);
        let error = self.storage_error(facts)
            + movement * (rate_error + self.arithmetic.storage.gamma(facts.multiplicity() + 1));
        let largest = facts.norm.max(facts.next_norm);
        let own = self.own_check(facts.step_norm * (facts.norm + facts.next_norm) + movement * movement);
        2.0 * (largest + movement) * error + error * error + 2.0 * radial + 2.0 * rate_error * movement * movement + own
    }

    /// A measurement of the radial part of the recorded gradient.
    pub fn measure_gradient(&self, facts: &RecordFacts<'_>) -> Option<Measured> {
        let norm = facts.gradient_norm.filter(|&norm| norm > 0.0)?;
        let (allowed, amplification) = self.gradient_allowance(facts);
        let signal = facts.norm * norm;
        let cosine = (facts.radial_gradient / signal).clamp(-1.0, 1.0);
        let angle = signal.is_normal().then_some((cosine, norm * norm));
        Some(Measured { residual: facts.radial_gradient.abs(), allowed, signal, amplification, angle })
    }

    /// A measurement of the radial part of the step.
    pub fn measure_update(&self, facts: &RecordFacts<'_>) -> Option<Measured> {
        if !facts.moved() {
            return None;
        }
        let signal = facts.norm * facts.step_norm;
        let cosine = (facts.radial_step / signal).clamp(-1.0, 1.0);
        let angle = signal.is_normal().then_some((cosine, facts.step_norm * facts.step_norm));
        let allowed = self.update_allowance(facts);
        // Only the gradient's part of the allowance rests on ‖a‖.
        let amplification = match facts.gradient_norm.filter(|&norm| norm > 0.0) {
            Some(norm) => {
                let (gradient, amplified) = self.gradient_allowance(facts);
                1.0 + (amplified - 1.0) * facts.step_norm / norm * gradient / allowed
            }
            None => 1.0,
        };
        Some(Measured { residual: facts.radial_step.abs(), allowed, signal, amplification, angle })
    }
}
