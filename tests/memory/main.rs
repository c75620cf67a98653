//! What opening, walking and auditing a recording holds in memory, for shapes that stress each part of it.
//!
//! An allocator that counts needs a binary of its own, and one measurement at a time.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use perpend::audit::audit;
use perpend::trajectory::{Array, Element, Trajectory, survey, write_arrays};
use rawzip::CompressionMethod;

mod counting;
#[path = "../../src/trajectory/container/tests/forms.rs"]
mod forms;

type Arrays = BTreeMap<String, Array>;

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const FLOATS: [Element; 4] = [Element::F64, Element::F32, Element::F16, Element::Bf16];
const MANY: usize = 1 << 21;

/// See the fuzz targets.
const READING: usize = 1 << 21;

fn size_of(path: &Path) -> usize {
    if !path.is_dir() {
        return path.metadata().unwrap().len() as usize;
    }
    std::fs::read_dir(path).unwrap().map(|entry| size_of(&entry.unwrap().path())).sum()
}

/// Writes a recording, then reads it.
fn measure(name: &str, write: impl FnOnce(&Path)) -> bool {
    let guard = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    write(&path);
    let size = size_of(&path);
    let (trajectory, opening) = counting::peak(|| Trajectory::open(&path));
    let ratio = |peak: usize| peak.saturating_sub(READING) as f64 / size as f64;
    let answer = match &trajectory {
        Ok(_) => "read".to_owned(),
        Err(error) => error.to_string().chars().skip(folder.path().display().to_string().len()).take(150).collect(),
    };
    drop(trajectory);
    let (_, reading) = counting::peak(|| {
        let trajectory = Trajectory::open(&path).ok()?;
        for tower in trajectory.towers() {
            let _ = tower.for_each(0..tower.rows(), &mut |_| Ok(()));
            let _ = survey(&tower);
        }
        Some(())
    });
    let (result, auditing) = counting::peak(|| audit(&Trajectory::open(&path).ok()?).ok().map(drop));
    println!("{name:40} {size:9} open {:5.2} read {:5.2} audit {:6.2} {} {answer}", ratio(opening), ratio(reading), ratio(auditing), result.is_some());
    drop(guard);
    reading <= 2 * size + READING
}

fn floats(element: Element, shape: &[usize]) -> Array {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count).map(|index: usize| ((index * 7919) % 251) as f64 / 64.0 - 1.5).collect();
    Array::encode(element, shape, &values)
}

fn ids(element: Element, shape: &[usize], id: impl Fn(usize) -> i64) -> Array {
    let values: Vec<i64> = (0..shape.iter().product()).map(id).collect();
    match element {
        Element::I32 => Array::from_i32(shape, &values.iter().map(|id| *id as i32).collect::<Vec<_>>()),
        _ => Array::from_i64(shape, &values),
    }
}

fn arrays<const N: usize>(entries: [(&str, Array); N]) -> Arrays {
    entries.into_iter().map(|(name, array)| (name.to_owned(), array)).collect()
}

fn safetensors(arrays: Arrays) -> impl FnOnce(&Path) {
    move |path| write_arrays(path, false, &BTreeMap::new(), &arrays).unwrap()
}

fn shuffled(index: usize) -> i64 {
    ((index * 7_368_787) % MANY) as i64
}

#[test]
fn everything() {
    for element in FLOATS {
        measure(&format!("dense many rows {element}"), safetensors(arrays([
            ("q", floats(element, &[2, MANY, 1])),
            ("ids", ids(Element::I32, &[1, MANY / 4], |i| i as i64)),
        ])));
        measure(&format!("dense d 16 {element}"), safetensors(arrays([
            ("q", floats(element, &[3, MANY / 16, 16])),
            ("grad", floats(element, &[2, MANY / 16, 16])),
            ("ids", ids(Element::I32, &[2, 4096], |i| i as i64)),
        ])));
        measure(&format!("dense wide {element}"), safetensors(arrays([("q", floats(element, &[2, 1, MANY]))])));
        measure(&format!("dense wide 3 grad {element}"), safetensors(arrays([
            ("q", floats(element, &[4, 1, MANY])), ("grad", floats(element, &[3, 1, MANY]))])));
        measure(&format!("parameters wide {element}"), safetensors(arrays([
            ("q", floats(element, &[2, 1, 1])), ("table", floats(element, &[2, 1, MANY]))])));
        measure(&format!("many steps {element}"), safetensors(arrays([
            ("q", floats(element, &[MANY / 4 + 1, 1, 1])), ("grad", floats(element, &[MANY / 4, 1, 1]))])));
    }
    let small = |k: usize| [
        ("row_step", ids(Element::I32, &[k], |_| 0)),
        ("row_q", floats(Element::F16, &[k, 1])),
        ("row_q_next", floats(Element::F16, &[k, 1])),
    ];
    for element in [Element::I32, Element::I64] {
        for (order, id) in [("shuffled", shuffled as fn(usize) -> i64), ("ascending", |i| 2 * i as i64), ("descending", |i| (MANY - i) as i64)] {
            let mut one = arrays(small(1));
            one.insert("row_id".into(), ids(element, &[1], |_| 0));
            measure(&format!("sparse ids {element} {order}"), |path| {
                let mut one = one.clone();
                one.insert("ids".into(), ids(element, &[1, MANY], id));
                safetensors(one)(path)
            });
            measure(&format!("sparse ids grad {element} {order}"), |path| {
                let mut one = one.clone();
                one.insert("ids".into(), ids(element, &[1, MANY], id));
                one.insert("row_grad".into(), floats(Element::F16, &[1, 1]));
                safetensors(one)(path)
            });
            measure(&format!("sparse row_ids {element} {order}"), |path| {
                let mut one = one.clone();
                one.insert("row_ids".into(), ids(element, &[MANY], id));
                one.insert("row_id".into(), ids(element, &[1], |_| id(0)));
                safetensors(one)(path)
            });
            measure(&format!("dense row_ids {element} {order}"), safetensors(arrays([
                ("q", floats(Element::F16, &[2, MANY, 1])),
                ("row_ids", ids(element, &[MANY], id))])));
            measure(&format!("dense row_ids that do not fit {element} {order}"), safetensors(arrays([
                ("q", floats(Element::F16, &[2, 1, 1])),
                ("row_ids", ids(element, &[MANY], id))])));
            measure(&format!("sparse records {element} {order}"), |path| {
                let mut many = arrays(small(MANY));
                many.insert("row_id".into(), ids(element, &[MANY], id));
                many.insert("row_grad".into(), floats(Element::F16, &[MANY, 1]));
                safetensors(many)(path)
            });
        }
    }
    let long = |length: usize, count: usize| -> Arrays {
        let mut named: Arrays = (0..count).map(|i| (format!("{i}{}", "n".repeat(length)), floats(Element::F32, &[1]))).collect();
        named.insert("q".into(), floats(Element::F32, &[2, 1, 1]));
        named
    };
    measure("a long name", safetensors(long(1 << 24, 1)));
    measure("long names", safetensors(long(1 << 12, 4000)));
    measure("names", safetensors(long(1 << 8, 4000)));
    let raw = |header: String| move |path: &Path| std::fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat()).unwrap();
    measure("deep header", raw(format!("{{\"q\":{}", "[".repeat(1 << 24))));
    measure("wide header", raw(format!("{{\"q\":[{}0]}}", "0,".repeat(1 << 23))));
    measure("escaped name", raw(format!("{{\"{}\":1}}", "\\n".repeat(1 << 23))));
    measure("zeros", |path| std::fs::write(path, vec![0; 1 << 24]).unwrap());
    measure("braces", |path| std::fs::write(path, vec![b'{'; 1 << 24]).unwrap());
    // Lines.
    let head = "{\"perpend\": \"1\"}\n";
    let step = |ids: &str| format!("{{\"q\": [[1]], \"q_next\": [[2]], \"ids\": {ids}}}\n");
    let text = |text: String| move |path: &Path| std::fs::write(path, text).unwrap();
    let most = (1 << 20) - 200;
    let zeros = |bytes: usize| format!("[{}0]", "0,".repeat(bytes / 2));
    measure("lines: ids", text(format!("{head}{}", step(&zeros(most)))));
    measure("lines: ids in steps", text(format!("{head}{}", step(&zeros(4000)).repeat(250))));
    measure("lines: steps", text(format!("{head}{}", step("[]").repeat(most / 40))));
    measure("lines: q", text(format!("{head}{{\"q\": [{0}], \"q_next\": [{0}]}}", zeros(most / 2))));
    measure("lines: rows", text(format!("{head}{{\"q\": [{0}[0]], \"q_next\": [{0}[1]]}}", "[0],".repeat(most / 8))));
    measure("lines: records", text(format!("{head}{{\"row_id\": {0}, \"row_q\": [{1}[0]], \"row_q_next\": [{1}[0]]}}", format!("[{}0]", (1..most/16).map(|i| format!("{i},")).collect::<String>()), "[0],".repeat(most / 16 - 1))));
    measure("lines: row_ids", text(format!("{{\"perpend\": \"1\", \"row_ids\": {{\"\": {}}}}}\n{{\"q\": [[1]], \"q_next\": [[1]]}}", zeros(most))));
    measure("lines: deep", text(format!("{head}{{\"q\": {}", "[".repeat(most))));
    measure("lines: empty", text(format!("{head}{{\"q\": [{}[]]}}", "[],".repeat(most / 3))));
    measure("lines: name", text(format!("{head}{{\"{}\": 1}}", "n".repeat(most))));
    measure("lines: names", text(format!("{head}{{{}\"q\": 1}}", (0..4000).map(|i| format!("\"{i:0230}\": 1,")).collect::<String>())));
    measure("lines: head", text(format!("{{\"perpend\": \"{}\"}}\n", "n".repeat(most))));
    // Containers.
    let run = arrays([
        ("q", floats(Element::F16, &[3, MANY / 16, 16])),
        ("grad", floats(Element::F16, &[2, MANY / 16, 16])),
        ("ids", ids(Element::I32, &[2, 4096], |i| i as i64)),
    ]);
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        measure(&format!("npz {method:?}"), |path| std::fs::write(path, forms::npz(&BTreeMap::new(), &run, method)).unwrap());
    }
    let random = arrays([("q", ids(Element::I64, &[1], |_| 0)), ("x", Array::encode(Element::F64, &[1 << 20], &(0..1 << 20).map(|i| (i as f64).sin()).collect::<Vec<_>>()))]);
    measure("npz incompressible", |path| std::fs::write(path, forms::npz(&BTreeMap::new(), &random, CompressionMethod::DEFLATE)).unwrap());
    measure("npy folder", |path| { std::fs::create_dir(path).unwrap(); forms::write_npy_folder(path, &BTreeMap::new(), &run) });
    let one = arrays([
        ("q", floats(Element::F16, &[MANY / 16, 16])),
        ("q_next", floats(Element::F16, &[MANY / 16, 16])),
        ("ids", ids(Element::I32, &[4096], |i| i as i64)),
    ]);
    measure("steps", |path| { std::fs::create_dir(path).unwrap(); forms::write_steps(path, &BTreeMap::new(), "{}", &vec![one; 3]) });
    let one = arrays([("q", floats(Element::F16, &[1, 1])), ("q_next", floats(Element::F16, &[1, 1])), ("ids", ids(Element::I32, &[MANY], |_| 0))]);
    measure("steps ids", |path| { std::fs::create_dir(path).unwrap(); forms::write_steps(path, &BTreeMap::new(), "{}", &vec![one; 3]) });
    let one = arrays([("q", floats(Element::F16, &[1, 1])), ("q_next", floats(Element::F16, &[1, 1]))]);
    measure("steps row_ids", |path| { std::fs::create_dir(path).unwrap(); forms::write_steps(path, &BTreeMap::new(), &format!("{{\"item\": {}}}", zeros(1 << 22 - 300)), &vec![one.clone(); 3]) });
    measure("steps many", |path| { std::fs::create_dir(path).unwrap(); forms::write_steps(path, &BTreeMap::new(), "{}", &vec![one; 3000]) });
}

#[allow(dead_code)]
fn unused(_: PathBuf) {}
