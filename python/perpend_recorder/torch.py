"""Recording PyTorch: gradients as they arrive, learning rates as the optimizer sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from perpend_recorder import arrays
from perpend_recorder.container import Array
from perpend_recorder.recorder import Recorder, Step, _Context


class TorchRecorder(Recorder):
    """A :class:`Recorder` that watches parameters.

    Gradients are copied in the moment they arrive, before anything clips, unscales or clears them. An optimizer that
    never shows a gradient (fused with the backward pass) leaves the run without gradients.
    """

    def __init__(self, path: Any, **settings: Any) -> None:
        settings.setdefault("framework", f"torch {torch.__version__}")
        settings.setdefault("grad_stage", "raw")
        super().__init__(path, **settings)
        self.arrived: dict[str, Array] = {}
        self.rates: dict[str, float] = {}
        """Of each tower whose optimizer is known; 0 until that optimizer makes its step."""
        self.recording = False

    def watch(  # type: ignore[override]
        self,
        name: str,
        source: torch.nn.Module | torch.nn.Parameter | Callable[[], torch.Tensor],
        optimizer: torch.optim.Optimizer | None = None,
        **options: Any,
    ) -> None:
        """Watches an embedding module, its weight, or whatever a function returns (then give the gradient yourself).

        The optimizer that moves the parameter is declared, with its learning rate of every step: 0 where it makes no
        step, because gradients are being accumulated or a loss scaler found one that is not finite.
        """
        parameter = source.weight if isinstance(source, torch.nn.Module) else source
        if not isinstance(parameter, torch.Tensor):
            super().watch(name, parameter, **options)
            return
        if optimizer is not None:
            group = next((g for g in optimizer.param_groups if any(p is parameter for p in g["params"])), None)
            if group is None:
                raise ValueError(f"{name}: expected an optimizer that moves the watched parameter, found another one")
            options.setdefault("optimizer", declaration(optimizer, group))
            self.rates[name] = 0.0
            optimizer.register_step_pre_hook(lambda *_: self.rates.update({name: float(group["lr"])}))
        options.setdefault("encoder", "id")
        super().watch(name, lambda: parameter, **options)
        parameter.register_post_accumulate_grad_hook(lambda p: self._arrive(name, p))

    def _arrive(self, name: str, parameter: torch.Tensor) -> None:
        if self.recording and parameter.grad is not None:
            rows, dim = parameter.shape
            self.arrived[name] = arrays.gradient(parameter.grad, rows, dim, self.towers[name].row_ids)

    def step(self, **given: Any) -> _Context:
        """As :meth:`Recorder.step`; losses may stay tensors."""
        return _TorchContext(self, given)


class _TorchContext(_Context):
    def __init__(self, recorder: TorchRecorder, given: dict[str, Any]) -> None:
        pairs = {key: given.pop(key, None) for key in ("users", "positives", "negatives")}
        super().__init__(recorder, given, pairs)
        self.torch = recorder

    def __enter__(self) -> Step:
        self.torch.arrived, self.torch.recording = {}, self.step.recorded
        self.torch.rates = dict.fromkeys(self.torch.rates, 0.0)
        return super().__enter__()

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        self.torch.recording = False
        for name, grad in self.torch.arrived.items():
            self.step.towers.setdefault(name, {}).setdefault("grad", grad)
        for name, rate in self.torch.rates.items():
            self.step.towers.setdefault(name, {}).setdefault("lr", rate)
        super().__exit__(kind, error, trace)


# torch.optim's classes and what the trajectory format calls them.
_NAMES = {
    torch.optim.SGD: "sgd",
    torch.optim.Adam: "adam",
    torch.optim.AdamW: "adamw",
    torch.optim.SparseAdam: "sparseadam",
    torch.optim.Adagrad: "adagrad",
    torch.optim.RMSprop: "rmsprop",
}
_SETTINGS = ("lr", "momentum", "dampening", "nesterov", "weight_decay", "betas", "eps", "alpha")
# Options that change the rule, and are not worth a word where they are off.
_OPTIONS = ("amsgrad", "maximize", "centered", "lr_decay", "initial_accumulator_value")


def declaration(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> dict[str, Any]:
    """What an optimizer's parameter group says about itself, as the header's ``optimizer``."""
    name = _NAMES.get(type(optimizer))
    declared: dict[str, Any] = {"name": name or type(optimizer).__name__}
    declared |= {key: group[key] for key in _SETTINGS if isinstance(group.get(key), (bool, int, float, tuple))}
    declared |= {key: group[key] for key in _OPTIONS if group.get(key)}
    if name in ("adam", "adamw"):
        declared["decoupled"] = name == "adamw" or bool(group.get("decoupled_weight_decay", False))
    if name == "sparseadam":
        declared["sparse"] = "lazy"
    return declared
