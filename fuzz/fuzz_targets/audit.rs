#![no_main]
//! Arrays that are nearly a trajectory, or one, through the whole audit and the report.

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use perpend::audit::audit;
use perpend::trajectory::{Settings, Trajectory};
use perpend_fuzz::{Sizes, metadata};

fuzz_target!(|bytes: &[u8]| {
    let _ = run(&mut Unstructured::new(bytes));
});

fn run(input: &mut Unstructured<'_>) -> Result<()> {
    let (settings, _) = Settings::from_metadata(&metadata(input)?);
    let sizes = Sizes::new(input)?;
    let arrays = sizes.arrays(input, true)?;
    if let Ok(trajectory) = Trajectory::new(settings, arrays) {
        match audit(&trajectory) {
            Ok(audit) => drop(perpend::report::json::audit_body(&audit)),
            Err(error) => assert!(error.is_input(), "{error}"),
        }
    }
    Ok(())
}
