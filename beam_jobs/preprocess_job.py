"""The preprocessing job: raw files to a dataset directory; its stages are in `transforms`."""

from __future__ import annotations

import dataclasses
import time

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from padless.beam_jobs.engine.progress import watched
from padless.beam_jobs.engine.running import running_pipeline
from padless.beam_jobs.options import PreprocessOptions, as_output
from padless.beam_jobs.output.report import PreprocessReport
from padless.beam_jobs.output.staging import Staging, check_output
from padless.beam_jobs.readers.inputs import CheckedInputs, check_inputs
from padless.beam_jobs.stages.finish import read_outcome, write_outcome
from padless.beam_jobs.stages.job import Job
from padless.beam_jobs.stages.transforms import BuildDataset, ReadFragments
from padless.pipeline.progress import ShowProgress, ignore_progress


def preprocess(
    options: PreprocessOptions,
    beam_options: PipelineOptions | None = None,
    *,
    progress: ShowProgress = ignore_progress,
) -> PreprocessReport:
    """Turns raw files into a dataset directory, which appears whole or not at all.

    The same input and options give the same bytes of every file, whatever the engine and the number
    of workers, who must share the file systems of input and output.

    Args:
        options: what to read and to write.
        beam_options: for Beam, such as a runner; by default the local one, with a worker process
            per core where the input is large.
        progress: called twice a second with how many records are read, see
            `padless.pipeline.Progress`, where the output is on this machine; their total is known
            in the last call.

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
    check_output(as_output(options.output))
    inputs = check_inputs(options)
    report = preprocess_checked(options, inputs, beam_options, progress=progress)
    seconds = time.monotonic() - started
    return dataclasses.replace(report, unused_columns=inputs.unused, seconds=seconds)


def preprocess_checked(
    options: PreprocessOptions,
    inputs: CheckedInputs,
    beam_options: PipelineOptions | None = None,
    *,
    progress: ShowProgress = ignore_progress,
) -> PreprocessReport:
    """Runs the job of `preprocess` on inputs that are checked; its report has no `seconds` yet."""
    with Staging.held(as_output(options.output)) as staging:
        job = Job.in_staging(
            staging,
            rules=options.rules,
            columns=inputs.columns,
            splits_are_given=options.splits_are_given,
            offsets=inputs.offsets,
        )
        with watched(staging.temporary, progress):
            _run(inputs, job, beam_options)
        report = read_outcome(staging.temporary).result()
        staging.commit()
    return report


def _run(inputs: CheckedInputs, job: Job, beam_options: PipelineOptions | None) -> None:
    with running_pipeline(beam_options, inputs.num_bytes) as pipeline:
        _ = (
            pipeline
            | "ListSources" >> beam.Create(inputs.sources)
            | "ReadFragments" >> ReadFragments(job)
            | "BuildDataset" >> BuildDataset(job)
            | "WriteOutcome" >> beam.Map(write_outcome, job.writer.temporary)
        )
