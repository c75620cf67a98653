//! Answers, a line of JSON each, to the lines that `benches/compare.py` writes to all programs that it holds beside each
//! other:
//!
//! | line | answer |
//! |---|---|
//! | `load WORKLOAD` | `{"values": […]}`, what all programs must agree on; or `{"absent": "why"}` |
//! | `run SECONDS` | `{"ms": […]}`, the time of each of as many steps as begin in this time, at least one |
//! | `peak f32`, `peak f64` | `{"flops": …, "bytes": …}` a second, what the machine can do at best |
//!
//! Anything that fails is answered by `{"error": "what"}`.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use perpend::kernel::{Element, roofline};
use serde_json::{Value, json};

use crate::checks::{GradientCheck, Motion};
use crate::workload::{Precision, Steps, Workload, size};

/// What is loaded.
pub trait Loaded {
    fn values(&mut self) -> Result<Vec<f64>, String>;
    fn step(&mut self) -> Result<(), String>;
}

impl<E: Element> Loaded for Steps<E> {
    fn values(&mut self) -> Result<Vec<f64>, String> {
        Steps::values(self).map_err(|error| error.to_string())
    }
    fn step(&mut self) -> Result<(), String> {
        Steps::step(self).map(drop).map_err(|error| error.to_string())
    }
}

/// None where there is no such workload on this side.
fn load(name: &str, threads: usize) -> Option<Result<Box<dyn Loaded>, String>> {
    match name.split('-').next()? {
        "W4" => Some(boxed(GradientCheck::new(size(name, 'B')?))),
        "W5" => Some(boxed(Motion::new(size(name, 'T')?, size(name, 'N')?, size(name, 'd')?))),
        _ => {
            let workload = Workload::parse(name)?;
            Some(match workload.precision {
                Precision::F32 => boxed(Steps::<f32>::new(&workload, threads)),
                Precision::F64 => boxed(Steps::<f64>::new(&workload, threads)),
            })
        }
    }
}

fn boxed<L: Loaded + 'static>(steps: Result<L, impl ToString>) -> Result<Box<dyn Loaded>, String> {
    steps.map(|steps| Box::new(steps) as Box<dyn Loaded>).map_err(|error| error.to_string())
}

fn answer(line: &str, loaded: &mut Option<Box<dyn Loaded>>, threads: usize) -> Result<Value, String> {
    match *line.split_whitespace().collect::<Vec<_>>() {
        ["load", name] => {
            // What was loaded before gives its memory back first.
            *loaded = None;
            let Some(outcome) = load(name, threads) else {
                return Ok(json!({ "absent": format!("{name} is not among the workloads of this program") }));
            };
            let values = loaded.insert(outcome?).values()?;
            Ok(json!({ "values": values }))
        }
        ["run", seconds] => {
            let seconds: f64 = seconds.parse().map_err(|_| format!("run: expected seconds, found {seconds}"))?;
            let loaded = loaded.as_mut().ok_or("run: expected a workload to be loaded")?;
            let start = Instant::now();
            let mut times = Vec::new();
            while times.is_empty() || start.elapsed().as_secs_f64() < seconds {
                let now = Instant::now();
                loaded.step()?;
                times.push(now.elapsed().as_secs_f64() * 1e3);
            }
            Ok(json!({ "ms": times }))
        }
        ["peak", precision] => {
            let flops = match precision {
                "f32" => roofline::flops_per_second::<f32>(threads),
                "f64" => roofline::flops_per_second::<f64>(threads),
                _ => return Err(format!("peak: expected f32 or f64, found {precision}")),
            };
            Ok(json!({ "flops": flops, "bytes": roofline::bytes_per_second(threads) }))
        }
        _ => Err(format!("expected load WORKLOAD, run SECONDS or peak PRECISION, found {line:?}")),
    }
}

/// Answers until the input ends.
pub fn serve(threads: usize) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let mut loaded = None;
    for line in io::stdin().lock().lines() {
        let reply = answer(&line?, &mut loaded, threads).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(output, "{reply}")?;
        output.flush()?;
    }
    Ok(())
}
