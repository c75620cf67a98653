"""The recorder on PyTorch: whatever the optimizer does with a gradient, the recorded one is what arrived."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

from perpend_recorder.container import Header, read  # noqa: E402
from perpend_recorder.torch import TorchRecorder  # noqa: E402


def numbers(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    return {name: array.numbers() for name, array in read(path)[1].items()}


def run(
    path: Path,
    table: Any,
    optimizer: Any,
    *,
    steps: int = 3,
    after_backward: Callable[[], object] = lambda: None,
    moves: Callable[[int], bool] = lambda t: True,
    **options: Any,
) -> tuple[dict[str, np.ndarray[Any, Any]], list[np.ndarray[Any, Any]]]:
    """Records a sum of squares of looked-up rows, one of them twice; returns the file and the gradients by hand."""
    recorder, expected = TorchRecorder(path), []
    recorder.watch("item", table, optimizer, **options)
    ids = torch.tensor([0, 2, 2])
    for t in range(steps):
        weight = table.weight.detach().float().clone()
        gradient = torch.zeros_like(weight)
        gradient.index_add_(0, ids, 2 * weight[ids])
        expected.append(gradient.numpy())
        with recorder.step(item=ids) as step:
            optimizer.zero_grad()
            loss = table(ids).float().square().sum()
            loss.backward()
            after_backward()
            if moves(t):
                optimizer.step()
            step.loss = loss
    return numbers(recorder.close()), expected


@pytest.mark.parametrize("sparse", [False, True])
def test_gradients_are_those_that_arrived(sparse: bool, tmp_path: Path) -> None:
    table = torch.nn.Embedding(4, 3, sparse=sparse)
    found, expected = run(tmp_path / "run.safetensors", table, torch.optim.SGD(table.parameters(), 0.25))
    # Twice 2w: the sums are exact.
    assert np.array_equal(found["item/grad"], np.stack(expected))
    assert np.array_equal(found["item/q_next"][:-1], found["item/q"][1:]) and found["item/lr"].tolist() == [0.25] * 3
    assert np.array_equal(found["item/q_next"][-1], table.weight.detach().numpy())


def test_clipping_and_unscaling_come_after_the_record(tmp_path: Path) -> None:
    table = torch.nn.Embedding(4, 3)
    found, expected = run(
        tmp_path / "run.safetensors",
        table,
        torch.optim.SGD(table.parameters(), 0.25),
        after_backward=lambda: torch.nn.utils.clip_grad_value_(table.parameters(), 1e-3),
    )
    assert np.array_equal(found["item/grad"], np.stack(expected))
    # Single precision rounds the limit, and what is left of the row.
    after = found["item/q_next"].astype(float)
    allowed = 0.25e-3 * (1 + 2**-23) + 2**-24 * np.abs(after)
    assert np.all(np.abs(after - found["item/q"]) <= allowed)


def test_an_optimizer_inside_the_backward_pass(tmp_path: Path) -> None:
    def fused(table: Any) -> Any:
        optimizer = torch.optim.SGD(table.parameters(), 0.25)

        def step(parameter: Any) -> None:
            optimizer.step()
            parameter.grad = None

        return optimizer, step

    for before, name in ((True, "before"), (False, "after")):
        table = torch.nn.Embedding(4, 3)
        optimizer, hook = fused(table)
        recorder = TorchRecorder(tmp_path / f"{name}.safetensors")
        if before:
            recorder.watch("item", table, optimizer)
        table.weight.register_post_accumulate_grad_hook(hook)
        if not before:
            recorder.watch("item", table, optimizer)
        for _ in range(2):
            with recorder.step(item=torch.tensor([1])):
                table(torch.tensor([1])).square().sum().backward()
        found = numbers(recorder.close())
        # A gradient that is gone before the recorder sees it leaves a run without gradients, not one with zeros.
        assert ("item/grad" in found) == before
        assert (
            np.all(found["item/q_next"][:, 1] == 0.5 * found["item/q"][:, 1])
            and found["item/lr"].tolist() == [0.25] * 2
        )


def test_steps_that_the_optimizer_does_not_make_have_rate_zero(tmp_path: Path) -> None:
    table = torch.nn.Embedding(4, 3)
    optimizer = torch.optim.SGD(table.parameters(), 0.25)
    found, _ = run(tmp_path / "run.safetensors", table, optimizer, steps=4, moves=lambda t: t % 2 == 1)
    assert found["item/lr"].tolist() == [0, 0.25, 0, 0.25]
    moved = np.any(found["item/q_next"] != found["item/q"], axis=(1, 2))
    assert moved.tolist() == [False, True, False, True]


@pytest.mark.parametrize("element", ["BF16", "F16"])
def test_narrow_tables_are_kept_bit_by_bit(element: str, tmp_path: Path) -> None:
    dtype = {"BF16": torch.bfloat16, "F16": torch.float16}[element]
    table = torch.nn.Embedding(4, 3, dtype=dtype)
    start = table.weight.detach().float().numpy().copy()
    found, _ = run(tmp_path / "run.safetensors", table, torch.optim.SGD(table.parameters(), 0.25))
    entries = Header.read(tmp_path / "run.safetensors").entries
    assert entries["item/q"].element == element
    assert np.array_equal(found["item/q"][0].astype(np.float32), start)
    assert np.array_equal(found["item/q_next"][-1].astype(np.float32), table.weight.detach().float().numpy())


@pytest.mark.parametrize("sparse", [False, True])
def test_chosen_rows_of_a_large_table(sparse: bool, tmp_path: Path) -> None:
    table = torch.nn.Embedding(10_000, 3, sparse=sparse)
    optimizer = torch.optim.SGD(table.parameters(), 0.25)
    found, expected = run(tmp_path / "run.safetensors", table, optimizer, row_ids=[2, 9_999])
    assert found["item/row_ids"].tolist() == [2, 9_999] and found["item/q"].shape == (3, 2, 3)
    assert np.array_equal(found["item/grad"], np.stack(expected)[:, [2, 9_999]])


def test_the_header_says_what_the_optimizer_is(tmp_path: Path) -> None:
    import json

    rule = torch.optim
    for make, expected in (
        (lambda p: rule.SGD(p, 0.1, momentum=0.9, nesterov=True), {"name": "sgd", "momentum": 0.9, "nesterov": True}),
        (lambda p: rule.AdamW(p, 0.1, weight_decay=0.5), {"name": "adamw", "weight_decay": 0.5, "decoupled": True}),
        (lambda p: rule.Adam(p, 0.1, amsgrad=True), {"name": "adam", "amsgrad": True}),
        (lambda p: rule.RMSprop(p, 0.1, alpha=0.5), {"name": "rmsprop", "alpha": 0.5}),
        (lambda p: rule.NAdam(p, 0.1), {"name": "NAdam"}),
    ):
        table = torch.nn.Embedding(4, 3)
        path = tmp_path / "run.safetensors"
        recorder = TorchRecorder(path, force=True)
        recorder.watch("item", table, make(table.parameters()))
        with recorder.step(item=torch.tensor([0])):
            table.weight.data += 1.0
        declared = json.loads(Header.read(recorder.close()).metadata["item/optimizer"])
        assert declared["lr"] == 0.1 and expected.items() <= declared.items(), declared


def test_an_optimizer_that_moves_something_else_is_refused(tmp_path: Path) -> None:
    table, other = torch.nn.Embedding(4, 3), torch.nn.Embedding(4, 3)
    with pytest.raises(ValueError, match="item: expected an optimizer that moves the watched parameter"):
        TorchRecorder(tmp_path / "run").watch("item", table, torch.optim.SGD(other.parameters(), 0.1))
