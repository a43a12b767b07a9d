"""Merges neighbouring lengths into spans, so that fewer and fuller batches hold them. NumPy only.

A *span* is some neighbours among the distinct lengths; its sequences are padded to its longest. The
choice is among all ways to cut the ascending lengths into spans, 2 to the power of their number
less one. Dynamic programming over the prefixes of the lengths finds, for every amount of padding,
the way that is predicted to take the least time:

1. `_Spans.worthwhile` leaves out a span that is no slower in two parts, as these pad less as well;
2. `_extend`          puts each remaining span after every way to cut the lengths before it;
3. `_cheapest`        keeps a way only if no other pads as little for as little time;
4. `_thin`            on large histograms, keeps one way of those that pad nearly the same

All counts are integers and exact, so that a bound on the padding is never exceeded. Without `_thin`
no way to merge that keeps to a bound is predicted to be faster. With it the predicted time was at
most 1.5 % above that of a grid 8 times as fine (1,900 distinct lengths, bounds from 0.1 to 100 %).
"""

from __future__ import annotations

import dataclasses

import numpy as np

from padless.pipeline.planning.batch_time import BatchCost

# Up to this many ways to reach a prefix all are compared. Histograms of 140 distinct lengths and 64
# sequences to a batch stay below; above, sorting would take minutes for 2,000 lengths.
_COMPARED_EXACTLY = 65_536
# Bits of the padding, below its leading one, that distinguish two ways where there are more: 3 %.
_BITS_APART = 5
_FLOAT32_FRACTION_BITS = 23
# Sums of seconds in another order differ by rounding: that alone is no reason to pad.
_ROUNDING = 1e-12

_Position = int | np.ndarray


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Frontier:
    """The ways to merge that are worth their padding, from none to as much as saves any time.

    Attributes:
        padded_timesteps: padded timesteps of each way, int64 `(ways,)`, ascending from 0.
        seconds: predicted time of its batches, float64 `(ways,)`, descending.
        is_exact: whether nothing was thinned out, so that each way is the fastest of its padding.
    """

    padded_timesteps: np.ndarray
    seconds: np.ndarray
    is_exact: bool
    _prefixes: list[_Prefix]

    def span_ends(self, max_padded_timesteps: float) -> np.ndarray:
        """Returns the fastest way within a bound, as the spans of its lengths.

        Args:
            max_padded_timesteps: most padded timesteps, at least 0.

        Returns:
            For each span one past the position of its longest length, int64 `(spans,)`, ascending.
        """
        way = int(np.searchsorted(self.padded_timesteps, max_padded_timesteps, "right")) - 1
        end, ends = len(self._prefixes) - 1, []
        while end:
            ends.append(end)
            prefix = self._prefixes[end]
            end, way = int(prefix.starts[way]), int(prefix.ways_before[way])
        return np.array(ends[::-1], np.int64)


def merge_lengths(
    lengths: np.ndarray, counts: np.ndarray, limits: np.ndarray, cost: BatchCost
) -> Frontier:
    """Finds the ways to merge neighbouring lengths that are worth their padding.

    Args:
        lengths: distinct lengths in timesteps, int64 `(lengths,)`, ascending.
        counts: number of sequences of each, int64 `(lengths,)`, at least 1.
        limits: most sequences in a batch padded to each length, int64 `(lengths,)`, at least 1 and
            not ascending.
        cost: what batches take.

    Example:
        >>> frontier = merge_lengths(
        ...     np.array([7, 8, 30]), np.array([3, 2, 9]), np.full(3, 64), BatchCost(1.0, 0.0, 0.0)
        ... )
        >>> frontier.padded_timesteps.tolist(), frontier.seconds.tolist()
        ([0, 3, 113], [3.0, 2.0, 1.0])
        >>> frontier.span_ends(max_padded_timesteps=10).tolist()
        [2, 3]
    """
    spans = _Spans.of(lengths, counts, limits, cost)
    none = np.zeros(1, np.int64)
    prefixes = [_Prefix(none, np.zeros(1), none, none, is_exact=True)]
    for end in range(1, len(lengths) + 1):
        prefixes.append(_extend(prefixes, spans, end))
    last = prefixes[-1]
    return Frontier(last.padded, last.seconds, last.is_exact, prefixes)


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Prefix:
    """The ways to cut the first lengths into spans: what they cost, and their last span.

    `starts` is where the last span starts, `ways_before` which way of the lengths before it
    follows.
    """

    padded: np.ndarray
    seconds: np.ndarray
    starts: np.ndarray
    ways_before: np.ndarray
    is_exact: bool


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class _Spans:
    """The span from position `start` up to, but not including, `end`: its padding and its time."""

    lengths: np.ndarray
    limits: np.ndarray
    cost: BatchCost
    sequences: np.ndarray  # of the lengths before each position
    timesteps: np.ndarray
    first_batch_ends: np.ndarray  # how far the first batch of a span from each position reaches

    @classmethod
    def of(
        cls, lengths: np.ndarray, counts: np.ndarray, limits: np.ndarray, cost: BatchCost
    ) -> _Spans:
        sequences, timesteps = (
            np.concatenate([[0], np.cumsum(n)]) for n in (counts, counts * lengths)
        )
        reached = np.searchsorted(sequences[1:] - limits, sequences[:-1], "right")
        first_batch_ends = np.maximum(reached, np.arange(1, len(lengths) + 1))
        return cls(lengths, limits, cost, sequences, timesteps, first_batch_ends)

    def padded(self, start: _Position, end: _Position) -> np.ndarray:
        rows = self.sequences[end] - self.sequences[start]
        return rows * self.lengths[end - 1] - (self.timesteps[end] - self.timesteps[start])

    def seconds(self, start: _Position, end: _Position) -> np.ndarray:
        rows, length = self.sequences[end] - self.sequences[start], self.lengths[end - 1]
        batches = -(-rows // self.limits[end - 1])
        return self.cost.seconds(batches, batches * length, rows * length)

    def worthwhile(self, end: int) -> np.ndarray:
        """Lists the starts of the spans up to `end`, except those found to be no slower in two.

        Three cuts are tried: after the first full batch, before the last one, and in the middle.
        """
        starts = np.arange(end)
        whole = self.seconds(starts, end)
        last_batch = np.searchsorted(self.sequences, self.sequences[end] - self.limits[end - 1])
        worthwhile = np.ones(end, bool)
        for cut in (self.first_batch_ends[:end], min(last_batch, end - 1), (starts + end) // 2):
            cut = np.broadcast_to(cut, starts.shape)
            parts = self.seconds(starts, cut) + self.seconds(cut, end)
            worthwhile &= (cut <= starts) | (cut >= end) | (parts > whole)
        return starts[worthwhile]


def _extend(prefixes: list[_Prefix], spans: _Spans, end: int) -> _Prefix:
    """Finds the ways to cut the lengths before `end` from those of all shorter prefixes."""
    starts = spans.worthwhile(end)
    before = [prefixes[start] for start in starts.tolist()]
    ways = np.array([len(prefix.padded) for prefix in before])
    padded = np.concatenate([prefix.padded for prefix in before])
    padded += np.repeat(spans.padded(starts, end), ways)
    seconds = np.concatenate([prefix.seconds for prefix in before])
    seconds += np.repeat(spans.seconds(starts, end), ways)
    is_exact = prefixes[-1].is_exact and len(padded) <= _COMPARED_EXACTLY
    kept = np.arange(len(padded)) if is_exact else _thin(padded, seconds, prefixes[-1])
    kept = kept[_cheapest(padded[kept], seconds[kept])]
    firsts = np.cumsum(ways) - ways
    span = np.searchsorted(firsts, kept, "right") - 1
    return _Prefix(padded[kept], seconds[kept], starts[span], kept - firsts[span], is_exact)


def _cheapest(padded: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Orders the ways by padding, without those that pad no less than a way as fast."""
    order = np.lexsort((seconds, padded))
    least_before = np.minimum.accumulate(seconds[order])[:-1]
    faster = seconds[order][1:] < least_before * (1 - _ROUNDING)
    return order[np.concatenate([[True], faster])]


def _thin(padded: np.ndarray, seconds: np.ndarray, before: _Prefix) -> np.ndarray:
    """Chooses one way of those whose padding agrees in its leading bits: the best at its price.

    A float32 holds these bits at its front, exponent first, in the order of the numbers. The price
    of padding is what a timestep more saved on the lengths before. Without one, the ways that pad a
    little more would win in every cell and at every length: at a bound of 0.1 % that cost 14 %.
    """
    cells = padded.astype(np.float32).view(np.int32) >> _FLOAT32_FRACTION_BITS - _BITS_APART
    edges = np.arange(cells.max() + 1, dtype=np.int32) << _FLOAT32_FRACTION_BITS - _BITS_APART
    priced = seconds + _price(edges.view(np.float32).astype(float), before)[cells] * padded
    best = np.full(len(edges), np.inf)
    np.minimum.at(best, cells, priced)
    return np.flatnonzero(priced == best[cells])


def _price(padded: np.ndarray, before: _Prefix) -> np.ndarray:
    """Computes the seconds that a padded timestep saves: the slope over an octave around each."""
    less, more = (np.interp(padded * r, before.padded, before.seconds) for r in (2**-0.5, 2**0.5))
    return (less - more) / np.maximum(padded * (2**0.5 - 2**-0.5), 1.0)
