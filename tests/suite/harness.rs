//! Trainers that are other programs: what they do right is judged, and whatever they do wrong ends in one message.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use perpend::claims::check::{self, Status};
use perpend::claims::{find, specimen};
use perpend::harness::{Foreign, Options};
use perpend::reference::Reference;
use perpend::trainer::Trainer;
use perpend::trajectory::{Array, Settings, Side};

/// What every fake trainer begins with: it answers `start` and hands requests to train to `train(message, number)`, which
/// returns the answer or writes one itself and returns None. Only Python's own library.
const SKELETON: &str = r#"
import json, os, shutil, sys, time
print("hello from the fake", file=sys.stderr)
def say(answer):
    sys.stdout.write(answer if isinstance(answer, str) else json.dumps(answer) + "\n")
    sys.stdout.flush()
def serve(train, **more):
    number = 0
    for line in sys.stdin:
        message = json.loads(line)
        if message["cmd"] == "stop":
            return
        if message["cmd"] == "start":
            say({"implementation": "fake", "version": 1, **more})
        else:
            number += 1
            answer = train(message, number)
            if answer is not None:
                say(answer)
"#;

/// A fake trainer in Python, and the command that starts it.
fn fake(folder: &Path, program: &str) -> String {
    let path = folder.join("fake.py");
    fs::write(&path, format!("{SKELETON}\n{program}\n")).unwrap();
    format!("python3 -u '{}'", path.display())
}

/// Long enough for a loaded machine to start Python, short enough for a test of what never answers.
fn patient() -> Options {
    Options { timeout: Duration::from_secs(60) }
}

/// The error that a fake trainer's training of a plain scenario ends in.
fn error_of(program: &str, options: &Options) -> perpend::Error {
    let folder = tempfile::tempdir().unwrap();
    let trainer = Foreign::start(&fake(folder.path(), program), options).unwrap();
    let asked = specimen::plain(0).materialise().unwrap();
    let error = trainer.train(&asked).unwrap_err();
    // What was found out once is said again, and nothing more is asked.
    if error.is_trainer() {
        assert_eq!(trainer.train(&asked).unwrap_err(), error);
    }
    error
}

/// Asserts that a fake trainer's answer is refused as exit 5, with these words.
#[track_caller]
fn refused(program: &str, options: &Options, words: &[&str]) {
    let error = error_of(program, options);
    let text = error.to_string();
    assert!(error.is_trainer() && error.exit_code() as u8 == 5, "{text}");
    assert!(text.starts_with("trainer 'python3 -u '") && text.contains("answer to train: "), "{text}");
    assert!(text.contains("expected") && text.contains("found"), "{text}");
    words.iter().for_each(|word| assert!(text.contains(word), "{word} is not in: {text}"));
}

#[test]
fn a_process_that_crashes_is_told_with_its_last_words() {
    let crash = "serve(lambda message, number: (print('out of memory', file=sys.stderr), os._exit(7)))";
    refused(crash, &patient(), &["the end of its output (exit status: 7)", "stderr     out of memory"]);
    let killed = "serve(lambda message, number: os.kill(os.getpid(), 9))";
    refused(killed, &patient(), &["the end of its output (signal: 9"]);
}

#[test]
fn what_is_no_answer_is_refused() {
    for (answer, words) in [
        (r#""Segmentation fault\n""#, "Segmentation fault"),
        (r#""\n""#, "EOF"),
        (r#"{"ok": False}"#, "ok can only be true"),
        (r#"{"ok": True, "error": "both"}"#, "expected"),
        (r#"{"done": True}"#, "unknown variant `done`"),
        (r#"[]"#, "expected"),
    ] {
        refused(&format!("serve(lambda message, number: {answer})"), &patient(), &[words, r#"{"ok":true}"#]);
    }
    let bytes =
        "def train(message, number):\n    sys.stdout.buffer.write(b'\\xff\\xfe\\n'); sys.stdout.flush()\nserve(train)";
    refused(bytes, &patient(), &["bytes that are not UTF-8"]);
}

#[test]
fn half_a_line_is_no_answer() {
    let ended = "serve(lambda message, number: (say('{\"ok\": tr'), os._exit(0)))";
    refused(ended, &patient(), &["half a line", r#"{\"ok\": tr"#, "exit status: 0"]);
}

#[test]
fn a_line_without_end_is_cut_off() {
    refused(
        "serve(lambda message, number: say('x' * (1 << 22)))",
        &patient(),
        &["a line of more than 1048576 bytes"],
    );
}

#[test]
fn more_lines_than_were_asked_for_are_refused() {
    // Two answers to one question, the first of them good: the second is taken for the answer to the next.
    let folder = tempfile::tempdir().unwrap();
    let program = "serve(lambda message, number: say('{\"unsupported\":\"no\"}\\n{\"unsupported\":\"no\"}\\n'))";
    let trainer = Foreign::start(&fake(folder.path(), program), &patient()).unwrap();
    let asked = specimen::plain(0).materialise().unwrap();
    assert!(trainer.train(&asked).unwrap_err().is_unsupported());
    // The second line is written at once with the first, and on its way when the next question comes.
    let found = (0..100).map(|_| trainer.train(&asked).unwrap_err()).find(perpend::Error::is_trainer);
    assert!(found.unwrap().to_string().contains("which nothing had asked for"));
}

#[test]
fn a_flood_on_standard_error_blocks_nobody() {
    let flood = "\
def train(message, number):
    for _ in range(20000):
        print('warning ' * 20, file=sys.stderr)
    return {'unsupported': 'everything'}
serve(train)";
    let error = error_of(flood, &patient());
    assert!(error.is_unsupported(), "{error}");
    let endless = "serve(lambda message, number: (sys.stderr.write('x' * (1 << 22)), os._exit(1)))";
    let text = error_of(endless, &patient()).to_string();
    assert!(text.contains("exit status: 1") && text.len() < 10_000, "{} bytes", text.len());
}

#[test]
fn done_without_a_file_is_not_done() {
    refused(
        "serve(lambda message, number: {'ok': True})",
        &patient(),
        &["out: expected a safetensors file", "none"],
    );
    let folder = "serve(lambda message, number: (os.mkdir(message['out']), {'ok': True})[1])";
    refused(folder, &patient(), &["something else than a file"]);
}

#[test]
fn an_echo_of_the_input_is_no_trajectory() {
    let echo = "serve(lambda message, number: (shutil.copy(message['tables'], message['out']), {'ok': True})[1])";
    refused(echo, &patient(), &["answer to train: item/q: expected F64 [13, 10, 4], found no such array"]);
    let text = "serve(lambda message, number: (open(message['out'], 'w').write('done'), {'ok': True})[1])";
    refused(text, &patient(), &["out: expected a safetensors, npz or JSON Lines file"]);
    let half = "\
def train(message, number):
    whole = open(message['tables'], 'rb').read()
    open(message['out'], 'wb').write(whole[:len(whole) // 2])
    return {'ok': True}
serve(train)";
    refused(half, &patient(), &["a truncated file"]);
}

/// The error that ends in where a fake trainer answers a scenario with this trajectory.
fn error_of_file(trajectory: &Path) -> String {
    let program = format!(
        "serve(lambda message, number: (shutil.copy({:?}, message['out']), {{'ok': True}})[1])",
        trajectory.to_str().unwrap()
    );
    let error = error_of(&program, &patient());
    assert!(error.is_trainer(), "{error}");
    error.to_string()
}

#[test]
fn the_trajectory_of_another_scenario_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("other.safetensors");
    let save = |scenario: perpend::scenario::Scenario| {
        let trajectory = Reference.train(&scenario.materialise().unwrap()).unwrap();
        trajectory.save(&file, true).unwrap();
        error_of_file(&file)
    };
    // The file of an earlier request.
    let stale = save(specimen::plain(1));
    assert!(stale.contains("item/q before step 0: number 0: expected"), "{stale}");
    let mut longer = specimen::plain(0);
    longer.steps += 1;
    let longer = save(longer);
    assert!(longer.contains("item/q: expected F64 [13, 10, 4], found F64 [14, 10, 4]"), "{longer}");
    let encoded = save(specimen::frozen_bias(0));
    assert!(encoded.contains("item/q before step 0"), "{encoded}");
    // The same tables, other batches.
    let asked = specimen::plain(0).materialise().unwrap();
    let mut other = asked.explicit();
    other.batches.as_mut().unwrap()[3].positives[0] = (asked.batches[3].positives[0] + 1) % 10;
    let other = save(other);
    assert!(other.contains("positives: expected the rows"), "{other}");
}

#[test]
fn numbers_that_are_not_finite_or_of_another_precision_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.safetensors");
    let asked = specimen::plain(0).materialise().unwrap();
    let trained = Reference.train(&asked).unwrap();
    let with = |name: &str, change: &dyn Fn(&Array) -> Array| {
        let mut arrays = trained.arrays().clone();
        arrays.insert(name.into(), change(&arrays[name]));
        perpend::trajectory::write_arrays(&file, true, &trained.settings().to_metadata(), &arrays).unwrap();
        error_of_file(&file)
    };
    let values = |array: &Array| {
        let mut values = vec![0.0; array.len()];
        array.read(0, &mut values);
        values
    };
    let not_a_number = with("user/grad", &|array| {
        let mut values = values(array);
        values[21] = f64::NAN;
        Array::from_f64(array.shape(), &values)
    });
    assert!(not_a_number.contains("user/grad: expected finite numbers") && not_a_number.contains("NaN at [1, 1, 1]"));
    let single =
        with("item/q", &|array| Array::encode(perpend::trajectory::Element::F32, array.shape(), &values(array)));
    assert!(single.contains("item/q: expected F64 [13, 10, 4], found F32 [13, 10, 4]"), "{single}");
    let clipped = Settings { grad_stage: Some("clipped".into()), ..trained.settings().clone() };
    trained.with_settings(clipped).unwrap().save(&file, true).unwrap();
    let clipped = error_of_file(&file);
    assert!(clipped.contains("item/grad_stage: expected raw gradients, found clipped"), "{clipped}");
}

#[test]
fn an_answer_that_says_error_is_told_and_the_process_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let program = "serve(lambda message, number: {'error': f'no disk ({number})'})";
    let trainer = Foreign::start(&fake(folder.path(), program), &patient()).unwrap();
    let asked = specimen::plain(0).materialise().unwrap();
    for number in 1..=2 {
        let error = trainer.train(&asked).unwrap_err();
        assert!(error.is_input() && !error.is_trainer(), "{error}");
        assert!(error.to_string().contains(&format!("no disk ({number})")), "{error}");
    }
}

#[test]
fn what_does_not_start_or_does_not_introduce_itself_is_refused() {
    let error = |command: &str| Foreign::start(command, &Options { timeout: Duration::from_secs(20) }).err().unwrap();
    for command in ["no-such-program --flag", "'unclosed", "", "   "] {
        assert!(error(command).is_usage(), "{command}: {}", error(command));
    }
    let folder = tempfile::tempdir().unwrap();
    for (answer, word) in [
        ("os._exit(0)", "the end of its output (exit status: 0)"),
        ("say('hello\\n')", "hello"),
        ("say({'implementation': 'x', 'version': 2})", "expected version 1, found 2"),
        ("say({'implementation': 'x', 'version': 1, 'losses': ['bpr', 'bpr']})", "listed twice"),
        ("say({'error': 'not today'})", "not today"),
    ] {
        let error = error(&fake(folder.path(), &format!("sys.stdin.readline()\n{answer}")));
        assert!(error.is_trainer() && error.to_string().contains("answer to start: "), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let banner = error(&fake(folder.path(), "say('welcome\\n')\ntime.sleep(3600)"));
    assert!(banner.to_string().contains("welcome"), "{banner}");
}

#[cfg(target_os = "linux")]
/// The processes whose command line holds this text, zombies included.
fn running(text: &str) -> usize {
    let processes = fs::read_dir("/proc").unwrap().filter_map(|entry| {
        let folder = entry.unwrap().path();
        let line = fs::read(folder.join("cmdline")).ok()?;
        String::from_utf8_lossy(&line).contains(text).then_some(())
    });
    processes.count()
}

/// Asserts that they are gone, or go at once: a killed process needs a moment to end.
#[track_caller]
fn gone(text: &str) {
    let start = Instant::now();
    while running(text) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "{} processes are left", running(text));
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// What hangs is ended after the time limit, and what is no longer needed at once; all of it beside each other, as it is waited
/// for.
#[test]
fn no_process_outlives_its_time_or_its_trainer() {
    const HANG: &str = "serve(lambda message, number: time.sleep(3600))";
    let short = Options { timeout: Duration::from_secs(5) };
    let silent = || refused(HANG, &short, &["nothing within 5 s", "hello from the fake"]);
    let in_a_line = || {
        let half = "serve(lambda message, number: (say('{\"ok\": tr'), time.sleep(3600)))";
        refused(half, &short, &["nothing within 5 s"]);
    };
    let behind_a_shell = || {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().to_str().unwrap();
        // The shell waits, so that the child is not the one that hangs.
        let script = folder.path().join("run.sh");
        fs::write(&script, format!("{}\nexit 3\n", fake(folder.path(), HANG))).unwrap();
        let trainer = Foreign::start(&format!("sh '{}'", script.display()), &short).unwrap();
        assert_eq!(running(mark), 2);
        assert!(trainer.train(&specimen::plain(0).materialise().unwrap()).unwrap_err().is_trainer());
        gone(mark);
    };
    // Idle ones end when they are no longer needed, also those that do not listen.
    let idle = |program: &str| {
        let folder = tempfile::tempdir().unwrap();
        let mark = folder.path().to_str().unwrap();
        let trainer = Foreign::start(&fake(folder.path(), program), &patient()).unwrap();
        assert_eq!(running(mark), 1);
        drop(trainer);
        gone(mark);
    };
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(silent);
        scope.spawn(in_a_line);
        scope.spawn(behind_a_shell);
        scope.spawn(|| idle("serve(None)"));
        scope.spawn(|| idle("serve(None)\ntime.sleep(3600)"));
    });
    assert!(start.elapsed() < Duration::from_secs(60));
}

// The command

fn perpend(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_perpend")).current_dir(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_trainer_that_supports_nothing_is_nothing_checked() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = fake(folder.path(), "serve(lambda message, number: {'unsupported': 'not mine'})");
    let output = perpend(
        folder.path(),
        &["check", "norm-growth", "declared-step", "--cases", "20", "--trainer", &nothing, "--json"],
    );
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for claim in document["claims"].as_array().unwrap() {
        assert_eq!((claim["status"].as_str(), claim["cases"].as_u64()), (Some("skipped"), Some(0)));
        assert!(claim["unsupported"].as_u64().unwrap() >= 20);
    }
    // What it does not list, it is not asked.
    let unlisted = fake(folder.path(), "serve(lambda message, number: os._exit(1), optimizers=['my-own'])");
    let output = perpend(folder.path(), &["check", "norm-growth", "--cases", "20", "--trainer", &unlisted]);
    assert_eq!(output.status.code(), Some(4), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("skip"));
}

#[test]
fn a_trainer_that_fails_ends_the_check_with_one_message_and_a_case() {
    let folder = tempfile::tempdir().unwrap();
    let crash = fake(folder.path(), "serve(lambda message, number: os._exit(9))");
    let output = perpend(folder.path(), &["check", "norm-growth", "declared-step", "--trainer", &crash]);
    assert_eq!(output.status.code(), Some(5));
    let message = text(&output.stderr);
    assert_eq!(message.matches("error:").count(), 1, "{message}");
    assert!(message.contains("exit status: 9") && message.contains("claim      norm-growth"), "{message}");
    let case = folder.path().join("perpend-failures/norm-growth-seed0.json");
    assert!(case.exists() && message.contains("replay     perpend check norm-growth --trainer"), "{message}");
    let again =
        perpend(folder.path(), &["check", "norm-growth", "--trainer", &crash, "--case", case.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(5));
    assert!(text(&again.stderr).contains("exit status: 9"));
}

/// The program of `examples/trainer.rs`; built where the tests run without the examples.
fn example() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let profile = tests.parent().and_then(Path::parent).unwrap();
    let example = profile.join("examples").join(format!("trainer{}", std::env::consts::EXE_SUFFIX));
    if !example.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args([
            "build",
            "--example",
            "trainer",
            "--manifest-path",
            concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"),
        ]);
        cargo.args((profile.file_name() == Some("release".as_ref())).then_some("--release"));
        assert!(cargo.status().unwrap().success());
    }
    example
}

#[test]
fn a_trainer_in_another_process_trains_as_it_would_in_this_one() {
    let trainer = Foreign::start(&format!("'{}'", example().display()), &patient()).unwrap();
    assert_eq!(trainer.implementation(), "examples/trainer 1.0");
    for scenario in [specimen::plain(0), specimen::momentum(1), specimen::adam(2), specimen::shared_linear(3)] {
        let asked = scenario.materialise().unwrap();
        let (foreign, own) = (trainer.train(&asked).unwrap(), Reference.train(&asked).unwrap());
        assert_eq!(foreign.settings(), own.settings());
        assert!(foreign.arrays().keys().eq(own.arrays().keys()));
        for (name, array) in own.arrays() {
            assert_eq!(foreign.array(name).unwrap().as_bytes(), array.as_bytes(), "{name}");
        }
    }
    let turned_down = [specimen::rowwise_adagrad(0), specimen::two_layer(0)];
    for scenario in turned_down {
        assert!(trainer.train(&scenario.materialise().unwrap()).unwrap_err().is_unsupported());
    }
}

#[test]
fn a_claim_is_checked_on_what_the_trainer_can_do_and_a_fault_is_shrunk_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let command = format!("'{}'", example().display());
    let trainer = Foreign::start(&command, &patient()).unwrap();
    let options = check::Options { cases: 60, ..check::Options::default() };
    let report = check::check(find("declared-step").unwrap(), &trainer, &options, &|_| {}).unwrap();
    assert_eq!((report.status, report.cases), (Status::Passed, 60), "{:?}", report.failure);
    assert!(report.twins.iter().chain(&report.controls).all(|specimen| specimen.as_expected));

    let faulty = format!("{command} --fault");
    let output = perpend(folder.path(), &["check", "declared-step", "--trainer", &faulty]);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let report = text(&output.stdout);
    assert!(report.contains("FAIL declared-step") && report.contains("--fault"), "{report}");
    let case = folder.path().join("perpend-failures/declared-step-seed0.json");
    let smallest = perpend::scenario::Scenario::open(&case).unwrap();
    assert!(smallest.dim <= 2 && smallest.item.rows <= 2 && smallest.steps <= 2, "{}", smallest.to_json());
    let replay = ["check", "declared-step", "--trainer", &faulty, "--case", case.to_str().unwrap()];
    let output = perpend(folder.path(), &replay);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    // A trainer without the fault is not accused by the same case, in which the gradients that it adds up may cancel.
    let output = perpend(folder.path(), &["check", "declared-step", "--case", case.to_str().unwrap()]);
    assert!([Some(0), Some(3)].contains(&output.status.code()), "{}", text(&output.stdout));
}

/// A trainer that takes another rate than it was asked to, and declares that one, does what it declares. It is judged by what it
/// was asked.
#[test]
fn a_trainer_cannot_declare_its_fault_away() {
    struct Slow;
    impl Trainer for Slow {
        fn name(&self) -> String {
            "slow".into()
        }
        fn train(
            &self,
            materialised: &perpend::scenario::Materialised,
        ) -> perpend::Result<perpend::trajectory::Trajectory> {
            let mut scenario = materialised.explicit();
            for side in Side::ALL {
                scenario.tower_mut(side).optimizer.schedule_mut().scale(0.5);
            }
            Reference.train(&scenario.materialise()?)
        }
    }
    let options = check::Options { cases: 50, shrinking: Duration::ZERO, ..check::Options::default() };
    let claim = find("declared-step").unwrap();
    let believed = check::check(claim, &Slow, &options, &|_| {}).unwrap();
    assert_eq!(believed.status, Status::Passed, "it does what it declares");

    let folder = tempfile::tempdir().unwrap();
    let asked = specimen::plain(0);
    let file = folder.path().join("slow.safetensors");
    Slow.train(&asked.materialise().unwrap()).unwrap().save(&file, false).unwrap();
    let program = format!("serve(lambda message, number: (shutil.copy({file:?}, message['out']), {{'ok': True}})[1])");
    let trainer = Foreign::start(&fake(folder.path(), &program), &patient()).unwrap();
    let observation = check::check_case(claim, &asked, &trainer).unwrap();
    assert_eq!(observation.observed, perpend::verdict::Observed::Breaks, "{observation:?}");
}
