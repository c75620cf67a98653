"""The PyTorch harness: gradients by torch.autograd, steps by torch.optim.

Where torch.optim has an optimizer with perpend's formula, that one is used; the others are :class:`WrittenRule`, an
optimizer of our own (the README has the table). A lazy tower has one parameter a row: torch.optim passes over a
parameter whose gradient is None, and its state waits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from perpend_harness import faults, protocol
from perpend_harness.scenario import Encoder, Loss, Numbers, Optimizer, Rows
from perpend_harness.training import Model, Stepper, Touched


def tensor(values: Any) -> torch.Tensor:
    """A copy, so that nothing here changes what the caller recorded."""
    return torch.from_numpy(np.array(values))


class TorchModel:
    """The mathematics in PyTorch."""

    def __init__(self, fault: str | None) -> None:
        self.fault = fault

    def normalise(self, q: torch.Tensor, epsilon: float) -> torch.Tensor:
        """q/max(‖q‖, ε), differentiable also where the clamp is active and q is zero. q: [n, d]."""
        squares = torch.sum(q * q, dim=0 if self.fault == "wrong-axis" else 1, keepdim=True)
        clamped = squares.sqrt() < epsilon
        norm = torch.sqrt(torch.where(clamped, torch.ones_like(squares), squares))
        if self.fault == "epsilon":
            norm = norm + faults.SIZE
        if self.fault == "detached-norm":
            norm = norm.detach()
        return q / torch.where(clamped, torch.full_like(norm, epsilon), norm)

    def loss(self, loss: Loss, users: Numbers, items: Numbers, own: int) -> tuple[float, Numbers, Numbers]:
        at_users, at_items = tensor(users).requires_grad_(), tensor(items).requires_grad_()
        u, q = at_users, at_items
        if loss.similarity == "cosine":
            u, q = self.normalise(u, loss.epsilon), self.normalise(q, loss.epsilon)
        pairs, dim = u.shape
        if own:
            candidates = torch.cat([q[:pairs, None], q[pairs:].reshape(pairs, own, dim)], dim=1)
            logits = torch.einsum("bd,bjd->bj", u, candidates)
            target = torch.zeros(pairs, dtype=torch.int64)
        else:
            logits = u @ q.T
            target = torch.arange(pairs)
        value = torch.nn.functional.cross_entropy(logits / loss.temperature, target)
        value.backward()  # type: ignore[no-untyped-call]
        assert at_users.grad is not None and at_items.grad is not None
        return float(value), at_users.grad.numpy(), at_items.grad.numpy()

    def encode(self, encoder: Encoder, tables: list[torch.Tensor], constants: torch.Tensor, dim: int) -> torch.Tensor:
        """All embeddings of a tower: [N, d]."""
        x = constants[:, : encoder.features]
        rows = len(x)
        if encoder.kind == "table":
            return tables[0]
        if encoder.kind == "shared-linear":
            return x @ tables[0].T
        if encoder.kind == "affine":
            q = torch.einsum("ndf,nf->nd", tables[0].reshape(rows, dim, encoder.features), x)
            if encoder.bias == "trained":
                q = q + tables[1]
            return q + constants[:, encoder.features :] if encoder.bias == "frozen" else q
        if encoder.kind == "two-layer":
            (hidden,) = encoder.hidden
            inner = torch.einsum("nhf,nf->nh", tables[0].reshape(rows, hidden, encoder.features), x)
            return torch.einsum("ndh,nh->nd", tables[1].reshape(rows, dim, hidden), torch.relu(inner))
        for place, layer in enumerate(tables):
            into = torch.relu(x) if place else x
            x = into @ layer[:, : into.shape[1]].T
            if encoder.bias == "trained":
                x = x + layer[:, -1]
        return x

    def embeddings(self, encoder: Encoder, tables: list[Numbers], constants: Numbers, dim: int) -> Numbers:
        with torch.no_grad():
            return self.encode(encoder, [tensor(table) for table in tables], tensor(constants), dim).numpy()

    def pull_back(
        self, encoder: Encoder, tables: list[Numbers], constants: Numbers, slots: Rows, upstream: Numbers
    ) -> tuple[Numbers, list[Numbers]]:
        leaves = [tensor(table).requires_grad_() for table in tables]
        # For a table the embeddings are the leaf; a gradient at both needs two tensors.
        q = self.encode(encoder, leaves, tensor(constants), upstream.shape[1]).clone()
        q.retain_grad()
        q[tensor(slots)].backward(tensor(upstream))  # type: ignore[no-untyped-call]
        gradients = [leaf.grad if leaf.grad is not None else torch.zeros_like(leaf) for leaf in leaves]
        assert q.grad is not None
        return q.grad.numpy(), [gradient.numpy() for gradient in gradients]

    def stepper(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> Stepper:
        return TorchStepper(optimizer, rows, width, dtype)


class TorchStepper:
    """A torch.optim optimizer at work on one table."""

    def __init__(self, optimizer: Optimizer, rows: int, width: int, dtype: np.dtype[Any]) -> None:
        self.optimizer = optimizer
        self.make, own_decay, per_row = chosen(optimizer)
        self.coupled = optimizer.decay if not optimizer.decoupled and not own_decay else 0.0
        self.decoupled = optimizer.decay if optimizer.decoupled and not own_decay else 0.0
        zeros = torch.from_numpy(np.zeros((rows, width), dtype))
        self.parameters = [torch.nn.Parameter(part) for part in (zeros.split(1) if per_row else [zeros])]
        self.torch = self.make(self.parameters)

    def step(self, time: int, rate: float, table: Numbers, gradient: Numbers, touched: Touched) -> Numbers:
        values, gradients, present = tensor(table), tensor(gradient), torch.from_numpy(touched)
        if not self.optimizer.lazy:
            present = torch.ones_like(present)
        visited = present[:, None]
        if self.coupled:
            gradients = torch.where(visited, gradients + self.coupled * values, gradients)
        if self.decoupled:
            values = torch.where(visited, values * (1.0 - rate * self.decoupled), values)
        for group in self.torch.param_groups:
            group["lr"] = rate
        one = len(self.parameters) == 1
        with torch.no_grad():
            for place, parameter in enumerate(self.parameters):
                part = slice(None) if one else slice(place, place + 1)
                parameter.copy_(values[part])
                parameter.grad = gradients[part] if one or bool(present[place]) else None
        if isinstance(self.torch, torch.optim.SparseAdam):
            rows = torch.nonzero(present).T
            shape = tuple(values.shape)
            self.parameters[0].grad = torch.sparse_coo_tensor(rows, gradients[rows[0]], shape).coalesce()
        if isinstance(self.torch, WrittenRule):
            self.torch.visited = visited
        self.torch.step()
        return torch.cat([parameter.detach() for parameter in self.parameters]).numpy().copy()


Make = Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]


def chosen(optimizer: Optimizer) -> tuple[Make, bool, bool]:
    """The optimizer, whether it does the decay itself, and whether each row is a parameter of its own."""
    kind, lazy, epsilon = optimizer.kind, optimizer.lazy, optimizer.epsilon
    coupled = 0.0 if optimizer.decoupled else optimizer.decay
    if kind in ("sgd", "heavy-ball", "nesterov"):
        momentum = optimizer.momentum
        nesterov = kind == "nesterov" and momentum > 0.0
        dampening = optimizer.dampening if momentum else 0.0

        def sgd(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
            return torch.optim.SGD(parameters, 0.0, momentum, dampening, coupled, nesterov)

        return sgd, not optimizer.decoupled, lazy
    if kind == "adagrad" and epsilon > 0.0:

        def adagrad(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
            return torch.optim.Adagrad(parameters, 0.0, weight_decay=coupled, eps=epsilon)

        return adagrad, not optimizer.decoupled, lazy
    if kind == "adam" and epsilon > 0.0 and not optimizer.uncorrected and not lazy:
        method = torch.optim.AdamW if optimizer.decoupled else torch.optim.Adam

        def adam(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
            return method(parameters, 0.0, optimizer.betas, epsilon, weight_decay=optimizer.decay)

        return adam, True, False
    if kind == "adam" and epsilon > 0.0 and optimizer.uncorrected and lazy:

        def sparse_adam(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
            # It refuses a rate of 0 until it is made.
            return torch.optim.SparseAdam(parameters, 1.0, optimizer.betas, epsilon)

        return sparse_adam, False, False

    def written(parameters: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
        return WrittenRule(parameters, optimizer)

    return written, False, False


class WrittenRule(torch.optim.Optimizer):
    """What torch.optim has not: row-wise AdaGrad, lazy Adam with a corrected epsilon, dense Adam with an uncorrected
    one, and a step of 0 where 0 is divided by 0."""

    def __init__(self, parameters: list[torch.nn.Parameter], optimizer: Optimizer) -> None:
        super().__init__(parameters, {"lr": 0.0})
        self.rule = optimizer
        self.visited = torch.zeros(0, dtype=torch.bool)
        """[rows, 1]: where the step reaches."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        (group,) = self.param_groups
        (table,) = group["params"]
        direction = self.direction(self.state[table], table, table.grad)
        table.copy_(torch.where(self.visited, table - group["lr"] * direction, table))

    def direction(self, state: dict[str, Any], table: torch.Tensor, g: torch.Tensor) -> torch.Tensor:
        rule = self.rule

        def updated(name: str, new: Callable[[torch.Tensor], torch.Tensor], like: torch.Tensor) -> torch.Tensor:
            old = state.get(name, torch.zeros_like(like))
            state[name] = torch.where(self.visited, new(old), old)
            return state[name]

        if rule.kind in ("adagrad", "rowwise-adagrad"):
            squares = g * g
            if rule.kind == "rowwise-adagrad":
                squares = squares.mean(dim=1, keepdim=True)
            return _quotient(g, updated("sum", lambda old: old + squares, squares).sqrt() + rule.epsilon)
        beta1, beta2 = rule.betas
        state["step"] = state.get("step", 0) + 1
        first = updated("first", lambda old: beta1 * old + (1.0 - beta1) * g, g)
        root = updated("second", lambda old: beta2 * old + (1.0 - beta2) * (g * g), g).sqrt()
        correction1, correction2 = 1.0 - beta1 ** state["step"], (1.0 - beta2 ** state["step"]) ** 0.5
        if rule.uncorrected:
            return _quotient(first * correction2 / correction1, root + rule.epsilon)
        return _quotient(first / correction1, root / correction2 + rule.epsilon)


def _quotient(numerator: torch.Tensor, denominator: torch.Tensor) -> torch.Tensor:
    """0 for 0/0: where neither a gradient nor an epsilon ever arrived, nothing moves."""
    empty = denominator == 0
    return torch.where(empty, torch.zeros_like(numerator), numerator / torch.where(empty, 1.0, denominator))


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
