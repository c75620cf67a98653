//! What this machine can do at best, to hold the kernel against: measured, on as many threads, in the same run.

use std::hint::black_box;
use std::time::Instant;

use super::element::Element;
use super::simd::{self, LANES, Task};
use super::team::Team;

/// Independent chains of multiply-adds: as many as latency × throughput of current processors, and fewer than registers.
const CHAINS: usize = 12;

/// Multiply-adds in registers of one kind: `rounds` on each chain. Written with the instructions themselves, because loops
/// over arrays in registers are turned into shuffles by some compilers.
#[cfg(target_arch = "x86_64")]
macro_rules! chains {
    ($name:ident, $features:literal, $float:ident, $fill:ident, $multiply_add:ident) => {
        #[target_feature(enable = $features)]
        fn $name(rounds: usize) -> usize {
            let (factor, term) = ($fill(black_box(0.999)), $fill(black_box(0.001)));
            let mut chains = [$fill(1.0); CHAINS];
            for _ in 0..rounds {
                for chain in &mut chains {
                    *chain = $multiply_add(*chain, factor, term);
                }
            }
            size_of_val(&black_box(chains)) / size_of::<$float>() * rounds
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod registers {
    use std::arch::x86_64::{
        _mm256_fmadd_pd, _mm256_fmadd_ps, _mm256_set1_pd, _mm256_set1_ps, _mm512_fmadd_pd, _mm512_fmadd_ps,
        _mm512_set1_pd, _mm512_set1_ps,
    };
    use std::hint::black_box;

    use super::CHAINS;

    chains!(single_512, "avx512f", f32, _mm512_set1_ps, _mm512_fmadd_ps);
    chains!(double_512, "avx512f", f64, _mm512_set1_pd, _mm512_fmadd_pd);
    chains!(single_256, "avx2,fma", f32, _mm256_set1_ps, _mm256_fmadd_ps);
    chains!(double_256, "avx2,fma", f64, _mm256_set1_pd, _mm256_fmadd_pd);

    /// Does `rounds` rounds in the widest registers there are; the number of multiply-adds. None without such registers.
    pub(super) fn run(is_single: bool, rounds: usize) -> Option<usize> {
        if is_x86_feature_detected!("avx512f") {
            // SAFETY: the feature was just detected.
            return Some(unsafe {
                if is_single {
                    single_512(rounds)
                } else {
                    double_512(rounds)
                }
            });
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            // SAFETY: both features were just detected.
            return Some(unsafe {
                if is_single {
                    single_256(rounds)
                } else {
                    double_256(rounds)
                }
            });
        }
        None
    }
}

/// Numbers of a chain where the registers are not known: no wider than any vector unit without fused multiply-add.
const NARROW: usize = 4;

/// Multiply-adds on a few numbers, in whatever registers the compiler chooses; how many.
fn plain<E: Element>(rounds: usize) -> usize {
    const FMA: bool = cfg!(target_arch = "aarch64");
    let (factor, term) = (black_box(E::from_f64(0.999)), black_box(E::from_f64(0.001)));
    let mut chains = [[E::ONE; NARROW]; CHAINS];
    for _ in 0..rounds {
        for x in chains.as_flattened_mut() {
            *x = x.mul_add::<FMA>(factor, term);
        }
    }
    black_box(chains).as_flattened().len() * rounds
}

/// Floating-point operations a second (a fused multiply-add is two) out of registers alone.
///
/// # Panics
/// If the system refuses threads.
pub fn flops_per_second<E: Element>(threads: usize) -> f64 {
    const ROUNDS: usize = 2_000_000;
    let team = Team::new(threads).expect("threads start");
    let mut jobs = vec![0; threads];
    best(|| {
        team.each(&mut jobs, |done| {
            #[cfg(target_arch = "x86_64")]
            let wide = registers::run(size_of::<E>() == size_of::<f32>(), ROUNDS);
            #[cfg(not(target_arch = "x86_64"))]
            let wide = None;
            *done = wide.unwrap_or_else(|| plain::<E>(ROUNDS));
        });
        2.0 * jobs.iter().sum::<usize>() as f64
    })
}

/// The highest rate of several attempts at some work that tells its amount: threads that were asleep may begin on one
/// processor and are moved apart only after some milliseconds.
fn best(mut work: impl FnMut() -> f64) -> f64 {
    const ATTEMPTS: usize = 8;
    let rate = |_| {
        let start = Instant::now();
        work() / start.elapsed().as_secs_f64()
    };
    (0..ATTEMPTS).map(rate).fold(0.0, f64::max)
}

struct Sum<'a>(&'a [f64]);

impl Task for Sum<'_> {
    type Output = f64;
    #[inline(always)]
    fn run<const FMA: bool>(self) -> f64 {
        let mut sums = [[0.0; LANES]; 4];
        for block in self.0.chunks_exact(4 * LANES) {
            for (chain, sums) in sums.iter_mut().enumerate() {
                for (k, sum) in sums.iter_mut().enumerate() {
                    *sum += block[chain * LANES + k];
                }
            }
        }
        sums.into_iter().map(simd::total).sum()
    }
}

/// Bytes a second that the threads together read from memory.
///
/// # Panics
/// If the system refuses threads.
pub fn bytes_per_second(threads: usize) -> f64 {
    // Far more than any cache holds.
    const NUMBERS: usize = 32 << 20;
    let team = Team::new(threads).expect("threads start");
    let values = vec![1.0_f64; NUMBERS];
    let mut jobs: Vec<_> = team.shares(NUMBERS);
    best(|| {
        team.each(&mut jobs, |share| {
            black_box(simd::run(Sum(&values[share.clone()])));
        });
        (NUMBERS * size_of::<f64>()) as f64
    })
}
