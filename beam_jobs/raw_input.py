"""Raw files as a dataset for as long as it is needed, for models that are already trained."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence

from padless.beam_jobs.inputs import has_csv
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.preprocess_job import preprocess
from padless.pipeline import SequenceDataset, open_dataset

RAW_SPLIT = "raw"


@contextlib.contextmanager
def open_raw(
    inputs: Sequence[str],
    *,
    key_column: str = "key",
    time_column: str = "time",
    sequence_column: str = "sequence",
    label_column: str | None = None,
    feature_columns: Sequence[str] | None = None,
    skip_rejects: bool = False,
) -> Iterator[SequenceDataset]:
    """Preprocesses raw files into a temporary directory, which is removed at the end.

    Args:
        inputs: paths of CSV, JSON-lines and npz files.
        key_column: see `PreprocessOptions`, as the next three.
        time_column: CSV column that orders the timesteps.
        sequence_column: JSON field with the list of timesteps.
        label_column: CSV column or JSON field with the label, or None for no labels.
        feature_columns: CSV columns with the features, such as the names that a model was trained
            on; the other forms have no names, and are read without them.
        skip_rejects: whether to warn of refused sequences and go on without them.

    Yields:
        A dataset with the one split `RAW_SPLIT`, in the order of the input.

    Raises:
        ValueError: if a sequence is refused and `skip_rejects` is not set.
        FileNotFoundError: if an input is missing.
    """
    with tempfile.TemporaryDirectory(prefix="padless-") as scratch:
        options = PreprocessOptions(
            inputs=inputs,
            output=os.path.join(scratch, RAW_SPLIT),
            key_column=key_column,
            time_column=time_column,
            sequence_column=sequence_column,
            label_column=label_column,
            splits={RAW_SPLIT: 1.0},
            order="input",
        )
        if has_csv(options.inputs):
            options = dataclasses.replace(options, feature_columns=feature_columns)
        report = preprocess(options)
        if report.rejected and not skip_rejects:
            raise ValueError(
                f"Every sequence must be accepted, or `skip_rejects` be set.\n{report}"
            )
        if report.rejected:
            warnings.warn(str(report), stacklevel=3)  # the caller's `with`, beyond contextlib
        yield open_dataset(options.output)
