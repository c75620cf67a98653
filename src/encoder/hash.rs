//! Hashed embeddings: q_i = Σ_k w_ik·E_{h(i,k)}, rows of a table that is smaller than the tower. Which rows is part of the
//! constants.
//!
//! - One hash: rows that collide have the same embedding up to a factor, so every gradient that reaches E_h is
//!   tangent to it, and the step stays orthogonal although parameters are shared.
//! - A sum of several: rows that share some of their buckets only receive gradients that are orthogonal to other
//!   embeddings than theirs (a shared linear map whose features are hash counts).
//! - Weighted: w constants, or trained for each row (Svenstrup, Hansen and Winther 2017), which adds the Gram matrix of the
//!   row's buckets to JJᵀ.

use serde::{Deserialize, Serialize};

use super::constants::indices;
use super::{Architecture, Block, Constant, Constants, Encoder, Form, Gradient, Place, Size};
use crate::error::Result;
use crate::geometry::{Table, add_scaled, dot};
use crate::number::Real;
use crate::verdict::Status;

/// What becomes of the weights w.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Weights {
    /// All 1.
    Absent,
    /// Constants of the row.
    Fixed,
    /// Trained for each row.
    Trained,
}

/// q_i = Σ_k w_ik·E_{h(i,k)}. Shapes: E: `[buckets, d]`, h, w: `[hashes]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hash {
    /// Rows of the table E.
    pub buckets: usize,
    /// How many of them are added up for a row.
    pub hashes: usize,
    /// The weights.
    pub weights: Weights,
}

impl Architecture for Hash {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        let mut blocks = vec![Block::shared("buckets", self.buckets, dim)];
        if self.weights == Weights::Trained {
            blocks.push(Block::private("weights", rows, self.hashes));
        }
        blocks
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        let index = Form::Index { below: self.buckets, padding: false };
        let mut constants = vec![Constant::new("hashes", self.hashes, index)];
        if self.weights == Weights::Fixed {
            constants.push(Constant::new("weights", self.hashes, Form::Features));
        }
        constants
    }
    fn validate(&self, at: &str) -> Result<()> {
        super::at_least_one(format!("{at}.buckets"), self.buckets)?;
        super::at_least_one(format!("{at}.hashes"), self.hashes)
    }
    fn isotropic_jacobian(&self) -> Status {
        match self.weights {
            Weights::Trained => Status::Unmet("trained weights add the Gram matrix of the row's buckets to JJᵀ".into()),
            _ => Status::Met("a sum of table rows: JJᵀ = Σ_b (weight of bucket b)²·I".into()),
        }
    }
    fn private_parameters(&self) -> Status {
        Status::Unmet(match self.name() {
            "hash" => {
                "rows share a table row; all of them have the same direction, so that every gradient stays tangent"
                    .into()
            }
            _ => "rows share some of their table rows".into(),
        })
    }
    fn name(&self) -> &'static str {
        match (self.weights, self.hashes) {
            (Weights::Trained, _) => "hash-weighted",
            (_, 1) => "hash",
            _ => "hash-sum",
        }
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        let rows = 0..constants.rows.rows();
        let buckets = rows.map(|row| indices(&constants.row(row)[..self.hashes])).collect();
        Box::new(Buckets { spec: self.clone(), first: place.own, dim: place.dim, buckets, constants: constants.rows })
    }
}

struct Buckets<F> {
    spec: Hash,
    first: usize,
    dim: usize,
    buckets: Vec<Vec<usize>>,
    constants: Table<F>,
}

impl<F: Real> Buckets<F> {
    fn weights(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        match self.spec.weights {
            Weights::Absent => vec![F::one(); self.spec.hashes],
            Weights::Fixed => self.constants.row(row)[self.spec.hashes..].to_vec(),
            Weights::Trained => tables[self.first + 1].row(row).to_vec(),
        }
    }
}

impl<F: Real> Encoder<F> for Buckets<F> {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let mut q = vec![F::zero(); self.dim];
        for (&bucket, weight) in self.buckets[row].iter().zip(self.weights(tables, row)) {
            add_scaled(&mut q, weight, tables[self.first].row(bucket));
        }
        q
    }
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        for (k, (&bucket, weight)) in self.buckets[row].iter().zip(self.weights(tables, row)).enumerate() {
            add_scaled(gradients[self.first].accumulate(bucket), weight, upstream);
            if self.spec.weights == Weights::Trained {
                let along = dot(tables[self.first].row(bucket), upstream);
                let place = &mut gradients[self.first + 1].accumulate(row)[k];
                *place = place.clone() + along;
            }
        }
    }
}
