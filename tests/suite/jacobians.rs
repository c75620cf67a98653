//! Every encoder, and every encoder × loss that the generators know, through [`perpend::jacobian::check`]; and mistakes
//! planted in each of them.

use std::collections::BTreeMap;

use perpend::encoder::{Architecture, Block, Encoder, EncoderKind, Gradient};
use perpend::geometry::{Table, add_scaled, norm_f64, normalise, through_normalisation};
use perpend::jacobian::check::{Finding, Stage};
use perpend::jacobian::subject::{Evaluate, LossOfEmbeddings, LossOfParameters, RowOf};
use perpend::jacobian::{Differentiable, Effort, Outcome, Report, check, check_encoder, check_gradient};
use perpend::loss::{Evaluation, Loss};
use perpend::number::Real;
use perpend::sampler::Batch;
use perpend::scenario::random::{Encoders, Family, scenarios};
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trajectory::{Side, Similarity};
use perpend::verdict::Status;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::support::*;

/// Architectures of each encoder, and of each encoder with each loss, that are to be judged.
const ARCHITECTURES: usize = 200;

/// Architectures drawn for that: some have a gradient of zeros (d = 1, a positive among its own negatives).
const DRAWN: usize = 3 * ARCHITECTURES / 2;

/// Architectures of each encoder in which mistakes are planted, all of them in each.
const PLANTED: usize = 80;

/// Values along lines are the expensive part; dual numbers judge every entry whatever the effort.
const LIGHT: Effort = Effort { directions: 1, blocks: 0, coordinates: 1, radial: 2, seed: 0 };

/// A random model of which one tower is meant.
#[derive(Clone)]
struct Drawn {
    scenario: Scenario,
    side: Side,
}

/// What the generators know: random models by the name of the encoder of the tower that is meant, and losses by kind.
struct Pool {
    encoders: BTreeMap<&'static str, Vec<Drawn>>,
    losses: BTreeMap<String, Vec<Loss>>,
}

fn pool() -> Pool {
    let mut pool = Pool { encoders: BTreeMap::new(), losses: BTreeMap::new() };
    let mut runner = TestRunner::deterministic();
    let mut random = random(11);
    let strategy = scenarios(Family { encoders: Encoders::Any, ..Family::default() });
    let mut draws = 0;
    // Until all names that were ever seen are there often enough; what is rare in 2000 draws is rare indeed.
    while draws < 2000 || pool.encoders.values().any(|drawn| drawn.len() < DRAWN) {
        let scenario =
            one_step(strategy.new_tree(&mut runner).expect("a scenario").current(), draws % 4 != 0, &mut random);
        draws += 1;
        if !scenario.materialise().is_ok_and(|model| is_telling(&model)) {
            continue;
        }
        let kinds = pool.losses.entry(kind(&scenario.loss)).or_default();
        kinds.push(scenario.loss.clone());
        for side in Side::ALL {
            let drawn = pool.encoders.entry(scenario.tower(side).encoder.name()).or_default();
            if drawn.len() < DRAWN {
                drawn.push(Drawn { scenario: scenario.clone(), side });
            }
        }
    }
    pool
}

/// The kind of a loss, as scenarios name it.
fn kind(loss: &Loss) -> String {
    let value = serde_json::to_value(loss).expect("a loss is a plain value");
    value["kind"].as_str().expect("a loss has a kind").to_string()
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
    undefined: usize,
    entries: usize,
    sharp: usize,
    lines: usize,
    kinks: usize,
    rates: usize,
    radial: usize,
}

impl Tally {
    fn count(mut self, report: Option<Report>) -> Self {
        let Some(report) = report else {
            self.undefined += 1;
            return self;
        };
        match report.outcome() {
            Outcome::Agrees => self.agreed += 1,
            // A batch of one item has no gradient but rounding; a dead network has none.
            Outcome::Undecided => {
                self.undecided += 1;
                return self;
            }
            Outcome::Disagrees => unreachable!("disagreements are asserted where they are found"),
        }
        self.entries += report.counts.entries;
        self.sharp += report.counts.sharp;
        self.lines += report.counts.lines;
        self.kinks += report.counts.kinks;
        self.rates += report.counts.rates;
        self.radial += report.counts.radial;
        self
    }

    /// Enough was judged, and sharply.
    fn assert(&self, name: &str) {
        assert!(self.agreed >= ARCHITECTURES, "{name}: too little was judged: {self:?}");
        assert!(self.sharp * 10 >= self.entries * 9, "{name}: the allowance is coarse: {self:?}");
        assert!(self.kinks * 4 <= self.lines, "{name}: many lines cross a kink: {self:?}");
    }
}

#[test]
fn exact_products_of_every_encoder_agree_with_taylor_differences_and_dual_numbers() {
    for (name, drawn) in pool().encoders {
        let reports: Vec<Option<Report>> = drawn
            .par_iter()
            .map(|Drawn { scenario, side }| {
                let model = scenario.materialise().expect("a valid scenario");
                let row = match side {
                    Side::Item => model.batches[0].positives[0],
                    Side::User => model.batches[0].users[0],
                };
                let encoder = &scenario.tower(*side).encoder;
                let report = check_encoder(encoder, &model, *side, row, Effort { coordinates: 6, ..Effort::default() });
                assert_ne!(report.outcome(), Outcome::Disagrees, "{name}: {report}\n{}", scenario.to_toml());
                Some(report)
            })
            .collect();
        let tally = reports.into_iter().fold(Tally::default(), Tally::count);
        tally.assert(name);
        println!("{name}: {tally:?}");
    }
}

#[test]
fn gradients_of_every_encoder_and_loss_agree_with_taylor_differences_and_dual_numbers() {
    let pool = pool();
    for (name, drawn) in &pool.encoders {
        for (kind, losses) in &pool.losses {
            let reports: Vec<Option<Report>> = drawn
                .par_iter()
                .enumerate()
                .map(|(k, drawn)| {
                    let scenario = Scenario { loss: losses[k % losses.len()].clone(), ..drawn.scenario.clone() };
                    let model = scenario.materialise().ok().filter(is_telling)?;
                    let report = check_gradient(&model.scenario, LIGHT).expect("a valid scenario");
                    let toml = || scenario.to_toml();
                    assert_ne!(report.outcome(), Outcome::Disagrees, "{name} × {kind}: {report}\n{}", toml());
                    Some(report)
                })
                .collect();
            let tally = reports.into_iter().fold(Tally::default(), Tally::count);
            println!("{name} × {kind}: {tally:?}");
            tally.assert(&format!("{name} × {kind}"));
        }
    }
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

/// An encoder with a mistake in the products of one of its blocks.
struct Faulty<'a> {
    inner: &'a EncoderKind,
    rows: usize,
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
    fn constants(&self, dim: usize) -> usize {
        self.inner.constants(dim)
    }
    fn isotropic_jacobian(&self) -> Status {
        self.inner.isotropic_jacobian()
    }
    fn private_parameters(&self) -> Status {
        self.inner.private_parameters()
    }
    fn name(&self) -> &'static str {
        self.inner.name()
    }
    fn build<F: Real>(&self, dim: usize, first: usize, constants: Table<F>) -> Box<dyn Encoder<F>> {
        Box::new(FaultyEncoder {
            inner: self.inner.build(dim, first, constants),
            block: self.inner.blocks(self.rows, dim).swap_remove(self.place),
            dim,
            place: first + self.place,
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

/// The entries (place, index) at which the products of two subjects differ; empty unless one of them differs by more than a
/// half a millionth of the largest entry of its block and output.
fn changed(right: &impl Differentiable, wrong: &impl Differentiable) -> Vec<(usize, usize)> {
    let tables = right.tables();
    let (right, wrong) = (right.on::<f64>(), wrong.on::<f64>());
    let outputs = right.value(&tables).len();
    let mut changed = Vec::new();
    let mut visible = false;
    for output in 0..outputs {
        let unit: Vec<f64> = (0..outputs).map(|k| f64::from(u8::from(k == output))).collect();
        let (right, wrong) = (right.product(&tables, &unit), wrong.product(&tables, &unit));
        for (place, (right, wrong)) in right.iter().zip(&wrong).enumerate() {
            let size = largest(right.values());
            for (index, (x, y)) in right.values().iter().zip(wrong.values()).enumerate() {
                if x != y {
                    changed.push((place, index));
                    visible |= (x - y).abs() > 5e-7 * size;
                }
            }
        }
    }
    if visible { changed } else { Vec::new() }
}

/// Whether every entry of a right gradient is judged sharply enough for a mistake of a millionth to be seen.
fn is_sharp(right: &impl Differentiable) -> bool {
    let report = check(right, LIGHT);
    report.outcome() == Outcome::Agrees && report.counts.sharp == report.counts.entries
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

#[test]
fn mistakes_in_the_products_of_any_encoder_are_caught_and_layer_and_entry_are_named() {
    let mut planted: BTreeMap<(&str, Mistake), usize> = BTreeMap::new();
    for (name, drawn) in pool().encoders {
        let counts: Vec<Vec<Mistake>> = drawn[..PLANTED]
            .par_iter()
            .map(|Drawn { scenario, side }| {
                let (model, side) = (scenario.materialise().expect("a valid scenario"), *side);
                let tower = scenario.tower(side);
                let row = match side {
                    Side::Item => model.batches[0].positives[0],
                    Side::User => model.batches[0].users[0],
                };
                let right = RowOf { model: &model, side, architecture: &tower.encoder, row };
                let blocks = model.tower(side).blocks.len();
                let mut caught = Vec::new();
                if !is_sharp(&right) {
                    return caught;
                }
                for (mistake, place) in MISTAKES.into_iter().flat_map(|m| (0..blocks).map(move |place| (m, place))) {
                    let faulty = Faulty { inner: &tower.encoder, rows: tower.rows, place, mistake };
                    let wrong = RowOf { model: &model, side, architecture: &faulty, row };
                    let changed = changed(&right, &wrong);
                    if !changed.is_empty() {
                        let report = check(&wrong, LIGHT);
                        let what = format!("{mistake:?} in block {place} of {name}\n{}", scenario.to_toml());
                        assert_named(&report, &wrong, &changed, &what);
                        caught.push(mistake);
                    }
                }
                caught
            })
            .collect();
        for mistake in counts.into_iter().flatten() {
            *planted.entry((name, mistake)).or_default() += 1;
        }
        for mistake in [Mistake::Sign, Mistake::Millionth] {
            let count = planted.get(&(name, mistake)).copied().unwrap_or(0);
            assert!(count >= PLANTED / 2, "{mistake:?} was planted {count} times only in {name}");
        }
    }
    println!("{planted:#?}");
    for (name, mistake) in [
        ("affine", Mistake::Transposed),
        ("affine", Mistake::NoBias),
        ("two-layer", Mistake::Transposed),
        ("shared-linear", Mistake::Transposed),
        ("mlp", Mistake::Transposed),
        ("mlp", Mistake::NoBias),
    ] {
        let count = planted.get(&(name, mistake)).copied().unwrap_or(0);
        assert!(count >= 20, "{mistake:?} was planted {count} times only in {name}");
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
        let mut value = serde_json::to_value(loss).expect("a loss is a plain value");
        value["similarity"] = "dot".into();
        FaultyLoss { loss, dot: serde_json::from_value(value).expect("the same loss of inner products"), mistake }
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

/// A scenario's loss, if it is one of cosines without an epsilon.
fn of_cosines(scenario: &Scenario) -> bool {
    use perpend::condition::Condition::{CosineLoss, NoEpsilon};
    [CosineLoss, NoEpsilon]
        .into_iter()
        .all(|condition| matches!(scenario.status(Side::Item, condition), Status::Met(_)))
}

#[test]
fn mistakes_in_the_normalisation_are_caught_under_any_encoder_and_layer_and_entry_are_named() {
    let mut planted: BTreeMap<(&str, LossMistake), usize> = BTreeMap::new();
    for (name, drawn) in pool().encoders {
        let caught: Vec<Vec<LossMistake>> = drawn[..PLANTED]
            .par_iter()
            .map(|Drawn { scenario, .. }| {
                let model = scenario.materialise().expect("a valid scenario");
                if !is_telling(&model) || !of_cosines(scenario) {
                    return Vec::new();
                }
                let (item, user, batch) = (&scenario.item.encoder, &scenario.user.encoder, &model.batches[0]);
                let right = LossOfParameters { model: &model, batch, item, user, loss: &scenario.loss };
                let mut caught = Vec::new();
                if !is_sharp(&right) {
                    return caught;
                }
                for mistake in [LossMistake::DetachedNorm, LossMistake::WrongAxisBackward] {
                    let loss = FaultyLoss::new(&scenario.loss, mistake);
                    let wrong = LossOfParameters { model: &model, batch, item, user, loss: &loss };
                    let changed = changed(&right, &wrong);
                    let report = check(&wrong, LIGHT);
                    let finding = report.finding.as_ref();
                    if !changed.is_empty() && finding.is_none_or(|finding| finding.stage > Stage::Deterministic) {
                        let what = format!("{mistake:?} under {name}\n{}", scenario.to_toml());
                        assert_named(&report, &wrong, &changed, &what);
                        caught.push(mistake);
                    }
                }
                let loss = FaultyLoss::new(&scenario.loss, LossMistake::WrongAxis);
                let embeddings = LossOfEmbeddings::of(&model, batch, [item, user], &loss, true);
                if leaks(&embeddings) {
                    let report = check(&embeddings, Effort { radial: usize::MAX, ..LIGHT });
                    let finding = report.finding.clone().unwrap_or_else(|| panic!("let pass: {report}"));
                    assert_eq!(finding.stage, Stage::Radial, "{report}\n{}", scenario.to_toml());
                    assert!(finding.what.contains("embedding["), "{finding}");
                    caught.push(LossMistake::WrongAxis);
                }
                caught
            })
            .collect();
        for mistake in caught.into_iter().flatten() {
            *planted.entry((name, mistake)).or_default() += 1;
        }
        for mistake in [LossMistake::DetachedNorm, LossMistake::WrongAxisBackward, LossMistake::WrongAxis] {
            let count = planted.get(&(name, mistake)).copied().unwrap_or(0);
            assert!(count >= 20, "{mistake:?} was planted {count} times only under {name}");
        }
    }
    println!("{planted:#?}");
}

/// Whether the gradient has a radial part in some row, of a ten-thousandth of its terms at least.
fn leaks(subject: &impl Differentiable) -> bool {
    let tables = subject.tables();
    let gradients = subject.on::<f64>().product(&tables, &[1.0]);
    tables.iter().zip(&gradients).any(|(table, gradient)| {
        (0..table.rows()).any(|row| {
            let terms = table.row(row).iter().zip(gradient.row(row)).map(|(q, g)| q * g);
            let (sum, size) = terms.fold((0.0, 0.0), |(sum, size), term: f64| (sum + term, size + term.abs()));
            sum.abs() > 1e-4 * size
        })
    })
}
