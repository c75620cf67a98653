//! The format that parameters are kept in: the narrowest that holds every number, where it is narrower than the file's.

use crate::diagnosis::{About, Case, Cause, Found, advice};
use crate::rounding::Precision;

pub(super) struct StoragePrecision;

const ABOUT: About = About {
    name: "storage-precision",
    meaning: "steps below half a unit in the last place are lost, and below √(2u) of the norm growth is a coin flip",
    advice: Some(&advice::WIDER_STORAGE),
    accuses: false,
};

impl Cause for StoragePrecision {
    fn about(&self) -> &'static About {
        &ABOUT
    }
    fn examine(&self, case: &Case<'_>) -> Option<Found> {
        let (stored, file) = (case.survey.stored, case.tower.precision());
        (stored < file || stored < Precision::F32).then(|| {
            let bits = f64::from(stored.bits());
            Found::estimated(
                format!("Embeddings are kept in {stored}"),
                bits,
                (bits, bits),
                format!("no coordinate before or after any step needs more than {bits} significant bits, in a file of {file}"),
            )
        })
    }
}
