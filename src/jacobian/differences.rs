//! Derivatives from function values on a scale that is known: central differences with Richardson extrapolation, value and error estimate together.
//!
//! With D(h) = (f(h) − f(−h))/2h and f⁽ᵏ⁾ the k-th derivative at 0,
//!
//! ```text
//! D(h)  = f' + h²·f⁽³⁾/6 + h⁴·f⁽⁵⁾/120 + h⁶·f⁽⁷⁾/5040 + …
//! R₁(h) = (4·D(h/2) − D(h))/3          = f' − h⁴·f⁽⁵⁾/480 − h⁶·f⁽⁷⁾/16128 − …
//! R₂    = (16·R₁(h/2) − R₁(h))/15      = f' + h⁶·f⁽⁷⁾/322560 + …
//! ```
//!
//! and the value returned is R₂, from six values of f at ±h, ±h/2, ±h/4. Its error has three parts:
//!
//! - **Truncation**: the difference of the two levels, |R₂ − R₁(h/2)| ≈ h⁴·|f⁽⁵⁾|/7680, the error of the lower one.
//! - **Rounding of f**: values known to within ν put at most ν/h, 2ν/h and 4ν/h into D(h), D(h/2) and D(h/4), hence
//!   (4·2+1)/3 = 3 and (4·4+2)/3 = 6 times ν/h into R₁(h) and R₁(h/2), and (16·6+3)/15 = 6.6·ν/h into R₂.
//! - **Rounding of the extrapolation**: the weights of the three differences sum to (5/3)·(17/15) < 2 in magnitude and
//!   each passes at most seven roundings (h is a power of two, so that divisions by it are exact): 2·γ₇·max|D|.
//!
//! *Step*: where f changes by its own size over a distance s (its Taylor coefficients in t/s do not grow), the error of
//! R₁ is of the order (h/s)⁴·|f|/s and its noise u·|f|/h; they balance at h = s·u^(1/5), rounded to a power of two. What is
//! left of the truncation of R₂, of the order (h/s)⁶·|f|/(322560·s) with 7! coefficients of order 1, is then
//! 10⁻⁹ times the rounding floor: where f⁽⁵⁾ happens to vanish the estimate is still honest.
//! f must be smooth between −h and h: a kink there is the caller's to exclude.
//!
//! *Source*: Richardson 1911; Press et al., *Numerical Recipes*, §5.7 (Ridders); constants derived here.

use super::Estimate;
use crate::rounding::Precision;

/// f'(0) of a function whose values are correct to one rounding, u·|f|.
///
/// `scale` > 0 is the distance over which f changes by its own size.
///
/// ```
/// use perpend::jacobian::directional_derivative;
/// let slope = directional_derivative(|t| 1.0 / (2.0 + t), 2.0);
/// assert!((slope.value + 0.25).abs() <= slope.error && slope.error < 1e-11);
/// ```
///
/// # Panics
/// If the scale is not a positive number.
pub fn directional_derivative(f: impl Fn(f64) -> f64, scale: f64) -> Estimate {
    extrapolate(f, scale, |largest| Precision::F64.unit_roundoff() * largest)
}

/// f'(0) of a function whose values near 0 are known to within `noise`, such as the bound that
/// [`Running`](crate::number::Running) arithmetic gives.
///
/// ```
/// use perpend::jacobian::directional_derivative_within;
/// // Values rounded to multiples of 2⁻²⁰ are off by 2⁻²¹ at most.
/// let rounded = |t: f64| (t.exp() * 2.0_f64.powi(20)).round() / 2.0_f64.powi(20);
/// let slope = directional_derivative_within(rounded, 1.0, 2.0_f64.powi(-21));
/// assert!((slope.value - 1.0).abs() <= slope.error);
/// ```
///
/// # Panics
/// If the scale is not a positive number.
pub fn directional_derivative_within(f: impl Fn(f64) -> f64, scale: f64, noise: f64) -> Estimate {
    extrapolate(f, scale, |_| noise)
}

/// The largest distance from 0 at which the derivative functions evaluate f for this scale: a power of two near
/// scale·u^(1/5).
///
/// # Panics
/// If the scale is not a positive number.
pub fn reach(scale: f64) -> f64 {
    assert!(scale > 0.0 && scale.is_finite(), "the scale of a derivative is a positive number, found {scale}");
    (scale.log2() + Precision::F64.unit_roundoff().log2() / 5.0).round().exp2()
}

fn extrapolate(f: impl Fn(f64) -> f64, scale: f64, noise: impl FnOnce(f64) -> f64) -> Estimate {
    let h = reach(scale);
    let values = places(h).map(f);
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    slope(h, &values, noise(largest))
}

/// Where the slope is found from the values of f: h, −h, h/2, −h/2, h/4, −h/4.
pub(super) fn places(h: f64) -> [f64; PLACES] {
    [h, -h, h / 2.0, -h / 2.0, h / 4.0, -h / 4.0]
}

/// How many values one slope takes.
pub(super) const PLACES: usize = 6;

/// f'(0) from the values of f at [`places`]`(h)`, h a power of two, known to within `noise`.
pub(super) fn slope(h: f64, values: &[f64; PLACES], noise: f64) -> Estimate {
    let [up, down, half_up, half_down, quarter_up, quarter_down] = values;
    // The widths 2h, h and h/2.
    let (coarse, middle, fine) =
        ((up - down) / (2.0 * h), (half_up - half_down) / h, (quarter_up - quarter_down) / (h / 2.0));
    let lower = |wide: f64, narrow: f64| (4.0 * narrow - wide) / 3.0;
    let (first, second) = (lower(coarse, middle), lower(middle, fine));
    let value = (16.0 * second - first) / 15.0;
    if !value.is_finite() {
        return Estimate { value: f64::NAN, error: f64::INFINITY };
    }
    let truncation = (value - second).abs();
    let floor = 6.6 * noise / h;
    let steepest = coarse.abs().max(middle.abs()).max(fine.abs());
    Estimate { value, error: truncation + floor + 2.0 * Precision::F64.gamma(7) * steepest }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::number::{Dual, Field, Rational, Real, Running};

    /// A smooth function with a pole at distance `pole` or more, an exponential, a root and a logarithm.
    fn smooth<F: Real>(t: F, [a, b, c]: [f64; 3]) -> F {
        let number = F::from_f64;
        let growth = (number(a) * t.clone()).exp();
        let bowl = (t.clone() * t.clone() + number(b) * t.clone() + number(3.0)).sqrt();
        growth.clone() * number(c) + (growth + bowl.clone()).ln() - t / bowl
    }

    proptest! {
        #[test]
        fn the_error_of_a_smooth_function_is_within_the_estimate(a in -2.0f64..2.0, b in -2.0f64..2.0, c in -4.0f64..4.0) {
            let noise = smooth(Running::<53>::from_f64(0.0), [a, b, c]).error();
            // Twice: the bound at ±h differs from that at 0 by a factor 1 + O(h).
            let estimate = directional_derivative_within(|t| smooth(t, [a, b, c]), 1.0, 2.0 * noise);
            let truth = smooth(Dual::variable(0.0, 1.0), [a, b, c]).derivative();
            prop_assert!((estimate.value - truth).abs() <= estimate.error, "{estimate:?} {truth}");
            prop_assert!(estimate.error < 1e-9, "{estimate:?}");
        }

        /// Values computed exactly and rounded once: the rounding floor u·|f|/h is what is left, at every scale.
        #[test]
        fn one_rounding_is_within_the_estimate(
            p in prop::array::uniform5(-20i64..=20), q in 1i64..=20, exponent in -30i32..=30
        ) {
            let scale = 2.0_f64.powi(exponent);
            // (Σ p_k x^k)/(1 + q·x²/400) at x = t/scale.
            let exact = |t: f64| {
                let x = Rational::ratio((t / scale * 2.0_f64.powi(40)) as i64, 1 << 40);
                let top = p.iter().rev().fold(Rational::zero(), |sum, &p| sum * x.clone() + Rational::ratio(p, 1));
                (top / (Rational::one() + Rational::ratio(q, 400) * x.clone() * x)).to_f64()
            };
            let estimate = directional_derivative(exact, scale);
            let truth = p[1] as f64 / scale;
            prop_assert!((estimate.value - truth).abs() <= estimate.error, "{estimate:?} {truth}");
            let size = p.iter().map(|p| p.abs()).max().unwrap_or(0).max(1) as f64;
            prop_assert!(estimate.error * scale <= 1e-10 * size, "{estimate:?}");
        }

        /// The truncation part: steps far too long for the function are admitted to be.
        #[test]
        fn a_scale_that_is_too_long_shows_in_the_estimate(frequency in 1.0f64..200.0, phase in 0.0f64..6.0) {
            let noise = 4.0 * Precision::F64.unit_roundoff() * (1.0 + phase);
            let estimate = directional_derivative_within(|t| (frequency * t + phase).sin(), 1.0, noise);
            let truth = frequency * phase.cos();
            prop_assert!((estimate.value - truth).abs() <= estimate.error, "{estimate:?} {truth}");
        }
    }

    #[test]
    fn a_parabola_has_no_truncation_and_a_quintic_is_extrapolated_away() {
        assert_eq!(directional_derivative(|t| 3.0 * t * t + 2.0 * t, 1.0).value, 2.0);
        let quintic = directional_derivative(|t| t.powi(5) + t, 1.0);
        assert!((quintic.value - 1.0).abs() <= quintic.error && quintic.error < 1e-12, "{quintic:?}");
    }

    #[test]
    fn a_wrong_derivative_is_outside_the_estimate() {
        let estimate = directional_derivative(f64::exp, 1.0);
        for wrong in [-1.0, 0.0, 1.0 + 1e-9, 2.0] {
            assert!((estimate.value - wrong).abs() > estimate.error, "{wrong} was let pass: {estimate:?}");
        }
    }

    #[test]
    fn what_is_not_finite_has_no_derivative() {
        assert_eq!(directional_derivative(|t| (t - 1.0).ln(), 1.0).error, f64::INFINITY);
    }

    #[test]
    #[should_panic(expected = "positive number")]
    fn a_scale_of_zero_is_refused() {
        directional_derivative(|t| t, 0.0);
    }
}
