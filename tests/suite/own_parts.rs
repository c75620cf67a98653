//! Parts of one's own through the suite: what is right passes, what is wrong is found.

use perpend::claims::check::{Options, Status as Checked};
use perpend::claims::find;
use perpend::condition::Condition;
use perpend::encoder::{Architecture, Block, Constants, Encoder, Gradient, Place};
use perpend::geometry::{Table, add_scaled};
use perpend::loss::{ObjectiveFunction, Similarities};
use perpend::number::Real;
use perpend::optimizer::{Method, Rule};
use perpend::reference::{Fault, Faulty};
use perpend::suite::{Outcome, Subject, check, derivatives};
use perpend::trajectory::{DeclaredOptimizer, Similarity};
use perpend::verdict::Status;

/// q_i = a_i + b_i, two private rows. `forgets`: no gradient reaches b.
#[derive(Debug)]
struct SumOfTwo {
    forgets: bool,
}

impl Architecture for SumOfTwo {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::private("identity", rows, dim), Block::private("revision", rows, dim)]
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("JJᵀ = 2I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("two rows a row".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        Some(1)
    }
    fn name(&self) -> &'static str {
        "sum-of-two"
    }
    fn build<F: Real>(&self, place: Place, _constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Sum { first: place.own, forgets: self.forgets })
    }
}

struct Sum {
    first: usize,
    forgets: bool,
}

impl<F: Real> Encoder<F> for Sum {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let (a, b) = (tables[self.first].row(row), tables[self.first + 1].row(row));
        a.iter().zip(b).map(|(a, b)| a.clone() + b.clone()).collect()
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        let terms = if self.forgets { 1 } else { 2 };
        for gradient in gradients.iter_mut().skip(self.first).take(terms) {
            add_scaled(gradient.accumulate(row), F::one(), upstream);
        }
    }
}

mod every_claim_of_an_own_encoder {
    perpend::suite!(perpend::suite::Subject::encoder(super::SumOfTwo { forgets: false }));
}

/// The mean of 1 − s over the positives, with `slope` times its derivative.
#[derive(Debug)]
struct Alignment {
    slope: i64,
}

impl ObjectiveFunction for Alignment {
    fn name(&self) -> &'static str {
        "alignment"
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let pairs = similarities.pairs();
        let share = F::ratio(1, pairs as i64);
        let mut loss = F::zero();
        for pair in 0..pairs {
            let candidates = similarities.candidates(pair);
            let values = similarities.of(pair, &candidates);
            loss = loss + (F::one() - values[candidates.target()].clone()) * share.clone();
            let mut derivatives = vec![F::zero(); values.len()];
            derivatives[candidates.target()] = -share.clone() * F::ratio(self.slope, 1);
            similarities.pull(pair, &candidates, &derivatives);
        }
        loss
    }
}

/// q ← q − η·g − `shrinks`·q, whatever it says of itself.
#[derive(Debug)]
struct Descent {
    shrinks: f64,
}

struct DescentRule<F>(F);

impl Method for Descent {
    fn rule<F: Real>(&self, _rows: usize, _width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
        Box::new(DescentRule(number(self.shrinks)))
    }
    fn declare(&self, declared: &mut DeclaredOptimizer) {
        declared.name = Some("descent".into());
    }
    fn status(&self, _condition: Condition) -> Status {
        Status::Met("a step along the gradient".into())
    }
}

impl<F: Real> Rule<F> for DescentRule<F> {
    fn apply(&mut self, _row: usize, _time: u64, rate: &F, parameters: &mut [F], gradient: &[F]) {
        let kept = F::one() - self.0.clone();
        parameters.iter_mut().for_each(|q| *q = q.clone() * kept.clone());
        add_scaled(parameters, -rate.clone(), gradient);
    }
}

fn checked(subject: &Subject, id: &str) -> Checked {
    match check(subject, find(id).unwrap(), &Options { cases: 100, ..Options::default() }).unwrap() {
        Outcome::Checked(report) => report.status,
        Outcome::Outside(why) => panic!("{id} is outside: {why}"),
    }
}

#[test]
fn a_gradient_that_an_own_encoder_forgets_is_named_by_its_block() {
    let report = derivatives(&Subject::encoder(SumOfTwo { forgets: true })).unwrap().expect("a disagreement");
    assert!(report.to_string().contains("revision"), "{report}");
}

#[test]
fn an_own_loss_is_judged_by_its_derivatives_and_by_the_claims() {
    let own = |similarity, slope| Subject::loss(similarity, Alignment { slope });
    for similarity in [Similarity::Cosine, Similarity::Dot] {
        assert!(derivatives(&own(similarity, 1)).unwrap().is_none());
        assert!(derivatives(&own(similarity, 2)).unwrap().is_some());
    }
    assert_eq!(checked(&own(Similarity::Cosine, 1), "gradient-orthogonality"), Checked::Passed);
    let claim = find("gradient-orthogonality").unwrap();
    let outcome = check(&own(Similarity::Dot, 1), claim, &Options::default()).unwrap();
    assert!(matches!(outcome, Outcome::Outside(why) if why.contains("CosineLoss")));
}

#[test]
fn an_own_optimizer_that_shrinks_in_secret_fails() {
    let own = |shrinks| Subject::optimizer(0.5, Descent { shrinks });
    for id in ["update-orthogonality", "norm-growth"] {
        assert_eq!(checked(&own(0.0), id), Checked::Passed, "{id}");
        assert_eq!(checked(&own(0.0625), id), Checked::Failed, "{id}");
    }
}

#[test]
fn an_own_trainer_that_loses_duplicates_fails() {
    assert_eq!(checked(&Subject::trainer(Faulty(Fault::LastWriteWins)), "declared-step"), Checked::Failed);
}
