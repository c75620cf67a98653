//! The number types of the reference core: two small traits and what implements them.
//!
//! | type | trait | for |
//! |---|---|---|
//! | `f64`, `f32` | [`Real`] | training |
//! | [`Dual`] | [`Real`] | exact directional derivatives |
//! | [`Forward`] | [`Real`] | a dual number over any of the others: with [`Running`] inside, a derivative with its rounding |
//! | [`Running`] | [`Real`] | a value with a bound on the rounding error of the operations that made it |
//! | [`AnyOrder`] | [`Real`] | a value with a bound on the rounding error of any implementation, whatever the order of its sums |
//! | [`Big`] | [`Real`] | 256 significant bits: golden values |
//! | [`Rational`] | [`Field`] | exact witnesses |

mod any_order;
mod big;
mod forward;

use std::cell::Cell;
use std::cmp::Ordering;
use std::fmt::Debug;
use std::ops::{Add, Div, Mul, Neg, Sub};

use num_dual::DualNum;
use num_traits::{One, ToPrimitive, Zero};

pub use any_order::AnyOrder;
pub use big::Big;
pub use forward::Forward;

/// An ordered field: + − × ÷ and comparison.
pub trait Field:
    Clone
    + Debug
    + PartialOrd
    + Send
    + Sync
    + 'static
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
{
    /// 0.
    fn zero() -> Self;
    /// 1.
    fn one() -> Self;
    /// The quotient of two integers.
    fn ratio(numerator: i64, denominator: i64) -> Self;
    /// The nearest f64 of the value (for reports).
    fn to_f64(&self) -> f64;
}

/// A field with the functions that losses and encoders need.
pub trait Real: Field {
    /// A number given in double precision, rounded if the type is narrower.
    fn from_f64(value: f64) -> Self;
    /// √x.
    fn sqrt(self) -> Self;
    /// eˣ.
    fn exp(self) -> Self;
    /// ln x.
    fn ln(self) -> Self;
    /// tanh x, from e^(−2|x|), which cannot overflow; the error is a few roundings of 1, not of the result.
    fn tanh(self) -> Self {
        let negative = self < Self::zero();
        let size = if negative { -self } else { self };
        let fading = (-(size.clone() + size)).exp();
        let value = (Self::one() - fading.clone()) / (Self::one() + fading);
        if negative { -value } else { value }
    }
    /// The larger of two.
    fn max(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
    /// The smaller of two.
    fn min(self, other: Self) -> Self {
        -(-self).max(-other)
    }
    /// −1, 0 or 1.
    fn sign(self) -> Self {
        match self.partial_cmp(&Self::zero()) {
            Some(Ordering::Greater) => Self::one(),
            Some(Ordering::Less) => -Self::one(),
            _ => Self::zero(),
        }
    }
}

macro_rules! native {
    ($($type:ident),*) => {$(
        impl Field for $type {
            fn zero() -> Self { 0.0 }
            fn one() -> Self { 1.0 }
            fn ratio(numerator: i64, denominator: i64) -> Self { numerator as $type / denominator as $type }
            fn to_f64(&self) -> f64 { f64::from(*self) }
        }
        impl Real for $type {
            fn from_f64(value: f64) -> Self { value as $type }
            fn sqrt(self) -> Self { $type::sqrt(self) }
            fn exp(self) -> Self { $type::exp(self) }
            fn ln(self) -> Self { $type::ln(self) }
            fn tanh(self) -> Self { $type::tanh(self) }
        }
    )*};
}
native!(f32, f64);

/// An exact fraction of big integers.
///
/// ```
/// use perpend::number::{Field, Rational};
/// let third = Rational::ratio(1, 3);
/// assert_eq!(third.clone() + third.clone() + third, Rational::one());
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rational(num_rational::BigRational);

macro_rules! forward {
    ($type:ident, $($trait:ident :: $method:ident),*) => {$(
        impl $trait for $type {
            type Output = $type;
            fn $method(self, other: $type) -> $type { $type($trait::$method(self.0, other.0)) }
        }
    )*
        impl Neg for $type {
            type Output = $type;
            fn neg(self) -> $type { $type(-self.0) }
        }
    };
}
forward!(Rational, Add::add, Sub::sub, Mul::mul, Div::div);

impl Field for Rational {
    fn zero() -> Self {
        Rational(Zero::zero())
    }
    fn one() -> Self {
        Rational(One::one())
    }
    fn ratio(numerator: i64, denominator: i64) -> Self {
        Rational(num_rational::BigRational::new(numerator.into(), denominator.into()))
    }
    fn to_f64(&self) -> f64 {
        self.0.to_f64().unwrap_or(f64::NAN)
    }
}

impl std::str::FromStr for Rational {
    type Err = crate::Error;

    /// Reads `p/q` or `p`.
    ///
    /// # Errors
    /// An input error for anything else.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // The zero denominator is refused here: the fraction type would panic on it.
        let zero = text.split_once('/').is_some_and(|(_, denominator)| denominator.trim_matches(['-', '0']).is_empty());
        let parsed = text.parse().ok().filter(|_| !zero);
        parsed
            .map(Rational)
            .ok_or_else(|| crate::Error::input("a fraction", "p/q with q ≠ 0", format!("{text:?}")))
    }
}

impl std::fmt::Display for Rational {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(&self.0, f)
    }
}

/// A dual number x + x'·ε with ε² = 0: arithmetic on it carries the derivative in one direction along, exactly.
///
/// ```
/// use perpend::number::{Dual, Real};
/// let x = Dual::variable(3.0, 1.0);
/// assert_eq!((x * x).derivative(), 6.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Dual(num_dual::Dual64);
forward!(Dual, Add::add, Sub::sub, Mul::mul, Div::div);

impl Dual {
    /// A number that moves with this speed in the chosen direction.
    pub fn variable(value: f64, derivative: f64) -> Self {
        Dual(num_dual::Dual64::new(value, derivative))
    }
    /// The derivative part.
    pub fn derivative(self) -> f64 {
        self.0.eps
    }
}

impl PartialEq for Dual {
    fn eq(&self, other: &Self) -> bool {
        self.0.re == other.0.re
    }
}
impl PartialOrd for Dual {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.0.re.partial_cmp(&other.0.re)
    }
}
impl Field for Dual {
    fn zero() -> Self {
        Self::variable(0.0, 0.0)
    }
    fn one() -> Self {
        Self::variable(1.0, 0.0)
    }
    fn ratio(numerator: i64, denominator: i64) -> Self {
        Self::variable(numerator as f64 / denominator as f64, 0.0)
    }
    fn to_f64(&self) -> f64 {
        self.0.re
    }
}
impl Real for Dual {
    fn from_f64(value: f64) -> Self {
        Self::variable(value, 0.0)
    }
    fn sqrt(self) -> Self {
        Dual(self.0.sqrt())
    }
    fn exp(self) -> Self {
        Dual(self.0.exp())
    }
    fn ln(self) -> Self {
        Dual(self.0.ln())
    }
    fn tanh(self) -> Self {
        // 1/cosh² = 4·e^(−2|x|)/(1 + e^(−2|x|))² has no cancellation and no overflow.
        let fading = (-2.0 * self.0.re.abs()).exp();
        let slope = 4.0 * fading / ((1.0 + fading) * (1.0 + fading));
        Self::variable(self.0.re.tanh(), slope * self.0.eps)
    }
}

/// A value with a running bound on the error that rounding to `BITS` significant bits would have put into it
/// (running error analysis: Wilkinson 1986; Higham 2002, §3.3).
///
/// Feeding an optimizer's own update rule with this type yields the tolerance of a replay without a formula for each
/// rule: every operation adds u·|result| to what its operands carry. Values are computed in f64; for `BITS` = 53 the
/// bound covers the computation itself.
///
/// ```
/// use perpend::number::{Real, Running};
/// type Single = Running<24>;
/// let sum = Single::from_f64(1.0) + Single::from_f64(2.0);
/// assert_eq!(sum.error(), 3.0 * 0.5_f64.powi(24));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Running<const BITS: i32> {
    value: f64,
    error: f64,
}

impl<const BITS: i32> Running<BITS> {
    const fn unit_roundoff() -> f64 {
        // 2^−BITS assembled from its exponent: powi is not const.
        f64::from_bits(((1023 - BITS as i64) as u64) << 52)
    }
    fn rounded(value: f64, inherited: f64) -> Self {
        let error = inherited + Self::unit_roundoff() * value.abs();
        // 0·∞: nothing is known.
        Running { value, error: if error.is_nan() { f64::INFINITY } else { error } }
    }
    /// What `work` returns, and whether it compared numbers that are equal within their errors. A branch may then have been
    /// rounding's choice, and the bounds that `work` carried say nothing of the other branch.
    ///
    /// ```
    /// use perpend::number::Running;
    /// let (a, b) = (Running::<53>::uncertain(1.0, 0.25), Running::<53>::uncertain(1.5, 0.25));
    /// assert_eq!(Running::<53>::watch(|| a < b), (true, true));
    /// assert_eq!(Running::<53>::watch(|| a < b + b), (true, false));
    /// ```
    pub fn watch<T>(work: impl FnOnce() -> T) -> (T, bool) {
        let before = UNCERTAIN.replace(false);
        let result = work();
        let noticed = UNCERTAIN.replace(before);
        UNCERTAIN.set(before || noticed);
        (result, noticed)
    }
    /// Numbers without errors compare with certainty, also where they are equal.
    fn notice(&self, other: &Self) {
        let room = self.error + other.error;
        if room > 0.0 && (self.value - other.value).abs() <= room {
            UNCERTAIN.set(true);
        }
    }
    /// A value known only to within `error`.
    pub fn uncertain(value: f64, error: f64) -> Self {
        Running { value, error }
    }
    /// The computed value.
    pub fn value(self) -> f64 {
        self.value
    }
    /// The bound on its error.
    pub fn error(self) -> f64 {
        self.error
    }
}

impl<const BITS: i32> Add for Running<BITS> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::rounded(self.value + other.value, self.error + other.error)
    }
}
impl<const BITS: i32> Sub for Running<BITS> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::rounded(self.value - other.value, self.error + other.error)
    }
}
impl<const BITS: i32> Mul for Running<BITS> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let inherited = self.value.abs() * other.error + other.value.abs() * self.error + self.error * other.error;
        Self::rounded(self.value * other.value, inherited)
    }
}
impl<const BITS: i32> Div for Running<BITS> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let quotient = self.value / other.value;
        let room = other.value.abs() - other.error;
        // A divisor that may be zero leaves nothing known about the quotient.
        let inherited = if room > 0.0 {
            (self.error + quotient.abs() * other.error) / room
        } else {
            f64::INFINITY
        };
        Self::rounded(quotient, inherited)
    }
}
impl<const BITS: i32> Neg for Running<BITS> {
    type Output = Self;
    fn neg(self) -> Self {
        Running { value: -self.value, error: self.error }
    }
}
thread_local! {
    /// Whether a comparison of this thread could have come out otherwise: see [`Running::watch`].
    static UNCERTAIN: Cell<bool> = const { Cell::new(false) };
}

impl<const BITS: i32> PartialEq for Running<BITS> {
    fn eq(&self, other: &Self) -> bool {
        self.notice(other);
        self.value == other.value
    }
}
impl<const BITS: i32> PartialOrd for Running<BITS> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.notice(other);
        self.value.partial_cmp(&other.value)
    }
}
impl<const BITS: i32> Field for Running<BITS> {
    fn zero() -> Self {
        Self::uncertain(0.0, 0.0)
    }
    fn one() -> Self {
        Self::uncertain(1.0, 0.0)
    }
    fn ratio(numerator: i64, denominator: i64) -> Self {
        Self::uncertain(numerator as f64, 0.0) / Self::uncertain(denominator as f64, 0.0)
    }
    fn to_f64(&self) -> f64 {
        self.value
    }
}
impl<const BITS: i32> Real for Running<BITS> {
    fn from_f64(value: f64) -> Self {
        Self::uncertain(value, 0.0)
    }
    fn sqrt(self) -> Self {
        let root = self.value.max(0.0).sqrt();
        // |√(x+δ) − √x| ≤ min(√δ, δ/√x).
        let inherited = if root > 0.0 {
            (self.error / root).min(self.error.sqrt())
        } else {
            self.error.sqrt()
        };
        Self::rounded(root, inherited)
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self::rounded(value, value * self.error.exp_m1())
    }
    fn ln(self) -> Self {
        let room = self.value - self.error;
        let inherited = if room > 0.0 {
            (self.value / room).ln()
        } else {
            f64::INFINITY
        };
        Self::rounded(self.value.ln(), inherited)
    }
    fn max(self, other: Self) -> Self {
        // Whichever is taken, the result is bounded: the comparison decides nothing.
        let (larger, smaller) = if other.value > self.value {
            (other, self)
        } else {
            (self, other)
        };
        // |max(a, b) − max(a', b')| ≤ max(|a − a'|, |b − b'|); the smaller number counts only if it may be the larger.
        let reaches = smaller.value + smaller.error >= larger.value - larger.error;
        let error = if reaches {
            larger.error.max(smaller.error)
        } else {
            larger.error
        };
        Running { error, ..larger }
    }
    fn sign(self) -> Self {
        let sign = if self.value == 0.0 { 0.0 } else { self.value.signum() };
        // Where the sign is not certain it may be any: at most 2 off, and 1 from 0.
        let error = if self.value.abs() > self.error || self.error == 0.0 {
            0.0
        } else {
            1.0 + sign.abs()
        };
        Self::uncertain(sign, error)
    }
    fn tanh(self) -> Self {
        // The slope 1/cosh² is largest at the point nearest to 0. The library's tanh is good to two units in the last place.
        let nearest = (self.value.abs() - self.error).max(0.0);
        let cosh = nearest.cosh();
        let value = self.value.tanh();
        Self::rounded(value, self.error / (cosh * cosh) + Self::unit_roundoff() * value.abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn polynomial<F: Real>(x: F, y: F) -> F {
        (x.clone() * y.clone() - F::ratio(1, 3)) / (x.clone() * x + F::one()) - (y.clone() * y).sqrt()
    }

    proptest! {
        /// The bound that f32's running error promises contains the true f64 value.
        #[test]
        fn running_error_covers_the_true_value(x in -8.0f32..8.0, y in -8.0f32..8.0) {
            let narrow = polynomial(x, y);
            let wide = polynomial(f64::from(x), f64::from(y));
            let bound = polynomial(Running::<24>::from_f64(x.into()), Running::<24>::from_f64(y.into()));
            prop_assert!((f64::from(narrow) - wide).abs() <= bound.error() * (1.0 + f64::from(f32::EPSILON)));
        }

        /// Derivatives by dual numbers agree with central differences.
        #[test]
        fn dual_numbers_differentiate(x in 0.5f64..4.0, y in 0.5f64..4.0) {
            let derivative = polynomial(Dual::variable(x, 1.0), Dual::variable(y, 0.0)).derivative();
            let h = 1e-5;
            let difference = (polynomial(x + h, y) - polynomial(x - h, y)) / (2.0 * h);
            approx::assert_abs_diff_eq!(derivative, difference, epsilon = 1e-8);
        }

        /// Fractions are exact where doubles are not.
        #[test]
        fn fractions_cancel_exactly(a in 1i64..1000, b in 1i64..1000) {
            let x = Rational::ratio(a, b);
            prop_assert_eq!(x.clone() * Rational::ratio(b, a), Rational::one());
            prop_assert_eq!(x.clone() - x, Rational::zero());
        }
    }

    #[test]
    fn fractions_are_read_as_written() {
        assert_eq!("-16/125".parse::<Rational>().unwrap(), Rational::ratio(-16, 125));
        assert_eq!("5".parse::<Rational>().unwrap().to_string(), "5");
        for text in ["", "1/0", "0.5", "a/b", "1/-0"] {
            assert!(text.parse::<Rational>().unwrap_err().is_input(), "{text}");
        }
    }

    #[test]
    fn a_sign_or_a_maximum_that_rounding_can_turn_is_uncertain() {
        type Number = Running<53>;
        let sign = |value, error| {
            let sign = Number::uncertain(value, error).sign();
            (sign.value(), sign.error())
        };
        assert_eq!(
            [sign(-2.0, 1.0), sign(0.0, 0.0), sign(0.0, 0.5), sign(0.5, 0.5)],
            [(-1.0, 0.0), (0.0, 0.0), (0.0, 1.0), (1.0, 2.0)]
        );
        let largest = |a: Number, b: Number| (a.max(b).value(), a.max(b).error(), b.max(a).error());
        let near = largest(Number::uncertain(1.0, 0.25), Number::uncertain(0.5, 0.5));
        assert_eq!(near, (1.0, 0.5, 0.5));
        let far = largest(Number::uncertain(1.0, 0.25), Number::uncertain(0.125, 0.5));
        assert_eq!(far, (1.0, 0.25, 0.25));
        assert_eq!(Number::uncertain(1.0, 0.25).min(Number::uncertain(0.5, 0.5)).value(), 0.5);
        assert_eq!([3.0_f64.sign(), Real::sign(-0.5), Real::sign(0.0)], [1.0, -1.0, 0.0]);
    }

    #[test]
    fn dividing_by_a_number_that_may_be_zero_leaves_nothing_known() {
        let quotient = Running::<53>::one() / Running::<53>::uncertain(1.0, 1.0);
        assert_eq!(quotient.error(), f64::INFINITY);
        assert_eq!((quotient * Running::zero()).error(), f64::INFINITY);
    }
}
