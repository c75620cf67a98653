//! What is done to the norm of a row after each step that visits it.

use serde::{Deserialize, Serialize};

use super::Memory;
use crate::geometry::norm;
use crate::number::Real;

/// A constraint on the norm of a row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Constraint {
    /// Back to the norm that the row started with: q ← q·r₀/‖q‖. The stored r₀ keeps rounding from accumulating.
    Renormalise,
    /// At most M: q ← q·min(1, M/‖q‖).
    MaxNorm(f64),
}

/// A constraint at work on one table.
pub(super) enum Keeper<F> {
    /// r₀ of every row that was visited.
    Renormalise(Vec<Option<F>>),
    /// M.
    MaxNorm(F),
}

impl Constraint {
    pub(super) fn start<F: Real>(&self, rows: usize, number: &dyn Fn(f64) -> F) -> Keeper<F> {
        match self {
            Constraint::Renormalise => Keeper::Renormalise(vec![None; rows]),
            Constraint::MaxNorm(limit) => Keeper::MaxNorm(number(*limit)),
        }
    }
}

impl<F: Real> Keeper<F> {
    /// Notes the norm of a row before its first step, decay included.
    pub fn before(&mut self, row: usize, parameters: &[F]) {
        if let Keeper::Renormalise(stored) = self {
            stored[row].get_or_insert_with(|| norm(parameters));
        }
    }

    /// The norms of the rows that were visited.
    pub fn memory(&mut self, see: Memory<F>) {
        if let Keeper::Renormalise(stored) = self {
            stored.iter_mut().flatten().for_each(|norm| see("initial-norm", std::slice::from_mut(norm)));
        }
    }

    /// Scales the row after the step. A row of length 0 has no direction and stays.
    pub fn after(&self, row: usize, parameters: &mut [F]) {
        let length = norm(parameters);
        if length == F::zero() {
            return;
        }
        let factor = match self {
            Keeper::Renormalise(stored) => match &stored[row] {
                Some(stored) => stored.clone() / length,
                None => return,
            },
            Keeper::MaxNorm(limit) => (limit.clone() / length).min(F::one()),
        };
        parameters.iter_mut().for_each(|q| *q = q.clone() * factor.clone());
    }
}
