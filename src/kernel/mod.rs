//! The training kernel: in-batch, sampled and full softmax steps on two embedding tables, fast, in f32 and f64.
//!
//! It calls nothing of the reference core and shares no arithmetic with it; the two are held against each other.
//!
//! | file | what it does |
//! |---|---|
//! | `rows` | gather rows and normalise them; bring a gradient back through the normalisation |
//! | `panel` | one set of candidates for all rows: products by panels and tiles, the logits never exist as a whole |
//! | `own` | negatives of its own for each row: a gather, and one coefficient a slot |
//! | `softmax` | loss and coefficients of a row that has been summed |
//! | `scatter` | slots to rows: sorted, added up in order, each row moved once |
//! | `rule` | the row optimizers |
//! | `dense` | networks in place of tables: one product a layer and batch |
//! | `product` | matrix products, by faer |
//! | `simd`, `element` | run-time choice of instructions; f32 and f64, and their exponential |
//! | `team` | threads with a fixed division of labour |
//! | [`roofline`] | what the machine can do at best |
//! | `mask`, `memory` | candidates that do not count; bytes needed |
//! | `session`, `trainer` | scenarios trained step by step, and recorded, by the kernel |
//!
//! # Reproducibility
//! Work is divided by the number of threads in the settings and by nothing else, every thread adds in a fixed order, and
//! partial results are added in the order of the threads. The same settings on the same processor give the same bits; another
//! number of threads, or another instruction set, gives other roundings within the bound below.
//!
//! # Accuracy
//! With u the unit roundoff, y the logits in binary orders of magnitude (|y| ≤ log₂e/τ on cosines) and C candidates, the
//! relative error of every coefficient of the gradient is, to first order, at most 2·ln 2·|Δy| + (C + 20)·u with
//! |Δy| ≤ (2d + 24)·u·log₂e/τ on cosines without log-Q; the target's coefficient too, because p − 1 is not formed by subtraction (see `softmax`). The
//! tests derive the bound in full, and hold every step against plain loops in f64.
//!
//! ```
//! use perpend::kernel::{Batch, Kernel, Negatives, Rates, Settings};
//!
//! let (users, items) = (vec![0.3_f32, -0.4, 0.8, 0.1], vec![0.5_f32, 0.5, -0.2, 0.9, 0.7, -0.1]);
//! let mut kernel = Kernel::new(2, users, items, Settings::default())?;
//! let batch = Batch { users: &[0, 1], positives: &[2, 0], negatives: Negatives::InBatch, mask: None };
//! let rates = Rates { users: 0.1, items: 0.1 };
//! let before = kernel.step(&batch, rates)?;
//! assert!(kernel.step(&batch, rates)? < before);
//! # Ok::<(), perpend::kernel::Error>(())
//! ```

mod dense;
mod element;
mod mask;
mod memory;
mod own;
mod panel;
mod product;
pub mod roofline;
mod rows;
mod rule;
mod scatter;
mod session;
mod simd;
mod softmax;
mod team;
#[cfg(test)]
mod tests;
mod trainer;

use std::fmt;

pub use crate::trajectory::{Rows, Side};
pub use element::{EXP2_ROUNDINGS, Element};
pub use mask::Mask;
pub use memory::Memory;
pub use rows::Similarity;
pub use rule::{Decay, Optimizer, Rule};
pub(crate) use session::Session;
pub use session::memory_of;
pub use softmax::Objective;
pub use trainer::KernelTrainer;

use panel::{Part, Problem, Targets};
#[cfg(test)]
use rule::Mover;
use rule::State;
use scatter::{Plan, Scatter, Source};
use softmax::Softmax;
use team::Team;

/// What a kernel trains, and on how many threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Cosine or inner product.
    pub similarity: Similarity,
    /// The loss.
    pub objective: Objective,
    /// How user rows move.
    pub users: Optimizer,
    /// How item rows move.
    pub items: Optimizer,
    /// ln Q of every item `[N]`, subtracted from its logits: the correction for sampling negatives by popularity. Empty for
    /// none.
    pub log_q: Vec<f64>,
    /// Number of threads; part of what makes results reproducible.
    pub threads: usize,
    /// How the work is cut; the default is what is fast.
    pub blocking: Option<Blocking>,
}

impl Default for Settings {
    /// InfoNCE on cosines with τ = 0.05, plain SGD, one thread.
    fn default() -> Self {
        Settings {
            similarity: Similarity::Cosine { epsilon: 0.0 },
            objective: Objective::InfoNce { temperature: 0.05 },
            users: Optimizer::SGD,
            items: Optimizer::SGD,
            log_q: Vec::new(),
            threads: 1,
            blocking: None,
        }
    }
}

/// How the matrix of logits is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocking {
    /// Rows of a panel.
    panel: usize,
    /// Columns of a tile.
    tile: usize,
    #[cfg(test)]
    plant: Option<Plant>,
}

/// A mistake that tests plant, to show that they notice it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plant {
    /// Tiles after the first have another shift.
    Shift,
    /// The last column of a tile that is not the last tile is left out.
    TileEdge,
    /// The last row of a panel that is not full gives nothing to the items.
    Tail,
    /// The last thread's part of the items' gradient is not added.
    LostThread,
    /// A row's step is applied to the row before it.
    WrongRow,
}

impl Blocking {
    /// Panels of `panel` rows (at least one), tiles of `tile` columns (at least two).
    pub fn new(panel: usize, tile: usize) -> Self {
        Blocking {
            panel: panel.max(1),
            tile: tile.max(2),
            #[cfg(test)]
            plant: None,
        }
    }

    /// Whether this mistake is to be made: outside of tests never, so that it costs nothing there.
    #[cfg(test)]
    fn plants(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn plants(&self, _: Plant) -> bool {
        false
    }
}

/// The pairs of one step.
#[derive(Debug, Clone, Copy)]
pub struct Batch<'a> {
    /// User row of each pair: `[B]`.
    pub users: &'a [u32],
    /// Positive item row of each pair: `[B]`.
    pub positives: &'a [u32],
    /// What the positive is held against.
    pub negatives: Negatives<'a>,
    /// Candidates that do not count.
    pub mask: Option<&'a Mask>,
}

/// The other candidates of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negatives<'a> {
    /// The positives of the other pairs.
    InBatch,
    /// The positives of the other pairs, and one set of items for all pairs: `[K]`.
    Mixed(&'a [u32]),
    /// One set of items for all pairs: `[K]`.
    Shared(&'a [u32]),
    /// Items of its own for each pair: `[B, M]`, row after row.
    Own(&'a [u32]),
    /// All other items of the table.
    All,
}

/// The learning rates of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// η of the user tower.
    pub users: f64,
    /// η of the item tower.
    pub items: f64,
}

/// Why a kernel could not be made, or a step not be taken. A step that fails moves nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Error {
    /// Sizes, rows or settings that do not fit together: what, what was expected, what was found.
    Input(String),
    /// A row has no direction (its norm is zero without an epsilon) or is not finite.
    Row(Side, usize),
    /// More memory is needed than there is.
    Memory {
        /// What is needed.
        needed: Memory,
        /// Bytes that can be had.
        available: u64,
    },
    /// The system refuses threads.
    Threads(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Input(what) => f.write_str(what),
            Error::Row(side, row) => {
                write!(f, "{side} {row}: the row has norm zero or is not finite")
            }
            Error::Memory { needed, available } => {
                write!(f, "training needs {needed}; {:.1} MB can be had", *available as f64 / 1e6)
            }
            Error::Threads(why) => write!(f, "threads could not be started: {why}"),
        }
    }
}

impl std::error::Error for Error {}

/// Two embedding tables in training.
pub struct Kernel<E: Element> {
    settings: Settings,
    blocking: Blocking,
    dim: usize,
    users: Vec<E>,
    items: Vec<E>,
    user_state: State<E>,
    item_state: State<E>,
    /// −log₂ Q of every item, or empty.
    bias: Vec<E>,
    team: Team,
    work: Workspace<E>,
    time: u64,
}

/// What a step works with; kept from step to step.
#[derive(Default)]
struct Workspace<E> {
    kind: Kind,
    user_slots: Vec<u32>,
    item_slots: Vec<u32>,
    user_plan: Plan,
    item_plan: Plan,
    /// Û `[B, d]`, and ∂L/∂û `[B, d]`.
    users: Vec<E>,
    upstream: Vec<E>,
    /// V̂ `[C, d]` with biases; the positives' `[B, d]` where they are not among the columns.
    columns: Vec<E>,
    column_bias: Vec<E>,
    positives: Vec<E>,
    positive_bias: Vec<E>,
    parts: Vec<Part<E>>,
    /// Coefficients of the slots that have one.
    positive_coefficients: Vec<E>,
    negative_coefficients: Vec<E>,
    bytes: u64,
}

/// How large a step is.
struct Extent {
    /// B.
    pairs: usize,
    /// C candidates of all pairs; 0 where each pair has its own.
    columns: usize,
    /// Item slots; more than columns where the positives are no columns.
    slots: usize,
    threads: usize,
    panel: usize,
}

impl Extent {
    /// Bytes that the step works with.
    fn bytes<E: Element>(&self, dim: usize) -> u64 {
        let Extent { pairs, columns, slots, .. } = *self;
        // No more threads than rows have work, and no panel larger than a thread's share.
        let threads = self.threads.clamp(1, pairs.max(1));
        let panel = self.panel.min(pairs.div_ceil(threads));
        let numbers = if columns == 0 {
            slots
        } else {
            let apart = if slots > columns { pairs * (dim + 2) } else { 0 };
            threads * Part::<E>::numbers(dim, columns, panel) + columns * (dim + 1) + apart
        };
        // A slot has its id (4 bytes) and its key (8).
        bytes::<E>(2 * pairs * dim + numbers) + 12 * (slots + pairs) as u64
    }
}

/// Where the items' gradient of the last evaluated batch is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Nothing,
    Columns,
    OwnNegatives,
    SharedNegatives,
}

impl<E: Element> Kernel<E> {
    /// Two tables of rows of `dim` numbers.
    ///
    /// # Errors
    /// Sizes that do not fit together, settings out of range, not enough memory, no threads.
    pub fn new(dim: usize, users: Vec<E>, items: Vec<E>, settings: Settings) -> Result<Self, Error> {
        let whole = |table: &[E]| dim > 0 && !table.is_empty() && table.len().is_multiple_of(dim);
        require(whole(&users) && whole(&items), || {
            let (n, m) = (users.len(), items.len());
            format!("tables: expected whole rows of {dim} numbers, at least one; found {n} and {m} numbers")
        })?;
        let (n_users, n_items) = (users.len() / dim, items.len() / dim);
        require(n_users.max(n_items) <= u32::MAX as usize, || "tables: expected fewer than 2³² rows".into())?;
        let temperature = settings.objective.temperature();
        require(temperature.is_finite() && temperature > 0.0, || {
            format!("temperature: expected a positive number, found {temperature}")
        })?;
        require(settings.log_q.is_empty() || settings.log_q.len() == n_items, || {
            format!("log_q: expected one number for each of {n_items} items, found {}", settings.log_q.len())
        })?;
        require(settings.log_q.iter().all(|x| x.is_finite()), || "log_q: expected finite numbers".into())?;
        let needed = Memory { tables: 0, ..Self::memory(dim, n_users, n_items, &settings) };
        needed.check()?;
        require(settings.threads <= MAX_THREADS, || {
            format!("threads: expected at most {MAX_THREADS}, found {}", settings.threads)
        })?;
        let blocking = settings.blocking.unwrap_or_else(|| Blocking::new(E::PANEL, TILE));
        Ok(Kernel {
            blocking,
            dim,
            user_state: State::new(&settings.users, n_users, dim),
            item_state: State::new(&settings.items, n_items, dim),
            bias: settings.log_q.iter().map(|&log_q| bias(log_q)).collect(),
            team: Team::new(settings.threads).map_err(Error::Threads)?,
            work: Workspace::default(),
            time: 0,
            users,
            items,
            settings,
        })
    }

    /// What tables of this size take, with the optimizers' state; a step's workspace comes on top
    /// ([`Kernel::workspace`]).
    pub fn memory(dim: usize, users: usize, items: usize, settings: &Settings) -> Memory {
        let state = |optimizer: &Optimizer, rows: usize| {
            let (first, second) = optimizer.widths(dim);
            bytes::<E>(rows * (first + second))
        };
        Memory {
            tables: bytes::<E>((users + items) * dim),
            state: state(&settings.users, users) + state(&settings.items, items) + bytes::<E>(settings.log_q.len()),
            workspace: 0,
        }
    }

    /// What a step on this batch works with: O(B·d + C·d·threads + threads·panel·C), and O(B·M) where each pair has its own
    /// negatives.
    pub fn workspace(&self, batch: &Batch<'_>) -> Memory {
        let (pairs, items) = (batch.users.len(), self.items.len() / self.dim);
        let (columns, slots) = match batch.negatives {
            Negatives::InBatch => (pairs, pairs),
            Negatives::Mixed(set) => (pairs + set.len(), pairs + set.len()),
            Negatives::Shared(set) => (set.len(), pairs + set.len()),
            Negatives::Own(own) => (0, pairs + own.len()),
            Negatives::All => (items, items),
        };
        let extent = Extent { pairs, columns, slots, threads: self.team.threads(), panel: self.blocking.panel };
        Memory { workspace: extent.bytes::<E>(self.dim), ..Memory::default() }
    }

    /// The table of a tower, row after row: `[N, d]`.
    pub fn table(&self, side: Side) -> &[E] {
        match side {
            Side::User => &self.users,
            Side::Item => &self.items,
        }
    }

    /// The table of a tower, to change.
    pub fn table_mut(&mut self, side: Side) -> &mut [E] {
        match side {
            Side::User => &mut self.users,
            Side::Item => &mut self.items,
        }
    }

    /// How many steps were made.
    pub fn time(&self) -> u64 {
        self.time
    }

    /// Continues as after `steps` steps: what the optimizers count.
    pub fn set_time(&mut self, steps: u64) {
        self.time = steps;
    }

    /// All that the next step starts from besides its batch and [`Kernel::time`], to be read or set: the table of each tower, and
    /// what its optimizer remembers (nothing, one table or two), each with its width. What was evaluated is forgotten.
    pub fn state(&mut self, mut see: impl FnMut(Side, &'static str, usize, &mut [E])) {
        self.work.kind = Kind::Nothing;
        for (side, table, state) in [
            (Side::Item, &mut self.items, &mut self.item_state),
            (Side::User, &mut self.users, &mut self.user_state),
        ] {
            see(side, "table", self.dim, table);
            for (name, width, values) in
                [("first", state.first_width, &mut state.first), ("second", state.second_width, &mut state.second)]
            {
                if width > 0 {
                    see(side, name, width, values);
                }
            }
        }
    }

    /// Sets ln Q of some items; the others keep theirs, which is 0 where none was ever set.
    ///
    /// # Errors
    /// Items that do not exist, numbers that are not finite, unequal lengths, and an item with two different numbers; the
    /// correction is then as before, or partly set.
    pub fn set_log_q(&mut self, items: &[u32], log_q: &[f64]) -> Result<(), Error> {
        require(items.len() == log_q.len(), || {
            format!("log_q: expected one number for each of {} items, found {}", items.len(), log_q.len())
        })?;
        let rows = self.items.len() / self.dim;
        let wrong = items.iter().find(|&&item| item as usize >= rows);
        wrong.map_or(Ok(()), |item| Err(Error::Input(format!("log_q: expected items below {rows}, found {item}"))))?;
        require(log_q.iter().all(|x| x.is_finite()), || "log_q: expected finite numbers".into())?;
        self.bias.resize(rows, E::ZERO);
        for (&item, &log_q) in items.iter().zip(log_q) {
            self.bias[item as usize] = bias(log_q);
        }
        let twice = items.iter().zip(log_q).find(|&(&item, &log_q)| self.bias[item as usize] != bias(log_q));
        twice.map_or(Ok(()), |(item, _)| {
            Err(Error::Input(format!("log_q: expected one number an item, found two of {item}")))
        })
    }

    /// One step: the loss before it.
    ///
    /// # Errors
    /// As [`Kernel::evaluate`].
    pub fn step(&mut self, batch: &Batch<'_>, rates: Rates) -> Result<f64, Error> {
        let loss = self.evaluate(batch)?;
        self.apply(rates);
        Ok(loss)
    }

    /// The loss of a batch, and all that its gradient is made of. Nothing moves.
    ///
    /// # Errors
    /// Rows out of range, sizes that do not fit together, a row without direction, not enough memory.
    pub fn evaluate(&mut self, batch: &Batch<'_>) -> Result<f64, Error> {
        self.work.kind = Kind::Nothing;
        self.validate(batch)?;
        let needed = self.workspace(batch);
        if needed.workspace > self.work.bytes {
            Memory { workspace: needed.workspace - self.work.bytes, ..needed }.check()?;
            self.work.bytes = needed.workspace;
        }
        let (dim, pairs) = (self.dim, batch.users.len());
        let work = &mut self.work;
        work.user_slots.clear();
        work.user_slots.extend_from_slice(batch.users);
        work.item_slots.clear();
        match batch.negatives {
            Negatives::All => work.item_slots.extend(0..(self.items.len() / dim) as u32),
            _ => work.item_slots.extend_from_slice(batch.positives),
        }
        if let Negatives::Mixed(items) | Negatives::Shared(items) | Negatives::Own(items) = batch.negatives {
            work.item_slots.extend_from_slice(items);
        }
        work.users.resize(pairs * dim, E::ZERO);
        work.upstream.resize(pairs * dim, E::ZERO);
        rows::enter(&self.team, &self.users, dim, batch.users, self.settings.similarity, &mut work.users)
            .map_err(|row| Error::Row(Side::User, row as usize))?;

        let softmax = self.softmax(pairs);
        let diagonal = || (0..pairs as u32).collect::<Vec<_>>();
        let loss = match batch.negatives {
            Negatives::Own(negatives) => self.own(batch, negatives, softmax),
            Negatives::InBatch => self.columns(batch, batch.positives, Some(&diagonal()), softmax),
            Negatives::Mixed(items) => {
                let candidates = [batch.positives, items].concat();
                self.columns(batch, &candidates, Some(&diagonal()), softmax)
            }
            Negatives::All => {
                let all: Vec<u32> = (0..(self.items.len() / dim) as u32).collect();
                self.columns(batch, &all, Some(batch.positives), softmax)
            }
            Negatives::Shared(items) => self.columns(batch, items, None, softmax),
        }?;
        let work = &mut self.work;
        work.user_plan.make(&self.team, &work.user_slots, self.users.len() / dim);
        work.item_plan.make(&self.team, &work.item_slots, self.items.len() / dim);
        work.kind = match batch.negatives {
            Negatives::Own(_) => Kind::OwnNegatives,
            Negatives::Shared(_) => Kind::SharedNegatives,
            Negatives::InBatch | Negatives::Mixed(_) | Negatives::All => Kind::Columns,
        };
        Ok(loss / pairs as f64)
    }

    /// Moves the tables by the gradient of the batch that was evaluated last.
    ///
    /// # Panics
    /// If no batch was evaluated since the last step.
    pub fn apply(&mut self, rates: Rates) {
        assert!(self.work.kind != Kind::Nothing, "a step needs an evaluated batch");
        let mut towers = [
            (Side::User, std::mem::take(&mut self.users), std::mem::take(&mut self.user_state)),
            (Side::Item, std::mem::take(&mut self.items), std::mem::take(&mut self.item_state)),
        ];
        for (side, table, state) in &mut towers {
            let (optimizer, rate) = match side {
                Side::User => (&self.settings.users, rates.users),
                Side::Item => (&self.settings.items, rates.items),
            };
            let parts = self.parts();
            self.scatter(*side, &parts).apply(&self.team, table, state, optimizer, self.time, rate);
        }
        let [(_, users, user_state), (_, items, item_state)] = towers;
        (self.users, self.user_state, self.items, self.item_state) = (users, user_state, items, item_state);
        self.time += 1;
        self.work.kind = Kind::Nothing;
    }

    /// The row of every slot of the batch that was evaluated last: users, or positives followed by negatives (all items where
    /// all are candidates).
    pub fn slots(&self, side: Side) -> &[u32] {
        match side {
            Side::User => &self.work.user_slots,
            Side::Item => &self.work.item_slots,
        }
    }

    /// The gradient of one slot of the batch that was evaluated last, with respect to its row: `[d]`.
    ///
    /// # Panics
    /// If no batch was evaluated since the last step.
    pub fn slot_gradient(&self, side: Side, slot: usize) -> Vec<E> {
        assert!(self.work.kind != Kind::Nothing, "a gradient needs an evaluated batch");
        let row = self.slots(side)[slot] as usize;
        let q = &self.table(side)[row * self.dim..(row + 1) * self.dim];
        let mut gradient = vec![E::ZERO; self.dim];
        self.scatter(side, &self.parts()).source.add::<false>(slot, &mut gradient);
        rows::leave::<E, false>(self.settings.similarity, q, &mut gradient);
        gradient
    }

    /// The rows that fill a slot of the batch that was evaluated last, ascending, each with its gradient `[d]`.
    ///
    /// # Panics
    /// If no batch was evaluated since the last step.
    pub fn each_row_gradient(&self, side: Side, mut see: impl FnMut(usize, &[E])) {
        assert!(self.work.kind != Kind::Nothing, "a gradient needs an evaluated batch");
        self.scatter(side, &self.parts()).each_row(self.table(side), &mut see);
    }

    fn parts(&self) -> Vec<&[E]> {
        let lost = usize::from(self.blocking.plants(Plant::LostThread));
        let used = self.team.shares(self.work.user_slots.len()).len().saturating_sub(lost).max(1);
        self.work.parts.iter().take(used).map(|part| &part.columns[..]).collect()
    }

    fn scatter<'a>(&'a self, side: Side, parts: &'a [&'a [E]]) -> Scatter<'a, E> {
        let work = &self.work;
        let (users, positives) = (&work.users[..], &work.positive_coefficients[..]);
        let (plan, source) = match (side, work.kind) {
            (Side::User, _) => (&work.user_plan, Source::Rows(&work.upstream)),
            (Side::Item, Kind::OwnNegatives) => {
                (&work.item_plan, Source::Own { users, positives, negatives: &work.negative_coefficients })
            }
            (Side::Item, Kind::SharedNegatives) => (&work.item_plan, Source::Mixed { users, positives, others: parts }),
            (Side::Item, _) => (&work.item_plan, Source::Sum(parts)),
        };
        Scatter { dim: self.dim, similarity: self.settings.similarity, plan, source, blocking: self.blocking }
    }

    fn softmax(&self, pairs: usize) -> Softmax<E> {
        let bounded = matches!(self.settings.similarity, Similarity::Cosine { .. });
        let corrected: &[u32] = if self.bias.is_empty() {
            &[]
        } else {
            &self.work.item_slots
        };
        let (lowest, highest) = corrected.iter().fold((0.0_f64, 0.0_f64), |(low, high), &item| {
            let bias = self.bias[item as usize].to_f64();
            (low.min(bias), high.max(bias))
        });
        Softmax::new(self.settings.objective, pairs, bounded, (lowest, highest))
    }

    /// A softmax with the same candidates for all pairs. `targets`: which candidate is a pair's positive; None where none is.
    fn columns(
        &mut self,
        batch: &Batch<'_>,
        candidates: &[u32],
        targets: Option<&[u32]>,
        softmax: Softmax<E>,
    ) -> Result<f64, Error> {
        let (dim, similarity) = (self.dim, self.settings.similarity);
        let item = |row: u32| Error::Row(Side::Item, row as usize);
        let work = &mut self.work;
        work.columns.resize(candidates.len() * dim, E::ZERO);
        rows::enter(&self.team, &self.items, dim, candidates, similarity, &mut work.columns).map_err(item)?;
        let bias_of = |ids: &[u32], bias: &mut Vec<E>| {
            bias.clear();
            if !self.bias.is_empty() {
                bias.extend(ids.iter().map(|&id| self.bias[id as usize]));
            }
        };
        bias_of(candidates, &mut work.column_bias);
        work.positive_coefficients.clear();
        if targets.is_none() {
            work.positives.resize(batch.positives.len() * dim, E::ZERO);
            rows::enter(&self.team, &self.items, dim, batch.positives, similarity, &mut work.positives)
                .map_err(item)?;
            bias_of(batch.positives, &mut work.positive_bias);
            work.positive_coefficients.resize(batch.positives.len(), E::ZERO);
        }
        let problem = Problem {
            dim,
            softmax,
            users: &work.users,
            columns: &work.columns,
            bias: &work.column_bias,
            targets: match targets {
                Some(targets) => Targets::Column(targets),
                None => Targets::Own { vectors: &work.positives, bias: &work.positive_bias },
            },
            mask: batch.mask,
            blocking: self.blocking,
        };
        let shares = self.team.shares(batch.users.len());
        work.parts.resize_with(shares.len().max(work.parts.len()), Part::default);
        let upstream = team::split(&mut work.upstream, shares.iter().map(|share| share.len() * dim));
        let own = |share: &std::ops::Range<usize>| if targets.is_none() { share.len() } else { 0 };
        let coefficients = team::split(&mut work.positive_coefficients, shares.iter().map(own));
        let mut jobs: Vec<_> =
            shares.into_iter().zip(&mut work.parts).zip(upstream.into_iter().zip(coefficients)).collect();
        self.team
            .each(&mut jobs, |((share, part), (upstream, own))| problem.run(share.clone(), part, upstream, own));
        Ok(jobs.iter().map(|((_, part), _)| part.loss).sum())
    }

    /// A softmax with negatives of its own for each pair.
    fn own(&mut self, batch: &Batch<'_>, negatives: &[u32], softmax: Softmax<E>) -> Result<f64, Error> {
        let (dim, own) = (self.dim, negatives.len() / batch.users.len());
        let work = &mut self.work;
        work.positive_coefficients.resize(batch.users.len(), E::ZERO);
        work.negative_coefficients.resize(negatives.len(), E::ZERO);
        let problem = own::Problem {
            dim,
            softmax,
            similarity: self.settings.similarity,
            users: &work.users,
            table: &self.items,
            positives: batch.positives,
            negatives,
            bias: &self.bias,
            mask: batch.mask,
        };
        let shares = self.team.shares(batch.users.len());
        let lengths = |width: usize| shares.iter().map(move |share| share.len() * width);
        let outputs = team::split(&mut work.upstream, lengths(dim))
            .into_iter()
            .zip(team::split(&mut work.positive_coefficients, lengths(1)))
            .zip(team::split(&mut work.negative_coefficients, lengths(own)));
        let mut jobs: Vec<_> = shares
            .iter()
            .zip(outputs)
            .map(|(share, ((upstream, positives), negatives))| {
                (share.clone(), Some(own::Output { upstream, positives, negatives }), Ok(0.0))
            })
            .collect();
        self.team.each(&mut jobs, |(share, output, outcome)| {
            *outcome = problem.run(share.clone(), output.take().expect("each job is done once"));
        });
        let losses: Result<Vec<f64>, u32> = jobs.into_iter().map(|(_, _, outcome)| outcome).collect();
        losses.map(|losses| losses.iter().sum()).map_err(|row| Error::Row(Side::Item, row as usize))
    }

    fn validate(&self, batch: &Batch<'_>) -> Result<(), Error> {
        let pairs = batch.users.len();
        require(pairs > 0 && batch.positives.len() == pairs, || {
            let found = batch.positives.len();
            format!("batch: expected as many positives as users, at least one; found {pairs} users, {found} positives")
        })?;
        let (users, items) = ((self.users.len() / self.dim) as u32, (self.items.len() / self.dim) as u32);
        let below = |what: &str, ids: &[u32], rows: u32| {
            let wrong = ids.iter().find(|&&id| id >= rows);
            wrong.map_or(Ok(()), |id| Err(Error::Input(format!("{what}: expected rows below {rows}, found {id}"))))
        };
        below("users", batch.users, users)?;
        below("positives", batch.positives, items)?;
        let places = match batch.negatives {
            Negatives::InBatch => pairs,
            Negatives::All => items as usize,
            Negatives::Shared(set) | Negatives::Mixed(set) => {
                below("negatives", set, items)?;
                require(!set.is_empty(), || "negatives: expected a set of at least one item".into())?;
                let in_batch = matches!(batch.negatives, Negatives::Mixed(_));
                set.len() + if in_batch { pairs } else { 0 }
            }
            Negatives::Own(ids) => {
                below("negatives", ids, items)?;
                require(!ids.is_empty() && ids.len().is_multiple_of(pairs), || {
                    format!("negatives: expected equally many for each of {pairs} pairs, found {}", ids.len())
                })?;
                ids.len() / pairs
            }
        };
        let slots = match batch.negatives {
            Negatives::Own(ids) => ids.len(),
            _ => places.max(pairs),
        };
        require(slots.saturating_add(pairs) <= u32::MAX as usize, || "batch: expected fewer than 2³² slots".into())?;
        let Some(mask) = batch.mask else { return Ok(()) };
        require(mask.pairs() == pairs, || format!("mask: expected {pairs} pairs, found {}", mask.pairs()))?;
        for pair in 0..pairs {
            let target = match batch.negatives {
                Negatives::InBatch | Negatives::Mixed(_) => Some(pair as u32),
                Negatives::All => Some(batch.positives[pair]),
                Negatives::Shared(_) | Negatives::Own(_) => None,
            };
            let wrong = mask.places(pair).iter().find(|&&place| place as usize >= places || Some(place) == target);
            if let Some(place) = wrong {
                return Err(Error::Input(format!(
                    "mask: expected places below {places} other than the target's, found {place} for pair {pair}"
                )));
            }
        }
        Ok(())
    }
}

/// Columns of a tile: with a panel of logits it stays in the second cache between its product, its exponential and the
/// product with the candidates; fewer columns make the products less efficient.
const TILE: usize = 512;

/// More than any machine has processors; every step looks at each thread's part.
const MAX_THREADS: usize = 1024;

/// What ln Q adds to the logits of an item, which are kept in binary orders of magnitude.
fn bias<E: Element>(log_q: f64) -> E {
    E::from_f64(-log_q * std::f64::consts::LOG2_E)
}

fn bytes<E>(numbers: usize) -> u64 {
    (numbers * size_of::<E>()) as u64
}

fn require(right: bool, what: impl FnOnce() -> String) -> Result<(), Error> {
    if right { Ok(()) } else { Err(Error::Input(what())) }
}
