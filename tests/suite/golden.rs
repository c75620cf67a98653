//! Golden fixtures: what is in the repository is what is generated, changes are noticed, right programs pass and wrong ones do not.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use perpend::golden::fixture::{Expected, Folder, Judged, SUMS, differences, generate, write};
use perpend::golden::verify::{self, Verified};
use perpend::golden::{Fault, Fixture, Stage};
use perpend::reference::Reference;
use perpend::rounding::Precision;
use perpend::scenario::Materialised;
use perpend::trainer::Trainer;
use perpend::trajectory::Trajectory;
use sha2::Digest;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/v1");

fn generated() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| generate().unwrap())
}

fn fixtures() -> Vec<Fixture> {
    let folder = Folder::open(Path::new(FOLDER)).unwrap();
    folder.ids().iter().map(|id| folder.read(id).unwrap()).collect()
}

fn fixture(id: &str) -> Fixture {
    Folder::open(Path::new(FOLDER)).unwrap().read(id).unwrap()
}

#[test]
fn the_fixtures_are_what_is_generated_bit_for_bit() {
    assert_eq!(differences(Path::new(FOLDER), generated()), Vec::<String>::new());
    // And nothing lies beside them that is not.
    let list = std::fs::read_to_string(Path::new(FOLDER).join(SUMS)).unwrap();
    let listed: BTreeSet<String> = list.lines().map(|line| line.split_once("  ").unwrap().1.to_owned()).collect();
    let mut found = BTreeSet::new();
    for claim in std::fs::read_dir(FOLDER).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_dir()) {
        for file in std::fs::read_dir(claim.path()).unwrap().map(Result::unwrap) {
            found.insert(format!("{}/{}", claim.file_name().display(), file.file_name().display()));
        }
    }
    assert_eq!(found, listed);
    let bytes: usize = generated().values().map(Vec::len).sum();
    assert!(bytes < 10_000_000, "{bytes}");
}

#[test]
fn a_flipped_bit_is_noticed_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), generated(), false).unwrap();
    let names: Vec<_> =
        generated().keys().filter(|path| path.extension().is_some_and(|e| e == "safetensors")).collect();
    for (count, name) in names.iter().step_by(7).enumerate() {
        let path = folder.path().join(name);
        let intact = std::fs::read(&path).unwrap();
        let header = 8 + u64::from_le_bytes(intact[..8].try_into().unwrap()) as usize;
        let mut bytes = intact.clone();
        // The lowest bit of the mantissa of some number.
        let numbers = (bytes.len() - header) / 8;
        let place = header + 8 * (count * 131 % numbers);
        bytes[place] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let id = name.with_extension("");
        let error = Folder::open(folder.path()).unwrap().read(&id.display().to_string()).unwrap_err();
        assert!(error.is_input() && error.to_string().contains("SHA-256"), "{error}");
        assert_eq!(differences(folder.path(), generated()).len(), 1, "{}", name.display());
        std::fs::write(&path, &intact).unwrap();
    }
    assert!(differences(folder.path(), generated()).is_empty());
}

/// Writes one fixture with another document, under right digests, and reads it.
fn read_changed(id: &str, document: impl FnOnce(&mut serde_json::Value)) -> perpend::Result<Fixture> {
    let folder = tempfile::tempdir().unwrap();
    let mut sums = String::new();
    let mut document = Some(document);
    for (path, bytes) in generated().iter().filter(|(path, _)| path.with_extension("") == Path::new(id)) {
        let mut bytes = bytes.clone();
        if path.extension().is_some_and(|extension| extension == "json") {
            let mut value = serde_json::from_slice(&bytes).unwrap();
            document.take().unwrap()(&mut value);
            bytes = serde_json::to_vec(&value).unwrap();
        }
        let digest: String = sha2::Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        sums += &format!("{digest}  {}\n", path.display());
        std::fs::create_dir_all(folder.path().join(path.parent().unwrap())).unwrap();
        std::fs::write(folder.path().join(path), bytes).unwrap();
    }
    std::fs::write(folder.path().join(SUMS), sums).unwrap();
    Folder::open(folder.path())?.read(id)
}

#[test]
fn documents_that_ask_for_too_much_are_refused_before_anything_is_made() {
    let id = "gradient-orthogonality/near-parallel";
    read_changed(id, |_| {}).unwrap();
    let refused = |message: &str, change: &dyn Fn(&mut serde_json::Value)| {
        let error = read_changed(id, change).unwrap_err();
        assert!(error.is_input() && error.to_string().contains(message), "{error}\nis not\n{message}");
    };
    let rows = 1_000_000_000_000_u64;
    refused("item: 1000000000000 rows: expected tables of at most ", &|document| {
        document["scenario"]["item"]["rows"] = rows.into();
        document["scenario"]["item"]["initial"] = serde_json::json!({"kind": "normal", "std": 1.0});
    });
    refused("sampler: 1000000000000 steps: expected batches of at most ", &|document| {
        document["scenario"]["steps"] = rows.into();
        document["scenario"].as_object_mut().unwrap().remove("batches");
    });
    // Whatever a document names, only what is listed is read, and only what is in the folder is listed.
    refused("expected a file that SHA256SUMS lists", &|document| document["values"] = "/dev/zero".into());
    let folder = tempfile::tempdir().unwrap();
    for name in ["/dev/zero", "../outside", "./here"] {
        std::fs::write(folder.path().join(SUMS), format!("00  {name}\n")).unwrap();
        assert!(Folder::open(folder.path()).unwrap_err().is_input(), "{name}");
    }
}

#[test]
fn nothing_is_overwritten_unless_forced() {
    let folder = tempfile::tempdir().unwrap();
    let one: BTreeMap<_, _> = generated().iter().take(2).map(|(path, bytes)| (path.clone(), bytes.clone())).collect();
    write(folder.path(), &one, false).unwrap();
    assert!(write(folder.path(), &one, false).unwrap_err().is_usage());
    write(folder.path(), &one, true).unwrap();
}

#[test]
fn the_reference_passes_every_fixture_and_wrong_recordings_are_refused() {
    let (mut passed, mut refused, mut perturbed) = (0, BTreeSet::new(), 0);
    for fixture in fixtures() {
        let outcome = verify::verify(&fixture, &Reference, 0);
        match &outcome.result {
            Verified::Passed(judgements) => {
                passed += 1;
                let stored = match fixture.document.judged {
                    Judged::Run => 1,
                    Judged::Steps => fixture.steps.len(),
                };
                perturbed += judgements.len() - stored;
                for judgement in judgements {
                    assert!(judgement.judged() > 0, "{}", outcome.id);
                    // Bounds that say nothing are rare: they would let anything pass.
                    let silent: usize = judgement.tensors.iter().map(|tensor| tensor.unjudged).sum();
                    assert!(10 * silent <= judgement.judged(), "{}: {silent} of {}", outcome.id, judgement.judged());
                }
            }
            Verified::Refused(class) => drop(refused.insert(*class)),
            other => panic!("{}: {other:?} {:?}", outcome.id, outcome.first()),
        }
    }
    assert!(passed >= 60, "{passed}");
    assert!(10 * perturbed >= 9 * passed, "{perturbed} of {passed} had a vector that nobody has stored");
    assert_eq!(refused, BTreeSet::from(Fault::PROGRAMS));
}

/// Twice the same, and other seeds ask other questions.
#[test]
fn verification_is_deterministic_in_its_seed() {
    let fixture = fixture("update-orthogonality/sgd");
    let worst = |seed| {
        let outcome = verify::verify(&fixture, &Reference, seed);
        format!("{:?}", outcome.judgements().last().unwrap())
    };
    assert_eq!(worst(1), worst(1));
    assert_ne!(worst(1), worst(2));
}

/// Returns the golden trajectory whatever it is asked for.
struct Echo(Trajectory);

impl Trainer for Echo {
    fn name(&self) -> String {
        "echo".into()
    }
    fn train(&self, _: &Materialised) -> perpend::Result<Trajectory> {
        Ok(self.0.clone())
    }
}

#[test]
fn who_echoes_the_fixture_fails_and_is_called_so() {
    let mut failed = 0;
    for fixture in fixtures().into_iter().filter(|fixture| fixture.document.expected == Expected::Values) {
        let document = &fixture.document;
        let path = Path::new(FOLDER).join(&document.claim).join(&document.values);
        let outcome = verify::verify(&fixture, &Echo(Trajectory::open(&path).unwrap()), 0);
        // Shapes that do not fit a single step are an error, not a pass.
        if let Verified::Failed(_) = outcome.result {
            assert_eq!(outcome.first().unwrap().classes, [Fault::Echo], "{}", outcome.id);
            failed += 1;
        }
        assert!(!matches!(outcome.result, Verified::Passed(_)), "{}", outcome.id);
    }
    assert!(failed > 20, "{failed}");
}

type Change = fn(&mut Materialised);

/// Trains something else than what it was asked for.
struct Other(Change);

impl Trainer for Other {
    fn name(&self) -> String {
        "other".into()
    }
    fn train(&self, values: &Materialised) -> perpend::Result<Trajectory> {
        let mut values = values.clone();
        (self.0)(&mut values);
        Reference.train(&values)
    }
}

#[test]
fn the_first_place_is_where_the_difference_is_made() {
    let first = |id: &str, change: Change| {
        let outcome = verify::verify(&fixture(id), &Other(change), 0);
        let first = outcome.first().unwrap_or_else(|| panic!("{id} passed")).clone();
        (first.place.stage, first.compared.ratio)
    };
    let cases: [(&str, Change, Stage); 4] = [
        (
            "update-orthogonality/sgd",
            |values| values.item.tables[0].values_mut()[0] *= 1.0 + 1e-9,
            Stage::Embedding,
        ),
        ("update-orthogonality/sgd", |values| values.scenario.loss.epsilon = 1.5, Stage::Loss),
        (
            "update-orthogonality/sgd",
            |values| values.scenario.item.optimizer.schedule_mut().scale(1.0 + 1e-9),
            Stage::EmbeddingAfter,
        ),
        ("gradient-orthogonality/duplicates", |values| values.batches[0].positives.swap(1, 3), Stage::Loss),
    ];
    for (id, change, stage) in cases {
        let (found, ratio) = first(id, change);
        assert_eq!(found, stage, "{id}");
        assert!(ratio > 1000.0, "{id}: {ratio}");
    }
}

/// f32 programs are judged by f32's roundoff: right ones pass, and the same numbers are far outside of f64's.
#[test]
fn a_single_precision_program_is_judged_as_one() {
    let single: Change = |values| values.scenario.precision = Precision::F32;
    let fixture = fixture("gradient-orthogonality/in-batch");
    let outcome = verify::verify(&fixture, &Other(single), 0);
    assert!(outcome.first().is_some_and(|first| first.compared.ratio > 1e3));
    let trajectory = Other(single).train(&fixture.values).unwrap();
    let judgement = verify::judge_recording(&fixture, &trajectory).unwrap();
    assert_eq!(judgement.first, None);
    assert!(judgement.judged() > 0);
}

#[test]
fn a_trainer_that_cannot_is_skipped_and_one_that_leaves_nothing_is_broken() {
    struct Refusing(bool);
    impl Trainer for Refusing {
        fn name(&self) -> String {
            "refusing".into()
        }
        fn train(&self, _: &Materialised) -> perpend::Result<Trajectory> {
            match self.0 {
                true => Err(perpend::Error::unsupported("everything")),
                false => Err(perpend::Error::input("out.safetensors", "a file", "none")),
            }
        }
    }
    let fixture = fixture("gradient-orthogonality/one-pair");
    let skipped = verify::verify(&fixture, &Refusing(true), 0);
    assert!(matches!(skipped.result, Verified::Skipped(_)) && skipped.exit_code().is_none());
    let broken = verify::verify(&fixture, &Refusing(false), 0);
    assert_eq!(broken.exit_code(), Some(perpend::verdict::ExitCode::Unreadable));
}

#[test]
fn every_optimizer_that_remembers_shows_what() {
    for fixture in fixtures() {
        let document = &fixture.document;
        let scenario = &document.scenario;
        let path = Path::new(FOLDER).join(&document.claim).join(&document.values);
        let (_, arrays) = perpend::trajectory::read_arrays(&path).unwrap();
        let remembers = scenario.item.optimizer.has_memory() && document.expected == Expected::Values;
        // These two keep nothing but the initial norm, or a buffer without momentum.
        let exempt = scenario.item.optimizer.declare().name.is_some_and(|name| name.starts_with("riemannian"));
        let shown = arrays.keys().any(|name| name.starts_with("item/memory/"));
        assert!(!remembers || exempt || shown, "{}", document.id());
    }
}

fn perpend(arguments: &[&str]) -> (Option<i32>, String) {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_perpend"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(arguments)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn exit_codes_say_what_a_verification_found() {
    let (code, text) = perpend(&["golden", "verify", "gradient-orthogonality/one-pair"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("1 passed, 0 failed"), "{text}");
    // A recording that has to be refused is no execution of the trainer.
    let (code, text) = perpend(&["golden", "verify", "update-orthogonality/sgd.fails-sign"]);
    assert_eq!(code, Some(4), "{text}");
    assert_eq!(perpend(&["golden", "verify", "no-such-case"]).0, Some(2));
    assert_eq!(perpend(&["golden", "verify", "--dir", "fixtures/nowhere"]).0, Some(5));
    assert_eq!(perpend(&["golden", "generate"]).0, Some(2));
}

#[test]
fn a_recorded_run_is_judged_by_its_case() {
    let run = |name: &str| format!("fixtures/v1/update-orthogonality/{name}.safetensors");
    let (code, text) = perpend(&["audit", &run("sgd"), "--golden", "update-orthogonality/sgd"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = perpend(&["audit", &run("sgd.fails-detached-norm"), "--golden", "update-orthogonality/sgd"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("gradient of a lookup") && text.contains("detached-norm"), "{text}");
    let (code, text) = perpend(&["--json", "audit", &run("sgd.fails-sign"), "--golden", "update-orthogonality/sgd"]);
    assert_eq!(code, Some(1), "{text}");
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["runs"][0]["first"]["classes"][0], "sign", "{text}");
    // Another run altogether.
    let (code, text) =
        perpend(&["audit", "fixtures/trajectories/sgd.safetensors", "--golden", "update-orthogonality/sgd"]);
    assert_eq!(code, Some(5), "{text}");
}
