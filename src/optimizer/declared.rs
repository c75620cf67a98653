//! From the optimizer that a header declares to the rules it can mean.
//!
//! Names are the frameworks'; where they differ in what they leave unsaid (whether untouched rows are visited, where
//! Adam's ε stands), every reading is offered, the most likely first.

use super::{Decay, Optimizer, Schedule, decay::Form};
use super::{adagrad::Adagrad, adam::Adam, adam::EpsilonPlace, heavy_ball::HeavyBall, nesterov::Nesterov};
use super::{rowwise_adagrad::RowwiseAdagrad, sgd::Sgd};
use crate::trajectory::{DeclaredOptimizer, Rows};

impl Optimizer {
    /// The readings of a declaration, most likely first; empty where the name is unknown or missing.
    ///
    /// The learning rate of the result is the declared one, or 0 where none is declared: a recorded or measured rate
    /// then takes its place.
    ///
    /// ```
    /// use perpend::{optimizer::Optimizer, trajectory::DeclaredOptimizer};
    /// let (declared, _) = DeclaredOptimizer::parse(r#"{"name": "SGD", "lr": 0.1, "momentum": 0.9, "nesterov": true}"#);
    /// assert!(matches!(Optimizer::readings(&declared)[0], Optimizer::Nesterov(_)));
    /// ```
    pub fn readings(declared: &DeclaredOptimizer) -> Vec<Optimizer> {
        let name = declared.name.as_deref().unwrap_or("").to_ascii_lowercase().replace(['_', '-', ' '], "");
        let lr = Schedule::Constant(declared.lr.unwrap_or(0.0));
        let rate = declared.weight_decay.unwrap_or(0.0);
        let momentum = declared.momentum.unwrap_or(0.0);
        let nesterov = declared.nesterov.unwrap_or(false);
        let visits = match declared.sparse {
            Some(rows) => vec![rows],
            None if name.contains("sparse") || name.contains("lazy") => vec![Rows::Lazy],
            None => vec![Rows::Dense, Rows::Lazy],
        };
        let adamw = name == "adamw";
        let form = match declared.decoupled {
            Some(true) => Form::Decoupled,
            None if adamw => Form::Decoupled,
            _ => Form::Coupled,
        };
        let decay = (rate != 0.0).then_some(Decay { rate, form });
        let mut readings = Vec::new();
        for rows in visits {
            let (lr, decay) = (lr.clone(), decay.clone());
            match name.as_str() {
                "sgd" | "momentum" | "heavyball" | "nesterov" if momentum == 0.0 => {
                    readings.push(Optimizer::Sgd(Sgd { lr, decay, rows }));
                }
                "sgd" | "momentum" | "heavyball" if !nesterov => {
                    let dampening = declared.dampening.unwrap_or(0.0);
                    readings.push(Optimizer::HeavyBall(HeavyBall { lr, momentum, dampening, decay, rows }));
                }
                "sgd" | "momentum" | "nesterov" => {
                    readings.push(Optimizer::Nesterov(Nesterov { lr, momentum, decay, rows }));
                }
                "adam" | "adamw" | "sparseadam" | "lazyadam" => {
                    for epsilon_place in [EpsilonPlace::Corrected, EpsilonPlace::Uncorrected] {
                        let mut adam = Adam::with_rate(lr.clone());
                        adam.betas = declared.betas.unwrap_or(adam.betas);
                        adam.epsilon = declared.eps.unwrap_or(adam.epsilon);
                        adam.epsilon_place = epsilon_place;
                        adam.decay = decay.clone();
                        adam.rows = rows;
                        readings.push(Optimizer::Adam(adam));
                    }
                }
                "adagrad" => {
                    let epsilon = declared.eps.unwrap_or(0.0);
                    readings.push(Optimizer::Adagrad(Adagrad { lr, epsilon, decay, rows }));
                }
                "rowwiseadagrad" | "exactrowwiseadagrad" => {
                    let epsilon = declared.eps.unwrap_or(0.0);
                    readings.push(Optimizer::RowwiseAdagrad(RowwiseAdagrad { lr, epsilon, decay, rows }));
                }
                _ => {}
            }
        }
        // Readings that no run can tell apart are one reading.
        let mut distinct: Vec<Optimizer> = Vec::new();
        for reading in readings {
            let memoryless = !reading.moves_without_gradient();
            if !(memoryless && distinct.iter().any(|other| !other.moves_without_gradient())) {
                distinct.push(reading);
            }
        }
        distinct
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(text: &str) -> Vec<Optimizer> {
        Optimizer::readings(&DeclaredOptimizer::parse(text).0)
    }

    #[test]
    fn plain_sgd_has_one_reading() {
        assert_eq!(readings(r#"{"name":"sgd","lr":0.05}"#).len(), 1);
        assert_eq!(readings(r#"{"name":"sgd","lr":0.05,"weight_decay":0.01}"#).len(), 2);
    }

    #[test]
    fn what_is_left_unsaid_gives_several_readings() {
        let momentum = readings(r#"{"name":"sgd","lr":0.05,"momentum":0.9}"#);
        assert_eq!(momentum.iter().map(Optimizer::rows).collect::<Vec<_>>(), [Rows::Dense, Rows::Lazy]);
        assert_eq!(readings(r#"{"name":"sgd","momentum":0.9,"sparse":"lazy"}"#).len(), 1);
        assert_eq!(readings(r#"{"name":"adam"}"#).len(), 4);
        assert_eq!(readings(r#"{"name":"shampoo"}"#), []);
        assert_eq!(readings("something of our own"), []);
    }

    #[test]
    fn a_declaration_is_read_back() {
        for optimizer in [
            Optimizer::Sgd(Sgd { lr: 0.1.into(), decay: None, rows: Rows::Dense }),
            Optimizer::HeavyBall(HeavyBall {
                lr: 0.1.into(),
                momentum: 0.9,
                dampening: 0.5,
                decay: None,
                rows: Rows::Lazy,
            }),
            Optimizer::Nesterov(Nesterov { lr: 0.1.into(), momentum: 0.9, decay: None, rows: Rows::Dense }),
            Optimizer::Adam(Adam::with_rate(0.1)),
            Optimizer::Adagrad(Adagrad { lr: 0.1.into(), epsilon: 0.25, decay: None, rows: Rows::Dense }),
            Optimizer::RowwiseAdagrad(RowwiseAdagrad { lr: 0.1.into(), epsilon: 0.25, decay: None, rows: Rows::Dense }),
        ] {
            assert_eq!(Optimizer::readings(&optimizer.declare())[0], optimizer);
        }
    }
}
