//! # Eigenvector criterion
//!
//! An SGD step on the parameters moves an embedding by Δq = −η·K·g + O(η²), K = JJᵀ, J = ∂q/∂θ. Its radial part vanishes to
//! first order for every gradient that a cosine loss can have exactly when q is an eigenvector of K:
//!
//! ```text
//! ⟨q, Kg⟩ = 0 for all g ⟂ q    ⇔    Kq = λq,  λ = ⟨q, Kq⟩/‖q‖²
//! ```
//!
//! since ⟨q, Kg⟩ = ⟨Kq − λq, g⟩ for g ⟂ q, and Kq − λq is itself orthogonal to q. It vanishes at every q exactly when K = κI.
//! So an encoder may keep steps orthogonal without an isotropic Jacobian: a gain times a vector has K = a²I + wwᵀ, weight
//! normalisation K = (s²/‖v‖²)·P + v̂v̂ᵀ, and q is an eigenvector of both.
//!
//! *Hypotheses*: none; the criterion is an identity of every differentiable encoder. Where the encoder is said to have an
//! isotropic Jacobian, Kq = λq must hold as well.
//! *Shapes*: q, g: `[d]`, J: `[d, p]`, K: `[d, d]`. *Judged*, for every item row in the first batch: ⟨q, Kg_k⟩ against
//! ⟨Kq − λq, g_k⟩ for the d − 1 vectors of an orthonormal basis of the gradients orthogonal to q (Householder's), the left side
//! as J(Jᵀg_k) by an exact product and dual numbers through the encoder, the right side from the matrix of exact
//! products; and ‖Kq − λq‖ where the Jacobian is isotropic.
//! *Allowed residual*: the sum of the rounding bounds of both sides, which the same arithmetic yields on numbers that carry
//! them (Higham 2002, §3.3), doubled for exp and tanh of the mathematical library.
//! *Twins that must break it*, as false variants: "every q is an eigenvector" (a two-layer network; a frozen projection with
//! V = diag(1, 2), h = (3, 2), where ‖Kq − λq‖/‖q‖ = 36/25); λ = tr(K)/d; gradients that are not orthogonal to q.
//! *Controls that must not*: the same encoders under the criterion; gain × vector and weight normalisation under "every q is an
//! eigenvector"; inner products, an epsilon, any optimizer: they are not asked.
//! *Proof*: proofs/theories/EigenvectorCriterion.v.
//! *Source*: derived here.

use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::encoder::{
    Architecture, EncoderKind, gain_vector::GainVector, projection::Projection, two_layer::TwoLayer,
    weight_norm::WeightNorm,
};
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::{dot, norm, norm_f64};
use crate::jacobian::{Differentiable, Estimate, Gram, Rounded, subject::RowOf};
use crate::number::{Field, Forward, Real};
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::{Observation, Place, Status};

/// ⟨q, Kg⟩ = 0 for all g ⟂ q ⇔ Kq = λq.
pub struct EigenvectorCriterion;

const DERIVATION: &str = "the rounding bounds of ⟨q, J(Jᵀg_k)⟩ by dual numbers and of ⟨Kq − λq, g_k⟩ by exact products, on numbers \
    that carry their bound, doubled for exp and tanh";

/// The criterion, and what is not it.
#[derive(Clone, Copy, PartialEq)]
enum Variant {
    Criterion,
    /// Kq = λq whatever the encoder.
    EveryVector,
    /// The mean eigenvalue in place of ⟨q, Kq⟩/‖q‖².
    MeanEigenvalue,
    /// The basis of all gradients, q̂ among them.
    AnyGradient,
}

/// The item rows of the first batch, each once.
pub(super) fn first_rows(materialised: &Materialised) -> Vec<usize> {
    let mut rows = materialised.batches[0].item_slots();
    rows.sort_unstable();
    rows.dedup();
    rows
}

/// The columns of Householder's reflection that takes q̂ to ±e_1: q̂ (up to sign) first, then an orthonormal basis of what is
/// orthogonal to it.
fn basis(q: &[Rounded]) -> Vec<Vec<Rounded>> {
    let length = norm(q);
    let mut v: Vec<Rounded> = q.iter().map(|&x| x / length).collect();
    // The sign that does not cancel.
    v[0] = if v[0] < Rounded::zero() {
        v[0] - Rounded::one()
    } else {
        v[0] + Rounded::one()
    };
    let half = dot(&v, &v) / Rounded::ratio(2, 1);
    let column = |k: usize| {
        let unit = |i: usize| Rounded::ratio(i64::from(i == k), 1);
        (0..v.len()).map(|i| unit(i) - v[i] * v[k] / half).collect()
    };
    (0..v.len()).map(column).collect()
}

/// J(Jᵀg): the derivative of the embedding along the direction Jᵀg of the parameters.
fn tangent(subject: &impl Differentiable, g: &[Rounded]) -> Vec<Rounded> {
    let tables: Vec<_> = subject.tables().iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect();
    let direction = subject.on::<Rounded>().product(&tables, g);
    let mut moving: Vec<_> = tables.iter().map(|table| table.map(|&x| Forward::new(x, Rounded::zero()))).collect();
    for (table, direction) in moving.iter_mut().zip(&direction) {
        table.values_mut().iter_mut().zip(direction.values()).for_each(|(x, &v)| x.slope = v);
    }
    subject.on::<Forward<Rounded>>().value(&moving).into_iter().map(|y| y.slope).collect()
}

fn judge(materialised: &Materialised, variant: Variant) -> Result<Observation> {
    let encoder = &materialised.scenario.item.encoder;
    let isotropic = matches!(encoder.isotropic_jacobian(), Status::Met(_));
    let mut tally = Tally::default();
    for row in first_rows(materialised) {
        let subject = RowOf { model: materialised, side: Side::Item, architecture: encoder, row };
        let gram = Gram::of(&subject);
        let tables: Vec<_> = subject.tables().iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect();
        let q = subject.on::<Rounded>().value(&tables);
        let length = norm_f64(&q.iter().map(|x| x.value()).collect::<Vec<_>>());
        let signal = gram.size() * length;
        let (mut deviation, eigenvalue) = gram.deviation(&q);
        if variant == Variant::MeanEigenvalue {
            let trace = (0..q.len()).fold(Rounded::zero(), |sum, k| sum + gram.diagonal(k));
            let shift = eigenvalue - trace / Rounded::ratio(q.len() as i64, 1);
            deviation = deviation.iter().zip(&q).map(|(&r, &q)| r + shift * q).collect();
        }
        let mut measure = |residual: &[Rounded]| {
            let residual: Vec<Estimate> = residual.iter().map(|&x| x.into()).collect();
            let length = |part: fn(&Estimate) -> f64| norm_f64(&residual.iter().map(part).collect::<Vec<_>>());
            let measured = Measured::new(length(|x| x.value), length(|x| x.error), signal);
            tally.judge(Place { step: 0, row: row as u64 }, &measured);
        };
        if isotropic || matches!(variant, Variant::EveryVector | Variant::MeanEigenvalue) {
            measure(&deviation);
        }
        let skip = usize::from(variant != Variant::AnyGradient);
        let residual: Vec<Rounded> =
            basis(&q).iter().skip(skip).map(|g| dot(&q, &tangent(&subject, g)) - dot(&deviation, g)).collect();
        measure(&residual);
    }
    Ok(tally.observe(DERIVATION, "no row was looked up"))
}

const ABOUT: About = About {
    id: "eigenvector-criterion",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "to first order a step is orthogonal to q for every gradient g ⟂ q exactly when q is an eigenvector of K = JJᵀ",
    conditions: &[],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("eigenvector_criterion.rs"),
};

/// [`specimen::plain`] in the plane, its two items behind V = diag(1, 2), the first at h = (3, 2): K = diag(1, 4), q = (3, 4).
pub(super) fn frozen_projection(seed: u64) -> Scenario {
    let mut scenario = specimen::with_encoder(seed, EncoderKind::Projection(Projection { inner: 2 }));
    scenario.dim = 2;
    scenario.item.rows = 2;
    scenario.item.initial =
        Initial::Explicit { tables: vec![vec![3.0, 2.0, -1.0, 1.0]], constants: vec![1.0, 0.0, 0.0, 2.0] };
    scenario
}

/// The same q = V·h with both trained, V = diag(1, 2) and h = (3, 2): K = ‖h‖²I + VVᵀ = diag(14, 17).
pub(super) fn trained_projection(seed: u64) -> Scenario {
    let mut scenario = specimen::with_encoder(seed, EncoderKind::TwoLayer(TwoLayer { features: 1, hidden: 2 }));
    scenario.dim = 2;
    scenario.item.rows = 2;
    let tables = vec![vec![3.0, 2.0, 1.0, 2.0], vec![1.0, 0.0, 0.0, 2.0, 2.0, 1.0, -1.0, 1.0]];
    scenario.item.initial = Initial::Explicit { tables, constants: vec![1.0, 1.0] };
    scenario
}

fn gain_vector(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::GainVector(GainVector {}))
}

fn weight_norm(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::WeightNorm(WeightNorm { trained: true }))
}

impl Claim for EigenvectorCriterion {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any }
    }
    fn examine(&self, materialised: &Materialised, _trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, Variant::Criterion)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("every q is an eigenvector: a two-layer network", specimen::two_layer)
                .judged_by(|materialised, _| judge(materialised, Variant::EveryVector)),
            Specimen::named("every q is an eigenvector: a frozen projection", frozen_projection)
                .judged_by(|materialised, _| judge(materialised, Variant::EveryVector)),
            Specimen::named("the mean eigenvalue in place of λ: gain × vector", gain_vector)
                .judged_by(|materialised, _| judge(materialised, Variant::MeanEigenvalue)),
            Specimen::named("gradients along q as well: gain × vector", gain_vector)
                .judged_by(|materialised, _| judge(materialised, Variant::AnyGradient)),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("a frozen projection", frozen_projection),
            Specimen::named("a projection trained with its rows", trained_projection),
            Specimen::named("a two-layer network", specimen::two_layer),
            Specimen::named("a linear map shared by all items", specimen::shared_linear),
            Specimen::named("every q is an eigenvector: gain × vector", gain_vector)
                .judged_by(|materialised, _| judge(materialised, Variant::EveryVector)),
            Specimen::named("every q is an eigenvector: weight normalisation", weight_norm)
                .judged_by(|materialised, _| judge(materialised, Variant::EveryVector)),
            Specimen::named("inner products", specimen::dot_product),
            Specimen::named("Adam", specimen::adam),
        ]
    }
}

theorem!(
    eigenvector_criterion,
    EigenvectorCriterion,
    "holds, 12 judged; norms 1.668013155 1.186564277 1.354420513"
);

#[cfg(test)]
mod witnesses {
    use super::*;
    use crate::jacobian::gram::Criterion;

    #[test]
    fn the_frozen_projection_deviates_by_36_25_of_q() {
        let gram = Gram::of_row(&frozen_projection(0).materialise().unwrap(), Side::Item, 0);
        // K = diag(1, 4), q = (3, 4): λ = (9 + 64)/25 and Kq − λq = (3, 16) − 73/25·(3, 4) = 36/25·(−4, 3).
        let alignment = gram.alignment(&[3.0, 4.0]);
        assert_eq!(alignment.criterion, Criterion::Not);
        assert!((alignment.eigenvalue - 73.0 / 25.0).abs() <= alignment.allowed, "{alignment:?}");
        assert!((alignment.residual - 36.0 / 5.0).abs() <= alignment.allowed, "{alignment:?}");
    }

    #[test]
    fn a_gain_has_eigenvectors_without_an_isotropic_jacobian() {
        for scenario in [gain_vector(3), weight_norm(3)] {
            let model = scenario.materialise().unwrap();
            let gram = Gram::of_row(&model, Side::Item, 0);
            let tables = model.item.tables.clone();
            let q = model.encoder::<f64>(Side::Item).encode(&tables, 0);
            assert_eq!(gram.alignment(&q).criterion, Criterion::Eigenvector);
            assert!(gram.condition_number().low > 1.1, "{:?}", gram.condition_number());
        }
    }
}
