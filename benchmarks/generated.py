"""Writes datasets for the benchmarks: sequences of lognormal lengths, median 40, as TFRecords."""

import collections

import numpy as np
from etils import epath

from padless.pipeline.dataset.directory import SequenceDataset, Split
from padless.pipeline.dataset.framing import frame_record
from padless.pipeline.dataset.moments import Moments
from padless.pipeline.dataset.records import RecordFormat, encode_example

NUM_SHARDS = 4
# The form of the autoencoder that the references of Keras' own layers have.
PLAIN = {"bidirectional": False, "pooling": "last", "initial_state": False}


def write_dataset(directory, num_sequences, num_features, *, num_shards=NUM_SHARDS):
    """Writes sequences of slow noise into a few shards and opens them as a training split."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(40), 0.5, num_sequences).astype(int), 1, None)
    files = [epath.Path(directory) / f"generated-{shard}" for shard in range(num_shards)]
    for file, part in zip(files, np.array_split(np.arange(num_sequences), num_shards), strict=True):
        with file.open("wb") as out:
            for i in part:
                values = rng.normal(size=(lengths[i], num_features)).cumsum(axis=0)
                out.write(frame_record(encode_example(b"%d" % i, values.astype(np.float32))))
    histogram = dict(sorted(collections.Counter(lengths.tolist()).items()))
    return SequenceDataset(
        "generated",
        RecordFormat(num_features),
        {"train": Split("train", tuple(files), histogram)},
        # Rough, but the same for every way that is compared.
        Moments.of(np.full((2, num_features), 20.0**0.5) * [[-1], [1]]),
    )
