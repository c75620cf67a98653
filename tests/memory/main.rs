//! What opening, walking and auditing a recording holds in memory at once, for shapes that stress each part of it.
//!
//! The allocator that counts needs a binary of its own, and one measurement at a time.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use perpend::audit::audit;
use perpend::trajectory::{Array, Element, Trajectory, survey, write_arrays};
use rawzip::CompressionMethod;

mod counting;
#[path = "../../src/trajectory/container/tests/forms.rs"]
mod forms;

type Arrays = BTreeMap<String, Array>;

/// What reading may hold beyond twice the file, whatever the file: four rows of 2^16 numbers are 2 MiB (of q, q', the gradient and
/// what the row was after its last record), the lookups of 2^15 rows and the last steps of 2^17 rows 1 MiB, and names and
/// metadata 3 MiB: they are short (64 kB of metadata), copied into several places and parsed as JSON.
const READING: usize = 6 << 20;

/// What an audit may hold beyond that: each thread 24 MiB of row states, and the samples of the diagnosis 2^23 numbers.
fn auditing() -> usize {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    (threads * 24 + 64) << 20
}

/// And for each row what is concluded of it: 80 bytes in a tree whose nodes are half full at least, twice while the parts of
/// several threads are put together; for each step a few numbers.
const AUDITED: usize = 4 * 80;

/// So many that what [`READING`] allows is no more than two bytes for each of them.
const MANY: usize = 1 << 22;
const FLOATS: [Element; 4] = [Element::F64, Element::F32, Element::F16, Element::Bf16];
const INTEGERS: [Element; 2] = [Element::I64, Element::I32];

/// Held by each test from its beginning: what others prepare would be counted, too.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size_of(path: &Path) -> usize {
    if !path.is_dir() {
        return path.metadata().unwrap().len() as usize;
    }
    std::fs::read_dir(path).unwrap().map(|entry| size_of(&entry.unwrap().path())).sum()
}

/// Opens a recording and walks through everything in it; the number of its rows and steps.
fn read(path: &Path) -> perpend::Result<usize> {
    let trajectory = Trajectory::open(path)?;
    let mut count = 0;
    for tower in trajectory.towers() {
        count += tower.rows() + tower.steps();
        tower.for_each(0..tower.rows(), &mut |_| Ok(()))?;
        survey(&tower)?;
    }
    Ok(count)
}

/// What becomes of a recording.
enum Expected {
    /// It is read, and then audited.
    Audited,
    /// It is read. Its audit would take long.
    Read,
    /// It is refused, for this reason.
    Refused(&'static str),
}
use Expected::{Audited, Read, Refused};

/// Writes a recording and measures what becomes of it.
#[track_caller]
fn measure(name: &str, expected: Expected, write: impl FnOnce(&Path)) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path);
    let size = size_of(&path);
    let (answer, peak) = counting::peak(|| read(&path));
    println!("{name}: {size} bytes, {:.2} times as many to read", peak as f64 / size as f64);
    assert!(peak <= 2 * size + READING, "{name}: {peak} bytes in use to read {size} bytes");
    match (answer, expected) {
        (Ok(_), Read) => {}
        (Ok(count), Audited) => {
            let (answer, peak) = counting::peak(|| audit(&Trajectory::open(&path)?).map(drop));
            println!("{name}: {:.2} times as many to audit", peak as f64 / size as f64);
            answer.unwrap();
            let most = 2 * size + READING + auditing() + AUDITED * count;
            assert!(peak <= most, "{name}: {peak} bytes in use to audit {size} bytes, not {most}");
        }
        (Err(error), Refused(reason)) => assert!(error.to_string().contains(reason), "{name}: {error}"),
        (Ok(_), Refused(_)) => panic!("{name} was read"),
        (Err(error), _) => panic!("{name}: {error}"),
    }
}

/// Numbers without a pattern that a fit could take for one.
fn floats(element: Element, shape: &[usize]) -> Array {
    let count: usize = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|index| ((index * 7919) % 251) as f64 / 64.0 - 1.5).collect();
    Array::encode(element, shape, &values)
}

fn integers(element: Element, shape: &[usize], value: impl Fn(usize) -> i64) -> Array {
    let values = (0..shape.iter().product()).map(value);
    match element {
        Element::I32 => Array::from_i32(shape, &values.map(|id| id as i32).collect::<Vec<_>>()),
        _ => Array::from_i64(shape, &values.collect::<Vec<_>>()),
    }
}

fn arrays<const N: usize>(entries: [(&str, Array); N]) -> Arrays {
    entries.into_iter().map(|(name, array)| (name.to_owned(), array)).collect()
}

fn safetensors(arrays: Arrays) -> impl FnOnce(&Path) {
    move |path| write_arrays(path, false, &BTreeMap::new(), &arrays).unwrap()
}

fn bytes(bytes: impl AsRef<[u8]>) -> impl FnOnce(&Path) {
    move |path| std::fs::write(path, bytes).unwrap()
}

#[test]
fn dense_recordings() {
    let _alone = alone();
    for element in FLOATS {
        let q = |shape: &[usize]| floats(element, shape);
        let lookups = |steps: usize| integers(Element::I32, &[steps, MANY / 4], |index| index as i64);
        let rows = arrays([("q", q(&[2, MANY / 2, 1])), ("ids", lookups(1))]);
        measure(&format!("{element}, many rows"), Read, safetensors(rows));
        let usual = arrays([("q", q(&[3, MANY / 64, 16])), ("grad", q(&[2, MANY / 64, 16]))]);
        measure(&format!("{element}, many rows of 16 columns"), Audited, safetensors(usual));
        let steps = arrays([("q", q(&[MANY / 64 + 1, 1, 2])), ("grad", q(&[MANY / 64, 1, 2]))]);
        measure(&format!("{element}, many steps"), Audited, safetensors(steps));
        let both = arrays([
            ("item/q", q(&[3, MANY / 128, 8])),
            ("item/table", q(&[3, MANY / 128, 8])),
            ("user/q", q(&[3, MANY / 128, 8])),
            ("user/table", q(&[3, MANY / 128, 8])),
        ]);
        measure(&format!("{element}, two towers with tables"), Audited, safetensors(both));
    }
}

#[test]
fn wide_rows_are_read_where_as_much_is_recorded() {
    let _alone = alone();
    for element in FLOATS {
        let q = |shape: &[usize]| floats(element, shape);
        let long = arrays([("q", q(&[9, 1, MANY / 4])), ("grad", q(&[8, 1, MANY / 4]))]);
        measure(&format!("{element}, wide rows"), Read, safetensors(long));
        // Two states of f64 pay for four decoded rows.
        let refused = || match element {
            Element::F64 => Read,
            _ => Refused("at most 65536 columns in a row, or for 4194304 columns"),
        };
        let short = arrays([("q", q(&[2, 1, MANY]))]);
        measure(&format!("{element}, one step of a wide row"), refused(), safetensors(short));
        let table = arrays([("q", q(&[2, 1, 1])), ("table", q(&[2, 1, 2, MANY / 2]))]);
        measure(&format!("{element}, one step of a wide table"), refused(), safetensors(table));
        let record = arrays([
            ("row_step", integers(Element::I32, &[1], |_| 0)),
            ("row_id", integers(Element::I32, &[1], |_| 0)),
            ("row_q", q(&[1, MANY])),
            ("row_q_next", q(&[1, MANY])),
        ]);
        measure(&format!("{element}, one wide record"), refused(), safetensors(record));
    }
}

#[test]
fn ids_and_records() {
    let _alone = alone();
    let orders: [(&str, fn(usize) -> i64); 3] = [
        ("ascending", |index| 2 * index as i64),
        ("descending", |index| (MANY - index) as i64),
        ("shuffled", |index| ((index * 7_368_787) % MANY) as i64),
    ];
    for element in INTEGERS {
        for (order, id) in orders {
            let name = |what: &str| format!("{element}, {what}, {order}");
            let records = |count: usize| {
                arrays([
                    ("row_step", integers(Element::I32, &[count], |_| 0)),
                    ("row_id", integers(element, &[count], id)),
                    ("row_q", floats(Element::F16, &[count, 1])),
                    ("row_q_next", floats(Element::F16, &[count, 1])),
                    ("row_grad", floats(Element::F16, &[count, 1])),
                ])
            };
            let with = |mut arrays: Arrays, name: &str, array: Array| {
                arrays.insert(name.to_owned(), array);
                arrays
            };
            measure(&name("records"), Read, safetensors(records(MANY / 2)));
            let ids = integers(element, &[1, MANY], id);
            measure(&name("lookups beside a record"), Read, safetensors(with(records(1), "ids", ids)));
            let ids = integers(element, &[MANY], id);
            measure(&name("row_ids beside a record"), Read, safetensors(with(records(1), "row_ids", ids.clone())));
            let dense = |rows: usize| arrays([("q", floats(Element::F16, &[2, rows, 1]))]);
            measure(&name("row_ids"), Read, safetensors(with(dense(MANY), "row_ids", ids.clone())));
            let refused = Refused("row_ids: expected shape [1] (the rows of q)");
            measure(&name("row_ids of other rows"), refused, safetensors(with(dense(1), "row_ids", ids)));
        }
    }
    // Ids of four bytes beside one that needs eight.
    let far = arrays([
        ("row_step", integers(Element::I32, &[1], |_| 0)),
        ("row_id", integers(Element::I64, &[1], |_| i64::MAX - 1)),
        ("row_q", floats(Element::F16, &[1, 1])),
        ("row_q_next", floats(Element::F16, &[1, 1])),
        ("ids", integers(Element::I32, &[1, MANY], |index| 2 * index as i64)),
    ]);
    measure("lookups beside a far id", Read, safetensors(far));
}

#[test]
fn names_and_headers() {
    let _alone = alone();
    let named = |length: usize, count: usize| -> Arrays {
        let name = |index: usize| format!("{index}{}", "n".repeat(length));
        let mut arrays: Arrays = (0..count).map(|index| (name(index), floats(Element::F32, &[1]))).collect();
        arrays.insert("q".to_owned(), floats(Element::F32, &[2, 1, 1]));
        arrays
    };
    measure("names", Audited, safetensors(named(200, 4000)));
    measure("long names", Refused("a name of more than 256 bytes"), safetensors(named(1 << 12, 4000)));
    measure("a long name", Refused("a name of more than 256 bytes"), safetensors(named(1 << 24, 1)));
    let header = |text: String| bytes([&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat());
    let reason = || Refused("expected");
    measure("a deep header", reason(), header(format!("{{\"q\":{}", "[".repeat(1 << 24))));
    measure("a long list in a header", reason(), header(format!("{{\"q\":[{}0]}}", "0,".repeat(1 << 23))));
    measure("an escaped name", reason(), header(format!("{{\"{}\":1}}", "\\n".repeat(1 << 23))));
    let metadata = format!("{{\"optimizer\": [{}0]}}", "0,".repeat(32_000));
    let text = format!(
        "{{\"__metadata__\":{{\"optimizer\":{metadata:?}}},\"q\":{{\"dtype\":\"F64\",\"shape\":[2,1,1],\"data_offsets\":[0,16]}}}}"
    );
    measure("metadata", Audited, |path| {
        let file = [&(text.len() as u64).to_le_bytes()[..], text.as_bytes(), &[0; 16]].concat();
        std::fs::write(path, file).unwrap();
    });
    for byte in [0, b'{', b'[', b'"', b' '] {
        measure(&format!("one byte again and again, {byte}"), reason(), bytes(vec![byte; 1 << 24]));
    }
}

#[test]
fn json_lines() {
    let _alone = alone();
    let head = "{\"perpend\": \"1\"}\n";
    let step = |ids: &str| format!("{{\"q\": [[1]], \"q_next\": [[2]], \"ids\": {ids}}}\n");
    let most = (1 << 20) - 200;
    let zeros = |bytes: usize| format!("[{}0]", "0,".repeat(bytes / 2));
    let lists = |bytes: usize| format!("[{}[0]]", "[0],".repeat(bytes / 4));
    let lines = |text: &str| bytes(format!("{head}{text}"));
    measure("lines, ids", Audited, lines(&step(&zeros(most))));
    measure("lines, ids in steps", Audited, lines(&step(&zeros(4000)).repeat(250)));
    measure("lines, steps", Audited, lines(&step("[]").repeat(most / 50)));
    measure("lines, columns", Audited, lines(&format!("{{\"q\": [{0}], \"q_next\": [{0}]}}", zeros(1 << 17))));
    measure("lines, rows", Audited, lines(&format!("{{\"q\": {0}, \"q_next\": {0}}}", lists(most / 2))));
    let ids: Vec<String> = (0..most / 16).map(|id| id.to_string()).collect();
    let records = lists(4 * (ids.len() - 1));
    measure(
        "lines, records",
        Audited,
        lines(&format!("{{\"row_id\": [{}], \"row_q\": {records}, \"row_q_next\": {records}}}", ids.join(","))),
    );
    let reason = || Refused("expected");
    let rows = format!(
        "{{\"perpend\": \"1\", \"row_ids\": {{\"\": {}}}}}\n{{\"q\": [[1]], \"q_next\": [[1]]}}",
        zeros(most)
    );
    measure("lines, row_ids", reason(), bytes(rows));
    measure("lines, deep", reason(), lines(&format!("{{\"q\": {}", "[".repeat(most))));
    measure("lines, empty lists", reason(), lines(&format!("{{\"q\": [{}[]]}}", "[],".repeat(most / 3))));
    measure("lines, a text", reason(), lines(&format!("{{\"q\": \"{}\"}}", "n".repeat(most))));
    measure("lines, a name", reason(), lines(&format!("{{\"{}\": 1}}", "n".repeat(most))));
    let names: String = (0..4000).map(|index| format!("\"{index:0230}\": 1, ")).collect();
    // More arrays than there may be open files on most systems: one error or the other.
    measure("lines, names", Refused(""), lines(&format!("{{{names}\"q\": 1}}")));
    measure("lines, a long header", reason(), bytes(format!("{{\"perpend\": \"{}\"}}\n", "n".repeat(most))));
}

#[test]
fn other_containers() {
    let _alone = alone();
    let none = BTreeMap::new();
    let run = arrays([
        ("q", floats(Element::F16, &[3, MANY / 64, 16])),
        ("grad", floats(Element::F16, &[2, MANY / 64, 16])),
        ("ids", integers(Element::I32, &[2, 4096], |index| index as i64)),
    ]);
    measure("npz, stored", Audited, bytes(forms::npz(&none, &run, CompressionMethod::STORE)));
    // The numbers of `floats` repeat, so the archive is small: what is unpacked is many times as large, and on disk.
    measure("npz, deflated", Read, bytes(forms::npz(&none, &run, CompressionMethod::DEFLATE)));
    measure("a folder of arrays", Audited, folder(|path| forms::write_npy_folder(path, &none, &run)));
    let steps = |row_ids: &str, step: Arrays, count: usize| {
        let row_ids = row_ids.to_owned();
        folder(move |path| forms::write_steps(path, &BTreeMap::new(), &row_ids, &vec![step; count]))
    };
    let pair = |rows: usize, dim: usize| {
        arrays([("q", floats(Element::F16, &[rows, dim])), ("q_next", floats(Element::F16, &[rows, dim]))])
    };
    let with_ids = |mut arrays: Arrays, count: usize| {
        arrays.insert("ids".to_owned(), integers(Element::I32, &[count], |index| index as i64 % 2));
        arrays
    };
    let text = forms::json_lines(&none, &vec![with_ids(pair(64, 16), 64); 20]);
    measure("lines of a few steps", Audited, bytes(text));
    measure("steps of many rows", Audited, steps("{}", with_ids(pair(MANY / 64, 16), 4096), 3));
    measure("steps of many lookups", Audited, steps("{}", with_ids(pair(2, 1), MANY), 3));
    measure("many steps", Audited, steps("{}", with_ids(pair(2, 1), 4), 3000));
    let rows = format!("{{\"\": [{}0]}}", "0,".repeat((1 << 21) - 100));
    measure("rows in a header", Refused("row_ids: expected shape [2]"), steps(&rows, pair(2, 1), 3));
    let sparse = arrays([
        ("row_id", integers(Element::I32, &[MANY / 8], |index| (MANY - index) as i64)),
        ("row_q", floats(Element::F16, &[MANY / 8, 1])),
        ("row_q_next", floats(Element::F16, &[MANY / 8, 1])),
    ]);
    measure("steps of many records", Audited, steps("{}", sparse, 3));
}

fn folder(write: impl FnOnce(&Path)) -> impl FnOnce(&Path) {
    move |path| {
        std::fs::create_dir(path).unwrap();
        write(path);
    }
}
