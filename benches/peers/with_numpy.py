"""NumPy, with the gradient written by hand."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import workloads
from numpy.typing import NDArray
from workloads import TEMPERATURE, Program, Workload


def normalise(rows: NDArray) -> tuple[NDArray, NDArray]:
    lengths = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / lengths, lengths


def through_normalisation(gradient: NDArray, directions: NDArray, lengths: NDArray) -> NDArray:
    """From the gradient by the directions to that by the rows."""
    return (gradient - directions * (gradient * directions).sum(-1, keepdims=True)) / lengths


def subtract(table: NDArray, ids: NDArray, moves: NDArray) -> None:
    """table[ids] -= moves, where rows may occur more than once: sorted, so that each row is moved once."""
    order = np.argsort(ids, kind="stable")
    ordered = ids[order]
    first = np.flatnonzero(np.diff(ordered, prepend=-1))
    table[ordered[first]] -= np.add.reduceat(moves[order], first, axis=0)


def training(workload: Workload) -> Program:
    user_table, item_table = workloads.tables(workload)
    batches = workloads.batches(workload)
    # Python's numbers keep the precision of the arrays that they meet.
    peak, weight = 1 / TEMPERATURE, 1 / (workload.pairs * TEMPERATURE)
    pairs = np.arange(workload.pairs)

    def same_candidates(index: int, rate: float) -> float:
        batch = batches[index]
        users, user_lengths = normalise(user_table[batch.users])
        targets = pairs if workload.kind != "full" else batch.positives
        items, item_lengths = normalise(item_table[batch.positives] if workload.kind != "full" else item_table)
        # A cosine is at most 1, so 1/τ serves as the shift of every row's softmax.
        weights = (users * peak) @ items.T
        goals = weights[pairs, targets]
        np.exp(np.subtract(weights, peak, out=weights), out=weights)
        sums = weights.sum(1, keepdims=True)
        loss = float(np.mean(np.log(sums[:, 0]) + peak - goals))
        user_gradient = (weights @ items) * (weight / sums) - weight * items[targets]
        item_gradient = weights.T @ (users * (weight / sums))
        if workload.kind == "full":
            subtract(item_gradient, targets, weight * users)
        else:
            item_gradient -= weight * users
        subtract(user_table, batch.users, rate * through_normalisation(user_gradient, users, user_lengths))
        item_moves = rate * through_normalisation(item_gradient, items, item_lengths)
        if workload.kind == "full":
            np.subtract(item_table, item_moves, out=item_table)
        else:
            subtract(item_table, batch.positives, item_moves)
        return loss

    def own_candidates(index: int, rate: float) -> float:
        batch = batches[index]
        users, user_lengths = normalise(user_table[batch.users])
        items, item_lengths = normalise(item_table[batch.candidates])
        logits = (items @ users[:, :, None])[:, :, 0] * peak
        weights = np.exp(logits - peak)
        sums = weights.sum(1, keepdims=True)
        loss = float(np.mean(np.log(sums[:, 0]) + peak - logits[:, 0]))
        weights *= weight / sums
        weights[:, 0] -= weight
        user_gradient = (weights[:, None, :] @ items)[:, 0]
        # What is left of a candidate's gradient p·û beside its own direction v̂ is p·(û − cos·v̂).
        item_gradient = weights[:, :, None] * (users[:, None, :] - (logits / peak)[:, :, None] * items) / item_lengths
        subtract(user_table, batch.users, rate * through_normalisation(user_gradient, users, user_lengths))
        subtract(item_table, batch.candidates.ravel(), rate * item_gradient.reshape(-1, workload.dim))
        return loss

    return workloads.training(workload, own_candidates if workload.kind == "W2" else same_candidates)


def audit(workload: Workload) -> Program:
    embeddings = workloads.trajectory(workload)

    def step() -> list[NDArray]:
        quantiles = []
        lengths = np.sqrt(np.einsum("ij,ij->i", embeddings[0], embeddings[0]))
        for before, after in pairwise(embeddings):
            moved = after - before
            next_lengths = np.sqrt(np.einsum("ij,ij->i", after, after))
            sizes = np.sqrt(np.einsum("ij,ij->i", moved, moved))
            cosines = np.einsum("ij,ij->i", before, moved) / (lengths * sizes)
            for values in (cosines, next_lengths / lengths):
                quantiles.append(np.quantile(values, workloads.QUANTILES))
            lengths = next_lengths
        return quantiles

    return Program(lambda: np.concatenate(step()[-2:]), step)


def build(workload: Workload) -> Program:
    programs: dict[str, Callable[[Workload], Program]] = {"W5": audit}
    return programs.get(workload.kind, training)(workload)


if __name__ == "__main__":
    workloads.serve(build)
