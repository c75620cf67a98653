//! Recorded runs of public packages, with ground truth: what is observed must be what a float64 recomputation observed, with
//! the header and without it, whatever the order of the rows and the scale of everything.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use perpend::audit::{Audit, audit};
use perpend::rounding::Precision;
use perpend::trajectory::{Array, Element, Settings, Trajectory};
use perpend::verdict::{ExitCode, Observed, Verdict};

/// The folder of recordings, if the environment names one.
pub(crate) fn folder() -> Option<PathBuf> {
    let folder = std::env::var_os("PERPEND_RUNS").map(PathBuf::from);
    if folder.is_none() {
        // Written past the test runner's capture: a skipped test must not look like a passed one.
        let _ =
            writeln!(std::io::stderr(), "skipped: PERPEND_RUNS is not set (a folder with recordings and truth.tsv)");
    }
    folder
}

/// name → what gradient-orthogonality, update-orthogonality and norm-growth observe.
fn truth(folder: &std::path::Path) -> BTreeMap<String, [String; 3]> {
    let text = std::fs::read_to_string(folder.join("truth.tsv")).unwrap();
    let rows = text.lines().skip(1).map(|line| line.split('\t').map(str::to_string).collect::<Vec<_>>());
    rows.map(|row| (row[0].clone(), [row[2].clone(), row[3].clone(), row[4].clone()])).collect()
}

const JUDGED: [&str; 3] = ["gradient-orthogonality", "update-orthogonality", "norm-growth"];

fn observed(audit: &Audit) -> [String; 3] {
    JUDGED.map(|id| audit.claim(id, None).unwrap().observation.observed.to_string())
}

pub(crate) fn without_header(trajectory: &Trajectory) -> Trajectory {
    trajectory.with_settings(Settings::default()).unwrap()
}

/// The same run with its rows in another order and every embedding and gradient doubled.
pub(crate) fn permuted_and_doubled(trajectory: &Trajectory) -> Trajectory {
    let rows = trajectory.towers()[0].rows();
    // 7 shares no factor with the 50 rows of these files, so this is a permutation.
    let to = |row: usize| (row * 7 + 3) % rows;
    let mut arrays = BTreeMap::new();
    for (name, array) in trajectory.arrays() {
        let mut values = vec![0.0; array.len()];
        let moved = match name.as_str() {
            "ids" => {
                let ids: Vec<i64> = (0..array.len()).map(|k| array.integer(k)).collect();
                let ids: Vec<i64> =
                    ids.into_iter().map(|id| if id < 0 { id } else { to(id as usize) as i64 }).collect();
                Array::from_i64(array.shape(), &ids)
            }
            "loss" | "lr" => array.clone(),
            _ => {
                array.read(0, &mut values);
                let own = array.shape()[1];
                let width = array.len() / array.shape()[0] / own;
                let mut out = values.clone();
                for step in 0..array.shape()[0] {
                    for row in 0..own {
                        let target = if own == rows { to(row) } else { row };
                        for k in 0..width {
                            out[(step * own + target) * width + k] = 2.0 * values[(step * own + row) * width + k];
                        }
                    }
                }
                Array::encode(array.element(), array.shape(), &out)
            }
        };
        arrays.insert(name.clone(), moved);
    }
    Trajectory::new(trajectory.settings().clone(), arrays).unwrap()
}

#[test]
fn observations_are_the_truth_with_and_without_header_permuted_and_scaled() {
    let Some(folder) = folder() else { return };
    let (mut judged, mut wrong) = (0, Vec::new());
    for (name, truth) in truth(&folder) {
        let recorded = Trajectory::open(&folder.join(format!("{name}.safetensors"))).unwrap();
        let moved = permuted_and_doubled(&recorded);
        let forms = [
            ("as recorded", &recorded),
            ("without header", &without_header(&recorded)),
            ("permuted and doubled", &moved),
            ("permuted, doubled, without header", &without_header(&moved)),
        ];
        for (form, trajectory) in forms {
            let found = observed(&audit(trajectory).unwrap());
            judged += found.len();
            for (id, (found, truth)) in JUDGED.iter().zip(found.iter().zip(&truth)) {
                if found != truth {
                    wrong.push(format!("{name} {form}: {id} {found}, truth {truth}"));
                }
            }
        }
    }
    assert!(judged >= 4 * 54, "only {judged} judged");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The fixture is what the reference trainer makes of its scenario, and every claim is confirmed on it.
#[test]
fn the_reference_trajectory_is_reproduced_and_confirmed() {
    use perpend::scenario::Scenario;
    use perpend::trainer::Trainer;

    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trajectories/sgd.safetensors");
    let fixture = Trajectory::open(&file).unwrap();
    let scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml")).unwrap();
    let made = perpend::reference::Reference.train(&scenario.materialise().unwrap()).unwrap();
    assert_eq!(fixture.settings(), made.settings());
    for (name, array) in made.arrays() {
        let recorded = fixture.array(name).unwrap_or_else(|| panic!("{name} is missing"));
        assert_eq!(recorded.shape(), array.shape(), "{name}");
        for index in 0..array.len() {
            // The exponential may differ in its last place from one C library to the next, and later steps amplify that.
            let (old, new) = (recorded.value(index), array.value(index));
            approx::assert_relative_eq!(old, new, epsilon = 1e-10, max_relative = 1e-10);
        }
    }
    let audit = audit(&fixture).unwrap();
    assert!(audit.claims.iter().all(|judged| judged.verdict == Verdict::Confirmed), "{:#?}", audit.claims);
    assert_eq!((audit.exit_code(), audit.diagnosis.contradictions.len()), (ExitCode::Success, 0));
}

#[test]
fn a_lost_duplicate_is_caught_at_its_step_and_row_with_and_without_header() {
    let Some(folder) = folder() else { return };
    let recorded = Trajectory::open(&folder.join("jax_manual_scatter__set_lastwins.safetensors")).unwrap();
    for trajectory in [&recorded, &without_header(&recorded)] {
        let audit = audit(trajectory).unwrap();
        let step = audit.claim("declared-step", None).unwrap();
        assert_eq!((step.observation.observed, step.verdict), (Observed::Breaks, Verdict::Violated));
        let place = step.observation.place.unwrap();
        let lookups = trajectory.towers()[0].lookups(place.step as usize).unwrap();
        assert!(
            lookups.iter().filter(|&&row| row == place.row as i64).count() > 1,
            "{place} was not looked up twice"
        );
        assert!(audit.sentence.contains("Duplicate gradients are lost"), "{}", audit.sentence);
        assert_eq!(audit.exit_code(), ExitCode::Violated);
        for id in JUDGED {
            assert_eq!(audit.claim(id, None).unwrap().observation.observed, Observed::Holds, "{id} cannot see it");
        }
    }
}

/// Rate, momentum, Nesterov, decay, dense or lazy, measured from the run alone.
#[test]
fn the_sgd_family_is_measured_from_the_run_alone() {
    let Some(folder) = folder() else { return };
    let expected = [
        ("torch_normalize__sgd_f32", 0.05, 0.0, false, 0.0, None),
        ("torch_cosine_similarity__sgd_f64", 0.05, 0.0, false, 0.0, None),
        ("torch_CosineEmbeddingLoss__sgd_f32", 0.03, 0.0, false, 0.0, None),
        ("st_MultipleNegativesRankingLoss__momentum0.9", 0.05, 0.9, false, 0.0, Some("dense")),
        ("tfrs_Retrieval__legacy_momentum0.9", 0.05, 0.9, false, 0.0, Some("lazy")),
        ("pml_NTXentLoss__nesterov0.9", 0.05, 0.9, true, 0.0, Some("dense")),
        ("st_MultipleNegativesRankingLoss__wd1e-2", 0.05, 0.0, false, 0.01, Some("dense")),
        ("optax_ntxent__bf16_init0.02", 0.002, 0.0, false, 0.0, None),
    ];
    for (name, lr, momentum, nesterov, decay, rows) in expected {
        let recorded = Trajectory::open(&folder.join(format!("{name}.safetensors"))).unwrap();
        let diagnosis = audit(&without_header(&recorded)).unwrap().diagnosis;
        let close = |found: Option<f64>, expected: f64, allowed: f64| (found.unwrap() - expected).abs() <= allowed;
        assert!(close(diagnosis.lr, lr, 0.01 * lr), "{name}: {diagnosis:?}");
        assert!(close(diagnosis.momentum, momentum, 0.01), "{name}: {diagnosis:?}");
        assert!(close(diagnosis.weight_decay, decay, 0.02 * decay), "{name}: {diagnosis:?}");
        assert_eq!(diagnosis.nesterov, Some(nesterov), "{name}");
        assert_eq!(diagnosis.sparse.map(|rows| rows.to_string()).as_deref(), rows, "{name}");
    }
}

/// A correct run in a narrow format is never called broken: a run of f32 rounded to bf16, f16 and f32 storage.
#[test]
fn rounding_alone_never_breaks_a_true_claim() {
    use perpend::scenario::Scenario;
    use perpend::trainer::Trainer;

    let scenario = Scenario::from_toml(include_str!("../../fixtures/scenarios/sgd.toml")).unwrap();
    let exact = perpend::reference::Reference.train(&scenario.materialise().unwrap()).unwrap();
    for (element, precision) in
        [(Element::Bf16, Precision::Bf16), (Element::F16, Precision::F16), (Element::F32, Precision::F32)]
    {
        let round = |values: &[f64]| {
            let array = Array::encode(element, &[values.len()], values);
            let mut out = vec![0.0; values.len()];
            array.read(0, &mut out);
            out
        };
        // Each step starts from rounded rows, and the row after the step is rounded once.
        let tower = exact.towers()[0];
        let (steps, rows, dim) = (tower.steps(), tower.rows(), tower.dim());
        let (mut q, mut next, mut grad) = (Vec::new(), Vec::new(), Vec::new());
        let rate = tower.learning_rate(0).unwrap();
        tower
            .for_each(0..rows, &mut |record| {
                let (start, gradient) = (round(record.q), round(record.grad.unwrap()));
                let moved: Vec<f64> = start.iter().zip(&gradient).map(|(q, g)| q - rate * g).collect();
                q.extend(&start);
                next.extend(round(&moved));
                grad.extend(gradient);
                Ok(())
            })
            .unwrap();
        let shape = [steps, rows, dim];
        let ids: Vec<i64> = (0..steps).flat_map(|step| tower.lookups(step).unwrap()).collect();
        let arrays = BTreeMap::from([
            ("q".to_string(), Array::encode(element, &shape, &q)),
            ("q_next".to_string(), Array::encode(element, &shape, &next)),
            ("grad".to_string(), Array::encode(element, &shape, &grad)),
            ("ids".to_string(), Array::from_i64(&[steps, ids.len() / steps], &ids)),
        ]);
        let rounded = Trajectory::new(Settings::default(), arrays).unwrap();
        let audit = audit(&rounded).unwrap();
        for judged in &audit.claims {
            assert_ne!(
                judged.observation.observed,
                Observed::Breaks,
                "{precision}: {} {:?}",
                judged.id,
                judged.observation
            );
        }
    }
}
