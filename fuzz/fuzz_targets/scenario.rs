#![no_main]
//! Texts as scenarios, TOML and JSON.

use libfuzzer_sys::fuzz_target;
use perpend::scenario::Scenario;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for scenario in [Scenario::from_toml(text), Scenario::from_json(text)] {
        match scenario {
            // What was read can be written and read again.
            Ok(scenario) => assert!(Scenario::from_json(&scenario.to_json()).is_ok(), "{}", scenario.to_json()),
            Err(error) => assert!(error.is_input(), "{error}"),
        }
    }
});
