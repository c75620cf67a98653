"""Random scenarios with explicit small values, after perpend's own generator: every encoder, optimizer and corner."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from perpend_harness.scenario import ACTIVATIONS, ENCODERS, EPSILONS, LOSSES, OPTIMIZERS, SIDES, Encoder, Optimizer
from perpend_recorder import container

ROOT = Path(__file__).resolve().parents[2]

# Two kinds read the other tower's table: these settings do not.
_OWN: dict[str, dict[str, Any]] = {"graph": {"bipartite": False}}


def _draw(random: np.random.Generator, key: str) -> Any:
    """A value of a setting, whatever kind it belongs to. No margin is one that equal similarities reach exactly."""
    size = int(random.integers(1, 4))
    words = {
        "bias": ("trained", "frozen", "absent"),
        "weights": ("absent", "fixed", "trained"),
        "base": ("row", "map"),
        "activation": ACTIVATIONS,
        "epsilon_place": ("corrected", "uncorrected"),
        "trained": (True, False),
        "affine": (True, False),
        "outer_trained": (True, False),
        "rate": (0.0, 0.5),
        "temperature": (0.25, 0.5, 1.0, 2.0),
        "positive_temperature": (0.5, 1.0),
        "margin": (0.1, 0.3, -0.2),
        "weight": (0.5, 1.0, 3.0),
        "t": (0.5, 2.0),
        "log_q": (False, True),
        "epsilon": (0.0, 0.0625, 1e-3),
        "momentum": (0.25, 0.5, 0.875),
        "dampening": (0.0, 0.25, 0.5),
        "alpha": (0.5, 0.9),
        "trust": (0.001, 0.25),
    }
    if key in words:
        choices = words[key]
        return choices[random.integers(len(choices))]
    return {"betas": [0.5, 0.75] if size > 1 else [0.9, 0.99]}.get(key, size)


def settings(random: np.random.Generator, kinds: dict[str, dict[str, Any]], kind: str) -> dict[str, Any]:
    """A kind with settings of its own."""
    found = {"kind": kind, **{key: _draw(random, key) for key in kinds[kind]}, **_OWN.get(kind, {})}
    if kind in ("mlp", "residual"):
        found["bias"] = bool(random.integers(2))
    if kind == "mlp":
        found["hidden"] = [int(n) for n in random.integers(1, 5, random.integers(0, 3))]
    return found


def encoder(random: np.random.Generator, kind: str | None = None) -> dict[str, Any]:
    return settings(random, ENCODERS, kind or str(random.choice(["table", *ENCODERS])))


def optimizer(random: np.random.Generator, kind: str | None = None) -> dict[str, Any]:
    found = settings(random, OPTIMIZERS, kind or str(random.choice(list(OPTIMIZERS))))
    rate = float(2.0 ** random.integers(-6, 0))
    schedules: list[Any] = [rate, rate, rate, [rate, rate / 2], {"from": 0.0, "to": rate, "steps": 3}]
    schedules.append({"start": rate, "factor": 0.75})
    found["lr"] = schedules[random.integers(len(schedules))]
    if random.integers(2):
        found["rows"] = "lazy"
    if random.integers(3) == 0:
        form = str(random.choice(["coupled", "decoupled"]))
        found["decay"] = {"rate": float(random.integers(1, 9)) / 64, "form": form}
    return found


def update(random: np.random.Generator) -> dict[str, Any]:
    """What happens around the rule; mostly nothing."""
    choices = ("clip", "accumulate", "delay", "constraint", "storage", "", "", "", "", "")
    match choices[random.integers(len(choices))]:
        case "clip":
            return {"clip": {str(random.choice(["norm", "value"])): 0.25}}
        case "accumulate":
            return {"accumulate": 2}
        case "delay":
            return {"delay": 1}
        case "constraint":
            return {"constraint": "renormalise" if random.integers(2) else {"max-norm": 1.5}}
        case "storage":
            return {"storage": {"format": str(random.choice(["bfloat16", "float16"]))}}
        case _:
            return {}


def scenario(seed: int, precision: str = "float64", **changes: Any) -> dict[str, Any]:
    """A scenario as perpend sends it, explicit values included. Kinds go round with the seed, so that a few dozen meet
    every one; the rest is drawn."""
    random = np.random.default_rng(seed)

    def in_turn(kinds: Any, offset: int = 0) -> str:
        names = list(kinds)
        return str(names[(seed + offset) % len(names)])

    dim = int(random.integers(2, 7))
    batch, steps = int(random.integers(1, 6)), int(random.integers(2, 4))
    loss = {**settings(random, LOSSES, in_turn(LOSSES)), "similarity": "cosine"}
    if random.integers(5) == 0:
        loss["similarity"] = "dot"
    elif random.integers(2) == 0:
        loss |= {"epsilon": 0.75, "epsilon_on": in_turn(EPSILONS, seed // len(LOSSES))}
    if random.integers(4) == 0:
        loss["mask_duplicates"] = True
    found: dict[str, Any] = {
        "dim": dim,
        "steps": steps,
        "seed": 0,
        "precision": precision,
        "loss": loss,
        "sampler": {"batch": batch, "exponent": 0.0, "negatives": {"kind": "in-batch"}},
    }
    for side in SIDES:
        found[side] = {
            "rows": int(random.integers(2, 6)),
            "encoder": encoder(random, in_turn(ENCODERS) if side == "item" else None),
            "optimizer": optimizer(random, in_turn(OPTIMIZERS) if side == "item" else None),
            "update": update(random),
            "initial": {},
        }
    for key, value in changes.items():
        name, _, side = key.partition("_of_")
        if side:
            found[side][name] = value
        else:
            found[name] = value
    for side in SIDES:
        rows = found[side]["rows"]
        made = Encoder.read(found[side]["encoder"], side, rows, found["dim"])
        tables = [without_zeros(random, block.rows, block.width) for block in made.blocks()]
        found[side]["initial"] = {"kind": "explicit", "tables": [t.ravel().tolist() for t in tables]}
        shared = without_zeros(random, 1, made.shared_constants).ravel().tolist()
        constants = shared + constants_of(random, made).ravel().tolist()
        if constants:
            found[side]["initial"]["constants"] = constants
    found["batches"] = [draw(random, found) for _ in range(found["steps"])]
    return found


def constants_of(random: np.random.Generator, made: Encoder) -> np.ndarray[Any, Any]:
    """The constants of every row, in the form that the encoder needs."""
    kind, values = made.kind, without_zeros(random, made.rows, made.constants)
    if kind.name == "hash":
        values[:, : kind["hashes"]] = random.integers(kind["buckets"], size=(made.rows, kind["hashes"]))
    if kind.name == "history-mean":
        values = random.integers(-1, kind["own_rows"], values.shape).astype(float)
        values[:, 0] = random.integers(kind["own_rows"], size=made.rows)
    if kind.name == "dropout":
        values = random.integers(2, size=values.shape) / (1.0 - kind["rate"])
        values[:, 0] = 1.0 / (1.0 - kind["rate"])
    return values


def draw(random: np.random.Generator, found: dict[str, Any]) -> dict[str, Any]:
    """A batch, with negatives of every sort."""
    pairs, items = found["sampler"]["batch"], found["item"]["rows"]
    batch: dict[str, Any] = {
        "users": random.integers(found["user"]["rows"], size=pairs).tolist(),
        "positives": random.integers(items, size=pairs).tolist(),
    }
    sort = found["loss"].get("temperature", 0.0) * 4 + pairs
    if found["loss"]["kind"] == "full-softmax":
        batch |= {"shared": list(range(items)), "in_batch": False}
    elif sort % 3 == 1:
        batch["negatives"] = random.integers(items, size=(pairs, 2)).tolist()
    elif sort % 3 == 2:
        batch |= {"shared": random.integers(items, size=2).tolist(), "in_batch": True}
    slots = pairs * (1 + len(batch.get("negatives", [[]])[0])) + len(batch.get("shared", []))
    if found["loss"].get("log_q"):
        batch["log_q"] = (-random.integers(1, 9, slots) / 4).tolist()
    return batch


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
        initial, rows = found[side]["initial"], found[side]["rows"]
        made = Encoder.read(found[side]["encoder"], side, rows, found["dim"])
        for block, values in zip(made.blocks(), initial["tables"], strict=True):
            arrays[f"{side}/{block.name}"] = container.Array.of(np.reshape(values, (block.rows, block.width)))
        constants = np.array(initial.get("constants", []), float)
        if made.shared_constants:
            arrays[f"{side}/shared"] = container.Array.of(constants[: made.shared_constants])
        if made.constants:
            own = constants[made.shared_constants :].reshape(rows, made.constants)
            arrays[f"{side}/constants"] = container.Array.of(own)
    batches = found["batches"]
    for name, dtype in (("users", int), ("positives", int), ("negatives", int), ("shared", int), ("log_q", float)):
        if all(name in batch for batch in batches):
            arrays[name] = container.Array.of(np.array([batch[name] for batch in batches], dtype))
    if all("in_batch" in batch for batch in batches):
        arrays["in_batch"] = container.Array.of(np.array([int(batch["in_batch"]) for batch in batches]))
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
