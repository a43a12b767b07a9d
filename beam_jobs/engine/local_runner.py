"""Beam's local runner, with worker processes where a job is large enough to gain by them."""

from __future__ import annotations

import os
import shlex
import socket
import sys

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner, create_runner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from padless.beam_jobs.engine.worker_deaths import WORKER_MODULE

# Where two workers were as fast as one process: at some 40 MB of CSV, 100 MB of Parquet.
_BYTES_WORTH_WORKERS = 32 * 1024 * 1024


def choose_runner(options: PipelineOptions, num_bytes: int) -> PipelineRunner:
    """Chooses the runner: the one that the options name, else the local one.

    Beam's own default is not asked: it first tries to download Prism, a binary, and to run it.

    Args:
        options: of the pipeline; gets the number of worker processes, if they pay.
        num_bytes: size of the input.

    Raises:
        ValueError: if there is no such runner, or it is Beam's for Dask.
    """
    named, direct = options.view_as(StandardOptions).runner, options.view_as(DirectOptions)
    if direct.direct_running_mode == "multi_processing" and named in (None, "FnApiRunner"):
        # Beam would start workers of its own, which outlive a launcher that is killed.
        direct.direct_running_mode = "in_memory"
        return FnApiRunner(_worker_environment())
    if named is not None:
        _check_no_dask(named)
        return create_runner(named)
    num_workers = len(os.sched_getaffinity(0))
    is_chosen = direct.direct_num_workers != 1 or direct.direct_running_mode != "in_memory"
    is_small = num_workers == 1 or num_bytes < _BYTES_WORTH_WORKERS
    if is_chosen or is_small or not _reaches_itself():
        return FnApiRunner()
    direct.direct_num_workers = num_workers
    return FnApiRunner(_worker_environment())


def _check_no_dask(name: str) -> None:
    if name.rpartition(".")[2].lower() == "daskrunner":
        raise ValueError(
            "`--runner` must be one that keeps the outputs of a step apart, got DaskRunner: Beam's "
            "passes data and rejects on as one."
        )


def _worker_environment() -> SubprocessSDKEnvironment:
    # Ctrl-C in a terminal is for this process, which ends its workers, from their first moment on.
    command = f"exec {shlex.quote(sys.executable)} -m {WORKER_MODULE} {os.getpid()}"
    return SubprocessSDKEnvironment.from_command_string(f"trap '' INT; {command}")


def _reaches_itself() -> bool:
    """Checks whether processes of this machine can connect; in some sandboxes they wait forever."""
    try:
        with (
            socket.create_server(("localhost", 0)) as server,
            socket.create_connection(server.getsockname()[:2], timeout=1),
        ):
            return True
    except OSError:
        return False
