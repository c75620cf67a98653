"""A two-tower model in Keras (any backend), trained by `fit`. The lines that record it end in `# perpend`."""

import sys

import keras
import numpy as np

from perpend_recorder import Recorder  # perpend
from perpend_recorder.keras import RecorderCallback  # perpend


class TwoTower(keras.Model):
    def __init__(self):
        super().__init__()
        self.items, self.users = keras.layers.Embedding(20, 8), keras.layers.Embedding(12, 8)

    def call(self, inputs):
        users, items = inputs
        return -keras.losses.cosine_similarity(self.users(users), self.items(items))


random = np.random.default_rng(0)
pairs = random.integers(12, size=480), random.integers(20, size=480)
model = TwoTower()
model(pairs)
model.compile(keras.optimizers.SGD(0.5), loss="mse")
recorder = Recorder(sys.argv[1], similarity="cosine", encoder="id", optimizer={"name": "sgd", "lr": 0.5})  # perpend
callback = RecorderCallback(recorder, item=model.items.embeddings, user=model.users.embeddings)  # perpend
model.fit(pairs, np.ones(480), batch_size=16, epochs=1, verbose=0, callbacks=[callback])
recorder.close()  # perpend
