"""Bins of lengths, few enough for each to be seen in a picture."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from padless.pipeline.wording import as_range

MOST_BINS = 60


class LengthBin(NamedTuple):
    """How many sequences have one of some neighbouring lengths.

    Attributes:
        first: shortest length of the bin, in timesteps.
        last: longest length of the bin; that of the next bin is one more.
        num_sequences: how many there are.
    """

    first: int
    last: int
    num_sequences: int

    @property
    def width(self) -> int:
        """Number of lengths in the bin."""
        return self.last - self.first + 1

    @property
    def middle(self) -> float:
        """Where the bin is centred, in timesteps."""
        return (self.first + self.last) / 2

    def __str__(self) -> str:
        """Names the lengths."""
        return as_range((self.first, self.last))


def bin_lengths(
    lengths: Mapping[int, int], *, like: Mapping[int, int] | None = None
) -> list[LengthBin]:
    """Counts sequences by length, in bins of one width, each of which a picture can show.

    A bin is one length wide where at most 60 lengths lie from the shortest to the longest, and else
    1, 2 or 5 times a power of ten, so that a reader can name the lengths of a bar.

    Args:
        lengths: length in timesteps -> number of sequences.
        like: lengths whose shortest and longest decide the bins, as those of all splits;
            `lengths` itself if None.

    Returns:
        The bins from the shortest to the longest length, empty ones among them.

    Example:
        >>> [tuple(part) for part in bin_lengths({7: 3, 9: 1})]
        [(7, 7, 3), (8, 8, 0), (9, 9, 1)]
        >>> [str(part) for part in bin_lengths({7: 3, 130: 1})][:2]
        ['5 to 9', '10 to 14']
    """
    bounds = [length for length, count in (like or lengths).items() if count]
    shortest, longest = min(bounds), max(bounds)
    width = _choose_width(shortest, longest)
    counts: dict[int, int] = {}
    for length, count in lengths.items():
        counts[length // width] = counts.get(length // width, 0) + count
    return [
        LengthBin(number * width, (number + 1) * width - 1, counts.get(number, 0))
        for number in range(shortest // width, longest // width + 1)
    ]


def _choose_width(shortest: int, longest: int) -> int:
    """Chooses the smallest round number that needs no more bins than can be seen."""
    power = 1
    while True:
        for width in (power, 2 * power, 5 * power):
            if longest // width - shortest // width < MOST_BINS:
                return width
        power *= 10
