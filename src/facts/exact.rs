//! An exact sum of doubles: it does not depend on the order of the terms, and merges without error.

use serde::{Deserialize, Serialize};

/// Bits of one digit.
const DIGIT: i64 = 32;
/// Enough digits for every multiple of 2^−1074 below 2^1024, and a carry.
const DIGITS: usize = (1024 + 1074) / DIGIT as usize + 2;
/// A digit takes 2^31 additions of less than 2^32 before it may overflow.
const ROOM: u32 = 1 << 30;

/// Σ x_k as a fixed-point number that spans the whole range of doubles (a superaccumulator: Kulisch 1971).
///
/// ```
/// use perpend::facts::ExactSum;
/// let (mut a, mut b) = (ExactSum::default(), ExactSum::default());
/// a.add(1e300);
/// a.add(1.0);
/// b.add(-1e300);
/// a.merge(&b);
/// assert_eq!(a.value(), 1.0);
/// ```
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExactSum {
    /// Digit k stands for digits\[k\]·2^(32k−1074); digits may be negative.
    digits: Vec<i64>,
    additions: u32,
}

impl Default for ExactSum {
    fn default() -> Self {
        ExactSum { digits: vec![0; DIGITS], additions: 0 }
    }
}

impl PartialEq for ExactSum {
    fn eq(&self, other: &Self) -> bool {
        self.canonical() == other.canonical()
    }
}

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, x: f64) {
        let bits = x.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as i64;
        let fraction = (bits & ((1 << 52) - 1)) | if exponent == 0 { 0 } else { 1 << 52 };
        let place = exponent.max(1) - 1;
        let mut shifted = u128::from(fraction) << (place % DIGIT);
        let mut digit = (place / DIGIT) as usize;
        while shifted != 0 {
            let part = (shifted & 0xffff_ffff) as i64;
            self.digits[digit] += if x < 0.0 { -part } else { part };
            shifted >>= DIGIT;
            digit += 1;
        }
        self.count(1);
    }

    /// Adds another sum, exactly.
    pub fn merge(&mut self, other: &Self) {
        for (digit, part) in self.digits.iter_mut().zip(other.canonical()) {
            *digit += part;
        }
        self.count(2);
    }

    fn count(&mut self, additions: u32) {
        self.additions += additions;
        if self.additions > ROOM {
            self.digits = self.canonical();
            self.additions = 1;
        }
    }

    /// The digits with all carries done: between 0 and 2³²−1, except the topmost, which carries the sign.
    fn canonical(&self) -> Vec<i64> {
        let mut digits = self.digits.clone();
        for k in 0..digits.len() - 1 {
            let carry = digits[k] >> DIGIT;
            digits[k] -= carry << DIGIT;
            digits[k + 1] += carry;
        }
        digits
    }

    /// The sum, rounded to within one unit in the last place.
    pub fn value(&self) -> f64 {
        let mut digits = self.canonical();
        let negative = digits.last().is_some_and(|&top| top < 0);
        if negative {
            digits = ExactSum { digits: digits.iter().map(|digit| -digit).collect(), additions: 0 }.canonical();
        }
        let Some(top) = digits.iter().rposition(|&digit| digit != 0) else {
            return 0.0;
        };
        // Three digits hold 65 bits at least: all that a double shows. Scaled in two steps, so that the power of two
        // itself neither overflows nor underflows.
        let first = top.saturating_sub(2);
        let leading = digits[first..=top].iter().rev().fold(0.0, |value, &digit| value * 4294967296.0 + digit as f64);
        let exponent = DIGIT as i32 * first as i32 - 1074;
        let value = leading * 2.0_f64.powi(exponent / 2) * 2.0_f64.powi(exponent - exponent / 2);
        if negative { -value } else { value }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn neither_order_nor_grouping_matters(xs in prop::collection::vec(-1e30f64..1e30, 1..40), cut in 0usize..40) {
            let total = |xs: &[f64]| {
                let mut sum = ExactSum::default();
                xs.iter().for_each(|&x| sum.add(x));
                sum
            };
            let forward = total(&xs);
            let mut reversed = xs.clone();
            reversed.reverse();
            let cut = cut.min(xs.len());
            let mut merged = total(&xs[cut..]);
            merged.merge(&total(&xs[..cut]));
            prop_assert_eq!(&forward, &total(&reversed));
            prop_assert_eq!(&forward, &merged);
            let plain: f64 = xs.iter().sum();
            let scale: f64 = xs.iter().map(|x| x.abs()).sum();
            prop_assert!((forward.value() - plain).abs() <= scale * xs.len() as f64 * f64::EPSILON);
        }

        #[test]
        fn a_single_number_comes_back(bits in any::<u64>()) {
            let x = f64::from_bits(bits);
            prop_assume!(x.is_finite());
            let mut sum = ExactSum::default();
            sum.add(x);
            prop_assert_eq!(sum.value(), x);
        }
    }

    #[test]
    fn what_plain_sums_lose_is_kept() {
        let mut sum = ExactSum::default();
        for x in [1.0, 1e100, 1.0, -1e100] {
            sum.add(x);
        }
        assert_eq!(sum.value(), 2.0);
    }
}
