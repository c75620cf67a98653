//! Every similarity with every loss, encoder and optimizer of a short list: what the angles of steps, the growth of norms and
//! their coupling to popularity are in each cell. The designs of [`ALL`](super::ALL) are points of this table; the table shows
//! which of their parts makes what.

use rayon::prelude::*;

use super::{Measured, adam, design, in_batch, info_nce, sgd, table, tower, uniform};
use crate::encoder::activation::Activation;
use crate::encoder::{EncoderKind, hash, projection::Projection, shared_linear::SharedLinear};
use crate::error::Result;
use crate::loss::{
    Loss, Objective, alignment_uniformity::AlignmentUniformity, bpr::Bpr, bsl::Bsl, contrastive::Contrastive,
    cosine_embedding::CosineEmbedding, full_softmax::FullSoftmax, triplet::Triplet,
};
use crate::optimizer::{Optimizer, heavy_ball::HeavyBall, rowwise_adagrad::RowwiseAdagrad};
use crate::sampler::{Negatives, full::Full};
use crate::scenario::Scenario;
use crate::trajectory::{Rows, Similarity};

/// Each loss with its negatives.
fn losses() -> Vec<(Objective, Negatives)> {
    vec![
        (info_nce(0.2), in_batch()),
        (Objective::FullSoftmax(FullSoftmax { temperature: 0.2 }), Negatives::Full(Full {})),
        (Objective::Bpr(Bpr { temperature: 0.2 }), uniform(1)),
        (Objective::Triplet(Triplet { margin: 0.5 }), uniform(1)),
        (Objective::Contrastive(Contrastive { margin: 0.3, weight: 1.0 }), uniform(4)),
        (Objective::AlignmentUniformity(AlignmentUniformity { weight: 1.0, t: 2.0 }), in_batch()),
        (Objective::CosineEmbedding(CosineEmbedding { margin: 0.0 }), uniform(1)),
        (Objective::Bsl(Bsl { positive_temperature: 0.22, temperature: 0.2 }), uniform(4)),
    ]
}

fn encoders() -> Vec<EncoderKind> {
    vec![
        table(),
        EncoderKind::Projection(Projection { inner: 8 }),
        EncoderKind::Hash(hash::Hash { buckets: 20, hashes: 2, weights: hash::Weights::Absent }),
        EncoderKind::SharedLinear(SharedLinear { features: 6 }),
        tower(&[16], Activation::Relu),
    ]
}

fn optimizers() -> Vec<Optimizer> {
    let ball = HeavyBall { lr: 0.1.into(), momentum: 0.9, dampening: 0.0, decay: None, rows: Rows::Dense };
    let rowwise = RowwiseAdagrad { lr: 0.05.into(), epsilon: 1e-8, decay: None, rows: Rows::Dense };
    vec![sgd(1.0), Optimizer::HeavyBall(ball), adam(), Optimizer::RowwiseAdagrad(rowwise)]
}

/// The scenarios of all cells: similarity × loss × item encoder × optimizer; the user tower is a table.
pub fn scenarios(seed: u64) -> Vec<Scenario> {
    let mut all = Vec::new();
    for similarity in [Similarity::Cosine, Similarity::Dot] {
        for (objective, negatives) in losses() {
            for encoder in encoders() {
                for optimizer in optimizers() {
                    let loss = Loss::new(similarity, objective.clone());
                    all.push(design(seed, encoder.clone(), table(), loss, optimizer, negatives.clone()));
                }
            }
        }
    }
    all
}

/// Trains every cell once and measures its item tower; None where the run left the finite numbers.
///
/// # Errors
/// The trainer's.
pub fn measure(seed: u64) -> Result<Vec<(Scenario, Option<Measured>)>> {
    let one = |scenario: Scenario| match super::measure("", &scenario) {
        Ok(measured) => Ok((scenario, Some(measured))),
        Err(error) if error.is_not_finite() => Ok((scenario, None)),
        Err(error) => Err(error),
    };
    scenarios(seed).into_par_iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::{Observed, Status};

    /// The prediction is what is observed, in all cells that hold still: where all conditions are met no step breaks, and where
    /// one is unmet none is called orthogonal by chance.
    #[test]
    fn cells_that_meet_the_conditions_step_orthogonally_and_cosine_tables_grow() {
        let mut met = 0;
        for (scenario, measured) in measure(1).unwrap() {
            let Some(measured) = measured else { continue };
            let all = measured.conditions.iter().all(|status| matches!(status, Status::Met(_)));
            if all {
                met += 1;
                assert_ne!(measured.orthogonal, Observed::Breaks, "{scenario:?}: {measured:?}");
                assert!(measured.growth >= 1.0, "{scenario:?}: {measured:?}");
            } else {
                assert_ne!(measured.orthogonal, Observed::Holds, "{scenario:?}: {measured:?}");
            }
        }
        // Eight losses on cosines, a table, and the two optimizers that take one scalar a row.
        assert_eq!(met, 16);
    }
}
