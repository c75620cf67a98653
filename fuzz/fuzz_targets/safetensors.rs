#![no_main]
//! Bytes as a file. Mutations of valid safetensors files keep their beginning, so they reach that reader; others are
//! recognised by their first bytes.

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    perpend_fuzz::open_bytes(bytes);
});
