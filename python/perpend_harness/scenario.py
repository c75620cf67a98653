"""What is to be trained: perpend's scenario, read strictly.

A key or a kind that is not known here may change what the scenario means, so it makes the scenario unsupported
(:class:`Unsupported`); it is never skipped. :data:`LOSSES`, :data:`ENCODERS` and :data:`OPTIMIZERS` are the tables of
what is known: every kind with its settings.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_recorder import container

Numbers = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

SIDES = ("item", "user")
PRECISIONS = ("float64", "float32")
EPSILONS = ("norm", "norm2", "product", "add", "add-product", "add-norm2")
ACTIVATIONS = ("relu", "gelu", "tanh")


class Unsupported(Exception):
    """The scenario asks for something that this harness does not implement."""


class Required:
    """A setting that has no default."""


# Settings of every kind, with their defaults.
LOSSES: dict[str, dict[str, Any]] = {
    "info-nce": {"temperature": Required, "log_q": False},
    "full-softmax": {"temperature": Required},
    "bpr": {"temperature": Required},
    "triplet": {"margin": Required},
    "contrastive": {"margin": Required, "weight": 1.0},
    "cosine-embedding": {"margin": 0.0},
    "alignment-uniformity": {"weight": 1.0, "t": 2.0},
    "bsl": {"positive_temperature": Required, "temperature": Required},
}
ENCODERS: dict[str, dict[str, Any]] = {
    "table": {},
    "affine": {"features": Required, "bias": Required},
    "two-layer": {"features": Required, "hidden": Required},
    "gain-vector": {},
    "weight-norm": {"trained": Required},
    "projection": {"inner": Required},
    "dropout": {"rate": Required},
    "layer-norm": {"affine": Required, "epsilon": Required},
    "hash": {"buckets": Required, "hashes": Required, "weights": Required},
    "shared-linear": {"features": Required},
    "bottleneck": {"features": Required, "rank": Required},
    "adapter": {"features": Required, "rank": Required, "base": Required, "outer_trained": Required},
    "mlp": {"features": Required, "hidden": Required, "bias": Required, "activation": "relu"},
    "residual": {"features": Required, "hidden": Required, "depth": Required, "activation": Required, "bias": Required},
    "history-mean": {"length": Required, "own_rows": None},
    "graph": {"bipartite": Required},
}
_ADAM = {"betas": (0.9, 0.999), "epsilon": 1e-8}
OPTIMIZERS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "heavy-ball": {"momentum": Required, "dampening": 0.0},
    "nesterov": {"momentum": Required},
    "adam": {**_ADAM, "epsilon_place": "corrected"},
    "adagrad": {"epsilon": 0.0},
    "rowwise-adagrad": {"epsilon": 0.0},
    "rmsprop": {"alpha": 0.99, "epsilon": 1e-8},
    "amsgrad": _ADAM,
    "rowwise-adam": _ADAM,
    "lion": {"betas": (0.9, 0.99)},
    "sign-sgd": {},
    "lars": {"momentum": 0.0, "trust": 0.001, "epsilon": 0.0},
    "lamb": {**_ADAM, "epsilon": 1e-6},
    "riemannian-sgd": {},
}
# Words that a setting may be; others are unsupported.
_WORDS: dict[str, tuple[Any, ...]] = {
    "affine.bias": ("trained", "frozen", "absent"),
    "hash.weights": ("absent", "fixed", "trained"),
    "adapter.base": ("row", "map"),
    "mlp.activation": ACTIVATIONS,
    "residual.activation": ACTIVATIONS,
    "adam.epsilon_place": ("corrected", "uncorrected"),
}


def _take(value: Any, place: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an object, defaults included, and no others."""
    if not isinstance(value, Mapping):
        raise ValueError(f"{place}: expected an object, found {value!r}")
    for key in value:
        if key not in known:
            raise Unsupported(f"{place}: the setting {key!r}")
    for key, default in known.items():
        if default is Required and key not in value:
            raise ValueError(f"{place}.{key}: expected a value, found none")
    return {**known, **value}


@dataclass(frozen=True)
class Kind:
    """A kind and its settings: what a compiled program may depend on."""

    name: str
    settings: tuple[tuple[str, Any], ...] = ()

    def __getitem__(self, key: str) -> Any:
        return dict(self.settings)[key]

    def get(self, key: str, default: Any = None) -> Any:
        return dict(self.settings).get(key, default)

    def with_settings(self, **changes: Any) -> Kind:
        """The same kind with other values of settings that it has."""
        return Kind(self.name, tuple((key, changes.get(key, value)) for key, value in self.settings))

    @staticmethod
    def read(
        value: Any, place: str, kinds: Mapping[str, Mapping[str, Any]], common: Mapping[str, Any]
    ) -> tuple[Kind, dict[str, Any]]:
        """A kind with its own settings, and the settings that all kinds have."""
        name = value.get("kind") if isinstance(value, Mapping) else None
        if not isinstance(name, str):
            raise ValueError(f"{place}.kind: expected one of {', '.join(kinds)}, found {name!r}")
        if name not in kinds:
            raise Unsupported(f"{place}.kind {name!r}")
        found = _take(value, place, {"kind": name, **common, **kinds[name]})
        for key, setting in found.items():
            if setting not in _WORDS.get(f"{name}.{key}", (setting,)):
                raise Unsupported(f"{place}.{key} {setting!r}")
        own = tuple((key, tuple(found[key]) if isinstance(found[key], list) else found[key]) for key in kinds[name])
        return Kind(name, own), {key: found[key] for key in common}


@dataclass(frozen=True)
class Loss:
    """A function of similarities, and how they are made of embeddings."""

    objective: Kind
    similarity: str = "cosine"
    epsilon: float = 0.0
    epsilon_on: str = "norm"
    mask_duplicates: bool = False

    @staticmethod
    def read(value: Any) -> Loss:
        common = {"similarity": Required, "epsilon": 0.0, "epsilon_on": "norm", "mask_duplicates": False}
        objective, found = Kind.read(value, "loss", LOSSES, common)
        if found["similarity"] not in ("cosine", "dot"):
            raise Unsupported(f"loss.similarity {found['similarity']!r}")
        if found["epsilon_on"] not in EPSILONS:
            raise Unsupported(f"loss.epsilon_on {found['epsilon_on']!r}")
        return Loss(objective, **found)

    @property
    def is_pairwise(self) -> bool:
        """Whether the norms of a pair are guarded together, so that no row is divided by itself."""
        return self.similarity == "cosine" and self.epsilon > 0.0 and self.epsilon_on in ("product", "add-product")

    @property
    def declared(self) -> str:
        """The header's name; only the plain one stands for what pairs and settings tell in full."""
        name = self.objective.name
        name += ", log-Q" if self.objective.get("log_q") else ""
        return name + (", duplicates masked" if self.mask_duplicates else "")


@dataclass(frozen=True)
class Block:
    """A table of parameters; private if row i belongs to embedding i alone."""

    name: str
    rows: int
    width: int
    private: bool = True


@dataclass(frozen=True)
class Encoder:
    """How a tower of ``rows`` rows makes embeddings of ``dim`` numbers."""

    kind: Kind
    rows: int
    dim: int

    @staticmethod
    def read(value: Any, place: str, rows: int, dim: int) -> Encoder:
        kind, _ = Kind.read(value, place, ENCODERS, {})
        encoder = Encoder(kind, rows, dim)
        if kind.get("bipartite") or (kind.name == "history-mean" and kind["own_rows"] is None):
            raise Unsupported(f"{place}: rows of the other tower's table")
        return encoder

    def blocks(self) -> list[Block]:
        """The parameter tables of a tower."""
        kind, rows, dim = self.kind, self.rows, self.dim
        match kind.name:
            case "table" | "dropout":
                return [Block("table", rows, dim)]
            case "affine":
                blocks = [Block("weight", rows, dim * kind["features"])]
                return blocks + ([Block("bias", rows, dim)] if kind["bias"] == "trained" else [])
            case "two-layer":
                hidden = kind["hidden"]
                return [Block("inner", rows, hidden * kind["features"]), Block("outer", rows, dim * hidden)]
            case "gain-vector":
                return [Block("gain", rows, 1), Block("vector", rows, dim)]
            case "weight-norm":
                return [Block("direction", rows, dim)] + ([Block("length", rows, 1)] if kind["trained"] else [])
            case "projection":
                return [Block("table", rows, kind["inner"])]
            case "layer-norm":
                own = [Block("table", rows, dim)]
                return own + ([Block(name, 1, dim, False) for name in ("gain", "bias")] if kind["affine"] else [])
            case "hash":
                weights = [Block("weights", rows, kind["hashes"])] if kind["weights"] == "trained" else []
                return [Block("buckets", kind["buckets"], dim, False), *weights]
            case "shared-linear":
                return [Block("weight", dim, kind["features"], False)]
            case "bottleneck":
                inner = Block("inner", kind["rank"], kind["features"], False)
                return [inner, Block("outer", dim, kind["rank"], False)]
            case "adapter":
                inner = Block("inner", kind["rank"], kind["features"], False)
                return [inner] + ([Block("outer", dim, kind["rank"], False)] if kind["outer_trained"] else [])
            case "mlp":
                widths = (kind["features"], *kind["hidden"], dim)
                layers = list(zip(widths[:-1], widths[1:], strict=True))
                bias = int(kind["bias"])
                return [Block(f"layer{n}", out, into + bias, False) for n, (into, out) in enumerate(layers, 1)]
            case "residual":
                hidden, bias = kind["hidden"], int(kind["bias"])
                blocks = [Block("input", dim, kind["features"], False)]
                for n in range(1, kind["depth"] + 1):
                    blocks.append(Block(f"block{n}.inner", hidden, dim + bias, False))
                    blocks.append(Block(f"block{n}.outer", dim, hidden + bias, False))
                return blocks
            case "history-mean":
                return [Block("history", kind["own_rows"], dim, False)]
            case _:
                return [Block("table", rows, dim, False)]

    @property
    def constants(self) -> int:
        """Width of the constants of a row."""
        kind, dim = self.kind, self.dim
        match kind.name:
            case "affine":
                return int(kind["features"]) + (dim if kind["bias"] == "frozen" else 0)
            case "weight-norm":
                return 0 if kind["trained"] else 1
            case "dropout":
                return dim
            case "hash":
                return int(kind["hashes"]) * (2 if kind["weights"] == "fixed" else 1)
            case "adapter":
                return int(kind["features"]) + (dim if kind["base"] == "row" else 0)
            case "history-mean":
                return int(kind["length"])
            case "graph":
                return self.rows
            case _:
                return int(kind.get("features", 0))

    @property
    def shared_constants(self) -> int:
        """How many constants all rows have in common."""
        kind = self.kind
        if kind.name == "projection":
            return self.dim * int(kind["inner"])
        if kind.name == "adapter":
            base = int(kind["features"]) if kind["base"] == "map" else 0
            return self.dim * (base + (0 if kind["outer_trained"] else int(kind["rank"])))
        return 0

    @property
    def is_table(self) -> bool:
        return self.kind.name == "table"

    @property
    def declared(self) -> str:
        """The header's name."""
        kind = self.kind
        if kind.name == "hash" and kind["weights"] == "trained":
            return "hash-weighted"
        if kind.name == "hash" and kind["hashes"] > 1:
            return "hash-sum"
        return "id" if self.is_table else kind.name

    def touched(self, block: Block, constants: Numbers, slots: Rows) -> Mask:
        """The rows of a block that lookups bring something to: [rows]."""
        touched = np.zeros(block.rows, bool)
        if block.private:
            touched[slots] = True
        elif self.kind.name == "hash":
            touched[constants[slots, : self.kind["hashes"]].astype(np.int64)] = True
        elif self.kind.name == "history-mean":
            history = constants[slots].astype(np.int64)
            touched[history[history >= 0]] = True
        elif self.kind.name == "graph":
            touched |= np.any(constants[slots] != 0, axis=0)
        else:
            touched[:] = True
        return touched


@dataclass(frozen=True)
class Optimizer:
    """How parameters move."""

    kind: Kind
    lr: Any
    """A number, a list, or an object {from, to, steps} or {start, factor}."""
    lazy: bool = False
    decay: float = 0.0
    decoupled: bool = False
    declares_decay: bool = False

    @staticmethod
    def read(value: Any, place: str) -> Optimizer:
        kind, found = Kind.read(value, place, OPTIMIZERS, {"lr": Required, "decay": None, "rows": "dense"})
        decay = found["decay"]
        if decay is not None:
            decay = _take(decay, f"{place}.decay", {"rate": Required, "form": Required})
            if decay["form"] not in ("coupled", "decoupled"):
                raise Unsupported(f"{place}.decay.form {decay['form']!r}")
        if found["rows"] not in ("dense", "lazy"):
            raise Unsupported(f"{place}.rows {found['rows']!r}")
        optimizer = Optimizer(
            kind=kind,
            lr=found["lr"],
            lazy=found["rows"] == "lazy",
            decay=float(decay["rate"]) if decay else 0.0,
            decoupled=bool(decay) and decay["form"] == "decoupled",
            declares_decay=bool(decay),
        )
        optimizer.rate(0)
        return optimizer

    @property
    def name(self) -> str:
        return self.kind.name

    @property
    def momentum(self) -> float:
        return float(self.kind.get("momentum", 0.0))

    @property
    def dampening(self) -> float:
        """Without momentum there is no buffer to dampen."""
        return float(self.kind.get("dampening", 0.0)) if self.momentum else 0.0

    @property
    def betas(self) -> tuple[float, float]:
        beta1, beta2 = self.kind.get("betas", (0.0, 0.0))
        return float(beta1), float(beta2)

    @property
    def epsilon(self) -> float:
        return float(self.kind.get("epsilon", 0.0))

    @property
    def uncorrected(self) -> bool:
        """Whether Adam's ε is added to √v rather than to √v̂."""
        return bool(self.kind.get("epsilon_place") == "uncorrected")

    @property
    def decays_itself(self) -> bool:
        """Whether decoupled decay has a place of its own in the rule."""
        return self.name == "lamb"

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
        names = {"heavy-ball": "sgd", "nesterov": "sgd", "amsgrad": "adam", "sign-sgd": "signsgd"}
        names["rowwise-adam"] = "partial-rowwise-adam"
        declared: dict[str, Any] = {"name": names.get(self.name, self.name)}
        if self.name == "adam" and self.decoupled:
            declared["name"] = "adamw"
        if not isinstance(self.lr, (list, Mapping)):
            declared["lr"] = float(self.lr)
        if self.name in ("sgd", "heavy-ball", "nesterov", "lars"):
            declared |= {"momentum": self.momentum, "nesterov": self.name == "nesterov"}
        keys = {"dampening": "dampening", "betas": "betas", "epsilon": "eps", "alpha": "alpha"}
        keys["trust"] = "trust_coefficient"
        for key, value in self.kind.settings:
            if key in keys:
                declared[keys[key]] = list(value) if key == "betas" else float(value)
        if self.name == "amsgrad":
            declared["amsgrad"] = True
        declared["weight_decay"] = self.decay
        if self.declares_decay:
            declared["decoupled"] = self.decoupled
        declared["sparse"] = "lazy" if self.lazy else "dense"
        return declared


@dataclass(frozen=True)
class Update:
    """What happens around the rule: gradient, delay, accumulation, clipping, rule, constraint, storage."""

    clip_norm: float | None = None
    """Of the tower's whole gradient."""
    clip_value: float | None = None
    """Of every coordinate."""
    accumulate: int = 1
    delay: int = 0
    renormalise: bool = False
    """Whether visited rows get back the norm that they had before their first step."""
    max_norm: float | None = None
    storage: str | None = None
    """bfloat16 or float16, rounded to nearest."""

    @staticmethod
    def read(value: Any, place: str) -> Update:
        known = {"clip": None, "accumulate": 1, "delay": 0, "constraint": None, "storage": None}
        found = _take(value, place, known)
        clip = _take(found["clip"] or {}, f"{place}.clip", {"norm": None, "value": None})
        constraint, storage = found["constraint"], found["storage"]
        if constraint not in (None, "renormalise") and not (
            isinstance(constraint, Mapping) and set(constraint) == {"max-norm"}
        ):
            raise Unsupported(f"{place}.constraint {constraint!r}")
        if storage is not None:
            storage = _take(storage, f"{place}.storage", {"format": Required, "rounding": "nearest"})
            if storage["rounding"] != "nearest":
                raise Unsupported(
                    f"{place}.storage.rounding {storage['rounding']!r}: its random numbers are perpend's own"
                )
            if storage["format"] not in ("bfloat16", "float16"):
                raise Unsupported(f"{place}.storage.format {storage['format']!r}")
        return Update(
            clip_norm=clip["norm"],
            clip_value=clip["value"],
            accumulate=int(found["accumulate"]),
            delay=int(found["delay"]),
            renormalise=constraint == "renormalise",
            max_norm=float(constraint["max-norm"]) if isinstance(constraint, Mapping) else None,
            storage=storage["format"] if storage else None,
        )

    def declaration(self) -> dict[str, Any]:
        """What it adds to the header's ``optimizer``."""
        keys = ("clip_norm", "clip_value", "accumulate", "delay", "renormalise", "max_norm")
        harmless = (None, False, 0)
        found = {key: getattr(self, key) for key in keys}
        if self.accumulate == 1:
            del found["accumulate"]
        return {key: value for key, value in found.items() if value not in harmless}


@dataclass(frozen=True)
class Batch:
    """The pairs of one step. Item slots are the positives, then the negatives pair after pair, then the shared ones."""

    users: Rows
    positives: Rows
    negatives: Rows
    """[B, M]; M may be 0."""
    shared: Rows
    """Candidates of every pair: [S]."""
    in_batch: bool
    """Whether the other positives of the batch are candidates too."""
    log_q: Numbers
    """ln Q of the item in every item slot, or empty."""

    def slots(self, side: str) -> Rows:
        """The row of every slot of a tower."""
        if side == "user":
            return self.users
        return np.concatenate([self.positives, self.negatives.reshape(-1), self.shared])

    def candidates(self, loss: Loss) -> Candidates:
        """Who is compared with whom."""
        pairs, own = self.negatives.shape
        places = np.arange(pairs)
        positives = np.broadcast_to(places, (pairs, pairs)) if self.in_batch else places[:, None]
        negatives = pairs + np.arange(pairs * own).reshape(pairs, own)
        shared = np.broadcast_to(pairs * (1 + own) + np.arange(len(self.shared)), (pairs, len(self.shared)))
        slots = np.concatenate([positives, negatives, shared], axis=1).astype(np.int64)
        target = places if self.in_batch else np.zeros(pairs, np.int64)
        counted = np.ones(slots.shape, bool)
        if loss.mask_duplicates or loss.objective.name == "full-softmax":
            # The positive's item once more is no negative.
            rows = self.slots("item")[slots]
            counted = rows != self.positives[:, None]
            counted[places, target] = True
        log_q = self.log_q[slots] if loss.objective.get("log_q") else np.zeros(slots.shape)
        first = np.array([int(np.flatnonzero(self.users == user)[0]) for user in self.users])
        return Candidates(slots, counted, target, log_q, first == places[:, None])


@dataclass(frozen=True)
class Candidates:
    """The candidates of each pair, as places among the item slots: [B, K]."""

    slots: Rows
    counted: Mask
    """Which of them count, the positive included: [B, K]."""
    target: Rows
    """The place of the positive: [B]."""
    log_q: Numbers
    """ln Q, 0 where the loss does not correct for it: [B, K]."""
    users: Mask
    """Row g has the pairs of the user whose first pair is g, so that it is empty for every other g: [B, B]."""

    @property
    def negatives(self) -> Mask:
        """Those that count and are not the positive: [B, K]."""
        return self.counted & (np.arange(self.slots.shape[1]) != self.target[:, None])


@dataclass
class Tower:
    """A tower with explicit values."""

    encoder: Encoder
    optimizer: Optimizer
    update: Update
    tables: list[Numbers] = field(default_factory=list)
    constants: Numbers = field(default_factory=lambda: np.zeros((0, 0)))
    shared: Numbers = field(default_factory=lambda: np.zeros(0))

    @property
    def rows(self) -> int:
        return self.encoder.rows

    def declaration(self) -> dict[str, Any]:
        """The header's ``optimizer``, with what happens around it."""
        declared = {**self.optimizer.declaration(), **self.update.declaration()}
        blocks = self.encoder.blocks()
        # What a rule did to single rows is not to be seen where a recording joins several tables in one.
        in_a_line = not all(block.private for block in blocks)
        optimizer, update = self.optimizer, self.update
        row_wise = optimizer.name in ("rowwise-adagrad", "rowwise-adam", "lars", "lamb", "riemannian-sgd")
        row_wise |= update.renormalise or update.max_norm is not None
        memoryless = optimizer.name in ("sgd", "adagrad", "rowwise-adagrad", "sign-sgd", "riemannian-sgd")
        memoryless |= optimizer.name in ("heavy-ball", "nesterov") and optimizer.momentum == 0.0
        visits = optimizer.lazy and not (memoryless and optimizer.decay == 0.0)
        if len(blocks) > 1 and (row_wise or (in_a_line and visits)):
            declared["joined_tables"] = len(blocks)
        return declared


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
        known = dict.fromkeys(("dim", "steps", "loss", "sampler", "item", "user"), Required)
        found = _take(scenario, "scenario", {**known, "seed": 0, "precision": "float64", "batches": None})
        if found["precision"] not in PRECISIONS:
            raise Unsupported(f"precision {found['precision']!r}")
        dim = int(found["dim"])
        run = Run(dim, int(found["steps"]), found["precision"], Loss.read(found["loss"]), {}, [])
        for side in SIDES:
            settings = dict.fromkeys(("rows", "encoder", "optimizer", "initial"), Required)
            tower = _take(found[side], side, {**settings, "update": {}})
            encoder = Encoder.read(tower["encoder"], f"{side}.encoder", int(tower["rows"]), dim)
            optimizer = Optimizer.read(tower["optimizer"], f"{side}.optimizer")
            run.towers[side] = Tower(encoder, optimizer, Update.read(tower["update"], f"{side}.update"))
        _, arrays = container.read(tables)
        for side, values in run.towers.items():

            def numbers(name: str, shape: tuple[int, ...], side: str = side) -> Numbers:
                return _array(arrays, tables, f"{side}/{name}", shape).astype(run.dtype)

            encoder = values.encoder
            # Stored narrowly, the explicit values are the rounded ones.
            values.tables = [
                stored(numbers(block.name, (block.rows, block.width)), values.update) for block in encoder.blocks()
            ]
            values.constants, values.shared = np.zeros((values.rows, 0), run.dtype), np.zeros(0, run.dtype)
            if encoder.constants:
                values.constants = numbers("constants", (values.rows, encoder.constants))
            if encoder.shared_constants:
                values.shared = numbers("shared", (encoder.shared_constants,))
        run.batches = _batches(run, arrays, tables)
        return run

    def without_temperature(self) -> Loss:
        """The loss with every temperature 1."""
        plain = self.loss.objective.with_settings(temperature=1.0, positive_temperature=1.0)
        return replace(self.loss, objective=plain)


def stored(values: Numbers, update: Update) -> Numbers:
    """Values rounded to the format that they are kept in, to nearest and ties to even."""
    if update.storage == "float16":
        return values.astype(np.float16).astype(values.dtype)
    if update.storage == "bfloat16":
        return nearest_bfloat16(values)
    return values


def nearest_bfloat16(values: Numbers) -> Numbers:
    """bfloat16 has float32's exponents and 8 significant bits: a grid of 2^(e−8) on [2^(e−1), 2^e)."""
    _, exponent = np.frexp(values)
    grid = np.ldexp(1.0, np.maximum(exponent, -125) - 8)
    return np.asarray(np.rint(values.astype(float) / grid) * grid, values.dtype)


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

    def rows(name: str, shape: tuple[int | None, ...], side: str) -> Rows:
        found = _array(arrays, origin, name, shape).astype(np.int64)
        below = run.towers[side].rows
        if found.size and not (-1 <= found.min() and found.max() < below):
            raise ValueError(f"{origin}: {name}: expected rows below {below}, found {found.min()} to {found.max()}")
        return found

    users = rows("users", (run.steps, None), "user")
    positives = rows("positives", users.shape, "item")
    negatives = np.zeros((*users.shape, 0), np.int64)
    if "negatives" in arrays:
        negatives = rows("negatives", (*users.shape, None), "item")
    shared = rows("shared", (run.steps, None), "item") if "shared" in arrays else np.zeros((run.steps, 0), np.int64)
    in_batch = _array(arrays, origin, "in_batch", (run.steps,)) if "in_batch" in arrays else None
    log_q = _array(arrays, origin, "log_q", (run.steps, None)) if "log_q" in arrays else np.zeros((run.steps, 0))
    batches = []
    for step in range(run.steps):
        present = users[step] >= 0
        if not present.any():
            raise ValueError(f"{origin}: users: expected at least one pair, found none at step {step}")
        own = negatives[step][present]
        width = own.shape[1] if (own >= 0).all() else 0
        if not width and (own >= 0).any():
            counts = np.unique((own >= 0).sum(axis=1))
            if len(counts) != 1 or not (own[:, : counts[0]] >= 0).all():
                raise Unsupported(f"a different number of negatives for each pair (step {step})")
            width = int(counts[0])
        batch = Batch(
            users=users[step][present],
            positives=positives[step][present],
            negatives=own[:, :width],
            shared=shared[step][shared[step] >= 0],
            in_batch=width == 0 if in_batch is None else bool(in_batch[step]),
            log_q=log_q[step].astype(run.dtype),
        )
        if run.loss.objective.get("log_q") and len(batch.log_q) < len(batch.slots("item")):
            raise ValueError(
                f"{origin}: log_q: expected one for each item slot, found {len(batch.log_q)} (step {step})"
            )
        batches.append(batch)
    return batches
