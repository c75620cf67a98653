"""Random scenarios with explicit small values, after perpend's own generator: every encoder, optimizer and corner."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from perpend_harness.scenario import SIDES, Encoder, Optimizer
from perpend_recorder import container

ROOT = Path(__file__).resolve().parents[2]


def encoder(random: np.random.Generator) -> dict[str, Any]:
    kind = random.choice(["table", "table", "affine", "two-layer", "shared-linear", "mlp"])
    features = int(random.integers(1, 4))
    return {
        "table": {"kind": "table"},
        "affine": {"kind": "affine", "features": features, "bias": str(random.choice(["trained", "frozen", "absent"]))},
        "two-layer": {"kind": "two-layer", "features": features, "hidden": int(random.integers(1, 4))},
        "shared-linear": {"kind": "shared-linear", "features": features},
        "mlp": {
            "kind": "mlp",
            "features": features,
            "hidden": [int(n) for n in random.integers(1, 5, random.integers(0, 3))],
            "bias": bool(random.integers(2)),
        },
    }[str(kind)]


def optimizer(random: np.random.Generator) -> dict[str, Any]:
    kind = str(random.choice(["sgd", "heavy-ball", "nesterov", "adam", "adagrad", "rowwise-adagrad"]))
    rate = float(2.0 ** random.integers(-6, 2))
    schedules: list[Any] = [rate, rate, rate, [rate, rate / 2], {"from": 0.0, "to": rate, "steps": 3}]
    schedules.append({"start": rate, "factor": 0.75})
    found: dict[str, Any] = {"kind": kind, "lr": schedules[random.integers(len(schedules))]}
    if kind in ("heavy-ball", "nesterov"):
        found["momentum"] = float(random.integers(16)) / 16
    if kind == "heavy-ball":
        found["dampening"] = float(random.integers(3)) / 4
    if kind == "adam":
        found["epsilon_place"] = str(random.choice(["corrected", "uncorrected"]))
    if kind == "adagrad":
        found["epsilon"] = float(random.integers(2)) / 16
    if kind == "rowwise-adagrad":
        found["epsilon"] = float(random.integers(3)) / 64
    if random.integers(2):
        found["rows"] = "lazy"
    if random.integers(3) == 0:
        form = str(random.choice(["coupled", "decoupled"]))
        found["decay"] = {"rate": float(random.integers(1, 9)) / 64, "form": form}
    return found


def scenario(seed: int, precision: str = "float64", **changes: Any) -> dict[str, Any]:
    """A scenario as perpend sends it, explicit values included."""
    random = np.random.default_rng(seed)
    dim = int(random.integers(1, 7))
    batch, steps = int(random.integers(1, 6)), int(random.integers(1, 6))
    own = int(random.integers(4)) if random.integers(2) else 0
    found: dict[str, Any] = {
        "dim": dim,
        "steps": steps,
        "seed": 0,
        "precision": precision,
        "loss": {"kind": "info-nce", "similarity": "cosine", "temperature": float(2.0 ** random.integers(-3, 2))},
        "sampler": {"batch": batch, "exponent": 0.0, "negatives": {"kind": "in-batch"}},
    }
    if random.integers(4) == 0:
        found["loss"]["similarity"] = "dot"
    elif random.integers(3) == 0:
        found["loss"]["epsilon"] = 0.75
    for side in SIDES:
        found[side] = {
            "rows": int(random.integers(1, 6)),
            "encoder": encoder(random),
            "optimizer": optimizer(random),
            "initial": {},
        }
    for key, value in changes.items():
        name, _, side = key.partition("_of_")
        if side:
            found[side][name] = value
        else:
            found[name] = value
    for side in SIDES:
        several = len(Encoder.read(found[side]["encoder"], side).blocks(1, 1)) > 1
        if found[side]["optimizer"]["kind"] == "rowwise-adagrad" and several:
            # One accumulator a row and table; a recorded run shows one table.
            found[side]["encoder"] = {"kind": "table"}
        made = Encoder.read(found[side]["encoder"], side)
        rows = found[side]["rows"]
        tables = [without_zeros(random, block.rows, block.width) for block in made.blocks(rows, dim)]
        constants = without_zeros(random, rows, made.constants(dim))
        found[side]["initial"] = {"kind": "explicit", "tables": [t.ravel().tolist() for t in tables]}
        if constants.size:
            found[side]["initial"]["constants"] = constants.ravel().tolist()
    found["batches"] = [
        {
            "users": random.integers(found["user"]["rows"], size=batch).tolist(),
            "positives": random.integers(found["item"]["rows"], size=batch).tolist(),
            **({"negatives": random.integers(found["item"]["rows"], size=(batch, own)).tolist()} if own else {}),
        }
        for _ in range(found["steps"])
    ]
    return found


def without_zeros(random: np.random.Generator, rows: int, width: int) -> np.ndarray[Any, Any]:
    """Quarters between −2 and 2, no row of zeros."""
    values = random.integers(-8, 9, (rows, width)) / 4
    if width:
        values[~values.any(axis=1), 0] = 1.0
    return values


def tables(found: dict[str, Any], path: Path) -> Path:
    """The file that goes with a scenario of explicit values."""
    arrays = {}
    for side in SIDES:
        made, initial = Encoder.read(found[side]["encoder"], side), found[side]["initial"]
        rows = found[side]["rows"]
        for block, values in zip(made.blocks(rows, found["dim"]), initial["tables"], strict=True):
            arrays[f"{side}/{block.name}"] = container.Array.of(np.reshape(values, (block.rows, block.width)))
        if initial.get("constants"):
            arrays[f"{side}/constants"] = container.Array.of(np.reshape(initial["constants"], (rows, -1)))
    for name in ("users", "positives", "negatives"):
        if all(name in batch for batch in found["batches"]):
            values = np.array([batch[name] for batch in found["batches"]], np.int64)
            arrays[name] = container.Array.of(values)
    container.write(path, arrays, {}, force=True)
    return path


def declared(found: dict[str, Any], side: str) -> Optimizer:
    return Optimizer.read(found[side]["optimizer"], side)


def talk(
    framework: str, messages: list[Any], *arguments: str, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """A harness as a process: messages in, lines out. A string is sent as it is."""
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]
    return subprocess.run(
        [sys.executable, "-m", "perpend_harness", framework, *arguments],
        input="".join(line + "\n" for line in lines),
        capture_output=True,
        text=True,
        cwd=ROOT / "python",
        timeout=timeout,
    )
