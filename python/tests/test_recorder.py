"""The recorder without a framework: what is written is what happened, and nothing else can be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open

from perpend_recorder import AliasedSnapshot, Recorder, RecorderWarning, RowGradients, recover, steps
from perpend_recorder.container import Array, Header, read

RANDOM = np.random.default_rng(0)


def run(steps: int = 4, rows: int = 5, dim: int = 3) -> list[dict[str, Any]]:
    """Steps in which rows 0 and 2 move and nothing else does."""
    q = RANDOM.normal(size=(rows, dim))
    found = []
    for _ in range(steps):
        grad = np.zeros_like(q)
        grad[[0, 2]] = RANDOM.normal(size=(2, dim))
        after = q - 0.1 * grad
        found.append({"q": q, "q_next": after, "grad": grad, "ids": np.array([0, 2, 2])})
        q = after
    return found


def numbers(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {name: array.numbers() for name, array in read(path)[1].items()}


def test_a_recording_is_read_by_others_as_what_was_recorded(tmp_path: Path) -> None:
    path, item, user = tmp_path / "run.safetensors", run(), run(rows=3)
    with Recorder(path, similarity="cosine", temperature=0.2, optimizer={"name": "sgd", "lr": 0.1}) as recorder:
        for t in range(4):
            user[t]["ids"] = np.array([1] * (t + 1))
            recorder.record(loss=1.0 / (t + 1), lr=0.1, item=item[t], user=user[t], users=[0, 1], positives=[2, 0])
    with safe_open(path, framework="numpy") as file:
        header = file.metadata()
        assert (header["perpend"], header["temperature"], header["similarity"]) == ("1", "0.2", "cosine")
        assert header["optimizer"] == '{"name": "sgd", "lr": 0.1}'
        for tower, records in (("item", item), ("user", user)):
            for key in ("q", "q_next", "grad"):
                assert np.array_equal(file.get_tensor(f"{tower}/{key}"), np.stack([r[key] for r in records]))
        assert file.get_tensor("loss").tolist() == [1.0, 0.5, 1 / 3, 0.25]
        assert file.get_tensor("user/ids").tolist() == [[1, -1, -1, -1], [1, 1, -1, -1], [1, 1, 1, -1], [1, 1, 1, 1]]
        assert "step" not in file.keys()
    assert list(tmp_path.iterdir()) == [path]


def test_snapshots_are_copies_of_a_table_that_moves(tmp_path: Path) -> None:
    table = np.ones((3, 2))
    recorder = Recorder(tmp_path / "run.safetensors")
    recorder.watch("item", lambda: table)
    for _ in range(3):
        with recorder.step(item=[0]) as step:
            table[0] += 1.0
            step.loss = 0.5
    q = numbers(recorder.close())
    assert q["item/q"][:, 0, 0].tolist() == [1, 2, 3] and q["item/q_next"][:, 0, 0].tolist() == [2, 3, 4]


def test_views_of_one_memory_are_no_snapshots(tmp_path: Path) -> None:
    table = np.ones((4, 2))
    recorder = Recorder(tmp_path / "run.safetensors")
    for other in (table, table[:], table.view(), table[::-1]):
        with pytest.raises(AliasedSnapshot, match="step 0: item/q_next: expected memory of its own"):
            recorder.record(item={"q": table, "q_next": other})
        recorder.count = 0
    recorder.record(item={"q": table, "q_next": table.copy()})
    # Two halves of one buffer do not overlap.
    buffer = np.zeros((8, 2))
    recorder.record(item={"q": buffer[:4], "q_next": buffer[4:]})


def test_gradients_that_move_nothing_are_noticed(tmp_path: Path) -> None:
    table, grad = np.ones((4, 2)), np.full((4, 2), 0.5)
    recorder = Recorder(tmp_path / "run.safetensors")
    with pytest.warns(RecorderWarning, match="gradients arrived and no row moved"):
        recorder.record(item={"q": table, "q_next": table.copy(), "grad": grad})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        recorder.record(lr=0.0, item={"q": table, "q_next": table.copy(), "grad": grad})
        recorder.record(item={"q": table, "q_next": table.copy(), "grad": 0 * grad})
        recorder.record(item={"q": table, "q_next": table - grad, "grad": grad})


def test_the_sparse_form_holds_the_rows_that_moved_or_were_looked_up(tmp_path: Path) -> None:
    records = run()
    records[1]["q_next"] = records[1]["q"].copy()
    records[1]["q_next"][4] += 1.0  # momentum, decay: moved without a lookup
    records[2]["q"] = records[1]["q_next"]
    recorder = Recorder(tmp_path / "run.safetensors")
    recorder.tower("item", sparse=True)
    for record in records:
        recorder.record(item=record)
    found = numbers(recorder.close())
    assert "item/q" not in found
    expected = [(0, 0), (0, 2), (1, 0), (1, 2), (1, 4), (2, 0), (2, 2), (2, 4), (3, 0), (3, 2)]
    moved = [(2, 4)] if np.array_equal(records[2]["q"][4], records[2]["q_next"][4]) else []
    pairs = list(zip(found["item/row_step"].tolist(), found["item/row_id"].tolist(), strict=True))
    assert pairs == [pair for pair in expected if pair not in moved]
    for place, (step, row) in enumerate(pairs):
        for key in ("q", "q_next", "grad"):
            assert np.array_equal(found[f"item/row_{key}"][place], records[step][key][row])


def test_chosen_rows_of_a_table_keep_their_numbers(tmp_path: Path) -> None:
    records, wanted = run(), [2, 4]
    recorder = Recorder(tmp_path / "run.safetensors")
    recorder.tower("item", row_ids=wanted)
    for record in records:
        sparse = RowGradients([2, 0, 2], np.stack([record["grad"][2] - 1.0, record["grad"][0], np.ones(3)]))
        recorder.record(item={**record, "grad": sparse})
    found = numbers(recorder.close())
    assert found["item/row_ids"].tolist() == wanted
    assert np.array_equal(found["item/q"], np.stack([r["q"][wanted] for r in records]))
    # (g − 1) + 1 rounds twice, each time by at most half a unit of the larger of |g − 1| and |g|.
    grad = np.stack([r["grad"][wanted] for r in records])
    assert np.all(np.abs(found["item/grad"] - grad) <= np.finfo(float).eps * (np.abs(grad) + 1))
    assert found["item/ids"].tolist() == [[0, 2, 2]] * 4
    with pytest.raises(ValueError, match="expected different rows from 0"):
        recorder.tower("item", row_ids=[1, 1])


def test_bfloat16_is_kept_bit_by_bit(tmp_path: Path) -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    table = RANDOM.normal(size=(4, 3)).astype(bfloat16)
    recorder = Recorder(tmp_path / "run.safetensors")
    recorder.record(item={"q": table, "q_next": table + bfloat16(1), "grad": RowGradients([1, 1], table[:2])})
    path = recorder.close()
    entries = Header.read(path).entries
    assert (entries["item/q"].element, entries["item/grad"].element) == ("BF16", "F32")
    assert np.array_equal(numbers(path)["item/q"][0], table.astype(np.float32))
    exact = table[:2].astype(np.float64).sum(axis=0)
    assert np.array_equal(numbers(path)["item/grad"][0, 1], exact.astype(np.float32))


def test_a_run_without_gradients_has_none_and_a_step_without_one_has_zero(tmp_path: Path) -> None:
    record = run(steps=1)[0]
    fused = Recorder(tmp_path / "fused.safetensors")
    fused.record(item={**record, "grad": None})
    with pytest.raises(ValueError, match="step 1: item/grad: expected none, as in the first recorded step"):
        fused.record(item=record)
    assert "item/grad" not in numbers(fused.close())
    some = Recorder(tmp_path / "some.safetensors")
    some.record(item=record)
    some.record(item={**record, "grad": None})
    assert not numbers(some.close())["item/grad"][1].any()


def test_every_third_step_keeps_its_number(tmp_path: Path) -> None:
    records = run(steps=7)
    recorder = Recorder(tmp_path / "run.safetensors", every=3)
    for record in records:
        recorder.record(item=record)
    found = numbers(recorder.close())
    assert found["step"].tolist() == [0, 3, 6]
    assert np.array_equal(found["item/q"], np.stack([r["q"] for r in records[::3]]))


def test_nothing_is_overwritten_unless_asked_for(tmp_path: Path) -> None:
    path, record = tmp_path / "run.safetensors", run(steps=1)[0]
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="run.safetensors: expected nothing there"):
        Recorder(path)
    path.unlink()
    recorder = Recorder(path)
    recorder.record(item=record)
    with pytest.raises(FileExistsError, match="partial: expected nothing there"):
        Recorder(path)
    path.write_text("appeared meanwhile")
    with pytest.raises(FileExistsError):
        recorder.close()
    assert path.read_text() == "appeared meanwhile"
    assert recover(tmp_path / "run.safetensors.partial", force=True) == path
    assert len(numbers(path)["item/q"]) == 1
    with Recorder(path, force=True) as again:
        again.record(item=record)
        again.record(item=record)
    assert len(numbers(path)["item/q"]) == 2


def test_a_step_that_fails_is_not_recorded_and_those_before_it_are(tmp_path: Path) -> None:
    table = np.zeros((2, 2))
    with pytest.raises(ZeroDivisionError), Recorder(tmp_path / "run.safetensors") as recorder:
        recorder.watch("item", lambda: table)
        for t in range(5):
            with recorder.step(item=[0]):
                table += 1.0
                1 / (3 - t)
    assert numbers(tmp_path / "run.safetensors")["item/q"][:, 0, 0].tolist() == [0, 1, 2]


KILLED = """
import sys, numpy as np
sys.path.insert(0, sys.argv[2])
from perpend_recorder import Recorder
recorder = Recorder(sys.argv[1], similarity="cosine")
t = 0
while True:
    before = np.full((50, 8), float(t))
    item = {"q": before, "q_next": before + 1, "grad": before * 0 - 1, "ids": np.arange(1 + t % 3)}
    recorder.record(loss=t, item=item)
    t += 1
"""


def test_a_killed_process_leaves_every_complete_step(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    root = Path(__file__).resolve().parents[1]
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path), str(root)])
    folder = tmp_path / "run.safetensors.partial"
    deadline = time.monotonic() + 60
    while not steps.step_file(folder, 20).exists():
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not path.exists()
    command = [sys.executable, "-m", "perpend_recorder", "recover", str(folder)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(path), "")
    found = numbers(path)
    count = len(found["loss"])
    assert count >= 21 and found["loss"].tolist() == list(range(count))
    assert np.array_equal(found["item/q_next"][:, 49, 7], np.arange(count) + 1.0)
    # Not twice: the first result is not overwritten.
    assert subprocess.run(command, cwd=root, capture_output=True).returncode == 5


def test_a_folder_is_a_trajectory_too(tmp_path: Path) -> None:
    folder, records = tmp_path / "run", run()
    with Recorder(folder, loss="info-nce") as recorder:
        recorder.tower("item", row_ids=[1, 3])
        for record in records:
            recorder.record(item=record)
    assert sorted(path.name for path in folder.iterdir()) == [
        "header.json",
        *(f"step-00000{t}.safetensors" for t in range(4)),
    ]
    metadata, row_ids = steps.read_header(folder)
    assert (metadata["loss"], row_ids) == ("info-nce", {"item": [1, 3]})
    assert steps.join(folder, tmp_path / "run.safetensors") == 4
    assert np.array_equal(numbers(tmp_path / "run.safetensors")["item/q"], np.stack([r["q"][[1, 3]] for r in records]))
    steps.step_file(folder, 1).unlink()
    with pytest.raises(ValueError, match="expected step-000001.safetensors, found step-000002.safetensors"):
        steps.join(folder, tmp_path / "other.safetensors")
    assert not (tmp_path / "other.safetensors").exists()


def test_what_cannot_be_recorded_is_said_with_place_expectation_and_finding(tmp_path: Path) -> None:
    record = run(steps=1)[0]
    recorder = Recorder(tmp_path / "run.safetensors")
    recorder.record(item=record)
    for change, message in (
        (
            {"q_next": np.ones((5, 2))},
            r"step 1: item/q_next: expected F64 of shape \[5, 3\] \[rows, d\], as q, found F64 of shape \[5, 2\]",
        ),
        ({"q": np.ones((4, 3)), "q_next": np.zeros((4, 3))}, r"item/q: expected shape \[5, 3\], as before"),
        ({"grad": np.ones((5, 2))}, r"item/grad: expected shape \[5, 3\], as q, found \[5, 2\]"),
        ({"grad_out": np.ones((2, 3))}, "item/grad_out: expected 3 gradients, as ids, found 2"),
        ({"gradient": np.ones((5, 3))}, "item/gradient: expected one of q, q_next"),
        ({"q_next": None}, "item/q: expected both q and q_next"),
    ):
        recorder.count = 1
        with pytest.raises(ValueError, match=message):
            recorder.record(item={**record, **change})
    with pytest.raises(TypeError, match="ids: expected integers, found float64"):
        recorder.record(item={**record, "ids": [0.5]})
    with pytest.raises(ValueError, match="tower: expected item or user, found 'query'"):
        recorder.declare("query", encoder="id")
    recorder.close()
    with pytest.raises(ValueError, match="expected an open recorder, found a closed one"):
        recorder.record(item=record)
    with pytest.raises(ValueError, match="expected at least one recorded step, found none"):
        Recorder(tmp_path / "empty.safetensors").close()
    assert [path.name for path in tmp_path.iterdir()] == ["run.safetensors"]


def test_a_file_cut_short_is_not_read(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run.safetensors") as recorder:
        recorder.record(item=run(steps=1)[0])
    whole = (tmp_path / "run.safetensors").read_bytes()
    for length in (0, 7, 100, len(whole) - 1):
        (tmp_path / "short").write_bytes(whole[:length])
        with pytest.raises(ValueError):
            read(tmp_path / "short")
    assert isinstance(read(tmp_path / "run.safetensors")[1]["item/q"], Array)
