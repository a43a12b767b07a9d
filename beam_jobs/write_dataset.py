"""A dataset from sequences of any Beam pipeline."""

from __future__ import annotations

from collections.abc import Sequence

import apache_beam as beam

from padless.beam_jobs.columns import Columns
from padless.beam_jobs.options import Output, Rules, as_output
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.output.staging import Staging
from padless.beam_jobs.stages.finish import Outcome
from padless.beam_jobs.stages.job import Job
from padless.beam_jobs.stages.transforms import BuildDataset, PartitionSequences
from padless.pipeline.wording import list_names


class WriteDataset(beam.PTransform):
    """Writes a PCollection of `(key, sequence)`, all of a job's rules applied, as a dataset.

    A key is a string, UTF-8 bytes or an integer; a sequence is an array `(timesteps, features)`.
    The dataset appears whole in the last step, or, if it fails, not at all; then its staging
    directory stays where the pipeline's workers were stopped. Returns one `PreprocessReport`.

    Args:
        output: an `Output`, or the directory to write; the workers must share its file system.
        rules: what is accepted.
        feature_names: one name per feature, or None.
        has_label: whether the elements are `(key, sequence, label)`.
        offsets: what to subtract from each feature before it becomes float32, raw units, one number
            per feature; None for nothing.

    Raises:
        FileExistsError: when it is applied, if the output exists and may not be replaced.
        ValueError: if `rules` has labels without `has_label`, or the output the order of the input
            or no training split where one is needed.

    Example:
        >>> import tempfile, numpy as np
        >>> sequences = [("a", np.ones((3, 2))), ("b", np.ones((5, 2)))]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with beam.Pipeline("FnApiRunner") as pipeline:
        ...         output = Output(f"{folder}/data", splits={"train": 1})
        ...         _ = pipeline | beam.Create(sequences) | WriteDataset(output)
        ...     from padless.pipeline import open_dataset
        ...     open_dataset(output.directory).splits["train"].lengths
        {3: 1, 5: 1}
    """

    def __init__(
        self,
        output: Output | str,
        *,
        rules: Rules | None = None,
        feature_names: Sequence[str] | None = None,
        has_label: bool = False,
        offsets: Sequence[float] | None = None,
    ):
        super().__init__()
        self._output = as_output(output)
        self._rules = rules or Rules()
        self._columns = Columns(
            features=feature_names, label="label" if has_label else None, key="key"
        )
        self._offsets = None if offsets is None else tuple(map(float, offsets))
        for name in ("labels", "train_labels"):
            if (labels := getattr(self._rules, name)) is not None and not has_label:
                raise ValueError(
                    f"`{name}` needs `has_label`, got {list_names(labels)} without it."
                )
        self._output.check_drawn(self._rules)
        if self._rules.time_order == "reject":
            raise ValueError(
                "`time_order` must be 'sort': the elements of a PCollection have no times, got "
                "'reject'."
            )
        if self._output.order == "input":
            raise ValueError("`order` must be 'hash': a PCollection has no order, got 'input'.")

    def expand(self, sequences: beam.PCollection) -> beam.PCollection:
        """Adds all stages."""
        staging = Staging.make(self._output)
        job = Job.in_staging(
            staging,
            rules=self._rules,
            columns=self._columns,
            splits_are_given=False,
            offsets=self._offsets,
        )
        return (
            sequences
            | "PartitionSequences" >> PartitionSequences(job)
            | "BuildDataset" >> BuildDataset(job)
            | "Commit" >> beam.Map(_commit, staging).with_output_types(PreprocessReport)
        )


def _commit(outcome: Outcome, staging: Staging) -> PreprocessReport:
    try:
        report = outcome.result()
        with staging.claimed():
            staging.commit()
    except Exception:
        staging.remove()
        raise
    return report
