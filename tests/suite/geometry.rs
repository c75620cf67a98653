//! Vectors and encoders' facts against nalgebra.

use nalgebra::{DMatrix, DVector};
use perpend::encoder::{Architecture, EncoderKind, Gradient, affine, mlp, shared_linear, table, two_layer};
use perpend::geometry::{
    Table, add_scaled, cosine_f64, dot, norm, norm_f64, norm_squared, normalise, through_normalisation,
};
use perpend::rounding::Precision;
use perpend::verdict::Status;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::*;

/// γ_{2d+4} covers an inner product, a root, a quotient and one operation more, in either implementation.
fn allowed(d: usize) -> f64 {
    2.0 * Precision::F64.gamma(2 * d + 4)
}

proptest! {
    #[test]
    fn inner_products_norms_and_angles_match_nalgebra(
        u in vec(-4.0f64..4.0, 1..10), v in vec(-4.0f64..4.0, 10), a in -4.0f64..4.0, exponent in -900i32..900
    ) {
        let (d, v) = (u.len(), &v[..u.len()]);
        let (x, y) = (DVector::from_column_slice(&u), DVector::from_column_slice(v));
        let sizes = x.norm() * y.norm();
        prop_assert!((dot(&u, v) - x.dot(&y)).abs() <= allowed(d) * sizes);
        prop_assert!((norm_squared(&u) - x.norm_squared()).abs() <= allowed(d) * x.norm_squared());
        prop_assert!((norm(&u) - x.norm()).abs() <= allowed(d) * x.norm());
        prop_assert!((norm_f64(&u) - x.norm()).abs() <= allowed(d) * x.norm());
        if let Some(cosine) = cosine_f64(&u, v) {
            prop_assert!((cosine - x.dot(&y) / sizes).abs() <= 2.0 * allowed(d));
        }
        let mut sum = v.to_vec();
        add_scaled(&mut sum, a, &u);
        let expected = &y + &x * a;
        prop_assert!(sum.iter().zip(expected.iter()).all(|(s, e)| (s - e).abs() <= allowed(1) * 20.0));
        if x.norm() > 0.0 {
            let (direction, length) = normalise(&u);
            prop_assert!((DVector::from_vec(direction.clone()) - x.normalize()).norm() <= allowed(d));
            // (I − q̂q̂ᵀ)a/‖q‖ as a matrix.
            let unit = x.normalize();
            let projector = DMatrix::identity(d, d) - &unit * unit.transpose();
            let through = DVector::from_vec(through_normalisation(v, &direction, &length));
            prop_assert!((through - projector * &y / x.norm()).norm() <= 8.0 * allowed(d) * y.norm() / x.norm());
        }
        // Far outside the range where squares are representable, norms scale and angles stay.
        let power = f64::from(exponent).exp2();
        let far: Vec<f64> = u.iter().map(|x| x * power).collect();
        prop_assert!((norm_f64(&far) / power - x.norm()).abs() <= 2.0 * allowed(d) * x.norm());
        if let (Some(near), Some(far)) = (cosine_f64(&u, v), cosine_f64(&far, v)) {
            prop_assert!((near - far).abs() <= 4.0 * allowed(d));
        }
    }
}

#[test]
fn tables_keep_rows_apart() {
    let mut table = Table::filled(3, 2, 0.0);
    table.row_mut(1).copy_from_slice(&[1.0, 2.0]);
    table.values_mut()[5] = 4.0;
    assert_eq!(table.values(), [0.0, 0.0, 1.0, 2.0, 0.0, 4.0]);
    assert_eq!((table.rows(), table.width(), table.row(2)), (3, 2, &[0.0, 4.0][..]));
    assert_eq!(table.map(|x| *x as i32).values(), [0, 0, 1, 2, 0, 4]);
    assert_eq!(Table::<f64>::from_values(0, vec![]).rows(), 0);
}

#[test]
fn angles_of_zero_vectors_are_undefined_and_of_parallel_ones_within_range() {
    assert_eq!(cosine_f64(&[0.0, 0.0], &[1.0, 0.0]), None);
    assert_eq!(cosine_f64(&[1.0, 0.0], &[0.0, 0.0]), None);
    let v = [0.1, 0.2, 0.3];
    assert!(cosine_f64(&v, &v).unwrap() <= 1.0);
    assert!(cosine_f64(&v, &v.map(|x| -3.0 * x)).unwrap() >= -1.0);
    assert_eq!(norm_f64(&[f64::INFINITY, 1.0]), f64::INFINITY);
}

#[test]
fn gradients_remember_who_was_touched_until_cleared() {
    let mut gradient = Gradient::<f64>::zeros(3, 2);
    add_scaled(gradient.accumulate(2), 1.0, &[1.0, 2.0]);
    add_scaled(gradient.accumulate(0), 1.0, &[0.0, 0.0]);
    add_scaled(gradient.accumulate(2), 1.0, &[1.0, 2.0]);
    assert_eq!(gradient.touched(), [2, 0]);
    assert_eq!([0, 1, 2].map(|row| gradient.is_touched(row)), [true, false, true]);
    assert_eq!(gradient.row(2), [2.0, 4.0]);
    gradient.clear();
    assert_eq!((gradient.touched(), gradient.row(2), gradient.is_touched(2)), (&[][..], &[0.0, 0.0][..], false));
}

/// J of one row with respect to all parameters of the tower, by one backward pass a coordinate: `[d, parameters]`, and
/// the rows of parameters that it touches.
fn jacobian(kind: &EncoderKind, rows: usize, row: usize, d: usize) -> (DMatrix<f64>, Vec<usize>) {
    let mut random = random(3);
    let mut table = |rows: usize, width: usize| {
        Table::from_values(width, (0..rows * width).map(|_| signed(&mut random)).collect::<Vec<f64>>())
    };
    let blocks = kind.blocks(rows, d);
    let tables: Vec<_> = blocks.iter().map(|block| table(block.rows, block.width)).collect();
    let encoder = kind.build::<f64>(d, 0, table(rows, kind.constants(d)));
    let (mut values, mut touched) = (Vec::new(), Vec::new());
    for k in 0..d {
        let mut gradients: Vec<_> = blocks.iter().map(|block| Gradient::zeros(block.rows, block.width)).collect();
        let unit: Vec<f64> = (0..d).map(|j| f64::from(u8::from(j == k))).collect();
        encoder.backward(&tables, row, &unit, &mut gradients);
        for (block, gradient) in blocks.iter().zip(&gradients) {
            values.extend((0..block.rows).flat_map(|r| gradient.row(r).to_vec()));
            touched.extend_from_slice(gradient.touched());
        }
    }
    (DMatrix::from_row_slice(d, values.len() / d, &values), touched)
}

#[test]
fn encoders_that_say_so_have_an_isotropic_jacobian_and_private_parameters() {
    let affine = |bias| EncoderKind::Affine(affine::Affine { features: 3, bias });
    let mlp = |hidden: Vec<usize>| EncoderKind::Mlp(mlp::Mlp { features: 3, hidden, bias: true });
    for kind in [
        EncoderKind::Table(table::TableEncoder {}),
        affine(affine::Bias::Trained),
        affine(affine::Bias::Frozen),
        affine(affine::Bias::Absent),
        EncoderKind::TwoLayer(two_layer::TwoLayer { features: 3, hidden: 5 }),
        EncoderKind::SharedLinear(shared_linear::SharedLinear { features: 3 }),
        mlp(vec![]),
        mlp(vec![6]),
    ] {
        let (jacobian, touched) = jacobian(&kind, 4, 2, 4);
        let gram = &jacobian * jacobian.transpose();
        let kappa = gram.trace() / 4.0;
        let leak = (&gram - DMatrix::identity(4, 4) * kappa).norm() / gram.norm();
        let isotropic = matches!(kind.isotropic_jacobian(), Status::Met(_));
        assert!(if isotropic { leak < 1e-14 } else { leak > 1e-2 }, "{kind:?}: {leak}");
        let private = matches!(kind.private_parameters(), Status::Met(_));
        assert_eq!(private, touched.iter().all(|&row| row == 2), "{kind:?}");
        assert_eq!(private, kind.blocks(4, 4).iter().all(|block| block.private && block.rows == 4), "{kind:?}");
    }
}
