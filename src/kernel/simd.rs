//! Vector arithmetic of the kernel: sums are kept in [`LANES`] partial sums whatever the instruction set
//! ([`simd`](crate::simd)), so that the order of additions does not depend on the machine. What does depend on it is whether
//! a·b + c is rounded once or twice.

use super::element::Element;
pub(super) use crate::simd::{Task, run};

/// Numbers that are worked on together: one 512-bit register of f32, two of f64.
pub(super) const LANES: usize = 16;

/// Asks for the cache lines of a slice before they are needed. No effect on any result.
#[inline(always)]
pub(super) fn prefetch<E>(values: &[E]) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        const LINE: usize = 64;
        for start in (0..values.len()).step_by(LINE / size_of::<E>()) {
            // SAFETY: a prefetch never faults, and the address lies inside the slice.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().add(start).cast()) };
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = values;
}

/// The sum of the partial sums, as a balanced tree.
#[inline(always)]
pub(super) fn total<E: Element>(mut lanes: [E; LANES]) -> E {
    let mut width = LANES / 2;
    while width > 0 {
        for k in 0..width {
            lanes[k] = lanes[k] + lanes[k + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// (⟨a, b⟩, ⟨b, b⟩) in one pass; ⌈d/LANES⌉ + 4 additions deep.
#[inline(always)]
pub(super) fn dot_and_square<E: Element, const FMA: bool>(a: &[E], b: &[E]) -> (E, E) {
    let (mut products, mut squares) = ([E::ZERO; LANES], [E::ZERO; LANES]);
    let (a_blocks, b_blocks) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail = a_blocks.remainder().iter().zip(b_blocks.remainder());
    for (a, b) in a_blocks.clone().zip(b_blocks.clone()) {
        for k in 0..LANES {
            products[k] = a[k].mul_add::<FMA>(b[k], products[k]);
            squares[k] = b[k].mul_add::<FMA>(b[k], squares[k]);
        }
    }
    for (k, (&a, &b)) in tail.enumerate() {
        products[k] = a.mul_add::<FMA>(b, products[k]);
        squares[k] = b.mul_add::<FMA>(b, squares[k]);
    }
    (total(products), total(squares))
}

/// target += scale·v.
#[inline(always)]
pub(super) fn add_scaled<E: Element, const FMA: bool>(target: &mut [E], scale: E, v: &[E]) {
    for (t, &x) in target.iter_mut().zip(v) {
        *t = scale.mul_add::<FMA>(x, *t);
    }
}
