"""Named arrays and string metadata in one safetensors file, written array by array.

The format: eight bytes with the length of a JSON header (little endian), the header, the arrays one after the other.
A file appears under its name only when it is complete, and never in place of another one unless asked for.
"""

from __future__ import annotations

import json
import math
import os
import struct
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

# Element types of the trajectory format and the NumPy type that holds their bits. NumPy has no bfloat16.
ELEMENTS: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
# What the header settings param_dtype and compute_dtype call them.
PRECISIONS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}


@dataclass(frozen=True)
class Array:
    """An array of one of the format's element types; ``bits`` holds bfloat16 as its 16 bits."""

    element: str
    bits: np.ndarray[Any, Any]

    @staticmethod
    def of(values: Any) -> Array:
        """A copy of anything that NumPy understands; Python floats become float64, Python integers int64."""
        found = np.asarray(values)
        if found.dtype.name == "bfloat16":
            return Array("BF16", np.array(found.view(np.uint16), dtype="<u2", order="C"))
        for element, dtype in ELEMENTS.items():
            if element != "BF16" and found.dtype == dtype:
                return Array(element, np.array(found, dtype=dtype, order="C"))
        if found.dtype.kind in "iub" and found.dtype.itemsize <= 4 or found.dtype.kind == "i":
            return Array("I64", np.array(found, dtype="<i8", order="C"))
        raise TypeError(f"array: expected {', '.join(ELEMENTS)} or bfloat16, found {found.dtype}")

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.bits.shape)

    def numbers(self) -> np.ndarray[Any, Any]:
        """The values in a type that NumPy computes with: bfloat16 as the float32 that has the same value."""
        if self.element == "BF16":
            return (self.bits.astype(np.uint32) << 16).view(np.float32)
        return self.bits


@dataclass(frozen=True)
class Entry:
    """What a header says about one array."""

    element: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class Header:
    """The header of a file: what is in it and where."""

    path: Path
    metadata: dict[str, str]
    entries: dict[str, Entry]

    @staticmethod
    def read(path: str | os.PathLike[str]) -> Header:
        """Reads the header alone. Raises ``ValueError`` where the file is none of ours or cut short."""
        path = Path(path)
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0] if size >= 8 else size
            if 8 + length > size:
                raise ValueError(f"{path}: expected a safetensors file, found {size} bytes that are none")
            found = json.loads(file.read(length))
        entries = {}
        for name, entry in found.items():
            if name == "__metadata__":
                continue
            if entry["dtype"] not in ELEMENTS:
                raise ValueError(f"{path}: {name}: expected {', '.join(ELEMENTS)}, found {entry['dtype']}")
            start, end = (8 + length + offset for offset in entry["data_offsets"])
            expected = math.prod(entry["shape"]) * ELEMENTS[entry["dtype"]].itemsize
            if end > size or end - start != expected:
                raise ValueError(f"{path}: {name}: expected {expected} bytes, found {min(end, size) - start}")
            entries[name] = Entry(entry["dtype"], tuple(entry["shape"]), start, end)
        return Header(path, found.get("__metadata__", {}), entries)

    def array(self, name: str) -> Array:
        """Reads one array."""
        entry = self.entries[name]
        with self.path.open("rb") as file:
            file.seek(entry.start)
            data = file.read(entry.end - entry.start)
        return Array(entry.element, np.frombuffer(data, ELEMENTS[entry.element]).reshape(entry.shape))


def read(path: str | os.PathLike[str]) -> tuple[dict[str, str], dict[str, Array]]:
    """Metadata and all arrays of a file."""
    header = Header.read(path)
    return header.metadata, {name: header.array(name) for name in header.entries}


@dataclass(frozen=True)
class Part:
    """An array that is produced piece by piece while the file is written."""

    element: str
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[np.ndarray[Any, Any]]]


def write(
    path: str | os.PathLike[str],
    arrays: Mapping[str, Array | Part],
    metadata: Mapping[str, str],
    *,
    force: bool = False,
    durable: bool = True,
) -> None:
    """Writes a file: all of it, or none. Raises ``FileExistsError`` where it exists and ``force`` is not set."""
    path = Path(path)
    if path.exists() and not force:
        raise FileExistsError(f"{path}: expected no file (or force=True), found one")
    header: dict[str, Any] = {"__metadata__": dict(metadata)}
    place = 0
    # Wide elements first: every array then starts at a multiple of its element's size.
    names = sorted(arrays, key=lambda name: (-ELEMENTS[arrays[name].element].itemsize, name))
    for name in names:
        size = math.prod(arrays[name].shape) * ELEMENTS[arrays[name].element].itemsize
        offsets = [place, place + size]
        header[name] = {"dtype": arrays[name].element, "shape": list(arrays[name].shape), "data_offsets": offsets}
        place += size
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)

    def contents(file: BinaryIO) -> None:
        file.write(struct.pack("<Q", len(text)))
        file.write(text)
        for name in names:
            array = arrays[name]
            before = file.tell()
            for piece in [array.bits] if isinstance(array, Array) else array.pieces():
                file.write(np.ascontiguousarray(piece, ELEMENTS[array.element]).tobytes())
            expected = math.prod(array.shape) * ELEMENTS[array.element].itemsize
            if file.tell() - before != expected:
                raise ValueError(f"{path}: {name}: expected {expected} bytes, found {file.tell() - before}")

    write_whole(path, contents, force=force, durable=durable)


def write_whole(path: Path, contents: Callable[[BinaryIO], object], *, force: bool, durable: bool = True) -> None:
    """Writes to a temporary file in the same folder and gives it its name when it is complete.

    A file that is not ``durable`` survives the death of the process, not that of the machine.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            contents(file)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        # mkstemp makes private files; a result has the rights of any new file.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        if force:
            os.replace(temporary, path)
        else:
            # A link, unlike a rename, fails where a file of that name has appeared meanwhile.
            os.link(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)
