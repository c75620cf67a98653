//! One integration binary, one module a subject. Test names are claims.

mod cli;
mod encoders;
mod geometry;
mod gradients;
mod honesty;
mod losses;
mod necessity;
mod optimizers;
mod oracle;
mod recordings;
mod samplers;
mod support;
mod symmetry;
mod witnesses;
