//! Update rules by hand: small numbers, every one worked out from the definition.

use perpend::condition::Condition;
use perpend::encoder::{Architecture, EncoderKind, Gradient, Place, two_layer};
use perpend::geometry::Table;
use perpend::loss::Loss;
use perpend::optimizer::decay::Form;
use perpend::optimizer::{Decay, Optimizer, Schedule, adagrad, adam, heavy_ball, nesterov, rowwise_adagrad, sgd};
use perpend::sampler::Batch;
use perpend::trajectory::{Rows, Similarity};
use perpend::verdict::Status;

use crate::oracle::optimizers;

/// Runs an optimizer on two rows of one number each. Each step gives the gradients of the rows, None where a row was not
/// looked up; the result is the table after every step.
fn run(optimizer: &Optimizer, start: [f64; 2], gradients: &[[Option<f64>; 2]]) -> Vec<[f64; 2]> {
    let mut table = Table::from_values(1, start.to_vec());
    let mut stepper = optimizer.start::<f64>(2, 1, &|x| x);
    let mut seen = Vec::new();
    for (t, step) in gradients.iter().enumerate() {
        let mut gradient = Gradient::zeros(2, 1);
        for (row, g) in step.iter().enumerate() {
            if let Some(g) = g {
                gradient.accumulate(row)[0] += g;
            }
        }
        stepper.step(t as u64, &optimizer.schedule().at(t as u64), &mut table, &gradient);
        seen.push([table.values()[0], table.values()[1]]);
    }
    seen
}

fn sgd(lr: f64, decay: Option<Decay>, rows: Rows) -> Optimizer {
    Optimizer::Sgd(sgd::Sgd { lr: lr.into(), decay, rows })
}

fn ball(momentum: f64, dampening: f64, decay: Option<Decay>, rows: Rows) -> Optimizer {
    Optimizer::HeavyBall(heavy_ball::HeavyBall { lr: 1.0.into(), momentum, dampening, decay, rows })
}

fn adam(betas: (f64, f64), epsilon: f64, epsilon_place: adam::EpsilonPlace, rows: Rows) -> Optimizer {
    Optimizer::Adam(adam::Adam { lr: 1.0.into(), betas, epsilon, epsilon_place, decay: None, rows })
}

fn coupled(rate: f64) -> Option<Decay> {
    Some(Decay { rate, form: Form::Coupled })
}

fn decoupled(rate: f64) -> Option<Decay> {
    Some(Decay { rate, form: Form::Decoupled })
}

const G: Option<f64> = Some(1.0);

#[test]
fn the_first_gradient_enters_the_buffer_undampened() {
    // p: 1, 0.5 + 0.75 = 1.25, 0.625 + 0.75 = 1.375.
    let seen = run(&ball(0.5, 0.25, None, Rows::Dense), [0.0; 2], &[[G, None]; 3]);
    assert_eq!(seen, [[-1.0, 0.0], [-2.25, 0.0], [-3.625, 0.0]]);
}

#[test]
fn a_dense_run_starts_every_buffer_at_its_first_step_and_a_lazy_one_at_the_first_lookup() {
    let late = [[G, None], [G, G]];
    assert_eq!(run(&ball(0.5, 0.25, None, Rows::Dense), [0.0; 2], &late)[1], [-2.25, -0.75]);
    assert_eq!(run(&ball(0.5, 0.25, None, Rows::Lazy), [0.0; 2], &late)[1], [-2.25, -1.0]);
}

#[test]
fn momentum_zero_ignores_dampening() {
    let seen = run(&ball(0.0, 0.75, None, Rows::Dense), [0.0; 2], &[[G, None]; 3]);
    assert_eq!(seen.last(), Some(&[-3.0, 0.0]));
}

#[test]
fn dense_momentum_coasts_and_lazy_momentum_waits() {
    let steps = [[G, None], [None, G], [G, None]];
    // Row 0 dense: p = 1, 0.5, 1.25. Lazy: p = 1, waits, 1.5.
    assert_eq!(
        run(&ball(0.5, 0.0, None, Rows::Dense), [0.0; 2], &steps),
        [[-1.0, 0.0], [-1.5, -1.0], [-2.75, -1.5]]
    );
    assert_eq!(run(&ball(0.5, 0.0, None, Rows::Lazy), [0.0; 2], &steps), [[-1.0, 0.0], [-1.0, -1.0], [-2.5, -1.0]]);
    let nesterov = |rows| Optimizer::Nesterov(nesterov::Nesterov { lr: 1.0.into(), momentum: 0.5, decay: None, rows });
    // g + βp: 1.5, 0.25, 1 + 0.625. Lazy: 1.5, waits, 1 + 0.75.
    let seen = run(&nesterov(Rows::Dense), [0.0; 2], &steps);
    assert_eq!(seen, [[-1.5, 0.0], [-1.75, -1.5], [-3.375, -1.75]]);
    assert_eq!(run(&nesterov(Rows::Lazy), [0.0; 2], &steps), [[-1.5, 0.0], [-1.5, -1.5], [-3.25, -1.5]]);
}

#[test]
fn decay_reaches_untouched_rows_only_where_it_is_dense() {
    let step = [[G, None]];
    for decay in [coupled(0.5), decoupled(0.5)] {
        // η = 1/4, λ = 1/2: q·(1 − 1/8), and −1/4 where a gradient arrived.
        assert_eq!(run(&sgd(0.25, decay.clone(), Rows::Dense), [8.0; 2], &step), [[6.75, 7.0]]);
        assert_eq!(run(&sgd(0.25, decay.clone(), Rows::Lazy), [8.0; 2], &step), [[6.75, 8.0]]);
    }
    // AdaGrad sees coupled decay as a gradient, normalised away: a step of η. Decoupled decay is none of its business.
    let adagrad = |decay, rows| Optimizer::Adagrad(adagrad::Adagrad { lr: 0.25.into(), epsilon: 0.0, decay, rows });
    assert_eq!(run(&adagrad(coupled(0.5), Rows::Dense), [8.0; 2], &step), [[7.75, 7.75]]);
    assert_eq!(run(&adagrad(coupled(0.5), Rows::Lazy), [8.0; 2], &step), [[7.75, 8.0]]);
    assert_eq!(run(&adagrad(decoupled(0.5), Rows::Dense), [8.0; 2], &step), [[6.75, 7.0]]);
}

#[test]
fn coupled_decay_enters_the_buffer_and_decoupled_decay_does_not() {
    let steps = [[None, Some(0.0)], [None, Some(0.0)]];
    // Coupled: g = λq = 2, 1; p = 2, 1 + 1 = 2. Decoupled: q halves, and halves again.
    assert_eq!(run(&ball(0.5, 0.0, coupled(0.5), Rows::Dense), [4.0; 2], &steps), [[2.0; 2], [0.0; 2]]);
    assert_eq!(run(&ball(0.5, 0.0, decoupled(0.5), Rows::Dense), [4.0; 2], &steps), [[2.0; 2], [1.0; 2]]);
    // The gradient was taken before the decay; the rule moves the decayed row.
    let decayed = run(&ball(0.5, 0.0, decoupled(0.5), Rows::Lazy), [4.0; 2], &[[G, None], [G, None]]);
    assert_eq!(decayed, [[1.0, 4.0], [-1.0, 4.0]]);
}

#[test]
fn decoupled_decay_follows_the_learning_rate() {
    let mut optimizer = sgd(1.0, decoupled(0.5), Rows::Dense);
    *optimizer.schedule_mut() = Schedule::List(vec![1.0, 0.0, 0.5]);
    let seen = run(&optimizer, [8.0; 2], &[[None, None]; 3]);
    assert_eq!(seen, [[4.0; 2], [4.0; 2], [3.0; 2]]);
}

#[test]
fn a_decay_of_zero_is_no_decay() {
    let steps = [[G, None]];
    assert_eq!(
        run(&sgd(0.25, coupled(0.0), Rows::Dense), [8.0; 2], &steps),
        run(&sgd(0.25, None, Rows::Dense), [8.0; 2], &steps)
    );
    assert!(matches!(sgd(0.25, coupled(0.0), Rows::Dense).status(Condition::NoDecay), Status::Met(_)));
}

#[test]
fn schedules_give_the_rate_of_every_step() {
    let at = |schedule: &Schedule| [0, 1, 2, 3, 7].map(|t| schedule.at(t));
    assert_eq!(at(&0.5.into()), [0.5; 5]);
    assert_eq!(at(&Schedule::List(vec![1.0, 0.5, 0.25])), [1.0, 0.5, 0.25, 0.25, 0.25]);
    assert_eq!(at(&Schedule::Warmup { from: 0.5, to: 2.5, steps: 4 }), [0.5, 1.0, 1.5, 2.0, 2.5]);
    assert_eq!(Schedule::Warmup { from: 0.5, to: 2.5, steps: 4 }.at(4), 2.5);
    assert_eq!(at(&Schedule::Warmup { from: 0.5, to: 2.5, steps: 0 }), [2.5; 5]);
    assert_eq!(at(&Schedule::Exponential { start: 4.0, factor: 0.5 }), [4.0, 2.0, 1.0, 0.5, 0.03125]);
}

#[test]
fn adam_without_noise_moves_by_the_rate() {
    // m̂ = g and v̂ = g² at every step while g stays, so that the step is η·sign(g), whatever the size of g.
    for g in [1e-6, 1.0, -1e6] {
        let seen =
            run(&adam((0.5, 0.75), 0.0, adam::EpsilonPlace::Corrected, Rows::Dense), [0.0; 2], &[[Some(g), None]; 4]);
        for (t, row) in seen.iter().enumerate() {
            approx::assert_relative_eq!(row[0], -g.signum() * (t + 1) as f64, max_relative = 1e-14);
            assert_eq!(row[1], 0.0);
        }
    }
}

#[test]
fn adams_epsilon_stands_after_the_correction_or_before_it() {
    // β₂ = 3/4, g = 2: v = 1, √v = 1, v̂ = 4, √v̂ = 2, m̂ = 2.
    let step = |place| run(&adam((0.5, 0.75), 1.0, place, Rows::Dense), [0.0; 2], &[[Some(2.0), None]])[0][0];
    approx::assert_relative_eq!(step(adam::EpsilonPlace::Corrected), -2.0 / (2.0 + 1.0), max_relative = 1e-15);
    // η·√(1−β₂)/(1−β₁)·m/(√v + ε) = (1/2)/(1/2)·1/(1 + 1).
    approx::assert_relative_eq!(step(adam::EpsilonPlace::Uncorrected), -0.5, max_relative = 1e-15);
}

#[test]
fn lazy_adam_corrects_its_bias_by_the_steps_of_the_run() {
    // First looked up in step 3 (the fourth): m = g/2, v = g²/4 with the corrections of t = 4.
    let steps = [[G, None], [G, None], [G, None], [None, G]];
    let seen = run(&adam((0.5, 0.75), 0.0, adam::EpsilonPlace::Corrected, Rows::Lazy), [0.0; 2], &steps);
    let expected: f64 = -(0.5 / (1.0 - 0.0625)) / (0.25 / (1.0 - 0.75_f64.powi(4))).sqrt();
    approx::assert_relative_eq!(seen[3][1], expected, max_relative = 1e-14);
    assert_eq!(seen[3][0], seen[2][0], "a lazy row waits");
    let dense = run(&adam((0.5, 0.75), 0.0, adam::EpsilonPlace::Corrected, Rows::Dense), [0.0; 2], &steps);
    assert!(dense[3][0] < dense[2][0], "a dense row keeps moving");
}

#[test]
fn adagrad_adds_its_epsilon_to_the_root() {
    let element =
        |epsilon| Optimizer::Adagrad(adagrad::Adagrad { lr: 1.0.into(), epsilon, decay: None, rows: Rows::Dense });
    let row = |epsilon| {
        Optimizer::RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad {
            lr: 1.0.into(),
            epsilon,
            decay: None,
            rows: Rows::Dense,
        })
    };
    for optimizer in [element(1.0), row(1.0)] {
        // G = 9, 25: 3/(3 + 1), then 4/(5 + 1).
        let seen = run(&optimizer, [0.0; 2], &[[Some(3.0), None], [Some(4.0), None]]);
        approx::assert_relative_eq!(seen[0][0], -0.75, max_relative = 1e-15);
        approx::assert_relative_eq!(seen[1][0], -0.75 - 4.0 / 6.0, max_relative = 1e-15);
    }
}

#[test]
fn rowwise_adagrad_has_one_mean_square_a_row() {
    let optimizer = rowwise_adagrad::RowwiseAdagrad { lr: 1.0.into(), epsilon: 0.0, decay: None, rows: Rows::Dense };
    let mut stepper = Optimizer::RowwiseAdagrad(optimizer).start::<f64>(2, 2, &|x| x);
    let mut table = Table::filled(2, 2, 0.0);
    let mut gradient = Gradient::zeros(2, 2);
    gradient.accumulate(1).copy_from_slice(&[1.0, 7.0]);
    stepper.step(0, &1.0, &mut table, &gradient);
    // mean(1, 49) = 25.
    for (found, expected) in table.values().iter().zip([0.0, 0.0, -0.2, -1.4]) {
        approx::assert_relative_eq!(*found, expected, max_relative = 1e-15);
    }
}

#[test]
fn a_zero_gradient_moves_no_fresh_row_under_any_optimizer_without_decay() {
    let place = adam::EpsilonPlace::Corrected;
    let mut all: Vec<Optimizer> = [Rows::Dense, Rows::Lazy].into_iter().flat_map(optimizers).collect();
    all.push(adam((0.9, 0.999), 0.0, place, Rows::Dense));
    all.push(Optimizer::Adagrad(adagrad::Adagrad {
        lr: 1.0.into(),
        epsilon: 0.0,
        decay: None,
        rows: Rows::Dense,
    }));
    all.push(Optimizer::RowwiseAdagrad(rowwise_adagrad::RowwiseAdagrad {
        lr: 1.0.into(),
        epsilon: 0.0,
        decay: None,
        rows: Rows::Dense,
    }));
    for optimizer in all.iter().filter(|optimizer| optimizer.decay().is_none()) {
        let seen = run(optimizer, [3.0, -2.0], &[[Some(0.0), None]; 3]);
        assert_eq!(seen, [[3.0, -2.0]; 3], "{optimizer:?}");
    }
}

/// `ScalarStep` and its causes say what the rule does: one step is a multiple of the gradient exactly where it is met.
#[test]
fn a_declared_scalar_step_is_a_multiple_of_the_gradient() {
    let gradients = [[1.0, 2.0], [-2.0, 1.0], [0.5, -3.0]];
    for optimizer in [Rows::Dense, Rows::Lazy].into_iter().flat_map(optimizers) {
        let mut stepper = optimizer.start::<f64>(1, 2, &|x| x);
        let mut table = Table::from_values(2, vec![1.0, 0.5]);
        let mut leak = 0.0_f64;
        for (t, g) in gradients.iter().enumerate() {
            let before = table.clone();
            let mut gradient = Gradient::zeros(1, 2);
            gradient.accumulate(0).copy_from_slice(g);
            stepper.step(t as u64, &optimizer.schedule().at(t as u64), &mut table, &gradient);
            let step: Vec<f64> = table.values().iter().zip(before.values()).map(|(a, b)| a - b).collect();
            leak = leak.max((step[0] * g[1] - step[1] * g[0]).abs());
        }
        let scalar = matches!(optimizer.status(Condition::ScalarStep), Status::Met(_));
        assert!(if scalar { leak < 1e-14 } else { leak > 1e-4 }, "{optimizer:?}: {leak}");
        let causes = [Condition::NoMomentum, Condition::NoDecay, Condition::NoCoordinateScaling];
        let all = causes.iter().all(|&cause| matches!(optimizer.status(cause), Status::Met(_)));
        assert_eq!(scalar, all, "{optimizer:?}");
        assert_eq!(matches!(optimizer.status(Condition::NoDecay), Status::Met(_)), optimizer.decay().is_none());
    }
}

#[test]
fn one_candidate_alone_has_no_loss_and_no_gradient() {
    for similarity in [Similarity::Cosine, Similarity::Dot] {
        let loss = Loss::info_nce(similarity, 0.5);
        let batch = Batch { users: vec![0], positives: vec![0], ..Batch::default() };
        let rows = |x: [f64; 2]| Table::from_values(2, x.to_vec());
        let found = loss.evaluate(&rows([1.0, 2.0]), &rows([3.0, -1.0]), &batch);
        assert_eq!((found.loss, found.users.values(), found.items.values()), (0.0, &[0.0; 2][..], &[0.0; 2][..]));
    }
}

#[test]
fn the_clamp_begins_strictly_below_epsilon() {
    let loss = Loss { epsilon: 5.0, ..Loss::info_nce(Similarity::Cosine, 1.0) };
    let batch = Batch { users: vec![0], positives: vec![0], negatives: vec![vec![0]], ..Batch::default() };
    let users = Table::from_values(2, vec![5.0, 0.0]);
    let radial = |q: [f64; 2]| {
        let items = Table::from_values(2, vec![q[0], q[1], 0.0, 5.0]);
        let gradient = loss.evaluate(&users, &items, &batch).items;
        q[0] * gradient.values()[0] + q[1] * gradient.values()[1]
    };
    assert!(radial([3.0, 4.0]).abs() < 1e-16, "at ε the norm is used");
    assert!(radial([3.0, 3.9]) < -1e-2, "below ε the embedding enters linearly");
    assert_eq!(radial([0.0, 0.0]), 0.0);
}

#[test]
fn a_unit_at_its_kink_passes_nothing_on() {
    let network = EncoderKind::TwoLayer(two_layer::TwoLayer { features: 1, hidden: 2 });
    let encoder = network.build::<f64>(Place { dim: 1, own: 0, other: 2 }, Table::from_values(1, vec![1.0]).into());
    let tables = [Table::from_values(2, vec![0.0, 2.0]), Table::from_values(2, vec![3.0, 5.0])];
    assert_eq!(encoder.encode(&tables, 0), [10.0]);
    let mut gradients = [Gradient::zeros(1, 2), Gradient::zeros(1, 2)];
    encoder.backward(&tables, 0, &[1.0], &mut gradients);
    assert_eq!((gradients[0].row(0), gradients[1].row(0)), (&[0.0, 5.0][..], &[0.0, 2.0][..]));
}
