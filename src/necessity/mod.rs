//! Necessity: what each condition of each claim is for.
//!
//! "Necessary" means that the claim becomes false when the condition is deleted, not that every violation breaks it. The
//! [`Matrix`] shows for every claim and every condition that it lists a twin that breaks it, by which margin, and the benign
//! violations that do not. The [`search`] finds such a scenario by itself and shrinks it; a [`Case`] is how one is kept.

mod case;
pub mod search;

use std::collections::BTreeSet;

use rayon::prelude::*;
use serde::Serialize;

pub use case::Case;

use crate::claims::Claim;
use crate::claims::check::{SpecimenReport, specimen_report};
use crate::condition::Condition;
use crate::error::Result;
use crate::trainer::Trainer;

/// What the specimens of one claim show about one condition.
#[derive(Debug, Clone, Serialize)]
pub struct Cell {
    /// The condition.
    pub condition: Condition,
    /// Scenarios without it, which must break the claim.
    pub twins: Vec<SpecimenReport>,
    /// Scenarios without it, which must not.
    pub benign: Vec<SpecimenReport>,
}

impl Cell {
    /// Whether there is something to see and all of it is as it must be.
    pub fn is_shown(&self) -> bool {
        let all = || self.twins.iter().chain(&self.benign);
        all().next().is_some() && all().all(|report| report.as_expected)
    }
    /// The largest margin of a twin: its residual in units of the allowance.
    pub fn margin(&self) -> Option<f64> {
        self.twins.iter().map(|twin| twin.margin).reduce(f64::max)
    }
}

/// One claim's row of the matrix.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The claim.
    pub claim: &'static str,
    /// One cell a condition.
    pub cells: Vec<Cell>,
    /// Twins that drop no condition: false variants of the claim, faults of a trainer.
    pub variants: Vec<SpecimenReport>,
    /// Controls that drop no condition.
    pub controls: Vec<SpecimenReport>,
}

impl Row {
    /// Whether every cell and every other specimen is as it must be.
    pub fn is_shown(&self) -> bool {
        self.cells.iter().all(Cell::is_shown)
            && self.variants.iter().chain(&self.controls).all(|report| report.as_expected)
    }
}

/// Conditions × claims.
#[derive(Debug, Clone, Serialize)]
pub struct Matrix {
    /// One row a claim.
    pub rows: Vec<Row>,
}

impl Matrix {
    /// Measures every twin and every control of the claims.
    ///
    /// # Errors
    /// The trainer's, where it cannot train a specimen at all.
    pub fn measure(claims: &[&dyn Claim], trainer: &dyn Trainer) -> Result<Matrix> {
        let rows = claims.par_iter().map(|claim| row(*claim, trainer)).collect::<Result<_>>()?;
        Ok(Matrix { rows })
    }
}

/// The conditions whose specimens a claim must show: those that it lists, `ScalarStep` by the causes that always end it.
/// Momentum is a cause of its own: some claims outlive it.
pub fn demanded(claim: &dyn Claim) -> BTreeSet<Condition> {
    let ways = |condition: &Condition| match condition {
        Condition::ScalarStep => vec![Condition::NoDecay, Condition::NoCoordinateScaling],
        other => vec![*other],
    };
    claim.conditions().iter().flat_map(ways).collect()
}

/// The conditions that a claim is shown to need: those that its twins drop.
pub fn necessary(claim: &dyn Claim) -> BTreeSet<Condition> {
    claim.twins().iter().filter_map(|twin| twin.drops).collect()
}

fn row(claim: &dyn Claim, trainer: &dyn Trainer) -> Result<Row> {
    let (twins, controls) = (claim.twins(), claim.controls());
    let shown = twins.iter().chain(&controls).filter_map(|specimen| specimen.drops);
    let conditions: BTreeSet<Condition> = demanded(claim).into_iter().chain(shown).collect();
    let reports = |specimens: &[crate::claims::specimen::Specimen], drops: Option<Condition>, must_break: bool| {
        let chosen = specimens.iter().filter(|specimen| specimen.drops == drops);
        chosen
            .map(|specimen| specimen_report(claim, specimen, trainer, must_break))
            .collect::<Result<Vec<_>>>()
    };
    let cells = conditions.into_iter().map(|condition| {
        let (twins, benign) = (reports(&twins, Some(condition), true)?, reports(&controls, Some(condition), false)?);
        Ok(Cell { condition, twins, benign })
    });
    Ok(Row {
        claim: claim.id(),
        cells: cells.collect::<Result<_>>()?,
        variants: reports(&twins, None, true)?,
        controls: reports(&controls, None, false)?,
    })
}
