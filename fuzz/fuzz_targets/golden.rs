#![no_main]
//! Texts as documents of golden fixtures, beside the values of a fixture that is as it was generated.

use std::fs;
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use perpend::golden::fixture::{Folder, SUMS};
use perpend::reference::Reference;
use perpend::trainer::Trainer;
use perpend_fuzz::{is_quick, with_path};
use sha2::{Digest, Sha256};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/v1");

fuzz_target!(|bytes: &[u8]| {
    let Ok(document) = serde_json::from_slice::<serde_json::Value>(bytes) else { return };
    if !is_quick(&document, 8) {
        return;
    }
    with_path("fixtures", |folder| {
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder.join("claim")).expect("a folder");
        let values = values(&document).unwrap_or_default();
        let mut sums = String::new();
        for (name, bytes) in [("claim/case.json", bytes), ("claim/case.safetensors", &values)] {
            fs::write(folder.join(name), bytes).expect("a file");
            let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            sums += &format!("{digest}  {name}\n");
        }
        fs::write(folder.join(SUMS), sums).expect("a file");
        match Folder::open(folder).and_then(|folder| folder.read("claim/case")) {
            Ok(fixture) => {
                for step in 0..fixture.steps.len() {
                    let _ = Reference.train(&fixture.one_step(step));
                }
            }
            Err(error) => assert!(error.is_input(), "{error}"),
        }
    });
});

/// The values that the notes of the document name, so that mutations meet those of their own fixture.
fn values(document: &serde_json::Value) -> Option<Vec<u8>> {
    let name = document["derivation"].as_str()?;
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || b"-/".contains(&byte));
    let path = Path::new(FIXTURES).join(format!("{name}.safetensors"));
    fs::read(path).ok().filter(|_| plain)
}
