//! Every parameter of two networks by differences, in parameters per second: f64, tanh MLPs 16→32→32→8 with biases, cosine
//! InfoNCE with τ = 0.05 on 16 pairs (3,728 parameters).

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use perpend::jacobian::{Outcome, check_every_parameter};
use perpend::scenario::{Materialised, Scenario};

fn two_networks() -> Materialised {
    let tower = "rows = 16\n\
        encoder = { kind = \"mlp\", features = 16, hidden = [32, 32], bias = true, activation = \"tanh\" }\n\
        optimizer = { kind = \"sgd\", lr = 0.1 }\ninitial = { kind = \"normal\", std = 0.2 }\n";
    let rows: Vec<usize> = (0..16).collect();
    let scenario = Scenario::from_toml(&format!(
        "dim = 8\nsteps = 1\nloss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.05 }}\n\
         sampler = {{ batch = 16, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
         batches = [{{ users = {rows:?}, positives = {rows:?} }}]\n[item]\n{tower}[user]\n{tower}"
    ));
    scenario.and_then(|scenario| scenario.materialise()).expect("the scenario is valid")
}

fn benches(criterion: &mut Criterion) {
    let model = two_networks();
    let report = check_every_parameter(&model);
    assert_eq!(report.outcome(), Outcome::Agrees, "{report}");
    println!("{report}");
    let mut group = criterion.benchmark_group("gradient check");
    group.throughput(Throughput::Elements(report.counts.differences as u64));
    group.bench_function("every parameter of two networks", |bencher| {
        bencher.iter(|| check_every_parameter(black_box(&model)));
    });
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
