//! Rows of a table as they enter the inner products, and the way back of a gradient.

use super::element::Element;
use super::simd::{self, Task};
use super::team::{self, Team};

/// What a score is made of.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Similarity {
    /// ⟨u, q⟩/(max(‖u‖, ε)·max(‖q‖, ε)); ε = 0 for none.
    Cosine {
        /// ε ≥ 0: a shorter row enters as q/ε.
        epsilon: f64,
    },
    /// ⟨u, q⟩.
    Dot,
}

/// 1/max(‖q‖, ε), and whether the norm itself stands there (then the gradient has to be projected).
#[derive(Clone, Copy)]
pub(super) struct Inverse<E> {
    pub value: E,
    pub normalised: bool,
}

impl Similarity {
    /// What a row is multiplied by, from its squared norm. Not finite where a cosine of the row does not exist.
    #[inline(always)]
    pub(super) fn inverse<E: Element>(self, row: &[E], squared: E) -> Inverse<E> {
        match self {
            // 0·‖q‖² is NaN for a row that is not finite.
            Similarity::Dot => Inverse { value: E::ONE + E::ZERO * squared, normalised: false },
            Similarity::Cosine { epsilon } => {
                let norm = if safe(squared) {
                    squared.sqrt()
                } else {
                    scaled_norm(row)
                };
                let epsilon = E::from_f64(epsilon);
                if norm < epsilon {
                    Inverse { value: E::ONE / epsilon, normalised: false }
                } else {
                    // An infinite norm has the inverse 0, which would pass for a direction.
                    let value = if norm.is_finite() { E::ONE / norm } else { norm };
                    Inverse { value, normalised: true }
                }
            }
        }
    }
}

/// Whether a sum of squares neither overflowed nor lost squares that matter.
#[inline(always)]
fn safe<E: Element>(squared: E) -> bool {
    let (low, high) = if size_of::<E>() == 4 {
        (1e-30, 1e36)
    } else {
        (1e-280, 1e300)
    };
    squared > E::from_f64(low) && squared < E::from_f64(high)
}

/// ‖q‖ of a row whose squares overflow or underflow.
#[cold]
fn scaled_norm<E: Element>(row: &[E]) -> E {
    let largest = row.iter().fold(0.0_f64, |largest, x| largest.max(x.to_f64().abs()));
    if largest == 0.0 || !largest.is_finite() || row.iter().any(|x| !x.is_finite()) {
        return E::from_f64(if largest == 0.0 { 0.0 } else { f64::INFINITY });
    }
    E::from_f64(row.iter().map(|x| (x.to_f64() / largest).powi(2)).sum::<f64>().sqrt() * largest)
}

/// Copies rows of a table `[N, d]` as they enter the inner products: `[ids, d]`.
///
/// # Errors
/// The first row that has no direction or is not finite.
pub(super) fn enter<E: Element>(
    team: &Team,
    table: &[E],
    dim: usize,
    ids: &[u32],
    similarity: Similarity,
    target: &mut [E],
) -> Result<(), u32> {
    let shares = team.shares(ids.len());
    let mut jobs: Vec<_> = team::split(target, shares.iter().map(|share| share.len() * dim))
        .into_iter()
        .zip(shares)
        .map(|(target, share)| (Enter { table, dim, ids: &ids[share], similarity, target }, None))
        .collect();
    team.each(&mut jobs, |(enter, bad)| *bad = simd::run(Enter { target: &mut *enter.target, ..*enter }));
    jobs.into_iter().find_map(|(_, bad)| bad).map_or(Ok(()), Err)
}

struct Enter<'a, E> {
    table: &'a [E],
    dim: usize,
    ids: &'a [u32],
    similarity: Similarity,
    target: &'a mut [E],
}

/// How many rows ahead memory is asked for: enough lines in flight to hide its latency, few enough to stay in the first cache.
pub(super) const AHEAD: usize = 16;

impl<E: Element> Task for Enter<'_, E> {
    type Output = Option<u32>;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> Option<u32> {
        let row = |id: u32| &self.table[id as usize * self.dim..][..self.dim];
        let mut bad = None;
        for (place, (&id, target)) in self.ids.iter().zip(self.target.chunks_exact_mut(self.dim)).enumerate() {
            if let Some(&next) = self.ids.get(place + AHEAD) {
                simd::prefetch(row(next));
            }
            let q = row(id);
            let (_, squared) = simd::dot_and_square::<E, FMA>(q, q);
            let inverse = self.similarity.inverse(q, squared).value;
            if !inverse.is_finite() {
                bad = bad.or(Some(id));
            }
            for (target, &x) in target.iter_mut().zip(q) {
                *target = x * inverse;
            }
        }
        bad
    }
}

/// Turns the gradient with respect to the row as it entered into the gradient with respect to the row:
/// (a − ⟨a, q̂⟩q̂)/‖q‖ on cosines.
#[inline(always)]
pub(super) fn leave<E: Element, const FMA: bool>(similarity: Similarity, q: &[E], a: &mut [E]) {
    if similarity == Similarity::Dot {
        return;
    }
    let (product, squared) = simd::dot_and_square::<E, FMA>(a, q);
    let inverse = similarity.inverse(q, squared);
    let scale = inverse.value;
    if inverse.normalised {
        // ⟨a, q̂⟩·q̂ = (⟨a, q⟩/‖q‖)·(q/‖q‖), with each division of its own: ‖q‖² may leave the range.
        let radial = -(product * scale);
        for (a, &x) in a.iter_mut().zip(q) {
            *a = radial.mul_add::<FMA>(x * scale, *a) * scale;
        }
    } else {
        for a in a {
            *a = *a * scale;
        }
    }
}
