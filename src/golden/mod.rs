//! Golden fixtures: what a training step must give, computed with 256 bits and rounded once; and the judgement of trainers by it.
//!
//! | file | what it does |
//! |---|---|
//! | `observe` | runs a scenario on any number type and keeps every intermediate of every step |
//! | [`cases`] | which scenarios there are, and why |
//! | [`fixture`] | the files: generated, compared, read |
//! | [`fault`] | mistakes that training code makes, as programs: what must be noticed, and by which name |
//! | [`verify`] | judges a trainer or a recording, and names the first place that left its bound |
//!
//! *One step from the golden state.* A free run amplifies every difference, so each step of a fixture starts from the state as it
//! was rounded (parameters and whatever the optimizer remembers), and a trainer is asked for that one step. A state that cannot be
//! handed over (momentum, moments) is reached by training from the initial values; the bound is then carried through these steps.
//!
//! *The bound* is computed by the same reference core on [`AnyOrder`](crate::number::AnyOrder) numbers: its derivation is there.

pub mod cases;
pub mod fault;
pub mod fixture;
mod observe;
pub mod verify;

pub use fault::Fault;
pub use fixture::Fixture;
pub use observe::{Bound, Stage, Step, Tensor};

/// How every judgement of a fixture explains what it allowed.
pub const DERIVATION: &str = "error of any right implementation: every operation of the formula is charged 4·u·(size of its terms \
    before they cancel), sums in every order (number::AnyOrder), and half a unit in the last place of the golden value; \
    u = 2^-53 for float64, 2^-24 for float32";
