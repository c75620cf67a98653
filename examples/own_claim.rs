//! A condition and a claim of your own: stated, checked over random models, shown to need its condition.
//! `cargo run --release --example own_claim`
//!
//! # Initial ranking
//!
//! While all items have the same norm R, inner products rank them as cosines do:
//!
//! ```text
//! ⟨u, q_i⟩ − ⟨u, q_j⟩ = ‖u‖·R·(cos_i − cos_j)
//! ```
//!
//! so that a model initialised on one sphere begins without any popularity in its ranking.
//!
//! *Hypotheses*: CommonInitialNorm. *Shapes*: u, q: `[d]`. *Source*: arithmetic.

use perpend::claims::check::{Options, Status as Checked, check};
use perpend::claims::specimen::{self, Specimen};
use perpend::claims::{About, Claim, Kind, Sampling, Standing};
use perpend::condition::{Condition, Own};
use perpend::facts::{Measured, Tally};
use perpend::geometry::{cosine_f64, norm_f64};
use perpend::reference::{Reference, Session};
use perpend::rounding::Precision;
use perpend::scenario::random::{Encoders, Family};
use perpend::scenario::{Initial, Materialised, Scenario};
use perpend::trainer::Trainer;
use perpend::trajectory::Side;
use perpend::verdict::{Observation, Place, Status};

/// The condition: one name, one sentence. Whether it is met is this claim's to say.
const COMMON_INITIAL_NORM: Condition =
    Condition::Own(Own { name: "CommonInitialNorm", describe: "all items start with the same norm" });

const DERIVATION: &str = "‖u‖·R·γ_{3d+8}: an inner product, a cosine (three sums and five operations) and equal norms to one \
    division each";

const ABOUT: About = About {
    id: "initial-ranking",
    kind: Kind::Pointwise,
    standing: Standing::Theorem,
    statement: "items of one norm are ranked by inner products as by cosines",
    conditions: &[COMMON_INITIAL_NORM],
    source: "arithmetic",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("own_claim.rs"),
};

struct InitialRanking;

/// The item embeddings, and the largest relative difference of their norms.
fn spread(materialised: &Materialised) -> f64 {
    let session = Session::<f64>::new(materialised);
    let norms = (0..materialised.scenario.item.rows).map(|row| norm_f64(&session.embedding(Side::Item, row)));
    let (least, largest) =
        norms.fold((f64::INFINITY, 0.0_f64), |(least, largest), norm| (least.min(norm), largest.max(norm)));
    (largest - least) / largest
}

/// For every user and pair of items: (⟨u,q_i⟩ − ⟨u,q_j⟩) − ‖u‖·R·(cos_i − cos_j), R = ‖q_i‖.
fn judge(materialised: &Materialised) -> Observation {
    let session = Session::<f64>::new(materialised);
    let scenario = &materialised.scenario;
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let items: Vec<Vec<f64>> = (0..scenario.item.rows).map(|row| session.embedding(Side::Item, row)).collect();
    let mut tally = Tally::default();
    for row in 0..scenario.user.rows {
        let user = session.embedding(Side::User, row);
        let cosines: Vec<f64> = items.iter().filter_map(|item| cosine_f64(&user, item)).collect();
        if cosines.len() < items.len() {
            continue;
        }
        for i in 0..items.len() {
            for j in 0..i {
                let scale = norm_f64(&user) * norm_f64(&items[i]);
                let residual =
                    (dot(&user, &items[i]) - dot(&user, &items[j]) - scale * (cosines[i] - cosines[j])).abs();
                // Two inner products and two cosines, each good to γ_{3d+8} of the scale at the worst.
                let allowed = 4.0 * Precision::F64.gamma(3 * scenario.dim + 8) * scale;
                tally.judge(Place { step: 0, row: i as u64 }, &Measured::new(residual, allowed, scale));
            }
        }
    }
    tally.observe(DERIVATION, "fewer than two items")
}

/// The same model with every item row as long as the first.
fn on_one_sphere(materialised: &Materialised) -> perpend::Result<Materialised> {
    let mut scenario = materialised.explicit();
    let dim = scenario.dim;
    if let Initial::Explicit { tables, .. } = &mut scenario.item.initial {
        let radius = norm_f64(&tables[0][..dim]);
        for row in tables[0].chunks_exact_mut(dim) {
            let length = norm_f64(row);
            row.iter_mut().for_each(|x| *x *= radius / length);
        }
    }
    scenario.materialise()
}

impl Claim for InitialRanking {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Table, ..Family::default() }
    }
    fn status(&self, scenario: &Scenario, condition: Condition) -> Status {
        if condition != COMMON_INITIAL_NORM {
            return scenario.status(Side::Item, condition);
        }
        match scenario.materialise().map(|materialised| spread(&materialised)) {
            Ok(spread) if spread <= Precision::F64.gamma(scenario.dim + 4) => Status::Met("equal to rounding".into()),
            Ok(spread) => Status::Unmet(format!("norms differ by {:.0} %", 100.0 * spread)),
            Err(error) => Status::Unknown(error.to_string()),
        }
    }
    /// Random scenarios are put on a sphere first: what is claimed is claimed of such.
    fn examine(&self, materialised: &Materialised, _trainer: &dyn Trainer) -> perpend::Result<Observation> {
        Ok(judge(&on_one_sphere(materialised)?))
    }
    fn twins(&self) -> Vec<Specimen> {
        vec![
            Specimen::dropping(COMMON_INITIAL_NORM, "norms as they are drawn", specimen::plain)
                .judged_by(|materialised, _| Ok(judge(materialised))),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![Specimen::named("a model on a sphere", specimen::plain)]
    }
}

fn main() -> perpend::Result<()> {
    let options = Options { cases: 1000, ..Options::default() };
    let report = check(&InitialRanking, &Reference, &options, &|_| {})?;
    for twin in &report.twins {
        println!(
            "twin     {}: broke in {} of {} seeds, {:.0e} times what is allowed",
            twin.name, twin.broke, twin.seeds, twin.margin
        );
    }
    println!(
        "{:?}   {}: {} cases, at worst {:.3} of what is allowed",
        report.status, report.id, report.cases, report.worst
    );
    assert_eq!(report.status, Checked::Passed);
    Ok(())
}

#[test]
fn initial_ranking() {
    main().unwrap();
}
