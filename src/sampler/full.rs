//! All items as candidates of every pair: nothing is sampled. Every item is touched in every step.

use serde::{Deserialize, Serialize};

/// Every item is a candidate of every pair, after the pair's own positive.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Full {}
