//! Which conditions a recorded run meets: from what its header declares, or from the diagnosis where it declares nothing.

use crate::condition::Condition;
use crate::diagnosis::sgd_family::Fit;
use crate::facts::Survey;
use crate::optimizer::{Optimizer, Update};
use crate::rounding::Precision;
use crate::trajectory::{EpsOn, Settings, Similarity};
use crate::verdict::{Hypotheses, Observed, Status};

/// What is known of a run when hypotheses are judged.
pub(super) struct Evidence<'a> {
    pub settings: &'a Settings,
    pub survey: &'a Survey,
    /// The smallest norm of the other tower's rows with a gradient, where it is recorded.
    pub other_smallest: Option<f64>,
    pub precision: Precision,
    pub fit: Option<&'a Fit>,
    /// What `gradient-orthogonality` observed.
    pub gradient: Observed,
    /// What `declared-step` observed.
    pub step: Observed,
    /// Whether `declared-step` was judged on the embeddings themselves.
    pub on_embeddings: bool,
}

impl Evidence<'_> {
    /// The hypotheses of a claim.
    pub fn hypotheses(&self, claim: &str, conditions: &[Condition]) -> Hypotheses {
        Hypotheses::collect(conditions.iter().map(|&condition| (condition, self.status(claim, condition))))
    }

    fn status(&self, claim: &str, condition: Condition) -> Status {
        // What a claim observes is no evidence for its own hypotheses.
        let gradient = if claim == "gradient-orthogonality" {
            Observed::Inconclusive
        } else {
            self.gradient
        };
        match condition {
            Condition::CosineLoss if self.settings.encoder.as_deref() == Some("pooled") => {
                Status::Unmet("the other tower pools these rows, and there their lengths count".into())
            }
            Condition::CosineLoss => match (self.settings.similarity, gradient) {
                (Some(Similarity::Cosine), _) => Status::Met("declared".into()),
                (Some(Similarity::Dot), _) => Status::Unmet("inner products are declared".into()),
                (None, Observed::Holds) => Status::Met("the gradients of this run are orthogonal".into()),
                (None, Observed::Breaks) => Status::Unmet("the gradients of this run are not orthogonal".into()),
                (None, Observed::Inconclusive) => Status::Unknown("the similarity is not declared".into()),
            },
            Condition::NoEpsilon => self.epsilon(gradient),
            Condition::IsotropicJacobian | Condition::PrivateParameters => self.encoder(condition),
            Condition::ScalarStep | Condition::NoMomentum | Condition::NoDecay | Condition::NoCoordinateScaling => {
                self.optimizer(condition)
            }
            // A late gradient was fresh when it was recorded.
            Condition::FreshGradient if self.delayed() => Status::Unmet("late gradients are declared".into()),
            Condition::FreshGradient => match (gradient, &self.settings.similarity) {
                (Observed::Holds, _) => Status::Met("the recorded gradients belong to the recorded embeddings".into()),
                (_, Some(_)) => Status::Met("no delay is declared".into()),
                (_, None) => Status::Unknown("nothing is declared".into()),
            },
            Condition::ExactStorage => Status::Met(format!("stored in {}", self.precision)),
            Condition::Own(_) => Status::Unknown("only its claim knows".into()),
        }
    }

    fn epsilon(&self, gradient: Observed) -> Status {
        let smallest = self.survey.smallest_norm.unwrap_or(0.0);
        // Where the other tower is not recorded, its norms are taken to be like these.
        let other = self.other_smallest.unwrap_or(smallest);
        let unit = self.precision.unit_roundoff();
        match (self.settings.eps, self.settings.eps_on) {
            (Some(0.0), _) => Status::Met("declared: none".into()),
            (Some(eps), Some(EpsOn::Norm)) => floor(smallest, eps),
            (Some(eps), Some(EpsOn::Norm2)) => floor(smallest, eps.sqrt()),
            (Some(eps), Some(EpsOn::Add)) if eps <= unit * smallest => {
                Status::Met(format!("{eps} added is below rounding"))
            }
            (Some(eps), Some(EpsOn::Add)) => Status::Unmet(format!("{eps} is added to norms down to {smallest:.1e}")),
            // Of every convention: below the rounding of norms, squared norms and products of norms it cannot act.
            (Some(eps), _) if eps <= unit * smallest * smallest.min(other).min(1.0) => {
                Status::Met(format!("{eps} is below rounding"))
            }
            (Some(eps), _) if gradient == Observed::Holds => Status::Met(format!("{eps} shows nowhere")),
            (Some(eps), _) => Status::Unknown(format!("whether {eps} acts is not known")),
            (None, _) if gradient == Observed::Holds => Status::Met("no sign of one".into()),
            (None, _) if self.settings.similarity.is_some() => Status::Met("none is declared".into()),
            (None, _) => Status::Unknown("nothing is declared".into()),
        }
    }

    fn encoder(&self, condition: Condition) -> Status {
        let name = self.settings.encoder.as_deref().map(|name| name.to_ascii_lowercase());
        let isotropic = condition == Condition::IsotropicJacobian;
        let met = |why: &str| Status::Met(why.into());
        let unmet = |why: &str| Status::Unmet(why.into());
        match name.as_deref() {
            Some("id" | "table" | "embedding") => met("one table row a row"),
            Some("affine" | "linear-private") => met("one affine map a row"),
            Some("two-layer") if isotropic => unmet("a two-layer network"),
            Some("two-layer") => met("one network a row"),
            Some("shared-linear") if isotropic => met("linear in its weights"),
            Some("shared-linear") => unmet("one weight matrix for all rows"),
            Some("hash") if isotropic => met("a table row"),
            Some("hash") => unmet("several rows share a table row"),
            Some("hash-sum") if isotropic => met("a sum of table rows"),
            Some("hash-sum") => unmet("rows share some of their table rows"),
            Some("mlp") if isotropic => unmet("a deep network"),
            Some("mlp") => unmet("one network for all rows"),
            Some("hash-weighted") if isotropic => unmet("the trained weights add directions of their own"),
            Some("hash-weighted") => unmet("rows share some of their table rows"),
            Some("gain-vector") if isotropic => unmet("JJᵀ = a²I + wwᵀ, though q is its eigenvector"),
            Some("gain-vector") => met("one gain and one vector a row"),
            Some("weight-norm") if isotropic => unmet("lengths are fixed apart: orthogonal to first order only"),
            Some("weight-norm") => met("one direction and one length a row"),
            Some("projection") if isotropic => unmet("a frozen projection"),
            Some("projection") => met("one table row a row; the projection is constant"),
            Some("dropout") if isotropic => unmet("dropped coordinates do not move, though q is an eigenvector of JJᵀ"),
            Some("dropout") => met("one table row a row"),
            Some("layer-norm") if isotropic => unmet("a layer norm"),
            Some("layer-norm") => Status::Unknown("whether gain and bias are shared is not declared".into()),
            Some("bottleneck") if isotropic => unmet("a product of two trained maps"),
            Some("bottleneck") => unmet("both maps are shared by all rows"),
            Some("adapter") if isotropic => unmet("a low-rank correction"),
            Some("adapter") => unmet("one correction for all rows"),
            Some("residual") if isotropic => unmet("a deep network"),
            Some("residual") => unmet("one network for all rows"),
            Some("history-mean") if isotropic => met("a mean of table rows"),
            Some("history-mean") => unmet("histories have table rows in common"),
            Some("pooled") if isotropic => met("a table row"),
            Some("pooled") => unmet("the other tower pools these rows"),
            Some("graph") if isotropic => unmet("propagated over a graph"),
            Some("graph") => unmet("neighbours reach the row"),
            // The step is a scalar times the row's own gradient: that is what both conditions are for.
            None if self.on_embeddings && self.step == Observed::Holds && self.fit.is_some() => {
                met("every step is the row's own gradient times a scalar, or a memory of such")
            }
            Some(other) => Status::Unknown(format!("what {other:?} is, is not known")),
            None => Status::Unknown("the encoder is not declared".into()),
        }
    }

    fn delayed(&self) -> bool {
        let delay = self.settings.optimizer.as_ref().and_then(|declared| declared.other.get("delay"));
        delay.is_some_and(|steps| steps != "0")
    }

    fn optimizer(&self, condition: Condition) -> Status {
        let around = self.settings.optimizer.as_ref().and_then(Update::declared).unwrap_or_default();
        if let Some(unmet) = around.unmet(condition) {
            return unmet;
        }
        let declared = self.settings.optimizer.as_ref().map(Optimizer::readings).unwrap_or_default();
        match (declared.first(), self.fit) {
            (Some(optimizer), _) => optimizer.status(condition),
            (None, Some(fit)) => fit.optimizer().status(condition),
            (None, None) => Status::Unknown("the optimizer is neither declared nor of the SGD family".into()),
        }
    }
}

fn floor(smallest: f64, floor: f64) -> Status {
    if smallest >= floor {
        Status::Met(format!("every norm is above {floor:.1e}"))
    } else {
        Status::Unmet(format!("norms down to {smallest:.1e} are below the floor {floor:.1e}"))
    }
}
