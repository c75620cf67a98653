"""The three trainers agree to rounding, and planted faults do not."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bounds
import numpy as np
import pytest
import scenarios

from perpend_harness import faults
from perpend_harness.numpy_harness import FRAMEWORK as NUMPY
from perpend_harness.numpy_harness import NumpyModel
from perpend_harness.scenario import SIDES, Encoder, Loss, Numbers, Optimizer, Rows, Run
from perpend_harness.training import Framework, Model, Touched, train
from perpend_recorder import container

# With a bound that is derived and not fitted, a correct trainer stays below it, and a wrong one goes far beyond.
MARGIN = 100.0

# Random scenarios for each framework and precision: enough to meet every encoder and optimizer.
SCENARIOS = 24


def framework(name: str) -> Framework:
    pytest.importorskip({"jax": "optax"}.get(name, name), reason=f"{name} is not installed")
    return importlib.import_module(f"perpend_harness.{name}_harness").FRAMEWORK


def materialised(found: dict[str, Any], folder: Path) -> Run:
    return Run.read(found, scenarios.tables(found, folder / "in.safetensors"))


@dataclass
class Compared:
    """A model that is compared with plain NumPy in every call, each from the same state."""

    subject: Model
    worst: dict[str, float] = field(default_factory=dict)
    clean: NumpyModel = field(default_factory=lambda: NumpyModel(None))

    def note(self, what: str, found: Any, expected: Any, bound: Any) -> None:
        self.worst[what] = max(self.worst.get(what, 0.0), bounds.apart(found, expected, bound))

    def embeddings(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> Numbers:
        found = self.subject.embeddings(encoder, tables, constants, dim)
        expected = self.clean.embeddings(encoder, tables, constants, dim)
        self.note("embeddings", found, expected, bounds.embeddings(encoder, tables, constants, dim))
        return found

    def loss(self, loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        found = self.subject.loss(loss, users, items, own)
        expected = self.clean.loss(loss, users, items, own)
        allowed = bounds.loss(loss, users, items, own)
        for what, *values in zip(("loss", "user slots", "item slots"), found, expected, allowed, strict=True):
            self.note(what, *values)
        return found

    def pull_back(
        self, encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        arguments = encoder, tables, constants, slots, upstream
        found, expected = self.subject.pull_back(*arguments), self.clean.pull_back(*arguments)
        allowed = bounds.pull_back(*arguments)
        self.note("row gradients", found[0], expected[0], allowed[0])
        for one, other, bound in zip(found[1], expected[1], allowed[1], strict=True):
            self.note("parameter gradients", one, other, bound)
        return found

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Any:
        subject = self.subject.stepper(optimizer, rows, width, dtype)
        clean = bounds.Stepper(optimizer, rows, width, dtype)
        outer = self

        class Both:
            def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched) -> Numbers:
                found = subject.step(time, rate, table, gradient, touched)
                outer.note(f"step of {optimizer.kind}", found, *clean.step(time, rate, table, gradient, touched))
                return found

        return Both()


class Comparing:
    """A framework under comparison."""

    def __init__(self, subject: Framework) -> None:
        self.subject, self.name = subject, subject.name
        self.models: list[Compared] = []

    def versions(self) -> str:
        return self.subject.versions()

    def model(self, fault: str | None) -> Model:
        self.models.append(Compared(self.subject.model(fault)))
        return self.models[-1]


def finite(arrays: dict[str, container.Array]) -> bool:
    return all(np.all(np.isfinite(array.bits)) for array in arrays.values() if array.element in ("F64", "F32"))


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("name", ["jax", "torch"])
def test_a_framework_agrees_with_plain_numpy(name: str, precision: str, tmp_path: Path) -> None:
    subject = framework(name)
    seen, judged = set(), 0
    for seed in range(SCENARIOS):
        found = scenarios.scenario(seed, precision)
        run = materialised(found, tmp_path)
        comparing = Comparing(subject)
        with np.errstate(all="ignore"):
            arrays, _ = train(run, comparing)
        if not finite(arrays):
            # An embedding of zeros (a ReLU tower that died) has no direction.
            continue
        judged += 1
        worst = comparing.models[0].worst
        assert max(worst.values()) <= 1.0, (seed, worst, found["item"], found["user"])
        for side in SIDES:
            seen |= {found[side]["encoder"]["kind"], found[side]["optimizer"]["kind"]}
    assert judged >= 0.75 * SCENARIOS and len(seen) == 11, (judged, seen)


@pytest.mark.parametrize("name", ["numpy", "jax", "torch"])
def test_the_reference_trajectory_is_reproduced_one_step_from_each_state(name: str) -> None:
    """fixtures/trajectories/sgd.safetensors, made by perpend itself."""
    model = framework(name).model(None)
    _, arrays = container.read(scenarios.ROOT / "fixtures/trajectories/sgd.safetensors")
    values = {key: array.bits for key, array in arrays.items()}
    loss, sgd = Loss("cosine", 0.5, 0.0), Optimizer("sgd", 0.5, False)
    for t in range(len(values["loss"])):
        slots = {"user": values["users"][t], "item": values["positives"][t]}
        looked_up = [values[f"{side}/q"][t][slots[side]] for side in ("user", "item")]
        found, allowed = model.loss(loss, *looked_up, 0), bounds.loss(loss, *looked_up, 0)
        expected = values["loss"][t], values["user/grad_out"][t], values["item/grad_out"][t]
        for one, other, bound in zip(found, expected, allowed, strict=True):
            assert bounds.apart(one, other, bound) <= 1.0
        for side in SIDES:
            table, grad_out = values[f"{side}/q"][t], values[f"{side}/grad_out"][t]
            arguments = Encoder("table"), [table], np.zeros((0, 0)), slots[side], grad_out
            rows, _ = model.pull_back(*arguments)
            assert bounds.apart(rows, values[f"{side}/grad"][t], bounds.pull_back(*arguments)[0]) <= 1.0
            moved = model.stepper(sgd, *table.shape, table.dtype)
            arguments = 0, 0.5, table, values[f"{side}/grad"][t], np.ones(len(table), bool)
            _, bound = bounds.Stepper(sgd, *table.shape, table.dtype).step(*arguments)
            assert bounds.apart(moved.step(*arguments), values[f"{side}/q"][t + 1], bound) <= 1.0


# Faults


def judge(run: Run, arrays: dict[str, container.Array]) -> list[tuple[int, str, float]]:
    """One step from each recorded state, by plain NumPy, for towers that are tables: (step, array, multiple of the
    bound), in the order in which a step computes them."""
    model, found = NumpyModel(None), []
    values = {key: array.bits for key, array in arrays.items()}
    steppers = {s: bounds.Stepper(t.optimizer, t.rows, run.dim, run.dtype) for s, t in run.towers.items()}
    for t, batch in enumerate(run.batches):
        own = 0 if batch.negatives is None else batch.negatives.shape[1]
        looked_up = [values[f"{side}/q"][t][batch.slots(side)] for side in ("user", "item")]
        expected = model.loss(run.loss, *looked_up, own)
        allowed = bounds.loss(run.loss, *looked_up, own)
        found.append((t, "loss", bounds.apart(values["loss"][t], expected[0], allowed[0])))
        for side, at, bound in zip(("user", "item"), expected[1:], allowed[1:], strict=True):
            slots, table = batch.slots(side), values[f"{side}/q"][t]
            found.append((t, f"{side}/grad_out", bounds.apart(values[f"{side}/grad_out"][t], at, bound)))
            arguments = Encoder("table"), [table], np.zeros((0, 0)), slots, values[f"{side}/grad_out"][t]
            rows, _ = model.pull_back(*arguments)
            ratio = bounds.apart(values[f"{side}/grad"][t], rows, bounds.pull_back(*arguments)[0])
            found.append((t, f"{side}/grad", ratio))
            touched = np.isin(np.arange(len(table)), slots)
            rate = run.towers[side].optimizer.rate(t)
            moved = steppers[side].step(t, rate, table, values[f"{side}/grad"][t], touched)
            found.append((t, f"{side}/q", bounds.apart(values[f"{side}/q"][t + 1], *moved)))
    return found


def duplicated(optimizer: dict[str, Any]) -> dict[str, Any]:
    """Tables in d = 3 with duplicate lookups in every step and rows that nobody looks up."""
    tower = {"encoder": {"kind": "table"}, "optimizer": optimizer}
    found = scenarios.scenario(
        7, dim=3, steps=3, loss={"kind": "info-nce", "similarity": "cosine", "temperature": 0.25}
    )
    for side in SIDES:
        values = scenarios.without_zeros(np.random.default_rng(1), 6, 3).ravel().tolist()
        found[side] = {"rows": 6, "initial": {"kind": "explicit", "tables": [values]}, **tower}
    found["batches"] = [{"users": [0, 1, 1, 4], "positives": [2, 2, 3, 5]}] * 3
    return found


MOMENTUM = {
    "kind": "heavy-ball",
    "lr": 0.25,
    "momentum": 0.5,
    "rows": "lazy",
    "decay": {"rate": 0.125, "form": "coupled"},
}
FIRST_PLACE = {
    "sign": "user/q",
    "no-temperature": "loss",
    "mean-for-sum": "user/grad",
    "epsilon": "loss",
    "last-write-wins": "user/q",
    "late-momentum": "user/q",
    "decay-on-untouched": "user/q",
    "detached-norm": "user/grad_out",
    "wrong-axis": "loss",
}


@pytest.mark.parametrize("name", ["numpy", "jax", "torch"])
def test_every_training_fault_breaks_at_its_place_and_the_clean_run_nowhere(name: str, tmp_path: Path) -> None:
    subject, run = framework(name), materialised(duplicated(MOMENTUM), tmp_path)
    assert set(FIRST_PLACE) == set(faults.TRAINING)
    clean = judge(run, train(run, subject)[0])
    assert len(clean) == 3 * 7 and max(ratio for *_, ratio in clean) <= 1.0
    for fault, place in FIRST_PLACE.items():
        broken = [(t, what) for t, what, ratio in judge(run, train(run, subject, fault)[0]) if ratio > MARGIN]
        assert broken and broken[0] == (0, place), (fault, broken)


def test_a_fault_that_cannot_bite_changes_nothing(tmp_path: Path) -> None:
    """The controls: τ = 1, no row twice, no momentum, every row looked up."""
    found = duplicated({"kind": "sgd", "lr": 0.25})
    found["loss"]["temperature"] = 1.0
    found["batches"] = [{"users": [0, 1, 2, 3, 4, 5], "positives": [5, 4, 3, 2, 1, 0]}] * 3
    run = materialised(found, tmp_path)
    clean, _ = train(run, NUMPY)
    for fault in ("no-temperature", "mean-for-sum", "last-write-wins", "late-momentum", "decay-on-untouched"):
        faulty, _ = train(run, NUMPY, fault)
        assert all(np.array_equal(clean[key].bits, faulty[key].bits) for key in clean), fault


# Optimizers


def table_run(optimizer: dict[str, Any], table: Any, gradients: list[Any], touched: Any = None) -> list[Any]:
    """A NumPy optimizer on a table, with given gradients."""
    made = Optimizer.read(optimizer, "item.optimizer")
    table = np.array(table, float)
    stepper = NumpyModel(None).stepper(made, *table.shape, table.dtype)
    states = [table]
    for t, gradient in enumerate(gradients):
        mask = np.ones(len(table), bool) if touched is None else np.array(touched[t])
        states.append(stepper.step(t, made.rate(t), states[-1], np.array(gradient, float), mask))
    return states


def test_optimizers_are_their_formulas_by_hand() -> None:
    def last(optimizer: dict[str, Any], **options: Any) -> list[float]:
        return table_run(optimizer, [[4.0]], [[[1.0]], [[2.0]]], **options)[-1][0].tolist()

    assert last({"kind": "sgd", "lr": 0.5}) == [2.5]
    assert last({"kind": "sgd", "lr": [0.5, 0.25]}) == [3.0]
    assert last({"kind": "sgd", "lr": {"from": 0.0, "to": 1.0, "steps": 2}}) == [3.0]
    assert last({"kind": "sgd", "lr": {"start": 0.5, "factor": 0.5}}) == [3.0]
    # p: 1, 0.5·1 + 2 = 2.5; dampened by half: 1, 0.5 + 1 = 1.5
    assert last({"kind": "heavy-ball", "lr": 0.5, "momentum": 0.5}) == [4 - 0.5 - 1.25]
    assert last({"kind": "heavy-ball", "lr": 0.5, "momentum": 0.5, "dampening": 0.5}) == [4 - 0.5 - 0.75]
    # g + βp: 1.5, 2 + 1.25
    assert last({"kind": "nesterov", "lr": 0.5, "momentum": 0.5}) == [4 - 0.75 - 1.625]
    assert last({"kind": "adagrad", "lr": 0.5, "epsilon": 1.0}) == pytest.approx(
        [4 - 0.25 - 1 / (5**0.5 + 1)], rel=1e-15
    )
    # Coupled: g + q/4 = 2, then 2 + (4 − 1)/4; decoupled: (1 − 1/8)·4 − 1/2, then again.
    assert last({"kind": "sgd", "lr": 0.5, "decay": {"rate": 0.25, "form": "coupled"}}) == [3 - 0.5 * 2.75]
    assert last({"kind": "sgd", "lr": 0.5, "decay": {"rate": 0.25, "form": "decoupled"}}) == [3.0 * 0.875 - 1.0]
    # Row-wise: G = mean of 9 and 16; 0/0 moves nothing.
    rowwise = {"kind": "rowwise-adagrad", "lr": 1.0}
    moved = table_run(rowwise, [[0.0, 0.0], [1.0, 1.0]], [[[3.0, 4.0], [0.0, 0.0]]])[-1]
    assert moved.tolist() == [[-3 / 12.5**0.5, -4 / 12.5**0.5], [1.0, 1.0]]


def test_dense_and_lazy_differ_where_a_row_is_not_looked_up() -> None:
    gradients, touched = [[[1.0], [1.0]], [[1.0], [0.0]]], [[True, True], [True, False]]
    for rows, coasts in (("dense", True), ("lazy", False)):
        ball = {"kind": "heavy-ball", "lr": 1.0, "momentum": 0.5, "rows": rows}
        before, after = table_run(ball, [[0.0], [0.0]], gradients, touched)[1:]
        assert (after[1, 0] != before[1, 0]) == coasts
        decay = {"kind": "sgd", "lr": 1.0, "rows": rows, "decay": {"rate": 0.5, "form": "decoupled"}}
        before, after = table_run(decay, [[8.0], [8.0]], gradients, touched)[1:]
        assert (after[1, 0] != before[1, 0]) == coasts


def test_gradients_of_numpy_are_those_of_central_differences(tmp_path: Path) -> None:
    """h = u^(1/3): truncation and rounding are then both of the order u^(2/3) of a smooth function of size 1; the third
    derivatives of a loss with τ ≥ 1/8 are below τ⁻³·10, and 8³·10·h² + u/h·10 is the tolerance."""
    h = (np.finfo(float).eps / 2) ** (1 / 3)
    model = NumpyModel(None)
    random = np.random.default_rng(3)
    for own in (0, 2):
        users, items = random.normal(size=(4, 3)) + 2, random.normal(size=(4 * (1 + own), 3)) + 2
        for similarity, epsilon in (("cosine", 0.0), ("cosine", 3.0), ("dot", 0.0)):
            loss = Loss(similarity, 1.0, epsilon)
            _, at_users, at_items = model.loss(loss, users, items, own)
            for table, gradient in ((users, at_users), (items, at_items)):
                for index in np.ndindex(table.shape):
                    kept = table[index]
                    values = []
                    for shift in (h, -h):
                        table[index] = kept + shift
                        values.append(model.loss(loss, users, items, own)[0])
                    table[index] = kept
                    slope = (values[0] - values[1]) / (2 * h)
                    # Dot logits reach |u||q| ≈ 30 here, and so do their derivatives, to the third power.
                    size = 1.0 if similarity == "cosine" else 30.0**3
                    assert abs(slope - gradient[index]) <= 10 * (h * h + np.finfo(float).eps / h) * size


def test_batches_of_unequal_sizes_are_padded(tmp_path: Path) -> None:
    found = duplicated({"kind": "sgd", "lr": 0.25})
    path = scenarios.tables(found, tmp_path / "in.safetensors")
    _, arrays = container.read(path)
    ids = {"users": np.array([[0, 1, 1, 4], [2, -1, 3, -1], [5, -1, -1, -1]])}
    ids["positives"] = np.array([[2, 2, 3, 5], [1, -1, 0, -1], [0, -1, -1, -1]])
    container.write(path, {**arrays, **{k: container.Array.of(v) for k, v in ids.items()}}, {}, force=True)
    arrays, _ = train(Run.read(found, path), NUMPY)
    assert arrays["users"].bits.tolist() == [[0, 1, 1, 4], [2, 3, -1, -1], [5, -1, -1, -1]]
    assert not arrays["item/grad_out"].bits[2, 1:].any()
    # One pair alone is its own only candidate: no loss, no gradient.
    assert arrays["loss"].bits[2] == 0.0 and not arrays["item/grad"].bits[2].any()
