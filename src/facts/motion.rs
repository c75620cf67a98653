//! How the rows of a tower move, step by step: quantiles of the angle between step and embedding, and of the growth of norms.
//!
//! One pass, without claims: for every (step, row) cos∠(q, Δq) and ‖q'‖/‖q‖ with Δq = q' − q, and of each step's values
//! the exact quantiles, by selection. A step that is orthogonal to its embedding has cosine 0 and growth above 1.
//!
//! Blocks of rows are taken through [`TOGETHER`] consecutive steps while they are in the cache, so that a recording in one array
//! is read from memory little more than once; groups of steps are shared out to the threads. What is kept merges in any
//! order: each step is in one part. *Memory*: 16·N bytes a step that is worked on, [`TOGETHER`] of them a thread, fewer where N is
//! large; in the sparse form 16 bytes a record.
//!
//! *Error*: with u of double precision, |cos − exact| ≤ 4·γ_{d+4} and |growth/exact − 1| ≤ 2·γ_{d+4}: an inner product of d terms
//! carries at most γ_d of the product of the norms, each difference one rounding, norms half the error of their squares, and
//! root, product and quotient one rounding each (Higham 2002, §3.1). Rows whose squares leave the range of normal numbers are
//! scaled first. Quantiles of values with an error have no larger one, but for the two roundings of the interpolation.

use std::collections::BTreeMap;
use std::ops::Range;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::products::{Products, Stored, Wide};
use crate::error::{Error, Result};
use crate::geometry::{cosine_f64, norm_f64};
use crate::simd::{self, Task};
use crate::trajectory::{Array, Tower};

/// The shares of the rows below each quantile.
pub const SHARES: [f64; 7] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99];

/// Quantiles at [`SHARES`], interpolated linearly between the order statistics at ⌊p(n−1)⌋ and ⌈p(n−1)⌉ (Hyndman and Fan's
/// type 7, the default of NumPy, R and PyTorch).
pub type MotionQuantiles = [f64; SHARES.len()];

/// Steps that one thread works on at a time.
const TOGETHER: usize = 16;

/// Bytes that one thread keeps at most, as long as one step of them fits.
const KEPT: usize = 64 << 20;

/// Bytes of a block of rows before and after a step: half of a small second-level cache.
const BLOCK: usize = 128 << 10;

/// How the rows moved in one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepMotion {
    /// Rows that moved from an embedding that is not zero: those with an angle.
    pub moved: u64,
    /// cos∠(q, Δq) of these; None where there are none.
    pub cosine: Option<MotionQuantiles>,
    /// Rows whose embedding was not zero: those with a growth. Rows that rest count where every row is recorded in every step;
    /// in the sparse form only recorded rows do.
    pub rows: u64,
    /// ‖q'‖/‖q‖ of these; None where there are none.
    pub growth: Option<MotionQuantiles>,
}

/// How the rows of a tower moved, by step (from 0).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Motion {
    /// The steps.
    pub steps: BTreeMap<u64, StepMotion>,
}

impl Motion {
    /// Adds the motion in other steps of the same tower. In any order: a step that both have is the same in both.
    pub fn merge(&mut self, other: &Self) {
        self.steps.extend(other.steps.iter().map(|(&step, motion)| (step, motion.clone())));
    }
}

/// The motion of all recorded rows of a tower in all steps.
///
/// ```
/// use std::collections::BTreeMap;
/// use perpend::facts::motion;
/// use perpend::trajectory::{Array, Settings, Trajectory};
/// // One row turns, one grows.
/// let q = Array::from_f32(&[2, 2, 2], &[3.0, 0.0, 1.0, 0.0, 3.0, 4.0, 1.5, 0.0]);
/// let run = Trajectory::new(Settings::default(), BTreeMap::from([("q".to_owned(), q)]))?;
/// let motion = motion(&run.towers()[0])?;
/// let step = &motion.steps[&0];
/// assert_eq!(step.cosine.unwrap()[3], 0.5);
/// assert_eq!(step.growth.unwrap()[3], (5.0 / 3.0 + 1.5) / 2.0);
/// # Ok::<(), perpend::Error>(())
/// ```
///
/// # Errors
/// A number that is not finite, with its place.
pub fn motion(tower: &Tower<'_>) -> Result<Motion> {
    if tower.states().is_none() {
        return one_by_one(tower, &(0..tower.steps()));
    }
    let together = (KEPT / (2 * size_of::<f64>() * tower.rows().max(1))).clamp(1, TOGETHER);
    // No fewer groups than threads, where there are as many steps.
    let together = together.min(tower.steps().div_ceil(rayon::current_num_threads())).max(1);
    let groups: Vec<Range<usize>> = (0..tower.steps())
        .step_by(together)
        .map(|first| first..(first + together).min(tower.steps()))
        .collect();
    let parts = groups.into_par_iter().map(|steps| motion_in(tower, steps)).collect::<Result<Vec<_>>>()?;
    let mut motion = Motion::default();
    parts.iter().for_each(|part| motion.merge(part));
    Ok(motion)
}

/// The motion in some steps, as far as there are as many; [`Motion::merge`] puts it together with that in others.
///
/// # Errors
/// As [`motion`].
pub fn motion_in(tower: &Tower<'_>, steps: Range<usize>) -> Result<Motion> {
    let steps = steps.start..steps.end.min(tower.steps());
    let Some((q, next)) = tower.states().filter(|_| tower.rows() > 0) else {
        return one_by_one(tower, &steps);
    };
    match (q.as_f32(), q.as_f64(), next.map(Array::as_f32), next.map(Array::as_f64)) {
        (Some(q), _, None, _) => states(tower, &steps, slices(tower, q, None)),
        (Some(q), _, Some(Some(next)), _) => states(tower, &steps, slices(tower, q, Some(next))),
        (_, Some(q), _, None) => states(tower, &steps, slices(tower, q, None)),
        (_, Some(q), _, Some(Some(next))) => states(tower, &steps, slices(tower, q, Some(next))),
        // Narrow formats, and bytes at odd places, are decoded, block by block.
        _ => {
            let (mut before, mut after) = (Vec::new(), Vec::new());
            states(tower, &steps, |step: usize, rows: Range<usize>, task: WithRows<'_, f64>| {
                let place = |state: usize| (state * tower.rows() + rows.start) * tower.dim();
                before.resize(rows.len() * tower.dim(), 0.0);
                after.resize(rows.len() * tower.dim(), 0.0);
                q.read(place(step), &mut before);
                match next {
                    Some(next) => next.read(place(step), &mut after),
                    None => q.read(place(step + 1), &mut after),
                }
                task(&before, &after)
            })
        }
    }
}

/// What is done with some rows before and after a step: the first row that is not finite, if one is.
type WithRows<'a, E> = &'a mut dyn FnMut(&[E], &[E]) -> Option<usize>;

/// Rows before and after a step, where both are slices of an array.
fn slices<'a, E>(
    tower: &Tower<'_>,
    q: &'a [E],
    next: Option<&'a [E]>,
) -> impl FnMut(usize, Range<usize>, WithRows<'_, E>) -> Option<usize> + use<'a, E> {
    let (count, dim) = (tower.rows(), tower.dim());
    move |step, rows, task| {
        let place = |state: usize| (state * count + rows.start) * dim..(state * count + rows.end) * dim;
        task(&q[place(step)], next.map_or_else(|| &q[place(step + 1)], |next| &next[place(step)]))
    }
}

/// The motion in some steps, of rows that are had block by block.
fn states<E: Stored>(
    tower: &Tower<'_>,
    steps: &Range<usize>,
    mut rows_of: impl FnMut(usize, Range<usize>, WithRows<'_, E>) -> Option<usize>,
) -> Result<Motion> {
    let (rows, dim) = (tower.rows(), tower.dim());
    let block = (BLOCK / (2 * dim * size_of::<E>())).clamp(1, rows);
    let mut cosines = vec![0.0; steps.len() * rows];
    let mut growths = vec![0.0; steps.len() * rows];
    for first in (0..rows).step_by(block) {
        let range = first..(first + block).min(rows);
        for (k, step) in steps.clone().enumerate() {
            let out = k * rows + range.start..k * rows + range.end;
            let (cosines, growths) = (&mut cosines[out.clone()], &mut growths[out]);
            let bad = rows_of(step, range.clone(), &mut |before, after| {
                simd::run(Block { dim, before, after, cosines: &mut *cosines, growths: &mut *growths })
            });
            if let Some(row) = bad {
                return Err(not_finite(tower, range.start + row));
            }
        }
    }
    let each = cosines.chunks_exact_mut(rows).zip(growths.chunks_exact_mut(rows)).zip(steps.clone());
    let each = each.map(|((cosines, growths), step)| (step as u64, StepMotion::of(cosines, growths)));
    Ok(Motion { steps: each.collect() })
}

/// Rows of one step: `before`, `after`: `[rows, d]`; the results `[rows]`, not a number where there is none.
struct Block<'a, E> {
    dim: usize,
    before: &'a [E],
    after: &'a [E],
    cosines: &'a mut [f64],
    growths: &'a mut [f64],
}

impl<E: Stored> Task for Block<'_, E> {
    /// The first row with a number that is not finite.
    type Output = Option<usize>;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> Option<usize> {
        let mut wide = [Wide::ZERO; 3];
        let rows = self.before.chunks_exact(self.dim).zip(self.after.chunks_exact(self.dim));
        let out = self.cosines.iter_mut().zip(self.growths.iter_mut());
        for (row, ((before, after), (cosine, growth))) in rows.zip(out).enumerate() {
            let products = Products::of(before, after, &mut wide);
            if products.are_safe() {
                let length = products.before.sqrt();
                *cosine = products.radial / (length * products.step.sqrt());
                *growth = products.after.sqrt() / length;
                continue;
            }
            let Some(found) = by_scaling(&products, before, after) else {
                return Some(row);
            };
            (*cosine, *growth) = found;
        }
        None
    }
}

/// Cosine and growth of one row where squares may leave the range of numbers; not a number where there is none. None where
/// a coordinate is not finite.
#[inline(never)]
fn by_scaling<E: Stored>(products: &Products, before: &[E], after: &[E]) -> Option<(f64, f64)> {
    let wide = |row: &[E]| -> Vec<f64> { row.iter().map(|&x| x.wide()).collect() };
    let is_row = products.before > 0.0 && products.before.is_finite();
    // Rows that stay are most rows of most steps.
    if is_row && products.step == 0.0 && before.iter().zip(after).all(|(q, next)| q.wide() == next.wide()) {
        return Some((f64::NAN, 1.0));
    }
    let (q, next) = (wide(before), wide(after));
    if !q.iter().chain(&next).all(|x| x.is_finite()) {
        return None;
    }
    let step: Vec<f64> = next.iter().zip(&q).map(|(next, q)| next - q).collect();
    let length = norm_f64(&q);
    let growth = if length > 0.0 {
        norm_f64(&next) / length
    } else {
        f64::NAN
    };
    Some((cosine_f64(&q, &step).unwrap_or(f64::NAN), growth))
}

fn not_finite(tower: &Tower<'_>, row: usize) -> Error {
    match tower.for_each(row..row + 1, &mut |_| Ok(())) {
        Err(error) => error,
        Ok(()) => Error::internal("a finite row has an infinite sum"),
    }
}

/// The motion of recorded rows, where not every row is recorded in every step.
fn one_by_one(tower: &Tower<'_>, steps: &Range<usize>) -> Result<Motion> {
    let mut values: BTreeMap<u64, (Vec<f64>, Vec<f64>)> = BTreeMap::new();
    tower.for_each(0..tower.rows(), &mut |record| {
        if steps.contains(&record.step) {
            let (mut cosine, mut growth) = ([0.0], [0.0]);
            let task = Block {
                dim: tower.dim(),
                before: record.q,
                after: record.q_next,
                cosines: &mut cosine,
                growths: &mut growth,
            };
            simd::run(task);
            let (cosines, growths) = values.entry(record.step as u64).or_default();
            cosines.extend(cosine);
            growths.extend(growth);
        }
        Ok(())
    })?;
    let mut motion = Motion::default();
    for step in steps.clone() {
        let (mut cosines, mut growths) = values.remove(&(step as u64)).unwrap_or_default();
        motion.steps.insert(step as u64, StepMotion::of(&mut cosines, &mut growths));
    }
    Ok(motion)
}

impl StepMotion {
    fn of(cosines: &mut [f64], growths: &mut [f64]) -> Self {
        let (cosines, growths) = (numbers(cosines), numbers(growths));
        StepMotion {
            moved: cosines.len() as u64,
            rows: growths.len() as u64,
            cosine: quantiles(cosines),
            growth: quantiles(growths),
        }
    }
}

/// What is a number, moved to the front.
fn numbers(values: &mut [f64]) -> &mut [f64] {
    if !values.iter().any(|value| value.is_nan()) {
        return values;
    }
    let mut count = 0;
    for place in 0..values.len() {
        if !values[place].is_nan() {
            values[count] = values[place];
            count += 1;
        }
    }
    &mut values[..count]
}

/// The quantiles of numbers, which lose their order; None if there are none.
fn quantiles(values: &mut [f64]) -> Option<MotionQuantiles> {
    let last = values.len().checked_sub(1)?;
    let places = SHARES.map(|share| share * last as f64);
    let mut ranks: Vec<usize> =
        places.iter().flat_map(|place| [place.floor(), place.ceil()]).map(|rank| rank as usize).collect();
    ranks.sort_unstable();
    ranks.dedup();
    // Integers in the order of the doubles: they are compared and moved without a branch.
    let keys: &mut [i64] = bytemuck::cast_slice_mut(values);
    keys.iter_mut().for_each(|key| *key = ordered(*key));
    select(keys, 0, &ranks);
    let at = |rank: f64| f64::from_bits(ordered(keys[rank as usize]) as u64);
    Some(places.map(|place| {
        let (below, above) = (at(place.floor()), at(place.ceil()));
        below + (place - place.floor()) * (above - below)
    }))
}

/// The bits of a double as an integer that is ordered as the doubles are, and back: all bits but the sign change where the sign is
/// set ([`f64::total_cmp`]).
fn ordered(bits: i64) -> i64 {
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

/// Puts the numbers at increasing ranks, counted from `first`, where sorting would put them.
fn select(keys: &mut [i64], first: usize, ranks: &[usize]) {
    let Some(&middle) = ranks.get(ranks.len() / 2) else {
        return;
    };
    let (below, _, above) = keys.select_nth_unstable(middle - first);
    let (lower, upper) = (&ranks[..ranks.len() / 2], &ranks[ranks.len() / 2 + 1..]);
    select(below, first, lower);
    select(above, middle + 1, upper);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::geometry::dot;
    use crate::rounding::Precision;
    use crate::trajectory::{Element, Settings, Trajectory};

    fn run(q: Array, next: Option<Array>) -> Trajectory {
        let arrays = [Some(("q".to_owned(), q)), next.map(|next| ("q_next".to_owned(), next))];
        Trajectory::new(Settings::default(), arrays.into_iter().flatten().collect()).unwrap()
    }

    /// The same by plain loops and a sort.
    fn plainly(tower: &Tower<'_>) -> Vec<(Vec<f64>, Vec<f64>)> {
        let mut values = vec![(Vec::new(), Vec::new()); tower.steps()];
        tower
            .for_each(0..tower.rows(), &mut |record| {
                let step: Vec<f64> = record.q_next.iter().zip(record.q).map(|(next, q)| next - q).collect();
                let norm = |v: &[f64]| dot(v, v).sqrt();
                let (cosines, growths) = &mut values[record.step];
                if norm(record.q) > 0.0 {
                    growths.push(norm(record.q_next) / norm(record.q));
                    if norm(&step) > 0.0 {
                        cosines.push(dot(record.q, &step) / (norm(record.q) * norm(&step)));
                    }
                }
                Ok(())
            })
            .unwrap();
        for (cosines, growths) in &mut values {
            cosines.sort_by(f64::total_cmp);
            growths.sort_by(f64::total_cmp);
        }
        values
    }

    fn interpolated(sorted: &[f64]) -> Option<MotionQuantiles> {
        let last = sorted.len().checked_sub(1)? as f64;
        Some(SHARES.map(|share| {
            let (below, above) = ((share * last).floor(), (share * last).ceil());
            let (low, high) = (sorted[below as usize], sorted[above as usize]);
            low + (share * last - below) * (high - low)
        }))
    }

    fn near(
        found: Option<MotionQuantiles>,
        plain: Option<MotionQuantiles>,
        allowed: impl Fn(f64) -> f64,
    ) -> Result<(), TestCaseError> {
        let pairs = match (found, plain) {
            (Some(found), Some(plain)) => found.into_iter().zip(plain),
            (found, plain) => {
                prop_assert_eq!(found, plain);
                return Ok(());
            }
        };
        for (found, plain) in pairs {
            prop_assert!((found - plain).abs() <= allowed(plain), "{found:e} {plain:e}");
        }
        Ok(())
    }

    proptest! {
        /// Every format, both forms, tails of every length, rows that stay and rows of zeros.
        #[test]
        fn it_is_what_plain_loops_and_a_sort_give(
            steps in 1usize..5, rows in 1usize..40, dim in 1usize..35, pair in prop::bool::ANY,
            element in prop::sample::select(vec![Element::F64, Element::F32, Element::F16, Element::Bf16]),
            seed in prop::collection::vec(-1.0f64..1.0, 40), stays in 2usize..5,
        ) {
            let value = |place: usize| match place / dim % stays {
                0 => 0.0,
                _ => seed[place % 37] * (1.0 + seed[place % 11 + 3]) + seed[place / dim % 40],
            };
            // Without a second array the states follow one another; every other row stays for a step.
            let states = steps + usize::from(!pair);
            let all = |shift: usize, states: usize| -> Vec<f64> {
                (0..states * rows * dim).map(|k| value(if k / dim % 2 == 0 { k % (rows * dim) } else { k + shift })).collect()
            };
            let array = |shift: usize, states: usize| Array::encode(element, &[states, rows, dim], &all(shift, states));
            let trajectory = run(array(0, states), pair.then(|| array(7, steps)));
            let tower = trajectory.towers()[0];
            let found = motion(&tower).unwrap();
            // Both sides are within the bound of the exact values, and the interpolation adds two roundings of numbers
            // that are no larger than the values.
            let gamma = Precision::F64.gamma(dim + 4);
            for (step, (cosines, growths)) in plainly(&tower).into_iter().enumerate() {
                let here = &found.steps[&(step as u64)];
                prop_assert_eq!((here.moved, here.rows), (cosines.len() as u64, growths.len() as u64));
                near(here.cosine, interpolated(&cosines), |_| 8.0 * gamma + 4.0 * f64::EPSILON)?;
                // The interpolated growth is at most the largest one.
                let largest = growths.last().copied().unwrap_or(0.0);
                near(here.growth, interpolated(&growths), |_| (4.0 * gamma + 4.0 * f64::EPSILON) * largest)?;
            }
        }

        /// Parts of any size, put together in any order.
        #[test]
        fn parts_merge_in_any_order(cuts in prop::collection::vec(0usize..9, 0..4), backwards in prop::bool::ANY) {
            let values: Vec<f32> = (0..10 * 6 * 5).map(|k| ((k * 37 % 101) as f32 - 50.0) / 8.0).collect();
            let trajectory = run(Array::from_f32(&[10, 6, 5], &values), None);
            let tower = trajectory.towers()[0];
            let mut cuts = [vec![0, 9], cuts].concat();
            cuts.sort_unstable();
            let mut parts: Vec<Motion> = cuts.windows(2).map(|cut| motion_in(&tower, cut[0]..cut[1]).unwrap()).collect();
            if backwards {
                parts.reverse();
            }
            let mut together = Motion::default();
            parts.iter().for_each(|part| together.merge(part));
            prop_assert_eq!(&together, &motion(&tower).unwrap());
            // What is missing is missed.
            let mut but_one = Motion::default();
            parts.iter().filter(|part| !part.steps.contains_key(&4)).for_each(|part| but_one.merge(part));
            prop_assert_ne!(but_one, together);
        }

        #[test]
        fn selection_finds_what_a_sort_finds(mut values in prop::collection::vec(-1e3f64..1e3, 0..200)) {
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            prop_assert_eq!(quantiles(&mut values), interpolated(&sorted));
        }
    }

    #[test]
    fn a_block_that_ends_within_the_rows_changes_nothing() {
        // 600 rows of 64 f32 are more than two blocks.
        let (rows, dim) = (600, 64);
        let values: Vec<f32> = (0..3 * rows * dim).map(|k| ((k * 7919 % 10007) as f32).sin()).collect();
        let trajectory = run(Array::from_f32(&[3, rows, dim], &values), None);
        let tower = trajectory.towers()[0];
        assert!(rows * dim * 2 * size_of::<f32>() > 2 * BLOCK);
        let found = motion(&tower).unwrap();
        let gamma = Precision::F64.gamma(dim + 4);
        for (step, (cosines, _)) in plainly(&tower).into_iter().enumerate() {
            assert_eq!(found.steps[&(step as u64)].moved, rows as u64);
            near(found.steps[&(step as u64)].cosine, interpolated(&cosines), |_| 8.0 * gamma + 4.0 * f64::EPSILON)
                .unwrap();
        }
    }

    #[test]
    fn squares_beyond_the_range_of_numbers_are_scaled() {
        for exponent in [-540, -300, 300, 520] {
            let scale = 2.0_f64.powi(exponent);
            let trajectory = run(Array::from_f64(&[2, 1, 2], &[3.0 * scale, 0.0, 3.0 * scale, 4.0 * scale]), None);
            let motion = motion(&trajectory.towers()[0]).unwrap();
            assert_eq!(motion.steps[&0].cosine, Some([0.0; 7]), "{exponent}");
            // 2·γ_{d+4}, d = 2, and one rounding of 5/3 itself.
            let allowed = 2.0 * Precision::F64.gamma(2 + 4) + Precision::F64.unit_roundoff();
            let growth = motion.steps[&0].growth.unwrap()[3];
            assert!((growth / (5.0 / 3.0) - 1.0).abs() <= allowed, "{growth}");
        }
    }

    #[test]
    fn what_is_not_finite_is_refused_with_its_place() {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut values = vec![1.0_f32; 3 * 4 * 2];
            values[(2 * 4 + 3) * 2 + 1] = bad;
            let trajectory = run(Array::from_f32(&[3, 4, 2], &values), None);
            let error = motion(&trajectory.towers()[0]).unwrap_err().to_string();
            assert!(error.contains("step 2, row 3, column 1"), "{error}");
        }
    }

    #[test]
    fn few_rows_have_the_quantiles_of_a_sort() {
        for count in 1..=130 {
            let mut values: Vec<f64> = (0..count).map(|k| f64::from(k * 37 % 131) - 50.0).collect();
            let mut sorted = values.clone();
            sorted.sort_by(f64::total_cmp);
            assert_eq!(quantiles(&mut values), interpolated(&sorted), "{count}");
        }
    }
}
