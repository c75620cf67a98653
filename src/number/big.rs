//! A floating-point number of 256 significant bits: the reference core on it gives golden values, rounded once.
//!
//! The exponent has no range to leave, so nothing overflows or underflows. Square root, exponential and logarithm are good to
//! the last bit (dashu rounds them correctly); `tanh` follows from the exponential as for every number type.
//!
//! ```
//! use perpend::number::{Big, Field, Real};
//! let third = Big::ratio(1, 3);
//! assert_eq!((third.clone() + third.clone() + third).to_f64(), 1.0);
//! assert_eq!(Big::from_f64(2.0).sqrt().to_f64(), std::f64::consts::SQRT_2);
//! ```

use std::ops::{Add, Div, Mul, Neg, Sub};

use dashu_float::FBig;
use dashu_float::round::mode::HalfEven;

use super::{Field, Real};

/// A binary number of [`Big::BITS`] significant bits, rounded to nearest after every operation.
// No operation is worth inlining into the whole of the core: it would cost minutes of compilation.
#[derive(Debug, PartialEq, PartialOrd)]
pub struct Big(FBig<HalfEven, 2>);

impl Clone for Big {
    #[inline(never)]
    fn clone(&self) -> Self {
        Big(self.0.clone())
    }
}

impl Big {
    /// Significant bits.
    pub const BITS: usize = 256;

    /// Every number passes here. The library takes the precision of a result from its operands, and that of a constant from its
    /// digits: one that slipped in would lower the precision of all that follows. Precision 0 marks exact constants (e⁰ = 1).
    fn made(value: FBig<HalfEven, 2>) -> Self {
        assert!([0, Self::BITS].contains(&value.precision()), "a number of {} bits", value.precision());
        Big(value.with_precision(Self::BITS).value())
    }

    /// The nearest single.
    pub fn to_f32(&self) -> f32 {
        self.0.to_f32().value()
    }
}

macro_rules! operators {
    ($($trait:ident :: $method:ident),*) => {$(
        impl $trait for Big {
            type Output = Big;
            #[inline(never)]
            fn $method(self, other: Big) -> Big { Big::made($trait::$method(self.0, other.0)) }
        }
    )*};
}
operators!(Add::add, Sub::sub, Mul::mul, Div::div);

impl Neg for Big {
    type Output = Big;
    #[inline(never)]
    fn neg(self) -> Big {
        Big::made(-self.0)
    }
}

impl Field for Big {
    fn zero() -> Self {
        Self::from_f64(0.0)
    }
    fn one() -> Self {
        Self::from_f64(1.0)
    }
    fn ratio(numerator: i64, denominator: i64) -> Self {
        let whole = |n: i64| Big(FBig::from(n).with_precision(Self::BITS).value());
        whole(numerator) / whole(denominator)
    }
    /// Rounded to nearest, ties to even, subnormals included.
    fn to_f64(&self) -> f64 {
        self.0.to_f64().value()
    }
}

impl Real for Big {
    /// # Panics
    /// On infinities and NaN.
    fn from_f64(value: f64) -> Self {
        let exact: FBig<HalfEven, 2> = value.try_into().expect("a finite number");
        Big(exact.with_precision(Self::BITS).value())
    }
    #[inline(never)]
    fn sqrt(self) -> Self {
        Big::made(self.0.sqrt())
    }
    #[inline(never)]
    fn exp(self) -> Self {
        Big::made(self.0.exp())
    }
    #[inline(never)]
    fn ln(self) -> Self {
        Big::made(self.0.ln())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n/10^k of a string of digits.
    fn decimal(digits: &str) -> Big {
        let (mut value, ten) = (Big::zero(), Big::from_f64(10.0));
        let (whole, fraction) = digits.split_once('.').unwrap();
        for digit in whole.chars().chain(fraction.chars()) {
            value = value * ten.clone() + Big::from_f64(digit.to_digit(10).unwrap().into());
        }
        fraction.chars().fold(value, |value, _| value / ten.clone())
    }

    /// Whether two numbers agree to 240 bits, which leaves room for the decimal string (82 digits are 272 bits) and its conversion.
    fn agree(a: &Big, b: &Big) -> bool {
        let difference = a.clone() - b.clone();
        let size = difference.clone().max(-difference);
        size <= b.clone().max(-b.clone()) * Big::from_f64(2.0_f64.powi(-240))
    }

    /// Digits computed by mpmath with 400 bits.
    #[test]
    fn functions_are_good_to_the_precision() {
        let x = Big::ratio(1, 7);
        let known = [
            (
                Big::one().exp(),
                "2.718281828459045235360287471352662497757247093699959574966967627724076630353547595",
            ),
            (
                Big::from_f64(2.0).ln(),
                "0.693147180559945309417232121458176568075500134360255254120680009493393621969694",
            ),
            (
                Big::from_f64(2.0).sqrt(),
                "1.414213562373095048801688724209698078569671875376948073176679737990732478462107",
            ),
            (x.exp(), "1.153564994895107753461339624471862441995687732739660951538801082476840370272106843"),
        ];
        for (computed, digits) in known {
            assert!(agree(&computed, &decimal(digits)), "{digits}");
        }
    }

    #[test]
    fn functions_undo_each_other_over_a_wide_range() {
        for x in [1e-300, 1e-9, 0.3, 1.0 + f64::EPSILON, 7.5, 700.0, 1e300] {
            let big = Big::from_f64(x);
            assert!(agree(&big.clone().ln().exp(), &big) || big.clone().ln() == Big::zero(), "{x}");
            assert!(agree(&(big.clone().sqrt() * big.clone().sqrt()), &big), "{x}");
            // tanh x = (1 − e^{−2x})/(1 + e^{−2x}) against the exponentials of both signs.
            let (plus, minus) =
                (big.clone().min(Big::from_f64(50.0)).exp(), (-big.clone().min(Big::from_f64(50.0))).exp());
            if x >= 1e-3 {
                let quotient = (plus.clone() - minus.clone()) / (plus + minus);
                assert!(agree(&big.min(Big::from_f64(50.0)).tanh(), &quotient), "{x}");
            }
        }
    }

    #[test]
    fn every_double_survives_the_way_there_and_back() {
        for x in [0.0, -1.5, f64::MIN_POSITIVE, f64::from_bits(1), f64::MAX, 0.1, -1e-310] {
            assert_eq!(Big::from_f64(x).to_f64(), x);
        }
        // 1 + 2^-53 is a tie, a little more is not.
        let tie = Big::one() + Big::from_f64(2.0_f64.powi(-53));
        assert_eq!(tie.to_f64(), 1.0);
        assert_eq!((tie + Big::from_f64(2.0_f64.powi(-200))).to_f64(), 1.0 + f64::EPSILON);
    }
}
