//! The motion of the rows of a dense f32 recording of N rows × T steps, d = 64: angle and growth of every row in every step
//! and their exact quantiles, in bytes of recording per second. The file is mapped into memory, as the audit has it.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use perpend::facts::motion;
use perpend::trajectory::Trajectory;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

const DIM: usize = 64;

/// A random walk: every row moves in every step by a twentieth of its size, the hardest case.
fn walk(states: usize, rows: usize) -> Vec<f32> {
    let mut random = ChaCha8Rng::seed_from_u64(0);
    let mut signed = || random.random::<f32>() * 2.0 - 1.0;
    let mut values: Vec<f32> = (0..rows * DIM).map(|_| signed()).collect();
    for k in rows * DIM..states * rows * DIM {
        let before = values[k - rows * DIM];
        values.push(before + 0.05 * signed());
    }
    values
}

fn benches(criterion: &mut Criterion) {
    // A test run measures nothing: it need not be large.
    let is_test = std::env::args().any(|argument| argument == "--test");
    let sizes = if is_test {
        vec![(20, 1_000)]
    } else {
        vec![(200, 1_000), (200, 10_000)]
    };
    let mut group = criterion.benchmark_group("motion");
    group.sample_size(10);
    for (states, rows) in sizes {
        let values = walk(states, rows);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let view = TensorView::new(Dtype::F32, vec![states, rows, DIM], &bytes).expect("the shape fits");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("walk.safetensors");
        serialize_to_file([("q", view)], None, &path).expect("the file can be written");
        let trajectory = Trajectory::open(&path).expect("the recording can be read");
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        drop((values, bytes));
        group.bench_function(BenchmarkId::from_parameter(format!("{rows}x{states}")), |bencher| {
            bencher.iter(|| motion(black_box(&trajectory.towers()[0])).expect("finite numbers"));
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
