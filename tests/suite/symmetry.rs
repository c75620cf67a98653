//! Symmetries as classifiers: what every optimizer of the list commutes with, and what it does not.

use perpend::claims::{self, specimen};
use perpend::condition::Condition;
use perpend::optimizer::update::{Clip, Update};
use perpend::optimizer::{Optimizer, sgd::Sgd};
use perpend::reference::Reference;
use perpend::rounding::Precision;
use perpend::scenario::{Initial, Scenario};
use perpend::trainer::Trainer;
use perpend::trajectory::{Rows, Side};
use perpend::verdict::{Observation, Observed, Status};
use rayon::prelude::*;

use crate::optimizer_rules::further_optimizers;
use crate::oracle::optimizers;

/// Every optimizer, dense and lazy, with and without decay. The projections add one epsilon to norms that stretch in opposite
/// ways, and have none here.
fn all() -> impl Iterator<Item = Optimizer> {
    let every = |rows| optimizers(rows).into_iter().chain(further_optimizers(rows));
    [Rows::Dense, Rows::Lazy].into_iter().flat_map(every).map(|mut optimizer| {
        match &mut optimizer {
            Optimizer::Sgdp(sgdp) => sgdp.epsilon = 0.0,
            Optimizer::Adamp(adamp) => adamp.epsilon = 0.0,
            // Their steps are shares of the row: a large rate leaves the finite numbers within 500 of them.
            Optimizer::Lars(_) | Optimizer::Lamb(_) => *optimizer.schedule_mut() = 0.0009765625.into(),
            _ => {}
        }
        optimizer
    })
}

/// What may happen around a rule and has an image under dilation.
fn around() -> Vec<Update> {
    vec![
        Update::default(),
        Update { clip: Some(Clip::Norm(0.125)), ..Update::default() },
        Update { clip: Some(Clip::Value(0.03125)), ..Update::default() },
        Update { accumulate: 3, ..Update::default() },
        Update { delay: 2, ..Update::default() },
    ]
}

fn examine(claim: &str, scenario: &Scenario) -> Observation {
    claims::find(claim).unwrap().examine(&scenario.materialise().unwrap(), &Reference).unwrap()
}

#[test]
fn what_happens_around_a_rule_commutes_with_dilation_bitwise_for_500_steps() {
    for update in around() {
        let sgd = Sgd { lr: 0.125.into(), decay: None, rows: Rows::Dense };
        let mut scenario = specimen::with_optimizer(3, Optimizer::Sgd(sgd));
        scenario.steps = 500;
        scenario.item.update = update.clone();
        let observation = examine("dilation-equivariance", &scenario);
        assert_eq!(observation.observed, Observed::Holds, "{update:?}: {observation:?}");
        assert_eq!(observation.residual, Some(0.0), "{update:?}: {observation:?}");
    }
}

#[test]
fn every_optimizer_commutes_with_dilation_bitwise_for_500_steps_in_both_precisions() {
    const STEPS: usize = 500;
    all().collect::<Vec<_>>().into_par_iter().for_each(|optimizer| {
        for precision in [Precision::F64, Precision::F32] {
            let mut scenario = specimen::with_optimizer(3, optimizer.clone());
            (scenario.steps, scenario.precision) = (STEPS, precision);
            let observation = examine("dilation-equivariance", &scenario);
            let what = format!("{optimizer:?} in {precision}: {observation:?}");
            assert_eq!(observation.observed, Observed::Holds, "{what}");
            assert_eq!(observation.residual, Some(0.0), "{what}");
            // Three dilations, and in each step at least as many moved rows as either tower has users.
            assert!(observation.judged >= (3 * STEPS * 2 * scenario.user.rows) as u64, "{what}");
        }
    });
}

/// Whether a rule commutes with every rotation, not only with those of the axes.
fn knows_no_axes(optimizer: &Optimizer) -> bool {
    matches!(
        optimizer,
        Optimizer::Sgd(_)
            | Optimizer::HeavyBall(_)
            | Optimizer::Nesterov(_)
            | Optimizer::RowwiseAdagrad(_)
            | Optimizer::RowwiseAdam(_)
            | Optimizer::Lars(_)
            | Optimizer::Sgdp(_)
            | Optimizer::RiemannianSgd(_)
    )
}

#[test]
fn rotations_separate_the_optimizers_that_scale_coordinates_apart() {
    for optimizer in all() {
        let mut scenario = specimen::with_optimizer(3, optimizer.clone());
        // Few steps keep the rounding bound that a run carries along small.
        scenario.steps = 4;
        let observation = examine("rotation-equivariance", &scenario);
        let what = format!("{optimizer:?}: {observation:?}");
        if knows_no_axes(&optimizer) {
            assert_eq!(observation.observed, Observed::Holds, "{what}");
        } else {
            assert_eq!(observation.observed, Observed::Breaks, "{what}");
            assert!(observation.margin() >= claims::check::TWIN_MARGIN, "{what}");
        }
        // A projection takes out one direction, which is no scaling of axes and yet no common factor.
        if !matches!(optimizer, Optimizer::Sgdp(_)) {
            let declared = matches!(optimizer.status(Condition::NoCoordinateScaling), Status::Met(_));
            assert_eq!(declared, knows_no_axes(&optimizer), "{optimizer:?}");
        }
    }
}

/// The item embeddings of a run, step after step, from tables whose rows went through `image`.
fn path(scenario: &Scenario, image: fn(&[f64]) -> Vec<f64>) -> Vec<Vec<f64>> {
    let mut explicit = scenario.materialise().unwrap().explicit();
    for side in Side::ALL {
        let Initial::Explicit { tables, .. } = &mut explicit.tower_mut(side).initial else {
            unreachable!()
        };
        tables[0] = tables[0].chunks_exact(scenario.dim).flat_map(image).collect();
    }
    let trajectory = Reference.train(&explicit.materialise().unwrap()).unwrap();
    let tower = trajectory.towers()[0];
    let mut rows = Vec::new();
    for step in 0..=tower.steps() {
        for row in 0..tower.rows() {
            let mut q = vec![0.0; scenario.dim];
            assert!(tower.embedding(step, row, &mut q));
            rows.push(q);
        }
    }
    rows
}

/// A signed permutation reorders the sums of an inner product; of two terms it only swaps them, so that in the plane all
/// eight signed permutations are exact.
#[test]
fn every_optimizer_commutes_with_sign_flips_and_in_the_plane_with_quarter_turns_bitwise() {
    fn flip(v: &[f64]) -> Vec<f64> {
        v.iter().enumerate().map(|(k, x)| if k % 3 == 0 { -x } else { *x }).collect()
    }
    fn quarter_turn(v: &[f64]) -> Vec<f64> {
        vec![-v[1], v[0]]
    }
    fn same(v: &[f64]) -> Vec<f64> {
        v.to_vec()
    }
    for optimizer in all() {
        for (dim, image) in [(5, flip as fn(&[f64]) -> Vec<f64>), (2, quarter_turn)] {
            let mut scenario = specimen::with_optimizer(3, optimizer.clone());
            scenario.dim = dim;
            scenario.user.optimizer = optimizer.clone();
            let plain = path(&scenario, same);
            assert!(plain.first() != plain.last(), "{optimizer:?} moves nothing");
            let expected: Vec<Vec<f64>> = plain.iter().map(|q| image(q)).collect();
            assert_eq!(path(&scenario, image), expected, "{optimizer:?}");
        }
    }
}

/// Not the rate and not the initial norm: η/‖q_0‖² is what counts.
#[test]
fn rate_and_initial_norm_are_one_number() {
    let mut slow = specimen::plain(5);
    let mut fast = specimen::plain(5);
    for (scenario, lr, std) in [(&mut slow, 0.03125, 0.125), (&mut fast, 0.5, 0.5)] {
        *scenario.item.optimizer.schedule_mut() = lr.into();
        scenario.item.initial = Initial::Normal { std };
    }
    let longer = |q: &Vec<f64>| q.iter().map(|x| 4.0 * x).collect::<Vec<_>>();
    let same = |q: &[f64]| q.to_vec();
    assert_eq!(path(&slow, same).iter().map(longer).collect::<Vec<_>>(), path(&fast, same));
}
