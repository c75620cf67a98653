//! # Lazy versus dense
//!
//! Under heavy-ball momentum it matters whether rows that a step does not look up are visited:
//!
//! ```text
//! dense:  p ← βp + g in every step, so an untouched row coasts:   q_{t+m} = q_t − Σ_{j=1..m} η_{t+j−1}·βʲ·p
//! lazy:   p ← βp + g when looked up,  an untouched row stays:     q_{t+m} = q_t, and so does p
//! ```
//!
//! A coasting row moves outward: after a single gradient ⟨q, Δq⟩ = βη²‖g‖². Until a row with momentum is first left out
//! (with dampening: until any row is), the two runs are the same to the last bit; without momentum (β = 0) they are the same
//! for ever.
//!
//! *Hypotheses*: NoDecay, NoCoordinateScaling; a table. Nothing of the loss is needed.
//! *Shapes*: q, g, p: `[d]`. *Judged*: both runs of the same scenario, every row and step: Δq against −ηp of its own rule,
//! and one run against the other while they have to agree.
//! *Allowed residual*: 3u·max(‖q‖,‖q'‖) + γ_3·η‖p‖ + η·(running error of p) for a moving row; none for a row that must stay
//! and for runs that must agree.
//! *Twins that must break it*: weight decay; Adam; Nesterov momentum; the dense run judged as lazy and the lazy one as dense.
//! *Controls that must not*: inner products, a warm-up schedule, no momentum, dampening.
//! *Proof*: proofs/theories/LazyVersusDense.v.
//! *Source*: coasting derived here; that the two differ is known of Adam (TensorFlow's and PyTorch's documentation).

use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Momentum, Tally};
use crate::geometry::{add_scaled, norm_f64};
use crate::optimizer::{Optimizer, Schedule, heavy_ball::HeavyBall, nesterov::Nesterov};
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::{Rows, Side, Trajectory};
use crate::verdict::{Observation, Place};

/// Dense momentum coasts, lazy momentum stays.
pub struct LazyVersusDense;

const DERIVATION: &str = "3u·max(‖q‖,‖q'‖) + γ_3·η‖p‖ + η·(e ← βe + 2u(‖p‖ + ‖g‖), the running error of the buffer) for a row that \
    moves; 0 for a row that must stay and for two runs that must agree";

/// One recorded row in one step.
struct Seen {
    place: Place,
    touched: bool,
    q: Vec<f64>,
    next: Vec<f64>,
    gradient: Vec<f64>,
}

/// The item records of a run, row after row.
fn records(trajectory: &Trajectory) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    for tower in trajectory.towers().iter().filter(|tower| tower.side() != Some(Side::User)) {
        tower.for_each(0..tower.rows(), &mut |record| {
            seen.push(Seen {
                place: Place { step: record.step as u64, row: record.row as u64 },
                touched: record.lookups.is_some_and(|lookups| lookups > 0),
                q: record.q.to_vec(),
                next: record.q_next.to_vec(),
                gradient: record.grad.map_or_else(|| vec![0.0; record.q.len()], <[f64]>::to_vec),
            });
            Ok(())
        })?;
    }
    seen.sort_by_key(|seen| (seen.place.row, seen.place.step));
    Ok(seen)
}

/// Judges every step of a run by the rule for these rows. Returns the first step from which the other rule may differ: one
/// that leaves out a row with momentum.
fn follow(seen: &[Seen], scenario: &Scenario, rows: Rows, tally: &mut Tally) -> u64 {
    let optimizer = &scenario.item.optimizer;
    let remembers = optimizer.declare();
    // Of other rules it counts only that they remember.
    let other = || (remembers.momentum.or(remembers.betas.map(|betas| betas.0)).unwrap_or(0.0), 1.0);
    let (beta, weight_of_started) = Momentum::of(optimizer).map_or_else(other, |ball| (ball.beta, ball.weight));
    let unit = scenario.precision.unit_roundoff();
    let mut first_left_out = u64::MAX;
    for row in seen.chunk_by(|a, b| a.place.row == b.place.row) {
        let mut buffer = vec![0.0; row[0].q.len()];
        let (mut started, mut error) = (false, 0.0);
        for Seen { place, touched, q, next, gradient } in row {
            let rate = optimizer.schedule().at(place.step);
            let before = norm_f64(&buffer);
            // With dampening also an empty buffer tells: dense rules have started it when its first gradient arrives.
            if !touched && (beta * before > 0.0 || weight_of_started != 1.0) {
                first_left_out = first_left_out.min(place.step);
            }
            let mut step: Vec<f64> = next.iter().zip(q).map(|(next, q)| next - q).collect();
            if rows == Rows::Lazy && !touched {
                tally.judge(*place, &Measured::new(norm_f64(&step), 0.0, rate * beta * before));
                continue;
            }
            let weight = if started { weight_of_started } else { 1.0 };
            started = true;
            buffer.iter_mut().for_each(|p| *p *= beta);
            add_scaled(&mut buffer, weight, gradient);
            let size = norm_f64(&buffer);
            error = beta * error + 2.0 * unit * (size + norm_f64(gradient));
            add_scaled(&mut step, rate, &buffer);
            let stored = 3.0 * unit * norm_f64(q).max(norm_f64(next));
            let underflow = (4 * q.len()) as f64 * scenario.precision.underflow();
            let allowed = stored + scenario.precision.gamma(3) * rate * size + rate * error + underflow;
            tally.judge(*place, &Measured::new(norm_f64(&step), allowed, rate * size));
        }
    }
    first_left_out
}

/// Judges the dense run by one rule and the lazy one by another.
fn judge(materialised: &Materialised, trainer: &dyn Trainer, rules: [Rows; 2]) -> Result<Observation> {
    let mut tally = Tally::default();
    let mut runs = Vec::new();
    let mut agree_until = u64::MAX;
    for (rows, rule) in [Rows::Dense, Rows::Lazy].into_iter().zip(rules) {
        let mut own = materialised.clone();
        *own.scenario.item.optimizer.rows_mut() = rows;
        let seen = records(&trainer.train(&own)?)?;
        agree_until = agree_until.min(follow(&seen, &own.scenario, rule, &mut tally));
        runs.push(seen);
    }
    for (dense, lazy) in runs[0].iter().zip(&runs[1]).filter(|(dense, _)| dense.place.step < agree_until) {
        let difference: Vec<f64> = dense.next.iter().zip(&lazy.next).map(|(a, b)| a - b).collect();
        let moved: Vec<f64> = dense.next.iter().zip(&dense.q).map(|(a, b)| a - b).collect();
        tally.judge(dense.place, &Measured::new(norm_f64(&difference), 0.0, norm_f64(&moved)));
    }
    Ok(tally.observe(DERIVATION, "nothing moved"))
}

fn ball(seed: u64, lr: Schedule, momentum: f64, dampening: f64) -> Scenario {
    let ball = HeavyBall { lr, momentum, dampening, decay: None, rows: Rows::Dense };
    specimen::with_optimizer(seed, Optimizer::HeavyBall(ball))
}

const ABOUT: About = About {
    id: "lazy-versus-dense",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "rows not looked up coast along βᵐp under dense momentum and stay under lazy momentum; else the runs are the same",
    conditions: &[Condition::NoDecay, Condition::NoCoordinateScaling],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("lazy_versus_dense.rs"),
};

impl Claim for LazyVersusDense {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::HeavyBall, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, [Rows::Dense, Rows::Lazy])
    }
    fn twins(&self) -> Vec<Specimen> {
        fn nesterov(seed: u64) -> Scenario {
            let rule = Nesterov { lr: 0.5.into(), momentum: 0.9, decay: None, rows: Rows::Dense };
            specimen::with_optimizer(seed, Optimizer::Nesterov(rule))
        }
        vec![
            Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::dropping(Condition::NoCoordinateScaling, "Adam", specimen::adam),
            Specimen::named("Nesterov momentum", nesterov),
            Specimen::named("the dense run judged as lazy", specimen::momentum)
                .judged_by(|materialised, trainer| judge(materialised, trainer, [Rows::Lazy; 2])),
            Specimen::named("the lazy run judged as dense", specimen::momentum)
                .judged_by(|materialised, trainer| judge(materialised, trainer, [Rows::Dense; 2])),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        fn inner_products(seed: u64) -> Scenario {
            let mut scenario = specimen::dot_product(seed);
            scenario.item.optimizer = specimen::momentum(seed).item.optimizer;
            scenario
        }
        vec![
            Specimen::named("momentum 0.9 on inner products", inner_products),
            Specimen::named("a warm-up schedule", |seed| {
                ball(seed, Schedule::Warmup { from: 0.0, to: 0.5, steps: 6 }, 0.9, 0.0)
            }),
            Specimen::named("no momentum", specimen::plain),
            Specimen::named("dampening 0.5", |seed| ball(seed, 0.5.into(), 0.9, 0.5)),
        ]
    }
}

theorem!(lazy_versus_dense, LazyVersusDense, "holds, 360 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod witness {
    use super::*;
    use crate::geometry::dot;

    /// q = (3,4), g = (−16,12)/125 (the cosine with (1,0)), then a step that does not look the row up.
    #[test]
    fn lazy_versus_dense_coasts_outward_by_beta_eta_squared_16_over_625() {
        let (rate, beta) = (0.1, 0.9);
        for rows in [Rows::Dense, Rows::Lazy] {
            let ball = HeavyBall { lr: rate.into(), momentum: beta, dampening: 0.0, decay: None, rows };
            let mut stepper = Optimizer::HeavyBall(ball).start(1, 2, &|x: f64| x);
            let mut q = [3.0, 4.0];
            stepper.move_row(0, 0, &rate, &mut q, &[-16.0 / 125.0, 12.0 / 125.0]);
            assert_eq!(stepper.visits(false), rows == Rows::Dense);
            if rows == Rows::Dense {
                let before = q;
                stepper.move_row(0, 1, &rate, &mut q, &[0.0, 0.0]);
                let step = [q[0] - before[0], q[1] - before[1]];
                // Three roundings of numbers up to 5 in every coordinate.
                approx::assert_abs_diff_eq!(
                    dot(&before, &step),
                    beta * rate * rate * 16.0 / 625.0,
                    epsilon = 75.0 * f64::EPSILON
                );
            }
        }
    }
}
