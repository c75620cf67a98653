"""Faults that training code has, planted on request to show that a check notices them."""

from __future__ import annotations

# Faults of the training itself.
TRAINING = {
    "sign": "the step goes up the gradient",
    "missing-temperature": "the similarities are not divided by the temperature",
    "mean-for-sum": "the gradients of a row that was looked up several times are averaged, not summed",
    "epsilon": "embeddings are divided by ‖q‖ + 0.01",
    "last-write-wins": "of several gradients of a row only the last is applied",
    "momentum-late": "an optimizer with momentum applies the step before",
    "decay-untouched": "rows that were not looked up decay (once more), by the declared rate or by 0.01",
    "detached-norm": "the norm is a constant to differentiation",
    "wrong-axis": "columns are normalised, not rows",
}
# Faults of the process that speaks the protocol.
PROCESS = {
    "echo": "the expected file, or else the input, is returned as the result",
    "silent": "the answer is ok and nothing was done",
    "garbage": "the answer is no JSON",
    "half-line": "the answer stops in the middle of a line",
    "crash": "the process ends in the middle of training",
    "hang": "there is no answer",
}
ALL = {**TRAINING, **PROCESS}

# The ε of the fault `epsilon`, and the decay of the fault `decay-untouched` where none is declared.
SIZE = 1e-2
