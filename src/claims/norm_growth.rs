//! # Norm growth
//!
//! An orthogonal step obeys Pythagoras, so no step shrinks the norm:
//!
//! ```text
//! ‖q'‖² = ‖q‖² + ‖Δq‖² ≥ ‖q‖²
//! ```
//!
//! and the norm counts the squared length of the path. What is judged is the inequality: a shrink beyond the rounding of
//! ‖q‖², over every row that moved. It outlives conditions that orthogonality does not: heavy-ball momentum points
//! outward (`heavy-ball-identity`), so it is a control here. Nesterov momentum does so unless its rates explode
//! (`nesterov-growth`); a run whose rates do is not judged.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian, PrivateParameters, NoDecay, NoCoordinateScaling, FreshGradient, NoEpsilon.
//! *Shapes*: q, Δq: `[d]`.
//! *Allowed residual*: twice the allowance of ⟨q,Δq⟩ + the rounding of the check.
//! *Twins that must break it*: inner products; a two-layer encoder; a shared map; weight decay; Adam; stale gradients; an
//! active epsilon. *Controls that must not*: a schedule, momentum (dense, and with warm-up), row-wise AdaGrad, a frozen bias.
//! *Proof*: proofs/theories/NormGrowth.v.
//! *Source*: Wang et al. 2017 (NormFace), for embeddings that are parameters.

use super::nesterov_growth::may_point_inward;
use super::specimen::{self, Specimen};
use super::update_orthogonality::{controls_of_the_conditions, twins_of_the_conditions};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::facts::{Context, Facts, GROWTH_DERIVATION, Measure, Measured, Watched};
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::verdict::Observation;

/// ‖q'‖ ≥ ‖q‖.
pub struct NormGrowth;

const ABOUT: About = About {
    id: "norm-growth",
    kind: Kind::Step,
    standing: Standing::Theorem,
    statement: "no step shrinks the norm: ‖q'‖² ≥ ‖q‖²",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "Wang et al. 2017 (NormFace), for embeddings that are parameters",
    derivation: GROWTH_DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("norm_growth.rs"),
};

impl Claim for NormGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Isotropic, optimizers: Optimizers::Scalar, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        let measure = Measure::Step(|facts, context| {
            if !facts.moved() {
                return None;
            }
            let signal = facts.step_norm * (facts.norm + facts.next_norm);
            Some(Measured::new(-facts.growth, context.growth_allowance(facts), signal))
        });
        vec![Watched { id: ABOUT.id.into(), measure }]
    }
    fn observe(&self, facts: &Facts, context: &Context) -> Observation {
        if may_point_inward(context) {
            let reason = "Nesterov momentum whose rates grow so fast may point inward (see nesterov-growth)";
            return Observation::inconclusive(GROWTH_DERIVATION, reason);
        }
        facts.tally(ABOUT.id).observe(GROWTH_DERIVATION, "nothing to judge: no row had a gradient or moved")
    }
    fn twins(&self) -> Vec<Specimen> {
        twins_of_the_conditions()
    }
    fn controls(&self) -> Vec<Specimen> {
        let mut controls = controls_of_the_conditions();
        controls.push(Specimen::named("heavy-ball momentum 0.9", specimen::momentum));
        controls.push(Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad));
        controls
    }
}

theorem!(norm_growth, NormGrowth, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");
