//! The one public error type. A violated claim is never an error: errors are for what cannot be read, run or asked.

use std::fmt;
use std::path::Path;

use crate::verdict::ExitCode;

/// What went wrong, where, what was expected and what was found.
///
/// The kind is opaque; ask with [`Error::is_usage`], [`Error::is_input`], [`Error::is_unsupported`] or for the process
/// [`Error::exit_code`].
///
/// ```
/// use perpend::Error;
/// let error = Error::not_finite("run.safetensors: q", "NaN at step 3, row 7, column 0");
/// assert_eq!(error.to_string(), "run.safetensors: q: expected a finite number, found NaN at step 3, row 7, column 0");
/// assert!(error.is_input());
/// ```
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    kind: Kind,
    place: String,
    message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Usage,
    Input,
    NotFinite,
    Unsupported,
    Trainer,
    Internal,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.place.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.place, self.message)
        }
    }
}

/// The message, so that an error which leaves `main` reads like any other.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Error {
    fn new(kind: Kind, place: impl fmt::Display, message: String) -> Self {
        Error { kind, place: place.to_string(), message }
    }

    /// Input that cannot be read as stated: where, what was expected, what was found (exit code 5).
    pub fn input(place: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::new(Kind::Input, place, format!("expected {expected}, found {found}"))
    }

    /// A number that is not finite where one is needed (exit code 5).
    pub fn not_finite(place: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::new(Kind::NotFinite, place, format!("expected a finite number, found {found}"))
    }

    /// A request that makes no sense, such as a claim that does not exist (exit code 2).
    pub fn usage(place: impl fmt::Display, expected: impl fmt::Display, found: impl fmt::Display) -> Self {
        Self::new(Kind::Usage, place, format!("expected {expected}, found {found}"))
    }

    /// A scenario that a trainer does not implement: an answer, not a failure.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new(Kind::Unsupported, "", format!("unsupported: {what}"))
    }

    /// A foreign trainer that does not keep to the harness protocol, or is gone (exit code 5): who, and what happened.
    pub fn trainer(who: impl fmt::Display, what: impl fmt::Display) -> Self {
        Self::new(Kind::Trainer, who, what.to_string())
    }

    /// A state that the program should never reach (exit code 70).
    pub fn internal(what: impl fmt::Display) -> Self {
        Self::new(Kind::Internal, "internal error", what.to_string())
    }

    /// An operating-system error on a file.
    pub fn io(path: &Path, doing: &str, error: &std::io::Error) -> Self {
        Self::new(Kind::Input, path.display(), format!("cannot {doing}: {error}"))
    }

    /// An existing output that would be overwritten (exit code 2).
    pub fn exists(path: &Path) -> Self {
        Self::new(Kind::Usage, path.display(), "exists already; pass --force to replace it".into())
    }

    /// Whether the request itself was wrong.
    pub fn is_usage(&self) -> bool {
        self.kind == Kind::Usage
    }

    /// Whether input could not be read as stated.
    pub fn is_input(&self) -> bool {
        matches!(self.kind, Kind::Input | Kind::NotFinite)
    }

    /// Whether a number was not finite.
    pub fn is_not_finite(&self) -> bool {
        self.kind == Kind::NotFinite
    }

    /// Whether a trainer answered that it does not implement the scenario.
    pub fn is_unsupported(&self) -> bool {
        self.kind == Kind::Unsupported
    }

    /// Whether a foreign trainer broke the harness protocol: nothing can be asked of it any more.
    pub fn is_trainer(&self) -> bool {
        self.kind == Kind::Trainer
    }

    /// The process exit code that belongs to this error.
    pub fn exit_code(&self) -> ExitCode {
        match self.kind {
            Kind::Usage => ExitCode::Usage,
            Kind::Input | Kind::NotFinite | Kind::Trainer => ExitCode::Unreadable,
            Kind::Unsupported => ExitCode::NothingChecked,
            Kind::Internal => ExitCode::Internal,
        }
    }
}

/// The crate's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;
