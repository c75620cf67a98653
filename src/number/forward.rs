//! A dual number over any number type. [`Dual`](super::Dual) carries a derivative along; with
//! [`Running`](super::Running) numbers inside, the derivative carries a bound on its own rounding error.
//!
//! ```
//! use perpend::number::{Forward, Real, Running};
//! type Rounded = Running<53>;
//! let x = Forward::new(Rounded::from_f64(3.0), Rounded::from_f64(1.0));
//! let root = (x.clone() * x).sqrt();
//! assert!((root.slope.value() - 1.0).abs() <= root.slope.error() && root.slope.error() < 1e-15);
//! ```

use std::cmp::Ordering;
use std::ops::{Add, Div, Mul, Neg, Sub};

use super::{Field, Real};

/// x + x'·ε with ε² = 0 and both parts of the number type F.
#[derive(Clone, Debug)]
pub struct Forward<F> {
    /// x.
    pub value: F,
    /// x', the derivative in the chosen direction.
    pub slope: F,
}

impl<F: Real> Forward<F> {
    /// A number that moves with this speed in the chosen direction.
    pub fn new(value: F, slope: F) -> Self {
        Forward { value, slope }
    }
}

impl<F: Real> Add for Forward<F> {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.value + other.value, self.slope + other.slope)
    }
}
impl<F: Real> Sub for Forward<F> {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.value - other.value, self.slope - other.slope)
    }
}
impl<F: Real> Mul for Forward<F> {
    type Output = Self;
    fn mul(self, other: Self) -> Self {
        let slope = self.slope * other.value.clone() + self.value.clone() * other.slope;
        Self::new(self.value * other.value, slope)
    }
}
impl<F: Real> Div for Forward<F> {
    type Output = Self;
    fn div(self, other: Self) -> Self {
        let square = other.value.clone() * other.value.clone();
        let slope = (self.slope * other.value.clone() - self.value.clone() * other.slope) / square;
        Self::new(self.value / other.value, slope)
    }
}
impl<F: Real> Neg for Forward<F> {
    type Output = Self;
    fn neg(self) -> Self {
        Self::new(-self.value, -self.slope)
    }
}
impl<F: Real> PartialEq for Forward<F> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}
impl<F: Real> PartialOrd for Forward<F> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}
impl<F: Real> Field for Forward<F> {
    fn zero() -> Self {
        Self::new(F::zero(), F::zero())
    }
    fn one() -> Self {
        Self::new(F::one(), F::zero())
    }
    fn ratio(numerator: i64, denominator: i64) -> Self {
        Self::new(F::ratio(numerator, denominator), F::zero())
    }
    fn to_f64(&self) -> f64 {
        self.value.to_f64()
    }
}
impl<F: Real> Real for Forward<F> {
    fn from_f64(value: f64) -> Self {
        Self::new(F::from_f64(value), F::zero())
    }
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        Self::new(root.clone(), self.slope / (root.clone() + root))
    }
    fn exp(self) -> Self {
        let value = self.value.exp();
        Self::new(value.clone(), self.slope * value)
    }
    fn ln(self) -> Self {
        Self::new(self.value.clone().ln(), self.slope / self.value)
    }
    fn tanh(self) -> Self {
        // 1/cosh² = 4·e^(−2|x|)/(1 + e^(−2|x|))² has no cancellation and no overflow.
        let size = if self.value < F::zero() {
            -self.value.clone()
        } else {
            self.value.clone()
        };
        let fading = (-(size.clone() + size)).exp();
        let root = (fading.clone() + F::one()) / F::ratio(2, 1);
        Self::new(self.value.tanh(), self.slope * (fading / (root.clone() * root)))
    }
}
