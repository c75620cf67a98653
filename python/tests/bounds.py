"""How far two correct trainers may be apart: forward bounds, in units of the unit roundoff u.

A sum of n terms has an error of at most (n − 1)·u of the sum of their magnitudes, a product of n factors (n − 1)·u of
itself (to first order; nothing here is so long that u² counts). Magnitudes come from the same formulas on absolute
values. Every bound is doubled by :func:`apart`: each of the two results has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_harness.numpy_harness import NumpyStepper, encode
from perpend_harness.scenario import Batch, Encoder, Kind, Loss, Mask, Numbers, Optimizer, Rows


def roundoff(values: Numbers) -> float:
    return float(np.finfo(values.dtype).eps) / 2


def apart(found: Any, expected: Any, bound: Any) -> float:
    """The largest |found − expected| as a multiple of twice the bound; infinite where a number is not finite."""
    found, expected = np.asarray(found, float), np.asarray(expected, float)
    difference = np.abs(found - expected)
    if not np.all(np.isfinite(difference)):
        return np.inf
    allowed = np.broadcast_to(2 * np.asarray(bound, float), difference.shape)
    # Where the bound is 0 (a copy), any difference is too much.
    ratios = np.where(difference == 0, 0, difference / np.where(allowed > 0, allowed, np.finfo(float).tiny))
    return float(ratios.max(initial=0))


def depth(encoder: Encoder) -> int:
    """Roundings on the way from a parameter to an embedding: the terms of every sum, its products, a bias."""
    if encoder.is_table:
        return 0
    return sum(block.width + 2 for block in encoder.blocks()) + encoder.constants + encoder.dim


def sizes(kind: Kind) -> Kind:
    """The encoder that, on absolute values, adds up magnitudes: |σ(x)| ≤ |x| for every activation."""
    return kind.with_settings(activation="relu")


def amplification(encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> float:
    """What errors grow by where an encoder is no polynomial.

    Activations: |σ'| ≤ 1.13 and |σ''| ≤ 1.13 (GELU's are the largest). Each layer passes errors on 1.13-fold, and an
    error of a pre-activation, relative to its magnitude, becomes one of the slope, 1.13 times that magnitude; GELU's
    formula has 30 roundings. Layer norm: x̂ = (x − mean)/σ loses max|x|/σ, and three terms of its way back are added.
    A direction v/‖v‖ has a few roundings more than a sum.
    """
    kind = encoder.kind
    if kind.get("activation") in ("gelu", "tanh"):
        layers, reach = _reach(kind, [abs(part) for part in parts], abs(given["x"]))
        return float(1.13**layers * (1 + 1.13 * layers * reach) * 30)
    if kind.name == "layer-norm":
        deviation = np.sqrt(parts[0].var(axis=1) + kind["epsilon"])
        return float(8 * (1 + np.max(2 * np.abs(parts[0]).max(axis=1) / deviation)) ** 2)
    return 4.0 if kind.name == "weight-norm" else 1.0


def _reach(kind: Kind, left: list[Numbers], h: Numbers) -> tuple[int, float]:
    """How many layers have an activation, and the largest magnitude of what it is applied to."""
    layers, reach = 0, 0.0

    def layer(x: Numbers) -> Numbers:
        product = x @ left.pop(0).T
        return product + left.pop(0) if kind["bias"] else product

    if kind.name == "residual":
        h = h @ left.pop(0).T
    while left:
        pre = layer(h)
        if kind.name == "residual":
            h = h + layer(pre)
        elif left:
            h = pre
        else:
            break
        layers, reach = layers + 1, max(reach, float(pre.max()))
    return layers, reach


def _magnitudes(encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> Any:
    """The encoder on absolute values; a norm stays what it is."""
    kind = encoder.kind
    absolute = {name: abs(array) for name, array in given.items()}
    if kind.name not in ("weight-norm", "layer-norm"):
        return encode(sizes(kind), [abs(part) for part in parts], absolute)
    table = parts[0].astype(float)
    if kind.name == "weight-norm":
        norm, scale = (
            np.linalg.norm(table, axis=1, keepdims=True),
            abs(parts[1] if kind["trained"] else given["length"])[:, None],
        )

        def back(g: Any) -> list[Any]:
            # |g − ⟨g,v̂⟩v̂| ≤ |g| + ‖g‖ in every coordinate.
            whole = np.linalg.norm(g, axis=1, keepdims=True)
            return [scale * (g + whole) / norm, *([whole[:, 0]] if kind["trained"] else [])]

        return np.broadcast_to(scale, table.shape), back
    deviation = np.sqrt(table.var(axis=1, keepdims=True) + kind["epsilon"])
    gain = abs(parts[1]) if kind["affine"] else 1.0
    largest = encoder.dim**0.5

    def pulled(g: Any) -> list[Any]:
        inner = np.broadcast_to(np.sum(g * gain, axis=1, keepdims=True), table.shape)
        shared = [largest * g.sum(axis=0), g.sum(axis=0)] if kind["affine"] else []
        return [3 * inner / deviation, *shared]

    return np.broadcast_to(gain * largest + (abs(parts[2]) if kind["affine"] else 0.0), table.shape), pulled


def embeddings(encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> NDArray[Any]:
    size = _magnitudes(encoder, parts, given)[0]
    return np.asarray(roundoff(parts[0]) * depth(encoder) * amplification(encoder, parts, given) * size)


def pull_back(
    encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers], slots: Rows, upstream: Numbers
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """A gradient is a sum over slots, then over units and rows, of products with inexact activations."""
    g = np.zeros((encoder.rows, encoder.dim))
    np.add.at(g, slots, abs(upstream))
    units = encoder.rows + encoder.dim + 2 * depth(encoder)
    u = roundoff(upstream)
    factor = u * (len(slots) + units) * amplification(encoder, parts, given)
    return u * len(slots) * g, [factor * size for size in _magnitudes(encoder, parts, given)[1](g)]


def steepness(objective: Kind) -> tuple[float, float]:
    """Bounds on Σ|κ| over the similarities of one slot, κ = ∂L/∂s, and on how much that sum of changes is where every
    similarity changes by 1 at most. A slot's pairs have a share of 1/B each, and there are B of them.

    Softmax: Σ|p − [positive]| ≤ 2, Σ|dp| ≤ 2·max|dx|, x = s/τ. BPR: σ ≤ 1 on both sides of a difference, σ' ≤ 1/4 of
    a difference of two. Hinges have constant slopes between their kinks. A log-mean-exp has weights that sum to 1.
    Alignment: slope 2 of a similarity in a squared distance, and of both own ones; uniformity: γ/2·t times the same,
    for both terms, with weights as in a softmax of −t·d².
    """
    get = objective.get
    tau = get("temperature", 1.0)
    match objective.name:
        case "bpr":
            return 2 / tau, 1 / tau**2
        case "triplet" | "cosine-embedding":
            return 2.0, 0.0
        case "contrastive":
            return 1.0 + get("weight"), 0.0
        case "bsl":
            return 2.0, 2 / tau + 2 / get("positive_temperature")
        case "alignment-uniformity":
            slope = 4 * get("weight") / 2 * get("t") * 2
            return 4.0 + slope, slope * 2 * get("t") * 4
        case _:
            return 2 / tau, 2 / tau**2


def loss(loss: Loss, users: Numbers, items: Numbers, batch: Batch) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """A loss and its gradients at the slots.

    A normalised vector has a relative error of (d/2 + 3)u: the sum of squares, its root, the division; an ε inside or
    outside the root adds 2. A similarity then has e = (2(d/2 + 5) + d + 1)·u of its size. The derivatives κ by the
    similarities have an error of curvature·e, and of n roundings of their own size: exponentials (whose argument x of
    size s/τ counts once more), sums over all candidates of all pairs, divisions. The upstream gradient a sums up to n
    of them, and the way through the norm, (a − r⟨a,z⟩z)/ℓ, doubles the error of a and adds 4(d/2 + 5) + d + 12
    roundings of ‖a‖ ≤ slope (other orders of the same, as ⟨a,q⟩q/‖q‖³, have a few more). Inner products have no
    norms: vectors keep their lengths, and there is nothing to go through. A loss is the sum of at most n terms that
    change by slope·(change of s), on numbers of size 1 + slope·size.
    """
    u, (pairs, dim) = roundoff(users), users.shape
    n = len(items) + 2 * pairs + 16 + batch.candidates(loss).slots.size
    slope, curvature = steepness(loss.objective)
    cosine = loss.similarity == "cosine"
    lengths = {name: np.linalg.norm(v.astype(float), axis=1, keepdims=True) for name, v in (("u", users), ("q", items))}
    # Squared distances of vectors that keep their lengths are as large as the longer one's square.
    size = 1.0 if cosine else max(x.max() for x in lengths.values()) ** 2
    normalised = dim / 2 + 5 if cosine else 0.0
    e = (2 * normalised + dim + 1) * size
    log_q = float(np.abs(batch.log_q).max(initial=0))
    value = u * (2 * slope * e + n * (1 + 2 * slope * size + log_q))

    def at(own: NDArray[Any], other: NDArray[Any]) -> NDArray[Any]:
        # Distances go back to a vector from itself too.
        scale = 1.0 if cosine else max(own.max(), other.max())
        upstream = curvature * e + slope * (n + normalised + (2 * size + log_q) * curvature / slope)
        if not cosine:
            return np.broadcast_to(u * scale * upstream, own.shape)
        through = slope * (4 * normalised + dim + 12)
        floor = {"norm": loss.epsilon, "norm2": loss.epsilon**0.5}.get(loss.epsilon_on, 0.0)
        return u * scale * (2 * upstream + through) / np.maximum(own, floor)

    return value, at(lengths["u"], lengths["q"]), at(lengths["q"], lengths["u"])


class Stepper:
    """A clean optimizer with the bound of its result.

    Every step adds at most 4 roundings to a moment, relative to the sum of the magnitudes that went into it; a root
    and two divisions add 8. Where decay cancels the gradient, a relative error grows by (|g| + λ|q|)/|g + λq|; what
    is decided for a row (a mean, a norm) grows with the row's worst and has a sum over the row. Adam's bias
    correction 1 − βᵗ loses 1/(1 − β) of its digits, once through β itself and once through the power. A trust ratio
    has the errors of both its norms. Signs have no error while nothing is at the edge of changing them.
    """

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.optimizer = optimizer
        self.clean = NumpyStepper(optimizer, rows, width, dtype)
        self.sizes = np.zeros((rows, width))
        self.growth = np.ones((rows, width))

    def step(
        self, time: int, rate: float, table: Numbers, gradient: Numbers, visited: Mask
    ) -> tuple[Numbers, NDArray[Any]]:
        optimizer, u, name, width = self.optimizer, roundoff(table), self.optimizer.name, table.shape[1]
        expected = self.clean.step(time, rate, table, gradient, visited)
        reached = visited[:, None]
        q, g = table.astype(float), gradient.astype(float)
        coupled = 0.0 if optimizer.decoupled else optimizer.decay
        seen, size = g + coupled * q, np.abs(g) + coupled * np.abs(q)
        growth = _over(size, np.abs(seen), 1.0)
        row_wise = name in ("rowwise-adagrad", "rowwise-adam", "lars", "lamb")
        if row_wise:
            norms = [np.linalg.norm(x, axis=1, keepdims=True) for x in (size, seen)]
            growth = (
                np.broadcast_to(_over(*norms, 1.0), q.shape)
                if name != "lamb"
                else np.maximum(growth.max(axis=1, keepdims=True), growth)
            )
        self.growth = np.where(reached, np.maximum(self.growth, growth), self.growth)
        roundings = 4.0 * (time + 1) + 8 + (3 * width if row_wise else 0)
        beta1, beta2 = optimizer.betas
        adaptive = name in ("adam", "amsgrad", "rowwise-adam", "lamb")
        kept, share = (beta1, 1.0 - beta1) if adaptive else (optimizer.momentum, 1.0)
        if name == "lars":
            own, norm = (np.linalg.norm(x, axis=1, keepdims=True) for x in (q, seen))
            share = rate * np.where(
                (own == 0) | (norm == 0), 1.0, _over(optimizer.kind["trust"] * own, norm + optimizer.epsilon)
            )
        self.sizes = np.where(reached, kept * self.sizes + share * size, self.sizes)
        direction = self.sizes
        if name == "nesterov":
            direction = size + optimizer.momentum * self.sizes
        root = np.sqrt((self.clean.largest if name == "amsgrad" else self.clean.second).astype(float))
        if name in ("adagrad", "rowwise-adagrad", "rmsprop"):
            direction = _over(size, root + optimizer.epsilon)
            roundings += 2 / (1 - optimizer.kind.get("alpha", 0.0))
        if name == "riemannian-sgd":
            # ⟨q,g⟩q/‖q‖² is no longer than g, and has two sums over the row.
            direction = size + np.linalg.norm(size, axis=1, keepdims=True)
            roundings += 3 * width
        if name in ("lion", "sign-sgd"):
            direction = np.ones_like(q) / self.growth
        if adaptive:
            roundings += 2 / (1 - beta1) + 2 / (1 - beta2)
            correction1, correction2 = 1 - beta1 ** (time + 1), np.sqrt(1 - beta2 ** (time + 1))
            epsilon = optimizer.epsilon / (correction2 if optimizer.uncorrected else 1.0)
            direction = _over(self.sizes / correction1, root / correction2 + epsilon)
        if name == "lamb":
            own = np.linalg.norm(q, axis=1, keepdims=True)
            direction = direction + (optimizer.decay if optimizer.decoupled else 0.0) * np.abs(q)
            step = self._lamb_step(time, q)
            whole = np.linalg.norm(direction, axis=1, keepdims=True)
            ratio = np.where((own == 0) | (step == 0), 1.0, _over(own, step))
            direction = ratio * (direction + whole) * (1 + _over(whole, step, 1.0))
        outside = 1.0 if name == "lars" else rate
        moved = np.abs(q) * (3.0 + 3.0 * rate * optimizer.decay) + outside * direction * roundings * self.growth
        return expected, np.where(reached, u * moved, 0.0)

    def _lamb_step(self, time: int, q: NDArray[Any]) -> NDArray[Any]:
        """‖r‖ of every row, r the step before its trust ratio: [rows, 1]."""
        beta1, beta2 = self.optimizer.betas
        mean = self.clean.first.astype(float) / (1 - beta1 ** (time + 1))
        root = np.sqrt(self.clean.second.astype(float) / (1 - beta2 ** (time + 1)))
        decay = self.optimizer.decay if self.optimizer.decoupled else 0.0
        return np.linalg.norm(_over(mean, root + self.optimizer.epsilon) + decay * q, axis=1, keepdims=True)


def _over(numerator: Any, denominator: Any, otherwise: float = 0.0) -> NDArray[Any]:
    numerator, denominator = np.broadcast_arrays(np.asarray(numerator, float), np.asarray(denominator, float))
    return np.divide(numerator, denominator, out=np.full(numerator.shape, otherwise), where=denominator != 0)
