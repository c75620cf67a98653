//! # Gradient orthogonality
//!
//! Where the loss sees a row only through its direction, L(q) = ℓ(q/‖q‖), its gradient is orthogonal to the row:
//!
//! ```text
//! ⟨q, ∇_q L⟩ = 0,    ∇_q L = (a − ⟨a,q̂⟩q̂)/‖q‖,   a = ∂ℓ/∂q̂
//! ```
//!
//! whatever the towers, the optimizer, the loss, the temperature, duplicates in the batch (masked or not), log-Q corrections
//! or the choice of negatives: every slot's gradient is taken at the same q, and sums of orthogonal vectors are orthogonal.
//!
//! Behind a positively homogeneous map z = h(e), h(c·e) = cᵏ·h(e) (a frozen projection, a dropout mask, sum pooling, a ReLU
//! network without biases), the raw row is tangent as well: ⟨e, ∇_e L⟩ = k·⟨z, ∂L/∂z⟩ = 0. A table shared by both towers keeps
//! it row by row; a user that pools item rows sends them half a gradient that is tangent to the mean and not to the rows.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon, FreshGradient.
//! *Shapes*: q, g, a: `[d]`. *Dimensionless* in the direction; ‖g‖ scales as 1/‖q‖.
//! *Allowed residual*: (γ_{3d+10} in accumulation + γ_{16+L} in storage)·‖a‖, never relative to ‖q‖‖g‖: where the
//! upstream gradient is nearly parallel to q, cancellation leaves an angle that means nothing.
//! *Twins that must break it*: inner products; an active epsilon of each kind; stale gradients. *Controls that must not*:
//! every loss and every kind of negatives, log-Q, masked duplicates, momentum, weight decay, Adam, a two-layer or shared
//! encoder, a frozen projection, hashed sums, a deep user tower.
//! *Proof*: proofs/theories/GradientOrthogonality.v.
//! *Source*: Wang et al. 2017 (NormFace); Euler's identity for functions of degree 0.

use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::{
    EncoderKind,
    hash::{Hash, Weights},
    projection::Projection,
};
use crate::facts::{Context, GRADIENT_DERIVATION, Measure, Watched};
use crate::loss::{
    EpsilonOn, Objective, alignment_uniformity::AlignmentUniformity, bpr::Bpr, bsl::Bsl, contrastive::Contrastive,
    cosine_embedding::CosineEmbedding, full_softmax::FullSoftmax, info_nce::InfoNce, triplet::Triplet,
};
use crate::reference::Fault;
use crate::sampler::{Negatives, full::Full, mixed::Mixed, uniform::Uniform};
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
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        let measure = Measure::Step(|facts, context| context.measure_gradient(facts));
        vec![Watched { id: ABOUT.id.into(), measure }]
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::dropping(Condition::NoEpsilon, "squared norms clamped at 2", |seed| {
                specimen::with_epsilon(seed, EpsilonOn::Norm2)
            }),
            Specimen::dropping(Condition::NoEpsilon, "products of norms clamped at 2", |seed| {
                specimen::with_epsilon(seed, EpsilonOn::Product)
            }),
            Specimen::dropping(Condition::NoEpsilon, "2 added to norms", |seed| {
                specimen::with_epsilon(seed, EpsilonOn::Add)
            }),
            Specimen::dropping(Condition::NoEpsilon, "2 added to products of norms", |seed| {
                specimen::with_epsilon(seed, EpsilonOn::AddProduct)
            }),
            Specimen::dropping(Condition::NoEpsilon, "2 added to squared norms", |seed| {
                specimen::with_epsilon(seed, EpsilonOn::AddNorm2)
            }),
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
            Specimen::named("a frozen projection", |seed| {
                specimen::with_encoder(seed, EncoderKind::Projection(Projection { inner: 3 }))
            }),
            Specimen::named("sums of hashed rows", |seed| {
                let hash = Hash { buckets: 6, hashes: 2, weights: Weights::Absent };
                specimen::with_encoder(seed, EncoderKind::Hash(hash))
            }),
            Specimen::named("lost duplicate gradients", specimen::plain).with_fault(Fault::LastWriteWins),
            Specimen::named("negatives of its own for each pair", |seed| {
                specimen::with_negatives(seed, Negatives::Uniform(Uniform { count: 3 }))
            }),
            Specimen::named("mixed negatives, corrected for Q and for accidental hits", |seed| {
                let mut scenario = specimen::with_negatives(seed, Negatives::Mixed(Mixed { count: 3 }));
                scenario.loss.objective = Objective::InfoNce(InfoNce { temperature: 0.5, log_q: true });
                scenario.loss.mask_duplicates = true;
                scenario
            }),
            Specimen::named("full softmax", |seed| {
                let mut scenario = specimen::with_negatives(seed, Negatives::Full(Full {}));
                scenario.loss.objective = Objective::FullSoftmax(FullSoftmax { temperature: 0.5 });
                scenario
            }),
            Specimen::named("BPR", |seed| specimen::with_objective(seed, Objective::Bpr(Bpr { temperature: 0.5 }))),
            Specimen::named("the triplet margin loss", |seed| {
                specimen::with_objective(seed, Objective::Triplet(Triplet { margin: 0.5 }))
            }),
            Specimen::named("the contrastive margin loss", |seed| {
                specimen::with_objective(seed, Objective::Contrastive(Contrastive { margin: 0.25, weight: 2.0 }))
            }),
            Specimen::named("alignment and uniformity", |seed| {
                let objective = AlignmentUniformity { weight: 1.0, t: 2.0 };
                specimen::with_objective(seed, Objective::AlignmentUniformity(objective))
            }),
            Specimen::named("the cosine-embedding loss", |seed| {
                specimen::with_objective(seed, Objective::CosineEmbedding(CosineEmbedding { margin: 0.25 }))
            }),
            Specimen::named("the bilateral softmax loss", |seed| {
                let objective = Bsl { positive_temperature: 0.25, temperature: 0.5 };
                specimen::with_objective(seed, Objective::Bsl(objective))
            }),
        ]
    }
}

theorem!(
    gradient_orthogonality,
    GradientOrthogonality,
    "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513"
);
