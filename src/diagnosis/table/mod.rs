//! How embeddings hang on parameters, which rows are frozen, what is stored. Each is found by itself.
//!
//! | cause | what shows it |
//! |---|---|
//! | [`frozen_rows`] | rows with gradients that never move, while the measured rule would have moved them |
//! | [`shared_rows`] | rows with the same embedding in every step, or equal to the same row of a smaller table |
//! | [`summed_hashes`] | q_r is the same sum of several table rows in every step |
//! | [`deep_encoder`] | rows whose table row stays move, and no linear map makes q of the table |
//! | [`storage_precision`] | no number needs more bits than a narrower format has |

mod deep_encoder;
mod frozen_rows;
mod linear;
mod shared_rows;
mod storage_precision;
mod summed_hashes;

use super::{Case, Cause, Conclusion};

/// Every cause.
pub(super) const CAUSES: [&dyn Cause; 5] = [
    &frozen_rows::FrozenRows,
    &shared_rows::SharedRows,
    &summed_hashes::SummedHashes,
    &deep_encoder::DeepEncoder,
    &storage_precision::StoragePrecision,
];

/// What is seen.
pub(super) fn decide(case: &Case<'_>) -> Vec<Conclusion> {
    let mut found: Vec<Conclusion> = CAUSES.iter().filter_map(|cause| case.ask(*cause)).collect();
    // Ids with all of their hashes in common are one row; the sums say so too.
    if found.iter().any(|one| one.about.name == "summed-hashes") {
        found.retain(|one| one.about.name != "shared-rows");
    }
    found
}
