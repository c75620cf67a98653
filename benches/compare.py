#!/usr/bin/env python3
"""Steps of the kernel beside those of other programs, in turns within one run: what slows the machine slows all.

    benches/compare.py [--json] [--python PATH]... [--workload NAME]... [--threads N] [--budget SECONDS]

Needs nothing but Python's standard library and cargo; the peers need NumPy, PyTorch and JAX, which may live in
different environments: each --python is tried in turn for each of them. benches/README.md tells how to read the table.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import math
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
OURS = "perpend"

TURN = 0.5  # seconds that a program runs before it is the next one's turn
MIN_ROUNDS = 3  # the least whose median leaves out a disturbed turn
PAUSE = 0.05  # seconds between turns: pools of threads go on spinning for a while after their work
LOAD_LIMIT = 600.0  # seconds; making the data takes some, compiling a minute
STEP_LIMIT = 120.0  # seconds beyond the turn that its last step may take

WORKLOADS = [
    *(f"W1-f32-d{dim}-B{pairs}" for pairs in (1024, 4096, 8192) for dim in (64, 128)),
    "W2-f32-d64-B4096",
    *(f"W3-f64-d{dim}-B1024" for dim in (64, 128)),
    "full-f32-d64-B4096-N40981",
    "W4-f64-d8-B16",
    "W5-f32-d64-N10000-T200",
]
ROWS = 100_000  # of a table, unless the name says otherwise
OWN_NEGATIVES = 64  # of W2

STEPS = frozenset(["W1", "W2", "W3", "full"])


class Peer(NamedTuple):
    """A program beside ours: its file and argument, the package that it needs, the kinds of workloads that it does."""

    name: str
    file: str
    variant: str
    package: str
    kinds: frozenset[str]
    load_seconds: float  # a guess, for the time that is announced


PEERS = [
    Peer("torch-eager", "with_torch.py", "eager", "torch", STEPS | {"W5"}, 5),
    Peer("torch-sparse", "with_torch.py", "sparse", "torch", STEPS, 5),
    Peer("torch-compile", "with_torch.py", "compile", "torch", STEPS | {"W5"}, 30),
    Peer("torch-handwritten", "with_torch.py", "handwritten", "torch", STEPS, 5),
    Peer("torch-handwritten-compile", "with_torch.py", "handwritten-compile", "torch", STEPS, 30),
    Peer("torch-gradcheck", "with_torch.py", "gradcheck", "torch", frozenset(["W4"]), 5),
    Peer("torch-gradcheck-fast", "with_torch.py", "gradcheck-fast", "torch", frozenset(["W4"]), 5),
    Peer("jax", "with_jax.py", "step", "jax", STEPS | {"W5"}, 5),
    Peer("jax-jacobian", "with_jax.py", "jacobian", "jax", frozenset(["W4"]), 5),
    Peer("jax-differences", "with_jax.py", "differences", "jax", frozenset(["W4"]), 5),
    Peer("jax-check-grads", "with_jax.py", "check-grads", "jax", frozenset(["W4"]), 5),
    Peer("numpy", "with_numpy.py", "", "numpy", STEPS | {"W5"}, 5),
]


def kind_of(workload: str) -> str:
    return workload.split("-")[0]


def code_of(kind: str) -> str:
    """The kind whose code a kind shares: W3 is W1 in f64."""
    return {"W3": "W1"}.get(kind, kind)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


class Failed(Exception):
    """A program that did not do what it was asked: the reason."""


class Absent(Failed):
    """A program that cannot do a workload at all."""


class Program:
    """A process that answers lines with lines of JSON."""

    def __init__(self, name: str, command: list[str], threads: int) -> None:
        self.name, self.command, self.threads = name, command, threads
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        environment = {k: v for k, v in os.environ.items() if k not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
        pools = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
        environment.update(dict.fromkeys(pools, str(self.threads)))
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=environment,
        )
        if hasattr(os, "sched_setaffinity"):
            # JAX takes as many threads as there are processors that it may use.
            processors = sorted(os.sched_getaffinity(0))[: self.threads]
            with contextlib.suppress(OSError):
                os.sched_setaffinity(self.process.pid, processors)
        self.lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=self.read, args=(self.process.stdout, self.lines), daemon=True).start()

    @staticmethod
    def read(stream: Any, lines: queue.Queue[str | None]) -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    def ask(self, line: str, limit: float) -> dict[str, Any]:
        """The answer to a line within `limit` seconds; a program that fails to give one is ended."""
        if self.process is None:
            self.start()
        assert self.process is not None and self.process.stdin is not None
        try:
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()
            reply = self.lines.get(timeout=limit)
        except OSError:
            reply = None
        except queue.Empty:
            self.stop()
            raise Failed(f"no answer to '{line}' within {limit:.0f} s") from None
        if reply is None:
            self.errors.seek(0)
            last = (self.errors.read().strip().splitlines() or ["it said nothing"])[-1]
            self.stop()
            raise Failed(f"it ended while it was asked to '{line}': {last}")
        try:
            answer = json.loads(reply)
        except ValueError:
            self.stop()
            raise Failed(f"'{line}' was answered by something else than JSON: {reply[:200]!r}") from None
        if "absent" in answer:
            raise Absent(answer["absent"])
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def stop(self) -> None:
        """Ends the process; the next line that is asked starts it anew."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            for stream in (self.process.stdin, self.process.stdout, self.errors):
                with contextlib.suppress(OSError):
                    stream.close()
            self.process = None


@dataclass
class Result:
    """What was measured of a workload: milliseconds of each step, and what the machine could do meanwhile."""

    times: dict[str, list[float]] = field(default_factory=dict)
    flops: list[float] = field(default_factory=list)
    bytes: list[float] = field(default_factory=list)


def build() -> str:
    """Builds our side and gives the path of the program."""
    command = ["cargo", "bench", "--no-run", "--bench", "kernel_step", "--message-format=json-render-diagnostics"]
    run = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        sys.exit(f"compare.py: '{' '.join(command)}' failed")
    for line in run.stdout.splitlines():
        message = json.loads(line)
        if message.get("executable") and message["target"]["name"] == "kernel_step":
            return str(message["executable"])
    sys.exit("compare.py: cargo built no kernel_step")


@functools.cache
def runs(python: str, package: str) -> str | None:
    """The version of a package that this interpreter can import beside NumPy."""
    code = f"import numpy, {package}; print({package}.__version__)"
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        run = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=LOAD_LIMIT)
        if run.returncode == 0:
            return run.stdout.strip()
    return None


def peer_programs(pythons: list[str], kinds: set[str], threads: int) -> dict[str, Program]:
    """The peers that can run; a notice for those that cannot."""
    programs = {}
    found = {}
    for peer in PEERS:
        if not peer.kinds & kinds:
            continue
        if peer.package not in found:
            found[peer.package] = next((python for python in pythons if runs(python, peer.package)), None)
            python = found[peer.package]
            if python is None:
                tried = ", ".join(pythons)
                say(f"notice: peers of {peer.package} are left out: with NumPy it cannot be imported by {tried}")
            else:
                say(f"{peer.package} {runs(python, peer.package)} of {python}")
        if found[peer.package] is not None:
            command = [found[peer.package], str(HERE / "peers" / peer.file), *filter(None, [peer.variant])]
            programs[peer.name] = Program(peer.name, command, threads)
    return programs


class Comparison:
    """All programs, and which of them disagree."""

    def __init__(self, programs: list[Program], budget: float) -> None:
        self.programs, self.budget = programs, budget
        self.wrong: set[tuple[str, str]] = set()  # program, and kind whose code gives wrong values
        self.agreed: set[str] = set()  # kinds for which that was asked

    def takes_part(self, program: Program, kind: str) -> bool:
        kinds = next((peer.kinds for peer in PEERS if peer.name == program.name), None)
        return (kinds is None or kind in kinds) and (program.name, code_of(kind)) not in self.wrong

    def load(self, workload: str) -> list[Program]:
        """Loads a workload everywhere: the programs that did and whose values agree with the first program's."""
        kind = kind_of(workload)
        loaded: list[tuple[Program, list[float]]] = []
        for program in self.programs:
            if not self.takes_part(program, kind):
                continue
            try:
                answer = program.ask(f"load {workload}", LOAD_LIMIT)
            except Absent as reason:
                say(f"notice: {workload}: {program.name} is left out: {reason}")
                continue
            except Failed as reason:
                say(f"notice: {workload}: {program.name} failed: {reason}")
                continue
            values = answer["values"]
            if loaded:
                first, expected = loaded[0]
                # Ours gives no bounds; any peer's hold for two programs.
                bounds = answer.get("allowed", [])
                off = [(a, b, c) for a, b, c in zip(values, expected, bounds, strict=False) if not abs(a - b) <= c]
                if off or not len(values) == len(expected) == len(bounds):
                    value, other, bound = off[0] if off else (values, expected, bounds)
                    say(
                        f"notice: {workload}: {program.name} is left out, it disagrees with {first.name}: "
                        f"found {value}, expected {other}, allowed {bound}"
                    )
                    self.wrong.add((program.name, code_of(kind)))
                    continue
            loaded.append((program, values))
        return [program for program, _ in loaded]

    def agree(self, kind: str) -> None:
        """On small tables in f64, where a wrong gradient or a lost duplicate is far above the bound."""
        workload = f"{kind}-f64-d64-B256-N1000"
        say(f"{workload}: loss and gradient agree: {', '.join(program.name for program in self.load(workload))}")
        self.agreed.add(kind)

    def measure(self, workload: str, progress: str) -> Result:
        code = code_of(kind_of(workload))
        if code in STEPS and code not in self.agreed:
            self.agree(code)
        say(f"{progress} {workload}: loading")
        running = self.load(workload)
        result = Result({program.name: [] for program in running})
        rounds, spent = 0, 0.0
        while running and (rounds < MIN_ROUNDS or spent < self.budget * len(running)):
            # Each round begins with another program, so that none always follows the same one.
            first = rounds % len(running)
            for program in running[first:] + running[:first]:
                time.sleep(PAUSE)
                start = time.monotonic()
                try:
                    result.times[program.name] += program.ask(f"run {TURN}", TURN + STEP_LIMIT)["ms"]
                except Failed as reason:
                    say(f"notice: {workload}: {program.name} failed: {reason}")
                    del result.times[program.name]
                    running = [other for other in running if other is not program]
                spent += time.monotonic() - start
            with contextlib.suppress(Failed):
                peak = self.programs[0].ask(f"peak {workload.split('-')[1]}", LOAD_LIMIT)
                result.flops.append(peak["flops"])
                result.bytes.append(peak["bytes"])
            rounds += 1
        return result


def work(workload: str) -> tuple[float | None, float | None]:
    """Floating-point operations that a step needs, and bytes that it moves at least; None where that is not counted."""
    kind, precision, *parts = workload.split("-")
    size = {part[0]: int(part[1:]) for part in parts}
    dim, pairs, rows = size.get("d", 0), size.get("B", 0), size.get("N", ROWS)
    number = {"f32": 4, "f64": 8}[precision]
    if kind == "W4":
        return None, None
    if kind == "W5":
        return None, float(size["T"] * rows * dim * number)
    candidates = {"W2": OWN_NEGATIVES + 1, "full": rows}.get(kind, pairs)
    # Rows that are looked up, once for each time: each is read by the gather, and read and written by the update.
    slots = pairs + {"W2": pairs * candidates, "full": rows}.get(kind, pairs)
    return 6.0 * pairs * candidates * dim, 3.0 * slots * dim * number


def median(values: list[float]) -> float | None:
    return statistics.median(values) if values else None


def rows_of(workload: str, result: Result, selected: list[Peer]) -> list[dict[str, Any]]:
    ours = median(result.times.get(OURS, []))
    shares: list[float | None] = []
    for amount, peaks in zip(work(workload), (result.flops, result.bytes), strict=True):
        peak = median(peaks)
        shares.append(None if None in (amount, peak, ours) else amount / (ours * 1e-3) / peak)
    rows = []
    for peer in selected:
        theirs = median(result.times.get(peer.name, []))
        rows.append(
            {
                "workload": workload,
                "ours_ms": ours,
                "peer": peer.name,
                "peer_ms": theirs,
                "ratio": None if None in (ours, theirs) else theirs / ours,
                "fma_share": shares[0],
                "bandwidth_share": shares[1],
            }
        )
    return rows


def table(rows: list[dict[str, Any]]) -> str:
    """The rows for people."""

    def cell(value: Any, form: str) -> str:
        return "-" if value is None else format(value, form)

    columns = ["workload", "ours ms", "of FMA peak", "of bandwidth", "peer", "peer ms", "ratio"]
    lines = [columns]
    for row in rows:
        lines.append(
            [
                row["workload"],
                cell(row["ours_ms"], ".3f"),
                cell(row["fma_share"], ".0%"),
                cell(row["bandwidth_share"], ".0%"),
                row["peer"],
                cell(row["peer_ms"], ".3f"),
                cell(row["ratio"], ".2f"),
            ]
        )
    widths = [max(len(line[k]) for line in lines) for k in range(len(columns))]
    forms = ["<" if name in ("workload", "peer") else ">" for name in columns]
    rule = ["-" * width if form == "<" else "-" * (width - 1) + ":" for form, width in zip(forms, widths, strict=True)]

    def show(line: list[str]) -> str:
        cells = zip(line, forms, widths, strict=True)
        return "| " + " | ".join(f"{text:{form}{width}}" for text, form, width in cells) + " |"

    return "\n".join([show(columns), show(rule), *map(show, lines[1:])])


def arguments() -> argparse.Namespace:
    def positive(number: type[Any]) -> Any:
        def parse(text: str) -> Any:
            value = number(text)
            if not (value > 0 and math.isfinite(value)):
                raise ValueError
            return value

        parse.__name__ = f"positive {number.__name__}"
        return parse

    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", action="store_true", help="a list of objects on stdout instead of the table")
    parser.add_argument("--python", action="append", metavar="PATH", help="an interpreter that has peers' packages")
    parser.add_argument(
        "--workload", nargs="+", action="extend", metavar="NAME", help="names, or beginnings of those of the usual ones"
    )
    parser.add_argument("--threads", type=positive(int), default=2, help="of every program (default 2)")
    parser.add_argument(
        "--budget", type=positive(float), default=6.0, help="seconds for each program and workload (default 6)"
    )
    options = parser.parse_args()
    options.python = options.python or [sys.executable]
    names = []
    for name in options.workload or [""]:
        usual = [workload for workload in WORKLOADS if workload == name or workload.startswith(name)]
        if not usual:
            try:
                work(name)
                kind_of(name) in STEPS | {"W4", "W5"} or parser.error(f"--workload: no workload is called {name}")
            except (KeyError, ValueError, IndexError):
                parser.error(f"--workload: expected a name like {WORKLOADS[0]}, found {name}")
        names += [workload for workload in usual or [name] if workload not in names]
    options.workload = names
    return options


def main() -> int:
    options = arguments()
    kinds = {kind_of(workload) for workload in options.workload}
    peers = peer_programs(options.python, kinds, options.threads)
    ours = Program(OURS, [build(), "--serve", str(options.threads)], options.threads)
    programs = [ours, *peers.values()]
    comparison = Comparison(programs, options.budget)

    def seconds(workload: str) -> float:
        """A guess of the time that a workload takes."""
        selected = [peer for peer in PEERS if peer.name in peers and kind_of(workload) in peer.kinds]
        return sum(options.budget + peer.load_seconds for peer in selected) + options.budget

    left = sum(map(seconds, options.workload))
    say(f"{len(options.workload)} workloads, {options.threads} threads: about {left / 60:.0f} min")
    start, guessed, rows = time.monotonic(), 0.0, []
    try:
        for place, workload in enumerate(options.workload, 1):
            pace = (time.monotonic() - start) / guessed if guessed else 1.0
            progress = f"[{place}/{len(options.workload)}, about {left * pace / 60:.0f} min left]"
            result = comparison.measure(workload, progress)
            rows += rows_of(workload, result, [peer for peer in PEERS if kind_of(workload) in peer.kinds])
            guessed += seconds(workload)
            left -= seconds(workload)
            still = {kind_of(other) for other in options.workload[place:]}
            for program in programs[1:]:
                if not any(comparison.takes_part(program, kind) for kind in still):
                    program.stop()
    finally:
        for program in programs:
            program.stop()
    say(f"done in {(time.monotonic() - start) / 60:.1f} min")
    print(json.dumps(rows, indent=2) if options.json else table(rows))
    return 1 if comparison.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
