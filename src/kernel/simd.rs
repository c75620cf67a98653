//! Run-time dispatch: one body of plain Rust, compiled once for each instruction set and chosen when the program runs.
//!
//! Loops over arrays of [`LANES`] numbers become vector instructions of whatever width the chosen set has; sums are
//! kept in [`LANES`] partial sums whatever the set, so that the order of additions does not depend on the machine. What
//! does depend on it is whether a·b + c is rounded once or twice.

use super::element::Element;

/// Numbers that are worked on together: one 512-bit register of f32, two of f64.
pub(super) const LANES: usize = 16;

/// Work that is compiled for every instruction set.
pub(super) trait Task {
    type Output;
    /// The work. `FMA` says whether a fused multiply-add is one instruction. Mark it `#[inline(always)]`.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs the task with the best instructions that this processor has.
pub(super) fn run<T: Task>(task: T) -> T::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn avx512<T: Task>(task: T) -> T::Output {
            task.run::<true>()
        }
        #[target_feature(enable = "avx2,fma")]
        fn avx2<T: Task>(task: T) -> T::Output {
            task.run::<true>()
        }
        let fma = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        if fma
            && is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
        {
            // SAFETY: every feature that `avx512` enables was just detected.
            return unsafe { avx512(task) };
        }
        if fma {
            // SAFETY: both features that `avx2` enables were just detected.
            return unsafe { avx2(task) };
        }
    }
    // Every 64-bit ARM processor has fused multiply-add; elsewhere it would be a slow library call.
    #[cfg(target_arch = "aarch64")]
    return task.run::<true>();
    #[cfg(not(target_arch = "aarch64"))]
    task.run::<false>()
}

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
