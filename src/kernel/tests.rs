//! Every step of the kernel against plain loops in f64, under a bound that is derived from the roundings of both.

use proptest::prelude::*;

use super::*;
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers, Parts, scenarios_of, updating};
use crate::scenario::{Capabilities, Scenario};
use crate::trainer::{Stepwise, Trainer};

/// The same step, the way it is written in a paper: one pair after another, everything in f64, the largest logit as shift.
struct Plain {
    loss: f64,
    users: Vec<PlainRow>,
    items: Vec<PlainRow>,
}

/// What one row of a table receives.
#[derive(Clone, Default)]
struct PlainRow {
    touched: bool,
    /// ∂L/∂q: `[d]`.
    gradient: Vec<f64>,
    /// What rounding may change of it, as a norm.
    allowed: f64,
    /// Its size if every weight of the softmax were 1.
    mass: f64,
}

fn norm(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The row as it enters, and what its gradient is divided by; None for a gradient that is not projected.
fn enter(similarity: Similarity, q: &[f64]) -> (Vec<f64>, f64, bool) {
    let Similarity::Cosine { epsilon } = similarity else {
        return (q.to_vec(), 1.0, false);
    };
    let length = norm(q);
    let by = length.max(epsilon);
    (q.iter().map(|x| x / by).collect(), by, length >= epsilon)
}

/// The larger of two ratios; what is no number is worse than any.
fn worse(a: f64, b: f64) -> f64 {
    if b.is_nan() { f64::INFINITY } else { a.max(b) }
}

/// Sizes and roundoffs that the bound is made of.
struct Sizes {
    /// Unit roundoff of the kernel plus that of f64: both sides round.
    u: f64,
    dim: usize,
    candidates: usize,
    pairs: usize,
    lowest: i32,
}

#[allow(clippy::too_many_lines)]
fn plain(users: &[f64], items: &[f64], sizes: &Sizes, settings: &Settings, batch: &Batch<'_>) -> Plain {
    let (d, u, similarity) = (sizes.dim, sizes.u, settings.similarity);
    let row = |table: &[f64], k: u32| table[k as usize * d..][..d].to_vec();
    let temperature = settings.objective.temperature();
    let pairs = batch.users.len();
    let n_items = items.len() / d;
    let bias = |item: u32| settings.log_q.get(item as usize).map_or(0.0, |q| -q);
    let mut loss = 0.0;
    // Upstream gradients, their scales Σ|c|·‖other vector‖, how many slots a row fills, and the scale if all weights were 1.
    let nothing = |rows: usize| vec![(vec![0.0; d], 0.0, 0usize, 0.0_f64); rows];
    let (mut user_sum, mut item_sum) = (nothing(users.len() / d), nothing(n_items));
    for pair in 0..pairs {
        let (user, positive) = (batch.users[pair], batch.positives[pair]);
        let masked = |place: usize| batch.mask.is_some_and(|mask| mask.places(pair).contains(&(place as u32)));
        let others: Vec<u32> = match batch.negatives {
            Negatives::InBatch => (0..pairs).filter(|&j| j != pair && !masked(j)).map(|j| batch.positives[j]).collect(),
            Negatives::Mixed(set) => (0..pairs + set.len())
                .filter(|&j| j != pair && !masked(j))
                .map(|j| if j < pairs { batch.positives[j] } else { set[j - pairs] })
                .collect(),
            Negatives::Shared(set) => (0..set.len()).filter(|&j| !masked(j)).map(|j| set[j]).collect(),
            Negatives::Own(ids) => {
                let own = ids.len() / pairs;
                (0..own).filter(|&j| !masked(j)).map(|j| ids[pair * own + j]).collect()
            }
            Negatives::All => {
                (0..n_items).filter(|&j| j != positive as usize && !masked(j)).map(|j| j as u32).collect()
            }
        };
        let (entered, ..) = enter(similarity, &row(users, user));
        let score = |item: u32| -> f64 {
            enter(similarity, &row(items, item)).0.iter().zip(&entered).map(|(a, b)| a * b).sum()
        };
        let logit = |item: u32| score(item) / temperature + bias(item);
        let logits: Vec<f64> = others.iter().map(|&item| logit(item)).collect();
        let target = logit(positive);
        let info_nce = matches!(settings.objective, Objective::InfoNce { .. });
        let summed = logits.iter().copied().chain(info_nce.then_some(target));
        let largest = summed.clone().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = summed.map(|y| (y - largest).exp()).sum();
        let other_sum: f64 = logits.iter().map(|y| (y - largest).exp()).sum();
        let (factor, target_weight) = match settings.objective {
            Objective::InfoNce { .. } => {
                loss += total.ln() + largest - target;
                (1.0 / (temperature * pairs as f64), -other_sum / total)
            }
            Objective::Bilateral { .. } => {
                let count = logits.len() as f64;
                let negatives = if logits.is_empty() {
                    0.0
                } else {
                    temperature * ((total / count).ln() + largest)
                };
                loss += negatives - score(positive);
                (1.0 / pairs as f64, -1.0)
            }
        };
        let mut give = |item: u32, weight: f64| {
            let coefficient = factor * weight;
            let (vector, ..) = enter(similarity, &row(items, item));
            let to_user = &mut user_sum[user as usize];
            to_user.0.iter_mut().zip(&vector).for_each(|(a, x)| *a += coefficient * x);
            to_user.1 += coefficient.abs() * norm(&vector);
            to_user.3 += factor * norm(&vector);
            let to_item = &mut item_sum[item as usize];
            to_item.0.iter_mut().zip(&entered).for_each(|(a, x)| *a += coefficient * x);
            to_item.1 += coefficient.abs() * norm(&entered);
            to_item.2 += 1;
            to_item.3 += factor * norm(&entered);
        };
        give(positive, target_weight);
        for (&item, y) in others.iter().zip(&logits) {
            give(item, (y - largest).exp() / total);
        }
        user_sum[user as usize].2 += 1;
    }

    let error = coefficient_error(users, items, sizes, settings);
    // A direction: the squared norm has d + 5 roundings, its root halves them; root, inverse and product round once each.
    let direction = if similarity == Similarity::Dot {
        0.0
    } else {
        ((d + 5) as f64 / 2.0 + 3.0) * u
    };
    let finish = |table: &[f64], sums: Vec<(Vec<f64>, f64, usize, f64)>, terms: usize| {
        let rows = table.chunks(d).zip(sums);
        rows.map(|(q, (mut a, scale, slots, mass))| {
            // Each term carries the error of its coefficient and of its direction; the sum over terms and slots rounds.
            let sum = error + direction + (terms + slots + 12) as f64 * u;
            // A weight below the smallest is 0: at most that of the largest weight, in every term.
            let lost = mass * 2.0_f64.powi(sizes.lowest);
            let (direction_of, by, projected) = enter(similarity, q);
            let mut project = 0.0;
            if projected {
                let radial: f64 = a.iter().zip(&direction_of).map(|(a, x)| a * x).sum();
                a.iter_mut().zip(&direction_of).for_each(|(a, x)| *a -= radial * x);
                // ⟨a, q⟩ rounds d + 5 times; ‖q‖ and q̂ enter three times; product, difference and scaling round.
                project = (d + 9) as f64 * u + 3.0 * direction;
            }
            a.iter_mut().for_each(|a| *a /= by);
            let allowed = (scale * (sum + project + direction) + lost) / by;
            // Second-order terms: all of these are far below one, so that their products are less than the sum again.
            PlainRow { touched: slots > 0, gradient: a, allowed: 2.0 * allowed, mass: mass / by }
        })
        .collect()
    };
    let users = finish(users, user_sum, sizes.candidates);
    let items = finish(items, item_sum, sizes.pairs);
    Plain { loss: loss / pairs as f64, users, items }
}

/// The relative error of a coefficient p_j or 1 − p_t.
fn coefficient_error(users: &[f64], items: &[f64], sizes: &Sizes, settings: &Settings) -> f64 {
    let (d, u) = (sizes.dim, sizes.u);
    let slope = std::f64::consts::LOG2_E / settings.objective.temperature();
    let longest =
        |table: &[f64]| table.chunks(d).map(|q| norm(&enter(settings.similarity, q).0)).fold(0.0_f64, f64::max);
    let score = longest(users) * longest(items);
    let direction = if settings.similarity == Similarity::Dot {
        0.0
    } else {
        ((d + 5) as f64 / 2.0 + 3.0) * u
    };
    let bias = settings.log_q.iter().fold(0.0_f64, |most, q| most.max(q.abs())) * std::f64::consts::LOG2_E;
    let largest = slope * score + bias;
    // The inner product rounds d + 5 times on top of both directions; the slope is rounded and multiplied; bias and the row's
    // shift are rounded and added, each at the size of the largest logit.
    let logit = slope * score * (2.0 * direction + (d + 7) as f64 * u) + 6.0 * largest * u;
    let weight = (std::f64::consts::LN_2 * logit).exp_m1() + EXP2_ROUNDINGS * u;
    // A weight and the sum that it is divided by; the sum rounds once a candidate at most.
    2.0 * weight + (sizes.candidates + 12) as f64 * u
}

/// A step of the kernel against the plain one: the largest difference in units of what is allowed, over loss, slot
/// gradients, row gradients and moved tables; None where nothing was compared.
fn compare<E: Element>(case: &Case) -> f64 {
    let (settings, d) = (case.settings(), case.dim);
    let table = |rows: usize, salt: u64| -> Vec<E> {
        numbers(case.seed ^ salt, rows * d).into_iter().map(|x| E::from_f64(x * case.length)).collect()
    };
    let (users, items) = (table(case.users, 1), table(case.items, 2));
    let in_f64 = |table: &[E]| table.iter().map(|x| x.to_f64()).collect::<Vec<_>>();
    let owned = case.batch();
    let batch = owned.view();
    let candidates = 1 + match batch.negatives {
        Negatives::InBatch => batch.users.len(),
        Negatives::Mixed(set) => batch.users.len() + set.len(),
        Negatives::Shared(set) => set.len(),
        Negatives::Own(ids) => ids.len() / batch.users.len(),
        Negatives::All => case.items,
    };
    let sizes = Sizes {
        u: E::UNIT_ROUNDOFF + f64::EPSILON / 2.0,
        dim: d,
        candidates,
        pairs: batch.users.len() + case.threads,
        lowest: E::LOWEST,
    };
    let expected = plain(&in_f64(&users), &in_f64(&items), &sizes, &settings, &batch);

    let mut kernel = Kernel::new(d, users.clone(), items.clone(), settings.clone()).unwrap();
    let loss = kernel.evaluate(&batch).unwrap();
    // A loss is a logarithm of a ratio of weights, and a logit: both to the accuracy of a coefficient; f64 from there on.
    let most = (sizes.u.recip().log2() + expected.loss.abs()) * 8.0 * sizes.u;
    let error = coefficient_error(&in_f64(&users), &in_f64(&items), &sizes, &settings);
    let mut worst =
        worse(0.0, (loss - expected.loss).abs() / (2.0 * error * settings.objective.temperature().max(1.0) + most));
    let mut compared = 0;
    for (side, rows) in [(Side::User, &expected.users), (Side::Item, &expected.items)] {
        let mut summed = vec![vec![0.0; d]; rows.len()];
        for slot in 0..kernel.slots(side).len() {
            let row = kernel.slots(side)[slot] as usize;
            let gradient = in_f64(&kernel.slot_gradient(side, slot));
            summed[row].iter_mut().zip(gradient).for_each(|(sum, g)| *sum += g);
        }
        let difference = |got: &[f64], row: &PlainRow| {
            let gap: Vec<f64> = got.iter().zip(&row.gradient).map(|(a, b)| a - b).collect();
            if row.allowed == 0.0 {
                if norm(&gap) == 0.0 { 0.0 } else { f64::INFINITY }
            } else {
                norm(&gap) / row.allowed
            }
        };
        let mut seen = vec![false; rows.len()];
        kernel.each_row_gradient(side, |row, gradient| {
            seen[row] = true;
            worst = worse(worst, difference(&in_f64(gradient), &rows[row]));
            worst = worse(worst, difference(&summed[row], &rows[row]));
            compared += 1;
        });
        let all = batch.negatives == Negatives::All && side == Side::Item;
        assert!(
            seen.iter().zip(rows).all(|(&seen, row)| seen == (row.touched || all) || batch.mask.is_some()),
            "rows that fill no slot have a gradient, or the other way round"
        );
    }
    assert!(compared > 0, "nothing was compared");

    let rate = 0.25;
    kernel.apply(Rates { users: rate, items: rate });
    for (side, before, rows) in [(Side::User, &users, &expected.users), (Side::Item, &items, &expected.items)] {
        for ((got, before), row) in kernel.table(side).chunks(d).zip(before.chunks(d)).zip(rows) {
            let (got, before) = (in_f64(got), in_f64(before));
            let moved: Vec<f64> = before.iter().zip(&row.gradient).map(|(q, g)| q - rate * g).collect();
            let gap: Vec<f64> = got.iter().zip(&moved).map(|(a, b)| a - b).collect();
            // The step is a product and a difference: two roundings at the size of the larger of both.
            let allowed = rate * row.allowed + 2.0 * sizes.u * (norm(&before) + rate * norm(&row.gradient));
            worst = worse(worst, norm(&gap) / allowed);
        }
    }
    worst
}

/// A small case, every part of it a number that can shrink.
#[derive(Debug, Clone, Copy)]
struct Case {
    dim: usize,
    users: usize,
    items: usize,
    pairs: usize,
    /// 0 in-batch, 1 shared, 2 own, 3 all, 4 in-batch and shared.
    kind: usize,
    negatives: usize,
    temperature: f64,
    /// 0 cosine, 1 cosine with ε, 2 inner product.
    similarity: usize,
    bilateral: bool,
    masked: bool,
    log_q: bool,
    threads: usize,
    panel: usize,
    tile: usize,
    length: f64,
    seed: u64,
    plant: Option<Plant>,
}

/// Uniform numbers in (−1, 1), by splitmix64.
fn numbers(seed: u64, count: usize) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    };
    (0..count).map(|_| (next() >> 11) as f64 / 2.0_f64.powi(52) - 1.0).collect()
}

struct OwnedBatch {
    users: Vec<u32>,
    positives: Vec<u32>,
    negatives: Vec<u32>,
    kind: usize,
    mask: Option<Mask>,
}

impl OwnedBatch {
    fn view(&self) -> Batch<'_> {
        let negatives = match self.kind {
            0 => Negatives::InBatch,
            1 => Negatives::Shared(&self.negatives),
            2 => Negatives::Own(&self.negatives),
            3 => Negatives::All,
            _ => Negatives::Mixed(&self.negatives),
        };
        Batch { users: &self.users, positives: &self.positives, negatives, mask: self.mask.as_ref() }
    }
}

impl Case {
    fn settings(&self) -> Settings {
        let temperature = self.temperature;
        let blocking = Blocking { plant: self.plant, ..Blocking::new(self.panel, self.tile) };
        Settings {
            similarity: match self.similarity {
                0 => Similarity::Cosine { epsilon: 0.0 },
                1 => Similarity::Cosine { epsilon: self.length * 0.5 * (self.dim as f64).sqrt() },
                _ => Similarity::Dot,
            },
            objective: if self.bilateral {
                Objective::Bilateral { temperature }
            } else {
                Objective::InfoNce { temperature }
            },
            log_q: if self.log_q {
                numbers(self.seed ^ 7, self.items).iter().map(|x| 4.0 * x - 6.0).collect()
            } else {
                vec![]
            },
            threads: self.threads,
            blocking: Some(blocking),
            ..Settings::default()
        }
    }

    fn batch(&self) -> OwnedBatch {
        let draw = |salt: u64, count: usize, below: usize| -> Vec<u32> {
            let uniform = numbers(self.seed ^ salt, count);
            uniform.iter().map(|x| (((x + 1.0) / 2.0 * below as f64) as u32).min(below as u32 - 1)).collect()
        };
        let (users, positives) = (draw(3, self.pairs, self.users), draw(4, self.pairs, self.items));
        let negatives = match self.kind {
            1 | 4 => draw(5, self.negatives, self.items),
            2 => draw(5, self.negatives * self.pairs, self.items),
            _ => vec![],
        };
        let mask = self.masked.then(|| {
            let mixed = self.pairs + self.negatives;
            let places = [self.pairs, self.negatives, self.negatives, self.items, mixed][self.kind];
            Mask::new((0..self.pairs).map(|pair| {
                let target = match self.kind {
                    0 | 4 => Some(pair),
                    3 => Some(positives[pair] as usize),
                    _ => None,
                };
                let chance = numbers(self.seed ^ (11 + pair as u64), places);
                (0..places).filter(|&k| Some(k) != target && chance[k] > 0.4).map(|k| k as u32).collect()
            }))
        });
        OwnedBatch { users, positives, negatives, kind: self.kind, mask }
    }
}

prop_compose! {
    fn cases()(
        (dim, users, items, pairs) in (1..40usize, 1..20usize, 1..40usize, 1..40usize),
        (kind, negatives) in (0..5usize, 1..35usize),
        temperature in prop_oneof![Just(1.0), Just(0.2), Just(0.05), Just(0.02), Just(0.002)],
        (similarity, bilateral, masked, log_q) in (0..3usize, any::<bool>(), any::<bool>(), any::<bool>()),
        threads in 1..5usize,
        (panel, tile) in (1..40usize, 2..40usize),
        length in prop_oneof![Just(1.0), Just(0.001), Just(50.0)],
        seed in any::<u64>(),
    ) -> Case {
        // Inner products of long rows leave the range in which a weight is anything but 0 or 1.
        let length = if similarity == 2 { 1.0_f64.min(length) } else { length };
        Case {
            dim, users, items, pairs, kind, negatives, temperature, similarity, bilateral, masked, log_q, threads, panel, tile,
            length, seed, plant: None,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, max_shrink_time: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn a_step_in_f64_is_the_plain_step_up_to_rounding(case in cases()) {
        let worst = compare::<f64>(&case);
        prop_assert!(worst <= 1.0, "{worst} times what rounding allows");
    }

    #[test]
    fn a_step_in_f32_is_the_plain_step_up_to_rounding(case in cases()) {
        let worst = compare::<f32>(&case);
        prop_assert!(worst <= 1.0, "{worst} times what rounding allows");
    }
}

/// A case at which every planted mistake shows.
const TYPICAL: Case = Case {
    dim: 19,
    users: 12,
    items: 30,
    pairs: 35,
    kind: 0,
    negatives: 21,
    temperature: 0.2,
    similarity: 0,
    bilateral: false,
    masked: false,
    log_q: false,
    threads: 2,
    panel: 8,
    tile: 9,
    length: 1.0,
    seed: 5,
    plant: None,
};

#[test]
fn the_default_blocking_meets_the_plain_step_around_its_edges() {
    // One less, as many and one more than a panel (96 rows in f32, 48 in f64) and than a tile (512 columns); one pair; one
    // coordinate; dimensions around one and two vectors.
    for (pairs, dim, threads) in [
        (1, 64, 4),
        (1, 1, 1),
        (2, 1, 2),
        (47, 15, 1),
        (48, 16, 1),
        (49, 17, 1),
        (95, 31, 1),
        (96, 16, 1),
        (97, 33, 1),
        (191, 5, 2),
        (193, 8, 2),
        (511, 3, 4),
        (512, 1, 3),
        (513, 64, 2),
        (600, 7, 3),
    ] {
        let case = Case { pairs, dim, threads, users: 200, items: 300, panel: 96, tile: 512, ..TYPICAL };
        // Cosines of single coordinates are ±1: their gradient is nothing but rounding.
        assert!(compare::<f32>(&case) <= 1.0, "{case:?}");
        assert!(compare::<f64>(&Case { panel: 48, ..case }) <= 1.0, "{case:?}");
    }
}

/// A planted mistake is far outside the bound in every way to sum the candidates of a batch, with one shift and with a row's
/// own, in both number types; and without it the same case is inside.
fn is_noticed(plant: Plant, kinds: &[usize]) {
    for &kind in kinds {
        for temperature in [0.2, 0.02, 0.002] {
            let case = Case { kind, temperature, ..TYPICAL };
            assert!(compare::<f32>(&case) <= 1.0 && compare::<f64>(&case) <= 1.0, "the control breaks: {case:?}");
            let case = Case { plant: Some(plant), ..case };
            let double = compare::<f64>(&case);
            assert!(double > 100.0, "{case:?}: {double} times what is allowed");
            // At the lowest temperature the bound of f32 is itself of the size of the gradient.
            if temperature > 0.01 {
                let single = compare::<f32>(&case);
                assert!(single > 100.0, "{case:?}: {single} times what is allowed");
            }
        }
    }
}

/// In-batch, shared, all, mixed: those with one panel for all pairs.
const PANELS: [usize; 4] = [0, 1, 3, 4];

#[test]
fn a_tile_with_another_shift_is_noticed() {
    is_noticed(Plant::Shift, &PANELS);
}

#[test]
fn a_lost_column_at_the_edge_of_a_tile_is_noticed() {
    is_noticed(Plant::TileEdge, &PANELS);
}

#[test]
fn a_lost_row_in_the_tail_of_the_panels_is_noticed() {
    is_noticed(Plant::Tail, &PANELS);
}

#[test]
fn a_lost_part_of_the_accumulators_of_several_threads_is_noticed() {
    is_noticed(Plant::LostThread, &PANELS);
}

#[test]
fn a_step_of_the_wrong_row_is_noticed() {
    is_noticed(Plant::WrongRow, &[0, 1, 2, 3, 4]);
}

#[test]
fn temperatures_below_the_constant_shift_take_the_largest_logit_of_each_row() {
    let constant = |span: f64, shift: fn(f64) -> Option<i32>| {
        // Logits span 2·log₂e/τ orders of magnitude.
        let edge = 2.0 * std::f64::consts::LOG2_E / span;
        assert!(shift(edge * 1.1).is_some() && shift(edge / 1.1).is_none());
    };
    fn shift<E: Element>(temperature: f64) -> Option<i32> {
        Softmax::<E>::new(Objective::InfoNce { temperature }, 1, true, (0.0, 0.0)).shift
    }
    constant(f32::SPAN, shift::<f32>);
    constant(f64::SPAN, shift::<f64>);
    // Inner products have no bound.
    assert_eq!(Softmax::<f64>::new(Objective::InfoNce { temperature: 1.0 }, 1, false, (0.0, 0.0)).shift, None);
    for kind in 0..5 {
        for bilateral in [false, true] {
            // exp(±1/τ) is beyond both number types.
            let case = Case { kind, bilateral, temperature: 1e-3, ..TYPICAL };
            assert!(compare::<f32>(&case) <= 1.0 && compare::<f64>(&case) <= 1.0, "{case:?}");
        }
    }
}

#[test]
fn a_nearly_certain_target_keeps_a_gradient_of_full_accuracy() {
    // p − 1 by subtraction would leave nothing: 1 − p = e^−40 is far below the roundoff of f32.
    let users = vec![1.0_f32, 0.0, -1.0, 0.0];
    let items = vec![1.0_f32, 1e-3, -1.0, 1e-3];
    let objective = Objective::InfoNce { temperature: 0.05 };
    let mut kernel = Kernel::new(2, users, items, Settings { objective, ..Settings::default() }).unwrap();
    let batch = Batch { users: &[0, 1], positives: &[0, 1], negatives: Negatives::InBatch, mask: None };
    let loss = kernel.evaluate(&batch).unwrap();
    let exact = (-2.0 / (1.0 + 1e-6_f64).sqrt() / 0.05).exp();
    assert!((loss / exact - 1.0).abs() < 1e-4, "{loss} instead of {exact}");
    // The item's coefficients are c = ∓exact/(2τ) on û₀ and û₁ = −û₀, and what is tangent to the item of û₀ is (ε², −ε)·….
    let gradient = kernel.slot_gradient(Side::Item, 0);
    let expected = exact / (2.0 * 0.05) * 2.0 * 1e-3;
    assert!((f64::from(gradient[1]) / expected - 1.0).abs() < 1e-4, "{gradient:?} instead of {expected}");
}

#[test]
fn the_number_of_threads_changes_roundings_only_and_a_repetition_changes_nothing() {
    for kind in 0..5 {
        let tables = |threads: usize| {
            let case = Case { kind, threads, ..TYPICAL };
            let table = |rows: usize| numbers(9, rows * case.dim).iter().map(|&x| x as f32).collect::<Vec<_>>();
            let mut kernel = Kernel::new(case.dim, table(case.users), table(case.items), case.settings()).unwrap();
            let batch = case.batch();
            for _ in 0..3 {
                kernel.step(&batch.view(), Rates { users: 0.1, items: 0.1 }).unwrap();
            }
            kernel.table(Side::Item).to_vec()
        };
        assert_eq!(tables(3), tables(3));
        assert_ne!(tables(1), vec![0.0; tables(1).len()]);
        // Own negatives are added row by row whatever the threads.
        if kind == 2 {
            assert_eq!(tables(1), tables(4));
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_moves() {
    let mut kernel = Kernel::new(1, vec![1.0_f64, 0.0], vec![1.0, -1.0, f64::NAN], Settings::default()).unwrap();
    let before = kernel.table(Side::User).to_vec();
    let batch = |users, positives| Batch { users, positives, negatives: Negatives::InBatch, mask: None };
    let rates = Rates { users: 0.1, items: 0.1 };
    assert_eq!(kernel.step(&batch(&[1], &[0]), rates), Err(Error::Row(Side::User, 1)));
    assert_eq!(kernel.step(&batch(&[0], &[2]), rates), Err(Error::Row(Side::Item, 2)));
    for (wrong, words) in [
        (batch(&[2], &[0]), "users: expected rows below 2, found 2"),
        (batch(&[0], &[3]), "positives: expected rows below 3, found 3"),
        (batch(&[0, 0], &[1]), "as many positives as users"),
        (batch(&[], &[]), "at least one"),
        (Batch { negatives: Negatives::Own(&[0, 1, 1]), ..batch(&[0, 0], &[1, 1]) }, "equally many"),
        (Batch { negatives: Negatives::Shared(&[9]), ..batch(&[0], &[1]) }, "found 9"),
    ] {
        let error = kernel.step(&wrong, rates).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let masks = [Mask::new([vec![0], vec![]]), Mask::new([vec![2], vec![]]), Mask::new([vec![]])];
    for mask in &masks {
        assert!(kernel.step(&Batch { mask: Some(mask), ..batch(&[0, 0], &[1, 0]) }, rates).is_err(), "{mask:?}");
    }
    assert_eq!(before, kernel.table(Side::User));
    assert!(kernel.step(&batch(&[0], &[1]), rates).is_ok());
    assert!(Kernel::new(3, vec![0.0_f32; 4], vec![0.0; 3], Settings::default()).is_err());
    let log_q = vec![0.0];
    assert!(Kernel::new(1, vec![1.0_f32], vec![1.0; 2], Settings { log_q, ..Settings::default() }).is_err());
}

#[test]
fn memory_is_stated_and_a_workspace_that_cannot_fit_is_refused() {
    let adam = Optimizer {
        rule: Rule::Adam { betas: (0.9, 0.999), epsilon: 1e-8, corrected: true },
        decay: None,
        rows: Rows::Lazy,
    };
    let settings = Settings { items: adam, ..Settings::default() };
    let memory = Kernel::<f32>::memory(64, 1000, 100, &settings);
    assert_eq!((memory.tables, memory.state), (1100 * 64 * 4, 100 * 2 * 64 * 4));
    let error = Memory { tables: 0, state: 0, workspace: u64::MAX }.check();
    assert!(error.unwrap_err().to_string().contains("can be had"));
}

/// One step of each rule from the same state, in E and in f64.
fn rule_error<E: Element>(optimizer: &Optimizer) -> f64 {
    let (dim, rate) = (21, 0.1);
    let mut q: Vec<E> = numbers(1, dim).into_iter().map(E::from_f64).collect();
    let mut state = State::<E>::new(optimizer, 1, dim);
    let exactly = |x: f64| E::from_f64(x).to_f64();
    let u = E::UNIT_ROUNDOFF + f64::EPSILON / 2.0;
    let mut worst = 0.0_f64;
    for time in 0..5 {
        let mut g: Vec<E> = numbers(50 + time, dim).into_iter().map(E::from_f64).collect();
        // A coordinate without gradient, and one that is alone large.
        (g[3], g[4]) = (E::ZERO, E::from_f64(1e4));
        let before: Vec<f64> = q.iter().map(|x| x.to_f64()).collect();
        let gradient: Vec<f64> = g.iter().map(|x| x.to_f64()).collect();
        let (first, second) = (state.first.clone(), state.second.clone());
        Mover::<E>::new(optimizer, time, rate).apply::<true>(&mut q, &mut g, &mut state.first, &mut state.second);
        let eta = exactly(rate);
        let lambda = optimizer.decay.map_or(0.0, |decay| exactly(decay.rate));
        let decoupled = optimizer.decay.is_some_and(|decay| decay.decoupled);
        let squares: f64 =
            (0..dim).map(|k| (gradient[k] + if decoupled { 0.0 } else { lambda * before[k] }).powi(2)).sum();
        for k in 0..dim {
            let first = first.get(k.min(first.len().saturating_sub(1))).map_or(0.0, |x| x.to_f64());
            let second = second.get(k).map_or(0.0, |x| x.to_f64());
            let g = gradient[k] + if decoupled { 0.0 } else { lambda * before[k] };
            // The size of what was added to make g, or the momentum, before anything cancelled.
            let size = gradient[k].abs() + lambda * before[k].abs();
            let (step, scale) = match optimizer.rule {
                Rule::Sgd => (g, size),
                Rule::Momentum { momentum, nesterov } => {
                    let beta = exactly(momentum);
                    let p = beta * first + g;
                    let scale = (beta * first).abs() + size;
                    if nesterov {
                        (g + beta * p, size + beta * scale)
                    } else {
                        (p, scale)
                    }
                }
                Rule::Adagrad { epsilon } => {
                    let by = (first + g * g).sqrt() + exactly(epsilon);
                    if by == 0.0 { (0.0, 0.0) } else { (g / by, size / by) }
                }
                Rule::RowwiseAdagrad { epsilon } => {
                    let by = (first + squares / dim as f64).sqrt() + exactly(epsilon);
                    (g / by, size / by * (1.0 + dim as f64 / 8.0))
                }
                Rule::Adam { betas: (beta1, beta2), epsilon, corrected } => {
                    let (beta1, beta2, epsilon) = (exactly(beta1), exactly(beta2), exactly(epsilon));
                    let correct = |beta: f64| 1.0 - beta.powi(time as i32 + 1);
                    let m = beta1 * first + (1.0 - beta1) * g;
                    let scale = (beta1 * first).abs() + (1.0 - beta1) * size;
                    let v = beta2 * second + (1.0 - beta2) * g * g;
                    let by = if corrected {
                        correct(beta1) * ((v / correct(beta2)).sqrt() + epsilon)
                    } else {
                        correct(beta1) / correct(beta2).sqrt() * (v.sqrt() + epsilon)
                    };
                    if by == 0.0 { (0.0, 0.0) } else { (m / by, scale / by) }
                }
            };
            let kept = if decoupled { 1.0 - eta * lambda } else { 1.0 };
            let expected = kept * before[k] - eta * step;
            // No rule rounds more than 12 times on the way to the step, twice on the way of q; a cancelled g counts by its size
            // in the squares too.
            let amplified = if g == 0.0 { 1.0 } else { 1.0 + size / g.abs() };
            let allowed = u * (12.0 * amplified * eta * scale + 3.0 * before[k].abs() + expected.abs());
            worst = worse(worst, (q[k].to_f64() - expected).abs() / allowed);
        }
    }
    worst
}

#[test]
fn every_rule_makes_the_step_that_it_is_named_for() {
    let decays = [None, Some(Decay { rate: 0.3, decoupled: false }), Some(Decay { rate: 0.3, decoupled: true })];
    for decay in decays {
        for rule in [
            Rule::Sgd,
            Rule::Momentum { momentum: 0.9, nesterov: false },
            Rule::Momentum { momentum: 0.9, nesterov: true },
            Rule::Adagrad { epsilon: 0.0 },
            Rule::Adagrad { epsilon: 1e-3 },
            Rule::RowwiseAdagrad { epsilon: 1e-3 },
            Rule::Adam { betas: (0.9, 0.999), epsilon: 1e-8, corrected: true },
            Rule::Adam { betas: (0.8, 0.99), epsilon: 0.0, corrected: false },
        ] {
            let optimizer = Optimizer { rule, decay, rows: Rows::Dense };
            let (single, double) = (rule_error::<f32>(&optimizer), rule_error::<f64>(&optimizer));
            assert!(single <= 1.0 && double <= 1.0, "{optimizer:?}: {single} and {double} times what is allowed");
            assert!(single > 1e-3, "{optimizer:?}: nothing was rounded, so nothing was compared");
        }
    }
}

#[test]
fn dense_rules_move_untouched_rows_and_lazy_ones_do_not() {
    let coasting = |rows| Optimizer { rule: Rule::Momentum { momentum: 0.9, nesterov: false }, decay: None, rows };
    let decaying = |rows| Optimizer { rule: Rule::Sgd, decay: Some(Decay { rate: 0.1, decoupled: true }), rows };
    for (optimizer, at_once) in [(coasting as fn(Rows) -> Optimizer, false), (decaying, true)] {
        for rows in [Rows::Dense, Rows::Lazy] {
            for threads in 1..4 {
                let settings = Settings { items: optimizer(rows), threads, ..Settings::default() };
                let start: Vec<f64> = numbers(3, 14);
                let mut kernel = Kernel::new(2, numbers(4, 6), start.clone(), settings).unwrap();
                let rates = Rates { users: 0.1, items: 0.1 };
                let first = Batch { users: &[0, 1], positives: &[2, 5], negatives: Negatives::InBatch, mask: None };
                kernel.step(&first, rates).unwrap();
                let after = kernel.table(Side::Item).to_vec();
                let moved = |a: &[f64], b: &[f64], row: usize| a[2 * row..2 * row + 2] != b[2 * row..2 * row + 2];
                for row in [0, 1, 3, 4, 6] {
                    assert_eq!(moved(&start, &after, row), at_once && rows == Rows::Dense, "{rows:?} row {row}");
                }
                kernel.step(&Batch { positives: &[0, 6], ..first }, rates).unwrap();
                // Rows 2 and 5 are not looked up now: they coast or decay only if dense.
                let later = kernel.table(Side::Item);
                for row in [2, 5] {
                    assert_eq!(moved(&after, later, row), rows == Rows::Dense, "{rows:?} row {row}");
                }
            }
        }
    }
}

/// A random scenario as the kernel takes it, held against the reference core: both against the plain step, each within the
/// roundings of its own number type. None where the kernel does not train it.
fn against_the_reference<E: Element>(scenario: &Scenario, threads: usize) -> Option<f64> {
    // The reference computes in f64 from the values that the kernel gets, which are numbers of its own type.
    let precision = if E::UNIT_ROUNDOFF > f64::EPSILON {
        Precision::F32
    } else {
        Precision::F64
    };
    let values = Scenario { precision, ..scenario.clone() }.materialise().unwrap();
    let mut session = match Session::<E>::new(&values, threads) {
        Ok(session) => session,
        Err(error) => {
            assert!(error.is_unsupported(), "{error}");
            return None;
        }
    };
    let batch = &values.batches[0];
    let loss = match session.evaluate(batch) {
        Ok(loss) => loss,
        Err(error) => {
            assert!(error.is_unsupported() || error.is_not_finite(), "{error}");
            return None;
        }
    };
    let mut reference = crate::reference::Session::<f64>::new(&values);
    let mut steps = crate::reference::Steps::new(&mut reference);
    let expected = steps.evaluate(batch).unwrap();

    let pairs = session::Pairs::new(batch, scenario).unwrap();
    let batch = pairs.batch();
    let mut settings = session.kernel().settings.clone();
    settings.log_q = session.kernel().bias.iter().map(|bias| -bias.to_f64() / std::f64::consts::LOG2_E).collect();
    let slots = session.kernel().slots(Side::Item).len();
    let sizes = Sizes {
        u: E::UNIT_ROUNDOFF + f64::EPSILON / 2.0,
        dim: scenario.dim,
        candidates: slots + 1,
        pairs: batch.users.len() + threads,
        lowest: E::LOWEST,
    };
    let (users, items) =
        (session.embeddings(crate::trajectory::Side::User), session.embeddings(crate::trajectory::Side::Item));
    let plain = plain(&users, &items, &sizes, &settings, &batch);
    let double = Sizes { u: f64::EPSILON, lowest: f64::LOWEST, ..sizes };
    let in_f64 = coefficient_error(&users, &items, &double, &settings);
    // See `compare` for the loss.
    let error = coefficient_error(&users, &items, &sizes, &settings);
    let most = 2.0 * error * settings.objective.temperature().max(1.0)
        + (sizes.u.recip().log2() + expected.abs()) * 8.0 * sizes.u;
    if !plain.users.iter().chain(&plain.items).all(|row| row.allowed.is_finite()) || !most.is_finite() {
        // Logits beyond the range of the number type: the bound says nothing.
        return None;
    }
    let mut worst = worse(0.0, (loss - expected).abs() / most);
    for (side, rows) in [(crate::trajectory::Side::User, &plain.users), (crate::trajectory::Side::Item, &plain.items)] {
        let mut gradients = vec![vec![0.0; scenario.dim]; rows.len()];
        steps.each_gradient(side, &mut |row, _, gradient| gradients[row] = gradient.to_vec());
        session.each_gradient(side, &mut |row, _, gradient| {
            gradients[row].iter_mut().zip(gradient).for_each(|(gap, g)| *gap -= g);
        });
        for (gap, row) in gradients.iter().zip(rows) {
            // Both round, and beside that the reference subtracts p − 1: the relative error of p is then an absolute one.
            let ratio = norm(gap) / (2.0 * row.allowed + 2.0 * in_f64 * row.mass);
            worst = worse(worst, if norm(gap) == 0.0 { 0.0 } else { ratio });
        }
    }
    Some(worst)
}

#[test]
fn random_scenarios_have_the_gradients_of_the_reference_up_to_rounding() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;
    let family = Family { encoders: Encoders::Table, optimizers: Optimizers::Sgd, losses: Losses::Any };
    let capabilities = KernelTrainer::default().capabilities();
    // Networks are judged apart: see `dense`.
    let tables = Capabilities { encoders: Some(vec!["table".into()]), ..capabilities };
    // Gradients do not depend on the optimizer, and the kernel turns down what may stand around one.
    let user_optimizers = updating(Optimizers::Sgd);
    let parts = Parts { user_optimizers, ..Parts::from(family) }.within(&tables).unwrap();
    let scenarios = scenarios_of(parts);
    let mut runner = TestRunner::deterministic();
    let mut compared = [0; 2];
    for case in 0..800 {
        let scenario = scenarios.new_tree(&mut runner).unwrap().current();
        let threads = 1 + case % 4;
        let ratios =
            [against_the_reference::<f64>(&scenario, threads), against_the_reference::<f32>(&scenario, threads)];
        for (ratio, compared) in ratios.into_iter().zip(&mut compared) {
            let Some(ratio) = ratio else { continue };
            assert!(ratio <= 1.0, "{ratio} times what rounding allows: {}", scenario.to_json());
            *compared += 1;
        }
    }
    assert!(compared.iter().all(|&compared| compared >= 200), "only {compared:?} scenarios were compared");
}

#[test]
fn the_kernel_names_nothing_of_the_reference_core() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/kernel");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            assert!(!line.contains("reference"), "{}: {line}", path.display());
        }
        seen += 1;
    }
    assert!(seen > 10, "only {seen} files were looked at");
}
