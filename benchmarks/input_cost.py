"""Measures the CPU time per sequence to read an epoch, in several ways.

    python benchmarks/input_cost.py [--sequences 40000] [--features 12] [--repeats 3]

- raw: the records are only read;
- plain: each record is parsed, then `bucket_by_sequence_length` groups the parsed sequences;
- equal: `equal_length_batches`, shuffled as in training;
- packed: `packed_steps` of groups of eight, shuffled as in training;
- equal and packed, streamed: the same with nothing held, as of a split larger than memory.

The ways alternate in one process, each counted with all its threads; the table shows the minimum of
the repeats. The first epoch includes the start of the pipeline, and the reading of what it holds; a
further one is the mean of `--epochs` that follow it in the same pipeline.
"""

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from generated import write_dataset

from padless.pipeline import Shuffle, equal_length_batches, packed_steps, plan_batches

BATCH_SIZE, GROUP_SIZE = 64, 8
# As many as padless reads at once.
RAW_BATCH_SIZE = 1024
STREAMED = Shuffle(seed=0, held_bytes=0)


def raw(dataset, epochs):
    files = [str(file) for file in dataset.split("train").files]
    return tf.data.TFRecordDataset(files).batch(RAW_BATCH_SIZE).repeat(epochs)


def plain(dataset, epochs):
    split, features = dataset.split("train"), dataset.record_format.num_features
    spec = {
        "key": tf.io.FixedLenFeature([], tf.string),
        "length": tf.io.FixedLenFeature([], tf.int64),
        "sequence": tf.io.FixedLenSequenceFeature([features], tf.float32, allow_missing=True),
    }
    files = [str(file) for file in split.files]
    lengths = list(split.lengths)
    return (
        tf.data.TFRecordDataset(files)
        .map(lambda record: tf.io.parse_single_example(record, spec), tf.data.AUTOTUNE)
        .shuffle(10_000)
        .bucket_by_sequence_length(
            lambda example: tf.cast(example["length"], tf.int32),
            bucket_boundaries=[length + 1 for length in lengths],
            bucket_batch_sizes=[BATCH_SIZE] * (len(lengths) + 1),
            no_padding=True,
        )
        .repeat(epochs)
        .prefetch(tf.data.AUTOTUNE)
    )


def equal(dataset, epochs, shuffle=Shuffle(seed=0)):  # noqa: B008
    plan = plan_batches(dataset.split("train").lengths, batch_size=BATCH_SIZE)
    return equal_length_batches(dataset, plan, shuffle=shuffle, epochs=range(epochs))


def packed(dataset, epochs, shuffle=Shuffle(seed=0)):  # noqa: B008
    lengths = dataset.split("train").lengths
    plan = plan_batches(lengths, batch_size=BATCH_SIZE, group_size=GROUP_SIZE)
    return packed_steps(dataset, plan, shuffle=shuffle, epochs=range(epochs))


WAYS = {
    "raw": raw,
    "plain": plain,
    "equal": equal,
    "packed": packed,
    "equal, streamed": lambda *args: equal(*args, STREAMED),
    "packed, streamed": lambda *args: packed(*args, STREAMED),
}


def cpu_seconds(way, dataset, further):
    """Returns the CPU seconds of the first epoch, and of a further one."""
    seconds = []
    for epochs in (1, 1 + further):
        start = time.process_time()
        for _ in way(dataset, epochs):
            pass
        seconds.append(time.process_time() - start)
    return seconds[0], (seconds[1] - seconds[0]) / further


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=40_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=4, help="epochs after the first")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        dataset = write_dataset(directory, args.sequences, args.features)
        runs = [
            [cpu_seconds(way, dataset, args.epochs) for way in WAYS.values()]
            for _ in range(args.repeats)
        ]
    least = np.min(runs, axis=0)
    print(f"{args.sequences} sequences, {len(dataset.split('train').lengths)} distinct lengths")
    print(f"{'':18}{'first epoch':^36}{'a further epoch':^36}")
    columns = f"{'CPU seconds':>12}{'us a sequence':>14}{'x raw':>8}"
    print(f"{'way':18}{columns:>36}{columns:>36}")
    for way, seconds in zip(WAYS, least, strict=True):
        shown = "".join(
            f"{s:14.2f}{s / args.sequences * 1e6:14.1f}{s / of_raw:8.1f}"
            for s, of_raw in zip(seconds, least[0], strict=True)
        )
        print(f"{way:18}{shown}")


if __name__ == "__main__":
    main()
