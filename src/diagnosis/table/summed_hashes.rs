//! Embeddings are sums of table rows (several hashes): q_r = Σ_j A_rj T_j with the same A in every step. Rows of A are found by least
//! squares over all steps; named where they are counts (0, 1, 2, …) of at least two.

use nalgebra::DMatrix;

use super::linear::snapshots;
use crate::diagnosis::balance::Balance;
use crate::diagnosis::{About, Case, Cause, Found, advice};
use crate::geometry::norm_f64;
use crate::rounding::Precision;

pub(super) struct SummedHashes;

/// The largest table whose sums are looked for: the cost grows with its cube.
const LARGEST: usize = 256;

const ABOUT: About = About {
    name: "summed-hashes",
    meaning: "rows share some of their table rows: gradients of other ids reach a row, so private parameters do not hold and steps are \
              not orthogonal; the sum of squared norms of the table still grows",
    advice: Some(&advice::SHARED),
    accuses: false,
};

impl Cause for SummedHashes {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let parameters = case.parameters.filter(|parameters| parameters.dim() == case.tower.dim())?;
        let all = snapshots(case)?;
        let (steps, dim, width) = (all.q.len(), case.tower.dim(), parameters.rows());
        // More equations than unknowns, by a margin that leaves something to check.
        if !(2..=LARGEST).contains(&width) || steps * dim < 2 * width {
            return None;
        }
        let table =
            DMatrix::from_fn(steps * dim, width, |equation, row| all.table[equation / dim][row][equation % dim]);
        let svd = table.clone().svd(true, true);
        let (largest, smallest) = (svd.singular_values.max(), svd.singular_values.min());
        // The table barely moves: its rows must be told apart all the same.
        if smallest <= Precision::F64.unit_roundoff().sqrt() * largest {
            return None;
        }
        let unit = case.precision.unit_roundoff();
        let (mut balance, mut counts, mut most) = (Balance::default(), 0, 0.0_f64);
        for row in 0..case.tower.rows() {
            let right = DMatrix::from_fn(steps * dim, 1, |equation, _| all.q[equation / dim][row][equation % dim]);
            let found = svd.solve(&right, 0.0).ok()?;
            let rounded: Vec<f64> = found.iter().map(|x| x.round()).collect();
            let total: f64 = rounded.iter().sum();
            if rounded.iter().any(|&count| count < 0.0) || total < 1.0 {
                return None;
            }
            most = most.max(total);
            counts += usize::from(total > 1.0);
            for (q, snapshot) in all.q.iter().zip(&all.table) {
                let mut rest = q[row].clone();
                let mut size = 0.0;
                for (table_row, &count) in snapshot.iter().zip(&rounded).filter(|(_, count)| **count != 0.0) {
                    crate::geometry::add_scaled(&mut rest, -count, table_row);
                    size += count * norm_f64(table_row);
                }
                // Each of the additions is rounded once.
                balance.add(norm_f64(&rest), 2.0 * total * unit * size, norm_f64(&q[row]), dim);
            }
        }
        (balance.mostly() && counts > 0).then(|| {
            Found::estimated(
                format!("Embeddings are sums of up to {most} rows of a shared table of {width} rows (several hashes)"),
                most,
                (most, most),
                format!(
                    "{counts} of {} embeddings are the same sum of table rows in all {steps} steps looked at, to within rounding",
                    case.tower.rows()
                ),
            )
        })
    }
}
