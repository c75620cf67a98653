//! A scenario on its way to a trainer and back: the settings as JSON, the values as arrays ([`super`] has the table).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::encoder::Architecture;
use crate::error::{Error, Result};
use crate::sampler::Batch;
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trajectory::{Array, Side};

type Arrays = BTreeMap<String, Array>;

const PADDING: i64 = -1;

/// The scenario as a message shows it: the values are in the arrays.
///
/// # Errors
/// [`Error::is_unsupported`] for parts of one's own: code has no JSON.
pub(super) fn settings(materialised: &Materialised) -> Result<Value> {
    let mut scenario = materialised.scenario.clone();
    scenario.batches = None;
    for side in Side::ALL {
        scenario.tower_mut(side).initial = Initial::Explicit { tables: Vec::new(), constants: Vec::new() };
    }
    serde_json::to_value(&scenario).map_err(|error| Error::unsupported(format!("a scenario without JSON: {error}")))
}

/// Rows of unequal length, one a step, as one array.
fn padded<T: Copy>(steps: &[Vec<T>], padding: T) -> (usize, Vec<T>) {
    let longest = steps.iter().map(Vec::len).max().unwrap_or(0);
    let values = steps.iter().flat_map(|step| {
        let rest = longest - step.len();
        step.iter().copied().chain(std::iter::repeat_n(padding, rest))
    });
    (longest, values.collect())
}

fn rows(rows: &[usize]) -> Vec<i64> {
    rows.iter().map(|&row| row as i64).collect()
}

/// All values of a scenario.
pub(super) fn arrays(materialised: &Materialised) -> Arrays {
    let mut arrays = Arrays::new();
    for side in Side::ALL {
        let values = materialised.tower(side);
        for (block, table) in values.blocks.iter().zip(&values.tables) {
            let array = Array::from_f64(&[table.rows(), table.width()], table.values());
            arrays.insert(format!("{side}/{}", block.name), array);
        }
        let constants = &values.constants;
        if constants.rows.width() > 0 {
            let shape = [constants.rows.rows(), constants.rows.width()];
            arrays.insert(format!("{side}/constants"), Array::from_f64(&shape, constants.rows.values()));
        }
        if !constants.shared.is_empty() {
            let array = Array::from_f64(&[constants.shared.len()], &constants.shared);
            arrays.insert(format!("{side}/shared"), array);
        }
    }
    let batches = &materialised.batches;
    let steps = batches.len();
    let mut insert = |name: &str, of: &dyn Fn(&Batch) -> Vec<i64>| {
        let (width, values) = padded(&batches.iter().map(of).collect::<Vec<_>>(), PADDING);
        if width > 0 {
            arrays.insert(name.into(), Array::from_i64(&[steps, width], &values));
        }
    };
    insert("users", &|batch| rows(&batch.users));
    insert("positives", &|batch| rows(&batch.positives));
    insert("shared", &|batch| rows(&batch.shared));
    if batches.iter().any(|batch| batch.has_in_batch_negatives() != batch.negatives.is_empty()) {
        let flags: Vec<i64> = batches.iter().map(|batch| i64::from(batch.has_in_batch_negatives())).collect();
        arrays.insert("in_batch".into(), Array::from_i64(&[steps], &flags));
    }
    let pairs = batches.iter().map(|batch| batch.users.len()).max().unwrap_or(0);
    let own = batches.iter().flat_map(|batch| &batch.negatives).map(Vec::len).max().unwrap_or(0);
    if own > 0 {
        let mut values = vec![PADDING; steps * pairs * own];
        for (batch, place) in batches.iter().zip(values.chunks_exact_mut(pairs * own)) {
            for (negatives, place) in batch.negatives.iter().zip(place.chunks_exact_mut(own)) {
                place.iter_mut().zip(negatives).for_each(|(place, &row)| *place = row as i64);
            }
        }
        arrays.insert("negatives".into(), Array::from_i64(&[steps, pairs, own], &values));
    }
    let (slots, log_q) = padded(&batches.iter().map(|batch| batch.log_q.clone()).collect::<Vec<_>>(), 0.0);
    if slots > 0 {
        arrays.insert("log_q".into(), Array::from_f64(&[steps, slots], &log_q));
    }
    arrays
}

/// The array of this name, with a shape in which 0 stands for any length.
fn array<'a>(arrays: &'a Arrays, name: &str, shape: &[usize]) -> Result<Option<&'a Array>> {
    let Some(array) = arrays.get(name) else { return Ok(None) };
    let fits = array.shape().len() == shape.len()
        && array.shape().iter().zip(shape).all(|(&found, &expected)| expected == 0 || found == expected);
    match fits {
        true => Ok(Some(array)),
        false => Err(Error::input(name, format!("shape {shape:?}"), format!("{:?}", array.shape()))),
    }
}

fn numbers(arrays: &Arrays, name: &str, shape: &[usize]) -> Result<Vec<f64>> {
    let Some(array) = array(arrays, name, shape)? else {
        return Err(Error::input(name, "an array of numbers", "none"));
    };
    let mut values = vec![0.0; array.len()];
    array.read(0, &mut values);
    Ok(values)
}

/// One step of an array of rows, without padding.
fn rows_of(array: Option<&Array>, step: usize) -> Vec<usize> {
    let Some(array) = array else { return Vec::new() };
    let width = array.shape()[1..].iter().product::<usize>();
    let entries = (step * width..(step + 1) * width).map(|index| array.integer(index));
    entries.filter(|&row| row != PADDING).map(|row| row as usize).collect()
}

/// The scenario of a message with its values: the way back from [`settings`] and [`arrays`].
///
/// # Errors
/// [`Error::is_unsupported`] for kinds and settings that are not known here; arrays that are missing or of another shape, and
/// what [`Scenario::validate`] refuses.
pub(super) fn scenario(settings: Value, values: &Arrays) -> Result<Scenario> {
    let mut scenario: Scenario = serde_json::from_str(&settings.to_string()).map_err(Error::unsupported)?;
    for side in Side::ALL {
        let (tower, dim) = (scenario.tower(side), scenario.dim);
        let blocks = tower.encoder.blocks(tower.rows, dim);
        let tables = blocks
            .iter()
            .map(|block| numbers(values, &format!("{side}/{}", block.name), &[block.rows, block.width]))
            .collect::<Result<_>>()?;
        let mut constants = match tower.encoder.shared_constants(dim) {
            0 => Vec::new(),
            count => numbers(values, &format!("{side}/shared"), &[count])?,
        };
        let width: usize = tower.encoder.constants(scenario.size(side)).iter().map(|constant| constant.count).sum();
        if width > 0 {
            constants.extend(numbers(values, &format!("{side}/constants"), &[tower.rows, width])?);
        }
        scenario.tower_mut(side).initial = Initial::Explicit { tables, constants };
    }
    let steps = scenario.steps;
    let find = |name: &str, shape: &[usize]| array(values, name, shape);
    let (users, positives) = (find("users", &[steps, 0])?, find("positives", &[steps, 0])?);
    let (negatives, shared) = (find("negatives", &[steps, 0, 0])?, find("shared", &[steps, 0])?);
    let (in_batch, log_q) = (find("in_batch", &[steps])?, find("log_q", &[steps, 0])?);
    let batches = (0..steps).map(|step| {
        let own = negatives.map_or(1, |array| array.shape()[2]);
        let mut batch = Batch {
            users: rows_of(users, step),
            positives: rows_of(positives, step),
            negatives: rows_of(negatives, step).chunks(own).map(<[usize]>::to_vec).collect(),
            shared: rows_of(shared, step),
            in_batch: in_batch.map(|flags| flags.integer(step) != 0),
            log_q: Vec::new(),
        };
        if let Some(log_q) = log_q {
            let slots = batch.item_slots().len().min(log_q.shape()[1]);
            batch.log_q = vec![0.0; slots];
            log_q.read(step * log_q.shape()[1], &mut batch.log_q);
        }
        batch
    });
    scenario.batches = Some(batches.collect());
    scenario.validate()?;
    Ok(scenario)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::random::{Encoders, Family, Losses, Optimizers, Parts, scenarios_of};

    proptest! {
        /// Every kind of scenario arrives with every value: what is trained there is what would be trained here.
        #[test]
        fn scenarios_survive_the_way_to_a_trainer(scenario in scenarios_of(Parts {
            pooled: true,
            ..Parts::from(Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any })
        })) {
            let sent = scenario.materialise().unwrap();
            let text = settings(&sent).unwrap().to_string();
            let received = super::scenario(serde_json::from_str(&text).unwrap(), &arrays(&sent)).unwrap();
            let received = received.materialise().unwrap();
            for side in Side::ALL {
                prop_assert_eq!(&received.tower(side).tables, &sent.tower(side).tables);
                prop_assert_eq!(&received.tower(side).constants, &sent.tower(side).constants);
            }
            for (found, expected) in received.batches.iter().zip(&sent.batches) {
                prop_assert_eq!((&found.users, found.item_slots()), (&expected.users, expected.item_slots()));
                prop_assert_eq!(&found.log_q, &expected.log_q);
                for pair in 0..expected.users.len() {
                    prop_assert_eq!(found.candidates(pair), expected.candidates(pair));
                }
            }
            let bare = |materialised: &Materialised| settings(materialised).unwrap();
            prop_assert_eq!(bare(&received), bare(&sent));
            prop_assert!(bare(&sent)["item"]["initial"]["tables"].as_array().unwrap().is_empty(), "no value is text");
        }
    }
}
