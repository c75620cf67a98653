//! # Radial angle bound
//!
//! How far a step can lean out of the tangent space where the Jacobian is not isotropic: with K = JJᵀ of condition number κ
//! and a gradient g ⟂ q,
//!
//! ```text
//! |cos∠(q, Kg)| ≤ (κ − 1)/(κ + 1)
//! ```
//!
//! exact for the step −ηKg of linear encoders and of diagonal preconditioners, first order in η for deep encoders. It is 0 for
//! κ = 1, and attained in the plane for every κ (κ = 9: 4/5).
//!
//! *Looseness*: the bound is a worst case over g. For a preconditioner like Adam's, d = 64, gradients of sizes between 0.01 and 1
//! in its coordinates, its median is above .95 where that of |cos| is below .5: it is a diagnosis of encoders, whose κ is
//! small, not of adaptive rules.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon (they make g ⟂ q).
//! *Shapes*: q, g: `[d]`, K: `[d, d]`. *Dimensionless.* *Judged*: the excess of |⟨q, Kg⟩| over (κ − 1)/(κ + 1)·‖q‖‖Kg‖ for the
//! first gradient of every item row in the first batch, as the trainer recorded it, with K by exact products at the initial
//! parameters. An inequality: what is left is slack. Where (κ − 1)/(κ + 1) cannot be told from 1 the row is not judged.
//! *Allowed residual*: κ is taken at the upper end of what rounding leaves open (Weyl, see `jacobian::gram`); to that comes the
//! rounding bound of ⟨q, Kg⟩ and of ‖q‖‖Kg‖ on numbers that carry it, twice the rounding of the loss's gradient among their inputs.
//! *Twins that must break it*: inner products; an active epsilon; √κ in place of κ, and half the bound, on rows that attain it.
//! *Controls that must not*: a two-layer network, a shared linear map, a deep tower, projections frozen and trained, rows that
//! attain the bound, momentum, Adam.
//! *Proof*: proofs/theories/RadialAngleBound.v.
//! *Source*: Kantorovich 1948, Wielandt's form; the application derived here.

use super::eigenvector_criterion::{first_step, frozen_projection, recorded, trained_projection};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::encoder::{EncoderKind, mlp::Mlp};
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::{dot, norm};
use crate::jacobian::{Estimate, Gram, Rounded};
use crate::number::Real;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::Observation;

/// |cos∠(q, Kg)| ≤ (κ − 1)/(κ + 1).
pub struct RadialAngleBound;

const DERIVATION: &str = "the rounding of ⟨q, Kg⟩ and of (κ−1)/(κ+1)·‖q‖‖Kg‖ on numbers that carry its bound, twice that of the gradient \
    among their inputs; κ at the upper end of what rounding leaves open";

/// The observation where the bound on |cos| is this function of κ.
fn judge(materialised: &Materialised, trainer: &dyn Trainer, bound: fn(f64) -> f64) -> Result<Observation> {
    let (first, rows) = first_step(materialised, trainer)?;
    let mut tally = Tally::default();
    for row in rows {
        let gram = Gram::of_row(&first, Side::Item, row.place.row as usize);
        let kappa = gram.condition_number().high;
        if !kappa.is_finite() {
            continue;
        }
        let bound = bound(kappa);
        let q: Vec<Rounded> = row.embedding.iter().map(|&x| Rounded::from_f64(x)).collect();
        let image = gram.image(&recorded(&row));
        let radial = Estimate::from(dot(&q, &image));
        let size = Estimate::from(norm(&q) * norm(&image));
        let measured = Measured::new(
            radial.value.abs() - bound * size.value,
            radial.error + bound * size.error,
            (1.0 - bound) * size.value,
        );
        tally.judge(row.place, &measured);
    }
    Ok(tally.observe(DERIVATION, "no row had a gradient and an invertible K"))
}

/// (κ − 1)/(κ + 1).
fn angle(kappa: f64) -> f64 {
    (kappa - 1.0) / (kappa + 1.0)
}

const ABOUT: About = About {
    id: "radial-angle-bound",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "a gradient orthogonal to q makes the step lean towards q by no more than the Jacobian allows: |cos∠(q, Kg)| ≤ (κ − 1)/(κ + 1)",
    conditions: &[Condition::CosineLoss, Condition::NoEpsilon],
    source: "Kantorovich 1948, Wielandt's form; the application derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("radial_angle_bound.rs"),
};

/// Items behind V = diag(3, 1) at q = (3, −1): g = (1, 3) is the only direction orthogonal to it, Kg = (9, 3), and the bound
/// 4/5 for κ = 9 is attained.
fn attained(seed: u64) -> Scenario {
    let mut scenario = frozen_projection(seed);
    scenario.item.initial =
        Initial::Explicit { tables: vec![vec![1.0, -1.0, -1.0, 1.0]], constants: vec![3.0, 0.0, 0.0, 1.0] };
    scenario
}

impl Claim for RadialAngleBound {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, angle)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::named("√κ in place of κ, where the bound is attained", attained)
                .judged_by(|materialised, trainer| judge(materialised, trainer, |kappa| angle(kappa.sqrt()))),
            Specimen::named("half the bound, where it is attained", attained)
                .judged_by(|materialised, trainer| judge(materialised, trainer, |kappa| angle(kappa) / 2.0)),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("a bound that is attained", attained),
            Specimen::named("a frozen projection", frozen_projection),
            Specimen::named("a projection trained with its rows", trained_projection),
            Specimen::named("a two-layer network", specimen::two_layer),
            Specimen::named("a linear map shared by all items", specimen::shared_linear),
            Specimen::named("a deep tower", |seed| {
                let mlp = Mlp { features: 3, hidden: vec![5], bias: true, activation: Default::default() };
                specimen::with_encoder(seed, EncoderKind::Mlp(mlp))
            }),
            Specimen::named("heavy-ball momentum", specimen::momentum),
            Specimen::named("Adam", specimen::adam),
        ]
    }
}

theorem!(radial_angle_bound, RadialAngleBound, "holds, 6 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod witnesses {
    use super::*;
    use crate::geometry::norm_f64;

    /// The bound, and the cosine between q and Kg.
    fn measured(scenario: &Scenario, q: [f64; 2], g: [f64; 2]) -> (Gram, f64) {
        let gram = Gram::of_row(&scenario.materialise().unwrap(), Side::Item, 0);
        let image: Vec<f64> = gram.apply(&g).iter().map(|x| x.value).collect();
        (gram, dot(&q, &image) / (norm_f64(&q) * norm_f64(&image)))
    }

    /// Two different fractions with denominators up to 1000 are at least this far apart.
    const APART: f64 = 1.0 / (1000.0 * 1000.0);

    /// Whether the range has the fraction in it and is too narrow for another one.
    fn contains(range: crate::jacobian::gram::Range, value: f64) -> bool {
        range.low <= value && value <= range.high && range.high - range.low < APART
    }

    /// An inner product over two norms in d = 2, and the image before it: 3d + 2 operations and p = 2 products a coordinate of
    /// K, each way; squared twice as much.
    fn close(found: f64, expected: f64) {
        let allowed = 2.0 * crate::rounding::Precision::F64.gamma(20);
        assert!((found - expected).abs() <= allowed, "{found} {expected}");
    }

    #[test]
    fn the_witnesses_have_the_stated_condition_numbers_and_angles() {
        // W2: K = diag(14, 17), κ = 17/14, bound 3/31. The gradient of −cos∠(q, e₁) at q = (3, 4) is along (−16, 12).
        let (gram, cosine) = measured(&trained_projection(0), [3.0, 4.0], [-16.0, 12.0]);
        assert!(contains(gram.condition_number(), 17.0 / 14.0) && contains(gram.angle_bound(), 3.0 / 31.0));
        assert!(cosine.abs() < 3.0 / 31.0 && cosine.abs() > 0.09, "{cosine}");
        // W2h: K = diag(1, 4), κ = 4, cos² = 81/250 ≤ 9/25.
        let (gram, cosine) = measured(&frozen_projection(0), [3.0, 4.0], [-16.0, 12.0]);
        assert!(contains(gram.condition_number(), 4.0) && contains(gram.angle_bound(), 0.6));
        close(cosine * cosine, 81.0 / 250.0);
        // The supremum in the plane.
        let (gram, cosine) = measured(&attained(0), [3.0, -1.0], [1.0, 3.0]);
        assert!(contains(gram.condition_number(), 9.0) && contains(gram.angle_bound(), 0.8));
        close(cosine, 0.8);
    }

    /// The looseness that the documentation states: K = diag(1/√v) of Adam after 50 gradients from N(0, 1) of which each
    /// coordinate has its own scale between 0.01 and 1.
    #[test]
    fn the_bound_says_little_about_adam() {
        use rand::SeedableRng;
        use rand_distr::{Distribution, StandardNormal};
        let (mut bounds, mut cosines) = (Vec::new(), Vec::new());
        for seed in 0..101 {
            let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
            let mut normal = || -> f64 { Distribution::<f64>::sample(&StandardNormal, &mut random) };
            let second: Vec<f64> = (0..64)
                .map(|k| {
                    let scale = 0.01_f64.powf(f64::from(k) / 63.0);
                    (0..50).map(|_| (scale * normal()).powi(2)).sum::<f64>() / 50.0
                })
                .collect();
            let root: Vec<Vec<f64>> = (0..64)
                .map(|i| (0..64).map(|j| if i == j { second[i].powf(-0.25) } else { 0.0 }).collect())
                .collect();
            let gram = Gram::of_matrix(&root);
            let q: Vec<f64> = (0..64).map(|_| normal()).collect();
            let raw: Vec<f64> = (0..64).map(|k| normal() * second[k].sqrt()).collect();
            let along = dot(&q, &raw) / dot(&q, &q);
            let g: Vec<f64> = raw.iter().zip(&q).map(|(g, q)| g - along * q).collect();
            let image: Vec<f64> = gram.apply(&g).iter().map(|x| x.value).collect();
            bounds.push(gram.angle_bound().low);
            cosines.push((dot(&q, &image) / (norm_f64(&q) * norm_f64(&image))).abs());
        }
        let median = |mut values: Vec<f64>| {
            values.sort_by(f64::total_cmp);
            values[values.len() / 2]
        };
        let (bound, cosine) = (median(bounds), median(cosines));
        assert!(bound > 0.95 && cosine < 0.5, "{bound} {cosine}");
    }
}
