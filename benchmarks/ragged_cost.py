"""Measures an epoch of a classifier without padding, and of the same with padding and a mask.

    python benchmarks/ragged_cost.py [--cell lstm] [--units 32] [--sequences 1000] [--epochs 5]

Both ways train `Bidirectional(layer)` and a dense layer by Keras' `fit` on a CPU, on the same
batches, which are held in memory:

- ragged: `RaggedLSTM` or `RaggedGRU` of padless on ragged batches;
- masked: `Masking` and Keras' own layer on batches padded to their longest sequence.

They alternate, epoch by epoch, in one process; the first epoch of each, in which it is traced, is
left out. The table shows medians, the fastest and the slowest epoch, and the ratio of the medians,
in seconds and in CPU seconds.
The data are the Japanese vowels of the examples, and noise of lognormal lengths, median 40.
"""

import argparse
import os
import pathlib
import runpy
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from padless.model import RaggedGRU, RaggedLSTM
from padless.pipeline.batching.untuned import untuned

EXAMPLE = pathlib.Path(__file__).resolve().parent.parent / "examples" / "classify_sequences.py"
LAYERS = {
    "lstm": {"ragged": RaggedLSTM, "masked": keras.layers.LSTM},
    "gru": {"ragged": RaggedGRU, "masked": keras.layers.GRU},
}
NUM_CLASSES = 9


def read_vowels():
    """Reads ragged sequences and labels of the example."""
    example = runpy.run_path(str(EXAMPLE))
    return example["read_sequences"](example["FOLDER"] / "train.csv")


def generate(count, num_features=12):
    """Generates the same of noise."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(40), 0.5, count).astype(int), 1, None)
    values = rng.normal(size=(lengths.sum(), num_features)).astype(np.float32)
    labels = rng.integers(0, NUM_CLASSES, count)
    return tf.RaggedTensor.from_row_lengths(values, lengths), labels


def make_epoch(way, layer, sequences, labels, batch_size):
    """Makes a function that trains one epoch."""
    ragged = way == "ragged"
    mask = [] if ragged else [keras.layers.Masking()]
    inputs = keras.Input((None, sequences.shape[-1]), ragged=ragged)
    model = keras.Sequential(
        [
            inputs,
            *mask,
            keras.layers.Bidirectional(layer),
            keras.layers.Dense(NUM_CLASSES, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    batches = tf.data.Dataset.from_tensor_slices((sequences, labels)).batch(batch_size)
    if not ragged:
        batches = batches.map(lambda rows, labels: (rows.to_tensor(), labels))
    batches = untuned(batches.cache())  # else the end of an epoch waits for tf.data
    return lambda: model.fit(batches, shuffle=False, verbose=0)


def seconds(function):
    """Returns the seconds and the CPU seconds that a call takes."""
    start = time.perf_counter(), time.process_time()
    function()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def measure(data, cell, units, batch_size, epochs):
    """Returns what each epoch of both ways takes, `(epochs, ways, clocks)`."""
    ways = [make_epoch(way, layer(units), *data, batch_size) for way, layer in LAYERS[cell].items()]
    return np.array([[seconds(way) for way in ways] for _ in range(epochs + 1)])[1:]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--cell", choices=LAYERS, default="lstm")
    parser.add_argument("--units", type=int, default=32)
    parser.add_argument("--sequences", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=5)
    args = parser.parse_args()
    print(f"{args.cell}, {args.units} units in each direction, {args.epochs} epochs")
    print(f"{'data':<22}{'ragged, s':>24}{'masked, s':>24}{'ratio':>8}{'CPU ratio':>11}")
    sets = {"vowels, batches of 16": (read_vowels(), 16)}
    sets["lognormal, of 64"] = generate(args.sequences), 64
    for name, (data, batch_size) in sets.items():
        runs = measure(data, args.cell, args.units, batch_size, args.epochs)
        medians = np.median(runs, axis=0)
        columns = [
            f"{median:.3f} ({low:.3f} to {high:.3f})"
            for median, low, high in zip(
                medians[:, 0], runs[:, :, 0].min(0), runs[:, :, 0].max(0), strict=True
            )
        ]
        ratio, cpu_ratio = medians[0] / medians[1]
        print(f"{name:<22}{columns[0]:>24}{columns[1]:>24}{ratio:>8.2f}{cpu_ratio:>11.2f}")


if __name__ == "__main__":
    main()
