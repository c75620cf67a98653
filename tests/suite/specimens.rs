//! Mistakes of public code, as scenarios and faults of our own, each with the claim that catches it and a control that the
//! claim does not accuse.

use std::collections::BTreeMap;

use perpend::Result;
use perpend::audit::{Audit, audit};
use perpend::claims::specimen::{self, redeclare};
use perpend::loss::{EpsilonOn, Loss};
use perpend::optimizer::rowwise_adagrad::RowwiseAdagrad;
use perpend::optimizer::update::{Rounding, Storage, Update};
use perpend::optimizer::{Optimizer, adagrad::Adagrad, heavy_ball::HeavyBall, sgd::Sgd};
use perpend::reference::{Fault, Faulty, Reference, Session, StepOutcome};
use perpend::rounding::Precision;
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trainer::Trainer;
use perpend::trajectory::{Array, EpsOn, Rows, Settings, Side, Trajectory};
use perpend::verdict::Verdict;

const SEEDS: u64 = 4;

fn run(scenario: &Scenario, trainer: &dyn Trainer, header: fn(&mut Settings)) -> Audit {
    let trajectory = trainer.train(&scenario.materialise().unwrap()).unwrap();
    let mut settings = trajectory.settings().clone();
    header(&mut settings);
    audit(&trajectory.with_settings(settings).unwrap()).unwrap()
}

fn verdict(audit: &Audit, claim: &str) -> Verdict {
    audit.claim(claim, Some(Side::Item)).unwrap_or_else(|| panic!("{claim} is audited")).verdict
}

/// The claims catch it in every seed, in what is said and what is done.
fn caught_by(claims: &[&str], audit: &Audit) {
    for claim in claims {
        assert_eq!(verdict(audit, claim), Verdict::Violated, "{claim}: {:?}", audit.claim(claim, Some(Side::Item)));
    }
}

fn accused_of_nothing(audit: &Audit) {
    let violated = audit.claims.iter().find(|judged| judged.verdict == Verdict::Violated);
    assert!(violated.is_none(), "{violated:?}");
}

fn as_it_is(_: &mut Settings) {}

fn rowwise_adagrad() -> Optimizer {
    Optimizer::RowwiseAdagrad(RowwiseAdagrad { lr: 0.1.into(), epsilon: 0.0, decay: None, rows: Rows::Dense })
}

/// A trainer whose item rows move by what `step` makes of their gradient and their accumulator, while the header declares
/// row-wise AdaGrad. Only rows with a gradient move.
struct Accumulating(fn(gradient: &[f64], accumulator: &mut f64) -> Vec<f64>);

impl Trainer for Accumulating {
    fn name(&self) -> String {
        "one accumulator a row".into()
    }
    fn train(&self, asked: &Materialised) -> Result<Trajectory> {
        // Rows that SGD with the rate 1 moves by what it is given.
        let mut scenario = asked.scenario.clone();
        let rate = scenario.item.optimizer.schedule().at(0);
        scenario.item.optimizer = Optimizer::Sgd(Sgd { lr: 1.0.into(), decay: None, rows: Rows::Dense });
        let mut session = Session::<f64>::new(&scenario.materialise()?);
        let (rows, dim, steps) = (scenario.item.rows, scenario.dim, scenario.steps);
        let mut accumulators = vec![0.0; rows];
        let (mut q, mut gradients, mut ids) = (vec![], vec![], vec![]);
        for batch in &asked.batches {
            (0..rows).for_each(|row| q.extend(session.embedding(Side::Item, row)));
            let outcome = session.evaluate(batch);
            let mut recorded = vec![0.0; rows * dim];
            let mut moved = outcome.item.clone();
            for (row, gradient) in &mut moved.rows {
                recorded[*row * dim..][..dim].copy_from_slice(gradient);
                *gradient = (self.0)(gradient, &mut accumulators[*row]).iter().map(|step| rate * step).collect();
            }
            ids.extend(outcome.item.slots.iter().map(|&row| row as i64));
            gradients.extend(recorded);
            session.apply(&StepOutcome { item: moved, ..outcome });
        }
        (0..rows).for_each(|row| q.extend(session.embedding(Side::Item, row)));
        let arrays = BTreeMap::from([
            ("item/q".to_string(), Array::from_f64(&[steps + 1, rows, dim], &q)),
            ("item/grad".to_string(), Array::from_f64(&[steps, rows, dim], &gradients)),
            ("item/ids".to_string(), Array::from_i64(&[steps, ids.len() / steps], &ids)),
            ("item/lr".to_string(), Array::from_f64(&[steps], &vec![rate; steps])),
        ]);
        Trajectory::new(Reference.train(asked)?.settings().clone(), arrays)
    }
}

fn mean(values: impl Iterator<Item = f64>, count: usize) -> f64 {
    values.sum::<f64>() / count as f64
}

/// As it should be: G ← G + mean(g²), Δq ∝ g/√G.
fn right(gradient: &[f64], accumulator: &mut f64) -> Vec<f64> {
    *accumulator += mean(gradient.iter().map(|g| g * g), gradient.len());
    gradient.iter().map(|g| g / accumulator.sqrt()).collect()
}

/// Mean and square in the other order, and the mean gradient for every coordinate: all coordinates move equally.
fn every_coordinate_equally(gradient: &[f64], accumulator: &mut f64) -> Vec<f64> {
    let mean = mean(gradient.iter().copied(), gradient.len());
    *accumulator += mean * mean;
    vec![mean / accumulator.sqrt(); gradient.len()]
}

#[test]
fn rowwise_adagrad_that_moves_every_coordinate_equally_is_caught_by_update_orthogonality() {
    for seed in 0..SEEDS {
        let scenario = specimen::with_optimizer(seed, rowwise_adagrad());
        let wrong = run(&scenario, &Accumulating(every_coordinate_equally), as_it_is);
        caught_by(&["update-orthogonality", "declared-step"], &wrong);
        assert_ne!(verdict(&wrong, "gradient-orthogonality"), Verdict::Violated, "the gradients are right");
        let control = run(&scenario, &Accumulating(right), as_it_is);
        accused_of_nothing(&control);
        assert_eq!(verdict(&control, "declared-step"), Verdict::Confirmed);
    }
}

/// In its first step such a row moves along (1, …, 1) by the rate, whatever the size of its gradient: ⟨q,Δq⟩ = ±η·Σq_k, which at
/// (3, 4) is 7η.
#[test]
fn its_first_step_is_seven_times_the_rate_at_three_four() {
    for (gradient, sign) in [([-16.0, 12.0], 1.0), ([12.0, -9.0], -1.0)] {
        let step = every_coordinate_equally(&gradient, &mut 0.0);
        assert_eq!(-(3.0 * step[0] + 4.0 * step[1]), 7.0 * sign);
    }
}

#[test]
fn element_wise_adagrad_where_row_wise_is_declared_is_caught_by_update_orthogonality() {
    fn declare_rowwise(settings: &mut Settings) {
        redeclare(settings, |optimizer| optimizer.name = Some("rowwise-adagrad".into()));
    }
    for seed in 0..SEEDS {
        // What a dense gradient falls back on.
        let element_wise = Adagrad { lr: 0.1.into(), epsilon: 0.0, decay: None, rows: Rows::Dense };
        let scenario = specimen::with_optimizer(seed, Optimizer::Adagrad(element_wise));
        caught_by(&["update-orthogonality", "declared-step"], &run(&scenario, &Reference, declare_rowwise));
        accused_of_nothing(&run(&scenario, &Reference, as_it_is));
        let row_wise = run(&specimen::with_optimizer(seed, rowwise_adagrad()), &Reference, as_it_is);
        assert_eq!(verdict(&row_wise, "update-orthogonality"), Verdict::Confirmed);
    }
}

#[test]
fn lazy_momentum_that_is_declared_dense_is_caught_by_the_heavy_ball_identity() {
    fn declare(settings: &mut Settings, rows: Rows) {
        redeclare(
            settings,
            match rows {
                Rows::Dense => |optimizer| optimizer.sparse = Some(Rows::Dense),
                Rows::Lazy => |optimizer| optimizer.sparse = Some(Rows::Lazy),
            },
        );
    }
    let ball = |rows| {
        let (lr, momentum, dampening, decay) = (0.5.into(), 0.9, 0.0, None);
        Optimizer::HeavyBall(HeavyBall { lr, momentum, dampening, decay, rows })
    };
    for seed in 0..SEEDS {
        let [dense, lazy] = [Rows::Dense, Rows::Lazy].map(|rows| specimen::with_optimizer(seed, ball(rows)));
        let lazy_as_dense = run(&lazy, &Reference, |settings| declare(settings, Rows::Dense));
        caught_by(&["heavy-ball-identity", "declared-step"], &lazy_as_dense);
        let dense_as_lazy = run(&dense, &Reference, |settings| declare(settings, Rows::Lazy));
        caught_by(&["heavy-ball-identity", "declared-step"], &dense_as_lazy);
        for scenario in [&dense, &lazy] {
            let honest = run(scenario, &Reference, as_it_is);
            accused_of_nothing(&honest);
            assert_eq!(verdict(&honest, "heavy-ball-identity"), Verdict::Confirmed);
        }
    }
}

/// The ε of bfloat16, 2⁻⁷, meant for the norm and put on its square, is a floor of 0.088 in place of 0.0078: short rows are then not
/// normalised at all.
#[test]
fn an_epsilon_on_the_squared_norm_in_bfloat16_is_caught_by_gradient_orthogonality() {
    fn declare_on_the_norm(settings: &mut Settings) {
        settings.eps_on = Some(EpsOn::Norm);
    }
    let short = |seed, epsilon_on| {
        let mut scenario = specimen::plain(seed);
        scenario.loss = Loss { epsilon: 2.0_f64.powi(-7), epsilon_on, ..scenario.loss };
        scenario.item.initial = Initial::Normal { std: 0.025 };
        *scenario.item.optimizer.schedule_mut() = 1e-5.into();
        let storage = Some(Storage { format: Precision::Bf16, rounding: Rounding::Nearest });
        scenario.item.update = Update { storage, ..Update::default() };
        scenario
    };
    for seed in 0..SEEDS {
        let wrong = run(&short(seed, EpsilonOn::Norm2), &Reference, declare_on_the_norm);
        caught_by(&["gradient-orthogonality"], &wrong);
        accused_of_nothing(&run(&short(seed, EpsilonOn::Norm2), &Reference, as_it_is));
        let right = run(&short(seed, EpsilonOn::Norm), &Reference, as_it_is);
        accused_of_nothing(&right);
    }
}

#[test]
fn duplicates_of_which_the_last_wins_are_caught_by_declared_step_alone() {
    for seed in 0..SEEDS {
        let scenario = specimen::plain(seed);
        let wrong = run(&scenario, &Faulty(Fault::LastWriteWins), as_it_is);
        caught_by(&["declared-step"], &wrong);
        for blind in ["gradient-orthogonality", "update-orthogonality", "norm-growth"] {
            assert_eq!(verdict(&wrong, blind), Verdict::Confirmed, "{blind} sees nothing");
        }
        assert!(
            wrong.diagnosis.findings.iter().any(|finding| finding.name == "lost-duplicates"),
            "the cause is named"
        );
        accused_of_nothing(&run(&scenario, &Reference, as_it_is));
    }
}
