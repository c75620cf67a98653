//! One integration binary, one module a subject. Test names are claims.

mod cli;
mod honesty;
mod recordings;
mod witnesses;
