//! Adaptive rules with measured settings: Δ_t = −η D_t − ηλ q_t, where D is the direction that a rule of [`crate::optimizer`]
//! makes of the row's gradients so far. η and λ are linear; what the rule itself has (β₁, β₂, ε, an initial accumulator) is found by
//! Gauss–Newton steps from a few usual settings, with the linear ones solved for at every point (variable projection, Golub &
//! Pereyra 1973). A rule is named only where it alone explains the run: after one step, Adam is signSGD.

use std::collections::BTreeSet;

use nalgebra::{DMatrix, DVector};

use super::{allowance, judge};
use crate::diagnosis::balance::Balance;
use crate::diagnosis::histories::{History, Visit};
use crate::diagnosis::{About, Case, Cause, Estimate, Found, Rule, advice};
use crate::geometry::{dot, norm_f64};
use crate::optimizer::{
    Optimizer, Schedule,
    adagrad::Adagrad,
    adam::{Adam, EpsilonPlace},
    amsgrad::Amsgrad,
    lamb::Lamb,
    lars::Lars,
    lion::Lion,
    rmsprop::Rmsprop,
    rowwise_adagrad::RowwiseAdagrad,
    rowwise_adam::RowwiseAdam,
    sign_sgd::SignSgd,
};
use crate::trajectory::Rows;

pub(super) struct Adaptive;

const COORDINATES: About = About {
    name: "coordinate-wise-scaling",
    meaning: "every coordinate has a rate of its own: steps are not orthogonal, with a radial part of either sign",
    advice: Some(&advice::ROWWISE),
    accuses: false,
};

const ROWS: About = About {
    name: "row-wise-scaling",
    meaning: "one number a row scales the gradient: without a first moment the step is orthogonal, with one it leans outwards",
    advice: None,
    accuses: false,
};

const EITHER: About = About {
    name: "adaptive-scaling",
    meaning: "gradients are scaled by their own history; whether row by row or coordinate by coordinate cannot be told",
    advice: Some(&advice::ROWWISE),
    accuses: false,
};

/// Records that settings are searched on; the result is judged on all.
const SEARCHED: usize = 600;
/// Records for each unknown of a rule, without which a fit says nothing.
const RECORDS: usize = 8;
/// Gauss–Newton steps; they converge quadratically.
const ROUNDS: usize = 12;
/// Times that a step which does not improve the fit is quartered before the search ends.
const QUARTERINGS: i32 = 4;
/// Share of the squares that a step must still remove; what is found is judged by rounding afterwards, not by this.
const CONVERGED: f64 = 1e-6;
/// The size of a setting at which its derivative is taken where it is smaller, or 0.
const SMALLEST: f64 = 1e-3;
/// The step of a numerical derivative: the root of u balances truncation and rounding.
const DERIVATIVE: f64 = 1.5e-8;

/// A setting of a rule, and the values from which it is searched.
#[derive(Debug, Clone, Copy)]
enum Setting {
    /// A decay rate in [0, 1), searched as ln(1 − β).
    Beta(&'static str, &'static [f64]),
    /// ε, in units of the gradients' size.
    Epsilon,
    /// What accumulators start with, in units of the gradients' mean square.
    Initial,
}

impl Setting {
    fn starts(self) -> &'static [f64] {
        match self {
            Setting::Beta(_, starts) => starts,
            Setting::Epsilon | Setting::Initial => &[0.0],
        }
    }
    /// From what is searched to the value.
    fn value(self, x: f64, size: f64) -> f64 {
        match self {
            Setting::Beta(..) => (1.0 - x.exp()).max(0.0),
            Setting::Epsilon => x.max(0.0) * size,
            Setting::Initial => x.max(0.0) * size * size,
        }
    }
    fn name(self) -> &'static str {
        match self {
            Setting::Beta(name, _) => name,
            Setting::Epsilon => "ε",
            Setting::Initial => "initial accumulator",
        }
    }
}

const MOMENTUM: Setting = Setting::Beta("β₁", &[0.0, 0.9]);
const SQUARES: Setting = Setting::Beta("β₂", &[0.9, 0.99, 0.999]);

/// An adaptive rule.
struct Family {
    name: &'static str,
    /// Whether coordinates are scaled apart.
    coordinates: bool,
    /// Whether untouched rows move, or their state does.
    fades: bool,
    settings: &'static [Setting],
    build: fn(&[f64], Rows) -> Optimizer,
}

const fn one() -> Schedule {
    Schedule::Constant(1.0)
}

const FAMILIES: [Family; 11] = [
    Family {
        name: "sign-sgd",
        coordinates: true,
        fades: false,
        settings: &[],
        build: |_, rows| Optimizer::SignSgd(SignSgd { lr: one(), decay: None, rows }),
    },
    Family {
        name: "lars",
        coordinates: false,
        fades: false,
        settings: &[],
        build: |_, rows| {
            Optimizer::Lars(Lars { lr: one(), momentum: 0.0, trust: 1.0, epsilon: 0.0, decay: None, rows })
        },
    },
    Family {
        name: "lion",
        coordinates: true,
        fades: true,
        settings: &[],
        build: |_, rows| Optimizer::Lion(Lion { lr: one(), betas: (0.9, 0.99), decay: None, rows }),
    },
    Family {
        name: "adagrad",
        coordinates: true,
        fades: false,
        settings: &[Setting::Epsilon, Setting::Initial],
        build: |s, rows| Optimizer::Adagrad(Adagrad { lr: one(), epsilon: s[0], decay: None, rows }),
    },
    Family {
        name: "rowwise-adagrad",
        coordinates: false,
        fades: false,
        settings: &[Setting::Epsilon, Setting::Initial],
        build: |s, rows| Optimizer::RowwiseAdagrad(RowwiseAdagrad { lr: one(), epsilon: s[0], decay: None, rows }),
    },
    Family {
        name: "rmsprop",
        coordinates: true,
        fades: true,
        settings: &[SQUARES, Setting::Epsilon],
        build: |s, rows| Optimizer::Rmsprop(Rmsprop { lr: one(), alpha: s[0], epsilon: s[1], decay: None, rows }),
    },
    Family {
        name: "adam",
        coordinates: true,
        fades: true,
        settings: &[MOMENTUM, SQUARES, Setting::Epsilon],
        build: |s, rows| Optimizer::Adam(Adam { betas: (s[0], s[1]), epsilon: s[2], rows, ..Adam::with_rate(one()) }),
    },
    Family {
        name: "adam",
        coordinates: true,
        fades: true,
        settings: &[MOMENTUM, SQUARES, Setting::Epsilon],
        build: |s, rows| {
            let adam = Adam { betas: (s[0], s[1]), epsilon: s[2], rows, ..Adam::with_rate(one()) };
            Optimizer::Adam(Adam { epsilon_place: EpsilonPlace::Uncorrected, ..adam })
        },
    },
    Family {
        name: "amsgrad",
        coordinates: true,
        fades: true,
        settings: &[MOMENTUM, SQUARES, Setting::Epsilon],
        build: |s, rows| {
            Optimizer::Amsgrad(Amsgrad { lr: one(), betas: (s[0], s[1]), epsilon: s[2], decay: None, rows })
        },
    },
    Family {
        name: "rowwise-adam",
        coordinates: false,
        fades: true,
        settings: &[MOMENTUM, SQUARES, Setting::Epsilon],
        build: |s, rows| {
            Optimizer::RowwiseAdam(RowwiseAdam { lr: one(), betas: (s[0], s[1]), epsilon: s[2], decay: None, rows })
        },
    },
    Family {
        name: "lamb",
        coordinates: true,
        fades: true,
        settings: &[MOMENTUM, SQUARES, Setting::Epsilon],
        build: |s, rows| Optimizer::Lamb(Lamb { lr: one(), betas: (s[0], s[1]), epsilon: s[2], decay: None, rows }),
    },
];

/// A rule with settings.
struct Model<'a> {
    family: &'a Family,
    rows: Rows,
    decay: bool,
    /// The size of a coordinate of a gradient.
    size: f64,
}

/// A rule that was fitted.
struct Fitted {
    settings: Vec<f64>,
    half_widths: Vec<f64>,
    lr: Estimate,
    weight_decay: f64,
}

impl Model<'_> {
    fn settings(&self, x: &[f64]) -> Vec<f64> {
        self.family.settings.iter().zip(x).map(|(setting, &x)| setting.value(x, self.size)).collect()
    }

    /// D of every record of a row, with the rule's own arithmetic at rate 1.
    fn directions(&self, history: &History, x: &[f64], dim: usize) -> Vec<Vec<f64>> {
        let settings = self.settings(x);
        let number = |value: f64| value;
        let mut stepper = (self.family.build)(&settings, self.rows).start::<f64>(1, dim, &number);
        for (setting, &value) in self.family.settings.iter().zip(&settings) {
            // A first gradient of this size leaves the accumulator that the rule starts with.
            if matches!(setting, Setting::Initial) && value > 0.0 {
                stepper.move_row(0, 0, &1.0, &mut vec![0.0; dim], &vec![value.sqrt(); dim]);
            }
        }
        let mut expected = 0;
        let zeros = vec![0.0; dim];
        let mut directions = Vec::with_capacity(history.visits.len());
        for visit in &history.visits {
            if stepper.visits(false) {
                for time in expected..visit.time {
                    stepper.move_row(0, time as u64, &1.0, &mut visit.q.clone(), &zeros);
                }
            }
            expected = visit.time + 1;
            let mut moved = visit.q.clone();
            if stepper.visits(visit.touched()) {
                stepper.move_row(0, visit.time as u64, &1.0, &mut moved, &visit.gradient);
            }
            directions.push(visit.q.iter().zip(&moved).map(|(q, moved)| q - moved).collect());
        }
        directions
    }

    /// −η and −ηλ by weighted least squares, and the weighted residuals, coordinate by coordinate.
    fn project(&self, case: &Case<'_>, histories: &[&History], x: &[f64]) -> Option<(Vec<f64>, Vec<f64>)> {
        let columns = 1 + usize::from(self.decay);
        let mut gram = DMatrix::<f64>::zeros(columns, columns);
        let mut right = DVector::<f64>::zeros(columns);
        let mut rows: Vec<(f64, Vec<&[f64]>, &Visit)> = Vec::new();
        let directions: Vec<Vec<Vec<f64>>> =
            histories.iter().map(|history| self.directions(history, x, case.moved.dim)).collect();
        for (history, directions) in histories.iter().zip(&directions) {
            for (visit, direction) in history.visits.iter().zip(directions) {
                let weight = 1.0 / allowance(case, visit, norm_f64(&visit.step)).max(f64::MIN_POSITIVE);
                let mut basis: Vec<&[f64]> = vec![direction];
                if self.decay {
                    basis.push(&visit.q);
                }
                for (i, u) in basis.iter().enumerate() {
                    right[i] += weight * weight * dot(u, &visit.step);
                    for (j, v) in basis.iter().enumerate() {
                        gram[(i, j)] += weight * weight * dot(u, v);
                    }
                }
                rows.push((weight, basis, visit));
            }
        }
        let solution: Vec<f64> = gram.lu().solve(&right)?.iter().copied().collect();
        let residuals = rows.iter().flat_map(|(weight, basis, visit)| {
            let solution = &solution;
            (0..visit.step.len()).map(move |k| {
                let predicted: f64 = basis.iter().zip(solution).map(|(v, c)| c * v[k]).sum();
                weight * (visit.step[k] - predicted)
            })
        });
        let residuals: Vec<f64> = residuals.collect();
        (solution.iter().chain(&residuals).all(|x| x.is_finite())).then_some((solution, residuals))
    }

    /// Gauss–Newton from one start.
    fn search(&self, case: &Case<'_>, histories: &[&History], start: &[f64]) -> Option<(Vec<f64>, f64)> {
        let squares = |residuals: &[f64]| residuals.iter().map(|r| r * r).sum::<f64>();
        let mut x = start.to_vec();
        let (_, mut residuals) = self.project(case, histories, &x)?;
        let mut best = squares(&residuals);
        for _ in 0..ROUNDS {
            let Some(jacobian) = self.jacobian(case, histories, &x, &residuals) else {
                break;
            };
            // Entries are known to √u of the largest: what is smaller is their noise.
            let svd = jacobian.svd(true, true);
            let Ok(step) = svd.solve(&DVector::from_column_slice(&residuals), DERIVATIVE * svd.singular_values.max())
            else {
                break;
            };
            let mut better = None;
            for quarterings in 0..QUARTERINGS {
                let shorter = 0.25_f64.powi(quarterings);
                let trial: Vec<f64> = x
                    .iter()
                    .zip(step.iter())
                    .zip(self.family.settings)
                    .map(|((x, step), setting)| {
                        let moved = x - shorter * step;
                        // Rates stay in [0, 1), sizes at or above 0.
                        match setting {
                            Setting::Beta(..) => moved.clamp(-16.0, 0.0),
                            _ => moved.max(0.0),
                        }
                    })
                    .collect();
                if let Some((_, found)) = self.project(case, histories, &trial)
                    && squares(&found) < best
                {
                    better = Some((trial, found));
                    break;
                }
            }
            let Some((trial, found)) = better else { break };
            let gain = best - squares(&found);
            (x, best, residuals) = (trial, squares(&found), found);
            if gain <= CONVERGED * best {
                break;
            }
        }
        Some((x, best))
    }

    fn jacobian(&self, case: &Case<'_>, histories: &[&History], x: &[f64], residuals: &[f64]) -> Option<DMatrix<f64>> {
        if x.is_empty() {
            return None;
        }
        let mut jacobian = DMatrix::zeros(residuals.len(), x.len());
        for (k, setting) in self.family.settings.iter().enumerate() {
            let step = match setting {
                Setting::Beta(..) => -DERIVATIVE * 64.0,
                _ => DERIVATIVE * 64.0 * x[k].max(SMALLEST),
            };
            let mut shifted = x.to_vec();
            shifted[k] += step;
            let (_, other) = self.project(case, histories, &shifted)?;
            for (row, (other, here)) in other.iter().zip(residuals).enumerate() {
                jacobian[(row, k)] = (other - here) / step;
            }
        }
        Some(jacobian)
    }

    fn fit(&self, case: &Case<'_>) -> Option<(Fitted, Balance)> {
        let mut searched = Vec::new();
        let mut records = 0;
        for history in case.moved.moving() {
            searched.push(history);
            records += history.visits.len();
            if records >= SEARCHED {
                break;
            }
        }
        let mut starts = vec![Vec::new()];
        for setting in self.family.settings {
            let values: Vec<f64> = match setting {
                Setting::Beta(_, starts) => starts.iter().map(|beta| (1.0 - beta).ln()).collect(),
                other => other.starts().to_vec(),
            };
            starts =
                starts.iter().flat_map(|start| values.iter().map(|&x| [start.as_slice(), &[x]].concat())).collect();
        }
        let tried = starts.iter().filter_map(|start| self.search(case, &searched, start));
        let (x, squares) = tried.min_by(|a, b| a.1.total_cmp(&b.1))?;
        let all: Vec<&History> = case.moved.moving().collect();
        let (solution, residuals) = self.project(case, &all, &x)?;
        let lr = -solution[0];
        let weight_decay = if self.decay { -solution[1] / lr } else { 0.0 };
        let mut balance = Balance::default();
        for history in &all {
            for (visit, direction) in history.visits.iter().zip(self.directions(history, &x, case.moved.dim)) {
                let predicted: Vec<f64> =
                    direction.iter().zip(&visit.q).map(|(d, q)| -lr * d - lr * weight_decay * q).collect();
                let signal = norm_f64(&predicted).max(norm_f64(&visit.step));
                judge(case, &mut balance, visit, &predicted, signal, case.moved.dim);
            }
        }
        let free = self.family.settings.len() + solution.len();
        let enough = balance.judged as usize * case.moved.dim >= 8 * (free + 1);
        if lr <= 0.0 || weight_decay < 0.0 || !balance.mostly() || !enough {
            return None;
        }
        let variance = (squares / residuals.len().max(1) as f64).max(f64::MIN_POSITIVE);
        let settings = self.settings(&x);
        let half_widths = match self.jacobian(case, &all, &x, &residuals) {
            None => Vec::new(),
            Some(jacobian) => {
                let gram = jacobian.transpose() * &jacobian;
                let inverse = gram.try_inverse();
                let width = |k: usize| {
                    let error = inverse.as_ref().map_or(f64::INFINITY, |inverse| (variance * inverse[(k, k)]).sqrt());
                    let (a, b) = (x[k] + 4.0 * error, x[k] - 4.0 * error);
                    let setting = self.family.settings[k];
                    (setting.value(a, self.size) - setting.value(b, self.size)).abs() / 2.0
                };
                (0..x.len()).map(width).collect()
            }
        };
        // A rate is known no better than the directions that it multiplies.
        let relative = case.precision.unit_roundoff() * 32.0;
        let lr = Estimate { value: lr, half_width: lr * relative };
        Some((Fitted { settings, half_widths, lr, weight_decay }, balance))
    }
}

/// Whether rows without a gradient move (dense), wait (lazy), or it cannot be seen.
fn visited(case: &Case<'_>) -> Option<Rows> {
    let mut waits = false;
    for history in case.moved.moving() {
        let mut started = false;
        for visit in &history.visits {
            if started && !visit.touched() {
                if visit.moved() {
                    return Some(Rows::Dense);
                }
                waits = true;
            }
            started |= visit.has_gradient();
        }
    }
    waits.then_some(Rows::Lazy)
}

impl Cause for Adaptive {
    fn about(&self) -> &'static About {
        &COORDINATES
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        // In one dimension rows and coordinates are the same.
        // A single row is as well a single coordinate: tables that are joined into one tell nothing of rows.
        if case.moved.dim < 2 || case.moved.moving().count() < 2 {
            return None;
        }
        let (mut energy, mut count) = (0.0, 0.0);
        for g in case.moved.visits().flat_map(|visit| &visit.gradient).filter(|g| **g != 0.0) {
            energy += g * g;
            count += 1.0;
        }
        let size = (energy / f64::max(count, 1.0)).sqrt();
        let moves = visited(case);
        let mut fitted: Vec<(&Family, Option<Rows>, Fitted, Balance)> = Vec::new();
        for decay in [false, true] {
            for family in &FAMILIES {
                let ways: &[Rows] = match (family.fades, moves) {
                    (false, _) => &[Rows::Dense],
                    // Without a first moment rows wait in either way, but their state may fade.
                    (true, Some(Rows::Lazy)) if family.name == "rmsprop" => &[Rows::Dense, Rows::Lazy],
                    (true, Some(Rows::Lazy)) => &[Rows::Lazy],
                    (true, _) => &[Rows::Dense],
                };
                for &rows in ways {
                    let model = Model { family, rows, decay, size };
                    // Its settings, its rate and its decay.
                    let unknowns = family.settings.len() + 1 + usize::from(decay);
                    if let Some((found, balance)) = model.fit(case)
                        && balance.judged >= (RECORDS * unknowns) as u64
                    {
                        let seen = if family.fades { moves.map(|_| rows) } else { None };
                        fitted.push((family, seen, found, balance));
                    }
                }
            }
            if !fitted.is_empty() {
                break;
            }
        }
        // Richer rules contain simpler ones where squares are forgotten at once; else what decides is that one name is left.
        if fitted.len() > 1 {
            let forgets = |family: &Family, found: &Fitted| {
                let squares =
                    family.settings.iter().zip(&found.settings).filter(|(setting, _)| setting.starts().len() > 2);
                squares.map(|(_, beta)| *beta).any(|beta| beta < 0.5)
            };
            let simplest = fitted[0].0.settings.len();
            fitted.retain(|(family, _, found, _)| family.settings.len() == simplest || !forgets(family, found));
        }
        let names: BTreeSet<&str> = fitted.iter().map(|(family, ..)| family.name).collect();
        let kinds: Vec<bool> = fitted.iter().map(|(family, ..)| family.coordinates).collect();
        let (family, rows, found, balance) = fitted.into_iter().next()?;
        let how = if family.coordinates {
            "coordinate by coordinate"
        } else {
            "row by row"
        };
        let records = format!("{} of {} records are explained", balance.judged - balance.broken, balance.judged);
        let about = |coordinates: bool| if coordinates { &COORDINATES } else { &ROWS };
        if names.len() > 1 {
            let kinds: BTreeSet<bool> = kinds.into_iter().collect();
            let about = if kinds.len() == 1 {
                about(family.coordinates)
            } else {
                &EITHER
            };
            let names: Vec<&str> = names.into_iter().collect();
            let evidence = format!("{records} by {}; the run does not tell which", names.join(" and by "));
            let rule = Rule { optimizer: "adaptive", ..Rule::default() };
            let found = Found::new("An adaptive rule scales the gradients", evidence).under(rule);
            return Some(Found { about: Some(about), ..found });
        }
        let mut settings = Vec::new();
        let mut beta = None;
        for (place, setting) in family.settings.iter().enumerate() {
            let (value, half) = (found.settings[place], found.half_widths.get(place).copied().unwrap_or(0.0));
            if matches!(setting, Setting::Beta("β₁", _)) {
                beta = Some(value);
            }
            if value != 0.0 {
                settings.push(format!("{} = {value:.3e} ± {half:.1e}", setting.name()));
            }
        }
        if found.weight_decay != 0.0 {
            settings.push(format!("decoupled weight decay {:.3e}", found.weight_decay));
        }
        let with = if settings.is_empty() {
            String::new()
        } else {
            format!(" with {}", settings.join(", "))
        };
        let told = Found::estimated(
            format!("The steps are those of {}{with}: gradients are scaled {how}", family.name),
            found.lr.value,
            (found.lr.value - found.lr.half_width, found.lr.value + found.lr.half_width),
            format!("{}{with}; {records}", family.name),
        )
        .under(Rule {
            optimizer: family.name,
            lr: Some(found.lr),
            weight_decay: Some(found.weight_decay),
            momentum: beta.or(Some(0.0)),
            rows,
        });
        Some(Found { about: Some(about(family.coordinates)), ..told })
    }
}
