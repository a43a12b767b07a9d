"""Work on each shard of a dataset by Beam's workers: a file from each, in a directory of them.

1. Raw files become a dataset of many shards inside the unfinished directory, by the job of
   `preprocess`; a dataset directory is taken as it is.
2. Each shard goes to a worker, which turns it into one file. A file is written beside its place
   and moved there, so that a worker that dies, or two that write the same one, do no harm.
3. The launching process compares the counts with those of the dataset, and the directory appears.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Protocol

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.pvalue import AsIter
from apache_beam.utils.shared import Shared

from padless.beam_jobs.engine.progress import JobCounts, WorkerCounts, watched
from padless.beam_jobs.engine.running import running_pipeline
from padless.beam_jobs.options import Output
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.output.staging import Staging, free_reserve
from padless.beam_jobs.raw_input import RAW_SPLIT, RawFiles
from padless.beam_jobs.stages.finish import explain_hopeless
from padless.pipeline import DatasetChangedError, SequenceDataset
from padless.pipeline.dataset.shards import Shard, list_shards
from padless.pipeline.paths import is_local
from padless.pipeline.progress import Progress, ShowProgress, ignore_progress
from padless.pipeline.protected import check_unprotected

SEQUENCES = "sequences"
"""What every work counts of a shard: the sequences that it has written."""

_SHARD_BYTES = 4 * 1024 * 1024
_RAW, _PARTS, _OUTCOME_FILE = "raw", "parts", "shards.json"


class OpenedWork(Protocol):
    """The work on shards in one process, made once and shared by its threads."""

    def check(self, dataset: SequenceDataset) -> None:
        """Checks that the shards of a dataset can be worked on; raises a `ValueError` if not."""

    def begin(self, dataset: SequenceDataset, splits: Sequence[str] | None) -> None:
        """Logs what is worth knowing of the splits of a dataset before its shards are worked on.

        Args:
            dataset: that was checked.
            splits: names of the splits to take; all if None.
        """

    def write(self, shard: Shard, output: str, progress: ShowProgress) -> Mapping[str, int]:
        """Writes the file of a shard, whole or not at all; returns counts, `SEQUENCES` among them.

        Args:
            shard: what to read.
            output: the file; one that exists is replaced.
            progress: called with how many sequences are done.
        """

    def report(self, output: str, counts: Mapping[str, int]) -> None:
        """Logs what is worth knowing of the counts of all shards, when the output is there."""


class ShardWork(Protocol):
    """The work on shards as workers get it: it is pickled."""

    @property
    def work(self) -> str:
        """Name of the work, as progress shows it."""

    @property
    def suffix(self) -> str:
        """How the names of its files end, such as `.parquet`."""

    def open(self) -> OpenedWork:
        """Loads what the work needs, such as a model."""


@dataclasses.dataclass(frozen=True, slots=True)
class PartsReport:
    """What a job on shards has done.

    Attributes:
        num_parts: number of files.
        counts: what the work counted, `SEQUENCES` among it.
        raw: report of the job that read raw files, or None.
    """

    num_parts: int
    counts: Mapping[str, int]
    raw: PreprocessReport | None = None


def write_parts(
    work: ShardWork,
    source: RawFiles | str | os.PathLike,
    output: str | os.PathLike,
    *,
    splits: Sequence[str] | None = None,
    beam_options: PipelineOptions | None = None,
    progress: ShowProgress = ignore_progress,
) -> PartsReport:
    """Does the work on all shards, by Beam's workers, into a directory of files.

    The directory appears whole or not at all. Its files, `part-00000-of-00012` and so on, follow
    the splits and shards of the dataset. Workers must reach input and output, and what the work
    needs, by the same paths.

    Args:
        work: what is done, such as a `padless.model.ShardScorer`.
        source: a dataset directory, or raw files.
        output: directory to make, on a file system of this machine.
        splits: names of the splits of a dataset directory to take; all if None.
        beam_options: for Beam, such as a runner; by default the local one, which works on shards in
            this process.
        progress: called with how many sequences are done, see `padless.pipeline.Progress`.

    Raises:
        ConnectionError: if a job server that the options name does not answer, or breaks off.
        FileExistsError: if the output exists.
        FileNotFoundError: if the input or the folder of the output is missing.
        KeyboardInterrupt: if the job is interrupted; nothing is left of it.
        RuntimeError: if a worker process dies, or the input is replaced meanwhile.
        ValueError: if the input does not fit, is rejected or damaged, or the output cannot be
            written.
    """
    output = os.fspath(output)
    check_output_directory(output)
    shared = Shared()
    opened = shared.acquire(work.open)  # also by the workers of this process
    if not isinstance(source, RawFiles):
        opened.check(list_shards(source, splits)[0])
    report = None
    with Staging.held(Output(output), folders=()) as staging:
        if isinstance(source, RawFiles):
            directory = os.path.join(staging.temporary, _RAW)
            report = _preprocess(source, directory, beam_options, progress)
            source = directory
        dataset, shards = list_shards(source, splits)
        opened.check(dataset)
        opened.begin(dataset, splits)
        job = _Job(work, shared, os.path.join(staging.temporary, _PARTS), len(shards))
        os.mkdir(job.directory)
        results = _run(job, shards, staging.temporary, beam_options, progress=progress)
        dataset.check_unchanged()
        _check_counts(shards, results)
        for name in map(job.name_of, range(len(shards))):
            os.rename(os.path.join(job.directory, name), os.path.join(staging.directory, name))
        staging.commit()
    counts = collections.Counter[str]()
    for result in results:
        counts.update(result.counts)
    opened.report(output, counts)
    return PartsReport(len(shards), counts, report)


def check_output_directory(output: str) -> None:
    """Checks that a directory of files can be made there, before any work is done for it.

    Raises:
        FileExistsError: if there is something.
        FileNotFoundError: if its folder is missing.
        ValueError: if it is not on a file system of this machine, or is inside a dataset or a
            training run.
    """
    if not is_local(output):
        raise ValueError(
            "`output_directory` must be on a file system of this machine (a mounted one as well), "
            f"got {output}."
        )
    check_unprotected(output, "output_directory")
    if os.path.lexists(output):
        raise FileExistsError(
            f"{output}: the output directory must not exist; name another one, or delete it."
        )
    folder = os.path.dirname(os.path.abspath(output))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{output}: the folder {folder} does not exist.")


@dataclasses.dataclass(frozen=True, slots=True)
class _Job:
    """What the steps of a job share.

    Attributes:
        work: what is done.
        shared: holds it in each process, opened.
        directory: where the files are written.
        num_parts: number of them.
    """

    work: ShardWork
    shared: Shared
    directory: str
    num_parts: int

    def name_of(self, number: int) -> str:
        return f"part-{number:05d}-of-{self.num_parts:05d}{self.work.suffix}"


@dataclasses.dataclass(frozen=True, slots=True)
class _Result:
    """What became of a shard.

    Attributes:
        number: of the shard.
        counts: what was counted.
        failure: the reason why there is no file, or None.
    """

    number: int
    counts: Mapping[str, int] = dataclasses.field(default_factory=dict)
    failure: str | None = None


def _preprocess(
    files: RawFiles,
    directory: str,
    beam_options: PipelineOptions | None,
    progress: ShowProgress,
) -> PreprocessReport:
    """Makes a dataset of raw files, whose shards are small enough for many workers."""
    output = Output(directory, splits={RAW_SPLIT: 1.0}, shard_bytes=_SHARD_BYTES)
    return files.write_dataset(output, beam_options, progress=progress)


def _run(
    job: _Job,
    shards: Sequence[Shard],
    temporary: str,
    beam_options: PipelineOptions | None,
    *,
    progress: ShowProgress,
) -> list[_Result]:
    """Runs the pipeline; returns what became of the shards, none of which has failed."""
    total = sum(shard.num_records for shard in shards)

    def describe(counts: JobCounts) -> Progress:
        return Progress(job.work.work, min(counts.written, total), total, SEQUENCES)

    module = type(job.work).__module__
    with (
        watched(temporary, progress, describe),
        # Without worker processes that nobody asked for: each holds a model, and all of TensorFlow.
        running_pipeline(beam_options, num_bytes=0, imported_first=module) as pipeline,
    ):
        results = (
            pipeline
            | "ListShards" >> beam.Create(list(enumerate(shards)))
            | beam.Reshuffle()
            | "WritePart" >> beam.ParDo(_WritePartFn(job, temporary))
        )
        _ = (
            pipeline
            | "StartToFinish" >> beam.Create([None])
            | "WriteOutcome" >> beam.Map(_write_outcome, temporary, AsIter(results))
        )
    with open(os.path.join(temporary, _OUTCOME_FILE), encoding="utf-8") as file:
        found = [_Result(**result) for result in json.load(file)]
    if failures := sorted({result.failure for result in found if result.failure is not None}):
        raise ValueError("\n".join(failures))
    return found


@beam.typehints.with_output_types(_Result)
class _WritePartFn(beam.DoFn):
    """Writes the file of a shard. Errors in the data are data, as in `preprocess`."""

    def __init__(self, job: _Job, temporary: str):
        self._job, self._temporary = job, temporary

    def process(self, numbered: tuple[int, Shard]) -> Iterator[_Result]:
        number, shard = numbered
        try:
            yield _Result(number, self._write(number, shard))
        except (ValueError, FileNotFoundError, DatasetChangedError) as error:
            yield _Result(number, failure=str(error))
        except ImportError as error:
            missing = f"The workers must have all that padless requires, got: {error}."
            yield _Result(number, failure=missing)
        except OSError as error:
            if (failure := explain_hopeless(error, "output")) is None:
                raise
            yield _Result(number, failure=failure)

    def _write(self, number: int, shard: Shard) -> Mapping[str, int]:
        work = self._job.shared.acquire(self._job.work.open)
        counts, done = WorkerCounts(self._temporary), 0

        def count(progress: Progress) -> None:
            nonlocal done
            counts.add(written=progress.done - done)
            done = progress.done

        output = os.path.join(self._job.directory, self._job.name_of(number))
        found = work.write(shard, output, count)
        counts.write()
        return found


def _write_outcome(_: None, temporary: str, results: Iterable[_Result]) -> None:
    """Writes what became of the shards where the launching process finds it, on a full disk too."""
    in_order = sorted(results, key=lambda result: result.number)
    content = json.dumps([dataclasses.asdict(result) for result in in_order])
    free_reserve(temporary)
    with open(os.path.join(temporary, _OUTCOME_FILE), "w", encoding="utf-8") as file:
        file.write(content)


def _check_counts(shards: Sequence[Shard], results: Sequence[_Result]) -> None:
    """Checks that each shard is there once, with all of its sequences."""
    written = [(result.number, result.counts[SEQUENCES]) for result in results]
    expected = [(number, shard.num_records) for number, shard in enumerate(shards)]
    if written != expected:
        raise RuntimeError(
            f"Each shard must be written once and whole, with {expected} sequences, got {written}."
        )
