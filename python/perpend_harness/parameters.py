"""The parameters of a tower in the shapes in which they act.

A table of the protocol keeps a row's parameters side by side: a weight matrix row after row, a bias in a last column.
Encoders see them as matrices and vectors (*parts*), beside what is fixed (*inputs*).
"""

from __future__ import annotations

import numpy as np

from perpend_harness.scenario import Encoder, Numbers

_LAYERED = ("mlp", "residual")


def parts(encoder: Encoder, tables: list[Numbers]) -> list[Numbers]:
    """Weights of rows as [rows, out, in]; the bias of a layer apart from its weight; no axis of length 1 by design."""
    kind, rows, dim = encoder.kind, encoder.rows, encoder.dim
    if kind.name == "affine":
        return [tables[0].reshape(rows, dim, kind["features"]), *tables[1:]]
    if kind.name == "two-layer":
        hidden = kind["hidden"]
        return [tables[0].reshape(rows, hidden, kind["features"]), tables[1].reshape(rows, dim, hidden)]
    if kind.name == "gain-vector":
        return [tables[0][:, 0], tables[1]]
    if kind.name == "weight-norm" and kind["trained"]:
        return [tables[0], tables[1][:, 0]]
    if kind.name == "layer-norm":
        return [tables[0], *(table[0] for table in tables[1:])]
    if kind.name in _LAYERED and kind["bias"]:
        first = 1 if kind.name == "residual" else 0
        return [*tables[:first], *(part for table in tables[first:] for part in (table[:, :-1], table[:, -1]))]
    return tables


def tables(encoder: Encoder, found: list[Numbers]) -> list[Numbers]:
    """The way back from :func:`parts`."""
    kind = encoder.kind
    if kind.name in _LAYERED and kind["bias"]:
        first = 1 if kind.name == "residual" else 0
        pairs = zip(found[first::2], found[first + 1 :: 2], strict=True)
        found = [*found[:first], *(np.column_stack(pair) for pair in pairs)]
    return [part.reshape(block.rows, block.width) for part, block in zip(found, encoder.blocks(), strict=True)]


def inputs(encoder: Encoder, constants: Numbers, shared: Numbers) -> dict[str, Numbers]:
    """What is fixed, by name; rows of tables as integers."""
    kind, dim = encoder.kind, encoder.dim
    found: dict[str, Numbers] = {}
    if features := int(kind.get("features", 0)):
        found["x"] = constants[:, :features]
    match kind.name:
        case "affine" if kind["bias"] == "frozen":
            found["bias"] = constants[:, features:]
        case "weight-norm" if not kind["trained"]:
            found["length"] = constants[:, 0]
        case "projection":
            found["map"] = shared.reshape(dim, kind["inner"])
        case "dropout":
            found["mask"] = constants
        case "layer-norm":
            found["columns"] = np.ones(dim, constants.dtype)
        case "hash":
            found["rows"] = constants[:, : kind["hashes"]].astype(np.int64)
            if kind["weights"] != "trained":
                weights = constants[:, kind["hashes"] :]
                found["weights"] = weights if kind["weights"] == "fixed" else np.ones_like(constants)
        case "adapter":
            width = features if kind["base"] == "map" else 0
            if width:
                found["map"] = shared[: dim * width].reshape(dim, width)
            else:
                found["base"] = constants[:, features:]
            if not kind["outer_trained"]:
                found["outer"] = shared[dim * width :].reshape(dim, kind["rank"])
        case "history-mean":
            found["rows"] = np.maximum(constants, 0).astype(np.int64)
            found["present"] = (constants >= 0).astype(constants.dtype)
        case "graph":
            found["neighbours"] = constants
    return found
