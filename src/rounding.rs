//! Rounding: unit roundoffs, the accumulation factor γ_k, and tolerances that carry their derivation.
//!
//! With u the unit roundoff of a format (half the gap between 1 and the next number), every operation satisfies
//! fl(a∘b) = (a∘b)(1+δ), |δ| ≤ u, and k operations in a row multiply the error by at most
//! γ_k = k·u / (1 − k·u) (Higham, *Accuracy and Stability of Numerical Algorithms*, 2002, Lemma 3.1).

use std::fmt;

use serde::{Deserialize, Serialize};

/// A binary floating-point storage format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Precision {
    /// bfloat16: 8 significant bits.
    #[serde(rename = "bfloat16", alias = "bf16")]
    Bf16,
    /// IEEE binary16: 11 significant bits.
    #[serde(rename = "float16", alias = "f16")]
    F16,
    /// IEEE binary32: 24 significant bits.
    #[serde(rename = "float32", alias = "f32")]
    F32,
    /// IEEE binary64: 53 significant bits.
    #[serde(rename = "float64", alias = "f64")]
    F64,
}

impl Precision {
    /// All formats, coarsest first.
    pub const ALL: [Precision; 4] = [Precision::Bf16, Precision::F16, Precision::F32, Precision::F64];

    /// Significant bits p, the implicit one included.
    pub const fn bits(self) -> u32 {
        match self {
            Precision::Bf16 => 8,
            Precision::F16 => 11,
            Precision::F32 => 24,
            Precision::F64 => 53,
        }
    }

    /// Unit roundoff u = 2^−p.
    ///
    /// ```
    /// use perpend::rounding::Precision;
    /// assert_eq!(Precision::F64.unit_roundoff(), f64::EPSILON / 2.0);
    /// assert_eq!(Precision::F32.unit_roundoff(), f64::from(f32::EPSILON) / 2.0);
    /// assert_eq!(Precision::Bf16.unit_roundoff(), 1.0 / 256.0);
    /// assert_eq!(Precision::F16.unit_roundoff(), 1.0 / 2048.0);
    /// ```
    pub fn unit_roundoff(self) -> f64 {
        0.5_f64.powi(self.bits() as i32)
    }

    /// Half the smallest positive (subnormal) number: the absolute error of an operation that underflows.
    pub fn underflow(self) -> f64 {
        // Powers of two by hand: 2^-1075 is below the smallest f64, so the f64 entry is the smallest f64 itself.
        match self {
            Precision::Bf16 => 0.5_f64.powi(134),
            Precision::F16 => 0.5_f64.powi(25),
            Precision::F32 => 0.5_f64.powi(150),
            Precision::F64 => f64::from_bits(1),
        }
    }

    /// The nearest number of this format, the even one of two; what lies beyond its range is not cut off.
    ///
    /// ```
    /// use perpend::rounding::Precision;
    /// assert_eq!(Precision::Bf16.round(1.0 + 1.0 / 256.0), 1.0);
    /// assert_eq!(Precision::Bf16.round(1.0 + 3.0 / 256.0), 1.0 + 1.0 / 64.0);
    /// assert_eq!(Precision::F16.round(0.75 * 0.5_f64.powi(24)), 0.5_f64.powi(24));
    /// assert_eq!(Precision::F32.round(0.1), f64::from(0.1_f32));
    /// ```
    pub fn round(self, value: f64) -> f64 {
        if self == Precision::F64 || value == 0.0 || !value.is_finite() {
            return value;
        }
        // The exponent from its bits: a logarithm may round to the next one.
        let exponent = ((value.to_bits() >> 52) & 0x7ff) as i32 - 1023;
        let ulp = 2.0_f64.powi(exponent + 1 - self.bits() as i32).max(2.0 * self.underflow());
        (value / ulp).round_ties_even() * ulp
    }

    /// γ_k = k·u/(1 − k·u) in this format; infinite once k·u reaches 1, where the bound says nothing.
    ///
    /// ```
    /// use perpend::rounding::Precision;
    /// assert!((Precision::F64.gamma(3) / (3.0 * Precision::F64.unit_roundoff()) - 1.0).abs() < 1e-15);
    /// assert_eq!(Precision::Bf16.gamma(256), f64::INFINITY);
    /// ```
    pub fn gamma(self, operations: usize) -> f64 {
        let ku = operations as f64 * self.unit_roundoff();
        if ku < 1.0 { ku / (1.0 - ku) } else { f64::INFINITY }
    }

    /// The name used in trajectory files.
    pub const fn name(self) -> &'static str {
        match self {
            Precision::Bf16 => "bfloat16",
            Precision::F16 => "float16",
            Precision::F32 => "float32",
            Precision::F64 => "float64",
        }
    }

    /// Reads a name such as `float32`, `torch.bfloat16`, `bf16`.
    pub fn parse(name: &str) -> Option<Precision> {
        match name.trim().rsplit('.').next()?.to_ascii_lowercase().as_str() {
            "bfloat16" | "bf16" => Some(Precision::Bf16),
            "float16" | "f16" | "fp16" | "half" => Some(Precision::F16),
            "float32" | "f32" | "fp32" | "float" => Some(Precision::F32),
            "float64" | "f64" | "fp64" | "double" => Some(Precision::F64),
            _ => None,
        }
    }

    /// The gap between neighbouring numbers of this format around x, and its largest number.
    fn gap_and_largest(self, x: f64) -> (f64, f64) {
        // The exponents of the smallest and the largest normal number.
        let (lowest, highest) = match self {
            Precision::Bf16 | Precision::F32 => (-126, 127),
            Precision::F16 => (-14, 15),
            Precision::F64 => (-1022, 1023),
        };
        let bits = self.bits() as i32;
        // Below the normal numbers of f64 the exponent field is 0, and the gap is that of the lowest exponent.
        let exponent = (((x.to_bits() >> 52) & 0x7ff) as i32 - 1023).max(lowest);
        let largest = 2.0_f64.powi(highest) * (2.0 - 2.0_f64.powi(1 - bits));
        (2.0_f64.powi(exponent + 1 - bits), largest)
    }

    /// The number of this format nearest to x, ties to even; infinite beyond the largest. Exact for formats below f64.
    ///
    /// ```
    /// use perpend::rounding::Precision;
    /// assert_eq!(Precision::Bf16.nearest(1.0 + 1.0 / 256.0), 1.0);
    /// assert_eq!(Precision::Bf16.nearest(1.0 + 1.0 / 255.0), 1.0 + 1.0 / 128.0);
    /// assert_eq!(Precision::F16.nearest(65520.0), f64::INFINITY);
    /// ```
    pub fn nearest(self, x: f64) -> f64 {
        self.in_gaps(x, f64::round_ties_even)
    }

    /// One of the two neighbours of x in this format: the one above where `chance`, uniform in [0, 1), is below
    /// (x − below)/(above − below), so that the mean is x.
    ///
    /// ```
    /// use perpend::rounding::Precision;
    /// let x = 1.0 + 1.0 / 512.0;
    /// assert_eq!([0.2, 0.3].map(|chance| Precision::Bf16.stochastic(x, chance)), [1.0 + 1.0 / 128.0, 1.0]);
    /// ```
    pub fn stochastic(self, x: f64, chance: f64) -> f64 {
        self.in_gaps(x, |count| {
            let below = count.floor();
            below + f64::from(u8::from(chance < count - below))
        })
    }

    fn in_gaps(self, x: f64, round: impl Fn(f64) -> f64) -> f64 {
        if !x.is_finite() || self == Precision::F64 {
            return x;
        }
        // Dividing by a power of two and multiplying with it are exact: x has at most 53 bits, and no gap is subnormal.
        let (gap, largest) = self.gap_and_largest(x);
        let rounded = round(x / gap) * gap;
        if rounded.abs() > largest {
            f64::INFINITY.copysign(x)
        } else {
            rounded
        }
    }

    /// How many significant bits a number uses (0 for zero).
    pub fn significant_bits(value: f64) -> u32 {
        let bits = value.to_bits();
        let fraction = bits & ((1 << 52) - 1);
        match (bits >> 52) & 0x7ff {
            0 if fraction == 0 => 0,
            // A subnormal has no implicit bit: count from its leading bit to its last set bit.
            0 => 64 - fraction.leading_zeros() - fraction.trailing_zeros(),
            _ if fraction == 0 => 1,
            _ => 53 - fraction.trailing_zeros(),
        }
    }

    /// The coarsest format whose significand holds numbers of this many bits.
    pub fn holding(bits: u32) -> Precision {
        Self::ALL.into_iter().find(|precision| bits <= precision.bits()).unwrap_or(Precision::F64)
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The roundoffs of what is stored, of what gradients are computed in, and of what sums are accumulated in.
///
/// They differ in mixed precision: a bf16 table is rounded to 8 bits, but dot products are accumulated in f32, so that a
/// bound which grows with the dimension must not be multiplied by 2⁻⁸.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Arithmetic {
    /// Format of stored parameters.
    pub storage: Precision,
    /// Coarsest format that a gradient passes through.
    pub gradient: Precision,
    /// Format in which inner products are accumulated.
    pub accumulation: Precision,
}

impl Arithmetic {
    /// Everything in one format.
    pub const fn uniform(precision: Precision) -> Self {
        Arithmetic { storage: precision, gradient: precision, accumulation: precision }
    }

    /// Storage in `precision`, accumulation in f32 at least (what every framework's half-precision products do).
    pub fn stored_in(precision: Precision) -> Self {
        Arithmetic { storage: precision, gradient: precision, accumulation: precision.max(Precision::F32) }
    }
}

/// An allowed residual together with how it was derived.
///
/// ```
/// use perpend::rounding::Tolerance;
/// let tolerance = Tolerance::new(1e-15, "4·u·‖q‖²");
/// assert_eq!(tolerance.to_string(), "1.0e-15 = 4·u·‖q‖²");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Tolerance {
    /// The largest residual that rounding can explain.
    pub allowed: f64,
    /// The formula, in words and symbols.
    pub derivation: String,
}

impl Tolerance {
    /// A tolerance with its derivation.
    pub fn new(allowed: f64, derivation: impl Into<String>) -> Self {
        Tolerance { allowed, derivation: derivation.into() }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e} = {}", self.allowed, self.derivation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_roundoff_is_half_the_gap_above_one() {
        assert_eq!(1.0 + Precision::F64.unit_roundoff(), 1.0);
        assert!(1.0 + 1.5 * Precision::F64.unit_roundoff() > 1.0);
        assert_eq!(half::bf16::EPSILON.to_f64() / 2.0, Precision::Bf16.unit_roundoff());
        assert_eq!(half::f16::EPSILON.to_f64() / 2.0, Precision::F16.unit_roundoff());
    }

    #[test]
    fn what_is_not_finite_is_not_rounded() {
        for format in [Precision::Bf16, Precision::F16, Precision::F32, Precision::F64] {
            assert_eq!([f64::INFINITY, f64::NEG_INFINITY].map(|x| format.round(x)), [f64::INFINITY, f64::NEG_INFINITY]);
            assert!(format.round(f64::NAN).is_nan());
            assert_eq!(format.round(-0.0).to_bits(), (-0.0_f64).to_bits());
        }
    }

    #[test]
    fn underflow_is_half_the_smallest_subnormal() {
        assert_eq!(Precision::F32.underflow(), f64::from(f32::from_bits(1)) / 2.0);
        assert_eq!(Precision::F16.underflow(), half::f16::from_bits(1).to_f64() / 2.0);
        assert_eq!(Precision::Bf16.underflow(), half::bf16::from_bits(1).to_f64() / 2.0);
    }

    #[test]
    fn significant_bits_find_the_narrow_formats_and_survive_scaling() {
        for scale in [1.0, 2.0, 0.5_f64.powi(40)] {
            let bf16 = half::bf16::from_f64(std::f64::consts::PI).to_f64() * scale;
            assert_eq!(Precision::holding(Precision::significant_bits(bf16)), Precision::Bf16);
            let f16 = half::f16::from_f64(1.0 / 3.0).to_f64() * scale;
            assert_eq!(Precision::holding(Precision::significant_bits(f16)), Precision::F16);
            let f32 = f64::from(0.1_f32) * scale;
            assert_eq!(Precision::holding(Precision::significant_bits(f32)), Precision::F32);
            assert_eq!(Precision::holding(Precision::significant_bits(0.1 * scale)), Precision::F64);
        }
        assert_eq!(Precision::significant_bits(0.0), 0);
        assert_eq!(Precision::significant_bits(f64::from_bits(1)), 1);
        assert_eq!(Precision::significant_bits(-1.0), 1);
    }

    /// Rounding to a narrow format against the crate that defines the formats, on singles (which it rounds correctly).
    #[test]
    fn numbers_are_rounded_to_the_nearest_of_a_format() {
        let mut bits = 1_u32;
        for _ in 0..200_000 {
            // A linear congruence walks through all bit patterns: normal, subnormal, infinite.
            bits = bits.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = f32::from_bits(bits);
            if !x.is_nan() {
                assert_eq!(
                    Precision::Bf16.nearest(x.into()).to_bits(),
                    half::bf16::from_f32(x).to_f64().to_bits(),
                    "{x:e}"
                );
                assert_eq!(
                    Precision::F16.nearest(x.into()).to_bits(),
                    half::f16::from_f32(x).to_f64().to_bits(),
                    "{x:e}"
                );
            }
        }
        // Just above a tie of bf16, by less than a single resolves.
        assert_eq!(Precision::Bf16.nearest(1.0 + 1.0 / 256.0 + 2.0_f64.powi(-50)), 1.0 + 1.0 / 128.0);
    }

    #[test]
    fn stochastic_rounding_keeps_what_fits_and_gives_both_neighbours_their_share() {
        for format in [Precision::Bf16, Precision::F16] {
            for x in [0.0, 1.0, -0.375, 2.0_f64.powi(-20)] {
                assert_eq!([0.0, 0.999].map(|chance| format.stochastic(x, chance)), [x; 2]);
            }
            let gap = 2.0 * format.unit_roundoff();
            for sign in [1.0, -1.0] {
                let x = sign * (1.0 + 0.3 * gap);
                let mean = (0..1000).map(|k| format.stochastic(x, (f64::from(k) + 0.5) / 1000.0)).sum::<f64>() / 1000.0;
                // A thousand equally spaced chances resolve a share to a thousandth of the gap.
                assert!((mean - x).abs() <= gap / 1000.0, "{mean} {x}");
            }
        }
    }

    #[test]
    fn rounding_is_that_of_the_formats() {
        for k in 0..20_000_i32 {
            // Signs, seventeen decades, ties and near ties.
            let value = (f64::from(k) * 0.7).sin() * 10.0_f64.powi(k % 17 - 12);
            assert_eq!(Precision::F32.round(value), f64::from(value as f32));
            let narrow = f64::from(value as f32);
            if narrow.abs() < 6e4 {
                assert_eq!(Precision::F16.round(narrow), half::f16::from_f32(narrow as f32).to_f64(), "{narrow:e}");
            }
            assert_eq!(Precision::Bf16.round(narrow), half::bf16::from_f32(narrow as f32).to_f64(), "{narrow:e}");
        }
    }

    #[test]
    fn gamma_grows_with_the_number_of_operations() {
        for precision in Precision::ALL {
            assert!(precision.gamma(1) > precision.unit_roundoff());
            assert!(precision.gamma(2) > 2.0 * precision.gamma(1) * (1.0 - precision.unit_roundoff()));
        }
    }

    #[test]
    fn names_are_read_as_the_frameworks_write_them() {
        for precision in Precision::ALL {
            assert_eq!(Precision::parse(precision.name()), Some(precision));
            assert_eq!(Precision::parse(&format!("torch.{precision}")), Some(precision));
        }
        assert_eq!(Precision::parse("int8"), None);
    }
}
