"""A two-tower model in Keras on TensorFlow, with a loop of its own. The lines that record it end in `# perpend`."""

import sys

import keras
import tensorflow as tf

from perpend_recorder import Recorder  # perpend

tf.random.set_seed(0)
items, users = tf.Variable(tf.random.normal((20, 8))), tf.Variable(tf.random.normal((12, 8)))
optimizer = keras.optimizers.SGD(0.5)

recorder = Recorder(sys.argv[1], similarity="cosine", temperature=0.2, loss="info-nce", encoder="id")  # perpend
recorder.watch("item", lambda: items, optimizer={"name": "sgd", "lr": 0.5})  # perpend
recorder.watch("user", lambda: users, optimizer={"name": "sgd", "lr": 0.5})  # perpend
for _ in range(30):
    user_ids = tf.random.uniform((16,), 0, 12, tf.int32)
    item_ids = tf.random.uniform((16,), 0, 20, tf.int32)
    with recorder.step(user=user_ids, item=item_ids) as step:  # perpend
        with tf.GradientTape() as tape:
            u, q = (tf.gather(table, ids) for table, ids in ((users, user_ids), (items, item_ids)))
            cosines = (u / tf.norm(u, axis=1, keepdims=True)) @ tf.transpose(q / tf.norm(q, axis=1, keepdims=True))
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(tf.range(16), cosines / 0.2))
        grads = tape.gradient(loss, [items, users])
        optimizer.apply_gradients(zip(grads, [items, users], strict=True))
        step.loss = loss  # perpend
        step.gradient("item", grads[0])  # perpend
        step.gradient("user", grads[1])  # perpend
recorder.close()  # perpend
