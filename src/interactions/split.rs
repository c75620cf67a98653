//! Train and test: by time, by user, at random.

use std::fmt;
use std::str::FromStr;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::{Dataset, Interaction, Interactions};
use crate::error::{Error, Result};

/// How interactions are split into train and test.
///
/// Of n interactions (all, or one user's) round(fraction·n) are held out, but never all n. Which ones depends on
/// nothing but the interactions, in their order, and the seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Split {
    /// The latest of all interactions, on one clock for all users: what a model deployed at that moment would face. Of
    /// interactions at the same time, those later in the file count as later. Many users have no test interaction.
    ByTime,
    /// The latest of each user's interactions, each user on their own: by time if all of that user's interactions have
    /// one, else by their order in the file; where that order is by item and not by time, the test part holds the items
    /// that stand last, and [`Split::Random`] is the fairer choice. A user with one interaction stays in train.
    ByUser,
    /// A uniformly random choice among all interactions.
    Random,
}

impl Split {
    /// Every split.
    pub const ALL: [Split; 3] = [Split::ByTime, Split::ByUser, Split::Random];

    /// The name by which a split is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Split::ByTime => "time",
            Split::ByUser => "user",
            Split::Random => "random",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    /// # Errors
    /// A usage error that lists the names, for any other name.
    fn from_str(name: &str) -> Result<Self> {
        Split::ALL.into_iter().find(|split| split.name() == name).ok_or_else(|| {
            let names = Split::ALL.map(Split::name).join(", ");
            Error::usage("split", format!("one of {names}"), format!("{name:?}"))
        })
    }
}

impl Interactions {
    /// Holds out the fraction `test` of the interactions; both parts keep the order of the file.
    ///
    /// `seed` matters to [`Split::Random`] only.
    ///
    /// # Errors
    /// A usage error if `test` is not in [0, 1), or if [`Split::ByTime`] is asked of interactions without time.
    pub fn split(self, how: Split, test: f64, seed: u64) -> Result<Dataset> {
        if !(0.0..1.0).contains(&test) {
            return Err(Error::usage("test fraction", "a number from 0 to below 1", test));
        }
        let held_out = match how {
            Split::ByTime => by_time(&self.pairs, test)?,
            Split::ByUser => by_user(&self.pairs, self.users.len(), test),
            Split::Random => at_random(&self.pairs, test, seed),
        };
        let mut is_test = vec![false; self.pairs.len()];
        for index in held_out {
            is_test[index] = true;
        }
        let mut dataset = Dataset { users: self.users, items: self.items, ..Dataset::default() };
        for (pair, is_test) in self.pairs.into_iter().zip(is_test) {
            if is_test {
                dataset.test.push(pair)
            } else {
                dataset.train.push(pair)
            }
        }
        Ok(dataset)
    }
}

/// How many of `count` interactions are held out.
fn share(count: usize, test: f64) -> usize {
    ((count as f64 * test).round() as usize).min(count.saturating_sub(1))
}

fn by_time(pairs: &[Interaction], test: f64) -> Result<Vec<usize>> {
    let timeless = pairs.iter().filter(|pair| pair.time.is_none()).count();
    if timeless > 0 {
        let found = format!("{timeless} of {} without", pairs.len());
        return Err(Error::usage("split by time", "a time with every interaction", found));
    }
    let mut order: Vec<usize> = (0..pairs.len()).collect();
    order.sort_by_key(|&index| pairs[index].time);
    Ok(order.split_off(pairs.len() - share(pairs.len(), test)))
}

fn by_user(pairs: &[Interaction], users: usize, test: f64) -> Vec<usize> {
    let mut histories = vec![Vec::new(); users];
    for (index, pair) in pairs.iter().enumerate() {
        histories[pair.user as usize].push(index);
    }
    let mut held_out = Vec::new();
    for mut history in histories {
        if history.iter().all(|&index| pairs[index].time.is_some()) {
            history.sort_by_key(|&index| pairs[index].time);
        }
        held_out.extend_from_slice(&history[history.len() - share(history.len(), test)..]);
    }
    held_out
}

/// Those that draw the smallest random numbers. Only the generator's raw output is used, which is fixed by its
/// definition, so that a split outlives changes of the libraries' sampling algorithms.
fn at_random(pairs: &[Interaction], test: f64, seed: u64) -> Vec<usize> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<(u64, usize)> = (0..pairs.len()).map(|index| (random.next_u64(), index)).collect();
    order.sort_unstable();
    order.truncate(share(pairs.len(), test));
    order.into_iter().map(|(_, index)| index).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const USERS: u32 = 6;

    /// Interactions at the given (user, time); the item is the place in the list.
    fn interactions(list: &[(u32, Option<i64>)]) -> Interactions {
        let pairs = list
            .iter()
            .zip(0..)
            .map(|(&(user, time), item)| Interaction { user, item, rating: None, time })
            .collect();
        Interactions {
            users: (0..USERS).map(|user| user.to_string()).collect(),
            items: (0..list.len()).map(|item| item.to_string()).collect(),
            pairs,
        }
    }

    fn test_items(list: &[(u32, Option<i64>)], how: Split, test: f64) -> Vec<u32> {
        interactions(list).split(how, test, 1).unwrap().test.iter().map(|pair| pair.item).collect()
    }

    #[test]
    fn names_are_read_back() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse(), Ok(split));
        }
        assert!("leave-one-out".parse::<Split>().unwrap_err().is_usage());
    }

    #[test]
    fn the_share_is_rounded_and_never_everything() {
        for (count, test, expected) in [(0, 0.5, 0), (1, 0.9, 0), (2, 0.2, 0), (3, 0.2, 1), (10, 0.25, 3), (4, 0.99, 3)]
        {
            assert_eq!(share(count, test), expected, "{test} of {count}");
        }
    }

    #[test]
    fn by_time_holds_out_the_latest_and_ties_fall_to_the_later_line() {
        let list = [(0, Some(5)), (0, Some(1)), (1, Some(9)), (1, Some(5)), (2, Some(2))];
        assert_eq!(test_items(&list, Split::ByTime, 0.4), [2, 3]);
    }

    #[test]
    fn by_time_needs_times() {
        let error = interactions(&[(0, Some(1)), (0, None)]).split(Split::ByTime, 0.5, 0).unwrap_err();
        assert!(error.is_usage());
        assert_eq!(error.to_string(), "split by time: expected a time with every interaction, found 1 of 2 without");
    }

    #[test]
    fn by_user_goes_by_time_where_a_user_has_times_and_by_order_where_not() {
        let list = [(0, Some(9)), (0, Some(3)), (1, Some(0)), (1, None), (2, Some(1))];
        assert_eq!(test_items(&list, Split::ByUser, 0.5), [0, 3]);
    }

    #[test]
    fn a_user_with_one_interaction_stays_in_train() {
        assert_eq!(test_items(&[(0, None), (1, None)], Split::ByUser, 0.9), [0u32; 0]);
    }

    #[test]
    fn another_seed_gives_another_random_split() {
        let list = [(0, None); 100];
        let split = |seed| interactions(&list).split(Split::Random, 0.5, seed).unwrap();
        assert_eq!(split(1), split(1));
        assert_ne!(split(1), split(2));
    }

    #[test]
    fn the_random_split_of_a_seed_stays_what_it_is() {
        assert_eq!(test_items(&[(0, None); 12], Split::Random, 0.25), [1, 3, 7]);
    }

    #[test]
    fn fractions_outside_zero_to_one_are_refused() {
        for test in [-0.1, 1.0, f64::NAN, f64::INFINITY] {
            assert!(interactions(&[(0, None)]).split(Split::ByUser, test, 0).unwrap_err().is_usage());
        }
    }

    proptest! {
        #[test]
        fn train_and_test_are_a_partition_in_file_order(
            list in proptest::collection::vec((0..USERS, -4i64..4), 0..60),
            timed in any::<bool>(),
            how in proptest::sample::select(&Split::ALL),
            test in 0.0..1.0,
            seed: u64,
        ) {
            let timed = timed || how == Split::ByTime;
            let list: Vec<_> = list.into_iter().map(|(user, time)| (user, timed.then_some(time))).collect();
            let whole = interactions(&list);
            let split = whole.clone().split(how, test, seed).unwrap();
            prop_assert_eq!(&split, &whole.clone().split(how, test, seed).unwrap());
            prop_assert_eq!((&split.users, &split.items), (&whole.users, &whole.items));
            prop_assert!(split.train.is_sorted_by_key(|pair| pair.item));
            prop_assert!(split.test.is_sorted_by_key(|pair| pair.item));
            let mut joined = [&split.train[..], &split.test[..]].concat();
            joined.sort_by_key(|pair| pair.item);
            prop_assert_eq!(joined, whole.pairs);
            prop_assert!(list.is_empty() || !split.train.is_empty());
            match how {
                Split::ByTime => {
                    prop_assert_eq!(split.test.len(), share(list.len(), test));
                    let latest = split.train.iter().map(|pair| pair.time).max();
                    prop_assert!(split.test.iter().all(|pair| Some(pair.time) >= latest));
                }
                Split::Random => prop_assert_eq!(split.test.len(), share(list.len(), test)),
                Split::ByUser => for user in 0..USERS {
                    let of = |part: &[Interaction]| -> Vec<Interaction> {
                        part.iter().filter(|pair| pair.user == user).copied().collect()
                    };
                    let (train, test_part) = (of(&split.train), of(&split.test));
                    prop_assert_eq!(test_part.len(), share(train.len() + test_part.len(), test));
                    let latest = train.iter().map(|pair| pair.time).max();
                    prop_assert!(test_part.iter().all(|pair| Some(pair.time) >= latest));
                },
            }
        }
    }
}
