//! Eight doubles at once: arithmetic that becomes vector instructions where it is run as a [`Task`](crate::simd::Task).
//!
//! Products and sums are rounded apart (no fused multiply-add) and sums are kept in [`LANES`] partial sums, so that every
//! result is the same to the last bit on every processor.

use std::ops::{Add, Mul, Sub};

/// Doubles that are worked on together: one 512-bit register.
pub(crate) const LANES: usize = 8;

/// Eight doubles, aligned to a cache line.
#[derive(Clone, Copy, Debug, PartialEq)]
#[repr(C, align(64))]
pub(crate) struct Lanes(pub(crate) [f64; LANES]);

impl Lanes {
    /// Zeros.
    pub(crate) const ZERO: Lanes = Lanes([0.0; LANES]);

    /// The same number in every lane.
    #[inline(always)]
    pub(crate) fn splat(x: f64) -> Self {
        Lanes([x; LANES])
    }

    #[inline(always)]
    pub(crate) fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        let mut out = self;
        for k in 0..LANES {
            out.0[k] = f(self.0[k], other.0[k]);
        }
        out
    }

    /// The sum of all lanes, as a balanced tree.
    #[inline(always)]
    pub(crate) fn total(self) -> f64 {
        let [a, b, c, d, e, f, g, h] = self.0;
        ((a + e) + (c + g)) + ((b + f) + (d + h))
    }
}

impl Add for Lanes {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}
impl Sub for Lanes {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, |a, b| a - b)
    }
}
impl Mul for Lanes {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        self.zip(other, |a, b| a * b)
    }
}

/// The relative error of [`exp`], in unit roundoffs; derived there.
pub(crate) const EXP_ROUNDINGS: f64 = 3.0;

/// eˣ without a branch, for x ≤ 709; below −708 the result is e^(−708).
///
/// x = k·ln 2 + r with |r| ≤ ln(2)/2, and eʳ by its Taylor polynomial of degree 13. *Relative error* below 3u:
/// - k·ln 2 is subtracted in two parts, of which the first is exact (33 bits times k, then Sterbenz): u·|r| ≤ 0.35u;
/// - truncation |r|¹⁴/14! < 0.06u;
/// - eʳ = 1 + r·q: one rounding of the result, and the rest, at most 0.42 of it, with two roundings of its own and those of
///   q = 1 + r/2·(…) ≤ 1.5u: u + 0.42·2.5u < 2.1u;
/// - the power of two is exact.
#[inline(always)]
pub(crate) fn exp(x: f64) -> f64 {
    const INVERSE: f64 = std::f64::consts::LOG2_E;
    // fdlibm's split of ln 2: the first part has 33 bits.
    const HIGH: f64 = 6.931_471_803_691_238e-1;
    const LOW: f64 = 1.908_214_929_270_587_7e-10;
    // 1.5·2⁵²: adding it rounds to an integer and leaves that in the lowest bits.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    const BIAS: u64 = 1023;
    const FRACTION_BITS: u32 = 52;
    const COEFFICIENTS: [f64; 14] = taylor();
    // Not `clamp`, which panics, nor `max`, which treats what is not a number apart.
    let x = if x < -708.0 { -708.0 } else { x };
    let shifted = x * INVERSE + MAGIC;
    let k = shifted - MAGIC;
    let r = (x - k * HIGH) - k * LOW;
    let mut sum = COEFFICIENTS[13];
    let mut degree = 13;
    while degree > 0 {
        degree -= 1;
        sum = sum * r + COEFFICIENTS[degree];
    }
    sum * f64::from_bits(shifted.to_bits().wrapping_add(BIAS) << FRACTION_BITS)
}

/// 1/k! for k = 0, …, 13.
const fn taylor() -> [f64; 14] {
    let mut coefficients = [1.0; 14];
    let (mut k, mut factorial) = (1, 1.0);
    while k < 14 {
        // Exact: 13! has 33 bits.
        factorial *= k as f64;
        coefficients[k] = 1.0 / factorial;
        k += 1;
    }
    coefficients
}

/// tanh x without a branch, from e^(−2|x|). The error is a few roundings of 1, not of the result.
#[inline(always)]
pub(crate) fn tanh(x: f64) -> f64 {
    let fading = exp(-2.0 * x.abs());
    ((1.0 - fading) / (1.0 + fading)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::{Big, Field, Real};
    use crate::simd::{Task, run};

    const U: f64 = f64::EPSILON / 2.0;

    #[test]
    fn the_exponential_is_within_its_bound() {
        let mut worst = 0.0_f64;
        // Steps that are no multiple of ln 2 or of a power of two, through all binades of the result.
        for k in -20_000..=20_000 {
            let x = f64::from(k) * 0.0353 + f64::from(k % 7) * 1e-4;
            let exact = Real::exp(<Big as Real>::from_f64(x));
            let off = ((<Big as Real>::from_f64(exp(x)) - exact.clone()) / exact).to_f64().abs();
            assert!(off <= EXP_ROUNDINGS * U, "{x}: {} u", off / U);
            worst = worst.max(off);
        }
        // Not better than one rounding: something was computed.
        assert!(worst > 0.5 * U, "{worst}");
        assert_eq!((exp(0.0), exp(-0.0)), (1.0, 1.0));
        assert_eq!(exp(-1e6), exp(-708.0));
        assert!(exp(-708.0) > 0.0 && exp(-708.0) < 1e-307);
        assert!(exp(f64::NAN).is_nan());
    }

    #[test]
    fn the_hyperbolic_tangent_is_within_a_few_roundings_of_one() {
        for k in -4000..=4000 {
            let x = f64::from(k) * 0.00617;
            // e^(−2|x|) ≤ 1 carries 3u; difference, sum and quotient one rounding each, of numbers that are at most 1 and 2.
            assert!((tanh(x) - x.tanh()).abs() <= 10.0 * U, "{x}");
        }
        assert_eq!((tanh(400.0), tanh(-400.0), tanh(0.0)), (1.0, -1.0, 0.0));
        assert!(tanh(-0.0).is_sign_negative() && tanh(f64::NAN).is_nan());
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        struct Everything([f64; 64]);
        impl Task for Everything {
            type Output = Vec<u64>;
            #[inline(always)]
            fn run<const FMA: bool>(self) -> Vec<u64> {
                let mut sum = Lanes::ZERO;
                let mut out = Vec::new();
                for block in self.0.as_chunks::<LANES>().0 {
                    sum = sum + Lanes(*block) * Lanes(*block) - Lanes::splat(0.1);
                    out.extend(block.map(|x| exp(x).to_bits()));
                    out.extend(block.map(|x| tanh(x).to_bits()));
                }
                out.push(sum.total().to_bits());
                out
            }
        }
        let values = std::array::from_fn(|k| (k as f64 - 30.0) * 0.37);
        assert_eq!(run(Everything(values)), Everything(values).run::<false>());
    }
}
