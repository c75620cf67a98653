//! User-item interactions: reading the files people have, splitting them into train and test, and built-in data.
//!
//! [`read`] turns one file (or a folder) into [`Interactions`]; [`Interactions::split`] turns those into a [`Dataset`];
//! [`load`] does both, and takes a train/test split that is given. [`generate`] makes a [`Dataset`] without any file.
//!
//! Users and items keep the names they have in the file and get dense ids in the order of first appearance, train
//! before test. So an id says nothing by itself, `users[id]` is the name to join other data by, and an item that no
//! interaction mentions does not exist, whatever the largest number in the file.
//!
//! A (user, item) pair that occurs several times is kept as often as it occurs, since to a trainer each occurrence is
//! one more example; [`Summary`] counts them.

mod format;
mod generate;
mod load;
mod read;
mod source;
mod split;
mod summary;

pub use format::Format;
pub use generate::{GenerateOptions, generate};
pub use load::{LoadOptions, load};
pub use read::read;
pub use split::Split;
pub use summary::Summary;

/// One user meeting one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interaction {
    /// Index into the users' names.
    pub user: u32,
    /// Index into the items' names.
    pub item: u32,
    /// The rating, finite, on whatever scale the file has; `None` for implicit feedback.
    pub rating: Option<f32>,
    /// When it happened, in the file's unit (seconds since 1970 in all MovieLens files).
    pub time: Option<i64>,
}

/// Interactions as read, in the order of the file, not yet split.
///
/// Every `user` is below `users.len()` and every `item` below `items.len()`. A user may have no interaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Interactions {
    /// The users' names; the index is the id.
    pub users: Vec<String>,
    /// The items' names; the index is the id.
    pub items: Vec<String>,
    /// The interactions, in the order of the file.
    pub pairs: Vec<Interaction>,
}

impl Interactions {
    /// How many users there are, those without interactions included.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many items there are.
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// How often each item occurs: `[items]`.
    pub fn popularity(&self) -> Vec<u64> {
        popularity(self.items.len(), &self.pairs)
    }
}

/// Train and test interactions over one vocabulary.
///
/// Every `user` is below `users.len()` and every `item` below `items.len()`, in both parts. Users and items may have no
/// train or no test interactions; [`Dataset::summary`] says how many.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Dataset {
    /// The users' names; the index is the id.
    pub users: Vec<String>,
    /// The items' names; the index is the id.
    pub items: Vec<String>,
    /// What a model is trained on.
    pub train: Vec<Interaction>,
    /// What it is evaluated on.
    pub test: Vec<Interaction>,
}

impl Dataset {
    /// How many users there are.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// How many items there are.
    pub fn item_count(&self) -> usize {
        self.items.len()
    }

    /// How often each item occurs in train: `[items]`. This is the popularity that a model can have learned.
    pub fn popularity(&self) -> Vec<u64> {
        popularity(self.items.len(), &self.train)
    }

    /// Counts, density and concentration.
    pub fn summary(&self) -> Summary {
        Summary::of(self)
    }
}

fn popularity(items: usize, pairs: &[Interaction]) -> Vec<u64> {
    let mut counts = vec![0; items];
    for pair in pairs {
        counts[pair.item as usize] += 1;
    }
    counts
}
