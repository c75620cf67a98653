"""The JAX harness: gradients by jax.grad and jax.vjp, steps by optax.

Where optax has an optimizer with perpend's formula, that one is used; the others are optax transformations written
here (the README has the table). Everything is in float64 unless the scenario says float32.

JAX compiles a program for every combination of shapes, which takes far longer than a small scenario. All arrays are
therefore filled up with zeros to multiples of :data:`GRAIN`, and settings are arguments, so that thousands of scenarios
share a few programs. A zero coordinate, feature, unit or row adds exact zeros to every sum; padded pairs and candidates
are masked.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import jax

jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]

import jax.numpy as jnp
import numpy as np
import optax

from perpend_harness import forward, protocol
from perpend_harness.scenario import Batch, Encoder, Kind, Loss, Mask, Numbers, Optimizer, Rows
from perpend_harness.training import Model, Stepper

GRAIN = 8


def padded(values: Any) -> Any:
    """Filled up with zeros to a multiple of the grain along every axis."""
    return np.pad(values, [(0, -size % GRAIN) for size in values.shape])


def trimmed(values: Any, shape: tuple[int, ...]) -> Numbers:
    """The part that is not padding."""
    return np.array(np.asarray(values)[tuple(slice(size) for size in shape)])


class Operations:
    """JAX for :mod:`perpend_harness.forward`."""

    where = staticmethod(jnp.where)
    sqrt = staticmethod(jnp.sqrt)
    sum = staticmethod(jnp.sum)
    log = staticmethod(jnp.log)
    ones_like = staticmethod(jnp.ones_like)
    einsum = staticmethod(jnp.einsum)
    relu = staticmethod(jax.nn.relu)
    gelu = staticmethod(partial(jax.nn.gelu, approximate=True))
    tanh = staticmethod(jnp.tanh)
    softplus = staticmethod(jax.nn.softplus)
    logsumexp = staticmethod(partial(jax.nn.logsumexp, axis=-1))
    constant = staticmethod(jax.lax.stop_gradient)


XP = Operations()


# Names are compiled into a program, numbers are its arguments.


@partial(jax.jit, static_argnums=(0, 1, 2))
def loss_and_gradients(loss: Loss, keys: Any, fault: Any, values: Any, users: Any, items: Any, batch: Any) -> Any:
    objective = Kind(loss.objective.name, tuple(zip(keys, values[1:], strict=True)))
    loss = replace(loss, objective=objective, epsilon=values[0])

    def value(users: Any, items: Any) -> Any:
        return forward.loss_value(XP, loss, users, items, batch, fault)

    found, gradients = jax.value_and_grad(value, argnums=(0, 1))(users, items)
    return found, *gradients


def named(kind: Kind) -> Kind:
    """The settings that are no numbers of the formula: a program for each."""
    words = ("bias", "trained", "affine", "weights", "base", "outer_trained", "activation")
    return Kind(kind.name, tuple((key, value) for key, value in kind.settings if key in words))


def _encode(kind: Kind, epsilon: Any, parts: Any, given: Any) -> Any:
    return forward.encode(XP, Kind(kind.name, (*kind.settings, ("epsilon", epsilon))), parts, given)


encode = jax.jit(_encode, static_argnums=0)


@partial(jax.jit, static_argnums=(0, 1))
def pull_back(kind: Kind, rows: int, epsilon: Any, parts: Any, given: Any, slots: Any, upstream: Any) -> Any:
    """Gradients at the embeddings, through a shift that is zero, and at the parts. rows: with padding."""

    def lookup(shift: Any, parts: Any) -> Any:
        return (_encode(kind, epsilon, parts, given) + shift)[slots]

    _, back = jax.vjp(lookup, jnp.zeros((rows, upstream.shape[1]), upstream.dtype), parts)
    return back(upstream)


class JaxModel:
    """The mathematics in JAX."""

    def __init__(self, fault: str | None) -> None:
        known = ("epsilon", "detached-norm", "wrong-axis")
        self.fault = fault if fault in known else None

    def arguments(self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> tuple[Any, ...]:
        epsilon = np.asarray(encoder.kind.get("epsilon", 0.0), parts[0].dtype)
        return epsilon, [padded(part) for part in parts], {name: padded(array) for name, array in given.items()}

    def embeddings(self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> Numbers:
        return trimmed(encode(named(encoder.kind), *self.arguments(encoder, parts, given)), (encoder.rows, encoder.dim))

    def loss(self, loss: Loss, users: Numbers, items: Numbers, batch: Batch) -> tuple[float, Numbers, Numbers]:
        c = batch.candidates(loss)
        arrays = {
            "slots": c.slots,
            "counted": c.counted,
            "negatives": c.negatives,
            "target": c.target,
            "users": c.users,
        }
        arrays["log_q"] = c.log_q.astype(users.dtype)
        arrays = {name: padded(array) for name, array in arrays.items()}
        arrays["places"] = np.arange(len(arrays["target"]))
        keys, numbers = zip(*loss.objective.settings, strict=True)
        values = [np.asarray(number, users.dtype) for number in (loss.epsilon, *numbers)]
        on = loss.epsilon_on if loss.epsilon > 0.0 else "none"
        words = Loss(Kind(loss.objective.name), loss.similarity, epsilon_on=on)
        found = loss_and_gradients(words, keys, self.fault, values, padded(users), padded(items), arrays)
        value, at_users, at_items = found
        return float(value), trimmed(at_users, users.shape), trimmed(at_items, items.shape)

    def pull_back(
        self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers], slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        arguments = self.arguments(encoder, parts, given)
        # A padded slot looks up row 0 and brings it a gradient of zero.
        rows = encoder.rows + -encoder.rows % GRAIN
        at_rows, found = pull_back(named(encoder.kind), rows, *arguments, padded(slots), padded(upstream))
        trim = [trimmed(part, own.shape) for part, own in zip(found, parts, strict=True)]
        return trimmed(at_rows, (encoder.rows, encoder.dim)), trim

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return JaxStepper(optimizer, rows, width, dtype)


# Optimizers


class Settings(NamedTuple):
    """The settings of an optimizer as arguments of a compiled program."""

    rate: Any
    coupled: Any
    decoupled: Any
    momentum: Any
    dampening: Any
    beta1: Any
    beta2: Any
    alpha: Any
    trust: Any
    epsilon: Any
    width: Any


class JaxStepper:
    """An optax transformation at work on one table."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.method = method(optimizer)
        settings = Settings(
            rate=0.0,
            coupled=0.0 if optimizer.decoupled else optimizer.decay,
            decoupled=optimizer.decay if optimizer.decoupled else 0.0,
            momentum=optimizer.momentum,
            dampening=optimizer.dampening,
            beta1=optimizer.betas[0],
            beta2=optimizer.betas[1],
            alpha=optimizer.kind.get("alpha", 0.0),
            trust=optimizer.kind.get("trust", 1.0),
            epsilon=optimizer.epsilon,
            width=width,
        )
        self.settings = Settings(*(np.asarray(value, dtype) for value in settings))
        self.state: Any = rule(self.method, self.settings).init(padded(np.zeros((rows, width), dtype)))

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, visited: Mask) -> Numbers:
        settings = self.settings._replace(rate=np.asarray(rate, table.dtype))
        arguments = (settings, padded(table), padded(gradient), padded(visited), self.state)
        moved, self.state = move(self.method, *arguments)
        return trimmed(moved, table.shape)


def method(optimizer: Optimizer) -> str:
    """Which transformation has the optimizer's formula: optax's own where that can be."""
    name = optimizer.name
    if name == "heavy-ball" and optimizer.dampening:
        return "dampened"
    if name == "adam" and optimizer.uncorrected:
        return "adam-uncorrected"
    # optax would divide 0 by 0.
    if name in ("adam", "adagrad", "rmsprop", "lamb") and optimizer.epsilon == 0.0:
        return f"{name}-without-epsilon"
    return name


def per_row(transformation: optax.GradientTransformation) -> optax.GradientTransformation:
    """A transformation without state that treats every row as a parameter of its own."""

    def update(updates: Any, state: Any, table: Any = None) -> tuple[Any, Any]:
        return jax.vmap(lambda row, own: transformation.update(row, optax.EmptyState(), own)[0])(updates, table), state

    return optax.GradientTransformation(lambda table: optax.EmptyState(), update)


def rule(method: str, settings: Settings) -> optax.GradientTransformation:
    """The transformation from gradients to directions; the rate comes later, but for LARS, whose memory has it."""
    beta1, beta2, epsilon = settings.beta1, settings.beta2, settings.epsilon
    match method:
        case "sgd":
            return optax.identity()
        case "heavy-ball" | "nesterov":
            return optax.trace(settings.momentum, nesterov=method == "nesterov")
        case "dampened":
            return dampened(settings)
        case "adam":
            return optax.scale_by_adam(beta1, beta2, eps=epsilon)
        case "adagrad-without-epsilon":
            return optax.scale_by_rss(initial_accumulator_value=0.0, eps=0.0)
        case "rmsprop":
            return optax.scale_by_rms(settings.alpha, epsilon, initial_scale=0.0, eps_in_sqrt=False)
        case "rmsprop-without-epsilon":
            return rmsprop(settings)
        case "lion":
            return optax.scale_by_lion(beta1, beta2)
        case "sign-sgd":
            return optax.scale_by_sign()
        case "lars":
            trust = per_row(optax.scale_by_trust_ratio(trust_coefficient=settings.trust, eps=epsilon))
            return optax.chain(trust, optax.scale(settings.rate), optax.trace(settings.momentum))
        case "lamb" | "lamb-without-epsilon":
            adaptive = optax.scale_by_adam(beta1, beta2, eps=epsilon) if method == "lamb" else adam(settings)
            decayed = optax.add_decayed_weights(settings.decoupled)
            return optax.chain(adaptive, decayed, per_row(optax.scale_by_trust_ratio()))
        case "riemannian-sgd":
            return optax.stateless(tangent)
        case "adagrad" | "rowwise-adagrad":
            return adagrad(settings, rowwise=method == "rowwise-adagrad")
        case _:
            return adam(
                settings,
                uncorrected=method == "adam-uncorrected",
                largest=method == "amsgrad",
                rowwise=method == "rowwise-adam",
            )


@partial(jax.jit, static_argnums=(0,))
def move(method: str, settings: Settings, table: Any, gradient: Any, visited: Any, state: Any) -> Any:
    """The table and the state after a step. visited: [rows], where the step reaches."""
    outside = 0.0 if method.startswith("lamb") else settings.rate * settings.decoupled
    shrunk = table * (1.0 - outside)
    gradient = gradient + settings.coupled * table
    # A trust ratio is that of the row as the step finds it, after its decay.
    direction, moved_state = rule(method, settings).update(gradient, state, shrunk)
    moved = optax.apply_updates(shrunk, -(1.0 if method == "lars" else settings.rate) * direction)

    def keep(new: Any, old: Any) -> Any:
        # Rows that are not visited keep their parameters and their state. Counters are no state of a row.
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


def _mean_square(gradient: Any, settings: Settings) -> Any:
    """Of each row, padding aside: [rows, 1]."""
    return (gradient**2).sum(axis=1, keepdims=True) / settings.width


class Moments(NamedTuple):
    count: Any
    first: Any
    second: Any
    largest: Any


def adam(
    settings: Settings, uncorrected: bool = False, largest: bool = False, rowwise: bool = False
) -> optax.GradientTransformation:
    """Adam as optax has it not: without epsilon, with epsilon beside √v before the bias correction, with the largest
    uncorrected second moment, with one second moment a row."""
    beta1, beta2, epsilon = settings.beta1, settings.beta2, settings.epsilon

    def init(table: Any) -> Moments:
        second = jnp.zeros((len(table), 1), table.dtype) if rowwise else jnp.zeros_like(table)
        return Moments(jnp.zeros((), int), jnp.zeros_like(table), second, second)

    def update(gradient: Any, state: Moments, table: Any = None) -> tuple[Any, Moments]:
        count = state.count + 1
        first = beta1 * state.first + (1 - beta1) * gradient
        squares = _mean_square(gradient, settings) if rowwise else gradient**2
        second = beta2 * state.second + (1 - beta2) * squares
        most = jnp.maximum(state.largest, second)
        root = jnp.sqrt(most if largest else second)
        correction1, correction2 = 1 - beta1**count, jnp.sqrt(1 - beta2**count)
        if uncorrected:
            direction = _quotient(first * correction2 / correction1, root + epsilon)
        else:
            direction = _quotient(first / correction1, root / correction2 + epsilon)
        return direction, Moments(count, first, second, most)

    return optax.GradientTransformation(init, update)


def tangent(gradient: Any, table: Any) -> Any:
    """What of a gradient is orthogonal to its row."""
    along = _quotient((table * gradient).sum(axis=1, keepdims=True), (table * table).sum(axis=1, keepdims=True))
    return gradient - along * table


def adagrad(settings: Settings, rowwise: bool) -> optax.GradientTransformation:
    """g/(√G + ε): optax has its epsilon inside the root, and no accumulator for a whole row."""

    def init(table: Any) -> Any:
        return jnp.zeros((len(table), 1), table.dtype) if rowwise else jnp.zeros_like(table)

    def update(gradient: Any, sums: Any, table: Any = None) -> tuple[Any, Any]:
        sums = sums + (_mean_square(gradient, settings) if rowwise else gradient**2)
        return _quotient(gradient, jnp.sqrt(sums) + settings.epsilon), sums

    return optax.GradientTransformation(init, update)


def rmsprop(settings: Settings) -> optax.GradientTransformation:
    """g/√v, 0 where v is."""

    def update(gradient: Any, mean: Any, table: Any = None) -> tuple[Any, Any]:
        mean = settings.alpha * mean + (1 - settings.alpha) * gradient**2
        return _quotient(gradient, jnp.sqrt(mean)), mean

    return optax.GradientTransformation(jnp.zeros_like, update)


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
