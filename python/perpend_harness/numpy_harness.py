"""The NumPy harness: plain loops and formulas, gradients in closed form, no automatic differentiation."""

from __future__ import annotations

from typing import Any

import numpy as np

from perpend_harness import faults, protocol
from perpend_harness.scenario import Encoder, Loss, Numbers, Optimizer, Rows
from perpend_harness.training import Model, Stepper, Touched


class NumpyModel:
    """InfoNCE, the encoders and their gradients."""

    def __init__(self, fault: str | None) -> None:
        self.fault = fault

    # Loss

    def normalise(self, q: Numbers, epsilon: float) -> tuple[Numbers, Numbers, Numbers]:
        """q̂ = q/max(‖q‖, ε), the divisor, and whether the norm is what divides: [n, d], [n, 1], [n, 1]."""
        norm = np.linalg.norm(q, axis=0 if self.fault == "wrong-axis" else 1, keepdims=True)
        if self.fault == "epsilon":
            norm = norm + faults.SIZE
        free = norm >= epsilon
        divisor = np.where(free, norm, norm.dtype.type(epsilon))
        return q / divisor, divisor, free

    def through_normalisation(self, upstream: Numbers, direction: Numbers, divisor: Numbers, free: Numbers) -> Numbers:
        """(a − ⟨a,q̂⟩q̂)/‖q‖ where the norm divides, a/ε where ε does."""
        if self.fault == "detached-norm":
            return upstream / divisor
        axis = 0 if self.fault == "wrong-axis" else 1
        radial = np.sum(upstream * direction, axis=axis, keepdims=True)
        if self.fault == "epsilon":
            # d(q/(‖q‖+ε)) = dq/(‖q‖+ε) − q⟨q,dq⟩/(‖q‖(‖q‖+ε)²)
            radial = radial * divisor / (divisor - faults.SIZE)
        return (upstream - np.where(free, radial, 0) * direction) / divisor

    def loss(self, loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        if loss.similarity == "dot":
            return self.softmax_loss(loss.temperature, users, items, own)
        u, *user_norms = self.normalise(users, loss.epsilon)
        q, *item_norms = self.normalise(items, loss.epsilon)
        value, user_upstream, item_upstream = self.softmax_loss(loss.temperature, u, q, own)
        return (
            value,
            self.through_normalisation(user_upstream, u, *user_norms),
            self.through_normalisation(item_upstream, q, *item_norms),
        )

    def softmax_loss(self, temperature: float, u: Numbers, q: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        """Cross-entropy of softmax(s/τ) with s the inner products, and its gradients at u and q."""
        pairs, dim = u.shape
        if own:
            # The candidates of pair b: its positive, then its own negatives.
            candidates = np.concatenate([q[:pairs, None], q[pairs:].reshape(pairs, own, dim)], axis=1)
            target = np.zeros(pairs, np.int64)
        else:
            candidates = np.broadcast_to(q, (pairs, pairs, dim))
            target = np.arange(pairs)
        logits = np.einsum("bd,bjd->bj", u, candidates) / temperature
        logits = logits - logits.max(axis=1, keepdims=True)
        weights = np.exp(logits)
        total = weights.sum(axis=1, keepdims=True)
        rows = np.arange(pairs)
        value = np.mean(np.log(total[:, 0]) - logits[rows, target])
        # ∂L/∂s = (softmax − [positive])/(B·τ)
        residual = weights / total
        residual[rows, target] -= 1.0
        residual = residual / pairs / temperature
        at_users = np.einsum("bj,bjd->bd", residual, candidates)
        at_candidates = residual[:, :, None] * u[:, None, :]
        if own:
            at_items = np.concatenate([at_candidates[:, 0], at_candidates[:, 1:].reshape(-1, dim)])
        else:
            at_items = at_candidates.sum(axis=0)
        return float(value), at_users, at_items

    # Encoders

    def forward(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> list[Numbers]:
        """Pre-activations of every layer of a deep encoder; the last are the embeddings."""
        x = constants[:, : encoder.features]
        if encoder.kind == "two-layer":
            (hidden,) = encoder.hidden
            rows = x.shape[0]
            inner = np.einsum("nhf,nf->nh", tables[0].reshape(rows, hidden, encoder.features), x)
            return [inner, np.einsum("ndh,nh->nd", tables[1].reshape(rows, dim, hidden), np.maximum(inner, 0))]
        pres: list[Numbers] = []
        for layer in tables:
            into = x if not pres else np.maximum(pres[-1], 0)
            pres.append(into @ layer[:, : into.shape[1]].T)
            if encoder.bias == "trained":
                pres[-1] = pres[-1] + layer[:, -1]
        return pres

    def embeddings(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> Numbers:
        x = constants[:, : encoder.features]
        if encoder.kind == "table":
            return tables[0].copy()
        if encoder.kind == "shared-linear":
            return np.asarray(x @ tables[0].T)
        if encoder.kind == "affine":
            q = np.einsum("ndf,nf->nd", tables[0].reshape(len(x), dim, encoder.features), x)
            if encoder.bias == "trained":
                q = q + tables[1]
            if encoder.bias == "frozen":
                q = q + constants[:, encoder.features :]
            return q
        return self.forward(encoder, tables, constants, dim)[-1]

    def pull_back(
        self, encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        dim = upstream.shape[1]
        rows = len(tables[0]) if encoder.kind == "table" else len(constants)
        g = np.zeros((rows, dim), upstream.dtype)
        # Not g[slots] += upstream, which keeps the last of several gradients of a row.
        np.add.at(g, slots, upstream)
        x = constants[:, : encoder.features]
        if encoder.kind == "table":
            return g, [g.copy()]
        if encoder.kind == "shared-linear":
            return g, [g.T @ x]
        if encoder.kind == "affine":
            weight = (g[:, :, None] * x[:, None, :]).reshape(rows, -1)
            return g, [weight, g.copy()] if encoder.bias == "trained" else [weight]
        pres = self.forward(encoder, tables, constants, dim)
        if encoder.kind == "two-layer":
            (hidden,) = encoder.hidden
            outer = (g[:, :, None] * np.maximum(pres[0], 0)[:, None, :]).reshape(rows, -1)
            below = np.einsum("nd,ndh->nh", g, tables[1].reshape(rows, dim, hidden)) * (pres[0] > 0)
            return g, [(below[:, :, None] * x[:, None, :]).reshape(rows, -1), outer]
        gradients: list[Numbers] = []
        above = g
        for place in reversed(range(len(tables))):
            into = np.maximum(pres[place - 1], 0) if place else x
            gradient = above.T @ into
            if encoder.bias == "trained":
                gradient = np.concatenate([gradient, above.sum(axis=0)[:, None]], axis=1)
            gradients.insert(0, gradient)
            if place:
                above = (above @ tables[place][:, : into.shape[1]]) * (pres[place - 1] > 0)
        return g, gradients

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return NumpyStepper(optimizer, rows, width, dtype)


class NumpyStepper:
    """Every optimizer as its formula, on the rows that a step visits: all of them, or (lazy) those looked up."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.optimizer = optimizer
        self.first = np.zeros((rows, width), dtype)
        """The momentum buffer, or Adam's first moment."""
        self.second = np.zeros((rows, width), dtype)
        """Adam's second moment, or AdaGrad's sums."""
        self.started = np.zeros((rows, 1), bool)

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched) -> Numbers:
        optimizer = self.optimizer
        visited = np.flatnonzero(touched) if optimizer.lazy else np.arange(len(table))
        q, g = table[visited], gradient[visited]
        if optimizer.decay and optimizer.decoupled:
            q = q * (1.0 - rate * optimizer.decay)
        elif optimizer.decay:
            g = g + optimizer.decay * q
        result = table.copy()
        result[visited] = q - rate * self.direction(time, visited, g)
        return result

    def direction(self, time: int, visited: Rows, g: Numbers) -> Numbers:
        """What the rate multiplies. visited: [n]; g: [n, width]."""
        optimizer = self.optimizer
        if optimizer.kind == "sgd":
            return g
        if optimizer.kind == "heavy-ball":
            # The first gradient enters whole, whatever the dampening; without momentum there is nothing to dampen.
            dampening = optimizer.dampening if optimizer.momentum else 0.0
            weight = np.where(self.started[visited], g.dtype.type(1.0 - dampening), g.dtype.type(1.0))
            self.started[visited] = True
            self.first[visited] = optimizer.momentum * self.first[visited] + weight * g
            return self.first[visited]
        if optimizer.kind == "nesterov":
            self.first[visited] = optimizer.momentum * self.first[visited] + g
            return g + optimizer.momentum * self.first[visited]
        if optimizer.kind == "adagrad":
            self.second[visited] += g * g
            return _quotient(g, np.sqrt(self.second[visited]) + optimizer.epsilon)
        if optimizer.kind == "rowwise-adagrad":
            self.second[visited] += np.mean(g * g, axis=1, keepdims=True)
            return _quotient(g, np.sqrt(self.second[visited]) + optimizer.epsilon)
        beta1, beta2 = optimizer.betas
        self.first[visited] = beta1 * self.first[visited] + (1.0 - beta1) * g
        self.second[visited] = beta2 * self.second[visited] + (1.0 - beta2) * (g * g)
        mean, root = self.first[visited], np.sqrt(self.second[visited])
        # Also of a lazy row: the bias correction counts the steps of the run.
        correction1, correction2 = 1.0 - beta1 ** (time + 1), (1.0 - beta2 ** (time + 1)) ** 0.5
        if optimizer.uncorrected:
            return _quotient(mean * correction2 / correction1, root + optimizer.epsilon)
        return _quotient(mean / correction1, root / correction2 + optimizer.epsilon)


def _quotient(numerator: Numbers, denominator: Numbers) -> Numbers:
    """0 for 0/0: where neither a gradient nor an epsilon ever arrived, nothing moves."""
    denominator = np.broadcast_to(denominator, numerator.shape)
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator != 0)


class NumpyFramework:
    """NumPy, as the harness protocol sees it."""

    name = "numpy"

    def versions(self) -> str:
        return f"numpy {np.__version__}"

    def model(self, fault: str | None) -> Model:
        return NumpyModel(fault)


FRAMEWORK = NumpyFramework()

if __name__ == "__main__":
    protocol.main(FRAMEWORK)
