"""Losses and encoders as a differentiable framework computes them: forward only, its autograd does the rest.

Each function takes the framework's operations (:class:`Operations`) and its arrays. Arrays may be filled up with zeros
(JAX compiles a program for every shape): pairs without candidates count for nothing, and a row of zeros stays zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from perpend_harness import faults
from perpend_harness.scenario import Kind, Loss


class Operations(Protocol):
    """What a framework brings: NumPy's names where they mean the same, its own functions where it has better ones."""

    where: Callable[..., Any]
    sqrt: Callable[..., Any]
    sum: Callable[..., Any]
    log: Callable[..., Any]
    ones_like: Callable[..., Any]
    einsum: Callable[..., Any]
    relu: Callable[..., Any]
    gelu: Callable[..., Any]
    """In its tanh form."""
    tanh: Callable[..., Any]
    softplus: Callable[..., Any]
    logsumexp: Callable[..., Any]
    """Over the last axis."""
    constant: Callable[..., Any]
    """The same values, without a derivative."""


# Similarities


def root(xp: Operations, squares: Any) -> Any:
    """√x, with derivative 0 where x is 0."""
    empty = squares == 0
    return xp.where(empty, 0.0, xp.sqrt(xp.where(empty, 1.0, squares)))


def length(xp: Operations, squares: Any, epsilon: Any, on: str) -> Any:
    """What a row is divided by, from its squared norm. on: where ε enters, ``none`` without one."""
    norm = root(xp, squares)
    match on:
        case "norm":
            return xp.where(norm < epsilon, epsilon, norm)
        case "norm2":
            return xp.where(squares < epsilon, epsilon**0.5, norm)
        case "add":
            return norm + epsilon
        case "add-norm2":
            return xp.sqrt(squares + epsilon)
        case _:
            return norm


def guarded(xp: Operations, lengths: Any, fault: str | None) -> Any:
    """Lengths as a planted fault leaves them."""
    if fault == "epsilon":
        lengths = lengths + faults.SIZE
    if fault == "detached-norm":
        lengths = xp.constant(lengths)
    return lengths


class Side:
    """The embeddings of one tower's slots: divided by themselves, or with norms to divide products by. [n, d]; [n]."""

    def __init__(self, rows: Any, norms: Any = None) -> None:
        self.rows, self.norms = rows, norms

    def at(self, index: Any) -> Side:
        return Side(self.rows[index], None if self.norms is None else self.norms[index])

    @staticmethod
    def of(xp: Operations, loss: Loss, rows: Any, fault: str | None) -> Side:
        if loss.similarity == "dot":
            return Side(rows)
        on = loss.epsilon_on
        if fault == "wrong-axis":
            # Whatever the convention: columns of the batch in place of rows.
            lengths = guarded(xp, length(xp, xp.sum(rows * rows, axis=0), loss.epsilon, "none"), fault)[None]
        elif on in ("product", "add-product"):
            return Side(rows, guarded(xp, root(xp, xp.sum(rows * rows, axis=-1)), fault))
        else:
            lengths = guarded(xp, length(xp, xp.sum(rows * rows, axis=-1), loss.epsilon, on), fault)[:, None]
        return Side(rows / xp.where(lengths == 0, 1.0, lengths))


def similar(xp: Operations, loss: Loss, one: Side, other: Side) -> Any:
    """s of rows that stand beside each other."""
    products = xp.sum(one.rows * other.rows, axis=-1)
    if one.norms is None:
        return products
    norms = one.norms * other.norms
    if loss.epsilon_on == "add-product":
        return products / (norms + loss.epsilon)
    return products / xp.where(norms < loss.epsilon, loss.epsilon, norms)


# Losses


class Compared:
    """The similarities of a batch, and who counts. Shapes as in :class:`perpend_harness.scenario.Candidates`."""

    def __init__(self, xp: Operations, loss: Loss, users: Any, items: Any, batch: dict[str, Any], fault: Any) -> None:
        self.xp, self.loss, self.batch = xp, loss, batch
        self.users, self.items = (Side.of(xp, loss, rows, fault) for rows in (users, items))
        self.counted, self.negatives = batch["counted"], batch["negatives"]
        self.real = self.counted.any(-1)
        self.pairs = self.real.sum()
        self.places = batch["places"]
        """0, 1, …, B − 1."""
        self.s = similar(xp, loss, self.users.at((slice(None), None)), self.items.at(batch["slots"]))
        self.positive = self.s[self.places, batch["target"]]

    def mean(self, values: Any) -> Any:
        """Over the pairs."""
        return self.xp.sum(self.xp.where(self.real, values, 0.0)) / self.pairs

    def mean_of_negatives(self, values: Any) -> Any:
        """Of each pair; 0 where it has none."""
        count = self.negatives.sum(-1)
        return self.xp.sum(self.xp.where(self.negatives, values, 0.0), axis=-1) / self.xp.where(count == 0, 1, count)

    def squared_distance(self, one: Side, other: Side) -> Any:
        """‖z − z'‖²; the length of a cosine's vector is 1 whatever the embedding."""
        xp, loss = self.xp, self.loss
        if loss.similarity == "cosine" and loss.epsilon_on == "none":
            return 2.0 - 2.0 * similar(xp, loss, one, other)
        own = similar(xp, loss, one, one) + similar(xp, loss, other, other)
        return own - 2.0 * similar(xp, loss, one, other)


def log_mean_exp(xp: Operations, values: Any, counted: Any) -> Any:
    """ln mean e^x over what counts on the last axis; 0 where nothing does."""
    # Counted in the type of the values: whole numbers have a logarithm of single precision in PyTorch.
    count = xp.sum(xp.where(counted, xp.ones_like(values), 0.0), axis=-1)
    seen = counted | (count == 0)[..., None]
    value = xp.logsumexp(xp.where(seen, values, -float("inf"))) - xp.log(xp.where(count == 0, 1.0, count))
    return xp.where(count == 0, 0.0, value)


def softmax(c: Compared) -> Any:
    xp, tau = c.xp, c.loss.objective["temperature"]
    logits = c.s / tau - c.batch["log_q"]
    seen = c.counted | ~c.real[:, None]
    entropy = xp.logsumexp(xp.where(seen, logits, -float("inf"))) - logits[c.places, c.batch["target"]]
    return c.mean(entropy)


def bpr(c: Compared) -> Any:
    tau = c.loss.objective["temperature"]
    return c.mean(c.mean_of_negatives(c.xp.softplus((c.s - c.positive[:, None]) / tau)))


def triplet(c: Compared) -> Any:
    return c.mean(c.mean_of_negatives(c.xp.relu(c.loss.objective["margin"] - c.positive[:, None] + c.s)))


def contrastive(c: Compared) -> Any:
    objective = c.loss.objective
    pushed = c.mean_of_negatives(c.xp.relu(c.s - objective["margin"]))
    return c.mean(1.0 - c.positive + objective["weight"] * pushed)


def cosine_embedding(c: Compared) -> Any:
    xp = c.xp
    pulled = xp.sum(xp.where(c.real, 1.0 - c.positive, 0.0))
    pushed = xp.sum(xp.where(c.negatives, xp.relu(c.s - c.loss.objective["margin"]), 0.0))
    return (pulled + pushed) / (c.pairs + c.negatives.sum())


def alignment_uniformity(c: Compared) -> Any:
    xp, objective = c.xp, c.loss.objective
    items = c.items.at(c.places)
    # Each couple once.
    couples = (c.places[:, None] < c.places) & c.real[:, None] & c.real

    def uniformity(side: Side) -> Any:
        exponents = -objective["t"] * c.squared_distance(side.at((slice(None), None)), side.at(None))
        return log_mean_exp(xp, exponents.reshape(-1), couples.reshape(-1))

    spread = uniformity(c.users) + uniformity(items)
    return c.mean(c.squared_distance(c.users, items)) + objective["weight"] / 2.0 * spread


def bsl(c: Compared) -> Any:
    xp, objective = c.xp, c.loss.objective
    users = c.batch["users"]
    pushed, pulled = objective["temperature"], objective["positive_temperature"]
    theirs = (users[:, :, None] & c.negatives[None]).reshape(len(users), -1)
    negatives = log_mean_exp(xp, c.s.reshape(-1)[None] / pushed, theirs)
    positives = log_mean_exp(xp, c.positive[None] / pulled, users)
    exists = users.any(-1)
    return xp.sum(xp.where(exists, pushed * negatives - pulled * positives, 0.0)) / exists.sum()


OBJECTIVES: dict[str, Callable[[Compared], Any]] = {
    "info-nce": softmax,
    "full-softmax": softmax,
    "bpr": bpr,
    "triplet": triplet,
    "contrastive": contrastive,
    "cosine-embedding": cosine_embedding,
    "alignment-uniformity": alignment_uniformity,
    "bsl": bsl,
}


def loss_value(xp: Operations, loss: Loss, users: Any, items: Any, batch: dict[str, Any], fault: str | None) -> Any:
    """The loss of a batch. users: [B, d]; items: [C, d], one a slot. ``loss.epsilon_on`` is ``none`` without an ε."""
    return OBJECTIVES[loss.objective.name](Compared(xp, loss, users, items, batch, fault))


# Encoders


def _activation(xp: Operations, name: str) -> Callable[[Any], Any]:
    return {"relu": xp.relu, "gelu": xp.gelu, "tanh": xp.tanh}[name]


def _layer(kind: Kind, parts: list[Any], x: Any) -> Any:
    """W·x + b with the next parts, which are taken off the list."""
    product = x @ parts.pop(0).T
    return product + parts.pop(0) if kind["bias"] else product


def encode(xp: Operations, kind: Kind, parts: list[Any], given: dict[str, Any]) -> Any:
    """All embeddings of a tower: [N, d]. parts and given as in :mod:`perpend_harness.parameters`."""
    x = given.get("x")
    match kind.name:
        case "table":
            return parts[0]
        case "affine":
            q = xp.einsum("ndf,nf->nd", parts[0], x)
            return q if kind["bias"] == "absent" else q + (parts[1] if kind["bias"] == "trained" else given["bias"])
        case "two-layer":
            return xp.einsum("ndh,nh->nd", parts[1], xp.relu(xp.einsum("nhf,nf->nh", parts[0], x)))
        case "gain-vector":
            return parts[0][:, None] * parts[1]
        case "weight-norm":
            norm = root(xp, xp.sum(parts[0] * parts[0], axis=1))[:, None]
            scale = parts[1] if kind["trained"] else given["length"]
            return scale[:, None] * parts[0] / xp.where(norm == 0, 1.0, norm)
        case "projection":
            return parts[0] @ given["map"].T
        case "dropout":
            return given["mask"] * parts[0]
        case "layer-norm":
            columns = given["columns"]
            centred = (parts[0] - xp.sum(parts[0], axis=1)[:, None] / columns.sum()) * columns
            deviation = root(xp, xp.sum(centred * centred, axis=1)[:, None] / columns.sum() + kind["epsilon"])
            standard = centred / xp.where(deviation == 0, 1.0, deviation)
            return parts[1] * standard + parts[2] if kind["affine"] else standard
        case "hash":
            weights = parts[1] if kind["weights"] == "trained" else given["weights"]
            return xp.sum(weights[:, :, None] * parts[0][given["rows"]], axis=1)
        case "shared-linear":
            return x @ parts[0].T
        case "bottleneck":
            return x @ parts[0].T @ parts[1].T
        case "adapter":
            base = given["base"] if kind["base"] == "row" else x @ given["map"].T
            return base + x @ parts[0].T @ (parts[1] if kind["outer_trained"] else given["outer"]).T
        case "mlp":
            left = list(parts)
            x = _layer(kind, left, x)
            while left:
                x = _layer(kind, left, _activation(xp, kind["activation"])(x))
            return x
        case "residual":
            left = list(parts)
            h = x @ left.pop(0).T
            while left:
                hidden = _activation(xp, kind["activation"])(_layer(kind, left, h))
                h = h + _layer(kind, left, hidden)
            return h
        case "history-mean":
            count = given["present"].sum(-1)[:, None]
            total = xp.sum(given["present"][:, :, None] * parts[0][given["rows"]], axis=1)
            return total / xp.where(count == 0, 1.0, count)
        case _:
            return given["neighbours"] @ parts[0]
