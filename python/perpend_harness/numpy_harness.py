"""The NumPy harness: plain formulas, gradients in closed form, no automatic differentiation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from perpend_harness import faults, protocol
from perpend_harness.scenario import Batch, Candidates, Encoder, Kind, Loss, Mask, Numbers, Optimizer, Rows
from perpend_harness.training import Model, Stepper

# Similarities


class Side:
    """The embeddings of one tower's slots, and what the loss sends back to them.

    z = q/ℓ(‖q‖), or q itself where products are divided by the norms of both; ``radial`` is r with ∂ℓ/∂q = r·z, so that
    the gradient at q is (a − r⟨a,z⟩z)/ℓ for a the one at z.
    """

    def __init__(self, loss: Loss, rows: Numbers, fault: str | None) -> None:
        self.loss, self.fault = loss, fault
        self.axis = 0 if fault == "wrong-axis" else 1
        # Whatever the convention, the fault divides columns by themselves.
        self.pairwise = loss.is_pairwise and self.axis == 1
        self.rows, self.upstream = rows, np.zeros_like(rows)
        if loss.similarity == "dot":
            return
        squares = np.sum(rows * rows, axis=self.axis, keepdims=True)
        norm = np.sqrt(squares)
        ell, radial = norm, np.ones_like(norm)
        if loss.epsilon and self.axis == 1 and not self.pairwise:
            epsilon = norm.dtype.type(loss.epsilon)
            if loss.epsilon_on == "add":
                ell = norm + epsilon
                radial = _quotient(ell, norm)
            elif loss.epsilon_on == "add-norm2":
                ell = np.sqrt(squares + epsilon)
            else:
                free, floor = (
                    (norm >= epsilon, epsilon) if loss.epsilon_on == "norm" else (squares >= epsilon, epsilon**0.5)
                )
                ell, radial = np.where(free, norm, floor), free.astype(norm.dtype)
        if fault == "epsilon":
            radial = _quotient(radial * (ell + faults.SIZE), ell)
            ell = ell + faults.SIZE
        if fault == "detached-norm":
            radial = np.zeros_like(radial)
        # A row of zeros has no direction and stays zero.
        self.length, self.radial, self.norm = np.where(ell == 0, 1, ell).astype(rows.dtype), radial, norm
        if not self.pairwise:
            self.rows = rows / self.length

    def gradient(self) -> Numbers:
        if self.loss.similarity == "dot" or self.pairwise:
            return self.upstream
        along = np.sum(self.upstream * self.rows, axis=self.axis, keepdims=True)
        return (self.upstream - self.radial * along * self.rows) / self.length

    def at(self, slots: Rows) -> Numbers:
        return self.rows[slots]


def divisor(loss: Loss, one: Side, other: Side) -> tuple[Any, Any]:
    """D of every product, and its logarithmic derivative δ by either norm: [n, m]; 1 and 0 where rows are divided."""
    if not one.pairwise:
        return 1.0, 0.0
    norms = one.length * other.length.T
    if loss.epsilon_on == "add-product":
        return norms + norms.dtype.type(loss.epsilon), norms / (norms + norms.dtype.type(loss.epsilon))
    free = norms >= loss.epsilon
    return np.where(free, norms, norms.dtype.type(loss.epsilon)), free.astype(norms.dtype)


def similarities(loss: Loss, one: Side, other: Side) -> Numbers:
    """s of every row of one and every row of the other: [n, m]."""
    return np.asarray(one.rows @ other.rows.T / divisor(loss, one, other)[0])


def pull(loss: Loss, one: Side, other: Side, slopes: Numbers) -> None:
    """Takes ∂L/∂s of every row of one and every row of the other."""
    by, degree = divisor(loss, one, other)
    one.upstream += slopes / by @ other.rows
    other.upstream += (slopes / by).T @ one.rows
    if one.pairwise:
        # ∂s/∂q = u/D − s·δ·q/‖q‖²; with the planted epsilon one ‖q‖ is the longer one.
        radial = slopes * similarities(loss, one, other) * degree
        for side, sums in ((one, radial.sum(axis=1)), (other, radial.sum(axis=0))):
            if side.fault != "detached-norm":
                side.upstream -= _quotient(sums[:, None], side.norm * side.length) * side.rows


# Losses: the value, and ∂L/∂s of every candidate [B, K]


def _softmax(values: Numbers, counted: Mask) -> tuple[Numbers, Numbers]:
    """ln Σ e^x over what counts on the last axis, and the weights; 0 where nothing counts."""
    some = counted.any(axis=-1, keepdims=True)
    top = np.where(some, np.max(np.where(counted, values, -np.inf), axis=-1, keepdims=True, initial=-np.inf), 0)
    weights = np.where(counted, np.exp(np.where(counted, values - top, 0)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    logarithm = np.where(some, np.log(np.where(some, total, 1)) + top, 0)[..., 0]
    return logarithm, _quotient(weights, total)


def _log_mean_exp(values: Numbers, counted: Mask) -> tuple[Numbers, Numbers]:
    logarithm, weights = _softmax(values, counted)
    return logarithm - np.log(np.maximum(counted.sum(axis=-1), 1).astype(values.dtype)), weights


def cross_entropy(objective: Kind, s: Numbers, c: Candidates) -> tuple[Any, Numbers]:
    tau, pairs = objective["temperature"], np.arange(len(s))
    logits = s / tau - c.log_q.astype(s.dtype)
    logarithm, slopes = _softmax(logits, c.counted)
    value = np.mean(logarithm - logits[pairs, c.target])
    slopes[pairs, c.target] -= 1
    return value, slopes / len(s) / tau


def _above(s: Numbers, c: Candidates, values: Numbers, slopes: Numbers) -> tuple[Any, Numbers]:
    """The mean over pairs of the mean over negatives of f(s_j − s⁺), from its values and slopes."""
    share = _quotient(c.negatives.astype(s.dtype), c.negatives.sum(axis=1, keepdims=True).astype(s.dtype)) / len(s)
    found = share * slopes
    found[np.arange(len(s)), c.target] -= found.sum(axis=1)
    return np.sum(share * values), found


def _difference(s: Numbers, c: Candidates) -> Numbers:
    return s - s[np.arange(len(s)), c.target][:, None]


def bpr(objective: Kind, s: Numbers, c: Candidates) -> tuple[Any, Numbers]:
    x = _difference(s, c) / objective["temperature"]
    zero = x.dtype.type(0)
    return _above(s, c, np.logaddexp(zero, x), np.exp(-np.logaddexp(zero, -x)) / objective["temperature"])


def triplet(objective: Kind, s: Numbers, c: Candidates) -> tuple[Any, Numbers]:
    x = objective["margin"] + _difference(s, c)
    return _above(s, c, np.maximum(x, 0), (x > 0).astype(s.dtype))


def contrastive(objective: Kind, s: Numbers, c: Candidates) -> tuple[Any, Numbers]:
    pairs, x = np.arange(len(s)), s - objective["margin"]
    counts = c.negatives.sum(axis=1, keepdims=True).astype(s.dtype)
    share = _quotient(objective["weight"] * c.negatives.astype(s.dtype), counts)
    slopes = share * (x > 0)
    slopes[pairs, c.target] = -1
    return np.mean(1 - s[pairs, c.target]) + np.sum(share * np.maximum(x, 0)) / len(s), slopes / len(s)


def cosine_embedding(objective: Kind, s: Numbers, c: Candidates) -> tuple[Any, Numbers]:
    pairs, x = np.arange(len(s)), s - objective["margin"]
    slopes = (c.negatives & (x > 0)).astype(s.dtype)
    value = np.sum(1 - s[pairs, c.target]) + np.sum(slopes * x)
    slopes[pairs, c.target] = -1
    count = len(s) + int(c.negatives.sum())
    return value / count, slopes / count


def bsl(objective: Kind, s: Numbers, c: Candidates) -> tuple[Any, Numbers]:
    pairs, users = np.arange(len(s)), c.users[c.users.any(axis=1)]
    pushed, pulled = objective["temperature"], objective["positive_temperature"]
    theirs = (users[:, :, None] & c.negatives).reshape(len(users), -1)
    negatives, weights = _log_mean_exp(np.broadcast_to(s.reshape(-1) / pushed, theirs.shape), theirs)
    positives, shares = _log_mean_exp(np.broadcast_to(s[pairs, c.target] / pulled, users.shape), users)
    slopes = weights.sum(axis=0).reshape(s.shape)
    slopes[pairs, c.target] = -shares.sum(axis=0)
    return np.mean(pushed * negatives - pulled * positives), slopes / len(users)


OBJECTIVES: dict[str, Callable[[Kind, Numbers, Candidates], tuple[Any, Numbers]]] = {
    "info-nce": cross_entropy,
    "full-softmax": cross_entropy,
    "bpr": bpr,
    "triplet": triplet,
    "contrastive": contrastive,
    "cosine-embedding": cosine_embedding,
    "bsl": bsl,
}


def pull_distances(loss: Loss, one: Side, other: Side, slopes: Numbers) -> None:
    """Takes the derivatives by ‖z − z'‖²."""
    pull(loss, one, other, -2 * slopes)
    if not _unit(loss):
        pull(loss, one, one, np.diag(slopes.sum(axis=1)))
        pull(loss, other, other, np.diag(slopes.sum(axis=0)))


def _unit(loss: Loss) -> bool:
    """Whether z has length 1 whatever the embedding."""
    return loss.similarity == "cosine" and loss.epsilon == 0.0


def distances(loss: Loss, one: Side, other: Side) -> Numbers:
    """‖z − z'‖² of every row of one and every row of the other: [n, m]."""
    if _unit(loss):
        return np.asarray(2 - 2 * similarities(loss, one, other))
    own = [np.diag(similarities(loss, side, side)) for side in (one, other)]
    return np.asarray(own[0][:, None] + own[1] - 2 * similarities(loss, one, other))


def alignment_uniformity(loss: Loss, users: Side, items: Side) -> Any:
    """Both terms; the items are the positives. The derivatives go to the sides at once."""
    objective, pairs = loss.objective, len(users.rows)
    aligned = np.eye(pairs, dtype=users.rows.dtype) / pairs
    value = np.sum(aligned * distances(loss, users, items))
    pull_distances(loss, users, items, aligned)
    couples = np.triu(np.ones((pairs, pairs), bool), 1).reshape(-1)
    for side in (users, items):
        exponents = (-objective["t"] * distances(loss, side, side)).reshape(-1)
        spread, weights = _log_mean_exp(exponents, couples)
        value = value + objective["weight"] / 2 * spread
        slopes = -objective["weight"] / 2 * objective["t"] * weights.reshape(pairs, pairs)
        pull_distances(loss, side, side, slopes)
    return value


# Encoders: the embeddings, and the way back from gradients at them to the parameters

Pullback = Callable[[Numbers], list[Numbers]]


def activation(name: str, x: Numbers) -> tuple[Numbers, Numbers]:
    """σ(x) and σ'(x)."""
    if name == "relu":
        return np.maximum(x, 0), (x > 0).astype(x.dtype)
    if name == "tanh":
        t = np.tanh(x)
        return t, (1 - t) * (1 + t)
    scale, cubic = x.dtype.type((2 / np.pi) ** 0.5), x.dtype.type(0.044715)
    t = np.tanh(scale * (x + cubic * x**3))
    return x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t) * (1 + t) / 2 * scale * (1 + 3 * cubic * x**2)


def layer(
    kind: Kind, parts: list[Numbers], x: Numbers
) -> tuple[Numbers, Callable[[Numbers], tuple[Numbers, list[Numbers]]]]:
    """W·x + b with the next parts; back to x and to the parts."""
    weight = parts.pop(0)
    bias = [parts.pop(0)] if kind["bias"] else []

    def back(g: Numbers) -> tuple[Numbers, list[Numbers]]:
        return g @ weight, [g.T @ x, *(g.sum(axis=0) for _ in bias)]

    return x @ weight.T + (bias[0] if bias else 0), back


def mlp(kind: Kind, parts: list[Numbers], x: Numbers) -> tuple[Numbers, Pullback]:
    left, slopes = list(parts), []
    q, back = layer(kind, left, x)
    backs = [back]
    while left:
        into, slope = activation(kind["activation"], q)
        q, back = layer(kind, left, into)
        slopes.append(slope)
        backs.append(back)

    def all_back(g: Numbers) -> list[Numbers]:
        found: list[Numbers] = []
        for place in reversed(range(len(backs))):
            g, own = backs[place](g if place == len(slopes) else g * slopes[place])
            found = own + found
        return found

    return q, all_back


def residual(kind: Kind, parts: list[Numbers], x: Numbers) -> tuple[Numbers, Pullback]:
    left = list(parts)
    first = left.pop(0)
    h, backs = x @ first.T, []
    while left:
        pre, inner = layer(kind, left, h)
        hidden, slope = activation(kind["activation"], pre)
        branch, outer = layer(kind, left, hidden)
        h = h + branch
        backs.append((inner, slope, outer))

    def all_back(g: Numbers) -> list[Numbers]:
        found: list[Numbers] = []
        for inner, slope, outer in reversed(backs):
            below, own_outer = outer(g)
            below, own_inner = inner(below * slope)
            g = g + below
            found = own_inner + own_outer + found
        return [g.T @ x, *found]

    return h, all_back


def two_layer(parts: list[Numbers], x: Numbers) -> tuple[Numbers, Pullback]:
    inner, outer = parts
    hidden, slope = activation("relu", np.einsum("nhf,nf->nh", inner, x))

    def back(g: Numbers) -> list[Numbers]:
        below = np.einsum("nd,ndh->nh", g, outer) * slope
        return [below[:, :, None] * x[:, None], g[:, :, None] * hidden[:, None]]

    return np.einsum("ndh,nh->nd", outer, hidden), back


def weight_norm(kind: Kind, parts: list[Numbers], given: dict[str, Numbers]) -> tuple[Numbers, Pullback]:
    norm = np.linalg.norm(parts[0], axis=1, keepdims=True)
    norm = np.where(norm == 0, 1, norm).astype(norm.dtype)
    direction, scale = parts[0] / norm, (parts[1] if kind["trained"] else given["length"])[:, None]

    def back(g: Numbers) -> list[Numbers]:
        along = np.sum(g * direction, axis=1, keepdims=True)
        tangent = scale * (g - along * direction) / norm
        return [tangent, along[:, 0]] if kind["trained"] else [tangent]

    return scale * direction, back


def layer_norm(kind: Kind, parts: list[Numbers]) -> tuple[Numbers, Pullback]:
    table, epsilon = parts[0], parts[0].dtype.type(kind["epsilon"])
    centred = table - table.mean(axis=1, keepdims=True)
    deviation = np.sqrt(np.mean(centred**2, axis=1, keepdims=True) + epsilon)
    deviation = np.where(deviation == 0, 1, deviation).astype(table.dtype)
    standard = centred / deviation

    def back(g: Numbers) -> list[Numbers]:
        shared = [np.sum(g * standard, axis=0), g.sum(axis=0)] if kind["affine"] else []
        g = g * parts[1] if kind["affine"] else g
        along = np.mean(g * standard, axis=1, keepdims=True)
        return [(g - g.mean(axis=1, keepdims=True) - along * standard) / deviation, *shared]

    return (parts[1] * standard + parts[2] if kind["affine"] else standard), back


def picked(
    table: Numbers, rows: Rows, weights: Numbers
) -> tuple[Numbers, Callable[[Numbers], tuple[Numbers, Numbers]]]:
    """Σ_k w_ik E_{rows(i,k)}; back to the table and to the weights."""
    chosen = table[rows]

    def back(g: Numbers) -> tuple[Numbers, Numbers]:
        at_table = np.zeros_like(table)
        np.add.at(at_table, rows, weights[:, :, None] * g[:, None])
        return at_table, np.sum(chosen * g[:, None], axis=2)

    return np.sum(weights[:, :, None] * chosen, axis=1), back


def encode(kind: Kind, parts: list[Numbers], given: dict[str, Numbers]) -> tuple[Numbers, Pullback]:
    """All embeddings of a tower [N, d], and from gradients at them to those at the parts."""
    x = given.get("x", np.zeros(0))
    match kind.name:
        case "table":
            return parts[0].copy(), lambda g: [g.copy()]
        case "affine":
            q = np.einsum("ndf,nf->nd", parts[0], x)
            if kind["bias"] != "absent":
                q = q + (parts[1] if kind["bias"] == "trained" else given["bias"])
            bias = int(kind["bias"] == "trained")
            return q, lambda g: [g[:, :, None] * x[:, None], *[g.copy()] * bias]
        case "two-layer":
            return two_layer(parts, x)
        case "gain-vector":
            gain, vector = parts
            return gain[:, None] * vector, lambda g: [np.sum(g * vector, axis=1), gain[:, None] * g]
        case "weight-norm":
            return weight_norm(kind, parts, given)
        case "projection":
            return parts[0] @ given["map"].T, lambda g: [g @ given["map"]]
        case "dropout":
            return given["mask"] * parts[0], lambda g: [given["mask"] * g]
        case "layer-norm":
            return layer_norm(kind, parts)
        case "hash":
            weights = parts[1] if kind["weights"] == "trained" else given["weights"]
            q, both = picked(parts[0], given["rows"].astype(np.int64), weights)
            return q, lambda g: list(both(g)[: len(parts)])
        case "shared-linear":
            return x @ parts[0].T, lambda g: [g.T @ x]
        case "bottleneck":
            return x @ parts[0].T @ parts[1].T, lambda g: [(g @ parts[1]).T @ x, g.T @ (x @ parts[0].T)]
        case "adapter":
            base = given["base"] if kind["base"] == "row" else x @ given["map"].T
            trained, narrow = kind["outer_trained"], x @ parts[0].T
            outer = parts[1] if trained else given["outer"]
            return base + narrow @ outer.T, lambda g: [(g @ outer).T @ x, *([g.T @ narrow] if trained else [])]
        case "mlp":
            return mlp(kind, parts, x)
        case "residual":
            return residual(kind, parts, x)
        case "history-mean":
            present = given["present"]
            weights = present / present.sum(axis=1, keepdims=True)
            q, both = picked(parts[0], given["rows"].astype(np.int64), weights)
            return q, lambda g: [both(g)[0]]
        case _:
            return given["neighbours"] @ parts[0], lambda g: [given["neighbours"].T @ g]


class NumpyModel:
    """The formulas, as the training loop sees them."""

    def __init__(self, fault: str | None) -> None:
        self.fault = fault

    def loss(self, loss: Loss, users: Numbers, items: Numbers, batch: Batch) -> tuple[float, Numbers, Numbers]:
        u, c = Side(loss, users, self.fault), batch.candidates(loss)
        if loss.objective.name == "alignment-uniformity":
            # No candidate but the positives takes part, nor does its norm.
            q = Side(loss, items[: len(users)], self.fault)
            value = alignment_uniformity(loss, u, q)
            at_items = np.zeros_like(items)
            at_items[: len(users)] = q.gradient()
            return float(value), u.gradient(), at_items
        q = Side(loss, items, self.fault)
        pairs = np.arange(len(users))[:, None]
        value, at_candidates = OBJECTIVES[loss.objective.name](
            loss.objective, similarities(loss, u, q)[pairs, c.slots], c
        )
        slopes = np.zeros((len(users), len(items)), users.dtype)
        slopes[pairs, c.slots] = at_candidates
        pull(loss, u, q, slopes)
        return float(value), u.gradient(), q.gradient()

    def embeddings(self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> Numbers:
        return encode(encoder.kind, parts, given)[0]

    def pull_back(
        self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers], slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        g = np.zeros((encoder.rows, encoder.dim), upstream.dtype)
        # Not g[slots] += upstream, which keeps the last of several gradients of a row.
        np.add.at(g, slots, upstream)
        return g, encode(encoder.kind, parts, given)[1](g)

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return NumpyStepper(optimizer, rows, width, dtype)


# Optimizers


class NumpyStepper:
    """Every optimizer as its formula, on the rows that a step visits."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.optimizer = optimizer
        self.first = np.zeros((rows, width), dtype)
        """The momentum buffer, or Adam's first moment."""
        self.second = np.zeros((rows, width), dtype)
        """Adam's second moment, or AdaGrad's sums."""
        self.largest = np.zeros((rows, width), dtype)
        """AMSGrad's largest second moment."""
        self.started = np.zeros((rows, 1), bool)

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, visited: Mask) -> Numbers:
        optimizer, rows = self.optimizer, np.flatnonzero(visited)
        q, g = table[rows], gradient[rows]
        if optimizer.decay and not optimizer.decoupled:
            g = g + optimizer.decay * q
        elif optimizer.decay and not optimizer.decays_itself:
            q = q * (1.0 - rate * optimizer.decay)
        result = table.copy()
        # The buffer of LARS has the rates in it.
        scale = 1.0 if optimizer.name == "lars" else rate
        result[rows] = q - scale * RULES[optimizer.name](self, time, rate, rows, q, g)
        return result

    def moments(self, time: int, rows: Rows, g: Numbers, squares: Numbers | None = None) -> tuple[Numbers, Numbers]:
        """Adam's m̂ and √v, the root not corrected."""
        beta1, beta2 = self.optimizer.betas
        self.first[rows] = beta1 * self.first[rows] + (1.0 - beta1) * g
        self.second[rows] = beta2 * self.second[rows] + (1.0 - beta2) * (g * g if squares is None else squares)
        return self.first[rows] / (1.0 - beta1 ** (time + 1)), np.sqrt(self.second[rows])

    def corrected(self, time: int, mean: Numbers, root: Numbers) -> Numbers:
        # Also of a lazy row: the bias correction counts the steps of the run.
        correction = (1.0 - self.optimizer.betas[1] ** (time + 1)) ** 0.5
        if self.optimizer.uncorrected:
            return _quotient(mean * correction, root + self.optimizer.epsilon)
        return _quotient(mean, root / correction + self.optimizer.epsilon)


def _sgd(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    return g


def _heavy_ball(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    optimizer = self.optimizer
    # The first gradient enters whole, whatever the dampening.
    weight = np.where(self.started[rows], g.dtype.type(1.0 - optimizer.dampening), g.dtype.type(1.0))
    self.started[rows] = True
    self.first[rows] = optimizer.momentum * self.first[rows] + weight * g
    return self.first[rows]


def _nesterov(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    self.first[rows] = self.optimizer.momentum * self.first[rows] + g
    return g + self.optimizer.momentum * self.first[rows]


def _adagrad(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    rowwise = self.optimizer.name == "rowwise-adagrad"
    self.second[rows] += np.mean(g * g, axis=1, keepdims=True) if rowwise else g * g
    return _quotient(g, np.sqrt(self.second[rows]) + self.optimizer.epsilon)


def _rmsprop(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    alpha = self.optimizer.kind["alpha"]
    self.second[rows] = alpha * self.second[rows] + (1.0 - alpha) * (g * g)
    return _quotient(g, np.sqrt(self.second[rows]) + self.optimizer.epsilon)


def _adam(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    return self.corrected(time, *self.moments(time, rows, g))


def _amsgrad(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    mean, _ = self.moments(time, rows, g)
    self.largest[rows] = np.maximum(self.largest[rows], self.second[rows])
    return self.corrected(time, mean, np.sqrt(self.largest[rows]))


def _rowwise_adam(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    return self.corrected(time, *self.moments(time, rows, g, np.mean(g * g, axis=1, keepdims=True)))


def _lion(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    beta1, beta2 = self.optimizer.betas
    memory = self.first[rows]
    self.first[rows] = beta2 * memory + (1.0 - beta2) * g
    return np.sign(beta1 * memory + (1.0 - beta1) * g)


def _sign(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    return np.sign(g)


def _trust(q: Numbers, step: Numbers, coefficient: float = 1.0, epsilon: float = 0.0) -> Numbers:
    """c·‖q‖/(‖step‖ + ε) of every row, 1 where either is zero: [n, 1]."""
    own, size = (np.linalg.norm(x, axis=1, keepdims=True) for x in (q, step))
    return np.where((own == 0) | (size == 0), own.dtype.type(1), _quotient(coefficient * own, size + epsilon))


def _lars(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    kind = self.optimizer.kind
    pushed = rate * _trust(q, g, kind["trust"], kind["epsilon"]) * g
    self.first[rows] = self.optimizer.momentum * self.first[rows] + pushed
    return self.first[rows]


def _lamb(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    step = self.corrected(time, *self.moments(time, rows, g))
    if self.optimizer.decoupled:
        step = step + self.optimizer.decay * q
    return _trust(q, step) * step


def _tangent(self: NumpyStepper, time: int, rate: float, rows: Rows, q: Numbers, g: Numbers) -> Numbers:
    along = _quotient(np.sum(q * g, axis=1, keepdims=True), np.sum(q * q, axis=1, keepdims=True))
    return np.asarray(g - along * q)


# What the rate multiplies. rows: [n], those that the step visits; q, g: [n, width], decay already in them.
RULES: dict[str, Callable[[NumpyStepper, int, float, Rows, Numbers, Numbers], Numbers]] = {
    "sgd": _sgd,
    "heavy-ball": _heavy_ball,
    "nesterov": _nesterov,
    "adam": _adam,
    "adagrad": _adagrad,
    "rowwise-adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "amsgrad": _amsgrad,
    "rowwise-adam": _rowwise_adam,
    "lion": _lion,
    "sign-sgd": _sign,
    "lars": _lars,
    "lamb": _lamb,
    "riemannian-sgd": _tangent,
}


def _quotient(numerator: Numbers, denominator: Numbers) -> Numbers:
    """0 for x/0: where neither a gradient nor an epsilon ever arrived, nothing moves."""
    numerator, denominator = np.broadcast_arrays(numerator, denominator)
    zeros = np.zeros(numerator.shape, np.result_type(numerator, denominator))
    return np.divide(numerator, denominator, out=zeros, where=denominator != 0)


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
