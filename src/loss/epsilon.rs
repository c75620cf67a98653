//! Epsilons of the cosine, and what each of them leaks.
//!
//! A cosine is ⟨u,q⟩/D with D = ‖u‖‖q‖. Software guards the division by an ε > 0, and what it computes is
//!
//! ```text
//! s = ⟨u,q⟩/D_ε(‖u‖,‖q‖)        ⟨q, ∇_q s⟩ = λ·s,    λ = 1 − ‖q‖·∂_{‖q‖} ln D_ε
//! ```
//!
//! since s is ‖q‖/D_ε times a function of q/‖q‖. The *leak* λ is 0 where D_ε is proportional to ‖q‖ (the cosine) and 1 where it
//! does not depend on ‖q‖ (the inner product, up to a factor). A loss of such similarities has ⟨q_j,∇L⟩ = Σ_b (∂L/∂s_bj)·λ_bj·s_bj.
//!
//! | | D_ε | λ | where it is found |
//! |---|---|---|---|
//! | `norm` | max(‖u‖,ε)·max(‖q‖,ε) | 1 if ‖q‖ < ε, else 0 | `torch.nn.functional.normalize` |
//! | `norm2` | √max(‖u‖²,ε)·√max(‖q‖²,ε) | 1 if ‖q‖² < ε, else 0 | `tf.math.l2_normalize`, `optax.cosine_similarity` |
//! | `product` | max(‖u‖‖q‖, ε) | 1 if ‖u‖‖q‖ < ε, else 0 | older `torch.cosine_similarity` |
//! | `add` | (‖u‖+ε)·(‖q‖+ε) | ε/(‖q‖+ε) | hand-written `x / (x.norm() + eps)` |
//! | `add-product` | ‖u‖‖q‖ + ε | ε/(‖u‖‖q‖+ε) | hand-written cosines |
//! | `add-norm2` | √(‖u‖²+ε)·√(‖q‖²+ε) | ε/(‖q‖²+ε) | `torch.nn.CosineEmbeddingLoss` (ε = 10⁻¹²), layer-norm style |
//!
//! *Shapes*: u, q: `[d]`. ε has the unit of what it is compared with or added to. *Source*: derived here (THEORY A5).

use serde::{Deserialize, Serialize};

use crate::geometry::{norm, norm_squared, normalise};
use crate::number::{Field, Real};
use crate::trajectory::EpsOn;

/// Where the epsilon of a cosine enters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EpsilonOn {
    /// max(‖q‖, ε).
    #[default]
    Norm,
    /// √max(‖q‖², ε).
    Norm2,
    /// max(‖u‖·‖q‖, ε).
    Product,
    /// ‖q‖ + ε.
    Add,
    /// ‖u‖·‖q‖ + ε.
    AddProduct,
    /// √(‖q‖² + ε).
    AddNorm2,
}

impl EpsilonOn {
    /// Every convention.
    pub const ALL: [EpsilonOn; 6] = [
        EpsilonOn::Norm,
        EpsilonOn::Norm2,
        EpsilonOn::Product,
        EpsilonOn::Add,
        EpsilonOn::AddProduct,
        EpsilonOn::AddNorm2,
    ];

    /// How a trajectory header says it; None where the file format has no word for it.
    pub fn declared(self) -> Option<EpsOn> {
        match self {
            EpsilonOn::Norm => Some(EpsOn::Norm),
            EpsilonOn::Norm2 => Some(EpsOn::Norm2),
            EpsilonOn::Product => Some(EpsOn::Product),
            EpsilonOn::Add => Some(EpsOn::Add),
            EpsilonOn::AddProduct | EpsilonOn::AddNorm2 => None,
        }
    }

    /// λ with ⟨q,∇_q s⟩ = λ·s, from ‖q‖ and the norm of the embedding that q is compared with.
    ///
    /// ```
    /// use perpend::loss::EpsilonOn;
    /// use perpend::number::{Field, Rational};
    /// // q = (3,4), u = (1,0), ε = 5: s = 3/10, and ⟨q,∇_q s⟩ = 3/20.
    /// let fraction = Rational::ratio;
    /// let leak = EpsilonOn::AddProduct.leak(&fraction(5, 1), &fraction(1, 1), &fraction(5, 1));
    /// assert_eq!(leak * fraction(3, 10), fraction(3, 20));
    /// ```
    pub fn leak<F: Field>(self, own: &F, other: &F, epsilon: &F) -> F {
        let clamped = |length: F| if length < *epsilon { F::one() } else { F::zero() };
        let added = |length: F| match *epsilon > F::zero() {
            true => epsilon.clone() / (length + epsilon.clone()),
            false => F::zero(),
        };
        let (square, product) = (own.clone() * own.clone(), own.clone() * other.clone());
        match self {
            EpsilonOn::Norm => clamped(own.clone()),
            EpsilonOn::Norm2 => clamped(square),
            EpsilonOn::Product => clamped(product),
            EpsilonOn::Add => added(own.clone()),
            EpsilonOn::AddProduct => added(product),
            EpsilonOn::AddNorm2 => added(square),
        }
    }

    /// Whether D_ε is a product of something of u and something of q, so that each row is divided on its own.
    pub(super) fn is_rowwise(self) -> bool {
        !matches!(self, EpsilonOn::Product | EpsilonOn::AddProduct)
    }

    /// z = q/ℓ of a row-wise convention.
    pub(super) fn divide<F: Real>(self, q: &[F], epsilon: &F) -> Divided<F> {
        let by = |length: F, radial: F| {
            let vector = q.iter().map(|x| x.clone() / length.clone()).collect();
            Divided { vector, length, radial }
        };
        match self {
            // Without an epsilon all of them are the norm.
            _ if *epsilon == F::zero() => Divided::direction(q),
            EpsilonOn::Norm if length(q) < *epsilon => by(epsilon.clone(), F::zero()),
            EpsilonOn::Norm2 if norm_squared(q) < *epsilon => by(epsilon.clone().sqrt(), F::zero()),
            EpsilonOn::Add => {
                let own = length(q);
                let sum = own.clone() + epsilon.clone();
                let radial = if own == F::zero() { F::zero() } else { sum.clone() / own };
                by(sum, radial)
            }
            EpsilonOn::AddNorm2 => by((norm_squared(q) + epsilon.clone()).sqrt(), F::one()),
            _ => Divided::direction(q),
        }
    }

    /// D_ε and δ = 1 − λ of a convention on the product P = ‖u‖‖q‖.
    pub(super) fn divisor<F: Real>(self, product: F, epsilon: &F) -> (F, F) {
        match self {
            EpsilonOn::Product if product < *epsilon => (epsilon.clone(), F::zero()),
            EpsilonOn::AddProduct => {
                let sum = product.clone() + epsilon.clone();
                (sum.clone(), product / sum)
            }
            _ => (product, F::one()),
        }
    }
}

/// ‖q‖, as the constant 0 at the origin: there dual numbers see the subgradient 0 of the norm.
pub(super) fn length<F: Real>(q: &[F]) -> F {
    if norm_squared(q) == F::zero() {
        F::zero()
    } else {
        norm(q)
    }
}

/// A row divided by its guarded length.
pub(super) struct Divided<F> {
    /// z = q/ℓ(‖q‖).
    pub vector: Vec<F>,
    /// ℓ.
    pub length: F,
    /// r with ∂ℓ/∂q = r·z: the gradient at q is (a − r⟨a,z⟩z)/ℓ.
    pub radial: F,
}

impl<F: Real> Divided<F> {
    fn direction(q: &[F]) -> Self {
        let (vector, length) = normalise(q);
        Divided { vector, length, radial: F::one() }
    }
}
