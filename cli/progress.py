"""Progress of long work, on the terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable


def progress_of(unit: str) -> Callable[[int, int], None]:
    """Makes a function that shows `done` of `total` on one line of standard error, if seen."""

    def show(done: int, total: int) -> None:
        # A thousand times at most: a terminal is slower than the work.
        if sys.stderr.isatty() and (done % max(1, total // 1000) == 0 or done == total):
            end = "\n" if done == total else ""
            print(f"\r{done:,} of {total:,} {unit}", end=end, file=sys.stderr, flush=True)

    return show
