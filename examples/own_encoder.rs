//! An encoder of your own through the theorem suite. `cargo run --release --example own_encoder` shows what each claim says of
//! it; in a crate of your own, [`perpend::suite!`] makes one `#[test]` a claim of the same subject (see the end of this file).

use perpend::claims::ALL;
use perpend::claims::check::{Options, Status as Checked};
use perpend::encoder::{Architecture, Block, Constants, Encoder, Gradient, Place};
use perpend::geometry::{Table, add_scaled};
use perpend::number::Real;
use perpend::suite::{Outcome, Subject, check};
use perpend::verdict::Status;

/// q_i = a_i + b_i, two private rows, such as one for an item's identity and one for its latest revision: J = [I I], so that
/// JJᵀ = 2·I and a step moves the embedding twice as far as a table's, along its gradient.
#[derive(Debug)]
struct SumOfTwo;

impl Architecture for SumOfTwo {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::private("identity", rows, dim), Block::private("revision", rows, dim)]
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("a sum of two rows: JJᵀ = 2I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("two rows a row".into())
    }
    fn roundings(&self, _dim: usize) -> Option<usize> {
        // One addition a coordinate.
        Some(1)
    }
    fn name(&self) -> &'static str {
        "sum-of-two"
    }
    fn build<F: Real>(&self, place: Place, _constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Sum { identity: place.own, revision: place.own + 1 })
    }
}

struct Sum {
    identity: usize,
    revision: usize,
}

impl<F: Real> Encoder<F> for Sum {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        let (a, b) = (tables[self.identity].row(row), tables[self.revision].row(row));
        a.iter().zip(b).map(|(a, b)| a.clone() + b.clone()).collect()
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        for table in [self.identity, self.revision] {
            add_scaled(gradients[table].accumulate(row), F::one(), upstream);
        }
    }
}

fn main() -> perpend::Result<()> {
    let subject = Subject::encoder(SumOfTwo);
    let mut failed = false;
    for claim in ALL {
        match check(&subject, *claim, &Options { cases: 300, ..Options::default() })? {
            Outcome::Outside(why) => println!("outside  {:26} {why}", claim.id()),
            Outcome::Checked(report) => {
                println!(
                    "{:8} {:26} {} cases",
                    format!("{:?}", report.status).to_lowercase(),
                    claim.id(),
                    report.cases
                );
                failed |= report.status == Checked::Failed;
            }
        }
    }
    assert!(!failed, "a claim does not hold for this encoder");
    Ok(())
}

// In the tests of a crate of your own:
#[cfg(test)]
mod theory {
    perpend::suite!(perpend::suite::Subject::encoder(crate::SumOfTwo));
}
