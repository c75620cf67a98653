//! The suite cannot be fooled: what must break breaks, what shows nothing is not confirmed, pieces add up to the whole.

use std::collections::BTreeMap;
use std::time::Duration;

use perpend::Result;
use perpend::audit::audit;
use perpend::claims::check::{Options, Report, SPECIMEN_SEEDS, Status, TWIN_MARGIN, check_on};
use perpend::claims::specimen::{self, redeclare};
use perpend::claims::{ALL, Claim, find};
use perpend::condition::Condition;
use perpend::facts::{Context, Facts, Watched, gather, gather_rows, survey};
use perpend::optimizer::Decay;
use perpend::optimizer::decay::Form;
use perpend::reference::{Fault, Faulty, Reference};
use perpend::scenario::random::Parts;
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trainer::Trainer;
use perpend::trajectory::{Array, Settings, Side, Trajectory};
use perpend::verdict::{ExitCode, Observed, Verdict};

fn train(scenario: &Scenario, trainer: &dyn Trainer) -> Trajectory {
    trainer.train(&scenario.materialise().unwrap()).unwrap()
}

fn item<'a>(audit: &'a perpend::audit::Audit, id: &str) -> &'a perpend::audit::Judged {
    audit.claim(id, Some(Side::Item)).unwrap()
}

#[test]
fn a_claim_that_is_fed_its_twin_breaks() {
    for claim in ALL {
        for twin in claim.twins() {
            let broke = (0..SPECIMEN_SEEDS).any(|seed| {
                let materialised = twin.materialise(seed).unwrap();
                let observation = twin.examine(*claim, &materialised, &Reference);
                observation.is_ok_and(|seen| seen.observed == Observed::Breaks && seen.margin() >= TWIN_MARGIN)
            });
            assert!(broke, "{} holds on {}", claim.id(), twin.name);
        }
    }
}

/// A trainer that decays the item rows and says nothing of it.
struct SecretDecay;

impl Trainer for SecretDecay {
    fn name(&self) -> String {
        "secret decay".into()
    }
    fn train(&self, asked: &Materialised) -> Result<Trajectory> {
        let mut scenario = asked.scenario.clone();
        let rate = scenario.item.optimizer.schedule().at(0);
        if rate > 0.0 {
            let decay = Decay { rate: 0.125 / rate, form: Form::Coupled };
            *scenario.item.optimizer.decay_mut() = Some(decay);
        }
        let honest = Reference.train(asked)?;
        Reference.train(&scenario.materialise()?)?.with_settings(honest.settings().clone())
    }
}

/// Claims about the gradient alone, or about nothing that is trained: what is made of the gradient is no matter to them.
const BLIND_TO_STEPS: [&str; 6] = [
    "gradient-orthogonality",
    "gradient-inverse-scaling",
    "norm-gauge",
    "epsilon-leak",
    "temperature-bound",
    "serving-inversion",
];

/// A claim on random scenarios; its twins and controls, which are trained by the reference whoever is checked, are left out.
fn judge(claim: &dyn Claim, trainer: &dyn Trainer, cases: u64) -> Report {
    let options = Options { cases, shrinking: Duration::ZERO, ..Options::default() };
    check_on(claim, trainer, &options, &|_| {}, &|| Parts::from(claim.family()))
}

/// Each faulty trainer fails where it must and is not accused by claims that its fault does not concern: the check is of the
/// trainer, whoever that is.
#[test]
fn a_faulty_trainer_fails_the_claims_that_see_its_fault_and_not_those_that_it_does_not_concern() {
    type Unconcerned = fn(&dyn Claim) -> bool;
    // The fit of the quarter-power law sees late gradients, though by less than would make them a twin; the bounds of the
    // permutations are those of the run that was asked for, and a late gradient moves rows that are at rest in it.
    let lists_no_fresh_gradient: Unconcerned = |claim| {
        !claim.conditions().contains(&Condition::FreshGradient)
            && !["quarter-power-law", "permutation-equivariance"].contains(&claim.id())
    };
    let is_blind_to_steps: Unconcerned = |claim| BLIND_TO_STEPS.contains(&claim.id());
    let trainers: [(&dyn Trainer, &[&str], Unconcerned); 3] = [
        (
            &Faulty(Fault::StaleGradient),
            &[
                "gradient-orthogonality",
                "epsilon-leak",
                "temperature-bound",
                "update-orthogonality",
                "norm-growth",
                "quartic-growth",
                "gradient-flow-limit",
                "displacement-number",
                "heavy-ball-identity",
                "rowwise-adagrad-log-growth",
                "nesterov-growth",
                "decay-radial",
                "decay-equilibrium",
                "decay-frequency",
            ],
            lists_no_fresh_gradient,
        ),
        (
            &Faulty(Fault::LastWriteWins),
            &[
                "declared-step",
                "quartic-growth",
                "displacement-number",
                "heavy-ball-identity",
                "scalar-steps",
                "rowwise-adagrad-log-growth",
                "nesterov-growth",
                "lazy-versus-dense",
                "decay-radial",
                "permutation-equivariance",
            ],
            is_blind_to_steps,
        ),
        (
            &SecretDecay,
            &[
                "update-orthogonality",
                "norm-growth",
                "quartic-growth",
                "quarter-power-law",
                "gradient-flow-limit",
                "displacement-number",
                "declared-step",
                "heavy-ball-identity",
                // It decays by a rate of its own, whatever rescaling was asked for.
                "dilation-equivariance",
                "scalar-steps",
                "rowwise-adagrad-log-growth",
                "nesterov-growth",
                "lazy-versus-dense",
                "decay-radial",
                "decay-equilibrium",
                "decay-frequency",
                "gradient-implies-growth",
            ],
            is_blind_to_steps,
        ),
    ];
    let mut wrong = Vec::new();
    for (trainer, seen_by, unconcerned) in trainers {
        for claim in ALL {
            let report = judge(*claim, trainer, 200);
            match &report.failure {
                None if seen_by.contains(&claim.id()) => {
                    wrong.push(format!("{} does not see {}", claim.id(), trainer.name()));
                }
                Some(failure) if unconcerned(*claim) => {
                    wrong.push(format!("{} accuses {}: {failure:?}", claim.id(), trainer.name()));
                }
                _ => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A trainer that answers with the initial tables and no gradients: it did nothing.
struct Idle;

impl Trainer for Idle {
    fn name(&self) -> String {
        "idle".into()
    }
    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        let mut scenario = materialised.scenario.clone();
        for side in [Side::Item, Side::User] {
            let tower = scenario.tower_mut(side);
            *tower.optimizer.schedule_mut() = 0.0.into();
            // Renormalisation moves rows at any rate.
            tower.update.constraint = None;
        }
        let trajectory = Reference.train(&scenario.materialise()?)?;
        let zero = |name: &str, array: &Array| match name.ends_with("grad") {
            true => Array::from_f64(array.shape(), &vec![0.0; array.len()]),
            false => array.clone(),
        };
        let arrays = trajectory.arrays().iter().map(|(name, array)| (name.clone(), zero(name, array))).collect();
        Trajectory::new(trajectory.settings().clone(), arrays)
    }
}

#[test]
fn zero_gradients_are_undecided_and_never_confirmed() {
    let audit = audit(&train(&specimen::plain(0), &Idle)).unwrap();
    for judged in audit.claims.iter() {
        assert_eq!(judged.verdict, Verdict::Undecided, "{} {:?}", judged.id, judged.observation);
    }
    assert_eq!(audit.exit_code(), ExitCode::Undecided);
    for claim in ALL {
        // It draws scenario after scenario, none of which shows anything: as long as it takes to draw some.
        let mut time = Duration::from_millis(80);
        let report = loop {
            let options = Options { cases: 20, time: Some(time), shrinking: Duration::ZERO, ..Options::default() };
            let report = check_on(*claim, &Idle, &options, &|_| {}, &|| Parts::from(claim.family()));
            if report.cases + report.inconclusive > 0 || report.status == Status::Skipped || report.failure.is_some() {
                break report;
            }
            time *= 2;
        };
        assert_ne!(report.status, Status::Passed, "{} passes on a trainer that does nothing", claim.id());
    }
}

#[test]
fn without_gradients_nothing_is_confirmed_that_needs_them() {
    let trajectory = train(&specimen::plain(0), &Reference);
    let kept = trajectory.arrays().iter().filter(|(name, _)| !name.contains("grad"));
    let arrays = kept.map(|(name, array)| (name.clone(), array.clone())).collect();
    let audit = audit(&Trajectory::new(trajectory.settings().clone(), arrays).unwrap()).unwrap();
    for id in ["gradient-orthogonality", "declared-step", "heavy-ball-identity", "quartic-growth"] {
        assert_eq!(item(&audit, id).verdict, Verdict::Undecided, "{id}");
    }
}

/// One step from rows whose coordinates are all ±1, so that every coordinate has nearly the same allowance.
fn one_step() -> Scenario {
    let mut scenario = specimen::plain(3);
    scenario.steps = 1;
    let signs = |rows: usize, salt: usize| -> Vec<f64> {
        (0..rows * 4)
            .map(|k| {
                if (k * k + k / 4 + salt).is_multiple_of(3) {
                    -1.0
                } else {
                    1.0
                }
            })
            .collect()
    };
    scenario.item.initial = Initial::Explicit { tables: vec![signs(10, 0)], constants: vec![] };
    scenario.user.initial = Initial::Explicit { tables: vec![signs(4, 1)], constants: vec![] };
    scenario
}

/// A recorded row is moved by ten times what is allowed there: the claim breaks; by a tenth: it holds.
#[test]
fn a_residual_of_ten_times_the_allowance_breaks_and_a_tenth_of_it_holds() {
    let trajectory = train(&one_step(), &Reference);
    let tower = trajectory.towers()[0];
    let context = Context::declared(&trajectory, &tower, &survey(&tower).unwrap());
    let row = tower.lookups(0).unwrap()[0] as usize;
    let mut q = vec![0.0; tower.dim()];
    assert!(tower.embedding(0, row, &mut q));
    let norm = q.iter().map(|x| x * x).sum::<f64>().sqrt();
    for (id, array, entry) in [
        ("gradient-orthogonality", "item/grad", 0),
        ("update-orthogonality", "item/q", 1),
        ("declared-step", "item/q", 1),
    ] {
        let claim = find(id).unwrap();
        let own = gather_rows(&tower, &context, &claim.watch(&context), row..row + 1).unwrap();
        let allowed = claim.observe(&own, &context).allowed.unwrap();
        for (times, expected) in [(10.0, Observed::Breaks), (0.1, Observed::Holds)] {
            // Along q for the orthogonality claims, whose residual then moves by `times` the allowance; the replay is judged
            // coordinate by coordinate.
            let shift: Vec<f64> = match id {
                "declared-step" => vec![times * allowed, 0.0, 0.0, 0.0],
                _ => q.iter().map(|x| x / norm * (times * allowed / norm)).collect(),
            };
            let mut arrays: BTreeMap<String, Array> = trajectory.arrays().clone();
            let mut values = vec![0.0; arrays[array].len()];
            arrays[array].read(0, &mut values);
            for (k, shift) in shift.iter().enumerate() {
                values[(entry * tower.rows() + row) * tower.dim() + k] += shift;
            }
            let shape = arrays[array].shape().to_vec();
            arrays.insert(array.into(), Array::from_f64(&shape, &values));
            let moved = Trajectory::new(trajectory.settings().clone(), arrays).unwrap();
            let facts = gather(&moved.towers()[0], &context, &claim.watch(&context)).unwrap();
            assert_eq!(claim.observe(&facts, &context).observed, expected, "{id}, {times} times");
        }
    }
}

#[test]
fn a_header_that_lies_about_momentum_ends_in_exit_1_and_the_contradiction_is_named() {
    let trajectory = train(&specimen::momentum(1), &Reference);
    let mut settings = trajectory.settings().clone();
    redeclare(&mut settings, |optimizer| optimizer.momentum = Some(0.0));
    let audit = audit(&trajectory.with_settings(settings).unwrap()).unwrap();
    assert_eq!(item(&audit, "declared-step").verdict, Verdict::Violated);
    assert_eq!(audit.exit_code(), ExitCode::Violated);
    let contradictions = &audit.diagnosis.contradictions;
    assert!(contradictions.iter().any(|text| text.contains("momentum 0 is declared")), "{contradictions:?}");
    assert!((audit.diagnosis.momentum.unwrap() - 0.9).abs() < 1e-6);
}

#[test]
fn momentum_does_not_excuse_lost_duplicates() {
    let audit = audit(&train(&specimen::momentum(1), &Faulty(Fault::LastWriteWins))).unwrap();
    assert_eq!(audit.exit_code(), ExitCode::Violated);
    assert!(audit.sentence.contains("Duplicate gradients are lost"), "{}", audit.sentence);
    // The broken update is not put down to the momentum alone.
    assert_eq!(item(&audit, "update-orthogonality").verdict, Verdict::Undecided);
}

#[test]
fn declared_momentum_is_outside_and_growth_is_confirmed() {
    let audit = audit(&train(&specimen::momentum(1), &Reference)).unwrap();
    assert_eq!(item(&audit, "update-orthogonality").verdict, Verdict::Outside);
    for id in ["gradient-orthogonality", "declared-step", "norm-growth", "heavy-ball-identity"] {
        assert_eq!(item(&audit, id).verdict, Verdict::Confirmed, "{id}");
    }
    assert_eq!(audit.exit_code(), ExitCode::Success);
}

#[test]
fn adam_is_outside_for_its_coordinate_scaling_and_replays() {
    let audit = audit(&train(&specimen::adam(1), &Reference)).unwrap();
    assert_eq!(item(&audit, "update-orthogonality").verdict, Verdict::Outside);
    assert_eq!(item(&audit, "declared-step").verdict, Verdict::Confirmed);
}

#[test]
fn pieces_split_by_rows_merge_to_the_whole_bit_for_bit_in_any_order() {
    let trajectory = train(&specimen::momentum(5), &Reference);
    let tower = trajectory.towers()[0];
    let context = Context::declared(&trajectory, &tower, &survey(&tower).unwrap());
    let watched = || -> Vec<Watched> { ALL.iter().flat_map(|claim| claim.watch(&context)).collect() };
    let whole = gather(&tower, &context, &watched()).unwrap();
    let pieces: Vec<Facts> =
        [0..3, 3..4, 4..10].map(|rows| gather_rows(&tower, &context, &watched(), rows).unwrap()).into();
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let mut merged = Facts::default();
        for piece in order {
            // Through text, as another process would send it.
            let text = serde_json::to_string(&pieces[piece]).unwrap();
            merged.merge(&serde_json::from_str(&text).unwrap());
        }
        assert_eq!(merged, whole);
    }
}

#[test]
fn the_sparse_and_the_dense_form_of_a_run_are_judged_alike() {
    let trajectory = train(&specimen::plain(2), &Reference);
    let tower = trajectory.towers()[0];
    let (mut steps, mut ids, mut q, mut next, mut grad) = (vec![], vec![], vec![], vec![], vec![]);
    tower
        .for_each(0..tower.rows(), &mut |record| {
            if record.q != record.q_next || record.grad.unwrap().iter().any(|&g| g != 0.0) {
                steps.push(record.step as i64);
                ids.push(record.row as i64);
                q.extend(record.q);
                next.extend(record.q_next);
                grad.extend(record.grad.unwrap());
            }
            Ok(())
        })
        .unwrap();
    let shape = [ids.len(), tower.dim()];
    let mut arrays: BTreeMap<String, Array> = trajectory.arrays().clone();
    for name in ["q", "grad", "grad_out"] {
        arrays.remove(&format!("item/{name}"));
    }
    arrays.insert("item/row_step".into(), Array::from_i64(&[ids.len()], &steps));
    arrays.insert("item/row_id".into(), Array::from_i64(&[ids.len()], &ids));
    arrays.insert("item/row_ids".into(), Array::from_i64(&[10], &(0..10).collect::<Vec<_>>()));
    arrays.insert("item/row_q".into(), Array::from_f64(&shape, &q));
    arrays.insert("item/row_q_next".into(), Array::from_f64(&shape, &next));
    arrays.insert("item/row_grad".into(), Array::from_f64(&shape, &grad));
    let sparse = Trajectory::new(trajectory.settings().clone(), arrays).unwrap();
    let (dense, sparse) = (audit(&trajectory).unwrap(), audit(&sparse).unwrap());
    for (a, b) in dense.claims.iter().zip(&sparse.claims).filter(|(a, _)| a.tower == Some(Side::Item)) {
        assert_eq!((a.id, a.observation.observed, a.verdict), (b.id, b.observation.observed, b.verdict));
    }
}

/// Header-less: everything that the run itself determines is still judged.
#[test]
fn a_run_without_header_is_judged_by_what_it_shows() {
    let trajectory = train(&specimen::plain(4), &Reference).with_settings(Settings::default()).unwrap();
    let audit = audit(&trajectory).unwrap();
    assert_eq!(
        item(&audit, "gradient-orthogonality").verdict,
        Verdict::Undecided,
        "nothing says that it is a cosine loss"
    );
    for id in ["update-orthogonality", "declared-step", "norm-growth", "quartic-growth"] {
        assert_eq!(item(&audit, id).verdict, Verdict::Confirmed, "{id}");
    }
}

/// Rate, momentum, decay, look-ahead, dense or lazy: measured from runs whose header is taken away.
#[test]
fn the_sgd_family_is_fitted_where_nothing_is_declared() {
    use perpend::optimizer::{Optimizer, heavy_ball::HeavyBall, nesterov::Nesterov, sgd::Sgd};
    use perpend::trajectory::Rows;

    let decay = Some(Decay { rate: 0.05, form: Form::Coupled });
    let ball = |decay, rows| HeavyBall { lr: 0.25.into(), momentum: 0.75, dampening: 0.0, decay, rows };
    let optimizers = [
        Optimizer::Sgd(Sgd { lr: 0.25.into(), decay: None, rows: Rows::Dense }),
        Optimizer::Sgd(Sgd { lr: 0.25.into(), decay: decay.clone(), rows: Rows::Dense }),
        Optimizer::Sgd(Sgd { lr: 0.25.into(), decay: decay.clone(), rows: Rows::Lazy }),
        Optimizer::HeavyBall(ball(None, Rows::Dense)),
        Optimizer::HeavyBall(ball(None, Rows::Lazy)),
        Optimizer::HeavyBall(ball(decay.clone(), Rows::Dense)),
        Optimizer::Nesterov(Nesterov { lr: 0.25.into(), momentum: 0.75, decay: None, rows: Rows::Dense }),
        Optimizer::Nesterov(Nesterov { lr: 0.25.into(), momentum: 0.75, decay, rows: Rows::Lazy }),
    ];
    for optimizer in optimizers {
        for fault in [None, Some(Fault::LastWriteWins)] {
            let mut scenario = specimen::with_optimizer(7, optimizer.clone());
            // Enough rows that are looked up once, among which a lost duplicate is a minority.
            scenario.item.rows = 40;
            scenario.steps = 20;
            let trajectory = match fault {
                None => train(&scenario, &Reference),
                Some(fault) => train(&scenario, &Faulty(fault)),
            };
            let kept = trajectory.arrays().iter().filter(|(name, _)| name.as_str() != "item/lr");
            let arrays = kept.map(|(name, array)| (name.clone(), array.clone())).collect();
            let audit = audit(&Trajectory::new(Settings::default(), arrays).unwrap()).unwrap();
            let (found, declared) = (&audit.diagnosis, optimizer.declare());
            let close = |found: Option<f64>, expected: f64| found.is_some_and(|found| (found - expected).abs() < 1e-6);
            assert!(close(found.lr, 0.25), "{optimizer:?} {fault:?}: {found:?}");
            assert!(close(found.momentum, declared.momentum.unwrap()), "{optimizer:?} {fault:?}: {found:?}");
            assert!(close(found.weight_decay, declared.weight_decay.unwrap()), "{optimizer:?} {fault:?}: {found:?}");
            assert_eq!(found.nesterov, declared.nesterov, "{optimizer:?} {fault:?}");
            let expected = if fault.is_some() {
                Observed::Breaks
            } else {
                Observed::Holds
            };
            assert_eq!(item(&audit, "declared-step").observation.observed, expected, "{optimizer:?} {fault:?}");
            assert_eq!(
                audit.sentence.contains("Duplicate gradients"),
                fault.is_some(),
                "{optimizer:?}: {}",
                audit.sentence
            );
        }
    }
}

#[test]
fn a_schedule_is_measured_step_by_step_and_adam_is_named() {
    let strip = |trajectory: Trajectory| {
        let kept = trajectory.arrays().iter().filter(|(name, _)| !name.ends_with("/lr"));
        let arrays = kept.map(|(name, array)| (name.clone(), array.clone())).collect();
        Trajectory::new(Settings::default(), arrays).unwrap()
    };
    let warm_up = audit(&strip(train(&specimen::warm_up(1), &Reference))).unwrap();
    let rate = warm_up.diagnosis.findings.iter().find(|finding| finding.name == "learning-rate").unwrap();
    assert!(rate.evidence.contains("varies"), "{rate:?}");
    assert_eq!(item(&warm_up, "declared-step").observation.observed, Observed::Holds);
    let adam = audit(&strip(train(&specimen::adam(1), &Reference))).unwrap();
    assert_eq!(adam.diagnosis.optimizer.as_deref(), Some("adam"), "{:#?}", adam.diagnosis);
    approx::assert_relative_eq!(adam.diagnosis.lr.unwrap(), 0.05, max_relative = 1e-6);
    approx::assert_relative_eq!(adam.diagnosis.momentum.unwrap(), 0.9, max_relative = 1e-6);
    assert_eq!(item(&adam, "declared-step").verdict, Verdict::Undecided);
}

/// q = W x + b moves at κ times the optimizer's rate, κ = ‖x‖² + [b trained]: laws that need the rate are left undecided, and
/// nothing is accused.
#[test]
fn an_affine_encoder_is_not_judged_by_the_rate_of_its_parameters() {
    let audit = audit(&train(&specimen::frozen_bias(1), &Reference)).unwrap();
    for id in ["gradient-orthogonality", "update-orthogonality", "norm-growth", "declared-step"] {
        assert_eq!(item(&audit, id).verdict, Verdict::Confirmed, "{id}: {:?}", item(&audit, id).observation);
    }
    for id in ["quartic-growth", "heavy-ball-identity", "frequency-norm-coupling"] {
        assert_eq!(item(&audit, id).verdict, Verdict::Undecided, "{id}");
    }
}
