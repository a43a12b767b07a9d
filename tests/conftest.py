"""Runs the tests also in a checkout that is not installed, and writes datasets for them.

All tests of a process share eight logical CPU devices, so that files can run in any order.
"""

import collections
import gc
import importlib.util
import os
import pathlib
import sys

# Before NumPy starts its threads, which wait for each other by spinning: where processes compete
# for the cores, the eigenvectors of 512 features took 6 s of CPU time instead of 0.03.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import google_crc32c
import hypothesis
import numpy as np
import pytest
import tensorflow as tf

if not all(map(importlib.util.find_spec, ("padless", "padless.estimators"))):
    root = str(pathlib.Path(__file__).resolve().parent.parent)
    sys.path.insert(0, root)
    padless = importlib.import_module("padless")
    padless.__path__.append(root)

sys.path.append(str(pathlib.Path(__file__).parent))  # the tests' own modules

import quick_beam

from padless.pipeline.dataset import directory, framing, metadata, records
from padless.pipeline.dataset.contract import RecordContract
from padless.pipeline.dataset.moments import Moments, merge_moments
from padless.pipeline.dataset.names import shard_name

# Tracing allocates so much that Python's collector took a seventh of the time of the trainings.
gc.freeze()
gc.set_threshold(200_000, 20, 20)
# Before the first operation of the process, for afterwards the devices are fixed.
tf.config.set_visible_devices([], "GPU")
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 8
)
quick_beam.remember()
# How long one example takes tells how busy the machine is.
hypothesis.settings.register_profile("padless", deadline=None)
hypothesis.settings.load_profile("padless")


@pytest.fixture(autouse=True)
def heard_again():
    """Ends the quiet that a command of padless leaves in its process, before the next test."""
    yield
    quiet = sys.modules.get("padless.beam_jobs.engine.quiet")
    while quiet is not None and quiet._kept:
        quiet._kept.pop().close()


def pytest_make_parametrize_id(val, argname):
    """Names bytes by their argument: those of protobuf and gzip are others in each process."""
    return argname if isinstance(val, bytes) and len(val) > 8 else None


def draw_sequences(lengths, num_features=2, seed=0):
    """Draws one float32 sequence `(length, features)` per length: a noisy wave."""
    rng = np.random.default_rng(seed)
    waves = [
        np.sin(np.arange(length)[:, None] / 3 + rng.uniform(0, 6, num_features))
        for length in lengths
    ]
    return [(wave + rng.normal(0, 0.1, wave.shape)).astype(np.float32) for wave in waves]


def name_by_place(split, number):
    return f"{split}/{number}"


def write_dataset(
    path, splits, *, num_shards=1, labels=None, name_key=name_by_place, feature_names=None
):
    """Writes `{split: sequences}` as a dataset directory; the key of sequence i is `split/i`."""
    summaries = []
    for split, sequences in splits.items():
        for shard in range(num_shards):
            numbers = range(shard, len(sequences), num_shards)
            examples = [
                records.encode_example(
                    name_key(split, i).encode(), sequences[i], labels and labels[i].encode()
                )
                for i in numbers
            ]
            file = path / shard_name(path.name, split, shard, num_shards)
            file.write_bytes(b"".join(map(framing.frame_record, examples)))
            if examples:
                summaries.append(
                    metadata.ShardSummary(
                        split=split,
                        shard=shard,
                        num_bytes=file.stat().st_size,
                        lengths=collections.Counter(len(sequences[i]) for i in numbers),
                        moments=merge_moments(Moments.of(sequences[i]) for i in numbers),
                        crc32c=google_crc32c.value(file.read_bytes()),
                    )
                )
    encoded = metadata.encode_metadata(
        summaries,
        name=path.name,
        num_shards=dict.fromkeys(splits, num_shards),
        contract=RecordContract(next(iter(splits.values()))[0].shape[1], labels is not None),
        feature_names=feature_names,
        made=None,
    )
    for file, data in encoded.items():
        (path / file).write_bytes(data)
    return directory.open_dataset(path)


@pytest.fixture(scope="session")
def store_sequences(tmp_path_factory):
    """Writes `{split: sequences}` as a dataset; takes the options of `write_dataset`."""
    return lambda splits, **options: write_dataset(
        tmp_path_factory.mktemp("dataset_"), splits, **options
    )


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory):
    """Writes a dataset of one training split from lengths, or of several from a dict of them."""

    def make(lengths, *, num_features=2, num_shards=1, seed=0, labels=None):
        splits = lengths if isinstance(lengths, dict) else {"train": lengths}
        sequences = {
            split: draw_sequences(lengths, num_features, seed + i)
            for i, (split, lengths) in enumerate(splits.items())
        }
        path = tmp_path_factory.mktemp("dataset_")
        return write_dataset(path, sequences, num_shards=num_shards, labels=labels)

    return make
