//! Optimizers: how one row of parameters moves, given its gradient.
//!
//! Every optimizer is a [`Rule`] for a single row, generic over the number type. The reference trainer runs the rule on
//! `f64` or `f32`; the auditor replays a recorded run with the *same* rule on [`Running`](crate::number::Running) numbers,
//! which carry the rounding bound that the replay is judged by.
//!
//! | file | step | one scalar a row? |
//! |---|---|---|
//! | [`sgd`] | −η g | yes |
//! | [`heavy_ball`] | −η p, p ← βp + (1−δ)g | no: remembers |
//! | [`nesterov`] | −η(g + βp) | no: remembers |
//! | [`adam`] | −η m̂/(√v̂ + ε) | no: coordinate-wise |
//! | [`adagrad`] | −η g/(√G + ε) | no: coordinate-wise |
//! | [`rowwise_adagrad`] | −η g/(√G + ε), one G a row | yes |
//!
//! [`decay`] adds weight decay to any of them, [`schedule`] a learning rate that changes.

pub mod adagrad;
pub mod adam;
pub mod decay;
mod declared;
pub mod heavy_ball;
pub mod nesterov;
mod own;
pub mod rowwise_adagrad;
pub mod schedule;
pub mod sgd;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::encoder::Gradient;
use crate::geometry::Table;
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

pub use decay::Decay;
pub use own::Own;
pub use schedule::Schedule;

/// Which optimizer a tower uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Optimizer {
    /// Plain stochastic gradient descent.
    Sgd(sgd::Sgd),
    /// Heavy-ball momentum.
    HeavyBall(heavy_ball::HeavyBall),
    /// Nesterov momentum.
    Nesterov(nesterov::Nesterov),
    /// Adam.
    Adam(adam::Adam),
    /// Element-wise AdaGrad.
    Adagrad(adagrad::Adagrad),
    /// AdaGrad with one accumulator a row.
    RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad),
    /// One that is not the crate's.
    Own(own::Own),
}

macro_rules! each {
    ($self:expr, $optimizer:ident => $body:expr) => {
        match $self {
            Optimizer::Sgd($optimizer) => $body,
            Optimizer::HeavyBall($optimizer) => $body,
            Optimizer::Nesterov($optimizer) => $body,
            Optimizer::Adam($optimizer) => $body,
            Optimizer::Adagrad($optimizer) => $body,
            Optimizer::RowwiseAdagrad($optimizer) => $body,
            Optimizer::Own($optimizer) => $body,
        }
    };
}

/// How one row of parameters moves. The state of all rows lives in the rule.
pub trait Rule<F: Real>: Send {
    /// Moves the parameters of a row by one step.
    ///
    /// `time` counts the steps of the run from 0, `rate` is η_t, `parameters` and `gradient` are `[width]`.
    fn apply(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]);
}

/// What an optimizer is, apart from its state.
pub trait Method {
    /// The rule, with zero state for `rows` × `width` parameters; `number` makes a number of a setting.
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>>;
    /// The settings as a trajectory header declares them, decay and rate aside.
    fn declare(&self, declared: &mut DeclaredOptimizer);
    /// The status of the conditions on update rules, decay aside.
    fn status(&self, condition: Condition) -> Status;
}

impl Optimizer {
    /// η over time.
    pub fn schedule(&self) -> &Schedule {
        each!(self, optimizer => &optimizer.lr)
    }
    /// η over time, to change.
    pub fn schedule_mut(&mut self) -> &mut Schedule {
        each!(self, optimizer => &mut optimizer.lr)
    }
    /// Weight decay, if any.
    pub fn decay(&self) -> Option<&Decay> {
        each!(self, optimizer => optimizer.decay.as_ref())
    }
    /// Weight decay, to change.
    pub fn decay_mut(&mut self) -> &mut Option<Decay> {
        each!(self, optimizer => &mut optimizer.decay)
    }
    /// Whether rows that were not looked up are visited.
    pub fn rows(&self) -> Rows {
        each!(self, optimizer => optimizer.rows)
    }
    /// Whether rows that were not looked up are visited, to change.
    pub fn rows_mut(&mut self) -> &mut Rows {
        each!(self, optimizer => &mut optimizer.rows)
    }
    /// Starts with zero state for `rows` × `width` parameters. `number` makes a number of a setting: exactly
    /// ([`Real::from_f64`]), or with the uncertainty that a rounded or measured setting has.
    pub fn start<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Stepper<F> {
        Stepper {
            rule: each!(self, optimizer => optimizer.rule(rows, width, number)),
            decay: self.decay().filter(|decay| decay.rate != 0.0).map(|decay| (number(decay.rate), decay.form)),
            rows: self.rows(),
            moves_without_gradient: self.moves_without_gradient(),
        }
    }

    /// The settings as a trajectory header declares them.
    pub fn declare(&self) -> DeclaredOptimizer {
        let mut declared = DeclaredOptimizer { sparse: Some(self.rows()), ..DeclaredOptimizer::default() };
        if let Schedule::Constant(rate) = self.schedule() {
            declared.lr = Some(*rate);
        }
        declared.weight_decay = Some(self.decay().map_or(0.0, |decay| decay.rate));
        if let Some(decay) = self.decay() {
            declared.decoupled = Some(decay.form == decay::Form::Decoupled);
        }
        each!(self, optimizer => optimizer.declare(&mut declared));
        declared
    }

    /// The status of the conditions on update rules.
    pub fn status(&self, condition: Condition) -> Status {
        let decay = match self.decay().filter(|decay| decay.rate != 0.0) {
            None => Status::Met("no weight decay".into()),
            Some(decay) => Status::Unmet(format!("weight decay {}", heavy_ball::shown(decay.rate))),
        };
        let method = each!(self, optimizer => optimizer.status(condition));
        match (condition, method) {
            (Condition::NoDecay, _) => decay,
            (Condition::ScalarStep, Status::Met(why)) => match decay {
                Status::Met(_) => Status::Met(why),
                other => other,
            },
            (_, status) => status,
        }
    }

    /// Whether a step depends on earlier ones.
    pub fn has_memory(&self) -> bool {
        !matches!(self, Optimizer::Sgd(_))
    }

    fn moves_without_gradient(&self) -> bool {
        let memoryless = matches!(self, Optimizer::Sgd(_) | Optimizer::Adagrad(_) | Optimizer::RowwiseAdagrad(_));
        !memoryless || self.decay().is_some_and(|decay| decay.rate != 0.0)
    }
}

/// An optimizer at work on one table: its rule with the state of every row, and weight decay.
pub struct Stepper<F> {
    rule: Box<dyn Rule<F>>,
    decay: Option<(F, decay::Form)>,
    rows: Rows,
    moves_without_gradient: bool,
}

impl<F: Real> Stepper<F> {
    /// Whether a step visits a row: always if dense, only where a gradient arrived if lazy.
    pub fn visits(&self, touched: bool) -> bool {
        touched || (self.rows == Rows::Dense && self.moves_without_gradient)
    }

    /// Whether a row without a gradient moves, or its state does, if and only if it was looked up.
    pub fn asks_for_lookups(&self) -> bool {
        self.rows == Rows::Lazy && self.moves_without_gradient
    }

    /// Moves one visited row, decay included.
    pub fn move_row(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        match &self.decay {
            None => self.rule.apply(row, time, rate, parameters, gradient),
            Some((lambda, form)) => {
                let gradient = form.apply(lambda, rate, parameters, gradient);
                self.rule.apply(row, time, rate, parameters, &gradient);
            }
        }
    }

    /// One step on a whole table: every row if dense, the touched rows if lazy.
    pub fn step(&mut self, time: u64, rate: &F, table: &mut Table<F>, gradient: &Gradient<F>) {
        if self.visits(false) {
            for row in 0..table.rows() {
                self.move_row(row, time, rate, table.row_mut(row), gradient.row(row));
            }
        } else {
            for &row in gradient.touched() {
                self.move_row(row, time, rate, table.row_mut(row), gradient.row(row));
            }
        }
    }
}

fn dense() -> Rows {
    Rows::Dense
}

/// The state vectors of all rows of one table.
struct State<F> {
    width: usize,
    values: Vec<F>,
}

impl<F: Real> State<F> {
    fn zeros(rows: usize, width: usize) -> Self {
        State { width, values: vec![F::zero(); rows * width] }
    }
    fn row(&mut self, row: usize) -> &mut [F] {
        &mut self.values[row * self.width..(row + 1) * self.width]
    }
}
