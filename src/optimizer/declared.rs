//! From the optimizer that a header declares to the rules it can mean.
//!
//! Names are the frameworks'; where they differ in what they leave unsaid (whether untouched rows are visited, where
//! Adam's ε stands), every reading is offered, the most likely first.

use super::{Decay, Optimizer, Schedule, decay::Form};
use super::{Update, update::declared_text};
use super::{adagrad::Adagrad, adam::Adam, adam::EpsilonPlace, heavy_ball::HeavyBall, nesterov::Nesterov};
use super::{adam, amsgrad::Amsgrad, lamb, lamb::Lamb, lars, lars::Lars, lion, lion::Lion};
use super::{adamp::Adamp, projection::Projection, projection::View, sgdp::Sgdp};
use super::{riemannian_sgd::RiemannianSgd, rmsprop, rmsprop::Rmsprop, rowwise_adam::RowwiseAdam, sign_sgd::SignSgd};
use super::{rowwise_adagrad::RowwiseAdagrad, sgd::Sgd};
use crate::trajectory::{DeclaredOptimizer, Rows};

impl Optimizer {
    /// The readings of a declaration, most likely first; empty where the name is unknown or missing, and where something is
    /// declared that a replay of single rows cannot repeat: clipping by norm, accumulation, delay, stochastic rounding (see
    /// [`Update::declared`] for what it can), a projection that is decided for a whole table.
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
        // Rows of several tables in one: a rule to which single rows matter saw other rows.
        if Update::declared(declared).is_none() || declared.other.contains_key("joined_tables") {
            return Vec::new();
        }
        let lr = Schedule::Constant(declared.lr.unwrap_or(0.0));
        let rate = declared.weight_decay.unwrap_or(0.0);
        let momentum = declared.momentum.unwrap_or(0.0);
        let nesterov = declared.nesterov.unwrap_or(false);
        let visits = match declared.sparse {
            Some(rows) => vec![rows],
            None if name.contains("sparse") || name.contains("lazy") => vec![Rows::Lazy],
            None => vec![Rows::Dense, Rows::Lazy],
        };
        let flag = |key: &str| declared_text(declared, key).is_some_and(|text| text.eq_ignore_ascii_case("true"));
        // A number that cannot be read is no number: the rule is then not known.
        let setting = |key: &str, default: f64| match declared_text(declared, key) {
            None => Some(default),
            Some(text) => text.parse::<f64>().ok().filter(|value| value.is_finite()),
        };
        let projection = || {
            let always = declared_text(declared, "projection") == Some("always") && !nesterov;
            let (delta, decay_ratio) = (setting("delta", 0.1)?, setting("wd_ratio", 0.1)?);
            always.then_some(Projection { view: View::Always, delta, decay_ratio })
        };
        let betas = |default: (f64, f64)| declared.betas.unwrap_or(default);
        let epsilon = |default: f64| declared.eps.unwrap_or(default);
        // Rules whose decay is decoupled unless something else is said.
        let decouples = matches!(name.as_str(), "adamw" | "lion" | "lamb" | "sgdp" | "adamp");
        let form = match declared.decoupled {
            Some(true) => Form::Decoupled,
            None if decouples => Form::Decoupled,
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
                "amsgrad" | "adam" | "adamw" | "sparseadam" | "lazyadam" if name == "amsgrad" || flag("amsgrad") => {
                    let (betas, epsilon) = (betas(adam::betas()), epsilon(adam::epsilon()));
                    readings.push(Optimizer::Amsgrad(Amsgrad { lr, betas, epsilon, decay, rows }));
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
                "rmsprop" if momentum == 0.0 => {
                    let Some(alpha) = setting("alpha", rmsprop::alpha()) else {
                        continue;
                    };
                    let epsilon = epsilon(adam::epsilon());
                    readings.push(Optimizer::Rmsprop(Rmsprop { lr, alpha, epsilon, decay, rows }));
                }
                "rowwiseadam" | "partialrowwiseadam" => {
                    let (betas, epsilon) = (betas(adam::betas()), epsilon(adam::epsilon()));
                    readings.push(Optimizer::RowwiseAdam(RowwiseAdam { lr, betas, epsilon, decay, rows }));
                }
                "lion" => {
                    readings.push(Optimizer::Lion(Lion { lr, betas: betas(lion::betas()), decay, rows }));
                }
                "signsgd" if momentum == 0.0 => {
                    readings.push(Optimizer::SignSgd(SignSgd { lr, decay, rows }));
                }
                "lars" | "larssgd" if !nesterov => {
                    let Some(trust) = setting("trust_coefficient", lars::trust()) else {
                        continue;
                    };
                    let epsilon = epsilon(0.0);
                    readings.push(Optimizer::Lars(Lars { lr, momentum, trust, epsilon, decay, rows }));
                }
                "lamb" => {
                    let (betas, epsilon) = (betas(adam::betas()), epsilon(lamb::epsilon()));
                    readings.push(Optimizer::Lamb(Lamb { lr, betas, epsilon, decay, rows }));
                }
                "sgdp" => {
                    let Some(projection) = projection() else { continue };
                    let (dampening, epsilon) = (declared.dampening.unwrap_or(0.0), epsilon(adam::epsilon()));
                    readings.push(Optimizer::Sgdp(Sgdp { lr, momentum, dampening, epsilon, projection, decay, rows }));
                }
                "adamp" => {
                    let Some(projection) = projection() else { continue };
                    let (betas, epsilon) = (betas(adam::betas()), epsilon(adam::epsilon()));
                    readings.push(Optimizer::Adamp(Adamp { lr, betas, epsilon, projection, decay, rows }));
                }
                "riemanniansgd" | "rsgd" if momentum == 0.0 => {
                    readings.push(Optimizer::RiemannianSgd(RiemannianSgd { lr, decay, rows }));
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

    /// One of every kind that single rows can replay, each setting unlike its default.
    fn one_of_each() -> Vec<Optimizer> {
        let (lr, rows, betas, epsilon) = (|| Schedule::Constant(0.1), Rows::Lazy, (0.75, 0.5), 0.25);
        let decay = |form| Some(Decay { rate: 0.125, form });
        let (none, coupled, decoupled) = (None, decay(Form::Coupled), decay(Form::Decoupled));
        let projection = Projection { view: View::Always, delta: 0.5, decay_ratio: 0.25 };
        vec![
            Optimizer::Sgd(Sgd { lr: lr(), decay: None, rows: Rows::Dense }),
            Optimizer::HeavyBall(HeavyBall { lr: lr(), momentum: 0.9, dampening: 0.5, decay: None, rows }),
            Optimizer::HeavyBall(HeavyBall::averaging(0.1, 0.9)),
            Optimizer::Nesterov(Nesterov { lr: lr(), momentum: 0.9, decay: coupled.clone(), rows: Rows::Dense }),
            Optimizer::Adam(Adam::with_rate(0.1)),
            Optimizer::Adam(Adam::adamw(0.1, 0.5)),
            Optimizer::Adagrad(Adagrad { lr: lr(), epsilon, decay: None, rows: Rows::Dense }),
            Optimizer::RowwiseAdagrad(RowwiseAdagrad { lr: lr(), epsilon, decay: None, rows: Rows::Dense }),
            Optimizer::Rmsprop(Rmsprop { lr: lr(), alpha: 0.5, epsilon, decay: coupled.clone(), rows }),
            Optimizer::Amsgrad(Amsgrad { lr: lr(), betas, epsilon, decay: decoupled.clone(), rows }),
            Optimizer::RowwiseAdam(RowwiseAdam { lr: lr(), betas, epsilon, decay: none, rows }),
            Optimizer::Lion(Lion { lr: lr(), betas, decay: coupled.clone(), rows }),
            Optimizer::SignSgd(SignSgd { lr: lr(), decay: decoupled.clone(), rows: Rows::Dense }),
            Optimizer::Lars(Lars { lr: lr(), momentum: 0.5, trust: 0.5, epsilon, decay: coupled.clone(), rows }),
            Optimizer::Lamb(Lamb { lr: lr(), betas, epsilon, decay: coupled, rows }),
            Optimizer::Sgdp(Sgdp {
                lr: lr(),
                momentum: 0.5,
                dampening: 0.25,
                epsilon,
                projection: projection.clone(),
                decay: decoupled.clone(),
                rows,
            }),
            Optimizer::Adamp(Adamp { lr: lr(), betas, epsilon, projection, decay: decoupled, rows }),
            Optimizer::RiemannianSgd(RiemannianSgd { lr: lr(), decay: None, rows: Rows::Dense }),
        ]
    }

    /// As a header carries it: through its text.
    fn carried(declared: &DeclaredOptimizer) -> DeclaredOptimizer {
        DeclaredOptimizer::parse(&declared.to_text()).0
    }

    #[test]
    fn a_declaration_is_read_back() {
        for optimizer in one_of_each() {
            assert_eq!(Optimizer::readings(&carried(&optimizer.declare()))[0], optimizer);
        }
    }

    #[test]
    fn what_rows_alone_cannot_repeat_has_no_reading() {
        for optimizer in one_of_each() {
            let with = |key: &str, value: &str| {
                let mut declared = optimizer.declare();
                declared.other.insert(key.into(), value.into());
                Optimizer::readings(&carried(&declared))
            };
            for (key, value) in [
                ("clip_norm", "1.0"),
                ("max_grad_norm", "1"),
                ("accumulate", "2"),
                ("delay", "1"),
                ("rounding", "\"stochastic\""),
                ("maximize", "true"),
                ("joined_tables", "2"),
                ("max_norm", "\"long\""),
            ] {
                assert_eq!(with(key, value), [], "{key}");
            }
            for (key, value) in
                [("clip_norm", "0"), ("accumulate", "1"), ("rounding", "\"nearest\""), ("maximize", "false")]
            {
                assert_eq!(with(key, value)[0], optimizer, "{key}");
            }
        }
        for text in [
            r#"{"name":"adamp","lr":0.1}"#,
            r#"{"name":"sgdp","lr":0.1,"projection":"row"}"#,
            r#"{"name":"sgdp","lr":0.1,"projection":"always","nesterov":true}"#,
            r#"{"name":"rmsprop","lr":0.1,"momentum":0.9}"#,
            r#"{"name":"rmsprop","lr":0.1,"centered":true}"#,
            r#"{"name":"rmsprop","lr":0.1,"alpha":"small"}"#,
            r#"{"name":"adagrad","lr":0.1,"initial_accumulator_value":0.1}"#,
        ] {
            assert_eq!(readings(text), [], "{text}");
        }
    }

    #[test]
    fn what_happens_around_the_rule_is_read_back() {
        use super::super::constraint::Constraint;
        use super::super::update::{Clip, Rounding, Storage};
        use crate::rounding::Precision;
        let nothing = Update::default;
        let read = |update: &Update| {
            let mut declared = DeclaredOptimizer { name: Some("sgd".into()), ..DeclaredOptimizer::default() };
            update.declare(&mut declared);
            Update::declared(&carried(&declared))
        };
        for update in [
            nothing(),
            Update { clip: Some(Clip::Value(0.1)), ..nothing() },
            Update { constraint: Some(Constraint::Renormalise), ..nothing() },
            Update { clip: Some(Clip::Value(2.0)), constraint: Some(Constraint::MaxNorm(1.5)), ..nothing() },
        ] {
            assert_eq!(read(&update), Some(update));
        }
        let storage = |rounding| Some(Storage { format: Precision::Bf16, rounding });
        for update in [
            Update { clip: Some(Clip::Norm(0.1)), ..nothing() },
            Update { accumulate: 2, ..nothing() },
            Update { delay: 1, ..nothing() },
            Update { storage: storage(Rounding::Stochastic), ..nothing() },
        ] {
            assert_eq!(read(&update), None);
        }
        // Rounding to nearest is what any arithmetic does: the storage format of the header says enough.
        assert_eq!(read(&Update { storage: storage(Rounding::Nearest), ..nothing() }), Some(nothing()));
    }

    #[test]
    fn adam_with_the_flag_is_amsgrad() {
        assert!(matches!(readings(r#"{"name":"Adam","amsgrad":true}"#)[0], Optimizer::Amsgrad(_)));
        assert!(matches!(readings(r#"{"name":"AMSGrad"}"#)[0], Optimizer::Amsgrad(_)));
        assert!(matches!(readings(r#"{"name":"Adam","amsgrad":"False"}"#)[0], Optimizer::Adam(_)));
    }
}
