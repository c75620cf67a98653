//! Files of the forms that other programs write. The fuzz targets and the test of memory make theirs with it too, so it uses
//! nothing that is not public.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use rawzip::{CompressionMethod, ZipArchiveWriter};

use super::{Array, Element, write_arrays};

type Arrays = BTreeMap<String, Array>;
type Strings = BTreeMap<String, String>;

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

/// The beginning of a `.npy` file with the given text as its header.
pub fn npy_header(text: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend_from_slice(&(text.len() as u16).to_le_bytes());
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The text of a header: NumPy's name of the elements, the order of the axes, the shape as a tuple.
pub fn npy_text(descr: &str, fortran: bool, shape: &str) -> String {
    let order = if fortran { "True" } else { "False" };
    format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}")
}

/// An array as a `.npy` file.
pub fn npy(array: &Array) -> Vec<u8> {
    let axes: String = array.shape().iter().map(|axis| format!("{axis},")).collect();
    let mut bytes = npy_header(&npy_text(descr(array.element()), false, &format!("({axes})")));
    bytes.extend_from_slice(array.as_bytes());
    bytes
}

/// A zip archive with right checksums.
pub fn zip<'a>(entries: impl IntoIterator<Item = (&'a str, Vec<u8>, CompressionMethod)>) -> Vec<u8> {
    let mut writer = ZipArchiveWriter::new(Vec::new());
    for (name, data, method) in entries {
        let (mut entry, config) = writer.new_file(name).compression_method(method).start().unwrap();
        let descriptor = if method == CompressionMethod::DEFLATE {
            let mut encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
            let mut out = config.wrap(&mut encoder);
            out.write_all(&data).unwrap();
            let (_, descriptor) = out.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        } else {
            let mut out = config.wrap(&mut entry);
            out.write_all(&data).unwrap();
            out.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    writer.finish().unwrap()
}

fn object(metadata: &Strings) -> String {
    serde_json::to_string(metadata).unwrap()
}

/// The metadata of an npz file: a string array of one element.
pub fn npy_metadata(metadata: &Strings) -> Vec<u8> {
    let text = object(metadata);
    let mut bytes = npy_header(&npy_text(&format!("|S{}", text.len()), false, "()"));
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// An npz file.
pub fn npz(metadata: &Strings, arrays: &Arrays, method: CompressionMethod) -> Vec<u8> {
    let names: Vec<String> = arrays.keys().map(|name| format!("{name}.npy")).collect();
    let first = [("metadata.npy", npy_metadata(metadata), method)];
    let rest = names.iter().zip(arrays.values()).map(|(name, array)| (name.as_str(), npy(array), method));
    zip(first.into_iter().chain(rest))
}

/// A folder of `.npy` files.
pub fn write_npy_folder(folder: &Path, metadata: &Strings, arrays: &Arrays) {
    for (name, array) in arrays {
        let path = folder.join(format!("{name}.npy"));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, npy(array)).unwrap();
    }
    std::fs::write(folder.join("metadata.json"), object(metadata)).unwrap();
}

/// A folder of steps. `row_ids` is the JSON object of rows in its header.
pub fn write_steps(folder: &Path, metadata: &Strings, row_ids: &str, steps: &[Arrays]) {
    let header = format!(r#"{{"perpend": "1", "metadata": {}, "row_ids": {row_ids}}}"#, object(metadata));
    std::fs::write(folder.join("header.json"), header).unwrap();
    for (index, arrays) in steps.iter().enumerate() {
        let path = folder.join(format!("step-{index:06}.safetensors"));
        write_arrays(&path, true, &Strings::new(), arrays).unwrap();
    }
}

fn list(array: &Array, start: usize, shape: &[usize]) -> serde_json::Value {
    match shape.split_first() {
        None if array.element().is_integer() => array.integer(start).into(),
        None => array.value(start).into(),
        Some((length, inner)) => {
            let stride: usize = inner.iter().product();
            (0..*length).map(|entry| list(array, start + entry * stride, inner)).collect()
        }
    }
}

/// JSON Lines.
pub fn json_lines(metadata: &Strings, steps: &[Arrays]) -> String {
    let dtypes: Strings = steps[0].iter().map(|(name, array)| (name.clone(), array.element().to_string())).collect();
    let mut text = format!(r#"{{"perpend": "1", "metadata": {}, "dtypes": {}}}"#, object(metadata), object(&dtypes));
    for arrays in steps {
        let step: serde_json::Map<String, serde_json::Value> =
            arrays.iter().map(|(name, array)| (name.clone(), list(array, 0, array.shape()))).collect();
        text += &format!("\n{}", serde_json::Value::Object(step));
    }
    text
}
