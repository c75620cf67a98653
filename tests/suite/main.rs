//! One integration binary, one module a subject. Test names are claims.

mod cli;
mod diagnosis;
mod encoders;
mod geometry;
mod golden;
mod gradients;
mod harness;
mod honesty;
mod jacobians;
mod kernel;
mod losses;
mod necessity;
mod optimizer_rules;
mod optimizers;
mod oracle;
mod own_parts;
mod recordings;
mod samplers;
mod specimens;
mod support;
mod symmetry;
mod witnesses;
