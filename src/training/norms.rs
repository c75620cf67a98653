//! How norms ended up, against popularity and against what the gradients added up to.

use serde::Serialize;

use crate::statistics::{Interval, spearman_interval};

/// Norms of one tower before and after training.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NormStatistics {
    /// Spearman's correlation of the train popularity with ‖q‖ over all rows, with a 95 % bootstrap interval; None where
    /// one of the two is the same for all rows.
    pub popularity: Option<Interval>,
    /// The same of the accumulated spherical energy Σ_t s_t², s = ‖q‖‖g‖, with ‖q‖: what the growth law couples the norm to.
    pub energy: Option<Interval>,
    /// How often the rows were resampled for the intervals.
    pub resamples: usize,
    /// Mean ‖q‖ of the most popular tenth of the rows over that of the less popular half.
    pub head_over_tail: f64,
    /// ‖q‖ before the first step.
    pub start: Quantiles,
    /// ‖q‖ after the last step.
    pub end: Quantiles,
    /// The median over the rows of the displacement number 𝒟 = A_T/‖q_0‖⁴, A_T = 2·Σ η_t²s_t². Under plain SGD on cosines
    /// a norm grows at least by the factor (1+𝒟)^¼, so popularity shows in the norms where 𝒟 is 1 and more; under other
    /// optimizers the number is computed in the same way and only says how hard the gradients pulled.
    pub median_displacement: f64,
    /// Rows that ended longer than they started.
    pub longer: usize,
    /// All rows.
    pub rows: usize,
}

/// Quantiles, interpolated between order statistics.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Quantiles {
    /// The smallest value.
    pub min: f64,
    /// The 25th percentile.
    pub lower: f64,
    /// The median.
    pub median: f64,
    /// The 75th percentile.
    pub upper: f64,
    /// The largest value.
    pub max: f64,
}

impl Quantiles {
    /// Of at least one value.
    fn of(values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let place = share * (sorted.len() - 1) as f64;
            let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
            // An infinite displacement number (a row that started at 0) stays what it is.
            if below == above {
                below
            } else {
                below + (above - below) * place.fract()
            }
        };
        Quantiles { min: at(0.0), lower: at(0.25), median: at(0.5), upper: at(0.75), max: at(1.0) }
    }
}

impl NormStatistics {
    /// Each slice has one entry a row.
    pub(super) fn of(
        popularity: &[u64],
        start: &[f64],
        end: &[f64],
        energy: &[f64],
        displacement: &[f64],
        seed: u64,
    ) -> Self {
        let rows = end.len();
        // Every resample sorts all rows twice: fewer of them for large tables, whose intervals are narrow anyway.
        let resamples = (8_000_000 / rows).clamp(200, 1000);
        let counts: Vec<f64> = popularity.iter().map(|&count| count as f64).collect();
        let mut order: Vec<usize> = (0..rows).collect();
        order.sort_by_key(|&row| std::cmp::Reverse(popularity[row]));
        let mean = |rows: &[usize]| rows.iter().map(|&row| end[row]).sum::<f64>() / rows.len() as f64;
        let numbers: Vec<f64> = displacement
            .iter()
            .zip(start)
            .map(|(a, norm)| if *a == 0.0 { 0.0 } else { a / norm.powi(4) })
            .collect();
        let (popularity, energy) = rayon::join(
            || spearman_interval(&counts, end, resamples, seed),
            || spearman_interval(energy, end, resamples, seed),
        );
        NormStatistics {
            popularity,
            energy,
            resamples,
            head_over_tail: mean(&order[..rows.div_ceil(10)]) / mean(&order[rows / 2..]),
            start: Quantiles::of(start),
            end: Quantiles::of(end),
            median_displacement: Quantiles::of(&numbers).median,
            longer: end.iter().zip(start).filter(|(end, start)| end > start).count(),
            rows,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_by_hand() {
        // Four rows of popularity 8, 4, 2, 0; norms 4, 3, 2, 1. The top tenth is one row, the lower half two.
        let start = [1.0, 1.0, 2.0, 1.0];
        let found = NormStatistics::of(
            &[8, 4, 2, 0],
            &start,
            &[4.0, 3.0, 2.0, 1.0],
            &[8.0, 4.0, 2.0, 0.0],
            &[6.0, 4.0, 32.0, 0.0],
            1,
        );
        assert_eq!(found.popularity.unwrap().estimate, 1.0);
        assert_eq!(found.head_over_tail, 4.0 / 1.5);
        assert_eq!(found.end, Quantiles { min: 1.0, lower: 1.75, median: 2.5, upper: 3.25, max: 4.0 });
        // 𝒟 = 6, 4, 32/16 = 2, 0.
        assert_eq!(found.median_displacement, 3.0);
        assert_eq!((found.longer, found.rows), (2, 4));
    }

    #[test]
    fn a_row_that_starts_at_zero_has_an_infinite_displacement_number_and_nothing_breaks() {
        let found = NormStatistics::of(&[1, 1, 1], &[0.0; 3], &[1.0; 3], &[1.0; 3], &[1.0; 3], 1);
        assert_eq!(found.median_displacement, f64::INFINITY);
        assert_eq!(found.popularity, None);
    }
}
