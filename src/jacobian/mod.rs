//! Derivatives, found in several ways and held against each other.
//!
//! | file | what it holds |
//! |---|---|
//! | [`differences`] | central differences with Richardson extrapolation on a known scale: value *and* error estimate |
//! | [`line`](mod@line) | a function along a line, with the rounding of its values: its slope on the scale that suits it, its kinks |
//! | [`taylor`] | the order of f(x+hv) − f(x) − h·⟨∇f, v⟩ in h; the radial direction, judged apart |
//! | [`coordinates`] | the slope along every parameter of two towers at once, without evaluating anew what does not change |
//! | [`subject`] | what has a Jacobian: one row of an encoder, a loss of embeddings, a loss of parameters |
//! | [`mod@check`] | finite, deterministic, Taylor rate, radial, differences, dual numbers: in this order |
//! | [`gram`] | K = JJᵀ of a row: spectrum, condition number, angle bound, eigenvector criterion |
//!
//! A derivative is never compared with a constant tolerance: every way yields an [`Estimate`], a value with the error
//! that rounding and truncation can have put into it, and two estimates agree if their errors overlap.

pub mod check;
pub mod coordinates;
pub mod differences;
pub mod gram;
pub mod line;
pub mod subject;
pub mod taylor;

use std::fmt;

pub use check::{
    Effort, Outcome, Report, check, check_encoder, check_every_entry, check_every_parameter, check_gradient,
};
pub use differences::{directional_derivative, directional_derivative_within, reach};
pub use gram::Gram;
pub use line::{Line, Slope};
pub use subject::{Differentiable, Function};

use crate::number::Running;
use crate::rounding::Precision;

/// A number with a bound on its error.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// A bound on |value − truth|; infinite where the value is not finite.
    pub error: f64,
}

impl Estimate {
    /// Whether the two can be the same number.
    pub fn agrees(&self, other: &Estimate) -> bool {
        // Not `a > b`: a comparison with what is not a number agrees with nothing.
        (self.value - other.value).abs() <= self.error + other.error
    }
}

impl Estimate {
    /// The same number in other units.
    fn times(&self, factor: f64) -> Estimate {
        let value = self.value * factor;
        Estimate { value, error: self.error * factor.abs() + Precision::F64.unit_roundoff() * value.abs() }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.12e} ± {:.1e}", self.value, self.error)
    }
}

/// A computed value with twice its running error bound: the bound takes every operation to be correctly rounded, and exp
/// and ln of the mathematical library are correct to one unit in the last place only.
impl From<Rounded> for Estimate {
    fn from(number: Rounded) -> Self {
        let error = 2.0 * number.error();
        if number.value().is_finite() && error.is_finite() {
            Estimate { value: number.value(), error }
        } else {
            Estimate { value: number.value(), error: f64::INFINITY }
        }
    }
}

/// Double precision with its rounding bound.
pub(crate) type Rounded = Running<53>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_other_units_the_error_is_that_of_the_number_and_one_rounding() {
        let estimate = Estimate { value: 3.0, error: 0.5 }.times(-4.0);
        assert_eq!(estimate, Estimate { value: -12.0, error: 2.0 + 12.0 * Precision::F64.unit_roundoff() });
        let exact = Estimate { value: 3.0, error: 0.0 }.times(0.25);
        assert_eq!(exact.error, 0.75 * Precision::F64.unit_roundoff());
    }
}
