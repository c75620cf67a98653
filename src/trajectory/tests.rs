//! Tests across the module: round trips, every error with its message, sparse against dense, crash safety, robustness.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::settings::tests::all_settings;
use super::*;
use crate::error::Error;
use crate::rounding::Precision;

type Arrays = BTreeMap<String, Array>;

fn arrays<const K: usize>(entries: [(&str, Array); K]) -> Arrays {
    entries.into_iter().map(|(name, array)| (name.to_owned(), array)).collect()
}

/// Deterministic values that every float type holds exactly.
fn values(count: usize, seed: usize) -> Vec<f64> {
    (0..count).map(|index| ((index * 37 + seed * 11) % 61) as f64 / 4.0 - 7.0).collect()
}

fn floats(element: Element, shape: &[usize], seed: usize) -> Array {
    Array::encode(element, shape, &values(shape.iter().product(), seed))
}

fn f32s(shape: &[usize]) -> Array {
    floats(Element::F32, shape, 1)
}

fn ints(shape: &[usize], values: &[i64]) -> Array {
    Array::from_i64(shape, values)
}

/// T = 3, N = 4, d = 2, B = 2, in the [T+1] form.
fn small() -> Arrays {
    arrays([
        ("q", f32s(&[4, 4, 2])),
        ("grad", f32s(&[3, 4, 2])),
        ("ids", ints(&[3, 2], &[0, 3, 1, 1, -1, 2])),
        ("loss", f32s(&[3])),
    ])
}

/// T = 3, d = 2, four records.
fn small_sparse() -> Arrays {
    arrays([
        ("row_step", ints(&[4], &[2, 0, 1, 0])),
        ("row_id", ints(&[4], &[7, 7, 2, 100])),
        ("row_q", f32s(&[4, 2])),
        ("row_q_next", floats(Element::F32, &[4, 2], 2)),
        ("row_grad", floats(Element::F32, &[4, 2], 3)),
        ("ids", ints(&[3, 2], &[7, 100, 2, 2, 5, -1])),
    ])
}

fn with(mut base: Arrays, name: &str, array: Array) -> Arrays {
    base.insert(name.to_owned(), array);
    base
}

fn without(mut base: Arrays, name: &str) -> Arrays {
    base.remove(name).unwrap();
    base
}

fn prefixed(base: Arrays, prefix: &str) -> Arrays {
    base.into_iter().map(|(name, array)| (format!("{prefix}{name}"), array)).collect()
}

fn make(arrays: Arrays) -> Result<Trajectory> {
    Trajectory::new(Settings::default(), arrays)
}

#[derive(Debug, Clone, PartialEq)]
struct Seen {
    step: i64,
    row: i64,
    lookups: Option<u32>,
    q: Vec<f64>,
    q_next: Vec<f64>,
    grad: Option<Vec<f64>>,
}

fn walk(tower: &Tower<'_>, rows: std::ops::Range<usize>) -> Result<Vec<Seen>> {
    let mut seen = Vec::new();
    tower.for_each(rows, &mut |record| {
        seen.push(Seen {
            step: tower.step_number(record.step),
            row: tower.row_number(record.row),
            lookups: record.lookups,
            q: record.q.to_vec(),
            q_next: record.q_next.to_vec(),
            grad: record.grad.map(<[f64]>::to_vec),
        });
        Ok(())
    })?;
    Ok(seen)
}

fn walk_all(tower: &Tower<'_>) -> Result<Vec<Seen>> {
    walk(tower, 0..tower.rows())
}

/// Everything a reader can ask, for inputs that may be damaged: only errors, no panic.
fn read_everything(trajectory: &Trajectory) {
    for tower in trajectory.towers() {
        let _ = walk_all(&tower);
        let _ = survey(&tower);
        let mut out = vec![0.0; tower.dim()];
        for t in 0..(tower.steps() + 2).min(20) {
            tower.embedding(t, 0, &mut out);
            let _ = (tower.lookups(t), tower.slots(t), tower.users(t), tower.positives(t), tower.negatives(t));
            let _ = (tower.loss(t), tower.learning_rate(t), tower.lookup_gradient(t, 0, &mut out));
        }
        let _ = tower.parameters().map(|parameters| walk_all(&parameters));
    }
}

// ---- Reading ----

#[test]
fn the_shifted_form_and_the_pair_form_are_walked_alike() {
    let shifted = make(small()).unwrap();
    let all = values(32, 1);
    let pair = with(
        with(small(), "q", Array::from_f64(&[3, 4, 2], &all[..24])),
        "q_next",
        Array::from_f64(&[3, 4, 2], &all[8..]),
    );
    let pair = make(pair).unwrap();
    let (shifted, pair) = (shifted.towers()[0], pair.towers()[0]);
    let seen = walk_all(&shifted).unwrap();
    assert_eq!(seen, walk_all(&pair).unwrap());
    assert_eq!(seen.len(), 12);
    assert!(seen.is_sorted_by_key(|seen| (seen.step, seen.row)));
    assert_eq!(seen[5].q, all[10..12]);
    assert_eq!(seen[5].q_next, all[18..20]);
    assert_eq!(seen[5].grad.as_deref(), Some(&values(24, 1)[10..12]));
    let counts: Vec<u32> = seen.iter().map(|seen| seen.lookups.unwrap()).collect();
    assert_eq!(counts, [1, 0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0]);
    for t in 0..=3 {
        for row in 0..4 {
            let mut out = [[0.0; 2]; 2];
            assert!(shifted.embedding(t, row, &mut out[0]) && pair.embedding(t, row, &mut out[1]));
            assert_eq!(out[0], all[(t * 4 + row) * 2..][..2]);
            assert_eq!(out[0], out[1]);
        }
    }
    assert!(!pair.embedding(4, 0, &mut [0.0; 2]) && !pair.embedding(0, 4, &mut [0.0; 2]));
}

#[test]
fn a_range_of_rows_is_the_same_part_of_the_whole() {
    // More rows than fit one block of 2^14 numbers.
    let wide = arrays([("q", f32s(&[3, 300, 100])), ("ids", ints(&[2, 3], &[0, 299, 163, 164, 164, 5]))]);
    for base in [small(), small_sparse(), wide] {
        let trajectory = make(base).unwrap();
        let tower = trajectory.towers()[0];
        let all = walk_all(&tower).unwrap();
        let n = tower.rows();
        for range in [0..n, 0..1, 1..3, 2..n, 3..3, n - 1..n + 9, n..n + 1] {
            let numbers: Vec<i64> = range.clone().filter(|row| *row < n).map(|row| tower.row_number(row)).collect();
            let part: Vec<Seen> = all.iter().filter(|seen| numbers.contains(&seen.row)).cloned().collect();
            assert_eq!(walk(&tower, range).unwrap(), part);
        }
    }
}

#[test]
fn sparse_records_come_by_step_and_row_whatever_their_order() {
    let trajectory = make(small_sparse()).unwrap();
    let tower = trajectory.towers()[0];
    assert!(tower.is_sparse() && tower.has_gradient() && tower.has_lookups() && tower.consecutive());
    assert_eq!((tower.steps(), tower.rows(), tower.dim(), tower.precision()), (3, 4, 2, Precision::F32));
    // Rows: every id that is recorded or looked up.
    assert_eq!([0, 1, 2, 3].map(|row| tower.row_number(row)), [2, 5, 7, 100]);
    assert_eq!((tower.local_row(100), tower.local_row(3)), (Some(3), None));
    let seen = walk_all(&tower).unwrap();
    let places: Vec<_> = seen.iter().map(|seen| (seen.step, seen.row, seen.lookups)).collect();
    assert_eq!(places, [(0, 7, Some(1)), (0, 100, Some(1)), (1, 2, Some(2)), (2, 7, Some(0))]);
    assert_eq!(seen[3].q, values(8, 1)[0..2]);
    assert_eq!(seen[0].q, values(8, 1)[2..4]);
    // A row stays where it is while it is not recorded.
    let mut out = [0.0; 2];
    let mut at = |t, row| tower.embedding(t, row, &mut out).then_some(out);
    assert_eq!(at(0, 2).unwrap(), values(8, 1)[2..4]);
    assert_eq!(at(1, 2).unwrap(), values(8, 2)[2..4]);
    assert_eq!(at(2, 2).unwrap(), values(8, 1)[0..2]);
    assert_eq!(at(3, 2).unwrap(), values(8, 2)[0..2]);
    assert_eq!(at(0, 0).unwrap(), values(8, 1)[4..6]);
    assert_eq!(at(3, 1), None);
    // With gaps between the recorded steps it may have moved meanwhile.
    let gaps = make(with(small_sparse(), "step", ints(&[3], &[10, 20, 30]))).unwrap();
    let tower = gaps.towers()[0];
    assert!(!tower.consecutive());
    let mut at = |t, row| tower.embedding(t, row, &mut out).then_some(out);
    assert_eq!(at(0, 2).unwrap(), values(8, 1)[2..4]);
    assert_eq!((at(1, 2), at(3, 3)), (None, None));
    assert_eq!(at(3, 2).unwrap(), values(8, 2)[0..2]);
}

#[test]
fn a_sparse_tower_counts_its_steps_by_the_records_where_nothing_else_says() {
    let trajectory = make(without(small_sparse(), "ids")).unwrap();
    let tower = trajectory.towers()[0];
    assert_eq!((tower.steps(), tower.rows(), tower.has_lookups()), (3, 3, false));
    assert!(walk_all(&tower).unwrap().iter().all(|seen| seen.lookups.is_none()));
    assert_eq!(tower.lookups(0), None);
}

#[test]
fn padding_and_rows_that_are_not_recorded_are_no_lookups() {
    let settings = Settings { padding_id: Some(0), ..Settings::default() };
    let base = with(small(), "row_ids", ints(&[4], &[30, 10, 20, 0]));
    let base = with(base, "ids", ints(&[3, 3], &[0, 10, 10, -1, 20, 999, 30, 0, 0]));
    let trajectory = Trajectory::new(settings, base).unwrap();
    let tower = trajectory.towers()[0];
    assert_eq!([0, 1, 2].map(|t| tower.lookups(t).unwrap()), [vec![1, 1], vec![2], vec![0]]);
    assert_eq!(tower.lookups(3), None);
    assert_eq!(tower.slots(1).unwrap(), [None, Some(2), None]);
    assert_eq!((tower.row_number(0), tower.local_row(20)), (30, Some(2)));
    let counts: Vec<_> = walk_all(&tower).unwrap().iter().map(|seen| seen.lookups.unwrap()).collect();
    assert_eq!(counts, [0, 2, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0]);
}

/// Both towers with everything the format has: item dense with a table, user sparse.
fn everything() -> (Settings, Arrays) {
    let mut all = prefixed(small(), "item/");
    all.extend(prefixed(small_sparse(), "user/"));
    all.extend(arrays([
        ("item/grad_out", floats(Element::F64, &[3, 2, 2], 5)),
        ("item/table", floats(Element::Bf16, &[3, 5, 2, 3], 6)),
        ("item/table_next", floats(Element::Bf16, &[3, 5, 2, 3], 7)),
        ("item/table_grad", floats(Element::F16, &[3, 5, 2, 3], 8)),
        ("item/row_ids", Array::from_i32(&[4], &[0, 1, 2, 3])),
        ("users", ints(&[3, 2], &[7, 100, 2, 2, 5, -1])),
        ("positives", ints(&[3, 2], &[0, 3, 1, 1, -1, 2])),
        ("negatives", ints(&[3, 2, 1], &[1, 1, 2, 2, -1, 0])),
        ("lr", floats(Element::F64, &[3], 9)),
        ("step", ints(&[3], &[4, 5, 6])),
        ("extra", ints(&[1], &[1])),
    ]));
    let mut settings = Settings { similarity: Some(Similarity::Cosine), ..Settings::default() };
    settings.set_tower(Side::User, &Settings { encoder: Some("mlp".into()), ..Settings::default() });
    (settings, all)
}

#[test]
fn both_towers_share_what_concerns_both() {
    let (settings, all) = everything();
    let trajectory = Trajectory::new(settings.clone(), all).unwrap();
    assert_eq!(trajectory.settings(), &settings);
    assert_eq!(trajectory.notes(), ["arrays that are not interpreted: extra"]);
    assert_eq!((trajectory.origin(), trajectory.array("extra").unwrap().integer(0)), ("trajectory", 1));
    let towers = trajectory.towers();
    assert_eq!(towers.iter().map(Tower::side).collect::<Vec<_>>(), [Some(Side::Item), Some(Side::User)]);
    for tower in &towers {
        assert_eq!(tower.step_number(2), 6);
        assert!(tower.consecutive());
        assert_eq!(tower.learning_rate(1), Some(values(3, 9)[1]));
        assert_eq!((tower.learning_rate(3), tower.users(3)), (None, None));
        assert_eq!(tower.users(2).unwrap(), [5, -1]);
        assert_eq!(tower.positives(1).unwrap(), [1, 1]);
        assert_eq!(tower.negatives(2).unwrap(), (vec![-1, 0], 1));
    }
    assert_eq!(towers[0].loss(0), Some(values(3, 1)[0]));
    assert_eq!(towers[1].loss(0), None);
    assert_eq!((towers[0].settings().encoder, towers[1].settings().encoder.as_deref()), (None, Some("mlp")));
    let mut out = [0.0; 2];
    assert!(towers[0].lookup_gradient(1, 1, &mut out).unwrap());
    assert_eq!(out, values(12, 5)[6..8]);
    assert!(!towers[0].lookup_gradient(1, 2, &mut out).unwrap() && !towers[1].lookup_gradient(0, 0, &mut out).unwrap());

    let parameters = towers[0].parameters().unwrap();
    assert_eq!((parameters.rows(), parameters.dim(), parameters.steps()), (5, 6, 3));
    assert_eq!((parameters.precision(), parameters.side()), (Precision::Bf16, Some(Side::Item)));
    assert_eq!((parameters.lookups(0), parameters.step_number(0)), (None, 4));
    let seen = walk_all(&parameters).unwrap();
    assert_eq!((seen.len(), seen[7].lookups), (15, None));
    assert_eq!((&seen[7].q, &seen[7].q_next), (&values(90, 6)[42..48].to_vec(), &values(90, 7)[42..48].to_vec()));
    assert_eq!(seen[7].grad.as_deref(), Some(&values(90, 8)[42..48]));
    assert!(parameters.parameters().is_none() && towers[1].parameters().is_none());
}

#[test]
fn a_visit_that_fails_ends_the_walk() {
    for base in [small(), small_sparse()] {
        let trajectory = make(base).unwrap();
        let tower = trajectory.towers()[0];
        let mut seen = 0;
        let error = tower.for_each(0..9, &mut |_| {
            seen += 1;
            Err(Error::internal("enough"))
        });
        assert_eq!((error, seen), (Err(Error::internal("enough")), 1));
    }
}

// ---- Errors ----

#[track_caller]
fn refuses(arrays: Arrays, message: &str) {
    let error = make(arrays).err().unwrap_or_else(|| panic!("accepted; expected: {message}"));
    assert!(error.is_input(), "{error}");
    assert_eq!(error.to_string(), message);
}

#[test]
fn shapes_and_element_types_are_as_stated() {
    let q = "shape [T+1, N, d], or [T, N, d] beside q_next";
    refuses(Arrays::new(), &format!("trajectory: q: expected {q}, found no such array"));
    refuses(without(small(), "q"), &format!("trajectory: q: expected {q}, found no such array"));
    refuses(
        prefixed(without(small(), "q"), "user/"),
        &format!("trajectory: user/q: expected {q}, found no such array"),
    );
    refuses(with(small(), "q", f32s(&[4, 8])), &format!("trajectory: q: expected {q}, found shape [4, 8]"));
    refuses(
        with(small(), "q", f32s(&[3, 4, 2])),
        "trajectory: q: expected shape [4, 4, 2], or q_next beside it, found shape [3, 4, 2] alone, with grad of 3 steps",
    );
    refuses(
        with(small(), "q", f32s(&[4, 4, 0])),
        "trajectory: q: expected at least one row and one column, found shape [4, 4, 0]",
    );
    refuses(
        with(small(), "q", f32s(&[4, 0, 2])),
        "trajectory: q: expected at least one row and one column, found shape [4, 0, 2]",
    );
    refuses(
        arrays([("q", f32s(&[1, 4, 2]))]),
        "trajectory: q: expected at least one step, found shape [1, 4, 2] with no pair of states, and no q_next",
    );
    refuses(
        arrays([("q", f32s(&[0, 4, 2])), ("q_next", f32s(&[0, 4, 2]))]),
        "trajectory: q: expected at least one step, found shape [0, 4, 2] with no step",
    );
    refuses(
        with(small(), "q_next", f32s(&[3, 4, 2])),
        "trajectory: loss: expected shape [4] (4 steps), found shape [3]",
    );
    refuses(
        arrays([("q", f32s(&[3, 4, 2])), ("q_next", f32s(&[3, 4, 3]))]),
        "trajectory: q_next: expected shape [3, 4, 2] (as q), found shape [3, 4, 3]",
    );
    refuses(
        arrays([("q", f32s(&[3, 4, 2])), ("q_next", floats(Element::F64, &[3, 4, 2], 1))]),
        "trajectory: q_next: expected F32, as q has, found F64",
    );
    refuses(
        with(small(), "grad", f32s(&[3, 4, 1])),
        "trajectory: grad: expected shape [3, 4, 2] (one gradient for each row and step of q), found shape [3, 4, 1]",
    );
    refuses(
        with(small(), "ids", ints(&[2, 1], &[0, 0])),
        "trajectory: ids: expected shape [3, B] (3 steps), found shape [2, 1]",
    );
    refuses(
        with(small(), "ids", ints(&[3], &[0, 0, 0])),
        "trajectory: ids: expected shape [3, B] (3 steps), found shape [3]",
    );
    refuses(with(small(), "ids", f32s(&[3, 2])), "trajectory: ids: expected I64 or I32, found F32");
    refuses(
        with(small(), "grad", ints(&[1], &[0])),
        "trajectory: grad: expected F64, F32, F16 or BF16, found I64",
    );
    refuses(
        with(small(), "lr", f32s(&[3, 1])),
        "trajectory: lr: expected shape [3] (3 steps), found shape [3, 1]",
    );
    refuses(
        with(small(), "negatives", ints(&[3, 2], &[0; 6])),
        "trajectory: negatives: expected shape [3, B, M] (3 steps), found shape [3, 2]",
    );
    refuses(
        with(with(small(), "users", ints(&[3, 1], &[0; 3])), "positives", ints(&[3, 2], &[0; 6])),
        "trajectory: positives: expected 1 pairs in each step, as users has, found shape [3, 2]",
    );
    refuses(
        with(small(), "grad_out", f32s(&[3, 1, 2])),
        "trajectory: grad_out: expected shape [3, 2, 2] (one gradient for each of ids), found shape [3, 1, 2]",
    );
    refuses(
        with(small(), "row_ids", ints(&[3], &[0, 1, 2])),
        "trajectory: row_ids: expected shape [4] (the rows of q), found shape [3]",
    );
    refuses(
        with(small(), "row_ids", ints(&[4, 1], &[0, 1, 2, 3])),
        "trajectory: row_ids: expected shape [N], found shape [4, 1]",
    );
}

#[test]
fn ids_steps_and_rows_are_in_range() {
    refuses(
        with(small(), "ids", ints(&[3, 2], &[0, 3, 1, 4, -1, 2])),
        "trajectory: ids: expected ids from 0 to 3, or -1 for padding, found 4 at step 1, position 1",
    );
    let settings = Settings { padding_id: Some(9), ..Settings::default() };
    let error = Trajectory::new(settings, with(small(), "ids", ints(&[3, 2], &[0, 9, 1, 1, -1, -2]))).unwrap_err();
    assert_eq!(
        error.to_string(),
        "trajectory: ids: expected ids from 0 to 3, or -1 or 9 for padding, found -2 at step 2, position 1"
    );
    refuses(
        with(with(small(), "row_ids", ints(&[4], &[9, 8, 7, 6])), "ids", ints(&[3, 1], &[77, -1, -3])),
        "trajectory: ids: expected ids from 0, or -1 for padding, found -3 at step 2, position 0",
    );
    refuses(
        with(small(), "users", ints(&[3, 1], &[0, -5, 0])),
        "trajectory: users: expected ids from 0, or -1 for padding, found -5 at step 1, position 0",
    );
    refuses(
        with(prefixed(small(), "item/"), "positives", ints(&[3, 1], &[0, 0, 4])),
        "trajectory: positives: expected ids from 0 to 3, or -1 for padding, found 4 at step 2, position 0",
    );
    refuses(
        with(prefixed(small(), "user/"), "users", ints(&[3, 1], &[0, 0, 4])),
        "trajectory: users: expected ids from 0 to 3, or -1 for padding, found 4 at step 2, position 0",
    );
    refuses(
        with(small(), "row_ids", ints(&[4], &[3, 5, -1, 2])),
        "trajectory: row_ids: expected ids from 0, found -1 at row 2",
    );
    refuses(
        with(small(), "row_ids", ints(&[4], &[3, 5, 1, 3])),
        "trajectory: row_ids: expected different ids, found 3 at rows 0 and 3",
    );
    refuses(
        with(small(), "step", ints(&[3], &[0, 2, 1])),
        "trajectory: step: expected step numbers from 0 that increase, found 1 after 2 at step 2",
    );
    refuses(
        with(small(), "step", ints(&[3], &[-1, 0, 1])),
        "trajectory: step: expected step numbers from 0 that increase, found -1 at step 0",
    );
    refuses(
        with(small(), "step", ints(&[3], &[0, 1, 3])),
        "trajectory: q_next: expected q_next beside q, since step has gaps, found no such array",
    );
}

#[test]
fn towers_are_not_mixed() {
    refuses(
        with(prefixed(small(), "item/"), "q", f32s(&[4, 4, 2])),
        "trajectory: q: expected item/q or user/q, as other arrays have a prefix, found no prefix",
    );
    let mut both = prefixed(small(), "item/");
    both.extend(arrays([("user/q", f32s(&[6, 1, 2]))]));
    refuses(both, "trajectory: user/q: expected 3 steps, as item/q has, found 5 steps");
}

#[test]
fn the_table_fits_the_steps() {
    let expected = "expected shape [T+1, P, ...], or [T, P, ...] beside table_next";
    refuses(
        with(small(), "table_grad", f32s(&[3, 2])),
        &format!("trajectory: table: {expected}, found no such array"),
    );
    refuses(with(small(), "table", f32s(&[4])), &format!("trajectory: table: {expected}, found shape [4]"));
    refuses(
        with(small(), "table", f32s(&[4, 2, 0])),
        &format!("trajectory: table: {expected}, found shape [4, 2, 0]"),
    );
    refuses(
        with(small(), "table", f32s(&[3, 5])),
        "trajectory: table: expected shape [4, 5] (3 steps), found shape [3, 5]",
    );
    let table = || with(small(), "table", f32s(&[3, 5]));
    refuses(
        with(table(), "table_next", f32s(&[3, 6])),
        "trajectory: table_next: expected shape [3, 5] (as table), found shape [3, 6]",
    );
    refuses(
        with(table(), "table_next", floats(Element::F16, &[3, 5], 0)),
        "trajectory: table_next: expected F32, as table has, found F16",
    );
    refuses(
        with(with(table(), "table_next", f32s(&[3, 5])), "table_grad", f32s(&[4, 5])),
        "trajectory: table_grad: expected shape [3, 5] (one gradient for each row and step of table), found shape [4, 5]",
    );
}

#[test]
fn sparse_records_fit_each_other() {
    let scalars = "shape [K], one entry for each record of the sparse form";
    let vectors = "shape [K, d], one entry for each record of the sparse form";
    for (name, expected) in [("row_step", scalars), ("row_id", scalars), ("row_q", vectors), ("row_q_next", vectors)] {
        refuses(
            without(small_sparse(), name),
            &format!("trajectory: {name}: expected {expected}, found no such array"),
        );
    }
    refuses(
        with(small_sparse(), "q", f32s(&[4, 4, 2])),
        "trajectory: q: expected either q or the sparse form row_q, found both",
    );
    refuses(
        with(small_sparse(), "grad", f32s(&[3, 4, 2])),
        "trajectory: grad: expected row_grad, as this is the sparse form, found grad",
    );
    refuses(
        with(small_sparse(), "row_q", f32s(&[8])),
        &format!("trajectory: row_q: expected {vectors}, found shape [8]"),
    );
    refuses(
        with(small_sparse(), "row_q", f32s(&[4, 0])),
        "trajectory: row_q: expected at least one column, found shape [4, 0]",
    );
    refuses(
        with(small_sparse(), "row_q_next", f32s(&[3, 2])),
        "trajectory: row_q_next: expected shape [4, 2] (as row_q), found shape [3, 2]",
    );
    refuses(
        with(small_sparse(), "row_q_next", floats(Element::Bf16, &[4, 2], 0)),
        "trajectory: row_q_next: expected F32, as row_q has, found BF16",
    );
    refuses(
        with(small_sparse(), "row_grad", f32s(&[4, 3])),
        "trajectory: row_grad: expected shape [4, 2] (as row_q), found shape [4, 3]",
    );
    refuses(
        with(small_sparse(), "row_step", ints(&[3], &[0; 3])),
        "trajectory: row_step: expected shape [4] (as row_q), found shape [3]",
    );
    refuses(
        with(small_sparse(), "row_id", ints(&[5], &[0; 5])),
        "trajectory: row_id: expected shape [4] (as row_q), found shape [5]",
    );
    refuses(
        with(small_sparse(), "row_step", ints(&[4], &[2, 0, 3, 0])),
        "trajectory: row_step: expected step indices from 0 to 2, found 3 at record 2",
    );
    refuses(
        with(without(small_sparse(), "ids"), "row_step", ints(&[4], &[2, 0, 1, -1])),
        "trajectory: row_step: expected step indices from 0 to 65539, found -1 at record 3",
    );
    refuses(
        with(small_sparse(), "row_id", ints(&[4], &[7, -7, 2, 100])),
        "trajectory: row_id: expected ids from 0, found -7 at record 1",
    );
    refuses(
        with(small_sparse(), "row_ids", ints(&[2], &[7, 100])),
        "trajectory: row_id: expected ids that row_ids lists, found 2 at record 2",
    );
    refuses(
        with(small_sparse(), "row_step", ints(&[4], &[0, 0, 1, 0])),
        "trajectory: row_id: expected one record for each step and row, found records 0 and 1 at step 0, row 7",
    );
    let none = arrays([
        ("row_step", ints(&[0], &[])),
        ("row_id", ints(&[0], &[])),
        ("row_q", f32s(&[0, 2])),
        ("row_q_next", f32s(&[0, 2])),
    ]);
    refuses(none.clone(), "trajectory: expected at least one step, found none");
    let trajectory = make(with(none, "loss", f32s(&[2]))).unwrap();
    assert_eq!((trajectory.towers()[0].rows(), walk_all(&trajectory.towers()[0]).unwrap().len()), (0, 0));
}

#[test]
fn every_number_must_be_finite_and_the_place_is_said() {
    let spoil = |base: &Arrays, name: &str, index: usize, value: f64| {
        let array = &base[name];
        let mut values = vec![0.0; array.len()];
        array.read(0, &mut values);
        values[index] = value;
        with(base.clone(), name, Array::encode(array.element(), array.shape(), &values))
    };
    let walked = |arrays: Arrays| {
        let trajectory = make(arrays).unwrap();
        trajectory
            .towers()
            .iter()
            .map(|tower| walk_all(tower).err().unwrap().to_string())
            .collect::<Vec<_>>()
            .join("; ")
    };
    let shifted = small();
    let expected = "expected a finite number, found";
    assert_eq!(
        walked(spoil(&shifted, "q", 31, f64::NAN)),
        format!("trajectory: q: {expected} NaN at step 3, row 3, column 1")
    );
    assert_eq!(
        walked(spoil(&shifted, "q", 10, f64::INFINITY)),
        format!("trajectory: q: {expected} inf at step 1, row 1, column 0")
    );
    assert_eq!(
        walked(spoil(&prefixed(shifted.clone(), "item/"), "item/grad", 13, f64::NEG_INFINITY)),
        format!("trajectory: item/grad: {expected} -inf at step 1, row 2, column 1")
    );
    assert_eq!(
        walked(spoil(&small_sparse(), "row_q_next", 4, f64::NAN)),
        format!("trajectory: row_q_next: {expected} NaN at step 1, row 2, column 0")
    );
    refuses(spoil(&shifted, "loss", 1, f64::NAN), &format!("trajectory: loss: {expected} NaN at step 1"));
    let (settings, all) = everything();
    let spoilt = Trajectory::new(settings, spoil(&all, "item/grad_out", 7, f64::NAN)).unwrap();
    assert_eq!(
        spoilt.towers()[0].lookup_gradient(1, 1, &mut [0.0; 2]).unwrap_err().to_string(),
        format!("trajectory: item/grad_out: {expected} NaN at step 1, position 1, column 1")
    );
    // Half precision overflows to infinity, which is found as well.
    let half = with(small(), "q", Array::encode(Element::F16, &[4, 4, 2], &[1e6; 32]));
    assert_eq!(walked(half), format!("trajectory: q: {expected} inf at step 0, row 0, column 0"));
}

// ---- Files ----

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn listing(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn write(folder: &Path, bytes: &[u8]) -> PathBuf {
    let path = folder.join("run.safetensors");
    std::fs::write(&path, bytes).unwrap();
    path
}

#[track_caller]
fn opening_fails(bytes: &[u8], message: &str) {
    let folder = folder();
    let path = write(folder.path(), bytes);
    let error = Trajectory::open(&path).unwrap_err();
    assert!(error.is_input(), "{error}");
    assert_eq!(error.to_string().replace(&path.display().to_string(), "FILE"), message);
}

/// A file with this header and as many bytes of data.
fn file_of(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn files_of_another_kind_are_named() {
    let foreign = |bytes: &[u8], kind: &str| {
        opening_fails(bytes, &format!("FILE: expected a safetensors, npz or JSON Lines file, found {kind}"))
    };
    foreign(b"", "an empty file");
    foreign(b"\x07\0\0", "less than a header");
    foreign(
        b"\x93NUMPY\x01\0 and so on",
        "a single NumPy array (a trajectory has several: an npz file, or a folder with q.npy, ids.npy, …)",
    );
    foreign(b"\x89HDF\r\n\x1a\n and so on", "an HDF5 file");
    foreign(b"\x1f\x8b\x08\0\0\0\0\0 and so on", "a gzip file");
    foreign(b"PAR1 and so on", "a Parquet file");
    foreign(b"ARROW1 and so on", "an Arrow file");
    foreign(b"\x80\x04\x95 and so on", "a Python pickle (a saved dictionary or an old PyTorch checkpoint)");
    foreign(b"user item rating", "content of another kind");
    foreign(&[0xff; 64], "content of another kind");
    let folder = folder();
    let error = Trajectory::open(folder.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "{}: expected a folder of steps (header.json, step-000000.safetensors, …) or of arrays (q.npy, item/q.npy, …), \
             found a directory without them",
            folder.path().display()
        )
    );
    let missing = folder.path().join("missing");
    let error = Trajectory::open(&missing).unwrap_err();
    assert!(error.is_input());
    assert!(error.to_string().starts_with(&format!("{}: cannot open: ", missing.display())), "{error}");
}

#[test]
fn headers_that_do_not_fit_the_file_are_refused() {
    opening_fails(
        &file_of("{}", 0)[..9],
        "FILE: expected a safetensors file, found a truncated file: a header of 2 bytes in a file of 9 bytes",
    );
    opening_fails(
        &file_of("{\"q\"", 0),
        "FILE: expected a header that is a JSON object, found a JSON error: EOF while parsing an object at line 1 column 4",
    );
    let mut binary = file_of("{  }", 0);
    binary[9] = 0xff;
    opening_fails(&binary, "FILE: expected a header in UTF-8, found other bytes");
    opening_fails(
        &file_of("{}", 0),
        "FILE: q: expected shape [T+1, N, d], or [T, N, d] beside q_next, found no such array",
    );
    opening_fails(&file_of("{}", 3), "FILE: expected 0 bytes of data, as the header lists, found 3 bytes");
    opening_fails(&file_of(r#"{"q":[]}"#, 0), "FILE: q: expected an entry {dtype, shape, data_offsets}, found []");
    opening_fails(
        &file_of(r#"{"__metadata__":{"perpend":1}}"#, 0),
        r#"FILE: __metadata__: expected an object of strings, found {"perpend":1}"#,
    );
    let entry = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#""dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}"#)
    };
    let one = |entry: &str| format!("{{\"q\":{{{entry}}}}}");
    opening_fails(
        &file_of(&one(&entry("F32", "[2,1,1]", "[0,8]")), 7),
        "FILE: q: expected a safetensors file, found a truncated file: bytes 0 to 8 of 7 bytes of data",
    );
    opening_fails(
        &file_of(&one(&entry("F32", "[2,1,1]", "[0,4]")), 4),
        "FILE: q: expected as many bytes as F32 [2, 1, 1] has, found 4 bytes",
    );
    opening_fails(
        &file_of(&one(&entry("F32", "[4294967296,4294967296,1]", "[0,0]")), 0),
        "FILE: q: expected as many bytes as F32 [4294967296, 4294967296, 1] has, found 0 bytes",
    );
    opening_fails(
        &file_of(&one(&entry("F32", "[1]", "[4,0]")), 4),
        "FILE: q: expected data_offsets [start, end], found [4, 0]",
    );
    opening_fails(
        &file_of(&one(&entry("F32", "[1]", "[0]")), 4),
        r#"FILE: q: expected data_offsets [start, end], found {"dtype":"F32","shape":[1],"data_offsets":[0]}"#,
    );
    opening_fails(
        &file_of(&one(&entry("F32", "[1]", "[4,8]")), 8),
        "FILE: q: expected data from byte 0 on, where the array before it ends, found data from byte 4 on",
    );
    opening_fails(
        &file_of(&one(&entry("U8", "[2,1,1]", "[0,2]")), 2),
        "FILE: q: expected F64, F32, F16 or BF16, found U8",
    );
    opening_fails(
        &file_of(&one(&entry("F8_E4M3", "[2,1,1]", "[0,2]")), 2),
        "FILE: q: expected F64, F32, F16 or BF16, found F8_E4M3",
    );
    let twice = format!("{{\"q\":{{{0}}},\"q\":{{{0}}}}}", entry("F32", "[1]", "[0,4]"));
    opening_fails(&file_of(&twice, 4), "FILE: q: expected one array of this name, found two");
    opening_fails(
        &file_of(r#"{"__metadata__":{"perpend":"2"}}"#, 0),
        r#"FILE: perpend: expected format version "1", found "2""#,
    );
    // An element type that this format does not have is no obstacle in an array that it does not have either.
    let extra =
        format!("{{\"q\":{{{}}},\"mask\":{{{}}}}}", entry("F32", "[2,1,1]", "[0,8]"), entry("BOOL", "[3]", "[8,11]"));
    let folder = folder();
    let path = write(folder.path(), &file_of(&extra, 11));
    assert_eq!(Trajectory::open(&path).unwrap().notes(), ["arrays that are not interpreted: mask"]);
    assert_eq!(
        read_arrays(&path).unwrap_err().to_string(),
        format!("{}: mask: expected F64, F32, F16, BF16, I64 or I32, found BOOL", path.display())
    );
}

#[test]
fn what_is_saved_is_read_back_with_every_float_type() {
    let folder = folder();
    let (settings, all) = everything();
    for element in [Element::F64, Element::F32, Element::F16, Element::Bf16] {
        let mut all = all.clone();
        for array in all.values_mut().filter(|array| !array.element().is_integer()) {
            *array = floats(element, array.shape(), 4);
        }
        let path = folder.path().join(format!("{element}.safetensors"));
        let saved = Trajectory::new(settings.clone(), all.clone()).unwrap();
        saved.save(&path, false).unwrap();
        let opened = Trajectory::open(&path).unwrap();
        assert_eq!((&opened.arrays, opened.settings(), opened.notes()), (&all, saved.settings(), saved.notes()));
        assert_eq!(opened.origin(), path.display().to_string());
        for (saved, opened) in saved.towers().iter().zip(&opened.towers()) {
            assert_eq!(walk_all(saved).unwrap(), walk_all(opened).unwrap());
            assert_eq!(Some(opened.precision()), element.precision());
        }
    }
}

#[test]
fn the_files_are_those_of_the_safetensors_library() {
    let folder = folder();
    let (settings, all) = everything();
    let path = folder.path().join("run.safetensors");
    Trajectory::new(settings.clone(), all.clone()).unwrap().save(&path, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let (header, metadata) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!(header % 8, 0);
    assert_eq!(metadata.metadata().as_ref().unwrap()["similarity"], "cosine");
    let read = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.len(), all.len());
    for (name, array) in &all {
        let tensor = read.tensor(name).unwrap();
        assert_eq!((tensor.shape(), tensor.data()), (array.shape(), array.as_bytes()));
        let start = tensor.data().as_ptr() as usize - bytes.as_ptr() as usize;
        assert!(start.is_multiple_of(array.element().size()), "{name} is not aligned");
    }
    // And the other way round.
    let information = metadata.metadata().clone();
    let written = safetensors::serialize(read.tensors(), information).unwrap();
    let opened = Trajectory::open(&write(folder.path(), &written)).unwrap();
    assert_eq!((&opened.arrays, opened.settings()), (&all, &settings));
}

#[test]
fn a_streamed_file_is_the_saved_file() {
    let folder = folder();
    let (settings, all) = everything();
    let saved = folder.path().join("saved");
    Trajectory::new(settings.clone(), all.clone()).unwrap().save(&saved, false).unwrap();
    let streamed = folder.path().join("streamed");
    let mut writer = Writer::create(&streamed, false, settings).unwrap();
    // Uneven portions, arrays interleaved.
    for portion in 0..3 {
        for (name, array) in &all {
            let row: usize = array.shape()[1..].iter().product();
            let entries = array.shape()[0];
            let bounds = [0, entries / 3, entries / 2, entries];
            let range = bounds[portion] * row..bounds[portion + 1] * row;
            if array.element().is_integer() {
                let part: Vec<i64> = range.map(|index| array.integer(index)).collect();
                writer.append_integers(name, array.element(), &array.shape()[1..], &part).unwrap();
            } else {
                let mut part = vec![0.0; range.len()];
                array.read(range.start, &mut part);
                writer.append(name, array.element(), &array.shape()[1..], &part).unwrap();
            }
        }
    }
    assert_eq!(listing(folder.path()), ["saved"]);
    writer.finish().unwrap();
    assert_eq!(std::fs::read(&saved).unwrap(), std::fs::read(&streamed).unwrap());
    assert_eq!(listing(folder.path()), ["saved", "streamed"]);
}

#[test]
fn the_writer_refuses_what_does_not_fit() {
    let folder = folder();
    let path = folder.path().join("run");
    let mut writer = Writer::create(&path, false, Settings::default()).unwrap();
    let message = |result: Result<()>| result.unwrap_err().to_string().replace(&path.display().to_string(), "FILE");
    writer.append("q", Element::F32, &[2, 2], &[0.0; 8]).unwrap();
    assert_eq!(
        message(writer.append("q", Element::F32, &[2, 3], &[0.0; 6])),
        "FILE: q: expected entries of F32 [2, 2], as before, found F32 [2, 3]"
    );
    assert_eq!(
        message(writer.append("q", Element::F64, &[2, 2], &[0.0; 4])),
        "FILE: q: expected entries of F32 [2, 2], as before, found F64 [2, 2]"
    );
    assert_eq!(
        message(writer.append("q", Element::F32, &[2, 2], &[0.0; 5])),
        "FILE: q: expected whole entries of shape [2, 2], found 5 values"
    );
    assert_eq!(
        message(writer.append("q", Element::F32, &[0], &[])),
        "FILE: q: expected whole entries of shape [0], found 0 values"
    );
    assert_eq!(
        message(writer.append("ids", Element::I32, &[1], &[0.0])),
        "FILE: ids: expected F64, F32, F16 or BF16, found I32"
    );
    assert_eq!(
        message(writer.append_integers("ids", Element::F32, &[1], &[0])),
        "FILE: ids: expected I64 or I32, found F32"
    );
    assert_eq!(
        message(writer.append_integers("ids", Element::I32, &[1], &[1 << 40])),
        "FILE: ids: expected integers that fit I32, found 1099511627776"
    );
    writer.append_integers("ids", Element::I32, &[1], &[2]).unwrap();
    // What was written is checked as a whole, and the message names the target.
    assert_eq!(
        message(writer.finish()),
        "FILE: ids: expected ids from 0 to 1, or -1 for padding, found 2 at step 0, position 0"
    );
    assert!(listing(folder.path()).is_empty());
    let error = Writer::create(&folder.path().join("no/such/run"), false, Settings::default()).unwrap_err();
    assert!(error.is_input() && error.to_string().contains("expected an existing folder"), "{error}");
}

#[test]
fn an_existing_file_is_kept_unless_forced_and_nothing_is_left_behind() {
    let folder = folder();
    let path = write(folder.path(), b"precious");
    let trajectory = make(small()).unwrap();
    let kept = || {
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert_eq!(listing(folder.path()), ["run.safetensors"]);
    };
    let exists = format!("{}: exists already; pass --force to replace it", path.display());
    let error = trajectory.save(&path, false).unwrap_err();
    assert!(error.is_usage());
    assert_eq!(error.to_string(), exists);
    kept();
    assert_eq!(Writer::create(&path, false, Settings::default()).unwrap_err().to_string(), exists);
    kept();
    // Dropped, or finished with something that is no trajectory.
    let mut writer = Writer::create(&path, true, Settings::default()).unwrap();
    writer.append("q", Element::F32, &[1, 1], &[1.0, 2.0]).unwrap();
    drop(writer);
    kept();
    Writer::create(&path, true, Settings::default()).unwrap().finish().unwrap_err();
    kept();
    // The file came into being while the run was recorded.
    let late = folder.path().join("late");
    let mut writer = Writer::create(&late, false, Settings::default()).unwrap();
    writer.append("q", Element::F32, &[1, 1], &[1.0, 2.0]).unwrap();
    std::fs::write(&late, b"late").unwrap();
    assert!(writer.finish().unwrap_err().is_usage());
    assert_eq!(std::fs::read(&late).unwrap(), b"late");
    std::fs::remove_file(&late).unwrap();
    // A write that fails half-way, and a check that refuses.
    let halfway = |out: &mut std::io::BufWriter<&std::fs::File>| {
        std::io::Write::write_all(out, &[0; 100_000])?;
        Err(std::io::Error::other("disk full"))
    };
    let error = crate::files::write_atomically(&path, true, halfway, |_| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), format!("{}: cannot write: disk full", path.display()));
    kept();
    crate::files::write_atomically(&path, true, |_| Ok(()), |_| Err(Error::internal("no"))).unwrap_err();
    kept();
    // Forced, also over the very file that is mapped.
    trajectory.save(&path, true).unwrap();
    let opened = Trajectory::open(&path).unwrap();
    opened.save(&path, true).unwrap();
    assert_eq!(walk_all(&opened.towers()[0]), walk_all(&trajectory.towers()[0]));
    assert_eq!(Trajectory::open(&path).unwrap().arrays, trajectory.arrays);
    assert_eq!(listing(folder.path()), ["run.safetensors"]);
    // A folder is in the way, or missing.
    assert!(trajectory.save(folder.path(), true).is_err());
    assert!(trajectory.save(&folder.path().join("no/run"), false).unwrap_err().is_input());
    assert_eq!(listing(folder.path()), ["run.safetensors"]);
}

#[cfg(unix)]
#[test]
fn a_saved_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
    make(small()).unwrap().save(&ours, false).unwrap();
    std::fs::write(&plain, b"").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

// ---- Observations on the recording ----

fn kinds(arrays: Arrays) -> Vec<(IntegrityKind, Option<usize>, Option<usize>, u64)> {
    kinds_under(Settings::default(), arrays)
}

fn kinds_under(settings: Settings, arrays: Arrays) -> Vec<(IntegrityKind, Option<usize>, Option<usize>, u64)> {
    let trajectory = Trajectory::new(settings, arrays).unwrap();
    let findings = survey(&trajectory.towers()[0]).unwrap();
    findings
        .into_iter()
        .map(|finding| (finding.kind, finding.step, finding.row, finding.count))
        .collect()
}

/// T = 3, N = 2, d = 1: row 0 moves by its gradient, row 1 stays; only row 0 is looked up.
fn honest() -> Arrays {
    arrays([
        ("q", Array::from_f64(&[3, 2, 1], &[1.0, 5.0, 2.0, 5.0, 3.0, 5.0])),
        ("q_next", Array::from_f64(&[3, 2, 1], &[2.0, 5.0, 3.0, 5.0, 4.0, 5.0])),
        ("grad", Array::from_f64(&[3, 2, 1], &[-1.0, 0.0, -1.0, 0.0, -1.0, 0.0])),
        ("ids", ints(&[3, 1], &[0, 0, 0])),
    ])
}

/// The same as records of the sparse form.
fn honest_sparse() -> Arrays {
    arrays([
        ("row_step", ints(&[3], &[2, 0, 1])),
        ("row_id", ints(&[3], &[0, 0, 0])),
        ("row_q", Array::from_f64(&[3, 1], &[3.0, 1.0, 2.0])),
        ("row_q_next", Array::from_f64(&[3, 1], &[4.0, 2.0, 3.0])),
        ("row_grad", Array::from_f64(&[3, 1], &[-1.0, -1.0, -1.0])),
        ("ids", ints(&[3, 1], &[0, 0, 0])),
    ])
}

#[test]
fn an_honest_recording_has_nothing_to_remark() {
    assert_eq!(kinds(honest()), []);
    assert_eq!(kinds(honest_sparse()), []);
    assert_eq!(kinds(arrays([("q", f32s(&[3, 2, 2]))])), []);
}

#[test]
fn rows_rewritten_between_steps_are_seen() {
    let rewritten = Array::from_f64(&[3, 2, 1], &[1.0, 5.0, 2.0, 5.5, 3.5, 5.0]);
    let found = [(IntegrityKind::RewrittenBetweenSteps, Some(1), Some(1), 2)];
    assert_eq!(kinds(with(honest(), "q", rewritten.clone())), found);
    // Where steps are missing between the recorded ones, rows may change there.
    assert_eq!(kinds(with(with(honest(), "q", rewritten.clone()), "step", ints(&[3], &[0, 10, 20]))), []);
    let one = [(IntegrityKind::RewrittenBetweenSteps, Some(1), Some(1), 1)];
    assert_eq!(kinds(with(with(honest(), "q", rewritten), "step", ints(&[3], &[0, 1, 20])))[0].0, one[0].0);
    let sparse = with(honest_sparse(), "row_q", Array::from_f64(&[3, 1], &[3.0, 1.0, 2.5]));
    assert_eq!(kinds(sparse), [(IntegrityKind::RewrittenBetweenSteps, Some(1), Some(0), 1)]);
    let trajectory = make(with(honest_sparse(), "row_q", Array::from_f64(&[3, 1], &[3.0, 1.0, 2.5]))).unwrap();
    assert_eq!(
        survey(&trajectory.towers()[0]).unwrap()[0].evidence,
        "q differs from the q_next recorded before it once, first at step 1, row 0; largest change 5.0e-1 at step 1, row 0"
    );
}

#[test]
fn snapshots_that_alias_are_seen() {
    let last = Array::from_f64(&[3, 2, 1], &[4.0, 5.0, 4.0, 5.0, 4.0, 5.0]);
    let aliased = with(with(honest(), "q", last.clone()), "q_next", last.clone());
    assert_eq!(kinds(aliased.clone()), [(IntegrityKind::AliasedSnapshots, Some(0), Some(0), 3)]);
    let trajectory = make(aliased.clone()).unwrap();
    assert_eq!(
        survey(&trajectory.towers()[0]).unwrap()[0].evidence,
        "every q equals q_next and every other q of its row, and 3 gradients are not zero (largest norm 1.0e0): the snapshots share memory, or no step was applied"
    );
    let one = Array::from_f64(&[3, 1], &[4.0; 3]);
    let sparse = with(with(honest_sparse(), "row_q", one.clone()), "row_q_next", one);
    assert_eq!(kinds(sparse), [(IntegrityKind::AliasedSnapshots, Some(0), Some(0), 3)]);
    // q_next is a second view of q.
    let q = honest()["q"].clone();
    let found = kinds(with(honest(), "q_next", q));
    assert_eq!(
        found.iter().map(|found| found.0).collect::<Vec<_>>(),
        [IntegrityKind::RewrittenBetweenSteps, IntegrityKind::AliasedSnapshots]
    );
    // At a learning rate of zero nothing should move, and without gradients nobody knows.
    assert_eq!(kinds(with(aliased.clone(), "lr", Array::from_f64(&[3], &[0.0; 3]))), []);
    let optimizer = DeclaredOptimizer { lr: Some(0.0), ..DeclaredOptimizer::default() };
    assert_eq!(kinds_under(Settings { optimizer: Some(optimizer), ..Settings::default() }, aliased.clone()), []);
    assert_eq!(kinds(without(aliased, "grad")), []);
}

#[test]
fn gradients_without_lookup_and_lookups_without_gradient_are_seen() {
    let ids = ints(&[3, 1], &[0, 1, -1]);
    let expected = [
        (IntegrityKind::GradientWithoutLookup, Some(1), Some(0), 2),
        (IntegrityKind::LookupWithoutGradient, Some(1), Some(1), 1),
    ];
    assert_eq!(kinds(with(honest(), "ids", ids.clone())), expected);
    // In the sparse form the row that had no gradient is not recorded at all.
    assert_eq!(kinds(with(honest_sparse(), "ids", ids.clone())), expected);
    assert_eq!(kinds(without(honest(), "ids")), []);
    assert_eq!(kinds(without(with(honest(), "ids", ids), "grad")), []);
    // Gradients whose squares underflow are gradients.
    let tiny = with(honest(), "grad", Array::from_f64(&[3, 2, 1], &[1e-200, 0.0, 1e-200, 0.0, 1e-200, 0.0]));
    assert_eq!(kinds(tiny), []);
    let trajectory = make(with(honest(), "ids", ints(&[3, 1], &[0, 0, 1]))).unwrap();
    let evidence: Vec<String> =
        survey(&trajectory.towers()[0]).unwrap().into_iter().map(|finding| finding.evidence).collect();
    assert_eq!(
        evidence,
        [
            "a row has a gradient in a step that did not look it up once, first at step 2, row 0; largest norm 1.0e0 at step 2, row 0",
            "a row was looked up with a gradient of exactly zero once, first at step 2, row 1",
        ]
    );
}

// ---- Random trajectories ----

/// A dense trajectory of one tower with some of the optional arrays.
fn dense() -> impl Strategy<Value = Arrays> {
    let sizes = (1..5_usize, 1..6_usize, 1..4_usize, 0..4_usize);
    let element = proptest::sample::select(&[Element::F64, Element::F32, Element::F16, Element::Bf16][..]);
    (sizes, element, any::<u8>(), any::<[bool; 8]>()).prop_map(|((t, n, d, b), element, seed, flags)| {
        let seed = usize::from(seed);
        let floats = |shape: &[usize], salt: usize| floats(element, shape, seed + salt);
        let ids = |shape: &[usize], salt: usize| {
            let count: usize = shape.iter().product();
            ints(shape, &(0..count).map(|index| ((index * 7 + seed + salt) % (n + 1)) as i64 - 1).collect::<Vec<_>>())
        };
        let mut all = Arrays::new();
        let mut put = |flag: bool, name: &str, array: Array| {
            if flag {
                all.insert(name.to_owned(), array);
            }
        };
        put(true, "q", floats(&[if flags[0] { t } else { t + 1 }, n, d], 0));
        put(flags[0], "q_next", floats(&[t, n, d], 1));
        put(flags[1], "grad", floats(&[t, n, d], 2));
        put(flags[2], "ids", ids(&[t, b], 3));
        put(flags[2] && flags[3], "grad_out", floats(&[t, b, d], 4));
        // The shifted form has no room for gaps.
        put(flags[3] && !(flags[0] && flags[7]), "table", floats(&[t + 1, n, 2, d], 5));
        put(flags[4], "loss", floats(&[t], 6));
        put(flags[5], "lr", floats(&[t], 7));
        put(flags[6], "users", ids(&[t, b], 8));
        put(flags[6], "negatives", ids(&[t, b, 2], 9));
        let gap = if flags[0] { 10 } else { 1 };
        put(flags[7], "step", ints(&[t], &(0..t as i64).map(|step| 5 + gap * step).collect::<Vec<_>>()));
        all
    })
}

/// The records of a tower in the sparse form, in some order. `listed`: with `row_ids`.
fn sparse_of(trajectory: &Trajectory, keep: impl Fn(&Seen) -> bool, listed: bool, order: usize) -> (Arrays, Vec<Seen>) {
    let tower = trajectory.towers()[0];
    let kept: Vec<Seen> = walk_all(&tower).unwrap().into_iter().filter(keep).collect();
    let first = tower.step_number(0);
    let gap = if tower.steps() > 1 {
        tower.step_number(1) - first
    } else {
        1
    };
    let mut shuffled: Vec<&Seen> = kept.iter().collect();
    if order > 0 {
        shuffled.sort_by_key(|seen| ((seen.step * 13 + seen.row * 29 + 7) * order as i64) % 31);
    }
    let (k, d, element) = (shuffled.len(), tower.dim(), Element::from(tower.precision()));
    let flat = |pick: &dyn Fn(&Seen) -> Vec<f64>| {
        Array::encode(element, &[k, d], &shuffled.iter().flat_map(|seen| pick(seen)).collect::<Vec<_>>())
    };
    let mut all: Arrays = trajectory
        .arrays
        .iter()
        .filter(|(name, _)| !matches!(name.as_str(), "q" | "q_next" | "grad") && !name.starts_with("table"))
        .map(|(n, a)| (n.clone(), a.clone()))
        .collect();
    let indices: Vec<i64> = shuffled.iter().map(|seen| (seen.step - first) / gap).collect();
    all.insert("row_step".into(), ints(&[k], &indices));
    all.insert("row_id".into(), ints(&[k], &shuffled.iter().map(|seen| seen.row).collect::<Vec<_>>()));
    all.insert("row_q".into(), flat(&|seen| seen.q.clone()));
    all.insert("row_q_next".into(), flat(&|seen| seen.q_next.clone()));
    if tower.has_gradient() {
        all.insert("row_grad".into(), flat(&|seen| seen.grad.clone().unwrap()));
    }
    // The number of steps must not depend on which records were kept.
    all.entry("loss".into()).or_insert_with(|| f32s(&[tower.steps()]));
    if listed {
        let mut rows: Vec<i64> = (0..tower.rows() as i64).collect();
        if order > 1 {
            rows.reverse();
        }
        all.insert("row_ids".into(), ints(&[tower.rows()], &rows));
    }
    (all, kept)
}

proptest! {
    #[test]
    fn trajectories_round_trip_through_files(arrays in dense(), settings in all_settings(), side in 0..3_usize) {
        let arrays = prefixed(arrays, ["", "item/", "user/"][side]);
        // A declared padding id would turn arbitrary ids into padding.
        let settings = Settings { padding_id: None, ..settings };
        let trajectory = Trajectory::new(settings, arrays).unwrap();
        let folder = folder();
        let path = folder.path().join("run");
        trajectory.save(&path, false).unwrap();
        let opened = Trajectory::open(&path).unwrap();
        prop_assert_eq!(&opened.arrays, &trajectory.arrays);
        prop_assert_eq!(opened.settings(), trajectory.settings());
        prop_assert_eq!(opened.notes(), trajectory.notes());
        let towers = (trajectory.towers(), opened.towers());
        prop_assert_eq!(towers.0.len(), 1);
        prop_assert_eq!(walk_all(&towers.0[0]), walk_all(&towers.1[0]));
        prop_assert_eq!(survey(&towers.0[0]), survey(&towers.1[0]));
        read_everything(&opened);
    }

    #[test]
    fn the_sparse_form_visits_what_the_dense_form_visits(arrays in dense(), listed in any::<bool>(), order in 0..3_usize, every in 1..4_i64) {
        let trajectory = make(arrays).unwrap();
        let keep = |seen: &Seen| (seen.step + seen.row) % every == 0;
        let (sparse, kept) = sparse_of(&trajectory, keep, listed, order);
        let sparse = make(sparse).unwrap();
        let tower = sparse.towers()[0];
        prop_assert_eq!(tower.steps(), trajectory.towers()[0].steps());
        let mut seen = walk_all(&tower).unwrap();
        seen.sort_by_key(|seen| (seen.step, seen.row));
        prop_assert_eq!(&seen, &kept);
        // In every part of the rows, too, and each record in exactly one part.
        let middle = tower.rows() / 2;
        let parts = walk(&tower, 0..middle).unwrap().len() + walk(&tower, middle..tower.rows()).unwrap().len();
        prop_assert_eq!(parts, kept.len());
        if every == 1 && tower.consecutive() {
            let dense = trajectory.towers()[0];
            let shifted = !trajectory.arrays.contains_key("q_next");
            for t in 0..=dense.steps() {
                for row in 0..dense.rows() {
                    let (mut a, mut b) = (vec![0.0; dense.dim()], vec![0.0; dense.dim()]);
                    let local = tower.local_row(row as i64).unwrap();
                    prop_assert!(dense.embedding(t, row, &mut a) && tower.embedding(t, local, &mut b));
                    prop_assert_eq!(a, b);
                }
            }
            if shifted {
                prop_assert!(survey(&tower).unwrap().iter().all(|finding| finding.kind != IntegrityKind::RewrittenBetweenSteps));
            }
        }
    }

    #[test]
    fn damaged_files_are_errors_and_never_panics(
        which in 0..3_usize,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
        header_only in any::<bool>(),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let folder = folder();
        let path = folder.path().join("run");
        let (settings, arrays) = [(Settings::default(), small()), (Settings::default(), small_sparse()), everything()][which].clone();
        Trajectory::new(settings, arrays).unwrap().save(&path, false).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
        let length = if header_only { header } else { bytes.len() };
        for (index, value) in changes {
            // Digits for digits keep the JSON readable, so that more than its parser is tried.
            let at = index.index(length);
            bytes[at] = if bytes[at].is_ascii_digit() { b'0' + value % 10 } else { value };
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        std::fs::write(&path, bytes).unwrap();
        match Trajectory::open(&path) {
            Ok(trajectory) => read_everything(&trajectory),
            Err(error) => prop_assert!(error.is_input()),
        }
    }
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = folder();
    let path = folder.path().join("run");
    make(small()).unwrap().save(&path, false).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for length in 0..bytes.len() {
        std::fs::write(&path, &bytes[..length]).unwrap();
        assert!(Trajectory::open(&path).unwrap_err().is_input(), "{length} bytes");
    }
}

// ---- Recorded runs ----

#[test]
fn recorded_runs_of_public_packages_open() {
    let Some(folder) = std::env::var_os("PERPEND_RUNS") else {
        println!("skipped: PERPEND_RUNS is not set");
        return;
    };
    let mut opened = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let trajectory = Trajectory::open(&path).unwrap();
        let settings = trajectory.settings();
        assert!(settings.similarity.is_some() && settings.param_dtype.is_some(), "{}", path.display());
        let optimizer = settings.optimizer.as_ref().unwrap();
        assert!(optimizer.lr.is_some() && optimizer.name.is_some() && optimizer.other.is_empty());
        let towers = trajectory.towers();
        assert_eq!(towers.len(), 1);
        assert_eq!((towers[0].rows(), towers[0].dim(), towers[0].side()), (50, 16, None));
        assert!(
            towers[0].has_gradient() && towers[0].has_lookups() && !towers[0].is_sparse() && towers[0].consecutive()
        );
        assert_eq!(walk_all(&towers[0]).unwrap().len(), 50 * towers[0].steps());
        let encoded = settings.encoder.as_deref().is_some_and(|encoder| ["hash", "hash-sum", "mlp"].contains(&encoder));
        assert_eq!(towers[0].parameters().is_some(), encoded);
        read_everything(&trajectory);
        // The same records in the sparse form, read from a file.
        let (sparse, kept) = sparse_of(&trajectory, |seen| seen.q != seen.q_next || seen.lookups != Some(0), false, 1);
        let sparse = Trajectory::new(settings.clone(), sparse).unwrap();
        assert_eq!(walk_all(&sparse.towers()[0]).unwrap(), kept);
        opened += 1;
    }
    assert_eq!(opened, 18, "recordings");
}
