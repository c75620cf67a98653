//! Designs that people use, as scenarios of generated data: which conditions each meets, and what it does.
//!
//! A preset says how towers, loss and optimizer are put together, not how well they recommend: sizes are those of a minute,
//! interactions are drawn. Where a design has parts that the crate has not (attention, text encoders), the preset has the
//! part that decides its conditions and says so.
//!
//! ```
//! use perpend::{condition::Condition, presets, trajectory::Side, verdict::Status};
//! let lightgcn = presets::find("lightgcn")?.scenario(1);
//! assert!(matches!(lightgcn.status(Side::Item, Condition::PrivateParameters), Status::Unmet(_)));
//! # Ok::<(), perpend::Error>(())
//! ```

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::claims::observe_run;
use crate::condition::Condition;
use crate::encoder::activation::Activation;
use crate::encoder::graph::{Graph, light_gcn};
use crate::encoder::{EncoderKind, history_mean::HistoryMean, mlp::Mlp, residual::Residual, table::TableEncoder};
use crate::error::{Error, Result};
use crate::geometry::norm_f64;
use crate::loss::{
    Loss, Objective, ObjectiveFunction, bpr::Bpr, bsl::Bsl, contrastive::Contrastive, info_nce::InfoNce,
};
use crate::optimizer::decay::Form;
use crate::optimizer::{Decay, Optimizer, Update, adam::Adam, sgd::Sgd};
use crate::reference::Reference;
use crate::rounding::Precision;
use crate::sampler::{Batch, Negatives, Sampler, in_batch::InBatch, uniform::Uniform};
use crate::scenario::{Initial, Scenario, Tower};
use crate::statistics::spearman;
use crate::trainer::Trainer;
use crate::trajectory::{Rows, Side, Similarity};
use crate::verdict::{Angles, Observed, Status};

/// A design.
#[derive(Debug, Clone, Copy)]
pub struct Preset {
    /// Its name.
    pub name: &'static str,
    /// What it is, and what it leaves out.
    pub about: &'static str,
    /// Where it comes from.
    pub source: &'static str,
    scenario: fn(u64) -> Scenario,
}

/// The four conditions of `update-orthogonality` that a design decides.
pub const CONDITIONS: [Condition; 4] = [
    Condition::CosineLoss,
    Condition::IsotropicJacobian,
    Condition::PrivateParameters,
    Condition::ScalarStep,
];

/// Every design.
pub const ALL: &[Preset] = &[
    Preset {
        name: "mf-dot",
        about: "matrix factorisation: two tables, inner products, BPR, SGD",
        source: "Rendle et al. 2009 (BPR)",
        scenario: |seed| design(seed, table(), table(), dot(bpr()), sgd(4.0), uniform(1)),
    },
    Preset {
        name: "mf-cosine",
        about: "two tables, cosines, InfoNCE with in-batch negatives, SGD: all that the theory asks for",
        source: "Wang et al. 2017 (NormFace) for the loss",
        scenario: |seed| design(seed, table(), table(), cosine(info_nce(0.2)), sgd(1.0), in_batch()),
    },
    Preset {
        name: "mf-bsl",
        about: "two tables, cosines, bilateral softmax loss, uniform negatives, Adam",
        source: "Wu et al. 2024 (BSL)",
        scenario: |seed| {
            let objective = Objective::Bsl(Bsl { positive_temperature: 0.22, temperature: 0.2 });
            design(seed, table(), table(), cosine(objective), adam(), uniform(8))
        },
    },
    Preset {
        name: "youtube-history",
        about: "users are the mean of the item rows in their history, items are looked up in the same table; log-Q correction; \
                without the layers above the mean",
        source: "Covington et al. 2016; Yi et al. 2019 for cosine and log-Q",
        scenario: |seed| {
            let objective = Objective::InfoNce(InfoNce { temperature: 0.2, log_q: true });
            design(seed, table(), history(), cosine(objective), sgd(1.0), in_batch())
        },
    },
    Preset {
        name: "dssm",
        about: "two tanh towers over features, cosines, softmax over one positive and four uniform negatives, SGD",
        source: "Huang et al. 2013 (DSSM)",
        scenario: |seed| {
            let tower = || tower(&[16], Activation::Tanh);
            design(seed, tower(), tower(), cosine(info_nce(0.2)), sgd(0.5), uniform(4))
        },
    },
    Preset {
        name: "lightgcn",
        about: "both tables propagated over the graph of interactions, two layers; inner products, BPR, Adam with decay",
        source: "He et al. 2020 (LightGCN)",
        scenario: |seed| {
            let graph = || EncoderKind::Graph(Graph { bipartite: true });
            let decayed = Optimizer::Adam(Adam {
                decay: Some(Decay { rate: 1e-4, form: Form::Coupled }),
                ..Adam::with_rate(0.01)
            });
            propagated(design(seed, graph(), graph(), dot(bpr()), decayed, uniform(1)))
        },
    },
    Preset {
        name: "simplex",
        about: "users are the mean of their history's item rows, cosine contrastive loss with margin and weight, many uniform \
                negatives, Adam; without the user's own row in the mean",
        source: "Mao et al. 2021 (SimpleX)",
        scenario: |seed| {
            let objective = Objective::Contrastive(Contrastive { margin: 0.3, weight: 8.0 });
            design(seed, table(), history(), cosine(objective), adam(), uniform(8))
        },
    },
    Preset {
        name: "contextgnn-lookup",
        about: "the two-tower branch with an item lookup: item table, deep user tower (its graph enters as features), inner \
                products, Adam",
        source: "Yuan et al. 2024 (ContextGNN)",
        scenario: |seed| design(seed, table(), tower(&[16], Activation::Relu), dot(info_nce(1.0)), adam(), uniform(4)),
    },
    Preset {
        name: "contextgnn-fusion",
        about: "the fused branch: both towers are residual networks (the graph enters as features), inner products, Adam",
        source: "Yuan et al. 2024 (ContextGNN)",
        scenario: |seed| design(seed, residual(), residual(), dot(info_nce(1.0)), adam(), uniform(4)),
    },
    Preset {
        name: "metadata",
        about: "items are a ReLU network of their metadata, users are looked up, cosines, InfoNCE, Adam",
        source: "common practice for cold items",
        scenario: |seed| {
            design(seed, tower(&[16, 16], Activation::Relu), table(), cosine(info_nce(0.2)), adam(), in_batch())
        },
    },
    Preset {
        name: "clip",
        about: "two deep GELU towers with skip connections, cosines, in-batch softmax in the direction user to item, decoupled \
                decay; without the direction item to user, attention and the trained temperature",
        source: "Radford et al. 2021 (CLIP)",
        scenario: |seed| {
            let gelu = || {
                let activation = Activation::Gelu;
                EncoderKind::Residual(Residual { features: 6, hidden: 16, depth: 2, activation, bias: true })
            };
            let decayed = Optimizer::Adam(Adam {
                decay: Some(Decay { rate: 0.1, form: Form::Decoupled }),
                ..Adam::with_rate(0.003)
            });
            design(seed, gelu(), gelu(), cosine(info_nce(0.1)), decayed, in_batch())
        },
    },
];

/// The design of this name.
///
/// # Errors
/// A usage error that lists the names.
pub fn find(name: &str) -> Result<&'static Preset> {
    ALL.iter().find(|preset| preset.name == name).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|preset| preset.name).collect();
        Error::usage("preset", format!("one of {}", known.join(", ")), name)
    })
}

fn table() -> EncoderKind {
    EncoderKind::Table(TableEncoder {})
}
fn history() -> EncoderKind {
    EncoderKind::HistoryMean(HistoryMean { length: 6, own_rows: None })
}
fn tower(hidden: &[usize], activation: Activation) -> EncoderKind {
    EncoderKind::Mlp(Mlp { features: 6, hidden: hidden.to_vec(), bias: true, activation })
}
fn residual() -> EncoderKind {
    let activation = Activation::Relu;
    EncoderKind::Residual(Residual { features: 6, hidden: 16, depth: 2, activation, bias: true })
}
fn info_nce(temperature: f64) -> Objective {
    Objective::InfoNce(InfoNce { temperature, log_q: false })
}
fn bpr() -> Objective {
    Objective::Bpr(Bpr { temperature: 1.0 })
}
fn cosine(objective: Objective) -> Loss {
    Loss::new(Similarity::Cosine, objective)
}
fn dot(objective: Objective) -> Loss {
    Loss::new(Similarity::Dot, objective)
}
fn sgd(rate: f64) -> Optimizer {
    Optimizer::Sgd(Sgd { lr: rate.into(), decay: None, rows: Rows::Dense })
}
fn adam() -> Optimizer {
    Optimizer::Adam(Adam::with_rate(0.01))
}
fn in_batch() -> Negatives {
    Negatives::InBatch(InBatch {})
}
fn uniform(count: usize) -> Negatives {
    Negatives::Uniform(Uniform { count })
}

/// Forty items of Zipf popularity, 24 users, d = 8, 120 batches of 32 pairs.
fn design(
    seed: u64,
    item: EncoderKind,
    user: EncoderKind,
    loss: Loss,
    optimizer: Optimizer,
    negatives: Negatives,
) -> Scenario {
    let tower = |rows, encoder| Tower {
        rows,
        encoder,
        optimizer: optimizer.clone(),
        update: Update::default(),
        initial: Initial::Normal { std: 0.3 },
    };
    Scenario {
        dim: 8,
        steps: 120,
        seed,
        precision: Precision::F64,
        loss,
        sampler: Sampler { batch: 32, exponent: 1.0, negatives },
        item: tower(40, item),
        user: tower(24, user),
        batches: None,
    }
}

fn pairs(batch: &Batch) -> impl Iterator<Item = (usize, usize)> {
    batch.users.iter().copied().zip(batch.positives.iter().copied())
}

/// Both graphs of a design over the interactions of its first batches.
fn propagated(scenario: Scenario) -> Scenario {
    let model = scenario.materialise().expect("a valid design");
    let mut explicit = scenario;
    let mut random = ChaCha8Rng::seed_from_u64(explicit.seed);
    let (items, users) = (explicit.item.rows, explicit.user.rows);
    let mut edges: Vec<(usize, usize)> = model.batches.iter().take(4).flat_map(pairs).collect();
    // No item is without a neighbour.
    edges.extend((0..items).map(|item| (random.random_range(0..users), item)));
    let (of_items, of_users) = light_gcn(items, users, &edges, 2);
    for (side, weights) in [(Side::Item, of_items), (Side::User, of_users)] {
        let tables = model.tower(side).tables.iter().map(|table| table.values().to_vec()).collect();
        explicit.tower_mut(side).initial = Initial::Explicit { tables, constants: weights };
    }
    explicit
}

/// What a design did, on its item tower.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// The preset.
    pub name: &'static str,
    /// Cosine or inner product.
    pub similarity: Similarity,
    /// The loss.
    pub loss: &'static str,
    /// The item tower's encoder.
    pub encoder: &'static str,
    /// The item tower's optimizer.
    pub optimizer: String,
    /// Predicted by what it is: [`CONDITIONS`], in their order.
    pub conditions: Vec<Status>,
    /// Whether its steps were orthogonal to the embeddings.
    pub orthogonal: Observed,
    /// √(Σ⟨q̂,Δq⟩²/Σ‖Δq‖²): 0 = orthogonal, 1 = along the embedding.
    pub leak: Option<f64>,
    /// Distribution of the angle between embedding and step.
    pub angles: Option<Angles>,
    /// Median of ‖q_T‖/‖q_0‖ over items.
    pub growth: f64,
    /// Spearman's ρ between how often an item was a positive and ‖q_T‖.
    pub coupling: Option<f64>,
}

impl Preset {
    /// The scenario for a seed.
    pub fn scenario(&self, seed: u64) -> Scenario {
        (self.scenario)(seed)
    }

    /// Whether its item tower meets each of [`CONDITIONS`], by what it is.
    pub fn conditions(&self) -> Vec<Status> {
        let scenario = self.scenario(0);
        CONDITIONS.iter().map(|&condition| scenario.status(Side::Item, condition)).collect()
    }

    /// Trains it once and measures the item tower.
    ///
    /// # Errors
    /// The trainer's.
    pub fn measure(&self, seed: u64) -> Result<Measured> {
        let scenario = self.scenario(seed);
        let model = scenario.materialise()?;
        let trajectory = Reference.train(&model)?;
        let steps = observe_run("update-orthogonality", &trajectory, Some(&model))?;
        let tower = trajectory.towers()[0];
        let mut lookups = vec![0.0; tower.rows()];
        model.batches.iter().flat_map(|batch| &batch.positives).for_each(|&item| lookups[item] += 1.0);
        let norms = |step: usize| -> Vec<f64> {
            let mut q = vec![0.0; tower.dim()];
            let mut norm = |row| {
                if tower.embedding(step, row, &mut q) {
                    norm_f64(&q)
                } else {
                    f64::NAN
                }
            };
            (0..tower.rows()).map(&mut norm).collect()
        };
        let (first, last) = (norms(0), norms(tower.steps()));
        let mut growth: Vec<f64> = first.iter().zip(&last).map(|(first, last)| last / first).collect();
        growth.sort_by(f64::total_cmp);
        Ok(Measured {
            name: self.name,
            similarity: scenario.loss.similarity,
            loss: scenario.loss.objective.name(),
            encoder: crate::encoder::Architecture::name(&scenario.item.encoder),
            optimizer: scenario.item.optimizer.declare().name.unwrap_or_default(),
            conditions: self.conditions(),
            orthogonal: steps.observed,
            leak: steps.leak,
            angles: steps.angles,
            growth: growth[growth.len() / 2],
            coupling: spearman(&lookups, &last),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn designs_have_names_of_their_own_and_are_valid() {
        let names: BTreeSet<_> = ALL.iter().map(|preset| preset.name).collect();
        assert_eq!(names.len(), ALL.len());
        for preset in ALL {
            preset.scenario(3).validate().unwrap();
            assert_eq!(Scenario::from_toml(&preset.scenario(3).to_toml()).unwrap(), preset.scenario(3));
        }
        assert!(find("word2vec").is_err_and(|error| error.is_usage()));
    }

    /// The prediction is what is observed: steps are orthogonal exactly where all four conditions are met.
    #[test]
    fn designs_that_meet_the_conditions_step_orthogonally_and_no_others_do() {
        for preset in ALL {
            for seed in [1, 2] {
                let measured = preset.measure(seed).unwrap();
                let met = measured.conditions.iter().all(|status| matches!(status, Status::Met(_)));
                let expected = if met { Observed::Holds } else { Observed::Breaks };
                assert_eq!(measured.orthogonal, expected, "{}: {measured:#?}", preset.name);
            }
        }
        assert!(ALL.iter().any(|preset| preset.conditions().iter().all(|status| matches!(status, Status::Met(_)))));
    }

    /// Cosine, private, isotropic, SGD: popular items end up long, and no item ends up shorter.
    #[test]
    fn the_design_of_the_theory_couples_norms_to_popularity() {
        let measured = find("mf-cosine").unwrap().measure(1).unwrap();
        assert!(measured.coupling.unwrap() > 0.5 && measured.growth > 1.0, "{measured:#?}");
    }
}
