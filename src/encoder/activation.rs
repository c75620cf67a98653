//! Activations of networks: ReLU, GELU in its tanh form, tanh.

use serde::{Deserialize, Serialize};

use crate::number::Real;

/// The nonlinearity σ of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// max(x, 0).
    #[default]
    Relu,
    /// x·(1 + tanh(√(2/π)·(x + 0.044715·x³)))/2: the tanh form of x·Φ(x) (Hendrycks and Gimpel 2016).
    Gelu,
    /// tanh x.
    Tanh,
}

/// √(2/π) and the cubic coefficient of GELU's tanh form.
pub(crate) const GELU: (f64, f64) = (0.797_884_560_802_865_4, 0.044715);

impl Activation {
    /// Whether σ(c·x) = c·σ(x) for c > 0: Euler's identity holds layer by layer (THEORY B7).
    pub fn is_homogeneous(self) -> bool {
        self == Activation::Relu
    }

    /// A bound on |σ'|: 1 for ReLU and tanh, 1.13 at its steepest for GELU.
    pub(crate) fn steepest(self) -> f64 {
        match self {
            Activation::Relu | Activation::Tanh => 1.0,
            Activation::Gelu => 1.13,
        }
    }

    /// σ, coordinate by coordinate.
    pub fn apply<F: Real>(self, pre: &[F]) -> Vec<F> {
        pre.iter().map(|x| self.value_and_slope(x).0).collect()
    }

    /// g ∘ σ'(pre).
    pub fn backward<F: Real>(self, pre: &[F], mut g: Vec<F>) -> Vec<F> {
        for (g, x) in g.iter_mut().zip(pre) {
            *g = match self {
                // 0 also where the gradient is infinite.
                Activation::Relu if *x <= F::zero() => F::zero(),
                Activation::Relu => g.clone(),
                _ => g.clone() * self.value_and_slope(x).1,
            };
        }
        g
    }

    /// σ(x) and σ'(x).
    fn value_and_slope<F: Real>(self, x: &F) -> (F, F) {
        match self {
            // At the kink the value is the constant 0, so that dual numbers see the subgradient 0 of the common frameworks.
            Activation::Relu if *x <= F::zero() => (F::zero(), F::zero()),
            Activation::Relu => (x.clone(), F::one()),
            Activation::Tanh => {
                let t = x.clone().tanh();
                (t.clone(), (F::one() - t.clone()) * (F::one() + t))
            }
            Activation::Gelu => {
                let (half, scale, cubic) = (F::from_f64(0.5), F::from_f64(GELU.0), F::from_f64(GELU.1));
                let square = x.clone() * x.clone();
                let inner = scale.clone() * x.clone() * (F::one() + cubic.clone() * square.clone());
                let t = inner.tanh();
                let share = half.clone() * (F::one() + t.clone());
                let speed = scale * (F::one() + F::from_f64(3.0) * cubic * square);
                let bump = half * x.clone() * (F::one() - t.clone()) * (F::one() + t) * speed;
                (x.clone() * share.clone(), share + bump)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Dual;

    #[test]
    fn slopes_are_those_of_dual_numbers() {
        for activation in [Activation::Relu, Activation::Gelu, Activation::Tanh] {
            for n in -64..=64 {
                let x = f64::from(n) / 8.0;
                let slope = activation.backward(&[x], vec![1.0])[0];
                let dual = activation.apply(&[Dual::variable(x, 1.0)])[0].derivative();
                // A dozen operations on numbers that are at most x·speed < 8·(1 + 0.14·64).
                approx::assert_abs_diff_eq!(slope, dual, epsilon = 12.0 * 80.0 * f64::EPSILON);
            }
        }
    }

    #[test]
    fn gelu_is_near_x_times_the_normal_distribution() {
        // x·Φ(x) at 1 is 0.841345; the tanh form is known to be within 5e-4 of it everywhere.
        assert!((Activation::Gelu.apply(&[1.0_f64])[0] - 0.841_345).abs() < 5e-4);
        assert_eq!(Activation::Gelu.apply(&[40.0_f64, -40.0])[0], 40.0);
    }
}
