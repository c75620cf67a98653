//! What is in a dataset, in numbers.

use serde::Serialize;

use super::{Dataset, Interaction};

/// Counts, density and concentration of a [`Dataset`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Summary {
    /// Users, those without interactions included.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Train interactions.
    pub train: usize,
    /// Test interactions.
    pub test: usize,
    /// Distinct (user, item) pairs of train and test together, over users × items; between 0 and 1.
    pub density: f64,
    /// Gini coefficient of the items' train popularity, see [`Dataset::popularity`]: 0 if all items are equally
    /// popular, towards 1 if few items have it all. Items without train interactions count, as zeros.
    ///
    /// With the counts ascending, x₁ ≤ … ≤ x_n: Σᵢ (2i − n − 1)·xᵢ / (n·Σᵢ xᵢ).
    pub gini: f64,
    /// Interactions, train and test together, whose (user, item) pair has occurred before.
    pub repeats: usize,
    /// Test interactions whose (user, item) pair is also in train.
    pub overlap: usize,
    /// Users without train interactions: nothing is learned for them.
    pub users_without_train: usize,
    /// Users without test interactions: they are left out of means over users.
    pub users_without_test: usize,
    /// Items without train interactions: they are trained as negatives at most.
    pub items_without_train: usize,
    /// Items without test interactions.
    pub items_without_test: usize,
}

impl Summary {
    pub(super) fn of(data: &Dataset) -> Summary {
        let (users, items) = (data.users.len(), data.items.len());
        let train = sorted(&data.train);
        let test = sorted(&data.test);
        let mut all = [&train[..], &test[..]].concat();
        all.sort_unstable();
        all.dedup();
        let in_train = |pair: &Interaction| train.binary_search(&(pair.user, pair.item)).is_ok();
        Summary {
            users,
            items,
            train: data.train.len(),
            test: data.test.len(),
            density: ratio(all.len() as f64, users as f64 * items as f64),
            gini: gini(data.popularity()),
            repeats: data.train.len() + data.test.len() - all.len(),
            overlap: data.test.iter().filter(|pair| in_train(pair)).count(),
            users_without_train: absent(users, train.iter().map(|pair| pair.0)),
            users_without_test: absent(users, test.iter().map(|pair| pair.0)),
            items_without_train: absent(items, train.iter().map(|pair| pair.1)),
            items_without_test: absent(items, test.iter().map(|pair| pair.1)),
        }
    }
}

/// The pairs, ascending.
fn sorted(pairs: &[Interaction]) -> Vec<(u32, u32)> {
    let mut pairs: Vec<_> = pairs.iter().map(|pair| (pair.user, pair.item)).collect();
    pairs.sort_unstable();
    pairs
}

/// How many of the ids below `count` do not occur.
fn absent(count: usize, ids: impl Iterator<Item = u32>) -> usize {
    let mut seen = vec![false; count];
    ids.for_each(|id| seen[id as usize] = true);
    seen.into_iter().filter(|seen| !seen).count()
}

fn gini(mut counts: Vec<u64>) -> f64 {
    counts.sort_unstable();
    let n = counts.len() as i128;
    let weighted: i128 = counts.iter().zip(1..).map(|(&count, i)| (2 * i - n - 1) * i128::from(count)).sum();
    let total: i128 = counts.iter().map(|&count| i128::from(count)).sum();
    ratio(weighted as f64, (n * total) as f64)
}

/// 0 where there is nothing to divide by.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(list: &[(u32, u32)]) -> Vec<Interaction> {
        list.iter().map(|&(user, item)| Interaction { user, item, rating: None, time: None }).collect()
    }

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|id| id.to_string()).collect()
    }

    #[test]
    fn gini_of_known_counts() {
        assert_eq!(gini(vec![]), 0.0);
        assert_eq!(gini(vec![0, 0]), 0.0);
        assert_eq!(gini(vec![5, 5, 5]), 0.0);
        assert_eq!(gini(vec![0, 8, 0, 0]), 0.75);
        assert_eq!(gini(vec![3, 1]), 0.25);
    }

    #[test]
    fn everything_is_counted() {
        let data = Dataset {
            users: names(5),
            items: names(5),
            train: pairs(&[(0, 0), (0, 1), (0, 0), (1, 0), (3, 0)]),
            test: pairs(&[(0, 0), (2, 3), (2, 3), (0, 2)]),
        };
        let summary = data.summary();
        assert_eq!((summary.users, summary.items, summary.train, summary.test), (5, 5, 5, 4));
        assert_eq!(summary.density, 6.0 / 25.0);
        assert_eq!(summary.gini, 18.0 / 25.0);
        assert_eq!((summary.repeats, summary.overlap), (3, 1));
        assert_eq!((summary.users_without_train, summary.users_without_test), (2, 3));
        assert_eq!((summary.items_without_train, summary.items_without_test), (3, 2));
    }

    #[test]
    fn an_empty_dataset_has_a_summary() {
        let summary = Dataset::default().summary();
        assert_eq!((summary.users, summary.density, summary.gini), (0, 0.0, 0.0));
    }
}
