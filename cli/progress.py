"""Shows progress on standard error: a bar on a terminal, elsewhere a line per minute."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from padless.pipeline.progress import (
    Progress,
    ShowProgress,
    format_rate,
    format_seconds,
    ignore_progress,
)

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

_QUIET_SECONDS = 1.0  # short work shows no bar
_REDRAW_SECONDS = 0.1
_LINE_SECONDS = 60.0
_BAR_WIDTH = 10, 30  # minimum and maximum


@contextlib.contextmanager
def progress_shown(*, quiet: bool = False) -> Iterator[ShowProgress]:
    """Yields what shows progress, and clears the terminal's line in the end.

    Args:
        quiet: whether to show nothing.
    """
    if quiet:
        yield ignore_progress
        return
    console = _find_terminal()
    display = ProgressLines() if console is None else ProgressBar(console)
    with contextlib.closing(display):
        yield display


def _find_terminal() -> Console | None:
    """Returns standard error, if a line can be redrawn there."""
    if not sys.stderr.isatty():
        return None
    from rich.console import Console

    console = Console(stderr=True)
    return None if console.is_dumb_terminal else console


class Pace:
    """Measures the speed of a piece of work since its first call, as a resumed one begins late."""

    def __init__(self, progress: Progress):
        self.work = progress.work
        self._before, self._started = progress.done, time.monotonic()

    def describe(self, progress: Progress) -> list[str]:
        """Returns how much is done, how long it takes, the note and the rate.

        A narrow terminal leaves parts out, the last one first.
        """
        seconds = time.monotonic() - self._started
        done = progress.done - self._before
        of_total = "" if progress.total is None else f" of {progress.total:,}"
        parts = [f"{progress.done:,}{of_total} {progress.unit}"]
        if progress.total is None:
            parts.append(format_seconds(seconds))
        elif done:
            left = (progress.total - progress.done) * seconds / done
            parts.append(f"{format_seconds(left)} left")
        parts += [progress.note] if progress.note else []
        return [*parts, format_rate(done, seconds, progress.unit)] if done else parts


class ProgressLines:
    """Prints a line per minute of the same work."""

    def __init__(self) -> None:
        self._pace: Pace | None = None
        self._due = 0.0

    def __call__(self, progress: Progress) -> None:
        """Prints a line, if it is time to."""
        now = time.monotonic()
        if self._pace is None or self._pace.work != progress.work:
            self._pace, self._due = Pace(progress), now + _LINE_SECONDS
        if now >= self._due and not progress.is_over:
            self._due = now + _LINE_SECONDS
            parts = ", ".join(self._pace.describe(progress))
            print(f"{progress.work}: {parts}", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Leaves the lines as they are."""


class ProgressBar:
    """Redraws the last line of a terminal; what else is printed there moves above it.

    Args:
        console: the terminal.
    """

    def __init__(self, console: Console):
        self._console = console
        self._live: Live | None = None
        self._pace: Pace | None = None
        self._width = _BAR_WIDTH[1]
        self._due = time.monotonic() + _QUIET_SECONDS

    def __call__(self, progress: Progress) -> None:
        """Redraws the line, if it is time to; that of work that is over is removed."""
        if self._pace is None or self._pace.work != progress.work:
            self._pace, self._width = Pace(progress), _BAR_WIDTH[1]
        if progress.is_over:
            self.close()
        elif (now := time.monotonic()) >= self._due:
            self._due = now + _REDRAW_SECONDS
            self._draw(self._lay_out(progress, self._pace.describe(progress)))

    def close(self) -> None:
        """Removes the line."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _draw(self, line: RenderableType) -> None:
        from rich.live import Live

        if self._live is None:
            # Standard output holds results, perhaps for a file; nothing of it is printed meanwhile.
            self._live = Live(
                console=self._console, auto_refresh=False, transient=True, redirect_stdout=False
            )
            self._live.start()
            self._console.show_cursor(True)  # it would stay hidden where a signal kills the process
        self._live.update(line, refresh=True)

    def _lay_out(self, progress: Progress, parts: list[str]) -> RenderableType:
        """Returns one line of the terminal's width, with as many of the parts as fit."""
        from rich.progress_bar import ProgressBar as Bar
        from rich.table import Table
        from rich.text import Text

        parts = list(parts)
        least = 0 if progress.total is None else _BAR_WIDTH[0]
        room = self._console.width - 1 - len(progress.work)
        while parts and len("  ".join(parts)) + 1 > room - least - 1:
            parts.pop()
        text = "  ".join(parts)
        cells: list[RenderableType] = [Text(progress.work, no_wrap=True, overflow="ellipsis")]
        if progress.total is not None:
            # It never grows: it would jump as the numbers beside it get longer and shorter.
            fits = room - 1 - (len(text) + 1 if text else 0)
            self._width = max(1, min(self._width, fits))
            cells.append(Bar(progress.total, progress.done, width=self._width))
        line = Table.grid(padding=(0, 1))
        line.add_row(*cells, *([Text(text, no_wrap=True)] if text else []))
        return line
