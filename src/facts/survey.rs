//! What must be known of a tower before its records are judged: formats, scales, and what the header declares.

use std::collections::HashMap;

use super::context::{Context, Momentum, Rates, Replay};
use crate::error::Result;
use crate::geometry::{Table, add_scaled, dot, norm_f64};
use crate::loss::{EpsilonOn, Loss};
use crate::optimizer::{Optimizer, Update};
use crate::rounding::{Arithmetic, Precision};
use crate::sampler::Batch;
use crate::trajectory::{EpsOn, Side, Similarity, Tower, Trajectory};

/// Numbers that must be seen before their bits tell the format they were rounded to.
const ENOUGH_VALUES: u64 = 64;
/// Pairs in a batch and embeddings in a run up to which ‖a‖ is recomputed from the loss.
const RECOMPUTED_PRODUCTS: usize = 1 << 22;

/// Relative error of the factor that recorded gradients have in common: the embeddings that the loss saw may be rounded to half of
/// their bits, as in f16.
pub const FACTOR_ERROR: f64 = 1.0 / 2048.0;

/// One pass for scales and formats.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// max_row ‖g‖ of every step.
    pub largest_gradient: Vec<f64>,
    /// ‖G‖ of every step: the norm of the gradients of all rows together.
    pub total_gradient: Vec<f64>,
    /// The lookups of every step, where recorded.
    pub lookups: Vec<u64>,
    /// The smallest ‖q‖ among rows with a gradient.
    pub smallest_norm: Option<f64>,
    /// The format that the embeddings' bits show.
    pub stored: Precision,
    /// Records with a non-zero gradient.
    pub gradients: u64,
    /// Rows that had a gradient in some step, in increasing order.
    pub active: Vec<usize>,
}

/// Surveys a tower.
///
/// # Errors
/// What [`Tower::for_each`] finds unreadable.
pub fn survey(tower: &Tower<'_>) -> Result<Survey> {
    let mut largest_gradient = vec![0.0_f64; tower.steps()];
    let mut total_gradient = vec![0.0_f64; tower.steps()];
    let mut lookups = vec![0_u64; tower.steps()];
    let mut smallest_norm: Option<f64> = None;
    let (mut bits, mut values, mut gradients) = (0, 0_u64, 0);
    let widest = tower.precision().bits();
    let mut is_active = vec![false; tower.rows()];
    tower.for_each(0..tower.rows(), &mut |record| {
        if bits < widest {
            for &x in record.q.iter().chain(record.q_next) {
                bits = bits.max(Precision::significant_bits(x));
                values += u64::from(x != 0.0);
            }
        }
        lookups[record.step] += u64::from(record.lookups.unwrap_or(0));
        if let Some(gradient) = record.grad {
            let norm = norm_f64(gradient);
            if norm > 0.0 {
                gradients += 1;
                is_active[record.row] = true;
                let length = norm_f64(record.q);
                smallest_norm = Some(smallest_norm.map_or(length, |smallest| smallest.min(length)));
                largest_gradient[record.step] = largest_gradient[record.step].max(norm);
                total_gradient[record.step] = total_gradient[record.step].hypot(norm);
            }
        }
        Ok(())
    })?;
    let stored = if bits < widest && values >= ENOUGH_VALUES {
        Precision::holding(bits)
    } else {
        tower.precision()
    };
    let active = is_active.iter().enumerate().filter(|(_, active)| **active).map(|(row, _)| row).collect();
    Ok(Survey { largest_gradient, total_gradient, lookups, smallest_norm, stored, gradients, active })
}

impl Context {
    /// What the header and the recorded arrays say of a tower; a diagnosis may add to it.
    pub fn declared(trajectory: &Trajectory, tower: &Tower<'_>, survey: &Survey) -> Context {
        let settings = tower.settings();
        // Values of a narrow format may be stored in a wide one; never trust a declaration to be finer than the file.
        let storage = settings.param_dtype.unwrap_or(survey.stored).min(tower.precision());
        let mut arithmetic = Arithmetic::stored_in(storage);
        if let Some(compute) = settings.compute_dtype {
            arithmetic.gradient = arithmetic.gradient.min(compute);
        }
        let declared = settings.optimizer.clone().unwrap_or_default();
        let recorded: Option<Vec<f64>> = (0..tower.steps()).map(|step| tower.learning_rate(step)).collect();
        let relative_error = storage.unit_roundoff();
        let rates = match (recorded, declared.lr) {
            (Some(values), _) => Some(Rates::PerStep { values, relative_error }),
            (None, Some(value)) => Some(Rates::Constant { value, relative_error }),
            (None, None) => None,
        };
        let readings = Optimizer::readings(&declared);
        let update = Update::declared(&declared).unwrap_or_default();
        let replays = match &rates {
            None => Vec::new(),
            Some(rates) => readings
                .iter()
                .map(|optimizer| Replay {
                    name: describe(optimizer, rates),
                    optimizer: optimizer.clone(),
                    update: update.clone(),
                    rates: rates.clone(),
                    relative_error,
                    gradients: None,
                })
                .collect(),
        };
        let towers = trajectory.towers();
        let (upstream, gradient_factor) = declared_upstream(trajectory, tower).unwrap_or_default();
        Context {
            dim: tower.dim(),
            arithmetic,
            largest_gradient: survey.largest_gradient.clone(),
            momentum: readings.first().filter(|_| update.is_default()).and_then(Momentum::of),
            rates,
            upstream,
            upstream_limit: 4.0 / settings.temperature.unwrap_or(1.0),
            pairs: (0..tower.steps())
                .map(|step| {
                    let recorded = towers.iter().find_map(|tower| tower.users(step));
                    recorded.map_or(survey.lookups[step] as f64, |users| users.len() as f64)
                })
                .collect(),
            gradient_factor,
            encoding: None,
            replays,
            consecutive: tower.is_complete(),
            is_pooled: settings.encoder.as_deref() == Some("pooled"),
            is_table: match settings.encoder.as_deref() {
                Some(name) => matches!(name, "id" | "table" | "embedding"),
                None => tower.parameters().is_none(),
            },
        }
    }
}

impl Momentum {
    /// The momentum of an optimizer of the heavy-ball family; None for any other.
    pub fn of(optimizer: &Optimizer) -> Option<Momentum> {
        let lazy = optimizer.rows() == crate::trajectory::Rows::Lazy;
        match optimizer {
            Optimizer::Sgd(_) => Some(Momentum { beta: 0.0, weight: 1.0, lazy }),
            Optimizer::HeavyBall(ball) => {
                Some(Momentum { beta: ball.momentum, weight: 1.0 - ball.effective_dampening(), lazy })
            }
            _ => None,
        }
    }
}

/// How reports name an optimizer.
pub fn describe(optimizer: &Optimizer, rates: &Rates) -> String {
    let declared = optimizer.declare();
    let mut text = declared.name.unwrap_or_default();
    match rates {
        Rates::Constant { value, .. } => text += &format!(", lr {value}"),
        Rates::PerStep { .. } => text += ", lr as recorded",
    }
    if let Some(momentum) = declared.momentum.filter(|&momentum| momentum != 0.0) {
        text += &format!(", momentum {momentum}");
    }
    if declared.nesterov == Some(true) {
        text += " (Nesterov)";
    }
    if let Some(decay) = declared.weight_decay.filter(|&decay| decay != 0.0) {
        text += &format!(", weight decay {decay}");
    }
    if let Some(rows) = declared.sparse.filter(|_| declared.momentum != Some(0.0) || declared.weight_decay != Some(0.0))
    {
        text += &format!(", {rows}");
    }
    text
}

/// A length for every (step, row).
type Scales = HashMap<(u64, u64), f64>;

/// ‖a‖ of every (step, row), from the loss that the header declares: possible where both towers, the pairs, the similarity
/// and the temperature are recorded and the run is small enough. Beside it the factor that all recorded gradients have in
/// common, where there is one.
fn declared_upstream(trajectory: &Trajectory, tower: &Tower<'_>) -> Option<(Scales, Option<f64>)> {
    let settings = tower.settings();
    // Other losses, masks and corrections have settings that no header tells.
    if settings.loss.as_deref() != Some("info-nce") {
        return None;
    }
    let loss = Loss {
        epsilon: settings.eps.unwrap_or(0.0),
        epsilon_on: match settings.eps_on {
            Some(EpsOn::Norm) | None => EpsilonOn::Norm,
            Some(EpsOn::Norm2) => EpsilonOn::Norm2,
            Some(EpsOn::Product) => EpsilonOn::Product,
            Some(EpsOn::Add) => EpsilonOn::Add,
        },
        ..Loss::info_nce(settings.similarity.unwrap_or(Similarity::Cosine), settings.temperature?)
    };
    let towers = trajectory.towers();
    let side = |side: Side| towers.iter().find(move |tower| tower.side() == Some(side));
    let (item, user) = (side(Side::Item)?, side(Side::User)?);
    let rows = |ids: Vec<i64>, tower: &Tower<'_>| -> Option<Vec<usize>> {
        ids.into_iter().map(|id| tower.local_row(id)).collect()
    };
    let batch = |step: usize| {
        let negatives = match item.negatives(step) {
            None => Vec::new(),
            Some((flat, width)) => rows(flat, item)?.chunks(width).map(<[usize]>::to_vec).collect(),
        };
        let (users, positives) = (rows(item.users(step)?, user)?, rows(item.positives(step)?, item)?);
        Some(Batch { users, positives, negatives, ..Batch::default() })
    };
    let mut recomputed = recompute(trajectory, tower, &loss, &batch)?;
    if let Some(factor) = common_factor(tower, &recomputed.gradients) {
        recomputed.scales.values_mut().for_each(|scale| *scale *= factor);
        return Some((recomputed.scales, Some(factor)));
    }
    Some((recomputed.scales, None))
}

/// By how much the recorded gradients exceed the recomputed ones, where it is the same for all of them: a loss that is scaled, or
/// summed where a mean is declared.
fn common_factor(tower: &Tower<'_>, gradients: &HashMap<(u64, u64), Vec<f64>>) -> Option<f64> {
    let mut factors = Vec::new();
    let mut aligned = true;
    let walked = tower.for_each(0..tower.rows(), &mut |record| {
        let known = gradients.get(&(record.step as u64, record.row as u64));
        if let (Some(recorded), Some(gradient)) = (record.grad, known) {
            let (norm, size) = (norm_f64(recorded), norm_f64(gradient));
            if norm > 0.0 && size > 0.0 {
                aligned &= dot(recorded, gradient) > (1.0 - FACTOR_ERROR) * norm * size;
                factors.push(norm / size);
            }
        }
        Ok(())
    });
    walked.ok()?;
    factors.sort_by(f64::total_cmp);
    let factor = *factors.get(factors.len() / 2)?;
    let all = aligned
        && factors.first()? > &(factor * (1.0 - FACTOR_ERROR))
        && factors.last()? < &(factor * (1.0 + FACTOR_ERROR));
    // Below two it is no scale that anybody chooses, and the bound on ‖a‖ stands.
    (all && factor > 2.0).then_some(factor)
}

/// ‖a‖ of every (step, row) under a loss and batches; None where the file does not have the embeddings, or the run is long.
pub(crate) fn upstream(
    trajectory: &Trajectory,
    tower: &Tower<'_>,
    loss: &Loss,
    batch: &dyn Fn(usize) -> Option<Batch>,
) -> Option<HashMap<(u64, u64), f64>> {
    recompute(trajectory, tower, loss, batch).map(|recomputed| recomputed.scales)
}

/// What a loss says of every (step, row).
struct Recomputed {
    /// ‖a‖.
    scales: HashMap<(u64, u64), f64>,
    /// The gradient.
    gradients: HashMap<(u64, u64), Vec<f64>>,
}

fn recompute(
    trajectory: &Trajectory,
    tower: &Tower<'_>,
    loss: &Loss,
    batch: &dyn Fn(usize) -> Option<Batch>,
) -> Option<Recomputed> {
    let own_side = tower.side()?;
    let towers = trajectory.towers();
    let side = |side: Side| towers.iter().find(move |tower| tower.side() == Some(side));
    let (item, user) = (side(Side::Item)?, side(Side::User)?);
    let first = batch(0)?;
    let products = (0..first.users.len()).map(|pair| first.candidates(pair).count()).sum::<usize>();
    if item.is_sparse()
        || user.is_sparse()
        || products.saturating_mul(item.dim()).saturating_mul(item.steps()) > RECOMPUTED_PRODUCTS
    {
        return None;
    }
    let (mut scales, mut gradients) = (HashMap::new(), HashMap::<_, Vec<f64>>::new());
    for step in 0..tower.steps() {
        let batch = batch(step)?;
        let (item_slots, user_slots) = (batch.item_slots(), batch.users.clone());
        let embeddings = |tower: &Tower<'_>, slots: &[usize]| -> Option<Table<f64>> {
            let mut values = vec![0.0; slots.len() * tower.dim()];
            for (&row, out) in slots.iter().zip(values.chunks_exact_mut(tower.dim())) {
                tower.embedding(step, row, out).then_some(())?;
            }
            Some(Table::from_values(tower.dim(), values))
        };
        let evaluation = loss.evaluate(&embeddings(user, &user_slots)?, &embeddings(item, &item_slots)?, &batch);
        let (slots, scale, gradient) = match own_side {
            Side::Item => (item_slots, evaluation.item_scale, evaluation.items),
            Side::User => (user_slots, evaluation.user_scale, evaluation.users),
        };
        for (slot, (row, scale)) in slots.into_iter().zip(scale).enumerate() {
            let place = (step as u64, row as u64);
            *scales.entry(place).or_default() += scale;
            let sum = gradients.entry(place).or_insert_with(|| vec![0.0; tower.dim()]);
            add_scaled(sum, 1.0, gradient.row(slot));
        }
    }
    Some(Recomputed { scales, gradients })
}
