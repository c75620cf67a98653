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

from perpend_harness import faults, parameters
from perpend_harness.numpy_harness import FRAMEWORK as NUMPY
from perpend_harness.numpy_harness import NumpyModel
from perpend_harness.scenario import (
    ENCODERS,
    EPSILONS,
    LOSSES,
    OPTIMIZERS,
    SIDES,
    Batch,
    Encoder,
    Kind,
    Loss,
    Mask,
    Numbers,
    Optimizer,
    Rows,
    Run,
)
from perpend_harness.training import Framework, Model, train
from perpend_recorder import container

# With a bound that is derived and not fitted, a correct trainer stays below it, and a wrong one goes far beyond.
MARGIN = 100.0

# Random scenarios for each framework and precision. Losses, encoders and optimizers go round; JAX, which compiles a
# program for each, meets every one of them once, and some in single precision.
EVERY = max(len(LOSSES), len(ENCODERS), len(OPTIMIZERS))
SCENARIOS = [("torch", "float64", 64), ("torch", "float32", 64), ("jax", "float64", EVERY), ("jax", "float32", 4)]


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

    def embeddings(self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> Numbers:
        found = self.subject.embeddings(encoder, parts, given)
        expected = self.clean.embeddings(encoder, parts, given)
        self.note(f"embeddings of {encoder.kind.name}", found, expected, bounds.embeddings(encoder, parts, given))
        return found

    def loss(self, loss: Loss, users: Numbers, items: Numbers, batch: Batch) -> tuple[float, Numbers, Numbers]:
        found = self.subject.loss(loss, users, items, batch)
        expected = self.clean.loss(loss, users, items, batch)
        allowed = bounds.loss(loss, users, items, batch)
        for what, *values in zip(("value", "user slots", "item slots"), found, expected, allowed, strict=True):
            self.note(f"{what} of {loss.objective.name}", *values)
        return found

    def pull_back(
        self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers], slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        arguments = encoder, parts, given, slots, upstream
        found, expected = self.subject.pull_back(*arguments), self.clean.pull_back(*arguments)
        allowed = bounds.pull_back(*arguments)
        self.note("row gradients", found[0], expected[0], allowed[0])
        for one, other, bound in zip(found[1], expected[1], allowed[1], strict=True):
            self.note(f"parameter gradients of {encoder.kind.name}", one, other, bound)
        return found

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Any:
        subject = self.subject.stepper(optimizer, rows, width, dtype)
        clean = bounds.Stepper(optimizer, rows, width, dtype)
        outer = self

        class Both:
            def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, visited: Mask) -> Numbers:
                found = subject.step(time, rate, table, gradient, visited)
                outer.note(f"step of {optimizer.name}", found, *clean.step(time, rate, table, gradient, visited))
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


@pytest.mark.parametrize(("name", "precision", "count"), SCENARIOS)
def test_a_framework_agrees_with_plain_numpy(name: str, precision: str, count: int, tmp_path: Path) -> None:
    subject = framework(name)
    seen: set[str] = set()
    for seed in range(count):
        found = scenarios.scenario(seed, precision)
        run = materialised(found, tmp_path)
        comparing = Comparing(subject)
        with np.errstate(all="ignore"):
            arrays, _ = train(run, comparing)
        assert finite(arrays), (seed, found)
        worst = comparing.models[0].worst
        assert max(worst.values()) <= 1.0, (seed, worst, found["loss"], found["item"], found["user"])
        seen |= {what.rpartition(" ")[2] for what in worst}
    every = {*LOSSES, *ENCODERS, *OPTIMIZERS}
    assert count < EVERY or every <= seen, every - seen


def in_batch(users: Rows, positives: Rows) -> Batch:
    """Pairs with the other positives as negatives."""
    none = np.zeros(0, np.int64)
    return Batch(users, positives, np.zeros((len(users), 0), np.int64), none, True, np.zeros(0))


INFO_NCE = Kind("info-nce", (("temperature", 0.5), ("log_q", False)))


@pytest.mark.parametrize("name", ["numpy", "jax", "torch"])
def test_the_reference_trajectory_is_reproduced_one_step_from_each_state(name: str) -> None:
    """fixtures/trajectories/sgd.safetensors, made by perpend itself."""
    model = framework(name).model(None)
    _, arrays = container.read(scenarios.ROOT / "fixtures/trajectories/sgd.safetensors")
    values = {key: array.bits for key, array in arrays.items()}
    loss, sgd = Loss(INFO_NCE), Optimizer(Kind("sgd"), 0.5)
    for t in range(len(values["loss"])):
        slots = {"user": values["users"][t], "item": values["positives"][t]}
        batch = in_batch(slots["user"], slots["item"])
        looked_up = [values[f"{side}/q"][t][slots[side]] for side in ("user", "item")]
        found, allowed = model.loss(loss, *looked_up, batch), bounds.loss(loss, *looked_up, batch)
        expected = values["loss"][t], values["user/grad_out"][t], values["item/grad_out"][t]
        for one, other, bound in zip(found, expected, allowed, strict=True):
            assert bounds.apart(one, other, bound) <= 1.0
        for side in SIDES:
            table, grad_out = values[f"{side}/q"][t], values[f"{side}/grad_out"][t]
            arguments = Encoder(Kind("table"), *table.shape), [table], {}, slots[side], grad_out
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
        looked_up = [values[f"{side}/q"][t][batch.slots(side)] for side in ("user", "item")]
        expected = model.loss(run.loss, *looked_up, batch)
        allowed = bounds.loss(run.loss, *looked_up, batch)
        found.append((t, "loss", bounds.apart(values["loss"][t], expected[0], allowed[0])))
        for side, at, bound in zip(("user", "item"), expected[1:], allowed[1:], strict=True):
            slots, table = batch.slots(side), values[f"{side}/q"][t]
            found.append((t, f"{side}/grad_out", bounds.apart(values[f"{side}/grad_out"][t], at, bound)))
            arguments = run.towers[side].encoder, [table], {}, slots, values[f"{side}/grad_out"][t]
            rows, _ = model.pull_back(*arguments)
            ratio = bounds.apart(values[f"{side}/grad"][t], rows, bounds.pull_back(*arguments)[0])
            found.append((t, f"{side}/grad", ratio))
            optimizer = run.towers[side].optimizer
            visited = np.isin(np.arange(len(table)), slots) | (not optimizer.lazy)
            moved = steppers[side].step(t, optimizer.rate(t), table, values[f"{side}/grad"][t], visited)
            found.append((t, f"{side}/q", bounds.apart(values[f"{side}/q"][t + 1], *moved)))
    return found


def duplicated(optimizer: dict[str, Any]) -> dict[str, Any]:
    """Tables in d = 3 with duplicate lookups in every step and rows that nobody looks up."""
    tower = {"encoder": {"kind": "table"}, "optimizer": optimizer}
    loss = {"kind": "info-nce", "similarity": "cosine", "temperature": 0.25}
    found = scenarios.scenario(7, dim=3, steps=3, loss=loss)
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
    "missing-temperature": "loss",
    "mean-for-sum": "user/grad",
    "epsilon": "loss",
    "last-write-wins": "user/q",
    "momentum-late": "user/q",
    "decay-untouched": "user/q",
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
    for fault in ("missing-temperature", "mean-for-sum", "last-write-wins", "momentum-late", "decay-untouched"):
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
        mask = np.ones(len(table), bool) if touched is None or not made.lazy else np.array(touched[t])
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
    # Whole numbers of betas: m = 1/2, then 1/4 + 1; v = 3/4, then 3/16 + 3.
    adam = {"lr": 1.0, "betas": [0.5, 0.25], "epsilon": 0.0}
    second = (4 - 1) - (1.25 / 0.75) / (3.1875 / 0.9375) ** 0.5
    for kind in ("adam", "amsgrad", "rowwise-adam"):
        assert last({"kind": kind, **adam}) == pytest.approx([second], rel=1e-15)
    # 4 − 4·1, and a row of zeros moves by what the trust ratio of 1 leaves.
    assert last({"kind": "lamb", **adam}) == pytest.approx([-(1.25 / 0.75) / (3.1875 / 0.9375) ** 0.5], rel=1e-15)
    assert last({"kind": "rmsprop", "lr": 0.5, "alpha": 0.75, "epsilon": 1.0}) == pytest.approx(
        [4 - 0.5 / 1.5 - 1 / (1.1875**0.5 + 1)], rel=1e-15
    )
    assert last({"kind": "sign-sgd", "lr": 0.5}) == [3.0] and last({"kind": "lion", "lr": 0.5}) == [3.0]
    # p: 0.5·(4/1)/2·1 = 1, then 0.5·1 + 0.5·(3/2)/2·2.
    lars = {"kind": "lars", "lr": 0.5, "momentum": 0.5, "trust": 0.5}
    assert last(lars) == [4 - 1 - (0.5 + 0.5 * 0.5 * 3 / 2 * 2)]
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


def differs(value: Any, table: Numbers, gradient: Numbers) -> float:
    """The largest deviation of a gradient from central differences, as a multiple of what they cannot know.

    With step h = u^(1/3) the truncation error of D(h) is (D(2h) − D(h))/3 to leading order, of which the whole is
    allowed; a value of size v, with a hundred roundings, brings 100·u·(1 + v)/h.
    """
    u = np.finfo(float).eps / 2
    h, worst = u ** (1 / 3), 0.0
    for index in np.ndindex(table.shape):
        kept, values = table[index], []
        for shift in (h, -h, 2 * h, -2 * h):
            table[index] = kept + shift
            values.append(value())
        table[index] = kept
        near, far = (values[0] - values[1]) / (2 * h), (values[2] - values[3]) / (4 * h)
        allowed = abs(far - near) + 100 * u * (1 + abs(values[0])) / h
        worst = max(worst, abs(near - gradient[index]) / allowed)
    return worst


@pytest.mark.parametrize("kind", LOSSES)
def test_losses_of_numpy_have_the_gradients_of_central_differences(kind: str) -> None:
    model, random = NumpyModel(None), np.random.default_rng(3)
    # Two pairs of one user; the positive of the second pair is a negative of the first.
    batch = Batch(
        users=np.array([0, 1, 0]),
        positives=np.array([0, 1, 2]),
        negatives=np.array([[1, 3], [0, 3], [2, 1]]),
        shared=np.array([4]),
        in_batch=True,
        log_q=-random.random(10),
    )
    conventions = [("dot", 0.0, "norm"), ("cosine", 0.0, "norm")]
    conventions += [("cosine", epsilon, on) for on in EPSILONS for epsilon in (0.5, 20.0)]
    for similarity, epsilon, on in conventions:
        for masked in (False, True):
            settings = scenarios.settings(random, LOSSES, kind)
            objective, _ = Kind.read(settings, "loss", LOSSES, {})
            loss = Loss(objective, similarity, epsilon, on, masked)
            users, items = random.normal(size=(3, 3)), random.normal(size=(10, 3))
            _, *gradients = model.loss(loss, users, items, batch)
            for table, gradient in zip((users, items), gradients, strict=True):
                assert differs(lambda at=(loss, users, items): model.loss(*at, batch)[0], table, gradient) <= 1.0, loss


@pytest.mark.parametrize("kind", ENCODERS)
def test_encoders_of_numpy_have_the_gradients_of_central_differences(kind: str) -> None:
    model, random, slots = NumpyModel(None), np.random.default_rng(4), np.array([0, 2, 2])
    for _ in range(8):
        made = Encoder.read(scenarios.encoder(random, kind), "item", 4, 3)
        tables = [random.normal(size=(block.rows, block.width)) for block in made.blocks()]
        constants, shared = scenarios.constants_of(random, made), random.normal(size=made.shared_constants)
        given = parameters.inputs(made, constants, shared)
        upstream = random.normal(size=(3, 3))

        def value(made: Encoder = made, tables: Any = tables, given: Any = given, upstream: Any = upstream) -> float:
            return float(np.sum(model.embeddings(made, parameters.parts(made, tables), given)[slots] * upstream))

        _, parts = model.pull_back(made, parameters.parts(made, tables), given, slots, upstream)
        for table, gradient in zip(tables, parameters.tables(made, parts), strict=True):
            assert differs(value, table, gradient) <= 1.0, made.kind
        # A row reaches what its gradient reaches.
        for block, gradient in zip(made.blocks(), parameters.tables(made, parts), strict=True):
            assert not gradient[~made.touched(block, constants, slots)].any()


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
