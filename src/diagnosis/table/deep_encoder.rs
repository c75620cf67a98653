//! A network between table and embedding: rows move although their own table row stayed where it was, so other parameters are
//! shared by all, and in no step does one affine map W·T_r + b make all embeddings of their table rows.

use nalgebra::DMatrix;

use super::linear::snapshots;
use crate::diagnosis::{About, Case, Cause, Found, advice};

pub(super) struct DeepEncoder;

const ABOUT: About = About {
    name: "deep-encoder",
    meaning: "the embedding is no linear function of parameters of its own: steps of embeddings are not orthogonal, norms move either way",
    advice: Some(&advice::DEEP),
    accuses: false,
};

/// How many times rounding the affine fit must miss by.
const PLAINLY: f64 = 1e3;

impl Cause for DeepEncoder {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let parameters = case.parameters.filter(|parameters| parameters.rows() == case.tower.rows())?;
        let all = snapshots(case)?;
        let (rows, dim, width) = (case.tower.rows(), case.tower.dim(), parameters.dim());
        if rows <= width + 1 + dim {
            return None;
        }
        // Rows that moved while their table row did not.
        let (mut carried, mut stayed) = (0_u64, 0_u64);
        for time in 1..all.q.len() {
            for row in (0..rows).filter(|&row| all.table[time][row] == all.table[time - 1][row]) {
                stayed += 1;
                carried += u64::from(all.q[time][row] != all.q[time - 1][row]);
            }
        }
        if carried == 0 || 2 * carried < stayed {
            return None;
        }
        let unit = case.precision.unit_roundoff();
        let (mut misses, mut smallest) = (0, f64::INFINITY);
        for (q, table) in all.q.iter().zip(&all.table) {
            let design = DMatrix::from_fn(rows, width + 1, |row, k| if k < width { table[row][k] } else { 1.0 });
            let right = DMatrix::from_fn(rows, dim, |row, k| q[row][k]);
            let svd = design.clone().svd(true, true);
            let found = svd.solve(&right, 1e-12 * svd.singular_values.max()).ok()?;
            let missed = (&design * found - &right).norm() / right.norm();
            smallest = smallest.min(missed);
            misses += usize::from(missed > PLAINLY * unit * (width as f64));
        }
        (misses == all.q.len()).then(|| {
            Found::new(
                "A deep encoder (a network shared by all rows) stands between the table and the embeddings",
                format!(
                    "{carried} of {stayed} times a row moved although its table row did not, and no affine map makes the embeddings of \
                     the table in any of {} steps (the best misses by {smallest:.1e} of their size)",
                    all.q.len()
                ),
            )
        })
    }
}
