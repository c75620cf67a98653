//! Bilateral softmax loss: the log-expectation-exp that a softmax puts on negatives, on positives too.
//!
//! ```text
//! L = (1/U) Σ_u [ τ₂·ln mean_{j ∈ N_u} e^{s_uj/τ₂} − τ₁·ln mean_{b ∈ P_u} e^{s_b⁺/τ₁} ]
//! ```
//!
//! over the U users of the batch, P_u the pairs of user u, N_u the candidates of these pairs but their positives; without any
//! the first term is 0. A user with one pair has L_u = τ₂·ln mean e^{s/τ₂} − s⁺: the softmax without its positive in the
//! partition. A large τ₁ takes the mean of the positives, a small one the best of them, so that a wrong positive counts less.
//!
//! *Shapes*: s_b: `[C]`. *Dimensionless.* *Source*: Wu et al. 2024 (BSL).

use serde::{Deserialize, Serialize};

use super::{ObjectiveFunction, Problem, Similarities, log_sum_exp, share};
use crate::number::Real;

/// The bilateral softmax loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bsl {
    /// τ₁ > 0, of the positives.
    pub positive_temperature: f64,
    /// τ₂ > 0, of the negatives.
    pub temperature: f64,
}

/// τ·ln mean e^{x/τ} and its derivatives, which sum to 1.
fn soft_maximum<F: Real>(values: &[F], temperature: &F) -> (F, Vec<F>) {
    let exponents: Vec<F> = values.iter().map(|x| x.clone() / temperature.clone()).collect();
    let (sum, weights) = log_sum_exp(&exponents, 0, &[]);
    (temperature.clone() * (sum - F::ratio(values.len() as i64, 1).ln()), weights)
}

impl ObjectiveFunction for Bsl {
    fn name(&self) -> &'static str {
        "bsl"
    }
    fn temperature(&self) -> Option<f64> {
        Some(self.temperature)
    }
    fn problem(&self) -> Option<Problem> {
        Problem::unless_positive("positive_temperature", self.positive_temperature)
            .or(Problem::unless_positive("temperature", self.temperature))
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let (positive, negative) = (F::from_f64(self.positive_temperature), F::from_f64(self.temperature));
        let rows = &similarities.batch().users;
        // The pairs of each user, in the order of their first pair.
        let mut users: Vec<Vec<usize>> = Vec::new();
        for (pair, row) in rows.iter().enumerate() {
            match users.iter_mut().find(|pairs| rows[pairs[0]] == *row) {
                Some(pairs) => pairs.push(pair),
                None => users.push(vec![pair]),
            }
        }
        let share = share::<F>(users.len());
        let mut loss = F::zero();
        for pairs in users {
            let candidates: Vec<_> = pairs.iter().map(|&pair| similarities.candidates(pair)).collect();
            let values: Vec<Vec<F>> =
                pairs.iter().zip(&candidates).map(|(&pair, own)| similarities.of(pair, own)).collect();
            let mut coefficients: Vec<Vec<F>> = values.iter().map(|own| vec![F::zero(); own.len()]).collect();
            let targets: Vec<(usize, usize)> =
                candidates.iter().enumerate().map(|(k, own)| (k, own.target())).collect();
            let others: Vec<(usize, usize)> = candidates
                .iter()
                .enumerate()
                .flat_map(|(k, own)| own.negatives().map(move |place| (k, place)))
                .collect();
            for (places, temperature, sign) in
                [(targets, &positive, -share.clone()), (others, &negative, share.clone())]
            {
                if places.is_empty() {
                    continue;
                }
                let chosen: Vec<F> = places.iter().map(|&(k, place)| values[k][place].clone()).collect();
                let (value, weights) = soft_maximum(&chosen, temperature);
                loss = loss + value * sign.clone();
                for ((k, place), weight) in places.into_iter().zip(weights) {
                    coefficients[k][place] = weight * sign.clone();
                }
            }
            for ((pair, own), coefficients) in pairs.into_iter().zip(&candidates).zip(coefficients) {
                similarities.pull(pair, own, &coefficients);
            }
        }
        loss
    }
}
