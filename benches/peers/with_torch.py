"""PyTorch, as one would write it, and as fast as one would write it.

The first argument says how: `eager` and `compile` use autograd, the latter on a compiled loss; `sparse` uses embeddings
with sparse gradients and an optimizer; in `handwritten` the gradient is written by hand, and `handwritten-compile`
compiles that; `gradcheck` and `gradcheck-fast` are torch.autograd.gradcheck over all parameters and in random
directions.
"""

import os
import sys
from collections.abc import Callable, Iterable
from itertools import pairwise

import torch
import workloads
from torch import Tensor
from torch.nn import functional
from workloads import TEMPERATURE, Program, Workload

Gradients = tuple[Tensor, Tensor, Tensor]  # loss, and its gradient by the looked-up users and items

VARIANT = sys.argv[1]


def loss_of(users: Tensor, items: Tensor, targets: Tensor) -> Tensor:
    """users `[B, d]`; items `[C, d]`, or `[B, C, d]` where each pair has its own; targets `[B]`."""
    users, items = functional.normalize(users, dim=-1), functional.normalize(items, dim=-1)
    if items.dim() == 3:
        logits = torch.bmm(items, users[:, :, None])[:, :, 0]
    else:
        logits = users @ items.T
    return functional.cross_entropy(logits / TEMPERATURE, targets)


def handwritten(users: Tensor, items: Tensor, targets: Tensor) -> Gradients:
    """The same loss with its gradient; the matrix of logits is turned into its weights in place."""
    peak, weight = 1 / TEMPERATURE, 1 / (users.shape[0] * TEMPERATURE)
    user_lengths, item_lengths = users.norm(dim=-1, keepdim=True), items.norm(dim=-1, keepdim=True)
    users, items = users / user_lengths, items / item_lengths
    # A cosine is at most 1, so 1/τ serves as the shift of every row's softmax.
    if items.dim() == 3:
        cosines = torch.bmm(items, users[:, :, None])[:, :, 0]
        weights = (cosines * peak - peak).exp_()
        sums = weights.sum(1, keepdim=True)
        loss = (sums[:, 0].log() + peak - cosines[:, 0] * peak).mean()
        weights *= weight / sums
        weights[:, 0] -= weight
        by_users = torch.bmm(weights[:, None, :], items)[:, 0]
        # What is left of a candidate's gradient p·û beside its own direction v̂ is p·(û − cos·v̂).
        scaled = weights[:, :, None] / item_lengths
        by_items = scaled * users[:, None, :] - (scaled * cosines[:, :, None]) * items
    else:
        weights = (users * peak) @ items.T
        goals = weights.gather(1, targets[:, None])[:, 0]
        weights = weights.sub_(peak).exp_()
        sums = weights.sum(1, keepdim=True)
        loss = (sums[:, 0].log() + peak - goals).mean()
        by_users = torch.addcmul(items[targets] * -weight, weights @ items, weight / sums)
        by_items = weights.T @ (users * (weight / sums))
        by_items = by_items.index_add(0, targets, users, alpha=-weight)
        by_items = (by_items - items * (by_items * items).sum(-1, keepdim=True)) / item_lengths
    by_users = (by_users - users * (by_users * users).sum(-1, keepdim=True)) / user_lengths
    return loss, by_users, by_items


def by_autograd(loss: Callable[..., Tensor]) -> Callable[..., Gradients]:
    def gradients(users: Tensor, items: Tensor, targets: Tensor) -> Gradients:
        users, items = users.detach().requires_grad_(), items.detach().requires_grad_()
        value = loss(users, items, targets)
        value.backward()
        return value.detach(), users.grad, items.grad

    return gradients


def pool(workload: Workload) -> list[tuple[Tensor, Tensor | None, Tensor]]:
    """Of each batch the users, the rows of its items (None for all of them), and which of those are the targets."""
    batches = []
    for users, positives, own in workloads.batches(workload):
        targets = torch.arange(workload.pairs)
        chosen: Tensor | None = torch.from_numpy(positives)
        if workload.kind == "full":
            chosen, targets = None, torch.from_numpy(positives)
        elif own is not None:
            chosen, targets = torch.from_numpy(own), torch.zeros_like(targets)
        batches.append((torch.from_numpy(users), chosen, targets))
    return batches


def training(workload: Workload) -> Program:
    user_table, item_table = map(torch.from_numpy, workloads.tables(workload))
    batches = pool(workload)
    gradients = {
        "eager": lambda: by_autograd(loss_of),
        "compile": lambda: by_autograd(torch.compile(loss_of, dynamic=False)),
        "handwritten": lambda: handwritten,
        "handwritten-compile": lambda: torch.compile(handwritten, dynamic=False),
    }[VARIANT]()

    @torch.no_grad()
    def step(index: int, rate: float) -> Tensor:
        users, chosen, targets = batches[index]
        items = item_table if chosen is None else functional.embedding(chosen, item_table)
        with torch.set_grad_enabled(not VARIANT.startswith("handwritten")):
            loss, by_users, by_items = gradients(functional.embedding(users, user_table), items, targets)
        user_table.index_add_(0, users, by_users, alpha=-rate)
        if chosen is None:
            item_table.sub_(by_items, alpha=rate)
        else:
            item_table.index_add_(0, chosen.flatten(), by_items.flatten(0, -2), alpha=-rate)
        return loss

    return workloads.training(workload, step)


def training_sparse(workload: Workload) -> Program:
    users, items = (
        torch.nn.Embedding.from_pretrained(torch.from_numpy(table), freeze=False, sparse=True)
        for table in workloads.tables(workload)
    )
    optimizer = torch.optim.SGD([users.weight, items.weight], lr=workloads.RATE)
    batches = pool(workload)

    def step(index: int, rate: float) -> Tensor:
        ids, chosen, targets = batches[index]
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(users(ids), items.weight if chosen is None else items(chosen), targets)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return workloads.training(workload, step)


def step_statistics(before: Tensor, after: Tensor) -> tuple[Tensor, Tensor]:
    moved = after - before
    length, next_length = before.norm(dim=1), after.norm(dim=1)
    return (before * moved).sum(1) / (length * moved.norm(dim=1)), next_length / length


@torch.no_grad()
def quantiles(embeddings: Tensor, statistics: Callable[..., Iterable[Tensor]]) -> list[Tensor]:
    ranks = torch.tensor(workloads.QUANTILES, dtype=embeddings.dtype)
    return [torch.quantile(values, ranks) for pair in pairwise(embeddings) for values in statistics(*pair)]


def audit(workload: Workload) -> Program:
    embeddings = torch.from_numpy(workloads.trajectory(workload))
    statistics = torch.compile(step_statistics, dynamic=False) if VARIANT == "compile" else step_statistics
    return Program(
        lambda: torch.cat(quantiles(embeddings[-2:], statistics)).tolist(),
        lambda: quantiles(embeddings, statistics),
    )


def encode(parameters: list[Tensor], x: Tensor) -> Tensor:
    for layer in range(0, len(parameters), 2):
        x = functional.linear(x, parameters[layer], parameters[layer + 1])
        if layer + 2 < len(parameters):
            x = torch.tanh(x)
    return x


def gradient_check(workload: Workload) -> Program:
    torch.set_num_threads(1)  # products of a few rows: more threads only wait for each other
    towers = workloads.towers(workload)
    inputs = [torch.from_numpy(tower.inputs) for tower in towers]
    parameters = [torch.from_numpy(array).requires_grad_() for tower in towers for array in tower.parameters]
    targets = torch.arange(workload.pairs)
    half = len(parameters) // 2

    def loss(*both: Tensor) -> Tensor:
        return loss_of(encode(both[:half], inputs[0]), encode(both[half:], inputs[1]), targets)

    fast = VARIANT == "gradcheck-fast"
    return Program(
        lambda: [loss(*parameters).item()],
        lambda: torch.autograd.gradcheck(loss, parameters, fast_mode=fast),
    )


def build(workload: Workload) -> Program:
    if workload.kind == "W4":
        return gradient_check(workload)
    if workload.kind == "W5":
        return audit(workload)
    torch.compiler.reset()  # shapes that were compiled before
    return training_sparse(workload) if VARIANT == "sparse" else training(workload)


if __name__ == "__main__":
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    workloads.serve(build)
