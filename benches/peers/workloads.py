"""What the peers share: the workloads, their data, what every program must agree on, and the answers to compare.py.

The data are made here and in benches/kernel_step/workload.rs to the same bits.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BATCHES = 8  # drawn once and used in turn, so that no gather finds its rows in the cache from the step before
OWN_NEGATIVES = 64  # of W2
RATE = 0.1  # of the measured steps
TEMPERATURE = 0.05
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)  # of W5
WIDTHS = (16, 32, 32, 8)  # of the multilayer perceptrons of W4

USERS, ITEMS, USER_IDS, POSITIVES, NEGATIVES, TRAJECTORY, TOWERS = range(7)  # streams of random numbers


@dataclass(frozen=True)
class Workload:
    """d numbers a row, B pairs, N rows in each table, T steps."""

    kind: str
    precision: str
    dim: int = 0
    pairs: int = 0
    rows: int = 100_000
    steps: int = 0

    @staticmethod
    def parse(name: str) -> Workload:
        """From a name such as W1-f32-d64-B4096."""
        kind, precision, *parts = name.split("-")
        if kind not in ("W1", "W2", "W3", "W4", "W5", "full"):
            raise ValueError(f"expected the name of a workload, found {name}")
        fields = {"d": "dim", "B": "pairs", "N": "rows", "T": "steps"}
        return Workload(kind, precision, **{fields[part[0]]: int(part[1:]) for part in parts})

    @property
    def dtype(self) -> np.dtype:
        return np.dtype({"f32": np.float32, "f64": np.float64}[self.precision])

    @property
    def unit_roundoff(self) -> float:
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def candidates(self) -> int:
        return {"W2": OWN_NEGATIVES + 1, "full": self.rows}.get(self.kind, self.pairs)


def words(stream: int, start: int, count: int) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood 2014) on a counter, so that any part can be made by itself."""
    first = (stream << 40) + start + 1
    z = np.arange(first, first + count, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def normal(stream: int, start: int, *shape: int) -> NDArray[np.float64]:
    """Bell-shaped with mean 0 and variance 1: the sum of four 16-bit numbers, exact until it is scaled."""
    z = words(stream, start, math.prod(shape))
    total = sum((z >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
    return ((total.astype(np.float64) - 2 * 65535) * math.sqrt(3 / (2**32 - 1))).reshape(shape)


def below(stream: int, start: int, bound: int, *shape: int) -> NDArray[np.int64]:
    """Uniform below `bound`."""
    z = (words(stream, start, math.prod(shape)) >> np.uint64(32)) * np.uint64(bound) >> np.uint64(32)
    return z.astype(np.int64).reshape(shape)


class Batch(NamedTuple):
    """Pairs of a step; candidates `[B, 1 + M]` begin with the positive where each pair has its own negatives."""

    users: NDArray[np.int64]
    positives: NDArray[np.int64]
    candidates: NDArray[np.int64] | None


def tables(workload: Workload) -> tuple[NDArray, NDArray]:
    """The initial user and item table `[N, d]`."""
    shape = (workload.rows, workload.dim)
    users, items = (normal(stream, 0, *shape).astype(workload.dtype) for stream in (USERS, ITEMS))
    return users, items


def batches(workload: Workload) -> list[Batch]:
    """The pool of batches."""

    def ids(stream: int, batch: int, *shape: int) -> NDArray[np.int64]:
        return below(stream, batch * math.prod(shape), workload.rows, *shape)

    pool = []
    for batch in range(BATCHES):
        positives = ids(POSITIVES, batch, workload.pairs)
        own = None
        if workload.kind == "W2":
            own = np.column_stack([positives, ids(NEGATIVES, batch, workload.pairs, OWN_NEGATIVES)])
        pool.append(Batch(ids(USER_IDS, batch, workload.pairs), positives, own))
    return pool


def trajectory(workload: Workload) -> NDArray:
    """W5: embeddings `[T, N, d]` that drift by steps of a twentieth of their entries' size."""
    values = np.empty((workload.steps, workload.rows, workload.dim), workload.dtype)
    size = values[0].size
    drift = workload.dtype.type(0.05)
    for step, rows in enumerate(values):
        fresh = normal(TRAJECTORY, step * size, *rows.shape).astype(workload.dtype)
        rows[:] = fresh if step == 0 else values[step - 1] + drift * fresh
    return values


class Tower(NamedTuple):
    """W4: inputs `[B, 16]`, and weights `[n, m]` and biases `[n]` of each layer in turn."""

    inputs: NDArray[np.float64]
    parameters: list[NDArray[np.float64]]


def towers(workload: Workload) -> list[Tower]:
    """The user tower and the item tower of W4: inputs, then layers, a row of which is a unit's weights and bias."""
    both, start = [], 0
    for _ in range(2):
        inputs = normal(TOWERS, start, workload.pairs, WIDTHS[0])
        start += inputs.size
        parameters = []
        for m, n in pairwise(WIDTHS):
            units = normal(TOWERS, start, n, m + 1)
            start += units.size
            parameters += [units[:, :m] * (1 / math.sqrt(m)), units[:, m] * 0.1]
        both.append(Tower(inputs, parameters))
    return both


# What two programs may differ by. u is the unit roundoff, γ_n = n·u/(1 − n·u); the bounds hold for sums in any order.


def gamma(n: float, u: float) -> float:
    return n * u / (1 - n * u)


def row_bound(workload: Workload) -> float:
    """Error of one row's loss, and of the logarithm of each of its weights.

    A computed norm errs by γ_{d/2+2} relatively, a normalised row by γ_{d/2+4}, so a cosine by γ_{2d+10}
    (Cauchy-Schwarz) and a logit by γ_{2d+10}/τ; that counts for the target and for the logarithm of the sum. Beyond
    it the shifted logit, at most 2/τ, is rounded once, the exponential errs by 8u, the sum of C by γ_C, the logarithm,
    at most 2/τ + ln C, by 8u relatively, the shift is added and the target subtracted: with 10·ln C < C + 14 together
    γ_{2C+24+24/τ}.
    """
    u, inverse = workload.unit_roundoff, 1 / TEMPERATURE
    return 2 * inverse * gamma(2 * workload.dim + 10, u) + gamma(2 * workload.candidates + 24 + 24 * inverse, u)


def loss_bound(workload: Workload, loss: float) -> float:
    """Error of the mean over the pairs: losses of rows are not negative, so their sum errs by γ_{B+1} of itself."""
    return row_bound(workload) + gamma(workload.pairs + 1, workload.unit_roundoff) * loss


def moved_loss_bound(workload: Workload, loss: float) -> float:
    """Error of the loss after a step of rate η = B·τ.

    The coefficients of the gradient by a pair's logits, (p − δ)/(B·τ), have a sum of magnitudes of at most 2/(B·τ).
    With the relative error of p, at most 2·row_bound, and that of the sums, a user's step η·g errs by 2/a·ρ, where a is
    the smallest norm (no step of a cosine loss makes a row shorter) and ρ = 2·row_bound + γ_{C+B+4d+20}; the items'
    steps together by 2B/a·ρ. Each slot's addition rounds a row that is at most A + 2B/a long, with A the largest norm.
    The loss changes by at most 2/(a·τ) for each unit that a row is off.
    """
    u, pairs = workload.unit_roundoff, workload.pairs
    lengths = [np.linalg.norm(table.astype(np.float64), axis=1) for table in tables(workload)]
    smallest, largest = min(length.min() for length in lengths), max(length.max() for length in lengths)
    relative = 2 * row_bound(workload) + gamma(workload.candidates + pairs + 4 * workload.dim + 20, u)
    slots = pairs + {"W2": pairs * workload.candidates, "full": workload.rows}.get(workload.kind, pairs)
    off = 4 * pairs / smallest * relative + slots * u * (largest + 2 * pairs / smallest)
    return 2 / (smallest * TEMPERATURE) * off + loss_bound(workload, loss)


def tower_loss_bound(workload: Workload, loss: float) -> float:
    """Error of the loss of W4: carried entry by entry through the layers, then as a change of direction.

    A layer of m inputs turns an error e of its input into |W|·e + γ_{m+1}·(|W|·|x| + |b|); tanh has a slope of at most
    1 and errs by 8u. A vector z that errs by e has a cosine that errs by at most 2·‖e‖/‖z‖ more.
    """
    u, off = workload.unit_roundoff, 0.0
    for tower in towers(workload):
        x, error = tower.inputs, np.zeros_like(tower.inputs)
        for layer in range(0, len(tower.parameters), 2):
            weights, biases = tower.parameters[layer : layer + 2]
            size = np.abs(x) @ np.abs(weights).T + np.abs(biases)
            error = error @ np.abs(weights).T + gamma(weights.shape[1] + 1, u) * size
            x = x @ weights.T + biases
            if layer + 2 < len(tower.parameters):
                x, error = np.tanh(x), error + 8 * u
        off += float(2 * np.max(np.linalg.norm(error, axis=1) / np.linalg.norm(x, axis=1)))
    return 2 * off / TEMPERATURE + loss_bound(workload, loss)


def quantile_bounds(workload: Workload) -> list[float]:
    """Errors of the quantiles of W5's last step.

    A cosine errs by γ_{2d+10}, a growth factor by γ_{d+6} of itself, and a quantile by no more than the worst of its
    values, γ_4 for the interpolation, and, where the rank p·(N − 1) is computed in working precision, γ_2·N of the gap
    in which it falls.
    """
    u, dim = workload.unit_roundoff, workload.dim
    before, after = (rows.astype(np.float64) for rows in trajectory(workload)[-2:])
    cosines, growth = step_statistics(before, after)
    bounds = []
    for values, error in ((cosines, gamma(2 * dim + 10, u)), (growth, gamma(dim + 6, u) * growth.max())):
        ordered = np.sort(values)
        largest = np.abs(ordered).max()
        for p in QUANTILES:
            place = int(p * (len(ordered) - 1))
            gap = ordered[place : place + 3].max() - ordered[max(place - 1, 0)]
            bounds.append(float(error + gamma(4, u) * largest + gamma(2, u) * len(ordered) * gap))
    return bounds


def step_statistics(before: NDArray, after: NDArray) -> tuple[NDArray, NDArray]:
    """W5: cos(q, q' − q) and ‖q'‖/‖q‖ of every row."""
    moved = after - before
    length, next_length = np.linalg.norm(before, axis=1), np.linalg.norm(after, axis=1)
    return np.einsum("ij,ij->i", before, moved) / (length * np.linalg.norm(moved, axis=1)), next_length / length


def allowed(workload: Workload, values: Sequence[float]) -> list[float]:
    """How far the values of two programs may be apart: each may err by its bound."""
    if workload.kind == "W5":
        bounds = quantile_bounds(workload)
    elif workload.kind == "W4":
        bounds = [tower_loss_bound(workload, values[0])]
    else:
        bounds = [bound(workload, value) for bound, value in zip((loss_bound, moved_loss_bound), values, strict=False)]
    return [2 * bound for bound in bounds]


class Program(NamedTuple):
    """What a peer does for a workload: the values that all programs agree on, and a measured step."""

    values: Callable[[], Sequence[float]]
    step: Callable[[], object]


def training(workload: Workload, step: Callable[[int, float], object]) -> Program:
    """From `step(batch, rate)`, which moves both tables and gives the loss before it.

    The values are the loss of the first batch and, in f64, its loss after a step of rate B·τ, which moves a row by
    about 1/‖q‖: the second number shows the gradient. In f32 rounding may reach the size of what it would show.
    """
    following = iter(range(sys.maxsize))

    def values() -> list[float]:
        if workload.precision == "f32":
            return [float(step(0, 0.0))]
        return [float(step(0, workload.pairs * TEMPERATURE)), float(step(0, 0.0))]

    return Program(values, lambda: step(next(following) % BATCHES, RATE))


def serve(build: Callable[[Workload], Program]) -> None:
    """Answers the lines of compare.py, described in benches/kernel_step/driver.rs."""
    # What a library prints goes to stderr, so that only answers are on stdout.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    program: Program | None = None
    for line in sys.stdin:
        try:
            command, argument = line.split()
            if command == "load":
                program = None  # gives its memory back first
                workload = Workload.parse(argument)
                program = build(workload)
                values = [float(value) for value in program.values()]
                answer = {"values": values, "allowed": allowed(workload, values)}
            else:
                answer = {"ms": timed(program, float(argument))}
        except Exception as error:  # whatever a library raises is an answer, and the next workload may do
            answer = {"error": " ".join(f"{type(error).__name__}: {error}".split())}
        print(json.dumps(answer), file=answers, flush=True)


def timed(program: Program | None, seconds: float) -> list[float]:
    """Milliseconds of each of as many steps as begin in this time, at least one."""
    if program is None:
        raise ValueError("run: expected a workload to be loaded")
    times: list[float] = []
    start = time.perf_counter()
    while not times or time.perf_counter() - start < seconds:
        now = time.perf_counter()
        program.step()
        times.append((time.perf_counter() - now) * 1e3)
    return times
