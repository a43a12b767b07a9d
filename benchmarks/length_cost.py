"""Measures a training step that knows where each sequence ends, and one with masks.

    python benchmarks/length_cost.py [--batch 64] [--timesteps 100] [--units 64] [--steps 40]

All ways compute error and gradient of one batch of the same shape, on the CPU:

- exact: every sequence fills the batch, no length is given;
- with lengths: each sequence has its own length, between half the timesteps and all of them;
- with masks: the same lengths as a Keras mask, in the same model built of Keras' own layers.

The ways alternate, step by step, in one process. The table shows the median time of an exact step.
For the others it shows the median ratio to the exact step before it. The first round, in which each
way is traced, is left out.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from generated import PLAIN

from padless.model import Architecture, DynamicRepeat, SequenceAutoencoder

NUM_FEATURES, LATENT_SIZE = 12, 32
KINDS = [("lstm", False), ("lstm", True), ("gru", False), ("gru", True)]


def padless_error(cell, units, bidirectional):
    """Makes (the errors as a function of sequence and length, trainable variables)."""
    form = PLAIN | {"bidirectional": bidirectional}
    architecture = Architecture(latent_size=LATENT_SIZE, units=units, cell=cell, **form)
    model = SequenceAutoencoder(NUM_FEATURES, architecture)
    return lambda sequence, length: model.analyze(sequence, length)["error"], model


def masked_error(cell, units, bidirectional):
    """Makes the same with Keras' own layers, which find the ends by a mask."""
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[cell]
    sequence, mask = keras.Input((None, NUM_FEATURES)), keras.Input((None,), dtype="bool")
    encoder = layer(units)
    encoded = (keras.layers.Bidirectional(encoder) if bidirectional else encoder)(
        sequence, mask=mask
    )
    repeated = DynamicRepeat()(keras.layers.Dense(LATENT_SIZE)(encoded), like=sequence)
    decoded = layer(units, return_sequences=True)(repeated)
    model = keras.Model([sequence, mask], keras.layers.Dense(NUM_FEATURES)(decoded))

    def error(sequence, length):
        valid = tf.sequence_mask(length, tf.shape(sequence)[1])
        squared = tf.reduce_mean(tf.square(model([sequence, valid]) - sequence), axis=-1)
        total = tf.reduce_sum(tf.where(valid, squared, 0.0), axis=1)
        return total / tf.cast(length, tf.float32)

    return error, model


def step_of(error, model, sequence, length=None):
    """Makes a function that computes the gradient of the sum of the errors once."""
    variables = [variable.value for variable in model.trainable_variables]
    lengths = [] if length is None else [tf.TensorSpec((None,), tf.int64)]

    @tf.function(
        input_signature=[tf.TensorSpec((None, None, NUM_FEATURES)), *lengths], autograph=False
    )
    def gradient(sequence, length=None):
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(error(sequence, length))
        return tape.gradient(total, variables)

    inputs = [sequence] if length is None else [sequence, length]
    return lambda: [value.numpy() for value in gradient(*map(tf.constant, inputs))]


def milliseconds(function):
    start = time.perf_counter()
    function()
    return 1e3 * (time.perf_counter() - start)


def measure(kind, units, sequence, length, steps):
    """Returns median milliseconds of an exact step, and ratios with lengths and with masks."""
    ours, masked = padless_error(kind[0], units, kind[1]), masked_error(kind[0], units, kind[1])
    ways = [
        step_of(*ours, sequence),
        step_of(*ours, sequence, length),
        step_of(*masked, sequence, length),
    ]
    runs = np.array([[milliseconds(way) for way in ways] for _ in range(steps + 1)])[1:]
    return np.median(runs[:, 0]), *np.median(runs[:, 1:] / runs[:, :1], axis=0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--timesteps", type=int, default=100)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--steps", type=int, default=40)
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    shape = (args.batch, args.timesteps, NUM_FEATURES)
    sequence = rng.normal(size=shape).astype(np.float32)
    length = rng.integers((args.timesteps + 1) // 2, args.timesteps + 1, args.batch)
    print(f"batches of {shape}, {args.units} units, {args.steps} steps")
    print(f"{'layers':<20}{'exact, ms':>11}{'with lengths':>14}{'with masks':>12}")
    for cell, bidirectional in KINDS:
        kind = (cell, bidirectional)
        exact, lengths, masks = measure(kind, args.units, sequence, length, args.steps)
        name = f"{cell}, bidirectional" if bidirectional else cell
        print(f"{name:<20}{exact:>11.1f}{lengths:>14.2f}{masks:>12.2f}")


if __name__ == "__main__":
    main()
