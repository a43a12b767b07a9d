"""Beam's local runner, with worker processes where a job is large enough to gain by them."""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Iterator

from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from padless.beam_jobs.engine.log_filters import records_dropped

# Where two workers were as fast as one process: at some 40 MB of CSV, 100 MB of Parquet.
_BYTES_WORTH_WORKERS = 32 * 1024 * 1024
_DROPPED = {
    # Tracebacks of workers, whose exception is raised in this process as well.
    "portability.local_job_service": lambda record: True,
    # That a worker which has died cannot be stopped.
    "portability.fn_api_runner.worker_handlers": lambda record: True,
    # That worker processes should be asked for by another option, which starts loud ones.
    "portability.fn_api_runner.fn_runner": lambda record: (
        "direct_num_workers is not equal to 1" in record.getMessage()
    ),
}
_WORKER_MODULE = "padless.beam_jobs.engine.local_worker"
_WORKER_THREAD = "run_worker"  # Beam's, which waits for a worker process and raises if it fails


def choose_runner(options: PipelineOptions, num_bytes: int) -> str | FnApiRunner:
    """Chooses the runner: the one that the options name, else the local one.

    Beam's own default is not asked: it first tries to download Prism, a binary, and to run it.

    Args:
        options: of the pipeline; gets the number of worker processes, if they pay.
        num_bytes: size of the input.
    """
    if (named := options.view_as(StandardOptions).runner) is not None:
        return named
    direct = options.view_as(DirectOptions)
    num_workers = len(os.sched_getaffinity(0))
    is_chosen = direct.direct_num_workers != 1 or direct.direct_running_mode != "in_memory"
    is_small = num_workers == 1 or num_bytes < _BYTES_WORTH_WORKERS
    if is_chosen or is_small or not _reaches_itself():
        return FnApiRunner()
    direct.direct_num_workers = num_workers
    command = f"exec {shlex.quote(sys.executable)} -m {_WORKER_MODULE}"
    return FnApiRunner(SubprocessSDKEnvironment.from_command_string(command))


def _reaches_itself() -> bool:
    """Tells whether processes of this machine can connect; in some sandboxes they wait for ever."""
    try:
        with (
            socket.create_server(("localhost", 0)) as server,
            socket.create_connection(server.getsockname()[:2], timeout=1),
        ):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def worker_deaths_raised() -> Iterator[None]:
    """Ends the job where a worker process dies: Beam's local runner waits for it for ever.

    Raises:
        RuntimeError: if a worker has died. Only the main thread can be woken from its wait.
    """
    died, others = [], threading.excepthook

    def notice(args: threading.ExceptHookArgs) -> None:
        if args.thread is None or args.thread.name != _WORKER_THREAD:
            others(args)
        elif not died:
            died.append(args.exc_value)
            _kill_workers()  # none is of use without the other, and all are waited for
            # A real signal: `_thread.interrupt_main` does not end a wait for a lock.
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    threading.excepthook = notice
    try:
        yield
    except BaseException as error:
        if not died:
            raise
        raise RuntimeError(
            f"A worker process died: {died[0]}. Where the system killed it for its memory, "
            "--runner=FnApiRunner works in one process."
        ) from error
    finally:
        threading.excepthook = others


def _kill_workers() -> None:
    for path in pathlib.Path("/proc/self/task").glob("*/children"):
        for child in path.read_text().split():
            with contextlib.suppress(OSError):
                if _WORKER_MODULE.encode() in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                    os.kill(int(child), signal.SIGKILL)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the runner from logging what its exceptions say too, or what is as it should be."""
    with contextlib.ExitStack() as stack:
        for name, drops in _DROPPED.items():
            stack.enter_context(records_dropped(f"apache_beam.runners.{name}", drops))
        yield
