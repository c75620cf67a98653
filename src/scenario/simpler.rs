//! Simpler scenarios than a given one: what is tried, in this order, to find the smallest on which something still happens.
//!
//! Kinds and settings of the item tower and of the loss stay, so that a claim that speaks of a scenario speaks of the simpler
//! ones too; the user tower may be anything, and so it may be a table.

use super::{Initial, Scenario, Tower};
use crate::encoder::table::TableEncoder;
use crate::encoder::{Architecture, Constant, EncoderKind, Form};
use crate::loss::ObjectiveFunction;
use crate::optimizer::{Optimizer, Schedule, sgd::Sgd};
use crate::trajectory::{Rows, Side};

/// Every valid scenario that is one change simpler, the largest changes first. The scenario must be explicit
/// ([`Materialised::explicit`](super::Materialised::explicit)).
pub(crate) fn simpler(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let candidates = single_steps(scenario)
        .chain(user_table(scenario))
        .chain(smaller(scenario))
        .chain(fewer(scenario))
        .chain(plainer(scenario))
        .chain(simpler_numbers(scenario));
    candidates.filter(|candidate| candidate.validate().is_ok())
}

/// One step of the scenario alone.
fn single_steps(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let batches = scenario.batches.as_deref().unwrap_or_default();
    batches.iter().filter(|_| batches.len() > 1).map(|batch| Scenario {
        steps: 1,
        batches: Some(vec![batch.clone()]),
        ..scenario.clone()
    })
}

/// The scenario with a user tower that is a table under plain SGD.
fn user_table(scenario: &Scenario) -> Option<Scenario> {
    let optimizer = Optimizer::Sgd(Sgd { lr: 1.0.into(), decay: None, rows: Rows::Dense });
    let already = matches!(scenario.user.encoder, EncoderKind::Table(_));
    let plain = already && scenario.user.update == Default::default() && scenario.user.optimizer == optimizer;
    let Initial::Explicit { tables, .. } = &scenario.user.initial else {
        return None;
    };
    let values = tables.first().filter(|values| !values.is_empty()).cloned().unwrap_or_else(|| vec![1.0]);
    let user = Tower {
        encoder: EncoderKind::Table(TableEncoder {}),
        optimizer,
        update: Default::default(),
        initial: Initial::Explicit {
            tables: vec![values.into_iter().cycle().take(scenario.user.rows * scenario.dim).collect()],
            constants: Vec::new(),
        },
        ..scenario.user
    };
    (!plain).then(|| Scenario { user, ..scenario.clone() })
}

/// The scenario with fewer dimensions, items or users.
fn smaller(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let sizes = [scenario.dim, scenario.item.rows, scenario.user.rows];
    (0..sizes.len()).flat_map(move |which| {
        let now = sizes[which];
        let targets = [1, 2, now - 1].into_iter().enumerate();
        let targets = targets.filter(move |&(place, size)| size >= 1 && size < now && (place < 2 || size > 2));
        targets.map(move |(_, size)| {
            let mut sizes = sizes;
            sizes[which] = size;
            resized(scenario, sizes)
        })
    })
}

/// The numbers of a table in another shape: rows and columns that are no longer there are left out, new ones repeat old ones.
fn reshaped(values: &[f64], width: usize, rows: usize, new_width: usize) -> Vec<f64> {
    if width == 0 || values.is_empty() {
        return vec![1.0; rows * new_width];
    }
    let old: Vec<&[f64]> = values.chunks_exact(width).collect();
    let row = |row: usize| old[row % old.len()].iter().copied().cycle().take(new_width);
    (0..rows).flat_map(row).collect()
}

fn tower(scenario: &Scenario, to: &mut Scenario, side: Side) {
    let (old, new) = (scenario.tower(side), to.tower(side));
    let Initial::Explicit { tables, constants } = &old.initial else {
        return;
    };
    let encoder = &old.encoder;
    let blocks = encoder.blocks(old.rows, scenario.dim).into_iter().zip(encoder.blocks(new.rows, to.dim));
    let tables = blocks
        .zip(tables)
        .map(|((old, new), values)| reshaped(values, old.width, new.rows, new.width))
        .collect();
    let shared = encoder.shared_constants(scenario.dim);
    let mut found: Vec<f64> = constants[..shared].to_vec();
    found = found.into_iter().cycle().take(encoder.shared_constants(to.dim)).collect();
    let (forms, new_forms) = (encoder.constants(scenario.size(side)), encoder.constants(to.size(side)));
    let width: usize = forms.iter().map(|form| form.count).sum();
    for row in 0..new.rows {
        let mut values = &constants[shared + row.min(old.rows - 1) * width..][..width];
        for (form, new_form) in forms.iter().zip(&new_forms) {
            let (own, others) = values.split_at(form.count);
            let fits = |x: f64| match new_form {
                Constant { form: Form::Index { below, .. }, .. } if x >= 0.0 => x % *below as f64,
                _ => x,
            };
            found.extend(own.iter().copied().cycle().take(new_form.count).map(fits));
            values = others;
        }
    }
    to.tower_mut(side).initial = Initial::Explicit { tables, constants: found };
}

/// The scenario with other sizes \[d, items, users\]. Rows that are no longer there are others.
fn resized(scenario: &Scenario, [dim, items, users]: [usize; 3]) -> Scenario {
    let mut to = scenario.clone();
    (to.dim, to.item.rows, to.user.rows) = (dim, items, users);
    for side in Side::ALL {
        tower(scenario, &mut to, side);
    }
    for batch in to.batches.iter_mut().flatten() {
        batch.users.iter_mut().for_each(|row| *row %= users);
        let own = batch.negatives.iter_mut().flatten();
        batch.positives.iter_mut().chain(own).chain(&mut batch.shared).for_each(|row| *row %= items);
        if scenario.loss.objective.wants_all_items() {
            batch.shared = (0..items).collect();
        }
        let slots = batch.item_slots().len();
        batch.log_q.truncate(slots);
    }
    to
}

/// The scenario with one step, or one pair of a step, less.
fn fewer(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let batches = scenario.batches.as_deref().unwrap_or_default();
    let steps = (0..batches.len()).filter(|_| batches.len() > 1).map(|step| {
        let mut fewer = scenario.clone();
        fewer.steps -= 1;
        fewer.batches.as_mut().expect("the scenario has batches").remove(step);
        fewer
    });
    let pairs = batches.iter().enumerate().flat_map(|(step, batch)| {
        let pairs = batch.users.len();
        (0..pairs).filter(move |_| pairs > 1).map(move |pair| (step, pair))
    });
    let pairs = pairs.map(|(step, pair)| {
        let mut fewer = scenario.clone();
        fewer.batches.as_mut().expect("the scenario has batches")[step].remove(pair);
        fewer
    });
    steps.chain(pairs)
}

/// The scenario with a tower's learning rate constant and 1.
fn plainer(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let one = Schedule::Constant(1.0);
    let changing = [Side::Item, Side::User]
        .into_iter()
        .filter(move |&side| *scenario.tower(side).optimizer.schedule() != one);
    changing.map(|side| {
        let mut plainer = scenario.clone();
        *plainer.tower_mut(side).optimizer.schedule_mut() = Schedule::Constant(1.0);
        plainer
    })
}

/// The scenario with one explicit number replaced by a simpler one.
fn simpler_numbers(scenario: &Scenario) -> impl Iterator<Item = Scenario> + '_ {
    let numbers = [Side::Item, Side::User].into_iter().flat_map(move |side| {
        let Initial::Explicit { tables, constants } = &scenario.tower(side).initial else {
            return Vec::new();
        };
        let places = tables.iter().chain([constants]).enumerate();
        places
            .flat_map(|(block, values)| (0..values.len()).map(move |k| (side, block, k, values[k])))
            .collect()
    });
    numbers.flat_map(move |(side, block, k, x)| {
        // Complexity: 0 < ±1 < integers < fractions.
        let candidates = [0.0, 1.0, -1.0, x.round()];
        let rank = |x: f64| match x {
            0.0 => 0,
            1.0 => 1,
            -1.0 => 2,
            x if x.fract() == 0.0 => 3,
            _ => 4,
        };
        candidates.into_iter().filter(move |candidate| rank(*candidate) < rank(x)).map(move |candidate| {
            let mut simpler = scenario.clone();
            let Initial::Explicit { tables, constants } = &mut simpler.tower_mut(side).initial else {
                return simpler;
            };
            tables.iter_mut().chain([constants]).nth(block).expect("the block is there")[k] = candidate;
            simpler
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::random::{Encoders, Family, Losses, Optimizers, Parts, scenarios_of};

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each candidate is smaller or simpler, and can be trained; from every scenario the smallest sizes are reached.
        #[test]
        fn every_scenario_becomes_as_small_as_its_parts_allow(scenario in scenarios_of(Parts {
            pooled: true,
            ..Parts::from(Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any })
        })) {
            for candidate in simpler(&scenario) {
                prop_assert!(candidate != scenario);
                prop_assert_eq!((&candidate.item.encoder, &candidate.loss), (&scenario.item.encoder, &scenario.loss));
                candidate.materialise().unwrap();
            }
            let mut smallest = scenario;
            loop {
                let candidates = single_steps(&smallest).chain(user_table(&smallest)).chain(smaller(&smallest));
                let next = { candidates }.find(|candidate| candidate.validate().is_ok());
                let Some(next) = next else { break };
                smallest = next;
            }
            prop_assert_eq!((smallest.steps, smallest.item.rows, smallest.user.rows), (1, 1, 1));
            prop_assert_eq!(smallest.dim, 1);
        }
    }
}
