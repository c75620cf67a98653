//! What the fuzz targets share: an allocator that counts, files to open, and arrays that are nearly right.

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use arbitrary::{Arbitrary, Unstructured};
use perpend::trajectory::{Array, Element, Trajectory, survey};

/// The system's allocator, counting the bytes in use and the most that were ever in use at once.
struct Counting;

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is passed on unchanged; counting touches nothing but two atomics.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let used = USED.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(used, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    // The system moves large blocks by their pages, without a second copy.
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let used = USED.fetch_add(size, Ordering::Relaxed) + size - layout.size();
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
        PEAK.fetch_max(used, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What reading may need beyond twice the file: three blocks of 16,384 decoded values are 400 kB; the limits on names, axes
/// and metadata (64 kB, held by the settings of the run and of each tower, and parsed as JSON) allow the rest.
pub const CONSTANT: usize = 1 << 21;

/// Runs `work` and fails where it held more memory at once than twice the size of what it read and [`CONSTANT`].
pub fn bounded<T>(size: usize, work: impl FnOnce() -> T) -> T {
    let before = USED.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    let result = work();
    let peak = PEAK.load(Ordering::Relaxed).saturating_sub(before);
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

/// The header of a `.npy` file.
pub fn npy_header(descr: &str, fortran: bool, shape: &str) -> Vec<u8> {
    let mut text = String::new();
    let order = if fortran { "True" } else { "False" };
    let _ = write!(text, "{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// NumPy's name of an element type.
pub fn descr(element: Element) -> &'static str {
    match element {
        Element::F64 => "<f8",
        Element::F32 => "<f4",
        Element::F16 => "<f2",
        Element::Bf16 => "<V2",
        Element::I64 => "<i8",
        Element::I32 => "<i4",
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
        descr(array.element())
    };
    let mut bytes = npy_header(descr, input.ratio(1, 15)?, &format!("({}{comma})", shape.join(", ")));
    bytes.extend_from_slice(array.as_bytes());
    Ok(bytes)
}
