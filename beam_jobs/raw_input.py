"""Raw files as a dataset for as long as it is needed, for models that are already trained."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions

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


@dataclasses.dataclass(frozen=True, slots=True)
class RawFiles:
    """Raw files, and how they are read for a model that is already trained.

    Attributes:
        inputs: see `PreprocessOptions`.
        columns: where things are in the files.
        feature_names: what are features where `columns` does not name them and files have names,
            such as those that a model was trained on.
        rules: what is accepted, such as `config.rules` of a run, which are those that the
            sequences of its dataset were read by.
        input_format: see `PreprocessOptions`.
        text: how the text of files is written.
        skip_rejects: whether to continue without rejected sequences; the report counts them.
    """

    inputs: Sequence[str]
    columns: Columns | None = None
    feature_names: Sequence[str] | None = None
    rules: Rules | SequenceRules | None = None
    input_format: str | None = None
    text: TextFormat = PLAIN
    skip_rejects: bool = False

    def write_dataset(
        self,
        output: Output,
        beam_options: PipelineOptions | None = None,
        *,
        progress: ShowProgress = ignore_progress,
    ) -> PreprocessReport:
        """Preprocesses the files into a dataset directory.

        Args:
            output: how the dataset is written.
            beam_options: see `preprocess`.
            progress: see `preprocess`.

        Raises:
            ValueError: if a sequence is rejected and `skip_rejects` is not set; also what
                `preprocess` raises.
        """
        started = time.monotonic()
        options = PreprocessOptions(
            inputs=self.inputs,
            output=output,
            columns=self.columns or Columns(),
            rules=self.rules if isinstance(self.rules, Rules) else rules_like(self.rules),
            input_format=self.input_format,
            text=self.text,
        )
        inputs = check_inputs(options, default_features=self.feature_names)
        report = preprocess_checked(options, inputs, beam_options, progress=progress)
        report = dataclasses.replace(report, seconds=time.monotonic() - started)
        if report.rejected and not self.skip_rejects:
            raise ValueError(
                f"Every sequence must be accepted, or `skip_rejects` be set.\n{report}"
            )
        return report


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
        inputs: see `RawFiles`.
        columns: see `RawFiles`.
        feature_names: see `RawFiles`.
        rules: see `RawFiles`.
        input_format: see `RawFiles`.
        text: see `RawFiles`.
        skip_rejects: see `RawFiles`.
        progress: see `preprocess`.

    Yields:
        The dataset and the report of the job.

    Raises:
        ValueError: if a sequence is rejected and `skip_rejects` is not set.
        FileNotFoundError: if an input is missing.
    """
    files = RawFiles(
        inputs=inputs,
        columns=columns,
        feature_names=feature_names,
        rules=rules,
        input_format=input_format,
        text=text,
        skip_rejects=skip_rejects,
    )
    with tempfile.TemporaryDirectory(prefix="padless-") as scratch:
        output = Output(os.path.join(scratch, RAW_SPLIT), splits={RAW_SPLIT: 1.0}, order="input")
        report = files.write_dataset(output, progress=progress)
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
