//! An optimizer of your own in a [`Scenario`](crate::scenario::Scenario): any [`Method`], behind a pointer.
//!
//! It can be trained and checked like the others. A file can name it and not bring it back: it is code.

use std::any::{Any, TypeId};
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Decay, Method, Rule, Schedule};
use crate::condition::Condition;
use crate::number::{Dual, Real, Running};
use crate::trajectory::{DeclaredOptimizer, Rows};
use crate::verdict::Status;

/// An optimizer that is not one of the crate's. Every row is visited in every step: what a row without a gradient does is the
/// rule's to say.
#[derive(Debug, Clone)]
pub struct Own {
    /// η_t.
    pub lr: Schedule,
    /// Weight decay.
    pub decay: Option<Decay>,
    /// Whether rows that were not looked up are visited.
    pub rows: Rows,
    method: Arc<dyn Erased>,
}

impl Own {
    /// Wraps an update rule.
    pub fn new(lr: impl Into<Schedule>, method: impl Method + Debug + Send + Sync + 'static) -> Self {
        Own { lr: lr.into(), decay: None, rows: Rows::Dense, method: Arc::new(method) }
    }
}

/// The same object with the same settings, not an equal one.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        let settings = (&self.lr, &self.decay, self.rows) == (&other.lr, &other.decay, other.rows);
        settings && Arc::ptr_eq(&self.method, &other.method)
    }
}

impl Serialize for Own {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let name = self.declared().name.unwrap_or_default();
        std::collections::BTreeMap::from([("name", name)]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("an optimizer of one's own is code and cannot be read from a file"))
    }
}

impl Own {
    fn declared(&self) -> DeclaredOptimizer {
        let mut declared = DeclaredOptimizer::default();
        Method::declare(self, &mut declared);
        declared
    }
}

macro_rules! erased {
    ($($rule:ident: $number:ty),*) => {
        /// An update rule without generic methods: one for each number type.
        trait Erased: Debug + Send + Sync {
            fn declare(&self, declared: &mut DeclaredOptimizer);
            fn status(&self, condition: Condition) -> Status;
            $(fn $rule(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> $number) -> Box<dyn Rule<$number>>;)*
        }

        impl<M: Method + Debug + Send + Sync> Erased for M {
            fn declare(&self, declared: &mut DeclaredOptimizer) {
                Method::declare(self, declared);
            }
            fn status(&self, condition: Condition) -> Status {
                Method::status(self, condition)
            }
            $(fn $rule(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> $number) -> Box<dyn Rule<$number>> {
                self.rule(rows, width, number)
            })*
        }

        impl Method for Own {
            fn rule<F: Real>(&self, rows: usize, width: usize, number: &dyn Fn(f64) -> F) -> Box<dyn Rule<F>> {
                $(if TypeId::of::<F>() == TypeId::of::<$number>() {
                    let number = |x: f64| -> $number { same(number(x)) };
                    return same(self.method.$rule(rows, width, &number));
                })*
                unreachable!("an optimizer of one's own is built on the crate's number types only")
            }
            fn declare(&self, declared: &mut DeclaredOptimizer) {
                self.method.declare(declared);
            }
            fn status(&self, condition: Condition) -> Status {
                self.method.status(condition)
            }
        }
    };
}
erased!(
    rule_f64: f64,
    rule_f32: f32,
    rule_dual: Dual,
    rule_running_f64: Running<53>,
    rule_running_f32: Running<24>,
    rule_running_f16: Running<11>,
    rule_running_bf16: Running<8>
);

/// The value, of a type that only its name does not show to be the same.
fn same<A: 'static, B: 'static>(value: A) -> B {
    let any: Box<dyn Any> = Box::new(value);
    *any.downcast().expect("both types are the same")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optimizer::sgd::Sgd;

    #[test]
    fn an_optimizer_is_equal_to_itself_with_the_same_settings_alone() {
        let made = || Own::new(0.5, Sgd { lr: 0.5.into(), decay: None, rows: Rows::Dense });
        let one = made();
        assert_eq!(one, one.clone());
        assert_ne!(one, made());
        assert_ne!(one, Own { rows: Rows::Lazy, ..one.clone() });
        assert_ne!(one, Own { lr: 0.25.into(), ..one.clone() });
    }
}
