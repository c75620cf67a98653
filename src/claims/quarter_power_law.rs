//! # Quarter-power law
//!
//! With a constant rate and gradients of constant size s on the sphere, the norm of a row grows like the fourth root of how
//! often it was trained, and the angle of its steps shrinks like the square root:
//!
//! ```text
//! ‖q_n‖ = (‖q_0‖⁴ + 2η²s²·n)^{1/4}·(1 + o(1)) = (2η²s²)^{1/4}·(n_0 + n)^{1/4}·(1 + o(1)),   n_0 = ‖q_0‖⁴/(2η²s²)
//! ```
//!
//! So 10⁴ times the popularity is ten times the norm, and popular rows anneal themselves; n_0 is how many touches the start is
//! worth. Rules that divide by the gradient's size do not obey it (steps of one length: exponent up to 1/2; a growing divisor: a
//! logarithm), and decay ends the growth.
//!
//! *Hypotheses*: CosineLoss, NoEpsilon, a table, a constant rate, ScalarStep without adaptivity (row-wise AdaGrad is a twin here).
//! *Shapes*: one number a row. *Judged*: the slope of ln‖q_n‖ against ln(n_0 + n), by least squares over 256 ≤ n ≤ 4096 in
//! octaves. The scenario lends its similarity, dimension, item optimizer and directions; users are ±e_1, …, ±e_d, so that Σ(1 − cos²)
//! over all of them is the same for every direction, and a pair of rows, one positive and one negative, goes through them in
//! random order again and again; the temperature is so high that the softmax does not depend on where the rows are.
//! *Allowed residual*: ¼·Σ|w_k|·(|ln((‖q_0‖⁴ + A_k)/(ā·(n_0 + n_k)))| + E_k/(‖q_0‖⁴ + A_k) + T·γ_{4d+8}): w the weights of the fit;
//! A_k = 2Σ_{t<n_k} c_t with c_t = η²s_t², ā its mean slope: how far s was from constant; E_k = Σ c_t²/(‖q_0‖⁴ + A_t), the bound on
//! the excess of `quartic-growth`; rounding in T steps.
//! *Twins that must break it*: inner products; an active epsilon; weight decay; AdaGrad; row-wise AdaGrad; the false variant: a
//! square root. *Controls that must not*: a clamp that is never active; other directions.
//! *Proof*: proofs/theories/QuarterPowerLaw.v, and for the limit itself proofs/theories/QuarterPowerLawReal.v.
//! *Source*: van Laarhoven 2017 and Arora, Li & Lyu 2019 in other words; the explicit form derived here.

use rand::{SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::runs::{fixed_table, has_gradients, tower};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::{Measured, Tally};
use crate::geometry::norm_f64;
use crate::loss::Loss;
use crate::reference::Session;
use crate::sampler::Batch;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::{Side, Trajectory};
use crate::verdict::{Observation, Place};

/// ‖q_n‖ ∝ n^{1/4}.
pub struct QuarterPowerLaw;

const DERIVATION: &str = "¼·Σ|w_k|·(|ln((‖q_0‖⁴ + A_k)/(ā·(n_0 + n_k)))| + E_k/(‖q_0‖⁴ + A_k) + T·γ_{4d+8}), w the weights of the fit: \
    how far s was from constant, the excess of quartic-growth, rounding";

/// A temperature at which the softmax over two cosines is ½ to within 1/(2τ).
const TEMPERATURE: f64 = 256.0;

/// The numbers of touches that are fitted: 256 to 4096 in octaves, whole rounds through the 2d users.
fn touches(dim: usize) -> Vec<usize> {
    let users = 2 * dim;
    (8..=12).map(|octave| (1_usize << octave).div_ceil(users) * users).collect()
}

/// The long run that a scenario lends its similarity, its dimension, its item optimizer and its directions to.
fn long_run(materialised: &Materialised) -> Scenario {
    let mut scenario = materialised.explicit();
    let (dim, steps) = (scenario.dim, touches(scenario.dim)[4]);
    let session = Session::<f64>::new(materialised);
    let lent = |row: usize| session.embedding(Side::Item, row % materialised.scenario.item.rows);
    let mut random = ChaCha8Rng::seed_from_u64(lent(0).iter().fold(1, |seed, x| seed.rotate_left(7) ^ x.to_bits()));

    let mut optimizer = scenario.item.optimizer.clone();
    let rate = (0..scenario.steps as u64).map(|t| optimizer.schedule().at(t)).fold(0.0, f64::max);
    let rate = if rate > 0.0 { rate } else { 1.0 };
    *optimizer.schedule_mut() = rate.into();
    let spherical = (1.0 - 1.0 / dim as f64).sqrt() / (2.0 * TEMPERATURE);
    // Longer starts are worth more touches, shorter ones are thrown far by the first step.
    let length = 2.0 * (rate * spherical).sqrt();
    let items = [0, 1].into_iter().flat_map(|row| {
        let mut q = lent(row);
        // One row may be lent twice: the second is turned.
        q.rotate_left(row);
        let size = norm_f64(&q);
        q.into_iter().map(move |x| x * (length / size))
    });
    scenario.item = fixed_table(dim, items.collect());
    scenario.item.optimizer = optimizer;
    let axes = (0..2 * dim).flat_map(|user| {
        (0..dim).map(move |k| match (k == user / 2, user % 2) {
            (true, 0) => 1.0,
            (true, _) => -1.0,
            _ => 0.0,
        })
    });
    scenario.user = fixed_table(dim, axes.collect());

    let mut round: Vec<usize> = (0..2 * dim).collect();
    let batch = |step: usize| {
        if step.is_multiple_of(2 * dim) {
            round.shuffle(&mut random);
        }
        Batch {
            users: vec![round[step % (2 * dim)]],
            positives: vec![0],
            negatives: vec![vec![1]],
            ..Batch::default()
        }
    };
    scenario.steps = steps;
    scenario.batches = Some((0..steps).map(batch).collect());
    scenario.loss.objective = Loss::info_nce(scenario.loss.similarity, TEMPERATURE).objective;
    scenario
}

/// A row's history: where it started, and at every fitted step ln‖q‖, A and E.
#[derive(Clone, Default)]
struct Row {
    start: f64,
    displacement: f64,
    excess: f64,
    seen: Vec<(f64, f64, f64)>,
}

fn histories(trajectory: &Trajectory, rate: f64, times: &[usize]) -> Result<Vec<Row>> {
    let tower = tower(trajectory, Side::Item)?;
    let mut rows = vec![Row::default(); tower.rows()];
    tower.for_each(0..tower.rows(), &mut |record| {
        let row = &mut rows[record.row];
        let norm = norm_f64(record.q);
        if record.step == 0 {
            row.start = norm.powi(4);
        }
        let c = (rate * norm * record.grad.map_or(0.0, norm_f64)).powi(2);
        row.excess += c * c / (row.start + row.displacement);
        row.displacement += 2.0 * c;
        if times.contains(&(record.step + 1)) {
            row.seen.push((norm_f64(record.q_next).ln(), row.displacement, row.excess));
        }
        Ok(())
    })?;
    Ok(rows)
}

/// The slope of ln‖q_n‖ against ln(n_0 + n), and what is allowed of its distance from ¼.
fn exponent(row: &Row, times: &[usize], rounding: f64) -> (f64, f64) {
    let steps = times[times.len() - 1] as f64;
    let touch = row.displacement / steps;
    let x: Vec<f64> = times.iter().map(|&n| (row.start / touch + n as f64).ln()).collect();
    let mean = x.iter().sum::<f64>() / x.len() as f64;
    let spread: f64 = x.iter().map(|x| (x - mean).powi(2)).sum();
    let (mut slope, mut allowed) = (0.0, 0.0);
    for (x, (length, displacement, excess)) in x.iter().zip(&row.seen) {
        let weight = (x - mean) / spread;
        let reached = row.start + displacement;
        slope += weight * length;
        allowed += weight.abs() / 4.0 * ((reached.ln() - touch.ln() - x).abs() + excess / reached + rounding);
    }
    (slope, allowed)
}

fn examine_by(materialised: &Materialised, trainer: &dyn Trainer, law: f64) -> Result<Observation> {
    let dim = materialised.scenario.dim;
    if dim == 1 {
        return Ok(Observation::inconclusive(DERIVATION, "a line has no directions to turn to"));
    }
    // The short run first: a trainer that gives no gradients is not asked for the long one.
    if !has_gradients(&trainer.train(materialised)?)? {
        return Ok(Observation::inconclusive(DERIVATION, "no row had a gradient"));
    }
    let scenario = long_run(materialised);
    let times = touches(dim);
    let rate = scenario.item.optimizer.schedule().at(0);
    let rows = histories(&trainer.train(&scenario.materialise()?)?, rate, &times)?;
    let rounding = scenario.steps as f64 * scenario.precision.gamma(4 * dim + 8);
    let mut tally = Tally::default();
    let mut exponents = Vec::new();
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| row.displacement > 0.0) {
        let (exponent, allowed) = exponent(row, &times, rounding);
        // The other exponents that rules have are 0 and ½: a fit that cannot tell them from ¼ says nothing.
        let place = Place { step: scenario.steps as u64 - 1, row: number as u64 };
        tally.judge(place, &Measured::new((exponent - law).abs(), allowed, 0.25));
        exponents.push(format!("{exponent:.4}"));
    }
    let mut observation = tally.observe(DERIVATION, "no row had a gradient");
    observation.note = format!("exponents {}", exponents.join(" and "));
    Ok(observation)
}

/// False: the square root, as of a random walk.
fn square_root(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, 0.5)
}

const ABOUT: About = About {
    id: "quarter-power-law",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "the norm grows like the fourth root of the number of touches: ‖q_n‖ ∝ n^{1/4}",
    conditions: &[Condition::CosineLoss, Condition::ScalarStep, Condition::NoEpsilon],
    source: "van Laarhoven 2017 and Arora, Li & Lyu 2019 in other words; the explicit form derived here",
    derivation: DERIVATION,
    sampling: Sampling::Statistical {
        cases: 16,
        failure_probability: 0.0,
        how: "a fit to one run of 4096 steps each, users in random order; the allowance bounds every such run, and chance decides \
              only how much the fit can tell",
    },
    text: include_str!("quarter_power_law.rs"),
};

impl Claim for QuarterPowerLaw {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, 0.25)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::dropping(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::dropping(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::dropping(Condition::NoCoordinateScaling, "AdaGrad", specimen::adagrad),
            Specimen::named("row-wise AdaGrad: a logarithm", specimen::rowwise_adagrad),
            Specimen::named("variant: a square root", specimen::plain).judged_by(square_root),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::benign(Condition::NoEpsilon, "a clamp that is never active", specimen::inactive_epsilon),
            Specimen::named("other directions", specimen::plain),
        ]
    }
}

theorem!(quarter_power_law, QuarterPowerLaw, "holds, 2 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod lent {
    use super::*;

    #[test]
    fn a_run_at_rate_zero_lends_its_directions_and_the_rate_is_one() {
        let rate = |rate: f64| {
            let mut scenario = specimen::plain(0);
            *scenario.item.optimizer.schedule_mut() = rate.into();
            let long = long_run(&scenario.materialise().unwrap());
            assert!(long.materialise().is_ok());
            long.item.optimizer.schedule().at(0)
        };
        assert_eq!([0.0, 0.25].map(rate), [1.0, 0.25]);
    }
}
