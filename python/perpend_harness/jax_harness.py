"""The JAX harness: gradients by jax.grad and jax.vjp, steps by optax.

Where optax has an optimizer with perpend's formula, that one is used; the others are optax transformations written
here (the README has the table). Everything is in float64 unless the scenario says float32.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from perpend_harness import faults, protocol  # noqa: E402
from perpend_harness.scenario import Encoder, Loss, Numbers, Optimizer, Rows  # noqa: E402
from perpend_harness.training import Model, Stepper, Touched  # noqa: E402


def normalise(q: Any, epsilon: float, fault: str | None) -> Any:
    """q/max(‖q‖, ε), differentiable also where the clamp is active and q is zero. q: [n, d]."""
    squares = jnp.sum(q * q, axis=0 if fault == "wrong-axis" else 1, keepdims=True)
    clamped = jnp.sqrt(squares) < epsilon
    norm = jnp.sqrt(jnp.where(clamped, 1.0, squares))
    if fault == "epsilon":
        norm = norm + faults.SIZE
    if fault == "detached-norm":
        norm = jax.lax.stop_gradient(norm)
    return q / jnp.where(clamped, epsilon, norm)


@partial(jax.jit, static_argnames=("similarity", "clamp", "own", "fault"))
def loss_and_gradients(
    users: Any, items: Any, temperature: Any, epsilon: Any, similarity: str, clamp: bool, own: int, fault: str | None
) -> Any:
    """InfoNCE and its gradients at the slots. users: [B, d]; items: [B + B·own, d]."""

    def loss(users: Any, items: Any) -> Any:
        if similarity == "cosine":
            users = normalise(users, epsilon if clamp else 0.0, fault)
            items = normalise(items, epsilon if clamp else 0.0, fault)
        pairs, dim = users.shape
        if own:
            candidates = jnp.concatenate([items[:pairs, None], items[pairs:].reshape(pairs, own, dim)], axis=1)
            logits = jnp.einsum("bd,bjd->bj", users, candidates)
            target = jnp.zeros(pairs, int)
        else:
            logits = users @ items.T
            target = jnp.arange(pairs)
        return -jnp.mean(jax.nn.log_softmax(logits / temperature)[jnp.arange(pairs), target])

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(users, items)
    return value, *gradients


def encode(encoder: Encoder, tables: list[Any], constants: Any, dim: int) -> Any:
    """All embeddings of a tower: [N, d]."""
    x = constants[:, : encoder.features]
    rows = len(x)
    if encoder.kind == "table":
        return tables[0]
    if encoder.kind == "shared-linear":
        return x @ tables[0].T
    if encoder.kind == "affine":
        q = jnp.einsum("ndf,nf->nd", tables[0].reshape(rows, dim, encoder.features), x)
        if encoder.bias == "trained":
            q = q + tables[1]
        return q + constants[:, encoder.features :] if encoder.bias == "frozen" else q
    if encoder.kind == "two-layer":
        (hidden,) = encoder.hidden
        inner = jnp.einsum("nhf,nf->nh", tables[0].reshape(rows, hidden, encoder.features), x)
        return jnp.einsum("ndh,nh->nd", tables[1].reshape(rows, dim, hidden), jax.nn.relu(inner))
    for place, layer in enumerate(tables):
        into = jax.nn.relu(x) if place else x
        x = into @ layer[:, : into.shape[1]].T
        if encoder.bias == "trained":
            x = x + layer[:, -1]
    return x


encode_jit = jax.jit(encode, static_argnums=(0, 3))


@partial(jax.jit, static_argnums=(0,))
def pull_back(encoder: Encoder, tables: list[Any], constants: Any, slots: Any, upstream: Any) -> Any:
    """Gradients at the embeddings, through a shift that is zero, and at the tables."""
    dim = upstream.shape[1]

    def lookup(shift: Any, tables: list[Any]) -> Any:
        return (encode(encoder, tables, constants, dim) + shift)[slots]

    rows = len(tables[0]) if encoder.kind == "table" else len(constants)
    _, back = jax.vjp(lookup, jnp.zeros((rows, dim), upstream.dtype), tables)
    return back(upstream)


class JaxModel:
    """The mathematics in JAX."""

    def __init__(self, fault: str | None) -> None:
        known = ("epsilon", "detached-norm", "wrong-axis")
        self.fault = fault if fault in known else None

    def embeddings(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> Numbers:
        return np.asarray(encode_jit(encoder, tables, constants, dim))

    def loss(self, loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        settings = [np.asarray(x, users.dtype) for x in (loss.temperature, loss.epsilon)]
        clamp = loss.epsilon > 0.0
        found = loss_and_gradients(users, items, *settings, loss.similarity, clamp, own, self.fault)
        value, at_users, at_items = (np.asarray(x) for x in found)
        return float(value), at_users, at_items

    def pull_back(
        self, encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        rows, found = pull_back(encoder, tables, constants, slots, upstream)
        return np.asarray(rows), [np.asarray(table) for table in found]

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return JaxStepper(optimizer, rows, width, dtype)


class JaxStepper:
    """An optax transformation at work on one table."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.optimizer = optimizer
        self.rows = rows
        self.rule = rule(optimizer)
        self.state: Any = self.rule.init(jnp.zeros((rows, width), dtype))

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched) -> Numbers:
        moved, state = move(self.optimizer, rate, jnp.asarray(table), jnp.asarray(gradient), self.state)
        if self.optimizer.lazy:
            # Rows that were not looked up keep their parameters and their state. Counters are no state of a row.
            keep = partial(self.only, touched)
            moved = keep(moved, table)
            state = jax.tree_util.tree_map(keep, state, self.state)
        self.state = state
        return np.asarray(moved)

    def only(self, touched: Touched, new: Any, old: Any) -> Any:
        per_row = new.ndim == 2 and new.shape[0] == self.rows
        return jnp.where(touched[:, None], new, old) if per_row else new


def rule(optimizer: Optimizer) -> optax.GradientTransformation:
    """The transformation from gradients to directions; the rate comes later."""
    kind = optimizer.kind
    if kind == "sgd":
        return optax.identity()
    if kind == "heavy-ball" and optimizer.momentum and optimizer.dampening:
        return dampened(optimizer.momentum, optimizer.dampening)
    if kind in ("heavy-ball", "nesterov"):
        return optax.trace(optimizer.momentum, nesterov=kind == "nesterov")
    if kind == "adam" and not optimizer.uncorrected and optimizer.epsilon > 0.0:
        return optax.scale_by_adam(*optimizer.betas, eps=optimizer.epsilon)
    if kind == "adam":
        return adam(optimizer)
    if kind == "adagrad" and optimizer.epsilon == 0.0:
        return optax.scale_by_rss(initial_accumulator_value=0.0, eps=0.0)
    return adagrad(optimizer.epsilon, rowwise=kind == "rowwise-adagrad")


@partial(jax.jit, static_argnums=(0,))
def _moved(optimizer: Optimizer, rate: Any, table: Any, gradient: Any, state: Any) -> Any:
    if optimizer.decay and optimizer.decoupled:
        table = table * (1.0 - rate * optimizer.decay)
    elif optimizer.decay:
        gradient = gradient + optimizer.decay * table
    direction, state = rule(optimizer).update(gradient, state, table)
    return optax.apply_updates(table, -rate * direction), state


def move(optimizer: Optimizer, rate: float, table: Any, gradient: Any, state: Any) -> Any:
    """The table and the state after a step."""
    return _moved(_without_rate(optimizer), np.asarray(rate, table.dtype), table, gradient, state)


def _without_rate(optimizer: Optimizer) -> Optimizer:
    """The same optimizer with a rate that can be hashed: the rate of the step is an argument."""
    from dataclasses import replace

    return replace(optimizer, lr=0.0)


class Dampened(NamedTuple):
    buffer: Any
    started: Any


def dampened(momentum: float, dampening: float) -> optax.GradientTransformation:
    """p ← β·p + (1−δ)·g, where the first gradient of a row enters whole."""

    def init(table: Any) -> Dampened:
        return Dampened(jnp.zeros_like(table), jnp.zeros((len(table), 1), bool))

    def update(gradient: Any, state: Dampened, table: Any = None) -> tuple[Any, Dampened]:
        weight = jnp.where(state.started, jnp.asarray(1.0 - dampening, gradient.dtype), 1)
        buffer = momentum * state.buffer + weight * gradient
        return buffer, Dampened(buffer, jnp.ones_like(state.started))

    return optax.GradientTransformation(init, update)


def _quotient(numerator: Any, denominator: Any) -> Any:
    """0 for 0/0: where neither a gradient nor an epsilon ever arrived, nothing moves."""
    return jnp.where(denominator == 0, 0, numerator / jnp.where(denominator == 0, 1, denominator))


class Moments(NamedTuple):
    count: Any
    first: Any
    second: Any


def adam(optimizer: Optimizer) -> optax.GradientTransformation:
    """Adam as optax has it not: without epsilon, or with epsilon beside √v before the bias correction."""
    beta1, beta2 = optimizer.betas

    def init(table: Any) -> Moments:
        return Moments(jnp.zeros((), int), jnp.zeros_like(table), jnp.zeros_like(table))

    def update(gradient: Any, state: Moments, table: Any = None) -> tuple[Any, Moments]:
        count = state.count + 1
        first = beta1 * state.first + (1 - beta1) * gradient
        second = beta2 * state.second + (1 - beta2) * gradient**2
        correction1 = (1 - jnp.power(beta1, count)).astype(first.dtype)
        correction2 = jnp.sqrt(1 - jnp.power(beta2, count)).astype(first.dtype)
        if optimizer.uncorrected:
            direction = _quotient(first * correction2 / correction1, jnp.sqrt(second) + optimizer.epsilon)
        else:
            direction = _quotient(first / correction1, jnp.sqrt(second) / correction2 + optimizer.epsilon)
        return direction, Moments(count, first, second)

    return optax.GradientTransformation(init, update)


def adagrad(epsilon: float, rowwise: bool) -> optax.GradientTransformation:
    """g/(√G + ε): optax has its epsilon inside the root, and no accumulator for a whole row."""

    def init(table: Any) -> Any:
        return jnp.zeros((len(table), 1), table.dtype) if rowwise else jnp.zeros_like(table)

    def update(gradient: Any, sums: Any, table: Any = None) -> tuple[Any, Any]:
        squares = gradient**2
        sums = sums + (squares.mean(axis=1, keepdims=True) if rowwise else squares)
        return _quotient(gradient, jnp.sqrt(sums) + epsilon), sums

    return optax.GradientTransformation(init, update)


class JaxFramework:
    """JAX, as the harness protocol sees it."""

    name = "jax"

    def versions(self) -> str:
        return f"jax {jax.__version__}, optax {optax.__version__}"

    def model(self, fault: str | None) -> Model:
        return JaxModel(fault)


FRAMEWORK = JaxFramework()

if __name__ == "__main__":
    protocol.main(FRAMEWORK)
