//! The kernel as people use it: the claims judge it like any trainer, and a long run survives being killed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use perpend::claims::ALL;
use perpend::claims::check::{Options, Status, check_on};
use perpend::kernel::KernelTrainer;
use perpend::scenario::random::Parts;

#[test]
fn every_claim_that_the_kernel_implements_holds_on_it() {
    let options = Options { cases: 16, ..Options::default() };
    let mut judged = 0;
    for claim in ALL {
        let kernel = KernelTrainer { threads: 2 };
        let report = check_on(*claim, &kernel, &options, &|_| {}, &|| Parts::from(claim.family()));
        if let Some(failure) = &report.failure {
            panic!("{}: {} in {}", claim.id(), failure.reason, failure.scenario.to_json());
        }
        judged += usize::from(report.status == Status::Passed);
    }
    // The others are about optimizers and gradients that the kernel does not have.
    assert!(4 * judged >= 3 * ALL.len(), "only {judged} of {} claims were judged", ALL.len());
}

/// Steps of the run that is killed: some seconds of it.
const STEPS: usize = 1500;

fn train(out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_perpend"));
    command
        .args(["train", "--trainer", "kernel", "--threads", "2", "--optimizer", "adam", "--precision", "float32"])
        .args(["--dim", "32", "--batch", "256", "--record-rows", "1", "--record-every", "100", "--seed", "3"])
        .args(["--steps", &STEPS.to_string(), "--out", out.to_str().unwrap()])
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn a_run_that_is_killed_at_random_moments_and_continued_ends_with_the_same_bits() {
    let place = tempfile::tempdir().unwrap();
    let model = |run: &str| std::fs::read(place.path().join(run).join("model.safetensors")).unwrap();
    let finish = |mut command: Command| {
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        // The audit that follows training decides little on so few records, and accuses nobody.
        assert!(matches!(output.status.code(), Some(0 | 3)), "{:?}: {text}", output.status);
    };
    finish(train(&place.path().join("whole")));

    let checkpoint = place.path().join("run.checkpoint");
    let file = checkpoint.to_str().unwrap();
    let mut killed = 0;
    for attempt in 0..3 {
        let mut command = train(&place.path().join(format!("part {attempt}")));
        command.args(["--checkpoint", file, "--checkpoint-every", "10"]);
        let written = |path: &Path| std::fs::metadata(path).and_then(|data| data.modified()).ok();
        let before = written(&checkpoint);
        if before.is_some() {
            command.args(["--resume", file]);
        }
        let mut child = command.stderr(Stdio::null()).spawn().unwrap();
        let start = Instant::now();
        while written(&checkpoint) == before && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < Duration::from_secs(120), "no checkpoint came");
            std::thread::sleep(Duration::from_millis(2));
        }
        // Any moment will do, in the middle of a step or of a file.
        let moment = RandomState::new().build_hasher().finish() % 100_000;
        std::thread::sleep(Duration::from_micros(moment));
        // On Unix this is SIGKILL.
        child.kill().unwrap();
        let status = child.wait().unwrap();
        killed += usize::from(status.code().is_none());
    }
    assert!(killed > 0, "every run was over before it could be killed");

    let mut rest = train(&place.path().join("rest"));
    rest.args(["--resume", file]);
    finish(rest);
    assert_eq!(model("whole"), model("rest"));

    // Another run is not continued.
    for (flag, value, name) in [("--seed", "4", "scenario"), ("--threads", "1", "core")] {
        let mut other = train(&place.path().join("other"));
        let arguments: Vec<_> = other.get_args().map(|argument| argument.to_str().unwrap().to_owned()).collect();
        let at = arguments.iter().position(|argument| argument == flag).unwrap();
        let mut arguments = arguments;
        arguments[at + 1] = value.into();
        other = Command::new(env!("CARGO_BIN_EXE_perpend"));
        let output = other.args(arguments).args(["--resume", file]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(5), "{text}");
        assert!(text.contains(&format!("run.checkpoint: {name}")) && text.contains("as this run has it"), "{text}");
    }
    // Nor is a checkpoint of another run replaced.
    let mut other = train(&place.path().join("other"));
    let output = other.args(["--checkpoint", file]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
}
