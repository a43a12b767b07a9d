"""Classifies sequences of different lengths by a Keras model of your own, without padding.

Keras 3 has no recurrent layer for ragged tensors; `RaggedLSTM` is one, and the rest of the model is
Keras'. It learns which of nine men spoke two Japanese vowels, from 7 to 29 timesteps each.

    python classify_sequences.py
"""

import argparse
import csv
import itertools
import operator
import pathlib

import keras
import numpy as np
import tensorflow as tf

from padless.model import RaggedLSTM

NUM_SPEAKERS = 9
FOLDER = pathlib.Path(__file__).resolve().parent / "japanese_vowels"


def read_sequences(file):
    """Reads a ragged tensor `(sequences, None, features)`, and the label of each sequence."""
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    values, lengths, labels = [], [], []
    for _, sequence in itertools.groupby(rows, operator.itemgetter("key")):
        timesteps = list(sequence)
        values += [[float(row[f"c{i}"]) for i in range(1, 13)] for row in timesteps]
        lengths.append(len(timesteps))
        labels.append(int(timesteps[0]["speaker"]) - 1)
    return tf.RaggedTensor.from_row_lengths(np.float32(values), lengths), np.array(labels)


def build_model(sequences):
    """Builds a classifier of sequences of any length, in raw units."""
    normalize = keras.layers.Normalization()
    normalize.adapt(sequences.values)
    model = keras.Sequential(
        [
            keras.Input((None, sequences.shape[-1]), ragged=True),
            normalize,
            keras.layers.Bidirectional(RaggedLSTM(32)),
            keras.layers.Dense(NUM_SPEAKERS, activation="softmax"),
        ]
    )
    model.compile(
        optimizer=keras.optimizers.Adam(1e-2),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)

    keras.utils.set_random_seed(args.seed)
    sequences, labels = read_sequences(FOLDER / "train.csv")
    model = build_model(sequences)
    model.summary()
    training = tf.data.Dataset.from_tensor_slices((sequences, labels))
    # Slices of a ragged tensor form ragged batches by `batch`, other sequences by `ragged_batch`.
    training = training.shuffle(len(labels), seed=args.seed).batch(args.batch_size)
    fitted = model.fit(training, epochs=args.epochs, shuffle=False, verbose=0)
    for epoch, accuracy in enumerate(fitted.history["accuracy"]):
        print(f"epoch {epoch}: accuracy {accuracy:.3f}")

    sequences, labels = read_sequences(FOLDER / "test.csv")
    test = tf.data.Dataset.from_tensor_slices((sequences, labels)).batch(args.batch_size)
    _, accuracy = model.evaluate(test, verbose=0)
    print(f"test: accuracy {accuracy:.3f}, by chance {1 / NUM_SPEAKERS:.3f}")


if __name__ == "__main__":
    main()
