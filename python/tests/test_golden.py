"""The golden fixtures, through the harnesses: correct ones pass, and every planted fault is found where it begins."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import scenarios
from test_protocol import perpend

from perpend_harness import faults

# Where each fault shows first: nothing before it is wrong.
FIRST = {
    "sign": {"embedding-after", "parameters-after"},
    "missing-temperature": {"loss", "lookup-gradient"},
    "mean-for-sum": {"gradient"},
    "epsilon": {"loss", "lookup-gradient"},
    "last-write-wins": {"embedding-after"},
    "momentum-late": {"embedding-after"},
    "decay-untouched": {"embedding-after", "parameters-after"},
    "detached-norm": {"lookup-gradient"},
    "wrong-axis": {"loss", "lookup-gradient"},
}


def verify(framework: str, *options: str) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and judged cases of `perpend golden verify`."""
    command = shlex.join([sys.executable, "-m", "perpend_harness", framework, *options])
    arguments = [perpend(), "golden", "verify", "--json", "--timeout", "600", "--trainer", command]
    environment = {**os.environ, "PYTHONPATH": str(scenarios.ROOT / "python")}
    done = subprocess.run(arguments, cwd=scenarios.ROOT, env=environment, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout)["cases"] if done.stdout else []


@pytest.mark.parametrize("framework", ["numpy", "jax", "torch"])
def test_every_case_that_a_harness_trains_is_within_its_bound(framework: str) -> None:
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    code, cases = verify(framework)
    status = Counter(case["status"] for case in cases)
    assert code == 0 and status["passed"] > 80 and status["unsupported"] < 5, status


@pytest.mark.parametrize("fault", FIRST)
def test_a_planted_fault_is_found_where_it_begins(fault: str) -> None:
    code, cases = verify("numpy", "--fault", fault)
    failed = [case["first"] for case in cases if case["status"] == "failed"]
    assert code == 1 and failed
    assert {first["place"]["stage"] for first in failed} <= FIRST[fault]
    # A few cases fit several faults or none; most name this one alone.
    named = [first["classes"] == [fault] for first in failed]
    assert sum(named) > len(failed) / 2, Counter(str(first["classes"]) for first in failed)


@pytest.mark.parametrize("fault", ["echo", "silent"])
def test_a_harness_that_trains_nothing_never_passes(fault: str) -> None:
    assert verify("numpy", "--fault", fault)[0] == 5


def test_an_independent_program_finds_the_same_numbers() -> None:
    pytest.importorskip("mpmath")
    folder = scenarios.ROOT / "fixtures/v1"
    done = subprocess.run([sys.executable, str(folder / "recompute.py"), str(folder)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_fault_of_training_is_looked_for() -> None:
    assert set(FIRST) == set(faults.TRAINING)
