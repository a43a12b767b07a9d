"""The preprocessing job: raw files to a dataset directory, in these stages.

1. `ReadFragments`: every file as fragments keyed by the sequence's key, rows of CSV as they come.
2. `AssembleSequences`: the fragments of a key, grouped, become one sequence or a reject.
3. `PlanLayout`: the number of features of most sequences, and the number of shards per split.
4. `WriteShards`: sequences drawn into shards by the hash of their key, grouped, sorted and written.
5. `WriteRejects`: every refused input, sorted, in one file.
6. `WriteMetadata`: waits for all of them, checks that nothing was lost and commits.

Faults of the data are data: they travel to the last step as rejects, or as failures where a file
cannot be read on, and never as exceptions, which a runner would try again and bury in a traceback.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import secrets
import shutil
import time
from collections.abc import Iterable

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.pvalue import AsIter, AsSingleton

from padless.beam_jobs.inputs import check_inputs, list_sources
from padless.beam_jobs.interrupts import interrupts_unwrapped
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.report import PreprocessReport
from padless.beam_jobs.splits import Layout
from padless.beam_jobs.transforms import (
    AssembleSequences,
    PlanLayout,
    ReadFragments,
    WriteRejects,
    WriteShards,
)
from padless.beam_jobs.writer import (
    REJECTS_DIRECTORY,
    TEMPORARY_DIRECTORY,
    DatasetWriter,
    RejectSummary,
)
from padless.pipeline.directory import ShardSummary, dataset_name, write_metadata

_LOGGER = logging.getLogger(__name__)
# Beam's own default first tries to download Prism, a binary, and to run it.
_DEFAULT_RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
_OUTCOME_FILE = "outcome.json"


def preprocess(
    options: PreprocessOptions, beam_options: PipelineOptions | None = None
) -> PreprocessReport:
    """Turns raw files into a dataset directory, which appears whole or not at all.

    The same input and options give the same bytes of every file, whatever the number of workers.
    The output is a directory of this machine: workers elsewhere must share its file system.

    Args:
        options: what to read and to write.
        beam_options: for Beam, such as a runner; `FnApiRunner` unless they name one.

    Returns:
        The closing summary.

    Raises:
        FileExistsError: if the output exists.
        FileNotFoundError: if an input is missing.
        KeyboardInterrupt: if the job is interrupted; nothing is left of it.
        ValueError: if an input cannot be read at all or to its end, or no sequence is accepted.
    """
    started = time.monotonic()
    _check_output(options.output)
    options = check_inputs(options)
    staging = _make_staging(options.output)
    try:
        _run(options, staging, beam_options or PipelineOptions([]))
        report = _read_outcome(staging)
        shutil.rmtree(os.path.join(staging, TEMPORARY_DIRECTORY))
        os.rename(staging, options.output)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return dataclasses.replace(report, seconds=time.monotonic() - started)


def build_pipeline(pipeline: beam.Pipeline, options: PreprocessOptions, directory: str) -> None:
    """Adds all stages of the job to a pipeline.

    Args:
        pipeline: where to add them.
        options: as `check_inputs` returned them.
        directory: where to write; the outcome is written below it, in `TEMPORARY_DIRECTORY`.
    """
    writer = DatasetWriter(directory, dataset_name(options.output), options)
    sources = pipeline | "ListSources" >> beam.Create(list_sources(options))
    read = sources | "ReadFragments" >> ReadFragments(options)
    assembled = read["fragments"] | "AssembleSequences" >> AssembleSequences()
    layout = assembled["sequences"] | "PlanLayout" >> beam.CombineGlobally(PlanLayout(options))
    written = assembled["sequences"] | "WriteShards" >> WriteShards(writer, layout)
    rejects = (
        (read["rejects"], assembled["rejects"], written["rejects"])
        | "FlattenRejects" >> beam.Flatten()
        | "WriteRejects" >> WriteRejects(writer)
    )
    num_read = (
        (assembled["counts"], read["rejects"] | "CountKeyless" >> beam.Map(lambda _: 1))
        | "FlattenCounts" >> beam.Flatten()
        | "AddCounts" >> beam.CombineGlobally(sum)
    )
    _ = (
        pipeline
        | "Commit" >> beam.Create([writer])
        | "WriteMetadata"
        >> beam.Map(
            _finish,
            shards=AsIter(written["shards"]),
            rejects=AsSingleton(rejects),
            num_read=AsSingleton(num_read),
            failures=AsIter(read["failures"]),
            layout=AsSingleton(layout),
        )
    )


def _finish(
    writer: DatasetWriter,
    *,
    shards: Iterable[ShardSummary],
    rejects: RejectSummary,
    num_read: int,
    failures: Iterable[str],
    layout: Layout,
) -> None:
    """Checks what the job has done, writes the metadata and then the outcome."""
    if failures := sorted(failures):
        return _write_outcome(writer, failure="\n".join(failures))
    shards = sorted(shards, key=lambda shard: (shard.split, shard.shard))
    splits = [split for split, _ in writer.options.splits]
    report = PreprocessReport.of(shards, rejects, read=num_read, splits=splits)
    if not report.accepted:
        return _write_outcome(writer, failure=f"No sequence was accepted.\n{report}")
    writer.write_empty_shards(shards, layout)
    names = writer.options.feature_columns
    write_metadata(
        writer.directory,
        shards,
        name=writer.name,
        num_shards=layout.num_shards,
        num_features=layout.num_features,
        has_label=writer.options.label_column is not None,
        feature_names=names if names and len(names) == layout.num_features else None,
    )
    return _write_outcome(writer, report=report.to_json())


def _outcome_path(directory: str) -> str:
    return FileSystems.join(directory, TEMPORARY_DIRECTORY, _OUTCOME_FILE)


def _write_outcome(writer: DatasetWriter, **outcome: str) -> None:
    writer.write_file(_outcome_path(writer.directory), [json.dumps(outcome).encode()])


def _read_outcome(directory: str) -> PreprocessReport:
    with FileSystems.open(_outcome_path(directory)) as file:
        outcome = json.loads(file.read())
    if "failure" in outcome:
        raise ValueError(outcome["failure"])
    return PreprocessReport.from_json(outcome["report"])


def _run(options: PreprocessOptions, directory: str, beam_options: PipelineOptions) -> None:
    runner = beam_options.view_as(StandardOptions).runner or _DEFAULT_RUNNER
    _LOGGER.info("Preprocessing %d files with %s.", len(options.inputs), runner)
    with interrupts_unwrapped(), beam.Pipeline(runner, options=beam_options) as pipeline:
        build_pipeline(pipeline, options, directory)


def _check_output(output: str) -> None:
    if FileSystems.get_scheme(output) is not None:
        raise ValueError(f"`output` must be a directory of this machine, got {output!r}.")
    if os.path.lexists(output):
        raise FileExistsError(f"{output}: the output must not exist.")


def _make_staging(output: str) -> str:
    """Makes a directory beside the output, so that one rename makes the dataset appear."""
    staging = f"{os.path.abspath(output)}.incomplete-{secrets.token_hex(4)}"
    for directory in (staging, os.path.join(staging, REJECTS_DIRECTORY)):
        os.makedirs(directory)
    return staging
