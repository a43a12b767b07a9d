"""How long one trace of a training step takes here."""

from __future__ import annotations

import functools
import time

_UNITS = 64


@functools.cache
def measure_trace_seconds(num_features: int) -> float:
    """Measures a trace of a training step of one LSTM layer: loss and gradient, nothing is run.

    It is the second trace that is measured: the first one also imports what both need.

    Args:
        num_features: values per timestep.
    """
    import keras
    import tensorflow as tf

    layer = keras.layers.LSTM(_UNITS, return_sequences=True)
    layer.build((None, None, num_features))

    def step(batch: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(layer(batch) ** 2)
        return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

    spec = tf.TensorSpec((None, None, num_features))
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        tf.function(step).get_concrete_function(spec)
        seconds = time.perf_counter() - started
    return seconds
