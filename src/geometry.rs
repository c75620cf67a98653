//! Vectors and row tables: inner products in a fixed order, norms, angles, the tangent projection.

use crate::number::{Field, Real};

/// A table of rows, stored row after row: the embeddings of a tower, or a block of parameters.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<F> {
    width: usize,
    values: Vec<F>,
}

impl<F: Clone> Table<F> {
    /// A table of `rows` × `width` copies of one value.
    pub fn filled(rows: usize, width: usize, value: F) -> Self {
        Table { width, values: vec![value; rows * width] }
    }

    /// A table from its values, row after row.
    ///
    /// # Panics
    /// If the number of values is no multiple of the width.
    pub fn from_values(width: usize, values: Vec<F>) -> Self {
        assert!(values.len().is_multiple_of(width), "a table needs whole rows");
        Table { width, values }
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.len().checked_div(self.width).unwrap_or(0)
    }

    /// Numbers in a row.
    pub fn width(&self) -> usize {
        self.width
    }

    /// One row: `[width]`.
    pub fn row(&self, row: usize) -> &[F] {
        &self.values[row * self.width..(row + 1) * self.width]
    }

    /// One row, to change.
    pub fn row_mut(&mut self, row: usize) -> &mut [F] {
        &mut self.values[row * self.width..(row + 1) * self.width]
    }

    /// All values, row after row.
    pub fn values(&self) -> &[F] {
        &self.values
    }

    /// All values, to change.
    pub fn values_mut(&mut self) -> &mut [F] {
        &mut self.values
    }

    /// The same table in another number type.
    pub fn map<G>(&self, convert: impl FnMut(&F) -> G) -> Table<G> {
        Table { width: self.width, values: self.values.iter().map(convert).collect() }
    }
}

/// ⟨u, v⟩, summed from the first coordinate to the last.
pub fn dot<F: Field>(u: &[F], v: &[F]) -> F {
    let mut sum = F::zero();
    for (a, b) in u.iter().zip(v) {
        sum = sum + a.clone() * b.clone();
    }
    sum
}

/// ‖v‖².
pub fn norm_squared<F: Field>(v: &[F]) -> F {
    dot(v, v)
}

/// ‖v‖.
pub fn norm<F: Real>(v: &[F]) -> F {
    norm_squared(v).sqrt()
}

/// ‖v‖ without overflow or underflow of the squares: scaled by the power of two nearest the largest coordinate.
pub fn norm_f64(v: &[f64]) -> f64 {
    let largest = v.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    if largest == 0.0 || !largest.is_finite() {
        return largest;
    }
    if (1e-140..1e140).contains(&largest) {
        return norm(v);
    }
    let scale = largest.log2().floor().exp2();
    v.iter().map(|x| (x / scale) * (x / scale)).sum::<f64>().sqrt() * scale
}

/// target += scale·v.
pub fn add_scaled<F: Field>(target: &mut [F], scale: F, v: &[F]) {
    for (t, x) in target.iter_mut().zip(v) {
        *t = t.clone() + scale.clone() * x.clone();
    }
}

/// q̂ = q/‖q‖ and ‖q‖.
pub fn normalise<F: Real>(q: &[F]) -> (Vec<F>, F) {
    let length = norm(q);
    (q.iter().map(|x| x.clone() / length.clone()).collect(), length)
}

/// (a − ⟨a,q̂⟩q̂)/‖q‖: the gradient at q of a function whose gradient at the direction q̂ is a.
///
/// It is orthogonal to q whatever a is; see the claim `gradient-orthogonality`.
pub fn through_normalisation<F: Field>(upstream: &[F], direction: &[F], length: &F) -> Vec<F> {
    let radial = dot(upstream, direction);
    upstream
        .iter()
        .zip(direction)
        .map(|(a, x)| (a.clone() - radial.clone() * x.clone()) / length.clone())
        .collect()
}

/// cos∠(u, v), or None where a vector is zero.
pub fn cosine_f64(u: &[f64], v: &[f64]) -> Option<f64> {
    let (lengths_u, lengths_v) = (norm_f64(u), norm_f64(v));
    if lengths_u == 0.0 || lengths_v == 0.0 {
        return None;
    }
    let sum: f64 = u.iter().zip(v).map(|(a, b)| (a / lengths_u) * (b / lengths_v)).sum();
    Some(sum.clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Rational;

    #[test]
    fn the_projection_is_tangent_exactly() {
        // q = (3, 4) has the rational length 5.
        let fraction = |n, d| Rational::ratio(n, d);
        let (direction, length) = ([fraction(3, 5), fraction(4, 5)], fraction(5, 1));
        let upstream = [fraction(7, 2), fraction(-11, 3)];
        let radial = dot(&upstream, &direction);
        let gradient: Vec<_> = upstream
            .iter()
            .zip(&direction)
            .map(|(a, x)| (a.clone() - radial.clone() * x.clone()) / length.clone())
            .collect();
        assert_eq!(dot(&direction, &gradient), Rational::zero());
        let through = through_normalisation(&[3.5, -11.0 / 3.0], &[0.6, 0.8], &5.0);
        for (exact, computed) in gradient.iter().zip(through) {
            approx::assert_abs_diff_eq!(exact.to_f64(), computed, epsilon = 1e-15);
        }
    }

    #[test]
    fn norms_survive_huge_and_tiny_vectors() {
        for exponent in [-1060, -600, 0, 600, 1000] {
            let scale = (exponent as f64).exp2();
            approx::assert_relative_eq!(norm_f64(&[3.0 * scale, 4.0 * scale]) / scale, 5.0, epsilon = 1e-10);
            approx::assert_relative_eq!(
                cosine_f64(&[scale, 0.0], &[3.0 * scale, 4.0 * scale]).unwrap(),
                0.6,
                epsilon = 1e-10
            );
        }
        assert_eq!(norm_f64(&[0.0, 0.0]), 0.0);
        assert_eq!(cosine_f64(&[0.0], &[1.0]), None);
    }

    #[test]
    fn the_inner_product_sums_in_order() {
        // 1e16 + 1 loses the 1; only this order gives 1 at the end.
        assert_eq!(dot(&[1e16, -1e16, 1.0], &[1.0, 1.0, 1.0]), 1.0);
        assert_eq!(dot(&[1e16, 1.0, -1e16], &[1.0, 1.0, 1.0]), 0.0);
    }

    #[test]
    fn tables_are_row_after_row() {
        let mut table = Table::from_values(2, vec![1.0, 2.0, 3.0, 4.0]);
        add_scaled(table.row_mut(1), 2.0, &[1.0, -1.0]);
        assert_eq!(table.row(1), [5.0, 2.0]);
        assert_eq!((table.rows(), table.width()), (2, 2));
    }
}
