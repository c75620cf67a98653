//! A child process that is talked to line by line, and that cannot make this process wait for ever, whatever it does.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The longest line that is taken for an answer. Answers are a few words; arrays travel in files.
const LONGEST_ANSWER: usize = 1 << 20;
/// How much is kept of the standard error: this many lines of this many bytes.
const LAST_WORDS: usize = 8;
const LONGEST_WORD: usize = 300;
/// How long a process that has closed its output, or was told to stop, may take to end.
const GRACE: Duration = Duration::from_secs(2);

/// A line of output.
enum Line {
    Whole(String),
    /// The output ended in the middle of it.
    Half(String),
    TooLong,
    NoText,
}

/// The last lines of the standard error. Nobody but the child knows how many there will be: the rest is read and dropped.
type LastWords = Arc<Mutex<VecDeque<String>>>;

/// A running child. Dropped, it is told nothing more, given a moment to end, and killed with all that it started.
pub(super) struct Process {
    child: Child,
    /// What is sent; a thread writes it, since a child that does not read would block the writer.
    input: Option<Sender<String>>,
    output: Receiver<Line>,
    last_words: LastWords,
    /// Hangs up when the standard error has ended.
    silence: Receiver<()>,
    /// Whether it may still be waited for.
    trusted: bool,
}

/// Reads lines of at most `longest` bytes until the end or until `see` has enough. A longer line comes in pieces, the last of
/// which ends with the newline.
fn read_lines(input: impl Read, longest: usize, mut see: impl FnMut(&[u8]) -> bool) {
    let mut input = BufReader::new(input);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut input).take(longest as u64).read_until(b'\n', &mut line);
        if !read.is_ok_and(|read| read > 0) || !see(&line) {
            return;
        }
    }
}

fn answer(bytes: &[u8]) -> Line {
    match (std::str::from_utf8(bytes), bytes.ends_with(b"\n")) {
        (Ok(text), true) => Line::Whole(text.trim_end().to_string()),
        _ if bytes.len() == LONGEST_ANSWER => Line::TooLong,
        (Ok(text), false) => Line::Half(text.to_string()),
        (Err(_), _) => Line::NoText,
    }
}

/// The beginning of a text, as a message shows it.
fn excerpt(text: &str) -> String {
    let mut short: String = text.chars().take(80).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    format!("{short:?}")
}

impl Process {
    /// Starts a program with its arguments.
    pub fn start(program: &str, arguments: &[String]) -> std::io::Result<Self> {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // A group of its own, so that whatever it starts ends with it.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut child = command.spawn()?;
        let piped = "every stream was asked for as a pipe";
        let mut stdin = child.stdin.take().expect(piped);
        let (stdout, stderr) = (child.stdout.take().expect(piped), child.stderr.take().expect(piped));

        let (input, to_write) = channel::<String>();
        thread::spawn(move || {
            // Where it no longer reads, its silence is the error.
            to_write
                .iter()
                .try_for_each(|text| stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()))
                .ok();
        });
        // Whoever says more than is asked waits.
        let (lines, output) = sync_channel(1);
        thread::spawn(move || read_lines(stdout, LONGEST_ANSWER, |line| lines.send(answer(line)).is_ok()));
        let last_words = LastWords::default();
        let (speaking, silence) = channel::<()>();
        let kept = last_words.clone();
        thread::spawn(move || {
            read_lines(stderr, LONGEST_WORD, |line| {
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.extend(Some(String::from_utf8_lossy(line).trim_end().to_string()).filter(|line| !line.is_empty()));
                let surplus = kept.len().saturating_sub(LAST_WORDS);
                kept.drain(..surplus);
                true
            });
            drop(speaking);
        });
        Ok(Process { child, input: Some(input), output, last_words, silence, trusted: true })
    }

    /// Sends a line. Whether it arrives is seen by the answer.
    pub fn tell(&self, line: &str) {
        if let Some(input) = &self.input {
            input.send(format!("{line}\n")).ok();
        }
    }

    /// Sends a line and waits for one.
    ///
    /// # Errors
    /// What was found in place of a line.
    pub fn ask(&mut self, line: &str, limit: Duration) -> Result<String, String> {
        if let Ok(line) = self.output.try_recv() {
            return Err(format!("{}, which nothing had asked for", self.describe(line)));
        }
        self.tell(line);
        match self.output.recv_timeout(limit) {
            Ok(Line::Whole(text)) => Ok(text),
            Ok(line) => Err(self.describe(line)),
            Err(RecvTimeoutError::Timeout) => {
                self.trusted = false;
                Err(format!("nothing within {} s", limit.as_secs_f64()))
            }
            Err(RecvTimeoutError::Disconnected) => Err(format!("the end of its output ({})", self.fate())),
        }
    }

    fn describe(&mut self, line: Line) -> String {
        match line {
            Line::Whole(text) => format!("the line {}", excerpt(&text)),
            Line::Half(text) => format!("half a line, {}, and the end of its output ({})", excerpt(&text), self.fate()),
            Line::TooLong => {
                self.trusted = false;
                format!("a line of more than {LONGEST_ANSWER} bytes")
            }
            Line::NoText => "bytes that are not UTF-8".into(),
        }
    }

    /// How a process that has closed its output ended.
    fn fate(&mut self) -> String {
        let start = Instant::now();
        while start.elapsed() < GRACE {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                _ => thread::sleep(Duration::from_millis(5)),
            }
        }
        self.trusted = false;
        "still running".into()
    }

    /// The last lines of its standard error.
    pub fn last_words(&self) -> Vec<String> {
        // What it said before it ended may still be on its way.
        self.silence.recv_timeout(Duration::from_millis(200)).ok();
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.input = None;
        let deadline = Instant::now() + GRACE;
        let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
        while self.trusted && !ended(&mut self.child) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        if !ended(&mut self.child) {
            // The number of its group is its own, which stays taken until it is waited for.
            #[cfg(unix)]
            rustix::process::kill_process_group(
                rustix::process::Pid::from_child(&self.child),
                rustix::process::Signal::KILL,
            )
            .ok();
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}
