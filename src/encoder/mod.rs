//! Encoders: how a tower makes a row's embedding q ∈ ℝᵈ from its parameters, with exact vector-Jacobian products.
//!
//! | file | q_i | parameters |
//! |---|---|---|
//! | [`table`] | E_i | private row |
//! | [`affine`] | W_i x_i + b_i | private, b trained, frozen or absent |
//! | [`two_layer`] | V_i·relu(W_i x_i) | private |
//! | [`gain_vector`] | a_i·w_i | private |
//! | [`weight_norm`] | s_i·v_i/‖v_i‖ | private, s trained or frozen |
//! | [`projection`] | V·e_i | private row, V constant and the same for all rows |
//! | [`dropout`] | m_i ∘ E_i | private row, mask m recorded |
//! | [`layer_norm`] | γ ∘ (E_i − mean)/√(var + ε) + β | private row; γ, β shared or absent |
//! | [`hash`] | Σ_k w_ik E_{h(i,k)} | shared buckets; w absent, fixed or trained |
//! | [`shared_linear`] | W x_i | shared |
//! | [`bottleneck`] | U·V·x_i | shared |
//! | [`adapter`] | e_i + B·A·x_i or W·x_i + B·A·x_i | shared, e and W constant, B trained or frozen |
//! | [`mlp`] | W_L·σ(…σ(W_1 x_i + b_1)…) + b_L | shared; σ = ReLU, GELU or tanh |
//! | [`residual`] | h_L, h_l = h_{l−1} + V_l·σ(U_l h_{l−1}) | shared |
//! | [`history_mean`] | mean of E_j over the row's history | shared table: the tower's own, or the other tower's |
//! | [`graph`] | Σ_j A_ij E_j | shared; over one tower's rows, or over both towers' |
//!
//! What is fixed are [`Constants`]; [`activation`] and `layer` hold what several files share.

pub mod activation;
pub mod adapter;
pub mod affine;
pub mod bottleneck;
mod chain;
mod constants;
pub mod dropout;
pub mod gain_vector;
pub mod graph;
pub mod hash;
pub mod history_mean;
mod layer;
pub mod layer_norm;
pub mod mlp;
mod own;
pub mod projection;
pub mod residual;
pub mod shared_linear;
pub mod table;
pub mod two_layer;
pub mod weight_norm;

pub use chain::Chain;
pub use constants::{Constant, Constants, Form};
pub use own::Own;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::geometry::Table;
use crate::number::Real;
use crate::verdict::Status;

/// Which encoder a tower uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EncoderKind {
    /// One private row a user or item.
    Table(table::TableEncoder),
    /// A private affine map of fixed features.
    Affine(affine::Affine),
    /// A private two-layer network of fixed features.
    TwoLayer(two_layer::TwoLayer),
    /// A private scalar gain times a private vector.
    GainVector(gain_vector::GainVector),
    /// A private direction with a length of its own.
    WeightNorm(weight_norm::WeightNorm),
    /// A private row behind one constant matrix.
    Projection(projection::Projection),
    /// A private row under a recorded dropout mask.
    Dropout(dropout::Dropout),
    /// A private row, layer-normalised.
    LayerNorm(layer_norm::LayerNorm),
    /// Rows of a smaller table, chosen by hashing.
    Hash(hash::Hash),
    /// One linear map of fixed features for all rows.
    SharedLinear(shared_linear::SharedLinear),
    /// One linear map of low rank for all rows.
    Bottleneck(bottleneck::Bottleneck),
    /// A frozen base with a trained low-rank correction.
    Adapter(adapter::Adapter),
    /// One multi-layer network of fixed features for all rows.
    Mlp(mlp::Mlp),
    /// One network of residual blocks for all rows.
    Residual(residual::Residual),
    /// The mean of the table rows in a history.
    HistoryMean(history_mean::HistoryMean),
    /// Linear propagation of a table over a fixed graph.
    Graph(graph::Graph),
    /// One that is not the crate's.
    Own(own::Own),
}

/// A block of parameters: a table with one row a user or item (private), or shared by all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Name, such as `weight`.
    pub name: String,
    /// Rows of the table.
    pub rows: usize,
    /// Numbers in a row.
    pub width: usize,
    /// Whether row i belongs to embedding i alone.
    pub private: bool,
}

impl Block {
    /// A table whose row i belongs to embedding i alone.
    pub fn private(name: &str, rows: usize, width: usize) -> Self {
        Block { name: name.into(), rows, width, private: true }
    }
    /// A table that several embeddings are made of.
    pub fn shared(name: impl Into<String>, rows: usize, width: usize) -> Self {
        Block { name: name.into(), rows, width, private: false }
    }
}

/// How large a tower is, and the one beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Embedding dimension d.
    pub dim: usize,
    /// Rows of the tower.
    pub rows: usize,
    /// Rows of the other tower.
    pub other_rows: usize,
}

/// Where an encoder finds its parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Embedding dimension d.
    pub dim: usize,
    /// The tower's first table among the model's tables.
    pub own: usize,
    /// The other tower's first table among them.
    pub other: usize,
}

/// What an encoder is, apart from its numbers.
pub trait Architecture {
    /// The parameter tables, for a tower of `rows` rows and embeddings of `dim` numbers.
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block>;
    /// What is fixed in every row: features, a frozen bias, a history, a mask.
    fn constants(&self, _size: Size) -> Vec<Constant> {
        Vec::new()
    }
    /// How many constants are the same for all rows, such as those of a frozen matrix.
    fn shared_constants(&self, _dim: usize) -> usize {
        0
    }
    /// Whether it reads the other tower's first table, of one row of d numbers a user or item.
    fn reads_other(&self) -> bool {
        false
    }
    /// Refuses settings that make no encoder; `at` says where they stand.
    ///
    /// # Errors
    /// The first setting that is wrong.
    fn validate(&self, _at: &str) -> Result<()> {
        Ok(())
    }
    /// Whether JJᵀ = κI for every row, and why.
    fn isotropic_jacobian(&self) -> Status;
    /// Whether rows keep to themselves, and why.
    fn private_parameters(&self) -> Status;
    /// Roundings on the way of one term, where q is a sum of products of private parameters and constants: the same
    /// arithmetic on absolute values then bounds what is added up. None for any other encoder.
    fn roundings(&self, _dim: usize) -> Option<usize> {
        None
    }
    /// The encoder as a chain of affine layers, where it is one.
    fn chain(&self) -> Option<Chain> {
        None
    }
    /// The name used in trajectory headers.
    fn name(&self) -> &'static str;
    /// The encoder on numbers of one type.
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>>;
}

/// An encoder on numbers of one type.
pub trait Encoder<F: Real>: Send + Sync {
    /// The embedding of a row: `[d]`.
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F>;
    /// Adds Jᵀ·upstream, the gradient with respect to the parameters, where `upstream` = ∂L/∂q: `[d]`.
    fn backward(&self, tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]);
}

/// The gradient of one parameter table: dense storage, with a list of the rows that received something.
#[derive(Debug, Clone)]
pub struct Gradient<F> {
    values: Table<F>,
    touched: Vec<usize>,
    is_touched: Vec<bool>,
}

impl<F: Real> Gradient<F> {
    /// A zero gradient for a table of this shape.
    pub fn zeros(rows: usize, width: usize) -> Self {
        Gradient { values: Table::filled(rows, width, F::zero()), touched: Vec::new(), is_touched: vec![false; rows] }
    }
    /// The rows that received something, in the order of their first contribution.
    pub fn touched(&self) -> &[usize] {
        &self.touched
    }
    /// Whether a row received something.
    pub fn is_touched(&self, row: usize) -> bool {
        self.is_touched[row]
    }
    /// A row's gradient (zeros where nothing arrived).
    pub fn row(&self, row: usize) -> &[F] {
        self.values.row(row)
    }
    /// A row's gradient, to add to; marks the row as touched.
    pub fn accumulate(&mut self, row: usize) -> &mut [F] {
        if !self.is_touched[row] {
            self.is_touched[row] = true;
            self.touched.push(row);
        }
        self.values.row_mut(row)
    }
    /// All values, row after row, to change. Which rows are touched stays as it is.
    pub(crate) fn values_mut(&mut self) -> &mut [F] {
        self.values.values_mut()
    }
    /// Back to zero, in time proportional to what was touched.
    pub fn clear(&mut self) {
        for row in self.touched.drain(..) {
            self.values.row_mut(row).fill(F::zero());
            self.is_touched[row] = false;
        }
    }
}

macro_rules! each {
    ($self:expr, $encoder:ident => $body:expr) => {
        match $self {
            EncoderKind::Table($encoder) => $body,
            EncoderKind::Affine($encoder) => $body,
            EncoderKind::TwoLayer($encoder) => $body,
            EncoderKind::GainVector($encoder) => $body,
            EncoderKind::WeightNorm($encoder) => $body,
            EncoderKind::Projection($encoder) => $body,
            EncoderKind::Dropout($encoder) => $body,
            EncoderKind::LayerNorm($encoder) => $body,
            EncoderKind::Hash($encoder) => $body,
            EncoderKind::SharedLinear($encoder) => $body,
            EncoderKind::Bottleneck($encoder) => $body,
            EncoderKind::Adapter($encoder) => $body,
            EncoderKind::Mlp($encoder) => $body,
            EncoderKind::Residual($encoder) => $body,
            EncoderKind::HistoryMean($encoder) => $body,
            EncoderKind::Graph($encoder) => $body,
            EncoderKind::Own($encoder) => $body,
        }
    };
}

impl Architecture for EncoderKind {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        each!(self, encoder => encoder.blocks(rows, dim))
    }
    fn constants(&self, size: Size) -> Vec<Constant> {
        each!(self, encoder => encoder.constants(size))
    }
    fn shared_constants(&self, dim: usize) -> usize {
        each!(self, encoder => encoder.shared_constants(dim))
    }
    fn reads_other(&self) -> bool {
        each!(self, encoder => encoder.reads_other())
    }
    fn validate(&self, at: &str) -> Result<()> {
        each!(self, encoder => encoder.validate(at))
    }
    fn isotropic_jacobian(&self) -> Status {
        each!(self, encoder => encoder.isotropic_jacobian())
    }
    fn private_parameters(&self) -> Status {
        each!(self, encoder => encoder.private_parameters())
    }
    fn roundings(&self, dim: usize) -> Option<usize> {
        each!(self, encoder => encoder.roundings(dim))
    }
    fn chain(&self) -> Option<Chain> {
        each!(self, encoder => encoder.chain())
    }
    fn name(&self) -> &'static str {
        each!(self, encoder => encoder.name())
    }
    fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
        each!(self, encoder => encoder.build(place, constants))
    }
}

impl EncoderKind {
    /// The status of one of the two conditions that concern encoders.
    pub fn status(&self, condition: Condition) -> Option<Status> {
        match condition {
            Condition::IsotropicJacobian => Some(self.isotropic_jacobian()),
            Condition::PrivateParameters => Some(self.private_parameters()),
            _ => None,
        }
    }

    /// Whether a row of the tower's first table is what embeddings of it are made of: what another tower can read.
    pub fn has_rows(&self) -> bool {
        matches!(self, EncoderKind::Table(_) | EncoderKind::Graph(_))
    }
}

/// Refuses a number that is not at least 0.
fn at_least_zero(place: String, value: f64) -> Result<()> {
    if value.is_finite() && value >= 0.0 {
        Ok(())
    } else {
        Err(Error::input(place, "a number of at least 0", value))
    }
}

/// Refuses a size of 0.
fn at_least_one(place: String, value: usize) -> Result<()> {
    if value > 0 {
        Ok(())
    } else {
        Err(Error::input(place, "at least 1", value))
    }
}

/// W·x for a weight matrix `[out, in]` stored row after row.
fn matrix_vector<F: Real>(weight: &[F], x: &[F]) -> Vec<F> {
    weight.chunks_exact(x.len()).map(|row| crate::geometry::dot(row, x)).collect()
}

/// Adds g·xᵀ to the gradient of a weight matrix `[out, in]`.
fn add_outer<F: Real>(gradient: &mut [F], g: &[F], x: &[F]) {
    for (row, g) in gradient.chunks_exact_mut(x.len()).zip(g) {
        crate::geometry::add_scaled(row, g.clone(), x);
    }
}

/// Wᵀ·g for a weight matrix `[out, in]`.
fn transposed_vector<F: Real>(weight: &[F], width: usize, g: &[F]) -> Vec<F> {
    let mut product = vec![F::zero(); width];
    for (row, g) in weight.chunks_exact(width).zip(g) {
        crate::geometry::add_scaled(&mut product, g.clone(), row);
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::strategy::{Strategy, ValueTree};
    use proptest::test_runner::TestRunner;

    use super::*;
    use crate::scenario::random::kinds;

    #[test]
    fn only_sums_of_private_products_state_the_roundings_of_a_term() {
        let mut runner = TestRunner::deterministic();
        for (name, strategy) in kinds() {
            let encoder = strategy.new_tree(&mut runner).unwrap().current();
            let stated = encoder.roundings(4);
            assert_eq!(
                stated.is_some(),
                ["affine", "two-layer", "gain-vector", "projection", "dropout"].contains(&name),
                "{name}: {stated:?}"
            );
            // A product is one rounding at least.
            assert!(stated.is_none_or(|roundings| roundings >= 1), "{name}: {stated:?}");
        }
    }
}
