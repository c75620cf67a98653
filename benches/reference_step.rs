//! One training step of the reference core, in pairs per second: B×d in-batch InfoNCE on cosines, tables, plain SGD.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use perpend::number::Real;
use perpend::reference::Session;
use perpend::scenario::{Materialised, Scenario};

/// Batches that are drawn once and then used in turn.
const BATCHES: usize = 8;

fn materialised(pairs: usize, dim: usize) -> Materialised {
    let rows = 4 * pairs;
    // A small rate: the model stays near its start, so that every measured step does the same work.
    let tower = format!(
        "rows = {rows}\nencoder = {{ kind = \"table\" }}\noptimizer = {{ kind = \"sgd\", lr = 0.001 }}\n\
         initial = {{ kind = \"normal\", std = 0.1 }}\n"
    );
    let scenario = Scenario::from_toml(&format!(
        "dim = {dim}\nsteps = {BATCHES}\nloss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2 }}\n\
         sampler = {{ batch = {pairs}, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
         [item]\n{tower}[user]\n{tower}"
    ));
    scenario.and_then(|scenario| scenario.materialise()).expect("the scenario is valid")
}

fn measure<F: Real>(criterion: &mut Criterion, precision: &str) {
    let mut group = criterion.benchmark_group(format!("reference step {precision}"));
    for (pairs, dim) in [(64, 32), (256, 64)] {
        let values = materialised(pairs, dim);
        let mut session = Session::<F>::new(&values);
        let mut batches = values.batches.iter().cycle();
        group.throughput(Throughput::Elements(pairs as u64));
        group.bench_function(BenchmarkId::from_parameter(format!("{pairs}x{dim}")), |bencher| {
            bencher.iter(|| session.step(black_box(batches.next().expect("there are batches"))));
        });
    }
    group.finish();
}

fn benches(criterion: &mut Criterion) {
    measure::<f64>(criterion, "f64");
    measure::<f32>(criterion, "f32");
}

criterion_group!(all, benches);
criterion_main!(all);
