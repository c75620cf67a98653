"""fixtures/recordings: every recording has its line of truth, and what is correct is not accused."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import scenarios
from test_protocol import audit

from perpend_recorder import container

FOLDER = scenarios.ROOT / "fixtures/recordings"
TRUTH = list(csv.DictReader((FOLDER / "truth.tsv").open(), delimiter="\t"))
# What fixtures may weigh, as they are part of every checkout.
BYTES = 3_000_000


def test_every_recording_has_its_line_and_every_line_its_recording() -> None:
    runs = [row["run"] for row in TRUTH]
    files = {path.stem: path.stat().st_size for path in FOLDER.glob("*.safetensors")}
    assert sorted(files) == sorted(runs) and len(set(runs)) == len(runs) and sum(files.values()) < BYTES
    described = (FOLDER / "README.md").read_text()
    assert all(f"`{row['cause']}`" in described for row in TRUTH)


@pytest.mark.parametrize("run", [row["run"] for row in TRUTH])
def test_a_recording_is_what_its_line_says(run: str) -> None:
    (truth,) = (row for row in TRUTH if row["run"] == run)
    header, arrays = container.read(FOLDER / f"{run}.safetensors")
    elements = {"float64": "F64", "float32": "F32", "float16": "F16", "bfloat16": "BF16"}
    assert arrays["item/q"].element == elements[truth["dtype"]]
    assert arrays["item/q"].shape == arrays["item/grad"].shape == (12, 20, 8)
    # A forgotten normalisation is a cause, too.
    assert header["similarity"] == "cosine" and "cause" not in header


@pytest.mark.parametrize("run", [row["run"] for row in TRUTH if row["cause"] in ("none", "schedule")])
def test_a_correct_run_audits_cleanly(run: str) -> None:
    code, verdicts = audit(Path(FOLDER / f"{run}.safetensors"))
    assert code == 0 and "violated" not in verdicts.values()
