#![no_main]
//! Header metadata: any strings are settings, and written again they are the same settings.

use std::collections::BTreeMap;

use arbitrary::Unstructured;
use libfuzzer_sys::fuzz_target;
use perpend::trajectory::{DeclaredOptimizer, Settings, Side};
use perpend_fuzz::metadata;

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    let Ok(mut entries) = metadata(&mut input) else { return };
    if let Ok(text) = std::str::from_utf8(input.take_rest()) {
        entries.insert("optimizer".to_owned(), text.to_owned());
        let (optimizer, _) = DeclaredOptimizer::parse(text);
        let (again, _) = DeclaredOptimizer::parse(&optimizer.to_text());
        assert_eq!(again, optimizer);
    }
    let (settings, _) = Settings::from_metadata(&entries);
    let (again, _): (Settings, Vec<String>) = Settings::from_metadata(&settings.to_metadata() as &BTreeMap<_, _>);
    assert_eq!(again, settings);
    for side in Side::ALL {
        let _ = settings.for_tower(Some(side));
    }
});
