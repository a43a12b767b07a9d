"""Raw files as a dataset for as long as it is needed, for models that are already trained."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import warnings
from collections.abc import Iterator, Sequence

from padless.beam_jobs.options import Columns, Output, PreprocessOptions, Rules
from padless.beam_jobs.preprocess_job import preprocess
from padless.beam_jobs.readers.inputs import has_feature_names
from padless.pipeline import SequenceDataset, open_dataset

RAW_SPLIT = "raw"
"""The name of the one split of raw files that are open as a dataset."""


@contextlib.contextmanager
def open_raw(
    inputs: Sequence[str],
    *,
    columns: Columns | None = None,
    rules: Rules | None = None,
    input_format: str | None = None,
    skip_rejects: bool = False,
) -> Iterator[SequenceDataset]:
    """Preprocesses raw files into a temporary directory, which is removed at the end.

    Args:
        inputs: see `PreprocessOptions`.
        columns: where things stand in the files; `features`, such as the names that a model was
            trained on, is not looked at where no file has names.
        rules: what is accepted.
        input_format: see `PreprocessOptions`.
        skip_rejects: whether to warn of rejected sequences and go on without them.

    Yields:
        A dataset with the one split `RAW_SPLIT`, in the order of the input.

    Raises:
        ValueError: if a sequence is rejected and `skip_rejects` is not set.
        FileNotFoundError: if an input is missing.
    """
    columns = columns or Columns()
    with tempfile.TemporaryDirectory(prefix="padless-") as scratch:
        output = Output(os.path.join(scratch, RAW_SPLIT), splits={RAW_SPLIT: 1.0}, order="input")
        options = PreprocessOptions(
            inputs=inputs,
            output=output,
            columns=dataclasses.replace(columns, features=None),
            rules=rules or Rules(),
            input_format=input_format,
        )
        if has_feature_names(options):
            options = dataclasses.replace(options, columns=columns)
        report = preprocess(options)
        if report.rejected and not skip_rejects:
            raise ValueError(
                f"Every sequence must be accepted, or `skip_rejects` be set.\n{report}"
            )
        if report.rejected:
            warnings.warn(str(report), stacklevel=3)  # the caller's `with`, beyond contextlib
        yield open_dataset(output.directory)
