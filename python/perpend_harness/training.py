"""The training loop that all harnesses share, and the trajectory that it leaves.

A harness brings the mathematics (:class:`Model`): embeddings, the loss with its gradients, their way back to the
parameters, the optimizer's step. Everything between the two is NumPy arrays.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from perpend_harness import faults
from perpend_harness.scenario import SIDES, Batch, Encoder, Loss, Numbers, Optimizer, Rows, Run, Tower
from perpend_recorder.container import Array

Touched = NDArray[np.bool_]


class Stepper(Protocol):
    """An optimizer at work on one table, with its state."""

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched) -> Numbers:
        """The table after the step. table, gradient: [rows, width]; touched: [rows], where a gradient arrived."""
        ...


class Model(Protocol):
    """The mathematics of a framework."""

    def embeddings(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> Numbers:
        """All embeddings of a tower: [N, d]."""
        ...

    def loss(self, loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        """The loss and its gradients with respect to the slots' embeddings.

        users: [B, d]; items: [B + B·own, d]; own: negatives a pair, 0 where the other positives are the negatives.
        """
        ...

    def pull_back(
        self, encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        """From gradients at the slots [C, d] to those at the rows' embeddings [N, d] and at the parameters."""
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
    loss = replace(run.loss, temperature=1.0) if fault == "no-temperature" else run.loss
    towers = {side: _TowerRun(run, side, model, fault) for side in SIDES}
    losses = []
    for time, batch in enumerate(run.batches):
        before = {side: tower.begin(time) for side, tower in towers.items()}
        users, items = (before[side][batch.slots(side)] for side in ("user", "item"))
        own = 0 if batch.negatives is None else batch.negatives.shape[1]
        value, user_gradients, item_gradients = model.loss(loss, users, items, own)
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
    if any(batch.negatives is not None for batch in run.batches):
        none = np.zeros((0, 0), np.int64)
        own_rows = [none if batch.negatives is None else batch.negatives for batch in run.batches]
        arrays["negatives"] = Array.of(_padded(own_rows, -1))
    for side, tower in towers.items():
        arrays |= {f"{side}/{name}": array for name, array in tower.arrays().items()}
    return arrays, _header(run, framework)


def _header(run: Run, framework: Framework) -> dict[str, str]:
    header = {
        "perpend": "1",
        "similarity": run.loss.similarity,
        "eps": repr(run.loss.epsilon),
        "temperature": repr(run.loss.temperature),
        "loss": "info-nce",
        "param_dtype": run.precision,
        "compute_dtype": run.precision,
        "grad_stage": "raw",
        "framework": framework.versions(),
        "implementation": f"perpend_harness {framework.name}",
    }
    if run.loss.epsilon > 0.0:
        header["eps_on"] = "norm"
    for side, tower in run.towers.items():
        header[f"{side}/encoder"] = tower.encoder.declared
        header[f"{side}/optimizer"] = json.dumps(tower.optimizer.declaration())
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
        self.tables = [table.copy() for table in self.tower.tables]
        self.steppers = [
            model.stepper(self.tower.optimizer, block.rows, block.width, run.dtype) for block in self.tower.blocks
        ]
        self.late = [np.zeros_like(table) for table in self.tables]
        self.recorded: dict[str, list[NDArray[Any]]] = {}

    def record(self, name: str, values: NDArray[Any]) -> None:
        self.recorded.setdefault(name, []).append(np.array(values))

    def embeddings(self) -> Numbers:
        tower = self.tower
        return self.model.embeddings(tower.encoder, self.tables, tower.constants, self.run.dim)

    def joined(self, tables: list[Numbers]) -> Numbers:
        """All parameters as one table: row by row where rows are private, the table itself where there is one."""
        if all(block.private for block in self.tower.blocks) or len(tables) == 1:
            return np.concatenate(tables, axis=1)
        return np.concatenate([table.reshape(1, -1) for table in tables], axis=1)

    def begin(self, time: int) -> Numbers:
        """Records the state before a step and returns the embeddings."""
        embeddings = self.embeddings()
        self.record("q", embeddings)
        self.record("lr", np.array(self.tower.optimizer.rate(time)))
        if self.tower.encoder.kind != "table":
            self.record("table", self.joined(self.tables))
        return embeddings

    def gradients(self, time: int, batch: Batch, slot_gradients: Numbers) -> Callable[[], None]:
        """Records the gradients of a step and returns the step."""
        tower, fault = self.tower, self.fault
        slots = batch.slots(self.side)
        upstream = slot_gradients
        if fault == "mean-for-sum":
            upstream = upstream / np.bincount(slots)[slots][:, None].astype(upstream.dtype)

        def pull_back(at: Numbers) -> tuple[Numbers, list[Numbers]]:
            return self.model.pull_back(tower.encoder, self.tables, tower.constants, slots, at)

        rows, tables = pull_back(upstream)
        self.record("ids", slots)
        self.record("grad_out", slot_gradients)
        self.record("grad", rows)
        if tower.encoder.kind != "table":
            self.record("table_grad", self.joined(tables))
        if fault == "last-write-wins":
            last = np.array([row not in slots[place + 1 :] for place, row in enumerate(slots)])
            _, tables = pull_back(np.where(last[:, None], upstream, 0))
        if fault == "sign":
            tables = [-table for table in tables]
        return lambda: self.step(time, slots, tables)

    def step(self, time: int, slots: Rows, gradients: list[Numbers]) -> None:
        optimizer = self.tower.optimizer
        rate = optimizer.rate(time)
        for place, (block, gradient) in enumerate(zip(self.tower.blocks, gradients, strict=True)):
            # Shared parameters receive something from every lookup.
            touched = np.full(block.rows, not block.private)
            if block.private:
                touched[slots] = True
            table = self.tables[place]
            moved = self.steppers[place].step(time, rate, table, gradient, touched)
            if self.fault == "late-momentum" and optimizer.kind in ("heavy-ball", "nesterov"):
                moved, self.late[place] = table + self.late[place], moved - table
            if self.fault == "decay-on-untouched":
                moved = np.where(touched[:, None], moved, moved * (1.0 - rate * (optimizer.decay or faults.SIZE)))
            self.tables[place] = moved.astype(self.run.dtype)
        if self.tower.encoder.kind != "table":
            self.record("table_next", self.joined(self.tables))

    def arrays(self) -> dict[str, Array]:
        self.record("q", self.embeddings())
        fillings = {"ids": -1}
        return {name: Array.of(_padded(steps, fillings.get(name, 0))) for name, steps in self.recorded.items()}
