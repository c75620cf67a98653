//! Sums that vanish if a cause is at work: how sure it is that they do.

/// How many times what rounding allows a sum must be able to reach before it is judged.
const SHARP: f64 = 4.0;
/// −ln of the probability that sums of random signs vanish by chance, from which on they are said to vanish: 10⁻⁹.
pub(super) const CERTAIN: f64 = 20.7;

/// Sums without which an identity is a coincidence of a single place.
const FEWEST: u64 = 4;

/// A tally of sums that should vanish.
///
/// Terms of random signs add up to about their root sum of squares (`signal`). That such a sum is within `allowed` of zero in
/// each of m dimensions has a probability of about (allowed/signal)^m; what is added up is −ln of it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Balance {
    /// Sums that could be seen not to vanish.
    pub judged: u64,
    /// Of these, sums that do not vanish.
    pub broken: u64,
    certainty: f64,
}

impl Balance {
    /// Adds a sum with its allowance, the size that it would have without the cause, and its dimension.
    pub fn add(&mut self, residual: f64, allowed: f64, signal: f64, dimensions: usize) {
        // Written so that numbers that are not numbers are not judged.
        let sharp = signal > SHARP * allowed;
        if !sharp {
            return;
        }
        self.judged += 1;
        if residual <= allowed {
            self.certainty += dimensions as f64 * (signal / allowed.max(f64::MIN_POSITIVE)).ln();
        } else {
            self.broken += 1;
        }
    }

    /// Whether all vanish, and chance cannot explain it.
    pub fn holds(&self) -> bool {
        self.broken == 0 && self.judged >= FEWEST && self.certainty >= CERTAIN
    }

    /// Whether nearly all vanish, and chance cannot explain it: a few records may obey something else, such as a lost duplicate.
    pub fn mostly(&self) -> bool {
        self.broken as f64 <= (1.0 - crate::facts::EXPLAINED) * self.judged as f64
            && self.judged >= FEWEST
            && self.certainty >= CERTAIN
    }

    /// Whether some do not vanish.
    pub fn fails(&self) -> bool {
        self.broken > 0
    }
}
