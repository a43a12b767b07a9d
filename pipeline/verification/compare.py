"""Compares what the metadata say of a split with what its records hold, and says what differs.

Each function returns the ends of sentences that begin with the split, none where all is well.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from padless.pipeline.dataset.moments import Moments

_MAX_LENGTHS_SHOWN = 3
_RELATIVE_TOLERANCE = 1e-9
# Of the maximum absolute value: what rounding leaves of a deviation that is 0, or nearly.
_ABSOLUTE_TOLERANCE = 1e-13


def compare_lengths(written: Mapping[int, int], found: Mapping[int, int]) -> list[str]:
    """Compares numbers of sequences by length.

    Example:
        >>> compare_lengths({3: 1, 4: 2}, {3: 2, 4: 2})
        ['must count its lengths as they are, got 1 of length 3 where there are 2.']
    """
    wrong = sorted(
        length
        for length in found.keys() | written.keys()
        if found.get(length, 0) != written.get(length, 0)
    )
    if not wrong:
        return []
    shown = ", ".join(
        f"{written.get(length, 0):,} of length {length} where there are {found.get(length, 0):,}"
        for length in wrong[:_MAX_LENGTHS_SHOWN]
    )
    more = f"; {len(wrong)} lengths are wrong" if wrong[_MAX_LENGTHS_SHOWN:] else ""
    return [f"must count its lengths as they are, got {shown}{more}."]


def compare_moments(written: Moments, found: Moments) -> list[str]:
    """Compares moments that were written with those found, and says what differs.

    Counts and ranges must be equal, mean and standard deviation to what a sum of another order may
    change: relative to the deviation, and, for a feature that is constant, to its values.

    Example:
        >>> one, other = (Moments.of([[value], [3.0]]) for value in (1.0, 1.5))
        >>> compare_moments(one, other)[0]
        'must have the mean 2.25 of feature 0, got 2.0.'
    """
    if written.timesteps != found.timesteps:
        return [f"must have {found.timesteps:,} timesteps, got {written.timesteps:,}."]
    if (wrong := np.flatnonzero(written.counts != found.counts)).size:
        return [
            f"must have {found.counts[i]:,} values of feature {i}, got {written.counts[i]:,}."
            for i in wrong
        ]
    size = np.maximum(np.abs(found.minimum), np.abs(found.maximum))
    deviation = np.sqrt(found.variance)
    tolerance = _RELATIVE_TOLERANCE * deviation + _ABSOLUTE_TOLERANCE * size
    compared = {
        "mean": (written.mean, found.mean, tolerance),
        "standard deviation": (_root(written.variance), deviation, tolerance),
        "minimum": (written.minimum, found.minimum, 0),
        "maximum": (written.maximum, found.maximum, 0),
    }
    return [
        f"must have the {name} {right[i]!s} of feature {i}, got {got[i]!s}."
        for name, (got, right, allowed) in compared.items()
        for i in np.flatnonzero(~(np.abs(got - right) <= allowed))  # so that NaN differs
    ]


def _root(variance: np.ndarray) -> np.ndarray:
    return np.sqrt(np.where(variance < 0, np.nan, variance))
