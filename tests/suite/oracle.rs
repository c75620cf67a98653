//! An independent implementation with nalgebra matrices: loss, encoders, optimizers and a whole trainer, written from
//! the textbook and the frameworks' documentation, and compared with the reference trainer step by step.
//!
//! *Allowed*: twice the rounding bound that the reference carries along when it runs on [`Running`] numbers (once for
//! each implementation; for single precision the bound of 24 bits).

use nalgebra::{DMatrix, RowDVector};
use perpend::encoder::{Architecture, EncoderKind, Place, Size, affine, mlp, shared_linear, table, two_layer};
use perpend::geometry::Table;
use perpend::loss::{Loss, Objective, info_nce::InfoNce};
use perpend::number::{Real, Running};
use perpend::optimizer::decay::Form;
use perpend::optimizer::{Decay, Optimizer, Schedule, adagrad, adam, heavy_ball, nesterov, rowwise_adagrad, sgd};
use perpend::reference::{Reference, Session};
use perpend::rounding::Precision;
use perpend::sampler::{Batch, Negatives, Sampler, in_batch::InBatch, uniform::Uniform};
use perpend::scenario::{Initial, Scenario, Tower};
use perpend::trainer::Trainer;
use perpend::trajectory::{Rows, Side, Similarity};
use rand::RngExt;

use crate::support::*;

type Matrix = DMatrix<f64>;

pub fn matrix(table: &Table<f64>) -> Matrix {
    Matrix::from_row_slice(table.rows(), table.width(), table.values())
}

/// InfoNCE on slots in matrix form: loss, ∂L/∂U, ∂L/∂Q, and Σ_j |G_bj|·‖q_j‖ for users and items.
struct MatrixLoss {
    loss: f64,
    users: Matrix,
    items: Matrix,
    user_scale: Vec<f64>,
    item_scale: Vec<f64>,
}

fn info_nce(loss: &Loss, users: &Matrix, items: &Matrix, batch: &Batch) -> MatrixLoss {
    let temperature = loss.temperature().unwrap();
    let (pairs, slots) = (users.nrows(), items.nrows());
    let lengths = |rows: &Matrix| -> Vec<f64> {
        rows.row_iter()
            .map(|row| match loss.similarity {
                Similarity::Cosine => row.norm().max(loss.epsilon),
                Similarity::Dot => 1.0,
            })
            .collect()
    };
    let divide =
        |rows: &Matrix, lengths: &[f64]| Matrix::from_fn(rows.nrows(), rows.ncols(), |i, k| rows[(i, k)] / lengths[i]);
    let (user_lengths, item_lengths) = (lengths(users), lengths(items));
    let (u, q) = (divide(users, &user_lengths), divide(items, &item_lengths));
    let similarities = &u * q.transpose() / temperature;
    let own = batch.negatives.first().map_or(0, Vec::len);
    let candidate = |b: usize, j: usize| {
        batch.negatives.is_empty() || j == b || (j >= pairs + b * own && j < pairs + (b + 1) * own)
    };
    let mut residual = Matrix::zeros(pairs, slots);
    let mut total = 0.0;
    for b in 0..pairs {
        let chosen: Vec<usize> = (0..slots).filter(|&j| candidate(b, j)).collect();
        let largest = chosen.iter().map(|&j| similarities[(b, j)]).fold(f64::NEG_INFINITY, f64::max);
        let partition: f64 = chosen.iter().map(|&j| (similarities[(b, j)] - largest).exp()).sum();
        for &j in &chosen {
            residual[(b, j)] = (similarities[(b, j)] - largest).exp() / partition;
        }
        residual[(b, b)] -= 1.0;
        total += partition.ln() + largest - similarities[(b, b)];
    }
    let g = residual / (pairs as f64 * temperature);
    let leave = |rows: &Matrix, upstream: Matrix, entering: &Matrix, lengths: &[f64]| {
        let mut out = upstream.clone();
        for (i, length) in lengths.iter().enumerate() {
            let free = loss.similarity == Similarity::Cosine && rows.row(i).norm() >= loss.epsilon;
            let radial = if free {
                upstream.row(i).dot(&entering.row(i))
            } else {
                0.0
            };
            out.set_row(i, &((upstream.row(i) - entering.row(i) * radial) / *length));
        }
        out
    };
    let size = |rows: &Matrix, i: usize| match loss.similarity {
        Similarity::Cosine => 1.0,
        Similarity::Dot => rows.row(i).norm(),
    };
    MatrixLoss {
        loss: total / pairs as f64,
        users: leave(users, &g * &q, &u, &user_lengths),
        items: leave(items, g.transpose() * &u, &q, &item_lengths),
        user_scale: (0..pairs).map(|b| (0..slots).map(|j| g[(b, j)].abs() * size(items, j)).sum()).collect(),
        item_scale: (0..slots).map(|j| (0..pairs).map(|b| g[(b, j)].abs() * size(users, b)).sum()).collect(),
    }
}

/// Embeddings of all rows: `[N, d]`.
fn forward(kind: &EncoderKind, blocks: &[Matrix], constants: &Matrix, d: usize) -> Matrix {
    layers(kind, blocks, constants, d).pop().unwrap()
}

fn private_matrix(block: &Matrix, row: usize, outs: usize) -> Matrix {
    Matrix::from_row_slice(outs, block.ncols() / outs, block.row(row).transpose().as_slice())
}

fn with_ones(inputs: &Matrix) -> Matrix {
    inputs.clone().insert_column(inputs.ncols(), 1.0)
}

/// Input of every layer and the embeddings, for all rows at once.
fn layers(kind: &EncoderKind, blocks: &[Matrix], constants: &Matrix, d: usize) -> Vec<Matrix> {
    let per_row = |embed: &dyn Fn(usize) -> RowDVector<f64>| {
        vec![Matrix::from_rows(&(0..constants.nrows()).map(embed).collect::<Vec<_>>())]
    };
    match kind {
        EncoderKind::Table(_) => vec![blocks[0].clone()],
        EncoderKind::Affine(affine) => per_row(&|i| {
            let x = constants.row(i).columns(0, affine.features).transpose();
            let bias = match affine.bias {
                affine::Bias::Trained => blocks[1].row(i).into_owned(),
                affine::Bias::Frozen => constants.row(i).columns(affine.features, d).into_owned(),
                affine::Bias::Absent => RowDVector::zeros(d),
            };
            (private_matrix(&blocks[0], i, d) * x).transpose() + bias
        }),
        EncoderKind::TwoLayer(two) => per_row(&|i| {
            let hidden = private_matrix(&blocks[0], i, two.hidden) * constants.row(i).transpose();
            (private_matrix(&blocks[1], i, d) * hidden.map(|x| x.max(0.0))).transpose()
        }),
        EncoderKind::SharedLinear(_) => vec![constants * blocks[0].transpose()],
        EncoderKind::Mlp(mlp) => {
            let mut chain = vec![constants.clone()];
            for (l, weight) in blocks.iter().enumerate() {
                let input = chain.last().unwrap();
                let input = if mlp.bias { with_ones(input) } else { input.clone() };
                let pre = input * weight.transpose();
                chain.push(if l + 1 < blocks.len() {
                    pre.map(|x| x.max(0.0))
                } else {
                    pre
                });
            }
            chain
        }
        // These are written out in encoders.rs; their gradients are checked by differences.
        _ => unreachable!("no matrix form of {kind:?}"),
    }
}

/// Parameter gradients from ∂L/∂Q: `[N, d]`.
fn backward(kind: &EncoderKind, blocks: &[Matrix], constants: &Matrix, upstream: &Matrix) -> Vec<Matrix> {
    let d = upstream.ncols();
    let mut gradients: Vec<Matrix> = blocks.iter().map(|block| block * 0.0).collect();
    let flat = |m: &Matrix| RowDVector::from_row_slice(m.transpose().as_slice());
    match kind {
        EncoderKind::Table(_) => gradients[0] = upstream.clone(),
        EncoderKind::Affine(affine) => {
            for i in 0..upstream.nrows() {
                let x = constants.row(i).columns(0, affine.features).into_owned();
                gradients[0].set_row(i, &flat(&(upstream.row(i).transpose() * x)));
            }
            if affine.bias == affine::Bias::Trained {
                gradients[1] = upstream.clone();
            }
        }
        EncoderKind::TwoLayer(two) => {
            for i in 0..upstream.nrows() {
                let (x, g) = (constants.row(i).into_owned(), upstream.row(i).transpose());
                let pre = private_matrix(&blocks[0], i, two.hidden) * x.transpose();
                gradients[1].set_row(i, &flat(&(&g * pre.map(|x| x.max(0.0)).transpose())));
                let active = pre.map(|x| if x > 0.0 { 1.0 } else { 0.0 });
                let inner = (private_matrix(&blocks[1], i, d).transpose() * g).component_mul(&active);
                gradients[0].set_row(i, &flat(&(inner * x)));
            }
        }
        EncoderKind::SharedLinear(_) => gradients[0] = upstream.transpose() * constants,
        EncoderKind::Mlp(mlp) => {
            let chain = layers(kind, blocks, constants, d);
            let mut delta = upstream.clone();
            for l in (0..blocks.len()).rev() {
                let input = &chain[l];
                let whole = if mlp.bias { with_ones(input) } else { input.clone() };
                gradients[l] = delta.transpose() * whole;
                let weight = blocks[l].columns(0, input.ncols()).into_owned();
                delta = (&delta * weight).component_mul(&input.map(|h| if h > 0.0 { 1.0 } else { 0.0 }));
            }
        }
        _ => unreachable!("no matrix form of {kind:?}"),
    }
    gradients
}

/// The state of one table's optimizer, as the frameworks keep it.
pub struct OracleOptimizer {
    buffer: Vec<Option<RowDVector<f64>>>,
    second: Matrix,
}

impl OracleOptimizer {
    pub fn new(rows: usize, width: usize) -> Self {
        OracleOptimizer { buffer: vec![None; rows], second: Matrix::zeros(rows, width) }
    }

    /// One step at time t (from 0) with rate lr.
    pub fn step(
        &mut self,
        optimizer: &Optimizer,
        t: i32,
        lr: f64,
        weights: &mut Matrix,
        gradient: &Matrix,
        touched: &[bool],
    ) {
        for (i, &touched) in touched.iter().enumerate() {
            if optimizer.rows() == Rows::Lazy && !touched {
                continue;
            }
            let mut w = weights.row(i).into_owned();
            let mut g = gradient.row(i).into_owned();
            if let Some(decay) = optimizer.decay() {
                match decay.form {
                    Form::Coupled => g += &w * decay.rate,
                    Form::Decoupled => w *= 1.0 - lr * decay.rate,
                }
            }
            let mut remember = |next: &dyn Fn(&RowDVector<f64>) -> RowDVector<f64>, first: RowDVector<f64>| {
                let buffer = match &self.buffer[i] {
                    None => first,
                    Some(old) => next(old),
                };
                self.buffer[i] = Some(buffer.clone());
                buffer
            };
            // A coordinate that never had a gradient stays, whatever 0/0 is.
            let quotient = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a / b };
            let step = match optimizer {
                Optimizer::Own(_) => unreachable!("the generator draws the crate's own"),
                Optimizer::Sgd(_) => g,
                Optimizer::HeavyBall(ball) if ball.momentum == 0.0 => g,
                Optimizer::HeavyBall(ball) => {
                    remember(&|old| old * ball.momentum + &g * (1.0 - ball.dampening), g.clone())
                }
                Optimizer::Nesterov(nesterov) => {
                    let buffer = remember(&|old| old * nesterov.momentum + &g, g.clone());
                    g + buffer * nesterov.momentum
                }
                Optimizer::Adam(adam) => {
                    let (b1, b2) = adam.betas;
                    let m = remember(&|old| old * b1 + &g * (1.0 - b1), &g * (1.0 - b1));
                    let v = self.second.row(i) * b2 + g.map(|x| x * x) * (1.0 - b2);
                    self.second.set_row(i, &v);
                    let (c1, c2) = (1.0 - b1.powi(t + 1), 1.0 - b2.powi(t + 1));
                    match adam.epsilon_place {
                        adam::EpsilonPlace::Corrected => {
                            m.zip_map(&v, |m, v| quotient(m / c1, (v / c2).sqrt() + adam.epsilon))
                        }
                        adam::EpsilonPlace::Uncorrected => {
                            m.zip_map(&v, |m, v| quotient(m * c2.sqrt() / c1, v.sqrt() + adam.epsilon))
                        }
                    }
                }
                Optimizer::Adagrad(adagrad) => {
                    let sum = self.second.row(i) + g.map(|x| x * x);
                    self.second.set_row(i, &sum);
                    g.zip_map(&sum, |g, sum| quotient(g, sum.sqrt() + adagrad.epsilon))
                }
                Optimizer::RowwiseAdagrad(adagrad) => {
                    self.second[(i, 0)] += g.norm_squared() / g.len() as f64;
                    let root = self.second[(i, 0)].sqrt();
                    g.map(|g| quotient(g, root + adagrad.epsilon))
                }
                other => panic!("{other:?} is judged in optimizer_rules"),
            };
            weights.set_row(i, &(w - step * lr));
        }
    }
}

fn rate(schedule: &Schedule, t: usize) -> f64 {
    match schedule {
        Schedule::Constant(rate) => *rate,
        Schedule::List(rates) => rates[t.min(rates.len() - 1)],
        Schedule::Warmup { from, to, steps } => {
            let done = (t as f64 / *steps as f64).min(1.0);
            (1.0 - done) * from + done * to
        }
        Schedule::Exponential { start, factor } => start * factor.powi(t as i32),
    }
}

struct OracleTower {
    blocks: Vec<Matrix>,
    constants: Matrix,
    optimizers: Vec<OracleOptimizer>,
}

/// What was compared: how many numbers, and how many of them certain to half their digits (beside the
/// largest number of the table).
#[derive(Debug, Default)]
struct Compared {
    numbers: usize,
    sharp: usize,
}

impl Compared {
    fn check<const BITS: i32>(&mut self, what: &str, expected: &[f64], found: &[f64], bounds: &[Running<BITS>]) {
        assert_eq!((expected.len(), found.len()), (bounds.len(), bounds.len()), "{what}: shapes");
        let size = largest(expected);
        // Half the digits are certain.
        let fine = 0.5_f64.powi(BITS).sqrt() * size;
        for ((expected, found), bound) in expected.iter().zip(found).zip(bounds) {
            // Below the smallest normal number nothing is known of relative errors; 2⁶ for what follows an underflow.
            let normal = if BITS == 24 {
                f64::from(f32::MIN_POSITIVE)
            } else {
                f64::MIN_POSITIVE
            };
            let allowed = 2.0 * bound.error() + 64.0 * normal;
            // The bound is not a number where a quotient by something that may be zero left nothing known.
            assert!(found.is_finite(), "{what}: {found}");
            assert!(
                (expected - found).abs() <= allowed || allowed.is_nan(),
                "{what}: oracle {expected}, found {found}, allowed {allowed:e}"
            );
            self.numbers += usize::from(size > 0.0);
            self.sharp += usize::from(size > 0.0 && allowed <= fine);
        }
    }
}

fn flat(m: &Matrix) -> Vec<f64> {
    m.transpose().as_slice().to_vec()
}

/// Trains a scenario with the reference trainer and with matrices, and compares everything recorded.
fn compare<const BITS: i32>(scenario: &Scenario, compared: &mut Compared) {
    // A row whose units are all dead has no direction: then other initial values are drawn.
    let mut drawn = (0..10).map(|attempt| Scenario { seed: scenario.seed + 1000 * attempt, ..scenario.clone() });
    let trained = |scenario: Scenario| {
        let model = scenario.materialise().unwrap();
        Reference.train(&model).ok().map(|trajectory| (model, trajectory))
    };
    let (model, trajectory) = drawn.find_map(trained).expect("a run with finite numbers");
    let mut session = Session::<Running<BITS>>::new(&model);
    let loss = &scenario.loss;
    let d = scenario.dim;
    let mut towers = Side::ALL.map(|side| {
        let values = model.tower(side);
        let blocks: Vec<Matrix> = values.tables.iter().map(matrix).collect();
        // nalgebra has no matrices of rows without columns to multiply: a table has no constants.
        let constants = matrix(&values.constants.rows).resize_vertically(scenario.tower(side).rows, 0.0);
        let optimizers = blocks.iter().map(|block| OracleOptimizer::new(block.nrows(), block.ncols())).collect();
        OracleTower { blocks, constants, optimizers }
    });
    let recorded = |name: &str, start: usize, count: usize| {
        let mut values = vec![0.0; count];
        trajectory.array(name).unwrap_or_else(|| panic!("{name} is recorded")).read(start, &mut values);
        values
    };
    for (t, batch) in model.batches.iter().enumerate() {
        let embeddings: Vec<Matrix> = Side::ALL
            .iter()
            .zip(&towers)
            .map(|(&side, tower)| forward(&scenario.tower(side).encoder, &tower.blocks, &tower.constants, d))
            .collect();
        for (&side, q) in Side::ALL.iter().zip(&embeddings) {
            let rows = scenario.tower(side).rows;
            let bounds: Vec<_> = (0..rows).flat_map(|row| session.embedding(side, row)).collect();
            compared.check(
                &format!("{side}/q[{t}]"),
                &flat(q),
                &recorded(&format!("{side}/q"), t * rows * d, rows * d),
                &bounds,
            );
        }
        let slots = [batch.item_slots(), batch.users.clone()];
        let by_slot = |side: usize| Matrix::from_fn(slots[side].len(), d, |s, k| embeddings[side][(slots[side][s], k)]);
        let oracle = info_nce(loss, &by_slot(1), &by_slot(0), batch);
        let outcome = session.evaluate(batch);
        compared.check(&format!("loss[{t}]"), &[oracle.loss], &recorded("loss", t, 1), &[outcome.loss]);
        let before: Vec<Vec<Matrix>> = towers.iter().map(|tower| tower.blocks.clone()).collect();
        session.apply(&outcome);
        for (index, &side) in Side::ALL.iter().enumerate() {
            let name = |what: &str| format!("{side}/{what}");
            let spec = scenario.tower(side);
            let tower = &mut towers[index];
            let slot_gradients = if index == 0 { &oracle.items } else { &oracle.users };
            let count = slots[index].len();
            compared.check(
                &name("grad_out"),
                &flat(slot_gradients),
                &recorded(&name("grad_out"), t * count * d, count * d),
                outcome.tower(side).slot_gradients.values(),
            );
            let ids = trajectory.array(&name("ids")).unwrap();
            assert_eq!((0..count).map(|s| ids.integer(t * count + s) as usize).collect::<Vec<_>>(), slots[index]);
            // Pᵀ·G with P the matrix that picks rows.
            let picks = Matrix::from_fn(count, spec.rows, |s, row| f64::from(u8::from(slots[index][s] == row)));
            let upstream = picks.transpose() * slot_gradients;
            let mut bounds = vec![Running::<BITS>::from_f64(0.0); spec.rows * d];
            for (row, gradient) in &outcome.tower(side).rows {
                bounds[row * d..(row + 1) * d].copy_from_slice(gradient);
            }
            compared.check(
                &name("grad"),
                &flat(&upstream),
                &recorded(&name("grad"), t * spec.rows * d, spec.rows * d),
                &bounds,
            );
            let gradients = backward(&spec.encoder, &tower.blocks, &tower.constants, &upstream);
            let lr = rate(spec.optimizer.schedule(), t);
            approx::assert_relative_eq!(recorded(&name("lr"), t, 1)[0], lr, max_relative = 4.0 * f64::EPSILON);
            let private = model.tower(side).blocks.iter().all(|block| block.private);
            for (place, gradient) in gradients.iter().enumerate() {
                let block = &mut tower.blocks[place];
                let touched: Vec<bool> =
                    (0..block.nrows()).map(|row| !private || slots[index].contains(&row)).collect();
                tower.optimizers[place].step(&spec.optimizer, t as i32, lr, block, gradient, &touched);
                let computed = &session.gradients(side)[place];
                let values: Vec<f64> = computed.values().iter().map(|g| g.value()).collect();
                compared.check(
                    &format!("{side} gradient of block {place}"),
                    &flat(gradient),
                    &values,
                    computed.values(),
                );
                let moved = session.tables(side)[place];
                let values: Vec<f64> = moved.values().iter().map(|x| x.value()).collect();
                compared.check(&format!("{side} block {place} after step {t}"), &flat(block), &values, moved.values());
            }
            if session.has_own_parameters(side) {
                // One block a record: private rows side by side, a single table as it is, several shared ones in a line.
                let join = |blocks: &[Matrix]| -> Vec<f64> {
                    if private {
                        let rows = 0..blocks[0].nrows();
                        rows.flat_map(|row| {
                            blocks.iter().flat_map(move |b| b.row(row).iter().copied().collect::<Vec<_>>())
                        })
                        .collect()
                    } else {
                        blocks.iter().flat_map(flat).collect()
                    }
                };
                let lift = |values: Vec<f64>, bounds: &[f64]| -> Vec<Running<BITS>> {
                    values.iter().zip(bounds).map(|(&value, &error)| Running::uncertain(value, error)).collect()
                };
                let errors = |tables: &[&Table<Running<BITS>>]| {
                    join(&tables.iter().map(|t| matrix(&t.map(|x| x.error()))).collect::<Vec<_>>())
                };
                let next = join(&tower.blocks);
                let bounds = lift(next.clone(), &errors(&session.tables(side)));
                let read = |what: &str| recorded(&name(what), t * next.len(), next.len());
                compared.check(&name("table_next"), &next, &read("table_next"), &bounds);
                // What was before this step is what was after the last one.
                if t > 0 {
                    assert_eq!(read("table"), recorded(&name("table_next"), (t - 1) * next.len(), next.len()));
                } else {
                    assert_eq!(read("table"), join(&before[index]));
                }
                let computed = session.gradients(side);
                let bounds = lift(join(&gradients), &errors(&computed.iter().collect::<Vec<_>>()));
                compared.check(&name("table_grad"), &join(&gradients), &read("table_grad"), &bounds);
            }
        }
    }
    for (side, tower) in Side::ALL.into_iter().zip(&towers) {
        let q = forward(&scenario.tower(side).encoder, &tower.blocks, &tower.constants, d);
        let rows = q.nrows();
        let bounds: Vec<_> = (0..rows).flat_map(|row| session.embedding(side, row)).collect();
        let last = recorded(&format!("{side}/q"), model.batches.len() * rows * d, rows * d);
        compared.check(&format!("{side}/q at the end"), &flat(&q), &last, &bounds);
    }
}

fn encoders() -> Vec<EncoderKind> {
    let affine = |bias| EncoderKind::Affine(affine::Affine { features: 2, bias });
    let mlp = |hidden: &[usize], bias| {
        EncoderKind::Mlp(mlp::Mlp { features: 3, hidden: hidden.to_vec(), bias, activation: Default::default() })
    };
    vec![
        EncoderKind::Table(table::TableEncoder {}),
        affine(affine::Bias::Trained),
        affine(affine::Bias::Frozen),
        affine(affine::Bias::Absent),
        EncoderKind::TwoLayer(two_layer::TwoLayer { features: 2, hidden: 6 }),
        EncoderKind::SharedLinear(shared_linear::SharedLinear { features: 2 }),
        mlp(&[], true),
        mlp(&[7], true),
        mlp(&[7], false),
        mlp(&[6, 5], true),
    ]
}

/// Every rule, with settings that are exact in single precision.
pub fn optimizers(rows: Rows) -> Vec<Optimizer> {
    let lr = || Schedule::Constant(0.125);
    let decays = [
        None,
        Some(Decay { rate: 0.25, form: Form::Coupled }),
        Some(Decay { rate: 0.25, form: Form::Decoupled }),
    ];
    let mut all = Vec::new();
    for decay in decays {
        let decay = || decay.clone();
        all.push(Optimizer::Sgd(sgd::Sgd { lr: lr(), decay: decay(), rows }));
        for (momentum, dampening) in [(0.875, 0.0), (0.75, 0.25), (0.0, 0.5)] {
            let ball = heavy_ball::HeavyBall { lr: lr(), momentum, dampening, decay: decay(), rows };
            all.push(Optimizer::HeavyBall(ball));
        }
        all.push(Optimizer::Nesterov(nesterov::Nesterov { lr: lr(), momentum: 0.875, decay: decay(), rows }));
        for epsilon_place in [adam::EpsilonPlace::Corrected, adam::EpsilonPlace::Uncorrected] {
            let betas = (0.875, 0.96875);
            let epsilon = 0.0078125;
            let lr = Schedule::Constant(0.03125);
            all.push(Optimizer::Adam(adam::Adam { lr, betas, epsilon, epsilon_place, decay: decay(), rows }));
        }
        all.push(Optimizer::Adagrad(adagrad::Adagrad { lr: lr(), epsilon: 0.0625, decay: decay(), rows }));
        all.push(Optimizer::RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad {
            lr: lr(),
            epsilon: 0.0625,
            decay: decay(),
            rows,
        }));
    }
    all
}

fn schedules() -> [Schedule; 4] {
    [
        Schedule::Constant(0.125),
        Schedule::List(vec![0.25, 0.0, 0.125]),
        Schedule::Warmup { from: 0.0625, to: 0.3125, steps: 4 },
        Schedule::Exponential { start: 0.25, factor: 0.5 },
    ]
}

fn losses() -> [(Loss, Negatives); 6] {
    let loss = |similarity, epsilon| Loss { epsilon, ..Loss::info_nce(similarity, 0.25) };
    let (shared, own) = (Negatives::InBatch(InBatch {}), Negatives::Uniform(Uniform { count: 3 }));
    [
        (loss(Similarity::Cosine, 0.0), shared.clone()),
        (loss(Similarity::Cosine, 0.0), own.clone()),
        (loss(Similarity::Cosine, 0.875), shared.clone()),
        (loss(Similarity::Cosine, 0.875), own.clone()),
        (loss(Similarity::Dot, 0.0), shared),
        (loss(Similarity::Dot, 0.0), own),
    ]
}

/// All pairs of encoder and optimizer on the item side, while the other choices rotate.
fn scenarios(precision: Precision) -> Vec<Scenario> {
    let encoders = encoders();
    let optimizers: Vec<Optimizer> = [Rows::Dense, Rows::Lazy].into_iter().flat_map(optimizers).collect();
    let (losses, schedules) = (losses(), schedules());
    let mut scenarios = Vec::new();
    for (e, encoder) in encoders.iter().enumerate() {
        for (o, optimizer) in optimizers.iter().enumerate() {
            let number = scenarios.len();
            let (loss, negatives) = losses[number % losses.len()].clone();
            let mut optimizer = optimizer.clone();
            if !matches!(optimizer, Optimizer::Adam(_)) {
                *optimizer.schedule_mut() = schedules[(number / 5) % schedules.len()].clone();
            }
            let tower = |rows, encoder: &EncoderKind, optimizer| Tower {
                rows,
                encoder: encoder.clone(),
                optimizer,
                update: Default::default(),
                initial: Initial::Normal { std: 0.5 },
            };
            scenarios.push(Scenario {
                dim: [4, 5][number % 2],
                steps: 5,
                seed: number as u64,
                precision,
                loss,
                sampler: Sampler { batch: 4, exponent: 1.0, negatives },
                item: tower(7, encoder, optimizer),
                user: tower(
                    5,
                    &encoders[(e + number / 7) % encoders.len()],
                    optimizers[(o + 11) % optimizers.len()].clone(),
                ),
                batches: None,
            });
        }
    }
    scenarios
}

#[test]
fn runs_in_double_precision_match_the_matrix_trainer() {
    let mut compared = Compared::default();
    scenarios(Precision::F64).iter().for_each(|scenario| compare::<53>(scenario, &mut compared));
    // The bound grows from step to step, and noise in a gradient that is zero in theory is divided by a small root.
    assert!(compared.numbers > 100_000 && compared.sharp * 10 > compared.numbers * 8, "{compared:?}");
}

#[test]
fn runs_in_single_precision_match_the_matrix_trainer() {
    let mut compared = Compared::default();
    scenarios(Precision::F32).iter().for_each(|scenario| compare::<24>(scenario, &mut compared));
    assert!(compared.numbers > 100_000 && compared.sharp * 10 > compared.numbers * 4, "{compared:?}");
}

#[test]
fn info_nce_matches_its_matrix_form() {
    let mut random = random(11);
    let mut compared = Compared::default();
    for case in 0..2000 {
        let (pairs, d, own) = (random.random_range(1..6), random.random_range(1..7), random.random_range(0..4));
        let negatives = vec![(0..own).collect::<Vec<usize>>(); if own == 0 { 0 } else { pairs }];
        let batch = Batch { users: vec![0; pairs], positives: vec![0; pairs], negatives, ..Batch::default() };
        let (spec, _) = &losses()[case % 6];
        let temperature = 2.0_f64.powi(random.random_range(-3..=1));
        let objective = Objective::InfoNce(InfoNce { temperature, log_q: false });
        let spec = Loss { objective, ..spec.clone() };
        let mut rows =
            |count: usize| Table::from_values(d, (0..count * d).map(|_| signed(&mut random)).collect::<Vec<f64>>());
        let (users, items) = (rows(pairs), rows(pairs * (1 + own)));
        let lift = |table: &Table<f64>| table.map(|&x| Running::<53>::from_f64(x));
        let found = spec.evaluate(&lift(&users), &lift(&items), &batch);
        let oracle = info_nce(&spec, &matrix(&users), &matrix(&items), &batch);
        let values = |numbers: &[Running<53>]| numbers.iter().map(|x| x.value()).collect::<Vec<_>>();
        for (what, expected, numbers) in [
            ("loss", vec![oracle.loss], &[found.loss][..]),
            ("users", flat(&oracle.users), found.users.values()),
            ("items", flat(&oracle.items), found.items.values()),
            ("user scale", oracle.user_scale, &found.user_scale),
            ("item scale", oracle.item_scale, &found.item_scale),
        ] {
            compared.check(&format!("case {case} {what}"), &expected, &values(numbers), numbers);
        }
    }
    assert!(compared.sharp * 10 > compared.numbers * 9, "{compared:?}");
}

/// Settings as they are used, on gradients given from outside: each coordinate passes at most 16 roundings a step in
/// either implementation, and the bias correction 1 − β₂^t magnifies those of β₂^t by at most 1/(1 − β₂).
#[test]
fn optimizers_match_the_textbook_over_twelve_steps_of_given_gradients() {
    const STEPS: usize = 12;
    let mut random = random(5);
    let mut all: Vec<Optimizer> = [Rows::Dense, Rows::Lazy].into_iter().flat_map(optimizers).collect();
    for rows in [Rows::Dense, Rows::Lazy] {
        all.push(Optimizer::Adam(adam::Adam { rows, ..adam::Adam::with_rate(0.01) }));
        let epsilon_place = adam::EpsilonPlace::Uncorrected;
        all.push(Optimizer::Adam(adam::Adam { rows, epsilon_place, ..adam::Adam::with_rate(0.01) }));
        all.push(Optimizer::Adagrad(adagrad::Adagrad { lr: 0.1.into(), epsilon: 0.0, decay: None, rows }));
        all.push(Optimizer::RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad {
            lr: 0.1.into(),
            epsilon: 0.0,
            decay: None,
            rows,
        }));
    }
    for optimizer in all {
        for schedule in schedules() {
            let mut optimizer = optimizer.clone();
            *optimizer.schedule_mut() = schedule;
            let (rows, width) = (5, 3);
            let mut table =
                Table::from_values(width, (0..rows * width).map(|_| signed(&mut random)).collect::<Vec<f64>>());
            let mut weights = matrix(&table);
            let mut stepper = optimizer.start::<f64>(rows, width, &|x| x);
            let mut oracle = OracleOptimizer::new(rows, width);
            let beta2 = if let Optimizer::Adam(adam) = &optimizer {
                adam.betas.1
            } else {
                0.0
            };
            let allowed = 2.0 * Precision::F64.gamma(16 * STEPS) / (1.0 - beta2);
            for t in 0..STEPS {
                let mut gradient = perpend::encoder::Gradient::zeros(rows, width);
                let mut matrix = Matrix::zeros(rows, width);
                let mut touched = vec![false; rows];
                for row in 0..rows {
                    // Row 0 always, row 4 never, row 3 late, the others at times; a tenth of the gradients are zero.
                    touched[row] = match row {
                        0 => true,
                        4 => false,
                        3 => t > 5,
                        _ => random.random_range(0..3) == 0,
                    };
                    if touched[row] {
                        let zero = random.random_range(0..10) == 0;
                        for k in 0..width {
                            let g = if zero { 0.0 } else { signed(&mut random) };
                            gradient.accumulate(row)[k] = g;
                            matrix[(row, k)] = g;
                        }
                    }
                }
                let lr = rate(optimizer.schedule(), t);
                stepper.step(t as u64, &optimizer.schedule().at(t as u64), &mut table, &gradient);
                oracle.step(&optimizer, t as i32, lr, &mut weights, &matrix, &touched);
                for (found, expected) in table.values().iter().zip(flat(&weights)) {
                    approx::assert_relative_eq!(*found, expected, epsilon = allowed, max_relative = allowed);
                }
            }
        }
    }
}

#[test]
fn encoders_match_their_matrix_form_at_dimension_one_too() {
    for (seed, encoder) in encoders().into_iter().enumerate() {
        for (d, rows) in [(1, 1), (2, 3), (6, 2)] {
            let mut random = random(seed as u64);
            let mut table = |rows: usize, width: usize| {
                Table::from_values(width, (0..rows * width).map(|_| signed(&mut random)).collect::<Vec<f64>>())
            };
            let tables: Vec<_> = encoder.blocks(rows, d).iter().map(|b| table(b.rows, b.width)).collect();
            let forms = encoder.constants(Size { dim: d, rows, other_rows: 1 });
            let constants = table(rows, forms.iter().map(|form| form.count).sum());
            let blocks: Vec<Matrix> = tables.iter().map(matrix).collect();
            let matrix = matrix(&constants).resize_vertically(rows, 0.0);
            let expected = forward(&encoder, &blocks, &matrix, d);
            let built = encoder.build::<f64>(Place { dim: d, own: 0, other: blocks.len() }, constants.into());
            for row in 0..rows {
                // Sums of at most eight products in three layers, each of magnitude below 8³.
                for (k, q) in built.encode(&tables, row).iter().enumerate() {
                    approx::assert_abs_diff_eq!(
                        *q,
                        expected[(row, k)],
                        epsilon = 2.0 * Precision::F64.gamma(30) * 512.0
                    );
                }
            }
        }
    }
}
