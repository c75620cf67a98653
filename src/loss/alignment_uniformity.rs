//! Alignment and uniformity: pairs shall be close, and users and items each spread over the sphere. No negatives.
//!
//! ```text
//! L = mean_b ‖û_b − q̂_b‖² + γ/2·(U(û) + U(q̂)),    U(x) = ln mean_{i<j} e^{−t‖x_i − x_j‖²}
//! ```
//!
//! over the users and the positives of the batch, duplicates included; U of a single row is 0. On cosines ‖x − y‖² = 2 − 2s.
//!
//! *Shapes*: û, q̂: `[B, d]`. *Dimensionless.* *Source*: Wang & Isola 2020; for recommenders Wang et al. 2022 (DirectAU).

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, Slot, log_sum_exp, share};
use crate::number::Real;

/// Alignment and uniformity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlignmentUniformity {
    /// γ ≥ 0, the weight of uniformity.
    #[serde(default = "one")]
    pub weight: f64,
    /// t > 0.
    #[serde(default = "two")]
    pub t: f64,
}

fn one() -> f64 {
    1.0
}

fn two() -> f64 {
    2.0
}

impl AlignmentUniformity {
    /// γ/2·U of the slots that `slot` names.
    fn uniformity<F: Real>(&self, similarities: &mut Similarities<F>, slot: fn(usize) -> Slot) -> F {
        let count = similarities.pairs();
        let couples: Vec<_> = (0..count).flat_map(|i| (i + 1..count).map(move |j| (slot(i), slot(j)))).collect();
        if couples.is_empty() {
            return F::zero();
        }
        let (t, half) = (F::from_f64(self.t), F::from_f64(self.weight) * F::ratio(1, 2));
        let exponents: Vec<F> = couples
            .iter()
            .map(|&(one, other)| -(t.clone() * similarities.squared_distance(one, other)))
            .collect();
        let (sum, weights) = log_sum_exp(&exponents, 0, &[]);
        for ((one, other), weight) in couples.iter().zip(weights) {
            similarities.pull_squared_distance(*one, *other, &-(half.clone() * t.clone() * weight));
        }
        half * (sum - F::ratio(couples.len() as i64, 1).ln())
    }
}

impl ObjectiveFunction for AlignmentUniformity {
    fn name(&self) -> &'static str {
        "alignment-uniformity"
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_at_least_zero("weight", self.weight).or(Problem::unless_positive("t", self.t))
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let share = share::<F>(similarities.pairs());
        let mut loss = F::zero();
        for pair in 0..similarities.pairs() {
            let (user, item) = (Slot::User(pair), Slot::Item(pair));
            loss = loss + similarities.squared_distance(user, item) * share.clone();
            similarities.pull_squared_distance(user, item, &share);
        }
        let users = self.uniformity(similarities, Slot::User);
        let items = self.uniformity(similarities, Slot::Item);
        loss + users + items
    }
}
