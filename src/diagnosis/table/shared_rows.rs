//! Several ids share one row: their embeddings are equal bit for bit in every step, although they move (a single hash). Each
//! contribution is tangent to the common row, so orthogonality survives.

use std::collections::{BTreeMap, BTreeSet};

use super::linear::snapshots;
use crate::diagnosis::histories::Visit;
use crate::diagnosis::{About, Case, Cause, Found, advice};
use crate::geometry::{add_scaled, dot, norm_f64};

pub(super) struct SharedRows;

/// Pairs of rows that may be expected to start alike by chance: 2⁻²⁰.
const CHANCE: f64 = 1.0 / 1_048_576.0;

/// Whether a step changed the direction of its row, by more than the rounding of the row before and after it.
fn turned(visit: &Visit) -> bool {
    let mut across = visit.step.clone();
    add_scaled(&mut across, -dot(&visit.q, &visit.step) / dot(&visit.q, &visit.q), &visit.q);
    norm_f64(&across) > 2.0 * visit.noise
}

const ABOUT: About = About {
    name: "shared-rows",
    meaning: "ids share rows (hash collisions): a row grows by the gradients of all of its ids, so norm follows their joint frequency; \
              gradients and steps stay orthogonal",
    advice: Some(&advice::SHARED),
    accuses: false,
};

impl Cause for SharedRows {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        // Where parameters are recorded, they are a smaller table of the same width.
        let smaller = |table: &crate::trajectory::Tower<'_>| {
            table.dim() == case.tower.dim() && table.rows() > 1 && table.rows() < case.tower.rows()
        };
        if !case.parameters.is_none_or(smaller) {
            return None;
        }
        let all = snapshots(case)?;
        let (first, last) = (all.q.first()?, all.q.last()?);
        let bits = |row: usize| -> Vec<u64> {
            all.q.iter().flat_map(|snapshot| &snapshot[row]).map(|x| (x + 0.0).to_bits()).collect()
        };
        let mut groups: BTreeMap<Vec<u64>, Vec<usize>> = BTreeMap::new();
        // Rows that start alike and never move are only initialised alike.
        for row in (0..first.len()).filter(|&row| first[row] != last[row]) {
            groups.entry(bits(row)).or_default().push(row);
        }
        // Coarse or constant initial values make rows alike by chance: of n rows, about n²/Vᵈ pairs where V values occur.
        let values: BTreeSet<u64> = first.iter().flatten().map(|x| (x + 0.0).to_bits()).collect();
        let chance = (first.len() as f64).powi(2) / (values.len() as f64).powi(case.tower.dim() as i32);
        if chance > CHANCE {
            return None;
        }
        let moving: usize = groups.values().map(Vec::len).sum();
        let shared: Vec<&Vec<usize>> = groups.values().filter(|rows| rows.len() > 1).collect();
        let example = shared.iter().min()?;
        // Rows that start alike and see alike gradients stay equal; one row moves by the gradient of the other only if they are one.
        // Without a gradient, decay and constraints move a row too, but along itself.
        let history = |row: usize| case.embeddings.rows.iter().find(|history| history.row == row);
        let carried = |one: usize, other: usize| {
            let (Some(one), Some(other)) = (history(one), history(other)) else {
                return false;
            };
            one.visits.iter().zip(&other.visits).any(|(a, b)| a.has_gradient() != b.has_gradient() && turned(a))
        };
        let differ = shared.iter().any(|rows| rows.windows(2).any(|pair| carried(pair[0], pair[1])));
        let ids: usize = shared.iter().map(|rows| rows.len()).sum();
        let number = |row: usize| case.tower.row_number(row);
        (differ && case.tower.steps() > 1).then(|| {
            Found::estimated(
                format!("{ids} ids share {} rows (one hash): their embeddings are the same row", shared.len()),
                groups.len() as f64,
                (groups.len() as f64, groups.len() as f64),
                format!(
                    "{ids} of {moving} moving embeddings equal another one bit for bit in every step, such as rows {} and {}, although \
                     their gradients differ",
                    number(example[0]),
                    number(example[1])
                ),
            )
        })
    }
}
