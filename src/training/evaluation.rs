//! What a trained model recommends, under cosine and under dot-product serving: relevance on the test part, and how popular
//! it is.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use serde::Serialize;

use super::Model;
use crate::geometry::{Table, norm};
use crate::interactions::{Dataset, Interaction};

/// How a model is evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct EvaluationOptions {
    /// K: recommended items a user.
    pub cutoff: usize,
    /// At most this many users are looked at, drawn uniformly.
    pub users: usize,
    /// The seed of that draw.
    pub seed: u64,
}

impl Default for EvaluationOptions {
    /// The best 20 for up to 10,000 users.
    fn default() -> Self {
        EvaluationOptions { cutoff: 20, users: 10_000, seed: 0 }
    }
}

/// Recommendations in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Evaluation {
    /// K.
    pub cutoff: usize,
    /// Users in the data.
    pub users: usize,
    /// Users looked at.
    pub sampled: usize,
    /// Of these, users without a test item that could be recommended; they are left out of the means of relevance.
    pub without_test: usize,
    /// Items ranked by the cosine of their embedding and the user's.
    pub cosine: Serving,
    /// Items ranked by the inner product, so that long items win.
    pub dot: Serving,
}

/// Recommendations under one serving rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Serving {
    /// Mean over users of the share of their test items among the K recommended; None without such users.
    pub recall: Option<f64>,
    /// Mean over users of the discounted gain Σ 1/log₂(1 + rank) of the test items found, over the best one possible.
    pub ndcg: Option<f64>,
    /// Mean train popularity of the recommended items, over the slots of all users looked at.
    pub average_popularity: Option<f64>,
}

/// Users that are scored together, and items whose vectors are then in the cache.
const USERS: usize = 16;
const ITEMS: usize = 256;

/// Ranks all items for every user looked at, in single precision. A user's train items are not recommended; a test item
/// that is also among them does not count.
pub fn evaluate(dataset: &Dataset, model: &Model, options: &EvaluationOptions) -> Evaluation {
    let (users, items) = (dataset.user_count(), dataset.item_count());
    let sampled: Vec<usize> = if users <= options.users {
        (0..users).collect()
    } else {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        let mut picks = rand::seq::index::sample(&mut random, users, options.users).into_vec();
        picks.sort_unstable();
        picks
    };
    let (train, mut test) = (grouped(&dataset.train, users), grouped(&dataset.test, users));
    for (test, train) in test.iter_mut().zip(&train) {
        test.retain(|item| train.binary_search(item).is_err());
    }
    let popularity = dataset.popularity();
    let scorer = Scorer::new(model, items);
    // In the order of the users whatever thread judged them, so that the sums below are always the same.
    let judged: Vec<[Judged; 2]> = sampled
        .par_chunks(USERS)
        .flat_map_iter(|users| {
            let scores = scorer.scores(users);
            let judge = |(&user, mut scores): (&usize, Vec<f32>)| {
                for &item in &train[user] {
                    scores[item as usize] = f32::NEG_INFINITY;
                }
                let dot = Judged::of(&best(&scores, options.cutoff), &test[user], &popularity, options.cutoff);
                for (score, scale) in scores.iter_mut().zip(&scorer.inverse_norms) {
                    *score *= scale;
                }
                let cosine = Judged::of(&best(&scores, options.cutoff), &test[user], &popularity, options.cutoff);
                [cosine, dot]
            };
            users.iter().zip(scores).map(judge).collect::<Vec<_>>()
        })
        .collect();
    let [cosine, dot] = [0, 1].map(|rule| Serving::mean(judged.iter().map(|user| &user[rule])));
    Evaluation {
        cutoff: options.cutoff,
        users,
        sampled: sampled.len(),
        without_test: sampled.iter().filter(|&&user| test[user].is_empty()).count(),
        cosine,
        dot,
    }
}

/// Each user's distinct items, ascending.
fn grouped(pairs: &[Interaction], users: usize) -> Vec<Vec<u32>> {
    let mut of_user = vec![Vec::new(); users];
    for pair in pairs {
        of_user[pair.user as usize].push(pair.item);
    }
    for items in &mut of_user {
        items.sort_unstable();
        items.dedup();
    }
    of_user
}

/// Inner products of users with all items.
struct Scorer {
    users: Table<f32>,
    items: usize,
    /// Blocks of item vectors, each transposed `[d, ITEMS]`: the scores of a block grow together.
    blocks: Vec<Vec<f32>>,
    /// 1/‖q‖: what turns inner products into an order by cosine, since the user's own norm does not change it.
    inverse_norms: Vec<f32>,
}

impl Scorer {
    fn new(model: &Model, items: usize) -> Self {
        let single = |table: &Table<f64>| table.map(|&x| x as f32);
        let (users, vectors) = (single(&model.users), single(&model.items));
        let blocks = (0..items)
            .step_by(ITEMS)
            .map(|first| {
                let mut block = vec![0.0; vectors.width() * ITEMS];
                for item in first..items.min(first + ITEMS) {
                    for (k, &x) in vectors.row(item).iter().enumerate() {
                        block[k * ITEMS + item - first] = x;
                    }
                }
                block
            })
            .collect();
        let inverse = |length: f32| if length > 0.0 { 1.0 / length } else { 0.0 };
        let inverse_norms = (0..items).map(|item| inverse(norm(vectors.row(item)))).collect();
        Scorer { users, items, blocks, inverse_norms }
    }

    /// One list of scores a user: `[users][items]`.
    fn scores(&self, users: &[usize]) -> Vec<Vec<f32>> {
        let mut scores = vec![Vec::with_capacity(self.blocks.len() * ITEMS); users.len()];
        for block in &self.blocks {
            for (scores, &user) in scores.iter_mut().zip(users) {
                let mut sums = [0.0_f32; ITEMS];
                for (column, &u) in block.chunks_exact(ITEMS).zip(self.users.row(user)) {
                    for (sum, x) in sums.iter_mut().zip(column) {
                        *sum += u * x;
                    }
                }
                scores.extend_from_slice(&sums);
            }
        }
        scores.iter_mut().for_each(|scores| scores.truncate(self.items));
        scores
    }
}

/// The items with the highest scores, best first; of equal ones the smaller id. Items at −∞ are never among them.
fn best(scores: &[f32], count: usize) -> Vec<u32> {
    let mut best: Vec<(f32, u32)> = Vec::with_capacity(count + 1);
    let mut bar = f32::NEG_INFINITY;
    for (&score, item) in scores.iter().zip(0..) {
        if score > bar {
            let place = best.partition_point(|other| other.0 >= score);
            best.insert(place, (score, item));
            best.truncate(count);
            if best.len() == count {
                bar = best.last().map_or(f32::INFINITY, |last| last.0);
            }
        }
    }
    best.into_iter().map(|(_, item)| item).collect()
}

/// One user's recommendations.
struct Judged {
    /// Recall and NDCG, where there is a test item.
    relevance: Option<(f64, f64)>,
    /// Sum of the recommended items' popularity, and how many there are.
    popularity: (u64, usize),
}

impl Judged {
    fn of(recommended: &[u32], test: &[u32], popularity: &[u64], cutoff: usize) -> Self {
        let discount = |rank: usize| 1.0 / ((rank + 2) as f64).log2();
        let found: Vec<usize> =
            (0..recommended.len()).filter(|&rank| test.binary_search(&recommended[rank]).is_ok()).collect();
        let relevance = (!test.is_empty()).then(|| {
            let gain: f64 = found.iter().map(|&rank| discount(rank)).sum();
            let ideal: f64 = (0..test.len().min(cutoff)).map(discount).sum();
            (found.len() as f64 / test.len() as f64, gain / ideal)
        });
        let sum = recommended.iter().map(|&item| popularity[item as usize]).sum();
        Judged { relevance, popularity: (sum, recommended.len()) }
    }
}

impl Serving {
    fn mean<'a>(users: impl Iterator<Item = &'a Judged>) -> Self {
        let (mut judged, mut recall, mut ndcg, mut popularity, mut slots) = (0_u64, 0.0, 0.0, 0_u64, 0_usize);
        for user in users {
            if let Some((r, n)) = user.relevance {
                judged += 1;
                recall += r;
                ndcg += n;
            }
            popularity += user.popularity.0;
            slots += user.popularity.1;
        }
        let over_users = |sum: f64| (judged > 0).then(|| sum / judged as f64);
        Serving {
            recall: over_users(recall),
            ndcg: over_users(ndcg),
            average_popularity: (slots > 0).then(|| popularity as f64 / slots as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rounding::Precision;
    use crate::trajectory::Similarity;

    /// Two users, four items; user 0 points along x, user 1 along y.
    fn example() -> (Dataset, Model) {
        let pair = |user, item| Interaction { user, item, rating: None, time: None };
        let names = |prefix: &str, count: usize| (0..count).map(|k| format!("{prefix}{k}")).collect::<Vec<_>>();
        let dataset = Dataset {
            users: names("u", 3),
            items: names("i", 4),
            train: vec![pair(0, 0), pair(1, 0), pair(1, 1), pair(2, 0)],
            test: vec![pair(0, 1), pair(0, 3), pair(1, 3), pair(1, 0)],
        };
        let model = Model {
            similarity: Similarity::Cosine,
            precision: Precision::F64,
            item_names: dataset.items.clone(),
            user_names: dataset.users.clone(),
            // Cosines with x: 1, 0.6, 1, 0.8; inner products: 9, 6, 1, 0.8.
            items: Table::from_values(2, vec![9.0, 0.0, 6.0, 8.0, 1.0, 0.0, 0.8, 0.6]),
            users: Table::from_values(2, vec![1.0, 0.0, 0.0, 2.0, 1.0, 1.0]),
        };
        (dataset, model)
    }

    #[test]
    fn relevance_and_popularity_by_hand() {
        let (dataset, model) = example();
        let found = evaluate(&dataset, &model, &EvaluationOptions { cutoff: 2, ..EvaluationOptions::default() });
        assert_eq!((found.users, found.sampled, found.without_test), (3, 3, 1));
        // User 0 may get 1, 2, 3 and wants 1, 3. Cosine: 2, 3 → recall 1/2, gain at rank 2. Dot: 1, 2 → 1/2, gain at rank 1.
        // User 1 may get 2, 3 and wants 3 (its 0 is in train). Both: 3, 2 → 1, gain at rank 1.
        // User 2 wants nothing and may get 1, 2, 3. Both sum coordinates; cosine: 1 and 3 tie at 1.4: 1, 3. Dot: 1, 3.
        let (first, second) = (1.0, 1.0 / 3f64.log2());
        let ideal = first + second;
        let popularity = [3.0, 1.0, 0.0, 0.0];
        let mean = |items: [usize; 6]| items.iter().map(|&item| popularity[item]).sum::<f64>() / 6.0;
        assert_eq!(found.cosine.recall, Some(0.75));
        approx::assert_relative_eq!(found.cosine.ndcg.unwrap(), (second / ideal + 1.0) / 2.0);
        assert_eq!(found.cosine.average_popularity, Some(mean([2, 3, 3, 2, 1, 3])));
        assert_eq!(found.dot.recall, Some(0.75));
        approx::assert_relative_eq!(found.dot.ndcg.unwrap(), (first / ideal + 1.0) / 2.0);
        assert_eq!(found.dot.average_popularity, Some(mean([1, 2, 3, 2, 1, 3])));
    }

    #[test]
    fn without_test_items_there_is_no_relevance_but_still_popularity() {
        let (mut dataset, model) = example();
        dataset.test.clear();
        let found = evaluate(&dataset, &model, &EvaluationOptions::default());
        assert_eq!((found.cosine.recall, found.dot.ndcg, found.without_test), (None, None, 3));
        assert!(found.cosine.average_popularity.is_some());
    }

    #[test]
    fn a_sample_of_the_users_is_counted() {
        let (dataset, model) = example();
        let found = evaluate(&dataset, &model, &EvaluationOptions { users: 2, ..EvaluationOptions::default() });
        assert_eq!((found.users, found.sampled), (3, 2));
    }

    #[test]
    fn the_best_come_first_and_ties_go_to_the_smaller_id() {
        let out = f32::NEG_INFINITY;
        assert_eq!(best(&[1.0, 3.0, out, 3.0, 2.0], 3), [1, 3, 4]);
        assert_eq!(best(&[1.0, out], 3), [0]);
        assert_eq!(best(&[1.0], 0), [0; 0]);
    }

    /// Blocks of items and chunks of users leave no seam.
    #[test]
    fn scores_are_the_inner_products() {
        let number = |k: usize| ((k * 7919) % 101) as f64 / 50.0 - 1.0;
        let (users, items, dim) = (USERS + 3, 2 * ITEMS + 5, 3);
        let table = |rows: usize| Table::from_values(dim, (0..rows * dim).map(number).collect());
        let (_, model) = example();
        let model = Model { items: table(items), users: table(users), ..model };
        let scorer = Scorer::new(&model, items);
        for (scores, user) in scorer.scores(&(0..users).collect::<Vec<_>>()).iter().zip(0..) {
            assert_eq!(scores.len(), items);
            for (&score, item) in scores.iter().zip(0..) {
                let expected = crate::geometry::dot(model.users.row(user), model.items.row(item));
                approx::assert_abs_diff_eq!(f64::from(score), expected, epsilon = 1e-5);
            }
        }
    }
}
