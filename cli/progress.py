"""Progress of long work, on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from padless.beam_jobs import JobProgress

_QUIET_SECONDS = 3  # a short job shows no progress
_SECONDS_BETWEEN_LINES = 60  # where no terminal overwrites the line


def progress_of(unit: str) -> Callable[[int, int], None]:
    """Makes a function that shows `done` of `total` on one line of standard error, if seen."""

    def show(done: int, total: int) -> None:
        # A thousand times at most: a terminal is slower than the work.
        if sys.stderr.isatty() and (done % max(1, total // 1000) == 0 or done == total):
            end = "\n" if done == total else ""
            print(f"\r{done:,} of {total:,} {unit}", end=end, file=sys.stderr, flush=True)

    return show


class JobProgressLine:
    """Shows how far a Beam job is: one line on a terminal, else a line a minute."""

    def __init__(self):
        self._is_terminal, self._shown = sys.stderr.isatty(), ""
        self._due = time.monotonic() + (
            _QUIET_SECONDS if self._is_terminal else _SECONDS_BETWEEN_LINES
        )

    def __enter__(self) -> JobProgressLine:
        return self

    def __exit__(self, *error) -> None:
        if self._is_terminal and self._shown:
            print(f"\r{' ' * len(self._shown)}\r", end="", file=sys.stderr, flush=True)

    def show(self, progress: JobProgress) -> None:
        """Shows the line, if it is time to."""
        if time.monotonic() < self._due:
            return
        line = _describe(progress)
        if self._is_terminal:
            print(f"\r{line:<{len(self._shown)}}", end="", file=sys.stderr, flush=True)
        else:
            self._due = time.monotonic() + _SECONDS_BETWEEN_LINES
            print(line, file=sys.stderr, flush=True)
        self._shown = line


def _describe(progress: JobProgress) -> str:
    rate = progress.read / max(progress.seconds, 1e-9)
    return (
        f"{progress.seconds:.0f} s: read {progress.read:,} records ({rate:,.0f}/s), "
        f"accepted {progress.accepted:,} sequences, rejected {progress.rejected:,}, "
        f"written {progress.written:,}"
    )
