"""The timesteps at which a feature of a sequence is at fault, as a few spans."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_MOST_SPANS = 3
# Of a sequence: a shorter pause between two spans is a part of one.
_PAUSE = 0.03


class Span(NamedTuple):
    """Timesteps from one to another, counted from 0, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        """Names the timesteps."""
        if self.first == self.last:
            return f"{self.first:,}"
        return f"{self.first:,} to {self.last:,}"


def find_spans(error: np.ndarray, limit: float) -> list[Span]:
    """Finds where an error is above its limit, in at most three spans.

    Args:
        error: of each timestep, `(timesteps,)`; NaN where there is no value.
        limit: the largest usual error.

    Returns:
        The spans whose errors add up to most, in the order of time.

    Example:
        >>> find_spans(np.array([0, 5, 5, 0, 0, 0, 9.0, 0]), 2.0)
        [Span(first=1, last=2), Span(first=6, last=6)]
    """
    above = np.flatnonzero(error > limit)
    if not len(above):
        return []
    pause = 1 + int(_PAUSE * len(error))
    cuts = np.flatnonzero(np.diff(above) > pause) + 1
    spans = [Span(int(part[0]), int(part[-1])) for part in np.split(above, cuts)]
    weights = [float(np.nansum(error[span.first : span.last + 1])) for span in spans]
    worst = np.argsort(weights)[::-1][:_MOST_SPANS]
    return [spans[i] for i in sorted(worst.tolist())]
