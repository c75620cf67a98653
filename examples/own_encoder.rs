//! An encoder of your own through the theorem suite. `cargo run --release --example own_encoder` shows what each claim says of
//! it; in a crate of your own, [`perpend::suite!`] makes one `#[test]` a claim of the same subject (see the end of this file).

use perpend::claims::ALL;
use perpend::claims::check::{Options, Status as Checked};
use perpend::encoder::{Architecture, Block, Constant, Constants, Encoder, Gradient, Place, Size};
use perpend::geometry::{Table, dot};
use perpend::number::Real;
use perpend::suite::{Outcome, Subject, check};
use perpend::verdict::Status;

/// q_i = H·e_i with a private row e_i and H = I − 2·h·hᵀ/‖h‖², the reflection in the plane across h = (1, …, 1): an isometry, so
/// that JJᵀ = I and every theorem about tables holds for it.
#[derive(Debug)]
struct Reflected;

impl Architecture for Reflected {
    fn blocks(&self, rows: usize, dim: usize) -> Vec<Block> {
        vec![Block::private("row", rows, dim)]
    }
    fn constants(&self, _size: Size) -> Vec<Constant> {
        Vec::new()
    }
    fn isotropic_jacobian(&self) -> Status {
        Status::Met("a reflection: JJᵀ = I".into())
    }
    fn private_parameters(&self) -> Status {
        Status::Met("one row a row".into())
    }
    fn name(&self) -> &'static str {
        "reflected"
    }
    fn build<F: Real>(&self, place: Place, _constants: Constants<F>) -> Box<dyn Encoder<F>> {
        Box::new(Mirror { table: place.own })
    }
}

struct Mirror {
    table: usize,
}

/// x − 2·h·⟨h, x⟩/d for h = (1, …, 1).
fn reflect<F: Real>(x: &[F]) -> Vec<F> {
    let ones = vec![F::one(); x.len()];
    let twice_mean = dot(&ones, x) * F::ratio(2, x.len() as i64);
    x.iter().map(|x| x.clone() - twice_mean.clone()).collect()
}

impl<F: Real> Encoder<F> for Mirror {
    fn encode(&self, tables: &[Table<F>], row: usize) -> Vec<F> {
        reflect(tables[self.table].row(row))
    }
    fn backward(&self, _tables: &[Table<F>], row: usize, upstream: &[F], gradients: &mut [Gradient<F>]) {
        // H is symmetric.
        let g = reflect(upstream);
        gradients[self.table].accumulate(row).iter_mut().zip(g).for_each(|(sum, g)| *sum = sum.clone() + g);
    }
}

fn main() -> perpend::Result<()> {
    let subject = Subject::encoder(Reflected);
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
    perpend::suite!(perpend::suite::Subject::encoder(crate::Reflected));
}
