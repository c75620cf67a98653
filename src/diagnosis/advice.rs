//! What can be done about what was found: mitigations, what they guarantee and what they do not, and the claim that says so.

use serde::Serialize;

use crate::trajectory::Side;

/// A mitigation.
#[derive(Debug)]
pub(crate) struct Mitigation {
    mitigation: &'static str,
    guarantees: &'static str,
    does_not: &'static str,
    claim: &'static str,
}

/// What can be done about a finding.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Advice {
    /// The finding's name.
    pub cause: String,
    /// The tower.
    pub tower: Option<Side>,
    /// What to do.
    pub mitigation: &'static str,
    /// What that guarantees.
    pub guarantees: &'static str,
    /// What it does not give.
    pub does_not: &'static str,
    /// The claim behind it.
    pub claim: &'static str,
}

impl Mitigation {
    pub(crate) fn against(&self, cause: &str, tower: Option<Side>) -> Advice {
        Advice {
            cause: cause.into(),
            tower,
            mitigation: self.mitigation,
            guarantees: self.guarantees,
            does_not: self.does_not,
            claim: self.claim,
        }
    }
}

macro_rules! mitigations {
    ($($name:ident: $mitigation:literal, guarantees $guarantees:literal, not $does_not:literal, by $claim:literal;)*) => {
        $(pub(crate) const $name: Mitigation = Mitigation {
            mitigation: $mitigation, guarantees: $guarantees, does_not: $does_not, claim: $claim,
        };)*
        /// Every mitigation.
        #[cfg(test)]
        const ALL: &[Mitigation] = &[$($name),*];
    };
}

mitigations! {
    NORMALISE_ROWS: "normalise every embedding by its own norm (dim=-1, axis=1)",
        guarantees "gradients orthogonal to their rows and independent of their lengths",
        not "norms that stay: they grow with every step all the same", by "gradient-orthogonality";
    COSINE: "train on cosines, or serve with cosines by normalising the index",
        guarantees "a ranking that is independent of all norms",
        not "a useful popularity prior; accuracy on popularity-matched tests may drop", by "serving-inversion";
    ATTACH: "let the derivative pass through the norm (no detach, no stop_gradient)",
        guarantees "gradients orthogonal to their rows",
        not "norms that stay: every orthogonal step lengthens its row", by "gradient-orthogonality";
    SMALLER_EPSILON: "lower the epsilon below the smallest norm, or start with longer rows",
        guarantees "orthogonal gradients wherever the norm is above the floor",
        not "anything below it; longer rows also weaken the coupling of norm and popularity", by "epsilon-leak";
    PRIVATE_ROWS: "give the user tower a table of its own, or stop its gradient at the item rows",
        guarantees "no foreign gradient on a row: orthogonal gradients and steps",
        not "the parameters that sharing saved", by "update-kernel";
    DECAY: "apply the decay to looked-up rows only (lazy), or remove it",
        guarantees "lazy: an equilibrium norm that does not depend on frequency; without: orthogonal steps",
        not "an early equilibrium: norms are coupled to frequency until it is reached", by "decay-frequency";
    FRESH: "apply gradients to the embeddings they were taken at (no prefetch across a step)",
        guarantees "orthogonal steps of a scalar rule",
        not "norms that stay", by "stale-gradient";
    AVERAGING: "record and serve the parameters themselves, or normalise the average before serving",
        guarantees "rankings that are independent of the shrinkage of an average",
        not "steps of the average that are orthogonal", by "serving-inversion";
    PROJECT: "project steps onto the tangent space of their rows (SGDP, AdamP, every row, every step)",
        guarantees "orthogonal steps: no growth beyond ‖Δ‖² a step, the acceleration by momentum is gone",
        not "norms that stay: they still grow monotonically; public implementations project only below a threshold", by "tangent-projection";
    ROWWISE: "scale by one number a row: row-wise AdaGrad, or Adam with one second moment a row",
        guarantees "orthogonal steps (AdaGrad) or norms that grow monotonically (Adam), with growth that slows down",
        not "norms without popularity: the coupling is weaker, not gone", by "rowwise-adagrad-log-growth";
    SCALAR_CLIP: "clip by the norm of the whole gradient in place of every coordinate",
        guarantees "one scalar a step: orthogonal steps stay orthogonal",
        not "a bound on single coordinates", by "scalar-steps";
    SUM_DUPLICATES: "add the gradients of duplicate ids before they are applied (index_add, scatter-add, coalesce)",
        guarantees "the declared step; orthogonality holds with and without",
        not "any change in norms beyond that of the lost gradients", by "declared-step";
    FIXED_NORM: "serve with the cosine as well: rows of equal norm rank alike under both",
        guarantees "‖q‖ = r₀ after every step, no coupling of norm and frequency",
        not "a step that anneals itself: with a constant norm the learning rate needs a schedule", by "norm-fixing";
    MAX_NORM: "bring every row to one norm, or serve with the cosine",
        guarantees "a ranking that is independent of norms",
        not "with a maximum alone: the coupling is capped for long rows, not removed", by "norm-fixing";
    SHARED: "give rows that must not influence each other parameters of their own",
        guarantees "steps that are the row's own gradient times a scalar, hence orthogonal ones",
        not "the memory that sharing saved; sums of squared norms grow either way", by "ensemble-growth";
    DEEP: "fix the norm after the encoder (a final normalisation), or judge layers instead of embeddings",
        guarantees "layers without bias grow monotonically, their gradients are orthogonal to them",
        not "orthogonal steps of embeddings: norms move either way", by "homogeneous-layers";
    WIDER_STORAGE: "store parameters in float32, or round stochastically",
        guarantees "steps that are large enough to be stored: growth is not a coin flip",
        not "free growth: stochastic rounding adds its own variance to norms", by "storage-threshold";
    UNSCALE: "record gradients after unscaling, or divide them by the scale",
        guarantees "a learning rate that can be compared with the declared one",
        not "any change in training: the optimizer divides by the scale", by "scalar-steps";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mitigation_names_a_claim() {
        for mitigation in ALL {
            assert!(crate::claims::find(mitigation.claim).is_ok(), "{mitigation:?}");
        }
    }
}
