//! What has a Jacobian: functions of parameter tables with exact products. One row of an encoder; a loss as a function of
//! embeddings; a loss as a function of all parameters of two towers.
//!
//! Anybody's encoder comes as an [`Architecture`], anybody's loss as [`Evaluate`], anything else as [`Differentiable`].

use super::Estimate;
use super::coordinates::{self, Softmax};
use crate::encoder::{Architecture, Chain, Encoder, Gradient};
use crate::geometry::{Table, add_scaled};
use crate::loss::{Evaluation, Loss, ObjectiveFunction};
use crate::number::Real;
use crate::sampler::Batch;
use crate::scenario::Materialised;
use crate::trajectory::Side;

/// A function from parameter tables to a vector y: `[m]`, at a point.
pub trait Differentiable {
    /// The point: one table a block of parameters.
    fn tables(&self) -> Vec<Table<f64>>;
    /// The name of a block, such as `item layer1`.
    fn block(&self, place: usize) -> String;
    /// The function on numbers of one type.
    fn on<F: Real>(&self) -> Box<dyn Function<F> + '_>;
    /// Directions along which the function must be constant: the block and row that give the direction its name, and the
    /// row's own numbers as direction.
    fn radial(&self) -> Vec<(usize, usize)> {
        Vec::new()
    }
    /// Where there is one output and a way to it that does not evaluate anew what a parameter leaves as it is: the slope
    /// along every parameter by differences, in tables of the shape of the parameters, and the values at the point that it
    /// started from.
    fn slopes(&self) -> Option<(Vec<Table<Estimate>>, Vec<Estimate>)> {
        None
    }
}

/// A differentiable function on numbers of one type.
pub trait Function<F: Real> {
    /// y: `[m]`.
    fn value(&self, tables: &[Table<F>]) -> Vec<F>;
    /// Jᵀ·upstream, in tables of the shape of the parameters, where `upstream`: `[m]`.
    fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>>;
}

/// A loss with its closed-form gradients, as something to check.
pub trait Evaluate {
    /// The loss and its gradients; shapes as in [`Loss::evaluate`].
    fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F>;
    /// The loss alone.
    fn value<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> F {
        self.evaluate(users, items, batch).loss
    }
    /// The loss as InfoNCE of similarities without an epsilon, where it is that.
    fn softmax(&self) -> Option<Softmax<'_>> {
        None
    }
}

impl<O: ObjectiveFunction> Evaluate for Loss<O> {
    fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F> {
        Loss::evaluate(self, users, items, batch)
    }
    fn value<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> F {
        Loss::value(self, users, items, batch)
    }
    fn softmax(&self) -> Option<Softmax<'_>> {
        let objective = self.objective.info_nce().filter(|_| self.epsilon == 0.0)?;
        Some(Softmax { objective, similarity: self.similarity, mask_duplicates: self.mask_duplicates })
    }
}

/// The tables of both towers, the item tower's first.
fn tables(model: &Materialised) -> Vec<Table<f64>> {
    Side::ALL.into_iter().flat_map(|side| model.tower(side).tables.clone()).collect()
}

fn block(model: &Materialised, place: usize) -> String {
    let names = Side::ALL.into_iter().flat_map(|side| {
        let blocks = &model.tower(side).blocks;
        blocks.iter().map(move |block| format!("{side} {}", block.name))
    });
    names.into_iter().nth(place).unwrap_or_else(|| format!("block {place}"))
}

/// A tower's encoder over the tables of both towers.
fn build<F: Real>(architecture: &impl Architecture, model: &Materialised, side: Side) -> Box<dyn Encoder<F>> {
    let constants = model.tower(side).constants.map(|&x| F::from_f64(x));
    architecture.build(model.place(side), constants)
}

fn zeros<F: Real>(tables: &[Table<F>]) -> Vec<Gradient<F>> {
    tables.iter().map(|table| Gradient::zeros(table.rows(), table.width())).collect()
}

fn collected<F: Real>(gradients: &[Gradient<F>], tables: &[Table<F>]) -> Vec<Table<F>> {
    let full = |(gradient, table): (&Gradient<F>, &Table<F>)| {
        let rows = 0..table.rows();
        Table::from_values(table.width(), rows.flat_map(|row| gradient.row(row).to_vec()).collect())
    };
    gradients.iter().zip(tables).map(full).collect()
}

/// The embedding of one row as a function of the parameters: y = q, `[d]`.
pub struct RowOf<'a, A> {
    /// Where the values of the parameters and constants come from.
    pub model: &'a Materialised,
    /// The tower.
    pub side: Side,
    /// The tower's encoder; that of the scenario, or another one with the same blocks.
    pub architecture: &'a A,
    /// The row.
    pub row: usize,
}

impl<A: Architecture> Differentiable for RowOf<'_, A> {
    fn tables(&self) -> Vec<Table<f64>> {
        tables(self.model)
    }
    fn block(&self, place: usize) -> String {
        block(self.model, place)
    }
    fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
        Box::new(Row { encoder: build::<F>(self.architecture, self.model, self.side), row: self.row })
    }
}

struct Row<F> {
    encoder: Box<dyn Encoder<F>>,
    row: usize,
}

impl<F: Real> Function<F> for Row<F> {
    fn value(&self, tables: &[Table<F>]) -> Vec<F> {
        self.encoder.encode(tables, self.row)
    }
    fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>> {
        let mut gradients = zeros(tables);
        self.encoder.backward(tables, self.row, upstream, &mut gradients);
        collected(&gradients, tables)
    }
}

/// A loss as a function of the embeddings in its slots: two tables, `item embedding` `[C, d]` and `user embedding` `[B, d]`.
pub struct LossOfEmbeddings<'a, L> {
    /// The loss.
    pub loss: &'a L,
    /// The item slots.
    pub items: Table<f64>,
    /// The user slots.
    pub users: Table<f64>,
    /// Who is paired with what.
    pub batch: &'a Batch,
    /// Whether the loss must be constant along every embedding.
    pub scale_invariant: bool,
}

impl<'a, L: Evaluate> LossOfEmbeddings<'a, L> {
    /// The loss at the embeddings of a model.
    pub fn of(
        model: &Materialised,
        batch: &'a Batch,
        [item, user]: [&impl Architecture; 2],
        loss: &'a L,
        scale_invariant: bool,
    ) -> Self {
        let tables = tables(model);
        let embed = |encoder: Box<dyn Encoder<f64>>, slots: &[usize]| {
            let values = slots.iter().flat_map(|&row| encoder.encode(&tables, row)).collect();
            Table::from_values(model.scenario.dim, values)
        };
        let items = embed(build(item, model, Side::Item), &batch.item_slots());
        let users = embed(build(user, model, Side::User), &batch.users);
        LossOfEmbeddings { loss, items, users, batch, scale_invariant }
    }
}

impl<L: Evaluate> Differentiable for LossOfEmbeddings<'_, L> {
    fn tables(&self) -> Vec<Table<f64>> {
        vec![self.items.clone(), self.users.clone()]
    }
    fn block(&self, place: usize) -> String {
        ["item embedding", "user embedding"][place].into()
    }
    fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
        Box::new(Slots { loss: self.loss, batch: self.batch })
    }
    fn radial(&self) -> Vec<(usize, usize)> {
        let rows = |place: usize, table: &Table<f64>| (0..table.rows()).map(|row| (place, row)).collect::<Vec<_>>();
        match self.scale_invariant {
            true => [rows(0, &self.items), rows(1, &self.users)].concat(),
            false => Vec::new(),
        }
    }
}

struct Slots<'a, L> {
    loss: &'a L,
    batch: &'a Batch,
}

impl<F: Real, L: Evaluate> Function<F> for Slots<'_, L> {
    fn value(&self, tables: &[Table<F>]) -> Vec<F> {
        vec![self.loss.value(&tables[1], &tables[0], self.batch)]
    }
    fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>> {
        let evaluation = self.loss.evaluate(&tables[1], &tables[0], self.batch);
        [evaluation.items, evaluation.users]
            .map(|table| table.map(|g| g.clone() * upstream[0].clone()))
            .into()
    }
}

/// A loss as a function of all parameters of two towers: y = L, `[1]`.
pub struct LossOfParameters<'a, I, U, L> {
    /// Where the values of the parameters and constants come from.
    pub model: &'a Materialised,
    /// Who is paired with what.
    pub batch: &'a Batch,
    /// The item tower's encoder; that of the scenario, or another one with the same blocks.
    pub item: &'a I,
    /// The user tower's encoder.
    pub user: &'a U,
    /// The loss.
    pub loss: &'a L,
}

impl<I: Architecture, U: Architecture, L: Evaluate> Differentiable for LossOfParameters<'_, I, U, L> {
    fn tables(&self) -> Vec<Table<f64>> {
        tables(self.model)
    }
    fn block(&self, place: usize) -> String {
        block(self.model, place)
    }
    fn on<F: Real>(&self) -> Box<dyn Function<F> + '_> {
        Box::new(Towers {
            item: build::<F>(self.item, self.model, Side::Item),
            user: build::<F>(self.user, self.model, Side::User),
            slots: self.batch.item_slots(),
            loss: self.loss,
            batch: self.batch,
        })
    }
    fn slopes(&self) -> Option<(Vec<Table<Estimate>>, Vec<Estimate>)> {
        let softmax = self.loss.softmax()?;
        let tower = |side: Side, chain: Chain, slots: &[usize]| coordinates::Side {
            chain,
            place: self.model.place(side),
            constants: &self.model.tower(side).constants.rows,
            slots: slots.to_vec(),
        };
        let item = tower(Side::Item, self.item.chain()?, &self.batch.item_slots());
        let user = tower(Side::User, self.user.chain()?, &self.batch.users);
        Some(coordinates::slopes(&self.tables(), [item, user], softmax, self.batch))
    }
}

struct Towers<'a, F, L> {
    item: Box<dyn Encoder<F>>,
    user: Box<dyn Encoder<F>>,
    slots: Vec<usize>,
    loss: &'a L,
    batch: &'a Batch,
}

impl<F: Real, L: Evaluate> Towers<'_, F, L> {
    /// The embeddings of the batch: users and items.
    fn embeddings(&self, tables: &[Table<F>]) -> [Table<F>; 2] {
        let embed = |encoder: &dyn Encoder<F>, slots: &[usize]| {
            let rows: Vec<Vec<F>> = slots.iter().map(|&row| encoder.encode(tables, row)).collect();
            Table::from_values(rows[0].len(), rows.concat())
        };
        [embed(self.user.as_ref(), &self.batch.users), embed(self.item.as_ref(), &self.slots)]
    }
}

impl<F: Real, L: Evaluate> Function<F> for Towers<'_, F, L> {
    fn value(&self, tables: &[Table<F>]) -> Vec<F> {
        let [users, items] = self.embeddings(tables);
        vec![self.loss.value(&users, &items, self.batch)]
    }
    fn product(&self, tables: &[Table<F>], upstream: &[F]) -> Vec<Table<F>> {
        let [users, items] = self.embeddings(tables);
        let evaluation = self.loss.evaluate(&users, &items, self.batch);
        let mut gradients = zeros(tables);
        let towers = [(&self.item, &self.slots, &evaluation.items), (&self.user, &self.batch.users, &evaluation.users)];
        for (encoder, slots, slot_gradients) in towers {
            for (slot, &row) in slots.iter().enumerate() {
                let mut g = vec![F::zero(); slot_gradients.width()];
                add_scaled(&mut g, upstream[0].clone(), slot_gradients.row(slot));
                encoder.backward(tables, row, &g, &mut gradients);
            }
        }
        collected(&gradients, tables)
    }
}
