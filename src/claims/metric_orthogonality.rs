//! # Metric orthogonality
//!
//! Where the Jacobian is not isotropic, orthogonality is bent and not lost. With K = JJᵀ positive definite and private
//! parameters, a step Δq = −η·K·g is orthogonal to q in the metric of K⁻¹:
//!
//! ```text
//! ⟨q, Δq⟩_{K⁻¹} = qᵀK⁻¹Δq = −η·⟨q, g⟩ = 0,    so    ‖q'‖²_{K⁻¹} = ‖q‖²_{K⁻¹} + η²·gᵀKg
//! ```
//!
//! and ‖q‖ keeps within the condition number of K. The same holds of a diagonal preconditioner: element-wise AdaGrad steps
//! −η·D·g with D = diag(1/(√G + ε)), and qᵀD⁻¹Δq = 0. (That qᵀD⁻¹q then grows says little: most of its growth is the
//! accumulator's, while ‖q‖ may shrink.) Cases: a frozen projection, K = VVᵀ; private products, K = ‖h‖²I + ‖x‖²VDVᵀ
//! while no unit changes sides; affine maps and tables, K = κI.
//!
//! *Hypotheses*: CosineLoss, PrivateParameters, NoMomentum, NoDecay, FreshGradient, NoEpsilon; SGD, or AdaGrad on a table.
//! *Shapes*: q, g: `[d]`, K: `[d, d]`. *Judged*: every row that moved and whose K can be solved.
//! *Allowed residual*: running error analysis: twice the bounds of q, the step and q', η·Σ|q|·(twice the bound of g), and the
//! solution of K y = q on numbers that carry their error: an ill-conditioned K says nothing. For AdaGrad the step's bound is
//! u·max(|q|,|q'|) + γ_{8+t}·|Δq| in every coordinate: quotient, root, products and t sums.
//! *Twins that must break it*: inner products; a shared map; momentum; weight decay; stale gradients; an active epsilon; the
//! Euclidean product for a frozen projection. *Controls that must not*: a frozen projection, a two-layer network, a gain times a
//! vector, AdaGrad.
//! *Proof*: proofs/theories/MetricOrthogonality.v.
//! *Source*: derived here; preconditioned descent is folklore.

use super::specimen::{self, Specimen};
use super::steps::{Bounded, Step, Steps, exact, product, solve, within};
use super::update_kernel::{self, kernel};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::EncoderKind;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::Table;
use crate::number::Real;
use crate::optimizer::{Optimizer, adagrad::Adagrad};
use crate::reference::Fault;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Rows;
use crate::verdict::{Observation, Place};

/// ⟨q, Δq⟩ = 0 in the metric of the encoder.
pub struct MetricOrthogonality;

const DERIVATION: &str = "running error analysis: twice the bounds of q, the step and q', η·Σ|q|·(twice the bound of g), and the \
    solution of K·y = q on numbers that carry their error; for AdaGrad u·max(|q|,|q'|) + γ_{8+t}·|Δq| a coordinate";

const PRIVATE: &[&str] = &["id", "affine", "two-layer", "gain-vector", "projection"];

/// qᵀM·Δq for y = M·q, where `moved` bounds the error of Δq and `leak` what the error of g adds.
fn measure(step: &Step<'_>, row: usize, y: &[Bounded], moved: &[f64], leak: f64) -> Option<Measured> {
    let next = within(step.next.row(row), moved);
    let difference: Vec<_> = next.into_iter().zip(exact(step.q.row(row))).map(|(next, q)| next - q).collect();
    let residual = product(y, &difference);
    let signal = y.iter().zip(&difference).map(|(y, x)| (y.value() * x.value()).abs()).sum::<f64>();
    let allowed = residual.error() + leak + step.underflow();
    let known = residual.value().is_finite() && allowed < signal;
    known.then(|| Measured::new(residual.value().abs(), allowed, signal))
}

/// A step of SGD in the metric of the rows' own kernels, or in that of the identity.
fn judge_sgd(step: &Step<'_>, euclidean: bool, tally: &mut Tally) {
    let Some(kernel) = kernel(step) else { return };
    let (moved, gradient) = (step.step_errors(), step.gradient_errors());
    for (row, own) in kernel.rows.iter().enumerate() {
        let Some(own) = own.as_ref().filter(|_| step.q.row(row) != step.next.row(row)) else {
            continue;
        };
        let q = exact(step.q.row(row));
        let y = if euclidean { q } else { solve(own.own_block(q.len()), q) };
        let errors = gradient.embeddings.row(row).iter();
        let radial = step.q.row(row).iter().zip(errors).map(|(q, error)| q.abs() * error).sum::<f64>();
        // A product of two trained parts adds η²·‖x‖²·⟨q,g⟩·g.
        let along: f64 = y.iter().zip(step.gradient.row(row)).map(|(y, g)| (y.value() * g).abs()).sum();
        let second = 1.0 + step.rate * own.inner_weight().value() * along;
        if let Some(measured) = measure(step, row, &y, moved.moved.row(row), step.rate * radial * second) {
            tally.judge(Place { step: step.number as u64, row: row as u64 }, &measured);
        }
    }
}

/// A step of AdaGrad on a table in its own metric; `squares` is G.
fn judge_adagrad(step: &Step<'_>, rule: &Adagrad, squares: &mut Table<Bounded>, tally: &mut Tally) {
    let precision = crate::rounding::Precision::F64;
    let gradient = step.gradient_errors();
    for row in 0..step.q.rows() {
        let sums = squares.row_mut(row);
        for (sum, &g) in sums.iter_mut().zip(step.gradient.row(row)) {
            *sum = *sum + Bounded::from_f64(g) * Bounded::from_f64(g);
        }
        if step.q.row(row) == step.next.row(row) {
            continue;
        }
        let weights = sums.iter().map(|sum| sum.sqrt() + Bounded::from_f64(rule.epsilon));
        let y: Vec<_> = weights.zip(exact(step.q.row(row))).map(|(weight, q)| weight * q).collect();
        let moved = step.q.row(row).iter().zip(step.next.row(row)).map(|(q, next)| {
            let rounded = precision.gamma(8 + step.number) * (next - q).abs();
            2.0 * (precision.unit_roundoff() * q.abs().max(next.abs()) + rounded)
        });
        let errors = gradient.embeddings.row(row).iter();
        let radial = step.q.row(row).iter().zip(errors).map(|(q, error)| q.abs() * error).sum::<f64>();
        if let Some(measured) = measure(step, row, &y, &moved.collect::<Vec<_>>(), step.rate * radial) {
            tally.judge(Place { step: step.number as u64, row: row as u64 }, &measured);
        }
    }
}

fn judge(materialised: &Materialised, trainer: &dyn Trainer, euclidean: bool) -> Result<Observation> {
    let steps = Steps::train(materialised, trainer)?;
    let item = &materialised.scenario.item;
    let mut squares = Table::filled(item.rows, materialised.scenario.dim, Bounded::from_f64(0.0));
    let mut tally = Tally::default();
    for step in steps.iter() {
        match (&item.optimizer, &item.encoder) {
            (Optimizer::Adagrad(rule), EncoderKind::Table(_)) => judge_adagrad(&step, rule, &mut squares, &mut tally),
            (Optimizer::Adagrad(_), _) => {}
            _ => judge_sgd(&step, euclidean, &mut tally),
        }
    }
    Ok(tally.observe(DERIVATION, "nothing to judge: no row moved, or no metric of its encoder can be solved"))
}

fn euclidean(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, true)
}

fn adagrad(seed: u64) -> Scenario {
    let rule = Adagrad { lr: 0.1.into(), epsilon: 0.0625, decay: None, rows: Rows::Dense };
    specimen::with_optimizer(seed, Optimizer::Adagrad(rule))
}

const ABOUT: About = About {
    id: "metric-orthogonality",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "a step through private parameters is orthogonal to the embedding in the metric of (JJᵀ)⁻¹",
    conditions: &[
        Condition::CosineLoss,
        Condition::PrivateParameters,
        Condition::NoMomentum,
        Condition::NoDecay,
        Condition::FreshGradient,
        Condition::NoEpsilon,
    ],
    source: "derived here; preconditioned descent is folklore",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("metric_orthogonality.rs"),
};

impl Claim for MetricOrthogonality {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Only(PRIVATE), optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, false)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::PrivateParameters, "a shared linear encoder", specimen::shared_linear),
            Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum),
            Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::dropping(Condition::FreshGradient, "gradients one step late", specimen::plain)
                .with_fault(Fault::StaleGradient),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::named("the Euclidean product for a frozen projection", update_kernel::frozen_projection)
                .judged_by(euclidean),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        let anisotropic = |name, scenario| Specimen::benign(Condition::IsotropicJacobian, name, scenario);
        vec![
            anisotropic("a frozen projection", update_kernel::frozen_projection),
            anisotropic("a two-layer network", specimen::two_layer),
            anisotropic("a gain times a vector", update_kernel::gain_vector),
            Specimen::benign(Condition::NoCoordinateScaling, "AdaGrad in its own metric", adagrad),
            Specimen::named("a warm-up schedule", specimen::warm_up),
        ]
    }
}

theorem!(
    metric_orthogonality,
    MetricOrthogonality,
    "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513"
);
