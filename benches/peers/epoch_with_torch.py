#!/usr/bin/env python3
"""One epoch of full softmax over all items on cosines in PyTorch, beside `perpend train --trainer kernel --full-softmax`.

    epoch_with_torch.py FILE [--dim 64] [--batch 4096] [--threads 2] [--steps N]

FILE has a user and the items of that user on each line, as LightGCN publishes Gowalla; it may be compressed (`.gz`). Lookup, loss and
step are written as anybody writes them (nn.Embedding, normalize, cross_entropy, optim.SGD), with the preset's temperature
and rate; batches are shuffled, and the incomplete last one is left out, as perpend does. Prints seconds and the mean loss.
"""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path

import torch
from torch.nn import functional


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, help="no more steps than these")
    parser.add_argument("--temperature", type=float, default=0.1)
    parser.add_argument("--lr", type=float, default=0.1)
    options = parser.parse_args()

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    opened = gzip.open if options.file.suffix == ".gz" else open
    with opened(options.file, "rt") as file:
        lines = [list(map(int, line.split())) for line in file]
    pairs = torch.tensor([(user, item) for user, *items in lines for item in items])
    users, items = (torch.nn.Embedding(int(pairs[:, side].max()) + 1, options.dim) for side in (0, 1))
    optimizer = torch.optim.SGD([*users.parameters(), *items.parameters()], lr=options.lr)
    batches = pairs[torch.randperm(len(pairs))].split(options.batch)[: len(pairs) // options.batch]
    total, start = 0.0, time.perf_counter()
    for batch in batches[: options.steps]:
        rows = functional.normalize(users(batch[:, 0]))
        loss = functional.cross_entropy(rows @ functional.normalize(items.weight).T / options.temperature, batch[:, 1])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item()
    steps = len(batches[: options.steps])
    seconds = time.perf_counter() - start
    print(f"{steps} of {len(batches)} steps in {seconds:.1f} s, mean loss {total / steps:.4f}")


if __name__ == "__main__":
    main()
