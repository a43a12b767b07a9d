"""Raw files as a dataset for as long as it is needed, for models that are already trained."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from padless.beam_jobs.columns import Columns, Default
from padless.beam_jobs.options import Output, PreprocessOptions, Rules
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.preprocess_job import preprocess_checked
from padless.beam_jobs.readers.inputs import check_inputs
from padless.beam_jobs.text_format import PLAIN, TextFormat
from padless.pipeline import SequenceDataset, open_dataset
from padless.pipeline.dataset.rules import SequenceRules
from padless.pipeline.progress import ShowProgress, ignore_progress

RAW_SPLIT = "raw"
"""The name of the one split of raw files that are open as a dataset."""


@dataclasses.dataclass(frozen=True, slots=True)
class RawInput:
    """Raw files that are open as a dataset.

    Attributes:
        dataset: has the one split `RAW_SPLIT`, in the order of the input.
        report: what was read, accepted and rejected.
    """

    dataset: SequenceDataset
    report: PreprocessReport


@contextlib.contextmanager
def open_raw(
    inputs: Sequence[str],
    *,
    columns: Columns | None = None,
    feature_names: Sequence[str] | None = None,
    rules: Rules | SequenceRules | None = None,
    input_format: str | None = None,
    text: TextFormat = PLAIN,
    skip_rejects: bool = False,
    progress: ShowProgress = ignore_progress,
) -> Iterator[RawInput]:
    """Preprocesses raw files into a temporary directory, which is removed at the end.

    Args:
        inputs: see `PreprocessOptions`.
        columns: where things are in the files.
        feature_names: what are features where `columns` does not name them and files have names,
            such as those that a model was trained on.
        rules: what is accepted, such as `config.rules` of a run, which are those that the
            sequences of its dataset were read by.
        input_format: see `PreprocessOptions`.
        text: how the text of files is written.
        skip_rejects: whether to continue without rejected sequences; the report counts them.
        progress: see `preprocess`.

    Yields:
        The dataset and the report of the job.

    Raises:
        ValueError: if a sequence is rejected and `skip_rejects` is not set.
        FileNotFoundError: if an input is missing.
    """
    with tempfile.TemporaryDirectory(prefix="padless-") as scratch:
        output = Output(os.path.join(scratch, RAW_SPLIT), splits={RAW_SPLIT: 1.0}, order="input")
        options = PreprocessOptions(
            inputs=inputs,
            output=output,
            columns=columns or Columns(),
            rules=rules if isinstance(rules, Rules) else rules_like(rules),
            input_format=input_format,
            text=text,
        )
        report = _preprocess(options, feature_names, progress)
        if report.rejected and not skip_rejects:
            raise ValueError(
                f"Every sequence must be accepted, or `skip_rejects` be set.\n{report}"
            )
        yield RawInput(open_dataset(output.directory), report)


def rules_like(trained: SequenceRules | None, **given: Any) -> Rules:
    """Returns the rules that a dataset was made by, but for those that are given.

    Args:
        trained: rules of the dataset; its order of time, which nobody has asked for here, needs no
            times. None for the defaults.
        given: name -> value of a rule, None where it is not given.
    """
    rules = {} if trained is None else dataclasses.asdict(trained)
    if trained is not None:
        rules["time_order"] = Default(trained.time_order)
    return Rules(**rules | {name: value for name, value in given.items() if value is not None})


def _preprocess(
    options: PreprocessOptions, feature_names: Sequence[str] | None, progress: ShowProgress
) -> PreprocessReport:
    started = time.monotonic()
    inputs = check_inputs(options, default_features=feature_names)
    report = preprocess_checked(options, inputs, progress=progress)
    return dataclasses.replace(report, seconds=time.monotonic() - started)
