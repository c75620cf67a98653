//! The workloads and their data. `benches/peers/workloads.py` makes the same bits: a test of agreement is only worth
//! something on the same data.

use perpend::kernel::{Batch, Element, Error, Kernel, Negatives, Objective, Rates, Settings};

/// Rows of a table, unless the name says otherwise.
const ROWS: usize = 100_000;
/// Batches that are drawn once and used in turn, so that no gather finds its rows in the cache from the step before.
const BATCHES: usize = 8;
/// Negatives of its own for each pair of W2.
const OWN_NEGATIVES: usize = 64;
/// Rate of the measured steps.
const RATE: f64 = 0.1;
/// τ.
pub const TEMPERATURE: f64 = 0.05;

/// What the positives are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Candidates {
    /// W1, and W3 in f64.
    InBatch,
    /// W2.
    Own,
    /// All items.
    Full,
}

/// f32 or f64.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precision {
    F32,
    F64,
}

/// A step of two tables: B pairs, d numbers a row, N rows in each table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Workload {
    pub candidates: Candidates,
    pub precision: Precision,
    pub dim: usize,
    pub pairs: usize,
    pub rows: usize,
}

impl Workload {
    /// From its name: `W1-f32-d64-B4096`, with `-N1000` for tables of another size than usual. None where this is not a
    /// step of two tables.
    pub fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let candidates = match parts.next()? {
            "W1" | "W3" => Candidates::InBatch,
            "W2" => Candidates::Own,
            "full" => Candidates::Full,
            _ => return None,
        };
        let precision = match parts.next()? {
            "f32" => Precision::F32,
            "f64" => Precision::F64,
            _ => return None,
        };
        let rows = size(name, 'N').unwrap_or(ROWS);
        let workload = Workload { candidates, precision, dim: size(name, 'd')?, pairs: size(name, 'B')?, rows };
        (workload.dim > 0 && workload.pairs > 0 && workload.rows > 0).then_some(workload)
    }

    /// Floating-point operations that the three products of a step need: logits, and the gradient of each tower.
    pub fn flops(&self) -> u64 {
        let candidates = match self.candidates {
            Candidates::InBatch => self.pairs,
            Candidates::Own => OWN_NEGATIVES + 1,
            Candidates::Full => self.rows,
        };
        6 * (self.pairs * candidates * self.dim) as u64
    }
}

/// The number behind a letter in the name of a workload.
pub fn size(name: &str, letter: char) -> Option<usize> {
    name.split('-').skip(2).find_map(|part| part.strip_prefix(letter)?.parse().ok())
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014) on a counter, so that any part can be made by itself.
fn word(stream: Stream, index: u64) -> u64 {
    let counter = ((stream as u64) << 40) + index + 1;
    let mut z = counter.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Bell-shaped with mean 0 and variance 1: the sum of four 16-bit numbers, exact until it is scaled, so that programs in
/// any language agree to the bit (a logarithm and a cosine would not).
pub fn normal(stream: Stream, index: u64) -> f64 {
    let word = word(stream, index);
    let sum: u64 = (0..4).map(|k| (word >> (16 * k)) & 0xFFFF).sum();
    (sum as f64 - 2.0 * 65535.0) * (3.0 / 4_294_967_295.0_f64).sqrt()
}

/// Uniform below `bound`.
fn below(stream: Stream, index: u64, bound: usize) -> u32 {
    (((word(stream, index) >> 32) * bound as u64) >> 32) as u32
}

/// The streams of random numbers.
#[derive(Clone, Copy)]
pub enum Stream {
    Users,
    Items,
    UserIds,
    Positives,
    Negatives,
    Trajectory,
    Towers,
}

struct Pairs {
    users: Vec<u32>,
    positives: Vec<u32>,
    negatives: Vec<u32>,
}

/// A kernel on the data of a workload, with a pool of batches that are used in turn.
pub struct Steps<E: Element> {
    kernel: Kernel<E>,
    candidates: Candidates,
    pool: Vec<Pairs>,
    next: usize,
}

impl<E: Element> Steps<E> {
    pub fn new(workload: &Workload, threads: usize) -> Result<Self, Error> {
        let Workload { candidates, dim, pairs, rows, .. } = *workload;
        let table =
            |stream: Stream| -> Vec<E> { (0..(rows * dim) as u64).map(|k| E::from_f64(normal(stream, k))).collect() };
        let own = if candidates == Candidates::Own {
            pairs * OWN_NEGATIVES
        } else {
            0
        };
        let ids = |stream: Stream, batch: usize, count: usize| -> Vec<u32> {
            (0..count).map(|k| below(stream, (batch * count + k) as u64, rows)).collect()
        };
        let objective = Objective::InfoNce { temperature: TEMPERATURE };
        let settings = Settings { objective, threads, ..Settings::default() };
        Ok(Steps {
            kernel: Kernel::new(dim, table(Stream::Users), table(Stream::Items), settings)?,
            candidates,
            pool: (0..BATCHES)
                .map(|batch| Pairs {
                    users: ids(Stream::UserIds, batch, pairs),
                    positives: ids(Stream::Positives, batch, pairs),
                    negatives: ids(Stream::Negatives, batch, own),
                })
                .collect(),
            next: 0,
        })
    }

    fn batch(pairs: &Pairs, candidates: Candidates) -> Batch<'_> {
        Batch {
            users: &pairs.users,
            positives: &pairs.positives,
            negatives: match candidates {
                Candidates::InBatch => Negatives::InBatch,
                Candidates::Own => Negatives::Own(&pairs.negatives),
                Candidates::Full => Negatives::All,
            },
            mask: None,
        }
    }

    /// The loss of the next batch; nothing moves.
    pub fn evaluate(&mut self) -> Result<f64, Error> {
        self.kernel.evaluate(&Self::batch(&self.pool[self.next], self.candidates))
    }

    /// Goes on to the next batch.
    pub fn skip(&mut self) {
        self.next = (self.next + 1) % BATCHES;
    }

    /// Moves the rows of the batch that was evaluated, and goes on to the next batch.
    pub fn apply(&mut self, rate: f64) {
        self.kernel.apply(Rates { users: rate, items: rate });
        self.skip();
    }

    /// A measured step: the loss before it.
    pub fn step(&mut self) -> Result<f64, Error> {
        let loss = self.evaluate()?;
        self.apply(RATE);
        Ok(loss)
    }

    /// The loss of the first batch and, in f64, its loss after a step of rate B·τ, which moves a row by about 1/‖q‖: the
    /// second number shows the gradient. In f32 rounding may reach the size of what it would show.
    pub fn values(&mut self) -> Result<Vec<f64>, Error> {
        self.next = 0;
        let mut values = vec![self.evaluate()?];
        if E::UNIT_ROUNDOFF == f64::UNIT_ROUNDOFF {
            self.apply(self.pool[0].users.len() as f64 * TEMPERATURE);
            self.next = 0;
            values.push(self.evaluate()?);
        }
        Ok(values)
    }
}
