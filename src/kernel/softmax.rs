//! The softmax of one row of logits: its constants, its loss, and the weights that its gradient is made of.
//!
//! Logits are kept in binary orders of magnitude, y = log₂e·(s/τ − ln Q_j), so that their exponential is 2^y. The target
//! is left out of the sum and enters by itself: where it takes nearly all of the probability, p − 1 is then still computed
//! to full relative accuracy, as −Σ_others/Σ_all.

use std::f64::consts::{LN_2, LOG2_E};

use super::element::Element;

/// The loss of a row of scores with one target t, n other candidates.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// ln Σ_j e^{s_j/τ} − s_t/τ.
    InfoNce {
        /// τ > 0.
        temperature: f64,
    },
    /// τ·ln((1/n)·Σ_{j≠t} e^{s_j/τ}) − s_t, the bilateral softmax of a user with one positive; −s_t if n = 0.
    Bilateral {
        /// τ > 0, of the negatives.
        temperature: f64,
    },
}

impl Objective {
    /// Whether the target is one of the terms of the sum.
    pub(super) fn sums_target(self) -> bool {
        matches!(self, Objective::InfoNce { .. })
    }

    pub(super) fn temperature(self) -> f64 {
        match self {
            Objective::InfoNce { temperature } | Objective::Bilateral { temperature } => temperature,
        }
    }
}

/// The softmax of one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Softmax<E> {
    objective: Objective,
    /// log₂e/τ.
    pub slope: E,
    /// The mean over the batch and the derivative of the logits: the factor of every weight.
    factor: f64,
    /// A power of two that no weight exceeds, for all rows; None where a row needs its own largest logit instead.
    pub shift: Option<i32>,
}

/// A row that has been summed.
pub(super) struct Row<E> {
    /// The loss, before the mean.
    pub loss: f64,
    /// The coefficient of the upstream gradient is `scale`·weight for the others…
    pub scale: E,
    /// …and `scale`·`target` for the target.
    pub target: E,
}

impl<E: Element> Softmax<E> {
    /// For `pairs` rows of scores that are at most 1 in size on cosines (`bounded`), with biases between `bias.0` and
    /// `bias.1`.
    ///
    /// With scores in [−1, 1] all logits of all rows lie in a known interval. If it spans few enough orders of magnitude, the
    /// upper end serves as the shift of every row, and no maximum has to be found.
    pub(super) fn new(objective: Objective, pairs: usize, bounded: bool, bias: (f64, f64)) -> Self {
        let slope = LOG2_E / objective.temperature();
        let highest = (slope + bias.1).ceil();
        let constant = bounded && highest + slope - bias.0 <= E::SPAN;
        let share = match objective {
            Objective::InfoNce { temperature } => 1.0 / temperature,
            Objective::Bilateral { .. } => 1.0,
        };
        Softmax {
            objective,
            slope: E::from_f64(slope),
            factor: share / pairs as f64,
            shift: constant.then_some(highest as i32),
        }
    }

    /// A row's own shift: the largest term of its sum. `others`: the largest logit of the others, −∞ if there is none.
    #[inline(always)]
    pub(super) fn own_shift(&self, others: E, target: E) -> E {
        let largest = if self.objective.sums_target() && target > others {
            target
        } else {
            others
        };
        if largest == E::NEGATIVE_INFINITY {
            E::ZERO
        } else {
            largest
        }
    }

    /// The row's loss and coefficients. `others`: sum of the weights of the `count` others; `target`: the target's logit
    /// after the row's own shift; `bias`: what of it is not the score; `own_shift`: the row's largest logit, 0 where the shift
    /// is constant.
    #[inline(always)]
    pub(super) fn close(&self, others: E, target: E, bias: E, own_shift: E, count: usize) -> Row<E> {
        let offset = self.shift.unwrap_or(0);
        let weight = target.exp2_shifted::<false>(offset);
        let (sum, logit) = (others.to_f64(), target.to_f64() - f64::from(offset));
        match self.objective {
            Objective::InfoNce { .. } => {
                let all = sum + weight.to_f64();
                let loss = if others <= weight {
                    (sum / weight.to_f64()).ln_1p()
                } else {
                    all.ln() - logit * LN_2
                };
                Row { loss, scale: E::from_f64(self.factor / all), target: -others }
            }
            Objective::Bilateral { temperature } => {
                let score = (target.to_f64() + own_shift.to_f64() - bias.to_f64()) * LN_2 * temperature;
                if count == 0 {
                    return Row { loss: -score, scale: E::from_f64(self.factor), target: -E::ONE };
                }
                let shift = (f64::from(offset) + own_shift.to_f64()) * LN_2;
                let loss = temperature * ((sum / count as f64).ln() + shift) - score;
                Row { loss, scale: E::from_f64(self.factor / sum), target: -others }
            }
        }
    }
}
