#![no_main]
//! Zip archives with right checksums, of arrays that are nearly right: random bytes would hardly ever get past a checksum.
//! At the end a few bytes are changed.

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use perpend_fuzz::forms::{npy_metadata, zip};
use perpend_fuzz::{Sizes, metadata, npy, open_bytes};
use rawzip::CompressionMethod;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(archive) = archive(&mut Unstructured::new(bytes)) {
        open_bytes(&archive);
    }
});

fn archive(input: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let sizes = Sizes::new(input)?;
    let arrays = sizes.arrays(input, true)?;
    let mut entries: Vec<(String, Vec<u8>)> = Vec::new();
    for (name, array) in &arrays {
        let mut data = npy(input, array)?;
        if input.ratio(1, 15)? {
            data.truncate(input.int_in_range(0..=data.len())?);
        }
        entries.push((format!("{name}.npy"), data));
    }
    if input.ratio(1, 2)? {
        entries.push(("metadata.npy".to_owned(), npy_metadata(&metadata(input)?)));
    }
    let mut packed = Vec::new();
    for (name, data) in &entries {
        let method = if input.ratio(1, 2)? { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
        packed.push((name.as_str(), data.clone(), method));
    }
    let mut bytes = zip(packed);
    for _ in 0..input.int_in_range(0..=2)? {
        let at = input.choose_index(bytes.len())?;
        bytes[at] = input.arbitrary()?;
    }
    Ok(bytes)
}
