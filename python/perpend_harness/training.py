"""The training loop that all harnesses share, and the trajectory that it leaves.

A harness brings the mathematics (:class:`Model`): embeddings, the loss with its gradients, their way back to the
parameters, the optimizer's step. Everything between the two is NumPy arrays.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from perpend_harness import faults, parameters
from perpend_harness.scenario import (
    SIDES,
    Batch,
    Encoder,
    Loss,
    Mask,
    Numbers,
    Optimizer,
    Rows,
    Run,
    Tower,
    stored,
)
from perpend_recorder.container import Array


class Stepper(Protocol):
    """An optimizer at work on one table, with its state."""

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, visited: Mask) -> Numbers:
        """The table after the step, which moves the visited rows alone.

        table, gradient: [rows, width]; visited: [rows]; time: the steps that the optimizer made before.
        """
        ...


class Model(Protocol):
    """The mathematics of a framework. Parameters come as parts and inputs, see :mod:`perpend_harness.parameters`."""

    def embeddings(self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> Numbers:
        """All embeddings of a tower: [N, d]."""
        ...

    def loss(self, loss: Loss, users: Numbers, items: Numbers, batch: Batch) -> tuple[float, Numbers, Numbers]:
        """The loss and its gradients with respect to the slots' embeddings. users: [B, d]; items: [C, d]."""
        ...

    def pull_back(
        self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers], slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        """From gradients at the slots [C, d] to those at the rows' embeddings [N, d] and at the parts."""
        ...

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        """The optimizer with zero state. May raise :class:`perpend_harness.scenario.Unsupported`."""
        ...


class Framework(Protocol):
    """A harness: what it is called, and a model with a planted fault or none."""

    name: str

    def versions(self) -> str: ...

    def model(self, fault: str | None) -> Model: ...


def train(run: Run, framework: Framework, fault: str | None = None) -> tuple[dict[str, Array], dict[str, str]]:
    """Trains and returns the arrays and the header of the trajectory."""
    model = framework.model(fault)
    loss = run.without_temperature() if fault == "missing-temperature" else run.loss
    towers = {side: _TowerRun(run, side, model, fault) for side in SIDES}
    losses = []
    for time, batch in enumerate(run.batches):
        before = {side: tower.begin(time) for side, tower in towers.items()}
        users, items = (before[side][batch.slots(side)] for side in ("user", "item"))
        value, user_gradients, item_gradients = model.loss(loss, users, items, batch)
        losses.append(value)
        # All gradients first, then all steps: neither tower sees the other's new values.
        steps = [
            towers["item"].gradients(time, batch, item_gradients),
            towers["user"].gradients(time, batch, user_gradients),
        ]
        for step in steps:
            step()
    arrays = {"loss": Array.of(np.array(losses, run.dtype))}
    arrays["users"] = Array.of(_padded([batch.users for batch in run.batches], -1))
    arrays["positives"] = Array.of(_padded([batch.positives for batch in run.batches], -1))
    negatives = [
        np.concatenate([batch.negatives, np.broadcast_to(batch.shared, (len(batch.users), len(batch.shared)))], axis=1)
        for batch in run.batches
    ]
    if any(rows.size for rows in negatives):
        arrays["negatives"] = Array.of(_padded(negatives, -1))
    for side, tower in towers.items():
        arrays |= {f"{side}/{name}": array for name, array in tower.arrays().items()}
    return arrays, _header(run, framework)


def _header(run: Run, framework: Framework) -> dict[str, str]:
    loss = run.loss
    # Positives and negatives alone then do not tell who was compared with whom.
    mixed = any(batch.in_batch and batch.negatives.size + batch.shared.size for batch in run.batches)
    header = {
        "perpend": "1",
        "similarity": loss.similarity,
        "eps": repr(loss.epsilon),
        "loss": loss.declared + (", in-batch and other negatives" if mixed else ""),
        "param_dtype": run.precision,
        "compute_dtype": run.precision,
        "grad_stage": "raw",
        "framework": framework.versions(),
        "implementation": f"perpend_harness {framework.name}",
    }
    temperature = loss.objective.get("temperature")
    if temperature is not None:
        header["temperature"] = repr(float(temperature))
    if loss.epsilon > 0.0 and loss.epsilon_on in ("norm", "norm2", "product", "add"):
        header["eps_on"] = loss.epsilon_on
    for side, tower in run.towers.items():
        header[f"{side}/encoder"] = tower.encoder.declared
        header[f"{side}/optimizer"] = json.dumps(tower.declaration())
        if tower.update.storage:
            header[f"{side}/param_dtype"] = tower.update.storage
    return header


def _padded(steps: list[NDArray[Any]], filling: float) -> NDArray[Any]:
    """One array with a leading step axis; shorter steps are filled up."""
    shape = np.max([step.shape for step in steps], axis=0)
    padded = np.full((len(steps), *shape), filling, steps[0].dtype)
    for place, step in enumerate(steps):
        index: tuple[Any, ...] = (place, *(slice(size) for size in step.shape))
        padded[index] = step
    return padded


class _TowerRun:
    """One tower in training, and what is recorded of it."""

    def __init__(self, run: Run, side: str, model: Model, fault: str | None) -> None:
        self.run, self.side, self.model, self.fault = run, side, model, fault
        self.tower: Tower = run.towers[side]
        self.encoder = self.tower.encoder
        self.blocks = self.encoder.blocks()
        self.given = parameters.inputs(self.encoder, self.tower.constants, self.tower.shared)
        self.tables = [table.copy() for table in self.tower.tables]
        self.steppers = [model.stepper(self.tower.optimizer, b.rows, b.width, run.dtype) for b in self.blocks]
        self.stages = _Stages(self.tower)
        self.late = [np.zeros_like(table) for table in self.tables]
        self.recorded: dict[str, list[NDArray[Any]]] = {}

    def record(self, name: str, values: NDArray[Any]) -> None:
        self.recorded.setdefault(name, []).append(np.array(values))

    @property
    def parts(self) -> list[Numbers]:
        return parameters.parts(self.encoder, self.tables)

    def embeddings(self) -> Numbers:
        return self.model.embeddings(self.encoder, self.parts, self.given)

    def joined(self, tables: list[Numbers]) -> Numbers:
        """All parameters as one table: row by row where rows are private, the table itself where there is one."""
        if all(block.private for block in self.blocks) or len(tables) == 1:
            return np.concatenate(tables, axis=1)
        return np.concatenate([table.reshape(1, -1) for table in tables], axis=1)

    def begin(self, time: int) -> Numbers:
        """Records the state before a step and returns the embeddings."""
        embeddings = self.embeddings()
        self.record("q", embeddings)
        self.record("lr", np.array(self.tower.optimizer.rate(time)))
        if not self.encoder.is_table:
            self.record("table", self.joined(self.tables))
        return embeddings

    def gradients(self, time: int, batch: Batch, slot_gradients: Numbers) -> Callable[[], None]:
        """Records the gradients of a step and returns the step."""
        fault, slots = self.fault, batch.slots(self.side)
        upstream = slot_gradients
        if fault == "mean-for-sum":
            upstream = upstream / np.bincount(slots)[slots][:, None].astype(upstream.dtype)

        def pull_back(at: Numbers) -> tuple[Numbers, list[Numbers]]:
            rows, parts = self.model.pull_back(self.encoder, self.parts, self.given, slots, at)
            return rows, parameters.tables(self.encoder, parts)

        rows, tables = pull_back(upstream)
        self.record("ids", slots)
        self.record("grad_out", slot_gradients)
        self.record("grad", rows)
        if not self.encoder.is_table:
            self.record("table_grad", self.joined(tables))
        if fault == "last-write-wins":
            last = np.array([row not in slots[place + 1 :] for place, row in enumerate(slots)])
            _, tables = pull_back(np.where(last[:, None], upstream, 0))
        if fault == "sign":
            tables = [-table for table in tables]
        touched = [self.encoder.touched(block, self.tower.constants, slots) for block in self.blocks]
        return lambda: self.step(time, tables, touched)

    def step(self, time: int, gradients: list[Numbers], touched: list[Mask]) -> None:
        passed = self.stages.pass_on(gradients, touched)
        if passed is not None:
            self.move(time, *passed)
        if not self.encoder.is_table:
            self.record("table_next", self.joined(self.tables))

    def move(self, time: int, made: int, gradients: list[Numbers], touched: list[Mask]) -> None:
        """The optimizer's step. made: how many it made before."""
        optimizer, update = self.tower.optimizer, self.tower.update
        rate = optimizer.rate(time)
        for place, (gradient, reached) in enumerate(zip(gradients, touched, strict=True)):
            visited = reached if optimizer.lazy else np.ones_like(reached)
            table = self.tables[place]
            self.stages.before(place, table, visited)
            moved = self.steppers[place].step(made, rate, table, gradient, visited)
            if self.fault == "momentum-late" and optimizer.name in ("heavy-ball", "nesterov"):
                moved, self.late[place] = table + self.late[place], moved - table
            if self.fault == "decay-untouched":
                moved = np.where(reached[:, None], moved, moved * (1.0 - rate * (optimizer.decay or faults.SIZE)))
            moved = self.stages.after(place, moved, visited)
            self.tables[place] = stored(moved, update).astype(self.run.dtype)

    def arrays(self) -> dict[str, Array]:
        self.record("q", self.embeddings())
        fillings = {"ids": -1}
        return {name: Array.of(_padded(steps, fillings.get(name, 0))) for name, steps in self.recorded.items()}


class _Stages:
    """What happens around the optimizer of a tower: delay, accumulation, clipping; constraints on norms."""

    def __init__(self, tower: Tower) -> None:
        self.update = tower.update
        # The retraction of Riemannian SGD is this constraint.
        self.renormalise = tower.update.renormalise or tower.optimizer.name == "riemannian-sgd"
        self.on_their_way: deque[tuple[list[Numbers], list[Mask]]] = deque()
        self.sums: list[Numbers] = []
        self.reached: list[Mask] = []
        self.summed = 0
        self.made = 0
        self.initial: dict[int, Numbers] = {}
        """The norm of every visited row before its first step, 0 where there was none: [rows, 1] a table."""

    def pass_on(self, gradients: list[Numbers], touched: list[Mask]) -> tuple[int, list[Numbers], list[Mask]] | None:
        """What the optimizer is to see, and how many steps it made; None in a step without one."""
        update = self.update
        self.on_their_way.append((gradients, touched))
        if len(self.on_their_way) <= update.delay:
            return None
        gradients, touched = self.on_their_way.popleft()
        if self.summed:
            gradients = [old + new for old, new in zip(self.sums, gradients, strict=True)]
            touched = [old | new for old, new in zip(self.reached, touched, strict=True)]
        self.sums, self.reached = gradients, touched
        self.summed = (self.summed + 1) % update.accumulate
        if self.summed:
            return None
        if update.clip_norm is not None:
            norm = np.sqrt(sum(np.sum(gradient * gradient) for gradient in gradients))
            if norm > update.clip_norm:
                gradients = [gradient * (update.clip_norm / norm) for gradient in gradients]
        if update.clip_value is not None:
            gradients = [np.clip(gradient, -update.clip_value, update.clip_value) for gradient in gradients]
        self.made += 1
        return self.made - 1, gradients, touched

    def before(self, place: int, table: Numbers, visited: Mask) -> None:
        """Notes norms that rows are to get back."""
        if self.renormalise:
            known = self.initial.get(place, np.zeros((len(table), 1), table.dtype))
            norms = np.linalg.norm(table, axis=1, keepdims=True)
            self.initial[place] = np.where((known == 0) & visited[:, None], norms, known)

    def after(self, place: int, table: Numbers, visited: Mask) -> Numbers:
        """Rows of length 0 have no direction and stay."""
        longest = self.update.max_norm
        if self.renormalise:
            table = _with_norms(table, lambda norms: self.initial[place], visited)
        if longest is not None:
            table = _with_norms(table, lambda norms: np.minimum(norms, norms.dtype.type(longest)), visited)
        return table


def _with_norms(table: Numbers, wanted: Callable[[Numbers], Numbers], visited: Mask) -> Numbers:
    """The visited rows at other norms, which depend on their own: [rows, 1]."""
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    moves = visited[:, None] & (norms != 0) & (wanted(norms) != norms)
    return np.where(moves, table * (wanted(norms) / np.where(norms == 0, 1, norms)), table).astype(table.dtype)
