//! Run-time dispatch: one body of plain Rust, compiled once for each instruction set and chosen when the program runs. Loops
//! over arrays of a fixed length become vector instructions of whatever width the chosen set has.

/// Work that is compiled for every instruction set.
pub(crate) trait Task {
    /// What the work yields.
    type Output;
    /// The work. `FMA` says whether a fused multiply-add is one instruction: work that does not ask for it rounds products
    /// and sums apart, and gives the same bits everywhere. Mark it, and all that it calls, `#[inline(always)]`.
    fn run<const FMA: bool>(self) -> Self::Output;
}

/// Runs the task with the best instructions that this processor has.
pub(crate) fn run<T: Task>(task: T) -> T::Output {
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
