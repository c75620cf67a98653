//! The inner products of a row before and after a step, eight coordinates at a time.

use crate::lanes::{LANES, Lanes};

/// A stored number, read as a double without rounding.
pub(super) trait Stored: Copy + Send + Sync {
    /// The same number.
    fn wide(self) -> f64;
}

impl Stored for f64 {
    #[inline(always)]
    fn wide(self) -> f64 {
        self
    }
}

impl Stored for f32 {
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
    pub(super) fn of<E: Stored>(q: &[E], next: &[E], wide: &mut [Wide; 3]) -> Self {
        let mut sums = [Lanes::ZERO; 4];
        let [wide_q, wide_next, wide_step] = wide;
        for (q, next) in chunks(q, next) {
            let (q, next) = (widen(q, wide_q), widen(next, wide_next));
            let step = difference(q, next, wide_step);
            add_products(&mut sums[0], q, q);
            add_products(&mut sums[1], next, next);
            add_products(&mut sums[2], step, step);
            add_products(&mut sums[3], q, step);
        }
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

/// Coordinates that are widened at a time.
const TOGETHER: usize = 64;

/// Room for coordinates as doubles, aligned to cache lines: what is written to them and read again at once must not straddle two.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Wide([f64; TOGETHER]);

impl Wide {
    pub(super) const ZERO: Wide = Wide([0.0; TOGETHER]);
}

/// At most [`TOGETHER`] coordinates as doubles, filled up with zeros to a multiple of [`LANES`]: they add nothing to a sum.
///
/// Widening, differences and each sum of products have a loop of their own: so they become vector instructions, where a loop
/// that does all of it is taken apart. No closure stands between: it would not be compiled for the instruction set.
#[inline(always)]
pub(super) fn widen<'a, E: Stored>(row: &[E], wide: &'a mut Wide) -> &'a [f64] {
    let Wide(wide) = wide;
    for (wide, x) in wide.iter_mut().zip(row) {
        *wide = x.wide();
    }
    let filled = row.len().next_multiple_of(LANES);
    for zero in &mut wide[row.len()..filled] {
        *zero = 0.0;
    }
    &wide[..filled]
}

/// Two rows of equal length, [`TOGETHER`] coordinates at a time.
#[inline(always)]
pub(super) fn chunks<'a, E>(a: &'a [E], b: &'a [E]) -> impl Iterator<Item = (&'a [E], &'a [E])> {
    a.chunks(TOGETHER).zip(b.chunks(TOGETHER))
}

/// b − a, coordinate by coordinate.
#[inline(always)]
pub(super) fn difference<'a>(a: &[f64], b: &[f64], out: &'a mut Wide) -> &'a [f64] {
    let out = &mut out.0[..a.len()];
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = b - a;
    }
    out
}

/// a + b, coordinate by coordinate.
#[inline(always)]
pub(super) fn sum<'a>(a: &[f64], b: &[f64], out: &'a mut Wide) -> &'a [f64] {
    let out = &mut out.0[..a.len()];
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        *out = a + b;
    }
    out
}

/// Adds the products of the coordinates, [`LANES`] at a time.
#[inline(always)]
pub(super) fn add_products(sums: &mut Lanes, a: &[f64], b: &[f64]) {
    let mut parts = sums.0;
    for (a, b) in a.as_chunks::<LANES>().0.iter().zip(b.as_chunks::<LANES>().0) {
        for k in 0..LANES {
            parts[k] += a[k] * b[k];
        }
    }
    sums.0 = parts;
}
