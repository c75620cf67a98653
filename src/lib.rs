//! **perpend** proves, checks and audits what cosine-trained two-tower recommenders do to embedding norms.
//!
//! One pipeline, and nothing flows backwards:
//!
//! ```text
//! Scenario ──Trainer──▶ Trajectory ──one pass──▶ Facts ──claims──▶ Observations ──judge──▶ Verdicts ──▶ Report
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`number`], [`geometry`], [`rounding`] | number types, vectors, unit roundoffs and tolerances with their derivation |
//! | [`condition`], [`verdict`], [`Error`] | hypotheses of the theory, what is concluded, what can go wrong |
//! | [`interactions`] | who interacted with what: readers, splits, generated data |
//! | [`trajectory`] | what happened in a run: the file format, streamed |
//! | [`sampler`], [`encoder`], [`loss`], [`optimizer`] | the four parts of a two-tower model, one kind a file |
//! | [`scenario`] | what is trained, as a plain value; random scenarios |
//! | [`presets`] | designs that people use, the conditions they meet, what they do |
//! | [`trainer`], [`reference`](mod@reference) | values in, trajectory out; the reference core |
//! | [`harness`] | trainers that are other programs, by the harness protocol |
//! | [`kernel`] | the fast core: fused steps on tiles, vector instructions, threads |
//! | [`jacobian`] | derivatives checked three ways; the Gram matrix JJᵀ |
//! | [`training`], [`statistics`] | training on interactions, what came of it; rank statistics |
//! | [`facts`] | one pass over a trajectory: the sums, maxima and histograms that claims are judged by |
//! | [`claims`] | the theory: one file a claim |
//! | [`necessity`] | what each condition is for: the matrix of twins and controls, the search for witnesses |
//! | [`diagnosis`] | which optimizer really ran, and the cause of what is broken |
//! | [`audit`] | what a recorded run obeys, and why |
//! | [`golden`] | golden fixtures: generated with 256 bits, judged one step from the golden state |
//! | [`report`] | for people and programs |
//!
//! ```
//! use perpend::{audit, scenario::Scenario, reference::Reference, trainer::Trainer, verdict::Verdict};
//!
//! let scenario = Scenario::from_toml(include_str!("../fixtures/scenarios/sgd.toml"))?;
//! let trajectory = Reference.train(&scenario.materialise()?)?;
//! let audit = audit::audit(&trajectory)?;
//! assert_eq!(audit.claim("update-orthogonality", Some(perpend::trajectory::Side::Item)).unwrap().verdict, Verdict::Confirmed);
//! # Ok::<(), perpend::Error>(())
//! ```
#![warn(missing_docs)]

pub mod audit;
pub mod claims;
#[doc(hidden)]
pub mod cli;
pub mod condition;
pub mod diagnosis;
pub mod encoder;
mod error;
pub mod facts;
mod files;
pub mod geometry;
pub mod golden;
pub mod harness;
pub mod interactions;
pub mod jacobian;
pub mod kernel;
mod lanes;
pub mod loss;
mod memory;
pub mod necessity;
pub mod number;
pub mod optimizer;
pub mod presets;
pub mod reference;
pub mod report;
pub mod rounding;
pub mod sampler;
pub mod scenario;
mod simd;
pub mod statistics;
pub mod suite;
pub mod trainer;
pub mod training;
pub mod trajectory;
pub mod verdict;

pub use error::{Error, Result};
