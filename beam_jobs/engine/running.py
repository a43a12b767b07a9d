"""A pipeline on any of Beam's runners, with all that padless adds to it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions

from padless.beam_jobs.engine.interrupts import interrupts_unwrapped
from padless.beam_jobs.engine.local_runner import choose_runner
from padless.beam_jobs.engine.notebooks import notebook_hidden
from padless.beam_jobs.engine.quiet import beam_quieted
from padless.beam_jobs.engine.remote_job import CancelledPipeline
from padless.beam_jobs.engine.runners import (
    check_job_server,
    prepare_options,
    runner_errors_explained,
)
from padless.beam_jobs.engine.server_options import server_options_checked
from padless.beam_jobs.engine.worker_deaths import worker_deaths_raised

_LOGGER = logging.getLogger(__name__)


@contextlib.contextmanager
def running_pipeline(
    beam_options: PipelineOptions | None, num_bytes: int, *, imported_first: str | None = None
) -> Iterator[beam.Pipeline]:
    """Yields a pipeline, and runs it to its end.

    Args:
        beam_options: for Beam, such as a runner; by default the local one.
        num_bytes: size of the input; a large one gets worker processes, see `choose_runner`.
        imported_first: module that every worker process imports first, besides padless.

    Raises:
        ConnectionError: if a job server that the options name does not answer, or breaks off.
        KeyboardInterrupt: if the job is interrupted.
        RuntimeError: if a worker process dies.
        ValueError: if an option is one that nobody knows.
    """
    options = prepare_options(beam_options, imported_first)
    check_job_server(options)
    runner = choose_runner(options, num_bytes)
    _LOGGER.debug("a job on %d bytes with %s", num_bytes, type(runner).__name__)
    with (
        beam_quieted(),
        notebook_hidden(),
        worker_deaths_raised(),
        interrupts_unwrapped(),
        runner_errors_explained(options),
        server_options_checked(runner, options),
        CancelledPipeline(runner, options=options) as pipeline,
    ):
        yield pipeline
