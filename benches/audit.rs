//! Auditing a dense recording, in bytes per second: all claims on both towers, with the header (replay of what it declares)
//! and without it (robust fit of the SGD family first).

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use perpend::audit::audit;
use perpend::reference::Reference;
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;
use perpend::trajectory::{Settings, Trajectory};

fn recording(items: usize, steps: usize) -> Trajectory {
    let tower = |rows: usize| {
        format!(
            "rows = {rows}\nencoder = {{ kind = \"table\" }}\noptimizer = {{ kind = \"sgd\", lr = 0.5 }}\n\
             initial = {{ kind = \"normal\", std = 0.2 }}\n"
        )
    };
    let scenario = Scenario::from_toml(&format!(
        "dim = 32\nsteps = {steps}\nprecision = \"float32\"\n\
         loss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.2 }}\n\
         sampler = {{ batch = 64, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
         [item]\n{}[user]\n{}",
        tower(items),
        tower(items / 2),
    ));
    scenario
        .and_then(|scenario| Reference.train(&scenario.materialise()?))
        .expect("the scenario is valid")
}

fn benches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("audit");
    group.sample_size(10);
    for (items, steps) in [(100, 50), (400, 100)] {
        let declared = recording(items, steps);
        let undeclared = declared.with_settings(Settings::default()).expect("an empty header fits everything");
        let bytes: usize = declared.arrays().values().map(|array| array.as_bytes().len()).sum();
        group.throughput(Throughput::Bytes(bytes as u64));
        for (name, trajectory) in [("declared", declared), ("undeclared", undeclared)] {
            group.bench_function(BenchmarkId::new(name, format!("{items}x{steps}")), |bencher| {
                bencher.iter(|| audit(black_box(&trajectory)).expect("the recording can be audited"));
            });
        }
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
