//! Mistakes that training code makes. Each is a program of its own, on any number type: run on bounds it says what a trainer with
//! that mistake would have given, so that a mismatch can be named; run on f64 it makes the vectors that must fail.

use serde::{Deserialize, Serialize};

use crate::geometry::{Table, add_scaled, dot, norm, norm_squared};
use crate::loss::{Derivative, EpsilonOn, Objective, Slot};
use crate::number::Real;
use crate::optimizer::Optimizer;
use crate::reference::{PARAMETERS, Session, StepOutcome, TowerOutcome};
use crate::sampler::Batch;
use crate::scenario::{Materialised, Scenario};
use crate::trajectory::{Side, Similarity};

/// A class of failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The step goes up the gradient.
    Sign,
    /// Similarities are not divided by the temperature.
    MissingTemperature,
    /// The gradients of a row that was looked up several times are averaged, not summed.
    MeanForSum,
    /// Embeddings are divided by ‖q‖ + 0.01.
    Epsilon,
    /// Of several gradients of a row only the last is applied.
    LastWriteWins,
    /// An optimizer with momentum applies the step before.
    MomentumLate,
    /// Rows that were not looked up decay (once more), by the declared rate or by 0.01.
    DecayUntouched,
    /// The norm is a constant to differentiation.
    DetachedNorm,
    /// Columns are normalised, not rows.
    WrongAxis,
    /// Nothing moves.
    NoStep,
    /// Stored values come back, whatever was asked. Only a changed question shows it: no program here, no vector.
    Echo,
}

/// The size of the faults that have one: a decay, an epsilon.
const SIZE: f64 = 0.01;

impl Fault {
    /// Those that are programs.
    pub const PROGRAMS: [Fault; 10] = [
        Fault::Sign,
        Fault::MissingTemperature,
        Fault::MeanForSum,
        Fault::Epsilon,
        Fault::LastWriteWins,
        Fault::MomentumLate,
        Fault::DecayUntouched,
        Fault::DetachedNorm,
        Fault::WrongAxis,
        Fault::NoStep,
    ];

    /// The name in files and reports.
    pub const fn class(self) -> &'static str {
        match self {
            Fault::Sign => "sign",
            Fault::MissingTemperature => "missing-temperature",
            Fault::MeanForSum => "mean-for-sum",
            Fault::Epsilon => "epsilon",
            Fault::LastWriteWins => "last-write-wins",
            Fault::MomentumLate => "momentum-late",
            Fault::DecayUntouched => "decay-untouched",
            Fault::DetachedNorm => "detached-norm",
            Fault::WrongAxis => "wrong-axis",
            Fault::NoStep => "no-step",
            Fault::Echo => "echo",
        }
    }

    /// What the code does.
    pub const fn describe(self) -> &'static str {
        match self {
            Fault::Sign => "the step goes up the gradient",
            Fault::MissingTemperature => "the similarities are not divided by the temperature",
            Fault::MeanForSum => "gradients of a row that was looked up several times are averaged, not summed",
            Fault::Epsilon => "embeddings are divided by ‖q‖ + 0.01",
            Fault::LastWriteWins => "of several gradients of a row only the last is applied",
            Fault::MomentumLate => "an optimizer with momentum applies the step before",
            Fault::DecayUntouched => "rows that were not looked up decay, or decay twice",
            Fault::DetachedNorm => "the norm is a constant to differentiation",
            Fault::WrongAxis => "columns are normalised, not rows",
            Fault::NoStep => "nothing moves",
            Fault::Echo => "stored values came back although the question was another",
        }
    }

    /// The scenario that is trained in place of the one that was asked for.
    fn change(self, scenario: &mut Scenario) {
        match self {
            Fault::MissingTemperature => match &mut scenario.loss.objective {
                Objective::InfoNce(loss) => loss.temperature = 1.0,
                Objective::FullSoftmax(loss) => loss.temperature = 1.0,
                Objective::Bpr(loss) => loss.temperature = 1.0,
                _ => {}
            },
            Fault::Epsilon if scenario.loss.similarity == Similarity::Cosine => {
                (scenario.loss.epsilon, scenario.loss.epsilon_on) = (SIZE, EpsilonOn::Add);
            }
            _ => {}
        }
    }
}

/// A training run with a fault, or without any.
pub(super) struct Mistakes<F> {
    fault: Option<Fault>,
    pub values: Materialised,
    /// The steps that are late, table after table.
    late: Vec<Vec<F>>,
}

/// What comes out of the loss.
pub(super) struct Evaluated<F> {
    pub outcome: StepOutcome<F>,
    pub derivatives: Vec<Derivative<F>>,
}

impl<F: Real> Mistakes<F> {
    pub fn new(fault: Option<Fault>, values: &Materialised) -> Self {
        let mut values = values.clone();
        if let Some(fault) = fault {
            fault.change(&mut values.scenario);
        }
        Mistakes { fault, values, late: Vec::new() }
    }

    /// The scenario that is trained.
    pub fn scenario(&self) -> Scenario {
        self.values.scenario.clone()
    }

    /// Loss, gradients and similarities.
    pub fn evaluate(&self, session: &Session<F>, batch: &Batch) -> Evaluated<F> {
        let loss = &self.values.scenario.loss;
        let users = session.slot_embeddings(Side::User, &batch.users);
        let items = session.slot_embeddings(Side::Item, &batch.item_slots());
        let cosine = loss.similarity == Similarity::Cosine;
        let mut derivatives = loss.derivatives(&users, &items, batch);
        let mut outcome = session.evaluate(batch);
        let mut replace = |loss: Option<F>, user: Table<F>, item: Table<F>| {
            let (user_slots, item_slots) = (outcome.user.slots.clone(), outcome.item.slots.clone());
            outcome = StepOutcome {
                loss: loss.unwrap_or_else(|| outcome.loss.clone()),
                user: TowerOutcome::new(user_slots, user, Vec::new()),
                item: TowerOutcome::new(item_slots, item, Vec::new()),
            };
        };
        match self.fault {
            Some(Fault::DetachedNorm) if cosine => {
                let [user, item] = detached(&derivatives, &users, &items);
                replace(None, user, item);
            }
            Some(Fault::WrongAxis) if cosine => {
                let mut dot = loss.clone();
                (dot.similarity, dot.epsilon) = (Similarity::Dot, 0.0);
                let (u, q) = (Columns::normalise(&users), Columns::normalise(&items));
                let evaluation = dot.evaluate(&u.rows, &q.rows, batch);
                derivatives = dot.derivatives(&u.rows, &q.rows, batch);
                replace(Some(evaluation.loss), u.backward(&evaluation.users), q.backward(&evaluation.items));
            }
            Some(Fault::MeanForSum) => {
                for tower in [&mut outcome.user, &mut outcome.item] {
                    for (row, gradient) in &mut tower.rows {
                        let count = tower.slots.iter().filter(|slot| *slot == row).count();
                        let count = F::ratio(count as i64, 1);
                        gradient.iter_mut().for_each(|g| *g = g.clone() / count.clone());
                    }
                }
            }
            _ => {}
        }
        Evaluated { outcome, derivatives }
    }

    /// Moves the parameters.
    pub fn apply(&mut self, session: &mut Session<F>, outcome: &StepOutcome<F>, batch: &Batch) {
        let (time, before) = (session.time(), parameters(session));
        match self.fault {
            Some(Fault::LastWriteWins) => {
                session.apply(&each_row(outcome, |tower, row, gradient| {
                    match tower.slots.iter().rposition(|slot| slot == row) {
                        Some(slot) => tower.slot_gradients.row(slot).to_vec(),
                        None => gradient.to_vec(),
                    }
                }));
            }
            Some(Fault::Sign) => {
                session.apply(&each_row(outcome, |_, _, gradient| gradient.iter().map(|g| -g.clone()).collect()));
            }
            _ => session.apply(outcome),
        }
        let mut table = 0;
        let late = &mut self.late;
        let (fault, values) = (self.fault, &self.values);
        session.state(|side, index, name, numbers| {
            if name != PARAMETERS {
                return;
            }
            let (before, tower) = (&before[table], values.scenario.tower(side));
            match fault {
                Some(Fault::NoStep) => numbers.clone_from_slice(before),
                Some(Fault::MomentumLate) if is_momentum(&tower.optimizer) => {
                    late.resize_with(table + 1, Vec::new);
                    let due = std::mem::replace(
                        &mut late[table],
                        numbers.iter().zip(before).map(|(new, old)| new.clone() - old.clone()).collect(),
                    );
                    numbers.clone_from_slice(before);
                    add_scaled(numbers, F::one(), &due);
                }
                Some(Fault::DecayUntouched) if values.tower(side).blocks[index].private => {
                    let slots = match side {
                        Side::User => batch.users.clone(),
                        Side::Item => batch.item_slots(),
                    };
                    let rate = F::from_f64(tower.optimizer.schedule().at(time));
                    let decay = tower.optimizer.decay().map_or(SIZE, |decay| decay.rate);
                    let kept = F::one() - rate * F::from_f64(decay);
                    let width = values.tower(side).blocks[index].width;
                    for (row, numbers) in numbers.chunks_exact_mut(width).enumerate() {
                        if !slots.contains(&row) {
                            numbers.iter_mut().for_each(|x| *x = x.clone() * kept.clone());
                        }
                    }
                }
                _ => {}
            }
            table += 1;
        });
    }

    /// The gradients of the parameters as a recording shows them: before the mistake of the step.
    pub fn recorded(&self, mut gradients: Vec<Table<F>>) -> Vec<Table<F>> {
        if self.fault == Some(Fault::Sign) {
            for gradient in &mut gradients {
                gradient.values_mut().iter_mut().for_each(|g| *g = -g.clone());
            }
        }
        gradients
    }
}

fn is_momentum(optimizer: &Optimizer) -> bool {
    matches!(optimizer, Optimizer::HeavyBall(_) | Optimizer::Nesterov(_))
}

fn parameters<F: Real>(session: &mut Session<F>) -> Vec<Vec<F>> {
    let mut all = Vec::new();
    session.state(|_, _, name, numbers| {
        if name == PARAMETERS {
            all.push(numbers.to_vec());
        }
    });
    all
}

/// The same step with other gradients of the rows.
fn each_row<F: Real>(
    outcome: &StepOutcome<F>,
    change: impl Fn(&TowerOutcome<F>, &usize, &[F]) -> Vec<F>,
) -> StepOutcome<F> {
    let of = |tower: &TowerOutcome<F>| {
        let rows = tower.rows.iter().map(|(row, gradient)| (*row, change(tower, row, gradient))).collect();
        TowerOutcome { rows, ..tower.clone() }
    };
    StepOutcome { loss: outcome.loss.clone(), item: of(&outcome.item), user: of(&outcome.user) }
}

/// Σ κ·û/‖q‖ for every slot: user slots, item slots.
fn detached<F: Real>(derivatives: &[Derivative<F>], users: &Table<F>, items: &Table<F>) -> [Table<F>; 2] {
    let mut gradients = [users, items].map(|table| Table::filled(table.rows(), table.width(), F::zero()));
    let place = |slot: Slot| match slot {
        Slot::User(row) => (0, row),
        Slot::Item(row) => (1, row),
    };
    let row = |slot: Slot| match slot {
        Slot::User(row) => users.row(row),
        Slot::Item(row) => items.row(row),
    };
    for derivative in derivatives {
        for (own, other) in [(derivative.one, derivative.other), (derivative.other, derivative.one)] {
            let ((table, index), other) = (place(own), row(other));
            let share = derivative.coefficient.clone() / (norm(row(own)) * norm(other));
            add_scaled(gradients[table].row_mut(index), share, other);
        }
    }
    gradients
}

/// A table whose columns were divided by their lengths.
struct Columns<F> {
    rows: Table<F>,
    lengths: Vec<F>,
}

fn column<F: Real>(table: &Table<F>, k: usize) -> Vec<F> {
    (0..table.rows()).map(|row| table.row(row)[k].clone()).collect()
}

impl<F: Real> Columns<F> {
    fn normalise(table: &Table<F>) -> Self {
        let lengths: Vec<F> = (0..table.width()).map(|k| norm_squared(&column(table, k)).sqrt()).collect();
        let mut rows = table.clone();
        for row in 0..rows.rows() {
            rows.row_mut(row).iter_mut().zip(&lengths).for_each(|(x, length)| *x = x.clone() / length.clone());
        }
        Columns { rows, lengths }
    }

    fn backward(&self, upstream: &Table<F>) -> Table<F> {
        let mut gradient = upstream.clone();
        for (k, length) in self.lengths.iter().enumerate() {
            let radial = dot(&column(upstream, k), &column(&self.rows, k));
            for row in 0..gradient.rows() {
                let g = &mut gradient.row_mut(row)[k];
                *g = (g.clone() - radial.clone() * self.rows.row(row)[k].clone()) / length.clone();
            }
        }
        gradient
    }
}
