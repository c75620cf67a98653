//! Which member of the SGD family moved the rows? A robust fit of rate, momentum and decay on rows looked up once.
//!
//! Every member obeys a linear relation between what is recorded, with Δ = q' − q and "before" the step before (dense) or
//! the row's visit before (lazy):
//!
//! | family | Δ_t = |
//! |---|---|
//! | SGD | −η g_t − ηλ q_t |
//! | heavy ball | −η g_t − ηλ q_t + β Δ_before |
//! | Nesterov | −η(1+β)(g_t + λ q_t) + β Δ_before + ηβ(g_before + λ q_before) |
//!
//! The coefficients are fitted by least absolute deviations (iteratively reweighted least squares), so that a minority of
//! records that obey something else does not move them. The simplest family that explains nearly all records to within
//! rounding is taken; if none does, nothing is claimed.

use std::ops::RangeInclusive;

use nalgebra::{DMatrix, DVector};

use super::histories::Histories;
use crate::facts::{EXPLAINED, MEASURED, Rates, Replay, describe};
use crate::geometry::{add_scaled, norm_f64};
use crate::optimizer::decay::Form;
use crate::optimizer::{Decay, Optimizer, Update, heavy_ball::HeavyBall, nesterov::Nesterov, sgd::Sgd};
use crate::rounding::Precision;
use crate::trajectory::Rows;

/// Records with a gradient, and a step that rounding cannot have made, below which nothing is fitted.
const FEWEST: usize = 4;
/// Rounds of reweighting; the weights settle after a few.
const ROUNDS: usize = 30;
/// Standard errors in a stated interval.
const INTERVAL: f64 = 4.0;

/// One visit of a row.
#[derive(Clone, Default)]
struct Before {
    step: Vec<f64>,
    gradient: Vec<f64>,
    q: Vec<f64>,
    several: bool,
}

/// One record with what came before it.
struct Sample {
    time: usize,
    now: Before,
    touched: bool,
    dense: Before,
    lazy: Before,
    /// What rounding can do to Δ.
    noise: f64,
}

/// A member of the SGD family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Family {
    momentum: bool,
    nesterov: bool,
    decay: bool,
    rows: Rows,
}

impl Family {
    /// From the simplest to the richest.
    fn all() -> Vec<Family> {
        let mut families = Vec::new();
        for (momentum, nesterov) in [(false, false), (true, false), (true, true)] {
            for decay in [false, true] {
                for rows in [Rows::Dense, Rows::Lazy] {
                    // Without memory and decay nothing tells dense from lazy.
                    if momentum || decay || rows == Rows::Dense {
                        families.push(Family { momentum, nesterov, decay, rows });
                    }
                }
            }
        }
        families.sort_by_key(|family| u8::from(family.momentum) + u8::from(family.nesterov) + u8::from(family.decay));
        families
    }

    fn uses(&self, sample: &Sample) -> bool {
        let before = self.before(sample);
        (self.rows == Rows::Dense || sample.touched) && !sample.now.several && !(self.nesterov && before.several)
    }

    fn before<'a>(&self, sample: &'a Sample) -> &'a Before {
        if self.rows == Rows::Dense {
            &sample.dense
        } else {
            &sample.lazy
        }
    }

    fn basis<'a>(&self, sample: &'a Sample) -> Vec<&'a [f64]> {
        let before = self.before(sample);
        let mut basis: Vec<&[f64]> = vec![&sample.now.gradient];
        if self.decay {
            basis.push(&sample.now.q);
        }
        if self.momentum {
            basis.push(&before.step);
        }
        if self.nesterov {
            basis.push(&before.gradient);
            if self.decay {
                basis.push(&before.q);
            }
        }
        basis
    }
}

/// The member of the SGD family that explains a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// η with its interval.
    pub lr: Estimate,
    /// β.
    pub momentum: Estimate,
    /// λ.
    pub weight_decay: Estimate,
    /// Whether the momentum looks ahead.
    pub nesterov: bool,
    /// Dense or lazy; None where the run does not tell.
    pub rows: Option<Rows>,
    /// η_t, where it varies.
    pub schedule: Option<Vec<f64>>,
    /// The norms of the gradients that it was fitted on.
    pub gradients: RangeInclusive<f64>,
    /// Of its records those with a gradient and a step that rounding cannot have made.
    pub informative: usize,
    /// Records that it was fitted on.
    pub records: usize,
    /// Share of them that it explains to within rounding.
    pub explained: f64,
}

/// A measured number with its interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize)]
pub struct Estimate {
    /// The estimate.
    pub value: f64,
    /// Half the width of its interval: four standard errors, and the rounding of the number itself.
    pub half_width: f64,
}

impl Fit {
    /// The rates, with their relative error.
    pub fn rates(&self) -> Rates {
        let relative_error = if self.lr.value == 0.0 {
            0.0
        } else {
            self.lr.half_width / self.lr.value
        };
        match &self.schedule {
            None => Rates::Constant { value: self.lr.value, relative_error },
            Some(values) => Rates::PerStep { values: values.clone(), relative_error },
        }
    }

    /// The optimizer.
    pub fn optimizer(&self) -> Optimizer {
        let decay =
            (self.weight_decay.value != 0.0).then_some(Decay { rate: self.weight_decay.value, form: Form::Coupled });
        let (lr, rows) = (self.lr.value.into(), self.rows.unwrap_or(Rows::Dense));
        let momentum = self.momentum.value;
        if momentum == 0.0 {
            Optimizer::Sgd(Sgd { lr, decay, rows })
        } else if self.nesterov {
            Optimizer::Nesterov(Nesterov { lr, momentum, decay, rows })
        } else {
            Optimizer::HeavyBall(HeavyBall { lr, momentum, dampening: 0.0, decay, rows })
        }
    }

    /// The replay that judges a run by this fit.
    pub fn replay(&self) -> Replay {
        let relative = |estimate: Estimate| {
            if estimate.value == 0.0 {
                0.0
            } else {
                estimate.half_width / estimate.value
            }
        };
        let (optimizer, rates) = (self.optimizer(), self.rates());
        let name = format!("{} (measured)", describe(&optimizer, &rates));
        let relative_error = relative(self.momentum).max(relative(self.weight_decay));
        Replay {
            name,
            optimizer,
            update: Update::default(),
            rates,
            relative_error,
            gradients: Some(self.gradients.clone()),
        }
    }
}

/// Fits the SGD family; None where no member explains the run, or too little moved to tell.
pub(super) fn fit(histories: &Histories, precision: Precision) -> Option<Fit> {
    let samples = samples(histories);
    Family::all()
        .into_iter()
        .find_map(|family| fit_family(family, &samples, precision))
        .or_else(|| fit_schedule(&samples, histories.steps, precision))
}

/// From the smallest to the largest; empty without any.
fn span(values: impl Iterator<Item = f64>) -> RangeInclusive<f64> {
    let empty = f64::INFINITY..=f64::NEG_INFINITY;
    values.fold(empty, |all, value| all.start().min(value)..=all.end().max(value))
}

fn samples(histories: &Histories) -> Vec<Sample> {
    let zeros = || Before {
        step: vec![0.0; histories.dim],
        gradient: vec![0.0; histories.dim],
        q: vec![0.0; histories.dim],
        several: false,
    };
    let mut samples = Vec::new();
    for history in histories.moving() {
        let (mut dense, mut lazy) = (zeros(), zeros());
        // In the sparse form a row that is not recorded in a step neither moved nor had a gradient.
        let mut expected = 0;
        for visit in &history.visits {
            if visit.time != expected {
                dense = Before { q: visit.q.clone(), ..zeros() };
            }
            expected = visit.time + 1;
            let now = Before {
                step: visit.step.clone(),
                gradient: visit.gradient.clone(),
                q: visit.q.clone(),
                several: visit.several(),
            };
            let touched = visit.touched();
            samples.push(Sample {
                time: visit.time,
                now: now.clone(),
                touched,
                dense: dense.clone(),
                lazy: lazy.clone(),
                noise: visit.noise,
            });
            if touched {
                lazy = now.clone();
            }
            dense = now;
        }
    }
    samples
}

/// What rounding can leave of a relation: the stored row is rounded three times (product, sum, storage), the earlier step's
/// rounding arrives with weight β, every term is rounded.
fn tolerance(sample: &Sample, family: Family, coefficients: &[f64], unit: f64) -> f64 {
    let terms: f64 = family.basis(sample).iter().zip(coefficients).map(|(v, c)| norm_f64(v) * c.abs()).sum();
    MEASURED * (2.0 * sample.noise + 3.0 * unit * terms)
}

fn residual(sample: &Sample, basis: &[&[f64]], coefficients: &[f64]) -> f64 {
    let mut rest = sample.now.step.clone();
    for (vector, coefficient) in basis.iter().zip(coefficients) {
        add_scaled(&mut rest, -coefficient, vector);
    }
    norm_f64(&rest)
}

/// Weighted least squares over the samples: coefficients, inverse Gram matrix and its condition number; None where the basis does not determine the coefficients.
fn least_squares(family: Family, samples: &[&Sample], weights: &[f64]) -> Option<(Vec<f64>, DMatrix<f64>, f64)> {
    let count = family.basis(samples.first()?).len();
    let mut gram = DMatrix::<f64>::zeros(count, count);
    let mut right = DVector::<f64>::zeros(count);
    for (sample, weight) in samples.iter().zip(weights) {
        let basis = family.basis(sample);
        for (i, u) in basis.iter().enumerate() {
            right[i] += weight * crate::geometry::dot(u, &sample.now.step);
            for (j, v) in basis.iter().enumerate() {
                gram[(i, j)] += weight * crate::geometry::dot(u, v);
            }
        }
    }
    // Columns of equal length, so that the rank does not depend on the units of gradients and embeddings.
    let scale: Vec<f64> = (0..count).map(|k| gram[(k, k)].sqrt()).collect();
    if scale.iter().any(|&s| s == 0.0 || !s.is_finite()) {
        return None;
    }
    let scaled = DMatrix::from_fn(count, count, |i, j| gram[(i, j)] / (scale[i] * scale[j]));
    let eigenvalues = scaled.clone().symmetric_eigenvalues();
    // Below √u of f64 the normal equations have lost half of their digits: the run does not tell the terms apart.
    if eigenvalues.min() < Precision::F64.unit_roundoff().sqrt() * eigenvalues.max() {
        return None;
    }
    let condition = eigenvalues.max() / eigenvalues.min();
    let inverse = scaled.try_inverse()?;
    let inverse = DMatrix::from_fn(count, count, |i, j| inverse[(i, j)] / (scale[i] * scale[j]));
    let solution = &inverse * right;
    Some((solution.iter().copied().collect(), inverse, condition))
}

fn fit_family(family: Family, samples: &[Sample], precision: Precision) -> Option<Fit> {
    let unit = precision.unit_roundoff();
    let used: Vec<&Sample> = samples.iter().filter(|sample| family.uses(sample)).collect();
    if used.iter().filter(|sample| sample.touched).count() < FEWEST {
        return None;
    }
    let floor = used.iter().map(|sample| sample.noise).fold(0.0_f64, f64::max).max(f64::MIN_POSITIVE);
    let mut weights = vec![1.0; used.len()];
    let mut coefficients = Vec::new();
    for _ in 0..ROUNDS {
        let found = least_squares(family, &used, &weights)?.0;
        weights = used.iter().map(|sample| 1.0 / residual(sample, &family.basis(sample), &found).max(floor)).collect();
        coefficients = found;
    }
    let explained = |coefficients: &[f64], samples: &[&Sample]| -> Vec<bool> {
        let fits = |sample: &&Sample| {
            residual(sample, &family.basis(sample), coefficients) <= tolerance(sample, family, coefficients, unit)
        };
        samples.iter().map(fits).collect()
    };
    let inliers: Vec<&Sample> = used
        .iter()
        .zip(explained(&coefficients, &used))
        .filter(|(_, fits)| *fits)
        .map(|(sample, _)| *sample)
        .collect();
    // Plain least squares on what is explained: the sharpest estimate, with its standard errors.
    let ones = vec![1.0; inliers.len()];
    let (coefficients, inverse, condition) = least_squares(family, &inliers, &ones)?;
    let squares: f64 = inliers.iter().map(|s| residual(s, &family.basis(s), &coefficients).powi(2)).sum();
    let equations = (inliers.len() * inliers[0].now.step.len()).saturating_sub(coefficients.len()).max(1);
    let variance = squares / equations as f64;
    // Solving the normal equations loses the digits of their condition number, whatever the data's own noise.
    let solving = Precision::F64.gamma(8 * coefficients.len()) * condition;
    let largest = coefficients.iter().fold(0.0_f64, |largest, c| largest.max(c.abs()));
    let error = |k: usize| {
        INTERVAL * (variance * inverse[(k, k)]).sqrt() + 2.0 * unit * coefficients[k].abs() + solving * largest
    };
    let fits = explained(&coefficients, &used);
    // A step within the tolerance is explained by any small enough rate.
    let plain = |sample: &&&Sample| {
        sample.touched && norm_f64(&sample.now.step) > tolerance(sample, family, &coefficients, unit)
    };
    let informative: Vec<&&Sample> =
        used.iter().zip(&fits).filter(|(_, fits)| **fits).map(|(sample, _)| sample).filter(plain).collect();
    if informative.len() < FEWEST {
        return None;
    }
    let share = |only_touched: bool| {
        let (mut all, mut good) = (0.0, 0.0);
        for (sample, fits) in used.iter().zip(&fits).filter(|(sample, _)| sample.touched || !only_touched) {
            all += 1.0;
            good += f64::from(u8::from(*fits && (sample.touched || !only_touched)));
        }
        if all == 0.0 { 1.0 } else { good / all }
    };
    // Rows without a gradient are many and easy to explain: the rows with one must be explained on their own.
    let explained_share = share(true).min(share(false));
    if explained_share < EXPLAINED {
        return None;
    }
    // A lazy rule leaves the others where they are, a rule without memory and decay too.
    let quiet = family.rows == Rows::Lazy || !(family.momentum || family.decay);
    let moved_untouched = samples.iter().filter(|s| !s.touched && s.now.step.iter().any(|&x| x != 0.0)).count();
    if quiet && moved_untouched > 0 {
        return None;
    }
    let momentum_at = 1 + usize::from(family.decay);
    let momentum = if family.momentum {
        Estimate { value: coefficients[momentum_at], half_width: error(momentum_at) }
    } else {
        Estimate::default()
    };
    let ahead = if family.nesterov { 1.0 + momentum.value } else { 1.0 };
    let lr = Estimate {
        value: -coefficients[0] / ahead,
        half_width: error(0) / ahead + momentum.half_width * coefficients[0].abs(),
    };
    if lr.value <= 0.0 || !(-0.5..1.5).contains(&momentum.value) {
        return None;
    }
    if family.nesterov {
        // Two of the coefficients determine β and η; the third, ηβ, must agree.
        let look_ahead = coefficients[momentum_at + 1];
        let expected = lr.value * momentum.value;
        if (look_ahead - expected).abs() > error(momentum_at + 1) + 2.0 * lr.half_width + lr.value * momentum.half_width
        {
            return None;
        }
    }
    let weight_decay = if family.decay {
        let value = -coefficients[1] / (lr.value * ahead);
        Estimate { value, half_width: error(1) / (lr.value * ahead) + value.abs() * lr.half_width / lr.value }
    } else {
        Estimate::default()
    };
    Some(Fit {
        lr,
        momentum,
        weight_decay,
        nesterov: family.nesterov,
        rows: (family.momentum || family.decay).then_some(family.rows),
        schedule: None,
        gradients: span(informative.iter().map(|sample| norm_f64(&sample.now.gradient))),
        informative: informative.len(),
        records: used.len(),
        explained: explained_share,
    })
}

/// Plain SGD whose rate changes from step to step: the median rate of every step's rows.
fn fit_schedule(samples: &[Sample], steps: usize, precision: Precision) -> Option<Fit> {
    let unit = precision.unit_roundoff();
    let family = Family { momentum: false, nesterov: false, decay: false, rows: Rows::Dense };
    let mut rates = vec![Vec::new(); steps];
    let (mut spread, mut gradients) = (0.0_f64, Vec::new());
    for sample in samples.iter().filter(|sample| sample.touched && family.uses(sample)) {
        let energy = norm_f64(&sample.now.gradient).powi(2);
        if energy > 0.0 {
            rates[sample.time].push(-crate::geometry::dot(&sample.now.step, &sample.now.gradient) / energy);
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied()
    };
    let schedule: Vec<f64> = rates.iter_mut().map(|rates| median(rates).unwrap_or(0.0)).collect();
    let (mut all, mut good) = (0, 0);
    for sample in samples.iter().filter(|sample| family.uses(sample)) {
        // A step with a single row would explain itself.
        if sample.touched && rates[sample.time].len() < 2 {
            continue;
        }
        if !sample.touched && sample.now.step.iter().any(|&x| x != 0.0) {
            return None;
        }
        if sample.touched {
            all += 1;
            let coefficients = [-schedule[sample.time]];
            let fits = residual(sample, &family.basis(sample), &coefficients)
                <= tolerance(sample, family, &coefficients, unit);
            good += usize::from(fits);
            let gradient = norm_f64(&sample.now.gradient);
            if fits && norm_f64(&sample.now.step) > tolerance(sample, family, &coefficients, unit) {
                gradients.push(gradient);
            }
            if fits && gradient > 0.0 && schedule[sample.time] > 0.0 {
                spread = spread.max(4.0 * sample.noise / (gradient * schedule[sample.time]));
            }
        }
    }
    let explained = good as f64 / all.max(1) as f64;
    if all < 8 || explained < EXPLAINED || schedule.iter().any(|&rate| rate < 0.0) {
        return None;
    }
    let mut positive: Vec<f64> = schedule.iter().copied().filter(|&rate| rate > 0.0).collect();
    let value = median(&mut positive)?;
    // A median over rows is at least as sharp as its coarsest row, which a replay must allow for.
    let half_width = value * spread.min(1.0);
    Some(Fit {
        lr: Estimate { value, half_width },
        momentum: Estimate::default(),
        weight_decay: Estimate::default(),
        nesterov: false,
        rows: None,
        schedule: Some(schedule),
        informative: gradients.len(),
        gradients: span(gradients.iter().copied()),
        records: all,
        explained,
    })
}
