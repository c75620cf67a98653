//! Linear propagation over a fixed graph, as in LightGCN (He and others 2020): Q = A·E with constant weights A, over the
//! rows of one tower, or over those of both:
//!
//! ```text
//! q_i = Σ_j A_ij E_j    or    q_i = Σ_j A_ij E_j + Σ_u B_iu E'_u,    Δq_i = −η Σ_k (AAᵀ + BBᵀ)_ik g_k
//! ```
//!
//! (for one tower's gradients). Linear, with an isotropic Jacobian of every row, but shared: neighbours' gradients, which
//! are not orthogonal to q_i, reach it. [`light_gcn`] makes the weights of a bipartite graph.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Constant, Constants, Encoder, Form, Gradient, Place, Size};
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// Q = A·E. Shapes: E: `[rows, d]`, A: `[rows, rows]`, and where it is bipartite B: `[rows, rows of the other tower]`; the
/// constants of row i are A_i, then B_i.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Graph {
    /// Whether the other tower's table rows are neighbours too.
    pub bipartite: bool,
}

impl Architecture for Graph {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::shared("table", rows, dim)]
    }
    fn constants(&self, size: Size) -> Vec<Constant> {
        let count = size.rows.saturating_add(if self.bipartite { size.other_rows } else { 0 });
        vec![Constant::new("neighbours", count, Form::Features)]
    }
    fn reads_other(&self) -> bool {
        self.bipartite
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("linear propagation: JJᵀ = Σ_j A_ij²·I for the row's own gradient".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("neighbours share their table rows".into())
    }
    fn name(&self) -> &'static str {
        "graph"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        let rows = constants.rows.rows();
        let neighbours = |row: usize| {
            let weights = constants.row(row).iter().enumerate().filter(|(_, weight)| weight.to_f64() != 0.0);
            let neighbour = |(j, weight): (usize, &F)| {
                let (table, j) = if j < rows {
                    (place.own, j)
                } else {
                    (place.other, j - rows)
                };
                (table, j, weight.clone())
            };
            weights.map(neighbour).collect()
        };
        Box::new(Propagation { dim: place.dim, neighbours: (0..rows).map(neighbours).collect() })
    }
}

struct Propagation<F> {
    dim: usize,
    /// For each row: table, its row, weight.
    neighbours: Vec<Vec<(usize, usize, F)>>,
}

impl<F: Real> Encoder<F> for Propagation<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let mut q = vec![F::zero(); self.dim];
        for (table, j, weight) in &self.neighbours[row] {
            add_scaled(&mut q, weight.clone(), tables[*table].row(*j));
        }
        q
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        for (table, j, weight) in &self.neighbours[row] {
            add_scaled(gradients[*table].accumulate(*j), weight.clone(), upstream);
        }
    }
}

/// The weights of LightGCN on a bipartite graph with these (user, item) edges, as constants of the item tower and of the
/// user tower (row after row: own rows, then the other tower's):
///
/// ```text
/// (1/(L+1))·Σ_{l=0..L} Ã^l,    Ã_ui = Ã_iu = 1/√(deg u · deg i) for every edge
/// ```
///
/// An edge that is named twice counts once.
///
/// # Panics
/// If an edge names a user or item that is not there.
pub fn light_gcn(items: usize, users: usize, edges: &[(usize, usize)], layers: usize) -> (Vec<f64>, Vec<f64>) {
    let all = items + users;
    let mut adjacent = vec![false; users * items];
    edges.iter().for_each(|&(user, item)| adjacent[user * items + item] = true);
    let edge = |user: usize, item: usize| adjacent[user * items + item];
    let degree_of_user = |user: usize| (0..items).filter(|&item| edge(user, item)).count();
    let degree_of_item = |item: usize| (0..users).filter(|&user| edge(user, item)).count();
    let mut normalised = Table::filled(all, all, 0.0);
    for (user, item) in (0..users).flat_map(|user| (0..items).map(move |item| (user, item))) {
        if edge(user, item) {
            let weight = 1.0 / ((degree_of_user(user) * degree_of_item(item)) as f64).sqrt();
            normalised.row_mut(items + user)[item] = weight;
            normalised.row_mut(item)[items + user] = weight;
        }
    }
    let mut power = Table::filled(all, all, 0.0);
    (0..all).for_each(|row| power.row_mut(row)[row] = 1.0);
    let mut sum = power.clone();
    for _ in 0..layers {
        let mut next = Table::filled(all, all, 0.0);
        for row in 0..all {
            for k in 0..all {
                add_scaled(next.row_mut(row), power.row(row)[k], normalised.row(k));
            }
            add_scaled(sum.row_mut(row), 1.0, next.row(row));
        }
        power = next;
    }
    let mean = |x: f64| x / (layers + 1) as f64;
    let weights_of_item = |row: usize| sum.row(row).iter().copied().map(mean).collect::<Vec<_>>();
    let weights_of_user = |row: usize| {
        let (to_items, to_users) = sum.row(items + row).split_at(items);
        to_users.iter().chain(to_items).copied().map(mean).collect::<Vec<_>>()
    };
    ((0..items).flat_map(weights_of_item).collect(), (0..users).flat_map(weights_of_user).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_gcn_averages_powers_of_the_normalised_adjacency() {
        // Users 0 and 1 took item 0, user 1 also item 1: degrees 2, 1 and 1, 2.
        let (items, users) = light_gcn(2, 2, &[(0, 0), (1, 0), (1, 1), (1, 1)], 1);
        let root = 1.0 / 2.0_f64.sqrt();
        assert_eq!(items, [0.5, 0.0, root / 2.0, 0.25, 0.0, 0.5, 0.0, root / 2.0]);
        assert_eq!(users, [0.5, 0.0, root / 2.0, 0.0, 0.0, 0.5, 0.25, root / 2.0]);
        // Ã² of item 0: itself by both users 1/2 + 1/4, item 1 by user 1 root/4·… = (1/2)·root.
        let (items, _) = light_gcn(2, 2, &[(0, 0), (1, 0), (1, 1)], 2);
        approx::assert_relative_eq!(items[0], (1.0 + 0.75) / 3.0, epsilon = 4.0 * f64::EPSILON);
        approx::assert_relative_eq!(items[1], 0.5 * root / 3.0, epsilon = 4.0 * f64::EPSILON);
        assert_eq!(light_gcn(1, 1, &[], 3), (vec![0.25, 0.0], vec![0.25, 0.0]));
    }
}
