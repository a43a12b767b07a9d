"""Options that only a job server knows: passed through to it, and rejected where it does not."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.options import pipeline_options
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
from apache_beam.runners.portability.portable_runner import JobServiceHandle, PortableRunner
from apache_beam.runners.runner import PipelineRunner

from padless.pipeline.log_filters import records_dropped

# Those whose job server says which options it knows; Prism's knows none.
_ASKING = frozenset({"portablerunner", "flinkrunner", "sparkrunner"})


def asks_job_server(options: PipelineOptions) -> bool:
    """Checks whether the runner asks a job server which options it knows."""
    name = options.view_as(StandardOptions).runner or ""
    return name.rpartition(".")[2].lower() in _ASKING


@contextlib.contextmanager
def discarded_arguments() -> Iterator[list[str]]:
    """Yields what Beam discards, as it comes, of the arguments that it does not know.

    Beam itself only logs a warning of them and continues.
    """
    discarded: list[str] = []

    def keep(record: logging.LogRecord) -> bool:
        message = str(record.msg)
        if message.startswith("Discarding"):
            parts = record.args if isinstance(record.args, tuple) else ()
            lists = [part for part in parts if isinstance(part, list)]
            discarded[:] = lists[0] if lists else [record.getMessage()]
        return message.startswith(("Discarding", "Unparseable argument"))

    with records_dropped(pipeline_options.__name__, keep):
        yield discarded


@contextlib.contextmanager
def server_options_checked(runner: PipelineRunner, options: PipelineOptions) -> Iterator[None]:
    """Has a runner reject an option that its job server does not know either.

    Args:
        runner: of the pipeline.
        options: of the pipeline.

    Raises:
        ValueError: if there is such an option, when the job is handed over.
    """
    if not asks_job_server(options):
        yield
        return
    with discarded_arguments() as discarded:
        change_handles(runner, lambda handle: _check_options(handle, discarded))
        yield


def change_handles(runner: PipelineRunner, change: Callable[[JobServiceHandle], None]) -> None:
    """Changes what a runner hands its jobs over by, if it does so to a job server.

    Args:
        runner: one of this process.
        change: called when the job server has started.
    """
    if not isinstance(runner, PortableRunner):
        return
    make = runner.create_job_service_handle

    def make_changed(job_service: Any, options: PipelineOptions) -> JobServiceHandle:
        handle = make(job_service, options)
        change(handle)
        return handle

    runner.create_job_service_handle = make_changed


def _check_options(handle: JobServiceHandle, discarded: list[str]) -> None:
    describe = handle.get_pipeline_options

    def describe_checked() -> Any:
        discarded.clear()  # what was discarded before the server was asked
        described = describe()
        if discarded:
            raise ValueError(
                "unrecognized arguments, by padless, by Beam and by its job server: "
                f"{' '.join(discarded)}"
            )
        return described

    handle.get_pipeline_options = describe_checked
