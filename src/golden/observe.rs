//! Runs a scenario on any number type and keeps every intermediate, in the order of computation.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Fault;
use super::fault::Mistakes;
use crate::geometry::Table;
use crate::loss::{Derivative, Slot};
use crate::number::{AnyOrder, Real, Running};
use crate::reference::{PARAMETERS, Session, joined};
use crate::rounding::Precision;
use crate::scenario::Materialised;
use crate::trajectory::Side;

/// What is computed in a step, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The encoder's parameters before the step, where they are not the embeddings themselves.
    Parameters,
    /// The embeddings before the step.
    Embedding,
    /// The similarities that the loss reads.
    Similarity,
    /// ∂L/∂s of each of them (for a softmax: weight − \[positive\], over B·τ).
    Coefficient,
    /// The loss.
    Loss,
    /// ∂L/∂q of every lookup.
    LookupGradient,
    /// ∂L/∂q of every row: the sum over its lookups.
    Gradient,
    /// ∂L/∂θ.
    ParameterGradient,
    /// The encoder's parameters after the step.
    ParametersAfter,
    /// The embeddings after the step.
    EmbeddingAfter,
}

impl Stage {
    /// The name of the array of a trajectory that holds it.
    pub const fn array(self) -> &'static str {
        match self {
            Stage::Parameters => "table",
            Stage::Embedding | Stage::EmbeddingAfter => "q",
            Stage::Similarity => "similarity",
            Stage::Coefficient => "coefficient",
            Stage::Loss => "loss",
            Stage::LookupGradient => "grad_out",
            Stage::Gradient => "grad",
            Stage::ParameterGradient => "table_grad",
            Stage::ParametersAfter => "table_next",
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Stage::Parameters => "parameters before",
            Stage::Embedding => "embedding before",
            Stage::Similarity => "similarity",
            Stage::Coefficient => "softmax weight (∂L/∂s)",
            Stage::Loss => "loss",
            Stage::LookupGradient => "gradient of a lookup",
            Stage::Gradient => "gradient of a row",
            Stage::ParameterGradient => "gradient of the parameters",
            Stage::ParametersAfter => "parameters after",
            Stage::EmbeddingAfter => "embedding after",
        })
    }
}

/// The numbers of one stage of one step.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor<F> {
    /// What they are.
    pub stage: Stage,
    /// Which tower they belong to; None for the loss and what it is made of.
    pub side: Option<Side>,
    /// Numbers in a row (1 where there are no rows).
    pub width: usize,
    /// Row after row.
    pub values: Vec<F>,
}

impl<F> Tensor<F> {
    fn map<G>(&self, convert: impl FnMut(&F) -> G) -> Tensor<G> {
        let Tensor { stage, side, width, ref values } = *self;
        Tensor { stage, side, width, values: values.iter().map(convert).collect() }
    }

    /// The full name of its array in a trajectory.
    pub fn name(&self) -> String {
        match self.side {
            Some(side) => format!("{side}/{}", self.stage.array()),
            None => self.stage.array().into(),
        }
    }
}

/// One step: its tensors in the order of computation.
pub type Step<F> = Vec<Tensor<F>>;

pub(super) fn map<F, G>(steps: &[Step<F>], convert: impl Fn(&F) -> G) -> Vec<Step<G>> {
    steps.iter().map(|step| step.iter().map(|tensor| tensor.map(&convert)).collect()).collect()
}

/// What one step starts from beside the parameters: for each table of each tower what its optimizer remembers.
pub(super) type Memory = BTreeMap<(Side, usize, &'static str), Vec<f64>>;

/// A run with every intermediate.
pub(super) struct Observed<F> {
    pub steps: Vec<Step<F>>,
    /// Before each step.
    pub memories: Vec<Memory>,
    /// The slots of the similarities of each step: pair b's user is b, item slot j is B + j.
    pub compared: Vec<Vec<[usize; 2]>>,
}

/// Trains a scenario, with a fault or without; `between` may change the state after every step.
pub(super) fn observe<F: Real>(
    values: &Materialised,
    fault: Option<Fault>,
    mut between: impl FnMut(&mut Session<F>),
) -> Observed<F> {
    let mut mistakes = Mistakes::new(fault, values);
    let scenario = mistakes.scenario();
    let mut session = Session::<F>::new(&mistakes.values);
    let mut observed = Observed { steps: Vec::new(), memories: Vec::new(), compared: Vec::new() };
    for batch in &values.batches {
        let mut memory = Memory::new();
        session.state(|side, table, name, numbers| {
            if name != PARAMETERS {
                memory.entry((side, table, name)).or_default().extend(numbers.iter().map(F::to_f64));
            }
        });
        observed.memories.push(memory);

        let mut step = Step::new();
        state(&session, values, &mut step, [Stage::Parameters, Stage::Embedding]);
        let evaluation = mistakes.evaluate(&session, batch);
        let derivatives = merged(&evaluation.derivatives, batch.users.len());
        let mut push = |stage, side, width, values| step.push(Tensor { stage, side, width, values });
        push(Stage::Similarity, None, 1, derivatives.values().map(|(s, _)| s.clone()).collect());
        push(Stage::Coefficient, None, 1, derivatives.values().map(|(_, k)| k.clone()).collect());
        observed.compared.push(derivatives.into_keys().collect());
        let outcome = evaluation.outcome;
        push(Stage::Loss, None, 1, vec![outcome.loss.clone()]);
        for side in Side::ALL {
            push(
                Stage::LookupGradient,
                Some(side),
                scenario.dim,
                outcome.tower(side).slot_gradients.values().to_vec(),
            );
        }
        mistakes.apply(&mut session, &outcome, batch);
        for side in Side::ALL {
            let mut dense = Table::filled(scenario.tower(side).rows, scenario.dim, F::zero());
            for (row, gradient) in session.embedding_gradients(side, &outcome) {
                dense.row_mut(row).clone_from_slice(&gradient);
            }
            push(Stage::Gradient, Some(side), scenario.dim, dense.values().to_vec());
        }
        for side in Side::ALL {
            if session.has_own_parameters(side) {
                let gradients = mistakes.recorded(session.gradients(side));
                let (rows, values) = joined(&gradients.iter().collect::<Vec<_>>(), session.is_private(side));
                push(Stage::ParameterGradient, Some(side), values.len() / rows, values);
            }
        }
        between(&mut session);
        state(&session, values, &mut step, [Stage::ParametersAfter, Stage::EmbeddingAfter]);
        observed.steps.push(step);
    }
    observed
}

fn state<F: Real>(
    session: &Session<F>,
    values: &Materialised,
    step: &mut Step<F>,
    [parameters, embedding]: [Stage; 2],
) {
    for side in Side::ALL {
        if session.has_own_parameters(side) {
            let (rows, values) = joined(&session.tables(side), session.is_private(side));
            step.push(Tensor { stage: parameters, side: Some(side), width: values.len() / rows, values });
        }
    }
    for side in Side::ALL {
        let rows = values.scenario.tower(side).rows;
        let values = (0..rows).flat_map(|row| session.embedding(side, row)).collect();
        let width = session.embedding(side, 0).len();
        step.push(Tensor { stage: embedding, side: Some(side), width, values });
    }
}

/// The derivatives of one similarity added up: by its slots.
fn merged<F: Real>(derivatives: &[Derivative<F>], pairs: usize) -> BTreeMap<[usize; 2], (F, F)> {
    let number = |slot: Slot| match slot {
        Slot::User(pair) => pair,
        Slot::Item(slot) => pairs + slot,
    };
    let mut merged: BTreeMap<[usize; 2], (F, F)> = BTreeMap::new();
    for derivative in derivatives {
        let slots = [number(derivative.one), number(derivative.other)];
        match merged.get_mut(&slots) {
            Some((_, sum)) => *sum = sum.clone() + derivative.coefficient.clone(),
            None => drop(merged.insert(slots, (derivative.similarity.clone(), derivative.coefficient.clone()))),
        }
    }
    merged
}

/// A number of a run, and how far from it any right implementation may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bound {
    /// The number as f64 arithmetic gives it.
    pub value: f64,
    /// The bound.
    pub error: f64,
}

/// What is known of a run before anybody trains it.
pub(super) struct Bounds {
    pub steps: Vec<Step<Bound>>,
    /// A comparison could have come out otherwise: the bound then says nothing of the other branch.
    pub uncertain: bool,
}

/// Bytes of a number while bounds are computed.
pub(super) const BOUNDED: usize = size_of::<AnyOrder<53>>();

/// The bounds of a run in an arithmetic, carried from step to step.
pub(super) fn bounds(values: &Materialised, fault: Option<Fault>, precision: Precision) -> Bounds {
    match precision {
        Precision::F64 => bounds_with::<53>(values, fault),
        _ => bounds_with::<24>(values, fault),
    }
}

fn bounds_with<const BITS: i32>(values: &Materialised, fault: Option<Fault>) -> Bounds {
    let store = |session: &mut Session<AnyOrder<BITS>>| {
        session.state(|_, _, _, numbers| numbers.iter_mut().for_each(|x| *x = x.stored()));
    };
    let (observed, uncertain) = Running::<53>::watch(|| observe::<AnyOrder<BITS>>(values, fault, store));
    let bound = |x: &AnyOrder<BITS>| Bound { value: x.value(), error: x.error() };
    Bounds { steps: map(&observed.steps, bound), uncertain }
}
