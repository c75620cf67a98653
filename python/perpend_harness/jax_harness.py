"""The JAX harness: gradients by jax.grad and jax.vjp, steps by optax.

Where optax has an optimizer with perpend's formula, that one is used; the others are optax transformations written
here (the README has the table). Everything is in float64 unless the scenario says float32.

JAX compiles a program for every combination of shapes, which takes far longer than a small scenario. All arrays are
therefore filled up with zeros to multiples of :data:`GRAIN`, and settings are arguments, so that thousands of scenarios
share a few programs. A zero coordinate, feature, unit or row adds exact zeros to every sum; padded pairs and candidates
are masked.
"""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

import jax.numpy as jnp
import numpy as np
import optax

from perpend_harness import faults, protocol
from perpend_harness.scenario import Encoder, Loss, Numbers, Optimizer, Rows
from perpend_harness.training import Model, Stepper, Touched

GRAIN = 8


def padded(values: Any) -> Any:
    """Filled up with zeros to a multiple of the grain along every axis."""
    return np.pad(values, [(0, -size % GRAIN) for size in values.shape])


def trimmed(values: Any, shape: tuple[int, ...]) -> Numbers:
    """The part that is not padding."""
    return np.array(np.asarray(values)[tuple(slice(size) for size in shape)])


# Loss


def normalise(q: Any, present: Any, epsilon: Any, fault: str | None) -> Any:
    """q/max(‖q‖, ε), differentiable also where the clamp is active and q is zero. q: [n, d]; present: [n, d]."""
    axis = 0 if fault == "wrong-axis" else 1
    squares = jnp.sum(q * q, axis=axis, keepdims=True)
    clamped = jnp.sqrt(squares) < epsilon
    empty = clamped | ~jnp.any(present, axis=axis, keepdims=True)
    norm = jnp.sqrt(jnp.where(empty, 1.0, squares))
    if fault == "epsilon":
        norm = norm + faults.SIZE
    if fault == "detached-norm":
        norm = jax.lax.stop_gradient(norm)
    return q / jnp.where(clamped, epsilon, norm)


@partial(jax.jit, static_argnames=("similarity", "fault"))
def loss_and_gradients(
    users: Any, items: Any, pairs: Any, own: Any, dim: Any, temperature: Any, epsilon: Any, similarity: str, fault: Any
) -> Any:
    """InfoNCE and its gradients. users: [B, d]; items: the shared candidates [B, d], or each pair's own [B, 1+M, d]."""
    real = jnp.arange(users.shape[0]) < pairs
    columns = jnp.arange(users.shape[1]) < dim
    if items.ndim == 2:
        candidates = jnp.broadcast_to(real, (len(users), len(users)))
        item_present = real[:, None] & columns
        target = jnp.arange(len(users))
    else:
        candidates = jnp.broadcast_to(jnp.arange(items.shape[1]) <= own, items.shape[:2])
        item_present = (real[:, None] & candidates)[:, :, None] & columns
        target = jnp.zeros(len(users), int)

    def loss(users: Any, items: Any) -> Any:
        if similarity == "cosine":
            users = normalise(users, real[:, None] & columns, epsilon, fault)
            flat = items.reshape(-1, items.shape[-1])
            items = normalise(flat, item_present.reshape(flat.shape), epsilon, fault).reshape(items.shape)
        logits = jnp.einsum("bd,jd->bj" if items.ndim == 2 else "bd,bjd->bj", users, items) / temperature
        logits = jnp.where(candidates, logits, -jnp.inf)
        chosen = jax.nn.log_softmax(logits)[jnp.arange(len(users)), target]
        return -jnp.sum(jnp.where(real, chosen, 0.0)) / pairs

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(users, items)
    return value, *gradients


# Encoders


def natural(encoder: Encoder, tables: list[Any], dim: int) -> list[Any]:
    """The parameters in the shapes in which they act: a weight of a row as a matrix, a bias apart from its weight."""
    rows = len(tables[0])
    if encoder.kind == "affine":
        return [tables[0].reshape(rows, dim, encoder.features), *tables[1:]]
    if encoder.kind == "two-layer":
        (hidden,) = encoder.hidden
        return [tables[0].reshape(rows, hidden, encoder.features), tables[1].reshape(rows, dim, hidden)]
    if encoder.kind == "mlp" and encoder.bias == "trained":
        return [part for table in tables for part in (table[:, :-1], table[:, -1])]
    return tables


def unnatural(encoder: Encoder, parts: list[Numbers], tables: list[Numbers]) -> list[Numbers]:
    """The way back from :func:`natural`, with the tables' shapes."""
    if encoder.kind == "mlp" and encoder.bias == "trained":
        parts = [np.column_stack(pair) for pair in zip(parts[::2], parts[1::2], strict=True)]
    return [part.reshape(table.shape) for part, table in zip(parts, tables, strict=True)]


def encode(kind: str, bias: str, parts: list[Any], x: Any, frozen: Any) -> Any:
    """All embeddings of a tower: [N, d]. x: [N, features]; frozen: [N, d], a bias that is not trained."""
    if kind == "table":
        return parts[0]
    if kind == "shared-linear":
        return x @ parts[0].T
    if kind == "affine":
        q = jnp.einsum("ndf,nf->nd", parts[0], x)
        return q + (parts[1] if bias == "trained" else frozen)
    if kind == "two-layer":
        return jnp.einsum("ndh,nh->nd", parts[1], jax.nn.relu(jnp.einsum("nhf,nf->nh", parts[0], x)))
    layers = list(zip(parts[::2], parts[1::2], strict=True)) if bias == "trained" else [(part, 0.0) for part in parts]
    for place, (weight, own) in enumerate(layers):
        x = (jax.nn.relu(x) if place else x) @ weight.T + own
    return x


encode_jit = jax.jit(encode, static_argnums=(0, 1))


@partial(jax.jit, static_argnums=(0, 1))
def pull_back(kind: str, bias: str, parts: list[Any], x: Any, frozen: Any, slots: Any, upstream: Any) -> Any:
    """Gradients at the embeddings, through a shift that is zero, and at the parameters."""

    def lookup(shift: Any, parts: list[Any]) -> Any:
        return (encode(kind, bias, parts, x, frozen) + shift)[slots]

    rows = len(parts[0]) if kind == "table" else len(x)
    _, back = jax.vjp(lookup, jnp.zeros((rows, upstream.shape[1]), upstream.dtype), parts)
    return back(upstream)


class JaxModel:
    """The mathematics in JAX."""

    def __init__(self, fault: str | None) -> None:
        known = ("epsilon", "detached-norm", "wrong-axis")
        self.fault = fault if fault in known else None

    def arguments(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> tuple[Any, ...]:
        x, frozen = constants[:, : encoder.features], constants[:, encoder.features :]
        if not frozen.size:
            frozen = np.zeros((len(constants), dim), tables[0].dtype)
        parts = [padded(part) for part in natural(encoder, tables, dim)]
        return encoder.kind, encoder.bias, parts, padded(x), padded(frozen)

    def embeddings(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> Numbers:
        rows = len(tables[0]) if encoder.kind == "table" else len(constants)
        return trimmed(encode_jit(*self.arguments(encoder, tables, constants, dim)), (rows, dim))

    def loss(self, loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        pairs, dim = users.shape
        settings = [np.asarray(x, users.dtype) for x in (loss.temperature, loss.epsilon)]
        shaped = items
        if own:
            shaped = np.concatenate([items[:pairs, None], items[pairs:].reshape(pairs, own, dim)], axis=1)
        value, at_users, at_shaped = loss_and_gradients(
            padded(users), padded(shaped), pairs, own, dim, *settings, similarity=loss.similarity, fault=self.fault
        )
        at_items = trimmed(at_shaped, shaped.shape)
        if own:
            at_items = np.concatenate([at_items[:, 0], at_items[:, 1:].reshape(-1, dim)])
        return float(value), trimmed(at_users, users.shape), at_items

    def pull_back(
        self, encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        dim = upstream.shape[1]
        arguments = self.arguments(encoder, tables, constants, dim)
        # A padded slot looks up row 0 and brings it a gradient of zero.
        rows, found = pull_back(*arguments, padded(slots), padded(upstream))
        count = len(tables[0]) if encoder.kind == "table" else len(constants)
        shapes = [part.shape for part in natural(encoder, tables, dim)]
        parts = [trimmed(part, shape) for part, shape in zip(found, shapes, strict=True)]
        return trimmed(rows, (count, dim)), unnatural(encoder, parts, tables)

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return JaxStepper(optimizer, rows, width, dtype)


# Optimizers


class Settings(NamedTuple):
    """The settings of an optimizer as arguments of a compiled program."""

    coupled: Any
    decoupled: Any
    momentum: Any
    dampening: Any
    beta1: Any
    beta2: Any
    epsilon: Any
    width: Any


class JaxStepper:
    """An optax transformation at work on one table."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.method = method(optimizer)
        self.lazy = optimizer.lazy
        settings = Settings(
            coupled=0.0 if optimizer.decoupled else optimizer.decay,
            decoupled=optimizer.decay if optimizer.decoupled else 0.0,
            momentum=optimizer.momentum,
            dampening=optimizer.dampening,
            beta1=optimizer.betas[0],
            beta2=optimizer.betas[1],
            epsilon=optimizer.epsilon,
            width=width,
        )
        self.settings = Settings(*(np.asarray(value, dtype) for value in settings))
        self.state: Any = rule(self.method, self.settings).init(padded(np.zeros((rows, width), dtype)))

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched) -> Numbers:
        visited = padded(touched if self.lazy else np.ones_like(touched))
        arguments = (self.settings, np.asarray(rate, table.dtype), padded(table), padded(gradient), visited, self.state)
        moved, self.state = move(self.method, *arguments)
        return trimmed(moved, table.shape)


def method(optimizer: Optimizer) -> str:
    """Which transformation has the optimizer's formula."""
    kind = optimizer.kind
    if kind == "heavy-ball" and optimizer.momentum and optimizer.dampening:
        return "dampened"
    if kind == "adam" and optimizer.uncorrected:
        return "adam-uncorrected"
    if kind == "adam" and optimizer.epsilon == 0.0:
        return "adam-corrected"
    if kind == "adagrad" and optimizer.epsilon == 0.0:
        return "rss"
    return kind


def rule(method: str, settings: Settings) -> optax.GradientTransformation:
    """The transformation from gradients to directions; the rate comes later."""
    match method:
        case "sgd":
            return optax.identity()
        case "heavy-ball" | "nesterov":
            return optax.trace(settings.momentum, nesterov=method == "nesterov")
        case "adam":
            return optax.scale_by_adam(settings.beta1, settings.beta2, eps=settings.epsilon)
        case "rss":
            return optax.scale_by_rss(initial_accumulator_value=0.0, eps=0.0)
        case "dampened":
            return dampened(settings)
        case "adam-corrected" | "adam-uncorrected":
            return adam(settings, uncorrected=method == "adam-uncorrected")
        case _:
            return adagrad(settings, rowwise=method == "rowwise-adagrad")


@partial(jax.jit, static_argnums=(0,))
def move(method: str, settings: Settings, rate: Any, table: Any, gradient: Any, visited: Any, state: Any) -> Any:
    """The table and the state after a step. visited: [rows], where the step reaches."""
    shrunk = table * (1.0 - rate * settings.decoupled)
    gradient = gradient + settings.coupled * table
    direction, moved_state = rule(method, settings).update(gradient, state, table)
    moved = optax.apply_updates(shrunk, -rate * direction)

    def keep(new: Any, old: Any) -> Any:
        # Rows that were not looked up keep their parameters and their state. Counters are no state of a row.
        return jnp.where(visited[:, None], new, old) if new.ndim == 2 else new

    return keep(moved, table), jax.tree_util.tree_map(keep, moved_state, state)


class Dampened(NamedTuple):
    buffer: Any
    started: Any


def dampened(settings: Settings) -> optax.GradientTransformation:
    """p ← β·p + (1−δ)·g, where the first gradient of a row enters whole."""

    def init(table: Any) -> Dampened:
        return Dampened(jnp.zeros_like(table), jnp.zeros((len(table), 1), bool))

    def update(gradient: Any, state: Dampened, table: Any = None) -> tuple[Any, Dampened]:
        weight = jnp.where(state.started, 1.0 - settings.dampening, 1.0)
        buffer = settings.momentum * state.buffer + weight * gradient
        return buffer, Dampened(buffer, jnp.ones_like(state.started))

    return optax.GradientTransformation(init, update)


def _quotient(numerator: Any, denominator: Any) -> Any:
    """0 for 0/0: where neither a gradient nor an epsilon ever arrived, nothing moves."""
    return jnp.where(denominator == 0, 0, numerator / jnp.where(denominator == 0, 1, denominator))


class Moments(NamedTuple):
    count: Any
    first: Any
    second: Any


def adam(settings: Settings, uncorrected: bool) -> optax.GradientTransformation:
    """Adam as optax has it not: without epsilon, or with epsilon beside √v before the bias correction."""
    beta1, beta2, epsilon = settings.beta1, settings.beta2, settings.epsilon

    def init(table: Any) -> Moments:
        return Moments(jnp.zeros((), int), jnp.zeros_like(table), jnp.zeros_like(table))

    def update(gradient: Any, state: Moments, table: Any = None) -> tuple[Any, Moments]:
        count = state.count + 1
        first = beta1 * state.first + (1 - beta1) * gradient
        second = beta2 * state.second + (1 - beta2) * gradient**2
        correction1, correction2 = 1 - beta1**count, jnp.sqrt(1 - beta2**count)
        if uncorrected:
            direction = _quotient(first * correction2 / correction1, jnp.sqrt(second) + epsilon)
        else:
            direction = _quotient(first / correction1, jnp.sqrt(second) / correction2 + epsilon)
        return direction, Moments(count, first, second)

    return optax.GradientTransformation(init, update)


def adagrad(settings: Settings, rowwise: bool) -> optax.GradientTransformation:
    """g/(√G + ε): optax has its epsilon inside the root, and no accumulator for a whole row."""

    def init(table: Any) -> Any:
        return jnp.zeros((len(table), 1), table.dtype) if rowwise else jnp.zeros_like(table)

    def update(gradient: Any, sums: Any, table: Any = None) -> tuple[Any, Any]:
        squares = gradient**2
        sums = sums + (squares.sum(axis=1, keepdims=True) / settings.width if rowwise else squares)
        return _quotient(gradient, jnp.sqrt(sums) + settings.epsilon), sums

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
