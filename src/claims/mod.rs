//! The theory: every claim is one object, one file, in the list [`ALL`].
//!
//! A claim has a statement, hypotheses, a check over random scenarios, twins that must break, controls that must not, and
//! (for step and run claims) the observation of a recorded run. The opening comment of its file is its documentation,
//! and what `perpend explain` prints.

/// The `#[test]` of a claim, in the claim's own file: the whole check in small, and a snapshot of what the claim observes on
/// the reference trajectory. `cargo test heavy_ball` runs one theorem.
macro_rules! theorem {
    ($name:ident, $claim:ident, $snapshot:literal) => {
        #[cfg(test)]
        mod tests {
            #[test]
            fn $name() {
                let claim: &dyn crate::claims::Claim = &super::$claim;
                let cases = crate::claims::check::cases_of_tests();
                let options = crate::claims::check::Options { cases, ..Default::default() };
                let report = crate::claims::check::check(claim, &crate::reference::Reference, &options, &|_| {}).unwrap();
                let text = crate::report::terminal::failure_text(&report, "reference");
                assert_eq!(report.status, crate::claims::check::Status::Passed, "{text}");
                assert_eq!(report.cases, claim.about().sampling.wanted(cases));
                insta::assert_snapshot!(crate::claims::specimen::reference_observation(claim), @$snapshot);
            }
        }
    };
}

pub mod check;
mod decay_equilibrium;
mod decay_frequency;
mod decay_radial;
pub(crate) mod declared_step;
mod diagonal_scaling;
mod dilation_equivariance;
mod displacement_number;
mod eigenvector_criterion;
mod ensemble_growth;
mod epsilon_leak;
mod frequency_norm_coupling;
mod fresh_directions;
mod gradient_flow_limit;
mod gradient_implies_growth;
mod gradient_inverse_scaling;
mod gradient_orthogonality;
mod heavy_ball_identity;
mod homogeneous_layers;
mod lazy_versus_dense;
#[cfg(test)]
mod ledger;
mod metric_orthogonality;
mod nesterov_growth;
mod norm_fixing;
mod norm_gauge;
mod norm_growth;
mod permutation_equivariance;
pub mod proofs;
mod quarter_power_law;
mod quartic_growth;
mod radial_angle_bound;
mod rotation_equivariance;
mod rowwise_adagrad_log_growth;
mod runs;
mod scalar_second_moment_growth;
mod scalar_steps;
mod serving_inversion;
mod similarity_rows;
pub mod specimen;
mod stale_gradient;
mod steps;
mod storage_threshold;
mod tangent_projection;
mod temperature_bound;
mod update_kernel;
mod update_orthogonality;

use std::collections::HashMap;

use crate::condition::Condition;
use crate::encoder::{Architecture, Place};
use crate::error::{Error, Result};
use crate::facts::{Context, Encoding, Facts, Watched, gather, survey, upstream};
use crate::geometry::{Table, norm_f64};
use crate::scenario::random::Family;
use crate::scenario::{Materialised, Scenario};
use crate::trainer::Trainer;
use crate::trajectory::{Side, Tower, Trajectory};
use crate::verdict::{Observation, Status};
use specimen::Specimen;

/// Every claim, in the order of the theory.
pub const ALL: &[&dyn Claim] = &[
    &gradient_orthogonality::GradientOrthogonality,
    &gradient_inverse_scaling::GradientInverseScaling,
    &norm_gauge::NormGauge,
    &epsilon_leak::EpsilonLeak,
    &temperature_bound::TemperatureBound,
    &update_kernel::UpdateKernel,
    &update_orthogonality::UpdateOrthogonality,
    &eigenvector_criterion::EigenvectorCriterion,
    &radial_angle_bound::RadialAngleBound,
    &ensemble_growth::EnsembleGrowth,
    &homogeneous_layers::HomogeneousLayers,
    &metric_orthogonality::MetricOrthogonality,
    &norm_growth::NormGrowth,
    &storage_threshold::StorageThreshold,
    &quartic_growth::QuarticGrowth,
    &quarter_power_law::QuarterPowerLaw,
    &gradient_flow_limit::GradientFlowLimit,
    &displacement_number::DisplacementNumber,
    &frequency_norm_coupling::FrequencyNormCoupling,
    &declared_step::DeclaredStep,
    &scalar_steps::ScalarSteps,
    &rowwise_adagrad_log_growth::RowwiseAdagradLogGrowth,
    &tangent_projection::TangentProjection,
    &heavy_ball_identity::HeavyBallIdentity,
    &nesterov_growth::NesterovGrowth,
    &diagonal_scaling::DiagonalScaling,
    &scalar_second_moment_growth::ScalarSecondMomentGrowth,
    &lazy_versus_dense::LazyVersusDense,
    &stale_gradient::StaleGradient,
    &decay_radial::DecayRadial,
    &decay_equilibrium::DecayEquilibrium,
    &decay_frequency::DecayFrequency,
    &dilation_equivariance::DilationEquivariance,
    &rotation_equivariance::RotationEquivariance,
    &permutation_equivariance::PermutationEquivariance,
    &norm_fixing::NormFixing,
    &serving_inversion::ServingInversion,
    &gradient_implies_growth::GradientImpliesGrowth,
];

/// Why laws that need the embedding's own rate are left undecided.
const UNKNOWN_RATE: &str = "the rate at which embeddings move is not known: neither SGD nor heavy ball on a table";

/// What kind of statement a claim is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A function of one step's facts; can be audited.
    Step,
    /// A function of rows' whole histories; can be audited.
    Run,
    /// About one function, such as a Jacobian.
    Pointwise,
    /// About two runs: a symmetry.
    Metamorphic,
}

impl Kind {
    /// Whether a recorded run can be judged by claims of this kind.
    pub fn is_audited(self) -> bool {
        matches!(self, Kind::Step | Kind::Run)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Kind::Step => "step",
            Kind::Run => "run",
            Kind::Pointwise => "pointwise",
            Kind::Metamorphic => "metamorphic",
        })
    }
}

/// Whether a statement is a theorem or a belief that is refuted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It holds under its conditions.
    Theorem,
    /// It is believed and false: its twins are the counterexamples, its cases the hypotheses that restore it.
    Refuted,
}

impl std::fmt::Display for Standing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Standing::Theorem => "theorem",
            Standing::Refuted => "refuted",
        })
    }
}

/// How many random cases a claim is checked on.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
#[serde(rename_all = "lowercase", tag = "kind")]
pub enum Sampling {
    /// As many as are asked for: each case is judged by a bound that always holds.
    EveryCase,
    /// A fixed number: each case is a fit over a sample, which may miss by chance.
    Statistical {
        /// Cases, with fixed seeds.
        cases: u64,
        /// A bound on the probability that a right implementation fails any of them.
        failure_probability: f64,
        /// What each case samples and how the probability is bounded.
        how: &'static str,
    },
}

impl Sampling {
    /// The number of cases to judge where so many are asked for.
    pub fn wanted(&self, asked: u64) -> u64 {
        match self {
            Sampling::EveryCase => asked,
            Sampling::Statistical { cases, .. } => asked.min(*cases),
        }
    }
}

/// What a claim says, apart from how it is checked.
#[derive(Debug, Clone, Copy)]
pub struct About {
    /// The slug: the name everywhere.
    pub id: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// Theorem or refuted belief.
    pub standing: Standing,
    /// The statement, in one sentence.
    pub statement: &'static str,
    /// The conditions that it needs.
    pub conditions: &'static [Condition],
    /// Who stated it first, as far as known.
    pub source: &'static str,
    /// How the allowed residual is derived.
    pub derivation: &'static str,
    /// How many random cases it is checked on.
    pub sampling: Sampling,
    /// The text of its file.
    pub text: &'static str,
}

/// One claim of the theory.
pub trait Claim: Sync {
    /// What it says.
    fn about(&self) -> &'static About;
    /// The random scenarios that it is checked on.
    fn family(&self) -> Family {
        Family::default()
    }

    /// How it measures the records of a run; empty for claims that no recorded run can be judged by.
    fn watch(&self, _context: &Context) -> Vec<Watched> {
        Vec::new()
    }

    /// Whether it concerns the parameters behind the embeddings rather than the embeddings.
    fn concerns_parameters(&self) -> bool {
        false
    }

    /// Whether the item tower of a scenario meets one of its conditions: by what the scenario is, unless the claim has
    /// conditions of its own.
    fn status(&self, scenario: &Scenario, condition: Condition) -> Status {
        scenario.status(Side::Item, condition)
    }

    /// The observation that follows from the facts of a run.
    fn observe(&self, facts: &Facts, _context: &Context) -> Observation {
        facts
            .tally(self.about().id)
            .observe(self.about().derivation, "nothing to judge: no row had a gradient or moved")
    }

    /// Trains a scenario and observes its item tower.
    ///
    /// # Errors
    /// The trainer's.
    fn examine(&self, materialised: &Materialised, trainer: &dyn Trainer) -> Result<Observation> {
        observe_run(self.about().id, &trainer.train(materialised)?, Some(materialised))
    }

    /// Scenarios in which one hypothesis is dropped and the claim must break, by a hundred times what is allowed.
    fn twins(&self) -> Vec<Specimen>;

    /// Scenarios that look like violations and must not break it.
    fn controls(&self) -> Vec<Specimen>;
}

impl dyn Claim + '_ {
    /// The slug.
    pub fn id(&self) -> &'static str {
        self.about().id
    }
    /// The kind.
    pub fn kind(&self) -> Kind {
        self.about().kind
    }
    /// The conditions that it needs.
    pub fn conditions(&self) -> &'static [Condition] {
        self.about().conditions
    }
    /// The opening comment of its file, formulas indented.
    pub fn documentation(&self) -> String {
        let mut formula = false;
        let mut text = String::new();
        for line in self.about().text.lines().map_while(|line| line.strip_prefix("//!")) {
            let line = line.strip_prefix(' ').unwrap_or(line);
            if line.starts_with("```") {
                formula = !formula;
            } else {
                text += if formula { "    " } else { "" };
                text += line;
                text.push('\n');
            }
        }
        text.trim_end().to_string()
    }
}

/// The claim of this slug.
///
/// # Errors
/// A usage error that lists the slugs.
///
/// ```
/// assert_eq!(perpend::claims::find("norm-growth")?.id(), "norm-growth");
/// assert!(perpend::claims::find("norm-shrinks").is_err_and(|error| error.is_usage()));
/// # Ok::<(), perpend::Error>(())
/// ```
pub fn find(id: &str) -> Result<&'static dyn Claim> {
    ALL.iter().copied().find(|claim| claim.id() == id).ok_or_else(|| {
        let known: Vec<_> = ALL.iter().map(|claim| claim.id()).collect();
        Error::usage("claim", format!("one of {}", known.join(", ")), id)
    })
}

/// Gathers what some claims need of a tower: one pass over its embeddings, one over its parameters where some claim
/// concerns them.
pub(crate) fn gather_for(claims: &[&dyn Claim], tower: &Tower<'_>, context: &Context) -> Result<Facts> {
    let parameters = tower.parameters();
    let (behind, on_top): (Vec<_>, Vec<_>) =
        claims.iter().partition(|claim| claim.concerns_parameters() && parameters.is_some());
    let watched = |claims: &[&dyn Claim]| claims.iter().flat_map(|claim| claim.watch(context)).collect::<Vec<_>>();
    let mut facts = gather(tower, context, &watched(&on_top))?;
    if let (Some(parameters), false) = (&parameters, behind.is_empty()) {
        let scales = survey(parameters)?;
        let context = Context {
            dim: parameters.dim(),
            largest_gradient: scales.largest_gradient,
            upstream: HashMap::new(),
            gradient_factor: None,
            encoding: None,
            ..context.clone()
        };
        facts.tallies.extend(gather(parameters, &context, &watched(&behind))?.tallies);
    }
    Ok(facts)
}

/// Observes one claim on the item tower (or the only tower) of a run, by what its header declares and, where the
/// scenario is known, by how its encoder computes embeddings.
pub(crate) fn observe_run(id: &str, trajectory: &Trajectory, scenario: Option<&Materialised>) -> Result<Observation> {
    observe_claim(find(id)?, trajectory, scenario)
}

/// [`observe_run`] for a claim that need not be in the list, such as a false variant of one that is.
fn observe_claim(claim: &dyn Claim, trajectory: &Trajectory, scenario: Option<&Materialised>) -> Result<Observation> {
    let towers = trajectory.towers();
    let tower = towers
        .iter()
        .find(|tower| tower.side() != Some(Side::User))
        .ok_or_else(|| Error::input(trajectory.origin(), "an item tower", "only a user tower"))?;
    if let Some(materialised) = scenario {
        let scenario = &materialised.scenario;
        let expected = (scenario.steps, scenario.item.rows, scenario.dim);
        let found = (tower.steps(), tower.rows(), tower.dim());
        if expected != found {
            let shape =
                |(steps, rows, dim): (usize, usize, usize)| format!("{steps} steps of {rows} rows of {dim} numbers");
            return Err(Error::input("the trainer's trajectory", shape(expected), shape(found)));
        }
    }
    let context = context(trajectory, tower, scenario)?;
    let facts = gather_for(&[claim], tower, &context)?;
    Ok(claim.observe(&facts, &context))
}

/// What is known of an item tower: what the header declares and, where the scenario is known, how its encoder computes
/// embeddings and which terms cancelled in its gradients.
fn context(trajectory: &Trajectory, tower: &Tower<'_>, scenario: Option<&Materialised>) -> Result<Context> {
    let mut context = Context::declared(trajectory, tower, &survey(tower)?);
    // A rule moves parameters. Where these are neither the embeddings nor recorded, there is nothing to replay it on.
    if !context.is_table && tower.parameters().is_none() {
        context.replays.clear();
    }
    if let Some(materialised) = scenario {
        // The header does not tell every loss and every batch; the scenario does.
        let batch = |step: usize| materialised.batches.get(step).cloned();
        if let Some(scales) = upstream(trajectory, tower, &materialised.scenario.loss, &batch) {
            context.upstream = scales;
        }
    }
    if let (Some(materialised), Some(parameters)) = (scenario, tower.parameters()) {
        context.encoding = encoding(materialised, Side::Item, &parameters)?;
    }
    Ok(context)
}

/// The magnitudes that an encoder adds up for every (step, row): its own arithmetic on the absolute values of its private
/// parameters and constants. None for encoders that are no sums of products of those.
fn encoding(materialised: &Materialised, side: Side, parameters: &Tower<'_>) -> Result<Option<Encoding>> {
    let (tower, values) = (materialised.scenario.tower(side), materialised.tower(side));
    let private = values.blocks.iter().all(|block| block.private);
    let Some(operations) = tower.encoder.roundings(materialised.scenario.dim).filter(|_| private) else {
        return Ok(None);
    };
    let place = Place { own: 0, ..materialised.place(side) };
    let encoder = tower.encoder.build(place, values.constants.map(|x: &f64| x.abs()));
    let mut tables: Vec<Table<f64>> = values.tables.clone();
    let width: usize = values.blocks.iter().map(|block| block.width).sum();
    if (parameters.rows(), parameters.dim()) != (tower.rows, width) {
        let found = format!("{} rows of {}", parameters.rows(), parameters.dim());
        return Err(Error::input("the trainer's table", format!("{} rows of {width} numbers", tower.rows), found));
    }
    let mut magnitudes = HashMap::new();
    parameters.for_each(0..parameters.rows(), &mut |record| {
        let mut magnitude = |joined: &[f64]| {
            let mut rest = joined;
            for table in &mut tables {
                let (own, others) = rest.split_at(table.width());
                table.row_mut(record.row).iter_mut().zip(own).for_each(|(place, x)| *place = x.abs());
                rest = others;
            }
            norm_f64(&encoder.encode(&tables, record.row))
        };
        let larger = magnitude(record.q).max(magnitude(record.q_next));
        magnitudes.insert((record.step as u64, record.row as u64), larger);
        Ok(())
    })?;
    Ok(Some(Encoding { operations, magnitudes }))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn only_claims_about_steps_and_runs_are_audited() {
        let audited = [Kind::Step, Kind::Run, Kind::Pointwise, Kind::Metamorphic].map(Kind::is_audited);
        assert_eq!(audited, [true, true, false, false]);
    }

    #[test]
    fn every_file_in_the_folder_is_a_claim_in_the_list() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/claims");
        let machinery = [
            "check",
            "fresh_directions",
            "ledger",
            "mod",
            "proofs",
            "runs",
            "similarity_rows",
            "specimen",
            "steps",
        ];
        let files: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| !machinery.contains(&name.as_str()))
            .collect();
        let listed: BTreeSet<String> = ALL.iter().map(|claim| claim.id().replace('-', "_")).collect();
        assert_eq!(files, listed);
        assert_eq!(listed.len(), ALL.len(), "a claim is listed twice");
    }

    #[test]
    fn every_claim_has_a_theorem_a_twin_and_a_control() {
        for claim in ALL {
            let slug = claim.id().replace('-', "_");
            let text: String = claim.about().text.split_whitespace().collect();
            assert!(text.contains(&format!("theorem!({slug},")), "{} has no test of its own name", claim.id());
            assert!(claim.documentation().contains("*Hypotheses*"), "{} is not documented", claim.id());
            assert!(!claim.controls().is_empty(), "{} has no control", claim.id());
            assert!(!claim.twins().is_empty(), "{} has no twin", claim.id());
        }
    }
}
