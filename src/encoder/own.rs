//! An encoder of your own in a [`Scenario`](crate::scenario::Scenario): any [`Architecture`], behind a pointer.
//!
//! It can be trained and checked like the others. A file can name it and not bring it back: it is code.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize};

use super::{Architecture, Block, Chain, Constant, Constants, Encoder, Place, Size};
use crate::error::Result;
use crate::number::{Dual, Forward, Real, Running};
use crate::verdict::Status;

/// An encoder that is not one of the crate's.
#[derive(Debug, Clone)]
pub struct Own(Arc<dyn Erased>);

impl Own {
    /// Wraps an encoder.
    pub fn new(architecture: impl Architecture + Debug + Send + Sync + 'static) -> Self {
        Own(Arc::new(architecture))
    }
}

/// The same object, not an equal one.
impl PartialEq for Own {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Serialize for Own {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        std::collections::BTreeMap::from([("name", self.0.name())]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Own {
    fn deserialize<D: Deserializer<'de>>(_: D) -> std::result::Result<Self, D::Error> {
        Err(serde::de::Error::custom("an encoder of one's own is code and cannot be read from a file"))
    }
}

/// Declares the trait without generic methods, implements it for every architecture, and sends [`Own`] through it.
macro_rules! erased {
    (plain { $($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),*) -> $output:ty;)* } built { $($build:ident: $number:ty),* }) => {
        /// An architecture without generic methods: one for each number type.
        trait Erased: Debug + Send + Sync {
            $(fn $name(&self, $($argument: $type),*) -> $output;)*
            $(fn $build(&self, place: Place, constants: Constants<$number>) -> Box<dyn Encoder<$number>>;)*
        }

        impl<A: Architecture + Debug + Send + Sync> Erased for A {
            $(fn $name(&self, $($argument: $type),*) -> $output { Architecture::$name(self, $($argument),*) })*
            $(fn $build(&self, place: Place, constants: Constants<$number>) -> Box<dyn Encoder<$number>> {
                self.build(place, constants)
            })*
        }

        impl Architecture for Own {
            $(fn $name(&self, $($argument: $type),*) -> $output { self.0.$name($($argument),*) })*
            fn build<F: Real>(&self, place: Place, constants: Constants<F>) -> Box<dyn Encoder<F>> {
                let any: Box<dyn Any> = Box::new(constants);
                $(let any = match any.downcast::<Constants<$number>>() {
                    Ok(constants) => {
                        let encoder: Box<dyn Any> = Box::new(self.0.$build(place, *constants));
                        return *encoder.downcast().expect("both are the number type of the constants");
                    }
                    Err(other) => other,
                };)*
                drop(any);
                unreachable!("an encoder of one's own is built on the crate's number types only")
            }
        }
    };
}
erased!(
    plain {
        fn blocks(rows: usize, dim: usize) -> Vec<Block>;
        fn constants(size: Size) -> Vec<Constant>;
        fn shared_constants(dim: usize) -> usize;
        fn reads_other() -> bool;
        fn validate(at: &str) -> Result<()>;
        fn isotropic_jacobian() -> Status;
        fn private_parameters() -> Status;
        fn roundings(dim: usize) -> Option<usize>;
        fn chain() -> Option<Chain>;
        fn name() -> &'static str;
    }
    built {
        build_f64: f64,
        build_f32: f32,
        build_dual: Dual,
        build_forward: Forward<Running<53>>,
        build_running_f64: Running<53>,
        build_running_f32: Running<24>,
        build_running_f16: Running<11>,
        build_running_bf16: Running<8>
    }
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoder::table::TableEncoder;

    #[test]
    fn an_encoder_is_equal_to_itself_alone() {
        let made = || Own::new(TableEncoder {});
        let one = made();
        assert_eq!(one, one.clone());
        assert_ne!(one, made());
    }
}
