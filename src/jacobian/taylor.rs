//! The Taylor-rate test: how fast r(h) = max over both signs of |f(±h) − f(0) ∓ h·⟨∇f, v⟩| falls with h.
//!
//! A right gradient leaves a remainder of order 2 (or higher), a wrong one of order 1, however small its error: the line
//! h·|⟨δ, v⟩| comes out from under the parabola as h falls. Steps fall by 4, and the three shortest ones whose remainder is
//! above 16 times its round-off floor decide; with remainders known to within a 16th, the order over a factor 4 is known
//! to within
//!
//! ```text
//! log₄((1 + 1/16)/(1 − 1/16)) < 0.1
//! ```
//!
//! so that 3/2 divides 1 from 2. Both orders of three consecutive remainders must be on the same side.
//!
//! *Floor*: the rounding of the three numbers that are subtracted, ν(±h) + ν(0) + h·δ, where ν is the bound that comes with
//! the values and δ the error of ⟨∇f, v⟩.
//!
//! *Kinks* also leave a remainder of order 1, but in the even part of f, while a wrong slope is odd: any slope between the
//! one-sided ones leaves an odd part no larger than the even one. A line is `Kinked` if the odd part of the shortest of the
//! three remainders is not twice the even part (the factor is for the curvature). Two kinks at the same place may hide
//! each other, as in relu(t) − relu(−t) = t: values alone cannot tell a subgradient there from a wrong slope.
//!
//! *The radial direction apart*: along q a loss of cosines is constant. There is no remainder whose order could be
//! observed; f(±h) − f(0) and the slope itself must stay below the floor, and any slope is a finding ([`flatness`]).
//!
//! *Source*: the Taylor test of adjoint codes (Farrell, Ham, Funke, Rognes 2013, §5); floor and parts derived here.

use std::fmt;

use super::{Estimate, Line};
use crate::rounding::Precision;

/// A remainder counts above this many times its floor.
const ABOVE_FLOOR: f64 = 16.0;

/// The order that divides a wrong slope (1) from a right one (2).
const DIVIDE: f64 = 1.5;

/// What the remainder says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Order 2 or higher: the slope is right.
    Quadratic,
    /// Order 1: the slope is wrong.
    Linear,
    /// Order 1 because the function has a kink within reach.
    Kinked,
    /// Fewer than three remainders above the floor, or orders on both sides of 3/2.
    Inconclusive,
}

/// A Taylor-rate test and what it is based on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Taylor {
    /// What the remainder says.
    pub rate: Rate,
    /// The order observed over the two shortest steps above the floor.
    pub order: Option<f64>,
    /// The round-off floor of the remainder at the shortest step that decided (at the longest step where none did).
    pub floor: f64,
    /// By how much the slope is off where the order is 1: the shortest remainder above the floor, over its step.
    pub off: f64,
    /// Steps whose remainder was above the floor.
    pub above: usize,
    /// Steps made.
    pub steps: usize,
}

impl fmt::Display for Taylor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.order {
            Some(order) => write!(f, "order {order:.2}")?,
            None => f.write_str("no order")?,
        }
        write!(f, ", {} of {} remainders above the round-off floor {:.1e}", self.above, self.steps, self.floor)
    }
}

/// Judges a slope by the order of the remainder along a line.
///
/// ```
/// use perpend::jacobian::{Estimate, Line, taylor::{Rate, taylor}};
/// let line = Line::sample(|t| Estimate { value: t.exp(), error: 2.3e-16 }, 1.0);
/// assert_eq!(taylor(&line, Estimate { value: 1.0, error: 0.0 }).rate, Rate::Quadratic);
/// assert_eq!(taylor(&line, Estimate { value: 1.000001, error: 0.0 }).rate, Rate::Linear);
/// ```
pub fn taylor(line: &Line, slope: Estimate) -> Taylor {
    let u = Precision::F64.unit_roundoff();
    let remainders: Vec<Remainder> = line
        .steps
        .iter()
        .map(|step| {
            let (up, down) = (step.up.value - line.at.value, step.down.value - line.at.value);
            let straight = step.h * slope.value;
            let size = (up - straight).abs().max((down + straight).abs());
            let (odd, even) = (((up - down) / 2.0 - straight).abs(), ((up + down) / 2.0).abs());
            // Each side subtracts twice.
            let rounding = 2.0 * u * (up.abs().max(down.abs()) + straight.abs());
            let values = step.up.error.max(step.down.error) + line.at.error;
            Remainder { size, odd, even, floor: values + step.h * slope.error + rounding }
        })
        .collect();
    let is_above = |remainder: &Remainder| remainder.size > ABOVE_FLOOR * remainder.floor;
    let above = remainders.iter().filter(|remainder| is_above(remainder)).count();
    let shortest = remainders.iter().rposition(is_above);
    let floor = remainders.get(shortest.unwrap_or(0)).map_or(f64::INFINITY, |remainder| remainder.floor);
    let mut result = Taylor { rate: Rate::Inconclusive, order: None, floor, off: 0.0, above, steps: remainders.len() };
    let Some(last) = shortest.filter(|&last| last >= 2) else {
        return result;
    };
    let [long, middle, short] = &remainders[last - 2..=last] else {
        return result;
    };
    if !(is_above(long) && is_above(middle)) {
        return result;
    }
    let order = |wide: &Remainder, narrow: &Remainder| (wide.size / narrow.size).log2() / 2.0;
    let orders = [order(middle, short), order(long, middle)];
    result.order = Some(orders[0]);
    result.off = short.size / line.steps[last].h;
    result.rate = if orders.iter().all(|&order| order >= DIVIDE) {
        Rate::Quadratic
    } else if orders.iter().all(|&order| order < DIVIDE) {
        if short.odd > 2.0 * short.even {
            Rate::Linear
        } else {
            Rate::Kinked
        }
    } else {
        Rate::Inconclusive
    };
    result
}

struct Remainder {
    size: f64,
    odd: f64,
    even: f64,
    floor: f64,
}

/// Whether a function is constant along a line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Flatness {
    /// Values and slope stay below the floor: by how much they could have moved unseen, per unit of length.
    Flat {
        /// The resolution.
        floor: f64,
    },
    /// They do not: the worst of them over its floor.
    Sloped {
        /// The step h of the worst value; 0 where it is the slope.
        h: f64,
        /// |f(±h) − f(0)|, or |⟨∇f, v⟩|.
        moved: f64,
        /// What rounding can explain.
        floor: f64,
    },
}

/// Judges a direction along which the function must be constant, such as the radial direction of a loss of cosines.
///
/// ```
/// use perpend::jacobian::{Estimate, Line, taylor::{Flatness, flatness}};
/// let radial = |leak: f64| Line::sample(move |t| Estimate { value: 0.5 + leak * t, error: 1e-16 }, 1.0);
/// let no_slope = Estimate { value: 0.0, error: 1e-17 };
/// assert!(matches!(flatness(&radial(0.0), no_slope), Flatness::Flat { .. }));
/// assert!(matches!(flatness(&radial(1e-6), no_slope), Flatness::Sloped { .. }));
/// ```
pub fn flatness(line: &Line, slope: Estimate) -> Flatness {
    let values = line.steps.iter().flat_map(|step| {
        let side = |end: Estimate| (step.h, (end.value - line.at.value).abs(), end.error + line.at.error);
        [side(step.up), side(step.down)]
    });
    let all: Vec<_> = values.chain([(0.0, slope.value.abs(), slope.error)]).collect();
    // A value that is not finite is no smaller than any floor.
    let beyond = all
        .iter()
        .filter(|(_, moved, floor)| moved.partial_cmp(floor).is_none_or(std::cmp::Ordering::is_gt));
    match beyond.max_by(|a, b| (a.1 / a.2).total_cmp(&(b.1 / b.2))) {
        Some(&(h, moved, floor)) => Flatness::Sloped { h, moved, floor },
        None => {
            let finest = all.iter().map(|&(h, _, floor)| if h > 0.0 { floor / h } else { floor });
            Flatness::Flat { floor: finest.fold(f64::INFINITY, f64::min) }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jacobian::Rounded;
    use crate::number::{Forward, Real};

    fn smooth<F: Real>(t: F, [a, b]: [f64; 2]) -> F {
        let number = F::from_f64;
        (number(a) * t.clone()).exp() + number(b) * t.clone() / (t.clone() * t + F::one()).sqrt()
    }

    fn sampled(f: impl Fn(Rounded) -> Rounded) -> Line {
        Line::sample(|t| f(Rounded::from_f64(t)).into(), 1.0)
    }

    fn slope(numbers: [f64; 2]) -> Estimate {
        smooth(Forward::new(Rounded::from_f64(0.0), Rounded::from_f64(1.0)), numbers).slope.into()
    }

    #[test]
    fn a_value_may_move_by_the_errors_of_both_its_ends() {
        let line =
            |moved: f64| Line::sample(move |t| Estimate { value: if t == 0.0 { 0.0 } else { moved }, error: 1.0 }, 1.0);
        let level = Estimate { value: 0.0, error: 0.0 };
        assert!(matches!(flatness(&line(1.5), level), Flatness::Flat { .. }));
        assert!(matches!(flatness(&line(2.5), level), Flatness::Sloped { floor: 2.0, .. }));
    }

    /// Over a step of length h the errors of both ends hide a slope of their sum over h: least over the longest.
    #[test]
    fn what_is_flat_is_flat_to_the_errors_over_the_longest_step() {
        let line = Line::sample(|_| Estimate { value: 1.0, error: 0.375 }, 1.0);
        let longest = line.steps[0].h;
        let floor = |error: f64| flatness(&line, Estimate { value: 0.0, error });
        let finest = 0.75 / longest;
        assert!(matches!(floor(100.0), Flatness::Flat { floor } if floor == finest), "{:?}", floor(100.0));
        assert!(matches!(floor(finest / 2.0), Flatness::Flat { floor } if floor == finest / 2.0));
    }

    #[test]
    fn the_slope_that_is_seen_best_is_told() {
        let told = |error: f64| {
            let value = |t: f64| if t == 0.0 { 0.0 } else { 6.0 };
            let line = Line::sample(|t| Estimate { value: value(t), error }, 1.0);
            match flatness(&line, Estimate { value: 0.5, error: 0.125 }) {
                Flatness::Sloped { h, moved, floor } => (h > 0.0, moved, floor),
                Flatness::Flat { .. } => panic!("neither is flat"),
            }
        };
        // 6 of 4 and of 1 against 4 of 1.
        assert_eq!(told(2.0), (false, 0.5, 0.125));
        assert_eq!(told(0.5), (true, 6.0, 1.0));
    }

    proptest! {
        #[test]
        fn a_right_slope_leaves_order_2_and_a_wrong_one_order_1(
            a in 0.25f64..16.0, b in -4.0f64..4.0, error in -20.0f64..2.0, sign in prop::bool::ANY
        ) {
            let line = sampled(|t| smooth(t, [a, b]));
            let right = slope([a, b]);
            let found = taylor(&line, right);
            prop_assert_eq!(found.rate, Rate::Quadratic, "{}", found);
            let off = error.exp2() * a * if sign { 1.0 } else { -1.0 };
            let found = taylor(&line, Estimate { value: right.value + off, ..right });
            prop_assert_eq!(found.rate, Rate::Linear, "{} {}", found, off);
            prop_assert!((found.order.unwrap() - 1.0).abs() < 0.25, "{}", found);
        }

        /// The right side of max(t, 0) is a gradient as good as any: the kink is not blamed on it.
        #[test]
        fn a_kink_is_not_called_a_wrong_slope(a in 0.25f64..4.0, size in 0.001f64..2.0) {
            let line = sampled(|t| smooth(t, [a, 0.0]) + Rounded::from_f64(size) * t.max(Rounded::from_f64(0.0)));
            let found = taylor(&line, slope([a, 0.0]));
            prop_assert!(matches!(found.rate, Rate::Kinked | Rate::Inconclusive), "{:?}", found);
        }
    }

    #[test]
    fn a_slope_that_is_wrong_by_a_millionth_is_linear() {
        let numbers = [1.0, 2.0];
        let (line, right) = (sampled(|t| smooth(t, numbers)), slope(numbers));
        for factor in [1.0 + 1e-6, 1.0 - 1e-6, -1.0, 0.0] {
            let wrong = Estimate { value: factor * right.value, ..right };
            assert_eq!(taylor(&line, wrong).rate, Rate::Linear, "{factor}");
        }
        assert_eq!(taylor(&line, right).rate, Rate::Quadratic);
    }

    #[test]
    fn a_straight_line_has_no_remainder_to_judge_but_shows_a_wrong_slope() {
        let line = sampled(|t| Rounded::from_f64(3.0) * t + Rounded::from_f64(1.0));
        let found = taylor(&line, Estimate { value: 3.0, error: 0.0 });
        assert_eq!((found.rate, found.above), (Rate::Inconclusive, 0));
        assert_eq!(taylor(&line, Estimate { value: 3.000003, error: 0.0 }).rate, Rate::Linear);
    }

    #[test]
    fn a_slope_that_is_wrong_within_its_own_error_is_not_judged() {
        let line = sampled(|t| Rounded::from_f64(3.0) * t);
        assert_eq!(taylor(&line, Estimate { value: 3.1, error: 0.2 }).rate, Rate::Inconclusive);
    }

    #[test]
    fn any_slope_along_a_direction_that_should_be_flat_is_a_finding() {
        let constant = sampled(|t| {
            let q = t + Rounded::from_f64(1.0);
            q / (q * q).sqrt()
        });
        let none = Estimate { value: 0.0, error: 0.0 };
        let Flatness::Flat { floor } = flatness(&constant, none) else {
            panic!("it is flat")
        };
        assert!(floor < 1e-13, "{floor}");
        let Flatness::Sloped { h, .. } = flatness(&constant, Estimate { value: 1e-6, error: 1e-16 }) else {
            panic!("a slope that is not 0")
        };
        assert_eq!(h, 0.0);
        let leaking = sampled(|t| {
            let q = t + Rounded::from_f64(1.0);
            q / ((q * q).sqrt() + Rounded::from_f64(1e-6))
        });
        assert!(matches!(flatness(&leaking, none), Flatness::Sloped { h, .. } if h > 0.0));
        let undefined = Line::sample(|t| Estimate { value: (t - 0.1).sqrt(), error: 0.0 }, 1.0);
        assert!(matches!(flatness(&undefined, none), Flatness::Sloped { .. }));
    }
}
