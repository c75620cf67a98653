//! Similarities of a batch: what a loss reads, and where it leaves its derivatives.
//!
//! Everything about norms is here and nowhere else: cosine or inner product, the epsilon of the cosine, the gradient with
//! respect to the embeddings, and the scale ‖a‖ of the terms that cancel in it. A loss reads s(user, item), leaves the
//! coefficients κ = ∂L/∂s, and each slot's gradient is the sum of its κ·∂s/∂q:
//!
//! ```text
//! rows divided on their own, z = q/ℓ(‖q‖):   a_j = Σ_b κ_bj·z_b,    g_j = (a_j − r⟨a_j,z_j⟩z_j)/ℓ,   r·z = ∂ℓ/∂q
//! divided by D(P), P = ‖u_b‖‖q_j‖:           g_j = P_q Σ_b κδ/D·u_b + Σ_b κ(1−δ)/D·u_b,              δ = P·D'(P)/D
//! ```
//!
//! Similarities of two users, or of two items, work the same way.

use std::ops::Range;

use super::Evaluation;
use super::epsilon::{Divided, EpsilonOn, length};
use crate::geometry::{Table, add_scaled, dot, norm, through_normalisation};
use crate::number::Real;
use crate::sampler::{Batch, Candidates};
use crate::trajectory::Similarity;

/// One slot of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The user of a pair.
    User(usize),
    /// An item slot ([`Batch::item_slots`]).
    Item(usize),
}

/// How the similarities of a loss are made of embeddings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub similarity: Similarity,
    pub epsilon: f64,
    pub epsilon_on: EpsilonOn,
    pub mask_duplicates: bool,
}

/// A similarity of two slots and the derivative of the loss by it. A similarity may be listed several times: its
/// derivatives add up.
#[derive(Debug, Clone, PartialEq)]
pub struct Derivative<F> {
    /// One slot.
    pub one: Slot,
    /// The slot that it is compared with; the same one for ‖z‖².
    pub other: Slot,
    /// s.
    pub similarity: F,
    /// κ = ∂L/∂s.
    pub coefficient: F,
}

/// How inner products become similarities.
#[derive(Debug, Clone)]
enum Division<F> {
    /// They are similarities, of rows that were divided before or of raw ones.
    None,
    /// Each is divided by D(‖u‖‖q‖).
    Pairwise { on: EpsilonOn, epsilon: F },
}

/// The similarities of one batch.
#[derive(Debug)]
pub struct Similarities<F> {
    batch: Batch,
    item_slots: Vec<usize>,
    measure: Measure,
    division: Division<F>,
    users: Half<F>,
    items: Half<F>,
    /// Transposed item rows `[d, C]` where pairs have candidates in common, so that all inner products of a pair grow
    /// together, coordinate after coordinate: each is still summed in the fixed order.
    columns: Option<Vec<F>>,
    wanted: Wanted<F>,
}

/// What becomes of the derivatives that a loss leaves.
#[derive(Debug)]
enum Wanted<F> {
    /// They make the gradients.
    Gradients,
    /// They are listed.
    Derivatives(Vec<Derivative<F>>),
    /// Nothing: the loss alone is wanted.
    Value,
}

/// One side's slots.
#[derive(Debug)]
struct Half<F> {
    /// What enters the inner products: `[slots, d]`.
    rows: Table<F>,
    /// What each row was divided by, or for pairwise division ‖q‖; empty for inner products of raw rows.
    lengths: Vec<F>,
    /// r of each divided row.
    radial: Vec<F>,
    /// A bound on the norm of what enters.
    sizes: Vec<F>,
    /// ∂L/∂(row), or for pairwise division what passes through the tangent projection.
    upstream: Table<F>,
    /// For pairwise division what does not.
    linear: Option<Table<F>>,
    scales: Vec<F>,
}

/// The coefficient of one similarity, on its way to both slots.
struct Share<F> {
    tangent: F,
    linear: Option<F>,
    /// Its part in the scales: |κ|·‖u‖‖q‖/D, but for the sizes of the rows.
    scale: F,
}

impl<F: Real> Division<F> {
    fn divide(&self, product: F, own: &[F], other: &[F], i: usize, j: usize) -> F {
        match self {
            Division::None => product,
            Division::Pairwise { on, epsilon } => product / on.divisor(own[i].clone() * other[j].clone(), epsilon).0,
        }
    }

    fn share(&self, coefficient: &F, own: &[F], other: &[F], i: usize, j: usize) -> Share<F> {
        let size = magnitude(coefficient);
        match self {
            Division::None => Share { tangent: coefficient.clone(), linear: None, scale: size },
            Division::Pairwise { on, epsilon } => {
                let product = own[i].clone() * other[j].clone();
                let (divisor, degree) = on.divisor(product.clone(), epsilon);
                let rest = F::one() - degree.clone();
                let quotient = coefficient.clone() / divisor.clone();
                Share {
                    tangent: quotient.clone() * degree,
                    linear: Some(quotient * rest),
                    scale: size * product / divisor,
                }
            }
        }
    }
}

fn magnitude<F: Real>(x: &F) -> F {
    x.clone().max(-x.clone())
}

impl<F: Real> Half<F> {
    fn new(rows: &Table<F>, measure: &Measure) -> Self {
        let (count, width) = (rows.rows(), rows.width());
        let each = || (0..count).map(|row| rows.row(row));
        let mut half = Half {
            rows: rows.clone(),
            lengths: Vec::new(),
            radial: Vec::new(),
            // A divided vector has length 1 at most.
            sizes: vec![F::one(); count],
            upstream: Table::filled(count, width, F::zero()),
            linear: None,
            scales: vec![F::zero(); count],
        };
        match measure.similarity {
            Similarity::Dot => half.sizes = each().map(norm).collect(),
            Similarity::Cosine if measure.is_pairwise() => {
                half.lengths = each().map(length).collect();
                half.linear = Some(half.upstream.clone());
            }
            Similarity::Cosine => {
                let epsilon = F::from_f64(measure.epsilon);
                let mut values = Vec::with_capacity(rows.values().len());
                for row in each() {
                    let Divided { vector, length, radial } = measure.epsilon_on.divide(row, &epsilon);
                    values.extend(vector);
                    half.lengths.push(length);
                    half.radial.push(radial);
                }
                half.rows = Table::from_values(width, values);
            }
        }
        half
    }

    /// Adds one similarity's share; `other` is the row that this one is compared with, of norm at most `size`.
    fn receive(&mut self, slot: usize, share: &Share<F>, other: &[F], size: &F) {
        add_scaled(self.upstream.row_mut(slot), share.tangent.clone(), other);
        if let (Some(table), Some(linear)) = (&mut self.linear, &share.linear) {
            add_scaled(table.row_mut(slot), linear.clone(), other);
        }
        self.scales[slot] = self.scales[slot].clone() + share.scale.clone() * size.clone();
    }

    /// What [`Half::receive`] does on both sides, for one slot and a range of the other side's, undivided: the inner loop of
    /// training.
    fn receive_all(&mut self, slot: usize, others: &mut Half<F>, range: &Range<usize>, coefficients: &[F]) {
        let (row, size) = (self.rows.row(slot), &self.sizes[slot]);
        let upstream = self.upstream.row_mut(slot);
        let scale = &mut self.scales[slot];
        for (other, coefficient) in range.clone().zip(coefficients) {
            add_scaled(upstream, coefficient.clone(), others.rows.row(other));
            add_scaled(others.upstream.row_mut(other), coefficient.clone(), row);
            let magnitude = magnitude(coefficient);
            *scale = scale.clone() + magnitude.clone() * others.sizes[other].clone();
            others.scales[other] = others.scales[other].clone() + magnitude * size.clone();
        }
    }

    /// The gradients with respect to the raw rows.
    fn leave(self) -> Table<F> {
        let (count, width) = (self.rows.rows(), self.rows.width());
        if self.lengths.is_empty() {
            return self.upstream;
        }
        let gradient = |row: usize| -> Vec<F> {
            let (upstream, vector, length) = (self.upstream.row(row), self.rows.row(row), &self.lengths[row]);
            match &self.linear {
                Some(linear) if *length == F::zero() => linear.row(row).to_vec(),
                Some(linear) => {
                    let direction: Vec<F> = vector.iter().map(|x| x.clone() / length.clone()).collect();
                    let mut sum = through_normalisation(upstream, &direction, &F::one());
                    add_scaled(&mut sum, F::one(), linear.row(row));
                    sum
                }
                None => {
                    let radial = self.radial[row].clone() * dot(upstream, vector);
                    let tangent = upstream.iter().zip(vector).map(|(a, z)| a.clone() - radial.clone() * z.clone());
                    tangent.map(|a| a / length.clone()).collect()
                }
            }
        };
        Table::from_values(width, (0..count).flat_map(gradient).collect())
    }
}

impl Measure {
    fn is_pairwise(&self) -> bool {
        self.similarity == Similarity::Cosine && self.epsilon > 0.0 && !self.epsilon_on.is_rowwise()
    }
}

impl<F: Real> Similarities<F> {
    pub(super) fn new(measure: Measure, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Self {
        let items = Half::new(items, &measure);
        let in_common = batch.has_in_batch_negatives() || !batch.shared.is_empty();
        let columns = in_common.then(|| {
            let (rows, width) = (items.rows.rows(), items.rows.width());
            (0..width)
                .flat_map(|k| {
                    (0..rows).map({
                        let items = &items;
                        move |j| items.rows.row(j)[k].clone()
                    })
                })
                .collect()
        });
        let division = match measure.is_pairwise() {
            true => Division::Pairwise { on: measure.epsilon_on, epsilon: F::from_f64(measure.epsilon) },
            false => Division::None,
        };
        let item_slots = batch.item_slots();
        let users = Half::new(users, &measure);
        let batch = batch.clone();
        Similarities { batch, item_slots, measure, division, users, items, columns, wanted: Wanted::Gradients }
    }

    /// Lists all derivatives in place of making gradients of them.
    pub(super) fn listing(self) -> Self {
        Similarities { wanted: Wanted::Derivatives(Vec::new()), ..self }
    }

    /// Forgets all derivatives.
    pub(super) fn forgetting(self) -> Self {
        Similarities { wanted: Wanted::Value, ..self }
    }

    /// The list of all derivatives that were taken.
    pub(super) fn into_derivatives(self) -> Vec<Derivative<F>> {
        match self.wanted {
            Wanted::Derivatives(list) => list,
            Wanted::Gradients | Wanted::Value => Vec::new(),
        }
    }

    /// Takes a derivative that does not become a part of gradients.
    fn put_aside(&mut self, one: Slot, other: Slot, coefficient: &F) {
        if let Wanted::Value = self.wanted {
            return;
        }
        let similarity = self.between(one, other);
        if let Wanted::Derivatives(list) = &mut self.wanted {
            list.push(Derivative { one, other, similarity, coefficient: coefficient.clone() });
        }
    }

    /// The batch.
    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// Pairs in the batch, B.
    pub fn pairs(&self) -> usize {
        self.batch.users.len()
    }

    /// The candidates of a pair, with duplicates of its positive masked where the loss is set so.
    pub fn candidates(&self, pair: usize) -> Candidates {
        let candidates = self.batch.candidates(pair);
        match self.measure.mask_duplicates {
            true => candidates.without_duplicates(&self.item_slots),
            false => candidates,
        }
    }

    /// The candidates of a pair, with duplicates of its positive masked.
    pub fn candidates_without_duplicates(&self, pair: usize) -> Candidates {
        self.batch.candidates(pair).without_duplicates(&self.item_slots)
    }

    /// s(u_b, q_j) of a pair's user and each of its candidates: `[count]`.
    pub fn of(&self, pair: usize, candidates: &Candidates) -> Vec<F> {
        let user = self.users.rows.row(pair);
        let mut products = vec![F::zero(); candidates.count()];
        let mut start = 0;
        for range in &candidates.ranges {
            let sums = &mut products[start..start + range.len()];
            start += range.len();
            match &self.columns {
                // Few of them are a pair's own: they are not worth a walk through all columns.
                Some(columns) if range.len() > 1 => {
                    for (column, u) in columns.chunks_exact(self.items.rows.rows()).zip(user) {
                        add_scaled(sums, u.clone(), &column[range.clone()]);
                    }
                }
                _ => {
                    for (sum, slot) in sums.iter_mut().zip(range.clone()) {
                        *sum = dot(user, self.items.rows.row(slot));
                    }
                }
            }
        }
        if let Division::Pairwise { .. } = self.division {
            for (product, slot) in products.iter_mut().zip(candidates.slots()) {
                let (own, other) = (&self.users.lengths, &self.items.lengths);
                *product = self.division.divide(product.clone(), own, other, pair, slot);
            }
        }
        products
    }

    /// Takes ∂L/∂s of a pair's user and each of its candidates: `[count]`.
    pub fn pull(&mut self, pair: usize, candidates: &Candidates, coefficients: &[F]) {
        if !matches!(self.wanted, Wanted::Gradients) {
            for (slot, coefficient) in candidates.slots().zip(coefficients) {
                self.put_aside(Slot::User(pair), Slot::Item(slot), coefficient);
            }
            return;
        }
        let Similarities { users, items, division, .. } = self;
        let mut coefficients = coefficients.iter();
        for range in &candidates.ranges {
            if let Division::None = division {
                users.receive_all(pair, items, range, coefficients.as_slice());
                coefficients.by_ref().take(range.len()).for_each(drop);
                continue;
            }
            for (slot, coefficient) in range.clone().zip(&mut coefficients) {
                let share = division.share(coefficient, &users.lengths, &items.lengths, pair, slot);
                users.receive(pair, &share, items.rows.row(slot), &items.sizes[slot]);
                items.receive(slot, &share, users.rows.row(pair), &users.sizes[pair]);
            }
        }
    }

    fn half(&self, slot: Slot) -> (&Half<F>, usize) {
        match slot {
            Slot::User(user) => (&self.users, user),
            Slot::Item(item) => (&self.items, item),
        }
    }

    /// s of any two slots. Of a slot with itself: ‖z‖² of what enters the inner products.
    pub fn between(&self, one: Slot, other: Slot) -> F {
        let ((own, i), (others, j)) = (self.half(one), self.half(other));
        let product = dot(own.rows.row(i), others.rows.row(j));
        self.division.divide(product, &own.lengths, &others.lengths, i, j)
    }

    /// Takes ∂L/∂s of any two slots.
    pub fn pull_between(&mut self, one: Slot, other: Slot, coefficient: &F) {
        if !matches!(self.wanted, Wanted::Gradients) {
            return self.put_aside(one, other, coefficient);
        }
        let ((own, i), (others, j)) = (self.half(one), self.half(other));
        let share = self.division.share(coefficient, &own.lengths, &others.lengths, i, j);
        let (row, size) = (own.rows.row(i).to_vec(), own.sizes[i].clone());
        let (other_row, other_size) = (others.rows.row(j).to_vec(), others.sizes[j].clone());
        self.half_mut(one).receive(i, &share, &other_row, &other_size);
        self.half_mut(other).receive(j, &share, &row, &size);
    }

    fn half_mut(&mut self, slot: Slot) -> &mut Half<F> {
        match slot {
            Slot::User(_) => &mut self.users,
            Slot::Item(_) => &mut self.items,
        }
    }

    /// Whether s of a slot with itself is 1 whatever the embedding.
    fn has_unit_length(&self) -> bool {
        self.measure.similarity == Similarity::Cosine && self.measure.epsilon == 0.0
    }

    /// ‖z − z'‖² = s(x,x) + s(y,y) − 2·s(x,y); on cosines 2 − 2·s(x,y).
    pub fn squared_distance(&self, one: Slot, other: Slot) -> F {
        let own = |slot| match self.has_unit_length() {
            true => F::one(),
            false => self.between(slot, slot),
        };
        let cross = self.between(one, other);
        own(one) + own(other) - cross.clone() - cross
    }

    /// Takes the derivative of the loss by a squared distance.
    pub fn pull_squared_distance(&mut self, one: Slot, other: Slot, coefficient: &F) {
        if !self.has_unit_length() {
            self.pull_between(one, one, coefficient);
            self.pull_between(other, other, coefficient);
        }
        self.pull_between(one, other, &-(coefficient.clone() + coefficient.clone()));
    }

    /// The gradients that follow from everything that was taken.
    pub(super) fn into_evaluation(self, loss: F) -> Evaluation<F> {
        let (user_scale, item_scale) = (self.users.scales.clone(), self.items.scales.clone());
        Evaluation { loss, users: self.users.leave(), items: self.items.leave(), user_scale, item_scale }
    }
}
