//! # Gradient implies growth
//!
//! What one reads: the gradient of a cosine loss is orthogonal to the embedding, *therefore* the norm grows, whatever the encoder
//! and the optimizer:
//!
//! ```text
//! ⟨q, ∇_q L⟩ = 0 in every step    ⇒    ‖q'‖ ≥ ‖q‖ in every step        (false)
//! ```
//!
//! Why it fails: the gradient is taken at the embedding, the step is made by the parameters and the optimizer, and between the
//! two stands Δq = −η·K·g with K = JJᵀ, other rows' gradients, decay, or a scaling of coordinates. From q = (3,4) and the user
//! (1,0), each of these steps points inward although every gradient is orthogonal:
//!
//! | | ⟨q, Δq⟩ |
//! |---|---|
//! | two layers q = V·h, V = diag(1,2), h = (3,2) | −144/125·η |
//! | a shared map, the other item at (4,3) | −21/125·η |
//! | weight decay λ | −25·ηλ |
//! | the first step of Adam, or of AdaGrad | −η |
//!
//! (the first two per unit of the pull ∂L/∂cos, the fourth exceeds the step's own square while η < 1). What restores it:
//! IsotropicJacobian, PrivateParameters, NoDecay, NoCoordinateScaling (`norm-growth`). Inner products are no counterexample:
//! there the gradient is not orthogonal to begin with, and the implication says nothing.
//!
//! *Hypotheses*: IsotropicJacobian, PrivateParameters, NoDecay, NoCoordinateScaling: what must be added to make it true.
//! *Shapes*: q, Δq: `[d]`. *Judged*: norms of all rows that moved, in runs all of whose recorded gradients are orthogonal to
//! within rounding; where they are not, it is inconclusive.
//! *Allowed residual*: that of `norm-growth`.
//! *Twins that must break it* (the counterexamples): the rows of the table, and random models of each kind.
//! *Controls that must not*: the four conditions with a schedule, momentum, a frozen bias, a deep user tower trained by Adam.
//! *Proof*: proofs/theories/GradientImpliesGrowth.v.
//! *Source*: the belief: Draganov et al. 2025, "holds across architectures"; counterexamples derived here.

use super::specimen::{self, Specimen};
use super::update_orthogonality::controls_of_the_conditions;
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::{EncoderKind, shared_linear::SharedLinear, two_layer::TwoLayer};
use crate::facts::{Context, Facts, GROWTH_DERIVATION, Measure, Measured, Watched};
use crate::optimizer::decay::Form;
use crate::optimizer::{Decay, Optimizer, adagrad::Adagrad, adam::Adam, sgd::Sgd};
use crate::sampler::Batch;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Scenario};
use crate::trajectory::Rows;
use crate::verdict::{Observation, Observed};

/// An orthogonal gradient makes norms grow: refuted.
pub struct GradientImpliesGrowth;

const PREMISE: &str = "gradient-implies-growth/premise";

fn sgd(rate: f64, decay: Option<Decay>) -> Optimizer {
    Optimizer::Sgd(Sgd { lr: rate.into(), decay, rows: Rows::Dense })
}

/// One step from explicit values: `pairs` of the user (1,0) with an item, each against a negative.
fn one_step(
    encoder: EncoderKind,
    optimizer: Optimizer,
    tables: Vec<Vec<f64>>,
    constants: Vec<f64>,
    rows: usize,
    pairs: &[(usize, usize)],
) -> Scenario {
    let mut scenario = specimen::plain(0);
    scenario.dim = 2;
    scenario.steps = 1;
    scenario.item.rows = rows;
    scenario.item.encoder = encoder;
    scenario.item.optimizer = optimizer;
    scenario.item.initial = Initial::Explicit { tables, constants };
    scenario.user.rows = 1;
    scenario.user.initial = Initial::Explicit { tables: vec![vec![1.0, 0.0]], constants: Vec::new() };
    scenario.batches = Some(vec![Batch {
        users: vec![0; pairs.len()],
        positives: pairs.iter().map(|pair| pair.0).collect(),
        negatives: pairs.iter().map(|pair| vec![pair.1]).collect(),
        ..Batch::default()
    }]);
    scenario
}

/// A table with the item (3,4) and the negative (−4,3).
fn table(optimizer: Optimizer) -> Scenario {
    let encoder = specimen::plain(0).item.encoder;
    one_step(encoder, optimizer, vec![vec![3.0, 4.0, -4.0, 3.0]], Vec::new(), 2, &[(0, 1)])
}

/// q = V·relu(W·1) with V = diag(1,2), W = (3,2); the negative likewise, its second coordinate 0.
fn two_layers(_seed: u64) -> Scenario {
    let encoder = EncoderKind::TwoLayer(TwoLayer { features: 1, hidden: 2 });
    let inner = vec![3.0, 2.0, 3.0, 2.0];
    let outer = vec![1.0, 0.0, 0.0, 2.0, -1.0, 0.0, 0.0, 2.0];
    one_step(encoder, sgd(1.0 / 16.0, None), vec![inner, outer], vec![1.0, 1.0], 2, &[(0, 1)])
}

/// q_i = W·x_i with x = (1,0,0), (1,1,0) and, of its own, (0,0,1): the items (3,4), (4,3) and the negative (−4,3).
fn shared_map(_seed: u64) -> Scenario {
    let encoder = EncoderKind::SharedLinear(SharedLinear { features: 3 });
    let weight = vec![3.0, 1.0, -4.0, 4.0, -1.0, 3.0];
    let features = vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0];
    one_step(encoder, sgd(1.0 / 16.0, None), vec![weight], features, 3, &[(0, 2), (1, 2)])
}

const ABOUT: About = About {
    id: "gradient-implies-growth",
    kind: Kind::Pointwise,
    standing: Standing::Refuted,
    statement: "an orthogonal gradient alone makes the norm grow, for any encoder and optimizer",
    conditions: &[
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
    ],
    source: "the belief: Draganov et al. 2025 (\"holds across architectures\"); counterexamples derived here",
    derivation: GROWTH_DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("gradient_implies_growth.rs"),
};

impl Claim for GradientImpliesGrowth {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Isotropic, optimizers: Optimizers::Scalar, ..Family::default() }
    }
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        let growth = Measure::Step(|facts, context| {
            let signal = facts.step_norm * (facts.norm + facts.next_norm);
            facts.moved().then(|| Measured::new(-facts.growth, context.growth_allowance(facts), signal))
        });
        let gradient = Measure::Step(|facts, context| context.measure_gradient(facts));
        vec![Watched { id: ABOUT.id.into(), measure: growth }, Watched { id: PREMISE.into(), measure: gradient }]
    }
    fn observe(&self, facts: &Facts, _context: &Context) -> Observation {
        let premise = facts.tally(PREMISE).observe(GROWTH_DERIVATION, "no gradients");
        if premise.observed != Observed::Holds {
            let reason = "not all gradients are seen to be orthogonal, so the implication says nothing";
            return Observation::inconclusive(GROWTH_DERIVATION, reason);
        }
        facts.tally(ABOUT.id).observe(GROWTH_DERIVATION, "nothing moved")
    }
    fn twins(&self) -> Vec<Specimen> {
        let decay = |_| table(sgd(1.0 / 16.0, Some(Decay { rate: 0.125, form: Form::Coupled })));
        let adam = |_| table(Optimizer::Adam(Adam { epsilon: 0.0, ..Adam::with_rate(0.125) }));
        let adagrad = |_| {
            let rule = Adagrad { lr: 0.125.into(), epsilon: 0.0, decay: None, rows: Rows::Dense };
            table(Optimizer::Adagrad(rule))
        };
        vec![
            Specimen::dropping(Condition::IsotropicJacobian, "two layers at (3,4)", two_layers),
            Specimen::dropping(Condition::PrivateParameters, "a shared map at (3,4) and (4,3)", shared_map),
            Specimen::dropping(Condition::NoDecay, "weight decay 1/8 at (3,4)", decay),
            Specimen::dropping(Condition::NoCoordinateScaling, "the first step of Adam at (3,4)", adam),
            Specimen::dropping(Condition::NoCoordinateScaling, "the first step of AdaGrad at (3,4)", adagrad),
            Specimen::dropping(Condition::IsotropicJacobian, "a private two-layer encoder", specimen::two_layer),
            Specimen::dropping(Condition::PrivateParameters, "a shared linear encoder", specimen::shared_linear),
            Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::dropping(Condition::NoCoordinateScaling, "Adam", specimen::adam),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        let mut controls = controls_of_the_conditions();
        controls.push(Specimen::named("heavy-ball momentum 0.9", specimen::momentum));
        controls.push(Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad));
        controls
    }
}

theorem!(
    gradient_implies_growth,
    GradientImpliesGrowth,
    "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513"
);

#[cfg(test)]
mod witnesses {
    use super::*;
    use crate::reference::Reference;
    use crate::trainer::Trainer;

    /// ⟨q, Δq⟩ of item 0 in its only step.
    fn radial(scenario: &Scenario) -> f64 {
        let trajectory = Reference.train(&scenario.materialise().unwrap()).unwrap();
        let tower = trajectory.towers()[0];
        let (mut q, mut next) = ([0.0; 2], [0.0; 2]);
        assert!(tower.embedding(0, 0, &mut q) && tower.embedding(1, 0, &mut next));
        assert_eq!(q, [3.0, 4.0]);
        q.iter().zip(&next).map(|(q, next)| q * (next - q)).sum()
    }

    #[test]
    fn gradient_implies_growth_is_refuted_by_the_exact_steps() {
        // Three roundings of numbers up to 5 in every coordinate of the step.
        let close = |scenario: &Scenario, expected: f64| {
            approx::assert_abs_diff_eq!(radial(scenario), expected, epsilon = 75.0 * f64::EPSILON);
        };
        // Decay: −25·ηλ; Adam: η·(3 − 4) with the signs of −g = (16, −12)/125 times the pull.
        let decay = table(sgd(1.0 / 16.0, Some(Decay { rate: 0.125, form: Form::Coupled })));
        close(&decay, -25.0 / 128.0);
        let adam = table(Optimizer::Adam(Adam { epsilon: 0.0, ..Adam::with_rate(0.125) }));
        close(&adam, -0.125);
        // The pull on an item is (1 − p)/(Bτ), τ = 1/2, with 1 − p = 1/(1 + exp(Δ/τ)) for cosines Δ apart.
        let pull = |cosines: f64, pairs: f64| 2.0 / (1.0 + (cosines / 0.5).exp()) / pairs;
        // The part of second order is η²⟨q,g⟩g = 0.
        let expected = -144.0 / 125.0 / 16.0 * pull(3.0 / 5.0 + 3.0 / 5.0, 1.0);
        close(&two_layers(0), expected);
        let expected = -21.0 / 125.0 / 16.0 * pull(4.0 / 5.0 + 4.0 / 5.0, 2.0);
        close(&shared_map(0), expected);
    }

    #[test]
    fn gradient_implies_growth_says_nothing_of_inner_products() {
        let materialised = specimen::dot_product(1).materialise().unwrap();
        let observation = GradientImpliesGrowth.examine(&materialised, &Reference).unwrap();
        assert_eq!(observation.observed, Observed::Inconclusive);
    }
}
