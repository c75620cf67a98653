//! Losses on pairs of embeddings, with their gradients in closed form.
//!
//! A loss is an [`Objective`], a function of similarities, on similarities that are cosines or inner products. The objective
//! knows no embedding and no norm; [`similarities`] knows nothing else.
//!
//! | file | loss of pair b, s⁺ its positive, s_j its other candidates |
//! |---|---|
//! | [`info_nce`] | logsumexp(s/τ) − s⁺/τ over its candidates |
//! | [`full_softmax`] | the same over all items |
//! | [`bpr`] | mean_j −ln σ((s⁺ − s_j)/τ) |
//! | [`triplet`] | mean_j max(0, m − s⁺ + s_j) |
//! | [`contrastive`] | 1 − s⁺ + w·mean_j max(0, s_j − m) |
//! | [`alignment_uniformity`] | ‖û − q̂‖², and ln mean e^{−t‖x−y‖²} over users and over items |
//! | [`cosine_embedding`] | 1 − s⁺ and max(0, s_j − m), all weighted equally |
//! | [`bsl`] | τ₂·ln mean_j e^{s_j/τ₂} − τ₁·ln mean e^{s⁺/τ₁} over each user's positives |
//!
//! A loss sees *slots*: one user slot a pair and one item slot a looked-up item. Rows that fill several slots receive the
//! sum of their slots' gradients; that sum is the trainer's business, not the loss's.

pub mod alignment_uniformity;
pub mod bpr;
pub mod bsl;
pub mod contrastive;
pub mod cosine_embedding;
mod epsilon;
pub mod full_softmax;
pub mod info_nce;
mod own;
pub mod similarities;
pub mod triplet;

use serde::{Deserialize, Serialize};

pub use epsilon::EpsilonOn;
pub use own::Own;
pub use similarities::{Derivative, Similarities, Slot};

use crate::geometry::Table;
use crate::number::Real;
use crate::sampler::{Batch, Candidates};
use crate::trajectory::Similarity;
use crate::verdict::Status;

/// A loss: a function of similarities, and how they are made of embeddings.
///
/// ```
/// use perpend::{geometry::Table, loss::Loss, sampler::Batch, trajectory::Similarity};
/// let loss = Loss::info_nce(Similarity::Cosine, 0.5);
/// let batch = Batch { users: vec![0, 1], positives: vec![0, 1], ..Batch::default() };
/// let users = Table::from_values(2, vec![1.0, 0.0, 0.0, 1.0]);
/// let items = Table::from_values(2, vec![3.0, 4.0, 2.0, -1.0]);
/// let gradient = loss.evaluate(&users, &items, &batch).items;
/// let radial: f64 = 3.0 * gradient.row(0)[0] + 4.0 * gradient.row(0)[1];
/// assert!(radial.abs() < 1e-15);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Loss<O = Objective> {
    /// The function of similarities.
    #[serde(flatten)]
    pub objective: O,
    /// Cosine or inner product.
    pub similarity: Similarity,
    /// ε of the cosine; 0 = none. Inner products have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub epsilon: f64,
    /// Where ε enters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub epsilon_on: EpsilonOn,
    /// Whether candidates that are the pair's positive item once more do not count.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mask_duplicates: bool,
}

fn is_zero(epsilon: &f64) -> bool {
    *epsilon == 0.0
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// A function of the similarities of a batch, with its derivatives. Implement it for a loss of your own and use it as
/// `Loss<YourObjective>`.
pub trait ObjectiveFunction {
    /// The name used in scenarios and trajectory headers.
    fn name(&self) -> &'static str;

    /// τ, where similarities are divided by one.
    fn temperature(&self) -> Option<f64> {
        None
    }

    /// The first setting that cannot be used.
    fn problem(&self) -> Option<Problem> {
        None
    }

    /// Whether it needs ln Q of every item slot.
    fn wants_log_q(&self) -> bool {
        false
    }

    /// Whether every item has to be among the candidates of every pair.
    fn wants_all_items(&self) -> bool {
        false
    }

    /// How steep it is, where that is known.
    fn steepness(&self) -> Option<Steepness> {
        None
    }

    /// The objective as InfoNCE, where it is that.
    fn info_nce(&self) -> Option<&info_nce::InfoNce> {
        None
    }

    /// The loss. For every similarity that it depends on it leaves the derivative with
    /// [`Similarities::pull`] or its relatives; several derivatives of one similarity add up.
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F;
}

/// A setting that cannot be used.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    /// Its key.
    pub key: &'static str,
    /// What is expected.
    pub expected: &'static str,
    /// What was found.
    pub found: f64,
}

impl Problem {
    fn unless(fine: bool, key: &'static str, expected: &'static str, found: f64) -> Option<Self> {
        (!fine).then_some(Problem { key, expected, found })
    }
    fn unless_positive(key: &'static str, found: f64) -> Option<Self> {
        Self::unless(found.is_finite() && found > 0.0, key, "a positive number", found)
    }
    fn unless_at_least_zero(key: &'static str, found: f64) -> Option<Self> {
        Self::unless(found.is_finite() && found >= 0.0, key, "a number of at least 0", found)
    }
    fn unless_finite(key: &'static str, found: f64) -> Option<Self> {
        Self::unless(found.is_finite(), key, "a finite number", found)
    }
}

/// Bounds on the derivatives κ = ∂L/∂s of a smooth loss, a mean over pairs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Steepness {
    /// Σ|κ| over the similarities of one slot: a bound on ‖a‖ on cosines.
    pub slope: f64,
    /// How much Σ|κ − κ'| over the similarities of one slot can be, where no similarity changes by more than 1.
    pub curvature: f64,
}

macro_rules! objectives {
    ($($(#[$doc:meta])* $variant:ident($module:ident::$type:ident)),* $(,)?) => {
        /// Which function of similarities a loss is.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "kind", rename_all = "kebab-case")]
        pub enum Objective {
            $($(#[$doc])* $variant($module::$type)),*
        }

        impl ObjectiveFunction for Objective {
            fn name(&self) -> &'static str {
                match self { $(Objective::$variant(objective) => objective.name()),* }
            }
            fn temperature(&self) -> Option<f64> {
                match self { $(Objective::$variant(objective) => objective.temperature()),* }
            }
            fn problem(&self) -> Option<Problem> {
                match self { $(Objective::$variant(objective) => objective.problem()),* }
            }
            fn wants_log_q(&self) -> bool {
                match self { $(Objective::$variant(objective) => objective.wants_log_q()),* }
            }
            fn wants_all_items(&self) -> bool {
                match self { $(Objective::$variant(objective) => objective.wants_all_items()),* }
            }
            fn steepness(&self) -> Option<Steepness> {
                match self { $(Objective::$variant(objective) => objective.steepness()),* }
            }
            fn info_nce(&self) -> Option<&info_nce::InfoNce> {
                match self { $(Objective::$variant(objective) => objective.info_nce()),* }
            }
            fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
                match self { $(Objective::$variant(objective) => objective.evaluate(similarities)),* }
            }
        }
    };
}
objectives!(
    /// Softmax cross-entropy over a positive and its negatives.
    InfoNce(info_nce::InfoNce),
    /// Softmax cross-entropy over all items.
    FullSoftmax(full_softmax::FullSoftmax),
    /// Bayesian personalised ranking.
    Bpr(bpr::Bpr),
    /// The triplet margin loss.
    Triplet(triplet::Triplet),
    /// The contrastive margin loss.
    Contrastive(contrastive::Contrastive),
    /// Alignment and uniformity.
    AlignmentUniformity(alignment_uniformity::AlignmentUniformity),
    /// The cosine-embedding loss.
    CosineEmbedding(cosine_embedding::CosineEmbedding),
    /// The bilateral softmax loss.
    Bsl(bsl::Bsl),
    /// One that is not the crate's.
    Own(own::Own),
);

impl Loss {
    /// InfoNCE without an epsilon.
    pub fn info_nce(similarity: Similarity, temperature: f64) -> Self {
        Loss::new(similarity, Objective::InfoNce(info_nce::InfoNce { temperature, log_q: false }))
    }

    /// What trajectory headers call it. Only the plain name stands for what the recorded pairs and settings tell in full.
    pub fn header_name(&self) -> String {
        let mut name = self.objective.name().to_string();
        if self.objective.wants_log_q() {
            name += ", log-Q";
        }
        if self.mask_duplicates {
            name += ", duplicates masked";
        }
        name
    }
}

impl<O: ObjectiveFunction> Loss<O> {
    /// A loss without an epsilon.
    pub fn new(similarity: Similarity, objective: O) -> Self {
        Loss { objective, similarity, epsilon: 0.0, epsilon_on: EpsilonOn::Norm, mask_duplicates: false }
    }

    /// The similarity that the loss is a function of.
    pub fn similarity(&self) -> Similarity {
        self.similarity
    }

    /// τ, where similarities are divided by one.
    pub fn temperature(&self) -> Option<f64> {
        self.objective.temperature()
    }

    /// The first setting that cannot be used.
    pub fn problem(&self) -> Option<Problem> {
        self.objective.problem().or_else(|| Problem::unless_at_least_zero("epsilon", self.epsilon))
    }

    /// Whether the norm is used without an epsilon.
    pub fn no_epsilon(&self) -> Status {
        let epsilon = self.epsilon;
        match self.epsilon_on {
            _ if epsilon == 0.0 => Status::Met("the norm is used without an epsilon".into()),
            EpsilonOn::Norm => Status::Unmet(format!("norms below {epsilon} are clamped")),
            EpsilonOn::Norm2 => Status::Unmet(format!("squared norms below {epsilon} are clamped")),
            EpsilonOn::Product => Status::Unmet(format!("products of norms below {epsilon} are clamped")),
            EpsilonOn::Add => Status::Unmet(format!("{epsilon} is added to norms")),
            EpsilonOn::AddProduct => Status::Unmet(format!("{epsilon} is added to products of norms")),
            EpsilonOn::AddNorm2 => Status::Unmet(format!("{epsilon} is added to squared norms")),
        }
    }

    /// Evaluates the loss and its gradients on a batch.
    ///
    /// *Shapes*: `users`: `[B, d]`, one row a user slot; `items`: `[C, d]`, one row an item slot
    /// ([`Batch::item_slots`]).
    pub fn evaluate<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Evaluation<F> {
        let mut similarities = Similarities::new(self.measure(), users, items, batch);
        let loss = self.objective.evaluate(&mut similarities);
        similarities.into_evaluation(loss)
    }

    /// The loss alone; shapes as in [`Loss::evaluate`].
    pub fn value<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> F {
        let mut similarities = Similarities::new(self.measure(), users, items, batch).forgetting();
        self.objective.evaluate(&mut similarities)
    }

    /// The derivatives of the loss by its similarities, one by one; shapes as in [`Loss::evaluate`].
    pub fn derivatives<F: Real>(&self, users: &Table<F>, items: &Table<F>, batch: &Batch) -> Vec<Derivative<F>> {
        let mut similarities = Similarities::new(self.measure(), users, items, batch).listing();
        self.objective.evaluate(&mut similarities);
        similarities.into_derivatives()
    }

    fn measure(&self) -> similarities::Measure {
        similarities::Measure {
            similarity: self.similarity,
            epsilon: self.epsilon,
            epsilon_on: self.epsilon_on,
            mask_duplicates: self.mask_duplicates,
        }
    }
}

/// A loss value and the gradients with respect to every slot's embedding.
#[derive(Debug, Clone)]
pub struct Evaluation<F> {
    /// The loss, a mean over the batch.
    pub loss: F,
    /// ∂L/∂u: `[B, d]`.
    pub users: Table<F>,
    /// ∂L/∂q: `[C, d]`.
    pub items: Table<F>,
    /// For every user slot, a bound on ‖a‖, the norm of the gradient with respect to the vector that enters the inner
    /// product: the scale of the terms that cancel in the tangent projection. `[B]`.
    pub user_scale: Vec<F>,
    /// The same for every item slot: `[C]`.
    pub item_scale: Vec<F>,
}

/// 1/n.
fn share<F: Real>(n: usize) -> F {
    F::one() / F::ratio(n as i64, 1)
}

/// ln Σ e^x over the places that are not masked, and the softmax of x (0 at masked places).
fn log_sum_exp<F: Real>(logits: &[F], start: usize, masked: &[usize]) -> (F, Vec<F>) {
    // The stretches between the masked places.
    let kept = || {
        let starts = std::iter::once(0).chain(masked.iter().map(|place| place + 1));
        starts.zip(masked.iter().copied().chain([logits.len()])).map(|(start, end)| start..end)
    };
    let largest = kept()
        .flat_map(|range| &logits[range])
        .fold(logits[start].clone(), |largest, x| largest.max(x.clone()));
    let mut weights = vec![F::zero(); logits.len()];
    for range in kept() {
        for (weight, x) in weights[range.clone()].iter_mut().zip(&logits[range]) {
            *weight = (x.clone() - largest.clone()).exp();
        }
    }
    let total = weights.iter().skip(1).fold(weights[0].clone(), |sum, x| sum + x.clone());
    weights.iter_mut().for_each(|weight| *weight = weight.clone() / total.clone());
    (total.ln() + largest, weights)
}

/// Softmax cross-entropy of the target among candidates, with the derivatives p_j − 1\[j = target\].
fn cross_entropy<F: Real>(logits: &[F], candidates: &Candidates) -> (F, Vec<F>) {
    let target = candidates.target();
    let (normaliser, mut residuals) = log_sum_exp(logits, target, candidates.masked());
    residuals[target] = residuals[target].clone() - F::one();
    (normaliser - logits[target].clone(), residuals)
}

/// The mean over pairs of the mean over negatives of f(s_j − s⁺). `f` gives its value and its slope.
fn pairwise<F: Real>(similarities: &mut Similarities<F>, f: impl Fn(F) -> (F, F)) -> F {
    let mut loss = F::zero();
    for pair in 0..similarities.pairs() {
        let candidates = similarities.candidates(pair);
        let negatives: Vec<usize> = candidates.negatives().collect();
        if negatives.is_empty() {
            continue;
        }
        let share = share::<F>(similarities.pairs()) * share::<F>(negatives.len());
        let values = similarities.of(pair, &candidates);
        let target = candidates.target();
        let mut coefficients = vec![F::zero(); values.len()];
        for place in negatives {
            let (value, slope) = f(values[place].clone() - values[target].clone());
            loss = loss + value * share.clone();
            coefficients[place] = slope * share.clone();
            coefficients[target] = coefficients[target].clone() - coefficients[place].clone();
        }
        similarities.pull(pair, &candidates, &coefficients);
    }
    loss
}

/// max(x, 0), or None where it is 0. At the kink it is 0 with derivative 0, as a constant, so that dual numbers see the same.
fn hinge<F: Real>(x: F) -> Option<F> {
    (x > F::zero()).then_some(x)
}

#[cfg(test)]
mod settings {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_named() {
        let key = |objective: Objective| Loss::new(Similarity::Cosine, objective).problem().map(|problem| problem.key);
        let contrastive = |margin, weight| key(Objective::Contrastive(contrastive::Contrastive { margin, weight }));
        let uniform =
            |weight, t| key(Objective::AlignmentUniformity(alignment_uniformity::AlignmentUniformity { weight, t }));
        let bsl =
            |positive_temperature, temperature| key(Objective::Bsl(bsl::Bsl { positive_temperature, temperature }));
        let info_nce = |temperature| key(Objective::InfoNce(info_nce::InfoNce { temperature, log_q: false }));
        let full = |temperature| key(Objective::FullSoftmax(full_softmax::FullSoftmax { temperature }));
        let bpr = |temperature| key(Objective::Bpr(bpr::Bpr { temperature }));
        let triplet = |margin| key(Objective::Triplet(triplet::Triplet { margin }));
        let embedding = |margin| key(Objective::CosineEmbedding(cosine_embedding::CosineEmbedding { margin }));
        let fine = [
            contrastive(-0.5, 0.0),
            uniform(0.0, 2.0),
            bsl(0.5, 0.5),
            info_nce(0.5),
            full(0.5),
            bpr(0.5),
            triplet(0.0),
            embedding(-0.5),
        ];
        assert_eq!(fine, [None; 8]);
        assert_eq!([contrastive(f64::NAN, 1.0), contrastive(0.0, -1.0)], [Some("margin"), Some("weight")]);
        assert_eq!([uniform(-1.0, 2.0), uniform(1.0, 0.0)], [Some("weight"), Some("t")]);
        assert_eq!([bsl(0.0, 1.0), bsl(1.0, 0.0)], [Some("positive_temperature"), Some("temperature")]);
        assert_eq!([info_nce(0.0), full(-1.0), bpr(f64::INFINITY)], [Some("temperature"); 3]);
        assert_eq!([triplet(f64::NAN), embedding(f64::INFINITY)], [Some("margin"); 2]);
    }
}
