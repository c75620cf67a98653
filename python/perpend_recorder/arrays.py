"""From the arrays of any framework to NumPy, without importing a framework."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_recorder.container import Array

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class RowGradients:
    """A sparse gradient: ``values[k]`` belongs to row ``ids[k]``; a row may come several times. [n], [n, d]."""

    ids: Any
    values: Any


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]


def _view(value: Any) -> NDArray[Any]:
    """The values as NumPy sees them: the same memory where the framework allows, bfloat16 as its 16 bits."""
    if _package(value) == "torch" or hasattr(value, "untyped_storage"):
        value = value.detach().cpu()
        if str(value.dtype) == "torch.bfloat16":
            import torch

            return np.asarray(value.contiguous().view(torch.int16).numpy().view(np.uint16))
        return np.asarray(value.numpy())
    if _package(value) in ("tensorflow", "keras") and hasattr(value, "numpy"):
        value = value.numpy()
    return np.asarray(value)


def array(value: Any) -> Array:
    """A copy of a dense array of any framework, in one of the element types of the format."""
    if isinstance(value, Array):
        return value
    found = _view(value)
    is_bfloat16 = str(getattr(value, "dtype", "")).endswith("bfloat16")
    if is_bfloat16 and found.dtype == np.uint16:
        return Array("BF16", np.array(found, "<u2", order="C"))
    return Array.of(found)


def ids(value: Any) -> Ids:
    """A flat copy of ids."""
    found = _view(value)
    if found.dtype.kind not in "iu":
        raise TypeError(f"ids: expected integers, found {found.dtype}")
    return np.array(found, np.int64).reshape(-1)


def rows(value: Any, wanted: Ids | None) -> Any:
    """The wanted rows of a table, selected where the table lives, so that the rest is never copied."""
    if wanted is None:
        return value
    if _package(value) == "torch" or hasattr(value, "untyped_storage"):
        import torch

        return value.detach()[torch.from_numpy(wanted).to(value.device)]
    if _package(value) == "tensorflow":
        import tensorflow

        return tensorflow.gather(value, wanted)
    return value[wanted]


def gradient(value: Any, table_rows: int, dim: int, wanted: Ids | None) -> Array:
    """A dense or sparse gradient of a table as a dense one of the wanted rows: [N, d].

    Understands :class:`RowGradients`, PyTorch's sparse tensors and TensorFlow's ``IndexedSlices``. The gradients of a
    row that comes several times are summed, in double precision, and kept in the wider of their own type and float32.
    """
    if getattr(value, "is_sparse", False):
        value = value.detach().coalesce()
        value = RowGradients(value.indices()[0], value.values())
    elif type(value).__name__ == "IndexedSlices":
        value = RowGradients(value.indices, value.values)
    if not isinstance(value, RowGradients):
        return array(rows(value, wanted))
    found, values = ids(value.ids), array(value.values)
    if values.shape != (len(found), dim):
        raise ValueError(f"sparse gradient: expected shape [{len(found)}, {dim}], found {list(values.shape)}")
    place = np.arange(table_rows) if wanted is None else np.full(max(wanted.max(), found.max(initial=0)) + 1, -1)
    if wanted is not None:
        place[wanted] = np.arange(len(wanted))
    recorded = place[found] >= 0
    summed = np.zeros((table_rows if wanted is None else len(wanted), dim))
    np.add.at(summed, place[found][recorded], values.numbers()[recorded].astype(np.float64))
    narrow = values.element in ("BF16", "F16", "F32")
    return Array.of(summed.astype(np.float32) if narrow else summed)


def shares_memory(one: Any, other: Any) -> bool:
    """Whether two mutable arrays are views of the same memory. Arrays that cannot change never are."""
    if one is other and _package(one) not in ("jax", "jaxlib"):
        return True
    if hasattr(one, "untyped_storage") and hasattr(other, "untyped_storage"):
        return bool(one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr())
    return isinstance(one, np.ndarray) and isinstance(other, np.ndarray) and bool(np.shares_memory(one, other))
