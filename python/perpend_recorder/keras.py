"""Recording ``model.fit`` of Keras 3 (any backend): embeddings before and after every batch.

``fit`` shows a callback neither gradients nor ids, so the trajectory has none. A training loop of one's own
(``tf.GradientTape``) records everything with :class:`perpend_recorder.Recorder`; the README shows it.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import keras

from perpend_recorder.recorder import Recorder, _Context


class RecorderCallback(keras.callbacks.Callback):  # type: ignore[misc]
    """``model.fit(…, callbacks=[RecorderCallback(recorder, item=layer.embeddings, user=…)])``.

    The recorder stays open: close it after the last ``fit``. The loss that ``fit`` shows is a running mean of the epoch
    and therefore not recorded.
    """

    def __init__(self, recorder: Recorder, **towers: Any) -> None:
        super().__init__()
        self.recorder = recorder
        for name, variable in towers.items():
            recorder.watch(name, partial(keras.ops.convert_to_numpy, variable))
        self.context: _Context | None = None
        recorder.declare(framework=f"keras {keras.__version__} on {keras.backend.backend()}")

    def _synchronise(self) -> None:
        # On JAX, fit keeps the state apart from the model's variables.
        synchronise = getattr(self.model, "jax_state_sync", None)
        if synchronise is not None:
            synchronise()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._synchronise()
        self.context = self.recorder.step()
        self.context.__enter__().lr = keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._synchronise()
        if self.context is not None:
            self.context.__exit__(None, None, None)
