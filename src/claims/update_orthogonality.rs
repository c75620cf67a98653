//! # Update orthogonality
//!
//! Under four conditions a training step is orthogonal to the embedding, exactly and at any learning rate:
//!
//! ```text
//! Δq = −η·κ·∇_q L,    so    ⟨q, Δq⟩ = 0
//! ```
//!
//! The loss is a function of cosines (the gradient is orthogonal), JJᵀ = κI (an affine map of private parameters has
//! κ = ‖x‖² + [bias trained]), no other row's gradient arrives, and the optimizer multiplies the gradient by one scalar.
//! The user tower may be anything.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian, PrivateParameters, ScalarStep, FreshGradient, NoEpsilon.
//! *Shapes*: q, Δq: `[d]`. *Dimensionless* in the direction.
//! *Allowed residual*: (L+2)·u·‖q‖·max(‖q‖,‖q'‖) for the rounding of the stored row, + ‖Δq‖/‖g‖ times the
//! gradient's allowance.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; momentum; weight decay; Adam; stale
//! gradients; an active epsilon. *Controls that must not*: a schedule, row-wise AdaGrad, a frozen bias, a deep user tower
//! trained by Adam, momentum 0, lost duplicates (only `declared-step` sees those).
//! *Proof*: proofs/theories/UpdateOrthogonality.v.
//! *Source*: the four conditions from "Theoretical Grounds for Popularity Bias in Two-Tower Models Trained with
//! Cosine-Based Loss" (abstract; reconstructed); isotropy in place of linearity: derived here.

use super::specimen::{self, Specimen, declare_table, redeclare};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::facts::{Context, Measure, UPDATE_DERIVATION, Watched};
use crate::optimizer::{Optimizer, heavy_ball::HeavyBall};
use crate::reference::Fault;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::{DeclaredOptimizer, Rows, Settings, Side};

/// ⟨q, Δq⟩ = 0.
pub struct UpdateOrthogonality;

/// One twin for each condition that makes a step orthogonal.
pub(super) fn twins_of_the_conditions() -> Vec<Specimen> {
    vec![
        Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
        Specimen::dropping(Condition::IsotropicJacobian, "a private two-layer encoder", specimen::two_layer),
        Specimen::dropping(Condition::PrivateParameters, "a shared linear encoder", specimen::shared_linear),
        Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
        Specimen::dropping(Condition::NoCoordinateScaling, "Adam", specimen::adam),
        Specimen::dropping(Condition::FreshGradient, "gradients one step late", specimen::plain)
            .with_fault(Fault::StaleGradient),
        Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
    ]
}

/// For claims whose right-hand side is that of SGD on a table: Adam, and encoders with other parameters, read as if they were
/// that.
pub(super) fn declare_as_table_sgd(twins: &mut [Specimen]) {
    fn sgd(settings: &mut Settings) {
        redeclare(settings, |optimizer| {
            *optimizer = DeclaredOptimizer { name: Some("sgd".into()), ..DeclaredOptimizer::default() };
        });
    }
    for twin in twins {
        let header = match twin.drops {
            Some(Condition::NoCoordinateScaling) => sgd,
            Some(Condition::IsotropicJacobian | Condition::PrivateParameters) => declare_table,
            _ => continue,
        };
        *twin = twin.clone().with_header(header);
    }
}

/// A header by which the item tower is a table trained by this optimizer: for claims about one rule, so that what departs
/// from it is still judged by it.
pub(super) fn read_as(settings: &mut Settings, optimizer: &Optimizer) {
    let own = Settings {
        encoder: Some("id".into()),
        optimizer: Some(DeclaredOptimizer { lr: None, ..optimizer.declare() }),
        ..Settings::default()
    };
    settings.set_tower(Side::Item, &own);
}

/// Deviations that leave every step orthogonal.
pub(super) fn controls_of_the_conditions() -> Vec<Specimen> {
    vec![
        Specimen::named("a warm-up schedule", specimen::warm_up),
        Specimen::named("an affine encoder with a frozen bias", specimen::frozen_bias),
        Specimen::named("a deep user tower trained by Adam", specimen::deep_user_tower),
    ]
}

fn zero_momentum(seed: u64) -> crate::scenario::Scenario {
    let ball = HeavyBall { lr: 1.0.into(), momentum: 0.0, dampening: 0.0, decay: None, rows: Rows::Dense };
    specimen::with_optimizer(seed, Optimizer::HeavyBall(ball))
}

const ABOUT: About = About {
    id: "update-orthogonality",
    kind: Kind::Step,
    standing: Standing::Theorem,
    statement: "the step of an embedding is orthogonal to it: ⟨q, Δq⟩ = 0",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "conditions from the abstract of \"Theoretical Grounds for Popularity Bias in Two-Tower Models Trained with \
         Cosine-Based Loss\"; isotropy in place of linearity: derived here",
    derivation: UPDATE_DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("update_orthogonality.rs"),
};

impl Claim for UpdateOrthogonality {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Isotropic, optimizers: Optimizers::Scalar, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        let measure = Measure::Step(|facts, context| context.measure_update(facts));
        vec![Watched { id: ABOUT.id.into(), measure }]
    }
    fn twins(&self) -> Vec<Specimen> {
        let mut twins = twins_of_the_conditions();
        twins.push(Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum));
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        let mut controls = controls_of_the_conditions();
        controls.push(Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad));
        controls.push(Specimen::named("momentum 0", zero_momentum));
        controls.push(Specimen::named("lost duplicate gradients", specimen::plain).with_fault(Fault::LastWriteWins));
        controls
    }
}

theorem!(
    update_orthogonality,
    UpdateOrthogonality,
    "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513"
);
