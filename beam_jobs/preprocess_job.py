"""The preprocessing job: raw files to a dataset directory; its stages stand in `transforms`."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from padless.beam_jobs.engine.interrupts import interrupts_unwrapped
from padless.beam_jobs.engine.local_runner import choose_runner, quiet, worker_deaths_raised
from padless.beam_jobs.engine.progress import JobProgress, watched
from padless.beam_jobs.engine.runners import (
    check_job_server,
    prepare_options,
    runner_errors_explained,
)
from padless.beam_jobs.options import PreprocessOptions
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.output.staging import Staging, check_output
from padless.beam_jobs.readers.inputs import check_inputs, list_sources, measure_inputs
from padless.beam_jobs.stages.finish import read_outcome, write_outcome
from padless.beam_jobs.stages.job import Job
from padless.beam_jobs.stages.transforms import BuildDataset, ReadFragments

_LOGGER = logging.getLogger(__name__)


def preprocess(
    options: PreprocessOptions,
    beam_options: PipelineOptions | None = None,
    *,
    show: Callable[[JobProgress], None] | None = None,
) -> PreprocessReport:
    """Turns raw files into a dataset directory, which appears whole or not at all.

    The same input and options give the same bytes of every file, whatever the engine and the number
    of workers, who must share the file systems of input and output.

    Args:
        options: what to read and to write.
        beam_options: for Beam, such as a runner; by default the local one, with a worker process
            per core where the input is large.
        show: is told twice a second how far the job is, where the output is on this machine.

    Returns:
        The closing summary.

    Raises:
        ConnectionError: if a job server that the options name does not answer, or breaks off.
        FileExistsError: if the output exists and may not be replaced.
        FileNotFoundError: if an input is missing.
        KeyboardInterrupt: if the job is interrupted; nothing is left of it.
        RuntimeError: if a worker process dies.
        ValueError: if an input cannot be read at all or to its end, if no sequence is accepted or
            more are rejected than allowed, or if the output cannot be written.
    """
    started = time.monotonic()
    check_output(options.output)
    options = check_inputs(options)
    staging = Staging.make(options.output)
    with staging.held():
        job = Job.in_staging(
            staging,
            rules=options.rules,
            columns=options.columns,
            splits_are_given=options.splits_are_given,
        )
        with watched(staging.temporary, show):
            _run(options, job, prepare_options(beam_options))
        report = read_outcome(staging.temporary).result()
        staging.commit()
    return dataclasses.replace(report, seconds=time.monotonic() - started)


def _run(options: PreprocessOptions, job: Job, beam_options: PipelineOptions) -> None:
    sources = list_sources(options)
    check_job_server(beam_options)
    runner = choose_runner(beam_options, measure_inputs(options))
    _LOGGER.info("Preprocessing %d files with %s.", len(options.inputs), runner)
    with (
        worker_deaths_raised(),
        interrupts_unwrapped(),
        quiet(),
        runner_errors_explained(beam_options),
        beam.Pipeline(runner, options=beam_options) as pipeline,
    ):
        _ = (
            pipeline
            | "ListSources" >> beam.Create(sources)
            | "ReadFragments" >> ReadFragments(job)
            | "BuildDataset" >> BuildDataset(job)
            | "WriteOutcome" >> beam.Map(write_outcome, job.writer.temporary)
        )
