//! In-batch negatives: the other positives of the batch. An item is then touched as often as it is popular.

use serde::{Deserialize, Serialize};

/// The other positives of the batch are the negatives.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InBatch {}
