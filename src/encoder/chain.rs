//! Encoders that are chains of affine layers: what a change of one parameter changes, and what it leaves.
//!
//! A parameter of layer l moves one pre-activation of that layer, in every slot by a multiple of that slot's input: all that
//! comes before it, and every other unit of the layer, stays. Whoever needs the embeddings for many small changes of single
//! parameters, such as [`jacobian::coordinates`](crate::jacobian::coordinates), starts there.

use super::activation::Activation;

/// An encoder as affine layers with an activation between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chain {
    /// q_i = W_i x_i + b_i of one's own parameters, x_i the first `features` constants of the row. Blocks: `weight`
    /// `[rows, d·features]` where there are features, then `bias` `[rows, d]` where it is trained.
    Private {
        /// Length of x; 0 = no weight.
        features: usize,
        /// Whether the bias is a parameter.
        bias: bool,
    },
    /// h_l = σ(W_l h_{l−1} + b_l) for all rows together, h_0 = x_i all constants of the row, no σ behind the last layer. One
    /// block a layer, `[out, in]` or with the bias last `[out, in + 1]`.
    Shared {
        /// How many layers.
        layers: usize,
        /// Whether each layer has a bias.
        bias: bool,
        /// σ.
        activation: Activation,
    },
}
