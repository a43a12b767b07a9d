"""From the numbers of an input to the float32 of a record, and what is lost on the way.

A float32 has 24 binary digits: next to 5,812,345 its neighbours are 0.5 away. Where a feature is
far from 0 and moves little, as a coordinate in metres or a time in milliseconds, its differences
vanish, unless an offset is subtracted from the numbers as the input has them.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from padless.beam_jobs.fragments import Item, Reject, RejectedPart
from padless.pipeline.dataset.moments import Moments

# The deviation of a feature must be this many times the distance between neighbours in float32.
_MIN_STEPS = 100
_BATCH_VALUES = 1 << 18
_MAX_SHOWN = 20  # features of a remedy


@dataclasses.dataclass(frozen=True, slots=True)
class Spread:
    """How the numbers of an input spread, before they became float32; arrays are `(features,)`.

    Attributes:
        moments: of all values.
        within: sum of squared deviations from the mean of the fragment.
        freedom: values less one for each fragment with a value.
        exact: whether all values are float32s, so that rounding loses nothing.
        was_float32: whether all came as float32, so that what is lost was lost before.
    """

    moments: Moments
    within: np.ndarray
    freedom: np.ndarray
    exact: np.ndarray
    was_float32: bool

    @classmethod
    def of(cls, fragments: Sequence[np.ndarray]) -> Spread:
        """Computes it for fragments `(timesteps, features)`, NaN where a value is missing."""
        values = np.concatenate(fragments).astype(np.float64)
        moments = Moments.of(values)
        seen = ~np.isnan(values)
        values[~seen] = 0
        lengths = np.array([len(fragment) for fragment in fragments])
        starts = np.cumsum(lengths) - lengths
        counts = np.add.reduceat(seen, starts, axis=0, dtype=np.int64)
        means = np.add.reduceat(values, starts, axis=0) / np.maximum(counts, 1)
        return cls(
            moments,
            (np.square(values - np.repeat(means, lengths, axis=0)) * seen).sum(axis=0),
            np.maximum(counts - 1, 0).sum(axis=0),
            (values == values.astype(np.float32)).all(axis=0),
            all(fragment.dtype == np.float32 for fragment in fragments),
        )

    def merge(self, other: Spread) -> Spread:
        """Joins two parts."""
        return Spread(
            self.moments.merge(other.moments),
            self.within + other.within,
            self.freedom + other.freedom,
            self.exact & other.exact,
            self.was_float32 and other.was_float32,
        )

    @property
    def deviation(self) -> np.ndarray:
        """Deviation within a fragment, float64 `(features,)`; that of all values where it is 0."""
        within = np.sqrt(self.within / np.maximum(self.freedom, 1))
        return np.where(within > 0, within, np.sqrt(self.moments.variance))

    @property
    def largest(self) -> np.ndarray:
        """Largest magnitude, float64 `(features,)`."""
        return np.maximum(np.abs(self.moments.minimum), np.abs(self.moments.maximum))


Spreads = Mapping[int, Spread]  # number of features -> spread of the fragments that have so many


class LostDigits(NamedTuple):
    """A feature whose differences float32 does not keep.

    Attributes:
        feature: its position.
        step: distance between neighbours in float32, raw units.
        deviation: deviation of the input within a sequence, raw units.
        mean: mean of the input, raw units.
        was_float32: whether the input itself is float32, so that an offset comes too late.
    """

    feature: int
    step: float
    deviation: float
    mean: float
    was_float32: bool


def describe_lost_digits(
    lost: Sequence[LostDigits], names: Sequence[str] | None = None
) -> list[str]:
    """Returns a line for each feature whose differences are lost, and one with the remedy.

    Args:
        lost: the features.
        names: of all features, or None.

    Example:
        >>> lost = LostDigits(1, step=0.5, deviation=0.11, mean=5812345.02, was_float32=False)
        >>> for line in describe_lost_digits([lost], ["x", "y"]):
        ...     print(line)
        warning: y: in float32 its values are 0.5 apart, and they deviate by 0.11 within a sequence
          --center y=5812345 subtracts an offset while the digits are there
    """
    lines, remedy = [], []
    for one in lost:
        name = f"feature {one.feature}" if names is None else names[one.feature]
        line = f"warning: {name}: in float32 its values are {one.step:.3g} apart, and they deviate "
        line += f"by {one.deviation:.3g} within a sequence"
        if one.was_float32:
            line += "; the input itself is float32, so that only its maker can mend it"
        else:
            remedy.append(f"{names[one.feature] if names else one.feature}={one.mean:.7g}")
        lines.append(line)
    if remedy:
        shown = ",".join(remedy[:_MAX_SHOWN]) + (",..." if remedy[_MAX_SHOWN:] else "")
        lines.append(f"  --center {shown} subtracts an offset while the digits are there")
    return lines


class Rounding:
    """Turns the numbers of fragments into float32, and keeps how they spread.

    Args:
        offsets: what to subtract from each feature first, raw units; None for nothing.
    """

    def __init__(self, offsets: Sequence[float] | None):
        self._offsets = None if offsets is None else np.array(offsets, np.float64)
        self._waiting: dict[int, list[np.ndarray]] = {}
        self._num_waiting = 0
        self._spreads: dict[int, Spread] = {}

    def round(self, item: Item) -> Item:
        """Returns a reader's item with float32 values."""
        if isinstance(item, Reject):
            return item
        key, part = item
        if isinstance(part, RejectedPart):
            return item
        values = part.values
        if self._offsets is not None and values.shape[1] == len(self._offsets):
            values = values - self._offsets
        if len(values):
            self._waiting.setdefault(values.shape[1], []).append(values)
        self._num_waiting += values.size
        if self._num_waiting >= _BATCH_VALUES:
            self._measure()
        return key, dataclasses.replace(part, values=np.ascontiguousarray(values, np.float32))

    def take_spreads(self) -> Spreads:
        """Returns how all that was rounded spreads, and forgets it."""
        self._measure()
        spreads, self._spreads = self._spreads, {}
        return spreads

    def _measure(self) -> None:
        self._spreads = merge_spreads(
            [self._spreads, {width: Spread.of(part) for width, part in self._waiting.items()}]
        )
        self._waiting.clear()
        self._num_waiting = 0


def merge_spreads(parts: Iterable[Spreads]) -> dict[int, Spread]:
    """Joins the spreads of parts of an input."""
    merged: dict[int, list[Spread]] = {}
    for part in parts:
        for width, spread in part.items():
            merged.setdefault(width, []).append(spread)
    return {width: functools.reduce(Spread.merge, spreads) for width, spreads in merged.items()}


def find_lost_digits(
    spread: Spread, offsets: Sequence[float] | None = None
) -> tuple[LostDigits, ...]:
    """Finds the features whose steps in float32 are not far below their deviation.

    Args:
        spread: of the input, offsets subtracted.
        offsets: these, or None.
    """
    steps = np.spacing(spread.largest.astype(np.float32)).astype(np.float64)
    deviation = spread.deviation
    means = spread.moments.mean + (0 if offsets is None else np.array(offsets))
    lost = (deviation > 0) & (steps * _MIN_STEPS > deviation)
    if not spread.was_float32:
        lost &= ~spread.exact
    return tuple(
        LostDigits(
            int(feature),
            float(steps[feature]),
            float(deviation[feature]),
            float(means[feature]),
            spread.was_float32,
        )
        for feature in np.flatnonzero(lost)
    )
