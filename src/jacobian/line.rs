//! A function along a line: its values at 0 and at ±h for h = s/4, s/16, s/64, …, each with a bound on its rounding.
//!
//! One sampling serves three questions. With D(h) = (f(h) − f(−h))/2h and G(h) = (f(h) − 2f(0) + f(−h))/h,
//!
//! ```text
//! D(h) = f'(0)              + h²·f⁽³⁾/6 + h⁴·f⁽⁵⁾/120 + …     the slope
//! G(h) = f'(0+) − f'(0−)    + h·f⁽²⁾    + h³·f⁽⁴⁾/12  + …     the jump of the slope at a kink, 0 where f is smooth
//! ```
//!
//! and both limits are taken by two Richardson steps (ratio 4: weights 16 and 256 for the slope, 4 and 64 for the
//! jump), at every h, and the h with the smallest error is believed (Ridders): so no scale has to be known. The error of a
//! limit R₂(h) is the sum of
//!
//! - **truncation**: the largest of |R₂(h) − R₁(h/4)|, the error of the lower order, and |R₂(h) − R₂(h/4)|, what the next
//!   finer triple says, times 1/(1 − 1/4), so that even convergence of order h is covered (a jump of the curvature at 0). A
//!   step that is too long, or has a kink within it, does not pass both by accident;
//! - **rounding of f**: the bounds of the values, sent through the same weights;
//! - **rounding of the extrapolation**: the weights sum to less than 2 and each term passes at most seven roundings:
//!   2·γ₇·max.
//!
//! Where the jump cannot be told from 0, half of it and of its error is added to the error of the slope: a subgradient may
//! be anywhere between the one-sided slopes. Where it can, the line has a kink and the slope is not defined.
//!
//! *Source*: Richardson 1911; Ridders 1982; the jump derived here.

use super::Estimate;
use crate::rounding::Precision;

/// Values of a function along a line.
#[derive(Debug, Clone)]
pub struct Line {
    /// f(0).
    pub(super) at: Estimate,
    /// The values at ±h, longest first.
    pub(super) steps: Vec<Step>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) h: f64,
    pub(super) up: Estimate,
    pub(super) down: Estimate,
}

/// What values along a line say about the slope at 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Slope {
    /// The function is smooth as far as its values tell.
    Smooth(Estimate),
    /// The one-sided slopes differ by this much.
    Kink(Estimate),
}

/// Longest steps that the sampling tries: h/s from 2⁻² to 2⁻³⁴, where even a slope that is 10⁻⁶ of a function's own size
/// changes it by no more than its rounding.
const LEVELS: i32 = 17;

/// The fewest levels: two consecutive triples.
const FEWEST: usize = 4;

impl Line {
    /// Evaluates a function along a line. `scale` > 0 is the longest distance over which it may change by its own size:
    /// it is no loss if the right one is shorter by orders of magnitude.
    ///
    /// ```
    /// use perpend::jacobian::{Estimate, Line, Slope};
    /// let u = f64::EPSILON / 2.0;
    /// let fast = |t: f64| (1e4 * t).sin();
    /// let line = Line::sample(|t| Estimate { value: fast(t), error: 1e4 * t.abs() * u + 2.0 * u }, 1.0);
    /// let Slope::Smooth(slope) = line.slope() else { panic!("no kink here") };
    /// assert!((slope.value - 1e4).abs() <= slope.error && slope.error < 1e-4);
    /// let bent = Line::sample(|t| Estimate { value: t.abs() + t, error: 2.0 * u * t.abs() }, 1.0);
    /// assert!(matches!(bent.slope(), Slope::Kink(jump) if (jump.value - 2.0).abs() <= jump.error));
    /// ```
    ///
    /// # Panics
    /// If the scale is not a positive number.
    pub fn sample(f: impl Fn(f64) -> Estimate, scale: f64) -> Line {
        assert!(scale > 0.0 && scale.is_finite(), "the scale of a line is a positive number, found {scale}");
        // Powers of two: divisions by them are exact.
        let longest = scale.log2().floor().exp2();
        let at = f(0.0);
        let mut steps: Vec<Step> = Vec::new();
        for level in 1..=LEVELS {
            let h = longest * 0.25_f64.powi(level);
            let step = Step { h, up: f(h), down: f(-h) };
            steps.push(step);
            // Where both ends are within rounding of f(0), shorter steps are so too.
            if steps.len() >= FEWEST && step.up.agrees(&at) && step.down.agrees(&at) {
                break;
            }
        }
        Line { at, steps }
    }

    /// The shortest step: what a function does within it cannot be seen.
    pub fn shortest(&self) -> f64 {
        self.steps.last().map_or(0.0, |step| step.h)
    }

    /// f(0).
    pub fn value(&self) -> Estimate {
        self.at
    }

    /// The slope at 0, or the kink there.
    pub fn slope(&self) -> Slope {
        let jump = self.jump();
        // Not `>`: what is not finite is no kink, but has an infinite error.
        if jump.value.abs() > jump.error {
            return Slope::Kink(jump);
        }
        let differences: Vec<Estimate> = self.steps.iter().map(Step::difference).collect();
        let slope = limit(&differences, 2);
        // What the jump's own best estimate leaves open is open for the slope.
        let error = slope.error + (jump.value.abs() + jump.error) / 2.0;
        Slope::Smooth(if error.is_finite() {
            Estimate { error, ..slope }
        } else {
            Estimate { value: f64::NAN, error: f64::INFINITY }
        })
    }

    /// f'(0+) − f'(0−).
    fn jump(&self) -> Estimate {
        let bends: Vec<Estimate> = self.steps.iter().map(|step| step.bend(self.at)).collect();
        limit(&bends, 1)
    }
}

impl Step {
    /// (f(h) − f(−h))/2h.
    fn difference(&self) -> Estimate {
        let value = (self.up.value - self.down.value) / (2.0 * self.h);
        let noise = (self.up.error + self.down.error) / (2.0 * self.h);
        Estimate { value, error: noise + Precision::F64.unit_roundoff() * value.abs() }
    }

    /// (f(h) − 2f(0) + f(−h))/h.
    fn bend(&self, at: Estimate) -> Estimate {
        let (up, down) = (self.up.value - at.value, self.down.value - at.value);
        let noise = (self.up.error + 2.0 * at.error + self.down.error) / self.h;
        // Two differences, and their sum, which is no larger than both together.
        let rounding = 2.0 * Precision::F64.unit_roundoff() * (up.abs() + down.abs()) / self.h;
        Estimate { value: (up + down) / self.h, error: noise + rounding }
    }
}

/// The limit for h → 0 of a sequence at h, h/4, h/16, … with an expansion in h^power, h^(power + 2).
fn limit(sequence: &[Estimate], power: i32) -> Estimate {
    let eliminate = |wide: &Estimate, narrow: &Estimate, power: i32| {
        let weight = 4.0_f64.powi(power);
        let value = (weight * narrow.value - wide.value) / (weight - 1.0);
        Estimate { value, error: (weight * narrow.error + wide.error) / (weight - 1.0) }
    };
    let step = |sequence: &[Estimate], power: i32| -> Vec<Estimate> {
        sequence.windows(2).map(|pair| eliminate(&pair[0], &pair[1], power)).collect()
    };
    let first = step(sequence, power);
    let second = step(&first, power + 2);
    let mut best = Estimate { value: f64::NAN, error: f64::INFINITY };
    for (k, pair) in second.windows(2).enumerate() {
        let value = pair[0].value;
        let truncation = (value - first[k + 1].value).abs().max((value - pair[1].value).abs() * 4.0 / 3.0);
        let largest = sequence[k..k + 3].iter().fold(0.0_f64, |largest, x| largest.max(x.value.abs()));
        let error = truncation + pair[0].error + 2.0 * Precision::F64.gamma(7) * largest;
        if error < best.error {
            best = Estimate { value, error };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jacobian::Rounded;
    use crate::number::{Field, Forward, Real};

    #[test]
    fn the_shortest_step_is_the_last_that_was_taken() {
        let line = Line::sample(|t| Estimate { value: t, error: 0.0 }, 1.0);
        let steps: Vec<f64> = line.steps.iter().map(|step| step.h).collect();
        assert!(steps.len() >= FEWEST && steps.is_sorted_by(|wide, narrow| wide > narrow));
        assert_eq!(line.shortest(), *steps.last().unwrap());
    }

    #[test]
    fn errors_of_values_are_divided_by_the_step_and_rounding_comes_on_top() {
        let known = |value: f64, error: f64| Estimate { value, error };
        let step = Step { h: 0.5, up: known(3.0, 0.25), down: known(2.0, 0.125) };
        let unit = Precision::F64.unit_roundoff();
        assert_eq!(step.difference(), known(1.0, 0.375 + unit));
        // (2 − 1 + 1 + …)/h: up by 2 and by 1 from the middle.
        assert_eq!(step.bend(known(1.0, 0.0625)), known(6.0, 1.0 + 12.0 * unit));
    }

    /// 3 + e at every step: (16·e + e)/15 after the first elimination and (256 + 1)/255 times that after the second, of the
    /// longest steps as well as of the shortest; nothing is truncated, and seven operations round numbers up to 3.
    #[test]
    fn a_limit_is_as_uncertain_as_its_terms_and_their_rounding() {
        let error = 0.5_f64.powi(20);
        let found = limit(&[Estimate { value: 3.0, error }; 4], 2);
        let expected = error * 17.0 / 15.0 * 257.0 / 255.0 + 6.0 * Precision::F64.gamma(7);
        assert_eq!(found.value, 3.0);
        approx::assert_relative_eq!(found.error, expected, max_relative = 1e-15);
        // 3 + h², 3 + h²/16, …: one elimination leaves 3, and the terms are up to 4.
        let terms = [1.0, 4.0, 16.0, 64.0].map(|level: f64| Estimate { value: 3.0 + level.powi(-2), error: 0.0 });
        let found = limit(&terms, 2);
        assert_eq!(found.value, 3.0);
        assert!(found.error >= 8.0 * Precision::F64.gamma(7) && found.error < 1e-14, "{found}");
    }

    /// A sum of a logistic curve of any steepness, a logarithm and a root.
    fn smooth<F: Real>(t: F, [a, b, c]: [f64; 3]) -> F {
        let number = F::from_f64;
        let logistic = F::one() / (F::one() + (number(-a) * t.clone() + number(b)).exp());
        let bowl = (t.clone() * t.clone() + number(c * c)).sqrt();
        logistic + (number(2.0) + t).ln() * bowl
    }

    fn line(numbers: [f64; 3]) -> Line {
        Line::sample(|t| smooth(Rounded::from_f64(t), numbers).into(), 1.0)
    }

    proptest! {
        /// Steepness and curvature over five orders of magnitude, the scale always 1.
        #[test]
        fn slopes_are_within_their_error_whatever_the_scale(
            a in 0.0f64..17.0, b in -3.0f64..3.0, c in 0.0f64..10.0, sign in prop::bool::ANY
        ) {
            let numbers = [if sign { a.exp2() } else { -a.exp2() }, b, (-c).exp2()];
            let truth: Estimate = smooth(Forward::new(Rounded::from_f64(0.0), Rounded::one()), numbers).slope.into();
            let Slope::Smooth(slope) = line(numbers).slope() else {
                return Err(TestCaseError::fail("a kink in a smooth function"));
            };
            prop_assert!(slope.agrees(&truth), "{slope} {truth}");
            prop_assert!(slope.error <= 1e-6 * (1.0 + truth.value.abs()), "{slope} {truth}");
        }

        /// |t| added to a smooth function: the jump is found, down to 10⁻⁶ of the function.
        #[test]
        fn kinks_are_seen_and_measured(a in 0.0f64..6.0, b in -3.0f64..3.0, c in 0.0f64..4.0, size in -19.0f64..3.0) {
            let size = size.exp2();
            let bent = |t: f64| {
                let t = Rounded::from_f64(t);
                let away = if t < Rounded::zero() { -t } else { t };
                (smooth(t, [a.exp2(), b, (-c).exp2()]) + Rounded::from_f64(size) * away).into()
            };
            let slope = Line::sample(bent, 1.0).slope();
            let Slope::Kink(jump) = slope else {
                return Err(TestCaseError::fail(format!("no kink of {size}: {slope:?}")));
            };
            prop_assert!((jump.value - 2.0 * size).abs() <= jump.error, "{jump} {size}");
        }

        /// A kink away from 0 leaves the slope at 0 as it is.
        #[test]
        fn a_kink_aside_does_not_disturb(place in -14.0f64..0.0, size in -3.0f64..3.0) {
            let place = place.exp2();
            let aside = |t: f64| {
                let t = Rounded::from_f64(t);
                let over = (t - Rounded::from_f64(place)).max(Rounded::zero());
                (t.exp() + Rounded::from_f64(size) * over).into()
            };
            match Line::sample(aside, 1.0).slope() {
                Slope::Smooth(slope) => {
                    prop_assert!((slope.value - 1.0).abs() <= slope.error, "{slope}");
                    prop_assert!(slope.error < 1e-6, "{slope}");
                }
                Slope::Kink(jump) => return Err(TestCaseError::fail(format!("{jump}"))),
            }
        }
    }

    #[test]
    fn a_slope_that_is_wrong_by_a_millionth_is_outside_the_error() {
        let numbers = [3.0, 0.5, 0.25];
        let truth = smooth(Forward::new(Rounded::from_f64(0.0), Rounded::one()), numbers).slope.value();
        let Slope::Smooth(slope) = line(numbers).slope() else {
            panic!("a kink in a smooth function")
        };
        let off = |factor: f64| (slope.value - factor * truth).abs();
        assert!(off(1.0) <= slope.error, "{slope}");
        assert!(off(1.0 + 1e-6) > 100.0 * slope.error && off(1.0 - 1e-6) > 100.0 * slope.error, "{slope}");
    }

    #[test]
    fn a_jump_of_the_curvature_is_within_the_error() {
        for bend in [1e-3, 1.0, 30.0] {
            let line = Line::sample(
                |t| {
                    let t = Rounded::from_f64(t);
                    (t.exp() + Rounded::from_f64(bend) * t.max(Rounded::zero()) * t).into()
                },
                1.0,
            );
            let Slope::Smooth(slope) = line.slope() else {
                panic!("the slope does not jump")
            };
            assert!((slope.value - 1.0).abs() <= slope.error && slope.error < 1e-6, "{bend}: {slope}");
        }
    }

    #[test]
    fn a_constant_has_slope_0_after_the_fewest_steps() {
        let line = Line::sample(|_| Estimate { value: 3.0, error: 0.0 }, 1.0);
        assert_eq!(line.steps.len(), FEWEST);
        assert_eq!(line.slope(), Slope::Smooth(Estimate { value: 0.0, error: 0.0 }));
    }

    #[test]
    fn what_is_not_finite_has_no_slope() {
        let line = Line::sample(|t| Estimate { value: (t - 1.0).ln(), error: 1e-16 }, 1.0);
        assert!(matches!(line.slope(), Slope::Smooth(Estimate { error: f64::INFINITY, .. })));
    }

    #[test]
    #[should_panic(expected = "positive number")]
    fn a_line_without_a_scale_is_refused() {
        Line::sample(|t| Estimate { value: t, error: 0.0 }, 0.0);
    }
}
