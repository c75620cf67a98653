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
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde::Serialize;

use super::{Capabilities, Initial, Scenario, Tower};
use crate::condition::Condition;
use crate::encoder::activation::Activation;
use crate::encoder::{
    Architecture, Constant, EncoderKind, Form, Size, adapter, affine, bottleneck, dropout, gain_vector, graph, hash,
    history_mean, layer_norm, mlp, projection, residual, shared_linear, table, two_layer, weight_norm,
};
use crate::loss::{
    EpsilonOn, Loss, Objective, ObjectiveFunction, alignment_uniformity, bpr, bsl, contrastive, cosine_embedding,
    full_softmax, info_nce, triplet,
};
use crate::optimizer::constraint::Constraint;
use crate::optimizer::decay::Form as DecayForm;
use crate::optimizer::projection::{Projection, View};
use crate::optimizer::update::{Clip, Rounding, Storage, Update};
use crate::optimizer::{Decay, Optimizer, Schedule, adagrad, adam, heavy_ball, nesterov, rowwise_adagrad, sgd};
use crate::optimizer::{adamp, amsgrad, lamb, lars, lion, riemannian_sgd, rmsprop, rowwise_adam, sgdp, sign_sgd};
use crate::rounding::Precision;
use crate::sampler::{Batch, Negatives, Sampler, in_batch::InBatch};
use crate::trajectory::{Rows, Similarity};
use crate::verdict::Status;

/// Which encoders an item tower may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Encoders {
    /// Tables only: the embedding is the parameter.
    Table,
    /// Private with an isotropic Jacobian: tables and affine maps.
    #[default]
    Isotropic,
    /// These of [`kinds`], by name.
    Only(&'static [&'static str]),
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
    /// Those that scale no coordinate of a row apart, with and without decay.
    Axisless,
    /// Nesterov momentum, dense or lazy.
    Nesterov,
    /// AdaGrad with one accumulator a row.
    RowwiseAdagrad,
    /// SGD with weight decay, dense or lazy, coupled or decoupled.
    DecayedSgd,
    /// SGD and heavy-ball momentum with coupled weight decay, dense or lazy.
    DecayedHeavyBall,
    /// SGDP and AdamP that project every step.
    Projected,
    /// Adam with one second moment a row, dense or lazy.
    RowwiseAdam,
    /// One positive factor a coordinate and no memory of gradients: signs, AdaGrad, RMSprop, Adam with β₁ = 0, clipping.
    Diagonal,
    /// Every kind, with and without decay, with and without an [`Update`] around it.
    Any,
}

/// Which losses a scenario may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Losses {
    /// InfoNCE on cosines without an epsilon, with and without log-Q correction and duplicate masking.
    InfoNce,
    /// Every kind on cosines without an epsilon.
    #[default]
    Cosine,
    /// Every kind on cosines, with every epsilon.
    Guarded,
    /// Every kind on cosines and inner products, with every epsilon.
    Any,
}

/// What the loss and the item tower of a random scenario may be; the user tower may always be anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Family {
    /// Encoders of the item tower.
    pub encoders: Encoders,
    /// Optimizers of the item tower.
    pub optimizers: Optimizers,
    /// Losses.
    pub losses: Losses,
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
    candidates: Candidates,
}

/// What is among the candidates of a pair, but its positive and its own negatives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Candidates {
    /// The other positives, if there are no own negatives.
    Default,
    /// The other positives in any case.
    InBatch,
    /// This many items that all pairs share, and the other positives if there are no own negatives.
    Shared(usize),
    /// Every item.
    Full,
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let dim = prop_oneof![1 => Just(1usize), 6 => 2usize..=5, 2 => 6usize..=9];
    let candidates = prop_oneof![
        6 => Just(Candidates::Default),
        1 => Just(Candidates::InBatch),
        1 => (1usize..=2).prop_map(Candidates::Shared),
        1 => Just(Candidates::Full),
    ];
    let negatives = prop_oneof![2 => Just(0usize), 1 => 1usize..=3];
    (dim, 1usize..=5, 1usize..=4, 1usize..=5, 1usize..=5, negatives, candidates).prop_map(
        |(dim, items, users, batch, steps, negatives, candidates)| Sizes {
            dim,
            items,
            users,
            batch,
            steps,
            negatives,
            candidates,
        },
    )
}

/// Losses of every kind with simple settings, or of some.
pub fn losses(which: Losses) -> BoxedStrategy<Loss> {
    let temperature = || (-3i32..=1).prop_map(|exponent| 2.0_f64.powi(exponent));
    let margin = || (0i32..=4).prop_map(|n| f64::from(n) / 4.0);
    let log_q = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let info_nce = (temperature(), log_q())
        .prop_map(|(temperature, log_q)| Objective::InfoNce(info_nce::InfoNce { temperature, log_q }));
    let any = prop_oneof![
        6 => info_nce.clone(),
        1 => temperature().prop_map(|temperature| Objective::FullSoftmax(full_softmax::FullSoftmax { temperature })),
        1 => temperature().prop_map(|temperature| Objective::Bpr(bpr::Bpr { temperature })),
        1 => margin().prop_map(|margin| Objective::Triplet(triplet::Triplet { margin })),
        1 => (margin(), temperature())
            .prop_map(|(margin, weight)| Objective::Contrastive(contrastive::Contrastive { margin, weight })),
        1 => (temperature(), temperature()).prop_map(|(weight, t)| {
            Objective::AlignmentUniformity(alignment_uniformity::AlignmentUniformity { weight, t })
        }),
        1 => margin().prop_map(|margin| Objective::CosineEmbedding(cosine_embedding::CosineEmbedding { margin })),
        1 => (temperature(), temperature()).prop_map(|(positive_temperature, temperature)| {
            Objective::Bsl(bsl::Bsl { positive_temperature, temperature })
        }),
    ];
    let masks = || prop_oneof![3 => Just(false), 1 => Just(true)];
    let cosine = |objective: BoxedStrategy<Objective>| {
        (objective, masks()).prop_map(|(objective, mask_duplicates)| Loss {
            mask_duplicates,
            ..Loss::new(Similarity::Cosine, objective)
        })
    };
    match which {
        Losses::InfoNce => cosine(info_nce.boxed()).boxed(),
        Losses::Cosine => cosine(any.boxed()).boxed(),
        Losses::Guarded | Losses::Any => {
            let inner_products = u32::from(which == Losses::Any);
            let similarity = prop_oneof![3 => Just(Similarity::Cosine), inner_products => Just(Similarity::Dot)];
            let epsilon = prop_oneof![1 => Just(0.0), 2 => (-4i32..=2).prop_map(|exponent| 2.0_f64.powi(exponent))];
            let place = proptest::sample::select(EpsilonOn::ALL.to_vec());
            (cosine(any.boxed()), similarity, epsilon, place)
                .prop_map(|(loss, similarity, epsilon, epsilon_on)| Loss { similarity, epsilon, epsilon_on, ..loss })
                .boxed()
        }
    }
}

/// Encoders of every kind, by the names that headers have for them. Those that read the other tower are among them: see
/// [`EncoderKind::has_rows`] for what that tower must then be.
pub fn kinds() -> Vec<(&'static str, BoxedStrategy<EncoderKind>)> {
    use EncoderKind::*;
    let bias = prop_oneof![Just(affine::Bias::Absent), Just(affine::Bias::Trained), Just(affine::Bias::Frozen)];
    let activation = || prop_oneof![Just(Activation::Relu), Just(Activation::Gelu), Just(Activation::Tanh)];
    let size = || 1usize..=3;
    let hash = |hashes: std::ops::RangeInclusive<usize>, weights: &[hash::Weights]| {
        let weights = proptest::sample::select(weights.to_vec());
        (1usize..=4, hashes, weights)
            .prop_map(|(buckets, hashes, weights)| Hash(hash::Hash { buckets, hashes, weights }))
            .boxed()
    };
    let constant = [hash::Weights::Absent, hash::Weights::Fixed];
    vec![
        ("id", Just(Table(table::TableEncoder {})).boxed()),
        (
            "affine",
            (size(), bias).prop_map(|(features, bias)| Affine(affine::Affine { features, bias })).boxed(),
        ),
        (
            "two-layer",
            (size(), size())
                .prop_map(|(features, hidden)| TwoLayer(two_layer::TwoLayer { features, hidden }))
                .boxed(),
        ),
        ("gain-vector", Just(GainVector(gain_vector::GainVector {})).boxed()),
        (
            "weight-norm",
            any::<bool>().prop_map(|trained| WeightNorm(weight_norm::WeightNorm { trained })).boxed(),
        ),
        ("projection", (1usize..=6).prop_map(|inner| Projection(projection::Projection { inner })).boxed()),
        ("dropout", (0u32..=3).prop_map(|n| Dropout(dropout::Dropout { rate: f64::from(n) / 4.0 })).boxed()),
        (
            "layer-norm",
            (any::<bool>(), 1u32..=2)
                .prop_map(|(affine, n)| LayerNorm(layer_norm::LayerNorm { affine, epsilon: f64::from(n) / 64.0 }))
                .boxed(),
        ),
        ("hash", hash(1..=1, &constant)),
        ("hash-sum", hash(2..=3, &constant)),
        ("hash-weighted", hash(1..=3, &[hash::Weights::Trained])),
        (
            "shared-linear",
            size().prop_map(|features| SharedLinear(shared_linear::SharedLinear { features })).boxed(),
        ),
        (
            "bottleneck",
            (size(), size())
                .prop_map(|(features, rank)| Bottleneck(bottleneck::Bottleneck { features, rank }))
                .boxed(),
        ),
        (
            "adapter",
            (size(), size(), any::<bool>(), any::<bool>())
                .prop_map(|(features, rank, map, outer_trained)| {
                    let base = if map { adapter::Base::Map } else { adapter::Base::Row };
                    Adapter(adapter::Adapter { features, rank, base, outer_trained })
                })
                .boxed(),
        ),
        (
            "mlp",
            (size(), vec(1usize..=4, 0..=2), any::<bool>(), activation())
                .prop_map(|(features, hidden, bias, activation)| Mlp(mlp::Mlp { features, hidden, bias, activation }))
                .boxed(),
        ),
        (
            "residual",
            (size(), size(), 0usize..=2, activation(), any::<bool>())
                .prop_map(|(features, hidden, depth, activation, bias)| {
                    Residual(residual::Residual { features, hidden, depth, activation, bias })
                })
                .boxed(),
        ),
        (
            "history-mean",
            (1usize..=4, proptest::option::of(1usize..=4))
                .prop_map(|(length, own_rows)| HistoryMean(history_mean::HistoryMean { length, own_rows }))
                .boxed(),
        ),
        ("graph", any::<bool>().prop_map(|bipartite| Graph(graph::Graph { bipartite })).boxed()),
    ]
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
        Encoders::Only(names) => {
            let kinds = kinds().into_iter().filter(|(name, _)| names.contains(name)).map(|(_, kind)| kind);
            proptest::strategy::Union::new(kinds).boxed()
        }
        Encoders::Any => {
            // Tables oftener than any other: the corner angles need one on both sides.
            let kinds = kinds().into_iter().map(|(name, kind)| (if name == "id" { 6 } else { 1 }, kind));
            proptest::strategy::Union::new_weighted(kinds.collect()).boxed()
        }
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
    let nesterov = (schedules(), beta(), rows())
        .prop_map(|(lr, momentum, rows)| Optimizer::Nesterov(nesterov::Nesterov { lr, momentum, decay: None, rows }));
    let form = || prop_oneof![Just(DecayForm::Coupled), Just(DecayForm::Decoupled)];
    let decay = |form: BoxedStrategy<DecayForm>| {
        (1u32..=8, form).prop_map(|(n, form)| Some(Decay { rate: f64::from(n) / 64.0, form }))
    };
    let decayed = |(mut optimizer, decay): (Optimizer, Option<Decay>)| {
        *optimizer.decay_mut() = decay;
        optimizer
    };
    match which {
        Optimizers::Sgd => sgd.boxed(),
        Optimizers::Scalar => prop_oneof![2 => sgd, 1 => rowwise].boxed(),
        Optimizers::HeavyBall => prop_oneof![1 => sgd, 3 => ball].boxed(),
        Optimizers::Axisless => optimizers(Optimizers::Any)
            .prop_filter("scales coordinates apart", |optimizer| {
                matches!(optimizer.status(Condition::NoCoordinateScaling), Status::Met(_))
            })
            .boxed(),
        Optimizers::Nesterov => nesterov.boxed(),
        Optimizers::RowwiseAdagrad => rowwise.boxed(),
        Optimizers::DecayedSgd => (sgd, decay(form().boxed())).prop_map(decayed).boxed(),
        Optimizers::DecayedHeavyBall => (prop_oneof![1 => sgd, 3 => ball], decay(Just(DecayForm::Coupled).boxed()))
            .prop_map(decayed)
            .boxed(),
        Optimizers::Projected => (further_optimizers(7..9)).prop_map(always_projected).boxed(),
        Optimizers::RowwiseAdam => further_optimizers(2..3).boxed(),
        Optimizers::Diagonal => {
            let adam = (schedules(), rows()).prop_map(|(lr, rows)| {
                Optimizer::Adam(adam::Adam { rows, betas: (0.0, 0.875), ..adam::Adam::with_rate(lr) })
            });
            let adagrad = schedules().prop_map(|lr| {
                Optimizer::Adagrad(adagrad::Adagrad { lr, epsilon: 0.5, decay: None, rows: Rows::Dense })
            });
            prop_oneof![1 => sgd, 1 => adam, 1 => adagrad, 1 => further_optimizers(0..1), 2 => further_optimizers(3..5)]
                .prop_map(without_momentum)
                .boxed()
        }
        Optimizers::Any => {
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
            let decay = prop_oneof![2 => Just(None), 1 => decay(form().boxed())];
            let kind = prop_oneof![
                2 => sgd,
                2 => ball,
                1 => nesterov,
                1 => adam,
                1 => adagrad,
                1 => rowwise,
                6 => further_optimizers(0..10),
            ];
            (kind, decay).prop_map(decayed).boxed()
        }
    }
}

/// The kinds beyond the SGD family, Adam and AdaGrad, without decay.
fn further_optimizers(kinds: std::ops::Range<usize>) -> impl Strategy<Value = Optimizer> {
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
    (kinds, schedules(), rows, numbers).prop_map(|(kind, lr, rows, (momentum, other, betas, epsilon, projection))| {
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
    })
}

fn always_projected(mut optimizer: Optimizer) -> Optimizer {
    if let Optimizer::Sgdp(sgdp::Sgdp { projection, .. }) | Optimizer::Adamp(adamp::Adamp { projection, .. }) =
        &mut optimizer
    {
        projection.view = View::Always;
    }
    optimizer
}

fn without_momentum(mut optimizer: Optimizer) -> Optimizer {
    if let Optimizer::Lion(lion) = &mut optimizer {
        lion.betas.0 = 0.0;
    }
    optimizer
}

/// What may happen around any optimizer, at parameters of the size of 1; mostly nothing.
fn updates(which: Optimizers) -> BoxedStrategy<Update> {
    let limit = || (0u32..=4).prop_map(|n| 2.0_f64.powi(n as i32 - 3));
    let by_value = || limit().prop_map(|limit| Update { clip: Some(Clip::Value(limit)), ..Update::default() });
    match which {
        Optimizers::Any => {}
        Optimizers::Diagonal => return prop_oneof![2 => Just(Update::default()), 1 => by_value()].boxed(),
        _ => return Just(Update::default()).boxed(),
    }
    let rounding = prop_oneof![Just(Rounding::Nearest), Just(Rounding::Stochastic)];
    let format = prop_oneof![Just(Precision::Bf16), Just(Precision::F16)];
    let one = prop_oneof![
        1 => limit().prop_map(|limit| Update { clip: Some(Clip::Norm(limit)), ..Update::default() }),
        1 => by_value(),
        1 => (2u64..=3).prop_map(|accumulate| Update { accumulate, ..Update::default() }),
        1 => (1u64..=2).prop_map(|delay| Update { delay, ..Update::default() }),
        1 => Just(Update { constraint: Some(Constraint::Renormalise), ..Update::default() }),
        1 => limit().prop_map(|limit| Update { constraint: Some(Constraint::MaxNorm(8.0 * limit)), ..Update::default() }),
        3 => (format, rounding)
            .prop_map(|(format, rounding)| Update { storage: Some(Storage { format, rounding }), ..Update::default() }),
    ];
    prop_oneof![6 => Just(Update::default()), 1 => one].boxed()
}

/// Optimizers with what happens around them.
pub fn updating(which: Optimizers) -> BoxedStrategy<(Optimizer, Update)> {
    (optimizers(which), updates(which)).boxed()
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

/// Values of a stretch of constants. A row of features is not zero: an embedding would have no direction.
fn constant(constant: Constant) -> BoxedStrategy<Vec<f64>> {
    let count = constant.count;
    match constant.form {
        Form::Features => quarters(count)
            .prop_map(move |mut values| {
                without_zero_rows(&mut values, count);
                values
            })
            .boxed(),
        Form::Offset => quarters(count).boxed(),
        Form::Index { below, padding } => {
            let row = (0..below).prop_map(|row| row as f64);
            let place = if padding {
                prop_oneof![4 => row, 1 => Just(-1.0)].boxed()
            } else {
                row.boxed()
            };
            vec(place, count)
                .prop_map(|mut rows| {
                    if rows.iter().all(|&row| row < 0.0) {
                        rows[0] = 0.0;
                    }
                    rows
                })
                .boxed()
        }
        Form::Mask { kept } => vec(any::<bool>(), count)
            .prop_map(move |keep| {
                // Without a dropout rate nothing is dropped.
                let none = keep.iter().all(|keep| !keep);
                let mask = keep.iter().enumerate();
                mask.map(|(k, &keep)| {
                    if keep || kept == 1.0 || (none && k == 0) {
                        kept
                    } else {
                        0.0
                    }
                })
                .collect()
            })
            .boxed(),
    }
}

/// A tower with explicit values, its parameters scaled by 2^`exponent` and its rates by the square of that, so that the
/// relative step is the same at every scale. Where an activation is not homogeneous, scale is no symmetry and stays 1.
fn towers(
    size: Size,
    encoder: EncoderKind,
    updating: BoxedStrategy<(Optimizer, Update)>,
) -> impl Strategy<Value = Tower> {
    let exponent = prop_oneof![8 => Just(0i32), 1 => Just(-40), 1 => Just(40)];
    (updating, exponent).prop_flat_map(move |((optimizer, update), exponent)| {
        let Size { dim, rows, .. } = size;
        // A row-wise rule looks at one row of one table; a recorded run shows the tables joined.
        let several = encoder.blocks(rows, dim).len() > 1;
        let row_wise = optimizer.is_row_wise() || update.constraint.is_some();
        let encoder = if row_wise && several {
            EncoderKind::Table(table::TableEncoder {})
        } else {
            encoder.clone()
        };
        let blocks = encoder.blocks(rows, dim);
        let tables: Vec<_> = blocks.iter().map(|block| quarters(block.rows * block.width)).collect();
        let forms = encoder.constants(size);
        let shared = constant(Constant::features(encoder.shared_constants(dim)));
        let constants: Vec<Vec<_>> = (0..rows).map(|_| forms.iter().map(|&form| constant(form)).collect()).collect();
        (tables, shared, constants).prop_map(move |(mut tables, shared, mut constants)| {
            let homogeneous = match &encoder {
                EncoderKind::Mlp(mlp) => mlp.activation.is_homogeneous(),
                EncoderKind::Residual(residual) => residual.activation.is_homogeneous(),
                _ => true,
            };
            let scale = if homogeneous { 2.0_f64.powi(exponent) } else { 1.0 };
            for (values, block) in tables.iter_mut().zip(&blocks) {
                without_zero_rows(values, block.width);
                values.iter_mut().for_each(|x| *x *= scale);
            }
            for (form, values) in constants.iter_mut().flat_map(|row| forms.iter().zip(row)) {
                if form.form == Form::Offset {
                    values.iter_mut().for_each(|x| *x *= scale);
                }
            }
            let constants = shared.iter().chain(constants.iter().flatten().flatten()).copied().collect();
            let mut optimizer = optimizer.clone();
            let mut update = update.clone();
            update.rescale(scale);
            // The narrow range of f16 holds only parameters of the size of 1.
            if let Some(storage) = update.storage.as_mut().filter(|_| scale != 1.0) {
                storage.format = Precision::Bf16;
            }
            // A trust ratio has no scale: neither has the rate that multiplies it.
            let squared = match optimizer {
                Optimizer::Lars(_) | Optimizer::Lamb(_) => 1.0,
                _ => scale * scale,
            };
            optimizer.schedule_mut().scale(squared);
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

fn batches(sizes: Sizes, loss: &Loss) -> impl Strategy<Value = Vec<Batch>> + use<> {
    let candidates = match loss.objective.wants_all_items() {
        true => Candidates::Full,
        false => sizes.candidates,
    };
    let (shared, in_batch) = match candidates {
        Candidates::Default => (Just(Vec::new()).boxed(), None),
        Candidates::InBatch => (Just(Vec::new()).boxed(), Some(true)),
        Candidates::Shared(count) => (vec(0..sizes.items, count).boxed(), None),
        Candidates::Full => (Just((0..sizes.items).collect()).boxed(), Some(false)),
    };
    let log_q = loss.objective.wants_log_q();
    let batch = (
        vec(0..sizes.users, sizes.batch),
        vec(0..sizes.items, sizes.batch),
        vec(vec(0..sizes.items, sizes.negatives), if sizes.negatives == 0 { 0 } else { sizes.batch }),
        shared,
    )
        .prop_flat_map(move |(users, positives, negatives, shared)| {
            let batch = Batch { users, positives, negatives, shared, in_batch, log_q: Vec::new() };
            let corrected = if log_q { batch.item_slots().len() } else { 0 };
            vec((-16i32..=0).prop_map(|n| f64::from(n) / 4.0), corrected)
                .prop_map(move |log_q| Batch { log_q, ..batch.clone() })
        });
    vec(batch, sizes.steps)
}

/// Random scenarios whose loss and item tower belong to the family.
pub fn scenarios(family: Family) -> impl Strategy<Value = Scenario> {
    scenarios_of(Parts::from(family))
}

/// What random scenarios are made of.
#[derive(Debug, Clone)]
pub struct Parts {
    /// Losses.
    pub losses: BoxedStrategy<Loss>,
    /// Encoders of the item tower.
    pub encoders: BoxedStrategy<EncoderKind>,
    /// Optimizers of the item tower, with what happens around them.
    pub optimizers: BoxedStrategy<(Optimizer, Update)>,
    /// Encoders of the user tower.
    pub user_encoders: BoxedStrategy<EncoderKind>,
    /// Optimizers of the user tower, with what happens around them.
    pub user_optimizers: BoxedStrategy<(Optimizer, Update)>,
    /// Whether the user tower may pool the rows that an item tower looks up.
    pub pooled: bool,
}

impl From<Family> for Parts {
    fn from(family: Family) -> Self {
        Parts {
            losses: losses(family.losses),
            encoders: encoders(family.encoders),
            optimizers: updating(family.optimizers),
            user_encoders: encoders(Encoders::Any),
            user_optimizers: updating(Optimizers::Any),
            pooled: false,
        }
    }
}

/// How many values of a part are drawn to see whether any has a kind that is asked for. The rarest kinds are drawn once in
/// fifty times: all of them are missed with a probability of 0.98¹⁰²⁴ < 2·10⁻⁹.
const PROBES: usize = 1024;

/// The values whose kind is among the names; None where there are none.
fn among<T: std::fmt::Debug + 'static, K: Serialize + 'static>(
    values: BoxedStrategy<T>,
    names: &Option<Vec<String>>,
    kind: fn(&T) -> &K,
) -> Option<BoxedStrategy<T>> {
    if names.is_none() {
        return Some(values);
    }
    let names = names.clone();
    let fits = move |value: &T| Capabilities::has(&names, kind(value));
    let mut runner = TestRunner::deterministic();
    let any = (0..PROBES).any(|_| values.new_tree(&mut runner).is_ok_and(|tree| fits(&tree.current())));
    any.then(|| values.prop_filter("not implemented by the trainer", fits).boxed())
}

fn rule_of((optimizer, _): &(Optimizer, Update)) -> &Optimizer {
    optimizer
}

impl Parts {
    /// These parts as far as a trainer implements them; None where it implements nothing of one.
    pub fn within(self, capabilities: &Capabilities) -> Option<Parts> {
        let Capabilities { losses, encoders, optimizers, .. } = capabilities;
        Some(Parts {
            losses: among(self.losses, losses, |loss| loss)?,
            encoders: among(self.encoders, encoders, |encoder| encoder)?,
            optimizers: among(self.optimizers, optimizers, rule_of)?,
            user_encoders: among(self.user_encoders, encoders, |encoder| encoder)?,
            user_optimizers: among(self.user_optimizers, optimizers, rule_of)?,
            pooled: self.pooled,
        })
    }
}

/// Random scenarios of these parts. Whatever the user tower is, the item tower is what it says, but for a user tower that
/// pools the item tower's rows.
pub fn scenarios_of(parts: Parts) -> impl Strategy<Value = Scenario> + use<> {
    let Parts { losses: loss, encoders: encoder, optimizers: optimizer, user_encoders, user_optimizers, pooled } =
        parts;
    // Where a tower reads rows that are not there, the user tower is made a table.
    let pair = (encoder, user_encoders).prop_map(move |(item, user)| {
        let readable = item.has_rows() && (pooled || !matches!(item, EncoderKind::Table(_)));
        let refused = user.reads_other() && !readable;
        let needed = item.reads_other() && !user.has_rows();
        let user = if refused || needed {
            EncoderKind::Table(table::TableEncoder {})
        } else {
            user
        };
        (item, user)
    });
    let corner = prop_oneof![
        6 => Just(Corner::None),
        1 => Just(Corner::Parallel),
        1 => Just(Corner::Antiparallel),
        1 => Just(Corner::Duplicates),
    ];
    (sizes(), corner, loss, pair).prop_flat_map(move |(sizes, corner, loss, (item, user))| {
        let size = |rows, other_rows| Size { dim: sizes.dim, rows, other_rows };
        (
            towers(size(sizes.items, sizes.users), item, optimizer.clone()),
            towers(size(sizes.users, sizes.items), user, user_optimizers.clone()),
            batches(sizes, &loss),
        )
            .prop_map(move |(mut item, user, batches)| {
                align(&mut item, &user, corner, sizes.dim);
                Scenario {
                    dim: sizes.dim,
                    steps: sizes.steps,
                    seed: 0,
                    precision: Precision::F64,
                    loss: loss.clone(),
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

    use super::*;
    use crate::geometry::cosine_f64;
    use crate::reference::Session;
    use crate::trajectory::Side;

    /// What the generator reaches, counted over many scenarios: nothing may be missing.
    #[test]
    fn generators_cover_dimensions_encoders_optimizers_and_corner_angles() {
        let mut runner = TestRunner::deterministic();
        let family = Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any };
        let strategy = scenarios_of(Parts { pooled: true, ..Parts::from(family) });
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
                    see(format!("{side} {:?} bias {}", mlp.activation, mlp.bias));
                }
                see(format!("{side} pooled {}", scenario.is_pooled(side)));
                see(format!("{side} tables {}", tower.encoder.blocks(tower.rows, scenario.dim).len().min(2)));
                for form in tower.encoder.constants(scenario.size(side)) {
                    see(format!("{side} {}", form.name));
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
            see(format!("in batch {}", batch.has_in_batch_negatives()));
            see(format!("shared {}, in batch {}", !batch.shared.is_empty(), batch.has_in_batch_negatives()));
            see(format!("mixed {}", scenario.mixes_negatives()));
            let loss = &scenario.loss;
            see(format!("loss {}, {}", loss.objective.name(), loss.similarity));
            see(format!("log-Q {}", loss.objective.wants_log_q()));
            let masks = |pair| {
                let candidates = batch.candidates(pair).without_duplicates(&batch.item_slots());
                loss.mask_duplicates && !candidates.masked().is_empty()
            };
            see(format!("masked {}", (0..batch.users.len()).any(masks)));
            if loss.epsilon > 0.0 {
                see(format!("epsilon on {:?}", loss.epsilon_on));
            }
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
            kinds().iter().map(|(name, _)| format!("item encoder {name}")).collect(),
            kinds().iter().map(|(name, _)| format!("user encoder {name}")).collect(),
            ["Relu", "Gelu", "Tanh"]
                .iter()
                .flat_map(|name| [true, false].map(|bias| format!("item {name} bias {bias}")))
                .collect(),
            ["pooled true", "pooled false", "tables 0", "tables 1", "tables 2"]
                .map(|what| format!("item {what}"))
                .into(),
            ["features", "bias", "base", "length", "mask", "hashes", "weights", "history", "neighbours"]
                .map(|name| format!("item {name}"))
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
            ["in batch true", "in batch false", "mixed true", "mixed false", "log-Q true", "masked true"]
                .map(String::from)
                .into(),
            ["shared true, in batch true", "shared true, in batch false"].map(String::from).into(),
            [
                "info-nce",
                "full-softmax",
                "bpr",
                "triplet",
                "contrastive",
                "alignment-uniformity",
                "cosine-embedding",
                "bsl",
            ]
            .iter()
            .flat_map(|name| Similarity::ALL.iter().map(move |similarity| format!("loss {name}, {similarity}")))
            .collect(),
            EpsilonOn::ALL.map(|place| format!("epsilon on {place:?}")).into(),
            ["scale huge", "scale tiny", "scale common"].map(String::from).into(),
        ]
        .concat();
        for what in expected {
            assert!(seen.get(&what).copied().unwrap_or(0) >= 10, "the generator hardly reaches: {what}\n{seen:#?}");
        }
    }

    proptest! {
        #[test]
        fn random_scenarios_survive_toml_and_json(scenario in scenarios(Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any })) {
            prop_assert_eq!(&Scenario::from_toml(&scenario.to_toml()).unwrap(), &scenario);
            prop_assert_eq!(&Scenario::from_json(&scenario.to_json()).unwrap(), &scenario);
        }
    }
}
