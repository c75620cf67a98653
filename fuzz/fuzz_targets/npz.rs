#![no_main]
//! Zip archives with right checksums, of arrays that are nearly right: random bytes would hardly ever get past a checksum.
//! At the end a few bytes are changed.

use std::io::Write;

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use perpend_fuzz::{Sizes, metadata, npy, npy_header, open_bytes};
use rawzip::{CompressionMethod, ZipArchiveWriter};

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
        let pairs: Vec<String> = metadata(input)?.iter().map(|(key, value)| format!("{key:?}: {value:?}")).collect();
        let text = format!("{{{}}}", pairs.join(", "));
        let mut data = npy_header(&format!("|S{}", text.len()), false, "()");
        data.extend_from_slice(text.as_bytes());
        entries.push(("metadata.npy".to_owned(), data));
    }
    let mut writer = ZipArchiveWriter::new(Vec::new());
    for (name, data) in &entries {
        let deflated = input.ratio(1, 2)?;
        let method = if deflated { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
        let (mut entry, config) = writer.new_file(name.as_str()).compression_method(method).start().expect("a name");
        if deflated {
            let mut encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
            let mut out = config.wrap(&mut encoder);
            out.write_all(data).expect("memory");
            let (_, descriptor) = out.finish().expect("memory");
            encoder.finish().expect("memory");
            entry.finish(descriptor).expect("memory");
        } else {
            let mut out = config.wrap(&mut entry);
            out.write_all(data).expect("memory");
            let (_, descriptor) = out.finish().expect("memory");
            entry.finish(descriptor).expect("memory");
        }
    }
    let mut bytes = writer.finish().expect("memory");
    for _ in 0..input.int_in_range(0..=2)? {
        let at = input.choose_index(bytes.len())?;
        bytes[at] = input.arbitrary()?;
    }
    Ok(bytes)
}
