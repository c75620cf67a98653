//! Matrix products, by faer: one thread each, because the kernel splits the work itself.

use faer::linalg::matmul::matmul;
use faer::traits::RealField;
use faer::{Accum, MatMut, MatRef, Par};

/// A matrix `[rows, columns]` in a slice.
#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct View<'a, E> {
    values: &'a [E],
    rows: usize,
    columns: usize,
    by_rows: bool,
}

impl<'a, E> View<'a, E> {
    /// Stored row after row.
    pub(super) fn by_rows(values: &'a [E], rows: usize, columns: usize) -> Self {
        View { values, rows, columns, by_rows: true }
    }
    /// Stored column after column.
    pub(super) fn by_columns(values: &'a [E], rows: usize, columns: usize) -> Self {
        View { values, rows, columns, by_rows: false }
    }
}

/// target = scale·left·right, or target += scale·left·right; the target is stored column after column.
pub(super) fn faer<E: RealField + Copy>(target: &mut [E], add: bool, left: View<'_, E>, right: View<'_, E>, scale: E) {
    let target = MatMut::from_column_major_slice_mut(target, left.rows, right.columns);
    let accumulate = if add { Accum::Add } else { Accum::Replace };
    matmul(target, accumulate, matrix(left), matrix(right), scale, Par::Seq);
}

fn matrix<E>(view: View<'_, E>) -> MatRef<'_, E> {
    if view.by_rows {
        MatRef::from_row_major_slice(view.values, view.rows, view.columns)
    } else {
        MatRef::from_column_major_slice(view.values, view.rows, view.columns)
    }
}
