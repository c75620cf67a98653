//! The auditor names the cause: recordings of public packages, planted causes in runs of the reference, and correct runs, which must
//! not be accused of anything.

use std::collections::BTreeMap;

use perpend::audit::{Audit, Finding, audit};
use perpend::encoder::Architecture;
use perpend::optimizer::Optimizer;
use perpend::optimizer::constraint::Constraint;
use perpend::optimizer::update::{Clip, Update};
use perpend::reference::{Fault, Faulty, Reference};
use perpend::scenario::Scenario;
use perpend::scenario::random::{Encoders, Family, Losses, Optimizers, scenarios};
use perpend::trainer::Trainer;
use perpend::trajectory::{Settings, Similarity, Trajectory};
use perpend::verdict::Verdict;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::recordings::{folder, permuted_and_doubled, without_header};

/// What each recording must be named; the others must have no cause named at all.
const NAMED: [(&str, &str); 9] = [
    ("fbgemm_TBE__exact_rowwise_adagrad", "row-wise-scaling"),
    ("jax_manual_scatter__set_lastwins", "lost-duplicates"),
    ("optax_dot__control_sgd_f32", "dot-product"),
    ("optax_ntxent__bf16_init0.02", "epsilon-floor"),
    ("st_MultipleNegativesRankingLoss__hash8_double_sum", "summed-hashes"),
    ("torch_cosine_similarity__adam", "coordinate-wise-scaling"),
    ("torch_cosine_similarity__hash8_single", "shared-rows"),
    ("torch_cosine_similarity__mlp_16_32_16", "deep-encoder"),
    ("torch_cosine_similarity__pooled_history_shared", "pooled-user-tower"),
];

/// Names of findings that are causes: neither numbers of a rule nor remarks on the recording or its format.
fn causes(audit: &Audit) -> Vec<&str> {
    let plain = ["learning-rate", "momentum", "weight-decay", "storage-precision"];
    let names = audit.diagnosis.findings.iter().map(|finding| finding.name.as_str());
    names.filter(|name| !plain.contains(name) && !name.starts_with(char::is_uppercase)).collect()
}

#[test]
fn every_recording_is_named_as_it_is_whatever_its_header_order_and_scale() {
    let Some(folder) = folder() else { return };
    let mut expected: BTreeMap<&str, &str> = NAMED.into_iter().collect();
    expected.insert("torch_normalize_dim0_footgun__sgd_f32", "wrong-normalisation-axis");
    let mut seen = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "safetensors") {
            continue;
        }
        let name = path.file_stem().unwrap().to_str().unwrap().to_string();
        let recorded = Trajectory::open(&path).unwrap();
        let moved = permuted_and_doubled(&recorded);
        let forms = [&recorded, &without_header(&recorded), &moved, &without_header(&moved)];
        for (form, trajectory) in forms.into_iter().enumerate() {
            let audit = audit(trajectory).unwrap();
            let wanted: Vec<&str> = expected.get(name.as_str()).copied().into_iter().collect();
            assert_eq!(causes(&audit), wanted, "{name}, form {form}: {}", audit.sentence);
            assert_eq!(audit.diagnosis.contradictions, Vec::<String>::new(), "{name}, form {form}");
            assert!(audit.diagnosis.findings.iter().all(|finding| !finding.meaning.is_empty()), "{name}");
        }
        seen += 1;
    }
    assert!(seen >= 18, "only {seen} recordings");
}

/// A run with enough rows, dimensions and steps to tell causes apart.
fn scenario(seed: u64) -> Scenario {
    let mut scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml")).unwrap();
    (scenario.seed, scenario.steps) = (seed, 12);
    scenario
}

/// A cause, how it is planted, and the names that it may be given.
type Planted = (&'static str, fn(&mut Scenario), Option<Fault>, &'static [&'static str]);

const PLANTED: [Planted; 9] = [
    ("nothing", |_| {}, None, &[]),
    ("dot product", |s| s.loss.similarity = Similarity::Dot, None, &["dot-product"]),
    ("stale gradients", |_| {}, Some(Fault::StaleGradient), &["stale-gradient"]),
    ("lost duplicates", |_| {}, Some(Fault::LastWriteWins), &["lost-duplicates"]),
    ("value clipping", |s| around(s, |u| u.clip = Some(Clip::Value(0.02))), None, &["clipping-by-value"]),
    (
        "maximum norm",
        |s| around(s, |u| u.constraint = Some(Constraint::MaxNorm(0.9))),
        None,
        &["max-norm"],
    ),
    (
        "renormalisation",
        |s| around(s, |u| u.constraint = Some(Constraint::Renormalise)),
        None,
        &["renormalisation"],
    ),
    ("late gradients", |s| around(s, |u| u.delay = 2), None, &["late-gradient"]),
    ("accumulation", |s| around(s, |u| u.accumulate = 3), None, &["gradient-accumulation"]),
];

fn around(scenario: &mut Scenario, change: fn(&mut Update)) {
    change(&mut scenario.item.update);
}

/// Cause × diagnosis over 30 runs each, header removed: a cause is named as it is, or not at all; never as another one.
#[test]
fn planted_causes_are_named_and_never_confused() {
    let mut matrix = BTreeMap::<(&str, String), usize>::new();
    for (cause, plant, fault, names) in PLANTED {
        let mut right = 0;
        for seed in 0..30 {
            let mut scenario = scenario(seed);
            plant(&mut scenario);
            let values = scenario.materialise().unwrap();
            let run = match fault {
                None => Reference.train(&values),
                Some(fault) => Faulty(fault).train(&values),
            };
            let audit = audit(&run.unwrap().with_settings(Settings::default()).unwrap()).unwrap();
            let found = causes(&audit);
            right += usize::from(found.iter().any(|name| names.contains(name)));
            for name in &found {
                *matrix.entry((cause, name.to_string())).or_default() += 1;
            }
            let confused: Vec<_> =
                found.iter().filter(|name| !names.contains(name) && **name != "gradient-leak").collect();
            assert!(confused.is_empty(), "{cause}, seed {seed}: {confused:?}\n{:#?}", audit.diagnosis.findings);
        }
        assert!(names.is_empty() || right >= 25, "{cause}: {right} of 30 named; {matrix:#?}");
    }
}

/// Whether a finding is true of a tower of a scenario that the reference trained.
fn is_true(finding: &Finding, scenario: &Scenario) -> bool {
    let side = finding.tower.unwrap();
    let tower = scenario.tower(side);
    let (encoder, update) = (tower.encoder.name(), &tower.update);
    let scalar = matches!(tower.optimizer, Optimizer::Sgd(_) | Optimizer::HeavyBall(_) | Optimizer::Nesterov(_));
    match finding.name.as_str() {
        // Numbers of a rule that explains the run, the format that holds it, remarks on the recording, and no cause at all.
        "learning-rate" | "momentum" | "weight-decay" | "storage-precision" | "gradient-leak" => true,
        remark if remark.starts_with(char::is_uppercase) => true,
        // Behind a floor above every norm cosines are inner products.
        "dot-product" => scenario.loss.similarity == Similarity::Dot || scenario.loss.epsilon > 0.0,
        "epsilon-floor" => scenario.loss.epsilon > 0.0,
        "pooled-user-tower" => scenario.is_pooled(side) || scenario.is_pooled(side.other()),
        "clipping-by-value" => matches!(update.clip, Some(Clip::Value(_))),
        "clipping-by-norm" => matches!(update.clip, Some(Clip::Norm(_))),
        "max-norm" | "renormalisation" | "fixed-norm" => {
            update.constraint.is_some() || matches!(tower.optimizer, Optimizer::RiemannianSgd(_))
        }
        "late-gradient" => update.delay > 0,
        "gradient-accumulation" => update.accumulate > 1,
        "row-wise-scaling" | "adaptive-scaling" => !scalar,
        "coordinate-wise-scaling" => !scalar || update.clip.is_some(),
        "shared-rows" | "summed-hashes" => ["hash", "graph", "history"].iter().any(|shared| encoder.contains(shared)),
        "deep-encoder" => ["mlp", "residual", "bottleneck", "adapter"].contains(&encoder),
        _ => false,
    }
}

/// Random correct runs of every encoder, loss and optimizer: nothing is violated, the header is not contradicted, and every cause
/// that is named is there.
#[test]
fn correct_runs_are_accused_of_nothing() {
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]));
    let family = Family { encoders: Encoders::Any, optimizers: Optimizers::Any, losses: Losses::Any };
    let drawn = scenarios(family);
    let cases = std::env::var("PERPEND_CASES").map_or(150, |cases| cases.parse().unwrap());
    let (mut audited, mut wrong) = (0, Vec::new());
    for case in 0..cases {
        let scenario = drawn.new_tree(&mut runner).unwrap().current();
        let Ok(values) = scenario.materialise() else { continue };
        let Ok(recorded) = Reference.train(&values) else {
            continue;
        };
        for trajectory in [recorded.clone(), without_header(&recorded)] {
            let Ok(audit) = audit(&trajectory) else { continue };
            audited += 1;
            let untrue = audit.diagnosis.findings.iter().filter(|finding| !is_true(finding, &scenario));
            wrong.extend(untrue.map(|finding| format!("case {case}: {finding:?}\n{}", scenario.to_toml())));
            let contradictions = audit.diagnosis.contradictions.iter();
            wrong.extend(contradictions.map(|text| format!("case {case}: {text}\n{}", scenario.to_toml())));
            let violated = audit.claims.iter().filter(|judged| judged.verdict == Verdict::Violated);
            wrong.extend(violated.map(|judged| format!("case {case}: {judged:?}\n{}", scenario.to_toml())));
        }
    }
    assert!(wrong.is_empty(), "{} of {audited}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(audited > cases, "only {audited} audited");
}

/// Every row is looked up once with gradients of one size, the positive twice: an adaptive rule looks like SGD there.
#[test]
fn a_rule_measured_on_gradients_of_one_size_accuses_no_others() {
    let text = include_str!("../../fixtures/scenarios/gradients-of-one-size.json");
    let values = Scenario::from_json(text).unwrap().materialise().unwrap();
    let audit = audit(&without_header(&Reference.train(&values).unwrap())).unwrap();
    let violated: Vec<_> = audit.claims.iter().filter(|judged| judged.verdict == Verdict::Violated).collect();
    assert!(violated.is_empty(), "{violated:?}");
    assert_eq!(audit.diagnosis.finding("lost-duplicates"), None);
}
