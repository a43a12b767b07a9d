"""What is changed for the whole process while jobs run, although several may run at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

_Value = TypeVar("_Value")

Listener = Callable[[threading.ExceptHookArgs], bool]
"""Receives the exception of a thread; returns whether it is not to be shown."""


class SharedContext(Generic[_Value]):
    """A context that all jobs share: the first one enters it, and the last one leaves it.

    Args:
        make: makes the context.
    """

    def __init__(self, make: Callable[[], AbstractContextManager[_Value]]):
        self._make = make
        self._lock = threading.Lock()
        self._values: list[_Value] = []  # the same once per job
        self._entered = contextlib.ExitStack()

    @contextlib.contextmanager
    def entered(self) -> Iterator[_Value]:
        """Yields the value of the context, which stays entered at least as long."""
        with self._lock:
            value = self._values[0] if self._values else self._entered.enter_context(self._make())
            self._values.append(value)
        try:
            yield value
        finally:
            with self._lock:
                self._values.pop()
                if not self._values:
                    self._entered.close()


class ThreadHook:
    """A `threading.excepthook` that asks its listeners before it passes an exception on.

    Attributes:
        show: the hook that was there before.
    """

    def __init__(self) -> None:
        self.show = threading.excepthook
        self._listeners: list[Listener] = []

    def __call__(self, args: threading.ExceptHookArgs) -> None:
        """Receives the exception of a thread."""
        answers = [listener(args) for listener in list(self._listeners)]
        if not any(answers):
            self.show(args)

    @contextlib.contextmanager
    def heard(self, listener: Listener) -> Iterator[None]:
        """Asks one more listener for a while."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)


@contextlib.contextmanager
def _installed_hook() -> Iterator[ThreadHook]:
    hook = ThreadHook()
    threading.excepthook = hook
    try:
        yield hook
    finally:
        # Another that was set meanwhile stays, and may pass on to this one.
        if threading.excepthook is hook:
            threading.excepthook = hook.show


THREAD_HOOK = SharedContext(_installed_hook)
"""The hook of this process while jobs run."""
