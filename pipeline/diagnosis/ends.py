"""Timesteps at either end of sequences that look like padding. NumPy only.

All their values are one number, which is the same in several sequences. Whether they are padding,
values cannot tell.
"""

from __future__ import annotations

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Ends:
    """Timesteps that look like padding.

    Attributes:
        value: the number that all their values are.
        is_before: whether they are at the beginning of the sequences, not at the end.
        timesteps: how many there are.
        sequences: in how many sequences.
        shortest: timesteps that are left of the shortest sequence.
        inside: timesteps of the same value elsewhere in these sequences.
        sequences_inside: in how many sequences.
    """

    value: float
    is_before: bool
    timesteps: int
    sequences: int
    shortest: int
    inside: int
    sequences_inside: int


class EndCounter:
    """Counts timesteps at the ends of sequences that look like padding, at the better end."""

    def __init__(self) -> None:
        self._after, self._before = _End(), _End()

    def add(self, values: np.ndarray) -> None:
        """Adds sequences of one length, numbers `(rows, timesteps, ...)`."""
        if not values.size or values.dtype.kind not in "iuf":
            return
        flat = values.reshape(*values.shape[:2], -1)
        self._after.add(flat)
        self._before.add(flat[:, ::-1])

    def result(self) -> Ends | None:
        """Returns what looks like padding, or None where nothing does."""
        after, before = self._after.result(is_before=False), self._before.result(is_before=True)
        found = [ends for ends in (after, before) if ends is not None]
        return max(found, key=lambda ends: ends.timesteps, default=None)


class _End:
    """Counts at the end of sequences; reversed ones have their beginning there."""

    def __init__(self) -> None:
        self.value: float | None = None
        self.timesteps = self.sequences = self.inside = self.sequences_inside = self.longest = 0
        self.num_rows = 0
        self.shortest = np.iinfo(np.int64).max

    def add(self, values: np.ndarray) -> None:
        if self.value is None:
            self.value = _guess_padding(values)
        self.num_rows += len(values)
        if self.value is None:
            return
        is_value = (values == self.value).all(axis=2)
        ends = np.where(is_value.all(1), values.shape[1], (~is_value[:, ::-1]).argmax(1))
        inside = is_value.sum(1) - ends
        self.timesteps += int(ends.sum())
        self.sequences += int((ends > 0).sum())
        self.longest = max(self.longest, int(ends.max()))
        self.shortest = min(self.shortest, int(values.shape[1] - ends.max()))
        self.inside += int(inside.sum())
        self.sequences_inside += int((inside > 0).sum())

    def result(self, *, is_before: bool) -> Ends | None:
        """Returns what was counted, if several sequences end so, one for several timesteps."""
        if self.value is None or self.sequences < 2 or self.longest < 2:
            return None
        return Ends(
            value=self.value,
            is_before=is_before,
            timesteps=self.timesteps,
            sequences=self.sequences,
            shortest=self.shortest,
            inside=self.inside,
            sequences_inside=self.sequences_inside,
        )


def _guess_padding(values: np.ndarray) -> float | None:
    """Returns the number that most sequences with two equal last timesteps end with, if any."""
    if values.shape[1] < 2:
        return None
    last = values[:, -2:].reshape(len(values), -1)
    is_one = (last == last[:, :1]).all(1)
    if not is_one.any():
        return None
    numbers, counts = np.unique(last[is_one, 0], return_counts=True)
    return float(numbers[counts.argmax()])
