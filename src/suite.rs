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
//! does not meet is *outside* and demands nothing. The derivatives of an encoder or a loss have a test of their own: where that
//! fails, the others tell little.

use std::fmt::Debug;

use proptest::strategy::{Just, Strategy, ValueTree};
use proptest::test_runner::TestRunner;

use crate::claims::check::{Failure, Options, Report, Status as Checked, check as check_claim, check_on};
use crate::claims::{Claim, find};
use crate::condition::Condition;
use crate::encoder::{self, Architecture, EncoderKind};
use crate::error::{Error, Result};
use crate::geometry::norm_f64;
use crate::jacobian::{self, Effort, check_gradient};
use crate::loss::{self, Loss, Objective, ObjectiveFunction};
use crate::optimizer::{self, Method, Optimizer, Schedule, Update};
use crate::reference::{Reference, Session};
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Optimizers, Parts, scenarios_of};
use crate::trainer::Trainer;
use crate::trajectory::{Side, Similarity};
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

/// How many models the derivatives of a part are judged in.
const MODELS: usize = 64;

/// Holds the derivatives of an encoder or a loss against Taylor rate, differences and dual numbers in random models, and returns
/// the first disagreement; None where all agree, or where the part has none.
///
/// # Errors
/// An internal one if none of the models could be judged.
pub fn derivatives(subject: &Subject) -> Result<Option<jacobian::Report>> {
    let mut parts = Parts::from(Family::default());
    match &subject.part {
        Part::Encoder(encoder) => parts.encoders = Just(encoder.clone()).boxed(),
        Part::Loss(loss) => parts.losses = Just(loss.clone()).boxed(),
        Part::Optimizer(_) | Part::Trainer => return Ok(None),
    }
    let mut runner = TestRunner::deterministic();
    let strategy = scenarios_of(parts);
    let mut agreed = 0;
    for _ in 0..MODELS {
        let scenario = strategy.new_tree(&mut runner).map_err(Error::internal)?.current();
        if !can_be_differentiated(&scenario)? {
            continue;
        }
        let report = check_gradient(&scenario, Effort::default())?;
        match report.outcome() {
            jacobian::Outcome::Disagrees => return Ok(Some(report)),
            jacobian::Outcome::Agrees => agreed += 1,
            jacobian::Outcome::Undecided => {}
        }
    }
    match agreed {
        0 => Err(Error::internal("no model could be judged: its gradients are zeros or hidden by rounding")),
        _ => Ok(None),
    }
}

/// Whether every embedding has a direction and, for inner products, a length whose exponentials are numbers.
fn can_be_differentiated(scenario: &Scenario) -> Result<bool> {
    let model = scenario.materialise()?;
    let session = Session::<f64>::new(&model);
    let mut norms = Side::ALL.into_iter().flat_map(|side| {
        let session = &session;
        (0..scenario.tower(side).rows).map(move |row| norm_f64(&session.embedding(side, row)))
    });
    // e^(8·8/τ) for the smallest temperature drawn, 1/8, is a number.
    let longest = if scenario.loss.similarity == Similarity::Dot {
        8.0
    } else {
        f64::INFINITY
    };
    Ok(norms.all(|norm| norm > 0.0 && norm < longest))
}

/// The body of the test of derivatives that [`suite!`](crate::suite!) makes.
///
/// # Panics
/// If two ways to a derivative disagree, with the block of parameters and the entry.
pub fn demand_derivatives(subject: &Subject) {
    match derivatives(subject) {
        Ok(None) => {}
        Ok(Some(report)) => panic!("{report}"),
        Err(error) => panic!("{error}"),
    }
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
        fn derivatives() {
            $crate::suite::demand_derivatives(&$subject);
        }

        #[test]
        fn every_claim_is_tested() {
            $crate::suite::demand_all(&[$($id),*]);
        }
    };
}
