"""How far two correct trainers may be apart: forward bounds, in units of the unit roundoff u.

A sum of n terms has an error of at most (n − 1)·u of the sum of their magnitudes, a product of n factors (n − 1)·u of
itself (to first order; nothing here is so long that u² counts). Magnitudes come from the same formulas on absolute
values. Every bound is doubled by :func:`apart`: each of the two results has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_harness.numpy_harness import NumpyModel, NumpyStepper
from perpend_harness.scenario import Encoder, Loss, Numbers, Optimizer, Rows
from perpend_harness.training import Touched


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


def depth(encoder: Encoder, dim: int) -> int:
    """Roundings on the way from a parameter to an embedding: the terms of every sum, its products, a bias."""
    if encoder.kind == "table":
        return 0
    return sum(width + 2 for width in (encoder.features, *encoder.hidden))


def embeddings(encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> NDArray[Any]:
    sizes = NumpyModel(None).embeddings(encoder, [abs(t) for t in tables], abs(constants), dim)
    return roundoff(tables[0]) * depth(encoder, dim) * sizes


def pull_back(
    encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
) -> tuple[NDArray[Any], list[NDArray[Any]]]:
    """A gradient is a sum over slots, then over units and rows, of products with inexact activations."""
    sizes = NumpyModel(None).pull_back(encoder, [abs(t) for t in tables], abs(constants), slots, abs(upstream))
    rows, dim = len(sizes[0]), upstream.shape[1]
    # A shared parameter sums over rows; a layer sums over the outputs above it, d at the top.
    units = rows + dim + 2 * depth(encoder, dim)
    u = roundoff(upstream)
    return u * len(slots) * sizes[0], [u * (len(slots) + units) * size for size in sizes[1]]


def loss(loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, NDArray[Any], NDArray[Any]]:
    """InfoNCE and its gradients at the slots.

    A normalised vector has a relative error of (d/2 + 3)u: the sum of squares, its root, the division. A logit s/τ
    then has e = (2(d/2 + 3) + d + 1)·u/τ, since |s| ≤ 1. A probability has 2e + (J + 4)u, relative to itself:
    exponentials, their sum over J candidates, the division. A coefficient (p − [positive])/(Bτ) has 2e + (J + 8)u,
    relative to 1/(Bτ). The upstream gradient a sums n such coefficients, and the way through the norm,
    (a − ⟨a,q̂⟩q̂)/‖q‖, doubles the error of a and adds 4(d/2 + 3) + d + 12 roundings of ‖a‖ ≤ n/(Bτ) (the form
    ⟨a,q⟩q/‖q‖³ has a few more than the one above).
    Inner products have no norms: vectors keep their lengths, and there is nothing to go through.
    """
    u, (pairs, dim) = roundoff(users), users.shape
    candidates = 1 + own if own else pairs
    cosine = loss.similarity == "cosine"
    lengths = {name: np.linalg.norm(v.astype(float), axis=1, keepdims=True) for name, v in (("u", users), ("q", items))}
    size = 1.0 if cosine else lengths["u"].max() * lengths["q"].max()
    normalised = dim / 2 + 3 if cosine else 0.0
    logit = size / loss.temperature
    e = (2 * normalised + dim + 1) * logit
    value = u * (2 * e + (candidates + pairs + 8) * (1 + 2 * logit))

    def at(own_lengths: NDArray[Any], other: NDArray[Any], terms: int) -> NDArray[Any]:
        scale = terms / pairs / loss.temperature * (1.0 if cosine else other.max())
        upstream = 2 * e + candidates + 8 + normalised + terms
        if not cosine:
            return np.broadcast_to(u * scale * upstream, own_lengths.shape)
        through = 4 * normalised + dim + 12
        return u * scale * (2 * upstream + through) / np.maximum(own_lengths, loss.epsilon)

    # An item is a candidate of every pair, or of one.
    return value, at(lengths["u"], lengths["q"], candidates), at(lengths["q"], lengths["u"], 1 if own else pairs)


class Stepper:
    """A clean optimizer with the bound of its result.

    Every step adds at most 4 roundings to a moment, relative to the sum of the magnitudes that went into it; a root and
    two divisions add 8. Where decay cancels the gradient, a relative error grows by (|g| + λ|q|)/|g + λq|. Adam's bias
    correction 1 − βᵗ loses 1/(1 − β) of its digits, once through β itself and once through the power.
    """

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.optimizer = optimizer
        self.clean = NumpyStepper(optimizer, rows, width, dtype)
        self.sizes = np.zeros((rows, width))
        self.growth = np.ones((rows, width))

    def step(
        self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched
    ) -> tuple[Numbers, NDArray[Any]]:
        optimizer, u = self.optimizer, roundoff(table)
        expected = self.clean.step(time, rate, table, gradient, touched)
        visited = touched[:, None] if optimizer.lazy else np.ones((len(table), 1), bool)
        q, g = table.astype(float), gradient.astype(float)
        coupled = 0.0 if optimizer.decoupled else optimizer.decay
        seen, size = g + coupled * q, np.abs(g) + coupled * np.abs(q)
        growth = np.divide(size, np.abs(seen), out=np.ones_like(q), where=seen != 0)
        if coupled and optimizer.kind == "rowwise-adagrad":
            norm = np.linalg.norm(seen, axis=1, keepdims=True)
            growth = np.divide(np.linalg.norm(size, axis=1, keepdims=True), norm, out=growth, where=norm != 0)
        self.growth = np.where(visited, np.maximum(self.growth, growth), self.growth)
        kept = {"heavy-ball": optimizer.momentum, "nesterov": optimizer.momentum, "adam": optimizer.betas[0]}
        share = 1.0 - optimizer.betas[0] if optimizer.kind == "adam" else 1.0
        self.sizes = np.where(visited, kept.get(optimizer.kind, 0.0) * self.sizes + share * size, self.sizes)
        roundings = 4.0 * (time + 1) + 8 + (table.shape[1] if optimizer.kind == "rowwise-adagrad" else 0)
        direction = self.sizes
        if optimizer.kind == "nesterov":
            direction = size + optimizer.momentum * self.sizes
        if optimizer.kind in ("adagrad", "rowwise-adagrad"):
            direction = _over(size, np.sqrt(self.clean.second.astype(float)) + optimizer.epsilon)
        if optimizer.kind == "adam":
            beta1, beta2 = optimizer.betas
            roundings += 2 / (1 - beta1) + 2 / (1 - beta2)
            correction1, correction2 = 1 - beta1 ** (time + 1), np.sqrt(1 - beta2 ** (time + 1))
            root = np.sqrt(self.clean.second.astype(float))
            epsilon = optimizer.epsilon / (correction2 if optimizer.uncorrected else 1.0)
            direction = _over(self.sizes / correction1, root / correction2 + epsilon)
        moved = np.abs(q) * (3.0 + 3.0 * rate * optimizer.decay) + rate * direction * roundings * self.growth
        return expected, np.where(visited, u * moved, 0.0)


def _over(numerator: NDArray[Any], denominator: NDArray[Any]) -> NDArray[Any]:
    denominator = np.broadcast_to(denominator, numerator.shape)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)
