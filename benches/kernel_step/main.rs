//! Steps of the kernel: in-batch, own and full softmax, its phases, and how time grows with B, d, N and threads.
//!
//! With `--serve THREADS` it measures nothing by itself and answers `benches/compare.py` instead (see `driver`), for which it also has W4 and W5 (`checks`).

mod checks;
mod driver;
mod workload;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use perpend::kernel::{Element, roofline};

use workload::{Candidates, Precision, Steps, Workload};

/// As many as the measurements of `compare.py` use by default.
const THREADS: usize = 2;

/// Whether each bench is to run only once: then on sizes that take no time, which still have more than one panel and tile.
fn is_test() -> bool {
    std::env::args().any(|argument| argument == "--test")
}

/// The sizes to measure, or the one to try.
fn sizes<T: Clone>(measured: &[T], tried: T) -> Vec<T> {
    if is_test() { vec![tried] } else { measured.to_vec() }
}

fn in_batch(precision: Precision, pairs: usize, dim: usize) -> Workload {
    let rows = if is_test() { 1000 } else { 100_000 };
    Workload { candidates: Candidates::InBatch, precision, dim, pairs, rows }
}

/// Benches one workload in a group; elements are floating-point operations.
fn bench<E: Element>(criterion: &mut Criterion, group: &str, id: impl ToString, workload: &Workload, threads: usize) {
    let mut steps = match Steps::<E>::new(workload, threads) {
        Ok(steps) => steps,
        Err(error) => return eprintln!("{group}/{} is left out: {error}", id.to_string()),
    };
    let mut group = criterion.benchmark_group(group);
    group.sample_size(20).throughput(Throughput::Elements(workload.flops()));
    group.bench_function(BenchmarkId::from_parameter(id.to_string()), |bencher| {
        bencher.iter(|| steps.step().expect("every row has a direction"));
    });
    group.finish();
}

fn batch_sizes(criterion: &mut Criterion) {
    for pairs in sizes(&[256, 1024, 4096, 8192], 100) {
        bench::<f32>(criterion, "kernel f32 d64 by B", pairs, &in_batch(Precision::F32, pairs, 64), THREADS);
    }
    for pairs in sizes(&[256, 1024, 4096], 100) {
        bench::<f64>(criterion, "kernel f64 d64 by B", pairs, &in_batch(Precision::F64, pairs, 64), THREADS);
    }
}

fn dimensions(criterion: &mut Criterion) {
    for dim in sizes(&[16, 32, 64, 100, 128, 256], 17) {
        let pairs = if is_test() { 100 } else { 2048 };
        bench::<f32>(criterion, "kernel f32 B2048 by d", dim, &in_batch(Precision::F32, pairs, dim), THREADS);
    }
}

fn table_sizes(criterion: &mut Criterion) {
    for rows in sizes(&[10_000, 100_000, 1_000_000, 10_000_000], 1000) {
        let pairs = if is_test() { 100 } else { 1024 };
        let workload = Workload { rows, ..in_batch(Precision::F32, pairs, 64) };
        bench::<f32>(criterion, "kernel f32 B1024 d64 by N", rows, &workload, THREADS);
    }
}

fn threads(criterion: &mut Criterion) {
    let all = std::thread::available_parallelism().map_or(1, usize::from);
    let powers: Vec<usize> = (0..).map(|k| 1 << k).take_while(|&threads| threads <= all).collect();
    for threads in sizes(&powers, 2) {
        let pairs = if is_test() { 100 } else { 4096 };
        let workload = in_batch(Precision::F32, pairs, 64);
        bench::<f32>(criterion, "kernel f32 B4096 d64 by threads", threads, &workload, threads);
    }
}

/// The two halves of a step by themselves: what is evaluated (gather, normalise, products, softmax, the gradient of each slot's
/// direction) and what is applied (back through the normalisation, slots to rows, the optimizer).
fn phases(criterion: &mut Criterion) {
    for candidates in [Candidates::InBatch, Candidates::Own, Candidates::Full] {
        let pairs = if is_test() { 100 } else { 1024 };
        let workload = Workload { candidates, ..in_batch(Precision::F32, pairs, 64) };
        let workload = if candidates == Candidates::Full {
            Workload { rows: workload.rows / 10, ..workload }
        } else {
            workload
        };
        let mut steps = Steps::<f32>::new(&workload, THREADS).expect("small tables fit into memory");
        let mut group = criterion.benchmark_group(format!("kernel f32 B1024 d64 phases, {candidates:?}"));
        group.sample_size(20);
        group.bench_function("evaluate", |bencher| {
            bencher.iter(|| {
                steps.skip();
                steps.evaluate().expect("every row has a direction")
            });
        });
        group.bench_function("apply", |bencher| {
            bencher.iter_custom(|iterations| {
                let mut applied = Duration::ZERO;
                for _ in 0..iterations {
                    steps.evaluate().expect("every row has a direction");
                    let now = Instant::now();
                    // A rate of zero does the same work and leaves the model where it is.
                    steps.apply(0.0);
                    applied += now.elapsed();
                }
                applied
            });
        });
        group.finish();
    }
}

fn peaks(_: &mut Criterion) {
    if !is_test() {
        let (single, double) = (roofline::flops_per_second::<f32>(THREADS), roofline::flops_per_second::<f64>(THREADS));
        let bytes = roofline::bytes_per_second(THREADS);
        println!(
            "{THREADS} threads at best: {:.0} GFLOP/s in f32, {:.0} GFLOP/s in f64, {:.1} GB/s read from memory",
            single * 1e-9,
            double * 1e-9,
            bytes * 1e-9
        );
    }
}

criterion_group!(all, peaks, batch_sizes, dimensions, table_sizes, threads, phases);

fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--serve").skip(1);
    if let Some(threads) = arguments.next() {
        let threads = threads.parse().expect("--serve is followed by the number of threads");
        driver::serve(threads).expect("the program that asks is still there");
        return;
    }
    all();
    Criterion::default().configure_from_args().final_summary();
}
