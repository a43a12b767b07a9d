"""Compares the encodings that TFDS has for a tensor: writing, reading and size.

    python benchmarks/encoding_cost.py [--csv examples/japanese_vowels/train.csv] [--copies 100]

- float list: packed floats, as padless writes them;
- bytes: the same bytes as one string, TFDS's `Encoding.BYTES`;
- zlib: those compressed, TFDS's `Encoding.ZLIB`.

The sequences are real, as noise does not compress. Writing encodes and frames records; reading
is what a training does: records of one length in batches of 64, parsed to a tensor. The table shows
the CPU time of all threads, the minimum of three turns.
"""

import argparse
import collections
import csv
import os
import tempfile
import time
import zlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf

from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.records import encode_example

BATCH_SIZE = 64


def read_sequences(path):
    groups = collections.defaultdict(list)
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            groups[row["key"]].append([float(v) for k, v in row.items() if k[0] == "c"])
    return [np.array(rows, np.float32) for rows in groups.values()]


def as_float_list(sequence):
    return encode_example(b"key", sequence)


def as_bytes(sequence):
    return encode_example(b"key", np.zeros((0, 1), np.float32), sequence.tobytes())


def as_zlib(sequence):
    return encode_example(b"key", np.zeros((0, 1), np.float32), zlib.compress(sequence.tobytes()))


def parse_float_list(serialized, num_features):
    spec = {"sequence": tf.io.RaggedFeature(tf.float32)}
    values = tf.io.parse_example(serialized, spec)["sequence"].values
    return tf.reshape(values, [tf.size(serialized), -1, num_features])


def parse_bytes(serialized, num_features):
    spec = {"label": tf.io.FixedLenFeature([], tf.string)}
    values = tf.io.decode_raw(tf.io.parse_example(serialized, spec)["label"], tf.float32)
    return tf.reshape(values, [tf.size(serialized), -1, num_features])


def parse_zlib(serialized, num_features):
    spec = {"label": tf.io.FixedLenFeature([], tf.string)}
    data = tf.io.parse_example(serialized, spec)["label"]
    values = tf.io.decode_raw(tf.io.decode_compressed(data, "ZLIB"), tf.float32)
    return tf.reshape(values, [tf.size(serialized), -1, num_features])


WAYS = {
    "float list": (as_float_list, parse_float_list),
    "bytes": (as_bytes, parse_bytes),
    "zlib": (as_zlib, parse_zlib),
}


def write(path, sequences, encode):
    start = time.process_time()
    with open(path, "wb") as file:
        for sequence in sequences:
            file.write(frame_record(encode(sequence)))
    return time.process_time() - start


def read(path, parse, num_features):
    start = time.process_time()
    batches = tf.data.TFRecordDataset(path).batch(BATCH_SIZE)
    for _ in batches.map(lambda serialized: parse(serialized, num_features)):
        pass
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--csv", default="examples/japanese_vowels/train.csv")
    parser.add_argument("--copies", type=int, default=100)
    args = parser.parse_args()
    by_length = collections.defaultdict(list)
    for sequence in read_sequences(args.csv) * args.copies:
        by_length[len(sequence)].append(sequence)
    # Whole batches of one length, so that one file holds all of them.
    groups = [g[: len(g) // BATCH_SIZE * BATCH_SIZE] for g in by_length.values()]
    sequences = [sequence for group in groups for sequence in group]
    num_features = sequences[0].shape[1]
    print(f"{len(sequences):,} sequences of {num_features} features")
    print("encoding    MB  us to write  us to read")
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/records"
        for name, (encode, parse) in WAYS.items():
            turns = [
                (write(path, sequences, encode), read(path, parse, num_features)) for _ in range(3)
            ]
            least = np.min(turns, axis=0) / len(sequences) * 1e6
            size = os.path.getsize(path) / 1e6
            print(f"{name:10} {size:5.1f} {least[0]:12.1f} {least[1]:11.1f}")


if __name__ == "__main__":
    main()
