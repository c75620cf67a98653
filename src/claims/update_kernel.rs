//! # Update kernel
//!
//! A step of SGD moves an embedding by the gradients of all rows, each through a kernel of the encoder:
//!
//! ```text
//! Δq_i = −η·Σ_j K_ij·g_j + η²·Σ_jk ⟨x_i,x_k⟩·⟨U φ_j, g_k⟩·g_j,    K_ij = ⟨φ_i,φ_j⟩·I + ⟨x_i,x_j⟩·UUᵀ
//! ```
//!
//! exactly, to all orders in η, for every encoder that is linear in its parameters or a product of two trained parts; the
//! second sum stands for products alone. A loss of cosines makes ⟨q, g⟩ = 0, so that it vanishes for a private product.
//!
//! ```text
//! table                 φ = 1                        private (K_ij = 0 for i ≠ j)
//! affine                φ = (x, [b trained])         private
//! two-layer             φ = h, x, U = V·D            private; while no unit changes sides
//! gain × vector         φ = a, x = 1, U = w          private
//! frozen projection     x = 1, U = V                 private
//! dropout               x = 1, U = diag(m)           private
//! shared linear         φ = x                        shared
//! hash, history mean    φ = how often, how heavily   shared
//! graph                 φ_i = A_i, so K = AAᵀ        shared
//! bottleneck            φ = Vx, x, U                 shared
//! adapter               φ = Ax (B trained), x, U = B shared
//! ```
//!
//! *Hypotheses*: NoMomentum, NoDecay, NoCoordinateScaling (plain SGD at the recorded rate).
//! *Shapes*: q, g: `[d]`, K: `[d, d]`, U: `[d, r]`. *Judged*: every row that moved or should have, coordinate by coordinate.
//! *Allowed residual*: running error analysis: twice the rounding bound of q, of the way back through the encoder, of the step
//! and of q', and that of the kernel formula itself.
//! *Twins that must break it*: momentum; weight decay; Adam; the row's own gradient alone for a shared map; the first order
//! alone for a product of two maps; K without UUᵀ; the wrong sign. *Controls that must not*: inner products, stale gradients and
//! an active epsilon (no property of the gradient is used), a schedule, every encoder of the list.
//! *Proof*: proofs/theories/UpdateKernel.v.
//! *Source*: neural tangent kernels (Jacot et al. 2018) at finite rates; the cases and their exactness: derived here.

use super::specimen::{self, Specimen};
use super::steps::{Bounded, Step, Steps, exact, product, within};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::adapter::{Adapter, Base};
use crate::encoder::affine::{Affine, Bias};
use crate::encoder::{EncoderKind, bottleneck, gain_vector, graph, hash, history_mean, projection};
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::number::Real;
use crate::reference::Fault;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::verdict::{Observation, Place};

/// Δq_i = −ηΣ_j K_ij g_j.
pub struct UpdateKernel;

const DERIVATION: &str = "running error analysis: twice the rounding bound of q, the way back, the step and q' (every operation adds \
    u·|result|), and the bound of the formula itself, coordinate by coordinate";

/// The encoders whose kernel is known to all orders.
pub(super) const EXACT: &[&str] = &[
    "id",
    "affine",
    "two-layer",
    "gain-vector",
    "projection",
    "dropout",
    "hash",
    "hash-sum",
    "shared-linear",
    "bottleneck",
    "adapter",
    "history-mean",
    "graph",
];

/// What the kernel of one row is made of.
pub(super) struct Row {
    /// φ: what multiplies parameters that make q directly.
    phi: Vec<Bounded>,
    /// x: what multiplies parameters behind U.
    x: Vec<Bounded>,
    /// U: `[d, r]`; empty where nothing is behind it.
    outer: Vec<Vec<Bounded>>,
}

/// The kernel of an encoder at some parameters.
pub(super) struct Kernel {
    /// One row a row.
    pub rows: Vec<Option<Row>>,
    /// Whether K_ij = 0 for i ≠ j.
    pub private: bool,
    /// Whether φ and U are trained both: the step has a second order.
    product: bool,
}

fn zero() -> Bounded {
    Bounded::from_f64(0.0)
}

/// Σ_k x_k·v_k over rows v.
fn combine<'v>(weights: impl Iterator<Item = (Bounded, &'v Vec<Bounded>)>, dim: usize) -> Vec<Bounded> {
    let mut sum = vec![zero(); dim];
    for (weight, vector) in weights {
        crate::geometry::add_scaled(&mut sum, weight, vector);
    }
    sum
}

/// W·x of a matrix stored row after row.
fn apply(matrix: &[f64], x: &[Bounded]) -> Vec<Bounded> {
    matrix.chunks_exact(x.len()).map(|row| product(&exact(row), x)).collect()
}

fn rows_of(matrix: &[f64], width: usize) -> Vec<Vec<Bounded>> {
    matrix.chunks_exact(width).map(exact).collect()
}

impl Row {
    /// U·v.
    fn outwards(&self, v: &[Bounded]) -> Vec<Bounded> {
        self.outer.iter().map(|row| product(row, v)).collect()
    }
    /// Uᵀ·g.
    fn inwards(&self, g: &[Bounded]) -> Vec<Bounded> {
        let rank = self.outer.first().map_or(0, Vec::len);
        combine(g.iter().copied().zip(&self.outer), rank)
    }
    /// ‖x‖².
    pub fn inner_weight(&self) -> Bounded {
        product(&self.x, &self.x)
    }
    /// K_ii: `[d, d]`.
    pub fn own_block(&self, dim: usize) -> Vec<Vec<Bounded>> {
        let (direct, inner) = (product(&self.phi, &self.phi), self.inner_weight());
        let entry = |i: usize, j: usize| {
            let behind = if self.outer.is_empty() {
                zero()
            } else {
                inner * product(&self.outer[i], &self.outer[j])
            };
            if i == j { direct + behind } else { behind }
        };
        (0..dim).map(|i| (0..dim).map(|j| entry(i, j)).collect()).collect()
    }
}

/// The units of a two-layer network that are active.
fn active(weights: &[f64], x: &[f64]) -> Vec<bool> {
    weights.chunks_exact(x.len()).map(|row| crate::geometry::dot(row, x) > 0.0).collect()
}

/// The kernel of the item tower at a step; None for encoders without an exact one. A row is None where the step leaves the
/// region in which its encoder is a polynomial.
pub(super) fn kernel(step: &Step<'_>) -> Option<Kernel> {
    let (constants, tables) = (&step.values().constants, &step.tables);
    let dim = step.q.width();
    let one = || vec![Bounded::from_f64(1.0)];
    let (private, product) = match step.kind() {
        EncoderKind::Table(_) | EncoderKind::Affine(_) | EncoderKind::Projection(_) | EncoderKind::Dropout(_) => {
            (true, false)
        }
        EncoderKind::TwoLayer(_) | EncoderKind::GainVector(_) => (true, true),
        EncoderKind::Bottleneck(_) => (false, true),
        EncoderKind::Adapter(adapter) => (false, adapter.outer_trained),
        _ => (false, false),
    };
    let row = |row: usize| -> Option<Row> {
        let direct = |phi: Vec<Bounded>| Some(Row { phi, x: Vec::new(), outer: Vec::new() });
        let constant = || constants.row(row);
        match step.kind() {
            EncoderKind::Table(_) => direct(one()),
            EncoderKind::Affine(Affine { features, bias }) => {
                let mut phi = exact(&constant()[..*features]);
                phi.extend((*bias == Bias::Trained).then(|| Bounded::from_f64(1.0)));
                direct(phi)
            }
            EncoderKind::Projection(projection) => {
                Some(Row { phi: Vec::new(), x: one(), outer: rows_of(&constants.shared, projection.inner) })
            }
            EncoderKind::Dropout(_) => {
                let diagonal = |k: usize| {
                    let mut row = vec![0.0; dim];
                    row[k] = constant()[k];
                    exact(&row)
                };
                Some(Row { phi: Vec::new(), x: one(), outer: (0..dim).map(diagonal).collect() })
            }
            EncoderKind::GainVector(_) => {
                Some(Row { phi: exact(tables[0].row(row)), x: one(), outer: rows_of(tables[1].row(row), 1) })
            }
            EncoderKind::TwoLayer(network) => {
                let x = constant();
                let pattern = active(tables[0].row(row), x);
                if active(step.tables_next[0].row(row), x) != pattern {
                    return None;
                }
                let x = exact(x);
                let mask = |mut units: Vec<Bounded>| {
                    units.iter_mut().zip(&pattern).filter(|(_, active)| !**active).for_each(|(x, _)| *x = zero());
                    units
                };
                let outer = rows_of(tables[1].row(row), network.hidden).into_iter().map(mask).collect();
                Some(Row { phi: mask(apply(tables[0].row(row), &x)), x, outer })
            }
            EncoderKind::Bottleneck(map) => {
                let x = exact(constant());
                Some(Row { phi: apply(tables[0].values(), &x), x, outer: rows_of(tables[1].values(), map.rank) })
            }
            EncoderKind::Adapter(Adapter { features, rank, base, outer_trained }) => {
                let x = exact(&constant()[..*features]);
                let map = if *base == Base::Map { dim * features } else { 0 };
                if *outer_trained {
                    Some(Row { phi: apply(tables[0].values(), &x), x, outer: rows_of(tables[1].values(), *rank) })
                } else {
                    Some(Row { phi: Vec::new(), x, outer: rows_of(&constants.shared[map..], *rank) })
                }
            }
            _ => step.features(row).and_then(|phi| direct(exact(&phi))),
        }
    };
    let rows: Vec<_> = (0..step.q.rows()).map(row).collect();
    rows.iter().any(Option::is_some).then_some(Kernel { rows, private, product })
}

/// The terms of the law, so that false variants of it can be judged.
#[derive(Clone, Copy)]
struct Terms {
    /// +1, or −1 for the wrong sign.
    sign: f64,
    /// Gradients of other rows.
    others: bool,
    /// ⟨x_i,x_j⟩·UUᵀ.
    outer: bool,
    /// The second order.
    second: bool,
}

const LAW: Terms = Terms { sign: 1.0, others: true, outer: true, second: true };

impl Kernel {
    /// Δq_i by the law.
    fn predict(&self, step: &Step<'_>, i: usize, terms: Terms) -> Option<Vec<Bounded>> {
        let dim = step.q.width();
        let own = self.rows[i].as_ref()?;
        let touched = |j: &usize| step.gradient.row(*j).iter().any(|&g| g != 0.0);
        let reaching: Vec<usize> = (0..self.rows.len())
            .filter(touched)
            .filter(|&j| j == i || (!self.private && terms.others))
            .collect();
        let mut gradients = Vec::new();
        for &j in &reaching {
            gradients.push((self.rows[j].as_ref()?, exact(step.gradient.row(j))));
        }
        let weighted = |weight: &dyn Fn(&Row) -> Bounded| {
            combine(gradients.iter().map(|(row, gradient)| (weight(row), gradient)), dim)
        };
        let mut sum = weighted(&|row| product(&own.phi, &row.phi));
        let through = weighted(&|row| product(&own.x, &row.x));
        if terms.outer && !own.outer.is_empty() {
            let behind = own.outwards(&own.inwards(&through));
            sum = sum.into_iter().zip(behind).map(|(a, b)| a + b).collect();
        }
        let rate = Bounded::from_f64(step.rate);
        let mut moved: Vec<_> = sum.into_iter().map(|g| Bounded::from_f64(-terms.sign) * rate * g).collect();
        if self.product && terms.second {
            let second = weighted(&|row| product(&row.outwards(&row.phi), &through));
            moved = moved.into_iter().zip(second).map(|(first, second)| first + rate * rate * second).collect();
        }
        Some(moved)
    }
}

fn judge(materialised: &Materialised, trainer: &dyn Trainer, terms: Terms) -> Result<Observation> {
    let steps = Steps::train(materialised, trainer)?;
    let mut tally = Tally::default();
    for step in steps.iter() {
        let Some(kernel) = kernel(&step) else { continue };
        let errors = step.step_errors();
        for row in 0..step.q.rows() {
            let Some(predicted) = kernel.predict(&step, row, terms) else {
                continue;
            };
            let signal = predicted.iter().fold(0.0_f64, |size, x| size.max(x.value().abs()));
            let moved = within(step.next.row(row), errors.moved.row(row));
            if signal == 0.0 && step.q.row(row) == step.next.row(row) {
                continue;
            }
            let coordinates =
                moved.into_iter().zip(exact(step.q.row(row))).zip(predicted).map(|((next, q), predicted)| {
                    let left = next - q - predicted;
                    (left.value().abs(), left.error() + step.underflow())
                });
            let worst = coordinates.max_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)));
            // Of what may have been divided by 0 nothing is known.
            if let Some((residual, allowed)) = worst.filter(|(_, allowed)| allowed.is_finite()) {
                let place = Place { step: step.number as u64, row: row as u64 };
                tally.judge(place, &Measured::new(residual, allowed, signal));
            }
        }
    }
    Ok(tally.observe(DERIVATION, "nothing to judge: no row moved, or the encoder has no exact kernel"))
}

fn own_gradient_alone(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, Terms { others: false, ..LAW })
}
fn first_order_alone(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, Terms { second: false, ..LAW })
}
fn without_outer(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, Terms { outer: false, ..LAW })
}
fn wrong_sign(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, Terms { sign: -1.0, ..LAW })
}

pub(super) fn bottleneck(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::Bottleneck(bottleneck::Bottleneck { features: 3, rank: 2 }))
}
pub(super) fn frozen_projection(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::Projection(projection::Projection { inner: 6 }))
}
pub(super) fn gain_vector(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::GainVector(gain_vector::GainVector {}))
}
pub(super) fn hash_sum(seed: u64) -> Scenario {
    let hash = hash::Hash { buckets: 5, hashes: 2, weights: hash::Weights::Absent };
    specimen::with_encoder(seed, EncoderKind::Hash(hash))
}
pub(super) fn graph(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::Graph(graph::Graph { bipartite: false }))
}
pub(super) fn history_mean(seed: u64) -> Scenario {
    let history = history_mean::HistoryMean { length: 3, own_rows: Some(6) };
    specimen::with_encoder(seed, EncoderKind::HistoryMean(history))
}
fn adapter(seed: u64) -> Scenario {
    let adapter = Adapter { features: 3, rank: 2, base: Base::Map, outer_trained: true };
    specimen::with_encoder(seed, EncoderKind::Adapter(adapter))
}
pub(super) fn dropout(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::Dropout(crate::encoder::dropout::Dropout { rate: 0.25 }))
}

const ABOUT: About = About {
    id: "update-kernel",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "a step moves embeddings by all rows' gradients through the encoder's kernel: Δq_i = −η·Σ_j K_ij·g_j, exactly",
    conditions: &[Condition::NoMomentum, Condition::NoDecay, Condition::NoCoordinateScaling],
    source: "neural tangent kernels (Jacot et al. 2018); exactness and the cases: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("update_kernel.rs"),
};

impl Claim for UpdateKernel {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Only(EXACT), optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, LAW)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum),
            Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::dropping(Condition::NoCoordinateScaling, "Adam", specimen::adam),
            Specimen::named("the row's own gradient alone, for a shared map", specimen::shared_linear)
                .judged_by(own_gradient_alone),
            Specimen::named("the row's own gradient alone, for a sum of hashes", hash_sum)
                .judged_by(own_gradient_alone),
            Specimen::named("the row's own gradient alone, for a graph", graph).judged_by(own_gradient_alone),
            Specimen::named("the first order alone, for a bottleneck", bottleneck).judged_by(first_order_alone),
            Specimen::named("‖h‖²I alone, for a two-layer network", specimen::two_layer).judged_by(without_outer),
            Specimen::named("the wrong sign", specimen::plain).judged_by(wrong_sign),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("inner products", specimen::dot_product),
            Specimen::named("gradients one step late", specimen::plain).with_fault(Fault::StaleGradient),
            Specimen::named("norms clamped at 2", specimen::active_epsilon),
            Specimen::named("a warm-up schedule", specimen::warm_up),
            Specimen::named("an affine encoder with a frozen bias", specimen::frozen_bias),
            Specimen::named("a two-layer network", specimen::two_layer),
            Specimen::named("a gain times a vector", gain_vector),
            Specimen::named("a frozen projection", frozen_projection),
            Specimen::named("dropout", dropout),
            Specimen::named("a shared linear map", specimen::shared_linear),
            Specimen::named("a sum of hashes", hash_sum),
            Specimen::named("a history mean", history_mean),
            Specimen::named("a graph", graph),
            Specimen::named("a bottleneck", bottleneck),
            Specimen::named("an adapter on a frozen map", adapter),
        ]
    }
}

theorem!(update_kernel, UpdateKernel, "holds, 66 judged; norms 1.668013155 1.186564277 1.354420513");
