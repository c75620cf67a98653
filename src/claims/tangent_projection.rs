//! # Tangent projection
//!
//! A rule that takes the radial part out of its step, as SGDP and AdamP do, steps orthogonally whatever it was going to do:
//!
//! ```text
//! Δq = s − n⟨n, s⟩,  n = q/‖q‖   ⇒   ⟨q, Δq⟩ = 0   and   ‖q'‖² = ‖q‖² + ‖Δq‖²
//! ```
//!
//! for any gradient, loss, momentum and sampling. Norms no longer grow by momentum, but they grow: no cure of popularity bias by
//! itself. The ε that implementations add to the norm, n = q/(‖q‖ + ε), leaves a part of the radial step s in place:
//! ⟨q, Δq⟩ = (1 − ρ²)·⟨q, s⟩, ρ = ‖q‖/(‖q‖ + ε). The public package projects only where every row of a table has
//! |cos∠(g, q)| < δ/√d (else perhaps the table as one vector, which leaves rows their radial parts); gradients of a cosine pass
//! that test, others do not.
//!
//! *Hypotheses*: NoDecay; the declared rule is SGDP or AdamP and projects every row in every step.
//! *Shapes*: q, s, Δq: `[d]`. *Judged*: |⟨q,Δq⟩ − (1−ρ²)⟨q,s⟩|, s from the declared rule without its projection.
//! *Allowed residual*: the rounding of the stored row times ‖q‖; γ_{3d+16}·‖q‖‖s‖ for the norm, the inner product and the
//! difference; (1−ρ²)·γ_{16(t+1)}·‖q‖‖s‖ for s itself; the check.
//! *Twins that must break it*: weight decay; momentum that is not projected; the package's test, failed by inner products;
//! a table projected as one vector; an ε that the header conceals. *Controls that must not*: AdamP, inner products, stale
//! gradients, lazy rows, a declared ε, the package's test where it is passed.
//! *Proof*: proofs/theories/TangentProjection.v.
//! *Source*: Heo et al. 2021 (AdamP); the leak of ε: derived here.

use super::specimen::{self, Specimen, redeclare};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::Gradient;
use crate::facts::{Context, Follow, Measure, Measured, RecordFacts, Watched};
use crate::geometry::{Table, dot, norm_f64};
use crate::optimizer::projection::{Projection, View};
use crate::optimizer::{Decay, Optimizer, Stepper, adamp::Adamp, decay::Form, sgdp::Sgdp};
use crate::reference::Fault;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::trajectory::{Rows, Settings};

/// ⟨q, Δq⟩ = 0 under a projected rule.
pub struct TangentProjection;

const DERIVATION: &str = "(the rounding of the stored row)·‖q‖ + γ_{3d+16}·‖q‖‖s‖ for the projection of the step s \
    + (1−ρ²)·γ_{16(t+1)}·‖q‖‖s‖ for s where ε leaves a part of it + γ_{d+2} in f64 for the check";

/// The declared rule at work on one row, without its projection.
struct Unprojected {
    stepper: Stepper<f64>,
    epsilon: f64,
}

impl Unprojected {
    /// None for a rule that does not project.
    fn of(optimizer: &Optimizer, dim: usize) -> Option<Self> {
        // No cosine is below 0: this test never fires.
        let never = Projection { view: View::Row, delta: 0.0, decay_ratio: 1.0 };
        let mut optimizer = optimizer.clone();
        *optimizer.decay_mut() = None;
        let epsilon = match &mut optimizer {
            Optimizer::Sgdp(Sgdp { projection, epsilon, .. }) | Optimizer::Adamp(Adamp { projection, epsilon, .. }) => {
                *projection = never;
                *epsilon
            }
            _ => return None,
        };
        Some(Unprojected { stepper: optimizer.start(1, dim, &|x| x), epsilon })
    }
}

impl Follow for Unprojected {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let record = facts.record;
        let (recorded, rates) = (record.grad?, context.rates.as_ref()?);
        if !context.consecutive {
            return None;
        }
        let mut gradient = Gradient::zeros(1, context.dim);
        if facts.gradient_norm != Some(0.0) || record.lookups.is_some_and(|lookups| lookups > 0) {
            gradient.accumulate(0).copy_from_slice(recorded);
        }
        let mut table = Table::from_values(context.dim, record.q.to_vec());
        self.stepper.step(record.step as u64, &rates.at(record.step), &mut table, &gradient);
        let step: Vec<f64> = table.values().iter().zip(record.q).map(|(next, q)| next - q).collect();
        if !facts.moved() && step.iter().all(|&s| s == 0.0) {
            return None;
        }
        let (radial, size) = (dot(record.q, &step), facts.norm * norm_f64(&step));
        let kept = facts.norm / (facts.norm + self.epsilon);
        let leak = (1.0 - kept) * (1.0 + kept);
        let arithmetic = context.arithmetic.accumulation;
        let rounding = arithmetic.gamma(3 * context.dim + 16) + leak * arithmetic.gamma(16 * (record.step + 1));
        let allowed = context.storage_error(facts) * facts.norm
            + rounding * size
            + context.own_check(size + facts.norm * facts.step_norm);
        let residual = (facts.radial_step - leak * radial).abs();
        // Without a projection the whole radial part would be there.
        Some(Measured::new(residual, allowed, (kept * kept * radial).abs()))
    }
}

const ABOUT: About = About {
    id: "tangent-projection",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "a step that is projected on the tangent space is orthogonal, up to ε: ⟨q, Δq⟩ = (1−ρ²)⟨q, s⟩, ρ = ‖q‖/(‖q‖+ε)",
    conditions: &[Condition::NoDecay],
    source: "Heo et al. 2021 (AdamP); the leak of ε: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("tangent_projection.rs"),
};

fn sgdp(projection: Projection) -> Sgdp {
    Sgdp {
        lr: 0.5.into(),
        momentum: 0.9,
        dampening: 0.0,
        epsilon: 1e-8,
        projection,
        decay: None,
        rows: Rows::Dense,
    }
}

fn with_rule(mut scenario: Scenario, rule: Sgdp) -> Scenario {
    scenario.item.optimizer = Optimizer::Sgdp(rule);
    scenario
}

fn projected(scenario: Scenario) -> Scenario {
    with_rule(scenario, sgdp(Projection::always()))
}

/// A rule that projects in every step, with an ε of this size.
fn with_epsilon(seed: u64) -> Scenario {
    with_rule(specimen::plain(seed), Sgdp { epsilon: 0.25, ..sgdp(Projection::always()) })
}

fn declare_always(settings: &mut Settings) {
    redeclare(settings, |optimizer| drop(optimizer.other.insert("projection".into(), "\"always\"".into())));
}

impl Claim for TangentProjection {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Projected, losses: Losses::Any }
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        let Some(optimizer) = context.replays.first().map(|replay| replay.optimizer.clone()) else {
            return Vec::new();
        };
        if Unprojected::of(&optimizer, context.dim).is_none() {
            return Vec::new();
        }
        let start = move |context: &Context| {
            Box::new(Unprojected::of(&optimizer, context.dim).expect("a rule that projects")) as Box<dyn Follow>
        };
        vec![Watched { id: ABOUT.id.into(), measure: Measure::Run(Box::new(start)) }]
    }
    fn twins(&self) -> Vec<Specimen> {
        fn declare_sgdp(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.name = Some("sgdp".into()));
            declare_always(settings);
        }
        fn conceal_epsilon(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.eps = Some(0.0));
        }
        let whole_table = |seed| {
            let projection = Projection { delta: 1.5, ..Projection::default() };
            with_rule(specimen::dot_product(seed), sgdp(projection))
        };
        vec![
            Specimen::dropping(Condition::NoDecay, "weight decay 0.1", |seed| {
                let decay = Some(Decay { rate: 0.1, form: Form::Decoupled });
                with_rule(specimen::plain(seed), Sgdp { decay, ..sgdp(Projection::always()) })
            }),
            Specimen::named("momentum that is not projected", specimen::momentum).with_header(declare_sgdp),
            Specimen::named("the package's test, failed by inner products", |seed| {
                with_rule(specimen::dot_product(seed), sgdp(Projection::default()))
            })
            .with_header(declare_always),
            Specimen::named("a table projected as one vector", whole_table).with_header(declare_always),
            Specimen::named("an ε that the header conceals", with_epsilon).with_header(conceal_epsilon),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("projected momentum", |seed| projected(specimen::plain(seed))),
            Specimen::named("the package's test, passed by cosines", |seed| {
                with_rule(specimen::plain(seed), sgdp(Projection::default()))
            })
            .with_header(declare_always),
            Specimen::named("inner products", |seed| projected(specimen::dot_product(seed))),
            Specimen::named("gradients one step late", |seed| projected(specimen::plain(seed)))
                .with_fault(Fault::StaleGradient),
            Specimen::named("an ε that the header declares", with_epsilon),
            Specimen::named("lazy rows", |seed| {
                with_rule(specimen::plain(seed), Sgdp { rows: Rows::Lazy, ..sgdp(Projection::always()) })
            }),
            Specimen::named("AdamP", |seed| {
                let (betas, epsilon, projection) = ((0.9, 0.999), 1e-8, Projection::always());
                let rule = Adamp { lr: 0.05.into(), betas, epsilon, projection, decay: None, rows: Rows::Dense };
                specimen::with_optimizer(seed, Optimizer::Adamp(rule))
            }),
        ]
    }
}

theorem!(tangent_projection, TangentProjection, "");
