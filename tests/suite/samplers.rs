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
fn candidates_are_the_positives_then_the_own_negatives_then_the_shared_ones() {
    use perpend::sampler::Batch;
    let slots = |batch: &Batch, pair: usize| batch.candidates(pair).slots().collect::<Vec<_>>();
    let pairs = Batch { users: vec![0, 1], positives: vec![7, 8], ..Batch::default() };
    assert_eq!((slots(&pairs, 0), pairs.candidates(1).target()), (vec![0, 1], 1));
    let own = Batch { negatives: vec![vec![1, 2], vec![3, 8]], shared: vec![7], ..pairs.clone() };
    assert_eq!(own.item_slots(), [7, 8, 1, 2, 3, 8, 7]);
    assert_eq!((slots(&own, 0), slots(&own, 1)), (vec![0, 2, 3, 6], vec![1, 4, 5, 6]));
    assert_eq!(own.candidates(1).target(), 0);
    let both = Batch { in_batch: Some(true), ..own.clone() };
    assert_eq!((slots(&both, 1), both.candidates(1).target()), (vec![0, 1, 4, 5, 6], 1));
    // Item 8 is the positive of pair 1 and one of its negatives; item 7 that of pair 0 and shared.
    let masked = |batch: &Batch, pair: usize| batch.candidates(pair).without_duplicates(&batch.item_slots());
    assert_eq!((masked(&both, 1).masked(), masked(&both, 0).masked()), (&[3][..], &[4][..]));
    assert_eq!(masked(&both, 1).negatives().collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(both.candidates(1).negatives().collect::<Vec<_>>(), [0, 2, 3, 4]);
}

#[test]
fn mixed_negatives_are_shared_and_uniform_and_the_full_sampler_leaves_no_item_out() {
    let model = drawn(21, 4, 6, 1.0, r#"{ kind = "mixed", count = 5 }"#, 8);
    assert!(model.batches.iter().all(|batch| batch.shared.len() == 5 && batch.negatives.is_empty()));
    assert!(model.batches.iter().all(|batch| batch.has_in_batch_negatives() && batch.log_q.is_empty()));
    let all = counts(21, model.batches.iter().flat_map(|batch| batch.shared.clone()));
    assert_distributed("shared negatives", &all, &[1.0; 21]);
    let model = drawn(5, 3, 4, 1.0, r#"{ kind = "full" }"#, 9);
    for batch in &model.batches {
        assert_eq!((batch.shared.as_slice(), batch.has_in_batch_negatives()), (&[0, 1, 2, 3, 4][..], false));
        assert_eq!(batch.candidates(2).slots().collect::<Vec<_>>(), [2, 4, 5, 6, 7, 8]);
    }
}

/// ln Q is what the sampler does: Q_i is the probability of item i in a place of the candidates that is drawn at random.
#[test]
fn log_q_is_the_distribution_of_the_candidates() {
    let items = 7;
    for (negatives, full) in [
        (r#"{ kind = "in-batch" }"#, false),
        (r#"{ kind = "uniform", count = 3 }"#, false),
        (r#"{ kind = "mixed", count = 9 }"#, false),
        (r#"{ kind = "full" }"#, true),
    ] {
        let mut scenario = drawn(items, 3, 6, 1.0, negatives, 10).scenario;
        scenario.loss = perpend::loss::Loss::new(
            perpend::trajectory::Similarity::Cosine,
            perpend::loss::Objective::InfoNce(perpend::loss::info_nce::InfoNce { temperature: 1.0, log_q: true }),
        );
        let model = scenario.materialise().unwrap();
        let mut q = vec![None; items];
        for batch in &model.batches {
            for (&item, &log_q) in batch.item_slots().iter().zip(&batch.log_q) {
                assert_eq!(*q[item].get_or_insert(log_q), log_q, "{negatives}: one item, one probability");
            }
        }
        let q: Vec<f64> = q.into_iter().map(|log_q| log_q.expect("every item is drawn").exp()).collect();
        if full {
            assert_eq!(q, [1.0; 7]);
            continue;
        }
        approx::assert_relative_eq!(q.iter().sum::<f64>(), 1.0, max_relative = 1e-12);
        // In-batch candidates are the positives; of other samplers, what they draw.
        let drawn = model.batches.iter().flat_map(|batch| match negatives.contains("uniform") {
            true => batch.negatives.concat(),
            false => batch.item_slots(),
        });
        let drawn = counts(items, drawn);
        assert_distributed(negatives, &drawn, &q);
        let other = if negatives.contains("in-batch") {
            vec![1.0; items]
        } else {
            zipf(items, 1.0)
        };
        assert_not_distributed(negatives, &drawn, &other);
    }
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
