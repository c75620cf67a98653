//! Vectors and encoders' facts against nalgebra.

use nalgebra::{DMatrix, DVector};
use perpend::encoder::{Architecture, Block, EncoderKind, Gradient};
use perpend::geometry::{
    Table, add_scaled, cosine_f64, dot, norm, norm_f64, norm_squared, normalise, through_normalisation,
};
use perpend::rounding::Precision;
use perpend::scenario::Scenario;
use perpend::trajectory::Side;
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

/// A scenario with this item encoder, four items, two users and random values that are no special ones.
fn model(kind: &EncoderKind, d: usize) -> perpend::scenario::Materialised {
    let mut scenario = Scenario::from_toml(&format!(
        "dim = {d}\nsteps = 1\nseed = 3\nsampler = {{ batch = 4, exponent = 0.0, negatives = {{ kind = \"in-batch\" }} }}\n\
         loss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.5 }}\n{}{}",
        TOWER.replace("SIDE", "item").replace("ROWS", "4"),
        TOWER.replace("SIDE", "user").replace("ROWS", "2"),
    ))
    .expect("a scenario");
    scenario.item.encoder = kind.clone();
    scenario.materialise().expect("a valid scenario")
}

const TOWER: &str = "[SIDE]\nrows = ROWS\nencoder = { kind = \"table\" }\noptimizer = { kind = \"sgd\", lr = 0.1 }\n\
                     initial = { kind = \"normal\", std = 0.5 }\n";

/// J of one item with respect to all parameters of the model, by one backward pass a coordinate: `[d, parameters]`, and
/// the tables and rows that it touches.
fn jacobian(model: &perpend::scenario::Materialised, row: usize) -> (DMatrix<f64>, Vec<(usize, usize)>) {
    let d = model.scenario.dim;
    let (encoder, tables) = (model.encoder::<f64>(Side::Item), parameters(model));
    let (mut values, mut touched) = (Vec::new(), Vec::new());
    for k in 0..d {
        let mut gradients: Vec<_> = tables.iter().map(|table| Gradient::zeros(table.rows(), table.width())).collect();
        let unit: Vec<f64> = (0..d).map(|j| f64::from(u8::from(j == k))).collect();
        encoder.backward(&tables, row, &unit, &mut gradients);
        for (place, (table, gradient)) in tables.iter().zip(&gradients).enumerate() {
            values.extend((0..table.rows()).flat_map(|r| gradient.row(r).to_vec()));
            touched.extend(gradient.touched().iter().map(|&row| (place, row)));
        }
    }
    (DMatrix::from_row_slice(d, values.len() / d, &values), touched)
}

/// Every kind of encoder, with settings in which each of its parts has an effect.
fn encoders() -> Vec<EncoderKind> {
    use perpend::encoder::*;
    let affine = |bias| EncoderKind::Affine(affine::Affine { features: 3, bias });
    let mlp = |hidden: &[usize], activation| {
        EncoderKind::Mlp(mlp::Mlp { features: 3, hidden: hidden.to_vec(), bias: true, activation })
    };
    let adapter =
        |base, outer_trained| EncoderKind::Adapter(adapter::Adapter { features: 3, rank: 2, base, outer_trained });
    let hash = |hashes, weights| EncoderKind::Hash(hash::Hash { buckets: 3, hashes, weights });
    let layer_norm = |affine| EncoderKind::LayerNorm(layer_norm::LayerNorm { affine, epsilon: 0.0 });
    let residual = |depth, bias| {
        let activation = activation::Activation::Relu;
        EncoderKind::Residual(residual::Residual { features: 3, hidden: 6, depth, activation, bias })
    };
    let history = |own_rows| EncoderKind::HistoryMean(history_mean::HistoryMean { length: 3, own_rows });
    vec![
        EncoderKind::Table(table::TableEncoder {}),
        affine(affine::Bias::Trained),
        affine(affine::Bias::Frozen),
        affine(affine::Bias::Absent),
        EncoderKind::TwoLayer(two_layer::TwoLayer { features: 3, hidden: 5 }),
        EncoderKind::GainVector(gain_vector::GainVector {}),
        EncoderKind::WeightNorm(weight_norm::WeightNorm { trained: true }),
        EncoderKind::WeightNorm(weight_norm::WeightNorm { trained: false }),
        EncoderKind::Projection(projection::Projection { inner: 5 }),
        EncoderKind::Dropout(dropout::Dropout { rate: 0.5 }),
        layer_norm(false),
        layer_norm(true),
        hash(1, hash::Weights::Absent),
        hash(1, hash::Weights::Fixed),
        hash(2, hash::Weights::Absent),
        hash(2, hash::Weights::Fixed),
        hash(1, hash::Weights::Trained),
        hash(2, hash::Weights::Trained),
        EncoderKind::SharedLinear(shared_linear::SharedLinear { features: 3 }),
        EncoderKind::Bottleneck(bottleneck::Bottleneck { features: 3, rank: 2 }),
        adapter(adapter::Base::Row, false),
        adapter(adapter::Base::Row, true),
        adapter(adapter::Base::Map, false),
        adapter(adapter::Base::Map, true),
        mlp(&[], activation::Activation::Relu),
        mlp(&[6], activation::Activation::Relu),
        mlp(&[6], activation::Activation::Gelu),
        mlp(&[6, 5], activation::Activation::Tanh),
        residual(0, true),
        residual(1, true),
        residual(2, false),
        history(Some(3)),
        history(None),
        EncoderKind::Graph(graph::Graph { bipartite: false }),
        EncoderKind::Graph(graph::Graph { bipartite: true }),
    ]
}

#[test]
fn encoders_that_say_so_have_an_isotropic_jacobian_and_private_parameters() {
    for kind in encoders() {
        let model = model(&kind, 4);
        let rows: Vec<_> = (0..4).map(|row| jacobian(&model, row)).collect();
        let leaks = rows.iter().map(|(jacobian, _)| {
            let gram = jacobian * jacobian.transpose();
            (&gram - DMatrix::identity(4, 4) * (gram.trace() / 4.0)).norm() / gram.norm()
        });
        // A row whose units are all dead, or that lost nothing or everything to dropout, says nothing.
        let leaks: Vec<f64> = leaks.filter(|leak| !leak.is_nan()).collect();
        let leak = leaks.iter().fold(0.0_f64, |largest, leak| largest.max(*leak));
        assert!(leaks.len() >= 2, "{kind:?}");
        let isotropic = matches!(kind.isotropic_jacobian(), Status::Met(_));
        assert!(if isotropic { leak < 1e-14 } else { leak > 1e-2 }, "{kind:?}: {leak}");
        let private = matches!(kind.private_parameters(), Status::Met(_));
        let own = |block: &Block| block.private && block.rows == 4;
        assert_eq!(private, !kind.reads_other() && kind.blocks(4, 4).iter().all(own), "{kind:?}");
        for (row, (_, touched)) in rows.iter().enumerate().filter(|_| private) {
            assert!(touched.iter().all(|&(place, other)| other == row && place < model.item.blocks.len()), "{kind:?}");
        }
    }
}

#[test]
fn an_eigenvector_of_the_gram_matrix_makes_an_anisotropic_encoder_harmless() {
    // Kq ∥ q for these, and for no other that is not isotropic.
    let harmless = ["gain-vector", "weight-norm", "dropout"];
    for kind in encoders().into_iter().filter(|kind| matches!(kind.isotropic_jacobian(), Status::Unmet(_))) {
        let model = model(&kind, 4);
        let (jacobian, _) = jacobian(&model, 1);
        let q = DVector::from_vec(model.encoder::<f64>(Side::Item).encode(&parameters(&model), 1));
        let moved = &jacobian * jacobian.transpose() * &q;
        let along = &q * (q.dot(&moved) / q.norm_squared());
        let leak = (&moved - along).norm() / ((&jacobian * jacobian.transpose()).norm() * q.norm());
        // A layer norm without gain and ε, and one bucket with a trained weight, have the eigenvector too.
        let one_bucket = matches!(&kind, EncoderKind::Hash(hash) if hash.hashes == 1);
        let plain_norm = matches!(&kind, EncoderKind::LayerNorm(layer) if !layer.affine);
        let expected = harmless.contains(&kind.name()) || one_bucket || plain_norm;
        assert!(if expected { leak < 1e-14 } else { leak > 1e-3 }, "{kind:?}: {leak}");
    }
}
