//! A gradient held against everything else that is known about it, in this order; the first disagreement is reported:
//!
//! 1. **Finite**: value and products are numbers.
//! 2. **Deterministic**: computed twice they are the same bits; computed on numbers that carry their rounding bound they
//!    are the same up to that bound.
//! 3. **Taylor rate** ([`taylor`](super::taylor)): the order of the remainder along random directions.
//! 4. **Radial**: where the function must be constant along some rows (a loss of cosines), it is.
//! 5. **Differences** ([`line`](super::line)): the slope along random directions and single coordinates; where the function has
//!    a way to do so in one go ([`coordinates`](super::coordinates)), along every parameter. Where that disagrees the line along
//!    the parameter decides, which knows kinks.
//! 6. **Dual numbers** that carry their rounding ([`Forward`]): every entry of the Jacobian.
//!
//! Whoever judges a *claim* about a gradient does so after these six.
//!
//! The first three and the last differ in what they trust. Differences see values only. Dual numbers see the function's own
//! arithmetic and are as sharp as rounding. The Taylor rate has no scale to choose.
//!
//! A disagreement names the block of parameters (the layer), the entry, the output, and the three values with their errors.
//! *Allowed*: the sum of the errors of the two values that are compared ([`Estimate`]); no constant is chosen. Directions with
//! a kink at the point (a ReLU whose pre-activation is 0) are counted and left to the dual numbers, which share the
//! subgradient: a kink shows as a jump of the slope, of one-sided differences or of dual numbers beside the point.
//!
//! *Resolution*: an entry of the Jacobian counts as sharply judged if its allowance is below 10⁻⁶ of the largest entry of
//! the same block and output, so that an error of a millionth would be seen. A check that judged no entry sharply but zeros is
//! `Undecided`.

use std::cmp::Ordering;
use std::fmt;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::subject::{LossOfEmbeddings, LossOfParameters, RowOf};
use super::taylor::{Flatness, Rate, flatness, taylor};
use super::{Differentiable, Estimate, Function, Line, Rounded, Slope};
use crate::encoder::Architecture;
use crate::error::Result;
use crate::geometry::{Table, dot};
use crate::number::{Field, Forward, Real};
use crate::scenario::{Materialised, Scenario};
use crate::trajectory::{Side, Similarity};
use crate::verdict::Status;

/// How much is judged by values along lines; dual numbers always judge every entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// Random directions through all parameters.
    pub directions: usize,
    /// Random directions through one block, for each block.
    pub blocks: usize,
    /// Single coordinates: all of them if there are no more than this, else that many at random.
    pub coordinates: usize,
    /// Radial directions: all of them if there are no more than this, else that many at random.
    pub radial: usize,
    /// Seed of everything random.
    pub seed: u64,
}

impl Default for Effort {
    fn default() -> Self {
        Effort { directions: 3, blocks: 1, coordinates: 12, radial: 12, seed: 0 }
    }
}

/// Below this part of the largest entry an error need not be seen.
const RESOLUTION: f64 = 1e-6;

/// What is judged, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Value and products are numbers.
    Finite,
    /// The same in every run and on every number type.
    Deterministic,
    /// The remainder is of order 2.
    TaylorRate,
    /// Constant where it must be.
    Radial,
    /// Central differences agree.
    Differences,
    /// Dual numbers agree.
    DualNumbers,
}

impl Stage {
    fn name(self) -> &'static str {
        match self {
            Stage::Finite => "finite",
            Stage::Deterministic => "deterministic",
            Stage::TaylorRate => "Taylor rate",
            Stage::Radial => "radial",
            Stage::Differences => "differences",
            Stage::DualNumbers => "dual numbers",
        }
    }
}

/// One entry of the Jacobian, ∂y_output/∂block\[row, column\], by three ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The block of parameters, such as `item layer1`.
    pub block: String,
    /// Row of the block.
    pub row: usize,
    /// Column of the block.
    pub column: usize,
    /// Which y.
    pub output: usize,
    /// The exact product.
    pub product: Estimate,
    /// Dual numbers.
    pub dual: Estimate,
    /// Differences; None at a kink.
    pub difference: Option<Estimate>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}, {}], output {}: ", self.block, self.row, self.column, self.output)?;
        write!(f, "exact product {}, dual numbers {}, differences ", self.product, self.dual)?;
        match &self.difference {
            Some(difference) => write!(f, "{difference}"),
            None => f.write_str("none (a kink)"),
        }
    }
}

/// The first disagreement.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// Where in the order.
    pub stage: Stage,
    /// What was seen.
    pub what: String,
    /// The entry of the Jacobian that is furthest off; None where no single entry is.
    pub entry: Option<Entry>,
    /// How many entries are off, by block.
    pub off: Vec<(String, usize)>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.name(), self.what)?;
        if let Some(entry) = &self.entry {
            write!(f, "\n  worst  {entry}")?;
        }
        if !self.off.is_empty() {
            let off: Vec<String> = self.off.iter().map(|(block, count)| format!("{count} in {block}")).collect();
            write!(f, "\n  off    {}", off.join(", "))?;
        }
        Ok(())
    }
}

/// What was judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Entries of the Jacobian, by dual numbers.
    pub entries: usize,
    /// Those among them, or among those judged by differences alone, that would have shown an error of a millionth of the largest.
    pub sharp: usize,
    /// Those among the sharp ones that are not zero.
    pub nonzero: usize,
    /// Lines along which differences were compared.
    pub lines: usize,
    /// Entries of the Jacobian that agree with differences along their own parameter.
    pub differences: usize,
    /// Lines left out because of a kink at the point.
    pub kinks: usize,
    /// Lines whose Taylor rate was conclusive.
    pub rates: usize,
    /// Radial directions found flat.
    pub radial: usize,
}

/// What a check found, and on what it is based.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The first disagreement; None where all agree.
    pub finding: Option<Finding>,
    /// What was judged.
    pub counts: Counts,
}

/// What a check says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All ways agree.
    Agrees,
    /// Two ways disagree.
    Disagrees,
    /// No entry that is not zero could be judged sharply.
    Undecided,
}

impl Report {
    /// What the check says.
    pub fn outcome(&self) -> Outcome {
        match (&self.finding, self.counts.nonzero) {
            (Some(_), _) => Outcome::Disagrees,
            (None, 0) => Outcome::Undecided,
            (None, _) => Outcome::Agrees,
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Counts { entries, sharp, nonzero, lines, differences, kinks, rates, radial } = self.counts;
        match &self.finding {
            Some(finding) => write!(f, "{finding}\n  judged ")?,
            None if nonzero == 0 => f.write_str("nothing but zeros could be judged sharply: ")?,
            None => f.write_str("all ways agree: ")?,
        }
        write!(
            f,
            "{entries} entries by dual numbers and {differences} by differences ({sharp} sharply), {lines} lines by differences, \
             {kinks} left out at kinks, {rates} Taylor rates, {radial} radial directions"
        )
    }
}

/// Checks the encoder of a tower at one row: all entries of J = ∂q/∂θ.
///
/// `architecture` is the tower's own or another one with the same blocks: an encoder of yours, or one with a fault.
///
/// ```
/// use perpend::jacobian::{Effort, Outcome, check_encoder};
/// use perpend::scenario::Scenario;
/// use perpend::trajectory::Side;
/// let model = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml"))?.materialise()?;
/// let report = check_encoder(&model.scenario.item.encoder, &model, Side::Item, 0, Effort::default());
/// assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
/// # Ok::<(), perpend::Error>(())
/// ```
pub fn check_encoder(
    architecture: &impl Architecture,
    model: &Materialised,
    side: Side,
    row: usize,
    effort: Effort,
) -> Report {
    check(&RowOf { model, side, architecture, row }, effort)
}

/// Checks the gradient of a scenario's loss in its first batch, with respect to all parameters of both towers, and that
/// the loss is constant along every embedding if the scenario's loss is a loss of cosines.
///
/// ```
/// use perpend::jacobian::{Effort, Outcome, check_gradient};
/// use perpend::scenario::Scenario;
/// let scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml"))?;
/// let report = check_gradient(&scenario, Effort::default())?;
/// assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
/// # Ok::<(), perpend::Error>(())
/// ```
///
/// # Errors
/// As [`Scenario::validate`].
pub fn check_gradient(scenario: &Scenario, effort: Effort) -> Result<Report> {
    let model = scenario.materialise()?;
    let (item, user, loss, batch) = (&scenario.item.encoder, &scenario.user.encoder, &scenario.loss, &model.batches[0]);
    let scale_invariant = loss.similarity() == Similarity::Cosine && matches!(loss.no_epsilon(), Status::Met(_));
    let embeddings = LossOfEmbeddings::of(&model, batch, [item, user], loss, scale_invariant);
    let parameters = LossOfParameters { model: &model, batch, item, user, loss };
    let radial = Checked::new(&embeddings, effort).radial();
    let mut report = check(&parameters, effort);
    report.counts.radial += radial.counts.radial;
    // The radial direction comes before differences and dual numbers.
    if report.finding.as_ref().is_none_or(|finding| finding.stage > Stage::Radial) && radial.finding.is_some() {
        report.finding = radial.finding;
    }
    Ok(report)
}

/// Checks the gradient of a model's loss in its first batch by differences along every parameter of both towers: the
/// exhaustive check, without those stages of [`check_gradient`] that try directions.
///
/// Two towers of layers ([`Chain`](crate::encoder::Chain)) under InfoNCE take a moment
/// ([`coordinates`](super::coordinates)); any others one line a parameter, which takes long.
///
/// ```
/// use perpend::jacobian::{Outcome, check_every_parameter};
/// use perpend::scenario::Scenario;
/// let model = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml"))?.materialise()?;
/// let report = check_every_parameter(&model);
/// assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
/// let parameters = [&model.item, &model.user].map(|tower| tower.tables.iter().map(|t| t.values().len()).sum::<usize>());
/// assert_eq!(report.counts.differences, parameters[0] + parameters[1]);
/// # Ok::<(), perpend::Error>(())
/// ```
pub fn check_every_parameter(model: &Materialised) -> Report {
    let Scenario { item, user, loss, .. } = &model.scenario;
    let (item, user, batch) = (&item.encoder, &user.encoder, &model.batches[0]);
    check_every_entry(&LossOfParameters { model, batch, item, user, loss })
}

/// Checks that a Jacobian is finite and the same when it is computed again, and every entry by differences along its
/// parameter: in one go where the subject has [a way to do so](Differentiable::slopes), else line by line.
pub fn check_every_entry(subject: &impl Differentiable) -> Report {
    Checked::new(subject, Effort::default()).every_entry()
}

/// Checks anything that is differentiable.
pub fn check(subject: &impl Differentiable, effort: Effort) -> Report {
    Checked::new(subject, effort).all()
}

/// A direction through the parameters.
struct Direction {
    name: String,
    /// One table a block.
    tables: Vec<Table<f64>>,
    /// The weights of the outputs: `[m]`.
    weights: Vec<f64>,
}

/// A subject while it is checked.
struct Checked<'a, S> {
    subject: &'a S,
    effort: Effort,
    random: ChaCha8Rng,
    tables: Vec<Table<f64>>,
    /// The same numbers with their rounding.
    lifted: Vec<Table<Rounded>>,
    function: Box<dyn Function<Rounded> + 'a>,
    counts: Counts,
}

/// The Jacobian by exact products: for each output one table a block.
type Jacobian = Vec<Vec<Table<Rounded>>>;

impl<'a, S: Differentiable> Checked<'a, S> {
    fn new(subject: &'a S, effort: Effort) -> Self {
        let tables = subject.tables();
        Checked {
            subject,
            effort,
            random: ChaCha8Rng::seed_from_u64(effort.seed),
            lifted: tables.iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect(),
            tables,
            function: subject.on(),
            counts: Counts::default(),
        }
    }

    fn report(&self, finding: Option<Finding>) -> Report {
        Report { finding, counts: self.counts }
    }

    /// The first finding, in the order of the stages.
    fn all(mut self) -> Report {
        let value = self.function.value(&self.lifted);
        let outputs = value.len();
        let jacobian = self.jacobian(outputs);
        if let Some(finding) = self.finite_and_deterministic(&jacobian) {
            return self.report(Some(finding));
        }
        let directions = self.directions(outputs);
        let lines: Vec<(Line, Estimate)> =
            directions.iter().map(|direction| (self.line(direction), self.slope(direction))).collect();
        for (direction, (line, slope)) in directions.iter().zip(&lines) {
            let found = taylor(line, *slope);
            self.counts.rates += usize::from(matches!(found.rate, Rate::Quadratic | Rate::Linear));
            if found.rate == Rate::Linear && !self.has_kink(direction, line, found.off) {
                let what = format!("a remainder of {found} along {}: slope {slope}", direction.name);
                return self.located(Stage::TaylorRate, what, &jacobian);
            }
        }
        let radial = self.radial_finding();
        if radial.is_some() {
            return self.report(radial);
        }
        for (direction, (line, slope)) in directions.iter().zip(&lines) {
            match line.slope() {
                Slope::Kink(_) => self.counts.kinks += 1,
                Slope::Smooth(difference) if difference.error + slope.error == f64::INFINITY => {}
                Slope::Smooth(difference) if difference.agrees(slope) => self.counts.lines += 1,
                Slope::Smooth(difference) if self.has_kink(direction, line, (difference.value - slope.value).abs()) => {
                    self.counts.kinks += 1
                }
                Slope::Smooth(difference) => {
                    let what = format!("{difference} along {}, exact product {slope}", direction.name);
                    return self.located(Stage::Differences, what, &jacobian);
                }
            }
        }
        if let Some(slopes) = self.slopes(&value)
            && let Some(what) = self.by_slopes(&slopes, &jacobian)
        {
            return self.located(Stage::Differences, what, &jacobian);
        }
        let (worst, off) = self.by_dual_numbers(&jacobian);
        let finding = worst.map(|worst| Finding {
            stage: Stage::DualNumbers,
            what: format!(
                "{} of {} entries are off",
                off.iter().map(|(_, count)| count).sum::<usize>(),
                self.counts.entries
            ),
            entry: Some(worst),
            off,
        });
        self.report(finding)
    }

    /// The exact products.
    fn jacobian(&self, outputs: usize) -> Jacobian {
        let unit = |k: usize| -> Vec<Rounded> { (0..outputs).map(|j| Rounded::ratio(i64::from(j == k), 1)).collect() };
        (0..outputs).map(|k| self.product(&unit(k))).collect()
    }

    /// Jᵀ·upstream. Tables that are not there would be compared with nothing.
    fn product(&self, upstream: &[Rounded]) -> Vec<Table<Rounded>> {
        let product = self.function.product(&self.lifted, upstream);
        let shapes = |tables: &[Table<Rounded>]| tables.iter().map(|t| [t.rows(), t.width()]).collect::<Vec<_>>();
        assert_eq!(shapes(&product), shapes(&self.lifted), "an exact product has the shapes of the parameters");
        product
    }

    /// Every entry by differences, where all numbers are finite.
    fn every_entry(mut self) -> Report {
        let value = self.function.value(&self.lifted);
        let jacobian = self.jacobian(value.len());
        // A product that is not a number agrees with nothing and differs from nothing.
        if let Some(finding) = self.finite_and_deterministic(&jacobian) {
            return self.report(Some(finding));
        }
        let what = match self.slopes(&value) {
            Some(slopes) => self.by_slopes(&slopes, &jacobian),
            None => {
                let (worst, off) = self.by_differences(&jacobian);
                let count = off.iter().map(|(_, count)| count).sum::<usize>();
                let finding = worst.map(|entry| Finding {
                    stage: Stage::Differences,
                    what: format!("{count} entries are off"),
                    entry: Some(entry),
                    off,
                });
                return self.report(finding);
            }
        };
        match what {
            Some(what) => self.located(Stage::Differences, what, &jacobian),
            None => self.report(None),
        }
    }

    /// The slopes that the subject finds in one go, if they are those of this function: its value must be theirs.
    fn slopes(&self, value: &[Rounded]) -> Option<Vec<Table<Estimate>>> {
        let [value] = value else { return None };
        let (slopes, values) = self.subject.slopes()?;
        let value = Estimate::from(*value);
        // Values with any error agree with everything.
        values.iter().all(|other| other.error.is_finite() && other.agrees(&value)).then_some(slopes)
    }

    /// Every entry of the only output by slopes that were found in one go. Where one disagrees with the exact product the
    /// line along the parameter decides; returns what was seen at the first that is off.
    fn by_slopes(&mut self, slopes: &[Table<Estimate>], jacobian: &Jacobian) -> Option<String> {
        let coordinates = self.tables.iter().enumerate().flat_map(indices);
        let judged: Vec<Judged> = coordinates
            .map(|(place, index)| {
                let product = jacobian[0][place].values()[index].into();
                Judged { place, index, output: 0, product, other: slopes[place].values()[index] }
            })
            .collect();
        self.count_sharp(&judged);
        let (agree, mut off): (Vec<&Judged>, Vec<&Judged>) =
            judged.iter().partition(|entry| entry.product.agrees(&entry.other));
        self.counts.differences = agree.len();
        // The furthest first: where many are off, one line tells.
        off.sort_by(|a, b| b.distance().total_cmp(&a.distance()));
        for entry in &off {
            match self.difference(entry, 1) {
                None => self.counts.kinks += 1,
                Some(difference) if difference.agrees(&entry.product) => self.counts.differences += 1,
                Some(difference) => {
                    let direction = self.coordinate(entry.place, entry.index, vec![1.0]);
                    return Some(format!("{difference} along {}, exact product {}", direction.name, entry.product));
                }
            }
        }
        None
    }

    /// How many entries are judged sharply.
    fn count_sharp(&mut self, judged: &[Judged]) {
        let outputs = judged.iter().map(|entry| entry.output + 1).max().unwrap_or(0);
        let mut largest = vec![vec![0.0_f64; self.tables.len()]; outputs];
        for entry in judged {
            let largest = &mut largest[entry.output][entry.place];
            *largest = largest.max(entry.product.value.abs()).max(entry.other.value.abs());
        }
        let is_sharp = |entry: &&Judged| {
            entry.product.error + entry.other.error <= RESOLUTION * largest[entry.output][entry.place]
        };
        self.counts.sharp = judged.iter().filter(is_sharp).count();
        self.counts.nonzero = judged.iter().filter(is_sharp).filter(|entry| entry.product.value != 0.0).count();
    }

    /// The radial stage alone.
    fn radial(mut self) -> Report {
        let finding = self.radial_finding();
        self.report(finding)
    }

    fn finite_and_deterministic(&self, jacobian: &Jacobian) -> Option<Finding> {
        let plain = |stage: Stage, what: String| Some(Finding { stage, what, entry: None, off: Vec::new() });
        let function = self.subject.on::<f64>();
        let value = function.value(&self.tables);
        let wrong = |x: &f64| !x.is_finite();
        if let Some(k) = value.iter().position(wrong) {
            return plain(Stage::Finite, format!("output {k} is {}", value[k]));
        }
        let again = self.subject.on::<f64>();
        let same = |one: &[f64], other: &[f64]| one.iter().zip(other).all(|(a, b)| a.to_bits() == b.to_bits());
        if !same(&value, &again.value(&self.tables)) {
            return plain(Stage::Deterministic, "the value changes when it is computed again".into());
        }
        for (output, row) in jacobian.iter().enumerate() {
            let unit: Vec<f64> = (0..jacobian.len()).map(|j| f64::from(u8::from(j == output))).collect();
            let (product, repeated) = (function.product(&self.tables, &unit), again.product(&self.tables, &unit));
            for (place, (table, bounded)) in product.iter().zip(row).enumerate() {
                let block = self.subject.block(place);
                let entry = |index: usize| {
                    format!("{block}[{}, {}], output {output}", index / table.width(), index % table.width())
                };
                if let Some(index) = table.values().iter().position(wrong) {
                    return plain(Stage::Finite, format!("{}: exact product {}", entry(index), table.values()[index]));
                }
                if !same(table.values(), repeated[place].values()) {
                    return plain(
                        Stage::Deterministic,
                        format!("{block}: the exact product changes when it is repeated"),
                    );
                }
                for (index, (&x, &bounded)) in table.values().iter().zip(bounded.values()).enumerate() {
                    let bounded = Estimate::from(bounded);
                    if !bounded.agrees(&Estimate { value: x, error: 0.0 }) {
                        let what = format!("{}: {x:e} in double precision, {bounded} with its rounding", entry(index));
                        return plain(Stage::Deterministic, what);
                    }
                }
            }
        }
        None
    }

    /// A number from the interval (−1, 1).
    fn signed(&mut self) -> f64 {
        self.random.random_range(-1.0..1.0)
    }

    /// The size of a block's numbers, so that a direction changes every block by its own size over the distance 1. A block of
    /// zeros is on the scale of the others.
    fn size(&self, place: usize) -> f64 {
        let largest = |values: &[f64]| values.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
        let own = largest(self.tables[place].values());
        let all = self.tables.iter().map(|table| largest(table.values())).fold(0.0, f64::max);
        [own, all].into_iter().find(|&size| size > 0.0).unwrap_or(1.0)
    }

    fn nowhere(&self) -> Vec<Table<f64>> {
        self.tables.iter().map(|table| table.map(|_| 0.0)).collect()
    }

    /// A random direction through the blocks at some places.
    fn through(&mut self, places: std::ops::Range<usize>, outputs: usize) -> Direction {
        let name = match places.len() {
            1 => format!("a random direction in {}", self.subject.block(places.start)),
            _ => "a random direction".into(),
        };
        let mut tables = self.nowhere();
        for place in places {
            let size = self.size(place);
            for x in tables[place].values_mut() {
                *x = size * self.signed();
            }
        }
        let weights = (0..outputs).map(|_| self.signed()).collect();
        Direction { name, tables, weights }
    }

    fn coordinate(&self, place: usize, index: usize, weights: Vec<f64>) -> Direction {
        let mut tables = self.nowhere();
        tables[place].values_mut()[index] = self.size(place);
        let width = tables[place].width();
        let name = format!("{}[{}, {}]", self.subject.block(place), index / width, index % width);
        Direction { name, tables, weights }
    }

    fn directions(&mut self, outputs: usize) -> Vec<Direction> {
        let places = 0..self.tables.len();
        let mut directions: Vec<Direction> =
            (0..self.effort.directions).map(|_| self.through(places.clone(), outputs)).collect();
        for place in places {
            for _ in 0..self.effort.blocks {
                directions.push(self.through(place..place + 1, outputs));
            }
        }
        let coordinates: Vec<(usize, usize)> = self.tables.iter().enumerate().flat_map(indices).collect();
        for (place, index) in self.some(coordinates, self.effort.coordinates) {
            let weights = (0..outputs).map(|_| self.signed()).collect();
            directions.push(self.coordinate(place, index, weights));
        }
        directions
    }

    /// All of a list, or as many of it as this, chosen at random.
    fn some<T>(&mut self, mut list: Vec<T>, count: usize) -> Vec<T> {
        while list.len() > count {
            let place = self.random.random_range(0..list.len());
            list.swap_remove(place);
        }
        list
    }

    /// Σ_k w_k·y_k along a direction.
    fn line(&self, direction: &Direction) -> Line {
        let weights: Vec<Rounded> = direction.weights.iter().map(|&w| Rounded::from_f64(w)).collect();
        let moved = |t: f64| -> Vec<Table<Rounded>> {
            let t = Rounded::from_f64(t);
            let blocks = self.lifted.iter().zip(&direction.tables);
            blocks
                .map(|(table, direction)| {
                    let values = table.values().iter().zip(direction.values());
                    // What does not move is not rounded.
                    let step = |(&x, &v): (&Rounded, &f64)| if v == 0.0 { x } else { x + t * Rounded::from_f64(v) };
                    Table::from_values(table.width(), values.map(step).collect())
                })
                .collect()
        };
        Line::sample(|t| dot(&weights, &self.function.value(&moved(t))).into(), 1.0)
    }

    /// ⟨Jᵀw, v⟩ by one exact product.
    fn slope(&self, direction: &Direction) -> Estimate {
        let weights: Vec<Rounded> = direction.weights.iter().map(|&w| Rounded::from_f64(w)).collect();
        let product = self.product(&weights);
        let mut sum = Rounded::zero();
        for (g, v) in product.iter().zip(&direction.tables) {
            for (&g, &v) in g.values().iter().zip(v.values()) {
                if v != 0.0 {
                    sum = sum + g * Rounded::from_f64(v);
                }
            }
        }
        sum.into()
    }

    /// Whether the slope by dual numbers changes by half of `off` already within the shortest step of a line. Then values along
    /// the line cannot tell what the slope at the point is: two kinks at the same place may leave no trace in them, and a
    /// function may be sharper than the step.
    fn has_kink(&self, direction: &Direction, line: &Line, off: f64) -> bool {
        let function = self.subject.on::<Forward<Rounded>>();
        let slope = |t: f64| -> Estimate {
            let blocks = self.lifted.iter().zip(&direction.tables);
            let point: Vec<Table<Forward<Rounded>>> = blocks
                .map(|(table, direction)| {
                    let step = |(&x, &v): (&Rounded, &f64)| {
                        let v = Rounded::from_f64(v);
                        Forward::new(x + Rounded::from_f64(t) * v, v)
                    };
                    Table::from_values(table.width(), table.values().iter().zip(direction.values()).map(step).collect())
                })
                .collect();
            let weights = direction.weights.iter().map(|&w| Rounded::from_f64(w));
            weights.zip(function.value(&point)).fold(Rounded::zero(), |sum, (w, y)| sum + w * y.slope).into()
        };
        let (here, h) = (slope(0.0), line.shortest());
        [h, -h].into_iter().map(slope).any(|near| {
            // Not `<`: what is not a number is no slope.
            ((near.value - here.value).abs() + near.error + here.error).partial_cmp(&(off / 2.0))
                != Some(Ordering::Less)
        })
    }

    fn radial_finding(&mut self) -> Option<Finding> {
        for (place, row) in self.some(self.subject.radial(), self.effort.radial) {
            let mut tables = self.nowhere();
            tables[place].row_mut(row).copy_from_slice(self.tables[place].row(row));
            let name = format!("{}[{row}]", self.subject.block(place));
            let direction = Direction { name, tables, weights: vec![1.0] };
            match flatness(&self.line(&direction), self.slope(&direction)) {
                Flatness::Flat { floor } => self.counts.radial += usize::from(floor.is_finite()),
                Flatness::Sloped { h, moved, floor } => {
                    let seen = if h > 0.0 {
                        format!("the value moves by {moved:.3e} over {h:.1e} of it")
                    } else {
                        format!("the exact product has a slope of {moved:.3e}")
                    };
                    let what = format!("not constant along {}: {seen}, allowed {floor:.1e}", direction.name);
                    return Some(Finding { stage: Stage::Radial, what, entry: None, off: Vec::new() });
                }
            }
        }
        None
    }

    /// A finding with the entry that is to blame: by dual numbers, or where those agree with the exact products, by
    /// differences along every coordinate.
    fn located(mut self, stage: Stage, what: String, jacobian: &Jacobian) -> Report {
        let (mut entry, mut off) = self.by_dual_numbers(jacobian);
        if entry.is_none() {
            (entry, off) = self.by_differences(jacobian);
        }
        self.report(Some(Finding { stage, what, entry, off }))
    }

    /// Every entry by dual numbers: the one that is furthest off, and how many are, by block.
    fn by_dual_numbers(&mut self, jacobian: &Jacobian) -> (Option<Entry>, Vec<(String, usize)>) {
        let function = self.subject.on::<Forward<Rounded>>();
        let mut point: Vec<Table<Forward<Rounded>>> =
            self.lifted.iter().map(|table| table.map(|&x| Forward::new(x, Rounded::zero()))).collect();
        let mut judged: Vec<Judged> = Vec::new();
        let coordinates: Vec<(usize, usize)> = self.tables.iter().enumerate().flat_map(indices).collect();
        for (place, index) in coordinates {
            point[place].values_mut()[index].slope = Rounded::one();
            let value = function.value(&point);
            point[place].values_mut()[index].slope = Rounded::zero();
            for (output, y) in value.into_iter().enumerate() {
                let product = jacobian[output][place].values()[index].into();
                judged.push(Judged { place, index, output, product, other: y.slope.into() });
            }
        }
        self.counts.entries = judged.len();
        self.count_sharp(&judged);
        let off: Vec<&Judged> = judged.iter().filter(|entry| !entry.product.agrees(&entry.other)).collect();
        let worst = Judged::furthest(&off).map(|worst| {
            let difference = self.difference(worst, jacobian.len());
            self.entry(worst, worst.other, difference)
        });
        (worst, self.by_block(&off))
    }

    /// Every entry by differences.
    fn by_differences(&mut self, jacobian: &Jacobian) -> (Option<Entry>, Vec<(String, usize)>) {
        let mut judged: Vec<Judged> = Vec::new();
        for (output, row) in jacobian.iter().enumerate() {
            for (place, index) in self.tables.iter().enumerate().flat_map(indices) {
                let product = row[place].values()[index].into();
                let mut entry = Judged { place, index, output, product, other: product };
                match self.difference(&entry, jacobian.len()) {
                    Some(difference) => {
                        entry.other = difference;
                        judged.push(entry);
                    }
                    None => self.counts.kinks += 1,
                }
            }
        }
        self.count_sharp(&judged);
        let off: Vec<&Judged> = judged.iter().filter(|entry| !entry.product.agrees(&entry.other)).collect();
        self.counts.differences = judged.len() - off.len();
        // Dual numbers were asked before and agree with the exact product.
        let worst = Judged::furthest(&off).map(|worst| self.entry(worst, worst.product, Some(worst.other)));
        (worst, self.by_block(&off))
    }

    /// An entry by differences, None at a kink.
    fn difference(&self, entry: &Judged, outputs: usize) -> Option<Estimate> {
        let weights = (0..outputs).map(|k| f64::from(u8::from(k == entry.output))).collect();
        let size = self.size(entry.place);
        let direction = self.coordinate(entry.place, entry.index, weights);
        let line = self.line(&direction);
        let off = |slope: &Estimate| (slope.value - size * entry.product.value).abs();
        match line.slope() {
            Slope::Kink(_) => None,
            Slope::Smooth(slope)
                if !slope.agrees(&entry.product.times(size)) && self.has_kink(&direction, &line, off(&slope)) =>
            {
                None
            }
            Slope::Smooth(slope) => Some(Estimate { value: slope.value / size, error: slope.error / size }),
        }
    }

    fn entry(&self, judged: &Judged, dual: Estimate, difference: Option<Estimate>) -> Entry {
        let width = self.tables[judged.place].width();
        Entry {
            block: self.subject.block(judged.place),
            row: judged.index / width,
            column: judged.index % width,
            output: judged.output,
            product: judged.product,
            dual,
            difference,
        }
    }

    fn by_block(&self, off: &[&Judged]) -> Vec<(String, usize)> {
        let count = |place: usize| off.iter().filter(|entry| entry.place == place).count();
        let places = (0..self.tables.len()).map(|place| (self.subject.block(place), count(place)));
        places.filter(|&(_, count)| count > 0).collect()
    }
}

/// Block and place of every number of a table.
fn indices((place, table): (usize, &Table<f64>)) -> impl Iterator<Item = (usize, usize)> + use<> {
    (0..table.values().len()).map(move |index| (place, index))
}

/// One entry by the exact product and by another way.
struct Judged {
    place: usize,
    index: usize,
    output: usize,
    product: Estimate,
    other: Estimate,
}

impl Judged {
    fn distance(&self) -> f64 {
        (self.product.value - self.other.value).abs()
    }
    fn furthest<'a>(off: &[&'a Judged]) -> Option<&'a Judged> {
        off.iter().copied().max_by(|a, b| a.distance().total_cmp(&b.distance()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::EncoderKind;
    use crate::loss::Loss;

    /// y = (x₀·x₁, exp(x₀) + max(x₂, 0)), with a gradient that may be wrong.
    struct Example {
        point: [f64; 3],
        fault: Fault,
    }

    #[derive(Debug, Clone, Copy, PartialEq)]
    enum Fault {
        None,
        /// ∂y₁/∂x₀ is too large by a millionth.
        Millionth,
        /// Dual numbers do not see x₁, and neither does the product: a constant that ought to be a variable.
        Detached,
        /// Not a number.
        Undefined,
        /// The narrow type follows another formula.
        OtherFormula,
    }

    impl Differentiable for Example {
        fn tables(&self) -> Vec<Table<f64>> {
            vec![Table::from_values(2, self.point[..2].to_vec()), Table::from_values(1, self.point[2..].to_vec())]
        }
        fn block(&self, place: usize) -> String {
            ["pair", "rectified"][place].into()
        }
        fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
            Box::new(At { fault: self.fault })
        }
    }

    struct At {
        fault: Fault,
    }

    impl<F: Real> Function<F> for At {
        fn value(&self, tables: &[Table<F>]) -> Vec<F> {
            let [x, y] = [tables[0].row(0)[0].clone(), tables[0].row(0)[1].clone()];
            let y = if self.fault == Fault::Detached {
                F::from_f64(y.to_f64())
            } else {
                y
            };
            let z = tables[1].row(0)[0].clone();
            let over = if z <= F::zero() { F::zero() } else { z };
            vec![x.clone() * y, x.exp() + over]
        }
        fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>> {
            let [x, y] = [tables[0].row(0)[0].clone(), tables[0].row(0)[1].clone()];
            let narrow = std::any::TypeId::of::<F>() == std::any::TypeId::of::<f64>();
            let first = match self.fault {
                Fault::Millionth => F::from_f64(1.0 + 1e-6) * x.clone().exp(),
                Fault::Undefined => F::zero() / F::zero(),
                Fault::OtherFormula if narrow => F::from_f64(1.0 + 1e-6) * x.clone().exp(),
                _ => x.clone().exp(),
            };
            let second = if self.fault == Fault::Detached { F::zero() } else { x };
            let over = if *tables[1].values().first().unwrap() <= F::zero() {
                F::zero()
            } else {
                F::one()
            };
            let [u, v] = [upstream[0].clone(), upstream[1].clone()];
            vec![
                Table::from_values(2, vec![u.clone() * y + v.clone() * first, u * second]),
                Table::from_values(1, vec![v * over]),
            ]
        }
    }

    fn example(fault: Fault, z: f64) -> Report {
        check(&Example { point: [0.5, -1.25, z], fault }, Effort::default())
    }

    #[test]
    fn a_right_gradient_passes_every_stage() {
        let report = example(Fault::None, 0.75);
        assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
        let Counts { entries, sharp, lines, kinks, rates, .. } = report.counts;
        // 3 parameters × 2 outputs; 3 directions, 2 blocks, 3 coordinates.
        assert_eq!((entries, sharp, lines, kinks), (6, 6, 8, 0), "{report}");
        assert!(rates >= 4, "{report}");
    }

    #[test]
    fn a_millionth_is_found_and_the_entry_is_named() {
        let report = example(Fault::Millionth, 0.75);
        let finding = report.finding.expect("a wrong gradient");
        assert_eq!(finding.stage, Stage::TaylorRate);
        let entry = finding.entry.clone().expect("an entry");
        assert_eq!((entry.block.as_str(), entry.row, entry.column, entry.output), ("pair", 0, 0, 1));
        assert_eq!(finding.off, [("pair".to_string(), 1)]);
        let difference = entry.difference.expect("no kink");
        let truth = 0.5_f64.exp();
        assert!((entry.dual.value - truth).abs() < 1e-15 && (difference.value - truth).abs() <= difference.error);
        let off = (entry.product.value - entry.dual.value).abs();
        assert!(off > 100.0 * (entry.product.error + entry.dual.error), "{finding}");
        assert!(off > 100.0 * (entry.product.error + difference.error), "{finding}");
        assert!(finding.to_string().contains("pair[0, 0], output 1: exact product 1.6487"), "{finding}");
    }

    #[test]
    fn what_dual_numbers_do_not_see_differences_do() {
        let finding = example(Fault::Detached, 0.75).finding.expect("a wrong gradient");
        let entry = finding.entry.expect("an entry");
        assert_eq!((entry.block.as_str(), entry.column, entry.output), ("pair", 1, 0));
        assert_eq!((entry.product.value, entry.dual.value), (0.0, 0.0));
        assert!((entry.difference.unwrap().value - 0.5).abs() < 1e-9);
    }

    #[test]
    fn a_gradient_of_zeros_is_undecided() {
        struct Constant;
        impl Differentiable for Constant {
            fn tables(&self) -> Vec<Table<f64>> {
                vec![Table::from_values(1, vec![1.0])]
            }
            fn block(&self, _: usize) -> String {
                "unused".into()
            }
            fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
                Box::new(Constant)
            }
        }
        impl<F: Real> Function<F> for Constant {
            fn value(&self, _: &[Table<F>]) -> Vec<F> {
                vec![F::one()]
            }
            fn product(&self, _: &[Table<F>], _: &[F]) -> Vec<Table<F>> {
                vec![Table::from_values(1, vec![F::zero()])]
            }
        }
        let report = check(&Constant, Effort::default());
        assert_eq!((report.outcome(), report.counts.sharp), (Outcome::Undecided, 1), "{report}");
    }

    #[test]
    fn what_is_not_a_number_or_differs_between_number_types_comes_first() {
        let finding = example(Fault::Undefined, 0.75).finding.expect("a finding");
        assert_eq!(finding.stage, Stage::Finite);
        assert!(finding.what.contains("pair[0, 0], output 0: exact product NaN"), "{finding}");
        let finding = example(Fault::OtherFormula, 0.75).finding.expect("a finding");
        assert_eq!(finding.stage, Stage::Deterministic);
        assert!(finding.what.contains("pair[0, 0], output 1"), "{finding}");
    }

    /// relu(x) − relu(−x) = x, and the subgradient 0 at 0: nothing in the values tells that the slope 1 is not meant.
    struct Twice;

    impl Differentiable for Twice {
        fn tables(&self) -> Vec<Table<f64>> {
            vec![Table::from_values(2, vec![0.0, 1.0])]
        }
        fn block(&self, _: usize) -> String {
            "x".into()
        }
        fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
            Box::new(Twice)
        }
    }

    impl<F: Real> Function<F> for Twice {
        fn value(&self, tables: &[Table<F>]) -> Vec<F> {
            let [x, y] = [0, 1].map(|k| tables[0].row(0)[k].clone());
            let relu = |x: F| if x <= F::zero() { F::zero() } else { x };
            vec![relu(x.clone()) - relu(-x) + y.clone() * y]
        }
        fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>> {
            let y = tables[0].row(0)[1].clone();
            vec![Table::from_values(2, vec![F::zero(), upstream[0].clone() * (y.clone() + y)])]
        }
    }

    #[test]
    fn two_kinks_that_hide_each_other_are_kinks() {
        let report = check(&Twice, Effort { coordinates: 2, ..Effort::default() });
        assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
        // The coordinate y alone has none.
        assert_eq!((report.counts.kinks, report.counts.lines), (5, 1), "{report}");
        let report = check_every_entry(&Twice);
        assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
        assert_eq!((report.counts.kinks, report.counts.differences), (1, 1), "{report}");
    }

    #[test]
    fn a_kink_at_the_point_is_counted_and_left_to_dual_numbers() {
        let report = example(Fault::None, 0.0);
        assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
        // Every direction but those in the other block and its coordinates.
        assert_eq!((report.counts.kinks, report.counts.lines), (5, 3), "{report}");
    }

    /// A subject with a mistake in one entry of its exact products, and with or without the way in one go.
    struct Planted<'a, S> {
        inner: &'a S,
        /// Place, index and what is added.
        mistake: Option<(usize, usize, f64)>,
        in_one_go: bool,
    }

    impl<S: Differentiable> Differentiable for Planted<'_, S> {
        fn tables(&self) -> Vec<Table<f64>> {
            self.inner.tables()
        }
        fn block(&self, place: usize) -> String {
            self.inner.block(place)
        }
        fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
            Box::new(PlantedOn { inner: self.inner.on::<F>(), mistake: self.mistake })
        }
        fn slopes(&self) -> Option<(Vec<Table<Estimate>>, Vec<Estimate>)> {
            if self.in_one_go { self.inner.slopes() } else { None }
        }
    }

    struct PlantedOn<'a, F> {
        inner: Box<dyn Function<F> + 'a>,
        mistake: Option<(usize, usize, f64)>,
    }

    impl<F: Real> Function<F> for PlantedOn<'_, F> {
        fn value(&self, tables: &[Table<F>]) -> Vec<F> {
            self.inner.value(tables)
        }
        fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>> {
            let mut product = self.inner.product(tables, upstream);
            if let Some((place, index, more)) = self.mistake {
                let entry = &mut product[place].values_mut()[index];
                *entry = entry.clone() + F::from_f64(more);
            }
            product
        }
    }

    /// Two towers on a batch with a repeated user and a repeated item.
    fn towers(item: &str, user: &str, loss: &str) -> Materialised {
        towers_in_batch(item, user, loss, PAIRS)
    }

    fn towers_in_batch(item: &str, user: &str, loss: &str, batch: &str) -> Materialised {
        let tower = |encoder: &str| {
            format!(
                "rows = 4\nencoder = {{ {encoder} }}\noptimizer = {{ kind = \"sgd\", lr = 0.1 }}\n\
                 initial = {{ kind = \"normal\", std = 0.6 }}\n"
            )
        };
        let scenario = Scenario::from_toml(&format!(
            "dim = 3\nsteps = 1\nseed = 5\nloss = {{ {loss} }}\n\
             sampler = {{ batch = 4, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
             batches = [{{ {batch} }}]\n[item]\n{}[user]\n{}",
            tower(item),
            tower(user)
        ));
        scenario.and_then(|scenario| scenario.materialise()).expect("a valid scenario")
    }

    const PAIRS: &str = "users = [0, 1, 1, 3], positives = [2, 0, 1, 2]";
    const CORRECTED: &str = "kind = \"info-nce\", similarity = \"cosine\", temperature = 0.3, log_q = true";
    const COSINE: &str = "kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2";
    const DOT: &str = "kind = \"info-nce\", similarity = \"dot\", temperature = 0.5, mask_duplicates = true";
    const TABLE: &str = "kind = \"table\"";
    const CHAINS: [&str; 7] = [
        TABLE,
        "kind = \"affine\", features = 2, bias = \"trained\"",
        "kind = \"affine\", features = 2, bias = \"frozen\"",
        "kind = \"shared-linear\", features = 5",
        "kind = \"mlp\", features = 5, hidden = [4, 3], bias = true, activation = \"tanh\"",
        "kind = \"mlp\", features = 5, hidden = [6, 5, 4], bias = false, activation = \"gelu\"",
        "kind = \"mlp\", features = 5, hidden = [6], bias = true, activation = \"relu\"",
    ];

    fn of(model: &Materialised) -> LossOfParameters<'_, EncoderKind, EncoderKind, Loss> {
        let Scenario { item, user, loss, .. } = &model.scenario;
        LossOfParameters { model, batch: &model.batches[0], item: &item.encoder, user: &user.encoder, loss }
    }

    #[test]
    fn the_entry_that_is_furthest_off_is_named() {
        let number = |value: f64| Estimate { value, error: 0.0 };
        let entry =
            |index: usize, off: f64| Judged { place: 0, index, output: 0, product: number(off), other: number(1.0) };
        let all = [entry(0, 1.5), entry(1, -2.0), entry(2, 3.0)];
        assert_eq!(Judged::furthest(&all.each_ref()).unwrap().index, 1);
        assert!(Judged::furthest(&[]).is_none());
    }

    /// Along every embedding, as far as the effort goes, and with gradients of the slots' shapes.
    #[test]
    fn losses_of_cosines_are_constant_along_embeddings() {
        let scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml")).unwrap();
        let report = check_gradient(&scenario, Effort { radial: 3, ..Effort::default() }).unwrap();
        assert_eq!((report.outcome(), report.counts.radial), (Outcome::Agrees, 3), "{report}");
    }

    #[test]
    fn a_loss_or_a_gradient_that_is_not_constant_along_embeddings_is_told_as_what_it_is() {
        use crate::jacobian::subject::Evaluate;
        use crate::loss::Evaluation;
        use crate::sampler::Batch;
        /// The value of one loss and the gradient of another.
        struct Mixed<'a>(&'a Loss, &'a Loss);
        impl Evaluate for Mixed<'_> {
            fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F> {
                Evaluation { loss: self.0.value(users, items, batch), ..self.1.evaluate(users, items, batch) }
            }
        }
        let scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml")).unwrap();
        let model = scenario.materialise().unwrap();
        let towers = [&scenario.item.encoder, &scenario.user.encoder];
        let (cosine, product) = (&scenario.loss, &Loss { similarity: Similarity::Dot, ..scenario.loss.clone() });
        let [value, slope] = [Mixed(product, cosine), Mixed(cosine, product)].map(|loss| {
            let embeddings = LossOfEmbeddings::of(&model, &model.batches[0], towers, &loss, true);
            Checked::new(&embeddings, Effort::default()).radial().finding.unwrap().what
        });
        assert!(value.contains("the value moves by"), "{value}");
        assert!(slope.contains("the exact product has a slope"), "{slope}");
    }

    #[test]
    fn slopes_found_in_one_go_are_those_of_lines_and_of_exact_products() {
        let mut sharp = 0;
        let mut cases = Vec::new();
        for (item, loss) in CHAINS.iter().flat_map(|item| [COSINE, DOT].map(|loss| (item, loss))) {
            cases.extend([(*item, TABLE), (TABLE, *item)].map(|(item, user)| (item, user, loss, PAIRS)));
        }
        // One pair; more pairs than denominators are multiplied together; every kind of negatives; ln Q.
        for batch in [
            "users = [0], positives = [2], shared = [1, 3]",
            "users = [0, 1, 2, 3, 0, 1, 2, 3, 1], positives = [2, 0, 1, 2, 3, 3, 1, 0, 2]",
            "users = [0, 1], positives = [2, 0], negatives = [[1, 3, 0], [2, 2, 3]], log_q = [-1, -2, -0.5, -3, -1, -2, -1, -0.25]",
            "users = [3, 1], positives = [2, 0], shared = [1, 2], in_batch = true, log_q = [-1, -2, -0.5, -3]",
            "users = [3, 1], positives = [2, 0], shared = [1, 3], in_batch = false",
        ] {
            let loss = if batch.contains("log_q") { CORRECTED } else { DOT };
            cases.extend([(CHAINS[4], TABLE), (CHAINS[1], CHAINS[6])].map(|(item, user)| (item, user, loss, batch)));
        }
        for (item, user, loss, batch) in cases {
            let model = towers_in_batch(item, user, loss, batch);
            let subject = of(&model);
            let checked = Checked::new(&subject, Effort::default());
            let value = checked.function.value(&checked.lifted);
            let jacobian = checked.jacobian(1);
            let slopes = checked.slopes(&value).expect("a way in one go, to the same value");
            for (place, index) in checked.tables.iter().enumerate().flat_map(indices) {
                let (slope, product) = (slopes[place].values()[index], jacobian[0][place].values()[index].into());
                let entry = Judged { place, index, output: 0, product, other: slope };
                let name = format!("{item} {user} {loss} {batch} {}[{index}]", subject.block(place));
                let line = checked.difference(&entry, 1).expect("no kink");
                assert!(slope.agrees(&line), "{name}: {slope}, along a line {line}");
                assert!(slope.agrees(&entry.product), "{name}: {slope}, exact product {}", entry.product);
                sharp += usize::from(slope.value.abs() > 1e3 * slope.error);
            }
        }
        // Nothing can be told apart where the error swallows everything.
        assert!(sharp > 500, "{sharp} slopes that are not their errors");
    }

    #[test]
    fn an_entry_that_is_off_is_caught_and_named_in_one_go_and_line_by_line() {
        let model = towers(CHAINS[4], CHAINS[4], COSINE);
        let subject = of(&model);
        let parameters: usize = subject.tables().iter().map(|table| table.values().len()).sum();
        for in_one_go in [true, false] {
            let report = check_every_entry(&Planted { inner: &subject, mistake: None, in_one_go });
            assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
            assert_eq!(report.counts.differences, parameters, "{report}");
            assert!(report.counts.sharp > parameters * 9 / 10, "{report}");
            // A bias, a weight within, a weight of the other tower.
            for (place, index, name) in
                [(0, 5, "item layer1[0, 5]"), (1, 7, "item layer2[1, 2]"), (5, 3, "user layer3[0, 3]")]
            {
                let planted = Planted { inner: &subject, mistake: Some((place, index, 1e-6)), in_one_go };
                let report = check_every_entry(&planted);
                let finding = report.finding.clone().expect("a wrong gradient");
                assert_eq!(finding.stage, Stage::Differences);
                let entry = finding.entry.expect("an entry");
                let width = subject.tables()[place].width();
                assert_eq!(
                    (entry.block.as_str(), entry.row, entry.column),
                    (subject.block(place).as_str(), index / width, index % width),
                    "{report}"
                );
                assert!(report.to_string().contains(name) && report.to_string().contains("differences"), "{report}");
            }
        }
        // A product that is not finite agrees with nothing, and is found before anything is compared.
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for in_one_go in [true, false] {
                let planted = Planted { inner: &subject, mistake: Some((0, 5, bad)), in_one_go };
                let report = check_every_entry(&planted);
                assert_eq!(report.finding.as_ref().expect("a wrong gradient").stage, Stage::Finite);
                assert!(report.to_string().contains("finite"), "{report}");
            }
        }
        // The whole check finds it too.
        let report =
            check(&Planted { inner: &subject, mistake: Some((1, 7, 1e-6)), in_one_go: true }, Effort::default());
        assert_eq!(report.outcome(), Outcome::Disagrees, "{report}");
    }

    #[test]
    fn every_entry_of_the_whole_check_is_judged_in_one_go() {
        let model = towers(CHAINS[4], TABLE, COSINE);
        let report = check(&of(&model), Effort::default());
        assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
        assert_eq!(report.counts.differences, report.counts.entries, "{report}");
        let other = towers(TABLE, TABLE, "kind = \"bpr\", similarity = \"cosine\", temperature = 0.2");
        assert!(of(&other).slopes().is_none());
        assert_eq!(check(&of(&other), Effort::default()).counts.differences, 0);
    }

    /// Bounds that are too wide, lines left out unjustly and words that are wrong let every right gradient pass: here a change
    /// of any of them shows, and has to be meant.
    #[test]
    #[cfg_attr(not(all(target_os = "linux", target_env = "gnu")), ignore = "written down for glibc")]
    fn every_report_is_as_it_was_written_down() {
        use std::fmt::Write;

        use proptest::strategy::{Strategy, ValueTree};
        use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

        use crate::scenario::random::{Encoders, Family, Losses, Optimizers, scenarios};
        let mut text = String::new();
        for fault in [Fault::None, Fault::Millionth, Fault::Detached, Fault::Undefined, Fault::OtherFormula] {
            for z in [0.75, 0.0] {
                writeln!(text, "{fault:?} at {z}: {}", example(fault, z)).unwrap();
            }
        }
        for item in CHAINS {
            let model = towers(item, CHAINS[1], DOT);
            let subject = of(&model);
            writeln!(text, "{item}: {}", check(&subject, Effort::default())).unwrap();
            let (slopes, values) = subject.slopes().expect("a way in one go");
            let errors = slopes.iter().flat_map(|table| table.values()).chain(&values).map(|slope| slope.error);
            let logarithms: Vec<f64> = errors.filter(|&error| error > 0.0).map(f64::ln).collect();
            let mean = (logarithms.iter().sum::<f64>() / logarithms.len() as f64).exp();
            writeln!(text, "  {} slopes and values with an error, on average {mean:.5e}", logarithms.len()).unwrap();
            let (mistake, in_one_go) = (Some((0, 1, 1e-6)), true);
            writeln!(text, "  {}", check(&Planted { inner: &subject, mistake, in_one_go }, Effort::default())).unwrap();
        }
        let family = Family { encoders: Encoders::Any, optimizers: Optimizers::Sgd, losses: Losses::Any };
        let random = TestRng::from_seed(RngAlgorithm::ChaCha, &[0; 32]);
        let mut runner = TestRunner::new_with_rng(Config::default(), random);
        for _ in 0..16 {
            let scenario = scenarios(family).new_tree(&mut runner).unwrap().current();
            let (item, user) = (scenario.item.encoder.name(), scenario.user.encoder.name());
            let report = check_gradient(&scenario, Effort::default()).unwrap();
            writeln!(text, "{item}, {user}, {}: {report}", scenario.loss.header_name()).unwrap();
            let model = scenario.materialise().unwrap();
            let report = check_encoder(&scenario.item.encoder, &model, Side::Item, 0, Effort::default());
            writeln!(text, "  its items: {report}, {} not zero", report.counts.nonzero).unwrap();
        }
        insta::assert_snapshot!(text);
    }

    /// ReLU at exactly 0: the slopes on both sides differ, and the line decides that nothing is told.
    #[test]
    fn a_kink_is_no_mistake_of_the_exact_product() {
        let mut model = towers(CHAINS[6], TABLE, COSINE);
        let (features, layer) = (model.item.constants.rows.row(2).to_vec(), &mut model.item.tables[0]);
        let unit = layer.row_mut(0);
        unit[5] = 0.0;
        unit[5] = -dot(&unit[..5], &features);
        let report = check_every_parameter(&model);
        assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
        let parameters: usize = of(&model).tables().iter().map(|table| table.values().len()).sum();
        assert!(report.counts.differences < parameters, "{report}");
        assert!(report.counts.differences >= parameters - 6, "{report}");
        assert_eq!(report.counts.differences + report.counts.kinks, parameters, "{report}");
    }
}
