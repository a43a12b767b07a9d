"""What the steps of a job share."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from padless.beam_jobs.assembly.assemble import Assembler
from padless.beam_jobs.columns import Columns
from padless.beam_jobs.engine.progress import WorkerCounts
from padless.beam_jobs.options import Output, Rules
from padless.beam_jobs.output.staging import Staging
from padless.beam_jobs.output.writer import DatasetWriter
from padless.pipeline.dataset.names import dataset_name
from padless.pipeline.paths import is_local


@dataclasses.dataclass(frozen=True, slots=True)
class Job:
    """A preprocessing job, as its workers get it.

    Attributes:
        writer: writes the files of the dataset.
        output: how it is written.
        rules: what is accepted.
        columns: where things are in the input; `features` names the features, or is None.
        splits_are_given: whether sequences come with their split, so that none is drawn.
        offsets: what is subtracted from each feature before it becomes float32, or None.
    """

    writer: DatasetWriter
    output: Output
    rules: Rules
    columns: Columns
    splits_are_given: bool
    offsets: tuple[float, ...] | None = None

    @classmethod
    def in_staging(
        cls,
        staging: Staging,
        *,
        rules: Rules,
        columns: Columns,
        splits_are_given: bool,
        offsets: tuple[float, ...] | None = None,
    ) -> Job:
        """Makes the job that writes into a staging directory."""
        output = staging.output
        writer = DatasetWriter(staging.directory, dataset_name(output.directory), output.order)
        return cls(writer, output, rules, columns, splits_are_given, offsets)

    @property
    def feature_names(self) -> Sequence[str] | None:
        """Names of the features, in order, or None."""
        return self.columns.features

    @property
    def drawn_splits(self) -> tuple[str, ...]:
        """Names of the splits that sequences are drawn for, in order."""
        return () if self.splits_are_given else self.output.split_names

    def assembler(self) -> Assembler:
        """Returns the assembler."""
        return Assembler(
            self.rules,
            self.output.seed,
            self.output.shares,
            self.feature_names,
            hold_out=self.output.held_out,
            meta_columns=self.columns.meta_columns,
            static_columns=self.columns.static_columns,
        )

    def worker_counts(self) -> WorkerCounts:
        """Returns new counts for one worker."""
        temporary = self.writer.temporary
        return WorkerCounts(temporary if is_local(temporary) else None)
