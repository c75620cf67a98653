//! Random scenarios as proptest strategies, built from explicit small values so that shrinking is orderly: fewer rows,
//! fewer steps, smaller dimensions, simpler numbers.
//!
//! ```
//! use perpend::scenario::random::{Family, scenarios};
//! use proptest::{strategy::{Strategy, ValueTree}, test_runner::TestRunner};
//! let mut runner = TestRunner::deterministic();
//! let scenario = scenarios(Family::default()).new_tree(&mut runner).unwrap().current();
//! assert!(scenario.validate().is_ok());
//! ```

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Initial, Scenario, Tower};
use crate::encoder::{Architecture, EncoderKind, affine, mlp, shared_linear, table, two_layer};
use crate::loss::{Loss, info_nce::InfoNce};
use crate::optimizer::constraint::Constraint;
use crate::optimizer::decay::Form;
use crate::optimizer::projection::{Projection, View};
use crate::optimizer::update::{Clip, Rounding, Storage, Update};
use crate::optimizer::{Decay, Optimizer, Schedule, adagrad, adam, heavy_ball, nesterov, rowwise_adagrad, sgd};
use crate::optimizer::{adamp, amsgrad, lamb, lars, lion, riemannian_sgd, rmsprop, rowwise_adam, sgdp, sign_sgd};
use crate::rounding::Precision;
use crate::sampler::{Batch, Negatives, Sampler, in_batch::InBatch};
use crate::trajectory::{Rows, Similarity};

/// Which encoders an item tower may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoders {
    /// Tables only: the embedding is the parameter.
    Table,
    /// Private with an isotropic Jacobian: tables and affine maps.
    #[default]
    Isotropic,
    /// Every kind.
    Any,
}

/// Which optimizers an item tower may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Optimizers {
    /// Plain SGD with any schedule.
    #[default]
    Sgd,
    /// One scalar a row: SGD and row-wise AdaGrad.
    Scalar,
    /// SGD and heavy-ball momentum, dense or lazy.
    HeavyBall,
    /// Every kind, with and without decay, with and without an [`Update`] around it.
    Any,
}

/// What the item tower of a random scenario may be; the user tower may always be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Family {
    /// Encoders of the item tower.
    pub encoders: Encoders,
    /// Optimizers of the item tower.
    pub optimizers: Optimizers,
}

/// How the rows of the towers lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Corner {
    None,
    /// Every item row is a multiple of a user row: gradients cancel.
    Parallel,
    /// The opposite direction.
    Antiparallel,
    /// All item rows are equal.
    Duplicates,
}

/// The sizes of a scenario.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    dim: usize,
    items: usize,
    users: usize,
    batch: usize,
    steps: usize,
    negatives: usize,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let dim = prop_oneof![1 => Just(1usize), 6 => 2usize..=5, 2 => 6usize..=9];
    (dim, 1usize..=5, 1usize..=4, 1usize..=5, 1usize..=5, prop_oneof![2 => Just(0usize), 1 => 1usize..=3])
        .prop_map(|(dim, items, users, batch, steps, negatives)| Sizes { dim, items, users, batch, steps, negatives })
}

/// Encoders of every kind, or those with private parameters and an isotropic Jacobian.
pub fn encoders(which: Encoders) -> BoxedStrategy<EncoderKind> {
    let bias = prop_oneof![Just(affine::Bias::Absent), Just(affine::Bias::Trained), Just(affine::Bias::Frozen)];
    let isotropic = prop_oneof![
        2 => Just(EncoderKind::Table(table::TableEncoder {})),
        1 => (1usize..=3, bias).prop_map(|(features, bias)| EncoderKind::Affine(affine::Affine { features, bias })),
    ];
    match which {
        Encoders::Table => Just(EncoderKind::Table(table::TableEncoder {})).boxed(),
        Encoders::Isotropic => isotropic.boxed(),
        Encoders::Any => prop_oneof![
            3 => isotropic,
            1 => (1usize..=3, 1usize..=3)
                .prop_map(|(features, hidden)| EncoderKind::TwoLayer(two_layer::TwoLayer { features, hidden })),
            1 => (1usize..=3)
                .prop_map(|features| EncoderKind::SharedLinear(shared_linear::SharedLinear { features })),
            1 => (1usize..=3, vec(1usize..=4, 0..=2), any::<bool>())
                .prop_map(|(features, hidden, bias)| EncoderKind::Mlp(mlp::Mlp { features, hidden, bias })),
        ]
        .boxed(),
    }
}

/// Schedules with rates up to 4.
fn schedules() -> impl Strategy<Value = Schedule> {
    let rate = || (-6i32..=2).prop_map(|exponent| 2.0_f64.powi(exponent));
    prop_oneof![
        6 => rate().prop_map(Schedule::Constant),
        1 => Just(Schedule::Constant(0.0)),
        1 => vec(rate(), 1..=4).prop_map(Schedule::List),
        1 => (rate(), 1u64..=4).prop_map(|(to, steps)| Schedule::Warmup { from: 0.0, to, steps }),
        1 => (rate(), 1u32..=4).prop_map(|(start, n)| Schedule::Exponential { start, factor: f64::from(n) / 4.0 }),
    ]
}

/// Optimizers.
pub fn optimizers(which: Optimizers) -> BoxedStrategy<Optimizer> {
    let rows = || prop_oneof![Just(Rows::Dense), Just(Rows::Lazy)];
    let beta = || (0u32..=15).prop_map(|n| f64::from(n) / 16.0);
    let sgd = (schedules(), rows()).prop_map(|(lr, rows)| Optimizer::Sgd(sgd::Sgd { lr, decay: None, rows }));
    let rowwise = (schedules(), 0u32..=2).prop_map(|(lr, n)| {
        Optimizer::RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad {
            lr,
            epsilon: f64::from(n) / 64.0,
            decay: None,
            rows: Rows::Dense,
        })
    });
    let ball = (schedules(), beta(), 0u32..=2, rows()).prop_map(|(lr, momentum, n, rows)| {
        let dampening = f64::from(n) / 4.0;
        Optimizer::HeavyBall(heavy_ball::HeavyBall { lr, momentum, dampening, decay: None, rows })
    });
    match which {
        Optimizers::Sgd => sgd.boxed(),
        Optimizers::Scalar => prop_oneof![2 => sgd, 1 => rowwise].boxed(),
        Optimizers::HeavyBall => prop_oneof![1 => sgd, 3 => ball].boxed(),
        Optimizers::Any => {
            let nesterov = (schedules(), beta(), rows()).prop_map(|(lr, momentum, rows)| {
                Optimizer::Nesterov(nesterov::Nesterov { lr, momentum, decay: None, rows })
            });
            let adam = (schedules(), rows(), any::<bool>()).prop_map(|(lr, rows, corrected)| {
                let place = if corrected {
                    adam::EpsilonPlace::Corrected
                } else {
                    adam::EpsilonPlace::Uncorrected
                };
                Optimizer::Adam(adam::Adam { rows, epsilon_place: place, ..adam::Adam::with_rate(lr) })
            });
            let adagrad = schedules().prop_map(|lr| {
                Optimizer::Adagrad(adagrad::Adagrad { lr, epsilon: 0.0625, decay: None, rows: Rows::Dense })
            });
            let form = prop_oneof![Just(Form::Coupled), Just(Form::Decoupled)];
            let decay = prop_oneof![
                2 => Just(None),
                1 => (1u32..=8, form).prop_map(|(n, form)| Some(Decay { rate: f64::from(n) / 64.0, form })),
            ];
            let kind = prop_oneof![
                2 => sgd,
                2 => ball,
                1 => nesterov,
                1 => adam,
                1 => adagrad,
                1 => rowwise,
                6 => further_optimizers(),
            ];
            (kind, decay)
                .prop_map(|(mut optimizer, decay)| {
                    *optimizer.decay_mut() = decay;
                    optimizer
                })
                .boxed()
        }
    }
}

/// The kinds beyond the SGD family, Adam and AdaGrad, without decay.
fn further_optimizers() -> impl Strategy<Value = Optimizer> {
    let rows = prop_oneof![Just(Rows::Dense), Just(Rows::Lazy)];
    let share = || (0u32..=7).prop_map(|n| f64::from(n) / 8.0);
    let betas = (share(), (1u32..=15).prop_map(|n| f64::from(n) / 16.0));
    let epsilon = prop_oneof![Just(0.0), Just(1e-8), Just(0.0625)];
    let view = prop_oneof![2 => Just(View::Always), 1 => Just(View::Row), 1 => Just(View::RowThenTable)];
    let projection = (view, 1u32..=4, 0u32..=4).prop_map(|(view, delta, ratio)| Projection {
        view,
        delta: f64::from(delta) / 4.0,
        decay_ratio: f64::from(ratio) / 4.0,
    });
    let numbers = (share(), share(), betas, epsilon, projection);
    (0usize..10, schedules(), rows, numbers).prop_map(
        |(kind, lr, rows, (momentum, other, betas, epsilon, projection))| {
            let decay = None;
            match kind {
                0 => Optimizer::Rmsprop(rmsprop::Rmsprop { lr, alpha: other, epsilon, decay, rows }),
                1 => Optimizer::Amsgrad(amsgrad::Amsgrad { lr, betas, epsilon, decay, rows }),
                2 => Optimizer::RowwiseAdam(rowwise_adam::RowwiseAdam { lr, betas, epsilon, decay, rows }),
                3 => Optimizer::Lion(lion::Lion { lr, betas, decay, rows }),
                4 => Optimizer::SignSgd(sign_sgd::SignSgd { lr, decay, rows }),
                5 => Optimizer::Lars(lars::Lars { lr, momentum, trust: other, epsilon, decay, rows }),
                6 => Optimizer::Lamb(lamb::Lamb { lr, betas, epsilon, decay, rows }),
                7 => {
                    let dampening = other / 2.0;
                    Optimizer::Sgdp(sgdp::Sgdp { lr, momentum, dampening, epsilon, projection, decay, rows })
                }
                8 => Optimizer::Adamp(adamp::Adamp { lr, betas, epsilon, projection, decay, rows }),
                _ => Optimizer::RiemannianSgd(riemannian_sgd::RiemannianSgd { lr, decay, rows }),
            }
        },
    )
}

/// What may happen around any optimizer, at parameters of the size of 1; mostly nothing.
fn updates(which: Optimizers) -> BoxedStrategy<Update> {
    if which != Optimizers::Any {
        return Just(Update::default()).boxed();
    }
    let limit = || (0u32..=4).prop_map(|n| 2.0_f64.powi(n as i32 - 3));
    let rounding = prop_oneof![Just(Rounding::Nearest), Just(Rounding::Stochastic)];
    let format = prop_oneof![Just(Precision::Bf16), Just(Precision::F16)];
    let one = prop_oneof![
        1 => limit().prop_map(|limit| Update { clip: Some(Clip::Norm(limit)), ..Update::default() }),
        1 => limit().prop_map(|limit| Update { clip: Some(Clip::Value(limit)), ..Update::default() }),
        1 => (2u64..=3).prop_map(|accumulate| Update { accumulate, ..Update::default() }),
        1 => (1u64..=2).prop_map(|delay| Update { delay, ..Update::default() }),
        1 => Just(Update { constraint: Some(Constraint::Renormalise), ..Update::default() }),
        1 => limit().prop_map(|limit| Update { constraint: Some(Constraint::MaxNorm(8.0 * limit)), ..Update::default() }),
        3 => (format, rounding)
            .prop_map(|(format, rounding)| Update { storage: Some(Storage { format, rounding }), ..Update::default() }),
    ];
    prop_oneof![6 => Just(Update::default()), 1 => one].boxed()
}

/// Quarters between −2 and 2.
fn quarters(count: usize) -> impl Strategy<Value = Vec<f64>> {
    vec((-8i32..=8).prop_map(|n| f64::from(n) / 4.0), count)
}

/// A row of zeros has no direction: its first number becomes 1.
fn without_zero_rows(values: &mut [f64], width: usize) {
    for row in values.chunks_exact_mut(width.max(1)) {
        if row.iter().all(|&x| x == 0.0) {
            row[0] = 1.0;
        }
    }
}

/// A tower with explicit values, its parameters scaled by 2^`exponent` and its rates by the square of that, so that the
/// relative step is the same at every scale.
fn towers(
    rows: usize,
    dim: usize,
    encoder: BoxedStrategy<EncoderKind>,
    optimizers_of: Optimizers,
) -> impl Strategy<Value = Tower> {
    let exponent = prop_oneof![8 => Just(0i32), 1 => Just(-40), 1 => Just(40)];
    let around = (optimizers(optimizers_of), updates(optimizers_of));
    (encoder, around, exponent).prop_flat_map(move |(encoder, (optimizer, update), exponent)| {
        // A row-wise rule looks at one row of one table; a recorded run shows the tables joined.
        let several = encoder.blocks(rows, dim).len() > 1;
        let row_wise = optimizer.is_row_wise() || update.constraint.is_some();
        let encoder = if row_wise && several {
            EncoderKind::Table(table::TableEncoder {})
        } else {
            encoder
        };
        let blocks = encoder.blocks(rows, dim);
        let tables: Vec<_> = blocks.iter().map(|block| quarters(block.rows * block.width)).collect();
        let constants = quarters(rows * encoder.constants(dim));
        (tables, constants).prop_map(move |(mut tables, mut constants)| {
            let scale = 2.0_f64.powi(exponent);
            for (values, block) in tables.iter_mut().zip(&blocks) {
                without_zero_rows(values, block.width);
                values.iter_mut().for_each(|x| *x *= scale);
            }
            let features = encoder.constants(0);
            for row in constants.chunks_exact_mut(encoder.constants(dim).max(1)) {
                without_zero_rows(&mut row[..features], features);
                // A frozen bias is on the scale of the parameters; features are not.
                row[features..].iter_mut().for_each(|x| *x *= scale);
            }
            let mut optimizer = optimizer.clone();
            let mut update = update.clone();
            update.rescale(scale);
            // A trust ratio has no scale: neither has the rate that multiplies it.
            let squared = match optimizer {
                Optimizer::Lars(_) | Optimizer::Lamb(_) => 1.0,
                _ => scale * scale,
            };
            match optimizer.schedule_mut() {
                Schedule::Constant(rate) => *rate *= squared,
                Schedule::List(rates) => rates.iter_mut().for_each(|rate| *rate *= squared),
                Schedule::Warmup { from, to, .. } => {
                    *from *= squared;
                    *to *= squared;
                }
                Schedule::Exponential { start, .. } => *start *= squared,
            }
            if let Some(decay) = optimizer.decay_mut() {
                decay.rate /= scale * scale;
            }
            Tower {
                rows,
                encoder: encoder.clone(),
                optimizer,
                update,
                initial: Initial::Explicit { tables, constants },
            }
        })
    })
}

impl Update {
    /// The same at `scale` times the parameters: gradients are `scale` times smaller. The narrow range of f16 holds only
    /// parameters of the size of 1.
    fn rescale(&mut self, scale: f64) {
        if let Some(Clip::Norm(limit) | Clip::Value(limit)) = &mut self.clip {
            *limit /= scale;
        }
        if let Some(Constraint::MaxNorm(limit)) = &mut self.constraint {
            *limit *= scale;
        }
        if let Some(storage) = self.storage.as_mut().filter(|_| scale != 1.0) {
            storage.format = Precision::Bf16;
        }
    }
}

fn batches(sizes: Sizes) -> impl Strategy<Value = Vec<Batch>> {
    let batch = (
        vec(0..sizes.users, sizes.batch),
        vec(0..sizes.items, sizes.batch),
        vec(vec(0..sizes.items, sizes.negatives), if sizes.negatives == 0 { 0 } else { sizes.batch }),
    )
        .prop_map(|(users, positives, negatives)| Batch { users, positives, negatives });
    vec(batch, sizes.steps)
}

/// Random scenarios with cosine InfoNCE whose item tower belongs to the family.
pub fn scenarios(family: Family) -> impl Strategy<Value = Scenario> {
    let corner = prop_oneof![
        6 => Just(Corner::None),
        1 => Just(Corner::Parallel),
        1 => Just(Corner::Antiparallel),
        1 => Just(Corner::Duplicates),
    ];
    let temperature = (-3i32..=1).prop_map(|exponent| 2.0_f64.powi(exponent));
    (sizes(), corner, temperature).prop_flat_map(move |(sizes, corner, temperature)| {
        (
            towers(sizes.items, sizes.dim, encoders(family.encoders), family.optimizers),
            towers(sizes.users, sizes.dim, encoders(Encoders::Any), Optimizers::Any),
            batches(sizes),
        )
            .prop_map(move |(mut item, user, batches)| {
                align(&mut item, &user, corner, sizes.dim);
                Scenario {
                    dim: sizes.dim,
                    steps: sizes.steps,
                    seed: 0,
                    precision: Precision::F64,
                    loss: Loss::InfoNce(InfoNce { similarity: Similarity::Cosine, temperature, epsilon: 0.0 }),
                    sampler: Sampler { batch: sizes.batch, exponent: 0.0, negatives: Negatives::InBatch(InBatch {}) },
                    item,
                    user,
                    batches: Some(batches),
                }
            })
    })
}

/// Puts the item rows where the corner wants them; only where both towers are tables.
fn align(item: &mut Tower, user: &Tower, corner: Corner, dim: usize) {
    let both = matches!((&item.encoder, &user.encoder), (EncoderKind::Table(_), EncoderKind::Table(_)));
    let (Initial::Explicit { tables: items, .. }, Initial::Explicit { tables: users, .. }) =
        (&mut item.initial, &user.initial)
    else {
        return;
    };
    let sign = match corner {
        Corner::None => return,
        Corner::Duplicates => {
            if matches!(item.encoder, EncoderKind::Table(_)) {
                let first = items[0][..dim].to_vec();
                items[0].chunks_exact_mut(dim).for_each(|row| row.copy_from_slice(&first));
            }
            return;
        }
        Corner::Parallel => 1.0,
        Corner::Antiparallel => -1.0,
    };
    if both {
        let size = |values: &[f64]| values.iter().fold(0.0_f64, |size, x| size.max(x.abs()));
        for (k, row) in items[0].chunks_exact_mut(dim).enumerate() {
            let other = &users[0][(k % user.rows) * dim..][..dim];
            // A power of two keeps the row on its own scale and the direction exact.
            let scale = sign * (size(row).log2().round() - size(other).log2().round()).exp2();
            row.iter_mut().zip(other).for_each(|(x, y)| *x = y * scale);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::geometry::cosine_f64;
    use crate::reference::Session;
    use crate::trajectory::Side;

    /// What the generator reaches, counted over many scenarios: nothing may be missing.
    #[test]
    fn generators_cover_dimensions_encoders_optimizers_and_corner_angles() {
        let mut runner = TestRunner::deterministic();
        let strategy = scenarios(Family { encoders: Encoders::Any, optimizers: Optimizers::Any });
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let mut see = |what: String| *seen.entry(what).or_default() += 1;
        for _ in 0..3000 {
            let scenario = strategy.new_tree(&mut runner).unwrap().current();
            see(format!("dim {}", scenario.dim));
            see(format!("steps {}", scenario.steps));
            see(format!("item rows {}", scenario.item.rows));
            for side in [Side::Item, Side::User] {
                let tower = scenario.tower(side);
                see(format!("{side} encoder {}", tower.encoder.name()));
                if let EncoderKind::Mlp(mlp) = &tower.encoder {
                    see(format!("{side} depth {}", mlp.hidden.len() + 1));
                }
                if let EncoderKind::Affine(affine) = &tower.encoder {
                    see(format!("{side} bias {:?}", affine.bias));
                }
                let declared = tower.optimizer.declare();
                let momentum = declared.momentum.unwrap_or(0.0) > 0.0;
                see(format!("{side} {} momentum {momentum} {:?}", declared.name.unwrap(), declared.nesterov));
                let kind = serde_json::to_value(&tower.optimizer).unwrap()["kind"].as_str().unwrap().to_owned();
                see(format!("{side} kind {kind}"));
                see(format!("{side} {kind} {}", tower.optimizer.rows()));
                if let Optimizer::Sgdp(sgdp::Sgdp { projection, .. })
                | Optimizer::Adamp(adamp::Adamp { projection, .. }) = &tower.optimizer
                {
                    see(format!("{side} projects {:?}", projection.view));
                }
                for (what, there) in [
                    ("clip by norm", matches!(tower.update.clip, Some(Clip::Norm(_)))),
                    ("clip by value", matches!(tower.update.clip, Some(Clip::Value(_)))),
                    ("accumulate", tower.update.accumulate > 1),
                    ("delay", tower.update.delay > 0),
                    ("renormalise", tower.update.constraint == Some(Constraint::Renormalise)),
                    ("max-norm", matches!(tower.update.constraint, Some(Constraint::MaxNorm(_)))),
                ] {
                    see(format!("{side} {what} {there}"));
                }
                if let Some(storage) = &tower.update.storage {
                    see(format!("{side} stored in {} {:?}", storage.format, storage.rounding));
                }
                see(format!("{side} decay {}", tower.optimizer.decay().is_some()));
                see(format!("{side} {}", tower.optimizer.rows()));
            }
            let materialised = scenario.materialise().unwrap();
            let session = Session::<f64>::new(&materialised);
            let batch = &materialised.batches[0];
            see(format!("own negatives {}", !batch.negatives.is_empty()));
            let mut slots = batch.item_slots();
            slots.sort_unstable();
            see(format!("duplicates {}", slots.windows(2).any(|pair| pair[0] == pair[1])));
            let (u, q) =
                (session.embedding(Side::User, batch.users[0]), session.embedding(Side::Item, batch.positives[0]));
            if let Some(cosine) = cosine_f64(&u, &q) {
                let angle = if cosine > 1.0 - 1e-12 {
                    "parallel"
                } else if cosine < -1.0 + 1e-12 {
                    "antiparallel"
                } else {
                    "oblique"
                };
                see(format!("angle {angle}"));
            }
            let scale = crate::geometry::norm_f64(&q);
            see(format!(
                "scale {}",
                if scale > 1e6 {
                    "huge"
                } else if scale < 1e-6 {
                    "tiny"
                } else {
                    "common"
                }
            ));
        }
        let expected = [
            (1..=9).map(|dim| format!("dim {dim}")).collect::<Vec<_>>(),
            (1..=5).map(|steps| format!("steps {steps}")).collect(),
            (1..=5).map(|rows| format!("item rows {rows}")).collect(),
            ["id", "affine", "two-layer", "shared-linear", "mlp"]
                .map(|name| format!("item encoder {name}"))
                .into(),
            ["id", "affine", "two-layer", "shared-linear", "mlp"]
                .map(|name| format!("user encoder {name}"))
                .into(),
            (1..=3).map(|depth| format!("item depth {depth}")).collect(),
            ["Trained", "Frozen", "Absent"].map(|bias| format!("item bias {bias}")).into(),
            ["sgd momentum true Some(false)", "sgd momentum true Some(true)", "sgd momentum false Some(false)"]
                .map(|name| format!("item {name}"))
                .into(),
            [
                "sgd",
                "heavy-ball",
                "nesterov",
                "adam",
                "adagrad",
                "rowwise-adagrad",
                "rmsprop",
                "amsgrad",
                "rowwise-adam",
            ]
            .map(|kind| format!("item kind {kind}"))
            .into(),
            ["lion", "sign-sgd", "lars", "lamb", "sgdp", "adamp", "riemannian-sgd"]
                .map(|kind| format!("user kind {kind}"))
                .into(),
            [
                "rmsprop",
                "amsgrad",
                "rowwise-adam",
                "lion",
                "sign-sgd",
                "lars",
                "lamb",
                "sgdp",
                "adamp",
                "riemannian-sgd",
            ]
            .iter()
            .flat_map(|kind| [format!("item {kind} dense"), format!("item {kind} lazy")])
            .collect(),
            ["Always", "Row", "RowThenTable"].map(|view| format!("item projects {view}")).into(),
            ["clip by norm", "clip by value", "accumulate", "delay", "renormalise", "max-norm"]
                .iter()
                .flat_map(|what| [format!("item {what} true"), format!("item {what} false")])
                .collect(),
            ["bfloat16 Nearest", "bfloat16 Stochastic", "float16 Nearest", "float16 Stochastic"]
                .map(|storage| format!("item stored in {storage}"))
                .into(),
            ["item decay true", "item decay false", "item dense", "item lazy"].map(String::from).into(),
            ["own negatives true", "own negatives false", "duplicates true", "duplicates false"]
                .map(String::from)
                .into(),
            ["angle parallel", "angle antiparallel", "angle oblique"].map(String::from).into(),
            ["scale huge", "scale tiny", "scale common"].map(String::from).into(),
        ]
        .concat();
        for what in expected {
            assert!(seen.get(&what).copied().unwrap_or(0) >= 10, "the generator hardly reaches: {what}\n{seen:#?}");
        }
    }

    proptest! {
        #[test]
        fn random_scenarios_survive_toml_and_json(scenario in scenarios(Family { encoders: Encoders::Any, optimizers: Optimizers::Any })) {
            prop_assert_eq!(&Scenario::from_toml(&scenario.to_toml()).unwrap(), &scenario);
            prop_assert_eq!(&Scenario::from_json(&scenario.to_json()).unwrap(), &scenario);
        }
    }
}
