"""A trajectory as a folder of per-step files, and the way from there to one file.

``header.json`` holds ``{"perpend": "1", "metadata": {...}, "row_ids": {"item": [...]}}``;
``step-000000.safetensors``, ``step-000001.safetensors``, … hold the arrays of one step each, under the names of the
trajectory format and without its leading step axis. Every file is complete or absent, so that whatever ends the process
leaves a readable folder.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from perpend_recorder.container import ELEMENTS, Array, Header, Part, write, write_whole

HEADER = "header.json"
# Lists whose length differs from step to step, and what fills them up to the longest.
_PADDED = {"ids": -1, "users": -1, "positives": -1, "negatives": -1, "grad_out": 0}
# Records of the sparse form: as many in a step as rows moved or were looked up.
_RECORDS = ("row_id", "row_q", "row_q_next", "row_grad")


def step_file(folder: Path, index: int) -> Path:
    """Where the arrays of a step are."""
    return folder / f"step-{index:06}.safetensors"


def write_header(folder: Path, metadata: Mapping[str, str], row_ids: Mapping[str, list[int]]) -> None:
    """Writes or replaces ``header.json``."""
    text = json.dumps({"perpend": "1", "metadata": dict(metadata), "row_ids": dict(row_ids)}, indent=1)
    write_whole(folder / HEADER, lambda file: file.write(text.encode()), force=True, durable=False)


def read_header(folder: Path) -> tuple[dict[str, str], dict[str, list[int]]]:
    """The metadata and the recorded rows of each tower."""
    path = folder / HEADER
    if not path.exists():
        raise FileNotFoundError(f"{path}: expected the header of a folder of steps, found none")
    found = json.loads(path.read_text())
    if found.get("perpend") != "1":
        raise ValueError(f'{path}: perpend: expected format version "1", found {found.get("perpend")!r}')
    return found["metadata"], found["row_ids"]


def headers(folder: Path) -> list[Header]:
    """The headers of all steps, in order. Raises ``ValueError`` where one between the others is missing."""
    # Beyond a million steps the names are longer.
    found = sorted(folder.glob("step-*.safetensors"), key=lambda path: (len(path.name), path.name))
    for index, path in enumerate(found):
        if path != step_file(folder, index):
            raise ValueError(f"{folder}: expected {step_file(folder, index).name}, found {path.name}")
    return [Header.read(path) for path in found]


def join(folder: str | os.PathLike[str], target: str | os.PathLike[str], *, force: bool = False) -> int:
    """Puts the steps of a folder together in one trajectory file, and returns how many there are.

    Reads one array of one step at a time. The folder stays as it is. Raises ``ValueError`` where there is no step or
    the steps do not fit together, ``FileExistsError`` where the target exists and ``force`` is not set.
    """
    folder, target = Path(folder), Path(target)
    metadata, row_ids = read_header(folder)
    steps = headers(folder)
    if not steps:
        raise ValueError(f"{folder}: expected at least one step, found none")
    arrays: dict[str, Array | Part] = {}
    for name in sorted({name for step in steps for name in step.entries}):
        arrays[name] = _joined(name, steps)
        prefix, _, base = name.rpartition("/")
        if base == "row_id":
            counts = [step.entries[name].shape[0] for step in steps]
            place = np.repeat(np.arange(len(steps)), counts)
            arrays[f"{prefix}/row_step" if prefix else "row_step"] = Array.of(place.astype(np.int64))
    for tower, rows in row_ids.items():
        arrays[f"{tower}/row_ids"] = Array.of(np.array(rows, np.int64))
    numbers = arrays.get("step")
    if isinstance(numbers, Part) and [int(x[0]) for x in numbers.pieces()] == list(range(len(steps))):
        del arrays["step"]
    write(target, arrays, {"perpend": "1", **metadata}, force=force)
    return len(steps)


def _joined(name: str, steps: list[Header]) -> Part:
    base = name.rpartition("/")[2]
    for step in steps:
        if name not in step.entries:
            raise ValueError(f"{step.path}: {name}: expected an array, as in other steps, found none")
    first = steps[0].entries[name]
    for step in steps:
        entry = step.entries[name]
        fits = len(entry.shape) == len(first.shape) and (
            base in _PADDED or entry.shape == first.shape or (base in _RECORDS and entry.shape[1:] == first.shape[1:])
        )
        if entry.element != first.element or not fits:
            expected = f"{first.element} of shape {list(first.shape)}, as in the first step"
            raise ValueError(f"{step.path}: {name}: expected {expected}, found {entry.element} {list(entry.shape)}")
    shapes = [step.entries[name].shape for step in steps]
    if base in _RECORDS:
        count = sum(shape[0] for shape in shapes)
        return Part(first.element, (count, *first.shape[1:]), lambda: _pieces(name, steps))
    widest = tuple(int(size) for size in np.max(shapes, axis=0)) if first.shape else ()
    if base not in _PADDED:
        return Part(first.element, (len(steps), *first.shape), lambda: (x[None] for x in _pieces(name, steps)))
    filling = _PADDED[base]
    return Part(
        first.element,
        (len(steps), *widest),
        lambda: (_filled(x, widest, filling, first.element) for x in _pieces(name, steps)),
    )


def _pieces(name: str, steps: list[Header]) -> Iterator[NDArray[Any]]:
    for step in steps:
        yield step.array(name).bits


def _filled(values: NDArray[Any], shape: tuple[int, ...], filling: int, element: str) -> NDArray[Any]:
    full = np.full((1, *shape), filling, ELEMENTS[element])
    full[0][tuple(slice(size) for size in values.shape)] = values
    return full


def recover(
    folder: str | os.PathLike[str], target: str | os.PathLike[str] | None = None, *, force: bool = False
) -> Path:
    """Makes a trajectory file of what an interrupted recording left, and returns its path.

    The target is what the recording would have written, unless another one is named. The folder stays.
    """
    folder = Path(folder)
    if target is None:
        if folder.suffix != ".partial":
            raise ValueError(f"{folder}: expected a target, since the folder is not named after one (….partial)")
        target = folder.with_suffix("")
    join(folder, target, force=force)
    return Path(target)


def remove(folder: Path) -> None:
    """Removes a folder of steps and nothing else: other files in it keep the folder alive."""
    for path in [*folder.glob("step-*.safetensors"), *folder.glob(".*.tmp"), folder / HEADER]:
        path.unlink(missing_ok=True)
    if not any(folder.iterdir()):
        shutil.rmtree(folder)
