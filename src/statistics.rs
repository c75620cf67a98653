//! Rank statistics: Spearman's correlation with a bootstrap interval.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

/// Ranks with ties at their mean, so that equal values do not depend on their order.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for group in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let mean = first as f64 + (group.len() - 1) as f64 / 2.0;
        group.iter().for_each(|&place| ranks[place] = mean);
        first += group.len();
    }
    ranks
}

/// Spearman's rank correlation; None where one side is constant or there are fewer than three points.
///
/// ```
/// use perpend::statistics::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[10.0, 20.0, 30.0]), Some(1.0));
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), None);
/// ```
pub fn spearman(x: &[f64], y: &[f64]) -> Option<f64> {
    let n = x.len();
    if n < 3 || n != y.len() {
        return None;
    }
    let (x, y) = (ranks(x), ranks(y));
    // The mean rank is (n−1)/2 with or without ties.
    let mean = (n - 1) as f64 / 2.0;
    let sum = |f: &dyn Fn(usize) -> f64| (0..n).map(f).sum::<f64>();
    let covariance = sum(&|k| (x[k] - mean) * (y[k] - mean));
    let variances = sum(&|k| (x[k] - mean).powi(2)) * sum(&|k| (y[k] - mean).powi(2));
    (variances > 0.0).then(|| (covariance / variances.sqrt()).clamp(-1.0, 1.0))
}

/// An estimate with a 95 % percentile interval from resampling the points.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Interval {
    /// The estimate on all points.
    pub estimate: f64,
    /// 2.5th percentile of the resampled estimates.
    pub low: f64,
    /// 97.5th percentile.
    pub high: f64,
}

/// Spearman's correlation with a 95 % bootstrap interval: `resamples` draws of the points with replacement, seeded.
pub fn spearman_interval(x: &[f64], y: &[f64], resamples: usize, seed: u64) -> Option<Interval> {
    let estimate = spearman(x, y)?;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut estimates: Vec<f64> = (0..resamples)
        .filter_map(|_| {
            let picks: Vec<usize> = (0..x.len()).map(|_| random.random_range(0..x.len())).collect();
            let pick = |values: &[f64]| picks.iter().map(|&k| values[k]).collect::<Vec<_>>();
            spearman(&pick(x), &pick(y))
        })
        .collect();
    estimates.sort_by(f64::total_cmp);
    let percentile = |share: f64| {
        let place = (share * estimates.len() as f64) as usize;
        estimates.get(place.min(estimates.len().saturating_sub(1))).copied().unwrap_or(estimate)
    };
    Some(Interval { estimate, low: percentile(0.025), high: percentile(0.975) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_share_their_mean_rank() {
        assert_eq!(ranks(&[5.0, 1.0, 5.0, 0.0]), [2.5, 1.0, 2.5, 0.0]);
        // By hand: ranks (0, 1.5, 1.5, 3) and (0, 1, 2, 3): covariance 4.5, variances 4.5 and 5.
        let found = spearman(&[1.0, 2.0, 2.0, 3.0], &[1.0, 2.0, 3.0, 4.0]).unwrap();
        approx::assert_relative_eq!(found, 4.5 / (4.5f64 * 5.0).sqrt(), epsilon = 1e-12);
    }

    #[test]
    fn the_interval_holds_the_estimate_and_narrows_with_the_points() {
        let points = |n: usize| {
            let x: Vec<f64> = (0..n).map(|k| k as f64).collect();
            let y: Vec<f64> = (0..n).map(|k| k as f64 + 0.7 * n as f64 * ((k * 7919) % 101) as f64 / 101.0).collect();
            spearman_interval(&x, &y, 500, 1).unwrap()
        };
        let (few, many) = (points(20), points(500));
        assert!(few.low <= few.estimate && few.estimate <= few.high);
        assert!(many.high - many.low < few.high - few.low);
    }
}
