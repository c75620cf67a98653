"""The harness protocol, spoken to processes: every answer is one line of JSON, whatever happens."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scenarios
from test_harness import MOMENTUM, duplicated

from perpend_harness import faults, protocol
from perpend_harness.numpy_harness import FRAMEWORK as NUMPY
from perpend_harness.scenario import ENCODERS, LOSSES, OPTIMIZERS
from perpend_recorder import container

START, STOP = {"cmd": "start", "version": 1}, {"cmd": "stop"}
SCHEMA = Path(protocol.__file__).with_name("protocol.schema.json")


def request(found: dict[str, Any], folder: Path) -> dict[str, Any]:
    tables = scenarios.tables(found, folder / "in.safetensors")
    return {"cmd": "train", "scenario": found, "tables": str(tables), "out": str(folder / "out.safetensors")}


def answers(messages: list[Any], **options: Any) -> list[dict[str, Any]]:
    """What a harness says to these messages, without a process around it."""
    out = io.StringIO()
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    protocol.serve(NUMPY, lines, out, **options)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_a_process_starts_trains_and_stops(tmp_path: Path) -> None:
    train = request(duplicated(MOMENTUM), tmp_path)
    done = scenarios.talk("numpy", [START, train, STOP, START])
    assert (done.returncode, done.stderr) == (0, "")
    start, trained = (json.loads(line) for line in done.stdout.splitlines())
    assert start["version"] == 1 and start["implementation"].startswith("perpend_harness numpy")
    assert (start["losses"], start["encoders"]) == (list(LOSSES), list(ENCODERS))
    assert start["optimizers"] == list(OPTIMIZERS)
    assert trained == {"ok": True}
    header, arrays = container.read(tmp_path / "out.safetensors")
    assert (header["perpend"], header["temperature"], header["similarity"]) == ("1", "0.25", "cosine")
    declared = json.loads(header["item/optimizer"])
    assert declared == {
        "name": "sgd",
        "lr": 0.25,
        "momentum": 0.5,
        "nesterov": False,
        "dampening": 0.0,
        "weight_decay": 0.125,
        "decoupled": False,
        "sparse": "lazy",
    }
    assert arrays["item/q"].shape == (4, 6, 3) and arrays["item/lr"].bits.tolist() == [0.25] * 3


def test_messages_and_answers_keep_to_the_schema(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(SCHEMA.read_text())

    def check(message: Any, name: str) -> None:
        jsonschema.validate(message, {**schema, "$ref": f"#/$defs/{name}"})

    train = request(duplicated(MOMENTUM), tmp_path)
    for message in (START, train, STOP):
        check(message, "message")
    start, *rest = answers([START, train, {**train, "scenario": {}}, {**train, "tables": "no"}, "nonsense"])
    check(start, "capabilities")
    for reply in rest:
        check(reply, "answer")
    for wrong in ({"ok": False}, {"ok": True, "error": "both"}, {}, {"unsupported": 1}):
        with pytest.raises(jsonschema.ValidationError):
            check(wrong, "answer")


def test_whatever_goes_wrong_is_an_answer_and_the_next_message_is_heard(tmp_path: Path) -> None:
    good = request(duplicated(MOMENTUM), tmp_path)
    found = good["scenario"]
    missing = tmp_path / "missing.safetensors"
    container.write(missing, {"users": container.Array.of(np.zeros((3, 4), np.int64))}, {})
    tower = {**found["item"], "rows": 7}
    cases: list[tuple[Any, str, str]] = [
        ("{", "error", "message: expected JSON"),
        ([], "error", "expected an object with cmd"),
        ({"cmd": "dance"}, "error", "cmd: expected start, train or stop, found 'dance'"),
        ({"cmd": "start", "version": 2}, "error", "start: version: expected 1, found 2"),
        ({"cmd": "train"}, "error", "train: scenario: expected a value, found None"),
        ({**good, "tables": str(tmp_path / "none")}, "error", "FileNotFoundError"),
        ({**good, "tables": str(missing)}, "error", "item/table: expected an array of shape [6, 3], found none"),
        ({**good, "scenario": {**found, "item": tower}}, "error", "expected shape [7, 3], found [6, 3]"),
        ({**good, "scenario": {**found, "loss": {"kind": "own"}}}, "unsupported", "loss.kind 'own'"),
        ({**good, "scenario": {**found, "loss": {"kind": "bpr"}}}, "error", "loss.similarity: expected a value"),
        ({**good, "scenario": {**found, "clip": 1.0}}, "unsupported", "scenario: the setting 'clip'"),
        ({**good, "scenario": {**found, "precision": "bfloat16"}}, "unsupported", "precision 'bfloat16'"),
        ({**good, "scenario": {**found, "loss": {**found["loss"], "margin": 0.1}}}, "unsupported", "'margin'"),
    ]
    for key, value in (
        ("encoder", {"kind": "graph", "bipartite": True}),
        ("optimizer", {"kind": "sgd", "lr": {"cosine": 10}}),
    ):
        changed = {**found, "item": {**found["item"], key: value}}
        cases.append(({**good, "scenario": changed}, "unsupported", ""))
    replies = answers([message for message, *_ in cases] + [good])
    for (message, kind, text), reply in zip(cases, replies, strict=False):
        assert list(reply) == [kind] and text in reply[kind], (message, reply)
    assert replies[len(cases) :] == [{"ok": True}]


def test_nothing_half_written_is_left_behind(tmp_path: Path) -> None:
    train = request(duplicated(MOMENTUM), tmp_path)
    train["out"] = str(tmp_path / "no such folder" / "out.safetensors")
    (reply,) = answers([train])
    assert list(reply) == ["error"]
    assert [path.name for path in tmp_path.iterdir()] == ["in.safetensors"]


def test_process_faults_are_what_they_say(tmp_path: Path) -> None:
    train = request(duplicated(MOMENTUM), tmp_path)
    out = Path(train["out"])
    assert answers([train], fault="silent") == [{"ok": True}] and not out.exists()
    assert answers([train], fault="echo") == [{"ok": True}]
    assert out.read_bytes() == Path(train["tables"]).read_bytes()
    (tmp_path / "golden").write_bytes(b"the expected file")
    assert answers([train], fault="echo", expected=tmp_path / "golden") == [{"ok": True}]
    assert out.read_bytes() == b"the expected file"
    for fault, code, output in (
        ("garbage", 0, "Segmentation fault\n"),
        ("half-line", 0, '{"ok": tr'),
        ("crash", 3, ""),
    ):
        done = scenarios.talk("numpy", [train, STOP], "--fault", fault)
        assert (done.returncode, done.stdout) == (code, output), fault
    with pytest.raises(subprocess.TimeoutExpired):
        scenarios.talk("numpy", [train], "--fault", "hang", timeout=2)
    assert set(faults.PROCESS) == {"silent", "echo", "garbage", "half-line", "crash", "hang"}


# With perpend itself


def perpend() -> str:
    """The binary: $PERPEND, or the one built here, or the one on the path."""
    built = scenarios.ROOT / "target/release/perpend"
    found = os.environ.get("PERPEND") or (str(built) if built.exists() else shutil.which("perpend"))
    if not found:
        pytest.skip("no perpend binary: set PERPEND")
    return found


def audit(path: Path) -> tuple[int, dict[tuple[str, str], str]]:
    """The exit code, and the verdict on every claim of every tower."""
    done = subprocess.run([perpend(), "audit", str(path), "--json"], capture_output=True, text=True)
    report = json.loads(done.stdout)
    return done.returncode, {(c["tower"], c["id"]): c["verdict"] for c in report.get("claims", [])}


@pytest.mark.parametrize("rows", ["dense", "lazy"])
@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_perpend_replays_every_optimizer(kind: str, rows: str, tmp_path: Path) -> None:
    optimizer: dict[str, Any] = {"kind": kind, "lr": 0.25, "rows": rows}
    optimizer |= {"momentum": 0.5} if "momentum" in OPTIMIZERS[kind] else {}
    optimizer |= {"epsilon": 0.0625} if "epsilon" in OPTIMIZERS[kind] else {}
    assert answers([request(duplicated(optimizer), tmp_path)]) == [{"ok": True}]
    code, verdicts = audit(tmp_path / "out.safetensors")
    assert code == 0 and "violated" not in verdicts.values()
    assert all(verdicts[side, "declared-step"] == "confirmed" for side in ("item", "user"))


# The claims that see a fault without a second trainer. The others need a golden fixture.
SEEN_BY = {
    "sign": "declared-step",
    "last-write-wins": "declared-step",
    "momentum-late": "declared-step",
    "decay-untouched": "declared-step",
    "epsilon": "gradient-orthogonality",
    "detached-norm": "gradient-orthogonality",
    "wrong-axis": "gradient-orthogonality",
}


@pytest.mark.parametrize("fault", SEEN_BY)
def test_perpend_sees_a_planted_fault(fault: str, tmp_path: Path) -> None:
    optimizer = {"kind": "heavy-ball", "lr": 0.25, "momentum": 0.5, "rows": "lazy"}
    assert answers([request(duplicated(optimizer), tmp_path)], fault=fault) == [{"ok": True}]
    code, verdicts = audit(tmp_path / "out.safetensors")
    assert code == 1 and verdicts["item", SEEN_BY[fault]] == "violated", verdicts


def test_an_echo_of_the_input_is_no_trajectory(tmp_path: Path) -> None:
    assert answers([request(duplicated(MOMENTUM), tmp_path)], fault="echo") == [{"ok": True}]
    assert audit(tmp_path / "out.safetensors")[0] == 5


@pytest.mark.parametrize("name", ["numpy", "jax", "torch", "tensorflow", "keras"])
def test_the_example_of_each_framework_adds_ten_lines_at_most_and_audits_cleanly(name: str, tmp_path: Path) -> None:
    # Found, not imported: Keras asks for its backend when it is.
    if importlib.util.find_spec("optax" if name == "jax" else name) is None:
        pytest.skip(f"{name} is not installed")
    example = scenarios.ROOT / "python/examples" / f"{name}_{'fit' if name == 'keras' else 'loop'}.py"
    assert 0 < example.read_text().count("# perpend\n") <= 10
    path = tmp_path / "run.safetensors"
    environment = {**os.environ, "PYTHONPATH": str(scenarios.ROOT / "python"), "JAX_PLATFORMS": "cpu"}
    environment.setdefault("KERAS_BACKEND", "jax")
    subprocess.run([sys.executable, str(example), str(path)], check=True, env=environment)
    _, arrays = container.read(path)
    assert len(arrays["item/q"].bits) == 30
    assert not np.array_equal(arrays["item/q"].bits[0], arrays["item/q_next"].bits[-1])
    if name != "keras":
        # `fit` shows no gradients.
        assert arrays["item/grad"].numbers().any() and arrays["loss"].shape == (30,)
    code, verdicts = audit(path)
    assert code == (0 if name != "keras" else code) and "violated" not in verdicts.values()
