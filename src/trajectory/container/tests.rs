//! Every form holds the same arrays, says what is wrong with it, and cannot be made to panic or to claim what it has not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use rawzip::CompressionMethod;

use self::forms::{json_lines, npy, npy_header, npz, write_npy_folder, zip};
use super::*;
use crate::audit::audit;
use crate::report::json::audit_body;
use crate::trajectory::{Element, Side, Trajectory};

mod forms;

type Arrays = BTreeMap<String, Array>;
type Strings = BTreeMap<String, String>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/trajectories").join(name)
}

/// Everything that a report says, but not of which file.
fn report(path: &Path) -> serde_json::Value {
    let mut body = audit_body(&audit(&Trajectory::open(path).unwrap()).unwrap());
    body.as_object_mut().unwrap().remove("file");
    body
}

/// `q` beside `q_next`, as folders of steps have it, and every array cut into its steps.
fn pair_form(arrays: &Arrays) -> Arrays {
    let mut pairs = Arrays::new();
    for (name, array) in arrays {
        let base = Side::split(name).1;
        if ["q", "table"].contains(&base) && !arrays.contains_key(&format!("{name}_next")) {
            let entries = array.shape()[0];
            pairs.insert(name.clone(), part(array, 0..entries - 1));
            pairs.insert(format!("{name}_next"), part(array, 1..entries));
        } else {
            pairs.insert(name.clone(), array.clone());
        }
    }
    pairs
}

fn part(array: &Array, entries: std::ops::Range<usize>) -> Array {
    let stride = array.as_bytes().len() / array.shape()[0];
    let shape: Vec<usize> = std::iter::once(entries.len()).chain(array.shape()[1..].iter().copied()).collect();
    Array::owned(array.element(), &shape, array.as_bytes()[entries.start * stride..entries.end * stride].to_vec())
}

fn step_of(array: &Array, step: usize) -> Array {
    let one = part(array, step..step + 1);
    Array::owned(one.element(), &one.shape()[1..], one.as_bytes().to_vec())
}

/// Writes the run in every form; those of the second list are in the pair form, of which the last is the safetensors file.
fn every_form(folder: &Path, source: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (metadata, arrays) = read_arrays(source).unwrap();
    let at = |name: &str| folder.join(name);
    std::fs::write(at("stored"), npz(&metadata, &arrays, CompressionMethod::STORE)).unwrap();
    std::fs::write(at("deflated"), npz(&metadata, &arrays, CompressionMethod::DEFLATE)).unwrap();
    std::fs::create_dir(at("arrays")).unwrap();
    write_npy_folder(&at("arrays"), &metadata, &arrays);
    let pairs = pair_form(&arrays);
    let count = pairs.iter().find(|(name, _)| name.ends_with("q_next")).unwrap().1.shape()[0];
    let cut = |step| pairs.iter().map(|(name, array)| (name.clone(), step_of(array, step))).collect();
    let steps: Vec<Arrays> = (0..count).map(cut).collect();
    std::fs::create_dir(at("steps")).unwrap();
    forms::write_steps(&at("steps"), &metadata, "{}", &steps);
    write_arrays(&at("pairs"), false, &metadata, &pairs).unwrap();
    let mut paired = vec![at("steps"), at("pairs")];
    let text = json_lines(&metadata, &steps);
    if text.len() <= lines::LONGEST {
        std::fs::write(at("lines"), text).unwrap();
        paired.insert(0, at("lines"));
    }
    (vec![at("stored"), at("deflated"), at("arrays")], paired)
}

#[track_caller]
fn same_in_every_form(source: &Path) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, pairs) = every_form(folder.path(), source);
    let original = Trajectory::open(source).unwrap();
    let paired = Trajectory::open(pairs.last().unwrap()).unwrap();
    for (forms, like, file) in [(&whole, &original, source), (&pairs, &paired, pairs.last().unwrap().as_path())] {
        let expected = report(file);
        for form in forms {
            let opened = Trajectory::open(form).unwrap();
            assert_eq!(opened.arrays(), like.arrays(), "{}", form.display());
            assert_eq!(opened.settings(), like.settings(), "{}", form.display());
            assert_eq!(opened.notes(), like.notes(), "{}", form.display());
            assert_eq!(report(form), expected, "{}", form.display());
        }
    }
}

#[test]
fn a_run_has_the_same_audit_in_every_form() {
    same_in_every_form(&fixture("tiny.safetensors"));
}

#[test]
fn recorded_runs_have_the_same_audit_in_every_form() {
    let Some(folder) = std::env::var_os("PERPEND_RUNS") else {
        println!("skipped: PERPEND_RUNS is not set");
        return;
    };
    // One of each element type and with parameters; the conversion is the same for the rest.
    for name in [
        "torch_cosine_similarity__sgd_f64",
        "optax_ntxent__bf16_init0.02",
        "torch_cosine_similarity__mlp_16_32_16",
    ] {
        same_in_every_form(&Path::new(&folder).join(format!("{name}.safetensors")));
    }
}

#[test]
fn what_numpy_and_the_python_recorder_wrote_is_read() {
    let expected = Trajectory::open(&fixture("tiny.safetensors")).unwrap();
    for name in ["tiny.npz", "tiny-compressed.npz"] {
        let opened = Trajectory::open(&fixture(name)).unwrap();
        assert_eq!((opened.arrays(), opened.settings()), (expected.arrays(), expected.settings()), "{name}");
        assert_eq!(report(&fixture(name)), report(&fixture("tiny.safetensors")));
    }
    let pairs = pair_form(expected.arrays());
    for name in ["tiny.jsonl", "tiny.steps"] {
        let opened = Trajectory::open(&fixture(name)).unwrap();
        assert_eq!((opened.arrays(), opened.settings()), (&pairs, expected.settings()), "{name}");
    }
}

// ---- Joining steps ----

fn lines_of(text: &str) -> Result<Trajectory> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    Trajectory::open(file.path()).map_err(|error| {
        let message = error.to_string().replace(&file.path().display().to_string(), "FILE");
        assert!(error.is_input(), "{message}");
        Error::usage("", "", message)
    })
}

#[track_caller]
fn lines_fail(text: &str, message: &str) {
    let found = lines_of(text).unwrap_err().to_string();
    assert!(found.ends_with(&format!("found {message}")), "{found}\nis not\n{message}");
}

#[test]
fn lists_of_different_length_are_filled_up() {
    let trajectory = lines_of(
        r#"{"perpend": "1"}
        {"q": [[1, 0]], "q_next": [[1, 1]], "ids": [], "grad_out": [], "lr": 1, "step": 0}

        {"q": [[1, 1]], "q_next": [[2, 1]], "ids": [0, 0], "grad_out": [[1, 2], [3, 4]], "lr": 0.5, "step": 1}
        {"q": [[1, 1]], "q_next": [[2, 1]], "ids": [0], "grad_out": [[5, 6]], "lr": 0.25, "step": 2}"#,
    )
    .unwrap();
    let array = |name: &str| trajectory.array(name).unwrap();
    assert_eq!(array("ids"), &Array::from_i64(&[3, 2], &[-1, -1, 0, 0, 0, -1]));
    let expected = [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 0.0, 0.0];
    assert_eq!(array("grad_out"), &Array::from_f64(&[3, 2, 2], &expected));
    assert_eq!(array("lr"), &Array::from_f64(&[3], &[1.0, 0.5, 0.25]));
    // Steps 0, 1, 2 are what the reader would assume anyway.
    assert_eq!(trajectory.array("step"), None);
    let gaps = lines_of("{\"perpend\": \"1\"}\n{\"q\": [[1]], \"q_next\": [[2]], \"step\": 7}").unwrap();
    assert_eq!(gaps.array("step"), Some(&Array::from_i64(&[1], &[7])));
}

#[test]
fn records_of_the_sparse_form_follow_each_other() {
    let trajectory = lines_of(
        r#"{"perpend": "1", "row_ids": {"item": [9, 4]}, "dtypes": {"item/row_q": "F32", "item/row_q_next": "F32"}}
        {"item/row_id": [], "item/row_q": [], "item/row_q_next": [], "lr": 1}
        {"item/row_id": [4, 9], "item/row_q": [[1, 0], [0, 1]], "item/row_q_next": [[1, 1], [1, 1]], "lr": 1}
        {"item/row_id": [9], "item/row_q": [[1, 1]], "item/row_q_next": [[2, 1]], "lr": 1}"#,
    )
    .unwrap();
    let array = |name: &str| trajectory.array(name).unwrap();
    assert_eq!(array("item/row_step"), &Array::from_i64(&[3], &[1, 1, 2]));
    assert_eq!(array("item/row_id"), &Array::from_i64(&[3], &[4, 9, 9]));
    assert_eq!(array("item/row_q"), &Array::from_f32(&[3, 2], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]));
    assert_eq!(array("item/row_ids"), &Array::from_i64(&[2], &[9, 4]));
    assert_eq!((trajectory.towers()[0].steps(), trajectory.towers()[0].rows()), (3, 2));
}

#[test]
fn lines_that_do_not_fit_are_named() {
    let good = "{\"q\": [[1, 2]], \"q_next\": [[1, 2]]}";
    let head = "{\"perpend\": \"1\"}";
    assert!(lines_of(&format!("{head}\n{good}\n{good}")).is_ok());
    lines_fail("{\"q\": [1, 2, 3]}", "another key");
    lines_fail("{}", "{}");
    lines_fail(head, "none");
    for (text, error) in [
        ("[[1, 2], 3]", "lists of one depth have different lengths"),
        ("[[1, 2], [3]]", "lists of one depth have different lengths"),
        ("[[1, 2], []]", "lists of one depth have different lengths"),
        ("[[1, \"2\"]]", "invalid type: string \"2\", expected a number or a list of numbers"),
        ("[[1, null]]", "invalid type: null, expected a number or a list of numbers"),
        ("[[1, NaN]]", "expected value"),
    ] {
        let found = lines_of(&format!("{head}\n{{\"q\": {text}, \"q_next\": [[1, 2]]}}")).unwrap_err().to_string();
        assert!(found.contains("FILE: line 2") && found.contains(error), "{found}");
    }
    let found = lines_of(&format!("{head}\n{{\"q\": [[1]], \"q_next\": [[1]], \"ids\": [0.5]}}"))
        .unwrap_err()
        .to_string();
    assert!(found.contains("expected a 64-bit integer, found 0.5"), "{found}");
    lines_fail(&format!("{head}\n{good}\n{{\"q\": [[1, 2]]}}"), "none");
    lines_fail(&format!("{head}\n{good}\n{{\"q\": [[1]], \"q_next\": [[1]]}}"), "F64 of shape [1, 1]");
    lines_fail(&format!("{head}\n{good}\n{{\"q\": [[1, 2]], \"q_next\": [[1, 2]], \"lr\": 1}}"), "one");
    lines_fail(&format!("{head}\n{{\"q\": 1, \"q\": 2}}"), "two");
    lines_fail("{\"perpend\": \"2\"}\n{\"q\": [[1, 2]], \"q_next\": [[1, 2]]}", "\"2\"");
    lines_fail(
        &format!("{head}\n{}", " ".repeat(lines::LONGEST)),
        &format!("{} bytes", lines::LONGEST + head.len() + 1),
    );
    // One long list among many short ones would make a large array of little text.
    let long: Vec<String> = (0..4000).map(|_| "0".to_owned()).collect();
    let short = "{\"q\": [[1]], \"q_next\": [[1]], \"ids\": []}\n".repeat(4000);
    lines_fail(
        &format!("{head}\n{{\"q\": [[1]], \"q_next\": [[1]], \"ids\": [{}]}}\n{short}", long.join(",")),
        "lists of up to [4000] in 4001 steps",
    );
}

// ---- Folders ----

fn tiny_steps() -> (Strings, Vec<Arrays>) {
    let (metadata, arrays) = read_arrays(&fixture("tiny.safetensors")).unwrap();
    let pairs = pair_form(&arrays);
    let cut = |step| pairs.iter().map(|(name, array)| (name.clone(), step_of(array, step))).collect();
    (metadata, (0..pairs["item/q"].shape()[0]).map(cut).collect())
}

#[test]
fn an_interrupted_recording_is_read_as_far_as_it_went() {
    let folder = tempfile::tempdir().unwrap();
    let (metadata, steps) = tiny_steps();
    forms::write_steps(folder.path(), &metadata, "{}", &steps[..2]);
    std::fs::write(folder.path().join(".step-000002.safetensors.x.tmp"), "half a file").unwrap();
    let trajectory = Trajectory::open(folder.path()).unwrap();
    assert_eq!(trajectory.towers()[0].steps(), 2);
    assert_eq!(trajectory.settings().loss.as_deref(), Some("info-nce"));
}

#[test]
fn folders_that_do_not_fit_are_named() {
    let (metadata, steps) = tiny_steps();
    let fails = |change: &dyn Fn(&Path), message: &str| {
        let folder = tempfile::tempdir().unwrap();
        forms::write_steps(folder.path(), &metadata, "{}", &steps);
        change(folder.path());
        let error = Trajectory::open(folder.path()).unwrap_err();
        let found = error.to_string().replace(&folder.path().display().to_string(), "FOLDER");
        assert!(error.is_input() && found.contains(message), "{found}\nis not\n{message}");
    };
    let remove = |name: &'static str| move |folder: &Path| std::fs::remove_file(folder.join(name)).unwrap();
    fails(&remove("step-000001.safetensors"), "FOLDER/step-000001.safetensors: expected 5 steps without gaps");
    fails(&remove("header.json"), "FOLDER/header.json: cannot open");
    fails(
        &|folder| std::fs::write(folder.join("header.json"), "{}").unwrap(),
        "FOLDER/header.json: expected a header",
    );
    fails(
        &|folder| {
            let mut arrays = steps[1].clone();
            arrays.remove("item/q");
            write_arrays(&folder.join("step-000001.safetensors"), true, &Strings::new(), &arrays).unwrap();
        },
        "FOLDER/step-000001.safetensors: item/q: expected an array, as in the first step, found none",
    );
    fails(
        &|folder| {
            let path = folder.join("step-000003.safetensors");
            let bytes = std::fs::read(&path).unwrap();
            std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        },
        "FOLDER/step-000003.safetensors",
    );
}

// ---- npz ----

fn opened(bytes: &[u8]) -> Result<Contents> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    read(file.path()).map_err(|error| {
        let message = error.to_string().replace(&file.path().display().to_string(), "FILE");
        assert!(error.is_input(), "{message}");
        Error::usage("", "", message)
    })
}

#[track_caller]
fn npz_fails(bytes: &[u8], message: &str) {
    let found = opened(bytes).unwrap_err().to_string();
    assert!(found.contains(message), "{found}\nis not\n{message}");
}

#[test]
fn npz_files_that_do_not_fit_are_named() {
    let array = Array::from_f32(&[2, 1, 1], &[1.0, 2.0]);
    let entry = |header: &str| [npy_header(header), array.as_bytes().to_vec()].concat();
    let stated = |descr: &str, order: &str, shape: &str| {
        entry(&format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}"))
    };
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let one = |data: Vec<u8>| zip([("q.npy", data, method)]);
        assert_eq!(opened(&one(npy(&array))).unwrap().arrays["q"], array);
        npz_fails(
            &one(stated("<f4", "True", "(2, 1)")),
            "q: expected C order (numpy.ascontiguousarray), found Fortran order",
        );
        npz_fails(&one(stated("<f4", "False", "(3,)")), "q: expected as many bytes as F32 [3] has, found 8 bytes");
        npz_fails(&one(stated("<f4", "False", "(1,)")), "q: expected as many bytes as F32 [1] has, found 8 bytes");
        npz_fails(
            &one(stated("<f4", "False", "(1000000000000,)")),
            "as many bytes as F32 [1000000000000] has, found 8",
        );
        npz_fails(
            &one(stated("<f4", "False", "(4294967296, 4294967296)")),
            "as many bytes as F32 [4294967296, 4294967296]",
        );
        npz_fails(
            &one(stated("<f4", "None", "(2,)")),
            "q: expected a header {'descr': …, 'fortran_order': …, 'shape': …}",
        );
        npz_fails(
            &one(b"\x93NUMPY\x09\x00and so on".to_vec()),
            "q: expected a .npy file of version 1, 2 or 3, found 9.0",
        );
        npz_fails(&one(b"\x93NUMPY\x02\x00\xff\xff\xff\xff".to_vec()), "q: expected a header of at most 10000 bytes");
        npz_fails(&one(b"no magic".to_vec()), "q: expected a NumPy array (.npy), found content of another kind");
        npz_fails(
            &zip([("run/data.pkl", vec![0x80], method), ("run/data/0", vec![], method)]),
            "as in a PyTorch checkpoint",
        );
        npz_fails(
            &zip([("q.npy", npy(&array), method), ("q.npy", npy(&array), method)]),
            "q: expected one array of this name, found two",
        );
        npz_fails(
            &zip([("metadata.npy", npy(&array), method)]),
            "metadata: expected one string, found an array of shape [2, 1, 1]",
        );
        let foreign = opened(&one(stated(">f4", "False", "(2,)"))).unwrap().foreign;
        assert_eq!(foreign["q"], ">f4");
    }
    npz_fails(b"PK\x03\x04 and so on", "expected an npz file, found a broken zip archive");
}

#[test]
fn changed_bytes_of_an_npz_are_noticed_by_their_checksum() {
    let array = Array::from_f64(&[2, 2, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
    for method in [CompressionMethod::STORE, CompressionMethod::DEFLATE] {
        let whole = zip([("q.npy", npy(&array), method)]);
        let mut data = 0;
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            match opened(&changed) {
                // Dates, versions and the like are not the array's.
                Ok(contents) => {
                    assert!(contents.arrays.is_empty() || contents.arrays.values().all(|found| *found == array), "{at}")
                }
                Err(error) if error.to_string().contains("broken data") => data += 1,
                Err(_) => {}
            }
        }
        assert!(data > 0, "no changed byte of the data was noticed");
    }
}

#[test]
fn a_zip_bomb_is_not_unpacked() {
    // A directory that states what the array's header states, of data that go on and on.
    let header = npy_header("{'descr': '<f8', 'fortran_order': False, 'shape': (4,), }");
    let endless = [header.clone(), vec![0; 1 << 24]].concat();
    let small = [header, vec![0; 32]].concat();
    let mut bytes = zip([("q.npy", endless.clone(), CompressionMethod::DEFLATE)]);
    assert!(bytes.len() < 1 << 20, "{} bytes are no bomb", bytes.len());
    let stated = (endless.len() as u32).to_le_bytes();
    let mut changed = 0;
    for at in 0..bytes.len() - 4 {
        if bytes[at..at + 4] == stated {
            bytes[at..at + 4].copy_from_slice(&(small.len() as u32).to_le_bytes());
            changed += 1;
        }
    }
    assert!(changed > 0, "no size in the archive");
    npz_fails(&bytes, "q: expected an entry of a zip archive, found broken data: Invalid size");

    // Two entries of one piece of data.
    let array = npy(&Array::from_f32(&[2], &[1.0, 2.0]));
    let bytes = zip([("a.npy", array.clone(), CompressionMethod::STORE), ("b.npy", array, CompressionMethod::STORE)]);
    assert_eq!(opened(&bytes).unwrap().arrays.len(), 2);
    let directory = |from: usize| from + bytes[from..].windows(4).position(|four| four == b"PK\x01\x02").unwrap();
    let first = directory(0);
    let second = directory(first + 1);
    // Where the local header of an entry begins stands at byte 42 of its entry in the directory.
    let mut doubled = bytes.clone();
    doubled.copy_within(first + 42..first + 46, second + 42);
    npz_fails(&doubled, "expected entries beside each other, found entries that overlap");
}

// ---- Anything else ----

#[test]
fn headers_of_nothing_cannot_claim_memory() {
    let file = |header: &str| [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    let many: Vec<String> = (0..=MOST_ARRAYS)
        .map(|index| format!(r#""{index}":{{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}"#))
        .collect();
    npz_fails(
        &file(&format!("{{{}}}", many[..MOST_ARRAYS + 1].join(","))),
        "expected at most 4096 arrays, found more",
    );
    let axes = vec!["1"; MOST_AXES + 1].join(",");
    let wide = format!(r#"{{"q":{{"dtype":"F32","shape":[{axes}],"data_offsets":[0,0]}}}}"#);
    npz_fails(&file(&wide), "q: expected an entry {dtype, shape, data_offsets}");
    let long = format!(r#"{{"__metadata__":{{"optimizer":"{}"}}}}"#, "[".repeat(LONGEST_METADATA));
    npz_fails(&file(&long), "__metadata__: expected metadata of at most 65536 bytes");
    // An array without elements takes no space, whatever its shape.
    let hidden = r#"{"q":{"dtype":"F32","shape":[1099511627776,1099511627776,0],"data_offsets":[0,0]}}"#;
    npz_fails(&file(hidden), "q: expected as many bytes as F32");
}

#[test]
fn steps_without_data_cannot_be_claimed() {
    let sparse = |ids: &[usize], step: i64| {
        let one = |values: &[f64]| Array::from_f64(&[1, 1], values);
        let mut arrays = Arrays::from([
            ("row_step".to_owned(), Array::from_i64(&[1], &[step])),
            ("row_id".to_owned(), Array::from_i64(&[1], &[0])),
            ("row_q".to_owned(), one(&[1.0])),
            ("row_q_next".to_owned(), one(&[2.0])),
        ]);
        if !ids.is_empty() {
            arrays.insert("ids".to_owned(), Array::from_i64(ids, &[]));
        }
        Trajectory::new(Default::default(), arrays)
    };
    assert_eq!(sparse(&[], 1 << 16).unwrap().towers()[0].steps(), (1 << 16) + 1);
    let error = sparse(&[], 1 << 30).unwrap_err().to_string();
    assert_eq!(error, "trajectory: row_step: expected step indices from 0 to 65536, found 1073741824 at record 0");
    let error = sparse(&[1 << 40, 0], 0).unwrap_err().to_string();
    assert_eq!(error, "trajectory: ids: expected shape [1, B] (1 steps), found shape [1099511627776, 0]");
}

/// Valid files of every form, to be damaged.
fn specimens() -> Vec<Vec<u8>> {
    let (metadata, arrays) = read_arrays(&fixture("tiny.safetensors")).unwrap();
    let (_, steps) = tiny_steps();
    vec![
        std::fs::read(fixture("tiny.safetensors")).unwrap(),
        npz(&metadata, &arrays, CompressionMethod::STORE),
        npz(&metadata, &arrays, CompressionMethod::DEFLATE),
        json_lines(&metadata, &steps[..2]).into_bytes(),
        npy(&arrays["item/q"]),
    ]
}

fn damage(bytes: &mut Vec<u8>, changes: &[(prop::sample::Index, u8)], cut: Option<prop::sample::Index>) {
    for (index, value) in changes {
        let at = index.index(bytes.len());
        // Digits for digits keep text readable, so that more than its parser is tried.
        bytes[at] = if bytes[at].is_ascii_digit() {
            b'0' + value % 10
        } else {
            *value
        };
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len()));
    }
}

fn read_everything(opened: Result<Trajectory>) {
    match opened {
        Ok(trajectory) => {
            for tower in trajectory.towers() {
                let _ = tower.for_each(0..tower.rows(), &mut |_| Ok(()));
                let _ = crate::trajectory::survey(&tower);
            }
        }
        Err(error) => assert!(error.is_input(), "{error}"),
    }
}

proptest! {
    #[test]
    fn damaged_files_of_every_form_are_errors_and_never_panics(
        which in 0..5_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
        early in any::<bool>(),
    ) {
        let mut bytes = specimens().swap_remove(which);
        let length = bytes.len();
        let rest = bytes.split_off(if early { length.min(400) } else { length });
        damage(&mut bytes, &changes, cut);
        bytes.extend(rest);
        let folder = tempfile::tempdir().unwrap();
        // The last one is a single array, which is read as part of a folder.
        let path = folder.path().join("q.npy");
        std::fs::write(&path, bytes).unwrap();
        read_everything(Trajectory::open(if which == 4 { folder.path() } else { &path }));
    }

    #[test]
    fn damaged_folders_of_steps_are_errors_and_never_panics(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let (metadata, steps) = tiny_steps();
        forms::write_steps(folder.path(), &metadata, "{}", &steps[..2]);
        let path = folder.path().join(["header.json", "step-000000.safetensors", "step-000001.safetensors"][which]);
        let mut bytes = std::fs::read(&path).unwrap();
        damage(&mut bytes, &changes, cut);
        std::fs::write(&path, bytes).unwrap();
        read_everything(Trajectory::open(folder.path()));
    }

    #[test]
    fn any_bytes_after_any_beginning_are_answered(
        beginning in prop::sample::select(vec![&b""[..], b"PK\x03\x04", b"PK\x05\x06", b"\x93NUMPY\x01\0", b"{\"perpend\": \"1\"}\n", b"\x02\0\0\0\0\0\0\0{}"]),
        bytes in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [beginning, &bytes].concat()).unwrap();
        read_everything(Trajectory::open(file.path()));
    }
}
