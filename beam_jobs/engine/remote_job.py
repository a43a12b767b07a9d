"""A job that an engine runs elsewhere ends with the process that has launched it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import apache_beam as beam
import grpc
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_runner import JobServiceHandle, PipelineResult
from apache_beam.runners.runner import PipelineRunner, PipelineState

from padless.beam_jobs.engine.server_options import change_handles

_LOGGER = logging.getLogger(__name__)
_CANCEL_SECONDS = 30.0  # Flink cancels a job within a few
_POLL_SECONDS = 0.2


class CancelledPipeline(beam.Pipeline):
    """A pipeline whose job is cancelled where waiting for it is interrupted.

    Args:
        runner: any of Beam's.
        options: of the pipeline, keyword `options`.
    """

    def __init__(self, runner: PipelineRunner, **options: Any):
        super().__init__(runner, **options)
        handler = signal.getsignal(signal.SIGINT)
        change_handles(runner, lambda handle: _cancel_while_submitted(handle, handler))

    def run(self, test_runner_api: bool | str = "AUTO") -> Any:
        """Runs the job, or hands it to an engine; the result can be waited for."""
        result = super().run(test_runner_api)
        return _CancelledResult(result) if isinstance(result, PipelineResult) else result


class _CancelledResult:
    """The result of a remote job, which an interrupt of the wait cancels."""

    def __init__(self, result: PipelineResult):
        self._result = result

    def wait_until_finish(self) -> str:
        """Waits until the job has ended, and returns its state."""
        try:
            return self._result.wait_until_finish()
        except KeyboardInterrupt:
            _cancel(self._result._job_id, self._result.cancel, lambda: self._result.state)
            raise


def _cancel_while_submitted(handle: JobServiceHandle, handler: Any) -> None:
    """Cancels a job that has just been handed over, of which Beam knows no more than its name.

    Args:
        handle: submits the job.
        handler: of SIGINT, before Beam has set its own: a job server that it has started would stop
            at Ctrl-C, but is needed to cancel the job.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)
    run, service = handle.run, handle.job_service

    def run_cancelled(job_id: str) -> Any:
        def cancel() -> None:
            service.Cancel(beam_job_api_pb2.CancelJobRequest(job_id=job_id))

        def read_state() -> str:
            event = service.GetState(beam_job_api_pb2.GetJobStateRequest(job_id=job_id))
            return PipelineResult.runner_api_state_to_pipeline_state(event.state)

        try:
            return run(job_id)
        except KeyboardInterrupt:
            _cancel(job_id, cancel, read_state)
            raise

    handle.run = run_cancelled


def _cancel(job_id: str, cancel: Callable[[], None], read_state: Callable[[], str]) -> None:
    """Cancels a job and waits until it has ended; a warning says if it may still run."""
    errors: list[Exception] = []

    def end() -> None:
        try:
            cancel()
            while not PipelineState.is_terminal(read_state()):
                time.sleep(_POLL_SECONDS)
        except Exception as error:  # of the connection, or of an engine that cannot cancel
            errors.append(error)

    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    try:
        thread.join(_CANCEL_SECONDS)
    finally:  # after a second interrupt too
        if errors or thread.is_alive():
            reason = f": {_first_line(errors[0])}" if errors else ""
            _LOGGER.warning(
                "The job %s could not be cancelled and may still run%s. Cancel it at the engine.",
                *(job_id, reason.removesuffix(".")),
            )


def _first_line(error: Exception) -> str:
    details = error.details() if isinstance(error, grpc.Call) else None
    return str(details or error or type(error).__name__).partition("\n")[0]
