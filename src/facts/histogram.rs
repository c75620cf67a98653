//! A histogram with fixed bins over the magnitudes between 2^−64 and 1: it merges exactly.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::verdict::Quantiles;

/// Bins for every factor of two: quantiles are right to a factor of 2^(1/8) ≈ 1.09.
const PER_OCTAVE: f64 = 8.0;
/// Magnitudes at or below 2^−64 fall in bin 0.
const OCTAVES: f64 = 64.0;

/// Counts of |cos| in logarithmic bins, outward (positive) and inward apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    bins: BTreeMap<u16, u64>,
    outward: u64,
}

impl Histogram {
    /// Counts one cosine (or another number of magnitude at most 1).
    pub fn add(&mut self, cosine: f64) {
        let octaves = cosine.abs().log2() + OCTAVES;
        let bin = (octaves * PER_OCTAVE).ceil().clamp(0.0, OCTAVES * PER_OCTAVE);
        *self.bins.entry(bin as u16).or_default() += 1;
        self.outward += u64::from(cosine > 0.0);
    }

    /// Adds another histogram.
    pub fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            *self.bins.entry(*bin).or_default() += count;
        }
        self.outward += other.outward;
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.bins.values().sum()
    }

    /// The upper edge of the bin that holds this quantile; None if nothing was counted.
    pub fn quantile(&self, share: f64) -> Option<f64> {
        let count = self.count();
        let rank = ((share * count as f64).ceil() as u64).clamp(1, count.max(1));
        let mut below = 0;
        for (&bin, &n) in &self.bins {
            below += n;
            if below >= rank {
                // Bin 0 holds everything from 0 to 2^−64.
                return Some(if bin == 0 {
                    0.0
                } else {
                    (f64::from(bin) / PER_OCTAVE - OCTAVES).exp2()
                });
            }
        }
        None
    }

    /// The usual quantiles; None if nothing was counted.
    pub fn quantiles(&self) -> Option<Quantiles> {
        Some(Quantiles {
            count: self.count(),
            p01: self.quantile(0.01)?,
            p50: self.quantile(0.5)?,
            p99: self.quantile(0.99)?,
            max: self.quantile(1.0)?,
            outward: self.outward,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn quantiles_are_within_a_bin(mut cosines in prop::collection::vec(-1.0f64..1.0, 1..200)) {
            let mut histogram = Histogram::default();
            cosines.iter().for_each(|&c| histogram.add(c));
            cosines.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
            let median = cosines[(cosines.len() - 1) / 2].abs();
            let found = histogram.quantile(0.5).unwrap();
            prop_assert!(found >= median * 0.999_999 && found <= median.max(1e-19) * 2f64.powf(0.126), "{found} {median}");
        }
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let (mut a, mut b, mut whole) = (Histogram::default(), Histogram::default(), Histogram::default());
        for (place, cosine) in [0.5, -0.25, 0.0, 1.0, -1e-30].into_iter().enumerate() {
            if place % 2 == 0 {
                a.add(cosine)
            } else {
                b.add(cosine)
            }
            whole.add(cosine);
        }
        a.merge(&b);
        assert_eq!(a, whole);
        assert_eq!(a.quantiles().unwrap().outward, 2);
        assert_eq!(Histogram::default().quantiles(), None);
    }
}
