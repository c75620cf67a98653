//! # Declared step
//!
//! Replaying the declared optimizer on the recorded gradients gives the recorded step, up to rounding:
//!
//! ```text
//! q_{t+1} = update(q_t, g_t, state_t)    for the declared rule, rate and settings
//! ```
//!
//! Where nothing is declared, the SGD family (rate, momentum, decay) is fitted robustly on rows that were looked up once,
//! and the rest is judged by it. This is what sees a lost duplicate: such a run passes gradient orthogonality, update
//! orthogonality, growth *and* the heavy-ball identity, because every single applied gradient is still orthogonal.
//!
//! *Hypotheses*: none of the theory's; it needs the rule to be declared or determined by the run.
//! *Shapes*: parameters, gradients: `[width]`, compared coordinate by coordinate.
//! *Allowed residual*: running error analysis. The very update rule is replayed on numbers that carry a bound: every
//! operation adds u·|result| to what its operands carry (Higham 2002, §3.3); twice that bound, since both sides round, plus
//! L roundings of the stored coordinate where L lookups may have been applied one by one.
//! *Twins that must break it*: a header that denies the momentum, the decay, the rate; the last of several duplicate
//! gradients applied alone. *Controls that must not*: Adam, momentum, decay, row-wise AdaGrad declared as they are; inner
//! products; a shared encoder (its parameters are replayed, not its embeddings).
//! *Proof*: proofs/theories/DeclaredStep.v.
//! *Source*: derived here.

use std::ops::RangeInclusive;

use super::specimen::{self, Specimen, redeclare};
use super::{About, Claim, Kind, Sampling, Standing};
use crate::facts::{
    Context, EXPLAINED, Facts, Follow, MEASURED, Measure, Measured, Rates, RecordFacts, Replay, Tally, Watched,
};
use crate::number::{Real, Running};
use crate::optimizer::Stepper;
use crate::optimizer::constraint::Constraint;
use crate::reference::Fault;
use crate::rounding::Precision;
use crate::scenario::random::{Encoders, Family, Optimizers};
use crate::trajectory::Settings;
use crate::verdict::{Observation, Observed};

/// The recorded step is the declared one.
pub struct DeclaredStep;

const DERIVATION: &str = "2·(running error bound of the replayed rule: every operation adds u·|result|) + (L+1)·u·max(|q|,|q'|) \
    for L lookups applied one by one, coordinate by coordinate; duplicates added in another order: (L−1)·u·max_row‖g‖ on each gradient; four times all of it where the rule is measured";

/// The tally of one replay.
pub(crate) fn tally_name(place: usize) -> String {
    format!("declared-step/{place}")
}

/// One row, replayed on numbers of `BITS` bits that carry their error.
struct Shadow<const BITS: i32> {
    stepper: Stepper<Running<BITS>>,
    rates: Rates,
    gradients: Option<RangeInclusive<f64>>,
    lost: bool,
    hidden: bool,
    memory: bool,
    /// The step that comes next, if every one is recorded.
    expected: usize,
}

impl<const BITS: i32> Shadow<BITS> {
    fn start(replay: &Replay, width: usize) -> Box<dyn Follow> {
        let relative = replay.relative_error;
        let number = move |x: f64| Running::<BITS>::uncertain(x, relative * x.abs());
        let renormalises = replay.update.constraint == Some(Constraint::Renormalise);
        let memory = replay.optimizer.has_memory() || renormalises;
        Box::new(Shadow {
            hidden: replay.optimizer.has_hidden_visits(),
            memory,
            expected: 0,
            stepper: replay.optimizer.start(1, width, &number).within(&replay.update, 1, &number),
            rates: replay.rates.clone(),
            gradients: replay.gradients.clone(),
            lost: false,
        })
    }
}

impl<const BITS: i32> Shadow<BITS> {
    /// The steps since the last record: in the sparse form a row that is not recorded had no gradient and did not move
    /// visibly, but its buffers faded.
    fn fade(&mut self, until: usize, q: &[f64]) {
        if self.memory && self.expected > 0 && self.stepper.visits(false) {
            let zeros = vec![Running::<BITS>::from_f64(0.0); q.len()];
            for step in self.expected..until {
                let mut parameters: Vec<_> = q.iter().map(|&q| Running::from_f64(q)).collect();
                let rate = Running::from_f64(self.rates.at(step));
                self.stepper.move_row(0, step as u64, &rate, &mut parameters, &zeros);
            }
        }
        self.expected = until + 1;
    }
}

impl<const BITS: i32> Follow for Shadow<BITS> {
    fn see(&mut self, facts: &RecordFacts<'_>, context: &Context) -> Option<Measured> {
        let record = facts.record;
        let gradient = record.grad?;
        if self.memory && !context.consecutive {
            return None;
        }
        self.fade(record.step, record.q);
        // A lazy rule visits rows that were looked up, also with a gradient of zero. Where lookups are not recorded, a
        // row that moved was visited.
        let lookups = record.lookups.filter(|&lookups| lookups > 0 || !context.is_pooled);
        let touched = facts.gradient_norm != Some(0.0) || lookups.map_or(facts.moved(), |lookups| lookups > 0);
        // Without lookups, nothing may show whether a row without a gradient was visited, nor its state from then on.
        let unseen = facts.gradient_norm == Some(0.0) && lookups.is_none() && !touched;
        self.lost |= unseen && !self.stepper.visits(false) && (self.hidden || self.rates.at(record.step) == 0.0);
        if self.lost {
            return None;
        }
        let unit = context.arithmetic.storage.unit_roundoff();
        let extra = (facts.multiplicity() - 1) as f64;
        let reordered = extra * unit * context.largest_gradient[record.step];
        let gradient: Vec<_> =
            gradient.iter().map(|&g| Running::uncertain(g, if g == 0.0 { 0.0 } else { reordered })).collect();
        let mut parameters: Vec<_> = record.q.iter().map(|&q| Running::<BITS>::from_f64(q)).collect();
        if self.stepper.visits(touched) {
            let rate = self.rates.at(record.step);
            let rate = Running::uncertain(rate, rate.abs() * self.rates.relative_error());
            self.stepper.move_row(0, record.step as u64, &rate, &mut parameters, &gradient);
        }
        let norm = facts.gradient_norm.filter(|&norm| norm > 0.0);
        if let (Some(norm), Some(measured_on)) = (norm, &self.gradients)
            && !measured_on.contains(&norm)
        {
            return None;
        }
        let slack = if self.gradients.is_some() { MEASURED } else { 1.0 };
        let underflow = 4.0 * context.arithmetic.storage.underflow();
        let coordinates = parameters.iter().zip(record.q_next).zip(record.q).map(|((replayed, next), q)| {
            let residual = (replayed.value() - next).abs();
            let stored = (extra + 2.0) * unit * q.abs().max(next.abs());
            (residual, slack * (2.0 * replayed.error() + stored + underflow))
        });
        let (residual, allowed) = coordinates.max_by(|a, b| (a.0 / a.1).total_cmp(&(b.0 / b.1)))?;
        let predicted = parameters.iter().zip(record.q).fold(0.0_f64, |size, (p, q)| size.max((p.value() - q).abs()));
        Some(Measured::new(residual, allowed, predicted.max(facts.step_norm)))
    }
}

const ABOUT: About = About {
    id: "declared-step",
    kind: Kind::Run,
    standing: Standing::Theorem,
    statement: "replaying the declared optimizer on the recorded gradients gives the recorded step",
    conditions: &[],
    source: "derived here",
    derivation: DERIVATION,
    sampling: Sampling::EveryCase,
    text: include_str!("declared_step.rs"),
};

impl Claim for DeclaredStep {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn family(&self) -> Family {
        Family { encoders: Encoders::Any, optimizers: Optimizers::Any, ..Family::default() }
    }
    fn concerns_parameters(&self) -> bool {
        true
    }
    fn watch(&self, context: &Context) -> Vec<Watched> {
        let watch = |(place, replay): (usize, &Replay)| {
            let replay = replay.clone();
            let start = move |context: &Context| match context.arithmetic.storage {
                Precision::Bf16 => Shadow::<8>::start(&replay, context.dim),
                Precision::F16 => Shadow::<11>::start(&replay, context.dim),
                Precision::F32 => Shadow::<24>::start(&replay, context.dim),
                Precision::F64 => Shadow::<53>::start(&replay, context.dim),
            };
            Watched { id: tally_name(place), measure: Measure::Run(Box::new(start)) }
        };
        context.replays.iter().enumerate().map(watch).collect()
    }
    fn observe(&self, facts: &Facts, context: &Context) -> Observation {
        let Some((replay, tally)) = best(facts, context) else {
            let reason = "no optimizer is declared, and none of the SGD family explains the steps";
            return Observation::inconclusive(DERIVATION, reason);
        };
        let mut observation = tally.observe(DERIVATION, "nothing to judge: no gradients are recorded");
        // A measured rule is fitted to rows looked up at most once: where more than a few of these leave it, the run has another one.
        let few = tally.broken as f64 <= (1.0 - EXPLAINED) * tally.judged as f64;
        let first = tally.first_by_lookups;
        if tally.broken > 0
            && replay.gradients.is_some()
            && !few
            && first.once + first.none + first.unknown > first.several
        {
            observation.observed = Observed::Inconclusive;
            observation.note = format!("{}, but {} records are not explained by it", replay.name, tally.broken);
            return observation;
        }
        if tally.broken > 0 {
            // What counts is where it first went wrong: later steps inherit the error.
            if let Some((step, row)) = tally.first {
                observation.place = Some(crate::verdict::Place { step, row });
            }
            observation.note = format!("{}; replayed as {}", observation.note, replay.name);
            if let Some(place) = lost_duplicates(&tally) {
                observation.place = Some(place);
                observation.note += &format!(
                    "; lost duplicates: all {} rows that leave the rule leave it in a step that looked them up more than once",
                    tally.first_by_lookups.several
                );
            }
        }
        observation
    }
    fn twins(&self) -> Vec<Specimen> {
        fn no_momentum(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.momentum = Some(0.0));
        }
        fn no_decay(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.weight_decay = Some(0.0));
        }
        fn sgd_for_adam(settings: &mut Settings) {
            redeclare(settings, |optimizer| optimizer.name = Some("sgd".into()));
        }
        vec![
            Specimen::named("momentum denied by the header", specimen::momentum).with_header(no_momentum),
            Specimen::named("weight decay denied by the header", specimen::weight_decay).with_header(no_decay),
            Specimen::named("Adam declared as SGD", specimen::adam).with_header(sgd_for_adam),
            Specimen::named("the last duplicate gradient applied alone", specimen::plain)
                .with_fault(Fault::LastWriteWins),
            Specimen::named("lost duplicates under momentum", specimen::momentum).with_fault(Fault::LastWriteWins),
        ]
    }
    fn controls(&self) -> Vec<Specimen> {
        vec![
            Specimen::named("Adam declared as Adam", specimen::adam),
            Specimen::named("momentum declared as momentum", specimen::momentum),
            Specimen::named("weight decay declared", specimen::weight_decay),
            Specimen::named("row-wise AdaGrad declared", specimen::rowwise_adagrad),
            Specimen::named("inner products", specimen::dot_product),
            Specimen::named("a shared linear encoder", specimen::shared_linear),
            Specimen::named("a two-layer encoder", specimen::two_layer),
            Specimen::named("stale gradients, recorded as applied", specimen::plain).with_fault(Fault::StaleGradient),
        ]
    }
}

/// The replay that explains most: the fewest broken records, and of equal ones the smallest residual for its allowance.
pub(crate) fn best<'a>(facts: &Facts, context: &'a Context) -> Option<(&'a Replay, Tally)> {
    let tallies = context.replays.iter().enumerate().map(|(place, replay)| (replay, facts.tally(&tally_name(place))));
    let margin = |tally: &Tally| tally.worst.map_or(0.0, |worst| worst.margin());
    tallies.min_by(|(_, a), (_, b)| a.broken.cmp(&b.broken).then(margin(a).total_cmp(&margin(b))))
}

/// Where duplicates were lost, if that is what the breaks say: every row that leaves the rule first leaves it in a step
/// that looked it up more than once.
pub(crate) fn lost_duplicates(tally: &Tally) -> Option<crate::verdict::Place> {
    let first = tally.first_by_lookups;
    let only_several = first.once == 0 && first.none == 0 && first.unknown == 0;
    let (step, row) = first.several_at.filter(|_| only_several)?;
    Some(crate::verdict::Place { step, row })
}

theorem!(declared_step, DeclaredStep, "holds, 120 judged; norms 1.668013155 1.186564277 1.354420513");

#[cfg(test)]
mod allowance {
    use std::collections::BTreeMap;

    use super::*;
    use crate::audit::audit;
    use crate::trajectory::{Array, DeclaredOptimizer, Rows, Trajectory};

    /// One step of SGD at rate 1/4 on q = 3/2 with g = 1/2, looked up `lookups` times, that ends so many units in the last place
    /// (2u each) away from 11/8.
    fn observed(units: f64, lookups: usize) -> Observed {
        let numbers = |values: &[f64]| Array::from_f64(&[values.len(), 1, 1], values);
        let arrays = BTreeMap::from([
            ("q".to_owned(), numbers(&[1.5, 1.375 + units * f64::EPSILON])),
            ("grad".to_owned(), numbers(&[0.5])),
            ("ids".to_owned(), Array::from_i64(&[1, lookups], &vec![0; lookups])),
        ]);
        let optimizer = DeclaredOptimizer { name: Some("sgd".into()), lr: Some(0.25), ..DeclaredOptimizer::default() };
        let settings = Settings { optimizer: Some(optimizer), ..Settings::default() };
        let audit = audit(&Trajectory::new(settings, arrays).unwrap()).unwrap();
        audit.claim("declared-step", None).unwrap().observation.observed
    }

    /// At rate 0 nothing moves whether it is visited or not; where lookups are recorded they say which.
    #[test]
    fn a_lazy_row_that_is_known_to_rest_at_rate_zero_is_judged_from_then_on() {
        let numbers = |values: &[f64]| Array::from_f64(&[values.len(), 1, 1], values);
        let arrays = BTreeMap::from([
            ("q".to_owned(), numbers(&[1.5, 1.5, 1.375])),
            ("grad".to_owned(), numbers(&[0.0, 0.5])),
            ("ids".to_owned(), Array::from_i64(&[2, 1], &[-1, 0])),
            ("lr".to_owned(), Array::from_f64(&[2], &[0.0, 0.25])),
        ]);
        let optimizer = DeclaredOptimizer { name: Some("sgd".into()), sparse: Some(Rows::Lazy), ..Default::default() };
        let settings = Settings { optimizer: Some(optimizer), ..Settings::default() };
        let audit = audit(&Trajectory::new(settings, arrays).unwrap()).unwrap();
        let observation = &audit.claim("declared-step", None).unwrap().observation;
        assert_eq!((observation.observed, observation.judged), (Observed::Holds, 2), "{observation:?}");
    }

    /// A rule that was fitted to the steps, and is left by half of them, was not fitted to this run: nothing was declared that
    /// could be violated.
    #[test]
    fn a_measured_rule_that_is_left_by_many_records_decides_nothing() {
        use crate::claims::specimen;
        use crate::facts::{FirstBreaks, survey};
        use crate::reference::Reference;
        use crate::trainer::Trainer;
        let run = Reference.train(&specimen::plain(0).materialise().unwrap()).unwrap();
        let tower = run.towers()[0];
        let mut context = Context::declared(&run, &tower, &survey(&tower).unwrap());
        let mut facts = crate::claims::gather_for(&[&DeclaredStep], &tower, &context).unwrap();
        assert_eq!(DeclaredStep.observe(&facts, &context).observed, Observed::Holds);
        let mut leave = |share: f64, breaks: FirstBreaks| {
            let mut tally = facts.tally(&tally_name(0));
            tally.broken = (share * tally.judged as f64).ceil() as u64;
            tally.first_by_lookups = breaks;
            facts.tallies.insert(tally_name(0), tally);
            facts.clone()
        };
        let once = FirstBreaks { once: 5, several: 4, ..FirstBreaks::default() };
        let several = FirstBreaks { once: 4, several: 4, ..FirstBreaks::default() };
        let (few, half, lost) = (leave(0.04, once), leave(0.5, once), leave(0.5, several));
        // What is declared is judged.
        let observed = |facts: &Facts, context: &Context| DeclaredStep.observe(facts, context).observed;
        assert_eq!([&few, &half, &lost].map(|facts| observed(facts, &context)), [Observed::Breaks; 3]);
        context.replays[0].gradients = Some(0.0..=f64::MAX);
        let measured = [&few, &half, &lost].map(|facts| observed(facts, &context));
        assert_eq!(measured, [Observed::Breaks, Observed::Inconclusive, Observed::Breaks]);
    }

    /// 2·(u for the rate and u for the product, of 1/8 each, and u·11/8 for the difference) + 2u·3/2 = 6.25u, and for each lookup
    /// more 3/2·u of the row and 2·u/4·1/2 of the gradient.
    #[test]
    fn steps_are_allowed_what_rounding_can_do_and_no_unit_more() {
        assert_eq!(observed(0.0, 1), Observed::Holds);
        assert_eq!(observed(3.0, 1), Observed::Holds);
        assert_eq!(observed(4.0, 1), Observed::Breaks);
        assert_eq!(observed(-4.0, 1), Observed::Breaks);
        assert_eq!(observed(4.0, 3), Observed::Holds);
        assert_eq!(observed(6.0, 3), Observed::Breaks);
    }
}
