//! A multi-layer ReLU tower shared by all rows: h_0 = x_i, h_l = relu(W_l h_{l−1} + b_l), q_i = W_L h_{L−1} + b_L.

use serde::{Deserialize, Serialize};

use super::{Architecture, Block, Encoder, Gradient, relu, relu_backward};
use crate::geometry::{Table, add_scaled, dot};
use crate::number::Real;
use crate::verdict::Status;

/// A ReLU network. Shapes: x: `[features]`, W_l: `[out, in]` (one table row an output unit, its bias last).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mlp {
    /// Length of x.
    pub features: usize,
    /// Widths of the hidden layers.
    pub hidden: Vec<usize>,
    /// Whether each layer has a bias.
    pub bias: bool,
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
            .map(|(l, (i, o))| Block::shared(format!("layer{}", l + 1), o, i + usize::from(self.bias)))
            .collect()
    }
    fn constants(&self, _dim: usize) -> usize {
        self.features
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
    fn name(&self) -> &'static str {
        "mlp"
    }
    fn build<F: Real>(&self, dim: usize, first: usize, constants: Table<F>) -> Box<dyn Encoder<F>> {
        Box::new(Network { layers: self.layers(dim), bias: self.bias, first, constants })
    }
}

struct Network<F> {
    layers: Vec<(usize, usize)>,
    bias: bool,
    first: usize,
    constants: Table<F>,
}

impl<F: Real> Network<F> {
    /// The input of every layer, and the pre-activation of every layer (the last one is the embedding).
    fn forward(&self, tables: &[Table<F>], row: usize) -> (Vec<Vec<F>>, Vec<Vec<F>>) {
        let (mut inputs, mut pres) = (Vec::new(), Vec::<Vec<F>>::new());
        for (l, &(width, out)) in self.layers.iter().enumerate() {
            let input = match pres.last() {
                None => self.constants.row(row).to_vec(),
                Some(pre) => relu(pre),
            };
            let layer = &tables[self.first + l];
            let pre = (0..out)
                .map(|k| {
                    let sum = dot(&layer.row(k)[..width], &input);
                    if self.bias {
                        sum + layer.row(k)[width].clone()
                    } else {
                        sum
                    }
                })
                .collect();
            inputs.push(input);
            pres.push(pre);
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
        for (l, &(width, _)) in self.layers.iter().enumerate().rev() {
            let layer = &tables[self.first + l];
            let mut below = vec![F::zero(); width];
            for (k, g) in g.iter().enumerate() {
                let gradient = gradients[self.first + l].accumulate(k);
                add_scaled(&mut gradient[..width], g.clone(), &inputs[l]);
                if self.bias {
                    gradient[width] = gradient[width].clone() + g.clone();
                }
                add_scaled(&mut below, g.clone(), &layer.row(k)[..width]);
            }
            if l > 0 {
                g = relu_backward(&pres[l - 1], below);
            }
        }
    }
}
