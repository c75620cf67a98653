//! Every encoder on numbers that a reader can check by hand, and constants that make no encoder.

use perpend::condition::Condition;
use perpend::encoder::activation::Activation;
use perpend::encoder::*;
use perpend::geometry::Table;
use perpend::number::{Dual, Field, Real, Running};
use perpend::reference::Reference;
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;
use perpend::trajectory::Side;
use perpend::verdict::Status;

/// The embedding of row 0 with d = 2, the tower's own tables first.
fn embed(kind: EncoderKind, tables: &[(usize, &[f64])], shared: &[f64], row: &[f64]) -> Vec<f64> {
    let own = kind.blocks(1, 2).len();
    let tables: Vec<_> = tables.iter().map(|(width, values)| Table::from_values(*width, values.to_vec())).collect();
    let constants = Constants { shared: shared.to_vec(), rows: Table::from_values(row.len(), row.to_vec()) };
    kind.build::<f64>(Place { dim: 2, own: 0, other: own }, constants).encode(&tables, 0)
}

#[test]
fn each_encoder_is_its_formula() {
    let gain = EncoderKind::GainVector(gain_vector::GainVector {});
    assert_eq!(embed(gain, &[(1, &[3.0]), (2, &[1.0, -2.0])], &[], &[]), [3.0, -6.0]);

    let weight_norm = |trained| EncoderKind::WeightNorm(weight_norm::WeightNorm { trained });
    assert_eq!(embed(weight_norm(true), &[(2, &[3.0, 4.0]), (1, &[10.0])], &[], &[]), [6.0, 8.0]);
    assert_eq!(embed(weight_norm(false), &[(2, &[3.0, 4.0])], &[], &[-5.0]), [-3.0, -4.0]);

    // V = (1 2 3; 4 5 6) on e = (1, 0, −1).
    let projection = EncoderKind::Projection(projection::Projection { inner: 3 });
    let v = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    assert_eq!(embed(projection, &[(3, &[1.0, 0.0, -1.0])], &v, &[]), [-2.0, -2.0]);

    let dropout = EncoderKind::Dropout(dropout::Dropout { rate: 0.75 });
    assert_eq!(embed(dropout, &[(2, &[3.0, 5.0])], &[], &[4.0, 0.0]), [12.0, 0.0]);

    // Mean 3, variance 4, ε = 12: deviation 4.
    let layer_norm = |affine| EncoderKind::LayerNorm(layer_norm::LayerNorm { affine, epsilon: 12.0 });
    assert_eq!(embed(layer_norm(false), &[(2, &[1.0, 5.0])], &[], &[]), [-0.5, 0.5]);
    let affine = [(2, &[1.0, 5.0][..]), (2, &[2.0, 4.0]), (2, &[10.0, 20.0])];
    assert_eq!(embed(layer_norm(true), &affine, &[], &[]), [9.0, 22.0]);

    let hash = |hashes, weights| EncoderKind::Hash(hash::Hash { buckets: 3, hashes, weights });
    let buckets = (2, &[1.0, 2.0, 10.0, 20.0, 100.0, 200.0][..]);
    assert_eq!(embed(hash(1, hash::Weights::Absent), &[buckets], &[], &[2.0]), [100.0, 200.0]);
    assert_eq!(embed(hash(3, hash::Weights::Absent), &[buckets], &[], &[0.0, 2.0, 2.0]), [201.0, 402.0]);
    assert_eq!(embed(hash(2, hash::Weights::Fixed), &[buckets], &[], &[0.0, 1.0, 3.0, -1.0]), [-7.0, -14.0]);
    let trained = [buckets, (2, &[3.0, -1.0][..])];
    assert_eq!(embed(hash(2, hash::Weights::Trained), &trained, &[], &[0.0, 1.0]), [-7.0, -14.0]);

    // x = (1, 2), V = (1 1), U = (1; −1).
    let bottleneck = EncoderKind::Bottleneck(bottleneck::Bottleneck { features: 2, rank: 1 });
    assert_eq!(embed(bottleneck, &[(2, &[1.0, 1.0]), (1, &[1.0, -1.0])], &[], &[1.0, 2.0]), [3.0, -3.0]);

    let adapter =
        |base, outer_trained| EncoderKind::Adapter(adapter::Adapter { features: 2, rank: 1, base, outer_trained });
    let (inner, outer) = ((2, &[1.0, 1.0][..]), (1, &[1.0, -1.0][..]));
    let (map, frozen) = ([1.0, 0.0, 0.0, 10.0], [1.0, 0.0, 0.0, 10.0, 1.0, -1.0]);
    assert_eq!(embed(adapter(adapter::Base::Row, true), &[inner, outer], &[], &[1.0, 2.0, 7.0, 8.0]), [10.0, 5.0]);
    assert_eq!(
        embed(adapter(adapter::Base::Row, false), &[inner], &[1.0, -1.0], &[1.0, 2.0, 7.0, 8.0]),
        [10.0, 5.0]
    );
    assert_eq!(embed(adapter(adapter::Base::Map, true), &[inner, outer], &map, &[1.0, 2.0]), [4.0, 17.0]);
    assert_eq!(embed(adapter(adapter::Base::Map, false), &[inner], &frozen, &[1.0, 2.0]), [4.0, 17.0]);

    // One hidden unit 2x + 1, then (3h − 1, −h).
    let mlp = |activation| EncoderKind::Mlp(mlp::Mlp { features: 1, hidden: vec![1], bias: true, activation });
    let layers = [(2, &[2.0, 1.0][..]), (2, &[3.0, -1.0, -1.0, 0.0])];
    assert_eq!(embed(mlp(Activation::Relu), &layers, &[], &[2.0]), [14.0, -5.0]);
    assert_eq!(embed(mlp(Activation::Relu), &layers, &[], &[-2.0]), [-1.0, 0.0]);
    let h = 5.0_f64.tanh();
    assert_eq!(embed(mlp(Activation::Tanh), &layers, &[], &[2.0]), [3.0 * h - 1.0, -h]);

    // h_0 = (x, 2x), branch relu(h_0[0] + h_0[1] − 1)·(1, 10) + (0, 1).
    let residual = EncoderKind::Residual(residual::Residual {
        features: 1,
        hidden: 1,
        depth: 1,
        activation: Activation::Relu,
        bias: true,
    });
    let blocks = [(1, &[1.0, 2.0][..]), (3, &[1.0, 1.0, -1.0]), (2, &[1.0, 0.0, 10.0, 1.0])];
    assert_eq!(embed(residual, &blocks, &[], &[3.0]), [11.0, 87.0]);

    let table = (2, &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0][..]);
    let history = |own_rows| EncoderKind::HistoryMean(history_mean::HistoryMean { length: 4, own_rows });
    for own_rows in [Some(3), None] {
        // Rows 2, 0, 2 and a place that is empty.
        assert_eq!(embed(history(own_rows), &[table], &[], &[2.0, 0.0, -1.0, 2.0]), [11.0 / 3.0, 14.0 / 3.0]);
    }

    let graph = |bipartite| EncoderKind::Graph(graph::Graph { bipartite });
    assert_eq!(embed(graph(false), &[(2, &[1.0, 2.0])], &[], &[3.0]), [3.0, 6.0]);
    let both = [(2, &[1.0, 2.0][..]), table];
    assert_eq!(embed(graph(true), &both, &[], &[3.0, 0.0, 1.0, -1.0]), [1.0, 4.0]);
}

#[test]
fn tanh_is_the_same_in_every_number_type() {
    /// The rule that a type without a tanh of its own has.
    #[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
    struct Plain(f64);
    macro_rules! plain {
        ($($trait:ident::$method:ident),*) => {$(
            impl std::ops::$trait for Plain {
                type Output = Plain;
                fn $method(self, other: Plain) -> Plain { Plain(std::ops::$trait::$method(self.0, other.0)) }
            }
        )*};
    }
    plain!(Add::add, Sub::sub, Mul::mul, Div::div);
    impl std::ops::Neg for Plain {
        type Output = Plain;
        fn neg(self) -> Plain {
            Plain(-self.0)
        }
    }
    impl Field for Plain {
        fn zero() -> Self {
            Plain(0.0)
        }
        fn one() -> Self {
            Plain(1.0)
        }
        fn ratio(n: i64, d: i64) -> Self {
            Plain(n as f64 / d as f64)
        }
        fn to_f64(&self) -> f64 {
            self.0
        }
    }
    impl Real for Plain {
        fn from_f64(x: f64) -> Self {
            Plain(x)
        }
        fn sqrt(self) -> Self {
            Plain(self.0.sqrt())
        }
        fn exp(self) -> Self {
            Plain(self.0.exp())
        }
        fn ln(self) -> Self {
            Plain(self.0.ln())
        }
    }
    for n in -200..=200 {
        let x = f64::from(n) / 8.0;
        // Exponential, sum, difference, quotient: four roundings of numbers up to 2.
        approx::assert_abs_diff_eq!(Real::tanh(Plain(x)).0, x.tanh(), epsilon = 8.0 * f64::EPSILON);
        let dual = Real::tanh(Dual::variable(x, 1.0));
        assert_eq!(dual.to_f64(), x.tanh());
        approx::assert_relative_eq!(dual.derivative(), x.cosh().powi(-2), max_relative = 16.0 * f64::EPSILON);
        let narrow = Real::tanh(Running::<24>::from_f64(x));
        assert!((f64::from((x as f32).tanh()) - x.tanh()).abs() <= narrow.error(), "{x}");
    }
    assert_eq!((Real::tanh(Plain(1e300)).0, Real::tanh(Plain(-1e300)).0), (1.0, -1.0));
    // What is uncertain around 0 is as uncertain after it.
    let wide = Real::tanh(Running::<53>::uncertain(0.5, 1.0));
    assert!(wide.error() >= 1.0);
}

fn scenario(item: &str, user: &str) -> Scenario {
    let tower = |rows: usize, encoder: &str| {
        format!(
            "rows = {rows}\nencoder = {{ {encoder} }}\noptimizer = {{ kind = \"sgd\", lr = 0.5 }}\n\
             initial = {{ kind = \"normal\", std = 0.5 }}\n"
        )
    };
    toml::from_str(&format!(
        "dim = 3\nsteps = 4\nseed = 5\nloss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2 }}\n\
         sampler = {{ batch = 4, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n[item]\n{}[user]\n{}",
        tower(5, item),
        tower(3, user),
    ))
    .expect("a scenario in TOML")
}

const TABLE: &str = "kind = \"table\"";
const HISTORY: &str = "kind = \"history-mean\", length = 3";

#[test]
fn a_history_of_the_items_rows_takes_their_privacy() {
    let pooled = scenario(TABLE, HISTORY);
    let own = scenario(TABLE, "kind = \"history-mean\", length = 3, own_rows = 4");
    for condition in [Condition::CosineLoss, Condition::PrivateParameters] {
        assert!(matches!(pooled.status(Side::Item, condition), Status::Unmet(_)), "{condition}");
        assert!(matches!(own.status(Side::Item, condition), Status::Met(_)), "{condition}");
    }
    let trajectory = Reference.train(&pooled.materialise().unwrap()).unwrap();
    let encoder = |side| trajectory.settings().for_tower(Some(side)).encoder;
    assert_eq!(
        (encoder(Side::Item).as_deref(), encoder(Side::User).as_deref()),
        (Some("pooled"), Some("history-mean"))
    );
    assert!(trajectory.settings().for_tower(Some(Side::User)).optimizer.is_none(), "nothing of its own to move");
    // The recorded gradient is the whole one: SGD on it gives the recorded step.
    let mut moved = 0;
    trajectory.towers()[0]
        .for_each(0..5, &mut |record| {
            for ((q, next), g) in record.q.iter().zip(record.q_next).zip(record.grad.unwrap()) {
                assert_eq!(q - 0.5 * g, *next);
                moved += usize::from(q != next && record.lookups == Some(0));
            }
            Ok(())
        })
        .unwrap();
    assert!(moved > 0, "a history moves rows that were not looked up");
}

#[test]
fn a_history_needs_rows_to_name() {
    for (item, user) in [("kind = \"mlp\", features = 2, hidden = [], bias = true", HISTORY), (HISTORY, HISTORY)] {
        let error = scenario(item, user).validate().unwrap_err().to_string();
        assert!(error.contains("a table or graph, whose rows the"), "{error}");
    }
    assert!(scenario(HISTORY, TABLE).validate().is_ok());
}

#[test]
fn settings_and_constants_that_make_no_encoder_are_refused() {
    for (encoder, expected) in [
        (
            "kind = \"dropout\", rate = 1.0",
            "user.encoder.rate: expected a number of at least 0 and below 1, found 1",
        ),
        (
            "kind = \"layer-norm\", affine = true, epsilon = -1.0",
            "user.encoder.epsilon: expected a number of at least 0, found -1",
        ),
        (
            "kind = \"hash\", buckets = 0, hashes = 1, weights = \"absent\"",
            "user.encoder.buckets: expected at least 1, found 0",
        ),
        (
            "kind = \"hash\", buckets = 1, hashes = 0, weights = \"absent\"",
            "user.encoder.hashes: expected at least 1, found 0",
        ),
        ("kind = \"history-mean\", length = 0", "user.encoder.length: expected at least 1, found 0"),
        ("kind = \"projection\", inner = 0", "user.encoder.inner: expected at least 1, found 0"),
        ("kind = \"bottleneck\", features = 1, rank = 0", "user.encoder.rank: expected at least 1, found 0"),
    ] {
        assert_eq!(scenario(TABLE, encoder).validate().unwrap_err().to_string(), expected);
    }
    for (encoder, place, value, expected) in [
        (HISTORY, 4, 5.0, "user.initial.constants: row 1: history: expected rows below 5, or -1, found 5"),
        (HISTORY, 4, 0.5, "user.initial.constants: row 1: history: expected rows below 5, or -1, found 0.5"),
        (HISTORY, 4, -2.0, "user.initial.constants: row 1: history: expected rows below 5, or -1, found -2"),
        (
            "kind = \"hash\", buckets = 2, hashes = 2, weights = \"fixed\"",
            1,
            -1.0,
            "user.initial.constants: row 0: hashes: expected rows below 2, found -1",
        ),
        (
            "kind = \"dropout\", rate = 0.5",
            8,
            1.0,
            "user.initial.constants: row 2: mask: expected 0 or 2, found 1",
        ),
    ] {
        let mut scenario = scenario(TABLE, encoder);
        let mut initial = scenario.materialise().unwrap().user.initial();
        scenario.user.initial = initial.clone();
        assert!(scenario.validate().is_ok(), "{encoder}");
        let perpend::scenario::Initial::Explicit { constants, .. } = &mut initial else {
            panic!("explicit values")
        };
        constants[place] = value;
        scenario.user.initial = initial;
        assert_eq!(scenario.validate().unwrap_err().to_string(), expected);
    }
    let mut empty = scenario(TABLE, HISTORY);
    let mut initial = empty.materialise().unwrap().user.initial();
    let perpend::scenario::Initial::Explicit { constants, .. } = &mut initial else {
        panic!("explicit values")
    };
    constants[..3].fill(-1.0);
    empty.user.initial = initial;
    let error = empty.validate().unwrap_err().to_string();
    assert_eq!(error, "user.initial.constants: row 0: history: expected at least one row, found none");
}
