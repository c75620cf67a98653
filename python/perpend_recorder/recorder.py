"""The recorder: what happened in a training run, step by step, as a trajectory of version 1."""

from __future__ import annotations

import importlib.metadata
import json
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_recorder import arrays, steps
from perpend_recorder.container import Array, write

TOWERS = ("item", "user")
_OF_A_TOWER = ("q", "q_next", "grad", "grad_out", "ids", "lr", "table", "table_next", "table_grad")


class AliasedSnapshot(ValueError):
    """Two snapshots that should differ in time are views of one memory."""


class RecorderWarning(UserWarning):
    """What was recorded is readable and probably not what was meant."""


@dataclass
class Tower:
    """What is known about a tower for the whole run."""

    row_ids: arrays.Ids | None = None
    sparse: bool = False
    read: Callable[[], Any] | None = None
    shape: tuple[int, ...] | None = None
    """[N, d] of the recorded rows."""
    grad: str | None | bool = False
    """The element type of the gradients, None if there are none, False before the first step."""
    warned: bool = False
    """Whether it was said that gradients move nothing."""


@dataclass
class Step:
    """One step while it happens. Set what is known of it: ``step.loss = loss``."""

    recorded: bool
    """Whether this step is written; where ``every`` > 1, most are not."""
    loss: Any = None
    lr: Any = None
    users: Any = None
    positives: Any = None
    negatives: Any = None
    towers: dict[str, dict[str, Any]] = field(default_factory=dict)

    def gradient(self, tower: str, grad: Any) -> None:
        """The gradient of the loss with respect to the tower's embeddings: dense [N, d] or sparse."""
        if self.recorded:
            self.towers.setdefault(tower, {})["grad"] = grad

    def lookups(self, tower: str, ids: Any, grad_out: Any = None) -> None:
        """The rows looked up, and where it is known the gradient of every single lookup: [B], [B, d]."""
        if self.recorded:
            values = self.towers.setdefault(tower, {})
            values["ids"] = ids
            if grad_out is not None:
                values["grad_out"] = grad_out


class Recorder:
    """Records a training run.

    Every step goes at once to a file of its own in ``<path>.partial/``; :meth:`close` puts them together under the
    path. What ends the process in between leaves a readable folder (``python -m perpend_recorder recover FOLDER``). A
    path without the suffix ``.safetensors`` is a folder of steps itself, and nothing is put together.

    ``settings`` are what the run declares about itself: ``similarity`` ("cosine" or "dot"), ``temperature``, ``eps``,
    ``eps_on``, ``loss``, ``optimizer`` (a dictionary), ``param_dtype``, ``compute_dtype``, ``grad_stage``, …. What is
    not declared is unknown; nothing is guessed.

    Two ways to use it. After each step, with snapshots at hand (JAX)::

        recorder.record(loss=loss, item={"ids": ids, "q": before, "q_next": after, "grad": grad})

    or around each step, with functions that read the tables (:meth:`watch`)::

        with recorder.step(item=ids) as step:
            step.loss = train(batch)

    Raises ``FileExistsError`` where the path or its ``.partial`` folder exists and ``force`` is not set.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False, every: int = 1, **settings: Any) -> None:
        if every < 1:
            raise ValueError(f"every: expected at least 1 step, found {every}")
        self.path = Path(path)
        self.force = force
        self.every = every
        whole = self.path.suffix == ".safetensors"
        self.folder = self.path.with_name(self.path.name + ".partial") if whole else self.path
        for existing in {self.path, self.folder}:
            if existing.exists() and not force:
                raise FileExistsError(f"{existing}: expected nothing there (or force=True), found a recording")
        self.metadata = _strings(settings)
        self.towers: dict[str, Tower] = {}
        self.count = 0
        self.written = 0
        self.open = True
        self._arrays: dict[str, Array] = {}
        self._header_is_current = False
        if self.folder.exists():
            steps.remove(self.folder)
        self.folder.mkdir(parents=True, exist_ok=True)

    def declare(self, tower: str | None = None, **settings: Any) -> None:
        """Declares further settings, of one tower or of the whole run."""
        self._tower(tower)
        self.metadata |= {f"{tower}/{key}" if tower else key: text for key, text in _strings(settings).items()}
        self._header_is_current = False

    def tower(self, name: str, *, row_ids: Any = None, sparse: bool = False, **settings: Any) -> None:
        """Says how a tower is recorded.

        ``row_ids``: which rows of a large table (all if none are named); ``sparse``: of these, only what was looked up
        or moved in a step. Further arguments are declared settings.
        """
        tower = self._tower(name)
        assert tower is not None
        if row_ids is not None:
            tower.row_ids = arrays.ids(row_ids)
            if not len(tower.row_ids) or len(np.unique(tower.row_ids)) != len(tower.row_ids) or tower.row_ids.min() < 0:
                raise ValueError(f"{name}/row_ids: expected different rows from 0, found {tower.row_ids}")
        tower.sparse = sparse
        self.declare(name, **settings)

    def watch(self, name: str, read: Callable[[], Any], **options: Any) -> None:
        """A tower whose embeddings [rows, d] ``read`` returns, before and after every :meth:`step`; options as for
        :meth:`tower`."""
        self.tower(name, **options)
        self.towers[name].read = read

    def _tower(self, name: str | None) -> Tower | None:
        if name is None:
            return None
        if name not in TOWERS:
            raise ValueError(f"tower: expected {' or '.join(TOWERS)}, found {name!r}")
        return self.towers.setdefault(name, Tower())

    # Around a step

    def step(self, *, users: Any = None, positives: Any = None, negatives: Any = None, **ids: Any) -> _Context:
        """A context around one training step: tables are read when it begins and when it ends.

        ``item=`` and ``user=`` are the ids that the step looks up. A step that raises is not recorded.
        """
        return _Context(self, ids, {"users": users, "positives": positives, "negatives": negatives})

    def _read(self) -> dict[str, Array]:
        # A copy at once: the optimizer may write to the very memory that the function returned.
        return {
            name: arrays.array(arrays.rows(tower.read(), tower.row_ids))
            for name, tower in self.towers.items()
            if tower.read is not None
        }

    # After a step

    def record(
        self,
        *,
        loss: Any = None,
        lr: Any = None,
        step: int | None = None,
        users: Any = None,
        positives: Any = None,
        negatives: Any = None,
        item: Mapping[str, Any] | None = None,
        user: Mapping[str, Any] | None = None,
    ) -> None:
        """Records one step from snapshots, which are copied.

        ``item`` and ``user`` hold ``q`` and ``q_next`` [rows, d], the embeddings before and after the step, and where
        they are known ``grad`` (dense or sparse), ``grad_out`` [B, d], ``ids`` [B], ``lr``, ``table``, ``table_next``,
        ``table_grad``. ``step`` is the step's number, counted if none is given.

        Raises :class:`AliasedSnapshot` where ``q`` and ``q_next`` are the same memory.
        """
        if not self.open:
            raise ValueError(f"{self.path}: expected an open recorder, found a closed one")
        number = self.count if step is None else step
        self.count += 1
        if number % self.every:
            return
        found: dict[str, Array] = {"step": Array.of(np.array(number, np.int64))}
        for name, value in (("loss", loss), ("lr", lr)):
            if value is not None:
                found[name] = _number(value)
        for name, value in (("users", users), ("positives", positives)):
            if value is not None:
                found[name] = Array.of(arrays.ids(value))
        if negatives is not None:
            found["negatives"] = Array.of(arrays.ids(negatives).reshape(np.shape(negatives)))
        for name, values in (("item", item), ("user", user)):
            if values is not None:
                found |= {f"{name}/{key}": value for key, value in self._of_tower(name, number, values, lr).items()}
        self._write(found)

    def _of_tower(self, name: str, number: int, values: Mapping[str, Any], lr: Any) -> dict[str, Array]:
        tower = self._tower(name)
        assert tower is not None
        place = f"step {number}: {name}"
        for key in values:
            if key not in _OF_A_TOWER:
                raise _wrong(f"{place}/{key}", f"one of {', '.join(_OF_A_TOWER)}", repr(key))
        for key, after in (("q", "q_next"), ("table", "table_next")):
            given = [k for k in (key, after) if values.get(k) is not None]
            if len(given) == 1 or (key == "q" and not given):
                raise _wrong(f"{place}/{key}", f"both {key} and {after}", given[0] if given else "neither")
            if given and arrays.shares_memory(values[key], values[after]):
                advice = f"copy {key} before the step"
                raise AliasedSnapshot(f"{place}/{after}: expected memory of its own, found that of {key}: {advice}")
        q, q_next = (self._snapshot(tower, values[key]) for key in ("q", "q_next"))
        if len(q.shape) != 2 or (q_next.element, q_next.shape) != (q.element, q.shape):
            expected = f"{q.element} of shape {list(q.shape)} [rows, d], as q"
            raise _wrong(f"{place}/q_next", expected, f"{q_next.element} of shape {list(q_next.shape)}")
        if tower.shape not in (None, q.shape):
            raise _wrong(f"{place}/q", f"shape {list(tower.shape or ())}, as before", list(q.shape))
        tower.shape = q.shape
        found = {"q": q, "q_next": q_next}
        table_rows = q.shape[0] if isinstance(values["q"], Array) else len(values["q"])
        grad = self._gradient(tower, place, values.get("grad"), table_rows, q)
        if grad is not None:
            found["grad"] = grad
        if values.get("ids") is not None:
            found["ids"] = Array.of(arrays.ids(values["ids"]))
        if values.get("grad_out") is not None:
            grad_out = arrays.array(values["grad_out"])
            found["grad_out"] = Array(grad_out.element, grad_out.bits.reshape(-1, q.shape[1]))
            lookups = len(found["ids"].bits) if "ids" in found else len(found["grad_out"].bits)
            if len(found["grad_out"].bits) != lookups:
                raise _wrong(f"{place}/grad_out", f"{lookups} gradients, as ids", len(found["grad_out"].bits))
        for key in ("table", "table_next", "table_grad"):
            if values.get(key) is not None:
                found[key] = arrays.array(values[key])
        own_lr = values.get("lr")
        if own_lr is not None:
            found["lr"] = _number(own_lr)
        if not tower.warned:
            tower.warned = _is_frozen(place, found, lr if own_lr is None else own_lr)
        return _sparse(tower, found) if tower.sparse else found

    def _snapshot(self, tower: Tower, value: Any) -> Array:
        """A copy of the recorded rows. What is an :class:`Array` already was copied by :meth:`_read`."""
        if isinstance(value, Array):
            return value
        if "framework" not in self.metadata:
            self._declare_framework(value)
        return arrays.array(arrays.rows(value, tower.row_ids))

    def _gradient(self, tower: Tower, place: str, value: Any, table_rows: int, q: Array) -> Array | None:
        """The first step decides whether there are gradients; a step without one then had a gradient of zero."""
        grad = None
        if value is not None:
            wanted = None if isinstance(value, Array) else tower.row_ids
            grad = arrays.gradient(value, table_rows, q.shape[1], wanted)
            if grad.shape != q.shape:
                raise _wrong(f"{place}/grad", f"shape {list(q.shape)}, as q", list(grad.shape))
        if tower.grad is False:
            tower.grad = grad.element if grad is not None else None
        if tower.grad is None and grad is not None:
            raise _wrong(f"{place}/grad", "none, as in the first recorded step", "a gradient")
        if isinstance(tower.grad, str) and grad is None:
            zeros = np.zeros(q.shape, {"F64": np.float64}.get(tower.grad, np.float32))
            return _as(Array.of(zeros), tower.grad)
        return grad

    def _declare_framework(self, value: Any) -> None:
        package = type(value).__module__.partition(".")[0].removesuffix("lib")
        try:
            self.declare(framework=f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            self.declare(framework=package)

    def _write(self, found: dict[str, Array]) -> None:
        if not self._header_is_current:
            rows = {name: t.row_ids.tolist() for name, t in self.towers.items() if t.row_ids is not None}
            steps.write_header(self.folder, {"perpend": "1", **self.metadata}, rows)
            self._header_is_current = True
        write(steps.step_file(self.folder, self.written), found, {}, durable=False)
        self.written += 1

    def close(self) -> Path:
        """Puts the steps together and returns where the trajectory is. Closing twice does nothing more."""
        if not self.open:
            return self.path
        self.open = False
        if not self.written:
            steps.remove(self.folder)
            raise ValueError(f"{self.path}: expected at least one recorded step, found none")
        if not self._header_is_current:
            rows = {name: t.row_ids.tolist() for name, t in self.towers.items() if t.row_ids is not None}
            steps.write_header(self.folder, {"perpend": "1", **self.metadata}, rows)
        if self.folder != self.path:
            steps.join(self.folder, self.path, force=self.force)
            steps.remove(self.folder)
        return self.path

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A run that failed is worth reading up to where it failed.
        if self.written or kind is None:
            self.close()


class _Context:
    """One step of :meth:`Recorder.step`."""

    def __init__(self, recorder: Recorder, ids: Mapping[str, Any], pairs: Mapping[str, Any]) -> None:
        self.recorder = recorder
        self.step = Step(recorded=recorder.count % recorder.every == 0, **pairs)
        for tower, values in ids.items():
            recorder._tower(tower)
            self.step.lookups(tower, values)
        self.before: dict[str, Array] = {}

    def __enter__(self) -> Step:
        if self.step.recorded:
            self.before = self.recorder._read()
        return self.step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            return
        step, recorder = self.step, self.recorder
        if not step.recorded:
            recorder.count += 1
            return
        after = recorder._read()
        unknown = [name for name in step.towers if name not in self.before]
        if unknown:
            raise ValueError(f"{unknown[0]}: expected a tower that is watched, found none of that name")
        towers = {name: {**step.towers.get(name, {}), "q": q, "q_next": after[name]} for name, q in self.before.items()}
        recorder.record(
            loss=step.loss,
            lr=step.lr,
            users=step.users,
            positives=step.positives,
            negatives=step.negatives,
            item=towers.get("item"),
            user=towers.get("user"),
        )


def _is_frozen(place: str, found: dict[str, Array], lr: Any) -> bool:
    """Warns where gradients arrived and nothing moved."""
    grad = found.get("grad")
    still = np.array_equal(found["q"].bits, found["q_next"].bits)
    frozen = still and grad is not None and bool(np.any(grad.numbers())) and (lr is None or float(lr) != 0.0)
    if frozen:
        warnings.warn(
            f"{place}: gradients arrived and no row moved: is q a view that the step changes, or a snapshot of "
            "something else than what the optimizer moves?",
            RecorderWarning,
            stacklevel=5,
        )
    return frozen


def _number(value: Any) -> Array:
    """A single number of any framework."""
    return Array.of(np.array(float(value.detach() if hasattr(value, "detach") else value)))


def _wrong(place: str, expected: str, found: object) -> ValueError:
    return ValueError(f"{place}: expected {expected}, found {found}")


def _strings(settings: Mapping[str, Any]) -> dict[str, str]:
    """Header metadata: strings as they are, objects as JSON, numbers so that they read back exactly."""
    found = {}
    for key, value in settings.items():
        if value is None:
            continue
        found[key] = value if isinstance(value, str) else json.dumps(value, default=float)
    return found


def _as(values: Array, element: str) -> Array:
    """Zeros in another element type."""
    if element == "BF16":
        return Array("BF16", np.zeros(values.shape, "<u2"))
    return Array.of(values.bits.astype({"F64": np.float64, "F32": np.float32, "F16": np.float16}[element]))


def _sparse(tower: Tower, found: dict[str, Array]) -> dict[str, Array]:
    """The records of the rows that moved, were looked up or had a gradient."""
    numbers: NDArray[np.int64] = np.arange(found["q"].shape[0]) if tower.row_ids is None else tower.row_ids
    active = np.any(found["q"].bits != found["q_next"].bits, axis=1)
    if "grad" in found:
        active |= np.any(found["grad"].numbers() != 0, axis=1)
    if "ids" in found:
        active |= np.isin(numbers, found["ids"].bits)
    records = {"row_id": Array.of(numbers[active].astype(np.int64))}
    for key in ("q", "q_next", "grad"):
        if key in found:
            array = found.pop(key)
            records[f"row_{key}"] = Array(array.element, array.bits[active])
    return found | records
