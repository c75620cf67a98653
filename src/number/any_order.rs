//! A bound on the rounding error of *any* right implementation of a formula, not of one order of its operations.
//!
//! [`Running`](super::Running) follows one program: it charges u·|result| for each operation, and another program that sums in
//! another order may be further off. Here every number carries, beside its value x and the bound e on its error,
//!
//! ```text
//! s ≥ |x|     the same arithmetic on the magnitudes of the terms: |a| + |b| for a + b, |a|·|b| for a·b
//! m           the additions on the way
//! ```
//!
//! and an operation charges c·u·s, the size of the terms before anything cancels:
//!
//! ```text
//! a + b       e_a + e_b + c·u·[(s_a + s_b) + m_b·s_a + m_a·s_b],   m = m_a + m_b + 1
//! a · b       |a|·e_b + |b|·e_a + e_a·e_b + c·u·s_a·s_b
//! a / b       (e_a + |a/b|·e_b)/(|b| − e_b) + c·u·s_a/|b|,   s = s_a/|b|
//! f(x)        the largest change of f over [x − e, x + e] + c·u·|f|,   s = |f|
//! ```
//!
//! The sum of n terms t has then been charged (n−1)·c·u·Σ|t|, the bound of recursive summation in every order, in pairs and in
//! blocks alike (Higham 2002, §4.2). Rounding a product is charged by the sizes of its factors, so that a product with a sum may be
//! multiplied out: (a − ⟨a,q̂⟩q̂)/‖q‖ and u/(‖u‖‖q‖) − s·q/‖q‖² are covered by one bound. A factor, a divisor and the argument
//! of a function are each one number, whatever they were made of: their errors are inherited by the values that they meet.
//! c = [`AnyOrder::ROUNDINGS`] = 4 roundings stand for one operation: a quotient is a product with a reciprocal elsewhere, a square
//! root a product with its reciprocal, a library's exponential is good to two units in the last place, settings are rounded when
//! they are read.
//!
//! The bound is of first order where it is computed in f64 (its own relative error is of the size of u) and says nothing where a
//! comparison could have come out otherwise: [`Running::watch`](super::Running::watch) tells.

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Field, Real, UNCERTAIN};

/// A value with a bound on the error of any implementation that works with `BITS` significant bits.
///
/// ```
/// use perpend::number::{AnyOrder, Real};
/// let number = AnyOrder::<53>::from_f64;
/// // 1e16 + 1 − 1e16 is 1 or 0 or 2, whichever two are added first.
/// let sum = number(1e16) + number(1.0) + number(-1e16);
/// assert!(sum.error() >= 2.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AnyOrder<const BITS: i32> {
    value: f64,
    error: f64,
    size: f64,
    additions: f64,
}

impl<const BITS: i32> AnyOrder<BITS> {
    /// Roundings that stand for one operation of the formula.
    pub const ROUNDINGS: f64 = 4.0;

    /// c·u.
    fn unit() -> f64 {
        Self::ROUNDINGS * Self::roundoff()
    }
    fn roundoff() -> f64 {
        0.5_f64.powi(BITS)
    }
    fn exact(value: f64) -> Self {
        AnyOrder { value, error: 0.0, size: value.abs(), additions: 0.0 }
    }
    /// The result of an operation on terms of this size that inherits this error.
    fn charged(value: f64, inherited: f64, size: f64, additions: f64) -> Self {
        let size = size.max(value.abs());
        let error = inherited + Self::unit() * size;
        // 0·∞: nothing is known.
        AnyOrder { value, error: if error.is_nan() { f64::INFINITY } else { error }, size, additions }
    }
    /// The computed value.
    pub fn value(self) -> f64 {
        self.value
    }
    /// The bound on the error of any implementation.
    pub fn error(self) -> f64 {
        self.error
    }
    /// The number as somebody else's rounding of it to u·|x| may have left it, standing on its own: what it was a sum of no longer
    /// matters.
    pub fn stored(self) -> Self {
        AnyOrder { error: self.error + Self::roundoff() * self.value.abs(), ..Self::exact(self.value) }
    }
    fn is_exact_zero(&self) -> bool {
        self.size == 0.0 && self.error == 0.0
    }
    fn notice(&self, other: &Self) {
        let room = self.error + other.error;
        if room > 0.0 && (self.value - other.value).abs() <= room {
            UNCERTAIN.set(true);
        }
    }
}

impl<const BITS: i32> Add for AnyOrder<BITS> {
    type Output = Self;
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        // A sum that starts at 0 has no addition there.
        if self.is_exact_zero() {
            return other;
        }
        if other.is_exact_zero() {
            return self;
        }
        let regrouped = other.additions * self.size + self.additions * other.size;
        Self::charged(
            self.value + other.value,
            self.error + other.error + Self::unit() * regrouped,
            self.size + other.size,
            self.additions + other.additions + 1.0,
        )
    }
}
impl<const BITS: i32> Sub for AnyOrder<BITS> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        self + -other
    }
}
impl<const BITS: i32> Mul for AnyOrder<BITS> {
    type Output = Self;
    #[inline(never)]
    fn mul(self, other: Self) -> Self {
        let inherited = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        let additions = self.additions + other.additions;
        Self::charged(self.value * other.value, inherited, self.size * other.size, additions)
    }
}
impl<const BITS: i32> Div for AnyOrder<BITS> {
    type Output = Self;
    #[inline(never)]
    fn div(self, other: Self) -> Self {
        let divisor = other.value.abs();
        let room = divisor - other.error;
        // A divisor that may be zero leaves nothing known about the quotient.
        let inherited = match room > 0.0 {
            true => (self.error + self.value.abs() / divisor * other.error) / room,
            false => f64::INFINITY,
        };
        Self::charged(self.value / other.value, inherited, self.size / divisor, self.additions)
    }
}
impl<const BITS: i32> Neg for AnyOrder<BITS> {
    type Output = Self;
    fn neg(self) -> Self {
        AnyOrder { value: -self.value, ..self }
    }
}
impl<const BITS: i32> PartialEq for AnyOrder<BITS> {
    #[inline(never)]
    fn eq(&self, other: &Self) -> bool {
        self.notice(other);
        self.value == other.value
    }
}
impl<const BITS: i32> PartialOrd for AnyOrder<BITS> {
    #[inline(never)]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.notice(other);
        self.value.partial_cmp(&other.value)
    }
}
impl<const BITS: i32> Field for AnyOrder<BITS> {
    fn zero() -> Self {
        Self::exact(0.0)
    }
    fn one() -> Self {
        Self::exact(1.0)
    }
    fn ratio(numerator: i64, denominator: i64) -> Self {
        match denominator {
            1 => Self::exact(numerator as f64),
            _ => Self::exact(numerator as f64) / Self::exact(denominator as f64),
        }
    }
    fn to_f64(&self) -> f64 {
        self.value
    }
}
impl<const BITS: i32> Real for AnyOrder<BITS> {
    fn from_f64(value: f64) -> Self {
        // What has more bits than the format is rounded when it is read.
        let fits = BITS >= 53 || f64::from(value as f32) == value;
        let error = if fits { 0.0 } else { Self::roundoff() * value.abs() };
        AnyOrder { error, ..Self::exact(value) }
    }
    fn sqrt(self) -> Self {
        let root = self.value.max(0.0).sqrt();
        // |√(x+δ) − √x| ≤ min(√δ, δ/√x).
        let inherited = if root > 0.0 { self.error / root } else { f64::INFINITY };
        Self::charged(root, inherited.min(self.error.sqrt()), root, 0.0)
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self::charged(value, value * self.error.exp_m1(), value, 0.0)
    }
    fn ln(self) -> Self {
        let room = self.value - self.error;
        let inherited = if room > 0.0 {
            (self.value / room).ln()
        } else {
            f64::INFINITY
        };
        Self::charged(self.value.ln(), inherited, 0.0, 0.0)
    }
    fn tanh(self) -> Self {
        // The slope 1/cosh² is largest at the point nearest to 0; a quotient of exponentials has the terms 1.
        let nearest = (self.value.abs() - self.error).max(0.0);
        let cosh = nearest.cosh();
        Self::charged(self.value.tanh(), self.error / (cosh * cosh), 1.0, 0.0)
    }
    fn max(self, other: Self) -> Self {
        let (larger, smaller) = if other.value > self.value {
            (other, self)
        } else {
            (self, other)
        };
        // |max(a, b) − max(a', b')| ≤ max(|a − a'|, |b − b'|); the smaller number counts only if it may be the larger.
        let reaches = smaller.value + smaller.error >= larger.value - larger.error;
        match reaches {
            true => AnyOrder {
                error: larger.error.max(smaller.error),
                size: larger.size.max(smaller.size),
                additions: larger.additions.max(smaller.additions),
                ..larger
            },
            false => larger,
        }
    }
    fn sign(self) -> Self {
        let sign = if self.value == 0.0 { 0.0 } else { self.value.signum() };
        // Where the sign is not certain it may be any: at most 2 off, and 1 from 0.
        let certain = self.value.abs() > self.error || self.error == 0.0;
        AnyOrder { error: if certain { 0.0 } else { 1.0 + sign.abs() }, ..Self::exact(sign) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::number::Big;

    type Single = AnyOrder<24>;

    /// Sums in a given order, halves first, and pairwise.
    fn sums(terms: &[f32]) -> Vec<f32> {
        fn halves(terms: &[f32]) -> f32 {
            match terms {
                [] => 0.0,
                [term] => *term,
                _ => halves(&terms[..terms.len() / 2]) + halves(&terms[terms.len() / 2..]),
            }
        }
        vec![terms.iter().sum(), terms.iter().rev().sum(), halves(terms)]
    }

    proptest! {
        /// The bound of one order covers the sums in all of them, and is no more than c times the textbook's.
        #[test]
        fn sums_in_every_order_are_covered(terms in proptest::collection::vec(-8.0f32..8.0, 1..40)) {
            let bound = terms.iter().fold(Single::zero(), |sum, &x| sum + Single::from_f64(x.into()));
            let exact: f64 = terms.iter().map(|&x| f64::from(x)).sum();
            for sum in sums(&terms) {
                prop_assert!((f64::from(sum) - exact).abs() <= bound.error());
            }
            let size: f64 = terms.iter().map(|&x| f64::from(x).abs()).sum();
            let textbook = (terms.len() as f64 - 1.0) * size * 0.5_f64.powi(24);
            prop_assert!(bound.error() <= Single::ROUNDINGS * textbook * (1.0 + 1e-10));
        }

        /// The gradient of a cosine by two formulas in f32: both are within the bound of the first.
        #[test]
        fn another_formula_for_the_gradient_of_a_cosine_is_covered(
            u in proptest::collection::vec(-2.0f32..2.0, 3),
            q in proptest::collection::vec(-2.0f32..2.0, 3),
        ) {
            use crate::geometry::{dot, normalise, norm, through_normalisation};
            prop_assume!(norm(&u) > 0.1 && norm(&q) > 0.1);
            fn projected<F: Real>(u: &[f32], q: &[f32]) -> Vec<F> {
                let number = |v: &[f32]| v.iter().map(|&x| F::from_f64(x.into())).collect::<Vec<_>>();
                let (direction, length) = normalise(&number(q));
                through_normalisation(&normalise(&number(u)).0, &direction, &length)
            }
            let exact: Vec<Big> = projected(&u, &q);
            let bound: Vec<Single> = projected(&u, &q);
            let (lengths, s) = ((norm(&u), norm(&q)), dot(&u, &q));
            for k in 0..3 {
                let other = u[k] / (lengths.0 * lengths.1) - s / (lengths.0 * lengths.1) * q[k] / (lengths.1 * lengths.1);
                let own: f32 = projected::<f32>(&u, &q)[k];
                for computed in [other, own] {
                    prop_assert!((f64::from(computed) - exact[k].to_f64()).abs() <= bound[k].error());
                }
            }
        }
    }

    /// A mistake of a thousandth is a thousand times outside, also where the terms nearly cancel.
    #[test]
    fn the_bound_is_no_licence() {
        let number = AnyOrder::<53>::from_f64;
        let difference = number(1.0).exp() - number(1.0 - 1e-6).exp();
        assert!(difference.error() < 1e-3 * difference.value() / 1000.0, "{difference:?}");
    }

    #[test]
    fn what_is_not_touched_stays_exact() {
        let q = AnyOrder::<53>::from_f64(0.1);
        assert_eq!((q + AnyOrder::zero() * q).error(), 0.0);
        assert!(AnyOrder::<24>::from_f64(0.1).error() > 0.0);
        assert_eq!((AnyOrder::<53>::one() / (q - q)).error(), f64::INFINITY);
    }
}
