"""JAX on the processor, compiled as a whole: the loss, its gradient and the step.

The first argument says what: `step` trains and audits; the others check a gradient in all parameters, `jacobian` by
comparing reverse with forward mode and `differences` by central differences, batched; `check-grads` is
jax.test_util.check_grads, in random directions.
"""

import sys
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
import workloads
from jax import Array
from jax.flatten_util import ravel_pytree
from jax.test_util import check_grads
from workloads import TEMPERATURE, Program, Workload

VARIANT = sys.argv[1]


def normalise(rows: Array) -> Array:
    return rows / jnp.linalg.norm(rows, axis=-1, keepdims=True)


def loss_of(users: Array, items: Array, targets: Array) -> Array:
    """users `[B, d]`; items `[C, d]`, or `[B, C, d]` where each pair has its own; targets `[B]`."""
    products = "bd,bcd->bc" if items.ndim == 3 else "bd,cd->bc"
    logits = jnp.einsum(products, normalise(users), normalise(items)) / TEMPERATURE
    goals = jnp.take_along_axis(logits, targets[:, None], axis=1)[:, 0]
    return jnp.mean(jax.nn.logsumexp(logits, axis=1) - goals)


@partial(jax.jit, donate_argnums=(0, 1), static_argnames="full")
def step_of(users: Array, items: Array, ids: Array, chosen: Array, targets: Array, rate: Array, *, full: bool):
    looked_up = items if full else items[chosen]
    loss, (by_users, by_items) = jax.value_and_grad(loss_of, argnums=(0, 1))(users[ids], looked_up, targets)
    users = users.at[ids].add(-rate * by_users)
    items = items - rate * by_items if full else items.at[chosen].add(-rate * by_items)
    return users, items, loss


def training(workload: Workload) -> Program:
    tables = [jnp.asarray(table) for table in workloads.tables(workload)]
    full = workload.kind == "full"
    batches = []
    for batch in workloads.batches(workload):
        targets = np.arange(workload.pairs)
        if full:
            targets = batch.positives
        elif batch.candidates is not None:
            targets = np.zeros_like(targets)
        chosen = batch.positives if batch.candidates is None else batch.candidates
        batches.append([jnp.asarray(ids, jnp.int32) for ids in (batch.users, chosen, targets)])

    def step(index: int, rate: float) -> Array:
        *tables[:], loss = step_of(*tables, *batches[index], workload.dtype.type(rate), full=full)
        jax.block_until_ready(tables)
        return loss

    return workloads.training(workload, step)


@jax.jit
def step_quantiles(before: Array, after: Array) -> Array:
    moved = after - before
    length, next_length = jnp.linalg.norm(before, axis=1), jnp.linalg.norm(after, axis=1)
    cosines = jnp.sum(before * moved, axis=1) / (length * jnp.linalg.norm(moved, axis=1))
    ranks = jnp.asarray(workloads.QUANTILES, before.dtype)
    return jnp.quantile(jnp.stack([cosines, next_length / length]), ranks, axis=1).T


def audit(workload: Workload) -> Program:
    embeddings = [jnp.asarray(rows) for rows in workloads.trajectory(workload)]

    def step() -> list[Array]:
        quantiles = [step_quantiles(*pair) for pair in pairwise(embeddings)]
        return jax.block_until_ready(quantiles)

    return Program(lambda: np.asarray(step_quantiles(*embeddings[-2:])).ravel(), step)


def encode(parameters: Sequence[Array], x: Array) -> Array:
    for layer in range(0, len(parameters), 2):
        x = x @ parameters[layer].T + parameters[layer + 1]
        if layer + 2 < len(parameters):
            x = jnp.tanh(x)
    return x


def gradient_check(workload: Workload) -> Program:
    towers = workloads.towers(workload)
    targets = jnp.arange(workload.pairs)
    parameters, unravel = ravel_pytree([tower.parameters for tower in towers])

    def loss(flat: Array) -> Array:
        encoded = [encode(own, tower.inputs) for own, tower in zip(unravel(flat), towers, strict=True)]
        return loss_of(*encoded, targets)

    # Central differences err by h² and by u/h in turn: h = u^(1/3) balances them.
    h = float(np.cbrt(workload.unit_roundoff))

    @jax.jit
    def by_differences(flat: Array) -> tuple[Array, Array]:
        def slope(k: Array) -> Array:
            return (loss(flat.at[k].add(h)) - loss(flat.at[k].add(-h))) / (2 * h)

        # Blocks of a few hundred: all at once would not fit into any cache.
        return jax.grad(loss)(flat), jax.lax.map(slope, jnp.arange(flat.size), batch_size=256)

    by_jacobian = jax.jit(lambda flat: (jax.grad(loss)(flat), jax.jacfwd(loss)(flat)))
    compiled = jax.jit(loss)

    def step() -> None:
        if VARIANT == "check-grads":
            check_grads(compiled, (parameters,), order=1, modes=("rev",))
            return
        gradient, other = (by_jacobian if VARIANT == "jacobian" else by_differences)(parameters)
        np.testing.assert_allclose(other, gradient, rtol=1e-3, atol=1e-5)  # as torch.autograd.gradcheck does

    def values() -> list[float]:
        step()  # compiles it
        return [float(compiled(parameters))]

    return Program(values, step)


def build(workload: Workload) -> Program:
    return {"W4": gradient_check, "W5": audit}.get(workload.kind, training)(workload)


if __name__ == "__main__":
    workloads.serve(build)
