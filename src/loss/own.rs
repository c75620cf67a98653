//! An objective of your own in a [`Scenario`](crate::scenario::Scenario): any [`ObjectiveFunction`], behind a pointer.
//!
//! It can be trained and checked like the others. A file can name it and not bring it back: it is code.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::info_nce::InfoNce;
use super::{ObjectiveFunction, Problem, Similarities, Steepness};
use crate::number::{Dual, Forward, Real, Running};

/// An objective that is not one of the crate's.
#[derive(Debug, Clone)]
pub struct Own(Arc<dyn Erased>);

impl Own {
    /// Wraps an objective.
    pub fn new(objective: impl ObjectiveFunction + Debug + Send + Sync + 'static) -> Self {
        Own(Arc::new(objective))
    }
}

/// The same object, not an equal one.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Serialize for Own {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        std::collections::BTreeMap::from([("name", self.0.name())]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("an objective of one's own is code and cannot be read from a file"))
    }
}

macro_rules! erased {
    ($($method:ident: $number:ty),*) => {
        /// An objective without generic methods: one for each number type.
        trait Erased: Debug + Send + Sync {
            fn name(&self) -> &'static str;
            fn temperature(&self) -> Option<f64>;
            fn problem(&self) -> Option<Problem>;
            fn wants_log_q(&self) -> bool;
            fn wants_all_items(&self) -> bool;
            fn steepness(&self) -> Option<Steepness>;
            fn info_nce(&self) -> Option<&InfoNce>;
            $(fn $method(&self, similarities: &mut Similarities<$number>) -> $number;)*
        }

        impl<O: ObjectiveFunction + Debug + Send + Sync> Erased for O {
            fn name(&self) -> &'static str {
                ObjectiveFunction::name(self)
            }
            fn temperature(&self) -> Option<f64> {
                ObjectiveFunction::temperature(self)
            }
            fn problem(&self) -> Option<Problem> {
                ObjectiveFunction::problem(self)
            }
            fn wants_log_q(&self) -> bool {
                ObjectiveFunction::wants_log_q(self)
            }
            fn wants_all_items(&self) -> bool {
                ObjectiveFunction::wants_all_items(self)
            }
            fn steepness(&self) -> Option<Steepness> {
                ObjectiveFunction::steepness(self)
            }
            fn info_nce(&self) -> Option<&InfoNce> {
                ObjectiveFunction::info_nce(self)
            }
            $(fn $method(&self, similarities: &mut Similarities<$number>) -> $number {
                self.evaluate(similarities)
            })*
        }

        impl ObjectiveFunction for Own {
            fn name(&self) -> &'static str {
                self.0.name()
            }
            fn temperature(&self) -> Option<f64> {
                self.0.temperature()
            }
            fn problem(&self) -> Option<Problem> {
                self.0.problem()
            }
            fn wants_log_q(&self) -> bool {
                self.0.wants_log_q()
            }
            fn wants_all_items(&self) -> bool {
                self.0.wants_all_items()
            }
            fn steepness(&self) -> Option<Steepness> {
                self.0.steepness()
            }
            fn info_nce(&self) -> Option<&InfoNce> {
                self.0.info_nce()
            }
            fn evaluate<F: Real>(&self, similarities: &mut Similarities<F>) -> F {
                let any: &mut dyn Any = similarities;
                $(if let Some(similarities) = any.downcast_mut::<Similarities<$number>>() {
                    let loss: Box<dyn Any> = Box::new(self.0.$method(similarities));
                    return *loss.downcast().expect("both are the number type of the similarities");
                })*
                unreachable!("an objective of one's own is evaluated on the crate's number types only")
            }
        }
    };
}
erased!(
    evaluate_f64: f64,
    evaluate_f32: f32,
    evaluate_dual: Dual,
    evaluate_forward: Forward<Running<53>>,
    evaluate_running_f64: Running<53>,
    evaluate_running_f32: Running<24>,
    evaluate_running_f16: Running<11>,
    evaluate_running_bf16: Running<8>
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_equal_to_itself_alone() {
        let made = || Own::new(InfoNce { temperature: 0.5, log_q: false });
        let one = made();
        assert_eq!(one, one.clone());
        assert_ne!(one, made());
    }
}
