//! # Rotation equivariance
//!
//! Cosines do not see a rotation O of both towers. Whether training does is the optimizer's choice of axes:
//!
//! ```text
//! q_t  →  O·q_t   for every rotation    ⇔    Δq_t lies in the span of q_t and of the gradients so far
//! ```
//!
//! SGD, heavy ball, Nesterov, row-wise AdaGrad, clipping by norm and weight decay commute with it, whatever the schedule. Adam,
//! AdaGrad, RMSprop, the sign of the gradient and clipping by value do not: they know the axes. Every rule here commutes with
//! sign flips of coordinates, to the last bit (an odd function of one coordinate after the other; sums do not change their
//! order). So the rule's class shows without its code. The converse needs q itself in the span: decay commutes with every
//! rotation and is radial all the same.
//!
//! *Hypotheses*: NoCoordinateScaling. Inner products, an epsilon, momentum, decay and stale gradients do no harm.
//! *Shapes*: q: `[d]`, O: `[d, d]`. *Judged*: every embedding in every step, users held fixed, so that the item optimizer alone
//! decides. O is a product of turns by the angle of the triangle 3-4-5 in neighbouring planes: 5ᵏ·O has whole entries, and
//! starting from 5ᵏ·q_0 and 5ᵏ·O·q_0, with q_0 in few enough bits, no start is rounded.
//! *Allowed residual*: none for sign flips; for the rotation the two runs' own rounding, carried along through each of them,
//! and γ_{3k+3}·‖q‖ for turning q_t back in the comparison.
//! *Twins that must break it*: Adam; AdaGrad; the false variant: users are not turned. *Controls that must not*: inner products,
//! an active epsilon, momentum, decay, stale gradients, row-wise AdaGrad.
//! *Proof*: proofs/theories/RotationEquivariance.v.
//! *Source*: the test as a classifier of optimizers, and the span with q in it: derived here.

use super::dilation_equivariance::dilated;
use super::runs::{Path, compare, item_tables, rounding_bounds, with_fixed_users};
use super::specimen::{self, Specimen};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::condition::Condition;
use crate::error::Result;
use crate::facts::Tally;
use crate::reference::Fault;
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers};
use crate::scenario::{Initial, Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::Side;
use crate::verdict::Observation;

/// q_t(O·q_0) = O·q_t(q_0).
pub struct RotationEquivariance;

const DERIVATION: &str = "0 for sign flips (bitwise); for a rotation the running error bounds of both runs + γ_{3k+3} in f64·‖q‖ for \
    k planes turned in the comparison";

/// A product of `planes` turns by the 3-4-5 angle, in the planes of coordinates (0,1), (1,2), …
#[derive(Clone, Copy)]
struct Turns {
    planes: usize,
}

impl Turns {
    /// As many planes as there are, but three of every p bits' digits each (3 + 4 < 2³), and eight left for the numbers.
    fn of(dim: usize, precision: Precision) -> Self {
        Turns { planes: (dim - 1).min((precision.bits() as usize - 9) / 3) }
    }

    /// The bits that a number may have so that turning it is exact.
    fn bits(self, precision: Precision) -> i32 {
        precision.bits() as i32 - 1 - 3 * self.planes as i32
    }

    /// 5ᵏ.
    fn stretch(self) -> f64 {
        5.0_f64.powi(self.planes as i32)
    }

    /// 5ᵏ·O·v.
    fn turn(self, v: &[f64]) -> Vec<f64> {
        let mut turned = v.to_vec();
        for plane in 0..self.planes {
            let (a, b) = (turned[plane], turned[plane + 1]);
            turned.iter_mut().for_each(|x| *x *= 5.0);
            turned[plane] = 3.0 * a - 4.0 * b;
            turned[plane + 1] = 4.0 * a + 3.0 * b;
        }
        turned
    }
}

/// Every second coordinate with the other sign, the first included.
fn flip(v: &[f64]) -> Vec<f64> {
    v.iter().enumerate().map(|(k, x)| if k % 2 == 0 { -x } else { *x }).collect()
}

/// A row to so many bits below its largest coordinate.
fn rounded(v: &[f64], bits: i32) -> Vec<f64> {
    let largest = v.iter().fold(0.0_f64, |largest, x| largest.max(x.abs()));
    let grid = (largest.log2().floor() + 1.0 - f64::from(bits)).exp2();
    v.iter().map(|x| (x / grid).round() * grid).collect()
}

/// The scenario with the rows of both tables replaced; its users must be a table.
fn with_rows(scenario: &Scenario, item: impl Fn(&[f64]) -> Vec<f64>, user: impl Fn(&[f64]) -> Vec<f64>) -> Scenario {
    let mut changed = scenario.clone();
    let dim = changed.dim;
    let change = |table: &mut Vec<f64>, image: &dyn Fn(&[f64]) -> Vec<f64>| {
        *table = table.chunks_exact(dim).flat_map(image).collect();
    };
    change(&mut item_tables(&mut changed)[0], &item);
    if let Initial::Explicit { tables, .. } = &mut changed.user.initial {
        change(&mut tables[0], &user);
    }
    changed
}

fn examine_by(
    materialised: &Materialised,
    trainer: &dyn Trainer,
    turn_user: impl Fn(Turns, &[f64]) -> Vec<f64>,
) -> Result<Observation> {
    let mut scenario = with_fixed_users(materialised);
    let (dim, precision) = (scenario.dim, scenario.precision);
    let turns = Turns::of(dim, precision);
    // The relative step stays what it was.
    scenario.item.optimizer = dilated(&scenario.item.optimizer, turns.stretch());
    let few_bits = |v: &[f64]| rounded(v, turns.bits(precision));
    let scenario = with_rows(&scenario, few_bits, few_bits);
    let longer = |v: &[f64]| v.iter().map(|x| x * turns.stretch()).collect::<Vec<_>>();
    let plain = with_rows(&scenario, longer, longer).materialise()?;
    let run = Path::read(&trainer.train(&plain)?, Side::Item)?;

    let mut tally = Tally::default();
    let flipped = with_rows(&plain.explicit(), flip, flip).materialise()?;
    let flipped = Path::read(&trainer.train(&flipped)?, Side::Item)?;
    compare(&mut tally, &run, &flipped, |row, q| (row, flip(q)), |_, _, _| 0.0);

    if turns.planes > 0 {
        let turned = with_rows(&scenario, |q| turns.turn(q), |u| turn_user(turns, u)).materialise()?;
        let other = Path::read(&trainer.train(&turned)?, Side::Item)?;
        let (bounds, other_bounds) = (rounding_bounds(&plain), rounding_bounds(&turned));
        let own = Precision::F64.gamma(3 * turns.planes + 3);
        let image =
            |row: usize, q: &[f64]| (row, turns.turn(q).iter().map(|x| x / turns.stretch()).collect::<Vec<_>>());
        compare(&mut tally, &run, &other, image, |step, row, _| {
            let size = crate::geometry::norm_f64(run.at(step, row));
            bounds.at(step, row) + other_bounds.at(step, row) + own * size
        });
    }
    Ok(tally.observe(DERIVATION, "no row moved"))
}

/// False: the users stay where they are.
fn users_not_turned(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    examine_by(materialised, trainer, |turns, u| u.iter().map(|x| x * turns.stretch()).collect())
}

const ABOUT: About = About {
    id: "rotation-equivariance",
    kind: Kind::Metamorphic,
    standing: Standing::Theorem,
    statement: "steps in the span of the embedding and past gradients commute with rotations: q_t(O·q_0) = O·q_t(q_0)",
    conditions: &[Condition::NoCoordinateScaling],
    source: "the test as a classifier of optimizers, and the span with q in it: derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("rotation_equivariance.rs"),
};

impl Claim for RotationEquivariance {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, optimizers: Optimizers::Axisless, losses: Losses::InfoNce }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        examine_by(materialised, trainer, Turns::turn)
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(Condition::NoCoordinateScaling, "Adam", specimen::adam),
            Specimen::dropping(Condition::NoCoordinateScaling, "AdaGrad", specimen::adagrad),
            Specimen::named("variant: the users are not turned", specimen::plain).judged_by(users_not_turned),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::benign(Condition::CosineLoss, "inner products in place of cosines", specimen::dot_product),
            Specimen::benign(Condition::NoEpsilon, "norms clamped at 2", specimen::active_epsilon),
            Specimen::benign(Condition::NoMomentum, "heavy-ball momentum 0.9", specimen::momentum),
            Specimen::benign(Condition::NoDecay, "weight decay 0.1", specimen::weight_decay),
            Specimen::benign(Condition::FreshGradient, "gradients one step late", specimen::plain)
                .with_fault(Fault::StaleGradient),
            Specimen::named("row-wise AdaGrad", specimen::rowwise_adagrad),
        ]
    }
}

theorem!(
    rotation_equivariance,
    RotationEquivariance,
    "holds, 232 judged; norms 1.668013155 1.186564277 1.354420513"
);

#[cfg(test)]
mod turning {
    use super::*;
    use crate::geometry::{dot, norm_squared};

    /// 5ᵏ·O keeps angles and stretches by 5ᵏ, exactly on numbers of few bits, and leaves no coordinate in place.
    #[test]
    fn the_rotation_is_exact_on_numbers_of_few_bits() {
        for dim in [2, 3, 9, 20] {
            let turns = Turns::of(dim, Precision::F64);
            let row = |seed: usize| -> Vec<f64> {
                rounded(
                    &(0..dim).map(|k| ((k * 7 + seed) as f64).sin()).collect::<Vec<_>>(),
                    10.min(turns.bits(Precision::F64)),
                )
            };
            let (u, v) = (row(1), row(5));
            // Squares of stretched numbers may need more than 53 bits: quotients agree to rounding.
            let factor = turns.stretch() * turns.stretch();
            let relative = 1e3 * Precision::F64.gamma(dim);
            approx::assert_relative_eq!(
                dot(&turns.turn(&u), &turns.turn(&v)),
                factor * dot(&u, &v),
                max_relative = relative
            );
            approx::assert_relative_eq!(
                norm_squared(&turns.turn(&u)),
                factor * norm_squared(&u),
                max_relative = relative
            );
            let moved = turns.turn(&u).iter().zip(&u).take(turns.planes + 1).all(|(a, b)| *a != b * turns.stretch());
            assert!(moved, "{dim}");
        }
        assert_eq!(Turns { planes: 1 }.turn(&[1.0, 0.0]), [3.0, 4.0]);
        assert_eq!(Turns { planes: 2 }.turn(&[1.0, 0.0, 0.0]), [15.0, 12.0, 16.0]);
    }

    #[test]
    fn every_second_sign_is_flipped() {
        assert_eq!(flip(&[1.0, 2.0, 3.0]), [-1.0, 2.0, -3.0]);
    }
}
