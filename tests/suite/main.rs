//! One integration binary, one module a subject. Test names are claims.

mod cli;
mod geometry;
mod gradients;
mod honesty;
mod jacobians;
mod optimizers;
mod oracle;
mod recordings;
mod samplers;
mod support;
mod witnesses;
