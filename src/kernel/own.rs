//! One softmax with negatives of its own for each row: no product, but a gather of B·(M + 1) rows of the item table.
//!
//! What comes out for the items is one coefficient a slot, not one gradient a slot: ∂L/∂q̂ of a slot is coefficient·û_b, and
//! the û are few enough to stay in the cache until the rows of the table are updated.

use std::ops::Range;

use super::element::Element;
use super::mask::Mask;
use super::rows::{AHEAD, Similarity};
use super::simd::{self, LANES, Task};
use super::softmax::Softmax;

/// B rows with M negatives each.
pub(super) struct Problem<'a, E> {
    pub dim: usize,
    pub softmax: Softmax<E>,
    pub similarity: Similarity,
    /// Û: `[B, d]`.
    pub users: &'a [E],
    /// The item table: `[N, d]`.
    pub table: &'a [E],
    /// `[B]`.
    pub positives: &'a [u32],
    /// `[B, M]`.
    pub negatives: &'a [u32],
    /// Added to the logits of an item: `[N]`, or empty.
    pub bias: &'a [E],
    pub mask: Option<&'a Mask>,
}

/// What one thread writes: ∂L/∂û of its rows `[rows, d]`, and the coefficients of its slots `[rows]`, `[rows, M]`.
pub(super) struct Output<'a, E> {
    pub upstream: &'a mut [E],
    pub positives: &'a mut [E],
    pub negatives: &'a mut [E],
}

/// The sum of the losses, or the first row that has no direction.
pub(super) type Outcome = Result<f64, u32>;

impl<E: Element> Problem<'_, E> {
    pub(super) fn run(&self, rows: Range<usize>, output: Output<'_, E>) -> Outcome {
        simd::run(Rows { problem: self, rows, output })
    }
}

impl<'a, E: Element> Problem<'a, E> {
    #[inline(always)]
    fn item(&self, id: u32) -> &'a [E] {
        &self.table[id as usize * self.dim..][..self.dim]
    }

    #[inline(always)]
    fn bias(&self, id: u32) -> E {
        if self.bias.is_empty() {
            E::ZERO
        } else {
            self.bias[id as usize]
        }
    }

    /// The logit of an item, and what its row is multiplied by.
    #[inline(always)]
    fn logit<const FMA: bool>(&self, user: &[E], id: u32, bad: &mut Option<u32>) -> (E, E) {
        let vector = self.item(id);
        let (product, squared) = simd::dot_and_square::<E, FMA>(user, vector);
        let inverse = self.similarity.inverse(vector, squared).value;
        if !inverse.is_finite() && bad.is_none() {
            *bad = Some(id);
        }
        (product * inverse * self.softmax.slope + self.bias(id), inverse)
    }
}

/// Logits to weights 2^(logit − largest − offset); their sum.
#[inline(always)]
fn weigh<E: Element, const FMA: bool>(logits: &mut [E], largest: E, offset: i32) -> E {
    let mut sums = [E::ZERO; LANES];
    for block in logits.chunks_mut(LANES) {
        // Whole blocks, so that the exponential has no tail: what is beyond the candidates does not count.
        let mut lanes = [E::NEGATIVE_INFINITY; LANES];
        lanes[..block.len()].copy_from_slice(block);
        for k in 0..LANES {
            lanes[k] = (lanes[k] - largest).exp2_shifted::<FMA>(offset);
            sums[k] = sums[k] + lanes[k];
        }
        block.copy_from_slice(&lanes[..block.len()]);
    }
    simd::total(sums)
}

struct Rows<'a, 'b, E> {
    problem: &'a Problem<'b, E>,
    rows: Range<usize>,
    output: Output<'a, E>,
}

impl<E: Element> Task for Rows<'_, '_, E> {
    type Output = Outcome;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> Outcome {
        let Rows { problem, rows, output } = self;
        let (dim, own) = (problem.dim, problem.negatives.len() / problem.positives.len());
        let mut weights = vec![E::ZERO; own];
        let mut inverses = vec![E::ZERO; own];
        let (mut loss, mut bad) = (0.0, None);
        for (row, pair) in rows.enumerate() {
            let user = &problem.users[pair * dim..(pair + 1) * dim];
            let slots = pair * own..(pair + 1) * own;
            if let Some(&next) = problem.positives.get(pair + 1) {
                simd::prefetch(problem.item(next));
            }
            let positive = problem.positives[pair];
            let (target, target_inverse) = problem.logit::<FMA>(user, positive, &mut bad);
            for (place, slot) in slots.clone().enumerate() {
                if let Some(&next) = problem.negatives.get(slot + AHEAD) {
                    simd::prefetch(problem.item(next));
                }
                (weights[place], inverses[place]) = problem.logit::<FMA>(user, problem.negatives[slot], &mut bad);
            }
            let masked = problem.mask.map_or(&[][..], |mask| mask.places(pair));
            for &place in masked {
                weights[place as usize] = E::NEGATIVE_INFINITY;
            }
            let mut largest = E::ZERO;
            if problem.softmax.shift.is_none() {
                largest = E::NEGATIVE_INFINITY;
                for &logit in &weights {
                    largest = if logit > largest { logit } else { largest };
                }
                largest = problem.softmax.own_shift(largest, target);
            }
            let others = weigh::<E, FMA>(&mut weights, largest, problem.softmax.shift.unwrap_or(0));
            let closed =
                problem.softmax.close(others, target - largest, problem.bias(positive), largest, own - masked.len());
            loss += closed.loss;
            let upstream = &mut output.upstream[row * dim..(row + 1) * dim];
            upstream.fill(E::ZERO);
            let coefficient = closed.scale * closed.target;
            output.positives[row] = coefficient;
            simd::add_scaled::<E, FMA>(upstream, coefficient * target_inverse, problem.item(positive));
            let coefficients = &mut output.negatives[row * own..(row + 1) * own];
            for (place, slot) in slots.enumerate() {
                let coefficient = closed.scale * weights[place];
                coefficients[place] = coefficient;
                simd::add_scaled::<E, FMA>(
                    upstream,
                    coefficient * inverses[place],
                    problem.item(problem.negatives[slot]),
                );
            }
        }
        bad.map_or(Ok(loss), Err)
    }
}
