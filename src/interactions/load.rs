//! From a path to train and test.

use std::path::{Path, PathBuf};

use super::read::Reader;
use super::source::Source;
use super::{Dataset, Format, Interaction, Interactions, Split};
use crate::error::{Error, Result};

/// How [`load`] reads and splits.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadOptions {
    /// The format of the file or files; detected from each where `None`.
    pub format: Option<Format>,
    /// A file with the test interactions; everything else that is read is train.
    pub test: Option<PathBuf>,
    /// How to split here. Where `None`: as given, by `test` or by a folder with train and test files; else
    /// [`Split::ByUser`] if every interaction has a time, and [`Split::Random`] if not, since the order of a file need
    /// not mean anything. A split that is asked for goes before one that a folder gives: its files are then joined
    /// first.
    pub split: Option<Split>,
    /// The fraction that a split made here holds out, in [0, 1).
    pub test_fraction: f64,
    /// Drop interactions rated below this. Users and items keep their ids, those left without interactions included.
    pub min_rating: Option<f32>,
    /// The seed of a random split.
    pub seed: u64,
}

impl Default for LoadOptions {
    /// Everything detected, a fifth held out, no rating dropped, seed 0.
    fn default() -> Self {
        LoadOptions { format: None, test: None, split: None, test_fraction: 0.2, min_rating: None, seed: 0 }
    }
}

/// Reads a file or folder (see [`read`](super::read)) and splits it into train and test, unless it comes split.
///
/// ```
/// use perpend::interactions::{LoadOptions, load};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// std::fs::write(folder.path().join("train.txt"), "0 10 11\n1 10\n2 12\n")?;
/// std::fs::write(folder.path().join("test.txt"), "0 12\n1 11\n2\n")?;
/// let dataset = load(folder.path(), &LoadOptions::default())?;
/// assert_eq!((dataset.train.len(), dataset.test.len()), (4, 2));
/// assert_eq!(dataset.summary().users_without_test, 1);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Those of [`read`](super::read) and [`Interactions::split`]; a usage error if a test file and a split are both asked
/// for; an input error if a smallest rating is asked for and an interaction has none, or if it leaves no train
/// interaction.
pub fn load(path: &Path, options: &LoadOptions) -> Result<Dataset> {
    if options.test.is_some() && options.split.is_some() {
        return Err(Error::usage("split", "a test file or a split to make", "both"));
    }
    let source = Source::locate(path)?;
    let test = options.test.as_deref().or(source.test.as_deref());
    let mut reader = Reader::default();
    let mut part = |path: &Path| -> Result<Vec<Interaction>> {
        rated_at_least(options.min_rating, reader.file(path, options.format)?, path)
    };
    let mut main = part(&source.main)?;
    let test = test.map(&mut part).transpose()?;
    let given = match (test, options.split) {
        (Some(test), None) => Some(test),
        (Some(test), Some(_)) => {
            main.extend(test);
            None
        }
        (None, _) => None,
    };
    if main.is_empty() {
        let expected = "an interaction that reaches the smallest rating asked for";
        return Err(Error::input(source.main.display(), expected, "none"));
    }
    let (users, items) = (reader.users.names, reader.items.names);
    match given {
        Some(test) => Ok(Dataset { users, items, train: main, test }),
        None => {
            let timed = main.iter().all(|pair| pair.time.is_some());
            let how = options.split.unwrap_or(if timed { Split::ByUser } else { Split::Random });
            Interactions { users, items, pairs: main }.split(how, options.test_fraction, options.seed)
        }
    }
}

fn rated_at_least(min: Option<f32>, mut pairs: Vec<Interaction>, path: &Path) -> Result<Vec<Interaction>> {
    let Some(min) = min else { return Ok(pairs) };
    let unrated = pairs.iter().filter(|pair| pair.rating.is_none()).count();
    if unrated > 0 {
        let expected = "a rating with every interaction, since a smallest rating is asked for";
        return Err(Error::input(path.display(), expected, format!("{unrated} of {} without", pairs.len())));
    }
    pairs.retain(|pair| pair.rating >= Some(min));
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A folder with these files.
    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    #[test]
    fn a_single_file_is_split_by_user_if_it_has_times_and_at_random_if_not() {
        let timed = "0\t1\t3\t50\n0\t2\t3\t10\n0\t3\t3\t20\n0\t4\t3\t30\n0\t5\t3\t40\n1\t5\t3\t60\n";
        let lists = "0 1 2 3 4 5 6 7 8 9\n";
        let folder = folder(&[("u.data", timed), ("lists.txt", lists)]);
        for (name, split) in [("u.data", Split::ByUser), ("lists.txt", Split::Random)] {
            let path = folder.path().join(name);
            let data = load(&path, &LoadOptions::default()).unwrap();
            assert_eq!(data, load(&path, &LoadOptions { split: Some(split), ..LoadOptions::default() }).unwrap());
            for other in [Split::ByUser, Split::Random].into_iter().filter(|&other| other != split) {
                assert_ne!(data, load(&path, &LoadOptions { split: Some(other), ..LoadOptions::default() }).unwrap());
            }
        }
    }

    #[test]
    fn a_test_file_shares_the_vocabulary_and_keeps_its_order() {
        let folder = folder(&[("a.csv", "u,1\nv,2\n"), ("b.tsv", "v\t1\nw\t3\n")]);
        let options = LoadOptions { test: Some(folder.path().join("b.tsv")), ..LoadOptions::default() };
        let data = load(&folder.path().join("a.csv"), &options).unwrap();
        assert_eq!((data.users.concat(), data.items.concat()), ("uvw".into(), "123".into()));
        assert_eq!(data.test.iter().map(|pair| (pair.user, pair.item)).collect::<Vec<_>>(), [(1, 0), (2, 2)]);
        let summary = data.summary();
        assert_eq!((summary.users_without_train, summary.users_without_test), (1, 1));
    }

    #[test]
    fn a_test_file_goes_before_the_one_in_the_folder() {
        let folder = folder(&[("train.txt", "0 1\n"), ("test.txt", "0 2\n"), ("other.txt", "0 3\n")]);
        let options = LoadOptions { test: Some(folder.path().join("other.txt")), ..LoadOptions::default() };
        assert_eq!(load(folder.path(), &options).unwrap().items, ["1", "3"]);
    }

    #[test]
    fn a_split_that_is_asked_for_joins_the_parts_of_a_folder() {
        let folder = folder(&[("train.txt", "0 1 2 3\n"), ("test.txt", "0 4\n")]);
        let options = LoadOptions { split: Some(Split::ByUser), test_fraction: 0.5, ..LoadOptions::default() };
        let data = load(folder.path(), &options).unwrap();
        assert_eq!((data.train.len(), data.test.len()), (2, 2));
    }

    #[test]
    fn a_test_file_and_a_split_exclude_each_other() {
        let options = LoadOptions { test: Some("t".into()), split: Some(Split::Random), ..LoadOptions::default() };
        assert!(load(Path::new("anything"), &options).unwrap_err().is_usage());
    }

    #[test]
    fn low_ratings_are_dropped_and_their_users_and_items_stay() {
        let folder = folder(&[("a.csv", "u,1,5\nu,2,3.5\nv,3,2\n")]);
        let path = folder.path().join("a.csv");
        let options = |min| LoadOptions { min_rating: Some(min), test_fraction: 0.0, ..LoadOptions::default() };
        let data = load(&path, &options(3.5)).unwrap();
        assert_eq!((data.train.len(), data.user_count(), data.item_count()), (2, 2, 3));
        assert_eq!(data.summary().users_without_train, 1);
        for min in [5.5, f32::NAN] {
            let error = load(&path, &options(min)).unwrap_err();
            assert!(error.is_input());
            assert!(error.to_string().contains("expected an interaction that reaches"), "{error}");
        }
    }

    #[test]
    fn a_smallest_rating_needs_ratings() {
        let folder = folder(&[("a.csv", "u,1,5\nu,2,\n")]);
        let options = LoadOptions { min_rating: Some(3.0), ..LoadOptions::default() };
        let error = load(&folder.path().join("a.csv"), &options).unwrap_err();
        assert!(error.is_input());
        assert!(error.to_string().ends_with("found 1 of 2 without"), "{error}");
    }

    /// Written past the test runner's capture: a skipped test must not look like a passed one.
    fn skipped(why: &str) {
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: {why}");
    }

    /// The folder of `PERPEND_DATA`; says that the test is skipped where there is none.
    fn outside_data(name: &str) -> Option<PathBuf> {
        let Some(root) = std::env::var_os("PERPEND_DATA") else {
            skipped("PERPEND_DATA is not set");
            return None;
        };
        let folder = Path::new(&root).join(name);
        if !folder.is_dir() {
            skipped(&format!("PERPEND_DATA has no folder {name}"));
            return None;
        }
        Some(folder)
    }

    #[test]
    fn movielens_100k_has_its_published_counts() {
        let Some(folder) = outside_data("ml-100k") else { return };
        let data = load(&folder, &LoadOptions::default()).unwrap();
        assert_eq!(load(&folder.join("ml-100k.inter.gz"), &LoadOptions::default()).unwrap(), data);
        let summary = data.summary();
        assert_eq!((summary.users, summary.items, summary.train + summary.test), (943, 1682, 100_000));
        assert_eq!((summary.repeats, summary.overlap), (0, 0));
        assert!((summary.density - 0.06305).abs() < 5e-6);
        let all = load(&folder, &LoadOptions { test_fraction: 0.0, ..LoadOptions::default() }).unwrap();
        assert!((all.summary().gini - 0.6290).abs() < 5e-5);
        for split in Split::ALL {
            let options = LoadOptions { split: Some(split), ..LoadOptions::default() };
            let test = load(&folder, &options).unwrap().test.len();
            assert!(test.abs_diff(20_000) < 100, "{split}: {test}");
        }
    }

    #[test]
    fn gowalla_has_its_published_counts() {
        let Some(folder) = outside_data("gowalla") else { return };
        let summary = load(&folder, &LoadOptions::default()).unwrap().summary();
        assert_eq!((summary.users, summary.items, summary.train, summary.test), (29_858, 40_981, 810_128, 217_242));
        assert_eq!((summary.repeats, summary.users_without_train, summary.users_without_test), (0, 0, 0));
        assert!((summary.gini - 0.4410).abs() < 5e-5);
    }
}
