//! The rules beyond SGD, Adam and AdaGrad against a second implementation, table by table as the frameworks' sources have
//! them; first steps by hand; and what happens around a rule.

use perpend::condition::Condition;
use perpend::encoder::Gradient;
use perpend::geometry::{Table, dot, norm};
use perpend::number::Running;
use perpend::optimizer::constraint::Constraint;
use perpend::optimizer::decay::Form;
use perpend::optimizer::projection::{Projection, View};
use perpend::optimizer::update::{Clip, Rounding, Stages, Storage, Update};
use perpend::optimizer::{Decay, Optimizer, Schedule, adamp, amsgrad, heavy_ball, lamb, lars, lion};
use perpend::optimizer::{riemannian_sgd, rmsprop, rowwise_adam, sgd, sgdp, sign_sgd};
use perpend::reference::{Reference, Session};
use perpend::rounding::Precision;
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;
use perpend::trajectory::{DeclaredOptimizer, Rows, Settings, Side};
use perpend::verdict::{Status, Verdict};
use rayon::prelude::*;

use crate::support::{random, signed};

type Rows2 = Vec<Vec<f64>>;

fn decay(rate: f64, form: Form) -> Option<Decay> {
    Some(Decay { rate, form })
}

/// Every kind that this file knows, with several settings.
pub fn further_optimizers(rows: Rows) -> Vec<Optimizer> {
    let lr = || Schedule::Constant(0.125);
    let betas = (0.875, 0.96875);
    let epsilon = 0.0078125;
    let mut all = Vec::new();
    for decay in [None, decay(0.25, Form::Coupled), decay(0.25, Form::Decoupled)] {
        let decay = || decay.clone();
        all.push(Optimizer::Rmsprop(rmsprop::Rmsprop { lr: lr(), alpha: 0.75, epsilon, decay: decay(), rows }));
        all.push(Optimizer::Amsgrad(amsgrad::Amsgrad { lr: lr(), betas, epsilon, decay: decay(), rows }));
        all.push(Optimizer::RowwiseAdam(rowwise_adam::RowwiseAdam { lr: lr(), betas, epsilon, decay: decay(), rows }));
        all.push(Optimizer::Lion(lion::Lion { lr: lr(), betas: (0.75, 0.5), decay: decay(), rows }));
        all.push(Optimizer::SignSgd(sign_sgd::SignSgd { lr: lr(), decay: decay(), rows }));
        for (momentum, trust) in [(0.0, 0.5), (0.75, 0.25)] {
            all.push(Optimizer::Lars(lars::Lars { lr: lr(), momentum, trust, epsilon, decay: decay(), rows }));
        }
        all.push(Optimizer::Lamb(lamb::Lamb { lr: lr(), betas, epsilon, decay: decay(), rows }));
        for (view, delta) in
            [(View::Always, 0.1), (View::Row, 0.75), (View::RowThenTable, 0.75), (View::RowThenTable, 8.0)]
        {
            let projection = || Projection { view, delta, decay_ratio: 0.25 };
            all.push(Optimizer::Sgdp(sgdp::Sgdp {
                lr: lr(),
                momentum: 0.75,
                dampening: 0.25,
                epsilon,
                projection: projection(),
                decay: decay(),
                rows,
            }));
            let projection = projection();
            all.push(Optimizer::Adamp(adamp::Adamp { lr: lr(), betas, epsilon, projection, decay: decay(), rows }));
        }
        all.push(Optimizer::RiemannianSgd(riemannian_sgd::RiemannianSgd { lr: lr(), decay: decay(), rows }));
    }
    all
}

fn length(v: &[f64]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn inner(u: &[f64], v: &[f64]) -> f64 {
    u.iter().zip(v).map(|(a, b)| a * b).sum()
}

fn zip(u: &[f64], v: &[f64], f: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    u.iter().zip(v).map(|(&a, &b)| f(a, b)).collect()
}

/// a/b, and 0 for 0/0.
fn quotient(a: f64, b: f64) -> f64 {
    if a == 0.0 { 0.0 } else { a / b }
}

/// The state of one table: a first and a second moment, the largest second moment, the initial norms.
struct Textbook {
    first: Rows2,
    second: Rows2,
    largest: Rows2,
    initial: Vec<f64>,
    /// How often a step was projected by rows, as a table, and not.
    plans: [usize; 3],
}

impl Textbook {
    fn new(start: &Rows2) -> Self {
        let zeros: Rows2 = start.iter().map(|row| vec![0.0; row.len()]).collect();
        let initial = start.iter().map(|row| length(row)).collect();
        Textbook { first: zeros.clone(), second: zeros.clone(), largest: zeros, initial, plans: [0; 3] }
    }

    /// m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², m̂/(√v̂ + ε) of the visited rows.
    fn adam(
        &mut self,
        (b1, b2): (f64, f64),
        epsilon: f64,
        t: i32,
        g: &Rows2,
        visited: &[usize],
        amsgrad: bool,
    ) -> Rows2 {
        let mut directions = vec![vec![]; g.len()];
        for &i in visited {
            self.first[i] = zip(&self.first[i], &g[i], |m, g| b1 * m + (1.0 - b1) * g);
            self.second[i] = zip(&self.second[i], &g[i], |v, g| b2 * v + (1.0 - b2) * g * g);
            self.largest[i] = zip(&self.largest[i], &self.second[i], f64::max);
            let v = if amsgrad { &self.largest[i] } else { &self.second[i] };
            directions[i] = zip(&self.first[i], v, |m, v| {
                let (m, v) = (m / (1.0 - b1.powi(t)), v / (1.0 - b2.powi(t)));
                quotient(m, v.sqrt() + epsilon)
            });
        }
        directions
    }

    /// The package's projection: by rows, as a whole, or not at all; and what it makes of the decay.
    fn project(
        &mut self,
        p: &Projection,
        epsilon: f64,
        w: &Rows2,
        raw: &Rows2,
        d: Rows2,
        visited: &[usize],
    ) -> (Rows2, f64) {
        let cosine = |g: &[f64], w: &[f64]| (inner(g, w) / length(g).max(epsilon) / length(w).max(epsilon)).abs();
        let worst = w.iter().zip(raw).map(|(w, g)| cosine(g, w)).fold(0.0, f64::max);
        let (flat_w, flat_g) = (w.concat(), raw.concat());
        let mut d = d;
        if p.view == View::Always || worst < p.delta / (w[0].len() as f64).sqrt() {
            for &i in visited {
                let n: Vec<f64> = w[i].iter().map(|x| x / (length(&w[i]) + epsilon)).collect();
                let radial = inner(&n, &d[i]);
                d[i] = zip(&d[i], &n, |d, n| d - radial * n);
            }
            self.plans[0] += 1;
            (d, p.decay_ratio)
        } else if p.view == View::RowThenTable && cosine(&flat_g, &flat_w) < p.delta / (flat_w.len() as f64).sqrt() {
            let size = length(&flat_w) + epsilon;
            let radial: f64 = visited.iter().map(|&i| inner(&w[i], &d[i]) / size).sum();
            for &i in visited {
                d[i] = zip(&d[i], &w[i], |d, w| d - radial * w / size);
            }
            self.plans[1] += 1;
            (d, p.decay_ratio)
        } else {
            self.plans[2] += 1;
            (d, 1.0)
        }
    }

    /// One step, t from 1.
    fn step(&mut self, optimizer: &Optimizer, t: i32, lr: f64, w: &mut Rows2, raw: &Rows2, touched: &[bool]) {
        let visited: Vec<usize> = (0..w.len()).filter(|&i| touched[i] || optimizer.rows() == Rows::Dense).collect();
        let (mut l2, mut shrink) = (0.0, 0.0);
        match optimizer.decay() {
            Some(Decay { rate, form: Form::Coupled }) => l2 = *rate,
            Some(Decay { rate, form: Form::Decoupled }) => shrink = *rate,
            None => {}
        }
        let g: Rows2 = raw.iter().zip(w.iter()).map(|(g, w)| zip(g, w, |g, w| g + l2 * w)).collect();
        let old = w.clone();
        let mut scale = vec![lr; w.len()];
        let direction: Rows2 = match optimizer {
            Optimizer::Rmsprop(o) => {
                let mut d = vec![vec![]; w.len()];
                for &i in &visited {
                    self.second[i] = zip(&self.second[i], &g[i], |v, g| o.alpha * v + (1.0 - o.alpha) * g * g);
                    d[i] = zip(&g[i], &self.second[i], |g, v| quotient(g, v.sqrt() + o.epsilon));
                }
                d
            }
            Optimizer::Amsgrad(o) => self.adam(o.betas, o.epsilon, t, &g, &visited, true),
            Optimizer::RowwiseAdam(o) => {
                let (b1, b2) = o.betas;
                let mut d = vec![vec![]; w.len()];
                for &i in &visited {
                    let mean = g[i].iter().map(|g| g * g).sum::<f64>() / g[i].len() as f64;
                    self.first[i] = zip(&self.first[i], &g[i], |m, g| b1 * m + (1.0 - b1) * g);
                    self.second[i][0] = b2 * self.second[i][0] + (1.0 - b2) * mean;
                    let root = (self.second[i][0] / (1.0 - b2.powi(t))).sqrt() + o.epsilon;
                    d[i] = self.first[i].iter().map(|m| quotient(m / (1.0 - b1.powi(t)), root)).collect();
                }
                d
            }
            Optimizer::Lion(o) => {
                let (b1, b2) = o.betas;
                let mut d = vec![vec![]; w.len()];
                for &i in &visited {
                    d[i] = zip(&self.first[i], &g[i], |m, g| {
                        let c = b1 * m + (1.0 - b1) * g;
                        if c == 0.0 { 0.0 } else { c.signum() }
                    });
                    self.first[i] = zip(&self.first[i], &g[i], |m, g| b2 * m + (1.0 - b2) * g);
                }
                d
            }
            Optimizer::SignSgd(_) => {
                let sign = |g: &f64| if *g == 0.0 { 0.0 } else { g.signum() };
                g.iter().map(|g| g.iter().map(sign).collect()).collect()
            }
            Optimizer::Lars(o) => {
                for &i in &visited {
                    // Decoupled decay has shrunk the row before its norm is taken.
                    let q: Vec<f64> = w[i].iter().map(|x| x * (1.0 - lr * shrink)).collect();
                    let ratio = match (length(&q), length(&g[i])) {
                        (q, g) if q == 0.0 || g == 0.0 => 1.0,
                        (q, g) => o.trust * q / (g + o.epsilon),
                    };
                    // The buffer holds steps, rates included.
                    scale[i] = 1.0;
                    self.first[i] = zip(&self.first[i], &g[i], |p, g| o.momentum * p + lr * ratio * g);
                }
                self.first.clone()
            }
            Optimizer::Lamb(o) => {
                let mut r = self.adam(o.betas, o.epsilon, t, &g, &visited, false);
                for &i in &visited {
                    r[i] = zip(&r[i], &w[i], |r, w| r + shrink * w);
                    scale[i] = match (length(&w[i]), length(&r[i])) {
                        (w, r) if w == 0.0 || r == 0.0 => lr,
                        (w, r) => lr * w / r,
                    };
                }
                shrink = 0.0;
                r
            }
            Optimizer::Sgdp(o) => {
                for &i in &visited {
                    self.first[i] = zip(&self.first[i], &g[i], |p, g| o.momentum * p + (1.0 - o.dampening) * g);
                }
                let (d, ratio) = self.project(&o.projection, o.epsilon, &old, raw, self.first.clone(), &visited);
                shrink *= ratio / (1.0 - o.momentum);
                d
            }
            Optimizer::Adamp(o) => {
                let d = self.adam(o.betas, o.epsilon, t, &g, &visited, false);
                let (d, ratio) = self.project(&o.projection, o.epsilon, &old, raw, d, &visited);
                shrink *= ratio;
                d
            }
            Optimizer::RiemannianSgd(_) => {
                let tangent = |(g, w): (&Vec<f64>, &Vec<f64>)| {
                    let radial = inner(g, w) / inner(w, w);
                    zip(g, w, |g, w| g - radial * w)
                };
                g.iter().zip(w.iter()).map(tangent).collect()
            }
            other => panic!("{other:?} is judged elsewhere"),
        };
        for &i in &visited {
            w[i] = zip(&w[i], &direction[i], |w, d| w * (1.0 - lr * shrink) - scale[i] * d);
            if matches!(optimizer, Optimizer::RiemannianSgd(_)) {
                let factor = self.initial[i] / length(&w[i]);
                w[i].iter_mut().for_each(|x| *x *= factor);
            }
        }
    }
}

/// Trained on numbers that carry their rounding bound; twice the bound, as both sides round.
#[test]
fn further_rules_match_their_sources_over_twelve_steps_of_given_gradients() {
    type Number = Running<53>;
    const STEPS: usize = 12;
    let (rows, width) = (5, 3);
    let mut random = random(7);
    let mut plans = [0; 3];
    let (mut compared, mut sharp) = (0, 0);
    for optimizer in [Rows::Dense, Rows::Lazy].into_iter().flat_map(further_optimizers) {
        let mut weights: Rows2 = (0..rows).map(|_| (0..width).map(|_| signed(&mut random)).collect()).collect();
        let mut table =
            Table::from_values(width, weights.concat().iter().map(|&x| Number::uncertain(x, 0.0)).collect());
        let number = |x: f64| Number::uncertain(x, 0.0);
        let mut stepper = optimizer.start::<Number>(rows, width, &number);
        let mut textbook = Textbook::new(&weights);
        for t in 0..STEPS {
            let mut gradient = Gradient::zeros(rows, width);
            let mut raw = vec![vec![0.0; width]; rows];
            // Row 0 always, row 4 never, row 3 late, the others every other step.
            let touched: Vec<bool> =
                (0..rows).map(|row| row == 0 || row == 3 && t > 5 || row < 3 && (t + row) % 2 == 0).collect();
            for row in (0..rows).filter(|&row| touched[row]) {
                // Gradients nearly across the row and steep ones take turns, and one in seven steps brings zeros.
                raw[row].fill_with(|| if t % 7 == 6 { 0.0 } else { signed(&mut random) });
                if t % 2 == 0 {
                    let radial = inner(&raw[row], &weights[row]) / inner(&weights[row], &weights[row]);
                    raw[row] = zip(&raw[row], &weights[row], |g, w| g - radial * w);
                }
                gradient.accumulate(row).iter_mut().zip(&raw[row]).for_each(|(place, &g)| *place = number(g));
            }
            let lr = [0.125, 0.0, 0.0625][t % 3];
            stepper.step(t as u64, &number(lr), &mut table, &gradient);
            textbook.step(&optimizer, t as i32 + 1, lr, &mut weights, &raw, &touched);
            for (found, expected) in table.values().iter().zip(weights.concat()) {
                let allowed = 2.0 * found.error();
                assert!(
                    (found.value() - expected).abs() <= allowed,
                    "{optimizer:?} step {t}: {expected}, found {found:?}"
                );
                compared += 1;
                sharp += usize::from(allowed < 1e-10);
            }
        }
        plans.iter_mut().zip(textbook.plans).for_each(|(all, own)| *all += own);
    }
    assert!(compared > 10_000 && sharp * 10 > compared * 9, "{sharp} of {compared} are certain to ten digits");
    assert!(plans.iter().all(|&count| count > 10), "by rows, as a table, not at all: {plans:?}");
}

const W4: [f64; 2] = [3.0, 4.0];
/// The gradients of −cos at (3, 4) for the users e₁ and e₂, times 125.
const G: [[f64; 2]; 2] = [[-16.0, 12.0], [12.0, -9.0]];

fn first_step(optimizer: &Optimizer, update: &Update, gradient: [f64; 2]) -> [f64; 2] {
    let mut stepper = optimizer.start::<f64>(1, 2, &|x| x).within(update, 1, &|x| x);
    let mut table = Table::from_values(2, W4.to_vec());
    let mut given = Gradient::zeros(1, 2);
    given.accumulate(0).copy_from_slice(&gradient);
    stepper.step(0, &optimizer.schedule().at(0), &mut table, &given);
    [table.values()[0] - W4[0], table.values()[1] - W4[1]]
}

fn radial(step: [f64; 2]) -> f64 {
    dot(&W4, &step)
}

#[test]
fn a_first_step_by_signs_is_inward_for_one_user_and_outward_for_the_other() {
    let (rows, decay, epsilon) = (Rows::Dense, || None, 0.0);
    let lr = || Schedule::Constant(0.5);
    for optimizer in [
        Optimizer::SignSgd(sign_sgd::SignSgd { lr: lr(), decay: decay(), rows }),
        Optimizer::Lion(lion::Lion { lr: lr(), betas: (0.5, 0.75), decay: decay(), rows }),
        Optimizer::Amsgrad(amsgrad::Amsgrad { lr: lr(), betas: (0.5, 0.75), epsilon, decay: decay(), rows }),
        Optimizer::Rmsprop(rmsprop::Rmsprop { lr: lr(), alpha: 0.0, epsilon, decay: decay(), rows }),
    ] {
        // η(1, −1) and η(−1, 1) against (3, 4): −η and +η, up to the rounding of the bias corrections.
        for (gradient, expected) in G.into_iter().zip([-0.5, 0.5]) {
            let found = radial(first_step(&optimizer, &Update::default(), gradient));
            approx::assert_abs_diff_eq!(found, expected, epsilon = 1e-14);
        }
    }
}

#[test]
fn clipping_every_coordinate_turns_the_gradient_inward() {
    // (−16, 12)/125 at 12/125: (−12, 12)/125, so −12η/125; here times 125, η = 1.
    let sgd = Optimizer::Sgd(sgd::Sgd { lr: 1.0.into(), decay: None, rows: Rows::Dense });
    let clip = |limit| Update { clip: Some(Clip::Value(limit)), ..Update::default() };
    assert_eq!(radial(first_step(&sgd, &clip(12.0), G[0])), -12.0);
    assert_eq!(first_step(&sgd, &clip(12.0), G[0]), [12.0, -12.0]);
    assert_eq!(first_step(&sgd, &clip(16.0), G[0]), [16.0, -12.0]);
}

#[test]
fn a_row_has_one_second_moment_and_one_trust_ratio() {
    let rows = Rows::Dense;
    let lr = || Schedule::Constant(1.0);
    // mean(16², 12²) = 200, v̂ = 200, m̂ = g.
    let adam = rowwise_adam::RowwiseAdam { lr: lr(), betas: (0.5, 0.75), epsilon: 0.0, decay: None, rows };
    let found = first_step(&Optimizer::RowwiseAdam(adam), &Update::default(), G[0]);
    approx::assert_relative_eq!(found[0], 16.0 / 200.0_f64.sqrt(), max_relative = 1e-14);
    approx::assert_relative_eq!(found[1], -12.0 / 200.0_f64.sqrt(), max_relative = 1e-14);
    // ‖q‖ = 5, ‖g‖ = 20: a quarter of the gradient, times the coefficient.
    let lars = lars::Lars { lr: lr(), momentum: 0.0, trust: 0.5, epsilon: 0.0, decay: None, rows };
    assert_eq!(first_step(&Optimizer::Lars(lars), &Update::default(), G[0]), [2.0, -1.5]);
    // Signs have the norm √2: the step has the length of the row.
    let lamb = lamb::Lamb { lr: lr(), betas: (0.5, 0.75), epsilon: 0.0, decay: None, rows };
    let found = first_step(&Optimizer::Lamb(lamb), &Update::default(), G[0]);
    approx::assert_relative_eq!(found[0], 5.0 / 2.0_f64.sqrt(), max_relative = 1e-14);
    approx::assert_relative_eq!(found[1], -5.0 / 2.0_f64.sqrt(), max_relative = 1e-14);
}

#[test]
fn the_largest_second_moment_stays() {
    // g = 4, then 0: v falls, V stays, so that the second step is m̂/√(V/(1−β₂²)).
    let (b1, b2) = (0.5, 0.75);
    let rule = amsgrad::Amsgrad { lr: 1.0.into(), betas: (b1, b2), epsilon: 0.0, decay: None, rows: Rows::Dense };
    let mut stepper = Optimizer::Amsgrad(rule).start::<f64>(1, 1, &|x| x);
    let mut table = Table::from_values(1, vec![0.0]);
    let mut gradient = Gradient::zeros(1, 1);
    gradient.accumulate(0)[0] = 4.0;
    stepper.step(0, &1.0, &mut table, &gradient);
    gradient.clear();
    let before = table.values()[0];
    stepper.step(1, &1.0, &mut table, &gradient);
    // m = 1, m̂ = 4/3; V = 4, V̂ = 64/7.
    approx::assert_relative_eq!(
        table.values()[0] - before,
        -(4.0 / 3.0) / (64.0_f64 / 7.0).sqrt(),
        max_relative = 1e-14
    );
}

#[test]
fn the_projection_leaves_a_tangent_step_and_a_longer_row() {
    let steep = [1.0, 2.0];
    for projection in [Projection::always(), Projection { delta: 10.0, ..Projection::default() }] {
        let rule = sgdp::Sgdp {
            lr: 1.0.into(),
            momentum: 0.9,
            dampening: 0.0,
            epsilon: 0.0,
            projection: projection.clone(),
            decay: None,
            rows: Rows::Dense,
        };
        // (1, 2) − (11/25)(3, 4) = (−8, 6)/25.
        let found = first_step(&Optimizer::Sgdp(rule), &Update::default(), steep);
        approx::assert_abs_diff_eq!(found[0], 8.0 / 25.0, epsilon = 1e-14);
        approx::assert_abs_diff_eq!(found[1], -6.0 / 25.0, epsilon = 1e-14);
    }
    // cos∠((1, 2), (3, 4)) = 0.98 is far above 0.1/√2: the package leaves such a step alone.
    let rule = sgdp::Sgdp {
        lr: 1.0.into(),
        momentum: 0.0,
        dampening: 0.0,
        epsilon: 0.0,
        projection: Projection::default(),
        decay: None,
        rows: Rows::Dense,
    };
    assert_eq!(first_step(&Optimizer::Sgdp(rule), &Update::default(), steep), [-1.0, -2.0]);
}

#[test]
fn the_retraction_comes_back_to_the_stored_norm() {
    let sgd = |lr: f64| Optimizer::Sgd(sgd::Sgd { lr: lr.into(), decay: None, rows: Rows::Dense });
    let sphere =
        Optimizer::RiemannianSgd(riemannian_sgd::RiemannianSgd { lr: 0.5.into(), decay: None, rows: Rows::Dense });
    let renormalise = Update { constraint: Some(Constraint::Renormalise), ..Update::default() };
    for (optimizer, update, gradient) in [
        (&sphere, Update::default(), G[0]),
        (&sphere, Update::default(), [7.0, -3.0]),
        (&sgd(0.5), renormalise, G[0]),
    ] {
        let step = first_step(optimizer, &update, gradient);
        approx::assert_relative_eq!(norm(&[W4[0] + step[0], W4[1] + step[1]]), 5.0, max_relative = 1e-15);
        assert!(radial(step) < -1.0, "a chord points inward");
    }
    // The tangent part of (7, −3) at (3, 4) is (7, −3) − (9/25)(3, 4); 25 times that is (148, −111) = 37(4, −3), so the step is
    // 0.74(4, −3) and the turn has tan φ = 0.74.
    let step = first_step(&sphere, &Update::default(), [7.0, -3.0]);
    let (q, turned) = ([3.0 - 2.96, 4.0 + 2.22], (1.0_f64 + 0.74 * 0.74).sqrt());
    approx::assert_relative_eq!(W4[0] + step[0], q[0] / turned, max_relative = 1e-12);
    approx::assert_relative_eq!(W4[1] + step[1], q[1] / turned, max_relative = 1e-12);
}

#[test]
fn a_long_row_is_shortened_and_a_short_one_left() {
    let sgd = Optimizer::Sgd(sgd::Sgd { lr: 1.0.into(), decay: None, rows: Rows::Dense });
    let at_most = |limit| Update { constraint: Some(Constraint::MaxNorm(limit)), ..Update::default() };
    // (3, 4) + (3, 4) has the norm 10.
    assert_eq!(first_step(&sgd, &at_most(5.0), [-3.0, -4.0]), [0.0, 0.0]);
    assert_eq!(first_step(&sgd, &at_most(10.0), [-3.0, -4.0]), [3.0, 4.0]);
    // A dense visit shortens rows without a gradient, a lazy one does not.
    for (rows, expected) in [(Rows::Dense, [1.5, 2.0]), (Rows::Lazy, [3.0, 4.0])] {
        let sgd = Optimizer::Sgd(sgd::Sgd { lr: 1.0.into(), decay: None, rows });
        let mut stepper = sgd.start::<f64>(1, 2, &|x| x).within(&at_most(2.5), 1, &|x| x);
        let mut table = Table::from_values(2, W4.to_vec());
        stepper.step(0, &1.0, &mut table, &Gradient::zeros(1, 2));
        assert_eq!(table.values(), expected);
    }
}

#[test]
fn averaged_momentum_starts_at_the_first_gradient() {
    let mut stepper = Optimizer::HeavyBall(heavy_ball::HeavyBall::averaging(1.0, 0.75)).start::<f64>(1, 1, &|x| x);
    let mut table = Table::from_values(1, vec![0.0]);
    let mut seen = Vec::new();
    for g in [4.0, 8.0, -4.0] {
        let mut gradient = Gradient::zeros(1, 1);
        gradient.accumulate(0)[0] = g;
        stepper.step(0, &1.0, &mut table, &gradient);
        seen.push(table.values()[0]);
    }
    // p = 4, 3 + 2 = 5, 3.75 − 1 = 2.75.
    assert_eq!(seen, [-4.0, -9.0, -11.75]);
}

#[test]
fn a_declared_scalar_step_is_a_multiple_of_the_gradient_for_every_further_rule() {
    let gradients = [[1.0, 2.0], [-2.0, 1.0], [0.5, -3.0]];
    let mut scalars = 0;
    for optimizer in [Rows::Dense, Rows::Lazy].into_iter().flat_map(further_optimizers) {
        let mut stepper = optimizer.start::<f64>(1, 2, &|x| x);
        let mut table = Table::from_values(2, vec![1.0, 0.5]);
        let mut leak = 0.0_f64;
        for (t, g) in gradients.iter().enumerate() {
            let before = table.clone();
            let mut gradient = Gradient::zeros(1, 2);
            gradient.accumulate(0).copy_from_slice(g);
            stepper.step(t as u64, &0.125, &mut table, &gradient);
            let step: Vec<f64> = table.values().iter().zip(before.values()).map(|(a, b)| a - b).collect();
            leak = leak.max((step[0] * g[1] - step[1] * g[0]).abs());
        }
        let met = |condition| matches!(optimizer.status(condition), Status::Met(_));
        let scalar = met(Condition::ScalarStep);
        scalars += usize::from(scalar);
        assert!(if scalar { leak < 1e-14 } else { leak > 1e-4 }, "{optimizer:?}: {leak}");
        let causes = [Condition::NoMomentum, Condition::NoDecay, Condition::NoCoordinateScaling].map(met);
        assert_eq!(scalar, causes == [true; 3], "{optimizer:?}");
    }
    assert_eq!(scalars, 2, "LARS without momentum and decay, dense and lazy");
}

fn gradients(values: &[f64]) -> Vec<Gradient<f64>> {
    let mut gradient = Gradient::zeros(values.len(), 1);
    for (row, &g) in values.iter().enumerate().filter(|(_, g)| **g != 0.0) {
        gradient.accumulate(row)[0] = g;
    }
    vec![gradient]
}

/// A step that the optimizer made: its number, the gradients of both rows, and the touched rows.
type Seen = (u64, [f64; 2], Vec<usize>);

/// What the optimizer sees of a sequence of gradients of two rows of one number: the number of its step, and the gradients.
fn seen(update: Update, sequence: &[[f64; 2]]) -> Vec<Option<Seen>> {
    let mut stages = Stages::new(update, 0);
    let pass = |values: &[f64; 2]| {
        let fresh = gradients(values);
        let passed = stages.pass(&fresh)?;
        let gradient = &passed.1[0];
        let mut touched = gradient.touched().to_vec();
        touched.sort_unstable();
        Some((passed.0, [gradient.row(0)[0], gradient.row(1)[0]], touched))
    };
    sequence.iter().map(pass).collect()
}

#[test]
fn gradients_are_delayed_summed_and_clipped_in_this_order() {
    let nothing = Update::default;
    let sequence = [[3.0, 0.0], [0.0, 4.0], [1.0, 1.0], [0.0, 0.0]];
    let late = seen(Update { delay: 2, ..nothing() }, &sequence);
    assert_eq!(late, [None, None, Some((0, [3.0, 0.0], vec![0])), Some((1, [0.0, 4.0], vec![1]))]);
    let summed = seen(Update { accumulate: 2, ..nothing() }, &sequence);
    assert_eq!(summed, [None, Some((0, [3.0, 4.0], vec![0, 1])), None, Some((1, [1.0, 1.0], vec![0, 1]))]);
    // The norm is that of the tower: (3, 4) has 5.
    let clip = Some(Clip::Norm(2.5));
    let clipped = seen(Update { accumulate: 2, clip, ..nothing() }, &sequence);
    assert_eq!(clipped[1], Some((0, [1.5, 2.0], vec![0, 1])));
    assert_eq!(clipped[3], Some((1, [1.0, 1.0], vec![0, 1])), "a short gradient is left as it is");
    let all = seen(Update { delay: 1, accumulate: 2, clip, ..nothing() }, &sequence);
    assert_eq!(all, [None, None, Some((0, [1.5, 2.0], vec![0, 1])), None]);
}

#[test]
fn the_norm_that_is_clipped_is_that_of_all_tables() {
    let mut stages = Stages::new(Update { clip: Some(Clip::Norm(2.5)), ..Update::default() }, 0);
    let fresh: Vec<_> = [&[3.0, 0.0], &[0.0, 4.0]].into_iter().flat_map(|values| gradients(values)).collect();
    let (_, passed) = stages.pass(&fresh).unwrap();
    assert_eq!((passed[0].row(0), passed[1].row(1)), (&[1.5][..], &[2.0][..]));
}

#[test]
fn stochastic_storage_has_a_stream_for_each_seed_table_row_and_step() {
    let storage = Some(Storage { format: Precision::Bf16, rounding: Rounding::Stochastic });
    let between = 1.0 + 2.0_f64.powi(-9);
    let rounded = |seed: u64, table: usize, time: u64| {
        let stages = Stages::<f64>::new(Update { storage: storage.clone(), ..Update::default() }, seed);
        let mut values = Table::filled(2, 64, between);
        stages.store(table, time, 0..2, &mut values);
        values
    };
    let first = rounded(1, 0, 0);
    assert_eq!(first, rounded(1, 0, 0));
    for other in [rounded(2, 0, 0), rounded(1, 1, 0), rounded(1, 0, 1)] {
        assert_ne!(first, other);
    }
    assert_ne!(first.row(0), first.row(1));
    // A quarter of the way up: of 128 draws 32 ± 4.9 go up.
    let up = first.values().iter().filter(|&&x| x > 1.0).count();
    assert!((13..=51).contains(&up), "{up} of 128: four standard deviations are 20");
    assert!(first.values().iter().all(|&x| x == 1.0 || x == 1.0 + 2.0_f64.powi(-7)));
}

/// Twelve steps of two towers of tables.
fn scenario(update: &str) -> Scenario {
    let tower = "encoder = { kind = \"table\" }\noptimizer = { kind = \"sgd\", lr = 0.5 }\n\
                 initial = { kind = \"normal\", std = 0.5 }\n";
    Scenario::from_toml(&format!(
        "dim = 4\nsteps = 12\nseed = 3\nloss = {{ kind = \"info-nce\", similarity = \"cosine\", temperature = 0.5 }}\n\
         sampler = {{ batch = 6, exponent = 1.0, negatives = {{ kind = \"in-batch\" }} }}\n\
         [item]\nrows = 7\n{tower}{update}[user]\nrows = 3\n{tower}"
    ))
    .unwrap()
}

/// The item table after each step.
fn tables(scenario: &Scenario) -> Vec<Table<f64>> {
    let values = scenario.materialise().unwrap();
    let mut session = Session::<f64>::new(&values);
    let after = |batch| {
        session.step(batch);
        session.tables(Side::Item)[0].clone()
    };
    values.batches.iter().map(after).collect()
}

#[test]
fn stored_parameters_are_numbers_of_the_storage_format() {
    for (storage, format) in [("bf16", Precision::Bf16), ("f16", Precision::F16)] {
        for rounding in ["nearest", "stochastic"] {
            let update = format!("update = {{ storage = {{ format = \"{storage}\", rounding = \"{rounding}\" }} }}\n");
            let scenario = scenario(&update);
            let start = scenario.materialise().unwrap().item.tables[0].clone();
            for table in tables(&scenario).iter().chain([&start]) {
                assert!(table.values().iter().all(|&x| x == format.nearest(x)), "{update}");
            }
            assert_ne!(tables(&scenario).last(), Some(&start), "rows move all the same");
            assert!(matches!(scenario.status(Side::Item, Condition::ExactStorage), Status::Unmet(_)));
        }
    }
    assert!(matches!(scenario("").status(Side::Item, Condition::ExactStorage), Status::Met(_)));
}

#[test]
fn what_happens_around_the_rule_happens_in_training() {
    let plain = tables(&scenario(""));
    let start = scenario("").materialise().unwrap().item.tables[0].clone();
    // Two gradients at one place: nothing moves in every other step.
    let summed = tables(&scenario("update = { accumulate = 2 }\n"));
    assert_eq!((&summed[0], &summed[2]), (&start, &summed[1]));
    assert_ne!(summed[1], start);
    // The first gradient arrives in the second step.
    let late = tables(&scenario("update = { delay = 1 }\n"));
    assert_eq!((&late[0], &late[1]), (&start, &plain[0]));
    assert_ne!(late[2], plain[1]);
    let clipped = tables(&scenario("update = { clip = { norm = 0.001 } }\n"));
    let step: Vec<f64> = clipped[0].values().iter().zip(start.values()).map(|(a, b)| a - b).collect();
    approx::assert_relative_eq!(length(&step), 0.5 * 0.001, max_relative = 1e-9);
    for (update, unmet) in [
        ("update = { delay = 1 }\n", Condition::FreshGradient),
        ("update = { clip = { value = 0.01 } }\n", Condition::NoCoordinateScaling),
        ("update = { constraint = { max-norm = 1.0 } }\n", Condition::NoDecay),
        ("update = { constraint = \"renormalise\" }\n", Condition::ScalarStep),
    ] {
        assert!(matches!(scenario(update).status(Side::Item, unmet), Status::Unmet(_)), "{update}");
        assert!(matches!(scenario("").status(Side::Item, unmet), Status::Met(_)));
    }
    for update in ["", "update = { clip = { norm = 0.01 } }\n", "update = { accumulate = 3 }\n"] {
        assert!(matches!(scenario(update).status(Side::Item, Condition::ScalarStep), Status::Met(_)), "{update}");
    }
}

#[test]
fn settings_that_cannot_be_trained_are_refused() {
    let bad = |update: &str| {
        let text =
            scenario("")
                .to_toml()
                .replacen("[item.encoder]", &format!("[item.update]\n{update}\n[item.encoder]"), 1);
        assert!(text.contains(update), "{text}");
        Scenario::from_toml(&text)
    };
    assert!(bad("accumulate = 2").is_ok());
    for update in [
        "accumulate = 0",
        "clip = { norm = 0.0 }",
        "clip = { value = -1.0 }",
        "constraint = { max-norm = inf }",
        "storage = { format = \"float32\" }",
        "clip = { size = 1.0 }",
    ] {
        assert!(bad(update).is_err(), "{update}");
    }
}

/// Trained with item tower and header as given.
fn audited(optimizer: Optimizer, update: Update) -> perpend::audit::Audit {
    let mut scenario = scenario("");
    scenario.item.optimizer = optimizer;
    scenario.item.update = update;
    let trajectory = Reference.train(&scenario.materialise().unwrap()).unwrap();
    perpend::audit::audit(&trajectory).unwrap()
}

fn declared_step(audit: &perpend::audit::Audit) -> Verdict {
    audit.claim("declared-step", Some(Side::Item)).unwrap().verdict
}

fn nothing_is_violated(audit: &perpend::audit::Audit, what: &str) {
    let violated = audit.claims.iter().find(|judged| judged.verdict == Verdict::Violated);
    assert!(violated.is_none(), "{what}: {violated:?}");
}

#[test]
fn every_rule_that_single_rows_can_repeat_is_confirmed_by_its_replay() {
    let optimizers: Vec<_> = [Rows::Dense, Rows::Lazy].into_iter().flat_map(further_optimizers).collect();
    let replayed = optimizers.into_par_iter().filter(|optimizer| {
        let audit = audited(optimizer.clone(), Update::default());
        nothing_is_violated(&audit, &format!("{optimizer:?}"));
        let single_rows = match optimizer {
            Optimizer::Sgdp(sgdp::Sgdp { projection, .. }) | Optimizer::Adamp(adamp::Adamp { projection, .. }) => {
                projection.view == View::Always
            }
            _ => true,
        };
        assert!(!single_rows || declared_step(&audit) == Verdict::Confirmed, "{optimizer:?}");
        single_rows
    });
    assert_eq!(replayed.count(), 2 * 3 * 11);
}

#[test]
fn what_happens_around_a_rule_is_confirmed_or_undecided_and_never_violated() {
    let sgd = || Optimizer::Sgd(sgd::Sgd { lr: 0.5.into(), decay: None, rows: Rows::Dense });
    let ball = || Optimizer::HeavyBall(heavy_ball::HeavyBall::averaging(0.5, 0.75));
    let nothing = Update::default;
    let storage = |rounding| Some(Storage { format: Precision::Bf16, rounding });
    for (update, replayed) in [
        (Update { clip: Some(Clip::Value(0.02)), ..nothing() }, true),
        (Update { constraint: Some(Constraint::Renormalise), ..nothing() }, true),
        (Update { constraint: Some(Constraint::MaxNorm(1.0)), ..nothing() }, true),
        (Update { storage: storage(Rounding::Nearest), ..nothing() }, true),
        (Update { clip: Some(Clip::Norm(0.02)), ..nothing() }, false),
        (Update { accumulate: 2, ..nothing() }, false),
        (Update { delay: 1, ..nothing() }, false),
        (Update { storage: storage(Rounding::Stochastic), ..nothing() }, false),
    ] {
        for optimizer in [sgd(), ball()] {
            let audit = audited(optimizer, update.clone());
            nothing_is_violated(&audit, &format!("{update:?}"));
            assert!(!replayed || declared_step(&audit) == Verdict::Confirmed, "{update:?}");
        }
    }
}

/// A header that leaves out what happened is caught.
#[test]
fn what_the_header_conceals_is_violated() {
    let concealed = |update: Update| {
        let mut scenario = scenario("");
        scenario.item.update = update;
        let trajectory = Reference.train(&scenario.materialise().unwrap()).unwrap();
        let mut settings = trajectory.settings().clone();
        let honest = settings.for_tower(Some(Side::Item));
        let declared = DeclaredOptimizer { other: Default::default(), ..honest.optimizer.unwrap() };
        let own = Settings { optimizer: Some(declared), encoder: honest.encoder, ..Settings::default() };
        settings.set_tower(Side::Item, &own);
        declared_step(&perpend::audit::audit(&trajectory.with_settings(settings).unwrap()).unwrap())
    };
    for update in [
        Update { clip: Some(Clip::Value(0.02)), ..Update::default() },
        Update { clip: Some(Clip::Norm(0.02)), ..Update::default() },
        Update { constraint: Some(Constraint::Renormalise), ..Update::default() },
        Update { constraint: Some(Constraint::MaxNorm(0.5)), ..Update::default() },
        Update { accumulate: 2, ..Update::default() },
        Update { delay: 1, ..Update::default() },
    ] {
        assert_eq!(concealed(update.clone()), Verdict::Violated, "{update:?}");
    }
    assert_eq!(concealed(Update::default()), Verdict::Confirmed);
}
