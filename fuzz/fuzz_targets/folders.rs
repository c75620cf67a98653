#![no_main]
//! Folders of steps and of `.npy` files, nearly right.

use std::fs;

use arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use perpend::trajectory::{Element, write_arrays};
use perpend_fuzz::{Sizes, metadata, npy, open_and_walk, with_path};

fuzz_target!(|bytes: &[u8]| {
    let _ = folder(&mut Unstructured::new(bytes));
});

fn folder(input: &mut Unstructured<'_>) -> Result<()> {
    with_path("folder", |path| {
        let _ = fs::remove_dir_all(path);
        fs::create_dir_all(path.join("item")).expect("a folder");
        fs::create_dir(path.join("user")).expect("a folder");
        let sizes = Sizes::new(input)?;
        if input.ratio(1, 3)? {
            for (name, array) in sizes.arrays(input, true)? {
                fs::write(path.join(format!("{name}.npy")), npy(input, &array)?).expect("a file");
            }
        } else {
            let header = if input.ratio(1, 6)? {
                String::arbitrary(input)?
            } else {
                let pairs: Vec<String> = metadata(input)?.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
                let rows = *input.choose(&["{}", r#"{"item": [3, 1, 4]}"#, r#"{"item": [0], "user": []}"#])?;
                format!(r#"{{"perpend": "1", "metadata": {{{}}}, "row_ids": {rows}}}"#, pairs.join(", "))
            };
            fs::write(path.join("header.json"), header).expect("a file");
            let first = sizes.arrays(input, false)?;
            for index in 0..sizes.steps {
                let mut arrays = first.clone();
                for (name, array) in &mut arrays {
                    // Values and lengths change from step to step, seldom the rest.
                    let element = array.element();
                    let other = sizes.array(input, name, false)?;
                    if other.element() == element || input.ratio(1, 20)? {
                        *array = other;
                    }
                }
                if input.ratio(1, 20)? {
                    arrays.pop_first();
                }
                if input.ratio(1, 20)? {
                    arrays.insert("mask".into(), perpend::trajectory::Array::encode(Element::F16, &[1], &[1.0]));
                }
                let file = path.join(format!("step-{index:06}.safetensors"));
                write_arrays(&file, true, &Default::default(), &arrays).expect("a file");
            }
        }
        let size = size_of(path);
        open_and_walk(path, size);
        Ok(())
    })
}

fn size_of(folder: &std::path::Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { size_of(&path) } else { path.metadata().expect("a file").len() as usize }).sum()
}
