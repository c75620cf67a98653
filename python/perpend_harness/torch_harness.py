"""The PyTorch harness: gradients by torch.autograd, steps by torch.optim.

Where torch.optim has an optimizer with perpend's formula, that one is used; the others are :class:`WrittenRule`, an
optimizer of our own (the README has the table). A lazy tower has one parameter a row: torch.optim passes over a
parameter whose gradient is None, and its state waits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from perpend_harness import forward, protocol
from perpend_harness.scenario import Batch, Encoder, Loss, Mask, Numbers, Optimizer, Rows
from perpend_harness.training import Model, Stepper


def tensor(values: Any) -> torch.Tensor:
    """A copy, so that nothing here changes what the caller recorded."""
    return torch.from_numpy(np.array(values))


class Operations:
    """PyTorch for :mod:`perpend_harness.forward`."""

    where = staticmethod(torch.where)
    sqrt = staticmethod(torch.sqrt)
    sum = staticmethod(torch.sum)
    log = staticmethod(torch.log)
    ones_like = staticmethod(torch.ones_like)
    einsum = staticmethod(torch.einsum)
    relu = staticmethod(torch.relu)
    gelu = staticmethod(partial(torch.nn.functional.gelu, approximate="tanh"))
    tanh = staticmethod(torch.tanh)
    logsumexp = staticmethod(partial(torch.logsumexp, dim=-1))
    constant = staticmethod(torch.Tensor.detach)

    softplus = staticmethod(lambda x: -torch.nn.functional.logsigmoid(-x))
    """torch's own is linear beyond a threshold."""


XP = Operations()


class TorchModel:
    """The mathematics in PyTorch."""

    def __init__(self, fault: str | None) -> None:
        self.fault = fault

    def loss(self, loss: Loss, users: Numbers, items: Numbers, batch: Batch) -> tuple[float, Numbers, Numbers]:
        c = batch.candidates(loss)
        arrays = {
            "slots": c.slots,
            "counted": c.counted,
            "negatives": c.negatives,
            "target": c.target,
            "users": c.users,
        }
        arrays |= {"log_q": c.log_q.astype(users.dtype), "places": np.arange(len(users))}
        loss = loss if loss.epsilon > 0.0 else replace(loss, epsilon_on="none")
        at_users, at_items = tensor(users).requires_grad_(), tensor(items).requires_grad_()
        given = {name: tensor(array) for name, array in arrays.items()}
        value = forward.loss_value(XP, loss, at_users, at_items, given, self.fault)
        value.backward()  # type: ignore[no-untyped-call]
        found = [x.grad if x.grad is not None else torch.zeros_like(x) for x in (at_users, at_items)]
        return value.item(), found[0].numpy(), found[1].numpy()

    def embeddings(self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers]) -> Numbers:
        with torch.no_grad():
            q = forward.encode(XP, encoder.kind, [tensor(part) for part in parts], _tensors(given))
            return np.array(q.numpy())

    def pull_back(
        self, encoder: Encoder, parts: list[Numbers], given: dict[str, Numbers], slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        leaves = [tensor(part).requires_grad_() for part in parts]
        # For a table the embeddings are the leaf; a gradient at both needs two tensors.
        q = forward.encode(XP, encoder.kind, leaves, _tensors(given)).clone()
        q.retain_grad()
        q[tensor(slots)].backward(tensor(upstream))  # type: ignore[no-untyped-call]
        gradients = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves]
        assert q.grad is not None
        return q.grad.numpy(), [gradient.numpy() for gradient in gradients]

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return TorchStepper(optimizer, rows, width, dtype)


def _tensors(given: dict[str, Numbers]) -> dict[str, torch.Tensor]:
    return {name: tensor(array) for name, array in given.items()}


class TorchStepper:
    """A torch.optim optimizer at work on one table."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.make, own_decay, per_row = chosen(optimizer)
        own_decay |= optimizer.decoupled and optimizer.decays_itself
        self.coupled = optimizer.decay if not optimizer.decoupled and not own_decay else 0.0
        self.decoupled = optimizer.decay if optimizer.decoupled and not own_decay else 0.0
        zeros = torch.from_numpy(np.zeros((rows, width), dtype))
        self.parameters = [torch.nn.Parameter(part) for part in (zeros.split(1) if per_row else [zeros])]
        self.torch = self.make(self.parameters)

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, visited: Mask) -> Numbers:
        values, gradients, present = tensor(table), tensor(gradient), torch.from_numpy(visited)
        reached = present[:, None]
        if self.coupled:
            gradients = torch.where(reached, gradients + self.coupled * values, gradients)
        if self.decoupled:
            values = torch.where(reached, values * (1.0 - rate * self.decoupled), values)
        for group in self.torch.param_groups:
            group["lr"] = rate
        one = len(self.parameters) == 1
        with torch.no_grad():
            for place, parameter in enumerate(self.parameters):
                part = slice(None) if one else slice(place, place + 1)
                parameter.copy_(values[part])
                # Where the rows are one parameter, its optimizer visits all or none of them, or knows which.
                parameter.grad = gradients[part] if bool(present[part].any()) else None
        if isinstance(self.torch, torch.optim.SparseAdam):
            rows = torch.nonzero(present).T
            shape = tuple(values.shape)
            self.parameters[0].grad = torch.sparse_coo_tensor(rows, gradients[rows[0]], shape).coalesce()
        if isinstance(self.torch, WrittenRule):
            self.torch.visited = reached
            self.parameters[0].grad = gradients
        self.torch.step()
        return torch.cat([parameter.detach() for parameter in self.parameters]).numpy().copy()


Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]


def chosen(optimizer: Optimizer) -> tuple[Make, bool, bool]:
    """The optimizer, whether it does the decay itself, and whether each row is a parameter of its own."""
    name, lazy, epsilon, rule = optimizer.name, optimizer.lazy, optimizer.epsilon, torch.optim
    coupled = 0.0 if optimizer.decoupled else optimizer.decay
    found: tuple[Callable[..., torch.optim.Optimizer], dict[str, Any], bool, bool] | None = None
    if name in ("sgd", "heavy-ball", "nesterov"):
        # torch refuses Nesterov momentum of 0, which is plain SGD.
        nesterov = name == "nesterov" and optimizer.momentum > 0.0
        settings = {"momentum": optimizer.momentum, "dampening": optimizer.dampening, "nesterov": nesterov}
        found = rule.SGD, {**settings, "weight_decay": coupled}, not optimizer.decoupled, lazy
    elif epsilon > 0.0 and name == "adagrad":
        found = rule.Adagrad, {"eps": epsilon, "weight_decay": coupled}, not optimizer.decoupled, lazy
    elif epsilon > 0.0 and name == "rmsprop":
        settings = {"alpha": optimizer.kind["alpha"], "eps": epsilon, "weight_decay": coupled}
        found = rule.RMSprop, settings, not optimizer.decoupled, lazy
    elif epsilon > 0.0 and name in ("adam", "amsgrad") and not optimizer.uncorrected and not lazy:
        own = {"betas": optimizer.betas, "eps": epsilon, "amsgrad": name == "amsgrad", "weight_decay": optimizer.decay}
        found = (rule.AdamW if optimizer.decoupled else rule.Adam), own, True, False
    elif epsilon > 0.0 and name == "adam" and optimizer.uncorrected and lazy:
        found = rule.SparseAdam, {"betas": optimizer.betas, "eps": epsilon}, False, False
    if found is None:
        return lambda parameters: WrittenRule(parameters, optimizer), False, False
    method, arguments, own_decay, per_row = found
    # Some refuse a rate of 0 until they are made; each step brings its own.
    return lambda parameters: method(parameters, lr=1.0, **arguments), own_decay, per_row


class WrittenRule(torch.optim.Optimizer):
    """What torch.optim has not: rules that a row's own norm or mean decides, Lion, signs, lazy Adam with a corrected
    epsilon, dense Adam with an uncorrected one, and a step of 0 where 0 is divided by 0."""

    def __init__(self, parameters: list[torch.nn.Parameter], optimizer: Optimizer) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self.rule = optimizer
        self.visited = torch.zeros(0, dtype=torch.bool)
        """[rows, 1]: where the step reaches."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        (table,) = group["params"]
        state = self.state[table]
        state["step"] = state.get("step", 0) + 1
        moved = table - self.direction(state, group["lr"], table, table.grad)
        table.copy_(torch.where(self.visited, moved, table))

    def updated(self, state: dict[str, Any], name: str, new: Callable[[torch.Tensor], Any], like: Any) -> torch.Tensor:
        """A state of the visited rows, renewed."""
        old = state.get(name, torch.zeros_like(like))
        state[name] = torch.where(self.visited, new(old), old)
        return state[name]

    def direction(self, state: dict[str, Any], rate: float, table: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        """What is taken from the table, the rate included."""
        rule = self.rule
        squares = g * g
        if rule.name in ("rowwise-adagrad", "rowwise-adam"):
            squares = squares.mean(dim=1, keepdim=True)
        match rule.name:
            case "sign-sgd":
                return rate * g.sign()
            case "riemannian-sgd":
                along = _quotient((table * g).sum(dim=1, keepdim=True), (table * table).sum(dim=1, keepdim=True))
                return rate * (g - along * table)
            case "lion":
                beta1, beta2 = rule.betas
                step = (beta1 * state.get("memory", torch.zeros_like(g)) + (1.0 - beta1) * g).sign()
                self.updated(state, "memory", lambda old: beta2 * old + (1.0 - beta2) * g, g)
                return rate * step
            case "lars":
                pushed = rate * _trust(table, g, rule.kind["trust"], rule.epsilon) * g
                return self.updated(state, "buffer", lambda old: rule.momentum * old + pushed, g)
            case "adagrad" | "rowwise-adagrad":
                total = self.updated(state, "sum", lambda old: old + squares, squares)
                return rate * _quotient(g, total.sqrt() + rule.epsilon)
            case "rmsprop":
                alpha = rule.kind["alpha"]
                mean = self.updated(state, "mean", lambda old: alpha * old + (1.0 - alpha) * squares, squares)
                return rate * _quotient(g, mean.sqrt() + rule.epsilon)
        step = self.adam(state, g, squares)
        if rule.name == "lamb":
            if rule.decoupled:
                step = step + rule.decay * table
            step = _trust(table, step) * step
        return rate * step

    def adam(self, state: dict[str, Any], g: torch.Tensor, squares: torch.Tensor) -> torch.Tensor:
        rule, (beta1, beta2) = self.rule, self.rule.betas
        first = self.updated(state, "first", lambda old: beta1 * old + (1.0 - beta1) * g, g)
        second = self.updated(state, "second", lambda old: beta2 * old + (1.0 - beta2) * squares, squares)
        if rule.name == "amsgrad":
            second = self.updated(state, "largest", lambda old: torch.maximum(old, second), squares)
        root = second.sqrt()
        correction1, correction2 = 1.0 - beta1 ** state["step"], (1.0 - beta2 ** state["step"]) ** 0.5
        if rule.uncorrected:
            return _quotient(first * correction2 / correction1, root + rule.epsilon)
        return _quotient(first / correction1, root / correction2 + rule.epsilon)


def _trust(table: torch.Tensor, step: torch.Tensor, coefficient: float = 1.0, epsilon: float = 0.0) -> torch.Tensor:
    """c·‖q‖/(‖step‖ + ε) of every row, 1 where either is zero: [rows, 1]."""
    own, size = (torch.linalg.vector_norm(x, dim=1, keepdim=True) for x in (table, step))
    ratio = _quotient(coefficient * own, size + epsilon)
    return torch.where((own == 0) | (size == 0), torch.ones_like(own), ratio)


def _quotient(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """0 for 0/0: where neither a gradient nor an epsilon ever arrived, nothing moves."""
    empty = denominator == 0
    return torch.where(empty, 0.0, numerator / torch.where(empty, 1.0, denominator))


class TorchFramework:
    """PyTorch, as the harness protocol sees it."""

    name = "torch"

    def versions(self) -> str:
        return f"torch {torch.__version__}"

    def model(self, fault: str | None) -> Model:
        return TorchModel(fault)


FRAMEWORK = TorchFramework()

if __name__ == "__main__":
    protocol.main(FRAMEWORK)
