"""Measures the CPU time per sequence to read batches, in three ways.

    python benchmarks/input_cost.py [--sequences 40000] [--features 12] [--repeats 3]

- raw: the records are only read;
- plain: each record is parsed, then `bucket_by_sequence_length` groups the parsed sequences;
- padless: `equal_length_batches`, shuffled as in training.

The ways alternate in one process, each counted with all its threads; the table shows the minimum of
the repeats.
"""

import argparse
import os
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
from generated import write_dataset

from padless.pipeline.batching.batches import equal_length_batches
from padless.pipeline.batching.grouping import Shuffle
from padless.pipeline.planning.plan import plan_batches

BATCH_SIZE = 64


def raw(dataset):
    files = [str(file) for file in dataset.split("train").files]
    return tf.data.TFRecordDataset(files).batch(BATCH_SIZE)


def plain(dataset):
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
        .prefetch(tf.data.AUTOTUNE)
    )


def padless(dataset):
    plan = plan_batches(dataset.split("train").lengths, batch_size=BATCH_SIZE)
    return equal_length_batches(dataset, plan, shuffle=Shuffle(seed=0))


def cpu_seconds(way, dataset):
    start = time.process_time()
    for _ in way(dataset):
        pass
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sequences", type=int, default=40_000)
    parser.add_argument("--features", type=int, default=12)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        dataset = write_dataset(directory, args.sequences, args.features)
        ways = (raw, plain, padless)
        runs = [[cpu_seconds(way, dataset) for way in ways] for _ in range(args.repeats)]
    least = np.min(runs, axis=0)
    print(f"{args.sequences} sequences, {len(dataset.split('train').lengths)} distinct lengths")
    print("way      CPU seconds  microseconds per sequence  against plain")
    for way, seconds in zip(ways, least, strict=True):
        per_sequence = seconds / args.sequences * 1e6
        print(f"{way.__name__:8} {seconds:11.2f} {per_sequence:26.1f} {seconds / least[1]:14.2f}")


if __name__ == "__main__":
    main()
