#![no_main]
//! Texts as scenarios, TOML and JSON: read, written and read again, drawn and trained for.

use libfuzzer_sys::fuzz_target;
use perpend::reference::Reference;
use perpend::scenario::Scenario;
use perpend::trainer::Trainer;
use perpend_fuzz::is_quick;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for scenario in [Scenario::from_toml(text), Scenario::from_json(text)] {
        match scenario {
            Ok(scenario) => {
                // What was read can be written and read again.
                let text = scenario.to_json();
                assert!(Scenario::from_json(&text).is_ok(), "{text}");
                if is_quick(&serde_json::from_str(&text).expect("JSON"), 8) {
                    match scenario.materialise() {
                        Ok(values) => drop(Reference.train(&values)),
                        Err(error) => assert!(error.is_input(), "{error}"),
                    }
                }
            }
            Err(error) => assert!(error.is_input(), "{error}"),
        }
    }
});
