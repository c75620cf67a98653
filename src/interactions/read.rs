//! Rows to interactions.

use std::collections::HashMap;
use std::path::Path;

use super::source::{Place, Source, Text, quoted};
use super::{Format, Interaction, Interactions};
use crate::error::{Error, Result};

/// Reads every interaction of a file, or of a folder.
///
/// The file is plain or gzip, told by its first bytes. Without a `format` it is detected as [`Format`] says. A folder
/// stands for its `train` and `test` files (`.txt`, `.csv` or `.tsv`), read one after the other; or for the only file
/// among `*.inter`, `u.data` and `ratings` (`.dat`, `.csv`, `.tsv` or `.txt`), each of them plain or `.gz`.
///
/// A rating is a finite number. A time is a number; fractions are dropped. In formats with columns either may be empty,
/// which means absent. Ids are kept as names, so of a CSV any text will do; where the format has numbers for ids they
/// must fit in 32 bits.
///
/// ```
/// use perpend::interactions;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let folder = tempfile::tempdir()?;
/// let file = folder.path().join("ratings.csv");
/// std::fs::write(&file, "user,item,rating\nann,tea,5\nbob,tea,4\nann,rye,1\n")?;
/// let interactions = interactions::read(&file, None)?;
/// assert_eq!(interactions.users, ["ann", "bob"]);
/// assert_eq!(interactions.items, ["tea", "rye"]);
/// assert_eq!(interactions.popularity(), [2, 1]);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// An input error with file, line, what was expected and what was found: for a missing or empty file, text that is not
/// UTF-8, a row that does not parse, a `.inter` file whose header lacks `user_id` or `item_id`, a gzip stream that ends
/// early, a file without any interaction, a folder with nothing to read or with several files to choose from.
pub fn read(path: &Path, format: Option<Format>) -> Result<Interactions> {
    let source = Source::locate(path)?;
    let mut reader = Reader::default();
    let mut pairs = reader.file(&source.main, format)?;
    if let Some(test) = source.test {
        pairs.extend(reader.file(&test, format)?);
    }
    Ok(Interactions { users: reader.users.names, items: reader.items.names, pairs })
}

/// Reads files into one vocabulary.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) users: Vocabulary,
    pub(super) items: Vocabulary,
}

impl Reader {
    pub(super) fn file(&mut self, path: &Path, format: Option<Format>) -> Result<Vec<Interaction>> {
        self.text(Text::open(path)?, format)
    }

    fn text(&mut self, text: Text, format: Option<Format>) -> Result<Vec<Interaction>> {
        let format = format.map_or_else(|| text.detect(), Ok)?;
        let path = text.path.clone();
        let mut pairs = Vec::new();
        match format {
            Format::UserLists => text.lines(|place, line| self.user_list(place, line, &mut pairs))?,
            Format::UData | Format::Dat => {
                let separator = if format == Format::Dat { "::" } else { "\t" };
                text.records(separator, false, |place, fields| {
                    pairs.push(self.row(place, fields, &Columns::first(4), Ids::Numbers)?);
                    Ok(())
                })?;
            }
            Format::Inter => self.table(text, "\t", false, Columns::of_inter_header, &mut pairs)?,
            Format::Csv => self.table(text, ",", true, Columns::of_first_row, &mut pairs)?,
            Format::Tsv => self.table(text, "\t", false, Columns::of_first_row, &mut pairs)?,
        }
        if pairs.is_empty() {
            return Err(Error::input(path.display(), "at least one interaction", "none"));
        }
        Ok(pairs)
    }

    /// Rows whose columns the first row decides.
    fn table(
        &mut self,
        text: Text,
        separator: &str,
        quoting: bool,
        first_row: impl Fn(Place<'_>, &[&str]) -> Result<FirstRow>,
        pairs: &mut Vec<Interaction>,
    ) -> Result<()> {
        let mut columns = None;
        text.records(separator, quoting, |place, fields| {
            let columns = match &columns {
                Some(columns) => columns,
                None => match first_row(place, fields)? {
                    FirstRow::Header(named) => {
                        columns = Some(named);
                        return Ok(());
                    }
                    FirstRow::Data(positional) => columns.insert(positional),
                },
            };
            pairs.push(self.row(place, fields, columns, Ids::Names)?);
            Ok(())
        })
    }

    fn row(&mut self, place: Place<'_>, fields: &[&str], columns: &Columns, ids: Ids) -> Result<Interaction> {
        if fields.len() != columns.count {
            return Err(Error::input(place, format!("{} columns", columns.count), fields.len()));
        }
        let optional = |column: Option<usize>| column.map(|column| fields[column]).filter(|field| !field.is_empty());
        Ok(Interaction {
            rating: optional(columns.rating).map(|field| rating(place, field)).transpose()?,
            time: optional(columns.time).map(|field| time(place, field)).transpose()?,
            user: self.users.id(place, ids.name(place, fields[columns.user], "user")?)?,
            item: self.items.id(place, ids.name(place, fields[columns.item], "item")?)?,
        })
    }

    fn user_list(&mut self, place: Place<'_>, line: &str, pairs: &mut Vec<Interaction>) -> Result<()> {
        let mut fields = line.split_ascii_whitespace();
        let user = self.users.id(place, Ids::Numbers.name(place, fields.next().unwrap_or(""), "user")?)?;
        for field in fields {
            let item = self.items.id(place, Ids::Numbers.name(place, field, "item")?)?;
            pairs.push(Interaction { user, item, rating: None, time: None });
        }
        Ok(())
    }
}

/// Names and their dense ids.
#[derive(Default)]
pub(super) struct Vocabulary {
    pub(super) names: Vec<String>,
    ids: HashMap<String, u32>,
}

impl Vocabulary {
    fn id(&mut self, place: Place<'_>, name: &str) -> Result<u32> {
        if let Some(&id) = self.ids.get(name) {
            return Ok(id);
        }
        let id = u32::try_from(self.names.len())
            .map_err(|_| Error::input(place, "at most 4294967296 different users or items", "one more"))?;
        self.names.push(name.to_owned());
        self.ids.insert(name.to_owned(), id);
        Ok(id)
    }
}

/// What ids look like in a format.
#[derive(Clone, Copy)]
enum Ids {
    /// Any text that is not empty.
    Names,
    /// Whole numbers that fit in 32 bits.
    Numbers,
}

impl Ids {
    fn name<'a>(self, place: Place<'_>, field: &'a str, whose: &str) -> Result<&'a str> {
        match self {
            Ids::Names if field.is_empty() => {
                Err(Error::input(place, format!("a name of the {whose}"), "an empty field"))
            }
            Ids::Names => Ok(field),
            // `parse` allows a sign, which would give one number two names; so would leading zeros.
            Ids::Numbers if field.starts_with('+') || field.parse::<u32>().is_err() => Err(Error::input(
                place,
                format!("a whole number from 0 to {} for the {whose}", u32::MAX),
                quoted(field),
            )),
            Ids::Numbers => Ok(match field.trim_start_matches('0') {
                "" => "0",
                digits => digits,
            }),
        }
    }
}

/// Where the values of a row stand, and how many fields a row has.
#[derive(Debug, PartialEq)]
struct Columns {
    user: usize,
    item: usize,
    rating: Option<usize>,
    time: Option<usize>,
    count: usize,
}

/// What the first row of a table turned out to be.
enum FirstRow {
    Header(Columns),
    Data(Columns),
}

impl Columns {
    /// `user item [rating [time]]`.
    fn first(count: usize) -> Columns {
        Columns { user: 0, item: 1, rating: (count > 2).then_some(2), time: (count > 3).then_some(3), count }
    }

    /// By the names of a header, if a user and an item are among them.
    fn named(names: &[&str]) -> Option<Columns> {
        let names: Vec<String> = names
            .iter()
            .map(|name| name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect())
            .collect();
        let find = |wanted: &[&str]| names.iter().position(|name| wanted.contains(&name.as_str()));
        Some(Columns {
            user: find(&["user", "userid", "uid"])?,
            item: find(&["item", "itemid", "iid", "movie", "movieid", "product", "productid"])?,
            rating: find(&["rating", "score"]),
            time: find(&["time", "timestamp"]),
            count: names.len(),
        })
    }

    fn of_inter_header(place: Place<'_>, fields: &[&str]) -> Result<FirstRow> {
        let names: Vec<&str> = fields.iter().map(|field| field.split(':').next().unwrap_or("")).collect();
        let find = |wanted: &str| names.iter().position(|&name| name == wanted);
        let (Some(user), Some(item)) = (find("user_id"), find("item_id")) else {
            let found = quoted(&fields.join("\t"));
            return Err(Error::input(place, "a header with user_id:token and item_id:token", found));
        };
        let count = names.len();
        Ok(FirstRow::Header(Columns { user, item, rating: find("rating"), time: find("timestamp"), count }))
    }

    fn of_first_row(place: Place<'_>, fields: &[&str]) -> Result<FirstRow> {
        if let Some(columns) = Columns::named(fields) {
            return Ok(FirstRow::Header(columns));
        }
        let header_or = |data: &str| format!("a header that names a user and an item column, or {data}");
        match fields.len() {
            2 => {}
            3 | 4 if fields[2].is_empty() || fields[2].parse::<f32>().is_ok() => {}
            3 | 4 => return Err(Error::input(place, header_or("a rating in the third column"), quoted(fields[2]))),
            count => return Err(Error::input(place, header_or("2 to 4 columns"), format!("{count} columns"))),
        }
        Ok(FirstRow::Data(Columns::first(fields.len())))
    }
}

fn rating(place: Place<'_>, field: &str) -> Result<f32> {
    match field.parse::<f32>() {
        Ok(rating) if rating.is_finite() => Ok(rating),
        _ => Err(Error::input(place, "a finite number for the rating", quoted(field))),
    }
}

fn time(place: Place<'_>, field: &str) -> Result<i64> {
    // 2^63, the first whole number beyond an i64; exact as an f64.
    const BEYOND: f64 = -(i64::MIN as f64);
    if let Ok(time) = field.parse::<i64>() {
        return Ok(time);
    }
    match field.parse::<f64>() {
        Ok(time) if (-BEYOND..BEYOND).contains(&time) => Ok(time.floor() as i64),
        _ => Err(Error::input(place, "a number for the time", quoted(field))),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write};

    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn parse_as(name: &str, format: Option<Format>, bytes: impl AsRef<[u8]>) -> Result<Interactions> {
        let text = Text::new(Path::new(name), Cursor::new(bytes.as_ref().to_vec()))?;
        let mut reader = Reader::default();
        let pairs = reader.text(text, format)?;
        Ok(Interactions { users: reader.users.names, items: reader.items.names, pairs })
    }

    fn parse(bytes: impl AsRef<[u8]>) -> Result<Interactions> {
        parse_as("file", None, bytes)
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn pair(user: u32, item: u32, rating: Option<f32>, time: Option<i64>) -> Interaction {
        Interaction { user, item, rating, time }
    }

    /// The message of an input error.
    #[track_caller]
    fn refused(result: Result<Interactions>) -> String {
        let error = result.unwrap_err();
        assert!(error.is_input(), "{error}");
        error.to_string()
    }

    #[test]
    fn movielens_u_data_is_read() {
        let read = parse("196\t242\t3\t881250949\n186\t302\t3\t891717742\n196\t302\t1\t881250950\n").unwrap();
        assert_eq!(read.users, ["196", "186"]);
        assert_eq!(read.items, ["242", "302"]);
        assert_eq!(read.pairs[0], pair(0, 0, Some(3.0), Some(881250949)));
        assert_eq!(read.pairs[2], pair(0, 1, Some(1.0), Some(881250950)));
        assert_eq!((read.user_count(), read.item_count()), (2, 2));
        assert_eq!(read.popularity(), [1, 2]);
    }

    #[test]
    fn movielens_ratings_dat_is_read() {
        let read = parse("1::1193::5::978300760\n1::661::3.5::978302109\n").unwrap();
        assert_eq!(read.items, ["1193", "661"]);
        assert_eq!(read.pairs[1], pair(0, 1, Some(3.5), Some(978302109)));
    }

    #[test]
    fn inter_columns_stand_in_any_order_and_others_are_ignored() {
        let read = parse(
            "timestamp:float\titem_id:token\tcontext:token_seq\tuser_id:token\trating:float\n\
             9.5\ti\ta \"b\tu\t2\n\tj\t\tu\t\n",
        )
        .unwrap();
        assert_eq!(read.users, ["u"]);
        assert_eq!(read.items, ["i", "j"]);
        assert_eq!(read.pairs, [pair(0, 0, Some(2.0), Some(9)), pair(0, 1, None, None)]);
    }

    #[test]
    fn an_inter_header_without_user_or_item_is_refused() {
        assert_eq!(
            refused(parse("user_id:token\trating:float\n1\t2\n")),
            "file:1: expected a header with user_id:token and item_id:token, found \"user_id:token\\trating:float\""
        );
        assert!(refused(parse_as("ml.inter", None, "1\t2\t3\t4\n")).contains("ml.inter:1: expected a header"));
    }

    #[test]
    fn csv_is_read_with_and_without_header() {
        for text in ["ann,tea\n", "user,item\nann,tea\n", "Item_ID,note,userId\ntea,\"x, y\",ann\n"] {
            let read = parse(text).unwrap();
            assert_eq!((&*read.users[0], &*read.items[0]), ("ann", "tea"), "{text:?}");
            assert_eq!(read.pairs, [pair(0, 0, None, None)], "{text:?}");
        }
        let read = parse("userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n").unwrap();
        assert_eq!(read.pairs, [pair(0, 0, Some(2.5), Some(1260759144))]);
        let read = parse("1,31,2.5\n1,32,\n").unwrap();
        assert_eq!(read.pairs, [pair(0, 0, Some(2.5), None), pair(0, 1, None, None)]);
        let read = parse("1,31,,7\n").unwrap();
        assert_eq!(read.pairs, [pair(0, 0, None, Some(7))]);
    }

    #[test]
    fn a_first_line_that_names_no_user_and_item_is_data() {
        assert_eq!(parse("user1,item1\nuser2,item1\n").unwrap().pairs.len(), 2);
        assert!(refused(parse("customer,sku,stars\n1,2,3\n")).contains("file:1: expected a header that names a user"));
    }

    #[test]
    fn tsv_is_read_with_and_without_header() {
        for text in ["ann\ttea \t5\n", "user\titem\trating\nann\ttea\t5\n"] {
            assert_eq!(parse(text).unwrap().pairs, [pair(0, 0, Some(5.0), None)], "{text:?}");
        }
    }

    #[test]
    fn user_lists_are_read_and_a_user_may_have_no_items() {
        let read = parse("0 10 11 \n7\n1 11\n").unwrap();
        assert_eq!(read.users, ["0", "7", "1"]);
        assert_eq!(read.items, ["10", "11"]);
        assert_eq!(read.pairs, [pair(0, 0, None, None), pair(0, 1, None, None), pair(2, 1, None, None)]);
    }

    #[test]
    fn a_number_has_one_name_however_it_is_written() {
        let read = parse("0 1 01\n00 001\n").unwrap();
        assert_eq!(read.users, ["0"]);
        assert_eq!(read.items, ["1"]);
        assert_eq!(read.pairs.len(), 3);
    }

    #[test]
    fn a_stated_format_replaces_the_detected_one() {
        let read = parse_as("file", Some(Format::Tsv), "1\t2\t3\t4\n").unwrap();
        assert_eq!(read.pairs, [pair(0, 0, Some(3.0), Some(4))]);
        assert!(
            refused(parse_as("file", Some(Format::UserLists), "1,2\n")).contains("file:1: expected a whole number")
        );
    }

    #[test]
    fn line_ends_blank_lines_and_byte_order_marks_do_not_matter() {
        for rows in [
            ["1\t2\t3\t4", "1\t5\t3\t4"],
            ["1::2::3::4", "1::5::3::4"],
            ["user_id:token\titem_id:token", "1\t2"],
            ["1,2", "1,5"],
            ["a\tb", "a\tc"],
            ["1 2", "1 5"],
        ] {
            let plain = parse(rows.join("\n")).unwrap();
            for text in [
                rows.join("\r\n") + "\r\n",
                format!("\u{feff}{}\n\n  \n\r\n\n", rows.join("\n")),
                format!("\n\r\n{}", rows.join("\n\n")),
            ] {
                assert_eq!(parse(&text).unwrap(), plain, "{text:?}");
            }
        }
    }

    #[test]
    fn gzip_is_told_by_its_first_bytes() {
        let text = b"0 1 2\n1 2\n";
        assert_eq!(parse_as("train.txt", None, gzip(text)).unwrap(), parse(text).unwrap());
        assert_eq!(parse_as("train.txt.gz", None, text).unwrap(), parse(text).unwrap());
        let members = [gzip(&text[..6]), gzip(&text[6..])].concat();
        assert_eq!(parse(members).unwrap(), parse(text).unwrap());
        let message = refused(parse_as("ml.inter.gz", None, gzip(b"1\t2\n")));
        assert!(message.contains("expected a header"), "the name without .gz tells the format: {message}");
    }

    #[test]
    fn a_truncated_gzip_stream_is_refused() {
        let text: Vec<u8> =
            (0..40_000).flat_map(|user| format!("{user} {}\n", user * 7919 % 10_007).into_bytes()).collect();
        let packed = gzip(&text);
        for end in [2, 10, packed.len() / 4, packed.len() / 2, packed.len() - 4] {
            let message = refused(parse(&packed[..end]));
            assert!(message.starts_with("file: expected a complete gzip stream, found "), "{end}: {message}");
        }
    }

    #[test]
    fn each_bad_row_is_named_with_its_line() {
        for (text, message) in [
            ("1\t2\t3\t4\n1\t2\t3\n", "file:2: expected 4 columns, found 3"),
            (
                "1\t2\t3\t4\n\nx\t2\t3\t4\n",
                "file:3: expected a whole number from 0 to 4294967295 for the user, found \"x\"",
            ),
            ("1\t-2\t3\t4\n", "file:1: expected a whole number from 0 to 4294967295 for the item, found \"-2\""),
            ("1\t4294967296\t3\t4\n", "for the item, found \"4294967296\""),
            ("1\t2\tNaN\t4\n", "file:1: expected a finite number for the rating, found \"NaN\""),
            ("1\t2\t1e40\t4\n", "file:1: expected a finite number for the rating, found \"1e40\""),
            ("1\t2\t3\t4\n1\t2\t3\tnoon\n", "file:2: expected a number for the time, found \"noon\""),
            ("1\t2\t3\tinf\n", "file:1: expected a number for the time, found \"inf\""),
            ("1\t2\t3\t1e19\n", "file:1: expected a number for the time, found \"1e19\""),
            ("1::2::3::4\n1::2::3\n", "file:2: expected 4 columns, found 3"),
            ("1,2\n1,2,3\n", "file:2: expected 2 columns, found 3"),
            ("user,item\n1\n", "file:2: expected 2 columns, found 1"),
            ("1,2\r\n\r\n\r\n,2\r\n", "file:4: expected a name of the user, found an empty field"),
            ("user,item,rating\n1,2,good\n", "file:2: expected a finite number for the rating, found \"good\""),
            ("1,2,3,4,5\n", "or 2 to 4 columns, found 5 columns"),
            ("0 1\n0 1.5\n", "file:2: expected a whole number from 0 to 4294967295 for the item, found \"1.5\""),
            ("0 1\n+1 1\n", "for the user, found \"+1\""),
            ("0 99999999999\n", "for the item, found \"99999999999\""),
            ("user_id:token\titem_id:token\n1\t2\t3\n", "file:2: expected 2 columns, found 3"),
        ] {
            let found = refused(parse(text));
            assert!(found.contains(message), "{text:?}\n{found}\n{message}");
        }
    }

    #[test]
    fn long_fields_are_cut_in_messages() {
        assert!(refused(parse("x".repeat(100_000))).len() < 200);
    }

    #[test]
    fn text_that_is_not_utf8_is_refused() {
        for bytes in [&b"1,2\n1,\xff\n"[..], b"0 1\n0 \xff\n"] {
            assert_eq!(refused(parse(bytes)), "file:2: expected UTF-8 text, found the byte 0xff");
        }
    }

    #[test]
    fn files_without_interactions_are_refused() {
        assert_eq!(refused(parse("")), "file: expected interactions, found an empty file");
        assert_eq!(refused(parse(gzip(b""))), "file: expected interactions, found an empty file");
        assert_eq!(refused(parse("\n \r\n")), "file: expected interactions, found only blank lines");
        for text in ["user,item\n", "user_id:token\titem_id:token\n", "0\n1\n"] {
            assert_eq!(refused(parse(text)), "file: expected at least one interaction, found none", "{text:?}");
        }
        for format in Format::ALL {
            assert!(refused(parse_as("file", Some(format), "")).contains("file: expected"), "{format}");
        }
    }

    #[test]
    fn foreign_content_is_refused() {
        let message = refused(parse("\n<!DOCTYPE html>\n"));
        assert!(message.starts_with("file:2: expected a line of one of the formats u.data, dat,"), "{message}");
        assert!(message.ends_with("found \"<!DOCTYPE html>\""), "{message}");
    }

    #[test]
    fn times_are_whole_and_fractions_drop() {
        let place = Place { path: Path::new("file"), line: 1 };
        assert_eq!(time(place, "881250949.9"), Ok(881250949));
        assert_eq!(time(place, "-1.5"), Ok(-2));
        assert_eq!(time(place, "1e3"), Ok(1000));
        assert_eq!(time(place, "9223372036854775807"), Ok(i64::MAX));
        assert_eq!(time(place, "-9223372036854775808"), Ok(i64::MIN));
        assert!(time(place, "9223372036854775808").is_err());
    }

    #[test]
    fn a_missing_file_is_an_input_error() {
        let folder = tempfile::tempdir().unwrap();
        let message = refused(read(&folder.path().join("absent.csv"), None));
        assert!(message.contains("absent.csv: cannot open"), "{message}");
    }

    #[test]
    fn a_folder_stands_for_its_files() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let read = || read(folder.path(), None);
        assert!(refused(read()).contains("expected a folder with train and test"));
        write("u.item", "1|Toy Story");
        write("ratings_old.csv", "1,2\n");
        assert!(refused(read()).ends_with("found none of them"));
        write("ml.inter", "user_id:token\titem_id:token\n1\t2\n");
        std::fs::write(folder.path().join("ml.inter.gz"), gzip(b"broken")).unwrap();
        assert_eq!(read().unwrap().pairs.len(), 1);
        write("u.data", "1\t2\t3\t4\n");
        assert!(refused(read()).contains("expected one file of interactions, found ml.inter, u.data"));
        write("train.txt", "0 1\n");
        assert_eq!(read().unwrap().pairs.len(), 1);
        write("test.txt", "1 1 2\n");
        let both = read().unwrap();
        assert_eq!(
            (both.users, both.items, both.pairs.len()),
            (vec!["0".into(), "1".into()], vec!["1".into(), "2".into()], 3)
        );
        write("train.csv", "0,1\n");
        assert!(refused(read()).contains("expected one file of train, found train.csv, train.txt"));
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            packed in any::<bool>(),
            format in proptest::option::of(proptest::sample::select(&Format::ALL)),
        ) {
            let bytes = if packed { [b"\x1f\x8b\x08\x00".to_vec(), bytes].concat() } else { bytes };
            let _ = parse_as("file", format, bytes);
        }

        #[test]
        fn no_almost_right_text_causes_a_panic(
            text in "([0-9]{1,11}|user|item_id:token|NaN|-|\"|é|,|::|\t| |\r|\n){0,40}",
            format in proptest::option::of(proptest::sample::select(&Format::ALL)),
        ) {
            if let Ok(read) = parse_as("file", format, text) {
                prop_assert!(read.pairs.iter().all(|pair| (pair.user as usize) < read.user_count()));
                prop_assert!(read.pairs.iter().all(|pair| (pair.item as usize) < read.item_count()));
            }
        }

        #[test]
        fn what_is_written_is_read_in_every_format(
            rows in proptest::collection::vec((any::<u32>(), any::<u32>(), -9i8..9, any::<i64>()), 1..20),
        ) {
            for format in Format::ALL {
                let lines: Vec<String> = rows.iter().map(|(user, item, rating, time)| match format {
                    Format::UData | Format::Tsv | Format::Inter => format!("{user}\t{item}\t{rating}\t{time}"),
                    Format::Dat => format!("{user}::{item}::{rating}::{time}"),
                    Format::Csv => format!("{user},{item},{rating},{time}"),
                    Format::UserLists => format!("{user} {item}"),
                }).collect();
                let header = match format {
                    Format::Inter => "user_id:token\titem_id:token\trating:float\ttimestamp:float\n",
                    _ => "",
                };
                let read = parse(header.to_owned() + &lines.join("\n")).unwrap();
                let same = parse_as("file", Some(format), header.to_owned() + &lines.join("\n")).unwrap();
                prop_assert_eq!(&read, &same);
                let back: Vec<_> = read.pairs.iter().map(|pair| {
                    let (user, item) = (&read.users[pair.user as usize], &read.items[pair.item as usize]);
                    (user.parse().unwrap(), item.parse().unwrap(), pair.rating, pair.time)
                }).collect();
                let lists = format == Format::UserLists;
                let expected: Vec<(u32, u32, _, _)> = rows.iter().map(|&(user, item, rating, time)| {
                    (user, item, (!lists).then_some(f32::from(rating)), (!lists).then_some(time))
                }).collect();
                prop_assert_eq!(back, expected);
            }
        }
    }
}
