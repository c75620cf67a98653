//! The two number types of the kernel, with what the blocks below need of them.

use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::product::View;

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// `f32` or `f64`.
pub trait Element:
    sealed::Sealed
    + Copy
    + Default
    + Debug
    + PartialOrd
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// −∞, whose exponential is exactly 0: the logit of a candidate that does not count.
    const NEGATIVE_INFINITY: Self;
    /// Unit roundoff u.
    const UNIT_ROUNDOFF: f64;
    /// Rows of a panel: the height of the products' inner block, 6 vector registers.
    const PANEL: usize;
    /// The smallest binary exponent that [`Element::exp2_shifted`] returns; below it the result is 0.
    const LOWEST: i32;
    /// How many binary orders of magnitude the weights of one softmax may span where one constant shift serves all rows:
    /// a quarter of the exponents is left for products of weights, so that none of them becomes subnormal.
    const SPAN: f64;

    /// The nearest number.
    fn from_f64(x: f64) -> Self;
    /// Exactly the same number.
    fn to_f64(self) -> f64;
    /// √x.
    fn sqrt(self) -> Self;
    /// |x|.
    fn abs(self) -> Self;
    /// Whether the number is neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// self·a + b: rounded once if `FMA`, twice if not.
    fn mul_add<const FMA: bool>(self, a: Self, b: Self) -> Self;
    /// 2^(x − offset) for x ≤ offset + 1, relative error at most [`EXP2_ROUNDINGS`]·u; exactly 0 where the result's exponent would
    /// be below [`Element::LOWEST`], at −∞ and at NaN.
    ///
    /// x = n + f with n the nearest integer and |f| ≤ ½ (both exact); 2^f by its Taylor series; n − offset is added to the
    /// exponent, so that the offset costs no rounding.
    fn exp2_shifted<const FMA: bool>(self, offset: i32) -> Self;
    #[doc(hidden)]
    fn product(target: &mut [Self], add: bool, left: View<'_, Self>, right: View<'_, Self>, scale: Self);
}

/// Relative error of [`Element::exp2_shifted`] in units of u. With p = 2^f ∈ \[0.70, 1.42\] the last addition errs by u·p, the rounded
/// coefficients by (√2 − 1)·u, the inner Horner steps by at most 0.5·u (twice that where products are rounded on their
/// own), and the series is cut at 0.1·u (Lagrange: (ln 2/2)^(D+1)/(D+1)!·√2): together u·(p + 1.6), at most 3.3·u·p.
pub const EXP2_ROUNDINGS: f64 = 4.0;

/// ln2^k/k!, the coefficients of 2^f.
const fn taylor<const D: usize>() -> [f64; D] {
    let mut coefficients = [1.0; D];
    let mut k = 1;
    while k < D {
        coefficients[k] = coefficients[k - 1] * std::f64::consts::LN_2 / k as f64;
        k += 1;
    }
    coefficients
}

macro_rules! element {
    ($float:ident, $bits:ident, $mantissa:literal, degree $degree:literal, panel $panel:literal, lowest $lowest:literal, span $span:literal) => {
        impl Element for $float {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;
            const NEGATIVE_INFINITY: Self = $float::NEG_INFINITY;
            const UNIT_ROUNDOFF: f64 = $float::EPSILON as f64 / 2.0;
            const PANEL: usize = $panel;
            const LOWEST: i32 = $lowest;
            const SPAN: f64 = $span;

            #[inline(always)]
            fn from_f64(x: f64) -> Self {
                x as $float
            }
            #[inline(always)]
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            #[inline(always)]
            fn sqrt(self) -> Self {
                $float::sqrt(self)
            }
            #[inline(always)]
            fn abs(self) -> Self {
                $float::abs(self)
            }
            #[inline(always)]
            fn is_finite(self) -> bool {
                $float::is_finite(self)
            }
            #[inline(always)]
            fn mul_add<const FMA: bool>(self, a: Self, b: Self) -> Self {
                if FMA {
                    $float::mul_add(self, a, b)
                } else {
                    self * a + b
                }
            }
            #[inline(always)]
            fn exp2_shifted<const FMA: bool>(self, offset: i32) -> Self {
                // Adding 1.5·2^mantissa rounds to an integer and leaves it in the low bits of the sum.
                const ROUND: $float = 1.5 * (1u64 << $mantissa) as $float;
                const C: [f64; $degree + 1] = taylor();
                let sum = self + ROUND;
                let fraction = self - (sum - ROUND);
                let mut power = C[$degree] as $float;
                let mut k = $degree;
                while k > 0 {
                    k -= 1;
                    power = Element::mul_add::<FMA>(power, fraction, C[k] as $float);
                }
                let exponent = sum.to_bits().wrapping_sub(ROUND.to_bits()).wrapping_sub(offset as $bits);
                let scaled = $float::from_bits(power.to_bits().wrapping_add(exponent << $mantissa));
                if self >= (offset + Self::LOWEST) as $float {
                    scaled
                } else {
                    0.0
                }
            }
            fn product(target: &mut [Self], add: bool, left: View<'_, Self>, right: View<'_, Self>, scale: Self) {
                super::product::faer(target, add, left, right, scale);
            }
        }
    };
}

element!(f32, u32, 23, degree 7, panel 96, lowest -125, span 96.0);
element!(f64, u64, 52, degree 13, panel 48, lowest -1021, span 768.0);

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error of exp2 over [−60, 0], in units of u, against the standard library in f64 or a
    /// doubled argument reduction.
    fn worst<E: Element, const FMA: bool>(exact: impl Fn(f64) -> f64) -> f64 {
        (0..200_000)
            .map(|k| E::from_f64(-60.0 * f64::from(k) / 200_000.0))
            .map(|x| (x.exp2_shifted::<FMA>(0).to_f64() / exact(x.to_f64()) - 1.0).abs() / E::UNIT_ROUNDOFF)
            .fold(0.0, f64::max)
    }

    #[test]
    fn the_exponential_keeps_its_bound_with_and_without_fused_products() {
        // The standard library's exp2 is allowed 1 ulp = 2 u in f64; in f32 it is exact by comparison.
        for (error, allowed) in [
            (worst::<f32, true>(f64::exp2), EXP2_ROUNDINGS),
            (worst::<f32, false>(f64::exp2), EXP2_ROUNDINGS),
            (worst::<f64, true>(f64::exp2), EXP2_ROUNDINGS + 2.0),
            (worst::<f64, false>(f64::exp2), EXP2_ROUNDINGS + 2.0),
        ] {
            assert!(error <= allowed, "{error} u, allowed {allowed} u");
            assert!(error > 0.4, "{error} u: nothing was rounded, so nothing was compared");
        }
    }

    #[test]
    fn the_offset_moves_the_exponent_exactly() {
        for x in [-20.3_f32, -1.0, -0.5, 0.0, 0.49, 7.75] {
            assert_eq!(x.exp2_shifted::<true>(9), x.exp2_shifted::<true>(0) / 512.0);
        }
        assert_eq!(1000.0_f64.exp2_shifted::<true>(1000), 1.0);
    }

    #[test]
    fn what_is_too_small_and_what_does_not_count_is_exactly_zero() {
        assert_eq!((-125.0_f32).exp2_shifted::<true>(0), 2.0_f32.powi(-125));
        assert_eq!((-125.1_f32).exp2_shifted::<true>(0), 0.0);
        assert_eq!((-1e30_f32).exp2_shifted::<true>(0), 0.0);
        assert_eq!(f32::NEG_INFINITY.exp2_shifted::<false>(29), 0.0);
        assert_eq!(f64::NEG_INFINITY.exp2_shifted::<true>(29), 0.0);
        assert_eq!(f64::NAN.exp2_shifted::<true>(29), 0.0);
    }
}
