//! Rows are brought back to a norm after the step, or held below one: q' = s·(q − ηg), s > 0. The rate follows from every row's
//! own q' = a q + b g as −b/a; what s is tells renormalisation (‖q'‖ = ‖q‖, or one r for all) from a maximum norm (s = 1 below M).

use nalgebra::{Matrix2, Vector2};

use super::judge;
use crate::diagnosis::balance::Balance;
use crate::diagnosis::histories::Visit;
use crate::diagnosis::{About, Case, Cause, Estimate, Found, Rule, advice, median};
use crate::geometry::{dot, norm_f64};

pub(super) struct Renormalisation;
pub(super) struct MaxNorm;

const RENORMALISATION: About = About {
    name: "renormalisation",
    meaning: "norms are fixed after every step: nothing grows, and steps lean inwards by half their angle, which is no fault",
    advice: Some(&advice::FIXED_NORM),
    accuses: false,
};

const MAX_NORM: About = About {
    name: "max-norm",
    meaning: "norms are cut off at a maximum: frequent rows pile up there, rare ones stay below",
    advice: Some(&advice::MAX_NORM),
    accuses: false,
};

const EITHER: About = About {
    name: "fixed-norm",
    meaning: "norms are brought to one value after every step, or cut off at it: nothing grows beyond",
    advice: Some(&advice::MAX_NORM),
    accuses: false,
};

/// Rows that must all have been longer than a norm at first, so that it is a maximum: of rows of either kind, one in 2²⁰ draws.
const SURE: usize = 20;

/// A record whose step lies in the plane of q and g, with its a and b.
struct Plane<'a> {
    visit: &'a Visit,
    next: f64,
    a: f64,
    b: f64,
}

fn planes<'a>(case: &'a Case<'_>) -> Vec<Plane<'a>> {
    let plane = |visit: &'a Visit| -> Option<Plane<'a>> {
        let next = visit.next();
        let (q, g) = (&visit.q, &visit.gradient);
        let gram = Matrix2::new(dot(q, q), dot(q, g), dot(q, g), dot(g, g));
        let solution = gram.try_inverse()? * Vector2::new(dot(q, &next), dot(g, &next));
        let (a, b) = (solution[0], solution[1]);
        (a > 0.0 && b < 0.0).then(|| Plane { visit, next: norm_f64(&next), a, b })
    };
    let visits = case.moved.moving().flat_map(|history| &history.visits);
    visits.filter(|visit| visit.has_gradient() && visit.moved()).filter_map(plane).collect()
}

/// η by least squares over q' = a(q − ηg), near the median of −b/a.
fn rate(planes: &[Plane<'_>]) -> Option<f64> {
    let rough = median(planes.iter().map(|plane| -plane.b / plane.a))?;
    let near = planes.iter().filter(|plane| (plane.b / plane.a + rough).abs() < 0.1 * rough);
    let (mut right, mut energy) = (0.0, 0.0);
    for plane in near {
        let g = dot(&plane.visit.gradient, &plane.visit.gradient);
        right -= plane.a * plane.b * g;
        energy += plane.a * plane.a * g;
    }
    (energy > 0.0).then_some(right / energy)
}

/// How well q' = s(q − ηg) predicts, with s from the row before and after the plain step.
fn explain(
    case: &Case<'_>,
    planes: &[Plane<'_>],
    rate: f64,
    factor: &dyn Fn(&Plane<'_>, f64) -> f64,
) -> (Balance, Vec<usize>) {
    let (mut balance, mut constrained) = (Balance::default(), Vec::new());
    for plane in planes {
        let visit = plane.visit;
        let plain: Vec<f64> = visit.q.iter().zip(&visit.gradient).map(|(q, g)| q - rate * g).collect();
        let length = norm_f64(&plain);
        let factor = factor(plane, length);
        let predicted: Vec<f64> = plain.iter().zip(&visit.q).map(|(plain, q)| factor * plain - q).collect();
        let change = (factor - 1.0).abs() * length;
        if change > 16.0 * visit.noise {
            constrained.push(visit.row);
        }
        // A row that the constraint leaves alone is judged too, by its whole step.
        let signal = if change > 16.0 * visit.noise {
            change
        } else {
            rate * norm_f64(&visit.gradient)
        };
        judge(case, &mut balance, visit, &predicted, signal, 1);
    }
    (balance, constrained)
}

fn rule(case: &Case<'_>, planes: &[Plane<'_>], rate: f64) -> Rule {
    let error = planes.iter().map(|plane| 4.0 * plane.visit.noise / norm_f64(&plane.visit.gradient));
    let half = median(error).unwrap_or(0.0).max(case.precision.unit_roundoff() * rate);
    Rule {
        optimizer: "sgd",
        lr: Some(Estimate { value: rate, half_width: half }),
        weight_decay: Some(0.0),
        momentum: Some(0.0),
        rows: None,
    }
}

fn distinct(rows: &[usize]) -> usize {
    rows.iter().collect::<std::collections::BTreeSet<_>>().len()
}

impl Cause for Renormalisation {
    fn about(&self) -> &'static About {
        &RENORMALISATION
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        if case.moved.dim < 2 {
            return None;
        }
        let planes = planes(case);
        let eta = rate(&planes)?;
        let common = median(planes.iter().map(|plane| plane.next))?;
        let (own, own_rows) = explain(case, &planes, eta, &|plane, length| norm_f64(&plane.visit.q) / length);
        let (all, all_rows) = explain(case, &planes, eta, &|_, length| common / length);
        let unit = 4.0 * case.precision.unit_roundoff();
        let (balance, rows, radius) = if all.mostly() && distinct(&all_rows) > 1 {
            (all, all_rows, Some(common))
        } else {
            (own, own_rows, None)
        };
        // Rows that were all longer before their first step may as well have been cut off at a maximum.
        let firsts = case.moved.moving().filter_map(|history| history.visits.iter().find(|visit| visit.has_gradient()));
        let starts: Vec<f64> = firsts.map(|visit| norm_f64(&visit.q)).collect();
        let noise = 16.0 * case.precision.unit_roundoff();
        let (longer, shorter) = radius.map_or((0, 0), |radius| {
            let count = |beyond: &dyn Fn(f64) -> bool| starts.iter().filter(|start| beyond(**start)).count();
            (count(&|start| start > radius * (1.0 + noise)), count(&|start| start < radius * (1.0 - noise)))
        });
        if longer > 0 && shorter == 0 && longer >= SURE {
            return None;
        }
        // Half of the records must show it: a maximum that a few rows reach is another thing.
        let telling = balance.mostly() && distinct(&rows) > 1 && 2 * rows.len() as u64 >= balance.judged;
        telling.then(|| {
            let evidence = format!(
                "{} records of {} rows have the norm that they should, while a step of rate {eta:.6} alone would have lengthened them",
                rows.len(),
                distinct(&rows)
            );
            let found = match radius {
                Some(radius) if longer > 0 && shorter == 0 => Found {
                    about: Some(&EITHER),
                    ..Found::estimated(
                        format!("Norms end at {radius:.4}: rows are renormalised, or cut off at a maximum norm"),
                        radius,
                        (radius * (1.0 - unit), radius * (1.0 + unit)),
                        format!("{evidence}; all were longer at first, so that the run does not tell which"),
                    )
                },
                Some(radius) => Found::estimated(
                    format!("Rows are renormalised after every step, all to ‖q‖ = {radius:.4}"),
                    radius,
                    (radius * (1.0 - unit), radius * (1.0 + unit)),
                    evidence,
                ),
                None => Found::new("Rows are renormalised after every step, each to its own norm", evidence),
            };
            found.under(rule(case, &planes, eta))
        })
    }
}

impl Cause for MaxNorm {
    fn about(&self) -> &'static About {
        &MAX_NORM
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        if case.moved.dim < 2 {
            return None;
        }
        let planes = planes(case);
        let eta = rate(&planes)?;
        // After the step every row is at most M long. A maximum applied when a row is looked up shortens it before the step.
        let longest = planes.iter().map(|plane| plane.next).fold(0.0, f64::max);
        let shortened =
            planes.iter().filter(|plane| (1.0 - plane.a) * norm_f64(&plane.visit.q) > 16.0 * plane.visit.noise);
        let looked_up = median(shortened.map(|plane| plane.a * norm_f64(&plane.visit.q)));
        let after = |_: &Plane<'_>, length: f64| (longest / length).min(1.0);
        let unit = 8.0 * case.precision.unit_roundoff();
        let found = |limit: f64, eta: f64, balance: Balance, rows: &[usize], when: &str| {
            (balance.mostly() && distinct(rows) > 1 && rows.len() > 2).then(|| {
                Found::estimated(
                    format!("Norms are cut off at a maximum of {limit:.4} {when}"),
                    limit,
                    (limit * (1.0 - unit), limit * (1.0 + unit)),
                    format!(
                        "{} records of {} rows end at this norm where a step of rate {eta:.6} alone would have left them longer; the \
                         other {} records are below it",
                        rows.len(),
                        distinct(rows),
                        (balance.judged - balance.broken).saturating_sub(rows.len() as u64)
                    ),
                )
                .under(rule(case, &planes, eta))
            })
        };
        let (balance, rows) = explain(case, &planes, eta, &after);
        found(longest, eta, balance, &rows, "after the step").or_else(|| {
            // Shortened first, the row then moves by the plain step: q' = a q − ηg.
            let limit = looked_up?;
            let eta = median(planes.iter().map(|plane| -plane.b))?;
            let (mut balance, mut rows) = (Balance::default(), Vec::new());
            for plane in &planes {
                let visit = plane.visit;
                let factor = (limit / norm_f64(&visit.q)).min(1.0);
                let predicted: Vec<f64> =
                    visit.q.iter().zip(&visit.gradient).map(|(q, g)| (factor - 1.0) * q - eta * g).collect();
                let change = (1.0 - factor) * norm_f64(&visit.q);
                let shortens = change > 16.0 * visit.noise;
                if shortens {
                    rows.push(visit.row);
                }
                let signal = if shortens {
                    change
                } else {
                    eta * norm_f64(&visit.gradient)
                };
                judge(case, &mut balance, visit, &predicted, signal, 1);
            }
            found(limit, eta, balance, &rows, "when a row is looked up")
        })
    }
}
