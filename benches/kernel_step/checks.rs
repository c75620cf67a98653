//! W4 and W5: the exhaustive gradient check, and the motion of a dense trajectory.

use std::collections::BTreeMap;

use perpend::facts::motion;
use perpend::jacobian::{Outcome, check_every_parameter};
use perpend::reference::Reference;
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trainer::Trainer;
use perpend::trajectory::{Array, Settings, Side, Trajectory};

use crate::driver::Loaded;
use crate::workload::{Stream, TEMPERATURE, normal};

/// Widths of the two multilayer perceptrons.
const WIDTHS: [usize; 4] = [16, 32, 32, 8];

/// Two perceptrons of 3,728 parameters together under InfoNCE on 16 pairs.
pub struct GradientCheck(Materialised);

impl GradientCheck {
    pub fn new(pairs: usize) -> perpend::Result<Self> {
        let [features, hidden @ .., dim] = WIDTHS;
        let tower = format!(
            "rows = {pairs}\nencoder = {{ kind = \"mlp\", features = {features}, hidden = {hidden:?}, bias = true, \
             activation = \"tanh\" }}\noptimizer = {{ kind = \"sgd\", lr = 0.1 }}\n\
             initial = {{ kind = \"normal\", std = 1.0 }}\n"
        );
        let rows: Vec<usize> = (0..pairs).collect();
        let mut scenario = Scenario::from_toml(&format!(
            "dim = {dim}\nsteps = 1\n\
             loss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = {TEMPERATURE} }}\n\
             sampler = {{ batch = {pairs}, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
             batches = [{{ users = {rows:?}, positives = {rows:?} }}]\n[item]\n{tower}[user]\n{tower}"
        ))?;
        let mut place = 0..;
        let mut draw = |scale: f64| normal(Stream::Towers, place.next().expect("there is no last number")) * scale;
        for side in [Side::User, Side::Item] {
            let constants = (0..pairs * features).map(|_| draw(1.0)).collect();
            let layers = WIDTHS.windows(2).map(|widths| {
                let (m, n) = (widths[0], widths[1]);
                let scale = |k: usize| if k < m { 1.0 / (m as f64).sqrt() } else { 0.1 };
                (0..n * (m + 1)).map(|k| draw(scale(k % (m + 1)))).collect()
            });
            scenario.tower_mut(side).initial = Initial::Explicit { tables: layers.collect(), constants };
        }
        Ok(GradientCheck(scenario.materialise()?))
    }
}

impl Loaded for GradientCheck {
    /// The loss.
    fn values(&mut self) -> Result<Vec<f64>, String> {
        let run = Reference.train(&self.0).map_err(|error| error.to_string())?;
        Ok(vec![run.arrays()["loss"].value(0)])
    }
    fn step(&mut self) -> Result<(), String> {
        let report = check_every_parameter(&self.0);
        match report.outcome() {
            Outcome::Agrees => Ok(()),
            _ => Err(report.to_string()),
        }
    }
}

/// A random walk of N rows through T states.
pub struct Motion(Trajectory);

impl Motion {
    pub fn new(states: usize, rows: usize, dim: usize) -> perpend::Result<Self> {
        let size = rows * dim;
        let mut values: Vec<f32> = Vec::with_capacity(states * size);
        for k in 0..states * size {
            let fresh = normal(Stream::Trajectory, k as u64) as f32;
            values.push(if k < size {
                fresh
            } else {
                values[k - size] + 0.05 * fresh
            });
        }
        let q = Array::from_f32(&[states, rows, dim], &values);
        Ok(Motion(Trajectory::new(Settings::default(), BTreeMap::from([("q".to_owned(), q)]))?))
    }
}

impl Loaded for Motion {
    /// The quantiles of the last step, of the cosines and then of the growth factors.
    fn values(&mut self) -> Result<Vec<f64>, String> {
        let all = motion(&self.0.towers()[0]).map_err(|error| error.to_string())?;
        let (_, last) = all.steps.last_key_value().ok_or("no step was recorded")?;
        Ok([last.cosine, last.growth].into_iter().flatten().flatten().collect())
    }
    fn step(&mut self) -> Result<(), String> {
        motion(&self.0.towers()[0]).map(drop).map_err(|error| error.to_string())
    }
}
