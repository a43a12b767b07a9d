"""The worker processes of the local runner end with their job, and the job with one of them.

Beam's local runner waits forever for a worker that died. After Ctrl-C it waits for all workers to
end, and one that has not yet connected does not learn of it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import signal
import threading
import time
import types
from collections.abc import Iterator
from typing import cast

from padless.beam_jobs.engine.shared_hooks import THREAD_HOOK

WORKER_MODULE = "padless.beam_jobs.engine.local_worker"
_WORKER_THREAD = "run_worker"  # Beam's, which waits for a worker process and raises if it fails
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_KILLING_SECONDS = 30.0
_JOIN_SECONDS = 5.0


@contextlib.contextmanager
def worker_deaths_raised() -> Iterator[None]:
    """Ends the job where a worker process dies, and the workers where the job is interrupted.

    Raises:
        RuntimeError: if a worker has died. Only the main thread can be woken from its wait.
    """
    end = _End()
    with _deaths_noted(end), _interrupts_noted(end):
        try:
            yield
        except BaseException as error:
            if end.is_noted:
                _join_workers()
            if end.death is None:
                raise
            raise RuntimeError(
                f"A worker process died: {end.death}. Where the system killed it for its memory, "
                "--runner=FnApiRunner works in one process."
            ) from error


class _End:
    """Why a job ends before its time, whichever came first.

    Attributes:
        death: what the thread of the first worker that died raised, or None.
        is_noted: whether there is a reason.
    """

    def __init__(self) -> None:
        self.death: BaseException | None = None
        self.is_noted = False
        self._lock = threading.RLock()  # a signal may come while this thread handles one

    def note(self, death: BaseException | None = None) -> bool:
        """Notes a death, or without one an interrupt; returns whether it is the first reason.

        The workers, which are of no use without each other, are killed.
        """
        with self._lock:
            if self.is_noted:
                return False
            self.is_noted, self.death = True, death
        threading.Thread(target=_kill_workers, daemon=True).start()
        return True


@contextlib.contextmanager
def _deaths_noted(end: _End) -> Iterator[None]:
    def note(args: threading.ExceptHookArgs) -> bool:
        is_worker = args.thread is not None and args.thread.name == _WORKER_THREAD
        if is_worker and end.note(args.exc_value):
            # A real signal: `_thread.interrupt_main` does not end a wait for a lock.
            signal.pthread_kill(main_thread, signal.SIGINT)
        return False

    main_thread = cast("int", threading.main_thread().ident)  # it has started
    with THREAD_HOOK.entered() as hook, hook.heard(note):
        yield


@contextlib.contextmanager
def _interrupts_noted(end: _End) -> Iterator[None]:
    """Notes what the handlers of signals make an end of the job; that of a death is always one.

    A shell has a process ignore SIGINT, for example, that it starts by `&`.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        handler = handlers[signal.Signals(number)]
        if number == signal.SIGINT and (end.death is not None or handler is signal.SIG_DFL):
            end.note()
            raise KeyboardInterrupt
        if callable(handler):
            try:
                handler(number, frame)
            except BaseException:
                end.note()
                raise

    # SIGINT also says that a worker has died; what is not handled otherwise stays as it is.
    noted = [n for n, handler in handlers.items() if n == signal.SIGINT or callable(handler)]
    for number in noted:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in noted:
            signal.signal(number, handlers[number])


def _kill_workers() -> None:
    """Kills the workers, those too that are just about to start."""
    deadline = time.monotonic() + _KILLING_SECONDS
    while _worker_threads() and time.monotonic() < deadline:
        for pid in _list_workers():
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)


def _list_workers() -> Iterator[int]:
    """Lists the children of this process that are workers."""
    for path in pathlib.Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # that a thread or a child is gone
            for child in path.read_text().split():
                if WORKER_MODULE.encode() in pathlib.Path(f"/proc/{child}/cmdline").read_bytes():
                    yield int(child)


def _join_workers() -> None:
    """Waits for the threads of workers, as each that is killed raises when it ends."""
    deadline = time.monotonic() + _JOIN_SECONDS
    for thread in _worker_threads():
        thread.join(max(0.0, deadline - time.monotonic()))


def _worker_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == _WORKER_THREAD]
