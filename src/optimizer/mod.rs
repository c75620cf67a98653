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
//! | [`rmsprop`] | −η g/(√v + ε) | no: coordinate-wise |
//! | [`amsgrad`] | −η m̂/(√V̂ + ε), V the largest v | no: coordinate-wise |
//! | [`rowwise_adam`] | −η m̂/(√v̂ + ε), one v a row | no: remembers |
//! | [`lion`] | −η sign(β₁m + (1−β₁)g) | no: coordinate-wise |
//! | [`sign_sgd`] | −η sign(g) | no: coordinate-wise |
//! | [`lars`] | −p, p ← βp + ηr g, r = c‖q‖/‖g‖ | yes if β = 0 |
//! | [`lamb`] | −η(‖q‖/‖r‖)r, r = m̂/(√v̂ + ε) + λq | no: coordinate-wise |
//! | [`sgdp`] | −η(p − n⟨n,p⟩), n = q/(‖q‖ + ε) | no: projects |
//! | [`adamp`] | −η(r − n⟨n,r⟩), r = m̂/(√v̂ + ε) | no: coordinate-wise |
//! | [`riemannian_sgd`] | a tangent step, then back to ‖q‖ = r₀ | no: retracts |
//!
//! AdamW is [`adam`] with decoupled decay, the moving-average form of momentum [`heavy_ball`] with dampening β, lazy (sparse)
//! Adam [`adam`] with lazy rows. [`decay`] adds weight decay to any of them, [`schedule`] a learning rate that changes, [`update`]
//! what happens around the rule: clipping, accumulation, delay, constraints on the norm, narrow storage.

pub mod adagrad;
pub mod adam;
pub mod adamp;
pub mod amsgrad;
pub mod constraint;
pub mod decay;
mod declared;
pub mod heavy_ball;
pub mod lamb;
pub mod lars;
pub mod lion;
pub mod nesterov;
mod own;
pub mod projection;
pub mod riemannian_sgd;
pub mod rmsprop;
pub mod rowwise_adagrad;
pub mod rowwise_adam;
pub mod schedule;
pub mod sgd;
pub mod sgdp;
pub mod sign_sgd;
pub mod update;

use serde::{Deserialize, Serialize};

use constraint::{Constraint, Keeper};
use update::Clip;

use crate::condition::Condition;
use crate::encoder::Gradient;
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

pub use decay::Decay;
pub use own::Own;
pub use schedule::Schedule;
pub use update::Update;

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
    /// RMSprop.
    Rmsprop(rmsprop::Rmsprop),
    /// AMSGrad.
    Amsgrad(amsgrad::Amsgrad),
    /// Adam with one second moment a row.
    RowwiseAdam(rowwise_adam::RowwiseAdam),
    /// Lion.
    Lion(lion::Lion),
    /// signSGD.
    SignSgd(sign_sgd::SignSgd),
    /// LARS with a trust ratio a row.
    Lars(lars::Lars),
    /// LAMB with a trust ratio a row.
    Lamb(lamb::Lamb),
    /// SGD with the tangent projection.
    Sgdp(sgdp::Sgdp),
    /// Adam with the tangent projection.
    Adamp(adamp::Adamp),
    /// SGD on the sphere of the initial norm.
    RiemannianSgd(riemannian_sgd::RiemannianSgd),
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
            Optimizer::Rmsprop($optimizer) => $body,
            Optimizer::Amsgrad($optimizer) => $body,
            Optimizer::RowwiseAdam($optimizer) => $body,
            Optimizer::Lion($optimizer) => $body,
            Optimizer::SignSgd($optimizer) => $body,
            Optimizer::Lars($optimizer) => $body,
            Optimizer::Lamb($optimizer) => $body,
            Optimizer::Sgdp($optimizer) => $body,
            Optimizer::Adamp($optimizer) => $body,
            Optimizer::RiemannianSgd($optimizer) => $body,
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
    /// Sees the whole table before the `visited` rows are moved one by one; only rules that decide for a table need to.
    fn prepare(&mut self, _time: u64, _visited: &[usize], _table: &Table<F>, _gradient: &Gradient<F>) {}
    /// Shows all that it remembers from step to step, to be read or set: a name, and the numbers of all rows. Nothing by default.
    fn memory(&mut self, _see: Memory<F>) {}
}

/// What is shown a memory: its name, and its numbers, row after row.
pub type Memory<'a, F> = &'a mut dyn FnMut(&'static str, &mut [F]);

/// A rule that moves a row along a direction which does not depend on where the row is.
trait Direction<F: Real>: Send {
    /// Takes the gradient in and returns the direction Δ of q ← q − η·Δ: `[width]`.
    fn direction(&mut self, row: usize, time: u64, gradient: &[F]) -> Vec<F>;
    /// As [`Rule::memory`].
    fn memory(&mut self, _see: Memory<F>) {}
}

/// q ← q − η·Δ.
struct Step<D>(D);

impl<F: Real, D: Direction<F>> Rule<F> for Step<D> {
    fn apply(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        add_scaled(parameters, -rate.clone(), &self.0.direction(row, time, gradient));
    }
    fn memory(&mut self, see: Memory<F>) {
        self.0.memory(see);
    }
}

/// What an optimizer is, apart from its state.
pub trait Method {
    /// The rule, with zero state for `rows` × `width` parameters; `number` makes a number of a setting.
    fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>>;
    /// Whether decay is a part of the rule itself, with a place of its own in it.
    fn decays_itself(&self) -> bool {
        false
    }
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
        let decay = self.decay().filter(|_| !each!(self, optimizer => optimizer.decays_itself()));
        let stepper = Stepper {
            rule: each!(self, optimizer => optimizer.rule(rows, width, number)),
            decay: Decay::numbers(decay, number),
            rows: self.rows(),
            moves_without_gradient: self.moves_without_gradient(),
            limit: None,
            keepers: Vec::new(),
        };
        match self {
            Optimizer::RiemannianSgd(_) => stepper.keeping(&Constraint::Renormalise, rows, number),
            _ => stepper,
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
            // A retraction shortens rows as a decay would.
            (Condition::NoDecay, Status::Met(_)) => decay,
            (Condition::ScalarStep, Status::Met(why)) => match decay {
                Status::Met(_) => Status::Met(why),
                other => other,
            },
            (_, status) => status,
        }
    }

    /// Whether a step depends on earlier ones.
    pub fn has_memory(&self) -> bool {
        !matches!(self, Optimizer::Sgd(_) | Optimizer::SignSgd(_))
    }

    /// Whether the rule treats a row as one vector (a norm, a mean square), so that what a row is decides the step.
    pub fn is_row_wise(&self) -> bool {
        matches!(
            self,
            Optimizer::RowwiseAdagrad(_)
                | Optimizer::RowwiseAdam(_)
                | Optimizer::Lars(_)
                | Optimizer::Lamb(_)
                | Optimizer::Sgdp(_)
                | Optimizer::Adamp(_)
                | Optimizer::RiemannianSgd(_)
        )
    }

    /// Whether a visit with a gradient of zero can change the state of a row that it leaves in its place.
    pub fn has_hidden_visits(&self) -> bool {
        match self {
            Optimizer::HeavyBall(ball) => ball.effective_dampening() != 0.0,
            Optimizer::Adam(adam) => adam.betas.0 == 0.0,
            Optimizer::Amsgrad(adam) => adam.betas.0 == 0.0,
            Optimizer::RowwiseAdam(adam) => adam.betas.0 == 0.0,
            Optimizer::Lamb(lamb) => lamb.betas.0 == 0.0,
            // A radial buffer leaves no step, and a sign of zero may hide a memory.
            Optimizer::Rmsprop(_) | Optimizer::Lion(_) | Optimizer::Sgdp(_) | Optimizer::Adamp(_) => true,
            _ => false,
        }
    }

    /// Whether a row without a gradient moves, or its state does.
    pub(crate) fn moves_without_gradient(&self) -> bool {
        let memoryless = match self {
            Optimizer::HeavyBall(ball) => ball.momentum == 0.0,
            Optimizer::Nesterov(nesterov) => nesterov.momentum == 0.0,
            other => matches!(
                other,
                Optimizer::Sgd(_)
                    | Optimizer::Adagrad(_)
                    | Optimizer::RowwiseAdagrad(_)
                    | Optimizer::SignSgd(_)
                    | Optimizer::RiemannianSgd(_)
            ),
        };
        !memoryless || self.decay().is_some_and(|decay| decay.rate != 0.0)
    }
}

/// An optimizer at work on one table: its rule with the state of every row, weight decay, and what is done to a row before
/// and after.
pub struct Stepper<F> {
    rule: Box<dyn Rule<F>>,
    decay: Option<(F, decay::Form)>,
    rows: Rows,
    moves_without_gradient: bool,
    /// What every coordinate of the gradient is clipped to.
    limit: Option<F>,
    keepers: Vec<Keeper<F>>,
}

impl<F: Real> Stepper<F> {
    /// The same with what an [`Update`] does to single rows of a table of `rows` rows: clipping by value, a constraint.
    pub fn within(mut self, update: &Update, rows: usize, number: &dyn Fn(f64) -> F) -> Self {
        if let Some(Clip::Value(limit)) = update.clip {
            self.limit = Some(number(limit));
        }
        // Where every row is visited, one that is too long before its first gradient is shortened too.
        self.moves_without_gradient |= matches!(update.constraint, Some(Constraint::MaxNorm(_)));
        match &update.constraint {
            Some(constraint) => self.keeping(constraint, rows, number),
            None => self,
        }
    }

    fn keeping(mut self, constraint: &Constraint, rows: usize, number: &dyn Fn(f64) -> F) -> Self {
        self.keepers.push(constraint.start(rows, number));
        self
    }

    /// Whether a step visits a row: always if dense, only where a gradient arrived if lazy.
    pub fn visits(&self, touched: bool) -> bool {
        touched || (self.rows == Rows::Dense && self.moves_without_gradient)
    }

    /// Moves one visited row: clipping, decay, the rule, constraints.
    pub fn move_row(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        self.keepers.iter_mut().for_each(|keeper| keeper.before(row, parameters));
        let clipped = self.limit.as_ref().map(|limit| clipped(gradient, limit));
        let gradient = clipped.as_deref().unwrap_or(gradient);
        match &self.decay {
            None => self.rule.apply(row, time, rate, parameters, gradient),
            Some((lambda, form)) => {
                let gradient = form.apply(lambda, rate, parameters, gradient);
                self.rule.apply(row, time, rate, parameters, &gradient);
            }
        }
        self.keepers.iter().for_each(|keeper| keeper.after(row, parameters));
    }

    /// Shows what the rule remembers, and the norms that constraints keep.
    pub fn memory(&mut self, see: Memory<F>) {
        self.rule.memory(see);
        self.keepers.iter_mut().for_each(|keeper| keeper.memory(see));
    }

    /// One step on a whole table: every row if dense, the touched rows if lazy.
    pub fn step(&mut self, time: u64, rate: &F, table: &mut Table<F>, gradient: &Gradient<F>) {
        let all: Vec<usize>;
        let visited = if self.visits(false) {
            all = (0..table.rows()).collect();
            &all[..]
        } else {
            gradient.touched()
        };
        self.rule.prepare(time, visited, table, gradient);
        for &row in visited {
            self.move_row(row, time, rate, table.row_mut(row), gradient.row(row));
        }
    }
}

/// Every coordinate brought into [−limit, limit].
fn clipped<F: Real>(gradient: &[F], limit: &F) -> Vec<F> {
    gradient.iter().map(|g| g.clone().min(limit.clone()).max(-limit.clone())).collect()
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
