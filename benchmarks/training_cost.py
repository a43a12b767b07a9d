"""Measures an epoch of training: padless against the padded and masked model that it replaces.

    python benchmarks/training_cost.py [--sequences 3000] [--units 64] [--epochs 3]

All ways train an autoencoder of the same sizes on the same sequences, 64 per batch, on the CPU:

- padded: Keras' `fit` on batches padded to the longest sequence, `Masking`, `RepeatVector`, and
  sample weights that leave the padded timesteps out of the loss;
- batch-padded: the same `fit`, each batch padded to its own longest sequence;
- padless, with 1 and with 2 replicas: the trainer of padless.

The ways alternate, epoch by epoch, in one process. The table shows the median of the epochs after
the first, in which each way is traced.
"""

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from generated import PLAIN, write_dataset

from padless.model import Architecture, DynamicRepeat, SequenceAutoencoder, Trainer
from padless.model.training.replicas import mirrored_strategy
from padless.pipeline import Shuffle, equal_length_batches, plan_batches, replica_batches

BATCH_SIZE = 64
LATENT_SIZE = 32


def padded_way(sequences, units, to_longest):
    """Makes a function that trains one epoch with Keras' `fit` on padded batches."""
    longest = max(map(len, sequences)) if to_longest else None
    num_features = sequences[0].shape[1]
    inputs = keras.Input((longest, num_features))
    normalized = keras.layers.Rescaling(20.0**-0.5)(inputs)
    masked = keras.layers.Masking()(normalized)
    latent = keras.layers.Dense(LATENT_SIZE)(keras.layers.LSTM(units)(masked))
    repeated = (
        keras.layers.RepeatVector(longest)(latent)
        if to_longest
        else DynamicRepeat()(latent, like=normalized)
    )
    decoded = keras.layers.LSTM(units, return_sequences=True)(repeated)
    model = keras.Model(inputs, keras.layers.Dense(num_features)(decoded))
    model.compile("adam", "mse", jit_compile=False)

    def read():
        for i in np.random.default_rng(0).permutation(len(sequences)):
            yield sequences[i], sequences[i], np.ones(len(sequences[i]), np.float32)

    signature = (
        tf.TensorSpec((None, num_features)),
        tf.TensorSpec((None, num_features)),
        tf.TensorSpec((None,)),
    )
    shapes = ((longest, num_features), (longest, num_features), (longest,))
    batches = (
        tf.data.Dataset.from_generator(read, output_signature=signature)
        .cache()
        .padded_batch(BATCH_SIZE, shapes)
        .prefetch(tf.data.AUTOTUNE)
    )
    computed = sum(sequence.shape[0] * sequence.shape[1] for sequence, _, _ in batches)
    return lambda: model.fit(batches, shuffle=False, verbose=0), int(computed)


def padless_way(dataset, units, replicas, epochs):
    """Makes a function that trains one epoch with the trainer of padless."""
    strategy = mirrored_strategy(replicas)
    architecture = Architecture(latent_size=LATENT_SIZE, units=units, **PLAIN)
    with strategy.scope():
        model = SequenceAutoencoder.for_moments(dataset.moments, architecture)
        model.compile(optimizer=keras.optimizers.Adam())
    trainer = Trainer(model, strategy)
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=BATCH_SIZE, replicas=replicas)
    batches = iter(
        strategy.distribute_datasets_from_function(
            lambda context: replica_batches(dataset, plan, shuffle=Shuffle(0), epochs=range(epochs))
        )
    )

    def train_epoch():
        for _ in range(plan.steps_per_epoch):
            sums = trainer.train_step(batches)
        return float(sums.loss)

    return train_epoch, plan.computed_timesteps


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=3000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--units", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    args = parser.parse_args()
    two_replicas = mirrored_strategy(2)  # before the first operation: it makes the logical devices
    del two_replicas
    with tempfile.TemporaryDirectory() as directory:
        dataset = write_dataset(directory, args.sequences, args.features)
        plan = plan_batches(dataset.split("train").lengths, batch_size=1)
        one_by_one = equal_length_batches(dataset, plan).as_numpy_iterator()
        sequences = [batch["sequence"][0] for batch in one_by_one]
        ways = {
            "padded": padded_way(sequences, args.units, to_longest=True),
            "batch-padded": padded_way(sequences, args.units, to_longest=False),
            "padless, 1 replica": padless_way(dataset, args.units, 1, args.epochs + 1),
            "padless, 2 replicas": padless_way(dataset, args.units, 2, args.epochs + 1),
        }
        runs = [
            [seconds(train_epoch) for train_epoch, _ in ways.values()]
            for _ in range(args.epochs + 1)
        ]
    medians = np.median(runs[1:], axis=0)
    valid = sum(map(len, sequences))
    print(f"{args.sequences} sequences, {valid:,} timesteps, {args.units} units")
    print(f"{'way':<20}{'timesteps computed':>20}{'seconds per epoch':>19}{'against padded':>16}")
    for (name, (_, computed)), median in zip(ways.items(), medians, strict=True):
        ratio = median / medians[0]
        print(f"{name:<20}{computed:>20,}{median:>19.2f}{ratio:>16.2f}")


if __name__ == "__main__":
    main()
