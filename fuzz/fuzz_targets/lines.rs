#![no_main]
//! Bytes after a header line of JSON Lines.

use libfuzzer_sys::fuzz_target;
use perpend_fuzz::open_bytes;

fuzz_target!(|bytes: &[u8]| {
    // Half of the time the header is right, so that more than its parser is tried.
    match bytes.split_first() {
        Some((0..128, rest)) => drop(open_bytes(&[b"{\"perpend\": \"1\"}\n", rest].concat())),
        Some((_, rest)) => drop(open_bytes(rest)),
        None => {}
    }
});
