//! The file formats, and how one is told from another.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;

/// How a file of interactions is laid out.
///
/// Without a stated format it is detected, after unpacking: a name decides first (`*.inter`, `u.data`, `ratings.dat`,
/// each with or without `.gz`), then the first line that is not blank:
///
/// 1. a field that ends in `:token`, `:token_seq`, `:float` or `:float_seq`: [`Format::Inter`];
/// 2. four numbers separated by `::`: [`Format::Dat`];
/// 3. four numbers separated by tabs: [`Format::UData`];
/// 4. a tab: [`Format::Tsv`];
/// 5. a comma: [`Format::Csv`];
/// 6. nothing but whole numbers, separated by spaces: [`Format::UserLists`].
///
/// Anything else is an error. In every format blank lines are skipped, fields are trimmed, lines end in LF or CRLF, and
/// a UTF-8 byte-order mark is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// MovieLens-100k `u.data`: `user item rating time`, tab-separated, no header, ids are whole numbers.
    UData,
    /// MovieLens-1M and -10M `ratings.dat`: `user::item::rating::time`, no header, ids are whole numbers.
    Dat,
    /// RecBole atomic file `.inter`: tab-separated, with a header `name:type` in any order. `user_id` and `item_id` are
    /// needed, `rating` and `timestamp` are read, other columns are ignored.
    Inter,
    /// Comma-separated `user,item[,rating[,time]]`; ids are any text. Fields may be quoted, but a quoted
    /// field ends on its line.
    ///
    /// The first line is a header if it names a user *and* an item column; the columns may then stand in any order and
    /// others are ignored. Case and punctuation do not matter (`userId`, `user_id`): a user column is `user`,
    /// `user_id` or `uid`; an item column is `item`, `item_id`, `iid`, `movie`, `movie_id`, `product` or `product_id`;
    /// then `rating` or `score`, and `time` or `timestamp`. Any other first line is data.
    Csv,
    /// As [`Format::Csv`], separated by tabs, without quoting.
    Tsv,
    /// LightGCN and NGCF: one line a user, `user item item …`, whole numbers separated by spaces. A user without items
    /// is normal.
    UserLists,
}

impl Format {
    /// Every format.
    pub const ALL: [Format; 6] =
        [Format::UData, Format::Dat, Format::Inter, Format::Csv, Format::Tsv, Format::UserLists];

    /// The name by which a format is asked for.
    pub fn name(self) -> &'static str {
        match self {
            Format::UData => "u.data",
            Format::Dat => "dat",
            Format::Inter => "inter",
            Format::Csv => "csv",
            Format::Tsv => "tsv",
            Format::UserLists => "user-lists",
        }
    }

    /// The format of a file with this name (without `.gz`) and this first line, if it shows.
    pub(super) fn detect(name: &str, line: &str) -> Option<Format> {
        if name.ends_with(".inter") {
            return Some(Format::Inter);
        }
        match name {
            "u.data" => return Some(Format::UData),
            "ratings.dat" => return Some(Format::Dat),
            _ => {}
        }
        let typed = |field: &str| {
            field
                .rsplit_once(':')
                .is_some_and(|(_, kind)| matches!(kind, "token" | "token_seq" | "float" | "float_seq"))
        };
        let numbers = |separator: &str| {
            line.split(separator).count() == 4 && line.split(separator).all(|field| field.trim().parse::<f64>().is_ok())
        };
        if line.split('\t').any(|field| typed(field.trim())) {
            Some(Format::Inter)
        } else if numbers("::") {
            Some(Format::Dat)
        } else if numbers("\t") {
            Some(Format::UData)
        } else if line.contains('\t') {
            Some(Format::Tsv)
        } else if line.contains(',') {
            Some(Format::Csv)
        } else if !line.is_empty() && line.bytes().all(|byte| byte.is_ascii_digit() || byte == b' ') {
            Some(Format::UserLists)
        } else {
            None
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = Error;

    /// # Errors
    /// A usage error that lists the names, for any other name.
    fn from_str(name: &str) -> Result<Self, Error> {
        Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
            let names = Format::ALL.map(Format::name).join(", ");
            Error::usage("format", format!("one of {names}"), format!("{name:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for format in Format::ALL {
            assert_eq!(format.to_string().parse(), Ok(format));
        }
        assert!("parquet".parse::<Format>().unwrap_err().is_usage());
    }

    #[test]
    fn content_tells_the_format() {
        for (line, format) in [
            ("item_id:token\tuser_id:token", Some(Format::Inter)),
            ("user_id:token", Some(Format::Inter)),
            ("1::1193::5::978300760", Some(Format::Dat)),
            ("196\t242\t3\t881250949", Some(Format::UData)),
            ("user\titem\trating\ttime", Some(Format::Tsv)),
            ("196\t242\t3", Some(Format::Tsv)),
            ("alice,book", Some(Format::Csv)),
            ("1,2,3.5,881250949", Some(Format::Csv)),
            ("0 7580 3730 ", Some(Format::UserLists)),
            ("0", Some(Format::UserLists)),
            ("", None),
            ("1;2;3", None),
            ("<html>", None),
            ("1::Toy Story (1995)::Comedy", None),
        ] {
            assert_eq!(Format::detect("train.txt", line), format, "{line:?}");
        }
    }

    #[test]
    fn a_telling_name_goes_before_content() {
        assert_eq!(Format::detect("ml.inter", "1\t2\t3\t4"), Some(Format::Inter));
        assert_eq!(Format::detect("u.data", "1,2"), Some(Format::UData));
        assert_eq!(Format::detect("ratings.dat", "1,2"), Some(Format::Dat));
        assert_eq!(Format::detect("ratings.csv", "1\t2"), Some(Format::Tsv));
    }
}
