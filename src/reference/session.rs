//! Training step by step: encode, evaluate the loss, send the gradients back, move the parameters.

use std::collections::HashMap;

use crate::encoder::{Encoder, Gradient};
use crate::error::Result;
use crate::geometry::{Table, add_scaled};
use crate::loss::Loss;
use crate::number::Real;
use crate::optimizer::update::Stages;
use crate::optimizer::{Schedule, Stepper};
use crate::sampler::Batch;
use crate::scenario::Materialised;
use crate::trainer::{SeeGradient, Stepwise};
use crate::trajectory::Side;

/// How [`Session::state`] names the parameters of a table.
pub const PARAMETERS: &str = "parameters";

/// A model in training: both towers' parameters, their gradients of the last step, and the optimizers' state.
pub struct Session<F> {
    loss: Loss,
    towers: [TowerState<F>; 2],
    tables: Vec<Table<F>>,
    gradients: Vec<Gradient<F>>,
    time: u64,
}

struct TowerState<F> {
    encoder: Box<dyn Encoder<F>>,
    schedule: Schedule,
    steppers: Vec<Stepper<F>>,
    stages: Stages<F>,
    tables: std::ops::Range<usize>,
    private: bool,
    lookup: bool,
    pooled: bool,
}

/// What one step did.
#[derive(Debug, Clone)]
pub struct StepOutcome<F> {
    /// The loss before the step.
    pub loss: F,
    /// The item tower.
    pub item: TowerOutcome<F>,
    /// The user tower.
    pub user: TowerOutcome<F>,
}

/// What one step did in one tower.
#[derive(Debug, Clone)]
pub struct TowerOutcome<F> {
    /// The row of every slot: `[C]`.
    pub slots: Vec<usize>,
    /// The gradient with respect to every slot's embedding: `[C, d]`.
    pub slot_gradients: Table<F>,
    /// A bound on the norm of every slot's upstream gradient (see [`crate::loss::Evaluation`]): `[C]`.
    pub slot_scales: Vec<F>,
    /// The distinct rows in the order of their first slot, each with the sum of its slots' gradients: `[d]`.
    pub rows: Vec<(usize, Vec<F>)>,
}

impl<F> StepOutcome<F> {
    /// One tower.
    pub fn tower(&self, side: Side) -> &TowerOutcome<F> {
        match side {
            Side::Item => &self.item,
            Side::User => &self.user,
        }
    }
}

impl<F: Real> Session<F> {
    /// Starts from the explicit values of a scenario.
    pub fn new(materialised: &Materialised) -> Self {
        let scenario = &materialised.scenario;
        let mut tables = Vec::new();
        let mut gradients = Vec::new();
        let towers = [Side::Item, Side::User].map(|side| {
            let (tower, values) = (scenario.tower(side), materialised.tower(side));
            let first = tables.len();
            tables.extend(values.tables.iter().map(|table| table.map(|&x| F::from_f64(x))));
            gradients.extend(values.blocks.iter().map(|block| Gradient::zeros(block.rows, block.width)));
            TowerState {
                encoder: materialised.encoder(side),
                schedule: tower.optimizer.schedule().clone(),
                steppers: values
                    .blocks
                    .iter()
                    .map(|block| {
                        let stepper = tower.optimizer.start(block.rows, block.width, &F::from_f64);
                        stepper.within(&tower.update, block.rows, &F::from_f64)
                    })
                    .collect(),
                stages: Stages::new(tower.update.clone(), scenario.seed),
                tables: first..tables.len(),
                private: values.blocks.iter().all(|block| block.private),
                lookup: matches!(tower.encoder, crate::encoder::EncoderKind::Table(_)),
                pooled: scenario.is_pooled(side),
            }
        });
        Session { loss: scenario.loss.clone(), towers, tables, gradients, time: 0 }
    }

    fn tower(&self, side: Side) -> &TowerState<F> {
        match side {
            Side::Item => &self.towers[0],
            Side::User => &self.towers[1],
        }
    }

    /// How many steps were made.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// The embedding of a row: `[d]`.
    pub fn embedding(&self, side: Side, row: usize) -> Vec<F> {
        self.tower(side).encoder.encode(&self.tables, row)
    }

    /// The parameter tables of a tower.
    pub fn tables(&self, side: Side) -> Vec<&Table<F>> {
        self.tables[self.tower(side).tables.clone()].iter().collect()
    }

    /// Whether each row has its own parameters.
    pub fn is_private(&self, side: Side) -> bool {
        self.tower(side).private
    }

    /// Whether the tower has parameters that are something else than its embeddings.
    pub fn has_own_parameters(&self, side: Side) -> bool {
        let state = self.tower(side);
        !state.lookup && !state.tables.is_empty()
    }

    /// The gradient of every embedding that the last step had one for. Where the other tower pools the rows of a lookup, it
    /// is the whole gradient of the row, from both towers; `outcome` is what that step returned.
    pub fn embedding_gradients(&self, side: Side, outcome: &StepOutcome<F>) -> Vec<(usize, Vec<F>)> {
        let state = self.tower(side);
        if !state.pooled {
            return outcome.tower(side).rows.clone();
        }
        let gradient = &self.gradients[state.tables.start];
        gradient.touched().iter().map(|&row| (row, gradient.row(row).to_vec())).collect()
    }

    /// The parameter gradients of the last step, as full tables.
    pub fn gradients(&self, side: Side) -> Vec<Table<F>> {
        self.gradients[self.tower(side).tables.clone()]
            .iter()
            .zip(self.tables(side))
            .map(|(gradient, table)| {
                let values = (0..table.rows()).flat_map(|row| gradient.row(row).to_vec()).collect();
                Table::from_values(table.width(), values)
            })
            .collect()
    }

    /// Shows everything that the next step starts from, to be read or set: for each tower the number of a table among its own,
    /// `parameters` and that table, then what its optimizer remembers about it; and gradients that are on their way.
    pub fn state(&mut self, mut see: impl FnMut(Side, usize, &'static str, &mut [F])) {
        for (side, tower) in Side::ALL.into_iter().zip(&mut self.towers) {
            for (table, (index, stepper)) in tower.tables.clone().zip(&mut tower.steppers).enumerate() {
                see(side, table, PARAMETERS, self.tables[index].values_mut());
                stepper.memory(&mut |name, values| see(side, table, name, values));
            }
            tower.stages.memory(&mut |name, values| see(side, 0, name, values));
        }
    }

    /// Loss and gradients of a batch at the current parameters, with nothing moved.
    pub fn evaluate(&self, batch: &Batch) -> StepOutcome<F> {
        let user_slots = batch.users.clone();
        let item_slots = batch.item_slots();
        let users = self.slot_embeddings(Side::User, &user_slots);
        let items = self.slot_embeddings(Side::Item, &item_slots);
        let evaluation = self.loss.evaluate(&users, &items, batch);
        StepOutcome {
            loss: evaluation.loss,
            item: TowerOutcome::new(item_slots, evaluation.items, evaluation.item_scale),
            user: TowerOutcome::new(user_slots, evaluation.users, evaluation.user_scale),
        }
    }

    /// One training step: all gradients at the old parameters, then every tower's optimizer.
    pub fn step(&mut self, batch: &Batch) -> StepOutcome<F> {
        let outcome = self.evaluate(batch);
        self.apply(&outcome);
        outcome
    }

    /// Sends the rows' gradients back through the encoders and moves the parameters; what happens around the towers' optimizers
    /// ([`crate::optimizer::Update`]) may delay, sum or clip the gradients on the way.
    pub fn apply(&mut self, outcome: &StepOutcome<F>) {
        self.backward(outcome);
        self.update();
    }

    /// The first half of [`Session::apply`]: the gradients of the parameters, with nothing moved.
    fn backward(&mut self, outcome: &StepOutcome<F>) {
        self.gradients.iter_mut().for_each(Gradient::clear);
        for (side, tower) in [Side::Item, Side::User].into_iter().zip(&self.towers) {
            for (row, gradient) in &outcome.tower(side).rows {
                tower.encoder.backward(&self.tables, *row, gradient, &mut self.gradients);
            }
        }
    }

    /// The second half: the parameters move.
    fn update(&mut self) {
        for tower in &mut self.towers {
            let rate = F::from_f64(tower.schedule.at(self.time));
            let Some((time, gradients)) = tower.stages.pass(&self.gradients[tower.tables.clone()]) else {
                continue;
            };
            for ((index, stepper), gradient) in tower.tables.clone().zip(&mut tower.steppers).zip(gradients.iter()) {
                let table = &mut self.tables[index];
                stepper.step(time, &rate, table, gradient);
                if stepper.visits(false) {
                    tower.stages.store(index, self.time, 0..table.rows(), table);
                } else {
                    tower.stages.store(index, self.time, gradient.touched().iter().copied(), table);
                }
            }
        }
        self.time += 1;
    }

    /// The embeddings of slots: `[slots, d]`.
    pub(crate) fn slot_embeddings(&self, side: Side, slots: &[usize]) -> Table<F> {
        let mut known: HashMap<usize, Vec<F>> = HashMap::new();
        let mut values = Vec::new();
        let mut width = 0;
        for &row in slots {
            let q = known.entry(row).or_insert_with(|| self.embedding(side, row));
            width = q.len();
            values.extend_from_slice(q);
        }
        Table::from_values(width, values)
    }
}

/// A session with the batch that it is at.
pub(crate) struct Steps<'a, F> {
    session: &'a mut Session<F>,
    outcome: Option<StepOutcome<F>>,
}

impl<'a, F: Real> Steps<'a, F> {
    pub(crate) fn new(session: &'a mut Session<F>) -> Self {
        Steps { session, outcome: None }
    }

    fn outcome(&self) -> &StepOutcome<F> {
        self.outcome.as_ref().expect("a batch was evaluated")
    }

    /// What the batch that was evaluated last gave.
    pub(crate) fn into_outcome(self) -> Option<StepOutcome<F>> {
        self.outcome
    }
}

fn to_f64<F: Real>(values: &[F]) -> Vec<f64> {
    values.iter().map(F::to_f64).collect()
}

impl<F: Real> Stepwise for Steps<'_, F> {
    fn time(&self) -> u64 {
        self.session.time
    }
    fn evaluate(&mut self, batch: &Batch) -> Result<f64> {
        let outcome = self.session.evaluate(batch);
        self.session.backward(&outcome);
        let loss = outcome.loss.to_f64();
        self.outcome = Some(outcome);
        Ok(loss)
    }
    fn apply(&mut self) {
        self.session.update();
    }
    fn slots(&self, side: Side) -> Vec<usize> {
        self.outcome().tower(side).slots.clone()
    }
    fn each_gradient(&self, side: Side, see: &mut SeeGradient<'_>) {
        for (row, gradient) in self.session.embedding_gradients(side, self.outcome()) {
            see(row, &self.embedding(side, row), &to_f64(&gradient));
        }
    }
    fn embedding(&self, side: Side, row: usize) -> Vec<f64> {
        to_f64(&self.session.embedding(side, row))
    }
}

impl<F: Real> TowerOutcome<F> {
    /// Sums the gradients of the slots row by row.
    pub(crate) fn new(slots: Vec<usize>, slot_gradients: Table<F>, slot_scales: Vec<F>) -> Self {
        let mut place: HashMap<usize, usize> = HashMap::new();
        let mut rows: Vec<(usize, Vec<F>)> = Vec::new();
        for (slot, &row) in slots.iter().enumerate() {
            let index = *place.entry(row).or_insert_with(|| {
                rows.push((row, vec![F::zero(); slot_gradients.width()]));
                rows.len() - 1
            });
            add_scaled(&mut rows[index].1, F::one(), slot_gradients.row(slot));
        }
        TowerOutcome { slots, slot_gradients, slot_scales, rows }
    }
}
