"""Ctrl-C during a pipeline as the `KeyboardInterrupt` that it is.

Beam catches it in the worker and raises a `RuntimeError("KeyboardInterrupt [while running ...]")`.
A job server that Beam has started leaves its own handler of the signal in place, which waits for
itself if the signal comes while it stops.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def interrupts_unwrapped() -> Iterator[None]:
    """Raises `KeyboardInterrupt` where Beam has wrapped one.

    Afterwards the handler of the signal is again the one that it was.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except Exception as error:
        if is_interrupt(error):
            raise KeyboardInterrupt from error
        raise
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)


def is_interrupt(error: BaseException | None) -> bool:
    """Checks whether an exception is an interrupt, wraps one or was raised while handling one."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt) or str(error).startswith("KeyboardInterrupt"):
            return True
        error = error.__cause__ or error.__context__
    return False
