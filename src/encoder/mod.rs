//! Encoders: how a tower makes a row's embedding q ∈ ℝᵈ from its parameters, with exact vector-Jacobian products.
//!
//! | file | q_i | parameters |
//! |---|---|---|
//! | [`table`] | E_i | private row |
//! | [`affine`] | W_i x_i + b_i | private, b trained, frozen or absent |
//! | [`two_layer`] | V_i·relu(W_i x_i) | private |
//! | [`shared_linear`] | W x_i | shared |
//! | [`mlp`] | W_L·relu(…relu(W_1 x_i + b_1)…) + b_L | shared |

pub mod affine;
pub mod mlp;
pub mod shared_linear;
pub mod table;
pub mod two_layer;

use serde::{Deserialize, Serialize};

use crate::condition::Condition;
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
    /// One linear map of fixed features for all rows.
    SharedLinear(shared_linear::SharedLinear),
    /// One multi-layer ReLU network of fixed features for all rows.
    Mlp(mlp::Mlp),
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
    fn private(name: &str, rows: usize, width: usize) -> Self {
        Block { name: name.into(), rows, width, private: true }
    }
    fn shared(name: String, rows: usize, width: usize) -> Self {
        Block { name, rows, width, private: false }
    }
}

/// What an encoder is, apart from its numbers.
pub trait Architecture {
    /// The parameter tables, for a tower of `rows` rows and embeddings of `dim` numbers.
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block>;
    /// Width of the fixed constants a row: its features, and a frozen bias where there is one.
    fn constants(&self, dim: usize) -> usize;
    /// Whether JJᵀ = κI for every row, and why.
    fn isotropic_jacobian(&self) -> Status;
    /// Whether rows keep to themselves, and why.
    fn private_parameters(&self) -> Status;
    /// The name used in trajectory headers.
    fn name(&self) -> &'static str;
    /// The encoder on numbers of one type. `first` is the place of its first table among the model's tables;
    /// `constants` has one row a user or item.
    fn build<F: Real>(&self, dim: usize, first: usize, constants: Table<F>) -> Box<dyn Encoder<F>>;
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
            EncoderKind::SharedLinear($encoder) => $body,
            EncoderKind::Mlp($encoder) => $body,
        }
    };
}

impl Architecture for EncoderKind {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        each!(self, encoder => encoder.blocks(rows, dim))
    }
    fn constants(&self, dim: usize) -> usize {
        each!(self, encoder => encoder.constants(dim))
    }
    fn isotropic_jacobian(&self) -> Status {
        each!(self, encoder => encoder.isotropic_jacobian())
    }
    fn private_parameters(&self) -> Status {
        each!(self, encoder => encoder.private_parameters())
    }
    fn name(&self) -> &'static str {
        each!(self, encoder => encoder.name())
    }
    fn build<F: Real>(&self, dim: usize, first: usize, constants: Table<F>) -> Box<dyn Encoder<F>> {
        each!(self, encoder => encoder.build(dim, first, constants))
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

/// max(x, 0). At the kink the result is the constant 0, so that dual numbers see the subgradient of [`relu_backward`].
fn relu<F: Real>(x: &[F]) -> Vec<F> {
    x.iter().map(|x| if *x <= F::zero() { F::zero() } else { x.clone() }).collect()
}

/// g where the pre-activation is positive, else 0: the subgradient at the kink is 0, as in the common frameworks.
fn relu_backward<F: Real>(pre: &[F], mut g: Vec<F>) -> Vec<F> {
    for (g, x) in g.iter_mut().zip(pre) {
        if *x <= F::zero() {
            *g = F::zero();
        }
    }
    g
}
