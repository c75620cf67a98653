//! What the fuzz targets share: a limit on memory, files to open, and arrays that are nearly right.

use std::collections::BTreeMap;
use std::path::Path;

use arbitrary::{Arbitrary, Unstructured};
use perpend::trajectory::{Array, Element, Trajectory, survey, write_arrays};

#[path = "../../tests/memory/counting.rs"]
mod counting;
#[path = "../../src/trajectory/container/tests/forms.rs"]
pub mod forms;

/// What reading may hold beyond twice the file: see `READING` in `tests/memory/main.rs`.
pub const CONSTANT: usize = 6 << 20;

/// Runs `work` and fails where it held more memory at once than twice the size of what it read and [`CONSTANT`].
pub fn bounded<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let (result, peak) = counting::peak(work);
    assert!(peak <= 2 * size + CONSTANT, "{peak} bytes in use for {size} bytes of input");
    result
}

/// Opens a trajectory and visits everything in it. Any error is an answer.
pub fn open_and_walk(path: &Path, size: usize) -> Option<Trajectory> {
    bounded(size, || {
        let trajectory = match Trajectory::open(path) {
            Ok(trajectory) => trajectory,
            Err(error) => {
                assert!(error.is_input(), "{error}");
                return None;
            }
        };
        for tower in trajectory.towers() {
            let _ = tower.for_each(0..tower.rows(), &mut |_| Ok(()));
            let _ = survey(&tower);
        }
        Some(trajectory)
    })
}

thread_local! {
    static FOLDER: tempfile::TempDir = tempfile::tempdir().expect("a temporary folder");
}

/// The same path every time, in a folder that goes with the process.
pub fn with_path<T>(name: &str, work: impl FnOnce(&Path) -> T) -> T {
    FOLDER.with(|folder| work(&folder.path().join(name)))
}

/// Opens these bytes as a file.
pub fn open_bytes(bytes: &[u8]) -> Option<Trajectory> {
    with_path("run", |path| {
        std::fs::write(path, bytes).expect("a temporary file");
        open_and_walk(path, bytes.len())
    })
}

const NAMES: [&str; 22] = [
    "q", "q_next", "grad", "ids", "grad_out", "users", "positives", "negatives", "loss", "lr", "step", "row_ids", "table",
    "table_next", "table_grad", "row_step", "row_id", "row_q", "row_q_next", "row_grad", "other", "metadata",
];
const KEYS: [&str; 16] = [
    "similarity", "eps", "eps_on", "temperature", "loss", "optimizer", "encoder", "param_dtype", "compute_dtype",
    "grad_stage", "grad_accum", "padding_id", "framework", "implementation", "perpend", "unknown",
];
const VALUES: [&str; 14] = [
    "cosine", "dot", "0", "1", "-1", "0.5", "1e300", "None", "id", "mlp", "bfloat16", "raw", "norm2",
    r#"{"name": "sgd", "lr": 0.5, "momentum": "0.9", "nesterov": true, "weight_decay": 0.01, "sparse": "lazy"}"#,
];

/// A name of the format, with a prefix or without.
pub fn name(input: &mut Unstructured<'_>) -> arbitrary::Result<String> {
    let prefix = *input.choose(&["", "item/", "user/"])?;
    Ok(format!("{prefix}{}", input.choose(&NAMES)?))
}

/// Header metadata, mostly of the format.
pub fn metadata(input: &mut Unstructured<'_>) -> arbitrary::Result<BTreeMap<String, String>> {
    let mut metadata = BTreeMap::new();
    for _ in 0..input.int_in_range(0..=6)? {
        let prefix = *input.choose(&["", "", "item/", "user/"])?;
        let value = if input.ratio(1, 8)? { String::arbitrary(input)? } else { (*input.choose(&VALUES)?).to_owned() };
        metadata.insert(format!("{prefix}{}", input.choose(&KEYS)?), value);
    }
    Ok(metadata)
}

/// Steps, rows, columns, … that several arrays agree on, so that some of what is made is a trajectory.
pub struct Sizes {
    pub steps: usize,
    rows: usize,
    dim: usize,
    batch: usize,
}

impl Sizes {
    pub fn new(input: &mut Unstructured<'_>) -> arbitrary::Result<Sizes> {
        let mut up_to = |most| input.int_in_range(1..=most);
        Ok(Sizes { steps: up_to(5)?, rows: up_to(5)?, dim: up_to(4)?, batch: up_to(4)? })
    }

    /// The shape that the array usually has, without its step axis.
    fn shape(&self, base: &str) -> Vec<usize> {
        match base {
            "q" | "q_next" | "grad" | "table" | "table_next" | "table_grad" => vec![self.rows, self.dim],
            "ids" | "users" | "positives" | "row_id" => vec![self.batch],
            "negatives" | "row_q" | "row_q_next" | "row_grad" | "grad_out" => vec![self.batch, self.dim],
            _ => vec![],
        }
    }

    /// An array that fits the others in most cases. `stacked`: with the step axis.
    pub fn array(&self, input: &mut Unstructured<'_>, name: &str, stacked: bool) -> arbitrary::Result<Array> {
        let base = name.rsplit('/').next().unwrap_or(name);
        let mut shape = self.shape(base);
        let flat = matches!(base, "row_step" | "row_id" | "row_q" | "row_q_next" | "row_grad" | "row_ids");
        if stacked && base == "row_step" {
            shape = vec![self.batch];
        } else if base == "row_ids" {
            shape = vec![self.rows];
        } else if stacked && !flat {
            let states = matches!(base, "q" | "table") && input.ratio(1, 2)?;
            shape.insert(0, self.steps + usize::from(states));
        }
        if input.ratio(1, 12)? {
            match input.int_in_range(0..=3)? {
                0 => drop(shape.pop()),
                1 => shape.push(input.int_in_range(0..=3)?),
                _ if shape.is_empty() => {}
                _ => {
                    let axis = input.choose_index(shape.len())?;
                    shape[axis] = input.int_in_range(0..=4)?;
                }
            }
        }
        let integer = matches!(
            base,
            "ids" | "users" | "positives" | "negatives" | "step" | "row_ids" | "row_step" | "row_id"
        ) != input.ratio(1, 30)?;
        let count: usize = shape.iter().product();
        if integer {
            let wild = input.ratio(1, 20)?;
            let values = (0..count)
                .map(|index| match base {
                    _ if wild => i64::arbitrary(input),
                    "step" | "row_ids" => Ok(index as i64),
                    _ => input.int_in_range(-1..=5_i64),
                })
                .collect::<arbitrary::Result<Vec<_>>>()?;
            return Ok(Array::from_i64(&shape, &values));
        }
        let element = *input.choose(&[Element::F64, Element::F64, Element::F32, Element::F16, Element::Bf16])?;
        let wild = input.ratio(1, 10)?;
        let values = (0..count)
            .map(|_| if wild { f64::arbitrary(input) } else { Ok(f64::from(i8::arbitrary(input)?) / 16.0) })
            .collect::<arbitrary::Result<Vec<_>>>()?;
        Ok(Array::encode(element, &shape, &values))
    }

    /// Named arrays.
    pub fn arrays(&self, input: &mut Unstructured<'_>, stacked: bool) -> arbitrary::Result<BTreeMap<String, Array>> {
        let mut arrays = BTreeMap::new();
        let prefixes: &[&str] = *input.choose(&[&[""][..], &["item/"], &["item/", "user/"]])?;
        let sparse = input.ratio(1, 3)?;
        let usual: &[&str] = if sparse {
            &["row_step", "row_id", "row_q", "row_q_next", "row_grad", "ids"]
        } else {
            &["q", "q_next", "grad", "ids", "grad_out"]
        };
        for prefix in prefixes {
            for base in usual {
                if !input.ratio(1, 5)? {
                    let name = format!("{prefix}{base}");
                    let array = self.array(input, &name, stacked)?;
                    arrays.insert(name, array);
                }
            }
        }
        for _ in 0..input.int_in_range(0..=4)? {
            let name = name(input)?;
            let array = self.array(input, &name, stacked)?;
            arrays.insert(name, array);
        }
        Ok(arrays)
    }
}

/// An array as a `.npy` file, now and then with a header that does not fit.
pub fn npy(input: &mut Unstructured<'_>, array: &Array) -> arbitrary::Result<Vec<u8>> {
    let mut shape: Vec<u64> = array.shape().iter().map(|axis| *axis as u64).collect();
    if input.ratio(1, 10)? {
        shape.push(*input.choose(&[0, 1, 1 << 40, u64::MAX])?);
    }
    let shape: Vec<String> = shape.iter().map(u64::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let descr = if input.ratio(1, 12)? {
        *input.choose(&[">f8", "|O", "<U3", "|S5", "<c16", ""])?
    } else {
        forms::descr(array.element())
    };
    let shape = format!("({}{comma})", shape.join(", "));
    let mut bytes = forms::npy_header(&forms::npy_text(descr, input.ratio(1, 15)?, &shape));
    bytes.extend_from_slice(array.as_bytes());
    Ok(bytes)
}

/// Whether a scenario can be run in a moment: no size in it (its seed is none) is larger than `most`, but for those that no
/// machine could hold, which have to be refused.
pub fn is_quick(scenario: &serde_json::Value, most: u64) -> bool {
    const HOPELESS: u64 = 1 << 50;
    match scenario {
        serde_json::Value::Number(number) => number.as_u64().is_none_or(|size| size <= most || size >= HOPELESS),
        serde_json::Value::Array(values) => values.iter().all(|value| is_quick(value, most)),
        serde_json::Value::Object(entries) => entries.iter().all(|(key, value)| key == "seed" || is_quick(value, most)),
        _ => true,
    }
}
