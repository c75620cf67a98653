//! The slope of a loss along every parameter of two towers, by differences, without evaluating anew what a parameter does
//! not change.
//!
//! Where a tower is a [`Chain`] of affine layers and the loss is InfoNCE, the parameter that stands at input b of unit a of
//! layer l moves that unit's pre-activation in slot s by t·c_s, with c_s the slot's input b (1 for a bias). From there on:
//!
//! ```text
//! δ_s = σ(p_sa + t·c_s) − σ(p_sa)        one unit of one layer
//! p'_s = p_s + δ_s·W_{l+1}[:, a]         the next layer: a change of rank one, in all slots
//! h'_s = σ(p'_s), p''_s = W_{l+2}·h'_s   the layers after it, where there are any
//! L(t) = (1/B) Σ_b [ln Σ_j exp(x_bj − m_b) − (x_b,t(b) − m_b)],   x_bj = s_bj(t)/τ − ln Q_j
//! ```
//!
//! The other tower's embeddings stay, divided by their norms once; so do the layers below l and the row maximum m_b, which any
//! constant may stand for. Eight values of t and b are worked on together, and the units of all layers are shared out to the
//! threads. What comes out does not depend on their number. Where every row has its own parameters the slots of other rows are
//! evaluated with the one that moves.
//!
//! *Slope and error*: central differences with two Richardson steps ([`differences`](super::differences)): truncation, estimated
//! from the values, plus 6.6·ν/h for values known to within ν.
//!
//! *ν*: the same function, written once for both, runs on numbers that carry their rounding ([`Running`](crate::number::Running)),
//! base and all, once for every unit at t = 0; the largest bound of a layer holds for all its units. Its exponential is told to be wrong by 3u and its logarithm by 2u. ν is twice that
//! bound: within a step of h, a 2⁻¹⁰·⁶-th of the scale below, no magnitude that was added up doubles.
//!
//! *Scale*: the distance within which no activation behind the parameter sees its input move by more than 1 and no logit moves by
//! more than 1, by the norms of the weights on the way: with g_m the gain from the pre-activation to layer m,
//!
//! ```text
//! s·max_s|c_s| = min(min_m 1/g_m, min(τ, 1)·min_s‖q_s‖/g_L)      cosines
//!                             … min(τ, 1)/(max‖other tower‖·g_L)  inner products
//! ```
//!
//! *Shapes*: one number for every parameter.

use std::ops::{Add, Mul, Sub};

use rayon::prelude::*;

use super::differences::{PLACES, places, reach, slope};
use super::{Estimate, Rounded};
use crate::encoder::activation::{Activation, GELU};
use crate::encoder::{Chain, Place};
use crate::geometry::{Table, dot, norm, norm_f64};
use crate::lanes::{self, EXP_ROUNDINGS, LANES, Lanes};
use crate::loss::info_nce::InfoNce;
use crate::number::Real;
use crate::rounding::Precision;
use crate::sampler::{Batch, Candidates};
use crate::simd::{self, Task};
use crate::trajectory::Similarity;

/// Softmax denominators that are multiplied before their logarithm is taken: each lies between 1/2 and twice the number of
/// candidates, so that eight of them overflow for no batch that fits into memory.
const DENOMINATORS: usize = 8;

/// The error of a logarithm of the mathematical library, in unit roundoffs: one unit in the last place.
const LN_ROUNDINGS: f64 = 2.0;

/// InfoNCE of similarities without an epsilon.
#[derive(Debug, Clone, Copy)]
pub struct Softmax<'a> {
    /// The objective.
    pub objective: &'a InfoNce,
    /// Cosine or inner product.
    pub similarity: Similarity,
    /// Whether candidates that are the pair's positive once more do not count.
    pub mask_duplicates: bool,
}

/// One tower as it stands in a batch.
pub(super) struct Side<'a> {
    pub chain: Chain,
    pub place: Place,
    /// The rows' constants.
    pub constants: &'a Table<f64>,
    /// The row in every slot.
    pub slots: Vec<usize>,
}

/// The slope of a softmax loss along every parameter of all tables, and its value as it is computed here. `[item, user]`.
pub(super) fn slopes(
    tables: &[Table<f64>],
    sides: [Side<'_>; 2],
    softmax: Softmax<'_>,
    batch: &Batch,
) -> (Vec<Table<Estimate>>, Vec<Estimate>) {
    let lifted: Vec<Table<Rounded>> = tables.iter().map(|table| table.map(|&x| Rounded::from_f64(x))).collect();
    let plain = Model::<f64>::new(tables, &sides, softmax, batch);
    let bounded = Model::<Rounded>::new(&lifted, &sides, softmax, batch);
    let values: [Vec<Estimate>; 2] = [0, 1].map(|moving| {
        let layers = 0..plain.towers[moving].layers.len();
        layers.map(|layer| bounded.at_rest(moving, layer).into()).collect()
    });
    let mut jobs = Vec::new();
    for (moving, side) in sides.iter().enumerate() {
        side.jobs(moving, &plain.towers[moving], &mut jobs);
    }
    let found: Vec<Vec<(usize, usize, Estimate)>> =
        jobs.par_iter().map(|job| plain.slopes_of(job, values[job.moving][job.layer].error)).collect();
    let mut slopes: Vec<Table<Estimate>> =
        // What no slot looks up does not enter.
        tables.iter().map(|table| table.map(|_| Estimate { value: 0.0, error: 0.0 })).collect();
    for (table, index, estimate) in found.into_iter().flatten() {
        slopes[table].values_mut()[index] = estimate;
    }
    (slopes, values.concat())
}

/// Numbers on which the loss is evaluated: several at once, or one with its rounding.
trait Number: Copy + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> {
    /// A number that no parameter moves.
    type Constant: Real + Copy;
    fn of(constant: Self::Constant) -> Self;
    fn scaled(self, factor: Self::Constant) -> Self;
    /// 1/√x.
    fn reciprocal_root(self) -> Self;
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn tanh(self) -> Self;
    fn relu(self) -> Self;

    /// σ(x).
    #[inline(always)]
    fn activated(self, activation: Activation) -> Self {
        let constant = <Self::Constant as Real>::from_f64;
        match activation {
            Activation::Relu => self.relu(),
            Activation::Tanh => self.tanh(),
            Activation::Gelu => {
                let one = Self::of(constant(1.0));
                let inner = self.scaled(constant(GELU.0)) * (one + (self * self).scaled(constant(GELU.1)));
                self.scaled(constant(0.5)) * (one + inner.tanh())
            }
        }
    }
}

impl Lanes {
    #[inline(always)]
    fn each(self, f: impl Fn(f64) -> f64) -> Self {
        self.zip(self, |x, _| f(x))
    }
}

impl Number for Lanes {
    type Constant = f64;
    #[inline(always)]
    fn of(constant: f64) -> Self {
        Lanes::splat(constant)
    }
    #[inline(always)]
    fn scaled(self, factor: f64) -> Self {
        self.each(|x| x * factor)
    }
    #[inline(always)]
    fn reciprocal_root(self) -> Self {
        self.each(|x| 1.0 / x.sqrt())
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.each(lanes::exp)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.each(f64::ln)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        self.each(lanes::tanh)
    }
    #[inline(always)]
    fn relu(self) -> Self {
        self.each(|x| if x > 0.0 { x } else { 0.0 })
    }
}

/// The number with an error larger by so many unit roundoffs of its value.
fn widened(number: Rounded, roundings: f64) -> Rounded {
    let more = roundings * Precision::F64.unit_roundoff() * number.value().abs();
    Rounded::uncertain(number.value(), number.error() + more)
}

/// The same operations as on [`Lanes`], with what each can be off by.
impl Number for Rounded {
    type Constant = Rounded;
    fn of(constant: Rounded) -> Self {
        constant
    }
    fn scaled(self, factor: Rounded) -> Self {
        self * factor
    }
    fn reciprocal_root(self) -> Self {
        Rounded::from_f64(1.0) / Real::sqrt(self)
    }
    fn exp(self) -> Self {
        widened(Real::exp(self), EXP_ROUNDINGS)
    }
    fn ln(self) -> Self {
        widened(Real::ln(self), LN_ROUNDINGS)
    }
    fn tanh(self) -> Self {
        let (one, two) = (Rounded::from_f64(1.0), Rounded::from_f64(2.0));
        let negative = self.value() < 0.0;
        let size = if negative { -self } else { self };
        let fading = Number::exp(-(two * size));
        let value = (one - fading) / (one + fading);
        if negative { -value } else { value }
    }
    fn relu(self) -> Self {
        Real::max(self, Rounded::from_f64(0.0))
    }
}

/// What a parameter of a layer moves: the layer as it stands in every slot, and the weights that come after it.
struct Layer<C> {
    /// What enters: `[slots, in]`.
    inputs: Table<C>,
    /// What leaves, before the activation: `[slots, out]`.
    pres: Table<C>,
    /// What leaves, after it: `[slots, out]`.
    outputs: Table<C>,
    /// `[out, in]`; empty where every row has its own.
    weights: Table<C>,
    /// The weights column after column: `[in, out]`.
    columns: Table<C>,
    /// `[out]`; empty where there is none, or where every row has its own.
    bias: Vec<C>,
}

/// One tower as it stands in a batch.
struct Tower<C> {
    layers: Vec<Layer<C>>,
    activation: Activation,
    /// Embeddings, divided by their norms where the similarity is the cosine: `[slots, d]`.
    still: Table<C>,
}

/// The candidates of one pair.
struct Pair<C> {
    /// Item slot and ln Q.
    candidates: Vec<(usize, C)>,
    /// Item slot and ln Q of the positive.
    target: (usize, C),
    /// The largest logit, as a constant.
    shift: C,
}

/// A loss of two towers at one point.
struct Model<C> {
    /// `[item, user]`.
    towers: [Tower<C>; 2],
    pairs: Vec<Pair<C>>,
    similarity: Similarity,
    temperature: f64,
    inverse_temperature: C,
    share: C,
}

/// The place of the user tower.
const USER: usize = 1;

/// A small change of one unit in all slots, many times.
struct Job {
    moving: usize,
    layer: usize,
    unit: usize,
    parameters: Vec<Parameter>,
}

/// A parameter, and by how much it moves the unit in every slot.
struct Parameter {
    table: usize,
    index: usize,
    /// c: `[slots]`.
    coefficients: Vec<f64>,
}

impl Side<'_> {
    /// The tower at its parameters.
    fn tower<C: Real + Copy>(&self, tables: &[Table<C>], similarity: Similarity) -> Tower<C> {
        let features = |row: usize| self.constants.row(row).iter().map(|&x| C::from_f64(x));
        let dim = self.place.dim;
        let mut layers: Vec<Layer<C>> = Vec::new();
        let activation = match self.chain {
            Chain::Private { features: width, bias } => {
                let mut pres = Vec::new();
                for &row in &self.slots {
                    let (own, x) = (self.place.own, features(row).collect::<Vec<C>>());
                    let (x, frozen) = x.split_at(width);
                    let offset = match bias {
                        true => tables[own + usize::from(width > 0)].row(row),
                        false => frozen,
                    };
                    for unit in 0..dim {
                        let mut sum = C::zero();
                        if width > 0 {
                            sum = dot(&tables[own].row(row)[unit * width..(unit + 1) * width], x);
                        }
                        pres.push(offset.get(unit).map_or(sum, |&offset| sum + offset));
                    }
                }
                let inputs = self.slots.iter().flat_map(|&row| features(row).take(width)).collect();
                let pres = Table::from_values(dim, pres);
                let none = || Table::from_values(1, Vec::new());
                layers.push(Layer {
                    inputs: Table::from_values(width.max(1), inputs),
                    outputs: pres.clone(),
                    pres,
                    weights: none(),
                    columns: none(),
                    bias: Vec::new(),
                });
                Activation::default()
            }
            Chain::Shared { layers: count, bias, activation } => {
                let mut inputs: Vec<Vec<C>> = self.slots.iter().map(|&row| features(row).collect()).collect();
                for table in &tables[self.place.own..self.place.own + count] {
                    let width = table.width() - usize::from(bias);
                    let unit = |x: &[C], unit: usize| {
                        let (weight, bias) = table.row(unit).split_at(width);
                        bias.iter().fold(dot(weight, x), |sum, &bias| sum + bias)
                    };
                    let pres: Vec<Vec<C>> =
                        inputs.iter().map(|x| (0..table.rows()).map(|k| unit(x, k)).collect()).collect();
                    let outputs: Vec<Vec<C>> = pres.iter().map(|pre| activation.apply(pre)).collect();
                    let weights: Vec<C> = (0..table.rows()).flat_map(|k| table.row(k)[..width].to_vec()).collect();
                    let columns = (0..width).flat_map(|j| (0..table.rows()).map(move |k| (k, j)));
                    layers.push(Layer {
                        inputs: Table::from_values(width, inputs.concat()),
                        pres: Table::from_values(table.rows(), pres.concat()),
                        outputs: Table::from_values(table.rows(), outputs.concat()),
                        columns: Table::from_values(table.rows(), columns.map(|(k, j)| table.row(k)[j]).collect()),
                        weights: Table::from_values(width, weights),
                        bias: (0..table.rows()).flat_map(|k| table.row(k)[width..].to_vec()).collect(),
                    });
                    inputs = outputs;
                }
                activation
            }
        };
        let mut still = layers[layers.len() - 1].pres.clone();
        if similarity == Similarity::Cosine {
            for row in 0..still.rows() {
                let length = norm(still.row(row));
                still.row_mut(row).iter_mut().for_each(|x| *x = *x / length);
            }
        }
        Tower { layers, activation, still }
    }

    /// One job for every unit of every layer, or of every row.
    fn jobs(&self, moving: usize, tower: &Tower<f64>, jobs: &mut Vec<Job>) {
        let slots = 0..self.slots.len();
        match self.chain {
            Chain::Shared { layers, bias, .. } => {
                for layer in 0..layers {
                    let Layer { inputs, pres, .. } = &tower.layers[layer];
                    let columns = inputs.width() + usize::from(bias);
                    for unit in 0..pres.width() {
                        let parameter = |column: usize| Parameter {
                            table: self.place.own + layer,
                            index: unit * columns + column,
                            // The bias comes last.
                            coefficients: slots
                                .clone()
                                .map(|s| inputs.row(s).get(column).copied().unwrap_or(1.0))
                                .collect(),
                        };
                        jobs.push(Job { moving, layer, unit, parameters: (0..columns).map(parameter).collect() });
                    }
                }
            }
            Chain::Private { features, bias } => {
                let mut rows = self.slots.clone();
                rows.sort_unstable();
                rows.dedup();
                for (row, unit) in rows.into_iter().flat_map(|row| (0..self.place.dim).map(move |unit| (row, unit))) {
                    let here = |c: f64| -> Vec<f64> {
                        self.slots.iter().map(|&slot| if slot == row { c } else { 0.0 }).collect()
                    };
                    let (first, x) = (row * self.place.dim + unit, &self.constants.row(row)[..features]);
                    let weights = x.iter().enumerate().map(|(k, &x)| Parameter {
                        table: self.place.own,
                        index: first * features + k,
                        coefficients: here(x),
                    });
                    let bias = bias.then(|| Parameter {
                        table: self.place.own + usize::from(features > 0),
                        index: first,
                        coefficients: here(1.0),
                    });
                    jobs.push(Job { moving, layer: 0, unit, parameters: weights.chain(bias).collect() });
                }
            }
        }
    }
}

impl<C: Real + Copy> Model<C> {
    fn new(tables: &[Table<C>], sides: &[Side<'_>; 2], softmax: Softmax<'_>, batch: &Batch) -> Self {
        let towers = [0, 1].map(|side: usize| sides[side].tower(tables, softmax.similarity));
        let inverse_temperature = C::one() / C::from_f64(softmax.objective.temperature);
        let items = batch.item_slots();
        let log_q = |slot: usize| {
            C::from_f64(if softmax.objective.log_q {
                batch.log_q[slot]
            } else {
                0.0
            })
        };
        let pairs = (0..batch.users.len()).map(|pair| {
            let mut candidates = batch.candidates(pair);
            if softmax.mask_duplicates {
                candidates = candidates.without_duplicates(&items);
            }
            let slots: Vec<usize> = candidates.slots().collect();
            let counted = counted(&candidates);
            let logit = |slot: usize| {
                let product = dot(towers[USER].still.row(pair), towers[0].still.row(slot));
                (product * inverse_temperature - log_q(slot)).to_f64()
            };
            let largest = counted.iter().map(|&place| logit(slots[place])).fold(f64::NEG_INFINITY, f64::max);
            let target = slots[candidates.target()];
            Pair {
                candidates: counted.into_iter().map(|place| (slots[place], log_q(slots[place]))).collect(),
                target: (target, log_q(target)),
                shift: C::from_f64(largest),
            }
        });
        Model {
            pairs: pairs.collect(),
            towers,
            similarity: softmax.similarity,
            temperature: softmax.objective.temperature,
            inverse_temperature,
            share: C::one() / C::ratio(batch.users.len() as i64, 1),
        }
    }

    /// The embeddings of a tower after one unit of one layer moved by a shift in every slot. `rows`: `[slots·d]`.
    #[inline(always)]
    fn embed<N: Number<Constant = C>>(&self, at: (usize, usize, usize), shifts: &[N], scratch: &mut Scratch<N>) {
        let (moving, layer, unit) = at;
        let Tower { layers, activation, .. } = &self.towers[moving];
        let (here, rest) = (&layers[layer], &layers[layer + 1..]);
        scratch.rows.clear();
        for (slot, &shift) in shifts.iter().enumerate() {
            let moved = N::of(here.pres.row(slot)[unit]) + shift;
            let Some((next, deeper)) = rest.split_first() else {
                scratch.rows.extend(here.pres.row(slot).iter().map(|&pre| N::of(pre)));
                let dim = here.pres.width();
                scratch.rows[slot * dim + unit] = moved;
                continue;
            };
            let change = moved.activated(*activation) - N::of(here.outputs.row(slot)[unit]);
            scratch.values.clear();
            let weights = next.columns.row(unit).iter();
            scratch.values.extend(
                next.pres.row(slot).iter().zip(weights).map(|(&pre, &weight)| N::of(pre) + change.scaled(weight)),
            );
            for layer in deeper {
                // Not `for_each`: its closure would not be compiled for the instruction set.
                for x in &mut scratch.values {
                    *x = x.activated(*activation);
                }
                scratch.next.clear();
                for k in 0..layer.weights.rows() {
                    let mut sum = N::of(layer.bias.get(k).copied().unwrap_or(C::zero()));
                    for (x, &weight) in scratch.values.iter().zip(layer.weights.row(k)) {
                        sum = sum + x.scaled(weight);
                    }
                    scratch.next.push(sum);
                }
                std::mem::swap(&mut scratch.values, &mut scratch.next);
            }
            scratch.rows.extend_from_slice(&scratch.values);
        }
    }

    /// The loss after one unit of one layer of one tower moved by a shift in every slot.
    #[inline(always)]
    fn loss<N: Number<Constant = C>>(&self, at: (usize, usize, usize), shifts: &[N], scratch: &mut Scratch<N>) -> N {
        self.embed(at, shifts, scratch);
        let still = &self.towers[1 - at.0].still;
        let dim = still.width();
        for row in scratch.rows.chunks_exact_mut(dim) {
            let factor = match self.similarity {
                Similarity::Dot => N::of(self.inverse_temperature),
                Similarity::Cosine => {
                    let mut squares = N::of(C::zero());
                    for x in row.iter() {
                        squares = squares + *x * *x;
                    }
                    squares.reciprocal_root().scaled(self.inverse_temperature)
                }
            };
            for x in row {
                *x = *x * factor;
            }
        }
        let (zero, one) = (N::of(C::zero()), N::of(C::one()));
        let (mut sum, mut denominators) = (zero, one);
        for (b, pair) in self.pairs.iter().enumerate() {
            let logit = |&(slot, log_q): &(usize, C)| {
                let (moved, stays) = if at.0 == USER { (b, slot) } else { (slot, b) };
                let mut product = N::of(-(log_q + pair.shift));
                for (x, &y) in scratch.rows[moved * dim..(moved + 1) * dim].iter().zip(still.row(stays)) {
                    product = product + x.scaled(y);
                }
                product
            };
            let mut denominator = zero;
            for candidate in &pair.candidates {
                denominator = denominator + logit(candidate).exp();
            }
            denominators = denominators * denominator;
            if (b + 1).is_multiple_of(DENOMINATORS) || b + 1 == self.pairs.len() {
                sum = sum + denominators.ln();
                denominators = one;
            }
            sum = sum - logit(&pair.target);
        }
        sum.scaled(self.share)
    }
}

/// The places of candidates that count.
fn counted(candidates: &Candidates) -> Vec<usize> {
    (0..candidates.count()).filter(|place| candidates.masked().binary_search(place).is_err()).collect()
}

impl Model<Rounded> {
    /// The loss, computed as if a parameter of this layer moved: of its units the one with the largest error.
    fn at_rest(&self, moving: usize, layer: usize) -> Rounded {
        let layers = &self.towers[moving].layers;
        let shifts = vec![Rounded::from_f64(0.0); layers[layer].pres.rows()];
        // In the last layer units differ by one rounding of a number that carries as much already.
        let units = if layer + 1 == layers.len() {
            1
        } else {
            layers[layer].pres.width()
        };
        let each = (0..units).into_par_iter();
        let each = each.map(|unit| self.loss((moving, layer, unit), &shifts, &mut Scratch::default()));
        each.max_by(|a, b| a.error().total_cmp(&b.error())).expect("a layer has a unit")
    }
}

impl Model<f64> {
    /// The slopes along all parameters of a job, from values that are known to within `noise`.
    fn slopes_of(&self, job: &Job, noise: f64) -> Vec<(usize, usize, Estimate)> {
        let radius = self.radius(job);
        let steps: Vec<f64> = job
            .parameters
            .iter()
            .map(|parameter| {
                let largest = parameter.coefficients.iter().fold(0.0_f64, |largest, c| largest.max(c.abs()));
                let scale = radius / largest;
                // Without a scale no value is a number, and so is no slope.
                if scale > 0.0 && scale.is_finite() {
                    reach(scale)
                } else {
                    f64::NAN
                }
            })
            .collect();
        let mut values = vec![[0.0; PLACES]; job.parameters.len()];
        simd::run(Values { model: self, job, steps: &steps, values: values.as_flattened_mut() });
        let each = job.parameters.iter().zip(steps).zip(&values);
        each.map(|((parameter, h), values)| {
            // What moves nothing has no slope.
            let moves = parameter.coefficients.iter().any(|&c| c != 0.0);
            let still = Estimate { value: 0.0, error: 0.0 };
            (parameter.table, parameter.index, if moves { slope(h, values, noise) } else { still })
        })
        .collect()
    }

    /// How far the unit's pre-activation may move.
    fn radius(&self, job: &Job) -> f64 {
        let Tower { layers, activation, .. } = &self.towers[job.moving];
        let (mut radius, mut gain) = (f64::INFINITY, 1.0);
        for (depth, layer) in layers[job.layer + 1..].iter().enumerate() {
            radius = radius.min(1.0 / gain);
            let weights = if depth == 0 {
                layer.columns.row(job.unit)
            } else {
                layer.weights.values()
            };
            gain *= activation.steepest() * norm_f64(weights);
        }
        let lengths =
            |table: &Table<f64>| -> Vec<f64> { (0..table.rows()).map(|row| norm_f64(table.row(row))).collect() };
        let farthest = match self.similarity {
            Similarity::Cosine => {
                let own = lengths(&layers[layers.len() - 1].pres);
                let moves = |slot: &usize| job.parameters.iter().any(|parameter| parameter.coefficients[*slot] != 0.0);
                (0..own.len()).filter(moves).map(|slot| own[slot]).fold(f64::INFINITY, f64::min)
            }
            Similarity::Dot => 1.0 / lengths(&self.towers[1 - job.moving].still).into_iter().fold(0.0, f64::max),
        };
        let radius = radius.min(self.temperature.min(1.0) * farthest / gain);
        // Weights of zero: the loss does not depend on the unit.
        if radius == f64::INFINITY { 1.0 } else { radius }
    }
}

/// The values of the loss at all places of all parameters of a job.
struct Values<'a> {
    model: &'a Model<f64>,
    job: &'a Job,
    /// h of every parameter.
    steps: &'a [f64],
    /// `[parameters·PLACES]`.
    values: &'a mut [f64],
}

impl Task for Values<'_> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        let Job { moving, layer, unit, parameters } = self.job;
        let slots = parameters.first().map_or(0, |parameter| parameter.coefficients.len());
        let mut shifts = vec![Lanes::ZERO; slots];
        let mut scratch = Scratch::default();
        for (group, values) in self.values.chunks_mut(LANES).enumerate() {
            for lane in 0..values.len() {
                let (parameter, place) = ((group * LANES + lane) / PLACES, (group * LANES + lane) % PLACES);
                let t = places(self.steps[parameter])[place];
                for (shift, c) in shifts.iter_mut().zip(&parameters[parameter].coefficients) {
                    shift.0[lane] = t * c;
                }
            }
            let losses = self.model.loss((*moving, *layer, *unit), &shifts, &mut scratch);
            values.copy_from_slice(&losses.0[..values.len()]);
        }
    }
}

/// Room for one evaluation.
struct Scratch<N> {
    /// `[slots·d]`.
    rows: Vec<N>,
    /// One slot's pre-activations or activations.
    values: Vec<N>,
    next: Vec<N>,
}

impl<N> Default for Scratch<N> {
    fn default() -> Self {
        Scratch { rows: Vec::new(), values: Vec::new(), next: Vec::new() }
    }
}
