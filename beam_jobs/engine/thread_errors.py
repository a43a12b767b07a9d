"""Exceptions of Beam's threads, held back while it is open whether the job says them itself."""

from __future__ import annotations

import contextlib
import logging
import threading
import types
from collections.abc import Iterator

import grpc

from padless.beam_jobs.engine.shared_hooks import THREAD_HOOK, ThreadHook

_LOGGER = logging.getLogger(__name__)
# An exception is shown if the job still runs after these seconds: it may be why the job hangs.
# Beam takes up to 5 s to stop a job server after Ctrl-C, and raises `KeyboardInterrupt` only then.
_HELD_SECONDS = 10.0
_PACKAGES = frozenset({"apache_beam", "grpc"})


class ThreadErrors:
    """Shows no exception of Beam's threads that ends with the job.

    A lost connection is never shown, as the job raises its own error for it. Any other exception of
    a thread that Beam or gRPC has started is shown if a job runs for `held_seconds` more, and else
    goes to the log at the level DEBUG. Those of all other threads are passed on at once.

    Args:
        held_seconds: how long an exception is held back while a job runs.
    """

    def __init__(self, held_seconds: float = _HELD_SECONDS):
        self._held_seconds = held_seconds
        self._lock = threading.Lock()
        self._num_running = 0
        self._timers: list[threading.Timer] = []

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Lets it hear of the exceptions of all threads of this process for a while."""
        with THREAD_HOOK.entered() as hook, hook.heard(lambda args: self._hold(args, hook)):
            yield

    @contextlib.contextmanager
    def job_running(self) -> Iterator[None]:
        """Marks that a job runs; drops what is held back when the last one ends."""
        with self._lock:
            self._num_running += 1
        try:
            yield
        finally:
            with self._lock:
                self._num_running -= 1
                if not self._num_running:
                    for timer in self._timers:
                        timer.cancel()
                    self._timers.clear()

    def _hold(self, args: threading.ExceptHookArgs, hook: ThreadHook) -> bool:
        """Holds the exception of a thread back; returns whether it is one of Beam's."""
        if not _is_of_beam(args):
            return False
        _LOGGER.debug("A thread of Beam ended.", exc_info=args.exc_value)
        with self._lock:
            if self._num_running and not issubclass(args.exc_type, grpc.RpcError):
                timer = threading.Timer(self._held_seconds, hook.show, [args])
                timer.daemon = True
                timer.start()
                self._timers.append(timer)
        return True


def _is_of_beam(args: threading.ExceptHookArgs) -> bool:
    """Checks whether Beam or gRPC started the thread, or whether a connection was lost."""
    return (
        issubclass(args.exc_type, grpc.RpcError) or _first_package(args.exc_traceback) in _PACKAGES
    )


def _first_package(trace: types.TracebackType | None) -> str | None:
    """Returns the package of the outermost call of a traceback, that of `threading` left out."""
    while trace is not None:
        package = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if package != "threading":
            return package
        trace = trace.tb_next
    return None
