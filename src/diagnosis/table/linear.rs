//! Embeddings and table rows of a small run side by side, step by step.

use crate::diagnosis::Case;

/// Numbers that are held: 32 MB.
const NUMBERS: usize = 1 << 22;
/// Steps that are held.
const STEPS: usize = 64;

/// q and the table before some steps.
pub(super) struct Snapshots {
    /// q: `[steps][rows][d]`.
    pub q: Vec<Vec<Vec<f64>>>,
    /// The table: `[steps][table rows][width]`; empty where none is recorded.
    pub table: Vec<Vec<Vec<f64>>>,
}

/// The snapshots of a run that is small enough to hold.
pub(super) fn snapshots(case: &Case<'_>) -> Option<Snapshots> {
    let steps = case.tower.steps().min(STEPS);
    let read = |tower: &crate::trajectory::Tower<'_>| -> Option<Vec<Vec<Vec<f64>>>> {
        if tower.is_sparse() || steps * tower.rows() * tower.dim() > NUMBERS {
            return None;
        }
        let mut all = vec![vec![vec![0.0; tower.dim()]; tower.rows()]; steps];
        for (step, snapshot) in all.iter_mut().enumerate() {
            for (row, out) in snapshot.iter_mut().enumerate() {
                tower.embedding(step, row, out).then_some(())?;
            }
        }
        Some(all)
    };
    let table = match case.parameters {
        None => Vec::new(),
        Some(parameters) => read(parameters)?,
    };
    Some(Snapshots { q: read(case.tower)?, table })
}
