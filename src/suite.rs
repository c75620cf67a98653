//! The theorem suite for parts of your own: an encoder, a loss, an optimizer or a whole trainer through every claim that
//! applies to it, one `#[test]` a claim.
//!
//! ```ignore
//! mod theory {
//!     perpend::suite!(perpend::suite::Subject::encoder(crate::MyEncoder { features: 3 }));
//! }
//! ```
//!
//! What the part says of itself (its [`Status`] for each condition) decides what is demanded of it: a claim whose conditions it
//! does not meet is *outside* and demands nothing. Before any claim, an encoder's and a loss's derivatives are checked.

use std::fmt::Debug;

use proptest::strategy::{Just, Strategy};

use crate::claims::check::{Failure, Options, Report, Status as Checked, check as check_claim, check_on};
use crate::claims::{Claim, find};
use crate::condition::Condition;
use crate::encoder::{self, Architecture, EncoderKind};
use crate::error::Result;
use crate::loss::{self, Loss, Objective, ObjectiveFunction};
use crate::optimizer::{self, Method, Optimizer, Schedule, Update};
use crate::reference::Reference;
use crate::scenario::random::{Encoders, Optimizers, Parts};
use crate::trainer::Trainer;
use crate::trajectory::Similarity;
use crate::verdict::Status;

/// What is put through the suite: one part of one's own, the others drawn at random.
pub struct Subject {
    part: Part,
    trainer: Box<dyn Trainer>,
}

enum Part {
    Encoder(EncoderKind),
    Loss(Loss),
    Optimizer(Optimizer),
    Trainer,
}

impl Subject {
    /// An encoder of the item tower.
    pub fn encoder(architecture: impl Architecture + Debug + Send + Sync + 'static) -> Self {
        Subject { part: Part::Encoder(EncoderKind::Own(encoder::Own::new(architecture))), trainer: Box::new(Reference) }
    }

    /// A loss on cosines or inner products.
    pub fn loss(similarity: Similarity, objective: impl ObjectiveFunction + Debug + Send + Sync + 'static) -> Self {
        let loss = Loss::new(similarity, Objective::Own(loss::Own::new(objective)));
        Subject { part: Part::Loss(loss), trainer: Box::new(Reference) }
    }

    /// An optimizer of the item tower, with a constant learning rate.
    pub fn optimizer(rate: f64, method: impl Method + Debug + Send + Sync + 'static) -> Self {
        let own = optimizer::Own::new(Schedule::Constant(rate), method);
        Subject { part: Part::Optimizer(Optimizer::Own(own)), trainer: Box::new(Reference) }
    }

    /// A trainer; every part is drawn at random.
    pub fn trainer(trainer: impl Trainer + 'static) -> Self {
        Subject { part: Part::Trainer, trainer: Box::new(trainer) }
    }

    /// Why the claim says nothing about this part; None where it does.
    fn outside(&self, claim: &dyn Claim) -> Option<String> {
        let family = claim.family();
        let unmet = |status: &dyn Fn(Condition) -> Option<Status>| {
            claim.conditions().iter().find_map(|&condition| match status(condition) {
                Some(Status::Unmet(why)) => Some(format!("{condition} is unmet: {why}")),
                _ => None,
            })
        };
        match &self.part {
            Part::Encoder(encoder) => unmet(&|condition| encoder.status(condition)).or_else(|| {
                (family.encoders == Encoders::Table).then(|| "it is about embeddings that are parameters".into())
            }),
            Part::Loss(loss) => unmet(&|condition| match (condition, loss.similarity) {
                (Condition::CosineLoss, Similarity::Dot) => Some(Status::Unmet("inner products".into())),
                (Condition::NoEpsilon, _) => Some(loss.no_epsilon()),
                _ => None,
            }),
            Part::Optimizer(optimizer) => unmet(&|condition| Some(optimizer.status(condition))).or_else(|| {
                let own = matches!(family.optimizers, Optimizers::Scalar | Optimizers::Any);
                (!own).then(|| "it is about optimizers that are named".into())
            }),
            Part::Trainer => None,
        }
    }

    /// The random scenarios of a claim with this part in them.
    fn parts(&self, claim: &dyn Claim) -> Parts {
        let mut parts = Parts::from(claim.family());
        match &self.part {
            Part::Encoder(encoder) => parts.encoders = Just(encoder.clone()).boxed(),
            Part::Loss(loss) => parts.losses = Just(loss.clone()).boxed(),
            Part::Optimizer(optimizer) => parts.optimizers = Just((optimizer.clone(), Update::default())).boxed(),
            Part::Trainer => {}
        }
        parts
    }
}

/// What came of one claim.
pub enum Outcome {
    /// It was checked: passed, failed, or skipped because the trainer implements none of it.
    Checked(Box<Report>),
    /// It says nothing about this part, and why.
    Outside(String),
}

/// Puts the subject through one claim.
///
/// # Errors
/// As [`crate::claims::check::check`].
pub fn check(subject: &Subject, claim: &dyn Claim, options: &Options) -> Result<Outcome> {
    if let Some(why) = subject.outside(claim) {
        return Ok(Outcome::Outside(why));
    }
    let report = match subject.part {
        Part::Trainer => check_claim(claim, &*subject.trainer, options, &|_| {})?,
        _ => check_on(claim, &*subject.trainer, options, &|_| {}, &|| subject.parts(claim)),
    };
    if report.cases == 0 && report.failure.as_ref().is_some_and(Failure::gave_up) {
        return Ok(Outcome::Outside("none of its scenarios shows anything of this part".into()));
    }
    Ok(Outcome::Checked(Box::new(report)))
}

/// The body of the tests that [`suite!`](crate::suite!) makes.
///
/// # Panics
/// If the claim does not hold, with the block that describes the smallest case.
pub fn demand(subject: &Subject, id: &str) {
    let outcome = find(id).and_then(|claim| check(subject, claim, &Options::default()));
    match outcome.unwrap_or_else(|error| panic!("{id}: {error}")) {
        Outcome::Outside(why) => println!("outside {id}: {why}"),
        Outcome::Checked(report) => {
            let text = crate::report::terminal::failure_text(&report, &subject.trainer.name());
            assert!(report.status != Checked::Failed, "{text}");
            println!(
                "{} {id}: {} cases",
                if report.status == Checked::Passed {
                    "pass"
                } else {
                    "skip"
                },
                report.cases
            );
        }
    }
}

/// The body of the test that [`suite!`](crate::suite!) makes of its own list.
///
/// # Panics
/// If the list is not that of all claims.
pub fn demand_all(ids: &[&str]) {
    let all: Vec<&str> = crate::claims::ALL.iter().map(|claim| claim.id()).collect();
    assert_eq!(ids, all, "the list of the suite is not that of the claims");
}

/// One `#[test]` for each claim, named as it is: `suite!(subject)`, in a module of its own.
///
/// The subject is an expression for a [`Subject`](crate::suite::Subject), evaluated in each test. Tests of claims that say
/// nothing about it pass and say so.
#[macro_export]
macro_rules! suite {
    ($subject:expr) => {
        $crate::suite!(@tests $subject;
            gradient_orthogonality "gradient-orthogonality",
            gradient_inverse_scaling "gradient-inverse-scaling",
            norm_gauge "norm-gauge",
            epsilon_leak "epsilon-leak",
            temperature_bound "temperature-bound",
            update_kernel "update-kernel",
            update_orthogonality "update-orthogonality",
            eigenvector_criterion "eigenvector-criterion",
            radial_angle_bound "radial-angle-bound",
            ensemble_growth "ensemble-growth",
            homogeneous_layers "homogeneous-layers",
            metric_orthogonality "metric-orthogonality",
            norm_growth "norm-growth",
            storage_threshold "storage-threshold",
            quartic_growth "quartic-growth",
            quarter_power_law "quarter-power-law",
            gradient_flow_limit "gradient-flow-limit",
            displacement_number "displacement-number",
            frequency_norm_coupling "frequency-norm-coupling",
            declared_step "declared-step",
            scalar_steps "scalar-steps",
            rowwise_adagrad_log_growth "rowwise-adagrad-log-growth",
            tangent_projection "tangent-projection",
            heavy_ball_identity "heavy-ball-identity",
            nesterov_growth "nesterov-growth",
            diagonal_scaling "diagonal-scaling",
            scalar_second_moment_growth "scalar-second-moment-growth",
            lazy_versus_dense "lazy-versus-dense",
            stale_gradient "stale-gradient",
            decay_radial "decay-radial",
            decay_equilibrium "decay-equilibrium",
            decay_frequency "decay-frequency",
            dilation_equivariance "dilation-equivariance",
            rotation_equivariance "rotation-equivariance",
            permutation_equivariance "permutation-equivariance",
            norm_fixing "norm-fixing",
            serving_inversion "serving-inversion",
            gradient_implies_growth "gradient-implies-growth",
        );
    };
    (@tests $subject:expr; $($name:ident $id:literal,)*) => {
        $(
            #[test]
            fn $name() {
                $crate::suite::demand(&$subject, $id);
            }
        )*

        #[test]
        fn every_claim_is_tested() {
            $crate::suite::demand_all(&[$($id),*]);
        }
    };
}
