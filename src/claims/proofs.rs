//! Where each claim's proof stands: the table `proofs/claims.tsv`, which the proof gate checks.

use serde::Serialize;

/// One row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// The claim's slug.
    pub claim: &'static str,
    /// The theorem's qualified name, `-` where there is none.
    pub theorem: &'static str,
    /// `none`, `reals`, `flocq`, `analysis` (the axioms it may use), `empirical` or `open`.
    pub class: &'static str,
}

impl Proof {
    /// Whether a machine checked it.
    pub fn is_proved(self) -> bool {
        !matches!(self.class, "empirical" | "open")
    }
    /// The source file, relative to the project.
    pub fn file(self) -> Option<String> {
        let file = self.theorem.strip_prefix("Perpend.")?.split('.').next()?;
        Some(format!("proofs/theories/{file}.v"))
    }
}

const TABLE: &str = include_str!("../../proofs/claims.tsv");

/// Every row.
pub fn all() -> Vec<Proof> {
    let rows = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    rows.filter_map(|line| {
        let mut fields = line.split('\t');
        Some(Proof { claim: fields.next()?, theorem: fields.next()?, class: fields.next()? })
    })
    .collect()
}

/// The rows of one claim.
pub fn of(claim: &str) -> Vec<Proof> {
    all().into_iter().filter(|proof| proof.claim == claim).collect()
}

/// The claim's standing in a word: `proved` (how many theorems), `empirical` or `open`.
pub fn standing(claim: &str) -> String {
    let rows = of(claim);
    match rows.iter().filter(|proof| proof.is_proved()).count() {
        0 => rows.first().map_or("open", |proof| proof.class).into(),
        1 => "proved (1 theorem)".into(),
        n => format!("proved ({n} theorems)"),
    }
}

#[cfg(test)]
mod tests {
    use crate::claims::ALL;

    #[test]
    fn the_standing_of_a_claim_counts_its_theorems() {
        let proved = |claim: &str| super::of(claim).iter().filter(|proof| proof.is_proved()).count();
        for claim in ALL {
            let (standing, count) = (super::standing(claim.id()), proved(claim.id()));
            assert!(
                count > 0 && standing.starts_with(&format!("proved ({count} theorem")),
                "{}: {standing}",
                claim.id()
            );
        }
        assert_eq!(super::standing("a claim that nobody made"), "open");
    }

    #[test]
    fn every_claim_says_where_its_proof_stands() {
        for claim in ALL {
            assert!(!super::of(claim.id()).is_empty(), "proofs/claims.tsv has no row for {}", claim.id());
        }
        for proof in super::all() {
            let known = ["none", "reals", "flocq", "analysis", "empirical", "open"];
            assert!(known.contains(&proof.class), "{proof:?}");
            if proof.is_proved() {
                let file = proof.file().expect("a proved claim names a theorem");
                assert!(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(&file).exists(), "{file}");
            }
        }
    }
}
