"""A two-tower model in JAX. The lines that record it end in `# perpend`."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import optax

from perpend_recorder import Recorder  # perpend

random = np.random.default_rng(0)
params = {"item": jnp.asarray(random.normal(size=(20, 8))), "user": jnp.asarray(random.normal(size=(12, 8)))}
optimizer = optax.sgd(0.5)
state = optimizer.init(params)


def loss(params, users, items):
    u, q = params["user"][users], params["item"][items]
    cosines = (u / jnp.linalg.norm(u, axis=1, keepdims=True)) @ (q / jnp.linalg.norm(q, axis=1, keepdims=True)).T
    return -jnp.mean(jnp.diag(jax.nn.log_softmax(cosines / 0.2)))


@jax.jit
def train_step(params, state, users, items):
    value, grads = jax.value_and_grad(loss)(params, users, items)
    updates, state = optimizer.update(grads, state)
    return value, grads, optax.apply_updates(params, updates), state


recorder = Recorder(sys.argv[1], similarity="cosine", temperature=0.2, loss="info-nce", encoder="id")  # perpend
recorder.declare(optimizer={"name": "sgd", "lr": 0.5, "momentum": 0.0})  # perpend
for _ in range(30):
    ids = {"user": random.integers(12, size=16), "item": random.zipf(1.5, size=16) % 20}
    before = params  # perpend
    value, grads, params, state = train_step(params, state, ids["user"], ids["item"])
    towers = {t: {"ids": ids[t], "q": before[t], "q_next": params[t], "grad": grads[t]} for t in params}  # perpend
    recorder.record(loss=value, **towers)  # perpend
recorder.close()  # perpend
