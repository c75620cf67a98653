//! Built-in data: popularity by Zipf's law, preferences from latent vectors.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Gumbel, StandardNormal};

use super::{Dataset, Interaction, Interactions, Split};
use crate::error::{Error, Result};

/// What [`generate`] makes.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// Users.
    pub users: usize,
    /// Items.
    pub items: usize,
    /// Interactions, train and test together; at most users × items, since no pair occurs twice.
    pub interactions: usize,
    /// The exponent s of Zipf's law; 0 makes all items equally popular.
    pub exponent: f64,
    /// The dimension k of the latent vectors; 0 leaves popularity alone to decide.
    pub latent_dim: usize,
    /// The fraction of each user's interactions that is held out, in [0, 1).
    pub test_fraction: f64,
    /// The seed.
    pub seed: u64,
}

impl Default for GenerateOptions {
    /// 300 users, 200 items, 12,000 interactions, s = 1, k = 8, a fifth held out, seed 0.
    fn default() -> Self {
        GenerateOptions {
            users: 300,
            items: 200,
            interactions: 12_000,
            exponent: 1.0,
            latent_dim: 8,
            test_fraction: 0.2,
            seed: 0,
        }
    }
}

/// Generates interactions that look like a recommender's, and splits them by user.
///
/// Each user u and item i has a latent vector, p_u and v_i: `[k]`, with independent standard normal coordinates. Every
/// user has as many interactions as the others, give or take one, with different items, drawn one after the other with
/// probability
///
/// P(i | u) ∝ i^(−s) · exp(⟨p_u, v_i⟩ / √k),  i = 1, …, items,
///
/// among the items not drawn yet. So the first item is the most popular, and ⟨p_u, v_i⟩/√k has mean 0 and variance 1
/// whatever k is. The times 0, 1, 2, … are given out in a uniformly random order. Names are `u1`, `u2`, … and `i1`,
/// `i2`, ….
///
/// The same options give the same data.
///
/// ```
/// use perpend::interactions::{GenerateOptions, generate};
/// let dataset = generate(&GenerateOptions::default())?;
/// let popularity = dataset.popularity();
/// assert!(popularity[0] > popularity[199]);
/// # Ok::<(), perpend::Error>(())
/// ```
///
/// # Errors
/// A usage error if there is no user, item or interaction, if there are more interactions than users × items or more
/// than 2³² users or items, if the exponent is negative or not finite, or if the test fraction is not in [0, 1).
pub fn generate(options: &GenerateOptions) -> Result<Dataset> {
    check(options)?;
    let mut random = ChaCha8Rng::seed_from_u64(options.seed);
    let log_popularity: Vec<f64> = (1..=options.items).map(|rank| -options.exponent * (rank as f64).ln()).collect();
    let item_vectors: Vec<Vec<f64>> = (0..options.items).map(|_| normal(options.latent_dim, &mut random)).collect();
    let mut pairs = Vec::new();
    for user in 0..options.users {
        let vector = normal(options.latent_dim, &mut random);
        let scores = log_popularity.iter().zip(&item_vectors).map(|(log, item)| log + preference(&vector, item));
        let count = options.interactions / options.users + usize::from(user < options.interactions % options.users);
        pairs.extend(draw(scores, count, &mut random).into_iter().map(|item| (random.next_u64(), user as u32, item)));
    }
    pairs.sort_unstable();
    let pairs = pairs.into_iter().zip(0..);
    Interactions {
        users: (1..=options.users).map(|user| format!("u{user}")).collect(),
        items: (1..=options.items).map(|item| format!("i{item}")).collect(),
        pairs: pairs
            .map(|((_, user, item), time)| Interaction { user, item, rating: None, time: Some(time) })
            .collect(),
    }
    .split(Split::ByUser, options.test_fraction, options.seed)
}

fn check(options: &GenerateOptions) -> Result<()> {
    const MOST: u64 = 1 << 32;
    for (what, count) in [("users", options.users), ("items", options.items)] {
        if count == 0 || count as u64 > MOST {
            return Err(Error::usage(what, format!("1 to {MOST}"), count));
        }
    }
    let pairs = options.users as u128 * options.items as u128;
    if options.interactions == 0 || options.interactions as u128 > pairs {
        return Err(Error::usage("interactions", format!("1 to {pairs}, users × items"), options.interactions));
    }
    if !(0.0..f64::INFINITY).contains(&options.exponent) {
        return Err(Error::usage("exponent", "a finite number of at least 0", options.exponent));
    }
    Ok(())
}

fn normal(dim: usize, random: &mut impl Rng) -> Vec<f64> {
    random.sample_iter(StandardNormal).take(dim).collect()
}

/// ⟨p, v⟩/√k, and 0 for k = 0.
fn preference(p: &[f64], v: &[f64]) -> f64 {
    let dot: f64 = p.iter().zip(v).map(|(p, v)| p * v).sum();
    dot / (p.len().max(1) as f64).sqrt()
}

/// Draws `count` different items with probability proportional to exp(score), one after the other.
///
/// The largest of score + Gumbel noise are such a draw (Yellott 1977; Efraimidis and Spirakis 2006).
fn draw(scores: impl Iterator<Item = f64>, count: usize, random: &mut impl Rng) -> Vec<u32> {
    let gumbel = Gumbel::new(0.0, 1.0).expect("the standard Gumbel distribution exists");
    let mut keys: Vec<(f64, u32)> =
        scores.zip(0..).map(|(score, item)| (score + random.sample(gumbel), item)).collect();
    keys.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    keys.truncate(count);
    keys.into_iter().map(|(_, item)| item).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_has_what_it_says() {
        let data = generate(&GenerateOptions::default()).unwrap();
        let summary = data.summary();
        assert_eq!((summary.users, summary.items), (300, 200));
        assert_eq!((summary.train, summary.test), (9_600, 2_400));
        assert_eq!((summary.repeats, summary.overlap), (0, 0));
        assert_eq!((summary.users_without_train, summary.users_without_test), (0, 0));
        assert!(!data.train.is_sorted_by_key(|pair| pair.user), "times do not depend on the user");
        assert!((0.3..0.6).contains(&summary.gini), "{summary:?}");
    }

    #[test]
    fn the_same_options_give_the_same_data_and_another_seed_other_data() {
        let of = |seed| generate(&GenerateOptions { seed, ..GenerateOptions::default() }).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
    }

    #[test]
    fn a_larger_exponent_concentrates_popularity() {
        let gini = |exponent| {
            let options =
                GenerateOptions { exponent, latent_dim: 0, interactions: 3_000, ..GenerateOptions::default() };
            generate(&options).unwrap().summary().gini
        };
        let ginis = [0.0, 0.5, 1.0, 1.5].map(gini);
        assert!(ginis.is_sorted(), "{ginis:?}");
        assert!(ginis[0] < 0.25 && ginis[3] > 0.6, "{ginis:?}");
    }

    /// Zipf's law holds where one item is drawn a user: no item is then exhausted.
    #[test]
    fn popularity_follows_zipf() {
        let options = GenerateOptions {
            users: 60_000,
            items: 20,
            interactions: 60_000,
            latent_dim: 0,
            test_fraction: 0.0,
            ..GenerateOptions::default()
        };
        let popularity = generate(&options).unwrap().popularity();
        let harmonic: f64 = (1..=20).map(|rank| 1.0 / f64::from(rank)).sum();
        for (&count, rank) in popularity.iter().zip(1..) {
            let p = 1.0 / (f64::from(rank) * harmonic);
            // Six standard deviations of a binomial count.
            let allowed = 6.0 * (60_000.0 * p * (1.0 - p)).sqrt();
            assert!((count as f64 - 60_000.0 * p).abs() < allowed, "rank {rank}: {count}");
        }
    }

    /// Latent vectors make some pairs of users alike and others not: the sizes of their overlaps spread wider.
    #[test]
    fn preferences_tell_users_apart() {
        let spread = |latent_dim| {
            let options = GenerateOptions { latent_dim, exponent: 0.0, ..GenerateOptions::default() };
            let mut chosen = vec![[0.0; 200]; 300];
            for pair in generate(&options).unwrap().train {
                chosen[pair.user as usize][pair.item as usize] = 1.0;
            }
            let overlap = |a: usize, b: usize| -> f64 { chosen[a].iter().zip(&chosen[b]).map(|(x, y)| x * y).sum() };
            let sizes: Vec<f64> =
                (0..300).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| overlap(a, b)).collect();
            let mean = sizes.iter().sum::<f64>() / sizes.len() as f64;
            sizes.iter().map(|size| (size - mean).powi(2)).sum::<f64>() / sizes.len() as f64
        };
        // The variance of the overlap of two independent choices of 32 among 200 (hypergeometric).
        let by_chance = 32.0 * 0.16 * 0.84 * 168.0 / 199.0;
        assert!((spread(0) - by_chance).abs() < 0.1 * by_chance);
        assert!(spread(2) > 1.5 * by_chance);
    }

    #[test]
    fn every_pair_can_be_asked_for() {
        let options =
            GenerateOptions { users: 5, items: 7, interactions: 35, test_fraction: 0.0, ..GenerateOptions::default() };
        let summary = generate(&options).unwrap().summary();
        assert_eq!((summary.density, summary.gini), (1.0, 0.0));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let fine = GenerateOptions::default();
        for options in [
            GenerateOptions { users: 0, ..fine.clone() },
            GenerateOptions { items: 0, ..fine.clone() },
            GenerateOptions { interactions: 0, ..fine.clone() },
            GenerateOptions { interactions: 60_001, ..fine.clone() },
            GenerateOptions { exponent: -1.0, ..fine.clone() },
            GenerateOptions { exponent: f64::NAN, ..fine.clone() },
            GenerateOptions { test_fraction: 1.0, ..fine.clone() },
        ] {
            assert!(generate(&options).unwrap_err().is_usage(), "{options:?}");
        }
        let error = generate(&GenerateOptions { users: 0, ..fine }).unwrap_err().to_string();
        assert_eq!(error, "users: expected 1 to 4294967296, found 0");
    }
}
