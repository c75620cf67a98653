//! # Temperature bound
//!
//! A loss that is a mean over B pairs of functions of s/τ has the spherical gradient g̃ = ‖q‖·∇_q L = P_q·a with
//!
//! ```text
//! a = (1/(B·τ))·Σ_b r_b·û_b,      ‖q‖·‖∇_q L‖ ≤ (1/(B·τ))·Σ_b |r_b|
//! ```
//!
//! r_b the derivatives by the logits. For a softmax over in-batch candidates Σ|r_b| = (1 − p_own) + Σ_other p ≤ B in every slot,
//! hence ‖q‖·‖∇_q L‖ ≤ L/τ for a row that fills L slots: every growth law carries the factor η²/(τ²B²) at fixed residuals.
//!
//! *Hypotheses*: CosineLoss, FreshGradient.
//! *Shapes*: q, a, g: `[d]`. *Dimensionless.*
//! *Judged*: the excess of ‖q‖‖g‖ over Σ|κ|, κ = r/(Bτ) the loss's own derivatives by the similarities; and, for InfoNCE, full
//! softmax and BPR, that of Σ|κ| over L/τ. An inequality: what is left is slack.
//! *Allowed residual*: ‖q‖·‖e‖ for twice the rounding e that the gradient can carry, from the loss evaluated on numbers that
//! carry a bound on their own rounding (Higham 2002, §3.3), the rounding of the κ in the same way, and γ_{2d+4}·‖q‖‖g‖ and
//! γ_{n+2}·Σ|κ| for the two norms, the product and the sum of n terms of the check.
//! *Twins that must break it*: inner products; stale gradients; the bound without the mean over pairs; the bound of twice the
//! temperature. *Controls that must not*: an epsilon (it shortens the gradient), every loss, momentum, Adam.
//! *Proof*: proofs/theories/TemperatureBound.v, SoftmaxLoss.v.
//! *Source*: derived here.

use super::similarity_rows::{Row, similarity_rows};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::norm_f64;
use crate::loss::{
    EpsilonOn, Objective, ObjectiveFunction, alignment_uniformity::AlignmentUniformity, bpr::Bpr, bsl::Bsl,
};
use crate::reference::Fault;
use crate::rounding::Precision;
use crate::scenario::Materialised;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::trainer::Trainer;
use crate::verdict::Observation;

/// ‖q‖·‖∇L‖ ≤ Σ|r|/(Bτ) ≤ L/τ.
pub struct TemperatureBound;

const DERIVATION: &str = "‖q‖·‖e‖ for twice the rounding e of the gradient and the rounding of every κ, both on numbers that carry its \
    bound, + γ_{2d+4}·‖q‖‖g‖ + γ_{n+2}·Σ|κ| for the check itself, n similarities";

/// The excess of ‖q‖‖g‖ over `factor`·Σ|κ|.
fn measure(row: &Row, factor: f64) -> Measured {
    let bound = factor * row.compared.iter().map(|compared| compared.coefficient.0.abs()).sum::<f64>();
    let uncertain = factor * row.compared.iter().map(|compared| compared.coefficient.1).sum::<f64>();
    let (length, slope) = (norm_f64(&row.embedding), norm_f64(&row.gradient));
    let own = Precision::F64.gamma(2 * row.embedding.len() + 4) * length * slope
        + Precision::F64.gamma(row.compared.len() + 2) * bound;
    let allowed = 2.0 * length * norm_f64(&row.gradient_error) + uncertain + own;
    Measured::new(length * slope - bound, allowed, length * slope + bound)
}

/// The excess of Σ|κ| over L/τ.
fn measure_sum(row: &Row, temperature: f64) -> Measured {
    let sum: f64 = row.compared.iter().map(|compared| compared.coefficient.0.abs()).sum();
    let uncertain: f64 = row.compared.iter().map(|compared| compared.coefficient.1).sum();
    let bound = row.slots as f64 / temperature;
    let own = Precision::F64.gamma(row.compared.len() + 2) * (sum + bound);
    Measured::new(sum - bound, uncertain + own, sum + bound)
}

/// The observation where the bound is `factor` times the right one.
fn judge(materialised: &Materialised, trainer: &dyn Trainer, factor: f64) -> Result<Observation> {
    let objective = &materialised.scenario.loss.objective;
    let softmax = matches!(objective, Objective::InfoNce(_) | Objective::FullSoftmax(_) | Objective::Bpr(_));
    let temperature = objective.temperature().filter(|_| softmax);
    let mut tally = Tally::default();
    for row in similarity_rows(materialised, trainer)? {
        if row.gradient.iter().all(|&g| g == 0.0) {
            continue;
        }
        tally.judge(row.place, &measure(&row, factor));
        if let Some(temperature) = temperature {
            tally.judge(row.place, &measure_sum(&row, temperature));
        }
    }
    Ok(tally.observe(DERIVATION, "no row had a gradient"))
}

const ABOUT: About = About {
    id: "temperature-bound",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "the spherical gradient is bounded by the residuals over τ and the batch: ‖q‖·‖∇L‖ ≤ (1/(B·τ))·Σ|r| ≤ L/τ",
    conditions: &[Condition::CosineLoss, Condition::FreshGradient],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("temperature_bound.rs"),
};

impl Claim for TemperatureBound {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        let losses = Losses::Guarded;
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, 1.0)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", |seed| {
                // Long rows: an inner product's gradient does not shrink with them.
                let mut scenario = specimen::dot_product(seed);
                scenario.item.initial = crate::scenario::Initial::Normal { std: 4.0 };
                scenario
            }),
            Specimen::dropping(Condition::FreshGradient, "gradients one step late", specimen::plain)
                .with_fault(Fault::StaleGradient),
            Specimen::named("1/B² in place of the mean over pairs", specimen::plain).judged_by(
                |materialised, trainer| judge(materialised, trainer, 1.0 / materialised.batches[0].users.len() as f64),
            ),
            Specimen::named("1/τ² in place of 1/τ at τ = 2", |seed| {
                let mut scenario = specimen::plain(seed);
                scenario.loss = crate::loss::Loss::info_nce(scenario.loss.similarity, 2.0);
                scenario
            })
            .judged_by(|materialised, trainer| judge(materialised, trainer, 0.5)),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("norms clamped at 2", specimen::active_epsilon),
            Specimen::named("2 added to products of norms", |seed| specimen::with_epsilon(seed, EpsilonOn::AddProduct)),
            Specimen::named("BPR", |seed| specimen::with_objective(seed, Objective::Bpr(Bpr { temperature: 0.5 }))),
            Specimen::named("alignment and uniformity", |seed| {
                let objective = AlignmentUniformity { weight: 1.0, t: 2.0 };
                specimen::with_objective(seed, Objective::AlignmentUniformity(objective))
            }),
            Specimen::named("the bilateral softmax loss", |seed| {
                let objective = Bsl { positive_temperature: 0.25, temperature: 0.5 };
                specimen::with_objective(seed, Objective::Bsl(objective))
            }),
            Specimen::named("heavy-ball momentum", specimen::momentum),
            Specimen::named("Adam", specimen::adam),
        ]
    }
}

theorem!(temperature_bound, TemperatureBound, "holds, 132 judged; norms 1.668013155 1.186564277 1.354420513");
