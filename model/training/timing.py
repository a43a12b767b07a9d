"""Where the time of a run goes."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator

_ADVICE = {
    "starting": "its start, which comes once: longer runs spend less of their time on it",
    "computing": "computing",
    "waiting": (
        "reading: the model waited for batches; more shards, a faster disk or more CPU cores help"
    ),
    "validating": "validation: a smaller validation split helps",
    "checkpointing": "writing checkpoints: a longer `checkpoint_minutes` helps",
}


@dataclasses.dataclass(slots=True)
class Times:
    """Seconds by what they were spent on.

    Attributes:
        starting: tracing the steps, and the largest batches.
        waiting: for the batches of a step, while the devices had nothing to do.
        computing: the steps.
        validating: the evaluation after each epoch, its reading among it.
        checkpointing: writing the state of the run.
    """

    starting: float = 0.0
    waiting: float = 0.0
    computing: float = 0.0
    validating: float = 0.0
    checkpointing: float = 0.0

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Adds the time that the block takes."""
        start = time.monotonic()
        try:
            yield
        finally:
            setattr(self, name, getattr(self, name) + time.monotonic() - start)

    def add(self, other: Times) -> None:
        """Adds other times."""
        for name in _ADVICE:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def total(self) -> float:
        """All seconds."""
        return sum(getattr(self, name) for name in _ADVICE)

    def __str__(self) -> str:
        """Returns a sentence on where the time went and what bounds the run."""
        seconds = dataclasses.asdict(self)
        if not self.total:
            return "time: none was spent"
        shares = ", ".join(f"{name} {s / self.total:.0%}" for name, s in seconds.items())
        longest = max(seconds, key=lambda name: seconds[name])
        return f"time: {shares}; the run is bound by {_ADVICE[longest]}"
