//! Twins and controls: named scenarios that show what a hypothesis is for.

use super::Claim;
use crate::condition::Condition;
use crate::encoder::{EncoderKind, table::TableEncoder};
use crate::error::Result;
use crate::loss::{EpsilonOn, Loss, Objective};
use crate::optimizer::decay::Form;
use crate::optimizer::projection::{Projection, View};
use crate::optimizer::{Decay, Optimizer, adam::Adam, adamp::Adamp, heavy_ball::HeavyBall, sgd::Sgd, sgdp::Sgdp};
use crate::reference::{Fault, Faulty};
use crate::rounding::Precision;
use crate::sampler::{Negatives, Sampler, in_batch::InBatch};
use crate::scenario::{Initial, Materialised, Scenario, Tower};
use crate::trainer::Trainer;
use crate::trajectory::{Rows, Settings, Side, Similarity, Trajectory};
use crate::verdict::Observation;

/// A named scenario, made from a seed.
#[derive(Clone)]
pub struct Specimen {
    /// What it is, as a short phrase.
    pub name: &'static str,
    /// The condition that it drops, if that is what it does.
    pub drops: Option<Condition>,
    scenario: fn(u64) -> Scenario,
    adapt: Option<fn(Scenario) -> Scenario>,
    fault: Option<Fault>,
    header: Option<fn(&mut Settings)>,
    variant: Option<Examine>,
}

/// How a scenario is judged: [`Claim::examine`] or a false variant of it.
pub type Examine = fn(&Materialised, &dyn Trainer) -> Result<Observation>;

impl Specimen {
    /// A scenario that drops a condition.
    pub fn dropping(condition: Condition, name: &'static str, scenario: fn(u64) -> Scenario) -> Self {
        Specimen { name, drops: Some(condition), scenario, adapt: None, fault: None, header: None, variant: None }
    }

    /// A scenario that drops a condition and yet must not break: a benign control.
    pub fn benign(condition: Condition, name: &'static str, scenario: fn(u64) -> Scenario) -> Self {
        Self::dropping(condition, name, scenario)
    }

    /// A scenario that drops nothing the claim lists.
    pub fn named(name: &'static str, scenario: fn(u64) -> Scenario) -> Self {
        Specimen { name, drops: None, scenario, adapt: None, fault: None, header: None, variant: None }
    }

    /// The same with its scenario changed, such as another update rule in every twin of a claim.
    pub fn adapted(mut self, adapt: fn(Scenario) -> Scenario) -> Self {
        self.adapt = Some(adapt);
        self
    }

    /// The same, trained by a trainer with a planted fault.
    pub fn with_fault(mut self, fault: Fault) -> Self {
        self.fault = Some(fault);
        self
    }

    /// The same, with another header than what was trained.
    pub fn with_header(mut self, header: fn(&mut Settings)) -> Self {
        self.header = Some(header);
        self
    }

    /// Whether a fault is planted in the trainer.
    pub fn has_fault(&self) -> bool {
        self.fault.is_some()
    }

    /// Whether what is trained or declared differs from what the scenario says.
    pub fn acts_on_the_trainer(&self) -> bool {
        self.fault.is_some() || self.header.is_some()
    }

    /// Judged by a false variant of the claim in place of the claim: a wrong sign, a wrong constant, a missing term. For
    /// identities that hold whatever is trained.
    pub fn judged_by(mut self, variant: Examine) -> Self {
        self.variant = Some(variant);
        self
    }

    /// Examines the scenario of a seed.
    ///
    /// # Errors
    /// The claim's and the trainer's.
    pub fn examine(
        &self,
        claim: &dyn Claim,
        materialised: &Materialised,
        trainer: &dyn Trainer,
    ) -> Result<Observation> {
        let trainer = self.trainer(trainer);
        match self.variant {
            Some(variant) => variant(materialised, &*trainer),
            None => claim.examine(materialised, &*trainer),
        }
    }

    /// The scenario for a seed.
    ///
    /// # Errors
    /// [`Scenario::validate`]'s.
    pub fn materialise(&self, seed: u64) -> Result<Materialised> {
        let scenario = (self.scenario)(seed);
        match self.adapt {
            Some(adapt) => adapt(scenario).materialise(),
            None => scenario.materialise(),
        }
    }

    /// The trainer that trains it: the given one, unless the specimen plants a fault or another header.
    pub fn trainer<'a>(&'a self, trainer: &'a dyn Trainer) -> Box<dyn Trainer + 'a> {
        match (self.fault, self.header) {
            (Some(fault), None) => Box::new(Faulty(fault)),
            (None, Some(header)) => Box::new(Misdeclared { trainer, header }),
            (Some(fault), Some(header)) => Box::new(Misdeclared { trainer: Faulty(fault), header }),
            (None, None) => Box::new(trainer),
        }
    }
}

/// A trainer whose header says something else than what ran.
struct Misdeclared<T> {
    trainer: T,
    header: fn(&mut Settings),
}

impl<T: Trainer> Trainer for Misdeclared<T> {
    fn name(&self) -> String {
        format!("{} with another header", self.trainer.name())
    }
    fn train(&self, materialised: &Materialised) -> Result<Trajectory> {
        let trajectory = self.trainer.train(materialised)?;
        let mut settings = trajectory.settings().clone();
        (self.header)(&mut settings);
        trajectory.with_settings(settings)
    }
}

/// A header in which the item tower is a table, whatever it is.
pub fn declare_table(settings: &mut Settings) {
    let mut optimizer = settings.for_tower(Some(Side::Item)).optimizer;
    if let Some(optimizer) = &mut optimizer {
        optimizer.other.remove("joined_tables");
    }
    settings.set_tower(Side::Item, &Settings { encoder: Some("id".into()), optimizer, ..Settings::default() });
}

/// A header in which the item tower's optimizer is changed.
pub fn redeclare(settings: &mut Settings, change: fn(&mut crate::trajectory::DeclaredOptimizer)) {
    let mut own = Settings {
        encoder: settings.for_tower(Some(Side::Item)).encoder,
        optimizer: settings.for_tower(Some(Side::Item)).optimizer,
        ..Settings::default()
    };
    change(own.optimizer.get_or_insert_default());
    settings.set_tower(Side::Item, &own);
}

/// The scenario that specimens start from: everything the theory asks for. Ten items of Zipf popularity, four users,
/// batches of twelve pairs, plain SGD on cosine InfoNCE.
pub fn plain(seed: u64) -> Scenario {
    let tower = |rows| Tower {
        rows,
        encoder: EncoderKind::Table(TableEncoder {}),
        optimizer: Optimizer::Sgd(Sgd { lr: 1.0.into(), decay: None, rows: Rows::Dense }),
        update: Default::default(),
        initial: Initial::Normal { std: 0.5 },
    };
    Scenario {
        dim: 4,
        steps: 12,
        seed,
        precision: Precision::F64,
        loss: Loss::info_nce(Similarity::Cosine, 0.5),
        sampler: Sampler { batch: 12, exponent: 1.0, negatives: Negatives::InBatch(InBatch {}) },
        item: tower(10),
        user: tower(4),
        batches: None,
    }
}

/// [`plain`] with another item optimizer.
pub fn with_optimizer(seed: u64, optimizer: Optimizer) -> Scenario {
    let mut scenario = plain(seed);
    scenario.item.optimizer = optimizer;
    scenario
}

/// [`plain`] with another item encoder.
pub fn with_encoder(seed: u64, encoder: EncoderKind) -> Scenario {
    let mut scenario = plain(seed);
    scenario.item.encoder = encoder;
    scenario
}

/// Inner products in place of cosines.
pub fn dot_product(seed: u64) -> Scenario {
    let mut scenario = plain(seed);
    scenario.loss.similarity = Similarity::Dot;
    scenario
}

/// Inner products by SGDP whose table may pass the test that single rows fail.
pub fn sgdp_of_tables(seed: u64) -> Scenario {
    let mut scenario = dot_product(seed);
    let lr = scenario.item.optimizer.schedule().clone();
    let projection = Projection { view: View::RowThenTable, delta: 1.0, decay_ratio: 1.0 };
    let rule = Sgdp { lr, momentum: 0.5, dampening: 0.0, epsilon: 0.0, projection, decay: None, rows: Rows::Dense };
    scenario.item.optimizer = Optimizer::Sgdp(rule);
    scenario
}

/// The same by AdamP.
pub fn adamp_of_tables(seed: u64) -> Scenario {
    let mut scenario = dot_product(seed);
    let lr = scenario.item.optimizer.schedule().clone();
    let projection = Projection { view: View::RowThenTable, delta: 1.0, decay_ratio: 1.0 };
    let rule = Adamp { lr, betas: (0.5, 0.75), epsilon: 1e-8, projection, decay: None, rows: Rows::Dense };
    scenario.item.optimizer = Optimizer::Adamp(rule);
    scenario
}

/// An epsilon above most norms.
pub fn active_epsilon(seed: u64) -> Scenario {
    with_epsilon(seed, EpsilonOn::Norm)
}

/// An epsilon of 2, where a convention puts it.
pub fn with_epsilon(seed: u64, epsilon_on: EpsilonOn) -> Scenario {
    let mut scenario = plain(seed);
    scenario.loss = Loss { epsilon: 2.0, epsilon_on, ..scenario.loss };
    scenario
}

/// [`plain`] with another loss, on cosines.
pub fn with_objective(seed: u64, objective: Objective) -> Scenario {
    let mut scenario = plain(seed);
    scenario.loss = Loss::new(Similarity::Cosine, objective);
    scenario
}

/// [`plain`] with other negatives.
pub fn with_negatives(seed: u64, negatives: Negatives) -> Scenario {
    let mut scenario = plain(seed);
    scenario.sampler.negatives = negatives;
    scenario
}

/// An epsilon far below every norm: a clamp that is never active.
pub fn inactive_epsilon(seed: u64) -> Scenario {
    let mut scenario = plain(seed);
    scenario.loss.epsilon = 0.5_f64.powi(40);
    scenario
}

/// A private two-layer network.
pub fn two_layer(seed: u64) -> Scenario {
    let network = crate::encoder::two_layer::TwoLayer { features: 3, hidden: 4 };
    with_encoder(seed, EncoderKind::TwoLayer(network))
}

/// A linear map shared by all items.
pub fn shared_linear(seed: u64) -> Scenario {
    with_encoder(seed, EncoderKind::SharedLinear(crate::encoder::shared_linear::SharedLinear { features: 3 }))
}

/// A private affine map with a frozen bias.
pub fn frozen_bias(seed: u64) -> Scenario {
    let map = crate::encoder::affine::Affine { features: 2, bias: crate::encoder::affine::Bias::Frozen };
    with_encoder(seed, EncoderKind::Affine(map))
}

/// Heavy-ball momentum with dense updates.
pub fn momentum(seed: u64) -> Scenario {
    with_optimizer(
        seed,
        Optimizer::HeavyBall(HeavyBall {
            lr: 0.5.into(),
            momentum: 0.9,
            dampening: 0.0,
            decay: None,
            rows: Rows::Dense,
        }),
    )
}

/// Dense coupled weight decay.
pub fn weight_decay(seed: u64) -> Scenario {
    let decay = Some(Decay { rate: 0.1, form: Form::Coupled });
    with_optimizer(seed, Optimizer::Sgd(Sgd { lr: 1.0.into(), decay, rows: Rows::Dense }))
}

/// Adam.
pub fn adam(seed: u64) -> Scenario {
    with_optimizer(seed, Optimizer::Adam(Adam::with_rate(0.05)))
}

/// Element-wise AdaGrad.
pub fn adagrad(seed: u64) -> Scenario {
    let rule = crate::optimizer::adagrad::Adagrad { lr: 0.1.into(), epsilon: 0.0, decay: None, rows: Rows::Dense };
    with_optimizer(seed, Optimizer::Adagrad(rule))
}

/// Row-wise AdaGrad: adaptive, yet one scalar a row.
pub fn rowwise_adagrad(seed: u64) -> Scenario {
    let rule = crate::optimizer::rowwise_adagrad::RowwiseAdagrad {
        lr: 0.1.into(),
        epsilon: 0.0,
        decay: None,
        rows: Rows::Dense,
    };
    with_optimizer(seed, Optimizer::RowwiseAdagrad(rule))
}

/// A learning rate that warms up from zero.
pub fn warm_up(seed: u64) -> Scenario {
    let lr = crate::optimizer::Schedule::Warmup { from: 0.0, to: 1.0, steps: 6 };
    with_optimizer(seed, Optimizer::Sgd(Sgd { lr, decay: None, rows: Rows::Dense }))
}

/// A user tower that is deep and trained by Adam.
pub fn deep_user_tower(seed: u64) -> Scenario {
    let mut scenario = plain(seed);
    scenario.user.encoder = EncoderKind::Mlp(crate::encoder::mlp::Mlp {
        features: 3,
        hidden: vec![5, 5],
        bias: true,
        activation: Default::default(),
    });
    scenario.user.optimizer = Optimizer::Adam(Adam::with_rate(0.05));
    scenario
}

/// What a claim observes on the reference trajectory of [`plain`], in digits that do not depend on the machine; on its first
/// control where that trajectory says nothing to it.
#[cfg(test)]
pub(crate) fn reference_observation(claim: &dyn super::Claim) -> String {
    use crate::geometry::norm_f64;

    let reference = crate::reference::Reference;
    let mut materialised = plain(1).materialise().unwrap();
    let mut observation = claim.examine(&materialised, &reference).unwrap();
    // A claim about other rules than SGD says nothing there, but of its own first control.
    if observation.judged == 0 {
        materialised = claim.controls()[0].materialise(1).unwrap();
        observation = claim.examine(&materialised, &reference).unwrap();
    }
    let trajectory = crate::reference::Reference.train(&materialised).unwrap();
    let tower = trajectory.towers()[0];
    let mut q = vec![0.0; tower.dim()];
    let norms: Vec<String> = (0..3)
        .map(|row| {
            assert!(tower.embedding(tower.steps(), row, &mut q));
            format!("{:.9}", norm_f64(&q))
        })
        .collect();
    format!("{}, {} judged; norms {}", observation.observed, observation.judged, norms.join(" "))
}
