//! What samplers draw, by chi-square tests.
//!
//! Seeds are fixed, so nothing here fails by chance. The threshold is the one that a correct sampler would exceed with
//! probability 10⁻⁶ over seeds; each biased alternative named in a test exceeds it by far.

use perpend::scenario::{Materialised, Scenario};

const STEPS: usize = 2000;
const FAILURE: f64 = 1e-6;

fn drawn(items: usize, users: usize, batch: usize, exponent: f64, negatives: &str, seed: u64) -> Materialised {
    let text = format!(
        r#"
        dim = 1
        steps = {STEPS}
        seed = {seed}
        loss = {{ kind = "info-nce", similarity = "cosine", temperature = 1.0 }}
        sampler = {{ batch = {batch}, exponent = {exponent:?}, negatives = {negatives} }}
        [item]
        rows = {items}
        encoder = {{ kind = "table" }}
        optimizer = {{ kind = "sgd", lr = 0.1 }}
        initial = {{ kind = "normal", std = 0.5 }}
        [user]
        rows = {users}
        encoder = {{ kind = "table" }}
        optimizer = {{ kind = "sgd", lr = 0.1 }}
        initial = {{ kind = "normal", std = 0.5 }}
        "#
    );
    Scenario::from_toml(&text).unwrap().materialise().unwrap()
}

const IN_BATCH: &str = r#"{ kind = "in-batch" }"#;

fn counts(cells: usize, draws: impl Iterator<Item = usize>) -> Vec<f64> {
    let mut counts = vec![0.0; cells];
    draws.for_each(|cell| counts[cell] += 1.0);
    counts
}

/// Σ (observed − expected)²/expected.
fn chi_square(counts: &[f64], weights: &[f64]) -> f64 {
    let (draws, total): (f64, f64) = (counts.iter().sum(), weights.iter().sum());
    let terms = counts.iter().zip(weights).map(|(count, weight)| {
        let expected = draws * weight / total;
        (count - expected).powi(2) / expected
    });
    terms.sum()
}

/// P(χ² > x) for an even number of degrees of freedom: e^{−x/2}·Σ_{k < dof/2} (x/2)^k/k!.
fn tail(x: f64, cells: usize) -> f64 {
    assert!(cells % 2 == 1, "an odd number of cells has an even number of degrees of freedom");
    let (mut term, mut sum) = (1.0, 0.0);
    for k in 0..(cells - 1) / 2 {
        sum += term;
        term *= x / 2.0 / (k + 1) as f64;
    }
    (-x / 2.0).exp() * sum
}

fn assert_distributed(what: &str, counts: &[f64], weights: &[f64]) {
    let x = chi_square(counts, weights);
    let probability = tail(x, counts.len());
    assert!(probability > FAILURE, "{what}: chi-square {x}, probability {probability:e}, counts {counts:?}");
}

fn assert_not_distributed(what: &str, counts: &[f64], weights: &[f64]) {
    let probability = tail(chi_square(counts, weights), counts.len());
    assert!(probability < FAILURE * FAILURE, "{what} cannot be told apart: probability {probability:e}");
}

fn zipf(items: usize, exponent: f64) -> Vec<f64> {
    (1..=items).map(|rank| (rank as f64).powf(-exponent)).collect()
}

#[test]
fn the_tail_of_chi_square_is_that_of_the_tables() {
    for (x, cells, probability) in [(5.991, 3, 0.05), (18.307, 11, 0.05), (23.209, 11, 0.01)] {
        approx::assert_relative_eq!(tail(x, cells), probability, max_relative = 1e-3);
    }
}

#[test]
fn positives_follow_zipf_and_users_are_uniform() {
    for (exponent, seed) in [(0.0, 1), (0.5, 2), (1.0, 3), (1.5, 4)] {
        let model = drawn(21, 11, 8, exponent, IN_BATCH, seed);
        let positives = counts(21, model.batches.iter().flat_map(|batch| batch.positives.clone()));
        assert_distributed(&format!("positives at {exponent}"), &positives, &zipf(21, exponent));
        assert_not_distributed("an exponent off by 0.1", &positives, &zipf(21, exponent + 0.1));
        let shifted: Vec<f64> = (2..=22).map(|rank| f64::from(rank).powf(-exponent)).collect();
        if exponent > 0.0 {
            assert_not_distributed("a rank off by one", &positives, &shifted);
            let reversed: Vec<f64> = zipf(21, exponent).into_iter().rev().collect();
            assert_not_distributed("the reverse order", &positives, &reversed);
        }
        let users = counts(11, model.batches.iter().flat_map(|batch| batch.users.clone()));
        assert_distributed("users", &users, &[1.0; 11]);
    }
}

#[test]
fn pairs_are_independent() {
    let model = drawn(3, 3, 8, 1.0, IN_BATCH, 5);
    let cell = |user: usize, item: usize| user * 3 + item;
    let weights: Vec<f64> = (0..3).flat_map(|_| zipf(3, 1.0)).collect();
    let pairs = model.batches.iter().flat_map(|batch| batch.users.iter().zip(&batch.positives).collect::<Vec<_>>());
    assert_distributed("pairs", &counts(9, pairs.map(|(&u, &i)| cell(u, i))), &weights);
    // Two successive positives of a batch.
    let weights: Vec<f64> = zipf(3, 1.0).iter().flat_map(|a| zipf(3, 1.0).into_iter().map(move |b| a * b)).collect();
    let successive = model.batches.iter().flat_map(|batch| batch.positives.chunks_exact(2));
    assert_distributed("successive positives", &counts(9, successive.map(|two| cell(two[0], two[1]))), &weights);
    // The first user of two successive batches.
    let steps = model.batches.chunks_exact(2).map(|two| cell(two[0].users[0], two[1].users[0]));
    assert_distributed("successive steps", &counts(9, steps), &[1.0; 9]);
}

#[test]
fn uniform_negatives_are_uniform_over_all_items_and_each_pair_has_its_own() {
    let model = drawn(21, 4, 6, 1.0, r#"{ kind = "uniform", count = 3 }"#, 6);
    for batch in &model.batches {
        assert_eq!((batch.users.len(), batch.positives.len(), batch.negatives.len()), (6, 6, 6));
        assert!(batch.negatives.iter().all(|own| own.len() == 3));
    }
    let all = counts(21, model.batches.iter().flat_map(|batch| batch.negatives.concat()));
    assert_distributed("negatives", &all, &[1.0; 21]);
    for place in 0..3 {
        let place = model
            .batches
            .iter()
            .flat_map(|batch| batch.negatives.iter().map(|own| own[place]).collect::<Vec<_>>());
        assert_distributed("negatives of one place", &counts(21, place), &[1.0; 21]);
    }
    // Negatives and the pair's positive are independent, and so are the negatives of two pairs: 1/21 of them agree.
    let agreement = |agree: &dyn Fn(&perpend::sampler::Batch, usize) -> bool| {
        let hits = model
            .batches
            .iter()
            .flat_map(|batch| (0..5).map(move |b| agree(batch, b)))
            .filter(|&hit| hit)
            .count();
        let (draws, p) = ((STEPS * 5) as f64, 1.0 / 21.0);
        (hits as f64 - draws * p).powi(2) / (draws * p * (1.0 - p))
    };
    // One degree of freedom: P(χ² > 24) < 10⁻⁶.
    assert!(agreement(&|batch, b| batch.negatives[b][0] == batch.positives[b]) < 24.0);
    assert!(agreement(&|batch, b| batch.negatives[b][0] == batch.negatives[b + 1][0]) < 24.0);
    assert!(agreement(&|batch, b| batch.negatives[b][0] == batch.negatives[b][1]) < 24.0);
}

#[test]
fn in_batch_negatives_are_no_draws_of_their_own() {
    let model = drawn(5, 3, 4, 1.0, IN_BATCH, 7);
    assert!(
        model
            .batches
            .iter()
            .all(|batch| batch.negatives.is_empty() && batch.item_slots() == batch.positives)
    );
}

#[test]
fn item_slots_are_the_positives_then_the_negatives_pair_after_pair() {
    let batch = perpend::sampler::Batch {
        users: vec![0, 1],
        positives: vec![7, 8],
        negatives: vec![vec![1, 2], vec![3, 4]],
        ..perpend::sampler::Batch::default()
    };
    assert_eq!(batch.item_slots(), [7, 8, 1, 2, 3, 4]);
}

#[test]
fn one_seed_gives_one_run_and_another_seed_another() {
    let draw = |seed| drawn(9, 5, 4, 1.0, r#"{ kind = "uniform", count = 2 }"#, seed);
    let (first, again, other) = (draw(1), draw(1), draw(2));
    assert_eq!(first.batches, again.batches);
    assert_eq!(first.item.tables, again.item.tables);
    assert_ne!(first.batches, other.batches);
    assert_ne!(first.item.tables, other.item.tables);
    assert_ne!(
        first.item.tables[0].values()[..5],
        first.user.tables[0].values()[..5],
        "towers have streams of their own"
    );
}
