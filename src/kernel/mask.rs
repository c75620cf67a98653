//! Candidates that do not count: known positives of a user among the negatives.

/// For each pair of a batch the places of the candidates that do not count, in ascending order.
///
/// A place is a column where all pairs have the same candidates (in-batch, shared, all items), and the number of the negative
/// where each pair has its own. The target of a pair is never masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    starts: Vec<usize>,
    places: Vec<u32>,
}

impl Mask {
    /// From the masked places of each pair, in any order.
    pub fn new(places: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let mut mask = Mask { starts: vec![0], places: Vec::new() };
        for mut row in places {
            row.sort_unstable();
            row.dedup();
            mask.places.extend(row);
            mask.starts.push(mask.places.len());
        }
        mask
    }

    /// In-batch negatives: masks the other pairs' positives that `known(user, item)` says to be positives of this user, the
    /// pair's own item included.
    pub fn in_batch(users: &[u32], positives: &[u32], known: impl Fn(u32, u32) -> bool) -> Self {
        Mask::new(users.iter().enumerate().map(|(pair, &user)| {
            let others = (0..positives.len()).filter(|&place| place != pair);
            others.filter(|&place| known(user, positives[place])).map(|place| place as u32).collect()
        }))
    }

    /// Number of pairs.
    pub fn pairs(&self) -> usize {
        self.starts.len() - 1
    }

    /// The masked places of a pair.
    pub fn places(&self, pair: usize) -> &[u32] {
        &self.places[self.starts[pair]..self.starts[pair + 1]]
    }
}
