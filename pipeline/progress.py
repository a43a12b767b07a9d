"""How far long work is, for those who want to show it.

Long work takes a function `progress`, and calls it with one `Progress` after another. The library
prints none of them: the command line does, and so can a notebook.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

_Item = TypeVar("_Item")


@dataclasses.dataclass(frozen=True, slots=True)
class Progress:
    """How far a piece of work is.

    A piece of work may begin with more than nothing done, as a resumed epoch does: the first call
    says so. Its last call has all of it done, unless it was interrupted.

    Attributes:
        work: what is done, such as `"epoch 3/50"`.
        done: how much of it is done.
        total: how much there is to do, or None where that is not known before the end.
        unit: what is counted, such as `"steps"`.
        note: what else there is to say, such as the loss.

    Example:
        >>> print(Progress("epoch 3/50", 1_200, 4_000, "steps", note="loss 0.2500"))
        epoch 3/50: 1,200 of 4,000 steps, loss 0.2500
        >>> print(Progress("preprocess", 1_200, None, "records"))
        preprocess: 1,200 records
    """

    work: str
    done: int
    total: int | None
    unit: str
    note: str = ""

    @property
    def is_over(self) -> bool:
        """Whether all of the work is done."""
        return self.done == self.total

    def __str__(self) -> str:
        """Returns it as one line."""
        of_total = "" if self.total is None else f" of {self.total:,}"
        note = f", {self.note}" if self.note else ""
        return f"{self.work}: {self.done:,}{of_total} {self.unit}{note}"


ShowProgress = Callable[[Progress], None]
"""What long work calls to show how far it is."""


def ignore_progress(progress: Progress) -> None:
    """Shows nothing."""


def counted(
    items: Iterable[_Item],
    progress: ShowProgress,
    start: Progress,
    size: Callable[[_Item], int] = lambda item: 1,
) -> Iterator[_Item]:
    """Yields items, and calls `progress` before the first and after each.

    Args:
        items: what to work on.
        progress: called with how many are done.
        start: the work, before the first item.
        size: how much of the work an item is.

    Example:
        >>> list(counted("ab", print, Progress("read", 0, 2, "letters")))
        read: 0 of 2 letters
        read: 1 of 2 letters
        read: 2 of 2 letters
        ['a', 'b']
    """
    progress(start)
    done = start.done
    for item in items:
        yield item
        done += size(item)
        progress(dataclasses.replace(start, done=done))


def format_seconds(seconds: float) -> str:
    """Writes a time with the unit that fits.

    Example:
        >>> format_seconds(0.25), format_seconds(59), format_seconds(125), format_seconds(7325)
        ('0.2 s', '59 s', '2:05 min', '2:02:05 h')
    """
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 1:
        return f"{rest} s"
    if minutes < 60:
        return f"{minutes}:{rest:02} min"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02} h"


def format_rate(count: int, seconds: float, unit: str) -> str:
    """Writes a rate per second, or where that is below 1 as seconds per one.

    Example:
        >>> format_rate(100, 4.0, "steps"), format_rate(9, 4.0, "steps")
        ('25 steps/s', '2.2 steps/s')
        >>> format_rate(1, 2.5, "steps"), format_rate(1, 0.0, "steps")
        ('2.5 s/step', '1,000,000 steps/s')
    """
    # A clock may not have moved between two calls.
    rate = count / max(seconds, 1e-6)
    if rate < 1:
        return f"{1 / rate:.1f} s/{unit.removesuffix('s')}"
    return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s"
