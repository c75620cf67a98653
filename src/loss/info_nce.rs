//! InfoNCE: softmax cross-entropy over one positive and its negatives.
//!
//! ```text
//! L = (1/B) Σ_b [ logsumexp_j(s_bj/τ) − s_b,t(b)/τ ]
//! ```
//!
//! with s the cosine or the inner product of user b and candidate j, τ the temperature, t(b) the positive. With
//! p_b = softmax(s_b/τ) the upstream gradient on item j's (normalised) vector is a_j = Σ_b c_bj·û_b,
//! c_bj = (p_bj − 1\[j = t(b)\])/(B·τ), and on cosines ∂L/∂q_j = (a_j − ⟨a_j,q̂_j⟩q̂_j)/‖q_j‖.
//!
//! *Shapes*: u: `[B, d]`, q: `[C, d]`. *Dimensionless.* *Source*: van den Oord et al. 2018; closed-form gradient derived here.

use serde::{Deserialize, Serialize};

use super::Evaluation;
use crate::geometry::{Table, add_scaled, norm, normalise, through_normalisation};
use crate::number::Real;
use crate::sampler::Batch;
use crate::trajectory::Similarity;

/// InfoNCE with a temperature.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InfoNce {
    /// Cosine or inner product.
    pub similarity: Similarity,
    /// τ > 0.
    pub temperature: f64,
    /// ε of the normalisation q/max(‖q‖, ε): where ‖q‖ < ε the embedding enters linearly, as q/ε. 0 = none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epsilon: f64,
}

fn is_zero(epsilon: &f64) -> bool {
    *epsilon == 0.0
}

/// The vectors that enter the inner products, with what is needed to go back through them.
struct Entering<F> {
    vectors: Table<F>,
    /// The length that a row was divided by; None where the clamp took its place.
    lengths: Vec<Option<F>>,
}

impl InfoNce {
    fn enter<F: Real>(&self, rows: &Table<F>) -> Entering<F> {
        match self.similarity {
            Similarity::Dot => Entering { vectors: rows.clone(), lengths: Vec::new() },
            Similarity::Cosine => {
                let mut vectors = Vec::with_capacity(rows.values().len());
                let mut lengths = Vec::with_capacity(rows.rows());
                let epsilon = F::from_f64(self.epsilon);
                for row in 0..rows.rows() {
                    let (direction, length) = normalise(rows.row(row));
                    if length < epsilon {
                        vectors.extend(rows.row(row).iter().map(|x| x.clone() / epsilon.clone()));
                        lengths.push(None);
                    } else {
                        vectors.extend(direction);
                        lengths.push(Some(length));
                    }
                }
                Entering { vectors: Table::from_values(rows.width(), vectors), lengths }
            }
        }
    }

    fn leave<F: Real>(&self, upstream: Table<F>, entering: &Entering<F>) -> Table<F> {
        match self.similarity {
            Similarity::Dot => upstream,
            Similarity::Cosine => {
                let epsilon = F::from_f64(self.epsilon);
                let rows = (0..upstream.rows()).flat_map(|row| match &entering.lengths[row] {
                    Some(length) => through_normalisation(upstream.row(row), entering.vectors.row(row), length),
                    None => upstream.row(row).iter().map(|a| a.clone() / epsilon.clone()).collect(),
                });
                Table::from_values(upstream.width(), rows.collect())
            }
        }
    }

    pub(super) fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F> {
        let (width, pairs) = (users.width(), batch.users.len());
        let (user, item) = (self.enter(users), self.enter(items));
        let temperature = F::from_f64(self.temperature);
        let share = F::one() / F::ratio(pairs as i64, 1);
        let mut loss = F::zero();
        let mut user_upstream = Table::filled(pairs, width, F::zero());
        let mut item_upstream = Table::filled(items.rows(), width, F::zero());
        let mut user_scale = vec![F::zero(); pairs];
        let mut item_scale = vec![F::zero(); items.rows()];
        let vector_size = |vector: &[F]| match self.similarity {
            // A normalised vector has length 1, a clamped one less.
            Similarity::Cosine => F::one(),
            Similarity::Dot => norm(vector),
        };
        let user_size: Vec<F> = (0..pairs).map(|b| vector_size(user.vectors.row(b))).collect();
        let item_size: Vec<F> = (0..items.rows()).map(|j| vector_size(item.vectors.row(j))).collect();

        let candidates = Candidates::of(batch, &item.vectors);
        for b in 0..pairs {
            let slots = candidates.slots(b);
            let mut logits = candidates.products(b, user.vectors.row(b));
            for logit in &mut logits {
                *logit = logit.clone() / temperature.clone();
            }
            let largest = logits.iter().skip(1).fold(logits[0].clone(), |m, x| m.max(x.clone()));
            let mut weights: Vec<F> = logits.iter().map(|x| (x.clone() - largest.clone()).exp()).collect();
            let total = weights.iter().skip(1).fold(weights[0].clone(), |sum, x| sum + x.clone());
            let target = candidates.target(b);
            loss = loss + (total.clone().ln() + largest - logits[target].clone()) * share.clone();
            for (place, weight) in weights.iter_mut().enumerate() {
                let probability = weight.clone() / total.clone();
                let residual = if place == target {
                    probability - F::one()
                } else {
                    probability
                };
                *weight = residual * share.clone() / temperature.clone();
            }
            for (place, coefficient) in weights.iter().enumerate() {
                let slot = slots.slot(place);
                add_scaled(user_upstream.row_mut(b), coefficient.clone(), item.vectors.row(slot));
                add_scaled(item_upstream.row_mut(slot), coefficient.clone(), user.vectors.row(b));
                let size = if *coefficient < F::zero() {
                    -coefficient.clone()
                } else {
                    coefficient.clone()
                };
                user_scale[b] = user_scale[b].clone() + size.clone() * item_size[slot].clone();
                item_scale[slot] = item_scale[slot].clone() + size * user_size[b].clone();
            }
        }
        Evaluation {
            loss,
            users: self.leave(user_upstream, &user),
            items: self.leave(item_upstream, &item),
            user_scale,
            item_scale,
        }
    }
}

/// The candidates of every pair: the positive among the in-batch positives, or the positive followed by its own negatives.
struct Candidates<'a, F> {
    batch: &'a Batch,
    items: &'a Table<F>,
    /// Transposed item vectors `[d, C]` where every pair has the same candidates, so that all inner products of a pair
    /// grow together, coordinate after coordinate: each is still summed in the fixed order.
    transposed: Option<Vec<F>>,
}

enum Slots {
    All,
    Own { positive: usize, first_negative: usize },
}

impl Slots {
    fn slot(&self, place: usize) -> usize {
        match *self {
            Slots::All => place,
            Slots::Own { positive, .. } if place == 0 => positive,
            Slots::Own { first_negative, .. } => first_negative + place - 1,
        }
    }
}

impl<'a, F: Real> Candidates<'a, F> {
    fn of(batch: &'a Batch, items: &'a Table<F>) -> Self {
        let transposed = batch.negatives.is_empty().then(|| {
            let (rows, width) = (items.rows(), items.width());
            (0..width).flat_map(|k| (0..rows).map(move |j| items.row(j)[k].clone())).collect()
        });
        Candidates { batch, items, transposed }
    }

    fn slots(&self, b: usize) -> Slots {
        if self.transposed.is_some() {
            Slots::All
        } else {
            let own = self.batch.negatives[b].len();
            debug_assert!(self.batch.negatives.iter().all(|negatives| negatives.len() == own));
            Slots::Own { positive: b, first_negative: self.batch.users.len() + b * own }
        }
    }

    fn target(&self, b: usize) -> usize {
        if self.transposed.is_some() { b } else { 0 }
    }

    fn products(&self, b: usize, user: &[F]) -> Vec<F> {
        match &self.transposed {
            Some(transposed) => {
                let mut sums = vec![F::zero(); self.items.rows()];
                for (column, u) in transposed.chunks_exact(self.items.rows()).zip(user) {
                    add_scaled(&mut sums, u.clone(), column);
                }
                sums
            }
            None => {
                let slots = self.slots(b);
                let count = 1 + self.batch.negatives[b].len();
                (0..count).map(|place| crate::geometry::dot(user, self.items.row(slots.slot(place)))).collect()
            }
        }
    }
}
