"""Version 1 of the harness protocol: one JSON object a line on standard input, one a line on standard output.

``start`` says who answers and what it can do, ``train`` turns a scenario and a file of tables into a trajectory
file, ``stop`` ends the process without an answer. Whatever goes wrong is an answer, ``{"error": …}`` or
``{"unsupported": …}``, and the process goes on. Whatever else is printed, by any library, goes to standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from perpend_harness import faults
from perpend_harness.scenario import ENCODERS, LOSSES, OPTIMIZERS, PRECISIONS, Run, Unsupported
from perpend_harness.training import Framework, train
from perpend_recorder import container

VERSION = 1


def start(framework: Framework) -> dict[str, Any]:
    """The answer to ``start``."""
    return {
        "implementation": f"perpend_harness {framework.name} ({framework.versions()})",
        "version": VERSION,
        "losses": list(LOSSES),
        "encoders": list(ENCODERS),
        "optimizers": list(OPTIMIZERS),
        "precisions": list(PRECISIONS),
    }


def answer(
    message: Any, framework: Framework, fault: str | None = None, expected: Path | None = None
) -> dict[str, Any]:
    """The answer to ``start`` or ``train``."""
    if not isinstance(message, Mapping) or not isinstance(message.get("cmd"), str):
        return {"error": f"message: expected an object with cmd, found {json.dumps(message)[:80]}"}
    if message["cmd"] == "start":
        if message.get("version") != VERSION:
            return {"error": f"start: version: expected {VERSION}, found {message.get('version')!r}"}
        return start(framework)
    if message["cmd"] != "train":
        return {"error": f"message: cmd: expected start, train or stop, found {message['cmd']!r}"}
    for key, kind in (("scenario", Mapping), ("tables", str), ("out", str)):
        if not isinstance(message.get(key), kind):
            return {"error": f"train: {key}: expected a value, found {message.get(key)!r}"}
    if fault == "silent":
        return {"ok": True}
    if fault == "echo":
        shutil.copyfile(expected or message["tables"], message["out"])
        return {"ok": True}
    try:
        run = Run.read(message["scenario"], message["tables"])
        # A division by zero is an answer for whoever judges the trajectory, not for the console.
        with np.errstate(all="ignore"):
            arrays, header = train(run, framework, fault)
        container.write(message["out"], arrays, header, force=True)
    except Unsupported as reason:
        return {"unsupported": str(reason)}
    except Exception as error:  # noqa: BLE001 (any error is an answer; the next message may be fine)
        return {"error": f"{type(error).__name__}: {error}"}
    return {"ok": True}


def serve(
    framework: Framework, lines: Iterable[str], out: TextIO, fault: str | None = None, expected: Path | None = None
) -> None:
    """Answers line by line until ``stop`` or the end of the input."""
    for line in lines:
        if not line.strip():
            continue
        try:
            message = json.loads(line)
        except ValueError as error:
            reply = {"error": f"message: expected JSON, found {line[:80]!r} ({error})"}
        else:
            if isinstance(message, Mapping) and message.get("cmd") == "stop":
                return
            training = isinstance(message, Mapping) and message.get("cmd") == "train"
            if training and fault == "crash":
                os._exit(3)
            if training and fault == "hang":
                time.sleep(3600)
            reply = answer(message, framework, fault, expected)
            if training and fault in ("garbage", "half-line"):
                out.write("Segmentation fault\n" if fault == "garbage" else '{"ok": tr')
                out.flush()
                if fault == "half-line":
                    return
                continue
        out.write(json.dumps(reply) + "\n")
        out.flush()


def main(framework: Framework, arguments: list[str] | None = None) -> None:
    """The command line of every harness."""
    parser = argparse.ArgumentParser(
        prog=f"perpend-harness {framework.name}",
        description=f"Trains perpend's scenarios with {framework.name}, by the harness protocol version {VERSION}.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="faults:\n" + "\n".join(f"  {name:20}{what}" for name, what in faults.ALL.items()),
    )
    parser.add_argument("--fault", choices=faults.ALL, metavar="NAME", help="plant a fault")
    parser.add_argument("--expected", type=Path, metavar="FILE", help="what the fault echo returns")
    options = parser.parse_args(arguments)
    # Answers keep the real standard output; a library that prints reaches standard error.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        sys.stdin.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        serve(framework, sys.stdin, out, options.fault, options.expected)
