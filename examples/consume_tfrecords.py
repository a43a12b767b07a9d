"""Reads a padless dataset as plain TFRecords, in equal-length batches, without padless.

A record is a `tf.train.Example` with four features; two JSON files describe the rest. With one
bucket per length that occurs, `bucket_by_sequence_length` has nothing to pad, and
`no_padding=True` makes any padding an error.

    python consume_tfrecords.py DATASET_DIRECTORY
"""

import argparse
import json
import pathlib

import tensorflow as tf


def read_batches(directory, split, batch_size):
    """Reads a split as batches of parsed records, each batch of one length."""
    features = json.loads((directory / "features.json").read_text())["featuresDict"]["features"]
    num_features = int(features["sequence"]["tensor"]["shape"]["dimensions"][1])
    spec = {
        "key": tf.io.FixedLenFeature([], tf.string),
        "length": tf.io.FixedLenFeature([], tf.int64),
        "sequence": tf.io.FixedLenSequenceFeature([num_features], tf.float32, allow_missing=True),
    }
    if "label" in features:
        spec["label"] = tf.io.FixedLenFeature([], tf.string)

    # Each boundary opens a bucket: the one before the first holds the shortest sequences.
    lengths = sorted(map(int, json.loads((directory / "lengths.json").read_text())[split]))
    files = sorted(map(str, directory.glob(f"*-{split}.tfrecord-*")))
    return (
        tf.data.TFRecordDataset(files)
        .map(lambda record: tf.io.parse_single_example(record, spec))
        .bucket_by_sequence_length(
            element_length_func=lambda example: tf.cast(example["length"], tf.int32),
            bucket_boundaries=lengths[1:],
            bucket_batch_sizes=[batch_size] * len(lengths),
            no_padding=True,
        )
    )


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=pathlib.Path, help="what `padless preprocess` wrote")
    parser.add_argument("--split", default="train")
    parser.add_argument("--batch-size", type=int, default=16)
    args = parser.parse_args(argv)

    sequences = in_batches = in_records = 0
    for batch in read_batches(args.directory, args.split, args.batch_size):
        rows, timesteps, features = batch["sequence"].shape
        print(f"batch {(rows, timesteps, features)}, first {batch['key'][0].numpy().decode()}")
        sequences += rows
        in_batches += rows * timesteps
        in_records += int(tf.reduce_sum(batch["length"]))
    print(f"{sequences} sequences, {in_records} timesteps, {in_batches - in_records} padded")


if __name__ == "__main__":
    main()
