//! # Diagonal scaling
//!
//! A rule that scales coordinates apart, Δq = −η·D∘g with 0 < m ≤ D_k ≤ M, turns an orthogonal gradient towards the row or
//! away from it, by an angle that does not depend on η, but not by any angle:
//!
//! ```text
//! g ⟂ q  ⇒  |cos∠(q, Δq)| ≤ (κ−1)/(κ+1),    κ = M/m over the coordinates with g_k ≠ 0
//! ```
//!
//! The first steps of Adam, AdaGrad and RMSprop with ε = 0 are sign(g), D_k = 1/|g_k|; clipping by value is D_k = min(1, c/|g_k|).
//! Either sign occurs: at q = (3, 4) the step by signs for −cos is −η along q for the user e₁ and +η for e₂, clipping at 12/125
//! gives −12η/125. Where all |g_k| are equal κ = 1 and the step is orthogonal. For gradients of random direction cos∠(q, sign g)
//! has the mean 0 and the standard deviation √(1 − 2/π)/√d ≈ 0.603/√d: in high dimension nearly orthogonal, and never exactly.
//!
//! *Hypotheses*: CosineLoss, IsotropicJacobian with κ = 1 (a table), PrivateParameters, NoMomentum, NoDecay, FreshGradient, NoEpsilon.
//! *Shapes*: q, g, D: `[d]`. *Judged*: |⟨q,Δq⟩| − ‖q‖‖Δq‖(κ−1)/(κ+1), with D from the declared rule on the recorded gradients.
//! *Allowed residual*: η·M times the gradient's allowance, the rounding of the stored row times ‖q‖, and γ_{d+24}·‖q‖‖Δq‖ for D
//! (a dozen roundings a coordinate, in trainer and check) and the check itself.
//! *Twins that must break it*, at a κ near 1: inner products; a two-layer encoder; a shared map; Adam's momentum denied by the
//! header; weight decay; stale gradients; an active epsilon; plain SGD where signs are trained.
//! *Controls that must not*: the exact witnesses; equal magnitudes; clipping by value; first steps of Adam; lazy rows looked up
//! without a gradient; a deep user tower.
//! *Proof*: proofs/theories/DiagonalScaling.v.
//! *Source*: the bound: Wielandt's inequality (Horn & Johnson 2013, 7.4.12); witnesses and size: derived here.

use super::specimen::{self, Specimen, declare_table, redeclare};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::facts::{Context, Follow, Measure, Measured, RecordFacts, Watched};
use crate::loss::{Loss, Objective, cosine_embedding::CosineEmbedding, triplet::Triplet};
use crate::optimizer::update::Clip;
use crate::optimizer::{Decay, Optimizer, Stepper, Update, adam::Adam, decay::Form, rmsprop::Rmsprop, sgd::Sgd};
use crate::optimizer::{lion::Lion, sign_sgd::SignSgd};
use crate::reference::Fault;
use crate::sampler::Batch;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Scenario};
use crate::trajectory::{Rows, Settings, Similarity};

/// |cos∠(q, Δq)| ≤ (κ−1)/(κ+1).
pub struct DiagonalScaling;

const DERIVATION: &str =
    "η·max D·(the gradient's allowance) + (the rounding of the stored row)·‖q‖ + γ_{d+24}·‖q‖‖Δq‖ for D and the check";

/// The declared rule, at work on one row that stays at zero: what it makes of the gradient alone.
struct Scaling {
    stepper: Stepper<f64>,
}

impl Scaling {
    /// The least and the greatest factor of a coordinate with a gradient; None where the step is no positive multiple
    /// of it coordinate by coordinate.
    fn range(&mut self, step: usize, gradient: &[f64]) -> Option<(f64, f64)> {
        let mut scaled = vec![0.0; gradient.len()];
        self.stepper.move_row(0, step as u64, &1.0, &mut scaled, gradient);
        let (mut least, mut greatest) = (f64::INFINITY, 0.0_f64);
        for (s, g) in scaled.iter().zip(gradient) {
            let factor = -s / g;
            if *g != 0.0 && factor > 0.0 && factor.is_finite() {
                least = least.min(factor);
                greatest = greatest.max(factor);
            } else if *g != 0.0 || *s != 0.0 {
                return None;
            }
        }
        (greatest > 0.0).then_some((least, greatest))
    }
}

impl Follow for Scaling {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let gradient = facts.record.grad?;
        let touched = facts.gradient_norm != Some(0.0) || facts.record.lookups.is_some_and(|lookups| lookups > 0);
        if !context.consecutive || !self.stepper.visits(touched) {
            return None;
        }
        let (least, greatest) = self.range(facts.record.step, gradient)?;
        if !facts.moved() {
            return None;
        }
        // (κ−1)/(κ+1), without a quotient that may overflow.
        let bound = (greatest - least) / (greatest + least);
        let size = facts.norm * facts.step_norm;
        let rate = context.rates.as_ref()?.at(facts.record.step);
        let rounding = context.arithmetic.storage.gamma(context.dim + 24);
        let allowed = rate * greatest * context.gradient_allowance(facts).0
            + context.storage_error(facts) * facts.norm
            + rounding * size
            + context.own_check(size);
        Some(Measured::new(facts.radial_step.abs() - bound * size, allowed, (1.0 - bound) * size))
    }
}

const ABOUT: About = About {
    id: "diagonal-scaling",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "scaling the coordinates of a tangent gradient apart leaves |cos∠(q,Δq)| ≤ (κ−1)/(κ+1)",
    conditions: &[
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::NoMomentum,
        Condition::NoDecay,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "the bound: Wielandt's inequality (Horn & Johnson 2013, 7.4.12); witnesses and size: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("diagonal_scaling.rs"),
};

/// RMSprop with an ε that outweighs the roots: factors near 1/ε in all coordinates.
fn gentle(decay: Option<Decay>) -> Optimizer {
    Optimizer::Rmsprop(Rmsprop { lr: 4.0.into(), alpha: 0.5, epsilon: 4.0, decay, rows: Rows::Dense })
}

fn gently(mut scenario: Scenario) -> Scenario {
    scenario.item.optimizer = gentle(None);
    scenario
}

fn gentle_adam(seed: u64) -> Scenario {
    specimen::with_optimizer(seed, Optimizer::Adam(Adam { epsilon: 4.0, ..Adam::with_rate(4.0) }))
}

fn signs(lr: f64) -> Optimizer {
    Optimizer::SignSgd(SignSgd { lr: lr.into(), decay: None, rows: Rows::Dense })
}

/// One item at q and one user, under −cos (up to a constant), for one step.
fn pair(q: &[f64], user: &[f64], optimizer: Optimizer, update: Update) -> Scenario {
    let mut scenario = specimen::plain(0);
    (scenario.dim, scenario.steps) = (q.len(), 1);
    scenario.loss = Loss::new(Similarity::Cosine, Objective::CosineEmbedding(CosineEmbedding::default()));
    (scenario.item.rows, scenario.user.rows) = (1, 1);
    (scenario.item.optimizer, scenario.item.update) = (optimizer, update);
    scenario.item.initial = Initial::Explicit { tables: vec![q.to_vec()], constants: vec![] };
    scenario.user.initial = Initial::Explicit { tables: vec![user.to_vec()], constants: vec![] };
    scenario.batches = Some(vec![Batch { users: vec![0], positives: vec![0], ..Batch::default() }]);
    scenario
}

const USERS: [[f64; 2]; 2] = [[1.0, 0.0], [0.0, 1.0]];

fn clipped(limit: f64) -> Update {
    Update { clip: Some(Clip::Value(limit)), ..Update::default() }
}

fn sgd(lr: f64) -> Optimizer {
    Optimizer::Sgd(Sgd { lr: lr.into(), decay: None, rows: Rows::Dense })
}

impl Claim for DiagonalScaling {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Diagonal, ..Family::default() }
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        let Some(replay) = context.replays.first().cloned().filter(|_| context.is_table) else {
            return Vec::new();
        };
        let start = move |context: &Context| {
            let stepper = replay.optimizer.start::<f64>(1, context.dim, &|x| x);
            Box::new(Scaling { stepper: stepper.within(&replay.update, 1, &|x| x) }) as Box<dyn Follow>
        };
        vec![Watched { id: ABOUT.id.into(), measure: Measure::Run(Box::new(start)) }]
    }
    fn twins(&self) -> Vec<Specimen> {
        fn deny_momentum(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.betas = Some((0.0, 0.999)));
        }
        fn declare_sgd(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.name = Some("sgd".into()));
        }
        let dropping = Specimen::dropping;
        vec![
            dropping(Condition::CosineLoss, "inner products", |seed| gently(specimen::dot_product(seed))),
            dropping(Condition::IsotropicJacobian, "a private two-layer encoder", |seed| {
                gently(specimen::two_layer(seed))
            })
            .with_header(declare_table),
            dropping(Condition::PrivateParameters, "a shared linear encoder", |seed| {
                gently(specimen::shared_linear(seed))
            })
            .with_header(declare_table),
            dropping(Condition::NoMomentum, "Adam's momentum, denied by the header", gentle_adam)
                .with_header(deny_momentum),
            dropping(Condition::NoDecay, "weight decay 0.1", |seed| {
                let decay = Some(Decay { rate: 0.1, form: Form::Decoupled });
                specimen::with_optimizer(seed, gentle(decay))
            }),
            dropping(Condition::FreshGradient, "gradients one step late", |seed| gently(specimen::plain(seed)))
                .with_fault(Fault::StaleGradient),
            dropping(Condition::NoEpsilon, "norms clamped at 2", |seed| gently(specimen::active_epsilon(seed))),
            Specimen::named("signs declared as plain SGD", |seed| specimen::with_optimizer(seed, signs(0.1)))
                .with_header(declare_sgd),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("signs", |seed| specimen::with_optimizer(seed, signs(0.1))),
            Specimen::named("an ε that outweighs the roots", |seed| gently(specimen::plain(seed))),
            Specimen::named("signs at (3, 4): inward for e₁, outward for e₂", |seed| {
                pair(&[3.0, 4.0], &USERS[seed as usize % 2], signs(0.5), Update::default())
            }),
            Specimen::named("a gradient clipped at 12/125", |_| {
                pair(&[3.0, 4.0], &USERS[0], sgd(0.5), clipped(12.0 / 125.0))
            }),
            Specimen::named("clipping by value", |seed| {
                let mut scenario = specimen::plain(seed);
                scenario.item.update = clipped(0.02);
                scenario
            }),
            Specimen::named("equal magnitudes under signs", |_| {
                pair(&[1.0; 4], &[1.0, -1.0, 1.0, -1.0], signs(0.5), Update::default())
            }),
            Specimen::named("Lion without momentum", |seed| {
                let lion = Lion { lr: 0.1.into(), betas: (0.0, 0.5), decay: None, rows: Rows::Lazy };
                specimen::with_optimizer(seed, Optimizer::Lion(lion))
            }),
            Specimen::named("lazy rows, many of them looked up without a gradient", |seed| {
                // Without a margin every triplet in the right order has the gradient zero.
                let mut scenario = specimen::with_objective(seed, Objective::Triplet(Triplet { margin: 0.0 }));
                scenario.item.optimizer = gentle(None);
                *scenario.item.optimizer.rows_mut() = Rows::Lazy;
                scenario
            }),
            Specimen::named("a deep user tower trained by Adam", |seed| gently(specimen::deep_user_tower(seed))),
        ]
    }
}

theorem!(diagonal_scaling, DiagonalScaling, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod witnesses {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;
    use rand_distr::{Distribution, StandardNormal};

    use super::*;
    use crate::geometry::{add_scaled, cosine_f64, dot};
    use crate::reference::Reference;
    use crate::rounding::Precision;
    use crate::trainer::Trainer;

    /// ⟨q, Δq⟩ of the only step of the only item.
    fn radial(scenario: &Scenario) -> f64 {
        let trajectory = Reference.train(&scenario.materialise().unwrap()).unwrap();
        let tower = trajectory.towers()[0];
        let row = |step| {
            let mut q = vec![0.0; tower.dim()];
            assert!(tower.embedding(step, 0, &mut q));
            q
        };
        let (q, next) = (row(0), row(1));
        let step: Vec<f64> = next.iter().zip(&q).map(|(a, b)| a - b).collect();
        dot(&q, &step)
    }

    /// Stored coordinates up to 5, twice two of them added up, a step of five roundings.
    fn rounding() -> f64 {
        25.0 * Precision::F64.gamma(12)
    }

    #[test]
    fn at_three_four_the_step_by_signs_is_inward_for_one_user_and_outward_for_the_other() {
        let (eta, decay, rows) = (0.5, None, Rows::Dense);
        let adam = Optimizer::Adam(Adam { epsilon: 0.0, ..Adam::with_rate(eta) });
        let rmsprop = Rmsprop { lr: eta.into(), alpha: 0.0, epsilon: 0.0, decay: decay.clone(), rows };
        let lion = Lion { lr: eta.into(), betas: (0.9, 0.99), decay, rows };
        for optimizer in [signs(eta), adam, Optimizer::Rmsprop(rmsprop), Optimizer::Lion(lion)] {
            for (user, expected) in USERS.iter().zip([-eta, eta]) {
                let found = radial(&pair(&[3.0, 4.0], user, optimizer.clone(), Update::default()));
                assert!((found - expected).abs() <= rounding(), "{optimizer:?}: {found} for {expected}");
            }
        }
        let found = radial(&pair(&[3.0, 4.0], &USERS[0], sgd(eta), clipped(12.0 / 125.0)));
        assert!((found + 12.0 * eta / 125.0).abs() <= rounding(), "{found}");
    }

    #[test]
    fn equal_magnitudes_are_benign() {
        let found = radial(&pair(&[1.0; 4], &[1.0, -1.0, 1.0, -1.0], signs(0.5), Update::default()));
        assert!(found.abs() <= rounding(), "{found}");
    }

    /// The root mean square of cos∠(q, sign g)·√d over N pairs of random directions, g ⟂ q. Its square is a mean of N
    /// independent squares; each is near σ²·χ²₁ with the variance 2σ⁴, so the standard error of the mean is σ²·√(2/N), and six
    /// of them (a chance below 1e-8) are allowed, beside the bias 1/d of a finite dimension.
    #[test]
    fn the_cosine_of_a_step_by_signs_has_the_standard_deviation_0_603_over_root_d() {
        const PAIRS: usize = 20_000;
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for d in [16_usize, 64] {
            let mut normal = || -> Vec<f64> { (0..d).map(|_| StandardNormal.sample(&mut random)).collect() };
            let (mut sum, mut squares) = (0.0, 0.0);
            for _ in 0..PAIRS {
                let (q, mut g) = (normal(), normal());
                let radial = dot(&q, &g) / dot(&q, &q);
                add_scaled(&mut g, -radial, &q);
                let step: Vec<f64> = g.iter().map(|g| g.signum()).collect();
                let cosine = cosine_f64(&q, &step).unwrap() * (d as f64).sqrt();
                sum += cosine;
                squares += cosine * cosine;
            }
            let (count, variance) = (PAIRS as f64, 1.0 - 2.0 / std::f64::consts::PI);
            let error = 6.0 * (2.0 / count).sqrt() * variance + variance / d as f64;
            assert!((squares / count - variance).abs() <= error, "d = {d}: {}", squares / count);
            assert!((sum / count).abs() <= 6.0 * (variance / count).sqrt(), "either sign is as likely");
            assert!(((squares / count).sqrt() - 1.0).abs() > 0.3, "plainly not the size of a random direction");
        }
    }
}
