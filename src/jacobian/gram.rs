//! The Gram matrix K = JJᵀ of one embedding, J = ∂q/∂θ: `[d, p]`: what an SGD step does to the embedding, Δq = −ηKg to
//! first order.
//!
//! - **Spectrum** 0 ≤ λ_1 ≤ … ≤ λ_d and condition number κ = λ_d/λ_1.
//! - **Angle bound**: for g ⟂ q, |cos∠(q, Kg)| ≤ (κ − 1)/(κ + 1) (Kantorovich, Wielandt).
//! - **Eigenvector criterion**: ⟨q, Kg⟩ = 0 for *every* g ⟂ q if and only if Kq = λq; then λ = ⟨q, Kq⟩/‖q‖², and the
//!   residual is Kq − λq.
//!
//! *Rounding*: J comes from exact products on numbers that carry their rounding bound, and so does every entry of K. The
//! eigenvalues are those of the matrix of the entries' values, computed in double precision and judged afterwards: with V
//! and Λ as computed, ρ = ‖KV − VΛ‖_F and ε = ‖VᵀV − I‖_F, the nearest orthogonal U satisfies ‖U − V‖_F ≤ ε, hence
//! ‖K − UΛUᵀ‖ ≤ ρ + 2ε·(‖K‖ + max|λ|), and by Weyl each eigenvalue of the exact matrix is within
//!
//! ```text
//! ρ + 2ε·(‖K‖_F + max|λ|) + ‖δK‖_F
//! ```
//!
//! of the computed one, δK the bounds of the entries; ρ and ε are themselves sums that carry their bound.
//!
//! *Source*: Kantorovich 1948; Weyl 1912; the criterion derived here, `proofs/theories/EigenvectorCriterion.v`.

use nalgebra::{DMatrix, SymmetricEigen};

use super::subject::RowOf;
use super::{Differentiable, Estimate, Rounded};
use crate::encoder::Architecture;
use crate::geometry::{Table, dot, norm_f64};
use crate::number::{Field, Real};
use crate::scenario::Materialised;
use crate::trajectory::Side;

/// K = JJᵀ of one row, with the rounding of its entries and its spectrum.
#[derive(Debug, Clone)]
pub struct Gram {
    /// K: `[d][d]`.
    entries: Vec<Vec<Rounded>>,
    /// Ascending.
    eigenvalues: Vec<f64>,
    /// What each eigenvalue may be off by.
    error: f64,
}

/// A number between two others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// No less than this.
    pub low: f64,
    /// No more than this.
    pub high: f64,
}

/// Whether q is an eigenvector of K.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Kq = λq, up to rounding.
    Eigenvector,
    /// The residual is beyond rounding.
    Not,
    /// q or K is zero, or rounding is of the size of ‖K‖‖q‖: nothing can be said.
    Inconclusive,
}

/// The eigenvector criterion at q.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Alignment {
    /// What it says.
    pub criterion: Criterion,
    /// ⟨q, Kq⟩/‖q‖².
    pub eigenvalue: f64,
    /// ‖Kq − λq‖.
    pub residual: f64,
    /// What rounding can make of it.
    pub allowed: f64,
    /// ‖K‖_F·‖q‖, the scale of the terms that cancel.
    pub scale: f64,
}

impl Gram {
    /// K of the embedding of one row of a tower.
    pub fn of_row(model: &Materialised, side: Side, row: usize) -> Gram {
        Self::of(&RowOf { model, side, architecture: &model.scenario.tower(side).encoder, row })
    }

    /// K of a row whose encoder is somebody else's, at the values of a model.
    pub fn of_encoder(architecture: &impl Architecture, model: &Materialised, side: Side, row: usize) -> Gram {
        Self::of(&RowOf { model, side, architecture, row })
    }

    /// K of any function, by one exact product a coordinate.
    pub fn of(subject: &impl Differentiable) -> Gram {
        let tables: Vec<Table<Rounded>> =
            subject.tables().iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect();
        let function = subject.on::<Rounded>();
        let dim = function.value(&tables).len();
        let jacobian: Vec<Vec<Rounded>> = (0..dim)
            .map(|k| {
                let product = function.product(&tables, &unit(dim, k));
                product.iter().flat_map(|table| table.values().to_vec()).collect()
            })
            .collect();
        Self::of_jacobian(&jacobian)
    }

    /// K of a matrix J given row after row: `[d][p]`.
    ///
    /// ```
    /// use perpend::jacobian::Gram;
    /// let gram = Gram::of_matrix(&[vec![3.0, 0.0], vec![0.0, 1.0]]);
    /// let kappa = gram.condition_number();
    /// assert!(kappa.low <= 9.0 && 9.0 <= kappa.high);
    /// // Narrow enough to tell 9 from every other fraction with a denominator up to a million.
    /// assert!(kappa.high - kappa.low < 1e-6);
    /// let bound = gram.angle_bound();
    /// assert!(bound.low <= 0.8 && 0.8 <= bound.high);
    /// ```
    pub fn of_matrix(jacobian: &[Vec<f64>]) -> Gram {
        let lifted: Vec<Vec<Rounded>> =
            jacobian.iter().map(|row| row.iter().map(|&x| Rounded::from_f64(x)).collect()).collect();
        Self::of_jacobian(&lifted)
    }

    fn of_jacobian(jacobian: &[Vec<Rounded>]) -> Gram {
        let entries: Vec<Vec<Rounded>> =
            jacobian.iter().map(|left| jacobian.iter().map(|right| dot(left, right)).collect()).collect();
        let (eigenvalues, error) = spectrum(&entries);
        Gram { entries, eigenvalues, error }
    }

    /// d.
    pub fn dim(&self) -> usize {
        self.entries.len()
    }

    /// K_ij with its rounding.
    pub fn entry(&self, i: usize, j: usize) -> Estimate {
        self.entries[i][j].into()
    }

    /// The eigenvalues, ascending, each with what it may be off by.
    pub fn spectrum(&self) -> impl Iterator<Item = Estimate> + '_ {
        self.eigenvalues.iter().map(|&value| Estimate { value, error: self.error })
    }

    /// κ = λ_max/λ_min; no upper limit where λ_min may be 0.
    pub fn condition_number(&self) -> Range {
        let (Some(&least), Some(&most)) = (self.eigenvalues.first(), self.eigenvalues.last()) else {
            return Range { low: 1.0, high: f64::INFINITY };
        };
        let (room, high) = (least - self.error, most + self.error);
        let low = (most - self.error) / (least + self.error);
        Range {
            // Not `low < 1`: 0/0 says nothing.
            low: if low > 1.0 { low } else { 1.0 },
            high: if room > 0.0 && high.is_finite() {
                high / room
            } else {
                f64::INFINITY
            },
        }
    }

    /// (κ − 1)/(κ + 1): no gradient orthogonal to q makes Kg lean towards q, or away, by a larger |cos|.
    pub fn angle_bound(&self) -> Range {
        let bound = |kappa: f64| {
            if kappa.is_finite() {
                (kappa - 1.0) / (kappa + 1.0)
            } else {
                1.0
            }
        };
        let Range { low, high } = self.condition_number();
        Range { low: bound(low), high: bound(high) }
    }

    /// K·v, each number with its rounding: `[d]`.
    pub fn apply(&self, v: &[f64]) -> Vec<Estimate> {
        self.image(&lift(v)).into_iter().map(Estimate::from).collect()
    }

    /// K_kk with its rounding.
    pub(crate) fn diagonal(&self, k: usize) -> Rounded {
        self.entries[k][k]
    }

    /// Kv for numbers that carry their rounding: `[d]`.
    pub(crate) fn image(&self, v: &[Rounded]) -> Vec<Rounded> {
        self.entries.iter().map(|row| dot(row, v)).collect()
    }

    /// Kq − λq with λ = ⟨q, Kq⟩/‖q‖²: `[d]`, zero where q is an eigenvector; and λ.
    pub(crate) fn deviation(&self, q: &[Rounded]) -> (Vec<Rounded>, Rounded) {
        let image = self.image(q);
        let eigenvalue = dot(q, &image) / dot(q, q);
        (image.iter().zip(q).map(|(&image, &q)| image - eigenvalue * q).collect(), eigenvalue)
    }

    /// Whether q: `[d]` is an eigenvector.
    pub fn alignment(&self, q: &[f64]) -> Alignment {
        let (deviation, eigenvalue) = self.deviation(&lift(q));
        let residual: Vec<Estimate> = deviation.into_iter().map(Estimate::from).collect();
        let (size, allowed) = (length(residual.iter().map(|x| x.value)), length(residual.iter().map(|x| x.error)));
        let scale = self.size() * norm_f64(q);
        let criterion = if allowed.partial_cmp(&scale) != Some(std::cmp::Ordering::Less) || !size.is_finite() {
            Criterion::Inconclusive
        } else if size <= allowed {
            Criterion::Eigenvector
        } else {
            Criterion::Not
        };
        Alignment { criterion, eigenvalue: eigenvalue.value(), residual: size, allowed, scale }
    }

    /// ‖K‖_F.
    pub fn size(&self) -> f64 {
        length(self.entries.iter().flatten().map(|x| x.value()))
    }
}

/// ‖v‖; not a number where a coordinate is none.
fn length(v: impl Iterator<Item = f64>) -> f64 {
    let v: Vec<f64> = v.collect();
    if v.iter().any(|x| x.is_nan()) {
        f64::NAN
    } else {
        norm_f64(&v)
    }
}

fn lift(v: &[f64]) -> Vec<Rounded> {
    v.iter().map(|&x| Rounded::from_f64(x)).collect()
}

fn unit(dim: usize, k: usize) -> Vec<Rounded> {
    (0..dim).map(|j| if j == k { Rounded::one() } else { Rounded::zero() }).collect()
}

/// The eigenvalues of a symmetric matrix in ascending order, and what they may be off by.
fn spectrum(entries: &[Vec<Rounded>]) -> (Vec<f64>, f64) {
    let dim = entries.len();
    let flat: Vec<Rounded> = entries.concat();
    let values: Vec<f64> = flat.iter().map(|x| x.value()).collect();
    let size = length(values.iter().copied());
    if !size.is_finite() {
        return (vec![f64::NAN; dim], f64::INFINITY);
    }
    let rounding = length(flat.iter().map(|x| x.error()));
    if size == 0.0 {
        return (vec![0.0; dim], rounding);
    }
    // A power of two keeps the squares within range.
    let scale = size.log2().floor().exp2();
    let matrix = DMatrix::from_row_slice(dim, dim, &values) / scale;
    let eigen = SymmetricEigen::new(matrix.clone());
    let exact = |value: f64| Rounded::from_f64(value);
    let column = |k: usize| -> Vec<Rounded> { eigen.eigenvectors.column(k).iter().map(|&x| exact(x)).collect() };
    let columns: Vec<Vec<Rounded>> = (0..dim).map(column).collect();
    // |computed| + its bound, entry by entry.
    let bound = |x: Rounded| x.value().abs() + x.error();
    let (mut residual, mut skew) = (Vec::new(), Vec::new());
    for (k, v) in columns.iter().enumerate() {
        let lambda = exact(eigen.eigenvalues[k]);
        for (i, &x) in v.iter().enumerate() {
            let row: Vec<Rounded> = matrix.row(i).iter().map(|&x| exact(x)).collect();
            residual.push(bound(dot(&row, v) - lambda * x));
        }
        for (j, other) in columns.iter().enumerate() {
            let expected = if j == k { Rounded::one() } else { Rounded::zero() };
            skew.push(bound(dot(v, other) - expected));
        }
    }
    let mut eigenvalues: Vec<f64> = eigen.eigenvalues.iter().map(|&lambda| lambda * scale).collect();
    eigenvalues.sort_by(f64::total_cmp);
    let most = eigenvalues.iter().fold(0.0_f64, |most, lambda| most.max(lambda.abs()));
    let error = scale * norm_f64(&residual) + 2.0 * norm_f64(&skew) * (size + most) + rounding;
    (eigenvalues, error)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matrix(dim: usize, width: usize) -> impl Strategy<Value = Vec<Vec<f64>>> {
        prop::collection::vec(prop::collection::vec((-64i32..=64).prop_map(|n| f64::from(n) / 16.0), width), dim)
    }

    #[test]
    fn the_scale_of_an_alignment_is_that_of_matrix_and_vector() {
        let gram = Gram::of_matrix(&[vec![2.0, 0.0], vec![0.0, 1.0]]);
        // ‖K‖_F = √(4² + 1²), ‖q‖ = 5.
        approx::assert_relative_eq!(gram.alignment(&[3.0, 4.0]).scale, 5.0 * 17.0_f64.sqrt());
    }

    /// The angle between q and Kg, up to rounding of a few parts in 10¹⁶ of the norms.
    fn cosine(gram: &Gram, q: &[f64], g: &[f64]) -> f64 {
        let image: Vec<f64> = gram.apply(g).iter().map(|x| x.value).collect();
        dot(q, &image) / (norm_f64(q) * norm_f64(&image))
    }

    proptest! {
        /// Trace and determinant of the spectrum are those of the matrix; the matrix has small integers over 256, exactly.
        #[test]
        fn the_spectrum_has_trace_and_determinant_of_the_matrix(jacobian in matrix(2, 3), exponent in -60i32..=60) {
            let scale = f64::from(exponent).exp2();
            let scaled: Vec<Vec<f64>> = jacobian.iter().map(|row| row.iter().map(|x| x * scale).collect()).collect();
            let gram = Gram::of_matrix(&scaled);
            let [least, most]: [Estimate; 2] = gram.spectrum().collect::<Vec<_>>().try_into().unwrap();
            let (a, b, d) = (gram.entry(0, 0).value, gram.entry(0, 1).value, gram.entry(1, 1).value);
            prop_assert!((least.value + most.value - (a + d)).abs() <= 2.0 * least.error + most.error);
            let slack = (least.value.abs() + most.value.abs() + least.error) * (least.error + most.error);
            prop_assert!((least.value * most.value - (a * d - b * b)).abs() <= slack);
            prop_assert!(most.error <= 1e-13 * gram.size(), "{most:?}");
        }

        /// ⟨q, g⟩ = 0 by construction: the bound on |cos| holds, up to the rounding of the inner products.
        #[test]
        fn the_angle_bound_holds(jacobian in matrix(3, 4), q in prop::array::uniform3(-8i32..=8), along in prop::array::uniform3(-8i32..=8)) {
            let gram = Gram::of_matrix(&jacobian);
            let q = q.map(f64::from);
            let along = along.map(f64::from);
            // q × along is orthogonal to q in exact integers.
            let g = [q[1] * along[2] - q[2] * along[1], q[2] * along[0] - q[0] * along[2], q[0] * along[1] - q[1] * along[0]];
            let cos = cosine(&gram, &q, &g);
            prop_assume!(cos.is_finite());
            let image: Vec<Estimate> = gram.apply(&g);
            let noise = norm_f64(&image.iter().map(|x| x.error).collect::<Vec<_>>())
                / norm_f64(&image.iter().map(|x| x.value).collect::<Vec<_>>());
            // The three norms and the product: fewer than 16 roundings.
            let rounding = crate::rounding::Precision::F64.gamma(16);
            prop_assert!(cos.abs() <= gram.angle_bound().high + noise + rounding);
        }

        /// Kq ∥ q if and only if ⟨q, Kg⟩ = 0 for a basis of the gradients orthogonal to q; in exact integers.
        #[test]
        fn the_criterion_is_orthogonality_for_every_gradient(jacobian in matrix(2, 2), q in prop::array::uniform2(-8i32..=8)) {
            let gram = Gram::of_matrix(&jacobian);
            let q = q.map(f64::from);
            let image = gram.apply(&[-q[1], q[0]]).iter().map(|x| x.value).collect::<Vec<_>>();
            let radial = dot(&q, &image);
            let alignment = gram.alignment(&q);
            match alignment.criterion {
                Criterion::Eigenvector => prop_assert_eq!(radial, 0.0),
                Criterion::Not => prop_assert!(radial != 0.0),
                Criterion::Inconclusive => prop_assert!(alignment.scale == 0.0),
            }
        }
    }

    #[test]
    fn a_multiple_of_the_identity_has_every_vector_as_eigenvector() {
        let gram = Gram::of_matrix(&[vec![0.6, 0.8], vec![-0.8, 0.6]]);
        for q in [[1.0, 0.0], [0.3, -0.7]] {
            let alignment = gram.alignment(&q);
            assert_eq!(alignment.criterion, Criterion::Eigenvector, "{alignment:?}");
            assert!(alignment.allowed < 1e-14 && (alignment.eigenvalue - 1.0).abs() < 1e-14, "{alignment:?}");
        }
        assert!(gram.angle_bound().high < 1e-14);
    }

    #[test]
    fn a_millionth_off_the_eigenvector_is_seen() {
        let gram = Gram::of_matrix(&[vec![2.0, 0.0], vec![0.0, 1.0]]);
        assert_eq!(gram.alignment(&[1.0, 0.0]).criterion, Criterion::Eigenvector);
        let off = gram.alignment(&[1.0, 1e-6]);
        assert_eq!(off.criterion, Criterion::Not);
        assert!(off.residual > 100.0 * off.allowed, "{off:?}");
    }

    #[test]
    fn the_supremum_of_the_angle_bound_is_attained_in_two_dimensions() {
        // K = diag(9, 1), κ = 9: g = (1, 3)/√10 is turned by K to (9, 3), and q = (3, −1) is orthogonal to it.
        let gram = Gram::of_matrix(&[vec![3.0, 0.0], vec![0.0, 1.0]]);
        let cos = cosine(&gram, &[3.0, -1.0], &[1.0, 3.0]);
        approx::assert_relative_eq!(cos, 0.8, epsilon = 1e-14);
        let bound = gram.angle_bound();
        assert!(bound.low <= 0.8 && 0.8 <= bound.high && bound.high - bound.low < 1e-14, "{bound:?}");
    }

    #[test]
    fn a_singular_or_zero_matrix_has_no_bound_but_the_trivial_one() {
        let singular = Gram::of_matrix(&[vec![1.0, 2.0], vec![2.0, 4.0]]);
        assert_eq!(singular.condition_number().high, f64::INFINITY);
        assert_eq!(singular.angle_bound().high, 1.0);
        let zero = Gram::of_matrix(&[vec![0.0], vec![0.0]]);
        assert_eq!(zero.condition_number(), Range { low: 1.0, high: f64::INFINITY });
        assert_eq!(zero.alignment(&[1.0, 0.0]).criterion, Criterion::Inconclusive);
        let undefined = Gram::of_matrix(&[vec![f64::NAN], vec![0.0]]);
        assert_eq!(undefined.angle_bound(), Range { low: 0.0, high: 1.0 });
        assert_eq!(undefined.alignment(&[1.0, 0.0]).criterion, Criterion::Inconclusive);
    }
}
