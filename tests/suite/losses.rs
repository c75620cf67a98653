//! Every loss on every similarity: values against plain formulas written here, gradients against dual numbers and central
//! differences, orthogonality on cosines, and the closed-form leak of every epsilon.
//!
//! *Allowed*: the rounding bounds that the code carries along when it runs on [`Running`] numbers, and for differences
//! their own error estimate. No constant is chosen.

use std::cmp::Ordering;

use perpend::geometry::{Table, norm_f64};
use perpend::jacobian::{directional_derivative_within, reach};
use perpend::loss::{
    EpsilonOn, Evaluation, Loss, Objective, ObjectiveFunction, Similarities, Slot,
    alignment_uniformity::AlignmentUniformity, bpr::Bpr, bsl::Bsl, contrastive::Contrastive,
    cosine_embedding::CosineEmbedding, full_softmax::FullSoftmax, info_nce::InfoNce, triplet::Triplet,
};
use perpend::number::{Dual, Real, Running};
use perpend::sampler::Batch;
use perpend::scenario::Scenario;
use perpend::trajectory::Similarity;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::support::*;

type Rounded = Running<53>;

/// Cases of each objective × similarity.
const CASES: usize = 60;

fn objectives(random: &mut ChaCha8Rng) -> [Objective; 9] {
    let mut power = || 2.0_f64.powi(random.random_range(-3..=1));
    [
        Objective::InfoNce(InfoNce { temperature: power(), log_q: false }),
        Objective::InfoNce(InfoNce { temperature: power(), log_q: true }),
        Objective::FullSoftmax(FullSoftmax { temperature: power() }),
        Objective::Bpr(Bpr { temperature: power() }),
        Objective::Triplet(Triplet { margin: power() }),
        Objective::Contrastive(Contrastive { margin: 0.25 * power(), weight: power() }),
        Objective::AlignmentUniformity(AlignmentUniformity { weight: power(), t: power() }),
        Objective::CosineEmbedding(CosineEmbedding { margin: 0.25 * power() }),
        Objective::Bsl(Bsl { positive_temperature: power(), temperature: power() }),
    ]
}

/// A loss and a batch of embeddings.
struct Case {
    loss: Loss,
    batch: Batch,
    users: Table<f64>,
    items: Table<f64>,
}

/// How similarities are made: inner products, cosines, and cosines with each epsilon.
fn measures() -> Vec<(Similarity, Option<EpsilonOn>)> {
    let guarded = EpsilonOn::ALL.into_iter().map(|place| (Similarity::Cosine, Some(place)));
    [(Similarity::Dot, None), (Similarity::Cosine, None)].into_iter().chain(guarded).collect()
}

/// A random case; embeddings of equal rows are equal. ε is near the median of what it is compared with or added to.
fn case(objective: Objective, measure: (Similarity, Option<EpsilonOn>), random: &mut ChaCha8Rng) -> Case {
    const ITEMS: usize = 4;
    const USERS: usize = 3;
    let (pairs, d) = (random.random_range(1..=5), random.random_range(1..=5));
    let mut items = |count: usize| (0..count).map(|_| random.random_range(0..ITEMS)).collect::<Vec<_>>();
    let mut batch = Batch { users: items(pairs), positives: items(pairs), ..Batch::default() };
    batch.users.iter_mut().for_each(|user| *user %= USERS);
    match items(1)[0] {
        _ if objective.wants_all_items() => {
            batch.shared = (0..ITEMS).collect();
            batch.in_batch = Some(false);
        }
        0 => {}
        1 => batch.negatives = (0..pairs).map(|_| items(2)).collect(),
        2 => {
            batch.shared = items(2);
            batch.negatives = (0..pairs).map(|_| items(1)).collect();
        }
        _ => {
            batch.shared = items(3);
            batch.negatives = (0..pairs).map(|_| items(1)).collect();
            batch.in_batch = Some(true);
        }
    }
    if objective.wants_log_q() {
        batch.log_q = batch.item_slots().iter().map(|_| 3.0 * signed(random)).collect();
    }
    let mut table =
        |rows: usize| -> Vec<Vec<f64>> { (0..rows).map(|_| (0..d).map(|_| 2.0 * signed(random)).collect()).collect() };
    let (user_rows, item_rows) = (table(USERS), table(ITEMS));
    let slots = |rows: &[Vec<f64>], slots: &[usize]| {
        Table::from_values(d, slots.iter().flat_map(|&row| rows[row].clone()).collect())
    };
    let (users, items) = (slots(&user_rows, &batch.users), slots(&item_rows, &batch.item_slots()));
    let mut norms: Vec<f64> = user_rows.iter().chain(&item_rows).map(|row| norm_f64(row)).collect();
    norms.sort_by(f64::total_cmp);
    let median = norms[norms.len() / 2] * 1.03125;
    let (similarity, epsilon_on) = measure;
    let epsilon = match epsilon_on {
        None => 0.0,
        Some(EpsilonOn::Norm | EpsilonOn::Add) => median,
        Some(_) => median * median,
    };
    let mask_duplicates = random.random();
    let epsilon_on = epsilon_on.unwrap_or_default();
    Case { loss: Loss { objective, similarity, epsilon, epsilon_on, mask_duplicates }, batch, users, items }
}

impl Case {
    fn new(objective: Objective, measure: (Similarity, Option<EpsilonOn>), random: &mut ChaCha8Rng) -> Self {
        case(objective, measure, random)
    }

    fn at<F: Real>(&self, lift: impl Fn(f64) -> F) -> Evaluation<F> {
        self.loss.evaluate(&self.users.map(|&x| lift(x)), &self.items.map(|&x| lift(x)), &self.batch)
    }

    /// s(x, y), by the textbook.
    fn similarity(&self, x: &[f64], y: &[f64]) -> f64 {
        let product: f64 = x.iter().zip(y).map(|(x, y)| x * y).sum();
        let (m, n, e) = (norm_f64(x), norm_f64(y), self.loss.epsilon);
        product
            / match (self.loss.similarity, self.loss.epsilon_on) {
                (Similarity::Dot, _) => 1.0,
                (_, EpsilonOn::Norm) => m.max(e) * n.max(e),
                (_, EpsilonOn::Norm2) => (m * m).max(e).sqrt() * (n * n).max(e).sqrt(),
                (_, EpsilonOn::Product) => (m * n).max(e),
                (_, EpsilonOn::Add) => (m + e) * (n + e),
                (_, EpsilonOn::AddProduct) => m * n + e,
                (_, EpsilonOn::AddNorm2) => ((m * m + e) * (n * n + e)).sqrt(),
            }
    }

    fn s(&self, pair: usize, slot: usize) -> f64 {
        self.similarity(self.users.row(pair), self.items.row(slot))
    }

    /// The slots of a pair's candidates but its positive, by the definition of a batch.
    fn negatives(&self, pair: usize) -> Vec<usize> {
        let (batch, pairs) = (&self.batch, self.batch.users.len());
        let mut slots = Vec::new();
        if batch.in_batch.unwrap_or(batch.negatives.is_empty()) {
            slots.extend((0..pairs).filter(|&other| other != pair));
        }
        let own = batch.negatives.first().map_or(0, Vec::len);
        slots.extend((0..own).map(|k| pairs + pair * own + k));
        slots.extend((0..batch.shared.len()).map(|k| pairs + batch.negatives.len() * own + k));
        let rows: Vec<usize> = batch
            .positives
            .iter()
            .chain(batch.negatives.iter().flatten())
            .chain(&batch.shared)
            .copied()
            .collect();
        let masked = self.loss.mask_duplicates || matches!(self.loss.objective, Objective::FullSoftmax(_));
        slots.retain(|&slot| !(masked && rows[slot] == batch.positives[pair]));
        slots
    }

    /// The loss, by the textbook.
    fn plain_value(&self) -> f64 {
        let pairs = self.batch.users.len();
        let mean = |values: Vec<f64>| match values.len() {
            0 => 0.0,
            count => values.iter().sum::<f64>() / count as f64,
        };
        let over_pairs = |of: &dyn Fn(usize) -> f64| mean((0..pairs).map(of).collect());
        match &self.loss.objective {
            Objective::InfoNce(InfoNce { temperature, .. }) | Objective::FullSoftmax(FullSoftmax { temperature }) => {
                let logit = |pair: usize, slot: usize| {
                    self.s(pair, slot) / temperature - self.batch.log_q.get(slot).copied().unwrap_or(0.0)
                };
                over_pairs(&|pair| {
                    let own = logit(pair, pair);
                    (1.0 + self.negatives(pair).iter().map(|&slot| (logit(pair, slot) - own).exp()).sum::<f64>()).ln()
                })
            }
            Objective::Bpr(Bpr { temperature }) => over_pairs(&|pair| {
                let term =
                    |slot: usize| -(1.0 / (1.0 + ((self.s(pair, slot) - self.s(pair, pair)) / temperature).exp())).ln();
                mean(self.negatives(pair).into_iter().map(term).collect())
            }),
            Objective::Triplet(Triplet { margin }) => over_pairs(&|pair| {
                let term = |slot: usize| (margin - self.s(pair, pair) + self.s(pair, slot)).max(0.0);
                mean(self.negatives(pair).into_iter().map(term).collect())
            }),
            Objective::Contrastive(Contrastive { margin, weight }) => over_pairs(&|pair| {
                let term = |slot: usize| (self.s(pair, slot) - margin).max(0.0);
                1.0 - self.s(pair, pair) + weight * mean(self.negatives(pair).into_iter().map(term).collect())
            }),
            Objective::CosineEmbedding(CosineEmbedding { margin }) => {
                let mut terms = Vec::new();
                for pair in 0..pairs {
                    terms.push(1.0 - self.s(pair, pair));
                    terms.extend(self.negatives(pair).into_iter().map(|slot| (self.s(pair, slot) - margin).max(0.0)));
                }
                mean(terms)
            }
            Objective::AlignmentUniformity(AlignmentUniformity { weight, t }) => {
                let distance =
                    |x: &[f64], y: &[f64]| self.similarity(x, x) + self.similarity(y, y) - 2.0 * self.similarity(x, y);
                let uniformity = |table: &Table<f64>| {
                    let couples = (0..pairs).flat_map(|i| (0..i).map(move |j| (i, j)));
                    let kernels: Vec<f64> =
                        couples.map(|(i, j)| (-t * distance(table.row(i), table.row(j))).exp()).collect();
                    if kernels.is_empty() { 0.0 } else { mean(kernels).ln() }
                };
                over_pairs(&|pair| distance(self.users.row(pair), self.items.row(pair)))
                    + weight * (uniformity(&self.users) + uniformity(&self.items)) / 2.0
            }
            Objective::Bsl(Bsl { positive_temperature, temperature }) => {
                let soft = |values: Vec<f64>, temperature: f64| match values.len() {
                    0 => 0.0,
                    _ => temperature * mean(values.iter().map(|s| (s / temperature).exp()).collect()).ln(),
                };
                let mut users = self.batch.users.clone();
                users.sort_unstable();
                users.dedup();
                let of_user = |user: &usize| {
                    let own: Vec<usize> = (0..pairs).filter(|&pair| self.batch.users[pair] == *user).collect();
                    let positives = own.iter().map(|&pair| self.s(pair, pair)).collect();
                    let negatives = |&pair: &usize| {
                        self.negatives(pair).into_iter().map(|slot| self.s(pair, slot)).collect::<Vec<_>>()
                    };
                    soft(own.iter().flat_map(negatives).collect(), *temperature)
                        - soft(positives, *positive_temperature)
                };
                mean(users.iter().map(of_user).collect())
            }
            Objective::Own(_) => unreachable!("the generator draws the crate's own"),
        }
    }

    /// On which side of every kink it is: clamped norms, hinges.
    fn sides(&self) -> Vec<Option<Ordering>> {
        let mut sides = Vec::new();
        let slots: Vec<&[f64]> = (0..self.users.rows())
            .map(|row| self.users.row(row))
            .chain((0..self.items.rows()).map(|row| self.items.row(row)))
            .collect();
        for x in &slots {
            sides.push(norm_f64(x).partial_cmp(&self.loss.epsilon));
            sides.push(norm_f64(x).powi(2).partial_cmp(&self.loss.epsilon));
            sides.extend(slots.iter().map(|y| (norm_f64(x) * norm_f64(y)).partial_cmp(&self.loss.epsilon)));
        }
        for pair in 0..self.batch.users.len() {
            for slot in self.negatives(pair) {
                let hinge = match &self.loss.objective {
                    Objective::Triplet(Triplet { margin }) => margin - self.s(pair, pair) + self.s(pair, slot),
                    Objective::Contrastive(Contrastive { margin, .. })
                    | Objective::CosineEmbedding(CosineEmbedding { margin }) => self.s(pair, slot) - margin,
                    _ => continue,
                };
                sides.push(hinge.partial_cmp(&0.0));
            }
        }
        sides
    }

    fn moved(&self, direction: &[Table<f64>; 2], t: f64) -> Case {
        let along = |table: &Table<f64>, direction: &Table<f64>| {
            let values = table.values().iter().zip(direction.values()).map(|(x, v)| x + t * v);
            Table::from_values(table.width(), values.collect())
        };
        Case {
            loss: self.loss.clone(),
            batch: self.batch.clone(),
            users: along(&self.users, &direction[0]),
            items: along(&self.items, &direction[1]),
        }
    }

    /// The slope along a direction, by dual numbers over any number type.
    fn slope<F: Real>(&self, direction: &[Table<f64>; 2], make: impl Fn(f64, f64) -> F) -> F {
        let lift = |table: &Table<f64>, direction: &Table<f64>| {
            let values = table.values().iter().zip(direction.values()).map(|(&x, &v)| make(x, v));
            Table::from_values(table.width(), values.collect())
        };
        self.loss
            .evaluate(&lift(&self.users, &direction[0]), &lift(&self.items, &direction[1]), &self.batch)
            .loss
    }
}

/// ⟨g, v⟩ with its rounding.
fn project(found: &Evaluation<Rounded>, direction: &[Table<f64>; 2]) -> Rounded {
    let mut sum = Rounded::from_f64(0.0);
    for (gradient, direction) in [&found.users, &found.items].into_iter().zip(direction) {
        for (&g, &v) in gradient.values().iter().zip(direction.values()) {
            sum = sum + g * Rounded::from_f64(v);
        }
    }
    sum
}

fn every_case(mut judge: impl FnMut(&Case, &mut ChaCha8Rng)) {
    let mut random = random(17);
    for measure in measures() {
        for _ in 0..CASES {
            for objective in objectives(&mut random) {
                judge(&Case::new(objective, measure, &mut random), &mut random);
            }
        }
    }
}

#[test]
fn values_are_those_of_the_textbook() {
    let mut sharp = 0;
    let mut judged = 0;
    every_case(|case, _| {
        let (found, expected) = (case.at(Rounded::from_f64).loss, case.plain_value());
        // Once for each implementation; libm's exp and ln are correct to one unit in the last place, not half of one.
        let allowed = 4.0 * found.error();
        assert!(
            (found.value() - expected).abs() <= allowed,
            "{} {expected} ± {allowed}: {:?}",
            found.value(),
            case.loss
        );
        judged += 1;
        sharp += usize::from(allowed < 1e-9 * (1.0 + expected.abs()));
    });
    assert!(judged == 8 * 9 * CASES && sharp * 10 > judged * 9, "{sharp} of {judged}");
}

/// Mistakes that are made in losses, as other losses: what they compute must be told from what the textbook says.
#[test]
fn a_loss_with_a_mistake_is_told_from_the_right_one() {
    type Mistake = fn(&mut Case);
    let mistakes: [(&str, Mistake); 7] = [
        ("another temperature or margin", |case| match &mut case.loss.objective {
            Objective::InfoNce(InfoNce { temperature, .. })
            | Objective::FullSoftmax(FullSoftmax { temperature })
            | Objective::Bpr(Bpr { temperature }) => *temperature *= 1.001,
            Objective::Triplet(Triplet { margin })
            | Objective::Contrastive(Contrastive { margin, .. })
            | Objective::CosineEmbedding(CosineEmbedding { margin }) => *margin += 0.001,
            Objective::AlignmentUniformity(AlignmentUniformity { t, .. }) => *t *= 1.001,
            Objective::Bsl(Bsl { positive_temperature, .. }) => *positive_temperature *= 1.001,
            Objective::Own(_) => {}
        }),
        ("the mask forgotten, or one too many", |case| case.loss.mask_duplicates ^= true),
        ("no epsilon", |case| case.loss.epsilon = 0.0),
        ("inner products", |case| case.loss.similarity = Similarity::Dot),
        ("log-Q with the wrong sign", |case| case.batch.log_q.iter_mut().for_each(|log_q| *log_q = -*log_q)),
        ("the other positives forgotten, or too many", |case| {
            case.batch.in_batch = Some(!case.batch.has_in_batch_negatives());
        }),
        ("pairs of one user taken for pairs of several", |case| {
            case.batch.users = (0..case.batch.users.len()).collect();
        }),
    ];
    for (name, mistake) in mistakes {
        let (mut changed, mut noticed) = (0, 0);
        every_case(|case, _| {
            let mut wrong = Case {
                loss: case.loss.clone(),
                batch: case.batch.clone(),
                users: case.users.clone(),
                items: case.items.clone(),
            };
            mistake(&mut wrong);
            let (right, found) = (case.plain_value(), wrong.at(Rounded::from_f64).loss);
            if (wrong.plain_value() - right).abs() > 1e-9 * (1.0 + right.abs()) {
                changed += 1;
                noticed += usize::from((found.value() - right).abs() > 4.0 * found.error());
            }
        });
        assert!(changed >= 50 && noticed * 100 >= changed * 99, "{name}: {noticed} of {changed} were noticed");
    }
}

#[test]
fn gradients_agree_with_dual_numbers_and_differences() {
    let (mut judged, mut kinks, mut sharp, mut moving) = (0, 0, 0, 0);
    every_case(|case, random| {
        let direction = [&case.users, &case.items].map(|table| table.map(|_| signed(random)));
        let found = case.at(Rounded::from_f64);
        let analytic = project(&found, &direction);
        let dual = case.slope(&direction, Dual::variable).derivative();
        let bound = case
            .slope(&direction, |x, v| Forward::new(Rounded::from_f64(x), Rounded::from_f64(v)))
            .slope
            .error();
        // num-dual's rules for a quotient and a root round once more than the rules that the bound is made with.
        let allowed = analytic.error() + 2.0 * bound;
        assert!((dual - analytic.value()).abs() <= allowed, "{dual} {analytic:?} ± {allowed}: {:?}", case.loss);
        judged += 1;
        if analytic.value().abs() > 1e-9 {
            moving += 1;
            sharp += usize::from(allowed < 1e-9 * analytic.value().abs());
        }
        // The fastest relative rate: of a row, and of a logit.
        let steepest = match &case.loss.objective {
            Objective::InfoNce(InfoNce { temperature, .. })
            | Objective::FullSoftmax(FullSoftmax { temperature })
            | Objective::Bpr(Bpr { temperature }) => 1.0 / temperature,
            Objective::Bsl(Bsl { positive_temperature, temperature }) => 1.0 / temperature.min(*positive_temperature),
            Objective::AlignmentUniformity(AlignmentUniformity { t, .. }) => 2.0 * t,
            _ => 1.0,
        };
        let rates = [&case.users, &case.items].into_iter().zip(&direction).flat_map(|(table, direction)| {
            (0..table.rows()).map(|row| {
                let (own, speed) = (norm_f64(table.row(row)), norm_f64(direction.row(row)));
                match case.loss.similarity {
                    Similarity::Cosine => 2.0 * speed / own * steepest.max(1.0),
                    Similarity::Dot => 4.0 * speed * 2.0 * (case.users.width() as f64).sqrt() * steepest.max(1.0),
                }
            })
        });
        let scale = 1.0 / rates.fold(0.5, f64::max);
        let h = reach(scale);
        let here = case.sides();
        if [h, -h].iter().any(|&t| case.moved(&direction, t).sides() != here) {
            kinks += 1;
            return;
        }
        let noise = |t: f64| case.moved(&direction, t).at(Rounded::from_f64).loss.error();
        let noise = 2.0 * noise(h).max(noise(-h));
        let estimate = directional_derivative_within(|t| case.moved(&direction, t).at(|x| x).loss, scale, noise);
        let off = (estimate.value - analytic.value()).abs();
        assert!(off <= estimate.error + analytic.error(), "{estimate:?} {analytic:?}: {:?}", case.loss);
    });
    assert!(
        kinks * 10 < judged && moving * 2 > judged && sharp * 10 > moving * 9,
        "{kinks} {moving} {sharp} {judged}"
    );
}

/// The closed form: ⟨q_j, g_j⟩ = Σ_b κ_bj·λ_bj·s_bj, with κ from a loss of similarities alone: the derivative by s of one
/// pair and slot is what an inner product of that loss has by a coordinate in which the user is 1 and the item is s.
fn leaks(case: &Case) -> Vec<f64> {
    let (pairs, slots) = (case.users.rows(), case.items.rows());
    // Users are unit vectors of ℝ^B, items have s_bj as coordinate b: then inner products are the similarities, and the
    // gradient at item j's coordinate b is κ_bj.
    let units =
        Table::from_values(pairs, (0..pairs * pairs).map(|k| f64::from(u8::from(k % (pairs + 1) == 0))).collect());
    let items = (0..slots).flat_map(|j| (0..pairs).map(move |b| case.s(b, j))).collect();
    let abstracted = Loss { similarity: Similarity::Dot, ..case.loss.clone() };
    let coefficients = abstracted.evaluate(&units, &Table::from_values(pairs, items), &case.batch).items;
    (0..slots)
        .map(|j| {
            let own = norm_f64(case.items.row(j));
            (0..pairs)
                .map(|b| {
                    let leak = case.loss.epsilon_on.leak(&own, &norm_f64(case.users.row(b)), &case.loss.epsilon);
                    coefficients.row(j)[b] * leak * case.s(b, j)
                })
                .sum()
        })
        .collect()
}

#[test]
fn cosine_losses_have_orthogonal_gradients_and_epsilons_leak_by_their_closed_form() {
    let (mut orthogonal, mut leaking) = (0, 0);
    every_case(|case, _| {
        // Uniformity compares items with items: for it the closed form has more terms, and only the cosine is judged.
        let uniform = matches!(case.loss.objective, Objective::AlignmentUniformity(_));
        if case.loss.similarity == Similarity::Dot || (uniform && case.loss.epsilon > 0.0) {
            return;
        }
        let found = case.at(Rounded::from_f64);
        let expected = match uniform {
            true => vec![0.0; case.items.rows()],
            false => leaks(case),
        };
        for (slot, expected) in expected.into_iter().enumerate() {
            let mut radial = Rounded::from_f64(0.0);
            for (&g, &q) in found.items.row(slot).iter().zip(case.items.row(slot)) {
                radial = radial + g * Rounded::from_f64(q);
            }
            // Once for the gradient, once for the closed form.
            let allowed = 2.0 * radial.error();
            assert!((radial.value() - expected).abs() <= allowed, "{radial:?} {expected}: {:?}", case.loss);
            let (scale, epsilon) = (found.item_scale[slot].value(), case.loss.epsilon);
            // A saturated softmax has derivatives below the rounding of its probabilities: there nothing is seen.
            orthogonal += usize::from(epsilon == 0.0 && scale > 1e6 * allowed);
            leaking += usize::from(epsilon > 0.0 && expected.abs() > 1e6 * allowed);
        }
    });
    assert!(orthogonal > 1000 && leaking > 5000, "{orthogonal} {leaking}");
}

/// A loss that a user of the crate wrote: the mean of −s⁺.
#[derive(Debug, Clone)]
struct Attraction;

impl ObjectiveFunction for Attraction {
    fn name(&self) -> &'static str {
        "attraction"
    }
    fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
        let share = F::ratio(1, similarities.pairs() as i64);
        let mut loss = F::from_f64(0.0);
        for pair in 0..similarities.pairs() {
            let candidates = similarities.candidates(pair);
            let values = similarities.of(pair, &candidates);
            let mut coefficients = vec![F::from_f64(0.0); values.len()];
            coefficients[candidates.target()] = -share.clone();
            loss = loss - values[candidates.target()].clone() * share.clone();
            similarities.pull(pair, &candidates, &coefficients);
        }
        loss
    }
}

#[test]
fn a_loss_of_ones_own_gets_norms_and_epsilons_from_the_crate() {
    let batch = Batch { users: vec![0], positives: vec![0], ..Batch::default() };
    let (user, item) = (Table::from_values(2, vec![1.0, 0.0]), Table::from_values(2, vec![3.0, 4.0]));
    let mut loss = Loss::new(Similarity::Cosine, Attraction);
    let radial = |loss: &Loss<Attraction>| -> f64 {
        let gradient = loss.evaluate(&user, &item, &batch).items;
        3.0 * gradient.values()[0] + 4.0 * gradient.values()[1]
    };
    assert_eq!(loss.evaluate(&user, &item, &batch).loss, -0.6);
    assert!(radial(&loss).abs() < 4.0 * f64::EPSILON);
    // The witnesses of the theory: ε/(‖u‖‖q‖+ε)·s = 3/20, and ε/(‖q‖²+ε)·⟨z_u,z_q⟩ with ‖u‖² + ε = 120.
    loss = Loss { epsilon: 5.0, epsilon_on: EpsilonOn::AddProduct, ..loss };
    approx::assert_relative_eq!(radial(&loss), -0.15, max_relative = 1e-14);
    loss = Loss { epsilon: 119.0, epsilon_on: EpsilonOn::AddNorm2, ..loss };
    approx::assert_relative_eq!(radial(&loss), -119.0 / 144.0 * 3.0 / (12.0 * 120f64.sqrt()), max_relative = 1e-14);
}

#[test]
fn a_guarded_cosine_of_zero_rows_has_the_derivative_of_what_it_computes() {
    for epsilon_on in EpsilonOn::ALL {
        let loss = Loss { epsilon: 0.25, epsilon_on, ..Loss::new(Similarity::Cosine, Attraction) };
        let batch = Batch { users: vec![0], positives: vec![0], ..Batch::default() };
        let (user, zero) = ([0.6, 0.8], [0.0, 0.0]);
        let found = loss.evaluate(&Table::from_values(2, user.to_vec()), &Table::from_values(2, zero.to_vec()), &batch);
        let moving = Table::from_values(2, vec![Dual::variable(0.0, 1.0), Dual::variable(0.0, -2.0)]);
        let user = Table::from_values(2, user.map(|x| Dual::variable(x, 0.0)).to_vec());
        let slope = loss.evaluate(&user, &moving, &batch).loss.derivative();
        let expected = found.items.values()[0] - 2.0 * found.items.values()[1];
        approx::assert_relative_eq!(slope, expected, max_relative = 1e-14);
        assert!(slope.abs() > 0.1, "{epsilon_on:?}");
    }
}

#[test]
fn scenarios_name_losses_in_flat_tables_and_refuse_what_they_do_not_know() {
    let read = |loss: &str, negatives: &str| {
        let tower = "rows = 3\nencoder = { kind = \"table\" }\noptimizer = { kind = \"sgd\", lr = 0.1 }\n\
                     initial = { kind = \"normal\", std = 0.5 }\n";
        Scenario::from_toml(&format!(
            "dim = 2\nsteps = 2\nloss = {loss}\nsampler = {{ batch = 2, exponent = 1.0, negatives = {negatives} }}\n\
             [item]\n{tower}[user]\n{tower}"
        ))
    };
    let in_batch = "{ kind = \"in-batch\" }";
    for (text, negatives) in [
        (
            r#"{ kind = "info-nce", similarity = "cosine", temperature = 0.2, epsilon = 1e-8, epsilon_on = "norm" }"#,
            in_batch,
        ),
        (
            r#"{ kind = "info-nce", similarity = "dot", temperature = 1, log_q = true, mask_duplicates = true }"#,
            in_batch,
        ),
        (
            r#"{ kind = "info-nce", similarity = "cosine", temperature = 0.2, log_q = true }"#,
            r#"{ kind = "mixed", count = 3 }"#,
        ),
        (r#"{ kind = "full-softmax", similarity = "cosine", temperature = 0.2 }"#, r#"{ kind = "full" }"#),
        (r#"{ kind = "bpr", similarity = "cosine", temperature = 0.2 }"#, in_batch),
        (r#"{ kind = "triplet", similarity = "cosine", margin = 0.2 }"#, in_batch),
        (r#"{ kind = "contrastive", similarity = "cosine", margin = 0.2 }"#, in_batch),
        (r#"{ kind = "alignment-uniformity", similarity = "cosine" }"#, in_batch),
        (
            r#"{ kind = "cosine-embedding", similarity = "cosine", epsilon = 1e-12, epsilon_on = "add-norm2" }"#,
            in_batch,
        ),
        (
            r#"{ kind = "bsl", similarity = "cosine", positive_temperature = 0.5, temperature = 0.2 }"#,
            in_batch,
        ),
    ] {
        let scenario = read(text, negatives).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(Scenario::from_toml(&scenario.to_toml()).unwrap(), scenario, "{text}");
        assert_eq!(Scenario::from_json(&scenario.to_json()).unwrap(), scenario, "{text}");
        let model = scenario.materialise().unwrap();
        assert_eq!(
            model.batches[0].log_q.len(),
            if text.contains("log_q") {
                model.batches[0].item_slots().len()
            } else {
                0
            }
        );
    }
    for (text, word) in [
        (r#"{ kind = "info-nce", similarity = "cosine", temperature = 0.2, margin = 1 }"#, "margin"),
        (r#"{ kind = "info-nce", similarity = "cosine", temperature = 0.2, colour = "red" }"#, "colour"),
        (r#"{ kind = "info-nce", similarity = "cosine", temperature = nan }"#, "temperature"),
        (r#"{ kind = "info-nce", similarity = "cosine", temperature = 0.2, epsilon = -1.0 }"#, "epsilon"),
        (r#"{ kind = "info-nce", similarity = "cosine", temperature = 0.2, epsilon_on = "both" }"#, "both"),
        (r#"{ kind = "info-nce", similarity = "cosine" }"#, "temperature"),
        (r#"{ similarity = "cosine", temperature = 0.2 }"#, "kind"),
        (r#"{ kind = "triplet", similarity = "cosine", margin = -0.2 }"#, "margin"),
        (
            r#"{ kind = "bsl", similarity = "cosine", positive_temperature = 0.0, temperature = 0.2 }"#,
            "positive_temperature",
        ),
        (r#"{ kind = "full-softmax", similarity = "cosine", temperature = 0.2 }"#, "full"),
        (r#"{ kind = "hinge", similarity = "cosine" }"#, "hinge"),
    ] {
        let error = read(text, in_batch).expect_err(text).to_string();
        assert!(error.contains(word), "{text}: {error}");
    }
}

/// A map of raw rows to embeddings, as it stands before a loss.
type Map = fn(&[Forward<Rounded>]) -> Vec<Forward<Rounded>>;

fn number(x: f64) -> Forward<Rounded> {
    Forward::from_f64(x)
}

/// A frozen projection.
fn project_row(e: &[Forward<Rounded>]) -> Vec<Forward<Rounded>> {
    [[1.0, 0.5, -0.25], [0.0, 2.0, 1.5]]
        .iter()
        .map(|v| v.iter().zip(e).fold(number(0.0), |sum, (&v, e)| sum + number(v) * e.clone()))
        .collect()
}

/// A recorded dropout mask.
fn mask_row(e: &[Forward<Rounded>]) -> Vec<Forward<Rounded>> {
    e.iter().zip([2.0, 0.0, 2.0]).map(|(e, m)| number(m) * e.clone()).collect()
}

fn rectified(x: Forward<Rounded>) -> Forward<Rounded> {
    if x > number(0.0) { x } else { number(0.0) }
}

/// ReLU of a frozen projection, beside the row itself.
fn rectify_row(e: &[Forward<Rounded>]) -> Vec<Forward<Rounded>> {
    project_row(e).into_iter().map(rectified).chain(e.iter().cloned()).collect()
}

/// The same with a bias: not homogeneous.
fn rectify_biased_row(e: &[Forward<Rounded>]) -> Vec<Forward<Rounded>> {
    let biased = project_row(e).into_iter().map(|x| rectified(x + number(0.5)));
    biased.chain(e.iter().cloned()).collect()
}

/// Every coordinate squared: homogeneous of degree 2.
fn square_row(e: &[Forward<Rounded>]) -> Vec<Forward<Rounded>> {
    e.iter().map(|e| e.clone() * e.clone()).chain([e[0].clone() * e[1].clone()]).collect()
}

/// ⟨e, ∇_e L⟩ is the slope of the loss where e grows by itself: 0 behind every positively homogeneous map of any degree,
/// whatever is served; ordinary behind a bias.
#[test]
fn raw_rows_behind_homogeneous_maps_have_orthogonal_gradients_and_behind_a_bias_they_have_not() {
    let maps: [(&str, Map, bool); 5] = [
        ("projection", project_row, true),
        ("dropout mask", mask_row, true),
        ("bias-free ReLU", rectify_row, true),
        ("squares", square_row, true),
        ("ReLU with a bias", rectify_biased_row, false),
    ];
    let mut random = random(23);
    for (name, map, homogeneous) in maps {
        let mut largest = 0.0_f64;
        for _ in 0..40 {
            for objective in objectives(&mut random) {
                let case = Case::new(objective, (Similarity::Cosine, None), &mut random);
                let raw: Vec<Vec<f64>> = (0..4).map(|_| (0..3).map(|_| signed(&mut random)).collect()).collect();
                // Row 0 grows, in every slot that it fills.
                let embed = |row: usize, speed: f64| -> Vec<Forward<Rounded>> {
                    let e = raw[row].iter().map(|&x| Forward::new(Rounded::from_f64(x), Rounded::from_f64(x * speed)));
                    map(&e.collect::<Vec<_>>())
                };
                let width = embed(0, 0.0).len();
                let items = case.batch.item_slots();
                let grown = |row: usize| if row == 0 { 1.0 } else { 0.0 };
                let items = items.iter().flat_map(|&row| embed(row, grown(row))).collect();
                let users = case.batch.users.iter().flat_map(|&row| embed(3 - row, 0.0)).collect();
                let (users, items) = (Table::from_values(width, users), Table::from_values(width, items));
                let slope = case.loss.evaluate(&users, &items, &case.batch).loss.slope;
                if homogeneous {
                    assert!(slope.value().abs() <= slope.error(), "{name}: {slope:?} {:?}", case.loss);
                } else {
                    largest = largest.max(slope.value().abs() / slope.error());
                }
            }
        }
        assert!(homogeneous || largest > 1e6, "{name}: {largest}");
    }
}

/// One table for users and items: each row's gradient is the sum over its slots on both sides, all at the same row, and stays
/// tangent. A user that is the mean of item rows sends back half a gradient that is tangent to the mean, not to the rows.
#[test]
fn a_table_shared_by_both_towers_keeps_orthogonality_and_pooling_breaks_it() {
    let mut random = random(29);
    let mut pooled = 0;
    for _ in 0..100 {
        for objective in objectives(&mut random) {
            let mut case = Case::new(objective, (Similarity::Cosine, None), &mut random);
            let d = 4;
            let rows: Vec<Vec<f64>> = (0..4).map(|_| (0..d).map(|_| signed(&mut random)).collect()).collect();
            let (items, users) = (case.batch.item_slots(), case.batch.users.clone());
            let at = |slots: &[usize]| slots.iter().flat_map(|&row| rows[row].clone()).collect::<Vec<f64>>();
            case.users = Table::from_values(d, at(&users));
            case.items = Table::from_values(d, at(&items));
            let found = case.at(Rounded::from_f64);
            for (row, q) in rows.iter().enumerate() {
                let mut radial = Rounded::from_f64(0.0);
                for (slots, gradients) in [(&users, &found.users), (&items, &found.items)] {
                    for slot in (0..slots.len()).filter(|&slot| slots[slot] == row) {
                        for (&g, &q) in gradients.row(slot).iter().zip(q) {
                            radial = radial + g * Rounded::from_f64(q);
                        }
                    }
                }
                assert!(radial.value().abs() <= radial.error(), "{radial:?} {:?}", case.loss);
            }
            // Every user is the mean of rows 0 and 1.
            let mean: Vec<f64> = rows[0].iter().zip(&rows[1]).map(|(a, b)| (a + b) / 2.0).collect();
            case.users = Table::from_values(d, users.iter().flat_map(|_| mean.clone()).collect());
            let found = case.at(Rounded::from_f64);
            let mut radial = Rounded::from_f64(0.0);
            for slot in 0..users.len() {
                for (&g, &q) in found.users.row(slot).iter().zip(&rows[0]) {
                    radial = radial + g * Rounded::from_f64(q / 2.0);
                }
            }
            pooled += usize::from(radial.value().abs() > 1e6 * radial.error());
        }
    }
    assert!(pooled > 500, "{pooled}");
}

#[test]
fn derivatives_by_similarities_add_up_to_the_gradients() {
    every_case(|case, _| {
        let lift = |table: &Table<f64>| table.map(|&x| Rounded::from_f64(x));
        let derivatives = case.loss.derivatives(&lift(&case.users), &lift(&case.items), &case.batch);
        // κ by κ, with ∂s/∂q by dual numbers along one coordinate of one item.
        let found = case.at(Rounded::from_f64);
        for slot in 0..case.items.rows() {
            let moving = |speed: f64, x: f64| Forward::new(Rounded::from_f64(x), Rounded::from_f64(speed));
            let mut sum = Rounded::from_f64(0.0);
            for derivative in &derivatives {
                let row = |which: Slot| -> Vec<Forward<Rounded>> {
                    match which {
                        Slot::User(user) => case.users.row(user).iter().map(|&x| moving(0.0, x)).collect(),
                        Slot::Item(item) => {
                            let speed = |k: usize| f64::from(u8::from(item == slot && k == 0));
                            case.items.row(item).iter().enumerate().map(|(k, &x)| moving(speed(k), x)).collect()
                        }
                    }
                };
                let (x, y) = (row(derivative.one), row(derivative.other));
                let s = guarded(&x, &y, &case.loss);
                sum = sum + derivative.coefficient * s.slope;
                let same = (derivative.similarity.value() - s.value.value()).abs();
                assert!(same <= derivative.similarity.error() + s.value.error(), "{same}: {:?}", case.loss);
            }
            let g = found.items.row(slot)[0];
            let allowed = 2.0 * (g.error() + sum.error());
            assert!((g.value() - sum.value()).abs() <= allowed, "{g:?} {sum:?}: {:?}", case.loss);
        }
    });
}

/// s(x, y) on numbers of any type, by the textbook.
fn guarded<F: Real>(x: &[F], y: &[F], loss: &Loss) -> F {
    let product = perpend::geometry::dot(x, y);
    let (mm, nn) = (perpend::geometry::norm_squared(x), perpend::geometry::norm_squared(y));
    let (m, n) = (mm.clone().sqrt(), nn.clone().sqrt());
    let e = F::from_f64(loss.epsilon);
    product
        / match (loss.similarity, loss.epsilon_on) {
            (Similarity::Dot, _) => F::one(),
            (_, EpsilonOn::Norm) => m.max(e.clone()) * n.max(e),
            (_, EpsilonOn::Norm2) => mm.max(e.clone()).sqrt() * nn.max(e).sqrt(),
            (_, EpsilonOn::Product) => (m * n).max(e),
            (_, EpsilonOn::Add) => (m + e.clone()) * (n + e),
            (_, EpsilonOn::AddProduct) => m * n + e,
            (_, EpsilonOn::AddNorm2) => ((mm + e.clone()) * (nn + e)).sqrt(),
        }
}
