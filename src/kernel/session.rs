//! Scenarios step by step: what a [`Scenario`] says, in the kernel's own terms.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::dense::Dense;
use super::{
    Batch, Decay, Element, Extent, Kernel, Mask, Memory, Negatives, Objective, Optimizer, Rates, Rule, Settings,
    Similarity, bytes,
};
use crate::encoder::{Architecture, EncoderKind};
use crate::error::{Error, Result};
use crate::loss::full_softmax::FullSoftmax;
use crate::loss::info_nce::InfoNce;
use crate::loss::{EpsilonOn, Objective as Declared, ObjectiveFunction};
use crate::optimizer::adam::EpsilonPlace;
use crate::optimizer::decay::Form;
use crate::optimizer::{Optimizer as DeclaredOptimizer, Schedule};
use crate::rounding::Precision;
use crate::sampler;
use crate::scenario::{Materialised, Scenario};
use crate::trainer::{SeeGradient, Stepwise};
use crate::trajectory::{self, Array, Side};

/// What the kernel is to do for a scenario.
///
/// # Errors
/// [`Error::is_unsupported`] for what it does not train: encoders other than a table and an MLP, losses that are no softmax, other places
/// of epsilon than the clamped norm, and everything around the update rule (clipping, accumulation, delay, constraints, storage).
pub(super) fn settings(scenario: &Scenario, threads: usize) -> Result<Settings> {
    for side in Side::ALL {
        let tower = scenario.tower(side);
        if !matches!(tower.encoder, EncoderKind::Table(_) | EncoderKind::Mlp(_)) {
            return Err(Error::unsupported(format!("the kernel has no encoder {}", tower.encoder.name())));
        }
        if !tower.update.is_default() {
            return Err(Error::unsupported("the kernel steps by the update rule alone"));
        }
    }
    let loss = &scenario.loss;
    if loss.epsilon != 0.0 && loss.epsilon_on != EpsilonOn::Norm {
        return Err(Error::unsupported("the kernel knows the epsilon that clamps the norm"));
    }
    Ok(Settings {
        similarity: match loss.similarity {
            trajectory::Similarity::Cosine => Similarity::Cosine { epsilon: loss.epsilon },
            trajectory::Similarity::Dot => Similarity::Dot,
        },
        objective: match &loss.objective {
            Declared::InfoNce(InfoNce { temperature, .. }) | Declared::FullSoftmax(FullSoftmax { temperature }) => {
                Objective::InfoNce { temperature: *temperature }
            }
            Declared::Bsl(bsl) => Objective::Bilateral { temperature: bsl.temperature },
            other => return Err(Error::unsupported(format!("the kernel has no loss {}", other.name()))),
        },
        users: table_optimizer(scenario, Side::User)?,
        items: table_optimizer(scenario, Side::Item)?,
        log_q: Vec::new(),
        threads,
        blocking: None,
    })
}

/// How the rows of a tower's table move. Where a network makes them they do not: then the table only holds what it made.
fn table_optimizer(scenario: &Scenario, side: Side) -> Result<Optimizer> {
    let declared = optimizer(&scenario.tower(side).optimizer)?;
    Ok(match scenario.tower(side).encoder {
        EncoderKind::Table(_) => declared,
        _ => Optimizer::SGD,
    })
}

fn optimizer(optimizer: &DeclaredOptimizer) -> Result<Optimizer> {
    let rule = match optimizer {
        DeclaredOptimizer::Sgd(_) => Rule::Sgd,
        DeclaredOptimizer::HeavyBall(own) if own.effective_dampening() == 0.0 => {
            Rule::Momentum { momentum: own.momentum, nesterov: false }
        }
        DeclaredOptimizer::HeavyBall(_) => return Err(Error::unsupported("the kernel has no dampened momentum")),
        DeclaredOptimizer::Nesterov(own) => Rule::Momentum { momentum: own.momentum, nesterov: true },
        DeclaredOptimizer::Adagrad(own) => Rule::Adagrad { epsilon: own.epsilon },
        DeclaredOptimizer::RowwiseAdagrad(own) => Rule::RowwiseAdagrad { epsilon: own.epsilon },
        DeclaredOptimizer::Adam(own) => Rule::Adam {
            betas: own.betas,
            epsilon: own.epsilon,
            corrected: own.epsilon_place == EpsilonPlace::Corrected,
        },
        _ => return Err(Error::unsupported("the kernel has no such rule")),
    };
    Ok(Optimizer {
        rule,
        decay: optimizer.decay().map(|decay| Decay { rate: decay.rate, decoupled: decay.form == Form::Decoupled }),
        rows: optimizer.rows(),
    })
}

/// What a long run of a scenario takes: tables and weights, in float64 too (as they start and as they end, or as a checkpoint saves
/// them), the optimizers' state, and what a step works with.
///
/// # Errors
/// [`Error::is_unsupported`] where the kernel does not train the scenario; where its values alone do not fit into memory.
///
/// ```
/// use perpend::scenario::Scenario;
/// let tower = "rows = 1000000\nencoder = { kind = \"table\" }\noptimizer = { kind = \"sgd\", lr = 0.1 }\n\
///     initial = { kind = \"normal\", std = 0.5 }\n";
/// let scenario = Scenario::from_toml(&format!(
///     "dim = 64\nsteps = 1\nprecision = \"float32\"\n\
///      loss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2 }}\n\
///      sampler = {{ batch = 4096, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n[item]\n{tower}[user]\n{tower}",
/// ))?;
/// let memory = perpend::kernel::memory_of(&scenario, 2)?;
/// assert_eq!(memory.tables, 2 * 1_000_000 * 64 * (4 + 8 + 8));
/// # Ok::<(), perpend::Error>(())
/// ```
pub fn memory_of(scenario: &Scenario, threads: usize) -> Result<Memory> {
    scenario.validate()?;
    // Products below cannot overflow where the values fit into memory.
    Scenario { steps: 1, ..scenario.clone() }.check_values()?;
    let settings = settings(scenario, threads)?;
    match scenario.precision {
        Precision::F32 => needed::<f32>(scenario, &settings),
        _ => needed::<f64>(scenario, &settings),
    }
}

fn needed<E: Element>(scenario: &Scenario, settings: &Settings) -> Result<Memory> {
    let (users, items, dim, pairs) = (scenario.user.rows, scenario.item.rows, scenario.dim, scenario.sampler.batch);
    let slots = scenario.sampler.negatives.slots(pairs, items);
    let (columns, slots) = match &scenario.sampler.negatives {
        sampler::Negatives::InBatch(_) | sampler::Negatives::Mixed(_) => (slots, slots),
        sampler::Negatives::Uniform(_) => (0, slots),
        sampler::Negatives::Full(_) if scenario.loss.objective.wants_all_items() => (items, items),
        sampler::Negatives::Full(_) => (items, slots),
    };
    let own = Kernel::<E>::memory(dim, users, items, settings);
    let in_float64 = 2 * ((users + items) * dim * size_of::<f64>()) as u64;
    let features: usize = Side::ALL
        .map(|side| scenario.tower(side))
        .iter()
        .map(|tower| match &tower.encoder {
            EncoderKind::Mlp(mlp) => tower.rows * mlp.features,
            _ => 0,
        })
        .sum();
    let in_float64 = in_float64 + (features * (size_of::<f64>() + size_of::<E>())) as u64;
    let extent = Extent { pairs, columns, slots, threads: settings.threads, panel: E::PANEL };
    // In place of the values in float64 there is, on the way, a checkpoint; its largest array passes through float64.
    let checkpoint = own.tables + own.state + bytes::<f64>(users.max(items) * dim);
    let (mut weights, mut state, mut pass) = (0, 0, 0);
    for (side, rows) in [(Side::Item, slots.min(items)), (Side::User, pairs.min(users))] {
        let tower = scenario.tower(side);
        if !matches!(tower.encoder, EncoderKind::Mlp(_)) {
            continue;
        }
        let optimizer = optimizer(&tower.optimizer)?;
        for block in tower.encoder.blocks(tower.rows, dim) {
            // Initial values, values and gradient.
            weights += bytes::<f64>(block.rows * block.width) + bytes::<E>(2 * block.rows * block.width);
            let (first, second) = optimizer.widths(block.width);
            state += bytes::<E>(block.rows * (first + second));
            // What enters, before and after the activation; two gradients on the way back.
            pass += bytes::<E>(rows * (2 * block.width + 3 * block.rows));
        }
    }
    Ok(Memory {
        tables: own.tables + in_float64.max(checkpoint) + weights,
        state: own.state + state,
        workspace: extent.bytes::<E>(dim) + pass,
    })
}

/// A batch as the kernel takes it.
pub(super) struct Pairs {
    pub(super) users: Vec<u32>,
    pub(super) positives: Vec<u32>,
    candidates: Candidates,
    mask: Option<Mask>,
}

enum Candidates {
    InBatch,
    Mixed(Vec<u32>),
    Own(Vec<u32>),
    Shared(Vec<u32>),
    All,
}

/// The rows of a batch as the kernel takes them.
fn ids<'a>(rows: impl IntoIterator<Item = &'a usize>) -> Vec<u32> {
    rows.into_iter()
        .map(|&row| u32::try_from(row).expect("a scenario has fewer than 2³² rows"))
        .collect()
}

/// For each pair, where its positive stands among candidates that all pairs share, but for the place of its own.
fn other_places(candidates: &[u32], positives: &[u32], is_own: impl Fn(usize, u32) -> bool) -> Mask {
    let mut places: HashMap<u32, Vec<u32>> = HashMap::new();
    for (place, &item) in candidates.iter().enumerate() {
        places.entry(item).or_default().push(place as u32);
    }
    Mask::new(positives.iter().enumerate().map(|(pair, item)| {
        let places = places.get(item).into_iter().flatten().copied();
        places.filter(|&place| !is_own(pair, place)).collect()
    }))
}

impl Pairs {
    pub(super) fn new(batch: &sampler::Batch, scenario: &Scenario) -> Result<Self> {
        let (users, positives) = (ids(&batch.users), ids(&batch.positives));
        let loss = &scenario.loss;
        let (own, shared) = (!batch.negatives.is_empty(), !batch.shared.is_empty());
        let candidates = match (batch.has_in_batch_negatives(), own, shared) {
            (true, false, false) => Candidates::InBatch,
            (true, false, true) => Candidates::Mixed(ids(&batch.shared)),
            (false, true, false) if batch.negatives.iter().all(|own| !own.is_empty()) => {
                Candidates::Own(ids(batch.negatives.iter().flatten()))
            }
            (false, false, true) if loss.objective.wants_all_items() => Candidates::All,
            (false, false, true) => Candidates::Shared(ids(&batch.shared)),
            _ => return Err(Error::unsupported("the kernel has no such mixture of candidates")),
        };
        if matches!(loss.objective, Declared::Bsl(_)) && users.iter().collect::<BTreeSet<_>>().len() < users.len() {
            return Err(Error::unsupported("the kernel has the bilateral softmax of users with one positive"));
        }
        let diagonal = |pair: usize, place: u32| place as usize == pair;
        let mask = match &candidates {
            _ if !loss.mask_duplicates => None,
            Candidates::InBatch => Some(other_places(&positives, &positives, diagonal)),
            Candidates::Mixed(shared) => Some(other_places(&[&positives[..], shared].concat(), &positives, diagonal)),
            Candidates::Shared(shared) => Some(other_places(shared, &positives, |_, _| false)),
            Candidates::Own(own) => {
                Some(Mask::new(own.chunks_exact(own.len() / positives.len()).zip(&positives).map(|(own, positive)| {
                    (0..).zip(own).filter(|(_, item)| *item == positive).map(|(place, _)| place).collect()
                })))
            }
            // The positive is one of all items, and there is no other of it.
            Candidates::All => None,
        };
        Ok(Pairs { users, positives, candidates, mask })
    }

    pub(super) fn batch(&self) -> Batch<'_> {
        Batch {
            users: &self.users,
            positives: &self.positives,
            negatives: match &self.candidates {
                Candidates::InBatch => Negatives::InBatch,
                Candidates::Mixed(items) => Negatives::Mixed(items),
                Candidates::Own(items) => Negatives::Own(items),
                Candidates::Shared(items) => Negatives::Shared(items),
                Candidates::All => Negatives::All,
            },
            mask: self.mask.as_ref(),
        }
    }
}

/// A scenario in training.
pub(crate) struct Session<E: Element> {
    scenario: Scenario,
    kernel: Kernel<E>,
    /// The networks of the item tower and the user tower, where they have one.
    networks: [Option<Dense<E>>; 2],
    /// Users and items that the batch evaluated last looked up.
    looked_up: [Vec<usize>; 2],
}

/// An error of the kernel, in the terms of the crate.
fn failed(error: super::Error) -> Error {
    match error {
        super::Error::Row(..) => Error::not_finite("training by the kernel", error),
        super::Error::Memory { .. } => Error::input("memory", "a run that fits into this machine", error),
        super::Error::Threads(_) => Error::usage("threads", "a number of threads that the system grants", error),
        super::Error::Input(_) => Error::internal(error),
    }
}

impl<E: Element> Session<E> {
    /// Starts from the explicit values of a scenario.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] for what the kernel does not train; an input error where there is not the memory, a usage error where there are not the threads.
    pub(crate) fn new(materialised: &Materialised, threads: usize) -> Result<Self> {
        let scenario = materialised.scenario.clone();
        let settings = settings(&scenario, threads)?;
        let numbers = |values: &[f64]| values.iter().map(|&x| E::from_f64(x)).collect::<Vec<E>>();
        let table = |side: Side| match scenario.tower(side).encoder {
            EncoderKind::Table(_) => numbers(materialised.tower(side).tables[0].values()),
            _ => vec![E::ZERO; scenario.tower(side).rows * scenario.dim],
        };
        let network = |side: Side| -> Result<Option<Dense<E>>> {
            let (tower, values) = (scenario.tower(side), materialised.tower(side));
            let EncoderKind::Mlp(mlp) = &tower.encoder else {
                return Ok(None);
            };
            let weights = values.tables.iter().map(|table| numbers(table.values())).collect();
            let features = numbers(values.constants.rows.values());
            let optimizer = optimizer(&tower.optimizer)?;
            Ok(Some(Dense::new(mlp.features, features, weights, mlp.activation, mlp.bias, optimizer)))
        };
        let networks = [network(Side::Item)?, network(Side::User)?];
        let kernel = Kernel::new(scenario.dim, table(Side::User), table(Side::Item), settings).map_err(failed)?;
        Ok(Session { scenario, kernel, networks, looked_up: [Vec::new(), Vec::new()] })
    }

    fn network(&self, side: Side) -> Option<&Dense<E>> {
        let [items, users] = &self.networks;
        match side {
            Side::Item => items.as_ref(),
            Side::User => users.as_ref(),
        }
    }

    /// The embeddings of all rows: `[N, d]`.
    pub(super) fn embeddings(&self, side: Side) -> Vec<f64> {
        match self.network(side) {
            Some(network) => to_f64(&network.embeddings(&(0..self.scenario.tower(side).rows).collect::<Vec<_>>())),
            None => to_f64(self.kernel.table(side)),
        }
    }

    /// The weights of a tower's network and their gradients, layer by layer; None where its parameters are its embeddings.
    pub(super) fn weights(&self, side: Side) -> Option<Vec<(Vec<f64>, Vec<f64>)>> {
        let network = self.network(side)?;
        Some(network.layers().map(|(weights, gradient)| (to_f64(weights), to_f64(gradient))).collect())
    }

    /// The distinct rows of a tower that the batch looked up, ascending.
    fn rows(&self, side: Side) -> Vec<usize> {
        let mut rows = self.slots(side);
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// Makes the embeddings that the batch looked up.
    fn encode(&mut self) {
        for (index, side) in [Side::Item, Side::User].into_iter().enumerate() {
            let (rows, dim) = (self.rows(side), self.scenario.dim);
            let Some(network) = &mut self.networks[index] else {
                continue;
            };
            let table = self.kernel.table_mut(side);
            for (row, embedding) in rows.iter().zip(network.forward(&rows).chunks_exact(dim)) {
                table[row * dim..(row + 1) * dim].copy_from_slice(embedding);
            }
        }
    }

    /// All that the next step starts from, by name and width.
    fn state(&mut self, see: &mut dyn FnMut(String, usize, &mut [E])) {
        self.kernel.state(|tower, name, width, values| see(format!("{}/{name}", tower), width, values));
        for (network, side) in self.networks.iter_mut().zip([Side::Item, Side::User]) {
            if let Some(network) = network {
                network.state(|name, width, values| see(format!("{side}/{name}"), width, values));
            }
        }
    }

    pub(super) fn kernel(&self) -> &Kernel<E> {
        &self.kernel
    }

    fn schedule(&self, side: Side) -> &Schedule {
        self.scenario.tower(side).optimizer.schedule()
    }

    /// η_t of the next step.
    pub(super) fn rate(&self, side: Side) -> f64 {
        self.schedule(side).at(self.kernel.time())
    }
}

fn to_f64<E: Element>(values: &[E]) -> Vec<f64> {
    values.iter().map(|x| x.to_f64()).collect()
}

/// How the elements of checkpoints are stored.
fn stored<E: Element>() -> trajectory::Element {
    if size_of::<E>() == size_of::<f32>() {
        trajectory::Element::F32
    } else {
        trajectory::Element::F64
    }
}

impl<E: Element> Stepwise for Session<E> {
    fn time(&self) -> u64 {
        self.kernel.time()
    }

    fn evaluate(&mut self, batch: &sampler::Batch) -> Result<f64> {
        let pairs = Pairs::new(batch, &self.scenario)?;
        if self.scenario.loss.objective.wants_log_q() {
            let items = ids(&batch.item_slots());
            self.kernel.set_log_q(&items, &batch.log_q).map_err(Error::unsupported)?;
        }
        self.looked_up = [batch.users.clone(), batch.item_slots()];
        self.encode();
        let loss = self.kernel.evaluate(&pairs.batch()).map_err(failed)?;
        for (network, side) in self.networks.iter_mut().zip([Side::Item, Side::User]) {
            if let Some(network) = network {
                let mut upstream = Vec::new();
                self.kernel.each_row_gradient(side, |_, gradient| upstream.extend_from_slice(gradient));
                network.backward(upstream);
            }
        }
        Ok(loss)
    }

    fn apply(&mut self) {
        let (time, rates) = (self.kernel.time(), [self.rate(Side::Item), self.rate(Side::User)]);
        self.kernel.apply(Rates { users: rates[1], items: rates[0] });
        for (network, rate) in self.networks.iter_mut().zip(rates) {
            if let Some(network) = network {
                network.apply(time, rate);
            }
        }
    }

    fn slots(&self, side: Side) -> Vec<usize> {
        let [users, items] = &self.looked_up;
        match side {
            Side::User => users.clone(),
            Side::Item => items.clone(),
        }
    }

    fn each_gradient(&self, side: Side, see: &mut SeeGradient<'_>) {
        let (tower, dim) = (side, self.scenario.dim);
        let (mut q, mut g) = (vec![0.0; dim], vec![0.0; dim]);
        self.kernel.each_row_gradient(tower, |row, gradient| {
            let embedding = &self.kernel.table(tower)[row * dim..(row + 1) * dim];
            q.iter_mut().zip(embedding).for_each(|(to, x)| *to = x.to_f64());
            g.iter_mut().zip(gradient).for_each(|(to, x)| *to = x.to_f64());
            see(row, &q, &g);
        });
    }

    fn embedding(&self, side: Side, row: usize) -> Vec<f64> {
        let dim = self.scenario.dim;
        match self.network(side) {
            Some(network) => to_f64(&network.embeddings(&[row])),
            None => to_f64(&self.kernel.table(side)[row * dim..(row + 1) * dim]),
        }
    }

    fn save(&mut self) -> Result<BTreeMap<String, Array>> {
        let mut arrays = BTreeMap::new();
        self.state(&mut |name, width, values| {
            let array = Array::encode(stored::<E>(), &[values.len() / width, width], &to_f64(values));
            arrays.insert(name, array);
        });
        Ok(arrays)
    }

    fn restore(&mut self, place: &str, arrays: &BTreeMap<String, Array>, steps: u64) -> Result<()> {
        let mut outcome = Ok(());
        self.state(&mut |name, width, values| {
            let shape = [values.len() / width, width];
            let (place, expected) = (format!("{place}: {name}"), format!("{} {shape:?}", stored::<E>()));
            let mut read = vec![0.0; values.len()];
            let found = match arrays.get(&name) {
                None => Err(Error::input(&place, expected, "no such array")),
                Some(array) if array.shape() != shape || array.element() != stored::<E>() => {
                    Err(Error::input(&place, expected, format!("{} {:?}", array.element(), array.shape())))
                }
                Some(array) => {
                    array.read(0, &mut read);
                    let wrong = read.iter().find(|x| !x.is_finite());
                    wrong.map_or(Ok(()), |x| Err(Error::not_finite(&place, x)))
                }
            };
            match found {
                Ok(()) => values.iter_mut().zip(read).for_each(|(to, x)| *to = E::from_f64(x)),
                Err(error) => outcome = Err(error),
            }
        });
        self.kernel.set_time(steps);
        outcome
    }
}
