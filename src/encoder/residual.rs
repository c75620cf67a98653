//! A tower of residual blocks shared by all rows: h_0 = W x_i, h_l = h_{l−1} + V_l·σ(U_l h_{l−1} + b_l) + c_l, q_i = h_L.

use serde::{Deserialize, Serialize};

use super::activation::Activation;
use super::{Architecture, Block, Constant, Constants, Encoder, Gradient, Place, Size, layer};
use crate::error::{Error, Result};
use crate::geometry::{Table, add_scaled};
use crate::number::Real;
use crate::verdict::Status;

/// More blocks than any network has: each is two tables with names.
const MOST_BLOCKS: usize = 1 << 16;

/// A residual network. Shapes: x: `[features]`, h_l: `[d]`, W: `[d, features]`, U_l: `[hidden, d]`, V_l: `[d, hidden]` (one
/// table row an output unit, its bias last).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Residual {
    /// Length of x.
    pub features: usize,
    /// Hidden units of a block.
    pub hidden: usize,
    /// L: how many blocks.
    pub depth: usize,
    /// σ.
    pub activation: Activation,
    /// Whether blocks have biases b and c.
    pub bias: bool,
}

impl Architecture for Residual {
    fn blocks(&self, _rows: usize, dim: usize) -> Vec<Block> {
        let bias = usize::from(self.bias);
        let blocks = (1..=self.depth).flat_map(|l| {
            [
                Block::shared(format!("block{l}.inner"), self.hidden, dim.saturating_add(bias)),
                Block::shared(format!("block{l}.outer"), dim, self.hidden.saturating_add(bias)),
            ]
        });
        [Block::shared("input", dim, self.features)].into_iter().chain(blocks).collect()
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        vec![Constant::features(self.features)]
    }
    fn validate(&self, at: &str) -> Result<()> {
        if self.depth > MOST_BLOCKS {
            return Err(Error::input(format!("{at}.depth"), format!("at most {MOST_BLOCKS} blocks"), self.depth));
        }
        super::at_least_one(format!("{at}.hidden"), self.hidden)
    }
    fn isotropic_jacobian(&self) -> Status {
        if self.depth == 0 {
            Status::Met("no block: linear in its weights".into())
        } else {
            Status::Unmet("a deep network: JJᵀ is no multiple of I".into())
        }
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet("the blocks are shared by all rows".into())
    }
    fn name(&self) -> &'static str {
        "residual"
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Network { spec: self.clone(), first: place.own, features: constants.rows })
    }
}

struct Network<F> {
    spec: Residual,
    first: usize,
    features: Table<F>,
}

impl<F: Real> Network<F> {
    /// The tables of block l, from 0: inner and outer.
    fn block(&self, l: usize) -> (usize, usize) {
        (self.first + 1 + 2 * l, self.first + 2 + 2 * l)
    }

    /// h_0 … h_L, and the pre-activations of the L blocks.
    fn forward(&self, tables: &[Table<F>], row: usize) -> (Vec<Vec<F>>, Vec<Vec<F>>) {
        let mut stream = vec![layer::forward(&tables[self.first], self.features.row(row))];
        let mut pres = Vec::new();
        for l in 0..self.spec.depth {
            let (inner, outer) = self.block(l);
            let pre = layer::forward(&tables[inner], &stream[l]);
            let mut h = stream[l].clone();
            let branch = layer::forward(&tables[outer], &self.spec.activation.apply(&pre));
            add_scaled(&mut h, F::one(), &branch);
            stream.push(h);
            pres.push(pre);
        }
        (stream, pres)
    }
}

impl<F: Real> Encoder<F> for Network<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        self.forward(tables, row).0.pop().unwrap_or_default()
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let (stream, pres) = self.forward(tables, row);
        let mut g = upstream.to_vec();
        for l in (0..self.spec.depth).rev() {
            let (inner, outer) = self.block(l);
            let hidden = self.spec.activation.apply(&pres[l]);
            let below = layer::backward(&tables[outer], &mut gradients[outer], &hidden, &g);
            let below = self.spec.activation.backward(&pres[l], below);
            let branch = layer::backward(&tables[inner], &mut gradients[inner], &stream[l], &below);
            add_scaled(&mut g, F::one(), &branch);
        }
        layer::backward(&tables[self.first], &mut gradients[self.first], self.features.row(row), &g);
    }
}
