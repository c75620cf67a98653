//! What several subjects share: models as functions of their parameters, random directions.

use perpend::encoder::Encoder;
use perpend::geometry::Table;
use perpend::loss::Evaluation;
pub use perpend::number::Forward;
use perpend::number::Real;
use perpend::reference::Session;
use perpend::sampler::Batch;
use perpend::scenario::Materialised;
use perpend::trajectory::Side;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Random numbers that are the same in every run.
pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A number from the interval (−1, 1).
pub fn signed(random: &mut ChaCha8Rng) -> f64 {
    random.random::<f64>() * 2.0 - 1.0
}

/// All parameter tables of a model, the item tower's first.
pub fn parameters(model: &Materialised) -> Vec<Table<f64>> {
    Side::ALL.into_iter().flat_map(|side| model.tower(side).tables.clone()).collect()
}

/// The places of a tower's tables among [`parameters`].
pub fn places(model: &Materialised, side: Side) -> std::ops::Range<usize> {
    let items = model.item.tables.len();
    match side {
        Side::Item => 0..items,
        Side::User => items..items + model.user.tables.len(),
    }
}

/// A tower's encoder over the tables of [`parameters`].
pub fn encoder<F: Real>(model: &Materialised, side: Side) -> Box<dyn Encoder<F>> {
    model.encoder(side)
}

/// The embeddings of rows: `[rows, d]`.
pub fn embeddings<F: Real>(model: &Materialised, side: Side, tables: &[Table<F>], rows: &[usize]) -> Table<F> {
    let encoder = encoder::<F>(model, side);
    let values = rows.iter().flat_map(|&row| encoder.encode(tables, row)).collect();
    Table::from_values(model.scenario.dim, values)
}

/// The loss of a batch as a function of the parameters, put together from encoders and loss without a session.
pub fn evaluate<F: Real>(model: &Materialised, tables: &[Table<F>], batch: &Batch) -> Evaluation<F> {
    let users = embeddings(model, Side::User, tables, &batch.users);
    let items = embeddings(model, Side::Item, tables, &batch.item_slots());
    model.scenario.loss.evaluate(&users, &items, batch)
}

/// The gradients that a training step computes, in the order of [`parameters`].
pub fn session_gradients<F: Real>(model: &Materialised, batch: &Batch) -> Vec<Table<F>> {
    let mut session = Session::<F>::new(model);
    let outcome = session.evaluate(batch);
    session.apply(&outcome);
    Side::ALL.into_iter().flat_map(|side| session.gradients(side)).collect()
}

/// tables + t·direction.
pub fn moved<F: Real>(tables: &[Table<f64>], direction: &[Table<f64>], t: f64) -> Vec<Table<F>> {
    let zip = |(table, direction): (&Table<f64>, &Table<f64>)| {
        let values = table.values().iter().zip(direction.values());
        let moved = values.map(|(&x, &v)| F::from_f64(x) + F::from_f64(t) * F::from_f64(v));
        Table::from_values(table.width(), moved.collect())
    };
    tables.iter().zip(direction).map(zip).collect()
}

/// The largest magnitude among numbers.
pub fn largest(values: &[f64]) -> f64 {
    values.iter().fold(0.0, |largest, x| largest.max(x.abs()))
}
