//! # Homogeneous layers
//!
//! Where scaling one block of parameters, c·W_ℓ, scales every embedding by c^k (bias-free linear and ReLU layers have k = 1),
//! Euler's identity makes its gradient orthogonal to it, layer by layer, for the whole batch:
//!
//! ```text
//! ⟨W_ℓ, ∇W_ℓ⟩ = k·Σ_j ⟨q_j, g_j⟩ = 0,    so    ‖W_ℓ'‖² = ‖W_ℓ‖² + η²·‖∇W_ℓ‖²
//! ```
//!
//! although single embeddings move inwards and outwards. The last layer may have a bias: it counts as a part of the block. A
//! bias in an earlier layer, an activation that is not homogeneous (GELU, tanh), the gain of a layer norm that also has a
//! bias, and a skip connection end it for the blocks below; a skip connection does so without any bias. A direction
//! that is normalised (k = 0) keeps it whatever the loss is.
//!
//! *Hypotheses*: CosineLoss, NoMomentum, NoDecay, NoCoordinateScaling, FreshGradient, NoEpsilon, and homogeneity of the block,
//! which is a property of the encoder: only such blocks are judged.
//! *Shapes*: W_ℓ: any block. *Judged*: every block and step.
//! *Allowed residual*: running error analysis: twice the bounds of the step and of the loss's gradient at the recorded
//! parameters, and of the check.
//! *Twins that must break it*: inner products; momentum; weight decay; Adam; stale gradients; an active epsilon; all blocks
//! judged alike in towers with biases, GELU, tanh, skip connections, a layer norm with gain and bias. *Controls that must not*:
//! bias-free ReLU towers, two-layer networks, a bottleneck, the last layer of a GELU tower with biases.
//! *Proof*: proofs/theories/HomogeneousLayers.v.
//! *Source*: scale invariance of single weights: Arora, Li and Lyu 2018; layers of two-tower models: derived here.

use super::ensemble_growth::{CONDITIONS, twins_of_the_conditions};
use super::specimen::{self, Specimen};
use super::steps::{PYTHAGORAS, Steps};
use super::{About, Claim, Kind, Sampling, Standing, update_kernel};
use crate::encoder::activation::Activation;
use crate::encoder::affine::Bias;
use crate::encoder::{EncoderKind, layer_norm, mlp, residual};
use crate::error::Result;
use crate::facts::Tally;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::verdict::{Observation, Place};

/// ‖W_ℓ'‖² = ‖W_ℓ‖² + η²‖∇W_ℓ‖².
pub struct HomogeneousLayers;

const LAYERED: &[&str] = &[
    "two-layer",
    "gain-vector",
    "weight-norm",
    "projection",
    "dropout",
    "hash-weighted",
    "shared-linear",
    "bottleneck",
    "mlp",
    "residual",
    "layer-norm",
    "affine",
];

/// Whether embeddings are homogeneous in one block of their parameters.
fn is_homogeneous(kind: &EncoderKind, block: usize) -> bool {
    match kind {
        EncoderKind::Table(_)
        | EncoderKind::TwoLayer(_)
        | EncoderKind::GainVector(_)
        | EncoderKind::WeightNorm(_)
        | EncoderKind::Projection(_)
        | EncoderKind::Dropout(_)
        | EncoderKind::Hash(_)
        | EncoderKind::SharedLinear(_)
        | EncoderKind::Bottleneck(_) => true,
        EncoderKind::Affine(affine) => affine.bias == Bias::Absent,
        // The last block is all of the output, its bias included.
        EncoderKind::Mlp(mlp) => block == mlp.hidden.len() || (mlp.activation.is_homogeneous() && !mlp.bias),
        // Only what all blocks build on scales them all.
        EncoderKind::Residual(residual) => {
            block == 0 && (residual.depth == 0 || (residual.activation.is_homogeneous() && !residual.bias))
        }
        EncoderKind::LayerNorm(layer) => block == 0 && layer.epsilon == 0.0,
        EncoderKind::HistoryMean(history) => history.own_rows.is_some(),
        EncoderKind::Graph(graph) => !graph.bipartite,
        EncoderKind::Adapter(_) | EncoderKind::Own(_) => false,
    }
}

fn judge(materialised: &Materialised, trainer: &dyn Trainer, all: bool) -> Result<Observation> {
    let steps = Steps::train(materialised, trainer)?;
    let mut tally = Tally::default();
    for step in steps.iter() {
        let judged: Vec<_> =
            (0..step.tables.len()).filter(|&block| all || is_homogeneous(step.kind(), block)).collect();
        if judged.is_empty() {
            continue;
        }
        let (moved, gradient) = (step.step_errors(), step.gradient_errors());
        for block in judged {
            if let Some(measured) = step.pythagoras(block, &moved, &gradient) {
                tally.judge(Place { step: step.number as u64, row: block as u64 }, &measured);
            }
        }
    }
    Ok(tally.observe(PYTHAGORAS, "nothing to judge: no homogeneous block moved"))
}

fn all_blocks(materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
    judge(materialised, trainer, true)
}

fn tower(seed: u64, activation: Activation, bias: bool) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::Mlp(mlp::Mlp { features: 3, hidden: vec![6, 5], bias, activation }))
}
fn relu(seed: u64) -> Scenario {
    tower(seed, Activation::Relu, false)
}
fn relu_with_bias(seed: u64) -> Scenario {
    tower(seed, Activation::Relu, true)
}
fn gelu(seed: u64) -> Scenario {
    tower(seed, Activation::Gelu, false)
}
fn tanh(seed: u64) -> Scenario {
    tower(seed, Activation::Tanh, false)
}
fn gelu_with_bias(seed: u64) -> Scenario {
    tower(seed, Activation::Gelu, true)
}
fn skip(seed: u64) -> Scenario {
    let (activation, bias) = (Activation::Relu, false);
    let residual = residual::Residual { features: 3, hidden: 6, depth: 1, activation, bias };
    specimen::with_encoder(seed, EncoderKind::Residual(residual))
}
fn layer_norm(seed: u64) -> Scenario {
    specimen::with_encoder(seed, EncoderKind::LayerNorm(layer_norm::LayerNorm { affine: true, epsilon: 0.0 }))
}

const ABOUT: About = About {
    id: "homogeneous-layers",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "parameters that embeddings are homogeneous in grow layer by layer: ‖W'‖² = ‖W‖² + η²‖∇W‖²",
    conditions: CONDITIONS,
    source: "Arora, Li and Lyu 2018 for single weights; layers of two-tower models: derived here",
    derivation: PYTHAGORAS,
    sampling: Sampling::EveryCase,
    text: include_str!("homogeneous_layers.rs"),
};

impl Claim for HomogeneousLayers {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Only(LAYERED), optimizers: Optimizers::Sgd, ..Family::default() }
    }
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        judge(materialised, trainer, false)
    }
    fn twins(&self) -> Vec<Specimen> {
        let all = |name, scenario| Specimen::named(name, scenario).judged_by(all_blocks);
        let mut twins = twins_of_the_conditions();
        twins.extend([
            all("every layer of a ReLU tower with biases", relu_with_bias),
            all("every layer of a GELU tower", gelu),
            all("every layer of a tanh tower", tanh),
            all("every block around a skip connection", skip),
            all("gain and bias of a layer norm", layer_norm),
        ]);
        twins
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("a bias-free ReLU tower", relu),
            Specimen::named("the last layer of a GELU tower with biases", gelu_with_bias),
            Specimen::named("a two-layer network", specimen::two_layer),
            Specimen::named("a gain times a vector", update_kernel::gain_vector),
            Specimen::named("a bottleneck", update_kernel::bottleneck),
            Specimen::named("the input of residual blocks", skip),
            Specimen::named("a row under a layer norm", layer_norm),
            Specimen::named("a warm-up schedule", specimen::warm_up),
        ]
    }
}

theorem!(homogeneous_layers, HomogeneousLayers, "holds, 12 judged; norms 1.668013155 1.186564277 1.354420513");
