"""Names of the files of a dataset directory, and of its splits."""

from __future__ import annotations

import os
import re

from etils import epath

INFO_FILE = "dataset_info.json"
FEATURES_FILE = "features.json"
LENGTHS_FILE = "lengths.json"
STATISTICS_FILE = "statistics.json"
# The mark of a dataset that padless wrote.
PROVENANCE_FILE = "provenance.json"
REJECTS_FILE = "rejects/rejects-00000-of-00001.jsonl"
TRAINING_SPLIT = "train"
VALIDATION_SPLIT = "validation"


def dataset_name(directory: epath.PathLike) -> str:
    """Derives from the directory's name one that TFDS accepts in file names."""
    # As a string: what Beam writes to need not be a file system that epath knows.
    last = os.fspath(directory).rstrip("/").rpartition("/")[2]
    name = re.sub(r"\W", "_", last, flags=re.ASCII)
    return name if re.match("[a-zA-Z]", name) else f"dataset_{name}"


def shard_name(name: str, split: str, shard: int, num_shards: int) -> str:
    """Names a shard as TFDS does, e.g. `vowels-train.tfrecord-00000-of-00004`."""
    return f"{name}-{split}.tfrecord-{shard:05d}-of-{num_shards:05d}"


# What a score consists of: they add up to it.
SCORE_PARTS = ("score_shape", "score_level", "score_error", "score_unexplained")
NUM_PIECES, WORST_PIECE, TIMESTEP_SCORE = "pieces", "worst_piece", "timestep_score"
# What models write of each sequence, the last three where the scores of pieces are merged.
OUTPUT_COLUMNS = (
    "key",
    "split",
    "label",
    "length",
    "embedding",
    "score",
    "p_value",
    "is_anomaly",
    *SCORE_PARTS,
    "error",
    "unexplained",
    "feature_error",
    "timestep_error",
    NUM_PIECES,
    WORST_PIECE,
    TIMESTEP_SCORE,
)
# Features of a record that are carried into outputs are named by this and their column.
META = "meta"


def meta_feature(column: str) -> str:
    """Returns the name that a record has for a column which is carried into outputs.

    Example:
        >>> meta_feature("site")
        'meta/site'
    """
    return f"{META}/{column}"
