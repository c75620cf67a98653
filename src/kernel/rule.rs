//! Row optimizers: how a row moves, given its gradient. The same rules as in [`crate::optimizer`], on slices of a table and
//! of the optimizer's state.

use super::element::Element;
use super::simd;
use crate::trajectory::Rows;

/// An optimizer of one table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Optimizer {
    /// How a row moves.
    pub rule: Rule,
    /// Weight decay, if any.
    pub decay: Option<Decay>,
    /// Whether rows without a gradient are visited.
    pub rows: Rows,
}

/// How a row moves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// q ← q − ηg.
    Sgd,
    /// p ← βp + g, q ← q − ηp; with `nesterov` q ← q − η(g + βp).
    Momentum {
        /// β in [0, 1).
        momentum: f64,
        /// Whether the step looks ahead.
        nesterov: bool,
    },
    /// G ← G + g², q ← q − ηg/(√G + ε), coordinate by coordinate.
    Adagrad {
        /// ε.
        epsilon: f64,
    },
    /// G ← G + ‖g‖²/d, q ← q − ηg/(√G + ε), one G a row.
    RowwiseAdagrad {
        /// ε.
        epsilon: f64,
    },
    /// m ← β₁m + (1−β₁)g, v ← β₂v + (1−β₂)g², q ← q − η·m̂/(√v̂ + ε).
    Adam {
        /// β₁ and β₂.
        betas: (f64, f64),
        /// ε.
        epsilon: f64,
        /// ε is added to √v̂ (after the bias correction) rather than to √v.
        corrected: bool,
    },
}

/// Weight decay λ.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    /// λ ≥ 0.
    pub rate: f64,
    /// q ← (1 − ηλ)q before the rule, instead of g ← g + λq.
    pub decoupled: bool,
}

impl Optimizer {
    /// Plain SGD.
    pub const SGD: Optimizer = Optimizer { rule: Rule::Sgd, decay: None, rows: Rows::Lazy };

    /// Whether a step has to visit rows without a gradient: only if dense, and only if the rule would move them.
    pub(super) fn visits_every_row(&self) -> bool {
        let remembers = matches!(self.rule, Rule::Momentum { .. } | Rule::Adam { .. });
        self.rows == Rows::Dense && (remembers || self.decay.is_some_and(|decay| decay.rate != 0.0))
    }

    /// Numbers of state a row of d numbers has, in two tables.
    pub(super) fn widths(&self, dim: usize) -> (usize, usize) {
        match self.rule {
            Rule::Sgd => (0, 0),
            Rule::RowwiseAdagrad { .. } => (1, 0),
            Rule::Momentum { .. } | Rule::Adagrad { .. } => (dim, 0),
            Rule::Adam { .. } => (dim, dim),
        }
    }
}

/// The state of all rows of a table.
#[derive(Debug, Clone, Default)]
pub(super) struct State<E> {
    pub first: Vec<E>,
    pub second: Vec<E>,
    pub first_width: usize,
    pub second_width: usize,
}

impl<E: Element> State<E> {
    pub(super) fn new(optimizer: &Optimizer, rows: usize, dim: usize) -> Self {
        let (first_width, second_width) = optimizer.widths(dim);
        State {
            first: vec![E::ZERO; rows * first_width],
            second: vec![E::ZERO; rows * second_width],
            first_width,
            second_width,
        }
    }
}

/// An optimizer at one step.
pub(super) struct Mover<E> {
    rule: Constants<E>,
    rate: E,
    /// λ, and 1 − ηλ.
    coupled: Option<E>,
    kept: Option<E>,
}

enum Constants<E> {
    Sgd,
    Momentum {
        momentum: E,
        nesterov: bool,
    },
    Adagrad {
        epsilon: E,
    },
    RowwiseAdagrad {
        epsilon: E,
    },
    Adam {
        beta1: E,
        beta2: E,
        epsilon: E,
        corrected: bool,
        first: E,
        second: E,
    },
}

impl<E: Element> Mover<E> {
    /// `time` counts steps from 0, `rate` is η.
    pub(super) fn new(optimizer: &Optimizer, time: u64, rate: f64) -> Self {
        let number = E::from_f64;
        let rule = match optimizer.rule {
            Rule::Sgd => Constants::Sgd,
            Rule::Momentum { momentum, nesterov } => Constants::Momentum { momentum: number(momentum), nesterov },
            Rule::Adagrad { epsilon } => Constants::Adagrad { epsilon: number(epsilon) },
            Rule::RowwiseAdagrad { epsilon } => Constants::RowwiseAdagrad { epsilon: number(epsilon) },
            Rule::Adam { betas: (beta1, beta2), epsilon, corrected } => {
                // The correction belongs to the decay that is applied, which is β as rounded.
                let correction =
                    |beta: f64| 1.0 - number(beta).to_f64().powi(i32::try_from(time + 1).unwrap_or(i32::MAX));
                Constants::Adam {
                    beta1: number(beta1),
                    beta2: number(beta2),
                    epsilon: number(epsilon),
                    corrected,
                    first: number(correction(beta1)),
                    second: number(correction(beta2).sqrt()),
                }
            }
        };
        let decay = optimizer.decay.filter(|decay| decay.rate != 0.0);
        let (rate, lambda) = (number(rate), decay.map(|decay| number(decay.rate)));
        let decoupled = decay.is_some_and(|decay| decay.decoupled);
        Mover {
            rule,
            rate,
            coupled: lambda.filter(|_| !decoupled),
            kept: lambda.filter(|_| decoupled).map(|lambda| E::ONE - rate * lambda),
        }
    }

    /// Moves a row. `gradient` is used up.
    #[inline(always)]
    pub(super) fn apply<const FMA: bool>(&self, q: &mut [E], gradient: &mut [E], first: &mut [E], second: &mut [E]) {
        let rate = self.rate;
        if let Some(lambda) = self.coupled {
            simd::add_scaled::<E, FMA>(gradient, lambda, q);
        }
        if let Some(kept) = self.kept {
            for q in &mut *q {
                *q = *q * kept;
            }
        }
        match self.rule {
            Constants::Sgd => simd::add_scaled::<E, FMA>(q, -rate, gradient),
            Constants::Momentum { momentum, nesterov } => {
                for ((q, p), &g) in q.iter_mut().zip(first).zip(&*gradient) {
                    *p = momentum.mul_add::<FMA>(*p, g);
                    let direction = if nesterov { momentum.mul_add::<FMA>(*p, g) } else { *p };
                    *q = (-rate).mul_add::<FMA>(direction, *q);
                }
            }
            Constants::Adagrad { epsilon } => {
                for ((q, sum), &g) in q.iter_mut().zip(first).zip(&*gradient) {
                    *sum = g.mul_add::<FMA>(g, *sum);
                    *q = *q - quotient(rate * g, sum.sqrt() + epsilon);
                }
            }
            Constants::RowwiseAdagrad { epsilon } => {
                let (squared, _) = simd::dot_and_square::<E, FMA>(gradient, gradient);
                first[0] = first[0] + squared / E::from_f64(gradient.len() as f64);
                let scale = quotient(rate, first[0].sqrt() + epsilon);
                simd::add_scaled::<E, FMA>(q, -scale, gradient);
            }
            Constants::Adam { beta1, beta2, epsilon, corrected, first: correction1, second: correction2 } => {
                let (fresh1, fresh2) = (E::ONE - beta1, E::ONE - beta2);
                let moments = first.iter_mut().zip(second);
                for ((q, (m, v)), &g) in q.iter_mut().zip(moments).zip(&*gradient) {
                    *m = beta1.mul_add::<FMA>(*m, fresh1 * g);
                    *v = beta2.mul_add::<FMA>(*v, fresh2 * (g * g));
                    let (numerator, denominator) = if corrected {
                        (*m / correction1, v.sqrt() / correction2 + epsilon)
                    } else {
                        (*m * correction2 / correction1, v.sqrt() + epsilon)
                    };
                    *q = (-rate).mul_add::<FMA>(quotient(numerator, denominator), *q);
                }
            }
        }
    }
}

/// a/b; 0 where b = 0: neither a gradient nor an epsilon ever arrived, and the coordinate stays.
#[inline(always)]
fn quotient<E: Element>(a: E, b: E) -> E {
    if b == E::ZERO { E::ZERO } else { a / b }
}
