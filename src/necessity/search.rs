//! The search for witnesses: a scenario that lacks one condition, meets all others that the claim lists, and breaks it.
//!
//! Scenarios are drawn from the claim's own family, widened in the one part that the condition concerns, and kept where the
//! scenario itself says that it lacks this condition and no other. Each that breaks the claim by [`TWIN_MARGIN`] is made
//! smaller and its numbers simpler, change by change; as that keeps the kinds of its parts, several are, and of these the one
//! with the shortest file is the witness.

use std::time::{Duration, Instant};

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::Case;
use crate::claims::Claim;
use crate::claims::check::{TWIN_MARGIN, has_directions};
use crate::claims::specimen::Specimen;
use crate::condition::Condition;
use crate::error::{Error, Result};
use crate::reference::Reference;
use crate::scenario::Scenario;
use crate::scenario::random::{Encoders, Family, Losses, Optimizers, scenarios};
use crate::scenario::simpler::simpler;
use crate::verdict::{Observed, Status};

/// How long to look, and from where.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Seed of the scenarios drawn.
    pub seed: u64,
    /// At most this long for one claim and condition, shrinking included.
    pub time: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Options { seed: 0, time: Duration::from_secs(10) }
    }
}

/// So many scenarios that break the claim are made simpler, to choose from. The generator draws each kind of encoder, loss and
/// optimizer in at least one of some twenty, so that among them the plainest that will do is rarely missing.
const CANDIDATES: usize = 64;

/// What a search found.
#[derive(Debug, Clone)]
pub struct Found {
    /// The witness.
    pub case: Case,
    /// Scenarios drawn before this one.
    pub drawn: u64,
    /// The residual of the witness in units of its allowance.
    pub margin: f64,
}

/// Looks for a scenario that lacks the condition and breaks the claim; None where the time did not suffice.
///
/// # Errors
/// A state that the generator should never reach.
pub fn search(claim: &dyn Claim, condition: Condition, options: &Options) -> Result<Option<Found>> {
    let start = Instant::now();
    let twin = claim.twins().into_iter().find(|twin| twin.drops == Some(condition) && twin.acts_on_the_trainer());
    let hunt = Hunt { claim, condition, twin };
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&options.seed.to_le_bytes());
    // The scenario's own statuses turn most candidates down; the time is the limit, not their number.
    let config = Config { max_local_rejects: u32::MAX, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let strategy = scenarios(widened(claim.family(), condition));
    let in_time = || start.elapsed() < options.time;
    let mut found: Vec<(u64, Scenario)> = Vec::new();
    let mut drawn = 0;
    while in_time() && found.len() < CANDIDATES {
        let scenario = strategy.new_tree(&mut runner).map_err(Error::internal)?.current();
        if hunt.margin(&scenario).is_some() {
            found.push((drawn, hunt.simplify(scenario, in_time)));
        }
        drawn += 1;
    }
    let Some((drawn, scenario)) = found.into_iter().min_by_key(|(_, scenario)| scenario.to_json().len()) else {
        return Ok(None);
    };
    let margin = hunt.margin(&scenario).ok_or_else(|| Error::internal("a witness that was shrunk away"))?;
    Ok(Some(Found { case: Case::new(claim, condition, hunt.twin.as_ref(), scenario), drawn, margin }))
}

/// The claim's family, widened in the part that the condition concerns.
fn widened(family: Family, condition: Condition) -> Family {
    match condition {
        Condition::IsotropicJacobian | Condition::PrivateParameters => Family { encoders: Encoders::Any, ..family },
        Condition::ScalarStep | Condition::NoMomentum | Condition::NoDecay | Condition::NoCoordinateScaling => {
            Family { optimizers: Optimizers::Any, ..family }
        }
        Condition::CosineLoss | Condition::NoEpsilon => Family { losses: Losses::Any, ..family },
        Condition::FreshGradient | Condition::ExactStorage | Condition::Own(_) => family,
    }
}

struct Hunt<'a> {
    claim: &'a dyn Claim,
    condition: Condition,
    /// The twin whose planted fault or header makes the violation, where the scenario alone does not.
    twin: Option<Specimen>,
}

impl Hunt<'_> {
    /// Whether the scenario lacks the condition, and no other that the claim lists.
    fn is_eligible(&self, scenario: &Scenario) -> bool {
        let unmet = |condition: Condition| matches!(self.claim.status(scenario, condition), Status::Unmet(_));
        let cause = |condition: Condition| {
            condition == self.condition
                || (condition == Condition::ScalarStep
                    && matches!(
                        self.condition,
                        Condition::NoMomentum | Condition::NoDecay | Condition::NoCoordinateScaling
                    ))
        };
        let planted = self.twin.as_ref().is_some_and(Specimen::has_fault);
        let others = super::demanded(self.claim).into_iter().chain(self.claim.conditions().iter().copied());
        (planted || unmet(self.condition)) && others.filter(|other| !cause(*other)).all(|other| !unmet(other))
    }

    /// The margin by which an eligible scenario breaks the claim; None where it is not eligible or breaks it by less than a
    /// twin must.
    fn margin(&self, scenario: &Scenario) -> Option<f64> {
        if !self.is_eligible(scenario) {
            return None;
        }
        let materialised = scenario.materialise().ok().filter(has_directions)?;
        let observation = match &self.twin {
            Some(twin) => twin.examine(self.claim, &materialised, &Reference),
            None => self.claim.examine(&materialised, &Reference),
        };
        let observation = observation.ok()?;
        (observation.observed == Observed::Breaks && observation.margin() >= TWIN_MARGIN).then(|| observation.margin())
    }

    /// Makes the scenario smaller and its numbers simpler, one change at a time, as long as it stays a witness and there is time.
    fn simplify(&self, mut scenario: Scenario, in_time: impl Fn() -> bool) -> Scenario {
        loop {
            let next = simpler(&scenario).take_while(|_| in_time()).find(|candidate| self.margin(candidate).is_some());
            match next {
                Some(next) => scenario = next,
                None => return scenario,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rayon::prelude::*;

    use super::*;
    use crate::claims::find;

    #[test]
    fn a_witness_for_every_condition_of_update_orthogonality_is_found_in_three_dimensions() {
        let claim = find("update-orthogonality").unwrap();
        let conditions = crate::necessity::necessary(claim);
        assert!(
            conditions.contains(&Condition::NoMomentum) && conditions.is_superset(&crate::necessity::demanded(claim))
        );
        conditions.into_par_iter().for_each(|condition| {
            let found = search(claim, condition, &Options::default()).unwrap();
            let found = found.unwrap_or_else(|| panic!("no scenario without {condition} was found"));
            assert!(found.case.scenario.dim <= 3, "{condition}: {}", found.case.to_json());
            assert!(found.margin >= TWIN_MARGIN);
            // The file says it all: read back, it breaks the claim again.
            let again: Case = serde_json::from_str(&found.case.to_json()).unwrap();
            assert_eq!(again.examine(&Reference).unwrap().margin(), found.margin);
        });
    }

    #[test]
    fn a_condition_that_is_not_needed_has_no_witness() {
        // The norm grows with momentum too.
        let claim = find("norm-growth").unwrap();
        let options = Options { time: Duration::from_millis(300), ..Options::default() };
        let found = search(claim, Condition::NoMomentum, &options).unwrap();
        assert!(found.is_none(), "{}", found.unwrap().case.to_json());
    }
}
