//! The inner products of a row before and after a step, eight coordinates at a time.

use crate::lanes::{LANES, Lanes};

/// A stored number, read as a double without rounding.
pub(super) trait Stored: Copy + Send + Sync {
    /// The same number.
    fn wide(self) -> f64;
    /// ‖q‖², ‖q'‖², ‖Δq‖² and ⟨q, Δq⟩, in parts.
    #[inline(always)]
    fn sums(q: &[Self], next: &[Self], wide: &mut [Wide; 3]) -> [Lanes; 4] {
        sums_of(q, next, wide)
    }
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
    #[inline(always)]
    fn sums(q: &[f32], next: &[f32], wide: &mut [Wide; 3]) -> [Lanes; 4] {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature was just detected.
            return unsafe { avx512::sums(q, next) };
        }
        sums_of(q, next, wide)
    }
}

#[inline(always)]
fn sums_of<E: Stored>(q: &[E], next: &[E], wide: &mut [Wide; 3]) -> [Lanes; 4] {
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
    sums
}

/// The same sums of single-precision rows in registers alone: audits of large recordings spend most of their time here. The
/// compiler does not find these instructions by itself.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m256, __m512d, _mm512_add_pd, _mm512_cvtps_pd, _mm512_mul_pd, _mm512_setzero_pd, _mm512_sub_pd,
    };

    use crate::lanes::{LANES, Lanes};

    #[target_feature(enable = "avx512f")]
    #[inline]
    pub(super) fn sums(q: &[f32], next: &[f32]) -> [Lanes; 4] {
        let mut sums = [_mm512_setzero_pd(); 4];
        let (blocks, tail) = q.as_chunks::<LANES>();
        let (next_blocks, next_tail) = next.as_chunks::<LANES>();
        for (q, next) in blocks.iter().zip(next_blocks) {
            add(&mut sums, q, next);
        }
        if !tail.is_empty() {
            let (mut q, mut next) = ([0.0; LANES], [0.0; LANES]);
            q[..tail.len()].copy_from_slice(tail);
            next[..tail.len()].copy_from_slice(next_tail);
            add(&mut sums, &q, &next);
        }
        // SAFETY: both are eight doubles, and every bit pattern is one.
        sums.map(|sum| Lanes(unsafe { std::mem::transmute::<__m512d, [f64; LANES]>(sum) }))
    }

    #[target_feature(enable = "avx512f")]
    #[inline]
    fn add(sums: &mut [__m512d; 4], q: &[f32; LANES], next: &[f32; LANES]) {
        // SAFETY: both are eight floats, and every bit pattern is one.
        let [q, next] = [q, next].map(|row| unsafe { std::mem::transmute::<[f32; LANES], __m256>(*row) });
        let (q, next) = (_mm512_cvtps_pd(q), _mm512_cvtps_pd(next));
        let step = _mm512_sub_pd(next, q);
        for (sum, (a, b)) in sums.iter_mut().zip([(q, q), (next, next), (step, step), (q, step)]) {
            *sum = _mm512_add_pd(*sum, _mm512_mul_pd(a, b));
        }
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
        let [before, after, step, radial] = E::sums(q, next, wide).map(Lanes::total);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::{self, Task};

    /// What every instruction set is to give, to the last bit.
    struct Rows<'a>(&'a [f32], &'a [f32]);

    impl Task for Rows<'_> {
        type Output = [Lanes; 4];
        #[inline(always)]
        fn run<const FMA: bool>(self) -> [Lanes; 4] {
            <f32 as Stored>::sums(self.0, self.1, &mut [Wide::ZERO; 3])
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let number = |k: usize| ((k * 7919 % 10007) as f32).sin();
        for dim in 1..150 {
            let (q, next): (Vec<f32>, Vec<f32>) = (0..dim).map(|k| (number(k + 1), number(k + dim + 1))).unzip();
            let plain = sums_of(&q, &next, &mut [Wide::ZERO; 3]);
            assert_eq!(simd::run(Rows(&q, &next)), plain, "{dim}");
            // Not zero against zero, and the same numbers as those of doubles.
            let wide = |row: &[f32]| row.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
            assert_eq!(<f64 as Stored>::sums(&wide(&q), &wide(&next), &mut [Wide::ZERO; 3]), plain);
            assert!(plain.iter().all(|sum| sum.total() != 0.0));
        }
    }
}
