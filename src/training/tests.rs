use std::path::Path;

use super::*;
use crate::encoder::EncoderKind;
use crate::interactions::{GenerateOptions, generate};
use crate::trajectory::{Rows, Similarity, Trajectory};

fn data() -> Dataset {
    let options = GenerateOptions { users: 40, items: 30, interactions: 600, ..GenerateOptions::default() };
    generate(&options).unwrap()
}

fn quick() -> TrainOptions {
    TrainOptions { dim: 4, batch: 32, length: Length::Steps(20), ..TrainOptions::preset("cosine").unwrap() }
}

fn output(folder: &Path, force: bool) -> Output {
    Output { folder: folder.to_owned(), force }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_writes_four_files_that_read_back() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("run");
    let mut seen = Vec::new();
    let training = train(&data(), &quick(), Some(&output(&folder, false)), &mut |at| seen.push(at)).unwrap();
    assert_eq!(names(&folder), ["metrics.json", "model.safetensors", "scenario.toml", "trajectory.safetensors"]);
    assert_eq!(Model::open(&folder.join("model.safetensors")).unwrap(), training.model);
    assert_eq!(Scenario::open(&folder.join("scenario.toml")).unwrap(), training.scenario);
    let metrics: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(folder.join("metrics.json")).unwrap()).unwrap();
    assert_eq!(metrics["schema"], METRICS_SCHEMA);
    assert_eq!(metrics["evaluation"]["cosine"]["recall"].as_f64(), training.evaluation.cosine.recall);
    assert_eq!(metrics.get("seconds"), None);
    let trajectory = Trajectory::open(&folder.join("trajectory.safetensors")).unwrap();
    let towers = trajectory.towers();
    assert_eq!((towers[0].rows(), towers[1].rows(), towers[0].steps()), (30, 40, 20));
    // 480 train pairs are 15 batches an epoch; 20 steps are one epoch and a third.
    assert_eq!(training.epochs.iter().map(|epoch| epoch.steps).collect::<Vec<_>>(), [15, 5]);
    assert_eq!(training.dropped, 0);
    assert_eq!(seen.iter().map(|at| at.step).collect::<Vec<_>>(), (1..=20).collect::<Vec<_>>());
    assert_eq!((seen[14].epoch, seen[15].epoch, seen[0].steps), (0, 1, 20));
    // The trajectory ends where the model is.
    for (tower, table) in towers.iter().zip([&training.model.items, &training.model.users]) {
        let mut last = vec![0.0; 4];
        for row in 0..tower.rows() {
            if tower.embedding(20, row, &mut last) {
                assert_eq!(last, table.row(tower.row_number(row) as usize));
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_seed_others() {
    let place = tempfile::tempdir().unwrap();
    let run = |name: &str, seed: u64| {
        let folder = place.path().join(name);
        train(&data(), &TrainOptions { seed, ..quick() }, Some(&output(&folder, false)), &mut |_| {}).unwrap();
        names(&folder).into_iter().map(|name| std::fs::read(folder.join(name)).unwrap()).collect::<Vec<_>>()
    };
    let (first, again, other) = (run("a", 1), run("b", 1), run("c", 2));
    assert!(first == again);
    assert!(first.iter().zip(&other).all(|(first, other)| first != other));
}

#[test]
fn recording_does_not_change_training() {
    let place = tempfile::tempdir().unwrap();
    let recorded = train(&data(), &quick(), Some(&output(place.path(), false)), &mut |_| {}).unwrap();
    let plain = train(&data(), &quick(), None, &mut |_| {}).unwrap();
    assert_eq!(recorded.model, plain.model);
    assert_eq!((recorded.recorded.is_some(), plain.recorded), (true, None));
}

#[test]
fn every_epoch_has_every_pair_once_and_drops_what_fills_no_batch() {
    let data = data();
    let scenario = TrainOptions { batch: 50, ..quick() }.scenario(&data).unwrap();
    let mut batches = batches::Batches::new(&data, &scenario);
    let mut all: Vec<(usize, usize)> = data.train.iter().map(|pair| (pair.user as usize, pair.item as usize)).collect();
    all.sort_unstable();
    let mut orders = Vec::new();
    for epoch in 0..2 {
        let mut seen = Vec::new();
        for _ in 0..9 {
            let (found, batch) = batches.next_batch();
            assert_eq!((found, batch.users.len(), batch.positives.len()), (epoch, 50, 50));
            seen.extend(batch.users.into_iter().zip(batch.positives));
        }
        orders.push(seen.clone());
        seen.sort_unstable();
        let distinct = seen.len();
        seen.dedup();
        assert_eq!((distinct, seen.len()), (450, 450));
        assert!(seen.iter().all(|pair| all.binary_search(pair).is_ok()));
    }
    assert_ne!(orders[0], orders[1]);
    assert_eq!(train(&data, &TrainOptions { batch: 50, ..quick() }, None, &mut |_| {}).unwrap().dropped, 30);
}

#[test]
fn a_folder_with_something_in_it_is_refused_unless_forced() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("notes.txt"), "mine").unwrap();
    std::fs::write(place.path().join("metrics.json"), "old").unwrap();
    let error = train(&data(), &quick(), Some(&output(place.path(), false)), &mut |_| {}).unwrap_err();
    assert!(error.is_usage(), "{error}");
    assert_eq!(names(place.path()), ["metrics.json", "notes.txt"]);
    train(&data(), &quick(), Some(&output(place.path(), true)), &mut |_| {}).unwrap();
    assert_eq!(names(place.path()).len(), 5);
    assert!(std::fs::read_to_string(place.path().join("metrics.json")).unwrap().contains(METRICS_SCHEMA));
    let missing = place.path().join("no/folder");
    assert!(train(&data(), &quick(), Some(&output(&missing, false)), &mut |_| {}).unwrap_err().is_input());
}

#[test]
fn nothing_is_left_behind_after_an_error() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("run");
    let diverging = TrainOptions { lr: Some(1e38), similarity: Similarity::Dot, ..quick() };
    let error = train(&data(), &diverging, Some(&output(&folder, false)), &mut |_| {}).unwrap_err();
    assert!(error.is_not_finite(), "{error}");
    assert!(!folder.exists());
    // A folder that was there stays, as empty as it was, or with what was in it.
    std::fs::create_dir(&folder).unwrap();
    train(&data(), &diverging, Some(&output(&folder, false)), &mut |_| {}).unwrap_err();
    assert_eq!(names(&folder), [""; 0]);
    train(&data(), &quick(), Some(&output(&folder, false)), &mut |_| {}).unwrap();
    let before = std::fs::read(folder.join("metrics.json")).unwrap();
    train(&data(), &diverging, Some(&output(&folder, true)), &mut |_| {}).unwrap_err();
    assert_eq!(names(&folder).len(), 4);
    assert_eq!(std::fs::read(folder.join("metrics.json")).unwrap(), before);
}

#[test]
fn a_dataset_without_test_part_trains_and_has_no_relevance() {
    let mut data = data();
    data.test.clear();
    let training = train(&data, &quick(), None, &mut |_| {}).unwrap();
    assert_eq!((training.evaluation.cosine.recall, training.evaluation.without_test), (None, 40));
    assert!(training.item.popularity.is_some());
}

#[test]
fn sgd_on_cosines_couples_norm_and_popularity_on_the_built_in_data() {
    let data = generate(&GenerateOptions::default()).unwrap();
    let options = TrainOptions { length: Length::Epochs(3), ..TrainOptions::preset("cosine").unwrap() };
    let training = train(&data, &options, None, &mut |_| {}).unwrap();
    let spearman = training.item.popularity.unwrap();
    assert!(spearman.low > 0.8, "{spearman:?}");
    assert!(training.item.median_displacement > 1.0, "{:?}", training.item);
    assert_eq!(training.item.longer, training.item.rows);
    assert!(training.evaluation.dot.average_popularity > training.evaluation.cosine.average_popularity);
    let losses: Vec<f64> = training.epochs.iter().map(|epoch| epoch.loss).collect();
    assert!(losses.is_sorted_by(|a, b| a > b), "{losses:?}");
}

/// A_T and Σs² are those that the auditor derives from the recorded histories.
#[test]
fn quartic_growth_holds_between_the_reported_numbers() {
    let options = TrainOptions { precision: Precision::F64, ..quick() };
    let training = train(&data(), &options, None, &mut |_| {}).unwrap();
    let values = Scenario { steps: 1, ..training.scenario.clone() }.materialise().unwrap();
    let start = norms(&values.item.tables[0]);
    let end = norms(&training.model.items);
    let mut lower: Vec<f64> = start.iter().zip(&end).map(|(start, end)| (end / start).powi(4) - 1.0).collect();
    lower.sort_by(f64::total_cmp);
    // ‖q_T‖⁴ ≥ ‖q_0‖⁴ + A_T row by row, so the medians are ordered as well.
    let median = (lower[14] + lower[15]) / 2.0;
    assert!(training.item.median_displacement > 0.0 && training.item.median_displacement <= median * (1.0 + 1e-9));
}

#[test]
fn a_given_scenario_is_trained_and_one_that_does_not_fit_is_refused() {
    let data = data();
    let scenario = quick().scenario(&data).unwrap();
    let run = |scenario: &Scenario| train_scenario(&data, scenario, &quick(), None, &mut |_| {});
    assert_eq!(run(&scenario).unwrap().model, train(&data, &quick(), None, &mut |_| {}).unwrap().model);
    let mut wrong = scenario.clone();
    wrong.item.rows = 29;
    assert_eq!(run(&wrong).unwrap_err().to_string(), "item.rows: expected 30, as in the dataset, found 29");
    let mut wrong = scenario.clone();
    wrong.sampler.batch = 1000;
    assert!(run(&wrong).unwrap_err().is_input());
    let mut wrong = scenario.clone();
    wrong.batches = Some(Vec::new());
    assert!(run(&wrong).unwrap_err().is_input());
}

#[test]
fn every_optimizer_and_uniform_negatives_train_and_record() {
    let place = tempfile::tempdir().unwrap();
    for (optimizer, k) in OptimizerName::ALL.into_iter().zip(0..) {
        for rows in [Rows::Dense, Rows::Lazy] {
            let folder = place.path().join(format!("{k}-{rows}"));
            let options = TrainOptions { optimizer, rows, negatives: Some(3), weight_decay: 1e-3, ..quick() };
            let training = train(&data(), &options, Some(&output(&folder, false)), &mut |_| {}).unwrap();
            assert!(training.epochs[0].loss.is_finite());
            let trajectory = Trajectory::open(&folder.join("trajectory.safetensors")).unwrap();
            assert_eq!(trajectory.array("item/ids").unwrap().shape(), [20, 32 * 4]);
            assert_eq!(trajectory.towers()[0].settings().optimizer.unwrap().sparse, Some(rows));
        }
    }
}

#[test]
fn a_model_that_does_not_fit_its_names_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("model.safetensors");
    let mut model = train(&data(), &quick(), None, &mut |_| {}).unwrap().model;
    model.item_names.pop();
    model.save(&path, false).unwrap();
    let error = Model::open(&path).unwrap_err().to_string();
    assert!(error.ends_with("item/table: expected shape [29, d], one row a name, found [30, 4]"), "{error}");
    assert!(model.save(&path, false).unwrap_err().is_usage());
}

#[test]
fn a_run_that_is_continued_ends_with_the_same_bits_and_numbers() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("checkpoint");
    let forms = [(None, false), (Some(3), false), (None, true)];
    let mut compared = 0;
    for (k, optimizer) in OptimizerName::ALL.into_iter().enumerate() {
        for rows in [Rows::Dense, Rows::Lazy] {
            let (negatives, full_softmax) = forms[k % forms.len()];
            let whole = TrainOptions {
                optimizer,
                rows,
                negatives,
                full_softmax,
                precision: [Precision::F32, Precision::F64][k % 2],
                weight_decay: 1e-3,
                core: Core::Kernel { threads: 1 + k % 3 },
                ..quick()
            };
            let interrupted = TrainOptions {
                checkpoints: Some(Checkpoints { file: file.clone(), every: 17 }),
                resume: None,
                ..whole.clone()
            };
            let expected = train(&data(), &interrupted, None, &mut |_| {}).unwrap();
            let continued = TrainOptions { resume: Some(file.clone()), ..whole.clone() };
            let mut steps = Vec::new();
            let found = train(&data(), &continued, None, &mut |at| steps.push(at.step)).unwrap();
            assert_eq!(steps, [18, 19, 20], "{optimizer}");
            assert_eq!(found.model, expected.model, "{optimizer} {rows:?}");
            assert_eq!(serde_json::to_string(&found).unwrap(), serde_json::to_string(&expected).unwrap());
            assert_eq!(found.model, train(&data(), &whole, None, &mut |_| {}).unwrap().model);
            std::fs::remove_file(&file).unwrap();
            compared += 1;
        }
    }
    assert_eq!(compared, 12);
}

/// What an optimizer remembered when the run was continued is not in the recording.
#[test]
fn the_recording_of_a_continued_run_is_not_accused() {
    use crate::verdict::Verdict;
    let place = tempfile::tempdir().unwrap();
    for (optimizer, k) in OptimizerName::ALL.into_iter().zip(0..) {
        for every in [1, 5] {
            let file = place.path().join(format!("{k}-{every}"));
            let core = Core::Kernel { threads: 2 };
            let record = RecordOptions { every, ..quick().record };
            let options = TrainOptions { optimizer, core, record, ..quick() };
            let checkpoints = Some(Checkpoints { file: file.clone(), every: 12 });
            train(&data(), &TrainOptions { checkpoints, ..options.clone() }, None, &mut |_| {}).unwrap();
            let folder = place.path().join(format!("{k}-{every}-rest"));
            let continued = TrainOptions { resume: Some(file), ..options };
            train(&data(), &continued, Some(&output(&folder, false)), &mut |_| {}).unwrap();
            let trajectory = Trajectory::open(&folder.join("trajectory.safetensors")).unwrap();
            let tower = trajectory.towers()[0];
            // The first of its steps is recorded, whatever its number.
            assert_eq!((tower.step_number(0), tower.steps()), (12, if every == 1 { 8 } else { 2 }));
            assert_eq!((tower.consecutive(), tower.is_complete()), (every == 1, false));
            let audit = crate::audit::audit(&trajectory).unwrap();
            for claim in &audit.claims {
                assert_ne!(claim.verdict, Verdict::Violated, "{optimizer} {every}: {}", claim.id);
            }
        }
    }
}

#[test]
fn networks_are_continued_too() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("checkpoint");
    let data = data();
    let mut scenario = TrainOptions { optimizer: OptimizerName::Adam, ..quick() }.scenario(&data).unwrap();
    let network = "features = 3\nhidden = [5]\nbias = true\nactivation = \"tanh\"";
    scenario.item.encoder = EncoderKind::Mlp(toml::from_str(network).unwrap());
    let run = |options: TrainOptions| {
        let options = TrainOptions { core: Core::Kernel { threads: 2 }, ..options };
        train_scenario(&data, &scenario, &options, None, &mut |_| {}).unwrap().model
    };
    let checkpoints = Some(Checkpoints { file: file.clone(), every: 13 });
    let whole = run(TrainOptions { checkpoints, ..quick() });
    assert_eq!(run(TrainOptions { resume: Some(file), ..quick() }), whole);
    assert_eq!(run(quick()), whole);
}

#[test]
fn checkpoints_of_other_runs_and_broken_ones_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("checkpoint");
    let core = Core::Kernel { threads: 2 };
    let options = TrainOptions { core, checkpoints: Some(Checkpoints { file: file.clone(), every: 6 }), ..quick() };
    train(&data(), &options, None, &mut |_| {}).unwrap();
    let refused = |options: &TrainOptions, words: &str| {
        let error = train(&data(), options, None, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    // It is there already.
    assert!(train(&data(), &options, None, &mut |_| {}).is_err());
    let resumed = TrainOptions { checkpoints: None, resume: Some(file.clone()), ..options.clone() };
    refused(&TrainOptions { seed: 1, ..resumed.clone() }, "checkpoint: scenario");
    refused(&TrainOptions { core: Core::Kernel { threads: 1 }, ..resumed.clone() }, "kernel, 2 threads");
    refused(&TrainOptions { length: Length::Steps(17), ..resumed.clone() }, "fewer than 17");
    refused(&TrainOptions { core: Core::Reference, ..resumed.clone() }, "the kernel");
    let every = Some(Checkpoints { file: place.path().join("other"), every: 0 });
    refused(&TrainOptions { checkpoints: every, ..options.clone() }, "at least 1 step");
    // A longer run goes on.
    let longer = TrainOptions { length: Length::Steps(25), ..resumed.clone() };
    assert_eq!(train(&data(), &longer, None, &mut |_| {}).unwrap().steps, 25);
    // Cut off, or with an array taken out.
    let (metadata, mut arrays) = crate::trajectory::read_arrays(&file).unwrap();
    arrays.remove("user/energy").unwrap();
    crate::trajectory::write_arrays(&file, true, &metadata, &arrays).unwrap();
    refused(&resumed, "user/energy");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    assert!(train(&data(), &resumed, None, &mut |_| {}).is_err());
}

#[test]
fn the_kernel_trains_what_the_reference_trains() {
    let run = |core, precision| {
        let options = TrainOptions { core, precision, ..quick() };
        train(&data(), &options, None, &mut |_| {}).unwrap()
    };
    let expected = run(Core::Reference, Precision::F64);
    // In the same precision the two differ by roundings, which must be far fewer than those of single precision.
    let gap = |other: &Training| {
        let pairs = expected.model.items.values().iter().zip(other.model.items.values());
        pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    };
    let single = gap(&run(Core::Reference, Precision::F32));
    let kernel = gap(&run(Core::Kernel { threads: 2 }, Precision::F64));
    assert!(kernel < single && single > 0.0, "{kernel} and {single}");
    // In single precision half of the digits agree, of which a wrong step would leave none.
    let kernel = gap(&run(Core::Kernel { threads: 2 }, Precision::F32));
    let largest = expected.model.items.values().iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    assert!(kernel > 0.0 && kernel < Precision::F32.unit_roundoff().sqrt() * largest, "{kernel} and {single}");
}
