"""A two-tower model in NumPy, with gradients written by hand. The lines that record it end in `# perpend`."""

import sys

import numpy as np

from perpend_recorder import Recorder, RowGradients  # perpend

random = np.random.default_rng(0)
items, users = random.normal(size=(20, 8)), random.normal(size=(12, 8))
rate, temperature = 0.5, 0.2
recorder = Recorder(sys.argv[1], similarity="cosine", temperature=temperature, loss="info-nce")  # perpend
for name, table in (("item", items), ("user", users)):  # perpend
    recorder.watch(name, lambda table=table: table, optimizer={"name": "sgd", "lr": rate}, encoder="id")  # perpend


def direction(rows):
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / norms, norms


for _ in range(30):
    pairs = random.integers(12, size=16), random.zipf(1.5, size=16) % 20
    with recorder.step(user=pairs[0], item=pairs[1]) as step:  # perpend
        u, user_norms = direction(users[pairs[0]])
        q, item_norms = direction(items[pairs[1]])
        weights = np.exp(u @ q.T / temperature)
        weights /= weights.sum(axis=1, keepdims=True)
        step.loss = -np.mean(np.log(np.diag(weights)))  # perpend
        residual = (weights - np.eye(16)) / 16 / temperature
        gradients = {}
        for name, ids, mine, norms, upstream in (
            ("user", pairs[0], u, user_norms, residual @ q),
            ("item", pairs[1], q, item_norms, residual.T @ u),
        ):
            gradients[name] = (upstream - np.sum(upstream * mine, axis=1, keepdims=True) * mine) / norms
            step.gradient(name, RowGradients(ids, gradients[name]))  # perpend
        np.subtract.at(users, pairs[0], rate * gradients["user"])
        np.subtract.at(items, pairs[1], rate * gradients["item"])
recorder.close()  # perpend
