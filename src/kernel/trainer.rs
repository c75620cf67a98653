//! The kernel as a [`Trainer`]: what it trains is recorded like the reference's, so that the same claims judge it.

use std::collections::BTreeMap;

use super::Element;
use super::session::Session;
use crate::error::Result;
use crate::rounding::Precision;
use crate::scenario::{Capabilities, Materialised};
use crate::trainer::{Stepwise, Trainer};
use crate::trajectory::{Array, Side, Trajectory};

/// The kernel on a number of threads, as a trainer of scenarios with tables and networks.
#[derive(Debug, Clone, Copy)]
pub struct KernelTrainer {
    /// Number of threads; results depend on it within rounding.
    pub threads: usize,
}

impl Default for KernelTrainer {
    /// One thread: scenarios are small.
    fn default() -> Self {
        KernelTrainer { threads: 1 }
    }
}

impl Trainer for KernelTrainer {
    fn name(&self) -> String {
        "kernel".into()
    }

    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        match materialised.scenario.precision {
            Precision::F32 => record::<f32>(materialised, self.threads),
            _ => record::<f64>(materialised, self.threads),
        }
    }

    fn capabilities(&self) -> Capabilities {
        let list = |names: &[&str]| Some(names.iter().map(|&name| name.to_owned()).collect());
        Capabilities {
            losses: list(&["info-nce", "full-softmax", "bsl"]),
            encoders: list(&["table", "mlp"]),
            optimizers: list(&["sgd", "heavy-ball", "nesterov", "adam", "adagrad", "rowwise-adagrad"]),
            precisions: list(&["float64", "float32"]),
        }
    }
}

/// One tower's arrays, growing step by step.
#[derive(Default)]
struct Recorded {
    q: Vec<f64>,
    gradient: Vec<f64>,
    slot_gradient: Vec<f64>,
    ids: Vec<i64>,
    rates: Vec<f64>,
    /// The weights before and after each step and their gradients, where embeddings are no parameters.
    weights: Vec<f64>,
    weights_next: Vec<f64>,
    weight_gradient: Vec<f64>,
}

fn record<E: Element>(materialised: &Materialised, threads: usize) -> Result<Trajectory> {
    let scenario = &materialised.scenario;
    // Gathered as f64, then encoded.
    scenario.check_recording(2 * size_of::<f64>())?;
    let dim = scenario.dim;
    let mut session = Session::<E>::new(materialised, threads)?;
    let mut recorded = Side::ALL.map(|_| Recorded::default());
    let mut losses = vec![];
    for batch in &materialised.batches {
        losses.push(session.evaluate(batch)?);
        for (side, recorded) in Side::ALL.into_iter().zip(&mut recorded) {
            let kernel = session.kernel();
            recorded.q.extend(session.embeddings(side));
            for (weights, gradient) in session.weights(side).into_iter().flatten() {
                recorded.weights.extend(weights);
                recorded.weight_gradient.extend(gradient);
            }
            recorded.rates.push(session.rate(side));
            let mut dense = vec![0.0; scenario.tower(side).rows * dim];
            session.each_gradient(side, &mut |row, _, gradient| {
                dense[row * dim..(row + 1) * dim].copy_from_slice(gradient);
            });
            recorded.gradient.extend(dense);
            let slots = session.slots(side);
            // Over all items the kernel keeps one sum an item, and nothing of the positive by itself: that is left out.
            if kernel.slots(side).len() == slots.len() {
                for slot in 0..slots.len() {
                    let gradient = kernel.slot_gradient(side, slot);
                    recorded.slot_gradient.extend(gradient.iter().map(|x| x.to_f64()));
                }
            }
            recorded.ids.extend(slots.iter().map(|&row| row as i64));
        }
        session.apply();
        for (side, recorded) in Side::ALL.into_iter().zip(&mut recorded) {
            for (weights, _) in session.weights(side).into_iter().flatten() {
                recorded.weights_next.extend(weights);
            }
        }
    }

    let steps = materialised.batches.len();
    let float = |shape: &[usize], values: &[f64]| match scenario.precision {
        Precision::F32 => Array::from_f32(shape, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        _ => Array::from_f64(shape, values),
    };
    let mut arrays = BTreeMap::from([("loss".to_string(), float(&[steps], &losses))]);
    let pairs = materialised.recorded_pairs();
    let even = pairs.is_some();
    arrays.extend(pairs.into_iter().flatten());
    for (side, mut recorded) in Side::ALL.into_iter().zip(recorded) {
        let n = scenario.tower(side).rows;
        recorded.q.extend(session.embeddings(side));
        let mut insert = |name: &str, array: Array| arrays.insert(format!("{side}/{name}"), array);
        insert("q", float(&[steps + 1, n, dim], &recorded.q));
        insert("grad", float(&[steps, n, dim], &recorded.gradient));
        insert("lr", Array::from_f64(&[steps], &recorded.rates));
        if even {
            let slots = recorded.ids.len() / steps;
            insert("ids", Array::from_i64(&[steps, slots], &recorded.ids));
            if recorded.slot_gradient.len() == recorded.ids.len() * dim {
                insert("grad_out", float(&[steps, slots, dim], &recorded.slot_gradient));
            }
        }
        if let Some(layers) = session.weights(side) {
            // A single layer has a row for each of its outputs, which are the embedding's; several are one long row.
            let rows = if layers.len() == 1 { dim } else { 1 };
            let width = recorded.weights.len() / (steps * rows);
            for (name, values) in [
                ("table", &recorded.weights),
                ("table_next", &recorded.weights_next),
                ("table_grad", &recorded.weight_gradient),
            ] {
                insert(name, float(&[steps, rows, width], values));
            }
        }
    }
    Trajectory::new(scenario.header("kernel"), arrays)
}
