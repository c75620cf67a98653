//! The conditions under which claims hold. Each claim lists the ones it needs; a scenario, a header or a diagnosis says
//! which of them a run meets.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A hypothesis of the theory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Condition {
    /// The loss sees the row only through its direction: L(c·q) = L(q) for c > 0.
    CosineLoss,
    /// J·Jᵀ = κ·I on the row, J = ∂q/∂θ: what "parameter-linear" really needs. Affine is enough; a frozen projection is not.
    IsotropicJacobian,
    /// No other row's gradient reaches this row.
    PrivateParameters,
    /// The optimizer multiplies the gradient by one scalar a row.
    ScalarStep,
    /// The optimizer keeps no first-moment memory of earlier gradients (a sub-cause of `ScalarStep`).
    NoMomentum,
    /// No weight decay reaches the row (a sub-cause of `ScalarStep`).
    NoDecay,
    /// Coordinates of one row are not scaled apart (a sub-cause of `ScalarStep`).
    NoCoordinateScaling,
    /// The gradient was taken at the embedding that it is applied to.
    FreshGradient,
    /// No epsilon or clamp in the normalisation is active.
    NoEpsilon,
    /// The step is resolvable in the storage precision.
    ExactStorage,
    /// A condition of one's own, for a claim of one's own: only that claim knows whether it is met
    /// ([`Claim::status`](crate::claims::Claim::status)).
    Own(Own),
}

/// A condition that is not one of the crate's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Own {
    /// Its name, in the style of the others: `CommonInitialNorm`.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub describe: &'static str,
}

impl Condition {
    /// Every condition of the crate.
    pub const ALL: [Condition; 10] = [
        Condition::CosineLoss,
        Condition::IsotropicJacobian,
        Condition::PrivateParameters,
        Condition::ScalarStep,
        Condition::NoMomentum,
        Condition::NoDecay,
        Condition::NoCoordinateScaling,
        Condition::FreshGradient,
        Condition::NoEpsilon,
        Condition::ExactStorage,
    ];

    /// What it says, in one sentence.
    pub const fn describe(self) -> &'static str {
        match self {
            Condition::CosineLoss => "the loss depends on the row only through its direction",
            Condition::IsotropicJacobian => "JJᵀ = κI: every direction of the embedding is moved with the same gain",
            Condition::PrivateParameters => "no other row's gradient reaches this row",
            Condition::ScalarStep => "the optimizer multiplies the gradient by one scalar a row",
            Condition::NoMomentum => "the optimizer has no memory of earlier gradients",
            Condition::NoDecay => "no weight decay reaches the row",
            Condition::NoCoordinateScaling => "coordinates of a row are not scaled apart",
            Condition::FreshGradient => "the gradient was taken at the embedding it is applied to",
            Condition::NoEpsilon => "no epsilon or clamp of the normalisation is active",
            Condition::ExactStorage => "the step is resolvable in the storage precision",
            Condition::Own(own) => own.describe,
        }
    }
}

/// Written as its name.
impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Read by its name; one's own conditions are code and are not known by theirs.
impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let found = Condition::ALL.into_iter().find(|condition| condition.to_string() == name);
        found.ok_or_else(|| serde::de::Error::custom(format_args!("{name:?} is not the name of a condition")))
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Condition::Own(own) => f.pad(own.name),
            other => f.pad(&format!("{other:?}")),
        }
    }
}
