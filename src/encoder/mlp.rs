//! A multi-layer tower shared by all rows: h_0 = x_i, h_l = σ(W_l h_{l−1} + b_l), q_i = W_L h_{L−1} + b_L, with σ = ReLU,
//! GELU or tanh.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::{Architecture, Block, Chain, Constant, Constants, Encoder, Gradient, Place, Size, layer};
use crate::geometry::Table;
use crate::number::Real;
use crate::verdict::Status;

/// A network. Shapes: x: `[features]`, W_l: `[out, in]` (one table row an output unit, its bias last).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Length of x.
    pub features: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Whether each layer has a bias.
    pub bias: bool,
    /// σ.
    #[serde(default)]
    pub activation: Activation,
}

impl Mlp {
    /// (in, out) of each layer.
    fn layers(&self, dim: usize) -> Vec<(usize, usize)> {
        let outs = self.hidden.iter().copied().chain([dim]);
        let ins = [self.features].into_iter().chain(self.hidden.iter().copied());
        ins.zip(outs).collect()
    }
}

impl Architecture for Mlp {
    fn blocks(&self, _rows: usize, dim: usize) -> Vec<Block> {
        let layers = self.layers(dim).into_iter().enumerate();
        layers
            .map(|(l, (i, o))| Block::shared(format!("layer{}", l + 1), o, i.saturating_add(self.bias.into())))
            .collect()
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        vec![Constant::features(self.features)]
    }
    fn isotropic_jacobian(&self) -> Status {
        if self.hidden.is_empty() {
            Status::Met("no hidden layer: affine in its weights".into())
        } else {
            Status::Unmet("a deep network: JJᵀ is no multiple of I".into())
        }
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("the layers are shared by all rows".into())
    }
    fn chain(&self) -> Option<Chain> {
        Some(Chain::Shared { layers: self.hidden.len() + 1, bias: self.bias, activation: self.activation })
    }
    fn name(&self) -> &'static str {
        "mlp"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        let layers = self.hidden.len() + 1;
        Box::new(Network { layers, activation: self.activation, first: place.own, features: constants.rows })
    }
}

struct Network<F> {
    layers: usize,
    activation: Activation,
    first: usize,
    features: Table<F>,
}

impl<F: Real> Network<F> {
    /// The input of every layer, and the pre-activation of every layer (the last one is the embedding).
    fn forward(&self, tables: &[Table<F>], row: usize) -> (Vec<Vec<F>>, Vec<Vec<F>>) {
        let (mut inputs, mut pres) = (Vec::new(), Vec::<Vec<F>>::new());
        for layer in &tables[self.first..self.first + self.layers] {
            let input = match pres.last() {
                None => self.features.row(row).to_vec(),
                Some(pre) => self.activation.apply(pre),
            };
            pres.push(layer::forward(layer, &input));
            inputs.push(input);
        }
        (inputs, pres)
    }
}

impl<F: Real> Encoder<F> for Network<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        self.forward(tables, row).1.pop().unwrap_or_default()
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let (inputs, pres) = self.forward(tables, row);
        let mut g = upstream.to_vec();
        for l in (0..self.layers).rev() {
            g = layer::backward(&tables[self.first + l], &mut gradients[self.first + l], &inputs[l], &g);
            if l > 0 {
                g = self.activation.backward(&pres[l - 1], g);
            }
        }
    }
}
