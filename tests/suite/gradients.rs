//! Parameter gradients of every loss × encoder against two other ways of differentiating: central differences of the
//! loss, and dual numbers sent through the same generic code.
//!
//! *Allowed*: the difference's own error estimate plus the rounding of the analytic gradient, which the session yields
//! itself when it runs on [`Running`] numbers. No constant is chosen.

use std::cmp::Ordering;

use perpend::encoder::activation::Activation;
use perpend::encoder::{Architecture, EncoderKind, Form, affine::Bias};
use perpend::geometry::{Table, norm, norm_f64};
use perpend::jacobian::{directional_derivative_within, reach};
use perpend::loss::Loss;
use perpend::number::{Dual, Field, Real, Running};
use perpend::sampler::Batch;
use perpend::scenario::random::{Family, Losses, Optimizers, Parts, kinds, losses, scenarios_of, updating};
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trajectory::{Side, Similarity};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::support::*;

type Rounded = Running<53>;

/// A loss configuration: similarity, whether the clamp is active, whether pairs have their own negatives.
#[derive(Debug, Clone, Copy)]
struct Configuration {
    similarity: Similarity,
    clamped: bool,
    own_negatives: bool,
}

const CONFIGURATIONS: [Configuration; 6] = {
    const fn of(similarity: Similarity, clamped: bool, own_negatives: bool) -> Configuration {
        Configuration { similarity, clamped, own_negatives }
    }
    [
        of(Similarity::Cosine, false, false),
        of(Similarity::Cosine, false, true),
        of(Similarity::Cosine, true, false),
        of(Similarity::Cosine, true, true),
        of(Similarity::Dot, false, false),
        of(Similarity::Dot, false, true),
    ]
};

/// Architectures in each configuration.
const ARCHITECTURES: usize = 200;

/// Puts a random scenario into a configuration. Where `generic`, parameters leave the grid of quarters on which the
/// strategy draws them: on the grid, pre-activations of exactly 0 are common.
fn configured(
    mut scenario: Scenario,
    configuration: Configuration,
    generic: bool,
    random: &mut ChaCha8Rng,
) -> Materialised {
    scenario.steps = 1;
    let items = scenario.item.rows;
    let mut batch = scenario.batches.take().expect("random scenarios have explicit batches").swap_remove(0);
    let count = random.random_range(1..=3);
    batch = Batch { users: batch.users, positives: batch.positives, ..Batch::default() };
    if configuration.own_negatives {
        let mut own = || (0..count).map(|_| random.random_range(0..items)).collect();
        batch.negatives = batch.users.iter().map(|_| own()).collect();
    }
    for side in Side::ALL {
        let (dim, size) = (scenario.dim, scenario.size(side));
        let tower = scenario.tower_mut(side);
        let forms = tower.encoder.constants(size);
        let offsets: Vec<bool> = (forms.iter()).flat_map(|form| vec![form.form == Form::Offset; form.count]).collect();
        let shared = tower.encoder.shared_constants(dim);
        let Initial::Explicit { tables, constants } = &mut tower.initial else {
            panic!("explicit values")
        };
        let size = tables.iter().map(|values| largest(values)).fold(0.0, f64::max);
        // The strategy draws towers at 2^±40 as well. Inner products of those are no numbers to take exponentials of.
        let scale = match configuration.similarity {
            Similarity::Dot => (-size.log2() / 40.0).round() * 40.0,
            Similarity::Cosine => 0.0,
        }
        .exp2();
        for x in tables.iter_mut().flatten() {
            let jitter = if generic { size * signed(random) / 8.0 } else { 0.0 };
            *x = (*x + jitter) * scale;
        }
        for row in constants[shared..].chunks_exact_mut(offsets.len().max(1)) {
            row.iter_mut().zip(&offsets).filter(|(_, offset)| **offset).for_each(|(x, _)| *x *= scale);
        }
    }
    scenario.batches = Some(vec![batch.clone()]);
    scenario.loss = Loss::info_nce(configuration.similarity, scenario.loss.temperature().expect("InfoNCE has one"));
    if configuration.clamped {
        // Just above the median norm: rows on both sides of the clamp.
        let model = scenario.materialise().expect("a valid scenario");
        let tables = parameters(&model);
        let users = embeddings(&model, Side::User, &tables, &batch.users);
        let items = embeddings(&model, Side::Item, &tables, &batch.item_slots());
        let mut norms: Vec<f64> = [users, items]
            .iter()
            .flat_map(|rows| (0..rows.rows()).map(|row| norm_f64(rows.row(row))).collect::<Vec<_>>())
            .collect();
        norms.sort_by(f64::total_cmp);
        let median = norms[norms.len() / 2];
        let epsilon = if median > 0.0 { median * 1.03125 } else { 1.0 };
        scenario.loss.epsilon = epsilon;
    }
    scenario.materialise().expect("a valid scenario")
}

/// The activation of a tower and all pre-activations of a row; written from the encoders' formulas, not from their code.
fn pre_activations<F: Real>(model: &Materialised, side: Side, tables: &[Table<F>], row: usize) -> (Activation, Vec<F>) {
    let own = &tables[places(model, side)];
    let x: Vec<F> = model.tower(side).constants.row(row).iter().map(|&x| F::from_f64(x)).collect();
    let product =
        |weights: &[F], x: &[F]| weights.iter().zip(x).fold(F::zero(), |sum, (w, x)| sum + w.clone() * x.clone());
    // The bias stands at the end of a unit's row.
    let units = |layer: &Table<F>, x: &[F], bias: bool| -> Vec<F> {
        let unit = |k: usize| {
            let row = layer.row(k);
            product(row, x) + if bias { row[x.len()].clone() } else { F::zero() }
        };
        (0..layer.rows()).map(unit).collect()
    };
    let half = F::from_f64(0.5);
    let bend = |activation: Activation, pre: &[F]| -> Vec<F> {
        let one = |x: &F| match activation {
            Activation::Relu => x.clone().max(F::zero()),
            Activation::Tanh => x.clone().tanh(),
            Activation::Gelu => {
                let cube = x.clone() * x.clone() * x.clone();
                let inner =
                    (x.clone() + F::from_f64(0.044715) * cube) * F::from_f64((2.0 / std::f64::consts::PI).sqrt());
                half.clone() * x.clone() * (F::one() + inner.tanh())
            }
        };
        pre.iter().map(one).collect()
    };
    match &model.scenario.tower(side).encoder {
        EncoderKind::TwoLayer(_) => {
            let weights = own[0].row(row).chunks_exact(x.len());
            (Activation::Relu, weights.map(|w| product(w, &x)).collect())
        }
        EncoderKind::Mlp(mlp) => {
            let (mut all, mut input) = (Vec::new(), x);
            for layer in &own[..mlp.hidden.len()] {
                let pre = units(layer, &input, mlp.bias);
                input = bend(mlp.activation, &pre);
                all.extend(pre);
            }
            (mlp.activation, all)
        }
        EncoderKind::Residual(residual) => {
            let (mut all, mut stream) = (Vec::new(), units(&own[0], &x, false));
            for block in own[1..].chunks_exact(2) {
                let pre = units(&block[0], &stream, residual.bias);
                let branch = units(&block[1], &bend(residual.activation, &pre), residual.bias);
                stream = stream.into_iter().zip(branch).map(|(h, b)| h + b).collect();
                all.extend(pre);
            }
            (residual.activation, all)
        }
        _ => (Activation::Relu, Vec::new()),
    }
}

/// On which side of every kink the model is: signs of ReLU pre-activations and of ‖q‖ − ε, over all rows in use.
/// None where a cosine of a zero vector is asked for.
fn sides_of_kinks(model: &Materialised, tables: &[Table<f64>], batch: &Batch) -> Option<Vec<Option<Ordering>>> {
    let mut signs = Vec::new();
    let loss = &model.scenario.loss;
    for (side, rows) in [(Side::Item, batch.item_slots()), (Side::User, batch.users.clone())] {
        for &row in &rows {
            let (activation, pres) = pre_activations(model, side, tables, row);
            if activation == Activation::Relu {
                signs.extend(pres.iter().map(|x| x.partial_cmp(&0.0)));
            }
        }
        if loss.similarity == Similarity::Cosine {
            let embeddings = embeddings(model, side, tables, &rows);
            for row in 0..embeddings.rows() {
                let norm = norm_f64(embeddings.row(row));
                if (norm == 0.0 && loss.epsilon == 0.0) || norm.is_nan() {
                    return None;
                }
                signs.push(norm.partial_cmp(&loss.epsilon));
            }
        }
    }
    Some(signs)
}

/// Whether rounding may have made an embedding: terms that cancel, such as hash weights that add up to 0, leave a direction
/// that nobody can know.
fn is_lost_in_rounding(model: &Materialised, tables: &[Table<f64>], batch: &Batch) -> bool {
    let tables: Vec<Table<Rounded>> = tables.iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect();
    [(Side::Item, batch.item_slots()), (Side::User, batch.users.clone())].iter().any(|(side, rows)| {
        let embeddings = embeddings(model, *side, &tables, rows);
        (0..embeddings.rows()).any(|row| {
            let length = norm(embeddings.row(row));
            length.error() >= length.value()
        })
    })
}

/// The rates at which an encoder's own curved functions pass through their unit of change: smooth activations, and the
/// lengths and deviations that rows are divided by.
fn curved_rates(model: &Materialised, side: Side, tables: &[Table<Dual>], row: usize) -> Vec<f64> {
    let own = &tables[places(model, side)];
    let speed = |row: &[Dual]| norm_f64(&row.iter().map(|x| x.derivative()).collect::<Vec<_>>());
    let values = |row: &[Dual]| row.iter().map(Field::to_f64).collect::<Vec<_>>();
    match &model.scenario.tower(side).encoder {
        EncoderKind::WeightNorm(_) => vec![speed(own[0].row(row)) / norm_f64(&values(own[0].row(row)))],
        EncoderKind::LayerNorm(layer) => {
            let values = values(own[0].row(row));
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / values.len() as f64;
            vec![speed(own[0].row(row)) / (variance + layer.epsilon).sqrt()]
        }
        _ => match pre_activations(model, side, tables, row) {
            (Activation::Relu, _) => Vec::new(),
            (_, pres) => pres.iter().map(|x| x.derivative().abs()).collect(),
        },
    }
}

/// The distance over which the loss changes by its own size along a direction: the inverse of the fastest relative rate
/// among parameters, embeddings, logits and whatever is curved inside an encoder.
fn scale(model: &Materialised, tables: &[Table<f64>], direction: &[Table<f64>], batch: &Batch) -> f64 {
    let loss = &model.scenario.loss;
    let temperature = loss.temperature().expect("InfoNCE has one");
    let pairs = tables.iter().zip(direction);
    let forward: Vec<Table<Dual>> = pairs
        .clone()
        .map(|(table, direction)| {
            let values = table.values().iter().zip(direction.values());
            Table::from_values(table.width(), values.map(|(&x, &v)| Dual::variable(x, v)).collect())
        })
        .collect();
    let split = |rows: Table<Dual>| {
        let (values, slopes) = (rows.map(Field::to_f64), rows.map(|x| x.derivative()));
        (0..rows.rows())
            .map(|row| (norm_f64(values.row(row)), norm_f64(slopes.row(row))))
            .collect::<Vec<_>>()
    };
    let users = split(embeddings(model, Side::User, &forward, &batch.users));
    let items = split(embeddings(model, Side::Item, &forward, &batch.item_slots()));
    let parameters = pairs.map(|(table, direction)| largest(direction.values()) / largest(table.values()));
    let relative = users.iter().chain(&items).map(|(norm, slope)| slope / norm.max(loss.epsilon));
    let logits: Vec<f64> = match loss.similarity {
        Similarity::Cosine => relative.clone().map(|rate| 2.0 * rate / temperature).collect(),
        Similarity::Dot => users
            .iter()
            .flat_map(|u| items.iter().map(move |q| (u.0 * q.1 + u.1 * q.0) / temperature))
            .collect(),
    };
    // A dot product has no business with ‖q̇‖/‖q‖.
    let relative: Vec<f64> = match loss.similarity {
        Similarity::Cosine => relative.collect(),
        Similarity::Dot => Vec::new(),
    };
    let rows = batch.item_slots().into_iter().map(|row| (Side::Item, row));
    let rows = rows.chain(batch.users.iter().map(|&row| (Side::User, row)));
    let curved = rows.flat_map(|(side, row)| curved_rates(model, side, &forward, row));
    1.0 / parameters
        .chain(relative)
        .chain(logits)
        .chain(curved)
        .filter(|rate| rate.is_finite())
        .fold(0.5, f64::max)
}

/// A random direction through the tables of some places, in every table on the scale of its parameters.
fn random_direction(tables: &[Table<f64>], places: std::ops::Range<usize>, random: &mut ChaCha8Rng) -> Vec<Table<f64>> {
    let direction = |(place, table): (usize, &Table<f64>)| {
        let size = if places.contains(&place) {
            largest(table.values())
        } else {
            0.0
        };
        table.map(|_| size * signed(random))
    };
    tables.iter().enumerate().map(direction).collect()
}

/// The direction of one coordinate of one table.
fn coordinate(tables: &[Table<f64>], place: usize, index: usize) -> Vec<Table<f64>> {
    let mut direction: Vec<Table<f64>> = tables.iter().map(|table| table.map(|_| 0.0)).collect();
    direction[place].values_mut()[index] = largest(tables[place].values());
    direction
}

/// ⟨g, v⟩ with the rounding of g and of the sum, and Σ|g_i v_i|.
struct Projection {
    value: f64,
    error: f64,
    size: f64,
}

fn project(gradient: &[Table<Rounded>], direction: &[Table<f64>]) -> Projection {
    let mut sum = Rounded::from_f64(0.0);
    let mut size = 0.0;
    for (g, v) in gradient.iter().zip(direction) {
        for (&g, &v) in g.values().iter().zip(v.values()) {
            sum = sum + g * Rounded::from_f64(v);
            size += (g.value() * v).abs();
        }
    }
    Projection { value: sum.value(), error: sum.error(), size }
}

/// What another way of differentiating says about a direction.
#[derive(Debug, Clone, Copy)]
struct Witness {
    slope: f64,
    error: f64,
}

impl Witness {
    fn accepts(&self, analytic: &Projection) -> bool {
        (self.slope - analytic.value).abs() <= self.error + analytic.error
    }
}

/// The slope along a direction by central differences; None where the direction crosses a kink.
fn by_differences(model: &Materialised, direction: &[Table<f64>], batch: &Batch) -> Option<Witness> {
    let tables = parameters(model);
    let scale = scale(model, &tables, direction, batch);
    let h = reach(scale);
    let here = sides_of_kinks(model, &tables, batch)?;
    for t in [h, -h] {
        if sides_of_kinks(model, &moved::<f64>(&tables, direction, t), batch)? != here {
            return None;
        }
    }
    let noise = |t: f64| evaluate(model, &moved::<Rounded>(&tables, direction, t), batch).loss.error();
    // The bound at the inner points is that of the outer ones up to a factor 1 + O(h/scale); libm's exp and ln are
    // correct to one unit in the last place, not half of one.
    let noise = 2.0 * noise(h).max(noise(-h));
    let loss = |t: f64| evaluate(model, &moved::<f64>(&tables, direction, t), batch).loss;
    let estimate = directional_derivative_within(loss, scale, noise);
    Some(Witness { slope: estimate.value, error: estimate.error })
}

/// The slope along a direction by dual numbers through encoders and loss.
fn by_dual_numbers(model: &Materialised, direction: &[Table<f64>], batch: &Batch) -> Witness {
    let tables = parameters(model);
    fn lift<F: Real>(tables: &[Table<f64>], direction: &[Table<f64>], make: impl Fn(f64, f64) -> F) -> Vec<Table<F>> {
        let lifted = |(table, direction): (&Table<f64>, &Table<f64>)| {
            let values = table.values().iter().zip(direction.values()).map(|(&x, &v)| make(x, v));
            Table::from_values(table.width(), values.collect())
        };
        tables.iter().zip(direction).map(lifted).collect()
    }
    let dual = evaluate(model, &lift(&tables, direction, Dual::variable), batch).loss;
    let bounded = |x: f64, v: f64| Forward::new(Rounded::from_f64(x), Rounded::from_f64(v));
    let bound = evaluate(model, &lift(&tables, direction, bounded), batch).loss.slope;
    // num-dual's rules for a quotient and a root round once more than the rules that the bound is made with.
    Witness { slope: dual.derivative(), error: 2.0 * bound.error() }
}

/// Mistakes that are made in gradients.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mistake {
    /// One table's gradient has the wrong sign.
    Sign,
    /// A weight matrix's gradient is transposed.
    Transposed,
    /// No gradient for the bias.
    NoBias,
    /// One row's gradient is lost.
    LostRow,
    /// Everything is too large by a thousandth.
    Scale,
}

const MISTAKES: [Mistake; 5] = [Mistake::Sign, Mistake::Transposed, Mistake::NoBias, Mistake::LostRow, Mistake::Scale];

/// The gradient with a mistake in the item tower's tables; None where there is nothing to get wrong.
fn plant(mistake: Mistake, model: &Materialised, gradient: &[Table<Rounded>]) -> Option<Vec<Table<Rounded>>> {
    let mut wrong = gradient.to_vec();
    let encoder = &model.scenario.item.encoder;
    let own = places(model, Side::Item);
    if own.is_empty() {
        return None;
    }
    match mistake {
        Mistake::Sign => {
            let last = &mut wrong[own.end - 1];
            *last = last.map(|&g| -g);
        }
        Mistake::Transposed => {
            let constants = encoder.constants(model.scenario.size(Side::Item));
            let matrix: &mut dyn FnMut(&mut [Rounded], usize) = &mut |values, columns| {
                let old = values.to_vec();
                let rows = old.len() / columns;
                for (k, value) in values.iter_mut().enumerate() {
                    *value = old[(k % rows) * columns + k / rows];
                }
            };
            match encoder {
                EncoderKind::Affine(_) | EncoderKind::TwoLayer(_) => {
                    let table = &mut wrong[own.start];
                    let features = constants[0].count;
                    (0..table.rows()).for_each(|row| matrix(table.row_mut(row), features));
                }
                EncoderKind::SharedLinear(_)
                | EncoderKind::Mlp(_)
                | EncoderKind::Residual(_)
                | EncoderKind::Bottleneck(_)
                | EncoderKind::Adapter(_) => {
                    let table = &mut wrong[own.start];
                    let width = table.width();
                    matrix(table.values_mut(), width);
                }
                _ => return None,
            }
        }
        Mistake::NoBias => match encoder {
            EncoderKind::Affine(affine) if affine.bias == Bias::Trained => {
                wrong[own.start + 1].values_mut().fill(Rounded::from_f64(0.0));
            }
            EncoderKind::Mlp(mlp) if mlp.bias => {
                for table in &mut wrong[own] {
                    let last = table.width() - 1;
                    (0..table.rows()).for_each(|row| table.row_mut(row)[last] = Rounded::from_f64(0.0));
                }
            }
            EncoderKind::Residual(residual) if residual.bias && residual.depth > 0 => {
                for table in &mut wrong[own.start + 1..own.end] {
                    let last = table.width() - 1;
                    (0..table.rows()).for_each(|row| table.row_mut(row)[last] = Rounded::from_f64(0.0));
                }
            }
            EncoderKind::LayerNorm(layer) if layer.affine => {
                wrong[own.end - 1].values_mut().fill(Rounded::from_f64(0.0));
            }
            _ => return None,
        },
        Mistake::LostRow => {
            let size = |table: &Table<Rounded>, row: usize| {
                largest(&table.row(row).iter().map(|g| g.value()).collect::<Vec<_>>())
            };
            let table = &mut wrong[own.start];
            let row = (0..table.rows()).max_by(|&a, &b| size(table, a).total_cmp(&size(table, b)))?;
            table.row_mut(row).fill(Rounded::from_f64(0.0));
        }
        Mistake::Scale => {
            let factor = Rounded::from_f64(1.001);
            wrong = wrong.iter().map(|table| table.map(|&g| g * factor)).collect();
        }
    }
    Some(wrong)
}

/// What was judged.
#[derive(Debug, Default)]
struct Tally {
    architectures: usize,
    undefined: usize,
    directions: usize,
    kinks: usize,
    /// Directions in which the gradient is not zero, and those of them whose tolerance is below a millionth of it.
    moving: usize,
    sharp: usize,
    /// By mistake: how often it changes the slope by more than a ten-thousandth, how often differences noticed and how
    /// often dual numbers did.
    planted: [(usize, usize, usize); MISTAKES.len()],
}

/// Judges gradients of random architectures with this item encoder, in all configurations.
fn gradients_of(name: &str) -> Tally {
    let mut tally = Tally::default();
    let mut runner = TestRunner::deterministic();
    let mut random = random(7);
    let (_, kind) = kinds().into_iter().find(|(kind, _)| *kind == name).expect("an encoder of this name");
    let strategy = scenarios_of(Parts {
        encoders: kind,
        optimizers: updating(Optimizers::Any),
        losses: losses(Losses::InfoNce),
        pooled: true,
        ..Parts::from(Family::default())
    });
    for configuration in CONFIGURATIONS {
        let mut judged = 0;
        while judged < ARCHITECTURES {
            let scenario = strategy.new_tree(&mut runner).expect("a scenario").current();
            if scenario.item.encoder.name() != name {
                continue;
            }
            let model = configured(scenario, configuration, judged % 4 != 0, &mut random);
            let batch = &model.batches[0];
            let tables = parameters(&model);
            let cosine = configuration.similarity == Similarity::Cosine && !configuration.clamped;
            if sides_of_kinks(&model, &tables, batch).is_none()
                || (cosine && is_lost_in_rounding(&model, &tables, batch))
            {
                tally.undefined += 1;
                continue;
            }
            judged += 1;
            judge(&model, configuration, &mut tally, &mut random);
        }
    }
    tally
}

fn judge(model: &Materialised, configuration: Configuration, tally: &mut Tally, random: &mut ChaCha8Rng) {
    let batch = &model.batches[0];
    let tables = parameters(model);
    tally.architectures += 1;
    let gradient = session_gradients::<Rounded>(model, batch);
    for (narrow, bounded) in session_gradients::<f64>(model, batch).iter().zip(&gradient) {
        assert_eq!(narrow.values(), bounded.map(|g| g.value()).values(), "both number types follow the same steps");
    }
    let mut directions = vec![
        random_direction(&tables, places(model, Side::Item), random),
        random_direction(&tables, places(model, Side::User), random),
        random_direction(&tables, 0..tables.len(), random),
    ];
    for (place, table) in tables.iter().enumerate() {
        directions.push(coordinate(&tables, place, random.random_range(0..table.values().len())));
    }
    for (number, direction) in directions.iter().enumerate() {
        let analytic = project(&gradient, direction);
        let report = |way: &str, witness: &Witness| {
            assert!(
                witness.accepts(&analytic),
                "{way}, direction {number}: {witness:?}, analytic {} ± {}, {configuration:?}\n{}",
                analytic.value,
                analytic.error,
                model.scenario.to_toml()
            );
        };
        let dual = by_dual_numbers(model, direction, batch);
        report("dual numbers", &dual);
        tally.directions += 1;
        let Some(difference) = by_differences(model, direction, batch) else {
            tally.kinks += 1;
            continue;
        };
        report("central differences", &difference);
        if analytic.size > 0.0 && analytic.size > analytic.error {
            tally.moving += 1;
            tally.sharp += usize::from(difference.error + dual.error + analytic.error < 1e-6 * analytic.size);
        }
        if number == 0 {
            for (mistake, (changed, differences, duals)) in MISTAKES.into_iter().zip(&mut tally.planted) {
                let Some(wrong) = plant(mistake, model, &gradient) else {
                    continue;
                };
                let wrong = project(&wrong, direction);
                if (wrong.value - analytic.value).abs() > 1e-4 * analytic.size
                    && analytic.size > 1e6 * (analytic.error + dual.error)
                {
                    *changed += 1;
                    *differences += usize::from(!difference.accepts(&wrong));
                    *duals += usize::from(!dual.accepts(&wrong));
                }
            }
        }
    }
}

/// What holds for every encoder; `mistakes` are those that it can suffer.
fn assert_judged(tally: &Tally, mistakes: &[Mistake]) {
    assert!(tally.architectures >= 200);
    assert!(tally.undefined * 2 <= tally.architectures, "many embeddings are zero: {tally:?}");
    assert!(tally.kinks * 10 <= tally.directions, "many directions cross a kink: {tally:?}");
    assert!(tally.moving * 3 >= tally.directions, "the gradient is mostly zero: {tally:?}");
    // A saturated softmax has a gradient far below the rounding of its loss: there a difference sees nothing.
    assert!(tally.sharp * 5 >= tally.moving * 4, "the tolerance is coarse: {tally:?}");
    for (mistake, (changed, differences, duals)) in MISTAKES.into_iter().zip(tally.planted) {
        if mistakes.contains(&mistake) {
            assert!(changed >= 50, "{mistake:?} was planted {changed} times only");
        }
        assert_eq!(duals, changed, "dual numbers missed {mistake:?}");
        assert!(differences * 5 >= changed * 4, "differences noticed {mistake:?} {differences} times of {changed}");
    }
}

/// Gradients of an encoder in all configurations agree with differences and dual numbers, which notice these mistakes.
macro_rules! gradients {
    ($($test:ident: $name:literal, $mistakes:expr;)*) => {
        $(#[test]
        fn $test() {
            assert_judged(&gradients_of($name), &$mistakes);
        })*

        #[test]
        fn every_encoder_is_judged() {
            let judged = [$($name),*];
            assert_eq!(judged.to_vec(), kinds().iter().map(|(name, _)| *name).collect::<Vec<_>>());
        }
    };
}

use Mistake::{LostRow, NoBias, Scale, Sign, Transposed};

gradients! {
    gradients_of_tables: "id", [Sign, LostRow, Scale];
    gradients_of_affine_maps: "affine", MISTAKES;
    gradients_of_two_layer_networks: "two-layer", [Sign, Transposed, LostRow, Scale];
    // The gain has no gradient under a cosine, so that its rows cannot be lost there.
    gradients_of_gains: "gain-vector", [Sign, Scale];
    gradients_of_weight_norm: "weight-norm", [LostRow, Scale];
    gradients_of_frozen_projections: "projection", [Sign, LostRow, Scale];
    gradients_under_dropout: "dropout", [Sign, LostRow, Scale];
    gradients_of_layer_norm: "layer-norm", [Sign, NoBias, LostRow, Scale];
    gradients_of_hashes: "hash", [Sign, LostRow, Scale];
    gradients_of_hash_sums: "hash-sum", [Sign, LostRow, Scale];
    gradients_of_weighted_hashes: "hash-weighted", [Sign, LostRow, Scale];
    gradients_of_shared_linear_maps: "shared-linear", [Sign, Transposed, LostRow, Scale];
    gradients_of_bottlenecks: "bottleneck", [Sign, Transposed, LostRow, Scale];
    gradients_of_adapters: "adapter", [Sign, Transposed, LostRow, Scale];
    gradients_of_multi_layer_towers: "mlp", MISTAKES;
    gradients_of_residual_towers: "residual", MISTAKES;
    gradients_of_history_means: "history-mean", [Sign, LostRow, Scale];
    gradients_of_graphs: "graph", [Sign, LostRow, Scale];
}
