"""What is to be trained: perpend's scenario, read strictly.

A key or a kind that is not known here may change what the scenario means, so it makes the scenario unsupported
(:class:`Unsupported`); it is never skipped.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_recorder import container

Numbers = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]

SIDES = ("item", "user")
LOSSES = ("info-nce",)
ENCODERS = ("table", "affine", "two-layer", "shared-linear", "mlp")
OPTIMIZERS = ("sgd", "heavy-ball", "nesterov", "adam", "adagrad", "rowwise-adagrad")
PRECISIONS = ("float64", "float32")


class Unsupported(Exception):
    """The scenario asks for something that this harness does not implement."""


def _take(value: Any, place: str, required: tuple[str, ...], optional: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of an object: the required ones, the optional ones with their defaults, and no others."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}: expected an object, found {value!r}")
    for key in value:
        if key not in required and key not in optional:
            raise Unsupported(f"{place}: the setting {key!r}")
    for key in required:
        if key not in value:
            raise ValueError(f"{place}.{key}: expected a value, found none")
    return {**optional, **value}


def _kind(value: Any, place: str, known: tuple[str, ...]) -> str:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str):
        raise ValueError(f"{place}.kind: expected one of {', '.join(known)}, found {kind!r}")
    if kind not in known:
        raise Unsupported(f"{place}.kind {kind!r}")
    return kind


@dataclass(frozen=True)
class Loss:
    """InfoNCE: the mean over pairs of logsumexp(s/τ) − s_positive/τ."""

    similarity: str
    temperature: float
    epsilon: float
    """Of q/max(‖q‖, ε)."""

    @staticmethod
    def read(value: Any) -> Loss:
        _kind(value, "loss", LOSSES)
        found = _take(value, "loss", ("kind", "similarity", "temperature"), {"epsilon": 0.0})
        if found["similarity"] not in ("cosine", "dot"):
            raise Unsupported(f"loss.similarity {found['similarity']!r}")
        return Loss(found["similarity"], float(found["temperature"]), float(found["epsilon"]))


@dataclass(frozen=True)
class Block:
    """A table of parameters; private if row i belongs to embedding i alone."""

    name: str
    rows: int
    width: int
    private: bool


@dataclass(frozen=True)
class Encoder:
    """How a tower makes embeddings of its parameters."""

    kind: str
    features: int = 0
    hidden: tuple[int, ...] = ()
    bias: str = "absent"
    """trained, frozen or absent."""

    @staticmethod
    def read(value: Any, place: str) -> Encoder:
        kind = _kind(value, place, ENCODERS)
        if kind == "table":
            _take(value, place, ("kind",), {})
            return Encoder(kind)
        if kind == "affine":
            found = _take(value, place, ("kind", "features", "bias"), {})
            if found["bias"] not in ("trained", "frozen", "absent"):
                raise Unsupported(f"{place}.bias {found['bias']!r}")
            return Encoder(kind, found["features"], bias=found["bias"])
        if kind == "two-layer":
            found = _take(value, place, ("kind", "features", "hidden"), {})
            return Encoder(kind, found["features"], (found["hidden"],))
        if kind == "shared-linear":
            found = _take(value, place, ("kind", "features"), {})
            return Encoder(kind, found["features"])
        found = _take(value, place, ("kind", "features", "hidden", "bias"), {})
        return Encoder(kind, found["features"], tuple(found["hidden"]), "trained" if found["bias"] else "absent")

    def blocks(self, rows: int, dim: int) -> list[Block]:
        """The parameter tables of a tower."""
        if self.kind == "table":
            return [Block("table", rows, dim, True)]
        if self.kind == "affine":
            blocks = [Block("weight", rows, dim * self.features, True)]
            return blocks + ([Block("bias", rows, dim, True)] if self.bias == "trained" else [])
        if self.kind == "two-layer":
            (hidden,) = self.hidden
            return [Block("inner", rows, hidden * self.features, True), Block("outer", rows, dim * hidden, True)]
        if self.kind == "shared-linear":
            return [Block("weight", dim, self.features, False)]
        widths = (self.features, *self.hidden, dim)
        own = int(self.bias == "trained")
        layers = list(zip(widths[:-1], widths[1:], strict=True))
        return [Block(f"layer{n}", out, into + own, False) for n, (into, out) in enumerate(layers, 1)]

    def constants(self, dim: int) -> int:
        """Width of the constants of a row: its features, then a frozen bias."""
        return self.features + (dim if self.bias == "frozen" else 0)

    @property
    def declared(self) -> str:
        return "id" if self.kind == "table" else self.kind


@dataclass(frozen=True)
class Optimizer:
    """How parameters move."""

    kind: str
    lr: Any
    """A number, a list, or an object {from, to, steps} or {start, factor}."""
    lazy: bool
    decay: float = 0.0
    decoupled: bool = False
    declares_decay: bool = False
    momentum: float = 0.0
    dampening: float = 0.0
    betas: tuple[float, float] = (0.0, 0.0)
    epsilon: float = 0.0
    uncorrected: bool = False
    """Whether Adam's ε is added to √v rather than to √v̂."""

    @staticmethod
    def read(value: Any, place: str) -> Optimizer:
        kind = _kind(value, place, OPTIMIZERS)
        common = {"decay": None, "rows": "dense"}
        own: dict[str, dict[str, Any]] = {
            "heavy-ball": {"dampening": 0.0},
            "adam": {"betas": (0.9, 0.999), "epsilon": 1e-8, "epsilon_place": "corrected"},
            "adagrad": {"epsilon": 0.0},
            "rowwise-adagrad": {"epsilon": 0.0},
        }
        required = ("kind", "lr", "momentum") if kind in ("heavy-ball", "nesterov") else ("kind", "lr")
        found = _take(value, place, required, {**common, **own.get(kind, {})})
        decay = found["decay"]
        if decay is not None:
            decay = _take(decay, f"{place}.decay", ("rate", "form"), {})
            if decay["form"] not in ("coupled", "decoupled"):
                raise Unsupported(f"{place}.decay.form {decay['form']!r}")
        if found["rows"] not in ("dense", "lazy"):
            raise Unsupported(f"{place}.rows {found['rows']!r}")
        epsilon_place = found.get("epsilon_place", "corrected")
        if epsilon_place not in ("corrected", "uncorrected"):
            raise Unsupported(f"{place}.epsilon_place {epsilon_place!r}")
        beta1, beta2 = found.get("betas", (0.0, 0.0))
        optimizer = Optimizer(
            kind=kind,
            lr=found["lr"],
            lazy=found["rows"] == "lazy",
            decay=float(decay["rate"]) if decay else 0.0,
            decoupled=bool(decay) and decay["form"] == "decoupled",
            declares_decay=bool(decay),
            momentum=float(found.get("momentum", 0.0)),
            dampening=float(found.get("dampening", 0.0)),
            betas=(float(beta1), float(beta2)),
            epsilon=float(found.get("epsilon", 0.0)),
            uncorrected=epsilon_place == "uncorrected",
        )
        optimizer.rate(0)
        return optimizer

    def rate(self, time: int) -> float:
        """η_t."""
        lr = self.lr
        if isinstance(lr, (int, float)) and not isinstance(lr, bool):
            return float(lr)
        if isinstance(lr, list) and lr:
            return float(lr[min(time, len(lr) - 1)])
        if isinstance(lr, Mapping) and set(lr) == {"from", "to", "steps"}:
            start, end = float(lr["from"]), float(lr["to"])
            return end if time >= lr["steps"] else start + (end - start) * (time / lr["steps"])
        if isinstance(lr, Mapping) and set(lr) == {"start", "factor"}:
            return float(lr["start"]) * math.pow(lr["factor"], time)
        raise Unsupported(f"optimizer.lr {lr!r}")

    def declaration(self) -> dict[str, Any]:
        """The header's ``optimizer`` object."""
        momentum = self.kind in ("heavy-ball", "nesterov")
        declared: dict[str, Any] = {"name": "sgd" if momentum else self.kind}
        if not isinstance(self.lr, (list, Mapping)):
            declared["lr"] = float(self.lr)
        if momentum or self.kind == "sgd":
            declared["momentum"] = self.momentum
            declared["nesterov"] = self.kind == "nesterov"
        if self.kind == "heavy-ball":
            declared["dampening"] = self.dampening
        if self.kind == "adam":
            declared["betas"] = list(self.betas)
        if self.kind in ("adam", "adagrad", "rowwise-adagrad"):
            declared["eps"] = self.epsilon
        declared["weight_decay"] = self.decay
        if self.declares_decay:
            declared["decoupled"] = self.decoupled
        declared["sparse"] = "lazy" if self.lazy else "dense"
        return declared


@dataclass(frozen=True)
class Batch:
    """The pairs of one step. Item slots are the positives, then the negatives pair after pair."""

    users: Rows
    positives: Rows
    negatives: Rows | None
    """[B, M]; None where the other positives of the batch are the negatives."""

    def slots(self, side: str) -> Rows:
        """The row of every slot of a tower."""
        if side == "user":
            return self.users
        if self.negatives is None:
            return self.positives
        return np.concatenate([self.positives, self.negatives.reshape(-1)])


@dataclass
class Tower:
    """A tower with explicit values."""

    rows: int
    encoder: Encoder
    optimizer: Optimizer
    blocks: list[Block]
    tables: list[Numbers] = field(default_factory=list)
    constants: Numbers = field(default_factory=lambda: np.zeros((0, 0)))


@dataclass
class Run:
    """Everything that a trainer needs."""

    dim: int
    steps: int
    precision: str
    loss: Loss
    towers: dict[str, Tower]
    batches: list[Batch]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.precision)

    @staticmethod
    def read(scenario: Any, tables: str | os.PathLike[str]) -> Run:
        """Reads a scenario and the file of its values.

        Raises :class:`Unsupported`, ``ValueError`` where something does not fit, ``OSError`` for an unreadable file.
        """
        defaults = {"seed": 0, "precision": "float64", "batches": None}
        found = _take(scenario, "scenario", ("dim", "steps", "loss", "sampler", "item", "user"), defaults)
        if found["precision"] not in PRECISIONS:
            raise Unsupported(f"precision {found['precision']!r}")
        dim = int(found["dim"])
        run = Run(dim, int(found["steps"]), found["precision"], Loss.read(found["loss"]), {}, [])
        for side in SIDES:
            tower = _take(found[side], side, ("rows", "encoder", "optimizer", "initial"), {})
            encoder = Encoder.read(tower["encoder"], f"{side}.encoder")
            optimizer = Optimizer.read(tower["optimizer"], f"{side}.optimizer")
            blocks = encoder.blocks(int(tower["rows"]), dim)
            run.towers[side] = Tower(int(tower["rows"]), encoder, optimizer, blocks)
        _, arrays = container.read(tables)
        for name in ("shared", "in_batch", "log_q"):
            if name in arrays:
                raise Unsupported(f"{tables}: {name}")
        for side, values in run.towers.items():

            def table(name: str, shape: tuple[int, int], side: str = side) -> Numbers:
                return _array(arrays, tables, f"{side}/{name}", shape).astype(run.dtype)

            values.tables = [table(block.name, (block.rows, block.width)) for block in values.blocks]
            width = values.encoder.constants(dim)
            if width:
                values.constants = table("constants", (values.rows, width))
        run.batches = _batches(run, arrays, tables)
        return run


def _array(
    arrays: Mapping[str, container.Array],
    origin: str | os.PathLike[str],
    name: str,
    shape: tuple[int | None, ...],
) -> NDArray[Any]:
    text = [size if size is not None else "any" for size in shape]
    if name not in arrays:
        raise ValueError(f"{origin}: {name}: expected an array of shape {text}, found none")
    found = arrays[name]
    fits = len(found.shape) == len(shape) and all(
        size is None or size == other for size, other in zip(shape, found.shape, strict=True)
    )
    if not fits:
        raise ValueError(f"{origin}: {name}: expected shape {text}, found {list(found.shape)}")
    return found.numbers()


def _batches(run: Run, arrays: Mapping[str, container.Array], origin: str | os.PathLike[str]) -> list[Batch]:
    """The batches of all steps. −1 pads batches of unequal sizes."""
    users = _array(arrays, origin, "users", (run.steps, None))
    positives = _array(arrays, origin, "positives", users.shape)
    negatives = None
    if "negatives" in arrays and arrays["negatives"].bits.size:
        negatives = _array(arrays, origin, "negatives", (*users.shape, None))
    for name, ids, rows in (
        ("users", users, run.towers["user"].rows),
        ("positives", positives, run.towers["item"].rows),
        ("negatives", negatives, run.towers["item"].rows),
    ):
        if ids is not None and ids.size and not (-1 <= ids.min() and ids.max() < rows):
            raise ValueError(f"{origin}: {name}: expected rows below {rows}, found {ids.min()} to {ids.max()}")
    batches = []
    for step in range(run.steps):
        present = users[step] >= 0
        if not present.any():
            raise ValueError(f"{origin}: users: expected at least one pair, found none at step {step}")
        own = None if negatives is None else negatives[step][present].astype(np.int64)
        if own is not None and (own < 0).any():
            if not (own < 0).all():
                raise Unsupported(f"a different number of negatives for each pair (step {step})")
            own = None
        batches.append(Batch(users[step][present].astype(np.int64), positives[step][present].astype(np.int64), own))
    return batches
