//! The tangent projection of SGDP and AdamP: the direction of a step loses its component along the parameters,
//! Δ ← Δ − n⟨n, Δ⟩ with n = q/(‖q‖ + ε), so that momentum no longer lengthens the row.
//!
//! The public package projects only where the parameters look scale-invariant: if |cos∠(g, q)| < δ/√dim for *every* row of the
//! table it projects row by row; otherwise, if the same holds of the table taken as one vector, it projects that; otherwise
//! nothing. A projected step decays `decay_ratio` times as much. Source: Heo et al. 2021, and its code.

use serde::{Deserialize, Serialize};

use super::decay::{Form, coupled};
use super::{Direction, Memory, Rule};
use crate::encoder::Gradient;
use crate::geometry::{Table, add_scaled, dot, norm};
use crate::number::Real;

/// When a step is projected, and which vector is projected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum View {
    /// Every row in every step.
    Always,
    /// Every row, where all rows pass the test.
    Row,
    /// The package: every row where all rows pass the test, else the whole table where it passes.
    #[default]
    RowThenTable,
}

/// The settings of the projection.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Projection {
    /// When, and which vector.
    pub view: View,
    /// δ of the test |cos∠(g, q)| < δ/√dim.
    pub delta: f64,
    /// The decay of a projected step, as a share of the usual one.
    pub decay_ratio: f64,
}

impl Default for Projection {
    fn default() -> Self {
        Projection { view: View::default(), delta: 0.1, decay_ratio: 0.1 }
    }
}

impl Projection {
    /// In every step, without a test; decay as usual.
    pub fn always() -> Self {
        Projection { view: View::Always, decay_ratio: 1.0, ..Projection::default() }
    }

    /// The settings as a trajectory header declares them.
    pub(super) fn declare(&self, other: &mut std::collections::BTreeMap<String, String>) {
        let view = serde_json::to_string(&self.view).expect("a name is a string");
        other.insert("projection".into(), view);
        other.insert("delta".into(), format!("{:?}", self.delta));
        other.insert("wd_ratio".into(), format!("{:?}", self.decay_ratio));
    }
}

/// What a step does with the radial component.
enum Plan<F> {
    Keep,
    /// Takes it out of every row.
    Rows,
    /// Takes it out of the table as one vector: the directions of the visited rows, with that done.
    Table(std::collections::HashMap<usize, Vec<F>>),
}

/// A rule whose direction is projected before the step.
pub(super) struct Projected<F, D> {
    base: D,
    view: View,
    delta: F,
    epsilon: F,
    decay: Option<(F, Form)>,
    decay_ratio: F,
    plan: Plan<F>,
}

impl<F: Real, D: Direction<F>> Projected<F, D> {
    /// `decay` is λ with what the rule makes of it beside the ratio.
    pub fn new(
        base: D,
        projection: &Projection,
        epsilon: F,
        decay: Option<(F, Form)>,
        number: &dyn Fn(f64) -> F,
    ) -> Self {
        Projected {
            base,
            view: projection.view,
            delta: number(projection.delta),
            epsilon,
            decay,
            decay_ratio: number(projection.decay_ratio),
            plan: Plan::Rows,
        }
    }

    /// |cos∠(g, q)| < δ/√dim, each norm at least ε, of rows taken together.
    fn passes<'a>(&self, rows: impl Iterator<Item = (&'a [F], &'a [F])>, dim: usize) -> bool {
        let (mut inner, mut gradient, mut parameters) = (F::zero(), F::zero(), F::zero());
        for (g, q) in rows {
            inner = inner + dot(g, q);
            gradient = gradient + dot(g, g);
            parameters = parameters + dot(q, q);
        }
        let length = |squared: F| squared.sqrt().max(self.epsilon.clone());
        let cosine = inner.clone().max(-inner) / (length(gradient) * length(parameters));
        cosine < self.delta.clone() / F::ratio(dim as i64, 1).sqrt()
    }
}

/// n = q/(‖q‖ + ε).
fn direction_of<F: Real>(q: &[F], length: F, epsilon: &F) -> Vec<F> {
    let length = length + epsilon.clone();
    if length == F::zero() {
        return vec![F::zero(); q.len()];
    }
    q.iter().map(|x| x.clone() / length.clone()).collect()
}

impl<F: Real, D: Direction<F>> Rule<F> for Projected<F, D> {
    fn prepare(&mut self, time: u64, visited: &[usize], table: &Table<F>, gradient: &Gradient<F>) {
        // A row without a gradient has cosine 0, which only δ = 0 turns down; of the others each has to be looked at.
        let quiet = gradient.touched().len() < table.rows();
        let mut touched = gradient.touched().iter().map(|&row| (gradient.row(row), table.row(row)));
        let rows_pass =
            (!quiet || self.delta > F::zero()) && touched.all(|row| self.passes(std::iter::once(row), table.width()));
        self.plan = if self.view == View::Always || rows_pass {
            Plan::Rows
        } else if self.view == View::Row {
            Plan::Keep
        } else {
            let all = (0..table.rows()).map(|row| (gradient.row(row), table.row(row)));
            if !self.passes(all, table.rows() * table.width()) {
                Plan::Keep
            } else {
                let whole = direction_of(table.values(), norm(table.values()), &self.epsilon);
                let of = |row: usize| &whole[row * table.width()..][..table.width()];
                let mut directions = std::collections::HashMap::new();
                let mut radial = F::zero();
                for &row in visited {
                    let own = coupled(self.decay.as_ref(), table.row(row), gradient.row(row));
                    let direction = self.base.direction(row, time, &own);
                    radial = radial + dot(of(row), &direction);
                    directions.insert(row, direction);
                }
                for (&row, direction) in &mut directions {
                    add_scaled(direction, -radial.clone(), of(row));
                }
                Plan::Table(directions)
            }
        };
    }

    fn apply(&mut self, row: usize, time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let planned = match &mut self.plan {
            Plan::Table(directions) => directions.remove(&row),
            _ => None,
        };
        let step = planned.unwrap_or_else(|| {
            let own = coupled(self.decay.as_ref(), parameters, gradient);
            let mut step = self.base.direction(row, time, &own);
            if matches!(self.plan, Plan::Rows) {
                let n = direction_of(parameters, norm(parameters), &self.epsilon);
                let radial = dot(&n, &step);
                add_scaled(&mut step, -radial, &n);
            }
            step
        });
        if let Some((lambda, Form::Decoupled)) = &self.decay {
            let ratio = match self.plan {
                Plan::Keep => F::one(),
                _ => self.decay_ratio.clone(),
            };
            let kept = F::one() - rate.clone() * lambda.clone() * ratio;
            parameters.iter_mut().for_each(|q| *q = q.clone() * kept.clone());
        }
        add_scaled(parameters, -rate.clone(), &step);
    }
    fn memory(&mut self, see: Memory<F>) {
        self.base.memory(see);
    }
}
