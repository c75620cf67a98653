//! Whether a trajectory is an answer to what was asked.
//!
//! The reference's trajectory of the same scenario is the form that an answer must have: the same arrays, of the same shape
//! and precision, the same rows looked up, the same parameters before the first step. What is in the arrays after that is for
//! the claims to judge. A file of an earlier request, an echo of the tables, a file that is half written do not fit.
//!
//! What was asked needs no declaration and can't be changed by one: the settings and the learning rates that the claims are
//! judged by are those of the scenario, whatever the file says. A trainer that takes another rate and declares it is wrong.

use std::collections::BTreeMap;

use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::scenario::Materialised;
use crate::trainer::Trainer;
use crate::trajectory::{Array, Settings, Side, Trajectory};

/// The arrays of a tower that an answer must have where the reference has them.
const REQUIRED: [&str; 5] = ["q", "grad", "table", "table_grad", "table_next"];

fn numbers(array: &Array) -> Vec<f64> {
    let mut values = vec![0.0; array.len()];
    array.read(0, &mut values);
    values
}

/// Where the first number of an array that is not finite stands.
fn not_finite(array: &Array) -> Option<(Vec<usize>, f64)> {
    array.element().precision()?;
    let values = numbers(array);
    let mut index = values.iter().position(|x| !x.is_finite())?;
    let found = values[index];
    let mut place: Vec<usize> = array
        .shape()
        .iter()
        .rev()
        .map(|&length| {
            let at = index % length;
            index /= length;
            at
        })
        .collect();
    place.reverse();
    Some((place, found))
}

/// The rows of an array of rows, step by step, without padding.
fn looked_up(array: &Array, steps: usize, in_order: bool) -> Vec<Vec<i64>> {
    let width = array.len() / steps;
    let step = |step: usize| {
        let mut rows: Vec<i64> = (step * width..(step + 1) * width)
            .map(|index| array.integer(index))
            .filter(|&row| row >= 0)
            .collect();
        if !in_order {
            rows.sort_unstable();
        }
        rows
    };
    (0..steps).map(step).collect()
}

/// The answer of a trainer as a trajectory, with the scenario's settings.
///
/// # Errors
/// [`Error::is_input`]: the first array that does not fit, what was expected of it and what was found.
pub(super) fn fitted(
    asked: &Materialised,
    metadata: &BTreeMap<String, String>,
    mut arrays: BTreeMap<String, Array>,
) -> Result<Trajectory> {
    let expected = Reference.train(asked)?;
    let (declared, _) = Settings::from_metadata(metadata);
    let steps = asked.batches.len();
    for side in Side::ALL {
        for name in REQUIRED.map(|name| format!("{side}/{name}")) {
            let Some(form) = expected.array(&name) else { continue };
            let form = (form.element(), form.shape());
            let found = arrays.get(&name).map(|array| (array.element(), array.shape()));
            if found != Some(form) {
                let text = |(element, shape)| format!("{element} {shape:?}");
                return Err(Error::input(name, text(form), found.map_or("no such array".into(), text)));
            }
        }
        if let Some(stage) = declared.for_tower(Some(side)).grad_stage.filter(|stage| stage != "raw") {
            return Err(Error::input(format!("{side}/grad_stage"), "raw gradients", stage));
        }
        // An encoder's own table if it has one, else the table that is looked up; a tower without parameters starts nowhere.
        let name = ["table", "q"].map(|name| format!("{side}/{name}"));
        let name = name.into_iter().find(|name| expected.array(name).is_some());
        if let Some(name) = name.filter(|_| !asked.tower(side).blocks.is_empty()) {
            let first = |array: &Array| numbers(array)[..array.len() / array.shape()[0]].to_vec();
            let (given, found) = (first(&expected.arrays()[&name]), first(&arrays[&name]));
            if let Some(place) = (0..given.len()).find(|&place| given[place] != found[place]) {
                let place_text = format!("{name} before step 0: number {place}");
                return Err(Error::input(place_text, format!("{}, as it was given", given[place]), found[place]));
            }
        }
    }
    let rows = ["users", "positives", "negatives", "item/ids", "user/ids"];
    for (name, form) in rows.into_iter().filter_map(|name| Some((name, expected.array(name)?))) {
        let Some(array) = arrays.get(name) else { continue };
        let in_order = !name.ends_with("ids");
        let given = looked_up(form, steps, in_order);
        let rows = array.element().precision().is_none() && array.shape().first() == Some(&steps);
        let found = if rows {
            looked_up(array, steps, in_order)
        } else {
            Vec::new()
        };
        if given != found {
            return Err(Error::input(name, format!("the rows {given:?}, as they were given"), format!("{found:?}")));
        }
    }
    // Where training drives the reference's numbers out of the range too, the scenario is to blame.
    if expected.arrays().values().all(|array| not_finite(array).is_none())
        && let Some((name, (place, found))) = arrays.iter().find_map(|(name, array)| Some((name, not_finite(array)?)))
    {
        let expected = "finite numbers, as the reference finds";
        return Err(Error::input(name, expected, format!("{found} at {place:?}")));
    }
    for name in ["lr", "item/lr", "user/lr"] {
        arrays.remove(name);
        arrays.extend(expected.array(name).map(|rates| (name.to_string(), rates.clone())));
    }
    let Settings { framework, implementation, .. } = declared;
    Trajectory::new(Settings { framework, implementation, ..expected.settings().clone() }, arrays)
}
