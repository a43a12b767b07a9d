"""Keeps Beam's own output from burying what a job says: its logs, and its threads that die.

When a job is interrupted or loses a worker or its job server, Beam takes connections and processes
away from threads that still use them, and each of these threads reports that by a traceback, at any
time until the interpreter ends. The error of the job says all of it in one line.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

import grpc

from padless.beam_jobs.engine.interrupts import is_interrupt
from padless.beam_jobs.engine.shared_hooks import SharedContext
from padless.beam_jobs.engine.thread_errors import ThreadErrors
from padless.pipeline.log_filters import records_dropped

# Beam sets this logger to INFO and so shows all that Prism says, whatever the root logger's level.
_PRISM = "PrismJobServer"


def _shows_interrupt(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and is_interrupt(record.exc_info[1])


def _shows_lost_connection(record: logging.LogRecord) -> bool:
    return record.exc_info is not None and isinstance(record.exc_info[1], grpc.RpcError)


_DROPPED = {
    # That a job server takes more than a second to start, as all that run on Java do.
    "root": lambda record: str(record.msg).startswith("Waiting for grpc channel to be ready"),
    # Tracebacks of workers, whose exception is raised in this process as well.
    "apache_beam.runners.portability.local_job_service": lambda record: True,
    # That a worker which has died cannot be stopped.
    "apache_beam.runners.portability.fn_api_runner.worker_handlers": lambda record: True,
    # That worker processes should be asked for by another option, which starts loud ones.
    "apache_beam.runners.portability.fn_api_runner.fn_runner": lambda record: (
        "direct_num_workers is not equal to 1" in record.getMessage()
    ),
    "apache_beam.runners.common": _shows_interrupt,
    "apache_beam.runners.worker.data_plane": _shows_lost_connection,
    # That a job server is started and stopped.
    "apache_beam.utils.subprocess_server": lambda record: str(record.msg).startswith("Really "),
}


@contextlib.contextmanager
def beam_quieted(*, for_good: bool = False) -> Iterator[None]:
    """Drops what Beam logs of normal work, and what the error of the job says as well.

    Exceptions of Beam's threads are treated as `ThreadErrors` says. `PADLESS_TRACEBACK=1` in the
    environment keeps all of it.

    Args:
        for_good: whether the process stays quiet after the job, like that of a command, which may
            end before all threads of its job. By default loggers and `threading.excepthook` are
            left as they were when the last of the jobs that run at a time has ended.
    """
    if os.environ.get("PADLESS_TRACEBACK"):
        yield
        return
    with contextlib.ExitStack() as stack:
        errors = stack.enter_context(_QUIET.entered())
        try:
            with errors.job_running():
                yield
        finally:
            if for_good:
                _kept.append(stack.pop_all())


_kept: list[contextlib.ExitStack] = []  # otherwise their contexts would end with the last reference


@contextlib.contextmanager
def _quieted() -> Iterator[ThreadErrors]:
    errors = ThreadErrors()
    with contextlib.ExitStack() as stack:
        stack.enter_context(errors.installed())
        stack.enter_context(_prism_heard_from_warnings_on())
        for name, drops in _DROPPED.items():
            stack.enter_context(records_dropped(name, drops))
        yield errors


_QUIET = SharedContext(_quieted)


@contextlib.contextmanager
def _prism_heard_from_warnings_on() -> Iterator[None]:
    logger, handler = logging.getLogger(_PRISM), _PassWarningsOn()
    propagate, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagate


class _PassWarningsOn(logging.Handler):
    """Passes warnings and errors on to the root logger; they have got their levels from Beam."""

    def emit(self, record: logging.LogRecord) -> None:
        """Passes a record on."""
        if record.levelno >= logging.WARNING:
            logging.getLogger().handle(record)
