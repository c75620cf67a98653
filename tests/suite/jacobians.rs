//! Every encoder, and every encoder × loss that the generators know, through [`perpend::jacobian::check`]; and mistakes
//! planted in each of them.

use std::collections::{BTreeMap, BTreeSet};

use perpend::encoder::{Architecture, Block, Chain, Constants, Encoder, EncoderKind, Gradient, Place};
use perpend::geometry::{Table, add_scaled, dot, norm_f64, normalise, through_normalisation};
use perpend::jacobian::check::{Counts, Finding, Stage};
use perpend::jacobian::subject::{Evaluate, LossOfEmbeddings, LossOfParameters, RowOf};
use perpend::jacobian::{Differentiable, Effort, Outcome, Report, check, check_encoder, check_gradient};
use perpend::loss::{Evaluation, Loss, ObjectiveFunction};
use perpend::number::{Real, Running};
use perpend::sampler::Batch;
use perpend::scenario::random::{Family, Losses, Parts, kinds, losses, scenarios_of};
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trajectory::{Side, Similarity};
use perpend::verdict::Status;
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::support::*;

type Rounded = Running<53>;

/// Architectures of each encoder, and of each encoder with each loss, that are to be judged.
const ARCHITECTURES: usize = 200;

/// Architectures drawn for that, at most: some have a gradient of zeros (d = 1, a margin that is kept).
const DRAWN: usize = 5 * ARCHITECTURES;

/// Architectures of each encoder in which mistakes are planted, all of them in each.
const PLANTED: usize = 80;

/// Values along lines are the expensive part; dual numbers judge every entry whatever the effort.
const LIGHT: Effort = Effort { directions: 1, blocks: 0, coordinates: 0, radial: 1, seed: 0 };

/// Random models of one step whose item tower has one of these encoders, and whose loss is one of these.
fn models(encoders: BoxedStrategy<EncoderKind>, losses: BoxedStrategy<Loss>) -> impl Iterator<Item = Materialised> {
    let strategy = scenarios_of(Parts { encoders, losses, pooled: true, ..Parts::from(Family::default()) });
    let mut runner = TestRunner::deterministic();
    let mut random = random(11);
    let draws = (0..).map(move |draw| {
        let scenario = strategy.new_tree(&mut runner).expect("a scenario").current();
        one_step(scenario, draw % 4 != 0, &mut random).materialise().expect("a valid scenario")
    });
    draws.filter(is_telling)
}

/// The encoders that the generators know. Strategies cannot be sent to other threads, names can.
fn encoder_names() -> Vec<&'static str> {
    kinds().into_iter().map(|(name, _)| name).collect()
}

fn encoders(name: &str) -> BoxedStrategy<EncoderKind> {
    kinds().into_iter().find(|(kind, _)| *kind == name).expect("an encoder of this name").1
}

/// The losses that the generators know.
fn loss_names() -> BTreeSet<&'static str> {
    let mut runner = TestRunner::deterministic();
    let mut loss = || losses(Losses::Any).new_tree(&mut runner).expect("a loss").current();
    (0..500).map(|_| loss().objective.name()).collect()
}

fn losses_of(name: &'static str) -> BoxedStrategy<Loss> {
    losses(Losses::Any).prop_filter("another loss", move |loss| loss.objective.name() == name).boxed()
}

/// The scenario with its first batch only. Where `generic`, parameters leave the grid of quarters on which they are drawn: on
/// the grid, pre-activations of exactly 0 are common.
fn one_step(mut scenario: Scenario, generic: bool, random: &mut ChaCha8Rng) -> Scenario {
    scenario.steps = 1;
    scenario.batches.as_mut().expect("random scenarios have explicit batches").truncate(1);
    for side in Side::ALL {
        if let (true, Initial::Explicit { tables, .. }) = (generic, &mut scenario.tower_mut(side).initial) {
            for table in tables {
                let size = largest(table);
                table.iter_mut().for_each(|x| *x += size * signed(random) / 8.0);
            }
        }
    }
    scenario
}

/// Whether the loss of the first batch is defined and can have a gradient: no embedding is zero, no logit overflows, and not all
/// items are the same.
fn is_telling(model: &Materialised) -> bool {
    let tables = parameters(model);
    let batch = &model.batches[0];
    let items = batch.item_slots();
    let dot = model.scenario.loss.similarity() == Similarity::Dot;
    let is_sound = |side: Side, slots: &[usize]| {
        let embeddings = embeddings::<f64>(model, side, &tables, slots);
        (0..embeddings.rows()).all(|row| {
            let norm = norm_f64(embeddings.row(row));
            norm > 0.0 && norm.is_finite() && (!dot || norm < 64.0)
        })
    };
    items.iter().any(|&item| item != items[0]) && is_sound(Side::Item, &items) && is_sound(Side::User, &batch.users)
}

/// What was judged, over many architectures.
#[derive(Debug, Default)]
struct Tally {
    agreed: usize,
    undecided: usize,
    counts: Counts,
}

impl Tally {
    /// Judges models until enough of them were.
    fn of(models: impl Iterator<Item = Materialised>, judge: impl Fn(&Materialised) -> Report) -> Self {
        let mut tally = Tally::default();
        for model in models.take(DRAWN) {
            let report = judge(&model);
            match report.outcome() {
                Outcome::Agrees => tally.agreed += 1,
                // A margin that is kept leaves no gradient, a batch of equal rows nothing but its rounding.
                Outcome::Undecided => {
                    tally.undecided += 1;
                    continue;
                }
                Outcome::Disagrees => panic!("{report}\n{}", model.scenario.to_toml()),
            }
            let (sum, counts) = (&mut tally.counts, report.counts);
            sum.entries += counts.entries;
            sum.sharp += counts.sharp;
            sum.nonzero += counts.nonzero;
            sum.lines += counts.lines;
            sum.kinks += counts.kinks;
            sum.rates += counts.rates;
            sum.radial += counts.radial;
            if tally.agreed == ARCHITECTURES {
                break;
            }
        }
        tally
    }

    /// Enough was judged, and sharply.
    fn assert(&self, name: &str) {
        println!("{name}: {self:?}");
        assert_eq!(self.agreed, ARCHITECTURES, "{name}: too little was judged: {self:?}");
        let Counts { entries, sharp, lines, kinks, .. } = self.counts;
        assert!(sharp * 10 >= entries * 9, "{name}: the allowance is coarse: {self:?}");
        assert!(lines >= ARCHITECTURES / 2, "{name}: few differences: {self:?}");
        assert!(kinks * 4 <= lines, "{name}: many lines cross a kink: {self:?}");
    }
}

/// The row whose encoder is judged.
fn looked_up(model: &Materialised) -> usize {
    model.batches[0].positives[0]
}

#[test]
fn exact_products_of_every_encoder_agree_with_taylor_differences_and_dual_numbers() {
    let judged: Vec<_> = encoder_names()
        .into_par_iter()
        .map(|name| {
            let judge = |model: &Materialised| {
                let encoder = &model.scenario.item.encoder;
                let effort = Effort { directions: 2, blocks: 1, coordinates: 4, ..LIGHT };
                check_encoder(encoder, model, Side::Item, looked_up(model), effort)
            };
            (name, Tally::of(models(encoders(name), losses(Losses::InfoNce)), judge))
        })
        .collect();
    judged.iter().for_each(|(name, tally)| tally.assert(name));
}

#[test]
fn gradients_of_every_encoder_and_loss_agree_with_taylor_differences_and_dual_numbers() {
    let losses = loss_names();
    assert!(losses.len() >= 8, "the generators lost a loss: {losses:?}");
    let pairs: Vec<_> = encoder_names()
        .into_iter()
        .flat_map(|encoder| losses.iter().map(move |&loss| (encoder, loss)))
        .collect();
    let judged: Vec<_> = pairs
        .into_par_iter()
        .map(|(encoder, loss)| {
            let judge = |model: &Materialised| check_gradient(&model.scenario, LIGHT).expect("a valid scenario");
            (format!("{encoder} × {loss}"), Tally::of(models(encoders(encoder), losses_of(loss)), judge))
        })
        .collect();
    judged.iter().for_each(|(name, tally)| tally.assert(name));
}

/// Mistakes that are made in the products of encoders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Mistake {
    /// A weight's gradient is stored column after column.
    Transposed,
    /// No gradient for the bias: the block of that name, or the last column of a shared layer.
    NoBias,
    /// The sign is wrong.
    Sign,
    /// Everything is too large by a millionth.
    Millionth,
}

const MISTAKES: [Mistake; 4] = [Mistake::Transposed, Mistake::NoBias, Mistake::Sign, Mistake::Millionth];

impl Mistake {
    /// Puts the mistake into the gradient of a block; embeddings have `dim` numbers.
    fn plant<F: Real>(self, block: &Block, dim: usize, gradient: &mut Table<F>) {
        match self {
            Mistake::Transposed if block.private => {
                // One matrix a row: [d, width/d], or two factors of the width where d is none.
                let width = block.width;
                let out = [dim, 2, 3].into_iter().find(|&out| out > 1 && width.is_multiple_of(out) && width > out);
                if let Some(out) = out {
                    (0..gradient.rows()).for_each(|row| transpose(gradient.row_mut(row), width / out));
                }
            }
            Mistake::Transposed => transpose(gradient.values_mut(), block.width),
            Mistake::NoBias if block.private => {
                if block.name.contains("bias") {
                    gradient.values_mut().fill(F::zero());
                }
            }
            Mistake::NoBias => {
                let last = block.width - 1;
                (0..gradient.rows()).for_each(|row| gradient.row_mut(row)[last] = F::zero());
            }
            Mistake::Sign => *gradient = gradient.map(|g| -g.clone()),
            Mistake::Millionth => *gradient = gradient.map(|g| g.clone() * F::from_f64(1.0 + 1e-6)),
        }
    }
}

/// The numbers of a matrix with this many columns, column after column.
fn transpose<F: Real>(values: &mut [F], columns: usize) {
    let old = values.to_vec();
    let rows = old.len() / columns;
    for (k, value) in values.iter_mut().enumerate() {
        *value = old[(k % rows) * columns + k / rows].clone();
    }
}

/// An encoder with a mistake in the products of one block.
struct Faulty<'a> {
    inner: &'a EncoderKind,
    /// The block, and its place among the model's tables.
    block: &'a Block,
    place: usize,
    mistake: Mistake,
}

struct FaultyEncoder<F> {
    inner: Box<dyn Encoder<F>>,
    block: Block,
    dim: usize,
    place: usize,
    mistake: Mistake,
}

impl Architecture for Faulty<'_> {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        self.inner.blocks(rows, dim)
    }
    fn isotropic_jacobian(&self) -> Status {
        self.inner.isotropic_jacobian()
    }
    fn private_parameters(&self) -> Status {
        self.inner.private_parameters()
    }
    fn chain(&self) -> Option<Chain> {
        self.inner.chain()
    }
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(FaultyEncoder {
            inner: self.inner.build(place, constants),
            block: self.block.clone(),
            dim: place.dim,
            place: self.place,
            mistake: self.mistake,
        })
    }
}

impl<F: Real> Encoder<F> for FaultyEncoder<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        self.inner.encode(tables, row)
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let mut own: Vec<Gradient<F>> =
            tables.iter().map(|table| Gradient::zeros(table.rows(), table.width())).collect();
        self.inner.backward(tables, row, upstream, &mut own);
        for (place, (gradient, own)) in gradients.iter_mut().zip(&own).enumerate() {
            let rows = tables[place].rows();
            let values = (0..rows).flat_map(|row| own.row(row).to_vec()).collect();
            let mut product = Table::from_values(tables[place].width(), values);
            if place == self.place {
                self.mistake.plant(&self.block, self.dim, &mut product);
            }
            for row in 0..rows {
                add_scaled(gradient.accumulate(row), F::one(), product.row(row));
            }
        }
    }
}

/// The point of a subject, on numbers that carry their rounding.
fn lifted(subject: &impl Differentiable) -> Vec<Table<Rounded>> {
    subject.tables().iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect()
}

/// The entries (place, index) at which the products of two subjects differ; empty unless one of them differs by half a
/// millionth of the largest entry of its block and output, and by a hundred times its rounding.
fn changed(right: &impl Differentiable, wrong: &impl Differentiable) -> Vec<(usize, usize)> {
    let tables = lifted(right);
    let (right, wrong) = (right.on::<Rounded>(), wrong.on::<Rounded>());
    let outputs = right.value(&tables).len();
    let mut changed = Vec::new();
    let mut visible = false;
    for output in 0..outputs {
        let unit: Vec<Rounded> = (0..outputs).map(|k| Rounded::from_f64(f64::from(u8::from(k == output)))).collect();
        let (right, wrong) = (right.product(&tables, &unit), wrong.product(&tables, &unit));
        for (place, (right, wrong)) in right.iter().zip(&wrong).enumerate() {
            let size = right.values().iter().fold(0.0, |size: f64, x| size.max(x.value().abs()));
            for (index, (x, y)) in right.values().iter().zip(wrong.values()).enumerate() {
                if x.value() != y.value() {
                    changed.push((place, index));
                    let difference = (x.value() - y.value()).abs();
                    visible |= difference > 5e-7 * size && difference > 100.0 * (x.error() + y.error());
                }
            }
        }
    }
    if visible { changed } else { Vec::new() }
}

/// The finding of a check that must not pass, and that the entry it names is one that was changed.
fn assert_named(report: &Report, subject: &impl Differentiable, changed: &[(usize, usize)], what: &str) -> Finding {
    let finding = report.finding.clone().unwrap_or_else(|| panic!("{what} was let pass: {report}"));
    let entry = finding.entry.clone().unwrap_or_else(|| panic!("{what}: no entry is named: {report}"));
    let named = changed.iter().any(|&(place, index)| {
        let width = subject.tables()[place].width();
        subject.block(place) == entry.block && (index / width, index % width) == (entry.row, entry.column)
    });
    assert!(named, "{what}: the wrong entry is named: {report}");
    let text = report.to_string();
    assert!(text.contains(&format!("{}[{}, {}]", entry.block, entry.row, entry.column)), "{text}");
    finding
}

/// How often each mistake was planted and found in each encoder.
fn counted<M: Copy + Ord>(caught: Vec<(&'static str, Vec<M>)>) -> BTreeMap<(&'static str, M), usize> {
    let mut counts = BTreeMap::new();
    for (name, mistakes) in caught {
        mistakes.into_iter().for_each(|mistake| *counts.entry((name, mistake)).or_default() += 1);
    }
    counts
}

#[test]
fn mistakes_in_the_products_of_any_encoder_are_caught_and_layer_and_entry_are_named() {
    let plant = |model: &Materialised| {
        let (encoder, row, mut caught) = (&model.scenario.item.encoder, looked_up(model), Vec::new());
        let right = RowOf { model, side: Side::Item, architecture: encoder, row };
        if check(&right, LIGHT).outcome() != Outcome::Agrees {
            return caught;
        }
        // An encoder may read the other tower's table.
        let blocks: Vec<&Block> = model.item.blocks.iter().chain(&model.user.blocks).collect();
        for mistake in MISTAKES {
            for (place, block) in blocks.iter().enumerate() {
                let faulty = Faulty { inner: encoder, block, place, mistake };
                let wrong = RowOf { model, side: Side::Item, architecture: &faulty, row };
                let changed = changed(&right, &wrong);
                if !changed.is_empty() {
                    let what = format!("{mistake:?} in {}\n{}", right.block(place), model.scenario.to_toml());
                    assert_named(&check(&wrong, LIGHT), &wrong, &changed, &what);
                    caught.push(mistake);
                }
            }
        }
        caught
    };
    let caught = encoder_names().into_par_iter().map(|name| {
        (
            name,
            models(encoders(name), losses(Losses::InfoNce))
                .take(PLANTED)
                .flat_map(|model| plant(&model))
                .collect(),
        )
    });
    let counts = counted(caught.collect());
    println!("{counts:?}");
    let count = |name, mistake| counts.get(&(name, mistake)).copied().unwrap_or(0);
    for name in encoder_names() {
        for mistake in [Mistake::Sign, Mistake::Millionth] {
            assert!(count(name, mistake) >= PLANTED / 2, "{mistake:?} in {name}: {}", count(name, mistake));
        }
    }
    for name in ["affine", "two-layer", "shared-linear", "bottleneck", "adapter", "mlp", "residual"] {
        assert!(count(name, Mistake::Transposed) >= 20, "{name}: {}", count(name, Mistake::Transposed));
    }
    for name in ["affine", "layer-norm", "mlp", "residual"] {
        assert!(count(name, Mistake::NoBias) >= 10, "{name}: {}", count(name, Mistake::NoBias));
    }
}

/// Mistakes that are made in losses of cosines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LossMistake {
    /// The norm is taken for a constant: no tangent projection.
    DetachedNorm,
    /// The gradient goes back through a normalisation of columns.
    WrongAxisBackward,
    /// Columns are normalised in the value as well: the gradient is right, of another function.
    WrongAxis,
}

/// A loss of cosines with a mistake; `dot` is the same loss of inner products.
struct FaultyLoss<'a> {
    loss: &'a Loss,
    dot: Loss,
    mistake: LossMistake,
}

impl<'a> FaultyLoss<'a> {
    fn new(loss: &'a Loss, mistake: LossMistake) -> Self {
        FaultyLoss { loss, dot: Loss { similarity: Similarity::Dot, ..loss.clone() }, mistake }
    }
}

/// Rows or columns of length 1, and their lengths.
fn normalised<F: Real>(table: &Table<F>, columns: bool) -> (Table<F>, Vec<F>) {
    let lines = if columns { transposed(table) } else { table.clone() };
    let (directions, lengths): (Vec<Vec<F>>, Vec<F>) = (0..lines.rows()).map(|k| normalise(lines.row(k))).unzip();
    let directions = Table::from_values(lines.width(), directions.concat());
    (if columns { transposed(&directions) } else { directions }, lengths)
}

fn transposed<F: Real>(table: &Table<F>) -> Table<F> {
    let mut values = table.values().to_vec();
    transpose(&mut values, table.width());
    Table::from_values(table.rows(), values)
}

impl Evaluate for FaultyLoss<'_> {
    fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F> {
        let right = self.loss.evaluate(users, items, batch);
        let columns = self.mistake == LossMistake::WrongAxis;
        let ((user, _), (item, _)) = (normalised(users, columns), normalised(items, columns));
        let upstream = self.dot.evaluate(&user, &item, batch);
        let back = |a: &Table<F>, q: &Table<F>| match self.mistake {
            LossMistake::DetachedNorm => {
                let (_, lengths) = normalised(q, false);
                let row = |row: usize| a.row(row).iter().map(|a| a.clone() / lengths[row].clone()).collect::<Vec<F>>();
                Table::from_values(a.width(), (0..a.rows()).flat_map(row).collect())
            }
            LossMistake::WrongAxisBackward | LossMistake::WrongAxis => {
                let (directions, lengths) = normalised(q, true);
                let (a, directions) = (transposed(a), transposed(&directions));
                let column = |k: usize| through_normalisation(a.row(k), directions.row(k), &lengths[k]);
                transposed(&Table::from_values(a.width(), (0..a.rows()).flat_map(column).collect()))
            }
        };
        Evaluation {
            loss: if columns { upstream.loss.clone() } else { right.loss },
            users: back(&upstream.users, users),
            items: back(&upstream.items, items),
            ..upstream
        }
    }
}

#[test]
fn mistakes_in_the_normalisation_are_caught_under_any_encoder_and_layer_and_entry_are_named() {
    let plant = |model: &Materialised| {
        let (scenario, batch, mut caught) = (&model.scenario, &model.batches[0], Vec::new());
        let (item, user, loss) = (&scenario.item.encoder, &scenario.user.encoder, &scenario.loss);
        let right = LossOfParameters { model, batch, item, user, loss };
        if check(&right, LIGHT).outcome() != Outcome::Agrees {
            return caught;
        }
        for mistake in [LossMistake::DetachedNorm, LossMistake::WrongAxisBackward] {
            let loss = FaultyLoss::new(loss, mistake);
            let wrong = LossOfParameters { model, batch, item, user, loss: &loss };
            let changed = changed(&right, &wrong);
            let report = check(&wrong, LIGHT);
            // A column of zeros has no length: what is not a number is found before, and has no entry.
            let is_number = report.finding.as_ref().is_none_or(|finding| finding.stage != Stage::Finite);
            if !changed.is_empty() && is_number {
                assert_named(&report, &wrong, &changed, &format!("{mistake:?}\n{}", scenario.to_toml()));
                caught.push(mistake);
            }
        }
        let loss = FaultyLoss::new(loss, LossMistake::WrongAxis);
        let embeddings = LossOfEmbeddings::of(model, batch, [item, user], &loss, true);
        if leaks(&embeddings) {
            let report = check(&embeddings, Effort { radial: usize::MAX, ..LIGHT });
            let finding = report.finding.clone().unwrap_or_else(|| panic!("let pass: {report}"));
            assert_eq!(finding.stage, Stage::Radial, "{report}\n{}", scenario.to_toml());
            assert!(finding.what.contains("embedding["), "{finding}");
            caught.push(LossMistake::WrongAxis);
        }
        caught
    };
    let caught = encoder_names().into_par_iter().map(|name| {
        (
            name,
            models(encoders(name), losses(Losses::Cosine))
                .take(PLANTED)
                .flat_map(|model| plant(&model))
                .collect(),
        )
    });
    let counts = counted(caught.collect());
    println!("{counts:?}");
    for name in encoder_names() {
        for mistake in [LossMistake::DetachedNorm, LossMistake::WrongAxisBackward, LossMistake::WrongAxis] {
            let count = counts.get(&(name, mistake)).copied().unwrap_or(0);
            assert!(count >= 20, "{mistake:?} was planted {count} times only under {name}");
        }
    }
}

/// Whether the gradient has a radial part in some row, a hundred times what rounding can make of it.
fn leaks(subject: &impl Differentiable) -> bool {
    let tables = lifted(subject);
    let gradients = subject.on::<Rounded>().product(&tables, &[Rounded::from_f64(1.0)]);
    tables.iter().zip(&gradients).any(|(table, gradient)| {
        (0..table.rows()).any(|row| {
            let radial = dot(table.row(row), gradient.row(row));
            radial.value().abs() > 100.0 * radial.error()
        })
    })
}
