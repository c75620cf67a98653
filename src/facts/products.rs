//! The inner products of a row before and after a step, eight coordinates at a time.

use crate::lanes::{LANES, Lanes};

/// A stored number, read as a double without rounding.
pub(super) trait Stored: Copy + Send + Sync {
    /// 0.
    const ZERO: Self;
    /// The same number.
    fn wide(self) -> f64;
}

impl Stored for f64 {
    const ZERO: f64 = 0.0;
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

impl Stored for f32 {
    const ZERO: f32 = 0.0;
    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// Inner products of q and Δq = q' − q, each in double precision: a sum of rounded products in [`LANES`] parts. No term passes
/// more than min(d, ⌈d/8⌉ + 4) roundings, so that its error is at most γ_d times the sum of the magnitudes; the differences are
/// rounded once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Products {
    /// ‖q‖².
    pub before: f64,
    /// ‖q'‖².
    pub after: f64,
    /// ‖Δq‖².
    pub step: f64,
    /// ⟨q, Δq⟩.
    pub radial: f64,
}

impl Products {
    /// q, q': `[d]`.
    #[inline(always)]
    pub(super) fn of<E: Stored>(q: &[E], next: &[E]) -> Self {
        let mut sums = [Lanes::ZERO; 4];
        in_lanes(q, next, |q, next| {
            let step = next - q;
            sums[0] = sums[0] + q * q;
            sums[1] = sums[1] + next * next;
            sums[2] = sums[2] + step * step;
            sums[3] = sums[3] + q * step;
        });
        let [before, after, step, radial] = sums.map(Lanes::total);
        Products { before, after, step, radial }
    }

    /// Whether no square left the range of normal numbers, so that the bound holds. A row of zeros is not among them.
    #[inline(always)]
    pub(super) fn are_safe(&self) -> bool {
        [self.before, self.after, self.step].iter().all(|square| SAFE.contains(square))
    }
}

/// Sums of squares that lost nothing: a coordinate whose square is below 2⁻¹⁰²² adds less than d·2⁻¹⁰²² to them.
pub(super) const SAFE: std::ops::Range<f64> = 1e-270..1e300;

/// Eight coordinates of two rows of equal length at a time, the last ones filled up with zeros: they add nothing to a sum.
#[inline(always)]
pub(super) fn in_lanes<E: Stored>(a: &[E], b: &[E], mut each: impl FnMut(Lanes, Lanes)) {
    let (blocks, tail) = a.as_chunks::<LANES>();
    let (others, other_tail) = b.as_chunks::<LANES>();
    for (a, b) in blocks.iter().zip(others) {
        each(widened(a), widened(b));
    }
    if !tail.is_empty() {
        let (mut a, mut b) = ([E::ZERO; LANES], [E::ZERO; LANES]);
        a[..tail.len()].copy_from_slice(tail);
        b[..tail.len()].copy_from_slice(other_tail);
        each(widened(&a), widened(&b));
    }
}

#[inline(always)]
fn widened<E: Stored>(block: &[E; LANES]) -> Lanes {
    let mut out = Lanes::ZERO;
    for (out, x) in out.0.iter_mut().zip(block) {
        *out = x.wide();
    }
    out
}
