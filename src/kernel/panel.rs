//! One softmax over the same candidates for all rows: every step is a matrix product, and the matrix of logits `[B, C]`
//! never exists. Of it there is one panel of a few rows a thread, and that panel is passed over twice:
//!
//! ```text
//! for each panel of R rows
//!     for each tile of columns            P = 2^(slope·Û·V̂ᵀ + bias − shift)      [R, tile]
//!                                         sums += P·1,   G_u += P·V̂              [R], [R, d]
//!     the sums are complete:              scale_i = factor/Σ_i
//!     over all columns at once            G_v += Pᵀ·diag(scale)·Û                [C, d]
//! ```
//!
//! exactly 6·B·C·d flops, nothing is computed twice. Every thread has its own rows and its own G_v. Where one constant
//! shift does not do, the tiles are passed over once more, to find the largest logit of each row first.
//!
//! Panels are stored column after column, so that one vector register holds rows of one column, and neither the
//! exponential nor the sums of the rows add across a register.

use std::ops::Range;

use super::element::Element;
use super::mask::Mask;
use super::product::View;
use super::simd::{self, LANES, Task};
use super::softmax::Softmax;
use super::{Blocking, Plant};

/// The candidates of all rows, and where each row's target is among them.
pub(super) struct Problem<'a, E> {
    pub dim: usize,
    pub softmax: Softmax<E>,
    /// Û: `[B, d]`.
    pub users: &'a [E],
    /// V̂: `[C, d]`.
    pub columns: &'a [E],
    /// Added to the logits of a column: `[C]`, or empty.
    pub bias: &'a [E],
    pub targets: Targets<'a, E>,
    pub mask: Option<&'a Mask>,
    pub blocking: Blocking,
}

/// Where the target of a row is.
pub(super) enum Targets<'a, E> {
    /// It is one of the columns: `[B]`.
    Column(&'a [u32]),
    /// Each row has a vector of its own `[B, d]`, with a bias `[B]` (or none).
    Own { vectors: &'a [E], bias: &'a [E] },
}

/// What one thread works with.
#[derive(Default)]
pub(super) struct Part<E> {
    weights: Vec<E>,
    gradient: Vec<E>,
    scaled: Vec<E>,
    targets: Vec<E>,
    sums: Vec<E>,
    largest: Vec<E>,
    /// The upstream gradient of the columns from this thread's rows: `[C, d]`.
    pub columns: Vec<E>,
    /// The sum of the losses of this thread's rows.
    pub loss: f64,
}

impl<E> Part<E> {
    /// Numbers of type `E` in a part: O(R·C + C·d).
    pub(super) fn numbers(dim: usize, columns: usize, panel: usize) -> usize {
        panel * columns + 2 * panel * dim + 3 * panel + columns * dim
    }
}

impl<E: Element> Problem<'_, E> {
    fn count(&self) -> usize {
        self.columns.len() / self.dim
    }

    fn bias(&self, column: usize) -> E {
        self.bias.get(column).copied().unwrap_or(E::ZERO)
    }

    /// Works through some rows. `upstream`: their part of ∂L/∂û `[rows, d]`; `own`: the coefficients of their targets
    /// `[rows]` where each row has a target of its own, else empty.
    pub(super) fn run(&self, rows: Range<usize>, part: &mut Part<E>, upstream: &mut [E], own: &mut [E]) {
        let (dim, count, height) = (self.dim, self.count(), self.blocking.panel.min(rows.len()));
        part.weights.resize(height * count, E::ZERO);
        part.gradient.resize(height * dim, E::ZERO);
        part.scaled.resize(height * dim, E::ZERO);
        part.columns.resize(count * dim, E::ZERO);
        part.loss = 0.0;
        let first = rows.start;
        for start in rows.clone().step_by(height) {
            let panel = start..(start + height).min(rows.end);
            let (r, offset) = (panel.len(), start - first);
            part.targets.clear();
            part.targets.resize(r, E::ZERO);
            part.sums.clear();
            part.sums.resize(r, E::ZERO);
            part.largest.clear();
            part.largest.resize(r, E::NEGATIVE_INFINITY);

            for tile in self.tiles() {
                self.logits(&panel, tile.clone(), part);
                match self.softmax.shift {
                    Some(shift) => self.weigh(r, tile, shift, part),
                    None => simd::run(Largest {
                        rows: r,
                        logits: &part.weights[tile.start * r..tile.end * r],
                        bias: self.bias.get(tile).unwrap_or_default(),
                        largest: &mut part.largest,
                    }),
                }
            }
            self.own_targets(&panel, part);
            if self.softmax.shift.is_none() {
                for row in 0..r {
                    let target = part.targets[row] + self.target_bias(panel.start + row);
                    part.largest[row] = self.softmax.own_shift(part.largest[row], target);
                }
                for tile in self.tiles() {
                    self.weigh(r, tile, 0, part);
                }
            }
            let rows_out = &mut upstream[offset * dim..(offset + r) * dim];
            let own_out = if own.is_empty() {
                &mut []
            } else {
                &mut own[offset..offset + r]
            };
            self.close(&panel, part, rows_out, own_out);
            // G_vᵀ += (diag(scale)·Û)ᵀ·P: [d, R]·[R, C].
            E::product(
                &mut part.columns,
                start > first,
                View::by_columns(&part.scaled[..r * dim], dim, r),
                View::by_columns(&part.weights[..r * count], r, count),
                E::ONE,
            );
        }
    }

    fn tiles(&self) -> impl Iterator<Item = Range<usize>> + use<E> {
        let (count, tile) = (self.count(), self.blocking.tile);
        let lost = usize::from(self.blocking.plants(Plant::TileEdge));
        (0..count).step_by(tile).map(move |start| {
            let end = (start + tile).min(count);
            start..if end < count { end - lost } else { end }
        })
    }

    /// The logits of a tile, with those that do not count (and the target's, which is kept apart) at −∞.
    fn logits(&self, panel: &Range<usize>, tile: Range<usize>, part: &mut Part<E>) {
        let (dim, r) = (self.dim, panel.len());
        let logits = &mut part.weights[tile.start * r..tile.end * r];
        E::product(
            logits,
            false,
            View::by_rows(&self.users[panel.start * dim..panel.end * dim], r, dim),
            View::by_columns(&self.columns[tile.start * dim..tile.end * dim], dim, tile.len()),
            self.softmax.slope,
        );
        if let Some(mask) = self.mask {
            for (row, pair) in panel.clone().enumerate() {
                for &column in mask.places(pair) {
                    if tile.contains(&(column as usize)) {
                        logits[(column as usize - tile.start) * r + row] = E::NEGATIVE_INFINITY;
                    }
                }
            }
        }
        if let Targets::Column(targets) = &self.targets {
            for (row, &target) in targets[panel.clone()].iter().enumerate() {
                if tile.contains(&(target as usize)) {
                    let place = &mut logits[(target as usize - tile.start) * r + row];
                    part.targets[row] = *place;
                    *place = E::NEGATIVE_INFINITY;
                }
            }
        }
    }

    /// The logits of targets that are no columns.
    fn own_targets(&self, panel: &Range<usize>, part: &mut Part<E>) {
        if let Targets::Own { vectors, .. } = &self.targets {
            for (row, pair) in panel.clone().enumerate() {
                let range = pair * self.dim..(pair + 1) * self.dim;
                let (product, _) = simd::dot_and_square::<E, false>(&self.users[range.clone()], &vectors[range]);
                part.targets[row] = product * self.softmax.slope;
            }
        }
    }

    fn target_bias(&self, pair: usize) -> E {
        match &self.targets {
            Targets::Column(targets) => self.bias(targets[pair] as usize),
            Targets::Own { bias, .. } => bias.get(pair).copied().unwrap_or(E::ZERO),
        }
    }

    /// Logits to weights, with their sums, and the weighted sum of the candidates.
    fn weigh(&self, r: usize, tile: Range<usize>, offset: i32, part: &mut Part<E>) {
        let dim = self.dim;
        let first = tile.start == 0;
        let weights = &mut part.weights[tile.start * r..tile.end * r];
        simd::run(Weigh {
            rows: r,
            offset: offset + i32::from(self.blocking.plants(Plant::Shift) && !first),
            weights,
            bias: self.bias.get(tile.clone()).unwrap_or_default(),
            largest: if self.softmax.shift.is_none() {
                &part.largest
            } else {
                &[]
            },
            sums: &mut part.sums,
        });
        E::product(
            &mut part.gradient[..r * dim],
            !first,
            View::by_columns(weights, r, tile.len()),
            View::by_rows(&self.columns[tile.start * dim..tile.end * dim], tile.len(), dim),
            E::ONE,
        );
    }

    /// Everything that needs the complete sums: losses, the users' gradient, the coefficients of the targets.
    fn close(&self, panel: &Range<usize>, part: &mut Part<E>, upstream: &mut [E], own: &mut [E]) {
        let (dim, r, count) = (self.dim, panel.len(), self.count());
        for (row, pair) in panel.clone().enumerate() {
            let own_shift = if self.softmax.shift.is_none() {
                part.largest[row]
            } else {
                E::ZERO
            };
            let bias = self.target_bias(pair);
            let logit = part.targets[row] - own_shift + bias;
            let own_target = matches!(self.targets, Targets::Own { .. });
            let others = count - usize::from(!own_target) - self.mask.map_or(0, |mask| mask.places(pair).len());
            let closed = self.softmax.close(part.sums[row], logit, bias, own_shift, others);
            part.loss += closed.loss;
            let target = match &self.targets {
                Targets::Column(targets) => {
                    let column = targets[pair] as usize;
                    part.weights[column * r + row] = closed.target;
                    &self.columns[column * dim..(column + 1) * dim]
                }
                Targets::Own { vectors, .. } => {
                    own[row] = closed.scale * closed.target;
                    &vectors[pair * dim..(pair + 1) * dim]
                }
            };
            let user = &self.users[pair * dim..(pair + 1) * dim];
            let lost = self.blocking.plants(Plant::Tail) && r < self.blocking.panel && row + 1 == r;
            for k in 0..dim {
                let sum = part.gradient[k * r + row] + closed.target * target[k];
                upstream[row * dim + k] = closed.scale * sum;
                part.scaled[row * dim + k] = if lost { E::ZERO } else { closed.scale * user[k] };
            }
        }
    }
}

/// Replaces the logits `[rows, columns]` by 2^(logit − largest + bias − offset) and adds them to the sums of the rows.
struct Weigh<'a, E> {
    rows: usize,
    offset: i32,
    weights: &'a mut [E],
    bias: &'a [E],
    largest: &'a [E],
    sums: &'a mut [E],
}

impl<E: Element> Task for Weigh<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        match (self.bias.is_empty(), self.largest.is_empty()) {
            (true, true) => self.block::<FMA, false, false>(),
            (false, true) => self.block::<FMA, true, false>(),
            (true, false) => self.block::<FMA, false, true>(),
            (false, false) => self.block::<FMA, true, true>(),
        }
    }
}

impl<E: Element> Weigh<'_, E> {
    #[inline(always)]
    fn block<const FMA: bool, const BIAS: bool, const LARGEST: bool>(self) {
        let rows = self.rows;
        for start in (0..rows).step_by(LANES) {
            let width = LANES.min(rows - start);
            let mut largest = [E::ZERO; LANES];
            if LARGEST {
                largest[..width].copy_from_slice(&self.largest[start..start + width]);
            }
            let mut sums = [E::ZERO; LANES];
            for (column, weights) in self.weights.chunks_exact_mut(rows).enumerate() {
                let weights = &mut weights[start..start + width];
                let bias = if BIAS { self.bias[column] } else { E::ZERO };
                if let Ok(weights) = <&mut [E; LANES]>::try_from(&mut *weights) {
                    let lanes = weigh::<E, FMA, BIAS, LARGEST>(*weights, &largest, bias, self.offset);
                    for k in 0..LANES {
                        sums[k] = sums[k] + lanes[k];
                    }
                    *weights = lanes;
                } else {
                    let mut lanes = [E::NEGATIVE_INFINITY; LANES];
                    lanes[..width].copy_from_slice(weights);
                    lanes = weigh::<E, FMA, BIAS, LARGEST>(lanes, &largest, bias, self.offset);
                    for k in 0..LANES {
                        sums[k] = sums[k] + lanes[k];
                    }
                    weights.copy_from_slice(&lanes[..width]);
                }
            }
            for (total, &sum) in self.sums[start..start + width].iter_mut().zip(&sums) {
                *total = *total + sum;
            }
        }
    }
}

#[inline(always)]
fn weigh<E: Element, const FMA: bool, const BIAS: bool, const LARGEST: bool>(
    mut lanes: [E; LANES],
    largest: &[E; LANES],
    bias: E,
    offset: i32,
) -> [E; LANES] {
    for k in 0..LANES {
        let mut logit = lanes[k];
        if LARGEST {
            logit = logit - largest[k];
        }
        if BIAS {
            logit = logit + bias;
        }
        lanes[k] = logit.exp2_shifted::<FMA>(offset);
    }
    lanes
}

/// The largest logit (bias included) of each row.
struct Largest<'a, E> {
    rows: usize,
    logits: &'a [E],
    bias: &'a [E],
    largest: &'a mut [E],
}

impl<E: Element> Task for Largest<'_, E> {
    type Output = ();
    #[inline(always)]
    fn run<const FMA: bool>(self) {
        for (column, logits) in self.logits.chunks_exact(self.rows).enumerate() {
            let bias = self.bias.get(column).copied().unwrap_or(E::ZERO);
            for (largest, &logit) in self.largest.iter_mut().zip(logits) {
                let logit = logit + bias;
                *largest = if logit > *largest { logit } else { *largest };
            }
        }
    }
}
