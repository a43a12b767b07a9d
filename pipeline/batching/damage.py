"""Finds the file that is damaged, where tf.data only reports that something is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf
from etils import epath

from padless.pipeline.dataset.directory import Split
from padless.pipeline.dataset.framing import read_records
from padless.pipeline.dataset.snapshot import DatasetChangedError

# What tf.data answers bad records with. Others, such as too little memory, are not about the data.
_DATA_ERRORS = (
    tf.errors.DataLossError,
    tf.errors.InvalidArgumentError,
    tf.errors.OutOfRangeError,
)
# Our own checks, as a graph and as an operation report them, and those of `parse_example`.
_BROKEN_RULE = re.compile(
    r"assertion failed: \[([^]]*)\]|(.*)\nCondition x == y did not|((?:Feature|Key): \S+[^\n\[]*)"
)


@contextlib.contextmanager
def explained(split: Split) -> Iterator[None]:
    """Turns an error of reading the batches of `split` into one that names the file.

    Only after tf.data has failed are the shards read again, record by record, to find the place.

    Raises:
        DatasetChangedError: if the dataset is no longer what it was when it was opened, whether
            reading has failed or not.
        ValueError: in place of a `tf.errors.OpError` that the records are to blame for.
    """
    try:
        yield
        split.check_unchanged()
    except Exception as error:  # a loss that is not finite, for example, may come of other values
        if isinstance(error, _DATA_ERRORS):
            for file in split.files:
                _read_through(file, error)
        _check_unchanged(split, error)
        if not isinstance(error, _DATA_ERRORS):
            raise
        if failed := _BROKEN_RULE.search(error.message):
            rule = next(group for group in failed.groups() if group is not None)
            rule = rule.strip().replace("\\'", "'")  # TensorFlow escapes quotes in what it asserts
            raise ValueError(f"{split.files[0].parent}: {rule}") from error
        raise


def too_many_records(split: str) -> str:
    """Returns the message for a split with a record that its plan does not have."""
    return (
        f"Split {split!r} must hold the sequences that its lengths.json counts, got one of a "
        "length that is not counted, or not counted often enough."
    )


def too_few_records(split: str) -> str:
    """Returns the message for a split with fewer records than its plan."""
    return (
        f"Split {split!r} must hold the sequences that its lengths.json counts, but its records "
        "ended before: a shard has lost records."
    )


def _check_unchanged(split: Split, error: Exception) -> None:
    try:
        split.check_unchanged()
    except DatasetChangedError as changed:
        raise changed from error


def _read_through(file: epath.Path, error: tf.errors.OpError) -> None:
    try:
        for _ in read_records(file):
            pass
    except FileNotFoundError:
        pass  # the dataset has changed
    except ValueError as damage:
        raise damage from error
