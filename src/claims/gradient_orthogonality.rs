//! # Gradient orthogonality
//!
//! Where the loss sees a row only through its direction, L(q) = ℓ(q/‖q‖), its gradient is orthogonal to the row:
//!
//! ```text
//! ⟨q, ∇_q L⟩ = 0,    ∇_q L = (a − ⟨a,q̂⟩q̂)/‖q‖,   a = ∂ℓ/∂q̂
//! ```
//!
//! whatever the towers, the optimizer, the temperature, duplicates in the batch or in-batch negatives: every slot's
//! gradient is taken at the same q, and sums of orthogonal vectors are orthogonal.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon, FreshGradient.
//! *Shapes*: q, g, a: `[d]`. *Dimensionless* in the direction; ‖g‖ scales as 1/‖q‖.
//! *Allowed residual*: (γ_{3d+10} in accumulation + γ_{16+L} in storage)·‖a‖, never relative to ‖q‖‖g‖: where the
//! upstream gradient is nearly parallel to q, cancellation leaves an angle that means nothing.
//! *Twins that must break it*: inner products; an active clamp of the norm; stale gradients. *Controls that must not*:
//! momentum, weight decay, Adam, a two-layer or shared encoder, a deep user tower.
//! *Proof*: proofs/theories/GradientOrthogonality.v.
//! *Source*: Wang et al. 2017 (NormFace); Euler's identity for functions of degree 0.

use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::facts::{Context, GRADIENT_DERIVATION, Measure, Watched};
use crate::reference::Fault;
use crate::scenario::random::{Encoders, Family, Optimizers};

/// ⟨q, ∇L⟩ = 0.
pub struct GradientOrthogonality;

const ABOUT: About = About {
    id: "gradient-orthogonality",
    kind: Kind::Step,
    standing: Standing::Theorem,
    statement: "the gradient of a cosine loss is orthogonal to the embedding: ⟨q, ∇L⟩ = 0",
    conditions: &[Condition::CosineLoss, Condition::NoEpsilon, Condition::FreshGradient],
    source: "Wang et al. 2017 (NormFace); Euler's identity for functions of degree 0",
    derivation: GRADIENT_DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("gradient_orthogonality.rs"),
};

impl Claim for GradientOrthogonality {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        let measure = Measure::Step(|facts, context| context.measure_gradient(facts));
        vec![Watched { id: ABOUT.id.into(), measure }]
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::dropping(Condition::FreshGradient, "gradients one step late", specimen::plain)
                .with_fault(Fault::StaleGradient),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("heavy-ball momentum", specimen::momentum),
            Specimen::named("weight decay", specimen::weight_decay),
            Specimen::named("Adam", specimen::adam),
            Specimen::named("a two-layer encoder", specimen::two_layer),
            Specimen::named("a shared linear encoder", specimen::shared_linear),
            Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
            Specimen::named("lost duplicate gradients", specimen::plain).with_fault(Fault::LastWriteWins),
        ]
    }
}

theorem!(
    gradient_orthogonality,
    GradientOrthogonality,
    "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513"
);
