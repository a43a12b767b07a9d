"""Asks a run to stop where it can: SIGTERM and SIGINT, answered after the step that runs."""

from __future__ import annotations

import contextlib
import signal
import threading
import types
from collections.abc import Iterator

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(Exception):  # noqa: N818, as `KeyboardInterrupt` it is no error
    """A signal has ended the training; a checkpoint holds what it had come to.

    Attributes:
        signal: which.
    """

    def __init__(self, message: str, signum: signal.Signals):
        super().__init__(message)
        self.signal = signum


class StopRequest:
    """Remembers that a signal has asked to stop.

    Attributes:
        signal: the first one that came, or None.
    """

    signal: signal.Signals | None = None

    def receive(self, signum: int, frame: types.FrameType | None) -> None:
        """Notes a signal; the next one meets the handlers that were there before."""
        self.signal = signal.Signals(signum)
        self.restore()

    def install(self) -> None:
        """Installs the handlers."""
        self._before = {signum: signal.signal(signum, self.receive) for signum in _SIGNALS}

    def restore(self) -> None:
        """Restores the handlers that were there before."""
        for signum, handler in self._before.items():
            signal.signal(signum, handler)


@contextlib.contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Collects requests to stop, in the main thread; elsewhere Python hands out no signals."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    request.install()
    try:
        yield request
    finally:
        request.restore()
