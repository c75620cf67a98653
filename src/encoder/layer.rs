//! One affine layer whose table has a row for every output unit, with its bias last where it has one.

use super::Gradient;
use crate::geometry::{Table, add_scaled, dot};
use crate::number::Real;

/// W·x + b. Shapes: x: `[in]`, layer: `[out, in]` or `[out, in + 1]`.
pub(super) fn forward<F: Real>(layer: &Table<F>, x: &[F]) -> Vec<F> {
    let unit = |k: usize| {
        let (weight, bias) = layer.row(k).split_at(x.len());
        let sum = dot(weight, x);
        match bias {
            [bias] => sum + bias.clone(),
            _ => sum,
        }
    };
    (0..layer.rows()).map(unit).collect()
}

/// Adds g·xᵀ (and g for the bias) to the layer's gradient; returns Wᵀ·g.
pub(super) fn backward<F: Real>(layer: &Table<F>, gradient: &mut Gradient<F>, x: &[F], g: &[F]) -> Vec<F> {
    let mut below = vec![F::zero(); x.len()];
    for (k, g) in g.iter().enumerate() {
        let (weight, bias) = gradient.accumulate(k).split_at_mut(x.len());
        add_scaled(weight, g.clone(), x);
        add_scaled(bias, g.clone(), &[F::one()]);
        add_scaled(&mut below, g.clone(), &layer.row(k)[..x.len()]);
    }
    below
}
